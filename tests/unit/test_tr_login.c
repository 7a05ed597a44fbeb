/*
 * The address of a login page, and what it is told: no foreign URL, in no spelling.
 */
#include "tr_login.h"

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_testing_cmocka.h"

static void a_path_or_a_web_address_may_be_a_login_page(void **state)
{
    static const char *const good[] = {"/login",
                                       "/login?next={url}",
                                       "/{url}",
                                       "/login?rd=https://app.test{url}&x=%41#{url}",
                                       "https://sso.test",
                                       "https://sso.test/start?rd={url}",
                                       "HTTP://sso.test:8080?{url}",
                                       "http://[::1]/login"};
    const char *why;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(tr_login_check(&why, good[i], *state), APR_SUCCESS);
}

static void what_browsers_could_misread_may_not(void **state)
{
    static const char *const bad[] = {"",
                                      "login",
                                      "//sso.test/",
                                      "/\\sso.test",
                                      "/a//b",
                                      "ftp://sso.test/",
                                      "com.app:/x",
                                      "javascript:x",
                                      "https://",
                                      "https:///",
                                      "https://{url}/",
                                      "https://a{url}",
                                      "https://a{url}/",
                                      "https://u@sso.test",
                                      "https://:80/",
                                      "{url}",
                                      "{url}/x",
                                      "/a b",
                                      "/a\nb",
                                      "/a\"b",
                                      "/{urls}",
                                      "/%4",
                                      "/\xc3\xa4",
                                      "http:/x",
                                      "https:a/b",
                                      "/login\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *why = NULL;
        assert_int_equal(tr_login_check(&why, bad[i], *state), APR_EINVAL);
        assert_non_null(why);
    }
}

static void what_was_asked_for_becomes_a_path_of_this_host(void **state)
{
    static const struct {
        const char *target, *asked;
    } rows[] = {{"/a/b?c=d", "/a/b?c=d"},
                {"/", "/"},
                {"", "/"},
                {"//evil.test/x", "/evil.test/x"},
                {"/\\evil.test", "/evil.test"},
                {"\\\\/evil.test", "/evil.test"},
                {"/a//b\\c", "/a//b\\c"},
                {"http://evil.test", "/"},
                {"HTTPS://evil.test?x", "/?x"},
                {"http://evil.test//other.test/", "/other.test/"},
                {"http://u:p@evil.test:80/a?b#c", "/a?b"},
                {"/a#b?c", "/a"},
                {"/%2F/x", "/%2F/x"},
                {"https:/x", "/https:/x"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(tr_login_asked(rows[i].target, *state), rows[i].asked);
}

static void every_place_is_filled_in_and_nothing_breaks_out(void **state)
{
    assert_string_equal(tr_login_location("/l?a={url}&b={url}", "/x?y=z&{url}", *state),
                        "/l?a=%2Fx%3Fy%3Dz%26%7Burl%7D&b=%2Fx%3Fy%3Dz%26%7Burl%7D");
    assert_string_equal(tr_login_location("/l", "/x", *state), "/l");
    assert_string_equal(tr_login_location("/l?{url}", "/a b\r\n\"<\xc3\xa4%+~-._", *state),
                        "/l?%2Fa%20b%0D%0A%22%3C%C3%A4%25%2B~-._");
}

static void what_is_too_long_is_told_in_short(void **state)
{
    char *path = apr_palloc(*state, 2 * TR_MAX_LOGIN_URL_LEN + 1);
    memset(path, 'x', 2 * TR_MAX_LOGIN_URL_LEN);
    path[0] = '/';
    path[2 * TR_MAX_LOGIN_URL_LEN] = '\0';
    assert_string_equal(tr_login_location("{url}", path, *state), "%2F");
    path[4] = '?';
    assert_string_equal(tr_login_location("{url}", path, *state), "%2Fxxx");
    path[TR_MAX_LOGIN_URL_LEN] = '\0';
    assert_int_equal(strlen(tr_login_location("{url}", path, *state)), TR_MAX_LOGIN_URL_LEN + 4);
    path[TR_MAX_LOGIN_URL_LEN] = 'x';
    path[TR_MAX_LOGIN_URL_LEN + 1] = '\0';
    assert_string_equal(tr_login_location("{url}", path, *state), "%2Fxxx");
}

static void a_login_page_is_known_by_its_host_and_path(void **state)
{
    static const struct {
        const char *url, *host, *path;
        bool is_at;
    } rows[] = {{"/login?next={url}", "h", "/login", true},
                {"/login", NULL, "/login", true},
                {"/log%69n#x", "h", "/login", true},
                {"/a+b", "h", "/a+b", true},
                {"/login", "h", "/login/", false},
                {"/login", "h", "/", false},
                {"/login/{url}", "h", "/login//x", true},
                {"/login/{url}", "h", "/login", false},
                {"https://sso.test", "sso.test", "/", true},
                {"https://sso.test?{url}", "sso.test", "/", true},
                {"https://SSO.test:444/login", "sso.test", "/login", true},
                {"https://sso.test/login", "other.test", "/login", false},
                {"https://sso.test/login", NULL, "/login", false},
                {"https://sso.test/login", "sso.test", "/logins", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(tr_login_is_at(rows[i].url, rows[i].host, rows[i].path, *state), rows[i].is_at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_path_or_a_web_address_may_be_a_login_page),
        TT_TEST(what_browsers_could_misread_may_not),
        TT_TEST(what_was_asked_for_becomes_a_path_of_this_host),
        TT_TEST(every_place_is_filled_in_and_nothing_breaks_out),
        TT_TEST(what_is_too_long_is_told_in_short),
        TT_TEST(a_login_page_is_known_by_its_host_and_path),
    };
    return TT_RUN(tests);
}
