/*
 * Back-channel logout below HTTP: OpenID Connect Back-Channel Logout 1.0, sections 2.4 to 2.8.
 */
#include "tr_backchannel.h"

#include <apr_strings.h>
#include <jansson.h>

#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

#define EVENTS "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}"
#define KEEP_S 60

static const tr_keep_t keep = {KEEP_S, 0};

static tr_answer_t post(tt_world_t *world, tr_body_type_t type, const char *body, apr_time_t now)
{
    tr_backchannel_request_t request;
    tr_params_t *params = NULL;
    tr_answer_t answer;
    const char *why;
    memset(&request, 0, sizeof request);
    memset(&answer, 0xee, sizeof answer);
    if (type == TR_BODY_FORM)
        assert_int_equal(tr_params_from_form(&params, &why, tr_str_z(body), world->pool), APR_SUCCESS);
    request.type = type;
    request.params = params;
    request.keep = &keep;
    request.now = request.clean_now = now;
    tr_backchannel_answer(&answer, &request, &world->gate, world->ledger, world->pool);
    json_t *doc = json_loads(answer.body, JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_is_object(doc));
    json_decref(doc);
    return answer;
}

static tr_answer_t give_at(tt_world_t *world, const char *token, apr_time_t now)
{
    return post(world, TR_BODY_FORM, tt_print(world->pool, "logout_token=%s", token), now);
}

static tr_answer_t give(tt_world_t *world, const char *token)
{
    return give_at(world, token, TT_AT(TT_NOW));
}

static char *sign(apr_pool_t *pool, const char *payload)
{
    return tt_token(pool, "ES256", tt_key("P-256"), "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"logout+jwt\"}", payload);
}

/* A good logout token with this jti, and members like "\"sid\":\"s\"". */
static char *logout_of(apr_pool_t *pool, const char *jti, const char *more)
{
    return sign(pool, tt_print(pool, "{\"iss\":\"%s\",\"aud\":\"app\",\"iat\":%d,\"exp\":%d,\"jti\":\"%s\"," EVENTS ",%s}",
                               TT_ISS, TT_NOW - 2, TT_NOW + 120, jti, more));
}

/* An access token of that session, issued at iat. */
static char *access_of(apr_pool_t *pool, const char *sub, const char *sid, int iat)
{
    static int serial;
    return tt_mint(pool, "ES256", tt_key("P-256"), "k",
                   tt_print(pool, "{\"iss\":\"%s\",\"sub\":\"%s\",\"sid\":\"%s\",\"iat\":%d,\"exp\":%d,\"jti\":\"a%d\"}", TT_ISS,
                            sub, sid, iat, TT_NOW + 3600, ++serial));
}

static void expect_ok(tr_answer_t answer)
{
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{}");
    assert_int_equal(answer.verdict, APR_SUCCESS);
}

