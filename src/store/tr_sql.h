/*
 * tr_sql.h: one connection to the database, and what differs between the two kinds of it. Private to the store.
 */
#ifndef TR_SQL_H
#define TR_SQL_H

#include <sys/types.h>

#include <apr_dbd.h>

#include "tr_store.h"

#define TR_SCHEMA_VERSION 1

/* What names a file for as long as somebody has it open. */
typedef struct tr_sql_file_t {
    dev_t device;
    ino_t inode;
} tr_sql_file_t;

typedef struct tr_sql_t {
    const tr_store_place_t *place;
    const apr_dbd_driver_t *driver;
    apr_dbd_t *handle;
    apr_pool_t *pool;    /* of the connection */
    apr_pool_t *scratch; /* of a statement's result; whoever runs statements clears it */
    const char *error;   /* of the last failure; NULL: none */
    char error_text[600];
    bool is_file; /* SQLite */
    bool is_over; /* its mark cannot be written: close it */
    tr_sql_file_t file, wal;
    int mark; /* file descriptor; -1: none */
    apr_dbd_prepared_t *insert, *remove, *after;
    apr_dbd_prepared_t *list, *step; /* tr_row_prepare_list */
    struct tr_sql_t *next;           /* of those that are not to be closed */
} tr_sql_t;

/* A row of tokrevoke_revocations as far as it is enforced, and what guards it. */
typedef struct tr_sql_row_t {
    int64_t seq;
    tr_entry_t entry;
    uint64_t checksum;
} tr_sql_row_t;

/* The one row of tokrevoke_state. */
typedef struct tr_sql_state_t {
    int64_t version;
    const char *id;
    int64_t last_seq;
    int64_t rows;
    uint64_t sum; /* of all checksums, modulo 2^64 */
} tr_sql_state_t;

/*
 * Connect. The file must be there. Everything of the connection hangs on a pool of its own, without a parent. Returns
 * APR_SUCCESS, or TR_STORE_FAILED with *why in pool. *out is then NULL, or what the caller must close all the same, or
 * leave open where closing would change files that are not as they should be.
 */
TR_MUST_CHECK apr_status_t tr_sql_open(tr_sql_t **out, const char **why, const tr_store_place_t *place, apr_pool_t *pool);

/* What a connection must find, and found last time. */
typedef struct tr_sql_known_t {
    const char *id;
    tr_store_memory_t *memory;
    bool seen; /* file and wal are of the last connection */
    tr_sql_file_t file, wal;
} tr_sql_known_t;

/*
 * Connect to the database with this id that holds revocations up to what memory and its mark know, and prepare
 * for its rows. The same errors. known is updated.
 */
TR_MUST_CHECK apr_status_t tr_sql_open_known(tr_sql_t **out, const char **why, const tr_store_place_t *place,
                                             tr_sql_known_t *known, apr_pool_t *pool);

/* Is this the database that known tells of, and not an older state of it? */
TR_MUST_CHECK apr_status_t tr_sql_compare(tr_sql_t *sql, const tr_sql_state_t *state, const tr_sql_known_t *known,
                                          int64_t least_seq);

/*
 * After a failure: is it likely that a new connection helps? SQLite's statements grow old when somebody vacuums; a server
 * ends connections when it is restarted.
 */
bool tr_sql_is_stale(const tr_sql_t *sql);

/* NULL is fine. */
void tr_sql_close(tr_sql_t *sql);

/* TR_STORE_FAILED, after remembering what was being done and what the database says. */
apr_status_t tr_sql_fail(tr_sql_t *sql, int ret, const char *doing);
apr_status_t tr_sql_refuse(tr_sql_t *sql, const char *fmt, ...) TR_PRINTF(2, 3);

/* Run statements that give no rows. */
TR_MUST_CHECK apr_status_t tr_sql_do(tr_sql_t *sql, const char *statements);

/* The first row of a select; *out is NULL when there is none. Entries are read with tr_sql_text and tr_sql_int. */
TR_MUST_CHECK apr_status_t tr_sql_get(tr_sql_t *sql, apr_dbd_row_t **out, const char *select);

/* Entry n; NULL for NULL. */
const char *tr_sql_text(const tr_sql_t *sql, apr_dbd_row_t *row, int n);

/* Entry n as a number; 0 where it is none. */
int64_t tr_sql_int(const tr_sql_t *sql, apr_dbd_row_t *row, int n);

/* Begin to write: nobody else writes until tr_sql_commit or tr_sql_rollback. */
TR_MUST_CHECK apr_status_t tr_sql_begin(tr_sql_t *sql);

/* Begin to read one state of everything. */
TR_MUST_CHECK apr_status_t tr_sql_begin_reading(tr_sql_t *sql);

/* For SQLite it is on disk, at the path of the configuration, when this succeeds; for PostgreSQL it is its word. */
TR_MUST_CHECK apr_status_t tr_sql_commit(tr_sql_t *sql);
void tr_sql_rollback(tr_sql_t *sql);

