/*
 * What ends a token beside its own entry: session, subject, client, issuer, family; and how long that is kept.
 */
#include "tr_gate.h"

#include <apr_strings.h>

#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

static const tr_keep_t keep = {60, 0};

/* A token of TT_ISS issued at iat (text of a JSON number; NULL: it does not say), with more claims. */
static char *token_at(apr_pool_t *pool, const char *iat, const char *more)
{
    char *when = iat ? tt_print(pool, ",\"iat\":%s", iat) : tt_print(pool, "%s", "");
    return tt_mint(pool, "ES256", tt_key("P-256"), "k",
                   tt_print(pool, "{\"iss\":\"%s\",\"sub\":\"alice\",\"exp\":%d%s%s}", TT_ISS, TT_NOW + 3600, when, more));
}

static void put(tt_world_t *world, const tr_entry_t *e)
{
    tr_circumstances_t nothing;
    memset(&nothing, 0, sizeof nothing);
    assert_int_equal(tr_ledger_revoke(world->ledger, e, &nothing, TT_AT(TT_NOW)), APR_SUCCESS);
}

static tr_entry_t before(tt_world_t *world, tr_kind_t kind, const char *value, apr_time_t issued_before)
{
    tr_entry_t e;
    tr_gate_entry_before(&e, kind, world->issuer, tr_str_z(TT_ISS), tr_str_z(value), issued_before, &keep, TT_AT(TT_NOW));
    return e;
}

static void cut(tt_world_t *world, tr_kind_t kind, const char *value, apr_time_t issued_before)
{
    tr_entry_t e = before(world, kind, value, issued_before);
    put(world, &e);
}

static const char *iat(apr_pool_t *pool, int64_t s)
{
    return tt_print(pool, "%lld", (long long)s);
}

