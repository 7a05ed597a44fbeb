/*
 * tr_list.c: what is stored, for people. A connection of its own, so that whoever stores or follows never waits for it.
 *
 * No index helps, so a search reads the rows one after the other, backwards. apr_dbd lets one thread of a process use SQLite at
 * a time: the pieces are small, and between them is a pause in which the others get their turn.
 */
#include "tr_store_private.h"

#include <apr_strings.h>

#define PATIENCE apr_time_from_sec(5)
#define PAUSE 500                /* microseconds */
#define KEPT_FOR_REUSE (1 << 18) /* bytes of memory: a list may need some MiB, once */

static apr_status_t open_lister(tr_store_t *store, const char **why, apr_pool_t *pool)
{
    apr_status_t rv;

    if (store->lister != NULL) {
        return APR_SUCCESS;
    }
    rv = tr_sql_open_known(&store->lister, why, &store->place, &store->listed, pool);
    TR_GIVEN(rv != APR_SUCCESS || store->lister != NULL);
    if (rv == APR_SUCCESS) {
        apr_allocator_max_free_set(apr_pool_allocator_get(store->lister->pool), KEPT_FOR_REUSE);
        rv = tr_row_prepare_list(store->lister);
        *why = store->lister->error;
    }
    return rv;
}

static void close_lister(tr_store_t *store)
{
    tr_sql_close(store->lister);
    store->lister = NULL;
}

/* Piece by piece, until there is enough or nothing more. */
static apr_status_t read_all(tr_sql_t *sql, tr_store_listed_t *rows, int *n, const tr_store_query_t *query)
{
    tr_store_query_t rest = *query;
    int64_t from = 0;
    apr_status_t rv = tr_files_verify(sql);

    rest.before_seq = query->before_seq > 0 ? query->before_seq : INT64_MAX;
    *n = 0;
    while (rv == APR_SUCCESS && *n < query->limit) {
        rv = tr_row_step(sql, &from, rest.before_seq);
        if (rv != APR_SUCCESS || from == 0) {
            break;
        }
        rv = tr_row_list(sql, rows, n, &rest, from);
        rest.before_seq = from;
        apr_sleep(PAUSE);
    }
    return rv;
}

static apr_status_t hand_over(const tr_store_listed_t *rows, int n, tr_store_listed_fn fn, void *baton)
{
    apr_status_t rv = APR_SUCCESS;

    for (int i = 0; i < n && rv == APR_SUCCESS; i++) {
        rv = fn(baton, &rows[i]);
    }
    return rv;
}

/* *again: it was an old connection, and a new one may help. */
static apr_status_t list(tr_store_t *store, bool *again, const tr_store_query_t *query, tr_store_listed_fn fn, void *baton,
                         const char **why, apr_pool_t *pool)
{
    bool was_open = store->lister != NULL;
    tr_store_listed_t *rows = apr_palloc(pool, (apr_size_t)query->limit * sizeof(*rows));
    int n = 0;
    apr_status_t rv = open_lister(store, why, pool);

    if (rv == APR_SUCCESS) {
        rv = read_all(store->lister, rows, &n, query);
        *why = store->lister->error;
    }
    *again = rv != APR_SUCCESS && was_open;
    *why = apr_pstrdup(pool, *why);
    if (rv == APR_SUCCESS) {
        rv = hand_over(rows, n, fn, baton);
        apr_pool_clear(store->lister->scratch);
    }
    if (rv == TR_STORE_FAILED || store->place.path == NULL) {
        close_lister(store);
    }
    return rv;
}

/* A text with a NUL would be cut short, and find something else. */
static bool is_fit(const tr_store_query_t *query)
{
    const tr_str_t *value = query->value;

    return query->limit >= 1 && query->limit <= TR_MAX_LISTED &&
           (value == NULL || value->len == 0 || memchr(value->data, '\0', value->len) == NULL);
}

apr_status_t tr_store_list(tr_store_t *store, const tr_store_query_t *query, tr_store_listed_fn fn, void *baton, const char **why,
                           apr_pool_t *pool)
{
    bool again = false;
    apr_status_t rv;

    *why = NULL;
    if (!is_fit(query)) {
        return APR_EINVAL;
    }
    if (apr_thread_mutex_timedlock(store->list_mutex, PATIENCE) != APR_SUCCESS) {
        *why = "somebody else reads the list, and it takes long";
        return TR_STORE_FAILED;
    }
    rv = list(store, &again, query, fn, baton, why, pool);
    rv = again ? list(store, &again, query, fn, baton, why, pool) : rv;
    apr_thread_mutex_unlock(store->list_mutex);
    return rv;
}
