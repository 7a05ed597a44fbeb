/* tr_table_write.c: changing the table of revocations, one writer at a time. tr_table_layout.h draws it. */
#include "tr_table_layout.h"

#define AT_ONCE 32 /* entries whose places are fetched from memory together */

static uint16_t peek_meta(slot_t *slot)
{
    return atomic_load_explicit(&slot->meta, memory_order_relaxed);
}

static bool is_expired(slot_t *slot, int64_t now_s)
{
    uint32_t expires_s = atomic_load_explicit(&slot->expires_s, memory_order_relaxed);

    return expires_s != NEVER && now_s > (int64_t)expires_s;
}

/* How far behind home its entries may lie. A foreign value must not lead outside the table. */
static uint32_t reach_from(const tr_table_t *table, uint32_t home)
{
    uint32_t reach = atomic_load_explicit(reach_of(table, home), memory_order_relaxed);

    return reach < table->buckets ? reach : table->buckets - 1;
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

/* Count an entry that will be there, before it is. */
static void count_in(tr_table_t *table, unsigned int kind)
{
    atomic_fetch_add(&table->head->used, 1);
    atomic_fetch_add(&table->head->by_kind[kind], 1);
    if ((atomic_load_explicit(&table->head->kinds, memory_order_relaxed) >> kind & 1) == 0) {
        atomic_fetch_or(&table->head->kinds, 1u << kind);
    }
}

/* Of one that is there no more. */
static void count_out(tr_table_t *table, unsigned int kind)
{
    atomic_fetch_sub(&table->head->used, 1);
    if (atomic_fetch_sub(&table->head->by_kind[kind], 1) == 1) {
        atomic_fetch_and(&table->head->kinds, ~(1u << kind));
    }
}

/* Take an expired entry out. Its home's reach shrinks to what is left. */
static void reclaim(tr_table_t *table, slot_t *slot)
{
    uint16_t meta = peek_meta(slot);
    uint32_t home = home_of(table, atomic_load_explicit(&slot->h0, memory_order_relaxed));
    uint32_t reach = reach_from(table, home);

    atomic_store_explicit(&slot->meta, next_meta(meta, 0, false), memory_order_release);
    count_out(table, kind_of(meta));
    atomic_fetch_add(&table->head->reclaimed, 1);
    atomic_store_explicit(reach_of(table, home), measure_reach(table, home, reach), memory_order_release);
}

/* The counts, reaches and earliest expiry as the slots say. */
static void recover(tr_table_t *table)
{
    uint32_t used = 0;
    uint32_t by_kind[TR_KINDS] = {0};
    uint32_t kinds = 0;
    uint32_t earliest_s = NEVER;

    for (uint32_t b = 0; b < table->buckets; b++) {
        for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
            slot_t *slot = &table->bucket[b].slot[i];
            uint32_t expires_s = atomic_load_explicit(&slot->expires_s, memory_order_relaxed);

            if (is_valid(peek_meta(slot))) {
                /* He may have died while lengthening it: whoever vouches for what he saw then must fail. */
                atomic_store(&slot->meta, make_valid(next_meta(peek_meta(slot), kind_of(peek_meta(slot)), false)));
                used++;
                by_kind[kind_of(peek_meta(slot))]++;
                earliest_s = expires_s < earliest_s ? expires_s : earliest_s;
            }
        }
        atomic_store_explicit(reach_of(table, b), measure_reach(table, b, reach_from(table, b)), memory_order_release);
    }
    atomic_store(&table->head->used, used);
    for (int k = 0; k < TR_KINDS; k++) {
        atomic_store(&table->head->by_kind[k], by_kind[k]);
        kinds |= (uint32_t)(by_kind[k] != 0) << k;
    }
    atomic_store(&table->head->kinds, kinds);
    atomic_store(&table->head->earliest_s, earliest_s);
    atomic_fetch_add(&table->head->recovered, 1);
    /* He may have died after his last store, before he counted it. */
    atomic_fetch_add(&table->head->changes, 1);
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
    return tr_kind_has_cut_off(e->kind) ? e->issued_before : INT64_MAX;
}

/* What a slot holds. */
typedef struct content_t {
    tr_mark_t mark;
    unsigned int kind;
    apr_time_t cut_off;
    uint32_t expires_s;
} content_t;

static content_t content_of(const tr_table_t *table, const tr_entry_t *e)
{
    content_t c = {tr_table_mark(table, e->kind, e->issuer, e->value), (unsigned int)e->kind, cut_off_of(e),
                   clamp_expiry(e->expires_s)};

    return c;
}

