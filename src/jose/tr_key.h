/*
 * tr_key.h: what a key is inside this room.
 */
#ifndef TR_KEY_H
#define TR_KEY_H

#include <openssl/evp.h>

#include "tr_jose.h"

struct tr_key_t {
    uint64_t serial; /* its alone as long as the process lives; of a secret 0 */
    tr_str_t kid;
    tr_alg_set_t algs;
    EVP_PKEY *pkey; /* NULL: an HMAC secret */
    tr_str_t secret;
    unsigned char material[TR_SHA256_LEN]; /* SHA-256 of public key or secret, if has_material */
    bool has_material;
};

/* What an algorithm is made of. */
typedef struct tr_alg_info_t {
    const char *name;
    const EVP_MD *(*md)(void); /* NULL: the signature scheme hashes itself */
    int sig_len;               /* bytes of a raw ECDSA or EdDSA signature; 0: by key */
    bool pss;
} tr_alg_info_t;

const tr_alg_info_t *tr_alg_info(tr_alg_t alg);

/*
 * A public key that passed every check, tied to pool. Takes over pkey, also when it fails. The key's type and curve
 * give its algorithms. APR_EINVAL with *why when it is too weak, not sound, or of a kind that signs no token.
 */
TR_MUST_CHECK apr_status_t tr_key_wrap(tr_key_t **out, const char **why, EVP_PKEY *pkey, apr_pool_t *pool);

/* Make the digest of its material: once, before threads use it, since it is asked for again with each change of other keys. */
void tr_key_measure(tr_key_t *key);

/* Does OpenSSL let pkey verify signatures of this algorithm, which has a hash, at all? */
bool tr_key_can_begin(EVP_PKEY *pkey, tr_alg_t alg);

/* HS* algorithms whose hash is no longer than a secret of this many bytes (RFC 7518 3.2). */
tr_alg_set_t tr_key_hmac_algs(apr_size_t secret_len);

#endif