static void expect_refused(tr_answer_t answer)
{
    assert_int_equal(answer.status, 400);
    assert_non_null(strstr(answer.body, "{\"error\":\"invalid_request\",\"error_description\":\""));
    assert_int_not_equal(answer.verdict, APR_SUCCESS);
    assert_non_null(answer.detail);
    for (const char *c = answer.detail; *c; c++)
        assert_true(*c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\');
}

static void expect_failed(tr_answer_t answer)
{
    assert_int_equal(answer.status, 400);
    assert_non_null(strstr(answer.body, "{\"error\":\"temporarily_unavailable\""));
    assert_int_not_equal(answer.verdict, APR_SUCCESS);
    assert_false(tr_is_refusal(answer.verdict));
}

static uint32_t held(const tt_world_t *world)
{
    tr_table_stats_t stats;
    tr_table_stats(&stats, world->table);
    return stats.used;
}

static apr_time_t cut_off_of(const tt_world_t *world, tr_kind_t kind, const char *value)
{
    apr_time_t cut_off = 0;
    assert_true(tr_table_lookup(world->table, &cut_off, tr_table_mark(world->table, kind, tr_str_z(TT_ISS), tr_str_z(value))));
    return cut_off;
}

/* ---- what it ends ---- */

static void a_sid_ends_that_session_and_no_other(void **state)
{
    static const char *more[] = {"\"sid\":\"s1\"", "\"sid\":\"s1\",\"sub\":\"alice\""};
    for (int i = 0; i < 2; i++) {
        tt_world_t *world = tt_world(*state, 10);
        expect_ok(give(world, logout_of(*state, "l1", more[i])));
        assert_int_equal(tt_admit(world, access_of(*state, "alice", "s1", TT_NOW - 60)), TR_REVOKED);
        assert_int_equal(tt_admit(world, access_of(*state, "alice", "s2", TT_NOW - 60)), APR_SUCCESS);
        assert_int_equal(tt_admit(world, tt_good_token(*state, "j1", "")), APR_SUCCESS);
        assert_int_equal(held(world), 2);
    }
}

static void a_sub_ends_all_sessions_of_the_subject(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    expect_ok(give(world, logout_of(*state, "l1", "\"sub\":\"alice\"")));
    assert_int_equal(tt_admit(world, access_of(*state, "alice", "s1", TT_NOW - 60)), TR_REVOKED);
    assert_int_equal(tt_admit(world, access_of(*state, "alice", "s2", TT_NOW - 60)), TR_REVOKED);
    assert_int_equal(tt_admit(world, tt_good_token(*state, "j1", "")), TR_REVOKED);
    assert_int_equal(tt_admit(world, access_of(*state, "bob", "s1", TT_NOW - 60)), APR_SUCCESS);
}

static void whom_nobody_knows_is_logged_out_already(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    expect_ok(give(world, logout_of(*state, "l1", "\"sub\":\"nobody\"")));
    expect_ok(give(world, logout_of(*state, "l2", "\"sid\":\"none\"")));
}

static void a_later_login_works_and_one_of_the_same_second_does_not(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    expect_ok(give_at(world, logout_of(*state, "l1", "\"sid\":\"s1\""), TT_AT(TT_NOW) - 700000));
    assert_int_equal(tt_admit(world, access_of(*state, "alice", "s1", TT_NOW - 1)), TR_REVOKED);
    assert_int_equal(tt_admit(world, access_of(*state, "alice", "s1", TT_NOW)), APR_SUCCESS);
}

/* The provider's clock is ahead of ours: so are the times of its tokens. */
static void the_cut_off_is_the_later_of_now_and_iat(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    char *payload =
        tt_print(*state, "{\"iss\":\"%s\",\"aud\":\"app\",\"iat\":%d,\"exp\":%d,\"jti\":\"l1\"," EVENTS ",\"sid\":\"s1\"}",
                 TT_ISS, TT_NOW + 30, TT_NOW + 120);
    expect_ok(give(world, sign(*state, payload)));
    assert_int_equal(cut_off_of(world, TR_KIND_SESSION, "s1"), TT_AT(TT_NOW + 30));
    assert_int_equal(tt_admit(world, access_of(*state, "alice", "s1", TT_NOW + 30)), TR_REVOKED);
    assert_int_equal(tt_admit(world, access_of(*state, "alice", "s1", TT_NOW + 31)), APR_SUCCESS);
    expect_ok(give(world, logout_of(*state, "l2", "\"sid\":\"s2\"")));
    assert_int_equal(cut_off_of(world, TR_KIND_SESSION, "s2"), TT_AT(TT_NOW));
}

/* ---- the token ---- */

static void each_required_claim_must_be_there(void **state)
{
    static const char *claims[] = {"\"iss\":\"" TT_ISS "\"",
                                   "\"aud\":\"app\"",
                                   "\"iat\":1699999990",
                                   "\"exp\":1700000100",
                                   "\"jti\":\"l1\"",
                                   "\"sub\":\"alice\"",
                                   EVENTS};
    enum { COUNT = sizeof claims / sizeof *claims };
    tt_world_t *world = tt_world(*state, 10);
    tt_trust(world, tt_issuer(world, "*"), tt_key("P-256"), "k");
    for (int left_out = 0; left_out <= COUNT; left_out++) {
        char *payload = apr_pstrdup(*state, "{\"x\":0");
        for (int i = 0; i < COUNT; i++)
            payload = i == left_out ? payload : tt_print(*state, "%s,%s", payload, claims[i]);
        tr_answer_t answer = give(world, sign(*state, tt_print(*state, "%s}", payload)));
        if (left_out < COUNT) {
            expect_refused(answer);
            assert_int_equal(held(world), 0);
        }
        else
            expect_ok(answer);
    }
}

/* Members that take the place of those of the same name in a good token. */
static char *replaced(apr_pool_t *pool, const char *members)
{
    json_t *good = json_loads(
        tt_print(pool, "{\"iss\":\"%s\",\"aud\":\"app\",\"iat\":%d,\"exp\":%d,\"jti\":\"l1\",\"sub\":\"alice\"," EVENTS "}",
                 TT_ISS, TT_NOW - 2, TT_NOW + 120),
        0, NULL);
    json_t *more = json_loads(tt_print(pool, "{%s}", members), 0, NULL);
    assert_true(good && more);
    json_object_update(good, more);
    char *text = json_dumps(good, 0), *copy = apr_pstrdup(pool, text);
    free(text);
    json_decref(more);
    json_decref(good);
    return copy;
}

static void claims_of_wrong_types_and_values_are_refused(void **state)
{
    static const char *bad[] = {
        "\"iss\":\"\"",
        "\"iss\":7",
        "\"iss\":null",
        "\"iss\":\"https://evil.test/\"",
        "\"aud\":\"\"",
        "\"aud\":7",
        "\"aud\":null",
        "\"aud\":[]",
        "\"aud\":{}",
        "\"aud\":[\"app\",7]",
        "\"aud\":[[\"app\"]]",
        "\"iat\":\"1699999990\"",
        "\"iat\":null",
        "\"iat\":true",
        "\"iat\":1700000061",
        "\"iat\":1e300",
        "\"iat\":1600000000",
        "\"exp\":\"1700000100\"",
        "\"exp\":null",
        "\"exp\":1699999940",
        "\"exp\":0",
        "\"exp\":1e300",
        "\"nbf\":1800000000",
        "\"nbf\":\"x\"",
        "\"jti\":\"\"",
        "\"jti\":7",
        "\"jti\":null",
        "\"jti\":[\"l1\"]",
        "\"jti\":\"a\\nb\"",
        "\"sub\":\"\"",
        "\"sub\":\"\",\"sid\":\"s\"",
        "\"sub\":7",
        "\"sub\":null",
        "\"sub\":{}",
        "\"sub\":\"a\\u007f\"",
        "\"sid\":\"\"",
        "\"sid\":7",
        "\"sid\":null",
        "\"sid\":[\"s\"]",
        "\"nonce\":\"n\"",
        "\"nonce\":null",
        "\"nonce\":1",
        "\"nonce\":{}",
        "\"events\":null",
        "\"events\":[]",
        "\"events\":{}",
        "\"events\":\"x\"",
        "\"events\":1",
        "\"events\":\"http://schemas.openid.net/event/backchannel-logout\"",
        "\"events\":[\"http://schemas.openid.net/event/backchannel-logout\"]",
        "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":null}",
        "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":[]}",
        "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":true}",
        "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":\"\"}",
        "\"events\":{\"https://schemas.openid.net/event/backchannel-logout\":{}}",
        "\"events\":{\"http://schemas.openid.net/event/backchannel-logout/\":{}}",
        "\"events\":{\"HTTP://SCHEMAS.OPENID.NET/EVENT/BACKCHANNEL-LOGOUT\":{}}",
    };
    tt_world_t *world = tt_world(*state, 10);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_refused(give(world, sign(*state, replaced(*state, bad[i]))));
        assert_int_equal(held(world), 0);
    }
    char *long_jti = tt_print(*state, "\"jti\":\"%s\"", tt_repeat(*state, "j", TR_MAX_IDENTIFIER_LEN + 1));
    expect_refused(give(world, sign(*state, replaced(*state, long_jti))));
}

