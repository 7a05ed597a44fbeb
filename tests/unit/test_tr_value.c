/*
 * Words of the configuration.
 */
#include "tr_value.h"

#include "tr_testing_cmocka.h"

static void an_origin_is_written_as_browsers_send_it(void **state)
{
    static const char *const good[] = {"*",
                                       "https://app.example.com",
                                       "http://localhost:8080",
                                       "https://[::1]:8443",
                                       "http://192.0.2.1",
                                       "moz-extension://0a1b",
                                       "app+x.y://host"};
    static const char *const bad[] = {"",
                                      "https",
                                      "https://",
                                      "://app.example.com",
                                      "https://app.example.com/",
                                      "https://App.example.com",
                                      "HTTPS://app.example.com",
                                      "\xc3\xa4https://app.example.com",
                                      " https://app.example.com",
                                      "1https://app.example.com",
                                      "https:/app.example.com",
                                      "https://a b",
                                      "https://user@app.example.com",
                                      "x https://app.example.com",
                                      "**"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(tr_is_origin(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tr_is_origin(bad[i]));
}

static void a_number_is_digits_and_nothing_else(void **state)
{
    static const char *const bad[] = {"", "0", "-1", "+1", " 1", "1 ", "1x", "0x10", "1.0", "101", "18446744073709551617"};
    uint32_t n = 7;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tr_value_number(&n, bad[i], 100));
    assert_int_equal(n, 7);
    assert_true(tr_value_number(&n, "100", 100) && n == 100);
    assert_true(tr_value_number(&n, "007", 100) && n == 7);
    assert_true(tr_value_number(&n, "4294967295", UINT32_MAX) && n == UINT32_MAX);
}

static void a_duration_is_a_number_with_a_unit(void **state)
{
    static const struct {
        const char *text;
        int64_t s;
    } good[] = {{"0", 0},
                {"30", 30},
                {"30s", 30},
                {"5m", 300},
                {"12H", 43200},
                {"7d", 604800},
                {"2min", 120},
                {"36500d", 3153600000},
                {"3153600000", 3153600000}};
    static const char *const bad[] = {
        "", "s", "-1", "+5s", "1w", "1 s", "1s ", "1.5h", "36501d", "3153600001", "99999999999999999999"};
    int64_t s = -1;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_null(tr_value_duration(&s, good[i].text, *state));
        assert_true(s == good[i].s);
    }
    s = -1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(tr_value_duration(&s, bad[i], *state));
    assert_true(s == -1);
}

static void a_source_is_a_kind_and_a_name(void **state)
{
    static const struct {
        const char *text;
        tr_source_kind_t kind;
        const char *name;
    } good[] = {{"Header", TR_FROM_AUTHORIZATION, "Authorization"},
                {"header=X-Token", TR_FROM_HEADER, "X-Token"},
                {"COOKIE=__Host-s", TR_FROM_COOKIE, "__Host-s"},
                {"query=access_token", TR_FROM_QUERY, "access_token"},
                {"form=t", TR_FROM_FORM, "t"}};
    static const char *const bad[] = {"",
                                      "headers",
                                      "cookie",
                                      "cookie=",
                                      "cookie=a b",
                                      "query=a=b",
                                      "form=a;",
                                      "body=t",
                                      "header=Cookie",
                                      "header=authorization",
                                      "query=\xc3\xa4"};
    tr_source_t source;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_null(tr_value_source(&source, good[i].text, *state));
        assert_int_equal(source.kind, good[i].kind);
        assert_string_equal(source.name, good[i].name);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(tr_value_source(&source, bad[i], *state));
}

static void names_of_fields_are_folded_and_those_of_cookies_are_not(void **state)
{
    const tr_source_t field = {TR_FROM_HEADER, "X-Token"}, same = {TR_FROM_HEADER, "x-token"};
    const tr_source_t cookie = {TR_FROM_COOKIE, "X-Token"}, other = {TR_FROM_COOKIE, "x-token"};
    (void)state;
    assert_true(tr_source_eq(&field, &same));
    assert_false(tr_source_eq(&cookie, &other));
    assert_false(tr_source_eq(&field, &cookie));
}

static void site_data_is_what_browsers_know(void **state)
{
    const char *value = NULL;
    assert_null(tr_value_site_data(&value, " cookies,\t\"Storage\" executioncontexts , *", *state));
    assert_string_equal(value, "\"cookies\", \"storage\", \"executionContexts\", \"*\"");
    assert_non_null(tr_value_site_data(&value, "cookies, sessions", *state));
    assert_non_null(tr_value_site_data(&value, " , ", *state));
    assert_non_null(tr_value_site_data(&value, "\"cookies", *state));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(an_origin_is_written_as_browsers_send_it),
        TT_TEST(a_number_is_digits_and_nothing_else),
        TT_TEST(a_duration_is_a_number_with_a_unit),
        TT_TEST(a_source_is_a_kind_and_a_name),
        TT_TEST(names_of_fields_are_folded_and_those_of_cookies_are_not),
        TT_TEST(site_data_is_what_browsers_know),
    };
    return TT_RUN(tests);
}
