/*
 * Finding a cookie, and taking it away before the application sees it.
 */
#include "tr_oauth.h"

#include <apr_strings.h>

#include "tr_testing_cmocka.h"

static void expect_found(const char *field, const char *name, const char *want)
{
    tr_str_t value = {NULL, 0};
    if (!tr_cookie_find(&value, tr_str_z(field), tr_str_z(name)))
        fail_msg("%s not found in: %s", name, field);
    assert_str_is(value, want);
    assert_true(value.data >= field && value.data + value.len <= field + strlen(field));
}

static void expect_absent(const char *field, const char *name)
{
    tr_str_t value = {NULL, 0};
    if (tr_cookie_find(&value, tr_str_z(field), tr_str_z(name)))
        fail_msg("%s found in: %s", name, field);
}

static void a_cookie_is_found_wherever_it_stands(void **state)
{
    (void)state;
    expect_found("session=abc", "session", "abc");
    expect_found("a=1; session=abc", "session", "abc");
    expect_found("session=abc; b=2", "session", "abc");
    expect_found("a=1;session=abc;b=2", "session", "abc");
    expect_found("a=1;  session=abc ; b=2", "session", "abc");
    expect_found("a; session=abc", "session", "abc");
    expect_found("; ; session=abc;", "session", "abc");
    expect_found("session=a=b==", "session", "a=b==");
    expect_found("\tsession=abc\t", "session", "abc");
    expect_found("session = abc; b", "session", "abc");
}

static void two_fields_joined_by_a_comma_are_two_fields(void **state)
{
    (void)state;
    expect_found("a=1, session=abc", "session", "abc");
    expect_found("session=abc, a=1", "session", "abc");
    expect_found("a=1; b=2, c=3; session=abc", "session", "abc");
    expect_found("session=one, session=two", "session", "one");
}

static void names_are_whole_and_case_sensitive(void **state)
{
    (void)state;
    expect_absent("Session=abc", "session");
    expect_absent("xsession=abc", "session");
    expect_absent("sessionx=abc", "session");
    expect_absent("a=session=abc", "session");
    expect_absent("a=\"session=abc\"", "session");
    expect_absent("session", "session");
    expect_absent("sess ion=abc", "session");
    expect_absent("", "session");
    expect_found("xsession=1; sessionx=2; session=3", "session", "3");
    expect_found("__Host-s=1; s=2", "s", "2");
}

static void the_first_of_two_counts_even_if_it_is_empty(void **state)
{
    (void)state;
    expect_found("session=one; session=two", "session", "one");
    expect_absent("session=; session=two", "session");
    expect_absent("session=", "session");
    expect_absent("session=\"\"", "session");
}

static void quotes_around_the_value_go(void **state)
{
    (void)state;
    expect_found("session=\"abc\"; a=1", "session", "abc");
    expect_found("a=1; session=\"abc\"", "session", "abc");
}

static void no_field_at_all_holds_no_cookie(void **state)
{
    tr_str_t value;
    assert_false(tr_cookie_find(&value, tr_str(NULL, 0), tr_str_z("session")));
    assert_false(tr_cookie_find(&value, tr_str("session=abc", 7), tr_str_z("session")));
    assert_null(tr_cookie_strip(tr_str(NULL, 0), tr_str_z("session"), *state));
}

static void every_cookie_of_the_name_is_taken_away(void **state)
{
    static const char *const fields[] = {"session=abc; a=1; b=2",          "a=1; session=abc; b=2", "a=1; b=2; session=abc",
                                         "session=x; a=1; session=y; b=2", "a=1, session=abc; b=2", "session=\"abc\"; a=1; b=2",
                                         "session=; a=1; b=2; session=z",  "a=1;session=abc;b=2",   "a=1; b=2, session=abc",
                                         "session=abc, a=1; b=2",          "session; a=1; b=2"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char *left = tr_cookie_strip(tr_str_z(fields[i]), tr_str_z("session"), *state);
        assert_non_null(left);
        expect_absent(left, "session");
        expect_found(left, "a", "1");
        expect_found(left, "b", "2");
        assert_null(strstr(left, "abc"));
    }
}

static void nothing_is_left_of_a_field_that_held_no_other(void **state)
{
    static const char *const fields[] = {"session=abc", "session=abc; session=x", "session=abc;", " session=abc ",
                                         "session=a, session=b"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        assert_null(tr_cookie_strip(tr_str_z(fields[i]), tr_str_z("session"), *state));
}

static void other_cookies_keep_their_bytes(void **state)
{
    char *left = tr_cookie_strip(tr_str_z("a=\"x y\"; session=abc; Session=2; xsession=3; c=4=5"), tr_str_z("session"), *state);
    expect_found(left, "a", "x y");
    assert_non_null(strstr(left, "a=\"x y\""));
    expect_found(left, "Session", "2");
    expect_found(left, "xsession", "3");
    expect_found(left, "c", "4=5");
    left = tr_cookie_strip(tr_str_z("a=1; b=2"), tr_str_z("session"), *state);
    expect_found(left, "a", "1");
    expect_found(left, "b", "2");
}

static void all_cookies_of_one_name_are_found_in_turn(void **state)
{
    tr_str_t field = tr_str_z("a=1; session=one, session=; xsession=x; session=\"two\"; session");
    tr_str_t rest = field, value = {NULL, 0};
    (void)state;
    assert_true(tr_cookie_next(&value, &rest, tr_str_z("session")));
    assert_str_is(value, "one");
    assert_true(tr_cookie_next(&value, &rest, tr_str_z("session")));
    assert_int_equal(value.len, 0);
    assert_true(tr_cookie_next(&value, &rest, tr_str_z("session")));
    assert_str_is(value, "two");
    assert_false(tr_cookie_next(&value, &rest, tr_str_z("session")));
    assert_false(tr_cookie_next(&value, &rest, tr_str_z("session")));
    assert_str_is(value, "two");
    rest = tr_str(NULL, 0);
    assert_false(tr_cookie_next(&value, &rest, tr_str_z("session")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_cookie_is_found_wherever_it_stands),
        TT_TEST(two_fields_joined_by_a_comma_are_two_fields),
        TT_TEST(names_are_whole_and_case_sensitive),
        TT_TEST(the_first_of_two_counts_even_if_it_is_empty),
        TT_TEST(quotes_around_the_value_go),
        TT_TEST(no_field_at_all_holds_no_cookie),
        TT_TEST(all_cookies_of_one_name_are_found_in_turn),
        TT_TEST(every_cookie_of_the_name_is_taken_away),
        TT_TEST(nothing_is_left_of_a_field_that_held_no_other),
        TT_TEST(other_cookies_keep_their_bytes),
    };
    return TT_RUN(tests);
}