static void what_the_text_allows_is_accepted(void **state)
{
    static const char *good[] = {
        "\"aud\":[\"app\"]",
        "\"aud\":[\"x\",\"y\"]",
        "\"iat\":1699999990.5",
        "\"exp\":1.7000001e9",
        "\"nbf\":1",
        "\"state\":1",
        "\"sid\":\"s\"",
        "\"trace_id\":\"x\"",
        "\"nonce2\":1",
        "\"toe\":1",
        "\"cnf\":{}",
        "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{\"x\":1}}",
        "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{},\"urn:x\":null}",
        "\"jti\":\"a\\u00e9\\ud83d\\ude00\"",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        tt_world_t *world = tt_world(*state, 10);
        expect_ok(give(world, sign(*state, replaced(*state, good[i]))));
        assert_int_equal(held(world), 2);
    }
}

static void the_type_is_none_or_jwt_or_logout(void **state)
{
    static const struct {
        const char *member;
        bool good;
    } types[] = {{"", true},
                 {",\"typ\":\"JWT\"", true},
                 {",\"typ\":\"jwt\"", true},
                 {",\"typ\":\"logout+jwt\"", true},
                 {",\"typ\":\"LOGOUT+JWT\"", true},
                 {",\"typ\":\"application/logout+jwt\"", true},
                 {",\"typ\":\"application/application/logout+jwt\"", false},
                 {",\"typ\":\"\"", false},
                 {",\"typ\":\"at+jwt\"", false},
                 {",\"typ\":\"secevent+jwt\"", false},
                 {",\"typ\":\"x/logout+jwt\"", false},
                 {",\"typ\":null", false}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        tt_world_t *world = tt_world(*state, 10);
        char *header = tt_print(*state, "{\"alg\":\"ES256\",\"kid\":\"k\"%s}", types[i].member);
        tr_answer_t answer = give(world, tt_token(*state, "ES256", tt_key("P-256"), header, replaced(*state, "\"x\":1")));
        if (types[i].good)
            expect_ok(answer);
        else
            expect_refused(answer);
    }
}

