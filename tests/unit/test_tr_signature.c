/*
 * Signatures of every algorithm, made by OpenSSL; and the many ways in which one can be wrong.
 */
#include "tr_jose.h"

#include <apr_strings.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>

#include "tr_reason.h"
#include "tr_testing_cmocka.h"

static const char payload[] = "{\"iss\":\"joe\",\"exp\":1300819380}";

static const struct {
    const char *alg, *key;
} table[] = {{"RS256", "RSA2048"}, {"RS384", "RSA2048"},    {"RS512", "RSA2048"}, {"PS256", "RSA2048"}, {"PS384", "RSA2048"},
             {"PS512", "RSA2048"}, {"RS256", "RSA3072"},    {"PS512", "RSA2056"}, {"ES256", "P-256"},   {"ES384", "P-384"},
             {"ES512", "P-521"},   {"ES256K", "secp256k1"}, {"EdDSA", "Ed25519"}, {"EdDSA", "Ed448"},   {"Ed25519", "Ed25519"},
             {"Ed448", "Ed448"},   {"HS256", "oct64"},      {"HS384", "oct64"},   {"HS512", "oct64"},   {"HS256", "oct32"},
             {"HS384", "oct48"},   {"HS512", "oct200"}};
enum { rows = sizeof table / sizeof *table };

static tr_jws_t parsed(const char *token, apr_pool_t *pool)
{
    tr_jws_t jws;
    if (tr_jws_parse(&jws, tr_str_z(token), pool) != APR_SUCCESS)
        fail_msg("refused: %s", token);
    return jws;
}

static apr_status_t verify(const char *token, const tr_key_t *key, apr_pool_t *pool)
{
    tr_jws_t jws = parsed(token, pool);
    return tr_jws_verify(&jws, key);
}

static const tr_key_t *public_key(const char *name, apr_pool_t *pool)
{
    const tr_key_t *key = tt_read_jwk(pool, tt_jwk(pool, tt_key(name), ""));
    assert_non_null(key);
    return key;
}

static void every_algorithm_verifies_what_openssl_signed(void **state)
{
    for (size_t i = 0; i < rows; i++) {
        const tr_key_t *key = public_key(table[i].key, *state);
        for (int round = 0; round < 5; round++) {
            char *token = tt_mint(*state, table[i].alg, tt_key(table[i].key), NULL, payload);
            if (verify(token, key, *state) != APR_SUCCESS)
                fail_msg("%s by %s", table[i].alg, table[i].key);
        }
    }
}

static void keys_from_pem_certificate_and_secret_verify_alike(void **state)
{
    for (size_t i = 0; i < rows; i++) {
        const tt_key_t *pair = tt_key(table[i].key);
        char *token = tt_mint(*state, table[i].alg, pair, NULL, payload);
        const tr_key_t *key;
        const char *why;
        if (!pair->pkey) {
            assert_int_equal(tr_key_from_secret(&key, &why, pair->secret, tr_str(NULL, 0), *state), APR_SUCCESS);
            assert_int_equal(verify(token, key, *state), APR_SUCCESS);
            continue;
        }
        assert_int_equal(tr_key_from_pem(&key, &why, tr_str_z(tt_pem(*state, pair)), tr_str(NULL, 0), *state), APR_SUCCESS);
        assert_int_equal(verify(token, key, *state), APR_SUCCESS);
        assert_int_equal(tr_key_from_pem(&key, &why, tr_str_z(tt_certificate(*state, pair)), tr_str(NULL, 0), *state),
                         APR_SUCCESS);
        assert_int_equal(verify(token, key, *state), APR_SUCCESS);
    }
}

static void another_key_of_the_same_kind_does_not_verify(void **state)
{
    for (size_t i = 0; i < rows; i++) {
        char *other = tt_print(*state, "%s#other", table[i].key);
        char *token = tt_mint(*state, table[i].alg, tt_key(table[i].key), NULL, payload);
        assert_int_equal(verify(token, public_key(other, *state), *state), TR_BAD_SIGNATURE);
    }
}

