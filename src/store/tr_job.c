/* tr_job.c: copies of revocations, and the transaction that stores them. */
#include "tr_store_private.h"

/* ---- copies ------------------------------------------------------------------------------------------------ */

/* What people write may be anything; a database takes UTF-8 only. Nothing depends on it, so "?" will do. */
static tr_str_t clean_text(tr_str_t text, apr_pool_t *pool)
{
    char *copy = tr_str_dup_z(text, pool);

    for (apr_size_t i = 0; i < text.len;) {
        apr_size_t len = tr_utf8_len(tr_str(copy + i, text.len - i));

        if (len == 0 || tr_str_has_control(tr_str(copy + i, len))) {
            copy[i] = '?';
            len = 1;
        }
        i += len;
    }
    return tr_str(copy, text.len);
}

static tr_str_t copy_text(tr_str_t text, apr_pool_t *pool)
{
    return tr_str(tr_str_dup_z(text, pool), text.len);
}

void tr_job_fill(job_t *job, const tr_revocation_t *revocation, apr_time_t now, apr_pool_t *pool)
{
    const tr_entry_t *e = &revocation->entry;
    const tr_circumstances_t *c = &revocation->circumstances;

    job->row.entry = *e;
    job->row.entry.issued_before = tr_kind_has_cut_off(e->kind) ? e->issued_before : 0;
    job->row.entry.issuer = copy_text(e->issuer, pool);
    if (tr_kind_has_digest(e->kind)) {
        char *text = apr_palloc(pool, TR_ROW_DIGEST_LEN + 1);

        tr_row_write_digest(text, e->value);
        job->row.entry.value = tr_str(text, TR_ROW_DIGEST_LEN);
    }
    else {
        job->row.entry.value = copy_text(e->value, pool);
    }
    job->circumstances.actor = clean_text(c->actor, pool);
    job->circumstances.client_address = clean_text(c->client_address, pool);
    job->circumstances.reason = clean_text(c->reason, pool);
    job->revoked_at_s = apr_time_sec(now);
}

/* ---- one transaction --------------------------------------------------------------------------------------- */

static apr_status_t write_jobs(tr_store_t *store, tr_sql_t *sql, job_t *const *jobs, int n)
{
    tr_sql_state_t state;
    apr_status_t rv = tr_sql_begin(sql);

    if (rv == APR_SUCCESS) {
        rv = tr_sql_lock_state(sql, &state);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_sql_compare(sql, &state, &store->written, atomic_load(&store->memory->seq));
    }
    for (int i = 0; i < n && rv == APR_SUCCESS; i++) {
        jobs[i]->row.seq = ++state.last_seq;
        rv = tr_row_insert(sql, &jobs[i]->row, &jobs[i]->circumstances, jobs[i]->revoked_at_s);
        state.rows++;
        state.sum += jobs[i]->row.checksum;
    }
    if (rv == APR_SUCCESS) {
        rv = tr_sql_write_state(sql, &state);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_sql_commit(sql);
    }
    if (rv == APR_SUCCESS) {
        tr_store_remember(store, state.last_seq);
        /* They are stored, whatever becomes of the mark; but the next are not before it can be made anew. */
        sql->is_over = tr_files_write_mark(sql, state.id, state.last_seq) != APR_SUCCESS;
    }
    return rv;
}

/*
 * A new connection after a failure. A log that filled the disk can be emptied now; and what it holds is written anew,
 * which counts more than that the system says it was.
 */
static apr_status_t open_writer(tr_store_t *store, const char **why)
{
    apr_status_t rv = tr_sql_open_known(&store->writer, why, &store->place, &store->written, store->batch_pool);
    apr_dbd_row_t *row;

    TR_GIVEN(rv != APR_SUCCESS || store->writer != NULL);
    if (rv == APR_SUCCESS && store->failed && store->place.path != NULL &&
        tr_sql_get(store->writer, &row, "PRAGMA wal_checkpoint(TRUNCATE)") != APR_SUCCESS) {
        *why = store->writer->error; /* storing will say what is wrong, if it still is */
    }
    return rv;
}

static void close_writer(tr_store_t *store)
{
    if (store->writer != NULL) {
        tr_sql_rollback(store->writer);
        tr_sql_close(store->writer);
        store->writer = NULL;
    }
}

static apr_status_t try_to_store(tr_store_t *store, bool *is_stale, job_t *const *jobs, int n)
{
    bool was_open = store->writer != NULL;
    const char *why = NULL;
    apr_status_t rv = was_open ? APR_SUCCESS : open_writer(store, &why);

    if (rv == APR_SUCCESS) {
        rv = write_jobs(store, store->writer, jobs, n);
        why = store->writer->error;
    }
    store->failed = rv != APR_SUCCESS;
    if (rv == APR_SUCCESS && store->writer->is_over) {
        close_writer(store);
        return APR_SUCCESS;
    }
    if (rv == APR_SUCCESS) {
        apr_pool_clear(store->writer->scratch);
        return APR_SUCCESS;
    }
    *is_stale = was_open && tr_sql_is_stale(store->writer);
    tr_store_set_error(store, why);
    close_writer(store);
    return TR_STORE_FAILED;
}

apr_status_t tr_job_store(tr_store_t *store, job_t *const *jobs, int n)
{
    bool is_stale = false;
    apr_status_t rv;

    store->idle_calls = 0;
    rv = try_to_store(store, &is_stale, jobs, n);
    return is_stale ? try_to_store(store, &is_stale, jobs, n) : rv;
}
