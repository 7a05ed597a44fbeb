/*
 * trh_stream.h: what is watched because it may outlive its token (trh_stream.c, trh_watcher.c). Private to both.
 */
#ifndef TRH_STREAM_H
#define TRH_STREAM_H

#include <stdatomic.h>

#include <util_filter.h>

#include "tr_line.h"
#include "trh_shared.h"

/* Values of seen that no table ever counts up to. */
#define TRH_DEAD UINT64_MAX
#define TRH_NOT_BEGUN (UINT64_MAX - 1) /* so that the first write is noticed without another comparison */

struct trh_stream_t {
    trh_stream_t *next, **link; /* the watcher's mutex guards these, and shut */
    bool shut;
    bool is_shared; /* the socket: other streams use it, too (HTTP/2) */
    tr_line_t line; /* the client's connection */
    const tr_gate_t *gate;
    trh_request_t *request; /* may lie in a pool below that of the request: mod_dir's, of an index */
    server_rec *server;
    const char *client;
    apr_time_t began;
    ap_filter_t *input;    /* NULL: none */
    _Atomic uint64_t seen; /* the table had changed so often when the token was found good */
    _Atomic int64_t due;   /* when dead: it is cut at this time, steady clock */
    _Atomic(const char *) why;
};

/* Is its token revoked by now? Then it is dead, which is said once. Any thread. */
void trh_stream_look_up(trh_stream_t *stream, apr_pool_t *scratch);

/*
 * Watch it from now on, until it is left. Returns 0, or an error of the system: EMFILE or ENFILE where there are no descriptors to
 * cut by, another where there is no thread. leave: before anything goes that it points to.
 */
TR_MUST_CHECK int trh_watcher_enter(trh_stream_t *stream);
void trh_watcher_leave(trh_stream_t *stream);

#endif
