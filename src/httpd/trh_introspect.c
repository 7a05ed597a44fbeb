/* trh_introspect.c: SetHandler tokrevoke-introspect: who may ask, and HTTP around tr_introspect_answer. */
#include "trh.h"

#include <stdatomic.h>

#include "tr_client.h"
#include "tr_introspect.h"

static void log_answer(request_rec *r, const tr_answer_t *answer)
{
    static _Atomic int64_t last_s;
    const char *fingerprint = answer->fingerprint != NULL ? answer->fingerprint : "-";

    if (answer->verdict == APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "introspected: token %s: active", fingerprint);
    }
    else if (answer->detail != NULL) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "not introspected: %d: %s", answer->status, answer->detail);
    }
    else if (tr_is_refusal(answer->verdict)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "introspected: token %s: not active: %s", fingerprint,
                      tr_reason(answer->verdict)->word);
    }
    else if (answer->verdict == TR_GATE_UNINFORMED) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      "not introspected: token %s: the store has not been read for TokRevokeMaxStaleness", fingerprint);
    }
    else {
        ap_log_rerror(APLOG_MARK, trh_is_said(&last_s) ? APLOG_INFO : APLOG_ERR, answer->verdict, r,
                      "TR035: token %s could not be introspected (OpenSSL, memory or the table failed)", fingerprint);
    }
}

/*
 * RFC 7662 2.1: a user whom httpd knows, or a client that has shown its secret; what anybody could say is not enough. False:
 * *refusal is the answer.
 */
static bool is_allowed(tr_answer_t *refusal, request_rec *r, const tr_params_t *params)
{
    tr_client_t client;

    if (trh_is_known(r)) {
        return true;
    }
    if (!trh_authenticate_client(&client, refusal, r, params, TR_ANSWERS_RFC7009)) {
        return false;
    }
    if (client.kind != TR_CLIENT_CONFIDENTIAL) {
        trh_refuse_client(refusal, r, TR_ANSWERS_RFC7009);
        return false;
    }
    return true;
}

static void answer(tr_answer_t *out, request_rec *r, const tr_params_t *params, tr_body_type_t type, tr_answers_t answers)
{
    if (!is_allowed(out, r, params)) {
        return;
    }
    if (type != TR_BODY_FORM) {
        tr_answer_refuse(out, answers, HTTP_BAD_REQUEST, "The body must be application/x-www-form-urlencoded", r->pool);
        return;
    }
    tr_introspect_answer(out, params, trh_gate_of_trusted(r), trh_user_claim(r), apr_time_now(), r->pool);
}

int trh_introspect_handler(request_rec *r)
{
    static const trh_endpoint_t endpoint = {false, answer, log_answer};

    return trh_serve(r, &endpoint);
}
