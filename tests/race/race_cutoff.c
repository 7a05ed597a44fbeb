/*
 * Log in while everybody is being logged out. Processes of several threads, and one process that is killed again and again, log
 * users in, use their tokens, end tokens, sessions, users, clients and issuers up to a moment, and exchange refresh tokens; all on
 * one table, through gate and ledger, over a store that is slow and sometimes fails. What is answered is noted in shared memory:
 *
 *   A token issued up to the cut-off is refused by every look that begins after the answer.
 *   A token is refused only for what was asked of its own name: who logs in after the cut-off comes in at once.
 *   A refresh token is exchanged once. Whoever else comes with it ends its family, the new token included.
 *
 * The clock is a counter in shared memory, so that thousands of seconds pass, and with them the lives of tokens and entries.
 */
#include "race_common.h"

#include <apr_global_mutex.h>
#include <apr_strings.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tr_gate.h"
#include "tr_ledger.h"
#include "tr_reason.h"

#ifdef __SANITIZE_THREAD__
#define SLOW true
#else
#define SLOW false
#endif

enum { CAPACITY = 262144, BEGIN_S = 1700000000, ROUNDS_A_TICK = 60, LIFE_S = 40, AFTER_S = 2 };
/* HELD tokens are about at any time. */
enum { ISSUERS = 3, USERS = 40, SESSIONS = USERS * 3, CLIENTS = 7, HELD = 512, CHAINS = 16 };
enum { SERIALS = 1 << 22, REFRESHES = 60000 }; /* at most: what is said of refresh tokens never runs out */
enum { PROCESSES = 2, THREADS = 3, LOOKS = 12 };

/* Up to which second tokens of a name were asked to end, and are known to have ended. */
typedef struct cut_t {
    _Atomic int64_t asked_s, answered_s;
} cut_t;

enum { ASKED = 1, ANSWERED = 2, GIVEN_OUT = 1, ENDED = 2 }; /* of one token; of a refresh token */

typedef struct shared_t {
    _Atomic int64_t clock_s;
    _Atomic uint32_t serial, refresh_serial;
    _Atomic uint64_t held[HELD];     /* serial << 32 | seconds since the beginning */
    _Atomic uint32_t chains[CHAINS]; /* the refresh token that came last; 0: none yet */
    cut_t sessions[ISSUERS][SESSIONS], users[ISSUERS][USERS], clients[ISSUERS][CLIENTS], issuers[ISSUERS];
    _Atomic uint8_t tokens[SERIALS];
    _Atomic uint8_t refreshes[REFRESHES];
    _Atomic uint64_t rounds, failed, accepted, refused[TR_KINDS], exchanged, lost;
    _Atomic bool stop;
} shared_t;

static shared_t *shared;
static tr_gate_t gate;
static tr_table_t *table;
static tr_issuer_t issuers[ISSUERS];
static apr_global_mutex_t *mutex;
static tr_ledger_t *ledger;
static double end_s;
static uint64_t most_rounds;

static _Thread_local uint64_t seed;
static _Thread_local apr_pool_t *scratch;

static apr_time_t now(void)
{
    return apr_time_from_sec(atomic_load(&shared->clock_s)) + (apr_time_t)below(&seed, APR_USEC_PER_SEC);
}

/* ---- tokens ------------------------------------------------------------------------------------------------ */

/* An entry may live longer than it must, so that a later one for the same name has a later cut-off or an earlier end. */
static tr_keep_t keep(void)
{
    tr_keep_t k = {AFTER_S, below(&seed, 3) ? 0 : 2 * LIFE_S};
    return k;
}

/* Everything about a token but its time comes from its serial. */
typedef struct held_t {
    uint32_t serial;
    int64_t iat_s;
    uint32_t iss, user, session, client;
    tr_token_t token;
} held_t;

static tr_str_t name(const char *what, uint32_t number)
{
    return tr_str_z(apr_psprintf(scratch, "%s-%u", what, number));
}

