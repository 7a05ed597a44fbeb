/*
 * The credentials in a request (RFC 6749 2.3.1, RFC 7617).
 */
#include <apr_base64.h>
#include <apr_strings.h>

#include "tr_client.h"
#include "tr_limits.h"
#include "tr_testing_cmocka.h"

typedef struct asked_t {
    apr_status_t rv;
    tr_credentials_t c;
    const char *why;
} asked_t;

static asked_t ask(const char *authorization, const char *form, apr_pool_t *pool)
{
    tr_params_t *params = NULL;
    const char *why = NULL;
    asked_t out;
    memset(&out, 0xee, sizeof out);
    out.why = NULL;
    if (form != NULL)
        assert_int_equal(tr_params_from_form(&params, &why, tr_str_z(form), pool), APR_SUCCESS);
    out.rv = tr_credentials_read(&out.c, &out.why, authorization, params, pool);
    return out;
}

/* OpenSSL-free and APR's: encoding has one spelling. */
static char *basic_bytes(const void *text, size_t len, apr_pool_t *pool)
{
    char *out = apr_palloc(pool, 6 + (apr_size_t)apr_base64_encode_len((int)len));
    memcpy(out, "Basic ", 6);
    apr_base64_encode_binary(out + 6, text, (int)len);
    return out;
}

static char *basic(const char *text, apr_pool_t *pool)
{
    return basic_bytes(text, strlen(text), pool);
}

static void expect_reading(const asked_t *asked, int i, const char *id, const char *secret)
{
    assert_int_equal(asked->rv, APR_SUCCESS);
    assert_true(asked->c.has_secret);
    assert_in_range(asked->c.readings, i + 1, TR_READINGS);
    assert_str_is(asked->c.id[i], id);
    assert_str_is(asked->c.secret[i], secret);
    assert_int_equal(asked->c.secret[i].data[strlen(secret)], '\0');
}

static void expect_one(asked_t asked, const char *id, const char *secret)
{
    expect_reading(&asked, 0, id, secret);
    assert_int_equal(asked.c.readings, 1);
}

static void expect_two(asked_t asked, const char *id, const char *secret, const char *raw_id, const char *raw_secret)
{
    expect_reading(&asked, 0, id, secret);
    expect_reading(&asked, 1, raw_id, raw_secret);
}

/* Nothing that could be good, and a word for the log. */
static void expect_none(asked_t asked)
{
    assert_int_equal(asked.rv, APR_SUCCESS);
    assert_int_equal(asked.c.readings, 0);
    assert_non_null(asked.why);
}

static void expect_bad_request(asked_t asked)
{
    assert_int_equal(asked.rv, APR_EINVAL);
    assert_non_null(asked.why);
}

static void basic_is_read_whatever_the_case_of_the_scheme(void **state)
{
    expect_one(ask("Basic YXBwOnNlY3JldA==", NULL, *state), "app", "secret");
    expect_one(ask("bASIC YXBwOnNlY3JldA==", NULL, *state), "app", "secret");
    expect_one(ask("BASIC   YXBwOnNlY3JldA== ", NULL, *state), "app", "secret");
    expect_one(ask(basic("app:se:cr:et", *state), NULL, *state), "app", "se:cr:et");
    expect_one(ask(basic("app: ", *state), NULL, *state), "app", " ");
}

static void basic_is_read_form_decoded_first_and_then_as_it_stands(void **state)
{
    expect_two(ask(basic("c%3A1:p%2B+%25%C3%A4", *state), NULL, *state), "c:1", "p+ %\xc3\xa4", "c%3A1", "p%2B+%25%C3%A4");
    expect_two(ask(basic("a+b:x", *state), NULL, *state), "a b", "x", "a+b", "x");
    expect_two(ask(basic("app:a+b", *state), NULL, *state), "app", "a b", "app", "a+b");
    expect_one(ask(basic("app:50%", *state), NULL, *state), "app", "50%");
    expect_one(ask(basic("100%zz:a%41", *state), NULL, *state), "100%zz", "a%41");
    expect_one(ask(basic("app:p\xc3\xa4ss", *state), NULL, *state), "app", "p\xc3\xa4ss");
}

