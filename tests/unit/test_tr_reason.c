/*
 * The table of reasons, against docs/DIRECTIVES.md and RFC 6750 3.
 */
#include "tr_reason.h"

#include "tr_testing_cmocka.h"

static const struct {
    apr_status_t rv;
    const char *word;
    int status;
    const char *error;
} rows[] = {
    {TR_NO_TOKEN, "no_token", 401, NULL},
    {TR_MULTIPLE_TOKENS, "multiple_tokens", 400, "invalid_request"},
    {TR_MALFORMED, "malformed", 401, "invalid_token"},
    {TR_ALGORITHM, "algorithm", 401, "invalid_token"},
    {TR_UNKNOWN_ISSUER, "unknown_issuer", 401, "invalid_token"},
    {TR_UNKNOWN_KEY, "unknown_key", 401, "invalid_token"},
    {TR_BAD_SIGNATURE, "bad_signature", 401, "invalid_token"},
    {TR_EXPIRED, "expired", 401, "invalid_token"},
    {TR_NOT_YET_VALID, "not_yet_valid", 401, "invalid_token"},
    {TR_LIFETIME, "lifetime", 401, "invalid_token"},
    {TR_AUDIENCE, "audience", 401, "invalid_token"},
    {TR_TOKEN_TYPE, "token_type", 401, "invalid_token"},
    {TR_TOKEN_USE, "token_use", 401, "invalid_token"},
    {TR_REVOKED, "revoked", 401, "invalid_token"},
};
enum { row_count = sizeof rows / sizeof *rows };

static void each_refusal_has_its_word_status_and_error(void **state)
{
    (void)state;
    assert_int_equal(row_count, TR_REFUSED_LAST - TR_REFUSED_FIRST + 1);
    for (size_t i = 0; i < row_count; i++) {
        const tr_reason_t *reason = tr_reason(rows[i].rv);
        assert_string_equal(reason->word, rows[i].word);
        assert_int_equal(reason->http_status, rows[i].status);
        if (rows[i].error)
            assert_string_equal(reason->oauth_error, rows[i].error);
        else
            assert_null(reason->oauth_error);
    }
}

static void refusals_stand_in_the_order_of_the_checks(void **state)
{
    (void)state;
    for (size_t i = 0; i < row_count; i++)
        assert_int_equal(rows[i].rv, TR_REFUSED_FIRST + (int)i);
}

static void assert_rfc6749_text(const char *text)
{
    assert_non_null(text);
    assert_true(*text);
    for (; *text; text++)
        assert_true((*text >= 0x20 && *text <= 0x7e) && *text != '"' && *text != '\\');
}

static void public_text_keeps_to_the_characters_of_rfc_6749(void **state)
{
    (void)state;
    for (size_t i = 0; i < row_count; i++) {
        assert_rfc6749_text(tr_reason(rows[i].rv)->sentence);
        assert_rfc6749_text(tr_reason(rows[i].rv)->message);
    }
    assert_rfc6749_text(tr_reason(APR_EGENERAL)->message);
    assert_rfc6749_text(tr_reason_forbidden()->message);
    assert_rfc6749_text(tr_reason_forbidden()->sentence);
}

static void only_a_revoked_token_has_an_error_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < row_count; i++) {
        const tr_reason_t *reason = tr_reason(rows[i].rv);
        if (rows[i].rv == TR_REVOKED)
            assert_string_equal(reason->error_type, "RevokedTokenError");
        else
            assert_null(reason->error_type);
    }
    assert_string_equal(tr_reason(TR_REVOKED)->sentence, "The token was revoked");
    assert_string_equal(tr_reason(TR_REVOKED)->message, "Invalid token");
    assert_string_equal(tr_reason(TR_NO_TOKEN)->message, "Missing token");
}

static void every_failure_is_unavailable(void **state)
{
    static const apr_status_t failures[] = {APR_EGENERAL, APR_ENOMEM, APR_ENOSPC,           APR_EINVAL,          APR_NOTFOUND,
                                            APR_EOF,      -1,         TR_REFUSED_FIRST - 1, TR_REFUSED_LAST + 1, 0x7fffffff};
    (void)state;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        assert_false(tr_is_refusal(failures[i]));
        assert_string_equal(tr_reason(failures[i])->word, "unavailable");
        assert_int_equal(tr_reason(failures[i])->http_status, 503);
    }
}

static void success_is_no_refusal(void **state)
{
    (void)state;
    assert_false(tr_is_refusal(APR_SUCCESS));
    assert_non_null(tr_reason(APR_SUCCESS));
    for (size_t i = 0; i < row_count; i++)
        assert_true(tr_is_refusal(rows[i].rv));
}

static void a_requirement_that_is_not_met_is_insufficient_scope(void **state)
{
    (void)state;
    assert_int_equal(tr_reason_forbidden()->http_status, 403);
    assert_string_equal(tr_reason_forbidden()->oauth_error, "insufficient_scope");
    assert_string_equal(tr_reason_forbidden()->word, "insufficient_scope");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(each_refusal_has_its_word_status_and_error),
        TT_TEST(refusals_stand_in_the_order_of_the_checks),
        TT_TEST(public_text_keeps_to_the_characters_of_rfc_6749),
        TT_TEST(only_a_revoked_token_has_an_error_type),
        TT_TEST(every_failure_is_unavailable),
        TT_TEST(success_is_no_refusal),
        TT_TEST(a_requirement_that_is_not_met_is_insufficient_scope),
    };
    return TT_RUN(tests);
}
