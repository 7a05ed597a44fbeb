/* tr_query.c: parameters in the query of a request. */
#include "tr_query.h"

#include <apr_strings.h>

#include "tr_oauth.h"
#include "tr_reason.h"

bool tr_is_parameter(tr_str_t *raw, tr_str_t pair, const char *name, apr_pool_t *pool)
{
    const char *equals = pair.len > 0 ? memchr(pair.data, '=', pair.len) : NULL;
    tr_str_t key = equals != NULL ? tr_str(pair.data, (apr_size_t)(equals - pair.data)) : pair;

    *raw = equals != NULL ? tr_str(equals + 1, pair.len - key.len - 1) : tr_str("", 0);
    return tr_form_decode(&key, key, pool) == APR_SUCCESS && tr_str_eq_z(key, name);
}

apr_status_t tr_query_find(tr_str_t *out, const char *args, const char *name, apr_pool_t *pool)
{
    bool found = false;
    tr_str_t raw;

    while (*args != '\0') {
        apr_size_t len = strcspn(args, "&");

        if (tr_is_parameter(&raw, tr_str(args, len), name, pool)) {
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

bool tr_query_value(tr_str_t *out, const char *args, const char *name, apr_pool_t *pool)
{
    bool found = false;
    tr_str_t raw;

    *out = tr_str("", 0);
    for (apr_size_t len; *args != '\0'; args += len + (args[len] == '&')) {
        len = strcspn(args, "&");
        if (!tr_is_parameter(&raw, tr_str(args, len), name, pool)) {
            continue;
        }
        if (found || tr_form_decode(out, raw, pool) != APR_SUCCESS) {
            *out = tr_str("", 0);
            return false;
        }
        found = true;
    }
    return out->len > 0;
}

char *tr_query_strip(const char *args, apr_size_t args_len, const char *name, apr_pool_t *pool)
{
    char *left = apr_palloc(pool, args_len + 1);
    char *to = left;
    const char *end = args + args_len;
    tr_str_t raw;

    for (const char *p = args; p < end;) {
        const char *ampersand = memchr(p, '&', (apr_size_t)(end - p));
        apr_size_t len = (apr_size_t)((ampersand != NULL ? ampersand : end) - p);

        if (!tr_is_parameter(&raw, tr_str(p, len), name, pool)) {
            if (to > left) {
                *to++ = '&';
            }
            memcpy(to, p, len);
            to += len;
        }
        p += len + 1;
    }
    *to = '\0';
    return to > left ? left : NULL;
}

char *tr_query_strip_uri(const char *text, const char *name, apr_pool_t *pool)
{
    const char *query = strchr(text, '?');
    apr_size_t len;
    char *left;

    if (query == NULL) {
        return apr_pstrdup(pool, text);
    }
    len = strcspn(query + 1, " #");
    left = tr_query_strip(query + 1, len, name, pool);
    return apr_pstrcat(pool, apr_pstrmemdup(pool, text, (apr_size_t)(query - text)), left != NULL ? "?" : "",
                       left != NULL ? left : "", query + 1 + len, NULL);
}