static void a_reading_that_cannot_be_is_dropped_alone(void **state)
{
    expect_one(ask(basic("a%0Ab:x", *state), NULL, *state), "a%0Ab", "x");
    expect_one(ask(basic("app:x%00y", *state), NULL, *state), "app", "x%00y");
    char *long_escaped = apr_pstrcat(*state, "app:", tt_repeat(*state, "%41", TR_MAX_CLIENT_SECRET_LEN), NULL);
    expect_one(ask(basic(long_escaped, *state), NULL, *state), "app", tt_repeat(*state, "A", TR_MAX_CLIENT_SECRET_LEN));
}

static void base64_is_read_strictly(void **state)
{
    static const char *const bad[] = {
        "Basic",
        "Basic ",
        "Basic =",
        "Basic ====",
        "Basic YXBwOnNlY3JldA",
        "Basic YXBwOnNlY3JldA=",
        "Basic YXBwOnNlY3JldA===",
        "Basic YXBwOnNlY3JldB==",
        "Basic YXBwOnNlY3JldA==YQ==",
        "Basic YXBw OnNlY3JldA==",
        "Basic YXBwOnNlY3JldA==, Basic YQ==",
        "Basic YXBwOnNlY3Jl\tdA==",
        "Basic \tYXBwOnNlY3JldA==",
        "Basic YXBwOj4_",
        "Basic YXBwOj4-",
        "Basic YXBwOj\xc3\xa4",
        "Basic Y",
        "Basic YXBwOn=lY3JldA==",
        "Basic \"YXBwOnNlY3JldA==\"",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        asked_t asked = ask(bad[i], NULL, *state);
        if (asked.rv != APR_SUCCESS || asked.c.readings != 0)
            fail_msg("read: %s", bad[i]);
    }
    expect_one(ask("Basic YXBwOj8/", NULL, *state), "app", "??");
    expect_one(ask("Basic YXBwOj8+", NULL, *state), "app", "?>");
}

static void basic_without_id_colon_or_secret_is_nothing(void **state)
{
    expect_none(ask(basic("app", *state), NULL, *state));
    expect_none(ask(basic(":", *state), NULL, *state));
    expect_none(ask(basic(":secret", *state), NULL, *state));
    expect_none(ask(basic("app:", *state), NULL, *state));
    expect_none(ask(basic_bytes("a\0b:secret", 10, *state), NULL, *state));
    expect_none(ask(basic_bytes("app:sec\0ret", 11, *state), NULL, *state));
    expect_none(ask(basic("a\nb:x", *state), NULL, *state));
}

static void sizes_have_a_limit(void **state)
{
    char *id = tt_repeat(*state, "i", TR_MAX_IDENTIFIER_LEN), *secret = tt_repeat(*state, "s", TR_MAX_CLIENT_SECRET_LEN);
    expect_one(ask(basic(apr_pstrcat(*state, id, ":", secret, NULL), *state), NULL, *state), id, secret);
    expect_none(ask(basic(apr_pstrcat(*state, id, "i:", secret, NULL), *state), NULL, *state));
    expect_none(ask(basic(apr_pstrcat(*state, id, ":s", secret, NULL), *state), NULL, *state));
    expect_one(ask(NULL, apr_pstrcat(*state, "client_id=", id, "&client_secret=", secret, NULL), *state), id, secret);
    expect_none(ask(NULL, apr_pstrcat(*state, "client_id=", id, "&client_secret=s", secret, NULL), *state));
    expect_none(ask(NULL, apr_pstrcat(*state, "client_id=i", id, "&client_secret=", secret, NULL), *state));
    expect_none(ask(NULL, apr_pstrcat(*state, "client_id=i", id, NULL), *state));
}

