/*
 * A compact JWS taken apart (RFC 7515 7.1, 5.2): what is no token, and what its header may say.
 */
#include "tr_jose.h"

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"

static const char header[] = "{\"alg\":\"HS256\"}";
static const char payload[] = "{\"iss\":\"joe\"}";

static apr_status_t parse(tr_jws_t *jws, const char *text, apr_pool_t *pool)
{
    return tr_jws_parse(jws, tr_str_z(text), pool);
}

static void expect(apr_status_t want, const char *text, apr_pool_t *pool)
{
    tr_jws_t jws;
    apr_status_t rv = parse(&jws, text, pool);
    if (rv != want)
        fail_msg("%s: got %d, expected %d", text, rv, want);
}

static char *with_header(apr_pool_t *pool, const char *json)
{
    return tt_assemble(pool, json, payload, tr_str_z("signature"));
}

static void expect_header(apr_status_t want, const char *json, apr_pool_t *pool)
{
    tr_jws_t jws;
    apr_status_t rv = parse(&jws, with_header(pool, json), pool);
    if (rv != want)
        fail_msg("header %s: got %d, expected %d", json, rv, want);
}

static void a_token_falls_into_its_parts(void **state)
{
    char *text = tt_assemble(*state, "{\"alg\":\"ES256\",\"kid\":\"k1\",\"typ\":\"at+jwt\"}", payload, tr_str("s\0g", 3));
    tr_jws_t jws;
    tr_str_t iss;
    assert_int_equal(parse(&jws, text, *state), APR_SUCCESS);
    assert_ptr_equal(jws.text.data, text);
    assert_int_equal(jws.text.len, strlen(text));
    assert_ptr_equal(jws.signing_input.data, text);
    assert_int_equal(jws.signing_input.len, strrchr(text, '.') - text);
    assert_int_equal(jws.signature.len, 3);
    assert_memory_equal(jws.signature.data, "s\0g", 3);
    assert_int_equal(jws.alg, TR_ALG_ES256);
    assert_str_is(jws.kid, "k1");
    assert_str_is(jws.typ, "at+jwt");
    assert_int_equal(tr_json_type(jws.header), TR_JSON_OBJECT);
    assert_true(tr_json_string(&iss, tr_json_get(jws.payload, "iss")));
    assert_str_is(iss, "joe");
}

static void kid_and_typ_may_be_absent(void **state)
{
    tr_jws_t jws;
    assert_int_equal(parse(&jws, with_header(*state, header), *state), APR_SUCCESS);
    assert_int_equal(jws.kid.len, 0);
    assert_int_equal(jws.typ.len, 0);
}

static void only_three_parts_that_are_not_empty_are_a_token(void **state)
{
    char *h = tt_b64(*state, header, strlen(header)), *p = tt_b64(*state, payload, strlen(payload));
    expect(APR_SUCCESS, tt_print(*state, "%s.%s.c2ln", h, p), *state);
    expect(TR_MALFORMED, "", *state);
    expect(TR_MALFORMED, ".", *state);
    expect(TR_MALFORMED, "..", *state);
    expect(TR_MALFORMED, "...", *state);
    expect(TR_MALFORMED, h, *state);
    expect(TR_MALFORMED, tt_print(*state, "%s.%s", h, p), *state);
    expect(TR_MALFORMED, tt_print(*state, "%s.%s.", h, p), *state);
    expect(TR_MALFORMED, tt_print(*state, ".%s.c2ln", p), *state);
    expect(TR_MALFORMED, tt_print(*state, "%s..c2ln", h), *state);
    expect(TR_MALFORMED, tt_print(*state, "%s.%s.c2ln.", h, p), *state);
    expect(TR_MALFORMED, tt_print(*state, ".%s.%s.c2ln", h, p), *state);
    expect(TR_MALFORMED, tt_print(*state, "%s.%s.c2ln.c2ln", h, p), *state);
    expect(TR_MALFORMED, tt_print(*state, "%s.a.b.c.d", h), *state);
    tr_jws_t jws;
    assert_int_equal(tr_jws_parse(&jws, tr_str(NULL, 0), *state), TR_MALFORMED);
}

