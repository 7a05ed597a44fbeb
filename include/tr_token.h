/*
 * tr_token.h: a token's claims and the single checks on them (RFC 7519 4.1, RFC 8725). The gate decides their order.
 */
#ifndef TR_TOKEN_H
#define TR_TOKEN_H

#include "tr_base.h"
#include "tr_issuer.h"
#include "tr_jose.h"

/* A token with its issuer and claims; views and copies in the pool it was read in. */
typedef struct tr_token_t {
    tr_jws_t jws;
    const tr_issuer_t *issuer;
    tr_str_t iss;        /* empty: none */
    double exp_s;        /* NumericDate, finite; valid after tr_token_read_times */
    double iat_s, nbf_s; /* valid if has_iat, has_nbf */
    bool has_iat, has_nbf;
    tr_str_t jti; /* this and the next four are valid after tr_token_read_identity; empty: none */
    tr_str_t sub, sid;
    tr_str_t client_id, azp; /* where only one is there, both are that */
} tr_token_t;

/* iss of the payload, and its section. APR_SUCCESS, TR_MALFORMED (no string, or too long) or TR_UNKNOWN_ISSUER. */
TR_MUST_CHECK apr_status_t tr_token_find_issuer(tr_token_t *token, tr_issuers_t *issuers);

/* Is the algorithm one that the issuer may use? APR_SUCCESS or TR_ALGORITHM. */
TR_MUST_CHECK apr_status_t tr_token_check_algorithm(const tr_token_t *token);

/* exp is there and a number, nbf and iat numbers if there are any. APR_SUCCESS or TR_MALFORMED. */
TR_MUST_CHECK apr_status_t tr_token_read_times(tr_token_t *token);

/* now is microseconds since 1970. APR_SUCCESS or TR_EXPIRED: exp + skew <= now (RFC 7519 4.1.4). */
TR_MUST_CHECK apr_status_t tr_token_check_expiry(const tr_token_t *token, apr_time_t now);

/* APR_SUCCESS or TR_NOT_YET_VALID: nbf or iat > now + skew. */
TR_MUST_CHECK apr_status_t tr_token_check_begin(const tr_token_t *token, apr_time_t now);

/* APR_SUCCESS or TR_LIFETIME: exp - iat (no iat: exp - now) is over TokRevokeMaxLifetime. */
TR_MUST_CHECK apr_status_t tr_token_check_lifetime(const tr_token_t *token, apr_time_t now);

/* RFC 7519 4.1.3. APR_SUCCESS or TR_AUDIENCE. */
TR_MUST_CHECK apr_status_t tr_token_check_audience(const tr_token_t *token);

/*
 * Of a logout token (OpenID Connect Back-Channel Logout 2.6): aud must be there, and name one of TokRevokeLogoutAudience, else
 * of TokRevokeAudience, where either is given. APR_SUCCESS or TR_AUDIENCE.
 */
TR_MUST_CHECK apr_status_t tr_token_check_logout_audience(const tr_token_t *token);

/* typ (RFC 8725 3.11), cnf (RFC 7800), events (RFC 8417). APR_SUCCESS or TR_TOKEN_TYPE. */
TR_MUST_CHECK apr_status_t tr_token_check_type(const tr_token_t *token);

/* Is the header's typ this type (RFC 7515 4.1.9: case-insensitive, "application/" may be left out)? */
bool tr_token_has_type(const tr_token_t *token, const char *type);

/* Is it a security event (RFC 8417), as a logout token is? */
bool tr_token_is_event(const tr_token_t *token);

/* Is it an access token by its claims? APR_SUCCESS or TR_TOKEN_USE. */
TR_MUST_CHECK apr_status_t tr_token_check_use(const tr_token_t *token);

/* Do the claims or typ say that it is a refresh token? */
bool tr_token_is_refresh(const tr_token_t *token);

/*
 * jti, sub, sid, client_id, azp: strings of at most 1 KiB without control characters, jti not empty. APR_SUCCESS or
 * TR_MALFORMED.
 */
TR_MUST_CHECK apr_status_t tr_token_read_identity(tr_token_t *token);

/*
 * The claim that names the user: a string that is not empty and holds no control character, or an integer as decimal
 * text. *out is NUL-terminated in pool. APR_SUCCESS or TR_MALFORMED.
 */
TR_MUST_CHECK apr_status_t tr_token_user(const char **out, const tr_token_t *token, const char *claim, apr_pool_t *pool);

#endif
