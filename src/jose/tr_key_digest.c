/* tr_key_digest.c: what a key is, in 32 bytes. */
#include <openssl/err.h>
#include <openssl/x509.h>

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

void tr_key_measure(tr_key_t *key)
{
    apr_status_t rv = key->pkey != NULL ? digest_public(key->material, key->pkey) : tr_sha256(key->material, key->secret);

    key->has_material = rv == APR_SUCCESS;
}

apr_status_t tr_key_digest(unsigned char out[TR_SHA256_LEN], const tr_key_t *key, apr_pool_t *pool)
{
    apr_size_t len = sizeof(key->material) + sizeof(key->algs);
    char *text = apr_palloc(pool, len + key->kid.len);

    if (!key->has_material) {
        return APR_EGENERAL;
    }
    memcpy(text, key->material, sizeof(key->material));
    memcpy(text + sizeof(key->material), &key->algs, sizeof(key->algs)); /* which say of what type it is, too */
    if (key->kid.len > 0) {
        memcpy(text + len, key->kid.data, key->kid.len);
    }
    return tr_sha256(out, tr_str(text, len + key->kid.len));
}
