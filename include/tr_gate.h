/*
 * tr_gate.h: "may this token pass?" The order of the checks is here and nowhere else.
 */
#ifndef TR_GATE_H
#define TR_GATE_H

#include "tr_base.h"
#include "tr_entry.h"
#include "tr_issuer.h"
#include "tr_table.h"
#include "tr_token.h"

/* What one (virtual) server checks tokens against. Plain data, read only. */
typedef struct tr_gate_t {
    tr_issuers_t *issuers;
    const tr_table_t *table;   /* NULL: revocation can't be known, and nobody passes */
    bool (*is_informed)(void); /* does the table know of what others revoked? No: nobody passes. NULL: yes */
} tr_gate_t;

/* The table has not heard from its store for too long. */
#define TR_GATE_UNINFORMED APR_TIMEUP

/* A token that passed. In the pool of the call. */
typedef struct tr_identity_t {
    tr_token_t token;
    const char *user; /* NUL-terminated value of the user claim */
} tr_identity_t;

/*
 * All the checks, revocation last. text must live as long as the identity. now: microseconds since 1970. Returns
 * APR_SUCCESS, one of the refusals of tr_reason.h (out is then undefined, but for TR_REVOKED it holds the token), or a
 * failure (TR_GATE_UNINFORMED is one), which must be answered like "cannot know" (503).
 */
TR_MUST_CHECK apr_status_t tr_gate_admit(tr_identity_t *out, const tr_gate_t *gate, tr_str_t text, const char *user_claim,
                                         apr_time_t now, apr_pool_t *pool);

/*
 * Is this a token that could be accepted somewhere, so that revoking it means something? Only format, algorithm,
 * issuer, key, signature and expiry count, and that its identity can be read (tr_token_read_identity). Same answers as
 * above.
 */
TR_MUST_CHECK apr_status_t tr_gate_recognize(tr_token_t *out, const tr_gate_t *gate, tr_str_t text, apr_time_t now,
                                             apr_pool_t *pool);

/*
 * The entry that revokes this token by its own identity: issuer and jti, or with no jti the SHA-256 of its signing
 * input. keep_s: seconds to keep it after exp (skew, margin). Returns APR_SUCCESS, or a failure of the digest.
 */
TR_MUST_CHECK apr_status_t tr_gate_entry(tr_entry_t *out, const tr_token_t *token, int64_t keep_s, apr_pool_t *pool);

#endif