static void no_bit_of_a_signature_is_free(void **state)
{
    for (size_t i = 0; i < rows; i++) {
        const tr_key_t *key = public_key(table[i].key, *state);
        tr_jws_t jws = parsed(tt_mint(*state, table[i].alg, tt_key(table[i].key), NULL, payload), *state);
        char *bytes = apr_pmemdup(*state, jws.signature.data, jws.signature.len);
        jws.signature.data = bytes;
        size_t step = jws.signature.len * 8 > 1100 ? 37 : 1;
        for (size_t bit = 0; bit < jws.signature.len * 8; bit += step) {
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << (bit % 8));
            if (tr_jws_verify(&jws, key) != TR_BAD_SIGNATURE)
                fail_msg("%s: bit %d", table[i].alg, (int)bit);
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << (bit % 8));
        }
        assert_int_equal(tr_jws_verify(&jws, key), APR_SUCCESS);
    }
}

static void no_byte_of_the_signing_input_is_free(void **state)
{
    for (size_t i = 0; i < rows; i++) {
        const tr_key_t *key = public_key(table[i].key, *state);
        tr_jws_t jws = parsed(tt_mint(*state, table[i].alg, tt_key(table[i].key), NULL, payload), *state);
        char *bytes = apr_pmemdup(*state, jws.signing_input.data, jws.signing_input.len);
        jws.signing_input.data = bytes;
        for (size_t at = 0; at < jws.signing_input.len; at += 7) {
            bytes[at] = (char)(bytes[at] ^ 1);
            assert_int_equal(tr_jws_verify(&jws, key), TR_BAD_SIGNATURE);
            bytes[at] = (char)(bytes[at] ^ 1);
        }
        jws.signing_input.len--;
        assert_int_equal(tr_jws_verify(&jws, key), TR_BAD_SIGNATURE);
    }
}

static void a_signature_has_one_length(void **state)
{
    for (size_t i = 0; i < rows; i++) {
        const tr_key_t *key = public_key(table[i].key, *state);
        tr_jws_t jws = parsed(tt_mint(*state, table[i].alg, tt_key(table[i].key), NULL, payload), *state);
        tr_str_t good = jws.signature;
        char *longer = apr_pcalloc(*state, good.len + 3);
        memcpy(longer + 1, good.data, good.len);
        jws.signature = tr_str(longer + 1, good.len + 1);
        assert_int_equal(tr_jws_verify(&jws, key), TR_BAD_SIGNATURE);
        jws.signature = tr_str(longer, good.len + 1);
        assert_int_equal(tr_jws_verify(&jws, key), TR_BAD_SIGNATURE);
        jws.signature = tr_str(longer, good.len + 3);
        assert_int_equal(tr_jws_verify(&jws, key), TR_BAD_SIGNATURE);
        for (size_t len = 0; len < good.len; len += len < 4 || len + 4 > good.len ? 1 : 13) {
            jws.signature = tr_str(good.data, len);
            assert_int_equal(tr_jws_verify(&jws, key), TR_BAD_SIGNATURE);
        }
    }
}

static void an_algorithm_that_the_key_may_not_use_never_verifies(void **state)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < rows; k++) {
            const tr_key_t *key = public_key(table[k].key, *state);
            tr_jws_t jws = parsed(tt_mint(*state, table[i].alg, tt_key(table[i].key), NULL, payload), *state);
            bool fits = strcmp(table[i].key, table[k].key) == 0;
            assert_int_equal(tr_jws_verify(&jws, key) == APR_SUCCESS, fits);
            /* The same bytes under another name: RS256 as PS256 or RS512, ES256 as ES256K, EdDSA as Ed448. */
            tr_alg_t signed_as = jws.alg;
            assert_true(tr_alg_by_name(&jws.alg, tr_str_z(table[k].alg)));
            bool edwards = table[i].alg[1] == 'd' && fits;
            assert_int_equal(tr_jws_verify(&jws, key) == APR_SUCCESS, fits && (signed_as == jws.alg || edwards));
        }
        apr_pool_clear(*state);
    }
}

static void a_pinned_key_verifies_its_own_algorithm_alone(void **state)
{
    const tr_key_t *key = tt_read_jwk(*state, tt_jwk(*state, tt_key("RSA2048"), ",\"alg\":\"RS256\""));
    static const char *algs[] = {"RS384", "RS512", "PS256", "PS384", "PS512"};
    assert_int_equal(verify(tt_mint(*state, "RS256", tt_key("RSA2048"), NULL, payload), key, *state), APR_SUCCESS);
    for (size_t i = 0; i < sizeof algs / sizeof *algs; i++)
        assert_int_not_equal(verify(tt_mint(*state, algs[i], tt_key("RSA2048"), NULL, payload), key, *state), APR_SUCCESS);
    key = tt_read_jwk(*state, tt_jwk(*state, tt_key("oct64"), ",\"alg\":\"HS256\""));
    assert_int_equal(verify(tt_mint(*state, "HS256", tt_key("oct64"), NULL, payload), key, *state), APR_SUCCESS);
    assert_int_not_equal(verify(tt_mint(*state, "HS512", tt_key("oct64"), NULL, payload), key, *state), APR_SUCCESS);
}

