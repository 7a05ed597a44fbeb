/* tr_key_digest.c: what a key is, in 32 bytes. */
#include <openssl/err.h>
#include <openssl/x509.h>

#include "tr_digest.h"
#include "tr_key.h"

/* RFC 5280 4.1.2.7: SubjectPublicKeyInfo says all there is to say of a public key, parameters of RSASSA-PSS included. */
static apr_status_t digest_public(unsigned char out[TR_SHA256_LEN], EVP_PKEY *pkey)
{
    unsigned char *der = NULL;
    apr_status_t rv = APR_EGENERAL;
    int len;

    ERR_set_mark();
    len = i2d_PUBKEY(pkey, &der);
    if (len > 0) {
        rv = tr_sha256(out, tr_str((const char *)der, (apr_size_t)len));
    }
    ERR_pop_to_mark();
    OPENSSL_free(der);
    return rv;
}

apr_status_t tr_key_digest(unsigned char out[TR_SHA256_LEN], const tr_key_t *key, apr_pool_t *pool)
{
    struct {
        unsigned char material[TR_SHA256_LEN];
        tr_alg_set_t algs; /* says of which type it is, too */
    } fixed = {{0}, key->algs};
    char *text = apr_palloc(pool, sizeof(fixed) + key->kid.len);
    apr_status_t rv = key->pkey != NULL ? digest_public(fixed.material, key->pkey) : tr_sha256(fixed.material, key->secret);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    memcpy(text, &fixed, sizeof(fixed));
    if (key->kid.len > 0) {
        memcpy(text + sizeof(fixed), key->kid.data, key->kid.len);
    }
    return tr_sha256(out, tr_str(text, sizeof(fixed) + key->kid.len));
}
