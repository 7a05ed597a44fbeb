/* trh_authn.c: AuthType Bearer: who is the user, and may he be here? */
#include "trh.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>

#define DEFAULT_USER_CLAIM "sub"

const char *trh_user_claim(const request_rec *r)
{
    const trh_dir_t *dir = trh_dir(r);

    return dir->user_claim != NULL ? dir->user_claim : DEFAULT_USER_CLAIM;
}

bool trh_is_bearer(request_rec *r)
{
    const char *type = ap_auth_type(r);

    /* Nearly always it is written so. */
    return type != NULL && (strcmp(type, "Bearer") == 0 || strcasecmp(type, "Bearer") == 0);
}

trh_request_t *trh_record(const request_rec *r)
{
    return ap_get_module_config(r->request_config, &tokrevoke_module);
}

trh_request_t *trh_request(const request_rec *r)
{
    trh_request_t *request = trh_record(r);

    return request != NULL && request->identity != NULL ? request : NULL;
}

const request_rec *trh_origin(const request_rec *r)
{
    return r->prev != NULL ? r->prev : r->main;
}

trh_request_t *trh_request_of(const request_rec *r)
{
    for (; r != NULL; r = trh_origin(r)) {
        if (trh_request(r) != NULL) {
            return trh_request(r);
        }
    }
    return NULL;
}

/* identity lives in the request's pool. */
static void remember(request_rec *r, const trh_found_t *found, const tr_identity_t *identity, uint64_t changes, bool stripped)
{
    trh_request_t *request = apr_pcalloc(r->pool, sizeof(*request));

    request->token = found->token;
    request->identity = identity;
    request->changes = changes;
    request->source = found->source;
    request->stripped = stripped;
    if (stripped && trh_is_configured_for(r, TRH_LOGOUT_HANDLER)) {
        request->others = apr_array_make(r->pool, 2, sizeof(tr_str_t));
        request->has_more = !trh_find_all(request->others, r, trh_sources(trh_dir(r)), NULL);
    }
    ap_set_module_config(r->request_config, &tokrevoke_module, request);
}

/*
 * What happens when we break is decided here: a status that is neither success nor a refusal has the row "unavailable"
 * in the table of reasons, 503.
 */
int trh_check_authn(request_rec *r)
{
    const trh_dir_t *dir = trh_dir(r);
    trh_found_t found = {{NULL, 0}, {TR_FROM_AUTHORIZATION, NULL}};
    const tr_gate_t *gate = trh_gate(r);
    uint64_t changes = gate->table != NULL ? tr_table_changes(gate->table) : 0;
    tr_identity_t *identity = NULL;
    apr_status_t rv;

    if (!trh_is_bearer(r)) {
        return DECLINED;
    }
    rv = trh_find_token(&found, r, trh_sources(dir));
    if (rv == APR_SUCCESS) {
        identity = apr_palloc(r->pool, sizeof(*identity));
        rv = tr_gate_admit(identity, gate, found.token, trh_user_claim(r), apr_time_now(), r->pool);
    }
    if ((rv == APR_SUCCESS || rv == TR_REVOKED) && trh_check_claim_headers(r, identity) != APR_SUCCESS) {
        rv = TR_MALFORMED;
    }
    if (rv != APR_SUCCESS) {
        int status = trh_logout_instead(r);

        if (status != DECLINED) {
            return status;
        }
    }
    if (rv == TR_REVOKED) {
        trh_note_presented(r, found.token, identity);
    }
    if (rv != APR_SUCCESS) {
        return dir->optional == 1 ? trh_let_in_anonymous(r, &found, rv) : trh_refuse(r, tr_reason(rv), rv, found.token);
    }
    r->user = apr_pstrdup(r->pool, identity->user); /* others may write to it, and read it until the very end of the pool */
    r->ap_auth_type = "Bearer";
    remember(r, &found, identity, changes, dir->strip == 1);
    if (dir->strip == 1) {
        trh_strip_token(r, trh_sources(dir));
    }
    return OK;
}

/*
 * Runs before all others, and asks them by running the hook once more. mod_authz_core answers 401 when a good user is
 * not let in; RFC 6750 3.1 wants 403, insufficient_scope.
 */
int trh_check_authz(request_rec *r)
{
    trh_request_t *request = trh_record(r);
    int status;

    trh_settle_access(r);
    if (request == NULL || request->in_authz || !trh_is_bearer(r)) {
        return DECLINED;
    }
    request->in_authz = true;
    status = ap_run_auth_checker(r);
    request->in_authz = false;
    if (request->identity == NULL) {
        return trh_settle_anonymous(r, request, status);
    }
    if (status == HTTP_UNAUTHORIZED || status == HTTP_FORBIDDEN) {
        return trh_refuse(r, tr_reason_forbidden(), APR_SUCCESS, request->token);
    }
    return status;
}

/* For modules that refuse on their own: the challenge without an error code. */
int trh_note_auth_failure(request_rec *r, const char *auth_type)
{
    if (strcasecmp(auth_type, "Bearer") != 0) {
        return DECLINED;
    }
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->err_headers_out, "WWW-Authenticate", apr_psprintf(r->pool, "Bearer realm=\"%s\"", trh_realm(r)));
    return OK;
}
