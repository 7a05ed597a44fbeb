/*
 * Fields of requests, and their query. The first byte picks what the rest is: a an Authorization field, h one that holds a token
 * alone, q a query, o lines that browsers and clients send of where they come from; else a list of names of fields (Connection), of
 * which the byte picks the one that must go.
 */
#include "world.h"

#include <apr_strings.h>
#include <ctype.h>

#include "tr_bearer.h"
#include "tr_export.h"
#include "tr_query.h"
#include "tr_reason.h"
#include "tr_site.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- tokens in fields --------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The rest behind the scheme Bearer; NULL: it is another. */
static const char *behind_bearer(const char *text)
{
    static const char scheme[] = "bearer";
    for (int i = 0; i < 6; i++)
        if (tolower((unsigned char)text[i]) != scheme[i])
            return NULL;
    return text[6] == '\0' || is_blank(text[6]) ? text + 6 : NULL;
}

/* How many fields of the scheme Bearer were joined here, at most. */
static int count_bearers(const char *text)
{
    int n = behind_bearer(text) != NULL;
    while ((text = strchr(text, ',')) != NULL) {
        text++;
        text += strspn(text, " \t");
        n += behind_bearer(text) != NULL;
    }
    return n;
}

static int count_pieces(const char *text, bool has_scheme, tr_str_t *only)
{
    tr_str_t rest = tr_str_z(text), piece;
    int n = 0;
    while (tr_bearer_next(&piece, &rest, has_scheme)) {
        ALWAYS(piece.len == 0 || (piece.data >= text && piece.data + piece.len <= text + strlen(text)));
        ALWAYS(piece.len == 0 || (!is_blank(piece.data[0]) && !is_blank(piece.data[piece.len - 1])));
        ALWAYS(piece.len == 0 || memchr(piece.data, ',', piece.len) == NULL);
        n += piece.len > 0;
        *only = piece.len > 0 ? piece : *only;
    }
    return n;
}

/* What counts as the token is what a logout ends, and where there is none there is nothing to end. */
static void check_token(const char *text, apr_status_t rv, tr_str_t token, bool has_scheme, apr_pool_t *pool)
{
    tr_str_t only = {"", 0};
    int n = count_pieces(text, has_scheme, &only);
    ALWAYS(rv == APR_SUCCESS || rv == TR_NO_TOKEN || rv == TR_MULTIPLE_TOKENS);
    if (rv != APR_SUCCESS) {
        ALWAYS(rv == TR_MULTIPLE_TOKENS || n == 0 || is_blank(text[0]));
        return;
    }
    const char *copy = tr_str_dup_z(token, pool), *begin = copy + strspn(copy, " \t");
    size_t len = strlen(begin);
    while (len > 0 && is_blank(begin[len - 1]))
        len--;
    ALWAYS(token.len > 0 && memchr(token.data, ',', token.len) == NULL && token.data + token.len == text + strlen(text));
    ALWAYS(n == (len > 0) && tr_str_eq(only, tr_str(begin, len)));
}

static void check_authorization(const char *text, apr_pool_t *pool)
{
    tr_str_t token = {NULL, 0};
    const char *rest = behind_bearer(text);
    apr_status_t rv = tr_bearer_find(&token, tr_str_z(text));
    check_token(text, rv, token, true, pool);
    ALWAYS(tr_has_bearer_scheme(tr_str_z(text)) == (rest != NULL));
    if (rest == NULL)
        ALWAYS(rv == (count_bearers(text) > 0 ? TR_MULTIPLE_TOKENS : TR_NO_TOKEN));
    else if (strchr(rest, ',') != NULL && rest[strspn(rest, " ")] != '\0')
        ALWAYS(rv == TR_MULTIPLE_TOKENS);
    else
        ALWAYS(rv == (rest[strspn(rest, " ")] != '\0' ? APR_SUCCESS : TR_NO_TOKEN));
}

/* ---- queries ------------------------------------------------------------------------------------------------- */

/* Is it the name, percent-decoded by hand? */
static bool is_named(const char *pair, size_t len, const char *name)
{
    for (size_t i = 0; i < len && pair[i] != '='; i++, name++) {
        unsigned int byte = (unsigned char)pair[i];
        if (byte == '%') {
            if (i + 2 >= len || !isxdigit((unsigned char)pair[i + 1]) || !isxdigit((unsigned char)pair[i + 2]))
                return false;
            ALWAYS(sscanf(pair + i + 1, "%2x", &byte) == 1);
            i += 2;
        }
        else if (byte == '+')
            byte = ' ';
        if (*name == '\0' || (unsigned char)*name != byte)
            return false;
    }
    return *name == '\0';
}

