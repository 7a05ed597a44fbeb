/*
 * tr_json_plain.h: what most claims and headers are made of, read several times as fast as the library does.
 */
#ifndef TR_JSON_PLAIN_H
#define TR_JSON_PLAIN_H

#include <jansson.h>

#include "tr_base.h"

/*
 * The object that text is, exactly as json_loadb with JSON_REJECT_DUPLICATES makes it and no deeper than TR_MAX_JSON_DEPTH; the
 * caller's. NULL says nothing: what is in any way out of the ordinary, or wrong, is left to the library.
 */
json_t *tr_json_plain(tr_str_t text);

#endif
