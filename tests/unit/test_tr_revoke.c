/*
 * The revocation endpoint below HTTP: every row of the table in docs/DIRECTIVES.md, RFC 7009 2.
 */
#include "tr_oauth.h"

#include <apr_strings.h>
#include <jansson.h>

#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

/* The four ways to ask. */
typedef struct way_t {
    tr_answers_t answers;
    tr_body_type_t type;
} way_t;

static const way_t ways[] = {{TR_ANSWERS_RFC7009, TR_BODY_FORM},
                             {TR_ANSWERS_RFC7009, TR_BODY_JSON},
                             {TR_ANSWERS_STRICT, TR_BODY_FORM},
                             {TR_ANSWERS_STRICT, TR_BODY_JSON}};
#define EACH_WAY(way)                                                                                                            \
    const way_t *way = ways;                                                                                                     \
    way < ways + 4;                                                                                                              \
    way++

static tr_answer_t ask_body(tt_world_t *world, way_t way, const char *body, apr_time_t now)
{
    static const tr_keep_t keep = {60, 0};
    tr_revoke_request_t request;
    tr_answer_t answer;
    tr_params_t *params;
    const char *why;
    memset(&request, 0, sizeof request);
    memset(&answer, 0xee, sizeof answer);
    request.type = way.type;
    request.answers = way.answers;
    request.keep = &keep;
    request.wall = request.now = request.clean_now = now;
    if (tr_params_from_body(&params, &why, way.type, tr_str_z(body), world->pool) != APR_SUCCESS) {
        tr_answer_refuse(&answer, way.answers, 400, why, world->pool);
        return answer;
    }
    request.params = params;
    tr_revoke_answer(&answer, &request, &world->gate, world->ledger, world->pool);
    return answer;
}

static tr_answer_t ask_more(tt_world_t *world, way_t way, const char *token, const char *form_more, const char *json_more)
{
    char *body = way.type == TR_BODY_FORM ? tt_print(world->pool, "token=%s%s", token, form_more)
                                          : tt_print(world->pool, "{\"token\":\"%s\"%s}", token, json_more);
    return ask_body(world, way, body, TT_AT(TT_NOW));
}

static tr_answer_t ask(tt_world_t *world, way_t way, const char *token)
{
    return ask_more(world, way, token, "", "");
}

static uint32_t held(const tt_world_t *world)
{
    tr_table_stats_t stats;
    tr_table_stats(&stats, world->table);
    return stats.used;
}

/* The answer's body is one JSON object: give its member, or NULL. The caller frees *doc. */
static json_t *member(json_t **doc, const tr_answer_t *answer, const char *name)
{
    *doc = json_loads(answer->body, JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_is_object(*doc));
    return json_object_get(*doc, name);
}

static void expect_error(const tr_answer_t *answer, bool strict, int status, const char *error)
{
    json_t *doc, *text = member(&doc, answer, "error");
    assert_int_equal(answer->status, status);
    assert_true(json_is_string(text) && json_string_length(text) > 0);
    if (error)
        assert_string_equal(json_string_value(text), error);
    for (const char *c = json_string_value(text); *c; c++)
        assert_true(*c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\');
    assert_int_equal(json_is_false(json_object_get(doc, "revoked")), strict);
    json_decref(doc);
}

static void expect_success(const tr_answer_t *answer, const way_t *way)
{
    bool empty = way->answers == TR_ANSWERS_RFC7009 && way->type == TR_BODY_FORM;
    json_t *doc, *revoked = member(&doc, answer, "revoked");
    assert_int_equal(answer->status, 200);
    assert_int_equal(json_object_size(doc), empty ? 0 : 1);
    assert_int_equal(json_is_true(revoked), !empty);
    json_decref(doc);
    assert_string_equal(answer->body, empty ? "{}" : "{\"revoked\":true}");
    assert_int_equal(answer->retry_after_s, 0);
    assert_false(answer->challenge);
}

static void a_good_token_is_revoked(void **state)
{
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 10);
        char *token = tt_good_token(*state, "j1", "");
        assert_int_equal(tt_admit(world, token), APR_SUCCESS);
        tr_answer_t answer = ask(world, *way, token);
        expect_success(&answer, way);
        assert_int_equal(answer.verdict, APR_SUCCESS);
        assert_string_equal(answer.fingerprint, tr_fingerprint(tr_str_z(token), *state));
        assert_int_equal(tt_admit(world, token), TR_REVOKED);
        assert_int_equal(held(world), 1);
    }
}