static const struct {
    tr_kind_t kind;
    const char *value, *other, *claim;
} kinds[] = {
    {TR_KIND_SESSION, "s1", "s2", ",\"sid\":\"s1\""},
    {TR_KIND_SUBJECT, "alice", "bob", ""},
    {TR_KIND_CLIENT, "app", "other", ",\"client_id\":\"app\""},
    {TR_KIND_CLIENT, "app", "other", ",\"azp\":\"app\""},
    {TR_KIND_CLIENT, "app", "other", ",\"client_id\":\"front\",\"azp\":\"app\""},
    {TR_KIND_CLIENT, "app", "other", ",\"client_id\":\"app\",\"azp\":\"front\""},
    {TR_KIND_ISSUER, "", NULL, ""},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void a_cut_off_ends_what_was_issued_up_to_its_second(void **state)
{
    static const struct {
        const char *iat;
        apr_status_t answer;
    } cases[] = {{"1699999999", TR_REVOKED},    {"1700000000", TR_REVOKED},
                 {"1700000000.0", TR_REVOKED},  {"1700000000.999", TR_REVOKED},
                 {"1700000001", APR_SUCCESS},   {"1700000001.5", APR_SUCCESS},
                 {"17e8", TR_REVOKED},          {"0", TR_LIFETIME},
                 {"-1e300", TR_LIFETIME},       {NULL, TR_REVOKED},
                 {"1699990000.25", TR_REVOKED}, {"1700000060", APR_SUCCESS}};
    static const int fractions[] = {0, 1, 500000, 999999};

    for (size_t k = 0; k < KINDS; k++)
        for (size_t f = 0; f < sizeof fractions / sizeof *fractions; f++) {
            tt_world_t *world = tt_world(*state, 100);
            cut(world, kinds[k].kind, kinds[k].value, TT_AT(TT_NOW) + fractions[f]);
            for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
                assert_int_equal(tt_admit(world, token_at(*state, cases[c].iat, kinds[k].claim)), cases[c].answer);
        }
}

static void another_value_issuer_or_kind_ends_nothing(void **state)
{
    for (size_t k = 0; k < KINDS; k++) {
        tt_world_t *world = tt_world(*state, 100);
        tr_entry_t e = before(world, kinds[k].kind, kinds[k].value, TT_AT(TT_NOW));
        char *token = token_at(*state, iat(*state, TT_NOW), kinds[k].claim);
        if (kinds[k].other)
            cut(world, kinds[k].kind, kinds[k].other, TT_AT(TT_NOW));
        e.issuer = tr_str_z("https://idp.example.com");
        put(world, &e);
        e.issuer = tr_str_z(TT_ISS);
        e.kind = kinds[k].kind == TR_KIND_SESSION ? TR_KIND_CLIENT : TR_KIND_SESSION;
        put(world, &e);
        assert_int_equal(tt_admit(world, token), APR_SUCCESS);
    }
}

static void a_token_that_names_no_session_is_in_none(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    cut(world, TR_KIND_SESSION, "", TT_AT(TT_NOW));
    cut(world, TR_KIND_CLIENT, "", TT_AT(TT_NOW));
    assert_int_equal(tt_admit(world, token_at(*state, iat(*state, TT_NOW), "")), APR_SUCCESS);
    assert_int_equal(tt_admit(world, token_at(*state, iat(*state, TT_NOW), ",\"sid\":\"\"")), APR_SUCCESS);
}

static void a_cut_off_only_moves_on(void **state)
{
    for (size_t k = 0; k < KINDS; k++) {
        tt_world_t *world = tt_world(*state, 100);
        char *early = token_at(*state, iat(*state, TT_NOW - 50), kinds[k].claim);
        char *late = token_at(*state, iat(*state, TT_NOW - 10), kinds[k].claim);
        cut(world, kinds[k].kind, kinds[k].value, TT_AT(TT_NOW - 30));
        assert_int_equal(tt_admit(world, early), TR_REVOKED);
        assert_int_equal(tt_admit(world, late), APR_SUCCESS);
        cut(world, kinds[k].kind, kinds[k].value, TT_AT(TT_NOW - 90));
        assert_int_equal(tt_admit(world, early), TR_REVOKED);
        cut(world, kinds[k].kind, kinds[k].value, TT_AT(TT_NOW - 5));
        assert_int_equal(tt_admit(world, late), TR_REVOKED);
    }
}

static void the_kind_that_ended_it_is_told(void **state)
{
    for (size_t k = 0; k < KINDS; k++) {
        tt_world_t *world = tt_world(*state, 100);
        char *text = token_at(*state, iat(*state, TT_NOW), kinds[k].claim);
        tr_identity_t id;
        cut(world, kinds[k].kind, kinds[k].value, TT_AT(TT_NOW));
        assert_int_equal(tr_gate_admit(&id, &world->gate, tr_str_z(text), "sub", TT_AT(TT_NOW), *state), TR_REVOKED);
        assert_int_equal(id.revoked_by, kinds[k].kind);
    }
}

static void an_entry_is_kept_until_the_last_token_it_ends_has_expired(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tr_keep_t refresh = {60, 30 * 86400}, endless = {60, TR_FOREVER};
    tr_entry_t e = before(world, TR_KIND_SUBJECT, "alice", TT_AT(TT_NOW) + 1);
    assert_true(e.expires_s >= TT_NOW + 1 + 86400 + 60 && e.expires_s <= TT_NOW + 2 + 86400 + 60);
    tr_gate_entry_before(&e, TR_KIND_SUBJECT, world->issuer, tr_str_z(TT_ISS), tr_str_z("alice"), TT_AT(TT_NOW - 999), &refresh,
                         TT_AT(TT_NOW));
    assert_true(e.expires_s >= TT_NOW + 30 * 86400 + 60);
    tr_gate_entry_before(&e, TR_KIND_SUBJECT, world->issuer, tr_str_z(TT_ISS), tr_str_z("alice"), TT_AT(TT_NOW), &endless,
                         TT_AT(TT_NOW));
    assert_true(e.expires_s == TR_FOREVER);
    world->issuer->max_lifetime_s = TR_UNLIMITED;
    assert_true(before(world, TR_KIND_ISSUER, "", TT_AT(TT_NOW)).expires_s == TR_FOREVER);
}

static int64_t end_of(const char *exp, apr_pool_t *pool)
{
    tt_world_t *world = tt_world(pool, 100);
    char *claims = tt_print(pool, "{\"iss\":\"%s\",\"sub\":\"alice\",\"jti\":\"j\",\"exp\":%s}", TT_ISS, exp);
    char *text = tt_mint(pool, "ES256", tt_key("P-256"), "k", claims);
    tr_token_t token;
    tr_entry_t e;
    assert_int_equal(tr_gate_recognize(&token, &world->gate, tr_str_z(text), TT_AT(TT_NOW), pool), APR_SUCCESS);
    assert_int_equal(tr_gate_entry(&e, &token, &keep, pool), APR_SUCCESS);
    return e.expires_s;
}

static void a_tokens_entry_outlives_it(void **state)
{
    assert_true(end_of("1700000100", *state) > 1700000100 + 60);
    assert_true(end_of("1700000100.999", *state) > 1700000100 + 60);
    assert_true(end_of("9e14", *state) > INT64_C(900000000000000) + 60);
    assert_true(end_of("9e15", *state) == TR_FOREVER);
    assert_true(end_of("1e300", *state) == TR_FOREVER);
}

static void a_cut_off_is_kept_as_long_as_any_server_takes_what_it_ends(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    world->issuer->longest_s = 7 * 86400;
    assert_true(before(world, TR_KIND_SUBJECT, "alice", TT_AT(TT_NOW)).expires_s >= TT_NOW + 7 * 86400 + 60);
    world->issuer->longest_s = TR_UNLIMITED;
    assert_true(before(world, TR_KIND_SUBJECT, "alice", TT_AT(TT_NOW)).expires_s == TR_FOREVER);
}

static void an_issuer_is_cut_off_without_a_value(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    assert_int_equal(before(world, TR_KIND_ISSUER, "alice", TT_AT(TT_NOW)).value.len, 0);
    cut(world, TR_KIND_ISSUER, "alice", TT_AT(TT_NOW));
    assert_int_equal(tt_admit(world, token_at(*state, "1699999999", "")), TR_REVOKED);
}

static int scope_of(tr_entry_t *out, tt_world_t *world, const char *text, tr_scope_t scope)
{
    tr_token_t token;
    int n = -1;
    assert_int_equal(tr_gate_recognize(&token, &world->gate, tr_str_z(text), TT_AT(TT_NOW), world->pool), APR_SUCCESS);
    assert_int_equal(tr_gate_scope(out, &n, &token, scope, &keep, TT_AT(TT_NOW) + 7, world->pool), APR_SUCCESS);
    assert_int_equal(out[0].kind, token.jti.len > 0 ? TR_KIND_TOKEN : TR_KIND_DIGEST);
    return n;
}

static void a_scope_ends_the_token_and_what_it_names(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *whole = token_at(*state, iat(*state, TT_NOW), ",\"jti\":\"j\",\"sid\":\"s1\"");
    tr_entry_t e[TR_SCOPE_ENTRIES];
    assert_int_equal(scope_of(e, world, whole, TR_SCOPE_TOKEN), 1);
    assert_str_is(e[0].value, "j");
    assert_int_equal(scope_of(e, world, whole, TR_SCOPE_SESSION), 2);
    assert_int_equal(e[1].kind, TR_KIND_SESSION);
    assert_str_is(e[1].value, "s1");
    assert_true(e[1].issued_before == TT_AT(TT_NOW) + 7);
    assert_int_equal(scope_of(e, world, whole, TR_SCOPE_SUBJECT), 2);
    assert_int_equal(e[1].kind, TR_KIND_SUBJECT);
    assert_str_is(e[1].value, "alice");
    assert_int_equal(scope_of(e, world, token_at(*state, NULL, ""), TR_SCOPE_SESSION), 1);
    assert_int_equal(scope_of(e, world, token_at(*state, NULL, ",\"sid\":\"\""), TR_SCOPE_SESSION), 1);
}

static void an_issuer_whose_clock_is_ahead_does_not_save_the_token(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *ahead = token_at(*state, iat(*state, TT_NOW + 40), ",\"sid\":\"s1\"");
    tr_entry_t e[TR_SCOPE_ENTRIES];
    assert_int_equal(scope_of(e, world, ahead, TR_SCOPE_SESSION), 2);
    assert_true(e[1].issued_before == TT_AT(TT_NOW + 40));
    put(world, &e[1]);
    assert_int_equal(tt_admit(world, ahead), TR_REVOKED);
    /* Nobody cuts off the future with a token that is not valid yet. */
    assert_int_equal(scope_of(e, world, token_at(*state, iat(*state, TT_NOW + 3000), ",\"sid\":\"s1\""), TR_SCOPE_SESSION), 2);
    assert_true(e[1].issued_before == TT_AT(TT_NOW) + 7);
}

/* ---- opaque tokens ----------------------------------------------------------------------------------------- */

static tr_entry_t opaque(apr_pool_t *pool, const char *text)
{
    tr_entry_t e;
    assert_int_equal(tr_gate_entry_opaque(&e, tr_str_z(text), TT_NOW + 60, pool), APR_SUCCESS);
    return e;
}

static apr_status_t check_opaque(tt_world_t *world, const char *text, tr_kind_t *by)
{
    return tr_gate_check_opaque(by, &world->gate, tr_str_z(text), world->pool);
}

static void an_opaque_token_is_known_by_its_digest(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tr_entry_t e = opaque(*state, "rt_x1y2z3a4b5c6d7e8f9");
    tr_kind_t by;
    put(world, &e);
    assert_int_equal(check_opaque(world, "rt_x1y2z3a4b5c6d7e8f9", &by), TR_REVOKED);
    assert_int_equal(by, TR_KIND_OPAQUE);
    assert_int_equal(check_opaque(world, "rt_x1y2z3a4b5c6d7e8f", &by), APR_SUCCESS);
    assert_int_equal(check_opaque(world, "", &by), APR_SUCCESS);
    world->gate.table = NULL;
    assert_false(tr_is_refusal(check_opaque(world, "a", &by)));
}

static void an_opaque_token_is_no_digest_of_a_jwt(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tr_issuer_t *any = tt_issuer(world, "*");
    char *claims = tt_print(*state, "{\"sub\":\"alice\",\"exp\":%d}", TT_NOW + 60);
    char *token;
    tr_str_t out;
    tt_trust(world, any, tt_key("P-256"), "k");
    token = tt_mint(*state, "ES256", tt_key("P-256"), "k", claims);
    assert_int_equal(tr_gate_opaque_text(&out, tr_str(token, (apr_size_t)(strrchr(token, '.') - token)), TR_MALFORMED, *state),
                     TR_MALFORMED);
    assert_int_equal(tt_admit(world, token), APR_SUCCESS);
}

static void a_token_that_nobody_could_read_stays_revoked_when_its_key_comes(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *token = tt_good_token(*state, "j", "");
    tr_str_t out;
    tr_entry_t e;
    assert_int_equal(tr_gate_opaque_text(&out, tr_str_z(token), TR_UNKNOWN_KEY, *state), APR_SUCCESS);
    assert_int_equal(tr_gate_entry_opaque(&e, out, TT_NOW + 60, *state), APR_SUCCESS);
    put(world, &e);
    assert_int_equal(tt_admit(world, token), TR_REVOKED);
    assert_int_equal(tt_admit(world, tt_good_token(*state, "i", "")), APR_SUCCESS);
}

static void only_what_its_issuer_alone_can_read_is_opaque(void **state)
{
    static const struct {
        apr_status_t verdict;
        bool answer;
    } verdicts[] = {{TR_MALFORMED, true},   {TR_ALGORITHM, true}, {TR_UNKNOWN_ISSUER, true},
                    {TR_UNKNOWN_KEY, true}, {APR_SUCCESS, false}, {TR_BAD_SIGNATURE, false},
                    {TR_EXPIRED, false},    {TR_REVOKED, false},  {APR_ENOMEM, false}};
    char *jws = tt_good_token(*state, "j", "");
    tr_str_t out;
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        assert_int_equal(tr_gate_opaque_text(&out, tr_str_z("abc.def"), verdicts[i].verdict, *state),
                         verdicts[i].answer ? APR_SUCCESS : TR_MALFORMED);
        if (verdicts[i].answer)
            assert_str_is(out, "abc.def");
    }
    assert_int_equal(tr_gate_opaque_text(&out, tr_str_z(jws), TR_UNKNOWN_KEY, *state), APR_SUCCESS);
    assert_int_equal(out.len, strrchr(jws, '.') - jws);
    assert_memory_equal(out.data, jws, out.len);
    /* alg XX, which nobody knows */
    assert_int_equal(tr_gate_opaque_text(&out, tr_str_z("eyJhbGciOiJYWCJ9.e30.AAAA"), TR_ALGORITHM, *state), APR_SUCCESS);
    assert_str_is(out, "eyJhbGciOiJYWCJ9.e30");
    assert_int_equal(tr_gate_opaque_text(&out, tr_str_z(""), TR_MALFORMED, *state), TR_MALFORMED);
    char *huge = apr_pcalloc(*state, 16386);
    memset(huge, 'a', 16385);
    assert_int_equal(tr_gate_opaque_text(&out, tr_str_z(huge), TR_MALFORMED, *state), TR_MALFORMED);
    assert_int_equal(tr_gate_opaque_text(&out, tr_str(huge, 16384), TR_MALFORMED, *state), APR_SUCCESS);
}

