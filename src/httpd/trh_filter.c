/*
 * trh_filter.c: no cache keeps a refusal, whatever the configuration says; and answers that were reached by a token which
 * caches do not know as credentials must not be shown to anybody else, nor after logout. Works on the headers of the first
 * brigade, after the application and mod_headers, before mod_cache.
 */
#include "trh.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#define FILTER_NAME "TOKREVOKE_PRIVATE"

static ap_filter_rec_t *filter;

static void add_vary(request_rec *r, const char *field)
{
    const char *vary = apr_table_get(r->headers_out, "Vary");

    if (vary == NULL || (!ap_find_token(r->pool, vary, field) && !ap_find_token(r->pool, vary, "*"))) {
        apr_table_mergen(r->headers_out, "Vary", field);
    }
}

/* The application's own Cache-Control gains word, if it has not got it; where it sent none, by_default stands. */
static void add_cache_control(request_rec *r, const char *word, const char *by_default)
{
    apr_table_t *table = apr_table_get(r->err_headers_out, "Cache-Control") != NULL ? r->err_headers_out : r->headers_out;
    const char *own = apr_table_get(table, "Cache-Control");

    if (own == NULL) {
        apr_table_setn(table, "Cache-Control", by_default);
    }
    else if (!ap_find_token(r->pool, own, word)) {
        apr_table_mergen(table, "Cache-Control", word);
    }
}

/* Is this our refusal, or the error document for it? */
static bool is_refused(const request_rec *r)
{
    for (; r != NULL; r = r->prev) {
        if (apr_table_get(r->notes, "tokrevoke-reason") != NULL) {
            return true;
        }
    }
    return false;
}

/* The context is the request whose token opened the door; NULL: none did. */
static apr_status_t mark_private(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    const trh_request_t *request = f->ctx;

    ap_remove_output_filter(f);
    if (is_refused(r)) {
        add_cache_control(r, "no-store", "no-store");
    }
    else if (request != NULL) {
        add_cache_control(r, "private", request->source.kind == TRH_FROM_COOKIE ? "no-store" : "private");
    }
    if (request != NULL && request->source.kind == TRH_FROM_COOKIE) {
        add_vary(r, "Cookie");
    }
    else if (request != NULL && request->source.kind == TRH_FROM_HEADER) {
        add_vary(r, request->source.name);
    }
    return ap_pass_brigade(f->next, bb);
}

void trh_register_filter(void)
{
    filter = ap_register_output_filter(FILTER_NAME, mark_private, NULL, AP_FTYPE_CONTENT_SET);
}

static void add_filter(request_rec *r, trh_request_t *request)
{
    for (ap_filter_t *f = r->output_filters; f != NULL; f = f->next) {
        if (f->frec == filter && f->r == r) {
            return;
        }
    }
    ap_add_output_filter_handle(filter, request, r, r->connection);
}

void trh_insert_filter(request_rec *r)
{
    trh_request_t *request = r->main == NULL ? trh_request_of(r) : NULL;

    /* Caches know the Authorization header (RFC 9111 3.5). */
    if (request != NULL && request->source.kind == TRH_FROM_AUTHORIZATION) {
        request = NULL;
    }
    if (r->main != NULL || (request == NULL && !is_refused(r))) {
        return;
    }
    add_filter(r, request);
}
