/*
 * Two servers on one SQLite file. Each has processes of threads that store, follow and clean; processes are killed at random
 * moments or end in order, and now and then all are killed at once. After each round the database is opened anew: whatever was
 * acknowledged and has not expired is there, once; nothing is there that nobody asked for; and the totals agree. The same finds
 * a server that starts beside the others. Somebody who only follows heard each revocation once.
 */
#include "race_common.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "tr_store.h"

#define ISS "https://idp.example.com/"
#define START 1700000000

enum { SERVERS = 2, PROCESSES = 3, WORKERS = SERVERS * PROCESSES, APPENDERS = 3, A_SECOND = 30000 };

/* What is known of one revocation, named by its number. */
typedef struct known_t {
    _Atomic int64_t expires_s;
    _Atomic uint32_t state; /* ASKED, ACKNOWLEDGED */
} known_t;

enum { UNKNOWN, ASKED, ACKNOWLEDGED };

typedef struct shared_t {
    _Atomic uint32_t next;
    _Atomic int64_t clock_s;
    _Atomic int64_t cleaned_s; /* no cleaner's clock was ever later */
    _Atomic int64_t last_seq;  /* when the round began */
    _Atomic bool stop;         /* the round ends */
    _Atomic bool quit[WORKERS];
    _Atomic uint64_t acknowledged, refused, heard, deleted, retried, watched, starts;
} shared_t;

static shared_t *shared;
static known_t *known;
static uint32_t most;
static apr_pool_t *pool;
static apr_global_mutex_t *locks[SERVERS];
static tr_store_place_t place;
static char id[TR_STORE_ID_LEN + 1];
static char folder[200];

/*
 * The thread sanitizer of gcc 12 does not see that pthread_mutex_timedlock gives the lock of a process that died
 * (EOWNERDEAD), and wonders at its unlock.
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "mutex:apr_global_mutex_unlock\n";
}

/* ---- one revocation ---------------------------------------------------------------------------------------- */

static tr_entry_t entry_of(uint32_t i, const char *name, int64_t expires_s)
{
    tr_kind_t kind = (tr_kind_t)(i % TR_KINDS);
    tr_entry_t e = {kind, tr_str_z(ISS), tr_str(name, tr_kind_has_digest(kind) ? 32 : strlen(name)),
                    tr_kind_has_cut_off(kind) ? (apr_time_t)i : 0, expires_s};
    return e;
}

static void name_of(char name[33], uint32_t i)
{
    memset(name, 0, 33);
    snprintf(name, 33, "%u", i);
}

/* Which one it is; and is it as it was asked for? */
static uint32_t recognize(const tr_entry_t *e)
{
    char text[33] = "", name[33];
    CLAIM(e->value.len <= 32, "a value of %zu bytes", (size_t)e->value.len);
    memcpy(text, e->value.data, e->value.len);
    uint32_t i = (uint32_t)strtoul(text, NULL, 10);
    CLAIM(i < most && atomic_load(&known[i].state) != UNKNOWN, "\"%s\" was never asked for", text);
    name_of(name, i);
    tr_entry_t want = entry_of(i, name, atomic_load(&known[i].expires_s));
    CLAIM(e->kind == want.kind && tr_str_eq(e->value, want.value) && tr_str_eq(e->issuer, want.issuer) &&
              e->issued_before == want.issued_before && e->expires_s == want.expires_s,
          "number %u is not as it was asked for", i);
    return i;
}

/* ---- a process of a server --------------------------------------------------------------------------------- */

typedef struct worker_t {
    int number;
    tr_store_t *store;
} worker_t;

static bool is_over(const worker_t *w)
{
    return atomic_load(&shared->stop) || atomic_load(&shared->quit[w->number]);
}

