/* tr_ledger.c: in force first, durable next, and only then does anybody hear "revoked". */
#include "tr_ledger.h"

#include "tr_limits.h"

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

/* Where nothing is stored, what is in force is all there is to know. */
static bool is_known_locked(const tr_ledger_t *ledger, const tr_entry_t *e)
{
    return ledger->append != NULL ? tr_table_is_durable_locked(ledger->table, e) : tr_table_covers_locked(ledger->table, e);
}

static bool is_there(const tr_table_t *table, const tr_entry_t *e)
{
    return tr_table_lookup(table, NULL, tr_table_mark(table, e->kind, e->issuer, e->value));
}

/* All or none: half a list in force that is never stored would come back to life at the next start. */
static bool has_room_locked(tr_ledger_t *ledger, const tr_revocation_t *list, int n, apr_time_t now)
{
    uint32_t fresh = 0;

    for (int i = 0; i < n; i++) {
        fresh += !is_there(ledger->table, &list[i].entry);
    }
    return tr_table_has_room_locked(ledger->table, fresh, apr_time_sec(now));
}

static apr_status_t publish(tr_ledger_t *ledger, tr_revocation_t *list, int n, apr_time_t now)
{
    apr_status_t rv = begin(ledger);
    apr_status_t unlocked;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!has_room_locked(ledger, list, n, now)) {
        rv = APR_ENOSPC;
    }
    for (int i = 0; i < n && rv == APR_SUCCESS; i++) {
        list[i].was_there = is_there(ledger->table, &list[i].entry);
        list[i].was_known = is_known_locked(ledger, &list[i].entry);
        rv = insert_locked(ledger, &list[i].entry, 1, false, apr_time_sec(now));
        tr_table_raise_locked(ledger->table, &list[i].entry);
    }
    unlocked = end(ledger);
    return rv != APR_SUCCESS ? rv : unlocked;
}

static apr_status_t store(tr_ledger_t *ledger, tr_revocation_t *list, int n, bool record, apr_time_t now)
{
    tr_revocation_t *unknown[TR_MAX_ADMIN_ITEMS];
    int count = 0;
    apr_status_t rv;

    for (int i = 0; i < n; i++) {
        if (record || !list[i].was_known) {
            unknown[count++] = &list[i];
        }
    }
    if (count == 0) {
        return APR_SUCCESS;
    }
    rv = ledger->append(ledger->baton, unknown, count, now);
    for (int i = 0; i < count && rv == APR_SUCCESS; i++) {
        tr_table_set_durable(ledger->table, &unknown[i]->entry);
    }
    return rv;
}

static bool is_superseded(const tr_ledger_t *ledger)
{
    return ledger->is_superseded != NULL && ledger->is_superseded(ledger->watch);
}

/* Whoever sees that the table is still the newest has put e there before its content was taken over into the next. */
apr_status_t tr_ledger_revoke_all(tr_ledger_t *ledger, tr_revocation_t *list, int n, bool record, apr_time_t now)
{
    apr_status_t rv;

    if (n < 1 || n > TR_MAX_ADMIN_ITEMS) {
        return APR_EINVAL;
    }
    for (int i = 0; i < n; i++) {
        list[i].was_there = list[i].was_known = false;
        list[i].seq = 0;
    }
    rv = publish(ledger, list, n, now);
    if (rv == APR_SUCCESS && ledger->append != NULL) {
        rv = store(ledger, list, n, record, now);
    }
    return rv == APR_SUCCESS && is_superseded(ledger) ? TR_LEDGER_SUPERSEDED : rv;
}

apr_status_t tr_ledger_revoke(tr_ledger_t *ledger, const tr_entry_t *e, const tr_circumstances_t *c, apr_time_t now)
{
    tr_revocation_t one = {.entry = *e, .circumstances = *c};

    return tr_ledger_revoke_all(ledger, &one, 1, false, now);
}

apr_status_t tr_ledger_find(tr_ledger_t *ledger, const tr_entry_t *e)
{
    apr_status_t rv = begin(ledger);
    apr_status_t unlocked;
    bool is_known;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    is_known = is_known_locked(ledger, e);
    unlocked = end(ledger);
    if (unlocked != APR_SUCCESS) {
        return unlocked;
    }
    if (is_superseded(ledger)) {
        return TR_LEDGER_SUPERSEDED;
    }
    return is_known ? APR_SUCCESS : APR_NOTFOUND;
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