static void revoking_twice_is_still_success(void **state)
{
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 10);
        char *token = tt_good_token(*state, "j1", "");
        for (int i = 0; i < 3; i++) {
            tr_answer_t answer = ask(world, *way, token);
            expect_success(&answer, way);
            assert_int_equal(held(world), 1);
        }
    }
}

static void a_token_without_jti_is_revoked_too(void **state)
{
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 10);
        char *token = tt_good_token(*state, NULL, "");
        tr_answer_t answer = ask(world, *way, token);
        expect_success(&answer, way);
        assert_int_equal(tt_admit(world, token), TR_REVOKED);
    }
}

/* Tokens that could be accepted nowhere. */
static apr_array_header_t *bad_tokens(apr_pool_t *pool)
{
    apr_array_header_t *bad = apr_array_make(pool, 16, sizeof(char *));
    char *good = tt_good_token(pool, "j1", ""), *torn = apr_pstrdup(pool, good);
    char *mark = strrchr(torn, '.') + 7;
    *mark = *mark == 'A' ? 'B' : 'A';
    const char *expired = tt_print(pool, "{\"iss\":\"%s\",\"sub\":\"a\",\"jti\":\"j1\",\"exp\":%d}", TT_ISS, TT_NOW - 60);
    const char *foreign = tt_print(pool, "{\"iss\":\"eve\",\"sub\":\"a\",\"jti\":\"j1\",\"exp\":%d}", TT_NOW + 60);
    const char *endless = tt_print(pool, "{\"iss\":\"%s\",\"sub\":\"a\",\"jti\":\"j1\"}", TT_ISS);
    const tt_key_t *key = tt_key("P-256");
    const char *list[] = {"abc",
                          "a.b.c",
                          "...",
                          "x",
                          torn,
                          tt_print(pool, "%s.", good),
                          tt_repeat(pool, "A", 20000),
                          tt_mint(pool, "ES256", key, "k", expired),
                          tt_mint(pool, "ES256", key, "k", foreign),
                          tt_mint(pool, "ES256", key, "k", endless),
                          tt_mint(pool, "ES256", key, "nobody", tt_claims(pool, "j1", "")),
                          tt_mint(pool, "ES256", tt_key("P-256#eve"), "k", tt_claims(pool, "j1", "")),
                          tt_assemble(pool, "{\"alg\":\"none\"}", tt_claims(pool, "j1", ""), tr_str_z("x"))};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        *(const char **)apr_array_push(bad) = list[i];
    return bad;
}

static void a_bad_token_looks_revoked_by_rfc_7009_and_is_named_by_strict(void **state)
{
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 10);
        apr_array_header_t *bad = bad_tokens(*state);
        for (int i = 0; i < bad->nelts; i++) {
            tr_answer_t answer = ask(world, *way, APR_ARRAY_IDX(bad, i, const char *));
            assert_true(tr_is_refusal(answer.verdict));
            if (way->answers == TR_ANSWERS_RFC7009) {
                expect_success(&answer, way);
                continue;
            }
            expect_error(&answer, true, 401, "invalid token");
            assert_string_equal(answer.body, "{\"revoked\":false,\"error\":\"invalid token\"}");
            assert_true(answer.challenge);
        }
        assert_int_equal(held(world), 0);
        assert_int_equal(tt_admit(world, tt_good_token(*state, "j1", "")), APR_SUCCESS);
    }
}

