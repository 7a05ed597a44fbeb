/*
 * What a request to a token endpoint brings, in every spelling that some server reads.
 */
#include "tr_guard.h"

#include <apr_strings.h>

#include "tr_testing_cmocka.h"

/* A string literal with its NULs, and the same in static tables. */
#define TEXT(literal) tr_str(literal, sizeof literal - 1)
#define T(literal)                                                                                                               \
    {                                                                                                                            \
        literal, sizeof literal - 1                                                                                              \
    }

static tr_grant_t form(apr_pool_t *pool, tr_str_t text)
{
    tr_grant_t grant;
    memset(&grant, 0, sizeof grant);
    tr_grant_read_form(&grant, text, pool);
    return grant;
}

static tr_grant_t body(apr_pool_t *pool, const char *content_type, tr_str_t text)
{
    tr_grant_t grant;
    memset(&grant, 0, sizeof grant);
    tr_grant_read_body(&grant, tr_grant_body(content_type, pool), text, pool);
    return grant;
}

static bool brings(const tr_grant_t *grant, tr_str_t token)
{
    for (int i = 0; i < grant->n; i++)
        if (tr_str_eq(grant->token[i], token))
            return true;
    return false;
}

static void expect_only(const tr_grant_t *grant, const char *token)
{
    assert_null(tr_grant_fault(grant));
    assert_true(tr_grant_is_exchange(grant));
    assert_int_equal(grant->n, 1);
    assert_str_is(grant->token[0], token);
}

static void a_refresh_token_grant_is_found(void **state)
{
    tr_grant_t grant = form(*state, TEXT("grant_type=refresh_token&refresh_token=a.b-c_d~%2B%2F%3D&scope=x"));
    expect_only(&grant, "a.b-c_d~+/=");
    grant = form(*state, TEXT("refresh_token=abc&grant_type=refresh%5Ftoken"));
    expect_only(&grant, "abc");
    grant = body(*state, "application/json", TEXT("{\"grant_type\":\"refresh_token\",\"refresh_token\":\"abc\",\"n\":1e999}"));
    expect_only(&grant, "abc");
}

static void other_grants_and_requests_are_no_exchange(void **state)
{
    static const char *others[] = {"",
                                   "&&&",
                                   "=",
                                   "grant_type=refresh_token",
                                   "grant_type=refresh_token&refresh_token=",
                                   "grant_type=refresh_token&refresh_token",
                                   "grant_type=authorization_code&code=abc",
                                   "grant_type=password&refresh_token=abc",
                                   "grant_type=client_credentials&my_refresh_token=abc",
                                   "token=abc&token_type_hint=refresh_token",
                                   "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=abc"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        tr_grant_t grant = form(*state, tr_str_z(others[i]));
        assert_false(tr_grant_is_exchange(&grant));
        assert_null(tr_grant_fault(&grant));
    }
}

static void without_a_grant_type_it_may_be_an_exchange(void **state)
{
    tr_grant_t grant = form(*state, TEXT("refresh_token=abc"));
    expect_only(&grant, "abc");
    grant = form(*state, TEXT("refresh_token=abc&grant_type="));
    expect_only(&grant, "abc");
    grant = form(*state, TEXT("refresh_token=abc&grant_type=%20"));
    expect_only(&grant, "abc");
}

/* Names as PHP, ASP, Java and others fold them. */
static void names_are_folded_as_any_server_folds_them(void **state)
{
    static const tr_str_t names[] = {
        T("refresh.token"),
        T("refresh+token"),
        T("refresh%20token"),
        T("refresh[token"),
        T("refresh%5btoken"),
        T("refresh_token[]"),
        T("refresh_token[0]"),
        T("refresh_token%5B%5D"),
        T("refresh_token[a][b]"),
        T("refresh_token["),
        T("+refresh_token"),
        T("%20%09refresh_token"),
        T("refresh_token%20"),
        T("%0d%0arefresh_token%0b"),
        T("REFRESH_TOKEN"),
        T("Refresh_Token"),
        T("refreshToken"),
        T("refresh-token"),
        T("%72%65%66%72%65%73%68%5f%74%6f%6b%65%6e"),
        T("%72efresh%5Ftoken"),
        T("refresh_token%00"),
        T("refresh_token%00anything[%00"),
        T("refresh[token%00x"),
        T("refresh_token\0x"),
        T("%u0072efresh_token"),
        T("%U0072efresh_token"),
        T("refresh%u005ftoken"),
        T("%uff52efresh_token"),
        T("refre%c5%bfh_token"),
        T("refresh_to%e2%84%aaen"),
        T("[refresh_token"),
        T("refresh__token"),
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *text = apr_palloc(*state, 200);
        size_t len = (size_t)sprintf(text, "grant_type=refresh_token&");
        memcpy(text + len, names[i].data, names[i].len);
        memcpy(text + len + names[i].len, "=abc", 4);
        tr_grant_t grant = form(*state, tr_str(text, len + names[i].len + 4));
        expect_only(&grant, "abc");
    }
}

