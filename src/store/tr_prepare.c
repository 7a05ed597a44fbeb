/*
 * tr_prepare.c: what happens before httpd serves: making, migrating, checking and reading the database.
 */
#include "tr_sql.h"

#include <apr_strings.h>

#include "tr_digest.h"

/* ---- schema ------------------------------------------------------------------------------------------------ */

/*
 * Statements that lead from each version of the schema to the next; what a version means never changes. SEQ stands for the
 * type that is SQLite's row number and large enough in PostgreSQL.
 */
static const char *const to_version_1[] = {
    "CREATE TABLE tokrevoke_state (id INTEGER PRIMARY KEY CHECK (id = 1), schema_version INTEGER NOT NULL, database_id TEXT NOT "
    "NULL, last_seq BIGINT NOT NULL, row_count BIGINT NOT NULL, row_sum BIGINT NOT NULL)",
    "CREATE TABLE tokrevoke_revocations (seq %s PRIMARY KEY, kind TEXT NOT NULL, issuer TEXT NOT NULL, value TEXT NOT NULL, "
    "issued_before_us BIGINT NOT NULL, expires_at BIGINT, revoked_at BIGINT NOT NULL, actor TEXT NOT NULL, client_address TEXT "
    "NOT NULL, reason TEXT NOT NULL, checksum BIGINT NOT NULL)",
    "INSERT INTO tokrevoke_state (id, schema_version, database_id, last_seq, row_count, row_sum) VALUES (1, 0, '', 0, 0, 0)",
    NULL};
static const char *const *const migrations[TR_SCHEMA_VERSION] = {to_version_1};

static apr_status_t run_migration(tr_sql_t *sql, int version)
{
    apr_status_t rv = APR_SUCCESS;

    for (const char *const *statement = migrations[version]; *statement != NULL && rv == APR_SUCCESS; statement++) {
        const char *type = sql->is_file ? "INTEGER" : "BIGINT";
        const char *hole = strstr(*statement, "%s");

        rv = tr_sql_do(sql, hole == NULL ? *statement
                                         : apr_pstrcat(sql->scratch,
                                                       apr_pstrmemdup(sql->scratch, *statement, (apr_size_t)(hole - *statement)),
                                                       type, hole + 2, NULL));
    }
    return rv == APR_SUCCESS
               ? tr_sql_do(sql, apr_psprintf(sql->scratch, "UPDATE tokrevoke_state SET schema_version = %d", version + 1))
               : rv;
}

static apr_status_t give_id(tr_sql_t *sql)
{
    unsigned char bytes[TR_STORE_ID_LEN / 2];
    char id[TR_STORE_ID_LEN + 1];

    if (tr_random(bytes, sizeof(bytes)) != APR_SUCCESS) {
        return tr_sql_refuse(sql, "the system gives no random bits");
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        apr_snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    }
    return tr_sql_do(sql, apr_psprintf(sql->scratch, "UPDATE tokrevoke_state SET database_id = '%s'", id));
}

/* How many tables there are, ours and (SQLite: a file of our own) others. */
static apr_status_t count_tables(tr_sql_t *sql, int64_t *ours, int64_t *others)
{
    const char *select = sql->is_file
                             ? "SELECT coalesce(sum(name = 'tokrevoke_state'), 0), coalesce(sum(name NOT LIKE 'tokrevoke%'), 0) "
                               "FROM sqlite_master WHERE type = 'table'"
                             : "SELECT count(*), 0 FROM pg_catalog.pg_tables WHERE tablename = 'tokrevoke_state' AND "
                               "schemaname = ANY (current_schemas(false))";
    apr_dbd_row_t *row;
    apr_status_t rv = tr_sql_get(sql, &row, select);

    if (rv == APR_SUCCESS && row != NULL) {
        *ours = tr_sql_int(sql, row, 0);
        *others = tr_sql_int(sql, row, 1);
    }
    return rv;
}

/* PostgreSQL: nobody else makes the tables at the same time. The number is any. */
static apr_status_t lock_schema(tr_sql_t *sql)
{
    apr_dbd_row_t *row;

    return sql->is_file ? APR_SUCCESS : tr_sql_get(sql, &row, "SELECT pg_advisory_xact_lock(7009)");
}

