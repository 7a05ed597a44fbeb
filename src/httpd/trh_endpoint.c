/* trh_endpoint.c: what our endpoints have in common: methods, bodies, answers. */
#include "trh.h"

#include <apr_strings.h>
#include <http_protocol.h>

#include "tr_limits.h"

bool trh_is_endpoint(const char *handler)
{
    static const char *const names[] = {TRH_REVOKE_HANDLER, TRH_INTROSPECT_HANDLER, TRH_LOGOUT_HANDLER, TRH_BACKCHANNEL_HANDLER,
                                        TRH_ADMIN_HANDLER};

    for (apr_size_t i = 0; handler != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(handler, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool trh_is_for(const request_rec *r, const char *handler)
{
    return r->handler != NULL && strcmp(r->handler, handler) == 0;
}

int trh_refuse_method(request_rec *r, const char *allow)
{
    if (ap_discard_request_body(r) != OK) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    apr_table_setn(r->err_headers_out, "Allow", allow);
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    return r->method_number == M_OPTIONS ? HTTP_NO_CONTENT : HTTP_METHOD_NOT_ALLOWED;
}

int trh_read_params(tr_params_t **out, tr_body_type_t *type, const char **sentence, request_rec *r)
{
    tr_str_t body;
    int status = trh_read_body(&body, r, TR_MAX_BODY_LEN);

    *sentence = status == HTTP_REQUEST_ENTITY_TOO_LARGE ? "The body is larger than 64 KiB" : "The body could not be read";
    if (status != OK) {
        return status;
    }
    *type = tr_body_type(apr_table_get(r->headers_in, "Content-Type"));
    return tr_params_from_body(out, sentence, *type, body, r->pool) == APR_SUCCESS ? OK : HTTP_BAD_REQUEST;
}

void trh_send_answer(request_rec *r, const tr_answer_t *answer)
{
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    if (answer->retry_after_s > 0) {
        apr_table_setn(r->err_headers_out, "Retry-After", apr_itoa(r->pool, answer->retry_after_s));
    }
    if (answer->challenge != NULL) {
        apr_table_setn(r->err_headers_out, "WWW-Authenticate", answer->challenge);
    }
    trh_send_json(r, answer->status, answer->body);
}

tr_circumstances_t trh_circumstances(const request_rec *r)
{
    tr_circumstances_t circumstances = {tr_str_z(r->user), tr_str_z(r->useragent_ip), {NULL, 0}};

    return circumstances;
}
