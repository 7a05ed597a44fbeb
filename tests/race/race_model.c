/*
 * Ten million random operations on tables of many sizes, each compared with a plain list that knows what must be in the table.
 * An expired entry may still be there or not; everything else is certain.
 */
#include "race_common.h"

#include <inttypes.h>

#define MAX_NAMES 1024

/* What the model knows of one name. */
typedef struct known_t {
    tr_mark_t mark;
    tr_kind_t kind;
    char name[16];
    bool held;          /* it was inserted, and nothing has shown since that it is gone */
    int64_t expires_s;  /* the latest end it was given */
    apr_time_t cut_off; /* the latest cut-off it was given since it was certainly absent */
    apr_time_t newest;  /* the cut-off of the last insert alone: what is left if the old entry made room first */
    bool durable;       /* it was said to be on disk, and nothing grew since */
    tr_entry_t stored;  /* what was said to be on disk */
} known_t;

typedef struct model_t {
    tr_table_t *table;
    uint32_t capacity;
    uint32_t names;
    int64_t clock_s;
    uint64_t seed, full;
    known_t known[MAX_NAMES];
} model_t;

static model_t m;
static uint64_t inserts, refused, hits, durables; /* over all tables, to see that every case was met */

static bool live(const known_t *k)
{
    return k->held && k->expires_s > m.clock_s;
}

static void count_live(uint32_t *certain, uint32_t *possible)
{
    *certain = *possible = 0;
    for (uint32_t i = 0; i < m.names; i++) {
        *certain += live(&m.known[i]);
        *possible += m.known[i].held && m.known[i].expires_s >= m.clock_s;
    }
}

/* Ask the table about a name, and hold the answer against the model. */
static bool look(known_t *k)
{
    apr_time_t got = -1;
    bool found = tr_table_lookup(m.table, &got, k->mark);
    CLAIM(found || !live(k), "%s is gone at %" PRId64 ", should live to %" PRId64, k->name, m.clock_s, k->expires_s);
    CLAIM(!found || k->held, "%s was never inserted, or went before", k->name);
    if (found && tr_kind_has_cut_off(k->kind))
        CLAIM(got == k->cut_off || got == k->newest, "%s: cut-off %" PRId64 ", should be %" PRId64, k->name, (int64_t)got,
              (int64_t)k->cut_off);
    if (!found)
        k->held = k->durable = false;
    hits += found;
    return found;
}

static int64_t some_end(void)
{
    uint64_t dice = below(&m.seed, 100);
    if (dice == 0)
        return TR_FOREVER;
    if (dice < 10)
        return m.clock_s + 1 + (int64_t)below(&m.seed, 10000);
    return m.clock_s + 1 + (int64_t)below(&m.seed, 60);
}

static bool has_cut_off(const known_t *k)
{
    return tr_kind_has_cut_off(k->kind);
}

static bool is_durable(const tr_entry_t *e)
{
    tr_table_begin_locked(m.table);
    bool durable = tr_table_is_durable_locked(m.table, e);
    tr_table_end_locked(m.table);
    return durable;
}

/* What is on disk, and lives, stays known to be so until it grows; and nothing else is. */
static void look_whether_durable(const known_t *k)
{
    tr_entry_t e = k->stored;
    durables += k->durable && live(k);
    if (!k->durable) {
        e = (tr_entry_t){k->kind, tr_str_z("https://idp.example.com/"), tr_str_z(k->name), 0, 0};
        CLAIM(!is_durable(&e), "%s is on disk, and nobody said so", k->name);
        return;
    }
    CLAIM(!live(k) || is_durable(&e), "%s is on disk, and that was forgotten", k->name);
    e.expires_s += e.expires_s < (int64_t)UINT32_MAX ? 1 : 0;
    e.issued_before += e.expires_s >= (int64_t)UINT32_MAX && has_cut_off(k) ? 1 : 0;
    CLAIM(!is_durable(&e) || (e.expires_s >= (int64_t)UINT32_MAX && !has_cut_off(k)), "%s is on disk for longer than it is",
          k->name);
}

/* Say that the entry as it stands is on disk. */
static void make_durable(known_t *k, const tr_entry_t *inserted)
{
    tr_entry_t e = *inserted;
    e.expires_s = k->expires_s;
    e.issued_before = k->newest;
    if (k->newest != k->cut_off)
        return; /* it is not certain what stands */
    tr_table_begin_locked(m.table);
    tr_table_set_durable(m.table, &e);
    tr_table_end_locked(m.table);
    CLAIM(is_durable(&e) && is_durable(inserted), "%s is not on disk after that was said", k->name);
    k->durable = true;
    k->stored = e;
}

static void remember(known_t *k, const tr_entry_t *e, bool was_found, bool was_live)
{
    bool grows = e->expires_s > k->expires_s || (has_cut_off(k) && e->issued_before > k->cut_off);
    k->durable = k->durable && was_found && !grows;
    k->expires_s = was_live && k->expires_s > e->expires_s ? k->expires_s : e->expires_s;
    k->cut_off = was_found && k->cut_off > e->issued_before ? k->cut_off : e->issued_before;
    k->newest = was_live ? k->cut_off : e->issued_before;
    k->held = true;
}

