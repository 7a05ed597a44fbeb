/*
 * tr_sql.c: one connection through apr_dbd. SQLite and PostgreSQL run the same statements; where they cannot, the dialect
 * has both.
 *
 * Transactions are begun and ended by statements of our own: apr_dbd's begin takes SQLite's lock too late, and its end
 * commits what a failure left.
 */
#include "tr_sql.h"

#include <stdarg.h>
#include <unistd.h>

#include <apr_strings.h>

/* BUSY_MS: SQLite waits this long for another writer each time that apr_dbd tries, sixteen times, with pauses of 100 ms. */
#define BUSY_MS "50"

typedef struct dialect_t {
    const char *settings; /* statements without rows, once per connection */
    const char *begin;
    const char *begin_reading;
    const char *lock_state;
} dialect_t;

#define READ_STATE "SELECT schema_version, database_id, last_seq, row_count, row_sum FROM tokrevoke_state WHERE id = 1"

static const dialect_t sqlite = {
    "PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY",
    "BEGIN IMMEDIATE",
    "BEGIN",
    READ_STATE,
};

/* The row of state is the lock that puts writers in order, so that numbers become visible in the order they are given. */
static const dialect_t postgres = {
    "SET client_encoding TO 'UTF8'; SET synchronous_commit TO on; SET lock_timeout TO '5s'; "
    "SET idle_in_transaction_session_timeout TO '10s'; SET standard_conforming_strings TO on",
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    READ_STATE " FOR UPDATE",
};

static const dialect_t *dialect(const tr_sql_t *sql)
{
    return sql->is_file ? &sqlite : &postgres;
}

/* ---- errors ------------------------------------------------------------------------------------------------ */

/* libpq's sentences have several lines, indented, the last with an end. */
static char *one_line(char *text)
{
    apr_size_t len = strlen(text);

    while (len > 0 && text[len - 1] == '\n') {
        text[--len] = '\0';
    }
    for (char *p = text; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\t') {
            *p = ' ';
        }
    }
    return text;
}

apr_status_t tr_sql_fail(tr_sql_t *sql, int ret, const char *doing)
{
    const char *text = apr_dbd_error(sql->driver, sql->handle, ret);

    text = text != NULL && *text != '\0' ? text : "failed";
    /* The first line alone: in those behind it PostgreSQL shows the row, and with it whole names of tokens. */
    apr_snprintf(sql->error_text, sizeof(sql->error_text), "%s: %.60s: %.*s", sql->place->name, doing, (int)strcspn(text, "\n"),
                 text);
    sql->error = one_line(sql->error_text);
    return TR_STORE_FAILED;
}

apr_status_t tr_sql_refuse(tr_sql_t *sql, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    apr_vsnprintf(sql->error_text, sizeof(sql->error_text), fmt, args);
    va_end(args);
    sql->error = one_line(sql->error_text);
    return TR_STORE_FAILED;
}

/* ---- statements -------------------------------------------------------------------------------------------- */

apr_status_t tr_sql_do(tr_sql_t *sql, const char *statements)
{
    int rows;
    int ret = apr_dbd_query(sql->driver, sql->handle, &rows, statements);

    return ret == 0 ? APR_SUCCESS : tr_sql_fail(sql, ret, statements);
}

apr_status_t tr_sql_get(tr_sql_t *sql, apr_dbd_row_t **out, const char *select)
{
    apr_dbd_results_t *results = NULL;
    int ret = apr_dbd_select(sql->driver, sql->scratch, sql->handle, &results, select, 1);

    *out = NULL;
    if (ret != 0) {
        return tr_sql_fail(sql, ret, select);
    }
    if (apr_dbd_get_row(sql->driver, sql->scratch, results, out, -1) != 0) {
        *out = NULL;
    }
    return APR_SUCCESS;
}

const char *tr_sql_text(const tr_sql_t *sql, apr_dbd_row_t *row, int n)
{
    return apr_dbd_get_entry(sql->driver, row, n);
}

int64_t tr_sql_int(const tr_sql_t *sql, apr_dbd_row_t *row, int n)
{
    const char *text = tr_sql_text(sql, row, n);

    return text != NULL ? apr_atoi64(text) : 0;
}

/* ---- transactions ------------------------------------------------------------------------------------------ */

apr_status_t tr_sql_begin(tr_sql_t *sql)
{
    return tr_sql_do(sql, dialect(sql)->begin);
}

apr_status_t tr_sql_begin_reading(tr_sql_t *sql)
{
    return tr_sql_do(sql, dialect(sql)->begin_reading);
}

/* What was committed to files that nobody will find again is not stored. */
apr_status_t tr_sql_commit(tr_sql_t *sql)
{
    apr_status_t rv = tr_sql_do(sql, "COMMIT");

    return rv == APR_SUCCESS ? tr_files_verify(sql) : rv;
}

