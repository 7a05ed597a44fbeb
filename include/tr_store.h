/*
 * tr_store.h: revocations on disk, through apr_dbd. docs/DATABASE.md describes what is stored.
 *
 * Times are given: nothing here reads a clock. Errors that the administrator must see come as a sentence beside the
 * status.
 */
#ifndef TR_STORE_H
#define TR_STORE_H

#include <stdatomic.h>

#include <apr_global_mutex.h>

#include "tr_base.h"
#include "tr_entry.h"

/* The store failed: nothing is promised. The sentence is with tr_store_error or *why. */
#define TR_STORE_FAILED (APR_OS_START_USERERR + 7100)

#define TR_STORE_ID_LEN 32 /* hexadecimal digits that tell one database from another */

/* ---- where it is ------------------------------------------------------------------------------------------- */

/* What TokRevokeDatabase says. Strings in the pool of the parse. */
typedef struct tr_store_place_t {
    const char *driver; /* of apr_dbd: "sqlite3" or "pgsql" */
    const char *params; /* for the driver */
    const char *path;   /* sqlite3: the file; pgsql: NULL */
    const char *name;   /* for logs: no password */
} tr_store_place_t;

/*
 * Read "sqlite3:PATH" or "pgsql:CONNINFO" and load the driver. A relative path is below root. Returns APR_SUCCESS, or
 * APR_EINVAL with *why.
 */
TR_MUST_CHECK apr_status_t tr_store_parse(tr_store_place_t *out, const char **why, const char *text, const char *root,
                                          apr_pool_t *pool);

/* The same database, by the words of the configuration? Either may be NULL: no database. */
bool tr_store_place_eq(const tr_store_place_t *a, const tr_store_place_t *b);

/*
 * A database's own words, in pool, fit for a log: libpq quotes what it cannot read of a CONNINFO, and that may be a part of its
 * password.
 */
char *tr_store_hide(const tr_store_place_t *place, const char *text, apr_pool_t *pool);

/*
 * Make the folder of a database file where it is missing (its last component only). When we are root, hand it, new or empty, to
 * this user and group; one that is in use is left alone. For the parent. Returns APR_SUCCESS, also where nothing is to be done,
 * or another status with *why.
 */
TR_MUST_CHECK apr_status_t tr_store_make_folder(const char **why, const tr_store_place_t *place, uid_t user, gid_t group,
                                                apr_pool_t *pool);

/* ---- start ------------------------------------------------------------------------------------------------- */

typedef struct tr_store_facts_t {
    char id[TR_STORE_ID_LEN + 1];
    int64_t last_seq; /* of the newest revocation ever stored; 0: none */
    int64_t rows;     /* revocations stored, expired ones included */
    int64_t alive;    /* revocations that have not expired */
    bool created;     /* there was no database before */
} tr_store_facts_t;

/*
 * Open the database, make or migrate its tables, check that it is whole and at least as new as the last revocation that
 * was acknowledged. For a process of httpd's user that ends soon. *warning (may be NULL on return): something to tell
 * that is no obstacle. Returns APR_SUCCESS, or TR_STORE_FAILED with *why.
 */
TR_MUST_CHECK apr_status_t tr_store_prepare(tr_store_facts_t *out, const char **why, const char **warning,
                                            const tr_store_place_t *place, int64_t now_s, apr_pool_t *pool);

/* n entries, whose strings live until the function returns. A status other than APR_SUCCESS ends the reading. */
typedef apr_status_t (*tr_store_rows_fn)(void *baton, const tr_entry_t *entries, int n);

/*
 * Hand every stored revocation to fn, and check each and their total. For a process that ends soon. Returns APR_SUCCESS
 * with *last_seq (what came later is tr_store_follow's) and *synced (all of it was written to its final place and synced
 * just now: it outlives a power failure), fn's status, or TR_STORE_FAILED with *why.
 */
TR_MUST_CHECK apr_status_t tr_store_load(int64_t *last_seq, bool *synced, const char **why, const tr_store_place_t *place,
                                         const char *id, tr_store_rows_fn fn, void *baton, apr_pool_t *pool);

/* ---- a serving process ------------------------------------------------------------------------------------- */

typedef struct tr_store_t tr_store_t;

/* What the processes of one httpd know together about their database. In shared memory, all zero at first. */
typedef struct tr_store_memory_t {
    _Atomic int64_t seq;       /* revocations up to here were stored */
    _Atomic uint32_t replaced; /* a server came back with less: until httpd is started anew nothing is believed */
} tr_store_memory_t;

