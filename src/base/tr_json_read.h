/*
 * tr_json_read.h: JSON by the library, whole or not at all. Where it has no memory for a longer string or number the library drops bytes of
 * it, and says nothing. So it is made to read a string of which we know the length before, and which is no shorter than any that follows:
 * it needs no more memory of that kind after it.
 */
#ifndef TR_JSON_READ_H
#define TR_JSON_READ_H

#include <jansson.h>

#include "tr_base.h"

/* One object or array without duplicate members; NULL: *error says why, or has an empty text, if there was no memory. */
json_t *tr_json_read(tr_str_t text, json_error_t *error, apr_pool_t *pool);

#endif
