/*
 * tr_query.h: parameters in the query of a request (RFC 6750 2.3): finding the token, and taking it out in every spelling.
 */
#ifndef TR_QUERY_H
#define TR_QUERY_H

#include "tr_base.h"

/* Is this pair of a query, cut at '&', the parameter name? *raw is its value as it stands. */
bool tr_is_parameter(tr_str_t *raw, tr_str_t pair, const char *name, apr_pool_t *pool);

/*
 * The token in the parameter name of a query: decoded; as it stands where it can't be, which is no token either. Returns
 * APR_SUCCESS, TR_NO_TOKEN or TR_MULTIPLE_TOKENS.
 */
TR_MUST_CHECK apr_status_t tr_query_find(tr_str_t *out, const char *args, const char *name, apr_pool_t *pool);

/* The decoded value of a parameter of the query. False: it is not there, twice there, empty or badly encoded. */
bool tr_query_value(tr_str_t *out, const char *args, const char *name, apr_pool_t *pool);

/* args without the parameter name, in pool; NULL when nothing is left. */
char *tr_query_strip(const char *args, apr_size_t args_len, const char *name, apr_pool_t *pool);

/* text (a URI, a request line) without the parameter name in its query, which ends at a blank or #. In pool. */
char *tr_query_strip_uri(const char *text, const char *name, apr_pool_t *pool);

#endif
