/* tr_form.c: request bodies as parameters, strictly: what two readers could read in two ways is refused. */
#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_oauth.h"

struct tr_params_t {
    apr_hash_t *value; /* name -> tr_str_t *, or &not_a_string */
};

static tr_str_t not_a_string;

tr_body_type_t tr_body_type(const char *content_type)
{
    tr_str_t type = tr_str_z(content_type);
    const char *semicolon = type.len > 0 ? memchr(type.data, ';', type.len) : NULL;

    if (semicolon != NULL) {
        type.len = (apr_size_t)(semicolon - type.data);
    }
    while (type.len > 0 && (type.data[type.len - 1] == ' ' || type.data[type.len - 1] == '\t')) {
        type.len--;
    }
    if (tr_str_eq_nocase(type, tr_str_z("application/x-www-form-urlencoded"))) {
        return TR_BODY_FORM;
    }
    return tr_str_eq_nocase(type, tr_str_z("application/json")) ? TR_BODY_JSON : TR_BODY_OTHER;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool tr_is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c) != NULL);
}

char *tr_percent_encode(tr_str_t in, const char *kept, apr_pool_t *pool)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = apr_palloc(pool, 3 * in.len + 1);
    char *to = out;

    for (apr_size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.data[i];

        if (tr_is_unreserved((char)c) || (c != '\0' && strchr(kept, (char)c) != NULL)) {
            *to++ = (char)c;
            continue;
        }
        *to++ = '%';
        *to++ = digits[c >> 4];
        *to++ = digits[c & 15];
    }
    *to = '\0';
    return out;
}

apr_status_t tr_form_decode(tr_str_t *out, tr_str_t in, apr_pool_t *pool)
{
    char *buf = apr_palloc(pool, in.len + 1);
    apr_size_t len = 0;

    for (apr_size_t i = 0; i < in.len; i++) {
        char c = in.data[i];

        if (c == '%') {
            int high = in.len - i > 2 ? hex(in.data[i + 1]) : -1;
            int low = in.len - i > 2 ? hex(in.data[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return APR_EINVAL;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        else if (c == '+') {
            c = ' ';
        }
        if (c == '\0') {
            return APR_EINVAL;
        }
        buf[len++] = c;
    }
    buf[len] = '\0';
    *out = tr_str(buf, len);
    return APR_SUCCESS;
}

static apr_status_t add_pair(tr_params_t *params, const char **why, tr_str_t pair, apr_pool_t *pool)
{
    const char *equals = memchr(pair.data, '=', pair.len);
    tr_str_t raw_name = tr_str(pair.data, equals != NULL ? (apr_size_t)(equals - pair.data) : pair.len);
    tr_str_t raw_value = equals != NULL ? tr_str(equals + 1, pair.len - raw_name.len - 1) : tr_str("", 0);
    tr_str_t name;
    tr_str_t *value = apr_palloc(pool, sizeof(*value));

    if (tr_form_decode(&name, raw_name, pool) != APR_SUCCESS || tr_form_decode(value, raw_value, pool) != APR_SUCCESS) {
        *why = "The body has a broken percent escape or a NUL";
        return APR_EINVAL;
    }
    if (apr_hash_get(params->value, name.data, (apr_ssize_t)name.len) != NULL) {
        *why = "The body has a parameter twice";
        return APR_EINVAL;
    }
    if (apr_hash_count(params->value) >= TR_MAX_PARAMS) {
        *why = "The body has more than 64 parameters";
        return APR_EINVAL;
    }
    apr_hash_set(params->value, name.data, (apr_ssize_t)name.len, value);
    return APR_SUCCESS;
}

static tr_params_t *make(apr_pool_t *pool)
{
    tr_params_t *params = apr_palloc(pool, sizeof(*params));

    params->value = apr_hash_make(pool);
    return params;
}

apr_status_t tr_params_from_form(tr_params_t **out, const char **why, tr_str_t body, apr_pool_t *pool)
{
    tr_params_t *params = make(pool);
    const char *end = body.len > 0 ? body.data + body.len : body.data;

    for (const char *p = body.data; p < end;) {
        const char *ampersand = memchr(p, '&', (apr_size_t)(end - p));
        tr_str_t pair = tr_str(p, (apr_size_t)((ampersand != NULL ? ampersand : end) - p));

        if (pair.len > 0) {
            apr_status_t rv = add_pair(params, why, pair, pool);

            if (rv != APR_SUCCESS) {
                return rv;
            }
        }
        p += pair.len + 1;
    }
    *out = params;
    return APR_SUCCESS;
}

typedef struct json_reader_t {
    tr_params_t *params;
    apr_pool_t *pool;
} json_reader_t;

static void add_member(void *baton, const char *name, const tr_json_t *value)
{
    json_reader_t *reader = baton;
    tr_str_t text;
    tr_str_t *copy = &not_a_string;

    if (tr_json_string(&text, value)) {
        copy = apr_palloc(reader->pool, sizeof(*copy));
        *copy = tr_str(tr_str_dup_z(text, reader->pool), text.len);
        tr_json_wipe(value); /* a token or a secret, as like as not, of which one copy is enough */
    }
    apr_hash_set(reader->params->value, apr_pstrdup(reader->pool, name), APR_HASH_KEY_STRING, copy);
}

apr_status_t tr_params_from_json(tr_params_t **out, const char **why, tr_str_t body, apr_pool_t *pool)
{
    json_reader_t reader = {make(pool), pool};
    const tr_json_t *object;
    apr_status_t rv = tr_json_parse(&object, body, pool);

    if (rv == APR_ENOMEM) {
        *why = "There is no memory to read the body";
        return rv;
    }
    if (rv != APR_SUCCESS) {
        *why = "The body is not one JSON object without duplicate members";
        return APR_EINVAL;
    }
    if (tr_json_len(object) > TR_MAX_PARAMS) {
        *why = "The body has more than 64 members";
        return APR_EINVAL;
    }
    tr_json_each(object, add_member, &reader);
    *out = reader.params;
    return APR_SUCCESS;
}

apr_status_t tr_params_get(tr_str_t *out, const tr_params_t *params, const char *name)
{
    const tr_str_t *value = apr_hash_get(params->value, name, APR_HASH_KEY_STRING);

    *out = tr_str("", 0);
    if (value == &not_a_string) {
        return APR_EINVAL;
    }
    if (value == NULL || value->len == 0) {
        return APR_NOTFOUND;
    }
    *out = *value;
    return APR_SUCCESS;
}

apr_status_t tr_params_from_body(tr_params_t **out, const char **why, tr_body_type_t type, tr_str_t body, apr_pool_t *pool)
{
    *why = "The body must be application/x-www-form-urlencoded or application/json";
    switch (type) {
    case TR_BODY_FORM:
        return tr_params_from_form(out, why, body, pool);
    case TR_BODY_JSON:
        return tr_params_from_json(out, why, body, pool);
    default:
        return APR_EINVAL;
    }
}

const char *tr_params_unknown(const tr_params_t *params, const char *const *names, apr_pool_t *pool)
{
    for (apr_hash_index_t *i = apr_hash_first(pool, params->value); i != NULL; i = apr_hash_next(i)) {
        const char *name = apr_hash_this_key(i);
        const char *const *known = names;

        while (*known != NULL && strcmp(*known, name) != 0) {
            known++;
        }
        if (*known == NULL) {
            return name;
        }
    }
    return NULL;
}
