/*
 * Keys from PEM files, certificates and secret files.
 */
#include "tr_jose.h"

#include <apr_strings.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "tr_key.h"
#include "tr_testing_cmocka.h"

static const char *const pairs[] = {"RSA2048", "P-256", "P-384", "P-521", "secp256k1", "Ed25519", "Ed448"};
enum { pair_count = sizeof pairs / sizeof *pairs };

static const tr_key_t *read_pem(const char *pem, const char *kid, apr_pool_t *pool)
{
    const tr_key_t *key = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_key_from_pem(&key, &why, tr_str_z(pem), tr_str_z(kid), pool);
    if (rv != APR_SUCCESS)
        fail_msg("refused (%s): %s", why ? why : "no reason", pem);
    return key;
}

static void expect_pem_refused(const char *pem, apr_pool_t *pool)
{
    const tr_key_t *key = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_key_from_pem(&key, &why, tr_str_z(pem), tr_str_z("k"), pool);
    if (rv != APR_EINVAL)
        fail_msg("got %d: %s", rv, pem);
    assert_non_null(why);
}

static void expect_same_algs_as_jwk(const tr_key_t *key, const tt_key_t *pair, apr_pool_t *pool)
{
    assert_int_equal(tr_key_algs(key), tr_key_algs(tt_read_jwk(pool, tt_jwk(pool, pair, ""))));
}

static void public_keys_of_every_type_are_read(void **state)
{
    for (size_t i = 0; i < pair_count; i++) {
        const tr_key_t *key = read_pem(tt_pem(*state, tt_key(pairs[i])), "", *state);
        expect_same_algs_as_jwk(key, tt_key(pairs[i]), *state);
        assert_int_equal(tr_key_kid(key).len, 0);
    }
}

static void certificates_of_every_type_are_read_whatever_their_dates(void **state)
{
    for (size_t i = 0; i < pair_count; i++) {
        const tr_key_t *key = read_pem(tt_certificate(*state, tt_key(pairs[i])), "kid-1", *state);
        expect_same_algs_as_jwk(key, tt_key(pairs[i]), *state);
        assert_str_is(tr_key_kid(key), "kid-1");
    }
}

static void text_around_the_first_key_is_ignored(void **state)
{
    char *first = tt_pem(*state, tt_key("P-256")), *second = tt_pem(*state, tt_key("RSA2048"));
    char *file = tt_print(*state, "Certificate:\n    Data: x\n%s\n%s", first, second);
    expect_same_algs_as_jwk(read_pem(file, "", *state), tt_key("P-256"), *state);
}

static void the_first_key_counts_also_before_a_certificate(void **state)
{
    char *key = tt_pem(*state, tt_key("P-256")), *certificate = tt_certificate(*state, tt_key("Ed25519"));
    expect_same_algs_as_jwk(read_pem(tt_print(*state, "%s%s", key, certificate), "", *state), tt_key("P-256"), *state);
    expect_same_algs_as_jwk(read_pem(tt_print(*state, "%s%s", certificate, key), "", *state), tt_key("Ed25519"), *state);
}

static void a_private_key_is_refused_even_beside_a_public_one(void **state)
{
    char *key = tt_pem(*state, tt_key("P-256")), *private_key = tt_private_pem(*state, tt_key("P-256"));
    expect_pem_refused(private_key, *state);
    expect_pem_refused(tt_print(*state, "%s%s", key, private_key), *state);
}

/* A key that is restricted to RSASSA-PSS, with a hash or with none. */
static char *pss_pem(apr_pool_t *pool, const EVP_MD *md)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    tt_key_t key = {NULL, {NULL, 0}, NULL};
    EVP_PKEY_keygen_init(ctx);
    EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048);
    if (md) {
        EVP_PKEY_CTX_set_rsa_pss_keygen_md(ctx, md);
        EVP_PKEY_CTX_set_rsa_pss_keygen_mgf1_md(ctx, md);
        EVP_PKEY_CTX_set_rsa_pss_keygen_saltlen(ctx, EVP_MD_get_size(md));
    }
    assert_int_equal(EVP_PKEY_keygen(ctx, &key.pkey), 1);
    char *pem = tt_pem(pool, &key);
    EVP_PKEY_free(key.pkey);
    EVP_PKEY_CTX_free(ctx);
    return pem;
}

