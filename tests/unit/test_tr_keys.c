/*
 * JWK Sets (RFC 7517): which keys are read, left out, or refused.
 */
#include "tr_jose.h"

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_testing_cmocka.h"

#define RS_SET (TR_ALG_BIT(TR_ALG_RS256) | TR_ALG_BIT(TR_ALG_RS384) | TR_ALG_BIT(TR_ALG_RS512))
#define PS_SET (TR_ALG_BIT(TR_ALG_PS256) | TR_ALG_BIT(TR_ALG_PS384) | TR_ALG_BIT(TR_ALG_PS512))

static tr_keys_t *read_set(const char *text, apr_pool_t *pool)
{
    tr_keys_t *set = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_keys_from_jwks(&set, &why, tr_str_z(text), pool);
    if (rv != APR_SUCCESS)
        fail_msg("refused (%s): %.300s", why ? why : "no reason", text);
    return set;
}

static void expect_set_refused(const char *text, apr_pool_t *pool)
{
    tr_keys_t *set = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_keys_from_jwks(&set, &why, tr_str_z(text), pool);
    if (rv != APR_EINVAL)
        fail_msg("got %d: %.300s", rv, text);
    assert_non_null(why);
    assert_true(*why);
}

static void expect_refused(const char *jwk, apr_pool_t *pool)
{
    expect_set_refused(tt_jwks(pool, jwk, NULL), pool);
}

/* Left out silently: the good key beside it is all that is left. */
static void expect_left_out(const char *jwk, apr_pool_t *pool)
{
    char *good = tt_jwk(pool, tt_key("P-256"), ",\"kid\":\"good\"");
    tr_keys_t *set = read_set(tt_jwks(pool, jwk, good, NULL), pool);
    if (set->count != 1)
        fail_msg("%d keys: %.300s", (int)set->count, jwk);
    assert_str_is(tr_key_kid(set->key[0]), "good");
    assert_int_equal(read_set(tt_jwks(pool, jwk, NULL), pool)->count, 0);
}

/* Refused or left out, but never used. */
static void expect_unusable(const char *jwk, apr_pool_t *pool)
{
    tr_keys_t *set = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_keys_from_jwks(&set, &why, tr_str_z(tt_jwks(pool, jwk, NULL)), pool);
    if (rv == APR_SUCCESS && set->count != 0)
        fail_msg("used: %.300s", jwk);
}

static void expect_algs(tr_alg_set_t want, const char *jwk, apr_pool_t *pool)
{
    const tr_key_t *key = tt_read_jwk(pool, jwk);
    if (!key)
        fail_msg("refused: %.300s", jwk);
    if (tr_key_algs(key) != want)
        fail_msg("algorithms %x, expected %x: %.300s", tr_key_algs(key), want, jwk);
}

static void type_curve_and_size_decide_the_algorithms(void **state)
{
    expect_algs(RS_SET | PS_SET, tt_jwk(*state, tt_key("RSA2048"), ""), *state);
    expect_algs(TR_ALG_BIT(TR_ALG_ES256), tt_jwk(*state, tt_key("P-256"), ""), *state);
    expect_algs(TR_ALG_BIT(TR_ALG_ES384), tt_jwk(*state, tt_key("P-384"), ""), *state);
    expect_algs(TR_ALG_BIT(TR_ALG_ES512), tt_jwk(*state, tt_key("P-521"), ""), *state);
    expect_algs(TR_ALG_BIT(TR_ALG_ES256K), tt_jwk(*state, tt_key("secp256k1"), ""), *state);
    expect_algs(TR_ALG_BIT(TR_ALG_EDDSA) | TR_ALG_BIT(TR_ALG_ED25519), tt_jwk(*state, tt_key("Ed25519"), ""), *state);
    expect_algs(TR_ALG_BIT(TR_ALG_EDDSA) | TR_ALG_BIT(TR_ALG_ED448), tt_jwk(*state, tt_key("Ed448"), ""), *state);
    expect_algs(TR_ALG_BIT(TR_ALG_HS256), tt_jwk(*state, tt_key("oct32"), ""), *state);
    expect_algs(TR_ALG_BIT(TR_ALG_HS256), tt_jwk(*state, tt_key("oct47"), ""), *state);
    expect_algs(TR_ALG_BIT(TR_ALG_HS256) | TR_ALG_BIT(TR_ALG_HS384), tt_jwk(*state, tt_key("oct48"), ""), *state);
    expect_algs(TR_ALG_BIT(TR_ALG_HS256) | TR_ALG_BIT(TR_ALG_HS384), tt_jwk(*state, tt_key("oct63"), ""), *state);
    expect_algs(TR_ALG_HS_SET, tt_jwk(*state, tt_key("oct64"), ""), *state);
    expect_algs(TR_ALG_HS_SET, tt_jwk(*state, tt_key("oct200"), ""), *state);
}

