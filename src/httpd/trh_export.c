/*
 * trh_export.c: the identity as the application sees it. TokRevokeClaimEnv: variables; TokRevokeClaimHeader: fields of the request,
 * which nobody but us may set:
 *
 *   post_read_request   every name that the server's configuration knows is taken out, on every path; so again in a redirect
 *   header_parser       those that an .htaccess adds
 *   reading the body    trailers, which httpd may merge into the fields (MergeTrailers)
 *   fixups              what was set for the request that this one comes from is taken out, and what is right for this one is set;
 *                       behind mod_headers: did it put a line break into a field?
 */
#include "trh.h"

#include <stdatomic.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_request.h>

#include "tr_export.h"
#include "tr_recent.h"

#define FILTER_NAME "TOKREVOKE_TRAILERS"
#define PREFIX "TOKEN_CLAIM_"
#define FIELD_PREFIX "HTTP_"
#define MET "tokrevoke-claim-headers"

static ap_filter_rec_t *filter;

/* const char *; the names in the server's configuration. Made while that is read, read only afterwards. */
static apr_array_header_t *known;
static uint32_t known_begins; /* bit_of of each of them */

/* Has this process met an .htaccess with names of its own? Else no request has any. */
static atomic_bool has_met;

static apr_pool_t *pool_of_first(const request_rec *r)
{
    while (r->main != NULL) {
        r = r->main;
    }
    return r->pool;
}

/*
 * const char *; the names in each .htaccess that was met. Of a request with all its parts and redirects, in the pool of the first.
 * NULL: none.
 */
static const apr_array_header_t *met_by(const request_rec *r)
{
    void *met = NULL;

    if (atomic_load_explicit(&has_met, memory_order_relaxed)) {
        apr_pool_userdata_get(&met, MET, pool_of_first(r));
    }
    return met;
}

static void meet(const request_rec *r, const char *name)
{
    apr_pool_t *pool = pool_of_first(r);
    void *met = NULL;

    atomic_store_explicit(&has_met, true, memory_order_relaxed);
    apr_pool_userdata_get(&met, MET, pool);
    if (met == NULL) {
        met = apr_array_make(pool, 2, sizeof(const char *));
        apr_pool_userdata_setn(met, MET, NULL, pool);
    }
    APR_ARRAY_PUSH((apr_array_header_t *)met, const char *) = apr_pstrdup(pool, name);
}

void trh_forget_claim_headers(apr_pool_t *pconf)
{
    known = apr_array_make(pconf, 4, sizeof(const char *));
    known_begins = 0;
}

static bool is_among(const apr_array_header_t *names, tr_str_t name)
{
    for (int i = 0; names != NULL && i < names->nelts; i++) {
        if (tr_export_is_same_field(tr_str_z(APR_ARRAY_IDX(names, i, const char *)), name)) {
            return true;
        }
    }
    return false;
}

/* Of a name's first character; names that an application could take for the same have the same bit. */
static uint32_t bit_of(char first)
{
    return UINT32_C(1) << (apr_isalnum(first) ? first & 31 : 0);
}

void trh_know_claim_header(const char *name)
{
    if (!is_among(known, tr_str_z(name))) {
        APR_ARRAY_PUSH(known, const char *) = name;
        known_begins |= bit_of(*name);
    }
}

/* ---- taking out --------------------------------------------------------------------------------------------- */

static bool has_names(const apr_array_header_t *met)
{
    return known_begins != 0 || met != NULL;
}

static bool is_claimed(const apr_array_header_t *met, tr_str_t name)
{
    return is_among(known, name) || is_among(met, name);
}

/* The same; most fields are none of ours by their first character. */
static bool is_claimed_field(const apr_array_header_t *met, const char *name)
{
    return ((known_begins & bit_of(*name)) != 0 || met != NULL) && is_claimed(met, tr_str_z(name));
}

static bool is_claimed_name(void *met, tr_str_t name)
{
    return is_claimed(met, name);
}

/* Nor may a proxy drop our field because the client named it as one of this connection only (RFC 9110 7.6.1). */
static void clean_list(request_rec *r, const apr_array_header_t *met, const char *field)
{
    const char *list = apr_table_get(r->headers_in, field);
    char *left = list != NULL ? tr_export_strip_list(list, is_claimed_name, (void *)met, r->pool) : NULL;

    if (left != NULL && *left == '\0') {
        apr_table_unset(r->headers_in, field);
    }
    else if (left != NULL) {
        apr_table_setn(r->headers_in, field, left);
    }
}