static held_t unpack(uint64_t packed)
{
    held_t h;
    uint64_t mix = packed >> 32;
    memset(&h, 0, sizeof h);
    h.serial = (uint32_t)(packed >> 32);
    h.iat_s = BEGIN_S + (int64_t)(uint32_t)packed;
    h.iss = (uint32_t)below(&mix, ISSUERS);
    h.user = (uint32_t)below(&mix, USERS);
    h.session = h.user * (SESSIONS / USERS) + (uint32_t)below(&mix, SESSIONS / USERS);
    h.client = (uint32_t)below(&mix, CLIENTS);
    h.token.issuer = &issuers[h.iss];
    h.token.iss = tr_str_z(issuers[h.iss].iss);
    h.token.jti = name("token", h.serial);
    h.token.sub = name("user", h.user);
    h.token.sid = name("session", h.session);
    h.token.client_id = h.token.azp = name("client", h.client);
    h.token.has_iat = true;
    h.token.iat_s = (double)h.iat_s + (double)below(&mix, 1000) / 1000;
    h.token.exp_s = (double)(h.iat_s + LIFE_S);
    return h;
}

static void log_in(void)
{
    uint32_t serial = atomic_fetch_add(&shared->serial, 1);
    int64_t iat_s = atomic_load(&shared->clock_s) - BEGIN_S + (int64_t)below(&seed, 3) - 1; /* issuers' clocks differ */
    if (serial >= SERIALS) {
        atomic_store(&shared->serial, SERIALS);
        return;
    }
    atomic_store(&shared->held[below(&seed, HELD)], (uint64_t)serial << 32 | (uint32_t)iat_s);
}

static held_t any_token(void)
{
    return unpack(atomic_load(&shared->held[below(&seed, HELD)]));
}

/* The cut-off that a refusal by this kind comes from. */
static const cut_t *cut_of(const held_t *h, tr_kind_t by)
{
    return by == TR_KIND_SESSION   ? &shared->sessions[h->iss][h->session]
           : by == TR_KIND_SUBJECT ? &shared->users[h->iss][h->user]
           : by == TR_KIND_CLIENT  ? &shared->clients[h->iss][h->client]
                                   : &shared->issuers[h->iss];
}

static const tr_kind_t cut_kinds[] = {TR_KIND_SESSION, TR_KIND_SUBJECT, TR_KIND_CLIENT, TR_KIND_ISSUER};

static void judge_refusal(const held_t *h, tr_kind_t by)
{
    if (by == TR_KIND_TOKEN) {
        CLAIM(atomic_load(&shared->tokens[h->serial]) & ASKED, "token %u: nobody has revoked it", h->serial);
        return;
    }
    CLAIM(by >= TR_KIND_SESSION && by <= TR_KIND_ISSUER, "token %u was refused by kind %d", h->serial, (int)by);
    CLAIM(h->iat_s <= atomic_load(&cut_of(h, by)->asked_s),
          "token %u of %" PRId64 " was refused by a %s that was cut off at %" PRId64, h->serial, h->iat_s, tr_kind_name(by),
          atomic_load(&cut_of(h, by)->asked_s));
}

/* What had been answered when the look began; the token has not expired when it ends. */
typedef struct known_t {
    bool is_ended;
    tr_kind_t by;
    int64_t until_s;
} known_t;

static known_t known_of(const held_t *h)
{
    known_t known = {(atomic_load(&shared->tokens[h->serial]) & ANSWERED) != 0, TR_KIND_TOKEN, 0};
    for (size_t i = 0; i < sizeof cut_kinds / sizeof cut_kinds[0] && !known.is_ended; i++) {
        known.by = cut_kinds[i];
        known.until_s = atomic_load(&cut_of(h, known.by)->answered_s);
        known.is_ended = h->iat_s <= known.until_s;
    }
    return known;
}

static void use(const held_t *h)
{
    known_t known = known_of(h);
    tr_kind_t by = TR_KIND_TOKEN;
    apr_status_t rv = tr_gate_check_revoked(&by, &gate, &h->token, scratch);
    if (rv == TR_REVOKED) {
        judge_refusal(h, by);
        atomic_fetch_add_explicit(&shared->refused[by], 1, memory_order_relaxed);
        return;
    }
    CLAIM(rv == APR_SUCCESS, "check: %d", rv);
    if (atomic_load(&shared->clock_s) > h->iat_s + LIFE_S)
        return; /* nobody has to know any more */
    CLAIM(!known.is_ended, "token %u of %" PRId64 " is accepted after its %s was ended, up to %" PRId64, h->serial, h->iat_s,
          tr_kind_name(known.by), known.until_s);
    atomic_fetch_add_explicit(&shared->accepted, 1, memory_order_relaxed);
}