static void grant_types_are_folded_as_any_server_folds_them(void **state)
{
    static const char *types[] = {"grant_type=REFRESH_TOKEN",
                                  "grant_type=+refresh_token+",
                                  "grant_type=refresh_token%00x",
                                  "grant.type=refresh_token",
                                  "grant_type[]=refresh_token",
                                  "GrantType=Refresh_Token",
                                  "grant_type=refresh_token%0d%0a",
                                  "grant%5Ftype=%72efresh_token",
                                  "%67rant_type=refresh%u005ftoken",
                                  "grant_type=authorization_code&grant_type=refresh_token",
                                  "grant_type=refresh_token&grant_type=authorization_code",
                                  "grant_type=code;grant_type=refresh_token"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        tr_grant_t grant = form(*state, tr_str_z(tt_print(*state, "refresh_token=abc&%s", types[i])));
        assert_true(tr_grant_is_exchange(&grant));
        assert_true(brings(&grant, TEXT("abc")));
    }
}

static void every_reading_of_a_value_is_found(void **state)
{
    static const struct {
        tr_str_t raw;
        tr_str_t reading[4];
    } values[] = {
        {T("a+b"), {T("a b"), T("a+b")}},
        {T("+abc%20%0a"), {T("abc"), T(" abc \n"), T("+abc \n")}},
        {T("abc%00def"), {T("abc"), T("abc\0def")}},
        {T("+abc%00def"), {T("abc"), T(" abc"), T("abc\0def")}},
        {T("ab%0Acd"), {T("ab\ncd"), T("abcd")}},
        {T("abc+%00def"), {T("abc"), T("abc "), T("abc+")}},
        {T("a%62%63"), {T("abc")}},
        {T("a%6"), {T("a%6")}},
        {T("a%zz%"), {T("a%zz%")}},
        {T("a%u0062c"), {T("abc"), T("a%u0062c")}},
        {T("a%uff42c"), {T("abc")}},
        {T("a%u20acc"), {T("a%u20acc")}},
        {T("a=b=="), {T("a=b==")}},
        {T("%C3%A4"), {T("\xc3\xa4")}},
        {T("abc;def"), {T("abc;def"), T("abc")}},
        {T("x;refresh_token=abc"), {T("x;refresh_token=abc"), T("x"), T("abc")}},
        {T("x&amp;refresh_token=abc"), {T("x"), T("abc")}},
        {T("x&refresh_token=abc&refresh.token=def"), {T("x"), T("abc"), T("def")}},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char *text = apr_palloc(*state, 200);
        size_t len = (size_t)sprintf(text, "grant_type=refresh_token&refresh_token=");
        memcpy(text + len, values[i].raw.data, values[i].raw.len);
        tr_grant_t grant = form(*state, tr_str(text, len + values[i].raw.len));
        assert_null(tr_grant_fault(&grant));
        for (size_t k = 0; k < 4 && values[i].reading[k].len > 0; k++)
            assert_true(brings(&grant, values[i].reading[k]));
    }
}

/* One that every server reads alike has one reading, or rotation could not go on. */
static void a_plain_token_has_one_reading(void **state)
{
    static const char *plain[] = {"abc", "a.b.c", "1%2F%2F0abc", "a%2Bb%2Fc%3D%3D", "Atzr%7CIwEB", "a%25b", "a%20b", "a%3Bb"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        tr_grant_t grant = form(*state, tr_str_z(tt_print(*state, "refresh_token=%s&grant_type=refresh_token", plain[i])));
        assert_int_equal(grant.n, 1);
        assert_null(tr_grant_fault(&grant));
    }
}