static void a_refresh_or_id_token_is_revoked_unless_strict(void **state)
{
    static const char *marks[] = {",\"token_use\":\"refresh\"", ",\"typ\":\"Refresh\"", ",\"at_hash\":\"x\"", ",\"type\":\"id\""};
    for (EACH_WAY(way)) {
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
            tt_world_t *world = tt_world(*state, 10);
            tr_answer_t answer = ask(world, *way, tt_good_token(*state, "j1", marks[i]));
            if (way->answers == TR_ANSWERS_STRICT) {
                expect_error(&answer, true, 401, "unexpected token use");
                assert_string_equal(answer.body, "{\"revoked\":false,\"error\":\"unexpected token use\"}");
                assert_int_equal(held(world), 0);
                continue;
            }
            expect_success(&answer, way);
            assert_int_equal(tt_admit(world, tt_good_token(*state, "j1", "")), TR_REVOKED);
        }
    }
}

static void a_token_that_fits_nowhere_else_is_revoked_all_the_same(void **state)
{
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 10);
        world->issuer->audiences = apr_array_make(*state, 1, sizeof(const char *));
        *(const char **)apr_array_push(world->issuer->audiences) = "api";
        world->issuer->require_jti = true;
        const char *more[] = {",\"aud\":\"other\"", ",\"nbf\":1800000000", ",\"cnf\":{}", ",\"events\":{}",
                              ",\"client_id\":\"c\""};
        for (unsigned i = 0; i < sizeof more / sizeof *more; i++) {
            tr_answer_t answer = ask(world, *way, tt_good_token(*state, tt_print(*state, "j%u", i), more[i]));
            expect_success(&answer, way);
            assert_int_equal(answer.verdict, APR_SUCCESS);
            assert_int_equal(held(world), i + 1);
        }
        char *long_lived = tt_print(*state, "{\"iss\":\"%s\",\"jti\":\"long\",\"exp\":%d}", TT_ISS, TT_NOW + 86400 * 400);
        tr_answer_t answer = ask(world, *way, tt_mint(*state, "ES256", tt_key("P-256"), "k", long_lived));
        expect_success(&answer, way);
        assert_int_equal(held(world), 6);
    }
}

static void a_body_without_one_token_is_an_invalid_request(void **state)
{
    char *good = tt_good_token(*state, "j1", "");
    const char *forms[] = {"",
                           "foo=1",
                           "token",
                           "token=",
                           "&",
                           tt_print(*state, "token=%s&token=%s", good, good),
                           tt_print(*state, "Token=%s", good),
                           tt_print(*state, "token=%s&x=%%zz", good),
                           tt_print(*state, "token=%s&x=1&x=2", good),
                           "token=%00"};
    const char *jsons[] = {"",
                           "{}",
                           "[]",
                           "null",
                           "{\"token\":\"\"}",
                           "{\"token\":5}",
                           "{\"token\":null}",
                           "{\"token\":[\"a\"]}",
                           "{\"token\":true}",
                           tt_print(*state, "{\"token\":\"%s\",\"token\":\"%s\"}", good, good),
                           tt_print(*state, "[\"%s\"]", good),
                           tt_print(*state, "{\"token\":\"%s\"} x", good),
                           tt_print(*state, "token=%s", good)};
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 10);
        bool form = way->type == TR_BODY_FORM;
        size_t count = form ? sizeof forms / sizeof *forms : sizeof jsons / sizeof *jsons;
        for (size_t i = 0; i < count; i++) {
            tr_answer_t answer = ask_body(world, *way, form ? forms[i] : jsons[i], TT_AT(TT_NOW));
            expect_error(&answer, way->answers == TR_ANSWERS_STRICT, 400,
                         way->answers == TR_ANSWERS_STRICT ? NULL : "invalid_request");
            assert_int_not_equal(answer.verdict, APR_SUCCESS);
        }
        assert_int_equal(held(world), 0);
    }
}

