/* tr_pem.c: keys from files that hold one: PEM public keys and certificates, HMAC secrets. */
#include <apr_strings.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tr_key.h"
#include "tr_limits.h"
#include "tr_secret.h"

static bool holds(tr_str_t text, const char *word)
{
    return text.len > 0 && memmem(text.data, text.len, word, strlen(word)) != NULL;
}

/* An encrypted PEM would make OpenSSL ask on the terminal. */
static int no_password(char *buf, int size, int writing, void *baton)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)baton;
    return -1;
}

static EVP_PKEY *read_certificate(BIO *bio)
{
    X509 *cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    EVP_PKEY *pkey = cert != NULL ? X509_get_pubkey(cert) : NULL;

    X509_free(cert);
    return pkey;
}

static bool starts_with_certificate(tr_str_t pem)
{
    static const char label[] = "-----BEGIN CERTIFICATE-----";
    const char *first = pem.len > 0 ? memmem(pem.data, pem.len, "-----BEGIN ", 11) : NULL;

    return first != NULL && (apr_size_t)(pem.data + pem.len - first) >= sizeof(label) - 1 &&
           memcmp(first, label, sizeof(label) - 1) == 0;
}

static EVP_PKEY *read_pem(tr_str_t pem)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *pkey = NULL;

    ERR_set_mark();
    if (bio != NULL) {
        pkey = starts_with_certificate(pem) ? read_certificate(bio) : PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    }
    BIO_free(bio);
    ERR_pop_to_mark();
    return pkey;
}

apr_status_t tr_key_from_pem(const tr_key_t **out, const char **why, tr_str_t pem, tr_str_t kid, apr_pool_t *pool)
{
    EVP_PKEY *pkey;
    tr_key_t *key;
    apr_status_t rv;

    if (pem.len > TR_MAX_KEY_FILE_LEN) {
        *why = "it is larger than 1 MiB";
        return APR_EINVAL;
    }
    if (holds(pem, "PRIVATE KEY-----")) {
        *why = "it holds a private key, which a server that only verifies should not have; give it the public key";
        return APR_EINVAL;
    }
    pkey = read_pem(pem);
    if (pkey == NULL) {
        *why = "it holds no PEM public key or certificate that OpenSSL can read";
        return APR_EINVAL;
    }
    rv = tr_key_wrap(&key, why, pkey, pool);
    if (rv != APR_SUCCESS) {
        *why = apr_psprintf(pool, "it holds %s", *why);
        return rv;
    }
    key->kid = tr_str(tr_str_dup_z(kid, pool), kid.len);
    *out = key;
    return APR_SUCCESS;
}

static bool is_der_key(tr_str_t bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.data;
    EVP_PKEY *pkey;
    X509 *cert = NULL;

    ERR_set_mark();
    pkey = d2i_PUBKEY(NULL, &p, (long)bytes.len);
    if (pkey == NULL) {
        p = (const unsigned char *)bytes.data;
        cert = d2i_X509(NULL, &p, (long)bytes.len);
    }
    ERR_pop_to_mark();
    EVP_PKEY_free(pkey);
    X509_free(cert);
    return pkey != NULL || cert != NULL;
}

static apr_status_t wipe(void *baton)
{
    tr_key_t *key = baton;

    OPENSSL_cleanse(key->material, sizeof(key->material));
    return APR_SUCCESS;
}

apr_status_t tr_key_from_secret(const tr_key_t **out, const char **why, tr_str_t secret, tr_str_t kid, apr_pool_t *pool)
{
    tr_key_t *key;

    if (secret.len > TR_MAX_KEY_FILE_LEN) {
        *why = "it is larger than 1 MiB";
        return APR_EINVAL;
    }
    if (tr_key_hmac_algs(secret.len) == 0) {
        *why =
            apr_psprintf(pool, "an HMAC secret of %" APR_SIZE_T_FMT " bytes; HS256 needs 32 at least (RFC 7518 3.2)", secret.len);
        return APR_EINVAL;
    }
    if (holds(secret, "-----BEGIN ") || is_der_key(secret)) {
        *why = "it is a key or certificate, which is no secret; HS256 tokens could be forged with it";
        return APR_EINVAL;
    }
    key = apr_pcalloc(pool, sizeof(*key));
    key->kid = tr_str(tr_str_dup_z(kid, pool), kid.len);
    if (tr_secret_keep(&key->secret, secret, pool) != APR_SUCCESS) {
        *why = "there is no memory for it";
        return APR_ENOMEM;
    }
    key->algs = tr_key_hmac_algs(secret.len);
    tr_key_measure(key);
    apr_pool_cleanup_register(pool, key, wipe, apr_pool_cleanup_null);
    *out = key;
    return APR_SUCCESS;
}
