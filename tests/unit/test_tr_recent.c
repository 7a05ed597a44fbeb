/*
 * The recent-token cache: what it finds is what would be read, what it must not find it does not, and what it takes of
 * memory is bounded.
 */
#include "tr_recent.h"

#include <apr_strings.h>
#include <jansson.h>

#include "tr_digest.h"
#include "tr_export.h"
#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

#define SLOTS 64
#define BYTES 4000000

static tt_world_t *remembering(apr_pool_t *pool)
{
    tt_world_t *world = tt_world(pool, 1000);
    tt_remember(world, SLOTS, BYTES);
    return world;
}

static tr_recent_stats_t stats_of(const tt_world_t *world)
{
    tr_recent_stats_t stats;
    tr_recent_stats(&stats, world->gate.recent);
    return stats;
}

static apr_status_t admit_for(tr_identity_t *id, const tr_gate_t *gate, const char *token, const char *claim, apr_time_t now,
                              apr_pool_t *pool)
{
    return tr_gate_admit(id, gate, tr_str_z(token), claim, now, pool);
}

/* One request at this time, which ends. */
static apr_status_t ask_at(const tt_world_t *world, const char *token, apr_time_t now)
{
    tr_identity_t id;
    apr_pool_t *request;
    apr_pool_create(&request, world->pool);
    apr_status_t rv = admit_for(&id, &world->gate, token, "sub", now, request);
    apr_pool_destroy(request);
    return rv;
}

static apr_status_t ask(const tt_world_t *world, const char *token)
{
    return ask_at(world, token, TT_AT(TT_NOW));
}

/* The same, and it must be found, or not. */
static apr_status_t hit_at(const tt_world_t *world, const char *token, apr_time_t now)
{
    uint64_t before = stats_of(world).hits;
    apr_status_t rv = ask_at(world, token, now);
    assert_int_equal(stats_of(world).hits, before + 1);
    return rv;
}

static apr_status_t miss(const tt_world_t *world, const char *token)
{
    uint64_t before = stats_of(world).hits;
    apr_status_t rv = ask(world, token);
    assert_int_equal(stats_of(world).hits, before);
    return rv;
}

static void learn(const tt_world_t *world, const char *token)
{
    assert_int_equal(ask(world, token), APR_SUCCESS);
    assert_int_equal(ask(world, token), APR_SUCCESS);
    assert_int_equal(hit_at(world, token, TT_AT(TT_NOW)), APR_SUCCESS);
}

/* ---- what is kept ------------------------------------------------------------------------------------------ */

