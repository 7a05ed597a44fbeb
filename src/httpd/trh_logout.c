/*
 * trh_logout.c: SetHandler tokrevoke-logout. Revoke first, clear the cookies then: a cookie that is cleared and lives on is
 * worse than one that is left. They are cleared also where revoking failed, and the caller is told (503).
 */
#include "trh.h"
#include "trh_body.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>

#include "tr_limits.h"
#include "tr_logout.h"
#include "tr_query.h"

#define ALLOW "GET, HEAD, POST, OPTIONS"
#define CLEAR_SITE_DATA "\"cache\", \"storage\""

/* What the caller sent beside the tokens that lie in headers. */
typedef struct wish_t {
    const tr_params_t *params; /* of the body; NULL: none */
    tr_str_t redirect;         /* post_logout_redirect_uri; empty: none */
    tr_str_t state;
    tr_str_t token, refresh_token;
} wish_t;

/* ---- answers ----------------------------------------------------------------------------------------------- */

static void add_headers(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->err_headers_out, "Referrer-Policy", "no-referrer");
    apr_table_setn(r->err_headers_out, "X-Content-Type-Options", "nosniff");
}

/* People get httpd's own page, which ErrorDocument can replace. */
static int refuse(request_rec *r, int status, const char *code, const char *sentence)
{
    tr_answer_t answer = {.retry_after_s = status == HTTP_SERVICE_UNAVAILABLE ? TR_RETRY_AFTER_S : 0};

    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "not logged out: %d: %s", status, sentence);
    if (trh_wants_html(r) && status != HTTP_METHOD_NOT_ALLOWED) {
        trh_set_retry_after(r, answer.retry_after_s);
        return status;
    }
    tr_answer_error(&answer, TR_ANSWERS_RFC7009, status, code, sentence, r->pool);
    trh_send_answer(r, &answer);
    return OK;
}

static void clear_cookie(request_rec *r, const char *spec)
{
    bool https = strcmp(ap_http_scheme(r), "https") == 0;

    apr_table_addn(r->err_headers_out, "Set-Cookie", tr_logout_set_cookie(spec, https, trh_is_foreign(r), r->pool));
}

static void clear(request_rec *r)
{
    const trh_dir_t *dir = trh_dir(r);
    const apr_array_header_t *sources = trh_sources(dir);
    const char *data = dir->clear_site_data != NULL ? dir->clear_site_data : CLEAR_SITE_DATA;

    for (int i = 0; dir->logout_cookies != NULL && i < dir->logout_cookies->nelts; i++) {
        clear_cookie(r, APR_ARRAY_IDX(dir->logout_cookies, i, const char *));
    }
    for (int i = 0; dir->logout_cookies == NULL && i < sources->nelts; i++) {
        if (APR_ARRAY_IDX(sources, i, tr_source_t).kind == TR_FROM_COOKIE) {
            clear_cookie(r, APR_ARRAY_IDX(sources, i, tr_source_t).name);
        }
    }
    if (*data != '\0') {
        apr_table_setn(r->err_headers_out, "Clear-Site-Data", data);
    }
}

static int answer_done(request_rec *r, const wish_t *wish)
{
    const char *target = tr_logout_target(trh_dir(r)->logout_targets, wish->redirect, wish->state, r->pool);

    if (trh_wants_json(r) || (target == NULL && !trh_wants_html(r))) {
        trh_send_json(r, HTTP_OK, "{\"message\":\"Successfully logged out\"}");
        return OK;
    }
    if (target == NULL) {
        return trh_send_logged_out_page(r);
    }
    apr_table_setn(r->headers_out, "Location", target);
    return HTTP_SEE_OTHER;
}

/* ---- logging out ------------------------------------------------------------------------------------------- */

static bool collect(apr_array_header_t *tokens, request_rec *r, const wish_t *wish)
{
    return tr_logout_add_token(tokens, wish->token) && tr_logout_add_token(tokens, wish->refresh_token) &&
           trh_find_all(tokens, r, trh_sources(trh_dir(r)), wish->params);
}

