/*
 * tr_base64url.h: base64url without padding, strictly (RFC 7515 2, RFC 4648 3.5 and 5).
 */
#ifndef TR_BASE64URL_H
#define TR_BASE64URL_H

#include "tr_base.h"

/*
 * Decode in into a new buffer in pool (NUL-terminated beyond out->len). One text has one spelling: padding, white
 * space, any character outside A-Z a-z 0-9 - _, a length of 4n+1 and non-zero trailing bits are refused. Empty in gives
 * an empty out. Returns APR_SUCCESS or TR_MALFORMED.
 */
TR_MUST_CHECK apr_status_t tr_base64url_decode(tr_str_t *out, tr_str_t in, apr_pool_t *pool);

/* NUL-terminated base64url of in, in pool. */
char *tr_base64url_encode(tr_str_t in, apr_pool_t *pool);

#endif
