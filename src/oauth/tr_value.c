/* tr_value.c: words of the configuration. */
#include "tr_value.h"

#include <apr_lib.h>
#include <apr_strings.h>

#define MAX_DURATION_S (INT64_C(36500) * 24 * 3600) /* a hundred years; more is a slip of the pen */

static int64_t unit_s(const char *unit)
{
    static const struct {
        const char *name;
        int64_t s;
    } units[] = {{"", 1}, {"s", 1}, {"sec", 1}, {"m", 60}, {"mi", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};

    for (apr_size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcasecmp(unit, units[i].name) == 0) {
            return units[i].s;
        }
    }
    return 0;
}

const char *tr_value_duration(int64_t *out_s, const char *text, apr_pool_t *pool)
{
    char *unit;
    apr_int64_t n = apr_strtoi64(text, &unit, 10);

    if (!apr_isdigit(text[0]) || unit_s(unit) == 0) {
        return apr_psprintf(pool, "\"%s\" is not a valid duration; write a whole number with s, m, h or d, like 30s or 12h",
                            text);
    }
    if (n > MAX_DURATION_S / unit_s(unit)) {
        return apr_psprintf(pool, "the duration \"%s\" is over 36500 days", text);
    }
    *out_s = n * unit_s(unit);
    return NULL;
}

bool tr_value_number(uint32_t *out, const char *text, uint32_t most)
{
    char *end;
    apr_int64_t n = apr_strtoi64(text, &end, 10);

    if (!apr_isdigit(text[0]) || *end != '\0' || n < 1 || n > (apr_int64_t)most) {
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

bool tr_is_http_token(const char *name)
{
    const char *p = name;

    for (; *p != '\0'; p++) {
        if (!apr_isalnum(*p) && strchr("!#$%&'*+-.^_`|~", *p) == NULL) {
            return false;
        }
    }
    return p != name;
}

const char *tr_value_source(tr_source_t *out, const char *text, apr_pool_t *pool)
{
    static const struct {
        const char *prefix;
        tr_source_kind_t kind;
    } kinds[] = {{"header=", TR_FROM_HEADER}, {"cookie=", TR_FROM_COOKIE}, {"query=", TR_FROM_QUERY}, {"form=", TR_FROM_FORM}};

    if (strcasecmp(text, "header") == 0) {
        out->kind = TR_FROM_AUTHORIZATION;
        out->name = "Authorization";
        return NULL;
    }
    for (apr_size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        apr_size_t len = strlen(kinds[i].prefix);

        if (strncasecmp(text, kinds[i].prefix, len) != 0) {
            continue;
        }
        out->kind = kinds[i].kind;
        out->name = apr_pstrdup(pool, text + len);
        if (!tr_is_http_token(out->name)) {
            return apr_psprintf(pool, "\"%s\" does not name a valid header, cookie or parameter", text);
        }
        if (out->kind == TR_FROM_HEADER &&
            (strcasecmp(out->name, "Authorization") == 0 || strcasecmp(out->name, "Cookie") == 0)) {
            return apr_psprintf(pool, "\"%s\" is written header or cookie=NAME", text);
        }
        return NULL;
    }
    return apr_psprintf(pool, "\"%s\" is none of header, header=NAME, cookie=NAME, query=NAME, form=NAME", text);
}

bool tr_source_eq(const tr_source_t *a, const tr_source_t *b)
{
    bool folded = a->kind == TR_FROM_HEADER;

    return a->kind == b->kind && (folded ? strcasecmp(a->name, b->name) : strcmp(a->name, b->name)) == 0;
}

/* Browsers write both in small letters. */
#define SCHEME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789+-."
#define HOST_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-._:[]"

bool tr_is_origin(const char *text)
{
    apr_size_t scheme_len = strspn(text, SCHEME_CHARS);
    const char *host = text + scheme_len + 3;

    if (strcmp(text, "*") == 0) {
        return true;
    }
    return apr_isalpha(text[0]) && strncmp(text + scheme_len, "://", 3) == 0 && host[0] != '\0' &&
           host[strspn(host, HOST_CHARS)] == '\0';
}

static const char *find_type(const char *word, apr_size_t len)
{
    static const char *const types[] = {"cache",       "cookies",       "storage",        "executionContexts",
                                        "clientHints", "prefetchCache", "prerenderCache", "*"};

    if (len >= 2 && word[0] == '"' && word[len - 1] == '"') {
        word++;
        len -= 2;
    }
    for (apr_size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strlen(types[i]) == len && strncasecmp(types[i], word, len) == 0) {
            return types[i];
        }
    }
    return NULL;
}

const char *tr_value_site_data(const char **out, const char *text, apr_pool_t *pool)
{
    const char *value = "";

    for (const char *p = text + strspn(text, " ,\t"); *p != '\0'; p += strspn(p, " ,\t")) {
        apr_size_t len = strcspn(p, " ,\t");
        const char *type = find_type(p, len);

        if (type == NULL) {
            return apr_psprintf(pool,
                                "\"%.*s\" is neither off nor one of cache, cookies, storage, executionContexts, clientHints, "
                                "prefetchCache, prerenderCache, *",
                                (int)len, p);
        }
        value = apr_pstrcat(pool, value, *value != '\0' ? ", " : "", "\"", type, "\"", NULL);
        p += len;
    }
    *out = value;
    return *value != '\0' ? NULL : "a list of types is missing, or off";
}
