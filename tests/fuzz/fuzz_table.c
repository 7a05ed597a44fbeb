/*
 * The table of revocations as others may have left it. An input is a row of steps of four bytes, done to a small table and to a
 * plain list of what must be in force. Some steps change its memory: to what a writer leaves who dies (h), after which everything
 * must still be in force, or to anything at all (x), after which nothing is promised but that nobody is led outside.
 */
#include "world.h"

#include <apr_strings.h>

#include "tr_table.h"
#include "tr_table_layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NAMES = 32, CAPACITY = 20, MOST_STEPS = 100 };
#define NOW_S INT64_C(1700000000)

/* What is in force by the steps so far. expires_s 0: nothing was ever stored. */
typedef struct known_t {
    int64_t expires_s;
    apr_time_t cut_off;
} known_t;

typedef struct state_t {
    char *base;
    apr_size_t size;
    tr_table_t *table;
    known_t known[NAMES];
    bool is_foreign; /* anything may be in it */
    int64_t now_s;
    apr_pool_t *pool;
} state_t;

static apr_status_t release(void *base)
{
    free(base);
    return APR_SUCCESS;
}

static tr_table_t *make_table(state_t *s, const tr_table_t *previous, uint32_t capacity)
{
    tr_table_t *table = NULL;
    void *base = NULL;
    s->size = tr_table_size(capacity);
    ALWAYS(posix_memalign(&base, 64, s->size) == 0);
    memset(base, 0, s->size);
    apr_pool_cleanup_register(s->pool, base, release, apr_pool_cleanup_null);
    ALWAYS(tr_table_create(&table, base, s->size, capacity, previous, s->pool) == APR_SUCCESS);
    s->base = base;
    return table;
}

/* Names are of four kinds. */
static tr_entry_t entry_of(const state_t *s, unsigned int name, unsigned int more)
{
    static const tr_kind_t kinds[] = {TR_KIND_TOKEN, TR_KIND_SUBJECT, TR_KIND_SESSION, TR_KIND_CLIENT};
    static const char values[] = "abcdefgh";
    tr_entry_t e = {kinds[name % 4], tr_str_z("joe"), tr_str(values + name / 4, 1), (apr_time_t)(NOW_S + more) * 1000000,
                    s->now_s + 1 + more % 16};
    if (more == 255)
        e.expires_s = TR_FOREVER;
    return e;
}

static bool lives(const state_t *s, unsigned int name)
{
    return s->known[name].expires_s >= s->now_s;
}

static void check(const state_t *s)
{
    tr_table_stats_t stats;
    unsigned int alive = 0;
    for (unsigned int name = 0; name < NAMES; name++) {
        tr_entry_t e = entry_of(s, name, 0);
        apr_time_t cut_off = 0;
        bool found = tr_table_lookup(s->table, &cut_off, tr_table_mark(s->table, e.kind, e.issuer, e.value));
        if (s->is_foreign)
            continue;
        alive += lives(s, name);
        ALWAYS(found || !lives(s, name));
        ALWAYS(!found || s->known[name].expires_s > 0);
        ALWAYS(!lives(s, name) || (tr_table_has(s->table, e.kind) && cut_off >= s->known[name].cut_off));
    }
    tr_table_stats(&stats, s->table);
    ALWAYS(s->is_foreign || stats.used >= alive);
}

static void insert(state_t *s, unsigned int name, unsigned int more)
{
    tr_entry_t e = entry_of(s, name, more);
    tr_table_begin_locked(s->table);
    tr_table_raise_locked(s->table, &e);
    bool covered = tr_table_covers_locked(s->table, &e);
    apr_status_t rv = tr_table_insert_locked(s->table, &e, s->now_s);
    if (rv == APR_SUCCESS && more % 2)
        tr_table_set_durable(s->table, &e);
    bool durable = tr_table_is_durable_locked(s->table, &e);
    tr_table_end_locked(s->table);
    ALWAYS(rv == APR_SUCCESS || rv == APR_ENOSPC);
    if (s->is_foreign)
        return;
    ALWAYS(rv == APR_SUCCESS ? tr_table_covers_locked(s->table, &e) : !covered);
    ALWAYS(rv != APR_SUCCESS || more % 2 == 0 || durable);
    if (rv == APR_SUCCESS) {
        known_t *known = &s->known[name];
        apr_time_t cut_off = tr_kind_has_cut_off(e.kind) ? e.issued_before : INT64_MAX;
        /* One that had expired may be gone already: then only what was said now is in force. */
        bool grows = lives(s, name);
        known->expires_s = grows && known->expires_s > e.expires_s ? known->expires_s : e.expires_s;
        known->cut_off = grows && known->cut_off > cut_off ? known->cut_off : cut_off;
    }
}

