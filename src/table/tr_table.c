/*
 * tr_table.c: a hash table in shared memory that readers use without a lock.
 *
 *   +-----------------+ base, 64-byte aligned
 *   | header  512 B   | magic, geometry, key of the hash; counters, which only writers change
 *   +-----------------+
 *   | bucket 0   64 B | two slots of 32 B: one cache line
 *   | bucket 1        |   slot: mark 16 | issued_before 8 | expires 4 | meta 2 | reach 2
 *   | ...             |   meta: version (12 bits), kind (3 bits), valid (1 bit)
 *   +-----------------+   reach (of a bucket's first slot): how many buckets further on its entries may lie
 *
 * An entry's home bucket comes from its mark. It lies there or in one of the next reach buckets (around the end), and never
 * moves. There are 1.2 slots for each entry of capacity, so a free slot is near.
 *
 * Readers load home's reach, then compare the marks of those buckets. Writers, one at a time, raise reach first, fill the slot
 * while it is invalid, and make it valid last; so whoever sees a valid slot sees all of it, and a slot that changed under a
 * reader shows by its version. Lengthening an entry is one store of one word. A writer that is killed between two stores leaves
 * at worst an invalid slot, a reach too large, and counts too high: none of it misleads a reader, and the next writer, who
 * finds "dirty" set, counts again.
 */
#include "tr_table.h"

#include <stdatomic.h>

#include "tr_limits.h"

#define MAGIC UINT64_C(0x74726576746f6b31)
#define LAYOUT_VERSION 1
#define HEADER_LEN 512
#define SLOTS_PER_BUCKET 2
#define SPARE_BUCKETS 32
#define NEVER UINT32_MAX /* expires: the entry never ends */

typedef struct slot_t {
    _Atomic uint64_t h0, h1;
    _Atomic int64_t issued_before;
    _Atomic uint32_t expires_s; /* seconds since 1970; tokens beyond 2106 are kept for ever */
    _Atomic uint16_t meta;
    _Atomic uint16_t reach;
} slot_t;

typedef struct bucket_t {
    slot_t slot[SLOTS_PER_BUCKET];
} bucket_t;

typedef struct header_t {
    uint64_t magic;
    uint32_t version;
    uint32_t capacity;
    tr_siphash_key_t key;
    _Alignas(64) _Atomic uint32_t dirty; /* a writer is at work, or died at it */
    _Atomic uint32_t used;
    _Atomic uint32_t by_kind[TR_KINDS];
    _Atomic uint32_t cursor;     /* bucket where the next sweep goes on */
    _Atomic uint32_t earliest_s; /* no entry expires before this */
    _Atomic uint64_t inserted, reclaimed, full, recovered;
} header_t;

_Static_assert(sizeof(slot_t) == 32 && sizeof(bucket_t) == 64, "a bucket is a cache line");
_Static_assert(sizeof(header_t) <= HEADER_LEN, "the header fits its place");

struct tr_table_t {
    header_t *head;
    bucket_t *bucket;
    uint32_t buckets; /* copied, like capacity and key: what lies in shared memory is not asked twice */
    uint32_t capacity;
    tr_siphash_key_t key;
};

/* ---- geometry ---------------------------------------------------------------------------------------------- */

static uint32_t buckets_for(uint32_t capacity)
{
    return (uint32_t)(((uint64_t)capacity + capacity / 5) / SLOTS_PER_BUCKET) + SPARE_BUCKETS;
}

apr_size_t tr_table_size(uint32_t capacity)
{
    return HEADER_LEN + (apr_size_t)buckets_for(capacity) * sizeof(bucket_t);
}

static tr_table_t *handle(void *base, apr_pool_t *pool)
{
    tr_table_t *table = apr_pcalloc(pool, sizeof(*table));

    table->head = base;
    table->bucket = (bucket_t *)((char *)base + HEADER_LEN);
    table->capacity = table->head->capacity;
    table->buckets = buckets_for(table->capacity);
    table->key = table->head->key;
    return table;
}

apr_status_t tr_table_create(tr_table_t **out, void *base, apr_size_t size, uint32_t capacity, apr_pool_t *pool)
{
    header_t *head = base;
    apr_status_t rv;

    if (capacity == 0 || capacity > TR_MAX_CAPACITY || size < tr_table_size(capacity) || ((uintptr_t)base & 63) != 0) {
        return APR_EINVAL;
    }
    rv = tr_random(&head->key, sizeof(head->key));
    if (rv != APR_SUCCESS) {
        return rv;
    }
    head->capacity = capacity;
    head->version = LAYOUT_VERSION;
    atomic_store(&head->earliest_s, NEVER);
    head->magic = MAGIC;
    *out = handle(base, pool);
    return APR_SUCCESS;
}

