/*
 * trh_stream.c: TokRevokeCutStreams: what outlives its token is cut.
 *
 *   request   fixups: into this child's list, with a descriptor of its own for the client's socket
 *   write     output filter: has the table changed since this token was looked up? no -> on; yes -> look up again
 *   tunnel    only the connection's filters see its bytes: an input filter of the connection does the same for what is read
 *   watcher   a thread of each child that has something to watch, twice a second: the same, and expiry; shuts the socket down
 *
 * The watcher is needed because nobody may write: handlers wait for a backend, mpm_event waits for a slow client without a thread.
 *
 * Who ends an entry is the cleanup of its request's pool, under the mutex under which the watcher works; before the pools below it
 * go, because the token of a request that mod_dir has turned into that of an index lies in one. That alone would not do for
 * the socket: where a client is too slow, mpm_event closes it before it destroys the pool with the request in it, and the number
 * may be another connection's by then. So each entry has its own descriptor (dup), which is closed by that cleanup and nobody else.
 */
#include "trh_shared.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <apr_portable.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "tr_digest.h"

#define OUTPUT_NAME "TOKREVOKE_CUT"
#define INPUT_NAME "TOKREVOKE_CUT_TUNNEL"
#define TICK apr_time_from_msec(500)
#define GRACE apr_time_from_msec(750) /* for an answer that had not begun: to a logout by the application itself, perhaps */

/* Values of seen that no table ever counts up to. */
#define DEAD UINT64_MAX
#define NOT_BEGUN (UINT64_MAX - 1) /* so that the first write is noticed without another comparison */

struct trh_stream_t {
    trh_stream_t *next, **link; /* the mutex guards these, and shut */
    bool shut;
    int socket;     /* our own descriptor */
    bool is_shared; /* the socket: other streams use it, too (HTTP/2) */
    const tr_gate_t *gate;
    trh_request_t *request; /* may lie in a pool below that of the request: mod_dir's, of an index */
    server_rec *server;
    const char *client;
    apr_time_t began;
    ap_filter_t *input;    /* NULL: none */
    _Atomic uint64_t seen; /* the table had changed so often when the token was found good */
    _Atomic int64_t due;   /* when dead: it is cut at this time, steady clock */
    _Atomic(const char *) why;
};

static ap_filter_rec_t *output_filter, *input_filter;

/* Of this process. Never destroyed: exit() destroys httpd's pools while threads still serve. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t call;
    pthread_t thread;
    bool is_running, is_stopped;
    trh_stream_t *first;
} streams = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* mpm_prefork ends a child in its signal handler, cleanups and all: not while that child holds what they need. */
static void hold(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    pthread_mutex_lock(&streams.mutex);
}

static void release(const sigset_t *before)
{
    pthread_mutex_unlock(&streams.mutex);
    pthread_sigmask(SIG_SETMASK, before, NULL);
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
    atomic_store(&stream->due, trh_steady_clock() + (atomic_load(&stream->seen) == NOT_BEGUN ? GRACE : 0));
    atomic_store(&stream->seen, DEAD);
    say(stream, why, by, scratch);
}

/* Nothing was inserted into the table since this token was found good. */
static inline bool is_unchanged(const trh_stream_t *stream)
{
    return tr_table_changes(stream->gate->table) == atomic_load_explicit(&stream->seen, memory_order_relaxed);
}

/* That the table is not informed is no reason to cut: nobody said that this token is revoked. */
static void look_up(trh_stream_t *stream, apr_pool_t *scratch)
{
    uint64_t changes = tr_table_changes(stream->gate->table);
    uint64_t seen = atomic_load(&stream->seen);
    tr_kind_t by;
    apr_status_t rv;

    if (seen == DEAD || changes == (seen == NOT_BEGUN ? stream->request->changes : seen)) {
        return;
    }
    rv = tr_gate_check_revoked(&by, stream->gate, &stream->request->identity->token, scratch);
    if (rv == TR_REVOKED) {
        kill_stream(stream, "revoked", by, scratch);
    }
    else if ((rv == APR_SUCCESS || rv == TR_GATE_UNINFORMED) && seen != NOT_BEGUN) {
        (void)atomic_compare_exchange_strong(&stream->seen, &seen, changes);
    }
}

/* By a thread of the request's own. */
static bool may_go_on(trh_stream_t *stream, apr_pool_t *pool)
{
    uint64_t seen = atomic_load(&stream->seen);
    apr_pool_t *scratch;

    if (tr_table_changes(stream->gate->table) == (seen == NOT_BEGUN ? stream->request->changes : seen)) {
        return true;
    }
    apr_pool_create(&scratch, pool);
    look_up(stream, scratch);
    apr_pool_destroy(scratch);
    return atomic_load(&stream->seen) != DEAD || trh_steady_clock() < atomic_load(&stream->due);
}

/* ---- filters ----------------------------------------------------------------------------------------------- */

