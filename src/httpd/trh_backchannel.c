/* trh_backchannel.c: SetHandler tokrevoke-backchannel-logout: HTTP around tr_backchannel_answer. */
#include "trh.h"

#include <stdatomic.h>

#include <apr_strings.h>

#include "tr_backchannel.h"

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

static void answer(tr_answer_t *out, request_rec *r, const tr_params_t *params, tr_body_type_t type, tr_answers_t answers)
{
    tr_backchannel_request_t request = {.type = type, .params = params, .keep = trh_keep()};

    (void)answers;
    request.circumstances = trh_circumstances(r);
    request.now = apr_time_now();
    request.clean_now = trh_clean_now();
    tr_backchannel_answer(out, &request, trh_gate(r), trh_ledger(), r->pool);
}

int trh_backchannel_handler(request_rec *r)
{
    static const trh_endpoint_t endpoint = {false, answer, log_answer};

    return trh_serve(r, &endpoint);
}