static void a_public_key_is_never_an_hmac_secret(void **state)
{
    static const char *names[] = {"RSA2048", "P-256", "Ed25519"};
    for (size_t i = 0; i < 3; i++) {
        const tt_key_t *pair = tt_key(names[i]);
        char *pem = tt_pem(*state, pair);
        tt_key_t forged = {NULL, {NULL, 0}, NULL};
        forged.secret = tr_str_z(pem);
        char *token = tt_mint(*state, "HS256", &forged, NULL, payload);
        const tr_key_t *key;
        const char *why;
        assert_int_equal(tr_key_from_pem(&key, &why, tr_str_z(pem), tr_str(NULL, 0), *state), APR_SUCCESS);
        assert_int_equal(tr_key_algs(key) & TR_ALG_HS_SET, 0);
        assert_int_not_equal(verify(token, key, *state), APR_SUCCESS);
        forged.secret = tr_str("", 0);
        assert_int_not_equal(verify(tt_mint(*state, "HS256", &forged, NULL, payload), key, *state), APR_SUCCESS);
    }
}

static void a_secret_keeps_its_last_newline(void **state)
{
    tt_key_t with = {NULL, {NULL, 0}, NULL}, without = {NULL, {NULL, 0}, NULL};
    with.secret = tr_str_z("0123456789abcdef0123456789abcdef\n");
    without.secret = tr_str_z("0123456789abcdef0123456789abcdef");
    const tr_key_t *key;
    const char *why;
    assert_int_equal(tr_key_from_secret(&key, &why, with.secret, tr_str(NULL, 0), *state), APR_SUCCESS);
    assert_int_equal(verify(tt_mint(*state, "HS256", &with, NULL, payload), key, *state), APR_SUCCESS);
    assert_int_equal(verify(tt_mint(*state, "HS256", &without, NULL, payload), key, *state), TR_BAD_SIGNATURE);
}

static void a_pss_salt_is_as_long_as_the_hash(void **state)
{
    static const int lengths[] = {0, 1, 20, 31, 33, 64, RSA_PSS_SALTLEN_MAX};
    const tr_key_t *key = public_key("RSA2048", *state);
    tr_jws_t jws = parsed(tt_mint(*state, "PS256", tt_key("RSA2048"), NULL, payload), *state);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *options;
        unsigned char sig[256];
        size_t len = sizeof sig;
        EVP_DigestSignInit(ctx, &options, EVP_sha256(), NULL, tt_key("RSA2048")->pkey);
        EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(options, lengths[i]);
        assert_int_equal(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)jws.signing_input.data, jws.signing_input.len), 1);
        EVP_MD_CTX_free(ctx);
        jws.signature = tr_str((char *)sig, len);
        assert_int_equal(tr_jws_verify(&jws, key), TR_BAD_SIGNATURE);
    }
}

static void a_pss_mask_uses_the_same_hash(void **state)
{
    const tr_key_t *key = public_key("RSA2048", *state);
    tr_jws_t jws = parsed(tt_mint(*state, "PS256", tt_key("RSA2048"), NULL, payload), *state);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options;
    unsigned char sig[256];
    size_t len = sizeof sig;
    EVP_DigestSignInit(ctx, &options, EVP_sha256(), NULL, tt_key("RSA2048")->pkey);
    EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST);
    EVP_PKEY_CTX_set_rsa_mgf1_md(options, EVP_sha1());
    assert_int_equal(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)jws.signing_input.data, jws.signing_input.len), 1);
    EVP_MD_CTX_free(ctx);
    jws.signature = tr_str((char *)sig, len);
    assert_int_equal(tr_jws_verify(&jws, key), TR_BAD_SIGNATURE);
}

