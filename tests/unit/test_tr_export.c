/*
 * Claims as variables and fields, and the names that are the same to an application.
 */
#include "tr_export.h"

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"

static const tr_json_t *payload(const char *text, apr_pool_t *pool)
{
    const tr_json_t *json;
    if (tr_json_parse(&json, tr_str_z(text), pool) != APR_SUCCESS)
        fail_msg("no JSON: %s", text);
    return json;
}

/* The variable's value; NULL: there is none. */
static const char *variable(const char *text, const char *name, apr_pool_t *pool)
{
    const apr_array_header_t *all = tr_export_variables(payload(text, pool), "C_", pool);
    const char *found = NULL;
    for (int i = 0; i < all->nelts; i++) {
        const tr_variable_t *one = &APR_ARRAY_IDX(all, i, tr_variable_t);
        if (strcasecmp(one->name, name) == 0) {
            assert_null(found);
            assert_string_equal(one->name, name);
            found = one->value;
        }
    }
    return found;
}

static const char *shown(const char *text)
{
    return text != NULL ? text : "not there";
}

static void expect(const char *text, const char *name, const char *want, apr_pool_t *pool)
{
    const char *got = variable(text, name, pool);
    if (got == NULL ? want != NULL : want == NULL || strcmp(got, want) != 0)
        fail_msg("%s: %s is %s, not %s", text, name, shown(got), shown(want));
}

static void strings_are_as_they_are_and_all_else_is_json(void **state)
{
    expect("{\"a\": \"x \\\"y\\n\"}", "C_a", "x \"y\n", *state);
    expect("{\"a\": true}", "C_a", "true", *state);
    expect("{\"a\": null}", "C_a", "null", *state);
    expect("{\"a\": -7}", "C_a", "-7", *state);
    expect("{\"a\": 1.5}", "C_a", "1.5", *state);
    expect("{\"a\": [ \"x,y\", {\"b\": 1} ]}", "C_a", "[\"x,y\",{\"b\":1}]", *state);
    expect("{\"a\": \"true\"}", "C_a", "true", *state);
    expect("{\"a\": \"\"}", "C_a", "", *state);
    expect("{}", "C_a", NULL, *state);
}

static void names_are_made_of_letters_digits_and_underscores(void **state)
{
    expect("{\"a-b.c\": 1}", "C_a_b_c", "1", *state);
    expect("{\"\xc3\xbc\": 1}", "C___", "1", *state);
    expect("{\"a=b\\n\": 1}", "C_a_b_", "1", *state);
    expect("{\"\": 1}", "C_", "1", *state);
    expect("{\"A9_\": 1}", "C_A9_", "1", *state);
}

static void members_are_there_by_their_path_and_elements_are_not(void **state)
{
    const char *text = "{\"a\": {\"b\": {\"c\": \"d\"}, \"l\": [{\"x\": 1}]}}";
    expect(text, "C_a", "{\"b\":{\"c\":\"d\"},\"l\":[{\"x\":1}]}", *state);
    expect(text, "C_a_b", "{\"c\":\"d\"}", *state);
    expect(text, "C_a_b_c", "d", *state);
    expect(text, "C_a_l", "[{\"x\":1}]", *state);
    expect(text, "C_a_l_x", NULL, *state);
}

static void names_that_are_too_long_are_left_out(void **state)
{
    const char *k = apr_psprintf(*state, "%0*d", TR_MAX_CLAIM_NAME_LEN, 7);
    expect(apr_psprintf(*state, "{\"%s\": \"x\", \"b\": 1}", k), apr_pstrcat(*state, "C_", k, NULL), "x", *state);
    expect(apr_psprintf(*state, "{\"%s0\": \"x\"}", k), apr_pstrcat(*state, "C_", k, "0", NULL), NULL, *state);
    expect(apr_psprintf(*state, "{\"%s\": {\"a\": \"x\"}}", k), apr_pstrcat(*state, "C_", k, "_a", NULL), NULL, *state);
    expect(apr_psprintf(*state, "{\"%s\": {\"\": \"x\"}}", k + 1), apr_pstrcat(*state, "C_", k + 1, "_", NULL), "x", *state);
}

static void of_claims_with_one_name_the_shorter_and_then_the_plain_one_has_it(void **state)
{
    expect("{\"a\": {\"b\": 1}, \"a_b\": 2}", "C_a_b", "2", *state);
    expect("{\"a_b\": 2, \"a\": {\"b\": 1}}", "C_a_b", "2", *state);
    expect("{\"a\": {\"b\": 1}, \"a.b\": 2}", "C_a_b", "2", *state);
    expect("{\"a.b\": 1, \"a_b\": 2}", "C_a_b", "2", *state);
    expect("{\"a-b\": 1, \"a_b\": 2, \"a.b\": 3}", "C_a_b", "2", *state);
    expect("{\"x\": {\"a.b\": 1, \"a_b\": 2}}", "C_x_a_b", "2", *state);
    expect("{\"x.\": {\"a\": 1}, \"x_\": {\"a\": 2}}", "C_x__a", "2", *state);
}

static void of_claims_with_equal_rights_to_a_name_none_has_it(void **state)
{
    expect("{\"a.b\": 1, \"a-b\": 2}", "C_a_b", NULL, *state);
    expect("{\"a.b\": 1, \"a-b\": 2, \"a\": {\"b\": 3}}", "C_a_b", NULL, *state);
    expect("{\"a\": {\"b_c\": 1}, \"a_b\": {\"c\": 2}}", "C_a_b_c", NULL, *state);
    assert_null(variable("{\"A\": 1, \"a\": 2}", "C_a", *state));
    assert_null(variable("{\"A\": 1, \"a\": 2}", "C_A", *state));
    expect("{\"A\": {\"b\": 1}, \"a_B\": 2}", "C_a_B", "2", *state);
}