/* The row of state, in scratch. lock: of a transaction that writes, before it does; it puts writers in order. */
TR_MUST_CHECK apr_status_t tr_sql_read_state(tr_sql_t *sql, tr_sql_state_t *out);
TR_MUST_CHECK apr_status_t tr_sql_lock_state(tr_sql_t *sql, tr_sql_state_t *out);
TR_MUST_CHECK apr_status_t tr_sql_write_state(tr_sql_t *sql, const tr_sql_state_t *state);

/* ---- rows (tr_rows.c) -------------------------------------------------------------------------------------- */

uint64_t tr_row_checksum(const tr_sql_row_t *row);

TR_MUST_CHECK apr_status_t tr_row_prepare(tr_sql_t *sql);

/* The text of a digest, as it is stored. */
#define TR_ROW_DIGEST_LEN 64
void tr_row_write_digest(char text[TR_ROW_DIGEST_LEN + 1], tr_str_t digest);

/* Insert row, whose checksum is set here. Strings NUL-terminated; a digest as text. */
TR_MUST_CHECK apr_status_t tr_row_insert(tr_sql_t *sql, tr_sql_row_t *row, const tr_circumstances_t *c, int64_t revoked_at_s);

#define TR_ROWS_AT_ONCE 1000

/*
 * Up to TR_ROWS_AT_ONCE rows behind seq, in order, in scratch; digests as bytes. A row that does not fit its checksum is
 * TR_STORE_FAILED.
 */
TR_MUST_CHECK apr_status_t tr_row_read_after(tr_sql_t *sql, tr_sql_row_t **rows, int *n, int64_t seq);

/* For tr_row_list and tr_row_step. */
TR_MUST_CHECK apr_status_t tr_row_prepare_list(tr_sql_t *sql);

/* *from: where the TR_ROWS_A_STEP rows before before_seq begin; 0: there is none. */
#define TR_ROWS_A_STEP 5000
TR_MUST_CHECK apr_status_t tr_row_step(tr_sql_t *sql, int64_t *from, int64_t before_seq);

/*
 * What query asks for, of the rows from from on, in scratch, behind the *n that are in rows. A row that does not fit its
 * checksum is TR_STORE_FAILED.
 */
TR_MUST_CHECK apr_status_t tr_row_list(tr_sql_t *sql, tr_store_listed_t *rows, int *n, const tr_store_query_t *query,
                                       int64_t from);

/* *removed: was it still there? */
TR_MUST_CHECK apr_status_t tr_row_remove(tr_sql_t *sql, bool *removed, int64_t seq);

/* ---- files (tr_files.c): for SQLite; nothing to do, and APR_SUCCESS, for others ------------------------------ */

/* Are the file and its companions fit for use by this process? *warning as in tr_store_prepare. */
TR_MUST_CHECK apr_status_t tr_files_check(const char **why, const char **warning, const tr_store_place_t *place,
                                          apr_pool_t *pool);

/*
 * May the file be opened? Not one that is missing or empty, which SQLite would make; nor one that was put beside the log
 * of another, which SQLite would copy into it.
 */
TR_MUST_CHECK apr_status_t tr_files_allow(const char **why, const tr_store_place_t *place, const tr_sql_known_t *known,
                                          apr_pool_t *pool);

/* Is there a file that is not empty? */
bool tr_files_have_content(const char *path);

/*
 * Wait until no other process prepares the same database, for ten seconds at most: SQLite does not wait for its own locks while
 * several processes turn one database to write-ahead logging. Returns what tr_files_unlock takes.
 */
int tr_files_lock(const tr_store_place_t *place, apr_pool_t *pool);
void tr_files_unlock(int lock);

/* Make an empty file where there is none. */
TR_MUST_CHECK apr_status_t tr_files_create(const char **why, const tr_store_place_t *place, apr_pool_t *pool);

/* Remember which files this connection has open, and open the mark. */
TR_MUST_CHECK apr_status_t tr_files_remember(tr_sql_t *sql);

/* Do the paths still name them? */
TR_MUST_CHECK apr_status_t tr_files_verify(tr_sql_t *sql);

typedef enum tr_mark_state_t { TR_MARK_NONE, TR_MARK_GOOD, TR_MARK_BROKEN } tr_mark_state_t;

/* What the mark says was acknowledged. id: TR_STORE_ID_LEN + 1 bytes. */
tr_mark_state_t tr_files_read_mark(char *id, int64_t *seq, const tr_store_place_t *place, apr_pool_t *pool);

/* Say that everything up to seq was acknowledged. */
TR_MUST_CHECK apr_status_t tr_files_write_mark(tr_sql_t *sql, const char *id, int64_t seq);

/* The same at start, making the file, and synced. */
TR_MUST_CHECK apr_status_t tr_files_make_mark(const char **why, const tr_store_place_t *place, const char *id, int64_t seq,
                                              apr_pool_t *pool);

#endif
