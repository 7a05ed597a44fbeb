/*
 * Claims and scopes against what a configuration asks for: whole values only.
 */
#include "tr_require.h"

#include "tr_testing_cmocka.h"

static const tr_json_t *claims(apr_pool_t *pool, const char *text)
{
    const tr_json_t *payload = NULL;
    assert_int_equal(tr_json_parse(&payload, tr_str_z(text), pool), APR_SUCCESS);
    return payload;
}

/* Words with commas between them. */
static apr_array_header_t *words(apr_pool_t *pool, const char *text)
{
    apr_array_header_t *array = apr_array_make(pool, 2, sizeof(const char *));
    while (*text) {
        size_t len = strcspn(text, ",");
        APR_ARRAY_PUSH(array, const char *) = tr_str_dup_z(tr_str(text, len), pool);
        text += len + (text[len] == ',');
    }
    return array;
}

typedef struct row_t {
    const char *payload, *path, *asked;
    bool met;
} row_t;

static void a_claim_is_met_by_a_whole_value_or_element(void **state)
{
    static const row_t rows[] = {
        {"{\"a\":\"x\"}", "a", "x", true},
        {"{\"a\":\"x\"}", "a", "y,x", true},
        {"{\"a\":\"x\"}", "b", "x", false},
        {"{\"a\":\"xx\"}", "a", "x", false},
        {"{\"a\":\"x\"}", "a", "xx", false},
        {"{\"a\":\"X\"}", "a", "x", false},
        {"{\"a\":\"x y\"}", "a", "x", false},
        {"{\"a\":[\"y\",\"x\"]}", "a", "x", true},
        {"{\"a\":[\"y\",[\"x\"]]}", "a", "x", false},
        {"{\"a\":[{\"x\":\"x\"}]}", "a", "x", false},
        {"{\"a\":{\"x\":\"x\"}}", "a", "x", false},
        {"{\"a\":{\"b\":\"x\"}}", "a.b", "x", true},
        {"{\"a.b\":\"x\"}", "a.b", "x", true},
        {"{\"a\":{\"b\":[\"x\"]}}", "a.b", "x", true},
        {"{\"a\":7}", "a", "7", true},
        {"{\"a\":-7}", "a", "-7", true},
        {"{\"a\":7}", "a", "07", false},
        {"{\"a\":70}", "a", "7", false},
        {"{\"a\":1.5}", "a", "1.5", true},
        {"{\"a\":[1,true]}", "a", "true", true},
        {"{\"a\":false}", "a", "false", true},
        {"{\"a\":null}", "a", "null", false},
        {"{\"a\":[null]}", "a", "null", false},
        {"{\"a\":[]}", "a", "[]", false},
        {"{\"a\":{}}", "a", "{}", false},
        {"{\"a\":1e400}", "a", "null", false},
        {"{\"a\":\"\\u00e9\"}", "a", "\xc3\xa9", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (tr_require_value(claims(*state, rows[i].payload), rows[i].path, words(*state, rows[i].asked), *state) != rows[i].met)
            fail_msg("%s of %s: %s", rows[i].path, rows[i].payload, rows[i].asked);
}

static bool keep(void *baton, tr_str_t text)
{
    apr_array_header_t *seen = baton;
    APR_ARRAY_PUSH(seen, const char *) = tr_str_dup_z(text, seen->pool);
    return tr_str_eq_z(text, "stop");
}

static void values_are_shown_in_their_order_up_to_the_one_that_counts(void **state)
{
    apr_array_header_t *seen = words(*state, "");
    const tr_json_t *payload = claims(*state, "{\"a\":[\"x\",null,[1],{},2,true,\"stop\",\"never\"]}");
    assert_true(tr_require_any(payload, "a", keep, seen, *state));
    assert_int_equal(seen->nelts, 4);
    assert_string_equal(APR_ARRAY_IDX(seen, 0, const char *), "x");
    assert_string_equal(APR_ARRAY_IDX(seen, 1, const char *), "2");
    assert_string_equal(APR_ARRAY_IDX(seen, 2, const char *), "true");
    assert_string_equal(APR_ARRAY_IDX(seen, 3, const char *), "stop");
    assert_false(tr_require_any(payload, "b", keep, seen, *state));
    assert_int_equal(seen->nelts, 4);
}

static void a_scope_holds_the_characters_of_rfc_6749(void **state)
{
    static const char *good[] = {"read", "!", "#", "[", "]", "~", "https://api.test/a?b&c=d'", "a,b"};
    static const char *bad[] = {"", " ", "a b", "a\"", "a\\b", "a\tb", "a\x7f", "\x1f", "\xc3\xa9", "a "};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(tr_is_scope(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tr_is_scope(bad[i]));
}

static void all_scopes_must_be_there_in_either_claim(void **state)
{
    static const row_t rows[] = {
        {"{\"scope\":\"r w\"}", NULL, "r,w", true},
        {"{\"scope\":\"w x r\"}", NULL, "r,w", true},
        {"{\"scope\":\"r  w\"}", NULL, "r,w", true},
        {"{\"scope\":\" r w \"}", NULL, "r,w", true},
        {"{\"scp\":\"r w\"}", NULL, "r,w", true},
        {"{\"scp\":[\"w\",\"r\"]}", NULL, "r,w", true},
        {"{\"scope\":[\"w\",\"r\"]}", NULL, "r,w", true},
        {"{\"scope\":\"r\",\"scp\":[\"w\"]}", NULL, "r,w", true},
        {"{\"scope\":1,\"scp\":\"r w\"}", NULL, "r,w", true},
        {"{\"scope\":\"r\"}", NULL, "r,w", false},
        {"{\"scope\":\"rw\"}", NULL, "r,w", false},
        {"{\"scope\":\"r,w\"}", NULL, "r,w", false},
        {"{\"scope\":\"r\\tw\"}", NULL, "r,w", false},
        {"{\"scope\":\"r\\nw\"}", NULL, "r,w", false},
        {"{\"scope\":\"R W\"}", NULL, "r,w", false},
        {"{\"scope\":\"read\"}", NULL, "rea", false},
        {"{\"scope\":\"rea\"}", NULL, "read", false},
        {"{\"scope\":[\"r w\"]}", NULL, "r,w", false},
        {"{\"scope\":[[\"r\",\"w\"]]}", NULL, "r,w", false},
        {"{\"scope\":{\"r\":1,\"w\":1}}", NULL, "r,w", false},
        {"{\"scope\":null}", NULL, "r", false},
        {"{\"scope\":\"\"}", NULL, "r", false},
        {"{\"a\":{\"scope\":\"r\"}}", NULL, "r", false},
        {"{}", NULL, "r", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (tr_require_scopes(claims(*state, rows[i].payload), words(*state, rows[i].asked)) != rows[i].met)
            fail_msg("%s: %s", rows[i].payload, rows[i].asked);
}

static void a_claim_is_shown_in_one_line_or_not_at_all(void **state)
{
    static const row_t rows[] = {
        {"{\"a\":\"x y\"}", "a", "x y", true},
        {"{\"a\":\"\"}", "a", "", true},
        {"{\"a\":7}", "a", "7", true},
        {"{\"a\":true}", "a", "true", true},
        {"{\"a\":[\"x\",1,{\"b\":null}]}", "a", "[\"x\",1,{\"b\":null}]", true},
        {"{\"a\":{\"b\":[]}}", "a", "{\"b\":[]}", true},
        {"{\"a\":{\"b\":[]}}", "a.b", "[]", true},
        {"{\"a\":[\"x\\ny\"]}", "a", "[\"x\\ny\"]", true},
        {"{\"a\":[\"\\u007f\"]}", "a", NULL, false},
        {"{\"a\":\"x\\ny\"}", "a", NULL, false},
        {"{\"a\":\"\\u0085\"}", "a", NULL, false},
        {"{\"a\":null}", "a", NULL, false},
        {"{}", "a", NULL, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *shown = tr_require_show(claims(*state, rows[i].payload), rows[i].path, *state);
        assert_int_equal(shown != NULL, rows[i].met);
        if (shown)
            assert_string_equal(shown, rows[i].asked);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_claim_is_met_by_a_whole_value_or_element), TT_TEST(values_are_shown_in_their_order_up_to_the_one_that_counts),
        TT_TEST(a_scope_holds_the_characters_of_rfc_6749),   TT_TEST(all_scopes_must_be_there_in_either_claim),
        TT_TEST(a_claim_is_shown_in_one_line_or_not_at_all),
    };
    return TT_RUN(tests);
}