static void the_deepest_object_is_opened(void **state)
{
    char text[TR_MAX_JSON_DEPTH * 8] = "", name[TR_MAX_JSON_DEPTH * 2 + 2] = "C";
    for (int i = 0; i < TR_MAX_JSON_DEPTH; i++) {
        strcat(text, "{\"a\":");
        strcat(name, "_a");
    }
    strcat(text, "1");
    for (int i = 0; i < TR_MAX_JSON_DEPTH; i++)
        strcat(text, "}");
    expect(text, name, "1", *state);
}

static void expect_header(const char *text, const char *claim, const char *want, apr_pool_t *pool)
{
    const char *got = "unset";
    assert_int_equal(tr_export_header(&got, payload(text, pool), claim, pool), APR_SUCCESS);
    if (want == NULL)
        assert_null(got);
    else
        assert_string_equal(got, want);
}

static void a_claim_becomes_the_value_of_a_field(void **state)
{
    expect_header("{\"a\": \"x y\"}", "a", "x y", *state);
    expect_header("{\"a\": \"\xc3\xbc\"}", "a", "\xc3\xbc", *state);
    expect_header("{\"a\": \"\"}", "a", "", *state);
    expect_header("{\"a\": {\"b\": [1, \"x\"]}}", "a.b", "[1,\"x\"]", *state);
    expect_header("{\"a\": false}", "a", "false", *state);
    expect_header("{\"a\": [\"x\\ny\"]}", "a", "[\"x\\ny\"]", *state);
}

static void what_would_not_arrive_is_not_sent(void **state)
{
    expect_header("{}", "a", NULL, *state);
    expect_header("{\"a\": null}", "a", NULL, *state);
    expect_header("{\"a\": \" x\"}", "a", NULL, *state);
    expect_header("{\"a\": \"x \"}", "a", NULL, *state);
    expect_header("{\"a\": \" \"}", "a", NULL, *state);
}

static void a_control_character_is_malformed(void **state)
{
    static const char *const texts[] = {"{\"a\": \"x\\r\\ny\"}",     "{\"a\": \"\\u0001\"}", "{\"a\": \"\\t\"}",
                                        "{\"a\": \"\\u007f\"}",      "{\"a\": \"\\u0085\"}", "{\"a\": [\"\\u007f\"]}",
                                        "{\"a\": {\"\\u009f\": 1}}", "{\"a\": \" \\n\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *got;
        if (tr_export_header(&got, payload(texts[i], *state), "a", *state) != TR_MALFORMED)
            fail_msg("%s", texts[i]);
    }
}

static bool same(const char *a, const char *b)
{
    return tr_export_is_same_field(tr_str_z(a), tr_str_z(b));
}

static void names_that_applications_take_for_one_are_the_same(void **state)
{
    (void)state;
    assert_true(same("X-User", "x-user"));
    assert_true(same("X-User", "X_USER"));
    assert_true(same("x.user", "X!User"));
    assert_true(same("X\xc3User", "X-User"));
    assert_false(same("X-User", "XUser"));
    assert_false(same("X-User", "X-Use"));
    assert_false(same("X-User", "X-User-"));
    assert_false(same("X-User", "X-Usex"));
    assert_false(same("X-User", ""));
}

static bool is_x_user(void *baton, tr_str_t name)
{
    (void)baton;
    return tr_export_is_same_field(tr_str_z("x-user"), name);
}

static void expect_left(const char *list, const char *want, apr_pool_t *pool)
{
    const char *left = tr_export_strip_list(list, is_x_user, NULL, pool);
    if (left == NULL ? want != NULL : want == NULL || strcmp(left, want) != 0)
        fail_msg("%s: %s", list, shown(left));
}

static void names_go_from_a_list_and_others_stay(void **state)
{
    expect_left("", NULL, *state);
    expect_left("keep-alive, X-Users", NULL, *state);
    expect_left("X-User", "", *state);
    expect_left(" ,, x_USER ;", "", *state);
    expect_left("close, X-User", "close", *state);
    expect_left("X-User, close", "close", *state);
    expect_left("a,X-User,b", "a, b", *state);
    expect_left("a X-User;b\tx-user", "a, b", *state);
    expect_left("a, \"X-User\", b", "a, b", *state);
    expect_left("a,X-User,b,c,d,e,f", "a, b, c, d, e, f", *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(strings_are_as_they_are_and_all_else_is_json),
        TT_TEST(names_are_made_of_letters_digits_and_underscores),
        TT_TEST(members_are_there_by_their_path_and_elements_are_not),
        TT_TEST(names_that_are_too_long_are_left_out),
        TT_TEST(of_claims_with_one_name_the_shorter_and_then_the_plain_one_has_it),
        TT_TEST(of_claims_with_equal_rights_to_a_name_none_has_it),
        TT_TEST(the_deepest_object_is_opened),
        TT_TEST(a_claim_becomes_the_value_of_a_field),
        TT_TEST(what_would_not_arrive_is_not_sent),
        TT_TEST(a_control_character_is_malformed),
        TT_TEST(names_that_applications_take_for_one_are_the_same),
        TT_TEST(names_go_from_a_list_and_others_stay),
    };
    return TT_RUN(tests);
}
