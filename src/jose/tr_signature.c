/* tr_signature.c: is this signature good? (RFC 7515 5.2, RFC 7518 3.2 to 3.5, RFC 8037 3.1) */
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "tr_key.h"
#include "tr_reason.h"

#define MAX_DER_ECDSA_LEN 160 /* two INTEGERs of 67 bytes at most in a SEQUENCE: 141 */

static apr_status_t verify_hmac(const tr_jws_t *jws, const tr_key_t *key)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    bool same;

    if (HMAC(tr_alg_info(jws->alg)->md(), key->secret.data, (int)key->secret.len, (const unsigned char *)jws->signing_input.data,
             jws->signing_input.len, mac, &len) == NULL) {
        return APR_EGENERAL;
    }
    same = jws->signature.len == len && CRYPTO_memcmp(mac, jws->signature.data, len) == 0;
    OPENSSL_cleanse(mac, sizeof(mac));
    return same ? APR_SUCCESS : TR_BAD_SIGNATURE;
}

/* R || S of fixed length (RFC 7518 3.4) as the DER that OpenSSL wants. 0: no memory. */
static int ecdsa_to_der(unsigned char der[MAX_DER_ECDSA_LEN], tr_str_t raw)
{
    const unsigned char *p = (const unsigned char *)raw.data;
    int half = (int)(raw.len / 2);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, half, NULL);
    BIGNUM *s = BN_bin2bn(p + half, half, NULL);
    int len = 0;

    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL;
        len = i2d_ECDSA_SIG(sig, NULL);
        len = len > 0 && len <= MAX_DER_ECDSA_LEN ? i2d_ECDSA_SIG(sig, &der) : 0;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return len;
}

/* PSS: salt as long as the hash, MGF1 with the same hash (RFC 7518 3.5). */
static bool set_up(EVP_MD_CTX *ctx, const tr_alg_info_t *info, EVP_PKEY *pkey)
{
    const EVP_MD *md = info->md != NULL ? info->md() : NULL;
    EVP_PKEY_CTX *pctx;

    if (EVP_DigestVerifyInit(ctx, &pctx, md, NULL, pkey) != 1) {
        return false;
    }
    return !info->pss ||
           (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(pctx, md) == 1);
}

bool tr_key_can_begin(EVP_PKEY *pkey, tr_alg_t alg)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool can;

    ERR_set_mark();
    can = ctx != NULL && set_up(ctx, tr_alg_info(alg), pkey);
    ERR_pop_to_mark();
    EVP_MD_CTX_free(ctx);
    return can;
}

static apr_status_t verify_public(const tr_jws_t *jws, const tr_key_t *key)
{
    const tr_alg_info_t *info = tr_alg_info(jws->alg);
    bool is_ecdsa = info->md != NULL && info->sig_len > 0;
    unsigned char der[MAX_DER_ECDSA_LEN];
    tr_str_t sig = jws->signature;
    EVP_MD_CTX *ctx;
    apr_status_t rv = APR_EGENERAL;

    if (info->sig_len > 0 && sig.len != (apr_size_t)info->sig_len) {
        return TR_BAD_SIGNATURE;
    }
    if (is_ecdsa) {
        sig = tr_str((const char *)der, (apr_size_t)ecdsa_to_der(der, sig));
        if (sig.len == 0) {
            return APR_ENOMEM;
        }
    }
    ctx = EVP_MD_CTX_new();
    if (ctx != NULL && set_up(ctx, info, key->pkey)) {
        rv = EVP_DigestVerify(ctx, (const unsigned char *)sig.data, sig.len, (const unsigned char *)jws->signing_input.data,
                              jws->signing_input.len) == 1
                 ? APR_SUCCESS
                 : TR_BAD_SIGNATURE;
    }
    EVP_MD_CTX_free(ctx);
    return rv;
}

apr_status_t tr_jws_verify(const tr_jws_t *jws, const tr_key_t *key)
{
    apr_status_t rv;

    if (!(key->algs & TR_ALG_BIT(jws->alg))) {
        return TR_BAD_SIGNATURE;
    }
    /* What OpenSSL has to say about a bad signature must not stay in the thread's queue for other modules to find. */
    ERR_set_mark();
    rv = key->pkey != NULL ? verify_public(jws, key) : verify_hmac(jws, key);
    ERR_pop_to_mark();
    return rv;
}