void tr_sql_rollback(tr_sql_t *sql)
{
    int rows;

    if (sql->handle != NULL) {
        (void)apr_dbd_query(sql->driver, sql->handle, &rows, "ROLLBACK");
    }
}

static apr_status_t select_state(tr_sql_t *sql, tr_sql_state_t *out, const char *select)
{
    apr_dbd_row_t *row;
    apr_status_t rv = tr_sql_get(sql, &row, select);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (row == NULL) {
        return tr_sql_refuse(sql, "%s is damaged: its table tokrevoke_state is empty", sql->place->name);
    }
    out->version = tr_sql_int(sql, row, 0);
    out->id = apr_pstrdup(sql->scratch, tr_sql_text(sql, row, 1));
    out->last_seq = tr_sql_int(sql, row, 2);
    out->rows = tr_sql_int(sql, row, 3);
    out->sum = (uint64_t)tr_sql_int(sql, row, 4);
    if (out->id == NULL || strlen(out->id) != TR_STORE_ID_LEN || out->last_seq < 0 || out->rows < 0) {
        return tr_sql_refuse(sql, "%s is damaged: its table tokrevoke_state makes no sense", sql->place->name);
    }
    return APR_SUCCESS;
}

apr_status_t tr_sql_read_state(tr_sql_t *sql, tr_sql_state_t *out)
{
    return select_state(sql, out, READ_STATE);
}

apr_status_t tr_sql_lock_state(tr_sql_t *sql, tr_sql_state_t *out)
{
    return select_state(sql, out, dialect(sql)->lock_state);
}

apr_status_t tr_sql_write_state(tr_sql_t *sql, const tr_sql_state_t *state)
{
    return tr_sql_do(sql, apr_psprintf(sql->scratch,
                                       "UPDATE tokrevoke_state SET last_seq = %" APR_INT64_T_FMT ", row_count = %" APR_INT64_T_FMT
                                       ", row_sum = %" APR_INT64_T_FMT " WHERE id = 1",
                                       state->last_seq, state->rows, (int64_t)state->sum));
}

/* ---- connections ------------------------------------------------------------------------------------------- */

