/*
 * tr_backchannel.c: OpenID Connect Back-Channel Logout 1.0, what a logout token must be (2.4, 2.6) and what it does (2.7, 2.8).
 *
 *   read the token -> was it used? -> end the session or subject: in force, then stored -> remember that it was used -> 200
 *
 * It is remembered last, so that a logout that failed anywhere before may be repeated with the same token.
 */
#include "tr_backchannel.h"

#include "tr_digest.h"
#include "tr_reason.h"

#define EVENT "http://schemas.openid.net/event/backchannel-logout"
#define REASON "back-channel logout"

/* ---- the token --------------------------------------------------------------------------------------------- */

static const tr_json_t *claim(const tr_token_t *token, const char *name)
{
    return tr_json_get(token->jws.payload, name);
}

/* RFC 8725 3.11: a token that says it is something else is something else. An empty typ is no type. */
static bool is_type_right(const tr_token_t *token)
{
    return tr_json_get(token->jws.header, "typ") == NULL || tr_token_has_type(token, "logout+jwt") ||
           tr_token_has_type(token, "JWT");
}

static bool is_object(const tr_json_t *value)
{
    return value != NULL && tr_json_type(value) == TR_JSON_OBJECT;
}

/* A claim that may be left out, but not left empty. */
static bool is_empty(const tr_token_t *token, const char *name, tr_str_t value)
{
    return value.len == 0 && claim(token, name) != NULL;
}

/* 2.4 and 2.6 (4) to (7). NULL, or what is wrong. */
static const char *fault_of_claims(const tr_token_t *token)
{
    if (token->iss.len == 0 || token->jti.len == 0 || !token->has_iat) {
        return "The logout token must have iss, aud, iat, exp, jti and events";
    }
    if (!is_object(tr_json_get(claim(token, "events"), EVENT))) {
        return "The claim events must be an object with the member " EVENT ", an object";
    }
    /* By presence: whatever its value is, this is an ID token. */
    if (claim(token, "nonce") != NULL) {
        return "A logout token must not have a nonce";
    }
    if (is_empty(token, "sub", token->sub) || is_empty(token, "sid", token->sid) || token->sub.len + token->sid.len == 0) {
        return "The logout token must have a sub or a sid, and neither may be empty";
    }
    return NULL;
}

/* The issuer's rules, as for its other tokens. */
static apr_status_t check_rules(const tr_token_t *token, apr_time_t now)
{
    apr_status_t rv = tr_token_check_begin(token, now);

    if (rv == APR_SUCCESS) {
        rv = tr_token_check_lifetime(token, now);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_token_check_logout_audience(token);
    }
    return rv == APR_SUCCESS && !is_type_right(token) ? TR_TOKEN_TYPE : rv;
}

/* 2.7: a sid names one session; without it, all of the subject's are meant. */
static apr_status_t find_ends(tr_logout_token_t *out, const tr_keep_t *keep, apr_time_t now, apr_pool_t *pool)
{
    tr_entry_t entries[TR_SCOPE_ENTRIES];
    tr_scope_t scope = out->token.sid.len > 0 ? TR_SCOPE_SESSION : TR_SCOPE_SUBJECT;
    int n;
    apr_status_t rv = tr_gate_scope(entries, &n, &out->token, scope, keep, now, pool);

    if (rv == APR_SUCCESS && n != TR_SCOPE_ENTRIES) {
        rv = APR_EGENERAL;
    }
    if (rv == APR_SUCCESS) {
        out->used = entries[0];
        out->used.kind = TR_KIND_LOGOUT;
        out->session = entries[1];
    }
    return rv;
}

apr_status_t tr_logout_token_read(tr_logout_token_t *out, const char **why, const tr_gate_t *gate, tr_str_t text,
                                  const tr_keep_t *keep, apr_time_t now, apr_pool_t *pool)
{
    apr_status_t rv = tr_gate_recognize(&out->token, gate, text, now, pool);

    if (rv == APR_SUCCESS) {
        rv = check_rules(&out->token, now);
    }
    if (rv != APR_SUCCESS) {
        *why = tr_reason(rv)->sentence;
        return rv;
    }
    *why = fault_of_claims(&out->token);
    return *why != NULL ? TR_MALFORMED : find_ends(out, keep, now, pool);
}

/* ---- the answer -------------------------------------------------------------------------------------------- */

