/*
 * trh_flood.c: floods of forged tokens. Finding a signature wrong can cost more than serving a page: with large curves, and where each key
 * of an issuer must be tried. All processes together spend a share of the processors on what that takes beyond an ordinary check; when it is
 * spent, whoever has sent many gets no signature checked for a moment. Tokens that are remembered need no check, and pass from anywhere.
 */
#include "trh_shared.h"

#include <time.h>

#include "tr_limits.h"
#include "tr_processors.h"

/* The request that this thread asks the gate for; NULL: nobody's fault. */
static _Thread_local const request_rec *asking;

/* When its signature began to be checked. */
static _Thread_local int64_t began_us;

const tr_gate_t *trh_gate(const request_rec *r)
{
    asking = r;
    return &trh_server(r->server)->gate;
}

const tr_gate_t *trh_gate_of_trusted(const request_rec *r)
{
    asking = NULL;
    return &trh_server(r->server)->gate;
}

/* What this thread has really worked: on a busy machine a check takes far longer by the clock. */
static int64_t worked_us(void)
{
    struct timespec t;

    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0 ? t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000 : 0;
}

/* Looked for by the first that needs it: a quota that changes later counts for later children. */
static int64_t processors_milli(const request_rec *r)
{
    static _Atomic int64_t known;

    if (atomic_load(&known) == 0) {
        atomic_store(&known, tr_processors_milli("", r->pool));
    }
    return atomic_load(&known);
}

static uint64_t who_of(trh_forgeries_t *forgeries, const request_rec *r)
{
    const apr_sockaddr_t *address = r->useragent_addr;

    return tr_throttle_who(&forgeries->throttle, tr_throttle_network(address->ipaddr_ptr, (apr_size_t)address->ipaddr_len),
                           tr_str("", 0));
}

static void say(trh_forgeries_t *forgeries, const request_rec *r)
{
    if (!trh_is_said_lately(&forgeries->said_at)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            "TR067: tokens with wrong signatures take too much time: those of whoever has sent many, %s among them, are "
            "answered 429 without a check",
            r->useragent_ip);
    }
}

bool trh_may_check(void)
{
    trh_watch_t *watch = trh_watch();
    apr_time_t now;

    if (asking == NULL || watch == NULL) {
        return true;
    }
    now = trh_steady_clock();
    if (tr_budget_is_spent(&watch->forgeries.budget, now) &&
        tr_throttle_wait_s(&watch->forgeries.throttle, who_of(&watch->forgeries, asking), apr_time_sec(now)) > 0) {
        say(&watch->forgeries, asking);
        return false;
    }
    began_us = worked_us();
    return true;
}

void trh_was_forged(void)
{
    trh_watch_t *watch = trh_watch();
    apr_time_t now;
    int64_t over_us;

    if (asking == NULL || watch == NULL) {
        return;
    }
    now = trh_steady_clock();
    over_us = worked_us() - began_us - TR_FORGED_FREE_US;
    tr_budget_spend(&watch->forgeries.budget, over_us * TR_FORGED_SHARE * 1000 / processors_milli(asking), now);
    (void)tr_throttle_fail(&watch->forgeries.throttle, who_of(&watch->forgeries, asking), apr_time_sec(now));
}
