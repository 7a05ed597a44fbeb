/*
 * tr_logout.h: logging out without HTTP: what is revoked, where to go afterwards, how cookies are cleared, and the page that
 * asks first.
 */
#ifndef TR_LOGOUT_H
#define TR_LOGOUT_H

#include <apr_tables.h>

#include "tr_base.h"
#include "tr_gate.h"
#include "tr_ledger.h"

/* ---- what the configuration says: APR_SUCCESS, or APR_EINVAL and *why, static text for the administrator ---- */

/*
 * A target of TokRevokeLogoutRedirect: a path on this host, or a URI (RFC 3986) of http, https or an application's own scheme
 * (RFC 8252 7.1: with a dot in it). Nothing that two readers could take for two hosts.
 */
TR_MUST_CHECK apr_status_t tr_logout_check_target(const char **why, const char *target);

/*
 * NAME or NAME;attribute…: Path, Domain, SameSite, Priority with their values, Secure, HttpOnly, Partitioned. What browsers
 * would not take is refused (RFC 6265 4.1, and the rules for names with __Host- and the like).
 */
TR_MUST_CHECK apr_status_t tr_logout_check_cookie(const char **why, const char *spec);

/* A template: holds {action}, {fields} and a form that posts. pool: for a copy. */
TR_MUST_CHECK apr_status_t tr_logout_check_page(const char **why, tr_str_t text, apr_pool_t *pool);

/* ---- tokens ------------------------------------------------------------------------------------------------ */

/*
 * Add text to tokens (tr_str_t) unless it is empty or there already. False: there are TR_MAX_LOGOUT_TOKENS others.
 */
TR_MUST_CHECK bool tr_logout_add_token(apr_array_header_t *tokens, tr_str_t text);

typedef struct tr_logout_request_t {
    const apr_array_header_t *tokens; /* tr_str_t: all that the caller showed */
    tr_str_t refresh_token;           /* one of them, which may be opaque; empty: none */
    tr_scope_t scope;
    bool is_known;    /* the caller has shown who he is otherwise */
    int64_t opaque_s; /* TokRevokeOpaque; 0: JWTs only */
    const tr_keep_t *keep;
    tr_circumstances_t circumstances;
    apr_time_t wall; /* what clocks say: up to when tokens are cut off */
    apr_time_t now;  /* from a clock that never ran ahead */
} tr_logout_request_t;

typedef struct tr_logout_result_t {
    apr_status_t verdict;    /* APR_SUCCESS: all that means something is revoked; else what failed */
    int revoked;             /* how many of the tokens, where it is */
    const char *named;       /* for the log: the fingerprints of these, in pool */
    const char *passed_over; /* for the log: those of the others, and why */
} tr_logout_result_t;

/*
 * Revoke every token that can be recognized, with one commit; bad and expired ones are passed over. An opaque refresh token is
 * taken from a caller who is known, or shows a token of a trusted issuer that lives, or has been dead no longer than a refresh
 * token lives: nobody else may fill the table. ledger NULL: nothing can be revoked.
 */
void tr_logout_revoke(tr_logout_result_t *out, const tr_logout_request_t *request, const tr_gate_t *gate, tr_ledger_t *ledger,
                      apr_pool_t *pool);

/* ---- where to go ------------------------------------------------------------------------------------------- */

/*
 * May a caller name this target? One of targets (const char *; NULL: none) byte for byte, or a path on this host: one
 * slash first, no //, no backslash, no control character.
 */
bool tr_logout_accepts(const apr_array_header_t *targets, tr_str_t asked);

/*
 * The value of Location, in pool: asked where it is accepted, with state (empty: none) in its query, before a fragment; else
 * the first of targets; NULL where there is none.
 */
const char *tr_logout_target(const apr_array_header_t *targets, tr_str_t asked, tr_str_t state, apr_pool_t *pool);

/* ---- cookies ----------------------------------------------------------------------------------------------- */

/*
 * The value of Set-Cookie that makes a browser forget the cookie (RFC 6265 3.1: same name, Path and Domain), in pool. spec
 * has passed the check, or is a name alone: that has the path "/". foreign: the answer goes to a page of another site, where
 * browsers take only cookies that say SameSite=None.
 */
const char *tr_logout_set_cookie(const char *spec, bool https, bool foreign, apr_pool_t *pool);

/* ---- the page ---------------------------------------------------------------------------------------------- */

/* text with & < > " ' and line ends as character references, in pool: fit for attributes, too. */
const char *tr_logout_escape(tr_str_t text, apr_pool_t *pool);

/*
 * path (of a request: anything), as an address of this same host: one slash first, and nothing in it that leads elsewhere.
 * In pool.
 */
const char *tr_logout_action(const char *path, apr_pool_t *pool);

/*
 * The template with each {action} and {fields} filled in, in pool. action is escaped here; fields are hidden inputs for
 * redirect (post_logout_redirect_uri) and state, where they are not empty.
 */
const char *tr_logout_page(const char *template, const char *action, tr_str_t redirect, tr_str_t state, apr_pool_t *pool);

#endif
