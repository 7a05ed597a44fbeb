/*
 * tr_retry.c: what could not be stored, and is tried again until the disk has healed.
 */
#include "tr_store_private.h"

#include <stdlib.h>

#define MAX_LEFT 10000 /* revocations that wait */
#define IDLE_CALLS 30  /* of tr_store_retry, after which a connection to a server is given back */

static bool covers(const tr_entry_t *a, const tr_entry_t *b)
{
    return a->kind == b->kind && tr_str_eq(a->value, b->value) && tr_str_eq(a->issuer, b->issuer) &&
           a->expires_s >= b->expires_s && a->issued_before >= b->issued_before;
}

/* Move text to *at, and *at behind it. */
static void move_text(tr_str_t *text, char **at)
{
    char *copy = *at;

    memcpy(copy, text->data, text->len);
    copy[text->len] = '\0';
    *at = copy + text->len + 1;
    text->data = copy;
}

/* In a block of its own, because they go one by one. The mutex is held. */
void tr_retry_keep(tr_store_t *store, const job_t *job)
{
    const tr_circumstances_t *c = &job->circumstances;
    apr_size_t len =
        job->row.entry.issuer.len + job->row.entry.value.len + c->actor.len + c->client_address.len + c->reason.len + 5;
    left_t *left;
    char *at;

    for (left = store->left; left != NULL; left = left->next) {
        if (covers(&left->job->row.entry, &job->row.entry)) {
            return;
        }
    }
    left = store->n_left < MAX_LEFT ? malloc(sizeof(*left) + sizeof(*job) + len) : NULL;
    if (left == NULL) {
        return;
    }
    left->job = (job_t *)(left + 1);
    left->next = NULL;
    *left->job = *job;
    at = (char *)(left->job + 1);
    move_text(&left->job->row.entry.issuer, &at);
    move_text(&left->job->row.entry.value, &at);
    move_text(&left->job->circumstances.actor, &at);
    move_text(&left->job->circumstances.client_address, &at);
    move_text(&left->job->circumstances.reason, &at);
    *store->left_tail = left;
    store->left_tail = &left->next;
    store->n_left++;
}

static left_t *take_left(tr_store_t *store)
{
    left_t *left = store->left;

    store->left = left->next;
    if (store->left == NULL) {
        store->left_tail = &store->left;
    }
    store->n_left--;
    left->next = NULL;
    return left;
}

static void put_back(tr_store_t *store, left_t *left)
{
    *store->left_tail = left;
    store->left_tail = &left->next;
    store->n_left++;
}

/* After a failure one at a time, so that one that cannot be stored does not hold up the others. */
static apr_status_t retry_some(tr_store_t *store)
{
    left_t *some[TR_STORE_MAX_BATCH];
    job_t *jobs[TR_STORE_MAX_BATCH];
    int n = 0;
    apr_status_t rv;

    while (store->left != NULL && n < (store->retry_failed ? 1 : TR_STORE_MAX_BATCH)) {
        some[n] = take_left(store);
        jobs[n] = some[n]->job;
        n++;
    }
    apr_thread_mutex_unlock(store->mutex);
    rv = tr_store_lock(store);
    if (rv == APR_SUCCESS) {
        rv = tr_job_store(store, jobs, n);
        tr_store_unlock(store);
    }
    apr_thread_mutex_lock(store->mutex);
    for (int i = 0; i < n; i++) {
        if (rv == APR_SUCCESS) {
            free(some[i]);
        }
        else {
            put_back(store, some[i]);
        }
    }
    store->retry_failed = rv != APR_SUCCESS;
    return rv;
}

/* A server has few connections to give; a file's costs nothing. The mutex is held. */
static void close_when_idle(tr_store_t *store)
{
    if (store->writer != NULL && store->place.path == NULL && ++store->idle_calls >= IDLE_CALLS) {
        tr_sql_close(store->writer);
        store->writer = NULL;
    }
}

apr_status_t tr_retry_all(tr_store_t *store, int *stored)
{
    apr_status_t rv = APR_SUCCESS;
    int before;

    apr_thread_mutex_lock(store->mutex);
    before = store->n_left;
    while (rv == APR_SUCCESS && store->left != NULL && !store->busy) {
        store->busy = true;
        rv = retry_some(store);
        apr_pool_clear(store->batch_pool);
        tr_store_stop_leading(store);
    }
    if (!store->busy) {
        close_when_idle(store);
    }
    *stored = before > store->n_left ? before - store->n_left : 0;
    rv = store->left == NULL ? APR_SUCCESS : TR_STORE_FAILED;
    apr_thread_mutex_unlock(store->mutex);
    return rv;
}

apr_status_t tr_store_retry(tr_store_t *store, int *stored)
{
    bool stopped, is_done;

    apr_thread_mutex_lock(store->mutex);
    stopped = store->stopped;
    is_done = store->left == NULL;
    apr_thread_mutex_unlock(store->mutex);
    *stored = 0;
    if (stopped) {
        return is_done ? APR_SUCCESS : TR_STORE_FAILED;
    }
    return tr_retry_all(store, stored);
}