static apr_status_t current_version(tr_sql_t *sql, int64_t *version)
{
    int64_t ours = 0, others = 0;
    tr_sql_state_t state;
    apr_status_t rv = count_tables(sql, &ours, &others);

    *version = 0;
    if (rv != APR_SUCCESS || ours == 0) {
        return rv == APR_SUCCESS && others > 0
                   ? tr_sql_refuse(sql, "%s is the database of another application; name another file", sql->place->name)
                   : rv;
    }
    rv = tr_sql_read_state(sql, &state);
    if (rv == APR_SUCCESS && state.version > TR_SCHEMA_VERSION) {
        return tr_sql_refuse(sql,
                             "%s was made by a newer version of mod_tokrevoke (schema %" APR_INT64_T_FMT
                             ", this one knows up to %d); install that version again",
                             sql->place->name, state.version, TR_SCHEMA_VERSION);
    }
    if (rv == APR_SUCCESS && state.version < 1) {
        return tr_sql_refuse(sql, "%s is damaged: schema %" APR_INT64_T_FMT, sql->place->name, state.version);
    }
    *version = rv == APR_SUCCESS ? state.version : 0;
    return rv;
}

static apr_status_t check_encoding(tr_sql_t *sql)
{
    apr_dbd_row_t *row;
    apr_status_t rv = sql->is_file ? APR_SUCCESS : tr_sql_get(sql, &row, "SHOW server_encoding");

    if (rv == APR_SUCCESS && !sql->is_file && (row == NULL || strcmp(tr_sql_text(sql, row, 0), "UTF8") != 0)) {
        return tr_sql_refuse(sql, "the PostgreSQL database must have the encoding UTF8: createdb -E UTF8 -T template0 NAME");
    }
    return rv;
}

static apr_status_t migrate(tr_sql_t *sql, bool *created)
{
    int64_t version = 0;
    apr_status_t rv = current_version(sql, &version);

    *created = false;
    /* Nothing to do, as nearly always: somebody else's write transaction must not keep httpd from starting. */
    if (rv != APR_SUCCESS || version == TR_SCHEMA_VERSION) {
        return rv;
    }
    rv = tr_sql_begin(sql);
    if (rv == APR_SUCCESS) {
        rv = lock_schema(sql);
    }
    if (rv == APR_SUCCESS) {
        rv = current_version(sql, &version);
    }
    *created = rv == APR_SUCCESS && version == 0;
    for (; rv == APR_SUCCESS && version < TR_SCHEMA_VERSION; version++) {
        rv = run_migration(sql, (int)version);
    }
    if (*created && rv == APR_SUCCESS) {
        rv = give_id(sql);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_sql_do(sql, "COMMIT");
    }
    if (rv != APR_SUCCESS) {
        tr_sql_rollback(sql);
    }
    return rv;
}

/*
 * Whoever closes a database as the last one makes SQLite delete its log and its index. What was refused must stay as it was
 * found, with everything that could not be read; and what is good must be there for the children, who could not make it on
 * a full disk. So the process ends without closing.
 */
static void abandon(tr_sql_t *sql)
{
    static tr_sql_t *abandoned; /* still reachable, so that it is no leak */

    if (sql == NULL || !sql->is_file) {
        tr_sql_close(sql);
        return;
    }
    sql->next = abandoned;
    abandoned = sql;
}

/* ---- is it whole, and new enough? -------------------------------------------------------------------------- */

/*
 * A file that is gone, or empty, while its mark or its log knows of revocations, must not become an empty list. SQLite
 * would delete the log of an empty database, so this is asked before it is opened.
 */
static apr_status_t check_presence(const char **why, const tr_store_place_t *place, apr_pool_t *pool)
{
    char id[TR_STORE_ID_LEN + 1];
    int64_t seq = 0;
    tr_mark_state_t mark;

    if (place->path == NULL || tr_files_have_content(place->path)) {
        return APR_SUCCESS;
    }
    mark = tr_files_read_mark(id, &seq, place, pool);
    if (mark == TR_MARK_GOOD && seq > 0) {
        *why = apr_psprintf(pool,
                            "%s is missing or empty, but %s-mark says that revocations up to number %" APR_INT64_T_FMT
                            " were stored; restore it from a backup, or remove %s-mark and %s-wal to begin with an empty list",
                            place->path, place->path, seq, place->path, place->path);
        return TR_STORE_FAILED;
    }
    if (mark == TR_MARK_BROKEN) {
        *why = apr_psprintf(pool,
                            "%s is missing or empty, and %s-mark, which could tell what it held, is damaged; restore it from a "
                            "backup, or remove %s-mark to begin with an empty list",
                            place->path, place->path, place->path);
        return TR_STORE_FAILED;
    }
    if (tr_files_have_content(apr_pstrcat(pool, place->path, "-wal", NULL))) {
        *why = apr_psprintf(pool, "%s is missing or empty, but %s-wal is not; restore it from a backup, or remove %s-wal",
                            place->path, place->path, place->path);
        return TR_STORE_FAILED;
    }
    return APR_SUCCESS;
}

