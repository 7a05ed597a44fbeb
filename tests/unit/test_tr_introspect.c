/*
 * Introspection below HTTP: RFC 7662 2.2.
 */
#include "tr_introspect.h"

#include <apr_strings.h>
#include <jansson.h>

#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

static tr_answer_t ask_form(tt_world_t *world, const char *form)
{
    tr_params_t *params = NULL;
    const char *why;
    tr_answer_t answer;
    memset(&answer, 0xee, sizeof answer);
    assert_int_equal(tr_params_from_form(&params, &why, tr_str_z(form), world->pool), APR_SUCCESS);
    tr_introspect_answer(&answer, params, &world->gate, "sub", TT_AT(TT_NOW), world->pool);
    return answer;
}

static tr_answer_t ask(tt_world_t *world, const char *token)
{
    return ask_form(world, tt_print(world->pool, "token=%s", token));
}

static char *sign(apr_pool_t *pool, const char *payload)
{
    return tt_mint(pool, "ES256", tt_key("P-256"), "k", payload);
}

/* The answer for a token with these members beside iss, sub and exp. The caller frees it. */
static json_t *introspect(tt_world_t *world, const char *more)
{
    char *payload = tt_print(world->pool, "{\"iss\":\"%s\",\"sub\":\"alice\"%s}", TT_ISS, more);
    tr_answer_t answer = ask(world, sign(world->pool, payload));
    json_t *doc = json_loads(answer.body, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.verdict, APR_SUCCESS);
    assert_true(json_is_object(doc));
    assert_true(json_is_true(json_object_get(doc, "active")));
    assert_int_equal(strncmp(answer.body, "{\"active\":true,", 15), 0);
    return doc;
}

/* Members of a token's claims, and the same member of the answer as JSON; NULL: it is not there. */
typedef struct row_t {
    const char *claims;
    const char *name;
    const char *expected;
} row_t;

static void expect_rows(apr_pool_t *pool, const row_t *rows, size_t count)
{
    tt_world_t *world = tt_world(pool, 10);
    world->issuer->max_lifetime_s = TR_UNLIMITED;
    for (size_t i = 0; i < count; i++) {
        json_t *doc = introspect(world, rows[i].claims);
        json_t *have = json_object_get(doc, rows[i].name);
        json_t *want = rows[i].expected ? json_loads(rows[i].expected, JSON_DECODE_ANY, NULL) : NULL;
        if (want == NULL)
            assert_null(have);
        else
            assert_true(have != NULL && json_equal(have, want));
        json_decref(want);
        json_decref(doc);
    }
}
#define EXPECT(pool, rows) expect_rows(pool, rows, sizeof(rows) / sizeof *(rows))

#define EXP ",\"exp\":1700000100"

static void a_good_token_is_active_with_all_its_claims(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    json_t *doc = introspect(
        world, ",\"exp\":1700000100,\"iat\":1700000000,\"nbf\":1,\"jti\":\"j\",\"aud\":[\"a\",\"b\"],\"scope\":\"r w\","
               "\"client_id\":\"c\",\"roles\":[\"x\"],\"n\":null,\"deep\":{\"a\":[1,{\"b\":false}]}");
    json_t *want =
        json_pack("{s:b,s:s,s:s,s:s,s:i,s:i,s:i,s:s,s:[s,s],s:s,s:s,s:[s],s:n,s:{s:[i,{s:b}]}}", "active", 1, "token_type",
                  "Bearer", "iss", TT_ISS, "sub", "alice", "exp", 1700000100, "iat", 1700000000, "nbf", 1, "jti", "j", "aud", "a",
                  "b", "scope", "r w", "client_id", "c", "roles", "x", "n", "deep", "a", 1, "b", 0);
    assert_non_null(want);
    assert_true(json_equal(doc, want));
    json_decref(want);
    json_decref(doc);
}

static void the_answer_names_the_token_in_the_log_only(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    char *token = tt_good_token(*state, "j1", "");
    tr_answer_t answer = ask(world, token);
    assert_string_equal(answer.fingerprint, tr_fingerprint(tr_str_z(token), *state));
    assert_null(strstr(answer.body, token));
    assert_null(strstr(answer.body, answer.fingerprint));
}

static void dates_are_whole_seconds(void **state)
{
    static const row_t rows[] = {
        {",\"exp\":1999999999.5", "exp", "1999999999"},
        {",\"exp\":1.9e9", "exp", "1900000000"},
        {",\"exp\":9223372036854775807", "exp", "9223372036854775807"},
        {",\"exp\":9223372036854775808", "exp", NULL},
        {",\"exp\":1e300", "exp", NULL},
        {EXP ",\"iat\":1699999999.999", "iat", "1699999999"},
        {EXP ",\"iat\":-0.5", "iat", "-1"},
        {EXP ",\"nbf\":-1e300", "nbf", NULL},
        {EXP ",\"nbf\":-9223372036854775808", "nbf", "-9223372036854775808"},
        {EXP, "iat", NULL},
        {EXP, "nbf", NULL},
    };
    EXPECT(*state, rows);
}