static void another_scheme_is_no_client_authentication(void **state)
{
    static const char *const other[] = {"Bearer abc", "Basics YXBwOnNlY3JldA==", "Basic\tYXBwOnNlY3JldA==", "Digest x", "",
                                        "Basi",       " Basic YXBwOnNlY3JldA=="};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        expect_none(ask(other[i], NULL, *state));
        expect_one(ask(other[i], "client_id=app&client_secret=secret", *state), "app", "secret");
    }
}

static void the_body_is_taken_as_it_is_decoded(void **state)
{
    expect_one(ask(NULL, "token=x&client_id=c%3A1&client_secret=p%2B+%25", *state), "c:1", "p+ %");
    tr_params_t *params;
    const char *why;
    tr_credentials_t c;
    assert_int_equal(tr_params_from_json(&params, &why, tr_str_z("{\"client_id\":\"a+b\",\"client_secret\":\"%41\"}"), *state),
                     APR_SUCCESS);
    assert_int_equal(tr_credentials_read(&c, &why, NULL, params, *state), APR_SUCCESS);
    assert_int_equal(c.readings, 1);
    assert_str_is(c.id[0], "a+b");
    assert_str_is(c.secret[0], "%41");
}

static void an_id_alone_names_a_client_without_a_secret(void **state)
{
    static const char *const forms[] = {"client_id=spa", "client_id=spa&client_secret=", "client_id=spa&client_assertion="};
    for (size_t i = 0; i < 3; i++) {
        asked_t asked = ask(NULL, forms[i], *state);
        assert_int_equal(asked.rv, APR_SUCCESS);
        assert_int_equal(asked.c.readings, 1);
        assert_false(asked.c.has_secret);
        assert_str_is(asked.c.id[0], "spa");
    }
    expect_none(ask(NULL, "client_id=s%0Apa", *state));
    expect_none(ask(NULL, "client_id=", *state));
}

static void nothing_is_nothing(void **state)
{
    expect_none(ask(NULL, NULL, *state));
    expect_none(ask(NULL, "token=x", *state));
    expect_none(ask(NULL, "client_secret=x", *state));
    expect_none(ask(NULL, "client_id=&client_secret=x", *state));
}

static void an_assertion_is_not_taken(void **state)
{
    expect_none(ask(NULL, "client_assertion=a.b.c", *state));
    expect_none(ask(NULL, "client_id=app&client_assertion=a.b.c&client_assertion_type=urn:x", *state));
    expect_none(ask(NULL, "client_id=spa&client_assertion_type=urn:x", *state));
}

static void two_ways_at_once_are_a_bad_request(void **state)
{
    char *good = basic("app:secret", *state);
    expect_bad_request(ask(good, "client_secret=secret", *state));
    expect_bad_request(ask(good, "client_id=app&client_secret=secret", *state));
    expect_bad_request(ask(good, "client_assertion=a.b.c", *state));
    expect_bad_request(ask(good, "client_assertion_type=urn:x", *state));
    expect_bad_request(ask(NULL, "client_id=app&client_secret=s&client_assertion=a.b.c", *state));
    expect_bad_request(ask("Basic !", "client_id=app&client_secret=s", *state));
}

static void basic_and_another_client_id_are_a_bad_request(void **state)
{
    expect_bad_request(ask(basic("app:secret", *state), "client_id=other", *state));
    expect_one(ask(basic("app:secret", *state), "client_id=app", *state), "app", "secret");
    expect_one(ask(basic("app:secret", *state), "client_id=", *state), "app", "secret");
}

static void a_client_id_beside_basic_tells_which_reading_is_meant(void **state)
{
    expect_one(ask(basic("a+b:x", *state), "client_id=a%2Bb", *state), "a+b", "x");
    expect_one(ask(basic("a+b:x", *state), "client_id=a+b", *state), "a b", "x");
    expect_two(ask(basic("app:a+b", *state), "client_id=app", *state), "app", "a b", "app", "a+b");
    expect_bad_request(ask(basic("a+b:x", *state), "client_id=a%2B%2Bb", *state));
}