static void a_hint_or_reason_that_is_no_string_is_an_invalid_request(void **state)
{
    static const char *more[] = {",\"reason\":5", ",\"token_type_hint\":null", ",\"reason\":[\"x\"]"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        tt_world_t *world = tt_world(*state, 10);
        way_t way = {TR_ANSWERS_RFC7009, TR_BODY_JSON};
        tr_answer_t answer = ask_more(world, way, tt_good_token(*state, "j1", ""), "", more[i]);
        expect_error(&answer, false, 400, "invalid_request");
        assert_int_equal(held(world), 0);
    }
}

static void another_media_type_is_an_invalid_request(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    char *token = tt_good_token(*state, "j1", "");
    way_t rfc = {TR_ANSWERS_RFC7009, TR_BODY_OTHER}, strict = {TR_ANSWERS_STRICT, TR_BODY_OTHER};
    char *body = tt_print(*state, "token=%s", token);
    tr_answer_t answer = ask_body(world, rfc, body, TT_AT(TT_NOW));
    expect_error(&answer, false, 400, "invalid_request");
    answer = ask_body(world, strict, body, TT_AT(TT_NOW));
    expect_error(&answer, true, 400, NULL);
    assert_int_equal(held(world), 0);
}

static void a_hint_and_unknown_parameters_change_nothing(void **state)
{
    static const char *more[][2] = {{"&token_type_hint=access_token", ",\"token_type_hint\":\"access_token\""},
                                    {"&token_type_hint=refresh_token", ",\"token_type_hint\":\"refresh_token\""},
                                    {"&token_type_hint=banana", ",\"token_type_hint\":\"banana\""},
                                    {"&token_type_hint=", ",\"token_type_hint\":\"\""},
                                    {"&x=y&callback=f", ",\"x\":\"y\",\"n\":{\"a\":[1]}"}};
    for (EACH_WAY(way)) {
        for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
            tt_world_t *world = tt_world(*state, 10);
            char *token = tt_good_token(*state, "j1", "");
            tr_answer_t answer = ask_more(world, *way, token, more[i][0], more[i][1]);
            expect_success(&answer, way);
            assert_int_equal(tt_admit(world, token), TR_REVOKED);
        }
    }
}

static void a_full_table_is_no_success(void **state)
{
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 1);
        char *token = tt_good_token(*state, "j2", "");
        tr_answer_t answer = ask(world, *way, tt_good_token(*state, "j1", ""));
        expect_success(&answer, way);
        answer = ask(world, *way, token);
        bool strict = way->answers == TR_ANSWERS_STRICT;
        expect_error(&answer, strict, strict ? 500 : 503, strict ? NULL : "temporarily_unavailable");
        assert_int_equal(answer.verdict, APR_ENOSPC);
        if (!strict)
            assert_true(answer.retry_after_s > 0);
        assert_int_equal(tt_admit(world, token), APR_SUCCESS);
        answer = ask(world, *way, tt_good_token(*state, "j1", ""));
        expect_success(&answer, way);
    }
}

typedef struct store_t {
    apr_status_t answer;
    tr_circumstances_t c;
} store_t;

static apr_status_t append(void *baton, tr_revocation_t *const *list, int n, apr_time_t now)
{
    store_t *store = baton;
    (void)now;
    assert_int_equal(n, 1);
    store->c = list[0]->circumstances;
    return store->answer;
}

static void what_cannot_be_made_durable_is_no_success(void **state)
{
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 10);
        store_t store = {APR_EGENERAL, {{NULL, 0}, {NULL, 0}, {NULL, 0}}};
        bool strict = way->answers == TR_ANSWERS_STRICT;
        world->ledger = tr_ledger_make(world->table, world->lock, append, &store, *state);
        tr_answer_t answer = ask(world, *way, tt_good_token(*state, "j1", ""));
        expect_error(&answer, strict, strict ? 500 : 503, strict ? NULL : "temporarily_unavailable");
        assert_int_equal(answer.verdict, APR_EGENERAL);
        store.answer = APR_SUCCESS;
        answer = ask(world, *way, tt_good_token(*state, "j1", ""));
        expect_success(&answer, way);
    }
}

