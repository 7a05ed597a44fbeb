/* trh_revoke.c: SetHandler tokrevoke-revoke: HTTP around tr_revoke_answer. */
#include "trh.h"

#include <apr_strings.h>

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

static void answer(tr_answer_t *out, request_rec *r, const tr_params_t *params, tr_body_type_t type, tr_answers_t answers)
{
    const trh_dir_t *dir = trh_dir(r);
    tr_revoke_request_t request = {.type = type, .params = params, .answers = answers};
    tr_client_t client;

    /* RFC 7009 2.1: before anything is looked at. */
    if (!trh_authenticate_client(&client, out, r, params, answers)) {
        return;
    }
    request.client_id = client.id;
    request.cascade = dir->cascade == TRH_UNSET ? TR_SCOPE_TOKEN : (tr_scope_t)dir->cascade;
    request.is_known = trh_is_known(r);
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
    tr_revoke_answer(out, &request, trh_gate(r), trh_ledger(), r->pool);
}

int trh_revoke_handler(request_rec *r)
{
    static const trh_endpoint_t endpoint = {true, answer, log_answer};

    return trh_serve(r, &endpoint);
}