static void der_is_no_ecdsa_signature(void **state)
{
    static const char *curves[] = {"P-256", "P-384", "P-521", "secp256k1"};
    for (size_t i = 0; i < 4; i++) {
        const tt_key_t *pair = tt_key(curves[i]);
        tr_jws_t jws = parsed(tt_mint(*state, tt_alg(pair), pair, NULL, payload), *state);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        unsigned char sig[256];
        size_t len = sizeof sig;
        EVP_DigestSignInit(ctx, NULL, i == 1 ? EVP_sha384() : i == 2 ? EVP_sha512() : EVP_sha256(), NULL, pair->pkey);
        assert_int_equal(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)jws.signing_input.data, jws.signing_input.len), 1);
        EVP_MD_CTX_free(ctx);
        jws.signature = tr_str((char *)sig, len);
        assert_int_equal(tr_jws_verify(&jws, public_key(curves[i], *state)), TR_BAD_SIGNATURE);
    }
}

/* The order of the curve, as wide as half a signature. */
static void order_bytes(unsigned char *out, const char *curve, int half)
{
    int nid = EC_curve_nist2nid(curve);
    EC_GROUP *group = EC_GROUP_new_by_curve_name(nid ? nid : OBJ_sn2nid(curve));
    assert_int_equal(BN_bn2binpad(EC_GROUP_get0_order(group), out, half), half);
    EC_GROUP_free(group);
}

static void r_and_s_lie_between_zero_and_the_order(void **state)
{
    static const char *curves[] = {"P-256", "P-384", "P-521", "secp256k1"};
    for (size_t i = 0; i < 4; i++) {
        const tr_key_t *key = public_key(curves[i], *state);
        tr_jws_t jws = parsed(tt_mint(*state, tt_alg(tt_key(curves[i])), tt_key(curves[i]), NULL, payload), *state);
        size_t half = jws.signature.len / 2;
        unsigned char values[3][80] = {{0}};
        order_bytes(values[1], curves[i], (int)half);
        memset(values[2], 0xff, sizeof values[2]);
        for (int r = -1; r < 3; r++) {
            for (int s = -1; s < 3; s++) {
                unsigned char sig[160];
                memcpy(sig, jws.signature.data, half * 2);
                if (r >= 0)
                    memcpy(sig, values[r], half);
                if (s >= 0)
                    memcpy(sig + half, values[s], half);
                tr_jws_t forged = jws;
                forged.signature = tr_str((char *)sig, half * 2);
                assert_int_equal(tr_jws_verify(&forged, key), r < 0 && s < 0 ? APR_SUCCESS : TR_BAD_SIGNATURE);
            }
        }
    }
}

static void short_r_and_s_are_padded(void **state)
{
    /* One in 256 signatures has an r that begins with a zero byte; those must verify too. */
    const tr_key_t *key = public_key("P-256", *state);
    int padded = 0;
    for (int round = 0; round < 4000 && padded < 3; round++) {
        tr_jws_t jws = parsed(tt_mint(*state, "ES256", tt_key("P-256"), NULL, payload), *state);
        if (jws.signature.data[0] != 0 && jws.signature.data[32] != 0)
            continue;
        padded++;
        assert_int_equal(tr_jws_verify(&jws, key), APR_SUCCESS);
    }
    assert_int_equal(padded, 3);
}

static void a_huge_signature_is_only_wrong(void **state)
{
    for (size_t i = 0; i < rows; i++) {
        tr_jws_t jws = parsed(tt_mint(*state, table[i].alg, tt_key(table[i].key), NULL, payload), *state);
        jws.signature = tr_str(tt_repeat(*state, "\x7f", 12000), 12000);
        assert_int_equal(tr_jws_verify(&jws, public_key(table[i].key, *state)), TR_BAD_SIGNATURE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(every_algorithm_verifies_what_openssl_signed),
        TT_TEST(keys_from_pem_certificate_and_secret_verify_alike),
        TT_TEST(another_key_of_the_same_kind_does_not_verify),
        TT_TEST(no_bit_of_a_signature_is_free),
        TT_TEST(no_byte_of_the_signing_input_is_free),
        TT_TEST(a_signature_has_one_length),
        TT_TEST(an_algorithm_that_the_key_may_not_use_never_verifies),
        TT_TEST(a_pinned_key_verifies_its_own_algorithm_alone),
        TT_TEST(a_public_key_is_never_an_hmac_secret),
        TT_TEST(a_secret_keeps_its_last_newline),
        TT_TEST(a_pss_salt_is_as_long_as_the_hash),
        TT_TEST(a_pss_mask_uses_the_same_hash),
        TT_TEST(der_is_no_ecdsa_signature),
        TT_TEST(r_and_s_lie_between_zero_and_the_order),
        TT_TEST(short_r_and_s_are_padded),
        TT_TEST(a_huge_signature_is_only_wrong),
    };
    return TT_RUN(tests);
}
