/*
 * tr_json_read.h: JSON by the library, whole or not at all. Where it has no memory for a longer string or number the library drops bytes of
 * it, and says nothing. So it is made to read a string of which we know the length before, and which is no shorter than any that follows:
 * it needs no more memory of that kind after it.
 */
#ifndef TR_JSON_READ_H
#define TR_JSON_READ_H

#include <jansson.h>

#include "tr_base.h"

/*
 * One object or array without duplicate members; NULL: *error says why, or has an empty text, if there was no memory. Without memory the
 * library may call a good string bad. Nobody may be told that a token is bad because of that, for there is nothing to revoke in a bad
 * one. So what is refused is read once more, after as much memory as the text takes was to be had.
 */
json_t *tr_json_read(tr_str_t text, json_error_t *error, apr_pool_t *pool);

/* For an administrator. The library goes on with what it stands at, which may be a part of a secret: that is left out. */
const char *tr_json_explain(const json_error_t *error, apr_pool_t *pool);

#endif
