/*
 * trh_watcher.c: the thread of each child that cuts what outlives its token, and the list of what it looks at.
 *
 * It is needed because nobody may write: handlers wait for a backend, mpm_event waits for a slow client without a thread. Twice a
 * second it looks up what the table has changed for, and expiry, and shuts the client's socket down.
 *
 * A request comes and goes without a system call: whoever comes is seen with the next look, so nobody is woken, and no descriptor is
 * taken (tr_line.h). When nothing was there for a while it sleeps until somebody calls.
 */
#include "trh_stream.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <ap_mpm.h>

#include "tr_digest.h"

#define TICK apr_time_from_msec(500)
#define GRACE apr_time_from_msec(750) /* for an answer that had not begun: to a logout by the application itself, perhaps */
#define QUIET_TICKS 20                /* with nothing to look at; then it sleeps */

/* Of this process. Never destroyed: exit() destroys httpd's pools while threads still serve. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t call;
    pthread_t thread;
    bool is_running, is_stopped, is_asleep;
    bool is_single; /* no threads but this one: mpm_prefork */
    int quiet_ticks;
    tr_cutter_t cutter;
    trh_stream_t *first;
} watcher = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void block_signals(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

/* mpm_prefork ends a child in its signal handler, cleanups and all: not while that child holds what they need. */
static void hold(sigset_t *before)
{
    if (watcher.is_single) {
        block_signals(before);
    }
    pthread_mutex_lock(&watcher.mutex);
}

static void release(const sigset_t *before)
{
    pthread_mutex_unlock(&watcher.mutex);
    if (watcher.is_single) {
        pthread_sigmask(SIG_SETMASK, before, NULL);
    }
}

/* ---- is its token still good? ------------------------------------------------------------------------------ */

static void say(const trh_stream_t *stream, const char *why, tr_kind_t by, apr_pool_t *scratch)
{
    bool is_revoked = strcmp(why, "revoked") == 0;

    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, stream->server,
                 "a response is cut after %.1f s: token %s, subject \"%s\", client %s: %s%s",
                 (double)(apr_time_now() - stream->began) / APR_USEC_PER_SEC, tr_fingerprint(stream->request->token, scratch),
                 trh_subject(stream->request->identity, scratch), stream->client, is_revoked ? "revoked by " : why,
                 is_revoked ? tr_kind_name(by) : "");
}

/* Once, by whoever comes first. */
static void kill_stream(trh_stream_t *stream, const char *why, tr_kind_t by, apr_pool_t *scratch)
{
    const char *nobody = NULL;

    if (!atomic_compare_exchange_strong(&stream->why, &nobody, why)) {
        return;
    }
    atomic_store(&stream->due, trh_steady_clock() + (atomic_load(&stream->seen) == TRH_NOT_BEGUN ? GRACE : 0));
    atomic_store(&stream->seen, TRH_DEAD);
    say(stream, why, by, scratch);
}

/* That the table is not informed is no reason to cut: nobody said that this token is revoked. */
void trh_stream_look_up(trh_stream_t *stream, apr_pool_t *scratch)
{
    uint64_t changes = tr_table_changes(stream->gate->table);
    uint64_t seen = atomic_load(&stream->seen);
    tr_kind_t by;
    apr_status_t rv;

    if (seen == TRH_DEAD || changes == (seen == TRH_NOT_BEGUN ? stream->request->changes : seen)) {
        return;
    }
    rv = tr_gate_check_revoked(&by, stream->gate, &stream->request->identity->token, scratch);
    if (rv == TR_REVOKED) {
        kill_stream(stream, "revoked", by, scratch);
    }
    else if ((rv == APR_SUCCESS || rv == TR_GATE_UNINFORMED) && seen != TRH_NOT_BEGUN) {
        (void)atomic_compare_exchange_strong(&stream->seen, &seen, changes);
    }
}

/* Why, beside that its token is revoked? NULL: it need not end. */
static const char *why_end(const trh_stream_t *stream)
{
    const trh_watch_t *watch = trh_watch();

    if (tr_token_check_expiry(&stream->request->identity->token, apr_time_now()) != APR_SUCCESS) {
        return "expired";
    }
    /* Too many tables behind: this process would never hear that it is revoked. */
    return watch != NULL && atomic_load(&watch->incomplete) != 0 ? "unavailable" : NULL;
}

