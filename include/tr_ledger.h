/*
 * tr_ledger.h: "this is revoked now". The only writer of the table of revocations.
 */
#ifndef TR_LEDGER_H
#define TR_LEDGER_H

#include <apr_global_mutex.h>

#include "tr_base.h"
#include "tr_entry.h"
#include "tr_table.h"

/*
 * Make n revocations durable, all or none, and number them (seq). Called after they are in force and without the writer
 * lock. Returns APR_SUCCESS only when they are on disk; anything else makes tr_ledger_revoke_all fail with the same status,
 * and the caller is told that they do not count.
 */
typedef apr_status_t (*tr_ledger_append_fn)(void *baton, tr_revocation_t *const *list, int n, apr_time_t now);

typedef struct tr_ledger_t tr_ledger_t;

/*
 * append NULL: revocations live as long as the shared memory. All arguments must outlive the ledger, which lives in
 * pool.
 */
tr_ledger_t *tr_ledger_make(tr_table_t *table, apr_global_mutex_t *lock, tr_ledger_append_fn append, void *baton,
                            apr_pool_t *pool);

/*
 * Write to this table, too: processes of an earlier generation still read it. Same lock. What does not fit into it makes
 * on_full(baton) be called, so that nobody goes on trusting it. At most TR_LEDGER_ALSO tables.
 */
#define TR_LEDGER_ALSO 2
void tr_ledger_also(tr_ledger_t *ledger, tr_table_t *table, void (*on_full)(void *baton), void *baton);

/*
 * Asked after each revocation. True: there is a newer table that is not written from here, so nothing can be promised, and
 * tr_ledger_revoke returns TR_LEDGER_SUPERSEDED.
 */
#define TR_LEDGER_SUPERSEDED (APR_OS_START_USERERR + 7200)
void tr_ledger_watch(tr_ledger_t *ledger, bool (*is_superseded)(void *baton), void *baton);

/*
 * Put a list of 1 to TR_MAX_ADMIN_ITEMS revocations in force, in its order and without another writer between, then make them
 * durable with one commit. What was_known already is not stored again, unless record says so. Their entries are raised to
 * what is in force for them. now: microseconds since 1970, from a clock that never ran ahead. Blocks for other writers and
 * for the store, never for readers. Returns APR_SUCCESS: all in force in every process, and durable where there is a store;
 * APR_ENOSPC: table full; TR_LEDGER_SUPERSEDED; another status: the lock or the store failed. After APR_ENOSPC none is in
 * force that was not before, or half a list would come back to life at the next start; after another failure some may be in
 * force and some not. was_there and was_known are then certain only where they are true.
 */
TR_MUST_CHECK apr_status_t tr_ledger_revoke_all(tr_ledger_t *ledger, tr_revocation_t *list, int n, bool record, apr_time_t now);

/* The same for one. */
TR_MUST_CHECK apr_status_t tr_ledger_revoke(tr_ledger_t *ledger, const tr_entry_t *e, const tr_circumstances_t *c,
                                            apr_time_t now);

/*
 * Is an entry at least as strict as e in force, and stored where there is a store? Returns APR_SUCCESS (yes), APR_NOTFOUND,
 * TR_LEDGER_SUPERSEDED, or what the lock failed with.
 */
TR_MUST_CHECK apr_status_t tr_ledger_find(tr_ledger_t *ledger, const tr_entry_t *e);

/*
 * Put in force what the store says. durable: it is known to be synced to disk. now: as above. Returns APR_SUCCESS,
 * APR_ENOSPC when the table is full, or what the lock failed with; then some entries may be in force and some not.
 */
TR_MUST_CHECK apr_status_t tr_ledger_learn(tr_ledger_t *ledger, const tr_entry_t *entries, int n, bool durable, apr_time_t now);

/* Reclaim what has expired, a slice per call, unless somebody is writing; cheap enough for once a second. now: as above. */
TR_MUST_CHECK apr_status_t tr_ledger_tidy(tr_ledger_t *ledger, apr_time_t now);

#endif
