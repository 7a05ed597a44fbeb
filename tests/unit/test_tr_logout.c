/*
 * Where logout leads (no open redirects, state unchanged), which tokens it takes, and the page that asks first.
 */
#include "tr_logout.h"

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_testing_cmocka.h"

#define CALLBACK "https://app.test/done?from=here#top"

static apr_array_header_t *targets(apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_make(pool, 3, sizeof(const char *));
    APR_ARRAY_PUSH(list, const char *) = "/bye.html";
    APR_ARRAY_PUSH(list, const char *) = "https://app.test/done";
    APR_ARRAY_PUSH(list, const char *) = CALLBACK;
    return list;
}

static void expect_target(apr_pool_t *pool, const char *asked, const char *state, const char *want)
{
    assert_string_equal(tr_logout_target(targets(pool), tr_str_z(asked), tr_str_z(state), pool), want);
}

static void without_a_wish_the_first_target_counts_and_state_stays_here(void **state)
{
    expect_target(*state, "", "", "/bye.html");
    expect_target(*state, "", "xyz", "/bye.html");
    expect_target(*state, "https://evil.test/", "xyz", "/bye.html");
    assert_null(tr_logout_target(NULL, tr_str_z("https://evil.test/"), tr_str_z("x"), *state));
    assert_null(tr_logout_target(apr_array_make(*state, 1, sizeof(char *)), tr_str(NULL, 0), tr_str(NULL, 0), *state));
}

static void a_configured_target_may_be_named_byte_for_byte(void **state)
{
    static const char *const near[] = {
        "https://app.test/done/",         "https://app.test/don",          "https://app.test/done?",
        "https://app.test/done#",         "https://app.test/Done",         "HTTPS://app.test/done",
        "https://APP.test/done",          "https://app.test:443/done",     "https://app.test/done?x=1",
        "https://app.test//done",         "https://app.test/./done",       "https://app.test/d%6Fne",
        "https://x@app.test/done",        "https://app.test/done\r\nX: y", " https://app.test/done",
        "https://app.test/done ",         "http://app.test/done",          "https://app.test/done%00",
        "https://app.test/done?from=here"};
    expect_target(*state, "https://app.test/done", "", "https://app.test/done");
    expect_target(*state, CALLBACK, "", CALLBACK);
    expect_target(*state, "/bye.html", "", "/bye.html");
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        expect_target(*state, near[i], "s", "/bye.html");
}