static void a_key_for_pss_alone_verifies_nothing_else(void **state)
{
    tr_alg_set_t any = TR_ALG_BIT(TR_ALG_PS256) | TR_ALG_BIT(TR_ALG_PS384) | TR_ALG_BIT(TR_ALG_PS512);
    assert_int_equal(tr_key_algs(read_pem(pss_pem(*state, NULL), "", *state)), any);
    assert_int_equal(tr_key_algs(read_pem(pss_pem(*state, EVP_sha384()), "", *state)), TR_ALG_BIT(TR_ALG_PS384));
    expect_pem_refused(pss_pem(*state, EVP_sha224()), *state);
}

static void files_beyond_one_mebibyte_are_refused(void **state)
{
    const tr_key_t *key;
    char *pem = tt_pem(*state, tt_key("P-256"));
    char *lines = tt_repeat(*state, "\n", 1048576 - strlen(pem));
    assert_non_null(read_pem(tt_print(*state, "%s%s", lines, pem), "", *state));
    expect_pem_refused(tt_print(*state, "\n%s%s", lines, pem), *state);
    const char *why = NULL;
    assert_int_equal(tr_key_from_secret(&key, &why, tr_str(tt_repeat(*state, "x", 1048577), 1048577), tr_str(NULL, 0), *state),
                     APR_EINVAL);
    assert_non_null(why);
}

static void what_holds_no_public_key_is_refused(void **state)
{
    char *pem = tt_pem(*state, tt_key("P-256"));
    expect_pem_refused("", *state);
    expect_pem_refused("hello", *state);
    expect_pem_refused("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", *state);
    expect_pem_refused("-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n", *state);
    expect_pem_refused("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", *state);
    expect_pem_refused(apr_pstrmemdup(*state, pem, strlen(pem) / 2), *state);
    expect_pem_refused(tt_jwk(*state, tt_key("P-256"), ""), *state);
    const tr_key_t *key;
    const char *why;
    assert_int_equal(tr_key_from_pem(&key, &why, tr_str(NULL, 0), tr_str(NULL, 0), *state), APR_EINVAL);
}

static void weak_and_unfit_keys_are_refused(void **state)
{
    expect_pem_refused(tt_pem(*state, tt_key("RSA1024")), *state);
    expect_pem_refused(tt_certificate(*state, tt_key("RSA1024")), *state);
    expect_pem_refused(tt_pem(*state, tt_key("X25519")), *state);
    expect_pem_refused(tt_pem(*state, tt_key("brainpoolP256r1")), *state);
    expect_pem_refused(tt_pem(*state, tt_key("P-224")), *state);
}

static void a_key_for_pss_alone_is_as_long_as_any(void **state)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    tt_key_t key = {NULL, {NULL, 0}, NULL};
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 1024), 1);
    assert_int_equal(EVP_PKEY_generate(ctx, &key.pkey), 1);
    expect_pem_refused(tt_pem(*state, &key), *state);
    EVP_PKEY_free(key.pkey);
    EVP_PKEY_CTX_free(ctx);
}

static char *rsa_pem_with_exponent(apr_pool_t *pool, unsigned long e)
{
    BIGNUM *n = NULL, *exponent = BN_new();
    assert_int_equal(EVP_PKEY_get_bn_param(tt_key("RSA2048")->pkey, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    BN_set_word(exponent, e);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n);
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, exponent);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    tt_key_t key = {NULL, {NULL, 0}, NULL};
    EVP_PKEY_fromdata_init(ctx);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key.pkey, EVP_PKEY_PUBLIC_KEY, params), 1);
    char *pem = tt_pem(pool, &key);
    EVP_PKEY_free(key.pkey);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(exponent);
    return pem;
}

static void an_rsa_exponent_is_odd_and_at_least_three(void **state)
{
    expect_pem_refused(rsa_pem_with_exponent(*state, 1), *state);
    expect_pem_refused(rsa_pem_with_exponent(*state, 2), *state);
    expect_pem_refused(rsa_pem_with_exponent(*state, 65536), *state);
    assert_non_null(read_pem(rsa_pem_with_exponent(*state, 3), "", *state));
}

