/* tr_cookie.c: the cookies of one name in a Cookie field, found or taken out. */
#include "tr_oauth.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/*
 * The next cookie-pair at *p, trimmed; *p goes on behind it. Pairs end at ';', and at ", ", which is where an HTTP
 * server joined two Cookie fields.
 */
static tr_str_t next_pair(const char **p, const char *end)
{
    const char *from = *p;
    const char *to;

    while (from < end && (is_space(*from) || *from == ';' || *from == ',')) {
        from++;
    }
    for (to = from; to < end && *to != ';' && !(*to == ',' && to + 1 < end && to[1] == ' '); to++) {
    }
    *p = to;
    while (to > from && is_space(to[-1])) {
        to--;
    }
    return tr_str(from, (apr_size_t)(to - from));
}

/* Does pair carry that name? Its value then, without white space and one pair of quotes around it. */
static bool value_of(tr_str_t *value, tr_str_t pair, tr_str_t name)
{
    const char *equals = pair.len > 0 ? memchr(pair.data, '=', pair.len) : NULL;
    tr_str_t key, v;

    if (equals == NULL) {
        return false;
    }
    key = tr_str(pair.data, (apr_size_t)(equals - pair.data));
    while (key.len > 0 && is_space(key.data[key.len - 1])) {
        key.len--;
    }
    v = tr_str(equals + 1, pair.len - (apr_size_t)(equals - pair.data) - 1);
    while (v.len > 0 && is_space(v.data[0])) {
        v = tr_str(v.data + 1, v.len - 1);
    }
    if (v.len >= 2 && v.data[0] == '"' && v.data[v.len - 1] == '"') {
        v = tr_str(v.data + 1, v.len - 2);
    }
    *value = v;
    return tr_str_eq(key, name);
}

bool tr_cookie_next(tr_str_t *out, tr_str_t *field, tr_str_t name)
{
    const char *end = field->len > 0 ? field->data + field->len : field->data;
    const char *p = field->data;
    bool found = false;
    tr_str_t value;

    while (p < end && !found) {
        found = value_of(&value, next_pair(&p, end), name);
    }
    *field = tr_str(p, (apr_size_t)(end - p));
    if (found) {
        *out = value;
    }
    return found;
}

bool tr_cookie_find(tr_str_t *out, tr_str_t field, tr_str_t name)
{
    return tr_cookie_next(out, &field, name) && out->len > 0;
}

char *tr_cookie_strip(tr_str_t field, tr_str_t name, apr_pool_t *pool)
{
    const char *end = field.len > 0 ? field.data + field.len : field.data;
    char *left = apr_palloc(pool, 2 * field.len + 1);
    char *to = left;
    tr_str_t value;

    for (const char *p = field.data; p < end;) {
        tr_str_t pair = next_pair(&p, end);

        if (pair.len == 0 || value_of(&value, pair, name)) {
            continue;
        }
        if (to > left) {
            *to++ = ';';
            *to++ = ' ';
        }
        memcpy(to, pair.data, pair.len);
        to += pair.len;
    }
    *to = '\0';
    return to > left ? left : NULL;
}
