/*
 * tr_logout.c: where to go after logging out (OpenID Connect RP-Initiated Logout 1.0 3; open redirects: CWE-601), and the
 * page that asks first.
 */
#include "tr_logout.h"

#include <apr_lib.h>
#include <apr_strings.h>

#include "tr_oauth.h"

#define HTTP_LEN 7  /* of "http://" */
#define HTTPS_LEN 8 /* of "https://" */

/* ---- texts ------------------------------------------------------------------------------------------------- */

static bool has_prefix_nocase(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* What may stand in a URI beside letters, digits and -._~ (RFC 3986 2). */
#define URI_CHARS ":/?#[]@!$&'()*+,;=%"
/* The same in a path: without what would begin a query or a fragment. */
#define PATH_CHARS ":/[]@!$&'()*+,;=%"

static bool is_uri_char(char c)
{
    return tr_is_unreserved(c) || (c != '\0' && strchr(URI_CHARS, c) != NULL);
}

/* ---- targets ----------------------------------------------------------------------------------------------- */

/* Browsers read a backslash as a slash, and leave out tabs and line ends (WHATWG URL): none of these may be in it. */
static bool is_local(tr_str_t target)
{
    if (target.len == 0 || target.data[0] != '/' || tr_str_has_control(target)) {
        return false;
    }
    for (apr_size_t i = 0; i < target.len; i++) {
        if (target.data[i] == '\\' || (i > 0 && target.data[i] == '/' && target.data[i - 1] == '/')) {
            return false;
        }
    }
    return true;
}

static apr_status_t check_authority(const char **why, const char *authority)
{
    apr_size_t len = strcspn(authority, "/?#");

    if (len == 0 || authority[0] == ':') {
        *why = "it names no host";
        return APR_EINVAL;
    }
    if (memchr(authority, '@', len) != NULL) {
        *why = "it has an @ before the end of its host";
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static apr_status_t check_uri(const char **why, const char *uri)
{
    apr_size_t scheme_len = strcspn(uri, ":/?#");

    if (has_prefix_nocase(uri, "http://")) {
        return check_authority(why, uri + HTTP_LEN);
    }
    if (has_prefix_nocase(uri, "https://")) {
        return check_authority(why, uri + HTTPS_LEN);
    }
    if (uri[scheme_len] != ':' || !apr_isalpha(uri[0]) || uri[scheme_len + 1] == '\0') {
        *why = "it is neither a path that begins with / nor a URI that begins with https:// or http://";
        return APR_EINVAL;
    }
    if (memchr(uri, '.', scheme_len) == NULL) {
        *why = "its scheme is neither http:// nor https://, nor one of an application's own, which has a dot in it";
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

apr_status_t tr_logout_check_target(const char **why, const char *target)
{
    if (target[0] == '\0') {
        *why = "it is empty";
        return APR_EINVAL;
    }
    for (const char *p = target; *p != '\0'; p++) {
        if (!is_uri_char(*p)) {
            *why = "it has a character that no URI has; write that percent-encoded";
            return APR_EINVAL;
        }
        if (*p == '%' && !(apr_isxdigit(p[1]) && apr_isxdigit(p[2]))) {
            *why = "it has a % without two hexadecimal digits behind it";
            return APR_EINVAL;
        }
    }
    if (target[0] != '/') {
        return check_uri(why, target);
    }
    if (!is_local(tr_str_z(target))) {
        *why = "a path on this host has no // in it";
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

bool tr_logout_accepts(const apr_array_header_t *targets, tr_str_t asked)
{
    for (int i = 0; targets != NULL && i < targets->nelts; i++) {
        if (tr_str_eq_z(asked, APR_ARRAY_IDX(targets, i, const char *))) {
            return true;
        }
    }
    return is_local(asked);
}

/* RP-Initiated Logout 3: state is passed back unchanged, whatever its bytes are. */
static const char *with_state(const char *target, tr_str_t state, apr_pool_t *pool)
{
    apr_size_t len = strcspn(target, "#");
    const char *query = memchr(target, '?', len);
    const char *separator = query == NULL ? "?" : "&";

    if (query != NULL && (query + 1 == target + len || target[len - 1] == '&')) {
        separator = "";
    }
    return apr_pstrcat(pool, apr_pstrmemdup(pool, target, len), separator, "state=", tr_percent_encode(state, "", pool),
                       target + len, NULL);
}

const char *tr_logout_target(const apr_array_header_t *targets, tr_str_t asked, tr_str_t state, apr_pool_t *pool)
{
    const char *target;

    if (!tr_logout_accepts(targets, asked)) {
        return targets != NULL && targets->nelts > 0 ? APR_ARRAY_IDX(targets, 0, const char *) : NULL;
    }
    /* A configured one has only such characters; a path may come with others. */
    target = tr_percent_encode(asked, URI_CHARS, pool);
    return state.len > 0 ? with_state(target, state, pool) : target;
}

/* ---- the page ---------------------------------------------------------------------------------------------- */

const char *tr_logout_escape(tr_str_t text, apr_pool_t *pool)
{
    static const struct {
        char c;
        const char *reference;
    } references[] = {{'&', "&amp;"},  {'<', "&lt;"},   {'>', "&gt;"},  {'"', "&quot;"},
                      {'\'', "&#39;"}, {'\r', "&#13;"}, {'\n', "&#10;"}};
    char *out = apr_palloc(pool, 6 * text.len + 1);
    char *to = out;

    for (apr_size_t i = 0; i < text.len; i++) {
        const char *reference = NULL;

        for (apr_size_t k = 0; k < sizeof(references) / sizeof(references[0]); k++) {
            if (references[k].c == text.data[i]) {
                reference = references[k].reference;
            }
        }
        if (reference == NULL) {
            *to++ = text.data[i];
            continue;
        }
        memcpy(to, reference, strlen(reference));
        to += strlen(reference);
    }
    *to = '\0';
    return out;
}

const char *tr_logout_action(const char *path, apr_pool_t *pool)
{
    while (*path == '/' || *path == '\\') {
        path++;
    }
    return apr_pstrcat(pool, "/", tr_percent_encode(tr_str_z(path), PATH_CHARS, pool), NULL);
}

static const char *hidden(const char *name, tr_str_t value, apr_pool_t *pool)
{
    if (value.len == 0) {
        return "";
    }
    return apr_pstrcat(pool, "<input type=\"hidden\" name=\"", name, "\" value=\"", tr_logout_escape(value, pool), "\">", NULL);
}

/* Text is only ever appended, so that a value that looks like a place to fill in is none. */
const char *tr_logout_page(const char *template, const char *action, tr_str_t redirect, tr_str_t state, apr_pool_t *pool)
{
    const struct {
        const char *word;
        const char *text;
    } places[] = {
        {"{action}", tr_logout_escape(tr_str_z(action), pool)},
        {"{fields}", apr_pstrcat(pool, hidden("post_logout_redirect_uri", redirect, pool), hidden("state", state, pool), NULL)}};
    apr_array_header_t *pieces = apr_array_make(pool, 8, sizeof(const char *));
    const char *from = template;

    for (const char *p = template; (p = strchr(p, '{')) != NULL;) {
        apr_size_t k = strncmp(p, places[0].word, strlen(places[0].word)) == 0 ? 0 : 1;

        if (strncmp(p, places[k].word, strlen(places[k].word)) != 0) {
            p++;
            continue;
        }
        APR_ARRAY_PUSH(pieces, const char *) = apr_pstrmemdup(pool, from, (apr_size_t)(p - from));
        APR_ARRAY_PUSH(pieces, const char *) = places[k].text;
        p += strlen(places[k].word);
        from = p;
    }
    APR_ARRAY_PUSH(pieces, const char *) = from;
    return apr_array_pstrcat(pool, pieces, '\0');
}

/* Does text have method=post somewhere, as an attribute may be written? */
static bool has_method_post(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        const char *value = p + 6;

        if (!has_prefix_nocase(p, "method")) {
            continue;
        }
        value += strspn(value, " \t\r\n");
        if (*value != '=') {
            continue;
        }
        value++;
        value += strspn(value, " \t\r\n\"'");
        if (has_prefix_nocase(value, "post")) {
            return true;
        }
    }
    return false;
}

apr_status_t tr_logout_check_page(const char **why, tr_str_t text, apr_pool_t *pool)
{
    const char *page = tr_str_dup_z(text, pool);

    *why = NULL;
    if (strlen(page) != text.len) {
        *why = "it has a NUL in it";
    }
    else if (strstr(page, "{action}") == NULL) {
        *why = "it has no {action}, the address to post to";
    }
    else if (strstr(page, "{fields}") == NULL) {
        *why = "it has no {fields}, the place of hidden fields in the form";
    }
    else if (!has_method_post(page)) {
        *why = "it has no form with method=\"post\"";
    }
    return *why == NULL ? APR_SUCCESS : APR_EINVAL;
}
