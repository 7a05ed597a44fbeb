/*
 * Request bodies: application/x-www-form-urlencoded (RFC 6749 appendix B) and JSON.
 */
#include "tr_oauth.h"

#include <stdio.h>

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_testing_cmocka.h"

static tr_params_t *form(tr_str_t body, apr_pool_t *pool)
{
    tr_params_t *params = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_params_from_form(&params, &why, body, pool);
    if (rv != APR_SUCCESS)
        fail_msg("refused (%s): %.*s", why ? why : "no reason", (int)body.len, body.data);
    return params;
}

static void expect_form_refused(tr_str_t body, apr_pool_t *pool)
{
    tr_params_t *params = NULL;
    const char *why = NULL;
    if (tr_params_from_form(&params, &why, body, pool) != APR_EINVAL)
        fail_msg("accepted: %.*s", (int)body.len, body.data);
    assert_non_null(why);
    assert_true(*why);
}

static tr_params_t *json(const char *body, apr_pool_t *pool)
{
    tr_params_t *params = NULL;
    const char *why = NULL;
    if (tr_params_from_json(&params, &why, tr_str_z(body), pool) != APR_SUCCESS)
        fail_msg("refused (%s): %s", why ? why : "no reason", body);
    return params;
}

static void expect_json_refused(tr_str_t body, apr_pool_t *pool)
{
    tr_params_t *params = NULL;
    const char *why = NULL;
    if (tr_params_from_json(&params, &why, body, pool) != APR_EINVAL)
        fail_msg("accepted: %.*s", (int)body.len, body.data);
    assert_non_null(why);
}

static void expect_param(const tr_params_t *params, const char *name, const char *want)
{
    tr_str_t value;
    assert_int_equal(tr_params_get(&value, params, name), APR_SUCCESS);
    assert_str_is(value, want);
}

static void expect_none(const tr_params_t *params, const char *name)
{
    tr_str_t value;
    assert_int_equal(tr_params_get(&value, params, name), APR_NOTFOUND);
}

static void the_media_type_alone_decides(void **state)
{
    static const char *forms[] = {"application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded;charset=UTF-8",
                                  "application/x-www-form-urlencoded ; charset=utf-8", "application/x-www-form-urlencoded;"};
    static const char *jsons[] = {"application/json", "APPLICATION/JSON", "application/json; charset=utf-8",
                                  "application/json;x=\"y\""};
    static const char *others[] = {NULL,
                                   "",
                                   "text/plain",
                                   "multipart/form-data; boundary=x",
                                   "application/x-www-form-urlencodedX",
                                   "application/jsonx",
                                   "application/jso",
                                   "json",
                                   "application/jwt",
                                   "application",
                                   ";application/json",
                                   "application/json,application/json",
                                   "text/json",
                                   "application/json x"};
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        assert_int_equal(tr_body_type(forms[i]), TR_BODY_FORM);
    for (size_t i = 0; i < sizeof jsons / sizeof *jsons; i++)
        assert_int_equal(tr_body_type(jsons[i]), TR_BODY_JSON);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (tr_body_type(others[i]) != TR_BODY_OTHER)
            fail_msg("%s", others[i]);
    }
}

static void form_values_are_decoded(void **state)
{
    tr_params_t *params =
        form(tr_str_z("token=a.b-c_d&reason=a+b%20c%2Bd%26e%3Df&%74ype=%C3%A9&n=%e2%82%ac&x=a=b&y=%25"), *state);
    expect_param(params, "token", "a.b-c_d");
    expect_param(params, "reason", "a b c+d&e=f");
    expect_param(params, "type", "\xc3\xa9");
    expect_param(params, "n", "\xe2\x82\xac");
    expect_param(params, "x", "a=b");
    expect_param(params, "y", "%");
    expect_none(params, "absent");
    expect_none(params, "Token");
    expect_none(params, "toke");
}

static void an_empty_value_is_none(void **state)
{
    expect_none(form(tr_str_z("token="), *state), "token");
    expect_none(form(tr_str_z("token"), *state), "token");
    expect_none(form(tr_str_z(""), *state), "token");
    expect_none(form(tr_str(NULL, 0), *state), "token");
    expect_none(form(tr_str_z("a=1"), *state), "token");
    expect_none(json("{\"token\":\"\"}", *state), "token");
    expect_none(json("{}", *state), "token");
}

static void a_body_of_separators_alone_is_no_crash(void **state)
{
    static const char *bodies[] = {"&", "&&&&", "=", "&=", "=&", "&token=x&"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        tr_params_t *params = NULL;
        const char *why = NULL;
        apr_status_t rv = tr_params_from_form(&params, &why, tr_str_z(bodies[i]), *state);
        assert_true(rv == APR_SUCCESS || rv == APR_EINVAL);
    }
}

static void a_semicolon_separates_nothing(void **state)
{
    tr_params_t *params = form(tr_str_z("a=1;token=x"), *state);
    expect_param(params, "a", "1;token=x");
    expect_none(params, "token");
}

