/*
 * Strict JSON (RFC 8259), and the traps of the library under it: duplicates, NUL, depth, numbers out of range, UTF-8.
 */
#include "tr_json.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include <apr_strings.h>
#include <jansson.h>

#include "tr_json_read.h"
#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"

static const tr_json_t *parse_view(tr_str_t text, apr_pool_t *pool)
{
    const tr_json_t *value = NULL, *again = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_json_parse(&value, text, pool);
    assert_int_equal(tr_json_parse_why(&again, &why, text, pool), rv);
    if (rv == APR_SUCCESS) {
        assert_int_equal(tr_json_type(value), TR_JSON_OBJECT);
        return value;
    }
    assert_int_equal(rv, TR_MALFORMED);
    assert_non_null(why);
    assert_int_equal(tr_json_parse_why(&again, NULL, text, pool), TR_MALFORMED);
    return NULL;
}

static const tr_json_t *parse(const char *text, apr_pool_t *pool)
{
    return parse_view(tr_str_z(text), pool);
}

static void expect_good(const char *text, apr_pool_t *pool)
{
    if (!parse(text, pool))
        fail_msg("refused: %s", text);
}

static void expect_bad(const char *text, apr_pool_t *pool)
{
    if (parse(text, pool))
        fail_msg("accepted: %s", text);
}