/* One, or a list of some. */
static void append_some(worker_t *w)
{
    enum { MOST = 7 };
    int64_t now = atomic_load(&shared->clock_s);
    int n = atomic_load(&shared->next) % 3 == 0 ? 1 + (int)(atomic_load(&shared->next) % MOST) : 1;
    uint32_t first = atomic_fetch_add(&shared->next, (uint32_t)n);
    tr_revocation_t some[MOST], *list[MOST];
    char name[MOST][33];
    if (first + (uint32_t)n > most) {
        atomic_store(&shared->next, most);
        sched_yield();
        return;
    }
    for (int k = 0; k < n; k++) {
        uint32_t i = first + (uint32_t)k;
        int64_t expires_s = i % 8 == 0 ? TR_FOREVER : i % 8 < 3 ? now + 1000000 : now + 1 + i % 7;
        name_of(name[k], i);
        atomic_store(&known[i].expires_s, expires_s);
        atomic_store(&known[i].state, ASKED);
        some[k] = (tr_revocation_t){.entry = entry_of(i, name[k], expires_s),
                                    .circumstances = {tr_str_z("racer"), tr_str_z("192.0.2.1"), tr_str_z("")}};
        list[k] = &some[k];
    }
    if (tr_store_append(w->store, list, n, (apr_time_t)now * 1000000) != APR_SUCCESS) {
        atomic_fetch_add(&shared->refused, (uint64_t)n);
        return;
    }
    for (int k = 0; k < n; k++) {
        CLAIM(some[k].seq == some[0].seq + k && some[k].seq > 0, "number %u is not stored beside the others of its list",
              first + (uint32_t)k);
        atomic_store(&known[first + (uint32_t)k].state, ACKNOWLEDGED);
    }
    atomic_fetch_add(&shared->acknowledged, (uint64_t)n);
}

static void *append_on(void *data)
{
    worker_t *w = data;
    while (!is_over(w))
        append_some(w);
    return NULL;
}

static apr_status_t hear(void *baton, const tr_entry_t *entries, int n)
{
    (void)baton;
    for (int i = 0; i < n; i++)
        recognize(&entries[i]);
    atomic_fetch_add(&shared->heard, (uint64_t)n);
    return APR_SUCCESS;
}

/* What one thread of each process does: retry, follow, clean. */
static void *look_after(void *data)
{
    worker_t *w = data;
    int64_t seq = atomic_load(&shared->last_seq);
    char error[300];
    for (int round = 0; !is_over(w); round++) {
        int n = 0;
        int64_t before = seq;
        if (tr_store_retry(w->store, &n) == APR_SUCCESS)
            atomic_fetch_add(&shared->retried, (uint64_t)n);
        apr_status_t rv = tr_store_follow(w->store, &seq, hear, NULL);
        apr_snprintf(error, sizeof error, "%s", tr_store_follow_error(w->store));
        CLAIM(rv == APR_SUCCESS || strstr(error, "locked") || strstr(error, "busy"), "following: %s", error);
        CLAIM(seq >= before, "following went back from %" PRId64 " to %" PRId64, before, seq);
        if (round % 4 == w->number % 4) {
            int64_t now = atomic_load(&shared->clock_s);
            raise_to(&shared->cleaned_s, now);
            if (tr_store_clean(w->store, &n, now) == APR_SUCCESS)
                atomic_fetch_add(&shared->deleted, (uint64_t)n);
        }
        usleep(5000);
    }
    return NULL;
}

static void open_store(worker_t *w, int number)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    w->number = number;
    if (number >= 0)
        CLAIM(apr_global_mutex_child_init(&locks[number % SERVERS], apr_global_mutex_lockfile(locks[number % SERVERS]), pool) ==
                  APR_SUCCESS,
              "child_init");
    w->store = tr_store_open(&place, id, number >= 0 ? locks[number % SERVERS] : NULL, NULL);
}

static pid_t start_worker(int number)
{
    pthread_t threads[APPENDERS + 1];
    atomic_store(&shared->quit[number], false);
    pid_t pid = fork();
    CLAIM(pid >= 0, "fork");
    if (pid != 0)
        return pid;
    worker_t *w = apr_pcalloc(pool, sizeof *w);
    open_store(w, number);
    for (int i = 0; i <= APPENDERS; i++)
        CLAIM(pthread_create(&threads[i], NULL, i < APPENDERS ? append_on : look_after, w) == 0, "thread");
    for (int i = 0; i <= APPENDERS; i++)
        pthread_join(threads[i], NULL);
    (void)!tr_store_stop(w->store);
    _exit(0);
}

/* ---- somebody who only follows ----------------------------------------------------------------------------- */

static apr_status_t note(void *baton, const tr_entry_t *entries, int n)
{
    unsigned char *heard = baton;
    for (int i = 0; i < n; i++) {
        uint32_t number = recognize(&entries[i]);
        CLAIM(heard[number] == 0 || atomic_load(&known[number].state) == ASKED, "number %u was heard twice", number);
        heard[number] = 1;
    }
    atomic_fetch_add(&shared->watched, (uint64_t)n);
    return APR_SUCCESS;
}

