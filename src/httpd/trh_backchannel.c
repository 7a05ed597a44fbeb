/* trh_backchannel.c: SetHandler tokrevoke-backchannel-logout: HTTP around tr_backchannel_answer. */
#include "trh.h"

#include <stdatomic.h>

#include <apr_strings.h>
#include <http_protocol.h>

#include "tr_backchannel.h"

#define ALLOW "POST, OPTIONS"

/* The logout counts; this is about the next use of the same token. */
static void log_forgetful(request_rec *r, const tr_answer_t *answer)
{
    static _Atomic int64_t last_s;

    if (answer->verdict == APR_SUCCESS || answer->verdict == TR_LEDGER_SUPERSEDED) {
        return;
    }
    ap_log_rerror(
        APLOG_MARK, trh_is_said(&last_s) ? APLOG_INFO : APLOG_ERR, 0, r,
        "TR036: the logout of logout token %s is stored, but not that the token was used, so it could be used again after "
        "httpd was stopped: %s",
        answer->fingerprint, trh_store() != NULL ? tr_store_error(trh_store(), r->pool) : "no store");
}

static void log_answer(request_rec *r, const tr_answer_t *answer)
{
    const char *fingerprint = answer->fingerprint != NULL ? answer->fingerprint : "-";

    if (answer->status == HTTP_OK) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "logged out: logout token %s", fingerprint);
        log_forgetful(r, answer);
    }
    else if (answer->detail != NULL) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "not logged out: logout token %s: %d: %s", fingerprint, answer->status,
                      answer->detail);
    }
    else {
        trh_log_failure(r, answer->verdict, apr_pstrcat(r->pool, "what logout token ", fingerprint, " ends", NULL));
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

static int answer_post(request_rec *r)
{
    tr_backchannel_request_t request = {.keep = trh_keep()};
    tr_params_t *params;
    tr_answer_t answer;
    const char *sentence;
    int status = trh_read_params(&params, &request.type, &sentence, r);

    if (status == AP_FILTER_ERROR) {
        return status; /* an input filter has answered */
    }
    if (status != OK) {
        return refuse(r, status, sentence);
    }
    request.params = params;
    request.circumstances = trh_circumstances(r);
    request.now = apr_time_now();
    request.clean_now = trh_clean_now();
    tr_backchannel_answer(&answer, &request, &trh_server(r->server)->gate, trh_ledger(), r->pool);
    return send_answer(r, &answer);
}

int trh_backchannel_handler(request_rec *r)
{
    int status;

    if (!trh_is_for(r, TRH_BACKCHANNEL_HANDLER)) {
        return DECLINED;
    }
    if (r->method_number == M_POST) {
        return answer_post(r);
    }
    status = trh_refuse_method(r, ALLOW);
    return status == HTTP_METHOD_NOT_ALLOWED ? refuse(r, status, "Only POST is allowed") : status;
}