static void only_an_object_is_a_document(void **state)
{
    static const char *bad[] = {"",
                                " ",
                                "[]",
                                "[{}]",
                                "1",
                                "\"a\"",
                                "true",
                                "null",
                                "{",
                                "}",
                                "{}}",
                                "{}{}",
                                "{} x",
                                "{},",
                                "{}\f",
                                "\v{}",
                                "{\"a\"}",
                                "{\"a\":}",
                                "{\"a\":1,}",
                                "{,}",
                                "{a:1}",
                                "{'a':1}",
                                "{\"a\":1 \"b\":2}",
                                "{\"a\":[1,]}",
                                "{\"a\":tru}",
                                "{\"a\":True}",
                                "{\"a\":undefined}",
                                "/**/{}",
                                "{}//",
                                "{\"a\":1/**/}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_bad(bad[i], *state);
    expect_good("{}", *state);
    expect_good(" \t\r\n{ } \n", *state);
    expect_good("{\"a\":[],\"b\":{},\"c\":[{}, [ ] ]}", *state);
    assert_null(parse_view(tr_str(NULL, 0), *state));
}

static void nothing_may_follow_a_nul(void **state)
{
    assert_null(parse_view(tr_str("{\"exp\":1}\0", 10), *state));
    assert_null(parse_view(tr_str("{\"exp\":1}\0garbage", 17), *state));
    assert_null(parse_view(tr_str("\0{}", 3), *state));
    assert_null(parse_view(tr_str("{\"a\0b\":1}", 9), *state));
    assert_null(parse_view(tr_str("{\"a\":\"b\0\"}", 10), *state));
    assert_null(parse_view(tr_str("{\"a\":1\0}", 8), *state));
    expect_bad("{\"a\":\"x\\u0000y\"}", *state);
    expect_bad("{\"a\":[\"\\u0000\"]}", *state);
    expect_bad("{\"x\\u0000y\":1}", *state);
    expect_good("{\"a\":\"x\\\\u0000y\"}", *state);
}

static void the_view_ends_where_it_ends(void **state)
{
    assert_non_null(parse_view(tr_str("{\"a\":1}garbage", 7), *state));
    assert_null(parse_view(tr_str("{\"a\":1}", 6), *state));
}

static void duplicate_members_are_refused_at_every_level(void **state)
{
    static const char *bad[] = {"{\"a\":1,\"a\":1}",
                                "{\"a\":1,\"b\":2,\"a\":3}",
                                "{\"a\":1,\"\\u0061\":2}",
                                "{\"\\u0065xp\":1,\"exp\":2}",
                                "{\"o\":{\"a\":1,\"a\":2}}",
                                "{\"o\":[{\"a\":1,\"a\":2}]}",
                                "{\"o\":[[{\"x\":{\"a\":null,\"a\":null}}]]}",
                                "{\"\":1,\"\":2}",
                                "{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}",
                                "{\"a\\/b\":1,\"a/b\":2}",
                                "{\"\\n\":1,\"\\u000a\":2}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_bad(bad[i], *state);
    expect_good("{\"a\":1,\"A\":2,\"o\":{\"a\":3},\"p\":[{\"a\":1},{\"a\":1}]}", *state);
}

static void thirty_two_levels_are_enough_and_thirty_three_too_many(void **state)
{
    for (int levels = TR_MAX_JSON_DEPTH - 1; levels <= TR_MAX_JSON_DEPTH + 1; levels++) {
        size_t inner = (size_t)levels - 1;
        char *arrays = tt_print(*state, "{\"a\":%s%s}", tt_repeat(*state, "[", inner), tt_repeat(*state, "]", inner));
        char *objects = tt_print(*state, "%s{}%s", tt_repeat(*state, "{\"a\":", inner), tt_repeat(*state, "}", inner));
        void (*expect)(const char *, apr_pool_t *) = levels > TR_MAX_JSON_DEPTH ? expect_bad : expect_good;
        expect(arrays, *state);
        expect(objects, *state);
    }
    expect_bad(tt_print(*state, "{\"a\":%s%s}", tt_repeat(*state, "[", 2046), tt_repeat(*state, "]", 2046)), *state);
    expect_bad(tt_print(*state, "{\"a\":%s", tt_repeat(*state, "[", 100000)), *state);
    expect_bad(tt_repeat(*state, "{\"a\":", 100000), *state);
    /* Brackets inside strings are no depth, and neither is breadth. */
    expect_good(tt_print(*state, "{\"a\":\"%s\"}", tt_repeat(*state, "[{", 1000)), *state);
    expect_good(tt_print(*state, "{\"a\":[%s[]]}", tt_repeat(*state, "[],", 1000)), *state);
}

static void only_valid_utf8_is_read(void **state)
{
    static const char *bad[] = {"\x80",
                                "\xbf",
                                "\xc0\xaf",
                                "\xc1\x81",
                                "\xc3",
                                "\xe0\x80\xaf",
                                "\xe2\x82",
                                "\xed\xa0\x80",
                                "\xed\xbf\xbf",
                                "\xed\xa0\xbd\xed\xb8\x80",
                                "\xf0\x80\x80\xaf",
                                "\xf4\x90\x80\x80",
                                "\xf5\x80\x80\x80",
                                "\xfe",
                                "\xff",
                                "\xf8\x88\x80\x80\x80",
                                "\xe2\x28\xa1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_bad(tt_print(*state, "{\"a\":\"%s\"}", bad[i]), *state);
        expect_bad(tt_print(*state, "{\"%s\":1}", bad[i]), *state);
        expect_bad(tt_print(*state, "{\"a\":1}%s", bad[i]), *state);
    }
    expect_bad("\xef\xbb\xbf{}", *state);
    assert_null(parse_view(tr_str("\xff\xfe{\0}\0", 6), *state));
    expect_good("{\"a\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf\"}", *state);
}

static void escapes_must_name_characters(void **state)
{
    static const char *bad[] = {"\\ud800", "\\udc00",       "\\ud800\\u0041", "\\ud800x", "\\udc00\\ud800",
                                "\\u12",   "\\u12g4",       "\\x41",          "\\a",      "\\'",
                                "\\",      "\\uD83D\\uD83D"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_bad(tt_print(*state, "{\"a\":\"%s\"}", bad[i]), *state);
    for (char c = 1; c < 0x20; c++)
        expect_bad(tt_print(*state, "{\"a\":\"%c\"}", c), *state);
    const tr_json_t *doc = parse("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\x7f\"}", *state);
    tr_str_t text;
    assert_true(tr_json_string(&text, tr_json_get(doc, "a")));
    assert_str_is(text, "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80\x7f");
}

static const tr_json_t *number(const char *text, apr_pool_t *pool)
{
    const tr_json_t *doc = parse(tt_print(pool, "{\"n\":%s,\"after\":7}", text), pool);
    double after = 0;
    if (!doc)
        fail_msg("refused the number %s", text);
    assert_true(tr_json_number(&after, tr_json_get(doc, "after")));
    assert_true(after == 7);
    return tr_json_get(doc, "n");
}

static void numbers_read_as_their_nearest_value(void **state)
{
    static const struct {
        const char *text;
        tr_json_type_t type;
        double value;
    } good[] = {{"0", TR_JSON_INTEGER, 0},
                {"-0", TR_JSON_INTEGER, 0},
                {"1300819380", TR_JSON_INTEGER, 1300819380},
                {"9223372036854775807", TR_JSON_INTEGER, 9223372036854775807.0},
                {"-9223372036854775808", TR_JSON_INTEGER, -9223372036854775808.0},
                {"9223372036854775808", TR_JSON_REAL, 9223372036854775808.0},
                {"18446744073709551615", TR_JSON_REAL, 18446744073709551615.0},
                {"-9223372036854775809", TR_JSON_REAL, -9223372036854775809.0},
                {"123456789012345678901234567890", TR_JSON_REAL, 123456789012345678901234567890.0},
                {"1.5", TR_JSON_REAL, 1.5},
                {"1.9e9", TR_JSON_REAL, 1.9e9},
                {"1E+2", TR_JSON_REAL, 100},
                {"-2.5e-1", TR_JSON_REAL, -0.25},
                {"1e308", TR_JSON_REAL, 1e308},
                {"1e-400", TR_JSON_REAL, 0},
                {"0e999", TR_JSON_REAL, 0}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double value = -1;
        const tr_json_t *n = number(good[i].text, *state);
        assert_int_equal(tr_json_type(n), good[i].type);
        assert_true(tr_json_number(&value, n));
        assert_true(value == good[i].value);
    }
}

/* Quadratic reading took 400,000 characters a minute and more; linear reading is done in milliseconds. */
static void digits_that_make_no_number_are_read_once(void **state)
{
    apr_pool_t *pool = *state;
    char *zeros = tt_repeat(pool, "0", 400000);
    clock_t began = clock();

    assert_null(parse(apr_pstrcat(pool, "{\"a\":1e999,\"b\":", zeros, "}", NULL), pool));
    assert_null(parse(apr_pstrcat(pool, "{\"a\":1e999,\"b\":1.", zeros, "x}", NULL), pool));
    assert_null(parse(apr_pstrcat(pool, "{\"a\":1e999,\"b\":", tt_repeat(pool, "1.", 200000), "}", NULL), pool));
    assert_true((double)(clock() - began) / CLOCKS_PER_SEC < 5);
}

static void a_number_beyond_all_bounds_reads_as_null(void **state)
{
    const char *nines = tt_repeat(*state, "9", 400);
    const char *big[] = {"1e400",
                         "-1e400",
                         "1E400",
                         "1.5e+309",
                         "2e308",
                         "1e99999999999999999999",
                         nines,
                         tt_print(*state, "-%s", nines),
                         tt_print(*state, "%s.5", nines),
                         tt_print(*state, "%se2", nines)};
    for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
        double value;
        const tr_json_t *n = number(big[i], *state);
        assert_int_equal(tr_json_type(n), TR_JSON_NULL);
        assert_false(tr_json_number(&value, n));
        n = number(tt_print(*state, "[1,{\"x\":%s}]", big[i]), *state);
        assert_int_equal(tr_json_type(tr_json_get(tr_json_at(n, 1), "x")), TR_JSON_NULL);
    }
}

static void text_that_looks_like_a_big_number_stays_text(void **state)
{
    const tr_json_t *doc =
        parse("{\"1e400\":\"1e400\",\"b\":1e400,\"c\":\"\\\"1e400\",\"d\":[\"x\\\\\",1e400,\"1e999\"]}", *state);
    tr_str_t text;
    assert_true(tr_json_string(&text, tr_json_get(doc, "1e400")));
    assert_str_is(text, "1e400");
    assert_int_equal(tr_json_type(tr_json_get(doc, "b")), TR_JSON_NULL);
    assert_true(tr_json_string(&text, tr_json_get(doc, "c")));
    assert_str_is(text, "\"1e400");
    assert_true(tr_json_string(&text, tr_json_at(tr_json_get(doc, "d"), 0)));
    assert_str_is(text, "x\\");
    assert_true(tr_json_string(&text, tr_json_at(tr_json_get(doc, "d"), 2)));
    assert_str_is(text, "1e999");
}

static void what_is_no_number_is_refused(void **state)
{
    static const char *bad[] = {"01",      "-01",    "+1",      "1.",  ".5",       "-",         "-.5",   "1e",
                                "1e+",     "1.e5",   "0x10",    "NaN", "Infinity", "-Infinity", "1_000", "1e400x",
                                "1e400.5", "01e400", "1e400e1", "--1", "1e4 00",   "1,",        "1e-",   "\xef\xbc\x91"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_bad(tt_print(*state, "{\"n\":%s}", bad[i]), *state);
    expect_bad("{\"a\":1e400,\"a\":1}", *state);
    expect_bad("{\"a\":1e400,\"b\":}", *state);
    expect_bad("{\"a\":1e400", *state);
}

static void members_are_found_by_their_whole_name(void **state)
{
    const tr_json_t *doc = parse("{\"a\":1,\"ab\":2,\"\":3,\"n\":null}", *state);
    double value;
    assert_true(tr_json_number(&value, tr_json_get(doc, "a")) && value == 1);
    assert_true(tr_json_number(&value, tr_json_get(doc, "ab")) && value == 2);
    assert_true(tr_json_number(&value, tr_json_get(doc, "")) && value == 3);
    assert_null(tr_json_get(doc, "abc"));
    assert_null(tr_json_get(doc, "A"));
    assert_non_null(tr_json_get(doc, "n"));
    assert_int_equal(tr_json_type(tr_json_get(doc, "n")), TR_JSON_NULL);
    assert_null(tr_json_get(NULL, "a"));
    assert_null(tr_json_get(tr_json_get(doc, "a"), "a"));
}

static void a_path_reaches_nested_members_and_names_with_dots(void **state)
{
    const tr_json_t *doc =
        parse("{\"a\":{\"b\":{\"c\":1}},\"https://x.example/role\":2,\"p.q\":3,\"p\":{\"q\":4},\"l\":[{\"m\":5}]}", *state);
    double value;
    assert_true(tr_json_number(&value, tr_json_path(doc, "a.b.c")) && value == 1);
    assert_true(tr_json_number(&value, tr_json_path(doc, "https://x.example/role")) && value == 2);
    assert_true(tr_json_number(&value, tr_json_path(doc, "p.q")) && value == 3);
    assert_int_equal(tr_json_type(tr_json_path(doc, "a.b")), TR_JSON_OBJECT);
    static const char *absent[] = {"", ".", "a.", ".a", "a..b", "a.b.c.d", "a.c", "l.m", "l.0", "l.0.m", "x", "a.b.c."};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_null(tr_json_path(doc, absent[i]));
}

static void a_name_in_a_path_is_never_cut_short(void **state)
{
    const char *longest = tt_repeat(*state, "n", TR_MAX_CLAIM_NAME_LEN);
    const tr_json_t *doc = parse(tt_print(*state, "{\"%s\":{\"a\":1}}", longest), *state);
    assert_non_null(tr_json_path(doc, tt_print(*state, "%s.a", longest)));
    assert_null(tr_json_path(doc, tt_print(*state, "%sn.a", longest)));
    assert_null(tr_json_path(doc, tt_print(*state, "%s%s.a", longest, longest)));
}

static void a_value_is_only_what_it_is(void **state)
{
    const tr_json_t *doc =
        parse("{\"s\":\"1\",\"i\":1,\"r\":1.5,\"t\":true,\"f\":false,\"n\":null,\"o\":{},\"a\":[1,\"x\",null]}", *state);
    static const struct {
        const char *name;
        tr_json_type_t type;
    } members[] = {{"s", TR_JSON_STRING},  {"i", TR_JSON_INTEGER}, {"r", TR_JSON_REAL},   {"t", TR_JSON_BOOLEAN},
                   {"f", TR_JSON_BOOLEAN}, {"n", TR_JSON_NULL},    {"o", TR_JSON_OBJECT}, {"a", TR_JSON_ARRAY}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const tr_json_t *value = tr_json_get(doc, members[i].name);
        tr_json_type_t type = members[i].type;
        tr_str_t text;
        double n;
        assert_int_equal(tr_json_type(value), type);
        assert_int_equal(tr_json_string(&text, value), type == TR_JSON_STRING);
        assert_int_equal(tr_json_number(&n, value), type == TR_JSON_INTEGER || type == TR_JSON_REAL);
        assert_int_equal(tr_json_len(value), type == TR_JSON_ARRAY ? 3 : 0);
    }
    tr_str_t text;
    double n;
    assert_false(tr_json_string(&text, NULL));
    assert_false(tr_json_number(&n, NULL));
    assert_int_equal(tr_json_len(NULL), 0);
    assert_null(tr_json_at(tr_json_get(doc, "a"), 3));
    assert_null(tr_json_at(tr_json_get(doc, "o"), 0));
    assert_true(tr_json_string(&text, tr_json_at(tr_json_get(doc, "a"), 1)));
}

/* What tr_json_each showed: names and values in a word. */
static void note_member(void *baton, const char *name, const tr_json_t *value)
{
    int *seen = baton;
    double number = 0;
    assert_true(tr_json_number(&number, value));
    assert_string_equal(name, number == 1 ? "a" : number == 2 ? "b.c" : "\xc3\xa9");
    *seen |= 1 << (int)number;
}

static void every_member_of_an_object_is_shown_once(void **state)
{
    const tr_json_t *doc = parse("{\"a\":1,\"b.c\":2,\"\\u00e9\":3}", *state);
    int seen = 0;
    assert_int_equal(tr_json_len(doc), 3);
    tr_json_each(doc, note_member, &seen);
    assert_int_equal(seen, 2 | 4 | 8);
    tr_json_each(parse("{}", *state), note_member, &seen);
    assert_int_equal(seen, 2 | 4 | 8);
}

static void text_of_a_value_is_compact(void **state)
{
    const tr_json_t *doc =
        parse("{\"x\": [ 1, true, null, \"a\\nb\", {\"k\" : 1e400} ], \"s\":\"\\u00e9\", \"u\":18446744073709551615}", *state);
    assert_string_equal(tr_json_text(tr_json_get(doc, "x"), *state), "[1,true,null,\"a\\nb\",{\"k\":null}]");
    json_t *s = json_loads(tr_json_text(tr_json_get(doc, "s"), *state), JSON_DECODE_ANY, NULL);
    assert_string_equal(json_string_value(s), "\xc3\xa9");
    json_decref(s);
    assert_non_null(parse(tr_json_text(doc, *state), *state));
}

/* The string that the quoted text stands for; the caller frees it. */
static json_t *unquote(const char *quoted)
{
    json_t *value = json_loads(quoted, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(value);
    assert_true(json_is_string(value));
    return value;
}

static void quoting_keeps_every_character(void **state)
{
    static const char *texts[] = {"",
                                  "abc",
                                  "a\"b\\c/d",
                                  "\b\f\n\r\t\x01\x1f\x7f",
                                  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
                                  "</script>",
                                  "\xe2\x80\xa8\xe2\x80\xa9"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *value = unquote(tr_json_quote(tr_str_z(texts[i]), *state));
        assert_string_equal(json_string_value(value), texts[i]);
        json_decref(value);
    }
    json_t *value = unquote(tr_json_quote(tr_str("a\0b", 3), *state));
    assert_int_equal(json_string_length(value), 3);
    assert_memory_equal(json_string_value(value), "a\0b", 3);
    json_decref(value);
    value = unquote(tr_json_quote(tr_str(NULL, 0), *state));
    assert_int_equal(json_string_length(value), 0);
    json_decref(value);
}

static void quoting_makes_json_of_any_bytes(void **state)
{
    static const char replacement[] = "\xef\xbf\xbd";
    uint64_t seed = 4;
    for (int round = 0; round < 20000; round++) {
        char bytes[12];
        size_t len = tt_random(&seed) % sizeof bytes;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)(tt_random(&seed) % 4 ? 0x80 | tt_random(&seed) : tt_random(&seed));
        json_decref(unquote(tr_json_quote(tr_str(bytes, len), *state)));
        if (round % 1000 == 0)
            apr_pool_clear(*state);
    }
    json_t *value = unquote(tr_json_quote(tr_str("a\xff"
                                                 "b",
                                                 3),
                                          *state));
    assert_string_equal(json_string_value(value), tt_print(*state, "a%sb", replacement));
    json_decref(value);
}

static apr_status_t parse_any(const tr_json_t **out, const char **why, const char *text, apr_size_t most, apr_pool_t *pool)
{
    *out = NULL;
    *why = NULL;
    return tr_json_parse_any(out, why, tr_str_z(text), most, pool);
}

static void an_array_is_read_where_it_may_be_one(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "1",
                                      "null",
                                      "\"a\"",
                                      "[1",
                                      "[1,]",
                                      "[1][2]",
                                      "[1] 2",
                                      "{\"a\":1}[]",
                                      "[{\"a\":1,\"a\":2}]",
                                      "[\"\\u0000\"]",
                                      "[\"\xff\"]",
                                      "[01]",
                                      "[NaN]"};
    const tr_json_t *json;
    const char *why;
    assert_int_equal(parse_any(&json, &why, "[{\"a\":1},[2],\"x\",1e999]", 100, *state), APR_SUCCESS);
    assert_int_equal(tr_json_type(json), TR_JSON_ARRAY);
    assert_int_equal(tr_json_len(json), 4);
    assert_int_equal(tr_json_type(tr_json_at(json, 3)), TR_JSON_NULL);
    assert_int_equal(parse_any(&json, &why, " {\"a\":1} ", 100, *state), APR_SUCCESS);
    assert_int_equal(tr_json_type(json), TR_JSON_OBJECT);
    assert_int_equal(parse_any(&json, &why, "[]", 2, *state), APR_SUCCESS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse_any(&json, &why, bad[i], 100, *state), TR_MALFORMED);
        assert_non_null(why);
    }
}