static void check_query(const char *text, const char *name, apr_pool_t *pool)
{
    char *others = apr_pcalloc(pool, strlen(text) + 1);
    tr_str_t token = {NULL, 0}, value = {NULL, 0};
    int n = 0;
    for (size_t len, at = 0; text[at] != '\0'; at += len + (text[at + len] == '&')) {
        len = strcspn(text + at, "&");
        bool named = is_named(text + at, len, name);
        n += named;
        if (!named) {
            strcat(others, *others != '\0' ? "&" : "");
            strncat(others, text + at, len);
        }
    }
    apr_status_t rv = tr_query_find(&token, text, name, pool);
    ALWAYS((rv == TR_MULTIPLE_TOKENS) == (n > 1) && (n > 0 || rv == TR_NO_TOKEN) && (rv != APR_SUCCESS || token.len > 0));
    ALWAYS(!tr_query_value(&value, text, name, pool) || (n == 1 && rv == APR_SUCCESS && tr_str_eq(value, token)));
    const char *left = tr_query_strip(text, strlen(text), name, pool);
    ALWAYS(strcmp(left != NULL ? left : "", others) == 0);
    ALWAYS(left == NULL || tr_query_find(&token, left, name, pool) == TR_NO_TOKEN);
    /* The same in an address, with all that stands around it. */
    const char *query = apr_pstrmemdup(pool, text, strcspn(text, " #"));
    left = tr_query_strip(query, strlen(query), name, pool);
    const char *address = tr_query_strip_uri(apr_pstrcat(pool, "GET /a?", text, NULL), name, pool);
    const char *wanted =
        apr_pstrcat(pool, "GET /a", left != NULL ? "?" : "", left != NULL ? left : "", text + strlen(query), NULL);
    ALWAYS(strcmp(address, wanted) == 0);
}

/* ---- where it comes from -------------------------------------------------------------------------------------- */

/* host and port in small letters, the port written out. */
static char *canonical(const char *host, bool secure, apr_pool_t *pool)
{
    char *text = apr_pstrdup(pool, host);
    size_t len = strlen(text);
    const char *port = secure ? ":443" : ":80";
    for (char *p = text; *p != '\0'; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    return len > strlen(port) && strcmp(text + len - strlen(port), port) == 0 ? text : apr_pstrcat(pool, text, port, NULL);
}

/* An origin is ours where it names this host, over TLS, or as we speak with the client. */
static bool is_ours(const char *origin, const char *scheme, const char *host, apr_pool_t *pool)
{
    bool secure = strncmp(origin, "https://", 8) == 0;
    if (host == NULL || (!secure && (strncmp(origin, "http://", 7) != 0 || strcmp(scheme, "https") == 0)))
        return false;
    return strcmp(canonical(origin + (secure ? 8 : 7), secure, pool), canonical(host, secure, pool)) == 0;
}

static const char *line_or_null(char **rest)
{
    char *line = *rest, *end = line + strcspn(line, "\n");
    *rest = *end != '\0' ? end + 1 : end;
    *end = '\0';
    return *line != '\0' ? line : NULL;
}

static void check_site(char *text, apr_pool_t *pool)
{
    const char *fetch_site = line_or_null(&text), *origin = line_or_null(&text), *host = line_or_null(&text);
    for (int i = 0; i < 2; i++) {
        const char *scheme = i ? "https" : "http";
        bool foreign = tr_site_is_foreign(fetch_site, origin, scheme, host);
        if (fetch_site != NULL)
            ALWAYS(foreign == (strcmp(fetch_site, "same-origin") != 0 && strcmp(fetch_site, "same-site") != 0 &&
                               strcmp(fetch_site, "none") != 0));
        else
            ALWAYS(foreign == (origin != NULL && !is_ours(origin, scheme, host, pool)));
    }
}

/* ---- lists of names -------------------------------------------------------------------------------------------- */

static const char *const names[] = {"X-User", "x_role", "a", "-"};
enum { NAMES = sizeof names / sizeof *names };

static bool is_name(void *name, tr_str_t one)
{
    ALWAYS(one.len > 0);
    return tr_export_is_same_field(tr_str_z(name), one);
}

static bool keep(void *count, tr_str_t one)
{
    (void)one;
    ++*(size_t *)count;
    return false;
}

static size_t count(const char *list, apr_pool_t *pool)
{
    size_t n = 0;
    ALWAYS(tr_export_strip_list(list, keep, &n, pool) == NULL);
    return n;
}

static void check_list(const world_t *w, const uint8_t *data, size_t size)
{
    const char *name = names[data[0] % NAMES];
    const char *list = apr_pstrmemdup(w->pool, (const char *)data + 1, size - 1);
    const char *left = tr_export_strip_list(list, is_name, (void *)name, w->pool);
    if (left == NULL)
        return;
    /* Nothing is left to drop, and fewer names than before. */
    ALWAYS(tr_export_strip_list(left, is_name, (void *)name, w->pool) == NULL);
    ALWAYS(count(left, w->pool) < count(list, w->pool));
    ALWAYS(strlen(left) <= 2 * strlen(list));
}

static void judge(const world_t *w, const uint8_t *data, size_t size)
{
    char *text = apr_pstrmemdup(w->pool, (const char *)data + 1, size - 1);
    tr_str_t token = {NULL, 0};
    apr_status_t rv;
    switch (data[0]) {
    case 'a':
        check_authorization(text, w->pool);
        break;
    case 'h':
        rv = tr_bearer_find_alone(&token, tr_str_z(text));
        check_token(text, rv, token, false, w->pool);
        break;
    case 'q':
        check_query(text, "access_token", w->pool);
        check_query(text, "t", w->pool);
        check_query(text, "a b", w->pool);
        break;
    case 'o':
        check_site(text, w->pool);
        break;
    default:
        check_list(w, data, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world_t *w = world_for_one_input();
    if (size > 0)
        judge(w, data, size);
    world_done();
    return 0;
}