apr_status_t tr_table_attach(tr_table_t **out, void *base, apr_size_t size, apr_pool_t *pool)
{
    const header_t *head = base;

    if (size < HEADER_LEN || ((uintptr_t)base & 63) != 0 || head->magic != MAGIC || head->version != LAYOUT_VERSION ||
        head->capacity == 0 || head->capacity > TR_MAX_CAPACITY || size < tr_table_size(head->capacity)) {
        return APR_EINVAL;
    }
    *out = handle(base, pool);
    return APR_SUCCESS;
}

uint32_t tr_table_capacity(const tr_table_t *table)
{
    return table->capacity;
}

tr_mark_t tr_table_mark(const tr_table_t *table, tr_kind_t kind, tr_str_t issuer, tr_str_t value)
{
    return tr_mark(&table->key, kind, issuer, value);
}

static uint32_t home_of(const tr_table_t *table, uint64_t h0)
{
    return (uint32_t)((h0 >> 32) * table->buckets >> 32);
}

static uint32_t beyond(const tr_table_t *table, uint32_t bucket, uint32_t distance)
{
    uint64_t b = (uint64_t)bucket + distance;

    return (uint32_t)(b < table->buckets ? b : b - table->buckets);
}

/* How far bucket lies behind home. */
static uint32_t distance(const tr_table_t *table, uint32_t home, uint32_t bucket)
{
    return bucket >= home ? bucket - home : bucket + (table->buckets - home);
}

static _Atomic uint16_t *reach_of(const tr_table_t *table, uint32_t bucket)
{
    return &table->bucket[bucket].slot[0].reach;
}

/* ---- meta -------------------------------------------------------------------------------------------------- */

static bool is_valid(uint16_t meta)
{
    return (meta & 1) != 0;
}

static unsigned int kind_of(uint16_t meta)
{
    return (meta >> 1 & 7) % TR_KINDS; /* a foreign value must not lead outside the counters */
}

static uint16_t next_meta(uint16_t meta, unsigned int kind, bool valid)
{
    return (uint16_t)(((meta >> 4) + 1u) << 4 | kind << 1 | (valid ? 1u : 0u));
}

static uint16_t make_valid(uint16_t meta)
{
    return (uint16_t)(meta | 1u);
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

/* Each load is an acquire, so that the second look at meta comes after the others. */
static bool slot_holds(slot_t *slot, apr_time_t *issued_before, tr_mark_t mark)
{
    uint16_t meta = atomic_load_explicit(&slot->meta, memory_order_acquire);

    while (is_valid(meta) && atomic_load_explicit(&slot->h0, memory_order_acquire) == mark.h[0] &&
           atomic_load_explicit(&slot->h1, memory_order_acquire) == mark.h[1]) {
        apr_time_t cut_off = atomic_load_explicit(&slot->issued_before, memory_order_acquire);
        uint16_t again = atomic_load_explicit(&slot->meta, memory_order_acquire);

        if (again == meta) {
            if (issued_before != NULL) {
                *issued_before = cut_off;
            }
            return true;
        }
        meta = again; /* given to another entry meanwhile: each round is a whole change by a writer, so it ends */
    }
    return false;
}

bool tr_table_lookup(const tr_table_t *table, apr_time_t *issued_before, tr_mark_t mark)
{
    uint32_t bucket = home_of(table, mark.h[0]);
    uint32_t left = atomic_load_explicit(reach_of(table, bucket), memory_order_acquire);

    for (;; left--, bucket = beyond(table, bucket, 1)) {
        for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
            if (slot_holds(&table->bucket[bucket].slot[i], issued_before, mark)) {
                return true;
            }
        }
        if (left == 0) {
            return false;
        }
    }
}

/* ---- writing; everything below runs under the writer lock -------------------------------------------------- */

static uint16_t peek_meta(slot_t *slot)
{
    return atomic_load_explicit(&slot->meta, memory_order_relaxed);
}

static bool is_expired(slot_t *slot, int64_t now_s)
{
    uint32_t expires_s = atomic_load_explicit(&slot->expires_s, memory_order_relaxed);

    return expires_s != NEVER && now_s > (int64_t)expires_s;
}

/* The furthest bucket behind home, up to limit, that holds an entry of home's. */
static uint16_t measure_reach(const tr_table_t *table, uint32_t home, uint32_t limit)
{
    for (uint32_t d = limit; d > 0; d--) {
        bucket_t *bucket = &table->bucket[beyond(table, home, d)];

        for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
            uint64_t h0 = atomic_load_explicit(&bucket->slot[i].h0, memory_order_relaxed);

            if (is_valid(peek_meta(&bucket->slot[i])) && home_of(table, h0) == home) {
                return (uint16_t)d;
            }
        }
    }
    return 0;
}