/* What the mark said before the database was read: others may store, and move it on, meanwhile. */
typedef struct mark_t {
    tr_mark_state_t state;
    char id[TR_STORE_ID_LEN + 1];
    int64_t seq;
} mark_t;

static const char *also(const char *first, const char *second, apr_pool_t *pool)
{
    return first != NULL ? apr_pstrcat(pool, first, "; and ", second, NULL) : second;
}

static apr_status_t compare_mark(const char **warning, tr_sql_t *sql, const mark_t *mark, const tr_store_facts_t *facts,
                                 apr_pool_t *pool)
{
    const char *path = sql->place->path;

    switch (mark->state) {
    case TR_MARK_NONE:
        return APR_SUCCESS;
    case TR_MARK_BROKEN:
        *warning =
            also(*warning,
                 apr_psprintf(pool,
                              "%s-mark is damaged and was made anew; so nobody can tell whether %s holds everything that was "
                              "acknowledged",
                              path, path),
                 pool);
        return APR_SUCCESS;
    case TR_MARK_GOOD:
        break;
    }
    if (mark->seq > 0 && strcmp(mark->id, facts->id) != 0) {
        return tr_sql_refuse(sql, "%s-mark belongs to another database than %s; put that back, or remove %s-mark", path, path,
                             path);
    }
    if (mark->seq > facts->last_seq) {
        return tr_sql_refuse(sql,
                             "%s is damaged or old: revocations up to number %" APR_INT64_T_FMT
                             " were acknowledged, it knows them up to %" APR_INT64_T_FMT
                             "; restore a newer backup, or remove %s-mark to accept the loss",
                             path, mark->seq, facts->last_seq, path);
    }
    return APR_SUCCESS;
}

static apr_status_t read_facts(tr_store_facts_t *out, tr_sql_t *sql, int64_t now_s)
{
    tr_sql_state_t state;
    apr_dbd_row_t *row;
    apr_status_t rv = tr_sql_read_state(sql, &state);

    if (rv == APR_SUCCESS) {
        apr_cpystrn(out->id, state.id, sizeof(out->id));
        out->last_seq = state.last_seq;
        out->rows = state.rows;
        rv = tr_sql_get(sql, &row,
                        apr_psprintf(sql->scratch,
                                     "SELECT count(*) FROM tokrevoke_revocations WHERE expires_at IS NULL OR expires_at >= "
                                     "%" APR_INT64_T_FMT,
                                     now_s));
    }
    if (rv == APR_SUCCESS) {
        out->alive = row != NULL ? tr_sql_int(sql, row, 0) : 0;
    }
    return rv;
}

static apr_status_t prepare(tr_store_facts_t *out, const char **why, const char **warning, tr_sql_t *sql, int64_t now_s,
                            apr_pool_t *pool)
{
    apr_status_t rv = check_encoding(sql);
    mark_t mark = {.state = TR_MARK_NONE};

    if (rv == APR_SUCCESS) {
        rv = migrate(sql, &out->created);
    }
    if (rv == APR_SUCCESS) {
        mark.state = tr_files_read_mark(mark.id, &mark.seq, sql->place, pool);
        rv = read_facts(out, sql, now_s);
    }
    if (rv == APR_SUCCESS) {
        rv = compare_mark(warning, sql, &mark, out, pool);
    }
    /* A good one belongs to those who store; it must not go back. */
    if (rv == APR_SUCCESS && (mark.state != TR_MARK_GOOD || strcmp(mark.id, out->id) != 0) &&
        tr_files_make_mark(why, sql->place, out->id, out->last_seq, pool) != APR_SUCCESS) {
        /* On a full disk the list can be read, and must be: what is missing is a place for new ones. */
        *warning = also(*warning, apr_pstrcat(pool, *why, "; revoking is answered 503 until it can be", NULL), pool);
    }
    return rv;
}

static apr_status_t open_and_prepare(tr_store_facts_t *out, bool *again, const char **why, const char **warning,
                                     const tr_store_place_t *place, int64_t now_s, apr_pool_t *pool)
{
    tr_sql_t *sql;
    apr_status_t rv = tr_sql_open(&sql, why, place, pool);

    memset(out, 0, sizeof(*out));
    *again = false;
    if (rv != APR_SUCCESS) {
        abandon(sql);
        return rv;
    }
    rv = prepare(out, why, warning, sql, now_s, pool);
    if (rv != APR_SUCCESS) {
        *why = apr_pstrdup(pool, sql->error);
        *again = sql->is_file && tr_sql_is_stale(sql);
    }
    abandon(sql);
    return rv;
}

