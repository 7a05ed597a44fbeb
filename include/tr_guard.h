/*
 * tr_guard.h: in front of a token endpoint (RFC 6749 3.2), without HTTP: which refresh tokens does a request bring, is one of
 * them revoked, and what does an exchange mean (rotation and reuse, RFC 9700 4.14)?
 */
#ifndef TR_GUARD_H
#define TR_GUARD_H

#include "tr_base.h"
#include "tr_gate.h"
#include "tr_ledger.h"
#include "tr_limits.h"
#include "tr_oauth.h"

/* ---- what a request brings ------------------------------------------------------------------------------------ */

/*
 * Readers of parameters differ: some fold names, trim values, cut at NUL or at ';', pass over broken escapes. What anyone of
 * them may take for a refresh token is found here, so that no spelling leads around the guard.
 */

typedef enum tr_grant_body_t {
    TR_GRANT_BODY_OTHER, /* none of our business */
    TR_GRANT_BODY_FORM,
    TR_GRANT_BODY_JSON,
    TR_GRANT_BODY_MULTIPART,
    TR_GRANT_BODY_ANY,     /* of another type, behind a query that names a refresh grant */
    TR_GRANT_BODY_DOUBTFUL /* two types at once, or a charset in which other bytes mean these letters */
} tr_grant_body_t;

/* By Content-Type; NULL, or what is no media type, is read as a form. */
tr_grant_body_t tr_grant_body(const char *content_type, apr_pool_t *pool);

typedef struct tr_grant_t {
    bool names_type; /* there is a grant_type */
    bool is_refresh; /* and one reading of it is refresh_token */
    int n;           /* distinct readings of refresh_token */
    tr_str_t token[TR_MAX_GRANT_TOKENS];
    const char *fault; /* the body cannot be read for certain; NULL: it can */
    bool is_unread;    /* for lack of memory, which is no fault of the client's */
    const char *doubt; /* the same, of the refresh token alone */
} tr_grant_t;

/* Add what a query or a form brings. Tokens lie in pool. */
void tr_grant_read_form(tr_grant_t *grant, tr_str_t text, apr_pool_t *pool);

/* Add what a body of this type brings; call it after the query was read. */
void tr_grant_read_body(tr_grant_t *grant, tr_grant_body_t type, tr_str_t body, apr_pool_t *pool);

/* May somebody take it for an exchange of a refresh token? Without a grant_type, too: some servers have a default. */
bool tr_grant_is_exchange(const tr_grant_t *grant);

/* What is wrong with it, as a sentence for the client; NULL: nothing. */
const char *tr_grant_fault(const tr_grant_t *grant);

/* ---- the guard ------------------------------------------------------------------------------------------------ */

typedef struct tr_guard_t {
    const tr_gate_t *gate;
    tr_ledger_t *ledger; /* NULL: nothing can be revoked */
    bool rotation;
    int64_t opaque_s; /* seconds to remember opaque tokens and families; TR_FOREVER */
    const tr_keep_t *keep;
    tr_circumstances_t circumstances;
    apr_time_t wall; /* what clocks say: up to when a session is cut off */
    apr_time_t now;  /* from a clock that never ran ahead */
} tr_guard_t;

/* What became of a token. */
typedef enum tr_guard_event_t {
    TR_GUARD_NOTHING,
    TR_GUARD_REFUSED,    /* it was revoked */
    TR_GUARD_REUSED,     /* and its family is ended now */
    TR_GUARD_ROTATED,    /* it was exchanged, and is revoked now */
    TR_GUARD_UNKNOWN,    /* whether it is revoked cannot be known */
    TR_GUARD_NOT_STORED, /* its family, or its revocation, could not be stored */
    TR_GUARD_UNREADABLE  /* the answer of the token endpoint is none that can be understood */
} tr_guard_event_t;

typedef struct tr_guard_outcome_t {
    tr_guard_event_t event;
    tr_str_t token;     /* the one it is about */
    tr_str_t subject;   /* its sub; empty: not known */
    tr_kind_t by;       /* what it was revoked by; with TR_GUARD_REFUSED and TR_GUARD_REUSED */
    apr_status_t rv;    /* of a failure */
    tr_answer_t answer; /* status 0: let it pass */
} tr_guard_outcome_t;

/* May this request go on to the token endpoint? Always fills out. */
void tr_guard_judge(tr_guard_outcome_t *out, const tr_guard_t *guard, const tr_grant_t *grant, apr_pool_t *pool);

/*
 * The token endpoint has answered the exchange of refresh token old with body, a success. If it gave out another refresh token,
 * old is revoked, and what it gave out belongs to the family of old. May the answer go on to the client? Always fills out.
 */
void tr_guard_rotate(tr_guard_outcome_t *out, const tr_guard_t *guard, tr_str_t old, tr_str_t body, apr_pool_t *pool);

/* The answer to an exchange whose answer was too large, encoded, or cut off; it is withheld. */
void tr_guard_withhold(tr_guard_outcome_t *out, tr_str_t old, apr_pool_t *pool);

#endif
