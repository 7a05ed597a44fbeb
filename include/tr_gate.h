/*
 * tr_gate.h: "may this token pass?" The order of the checks is here and nowhere else.
 */
#ifndef TR_GATE_H
#define TR_GATE_H

#include "tr_base.h"
#include "tr_entry.h"
#include "tr_generation.h"
#include "tr_issuer.h"
#include "tr_table.h"
#include "tr_token.h"
#include "tr_verified.h"

typedef struct tr_recent_t tr_recent_t;         /* tr_recent.h */
typedef struct tr_remembered_t tr_remembered_t; /* an entry of it */

/* What one (virtual) server checks tokens against. Plain data, read only. */
typedef struct tr_gate_t {
    tr_issuers_t *issuers;
    const tr_table_t *table;           /* NULL: revocation can't be known, and nobody passes */
    bool (*is_informed)(void);         /* does the table know of what others revoked? No: nobody passes. NULL: yes */
    const tr_generation_t *generation; /* of issuers; NULL: nothing is remembered */
    const tr_verified_t *verified;     /* whose signature was good; NULL: not remembered */
    tr_recent_t *recent;               /* what was read from tokens just seen; NULL, or no generation: not remembered */
    bool (*may_check)(void);           /* may this thread spend time on a signature that nobody remembers? NULL: yes */
    void (*was_forged)(void);          /* it did, and the signature was wrong; NULL: nobody counts */
} tr_gate_t;

/* The table has not heard from its store for too long. */
#define TR_GATE_UNINFORMED APR_TIMEUP

/*
 * A token that passed. In the pool of the call, or remembered, and then neither it nor what it points to changes as long as the
 * pool lives.
 */
typedef struct tr_identity_t {
    tr_token_t token;            /* remembered: jws has no header, payload (tr_recent_payload) or signature */
    const char *user;            /* NUL-terminated value of the user claim */
    tr_kind_t revoked_by;        /* with TR_REVOKED */
    tr_remembered_t *remembered; /* NULL: it is not */
} tr_identity_t;

/*
 * All the checks, revocation last. text must live as long as the identity. now: microseconds since 1970. Returns
 * APR_SUCCESS, one of the refusals of tr_reason.h (out is then undefined, but for TR_REVOKED it holds the token), or a
 * failure (TR_GATE_UNINFORMED and TR_BUSY are two), which must be answered like "cannot know" (503).
 */
TR_MUST_CHECK apr_status_t tr_gate_admit(tr_identity_t *out, const tr_gate_t *gate, tr_str_t text, const char *user_claim,
                                         apr_time_t now, apr_pool_t *pool);

/*
 * Is this a token that could be accepted somewhere, so that revoking it means something? Only format, algorithm,
 * issuer, key, signature and expiry count, and that its identity can be read (tr_token_read_identity). Same answers as
 * above; with TR_EXPIRED, the signature was good, and out has its exp.
 */
TR_MUST_CHECK apr_status_t tr_gate_recognize(tr_token_t *out, const tr_gate_t *gate, tr_str_t text, apr_time_t now,
                                             apr_pool_t *pool);

/*
 * Is it revoked: by its own identity, its session, subject, client, issuer or family, or by its signed part, while nobody here
 * could read it? For a token that tr_gate_recognize knows. Kinds with no entry cost nothing. Returns APR_SUCCESS (it is not,
 * and we would know), TR_REVOKED with *by, or a failure, as above.
 */
TR_MUST_CHECK apr_status_t tr_gate_check_revoked(tr_kind_t *by, const tr_gate_t *gate, const tr_token_t *token, apr_pool_t *pool);

/* The same for a token that is no JWT, or one whose issuer nobody here knows: text is what tr_gate_opaque_text gives. */
TR_MUST_CHECK apr_status_t tr_gate_check_opaque(tr_kind_t *by, const tr_gate_t *gate, tr_str_t text, apr_pool_t *pool);

/*
 * verdict is what tr_gate_recognize said of text. Is that a token only its issuer can read: no JWS, or one with an issuer, key or
 * algorithm that nobody here knows, but no JWS without its signature? *out is then what names it: the text, or of a JWS the
 * signing input, so that no other spelling of the signature escapes. Returns APR_SUCCESS (it is), TR_MALFORMED, or a failure.
 */
