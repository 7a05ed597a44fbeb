/*
 * One table, many users: a process of reader and writer threads, and a writer process that is killed at random moments, again and
 * again. Every entry that was acknowledged and is alive is found at every moment by every reader; nothing is found that was never
 * inserted; a cut-off is never older than acknowledged and never another entry's; nothing counts as on disk that nobody said is;
 * after each death the counts agree with what can be found. The clock is a counter in shared memory that writers advance.
 */
#include "race_common.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CAPACITY = 4096,
    NAMES = 6144,
    STRANGERS = 2048,
    INSERTS_A_TICK = 530,
    LONGEST_LIFE = 40,
    READERS = 2,
    WRITERS = 2,
    HOT = 4
};

typedef struct shared_t {
    pthread_mutex_t lock;
    _Atomic int64_t clock_s;
    _Atomic int64_t alive_until[NAMES];  /* acknowledged: in force to the end of this second */
    _Atomic int64_t cut_off[NAMES];      /* acknowledged */
    _Atomic int64_t stored_until[NAMES]; /* said to be on disk, or about to be */
    _Atomic int64_t stored_cut_off[NAMES];
    _Atomic uint32_t inserts_in_tick;
    _Atomic uint64_t inserts, full, looks, hits, durable, owner_died;
    _Atomic bool stop;
} shared_t;

static shared_t *shared;
static tr_table_t *table;
static tr_mark_t marks[NAMES], strangers[STRANGERS];
static char names[NAMES][16];

/* Odd names have a cut-off that tells whose it is: their number above, a time that only grows below. */
static tr_kind_t kind_of(uint32_t i)
{
    return i % 2 ? (tr_kind_t)(1 + i / 2 % 4) : i % 4 ? TR_KIND_TOKEN : TR_KIND_DIGEST;
}

static void lock(void)
{
    int rv = pthread_mutex_lock(&shared->lock);
    if (rv == EOWNERDEAD) {
        atomic_fetch_add(&shared->owner_died, 1);
        rv = pthread_mutex_consistent(&shared->lock);
    }
    CLAIM(rv == 0, "lock: %d", rv);
    tr_table_begin_locked(table);
}

static void unlock(void)
{
    tr_table_end_locked(table);
    CLAIM(pthread_mutex_unlock(&shared->lock) == 0, "unlock");
}

/* ---- writing ----------------------------------------------------------------------------------------------- */

static void acknowledge(uint32_t i, const tr_entry_t *e)
{
    if (e->expires_s > atomic_load(&shared->alive_until[i]))
        atomic_store(&shared->alive_until[i], e->expires_s);
    if (e->issued_before > atomic_load(&shared->cut_off[i]))
        atomic_store(&shared->cut_off[i], e->issued_before);
}

/* Without the lock, as whoever stored it does. */
static void say_durable(uint32_t i, const tr_entry_t *e)
{
    raise_to(&shared->stored_until[i], e->expires_s);
    raise_to(&shared->stored_cut_off[i], e->issued_before);
    tr_table_set_durable(table, e);
}

/* With the lock: nothing counts as on disk for longer, or with a later cut-off, than anybody said. */
static bool look_whether_durable(uint32_t i)
{
    int64_t until = atomic_load(&shared->stored_until[i]), cut_off = atomic_load(&shared->stored_cut_off[i]);
    tr_entry_t e = {kind_of(i), tr_str_z("https://idp.example.com/"), tr_str_z(names[i]), 0, 0}, longer = e, later = e;
    longer.expires_s = until + 1;
    later.issued_before = cut_off + 1;
    bool too_long = tr_table_is_durable_locked(table, &longer);
    bool too_late = i % 2 && tr_table_is_durable_locked(table, &later);
    CLAIM(!too_long || atomic_load(&shared->stored_until[i]) > until, "entry %u is on disk for longer than it is", i);
    CLAIM(!too_late || atomic_load(&shared->stored_cut_off[i]) > cut_off, "entry %u is on disk with a later cut-off", i);
    return tr_table_is_durable_locked(table, &e);
}