static void values_are_counted_before_they_cost_anything(void **state)
{
    const tr_json_t *json;
    const char *why;
    assert_int_equal(parse_any(&json, &why, "[1,2,3]", 4, *state), APR_SUCCESS);
    assert_int_equal(parse_any(&json, &why, "[1,2,3]", 3, *state), TR_MALFORMED);
    assert_string_equal(why, "it holds too many values");
    assert_int_equal(parse_any(&json, &why, "[\"1,2,[{\",\"\\\",,,\"]", 3, *state), APR_SUCCESS);
    assert_int_equal(parse_any(&json, &why, "[[],{},[]]", 7, *state), APR_SUCCESS);
    assert_int_equal(parse_any(&json, &why, "[[],{},[]]", 6, *state), TR_MALFORMED);
    assert_int_equal(parse_any(&json, &why, "{\"a\":[1,2,3]}", 5, *state), APR_SUCCESS);
    assert_int_equal(parse_any(&json, &why, "{\"a\":[1,2,3]}", 4, *state), TR_MALFORMED);
}

static void an_adopted_document_outlives_its_pool(void **state)
{
    const tr_json_t *json;
    apr_pool_t *pool;
    tr_str_t text;
    apr_pool_create(&pool, *state);
    assert_int_equal(tr_json_parse(&json, tr_str_z("{\"a\":{\"b\":[\"c\"]}}"), pool), APR_SUCCESS);
    assert_true(tr_json_adopt(json, pool));
    apr_pool_destroy(pool);
    assert_true(tr_json_string(&text, tr_json_at(tr_json_path(json, "a.b"), 0)));
    assert_str_is(text, "c");
    tr_json_drop(json);
}