static void scope_is_one_string(void **state)
{
    static const row_t rows[] = {
        {EXP ",\"scope\":\"a b\"", "scope", "\"a b\""},
        {EXP ",\"scope\":[\"a\",\"b\"]", "scope", "\"a b\""},
        {EXP ",\"scp\":[\"a\",\"b\"]", "scope", "\"a b\""},
        {EXP ",\"scp\":[\"a\",\"b\"]", "scp", "[\"a\",\"b\"]"},
        {EXP ",\"scp\":\"a b\"", "scope", "\"a b\""},
        {EXP ",\"scope\":\"a\",\"scp\":[\"b\"]", "scope", "\"a\""},
        {EXP ",\"scope\":[],\"scp\":[\"b\"]", "scope", NULL},
        {EXP ",\"scope\":null,\"scp\":[\"b\"]", "scope", NULL},
        {EXP ",\"scope\":7", "scope", NULL},
        {EXP ",\"scope\":{\"a\":\"b\"}", "scope", NULL},
        {EXP ",\"scope\":[\"a\",7,null,[\"b\"],\"c\"]", "scope", "\"a c\""},
        {EXP ",\"scope\":\"\"", "scope", NULL},
        {EXP, "scope", NULL},
    };
    EXPECT(*state, rows);
}

/* "read admin" is no scope, and must not become two. */
static void a_scope_that_would_be_read_as_two_is_left_out(void **state)
{
    static const row_t rows[] = {
        {EXP ",\"scope\":[\"read admin\"]", "scope", NULL},
        {EXP ",\"scope\":[\"a\",\"b c\",\"d\"]", "scope", "\"a d\""},
        {EXP ",\"scope\":[\"a\",\"\",\"\\t\",\"x\\ny\",\"q\\\"\",\"b\\\\\",\"\\u00e9\",\"d\"]", "scope", "\"a d\""},
    };
    EXPECT(*state, rows);
}

static void client_id_is_also_found_as_azp(void **state)
{
    static const row_t rows[] = {
        {EXP ",\"client_id\":\"c\"", "client_id", "\"c\""},
        {EXP ",\"azp\":\"c\"", "client_id", "\"c\""},
        {EXP ",\"azp\":\"c\"", "azp", "\"c\""},
        {EXP ",\"azp\":\"a\",\"client_id\":\"c\"", "client_id", "\"c\""},
        {EXP ",\"azp\":\"a\",\"client_id\":\"\"", "client_id", "\"a\""},
        {EXP, "client_id", NULL},
    };
    EXPECT(*state, rows);
}

static void no_claim_speaks_in_our_name(void **state)
{
    static const row_t rows[] = {
        {EXP ",\"active\":false", "active", "true"},
        {EXP ",\"active\":\"false\"", "active", "true"},
        {EXP ",\"\\u0061ctive\":null", "active", "true"},
        {EXP ",\"Active\":false", "Active", "false"},
        {EXP ",\"token_type\":\"DPoP\"", "token_type", "\"Bearer\""},
        {EXP ",\"token_type\":{\"a\":1}", "token_type", "\"Bearer\""},
    };
    EXPECT(*state, rows);
}

static void hostile_claims_stay_what_they_are(void **state)
{
    static const row_t rows[] = {
        {EXP ",\"a\\\":1,\\\"active\\\":false,\\\"b\":\"\\\"},{\\\"\"", "a\":1,\"active\":false,\"b", "\"\\\"},{\\\"\""},
        {EXP ",\"\":[]", "", "[]"},
        {EXP ",\"u\":\"\\u2028\\u0001\\ud83d\\ude00\\u00e9\"", "u", "\"\\u2028\\u0001\\ud83d\\ude00\\u00e9\""},
        {EXP ",\"big\":18446744073709551616", "big", "18446744073709551616.0"},
        {EXP ",\"big\":1e400", "big", "null"},
        {EXP ",\"x\":{\"active\":false}", "x", "{\"active\":false}"},
    };
    EXPECT(*state, rows);
    tt_world_t *world = tt_world(*state, 10);
    char *name = tt_repeat(*state, "n", 1024);
    json_t *doc = introspect(
        world, tt_print(*state, EXP ",\"%s\":1,\"deep\":%s%s", name, tt_repeat(*state, "[", 31), tt_repeat(*state, "]", 31)));
    assert_true(json_is_integer(json_object_get(doc, name)));
    json_decref(doc);
}

