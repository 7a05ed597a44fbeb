/* tr_logout_cookie.c: cookies that browsers shall forget (RFC 6265, and its successor for names with a prefix). */
#include <apr_strings.h>

#include "tr_logout.h"

typedef struct cookie_t {
    tr_str_t name;
    tr_str_t path, domain, same_site, priority; /* empty: not given */
    bool secure, http_only, partitioned;
} cookie_t;

/* The attributes that take a value; *place is then where it goes. */
static bool is_valued(tr_str_t **place, cookie_t *cookie, tr_str_t name)
{
    if (tr_str_eq_nocase(name, tr_str_z("Path"))) {
        *place = &cookie->path;
    }
    else if (tr_str_eq_nocase(name, tr_str_z("Domain"))) {
        *place = &cookie->domain;
    }
    else if (tr_str_eq_nocase(name, tr_str_z("SameSite"))) {
        *place = &cookie->same_site;
    }
    else if (tr_str_eq_nocase(name, tr_str_z("Priority"))) {
        *place = &cookie->priority;
    }
    else {
        return false;
    }
    return true;
}

static bool is_flag(bool **place, cookie_t *cookie, tr_str_t name)
{
    if (tr_str_eq_nocase(name, tr_str_z("Secure"))) {
        *place = &cookie->secure;
    }
    else if (tr_str_eq_nocase(name, tr_str_z("HttpOnly"))) {
        *place = &cookie->http_only;
    }
    else if (tr_str_eq_nocase(name, tr_str_z("Partitioned"))) {
        *place = &cookie->partitioned;
    }
    else {
        return false;
    }
    return true;
}

static apr_status_t add_attribute(cookie_t *cookie, const char **why, tr_str_t attribute)
{
    const char *equals = attribute.len > 0 ? memchr(attribute.data, '=', attribute.len) : NULL;
    tr_str_t name = tr_str(attribute.data, equals != NULL ? (apr_size_t)(equals - attribute.data) : attribute.len);
    tr_str_t value = equals != NULL ? tr_str(equals + 1, attribute.len - name.len - 1) : tr_str("", 0);
    tr_str_t *text;
    bool *flag;

    if (is_flag(&flag, cookie, name)) {
        *why = "Secure, HttpOnly and Partitioned have no value, and stand there once";
        if (equals != NULL || *flag) {
            return APR_EINVAL;
        }
        *flag = true;
        return APR_SUCCESS;
    }
    if (is_valued(&text, cookie, name)) {
        *why = "Path, Domain, SameSite and Priority have a value, and stand there once";
        if (value.len == 0 || text->len > 0) {
            return APR_EINVAL;
        }
        *text = value;
        return APR_SUCCESS;
    }
    *why = "its attributes are Path=, Domain=, SameSite=, Priority=, Secure, HttpOnly and Partitioned; logout adds the others";
    return APR_EINVAL;
}

/* The piece of *rest up to the next semicolon, without blanks around it. */
static tr_str_t next_piece(const char **rest)
{
    const char *from = *rest + strspn(*rest, " \t");
    const char *to = from + strcspn(from, ";");

    *rest = *to == ';' ? to + 1 : to;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t')) {
        to--;
    }
    return tr_str(from, (apr_size_t)(to - from));
}

static apr_status_t parse(cookie_t *out, const char **why, const char *spec)
{
    const char *rest = spec;

    memset(out, 0, sizeof(*out));
    out->name = next_piece(&rest);
    while (*rest != '\0') {
        tr_str_t piece = next_piece(&rest);
        apr_status_t rv = piece.len > 0 ? add_attribute(out, why, piece) : APR_SUCCESS;

        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

static bool has_only(tr_str_t text, const char *characters)
{
    for (apr_size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\0' || strchr(characters, text.data[i]) == NULL) {
            return false;
        }
    }
    return text.len > 0;
}

static bool has_prefix_nocase(tr_str_t name, const char *prefix)
{
    tr_str_t want = tr_str_z(prefix);

    return name.len > want.len && tr_str_eq_nocase(tr_str(name.data, want.len), want);
}

static bool is_one_of(tr_str_t value, const char *a, const char *b, const char *c)
{
    return tr_str_eq_nocase(value, tr_str_z(a)) || tr_str_eq_nocase(value, tr_str_z(b)) || tr_str_eq_nocase(value, tr_str_z(c));
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

apr_status_t tr_logout_check_cookie(const char **why, const char *spec)
{
    cookie_t cookie;
    apr_status_t rv = parse(&cookie, why, spec);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    *why = NULL;
    if (!has_only(cookie.name, LETTERS "!#$%&'*+-.^_`|~")) {
        *why = "it begins with the name of the cookie: letters, digits and !#$%&'*+-.^_`|~, no = and no value";
    }
    else if (tr_str_has_control(tr_str_z(spec))) {
        *why = "it has a control character";
    }
    else if (cookie.path.len > 0 && cookie.path.data[0] != '/') {
        *why = "Path= begins with a slash";
    }
    else if (cookie.domain.len > 0 && !has_only(cookie.domain, LETTERS "-.")) {
        *why = "Domain= is the name of a host";
    }
    else if (cookie.same_site.len > 0 && !is_one_of(cookie.same_site, "Strict", "Lax", "None")) {
        *why = "SameSite= is Strict, Lax or None";
    }
    else if (cookie.priority.len > 0 && !is_one_of(cookie.priority, "Low", "Medium", "High")) {
        *why = "Priority= is Low, Medium or High";
    }
    else if (has_prefix_nocase(cookie.name, "__Host-") &&
             (cookie.domain.len > 0 || (cookie.path.len > 0 && !tr_str_eq_z(cookie.path, "/")))) {
        *why = "a cookie whose name begins with __Host- has no Domain, and no Path but /";
    }
    return *why == NULL ? APR_SUCCESS : APR_EINVAL;
}

static const char *attribute(const char *name, tr_str_t value, apr_pool_t *pool)
{
    return value.len > 0 ? apr_pstrcat(pool, "; ", name, "=", tr_str_dup_z(value, pool), NULL) : "";
}

const char *tr_logout_set_cookie(const char *spec, bool https, bool foreign, apr_pool_t *pool)
{
    const char *why;
    cookie_t cookie;
    bool secure;

    if (parse(&cookie, &why, spec) != APR_SUCCESS) {
        return NULL;
    }
    if (foreign && cookie.same_site.len == 0) {
        cookie.same_site = tr_str_z("None");
    }
    /* Without Secure, browsers take no cookie of such a name or kind, not even one that has ended. */
    secure = https || cookie.secure || cookie.partitioned || tr_str_eq_nocase(cookie.same_site, tr_str_z("None")) ||
             has_prefix_nocase(cookie.name, "__Host-") || has_prefix_nocase(cookie.name, "__Secure-") ||
             has_prefix_nocase(cookie.name, "__Http-");
    if (cookie.path.len == 0) {
        cookie.path = tr_str_z("/");
    }
    return apr_pstrcat(pool, tr_str_dup_z(cookie.name, pool), "=", attribute("Path", cookie.path, pool),
                       attribute("Domain", cookie.domain, pool), "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
                       attribute("SameSite", cookie.same_site, pool), attribute("Priority", cookie.priority, pool), "; HttpOnly",
                       secure ? "; Secure" : "", cookie.partitioned ? "; Partitioned" : "", NULL);
}