/* A stream of HTTP/2 is reset by an error bucket; without one mod_http2 would wait for its end. */
static void reset(ap_filter_t *f, apr_bucket_brigade *bb)
{
    APR_BRIGADE_INSERT_TAIL(bb, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, f->r->pool, f->c->bucket_alloc));
    (void)ap_pass_brigade(f->next, bb);
    apr_brigade_cleanup(bb);
}

/* No byte follows, not even the one that would end it well. */
static apr_status_t cut(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apr_brigade_cleanup(bb);
    if (f->r != NULL && f->c->master != NULL && !f->c->aborted) {
        reset(f, bb);
    }
    f->c->aborted = 1;
    f->c->keepalive = AP_CONN_CLOSE;
    return APR_ECONNABORTED;
}

static apr_status_t watch_output(ap_filter_t *f, apr_bucket_brigade *bb)
{
    trh_stream_t *stream = f->ctx;
    uint64_t not_begun = NOT_BEGUN;

    if (is_unchanged(stream)) {
        return ap_pass_brigade(f->next, bb);
    }
    if (!may_go_on(stream, f->r->pool)) {
        return cut(f, bb);
    }
    (void)atomic_compare_exchange_strong(&stream->seen, &not_begun, stream->request->changes);
    return ap_pass_brigade(f->next, bb);
}

static apr_status_t watch_input(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                                apr_off_t bytes)
{
    /* A request that was read behind the one of the tunnel, before that had ended, goes on to read through this. */
    return f->ctx == NULL || may_go_on(f->ctx, f->c->pool) ? ap_get_brigade(f->next, bb, mode, block, bytes) : cut(f, bb);
}

void trh_register_stream(void)
{
    /* Behind mod_cache, which must not take half an answer for a whole one, and before the bytes of HTTP are made. */
    output_filter = ap_register_output_filter(OUTPUT_NAME, watch_output, NULL, AP_FTYPE_CONTENT_SET + 2);
    input_filter = ap_register_input_filter(INPUT_NAME, watch_input, NULL, AP_FTYPE_CONNECTION);
}

/* ---- the watcher ------------------------------------------------------------------------------------------- */

/*
 * Whoever waits for this socket wakes up, and can neither read nor write. What the system still holds for a client that reads slowly
 * is thrown away when httpd closes the socket, which it does at once.
 */
static void shut_down(trh_stream_t *stream)
{
    struct linger at_once = {1, 0};

    stream->shut = true;
    (void)setsockopt(stream->socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    (void)shutdown(stream->socket, SHUT_RDWR);
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
    const char *why = atomic_load(&stream->seen) != DEAD ? why_end(stream) : NULL;

    if (why != NULL) {
        kill_stream(stream, why, TR_KIND_TOKEN, scratch);
    }
    look_up(stream, scratch);
    /* Of a connection with other streams the filter may end this one alone, if something is written soon. */
    if (atomic_load(&stream->seen) == DEAD && !stream->shut &&
        trh_steady_clock() >= atomic_load(&stream->due) + (stream->is_shared ? TICK : 0)) {
        shut_down(stream);
    }
}

static void wait_locked(void)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)apr_time_as_msec(TICK) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (streams.first == NULL) {
        pthread_cond_wait(&streams.call, &streams.mutex);
        return;
    }
    /* A call in between is that of stop: whoever comes into a list that is not empty does not call. */
    (void)pthread_cond_timedwait(&streams.call, &streams.mutex, &until);
}

