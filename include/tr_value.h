/*
 * tr_value.h: words of the configuration: durations, numbers, places of tokens, origins, types of site data.
 *
 * What is wrong with one is said in a sentence for the administrator, in pool; NULL: nothing is.
 */
#ifndef TR_VALUE_H
#define TR_VALUE_H

#include <stdint.h>

#include "tr_base.h"

/* "30", "30s", "5m", "12h", "7d" as seconds. */
TR_MUST_CHECK const char *tr_value_duration(int64_t *out_s, const char *text, apr_pool_t *pool);

/* A whole number from 1 to most, in decimal digits. False: it is none. */
TR_MUST_CHECK bool tr_value_number(uint32_t *out, const char *text, uint32_t most);

/* RFC 9110 5.6.2: can this be the name of a field? */
bool tr_is_http_token(const char *name);

/* ---- where tokens stand ------------------------------------------------------------------------------------ */

typedef enum tr_source_kind_t {
    TR_FROM_AUTHORIZATION, /* RFC 6750 2.1 */
    TR_FROM_HEADER,        /* the token alone in a header of its own */
    TR_FROM_COOKIE,
    TR_FROM_QUERY, /* RFC 6750 2.3 */
    TR_FROM_FORM   /* body of a POST to an endpoint of ours; no source elsewhere */
} tr_source_kind_t;

typedef struct tr_source_t {
    tr_source_kind_t kind;
    const char *name; /* of the header, cookie or parameter */
} tr_source_t;

/* header, header=NAME, cookie=NAME, query=NAME, form=NAME. */
TR_MUST_CHECK const char *tr_value_source(tr_source_t *out, const char *text, apr_pool_t *pool);

/* The same place? Names of headers are folded (RFC 9110 5.1), those of cookies and parameters are not. */
bool tr_source_eq(const tr_source_t *a, const tr_source_t *b);

/* ---- browsers ---------------------------------------------------------------------------------------------- */

/* RFC 6454 6.2: scheme://host[:port], as browsers write it, and nothing behind; or "*". */
bool tr_is_origin(const char *text);

/*
 * A list of what browsers know to throw away (W3C Clear Site Data 3.1), with or without quotes, between blanks or commas. *out is
 * the value of the field, in pool.
 */
TR_MUST_CHECK const char *tr_value_site_data(const char **out, const char *text, apr_pool_t *pool);

#endif