static void json_serialisations_are_no_token(void **state)
{
    char *h = tt_b64(*state, header, strlen(header)), *p = tt_b64(*state, payload, strlen(payload));
    expect(TR_MALFORMED, tt_print(*state, "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"c2ln\"}", h, p), *state);
    expect(TR_MALFORMED,
           tt_print(*state, "{\"payload\":\"%s\",\"signatures\":[{\"protected\":\"%s\",\"signature\":\"c2ln\"}]}", p, h), *state);
}

static void each_part_has_one_spelling(void **state)
{
    char *h = tt_b64(*state, header, strlen(header)), *p = tt_b64(*state, payload, strlen(payload));
    static const char *tails[] = {"=", "==", "\n", " ", "\r\n", "%0A", "+", "/", "\t", ","};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        expect(TR_MALFORMED, tt_print(*state, "%s%s.%s.c2ln", h, tails[i], p), *state);
        expect(TR_MALFORMED, tt_print(*state, "%s.%s%s.c2ln", h, p, tails[i]), *state);
        expect(TR_MALFORMED, tt_print(*state, "%s.%s.c2ln%s", h, p, tails[i]), *state);
        expect(TR_MALFORMED, tt_print(*state, "%s%s.%s.c2ln", tails[i], h, p), *state);
    }
    /* "c2k" is canonical, "c2l" has a bit set that stands for nothing. */
    expect(APR_SUCCESS, tt_print(*state, "%s.%s.c2k", h, p), *state);
    expect(TR_MALFORMED, tt_print(*state, "%s.%s.c2l", h, p), *state);
    expect(TR_MALFORMED, tt_print(*state, "%s.%s.c", h, p), *state);
}

static void no_other_byte_is_part_of_a_token(void **state)
{
    char *text = with_header(*state, header);
    size_t len = strlen(text);
    for (int byte = 0; byte < 256; byte++) {
        bool in_alphabet = byte && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", byte) != NULL;
        if (in_alphabet)
            continue;
        tr_jws_t jws;
        for (size_t at = 0; at < len; at += 5) {
            char *bad = apr_pstrmemdup(*state, text, len);
            if (bad[at] == (char)byte)
                continue;
            bad[at] = (char)byte;
            assert_int_equal(tr_jws_parse(&jws, tr_str(bad, len), *state), TR_MALFORMED);
        }
    }
}

