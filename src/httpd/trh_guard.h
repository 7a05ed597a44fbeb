/*
 * trh_guard.h: what the two halves of the guard share: the one that reads requests, and the one that holds answers back.
 */
#ifndef TRH_GUARD_H
#define TRH_GUARD_H

#include "tr_guard.h"
#include "trh.h"

/* Goes with a request and with whatever it is redirected to inside httpd; lives in their pool. */
typedef struct trh_guarded_t {
    bool rotation;
    int64_t opaque_s; /* TR_FOREVER */
    tr_str_t body;    /* that was read, and is given on */
    apr_size_t given; /* bytes of it */
    bool has_body;
    tr_str_t exchanged;   /* the refresh token whose exchange is awaited; empty: none */
    apr_table_t *headers; /* err_headers_out as it was before anybody answered; with exchanged */
} trh_guarded_t;

/* NULL: the location is not guarded. */
trh_guarded_t *trh_guarded(const request_rec *r);

/* What the guard of r needs. */
tr_guard_t trh_guard_of(request_rec *r, const trh_guarded_t *guarded);

/* Say in the log, and in the request's notes, what became of a refresh token. */
void trh_log_guard(request_rec *r, const tr_guard_outcome_t *outcome);

/* Hold the answer of r back until it is known what it gives out. */
void trh_await_exchange(request_rec *r, trh_guarded_t *guarded);

void trh_register_rotation(void);

#endif
