/* trh_body.c: reading a small request body whole. */
#include "trh.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <util_filter.h>

#define READ_LEN 8192

/* What has been read. It grows with what comes: a length that is only announced costs nothing. */
typedef struct body_t {
    char *data;
    apr_size_t len, room, max_len;
    apr_pool_t *pool;
} body_t;

/* OK, or the status to answer. */
static int add(body_t *body, const char *data, apr_size_t n)
{
    if (n > body->max_len - body->len) {
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    if (n > body->room - body->len) {
        apr_size_t room = body->room > 0 ? body->room : READ_LEN;
        char *larger;

        while (room < body->len + n) {
            room *= 2;
        }
        larger = apr_palloc(body->pool, room);
        if (body->len > 0) {
            memcpy(larger, body->data, body->len);
        }
        body->data = larger;
        body->room = room;
    }
    if (n > 0) {
        memcpy(body->data + body->len, data, n);
        body->len += n;
    }
    return OK;
}

/* Add a brigade's data to body. OK, or the status to answer; *done when the body has ended. */
static int take(body_t *body, bool *done, apr_bucket_brigade *bb)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t n;
        int status;

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
        status = add(body, data, n);
        if (status != OK) {
            return status;
        }
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

static int read_all(body_t *body, request_rec *r)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    bool done = false;
    int status = OK;

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
    return status;
}

int trh_read_body(tr_str_t *out, request_rec *r, apr_size_t max_len)
{
    body_t body = {.data = "", .max_len = max_len, .pool = r->pool};
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
    return OK;
}
