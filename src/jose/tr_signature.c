/* tr_signature.c: is this signature good? (RFC 7515 5.2, RFC 7518 3.2 to 3.5, RFC 8037 3.1) */
#include <errno.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "tr_context.h"
#include "tr_reason.h"
#include "tr_thread.h"

#define MAX_BLOCK_LEN 128     /* SHA-384 and SHA-512; SHA-256 has 64 */
#define MAX_DER_ECDSA_LEN 144 /* two INTEGERs of 66 bytes and a leading 0 in a SEQUENCE: 141 */

/* The hash of one text after another. */
static bool hash_both(unsigned char out[EVP_MAX_MD_SIZE], unsigned int *len, EVP_MD_CTX *ctx, tr_str_t first, tr_str_t second)
{
    return EVP_DigestInit_ex(ctx, NULL, NULL) == 1 && EVP_DigestUpdate(ctx, first.data, first.len) == 1 &&
           EVP_DigestUpdate(ctx, second.data, second.len) == 1 && EVP_DigestFinal_ex(ctx, out, len) == 1;
}

static void mask(unsigned char *block, apr_size_t len, unsigned char with)
{
    for (apr_size_t i = 0; i < len; i++) {
        block[i] ^= with;
    }
}

/* The secret at the head of one block of zeros of the hash (RFC 2104 2): hashed itself if it is longer. */
static bool fill_block(unsigned char block[MAX_BLOCK_LEN], apr_size_t block_len, EVP_MD_CTX *ctx, tr_str_t secret)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len;
    bool done = true;

    if (secret.len <= block_len) {
        memcpy(block, secret.data, secret.len);
        return true;
    }
    done = hash_both(digest, &len, ctx, secret, tr_str("", 0));
    if (done) {
        memcpy(block, digest, len);
    }
    OPENSSL_cleanse(digest, sizeof(digest));
    return done;
}

/*
 * HMAC (RFC 2104 2) over the thread's own hash. OpenSSL's goes through locks and memory each time, or a copy of the secret would
 * have to stay in each thread.
 */
static bool hmac(unsigned char out[EVP_MAX_MD_SIZE], unsigned int *len, tr_contexts_t *contexts, const tr_jws_t *jws,
                 tr_str_t secret)
{
    unsigned char block[MAX_BLOCK_LEN] = {0};
    apr_size_t block_len = jws->alg == TR_ALG_HS256 ? 64 : MAX_BLOCK_LEN;
    tr_str_t padded = tr_str((const char *)block, block_len);
    EVP_MD_CTX *ctx = tr_context_hash(contexts, jws->alg);
    bool done = ctx != NULL && fill_block(block, block_len, ctx, secret);

    if (done) {
        mask(block, block_len, 0x36);
        done = hash_both(out, len, ctx, padded, jws->signing_input);
    }
    if (done) {
        mask(block, block_len, 0x36 ^ 0x5c);
        done = hash_both(out, len, ctx, padded, tr_str((const char *)out, *len));
    }
    OPENSSL_cleanse(block, sizeof(block));
    return done;
}

static apr_status_t verify_hmac(tr_contexts_t *contexts, const tr_jws_t *jws, const tr_key_t *key)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len;
    apr_status_t rv = APR_EGENERAL;

    if (hmac(mac, &len, contexts, jws, key->secret)) {
        bool same = jws->signature.len == len && CRYPTO_memcmp(mac, jws->signature.data, len) == 0;

        rv = same ? APR_SUCCESS : TR_BAD_SIGNATURE;
    }
    OPENSSL_cleanse(mac, sizeof(mac));
    return rv;
}

/* Appends an unsigned number as a DER INTEGER (X.690 8.3): no zeros in front, but one before a first bit that is set. */
static unsigned char *put_integer(unsigned char *to, const unsigned char *number, apr_size_t len)
{
    while (len > 1 && *number == 0) {
        number++;
        len--;
    }
    *to++ = 0x02;
    *to++ = (unsigned char)(len + (*number >> 7));
    if (*number >> 7) {
        *to++ = 0;
    }
    memcpy(to, number, len);
    return to + len;
}