static void a_token_is_kept_when_it_comes_again(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    assert_int_equal(miss(world, token), APR_SUCCESS);
    assert_int_equal(stats_of(world).entries, 0);
    assert_int_equal(miss(world, token), APR_SUCCESS);
    assert_int_equal(stats_of(world).entries, 1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(hit_at(world, token, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_int_equal(stats_of(world).kept, 1);
    assert_int_equal(stats_of(world).held, 0);
}

static void nothing_is_kept_of_a_refused_token(void **state)
{
    tt_world_t *world = remembering(*state);
    char *good = tt_good_token(*state, "j", "");
    const char *bad[] = {tt_good_token(*state, "j", ",\"cnf\":{}"),
                         tt_good_token(*state, "j", ",\"token_use\":\"refresh\""),
                         tt_good_token(*state, "", ""),
                         tt_good_token(*state, "j", tt_print(*state, ",\"nbf\":%d", TT_NOW + 100)),
                         tt_mint(*state, "ES256", tt_key("P-256#2"), "k", tt_claims(*state, "j", "")),
                         tt_print(*state, "%.*s", (int)strlen(good) - 1, good),
                         "short",
                         ""};
    world->issuer->max_lifetime_s = 86400;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int times = 0; times < 4; times++)
            assert_int_not_equal(miss(world, bad[i]), APR_SUCCESS);
    }
    assert_int_equal(stats_of(world).kept, 0);
}

static void without_a_generation_nothing_is_remembered(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    atomic_fetch_add(&world->generation->number, 1); /* keys are being changed */
    for (int i = 0; i < 4; i++)
        assert_int_equal(miss(world, token), APR_SUCCESS);
    world->gate.generation = NULL;
    for (int i = 0; i < 4; i++)
        assert_int_equal(miss(world, token), APR_SUCCESS);
    assert_int_equal(stats_of(world).kept, 0);
    world->gate.generation = world->generation;
    atomic_fetch_add(&world->generation->number, 1);
    learn(world, token);
    atomic_fetch_add(&world->generation->number, 1);
    assert_int_equal(miss(world, token), APR_SUCCESS);
}

static void where_nobody_could_know_of_revocations_nobody_passes_by_memory(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    learn(world, token);
    world->gate.table = NULL;
    apr_status_t rv = ask(world, token);
    assert_true(rv != APR_SUCCESS && !tr_is_refusal(rv));
}

static bool is_uninformed(void)
{
    return false;
}

static void a_hit_asks_whether_the_table_is_informed(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    learn(world, token);
    world->gate.is_informed = is_uninformed;
    assert_int_equal(hit_at(world, token, TT_AT(TT_NOW)), TR_GATE_UNINFORMED);
}

static void assert_same(tr_str_t a, tr_str_t b)
{
    assert_int_equal(a.len, b.len);
    assert_true(a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void a_hit_says_what_a_miss_says(void **state)
{
    const char *more[] = {"", ",\"sid\":\"s\",\"client_id\":\"app\"", ",\"azp\":\"party\"",
                          ",\"azp\":\"party\",\"client_id\":\"app\",\"sid\":\"s\",\"nbf\":1.5,\"groups\":[\"a\",{\"b\":1}]"};
    tt_world_t *world = remembering(*state);
    for (size_t i = 0; i < 2 * sizeof more / sizeof *more; i++) {
        tr_identity_t miss, hit;
        char *token = tt_mint(*state, "ES256", tt_key("P-256"), "k", tt_claims(*state, i % 2 ? "j" : NULL, more[i / 2]));
        learn(world, token);
        tr_gate_t plain = world->gate;
        plain.recent = NULL;
        assert_int_equal(admit_for(&miss, &plain, token, "sub", TT_AT(TT_NOW), *state), APR_SUCCESS);
        assert_int_equal(admit_for(&hit, &world->gate, token, "sub", TT_AT(TT_NOW), *state), APR_SUCCESS);
        assert_null(miss.remembered);
        assert_non_null(hit.remembered);
        assert_string_equal(miss.user, hit.user);
        const tr_token_t *a = &miss.token, *b = &hit.token;
        assert_ptr_equal(a->issuer, b->issuer);
        assert_same(a->iss, b->iss);
        assert_same(a->jti, b->jti);
        assert_same(a->sub, b->sub);
        assert_same(a->sid, b->sid);
        assert_same(a->client_id, b->client_id);
        assert_same(a->azp, b->azp);
        assert_true(a->exp_s == b->exp_s && a->has_iat == b->has_iat && a->iat_s == b->iat_s && a->has_nbf == b->has_nbf);
        assert_true(!a->has_nbf || a->nbf_s == b->nbf_s);
        assert_int_equal(a->jws.alg, b->jws.alg);
        assert_same(a->jws.text, b->jws.text);
        assert_same(a->jws.signing_input, b->jws.signing_input);
        assert_same(a->jws.kid, b->jws.kid);
        assert_same(a->jws.typ, b->jws.typ);
        assert_string_equal(tr_json_text(tr_recent_payload(&miss, *state), *state),
                            tr_json_text(tr_recent_payload(&hit, *state), *state));
    }
}

/* ---- times ------------------------------------------------------------------------------------------------- */

static void expiry_is_exact_on_a_hit(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    apr_time_t end = TT_AT(TT_NOW + 3600 + 60);
    learn(world, token);
    assert_int_equal(hit_at(world, token, end - 1), APR_SUCCESS);
    assert_int_equal(hit_at(world, token, end), TR_EXPIRED);
    assert_int_equal(hit_at(world, token, end + TT_AT(86400)), TR_EXPIRED);
    assert_int_equal(hit_at(world, token, end - 1), APR_SUCCESS); /* a clock that is set back, as on a miss */
}

static void not_before_and_issued_at_are_asked_on_a_hit(void **state)
{
    tt_world_t *world = remembering(*state);
    char *nbf = tt_good_token(*state, "j", tt_print(*state, ",\"nbf\":%d", TT_NOW - 10));
    char *iat = tt_good_token(*state, "k", "");
    learn(world, nbf);
    learn(world, iat);
    assert_int_equal(hit_at(world, nbf, TT_AT(TT_NOW - 70)), APR_SUCCESS);
    assert_int_equal(hit_at(world, nbf, TT_AT(TT_NOW - 70) - 1), TR_NOT_YET_VALID);
    assert_int_equal(hit_at(world, iat, TT_AT(TT_NOW - 120)), APR_SUCCESS);
    assert_int_equal(hit_at(world, iat, TT_AT(TT_NOW - 120) - 1), TR_NOT_YET_VALID);
}

static void the_lifetime_left_is_asked_on_a_hit(void **state)
{
    tt_world_t *world = remembering(*state);
    char *claims = tt_print(*state, "{\"iss\":\"%s\",\"sub\":\"a\",\"exp\":%d}", TT_ISS, TT_NOW + 86400);
    char *token = tt_mint(*state, "ES256", tt_key("P-256"), "k", claims);
    learn(world, token);
    assert_int_equal(hit_at(world, token, TT_AT(TT_NOW) - 1), TR_LIFETIME);
    assert_int_equal(hit_at(world, token, TT_AT(TT_NOW)), APR_SUCCESS);
}

/* ---- revocation -------------------------------------------------------------------------------------------- */

typedef enum way_t { TOKEN, DIGEST, UNREAD, FAMILY, MEMBER, SESSION, SUBJECT, CLIENT, PARTY, ISSUER, WAYS } way_t;

static const tr_kind_t kind_by[WAYS] = {TR_KIND_TOKEN,   TR_KIND_DIGEST,  TR_KIND_OPAQUE, TR_KIND_FAMILY, TR_KIND_FAMILY,
                                        TR_KIND_SESSION, TR_KIND_SUBJECT, TR_KIND_CLIENT, TR_KIND_CLIENT, TR_KIND_ISSUER};

static const tr_keep_t keep = {60, 0};

static void revoke_before(tt_world_t *world, tr_kind_t kind, const char *value, int64_t before_s)
{
    tr_entry_t e;
    tr_gate_entry_before(&e, kind, world->issuer, tr_str_z(TT_ISS), tr_str_z(value), TT_AT(before_s), &keep, TT_AT(TT_NOW));
    tt_revoke(world, &e);
}

static void revoke_family(tt_world_t *world, const tr_token_t *token, bool of_another)
{
    tr_entry_t own, member, end;
    int64_t number = 0x123456789abcdef;
    assert_int_equal(tr_gate_entry(&own, token, &keep, world->pool), APR_SUCCESS);
    if (of_another) {
        assert_int_equal(tr_gate_member(&member, &own, number, world->pool), APR_SUCCESS);
        tt_revoke(world, &member);
    }
    assert_int_equal(tr_gate_family(&number, &world->gate, &own, world->pool), APR_SUCCESS);
    tr_gate_family_entry(&end, number, TR_FOREVER, world->pool);
    tt_revoke(world, &end);
}

static void end_token(tt_world_t *world, const char *text, way_t way)
{
    tr_token_t token;
    tr_entry_t e;
    assert_int_equal(tr_gate_recognize(&token, &world->gate, tr_str_z(text), TT_AT(TT_NOW), world->pool), APR_SUCCESS);
    switch (way) {
    case TOKEN:
    case DIGEST:
        assert_int_equal(tr_gate_entry(&e, &token, &keep, world->pool), APR_SUCCESS);
        tt_revoke(world, &e);
        break;
    case UNREAD:
        assert_int_equal(tr_gate_entry_opaque(&e, token.jws.signing_input, TR_FOREVER, world->pool), APR_SUCCESS);
        tt_revoke(world, &e);
        break;
    case FAMILY:
    case MEMBER:
        revoke_family(world, &token, way == MEMBER);
        break;
    case SESSION:
        revoke_before(world, TR_KIND_SESSION, "s", TT_NOW);
        break;
    case SUBJECT:
        revoke_before(world, TR_KIND_SUBJECT, "alice", TT_NOW);
        break;
    case CLIENT:
        revoke_before(world, TR_KIND_CLIENT, "app", TT_NOW);
        break;
    case PARTY:
        revoke_before(world, TR_KIND_CLIENT, "party", TT_NOW);
        break;
    default:
        revoke_before(world, TR_KIND_ISSUER, "", TT_NOW);
    }
}

static char *token_of(apr_pool_t *pool, way_t way)
{
    return tt_good_token(pool, way == DIGEST ? NULL : "j", ",\"sid\":\"s\",\"client_id\":\"app\",\"azp\":\"party\"");
}

static void every_kind_of_revocation_is_in_force_on_the_next_hit(void **state)
{
    for (way_t way = TOKEN; way < WAYS; way++) {
        tt_world_t *world = remembering(*state);
        char *token = token_of(*state, way);
        char *other = tt_good_token(*state, "other", ",\"sub2\":1");
        tr_identity_t id;
        learn(world, token);
        learn(world, other);
        end_token(world, token, way);
        assert_int_equal(hit_at(world, token, TT_AT(TT_NOW)), TR_REVOKED);
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), *state), TR_REVOKED);
        assert_int_equal(id.revoked_by, kind_by[way]);
        assert_str_is(id.token.sub, "alice");
        assert_int_equal(hit_at(world, other, TT_AT(TT_NOW)), way == SUBJECT || way == ISSUER ? TR_REVOKED : APR_SUCCESS);
    }
}