/*
 * This process' way to the database with this id. Connects when it is needed, so it cannot fail. lock: between the writers of
 * one httpd; NULL where the database queues them well by itself. memory: NULL for a process that is alone. Lives, with its
 * connections, until the process ends: threads may use it to the last moment.
 */
tr_store_t *tr_store_open(const tr_store_place_t *place, const char *id, apr_global_mutex_t *lock, tr_store_memory_t *memory);

/*
 * Store these n revocations (1 to TR_MAX_ADMIN_ITEMS) in one transaction. Any thread; concurrent calls share one commit.
 * Returns APR_SUCCESS when all are on disk, with seq of each. Otherwise TR_STORE_FAILED, after some seconds at most: all of
 * them may be stored or none, and tr_store_retry goes on trying, for 10000 revocations at most, until the process ends; one
 * that has a NUL where a text must have none is not tried. now: microseconds since 1970.
 */
TR_MUST_CHECK apr_status_t tr_store_append(tr_store_t *store, tr_revocation_t *const *list, int n, apr_time_t now);

/*
 * Store what could not be stored before: *stored revocations this time. For once a second, in one thread. Returns
 * APR_SUCCESS when nothing is left.
 */
TR_MUST_CHECK apr_status_t tr_store_retry(tr_store_t *store, int *stored);

/*
 * Hand to fn what was stored after *seq, by whomever, and move *seq on. For one thread, several times a second: costs
 * next to nothing when there is nothing new. Returns APR_SUCCESS, fn's status, or TR_STORE_FAILED.
 */
TR_MUST_CHECK apr_status_t tr_store_follow(tr_store_t *store, int64_t *seq, tr_store_rows_fn fn, void *baton);

/*
 * Look through some of the stored revocations, delete those that have expired, in transactions of a few milliseconds.
 * For the thread of tr_store_follow. now_s: seconds since 1970, from a clock that never ran ahead. Returns APR_SUCCESS
 * with the number deleted, or TR_STORE_FAILED.
 */
TR_MUST_CHECK apr_status_t tr_store_clean(tr_store_t *store, int *deleted, int64_t now_s);

/* Which of the stored revocations to list. */
typedef struct tr_store_query_t {
    int64_t before_seq;    /* only what was stored before this one; 0: from the newest */
    int limit;             /* 1 to TR_MAX_LISTED */
    const tr_kind_t *kind; /* NULL: all kinds. TOKEN gives DIGEST and OPAQUE, too: tokens that have no jti, or none we know */
    const tr_str_t *value; /* NULL: any. As it is stored: of a digest 64 hexadecimal digits */
    int64_t now_s;         /* seconds since 1970: only what is needed then or later */
} tr_store_query_t;

/* One of them; strings live until the function returns. A digest is bytes. */
typedef struct tr_store_listed_t {
    int64_t seq;
    tr_entry_t entry;
    tr_circumstances_t circumstances;
    int64_t revoked_at_s;
} tr_store_listed_t;

/* A status other than APR_SUCCESS ends the listing. */
typedef apr_status_t (*tr_store_listed_fn)(void *baton, const tr_store_listed_t *listed);

/*
 * Hand to fn what query asks for, newest first; never what is only remembered (tr_kind_is_revocation). Any thread, one at a
 * time: a second one waits some seconds. It may read the whole database, in small pieces, so that storing and following go
 * on meanwhile. Returns APR_SUCCESS, fn's status, APR_EINVAL for a limit out of range or a value with a NUL, or TR_STORE_FAILED
 * with *why in pool.
 */
TR_MUST_CHECK apr_status_t tr_store_list(tr_store_t *store, const tr_store_query_t *query, tr_store_listed_fn fn, void *baton,
                                         const char **why, apr_pool_t *pool);

/*
 * The process ends: try once more what could not be stored, wait, some seconds at most, for what is being stored, and let
 * nobody begin; tr_store_append fails from now on. Returns APR_SUCCESS when nothing is left.
 */
TR_MUST_CHECK apr_status_t tr_store_stop(tr_store_t *store);

/* For people: what TokRevokeDatabase says, without a password. */
const char *tr_store_name(const tr_store_t *store);

/* Why storing failed last, in pool; why following or cleaning does, in the thread that does it. For logs. */
const char *tr_store_error(tr_store_t *store, apr_pool_t *pool);
const char *tr_store_follow_error(const tr_store_t *store);

#endif