/* R || S of fixed length (RFC 7518 3.4) as the DER that OpenSSL wants, in buf. */
static tr_str_t ecdsa_to_der(unsigned char buf[MAX_DER_ECDSA_LEN], tr_str_t raw)
{
    const unsigned char *number = (const unsigned char *)raw.data;
    unsigned char *end, *begin = buf + 3;
    apr_size_t len;

    end = put_integer(begin, number, raw.len / 2);
    end = put_integer(end, number + raw.len / 2, raw.len / 2);
    len = (apr_size_t)(end - begin);
    *--begin = (unsigned char)len;
    if (len >= 0x80) {
        *--begin = 0x81;
    }
    *--begin = 0x30;
    return tr_str((const char *)begin, (apr_size_t)(end - begin));
}

/* 0 is a signature that is not this key's; where OpenSSL could not find out it is less, and the token may be good. */
static apr_status_t verdict(int verified)
{
    if (verified == 1) {
        return APR_SUCCESS;
    }
    return verified == 0 ? TR_BAD_SIGNATURE : APR_EGENERAL;
}

static apr_status_t verify_hashed(tr_contexts_t *contexts, const tr_jws_t *jws, const tr_key_t *key)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned char der[MAX_DER_ECDSA_LEN];
    EVP_MD_CTX *ctx = tr_context_hash(contexts, jws->alg);
    EVP_PKEY_CTX *verifier = tr_context_verifier(contexts, jws->alg, key);
    tr_str_t sig = jws->signature;
    unsigned int len;

    if (ctx == NULL || verifier == NULL || !hash_both(hash, &len, ctx, jws->signing_input, tr_str("", 0))) {
        return APR_EGENERAL;
    }
    if (tr_alg_info(jws->alg)->sig_len > 0) {
        sig = ecdsa_to_der(der, sig);
    }
    return verdict(EVP_PKEY_verify(verifier, (const unsigned char *)sig.data, sig.len, hash, len));
}

static apr_status_t verify_edwards(tr_contexts_t *contexts, const tr_jws_t *jws, const tr_key_t *key)
{
    EVP_MD_CTX *ctx = tr_context_one_shot(contexts, jws->alg, key);

    if (ctx == NULL) {
        return APR_EGENERAL;
    }
    return verdict(EVP_DigestVerify(ctx, (const unsigned char *)jws->signature.data, jws->signature.len,
                                    (const unsigned char *)jws->signing_input.data, jws->signing_input.len));
}

static apr_status_t verify_public(tr_contexts_t *contexts, const tr_jws_t *jws, const tr_key_t *key)
{
    const tr_alg_info_t *info = tr_alg_info(jws->alg);

    if (info->sig_len > 0 && jws->signature.len != (apr_size_t)info->sig_len) {
        return TR_BAD_SIGNATURE;
    }
    return info->md != NULL ? verify_hashed(contexts, jws, key) : verify_edwards(contexts, jws, key);
}

static apr_status_t verify(const tr_jws_t *jws, const tr_key_t *key)
{
    tr_contexts_t *contexts = tr_contexts_take();
    apr_status_t rv;

    if (contexts == NULL) {
        return APR_ENOMEM;
    }
    /* What OpenSSL has to say about a bad signature must not stay in the thread's queue for other modules to find. */
    ERR_set_mark();
    errno = 0;
    rv = key->pkey != NULL ? verify_public(contexts, jws, key) : verify_hmac(contexts, jws, key);
    /* Without memory some parts of OpenSSL find a signature wrong and say nothing, but malloc does (POSIX). Nobody knows then, and there
       would be nothing to revoke in a forged token. */
    if (rv == TR_BAD_SIGNATURE && errno == ENOMEM) {
        rv = APR_ENOMEM;
    }
    ERR_pop_to_mark();
    tr_contexts_give_back(contexts);
    return rv;
}

apr_status_t tr_jws_verify(const tr_jws_t *jws, const tr_key_t *key)
{
    apr_status_t rv;

    if (!(key->algs & TR_ALG_BIT(jws->alg))) {
        return TR_BAD_SIGNATURE;
    }
    if (!tr_openssl_enter()) {
        return APR_EGENERAL;
    }
    rv = verify(jws, key);
    tr_openssl_leave();
    return rv;
}