static void a_path_on_this_host_is_followed(void **state)
{
    static const char *const paths[] = {
        "/",           "/a/b", "/a?x=1&y=2",   "/a#b",   "/a;b/..",    "/%2F%2Fevil.test", "/%5Cevil.test",
        "/@evil.test", "/:80", "/a/%0d%0aX:y", "/..;/x", "/.evil.test"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        expect_target(*state, paths[i], "", paths[i]);
    assert_string_equal(tr_logout_target(NULL, tr_str_z("/a"), tr_str_z("b"), *state), "/a?state=b");
}

static void what_leads_away_is_not_followed(void **state)
{
    static const char *const away[] = {"//evil.test",
                                       "///evil.test",
                                       "////evil.test",
                                       "/\\evil.test",
                                       "\\/evil.test",
                                       "\\\\evil.test",
                                       "/a\\b",
                                       "/a//b",
                                       "/.//evil.test",
                                       "/a/..//evil.test",
                                       "/?to=//evil.test",
                                       "/\t/evil.test",
                                       "/\n/evil.test",
                                       "/\r/evil.test",
                                       "\t//evil.test",
                                       " //evil.test",
                                       " /a",
                                       "/a\r\nLocation: https://evil.test",
                                       "/a\x7f",
                                       "/\xc2\x85/evil.test",
                                       "/a\x1b",
                                       "evil.test",
                                       "./a",
                                       "../a",
                                       "?a",
                                       "#a",
                                       "https:evil.test",
                                       "https:/evil.test",
                                       "http:evil.test",
                                       "https:///evil.test",
                                       "https://evil.test/bye.html",
                                       "javascript:alert(1)",
                                       "data:text/html,x",
                                       "%2F%2Fevil.test",
                                       "%2Fa",
                                       "https://app.test/done@evil.test",
                                       "https://app.test.evil.test/done",
                                       "https://app.test/done\\@evil.test"};
    for (size_t i = 0; i < sizeof away / sizeof *away; i++) {
        assert_false(tr_logout_accepts(targets(*state), tr_str_z(away[i])));
        expect_target(*state, away[i], "s", "/bye.html");
    }
    assert_false(tr_logout_accepts(NULL, tr_str("/a\0b", 4)));
    assert_false(tr_logout_accepts(NULL, tr_str(NULL, 0)));
}

static void state_goes_into_the_query_and_before_the_fragment(void **state)
{
    expect_target(*state, "/a", "x", "/a?state=x");
    expect_target(*state, "/a?", "x", "/a?state=x");
    expect_target(*state, "/a?b=1", "x", "/a?b=1&state=x");
    expect_target(*state, "/a?b=1&", "x", "/a?b=1&state=x");
    expect_target(*state, "/a#b", "x", "/a?state=x#b");
    expect_target(*state, "/a?#b?", "x", "/a?state=x#b?");
    expect_target(*state, CALLBACK, "x", "https://app.test/done?from=here&state=x#top");
}

static void every_byte_of_state_comes_back(void **state)
{
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    const char *target = tr_logout_target(NULL, tr_str_z("/a"), tr_str(all, sizeof all), *state);
    assert_memory_equal(target, "/a?state=", 9);
    for (const char *p = target; *p; p++)
        assert_true(*p > 0x20 && *p < 0x7f && strchr("\"<>\\^`{|}", *p) == NULL);
    size_t at = 0;
    for (const char *p = target + 9; *p; p++, at++) {
        int byte = *p == '%' ? (int)strtol(apr_pstrndup(*state, p + 1, 2), NULL, 16) : (unsigned char)*p;
        assert_int_equal(byte, at);
        p += *p == '%' ? 2 : 0;
    }
    assert_int_equal(at, 256);
    expect_target(*state, "/a", "a+b c&d=e#f%20", "/a?state=a%2Bb%20c%26d%3De%23f%2520");
}

static void a_path_gets_into_the_header_as_uri_characters_only(void **state)
{
    expect_target(*state, "/\xc3\xbc b\"<>", "", "/%C3%BC%20b%22%3C%3E");
    expect_target(*state, "/\xff", "", "/%FF");
}

static void a_target_of_the_configuration_is_checked(void **state)
{
    static const char *const good[] = {"/",
                                       "/bye.html",
                                       "/a?b=c#d",
                                       "https://a.test",
                                       "http://a.test/x",
                                       "HTTPS://a.test:8443/%2f",
                                       "https://[::1]/",
                                       "com.example.app:/done",
                                       "https://a.test/?to=https://b.test/x@y"};
    static const char *const bad[] = {"",
                                      "//a.test",
                                      "/a//b",
                                      "bye.html",
                                      "https:",
                                      "https://",
                                      "https:a",
                                      "https:/a.test",
                                      "https:///a.test",
                                      "https://?x",
                                      "https://u@a.test",
                                      "https://u:p@a.test/",
                                      "/a b",
                                      "/a\\b",
                                      "/a\n",
                                      "/\xc3\xa9",
                                      "/a%2",
                                      "/a%zz",
                                      "mailto:",
                                      "javascript:alert(1)",
                                      "data:,x",
                                      "1.2:x",
                                      "https://:80/",
                                      "com.example.app:",
                                      "/{a}",
                                      "?x",
                                      "#x",
                                      "ftp://a.test/",
                                      "a.b/c:d"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const char *why = "";
        if (tr_logout_check_target(&why, good[i]) != APR_SUCCESS)
            fail_msg("%s: %s", good[i], why);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *why = NULL;
        if (tr_logout_check_target(&why, bad[i]) != APR_EINVAL)
            fail_msg("taken: %s", bad[i]);
        assert_true(why != NULL && *why != '\0');
    }
}

static void tokens_are_counted_once_each_and_sixteen_are_enough(void **state)
{
    apr_array_header_t *tokens = apr_array_make(*state, 1, sizeof(tr_str_t));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < TR_MAX_LOGOUT_TOKENS; i++)
            assert_true(tr_logout_add_token(tokens, tr_str_z(tt_print(*state, "t%d", i))));
        assert_true(tr_logout_add_token(tokens, tr_str(NULL, 0)));
    }
    assert_int_equal(tokens->nelts, TR_MAX_LOGOUT_TOKENS);
    assert_false(tr_logout_add_token(tokens, tr_str_z("one more")));
    assert_true(tr_logout_add_token(tokens, tr_str_z("t3")));
    assert_int_equal(tokens->nelts, TR_MAX_LOGOUT_TOKENS);
}