static void header_and_payload_are_json_objects(void **state)
{
    static const char *bad[] = {"[]",
                                "\"x\"",
                                "1",
                                "null",
                                "",
                                "{",
                                "{}}",
                                "\xef\xbb\xbf{}",
                                "{\"a\":\"\xff\"}",
                                "{\"a\":1,\"a\":2}",
                                "{\"a\":1,\"\\u0061\":2}",
                                "{\"a\":\"\\u0000\"}",
                                "{\"a\":\"\\ud800\"}",
                                "{} x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect(TR_MALFORMED, tt_assemble(*state, header, bad[i], tr_str_z("sig")), *state);
    expect(TR_MALFORMED, tt_assemble(*state, "[]", payload, tr_str_z("sig")), *state);
    expect(TR_MALFORMED, tt_assemble(*state, "\xef\xbb\xbf{\"alg\":\"HS256\"}", payload, tr_str_z("sig")), *state);
    expect(TR_MALFORMED, tt_assemble(*state, "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", payload, tr_str_z("sig")), *state);
    expect(TR_MALFORMED, tt_assemble(*state, "{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", payload, tr_str_z("sig")), *state);
    expect(APR_SUCCESS, tt_assemble(*state, header, "{}", tr_str_z("sig")), *state);
    expect(APR_SUCCESS, tt_assemble(*state, header, " {\r\n \"a\" : 1 } ", tr_str_z("sig")), *state);
}

static void depth_is_bounded_in_both_parts(void **state)
{
    char *ok = tt_print(*state, "%s{}%s", tt_repeat(*state, "{\"a\":", TR_MAX_JSON_DEPTH - 1),
                        tt_repeat(*state, "}", TR_MAX_JSON_DEPTH - 1));
    char *deep = tt_print(*state, "{\"a\":%s}", ok);
    expect(APR_SUCCESS, tt_assemble(*state, header, ok, tr_str_z("sig")), *state);
    expect(TR_MALFORMED, tt_assemble(*state, header, deep, tr_str_z("sig")), *state);
    expect_header(TR_MALFORMED, tt_print(*state, "{\"alg\":\"HS256\",\"x\":%s}", ok), *state);
}

static void the_algorithm_is_one_of_sixteen_names_exactly(void **state)
{
    static const char *good[TR_ALGS] = {"RS256", "RS384",  "RS512", "PS256",   "PS384", "PS512", "ES256", "ES384",
                                        "ES512", "ES256K", "EdDSA", "Ed25519", "Ed448", "HS256", "HS384", "HS512"};
    for (int i = 0; i < TR_ALGS; i++) {
        tr_jws_t jws;
        tr_alg_t alg;
        assert_int_equal(parse(&jws, with_header(*state, tt_print(*state, "{\"alg\":\"%s\"}", good[i])), *state), APR_SUCCESS);
        assert_int_equal(jws.alg, i);
        assert_true(tr_alg_by_name(&alg, tr_str_z(good[i])));
        assert_int_equal(alg, i);
        assert_string_equal(tr_alg_name((tr_alg_t)i), good[i]);
    }
    static const char *bad[] = {"none",      "None",    "NONE",     "nOnE", "",       "rs256", "RS256 ",
                                " RS256",    "RS-256",  "RS1",      "HS1",  "ES256k", "eddsa", "ED25519",
                                "Ed25519ph", "A128GCM", "RSA-OAEP", "dir",  "RS2567", "RS25",  "ML-DSA-44"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tr_alg_t alg;
        expect_header(TR_ALGORITHM, tt_print(*state, "{\"alg\":\"%s\"}", bad[i]), *state);
        assert_false(tr_alg_by_name(&alg, tr_str_z(bad[i])));
    }
    tr_alg_t alg;
    assert_false(tr_alg_by_name(&alg, tr_str("RS256\0", 6)));
    assert_false(tr_alg_by_name(&alg, tr_str(NULL, 0)));
}

static void a_missing_or_strange_algorithm_is_refused(void **state)
{
    static const char *bad[] = {
        "{}",           "{\"typ\":\"JWT\"}",   "{\"alg\":5}",    "{\"alg\":null}", "{\"alg\":true}", "{\"alg\":[\"HS256\"]}",
        "{\"alg\":{}}", "{\"ALG\":\"HS256\"}", "{\"alg\":1e400}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_header(TR_ALGORITHM, bad[i], *state);
}

static void an_unsigned_token_has_no_signature_at_all(void **state)
{
    const char *none = "{\"alg\":\"none\"}";
    expect(TR_MALFORMED, tt_assemble(*state, none, payload, tr_str_z("")), *state);
    expect(TR_ALGORITHM, tt_assemble(*state, none, payload, tr_str_z("sig")), *state);
}

static void what_the_header_demands_beyond_us_is_refused(void **state)
{
    static const char *members[] = {"\"crit\":[\"exp\"],\"exp\":1363284000", /* RFC 7515 appendix E's kind */
                                    "\"crit\":[]",
                                    "\"crit\":null",
                                    "\"crit\":\"exp\"",
                                    "\"crit\":[\"alg\"]",
                                    "\"crit\":[\"b64\"],\"b64\":false",
                                    "\"b64\":false",
                                    "\"b64\":true",
                                    "\"b64\":null",
                                    "\"zip\":\"DEF\"",
                                    "\"zip\":null",
                                    "\"crit\":[\"x\"],\"x\":1"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        expect_header(TR_MALFORMED, tt_print(*state, "{\"alg\":\"HS256\",%s}", members[i]), *state);
    expect(TR_MALFORMED,
           "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRkl"
           "ORUQiOnRydWUNCn0.RkFJTA.",
           *state);
}

static void kid_typ_and_cty_are_strings(void **state)
{
    static const char *names[] = {"kid", "typ", "cty"};
    static const char *values[] = {"1", "null", "true", "[]", "{}", "[\"a\"]", "1e400"};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < sizeof values / sizeof *values; k++)
            expect_header(TR_MALFORMED, tt_print(*state, "{\"alg\":\"HS256\",\"%s\":%s}", names[i], values[k]), *state);
        expect_header(APR_SUCCESS, tt_print(*state, "{\"alg\":\"HS256\",\"%s\":\"../x' OR 1\"}", names[i]), *state);
    }
}

static void a_nested_token_is_refused(void **state)
{
    expect_header(TR_MALFORMED, "{\"alg\":\"HS256\",\"cty\":\"JWT\"}", *state);
    expect_header(TR_MALFORMED, "{\"alg\":\"HS256\",\"cty\":\"jwt\"}", *state);
    expect_header(TR_MALFORMED, "{\"alg\":\"HS256\",\"cty\":\"application/jwt\"}", *state);
    expect_header(APR_SUCCESS, "{\"alg\":\"HS256\",\"cty\":\"json\"}", *state);
}

static void keys_in_the_header_are_not_looked_at(void **state)
{
    static const char *members[] = {"\"jku\":\"http://127.0.0.1:1/\"",
                                    "\"jku\":5",
                                    "\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}",
                                    "\"jwk\":7",
                                    "\"x5u\":\"file:///etc/passwd\"",
                                    "\"x5u\":null",
                                    "\"x5c\":[\"!\"]",
                                    "\"x5c\":false",
                                    "\"x5t\":1"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        expect_header(APR_SUCCESS, tt_print(*state, "{\"alg\":\"HS256\",%s}", members[i]), *state);
}

static void sizes_are_bounded_to_the_byte(void **state)
{
    char *kid = tt_repeat(*state, "k", TR_MAX_IDENTIFIER_LEN);
    expect_header(APR_SUCCESS, tt_print(*state, "{\"alg\":\"HS256\",\"kid\":\"%s\"}", kid), *state);
    expect_header(TR_MALFORMED, tt_print(*state, "{\"alg\":\"HS256\",\"kid\":\"%sk\"}", kid), *state);

    char *start = tt_assemble(*state, header, payload, tr_str_z("sig"));
    size_t room = TR_MAX_TOKEN_LEN - strlen(start);
    char *most = tt_print(*state, "%s%s", start, tt_repeat(*state, "A", room));
    assert_int_equal(strlen(most), TR_MAX_TOKEN_LEN);
    expect(APR_SUCCESS, most, *state);
    /* One more that is still base64url: its part of the signature is 2 beyond a group of 4, or 3. */
    for (size_t cut = 0; cut < 4; cut++) {
        char *longer_payload = tt_print(*state, "{\"a\":\"%s\"}", tt_repeat(*state, "x", cut));
        char *other = tt_assemble(*state, header, longer_payload, tr_str_z(""));
        size_t left = TR_MAX_TOKEN_LEN - strlen(other);
        expect(left % 4 == 1 ? TR_MALFORMED : APR_SUCCESS, tt_print(*state, "%s%s", other, tt_repeat(*state, "A", left)), *state);
        expect(TR_MALFORMED, tt_print(*state, "%s%s", other, tt_repeat(*state, "A", left + 1)), *state);
    }
    for (size_t more = 1; more <= 8; more++)
        expect(TR_MALFORMED, tt_print(*state, "%s%s", most, tt_repeat(*state, "A", more)), *state);
    char *huge = tt_repeat(*state, "A", 100000);
    expect(TR_MALFORMED, tt_print(*state, "%s%s", start, huge), *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_token_falls_into_its_parts),
        TT_TEST(kid_and_typ_may_be_absent),
        TT_TEST(only_three_parts_that_are_not_empty_are_a_token),
        TT_TEST(json_serialisations_are_no_token),
        TT_TEST(each_part_has_one_spelling),
        TT_TEST(no_other_byte_is_part_of_a_token),
        TT_TEST(header_and_payload_are_json_objects),
        TT_TEST(depth_is_bounded_in_both_parts),
        TT_TEST(the_algorithm_is_one_of_sixteen_names_exactly),
        TT_TEST(a_missing_or_strange_algorithm_is_refused),
        TT_TEST(an_unsigned_token_has_no_signature_at_all),
        TT_TEST(what_the_header_demands_beyond_us_is_refused),
        TT_TEST(kid_typ_and_cty_are_strings),
        TT_TEST(a_nested_token_is_refused),
        TT_TEST(keys_in_the_header_are_not_looked_at),
        TT_TEST(sizes_are_bounded_to_the_byte),
    };
    return TT_RUN(tests);
}