static void without_a_ledger_nothing_is_a_success(void **state)
{
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 10);
        bool strict = way->answers == TR_ANSWERS_STRICT;
        world->ledger = NULL;
        tr_answer_t answer = ask(world, *way, tt_good_token(*state, "j1", ""));
        expect_error(&answer, strict, strict ? 500 : 503, strict ? NULL : "temporarily_unavailable");
    }
}

static void a_reason_of_one_kib_is_the_longest(void **state)
{
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 10);
        char *most = tt_repeat(*state, "r", 1024);
        bool strict = way->answers == TR_ANSWERS_STRICT;
        tr_answer_t answer = ask_more(world, *way, tt_good_token(*state, "j1", ""), tt_print(*state, "&reason=%sr", most),
                                      tt_print(*state, ",\"reason\":\"%sr\"", most));
        expect_error(&answer, strict, 400, strict ? NULL : "invalid_request");
        assert_int_equal(held(world), 0);
        answer = ask_more(world, *way, tt_good_token(*state, "j1", ""), tt_print(*state, "&reason=%s", most),
                          tt_print(*state, ",\"reason\":\"%s\"", most));
        expect_success(&answer, way);
    }
}

static void a_reason_is_stored(void **state)
{
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 10);
        store_t store = {APR_SUCCESS, {{NULL, 0}, {NULL, 0}, {NULL, 0}}};
        world->ledger = tr_ledger_make(world->table, world->lock, append, &store, *state);
        tr_answer_t answer =
            ask_more(world, *way, tt_good_token(*state, "j1", ""), "&reason=lost+phone", ",\"reason\":\"lost phone\"");
        expect_success(&answer, way);
        assert_str_is(store.c.reason, "lost phone");
        answer = ask(world, *way, tt_good_token(*state, "j2", ""));
        expect_success(&answer, way);
        assert_int_equal(store.c.reason.len, 0);
    }
}

/* What a caller with these rights is told. */
static tr_answer_t ask_with(tt_world_t *world, tr_revoke_request_t request, const char *token)
{
    static const tr_keep_t keep = {60, 0};
    tr_answer_t answer;
    tr_params_t *params;
    const char *why;
    memset(&answer, 0xee, sizeof answer);
    assert_int_equal(tr_params_from_form(&params, &why, tr_str_z(tt_print(world->pool, "token=%s", token)), world->pool),
                     APR_SUCCESS);
    request.type = TR_BODY_FORM;
    request.params = params;
    request.keep = &keep;
    request.wall = request.now = request.clean_now = TT_AT(TT_NOW);
    tr_revoke_answer(&answer, &request, &world->gate, world->ledger, world->pool);
    return answer;
}

static void an_opaque_token_is_taken_from_a_known_caller_where_that_is_on(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tr_revoke_request_t known = {.is_known = true, .opaque_s = 60}, unknown = {.opaque_s = 60}, off = {.is_known = true};
    tr_kind_t by;
    assert_int_equal(ask_with(world, unknown, "rt_1").status, 200);
    assert_int_equal(ask_with(world, off, "rt_1").status, 200);
    assert_int_equal(held(world), 0);
    assert_int_equal(ask_with(world, known, "rt_1").status, 200);
    assert_int_equal(held(world), 1);
    assert_int_equal(tr_gate_check_opaque(&by, &world->gate, tr_str_z("rt_1"), *state), TR_REVOKED);
    known.answers = TR_ANSWERS_STRICT;
    tr_answer_t answer = ask_with(world, known, "rt_2");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{\"revoked\":true}");
    assert_int_equal(held(world), 2);
}

static void an_opaque_token_that_cannot_be_stored_is_no_success(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    store_t store = {APR_EGENERAL, {{NULL, 0}, {NULL, 0}, {NULL, 0}}};
    tr_revoke_request_t known = {.is_known = true, .opaque_s = 60};
    world->ledger = tr_ledger_make(world->table, world->lock, append, &store, *state);
    assert_int_equal(ask_with(world, known, "rt_1").status, 503);
    store.answer = APR_SUCCESS;
    assert_int_equal(ask_with(world, known, "rt_1").status, 200);
    world->ledger = NULL;
    assert_int_equal(ask_with(world, known, "rt_1").status, 503);
}