static void what_is_refused_is_inactive_and_nothing_more(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    apr_pool_t *pool = *state;
    char *good = tt_good_token(pool, "j1", "");
    const char *bad[] = {"abc",
                         "..",
                         tt_print(pool, "%s.", good),
                         tt_repeat(pool, "A", 20000),
                         tt_mint(pool, "ES256", tt_key("P-256#eve"), "k", tt_claims(pool, "j1", "")),
                         tt_mint(pool, "ES256", tt_key("P-256"), "nobody", tt_claims(pool, "j1", "")),
                         tt_assemble(pool, "{\"alg\":\"none\"}", tt_claims(pool, "j1", ""), tr_str_z("x")),
                         sign(pool, tt_print(pool, "{\"iss\":\"%s\",\"sub\":\"a\",\"exp\":%d}", TT_ISS, TT_NOW - 60)),
                         sign(pool, tt_print(pool, "{\"iss\":\"eve\",\"sub\":\"a\",\"exp\":%d}", TT_NOW + 60)),
                         sign(pool, tt_print(pool, "{\"iss\":\"%s\",\"exp\":%d}", TT_ISS, TT_NOW + 60)),
                         tt_good_token(pool, "j1", ",\"nbf\":1800000000"),
                         tt_good_token(pool, "j1", ",\"cnf\":{}"),
                         tt_good_token(pool, "j1", ",\"events\":{}"),
                         tt_good_token(pool, "j1", ",\"token_use\":\"refresh\""),
                         tt_good_token(pool, "j1", ",\"at_hash\":\"x\""),
                         tt_good_token(pool, "j1", ",\"sid\":7")};
    assert_int_equal(ask(world, good).verdict, APR_SUCCESS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tr_answer_t answer = ask(world, bad[i]);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, "{\"active\":false}");
        assert_true(tr_is_refusal(answer.verdict));
        assert_false(answer.challenge);
    }
}

static void a_revoked_token_is_inactive(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tr_circumstances_t nobody = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    char *token = tt_good_token(*state, "j1", "");
    tr_entry_t entry = {TR_KIND_TOKEN, tr_str_z(TT_ISS), tr_str_z("j1"), 0, TR_FOREVER};
    assert_int_equal(tr_ledger_revoke(world->ledger, &entry, &nobody, TT_AT(TT_NOW)), APR_SUCCESS);
    tr_answer_t answer = ask(world, token);
    assert_string_equal(answer.body, "{\"active\":false}");
    assert_int_equal(answer.verdict, TR_REVOKED);
}

static bool never_informed(void)
{
    return false;
}

static void what_cannot_be_known_is_unavailable(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    char *good = tt_good_token(*state, "j1", "");
    for (int i = 0; i < 2; i++) {
        if (i == 0)
            world->gate.is_informed = never_informed;
        else
            world->gate.table = NULL;
        tr_answer_t answer = ask(world, good);
        assert_int_equal(answer.status, 503);
        assert_true(answer.retry_after_s > 0);
        assert_null(strstr(answer.body, "active"));
        json_t *doc = json_loads(answer.body, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(doc, "error")), "temporarily_unavailable");
        json_decref(doc);
        assert_string_equal(ask(world, "abc").body, "{\"active\":false}");
    }
}

static void a_form_without_one_token_is_an_invalid_request(void **state)
{
    static const char *forms[] = {"", "x=1", "token=", "Token=a", "token_type_hint=access_token"};
    tt_world_t *world = tt_world(*state, 10);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        tr_answer_t answer = ask_form(world, forms[i]);
        assert_int_equal(answer.status, 400);
        assert_non_null(strstr(answer.body, "\"error\":\"invalid_request\""));
        assert_null(strstr(answer.body, "active"));
        assert_null(answer.fingerprint);
    }
}

static void a_hint_changes_nothing(void **state)
{
    static const char *hints[] = {"access_token", "refresh_token", "banana", ""};
    tt_world_t *world = tt_world(*state, 10);
    char *good = tt_good_token(*state, "j1", "");
    char *body = apr_pstrdup(*state, ask(world, good).body);
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        tr_answer_t answer = ask_form(world, tt_print(*state, "token=%s&token_type_hint=%s", good, hints[i]));
        assert_string_equal(answer.body, body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_good_token_is_active_with_all_its_claims),
        TT_TEST(the_answer_names_the_token_in_the_log_only),
        TT_TEST(dates_are_whole_seconds),
        TT_TEST(scope_is_one_string),
        TT_TEST(a_scope_that_would_be_read_as_two_is_left_out),
        TT_TEST(client_id_is_also_found_as_azp),
        TT_TEST(no_claim_speaks_in_our_name),
        TT_TEST(hostile_claims_stay_what_they_are),
        TT_TEST(what_is_refused_is_inactive_and_nothing_more),
        TT_TEST(a_revoked_token_is_inactive),
        TT_TEST(what_cannot_be_known_is_unavailable),
        TT_TEST(a_form_without_one_token_is_an_invalid_request),
        TT_TEST(a_hint_changes_nothing),
    };
    return TT_RUN(tests);
}
