/*
 * trh_find.c: the token of a request, or all of them. httpd joins fields of one name with ", "; a comma is no character of a token, so
 * it gives two Authorization fields away (RFC 6750 2, RFC 9110 5.3).
 */
#include "trh.h"

#include <apr_strings.h>

#include "tr_logout.h"

#define BEARER_LEN 6

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* Does another field, joined behind a comma, begin with the scheme Bearer? */
static bool hides_bearer(tr_str_t value)
{
    for (apr_size_t i = 0; i < value.len; i++) {
        if (value.data[i] != ',') {
            continue;
        }
        while (i + 1 < value.len && is_space(value.data[i + 1])) {
            i++;
        }
        if (trh_has_bearer_scheme(tr_str(value.data + i + 1, value.len - i - 1))) {
            return true;
        }
    }
    return false;
}

static apr_status_t from_raw(tr_str_t *out, tr_str_t value)
{
    while (value.len > 0 && value.data[0] == ' ') {
        value = tr_str(value.data + 1, value.len - 1);
    }
    *out = value;
    if (value.len == 0) {
        return TR_NO_TOKEN;
    }
    return memchr(value.data, ',', value.len) != NULL ? TR_MULTIPLE_TOKENS : APR_SUCCESS;
}

bool trh_has_bearer_scheme(tr_str_t value)
{
    /* Nearly always it is written so. */
    return value.len >= BEARER_LEN &&
           (memcmp(value.data, "Bearer", BEARER_LEN) == 0 || strncasecmp(value.data, "Bearer", BEARER_LEN) == 0) &&
           (value.len == BEARER_LEN || is_space(value.data[BEARER_LEN]));
}

static apr_status_t from_authorization(tr_str_t *out, tr_str_t value)
{
    if (!trh_has_bearer_scheme(value)) {
        return hides_bearer(value) ? TR_MULTIPLE_TOKENS : TR_NO_TOKEN;
    }
    return from_raw(out, tr_str(value.data + BEARER_LEN, value.len - BEARER_LEN));
}

bool trh_is_parameter(tr_str_t *raw, tr_str_t pair, const char *name, apr_pool_t *pool)
{
    const char *equals = pair.len > 0 ? memchr(pair.data, '=', pair.len) : NULL;
    tr_str_t key = equals != NULL ? tr_str(pair.data, (apr_size_t)(equals - pair.data)) : pair;

    *raw = equals != NULL ? tr_str(equals + 1, pair.len - key.len - 1) : tr_str("", 0);
    return tr_form_decode(&key, key, pool) == APR_SUCCESS && tr_str_eq_z(key, name);
}

/* The value of the parameter: decoded; as it stands where it can't be, which is no token either. */
static apr_status_t from_query(tr_str_t *out, const char *args, const char *name, apr_pool_t *pool)
{
    bool found = false;
    tr_str_t raw;

    while (*args != '\0') {
        apr_size_t len = strcspn(args, "&");

        if (trh_is_parameter(&raw, tr_str(args, len), name, pool)) {
            if (found) {
                return TR_MULTIPLE_TOKENS;
            }
            found = true;
            if (tr_form_decode(out, raw, pool) != APR_SUCCESS) {
                *out = raw;
            }
        }
        args += len + (args[len] == '&');
    }
    return found && out->len > 0 ? APR_SUCCESS : TR_NO_TOKEN;
}

static apr_status_t look_into(tr_str_t *out, request_rec *r, const trh_source_t *source)
{
    const char *field;

    switch (source->kind) {
    case TRH_FROM_AUTHORIZATION:
        return from_authorization(out, tr_str_z(apr_table_get(r->headers_in, "Authorization")));
    case TRH_FROM_HEADER:
        return from_raw(out, tr_str_z(apr_table_get(r->headers_in, source->name)));
    case TRH_FROM_COOKIE:
        field = apr_table_get(r->headers_in, "Cookie");
        return field != NULL && tr_cookie_find(out, tr_str_z(field), tr_str_z(source->name)) ? APR_SUCCESS : TR_NO_TOKEN;
    case TRH_FROM_QUERY:
        return r->args != NULL ? from_query(out, r->args, source->name, r->pool) : TR_NO_TOKEN;
    default:
        return TR_NO_TOKEN; /* the body is the application's */
    }
}