static content_t read_content(slot_t *slot)
{
    content_t c;

    c.mark.h[0] = atomic_load_explicit(&slot->h0, memory_order_acquire);
    c.mark.h[1] = atomic_load_explicit(&slot->h1, memory_order_acquire);
    c.kind = kind_of(peek_meta(slot));
    c.cut_off = atomic_load_explicit(&slot->issued_before, memory_order_acquire);
    c.expires_s = atomic_load_explicit(&slot->expires_s, memory_order_acquire);
    return c;
}

/*
 * An equal entry is there: it may only grow stricter. What grew is not on disk yet, so the mark of durability goes. It is
 * set without the lock, by whoever saw the version before or between: so there is a new version before and after.
 */
static void lengthen(tr_table_t *table, slot_t *slot, const content_t *c)
{
    content_t old = read_content(slot);
    uint16_t meta;

    if (c->cut_off <= old.cut_off && c->expires_s <= old.expires_s) {
        return;
    }
    meta = make_valid(next_meta(peek_meta(slot), old.kind, false));
    atomic_store(&slot->meta, meta);
    if (c->cut_off > old.cut_off) {
        atomic_store(&slot->issued_before, c->cut_off);
    }
    if (c->expires_s > old.expires_s) {
        atomic_store(&slot->expires_s, c->expires_s);
    }
    atomic_store(&slot->meta, make_valid(next_meta(meta, old.kind, false)));
    atomic_fetch_add(&table->head->changes, 1);
}

/* Fill an invalid slot. Each store is a release, so that no reader sees new words under the old meta. */
static void fill(tr_table_t *table, slot_t *slot, const content_t *c)
{
    uint16_t meta = next_meta(peek_meta(slot), c->kind, false);

    count_in(table, c->kind);
    if (c->expires_s < atomic_load(&table->head->earliest_s)) {
        atomic_store(&table->head->earliest_s, c->expires_s);
    }
    atomic_store_explicit(&slot->meta, meta, memory_order_release);
    atomic_store_explicit(&slot->h0, c->mark.h[0], memory_order_release);
    atomic_store_explicit(&slot->h1, c->mark.h[1], memory_order_release);
    atomic_store_explicit(&slot->issued_before, c->cut_off, memory_order_release);
    atomic_store_explicit(&slot->expires_s, c->expires_s, memory_order_release);
    atomic_store_explicit(&slot->meta, make_valid(meta), memory_order_release);
    atomic_fetch_add(&table->head->inserted, 1);
    atomic_fetch_add(&table->head->changes, 1);
}