/* These answer with rows. */
static apr_status_t set_up_file(tr_sql_t *sql)
{
    static const char *const pragmas[] = {"PRAGMA busy_timeout = " BUSY_MS, "PRAGMA journal_size_limit = 16777216"};
    apr_dbd_row_t *row;
    apr_status_t rv = APR_SUCCESS;
    const char *mode;

    for (size_t i = 0; i < sizeof(pragmas) / sizeof(pragmas[0]) && rv == APR_SUCCESS; i++) {
        rv = tr_sql_get(sql, &row, pragmas[i]);
    }
    /* So that room that is free can be given back later. Heard only before there is anything; then it would only write. */
    if (rv == APR_SUCCESS && !tr_files_have_content(sql->place->path)) {
        rv = tr_sql_do(sql, "PRAGMA auto_vacuum = INCREMENTAL");
    }
    if (rv == APR_SUCCESS) {
        rv = tr_sql_get(sql, &row, "PRAGMA journal_mode = WAL");
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    mode = row != NULL ? tr_sql_text(sql, row, 0) : NULL;
    if (mode == NULL || strcmp(mode, "wal") != 0) {
        return tr_sql_refuse(sql, "%s cannot be used with a write-ahead log: is it on a network file system?", sql->place->name);
    }
    return APR_SUCCESS;
}

static apr_status_t close_handle(void *data)
{
    tr_sql_t *sql = data;

    apr_dbd_close(sql->driver, sql->handle);
    return APR_SUCCESS;
}

static apr_status_t connect_to(tr_sql_t *sql)
{
    const char *text = NULL;
    apr_status_t rv = apr_dbd_get_driver(sql->pool, sql->place->driver, &sql->driver);

    if (rv == APR_SUCCESS) {
        rv = apr_dbd_open_ex(sql->driver, sql->pool, sql->place->params, &sql->handle, &text);
    }
    if (rv != APR_SUCCESS) {
        text = text != NULL ? tr_store_hide(sql->place, text, sql->pool) : "it cannot be opened";
        return tr_sql_refuse(sql, "%s", one_line(apr_psprintf(sql->pool, "%s: %s", sql->place->name, text)));
    }
    /* Prepared statements hang on the same pool and are released before. */
    apr_pool_cleanup_register(sql->pool, sql, close_handle, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

apr_status_t tr_sql_open(tr_sql_t **out, const char **why, const tr_store_place_t *place, apr_pool_t *pool)
{
    apr_pool_t *own;
    tr_sql_t *sql;
    apr_status_t rv = apr_pool_create_unmanaged_ex(&own, NULL, NULL);

    *out = NULL;
    if (rv != APR_SUCCESS) {
        *why = "out of memory";
        return TR_STORE_FAILED;
    }
    sql = apr_pcalloc(own, sizeof(*sql));
    sql->place = place;
    sql->pool = own;
    sql->mark = -1;
    sql->is_file = place->path != NULL;
    apr_pool_create(&sql->scratch, own);
    rv = connect_to(sql);
    if (rv == APR_SUCCESS && sql->is_file) {
        rv = set_up_file(sql);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_sql_do(sql, dialect(sql)->settings);
    }
    if (rv != APR_SUCCESS) {
        *why = apr_pstrdup(pool, sql->error);
    }
    *out = sql;
    return rv;
}

apr_status_t tr_sql_compare(tr_sql_t *sql, const tr_sql_state_t *state, const tr_sql_known_t *known, int64_t least_seq)
{
    if (strcmp(state->id, known->id) != 0) {
        return tr_sql_refuse(sql,
                             "%s is another database than the one httpd was started with; put that back, or stop and start httpd",
                             sql->place->name);
    }
    if (state->version != TR_SCHEMA_VERSION) {
        return tr_sql_refuse(sql, "%s was changed to schema %" APR_INT64_T_FMT " while httpd was using it; stop and start httpd",
                             sql->place->name, state->version);
    }
    /* A file can be put back. A server that came back with less gets new numbers for what others store, and is never sound. */
    if (state->last_seq < least_seq && !sql->is_file) {
        atomic_store(&known->memory->replaced, 1);
    }
    if (state->last_seq < least_seq || atomic_load(&known->memory->replaced) != 0) {
        return tr_sql_refuse(sql,
                             "%s was replaced by an older state of itself (revocations up to number %" APR_INT64_T_FMT
                             " instead of %" APR_INT64_T_FMT "); put the newer one back, and stop and start httpd",
                             sql->place->name, state->last_seq, least_seq);
    }
    return APR_SUCCESS;
}

/* What was put in its place may have the same id and be older. What others know is read first: it follows the database. */
static apr_status_t recognize(tr_sql_t *sql, const tr_sql_known_t *known)
{
    char mark_id[TR_STORE_ID_LEN + 1];
    int64_t mark_seq = 0;
    bool has_mark = tr_files_read_mark(mark_id, &mark_seq, sql->place, sql->scratch) == TR_MARK_GOOD;
    int64_t least_seq = atomic_load(&known->memory->seq);
    const char *why;
    tr_sql_state_t state = {0};
    apr_status_t rv = tr_sql_read_state(sql, &state);

    TR_GIVEN(rv != APR_SUCCESS || state.id != NULL);
    least_seq = has_mark && mark_seq > least_seq ? mark_seq : least_seq;

    if (rv == APR_SUCCESS && has_mark && mark_seq > 0 && strcmp(mark_id, known->id) != 0) {
        return tr_sql_refuse(sql, "%s-mark belongs to another database; put its own back, or remove it", sql->place->name);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_sql_compare(sql, &state, known, least_seq);
    }
    if (rv == APR_SUCCESS && (!has_mark || strcmp(mark_id, known->id) != 0) &&
        tr_files_make_mark(&why, sql->place, state.id, state.last_seq, sql->scratch) != APR_SUCCESS) {
        return tr_sql_refuse(sql, "%s", why);
    }
    return rv;
}

apr_status_t tr_sql_open_known(tr_sql_t **out, const char **why, const tr_store_place_t *place, tr_sql_known_t *known,
                               apr_pool_t *pool)
{
    tr_sql_t *sql;
    apr_status_t rv = tr_files_allow(why, place, known, pool);

    *out = NULL;
    if (rv == APR_SUCCESS) {
        rv = tr_sql_open(out, why, place, pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    sql = *out;
    rv = recognize(sql, known);
    if (rv == APR_SUCCESS) {
        rv = tr_files_remember(sql);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_row_prepare(sql);
    }
    if (rv != APR_SUCCESS) {
        *why = apr_pstrdup(pool, sql->error);
        return rv;
    }
    known->file = sql->file;
    known->wal = sql->wal;
    known->seen = true;
    apr_pool_clear(sql->scratch);
    return APR_SUCCESS;
}

void tr_sql_close(tr_sql_t *sql)
{
    int mark;

    if (sql == NULL) {
        return;
    }
    mark = sql->mark;
    apr_pool_destroy(sql->pool);
    if (mark >= 0) {
        close(mark);
    }
}

bool tr_sql_is_stale(const tr_sql_t *sql)
{
    if (sql->error == NULL) {
        return false;
    }
    return sql->is_file ? strstr(sql->error, "schema has changed") != NULL : strstr(sql->error, "timeout") == NULL;
}