static apr_array_header_t *list_of(apr_pool_t *pool, const char *item)
{
    apr_array_header_t *list = apr_array_make(pool, 1, sizeof(const char *));
    *(const char **)apr_array_push(list) = item;
    return list;
}

static void the_audience_is_that_of_logout_or_else_of_the_others(void **state)
{
    static const struct {
        const char *audience, *logout_audience, *aud;
        bool good;
    } cases[] = {{"api", NULL, "\"api\"", true},         {"api", NULL, "\"app\"", false}, {"api", "app", "\"app\"", true},
                 {"api", "app", "\"api\"", false},       {NULL, "app", "\"app\"", true},  {NULL, "app", "\"x\"", false},
                 {NULL, "app", "[\"x\",\"app\"]", true}, {NULL, "app", "\"App\"", false}, {NULL, "app", "\"app2\"", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tt_world_t *world = tt_world(*state, 10);
        world->issuer->audiences = cases[i].audience ? list_of(*state, cases[i].audience) : NULL;
        world->issuer->logout_audiences = cases[i].logout_audience ? list_of(*state, cases[i].logout_audience) : NULL;
        tr_answer_t answer = give(world, sign(*state, replaced(*state, tt_print(*state, "\"aud\":%s", cases[i].aud))));
        if (cases[i].good)
            expect_ok(answer);
        else
            expect_refused(answer);
    }
}

static void a_token_that_no_trusted_key_signed_is_refused(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    apr_pool_t *pool = *state;
    char *payload = replaced(pool, "\"x\":1"), *good = sign(pool, payload), *torn = apr_pstrdup(pool, good);
    char *mark = strrchr(torn, '.') + 7;
    *mark = *mark == 'A' ? 'B' : 'A';
    tt_key_t public_as_secret = {NULL, tr_str_z(tt_pem(pool, tt_key("P-256"))), NULL};
    const char *bad[] = {torn,
                         "abc",
                         "a.b.c.d.e",
                         tt_print(pool, "%s.", apr_pstrmemdup(pool, good, (apr_size_t)(strrchr(good, '.') - good))),
                         tt_mint(pool, "ES256", tt_key("P-256#eve"), "k", payload),
                         tt_mint(pool, "ES256", tt_key("P-256"), "unknown", payload),
                         tt_mint(pool, "HS256", &public_as_secret, "k", payload),
                         tt_assemble(pool, "{\"alg\":\"none\"}", payload, tr_str_z("x")),
                         tt_assemble(pool, "{\"alg\":\"None\",\"kid\":\"k\"}", payload, tr_str_z("x"))};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_refused(give(world, bad[i]));
        assert_int_equal(held(world), 0);
    }
    world->issuer->algs = TR_ALG_BIT(TR_ALG_RS256);
    expect_refused(give(world, good));
}

