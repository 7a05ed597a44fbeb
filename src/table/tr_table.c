/* tr_table.c: making the table of revocations, and reading it without a lock. tr_table_layout.h draws it. */
#include "tr_table_layout.h"

#include <sys/mman.h>
#include <unistd.h>

#include "tr_digest.h"

static uint32_t buckets_for(uint32_t capacity)
{
    return (uint32_t)(((uint64_t)capacity + capacity / 5) / SLOTS_PER_BUCKET) + SPARE_BUCKETS;
}

apr_size_t tr_table_size(uint32_t capacity)
{
    return HEADER_LEN + (apr_size_t)buckets_for(capacity) * sizeof(bucket_t);
}

/*
 * A look-up in a large table waits for the page's entry and then for the bucket. Large pages have so few entries that they stay
 * at hand. Where the system gives none, nothing is lost.
 */
static void ask_for_large_pages(void *base, apr_size_t size)
{
#ifdef MADV_HUGEPAGE
    apr_size_t page = (apr_size_t)sysconf(_SC_PAGESIZE);
    apr_size_t before = (page - (uintptr_t)base % page) % page; /* to the first page that is all ours */

    if (size >= before + page) {
        (void)madvise((char *)base + before, (size - before) / page * page, MADV_HUGEPAGE);
    }
#else
    (void)base;
    (void)size;
#endif
}

static tr_table_t *handle(void *base, uint32_t capacity, apr_pool_t *pool)
{
    tr_table_t *table = apr_pcalloc(pool, sizeof(*table));

    table->head = base;
    table->bucket = (bucket_t *)((char *)base + HEADER_LEN);
    table->capacity = capacity;
    table->buckets = buckets_for(capacity);
    table->key = table->head->key;
    return table;
}

apr_status_t tr_table_create(tr_table_t **out, void *base, apr_size_t size, uint32_t capacity, const tr_table_t *previous,
                             apr_pool_t *pool)
{
    header_t *head = base;
    apr_status_t rv = APR_SUCCESS;

    if (capacity == 0 || capacity > TR_MAX_CAPACITY || size < tr_table_size(capacity) || ((uintptr_t)base & 63) != 0) {
        return APR_EINVAL;
    }
    ask_for_large_pages(base, size);
    if (previous != NULL) {
        head->key = previous->key;
    }
    else {
        rv = tr_random(&head->key, sizeof(head->key));
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    atomic_store(&head->capacity, capacity);
    head->version = LAYOUT_VERSION;
    atomic_store(&head->earliest_s, NEVER);
    head->magic = MAGIC;
    *out = handle(base, capacity, pool);
    return APR_SUCCESS;
}

apr_status_t tr_table_attach(tr_table_t **out, void *base, apr_size_t size, apr_pool_t *pool)
{
    const header_t *head = base;
    uint32_t capacity;

    if (size < HEADER_LEN || ((uintptr_t)base & 63) != 0 || head->magic != MAGIC || head->version != LAYOUT_VERSION) {
        return APR_EINVAL;
    }
    capacity = atomic_load(&head->capacity);
    if (capacity == 0 || capacity > TR_MAX_CAPACITY || size < tr_table_size(capacity)) {
        return APR_EINVAL;
    }
    *out = handle(base, capacity, pool);
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

bool tr_table_has(const tr_table_t *table, tr_kind_t kind)
{
    return (tr_table_kinds(table) >> kind & 1) != 0;
}

/* All at one moment: a family is revoked after its members were noted, so whoever sees it in force sees them. */
uint32_t tr_table_kinds(const tr_table_t *table)
{
    return atomic_load_explicit(&table->head->kinds, memory_order_acquire);
}

uint64_t tr_table_changes(const tr_table_t *table)
{
    return atomic_load_explicit(&table->head->changes, memory_order_acquire);
}

void tr_table_prefetch(const tr_table_t *table, tr_mark_t mark)
{
    __builtin_prefetch(&table->bucket[home_of(table, mark.h[0])]);
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