/* The digests of the costly ones are made on the first request that needs them, or before: that must not matter. */
static void it_does_not_matter_which_kind_comes_into_force_when(void **state)
{
    uint64_t seed = 7;
    for (int round = 0; round < 60; round++) {
        tt_world_t *world = remembering(*state);
        way_t way = (way_t)(tt_random(&seed) % WAYS);
        char *token = token_of(*state, way);
        char *victim = tt_good_token(*state, tt_random(&seed) % 2 ? "victim" : NULL, ",\"v\":1");
        for (int i = 0; i < 3; i++) {
            if (tt_random(&seed) % 2)
                learn(world, token);
            /* TOKEN to MEMBER of another token: it is in force, and not ours */
            end_token(world, victim, (way_t)(tt_random(&seed) % SESSION));
        }
        learn(world, token);
        end_token(world, token, way);
        assert_int_equal(hit_at(world, token, TT_AT(TT_NOW)), TR_REVOKED);
        assert_int_equal(hit_at(world, token, TT_AT(TT_NOW)), TR_REVOKED);
    }
}

static void a_cut_off_counts_by_the_tokens_time_on_a_hit(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = token_of(*state, SESSION);
    learn(world, token); /* issued a minute ago */
    revoke_before(world, TR_KIND_SESSION, "s", TT_NOW - 61);
    assert_int_equal(hit_at(world, token, TT_AT(TT_NOW)), APR_SUCCESS);
    revoke_before(world, TR_KIND_SESSION, "s", TT_NOW - 60);
    assert_int_equal(hit_at(world, token, TT_AT(TT_NOW)), TR_REVOKED);
}

static void a_revoked_token_is_remembered_too(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = token_of(*state, TOKEN);
    end_token(world, token, TOKEN);
    assert_int_equal(miss(world, token), TR_REVOKED);
    assert_int_equal(miss(world, token), TR_REVOKED);
    assert_int_equal(hit_at(world, token, TT_AT(TT_NOW)), TR_REVOKED);
}

/* ---- whose it is ------------------------------------------------------------------------------------------- */

static void another_generation_finds_nothing(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    learn(world, token);
    tt_next_generation(world);
    assert_int_equal(miss(world, token), APR_SUCCESS);
    learn(world, token);
}