static pid_t start_watcher(void)
{
    uint32_t first = atomic_load(&shared->next);
    pid_t pid = fork();
    CLAIM(pid >= 0, "fork");
    if (pid != 0)
        return pid;
    unsigned char *heard = calloc(most, 1);
    int64_t seq = atomic_load(&shared->last_seq);
    worker_t w;
    open_store(&w, -1);
    do {
        CLAIM(tr_store_follow(w.store, &seq, note, heard) == APR_SUCCESS, "watching: %s", tr_store_follow_error(w.store));
        usleep(2000);
    } while (!atomic_load(&shared->stop));
    /* The others have ended before this one is told to. */
    CLAIM(tr_store_follow(w.store, &seq, note, heard) == APR_SUCCESS, "watching: %s", tr_store_follow_error(w.store));
    for (uint32_t i = first; i < atomic_load(&shared->next) && i < most; i++)
        CLAIM(heard[i] || atomic_load(&known[i].state) != ACKNOWLEDGED ||
                  atomic_load(&known[i].expires_s) < atomic_load(&shared->cleaned_s),
              "number %u was acknowledged and never heard", i);
    _exit(0);
}

/* ---- the database, opened anew ----------------------------------------------------------------------------- */

static apr_status_t count(void *baton, const tr_entry_t *entries, int n)
{
    unsigned char *times = baton;
    for (int i = 0; i < n; i++)
        times[recognize(&entries[i])]++;
    return APR_SUCCESS;
}

/* What a start finds, while others write or when nobody does: all that was acknowledged before it began. */
static void check_database(bool alone)
{
    uint32_t n = atomic_load(&shared->next) < most ? atomic_load(&shared->next) : most;
    unsigned char *times = calloc(most, 1), *before = calloc(most, 1);
    const char *why = "", *warning = NULL;
    tr_store_facts_t facts;
    int64_t last_seq = 0;
    bool synced;
    for (uint32_t i = 0; i < n; i++)
        before[i] = atomic_load(&known[i].state) == ACKNOWLEDGED;
    CLAIM(tr_store_prepare(&facts, &why, &warning, &place, atomic_load(&shared->clock_s), pool) == APR_SUCCESS, "%s", why);
    CLAIM(warning == NULL, "%s", warning);
    CLAIM(!facts.created && strcmp(facts.id, id) == 0, "another database");
    CLAIM(tr_store_load(&last_seq, &synced, &why, &place, id, count, times, pool) == APR_SUCCESS, "%s", why);
    CLAIM(last_seq >= atomic_load(&shared->last_seq), "numbers went back");
    for (uint32_t i = 0; i < n; i++) {
        CLAIM(times[i] > 0 || !before[i] || atomic_load(&known[i].expires_s) < atomic_load(&shared->cleaned_s),
              "number %u was acknowledged and is lost", i);
        CLAIM(times[i] <= (atomic_load(&known[i].state) == ACKNOWLEDGED ? 1 : 2), "number %u is there %d times", i, times[i]);
    }
    if (alone)
        atomic_store(&shared->last_seq, last_seq);
    atomic_fetch_add(&shared->starts, 1);
    free(times);
    free(before);
}

static void expect_end(pid_t pid, bool killed, const char *who)
{
    int status;
    CLAIM(waitpid(pid, &status, 0) == pid, "waitpid");
    CLAIM(killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : WIFEXITED(status) && WEXITSTATUS(status) == 0,
          "%s ended with %x", who, (unsigned)status);
}

/* In a process that ends soon, because its connections stay open; and nobody forks who has any. */
static void check_in_child(bool alone)
{
    pid_t pid = fork();
    CLAIM(pid >= 0, "fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        check_database(alone);
        _exit(0);
    }
    expect_end(pid, false, "the check");
}

/* Another server that starts, again and again. */
static pid_t start_starter(void)
{
    pid_t pid = fork();
    CLAIM(pid >= 0, "fork");
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (!atomic_load(&shared->stop)) {
        check_in_child(false);
        usleep(20000);
    }
    _exit(0);
}

/* ---- rounds ------------------------------------------------------------------------------------------------ */

static uint64_t kills, ends, crashes;

static void disturb(pid_t *workers, uint64_t *seed)
{
    int i = (int)below(seed, WORKERS);
    bool kill_it = below(seed, 4) != 0;
    if (kill_it)
        kill(workers[i], SIGKILL);
    else
        atomic_store(&shared->quit[i], true);
    expect_end(workers[i], kill_it, "a worker");
    kills += kill_it;
    ends += !kill_it;
    workers[i] = start_worker(i);
}

