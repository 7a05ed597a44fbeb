/*
 * tr_testing_token.c: signatures and tokens for the tests.
 */
#include "tr_testing.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "tr_testing: %s failed\n", what);
    abort();
}

const char *tt_alg(const tt_key_t *key)
{
    if (!key->pkey)
        return key->secret.len >= 64 ? "HS512" : key->secret.len >= 48 ? "HS384" : "HS256";
    if (!key->curve)
        return "RS256";
    if (key->curve[0] == 'E')
        return "EdDSA";
    return strcmp(key->curve, "P-256") == 0   ? "ES256"
           : strcmp(key->curve, "P-384") == 0 ? "ES384"
           : strcmp(key->curve, "P-521") == 0 ? "ES512"
                                              : "ES256K";
}

static const EVP_MD *hash_of(const char *alg)
{
    if (strncmp(alg, "Ed", 2) == 0)
        return NULL;
    return alg[2] == '2' ? EVP_sha256() : alg[2] == '3' ? EVP_sha384() : EVP_sha512();
}

static tr_str_t hmac(apr_pool_t *pool, const char *alg, tr_str_t secret, const char *input)
{
    unsigned char *mac = apr_palloc(pool, EVP_MAX_MD_SIZE);
    unsigned int len = 0;
    must(HMAC(hash_of(alg), secret.data, (int)secret.len, (const unsigned char *)input, strlen(input), mac, &len) != NULL,
         "HMAC");
    return tr_str((char *)mac, len);
}

/* RFC 7518 3.4: R and S side by side, each as long as the curve's order. */
static tr_str_t raw_of_der(apr_pool_t *pool, const EVP_PKEY *pkey, const unsigned char *der, size_t der_len)
{
    int half = (EVP_PKEY_get_bits(pkey) + 7) / 8;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)der_len);
    must(sig != NULL, "d2i_ECDSA_SIG");
    unsigned char *raw = apr_palloc(pool, (size_t)half * 2);
    must(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, half) == half, "BN_bn2binpad");
    must(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, half) == half, "BN_bn2binpad");
    ECDSA_SIG_free(sig);
    return tr_str((char *)raw, (size_t)half * 2);
}

tr_str_t tt_sign(apr_pool_t *pool, const char *alg, const tt_key_t *key, const char *input)
{
    if (!key->pkey)
        return hmac(pool, alg, key->secret, input);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options;
    must(EVP_DigestSignInit(ctx, &options, hash_of(alg), NULL, key->pkey) == 1, "EVP_DigestSignInit");
    if (alg[0] == 'P') {
        must(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1, "padding");
        must(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1, "salt length");
    }
    size_t len = 0;
    const unsigned char *data = (const unsigned char *)input;
    must(EVP_DigestSign(ctx, NULL, &len, data, strlen(input)) == 1, "EVP_DigestSign");
    unsigned char *sig = apr_palloc(pool, len);
    must(EVP_DigestSign(ctx, sig, &len, data, strlen(input)) == 1, "EVP_DigestSign");
    EVP_MD_CTX_free(ctx);
    if (alg[0] == 'E' && alg[1] == 'S')
        return raw_of_der(pool, key->pkey, sig, len);
    return tr_str((char *)sig, len);
}

char *tt_assemble(apr_pool_t *pool, const char *header, const char *payload, tr_str_t signature)
{
    return tt_print(pool, "%s.%s.%s", tt_b64(pool, header, strlen(header)), tt_b64(pool, payload, strlen(payload)),
                    tt_b64(pool, signature.data, signature.len));
}

char *tt_token(apr_pool_t *pool, const char *alg, const tt_key_t *key, const char *header, const char *payload)
{
    char *input = tt_print(pool, "%s.%s", tt_b64(pool, header, strlen(header)), tt_b64(pool, payload, strlen(payload)));
    tr_str_t sig = tt_sign(pool, alg, key, input);
    return tt_print(pool, "%s.%s", input, tt_b64(pool, sig.data, sig.len));
}

char *tt_mint(apr_pool_t *pool, const char *alg, const tt_key_t *key, const char *kid, const char *payload)
{
    char *member = kid ? tt_print(pool, ",\"kid\":\"%s\"", kid) : tt_print(pool, "%s", "");
    return tt_token(pool, alg, key, tt_print(pool, "{\"alg\":\"%s\",\"typ\":\"JWT\"%s}", alg, member), payload);
}