/* What whoever dies at a change leaves: counts of before or after, a reach that is too large, words in a slot that is not valid. */
static void leave_half_done(state_t *s, unsigned int where, unsigned int what)
{
    header_t *head = (header_t *)s->base;
    uint32_t bucket = where % s->table->buckets;
    slot_t *slot = &s->table->bucket[bucket].slot[what & 1];
    uint32_t reach = what % s->table->buckets;
    atomic_store(&head->dirty, 1);
    switch (what % 5) {
    case 0:
        if (reach > atomic_load(reach_of(s->table, bucket)))
            atomic_store(reach_of(s->table, bucket), (uint16_t)reach);
        break;
    case 1:
        if (!is_valid(atomic_load(&slot->meta))) {
            atomic_store(&slot->h0, (uint64_t)where << 56 | what);
            atomic_store(&slot->expires_s, what);
        }
        break;
    case 2:
        atomic_fetch_add(&head->used, 1);
        atomic_fetch_add(&head->by_kind[what % TR_KINDS], 1);
        break;
    case 3:
        atomic_fetch_or(&head->kinds, 1u << what % TR_KINDS);
        break;
    default:
        if (atomic_load(&head->earliest_s) > NOW_S)
            atomic_store(&head->earliest_s, (uint32_t)NOW_S);
    }
}

/* Anything, but for what only the creator writes, which is copied. */
static void scribble(state_t *s, unsigned int where, unsigned int what)
{
    apr_size_t fixed = offsetof(header_t, kinds);
    apr_size_t at = fixed + (where * 64 + what % 64) % (s->size - fixed - 1);
    s->is_foreign = true;
    if (what % 4 == 0)
        atomic_store(reach_of(s->table, where % s->table->buckets), (uint16_t)(what * 257));
    s->base[at] = (char)(what * 37 + 255);
    s->base[at + 1] = (char)(where ^ what);
}

/* Into a new one, as a restart does; then that is the table. */
static void move_on(state_t *s, unsigned int what)
{
    tr_table_t *from = s->table;
    tr_table_t *to = make_table(s, from, CAPACITY + what % 8);
    apr_status_t rv = tr_table_copy_locked(to, from, s->now_s);
    bool is_smaller = tr_table_capacity(to) < tr_table_capacity(from);
    ALWAYS(rv == APR_SUCCESS || (rv == APR_ENOSPC && (s->is_foreign || is_smaller)));
    if (rv == APR_SUCCESS) {
        s->table = to;
        for (int i = 0; i < NAMES && !s->is_foreign; i++)
            s->known[i].expires_s = lives(s, (unsigned int)i) ? s->known[i].expires_s : 0;
    }
    else
        s->base = (char *)from->head;
}

static void step(state_t *s, const uint8_t *b)
{
    tr_table_t *again = NULL;
    switch (b[0]) {
    case 'h':
        leave_half_done(s, b[1], b[2]);
        break;
    case 'x':
        scribble(s, b[1] | (unsigned int)b[3] << 8, b[2]);
        break;
    case 't':
        s->now_s += b[1] % 20;
        break;
    case 's':
        tr_table_begin_locked(s->table);
        tr_table_sweep_locked(s->table, s->now_s, b[1]);
        ALWAYS(tr_table_has_room_locked(s->table, b[2] % 8, s->now_s) || s->is_foreign || b[2] % 8 > 0);
        tr_table_end_locked(s->table);
        break;
    case 'c':
        move_on(s, b[1]);
        break;
    case 'a':
        ALWAYS(tr_table_attach(&again, s->table->head, tr_table_size(tr_table_capacity(s->table)), s->pool) == APR_SUCCESS ||
               s->is_foreign);
        break;
    case 'd':
        tr_table_set_all_durable(s->table);
        break;
    default:
        insert(s, b[1] % NAMES, b[2]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world_t *w = world_for_one_input();
    state_t s = {.now_s = NOW_S, .pool = w->pool};
    s.table = make_table(&s, NULL, CAPACITY);
    for (size_t i = 0; i + 4 <= size && i < 4 * MOST_STEPS; i += 4) {
        step(&s, data + i);
        check(&s);
    }
    world_done();
    return 0;
}