/* ---- families ---------------------------------------------------------------------------------------------- */

static int64_t family(tt_world_t *world, const tr_entry_t *own)
{
    int64_t number = -1;
    assert_int_equal(tr_gate_family(&number, &world->gate, own, world->pool), APR_SUCCESS);
    assert_true(number >= 0);
    return number;
}

static void join(tt_world_t *world, const tr_entry_t *own, int64_t number)
{
    tr_entry_t member;
    assert_int_equal(tr_gate_member(&member, own, number, world->pool), APR_SUCCESS);
    assert_true(member.expires_s == own->expires_s);
    put(world, &member);
}

static void what_came_of_one_token_is_ended_together(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tr_entry_t first = opaque(*state, "first"), second = opaque(*state, "second"), third = opaque(*state, "third"),
               jwt[TR_SCOPE_ENTRIES], end;
    char *access = token_at(*state, iat(*state, TT_NOW), ",\"jti\":\"a\"");
    char *nameless = token_at(*state, iat(*state, TT_NOW), "");
    int64_t number = family(world, &first);
    tr_kind_t by;
    join(world, &second, number);
    join(world, &third, family(world, &second));
    assert_true(family(world, &third) == number);
    scope_of(jwt, world, access, TR_SCOPE_TOKEN);
    join(world, jwt, number);
    scope_of(jwt, world, nameless, TR_SCOPE_TOKEN);
    join(world, jwt, number);
    tr_gate_family_entry(&end, family(world, &(tr_entry_t[]){opaque(*state, "stranger")}[0]), TT_NOW + 60, *state);
    put(world, &end);
    assert_int_equal(check_opaque(world, "third", &by), APR_SUCCESS);
    assert_int_equal(tt_admit(world, access), APR_SUCCESS);
    tr_gate_family_entry(&end, number, TT_NOW + 60, *state);
    put(world, &end);
    assert_int_equal(check_opaque(world, "first", &by), TR_REVOKED);
    assert_int_equal(check_opaque(world, "third", &by), TR_REVOKED);
    assert_int_equal(by, TR_KIND_FAMILY);
    assert_int_equal(check_opaque(world, "fourth", &by), APR_SUCCESS);
    assert_int_equal(tt_admit(world, access), TR_REVOKED);
    assert_int_equal(tt_admit(world, nameless), TR_REVOKED);
    assert_int_equal(tt_admit(world, token_at(*state, iat(*state, TT_NOW), ",\"jti\":\"b\"")), APR_SUCCESS);
}

