/*
 * tr_key.c: which keys are good enough, and for what. OpenSSL verifies under RSA keys with e = 1 and under Ed25519 keys
 * of small order, where anybody can sign; such keys must not get in.
 */
#include "tr_key.h"

#include <stdatomic.h>

#include <apr_strings.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>

#include "tr_limits.h"

static _Atomic uint64_t last_serial;

static apr_status_t release(void *pkey)
{
    EVP_PKEY_free(pkey);
    return APR_SUCCESS;
}

/* NULL when the modulus and exponent are sound, else what is wrong with them. */
static const char *rsa_fault(const EVP_PKEY *pkey, apr_pool_t *pool)
{
    BIGNUM *n = NULL;
    BIGNUM *e = NULL;
    const char *fault = NULL;
    int bits = EVP_PKEY_get_bits(pkey);

    if (bits < TR_MIN_RSA_BITS || bits > TR_MAX_RSA_BITS) {
        return apr_psprintf(pool, "an RSA key of %d bits; %d to %d are allowed", bits, TR_MIN_RSA_BITS, TR_MAX_RSA_BITS);
    }
    if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) != 1) {
        fault = "an RSA key without modulus or exponent";
    }
    else if (!BN_is_odd(n)) {
        fault = "an RSA key with an even modulus";
    }
    else if (!BN_is_odd(e) || BN_is_one(e)) {
        fault = "an RSA key whose public exponent is not odd and at least 3";
    }
    BN_free(n);
    BN_free(e);
    return fault;
}

/*
 * y coordinates (little-endian, sign bit cleared) of the points of order 1, 2, 4 and 8 of edwards25519, and those
 * beyond p.
 */
static const unsigned char ed25519_small[][32] = {
    {0},
    {1},
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
     0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
     0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
};

static bool ed25519_is_small(const unsigned char *point)
{
    unsigned char y[32];

    memcpy(y, point, sizeof(y));
    y[31] &= 0x7f;
    for (apr_size_t i = 0; i < sizeof(ed25519_small) / sizeof(ed25519_small[0]); i++) {
        if (memcmp(y, ed25519_small[i], sizeof(y)) == 0) {
            return true;
        }
    }
    return false;
}

/* The same for edwards448 (orders 1, 2, 4): y is 0, 1 or -1, where p = 2^448 - 2^224 - 1; p and p + 1 spell 0 and 1. */
static bool ed448_is_small(const unsigned char *point)
{
    unsigned char y[57];
    bool high_ones = true;

    memcpy(y, point, sizeof(y));
    y[56] &= 0x7f;
    if (y[56] != 0) {
        return true; /* no point at all */
    }
    if (y[0] <= 1 && memcmp(y + 1, y + 2, 55) == 0 && y[1] == 0) {
        return true;
    }
    for (int i = 1; i < 56; i++) {
        high_ones = high_ones && y[i] == (i == 28 ? 0xfe : 0xff);
    }
    if (high_ones && y[0] >= 0xfe) {
        return true; /* p - 1 and p */
    }
    for (int i = 0; i < 56; i++) {
        if (y[i] != (i < 28 ? 0x00 : 0xff)) {
            return false;
        }
    }
    return true; /* p + 1 */
}

static const char *edwards_fault(const EVP_PKEY *pkey, int type)
{
    unsigned char point[64];
    size_t len = sizeof(point);

    if (EVP_PKEY_get_raw_public_key(pkey, point, &len) != 1) {
        return "an Edwards curve key without its point";
    }
    if (type == EVP_PKEY_ED25519 ? ed25519_is_small(point) : ed448_is_small(point)) {
        return "an Edwards curve key of small order, with which anybody can sign";
    }
    return NULL;
}

