/* trh_revoke.c: SetHandler tokrevoke-revoke: HTTP around tr_revoke_answer. */
#include "trh.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#define ALLOW "POST, OPTIONS"

static void log_answer(request_rec *r, const tr_answer_t *answer)
{
    const char *fingerprint = answer->fingerprint != NULL ? answer->fingerprint : "-";

    if (answer->verdict == APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "revoked: token %s", fingerprint);
    }
    else if (answer->detail != NULL) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "not revoked: %d: %s", answer->status, answer->detail);
    }
    else if (tr_is_refusal(answer->verdict)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "nothing to revoke: token %s: %s", fingerprint,
                      tr_reason(answer->verdict)->word);
    }
    else {
        trh_log_failure(r, answer->verdict, apr_pstrcat(r->pool, "token ", fingerprint, NULL));
    }
}

static void send_answer(request_rec *r, const tr_answer_t *answer)
{
    log_answer(r, answer);
    trh_send_answer(r, answer);
}

static void refuse(request_rec *r, tr_answers_t answers, int status, const char *sentence)
{
    tr_answer_t answer;

    tr_answer_refuse(&answer, answers, status, sentence, r->pool);
    send_answer(r, &answer);
}

static int answer_post(request_rec *r, tr_answers_t answers)
{
    const trh_dir_t *dir = trh_dir(r);
    tr_revoke_request_t request = {.answers = answers};
    tr_params_t *params;
    tr_client_t client;
    tr_answer_t answer;
    const char *sentence;
    int status = trh_read_params(&params, &request.type, &sentence, r);

    if (status == AP_FILTER_ERROR) {
        return status; /* an input filter has answered */
    }
    if (status != OK) {
        refuse(r, answers, status, sentence);
        return OK;
    }
    /* RFC 7009 2.1: before anything is looked at. */
    if (!trh_authenticate_client(&client, &answer, r, params, answers)) {
        send_answer(r, &answer);
        return OK;
    }
    request.params = params;
    request.client_id = client.id;
    request.cascade = dir->cascade == TRH_UNSET ? TR_SCOPE_TOKEN : (tr_scope_t)dir->cascade;
    request.is_known = r->user != NULL;
    request.opaque_s = dir->opaque_s == TRH_UNSET ? 0 : dir->opaque_s;
    request.keep = trh_keep();
    request.circumstances = trh_circumstances(r);
    if (r->user == NULL) {
        request.circumstances.actor = client.id; /* of a public client, which has only said so */
    }
    /* Also to judge expiry: a clock that is ahead for a moment must not make a living token look dead, and be forgotten. */
    request.clean_now = trh_clean_now();
    request.now = request.clean_now;
    /* Issuers have the time of day, and a clock that was set right since httpd started would not have it. */
    request.wall = apr_time_now();
    tr_revoke_answer(&answer, &request, &trh_server(r->server)->gate, trh_ledger(), r->pool);
    send_answer(r, &answer);
    return OK;
}

int trh_revoke_handler(request_rec *r)
{
    int configured = trh_dir(r)->answers;
    tr_answers_t answers = configured == TRH_UNSET ? TR_ANSWERS_RFC7009 : (tr_answers_t)configured;
    int status;

    if (!trh_is_for(r, TRH_REVOKE_HANDLER)) {
        return DECLINED;
    }
    if (r->method_number == M_POST) {
        return answer_post(r, answers);
    }
    status = trh_refuse_method(r, ALLOW);
    if (status != HTTP_METHOD_NOT_ALLOWED) {
        return status;
    }
    refuse(r, answers, status, "Only POST is allowed");
    return OK;
}