static void two_servers_share_nothing(void **state)
{
    tt_world_t *strict = tt_world(*state, 100);
    tt_world_t *loose = remembering(*state);
    char *token = tt_good_token(*state, "j", ",\"aud\":\"b\"");
    strict->gate.recent = loose->gate.recent;
    strict->gate.generation = loose->gate.generation;
    strict->issuer->audiences = apr_array_make(*state, 1, sizeof(char *));
    *(const char **)apr_array_push(strict->issuer->audiences) = "a";
    learn(loose, token);
    for (int i = 0; i < 4; i++)
        assert_int_equal(miss(strict, token), TR_AUDIENCE);
    assert_int_equal(hit_at(loose, token, TT_AT(TT_NOW)), APR_SUCCESS);
    char *both = tt_good_token(*state, "j", ",\"aud\":[\"a\",\"b\"]");
    learn(loose, both);
    assert_int_equal(miss(strict, both), APR_SUCCESS);
    end_token(loose, both, TOKEN);
    assert_int_equal(ask(loose, both), TR_REVOKED);
    assert_int_equal(ask(strict, both), APR_SUCCESS); /* its table is another one here */
}

static void two_claims_name_two_users(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", ",\"email\":\"a@example.com\",\"n\":7");
    const char *claims[] = {"sub", "email", "n"};
    const char *users[] = {"alice", "a@example.com", "7"};
    for (int i = 0; i < 15; i++) {
        tr_identity_t id;
        assert_int_equal(admit_for(&id, &world->gate, token, claims[i % 3], TT_AT(TT_NOW), *state), APR_SUCCESS);
        assert_string_equal(id.user, users[i % 3]);
        assert_int_equal(admit_for(&id, &world->gate, token, "nobody", TT_AT(TT_NOW), *state), TR_MALFORMED);
    }
    assert_int_equal(stats_of(world).entries, 3);
}

static void a_token_that_differs_in_one_bit_is_not_found(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    size_t len = strlen(token);
    learn(world, token);
    for (size_t i = 0; i < len; i++) {
        for (int bit = 0; bit < 7; bit++) {
            char *other = apr_pstrdup(*state, token);
            other[i] = (char)(other[i] ^ 1 << bit);
            if (other[i] != '\0')
                assert_int_not_equal(miss(world, other), APR_SUCCESS);
        }
    }
    for (size_t n = 0; n < len; n += 7)
        assert_int_not_equal(miss(world, tt_print(*state, "%.*s", (int)n, token)), APR_SUCCESS);
    assert_int_not_equal(miss(world, tt_print(*state, "%sA", token)), APR_SUCCESS);
    /* The same end, and another begin of the same length. */
    char *twin = apr_pstrdup(*state, token);
    memset(twin, 'A', len - 40);
    assert_int_not_equal(miss(world, twin), APR_SUCCESS);
    assert_int_equal(hit_at(world, token, TT_AT(TT_NOW)), APR_SUCCESS);
}

/* ---- against the gate without it --------------------------------------------------------------------------- */

static void with_and_without_it_the_answer_is_the_same(void **state)
{
    enum { TOKENS = 24, ROUNDS = 6000 };
    tt_world_t *world = tt_world(*state, 1000);
    tr_gate_t plain = world->gate;
    uint64_t seed = 99;
    char *token[TOKENS];
    int answers[2] = {0, 0};
    tt_remember(world, 16, BYTES);
    world->issuer->max_lifetime_s = 3700;
    for (int i = 0; i < TOKENS; i++) {
        char *more = tt_print(*state, ",\"sid\":\"s%d\",\"client_id\":\"c%d\"%s", i % 5, i % 3,
                              i % 4 ? "" : tt_print(*state, ",\"nbf\":%d", TT_NOW - i));
        token[i] = tt_good_token(*state, i % 3 ? tt_print(*state, "j%d", i) : NULL, more);
    }
    for (int round = 0; round < ROUNDS; round++) {
        const char *text = token[tt_random(&seed) % TOKENS];
        const char *claim = tt_random(&seed) % 4 ? "sub" : "sid";
        apr_time_t now = TT_AT(TT_NOW) + ((int64_t)(tt_random(&seed) % 9000) - 2000) * 500000;
        tr_identity_t a, b;
        apr_pool_t *request;
        apr_pool_create(&request, *state);
        apr_status_t rv = admit_for(&a, &plain, text, claim, now, request);
        assert_int_equal(admit_for(&b, &world->gate, text, claim, now, request), rv);
        if (rv == APR_SUCCESS)
            assert_string_equal(a.user, b.user);
        if (rv == TR_REVOKED)
            assert_int_equal(a.revoked_by, b.revoked_by);
        answers[rv == APR_SUCCESS]++;
        apr_pool_destroy(request);
        if (round % 300 == 299)
            end_token(world, token[tt_random(&seed) % TOKENS], (way_t)(tt_random(&seed) % SESSION));
        if (round % 1000 == 999)
            revoke_before(world, TR_KIND_SESSION, tt_print(*state, "s%d", round / 1000), TT_NOW);
        if (round % 700 == 699)
            tt_next_generation(world);
    }
    assert_true(answers[0] > ROUNDS / 10 && answers[1] > ROUNDS / 10);
    assert_true(stats_of(world).hits > ROUNDS / 4);
}

/* ---- memory ------------------------------------------------------------------------------------------------ */

static char *numbered(apr_pool_t *pool, int n)
{
    return tt_good_token(pool, tt_print(pool, "j%d", n), "");
}

