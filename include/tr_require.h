/*
 * tr_require.h: what claims say of who may do what. For tokens that passed the gate: payload is tr_jws_t's.
 */
#ifndef TR_REQUIRE_H
#define TR_REQUIRE_H

#include <apr_tables.h>

#include "tr_base.h"
#include "tr_json.h"

/*
 * What may be compared: a string as it is, a number or boolean as JSON writes it. false: value is none of these (null and objects
 * say nothing, nor do arrays as such).
 */
TR_MUST_CHECK bool tr_require_text(tr_str_t *out, const tr_json_t *value, apr_pool_t *pool);

/* Is this the text that was asked for? False goes on to the next. */
typedef bool (*tr_require_fn)(void *baton, tr_str_t text);

/* Is there a claim at path (tr_json_path) that is, or where it is an array has an element that is, what was asked for? */
bool tr_require_any(const tr_json_t *payload, const char *path, tr_require_fn is_it, void *baton, apr_pool_t *pool);

/* The same for a list: is it one of values (const char *), byte for byte? */
bool tr_require_value(const tr_json_t *payload, const char *path, const apr_array_header_t *values, apr_pool_t *pool);

/* Is this a scope-token (RFC 6749 3.3)? */
bool tr_is_scope(const char *text);

/*
 * Does the token have all of scopes (const char *): in "scope" (RFC 9068 2.2.3) or "scp", each of which may be a string with
 * spaces between scopes, or an array of scopes?
 */
bool tr_require_scopes(const tr_json_t *payload, const apr_array_header_t *scopes);

/*
 * The claim at path in one line of text, NUL-terminated: a string as it is, all else as JSON. NULL: there is none, it is null,
 * or a string with a control character, which must not get into headers.
 */
const char *tr_require_show(const tr_json_t *payload, const char *path, apr_pool_t *pool);

#endif
