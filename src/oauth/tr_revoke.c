/*
 * tr_revoke.c: the revocation endpoint. RFC 7009 2.2: a token that is no good is revoked already, so the answer is 200;
 * the strict dialect tells the caller instead. 200 is said only after the ledger has succeeded.
 */
#include <apr_strings.h>

#include "tr_digest.h"
#include "tr_limits.h"
#include "tr_oauth.h"
#include "tr_reason.h"

#define RETRY_AFTER_S 5

/* {"error":code,"error_description":sentence}, or the strict dialect's {"revoked":false,"error":sentence}. */
static const char *error_body(tr_answers_t answers, const char *code, const char *sentence, apr_pool_t *pool)
{
    const char *text = tr_json_quote(tr_str_z(sentence), pool);

    if (answers == TR_ANSWERS_STRICT) {
        return apr_pstrcat(pool, "{\"revoked\":false,\"error\":", text, "}", NULL);
    }
    return apr_pstrcat(pool, "{\"error\":\"", code, "\",\"error_description\":", text, "}", NULL);
}

void tr_revoke_refuse(tr_answer_t *out, tr_answers_t answers, int status, const char *sentence, apr_pool_t *pool)
{
    memset(out, 0, sizeof(*out));
    out->status = status;
    out->verdict = APR_EINVAL;
    out->detail = sentence;
    out->body = error_body(answers, "invalid_request", sentence, pool);
}

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
    out->status = 401;
    out->verdict = verdict;
    out->challenge = true;
    out->body = error_body(TR_ANSWERS_STRICT, NULL, strict_error, pool);
}

/* RFC 7009 2.2.1: 503, and the client must assume that the token still lives. */
static void answer_failed(tr_answer_t *out, const tr_revoke_request_t *request, apr_status_t verdict, apr_pool_t *pool)
{
    out->status = request->answers == TR_ANSWERS_STRICT ? 500 : 503;
    out->verdict = verdict;
    out->retry_after_s = RETRY_AFTER_S;
    out->body = error_body(request->answers, "temporarily_unavailable", "The token could not be revoked now", pool);
}

static apr_status_t read_body(tr_str_t *token, tr_str_t *reason, const char **why, const tr_revoke_request_t *request,
                              apr_pool_t *pool)
{
    tr_params_t *params;
    tr_str_t hint;
    apr_status_t rv = APR_EINVAL;

    *why = "The body must be application/x-www-form-urlencoded or application/json";
    if (request->type == TR_BODY_FORM) {
        rv = tr_params_from_form(&params, why, request->body, pool);
    }
    else if (request->type == TR_BODY_JSON) {
        rv = tr_params_from_json(&params, why, request->body, pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *why = "The parameter token is missing";
    rv = tr_params_get(token, params, "token");
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

static apr_status_t revoke_token(const tr_revoke_request_t *request, tr_str_t reason, const tr_token_t *token,
                                 tr_ledger_t *ledger, apr_pool_t *pool)
{
    tr_circumstances_t circumstances = request->circumstances;
    tr_entry_t entry;
    apr_status_t rv = tr_gate_entry(&entry, token, request->keep_s, pool);

    circumstances.reason = reason;
    return rv == APR_SUCCESS ? tr_ledger_revoke(ledger, &entry, &circumstances, request->clean_now) : rv;
}

static void answer_token(tr_answer_t *out, const tr_revoke_request_t *request, tr_str_t text, tr_str_t reason,
                         const tr_gate_t *gate, tr_ledger_t *ledger, apr_pool_t *pool)
{
    tr_token_t token;
    apr_status_t rv = tr_gate_recognize(&token, gate, text, request->now, pool);

    if (tr_is_refusal(rv)) {
        answer_bad_token(out, request, rv, "invalid token", pool);
        return;
    }
    if (rv == APR_SUCCESS && request->answers == TR_ANSWERS_STRICT && tr_token_check_use(&token) != APR_SUCCESS) {
        answer_bad_token(out, request, TR_TOKEN_USE, "unexpected token use", pool);
        return;
    }
    if (rv == APR_SUCCESS) {
        rv = ledger != NULL ? revoke_token(request, reason, &token, ledger, pool) : APR_EGENERAL;
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
    tr_str_t text, reason;
    const char *why;

    memset(out, 0, sizeof(*out));
    if (read_body(&text, &reason, &why, request, pool) != APR_SUCCESS) {
        tr_revoke_refuse(out, request->answers, 400, why, pool);
        return;
    }
    out->fingerprint = tr_fingerprint(text, pool);
    answer_token(out, request, text, reason, gate, ledger, pool);
}
