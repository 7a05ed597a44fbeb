/*
 * What a configuration may say. The first byte picks the kind of value, the rest is one. Whatever is accepted is read once more, by
 * other means, and must mean the same.
 */
#include "world.h"

#include <apr_strings.h>
#include <ctype.h>

#include "tr_json.h"
#include "tr_logout.h"
#include "tr_require.h"
#include "tr_store.h"
#include "tr_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- TokRevokeDatabase ----------------------------------------------------------------------------------------- */

static void check_file(const tr_store_place_t *out, const char *text)
{
    ALWAYS(strcmp(out->driver, "sqlite3") == 0 && out->path != NULL);
    ALWAYS(out->path[0] == '/' && strlen(out->path) <= 4000 && strcmp(out->params, out->path) == 0);
    ALWAYS(out->path[strlen(out->path) - 1] != '/' && strstr(out->path, "/../") == NULL && strstr(out->path, "//") == NULL);
    ALWAYS(text[8] != '/' || text[8 + 1] != '\0');
}

static void check_place(const char *text, apr_pool_t *pool)
{
    tr_store_place_t out, again;
    const char *why = NULL;
    apr_status_t rv = tr_store_parse(&out, &why, text, "/srv/httpd", pool);
    bool is_file = strncasecmp(text, "sqlite3:", 8) == 0, is_server = strncasecmp(text, "pgsql:", 6) == 0;
    ALWAYS(rv == APR_SUCCESS || (rv == APR_EINVAL && why != NULL && *why != '\0'));
    ALWAYS(rv != APR_SUCCESS || is_file || is_server);
    /* What may hold a password is repeated nowhere. */
    if (rv != APR_SUCCESS && !is_file) {
        const char *sentence = NULL;
        ALWAYS(tr_store_parse(&again, &sentence, "", "/srv/httpd", pool) == APR_EINVAL && strcmp(why, sentence) == 0);
    }
    if (rv != APR_SUCCESS)
        return;
    if (is_file)
        check_file(&out, text);
    else {
        ALWAYS(out.path == NULL && strncmp(out.params, text + 6, strlen(text + 6)) == 0);
        ALWAYS(strstr(out.params, "connect_timeout") != NULL && strstr(out.params, "tcp_user_timeout") != NULL);
        ALWAYS(strcmp(out.name, "the PostgreSQL database") == 0);
    }
    ALWAYS(tr_store_parse(&again, &why, text, "/srv/httpd", pool) == APR_SUCCESS && tr_store_place_eq(&out, &again));
    ALWAYS(!tr_store_place_eq(&out, NULL));
    /* What was understood is understood the same way when it is written down again. */
    const char *written = apr_pstrcat(pool, out.driver, ":", out.params, NULL);
    ALWAYS(tr_store_parse(&again, &why, written, "/elsewhere", pool) == APR_SUCCESS && tr_store_place_eq(&out, &again));
}

/* ---- durations and numbers -------------------------------------------------------------------------------------- */

/* Digits and a unit, by arithmetic on letters. -1: not that. */
static double seconds_of(const char *text)
{
    static const struct {
        const char *name;
        double s;
    } units[] = {{"", 1}, {"s", 1}, {"sec", 1}, {"m", 60}, {"mi", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
    double n = 0;
    if (!isdigit((unsigned char)*text))
        return -1;
    for (; isdigit((unsigned char)*text); text++)
        n = 10 * n + (*text - '0');
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcasecmp(text, units[i].name) == 0)
            return n * units[i].s;
    return -1;
}

static void check_duration(const char *text, apr_pool_t *pool)
{
    int64_t s = -7;
    const char *err = tr_value_duration(&s, text, pool);
    double want = seconds_of(text), most = 36500.0 * 86400;
    ALWAYS((err == NULL) == (want >= 0 && want <= most));
    ALWAYS(err == NULL ? (double)s == want : s == -7 && *err != '\0');
}

static void check_number(const char *text)
{
    uint32_t n = 77, most = 1000000000;
    bool digits = *text != '\0' && strspn(text, "0123456789") == strlen(text);
    double want = digits ? strtod(text, NULL) : -1;
    ALWAYS(tr_value_number(&n, text, most) == (want >= 1 && want <= most));
    ALWAYS(n == 77 || (double)n == want);
}

/* ---- sources, origins, site data --------------------------------------------------------------------------------- */

#define TOKEN_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

static void check_source(const char *text, apr_pool_t *pool)
{
    static const char *const kinds[] = {"", "header=", "cookie=", "query=", "form="};
    tr_source_t source, again;
    const char *err = tr_value_source(&source, text, pool);
    ALWAYS(err == NULL || *err != '\0');
    if (err != NULL)
        return;
    if (source.kind == TR_FROM_AUTHORIZATION) {
        ALWAYS(strcasecmp(text, "header") == 0);
        return;
    }
    ALWAYS(source.kind <= TR_FROM_FORM && strncasecmp(text, kinds[source.kind], strlen(kinds[source.kind])) == 0);
    ALWAYS(strcmp(text + strlen(kinds[source.kind]), source.name) == 0);
    ALWAYS(*source.name != '\0' && strspn(source.name, TOKEN_CHARS) == strlen(source.name));
    ALWAYS(source.kind != TR_FROM_HEADER ||
           (strcasecmp(source.name, "authorization") != 0 && strcasecmp(source.name, "cookie") != 0));
    ALWAYS(tr_value_source(&again, text, pool) == NULL && tr_source_eq(&source, &again));
}

/* scheme://host[:port] in small letters, and nothing that a browser would not send. */
static void check_origin(const char *text)
{
    const char *host = strstr(text, "://");
    if (!tr_is_origin(text) || strcmp(text, "*") == 0)
        return;
    ALWAYS(host != NULL && host > text && host[3] != '\0');
    ALWAYS(strspn(host + 3, "abcdefghijklmnopqrstuvwxyz0123456789-._:[]") == strlen(host + 3));
    ALWAYS(strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == (size_t)(host - text));
}

static void check_site_data(const char *text, apr_pool_t *pool)
{
    const char *value = NULL, *again = NULL;
    const char *err = tr_value_site_data(&value, text, pool);
    ALWAYS(err == NULL || *err != '\0');
    if (err != NULL)
        return;
    ALWAYS(value[0] == '"' && value[strlen(value) - 1] == '"');
    ALWAYS(strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*\", ") == strlen(value));
    ALWAYS(tr_value_site_data(&again, value, pool) == NULL && strcmp(again, value) == 0);
}

