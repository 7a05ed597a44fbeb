/* tr_require.c: comparing claims and scopes with what the configuration asks for. Always whole values, never parts. */
#include "tr_require.h"

bool tr_require_text(tr_str_t *out, const tr_json_t *value, apr_pool_t *pool)
{
    if (value == NULL) {
        return false;
    }
    switch (tr_json_type(value)) {
    case TR_JSON_STRING:
        return tr_json_string(out, value);
    case TR_JSON_INTEGER:
    case TR_JSON_REAL:
    case TR_JSON_BOOLEAN:
        *out = tr_str_z(tr_json_text(value, pool));
        return true;
    default:
        return false;
    }
}

bool tr_require_any(const tr_json_t *payload, const char *path, tr_require_fn is_it, void *baton, apr_pool_t *pool)
{
    const tr_json_t *claim = tr_json_path(payload, path);
    tr_str_t text;

    if (claim == NULL || tr_json_type(claim) != TR_JSON_ARRAY) {
        return tr_require_text(&text, claim, pool) && is_it(baton, text);
    }
    for (apr_size_t i = 0; i < tr_json_len(claim); i++) {
        if (tr_require_text(&text, tr_json_at(claim, i), pool) && is_it(baton, text)) {
            return true;
        }
    }
    return false;
}

static bool is_listed(void *baton, tr_str_t text)
{
    const apr_array_header_t *values = baton;

    for (int i = 0; i < values->nelts; i++) {
        if (tr_str_eq_z(text, APR_ARRAY_IDX(values, i, const char *))) {
            return true;
        }
    }
    return false;
}

bool tr_require_value(const tr_json_t *payload, const char *path, const apr_array_header_t *values, apr_pool_t *pool)
{
    return tr_require_any(payload, path, is_listed, (void *)values, pool);
}

bool tr_is_scope(const char *text)
{
    const char *p = text;

    while (*p > ' ' && *p < 0x7f && *p != '"' && *p != '\\') {
        p++;
    }
    return p != text && *p == '\0';
}

/* Is it one of those that stand in list, with spaces between them? */
static bool is_in_line(tr_str_t list, tr_str_t scope)
{
    while (list.len > 0) {
        const char *space = memchr(list.data, ' ', list.len);
        tr_str_t one = tr_str(list.data, space != NULL ? (apr_size_t)(space - list.data) : list.len);
        apr_size_t taken = one.len + (space != NULL);

        if (tr_str_eq(one, scope)) {
            return true;
        }
        list = tr_str(list.data + taken, list.len - taken);
    }
    return false;
}

static bool is_in_claim(const tr_json_t *claim, tr_str_t scope)
{
    tr_str_t text;

    if (claim == NULL) {
        return false;
    }
    if (tr_json_string(&text, claim)) {
        return is_in_line(text, scope);
    }
    for (apr_size_t i = 0; tr_json_type(claim) == TR_JSON_ARRAY && i < tr_json_len(claim); i++) {
        if (tr_json_string(&text, tr_json_at(claim, i)) && tr_str_eq(text, scope)) {
            return true;
        }
    }
    return false;
}

bool tr_require_scopes(const tr_json_t *payload, const apr_array_header_t *scopes)
{
    const tr_json_t *scope = tr_json_get(payload, "scope");
    const tr_json_t *scp = tr_json_get(payload, "scp");

    for (int i = 0; i < scopes->nelts; i++) {
        tr_str_t asked = tr_str_z(APR_ARRAY_IDX(scopes, i, const char *));

        if (!is_in_claim(scope, asked) && !is_in_claim(scp, asked)) {
            return false;
        }
    }
    return true;
}

const char *tr_require_show(const tr_json_t *payload, const char *path, apr_pool_t *pool)
{
    const tr_json_t *claim = tr_json_path(payload, path);
    tr_str_t text;

    if (claim == NULL || tr_json_type(claim) == TR_JSON_NULL) {
        return NULL;
    }
    if (!tr_json_string(&text, claim)) {
        text = tr_str_z(tr_json_text(claim, pool));
    }
    return tr_str_has_control(text) ? NULL : tr_str_dup_z(text, pool);
}