static void *watch(void *unused)
{
    apr_pool_t *scratch;

    (void)unused;
    if (apr_pool_create_unmanaged_ex(&scratch, NULL, NULL) != APR_SUCCESS) {
        abort(); /* as httpd does when there is no memory */
    }
    pthread_mutex_lock(&streams.mutex);
    while (!streams.is_stopped) {
        wait_locked();
        for (trh_stream_t *stream = streams.first; stream != NULL && !streams.is_stopped; stream = stream->next) {
            look_at_locked(stream, scratch);
        }
        apr_pool_clear(scratch);
    }
    pthread_mutex_unlock(&streams.mutex);
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
    pthread_cond_init(&streams.call, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* With the first stream: most children never get one. Returns 0, or an error of the system. */
static int start_locked(void)
{
    int err;

    if (streams.is_running) {
        return 0;
    }
    make_call();
    /* It takes over that all signals are blocked: httpd's own threads handle them. */
    err = pthread_create(&streams.thread, NULL, watch, NULL);
    streams.is_running = err == 0;
    return err;
}

void trh_stop_streams(void)
{
    bool was_running;

    pthread_mutex_lock(&streams.mutex);
    was_running = streams.is_running && !streams.is_stopped;
    streams.is_stopped = true;
    if (was_running) {
        pthread_cond_signal(&streams.call);
    }
    pthread_mutex_unlock(&streams.mutex);
    if (was_running) {
        pthread_join(streams.thread, NULL);
    }
}

/* ---- requests ---------------------------------------------------------------------------------------------- */

/* The directive counts where the request came from, too: redirects inside httpd forget the location. */
static bool is_to_be_cut(const request_rec *r)
{
    for (r = trh_is_any_cut() ? r : NULL; r != NULL; r = trh_origin(r)) {
        if (trh_dir(r)->cut_streams == 1) {
            return true;
        }
    }
    return false;
}

static apr_status_t forget(void *data)
{
    trh_stream_t *stream = data;
    sigset_t before;

    hold(&before);
    *stream->link = stream->next;
    if (stream->next != NULL) {
        stream->next->link = stream->link;
    }
    release(&before);
    close(stream->socket);
    stream->request->stream = NULL;
    if (stream->input != NULL) {
        stream->input->ctx = NULL;
        ap_remove_input_filter(stream->input);
    }
    return APR_SUCCESS;
}

static int enter(trh_stream_t *stream)
{
    sigset_t before;
    int err;

    hold(&before);
    err = start_locked();
    if (err == 0) {
        if (streams.first == NULL) {
            pthread_cond_signal(&streams.call);
        }
        else {
            streams.first->link = &stream->next;
        }
        stream->next = streams.first;
        stream->link = &streams.first;
        streams.first = stream;
    }
    release(&before);
    return err;
}

/* Of HTTP/2, that of the connection which carries the stream. */
static int own_socket(conn_rec *c)
{
    apr_socket_t *client = ap_get_conn_socket(c->master != NULL ? c->master : c);
    apr_os_sock_t number;

    if (client == NULL || apr_os_sock_get(&number, client) != APR_SUCCESS) {
        errno = ENOTSOCK;
        return -1;
    }
    return fcntl(number, F_DUPFD_CLOEXEC, 0);
}

/* Will its bytes pass by the filters of requests? */
static bool is_tunnel(const request_rec *r)
{
    return r->method_number == M_CONNECT || apr_table_get(r->headers_in, "Upgrade") != NULL;
}

static trh_stream_t *make_stream(request_rec *r, trh_request_t *request)
{
    trh_stream_t *stream = apr_pcalloc(r->pool, sizeof(*stream));

    stream->is_shared = r->connection->master != NULL;
    stream->gate = &trh_server(r->server)->gate;
    stream->request = request;
    stream->server = r->server;
    stream->client = r->useragent_ip;
    stream->began = r->request_time;
    /* What a tunnel sends is not seen here. */
    atomic_store(&stream->seen, is_tunnel(r) ? request->changes : NOT_BEGUN);
    return stream;
}

static void say_unwatched(request_rec *r, int err, bool has_socket)
{
    static _Atomic int64_t last_s;

    if (!trh_is_said(&last_s)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, err, r,
                      has_socket ? "TR063: a response was not begun, because it could not be cut: no thread"
                                 : "TR060: a response was not begun, because it could not be cut: no descriptor; raise the "
                                   "limit of open files");
    }
}

/* True: it is watched, or need not be. False: nobody could cut it. */
static bool begin(request_rec *r)
{
    trh_request_t *request = is_to_be_cut(r) ? trh_request_of(r) : NULL;
    trh_stream_t *stream;
    int err;

    /* Ours end by themselves, also where they revoke the token that they were asked with. */
    if (request == NULL || request->identity == NULL || request->stream != NULL || trh_is_endpoint(r->handler)) {
        return true;
    }
    stream = make_stream(r, request);
    stream->socket = own_socket(r->connection);
    err = stream->socket < 0 ? errno : enter(stream);
    if (err != 0) {
        say_unwatched(r, err, stream->socket >= 0);
        if (stream->socket >= 0) {
            close(stream->socket);
        }
        return false;
    }
    if (is_tunnel(r)) {
        stream->input = ap_add_input_filter_handle(input_filter, stream, r, r->connection);
    }
    apr_pool_pre_cleanup_register(r->pool, stream, forget);
    request->stream = stream;
    return true;
}

/* Subrequests are often made only to look, and begin to be watched when they run. */
int trh_stream_fixup(request_rec *r)
{
    if (r->main != NULL || begin(r)) {
        return DECLINED;
    }
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    trh_set_retry_after(r, TR_RETRY_AFTER_S);
    return HTTP_SERVICE_UNAVAILABLE;
}

void trh_stream_insert(request_rec *r)
{
    const trh_request_t *request = trh_is_any_cut() ? trh_request_of(r) : NULL;

    if (request != NULL && !begin(r)) {
        r->connection->aborted = 1;
        return;
    }
    if (request == NULL || request->stream == NULL) {
        return;
    }
    for (ap_filter_t *f = r->output_filters; f != NULL; f = f->next) {
        if (f->frec == output_filter && f->ctx == request->stream) {
            return;
        }
    }
    ap_add_output_filter_handle(output_filter, request->stream, r, r->connection);
}

int trh_stream_log(request_rec *r)
{
    const trh_request_t *request = trh_is_any_cut() ? trh_request_of(r) : NULL;
    const char *why = request != NULL && request->stream != NULL ? atomic_load(&request->stream->why) : NULL;

    if (why != NULL) {
        apr_table_setn(r->notes, "tokrevoke-reason", why);
    }
    return DECLINED;
}