static void what_is_held_stays_what_it_is(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "stream", ",\"x\":\"y\"");
    apr_pool_t *stream;
    tr_identity_t id;
    learn(world, token);
    apr_pool_create(&stream, *state);
    assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), stream), APR_SUCCESS);
    assert_int_equal(stats_of(world).held, 1);
    memset(token, 'x', strlen(token)); /* the request's own text may go */
    for (int i = 0; i < 6 * SLOTS; i++) {
        char *other = numbered(*state, i);
        ask(world, other);
        ask(world, other);
    }
    tt_next_generation(world);
    for (int i = 0; i < 6 * SLOTS; i++) {
        char *other = numbered(*state, i);
        ask(world, other);
        ask(world, other);
    }
    assert_string_equal(id.user, "alice");
    assert_str_is(id.token.jti, "stream");
    assert_non_null(tr_json_get(tr_recent_payload(&id, stream), "x"));
    tr_kind_t by;
    assert_int_equal(tr_gate_check_revoked(&by, &world->gate, &id.token, stream), APR_SUCCESS);
    revoke_before(world, TR_KIND_SUBJECT, "alice", TT_NOW);
    assert_int_equal(tr_gate_check_revoked(&by, &world->gate, &id.token, stream), TR_REVOKED);
    apr_pool_destroy(stream);
    assert_int_equal(stats_of(world).held, 0);
}

static void where_all_is_held_requests_go_on_without(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    apr_pool_t *streams;
    tr_identity_t id;
    tt_remember(world, 8, BYTES);
    apr_pool_create(&streams, *state);
    for (int i = 0; stats_of(world).entries < 8; i++) {
        char *token = numbered(*state, i);
        for (int times = 0; times < 3; times++)
            assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), streams), APR_SUCCESS);
    }
    uint64_t kept = stats_of(world).kept;
    char *late = tt_good_token(*state, "late", "");
    for (int i = 0; i < 5; i++)
        assert_int_equal(miss(world, late), APR_SUCCESS);
    assert_int_equal(stats_of(world).kept, kept);
    end_token(world, late, TOKEN);
    assert_int_equal(miss(world, late), TR_REVOKED);
    apr_pool_destroy(streams);
    char *later = tt_good_token(*state, "later", "");
    learn(world, later);
}

static void memory_stays_in_its_bounds(void **state)
{
    enum { BUDGET = 60000 };
    tt_world_t *world = tt_world(*state, 100);
    tt_remember(world, 64, BUDGET);
    for (int i = 0; i < 800; i++) {
        apr_pool_t *request;
        apr_pool_create(&request, *state);
        char *token = tt_good_token(request, tt_print(request, "j%d", i),
                                    tt_print(request, ",\"x\":\"%s\"", tt_repeat(request, "y", (size_t)i % 1500)));
        for (int times = 0; times < 3; times++) {
            tr_identity_t id;
            assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), request), APR_SUCCESS);
            assert_true(tr_recent_variables(&id, "CLAIM_", request)->nelts > 4);
        }
        apr_pool_destroy(request);
        assert_true(stats_of(world).bytes <= BUDGET);
    }
    assert_true(stats_of(world).kept >= 790);
    assert_true(stats_of(world).entries > 3);
}

static void sweep_all(const tt_world_t *world, apr_time_t now)
{
    for (int i = 0; i < TR_RECENT_SWEEPS; i++)
        tr_recent_sweep(world->gate.recent, now);
}

static void what_has_expired_is_swept_out_and_nothing_else(void **state)
{
    tt_world_t *world = remembering(*state);
    apr_time_t end = TT_AT(TT_NOW + 3600 + 60);
    for (int i = 0; i < 20; i++)
        learn(world, numbered(*state, i));
    char *claims =
        tt_print(*state, "{\"iss\":\"%s\",\"sub\":\"alice\",\"jti\":\"l\",\"iat\":%d,\"exp\":%d}", TT_ISS, TT_NOW, TT_NOW + 3601);
    char *longer = tt_mint(*state, "ES256", tt_key("P-256"), "k", claims);
    learn(world, longer);
    sweep_all(world, end - 1);
    assert_int_equal(stats_of(world).entries, 21);
    sweep_all(world, end);
    assert_int_equal(stats_of(world).entries, 1);
    assert_int_equal(hit_at(world, longer, end), APR_SUCCESS);
    sweep_all(world, end + TT_AT(1));
    assert_int_equal(stats_of(world).entries, 0);
    assert_int_equal(stats_of(world).bytes, 0);
}

static void what_is_of_a_generation_that_is_over_is_swept_out(void **state)
{
    tt_world_t *world = remembering(*state);
    for (int i = 0; i < 20; i++)
        learn(world, numbered(*state, i));
    sweep_all(world, TT_AT(TT_NOW));
    assert_int_equal(stats_of(world).entries, 20);
    tt_next_generation(world);
    char *late = numbered(*state, 20);
    learn(world, late);
    sweep_all(world, TT_AT(TT_NOW));
    assert_int_equal(stats_of(world).entries, 1);
    assert_int_equal(hit_at(world, late, TT_AT(TT_NOW)), APR_SUCCESS);
}

static void what_is_held_is_swept_out_when_it_is_let_go(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "stream", "");
    apr_pool_t *stream;
    tr_identity_t id;
    learn(world, token);
    apr_pool_create(&stream, *state);
    assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), stream), APR_SUCCESS);
    tt_next_generation(world);
    sweep_all(world, TT_AT(TT_NOW));
    assert_int_equal(stats_of(world).entries, 1);
    assert_str_is(id.token.jti, "stream");
    apr_pool_destroy(stream);
    sweep_all(world, TT_AT(TT_NOW));
    assert_int_equal(stats_of(world).entries, 0);
    assert_int_equal(stats_of(world).bytes, 0);
}

