/*
 * tr_store_private.h: what the files of the store share about a serving process.
 */
#ifndef TR_STORE_PRIVATE_H
#define TR_STORE_PRIVATE_H

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>

#include "tr_limits.h"
#include "tr_sql.h"

/* Where one caller waits: waking all of them for each commit would cost more than the commit. */
typedef struct seat_t {
    apr_thread_cond_t *call;
    struct seat_t *next;
} seat_t;

/* A caller's, on his stack. */
typedef struct waiter_t {
    seat_t *seat;
    tr_revocation_t *const *list;
    int n;
    apr_time_t now;
    struct order_t *order; /* the copy somebody works on; NULL: still in the queue */
    bool done;
    apr_status_t status;
    struct waiter_t *next;
} waiter_t;

/* A copy of a revocation that is being stored. */
typedef struct job_t {
    tr_sql_row_t row;
    tr_circumstances_t circumstances;
    int64_t revoked_at_s;
} job_t;

/* What one caller brought. */
typedef struct order_t {
    job_t *jobs;
    int n;
    waiter_t *waiter; /* NULL: he does not wait any more */
} order_t;

/* A revocation that could not be stored yet. */
typedef struct left_t {
    job_t *job;
    struct left_t *next;
} left_t;

#define TR_STORE_MAX_BATCH 256               /* revocations of one transaction, where there are several callers */
#define TR_STORE_MAX_JOBS TR_MAX_ADMIN_ITEMS /* the same, where there is one */

struct tr_store_t {
    apr_pool_t *pool; /* without a parent: exit() destroys httpd's pools while threads still run */
    tr_store_place_t place;
    apr_global_mutex_t *lock;
    tr_store_memory_t *memory, own_memory;

    apr_thread_mutex_t *mutex; /* guards what follows, up to error */
    apr_thread_t *thread;      /* that stores; NULL: not needed yet */
    apr_thread_cond_t *work;   /* for it */
    apr_thread_cond_t *idle;   /* when stopped: no transaction is under way any more */
    struct seat_t *seats;      /* free ones */
    bool stopped;              /* nobody may begin */
    bool busy;                 /* somebody leads */
    bool is_stuck;             /* he has been at it for so long that somebody gave up */
    struct waiter_t *queue, **tail;
    left_t *left, **left_tail;
    int n_left;
    bool retry_failed;
    char error[512];

    /* Of whoever has set busy, without the mutex. */
    tr_sql_t *writer;
    bool failed; /* the last transaction */
    tr_sql_known_t written;
    int idle_calls;
    apr_pool_t *batch_pool;

    /* One thread: follow and clean. */
    tr_sql_t *reader;
    tr_sql_known_t read;
    int64_t data_version; /* 0: not asked yet */
    int64_t clean_seq;    /* rows up to here have been looked at in this round */
    char read_error[512];

    apr_thread_mutex_t *list_mutex; /* guards what follows */
    tr_sql_t *lister;               /* a server's is closed after each use */
    tr_sql_known_t listed;
};

/* Between the writers of all processes of this httpd. Waits some seconds, then TR_STORE_FAILED. */
TR_MUST_CHECK apr_status_t tr_store_lock(tr_store_t *store);
bool tr_store_trylock(tr_store_t *store);
void tr_store_unlock(tr_store_t *store);

/* Revocations up to seq are known to be stored. */
void tr_store_remember(tr_store_t *store, int64_t seq);

void tr_store_set_error(tr_store_t *store, const char *error);

/* ---- jobs (tr_job.c) --------------------------------------------------------------------------------------- */

/* A copy of what was brought, in pool, fit for the database. */
void tr_job_fill(job_t *job, const tr_revocation_t *revocation, apr_time_t now, apr_pool_t *pool);

/* One transaction, by whoever has set busy and holds the lock between processes. Connects where that is needed. */
TR_MUST_CHECK apr_status_t tr_job_store(tr_store_t *store, job_t *const *jobs, int n);

/* ---- what could not be stored (tr_retry.c); the mutex is held ---------------------------------------------- */

void tr_retry_keep(tr_store_t *store, const job_t *job);

/* tr_store_retry, also after the end; takes the mutex by itself. */
TR_MUST_CHECK apr_status_t tr_retry_all(tr_store_t *store, int *stored);

/* Whoever had set busy is done. The mutex is held. */
void tr_store_stop_leading(tr_store_t *store);

#endif