static void an_access_or_id_token_is_no_logout_token(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    expect_refused(give(world, tt_good_token(*state, "j1", ",\"aud\":\"app\"")));
    expect_refused(give(world, tt_good_token(*state, "j1", ",\"aud\":\"app\",\"nonce\":\"n\",\"at_hash\":\"x\"," EVENTS)));
    assert_int_equal(held(world), 0);
}

static void a_body_without_one_token_is_an_invalid_request(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    char *token = logout_of(*state, "l1", "\"sub\":\"alice\"");
    const char *forms[] = {"",
                           "x=1",
                           "logout_token",
                           "logout_token=",
                           tt_print(*state, "Logout_Token=%s", token),
                           tt_print(*state, "token=%s", token)};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        expect_refused(post(world, TR_BODY_FORM, forms[i], TT_AT(TT_NOW)));
    expect_refused(post(world, TR_BODY_JSON, tt_print(*state, "{\"logout_token\":\"%s\"}", token), TT_AT(TT_NOW)));
    expect_refused(post(world, TR_BODY_OTHER, tt_print(*state, "logout_token=%s", token), TT_AT(TT_NOW)));
    assert_int_equal(held(world), 0);
    expect_ok(post(world, TR_BODY_FORM, tt_print(*state, "state=1&logout_token=%s&x=", token), TT_AT(TT_NOW)));
}

/* ---- once ---- */

static void a_token_that_was_used_is_refused_and_changes_nothing(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    char *token = logout_of(*state, "l1", "\"sid\":\"s1\"");
    expect_ok(give(world, token));
    char *later = access_of(*state, "alice", "s1", TT_NOW + 10);
    for (int i = 0; i < 3; i++) {
        tr_answer_t answer = give_at(world, token, TT_AT(TT_NOW + 20));
        expect_refused(answer);
        assert_string_equal(answer.fingerprint, tr_fingerprint(tr_str_z(token), *state));
    }
    assert_int_equal(cut_off_of(world, TR_KIND_SESSION, "s1"), TT_AT(TT_NOW));
    assert_int_equal(tt_admit(world, later), APR_SUCCESS);
    assert_int_equal(held(world), 2);
    expect_ok(give_at(world, logout_of(*state, "l2", "\"sid\":\"s1\""), TT_AT(TT_NOW + 20)));
    assert_int_equal(tt_admit(world, later), TR_REVOKED);
}