static void use_any(void)
{
    held_t h = any_token();
    use(&h);
}

/* ---- ending them ------------------------------------------------------------------------------------------- */

/* The store: takes its time, and one in a hundred times it fails. */
static apr_status_t store(void *baton, tr_revocation_t *const *list, int n, apr_time_t at)
{
    (void)baton, (void)at;
    if (below(&seed, 3) == 0)
        usleep((useconds_t)below(&seed, 40));
    for (int i = 0; i < n; i++)
        list[i]->seq = 1;
    return below(&seed, 100) == 0 ? APR_EGENERAL : APR_SUCCESS;
}

static void tick(void)
{
    if (atomic_fetch_add(&shared->rounds, 1) % ROUNDS_A_TICK == 0)
        atomic_fetch_add(&shared->clock_s, 1);
}

static bool end_all(tr_revocation_t *list, int n)
{
    apr_status_t rv = tr_ledger_revoke_all(ledger, list, n, below(&seed, 8) == 0, now());
    CLAIM(rv == APR_SUCCESS || rv == APR_EGENERAL, "revoke: %d", rv);
    if (rv != APR_SUCCESS)
        atomic_fetch_add_explicit(&shared->failed, 1, memory_order_relaxed);
    return rv == APR_SUCCESS;
}

/* All that was answered holds for whoever looks now, first of all for the token itself. */
static void look_around(const held_t *h)
{
    use(h);
    for (int i = 0; i < LOOKS; i++)
        use_any();
    tick();
}

/* As at logout: the token, and its session or all of its user's. */
static void log_out(void)
{
    held_t h = any_token();
    tr_scope_t scope = (tr_scope_t)below(&seed, 3);
    tr_entry_t entries[TR_SCOPE_ENTRIES];
    tr_revocation_t list[TR_SCOPE_ENTRIES];
    tr_keep_t how_long = keep();
    cut_t *cut = scope == TR_SCOPE_SESSION ? &shared->sessions[h.iss][h.session] : &shared->users[h.iss][h.user];
    int n = 0;
    CLAIM(tr_gate_scope(entries, &n, &h.token, scope, &how_long, now(), scratch) == APR_SUCCESS, "scope");
    CLAIM(n == (scope == TR_SCOPE_TOKEN ? 1 : 2), "%d entries", n);
    memset(list, 0, sizeof list);
    for (int i = 0; i < n; i++)
        list[i].entry = entries[i];
    atomic_fetch_or(&shared->tokens[h.serial], ASKED);
    if (n == 2)
        raise_to(&cut->asked_s, apr_time_sec(entries[1].issued_before));
    if (!end_all(list, n))
        return;
    atomic_fetch_or(&shared->tokens[h.serial], ANSWERED);
    if (n == 2)
        raise_to(&cut->answered_s, apr_time_sec(entries[1].issued_before));
    look_around(&h);
}

/* As an administrator does: a name, and a moment that may have passed. Clients and issuers seldom, so that theirs run out. */
static void cut_off(void)
{
    held_t h = any_token();
    uint64_t choice = below(&seed, 1000);
    tr_kind_t kind = choice < 480   ? TR_KIND_SESSION
                     : choice < 980 ? TR_KIND_SUBJECT
                     : choice < 997 ? TR_KIND_CLIENT
                                    : TR_KIND_ISSUER;
    tr_str_t value = kind == TR_KIND_SESSION ? h.token.sid : kind == TR_KIND_SUBJECT ? h.token.sub : h.token.client_id;
    tr_revocation_t one;
    tr_keep_t how_long = keep();
    cut_t *cut = (cut_t *)cut_of(&h, kind);
    apr_time_t before = now() - apr_time_from_sec(below(&seed, 4));
    memset(&one, 0, sizeof one);
    tr_gate_entry_before(&one.entry, kind, h.token.issuer, h.token.iss, value, before, &how_long, now());
    raise_to(&cut->asked_s, apr_time_sec(before));
    if (!end_all(&one, 1))
        return;
    raise_to(&cut->answered_s, apr_time_sec(before));
    look_around(&h);
}

/* ---- refresh tokens ---------------------------------------------------------------------------------------- */

static tr_entry_t opaque(uint32_t serial)
{
    tr_entry_t e;
    CLAIM(tr_gate_entry_opaque(&e, name("refresh", serial), TR_FOREVER, scratch) == APR_SUCCESS, "digest");
    return e;
}

