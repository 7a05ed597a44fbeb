/*
 * tr_store.c: storing revocations, with one commit for all that wait.
 *
 * Whoever comes first leads: he takes all that queue up while he waits for the lock between processes, stores them in one
 * transaction, and wakes the others; then one of those who came meanwhile leads. What a leader works on is copied, so that
 * nobody must stay whose patience ends.
 *
 * After a failure the connection is closed: what it holds may never reach the disk, however often it is asked again. The
 * revocations of that commit are kept and stored anew over a new connection.
 */
#include "tr_store_private.h"

#include <stdlib.h>

#include <apr_strings.h>

#define PATIENCE apr_time_from_sec(5)      /* of a caller */
#define LOCK_PATIENCE apr_time_from_sec(3) /* of the one who leads; SQLite adds its own */

tr_store_t *tr_store_open(const tr_store_place_t *place, const char *id, apr_global_mutex_t *lock)
{
    apr_pool_t *pool;
    tr_store_t *store;

    if (apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS) {
        abort(); /* as httpd does when there is no memory */
    }
    store = apr_pcalloc(pool, sizeof(*store));
    store->pool = pool;
    store->place.driver = apr_pstrdup(pool, place->driver);
    store->place.params = apr_pstrdup(pool, place->params);
    store->place.path = apr_pstrdup(pool, place->path);
    store->place.name = apr_pstrdup(pool, place->name);
    store->written.id = store->read.id = apr_pstrdup(pool, id);
    store->lock = lock;
    store->tail = &store->queue;
    store->left_tail = &store->left;
    apr_thread_mutex_create(&store->mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    apr_thread_cond_create(&store->idle, pool);
    apr_pool_create_unmanaged_ex(&store->batch_pool, NULL, NULL);
    return store;
}

/* ---- errors ------------------------------------------------------------------------------------------------ */

void tr_store_set_error(tr_store_t *store, const char *error)
{
    apr_thread_mutex_lock(store->mutex);
    apr_cpystrn(store->error, error != NULL ? error : "failed", sizeof(store->error));
    apr_thread_mutex_unlock(store->mutex);
}

const char *tr_store_error(tr_store_t *store, apr_pool_t *pool)
{
    char *copy;

    apr_thread_mutex_lock(store->mutex);
    copy = apr_pstrdup(pool, store->error[0] != '\0' ? store->error : "no answer for some seconds");
    apr_thread_mutex_unlock(store->mutex);
    return copy;
}

/* ---- the lock between processes ---------------------------------------------------------------------------- */

apr_status_t tr_store_lock(tr_store_t *store)
{
    apr_status_t rv;

    if (store->lock == NULL) {
        return APR_SUCCESS;
    }
    rv = apr_global_mutex_timedlock(store->lock, LOCK_PATIENCE);
    if (rv == APR_ENOTIMPL) {
        rv = apr_global_mutex_lock(store->lock);
    }
    if (rv != APR_SUCCESS) {
        tr_store_set_error(store, APR_STATUS_IS_TIMEUP(rv) ? "another process of this httpd does not stop writing"
                                                           : "the lock tokrevoke-store failed");
    }
    return rv;
}

void tr_store_unlock(tr_store_t *store)
{
    if (store->lock != NULL) {
        (void)apr_global_mutex_unlock(store->lock);
    }
}

/* ---- the queue --------------------------------------------------------------------------------------------- */

static int take_queue(tr_store_t *store, job_t **jobs)
{
    int n = 0;

    while (store->queue != NULL && n < TR_STORE_MAX_BATCH) {
        waiter_t *waiter = store->queue;
        job_t *job = apr_pcalloc(store->batch_pool, sizeof(*job));

        store->queue = waiter->next;
        tr_job_fill(job, waiter, store->batch_pool);
        job->waiter = waiter;
        waiter->job = job;
        jobs[n++] = job;
    }
    if (store->queue == NULL) {
        store->tail = &store->queue;
    }
    return n;
}

static void leave_queue(tr_store_t *store, waiter_t *waiter)
{
    for (waiter_t **p = &store->queue; *p != NULL; p = &(*p)->next) {
        if (*p == waiter) {
            *p = waiter->next;
            if (store->tail == &waiter->next) {
                store->tail = p;
            }
            return;
        }
    }
}

/* The seats of those who may go, who are called when the mutex is free: otherwise they would wake to wait for it. */
typedef struct calls_t {
    seat_t *seat[TR_STORE_MAX_BATCH];
    int n;
} calls_t;

static void finish(tr_store_t *store, calls_t *calls, job_t *const *jobs, int n, apr_status_t rv)
{
    calls->n = 0;
    for (int i = 0; i < n; i++) {
        if (rv != APR_SUCCESS) {
            tr_retry_keep(store, jobs[i]);
        }
        if (jobs[i]->waiter != NULL) {
            jobs[i]->waiter->status = rv;
            jobs[i]->waiter->done = true;
            calls->seat[calls->n++] = jobs[i]->waiter->seat;
        }
    }
    apr_pool_clear(store->batch_pool);
}

static void call_all(const calls_t *calls)
{
    for (int i = 0; i < calls->n; i++) {
        apr_thread_cond_signal(calls->seat[i]->call);
    }
}

void tr_store_stop_leading(tr_store_t *store)
{
    store->busy = false;
    store->is_stuck = false;
    if (store->queue != NULL) {
        apr_thread_cond_signal(store->queue->seat->call);
    }
    if (store->stopped) {
        apr_thread_cond_broadcast(store->idle);
    }
}

static seat_t *take_seat(tr_store_t *store)
{
    seat_t *seat = store->seats;

    if (seat != NULL) {
        store->seats = seat->next;
        return seat;
    }
    seat = apr_pcalloc(store->pool, sizeof(*seat));
    apr_thread_cond_create(&seat->call, store->pool);
    return seat;
}

static void leave_seat(tr_store_t *store, seat_t *seat)
{
    seat->next = store->seats;
    store->seats = seat;
}

/* The mutex is held at the beginning and at the end, and busy is ours. */
static void lead(tr_store_t *store, calls_t *calls)
{
    job_t *jobs[TR_STORE_MAX_BATCH];
    apr_status_t locked, rv;
    int n;

    apr_thread_mutex_unlock(store->mutex);
    locked = tr_store_lock(store);
    apr_thread_mutex_lock(store->mutex);
    n = take_queue(store, jobs);
    apr_thread_mutex_unlock(store->mutex);
    rv = locked == APR_SUCCESS ? tr_job_store(store, jobs, n) : TR_STORE_FAILED;
    if (locked == APR_SUCCESS) {
        tr_store_unlock(store);
    }
    apr_thread_mutex_lock(store->mutex);
    finish(store, calls, jobs, n, rv);
    tr_store_stop_leading(store);
}

static void keep_waiter(tr_store_t *store, const waiter_t *waiter)
{
    apr_pool_t *scratch; /* the batch's belongs to the leader */
    job_t job = {.waiter = NULL};

    if (apr_pool_create_unmanaged_ex(&scratch, NULL, NULL) == APR_SUCCESS) {
        tr_job_fill(&job, waiter, scratch);
        tr_retry_keep(store, &job);
        apr_pool_destroy(scratch);
    }
}

/* Out of patience: whoever leads may go on with the copy, but must not come back to us. */
static void give_up(tr_store_t *store, waiter_t *waiter)
{
    waiter->status = TR_STORE_FAILED;
    store->is_stuck = true;
    if (waiter->job != NULL) {
        waiter->job->waiter = NULL;
        return;
    }
    leave_queue(store, waiter);
    keep_waiter(store, waiter);
    if (!store->busy) {
        tr_store_stop_leading(store); /* the call to lead may have been ours */
    }
}

/* Waits for the next change; somebody else leads. */
static bool is_out_of_patience(tr_store_t *store, const waiter_t *waiter)
{
    apr_status_t rv = apr_thread_cond_timedwait(waiter->seat->call, store->mutex, PATIENCE);

    return APR_STATUS_IS_TIMEUP(rv) && !waiter->done;
}

apr_status_t tr_store_append(tr_store_t *store, const tr_entry_t *e, const tr_circumstances_t *c, apr_time_t now)
{
    waiter_t waiter = {.entry = e, .circumstances = c, .now = now, .status = TR_STORE_FAILED};
    calls_t calls = {.n = 0};

    apr_thread_mutex_lock(store->mutex);
    if (store->stopped || (store->is_stuck && store->busy)) {
        /* Threads that serve pages must not all wait for a disk that does not answer. */
        give_up(store, &waiter);
        apr_thread_mutex_unlock(store->mutex);
        return TR_STORE_FAILED;
    }
    waiter.seat = take_seat(store);
    *store->tail = &waiter;
    store->tail = &waiter.next;
    while (!waiter.done) {
        if (!store->busy && !store->stopped) {
            call_all(&calls); /* led before, for others only */
            store->busy = true;
            lead(store, &calls);
        }
        else if (store->stopped || is_out_of_patience(store, &waiter)) {
            give_up(store, &waiter);
            break;
        }
    }
    leave_seat(store, waiter.seat);
    apr_thread_mutex_unlock(store->mutex);
    call_all(&calls);
    return waiter.status;
}

apr_status_t tr_store_stop(tr_store_t *store)
{
    apr_status_t rv = APR_SUCCESS;
    int stored;

    rv = tr_store_retry(store, &stored);
    apr_thread_mutex_lock(store->mutex);
    store->stopped = true;
    while (store->busy && !APR_STATUS_IS_TIMEUP(apr_thread_cond_timedwait(store->idle, store->mutex, PATIENCE))) {
    }
    if (!store->busy) {
        tr_sql_close(store->writer);
        store->writer = NULL;
    }
    apr_thread_mutex_unlock(store->mutex);
    return rv;
}