/* Take the claimed fields out; those go to taken, unless it is NULL. */
static void clean_fields(apr_table_t *fields, apr_table_t *taken, const apr_array_header_t *met, apr_pool_t *pool)
{
    const apr_array_header_t *all = apr_table_elts(fields);
    apr_array_header_t *names = NULL;

    for (int i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *entry = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        if (entry->key == NULL || !is_claimed_field(met, entry->key)) {
            continue;
        }
        names = names != NULL ? names : apr_array_make(pool, 4, sizeof(const char *));
        APR_ARRAY_PUSH(names, const char *) = entry->key;
        if (taken != NULL) {
            apr_table_addn(taken, entry->key, entry->val);
        }
    }
    for (int i = 0; names != NULL && i < names->nelts; i++) {
        apr_table_unset(fields, APR_ARRAY_IDX(names, i, const char *));
    }
}

static void clean(request_rec *r, const apr_array_header_t *met)
{
    if (!has_names(met)) {
        return;
    }
    clean_fields(r->headers_in, NULL, met, r->pool);
    clean_fields(r->trailers_in, NULL, met, r->pool);
    /* httpd has joined several fields of one name into one. */
    clean_list(r, met, "Connection");
    clean_list(r, met, "Proxy-Connection");
    clean_list(r, met, "Trailer");
}

/* Trailers come with the end of the body. When httpd merges them it makes a new table, of what we have set and what they bring. */
static apr_status_t read_body(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                              apr_off_t readbytes)
{
    apr_table_t *before = f->r->headers_in;
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    request_rec *r = f->r;
    const apr_array_header_t *met = met_by(r);

    clean_fields(r->trailers_in, NULL, met, r->pool);
    if (r->headers_in != before) {
        apr_table_t *ours = apr_table_make(r->pool, 4);

        clean_fields(apr_table_copy(r->pool, before), ours, met, r->pool);
        clean_fields(r->headers_in, NULL, met, r->pool);
        apr_table_overlap(r->headers_in, ours, APR_OVERLAP_TABLES_SET);
        clean_list(r, met, "Connection");
    }
    return rv;
}

/* A redirect inside httpd keeps the filters of the protocol only. */
static void watch_trailers(request_rec *r, const apr_array_header_t *met)
{
    if (r->main != NULL || !has_names(met)) {
        return;
    }
    for (ap_filter_t *f = r->input_filters; f != NULL; f = f->next) {
        if (f->frec == filter) {
            return;
        }
    }
    ap_add_input_filter_handle(filter, NULL, r, r->connection);
}

int trh_clean_fields(request_rec *r)
{
    const apr_array_header_t *met = met_by(r);

    clean(r, met);
    watch_trailers(r, met);
    return DECLINED;
}

/* An .htaccess is known now. */
int trh_clean_local_fields(request_rec *r)
{
    const trh_dir_t *dir = trh_dir(r);
    const apr_array_header_t *fields = dir->has_local_fields ? dir->claim_headers : NULL;
    bool is_news = false;

    for (int i = 0; fields != NULL && i < fields->nelts; i++) {
        const char *name = APR_ARRAY_IDX(fields, i, trh_claim_header_t).field;

        if (!is_claimed(met_by(r), tr_str_z(name))) {
            meet(r, name);
            is_news = true;
        }
    }
    if (is_news) {
        clean(r, met_by(r));
        watch_trailers(r, met_by(r));
    }
    return DECLINED;
}

/* ---- telling ------------------------------------------------------------------------------------------------ */

/* httpd hands the user on to a part or redirect only where the same configuration counts, and asks no hook there. */
static const trh_request_t *identified(const request_rec *r)
{
    const request_rec *from;

    for (; trh_request(r) == NULL; r = from) {
        from = trh_origin(r);
        if (from == NULL || r->user == NULL || from->user != r->user || from->per_dir_config != r->per_dir_config) {
            return NULL;
        }
    }
    return trh_request(r);
}

static bool is_ours(const char *variable, const apr_array_header_t *met)
{
    switch (*variable) {
    case 'T':
    case 't':
        return strncasecmp(variable, PREFIX, strlen(PREFIX)) == 0;
    case 'H':
    case 'h':
        return has_names(met) && strncasecmp(variable, FIELD_PREFIX, strlen(FIELD_PREFIX)) == 0 &&
               is_claimed_field(met, variable + strlen(FIELD_PREFIX));
    default:
        return false;
    }
}

static bool has_ours(const apr_array_header_t *variables, const apr_array_header_t *met)
{
    for (int i = 0; i < variables->nelts; i++) {
        if (is_ours(APR_ARRAY_IDX(variables, i, apr_table_entry_t).key, met)) {
            return true;
        }
    }
    return false;
}

/* A part of a page begins with the variables of the page, where mod_include has made some of the fields, too. */
static void clean_variables(request_rec *r, const apr_array_header_t *met)
{
    const apr_array_header_t *all = apr_table_elts(r->subprocess_env);
    apr_table_t *kept;

    if (!has_ours(all, met)) {
        return;
    }
    kept = apr_table_make(r->pool, all->nelts);
    for (int i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *entry = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        if (!is_ours(entry->key, met)) {
            apr_table_addn(kept, entry->key, entry->val);
        }
    }
    apr_table_clear(r->subprocess_env);
    all = apr_table_elts(kept);
    for (int i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *entry = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        apr_table_addn(r->subprocess_env, entry->key, entry->val);
    }
}

