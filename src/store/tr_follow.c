/* tr_follow.c: hearing of what others stored, and deleting what has expired. In one thread of one process. */
#include "tr_store_private.h"

#include <apr_strings.h>

#define DELETE_AT_ONCE 500 /* a few milliseconds of a transaction */
#define CLEAN_BATCHES 4    /* of TR_ROWS_AT_ONCE, at each call */
#define BUSY_BATCHES 24    /* the same, where much has expired */
#define FREE_PAGES 1000    /* fewer than these are not worth giving back */
#define SHRINK_PAGES 200

static void set_error(tr_store_t *store, const char *error)
{
    apr_cpystrn(store->read_error, error != NULL ? error : "failed", sizeof(store->read_error));
}

static apr_status_t open_reader(tr_store_t *store)
{
    apr_pool_t *scratch;
    const char *why;
    apr_status_t rv;

    if (store->reader != NULL) {
        return APR_SUCCESS;
    }
    if (apr_pool_create_unmanaged_ex(&scratch, NULL, NULL) != APR_SUCCESS) {
        return TR_STORE_FAILED;
    }
    rv = tr_sql_open_known(&store->reader, &why, &store->place, &store->read, scratch);
    if (rv != APR_SUCCESS) {
        set_error(store, why);
        tr_sql_close(store->reader);
        store->reader = NULL;
    }
    store->data_version = 0;
    apr_pool_destroy(scratch);
    TR_GIVEN(rv != APR_SUCCESS || store->reader != NULL);
    return rv;
}

static void close_reader(tr_store_t *store)
{
    set_error(store, store->reader->error);
    tr_sql_close(store->reader);
    store->reader = NULL;
}

/* SQLite says cheaply whether anybody else has committed; PostgreSQL's answer costs as much as the rows. */
static apr_status_t has_changed(tr_store_t *store, bool *changed)
{
    tr_sql_t *sql = store->reader;
    apr_dbd_row_t *row;
    apr_status_t rv = tr_files_verify(sql);
    int64_t version;

    *changed = true;
    if (rv != APR_SUCCESS || !sql->is_file) {
        return rv;
    }
    rv = tr_sql_get(sql, &row, "PRAGMA data_version");
    version = rv == APR_SUCCESS && row != NULL ? tr_sql_int(sql, row, 0) : 0;
    *changed = version == 0 || version != store->data_version;
    store->data_version = version;
    return rv;
}

/*
 * An older state that was put into the same file, or into a server, while it was open: the next that are stored there get the
 * numbers that we have passed. What others know is read first: it follows the database.
 */
static apr_status_t check_state(tr_store_t *store)
{
    int64_t least_seq = atomic_load(&store->memory->seq);
    tr_sql_state_t state;
    apr_status_t rv = tr_sql_read_state(store->reader, &state);

    return rv == APR_SUCCESS ? tr_sql_compare(store->reader, &state, &store->read, least_seq) : rv;
}

static apr_status_t read_new(tr_sql_t *sql, int64_t *seq, tr_store_rows_fn fn, void *baton)
{
    tr_entry_t entries[TR_ROWS_AT_ONCE];
    apr_status_t rv = APR_SUCCESS;
    int n = TR_ROWS_AT_ONCE;

    while (rv == APR_SUCCESS && n == TR_ROWS_AT_ONCE) {
        tr_sql_row_t *row;

        rv = tr_row_read_after(sql, &row, &n, *seq);
        if (rv == APR_SUCCESS && n > 0) {
            for (int i = 0; i < n; i++) {
                entries[i] = row[i].entry;
            }
            rv = fn(baton, entries, n);
        }
        if (rv == APR_SUCCESS && n > 0) {
            *seq = row[n - 1].seq;
        }
        apr_pool_clear(sql->scratch);
    }
    return rv;
}

static apr_status_t follow(tr_store_t *store, bool *is_stale, int64_t *seq, tr_store_rows_fn fn, void *baton)
{
    bool was_open = store->reader != NULL;
    bool changed;
    apr_status_t rv = open_reader(store);

    if (rv != APR_SUCCESS) {
        return TR_STORE_FAILED;
    }
    rv = has_changed(store, &changed);
    if (rv == APR_SUCCESS && changed) {
        rv = check_state(store);
    }
    if (rv == APR_SUCCESS && changed) {
        rv = read_new(store->reader, seq, fn, baton);
    }
    if (rv == TR_STORE_FAILED) {
        *is_stale = was_open && tr_sql_is_stale(store->reader);
        close_reader(store);
    }
    else {
        apr_pool_clear(store->reader->scratch);
    }
    if (rv != APR_SUCCESS) {
        store->data_version = 0; /* what was not taken must be offered again */
    }
    return rv;
}

apr_status_t tr_store_follow(tr_store_t *store, int64_t *seq, tr_store_rows_fn fn, void *baton)
{
    bool is_stale = false;
    apr_status_t rv;

    tr_store_remember(store, *seq);
    rv = follow(store, &is_stale, seq, fn, baton);
    rv = is_stale ? follow(store, &is_stale, seq, fn, baton) : rv;
    if (rv == APR_SUCCESS) {
        store->read_error[0] = '\0';
    }
    return rv;
}

/* ---- cleaning ---------------------------------------------------------------------------------------------- */

