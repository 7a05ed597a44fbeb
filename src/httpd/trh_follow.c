/*
 * trh_follow.c: hearing of revocations that others stored, and cleaning up. One child does it for all: the one that holds
 * the lease in shared memory, and shows by the time of its last try that it lives. It may be killed at any moment.
 */
#include "trh_shared.h"

#include <unistd.h>

#include <apr_strings.h>
#include <http_core.h>

#define LEASE apr_time_from_msec(600) /* after this silence another child takes over */
#define STALL apr_time_from_msec(1500)
#define CLEAN_EVERY apr_time_from_sec(1)

typedef struct learner_t {
    tr_ledger_t *ledger;
    apr_time_t now;
} learner_t;

/* The entries are in the database, but whether a sync came after them we did not see. */
static apr_status_t learn(void *baton, const tr_entry_t *entries, int n)
{
    learner_t *learner = baton;

    return tr_ledger_learn(learner->ledger, entries, n, false, learner->now);
}

static void raise_to(_Atomic int64_t *value, int64_t to)
{
    int64_t old = atomic_load(value);

    while (old < to && !atomic_compare_exchange_weak(value, &old, to)) {
    }
}

static bool hold_lease(trh_watch_t *watch, apr_time_t now)
{
    int64_t me = getpid();
    int64_t follower = atomic_load(&watch->follower);

    if (follower == me) {
        return true;
    }
    if (follower != 0 && now - atomic_load(&watch->tried_at) < LEASE) {
        return false;
    }
    return atomic_compare_exchange_strong(&watch->follower, &follower, me);
}

/* Once for all processes, and not because of the moments of a restart in which nobody followed. */
static void watch_stall(trh_watch_t *watch, tr_store_t *store, server_rec *s, apr_time_t now)
{
    static apr_time_t watching_since;
    apr_time_t followed_at = atomic_load(&watch->followed_at);
    uint32_t was = 0;

    watching_since = watching_since != 0 ? watching_since : now;
    if (now - (followed_at > watching_since ? followed_at : watching_since) < STALL) {
        return;
    }
    if (atomic_compare_exchange_strong(&watch->stalled, &was, 1)) {
        atomic_fetch_add(&watch->stalls, 1);
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     "TR023: for %.1f s nobody could hear of revocations that others stored: %s; mend that: after "
                     "TokRevokeMaxStaleness tokens are answered 503",
                     (double)(now - followed_at) / APR_USEC_PER_SEC,
                     atomic_load(&watch->full) != 0 ? "the table is full; raise TokRevokeCapacity"
                                                    : tr_store_follow_error(store));
    }
}

/* The tables of earlier generations, too, where they are of the same database. */
static void note_followed(trh_shared_t *newest, server_rec *s, apr_time_t now, int64_t seq)
{
    uint32_t was = 1;

    raise_to(&newest->watch->followed_seq, seq);
    for (trh_shared_t *shared = newest; shared != NULL; shared = shared->previous) {
        if (tr_store_place_eq(shared->place, newest->place)) {
            raise_to(&shared->watch->followed_at, now);
        }
    }
    if (atomic_compare_exchange_strong(&newest->watch->stalled, &was, 0)) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, "the store of revocations can be read again");
    }
}

/* Says once that it fails, not every second: a damaged row stays damaged. */
static void clean(tr_store_t *store, server_rec *s, apr_time_t now)
{
    static apr_time_t last;
    static bool failed;
    int deleted = 0;
    apr_status_t rv;

    if (now - last < CLEAN_EVERY) {
        return;
    }
    last = now;
    rv = tr_store_clean(store, &deleted, apr_time_sec(trh_clean_now()));
    if (rv != APR_SUCCESS && !failed) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "TR027: expired revocations cannot be deleted, so the database grows: %s",
                     tr_store_follow_error(store));
    }
    failed = rv != APR_SUCCESS;
    if (deleted > 0) {
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, s, "%d expired revocations were deleted from the store", deleted);
    }
}

void trh_retry(tr_store_t *store, server_rec *s)
{
    int stored = 0;

    /* What is still left is tried again; that it could not be stored was logged when it came. */
    if (tr_store_retry(store, &stored) == APR_SUCCESS && stored > 0) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, "%d revocations that could not be stored before are stored now", stored);
    }
}

void trh_follow(trh_shared_t *shared, tr_store_t *store, tr_ledger_t *ledger, server_rec *s)
{
    trh_watch_t *watch = shared->watch;
    learner_t learner = {ledger, trh_clean_now()};
    int64_t seq = atomic_load(&watch->followed_seq);
    apr_time_t now = trh_steady_clock();
    apr_status_t rv;

    if (!hold_lease(watch, now)) {
        watch_stall(watch, store, s, now);
        return;
    }
    atomic_store(&watch->tried_at, now);
    rv = tr_store_follow(store, &seq, learn, &learner);
    atomic_store(&watch->full, rv == APR_ENOSPC ? 1 : 0);
    if (rv == APR_SUCCESS) {
        note_followed(shared, s, now, seq);
        clean(store, s, now);
        atomic_store(&watch->tried_at, trh_steady_clock());
        return;
    }
    watch_stall(watch, store, s, now);
    /* Perhaps it is only this process that cannot. */
    atomic_store(&watch->follower, 0);
}

void trh_stop_following(trh_shared_t *shared)
{
    int64_t me = getpid();

    (void)atomic_compare_exchange_strong(&shared->watch->follower, &me, 0);
}
