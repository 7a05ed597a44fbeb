/*
 * Keys that are replaced under their kid as fast as a file can be written, while the threads of two processes check tokens of both
 * keys by one small verified-token cache. Each process follows a file of its own, so that one may hold the old key while the
 * other has the new one. Whenever the key stood still during a check, the answer is what that key says: nothing that was
 * remembered under the other one counts. Gates that keep one of the keys for ever share the memory, and never change their mind.
 */
#include "race_common.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "../unit/tr_testing.h"
#include "tr_gate.h"
#include "tr_reason.h"

enum { PROCESSES = 2, THREADS = 3, TOKENS = 24, REMEMBERED = 12, NOW = 1700000000 };
enum { KEY_A, KEY_B, KEYS };
enum { TURNING, STEADY_A, STEADY_B, GATES };

typedef struct shared_t {
    _Atomic uint64_t checks, still, hits, changes;
    _Atomic bool stop;
} shared_t;

static shared_t *shared;
static const char *const key_names[KEYS] = {"oct32", "oct32#2"};
static char *tokens[KEYS][TOKENS], *sets[KEYS];
static tr_verified_t *verified;
static tr_table_t *table;

/* Of one process. */
static tr_gate_t gates[GATES];
static tr_issuer_t issuers[GATES];
static char path[256];
static _Atomic uint64_t phase; /* 4n: key A, 4n + 2: key B, odd: one is being replaced by the other */

static void hear(void *baton, const char *where, apr_size_t keys, const char *err)
{
    (void)baton, (void)where;
    CLAIM(err == NULL && keys == 1, "%s", err ? err : "no key");
}

static void write_set(int key)
{
    char fresh[280];
    FILE *f;
    snprintf(fresh, sizeof fresh, "%s.new", path);
    f = fopen(fresh, "w");
    CLAIM(f != NULL && fputs(sets[key], f) >= 0 && fclose(f) == 0, "%s", fresh);
    CLAIM(rename(fresh, path) == 0, "%s", path);
}

static void open_gate(int which, apr_pool_t *pool)
{
    const char *why = "";
    tr_issuer_t *issuer = &issuers[which];
    issuer->iss = "joe";
    issuer->skew_s = 60;
    issuer->max_lifetime_s = TR_UNLIMITED;
    issuer->keyring = tr_keyring_make(pool);
    if (which == TURNING)
        CLAIM(tr_keyring_add_file(issuer->keyring, &why, path) == APR_SUCCESS, "%s", why);
    else
        tr_keyring_add(issuer->keyring, tt_read_jwk(pool, tt_jwk(pool, tt_key(key_names[which == STEADY_B]), ",\"kid\":\"k\"")));
    gates[which].issuers = apr_hash_make(pool);
    apr_hash_set(gates[which].issuers, "joe", APR_HASH_KEY_STRING, issuer);
    gates[which].table = table;
    gates[which].verified = verified;
    gates[which].generation = tr_generation_make(gates[which].issuers, pool);
}

static bool is_remembered(const tr_gate_t *gate, tr_str_t text)
{
    tr_generation_seen_t seen;
    return tr_generation_take(&seen, gate->generation) &&
           tr_verified_has(gate->verified,
                           tr_verified_mark(gate->verified, tr_str((const char *)seen.name, sizeof seen.name), text));
}

static apr_status_t admit(int which, const char *token, apr_pool_t *pool)
{
    tr_identity_t identity;
    apr_status_t rv;
    apr_pool_clear(pool);
    rv = tr_gate_admit(&identity, &gates[which], tr_str_z(token), "sub", apr_time_from_sec(NOW), pool);
    CLAIM(rv == APR_SUCCESS || rv == TR_BAD_SIGNATURE, "%d", rv);
    return rv;
}