static apr_status_t note_end(void *baton, tr_revocation_t *const *list, int n, apr_time_t now)
{
    (void)n;
    (void)now;
    *(int64_t *)baton = list[0]->entry.expires_s;
    return APR_SUCCESS;
}

/* The clock of this process may be ahead of the time of day, or behind it. */
static void an_opaque_token_is_kept_by_the_later_clock(void **state)
{
    static const tr_keep_t keep = {60, 0};
    static const int clocks[][2] = {{0, 500}, {500, 0}};
    for (int i = 0; i < 2; i++) {
        tt_world_t *world = tt_world(*state, 10);
        tr_revoke_request_t request = {.is_known = true, .opaque_s = 60, .type = TR_BODY_FORM, .keep = &keep};
        tr_answer_t answer;
        tr_params_t *params;
        const char *why;
        int64_t end_s = 0;
        world->ledger = tr_ledger_make(world->table, world->lock, note_end, &end_s, *state);
        assert_int_equal(tr_params_from_form(&params, &why, tr_str_z("token=rt_1"), *state), APR_SUCCESS);
        request.params = params;
        request.wall = TT_AT(TT_NOW + clocks[i][0]);
        request.now = request.clean_now = TT_AT(TT_NOW + clocks[i][1]);
        tr_revoke_answer(&answer, &request, &world->gate, world->ledger, *state);
        assert_int_equal(answer.status, 200);
        assert_true(end_s >= TT_NOW + 500 + 60);
    }
}

static void a_dead_refresh_token_ends_no_session_that_began_later(void **state)
{
    static const tr_keep_t keep = {60, 0};
    tt_world_t *world = tt_world(*state, 10);
    tr_revoke_request_t request = {.cascade = TR_SCOPE_SUBJECT};
    char *refresh = tt_good_token(*state, "r", ",\"token_use\":\"refresh\"");
    char *fresh = tt_mint(*state, "ES256", tt_key("P-256"), "k",
                          tt_print(*state, "{\"iss\":\"%s\",\"sub\":\"alice\",\"jti\":\"new\",\"iat\":%d,\"exp\":%d}", TT_ISS,
                                   TT_NOW + 50, TT_NOW + 3600));
    tr_answer_t answer;
    tr_params_t *params;
    const char *why;
    assert_int_equal(ask_with(world, request, refresh).status, 200);
    assert_int_equal(held(world), 2);
    assert_int_equal(tr_params_from_form(&params, &why, tr_str_z(tt_print(*state, "token=%s", refresh)), *state), APR_SUCCESS);
    request.type = TR_BODY_FORM;
    request.params = params;
    request.keep = &keep;
    request.wall = request.now = request.clean_now = TT_AT(TT_NOW + 100);
    tr_revoke_answer(&answer, &request, &world->gate, world->ledger, *state);
    assert_int_equal(answer.status, 200);
    assert_int_equal(tt_admit(world, fresh), APR_SUCCESS);
}

static void a_forged_or_dead_jwt_is_not_taken_for_opaque(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tr_revoke_request_t known = {.is_known = true, .opaque_s = 60};
    char *good = tt_good_token(*state, "j", "");
    char *forged = tt_mint(*state, "ES256", tt_key("P-256#2"), "k", tt_claims(*state, "j", ""));
    char *dead = tt_mint(*state, "ES256", tt_key("P-256"), "k", tt_print(*state, "{\"iss\":\"%s\",\"exp\":1}", TT_ISS));
    assert_int_equal(ask_with(world, known, forged).status, 200);
    assert_int_equal(ask_with(world, known, dead).status, 200);
    assert_int_equal(held(world), 0);
    assert_int_equal(tt_admit(world, good), APR_SUCCESS);
}

