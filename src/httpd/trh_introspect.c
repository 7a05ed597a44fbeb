/* trh_introspect.c: SetHandler tokrevoke-introspect: who may ask, and HTTP around tr_introspect_answer. */
#include "trh.h"

#include <stdatomic.h>

#include <http_protocol.h>

#include "tr_client.h"
#include "tr_introspect.h"

#define ALLOW "POST, OPTIONS"

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

static int send_answer(request_rec *r, const tr_answer_t *answer)
{
    log_answer(r, answer);
    trh_send_answer(r, answer);
    return OK;
}

static int refuse(request_rec *r, int status, const char *sentence)
{
    tr_answer_t answer;

    tr_answer_refuse(&answer, TR_ANSWERS_RFC7009, status, sentence, r->pool);
    return send_answer(r, &answer);
}

/*
 * RFC 7662 2.1: a user whom httpd knows, or a client that has shown its secret; what anybody could say is not enough. False:
 * *refusal is the answer.
 */
static bool is_allowed(tr_answer_t *refusal, request_rec *r, const tr_params_t *params)
{
    tr_client_t client;

    if (r->user != NULL && *r->user != '\0') {
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

static int answer_post(request_rec *r)
{
    tr_params_t *params;
    tr_body_type_t type;
    tr_answer_t answer;
    const char *sentence;
    int status = trh_read_params(&params, &type, &sentence, r);

    if (status == AP_FILTER_ERROR) {
        return status; /* an input filter has answered */
    }
    if (status != OK) {
        return refuse(r, status, sentence);
    }
    if (!is_allowed(&answer, r, params)) {
        return send_answer(r, &answer);
    }
    if (type != TR_BODY_FORM) {
        return refuse(r, HTTP_BAD_REQUEST, "The body must be application/x-www-form-urlencoded");
    }
    tr_introspect_answer(&answer, params, &trh_server(r->server)->gate, trh_user_claim(r), apr_time_now(), r->pool);
    return send_answer(r, &answer);
}

int trh_introspect_handler(request_rec *r)
{
    int status;

    if (!trh_is_for(r, TRH_INTROSPECT_HANDLER)) {
        return DECLINED;
    }
    if (r->method_number == M_POST) {
        return answer_post(r);
    }
    status = trh_refuse_method(r, ALLOW);
    return status == HTTP_METHOD_NOT_ALLOWED ? refuse(r, status, "Only POST is allowed") : status;
}
