/*
 * trh_optional.c: TokRevokeOptional: a location that knows its user when a good token is there, and turns nobody away for lack
 * of one. httpd does not ask who somebody is where nobody needs to be known, so force_authn makes it ask. The anonymous are a
 * user without a name while httpd decides: that is enough for "Require valid-user", and for nothing that names somebody.
 */
#include "trh.h"

#include <http_core.h>
#include <http_request.h>

int trh_force_authn(request_rec *r)
{
    const trh_dir_t *dir = trh_dir(r);
    trh_found_t found;

    if (dir->optional != 1 || !trh_is_bearer(r)) {
        return DECLINED;
    }
    return trh_find_token(&found, r, trh_sources(dir)) != TR_NO_TOKEN ? OK : DECLINED;
}

/* The token is named in no answer: what the application is told is only why it does not count. */
int trh_let_in_anonymous(request_rec *r, const trh_found_t *found, apr_status_t verdict)
{
    static char nobody[] = "";
    const trh_dir_t *dir = trh_dir(r);
    trh_request_t *request = apr_pcalloc(r->pool, sizeof(*request));

    request->token = found->token;
    request->source = found->source;
    request->verdict = verdict;
    request->stripped = dir->strip == 1;
    ap_set_module_config(r->request_config, &tokrevoke_module, request);
    if (verdict != TR_NO_TOKEN) {
        const tr_reason_t *reason = tr_reason(verdict);

        apr_table_setn(r->notes, "tokrevoke-reason", reason->word);
        apr_table_setn(r->subprocess_env, "TOKREVOKE_REASON", reason->word);
        trh_log_verdict(r, "does not count", reason, verdict, found->token);
    }
    if (request->stripped) {
        trh_strip_token(r, trh_sources(dir));
    }
    r->user = nobody;
    return OK;
}

int trh_settle_anonymous(request_rec *r, const trh_request_t *request, int status)
{
    r->user = NULL;
    if (status == HTTP_UNAUTHORIZED || status == HTTP_FORBIDDEN) {
        return trh_refuse(r, tr_reason(request->verdict), request->verdict, request->token);
    }
    return status;
}
