/* tr_site.c: requests from other sites, told by what browsers add to them and pages cannot change. */
#include "tr_site.h"

/* host[:port] without the port that goes without saying (RFC 6454 6.2 leaves it out, RFC 9110 7.2 need not). */
static tr_str_t without_default_port(const char *host, bool secure)
{
    tr_str_t all = tr_str_z(host);
    tr_str_t port = tr_str_z(secure ? ":443" : ":80");

    if (all.len > port.len && tr_str_eq(tr_str(all.data + all.len - port.len, port.len), port)) {
        all.len -= port.len;
    }
    return all;
}

/*
 * An origin that says https is ours, too, where we see http: somebody in front of us speaks TLS. The other way round it is
 * not: whoever sits on the wire can write pages of http.
 */
static bool is_own(const char *origin, const char *scheme, const char *host)
{
    bool secure = strncmp(origin, "https://", 8) == 0;
    apr_size_t len = secure ? 8 : 7;

    if (host == NULL || (!secure && (strncmp(origin, "http://", 7) != 0 || strcmp(scheme, "http") != 0))) {
        return false;
    }
    return tr_str_eq_nocase(without_default_port(origin + len, secure), without_default_port(host, secure));
}

bool tr_site_is_foreign(const char *fetch_site, const char *origin, const char *scheme, const char *host)
{
    if (fetch_site != NULL) {
        return strcmp(fetch_site, "same-origin") != 0 && strcmp(fetch_site, "same-site") != 0 && strcmp(fetch_site, "none") != 0;
    }
    return origin != NULL && !is_own(origin, scheme, host);
}
