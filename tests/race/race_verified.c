/*
 * The verified-token cache under threads of several processes, one of which is killed again and again. The cache is so small that
 * writers meet in one place all the time. A mark whose halves are one token's, of which nobody ever put the second, is never
 * found; whatever a place holds is made of whole words that somebody has put; and after all that it still works.
 */
#include "race_common.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tr_verified.h"

enum { TOKENS = 4, NAMES = 64, PROCESSES = 2, THREADS = 3, PLACES = TOKENS * 2 };

typedef struct shared_t {
    _Atomic uint64_t puts, looks, hits, mixed, whole;
    _Atomic bool stop;
} shared_t;

static shared_t *shared;
static tr_verified_t *verified;
static _Atomic uint64_t *words; /* of all places */

/* The first word says which it is, the second belongs to it. */
static uint64_t first(uint64_t i)
{
    return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t second(uint64_t i)
{
    return first(i) ^ UINT64_C(0x5555555555555555);
}

static uint64_t stranger(uint64_t i)
{
    return first(i) ^ UINT64_C(0x3333333333333333);
}

/* Which one's word is this? NAMES: nobody's. */
static uint64_t owner(uint64_t word, uint64_t (*spell)(uint64_t))
{
    uint64_t i = 0;
    while (i < NAMES && spell(i) != word)
        i++;
    return i;
}

static void inspect(void)
{
    for (int p = 0; p < PLACES; p++) {
        uint64_t h0 = atomic_load(&words[2 * p]), h1 = atomic_load(&words[2 * p + 1]);
        CLAIM(h0 == 0 || owner(h0, first) < NAMES, "a first word that nobody has put: %" PRIx64, h0);
        CLAIM(h1 == 0 || owner(h1, second) < NAMES, "a second word that nobody has put: %" PRIx64, h1);
        atomic_fetch_add(owner(h0, first) == owner(h1, second) ? &shared->whole : &shared->mixed, 1);
    }
}

static void *work_on(void *baton)
{
    uint64_t seed = (uint64_t)(uintptr_t)baton, puts = 0, looks = 0, hits = 0;
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        uint64_t i = below(&seed, NAMES), k = below(&seed, NAMES);
        tr_verified_put(verified, (tr_mark_t){{first(i), second(i)}}, 1700000000 + (int64_t)below(&seed, 100), 1700000050);
        CLAIM(!tr_verified_has(verified, (tr_mark_t){{first(k), stranger(k)}}), "a stranger was found");
        CLAIM(!tr_verified_has(verified, (tr_mark_t){{0, 0}}), "a free place was found");
        hits += tr_verified_has(verified, (tr_mark_t){{first(k), second(k)}});
        puts++;
        looks += 3;
        if (puts % 64 == 0)
            inspect();
    }
    atomic_fetch_add(&shared->puts, puts);
    atomic_fetch_add(&shared->looks, looks);
    atomic_fetch_add(&shared->hits, hits);
    return NULL;
}

static pid_t start(int n, uint64_t seed)
{
    pthread_t threads[THREADS];
    pid_t pid = fork();
    CLAIM(pid >= 0, "fork");
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < n; i++)
        CLAIM(pthread_create(&threads[i], NULL, work_on, (void *)(uintptr_t)(seed + (uint64_t)i)) == 0, "thread %d", i);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    exit(0);
}

static uint64_t kill_for(double seconds, const pid_t *pids)
{
    uint64_t order = 3, kills = 0;
    int status;
    for (double end = now_s() + seconds; now_s() < end; kills++) {
        pid_t victim = start(1, 90000 + kills);
        usleep((useconds_t)(200 + below(&order, 3000)));
        kill(victim, SIGKILL);
        CLAIM(waitpid(victim, &status, 0) == victim && WIFSIGNALED(status), "a writer ended by itself: %d", status);
        for (int i = 0; i < PROCESSES; i++)
            CLAIM(waitpid(pids[i], &status, WNOHANG) == 0, "a process ended with %d", status);
    }
    return kills;
}

int main(void)
{
    apr_size_t size = tr_verified_size(TOKENS);
    char *base = shared_memory(size);
    pid_t pids[PROCESSES];
    apr_pool_t *pool;
    int status = -1;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    shared = shared_memory(sizeof *shared);
    CLAIM(tr_verified_create(&verified, base, size, TOKENS, pool) == APR_SUCCESS, "tr_verified_create");
    words = (_Atomic uint64_t *)(base + 64);
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = start(THREADS, 1000 * (uint64_t)(i + 1));
    uint64_t kills = kill_for(setting("TR_SECONDS", 10), pids);
    atomic_store(&shared->stop, true);
    for (int i = 0; i < PROCESSES; i++)
        CLAIM(waitpid(pids[i], &status, 0) == pids[i] && status == 0, "a process ended with %d", status);
    for (uint64_t i = 0; i < NAMES; i++) {
        tr_verified_put(verified, (tr_mark_t){{first(i), second(i)}}, 1800000000, 1700000200);
        CLAIM(tr_verified_has(verified, (tr_mark_t){{first(i), second(i)}}), "%" PRIu64 " was put and is not there", i);
    }
    printf("race_verified: %" PRIu64 " put, %" PRIu64 " looks (%" PRIu64 " found), %" PRIu64 " places seen whole, %" PRIu64
           " mixed, %" PRIu64 " writers killed\n",
           atomic_load(&shared->puts), atomic_load(&shared->looks), atomic_load(&shared->hits), atomic_load(&shared->whole),
           atomic_load(&shared->mixed), kills);
    CLAIM(atomic_load(&shared->hits) > 0 && atomic_load(&shared->whole) > 0 && kills > 0, "a case was not met");
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
