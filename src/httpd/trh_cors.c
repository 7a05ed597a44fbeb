/*
 * trh_cors.c: cross-origin calls from browsers (the Fetch standard's CORS protocol; RFC 7009 2.3). Runs before anything
 * demands authentication, because a preflight carries no credentials and a refusal must be readable too.
 */
#include "trh.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#include "tr_site.h"

#define MAX_AGE_S "600"

static bool is_listed(const request_rec *r, const char *origin)
{
    const apr_array_header_t *origins = trh_dir(r)->origins;

    for (int i = 0; origin != NULL && origins != NULL && i < origins->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(origins, i, const char *), origin) == 0) {
            return true;
        }
    }
    return false;
}

bool trh_is_listed_origin(const request_rec *r)
{
    const char *origin = apr_table_get(r->headers_in, "Origin");

    return origin != NULL && strcmp(origin, "*") != 0 && is_listed(r, origin);
}

bool trh_is_foreign(const request_rec *r)
{
    return tr_site_is_foreign(apr_table_get(r->headers_in, "Sec-Fetch-Site"), apr_table_get(r->headers_in, "Origin"),
                              ap_http_scheme(r), apr_table_get(r->headers_in, "Host"));
}

/* What to answer in Access-Control-Allow-Origin; NULL: no origin, or one that is not listed. */
static const char *allowed_origin(const request_rec *r)
{
    const char *origin = apr_table_get(r->headers_in, "Origin");

    if (trh_is_listed_origin(r)) {
        return origin;
    }
    return origin != NULL && is_listed(r, "*") ? "*" : NULL;
}

void trh_add_cors(request_rec *r)
{
    const char *allowed;

    if (trh_dir(r)->origins == NULL) {
        return;
    }
    allowed = allowed_origin(r);
    apr_table_mergen(r->err_headers_out, "Vary", "Origin");
    if (allowed != NULL) {
        apr_table_setn(r->err_headers_out, "Access-Control-Allow-Origin", allowed);
    }
}

/* A list of names that can be said back to the client, or by_default. */
static const char *echo(const request_rec *r, const char *field, const char *by_default)
{
    const char *asked = apr_table_get(r->headers_in, field);

    for (const char *p = asked; p != NULL && *p != '\0'; p++) {
        if (!apr_isalnum(*p) && strchr("-_, ", *p) == NULL) {
            return by_default;
        }
    }
    return asked != NULL ? asked : by_default;
}

/* Our endpoints know what they take; an application behind a protected location may take anything. */
static int answer_preflight(request_rec *r, bool endpoint)
{
    const char *methods = endpoint ? "POST" : echo(r, "Access-Control-Request-Method", "GET");
    const char *headers = "Authorization, Content-Type";

    trh_add_cors(r);
    if (!endpoint) {
        headers = echo(r, "Access-Control-Request-Headers", headers);
    }
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Methods", methods);
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Headers", headers);
    apr_table_setn(r->err_headers_out, "Access-Control-Max-Age", MAX_AGE_S);
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    return HTTP_NO_CONTENT;
}

int trh_cors(request_rec *r)
{
    const char *handler;
    bool endpoint;

    if (trh_dir(r)->origins == NULL || r->main != NULL) {
        return DECLINED;
    }
    handler = trh_configured_handler(r);
    endpoint = trh_is_endpoint(handler);
    if (!endpoint && !trh_is_bearer(r)) {
        return DECLINED;
    }
    /* Pages elsewhere log out with the cookies that they cannot see. */
    if (endpoint && strcmp(handler, TRH_LOGOUT_HANDLER) == 0 && trh_is_listed_origin(r)) {
        apr_table_setn(r->err_headers_out, "Access-Control-Allow-Credentials", "true");
    }
    if (r->method_number == M_OPTIONS && allowed_origin(r) != NULL &&
        apr_table_get(r->headers_in, "Access-Control-Request-Method") != NULL) {
        return answer_preflight(r, endpoint);
    }
    /* What an application answers is its own business; trh_refuse speaks for us. */
    if (endpoint) {
        trh_add_cors(r);
    }
    return DECLINED;
}
