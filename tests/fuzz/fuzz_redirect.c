/*
 * Where browsers are sent: by a logout that names its target, and to a login page that is told where they came from. A NUL parts
 * what the request says from what the configuration says. Whatever is accepted stands in the configuration byte for byte, or is a
 * path of this host by another reading.
 */
#include <apr_strings.h>
#include <ctype.h>

#include "tr_limits.h"
#include "tr_login.h"
#include "tr_logout.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the other reading ---------------------------------------------------------------------------------------- */

/* One slash, then none, no backslash, and nothing that a browser leaves out or a header must not have. */
static bool is_path_here(tr_str_t address)
{
    if (address.len == 0 || address.data[0] != '/' || (address.len > 1 && address.data[1] == '/'))
        return false;
    for (size_t i = 0; i < address.len; i++) {
        unsigned char c = (unsigned char)address.data[i];
        if (c < 0x20 || c == 0x7f || c == '\\')
            return false;
    }
    return true;
}

/*
 * The host that a browser would connect to from a page of https://here.test, as the WHATWG URL standard resolves an address of
 * http or https; NULL: it is of another scheme.
 */
static char *host_of(const char *address, apr_pool_t *pool)
{
    char *read = apr_pcalloc(pool, strlen(address) + 1), *to = read;
    while (*address != '\0' && (unsigned char)*address <= 0x20)
        address++;
    for (; *address != '\0'; address++)
        if (*address != '\t' && *address != '\n' && *address != '\r')
            *to++ = *address == '\\' ? '/' : *address;
    size_t scheme = strcspn(read, ":/?#");
    char *rest = read;
    if (read[scheme] == ':' && isalpha((unsigned char)read[0])) {
        if ((scheme != 4 || strncasecmp(read, "http", 4) != 0) && (scheme != 5 || strncasecmp(read, "https", 5) != 0))
            return NULL;
        rest = read + scheme + 1;
    }
    if (rest == read && !(rest[0] == '/' && rest[1] == '/'))
        return apr_pstrdup(pool, "here.test");
    rest += strspn(rest, "/");
    rest[strcspn(rest, "/?#")] = '\0';
    char *at = strrchr(rest, '@');
    rest = at != NULL ? at + 1 : rest;
    char *port = strrchr(rest, ':');
    if (port != NULL && strchr(port, ']') == NULL)
        *port = '\0';
    return rest;
}

static bool is_here(const char *address, apr_pool_t *pool)
{
    const char *host = host_of(address, pool);
    return host != NULL && strcmp(host, "here.test") == 0;
}

static bool is_fit_for_a_header(const char *value)
{
    for (const unsigned char *p = (const unsigned char *)value; *p != '\0'; p++)
        if (*p <= 0x20 || *p >= 0x7f)
            return false;
    return true;
}

/* ---- logout ---------------------------------------------------------------------------------------------------- */

static void check_logout(tr_str_t asked, const char *configured, apr_pool_t *pool)
{
    apr_array_header_t *targets = apr_array_make(pool, 2, sizeof(const char *));
    const char *why = NULL;
    APR_ARRAY_PUSH(targets, const char *) = "/bye.html";
    bool sound = tr_logout_check_target(&why, configured) == APR_SUCCESS;
    ALWAYS(sound || why != NULL);
    if (sound) {
        APR_ARRAY_PUSH(targets, const char *) = configured;
        ALWAYS(is_fit_for_a_header(configured) && strpbrk(configured, "\\\"<>") == NULL);
        ALWAYS(configured[0] != '/' || (is_path_here(tr_str_z(configured)) && is_here(configured, pool)));
    }
    bool accepted = tr_logout_accepts(targets, asked);
    bool listed = tr_str_eq_z(asked, "/bye.html") || (sound && tr_str_eq_z(asked, configured));
    ALWAYS(!accepted || listed || is_path_here(asked));
    ALWAYS(!listed || accepted);
    const char *location = tr_logout_target(targets, asked, tr_str(NULL, 0), pool);
    ALWAYS(is_fit_for_a_header(location));
    if (listed && sound && strcmp(location, configured) == 0)
        return;
    ALWAYS(is_here(location, pool) && is_path_here(tr_str_z(location)));
    ALWAYS(accepted || strcmp(location, "/bye.html") == 0);
    ALWAYS(tr_logout_target(NULL, asked, tr_str(NULL, 0), pool) == NULL || tr_logout_accepts(NULL, asked));
}

/* With a state, the same host as without. */
static void check_state(tr_str_t asked, tr_str_t state, apr_pool_t *pool)
{
    const char *plain = tr_logout_target(NULL, asked, tr_str(NULL, 0), pool);
    const char *with = tr_logout_target(NULL, asked, state, pool);
    ALWAYS((plain == NULL) == (with == NULL));
    ALWAYS(with == NULL || (is_here(with, pool) && is_fit_for_a_header(with) && strlen(with) >= strlen(plain)));
}

/* ---- login ------------------------------------------------------------------------------------------------------ */

static void check_login(const char *asked, const char *url, apr_pool_t *pool)
{
    const char *why = NULL;
    const char *told = tr_login_asked(asked, pool);
    ALWAYS(told[0] == '/' && told[1] != '/' && told[1] != '\\' && strchr(told, '#') == NULL);
    apr_status_t rv = tr_login_check(&why, url, pool);
    ALWAYS(rv == APR_SUCCESS || (rv == APR_EINVAL && why != NULL));
    if (rv != APR_SUCCESS)
        return;
    /* Whatever was asked for, the browser goes to the host of the configuration. */
    const char *location = tr_login_location(url, told, pool);
    const char *other = tr_login_location(url, "/", pool);
    const char *host = host_of(location, pool);
    ALWAYS(is_fit_for_a_header(location) && host != NULL && strcmp(host, host_of(other, pool)) == 0);
    ALWAYS(url[0] != '/' || is_here(location, pool));
    ALWAYS(strlen(location) <= strlen(url) * (3 * TR_MAX_LOGIN_URL_LEN + 1));
    (void)tr_login_is_at(url, "here.test", told, pool);
    ALWAYS(url[0] == '/' || !tr_login_is_at(url, NULL, told, pool));
}

static void judge(const world_t *w, const uint8_t *data, size_t size)
{
    const char *text = apr_pstrmemdup(w->pool, (const char *)data, size);
    const char *behind = strlen(text) < size ? text + strlen(text) + 1 : "";
    check_logout(tr_str_z(text), behind, w->pool);
    /* From a body, a target may hold anything. */
    check_logout(tr_str(text, size), "https://app.test/done?a=b#c", w->pool);
    check_state(tr_str_z(text), tr_str_z(behind), w->pool);
    check_login(text, behind, w->pool);
    ALWAYS(is_here(tr_logout_action(text, w->pool), w->pool));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
