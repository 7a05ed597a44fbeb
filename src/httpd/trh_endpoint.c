/* trh_endpoint.c: what our endpoints have in common: methods, bodies, answers. */
#include "trh_shared.h"

#include <stdatomic.h>

#include <ap_expr.h>
#include <http_core.h>
#include <http_protocol.h>

#include "tr_limits.h"

#define SAY_EVERY apr_time_from_sec(60)

typedef int (*handler_fn)(request_rec *r);

/* NULL: it is none of ours. */
static handler_fn find_handler(const char *name)
{
    static const struct {
        const char *name;
        handler_fn handle;
    } ours[] = {{TRH_REVOKE_HANDLER, trh_revoke_handler},
                {TRH_INTROSPECT_HANDLER, trh_introspect_handler},
                {TRH_LOGOUT_HANDLER, trh_logout_handler},
                {TRH_BACKCHANNEL_HANDLER, trh_backchannel_handler},
                {TRH_ADMIN_HANDLER, trh_admin_handler}};

    if (name == NULL || strncmp(name, TRH_HANDLERS, strlen(TRH_HANDLERS)) != 0) {
        return NULL;
    }
    for (apr_size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (strcmp(name, ours[i].name) == 0) {
            return ours[i].handle;
        }
    }
    return NULL;
}

bool trh_is_endpoint(const char *handler)
{
    return find_handler(handler) != NULL;
}

int trh_handler(request_rec *r)
{
    handler_fn handle = find_handler(r->handler);

    return handle != NULL ? handle(r) : DECLINED;
}

/* SetHandler, which may be an expression, is put in force only later in the request, but can be asked now. */
const char *trh_configured_handler(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *err;

    return core->expr_handler != NULL ? ap_expr_str_exec(r, core->expr_handler, &err) : core->handler;
}

bool trh_is_configured_for(request_rec *r, const char *handler)
{
    const char *configured = trh_configured_handler(r);

    return configured != NULL && strcmp(configured, handler) == 0;
}

int trh_refuse_method(request_rec *r, const char *allow)
{
    trh_discard_body(r);
    apr_table_setn(r->err_headers_out, "Allow", allow);
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    return r->method_number == M_OPTIONS ? HTTP_NO_CONTENT : HTTP_METHOD_NOT_ALLOWED;
}

static int read_params(tr_params_t **out, tr_body_type_t *type, const char **sentence, request_rec *r)
{
    tr_str_t body;
    int status = trh_read_body(&body, sentence, r, TR_MAX_BODY_LEN);

    return status == OK ? trh_read_params(out, type, sentence, r, body) : status;
}

void trh_send_answer(request_rec *r, const tr_answer_t *answer)
{
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    trh_set_retry_after(r, answer->retry_after_s);
    if (answer->challenge != NULL) {
        apr_table_setn(r->err_headers_out, "WWW-Authenticate", answer->challenge);
    }
    trh_send_json(r, answer->status, answer->body);
}

static tr_answers_t dialect(const request_rec *r, const trh_endpoint_t *endpoint)
{
    int configured = endpoint->has_dialects ? trh_dir(r)->answers : TRH_UNSET;

    return configured == TRH_UNSET ? TR_ANSWERS_RFC7009 : (tr_answers_t)configured;
}

/* Fill in the answer to a POST. OK, or what the handler must return in place of answering. */
static int answer_post(tr_answer_t *out, request_rec *r, const trh_endpoint_t *endpoint)
{
    tr_answers_t answers = dialect(r, endpoint);
    tr_params_t *params;
    tr_body_type_t type;
    const char *sentence;
    int status = read_params(&params, &type, &sentence, r);

    if (status == AP_FILTER_ERROR) {
        return status; /* an input filter has answered */
    }
    if (status != OK) {
        tr_answer_refuse(out, answers, status, sentence, r->pool);
        return OK;
    }
    endpoint->answer(out, r, params, type, answers);
    return OK;
}

int trh_serve(request_rec *r, const trh_endpoint_t *endpoint)
{
    tr_answer_t answer;
    int status;

    if (r->method_number == M_POST) {
        status = answer_post(&answer, r, endpoint);
        if (status != OK) {
            return status;
        }
    }
    else {
        status = trh_refuse_method(r, "POST, OPTIONS");
        if (status != HTTP_METHOD_NOT_ALLOWED) {
            return status;
        }
        tr_answer_refuse(&answer, dialect(r, endpoint), status, "Only POST is allowed", r->pool);
    }
    endpoint->log(r, &answer);
    trh_send_answer(r, &answer);
    return OK;
}

bool trh_is_said(_Atomic int64_t *last_s)
{
    int64_t now_s = apr_time_sec(apr_time_now());

    return atomic_exchange(last_s, now_s) == now_s;
}

bool trh_is_said_lately(_Atomic int64_t *said_at)
{
    apr_time_t now = trh_steady_clock();
    int64_t before = atomic_load(said_at);

    return (before != 0 && now - before < SAY_EVERY) || !atomic_compare_exchange_strong(said_at, &before, now);
}

void trh_log_failure(request_rec *r, apr_status_t verdict, const char *what)
{
    static _Atomic int64_t last_s;

    if (verdict == TR_LEDGER_SUPERSEDED) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "not revoked: %s: this child is of before the last restart", what);
    }
    else if (verdict == TR_GATE_UNINFORMED) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "not revoked: %s: the store has not been read for TokRevokeMaxStaleness",
                      what);
    }
    else if (verdict == TR_BUSY) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "not revoked: %s: too many forged tokens came from this client", what);
    }
    else if (trh_is_said(&last_s)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "not revoked: %s: the table, its lock or the store failed again", what);
    }
    else if (verdict == TR_STORE_FAILED) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "TR025: %s is refused from now on, but that could not be stored and may not outlive httpd: %s", what,
                      trh_store() != NULL ? tr_store_error(trh_store(), r->pool) : "no store");
    }
    else if (verdict == APR_ENOSPC) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "TR002: %s could not be revoked: the table is full of live revocations; raise TokRevokeCapacity, and "
                      "restart httpd (with TokRevokeDatabase none: stop and start it)",
                      what);
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, verdict, r,
                      "TR003: %s could not be revoked: the table or its lock failed; if it stays so, stop and start httpd", what);
    }
}

tr_circumstances_t trh_circumstances(const request_rec *r)
{
    tr_circumstances_t circumstances = {tr_str_z(r->user), tr_str_z(r->useragent_ip), {NULL, 0}};

    return circumstances;
}
