/*
 * trh_stream.c: TokRevokeCutStreams: what outlives its token is cut.
 *
 *   request   fixups: into the list of this child's watcher, with the name of the client's connection
 *   write     output filter: has the table changed since this token was looked up? no -> on; yes -> look up again
 *   tunnel    only the connection's filters see its bytes: an input filter of the connection does the same for what is read
 *   watcher   trh_watcher.c: the same for who does not write, and expiry; shuts the socket down
 *
 * Who ends an entry is the cleanup of its request's pool, under the mutex under which the watcher works; before the pools below it
 * go, because the token of a request that mod_dir has turned into that of an index lies in one. That alone would not do for
 * the socket: where a client is too slow, mpm_event closes it before it destroys the pool with the request in it, and the number
 * may be another connection's by then. So an entry has the connection's ends beside its number.
 */
#include "trh_stream.h"

#include <errno.h>

#include <apr_portable.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#define OUTPUT_NAME "TOKREVOKE_CUT"
#define INPUT_NAME "TOKREVOKE_CUT_TUNNEL"

static ap_filter_rec_t *output_filter, *input_filter;

/* ---- is its token still good? ------------------------------------------------------------------------------ */

/* Nothing was inserted into the table since this token was found good. */
static inline bool is_unchanged(const trh_stream_t *stream)
{
    return tr_table_changes(stream->gate->table) == atomic_load_explicit(&stream->seen, memory_order_relaxed);
}

/* By a thread of the request's own. */
static bool may_go_on(trh_stream_t *stream, apr_pool_t *pool)
{
    uint64_t seen = atomic_load(&stream->seen);
    apr_pool_t *scratch;

    if (tr_table_changes(stream->gate->table) == (seen == TRH_NOT_BEGUN ? stream->request->changes : seen)) {
        return true;
    }
    apr_pool_create(&scratch, pool);
    trh_stream_look_up(stream, scratch);
    apr_pool_destroy(scratch);
    return atomic_load(&stream->seen) != TRH_DEAD || trh_steady_clock() < atomic_load(&stream->due);
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
    uint64_t not_begun = TRH_NOT_BEGUN;

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

    trh_watcher_leave(stream);
    stream->request->stream = NULL;
    if (stream->input != NULL) {
        stream->input->ctx = NULL;
        ap_remove_input_filter(stream->input);
    }
    return APR_SUCCESS;
}

/* Of HTTP/2, that of the connection which carries the stream. What the socket says, not the conn_rec: mod_remoteip may say more. */
static bool name_line(tr_line_t *out, conn_rec *c)
{
    apr_socket_t *client = ap_get_conn_socket(c->master != NULL ? c->master : c);
    apr_sockaddr_t *here, *there;
    apr_os_sock_t number;

    return client != NULL && apr_os_sock_get(&number, client) == APR_SUCCESS &&
           apr_socket_addr_get(&here, APR_LOCAL, client) == APR_SUCCESS &&
           apr_socket_addr_get(&there, APR_REMOTE, client) == APR_SUCCESS &&
           tr_line_name(out, number, (const struct sockaddr *)&here->sa, (const struct sockaddr *)&there->sa);
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
    atomic_store(&stream->seen, is_tunnel(r) ? request->changes : TRH_NOT_BEGUN);
    return stream;
}

static void say_unwatched(request_rec *r, int err)
{
    static _Atomic int64_t last_s;

    if (trh_is_said(&last_s)) {
        return;
    }
    if (err == EMFILE || err == ENFILE) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, err, r,
            "TR060: a response was not begun, because it could not be cut: no descriptor; raise the limit of open files");
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, err, r, "TR063: a response was not begun, because it could not be cut: %s",
                      err == EAFNOSUPPORT ? "its client's connection is not one of IPv4 or IPv6" : "no thread");
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
    err = name_line(&stream->line, r->connection) ? trh_watcher_enter(stream) : EAFNOSUPPORT;
    if (err != 0) {
        say_unwatched(r, err);
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