/* Take an expired entry out. Its home's reach shrinks to what is left. */
static void reclaim(tr_table_t *table, slot_t *slot)
{
    uint16_t meta = peek_meta(slot);
    uint32_t home = home_of(table, atomic_load_explicit(&slot->h0, memory_order_relaxed));
    uint16_t reach = atomic_load_explicit(reach_of(table, home), memory_order_relaxed);

    atomic_store_explicit(&slot->meta, next_meta(meta, 0, false), memory_order_release);
    atomic_fetch_sub(&table->head->by_kind[kind_of(meta)], 1);
    atomic_fetch_sub(&table->head->used, 1);
    atomic_fetch_add(&table->head->reclaimed, 1);
    atomic_store_explicit(reach_of(table, home), measure_reach(table, home, reach), memory_order_release);
}

/* The counts, reaches and earliest expiry as the slots say. */
static void recover(tr_table_t *table)
{
    uint32_t used = 0;
    uint32_t by_kind[TR_KINDS] = {0};
    uint32_t earliest_s = NEVER;

    for (uint32_t b = 0; b < table->buckets; b++) {
        for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
            slot_t *slot = &table->bucket[b].slot[i];
            uint32_t expires_s = atomic_load_explicit(&slot->expires_s, memory_order_relaxed);

            if (is_valid(peek_meta(slot))) {
                used++;
                by_kind[kind_of(peek_meta(slot))]++;
                earliest_s = expires_s < earliest_s ? expires_s : earliest_s;
            }
        }
        atomic_store_explicit(reach_of(table, b),
                              measure_reach(table, b, atomic_load_explicit(reach_of(table, b), memory_order_relaxed)),
                              memory_order_release);
    }
    atomic_store(&table->head->used, used);
    for (int k = 0; k < TR_KINDS; k++) {
        atomic_store(&table->head->by_kind[k], by_kind[k]);
    }
    atomic_store(&table->head->earliest_s, earliest_s);
    atomic_fetch_add(&table->head->recovered, 1);
}

void tr_table_begin_locked(tr_table_t *table)
{
    if (atomic_exchange(&table->head->dirty, 1) != 0) {
        recover(table);
    }
}

void tr_table_end_locked(tr_table_t *table)
{
    atomic_store(&table->head->dirty, 0);
}

static void sweep_bucket(tr_table_t *table, uint32_t b, int64_t now_s)
{
    for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
        slot_t *slot = &table->bucket[b].slot[i];

        if (is_valid(peek_meta(slot)) && is_expired(slot, now_s)) {
            reclaim(table, slot);
        }
    }
}

/* All of it; afterwards it is known when the next entry expires. */
static void sweep_all(tr_table_t *table, int64_t now_s)
{
    uint32_t earliest_s = NEVER;

    for (uint32_t b = 0; b < table->buckets; b++) {
        sweep_bucket(table, b, now_s);
        for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
            slot_t *slot = &table->bucket[b].slot[i];
            uint32_t expires_s = atomic_load_explicit(&slot->expires_s, memory_order_relaxed);

            if (is_valid(peek_meta(slot)) && expires_s < earliest_s) {
                earliest_s = expires_s;
            }
        }
    }
    atomic_store(&table->head->earliest_s, earliest_s);
}

void tr_table_sweep_locked(tr_table_t *table, int64_t now_s, uint32_t max_slots)
{
    uint32_t b = atomic_load(&table->head->cursor);
    uint32_t n = max_slots / SLOTS_PER_BUCKET + max_slots % SLOTS_PER_BUCKET;

    if (now_s <= (int64_t)atomic_load(&table->head->earliest_s)) {
        return;
    }
    if (max_slots == 0 || n >= table->buckets) {
        sweep_all(table, now_s);
        return;
    }
    b = b < table->buckets ? b : 0;
    for (; n > 0; n--, b = beyond(table, b, 1)) {
        sweep_bucket(table, b, now_s);
    }
    atomic_store(&table->head->cursor, b);
}

static uint32_t clamp_expiry(int64_t expires_s)
{
    return expires_s >= (int64_t)NEVER ? NEVER : (uint32_t)(expires_s > 0 ? expires_s : 0);
}

static apr_time_t cut_off_of(const tr_entry_t *e)
{
    return e->kind == TR_KIND_TOKEN || e->kind == TR_KIND_DIGEST ? INT64_MAX : e->issued_before;
}

/* An equal entry is there: it may only grow stricter. */
static void lengthen(slot_t *slot, const tr_entry_t *e)
{
    uint32_t expires_s = clamp_expiry(e->expires_s);

    if (cut_off_of(e) > atomic_load_explicit(&slot->issued_before, memory_order_relaxed)) {
        atomic_store_explicit(&slot->issued_before, cut_off_of(e), memory_order_release);
    }
    if (expires_s > atomic_load_explicit(&slot->expires_s, memory_order_relaxed)) {
        atomic_store_explicit(&slot->expires_s, expires_s, memory_order_release);
    }
}