static void the_same_token_twice_is_one_reading_and_too_many_are_a_fault(void **state)
{
    char *many = "grant_type=refresh_token";
    tr_grant_t grant = form(*state, TEXT("refresh_token=abc&refresh_token=%61bc&refresh_token=abc"));
    expect_only(&grant, "abc");
    for (int i = 0; i < TR_MAX_GRANT_TOKENS; i++)
        many = tt_print(*state, "%s&refresh_token=t%d", many, i);
    grant = form(*state, tr_str_z(many));
    assert_null(tr_grant_fault(&grant));
    assert_int_equal(grant.n, TR_MAX_GRANT_TOKENS);
    grant = form(*state, tr_str_z(tt_print(*state, "%s&refresh_token=one-more", many)));
    assert_non_null(tr_grant_fault(&grant));
    grant = form(*state, tr_str_z(tt_print(*state, "%s&refresh_token=one-more", many + strlen("grant_type=refresh_token&"))));
    assert_non_null(tr_grant_fault(&grant));
    many = tt_print(*state, "grant_type=password&%s", many + strlen("grant_type=refresh_token&"));
    grant = form(*state, tr_str_z(tt_print(*state, "%s&refresh_token=one-more", many)));
    assert_null(tr_grant_fault(&grant));
}

static void what_the_query_and_the_body_bring_counts_together(void **state)
{
    tr_grant_t grant = form(*state, TEXT("grant_type=refresh_token"));
    tr_grant_read_body(&grant, TR_GRANT_BODY_FORM, TEXT("refresh_token=abc"), *state);
    expect_only(&grant, "abc");
    grant = form(*state, TEXT("refresh_token=abc"));
    tr_grant_read_body(&grant, TR_GRANT_BODY_JSON, TEXT("{\"grant_type\":\"refresh_token\"}"), *state);
    expect_only(&grant, "abc");
}

static void the_type_of_a_body_is_told_as_any_server_tells_it(void **state)
{
    static const struct {
        const char *type;
        tr_grant_body_t body;
    } types[] = {
        {NULL, TR_GRANT_BODY_FORM},
        {"", TR_GRANT_BODY_FORM},
        {" ", TR_GRANT_BODY_FORM},
        {"form", TR_GRANT_BODY_FORM},
        {"application/x-www-form-urlencoded", TR_GRANT_BODY_FORM},
        {"Application/X-WWW-Form-URLencoded; Charset=\"UTF-8\"", TR_GRANT_BODY_FORM},
        {"application/x-www-form-urlencoded;charset=us-ascii", TR_GRANT_BODY_FORM},
        {"application/x-www-form-urlencoded; charset = iso-8859-1", TR_GRANT_BODY_FORM},
        {"application/x-www-form-urlencoded, text/plain", TR_GRANT_BODY_FORM},
        {"text/plain, application/x-www-form-urlencoded", TR_GRANT_BODY_FORM},
        {"application/x-www-form-urlencodedX", TR_GRANT_BODY_FORM},
        {" application/x-www-form-urlencoded", TR_GRANT_BODY_FORM},
        {"application/json", TR_GRANT_BODY_JSON},
        {"application/vnd.api+JSON", TR_GRANT_BODY_JSON},
        {"text/json;charset=utf-8", TR_GRANT_BODY_JSON},
        {"multipart/form-data; boundary=x", TR_GRANT_BODY_MULTIPART},
        {"multipart/mixed", TR_GRANT_BODY_MULTIPART},
        {"application/x-www-form-urlencoded; charset=utf-16", TR_GRANT_BODY_DOUBTFUL},
        {"application/x-www-form-urlencoded; charset=ibm037", TR_GRANT_BODY_DOUBTFUL},
        {"application/x-www-form-urlencoded; charset=utf-7; charset=utf-8", TR_GRANT_BODY_DOUBTFUL},
        {"application/x-www-form-urlencoded; charset=utf-8; CHARSET=utf-7", TR_GRANT_BODY_DOUBTFUL},
        {"application/x-www-form-urlencoded; charset*=utf-8''utf-7", TR_GRANT_BODY_DOUBTFUL},
        {"application/x-www-form-urlencoded; charset=", TR_GRANT_BODY_DOUBTFUL},
        {"application/json; charset=utf-32", TR_GRANT_BODY_DOUBTFUL},
        {"application/json, application/x-www-form-urlencoded", TR_GRANT_BODY_DOUBTFUL},
        {"multipart/form-data, application/json", TR_GRANT_BODY_DOUBTFUL},
        {"text/plain", TR_GRANT_BODY_OTHER},
        {"text/plain; charset=utf-16", TR_GRANT_BODY_OTHER},
        {"application/octet-stream", TR_GRANT_BODY_OTHER},
        {"application/xml", TR_GRANT_BODY_OTHER},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        assert_int_equal(tr_grant_body(types[i].type, *state), types[i].body);
    assert_int_equal(tr_grant_body(tt_print(*state, "image/png; x=%s", tt_repeat(*state, "y", 60000)), *state),
                     TR_GRANT_BODY_OTHER);
}

static void a_doubtful_type_is_a_fault_only_with_a_body(void **state)
{
    const char *type = "application/x-www-form-urlencoded; charset=utf-16";
    tr_grant_t grant = body(*state, type, TEXT("x"));
    assert_non_null(tr_grant_fault(&grant));
    grant = body(*state, type, TEXT(""));
    assert_null(tr_grant_fault(&grant));
}

static void json_is_read_strictly_and_looked_through(void **state)
{
    static const char *found[] = {"{\"grant_type\":\"refresh_token\",\"refresh_token\":\"abc\"}",
                                  " {\"refresh\\u005ftoken\":\"\\u0061bc\"} ",
                                  "{\"Refresh_Token\":\"abc\",\"Grant_Type\":\"Refresh_Token\"}",
                                  "{\"refreshToken\":[\"abc\",null],\"grant_type\":[\"refresh_token\"]}",
                                  "{\"a\":[{\"refresh_token\":\"abc\"}],\"b\":{\"grant_type\":\"refresh_token\"}}",
                                  "{\"refresh_token\":null,\"refresh-token\":\"abc\"}"};
    static const char *broken[] = {"{",
                                   "[]",
                                   "[{\"refresh_token\":\"abc\"}]",
                                   "\"refresh_token\"",
                                   "grant_type=refresh_token&refresh_token=abc",
                                   "{\"refresh_token\":\"abc\",\"refresh_token\":\"def\"}",
                                   "{\"refresh_token\":\"abc\\u0000\"}",
                                   "{\"refresh_token\":\"abc\",}",
                                   "{'refresh_token':'abc'}",
                                   "{\"refresh_token\":\"abc\"}x",
                                   "\xef\xbb\xbf{\"refresh_token\":\"abc\"}",
                                   "{/**/\"refresh_token\":\"abc\"}",
                                   "{\"refresh_token\":\"\xff\"}"};
    for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
        tr_grant_t grant = body(*state, "application/json", tr_str_z(found[i]));
        expect_only(&grant, "abc");
    }
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        tr_grant_t grant = body(*state, "application/json", tr_str_z(broken[i]));
        assert_non_null(tr_grant_fault(&grant));
    }
    tr_grant_t grant = body(*state, "application/json", TEXT("{\"a\":\"b\"}\0"));
    assert_non_null(tr_grant_fault(&grant));
    grant = body(*state, "application/json",
                 tr_str_z(tt_print(*state, "{\"a\":%s%s}", tt_repeat(*state, "[", 32), tt_repeat(*state, "]", 32))));
    assert_non_null(tr_grant_fault(&grant));
}

