/*
 * trh_rotation.c: an answer that may give out a new refresh token is held back until the old one is revoked. What cannot be
 * understood, or not be recorded, the client never sees.
 */
#include "trh_guard.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "tr_limits.h"
#include "trh_body.h"

#define FILTER_NAME "TOKREVOKE_ROTATION"

static ap_filter_rec_t *filter;

/* The answer so far. */
typedef struct held_t {
    trh_guarded_t *guarded;
    trh_buffer_t body;
    bool is_begun;
    bool is_done;
} held_t;

void trh_await_exchange(request_rec *r, trh_guarded_t *guarded)
{
    static const char *const fields[] = {"Accept-Encoding", "Range", "If-Range"};
    held_t *held;

    for (ap_filter_t *f = r->output_filters; f != NULL; f = f->next) {
        if (f->frec == filter && f->r == r) {
            return;
        }
    }
    /* So that the answer comes whole, and in plain text. */
    for (apr_size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        apr_table_unset(r->headers_in, fields[i]);
    }
    held = apr_pcalloc(r->pool, sizeof(*held));
    held->guarded = guarded;
    held->body = (trh_buffer_t){.data = "", .max_len = TR_MAX_GRANT_LEN, .pool = r->pool};
    ap_add_output_filter_handle(filter, held, r, r->connection);
}

/* Take what a brigade brings. APR_SUCCESS; APR_EOF: this was the end; APR_INCOMPLETE: it will not come whole, or is too long. */
static apr_status_t take(trh_buffer_t *body, apr_bucket_brigade *bb)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;

        if (APR_BUCKET_IS_EOS(b)) {
            return APR_EOF;
        }
        if (AP_BUCKET_IS_ERROR(b)) {
            return APR_INCOMPLETE;
        }
        if (APR_BUCKET_IS_METADATA(b)) {
            continue; /* nothing is flushed before it is known what it is */
        }
        if (apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS || !trh_buffer_add(body, data, len)) {
            return APR_INCOMPLETE;
        }
    }
    return APR_SUCCESS;
}

static bool is_encoding(const char *encoding)
{
    return encoding != NULL && encoding[0] != '\0' && strcasecmp(encoding, "identity") != 0;
}

/* Proxies write header fields into one table, scripts into the other. */
static bool is_encoded(const request_rec *r)
{
    return is_encoding(apr_table_get(r->headers_out, "Content-Encoding")) ||
           is_encoding(apr_table_get(r->err_headers_out, "Content-Encoding")) || is_encoding(r->content_encoding);
}

/* Of the answer that is withheld nothing may be seen, neither in the body nor in a field. */
static void replace(held_t *held, request_rec *r, const tr_answer_t *answer)
{
    apr_table_clear(r->headers_out);
    apr_table_clear(r->err_headers_out);
    apr_table_overlap(r->err_headers_out, held->guarded->headers, APR_OVERLAP_TABLES_SET);
    r->content_encoding = NULL;
    r->content_languages = NULL;
    r->no_cache = 1;
    r->status = answer->status;
    r->status_line = ap_get_status_line(answer->status);
    ap_set_content_type(r, "application/json");
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    trh_set_retry_after(r, answer->retry_after_s);
    trh_add_cors(r);
    held->body.data = apr_pstrdup(r->pool, answer->body);
    held->body.len = strlen(answer->body);
    ap_set_content_length(r, (apr_off_t)held->body.len);
}

/* The answer is whole, or never will be: rv is what take said. */
static void decide(held_t *held, request_rec *r, apr_status_t rv)
{
    tr_guard_t guard = trh_guard_of(r, held->guarded);
    tr_guard_outcome_t outcome;

    /* What the token endpoint gave out is no flood of its client's, and cannot be asked for once more. */
    guard.gate = trh_gate_of_trusted(r);
    if (rv == APR_EOF && held->body.len == 0) {
        return; /* to HEAD, or nothing is given out */
    }
    if (rv != APR_EOF || is_encoded(r)) {
        tr_guard_withhold(&outcome, held->guarded->exchanged, r->pool);
    }
    else {
        tr_guard_rotate(&outcome, &guard, held->guarded->exchanged, tr_str(held->body.data, held->body.len), r->pool);
    }
    trh_log_guard(r, &outcome);
    if (outcome.answer.status != 0) {
        replace(held, r, &outcome.answer);
    }
}

static apr_status_t hold(ap_filter_t *f, apr_bucket_brigade *bb)
{
    held_t *held = f->ctx;
    request_rec *r = f->r;
    apr_status_t rv;

    if (held->is_done) {
        apr_brigade_cleanup(bb); /* of what was withheld */
        return APR_SUCCESS;
    }
    if (!held->is_begun && !ap_is_HTTP_SUCCESS(r->status)) {
        ap_remove_output_filter(f);
        return ap_pass_brigade(f->next, bb);
    }
    held->is_begun = true;
    rv = take(&held->body, bb);
    apr_brigade_cleanup(bb);
    if (rv == APR_SUCCESS) {
        return APR_SUCCESS;
    }
    held->is_done = true;
    decide(held, r, rv);
    if (held->body.len > 0) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_pool_create(held->body.data, held->body.len, r->pool, bb->bucket_alloc));
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return ap_pass_brigade(f->next, bb);
}

void trh_register_rotation(void)
{
    filter = ap_register_output_filter(FILTER_NAME, hold, NULL, AP_FTYPE_RESOURCE);
}