/* Bytes that malloc has given out; 0 where a sanitizer has put its own in its place. */
static size_t given_out(void)
{
    return mallinfo2().uordblks;
}

static void a_document_weighs_no_less_than_it_takes(void **state)
{
    static const char *pieces[] = {"[],",       "{},", "1,", "1.5,", "\"\",", "\"abcdefgh\",", "null,", "{\"a\":{\"b\":\"c\"}},",
                                   "[[1,2,3]],"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        for (size_t count = 1; count < 2000; count *= 3) {
            char *text = tt_print(*state, "{\"a\":[%s0]}", tt_repeat(*state, pieces[i], count));
            size_t before = given_out();
            json_t *json = json_loads(text, 0, NULL);
            size_t taken = given_out() - before;
            bool has_control;
            assert_non_null(json);
            assert_true(tr_json_weigh(&has_control, (const tr_json_t *)json) >= taken);
            assert_false(has_control);
            json_decref(json);
        }
    }
}

static void members_weigh_no_less_than_they_take(void **state)
{
    for (int count = 1; count < 2000; count *= 3) {
        char *text = tt_print(*state, "%s", "{\"x\":1");
        for (int i = 0; i < count; i++)
            text = tt_print(*state, "%s,\"%d\":\"%d\"", text, i, i);
        text = tt_print(*state, "%s}", text);
        size_t before = given_out();
        json_t *json = json_loads(text, 0, NULL);
        size_t taken = given_out() - before;
        bool has_control;
        assert_true(tr_json_weigh(&has_control, (const tr_json_t *)json) >= taken);
        json_decref(json);
    }
}

