/*
 * Audience, type, use, identity and user of a token (RFC 7519 4.1, RFC 8725).
 */
#include "tr_token.h"

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_testing_claims.h"

static apr_array_header_t *list(apr_pool_t *pool, ...)
{
    apr_array_header_t *array = apr_array_make(pool, 4, sizeof(const char *));
    va_list args;
    va_start(args, pool);
    for (const char *item; (item = va_arg(args, const char *));)
        *(const char **)apr_array_push(array) = item;
    va_end(args);
    return array;
}

/* ---- audience, type, use ----------------------------------------------------------------------------------- */

static apr_status_t audience(apr_pool_t *pool, const char *claims)
{
    tr_issuer_t *issuer = make_issuer(pool, "joe");
    issuer->audiences = list(pool, "api", "https://x.example/", NULL);
    tr_token_t token = token_with(pool, issuer, NULL, claims);
    return tr_token_check_audience(&token);
}

static void one_audience_must_be_ours_exactly(void **state)
{
    static const char *good[] = {"\"aud\":\"api\"",         "\"aud\":\"https://x.example/\"", "\"aud\":[\"api\"]",
                                 "\"aud\":[\"x\",\"api\"]", "\"aud\":[\"api\",\"\"]",         "\"aud\":\"\\u0061pi\""};
    static const char *bad[] = {"",
                                "\"aud\":\"API\"",
                                "\"aud\":\"ap\"",
                                "\"aud\":\"apis\"",
                                "\"aud\":\"api \"",
                                "\"aud\":\"\"",
                                "\"aud\":[]",
                                "\"aud\":[\"x\"]",
                                "\"aud\":\"https://x.example\"",
                                "\"aud\":5",
                                "\"aud\":null",
                                "\"aud\":{\"api\":1}",
                                "\"aud\":[5]",
                                "\"aud\":[\"api\",5]",
                                "\"aud\":[[\"api\"]]",
                                "\"aud\":[null,\"api\"]",
                                "\"aud\":\"api https://x.example/\""};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(audience(*state, good[i]), APR_SUCCESS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(audience(*state, bad[i]), TR_AUDIENCE);
        tr_token_t token = token_of(*state, bad[i]);
        assert_int_equal(tr_token_check_audience(&token), APR_SUCCESS);
    }
}

static apr_status_t type(apr_pool_t *pool, apr_array_header_t *types, const char *typ, const char *claims)
{
    tr_issuer_t *issuer = make_issuer(pool, "joe");
    issuer->types = types;
    char *header = typ ? tt_print(pool, "{\"alg\":\"HS256\",\"typ\":\"%s\"}", typ) : tt_print(pool, "{\"alg\":\"HS256\"}");
    tr_token_t token = token_with(pool, issuer, header, claims);
    return tr_token_check_type(&token);
}