/* 2.8: 400, and the provider may try again. */
static void answer_failed(tr_answer_t *out, apr_status_t verdict, apr_pool_t *pool)
{
    out->verdict = verdict;
    tr_answer_error(out, TR_ANSWERS_RFC7009, 400, "temporarily_unavailable", "The logout could not be stored now", pool);
}

static void answer_refused(tr_answer_t *out, apr_status_t verdict, const char *why, apr_pool_t *pool)
{
    out->verdict = verdict;
    out->detail = why;
    tr_answer_error(out, TR_ANSWERS_RFC7009, 400, "invalid_request", why, pool);
}

static bool was_used(const tr_gate_t *gate, const tr_entry_t *used)
{
    return tr_table_lookup(gate->table, NULL, tr_table_mark(gate->table, used->kind, used->issuer, used->value));
}

/* In force and stored before anybody hears of it: APR_SUCCESS, or why not. */
static apr_status_t end_session(const tr_backchannel_request_t *request, const tr_logout_token_t *logout, tr_ledger_t *ledger)
{
    tr_circumstances_t circumstances = request->circumstances;

    circumstances.reason = tr_str_z(REASON);
    return tr_ledger_revoke(ledger, &logout->session, &circumstances, request->clean_now);
}

/*
 * Of several requests with one token that are here at the same time, one finds it unused. That it could not be stored is no
 * reason to tell the provider that the logout failed: it is done, this server remembers the token, and the store tries again.
 */
static void remember(tr_answer_t *out, const tr_backchannel_request_t *request, const tr_logout_token_t *logout,
                     const tr_gate_t *gate, tr_ledger_t *ledger, apr_pool_t *pool)
{
    tr_revocation_t used = {.entry = logout->used, .circumstances = request->circumstances};
    apr_status_t rv;

    used.circumstances.reason = tr_str_z(REASON);
    rv = tr_ledger_revoke_all(ledger, &used, 1, false, request->clean_now);
    if (used.was_there) {
        answer_refused(out, TR_REVOKED, "The logout token was used before", pool);
        return;
    }
    if (rv != APR_SUCCESS && !was_used(gate, &logout->used)) {
        answer_failed(out, rv, pool);
        return;
    }
    out->status = 200;
    out->verdict = rv;
    out->body = "{}";
}

static void answer_token(tr_answer_t *out, const tr_backchannel_request_t *request, tr_str_t text, const tr_gate_t *gate,
                         tr_ledger_t *ledger, apr_pool_t *pool)
{
    tr_logout_token_t logout;
    const char *why;
    apr_status_t rv = tr_logout_token_read(&logout, &why, gate, text, request->keep, request->now, pool);

    if (tr_is_refusal(rv)) {
        answer_refused(out, rv, why, pool);
        return;
    }
    if (rv == APR_SUCCESS && (ledger == NULL || gate->table == NULL)) {
        rv = APR_EGENERAL;
    }
    if (rv == APR_SUCCESS && was_used(gate, &logout.used)) {
        answer_refused(out, TR_REVOKED, "The logout token was used before", pool);
        return;
    }
    /* It may have been used at another server that shares the store. */
    if (rv == APR_SUCCESS && gate->is_informed != NULL && !gate->is_informed()) {
        rv = TR_GATE_UNINFORMED;
    }
    if (rv == APR_SUCCESS) {
        rv = end_session(request, &logout, ledger);
    }
    if (rv != APR_SUCCESS) {
        answer_failed(out, rv, pool);
        return;
    }
    remember(out, request, &logout, gate, ledger, pool);
}

void tr_backchannel_answer(tr_answer_t *out, const tr_backchannel_request_t *request, const tr_gate_t *gate, tr_ledger_t *ledger,
                           apr_pool_t *pool)
{
    tr_str_t text;

    memset(out, 0, sizeof(*out));
    if (request->type != TR_BODY_FORM) {
        tr_answer_refuse(out, TR_ANSWERS_RFC7009, 400, "The body must be application/x-www-form-urlencoded", pool);
        return;
    }
    if (tr_params_get(&text, request->params, "logout_token") != APR_SUCCESS) {
        tr_answer_refuse(out, TR_ANSWERS_RFC7009, 400, "The parameter logout_token is missing", pool);
        return;
    }
    out->fingerprint = tr_fingerprint(text, pool);
    answer_token(out, request, text, gate, ledger, pool);
}