static void look_at_locked(trh_stream_t *stream, apr_pool_t *scratch)
{
    const char *why = atomic_load(&stream->seen) != TRH_DEAD ? why_end(stream) : NULL;

    if (why != NULL) {
        kill_stream(stream, why, TR_KIND_TOKEN, scratch);
    }
    trh_stream_look_up(stream, scratch);
    /* Of a connection with other streams the filter may end this one alone, if something is written soon. */
    if (atomic_load(&stream->seen) == TRH_DEAD && !stream->shut &&
        trh_steady_clock() >= atomic_load(&stream->due) + (stream->is_shared ? TICK : 0)) {
        stream->shut = tr_cutter_cut(&watcher.cutter, &stream->line);
    }
}

/* ---- the thread -------------------------------------------------------------------------------------------- */

static void wait_locked(void)
{
    struct timespec until;

    watcher.quiet_ticks = watcher.first == NULL ? watcher.quiet_ticks + 1 : 0;
    if (watcher.quiet_ticks > QUIET_TICKS) {
        watcher.is_asleep = true;
        (void)pthread_cond_wait(&watcher.call, &watcher.mutex);
        watcher.is_asleep = false;
        watcher.quiet_ticks = 0;
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)apr_time_as_msec(TICK) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    /* A call in between is that of stop: who comes calls only one that is asleep. */
    (void)pthread_cond_timedwait(&watcher.call, &watcher.mutex, &until);
}

static void *watch(void *unused)
{
    apr_pool_t *scratch;

    (void)unused;
    if (apr_pool_create_unmanaged_ex(&scratch, NULL, NULL) != APR_SUCCESS) {
        abort(); /* as httpd does when there is no memory */
    }
    pthread_mutex_lock(&watcher.mutex);
    while (!watcher.is_stopped) {
        wait_locked();
        for (trh_stream_t *stream = watcher.first; stream != NULL && !watcher.is_stopped; stream = stream->next) {
            look_at_locked(stream, scratch);
        }
        apr_pool_clear(scratch);
    }
    pthread_mutex_unlock(&watcher.mutex);
    apr_pool_destroy(scratch);
    tr_leave_openssl();
    return NULL;
}

/* The wall clock may be set while it waits. */
static void make_call(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watcher.call, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* With the first stream: most children never get one. Returns 0, or an error of the system. */
static int start_locked(void)
{
    sigset_t before;
    int err;

    if (watcher.is_running) {
        return 0;
    }
    err = tr_cutter_open(&watcher.cutter);
    if (err != 0) {
        return err;
    }
    make_call();
    block_signals(&before); /* which it takes over: httpd's own threads handle them */
    err = pthread_create(&watcher.thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    watcher.is_running = err == 0;
    if (err != 0) {
        tr_cutter_close(&watcher.cutter);
    }
    return err;
}

void trh_begin_streams(void)
{
    int threaded;

    watcher.is_single = ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) != APR_SUCCESS || threaded == AP_MPMQ_NOT_SUPPORTED;
}

void trh_stop_streams(void)
{
    bool was_running;

    pthread_mutex_lock(&watcher.mutex);
    was_running = watcher.is_running && !watcher.is_stopped;
    watcher.is_stopped = true;
    if (was_running) {
        pthread_cond_signal(&watcher.call);
    }
    pthread_mutex_unlock(&watcher.mutex);
    if (was_running) {
        pthread_join(watcher.thread, NULL);
        tr_cutter_close(&watcher.cutter);
    }
}

/* ---- the list ---------------------------------------------------------------------------------------------- */

int trh_watcher_enter(trh_stream_t *stream)
{
    sigset_t before;
    int err;

    hold(&before);
    err = start_locked();
    if (err == 0) {
        if (watcher.is_asleep) {
            watcher.is_asleep = false;
            pthread_cond_signal(&watcher.call);
        }
        if (watcher.first != NULL) {
            watcher.first->link = &stream->next;
        }
        stream->next = watcher.first;
        stream->link = &watcher.first;
        watcher.first = stream;
    }
    release(&before);
    return err;
}

void trh_watcher_leave(trh_stream_t *stream)
{
    sigset_t before;

    hold(&before);
    *stream->link = stream->next;
    if (stream->next != NULL) {
        stream->next->link = stream->link;
    }
    release(&before);
}