static void tell_variables(request_rec *r, const tr_identity_t *identity)
{
    const apr_array_header_t *variables = tr_recent_variables(identity, PREFIX, r->pool);

    for (int i = 0; i < variables->nelts; i++) {
        const tr_variable_t *variable = &APR_ARRAY_IDX(variables, i, tr_variable_t);

        apr_table_addn(r->subprocess_env, variable->name, variable->value);
    }
}

static void tell_fields(request_rec *r, const tr_identity_t *identity)
{
    const apr_array_header_t *fields = trh_dir(r)->claim_headers;

    for (int i = 0; fields != NULL && i < fields->nelts; i++) {
        const trh_claim_header_t *field = &APR_ARRAY_IDX(fields, i, trh_claim_header_t);
        const char *value;

        if (tr_recent_header(&value, identity, field->claim, r->pool) == APR_SUCCESS && value != NULL) {
            apr_table_setn(r->headers_in, field->field, value);
        }
        else if (tr_json_path(tr_recent_payload(identity, r->pool), field->claim) != NULL) {
            ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                          "the claim %s is null, or begins or ends with a blank: it cannot be handed on as %s", field->claim,
                          field->field);
        }
    }
}

static const tr_identity_t *identity_of(const request_rec *r)
{
    const trh_request_t *request = identified(r);

    return request != NULL ? request->identity : NULL;
}

/* All but the fields, which are told by the caller. */
static void tell_anew(request_rec *r, const tr_identity_t *identity)
{
    clean(r, met_by(r));
    clean_variables(r, met_by(r));
    if (identity != NULL && trh_dir(r)->claim_env != 0) {
        tell_variables(r, identity);
    }
}

int trh_tell_application(request_rec *r)
{
    const tr_identity_t *identity = identity_of(r);

    trh_clean_local_fields(r);
    tell_anew(r, identity);
    if (identity != NULL) {
        tell_fields(r, identity);
    }
    return DECLINED;
}

/* As they are there, with what mod_headers has made of them. */
void trh_take_over_fields(request_rec *r, const request_rec *part)
{
    apr_table_t *ours = apr_table_make(r->pool, 4);

    tell_anew(r, identity_of(r));
    watch_trailers(r, met_by(r));
    clean_fields(apr_table_copy(r->pool, part->headers_in), ours, met_by(r), r->pool);
    apr_table_overlap(r->headers_in, ours, APR_OVERLAP_TABLES_SET);
}

/* Does the token stand here, behind its scheme? Then all of the value was read, and no line break is in it. */
static bool is_authorization(const char *value, const trh_request_t *request)
{
    return request->source.kind == TR_FROM_AUTHORIZATION &&
           (uintptr_t)request->token.data - (uintptr_t)value <= strlen("Bearer ");
}

/* strchr looks at many bytes at once, and strpbrk at each. */
static bool has_line_break(const char *value)
{
    return strchr(value, '\n') != NULL || strchr(value, '\r') != NULL;
}

/*
 * No client can send a line break, and "RequestHeader … expr=" lets one through: then it came with a claim, perhaps of the request
 * that this one comes from (REDIRECT_TOKEN_CLAIM_…), and would become a field, or a request, of its own.
 */
int trh_check_told(request_rec *r)
{
    const trh_request_t *request = trh_request_of(r);
    const apr_array_header_t *all = apr_table_elts(r->headers_in);

    for (int i = 0; request != NULL && i < all->nelts; i++) {
        const char *value = APR_ARRAY_IDX(all, i, apr_table_entry_t).val;

        if (!is_authorization(value, request) && has_line_break(value)) {
            return trh_refuse(r, tr_reason(TR_MALFORMED), TR_MALFORMED, request->token);
        }
    }
    return DECLINED;
}

apr_status_t trh_check_claim_headers(const request_rec *r, const tr_identity_t *identity)
{
    const apr_array_header_t *fields = trh_dir(r)->claim_headers;
    const char *value;
    apr_status_t rv = APR_SUCCESS;

    if (fields == NULL || tr_recent_is_clean(identity)) {
        return APR_SUCCESS;
    }
    for (int i = 0; rv == APR_SUCCESS && i < fields->nelts; i++) {
        rv = tr_recent_header(&value, identity, APR_ARRAY_IDX(fields, i, trh_claim_header_t).claim, r->pool);
    }
    return rv;
}

void trh_register_export(void)
{
    filter = ap_register_input_filter(FILTER_NAME, read_body, NULL, AP_FTYPE_CONTENT_SET);
}
