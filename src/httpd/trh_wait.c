/*
 * trh_wait.c: waiting for a body. A thread (with mpm_prefork: a process) that waits serves nobody, so clients who send theirs drop
 * by drop must not have them all. Anybody may take a moment; longer only a share of all at once, and each so long as his
 * bytes are worth. What has come already is never waited for, so it is always read.
 *
 * An input filter below that which makes a body of the connection's bytes, put in while a body is read. It never lets those
 * below block, because their patience begins anew with each byte.
 */
#include "trh_shared.h"

#include <ap_mpm.h>
#include <apr_poll.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "tr_limits.h"
#include "trh_body.h"

#define FILTER_NAME "TOKREVOKE_WAIT"
#define SLICE apr_time_from_sec(1) /* mod_reqtimeout looks at its own clock no more often than it is asked */
#define NAP apr_time_from_msec(10) /* on a stream of HTTP/2, which nobody can wait for with an end */
#define SPARE apr_time_from_sec(2) /* a place is lost only after whoever has it must have seen that he is late */
#define LINE_LEN HUGE_STRING_LEN

struct trh_wait_t {
    request_rec *r;
    ap_filter_t *f;
    apr_size_t max_len;
    apr_off_t came;
    apr_time_t began;        /* 0: nothing was waited for yet */
    _Atomic int64_t *place;  /* NULL: none */
    int64_t until;           /* what stands there */
    apr_bucket_brigade *got; /* the beginning of a line */
    int status;
};

static ap_filter_rec_t *filter;

/* ---- places -------------------------------------------------------------------------------------------------- */

static trh_waits_t *find_waits(int *n)
{
    static trh_waits_t own;
    trh_watch_t *watch = trh_watch();
    int threaded = 0, all = 0;

    (void)ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    (void)ap_mpm_query(threaded != AP_MPMQ_NOT_SUPPORTED ? AP_MPMQ_MAX_THREADS : AP_MPMQ_MAX_DAEMON_USED, &all);
    *n = all / TR_WAITING_SHARE;
    *n = *n < 1 ? 1 : *n > TR_MAX_WAITING ? TR_MAX_WAITING : *n;
    return threaded == AP_MPMQ_NOT_SUPPORTED && watch != NULL ? &watch->waits : &own;
}

static bool take_place(trh_wait_t *wait, apr_time_t now, apr_time_t end)
{
    int n;
    trh_waits_t *waits = find_waits(&n);

    for (int i = 0; i < n; i++) {
        int64_t before = atomic_load(&waits->until[i]);

        if (before <= now && atomic_compare_exchange_strong(&waits->until[i], &before, end + SPARE)) {
            wait->place = &waits->until[i];
            wait->until = end + SPARE;
            return true;
        }
    }
    return false;
}

/* With the bytes that come the end moves. A place that was lost meanwhile is somebody else's. */
static void keep_place(trh_wait_t *wait, apr_time_t end)
{
    int64_t before = wait->until;

    if (wait->place != NULL && before != end + SPARE && atomic_compare_exchange_strong(wait->place, &before, end + SPARE)) {
        wait->until = end + SPARE;
    }
}

static void leave_place(trh_wait_t *wait)
{
    int64_t before = wait->until;

    if (wait->place != NULL) {
        (void)atomic_compare_exchange_strong(wait->place, &before, 0);
        wait->place = NULL;
    }
}

/* ---- patience ------------------------------------------------------------------------------------------------ */

static void say_full(request_rec *r)
{
    static _Atomic int64_t said_at;

    if (!trh_is_said_lately(&said_at)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "TR066: too many clients let us wait for the bodies of their requests: more of them are answered 503");
        return;
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "the body is not waited for: too many others are");
}

static apr_status_t give_up(trh_wait_t *wait, int status)
{
    wait->status = status;
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        say_full(wait->r);
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, wait->r, "the body did not come in time: %" APR_OFF_T_FMT " bytes", wait->came);
    }
    return APR_TIMEUP;
}

static apr_time_t end_of(const trh_wait_t *wait)
{
    apr_off_t worth = wait->max_len > 0 && wait->came > (apr_off_t)wait->max_len ? (apr_off_t)wait->max_len : wait->came;

    return wait->began + apr_time_from_sec(TR_BODY_WAIT_S) + apr_time_from_sec(worth) / TR_BODY_RATE;
}

static apr_status_t sleep_until(const trh_wait_t *wait, apr_time_t now, apr_time_t end)
{
    apr_time_t left = end - now < SLICE ? end - now : SLICE;
    apr_pollfd_t fd = {.p = wait->r->pool, .desc_type = APR_POLL_SOCKET, .reqevents = APR_POLLIN};
    apr_int32_t n;
    apr_status_t rv;

    fd.desc.s = wait->r->connection->master == NULL ? ap_get_conn_socket(wait->r->connection) : NULL;
    if (fd.desc.s == NULL) {
        apr_sleep(left < NAP ? left : NAP);
        return APR_SUCCESS;
    }
    rv = apr_poll(&fd, 1, &n, left);
    return APR_STATUS_IS_TIMEUP(rv) || APR_STATUS_IS_EINTR(rv) ? APR_SUCCESS : rv;
}

