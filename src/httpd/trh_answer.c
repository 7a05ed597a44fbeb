/* trh_answer.c: how we answer ourselves: refusals of protected resources, and JSON. */
#include "trh.h"
#include "trh_body.h"

#include <stdlib.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>

#include "tr_digest.h"

/* ---- what the client wants --------------------------------------------------------------------------------- */

/* The weight of one element of Accept (RFC 9110 12.4.2), without its parameters in element. */
static double take_weight(char *element)
{
    char *semicolon = strchr(element, ';');
    double q = 1.0;

    while (semicolon != NULL) {
        char *p = semicolon + 1;

        *semicolon = '\0';
        while (apr_isspace(*p)) {
            p++;
        }
        if ((p[0] == 'q' || p[0] == 'Q') && p[1] == '=') {
            q = strtod(p + 2, NULL);
        }
        semicolon = strchr(p, ';');
    }
    apr_collapse_spaces(element, element);
    return q;
}

static bool is_html(const char *type)
{
    return strcasecmp(type, "text/html") == 0 || strcasecmp(type, "application/xhtml+xml") == 0;
}

static bool is_json(const char *type)
{
    apr_size_t len = strlen(type);

    return strcasecmp(type, "application/json") == 0 ||
           (len > 17 && strncasecmp(type, "application/", 12) == 0 && strcasecmp(type + len - 5, "+json") == 0);
}

/* How much the client wants each; "*" ranges are no wish (RFC 9110 12.5.1). */
static void weigh(double *html, double *json, const request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    char *next;

    *html = 0;
    *json = 0;
    /* The second is what most programs send. */
    if (accept == NULL || strcmp(accept, "*/*") == 0) {
        return;
    }
    for (char *one = apr_strtok(apr_pstrdup(r->pool, accept), ",", &next); one != NULL; one = apr_strtok(NULL, ",", &next)) {
        double q = take_weight(one);

        if (is_html(one) && q > *html) {
            *html = q;
        }
        if (is_json(one) && q > *json) {
            *json = q;
        }
    }
}

bool trh_wants_html(const request_rec *r)
{
    double html, json;

    weigh(&html, &json, r);
    return html > json;
}

bool trh_wants_json(const request_rec *r)
{
    double html, json;

    weigh(&html, &json, r);
    return json > html;
}

/* ---- writing ----------------------------------------------------------------------------------------------- */

void trh_send_text(request_rec *r, int status, const char *type, const char *body)
{
    r->status = status;
    r->status_line = ap_get_status_line(status);
    ap_set_content_type(r, type);
    ap_set_content_length(r, (apr_off_t)strlen(body));
    ap_rputs(body, r);
}

void trh_set_retry_after(request_rec *r, int after_s)
{
    if (after_s > 0) {
        apr_table_setn(r->err_headers_out, "Retry-After", apr_itoa(r->pool, after_s));
    }
}

void trh_send_json(request_rec *r, int status, const char *body)
{
    trh_send_text(r, status, "application/json", body);
}

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/* httpd has put backslashes before quotes, but lets one at the end stand, which would swallow our quote. */
const char *trh_realm(request_rec *r)
{
    const char *name = ap_auth_name(r);
    char *realm, *to;

    if (name == NULL) {
        return "protected";
    }
    realm = to = apr_palloc(r->pool, 2 * strlen(name) + 1);
    for (const char *p = name; *p != '\0'; p++) {
        bool is_pair = p[0] == '\\' && (p[1] == '"' || p[1] == '\\');

        if (is_control(*p)) {
            continue;
        }
        if (is_pair || *p == '"' || *p == '\\') {
            *to++ = '\\';
        }
        p += is_pair;
        *to++ = *p;
    }
    *to = '\0';
    return realm;
}

/* The scopes that would help; each is a scope-token and needs no escapes. */
static const char *scopes(request_rec *r, const tr_reason_t *reason)
{
    const trh_request_t *request = reason == tr_reason_forbidden() ? trh_request(r) : NULL;

    if (request == NULL || request->lacks == NULL) {
        return "";
    }
    return apr_pstrcat(r->pool, ", scope=\"", apr_array_pstrcat(r->pool, request->lacks, ' '), "\"", NULL);
}

/* RFC 6750 3: realm once, the error only where there is one. */
static const char *challenge(request_rec *r, const tr_reason_t *reason)
{
    if (reason->oauth_error == NULL) {
        return apr_pstrcat(r->pool, "Bearer realm=\"", trh_realm(r), "\"", NULL);
    }
    return apr_pstrcat(r->pool, "Bearer realm=\"", trh_realm(r), "\", error=\"", reason->oauth_error, "\", error_description=\"",
                       reason->sentence, "\"", scopes(r, reason), NULL);
}

/* All values come from the table of reasons and need no escapes. */
static const char *json_body(const tr_reason_t *reason, apr_pool_t *pool)
{
    bool has_type = reason->error_type != NULL;

    if (reason->oauth_error == NULL) {
        return apr_pstrcat(pool, "{\"message\":\"", reason->message, "\"}", NULL);
    }
    return apr_pstrcat(pool, "{\"error\":\"", reason->oauth_error, "\",\"error_description\":\"", reason->sentence,
                       "\",\"message\":\"", reason->message, has_type ? "\",\"error_type\":\"" : "",
                       has_type ? reason->error_type : "", "\"}", NULL);
}

void trh_log_verdict(request_rec *r, const char *what, const tr_reason_t *reason, apr_status_t rv, tr_str_t token)
{
    /* All requests get this answer then; the cause was logged once. */
    if (rv == TR_GATE_UNINFORMED) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "%s: the store has not been read for TokRevokeMaxStaleness", what);
        return;
    }
    if (rv == TR_BUSY) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "%s: too many forged tokens came from this client", what);
        return;
    }
    if (reason->http_status == HTTP_SERVICE_UNAVAILABLE) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      "TR001: %s: the token could not be checked (OpenSSL, memory or the table failed)", what);
        return;
    }
    /* The fingerprint costs a hash, so it is made only for a log that wants it. */
    if (APLOG_R_IS_LEVEL(r, APLOG_INFO)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "%s: %s, token %s", what, reason->word,
                      token.len > 0 ? tr_fingerprint(token, r->pool) : "-");
    }
}

int trh_refuse(request_rec *r, const tr_reason_t *reason, apr_status_t rv, tr_str_t token)
{
    int status = reason->http_status;

    apr_table_setn(r->notes, "tokrevoke-reason", reason->word);
    apr_table_setn(r->notes, TRH_REFUSED_NOTE, "1");
    apr_table_setn(r->subprocess_env, "TOKREVOKE_REASON", reason->word);
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    if (status == HTTP_SERVICE_UNAVAILABLE || status == HTTP_TOO_MANY_REQUESTS) {
        trh_set_retry_after(r, TR_RETRY_AFTER_S);
        apr_table_unset(r->err_headers_out, "WWW-Authenticate");
    }
    else {
        apr_table_setn(r->err_headers_out, "WWW-Authenticate", challenge(r, reason));
    }
    trh_add_cors(r);
    trh_log_verdict(r, "refused", reason, rv, token);
    if (status == HTTP_UNAUTHORIZED && trh_send_to_login(r)) {
        return HTTP_MOVED_TEMPORARILY;
    }
    trh_discard_body(r);
    /* A subrequest's answer is its caller's business. */
    if (r->main != NULL || trh_wants_html(r)) {
        return status;
    }
    ap_run_insert_error_filter(r);
    trh_send_json(r, status, json_body(reason, r->pool));
    return DONE;
}
