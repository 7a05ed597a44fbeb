/* trh_body.c: small bodies, whole. */
#include "trh_body.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "tr_digest.h"

#define MIB ((apr_size_t)1024 * 1024)
#define READ_LEN 8192
#define FIRST_LEN 4096

bool trh_buffer_add(trh_buffer_t *buffer, const char *data, apr_size_t n)
{
    if (n > buffer->max_len - buffer->len) {
        return false;
    }
    if (n > buffer->room - buffer->len) {
        apr_size_t room = buffer->room > 0 ? buffer->room : FIRST_LEN;
        char *larger;

        while (room < buffer->len + n) {
            room *= 2;
        }
        larger = apr_palloc(buffer->pool, room);
        if (buffer->len > 0) {
            memcpy(larger, buffer->data, buffer->len);
            tr_wipe(buffer->data, buffer->len);
        }
        buffer->data = larger;
        buffer->room = room;
    }
    if (n > 0) {
        memcpy(buffer->data + buffer->len, data, n);
        buffer->len += n;
    }
    return true;
}

/* httpd's own buffer of what came over the network, if nobody else holds it: what is in there was given to us alone. */
static void wipe_bucket(const apr_bucket *b, const char *data, apr_size_t n)
{
    if (APR_BUCKET_IS_HEAP(b) && ((const apr_bucket_heap *)b->data)->refcount.refcount == 1) {
        tr_wipe((char *)data, n);
    }
}

static apr_status_t wipe_body(void *baton)
{
    tr_str_t *body = baton;

    tr_wipe((char *)body->data, body->len);
    return APR_SUCCESS;
}

/* Add a brigade's data to body. OK, or the status to answer; *done when the body has ended. */
static int take(trh_buffer_t *body, bool *done, apr_bucket_brigade *bb)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t n;

        if (APR_BUCKET_IS_EOS(b)) {
            *done = true;
            return OK;
        }
        if (APR_BUCKET_IS_METADATA(b)) {
            continue;
        }
        if (apr_bucket_read(b, &data, &n, APR_BLOCK_READ) != APR_SUCCESS) {
            return HTTP_BAD_REQUEST;
        }
        if (!trh_buffer_add(body, data, n)) {
            return HTTP_REQUEST_ENTITY_TOO_LARGE;
        }
        wipe_bucket(b, data, n);
    }
    return OK;
}

/* Too large by its own word? Then nothing is read at all. */
static bool is_announced_larger(const request_rec *r, apr_size_t max_len)
{
    const char *text = apr_table_get(r->headers_in, "Content-Length");
    apr_off_t len;

    return text != NULL && ap_parse_strict_length(&len, text) && len > (apr_off_t)max_len;
}

static int read_all(trh_buffer_t *body, request_rec *r)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    trh_wait_t *wait = trh_wait_begin(r, body->max_len);
    bool done = false;
    int status = OK;
    int late;

    while (!done && status == OK) {
        apr_status_t rv = ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES, APR_BLOCK_READ, READ_LEN);

        if (rv != APR_SUCCESS) {
            status = ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
        }
        else {
            status = take(body, &done, bb);
        }
        apr_brigade_cleanup(bb);
    }
    late = trh_wait_end(wait);
    return status != OK && status != AP_FILTER_ERROR && late != OK ? late : status;
}

static const char *sentence_of(int status, apr_size_t max_len, apr_pool_t *pool)
{
    bool is_mib = max_len % MIB == 0;

    if (status == HTTP_SERVICE_UNAVAILABLE) {
        return "Too many requests wait for their bodies";
    }
    if (status == HTTP_REQUEST_TIME_OUT) {
        return "The body did not come in time";
    }
    if (status != HTTP_REQUEST_ENTITY_TOO_LARGE) {
        return "The body could not be read";
    }
    return apr_psprintf(pool, "The body is larger than %d %s", (int)(max_len / (is_mib ? MIB : 1024)), is_mib ? "MiB" : "KiB");
}

static int read_body(tr_str_t *out, request_rec *r, apr_size_t max_len)
{
    trh_buffer_t body = {.data = "", .max_len = max_len, .pool = r->pool};
    int status;

    *out = tr_str("", 0);
    if (is_announced_larger(r, max_len)) {
        r->connection->keepalive = AP_CONN_CLOSE;
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    status = read_all(&body, r);
    if (status != OK) {
        r->connection->keepalive = AP_CONN_CLOSE;
        return status;
    }
    *out = tr_str(body.data, body.len);
    if (body.len > 0) {
        apr_pool_cleanup_register(r->pool, apr_pmemdup(r->pool, out, sizeof(*out)), wipe_body, apr_pool_cleanup_null);
    }
    return OK;
}

int trh_read_body(tr_str_t *out, const char **sentence, request_rec *r, apr_size_t max_len)
{
    int status = read_body(out, r, max_len);

    *sentence = status != OK ? sentence_of(status, max_len, r->pool) : NULL;
    return status;
}

int trh_read_params(tr_params_t **out, tr_body_type_t *type, const char **sentence, request_rec *r, tr_str_t body)
{
    apr_status_t rv;

    *type = tr_body_type(apr_table_get(r->headers_in, "Content-Type"));
    rv = tr_params_from_body(out, sentence, *type, body, r->pool);
    if (rv == APR_SUCCESS) {
        return OK;
    }
    return rv == APR_ENOMEM ? HTTP_SERVICE_UNAVAILABLE : HTTP_BAD_REQUEST;
}

void trh_discard_body(request_rec *r)
{
    trh_wait_t *wait;

    /* A client that waits for "100 Continue" has sent no body, and httpd closes the connection. */
    if (r->main != NULL || r->expecting_100) {
        return;
    }
    wait = trh_wait_begin(r, 0);
    if (ap_discard_request_body(r) != OK) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    (void)trh_wait_end(wait);
}