/* A token signed anew is the same by its jti; that of another issuer, or an access token of that name, is not. */
static void the_jti_of_an_issuer_is_what_is_used_up(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tt_trust(world, tt_issuer(world, "other"), tt_key("P-256"), "k");
    expect_ok(give(world, logout_of(*state, "l1", "\"sid\":\"s1\"")));
    expect_refused(give(world, logout_of(*state, "l1", "\"sid\":\"s2\"")));
    expect_ok(give(world, sign(*state, replaced(*state, "\"iss\":\"other\""))));
    assert_int_equal(tt_admit(world, tt_good_token(*state, "l1", "")), APR_SUCCESS);
    assert_int_equal(held(world), 4);
}

static void it_is_remembered_for_as_long_as_the_token_is_good(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    char *token = logout_of(*state, "l1", "\"sid\":\"s1\"");
    expect_ok(give(world, token));
    for (int at = TT_NOW + 1; at <= TT_NOW + 120 + KEEP_S; at += 7) {
        tr_table_begin_locked(world->table);
        tr_table_sweep_locked(world->table, at, 0);
        tr_table_end_locked(world->table);
        expect_refused(give_at(world, token, TT_AT(at)));
    }
    assert_int_equal(cut_off_of(world, TR_KIND_SESSION, "s1"), TT_AT(TT_NOW));
}

/* What the store is asked for, and what it answers for each kind. */
typedef struct store_t {
    apr_status_t answer[TR_KINDS];
    int calls[TR_KINDS];
    tr_circumstances_t c[TR_KINDS];
    const tt_world_t *also; /* another request uses the token here, while a session is stored */
} store_t;

static apr_status_t append(void *baton, tr_revocation_t *const *list, int n, apr_time_t now)
{
    store_t *store = baton;
    (void)now;
    assert_int_equal(n, 1);
    store->calls[list[0]->entry.kind]++;
    store->c[list[0]->entry.kind] = list[0]->circumstances;
    if (store->also != NULL && list[0]->entry.kind == TR_KIND_SESSION) {
        tr_entry_t used = {TR_KIND_LOGOUT, tr_str_z(TT_ISS), tr_str_z("l1"), 0, TR_FOREVER};
        assert_int_equal(tr_ledger_learn(store->also->ledger, &used, 1, false, TT_AT(TT_NOW)), APR_SUCCESS);
    }
    return store->answer[list[0]->entry.kind];
}

static tt_world_t *world_with_store(apr_pool_t *pool, store_t *store)
{
    tt_world_t *world = tt_world(pool, 10);
    memset(store, 0, sizeof *store);
    world->ledger = tr_ledger_make(world->table, world->lock, append, store, pool);
    return world;
}

static void the_same_token_may_come_again_after_the_store_failed(void **state)
{
    store_t store;
    tt_world_t *world = world_with_store(*state, &store);
    char *token = logout_of(*state, "l1", "\"sub\":\"alice\"");
    store.answer[TR_KIND_SUBJECT] = APR_EGENERAL;
    for (int i = 0; i < 3; i++)
        expect_failed(give(world, token));
    assert_int_equal(store.calls[TR_KIND_LOGOUT], 0);
    store.answer[TR_KIND_SUBJECT] = APR_SUCCESS;
    expect_ok(give(world, token));
    assert_str_is(store.c[TR_KIND_SUBJECT].reason, "back-channel logout");
    assert_str_is(store.c[TR_KIND_LOGOUT].reason, "back-channel logout");
    expect_refused(give(world, token));
    assert_int_equal(store.calls[TR_KIND_SUBJECT], 4);
    assert_int_equal(store.calls[TR_KIND_LOGOUT], 1);
}

static void of_two_at_the_same_time_one_is_accepted(void **state)
{
    store_t store;
    tt_world_t *world = world_with_store(*state, &store);
    store.also = world;
    expect_refused(give(world, logout_of(*state, "l1", "\"sid\":\"s1\"")));
    assert_int_equal(store.calls[TR_KIND_SESSION], 1);
}