static void a_jwt_that_only_its_issuer_can_read_is_opaque(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tr_revoke_request_t known = {.is_known = true, .opaque_s = 60};
    char *theirs = tt_mint(*state, "ES256", tt_key("P-256"), "k", "{\"iss\":\"https://other.example/\",\"exp\":1}");
    tr_str_t name;
    tr_kind_t by;
    assert_int_equal(ask_with(world, known, theirs).status, 200);
    assert_int_equal(held(world), 1);
    assert_int_equal(tr_gate_opaque_text(&name, tr_str_z(theirs), TR_UNKNOWN_ISSUER, *state), APR_SUCCESS);
    assert_int_equal(tr_gate_check_opaque(&by, &world->gate, name, *state), TR_REVOKED);
}

static void a_refresh_token_takes_along_what_it_shall(void **state)
{
    static const struct {
        tr_scope_t cascade;
        apr_status_t same_session, same_subject;
    } cases[] = {{TR_SCOPE_TOKEN, APR_SUCCESS, APR_SUCCESS},
                 {TR_SCOPE_SESSION, TR_REVOKED, APR_SUCCESS},
                 {TR_SCOPE_SUBJECT, TR_REVOKED, TR_REVOKED}};
    char *refresh = tt_good_token(*state, "r", ",\"sid\":\"s\",\"token_use\":\"refresh\"");
    char *access = tt_good_token(*state, "a", ",\"sid\":\"s\"");
    char *elsewhere = tt_good_token(*state, "b", ",\"sid\":\"t\"");
    for (int c = 0; c < 3; c++) {
        tt_world_t *world = tt_world(*state, 10);
        tr_revoke_request_t request = {.cascade = cases[c].cascade};
        assert_int_equal(ask_with(world, request, tt_good_token(*state, "c", ",\"sid\":\"s\"")).status, 200);
        assert_int_equal(held(world), 1);
        assert_int_equal(ask_with(world, request, refresh).status, 200);
        assert_int_equal(tt_admit(world, access), cases[c].same_session);
        assert_int_equal(tt_admit(world, elsewhere), cases[c].same_subject);
    }
}

static void a_token_of_another_client_is_refused(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tr_revoke_request_t request = {.client_id = tr_str_z("c1")};
    static const char *const others[] = {",\"client_id\":\"c2\"", ",\"azp\":\"c2\"", ",\"client_id\":\"c1\",\"azp\":\"c2\"",
                                         ",\"client_id\":\"c2\",\"azp\":\"c1\"", ",\"client_id\":\"C1\""};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        for (int strict = 0; strict < 2; strict++) {
            request.answers = strict ? TR_ANSWERS_STRICT : TR_ANSWERS_RFC7009;
            tr_answer_t answer = ask_with(world, request, tt_good_token(*state, "j", others[i]));
            expect_error(&answer, strict, 400, "invalid_grant");
            assert_int_equal(held(world), 0);
        }
    request.answers = TR_ANSWERS_RFC7009;
    assert_int_equal(ask_with(world, request, tt_good_token(*state, "j1", ",\"client_id\":\"c1\"")).status, 200);
    assert_int_equal(ask_with(world, request, tt_good_token(*state, "j2", ",\"azp\":\"c1\"")).status, 200);
    assert_int_equal(ask_with(world, request, tt_good_token(*state, "j3", "")).status, 200);
    assert_int_equal(held(world), 3);
}

static void an_entry_outlives_its_token_by_the_margin(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    char *token = tt_good_token(*state, "j1", "");
    tr_entry_t last = {TR_KIND_TOKEN, tr_str_z("x"), tr_str_z("y"), 0, TR_FOREVER};
    tr_answer_t answer = ask(world, ways[0], token);
    assert_int_equal(answer.status, 200);
    tr_table_begin_locked(world->table);
    tr_table_sweep_locked(world->table, TT_NOW + 3600 + 59, 0);
    tr_table_end_locked(world->table);
    assert_int_equal(held(world), 1);
    tr_table_begin_locked(world->table);
    tr_table_sweep_locked(world->table, TT_NOW + 3600 + 62, 0);
    assert_int_equal(tr_table_insert_locked(world->table, &last, TT_NOW), APR_SUCCESS);
    tr_table_end_locked(world->table);
    assert_int_equal(held(world), 1);
}

