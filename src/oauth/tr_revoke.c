/*
 * tr_revoke.c: the revocation endpoint. RFC 7009 2.2: a token that is no good is revoked already, so the answer is 200;
 * the strict dialect tells the caller instead. 200 is said only after the ledger has succeeded.
 */
#include "tr_digest.h"
#include "tr_limits.h"
#include "tr_oauth.h"
#include "tr_reason.h"

#define CHALLENGE "Bearer realm=\"token revocation\", error=\"invalid_token\""

static void answer_done(tr_answer_t *out, const tr_revoke_request_t *request, apr_status_t verdict)
{
    bool plain = request->answers == TR_ANSWERS_RFC7009 && request->type == TR_BODY_FORM;

    out->status = 200;
    out->verdict = verdict;
    out->body = plain ? "{}" : "{\"revoked\":true}";
}

static void answer_bad_token(tr_answer_t *out, const tr_revoke_request_t *request, apr_status_t verdict, const char *strict_error,
                             apr_pool_t *pool)
{
    if (request->answers == TR_ANSWERS_RFC7009) {
        answer_done(out, request, verdict);
        return;
    }
    out->verdict = verdict;
    out->challenge = CHALLENGE;
    tr_answer_error(out, TR_ANSWERS_STRICT, 401, NULL, strict_error, pool);
}

/* RFC 7009 2.2.1: 503, and the client must assume that the token still lives. */
static void answer_failed(tr_answer_t *out, const tr_revoke_request_t *request, apr_status_t verdict, apr_pool_t *pool)
{
    out->verdict = verdict;
    out->retry_after_s = TR_RETRY_AFTER_S;
    tr_answer_error(out, request->answers, request->answers == TR_ANSWERS_STRICT ? 500 : 503, "temporarily_unavailable",
                    "The token could not be revoked now", pool);
}

