/* tr_login.c: the address of a login page. */
#include "tr_login.h"

#include <apr_strings.h>
#include <apr_uri.h>

#include "tr_limits.h"
#include "tr_logout.h"
#include "tr_oauth.h"

#define PLACE "{url}"
#define PLACE_LEN 5

/* url with each PLACE replaced by text. */
static char *fill_in(const char *url, const char *text, apr_pool_t *pool)
{
    apr_array_header_t *pieces = apr_array_make(pool, 4, sizeof(const char *));
    const char *place;

    while ((place = strstr(url, PLACE)) != NULL) {
        APR_ARRAY_PUSH(pieces, const char *) = apr_pstrmemdup(pool, url, (apr_size_t)(place - url));
        APR_ARRAY_PUSH(pieces, const char *) = text;
        url = place + PLACE_LEN;
    }
    APR_ARRAY_PUSH(pieces, const char *) = url;
    return apr_array_pstrcat(pool, pieces, '\0');
}

/* Behind the scheme and host of an http or https URI; text itself where there are none. */
static const char *skip_host(const char *text)
{
    apr_size_t len = strncasecmp(text, "http://", 7) == 0 ? 7 : strncasecmp(text, "https://", 8) == 0 ? 8 : 0;

    return len > 0 ? text + len + strcspn(text + len, "/?#") : text;
}

apr_status_t tr_login_check(const char **why, const char *url, apr_pool_t *pool)
{
    const char *plain = fill_in(url, "x", pool);
    const char *place = strstr(url, PLACE);
    const char *behind = skip_host(url);

    if (plain[0] == '/') {
        const char *path = apr_pstrmemdup(pool, plain, strcspn(plain, "?#"));

        /* A query may name another address, so that only the path must have no //. */
        return tr_logout_check_target(why, path) != APR_SUCCESS
                   ? APR_EINVAL
                   : tr_logout_check_target(why, apr_pstrcat(pool, "http://host", plain, NULL));
    }
    if (plain[0] != '\0' && behind == url) {
        *why = "it is neither a path that begins with / nor a URI that begins with https:// or http://";
        return APR_EINVAL;
    }
    if (place != NULL && place < behind) {
        *why = "{url} must not stand where the name of the host does";
        return APR_EINVAL;
    }
    return tr_logout_check_target(why, plain);
}

char *tr_login_asked(const char *target, apr_pool_t *pool)
{
    const char *path = skip_host(target);
    apr_size_t len;

    while (*path == '/' || *path == '\\') {
        path++;
    }
    len = strcspn(path, "#");
    return apr_pstrcat(pool, "/", apr_pstrmemdup(pool, path, len), NULL);
}

const char *tr_login_location(const char *url, const char *asked, apr_pool_t *pool)
{
    tr_str_t told = tr_str_z(asked);

    if (told.len > TR_MAX_LOGIN_URL_LEN) {
        told.len = strcspn(asked, "?");
    }
    if (told.len > TR_MAX_LOGIN_URL_LEN) {
        told = tr_str_z("/");
    }
    return fill_in(url, tr_percent_encode(told, "", pool), pool);
}

/* Percent escapes of a path decoded; as it is where one is broken. A + is no blank there. */
static const char *decode_path(const char *path, apr_pool_t *pool)
{
    tr_str_t decoded;

    for (const char *plus; (plus = strchr(path, '+')) != NULL;) {
        path = apr_pstrcat(pool, apr_pstrmemdup(pool, path, (apr_size_t)(plus - path)), "%2B", plus + 1, NULL);
    }
    return tr_form_decode(&decoded, tr_str_z(path), pool) == APR_SUCCESS ? tr_str_dup_z(decoded, pool) : path;
}

bool tr_login_is_at(const char *url, const char *host, const char *path, apr_pool_t *pool)
{
    const char *own = skip_host(url);
    const char *place = strstr(own, PLACE);
    apr_size_t len = strcspn(own, "?#");
    apr_uri_t uri;

    if (own != url &&
        (host == NULL || apr_uri_parse(pool, apr_pstrmemdup(pool, url, (apr_size_t)(own - url)), &uri) != APR_SUCCESS ||
         uri.hostname == NULL || strcasecmp(uri.hostname, host) != 0)) {
        return false;
    }
    if (place != NULL && (apr_size_t)(place - own) < len) {
        const char *begin = decode_path(apr_pstrmemdup(pool, own, (apr_size_t)(place - own)), pool);

        return strncmp(path, begin, strlen(begin)) == 0;
    }
    return strcmp(path, len > 0 ? decode_path(apr_pstrmemdup(pool, own, len), pool) : "/") == 0;
}
