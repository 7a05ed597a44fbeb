/* tr_ledger.c: in force first, durable next, and only then does anybody hear "revoked". */
#include "tr_ledger.h"

#define TIDY_SLOTS 8192 /* a fraction of a millisecond under the lock, in every child once a second */

/* The table of an earlier generation. */
typedef struct also_t {
    tr_table_t *table;
    void (*on_full)(void *baton);
    void *baton;
} also_t;

struct tr_ledger_t {
    tr_table_t *table;
    apr_global_mutex_t *lock;
    tr_ledger_append_fn append;
    void *baton;
    also_t also[TR_LEDGER_ALSO];
    int n_also;
    bool (*is_superseded)(void *baton);
    void *watch;
};

tr_ledger_t *tr_ledger_make(tr_table_t *table, apr_global_mutex_t *lock, tr_ledger_append_fn append, void *baton,
                            apr_pool_t *pool)
{
    tr_ledger_t *ledger = apr_pcalloc(pool, sizeof(*ledger));

    ledger->table = table;
    ledger->lock = lock;
    ledger->append = append;
    ledger->baton = baton;
    return ledger;
}

void tr_ledger_also(tr_ledger_t *ledger, tr_table_t *table, void (*on_full)(void *baton), void *baton)
{
    also_t *also = &ledger->also[ledger->n_also];

    if (ledger->n_also < TR_LEDGER_ALSO) {
        also->table = table;
        also->on_full = on_full;
        also->baton = baton;
        ledger->n_also++;
    }
}

void tr_ledger_watch(tr_ledger_t *ledger, bool (*is_superseded)(void *baton), void *baton)
{
    ledger->is_superseded = is_superseded;
    ledger->watch = baton;
}

static apr_status_t begin(tr_ledger_t *ledger)
{
    apr_status_t rv = apr_global_mutex_lock(ledger->lock);

    if (rv == APR_SUCCESS) {
        tr_table_begin_locked(ledger->table);
    }
    return rv;
}

static apr_status_t end(tr_ledger_t *ledger)
{
    tr_table_end_locked(ledger->table);
    return apr_global_mutex_unlock(ledger->lock);
}

/* Into the earlier tables first: what is found in the newest one is in all. */
static apr_status_t insert_locked(tr_ledger_t *ledger, const tr_entry_t *entries, int n, bool durable, int64_t now_s)
{
    for (int i = 0; i < ledger->n_also; i++) {
        also_t *also = &ledger->also[i];

        tr_table_begin_locked(also->table);
        if (tr_table_insert_many_locked(also->table, entries, n, durable, now_s) != APR_SUCCESS) {
            also->on_full(also->baton);
        }
        tr_table_end_locked(also->table);
    }
    return tr_table_insert_many_locked(ledger->table, entries, n, durable, now_s);
}

static apr_status_t publish(tr_ledger_t *ledger, bool *is_done, tr_entry_t *e, apr_time_t now)
{
    apr_status_t rv = begin(ledger);
    apr_status_t unlocked;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    *is_done = tr_table_is_durable_locked(ledger->table, e);
    rv = insert_locked(ledger, e, 1, false, apr_time_sec(now));
    tr_table_raise_locked(ledger->table, e);
    unlocked = end(ledger);
    return rv != APR_SUCCESS ? rv : unlocked;
}

static apr_status_t make_count(tr_ledger_t *ledger, const tr_entry_t *e, const tr_circumstances_t *c, apr_time_t now)
{
    tr_entry_t whole = *e;
    bool is_done = false;
    apr_status_t rv = publish(ledger, &is_done, &whole, now);

    if (rv != APR_SUCCESS || ledger->append == NULL || is_done) {
        return rv;
    }
    rv = ledger->append(ledger->baton, &whole, c, now);
    if (rv == APR_SUCCESS) {
        tr_table_set_durable(ledger->table, &whole);
    }
    return rv;
}

/* Whoever sees that the table is still the newest has put e there before its content was taken over into the next. */
apr_status_t tr_ledger_revoke(tr_ledger_t *ledger, const tr_entry_t *e, const tr_circumstances_t *c, apr_time_t now)
{
    apr_status_t rv = make_count(ledger, e, c, now);

    return rv == APR_SUCCESS && ledger->is_superseded != NULL && ledger->is_superseded(ledger->watch) ? TR_LEDGER_SUPERSEDED : rv;
}

apr_status_t tr_ledger_learn(tr_ledger_t *ledger, const tr_entry_t *entries, int n, bool durable, apr_time_t now)
{
    apr_status_t rv = begin(ledger);
    apr_status_t unlocked;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = insert_locked(ledger, entries, n, durable, apr_time_sec(now));
    unlocked = end(ledger);
    return rv != APR_SUCCESS ? rv : unlocked;
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