/* ---- cookies, pages, claims, scopes ------------------------------------------------------------------------------ */

static void check_cookie(const char *text, apr_pool_t *pool)
{
    const char *why = NULL;
    apr_status_t rv = tr_logout_check_cookie(&why, text);
    ALWAYS(rv == APR_SUCCESS || (rv == APR_EINVAL && why != NULL));
    for (int i = 0; rv == APR_SUCCESS && i < 4; i++) {
        const char *field = tr_logout_set_cookie(text, i & 1, i & 2, pool);
        size_t name = strcspn(field, "=");
        ALWAYS(name > 0 && strspn(field, TOKEN_CHARS) == name && strncmp(field + name, "=; Path=/", 9) == 0);
        ALWAYS(strpbrk(field, "\r\n") == NULL && strstr(field, "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT") != NULL);
        ALWAYS((strncasecmp(field, "__Host-", 7) != 0 && strncasecmp(field, "__Secure-", 9) != 0) || name <= 7 ||
               strstr(field, "; Secure") != NULL || strncasecmp(field, "__Secure-=", 10) == 0);
        ALWAYS(!(i & 2) || strcasestr(text, "SameSite") != NULL || strstr(field, "; SameSite=None") != NULL);
    }
}

/* Each hole of a page is filled, and only by what belongs there. */
static void check_page(tr_str_t text, apr_pool_t *pool)
{
    const char *why = NULL;
    apr_status_t rv = tr_logout_check_page(&why, text, pool);
    ALWAYS(rv == APR_SUCCESS || (rv == APR_EINVAL && why != NULL));
    if (rv != APR_SUCCESS)
        return;
    const char *page = tr_logout_page(tr_str_dup_z(text, pool), "/out", tr_str_z("{action}"), tr_str_z("\"><b>"), pool);
    ALWAYS(strstr(page, "{fields}") == NULL && strstr(page, "value=\"{action}\"") != NULL);
    ALWAYS(strstr(page, "value=\"&quot;&gt;&lt;b&gt;\"") != NULL);
}

/* A dotted path finds what it names, in whichever way it can be cut. */
static void check_path(const char *path, apr_pool_t *pool)
{
    static const char text[] =
        "{\"a\":{\"b\":{\"c\":1},\"b.c\":2,\"\":3},\"a.b\":{\"c\":4},\"\":{\"\":5},\"https://x.test/r\":6,\".\":7}";
    const tr_json_t *document = NULL, *value;
    ALWAYS(tr_json_parse(&document, tr_str_z(text), pool) == APR_SUCCESS);
    value = tr_json_path(document, path);
    const tr_json_t *whole = tr_json_get(document, path);
    ALWAYS(whole == NULL || value == whole);
    if (whole == NULL && strchr(path, '.') == NULL)
        ALWAYS(value == NULL);
    for (const char *dot = strchr(path, '.'); whole == NULL && value != NULL && dot != NULL; dot = NULL) {
        const tr_json_t *outer = tr_json_get(document, apr_pstrmemdup(pool, path, (size_t)(dot - path)));
        const char *inner = dot + 1;
        for (const char *next; outer != NULL && (next = strchr(inner, '.')) != NULL; inner = next + 1)
            outer = tr_json_get(outer, apr_pstrmemdup(pool, inner, (size_t)(next - inner)));
        ALWAYS(outer != NULL && tr_json_get(outer, inner) == value);
    }
    (void)tr_require_show(document, path, pool);
}

static void check_scope(const char *text)
{
    bool good = *text != '\0';
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
        good = good && (*p == 0x21 || (*p >= 0x23 && *p <= 0x5b) || (*p >= 0x5d && *p <= 0x7e)); /* RFC 6749 3.3 */
    ALWAYS(tr_is_scope(text) == good);
}

static void judge(const uint8_t *data, size_t size, apr_pool_t *pool)
{
    const char *text = apr_pstrmemdup(pool, (const char *)data + 1, size - 1);
    switch (data[0]) {
    case 'd':
        check_duration(text, pool);
        check_number(text);
        break;
    case 's':
        check_source(text, pool);
        break;
    case 'o':
        check_origin(text);
        check_site_data(text, pool);
        break;
    case 'c':
        check_cookie(text, pool);
        break;
    case 'p':
        check_page(tr_str(text, size - 1), pool);
        break;
    case 'j':
        check_path(text, pool);
        check_scope(text);
        break;
    default:
        check_place(text, pool);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world_t *w = world_for_one_input();
    if (size > 0)
        judge(data, size, w->pool);
    world_done();
    return 0;
}
