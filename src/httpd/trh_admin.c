/*
 * trh_admin.c: SetHandler tokrevoke-admin: HTTP around tr_admin.h. The last segment of the path says what is asked for. Errors
 * are application/problem+json (RFC 9457).
 */
#include "trh_shared.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#include "tr_admin.h"
#include "tr_limits.h"

#define PROBLEM_TYPE "application/problem+json"

static int answer(request_rec *r, int status, const char *type, const char *body)
{
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->err_headers_out, "X-Content-Type-Options", "nosniff");
    trh_send_text(r, status, type, body);
    return OK;
}

/* "404 Not Found" without the number. */
static const char *title_of(int status)
{
    return ap_get_status_line(status) + 4;
}

static int answer_problem(request_rec *r, const tr_problem_t *problem)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "admin: %d: %s", problem->status, problem->detail);
    if (problem->status == HTTP_SERVICE_UNAVAILABLE) {
        trh_set_retry_after(r, TR_RETRY_AFTER_S);
    }
    return answer(r, problem->status, PROBLEM_TYPE, tr_problem_text(problem, title_of(problem->status), r->pool));
}

static int refuse(request_rec *r, int status, const char *detail)
{
    const tr_problem_t problem = {status, detail, TR_NO_ITEM};

    return answer_problem(r, &problem);
}

/* Before its body was read. */
static int refuse_post(request_rec *r, int status, const char *detail)
{
    trh_discard_body(r);
    return refuse(r, status, detail);
}

/* ---- POST …/revocations ------------------------------------------------------------------------------------ */

/* All or none; only what is in force may be more than what is stored, and then the caller hears of neither. */
static int revoke_all(request_rec *r, tr_revocation_t *list, int n)
{
    apr_status_t rv = APR_EGENERAL;

    if (trh_ledger() != NULL) {
        rv = tr_ledger_revoke_all(trh_ledger(), list, n, true, trh_clean_now());
    }
    if (rv != APR_SUCCESS) {
        trh_log_failure(r, rv, apr_psprintf(r->pool, "what %s ends (%d entries)", r->user, n));
        return refuse(r, HTTP_SERVICE_UNAVAILABLE,
                      rv == APR_ENOSPC ? "The table of revocations is full" : "The revocations could not be stored now");
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "revoked by %s: %d entries, the first of kind %s, numbers %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT, r->user,
                  n, tr_kind_name(list[0].entry.kind), list[0].seq, list[n - 1].seq);
    return answer(r, HTTP_CREATED, "application/json", tr_admin_created_text(list, n, r->pool));
}

static int read_and_revoke(request_rec *r)
{
    tr_admin_context_t context = {.issuers = trh_server(r->server)->issuers, .keep = trh_keep()};
    tr_revocation_t *list;
    tr_problem_t problem;
    const char *sentence;
    tr_str_t body;
    int n;
    int status = trh_read_body(&body, &sentence, r, TR_MAX_ADMIN_BODY_LEN);

    if (status == AP_FILTER_ERROR) {
        return status; /* an input filter has answered */
    }
    if (status != OK) {
        return refuse(r, status, sentence);
    }
    context.circumstances = trh_circumstances(r);
    context.now = apr_time_now(); /* not when its first byte came: who is logged in meanwhile is meant, too */
    return tr_admin_read(&list, &n, &problem, body, &context, r->pool) == APR_SUCCESS ? revoke_all(r, list, n)
                                                                                      : answer_problem(r, &problem);
}

static int post_revocations(request_rec *r)
{
    /* Browsers add credentials to whatever a page of another site makes them send. */
    if (trh_is_foreign(r) && !trh_is_listed_origin(r)) {
        return refuse_post(r, HTTP_FORBIDDEN, "The request comes from a page of another site");
    }
    if (!trh_is_known(r)) {
        return refuse_post(
            r, HTTP_FORBIDDEN,
            "Who revokes must be known: the server's configuration asks nobody here who he is (AuthType, Require)");
    }
    if (tr_body_type(apr_table_get(r->headers_in, "Content-Type")) != TR_BODY_JSON) {
        return refuse_post(r, HTTP_UNSUPPORTED_MEDIA_TYPE, "The body must be application/json");
    }
    return read_and_revoke(r);
}

