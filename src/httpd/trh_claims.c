/*
 * trh_claims.c: the function token_claim() of httpd's expressions. Where authn has not run, because the expression stands in <If>,
 * SetEnvIfExpr or Require, or the location is open, it looks for the token itself. That opens nothing:
 *
 *   Require expr, before authn     false: 403 ──> OK, owed ──┐
 *                                  true with a token: owed ──┴─> force_authn: OK ──> check_authn ──> check_authz: settled
 *                                  true without: OK                                  (refuses)       (asks Require once more)
 *
 * so that who is let in by a claim is a user like any other, and who is not gets 401 with a challenge.
 */
#include "trh.h"

#include <stdatomic.h>

#include <ap_expr.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_request.h>

#include "tr_limits.h"
#include "tr_recent.h"
#include "tr_require.h"

#define VIEWS "tokrevoke-claims"
#define FUNCTION "token_claim"

/* What a request's expressions see, where authn has not run. */
typedef struct view_t {
    struct view_t *older; /* of other requests in the same pool, as redirects are */
    const request_rec *r;
    const apr_array_header_t *sources; /* the token was looked for here; NULL: it was not */
    const char *user_claim;
    const apr_array_header_t *fields; /* TokRevokeClaimHeader: what cannot be one of them is no good token */
    trh_request_t found;              /* identity NULL: there is no good token */
    bool is_busy;                     /* AuthType may be an expression */
    bool is_asked;                    /* since access was asked for */
    bool in_access;
    bool is_owed; /* access was granted under the condition that authn and authz run */
} view_t;

/* Some expression uses the function: else nothing here costs anything. */
static atomic_bool is_used;

static view_t *find_view(const request_rec *r)
{
    void *views = NULL;
    view_t *view;

    (void)apr_pool_userdata_get(&views, VIEWS, r->pool);
    for (view = views; view != NULL && view->r != r; view = view->older) {
    }
    return view;
}

static view_t *need_view(request_rec *r)
{
    view_t *view = find_view(r);
    void *views = NULL;

    if (view == NULL) {
        (void)apr_pool_userdata_get(&views, VIEWS, r->pool);
        view = apr_pcalloc(r->pool, sizeof(*view));
        view->r = r;
        view->older = views;
        (void)apr_pool_userdata_setn(view, VIEWS, NULL, r->pool);
    }
    return view;
}

/* ---- the token ---------------------------------------------------------------------------------------------- */

static bool are_same(const apr_array_header_t *a, const apr_array_header_t *b)
{
    if (a == b) {
        return true;
    }
    if (a == NULL || b == NULL || a->nelts != b->nelts) {
        return false;
    }
    for (int i = 0; i < a->nelts; i++) {
        if (!tr_source_eq(&APR_ARRAY_IDX(a, i, tr_source_t), &APR_ARRAY_IDX(b, i, tr_source_t))) {
            return false;
        }
    }
    return true;
}

/* All that the gate checks, revocation too; once for each configuration that looks elsewhere. */
static void look(view_t *view, request_rec *r)
{
    const apr_array_header_t *sources = trh_sources(trh_dir(r));
    const char *user_claim = trh_user_claim(r);
    trh_found_t found = {{NULL, 0}, {TR_FROM_AUTHORIZATION, NULL}};
    tr_identity_t identity;

    if (are_same(view->sources, sources) && strcmp(view->user_claim, user_claim) == 0 &&
        view->fields == trh_dir(r)->claim_headers) {
        return;
    }
    view->sources = sources;
    view->user_claim = user_claim;
    view->fields = trh_dir(r)->claim_headers;
    view->found.identity = NULL;
    if (trh_find_token(&found, r, sources) == APR_SUCCESS &&
        tr_gate_admit(&identity, trh_gate(r), found.token, user_claim, apr_time_now(), r->pool) == APR_SUCCESS &&
        trh_check_claim_headers(r, &identity) == APR_SUCCESS) {
        view->found.token = found.token;
        view->found.source = found.source;
        view->found.identity = apr_pmemdup(r->pool, &identity, sizeof(identity));
    }
}

/* That of the request which this one comes from, where httpd does not authenticate anew. */
static const trh_request_t *inherited(const request_rec *r, bool is_bearer)
{
    const request_rec *from = trh_origin(r);

    return !is_bearer || (from != NULL && from->per_dir_config == r->per_dir_config) ? trh_request_of(r) : NULL;
}

/* Whose claims count here; NULL: nobody's. */
static const tr_identity_t *find_identity(request_rec *r)
{
    const trh_request_t *request = trh_record(r);
    bool is_bearer;
    view_t *view;

    /* authn has decided */
    if (request != NULL || apr_table_get(r->notes, "tokrevoke-reason") != NULL) {
        return request != NULL ? request->identity : NULL;
    }
    view = need_view(r);
    if (view->is_busy) {
        return NULL;
    }
    view->is_busy = true;
    is_bearer = trh_is_bearer(r);
    request = inherited(r, is_bearer);
    if (request == NULL && is_bearer) {
        view->is_asked = true;
        look(view, r);
        request = &view->found;
    }
    view->is_busy = false;
    return request != NULL ? request->identity : NULL;
}

