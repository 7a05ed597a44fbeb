/*
 * tr_login.h: the address of a login page, and what it is told of the page that was asked for (no open redirects: CWE-601).
 */
#ifndef TR_LOGIN_H
#define TR_LOGIN_H

#include "tr_base.h"

/*
 * The value of TokRevokeLoginURL: a URI of http or https, or a path on this host; {url} may stand in it, but not before the end
 * of its host. APR_SUCCESS, or APR_EINVAL and *why, static text for the administrator.
 */
TR_MUST_CHECK apr_status_t tr_login_check(const char **why, const char *url, apr_pool_t *pool);

/*
 * The target of a request (RFC 9112 3.2), as a path and query of this host that no browser reads as another: without scheme, host
 * and fragment, with one slash first. In pool.
 */
char *tr_login_asked(const char *target, apr_pool_t *pool);

/*
 * url with each {url} replaced by asked, percent-encoded, in pool. What is over TR_MAX_LOGIN_URL_LEN is told without its query,
 * and if that does not help, as "/".
 */
const char *tr_login_location(const char *url, const char *asked, apr_pool_t *pool);

/*
 * Does url, which has passed the check, lead to path (decoded) of the host named host (without port; NULL: unknown)? A path of url
 * that holds {url} leads to all that begin like it.
 */
bool tr_login_is_at(const char *url, const char *host, const char *path, apr_pool_t *pool);

#endif