static void *check_on(void *baton)
{
    uint64_t seed = (uint64_t)(uintptr_t)baton, checks = 0, still = 0, hits = 0;
    apr_pool_t *pool;
    apr_pool_create(&pool, NULL);
    for (; !atomic_load_explicit(&shared->stop, memory_order_relaxed); checks++) {
        int key = (int)below(&seed, KEYS);
        const char *token = tokens[key][below(&seed, TOKENS)];
        uint64_t before = atomic_load(&phase);
        apr_status_t rv = admit(TURNING, token, pool);
        if (before % 2 == 0 && atomic_load(&phase) == before) {
            int holds = before % 4 == 0 ? KEY_A : KEY_B;
            CLAIM(rv == (key == holds ? APR_SUCCESS : TR_BAD_SIGNATURE), "a token of key %d, under key %d: %d", key, holds, rv);
            still++;
        }
        if (checks % 4 == 0) {
            int steady = below(&seed, 2) ? STEADY_A : STEADY_B;
            hits += is_remembered(&gates[steady], tr_str_z(token));
            rv = admit(steady, token, pool);
            CLAIM(rv == (key == (steady == STEADY_B) ? APR_SUCCESS : TR_BAD_SIGNATURE), "a steady gate changed its mind: %d", rv);
        }
    }
    atomic_fetch_add(&shared->checks, checks);
    atomic_fetch_add(&shared->still, still);
    atomic_fetch_add(&shared->hits, hits);
    apr_pool_destroy(pool);
    return NULL;
}

/* Until the time is over. The clock that says when a file was read is ahead, so that each change is seen. */
static void turn(double seconds)
{
    apr_time_t at = apr_time_now();
    uint64_t seed = 5 + (uint64_t)getpid();
    for (double end = now_s() + seconds; now_s() < end;) {
        int next = atomic_load(&phase) % 4 == 0 ? KEY_B : KEY_A;
        write_set(next);
        at += apr_time_from_sec(1);
        atomic_fetch_add(&phase, 1);
        tr_keyring_refresh(issuers[TURNING].keyring, at, hear, NULL);
        atomic_fetch_add(&phase, 1);
        atomic_fetch_add(&shared->changes, 1);
        usleep((useconds_t)below(&seed, 2000));
    }
}

static pid_t start(uint64_t seed, double seconds)
{
    pthread_t threads[THREADS];
    const char *tmp = getenv("TMPDIR");
    apr_pool_t *pool;
    pid_t pid = fork();
    CLAIM(pid >= 0, "fork");
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    apr_pool_create(&pool, NULL);
    snprintf(path, sizeof path, "%s/race_generation.%ld.json", tmp ? tmp : "/tmp", (long)getpid());
    write_set(KEY_A);
    for (int which = 0; which < GATES; which++)
        open_gate(which, pool);
    for (int i = 0; i < THREADS; i++)
        CLAIM(pthread_create(&threads[i], NULL, check_on, (void *)(uintptr_t)(seed + (uint64_t)i)) == 0, "thread %d", i);
    turn(seconds);
    atomic_store(&shared->stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    unlink(path);
    apr_pool_destroy(pool);
    exit(0);
}

static void prepare(apr_pool_t *pool)
{
    apr_size_t size = tr_verified_size(REMEMBERED);
    for (int key = 0; key < KEYS; key++) {
        const tt_key_t *secret = tt_key(key_names[key]);
        sets[key] = tt_jwks(pool, tt_jwk(pool, secret, ",\"kid\":\"k\""), NULL);
        for (int i = 0; i < TOKENS; i++)
            tokens[key][i] =
                tt_mint(pool, "HS256", secret, "k",
                        tt_print(pool, "{\"iss\":\"joe\",\"sub\":\"s%d\",\"jti\":\"%d\",\"exp\":%d}", i, i, NOW + 60 + i));
    }
    shared = shared_memory(sizeof *shared);
    table = shared_table(100, pool);
    CLAIM(tr_verified_create(&verified, shared_memory(size), size, REMEMBERED, pool) == APR_SUCCESS, "tr_verified_create");
}

int main(void)
{
    pid_t pids[PROCESSES];
    apr_pool_t *pool;
    int status = -1;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    prepare(pool);
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = start(1000 * (uint64_t)(i + 1), setting("TR_SECONDS", 10));
    for (int i = 0; i < PROCESSES; i++)
        CLAIM(waitpid(pids[i], &status, 0) == pids[i] && status == 0, "a process ended with %d", status);
    printf("race_generation: %" PRIu64 " checks, %" PRIu64 " of them while the key stood still, %" PRIu64
           " changes of keys, %" PRIu64 " found in the memory\n",
           atomic_load(&shared->checks), atomic_load(&shared->still), atomic_load(&shared->changes), atomic_load(&shared->hits));
    CLAIM(atomic_load(&shared->still) > 0 && atomic_load(&shared->changes) > 0 && atomic_load(&shared->hits) > 0,
          "a case was not met");
    tt_keys_free();
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