bool trh_claims_seen(const trh_request_t **found, const request_rec *r)
{
    const view_t *view = atomic_load_explicit(&is_used, memory_order_relaxed) ? find_view(r) : NULL;

    if (view == NULL || view->sources == NULL || trh_record(r) != NULL) {
        return false;
    }
    *found = view->found.identity != NULL ? &view->found : NULL;
    return true;
}

void trh_take_over_claims(request_rec *r, const request_rec *part)
{
    const view_t *seen = atomic_load_explicit(&is_used, memory_order_relaxed) ? find_view(part) : NULL;
    view_t *view;

    if (seen == NULL || seen->sources == NULL) {
        return;
    }
    view = need_view(r);
    if (view->found.identity == NULL) {
        view->sources = seen->sources;
        view->user_claim = seen->user_claim;
        view->fields = seen->fields;
        view->found = seen->found;
    }
}

bool trh_may_see_claims(request_rec *r)
{
    return atomic_load_explicit(&is_used, memory_order_relaxed) && trh_record(r) == NULL && trh_is_bearer(r);
}

/* ---- the function ------------------------------------------------------------------------------------------- */

static const tr_json_t *payload_of(const ap_expr_eval_ctx_t *ctx)
{
    const tr_identity_t *identity = ctx->r != NULL ? find_identity(ctx->r) : NULL;

    return identity != NULL ? tr_recent_payload(identity, ctx->r->pool) : NULL;
}

static const char *token_claim(ap_expr_eval_ctx_t *ctx, const void *data, const char *name)
{
    const tr_json_t *payload = payload_of(ctx);
    const char *text = payload != NULL ? tr_require_show(payload, name, ctx->p) : NULL;

    (void)data;
    return text != NULL ? text : "";
}

static bool add_text(void *baton, tr_str_t text)
{
    apr_array_header_t *list = baton;

    APR_ARRAY_PUSH(list, const char *) = tr_str_dup_z(text, list->pool);
    return false;
}

/* Behind "in": the elements of an array, or the one value. */
static apr_array_header_t *token_claim_list(ap_expr_eval_ctx_t *ctx, const void *data, const char *name)
{
    const tr_json_t *payload = payload_of(ctx);
    apr_array_header_t *list = apr_array_make(ctx->p, 4, sizeof(const char *));

    (void)data;
    if (payload != NULL) {
        (void)tr_require_any(payload, name, add_text, list, ctx->p);
    }
    return list;
}

int trh_find_function(ap_expr_lookup_parms *parms)
{
    const char *err;

    if ((parms->type != AP_EXPR_FUNC_STRING && parms->type != AP_EXPR_FUNC_LIST) || strcasecmp(parms->name, FUNCTION) != 0) {
        return DECLINED;
    }
    err = parms->arg != NULL ? trh_check_claim_name(parms->pool, parms->arg) : NULL;
    if (err != NULL) {
        *parms->err = apr_pstrcat(parms->pool, FUNCTION ": ", err, NULL);
        return !OK;
    }
    *parms->func = parms->type == AP_EXPR_FUNC_LIST ? (const void *)token_claim_list : (const void *)token_claim;
    *parms->data = NULL;
    atomic_store_explicit(&is_used, true, memory_order_relaxed);
    return OK;
}

/* ---- Require expr ------------------------------------------------------------------------------------------- */

int trh_check_access(request_rec *r)
{
    bool is_good;
    view_t *view;
    int status;

    if (!atomic_load_explicit(&is_used, memory_order_relaxed) || !trh_is_bearer(r)) {
        return DECLINED;
    }
    view = need_view(r);
    if (view->in_access) {
        return DECLINED;
    }
    view->is_owed = false;
    view->is_asked = false;
    view->in_access = true;
    status = ap_run_access_checker_ex(r);
    view->in_access = false;
    is_good = view->found.identity != NULL;
    if (!view->is_asked || (status != HTTP_FORBIDDEN && (status != OK || !is_good))) {
        return status;
    }
    view->is_owed = true;
    return OK;
}

int trh_force_decision(request_rec *r)
{
    const view_t *view = atomic_load_explicit(&is_used, memory_order_relaxed) ? find_view(r) : NULL;

    return view != NULL && view->is_owed ? OK : DECLINED;
}

void trh_settle_access(request_rec *r)
{
    view_t *view = atomic_load_explicit(&is_used, memory_order_relaxed) ? find_view(r) : NULL;

    if (view != NULL) {
        view->is_owed = false;
    }
}

int trh_check_settled(request_rec *r)
{
    if (trh_force_decision(r) != OK) {
        return DECLINED;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "TR062: another module kept httpd from asking who this is, which Require expr with " FUNCTION
                  "() needs; answered 403");
    return HTTP_FORBIDDEN;
}
