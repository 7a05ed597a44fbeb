/*
 * tr_testing_store.h: a folder with an SQLite database for the tests, asked and damaged through apr_dbd alone; and processes.
 * A helper that cannot do its job aborts the test program.
 */
#ifndef TR_TESTING_STORE_H
#define TR_TESTING_STORE_H

#include <sys/types.h>

#include "tr_store.h"
#include "tr_testing.h"

#define TT_ISS "https://idp.example.com/"
#define TT_NOW 1700000000
#define TT_AT(s) ((apr_time_t)(s)*1000000)

/* ---- files ------------------------------------------------------------------------------------------------- */

/* A new folder, removed with all that is in it when pool goes. */
char *tt_folder(apr_pool_t *pool);

bool tt_exists(const char *path);
void tt_write_file(const char *path, tr_str_t content);
tr_str_t tt_read_file(apr_pool_t *pool, const char *path);
void tt_copy_file(const char *from, const char *to);
void tt_rename(const char *from, const char *to);
void tt_remove(const char *path);

/* ---- a database -------------------------------------------------------------------------------------------- */

typedef struct tt_db_t {
    apr_pool_t *pool;
    char *folder, *path;    /* path: in the folder; nothing there at first */
    char *wal, *shm, *mark; /* its companions */
    tr_store_place_t place;
    tr_store_facts_t facts; /* of the last tt_prepare */
    const char *why;        /* of the last failure; never NULL */
    const char *warning;    /* of the last tt_prepare; "" for none */
} tt_db_t;

/* The place of a database. Everything goes with pool. */
tt_db_t *tt_db(apr_pool_t *pool);

/* tr_store_prepare at TT_NOW, in a process of its own. */
apr_status_t tt_prepare(tt_db_t *db);

/* A database that was prepared with success. */
tt_db_t *tt_prepared_db(apr_pool_t *pool);

/* One that holds n revocations "1", "2" ... of tt_entry, all connections closed. */
tt_db_t *tt_filled_db(apr_pool_t *pool, int n);

/* n more revocations at once, named by prefix and numbers from 0. */
void tt_fill(tt_db_t *db, const char *prefix, int n, int64_t expires_s);

/* tr_store_open; closed with the pool, or before. */
tr_store_t *tt_store(tt_db_t *db);
tr_store_t *tt_store_locked(tt_db_t *db, apr_global_mutex_t *lock);
void tt_close_store(tt_db_t *db, tr_store_t *store);

/* As if a list were being read. */
void tt_hold_list(tr_store_t *store);
void tt_release_list(tr_store_t *store);

/* Statements, as another program would. */
void tt_do(tt_db_t *db, const char *statements);

/* All that a select gives: entries separated by '|', rows by '\n'; NULL is "NULL". */
char *tt_ask(tt_db_t *db, const char *select);

/* How many commits SQLite's log holds: those since it was last copied into the database. */
int tt_commits(tt_db_t *db);

/* Begin a transaction that writes, in a connection of its own; it ends when the pool it returns is destroyed. */
apr_pool_t *tt_hold_writer(tt_db_t *db);

/* ---- revocations ------------------------------------------------------------------------------------------- */

/* Of a token with this jti of TT_ISS, alive for an hour from TT_NOW. */
tr_entry_t tt_entry(const char *jti);

apr_status_t tt_append(tr_store_t *store, tr_entry_t e);
apr_status_t tt_append_with(tr_store_t *store, tr_entry_t e, tr_circumstances_t c);

/* What was loaded or followed, copied. */
typedef struct tt_rows_t {
    apr_pool_t *pool;
    int n, room;
    tr_entry_t *entry;
    int calls;           /* of the function */
    apr_status_t answer; /* what it gives; not APR_SUCCESS: takes nothing */
    apr_status_t status; /* of tr_store_load */
    bool synced;
} tt_rows_t;

tt_rows_t *tt_rows(apr_pool_t *pool);
apr_status_t tt_take_rows(void *rows, const tr_entry_t *entries, int n);

/* tr_store_load into new rows, in a process of its own. */
apr_status_t tt_load(tt_rows_t **rows, tt_db_t *db);

/* The same, where the function gives answer. */
tt_rows_t *tt_load_in_vain(tt_db_t *db, apr_status_t answer);

/* Prepare and load in this process, which ends soon. */
apr_status_t tt_start_here(tt_rows_t **rows, tt_db_t *db);

/* How many of rows have this value. */
int tt_count(const tt_rows_t *rows, const char *value);

/* ---- processes --------------------------------------------------------------------------------------------- */

typedef int (*tt_child_fn)(void *baton);

/* Run fn in another process, which ends with what it gives; wait for it. */
pid_t tt_fork(tt_child_fn fn, void *baton);
int tt_wait(pid_t pid);

/* The same as a user who is not root: nobody when we are root, else ourselves. The folder's owner should be tt_nobody(). */
uid_t tt_nobody(void);
int tt_run_as_nobody(tt_child_fn fn, void *baton);

#endif
