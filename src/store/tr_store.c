/*
 * tr_store.c: storing revocations, with one commit for all that wait.
 *
 * A thread of its own takes all that queue up while it waits for the lock between processes, stores them in one
 * transaction, and wakes who waits. A disk or a server that does not answer can hold up that thread for ever, and no
 * other: what it works on is copied, and whose patience ends goes.
 *
 * After a failure the connection is closed: what it holds may never reach the disk, however often it is asked again. The
 * revocations of that commit are kept and stored anew over a new connection.
 */
#include "tr_store_private.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include <apr_strings.h>

#include "tr_digest.h"

#define PATIENCE apr_time_from_sec(5)      /* of a caller */
#define LOCK_PATIENCE apr_time_from_sec(3) /* of the one who leads; SQLite adds its own */

tr_store_t *tr_store_open(const tr_store_place_t *place, const char *id, apr_global_mutex_t *lock, tr_store_memory_t *memory)
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
    store->memory = memory != NULL ? memory : &store->own_memory;
    store->written.id = store->read.id = store->listed.id = apr_pstrdup(pool, id);
    store->written.memory = store->read.memory = store->listed.memory = store->memory;
    store->lock = lock;
    store->tail = &store->queue;
    store->left_tail = &store->left;
    apr_thread_mutex_create(&store->mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    apr_thread_mutex_create(&store->list_mutex, APR_THREAD_MUTEX_TIMED, pool);
    apr_thread_cond_create(&store->idle, pool);
    apr_thread_cond_create(&store->work, pool);
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
    copy = apr_pstrdup(pool, store->error);
    apr_thread_mutex_unlock(store->mutex);
    return copy;
}

const char *tr_store_name(const tr_store_t *store)
{
    return store->place.name;
}

const char *tr_store_follow_error(const tr_store_t *store)
{
    return store->read_error[0] != '\0' ? store->read_error : "the child that reads it for all does not answer";
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
    return rv == APR_SUCCESS ? APR_SUCCESS : TR_STORE_FAILED;
}

bool tr_store_trylock(tr_store_t *store)
{
    return store->lock == NULL || apr_global_mutex_trylock(store->lock) == APR_SUCCESS;
}

void tr_store_remember(tr_store_t *store, int64_t seq)
{
    int64_t old = atomic_load(&store->memory->seq);

    while (old < seq && !atomic_compare_exchange_weak(&store->memory->seq, &old, seq)) {
    }
}

void tr_store_unlock(tr_store_t *store)
{
    if (store->lock != NULL) {
        (void)apr_global_mutex_unlock(store->lock);
    }
}

/* ---- the queue --------------------------------------------------------------------------------------------- */

/* What is stored together, and by whose order. */
typedef struct batch_t {
    job_t *job[TR_STORE_MAX_JOBS];
    int n;
    order_t *order[TR_STORE_MAX_BATCH];
    int n_orders;
} batch_t;

static void take_order(tr_store_t *store, batch_t *batch, waiter_t *waiter)
{
    order_t *order = apr_pcalloc(store->batch_pool, sizeof(*order));

    order->n = waiter->n;
    order->jobs = apr_pcalloc(store->batch_pool, (apr_size_t)order->n * sizeof(*order->jobs));
    for (int i = 0; i < order->n; i++) {
        tr_job_fill(&order->jobs[i], waiter->list[i], waiter->now, store->batch_pool);
        batch->job[batch->n++] = &order->jobs[i];
    }
    order->waiter = waiter;
    waiter->order = order;
    batch->order[batch->n_orders++] = order;
}