static void what_html_could_misread_is_escaped(void **state)
{
    assert_string_equal(tr_logout_escape(tr_str_z("a&b<c>d\"e'f\r\n"), *state), "a&amp;b&lt;c&gt;d&quot;e&#39;f&#13;&#10;");
    assert_string_equal(tr_logout_escape(tr_str(NULL, 0), *state), "");
    assert_string_equal(tr_logout_escape(tr_str_z("&amp;"), *state), "&amp;amp;");
}

static void the_address_to_post_to_stays_on_this_host(void **state)
{
    assert_string_equal(tr_logout_action("/logout", *state), "/logout");
    assert_string_equal(tr_logout_action("//evil.test/logout", *state), "/evil.test/logout");
    assert_string_equal(tr_logout_action("/\\evil.test", *state), "/evil.test");
    assert_string_equal(tr_logout_action("\\//\\evil.test", *state), "/evil.test");
    assert_string_equal(tr_logout_action("/a%20b/c;d", *state), "/a%20b/c;d");
    assert_string_equal(tr_logout_action("/a?b#c\"<\t\\", *state), "/a%3Fb%23c%22%3C%09%5C");
    assert_string_equal(tr_logout_action("", *state), "/");
}

static void places_of_the_template_are_filled_in_wherever_they_stand(void **state)
{
    assert_string_equal(
        tr_logout_page("<a {action}>{fields}|{action}{other}{", "/x?a&b", tr_str(NULL, 0), tr_str(NULL, 0), *state),
        "<a /x?a&amp;b>|/x?a&amp;b{other}{");
    assert_string_equal(tr_logout_page("{fields}", "/", tr_str_z("/\"><script>"), tr_str_z("'&{action}"), *state),
                        "<input type=\"hidden\" name=\"post_logout_redirect_uri\" value=\"/&quot;&gt;&lt;script&gt;\">"
                        "<input type=\"hidden\" name=\"state\" value=\"&#39;&amp;{action}\">");
    assert_string_equal(tr_logout_page("a{action", "/", tr_str(NULL, 0), tr_str(NULL, 0), *state), "a{action");
    assert_string_equal(tr_logout_page("", "/", tr_str(NULL, 0), tr_str(NULL, 0), *state), "");
}

static void expect_page_refused(apr_pool_t *pool, tr_str_t page, const char *part)
{
    const char *why = NULL;
    assert_int_equal(tr_logout_check_page(&why, page, pool), APR_EINVAL);
    if (why == NULL || strstr(why, part) == NULL)
        fail_msg("not about %s: %s", part, why);
}

static void a_template_that_cannot_log_out_is_refused(void **state)
{
    static const char *const good[] = {"<form method=post action={action}>{fields}",
                                       "<form action='{action}' METHOD = \"Post\">{fields}",
                                       "method method=get <form\nmethod\n=\n'post' action=\"{action}\">{fields}{fields}"};
    const char *why;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(tr_logout_check_page(&why, tr_str_z(good[i]), *state), APR_SUCCESS);
    expect_page_refused(*state, tr_str(NULL, 0), "{action}");
    expect_page_refused(*state, tr_str_z("<form method=post>{fields}"), "{action}");
    expect_page_refused(*state, tr_str_z("<form method=post action={action}>"), "{fields}");
    expect_page_refused(*state, tr_str_z("<form action={action}>{fields}"), "post");
    expect_page_refused(*state, tr_str_z("<form method=get action={action}>{fields} post"), "post");
    expect_page_refused(*state, tr_str("<form method=post action={action}>{fields}\0", 43), "NUL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(without_a_wish_the_first_target_counts_and_state_stays_here),
        TT_TEST(a_configured_target_may_be_named_byte_for_byte),
        TT_TEST(a_path_on_this_host_is_followed),
        TT_TEST(what_leads_away_is_not_followed),
        TT_TEST(state_goes_into_the_query_and_before_the_fragment),
        TT_TEST(every_byte_of_state_comes_back),
        TT_TEST(a_path_gets_into_the_header_as_uri_characters_only),
        TT_TEST(a_target_of_the_configuration_is_checked),
        TT_TEST(tokens_are_counted_once_each_and_sixteen_are_enough),
        TT_TEST(what_html_could_misread_is_escaped),
        TT_TEST(the_address_to_post_to_stays_on_this_host),
        TT_TEST(places_of_the_template_are_filled_in_wherever_they_stand),
        TT_TEST(a_template_that_cannot_log_out_is_refused),
    };
    return TT_RUN(tests);
}
