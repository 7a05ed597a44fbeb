/*
 * holding.c: loaded before httpd's libraries, stops the process where it holds a lock of all httpd's processes. Which, and when, is the
 * name of a file in the folder that TR_HOLD names; whoever takes the file away stops. table and store: the lock of the table is waited
 * for without a limit, that of the store with one. locked: it has just been taken. unlocking: it is about to be given back.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <apr_global_mutex.h>

static _Thread_local const char *held;

static void stop_if_told(const char *when)
{
    const char *folder = getenv("TR_HOLD");
    char path[512];
    if (!folder || !held)
        return;
    snprintf(path, sizeof path, "%s/%s-%s", folder, held, when);
    if (unlink(path) == 0)
        raise(SIGSTOP);
}

APR_DECLARE(apr_status_t) apr_global_mutex_lock(apr_global_mutex_t *mutex)
{
    apr_status_t (*real)(apr_global_mutex_t *) = dlsym(RTLD_NEXT, "apr_global_mutex_lock");
    apr_status_t rv = real(mutex);
    held = rv == APR_SUCCESS ? "table" : NULL;
    stop_if_told("locked");
    return rv;
}

APR_DECLARE(apr_status_t) apr_global_mutex_timedlock(apr_global_mutex_t *mutex, apr_interval_time_t wait)
{
    apr_status_t (*real)(apr_global_mutex_t *, apr_interval_time_t) = dlsym(RTLD_NEXT, "apr_global_mutex_timedlock");
    apr_status_t rv = real(mutex, wait);
    held = rv == APR_SUCCESS ? "store" : NULL;
    stop_if_told("locked");
    return rv;
}

APR_DECLARE(apr_status_t) apr_global_mutex_unlock(apr_global_mutex_t *mutex)
{
    apr_status_t (*real)(apr_global_mutex_t *) = dlsym(RTLD_NEXT, "apr_global_mutex_unlock");
    stop_if_told("unlocking");
    held = NULL;
    return real(mutex);
}