static tr_alg_set_t ec_algs(const EVP_PKEY *pkey)
{
    char group[64] = "";

    if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1) {
        return 0;
    }
    if (strcmp(group, "prime256v1") == 0) {
        return TR_ALG_BIT(TR_ALG_ES256);
    }
    if (strcmp(group, "secp384r1") == 0) {
        return TR_ALG_BIT(TR_ALG_ES384);
    }
    if (strcmp(group, "secp521r1") == 0) {
        return TR_ALG_BIT(TR_ALG_ES512);
    }
    return strcmp(group, "secp256k1") == 0 ? TR_ALG_BIT(TR_ALG_ES256K) : 0;
}

static const char *ec_fault(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool sound = ctx != NULL && EVP_PKEY_public_check(ctx) == 1;

    EVP_PKEY_CTX_free(ctx);
    return sound ? NULL : "an elliptic curve key that is no point of its curve";
}

#define PS_SET (TR_ALG_BIT(TR_ALG_PS256) | TR_ALG_BIT(TR_ALG_PS384) | TR_ALG_BIT(TR_ALG_PS512))
#define RS_SET (TR_ALG_BIT(TR_ALG_RS256) | TR_ALG_BIT(TR_ALG_RS384) | TR_ALG_BIT(TR_ALG_RS512))

/*
 * A key restricted to RSASSA-PSS names its hashes and the shortest salt, or leaves them open (RFC 4055 3.1). OpenSSL knows
 * which algorithms that leaves.
 */
static tr_alg_set_t pss_algs(EVP_PKEY *pkey)
{
    tr_alg_set_t algs = 0;

    for (int alg = TR_ALG_PS256; alg <= TR_ALG_PS512; alg++) {
        algs |= tr_key_can_begin(pkey, (tr_alg_t)alg) ? TR_ALG_BIT(alg) : 0;
    }
    return algs;
}

static const char *judge(tr_alg_set_t *algs, EVP_PKEY *pkey, apr_pool_t *pool)
{
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_RSA:
        *algs = RS_SET | PS_SET;
        return rsa_fault(pkey, pool);
    case EVP_PKEY_RSA_PSS:
        *algs = pss_algs(pkey);
        return *algs == 0 ? "an RSA-PSS key whose hashes or salt fit no algorithm" : rsa_fault(pkey, pool);
    case EVP_PKEY_EC:
        *algs = ec_algs(pkey);
        return *algs == 0 ? "a key on a curve that no algorithm uses" : ec_fault(pkey);
    case EVP_PKEY_ED25519:
        *algs = TR_ALG_BIT(TR_ALG_EDDSA) | TR_ALG_BIT(TR_ALG_ED25519);
        return edwards_fault(pkey, EVP_PKEY_ED25519);
    case EVP_PKEY_ED448:
        *algs = TR_ALG_BIT(TR_ALG_EDDSA) | TR_ALG_BIT(TR_ALG_ED448);
        return edwards_fault(pkey, EVP_PKEY_ED448);
    default:
        return "a key of a type that signs no tokens";
    }
}

apr_status_t tr_key_wrap(tr_key_t **out, const char **why, EVP_PKEY *pkey, apr_pool_t *pool)
{
    tr_key_t *key = apr_pcalloc(pool, sizeof(*key));

    apr_pool_cleanup_register(pool, pkey, release, apr_pool_cleanup_null);
    key->serial = atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1;
    key->pkey = pkey;
    *why = judge(&key->algs, pkey, pool);
    if (*why != NULL) {
        return APR_EINVAL;
    }
    tr_key_measure(key);
    *out = key;
    return APR_SUCCESS;
}

tr_alg_set_t tr_key_hmac_algs(apr_size_t secret_len)
{
    return (secret_len >= 32 ? TR_ALG_BIT(TR_ALG_HS256) : 0) | (secret_len >= 48 ? TR_ALG_BIT(TR_ALG_HS384) : 0) |
           (secret_len >= 64 ? TR_ALG_BIT(TR_ALG_HS512) : 0);
}

tr_alg_set_t tr_key_algs(const tr_key_t *key)
{
    return key->algs;
}

tr_str_t tr_key_kid(const tr_key_t *key)
{
    return key->kid;
}