static void a_small_order_point_is_refused_in_pem_too(void **state)
{
    unsigned char identity[57] = {1};
    tt_key_t key = {EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, identity, 32), {NULL, 0}, "Ed25519"};
    assert_non_null(key.pkey);
    expect_pem_refused(tt_pem(*state, &key), *state);
    EVP_PKEY_free(key.pkey);
    key.pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED448, NULL, identity, 57);
    assert_non_null(key.pkey);
    expect_pem_refused(tt_pem(*state, &key), *state);
    EVP_PKEY_free(key.pkey);
}

/* ---- secrets ----------------------------------------------------------------------------------------------- */

static apr_status_t read_secret(const tr_key_t **key, tr_str_t secret, apr_pool_t *pool)
{
    const char *why = NULL;
    apr_status_t rv = tr_key_from_secret(key, &why, secret, tr_str_z("s"), pool);
    assert_true(rv == APR_SUCCESS || (rv == APR_EINVAL && why && *why));
    return rv;
}

static void a_secret_has_the_algorithms_that_its_length_carries(void **state)
{
    const tr_key_t *key;
    char bytes[100];
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(read_secret(&key, tr_str(bytes, 31), *state), APR_EINVAL);
    assert_int_equal(read_secret(&key, tr_str(NULL, 0), *state), APR_EINVAL);
    assert_int_equal(read_secret(&key, tr_str(bytes, 32), *state), APR_SUCCESS);
    assert_int_equal(tr_key_algs(key), TR_ALG_BIT(TR_ALG_HS256));
    assert_str_is(tr_key_kid(key), "s");
    assert_int_equal(read_secret(&key, tr_str(bytes, 48), *state), APR_SUCCESS);
    assert_int_equal(tr_key_algs(key), TR_ALG_BIT(TR_ALG_HS256) | TR_ALG_BIT(TR_ALG_HS384));
    assert_int_equal(read_secret(&key, tr_str(bytes, 64), *state), APR_SUCCESS);
    assert_int_equal(tr_key_algs(key), TR_ALG_HS_SET);
}

static void expect_no_secret(const char *text, apr_pool_t *pool)
{
    const tr_key_t *key;
    if (read_secret(&key, tr_str_z(text), pool) != APR_EINVAL)
        fail_msg("taken for a secret: %s", text);
}

static void what_everybody_may_know_is_no_secret(void **state)
{
    static const char *before[] = {"", "\n", "\r\n", " ", " \t\n  ", "\xef\xbb\xbf", "# the key\n", "Bag Attributes\n    x: y\n"};
    for (size_t i = 0; i < pair_count; i++) {
        const tt_key_t *pair = tt_key(pairs[i]);
        for (size_t k = 0; k < sizeof before / sizeof *before; k++) {
            expect_no_secret(tt_print(*state, "%s%s", before[k], tt_pem(*state, pair)), *state);
            expect_no_secret(tt_print(*state, "%s%s", before[k], tt_certificate(*state, pair)), *state);
            expect_no_secret(tt_print(*state, "%s%s", before[k], tt_private_pem(*state, pair)), *state);
        }
    }
    char *pem = tt_pem(*state, tt_key("RSA2048"));
    pem[strlen(pem) - 1] = '\0';
    expect_no_secret(pem, *state);
}