static void insert(known_t *k)
{
    tr_entry_t e = {k->kind, tr_str_z("https://idp.example.com/"), tr_str_z(k->name), (apr_time_t)below(&m.seed, 1u << 30),
                    some_end()};
    uint32_t certain, possible;
    bool was_found = look(k), was_live = live(k);
    count_live(&certain, &possible);
    tr_table_begin_locked(m.table);
    apr_status_t rv = tr_table_insert_locked(m.table, &e, m.clock_s);
    tr_table_end_locked(m.table);
    if (rv == APR_ENOSPC) {
        CLAIM(!was_live, "%s was there and could not be lengthened", k->name);
        CLAIM(possible >= m.capacity, "full at %u of %u", possible, m.capacity);
        CLAIM(look(k) == was_found, "%s changed although the table was full", k->name);
        m.full++;
        refused++;
        return;
    }
    CLAIM(rv == APR_SUCCESS, "insert gave %d", rv);
    CLAIM(was_live || certain < m.capacity, "%u live entries in a table for %u", certain + 1, m.capacity);
    inserts++;
    remember(k, &e, was_found, was_live);
    CLAIM(look(k), "%s is not there after its insert", k->name);
    look_whether_durable(k);
    if (below(&m.seed, 3) == 0)
        make_durable(k, &e);
}

static void sweep(bool all)
{
    tr_table_begin_locked(m.table);
    tr_table_sweep_locked(m.table, m.clock_s, all ? 0 : 1 + (uint32_t)below(&m.seed, m.capacity));
    tr_table_end_locked(m.table);
    for (uint32_t i = 0; all && i < m.names; i++) {
        bool found = look(&m.known[i]);
        CLAIM(!found || m.known[i].expires_s >= m.clock_s, "%s outlived a full sweep", m.known[i].name);
    }
}

static void compare_all(void)
{
    uint32_t found = 0, by_kind[TR_KINDS] = {0};
    tr_table_stats_t stats;
    for (uint32_t i = 0; i < m.names; i++) {
        bool here = look(&m.known[i]);
        found += here;
        by_kind[m.known[i].kind] += here;
    }
    tr_table_stats(&stats, m.table);
    CLAIM(stats.used == found, "%u counted, %u found", stats.used, found);
    CLAIM(stats.full == m.full, "%" PRIu64 " full counted, %" PRIu64 " seen", stats.full, m.full);
    CLAIM(stats.used <= m.capacity, "%u held by a table for %u", stats.used, m.capacity);
    CLAIM(stats.recovered == 0, "nobody died");
    for (int kind = 0; kind < TR_KINDS; kind++) {
        CLAIM(stats.by_kind[kind] == by_kind[kind], "kind %d: %u counted, %u found", kind, stats.by_kind[kind], by_kind[kind]);
        CLAIM(tr_table_has(m.table, kind) == (by_kind[kind] != 0), "kind %d is said to be there: not so", kind);
    }
}

static void one_operation(void)
{
    known_t *k = &m.known[below(&m.seed, m.names)];
    uint64_t dice = below(&m.seed, 1000);
    if (dice < 500)
        look(k);
    else if (dice < 550)
        look_whether_durable(k);
    else if (dice < 960)
        insert(k);
    else if (dice < 985)
        m.clock_s += (int64_t)below(&m.seed, 12);
    else if (dice < 997)
        sweep(false);
    else if (dice < 999)
        sweep(true);
    else
        compare_all();
}

static apr_status_t release(void *base)
{
    free(base);
    return APR_SUCCESS;
}

static void new_table(uint32_t capacity, uint64_t seed, apr_pool_t *pool)
{
    memset(&m, 0, sizeof m);
    m.capacity = capacity;
    m.seed = seed;
    m.clock_s = 1700000000;
    m.names = capacity * 3 / 2 + 3;
    m.names = m.names > MAX_NAMES ? MAX_NAMES : m.names;
    void *base = NULL;
    apr_size_t size = tr_table_size(capacity);
    CLAIM(posix_memalign(&base, 4096, size) == 0, "no memory");
    memset(base, 0, size);
    CLAIM(tr_table_create(&m.table, base, size, capacity, NULL, pool) == APR_SUCCESS, "capacity %u", capacity);
    apr_pool_cleanup_register(pool, base, release, apr_pool_cleanup_null);
    for (uint32_t i = 0; i < m.names; i++) {
        known_t *k = &m.known[i];
        snprintf(k->name, sizeof k->name, "n%u", i);
        k->kind = (tr_kind_t)(i % TR_KINDS);
        k->mark = tr_table_mark(m.table, k->kind, tr_str_z("https://idp.example.com/"), tr_str_z(k->name));
    }
}

int main(void)
{
    static const uint32_t capacities[] = {1, 2, 3, 5, 8, 13, 31, 64, 100, 250, 600};
    enum { sizes = sizeof capacities / sizeof *capacities };
    uint64_t wanted = (uint64_t)setting("TR_OPS", 10e6), done = 0;
    double started = now_s();
    apr_pool_t *pool;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    for (uint64_t round = 0; done < wanted; round++) {
        uint64_t share = wanted / 110 + 1;
        new_table(capacities[round % sizes], round, pool);
        for (uint64_t i = 0; i < share; i++, done++)
            one_operation();
        compare_all();
        apr_pool_clear(pool);
    }
    apr_pool_destroy(pool);
    apr_terminate();
    printf("race_model: %" PRIu64 " operations like the model (%" PRIu64 " inserts, %" PRIu64 " refused as full, %" PRIu64
           " found, %" PRIu64 " on disk), in %.1f s\n",
           done, inserts, refused, hits, durables, now_s() - started);
    CLAIM(inserts > done / 20 && refused > done / 200 && hits > done / 20 && durables > done / 1000, "a case was hardly met");
    return 0;
}