static void what_never_comes_again_pushes_nothing_out(void **state)
{
    tt_world_t *world = remembering(*state);
    char *loyal = tt_good_token(*state, "loyal", "");
    learn(world, loyal);
    for (int i = 0; i < 1000; i++)
        ask(world, numbered(*state, i));
    assert_int_equal(stats_of(world).kept, 1);
    assert_int_equal(hit_at(world, loyal, TT_AT(TT_NOW)), APR_SUCCESS);
}

static void who_is_used_stays_longest(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *loyal = tt_good_token(*state, "loyal", "");
    tt_remember(world, 8, BYTES);
    learn(world, loyal);
    for (int i = 0; i < 100; i++) {
        char *other = numbered(*state, i);
        ask(world, other);
        ask(world, other);
        assert_int_equal(hit_at(world, loyal, TT_AT(TT_NOW)), APR_SUCCESS);
    }
    assert_int_equal(stats_of(world).kept, 101);
}

static void assert_payload_is_not_kept(const tt_world_t *world, const char *token, apr_pool_t *pool)
{
    apr_size_t bytes = stats_of(world).bytes;
    const tr_json_t *first = NULL;
    for (int i = 0; i < 2; i++) {
        tr_identity_t id;
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), pool), APR_SUCCESS);
        assert_non_null(id.remembered);
        assert_str_is(id.token.jti, "j");
        const tr_json_t *payload = tr_recent_payload(&id, pool);
        assert_non_null(tr_json_get(payload, "jti"));
        assert_ptr_not_equal(payload, first);
        first = payload;
    }
    assert_int_equal(stats_of(world).bytes, bytes);
}

static void what_is_too_large_is_read_each_time(void **state)
{
    tt_world_t *world = remembering(*state);
    char *longest = tt_good_token(*state, "j", tt_print(*state, ",\"x\":\"%s\"", tt_repeat(*state, "y", 2750)));
    char *too_long = tt_good_token(*state, "j", tt_print(*state, ",\"x\":\"%s\"", tt_repeat(*state, "y", 3200)));
    char *too_heavy = tt_good_token(*state, "j", tt_print(*state, ",\"x\":[%s{}]", tt_repeat(*state, "{},", 700)));
    assert_true(strlen(longest) <= TR_MAX_RECENT_TOKEN_LEN && strlen(longest) > TR_MAX_RECENT_TOKEN_LEN - 200);
    assert_true(strlen(too_long) > TR_MAX_RECENT_TOKEN_LEN && strlen(too_heavy) <= TR_MAX_RECENT_TOKEN_LEN);
    learn(world, longest);
    for (int i = 0; i < 4; i++)
        assert_int_equal(miss(world, too_long), APR_SUCCESS);
    assert_int_equal(stats_of(world).entries, 1);
    learn(world, too_heavy);
    assert_payload_is_not_kept(world, too_heavy, *state);
}

static void the_payload_is_read_when_somebody_asks_and_once(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", ",\"a\":{\"b\":[1]}");
    const tr_json_t *kept = NULL;
    learn(world, token);
    apr_size_t without = stats_of(world).bytes;
    for (int i = 0; i < 3; i++) {
        tr_identity_t id;
        apr_pool_t *request;
        apr_pool_create(&request, *state);
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), request), APR_SUCCESS);
        assert_int_equal(stats_of(world).bytes > without, i > 0);
        assert_null(id.token.jws.payload);
        const tr_json_t *payload = tr_recent_payload(&id, request);
        assert_non_null(tr_json_path(payload, "a.b"));
        assert_true(kept == NULL || kept == payload);
        kept = payload;
        apr_pool_destroy(request);
    }
}

static void a_payload_for_which_there_are_no_bytes_is_read_each_time(void **state)
{
    enum { BUDGET = 2200 };
    tt_world_t *world = tt_world(*state, 100);
    tt_remember(world, 8, BUDGET);
    char *token = tt_good_token(*state, "j", "");
    learn(world, token);
    assert_payload_is_not_kept(world, token, *state);
    assert_true(stats_of(world).bytes <= BUDGET);
}

/* Each level of a claim is a variable, with all that is below it. */
static void what_claims_become_is_not_kept_where_it_is_too_large(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j",
                                tt_print(*state, ",\"a\":%s\"%s\"%s", tt_repeat(*state, "{\"a\":", 29),
                                         tt_repeat(*state, "y", 2400), tt_repeat(*state, "}", 29)));
    assert_true(strlen(token) <= TR_MAX_RECENT_TOKEN_LEN);
    learn(world, token);
    for (int i = 0; i < 3; i++) {
        tr_identity_t id;
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), *state), APR_SUCCESS);
        assert_true(tr_recent_variables(&id, "X_", *state)->nelts > 25);
    }
    assert_true(stats_of(world).bytes < TR_MAX_RECENT_SIZE);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    assert_null(tr_recent_make(0, BYTES));
    assert_null(tr_recent_make(TR_MAX_RECENT + 1, BYTES));
    tr_recent_t *recent = tr_recent_make(TR_MAX_RECENT, 0);
    assert_non_null(recent);
    tr_recent_free(recent);
}

/* ---- exports ----------------------------------------------------------------------------------------------- */

static const char *value_in(const apr_array_header_t *variables, const char *name)
{
    for (int i = 0; i < variables->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(variables, i, tr_variable_t).name, name) == 0)
            return APR_ARRAY_IDX(variables, i, tr_variable_t).value;
    }
    return NULL;
}