static slot_t *find_equal(const tr_table_t *table, tr_mark_t mark)
{
    uint32_t home = home_of(table, mark.h[0]);
    uint32_t reach = reach_from(table, home);

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

static bool has_room(tr_table_t *table, uint32_t n, int64_t now_s)
{
    if (n == 0 || (n <= table->capacity && atomic_load(&table->head->used) <= table->capacity - n)) {
        return true;
    }
    tr_table_sweep_locked(table, now_s, 0);
    return n <= table->capacity && atomic_load(&table->head->used) <= table->capacity - n;
}

bool tr_table_has_room_locked(tr_table_t *table, uint32_t n, int64_t now_s)
{
    if (has_room(table, n, now_s)) {
        return true;
    }
    atomic_fetch_add(&table->head->full, 1);
    return false;
}

static bool is_full(tr_table_t *table, int64_t now_s)
{
    return !has_room(table, 1, now_s);
}

/* Somebody may have lengthened it since c was stored: that is on disk when he says so. */
static void set_durable(slot_t *slot, const content_t *stored)
{
    uint16_t meta = atomic_load(&slot->meta);
    content_t have = read_content(slot);

    if (is_valid(meta) && have.mark.h[0] == stored->mark.h[0] && have.mark.h[1] == stored->mark.h[1] &&
        have.cut_off <= stored->cut_off && have.expires_s <= stored->expires_s) {
        (void)atomic_compare_exchange_strong(&slot->meta, &meta, (uint16_t)(meta | META_DURABLE));
    }
}

static apr_status_t insert(slot_t **where, tr_table_t *table, const content_t *c, int64_t now_s)
{
    uint32_t home = home_of(table, c->mark.h[0]);
    slot_t *slot = find_equal(table, c->mark);
    uint32_t reach;

    if (slot != NULL) {
        *where = slot;
        lengthen(table, slot, c);
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
    fill(table, slot, c);
    *where = slot;
    return APR_SUCCESS;
}

apr_status_t tr_table_insert_locked(tr_table_t *table, const tr_entry_t *e, int64_t now_s)
{
    content_t c = content_of(table, e);
    slot_t *slot;

    return insert(&slot, table, &c, now_s);
}

/* Most of the time goes into waiting for memory, so it is asked for early. */
static apr_status_t insert_some(tr_table_t *table, const tr_entry_t *entries, int n, bool durable, int64_t now_s)
{
    content_t c[AT_ONCE];
    apr_status_t rv = APR_SUCCESS;

    for (int i = 0; i < n; i++) {
        c[i] = content_of(table, &entries[i]);
        __builtin_prefetch(&table->bucket[home_of(table, c[i].mark.h[0])], 1);
    }
    for (int i = 0; i < n && rv == APR_SUCCESS; i++) {
        slot_t *slot;

        rv = insert(&slot, table, &c[i], now_s);
        if (rv == APR_SUCCESS && durable) {
            set_durable(slot, &c[i]);
        }
    }
    return rv;
}

apr_status_t tr_table_insert_many_locked(tr_table_t *table, const tr_entry_t *entries, int n, bool durable, int64_t now_s)
{
    apr_status_t rv = APR_SUCCESS;

    for (int i = 0; i < n && rv == APR_SUCCESS; i += AT_ONCE) {
        rv = insert_some(table, entries + i, n - i < AT_ONCE ? n - i : AT_ONCE, durable, now_s);
    }
    return rv;
}

apr_status_t tr_table_copy_locked(tr_table_t *to, const tr_table_t *from, int64_t now_s)
{
    apr_status_t rv = APR_SUCCESS;

    for (uint32_t b = 0; b < from->buckets && rv == APR_SUCCESS; b++) {
        for (int i = 0; i < SLOTS_PER_BUCKET && rv == APR_SUCCESS; i++) {
            slot_t *slot = &from->bucket[b].slot[i];

            if (is_valid(peek_meta(slot)) && !is_expired(slot, now_s)) {
                content_t c = read_content(slot);
                slot_t *copy;

                rv = insert(&copy, to, &c, now_s);
            }
        }
    }
    return rv;
}

/* The entry that is at least as strict as e; NULL: there is none. */
static slot_t *find_covering(const tr_table_t *table, const tr_entry_t *e)
{
    content_t want = content_of(table, e);
    slot_t *slot = find_equal(table, want.mark);
    content_t have;

    if (slot == NULL) {
        return NULL;
    }
    have = read_content(slot);
    return have.cut_off >= want.cut_off && have.expires_s >= want.expires_s ? slot : NULL;
}

bool tr_table_covers_locked(const tr_table_t *table, const tr_entry_t *e)
{
    return find_covering(table, e) != NULL;
}

bool tr_table_is_durable_locked(const tr_table_t *table, const tr_entry_t *e)
{
    slot_t *slot = find_covering(table, e);

    return slot != NULL && (peek_meta(slot) & META_DURABLE) != 0;
}

void tr_table_raise_locked(const tr_table_t *table, tr_entry_t *e)
{
    slot_t *slot = find_equal(table, tr_table_mark(table, e->kind, e->issuer, e->value));
    content_t have;
    int64_t expires_s;

    if (slot == NULL) {
        return;
    }
    have = read_content(slot);
    expires_s = have.expires_s == NEVER ? TR_FOREVER : (int64_t)have.expires_s;
    /* What is clamped in the table need not be on disk. */
    if (expires_s > e->expires_s && have.expires_s != clamp_expiry(e->expires_s)) {
        e->expires_s = expires_s;
    }
    if (cut_off_of(e) == e->issued_before && have.cut_off > e->issued_before) {
        e->issued_before = have.cut_off;
    }
}

void tr_table_set_durable(tr_table_t *table, const tr_entry_t *e)
{
    content_t stored = content_of(table, e);
    slot_t *slot = find_equal(table, stored.mark);

    if (slot != NULL) {
        set_durable(slot, &stored);
    }
}

void tr_table_set_all_durable(tr_table_t *table)
{
    for (uint32_t b = 0; b < table->buckets; b++) {
        for (int i = 0; i < SLOTS_PER_BUCKET; i++) {
            slot_t *slot = &table->bucket[b].slot[i];

            if (is_valid(peek_meta(slot))) {
                atomic_store(&slot->meta, (uint16_t)(peek_meta(slot) | META_DURABLE));
            }
        }
    }
}
