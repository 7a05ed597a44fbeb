/*
 * tr_jose.h: JSON Web Signature (RFC 7515), keys (RFC 7517) and algorithms (RFC 7518, 8037, 8812, 9864).
 */
#ifndef TR_JOSE_H
#define TR_JOSE_H

#include <stdint.h>

#include "tr_base.h"
#include "tr_digest.h"
#include "tr_json.h"

/* ---- algorithms -------------------------------------------------------------------------------------------- */

typedef enum tr_alg_t {
    TR_ALG_RS256,
    TR_ALG_RS384,
    TR_ALG_RS512,
    TR_ALG_PS256,
    TR_ALG_PS384,
    TR_ALG_PS512,
    TR_ALG_ES256,
    TR_ALG_ES384,
    TR_ALG_ES512,
    TR_ALG_ES256K,
    TR_ALG_EDDSA,
    TR_ALG_ED25519,
    TR_ALG_ED448,
    TR_ALG_HS256,
    TR_ALG_HS384,
    TR_ALG_HS512
} tr_alg_t;
#define TR_ALGS 16

typedef uint32_t tr_alg_set_t; /* bit i = tr_alg_t i */
#define TR_ALG_BIT(alg) ((tr_alg_set_t)1 << (alg))
#define TR_ALG_HS_SET (TR_ALG_BIT(TR_ALG_HS256) | TR_ALG_BIT(TR_ALG_HS384) | TR_ALG_BIT(TR_ALG_HS512))

/* True and *out set if name is one of the 16, exactly as registered (RFC 7515 4.1.1: case-sensitive). Never "none". */
bool tr_alg_by_name(tr_alg_t *out, tr_str_t name);
const char *tr_alg_name(tr_alg_t alg);

/* ---- keys -------------------------------------------------------------------------------------------------- */

typedef struct tr_key_t tr_key_t; /* a verification key; immutable, freed with the pool it was made in */

/* A list of keys; freed with its pool. */
typedef struct tr_keys_t {
    const tr_key_t **key;
    apr_size_t count;
} tr_keys_t;

/*
 * All of a JWK Set's (RFC 7517 5) keys that can verify signatures: others (use other than "sig", key_ops without
 * "verify", unknown kty, crv or alg, key agreement curves) are left out, as section 5 says. Private members are not
 * looked at. Returns APR_SUCCESS; APR_EINVAL when the set, or a key in it that would be used, is broken or too weak,
 * with *why for the administrator (in pool). A set may be left with no key at all.
 */
TR_MUST_CHECK apr_status_t tr_keys_from_jwks(tr_keys_t **out, const char **why, tr_str_t text, apr_pool_t *pool);

/*
 * The public key or certificate (its dates are not looked at) that is first in a PEM file. kid may be empty. As above.
 */
TR_MUST_CHECK apr_status_t tr_key_from_pem(const tr_key_t **out, const char **why, tr_str_t pem, tr_str_t kid, apr_pool_t *pool);

/*
 * An HMAC secret, its bytes as they are. kid may be empty. APR_EINVAL with *why when it has fewer than 32 bytes (RFC
 * 7518 3.2) or is a public or private key or certificate, which everybody may know. The copy is wiped when pool goes.
 */
TR_MUST_CHECK apr_status_t tr_key_from_secret(const tr_key_t **out, const char **why, tr_str_t secret, tr_str_t kid,
                                              apr_pool_t *pool);

/*
 * Algorithms that this key may verify, by type, curve, size and its own "alg". Never empty, never both HS* and another.
 */
tr_alg_set_t tr_key_algs(const tr_key_t *key);

/* The kid; empty for a key that has none. */
tr_str_t tr_key_kid(const tr_key_t *key);

/*
 * SHA-256 over public key or secret, algorithms and kid: the same for keys that verify the same tokens, different where any of it
 * differs. Of a secret, it must not leave the process. Returns APR_SUCCESS, or a failure of the library.
 */
TR_MUST_CHECK apr_status_t tr_key_digest(unsigned char out[TR_SHA256_LEN], const tr_key_t *key, apr_pool_t *pool);

/* ---- signatures -------------------------------------------------------------------------------------------- */

/* A compact JWS, taken apart. Views into the text it was parsed from, and copies in the pool it was parsed in. */
typedef struct tr_jws_t {
    tr_str_t text;          /* the whole token */
    tr_str_t signing_input; /* header.payload, as they stand in text */
    tr_str_t signature;     /* decoded */
    const tr_json_t *header;
    const tr_json_t *payload;
    tr_alg_t alg;
    tr_str_t kid; /* empty: none */
    tr_str_t typ; /* empty: none */
} tr_jws_t;

/*
 * Take text apart and look at the header. Three non-empty base64url parts; header and payload objects; no "crit" (RFC
 * 7515 4.1.11: we understand none), "b64" (RFC 7797) or "zip"; alg, kid, typ and cty strings; cty not JWT (RFC 7519
 * 5.2: nested). jku, jwk, x5u, x5c are not looked at. text must live as long as out. Returns APR_SUCCESS, TR_MALFORMED,
 * TR_ALGORITHM (alg none, unknown or no string), or APR_ENOMEM.
 */
TR_MUST_CHECK apr_status_t tr_jws_parse(tr_jws_t *out, tr_str_t text, apr_pool_t *pool);

/*
 * Does key make this signature good? The caller has checked that jws->alg is in tr_key_algs(key); it is checked again.
 * Returns APR_SUCCESS, TR_BAD_SIGNATURE, or APR_EGENERAL / APR_ENOMEM when the library broke.
 */
TR_MUST_CHECK apr_status_t tr_jws_verify(const tr_jws_t *jws, const tr_key_t *key);

#endif