static void insert_one(uint64_t *seed)
{
    uint32_t i = (uint32_t)below(seed, below(seed, 4) ? NAMES : HOT);
    lock();
    if (i < HOT)
        look_whether_durable(i);
    int64_t clock_s = atomic_load(&shared->clock_s);
    tr_entry_t e = {kind_of(i), tr_str_z("https://idp.example.com/"), tr_str_z(names[i]), (apr_time_t)i << 40 | clock_s,
                    clock_s + 1 + (int64_t)below(seed, LONGEST_LIFE)};
    apr_status_t rv = tr_table_insert_locked(table, &e, clock_s);
    CLAIM(rv == APR_SUCCESS || rv == APR_ENOSPC, "insert: %d", rv);
    if (rv == APR_SUCCESS)
        acknowledge(i, &e);
    if (atomic_fetch_add(&shared->inserts_in_tick, 1) >= INSERTS_A_TICK) {
        atomic_store(&shared->inserts_in_tick, 0);
        atomic_fetch_add(&shared->clock_s, 1);
    }
    atomic_fetch_add(rv == APR_SUCCESS ? &shared->inserts : &shared->full, 1);
    unlock();
    if (rv == APR_SUCCESS && below(seed, 2))
        say_durable(i, &e);
}

/* A few entries, again and again, while they grow. */
static void *vouch_on(void *baton)
{
    uint64_t seed = (uint64_t)(uintptr_t)baton;
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        uint32_t i = (uint32_t)below(&seed, HOT);
        tr_entry_t e = {kind_of(i), tr_str_z("https://idp.example.com/"), tr_str_z(names[i]), atomic_load(&shared->cut_off[i]),
                        atomic_load(&shared->alive_until[i])};
        say_durable(i, &e);
    }
    return NULL;
}

static void sweep_some(uint64_t *seed)
{
    lock();
    tr_table_sweep_locked(table, atomic_load(&shared->clock_s), below(seed, 4) ? 1 + (uint32_t)below(seed, 200) : 0);
    unlock();
}

static void *write_on(void *baton)
{
    uint64_t seed = (uint64_t)(uintptr_t)baton;
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        if (below(&seed, 50))
            insert_one(&seed);
        else
            sweep_some(&seed);
    }
    return NULL;
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

/* Without the lock, while others write and die. */
static bool look(uint32_t i)
{
    int64_t alive_until = atomic_load(&shared->alive_until[i]), cut_off = atomic_load(&shared->cut_off[i]);
    apr_time_t got = -1;
    bool found = tr_table_lookup(table, &got, marks[i]);
    int64_t clock_s = atomic_load(&shared->clock_s);
    CLAIM(found || alive_until <= clock_s, "entry %u is gone at %" PRId64 ", acknowledged to %" PRId64, i, clock_s, alive_until);
    if (!found || i % 2 == 0)
        return found;
    CLAIM(got >> 40 == (apr_time_t)i, "entry %u has the cut-off of %" PRId64, i, (int64_t)got >> 40);
    CLAIM(got >= cut_off || alive_until <= clock_s, "entry %u: cut-off %" PRId64 ", acknowledged %" PRId64, i, (int64_t)got,
          cut_off);
    return true;
}

static void *read_on(void *baton)
{
    uint64_t seed = (uint64_t)(uintptr_t)baton, looks = 0, hits = 0;
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        hits += look((uint32_t)below(&seed, NAMES));
        CLAIM(!tr_table_lookup(table, NULL, strangers[below(&seed, STRANGERS)]), "a stranger is in the table");
        looks++;
    }
    atomic_fetch_add(&shared->looks, looks);
    atomic_fetch_add(&shared->hits, hits);
    return NULL;
}

/* With the lock: nothing is acknowledged that is not there, and what is there is what is counted. */
static void compare_counts(void)
{
    uint32_t found = 0, durable = 0, by_kind[TR_KINDS] = {0};
    tr_table_stats_t stats;
    lock();
    for (uint32_t i = 0; i < NAMES; i++) {
        if (look(i)) {
            found++;
            by_kind[kind_of(i)]++;
        }
        durable += look_whether_durable(i);
    }
    atomic_fetch_add(&shared->durable, durable);
    tr_table_stats(&stats, table);
    CLAIM(stats.used == found, "%u counted, %u found", stats.used, found);
    CLAIM(found <= CAPACITY, "%u in a table for %d", found, CAPACITY);
    for (int kind = 0; kind < TR_KINDS; kind++) {
        CLAIM(stats.by_kind[kind] == by_kind[kind], "kind %d: %u counted, %u found", kind, stats.by_kind[kind], by_kind[kind]);
        CLAIM(tr_table_has(table, kind) == (by_kind[kind] != 0), "kind %d is said to be there: not so", kind);
    }
    unlock();
}