/* 0: there have been enough. */
static uint32_t new_refresh(void)
{
    uint32_t serial = atomic_load(&shared->refresh_serial) < REFRESHES ? 1 + atomic_fetch_add(&shared->refresh_serial, 1) : 0;
    return serial < REFRESHES ? serial : 0;
}

/* Who comes second with a token ends all that came of it. */
static void end_family(const tr_entry_t *own, uint32_t old)
{
    tr_revocation_t one;
    int64_t number;
    memset(&one, 0, sizeof one);
    CLAIM(tr_gate_family(&number, &gate, own, scratch) == APR_SUCCESS, "digest");
    tr_gate_family_entry(&one.entry, number, TR_FOREVER, scratch);
    if (end_all(&one, 1))
        atomic_fetch_or(&shared->refreshes[old], ENDED);
    atomic_fetch_add(&shared->lost, 1);
}

/* The child of a token whose family was ended is refused, whoever was faster. */
static void judge_child(uint32_t old, uint32_t child)
{
    tr_kind_t by = TR_KIND_TOKEN;
    bool is_ended = atomic_load(&shared->refreshes[old]) & ENDED;
    apr_status_t rv = tr_gate_check_opaque(&by, &gate, name("refresh", child), scratch);
    CLAIM(rv == TR_REVOKED || rv == APR_SUCCESS, "check: %d", rv);
    CLAIM(rv == TR_REVOKED || !is_ended, "refresh token %u works although the family of %u was ended", child, old);
}

static bool publish_exchange(bool *is_second, const tr_entry_t *own, uint32_t child)
{
    tr_entry_t childs = opaque(child);
    tr_revocation_t list[2];
    int64_t number;
    bool good;
    memset(list, 0, sizeof list);
    list[0].entry = *own;
    CLAIM(tr_gate_family(&number, &gate, own, scratch) == APR_SUCCESS, "digest");
    CLAIM(tr_gate_member(&list[1].entry, &childs, number, scratch) == APR_SUCCESS, "digest");
    good = end_all(list, 2);
    *is_second = list[0].was_there;
    return good;
}

/* As the guard does when an answer brings a new refresh token; where that ends, a new login begins another family. */
static void exchange(void)
{
    _Atomic uint32_t *chain = &shared->chains[below(&seed, CHAINS)];
    uint32_t old = atomic_load(chain), child = new_refresh();
    tr_entry_t own = opaque(old);
    bool is_second = false, good;
    if (child == 0)
        return;
    good = old != 0 && publish_exchange(&is_second, &own, child);
    if (good && !is_second) {
        CLAIM((atomic_fetch_or(&shared->refreshes[old], GIVEN_OUT) & GIVEN_OUT) == 0, "refresh token %u was exchanged twice",
              old);
        atomic_fetch_add(&shared->exchanged, 1);
        judge_child(old, child);
    }
    else if (good) {
        end_family(&own, old);
    }
    atomic_compare_exchange_strong(chain, &(uint32_t){old}, good && !is_second ? child : new_refresh());
    usleep((useconds_t)below(&seed, 20));
    if (good && !is_second)
        judge_child(old, child);
}

/* ---- processes --------------------------------------------------------------------------------------------- */

static bool is_over(void)
{
    return atomic_load_explicit(&shared->stop, memory_order_relaxed);
}

static void *work_on(void *baton)
{
    seed = (uint64_t)(uintptr_t)baton;
    apr_pool_create(&scratch, NULL);
    while (!is_over()) {
        uint64_t choice = below(&seed, 100);
        apr_pool_clear(scratch);
        if (choice < 40)
            log_in();
        else if (choice < 70)
            use_any();
        else if (choice < 82)
            log_out();
        else if (choice < 97)
            cut_off();
        else
            exchange();
    }
    apr_pool_destroy(scratch);
    return NULL;
}

static pid_t start(int n_threads, uint64_t first_seed)
{
    pthread_t threads[THREADS];
    apr_pool_t *pool;
    pid_t pid = fork();
    CLAIM(pid >= 0, "fork");
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    apr_pool_create(&pool, NULL);
    CLAIM(apr_global_mutex_child_init(&mutex, NULL, pool) == APR_SUCCESS, "apr_global_mutex_child_init");
    ledger = tr_ledger_make(table, mutex, store, NULL, pool);
    for (int i = 0; i < n_threads; i++)
        CLAIM(pthread_create(&threads[i], NULL, work_on, (void *)(uintptr_t)(first_seed + (uint64_t)i)) == 0, "thread %d", i);
    for (int i = 0; i < n_threads; i++)
        pthread_join(threads[i], NULL);
    exit(0);
}

