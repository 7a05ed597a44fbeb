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
#define EARLY_FILTER_NAME "TOKREVOKE_PRIVATE_EARLY"
#define MOD_CACHE_FILTER "CACHE"

static ap_filter_rec_t *filter, *early_filter;

/* Scripts' own fields are among those that are sent with errors, too. All its lines are one then. */
static apr_table_t *find_field(const char **value, request_rec *r, const char *name)
{
    apr_table_t *table = apr_table_get(r->err_headers_out, name) != NULL ? r->err_headers_out : r->headers_out;

    *value = apr_table_getm(r->pool, table, name);
    return table;
}

static void add_vary(request_rec *r, const char *field)
{
    const char *own;
    apr_table_t *table = find_field(&own, r, "Vary");

    if (own == NULL || (!ap_find_token(r->pool, own, field) && !ap_find_token(r->pool, own, "*"))) {
        apr_table_mergen(table, "Vary", field);
    }
}

/*
 * Does a Cache-Control say word, and not only of some fields, as private="Set-Cookie" does? What has quotes is not looked through: a
 * word in them says nothing.
 */
static bool says(const char *own, const char *word)
{
    apr_size_t len;

    for (const char *p = own; strchr(own, '"') == NULL && *p != '\0'; p += len + (p[len] == ',')) {
        tr_str_t one;

        len = strcspn(p, ",");
        one = tr_str(p, len);
        while (one.len > 0 && (*one.data == ' ' || *one.data == '\t')) {
            one = tr_str(one.data + 1, one.len - 1);
        }
        while (one.len > 0 && (one.data[one.len - 1] == ' ' || one.data[one.len - 1] == '\t')) {
            one.len--;
        }
        if (one.len == strlen(word) && strncasecmp(one.data, word, one.len) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * The application's own Cache-Control gains word, if it has not got it; where it sent none, by_default stands. In front, because a
 * quote that it forgot to close would swallow what comes behind.
 */
static void add_cache_control(request_rec *r, const char *word, const char *by_default)
{
    const char *own;
    apr_table_t *table = find_field(&own, r, "Cache-Control");

    if (own == NULL) {
        apr_table_setn(table, "Cache-Control", by_default);
    }
    else if (!says(own, word)) {
        apr_table_setn(table, "Cache-Control", apr_pstrcat(r->pool, word, ", ", own, NULL));
    }
}

/* Is this our refusal, or the error document for it? */
static bool is_refused(const request_rec *r)
{
    for (; r != NULL; r = r->prev) {
        if (apr_table_get(r->notes, TRH_REFUSED_NOTE) != NULL) {
            return true;
        }
    }
    return false;
}

/*
 * The nearest request of this one's history that showed a token, good or, where that is no matter, bad; to an expression, good; NULL:
 * none did.
 */
static const trh_request_t *shown_by(const request_rec *r)
{
    const trh_request_t *request;

    for (; r != NULL; r = r->prev) {
        request = trh_record(r);
        if (request != NULL && (request->identity != NULL || request->verdict != TR_NO_TOKEN)) {
            return request;
        }
        if (trh_claims_seen(&request, r) && request != NULL) {
            return request;
        }
    }
    return NULL;
}

/* Does this location know its users, and show itself also to others? */
static bool is_optional(request_rec *r)
{
    return trh_dir(r)->optional == 1 && trh_is_bearer(r);
}

/* Caches know the Authorization header (RFC 9111 3.5); several tokens at once may have come in any way. */
static bool is_credential(const trh_request_t *request)
{
    return request->source.kind == TR_FROM_AUTHORIZATION && request->verdict != TR_MULTIPLE_TOKENS;
}

static void add_vary_of(request_rec *r, const tr_source_t *source)
{
    if (source->kind == TR_FROM_COOKIE) {
        add_vary(r, "Cookie");
    }
    else if (source->kind == TR_FROM_HEADER || source->kind == TR_FROM_AUTHORIZATION) {
        add_vary(r, source->name);
    }
}

/* With or without a token: another one would have got another answer. */
static void add_vary_of_all(request_rec *r)
{
    const trh_request_t *seen;

    for (request_rec *one = r; one != NULL; one = one->prev) {
        const apr_array_header_t *sources = trh_sources(trh_dir(one));
        bool depends = is_optional(one) || trh_claims_seen(&seen, one);

        for (int i = 0; depends && i < sources->nelts; i++) {
            add_vary_of(r, &APR_ARRAY_IDX(sources, i, tr_source_t));
        }
    }
}

static void mark(request_rec *r)
{
    const trh_request_t *request = shown_by(r);

    if (is_refused(r)) {
        add_cache_control(r, "no-store", "no-store");
    }
    if (request != NULL && !is_credential(request)) {
        if (!is_refused(r)) {
            add_cache_control(r, "private", request->source.kind == TR_FROM_COOKIE ? "no-store" : "private");
        }
        add_vary_of(r, &request->source);
    }
    add_vary_of_all(r);
}

static apr_status_t mark_private(ap_filter_t *f, apr_bucket_brigade *bb)
{
    ap_remove_output_filter(f);
    mark(f->r);
    return ap_pass_brigade(f->next, bb);
}

void trh_register_filter(void)
{
    filter = ap_register_output_filter(FILTER_NAME, mark_private, NULL, AP_FTYPE_CONTENT_SET);
    early_filter = ap_register_output_filter(EARLY_FILTER_NAME, mark_private, NULL, AP_FTYPE_RESOURCE - 1);
}

static bool has_filter(const request_rec *r, const ap_filter_rec_t *wanted, const char *name)
{
    for (ap_filter_t *f = r->output_filters; f != NULL; f = f->next) {
        if (f->r == r && (f->frec == wanted || (name != NULL && strcasecmp(f->frec->name, name) == 0))) {
            return true;
        }
    }
    return false;
}

static bool is_marked(request_rec *r)
{
    const trh_request_t *request = shown_by(r);

    if (is_refused(r) || (request != NULL && !is_credential(request))) {
        return true;
    }
    for (; r != NULL; r = r->prev) {
        if (is_optional(r) || trh_may_see_claims(r)) {
            return true;
        }
    }
    return false;
}

void trh_insert_filter(request_rec *r)
{
    if (r->main != NULL || !is_marked(r)) {
        return;
    }
    if (!has_filter(r, filter, NULL)) {
        ap_add_output_filter_handle(filter, NULL, r, r->connection);
    }
    /* mod_cache can be told to keep what comes from the application, before other filters change it. */
    if (has_filter(r, NULL, MOD_CACHE_FILTER) && !has_filter(r, early_filter, NULL)) {
        ap_add_output_filter_handle(early_filter, NULL, r, r->connection);
    }
}
