/*
 * tr_table_layout.h: the segment of the table of revocations, and what its readers and writers both do with it.
 *
 *   +-----------------+ base, 64-byte aligned
 *   | header  512 B   | magic, geometry, key of the hash, kinds; counters, which only writers change
 *   +-----------------+
 *   | bucket 0   64 B | two slots of 32 B: one cache line
 *   | bucket 1        |   slot: mark 16 | issued_before 8 | expires 4 | meta 2 | reach 2
 *   | ...             |   meta: version (10 bits), durable (1 bit), kind (4 bits), valid (1 bit)
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
#ifndef TR_TABLE_LAYOUT_H
#define TR_TABLE_LAYOUT_H

#include <stdatomic.h>

#include "tr_limits.h"
#include "tr_table.h"

#define MAGIC UINT64_C(0x74726576746f6b31)
#define LAYOUT_VERSION 5
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
    _Atomic uint32_t capacity;
    tr_siphash_key_t key;
    _Atomic uint32_t kinds; /* bit k: there may be an entry of kind k. Changes seldom, so it is not among the counters */
    _Alignas(64) _Atomic uint32_t dirty; /* a writer is at work, or died at it */
    _Atomic uint32_t used;
    _Atomic uint32_t by_kind[TR_KINDS];
    _Atomic uint32_t cursor;     /* bucket where the next sweep goes on */
    _Atomic uint32_t earliest_s; /* no entry expires before this */
    _Atomic uint64_t inserted, reclaimed, full, recovered;
    _Alignas(64) _Atomic uint64_t changes; /* alone: who reads it with each write must not share a line that changes */
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

/* ---- places ------------------------------------------------------------------------------------------------ */

static inline uint32_t home_of(const tr_table_t *table, uint64_t h0)
{
    return (uint32_t)((h0 >> 32) * table->buckets >> 32);
}

static inline uint32_t beyond(const tr_table_t *table, uint32_t bucket, uint32_t distance)
{
    uint64_t b = (uint64_t)bucket + distance;

    return (uint32_t)(b < table->buckets ? b : b - table->buckets);
}

/* How far bucket lies behind home. */
static inline uint32_t distance(const tr_table_t *table, uint32_t home, uint32_t bucket)
{
    return bucket >= home ? bucket - home : bucket + (table->buckets - home);
}

static inline _Atomic uint16_t *reach_of(const tr_table_t *table, uint32_t bucket)
{
    return &table->bucket[bucket].slot[0].reach;
}

/* ---- meta -------------------------------------------------------------------------------------------------- */

#define META_VALID 1u
#define META_DURABLE 32u /* what the slot says is known to be on disk; means nothing to readers */
#define META_VERSION 64u /* the lowest bit of the version */

static inline bool is_valid(uint16_t meta)
{
    return (meta & META_VALID) != 0;
}

static inline unsigned int kind_of(uint16_t meta)
{
    return (meta >> 1 & 15) % TR_KINDS; /* a foreign value must not lead outside the counters */
}

/* Of a slot that changes hands: the next version, not durable. */
static inline uint16_t next_meta(uint16_t meta, unsigned int kind, bool valid)
{
    return (uint16_t)((meta / META_VERSION + 1u) * META_VERSION | kind << 1 | (valid ? META_VALID : 0u));
}

static inline uint16_t make_valid(uint16_t meta)
{
    return (uint16_t)(meta | META_VALID);
}

/* ---- slots ------------------------------------------------------------------------------------------------- */

/* Each load is an acquire, so that the second look at meta comes after the others. */
static inline bool slot_holds(slot_t *slot, apr_time_t *issued_before, tr_mark_t mark)
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

#endif