static void end_victim(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    CLAIM(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a process ended by itself: %d",
          status);
}

static uint64_t kill_until_done(const pid_t *pids)
{
    uint64_t order = 7, kills = 0;
    int status;
    for (; atomic_load(&shared->rounds) < most_rounds || now_s() < end_s; kills++) {
        pid_t victim = start(1, 100000 + kills);
        usleep((useconds_t)(500 + below(&order, 40000)));
        end_victim(victim);
        for (int i = 0; i < PROCESSES; i++)
            CLAIM(waitpid(pids[i], &status, WNOHANG) == 0, "a process ended with %d", status);
    }
    return kills;
}

static void make_world(apr_pool_t *pool)
{
    static const char *const names[ISSUERS] = {"https://a.test/", "https://b.test/", "https://a.test/b"};
    shared = shared_memory(sizeof *shared);
    atomic_store(&shared->clock_s, BEGIN_S + 1);
    table = shared_table(CAPACITY, pool);
    gate.table = table;
    for (int i = 0; i < ISSUERS; i++) {
        issuers[i].iss = names[i];
        issuers[i].skew_s = 60;
        issuers[i].max_lifetime_s = LIFE_S;
    }
    CLAIM(apr_global_mutex_create(&mutex, NULL, APR_LOCK_PROC_PTHREAD, pool) == APR_SUCCESS, "apr_global_mutex_create");
    for (uint32_t i = 0; i < HELD; i++)
        atomic_store(&shared->held[i], (uint64_t)i << 32 | 1);
    atomic_store(&shared->serial, HELD);
}

static uint64_t refused(tr_kind_t kind)
{
    CLAIM(atomic_load(&shared->refused[kind]) > 0, "no token was refused by its %s", tr_kind_name(kind));
    return atomic_load(&shared->refused[kind]);
}

static void report(uint64_t kills)
{
    tr_table_stats_t stats;
    tr_table_stats(&stats, table);
    printf("race_cutoff: %" PRIu64 " rounds in %" PRId64 " seconds of its clock, %u logins, %" PRIu64 " accepted, refused by",
           atomic_load(&shared->rounds), atomic_load(&shared->clock_s) - BEGIN_S, atomic_load(&shared->serial),
           atomic_load(&shared->accepted));
    for (int kind = TR_KIND_TOKEN; kind <= TR_KIND_ISSUER; kind++)
        printf(" %s %" PRIu64 ",", tr_kind_name((tr_kind_t)kind), refused((tr_kind_t)kind));
    printf(" %" PRIu64 " refresh tokens exchanged, %" PRIu64 " shown again, %" PRIu64 " not stored, %" PRIu64
           " processes killed, %" PRIu64 " recoveries, %" PRIu64 " reclaimed\n",
           atomic_load(&shared->exchanged), atomic_load(&shared->lost), atomic_load(&shared->failed), kills, stats.recovered,
           stats.reclaimed);
    CLAIM(stats.full == 0 && stats.reclaimed > 0, "the table was too small, or nothing ran out");
    CLAIM(atomic_load(&shared->accepted) > 0 && atomic_load(&shared->failed) > 0 && atomic_load(&shared->exchanged) > 0 &&
              atomic_load(&shared->lost) > 0,
          "a case was not met");
}

int main(void)
{
    pid_t pids[PROCESSES];
    apr_pool_t *pool;
    int status = -1;
    end_s = now_s() + setting("TR_SECONDS", 10);
    most_rounds = (uint64_t)setting("TR_ROUNDS", SLOW ? 25000 : 100000);
    apr_initialize();
    apr_pool_create(&pool, NULL);
    make_world(pool);
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = start(THREADS, 1000 * (uint64_t)(i + 1));
    uint64_t kills = kill_until_done(pids);
    atomic_store(&shared->stop, true);
    for (int i = 0; i < PROCESSES; i++)
        CLAIM(waitpid(pids[i], &status, 0) == pids[i] && status == 0, "a process ended with %d", status);
    report(kills);
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
