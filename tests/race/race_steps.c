/*
 * A writer killed at every single instruction. A child makes one change to a small shared table under ptrace, one instruction at a
 * time; whenever the memory has changed, the moment is judged twice: as a reader sees it while the writer is stopped, and, on a
 * copy, as the next writer finds it if this one dies here. Whoever dies while an entry grows leaves nothing behind that looks as
 * if the whole of it were on disk.
 */
#include "race_common.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW 1700000000
#define ISS "https://idp.example.com/"

enum { NAMES = 48, MOST = 24 };

/* What must hold of one name from now on. */
typedef struct known_t {
    char name[16];
    tr_mark_t mark;
    tr_kind_t kind;
    bool live;                         /* must be found */
    bool possible;                     /* may be found */
    apr_time_t cut_off, other_cut_off; /* either */
    bool durable;                      /* it was said to be on disk */
    tr_entry_t stored;                 /* as this */
} known_t;

typedef enum change_t { INSERT, LENGTHEN, SWEEP, INSERT_AFTER_DEATH, CHANGES } change_t;

typedef struct scene_t {
    tr_table_t *table, *copy;
    void *base, *copy_base, *before;
    apr_size_t size;
    uint32_t capacity;
    int64_t now_s;
    uint64_t seed;
    known_t known[NAMES];
    uint32_t held;
} scene_t;

static uint64_t steps, moments;

static tr_entry_t entry_of(const known_t *k, int64_t expires_s, apr_time_t cut_off)
{
    tr_entry_t e = {k->kind, tr_str_z(ISS), tr_str_z(k->name), cut_off, expires_s};
    return e;
}

static apr_status_t insert(tr_table_t *table, const tr_entry_t *e, int64_t at_s)
{
    tr_table_begin_locked(table);
    apr_status_t rv = tr_table_insert_locked(table, e, at_s);
    tr_table_end_locked(table);
    return rv;
}

/* ---- judging a moment -------------------------------------------------------------------------------------- */

static uint32_t judge_reader(const scene_t *s, const tr_table_t *table)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < NAMES; i++) {
        const known_t *k = &s->known[i];
        apr_time_t got = -1;
        bool here = tr_table_lookup(table, &got, k->mark);
        CLAIM(here || !k->live, "%s is gone", k->name);
        CLAIM(!here || k->possible, "%s is there", k->name);
        CLAIM(!here || tr_table_has(table, k->kind), "%s is there, and nobody says so", k->name);
        if (here && tr_kind_has_cut_off(k->kind))
            CLAIM(got == k->cut_off || got == k->other_cut_off, "%s has the cut-off %" PRId64, k->name, (int64_t)got);
        found += here;
    }
    return found;
}

static void judge_counts(const tr_table_t *table, uint32_t found)
{
    tr_table_stats_t stats;
    uint32_t sum = 0;
    tr_table_stats(&stats, table);
    for (int kind = 0; kind < TR_KINDS; kind++) {
        sum += stats.by_kind[kind];
        CLAIM(tr_table_has(table, kind) == (stats.by_kind[kind] != 0), "kind %d is said to be there: not so", kind);
    }
    CLAIM(stats.used == found && sum == found, "%u and %u counted, %u found", stats.used, sum, found);
}

/* Nothing counts as on disk that is not. */
static void judge_durable(const scene_t *s, const tr_table_t *table)
{
    for (uint32_t i = 0; i < NAMES; i++) {
        const known_t *k = &s->known[i];
        tr_entry_t any = entry_of(k, 0, 0), longer = k->stored, later = k->stored;
        longer.expires_s++;
        later.issued_before++;
        if (!k->durable) {
            CLAIM(!tr_table_is_durable_locked(table, &any), "%s is on disk, and nobody said so", k->name);
            continue;
        }
        CLAIM(!tr_table_is_durable_locked(table, &longer), "%s is on disk for longer than it is", k->name);
        CLAIM(!tr_kind_has_cut_off(k->kind) || !tr_table_is_durable_locked(table, &later),
              "%s is on disk with a later cut-off than it has", k->name);
    }
}

/* Every place must still be usable: the table fills up to its capacity, and nothing of before is lost by that. */
static void judge_room(const scene_t *s, tr_table_t *table)
{
    uint32_t inserted = 0;
    tr_table_stats_t stats;
    char name[16];
    for (; inserted <= s->capacity; inserted++) {
        snprintf(name, sizeof name, "fill%u", inserted);
        tr_entry_t e = {TR_KIND_TOKEN, tr_str_z(ISS), tr_str_z(name), 0, TR_FOREVER};
        if (insert(table, &e, s->now_s) != APR_SUCCESS)
            break;
    }
    tr_table_stats(&stats, table);
    CLAIM(stats.used == s->capacity, "full with %u of %u", stats.used, s->capacity);
    for (uint32_t i = 0; i < NAMES; i++)
        CLAIM(!s->known[i].live || tr_table_lookup(table, NULL, s->known[i].mark), "%s was pushed out", s->known[i].name);
}

static void judge_moment(scene_t *s)
{
    moments++;
    judge_reader(s, s->table);
    memcpy(s->copy_base, s->base, s->size);
    tr_table_begin_locked(s->copy);
    uint32_t found = judge_reader(s, s->copy);
    judge_counts(s->copy, found);
    judge_durable(s, s->copy);
    tr_table_end_locked(s->copy);
    judge_room(s, s->copy);
}

/* ---- one change, step by step ------------------------------------------------------------------------------ */

/* The child: stop, change, exit. */
static void change(const scene_t *s, const tr_entry_t *e, bool sweep)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(9);
    raise(SIGSTOP);
    tr_table_begin_locked(s->table);
    apr_status_t rv = APR_SUCCESS;
    if (sweep)
        tr_table_sweep_locked(s->table, s->now_s, 0);
    else
        rv = tr_table_insert_locked(s->table, e, s->now_s);
    tr_table_end_locked(s->table);
    _exit(rv == APR_SUCCESS ? 0 : 1);
}

