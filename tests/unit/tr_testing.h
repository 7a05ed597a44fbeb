/*
 * tr_testing.h: tokens, keys and key sets made with OpenSSL alone, so that nothing of the code under test is used to test it.
 * A helper that cannot do its job aborts the test program.
 */
#ifndef TR_TESTING_H
#define TR_TESTING_H

#include <stdarg.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "tr_base.h"
#include "tr_jose.h"

/* ---- text -------------------------------------------------------------------------------------------------- */

/* printf into pool; PRINTF formats of the C library, not APR's. */
char *tt_print(apr_pool_t *pool, const char *format, ...) TR_PRINTF(2, 3);

/* base64url without padding, and back; the latter for text that is known to be good. */
char *tt_b64(apr_pool_t *pool, const void *data, size_t len);
tr_str_t tt_unb64(apr_pool_t *pool, const char *text);

/* count times piece. */
char *tt_repeat(apr_pool_t *pool, const char *piece, size_t count);

/* A fast pseudo-random number; the same sequence for the same seed. */
uint64_t tt_random(uint64_t *seed);

/* ---- processes --------------------------------------------------------------------------------------------- */

/* What what() returns, called in a process of its own; -1: that did not end by itself. */
int tt_in_child(int (*what)(void));

/* ---- keys -------------------------------------------------------------------------------------------------- */

typedef struct tt_key_t {
    EVP_PKEY *pkey;    /* NULL for a secret */
    tr_str_t secret;   /* empty for a key pair */
    const char *curve; /* JOSE's name; NULL for RSA and secrets */
} tt_key_t;

/*
 * A key by name, made when first asked for and kept until tt_keys_free: RSA<bits>, P-256, P-384, P-521, secp256k1, Ed25519,
 * Ed448, X25519, oct<bytes>; anything after a '#' only makes it another key.
 */
const tt_key_t *tt_key(const char *name);
void tt_keys_free(void);

/* The public JWK (for a secret the JWK); more is text like ",\"kid\":\"a\"" or "". */
char *tt_jwk(apr_pool_t *pool, const tt_key_t *key, const char *more);

/* {"keys":[...]} of the JWKs up to NULL. */
char *tt_jwks(apr_pool_t *pool, ...);

/* PEM of the public key, of the private key, and of a certificate that ended in 1971. */
char *tt_pem(apr_pool_t *pool, const tt_key_t *key);
char *tt_private_pem(apr_pool_t *pool, const tt_key_t *key);
char *tt_certificate(apr_pool_t *pool, const tt_key_t *key);

/* The key as the code under test reads it from a JWK Set of one; NULL if the set is refused or holds no usable key. */
const tr_key_t *tt_read_jwk(apr_pool_t *pool, const char *jwk);

/* ---- tokens ------------------------------------------------------------------------------------------------ */

/* The algorithm that fits a key best: ES256 for P-256, RS256, HS256, EdDSA ... */
const char *tt_alg(const tt_key_t *key);

/* JOSE's signature of input (RFC 7518 3). */
tr_str_t tt_sign(apr_pool_t *pool, const char *alg, const tt_key_t *key, const char *input);

/* A compact JWS of the two texts as they are. */
char *tt_token(apr_pool_t *pool, const char *alg, const tt_key_t *key, const char *header, const char *payload);

/* The same with a header of alg, and kid if it is not NULL. */
char *tt_mint(apr_pool_t *pool, const char *alg, const tt_key_t *key, const char *kid, const char *payload);

/* header.payload.signature, where the signature is given. */
char *tt_assemble(apr_pool_t *pool, const char *header, const char *payload, tr_str_t signature);

#endif