/*
 * Rows never change, but another httpd may clean, too: only who deletes a row takes it out of the totals. The lock of
 * other writers is held for a few milliseconds.
 */
static apr_status_t delete_locked(tr_sql_t *sql, const tr_sql_row_t *rows, int n, int *deleted)
{
    tr_sql_state_t state;
    apr_status_t rv = tr_sql_begin(sql);
    int removed_in_all = 0;

    if (rv == APR_SUCCESS) {
        rv = tr_sql_lock_state(sql, &state);
    }
    for (int i = 0; i < n && rv == APR_SUCCESS; i++) {
        bool removed = false;

        rv = tr_row_remove(sql, &removed, rows[i].seq);
        if (removed) {
            state.rows--;
            state.sum -= rows[i].checksum;
            removed_in_all++;
        }
    }
    if (rv == APR_SUCCESS) {
        rv = tr_sql_write_state(sql, &state);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_sql_commit(sql);
    }
    if (rv != APR_SUCCESS) {
        tr_sql_rollback(sql);
        return rv;
    }
    *deleted += removed_in_all;
    return APR_SUCCESS;
}

static apr_status_t delete_expired(tr_store_t *store, tr_sql_row_t *rows, int n, int64_t now_s, int *deleted)
{
    apr_status_t rv = APR_SUCCESS;
    int expired = 0;

    for (int i = 0; i < n; i++) {
        if (rows[i].entry.expires_s < now_s) {
            rows[expired++] = rows[i];
        }
    }
    for (int i = 0; i < expired && rv == APR_SUCCESS; i += DELETE_AT_ONCE) {
        if (!tr_store_trylock(store)) {
            return APR_SUCCESS; /* later: following must not wait */
        }
        rv = delete_locked(store->reader, rows + i, expired - i < DELETE_AT_ONCE ? expired - i : DELETE_AT_ONCE, deleted);
        tr_store_unlock(store);
    }
    return rv;
}

/* Give back to the file system what a peak has left, a little at a time. */
static apr_status_t shrink(tr_store_t *store)
{
    tr_sql_t *sql = store->reader;
    apr_dbd_row_t *row;
    int64_t unused, pages;
    apr_status_t rv;

    if (!sql->is_file) {
        return APR_SUCCESS;
    }
    rv = tr_sql_get(sql, &row, "SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count");
    unused = rv == APR_SUCCESS && row != NULL ? tr_sql_int(sql, row, 0) : 0;
    pages = rv == APR_SUCCESS && row != NULL ? tr_sql_int(sql, row, 1) : 0;
    if (rv != APR_SUCCESS || unused < FREE_PAGES || unused < pages / 4) {
        return rv;
    }
    if (tr_store_trylock(store)) {
        rv = tr_sql_get(sql, &row, "PRAGMA incremental_vacuum(" APR_STRINGIFY(SHRINK_PAGES) ")");
        tr_store_unlock(store);
    }
    return rv;
}

/* Several servers may use one database: none may delete what lives by the clock of the database. */
static apr_status_t ask_clock(tr_store_t *store, int64_t *now_s)
{
    apr_dbd_row_t *row;
    int64_t there_s;
    apr_status_t rv;

    if (store->reader->is_file) {
        return APR_SUCCESS;
    }
    rv = tr_sql_get(store->reader, &row, "SELECT CAST(floor(extract(epoch FROM now())) AS BIGINT)");
    there_s = rv == APR_SUCCESS && row != NULL ? tr_sql_int(store->reader, row, 0) : 0;
    *now_s = there_s < *now_s ? there_s : *now_s;
    return rv;
}

static apr_status_t clean(tr_store_t *store, int *deleted, int64_t now_s)
{
    apr_status_t rv = open_reader(store);
    int n = TR_ROWS_AT_ONCE;

    *deleted = 0;
    if (rv == APR_SUCCESS) {
        rv = ask_clock(store, &now_s);
    }
    for (int batch = 0; batch < (*deleted > 0 ? BUSY_BATCHES : CLEAN_BATCHES) && n == TR_ROWS_AT_ONCE && rv == APR_SUCCESS;
         batch++) {
        tr_sql_row_t *rows;

        rv = tr_row_read_after(store->reader, &rows, &n, store->clean_seq);
        if (rv == APR_SUCCESS && n > 0) {
            int64_t last = rows[n - 1].seq;

            rv = delete_expired(store, rows, n, now_s, deleted);
            store->clean_seq = last;
        }
        apr_pool_clear(store->reader->scratch);
    }
    if (rv == APR_SUCCESS && n < TR_ROWS_AT_ONCE) {
        store->clean_seq = 0;
    }
    if (rv == APR_SUCCESS && *deleted == 0) {
        rv = shrink(store);
    }
    /* On a full disk the connection is still good for reading, and could not be made anew. */
    if (rv == TR_STORE_FAILED && store->reader != NULL && tr_sql_is_stale(store->reader)) {
        close_reader(store);
    }
    else if (rv == TR_STORE_FAILED && store->reader != NULL) {
        set_error(store, store->reader->error);
    }
    return rv;
}

apr_status_t tr_store_clean(tr_store_t *store, int *deleted, int64_t now_s)
{
    bool was_open = store->reader != NULL;
    apr_status_t rv = clean(store, deleted, now_s);

    return rv != APR_SUCCESS && was_open && store->reader == NULL ? clean(store, deleted, now_s) : rv;
}