/* Done is done: the provider has nothing to repeat, and this server knows the token all the same. */
static void a_logout_is_a_success_also_if_its_use_could_not_be_stored(void **state)
{
    store_t store;
    tt_world_t *world = world_with_store(*state, &store);
    char *token = logout_of(*state, "l1", "\"sid\":\"s1\"");
    store.answer[TR_KIND_LOGOUT] = APR_EGENERAL;
    tr_answer_t answer = give(world, token);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{}");
    assert_int_equal(answer.verdict, APR_EGENERAL);
    expect_refused(give(world, token));
    assert_int_equal(store.calls[TR_KIND_SESSION], 1);
}

static void a_full_table_is_no_success_and_nothing_is_used_up(void **state)
{
    for (uint32_t capacity = 1; capacity <= 2; capacity++) {
        tt_world_t *world = tt_world(*state, capacity);
        tr_circumstances_t nobody = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
        tr_entry_t other = {TR_KIND_TOKEN, tr_str_z("x"), tr_str_z("y"), 0, TT_NOW + 5};
        char *token = logout_of(*state, "l1", "\"sub\":\"alice\"");
        assert_int_equal(tr_ledger_revoke(world->ledger, &other, &nobody, TT_AT(TT_NOW)), APR_SUCCESS);
        expect_failed(give(world, token));
        expect_failed(give(world, token));
        if (capacity == 2)
            expect_ok(give_at(world, token, TT_AT(TT_NOW + 10)));
    }
}

static bool never_informed(void)
{
    return false;
}

static void what_cannot_be_known_is_no_success_and_changes_nothing(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    char *token = logout_of(*state, "l1", "\"sub\":\"alice\"");
    tr_ledger_t *ledger = world->ledger;
    world->gate.is_informed = never_informed;
    expect_failed(give(world, token));
    world->gate.is_informed = NULL;
    world->gate.table = NULL;
    expect_failed(give(world, token));
    world->gate.table = world->table;
    world->ledger = NULL;
    expect_failed(give(world, token));
    world->ledger = ledger;
    assert_int_equal(held(world), 0);
    expect_ok(give(world, token));
    world->gate.is_informed = never_informed;
    expect_refused(give(world, token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_sid_ends_that_session_and_no_other),
        TT_TEST(a_sub_ends_all_sessions_of_the_subject),
        TT_TEST(whom_nobody_knows_is_logged_out_already),
        TT_TEST(a_later_login_works_and_one_of_the_same_second_does_not),
        TT_TEST(the_cut_off_is_the_later_of_now_and_iat),
        TT_TEST(each_required_claim_must_be_there),
        TT_TEST(claims_of_wrong_types_and_values_are_refused),
        TT_TEST(what_the_text_allows_is_accepted),
        TT_TEST(the_type_is_none_or_jwt_or_logout),
        TT_TEST(the_audience_is_that_of_logout_or_else_of_the_others),
        TT_TEST(a_token_that_no_trusted_key_signed_is_refused),
        TT_TEST(an_access_or_id_token_is_no_logout_token),
        TT_TEST(a_body_without_one_token_is_an_invalid_request),
        TT_TEST(a_token_that_was_used_is_refused_and_changes_nothing),
        TT_TEST(the_jti_of_an_issuer_is_what_is_used_up),
        TT_TEST(it_is_remembered_for_as_long_as_the_token_is_good),
        TT_TEST(the_same_token_may_come_again_after_the_store_failed),
        TT_TEST(of_two_at_the_same_time_one_is_accepted),
        TT_TEST(a_logout_is_a_success_also_if_its_use_could_not_be_stored),
        TT_TEST(a_full_table_is_no_success_and_nothing_is_used_up),
        TT_TEST(what_cannot_be_known_is_no_success_and_changes_nothing),
    };
    return TT_RUN(tests);
}