static void a_keys_own_alg_pins_it(void **state)
{
    static const struct {
        const char *key, *alg;
        tr_alg_t want;
    } pins[] = {{"RSA2048", "RS256", TR_ALG_RS256}, {"RSA2048", "RS512", TR_ALG_RS512}, {"RSA2048", "PS384", TR_ALG_PS384},
                {"P-256", "ES256", TR_ALG_ES256},   {"P-521", "ES512", TR_ALG_ES512},   {"secp256k1", "ES256K", TR_ALG_ES256K},
                {"oct64", "HS256", TR_ALG_HS256},   {"oct64", "HS512", TR_ALG_HS512}};
    for (size_t i = 0; i < sizeof pins / sizeof *pins; i++) {
        char *more = tt_print(*state, ",\"alg\":\"%s\",\"use\":\"sig\"", pins[i].alg);
        expect_algs(TR_ALG_BIT(pins[i].want), tt_jwk(*state, tt_key(pins[i].key), more), *state);
    }
    const tr_key_t *key = tt_read_jwk(*state, tt_jwk(*state, tt_key("Ed25519"), ",\"alg\":\"Ed25519\""));
    assert_int_equal(tr_key_algs(key) & ~(TR_ALG_BIT(TR_ALG_EDDSA)), TR_ALG_BIT(TR_ALG_ED25519));
    key = tt_read_jwk(*state, tt_jwk(*state, tt_key("Ed448"), ",\"alg\":\"EdDSA\""));
    assert_int_equal(tr_key_algs(key) & ~(TR_ALG_BIT(TR_ALG_ED448)), TR_ALG_BIT(TR_ALG_EDDSA));
}

