/*
 * trh_find.c: the token of a request, or all of them.
 */
#include "trh.h"

#include <apr_strings.h>

#include "tr_bearer.h"
#include "tr_logout.h"
#include "tr_query.h"

static apr_status_t look_into(tr_str_t *out, request_rec *r, const tr_source_t *source)
{
    const char *field;

    switch (source->kind) {
    case TR_FROM_AUTHORIZATION:
        return tr_bearer_find(out, tr_str_z(apr_table_get(r->headers_in, "Authorization")));
    case TR_FROM_HEADER:
        return tr_bearer_find_alone(out, tr_str_z(apr_table_get(r->headers_in, source->name)));
    case TR_FROM_COOKIE:
        field = apr_table_get(r->headers_in, "Cookie");
        return field != NULL && tr_cookie_find(out, tr_str_z(field), tr_str_z(source->name)) ? APR_SUCCESS : TR_NO_TOKEN;
    case TR_FROM_QUERY:
        return r->args != NULL ? tr_query_find(out, r->args, source->name, r->pool) : TR_NO_TOKEN;
    default:
        return TR_NO_TOKEN; /* the body is the application's */
    }
}

static bool is_configured(const apr_array_header_t *sources, const tr_source_t *source)
{
    for (int i = 0; i < sources->nelts; i++) {
        const tr_source_t *one = &APR_ARRAY_IDX(sources, i, tr_source_t);

        if (tr_source_eq(one, source)) {
            return true;
        }
    }
    return false;
}

/* A token that TokRevokeStripToken took out of the request that this one comes from. */
static bool find_stripped(trh_found_t *out, const request_rec *r, const apr_array_header_t *sources)
{
    for (r = trh_origin(r); r != NULL; r = trh_origin(r)) {
        const trh_request_t *request = trh_record(r);

        if (request != NULL && request->stripped && request->token.len > 0 && is_configured(sources, &request->source)) {
            out->token = request->token;
            out->source = request->source;
            return true;
        }
    }
    return false;
}

apr_status_t trh_find_token(trh_found_t *out, request_rec *r, const apr_array_header_t *sources)
{
    bool found = find_stripped(out, r, sources);
    bool in_header = false;
    bool in_query = false;

    for (int i = 0; i < sources->nelts; i++) {
        const tr_source_t *source = &APR_ARRAY_IDX(sources, i, tr_source_t);
        tr_str_t token = {NULL, 0};
        apr_status_t rv = look_into(&token, r, source);

        if (rv == TR_MULTIPLE_TOKENS) {
            return rv;
        }
        if (rv != APR_SUCCESS) {
            continue;
        }
        in_header = in_header || source->kind == TR_FROM_AUTHORIZATION || source->kind == TR_FROM_HEADER;
        in_query = in_query || source->kind == TR_FROM_QUERY;
        if (!found) {
            out->token = token;
            out->source = *source;
            found = true;
        }
    }
    if (in_header && in_query) {
        return TR_MULTIPLE_TOKENS;
    }
    return found ? APR_SUCCESS : TR_NO_TOKEN;
}

/* ---- all of them -------------------------------------------------------------------------------------------- */

/* Each piece of a field's value between commas; of Authorization, those of the scheme Bearer. */
static bool add_field(apr_array_header_t *tokens, tr_str_t value, bool has_scheme)
{
    tr_str_t piece;

    while (tr_bearer_next(&piece, &value, has_scheme)) {
        if (!tr_logout_add_token(tokens, piece)) {
            return false;
        }
    }
    return true;
}

static bool add_cookies(apr_array_header_t *tokens, tr_str_t field, const char *name)
{
    tr_str_t value;

    while (tr_cookie_next(&value, &field, tr_str_z(name))) {
        if (!tr_logout_add_token(tokens, value)) {
            return false;
        }
    }
    return true;
}

static bool add_parameters(apr_array_header_t *tokens, const char *args, const char *name, apr_pool_t *pool)
{
    tr_str_t raw, value;

    for (apr_size_t len; *args != '\0'; args += len + (args[len] == '&')) {
        len = strcspn(args, "&");
        if (tr_is_parameter(&raw, tr_str(args, len), name, pool) && tr_form_decode(&value, raw, pool) == APR_SUCCESS &&
            !tr_logout_add_token(tokens, value)) {
            return false;
        }
    }
    return true;
}

static bool add_source(apr_array_header_t *tokens, request_rec *r, const tr_source_t *source, const tr_params_t *params)
{
    tr_str_t value;

    switch (source->kind) {
    case TR_FROM_AUTHORIZATION:
        return add_field(tokens, tr_str_z(apr_table_get(r->headers_in, "Authorization")), true);
    case TR_FROM_HEADER:
        return add_field(tokens, tr_str_z(apr_table_get(r->headers_in, source->name)), false);
    case TR_FROM_COOKIE:
        return add_cookies(tokens, tr_str_z(apr_table_get(r->headers_in, "Cookie")), source->name);
    case TR_FROM_QUERY:
        return r->args == NULL || add_parameters(tokens, r->args, source->name, r->pool);
    default:
        return params == NULL || tr_params_get(&value, params, source->name) != APR_SUCCESS || tr_logout_add_token(tokens, value);
    }
}

/* What TokRevokeStripToken took out of this request, or of the one that it comes from. */
static bool add_stripped(apr_array_header_t *tokens, const request_rec *r, const apr_array_header_t *sources)
{
    const trh_request_t *request = trh_request(r);
    trh_found_t found;

    if (find_stripped(&found, r, sources) && !tr_logout_add_token(tokens, found.token)) {
        return false;
    }
    for (int i = 0; request != NULL && request->others != NULL && i < request->others->nelts; i++) {
        if (!tr_logout_add_token(tokens, APR_ARRAY_IDX(request->others, i, tr_str_t))) {
            return false;
        }
    }
    return request == NULL || !request->has_more;
}

bool trh_find_all(apr_array_header_t *tokens, request_rec *r, const apr_array_header_t *sources, const tr_params_t *params)
{
    bool fits = add_stripped(tokens, r, sources);

    for (int i = 0; i < sources->nelts && fits; i++) {
        fits = add_source(tokens, r, &APR_ARRAY_IDX(sources, i, tr_source_t), params);
    }
    return fits;
}
