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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(an_origin_is_written_as_browsers_send_it),
        TT_TEST(a_number_is_digits_and_nothing_else),
        TT_TEST(a_duration_is_a_number_with_a_unit),
    };
    return TT_RUN(tests);
}