static void types_that_are_no_access_tokens_are_refused(void **state)
{
    static const char *bad[] = {"logout+jwt",
                                "secevent+jwt",
                                "dpop+jwt",
                                "statuslist+jwt",
                                "oauth-authz-req+jwt",
                                "kb+jwt",
                                "client-authentication+jwt",
                                "dc+sd-jwt",
                                "vc+sd-jwt",
                                "token-introspection+jwt",
                                "vc+jwt",
                                "oauth-client-attestation+jwt",
                                "wallet+jwt",
                                "entity-statement+jwt",
                                "openid4vci-proof+jwt",
                                "trust-mark+jwt",
                                "oauth-client-attestation-pop+jwt",
                                "keybinding+jwt",
                                "key-attestation+jwt",
                                "vp+jwt",
                                "resolve-response+jwt",
                                "jwk-set+jwt",
                                "refresh+jwt",
                                "rt+jwt",
                                "LOGOUT+JWT",
                                "application/logout+jwt",
                                "Application/Secevent+JWT",
                                "application/dpop+jwt"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(type(*state, NULL, bad[i], ""), TR_TOKEN_TYPE);
    static const char *good[] = {"JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "JOSE", "x-legacy", NULL};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(type(*state, NULL, good[i], ""), APR_SUCCESS);
}

static void a_list_of_types_is_kept(void **state)
{
    apr_array_header_t *types = list(*state, "at+jwt", "application/x+jwt", NULL);
    static const char *good[] = {"at+jwt", "AT+JWT", "application/at+jwt", "APPLICATION/at+jwt", "x+jwt", "application/X+JWT"};
    static const char *bad[] = {"JWT",        "at", "at+jwt2", "application/", "text/at+jwt", "application/application/at+jwt",
                                "logout+jwt", NULL};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(type(*state, types, good[i], ""), APR_SUCCESS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(type(*state, types, bad[i], ""), TR_TOKEN_TYPE);
}

static void bound_tokens_and_events_are_refused_whatever_their_value(void **state)
{
    static const char *values[] = {"{\"jkt\":\"x\"}", "{}", "null", "false", "\"\"", "[]", "0"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_int_equal(type(*state, NULL, "JWT", tt_print(*state, "\"cnf\":%s", values[i])), TR_TOKEN_TYPE);
        assert_int_equal(type(*state, NULL, NULL, tt_print(*state, "\"events\":%s", values[i])), TR_TOKEN_TYPE);
        assert_int_equal(type(*state, list(*state, "at+jwt", NULL), "at+jwt", tt_print(*state, "\"cnf\":%s", values[i])),
                         TR_TOKEN_TYPE);
    }
}

static apr_status_t use(apr_pool_t *pool, const char *claim, apr_array_header_t *values, const char *claims)
{
    tr_issuer_t *issuer = make_issuer(pool, "joe");
    issuer->use_claim = claim;
    issuer->use_values = values;
    tr_token_t token = token_with(pool, issuer, NULL, claims);
    return tr_token_check_use(&token);
}

static void refresh_and_id_tokens_are_known_by_their_claims(void **state)
{
    static const char *names[] = {"token_use", "token_type", "type", "typ"};
    static const char *bad[] = {"refresh",
                                "refresh_token",
                                "refresh-token",
                                "refreshtoken",
                                "REFRESH",
                                "RefreshToken",
                                "offline",
                                "Offline",
                                "id",
                                "ID",
                                "id_token",
                                "id-token",
                                "idtoken",
                                "urn:ietf:params:oauth:token-type:refresh_token",
                                "urn:ietf:params:oauth:token-type:id_token"};
    static const char *good[] = {"access", "Bearer", "bearer", "access_token", "", "identity", "JWT", "refreshing", "at+jwt"};
    for (size_t n = 0; n < 4; n++) {
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            assert_int_equal(use(*state, NULL, NULL, tt_print(*state, "\"%s\":\"%s\"", names[n], bad[i])), TR_TOKEN_USE);
        for (size_t i = 0; i < sizeof good / sizeof *good; i++)
            assert_int_equal(use(*state, NULL, NULL, tt_print(*state, "\"%s\":\"%s\"", names[n], good[i])), APR_SUCCESS);
    }
    assert_int_equal(use(*state, NULL, NULL, "\"token_use\":\"access\",\"typ\":\"Refresh\""), TR_TOKEN_USE);
    assert_int_equal(use(*state, NULL, NULL, "\"at_hash\":\"x\""), TR_TOKEN_USE);
    assert_int_equal(use(*state, NULL, NULL, "\"c_hash\":\"x\""), TR_TOKEN_USE);
    assert_int_equal(use(*state, NULL, NULL, "\"at_hash\":null"), TR_TOKEN_USE);
    assert_int_equal(use(*state, NULL, NULL, ""), APR_SUCCESS);
}

static bool refreshes(apr_pool_t *pool, const char *claim, apr_array_header_t *values, const char *typ, const char *claims)
{
    tr_issuer_t *issuer = make_issuer(pool, "joe");
    issuer->use_claim = claim;
    issuer->use_values = values;
    char *header = typ ? tt_print(pool, "{\"alg\":\"HS256\",\"typ\":\"%s\"}", typ) : NULL;
    tr_token_t token = token_with(pool, issuer, header, claims);
    return tr_token_is_refresh(&token);
}

static void a_refresh_token_is_told_from_others(void **state)
{
    static const char *const yes[] = {"\"token_use\":\"refresh\"", "\"typ\":\"Refresh\"", "\"typ\":\"Offline\"",
                                      "\"token_type\":\"refresh_token\"", "\"type\":\"REFRESH\""};
    static const char *const no[] = {"",          "\"token_use\":\"id\"", "\"at_hash\":\"x\"", "\"token_use\":\"access\"",
                                     "\"typ\":7", "\"use\":\"refresh\""};
    apr_array_header_t *values = list(*state, "access", "refresh_token", NULL);
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(refreshes(*state, NULL, NULL, "JWT", yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(refreshes(*state, NULL, NULL, "JWT", no[i]));
    assert_true(refreshes(*state, NULL, NULL, "application/RT+jwt", ""));
    assert_true(refreshes(*state, NULL, NULL, "refresh+jwt", ""));
    assert_true(refreshes(*state, "kind.of", values, NULL, "\"kind\":{\"of\":\"Refresh\"}"));
    assert_true(refreshes(*state, "kind", values, NULL, "\"typ\":\"Refresh\""));
    assert_false(refreshes(*state, "kind", values, NULL, "\"kind\":\"access\",\"typ\":\"Refresh\""));
    assert_false(refreshes(*state, "kind", values, "rt+jwt", "\"kind\":\"refresh_token\""));
}

static void a_configured_use_is_the_only_one(void **state)
{
    apr_array_header_t *values = list(*state, "access", "api", NULL);
    assert_int_equal(use(*state, "token_use", values, "\"token_use\":\"access\""), APR_SUCCESS);
    assert_int_equal(use(*state, "token_use", values, "\"token_use\":\"api\",\"type\":\"refresh\",\"at_hash\":\"x\""),
                     APR_SUCCESS);
    static const char *bad[] = {"",
                                "\"token_use\":\"refresh\"",
                                "\"token_use\":\"\"",
                                "\"token_use\":null",
                                "\"token_use\":5",
                                "\"token_use\":\"accessx\"",
                                "\"type\":\"access\"",
                                "\"token_use\":{\"access\":1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(use(*state, "token_use", values, bad[i]), TR_TOKEN_USE);
}

/* ---- identity ---------------------------------------------------------------------------------------------- */

static apr_status_t identity(tr_token_t *token, apr_pool_t *pool, const char *claims)
{
    *token = token_of(pool, claims);
    return tr_token_read_identity(token);
}

static void identities_are_read_as_they_are(void **state)
{
    tr_token_t token;
    assert_int_equal(identity(&token, *state, "\"jti\":\"\\u0061 b\\u00e9\",\"sub\":\"alice\",\"sid\":\"s\",\"azp\":\"c1\""),
                     APR_SUCCESS);
    assert_str_is(token.jti, "a b\xc3\xa9");
    assert_str_is(token.sub, "alice");
    assert_str_is(token.sid, "s");
    assert_str_is(token.client_id, "c1");
    assert_int_equal(identity(&token, *state, "\"client_id\":\"c2\",\"azp\":\"c1\""), APR_SUCCESS);
    assert_str_is(token.client_id, "c2");
    assert_int_equal(token.jti.len + token.sub.len + token.sid.len, 0);
    assert_int_equal(identity(&token, *state, ""), APR_SUCCESS);
    assert_int_equal(token.client_id.len, 0);
}

static void identities_are_strings_without_control_characters(void **state)
{
    static const char *names[] = {"jti", "sub", "sid", "client_id", "azp"};
    static const char *bad[] = {"5",         "null",         "true",        "[]",      "{}",         "1e400",
                                "\"a\\nb\"", "\"a\\u007f\"", "\"\\u0085\"", "\"\\r\"", "\"\\u0001\""};
    tr_token_t token;
    for (size_t n = 0; n < 5; n++) {
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            if (identity(&token, *state, tt_print(*state, "\"%s\":%s", names[n], bad[i])) != TR_MALFORMED)
                fail_msg("%s: %s", names[n], bad[i]);
        }
        char *most = tt_repeat(*state, "x", TR_MAX_IDENTIFIER_LEN);
        assert_int_equal(identity(&token, *state, tt_print(*state, "\"%s\":\"%s\"", names[n], most)), APR_SUCCESS);
        assert_int_equal(identity(&token, *state, tt_print(*state, "\"%s\":\"%sx\"", names[n], most)), TR_MALFORMED);
    }
    assert_int_equal(identity(&token, *state, "\"client_id\":\"c\",\"azp\":5"), TR_MALFORMED);
}

static void a_jti_is_not_empty(void **state)
{
    tr_token_t token;
    assert_int_equal(identity(&token, *state, "\"jti\":\"\""), TR_MALFORMED);
    assert_int_equal(identity(&token, *state, "\"jti\":\" \""), APR_SUCCESS);
}

static apr_status_t user(const char **out, apr_pool_t *pool, const char *claim, const char *claims)
{
    tr_token_t token = token_of(pool, claims);
    assert_int_equal(tr_token_read_identity(&token), APR_SUCCESS);
    return tr_token_user(out, &token, claim, pool);
}

static void the_user_is_a_string_or_an_integer(void **state)
{
    static const struct {
        const char *claim, *claims, *want;
    } good[] = {{"sub", "\"sub\":\"alice\"", "alice"},
                {"sub", "\"sub\":\"Al ice\\u00e9\"", "Al ice\xc3\xa9"},
                {"uid", "\"uid\":42", "42"},
                {"uid", "\"uid\":-7", "-7"},
                {"uid", "\"uid\":0", "0"},
                {"uid", "\"uid\":9223372036854775807", "9223372036854775807"},
                {"uid", "\"uid\":-9223372036854775808", "-9223372036854775808"},
                {"act.sub", "\"act\":{\"sub\":\"bob\"}", "bob"},
                {"https://x.example/user", "\"https://x.example/user\":\"carl\"", "carl"}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const char *out = NULL;
        assert_int_equal(user(&out, *state, good[i].claim, good[i].claims), APR_SUCCESS);
        assert_string_equal(out, good[i].want);
    }
}

static void anything_else_is_no_user(void **state)
{
    static const char *bad[] = {"",
                                "\"uid\":\"\"",
                                "\"uid\":null",
                                "\"uid\":true",
                                "\"uid\":1.5",
                                "\"uid\":[\"a\"]",
                                "\"uid\":{\"a\":1}",
                                "\"uid\":\"a\\nb\"",
                                "\"uid\":\"\\u0007\"",
                                "\"uid\":\"a\\u009fb\"",
                                "\"uid\":18446744073709551615",
                                "\"uid\":1e400"};
    const char *out;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (user(&out, *state, "uid", bad[i]) != TR_MALFORMED)
            fail_msg("user of %s", bad[i]);
    }
    assert_int_equal(user(&out, *state, "sub", "\"uid\":\"x\""), TR_MALFORMED);
    assert_int_equal(user(&out, *state, "act.sub", "\"act\":\"x\""), TR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(one_audience_must_be_ours_exactly),
        TT_TEST(types_that_are_no_access_tokens_are_refused),
        TT_TEST(a_list_of_types_is_kept),
        TT_TEST(bound_tokens_and_events_are_refused_whatever_their_value),
        TT_TEST(refresh_and_id_tokens_are_known_by_their_claims),
        TT_TEST(a_refresh_token_is_told_from_others),
        TT_TEST(a_configured_use_is_the_only_one),
        TT_TEST(identities_are_read_as_they_are),
        TT_TEST(identities_are_strings_without_control_characters),
        TT_TEST(a_jti_is_not_empty),
        TT_TEST(the_user_is_a_string_or_an_integer),
        TT_TEST(anything_else_is_no_user),
    };
    return TT_RUN(tests);
}
