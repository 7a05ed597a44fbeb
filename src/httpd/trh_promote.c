/*
 * trh_promote.c: where a part becomes the request. With DirectoryIndex and MultiViews httpd looks at a file by a subrequest, and then
 * goes on with that file and its configuration (ap_internal_fast_redirect). What stays behind, and is brought along here: who was let
 * in there, that the token is to be seen by nobody, and which fields are whose.
 *
 *   fixups of a part      it may be the one: it is listed at its request, until its pool ends
 *   fixups of a request   first and last: has one of the listed become this?
 */
#include "trh.h"

#include <stdatomic.h>

#include <apr_strings.h>
#include <http_request.h>

#define PARTS "tokrevoke-parts"

typedef struct part_t part_t;

typedef struct parts_t {
    part_t *first;
} parts_t;

struct part_t {
    part_t *next, **link;
    const request_rec *r;
};

/* This process has listed a part: else there is none to be looked for. */
static atomic_bool is_used;

static void leave(part_t *part)
{
    if (part->link == NULL) {
        return;
    }
    *part->link = part->next;
    if (part->next != NULL) {
        part->next->link = part->link;
    }
    part->link = NULL;
}

static apr_status_t forget(void *part)
{
    leave(part);
    return APR_SUCCESS;
}

static parts_t *parts_of(const request_rec *r)
{
    void *parts = NULL;

    if (atomic_load_explicit(&is_used, memory_order_relaxed)) {
        (void)apr_pool_userdata_get(&parts, PARTS, r->pool);
    }
    return parts;
}

/* Where the configuration is the same, httpd has let both in or none. */
int trh_list_part(request_rec *r)
{
    parts_t *parts;
    part_t *part;

    if (r->main == NULL || r->per_dir_config == r->main->per_dir_config) {
        return DECLINED;
    }
    parts = parts_of(r->main);
    if (parts == NULL) {
        atomic_store_explicit(&is_used, true, memory_order_relaxed);
        parts = apr_pcalloc(r->main->pool, sizeof(*parts));
        (void)apr_pool_userdata_setn(parts, PARTS, NULL, r->main->pool);
    }
    part = apr_pcalloc(r->pool, sizeof(*part));
    part->r = r;
    part->next = parts->first;
    part->link = &parts->first;
    if (part->next != NULL) {
        part->next->link = &part->next;
    }
    parts->first = part;
    apr_pool_cleanup_register(r->pool, part, forget, apr_pool_cleanup_null);
    return DECLINED;
}

/* Redirects have one pool, and so one list. */
static const request_rec *take_part(const request_rec *r)
{
    const parts_t *parts = parts_of(r);

    for (part_t *part = parts != NULL ? parts->first : NULL; part != NULL; part = part->next) {
        if (part->r->main == r && part->r->uri == r->uri && part->r->per_dir_config == r->per_dir_config) {
            leave(part);
            return part->r;
        }
    }
    return NULL;
}

/* The part's pool ends before the request's, and the gate may have changed its mind: so it is asked again. */
static int take_identity(request_rec *r, const request_rec *part)
{
    trh_request_t *request = apr_pmemdup(r->pool, trh_record(part), sizeof(*request));
    tr_identity_t identity;
    apr_status_t rv;

    request->stream = NULL;
    request->token = tr_str(apr_pstrmemdup(r->pool, request->token.len > 0 ? request->token.data : "", request->token.len),
                            request->token.len);
    if (request->identity != NULL) {
        rv = tr_gate_admit(&identity, trh_gate(r), request->token, trh_user_claim(r), apr_time_now(), r->pool);
        if (rv != APR_SUCCESS && trh_dir(r)->optional != 1) {
            return trh_refuse(r, tr_reason(rv), rv, request->token);
        }
        request->identity = rv == APR_SUCCESS ? apr_pmemdup(r->pool, &identity, sizeof(identity)) : NULL;
        request->verdict = rv;
    }
    r->user = request->identity != NULL ? apr_pstrdup(r->pool, request->identity->user) : NULL;
    r->ap_auth_type = request->identity != NULL ? part->ap_auth_type : NULL;
    ap_set_module_config(r->request_config, &tokrevoke_module, request);
    return DECLINED;
}

/* Is somebody else, or nobody, known here? Whoever was let in on the way stays known where nobody is asked. */
static bool is_news(const request_rec *r, const request_rec *part)
{
    const trh_request_t *here = trh_request(r);
    const trh_request_t *there = trh_record(part);

    if (there == NULL || here == NULL || there->identity == NULL) {
        return there != NULL && here == NULL;
    }
    return !tr_str_eq(here->token, there->token) || strcmp(here->identity->user, there->identity->user) != 0;
}

int trh_promote(request_rec *r)
{
    const request_rec *part = take_part(r);
    const trh_request_t *there = part != NULL ? trh_record(part) : NULL;
    int status;

    if (part == NULL) {
        return DECLINED;
    }
    status = is_news(r, part) ? take_identity(r, part) : DECLINED;
    if (there != NULL && there->stripped) {
        trh_strip_token(r, trh_sources(trh_dir(r)));
        if (trh_record(r) != NULL) {
            trh_record(r)->stripped = true;
        }
    }
    trh_take_over_claims(r, part);
    trh_take_over_fields(r, part);
    return status;
}