/* ---- processes --------------------------------------------------------------------------------------------- */

static pid_t start_threads(void)
{
    pthread_t threads[READERS + WRITERS + 1];
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < READERS + WRITERS + 1; i++) {
        void *(*work)(void *) = i < READERS ? read_on : i < READERS + WRITERS ? write_on : vouch_on;
        CLAIM(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(1000 + i)) == 0, "thread %d", i);
    }
    for (int i = 0; i < READERS + WRITERS + 1; i++)
        pthread_join(threads[i], NULL);
    exit(0);
}

static pid_t start_victim(uint64_t seed)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    write_on((void *)(uintptr_t)seed);
    exit(0);
}

static void check_alive(pid_t pid)
{
    int status;
    CLAIM(waitpid(pid, &status, WNOHANG) == 0, "the threads' process ended with %d", status);
}

static void kill_victim(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    CLAIM(waitpid(pid, &status, 0) == pid, "waitpid");
    CLAIM(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a writer ended by itself: %d", status);
}

static uint64_t recoveries(void)
{
    tr_table_stats_t stats;
    tr_table_stats(&stats, table);
    return stats.recovered;
}

static uint64_t kill_writers_for(double seconds, pid_t threads)
{
    uint64_t seed = 99, kills = 0;
    /* A busy machine hardly lets a writer reach the lock; then it takes longer until some have died with it. */
    for (double end = now_s() + seconds; now_s() < end || (recoveries() == 0 && now_s() < end + 60); kills++) {
        pid_t victim = start_victim(5000 + kills);
        CLAIM(victim > 0, "fork");
        usleep((useconds_t)(200 + below(&seed, 3000)));
        kill_victim(victim);
        compare_counts();
        check_alive(threads);
    }
    return kills;
}

static void make_names(void)
{
    char stranger[16];
    for (uint32_t i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof names[i], "n%u", i);
        marks[i] = tr_table_mark(table, kind_of(i), tr_str_z("https://idp.example.com/"), tr_str_z(names[i]));
    }
    for (uint32_t i = 0; i < STRANGERS; i++) {
        snprintf(stranger, sizeof stranger, "s%u", i);
        strangers[i] = tr_table_mark(table, TR_KIND_TOKEN, tr_str_z("https://idp.example.com/"), tr_str_z(stranger));
    }
}

static void make_lock(void)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    CLAIM(pthread_mutex_init(&shared->lock, &attr) == 0, "pthread_mutex_init");
    pthread_mutexattr_destroy(&attr);
}

int main(void)
{
    double seconds = setting("TR_SECONDS", 10);
    tr_table_stats_t stats;
    apr_pool_t *pool;
    int status = -1;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    shared = shared_memory(sizeof *shared);
    atomic_store(&shared->clock_s, 1700000000);
    make_lock();
    table = shared_table(CAPACITY, pool);
    make_names();

    pid_t threads = start_threads();
    uint64_t kills = kill_writers_for(seconds, threads);
    atomic_store(&shared->stop, true);
    CLAIM(waitpid(threads, &status, 0) == threads && status == 0, "the threads' process ended with %d", status);
    compare_counts();

    tr_table_stats(&stats, table);
    printf("race_table: %" PRIu64 " inserts, %" PRIu64 " refused as full, %" PRIu64 " look-ups (%" PRIu64 " found), %" PRIu64
           " writers killed, %" PRIu64 " of them with the lock, %" PRIu64 " recoveries, %" PRIu64 " reclaimed\n",
           atomic_load(&shared->inserts), atomic_load(&shared->full), atomic_load(&shared->looks), atomic_load(&shared->hits),
           kills, atomic_load(&shared->owner_died), stats.recovered, stats.reclaimed);
    CLAIM(atomic_load(&shared->hits) > 0 && atomic_load(&shared->durable) > 0 && stats.reclaimed > 0 &&
              atomic_load(&shared->full) > 0,
          "a case was not met");
    CLAIM(stats.recovered > 0 && atomic_load(&shared->owner_died) > 0, "no writer died with the lock");
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