static void repeated_names_are_refused(void **state)
{
    static const char *bad[] = {"token=a&token=b", "token=a&token=a",   "token=&token=a", "token&token",
                                "x=1&token=a&x=2", "token=a&t%6Fken=b", "a+b=1&a%20b=2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_form_refused(tr_str_z(bad[i]), *state);
    form(tr_str_z("token=a&Token=b&token2=c"), *state);
}

static void broken_escapes_are_refused(void **state)
{
    static const char *bad[] = {"token=%", "token=%4", "token=%zz",     "token=%4g", "token=%g4",  "token=a%",
                                "%=a",     "%zz=a",    "token=a&x=%-1", "token=%%",  "token=% 41", "token=%+1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_form_refused(tr_str_z(bad[i]), *state);
    expect_form_refused(tr_str("token=%41", 8), *state);
    expect_form_refused(tr_str("token=%41", 7), *state);
}

static void nul_is_refused_in_every_spelling(void **state)
{
    expect_form_refused(tr_str_z("token=a%00b"), *state);
    expect_form_refused(tr_str_z("tok%00en=a"), *state);
    expect_form_refused(tr_str("token=a\0b", 9), *state);
    expect_form_refused(tr_str("token=ab&x\0=1", 13), *state);
    expect_json_refused(tr_str_z("{\"token\":\"a\\u0000b\"}"), *state);
    expect_json_refused(tr_str("{\"token\":\"ab\"}\0", 15), *state);
}

static void sixty_four_parameters_are_enough(void **state)
{
    char *body = tt_print(*state, "token=x"), *members = tt_print(*state, "\"token\":\"x\"");
    for (int i = 1; i < TR_MAX_PARAMS; i++) {
        body = tt_print(*state, "%s&p%d=%d", body, i, i);
        members = tt_print(*state, "%s,\"p%d\":\"%d\"", members, i, i);
    }
    expect_param(form(tr_str_z(body), *state), "p63", "63");
    expect_form_refused(tr_str_z(tt_print(*state, "%s&one=more", body)), *state);
    expect_param(json(tt_print(*state, "{%s}", members), *state), "p63", "63");
    expect_json_refused(tr_str_z(tt_print(*state, "{%s,\"one\":\"more\"}", members)), *state);
}

static void decoding_is_strict_and_exact(void **state)
{
    tr_str_t out;
    assert_int_equal(tr_form_decode(&out, tr_str_z("a+b%2B%2b"), *state), APR_SUCCESS);
    assert_str_is(out, "a b++");
    assert_int_equal(tr_form_decode(&out, tr_str("abc%41", 3), *state), APR_SUCCESS);
    assert_str_is(out, "abc");
    assert_int_equal(tr_form_decode(&out, tr_str(NULL, 0), *state), APR_SUCCESS);
    assert_int_equal(out.len, 0);
    for (int byte = 1; byte < 256; byte++) {
        assert_int_equal(tr_form_decode(&out, tr_str_z(tt_print(*state, "%%%02X", byte)), *state), APR_SUCCESS);
        assert_int_equal(out.len, 1);
        assert_int_equal((unsigned char)out.data[0], byte);
    }
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            char text[3] = {'%', (char)a, (char)b};
            bool hex =
                a && b && strchr("0123456789abcdefABCDEF", a) && strchr("0123456789abcdefABCDEF", b) && !(a == '0' && b == '0');
            assert_int_equal(tr_form_decode(&out, tr_str(text, 3), *state), hex ? APR_SUCCESS : APR_EINVAL);
        }
        apr_pool_clear(*state);
    }
}

static void json_members_are_strings_when_asked_for(void **state)
{
    tr_params_t *params =
        json("{\"token\":\"a\\u00e9\",\"n\":5,\"z\":null,\"l\":[\"x\"],\"o\":{},\"b\":true,\"t\":\"\"}", *state);
    static const char *strange[] = {"n", "z", "l", "o", "b"};
    tr_str_t value;
    expect_param(params, "token", "a\xc3\xa9");
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
        assert_int_equal(tr_params_get(&value, params, strange[i]), APR_EINVAL);
    expect_none(params, "t");
    expect_none(params, "absent");
    expect_none(params, "TOKEN");
}

static void what_is_no_json_object_is_refused(void **state)
{
    static const char *bad[] = {"",
                                "[]",
                                "\"token\"",
                                "null",
                                "{",
                                "{\"token\":\"a\"",
                                "{\"token\":\"a\"}x",
                                "token=a",
                                "{\"token\":\"a\",\"token\":\"b\"}",
                                "{\"token\":\"a\",\"\\u0074oken\":\"b\"}",
                                "{\"token\":\"\xff\"}",
                                "\xef\xbb\xbf{\"token\":\"a\"}",
                                "{'token':'a'}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_json_refused(tr_str_z(bad[i]), *state);
    expect_json_refused(tr_str(NULL, 0), *state);
    expect_json_refused(tr_str_z(tt_print(*state, "{\"a\":%s%s}", tt_repeat(*state, "[", 40), tt_repeat(*state, "]", 40))),
                        *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(the_media_type_alone_decides),
        TT_TEST(form_values_are_decoded),
        TT_TEST(an_empty_value_is_none),
        TT_TEST(a_body_of_separators_alone_is_no_crash),
        TT_TEST(a_semicolon_separates_nothing),
        TT_TEST(repeated_names_are_refused),
        TT_TEST(broken_escapes_are_refused),
        TT_TEST(nul_is_refused_in_every_spelling),
        TT_TEST(sixty_four_parameters_are_enough),
        TT_TEST(decoding_is_strict_and_exact),
        TT_TEST(json_members_are_strings_when_asked_for),
        TT_TEST(what_is_no_json_object_is_refused),
    };
    return TT_RUN(tests);
}
