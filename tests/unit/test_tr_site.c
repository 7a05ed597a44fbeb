/*
 * Telling requests that pages of other sites make browsers send.
 */
#include "tr_site.h"

#include "tr_testing_cmocka.h"

#define HERE "www.example.com"

static void what_browsers_say_of_the_site_is_believed(void **state)
{
    (void)state;
    assert_false(tr_site_is_foreign("same-origin", NULL, "https", HERE));
    assert_false(tr_site_is_foreign("same-site", "https://other.example.com", "https", HERE));
    assert_false(tr_site_is_foreign("none", "null", "https", HERE));
    assert_true(tr_site_is_foreign("cross-site", NULL, "https", HERE));
    assert_true(tr_site_is_foreign("cross-site", "https://" HERE, "https", HERE));
}

static void what_is_said_in_other_words_is_foreign(void **state)
{
    static const char *const words[] = {
        "",         "Same-Origin", "same-origin ", "same-origin, cross-site", "same-origin, same-origin", "cross-site, none",
        "\"none\"", "same-party"};
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_true(tr_site_is_foreign(words[i], "https://" HERE, "https", HERE));
}

static void who_says_nothing_was_not_lured(void **state)
{
    (void)state;
    assert_false(tr_site_is_foreign(NULL, NULL, "http", HERE));
    assert_false(tr_site_is_foreign(NULL, NULL, "https", NULL));
}

static void the_own_origin_is_at_home_in_each_spelling_of_its_host(void **state)
{
    (void)state;
    assert_false(tr_site_is_foreign(NULL, "https://" HERE, "https", HERE));
    assert_false(tr_site_is_foreign(NULL, "http://" HERE, "http", HERE));
    assert_false(tr_site_is_foreign(NULL, "https://" HERE, "https", "WWW.Example.COM"));
    assert_false(tr_site_is_foreign(NULL, "https://" HERE, "https", HERE ":443"));
    assert_false(tr_site_is_foreign(NULL, "http://" HERE, "http", HERE ":80"));
    assert_false(tr_site_is_foreign(NULL, "https://" HERE ":8443", "https", HERE ":8443"));
    assert_false(tr_site_is_foreign(NULL, "http://[::1]:81", "http", "[::1]:81"));
    assert_false(tr_site_is_foreign(NULL, "https://" HERE, "http", HERE)); /* a proxy in front speaks TLS */
    assert_false(tr_site_is_foreign(NULL, "https://" HERE, "http", HERE ":443"));
}

static void every_other_origin_is_foreign(void **state)
{
    static const char *const origins[] = {"null",
                                          "",
                                          "https://",
                                          "https://evil.test",
                                          "https://www.example.com.evil.test",
                                          "https://evil.test/www.example.com",
                                          "https://evilwww.example.com",
                                          "https://example.com",
                                          "https://www.example.com:8443",
                                          "https://www.example.com:80",
                                          "https://www.example.com/",
                                          "https://www.example.com@evil.test",
                                          "https://www.example.com, https://evil.test",
                                          "https://www.example.com https://evil.test",
                                          "ftp://www.example.com",
                                          "www.example.com",
                                          "HTTPS://www.example.com",
                                          "//www.example.com",
                                          "http://www.example.com",
                                          "https:/www.example.com"};
    (void)state;
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++)
        if (!tr_site_is_foreign(NULL, origins[i], "https", HERE))
            fail_msg("at home: %s", origins[i]);
}

static void another_port_is_another_origin(void **state)
{
    (void)state;
    assert_false(tr_site_is_foreign(NULL, "https://" HERE ":8443", "https", HERE ":8443"));
    assert_true(tr_site_is_foreign(NULL, "https://" HERE ":8444", "https", HERE ":8443"));
    assert_true(tr_site_is_foreign(NULL, "https://" HERE ":8443", "https", HERE));
    assert_true(tr_site_is_foreign(NULL, "http://" HERE ":81", "http", HERE ":82"));
}

static void a_request_that_names_no_host_has_no_origin_of_its_own(void **state)
{
    (void)state;
    assert_true(tr_site_is_foreign(NULL, "https://" HERE, "https", NULL));
    assert_true(tr_site_is_foreign(NULL, "https://", "https", NULL));
    assert_true(tr_site_is_foreign(NULL, "http://" HERE ":443", "http", HERE));
    assert_true(tr_site_is_foreign(NULL, "https://:443", "https", HERE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(what_browsers_say_of_the_site_is_believed),
        TT_TEST(what_is_said_in_other_words_is_foreign),
        TT_TEST(who_says_nothing_was_not_lured),
        TT_TEST(the_own_origin_is_at_home_in_each_spelling_of_its_host),
        TT_TEST(every_other_origin_is_foreign),
        TT_TEST(another_port_is_another_origin),
        TT_TEST(a_request_that_names_no_host_has_no_origin_of_its_own),
    };
    return TT_RUN(tests);
}
