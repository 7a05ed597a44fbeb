/* trh_body.c: reading a small request body whole. */
#include "trh.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <util_filter.h>

#define READ_LEN 8192

/* Add a brigade's data to buf. OK, or the status to answer; *done when the body has ended. */
static int take(char *buf, apr_size_t *len, bool *done, apr_bucket_brigade *bb, apr_size_t max_len)
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
        if (n > max_len - *len) {
            return HTTP_REQUEST_ENTITY_TOO_LARGE;
        }
        memcpy(buf + *len, data, n);
        *len += n;
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

static int read_all(char *buf, apr_size_t *len, request_rec *r, apr_size_t max_len)
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
            status = take(buf, len, &done, bb, max_len);
        }
        apr_brigade_cleanup(bb);
    }
    return status;
}

int trh_read_body(tr_str_t *out, request_rec *r, apr_size_t max_len)
{
    char *buf;
    apr_size_t len = 0;
    int status;

    *out = tr_str("", 0);
    if (is_announced_larger(r, max_len)) {
        r->connection->keepalive = AP_CONN_CLOSE;
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    buf = apr_palloc(r->pool, max_len);
    status = read_all(buf, &len, r, max_len);
    if (status != OK) {
        r->connection->keepalive = AP_CONN_CLOSE;
        return status;
    }
    *out = tr_str(buf, len);
    return OK;
}