static void variables_of_a_hit_are_those_of_a_miss(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token =
        tt_good_token(*state, "j", ",\"a.b\":{\"c\":[1,2]},\"empty\":\"\",\"n\":null,\"nested\":{\"deep\":{\"er\":true}}");
    apr_size_t bytes[6];
    tr_identity_t id;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), *state), APR_SUCCESS);
        const apr_array_header_t *made = tr_export_variables(tr_recent_payload(&id, *state), "X_", *state);
        const apr_array_header_t *got = tr_recent_variables(&id, "X_", *state);
        assert_int_equal(made->nelts, got->nelts);
        for (int v = 0; v < made->nelts; v++) {
            const tr_variable_t *variable = &APR_ARRAY_IDX(made, v, tr_variable_t);
            assert_string_equal(value_in(got, variable->name), variable->value);
        }
        bytes[i] = stats_of(world).bytes;
    }
    assert_true(bytes[2] > bytes[1]);
    assert_int_equal(bytes[2], bytes[5]); /* made once */
    assert_non_null(value_in(tr_recent_variables(&id, "Y_", *state), "Y_sub"));
    assert_non_null(value_in(tr_recent_variables(&id, "X_", *state), "X_sub"));
}

static void values_of_fields_of_a_hit_are_those_of_a_miss(void **state)
{
    static const char *const claims[] = {"sub", "a", "a.b", "list", "n", "blank", "empty", "none", "bad", "jti", "sub"};
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(
        *state, "j", ",\"a\":{\"b\":\"deep\"},\"list\":[1,2],\"n\":null,\"blank\":\" x\",\"empty\":\"\",\"bad\":\"\\n\"");
    apr_size_t bytes[6];
    for (int i = 0; i < 6; i++) {
        tr_identity_t id;
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), *state), APR_SUCCESS);
        for (size_t c = 0; c < sizeof(claims) / sizeof(claims[0]); c++) {
            const char *made, *got;
            apr_status_t rv = tr_export_header(&made, tr_recent_payload(&id, *state), claims[c], *state);
            assert_int_equal(tr_recent_header(&got, &id, claims[c], *state), rv);
            if (made == NULL)
                assert_null(got);
            else
                assert_string_equal(got, made);
        }
        bytes[i] = stats_of(world).bytes;
    }
    assert_true(bytes[2] > bytes[1]);
    assert_int_equal(bytes[2], bytes[5]); /* made once */
}

/* In tables of httpd's they lie as char *, where any module gets at them. */
static void what_is_done_to_a_value_that_was_told_ends_with_the_request(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", ",\"role\":\"user\"");
    for (int i = 0; i < 6; i++) {
        const char *field;
        apr_pool_t *request;
        tr_identity_t id;
        apr_pool_create(&request, *state);
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), request), APR_SUCCESS);
        const apr_array_header_t *variables = tr_recent_variables(&id, "X_", request);
        assert_int_equal(tr_recent_header(&field, &id, "role", request), APR_SUCCESS);
        assert_string_equal(field, "user");
        assert_string_equal(value_in(variables, "X_role"), "user");
        for (int v = 0; v < variables->nelts; v++) {
            memset((char *)APR_ARRAY_IDX(variables, v, tr_variable_t).name, '!', 3);
            memset((char *)APR_ARRAY_IDX(variables, v, tr_variable_t).value, '!', 1);
        }
        memset((char *)field, '!', 4);
        apr_pool_destroy(request);
    }
}

typedef struct told_t {
    const tt_world_t *world;
    const apr_array_header_t *variables;
    const char *field;
    bool is_gone, is_there;
} told_t;

/* Registered before the token was asked for, and so called when nobody holds it any more. */
static apr_status_t read_at_the_end(void *baton)
{
    told_t *told = baton;
    for (int i = 0; i < 6 * SLOTS; i++) {
        char *other = tt_good_token(told->world->pool, tt_print(told->world->pool, "other%d", i), "");
        ask(told->world, other);
        ask(told->world, other);
    }
    told->is_gone = stats_of(told->world).held == 0 && stats_of(told->world).kept > 2 * SLOTS;
    const char *role = value_in(told->variables, "X_role");
    told->is_there = role != NULL && strcmp(role, "user") == 0 && strcmp(told->field, "user") == 0;
    return APR_SUCCESS;
}

static void what_was_told_lasts_until_the_very_end_of_the_pool(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", ",\"role\":\"user\"");
    told_t told = {.world = world};
    apr_pool_t *request;
    tr_identity_t id;
    learn(world, token);
    apr_pool_create(&request, *state);
    apr_pool_cleanup_register(request, &told, read_at_the_end, apr_pool_cleanup_null);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), request), APR_SUCCESS);
        told.variables = tr_recent_variables(&id, "X_", request);
        assert_int_equal(tr_recent_header(&told.field, &id, "role", request), APR_SUCCESS);
    }
    apr_pool_destroy(request);
    assert_true(told.is_gone);
    assert_true(told.is_there);
}

static void *no_memory(size_t size)
{
    (void)size;
    return NULL;
}

