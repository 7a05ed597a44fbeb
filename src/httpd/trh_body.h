/*
 * trh_body.h: bodies of requests: small ones whole, others thrown away, and for how long anybody is waited for.
 */
#ifndef TRH_BODY_H
#define TRH_BODY_H

#include <stdatomic.h>

#include <httpd.h>

#include "tr_base.h"
#include "tr_limits.h"
#include "tr_oauth.h"

/* Bytes that come in pieces. It grows with what comes: a length that is only announced costs nothing. Begin with data "". */
typedef struct trh_buffer_t {
    char *data;
    apr_size_t len, room, max_len;
    apr_pool_t *pool;
} trh_buffer_t;

/* False: it would be over max_len. */
TR_MUST_CHECK bool trh_buffer_add(trh_buffer_t *buffer, const char *data, apr_size_t n);

/*
 * The whole body in the request's pool. Returns OK, or the HTTP status to answer, with a sentence for the client: 413 when it is
 * over max_len, 408 when it does not come in time, 503 when too many others do not, 400 …
 */
TR_MUST_CHECK int trh_read_body(tr_str_t *out, const char **sentence, request_rec *r, apr_size_t max_len);

/* What body says, by the type that the request names. The same answers. */
TR_MUST_CHECK int trh_read_params(tr_params_t **out, tr_body_type_t *type, const char **sentence, request_rec *r, tr_str_t body);

/* Read the body for nothing. Where it does not come in time, the connection ends with the answer. */
void trh_discard_body(request_rec *r);

/* ---- those who let us wait (trh_wait.c) ---------------------------------------------------------------------- */

/* Who is waited for: each until when at most, of trh_steady_clock; what has passed is nobody. All zero is a good beginning. */
typedef struct trh_waits_t {
    _Atomic int64_t until[TR_MAX_WAITING];
} trh_waits_t;

typedef struct trh_wait_t trh_wait_t;

/*
 * From now on whoever reads r's body gets an error where he would wait for longer than anybody may. max_len: of the body that is
 * read; 0: of any size.
 */
trh_wait_t *trh_wait_begin(request_rec *r, apr_size_t max_len);

/* OK; or 408 or 503, which is why reading has failed. */
int trh_wait_end(trh_wait_t *wait);

void trh_register_wait(void);

#endif