static bool is_configured(const apr_array_header_t *sources, const trh_source_t *source)
{
    for (int i = 0; i < sources->nelts; i++) {
        const trh_source_t *one = &APR_ARRAY_IDX(sources, i, trh_source_t);

        if (trh_source_eq(one, source)) {
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
        const trh_source_t *source = &APR_ARRAY_IDX(sources, i, trh_source_t);
        tr_str_t token = {NULL, 0};
        apr_status_t rv = look_into(&token, r, source);

        if (rv == TR_MULTIPLE_TOKENS) {
            return rv;
        }
        if (rv != APR_SUCCESS) {
            continue;
        }
        in_header = in_header || source->kind == TRH_FROM_AUTHORIZATION || source->kind == TRH_FROM_HEADER;
        in_query = in_query || source->kind == TRH_FROM_QUERY;
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

static tr_str_t trim(tr_str_t text)
{
    while (text.len > 0 && is_space(text.data[0])) {
        text = tr_str(text.data + 1, text.len - 1);
    }
    while (text.len > 0 && is_space(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

/* Each piece of a field's value between commas; of Authorization, those of the scheme Bearer. */
static bool add_field(apr_array_header_t *tokens, tr_str_t value, bool has_scheme)
{
    while (value.len > 0) {
        const char *comma = memchr(value.data, ',', value.len);
        tr_str_t piece = trim(tr_str(value.data, comma != NULL ? (apr_size_t)(comma - value.data) : value.len));
        apr_size_t taken = comma != NULL ? (apr_size_t)(comma - value.data) + 1 : value.len;

        value = tr_str(value.data + taken, value.len - taken);
        if (has_scheme) {
            piece = trh_has_bearer_scheme(piece) ? trim(tr_str(piece.data + BEARER_LEN, piece.len - BEARER_LEN)) : tr_str("", 0);
        }
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
        if (trh_is_parameter(&raw, tr_str(args, len), name, pool) && tr_form_decode(&value, raw, pool) == APR_SUCCESS &&
            !tr_logout_add_token(tokens, value)) {
            return false;
        }
    }
    return true;
}

static bool add_source(apr_array_header_t *tokens, request_rec *r, const trh_source_t *source, const tr_params_t *params)
{
    tr_str_t value;

    switch (source->kind) {
    case TRH_FROM_AUTHORIZATION:
        return add_field(tokens, tr_str_z(apr_table_get(r->headers_in, "Authorization")), true);
    case TRH_FROM_HEADER:
        return add_field(tokens, tr_str_z(apr_table_get(r->headers_in, source->name)), false);
    case TRH_FROM_COOKIE:
        return add_cookies(tokens, tr_str_z(apr_table_get(r->headers_in, "Cookie")), source->name);
    case TRH_FROM_QUERY:
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
        fits = add_source(tokens, r, &APR_ARRAY_IDX(sources, i, trh_source_t), params);
    }
    return fits;
}

bool trh_query_value(tr_str_t *out, const request_rec *r, const char *name)
{
    const char *args = r->args != NULL ? r->args : "";
    bool found = false;
    tr_str_t raw;

    *out = tr_str("", 0);
    for (apr_size_t len; *args != '\0'; args += len + (args[len] == '&')) {
        len = strcspn(args, "&");
        if (!trh_is_parameter(&raw, tr_str(args, len), name, r->pool)) {
            continue;
        }
        if (found || tr_form_decode(out, raw, r->pool) != APR_SUCCESS) {
            *out = tr_str("", 0);
            return false;
        }
        found = true;
    }
    return out->len > 0;
}