static void old_key_formats_are_no_secret_either(void **state)
{
    static const char *labels[] = {"RSA PUBLIC KEY",   "RSA PRIVATE KEY",     "EC PRIVATE KEY",     "ENCRYPTED PRIVATE KEY",
                                   "X509 CERTIFICATE", "TRUSTED CERTIFICATE", "OPENSSH PRIVATE KEY"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        expect_no_secret(tt_print(*state, "-----BEGIN %s-----\nMIIBCgKCAQEA\n-----END %s-----\n", labels[i], labels[i]), *state);
}

static void a_public_key_in_der_is_no_secret(void **state)
{
    for (size_t i = 0; i < pair_count; i++) {
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(tt_key(pairs[i])->pkey, &der);
        const tr_key_t *key;
        assert_true(len > 0);
        if (read_secret(&key, tr_str((char *)der, (size_t)len), *state) != APR_EINVAL)
            fail_msg("DER of a %s key taken for a secret", pairs[i]);
        OPENSSL_free(der);
    }
}

static void a_certificate_in_der_is_no_secret(void **state)
{
    for (size_t i = 0; i < pair_count; i++) {
        char *pem = tt_certificate(*state, tt_key(pairs[i]));
        BIO *bio = BIO_new_mem_buf(pem, -1);
        X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        unsigned char *der = NULL;
        int len = i2d_X509(cert, &der);
        const tr_key_t *key;
        assert_true(len > 0);
        if (read_secret(&key, tr_str((char *)der, (size_t)len), *state) != APR_EINVAL)
            fail_msg("DER of a certificate of a %s key taken for a secret", pairs[i]);
        OPENSSL_free(der);
        X509_free(cert);
        BIO_free(bio);
    }
}

static apr_status_t look_at_material(void *data)
{
    const tr_key_t *const *key = data;
    unsigned char wiped[sizeof((*key)->material)] = {0};
    assert_memory_equal((*key)->material, wiped, sizeof wiped);
    return APR_SUCCESS;
}

/* The secret itself lies in pages that go: test_tr_secret. */
static void what_a_secret_was_made_into_is_wiped_before_its_memory_goes(void **state)
{
    unsigned char nothing[TR_SHA256_LEN] = {0};
    const tr_key_t **slot;
    apr_pool_t *pool;
    apr_pool_create(&pool, *state);
    slot = apr_pcalloc(pool, sizeof *slot);
    /* What is registered first is called last. */
    apr_pool_cleanup_register(pool, slot, look_at_material, apr_pool_cleanup_null);
    assert_int_equal(read_secret(slot, tr_str_z("correct horse battery staple, twice over"), pool), APR_SUCCESS);
    assert_memory_not_equal((*slot)->material, nothing, sizeof nothing);
    apr_pool_destroy(pool);
}

static void passphrases_and_any_bytes_are_secrets(void **state)
{
    const tr_key_t *key;
    assert_int_equal(read_secret(&key, tr_str_z("correct horse battery staple, twice over"), *state), APR_SUCCESS);
    assert_int_equal(read_secret(&key, tr_str_z("--------------------------------------------"), *state), APR_SUCCESS);
    uint64_t seed = 5;
    for (int round = 0; round < 2000; round++) {
        unsigned char bytes[64];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)tt_random(&seed);
        bytes[0] = round % 2 ? 0x30 : bytes[0];
        assert_int_equal(read_secret(&key, tr_str((char *)bytes, sizeof bytes), *state), APR_SUCCESS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(public_keys_of_every_type_are_read),
        TT_TEST(certificates_of_every_type_are_read_whatever_their_dates),
        TT_TEST(text_around_the_first_key_is_ignored),
        TT_TEST(the_first_key_counts_also_before_a_certificate),
        TT_TEST(a_private_key_is_refused_even_beside_a_public_one),
        TT_TEST(a_key_for_pss_alone_verifies_nothing_else),
        TT_TEST(files_beyond_one_mebibyte_are_refused),
        TT_TEST(what_holds_no_public_key_is_refused),
        TT_TEST(weak_and_unfit_keys_are_refused),
        TT_TEST(a_key_for_pss_alone_is_as_long_as_any),
        TT_TEST(an_rsa_exponent_is_odd_and_at_least_three),
        TT_TEST(a_small_order_point_is_refused_in_pem_too),
        TT_TEST(a_secret_has_the_algorithms_that_its_length_carries),
        TT_TEST(what_everybody_may_know_is_no_secret),
        TT_TEST(old_key_formats_are_no_secret_either),
        TT_TEST(a_public_key_in_der_is_no_secret),
        TT_TEST(a_certificate_in_der_is_no_secret),
        TT_TEST(what_a_secret_was_made_into_is_wiped_before_its_memory_goes),
        TT_TEST(passphrases_and_any_bytes_are_secrets),
    };
    return TT_RUN(tests);
}