static void members_that_are_no_strings_are_a_bad_request(void **state)
{
    static const char *const bodies[] = {"{\"client_id\":5}", "{\"client_id\":\"a\",\"client_secret\":null}",
                                         "{\"client_assertion\":{}}", "{\"client_assertion_type\":[\"x\"]}"};
    for (size_t i = 0; i < 4; i++) {
        tr_params_t *params;
        const char *why = NULL;
        tr_credentials_t c;
        assert_int_equal(tr_params_from_json(&params, &why, tr_str_z(bodies[i]), *state), APR_SUCCESS);
        assert_int_equal(tr_credentials_read(&c, &why, NULL, params, *state), APR_EINVAL);
    }
}

/* Every byte of it, wherever it was decoded or copied to; the ids are asked for afterwards. */
static void secrets_are_wiped_and_ids_stay(void **state)
{
    static const char *const bodies[] = {"client_id=app&client_secret=geheim",
                                         "{\"client_id\":\"app\",\"client_secret\":\"geheim\"}"};
    for (int i = 0; i < 2; i++) {
        tr_params_t *params;
        const char *why = NULL;
        tr_credentials_t c;
        tr_str_t left;
        tr_body_type_t type = i == 0 ? TR_BODY_FORM : TR_BODY_JSON;
        assert_int_equal(tr_params_from_body(&params, &why, type, tr_str_z(bodies[i]), *state), APR_SUCCESS);
        assert_int_equal(tr_credentials_read(&c, &why, NULL, params, *state), APR_SUCCESS);
        assert_str_is(c.secret[0], "geheim");
        tr_credentials_wipe(&c, params);
        assert_int_equal(tr_params_get(&left, params, "client_secret"), APR_SUCCESS);
        assert_memory_equal(left.data, "\0\0\0\0\0\0", 6);
        assert_memory_equal(c.secret[0].data, "\0\0\0\0\0\0", 6);
        assert_str_is(c.id[0], "app");
    }
    asked_t asked = ask(basic("app:ge+heim", *state), NULL, *state);
    assert_int_equal(asked.c.readings, 2);
    tr_credentials_wipe(&asked.c, NULL);
    for (int i = 0; i < 2; i++) {
        assert_memory_equal(asked.c.secret[i].data, "\0\0\0\0\0\0\0", 7);
        assert_str_is(asked.c.id[i], "app");
    }
    asked = ask(NULL, "client_id=app", *state);
    tr_credentials_wipe(&asked.c, NULL);
    assert_str_is(asked.c.id[0], "app");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(basic_is_read_whatever_the_case_of_the_scheme),
        TT_TEST(basic_is_read_form_decoded_first_and_then_as_it_stands),
        TT_TEST(a_reading_that_cannot_be_is_dropped_alone),
        TT_TEST(base64_is_read_strictly),
        TT_TEST(basic_without_id_colon_or_secret_is_nothing),
        TT_TEST(sizes_have_a_limit),
        TT_TEST(another_scheme_is_no_client_authentication),
        TT_TEST(the_body_is_taken_as_it_is_decoded),
        TT_TEST(an_id_alone_names_a_client_without_a_secret),
        TT_TEST(nothing_is_nothing),
        TT_TEST(an_assertion_is_not_taken),
        TT_TEST(two_ways_at_once_are_a_bad_request),
        TT_TEST(basic_and_another_client_id_are_a_bad_request),
        TT_TEST(a_client_id_beside_basic_tells_which_reading_is_meant),
        TT_TEST(members_that_are_no_strings_are_a_bad_request),
        TT_TEST(secrets_are_wiped_and_ids_stay),
    };
    return TT_RUN(tests);
}