/* Fill an invalid slot. Each store is a release, so that no reader sees new words under the old meta. */
static void fill(tr_table_t *table, slot_t *slot, tr_mark_t mark, const tr_entry_t *e)
{
    uint16_t meta = next_meta(peek_meta(slot), (unsigned int)e->kind, false);
    uint32_t expires_s = clamp_expiry(e->expires_s);

    atomic_fetch_add(&table->head->used, 1);
    atomic_fetch_add(&table->head->by_kind[e->kind], 1);
    if (expires_s < atomic_load(&table->head->earliest_s)) {
        atomic_store(&table->head->earliest_s, expires_s);
    }
    atomic_store_explicit(&slot->meta, meta, memory_order_release);
    atomic_store_explicit(&slot->h0, mark.h[0], memory_order_release);
    atomic_store_explicit(&slot->h1, mark.h[1], memory_order_release);
    atomic_store_explicit(&slot->issued_before, cut_off_of(e), memory_order_release);
    atomic_store_explicit(&slot->expires_s, expires_s, memory_order_release);
    atomic_store_explicit(&slot->meta, make_valid(meta), memory_order_release);
    atomic_fetch_add(&table->head->inserted, 1);
}

static slot_t *find_equal(const tr_table_t *table, tr_mark_t mark)
{
    uint32_t home = home_of(table, mark.h[0]);
    uint32_t reach = atomic_load_explicit(reach_of(table, home), memory_order_relaxed);

    for (uint32_t d = 0; d <= reach; d++) {
        bucket_t *bucket = &table->bucket[beyond(table, home, d)];

        for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
            if (slot_holds(&bucket->slot[i], NULL, mark)) {
                return &bucket->slot[i];
            }
        }
    }
    return NULL;
}

/*
 * The nearest place at or behind home that is free, or whose entry has expired; NULL when there is none within 16 bits.
 */
static slot_t *find_place(tr_table_t *table, uint32_t home, int64_t now_s)
{
    uint32_t furthest = table->buckets - 1 < UINT16_MAX ? table->buckets - 1 : UINT16_MAX;

    for (uint32_t d = 0; d <= furthest; d++) {
        bucket_t *bucket = &table->bucket[beyond(table, home, d)];

        for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
            if (!is_valid(peek_meta(&bucket->slot[i]))) {
                return &bucket->slot[i];
            }
            if (is_expired(&bucket->slot[i], now_s)) {
                reclaim(table, &bucket->slot[i]);
                return &bucket->slot[i];
            }
        }
    }
    return NULL;
}

static uint32_t bucket_of(const tr_table_t *table, const slot_t *slot)
{
    return (uint32_t)((slot - table->bucket[0].slot) / SLOTS_PER_BUCKET);
}

static bool is_full(tr_table_t *table, int64_t now_s)
{
    if (atomic_load(&table->head->used) < table->capacity) {
        return false;
    }
    tr_table_sweep_locked(table, now_s, 0);
    return atomic_load(&table->head->used) >= table->capacity;
}

apr_status_t tr_table_insert_locked(tr_table_t *table, const tr_entry_t *e, int64_t now_s)
{
    tr_mark_t mark = tr_table_mark(table, e->kind, e->issuer, e->value);
    uint32_t home = home_of(table, mark.h[0]);
    slot_t *slot = find_equal(table, mark);
    uint32_t reach;

    if (slot != NULL) {
        lengthen(slot, e);
        return APR_SUCCESS;
    }
    slot = is_full(table, now_s) ? NULL : find_place(table, home, now_s);
    if (slot == NULL) {
        atomic_fetch_add(&table->head->full, 1);
        return APR_ENOSPC;
    }
    reach = distance(table, home, bucket_of(table, slot));
    if (reach > atomic_load_explicit(reach_of(table, home), memory_order_relaxed)) {
        atomic_store_explicit(reach_of(table, home), (uint16_t)reach, memory_order_release);
    }
    fill(table, slot, mark, e);
    return APR_SUCCESS;
}

void tr_table_stats(tr_table_stats_t *out, const tr_table_t *table)
{
    out->capacity = table->capacity;
    out->used = atomic_load(&table->head->used);
    for (int k = 0; k < TR_KINDS; k++) {
        out->by_kind[k] = atomic_load(&table->head->by_kind[k]);
    }
    out->inserted = atomic_load(&table->head->inserted);
    out->reclaimed = atomic_load(&table->head->reclaimed);
    out->full = atomic_load(&table->head->full);
    out->recovered = atomic_load(&table->head->recovered);
}
