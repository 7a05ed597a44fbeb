/*
 * tr_reason.h: why a token is refused. A refusal is an apr_status_t from its own range, so that one return value
 * carries success, refusal or failure ("we broke": anything else). Log word, HTTP status, OAuth error code and public
 * sentence of each refusal stand in one table.
 */
#ifndef TR_REASON_H
#define TR_REASON_H

#include "tr_base.h"

/* About the order of the checks; TR_MALFORMED can come at any step. src/gate/tr_gate.c has the order. */
enum {
    TR_REFUSED_FIRST = APR_OS_START_USERERR + 7000,
    TR_NO_TOKEN = TR_REFUSED_FIRST,
    TR_MULTIPLE_TOKENS,
    TR_MALFORMED,
    TR_ALGORITHM,
    TR_UNKNOWN_ISSUER,
    TR_UNKNOWN_KEY,
    TR_BAD_SIGNATURE,
    TR_EXPIRED,
    TR_NOT_YET_VALID,
    TR_LIFETIME,
    TR_AUDIENCE,
    TR_TOKEN_TYPE,
    TR_TOKEN_USE,
    TR_REVOKED,
    TR_REFUSED_LAST = TR_REVOKED
};

/* A failure: no signature is checked for this caller now, because he has sent too many that were wrong. */
#define TR_BUSY (APR_OS_START_USERERR + 7300)

typedef struct tr_reason_t {
    const char *word;        /* log, request note, environment: "bad_signature" */
    int http_status;         /* what a protected resource answers */
    const char *oauth_error; /* RFC 6750 3.1 or 6749 5.2; NULL where the RFC wants none */
    const char *sentence;    /* error_description; RFC 6749 5.2 character set */
    const char *message;     /* "message" of the JSON body */
    const char *error_type;  /* "error_type" of the JSON body; NULL = left out */
} tr_reason_t;

/* True for the refusals above; false for APR_SUCCESS and for every failure. */
static inline bool tr_is_refusal(apr_status_t rv)
{
    return rv >= TR_REFUSED_FIRST && rv <= TR_REFUSED_LAST;
}

/*
 * The row for rv. Any status that is neither success nor a refusal gives the row "unavailable" (503: when revocation
 * cannot be known, nobody passes; 429 for TR_BUSY, which ends no connection). Never NULL; static storage.
 */
const tr_reason_t *tr_reason(apr_status_t rv);

/* The row of a good token whose Require is not met (RFC 6750 3.1 insufficient_scope, 403). */
const tr_reason_t *tr_reason_forbidden(void);

#endif