static int follow(scene_t *s, pid_t pid)
{
    int status;
    CLAIM(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status), "no ptrace here? status %x", status);
    memcpy(s->before, s->base, s->size);
    judge_moment(s);
    while (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0) {
        CLAIM(waitpid(pid, &status, 0) == pid, "waitpid");
        if (WIFEXITED(status))
            return WEXITSTATUS(status);
        CLAIM(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP, "stopped by %x", status);
        steps++;
        if (memcmp(s->before, s->base, s->size) == 0)
            continue;
        memcpy(s->before, s->base, s->size);
        judge_moment(s);
    }
    CLAIM(false, "ptrace");
    return -1;
}

static void step_through(scene_t *s, const tr_entry_t *e, bool sweep, int want)
{
    pid_t pid = fork();
    CLAIM(pid >= 0, "fork");
    if (pid == 0)
        change(s, e, sweep);
    int status = follow(s, pid);
    CLAIM(status == want, "the change ended with %d, not %d", status, want);
    judge_moment(s);
}

/* ---- scenes ------------------------------------------------------------------------------------------------ */

/* A table with some live and some expired entries. */
static void set_scene(scene_t *s)
{
    s->now_s = NOW;
    s->held = (uint32_t)below(&s->seed, s->capacity + 1);
    for (uint32_t i = 0; i < s->held; i++) {
        known_t *k = &s->known[i];
        bool live = below(&s->seed, 3) != 0;
        tr_entry_t e = entry_of(k, live ? NOW + 1000 : NOW + 10, (apr_time_t)below(&s->seed, 1u << 20));
        CLAIM(insert(s->table, &e, NOW) == APR_SUCCESS, "insert");
        k->live = live;
        k->possible = true;
        k->cut_off = k->other_cut_off = e.issued_before;
        k->stored = e;
        k->durable = below(&s->seed, 2) != 0;
        if (k->durable)
            tr_table_set_durable(s->table, &e);
    }
    s->now_s = NOW + 100;
}

static uint32_t count_live(const scene_t *s)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < NAMES; i++)
        live += s->known[i].live;
    return live;
}

static void step_insert(scene_t *s)
{
    known_t *k = &s->known[s->held];
    tr_entry_t e = entry_of(k, s->now_s + 50, 777);
    bool room = count_live(s) < s->capacity;
    k->possible = room;
    k->cut_off = k->other_cut_off = 777;
    step_through(s, &e, false, room ? 0 : 1);
    k->live = room;
    judge_moment(s);
}

static void step_lengthen(scene_t *s)
{
    known_t *k = &s->known[below(&s->seed, s->held)];
    tr_entry_t e = entry_of(k, s->now_s + 5000, k->cut_off + 5);
    bool was_live = k->live;
    k->other_cut_off = e.issued_before;
    step_through(s, &e, false, 0);
    k->live = true;
    k->cut_off = was_live ? k->other_cut_off : k->cut_off;
    judge_moment(s);
    s->now_s += 4000;
    for (uint32_t i = 0; i < NAMES; i++)
        s->known[i].live = &s->known[i] == k;
    judge_moment(s);
}

static void play(scene_t *s, change_t what)
{
    set_scene(s);
    switch (what) {
    case LENGTHEN:
        if (s->held > 0)
            step_lengthen(s);
        break;
    case SWEEP:
        step_through(s, NULL, true, 0);
        for (uint32_t i = 0; i < NAMES; i++)
            s->known[i].possible = s->known[i].live;
        judge_moment(s);
        break;
    case INSERT_AFTER_DEATH:
        tr_table_begin_locked(s->table); /* and no end: the next writer has to repair, and dies at that too */
        step_insert(s);
        break;
    default:
        step_insert(s);
        break;
    }
}

static void one_scene(uint64_t number, apr_pool_t *pool)
{
    scene_t *s = apr_pcalloc(pool, sizeof *s);
    s->seed = number;
    s->capacity = 1 + (uint32_t)below(&s->seed, MOST);
    s->size = tr_table_size(s->capacity);
    s->base = shared_memory(s->size);
    s->copy_base = shared_memory(s->size);
    s->before = apr_palloc(pool, s->size);
    CLAIM(tr_table_create(&s->table, s->base, s->size, s->capacity, NULL, pool) == APR_SUCCESS, "create");
    memcpy(s->copy_base, s->base, s->size);
    CLAIM(tr_table_attach(&s->copy, s->copy_base, s->size, pool) == APR_SUCCESS, "attach");
    for (uint32_t i = 0; i < NAMES; i++) {
        known_t *k = &s->known[i];
        snprintf(k->name, sizeof k->name, "n%u", i);
        k->kind = (tr_kind_t)(i % TR_KINDS);
        k->mark = tr_table_mark(s->table, k->kind, tr_str_z(ISS), tr_str_z(k->name));
    }
    play(s, (change_t)(number % CHANGES));
    munmap(s->base, s->size);
    munmap(s->copy_base, s->size);
}

int main(void)
{
    double end = now_s() + setting("TR_SECONDS", 10);
    uint64_t scenes = 0;
    apr_pool_t *pool;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    for (; scenes < CHANGES || now_s() < end; scenes++) {
        one_scene(scenes, pool);
        apr_pool_clear(pool);
    }
    printf("race_steps: %" PRIu64 " changes in %" PRIu64 " steps, %" PRIu64 " moments to die at, none did harm\n", scenes, steps,
           moments);
    CLAIM(moments > scenes * 4 && steps > moments, "the writer was not followed");
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
