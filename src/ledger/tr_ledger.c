/* tr_ledger.c: in force first, durable next, and only then does anybody hear "revoked". */
#include "tr_ledger.h"

#define TIDY_SLOTS 8192 /* a fraction of a millisecond under the lock, in every child once a second */

struct tr_ledger_t {
    tr_table_t *table;
    apr_global_mutex_t *lock;
    tr_ledger_append_fn append;
    void *baton;
};

tr_ledger_t *tr_ledger_make(tr_table_t *table, apr_global_mutex_t *lock, tr_ledger_append_fn append, void *baton,
                            apr_pool_t *pool)
{
    tr_ledger_t *ledger = apr_palloc(pool, sizeof(*ledger));

    ledger->table = table;
    ledger->lock = lock;
    ledger->append = append;
    ledger->baton = baton;
    return ledger;
}

static apr_status_t publish(tr_ledger_t *ledger, const tr_entry_t *e, apr_time_t now)
{
    apr_status_t rv = apr_global_mutex_lock(ledger->lock);
    apr_status_t unlocked;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    tr_table_begin_locked(ledger->table);
    rv = tr_table_insert_locked(ledger->table, e, apr_time_sec(now));
    tr_table_end_locked(ledger->table);
    unlocked = apr_global_mutex_unlock(ledger->lock);
    return rv != APR_SUCCESS ? rv : unlocked;
}

apr_status_t tr_ledger_revoke(tr_ledger_t *ledger, const tr_entry_t *e, const tr_circumstances_t *c, apr_time_t now)
{
    apr_status_t rv = publish(ledger, e, now);

    if (rv == APR_SUCCESS && ledger->append != NULL) {
        rv = ledger->append(ledger->baton, e, c, now);
    }
    return rv;
}

apr_status_t tr_ledger_tidy(tr_ledger_t *ledger, apr_time_t now)
{
    apr_status_t rv = apr_global_mutex_trylock(ledger->lock);

    /* Never wait: whoever writes makes room on his own, and a process that is ending must not be held up. */
    if (APR_STATUS_IS_EBUSY(rv) || rv == APR_ENOTIMPL) {
        return APR_SUCCESS;
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    tr_table_begin_locked(ledger->table);
    tr_table_sweep_locked(ledger->table, apr_time_sec(now), TIDY_SLOTS);
    tr_table_end_locked(ledger->table);
    return apr_global_mutex_unlock(ledger->lock);
}
