/*
 * Tokens in fields of a request.
 */
#include "tr_bearer.h"

#include "tr_reason.h"
#include "tr_testing_cmocka.h"

static void assert_token(const char *field, const char *token)
{
    tr_str_t found = {NULL, 0};
    assert_int_equal(tr_bearer_find(&found, tr_str_z(field)), APR_SUCCESS);
    assert_true(tr_str_eq_z(found, token));
}

static void assert_none(const char *field, apr_status_t why)
{
    tr_str_t found = {NULL, 0};
    assert_int_equal(tr_bearer_find(&found, tr_str_z(field)), why);
}

static void the_scheme_is_a_word_in_any_case(void **state)
{
    (void)state;
    assert_token("Bearer a.b.c", "a.b.c");
    assert_token("bEARER   a.b.c", "a.b.c");
    assert_token("Bearer\ta", "\ta");
    assert_none("Bearer", TR_NO_TOKEN);
    assert_none("Bearer   ", TR_NO_TOKEN);
    assert_none("Bearera.b.c", TR_NO_TOKEN);
    assert_none("Basic Bearer a", TR_NO_TOKEN);
    assert_none("Beare", TR_NO_TOKEN);
    assert_none("", TR_NO_TOKEN);
}

static void two_fields_are_more_than_one_token(void **state)
{
    (void)state;
    assert_none("Bearer a, Bearer b", TR_MULTIPLE_TOKENS);
    assert_none("Bearer a,b", TR_MULTIPLE_TOKENS);
    assert_none("Basic x, Bearer b", TR_MULTIPLE_TOKENS);
    assert_none("Basic x,\t bearer", TR_MULTIPLE_TOKENS);
    assert_none("Basic x, Bearers", TR_NO_TOKEN);
    assert_none("Basic x,", TR_NO_TOKEN);
}

static void a_field_may_hold_the_token_alone(void **state)
{
    tr_str_t found = {NULL, 0};
    (void)state;
    assert_int_equal(tr_bearer_find_alone(&found, tr_str_z("  a.b.c")), APR_SUCCESS);
    assert_true(tr_str_eq_z(found, "a.b.c"));
    assert_int_equal(tr_bearer_find_alone(&found, tr_str_z(" ")), TR_NO_TOKEN);
    assert_int_equal(tr_bearer_find_alone(&found, tr_str_z("a, b")), TR_MULTIPLE_TOKENS);
}

static void assert_pieces(const char *field, bool has_scheme, const char *joined, apr_pool_t *pool)
{
    tr_str_t rest = tr_str_z(field), piece;
    const char *all = "";
    while (tr_bearer_next(&piece, &rest, has_scheme))
        all = tt_print(pool, "%s[%.*s]", all, (int)piece.len, piece.len > 0 ? piece.data : "");
    assert_string_equal(all, joined);
}

static void every_token_of_joined_fields_is_found(void **state)
{
    assert_pieces("Bearer a, Basic x , bearer \t b ", true, "[a][][b]", *state);
    assert_pieces("a,b ,,\tc", false, "[a][b][][c]", *state);
    assert_pieces("", false, "", *state);
    assert_pieces(",", true, "[]", *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(the_scheme_is_a_word_in_any_case),
        TT_TEST(two_fields_are_more_than_one_token),
        TT_TEST(a_field_may_hold_the_token_alone),
        TT_TEST(every_token_of_joined_fields_is_found),
    };
    return TT_RUN(tests);
}