/* A file of keys that was cut off would else show the beginning of a secret in the log. */
static void what_is_wrong_is_said_without_the_text(void **state)
{
    static const char *const bad[] = {"{\"k\":\"geheim", "{\"k\":geheim}", "{\"k\":\"geheim\"\"geheim\"}",
                                      "{\"k\":\"\\qgeheim\"}", "{\"geheim\":1,\"geheim\":2}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const tr_json_t *json;
        const char *why = NULL;
        assert_int_equal(tr_json_parse_why(&json, &why, tr_str_z(bad[i]), *state), TR_MALFORMED);
        assert_non_null(strstr(why, "line 1, column "));
        if (strstr(why, "heim") != NULL)
            fail_msg("%s", why);
    }
}

static void a_string_can_be_wiped_and_stays_as_long(void **state)
{
    static const char *const texts[] = {"{\"a\":\"geheim\",\"n\":5}", "{\"a\":\"g\\u0065heim\",\"n\":5}"};
    for (int i = 0; i < 2; i++) {
        const tr_json_t *json;
        tr_str_t text;
        assert_int_equal(tr_json_parse(&json, tr_str_z(texts[i]), *state), APR_SUCCESS);
        tr_json_wipe(tr_json_get(json, "a"));
        tr_json_wipe(tr_json_get(json, "n"));
        tr_json_wipe(tr_json_get(json, "absent"));
        assert_true(tr_json_string(&text, tr_json_get(json, "a")));
        assert_int_equal(text.len, 6);
        assert_memory_equal(text.data, "\0\0\0\0\0\0", 6);
    }
}

