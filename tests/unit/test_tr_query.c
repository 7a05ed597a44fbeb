/*
 * Parameters in the query of a request.
 */
#include "tr_query.h"

#include "tr_reason.h"
#include "tr_testing_cmocka.h"

static apr_status_t find(tr_str_t *out, const char *args, apr_pool_t *pool)
{
    return tr_query_find(out, args, "access_token", pool);
}

static void a_token_is_found_in_every_spelling_of_its_name(void **state)
{
    static const char *const queries[] = {"access_token=a.b", "x=1&acces%73_token=a.b", "&&access%5Ftoken=%61.b&y",
                                          "access_token=a%2eb"};
    tr_str_t token = {NULL, 0};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        assert_int_equal(find(&token, queries[i], *state), APR_SUCCESS);
        assert_true(tr_str_eq_z(token, "a.b"));
    }
}

static void what_is_no_token_is_told(void **state)
{
    tr_str_t token = {NULL, 0};
    assert_int_equal(find(&token, "", *state), TR_NO_TOKEN);
    assert_int_equal(find(&token, "access_token", *state), TR_NO_TOKEN);
    assert_int_equal(find(&token, "access_token=", *state), TR_NO_TOKEN);
    assert_int_equal(find(&token, "Access_token=a", *state), TR_NO_TOKEN);
    assert_int_equal(find(&token, "access_token%=a", *state), TR_NO_TOKEN);
    assert_int_equal(find(&token, "access_token=a&access_token=a", *state), TR_MULTIPLE_TOKENS);
    assert_int_equal(find(&token, "access_token=&%61ccess_token=a", *state), TR_MULTIPLE_TOKENS);
    assert_int_equal(find(&token, "access_token=a%zz", *state), APR_SUCCESS);
    assert_true(tr_str_eq_z(token, "a%zz"));
}

static void a_value_that_is_there_once_and_well_encoded_counts(void **state)
{
    tr_str_t value = {NULL, 0};
    assert_true(tr_query_value(&value, "a=1&state=x%20y+z", "state", *state));
    assert_true(tr_str_eq_z(value, "x y z"));
    assert_false(tr_query_value(&value, "state=1&state=2", "state", *state));
    assert_int_equal(value.len, 0);
    assert_false(tr_query_value(&value, "state=%zz", "state", *state));
    assert_false(tr_query_value(&value, "state=", "state", *state));
    assert_false(tr_query_value(&value, "a=1", "state", *state));
}

static const char *stripped(const char *text, apr_pool_t *pool)
{
    return tr_query_strip_uri(text, "t", pool);
}

static void the_parameter_is_taken_out_wherever_it_stands(void **state)
{
    assert_string_equal(tr_query_strip("t=1&a=2&%74=3&b", 15, "t", *state), "a=2&b");
    assert_null(tr_query_strip("t=1&t", 5, "t", *state));
    assert_string_equal(tr_query_strip("a=1&t=2", 3, "t", *state), "a=1");
    assert_string_equal(stripped("GET /x?a=1&t=2 HTTP/1.1", *state), "GET /x?a=1 HTTP/1.1");
    assert_string_equal(stripped("/x?t=2#t=3", *state), "/x#t=3");
    assert_string_equal(stripped("/x", *state), "/x");
    assert_string_equal(stripped("/t=1", *state), "/t=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_token_is_found_in_every_spelling_of_its_name),
        TT_TEST(what_is_no_token_is_told),
        TT_TEST(a_value_that_is_there_once_and_well_encoded_counts),
        TT_TEST(the_parameter_is_taken_out_wherever_it_stands),
    };
    return TT_RUN(tests);
}