/* As many as fit, and at least one. */
static void take_queue(tr_store_t *store, batch_t *batch)
{
    batch->n = batch->n_orders = 0;
    while (store->queue != NULL && (batch->n == 0 || batch->n + store->queue->n <= TR_STORE_MAX_BATCH)) {
        waiter_t *waiter = store->queue;

        store->queue = waiter->next;
        take_order(store, batch, waiter);
    }
    if (store->queue == NULL) {
        store->tail = &store->queue;
    }
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

static void finish_order(tr_store_t *store, calls_t *calls, const order_t *order, apr_status_t rv)
{
    waiter_t *waiter = order->waiter;

    for (int i = 0; i < order->n; i++) {
        if (rv != APR_SUCCESS) {
            tr_retry_keep(store, &order->jobs[i]);
        }
        else if (waiter != NULL) {
            waiter->list[i]->seq = order->jobs[i].row.seq;
        }
    }
    if (waiter != NULL) {
        waiter->status = rv;
        waiter->done = true;
        calls->seat[calls->n++] = waiter->seat;
    }
}

static void finish(tr_store_t *store, calls_t *calls, const batch_t *batch, apr_status_t rv)
{
    calls->n = 0;
    for (int i = 0; i < batch->n_orders; i++) {
        finish_order(store, calls, batch->order[i], rv);
    }
    apr_pool_clear(store->batch_pool);
}

static void call_all(const calls_t *calls)
{
    for (int i = 0; i < calls->n; i++) {
        apr_thread_cond_signal(calls->seat[i]->call);
    }
}

/* The mutex is held. */
void tr_store_stop_leading(tr_store_t *store)
{
    store->busy = false;
    store->is_stuck = false;
    if (store->queue != NULL) {
        apr_thread_cond_signal(store->work);
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

/* Store what is in the queue. The mutex is held at the beginning and at the end, and busy is ours. */
static void lead(tr_store_t *store)
{
    batch_t batch;
    calls_t calls;
    apr_status_t locked, rv;

    apr_thread_mutex_unlock(store->mutex);
    locked = tr_store_lock(store);
    apr_thread_mutex_lock(store->mutex);
    take_queue(store, &batch);
    apr_thread_mutex_unlock(store->mutex);
    rv = locked == APR_SUCCESS ? tr_job_store(store, batch.job, batch.n) : TR_STORE_FAILED;
    if (locked == APR_SUCCESS) {
        tr_store_unlock(store);
    }
    apr_thread_mutex_lock(store->mutex);
    finish(store, &calls, &batch, rv);
    tr_store_stop_leading(store);
    apr_thread_mutex_unlock(store->mutex);
    call_all(&calls);
    apr_thread_mutex_lock(store->mutex);
}

static void *APR_THREAD_FUNC write_for_all(apr_thread_t *thread, void *data)
{
    tr_store_t *store = data;

    (void)thread;
    apr_thread_mutex_lock(store->mutex);
    while (!store->stopped || store->queue != NULL) {
        if (store->busy || store->queue == NULL) {
            apr_thread_cond_wait(store->work, store->mutex);
            continue;
        }
        store->busy = true;
        lead(store);
    }
    apr_thread_mutex_unlock(store->mutex);
    tr_leave_openssl(); /* libpq may have used it, and the process may be in exit() */
    return NULL;
}

/* With the first revocation: most children never get one. The mutex is held. */
static bool has_writer(tr_store_t *store)
{
    sigset_t all, before;

    if (store->thread != NULL) {
        return true;
    }
    /* httpd's own threads handle its signals; a handler that ran here could end the process under our mutex. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (apr_thread_create(&store->thread, NULL, write_for_all, store, store->pool) != APR_SUCCESS) {
        store->thread = NULL;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return store->thread != NULL;
}

static void keep_waiter(tr_store_t *store, const waiter_t *waiter)
{
    apr_pool_t *scratch; /* the batch's belongs to the leader */
    job_t job = {.revoked_at_s = 0};

    if (apr_pool_create_unmanaged_ex(&scratch, NULL, NULL) != APR_SUCCESS) {
        return;
    }
    for (int i = 0; i < waiter->n; i++) {
        tr_job_fill(&job, waiter->list[i], waiter->now, scratch);
        tr_retry_keep(store, &job);
        apr_pool_clear(scratch);
    }
    apr_pool_destroy(scratch);
}

/* Out of patience: whoever leads may go on with the copy, but must not come back to us. */
static void give_up(tr_store_t *store, waiter_t *waiter)
{
    waiter->status = TR_STORE_FAILED;
    store->is_stuck = store->busy;
    apr_cpystrn(store->error, "the database does not answer", sizeof(store->error));
    if (waiter->order != NULL) {
        waiter->order->waiter = NULL;
        return;
    }
    leave_queue(store, waiter);
    keep_waiter(store, waiter);
}

static bool is_out_of_patience(tr_store_t *store, const waiter_t *waiter)
{
    apr_status_t rv = apr_thread_cond_timedwait(waiter->seat->call, store->mutex, PATIENCE);

    return APR_STATUS_IS_TIMEUP(rv) && !waiter->done;
}

/* A text would end there, and its checksum not: the next start would find a damaged database. */
static bool has_nul(tr_str_t s)
{
    return s.len > 0 && memchr(s.data, '\0', s.len) != NULL;
}

static bool is_fit(const tr_entry_t *e)
{
    return !has_nul(e->issuer) && (tr_kind_has_digest(e->kind) || !has_nul(e->value));
}

apr_status_t tr_store_append(tr_store_t *store, tr_revocation_t *const *list, int n, apr_time_t now)
{
    waiter_t waiter = {.list = list, .n = n, .now = now, .status = TR_STORE_FAILED};

    if (n < 1 || n > TR_MAX_ADMIN_ITEMS) {
        tr_store_set_error(store, "so many revocations cannot be stored together");
        return TR_STORE_FAILED;
    }
    for (int i = 0; i < n; i++) {
        if (!is_fit(&list[i]->entry)) {
            tr_store_set_error(store, "what is to be revoked has a NUL");
            return TR_STORE_FAILED;
        }
    }
    apr_thread_mutex_lock(store->mutex);
    /* Threads that serve pages must not all wait for a disk that does not answer. */
    if (store->stopped || (store->is_stuck && store->busy) || !has_writer(store)) {
        give_up(store, &waiter);
        apr_thread_mutex_unlock(store->mutex);
        return TR_STORE_FAILED;
    }
    waiter.seat = take_seat(store);
    *store->tail = &waiter;
    /* cppcheck-suppress autoVariables ; it is out of the queue again before it ends */
    store->tail = &waiter.next;
    if (!store->busy) {
        apr_thread_cond_signal(store->work);
    }
    while (!waiter.done) {
        if (is_out_of_patience(store, &waiter)) {
            give_up(store, &waiter);
            break;
        }
    }
    leave_seat(store, waiter.seat);
    apr_thread_mutex_unlock(store->mutex);
    return waiter.status;
}

apr_status_t tr_store_stop(tr_store_t *store)
{
    apr_status_t rv, ended;
    bool is_idle, was_stopped;
    int stored;

    apr_thread_mutex_lock(store->mutex);
    was_stopped = store->stopped;
    store->stopped = true;
    apr_thread_cond_signal(store->work);
    while ((store->busy || store->queue != NULL) &&
           !APR_STATUS_IS_TIMEUP(apr_thread_cond_timedwait(store->idle, store->mutex, PATIENCE))) {
    }
    is_idle = !store->busy && store->queue == NULL;
    apr_thread_mutex_unlock(store->mutex);
    rv = was_stopped ? tr_store_retry(store, &stored) : tr_retry_all(store, &stored);
    if (is_idle && store->thread != NULL) {
        apr_thread_join(&ended, store->thread);
        store->thread = NULL;
    }
    return is_idle ? rv : TR_STORE_FAILED;
}
