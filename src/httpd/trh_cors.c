/*
 * trh_cors.c: cross-origin calls of our endpoints from browsers (the Fetch standard's CORS protocol; RFC 7009 2.3). Runs before anything
 * demands authentication, because a preflight carries no credentials and a refusal must be readable too.
 */
#include "trh.h"

#include <http_core.h>
#include <http_protocol.h>

#define MAX_AGE_S "600"

/* What to answer in Access-Control-Allow-Origin; NULL: this origin is not listed. */
static const char *allowed_origin(const trh_dir_t *dir, const char *origin)
{
    for (int i = 0; i < dir->origins->nelts; i++) {
        const char *listed = APR_ARRAY_IDX(dir->origins, i, const char *);

        if (strcmp(listed, "*") == 0 || strcmp(listed, origin) == 0) {
            return listed;
        }
    }
    return NULL;
}

/* SetHandler is in force only later in the request, but is known already. */
static bool is_our_endpoint(const request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);

    return core->handler != NULL && strcmp(core->handler, TRH_REVOKE_HANDLER) == 0;
}

static int answer_preflight(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Methods", "POST");
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Headers", "Authorization, Content-Type");
    apr_table_setn(r->err_headers_out, "Access-Control-Max-Age", MAX_AGE_S);
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    return HTTP_NO_CONTENT;
}

int trh_cors(request_rec *r)
{
    const trh_dir_t *dir = trh_dir(r);
    const char *origin = apr_table_get(r->headers_in, "Origin");
    const char *allowed;

    if (dir->origins == NULL || r->main != NULL || !is_our_endpoint(r)) {
        return DECLINED;
    }
    apr_table_mergen(r->err_headers_out, "Vary", "Origin");
    allowed = origin != NULL ? allowed_origin(dir, origin) : NULL;
    if (allowed == NULL) {
        return DECLINED;
    }
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Origin", allowed);
    if (r->method_number == M_OPTIONS && apr_table_get(r->headers_in, "Access-Control-Request-Method") != NULL) {
        return answer_preflight(r);
    }
    return DECLINED;
}