static void tokens_of_different_kinds_begin_different_families(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tr_entry_t e[5] = {{TR_KIND_TOKEN, {"ab", 2}, {"c", 1}, 0, 9},
                       {TR_KIND_TOKEN, {"xy", 2}, {"c", 1}, 0, 9},
                       {TR_KIND_TOKEN, {"a", 1}, {"bc", 2}, 0, 9},
                       {TR_KIND_TOKEN, {NULL, 0}, {"abc", 3}, 0, 9},
                       {TR_KIND_DIGEST, {"ab", 2}, {"c", 1}, 0, 9}};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            assert_true(family(world, &e[i]) != family(world, &e[j]));
}

static void what_only_remembers_ends_nothing(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *text = token_at(*state, iat(*state, TT_NOW), ",\"jti\":\"a\"");
    tr_entry_t jwt[TR_SCOPE_ENTRIES], logout;
    scope_of(jwt, world, text, TR_SCOPE_TOKEN);
    join(world, jwt, family(world, jwt));
    logout = jwt[0];
    logout.kind = TR_KIND_LOGOUT;
    put(world, &logout);
    assert_int_equal(tt_admit(world, text), APR_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_cut_off_ends_what_was_issued_up_to_its_second),
        TT_TEST(another_value_issuer_or_kind_ends_nothing),
        TT_TEST(a_token_that_names_no_session_is_in_none),
        TT_TEST(a_cut_off_only_moves_on),
        TT_TEST(the_kind_that_ended_it_is_told),
        TT_TEST(an_entry_is_kept_until_the_last_token_it_ends_has_expired),
        TT_TEST(a_tokens_entry_outlives_it),
        TT_TEST(a_cut_off_is_kept_as_long_as_any_server_takes_what_it_ends),
        TT_TEST(an_issuer_is_cut_off_without_a_value),
        TT_TEST(a_scope_ends_the_token_and_what_it_names),
        TT_TEST(an_issuer_whose_clock_is_ahead_does_not_save_the_token),
        TT_TEST(an_opaque_token_is_known_by_its_digest),
        TT_TEST(an_opaque_token_is_no_digest_of_a_jwt),
        TT_TEST(a_token_that_nobody_could_read_stays_revoked_when_its_key_comes),
        TT_TEST(only_what_its_issuer_alone_can_read_is_opaque),
        TT_TEST(what_came_of_one_token_is_ended_together),
        TT_TEST(tokens_of_different_kinds_begin_different_families),
        TT_TEST(what_only_remembers_ends_nothing),
    };
    return TT_RUN(tests);
}
