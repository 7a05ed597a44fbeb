/*
 * trh_cors.c: cross-origin calls from browsers (the Fetch standard's CORS protocol; RFC 7009 2.3). Runs before anything
 * demands authentication, because a preflight carries no credentials and a refusal must be readable too.
 */
#include "trh.h"

#include <ap_expr.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#define MAX_AGE_S "600"

/* What to answer in Access-Control-Allow-Origin; NULL: no origin, or one that is not listed. */
static const char *allowed_origin(const request_rec *r)
{
    const apr_array_header_t *origins = trh_dir(r)->origins;
    const char *origin = apr_table_get(r->headers_in, "Origin");

    for (int i = 0; origin != NULL && origins != NULL && i < origins->nelts; i++) {
        const char *listed = APR_ARRAY_IDX(origins, i, const char *);

        if (strcmp(listed, "*") == 0 || strcmp(listed, origin) == 0) {
            return listed;
        }
    }
    return NULL;
}

void trh_add_cors(request_rec *r)
{
    const char *allowed = allowed_origin(r);

    if (trh_dir(r)->origins == NULL) {
        return;
    }
    apr_table_mergen(r->err_headers_out, "Vary", "Origin");
    if (allowed != NULL) {
        apr_table_setn(r->err_headers_out, "Access-Control-Allow-Origin", allowed);
    }
}

/* SetHandler, which is an expression, is put in force only later in the request, but can be asked now. */
static bool is_our_endpoint(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *handler = core->handler;
    const char *err;

    if (core->expr_handler != NULL) {
        handler = ap_expr_str_exec(r, core->expr_handler, &err);
    }
    return trh_is_endpoint(handler);
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
    bool endpoint;

    if (trh_dir(r)->origins == NULL || r->main != NULL) {
        return DECLINED;
    }
    endpoint = is_our_endpoint(r);
    if (!endpoint && !trh_is_bearer(r)) {
        return DECLINED;
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