TR_MUST_CHECK apr_status_t tr_gate_opaque_text(tr_str_t *out, tr_str_t text, apr_status_t verdict, apr_pool_t *pool);

/* ---- entries ----------------------------------------------------------------------------------------------- */

/* How long entries are kept beyond the time for which tokens are accepted. */
typedef struct tr_keep_t {
    int64_t after_s;   /* seconds: the largest clock skew, and TokRevokeRetain */
    int64_t refresh_s; /* seconds from now that entries with a cut-off live at least, for refresh tokens; 0: no matter */
} tr_keep_t;

typedef enum tr_scope_t { TR_SCOPE_TOKEN, TR_SCOPE_SESSION, TR_SCOPE_SUBJECT } tr_scope_t;

/*
 * The entry that revokes this token by its own identity: issuer and jti, or with no jti the SHA-256 of its signing
 * input. Returns APR_SUCCESS, or a failure of the digest.
 */
TR_MUST_CHECK apr_status_t tr_gate_entry(tr_entry_t *out, const tr_token_t *token, const tr_keep_t *keep, apr_pool_t *pool);

/*
 * The entry that revokes all tokens of this session, subject, client or issuer (kind) that were issued up to the second of
 * issued_before. now: as everywhere. issuer: its rules. Strings of the entry are views of iss and value.
 */
void tr_gate_entry_before(tr_entry_t *out, tr_kind_t kind, const tr_issuer_t *issuer, tr_str_t iss, tr_str_t value,
                          apr_time_t issued_before, const tr_keep_t *keep, apr_time_t now);

/*
 * The entry that revokes the token with this jti, which nobody here has seen. exp_s: when it expires, in seconds since 1970;
 * NULL: as late as a token of this issuer can that was issued by now.
 */
void tr_gate_entry_jti(tr_entry_t *out, const tr_issuer_t *issuer, tr_str_t iss, tr_str_t jti, const int64_t *exp_s,
                       const tr_keep_t *keep, apr_time_t now);

/* The entry that revokes an opaque token, named as tr_gate_opaque_text does. Returns APR_SUCCESS, or a failure of the digest. */
TR_MUST_CHECK apr_status_t tr_gate_entry_opaque(tr_entry_t *out, tr_str_t text, int64_t expires_s, apr_pool_t *pool);

/*
 * The entries that end a token: its own, and that of its session or subject where scope asks for it and the token names one.
 * 1 to TR_SCOPE_ENTRIES. The cut-off is now, or the token's own iat where that is later. Same errors.
 */
#define TR_SCOPE_ENTRIES 2
TR_MUST_CHECK apr_status_t tr_gate_scope(tr_entry_t out[TR_SCOPE_ENTRIES], int *n, const tr_token_t *token, tr_scope_t scope,
                                         const tr_keep_t *keep, apr_time_t now, apr_pool_t *pool);

/* ---- families ---------------------------------------------------------------------------------------------- */

/*
 * All tokens that a token endpoint gave out in exchange for one another are a family. It has a number, 63 bits of the digest of
 * its first token; a MEMBER entry says that a token belongs to it, a FAMILY entry that it is revoked.
 */

/*
 * The MEMBER entry that puts a token into family number: a JWT (own: what tr_gate_entry says), or an opaque token (own: what
 * tr_gate_entry_opaque says). It lives as long as own. Returns APR_SUCCESS, or a failure of the digest.
 */
TR_MUST_CHECK apr_status_t tr_gate_member(tr_entry_t *out, const tr_entry_t *own, int64_t number, apr_pool_t *pool);

/* The number of the family that the token with this own entry is in, or begins. Failure: of the digest. */
TR_MUST_CHECK apr_status_t tr_gate_family(int64_t *number, const tr_gate_t *gate, const tr_entry_t *own, apr_pool_t *pool);

/* The FAMILY entry that ends all of it. */
void tr_gate_family_entry(tr_entry_t *out, int64_t number, int64_t expires_s, apr_pool_t *pool);

#endif
