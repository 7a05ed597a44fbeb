/*
 * tr_table.h: the revocations that are in force, in one piece of shared memory of fixed size.
 *
 * Readers take no lock, make no system call and never wait, also not for a writer that was killed in the middle.
 * Writers hold one lock between processes and threads, which the caller owns; functions that need it end in _locked.
 * docs/ARCHITECTURE.md draws the segment.
 */
#ifndef TR_TABLE_H
#define TR_TABLE_H

#include <stdint.h>

#include "tr_base.h"
#include "tr_entry.h"

typedef struct tr_table_t tr_table_t; /* this process' handle; the content is in shared memory */

typedef struct tr_table_stats_t {
    uint32_t capacity; /* live entries that surely fit */
    uint32_t used;     /* entries held, expired ones that nobody reclaimed yet included */
    uint32_t by_kind[TR_KINDS];
    uint64_t inserted; /* since the segment was made */
    uint64_t reclaimed;
    uint64_t full;      /* inserts refused for lack of room */
    uint64_t recovered; /* times a writer died holding the lock and the counts were made anew */
} tr_table_stats_t;

/* Bytes of shared memory for capacity entries (1 to TR_MAX_CAPACITY): at most 40 an entry, and a few pages. */
apr_size_t tr_table_size(uint32_t capacity);

/*
 * Lay out an empty table at base: size bytes, all zero, aligned to 64. Only before any other process can see it. previous
 * (may be NULL): a table whose entries tr_table_copy_locked shall be able to take over. Returns APR_SUCCESS, APR_EINVAL
 * for a size too small, APR_EGENERAL when there are no random bits for the key.
 */
TR_MUST_CHECK apr_status_t tr_table_create(tr_table_t **out, void *base, apr_size_t size, uint32_t capacity,
                                           const tr_table_t *previous, apr_pool_t *pool);

/*
 * A handle on a table that was laid out before. Returns APR_SUCCESS, or APR_EINVAL when base is no table of this
 * version.
 */
TR_MUST_CHECK apr_status_t tr_table_attach(tr_table_t **out, void *base, apr_size_t size, apr_pool_t *pool);

uint32_t tr_table_capacity(const tr_table_t *table);

/* The mark of a triple under this table's key. Any thread. */
tr_mark_t tr_table_mark(const tr_table_t *table, tr_kind_t kind, tr_str_t issuer, tr_str_t value);

/*
 * May there be an entry of this kind? One load of a word that only writers change, so that a kind that nobody uses costs
 * nothing. False is certain: whoever has seen a revocation answered hears true. Any thread.
 */
bool tr_table_has(const tr_table_t *table, tr_kind_t kind);

/* The same for all kinds at once: bit k for kind k. Still one load. */
uint32_t tr_table_kinds(const tr_table_t *table);

/*
 * Is there an entry with this mark? *issued_before (may be NULL) gets its cut-off in microseconds. Never consults the
 * clock: an entry revokes for as long as it is there. Lock-free, any thread. Returns false also when nothing was ever
 * inserted.
 */
bool tr_table_lookup(const tr_table_t *table, apr_time_t *issued_before, tr_mark_t mark);

/* Begin to load what tr_table_lookup will read of this mark, so that several marks wait for memory together. Any thread. */
void tr_table_prefetch(const tr_table_t *table, tr_mark_t mark);

/*
 * A number that is another one after each insertion and each lengthening, and never UINT64_MAX. Whoever asks for it first, looks
 * up then and finds nothing, need not look again until it has changed. One load of a word that only writers change. Any thread.
 */
uint64_t tr_table_changes(const tr_table_t *table);

/*
 * Begin and end a change. begin: the caller has just taken the lock; repairs the counts if the last holder died. end:
 * just before the lock is released.
 */
void tr_table_begin_locked(tr_table_t *table);
void tr_table_end_locked(tr_table_t *table);

/* Do n more entries fit, once what has expired is out? */
bool tr_table_has_room_locked(tr_table_t *table, uint32_t n, int64_t now_s);

/*
 * Add e, or lengthen an equal entry's life and move its cut-off later; neither ever moves back. Every reader in every
 * process sees it once this returns. now_s (seconds since 1970) says which entries have expired and may give up their
 * place; the caller must pass a clock that never ran ahead. Returns APR_SUCCESS, or APR_ENOSPC when no place is free: a
 * live entry is never pushed out.
 */
TR_MUST_CHECK apr_status_t tr_table_insert_locked(tr_table_t *table, const tr_entry_t *e, int64_t now_s);

/* The same for n entries, which are on disk already where durable says so. Ends at the first that finds no place. */
TR_MUST_CHECK apr_status_t tr_table_insert_many_locked(tr_table_t *table, const tr_entry_t *entries, int n, bool durable,
                                                       int64_t now_s);

/*
 * Insert what lives in from, the previous table of tr_table_create. Nobody may be writing to either. Nothing counts as
 * durable in to. Returns APR_SUCCESS, or APR_ENOSPC when to is full.
 */
TR_MUST_CHECK apr_status_t tr_table_copy_locked(tr_table_t *to, const tr_table_t *from, int64_t now_s);

/*
 * Whether an entry is known to be on disk is remembered beside it, so that revoking twice does not write twice. set, which
 * needs no lock: e as it stands was stored. is: an entry at least as strict as e is in force and was stored. Lengthening an
 * entry, giving its place to another, or the death of a writer makes it unknown again.
 */
void tr_table_set_durable(tr_table_t *table, const tr_entry_t *e);
/* Raise e's cut-off and end to what is in force for it, so that storing e stores all of that. */
void tr_table_raise_locked(const tr_table_t *table, tr_entry_t *e);

/* Everything that is in the table was stored. Only before any other process can see it. */
void tr_table_set_all_durable(tr_table_t *table);

bool tr_table_is_durable_locked(const tr_table_t *table, const tr_entry_t *e);

/* Is an entry at least as strict as e in force? */
bool tr_table_covers_locked(const tr_table_t *table, const tr_entry_t *e);

/* Reclaim expired entries among the next max_slots places (0 = all of them), continuing where the last call ended. */
void tr_table_sweep_locked(tr_table_t *table, int64_t now_s, uint32_t max_slots);

/* A snapshot for people; the numbers may be moments apart. */
void tr_table_stats(tr_table_stats_t *out, const tr_table_t *table);

#endif