static int log_out(request_rec *r, const wish_t *wish)
{
    const trh_dir_t *dir = trh_dir(r);
    apr_array_header_t *tokens = apr_array_make(r->pool, 4, sizeof(tr_str_t));
    tr_logout_request_t request = {.tokens = tokens, .refresh_token = wish->refresh_token};
    bool fits = collect(tokens, r, wish);
    tr_logout_result_t result;

    request.scope = dir->logout_scope == TRH_UNSET ? TR_SCOPE_TOKEN : (tr_scope_t)dir->logout_scope;
    request.is_known = trh_is_known(r);
    request.opaque_s = dir->opaque_s == TRH_UNSET ? 0 : dir->opaque_s;
    request.keep = trh_keep();
    request.circumstances = trh_circumstances(r);
    request.circumstances.reason = tr_str_z("logout");
    request.wall = apr_time_now();
    request.now = trh_clean_now();
    tr_logout_revoke(&result, &request, trh_gate(r), trh_ledger(), r->pool);
    clear(r);
    if (result.verdict != APR_SUCCESS) {
        trh_log_failure(r, result.verdict, apr_pstrcat(r->pool, "token ", *result.named != '\0' ? result.named : "-", NULL));
        return refuse(r, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable", "The tokens could not be revoked now");
    }
    /* Who set the others, on another host of this domain, must not keep anybody logged in. */
    if (!fits) {
        return refuse(r, HTTP_BAD_REQUEST, "invalid_request",
                      "There are more than " APR_STRINGIFY(TR_MAX_LOGOUT_TOKENS) " different tokens, and not all were revoked");
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "logged out: token %s; passed over: %s",
                  *result.named != '\0' ? result.named : "none", *result.passed_over != '\0' ? result.passed_over : "none");
    return answer_done(r, wish);
}

/* ---- POST -------------------------------------------------------------------------------------------------- */

/* OK; AP_FILTER_ERROR; or the status to answer, with a sentence. A body that is not read is a token that is not revoked. */
static int read_wish(wish_t *wish, const char **sentence, request_rec *r)
{
    const struct {
        const char *name;
        tr_str_t *value;
    } parameters[] = {{"token", &wish->token},
                      {"refresh_token", &wish->refresh_token},
                      {"post_logout_redirect_uri", &wish->redirect},
                      {"state", &wish->state}};
    tr_params_t *params;
    tr_body_type_t type;
    tr_str_t body;
    int status = trh_read_body(&body, sentence, r, TR_MAX_BODY_LEN);

    if (status != OK || body.len == 0) {
        return status;
    }
    status = trh_read_params(&params, &type, sentence, r, body);
    if (status != OK) {
        return status;
    }
    *sentence = "token, refresh_token, post_logout_redirect_uri and state must be strings";
    for (apr_size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
        if (tr_params_get(parameters[i].value, params, parameters[i].name) == APR_EINVAL) {
            return HTTP_BAD_REQUEST;
        }
    }
    wish->params = params;
    return OK;
}

static int answer_post(request_rec *r)
{
    wish_t wish = {.params = NULL};
    const char *sentence;
    int status;

    if (trh_is_foreign(r) && !trh_is_listed_origin(r)) {
        trh_discard_body(r);
        return refuse(r, HTTP_FORBIDDEN, "access_denied", "The request comes from a page of another site");
    }
    status = read_wish(&wish, &sentence, r);
    if (status == AP_FILTER_ERROR) {
        return status; /* an input filter has answered */
    }
    return status == OK ? log_out(r, &wish) : refuse(r, status, tr_answer_code(status), sentence);
}

/* ---- GET --------------------------------------------------------------------------------------------------- */

/* The address to post to: the one that the client asked for, with the tokens of its query, so that they are revoked too. */
static const char *own_address(const request_rec *r)
{
    const apr_array_header_t *sources = trh_sources(trh_dir(r));
    const char *args = r->args != NULL ? r->args : "";
    const request_rec *asked = r;
    const char *query = "";
    tr_str_t raw;

    while (asked->prev != NULL) {
        asked = asked->prev;
    }
    for (apr_size_t len; *args != '\0'; args += len + (args[len] == '&')) {
        len = strcspn(args, "&");
        for (int i = 0; i < sources->nelts; i++) {
            const tr_source_t *source = &APR_ARRAY_IDX(sources, i, tr_source_t);

            if (source->kind == TR_FROM_QUERY && tr_is_parameter(&raw, tr_str(args, len), source->name, r->pool)) {
                query = apr_pstrcat(r->pool, query, *query == '\0' ? "?" : "&", apr_pstrmemdup(r->pool, args, len), NULL);
            }
        }
    }
    return apr_pstrcat(r->pool, tr_logout_action(asked->parsed_uri.path != NULL ? asked->parsed_uri.path : r->uri, r->pool),
                       query, NULL);
}

/* Is this a page that its user wants to see? No picture or script that is fetched for another page, and nothing in advance. */
static bool is_visited(const request_rec *r)
{
    static const char *const destinations[] = {"document", "empty", "frame", "iframe"};
    const char *destination = apr_table_get(r->headers_in, "Sec-Fetch-Dest");

    if (apr_table_get(r->headers_in, "Sec-Purpose") != NULL || apr_table_get(r->headers_in, "Purpose") != NULL) {
        return false;
    }
    for (apr_size_t i = 0; destination != NULL && i < sizeof(destinations) / sizeof(destinations[0]); i++) {
        if (strcmp(destination, destinations[i]) == 0) {
            return true;
        }
    }
    return destination == NULL;
}

static int answer_get(request_rec *r)
{
    const char *args = r->args != NULL ? r->args : "";
    wish_t wish = {.params = NULL};

    trh_discard_body(r);
    if (!tr_query_value(&wish.redirect, args, "post_logout_redirect_uri", r->pool) ||
        !tr_logout_accepts(trh_dir(r)->logout_targets, wish.redirect)) {
        wish.redirect.len = 0;
    }
    if (wish.redirect.len == 0 || !tr_query_value(&wish.state, args, "state", r->pool)) {
        wish.state.len = 0;
    }
    if (trh_dir(r)->logout_get == 1 && !r->header_only && r->main == NULL && !trh_is_foreign(r) && is_visited(r)) {
        return log_out(r, &wish);
    }
    return trh_send_logout_page(r, own_address(r), wish.redirect, wish.state);
}

/* ---- the doors --------------------------------------------------------------------------------------------- */

int trh_logout_handler(request_rec *r)
{
    int status;

    add_headers(r);
    if (r->method_number == M_POST) {
        return answer_post(r);
    }
    if (r->method_number == M_GET) {
        return answer_get(r);
    }
    status = trh_refuse_method(r, ALLOW);
    return status == HTTP_METHOD_NOT_ALLOWED ? refuse(r, status, "invalid_request", "Only GET and POST are allowed") : status;
}

int trh_logout_instead(request_rec *r)
{
    int status;

    if (r->main != NULL || !trh_is_configured_for(r, TRH_LOGOUT_HANDLER)) {
        return DECLINED;
    }
    ap_run_insert_error_filter(r);
    status = trh_logout_handler(r);
    return status == OK ? DONE : status;
}
