/*
 * Issuer, algorithm and times of a token (RFC 7519 4.1), each at its boundaries.
 */
#include "tr_token.h"

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_testing_claims.h"

#define NOW 1700000000
#define AT(s) ((apr_time_t)(s)*1000000)

/* A token whose times were read. */
static tr_token_t timed(apr_pool_t *pool, tr_issuer_t *issuer, const char *claims)
{
    tr_token_t token = token_with(pool, issuer, NULL, claims);
    if (tr_token_read_times(&token) != APR_SUCCESS)
        fail_msg("times of %s", claims);
    return token;
}

/* ---- issuer ------------------------------------------------------------------------------------------------ */

static apr_status_t find(tr_token_t *token, tr_issuers_t *issuers, const char *payload, apr_pool_t *pool)
{
    memset(token, 0, sizeof *token);
    char *text = tt_assemble(pool, "{\"alg\":\"HS256\"}", payload, tr_str_z("sig"));
    assert_int_equal(tr_jws_parse(&token->jws, tr_str_z(text), pool), APR_SUCCESS);
    return tr_token_find_issuer(token, issuers);
}

static void an_issuer_is_found_by_its_exact_name(void **state)
{
    tr_issuer_t *a = make_issuer(*state, "https://idp.example.com/"), *b = make_issuer(*state, "joe");
    tr_issuers_t *issuers = issuers_of(*state, a, b);
    tr_token_t token;
    assert_int_equal(find(&token, issuers, "{\"iss\":\"https://idp.example.com/\"}", *state), APR_SUCCESS);
    assert_ptr_equal(token.issuer, a);
    assert_str_is(token.iss, "https://idp.example.com/");
    assert_int_equal(find(&token, issuers, "{\"iss\":\"\\u006aoe\"}", *state), APR_SUCCESS);
    assert_ptr_equal(token.issuer, b);
    static const char *others[] = {"{\"iss\":\"https://idp.example.com\"}",
                                   "{\"iss\":\"HTTPS://idp.example.com/\"}",
                                   "{\"iss\":\"Joe\"}",
                                   "{\"iss\":\"joe \"}",
                                   "{\"iss\":\"jo\"}",
                                   "{\"iss\":\"\"}",
                                   "{\"iss\":\"*\"}",
                                   "{}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(find(&token, issuers, others[i], *state), TR_UNKNOWN_ISSUER);
}

static void the_star_section_takes_what_nobody_else_claims(void **state)
{
    tr_issuer_t *any = make_issuer(*state, "*"), *joe = make_issuer(*state, "joe");
    tr_issuers_t *issuers = issuers_of(*state, any, joe);
    tr_token_t token;
    assert_int_equal(find(&token, issuers, "{\"iss\":\"joe\"}", *state), APR_SUCCESS);
    assert_ptr_equal(token.issuer, joe);
    assert_int_equal(find(&token, issuers, "{\"iss\":\"ann\"}", *state), APR_SUCCESS);
    assert_ptr_equal(token.issuer, any);
    assert_str_is(token.iss, "ann");
    assert_int_equal(find(&token, issuers, "{}", *state), APR_SUCCESS);
    assert_ptr_equal(token.issuer, any);
    assert_int_equal(token.iss.len, 0);
    assert_ptr_equal(tr_issuers_find(issuers, tr_str(NULL, 0), false), any);
    assert_ptr_equal(tr_issuers_find(issuers, tr_str_z("joe"), true), joe);
}

static void an_iss_is_a_string_of_bounded_length(void **state)
{
    char *most = tt_repeat(*state, "i", TR_MAX_IDENTIFIER_LEN);
    tr_issuers_t *issuers = issuers_of(*state, make_issuer(*state, most), make_issuer(*state, "*"));
    tr_token_t token;
    static const char *bad[] = {"{\"iss\":5}", "{\"iss\":null}", "{\"iss\":[\"joe\"]}", "{\"iss\":{}}", "{\"iss\":true}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(find(&token, issuers, bad[i], *state), TR_MALFORMED);
    assert_int_equal(find(&token, issuers, tt_print(*state, "{\"iss\":\"%s\"}", most), *state), APR_SUCCESS);
    assert_int_equal(find(&token, issuers, tt_print(*state, "{\"iss\":\"%si\"}", most), *state), TR_MALFORMED);
}

static void the_issuers_list_of_algorithms_is_kept(void **state)
{
    tr_issuer_t *issuer = make_issuer(*state, "joe");
    tr_token_t token = token_with(*state, issuer, "{\"alg\":\"ES256\"}", "");
    issuer->algs = TR_ALG_BIT(TR_ALG_RS256) | TR_ALG_BIT(TR_ALG_ES384);
    assert_int_equal(tr_token_check_algorithm(&token), TR_ALGORITHM);
    issuer->algs |= TR_ALG_BIT(TR_ALG_ES256);
    assert_int_equal(tr_token_check_algorithm(&token), APR_SUCCESS);
}

/* ---- times ------------------------------------------------------------------------------------------------- */

static void exp_is_a_finite_number(void **state)
{
    static const char *bad[] = {
        "",           "\"exp\":\"1700000000\"", "\"exp\":null",   "\"exp\":true",      "\"exp\":[1700000000]",
        "\"exp\":{}", "\"exp\":1e400",          "\"exp\":-1e400", "\"EXP\":1700000000"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tr_token_t token = token_of(*state, bad[i]);
        assert_int_equal(tr_token_read_times(&token), TR_MALFORMED);
    }
    static const char *good[] = {"\"exp\":1700000000",
                                 "\"exp\":1.7e9",
                                 "\"exp\":1700000000.5",
                                 "\"exp\":-1",
                                 "\"exp\":0",
                                 "\"exp\":1e300",
                                 "\"exp\":18446744073709551615",
                                 "\"exp\":9223372036854775807",
                                 "\"exp\":170000000000000000000000"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        tr_token_t token = token_of(*state, good[i]);
        assert_int_equal(tr_token_read_times(&token), APR_SUCCESS);
        assert_false(token.has_iat);
    }
}

static void nbf_and_iat_are_numbers_if_they_are_there(void **state)
{
    static const char *names[] = {"nbf", "iat"};
    static const char *bad[] = {"\"1\"", "null", "true", "[]", "{}", "1e400"};
    for (size_t n = 0; n < 2; n++) {
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            tr_token_t token = token_of(*state, tt_print(*state, "\"exp\":%d,\"%s\":%s", NOW, names[n], bad[i]));
            assert_int_equal(tr_token_read_times(&token), TR_MALFORMED);
        }
    }
    tr_token_t token = token_of(*state, "\"exp\":1.7e9,\"iat\":1600000000.25,\"nbf\":-5");
    assert_int_equal(tr_token_read_times(&token), APR_SUCCESS);
    assert_true(token.exp_s == 1.7e9);
    assert_true(token.has_iat && token.iat_s == 1600000000.25);
}

static void a_token_ends_at_exp_plus_skew_to_the_microsecond(void **state)
{
    tr_issuer_t *issuer = make_issuer(*state, "joe");
    tr_token_t token = timed(*state, issuer, tt_print(*state, "\"exp\":%d", NOW));
    assert_int_equal(tr_token_check_expiry(&token, AT(NOW)), APR_SUCCESS);
    assert_int_equal(tr_token_check_expiry(&token, AT(NOW + 59)), APR_SUCCESS);
    assert_int_equal(tr_token_check_expiry(&token, AT(NOW + 60) - 1), APR_SUCCESS);
    assert_int_equal(tr_token_check_expiry(&token, AT(NOW + 60)), TR_EXPIRED);
    assert_int_equal(tr_token_check_expiry(&token, AT(NOW + 61)), TR_EXPIRED);
    issuer->skew_s = 0;
    assert_int_equal(tr_token_check_expiry(&token, AT(NOW) - 1), APR_SUCCESS);
    assert_int_equal(tr_token_check_expiry(&token, AT(NOW)), TR_EXPIRED);
    token = timed(*state, issuer, tt_print(*state, "\"exp\":%d.5", NOW));
    assert_int_equal(tr_token_check_expiry(&token, AT(NOW) + 499999), APR_SUCCESS);
    assert_int_equal(tr_token_check_expiry(&token, AT(NOW) + 500000), TR_EXPIRED);
}

static void strange_ends_are_compared_and_not_converted(void **state)
{
    static const struct {
        const char *exp;
        apr_status_t want;
    } ends[] = {{"-1", TR_EXPIRED},
                {"0", TR_EXPIRED},
                {"-1e300", TR_EXPIRED},
                {"9223372036855", APR_SUCCESS},  /* in microseconds this would wrap below zero */
                {"18448744073709", APR_SUCCESS}, /* and this to the year 2033 */
                {"9223372036854775807", APR_SUCCESS},
                {"18446744073709551615", APR_SUCCESS},
                {"-9223372036854775808", TR_EXPIRED},
                {"1e300", APR_SUCCESS}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        tr_token_t token = timed(*state, make_issuer(*state, "joe"), tt_print(*state, "\"exp\":%s", ends[i].exp));
        assert_int_equal(tr_token_check_expiry(&token, AT(NOW)), ends[i].want);
        assert_int_equal(tr_token_check_expiry(&token, AT((apr_time_t)4102444800)), ends[i].want);
    }
}

static void a_token_begins_at_nbf_and_iat_minus_skew(void **state)
{
    static const char *names[] = {"nbf", "iat"};
    for (size_t n = 0; n < 2; n++) {
        tr_issuer_t *issuer = make_issuer(*state, "joe");
        tr_token_t token = timed(*state, issuer, tt_print(*state, "\"exp\":%d,\"%s\":%d", NOW + 600, names[n], NOW));
        assert_int_equal(tr_token_check_begin(&token, AT(NOW)), APR_SUCCESS);
        assert_int_equal(tr_token_check_begin(&token, AT(NOW - 60)), APR_SUCCESS);
        assert_int_equal(tr_token_check_begin(&token, AT(NOW - 60) - 1), TR_NOT_YET_VALID);
        assert_int_equal(tr_token_check_begin(&token, AT(NOW - 61)), TR_NOT_YET_VALID);
        issuer->skew_s = 0;
        assert_int_equal(tr_token_check_begin(&token, AT(NOW)), APR_SUCCESS);
        assert_int_equal(tr_token_check_begin(&token, AT(NOW) - 1), TR_NOT_YET_VALID);
        token = timed(*state, issuer, tt_print(*state, "\"exp\":%d,\"%s\":1e300", NOW + 600, names[n]));
        assert_int_equal(tr_token_check_begin(&token, AT(NOW)), TR_NOT_YET_VALID);
        token = timed(*state, issuer, tt_print(*state, "\"exp\":%d,\"%s\":-1e300", NOW + 600, names[n]));
        assert_int_equal(tr_token_check_begin(&token, AT(NOW)), APR_SUCCESS);
    }
    tr_token_t token =
        timed(*state, make_issuer(*state, "joe"), tt_print(*state, "\"exp\":%d,\"iat\":%d,\"nbf\":%d", NOW + 600, NOW, NOW + 61));
    assert_int_equal(tr_token_check_begin(&token, AT(NOW)), TR_NOT_YET_VALID);
}

static apr_status_t lifetime(apr_pool_t *pool, int64_t max_s, const char *claims)
{
    tr_issuer_t *issuer = make_issuer(pool, "joe");
    issuer->max_lifetime_s = max_s;
    tr_token_t token = timed(pool, issuer, claims);
    return tr_token_check_lifetime(&token, AT(NOW));
}

static void a_token_lives_no_longer_than_allowed(void **state)
{
    assert_int_equal(lifetime(*state, 3600, "\"iat\":1700000000,\"exp\":1700003600"), APR_SUCCESS);
    assert_int_equal(lifetime(*state, 3600, "\"iat\":1700000000,\"exp\":1700003601"), TR_LIFETIME);
    assert_int_equal(lifetime(*state, 3600, "\"iat\":1700000000,\"exp\":1700003600.5"), TR_LIFETIME);
    assert_int_equal(lifetime(*state, 3600, "\"iat\":1600000000,\"exp\":1700003600"), TR_LIFETIME);
    assert_int_equal(lifetime(*state, 3600, "\"exp\":1700003600"), APR_SUCCESS);
    assert_int_equal(lifetime(*state, 3600, "\"exp\":1700003601"), TR_LIFETIME);
    assert_int_equal(lifetime(*state, 86400, "\"exp\":1e300"), TR_LIFETIME);
    assert_int_equal(lifetime(*state, 86400, "\"exp\":18446744073709551615"), TR_LIFETIME);
    assert_int_equal(lifetime(*state, 86400, "\"iat\":-1e308,\"exp\":1e308"), TR_LIFETIME);
    assert_int_equal(lifetime(*state, TR_UNLIMITED, "\"exp\":1e300"), APR_SUCCESS);
    assert_int_equal(lifetime(*state, TR_UNLIMITED, "\"iat\":0,\"exp\":1e300"), APR_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(an_issuer_is_found_by_its_exact_name),
        TT_TEST(the_star_section_takes_what_nobody_else_claims),
        TT_TEST(an_iss_is_a_string_of_bounded_length),
        TT_TEST(the_issuers_list_of_algorithms_is_kept),
        TT_TEST(exp_is_a_finite_number),
        TT_TEST(nbf_and_iat_are_numbers_if_they_are_there),
        TT_TEST(a_token_ends_at_exp_plus_skew_to_the_microsecond),
        TT_TEST(strange_ends_are_compared_and_not_converted),
        TT_TEST(a_token_begins_at_nbf_and_iat_minus_skew),
        TT_TEST(a_token_lives_no_longer_than_allowed),
    };
    return TT_RUN(tests);
}