static void a_json_token_that_is_no_string_is_a_fault_of_an_exchange_only(void **state)
{
    static const char *odd[] = {"12", "1.5", "true", "{\"a\":\"abc\"}", "[1]", "[[true]]"};
    static const char *fine[] = {"null", "[]", "[null]", "\"\""};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        tr_grant_t grant = body(*state, "application/json", tr_str_z(tt_print(*state, "{\"refresh_token\":%s}", odd[i])));
        assert_non_null(tr_grant_fault(&grant));
        grant = body(*state, "application/json",
                     tr_str_z(tt_print(*state, "{\"refresh_token\":%s,\"grant_type\":\"password\"}", odd[i])));
        assert_null(tr_grant_fault(&grant));
    }
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        tr_grant_t grant = body(*state, "application/json", tr_str_z(tt_print(*state, "{\"refresh_token\":%s}", fine[i])));
        assert_null(tr_grant_fault(&grant));
        assert_false(tr_grant_is_exchange(&grant));
    }
}

static void json_under_another_type_is_looked_through_too(void **state)
{
    static const char *types[] = {NULL, "application/x-www-form-urlencoded"};
    for (size_t i = 0; i < 2; i++) {
        tr_grant_t grant = body(*state, types[i], TEXT("\n {\"grant_type\":\"refresh_token\",\"refresh_token\":\"abc\"}"));
        assert_true(tr_grant_is_exchange(&grant));
        assert_true(brings(&grant, TEXT("abc")));
        grant = body(*state, types[i], TEXT("{\"grant_type\""));
        assert_null(tr_grant_fault(&grant));
    }
}