/* Of what the library has no code for there must not be one that stood there before. */
static void a_fault_has_no_code_of_another(void **state)
{
    const char *const faulty[] = {"{},{}", "1"};
    for (int i = 0; i < 2; i++) {
        json_error_t error;
        memset(&error, json_error_numeric_overflow, sizeof error);
        assert_null(tr_json_read(tr_str_z(faulty[i]), &error, *state));
        assert_int_not_equal(json_error_code(&error), json_error_numeric_overflow);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(an_adopted_document_outlives_its_pool),
        TT_TEST(a_document_weighs_no_less_than_it_takes),
        TT_TEST(members_weigh_no_less_than_they_take),
        TT_TEST(an_array_is_read_where_it_may_be_one),
        TT_TEST(values_are_counted_before_they_cost_anything),
        TT_TEST(only_an_object_is_a_document),
        TT_TEST(nothing_may_follow_a_nul),
        TT_TEST(digits_that_make_no_number_are_read_once),
        TT_TEST(the_view_ends_where_it_ends),
        TT_TEST(duplicate_members_are_refused_at_every_level),
        TT_TEST(thirty_two_levels_are_enough_and_thirty_three_too_many),
        TT_TEST(only_valid_utf8_is_read),
        TT_TEST(escapes_must_name_characters),
        TT_TEST(numbers_read_as_their_nearest_value),
        TT_TEST(what_is_wrong_is_said_without_the_text),
        TT_TEST(a_fault_has_no_code_of_another),
        TT_TEST(a_string_can_be_wiped_and_stays_as_long),
        TT_TEST(a_number_beyond_all_bounds_reads_as_null),
        TT_TEST(text_that_looks_like_a_big_number_stays_text),
        TT_TEST(what_is_no_number_is_refused),
        TT_TEST(members_are_found_by_their_whole_name),
        TT_TEST(a_path_reaches_nested_members_and_names_with_dots),
        TT_TEST(a_name_in_a_path_is_never_cut_short),
        TT_TEST(a_value_is_only_what_it_is),
        TT_TEST(every_member_of_an_object_is_shown_once),
        TT_TEST(text_of_a_value_is_compact),
        TT_TEST(quoting_keeps_every_character),
        TT_TEST(quoting_makes_json_of_any_bytes),
    };
    return TT_RUN(tests);
}