static void an_alg_of_another_kind_makes_a_key_unusable(void **state)
{
    static const char *pairs[][2] = {{"RSA2048", "ES256"}, {"RSA2048", "HS256"},  {"P-256", "ES384"},   {"P-256", "ES256K"},
                                     {"P-256", "RS256"},   {"Ed25519", "Ed448"},  {"Ed448", "Ed25519"}, {"oct64", "RS256"},
                                     {"oct64", "EdDSA"},   {"secp256k1", "ES256"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        expect_unusable(tt_jwk(*state, tt_key(pairs[i][0]), tt_print(*state, ",\"alg\":\"%s\"", pairs[i][1])), *state);
}

static void keys_for_other_work_are_left_out(void **state)
{
    static const char *more[] = {",\"use\":\"enc\"",
                                 ",\"use\":\"SIG\"",
                                 ",\"use\":\"tls\"",
                                 ",\"key_ops\":[\"sign\"]",
                                 ",\"key_ops\":[\"encrypt\",\"decrypt\"]",
                                 ",\"key_ops\":[]",
                                 ",\"use\":\"sig\",\"key_ops\":[\"sign\"]",
                                 ",\"alg\":\"RSA-OAEP\"",
                                 ",\"alg\":\"none\"",
                                 ",\"alg\":\"rs256\"",
                                 ",\"alg\":\"A256GCM\""};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        expect_left_out(tt_jwk(*state, tt_key("RSA2048"), more[i]), *state);
        expect_left_out(tt_jwk(*state, tt_key("oct32"), more[i]), *state);
    }
    expect_left_out(tt_jwk(*state, tt_key("X25519"), ""), *state);
    expect_left_out("{\"kty\":\"OKP\",\"crv\":\"X448\",\"x\":\"AA\"}", *state);
    expect_left_out("{\"kty\":\"EC\",\"crv\":\"P-257\",\"x\":\"AA\",\"y\":\"AA\"}", *state);
    expect_left_out("{\"kty\":\"EC\",\"crv\":\"brainpoolP256r1\",\"x\":\"AA\",\"y\":\"AA\"}", *state);
    expect_left_out("{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\",\"pub\":\"AA\"}", *state);
    expect_left_out("{\"kty\":\"rsa\",\"n\":\"AA\",\"e\":\"AA\"}", *state);
}

static void keys_that_may_verify_are_kept(void **state)
{
    static const char *more[] = {",\"use\":\"sig\"",
                                 ",\"key_ops\":[\"verify\"]",
                                 ",\"key_ops\":[\"sign\",\"verify\"]",
                                 ",\"use\":\"sig\",\"key_ops\":[\"verify\"]",
                                 ",\"x5c\":[\"AAAA\"],\"x5t\":\"AA\"",
                                 ",\"d\":\"!!\"",
                                 ",\"d\":5,\"p\":null,\"oth\":{}",
                                 ",\"unknown\":{\"a\":[1]}"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        assert_non_null(tt_read_jwk(*state, tt_jwk(*state, tt_key("RSA2048"), more[i])));
        assert_non_null(tt_read_jwk(*state, tt_jwk(*state, tt_key("P-256"), more[i])));
        assert_non_null(tt_read_jwk(*state, tt_jwk(*state, tt_key("Ed25519"), more[i])));
    }
}

static void a_kid_is_a_string_of_bounded_length(void **state)
{
    const tt_key_t *key = tt_key("P-256");
    char *most = tt_repeat(*state, "k", TR_MAX_IDENTIFIER_LEN);
    assert_str_is(tr_key_kid(tt_read_jwk(*state, tt_jwk(*state, key, ",\"kid\":\"a b\\u00e9\""))), "a b\xc3\xa9");
    assert_int_equal(tr_key_kid(tt_read_jwk(*state, tt_jwk(*state, key, ""))).len, 0);
    assert_str_is(tr_key_kid(tt_read_jwk(*state, tt_jwk(*state, key, tt_print(*state, ",\"kid\":\"%s\"", most)))), most);
    expect_refused(tt_jwk(*state, key, tt_print(*state, ",\"kid\":\"%sk\"", most)), *state);
    expect_refused(tt_jwk(*state, key, ",\"kid\":5"), *state);
    expect_refused(tt_jwk(*state, key, ",\"kid\":null"), *state);
}

static void short_secrets_are_refused(void **state)
{
    expect_refused(tt_jwk(*state, tt_key("oct31"), ""), *state);
    expect_refused("{\"kty\":\"oct\",\"k\":\"\"}", *state);
    expect_refused("{\"kty\":\"oct\"}", *state);
    expect_refused("{\"kty\":\"oct\",\"k\":5}", *state);
    expect_refused(tt_jwk(*state, tt_key("oct47"), ",\"alg\":\"HS384\""), *state);
    expect_refused(tt_jwk(*state, tt_key("oct63"), ",\"alg\":\"HS512\""), *state);
    assert_non_null(tt_read_jwk(*state, tt_jwk(*state, tt_key("oct48"), ",\"alg\":\"HS384\"")));
    assert_non_null(tt_read_jwk(*state, tt_jwk(*state, tt_key("oct64"), ",\"alg\":\"HS512\"")));
}

static char *rsa_jwk(apr_pool_t *pool, size_t bits, const char *e)
{
    size_t len = (bits + 7) / 8;
    unsigned char *n = apr_palloc(pool, len);
    memset(n, 0xff, len);
    n[0] = (unsigned char)(0xff >> (len * 8 - bits));
    return tt_print(pool, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", tt_b64(pool, n, len), e);
}

static void weak_rsa_keys_are_refused(void **state)
{
    static const char *bad_e[] = {"AQ", "Ag", "AA", "", "AQAA", "BA", "AAE"}; /* 1, 2, 0, none, 65536, 4, 1 */
    for (size_t i = 0; i < sizeof bad_e / sizeof *bad_e; i++)
        expect_refused(rsa_jwk(*state, 2048, bad_e[i]), *state);
    assert_non_null(tt_read_jwk(*state, rsa_jwk(*state, 2048, "Aw")));
    assert_non_null(tt_read_jwk(*state, rsa_jwk(*state, 2048, "AQAB")));
    assert_non_null(tt_read_jwk(*state, rsa_jwk(*state, 8192, "AQAB")));
    unsigned char long_e[1026] = {[1023] = 1, [1024] = 0, [1025] = 1};
    expect_refused(rsa_jwk(*state, 2048, tt_b64(*state, long_e, sizeof long_e)), *state);
    static const size_t bad_bits[] = {8, 512, 1024, 2040, 2047, 8193, 8200, 16384};
    for (size_t i = 0; i < sizeof bad_bits / sizeof *bad_bits; i++)
        expect_refused(rsa_jwk(*state, bad_bits[i], "AQAB"), *state);
    expect_refused(tt_jwk(*state, tt_key("RSA1024"), ""), *state);
    expect_refused("{\"kty\":\"RSA\",\"e\":\"AQAB\"}", *state);
    expect_refused("{\"kty\":\"RSA\",\"n\":7,\"e\":\"AQAB\"}", *state);
    expect_refused(tt_print(*state, "{\"kty\":\"RSA\",\"n\":\"%s=\",\"e\":\"AQAB\"}", tt_repeat(*state, "_", 343)), *state);
}

static void an_even_modulus_is_refused(void **state)
{
    unsigned char n[256];
    memset(n, 0xff, sizeof n);
    n[255] = 0xfe;
    expect_refused(tt_print(*state, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}", tt_b64(*state, n, sizeof n)), *state);
}

static void a_point_must_be_whole_and_on_its_curve(void **state)
{
    char *x = tt_repeat(*state, "A", 43), *jwk = tt_jwk(*state, tt_key("P-256"), "");
    char *y = apr_pstrmemdup(*state, strstr(jwk, "\"y\":\"") + 5, 43);
    char *good_x = apr_pstrmemdup(*state, strstr(jwk, "\"x\":\"") + 5, 43);
    const char *form = "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}";
    assert_non_null(tt_read_jwk(*state, tt_print(*state, form, "P-256", good_x, y)));
    expect_refused(tt_print(*state, form, "P-256", x, x), *state);
    expect_refused(tt_print(*state, form, "P-256", good_x, good_x), *state);
    expect_refused(tt_print(*state, form, "P-256", tt_print(*state, "AAAA%s", good_x), y), *state);
    expect_refused(tt_print(*state, form, "P-256", apr_pstrmemdup(*state, good_x, 40), y), *state);
    expect_refused(tt_print(*state, form, "P-256", "", ""), *state);
    expect_refused(tt_print(*state, form, "P-256", tt_print(*state, "%s=", good_x), y), *state);
    expect_refused(tt_print(*state, form, "P-384", good_x, y), *state);
    /* The same bytes, cut elsewhere. */
    unsigned char both[64];
    memcpy(both, tt_unb64(*state, good_x).data, 32);
    memcpy(both + 32, tt_unb64(*state, y).data, 32);
    expect_refused(tt_print(*state, form, "P-256", tt_b64(*state, both, 31), tt_b64(*state, both + 31, 33)), *state);
    expect_refused(tt_print(*state, form, "P-256", tt_b64(*state, both, 33), tt_b64(*state, both + 33, 31)), *state);
    expect_refused(tt_print(*state, form, "secp256k1", good_x, y), *state);
    expect_refused(tt_print(*state, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\"}", good_x), *state);
    char *ones = tt_b64(*state, memset(apr_palloc(*state, 32), 0xff, 32), 32);
    expect_refused(tt_print(*state, form, "P-256", ones, ones), *state);
}

static void points_of_small_order_are_refused(void **state)
{
    /* All points of order 1, 2, 4 and 8, and their other spellings. */
    static const char *ed25519[] = {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA",
                                    "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA",
                                    "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU", "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_IU",
                                    "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o", "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA_o",
                                    "7P_______________________________________38", "7P________________________________________8",
                                    "7f_______________________________________38", "7f________________________________________8",
                                    "7v_______________________________________38", "7v________________________________________8"};
    static const char *ed448[] = {"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                  "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACA",
                                  "_v____________________________________7___________________________________8A",
                                  "_v____________________________________7___________________________________-A",
                                  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACA",
                                  "______________________________________7___________________________________8A",
                                  "______________________________________7___________________________________-A",
                                  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP____________________________________8A",
                                  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP____________________________________-A"};
    for (size_t i = 0; i < sizeof ed25519 / sizeof *ed25519; i++)
        expect_refused(tt_print(*state, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}", ed25519[i]), *state);
    for (size_t i = 0; i < sizeof ed448 / sizeof *ed448; i++)
        expect_refused(tt_print(*state, "{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"%s\"}", ed448[i]), *state);
}

static void an_edwards_key_has_one_length(void **state)
{
    static const char *curves[] = {"Ed25519", "Ed448"};
    for (size_t c = 0; c < 2; c++) {
        for (size_t len = 0; len <= 60; len++) {
            if (len == (c == 0 ? 32 : 57))
                continue;
            void *bytes = memset(apr_palloc(*state, 60), 5, 60);
            expect_refused(
                tt_print(*state, "{\"kty\":\"OKP\",\"crv\":\"%s\",\"x\":\"%s\"}", curves[c], tt_b64(*state, bytes, len)), *state);
        }
        expect_refused(tt_print(*state, "{\"kty\":\"OKP\",\"crv\":\"%s\"}", curves[c]), *state);
    }
    expect_refused("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":[]}", *state);
}

static void a_broken_set_is_refused_as_a_whole(void **state)
{
    char *good = tt_jwk(*state, tt_key("P-256"), "");
    static const char *bad[] = {"",
                                "{}",
                                "[]",
                                "null",
                                "{\"keys\":{}}",
                                "{\"keys\":null}",
                                "{\"keys\":\"x\"}",
                                "{\"keys\":[1]}",
                                "{\"keys\":[null]}",
                                "{\"keys\":[[]]}",
                                "{\"keys\":[\"x\"]}",
                                "{\"keys\":[]",
                                "{\"keys\":[],\"keys\":[]}",
                                "{\"keys\":[{}]}",
                                "{\"keys\":[{\"kty\":5}]}",
                                "{\"KEYS\":[]}",
                                "<html></html>",
                                "{\"keys\":[]} x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_set_refused(bad[i], *state);
    expect_set_refused(good, *state);
    expect_set_refused(tt_print(*state, "{\"keys\":[%s,1]}", good), *state);
    expect_set_refused(tt_print(*state, "{\"keys\":[%s,{\"kty\":\"oct\",\"k\":\"AA\"}]}", good), *state);
    expect_set_refused(tt_print(*state, "{\"keys\":[{\"kty\":\"EC\",\"kty\":\"EC\"},%s]}", good), *state);
}

static void members_of_a_strange_type_are_refused(void **state)
{
    static const char *more[] = {",\"use\":5", ",\"use\":null", ",\"key_ops\":\"verify\"", ",\"key_ops\":{\"verify\":1}",
                                 ",\"alg\":5", ",\"alg\":[]"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        expect_refused(tt_jwk(*state, tt_key("P-256"), more[i]), *state);
    expect_refused("{\"kty\":\"EC\",\"x\":\"AA\",\"y\":\"AA\"}", *state);
    expect_refused("{\"kty\":\"EC\",\"crv\":5,\"x\":\"AA\",\"y\":\"AA\"}", *state);
    expect_refused("{\"kty\":\"OKP\",\"crv\":[\"Ed25519\"],\"x\":\"AA\"}", *state);
}

static void a_set_of_one_mebibyte_is_the_largest(void **state)
{
    char *set = tt_jwks(*state, tt_jwk(*state, tt_key("P-256"), ""), NULL);
    char *spaces = tt_repeat(*state, " ", TR_MAX_KEY_FILE_LEN - strlen(set));
    assert_int_equal(read_set(tt_print(*state, "%s%s", spaces, set), *state)->count, 1);
    expect_set_refused(tt_print(*state, "%s %s", spaces, set), *state);
}

static void a_set_may_be_empty_and_hold_other_members(void **state)
{
    assert_int_equal(read_set("{\"keys\":[]}", *state)->count, 0);
    assert_int_equal(read_set("{\"keys\":[],\"next\":{\"a\":1}}", *state)->count, 0);
}

static void a_set_holds_256_keys_and_no_more(void **state)
{
    char *jwk = tt_jwk(*state, tt_key("Ed25519"), "");
    char *most = tt_repeat(*state, tt_print(*state, "%s,", jwk), TR_MAX_KEYS_PER_SET - 1);
    assert_int_equal(read_set(tt_print(*state, "{\"keys\":[%s%s]}", most, jwk), *state)->count, TR_MAX_KEYS_PER_SET);
    expect_set_refused(tt_print(*state, "{\"keys\":[%s%s,%s]}", most, jwk, jwk), *state);
    char *other = tt_repeat(*state, "{\"kty\":\"AKP\"},", TR_MAX_KEYS_PER_SET);
    expect_set_refused(tt_print(*state, "{\"keys\":[%s%s]}", other, jwk), *state);
}

static void keys_stand_in_the_order_of_the_set(void **state)
{
    tr_keys_t *set = read_set(tt_jwks(*state, tt_jwk(*state, tt_key("P-256"), ",\"kid\":\"1\""),
                                      tt_jwk(*state, tt_key("X25519"), ""), tt_jwk(*state, tt_key("oct32"), ",\"kid\":\"2\""),
                                      tt_jwk(*state, tt_key("Ed25519"), ",\"kid\":\"1\""), NULL),
                              *state);
    assert_int_equal(set->count, 3);
    assert_str_is(tr_key_kid(set->key[0]), "1");
    assert_str_is(tr_key_kid(set->key[1]), "2");
    assert_int_equal(tr_key_algs(set->key[1]), TR_ALG_BIT(TR_ALG_HS256));
    assert_int_equal(tr_key_algs(set->key[2]), TR_ALG_BIT(TR_ALG_EDDSA) | TR_ALG_BIT(TR_ALG_ED25519));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(type_curve_and_size_decide_the_algorithms),
        TT_TEST(a_keys_own_alg_pins_it),
        TT_TEST(an_alg_of_another_kind_makes_a_key_unusable),
        TT_TEST(keys_for_other_work_are_left_out),
        TT_TEST(keys_that_may_verify_are_kept),
        TT_TEST(a_kid_is_a_string_of_bounded_length),
        TT_TEST(short_secrets_are_refused),
        TT_TEST(weak_rsa_keys_are_refused),
        TT_TEST(an_even_modulus_is_refused),
        TT_TEST(a_point_must_be_whole_and_on_its_curve),
        TT_TEST(points_of_small_order_are_refused),
        TT_TEST(an_edwards_key_has_one_length),
        TT_TEST(a_broken_set_is_refused_as_a_whole),
        TT_TEST(members_of_a_strange_type_are_refused),
        TT_TEST(a_set_of_one_mebibyte_is_the_largest),
        TT_TEST(a_set_may_be_empty_and_hold_other_members),
        TT_TEST(a_set_holds_256_keys_and_no_more),
        TT_TEST(keys_stand_in_the_order_of_the_set),
    };
    return TT_RUN(tests);
}