static void what_there_was_no_memory_for_is_told_when_there_is(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    const char *field = NULL;
    tr_identity_t id;
    learn(world, token);
    assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), *state), APR_SUCCESS);
    json_set_alloc_funcs(no_memory, free);
    assert_int_equal(tr_recent_variables(&id, "X_", *state)->nelts, 0);
    assert_int_not_equal(tr_recent_header(&field, &id, "sub", *state), APR_SUCCESS);
    assert_null(tr_recent_payload(&id, *state));
    json_set_alloc_funcs(malloc, free);
    assert_non_null(value_in(tr_recent_variables(&id, "X_", *state), "X_sub"));
    assert_int_equal(tr_recent_header(&field, &id, "sub", *state), APR_SUCCESS);
    assert_string_equal(field, "alice");
    assert_non_null(tr_recent_payload(&id, *state));
}

/* A location's .htaccess may ask for anything. */
static void very_many_values_of_fields_are_told_and_few_are_kept(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    apr_size_t before;
    tr_identity_t id;
    for (int i = 0; i < 3; i++)
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), *state), APR_SUCCESS);
    before = stats_of(world).bytes;
    for (int i = 0; i < 1000; i++) {
        const char *value;
        assert_int_equal(tr_recent_header(&value, &id, tt_print(*state, "none%d", i), *state), APR_SUCCESS);
        assert_null(value);
    }
    assert_true(stats_of(world).bytes > before);
    assert_true(stats_of(world).bytes < before + 4096);
}

static void the_fingerprint_of_a_hit_is_that_of_a_miss(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    uint64_t made = strtoull(tr_fingerprint(tr_str_z(token), *state), NULL, 16);
    for (int i = 0; i < 4; i++) {
        tr_identity_t id;
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), *state), APR_SUCCESS);
        assert_true(tr_recent_fingerprint(&id, tr_str_z(token), *state) == made);
        assert_true(tr_recent_fingerprint(&id, tr_str_z(token), *state) == made);
    }
}

static void a_control_character_anywhere_is_known(void **state)
{
    const struct {
        const char *more;
        bool is_clean;
    } cases[] = {{"", true},
                 {",\"a\":[1,{\"b\":\"c\"},true,null,1.5]", true},
                 {",\"a\":\"\\u0007\"", false},
                 {",\"a\":[1,{\"b\":[\"c\\n\"]}]", false},
                 {",\"a\":{\"b\\u007f\":1}", false},
                 {",\"\\u0085\":1", false}};
    tt_world_t *world = remembering(*state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *token = tt_good_token(*state, tt_print(*state, "j%d", (int)i), cases[i].more);
        tr_identity_t id;
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), *state), APR_SUCCESS);
        assert_false(tr_recent_is_clean(&id)); /* nobody has looked yet */
        learn(world, token);
        assert_int_equal(admit_for(&id, &world->gate, token, "sub", TT_AT(TT_NOW), *state), APR_SUCCESS);
        assert_int_equal(tr_recent_is_clean(&id), cases[i].is_clean);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_token_is_kept_when_it_comes_again),
        TT_TEST(nothing_is_kept_of_a_refused_token),
        TT_TEST(without_a_generation_nothing_is_remembered),
        TT_TEST(where_nobody_could_know_of_revocations_nobody_passes_by_memory),
        TT_TEST(a_hit_asks_whether_the_table_is_informed),
        TT_TEST(a_hit_says_what_a_miss_says),
        TT_TEST(expiry_is_exact_on_a_hit),
        TT_TEST(not_before_and_issued_at_are_asked_on_a_hit),
        TT_TEST(the_lifetime_left_is_asked_on_a_hit),
        TT_TEST(every_kind_of_revocation_is_in_force_on_the_next_hit),
        TT_TEST(it_does_not_matter_which_kind_comes_into_force_when),
        TT_TEST(a_cut_off_counts_by_the_tokens_time_on_a_hit),
        TT_TEST(a_revoked_token_is_remembered_too),
        TT_TEST(another_generation_finds_nothing),
        TT_TEST(two_servers_share_nothing),
        TT_TEST(two_claims_name_two_users),
        TT_TEST(a_token_that_differs_in_one_bit_is_not_found),
        TT_TEST(with_and_without_it_the_answer_is_the_same),
        TT_TEST(what_is_held_stays_what_it_is),
        TT_TEST(where_all_is_held_requests_go_on_without),
        TT_TEST(memory_stays_in_its_bounds),
        TT_TEST(what_has_expired_is_swept_out_and_nothing_else),
        TT_TEST(what_is_of_a_generation_that_is_over_is_swept_out),
        TT_TEST(what_is_held_is_swept_out_when_it_is_let_go),
        TT_TEST(what_never_comes_again_pushes_nothing_out),
        TT_TEST(who_is_used_stays_longest),
        TT_TEST(what_is_too_large_is_read_each_time),
        TT_TEST(the_payload_is_read_when_somebody_asks_and_once),
        TT_TEST(a_payload_for_which_there_are_no_bytes_is_read_each_time),
        TT_TEST(what_claims_become_is_not_kept_where_it_is_too_large),
        TT_TEST(impossible_sizes_are_refused),
        TT_TEST(variables_of_a_hit_are_those_of_a_miss),
        TT_TEST(values_of_fields_of_a_hit_are_those_of_a_miss),
        TT_TEST(what_is_done_to_a_value_that_was_told_ends_with_the_request),
        TT_TEST(what_was_told_lasts_until_the_very_end_of_the_pool),
        TT_TEST(what_there_was_no_memory_for_is_told_when_there_is),
        TT_TEST(very_many_values_of_fields_are_told_and_few_are_kept),
        TT_TEST(the_fingerprint_of_a_hit_is_that_of_a_miss),
        TT_TEST(a_control_character_anywhere_is_known),
    };
    return TT_RUN(tests);
}