static apr_status_t prepare_alone(tr_store_facts_t *out, const char **why, const char **warning, const tr_store_place_t *place,
                                  int64_t now_s, apr_pool_t *pool)
{
    apr_status_t rv = check_presence(why, place, pool);
    bool again = true;

    if (rv == APR_SUCCESS) {
        rv = tr_files_create(why, place, pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    /* Where folders cannot be locked, another httpd may make the tables at the same moment. */
    for (int i = 0; i < 3 && again; i++) {
        rv = open_and_prepare(out, &again, why, warning, place, now_s, pool);
    }
    return rv;
}

apr_status_t tr_store_prepare(tr_store_facts_t *out, const char **why, const char **warning, const tr_store_place_t *place,
                              int64_t now_s, apr_pool_t *pool)
{
    apr_status_t rv = tr_files_check(why, warning, place, pool);
    int lock;

    memset(out, 0, sizeof(*out));
    if (rv != APR_SUCCESS) {
        return rv;
    }
    lock = tr_files_lock(place, pool);
    rv = prepare_alone(out, why, warning, place, now_s, pool);
    tr_files_unlock(lock);
    return rv;
}

/* ---- reading it all ---------------------------------------------------------------------------------------- */

static apr_status_t load_rows(tr_sql_t *sql, int64_t *last_seq, tr_store_rows_fn fn, void *baton)
{
    tr_entry_t *entries = apr_palloc(sql->pool, TR_ROWS_AT_ONCE * sizeof(*entries));
    int64_t seq = 0, rows = 0;
    uint64_t sum = 0;
    tr_sql_state_t state = {0};
    apr_status_t rv;
    int n = TR_ROWS_AT_ONCE;

    rv = tr_sql_begin_reading(sql);
    while (rv == APR_SUCCESS && n == TR_ROWS_AT_ONCE) {
        tr_sql_row_t *row;

        rv = tr_row_read_after(sql, &row, &n, seq);
        for (int i = 0; i < n && rv == APR_SUCCESS; i++) {
            entries[i] = row[i].entry;
            sum += row[i].checksum;
            seq = row[i].seq;
        }
        if (rv == APR_SUCCESS) {
            rows += n;
            rv = fn(baton, entries, n);
        }
        apr_pool_clear(sql->scratch);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_sql_read_state(sql, &state);
    }
    if (rv == APR_SUCCESS && (state.rows != rows || state.sum != sum || state.last_seq < seq)) {
        rv = tr_sql_refuse(sql,
                           "%s is damaged: it should hold %" APR_INT64_T_FMT " revocations, and %" APR_INT64_T_FMT
                           " were found, or others; restore it from a backup",
                           sql->place->name, state.rows, rows);
    }
    *last_seq = rv == APR_SUCCESS ? state.last_seq : 0;
    tr_sql_rollback(sql);
    return rv;
}

/*
 * Copy the write-ahead log into the database and sync both. After a crash the log may hold what was never synced; after
 * this it is, written anew. False: other processes use it, or the disk is full.
 */
static bool settle(tr_sql_t *sql)
{
    apr_dbd_row_t *row;
    const char *error = sql->error;
    bool good;

    if (!sql->is_file) {
        return true;
    }
    good = tr_sql_get(sql, &row, "PRAGMA wal_checkpoint(TRUNCATE)") == APR_SUCCESS && row != NULL && tr_sql_int(sql, row, 0) == 0;
    sql->error = error;
    return good;
}

apr_status_t tr_store_load(int64_t *last_seq, bool *synced, const char **why, const tr_store_place_t *place, const char *id,
                           tr_store_rows_fn fn, void *baton, apr_pool_t *pool)
{
    tr_store_memory_t memory = {.seq = 0};
    tr_sql_known_t known = {.id = id, .memory = &memory};
    tr_sql_t *sql;
    apr_status_t rv = tr_sql_open_known(&sql, why, place, &known, pool);

    if (rv != APR_SUCCESS) {
        abandon(sql);
        return rv;
    }
    rv = load_rows(sql, last_seq, fn, baton);
    if (rv == TR_STORE_FAILED) {
        *why = apr_pstrdup(pool, sql->error);
    }
    /* Not before everything was found whole: it changes the files. */
    *synced = rv == APR_SUCCESS && settle(sql);
    abandon(sql);
    return rv;
}