/* ---- GET …/revocations ------------------------------------------------------------------------------------- */

static int get_revocations(request_rec *r)
{
    tr_admin_query_t query;
    tr_admin_page_t page;
    tr_problem_t problem;
    const char *why;
    apr_status_t rv;

    if (trh_store() == NULL) {
        return refuse(
            r, HTTP_NOT_IMPLEMENTED,
            "This server keeps revocations in memory only (TokRevokeDatabase none), as marks that say nothing to people");
    }
    if (tr_admin_read_query(&query, &problem, r->args, apr_time_sec(trh_clean_now()), r->pool) != APR_SUCCESS) {
        return answer_problem(r, &problem);
    }
    tr_admin_page_begin(&page, query.limit, r->pool);
    rv = tr_store_list(trh_store(), &query.store, tr_admin_page_add, &page, &why, r->pool);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "TR050: the list of revocations could not be read: %s",
                      why != NULL ? why : "the query");
        return refuse(r, HTTP_SERVICE_UNAVAILABLE, "The list of revocations could not be read now");
    }
    return answer(r, HTTP_OK, "application/json", tr_admin_page_text(&page, r->pool));
}

/* ---- GET …/status ------------------------------------------------------------------------------------------ */

static int get_status(request_rec *r)
{
    const tr_gate_t *gate = &trh_server(r->server)->gate;
    const trh_watch_t *watch = trh_watch();
    tr_admin_status_t status = {.is_informed = gate->table != NULL && gate->is_informed()};
    tr_table_stats_t stats;

    if (gate->table != NULL) {
        tr_table_stats(&stats, gate->table);
        status.table = &stats;
    }
    if (trh_store() != NULL) {
        status.store = tr_store_name(trh_store());
    }
    if (watch != NULL) {
        status.last_seq = atomic_load(&watch->followed_seq);
        status.age_s = (double)(trh_steady_clock() - atomic_load(&watch->followed_at)) / APR_USEC_PER_SEC;
        status.stalls = atomic_load(&watch->stalls);
        status.presented = atomic_load(&watch->presented);
    }
    return answer(r, HTTP_OK, "application/json", tr_admin_status_text(&status, r->pool));
}

/* ---- which -------------------------------------------------------------------------------------------------- */

typedef struct resource_t {
    const char *name, *allow;
    int (*get)(request_rec *r);
    int (*post)(request_rec *r); /* NULL: not allowed */
} resource_t;

static const resource_t *find_resource(const request_rec *r)
{
    static const resource_t resources[] = {{"revocations", "GET, HEAD, POST, OPTIONS", get_revocations, post_revocations},
                                           {"status", "GET, HEAD, OPTIONS", get_status, NULL}};
    const char *slash = strrchr(r->uri, '/');

    for (apr_size_t i = 0; slash != NULL && i < sizeof(resources) / sizeof(resources[0]); i++) {
        if (strcmp(slash + 1, resources[i].name) == 0) {
            return &resources[i];
        }
    }
    return NULL;
}

int trh_admin_handler(request_rec *r)
{
    const resource_t *resource = find_resource(r);
    int status;

    if (resource == NULL) {
        return refuse_post(r, HTTP_NOT_FOUND, "There is revocations and status here, and nothing else");
    }
    if (r->method_number == M_GET) {
        return resource->get(r);
    }
    if (r->method_number == M_POST && resource->post != NULL) {
        return resource->post(r);
    }
    status = trh_refuse_method(r, resource->allow);
    return status == HTTP_METHOD_NOT_ALLOWED ? refuse(r, status, "This method is not allowed here") : status;
}