/* There is nothing to read. Success: there may be now. */
static apr_status_t be_patient(trh_wait_t *wait)
{
    apr_time_t now = trh_steady_clock();
    apr_time_t end;

    if (wait->began == 0) {
        wait->began = now;
    }
    if (now - wait->began < TR_BODY_MOMENT_US) {
        return sleep_until(wait, now, wait->began + TR_BODY_MOMENT_US);
    }
    end = end_of(wait);
    if (now >= end) {
        return give_up(wait, HTTP_REQUEST_TIME_OUT);
    }
    if (wait->place == NULL && !take_place(wait, now, end)) {
        return give_up(wait, HTTP_SERVICE_UNAVAILABLE);
    }
    keep_place(wait, end);
    return sleep_until(wait, now, end);
}

/* ---- the filter ---------------------------------------------------------------------------------------------- */

/* Whatever there is, without waiting. APR_EAGAIN: nothing. */
static apr_status_t read_now(trh_wait_t *wait, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_off_t readbytes)
{
    apr_status_t rv = ap_get_brigade(wait->f->next, bb, mode, APR_NONBLOCK_READ, readbytes);
    apr_off_t n = 0;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    (void)apr_brigade_length(bb, 0, &n);
    wait->came += n > 0 ? n : 0;
    return APR_BRIGADE_EMPTY(bb) ? APR_EAGAIN : APR_SUCCESS;
}

static bool is_line(apr_bucket_brigade *bb)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t n;

        if (APR_BUCKET_IS_EOS(b) ||
            (!APR_BUCKET_IS_METADATA(b) && apr_bucket_read(b, &data, &n, APR_NONBLOCK_READ) == APR_SUCCESS &&
             memchr(data, '\n', n) != NULL)) {
            return true;
        }
    }
    return false;
}

/* Lines come in pieces, where nobody blocks. True: bb has what there is of one, and all that is missing is time. */
static bool is_part_of_line(trh_wait_t *wait, apr_bucket_brigade *bb)
{
    bool is_whole = is_line(bb);
    apr_off_t n = 0;

    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); !is_whole && b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        (void)apr_bucket_setaside(b, wait->r->pool);
    }
    APR_BRIGADE_CONCAT(wait->got, bb);
    if (!is_whole && apr_brigade_length(wait->got, 0, &n) == APR_SUCCESS && n < LINE_LEN) {
        return true;
    }
    APR_BRIGADE_CONCAT(bb, wait->got);
    return false;
}

static apr_status_t wait_for(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                             apr_off_t readbytes)
{
    trh_wait_t *wait = f->ctx;
    apr_status_t rv;

    if (block == APR_NONBLOCK_READ || mode == AP_MODE_INIT || mode == AP_MODE_EATCRLF) {
        return ap_get_brigade(f->next, bb, mode, block, readbytes);
    }
    do {
        rv = read_now(wait, bb, mode, readbytes);
        if (rv == APR_SUCCESS && (mode != AP_MODE_GETLINE || !is_part_of_line(wait, bb))) {
            return APR_SUCCESS;
        }
        if (rv == APR_SUCCESS || APR_STATUS_IS_EAGAIN(rv)) {
            rv = be_patient(wait);
        }
    } while (rv == APR_SUCCESS);
    return rv;
}

void trh_register_wait(void)
{
    filter = ap_register_input_filter(FILTER_NAME, wait_for, NULL, (ap_filter_type)(AP_FTYPE_CONNECTION - 1));
}

/* ---- for one body -------------------------------------------------------------------------------------------- */

trh_wait_t *trh_wait_begin(request_rec *r, apr_size_t max_len)
{
    trh_wait_t *wait = apr_pcalloc(r->pool, sizeof(*wait));

    wait->r = r;
    wait->max_len = max_len;
    wait->status = OK;
    wait->got = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    wait->f = ap_add_input_filter_handle(filter, wait, r, r->connection);
    return wait;
}

int trh_wait_end(trh_wait_t *wait)
{
    leave_place(wait);
    ap_remove_input_filter(wait->f);
    apr_brigade_destroy(wait->got);
    if (wait->status != OK) {
        wait->r->connection->keepalive = AP_CONN_CLOSE;
        /* As mod_reqtimeout asks for: the client is no longer waited for at the end, either. */
        apr_table_setn(wait->r->connection->notes, "short-lingering-close", "1");
    }
    return wait->status;
}