static void a_token_that_just_expired_is_not_stored(void **state)
{
    for (EACH_WAY(way)) {
        tt_world_t *world = tt_world(*state, 10);
        char *token = tt_good_token(*state, "j1", "");
        char *body =
            way->type == TR_BODY_FORM ? tt_print(*state, "token=%s", token) : tt_print(*state, "{\"token\":\"%s\"}", token);
        tr_answer_t answer = ask_body(world, *way, body, TT_AT(TT_NOW + 3660));
        assert_int_equal(answer.verdict, TR_EXPIRED);
        assert_int_equal(held(world), 0);
        answer = ask_body(world, *way, body, TT_AT(TT_NOW + 3660) - 1);
        expect_success(&answer, way);
        assert_int_equal(held(world), 1);
    }
}

static void a_request_that_was_not_looked_at_is_answered_alike(void **state)
{
    static const int statuses[] = {400, 405, 413};
    for (size_t i = 0; i < 3; i++) {
        tr_answer_t answer;
        memset(&answer, 0xee, sizeof answer);
        tr_answer_refuse(&answer, TR_ANSWERS_RFC7009, statuses[i], "No such method", *state);
        expect_error(&answer, false, statuses[i], "invalid_request");
        assert_non_null(strstr(answer.body, "No such method"));
        memset(&answer, 0xee, sizeof answer);
        tr_answer_refuse(&answer, TR_ANSWERS_STRICT, statuses[i], "No such method", *state);
        expect_error(&answer, true, statuses[i], NULL);
        assert_non_null(strstr(answer.body, "No such method"));
        assert_int_equal(answer.retry_after_s, 0);
        assert_false(answer.challenge);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_good_token_is_revoked),
        TT_TEST(revoking_twice_is_still_success),
        TT_TEST(a_token_without_jti_is_revoked_too),
        TT_TEST(a_bad_token_looks_revoked_by_rfc_7009_and_is_named_by_strict),
        TT_TEST(a_refresh_or_id_token_is_revoked_unless_strict),
        TT_TEST(a_token_that_fits_nowhere_else_is_revoked_all_the_same),
        TT_TEST(a_body_without_one_token_is_an_invalid_request),
        TT_TEST(a_hint_or_reason_that_is_no_string_is_an_invalid_request),
        TT_TEST(another_media_type_is_an_invalid_request),
        TT_TEST(a_hint_and_unknown_parameters_change_nothing),
        TT_TEST(a_full_table_is_no_success),
        TT_TEST(what_cannot_be_made_durable_is_no_success),
        TT_TEST(without_a_ledger_nothing_is_a_success),
        TT_TEST(a_reason_of_one_kib_is_the_longest),
        TT_TEST(a_reason_is_stored),
        TT_TEST(an_opaque_token_that_cannot_be_stored_is_no_success),
        TT_TEST(an_opaque_token_is_kept_by_the_later_clock),
        TT_TEST(a_dead_refresh_token_ends_no_session_that_began_later),
        TT_TEST(an_opaque_token_is_taken_from_a_known_caller_where_that_is_on),
        TT_TEST(a_forged_or_dead_jwt_is_not_taken_for_opaque),
        TT_TEST(a_jwt_that_only_its_issuer_can_read_is_opaque),
        TT_TEST(a_refresh_token_takes_along_what_it_shall),
        TT_TEST(a_token_of_another_client_is_refused),
        TT_TEST(an_entry_outlives_its_token_by_the_margin),
        TT_TEST(a_token_that_just_expired_is_not_stored),
        TT_TEST(a_request_that_was_not_looked_at_is_answered_alike),
    };
    return TT_RUN(tests);
}
