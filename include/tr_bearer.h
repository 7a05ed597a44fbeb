/*
 * tr_bearer.h: tokens in fields of a request (RFC 6750 2.1). httpd joins fields of one name with ", "; a comma is no
 * character of a token, so it gives two fields away (RFC 9110 5.3).
 */
#ifndef TR_BEARER_H
#define TR_BEARER_H

#include "tr_base.h"

/* Does an Authorization field begin with the scheme Bearer (RFC 9110 11.1: case-insensitive)? */
bool tr_has_bearer_scheme(tr_str_t value);

/*
 * The token in the value of an Authorization field; a view. Returns APR_SUCCESS, TR_NO_TOKEN (another scheme, or nothing behind
 * it), or TR_MULTIPLE_TOKENS.
 */
TR_MUST_CHECK apr_status_t tr_bearer_find(tr_str_t *out, tr_str_t value);

/* The same for a field that holds nothing but the token. */
TR_MUST_CHECK apr_status_t tr_bearer_find_alone(tr_str_t *out, tr_str_t value);

/*
 * The next of all the tokens that *value may hold, which goes on behind it: each piece between commas; has_scheme: of those of the
 * scheme Bearer. False: no more. *out may be empty; it is a view.
 */
bool tr_bearer_next(tr_str_t *out, tr_str_t *value, bool has_scheme);

#endif
