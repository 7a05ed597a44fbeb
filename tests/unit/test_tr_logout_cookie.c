/*
 * The Set-Cookie that makes a browser forget a cookie: what it says, and what the configuration may say.
 */
#include "tr_logout.h"

#include "tr_testing_cmocka.h"

#define GONE "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"

static void expect(apr_pool_t *pool, const char *spec, bool https, const char *want)
{
    const char *why = NULL;
    if (tr_logout_check_cookie(&why, spec) != APR_SUCCESS)
        fail_msg("%s: %s", spec, why);
    assert_string_equal(tr_logout_set_cookie(spec, https, false, pool), want);
}

static void expect_refused(const char *spec, const char *part)
{
    const char *why = NULL;
    if (tr_logout_check_cookie(&why, spec) != APR_EINVAL)
        fail_msg("taken: %s", spec);
    assert_non_null(why);
    if (strstr(why, part) == NULL)
        fail_msg("%s: not about %s: %s", spec, part, why);
}

static void a_name_alone_has_the_path_of_everything(void **state)
{
    expect(*state, "session", false, "session=; Path=/" GONE "; HttpOnly");
    expect(*state, "session", true, "session=; Path=/" GONE "; HttpOnly; Secure");
    expect(*state, " session ;; ", false, "session=; Path=/" GONE "; HttpOnly");
    expect(*state, "a!#$%&'*+-.^_`|~9", false, "a!#$%&'*+-.^_`|~9=; Path=/" GONE "; HttpOnly");
}

static void the_attributes_it_was_set_with_are_kept(void **state)
{
    expect(*state, "s;Path=/app;Domain=example.com", false, "s=; Path=/app; Domain=example.com" GONE "; HttpOnly");
    expect(*state, "s; path=/a b=c ; DOMAIN=.example.com; secure; httponly", false,
           "s=; Path=/a b=c; Domain=.example.com" GONE "; HttpOnly; Secure");
    expect(*state, "s;SameSite=Strict;Priority=High", false, "s=; Path=/" GONE "; SameSite=Strict; Priority=High; HttpOnly");
    expect(*state, "s;SameSite=lax", true, "s=; Path=/" GONE "; SameSite=lax; HttpOnly; Secure");
}

static void what_browsers_take_only_with_secure_has_it_over_http_too(void **state)
{
    expect(*state, "__Host-s", false, "__Host-s=; Path=/" GONE "; HttpOnly; Secure");
    expect(*state, "__Host-s;Path=/;Secure", false, "__Host-s=; Path=/" GONE "; HttpOnly; Secure");
    expect(*state, "__secure-s;Path=/x;Domain=a.b", false, "__secure-s=; Path=/x; Domain=a.b" GONE "; HttpOnly; Secure");
    expect(*state, "__Http-s", false, "__Http-s=; Path=/" GONE "; HttpOnly; Secure");
    expect(*state, "s;SameSite=None", false, "s=; Path=/" GONE "; SameSite=None; HttpOnly; Secure");
    expect(*state, "s;Partitioned", false, "s=; Path=/" GONE "; HttpOnly; Secure; Partitioned");
}

static void a_page_of_another_site_may_clear_only_with_samesite_none(void **state)
{
    assert_string_equal(tr_logout_set_cookie("s", true, true, *state), "s=; Path=/" GONE "; SameSite=None; HttpOnly; Secure");
    assert_string_equal(tr_logout_set_cookie("s;SameSite=Lax", true, true, *state),
                        "s=; Path=/" GONE "; SameSite=Lax; HttpOnly; Secure");
}

static void a_name_that_no_cookie_can_have_is_refused(void **state)
{
    static const char *const names[] = {
        "", ";", " ;Path=/", "a b", "a=b", "session=", "=x", "a,b", "a\"", "a\tb", "\xc3\xa9", "a(b"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        expect_refused(names[i], "name");
}

static void attributes_that_cannot_be_right_are_refused(void **state)
{
    (void)state;
    expect_refused("s;Max-Age=0", "attributes");
    expect_refused("s;Expires=Thu, 01 Jan 1970 00:00:00 GMT", "attributes");
    expect_refused("s;Pfad=/", "attributes");
    expect_refused("s;=", "attributes");
    expect_refused("s;Path", "Path");
    expect_refused("s;Path=", "Path");
    expect_refused("s;Path=app", "Path= begins");
    expect_refused("s;Path=/a;Path=/b", "once");
    expect_refused("s;Domain=", "Domain");
    expect_refused("s;Domain=a b", "Domain=");
    expect_refused("s;Domain=https://a.test", "Domain=");
    expect_refused("s;Domain=a.test:80", "Domain=");
    expect_refused("s;Secure=1", "Secure");
    expect_refused("s;Secure;secure", "once");
    expect_refused("s;SameSite=Loose", "SameSite=");
    expect_refused("s;SameSite", "SameSite");
    expect_refused("s;Priority=1", "Priority=");
    expect_refused("__Host-s;Path=/app", "__Host-");
    expect_refused("__host-s;Domain=a.test", "__Host-");
}

static void nothing_that_could_end_the_header_line_is_taken(void **state)
{
    (void)state;
    expect_refused("s;Path=/a\r\nX: y", "control");
    expect_refused("s;Path=/a\nb", "control");
    expect_refused("s;Path=/\x7f", "control");
    expect_refused("s;Path=/\xc2\x85", "control");
    expect_refused("s\r\n", "name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_name_alone_has_the_path_of_everything),
        TT_TEST(the_attributes_it_was_set_with_are_kept),
        TT_TEST(what_browsers_take_only_with_secure_has_it_over_http_too),
        TT_TEST(a_page_of_another_site_may_clear_only_with_samesite_none),
        TT_TEST(a_name_that_no_cookie_can_have_is_refused),
        TT_TEST(attributes_that_cannot_be_right_are_refused),
        TT_TEST(nothing_that_could_end_the_header_line_is_taken),
    };
    return TT_RUN(tests);
}