static apr_status_t read_params(tr_str_t *token, tr_str_t *reason, const char **why, const tr_params_t *params)
{
    tr_str_t hint;
    apr_status_t rv = tr_params_get(token, params, "token");

    *why = "The parameter token is missing";
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *why = "token_type_hint and reason must be strings";
    if (tr_params_get(&hint, params, "token_type_hint") == APR_EINVAL || tr_params_get(reason, params, "reason") == APR_EINVAL) {
        return APR_EINVAL;
    }
    if (reason->len > TR_MAX_REASON_LEN) {
        *why = "reason is longer than 1024 bytes";
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static apr_status_t revoke_entries(const tr_revoke_request_t *request, tr_str_t reason, const tr_entry_t *entries, int n,
                                   tr_ledger_t *ledger)
{
    tr_revocation_t list[TR_SCOPE_ENTRIES] = {{.seq = 0}};

    if (ledger == NULL) {
        return APR_EGENERAL;
    }
    for (int i = 0; i < n; i++) {
        list[i].entry = entries[i];
        list[i].circumstances = request->circumstances;
        list[i].circumstances.reason = reason;
    }
    return tr_ledger_revoke_all(ledger, list, n, false, request->clean_now);
}

static apr_status_t revoke_token(const tr_revoke_request_t *request, tr_str_t reason, const tr_token_t *token,
                                 const tr_gate_t *gate, tr_ledger_t *ledger, apr_pool_t *pool)
{
    tr_scope_t scope = tr_token_is_refresh(token) ? request->cascade : TR_SCOPE_TOKEN;
    tr_entry_t entries[TR_SCOPE_ENTRIES];
    int n;
    apr_status_t rv = tr_gate_scope(entries, &n, token, scope, request->keep, request->wall, pool);

    if (rv != APR_SUCCESS || (n > 1 && tr_scope_is_done(gate, ledger, token, entries, n, request->wall, pool))) {
        return rv;
    }
    return revoke_entries(request, reason, entries, n, ledger);
}

static apr_status_t revoke_opaque(const tr_revoke_request_t *request, tr_str_t reason, tr_str_t text, tr_ledger_t *ledger,
                                  apr_pool_t *pool)
{
    tr_entry_t entry;
    apr_status_t rv = tr_gate_entry_opaque(
        &entry, text, apr_time_sec(tr_later(request->wall, request->clean_now)) + 1 + request->opaque_s, pool);

    return rv == APR_SUCCESS ? revoke_entries(request, reason, &entry, 1, ledger) : rv;
}

/* RFC 7009 2.1: the token must have been issued to the client that asks. One that names no client may be anybody's. */
static bool is_of_another(const tr_revoke_request_t *request, const tr_token_t *token)
{
    if (request->client_id.len == 0 || token->client_id.len == 0) {
        return false;
    }
    return !tr_str_eq(token->client_id, request->client_id) || !tr_str_eq(token->azp, request->client_id);
}

static void answer_of_another(tr_answer_t *out, const tr_revoke_request_t *request, apr_pool_t *pool)
{
    bool is_strict = request->answers == TR_ANSWERS_STRICT;

    out->verdict = APR_EINVAL;
    out->detail = "the token was issued to another client";
    tr_answer_error(out, request->answers, 400, "invalid_grant",
                    is_strict ? "invalid_grant" : "The token was issued to another client", pool);
}

/* A token that a trusted issuer wrote. */
static void answer_token(tr_answer_t *out, const tr_revoke_request_t *request, const tr_token_t *token, tr_str_t reason,
                         const tr_gate_t *gate, tr_ledger_t *ledger, apr_pool_t *pool)
{
    apr_status_t rv;

    if (is_of_another(request, token)) {
        answer_of_another(out, request, pool);
        return;
    }
    if (request->answers == TR_ANSWERS_STRICT && tr_token_check_use(token) != APR_SUCCESS) {
        answer_bad_token(out, request, TR_TOKEN_USE, "unexpected token use", pool);
        return;
    }
    rv = revoke_token(request, reason, token, gate, ledger, pool);
    if (rv != APR_SUCCESS) {
        answer_failed(out, request, rv, pool);
        return;
    }
    answer_done(out, request, APR_SUCCESS);
}

/* Any other: of the issuer's own making, or no good at all. */
static void answer_other(tr_answer_t *out, const tr_revoke_request_t *request, tr_str_t text, apr_status_t verdict,
                         tr_str_t reason, tr_ledger_t *ledger, apr_pool_t *pool)
{
    tr_str_t opaque;
    apr_status_t rv = TR_MALFORMED;

    if (request->is_known && request->opaque_s != 0) {
        rv = tr_gate_opaque_text(&opaque, text, verdict, pool);
    }
    if (tr_is_refusal(rv)) {
        answer_bad_token(out, request, verdict, "invalid token", pool);
        return;
    }
    if (rv == APR_SUCCESS) {
        rv = revoke_opaque(request, reason, opaque, ledger, pool);
    }
    if (rv != APR_SUCCESS) {
        answer_failed(out, request, rv, pool);
        return;
    }
    answer_done(out, request, APR_SUCCESS);
}

void tr_revoke_answer(tr_answer_t *out, const tr_revoke_request_t *request, const tr_gate_t *gate, tr_ledger_t *ledger,
                      apr_pool_t *pool)
{
    tr_token_t token;
    tr_str_t text, reason;
    const char *why;
    apr_status_t rv;

    memset(out, 0, sizeof(*out));
    if (read_params(&text, &reason, &why, request->params) != APR_SUCCESS) {
        tr_answer_refuse(out, request->answers, 400, why, pool);
        return;
    }
    out->fingerprint = tr_fingerprint(text, pool);
    rv = tr_gate_recognize(&token, gate, text, request->now, pool);
    if (rv == APR_SUCCESS) {
        answer_token(out, request, &token, reason, gate, ledger, pool);
    }
    else if (tr_is_refusal(rv)) {
        answer_other(out, request, text, rv, reason, ledger, pool);
    }
    else {
        answer_failed(out, request, rv, pool);
    }
}