static void end_round(pid_t *workers, pid_t watcher, pid_t starter, bool crash)
{
    for (int i = 0; i < WORKERS; i++)
        atomic_store(&shared->quit[i], !crash);
    if (crash)
        for (int i = 0; i < WORKERS; i++)
            kill(workers[i], SIGKILL);
    if (crash) {
        kill(watcher, SIGKILL);
        kill(starter, SIGKILL);
    }
    for (int i = 0; i < WORKERS; i++)
        expect_end(workers[i], crash, "a worker");
    atomic_store(&shared->stop, true);
    expect_end(watcher, crash, "the watcher");
    expect_end(starter, crash, "the starter");
    crashes += crash;
    check_in_child(true);
}

static void one_round(double seconds, uint64_t *seed, bool crash)
{
    pid_t workers[WORKERS];
    atomic_store(&shared->stop, false);
    pid_t watcher = start_watcher(), starter = start_starter();
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start_worker(i);
    for (double end = now_s() + seconds; now_s() < end;) {
        usleep((useconds_t)(1000 + below(seed, 60000)));
        atomic_fetch_add(&shared->clock_s, 1);
        disturb(workers, seed);
    }
    end_round(workers, watcher, starter, crash);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

static void make_database(void)
{
    const char *tmp = getenv("TMPDIR"), *why = "", *warning = NULL;
    tr_store_facts_t *facts = shared_memory(sizeof *facts);
    snprintf(folder, sizeof folder, "%s/tokrevoke-race-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    CLAIM(mkdtemp(folder) != NULL, "mkdtemp");
    CLAIM(tr_store_parse(&place, &why, apr_pstrcat(pool, "sqlite3:", folder, "/r.db", NULL), "/", pool) == APR_SUCCESS, "%s",
          why);
    pid_t pid = fork();
    CLAIM(pid >= 0, "fork");
    if (pid == 0) {
        CLAIM(tr_store_prepare(facts, &why, &warning, &place, START, pool) == APR_SUCCESS, "%s", why);
        _exit(0);
    }
    expect_end(pid, false, "who made the database");
    strcpy(id, facts->id);
    for (int i = 0; i < SERVERS; i++)
        CLAIM(apr_global_mutex_create(&locks[i], NULL, APR_LOCK_DEFAULT, pool) == APR_SUCCESS, "lock");
}

static bool is_every_case_met(void)
{
    return atomic_load(&shared->acknowledged) > 0 && atomic_load(&shared->deleted) > 0 && atomic_load(&shared->watched) > 0 &&
           kills > 0 && crashes > 0;
}

int main(void)
{
    double seconds = setting("TR_SECONDS", 10), end = now_s() + seconds;
    uint64_t seed = (uint64_t)setting("TR_SEED", 7);
    apr_initialize();
    apr_pool_create(&pool, NULL);
    most = (uint32_t)(seconds * A_SECOND) + 100000;
    shared = shared_memory(sizeof *shared);
    known = shared_memory(most * sizeof *known);
    atomic_store(&shared->clock_s, START);
    make_database();
    /* On a busy machine it takes longer until everything has happened. */
    for (int round = 0; round < 2 || now_s() < end || (!is_every_case_met() && now_s() < end + 60); round++)
        one_round(seconds < 4 ? seconds / 4 : 1, &seed, round % 2 == 0);

    printf("race_store: %" PRIu64 " stored, %" PRIu64 " refused (%" PRIu64 " of them stored later), %" PRIu64 " heard, %" PRIu64
           " watched, %" PRIu64 " deleted, %" PRIu64 " starts; %" PRIu64 " processes killed, %" PRIu64 " ended, %" PRIu64
           " crashes of all\n",
           atomic_load(&shared->acknowledged), atomic_load(&shared->refused), atomic_load(&shared->retried),
           atomic_load(&shared->heard), atomic_load(&shared->watched), atomic_load(&shared->deleted),
           atomic_load(&shared->starts), kills, ends, crashes);
    fflush(stdout);
    CLAIM(is_every_case_met(), "a case was not met");
    CLAIM(atomic_load(&shared->refused) <= atomic_load(&shared->acknowledged) / 10 + 10, "too many were refused");
    nftw(folder, remove_one, 16, FTW_PHYS | FTW_DEPTH);
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