static void multipart_goes_on_only_without_a_refresh_token(void **state)
{
    static const char part[] = "--x\r\nContent-Disposition: form-data; name=\"";
    static const tr_str_t bad[] = {
        T("refresh_token\"\r\n\r\nabc\r\n--x--"),
        T("Refresh.Token\"\r\n\r\nabc\r\n--x--"),
        T("refresh\\_token\"\r\n\r\nabc\r\n--x--"),
        T("refresh%5ftoken\"\r\n\r\nabc\r\n--x--"),
        T("a\"; name*=utf-8''%72efresh_token\r\n\r\nabc\r\n--x--"),
        T("refresh\r\n _token\"\r\n\r\nabc"),
        T("grant_type\"\r\n\r\nrefresh_token\r\n--x--"),
        T("r\0e\0f\0r\0e\0s\0h\0_\0t\0o\0k\0e\0n\0\"\r\n\r\nabc\r\n--x--"),
        T("a\"\r\nContent-Transfer-Encoding: base64\r\n\r\ncmVmcmVzaF90b2tlbg==\r\n--x--"),
        T("a\"\r\ncontent-transfer-encoding : Quoted-Printable\r\n\r\nx\r\n--x--"),
        T("a\"\r\nContent-Type: text/plain; charset=utf-16\r\n\r\nx\r\n--x--"),
        T("_charset_\"\r\n\r\nibm037\r\n--x--"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *text = apr_palloc(*state, 500);
        size_t len = sizeof part - 1;
        memcpy(text, part, len);
        memcpy(text + len, bad[i].data, bad[i].len);
        tr_grant_t grant = body(*state, "multipart/form-data; boundary=x", tr_str(text, len + bad[i].len));
        assert_non_null(tr_grant_fault(&grant));
    }
    tr_str_t good =
        tr_str_z(tt_print(*state, "%sgrant_type\"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\npassword\r\n--x--", part));
    tr_grant_t grant = body(*state, "multipart/form-data; boundary=x", good);
    assert_null(tr_grant_fault(&grant));
    assert_false(tr_grant_is_exchange(&grant));
    grant = form(*state, TEXT("grant_type=refresh_token"));
    tr_grant_read_body(&grant, TR_GRANT_BODY_MULTIPART, good, *state);
    assert_non_null(tr_grant_fault(&grant));
}

/* 64 KiB of the worst kind take no memory worth speaking of and end at once. */
static void the_largest_body_is_read_whole(void **state)
{
    static const char *pieces[] = {
        "&", "a&", ";", "%", "+", "refresh_token=%00&", "refresh_token=a;", "[", "{\"a\":", "grant_type=x&", "\xe2\x84"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        char *text = tt_repeat(*state, pieces[i], TR_MAX_BODY_LEN / strlen(pieces[i]));
        tr_grant_t grant = form(*state, tr_str_z(text));
        tr_grant_read_body(&grant, TR_GRANT_BODY_FORM, tr_str_z(text), *state);
        tr_grant_read_body(&grant, TR_GRANT_BODY_MULTIPART, tr_str_z(text), *state);
        assert_true(grant.n <= TR_MAX_GRANT_TOKENS);
    }
    char *last = tt_print(*state, "%s&refresh_token=abc", tt_repeat(*state, "x=y&", 16000));
    tr_grant_t grant = form(*state, tr_str_z(last));
    expect_only(&grant, "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_refresh_token_grant_is_found),
        TT_TEST(other_grants_and_requests_are_no_exchange),
        TT_TEST(without_a_grant_type_it_may_be_an_exchange),
        TT_TEST(names_are_folded_as_any_server_folds_them),
        TT_TEST(grant_types_are_folded_as_any_server_folds_them),
        TT_TEST(every_reading_of_a_value_is_found),
        TT_TEST(a_plain_token_has_one_reading),
        TT_TEST(the_same_token_twice_is_one_reading_and_too_many_are_a_fault),
        TT_TEST(what_the_query_and_the_body_bring_counts_together),
        TT_TEST(the_type_of_a_body_is_told_as_any_server_tells_it),
        TT_TEST(a_doubtful_type_is_a_fault_only_with_a_body),
        TT_TEST(json_is_read_strictly_and_looked_through),
        TT_TEST(a_json_token_that_is_no_string_is_a_fault_of_an_exchange_only),
        TT_TEST(json_under_another_type_is_looked_through_too),
        TT_TEST(multipart_goes_on_only_without_a_refresh_token),
        TT_TEST(the_largest_body_is_read_whole),
    };
    return TT_RUN(tests);
}
