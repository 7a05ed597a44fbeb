/*
 * The gate with a verified-token cache: a signature that is remembered is not checked again, everything else is.
 */
#include "tr_gate.h"

#include <stdlib.h>
#include <unistd.h>

#include <apr_strings.h>

#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

/* A world whose gate remembers. Its issuers must be complete. */
static void give_memory(tt_world_t *world)
{
    world->gate.verified = tt_verified(world->pool, 1000);
    world->gate.generation = tr_generation_make(world->gate.issuers, world->pool);
}

static tt_world_t *remembering(apr_pool_t *pool)
{
    tt_world_t *world = tt_world(pool, 100);
    give_memory(world);
    return world;
}

static tr_mark_t mark_of(const tr_gate_t *gate, tr_str_t text)
{
    tr_generation_seen_t seen;
    assert_true(tr_generation_take(&seen, gate->generation));
    return tr_verified_mark(gate->verified, tr_str((const char *)seen.name, sizeof seen.name), text);
}

static bool knows(const tt_world_t *world, const char *token)
{
    return tr_verified_has(world->gate.verified, mark_of(&world->gate, tr_str_z(token)));
}

/* As if its signature had been found good. */
static void plant(const tt_world_t *world, const char *token)
{
    tr_verified_put(world->gate.verified, mark_of(&world->gate, tr_str_z(token)), TT_NOW + 3600, TT_NOW);
}

static apr_status_t admit_at(const tt_world_t *world, const char *token, apr_time_t now)
{
    tr_identity_t identity;
    return tr_gate_admit(&identity, &world->gate, tr_str_z(token), "sub", now, world->pool);
}

static apr_status_t recognize_at(const tt_world_t *world, const char *token, apr_time_t now)
{
    tr_token_t out;
    return tr_gate_recognize(&out, &world->gate, tr_str_z(token), now, world->pool);
}

/* The same token with a signature that nobody made. */
static char *forge(apr_pool_t *pool, const char *token)
{
    char *out = apr_pstrdup(pool, token), *sig = strrchr(out, '.') + 5;
    *sig = *sig == 'A' ? 'B' : 'A';
    return out;
}

static void a_good_signature_is_remembered_and_not_checked_again(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", ""), *forged = forge(*state, token);
    assert_false(knows(world, token));
    assert_int_equal(tt_admit(world, token), APR_SUCCESS);
    assert_true(knows(world, token));
    assert_int_equal(tt_admit(world, token), APR_SUCCESS);
    /* That the memory is asked shows in what it must never hold. */
    plant(world, forged);
    assert_int_equal(tt_admit(world, forged), APR_SUCCESS);
    assert_int_equal(recognize_at(world, forged, TT_AT(TT_NOW)), APR_SUCCESS);
}

static void endpoints_remember_too(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    assert_int_equal(recognize_at(world, token, TT_AT(TT_NOW)), APR_SUCCESS);
    assert_true(knows(world, token));
}

static void what_is_refused_for_its_signature_or_age_is_not_remembered(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", ""), *forged = forge(*state, token);
    char *foreign = tt_mint(*state, "ES256", tt_key("P-256"), "nobody", tt_claims(*state, "j", ""));
    char *broken = tt_good_token(*state, "j", ",\"nbf\":\"soon\"");
    assert_int_equal(tt_admit(world, forged), TR_BAD_SIGNATURE);
    assert_false(knows(world, forged));
    assert_int_equal(tt_admit(world, foreign), TR_UNKNOWN_KEY);
    assert_false(knows(world, foreign));
    assert_int_equal(tt_admit(world, broken), TR_MALFORMED);
    assert_false(knows(world, broken));
    assert_int_equal(admit_at(world, token, TT_AT(TT_NOW + 3660)), TR_EXPIRED);
    assert_false(knows(world, token));
}

/* Whatever bit is another one, it is another token. */
static void one_bit_anywhere_makes_a_token_unknown(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", ""), *other = apr_pstrdup(*state, token);
    apr_pool_t *pool;
    apr_pool_create(&pool, *state);
    world->pool = pool;
    assert_int_equal(tt_admit(world, token), APR_SUCCESS);
    for (size_t bit = 0; bit < strlen(token) * 8; bit++) {
        tr_identity_t identity;
        tr_str_t text = tr_str(other, strlen(token));
        other[bit / 8] ^= (char)(1 << bit % 8);
        assert_false(tr_verified_has(world->gate.verified, mark_of(&world->gate, text)));
        assert_int_not_equal(tr_gate_admit(&identity, &world->gate, text, "sub", TT_AT(TT_NOW), pool), APR_SUCCESS);
        other[bit / 8] = token[bit / 8];
        apr_pool_clear(pool);
    }
    assert_true(knows(world, token));
}

static void another_good_signature_of_the_same_token_is_another_text(void **state)
{
    tt_world_t *world = remembering(*state);
    char *one = tt_good_token(*state, "j", ""), *two = tt_good_token(*state, "j", ""); /* ECDSA is random */
    assert_string_not_equal(one, two);
    assert_int_equal(tt_admit(world, one), APR_SUCCESS);
    assert_false(knows(world, two));
    assert_int_equal(tt_admit(world, two), APR_SUCCESS);
    assert_true(knows(world, two));
}

/* ---- all else is asked again ------------------------------------------------------------------------------- */

static void expiry_is_exact_on_a_hit(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", "");
    assert_int_equal(tt_admit(world, token), APR_SUCCESS);
    assert_int_equal(admit_at(world, token, TT_AT(TT_NOW + 3660) - 1), APR_SUCCESS);
    assert_int_equal(admit_at(world, token, TT_AT(TT_NOW + 3660)), TR_EXPIRED);
    assert_int_equal(recognize_at(world, token, TT_AT(TT_NOW + 3660)), TR_EXPIRED);
    assert_true(knows(world, token));
    /* And a clock that was put back does not make it younger than it is. */
    assert_int_equal(admit_at(world, token, TT_AT(TT_NOW - 120)), APR_SUCCESS);
    assert_int_equal(admit_at(world, token, TT_AT(TT_NOW - 120) - 1), TR_NOT_YET_VALID);
}

static void every_rule_is_asked_on_a_hit_in_the_same_order(void **state)
{
    static const struct {
        const char *claims; /* after iss, sub and jti */
        apr_status_t rv;
    } faults[] = {
        {"\"exp\":1800000000,\"iat\":1700000000,\"aud\":\"api\"", TR_LIFETIME},
        {"\"exp\":1700003600,\"iat\":1700000000", TR_AUDIENCE},
        {"\"exp\":1700003600,\"iat\":1700000000,\"aud\":[\"app\"]", TR_AUDIENCE},
        {"\"exp\":1700003600,\"iat\":1700000000,\"aud\":\"api\",\"cnf\":{}", TR_TOKEN_TYPE},
        {"\"exp\":1700003600,\"iat\":1700000000,\"aud\":\"api\",\"token_use\":\"refresh\"", TR_TOKEN_USE},
        {"\"exp\":1700003600,\"iat\":1700000000,\"aud\":\"api\",\"sid\":7", TR_MALFORMED},
        {"\"exp\":1700003600,\"iat\":1700000000,\"aud\":\"api\",\"nbf\":1700001000", TR_NOT_YET_VALID},
        {"\"exp\":1700003600,\"iat\":1700001000,\"aud\":\"api\"", TR_NOT_YET_VALID},
        {"\"exp\":1700003600,\"nbf\":1700001000,\"aud\":\"other\",\"token_use\":\"refresh\"", TR_NOT_YET_VALID},
    };
    tt_world_t *world = tt_world(*state, 100);
    world->issuer->audiences = apr_array_make(*state, 1, sizeof(const char *));
    APR_ARRAY_PUSH(world->issuer->audiences, const char *) = "api";
    give_memory(world);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char *claims = tt_print(*state, "{\"iss\":\"%s\",\"sub\":\"a\",\"jti\":\"j%zu\",%s}", TT_ISS, i, faults[i].claims);
        char *token = tt_mint(*state, "ES256", tt_key("P-256"), "k", claims);
        for (int hit = 0; hit < 3; hit++) {
            assert_int_equal(tt_admit(world, token), faults[i].rv);
            assert_true(knows(world, token));
        }
    }
}

static void before_the_signature_all_is_asked_on_a_hit(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *claims = tt_claims(*state, "j", "");
    char *stranger = tt_mint(*state, "ES256", tt_key("P-256"), "k", "{\"iss\":\"eve\",\"exp\":1700003600}");
    char *other_alg = tt_mint(*state, "ES384", tt_key("P-384"), "k", claims);
    char *none = tt_token(*state, "ES256", tt_key("P-256"), "{\"alg\":\"none\"}", claims);
    char *crit = tt_token(*state, "ES256", tt_key("P-256"), "{\"alg\":\"ES256\",\"crit\":[\"x\"]}", claims);
    world->issuer->algs = TR_ALG_BIT(TR_ALG_ES256);
    give_memory(world);
    plant(world, stranger);
    plant(world, other_alg);
    plant(world, none);
    plant(world, crit);
    assert_int_equal(tt_admit(world, stranger), TR_UNKNOWN_ISSUER);
    assert_int_equal(tt_admit(world, other_alg), TR_ALGORITHM);
    assert_int_equal(tt_admit(world, none), TR_ALGORITHM);
    assert_int_equal(tt_admit(world, crit), TR_MALFORMED);
}

static bool is_informed = true;

static bool ask_informed(void)
{
    return is_informed;
}

static void revocation_is_asked_on_a_hit(void **state)
{
    tt_world_t *world = remembering(*state);
    char *token = tt_good_token(*state, "j", ",\"sid\":\"s\""), *bystander = tt_good_token(*state, "k", "");
    tr_token_t read;
    tr_entry_t entry;
    tr_kind_t by;
    world->gate.is_informed = ask_informed;
    assert_int_equal(tt_admit(world, token), APR_SUCCESS);
    assert_int_equal(tt_admit(world, bystander), APR_SUCCESS);
    assert_int_equal(tr_gate_recognize(&read, &world->gate, tr_str_z(token), TT_AT(TT_NOW), *state), APR_SUCCESS);
    assert_int_equal(tr_gate_entry(&entry, &read, &(tr_keep_t){60, 0}, *state), APR_SUCCESS);
    tt_revoke(world, &entry);
    assert_true(knows(world, token));
    assert_int_equal(tt_admit(world, token), TR_REVOKED);
    assert_int_equal(tr_gate_check_revoked(&by, &world->gate, &read, *state), TR_REVOKED);
    assert_int_equal(tt_admit(world, bystander), APR_SUCCESS);
    is_informed = false;
    assert_int_equal(tt_admit(world, bystander), TR_GATE_UNINFORMED);
    is_informed = true;
    world->gate.table = NULL;
    assert_int_equal(tt_admit(world, bystander), APR_EGENERAL);
}

/* ---- other keys, other rules ------------------------------------------------------------------------------- */

typedef struct case_t {
    apr_pool_t *pool;
    char path[256];
    tt_world_t *world;
    apr_time_t now;
} case_t;

static void hear(void *baton, const char *path, apr_size_t keys, const char *err)
{
    (void)baton, (void)path, (void)keys, (void)err;
}

/* The key set holds the key name under kid, or none. */
static void write_keys(case_t *c, const char *name, const char *kid)
{
    FILE *f = fopen(c->path, "w");
    char *more = tt_print(c->pool, ",\"kid\":\"%s\"", kid);
    const char *text = name ? tt_jwks(c->pool, tt_jwk(c->pool, tt_key(name), more), NULL) : "{\"keys\":[]}";
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

static void change(case_t *c, const char *name, const char *kid)
{
    write_keys(c, name, kid);
    c->now += 1000000;
    tr_keyring_refresh(c->world->issuer->keyring, c->now, hear, NULL);
}

static int setup_file(void **state)
{
    apr_pool_t *pool;
    const char *why, *tmp = getenv("TMPDIR");
    apr_pool_create(&pool, NULL);
    case_t *c = apr_pcalloc(pool, sizeof *c);
    c->pool = pool;
    c->now = apr_time_now();
    apr_snprintf(c->path, sizeof c->path, "%s/tr_gate_verified.%ld.json", tmp ? tmp : "/tmp", (long)getpid());
    c->world = tt_world(pool, 100);
    c->world->issuer->keyring = tr_keyring_make(pool);
    write_keys(c, "P-256", "k");
    assert_int_equal(tr_keyring_add_file(c->world->issuer->keyring, &why, c->path), APR_SUCCESS);
    give_memory(c->world);
    *state = c;
    return 0;
}

static int teardown_file(void **state)
{
    case_t *c = *state;
    unlink(c->path);
    apr_pool_destroy(c->pool);
    return 0;
}

static void a_key_that_is_gone_takes_its_verdicts_along(void **state)
{
    case_t *c = *state;
    char *token = tt_good_token(c->pool, "j", "");
    assert_int_equal(tt_admit(c->world, token), APR_SUCCESS);
    change(c, "P-256#2", "other");
    assert_int_equal(tt_admit(c->world, token), TR_UNKNOWN_KEY);
    change(c, NULL, "");
    assert_int_equal(tt_admit(c->world, token), TR_ALGORITHM); /* what no key can do is not allowed */
    change(c, "P-256", "k");
    assert_int_equal(tt_admit(c->world, token), APR_SUCCESS);
}

static void a_key_replaced_under_its_kid_takes_its_verdicts_along(void **state)
{
    case_t *c = *state;
    char *token = tt_good_token(c->pool, "j", "");
    char *fresh = tt_mint(c->pool, "ES256", tt_key("P-256#2"), "k", tt_claims(c->pool, "j", ""));
    for (int i = 0; i < 6; i++) {
        assert_int_equal(tt_admit(c->world, token), APR_SUCCESS);
        assert_int_equal(tt_admit(c->world, fresh), TR_BAD_SIGNATURE);
        change(c, "P-256#2", "k");
        assert_int_equal(tt_admit(c->world, token), TR_BAD_SIGNATURE);
        assert_int_equal(tt_admit(c->world, fresh), APR_SUCCESS);
        change(c, "P-256", "k");
    }
}

static void a_key_renamed_takes_its_verdicts_along(void **state)
{
    case_t *c = *state;
    char *token = tt_good_token(c->pool, "j", "");
    assert_int_equal(tt_admit(c->world, token), APR_SUCCESS);
    change(c, "P-256", "K");
    assert_int_equal(tt_admit(c->world, token), TR_UNKNOWN_KEY);
}

static void while_keys_change_nothing_is_recalled_or_remembered(void **state)
{
    case_t *c = *state;
    char *token = tt_good_token(c->pool, "j", ""), *forged = forge(c->pool, token);
    tr_generation_t *generation = (tr_generation_t *)c->world->gate.generation;
    plant(c->world, forged);
    atomic_fetch_add(&generation->number, 1);
    assert_int_equal(tt_admit(c->world, forged), TR_BAD_SIGNATURE);
    assert_int_equal(tt_admit(c->world, token), APR_SUCCESS);
    atomic_fetch_sub(&generation->number, 1);
    assert_int_equal(tt_admit(c->world, forged), APR_SUCCESS);
    assert_false(knows(c->world, token));
}

/* Two gates on one memory. */
static tt_world_t *neighbour(tt_world_t *world)
{
    tt_world_t *other = tt_world(world->pool, 100);
    other->gate.verified = world->gate.verified;
    return other;
}

static void servers_with_the_same_keys_and_rules_share_what_they_remember(void **state)
{
    tt_world_t *one = remembering(*state), *two = neighbour(one);
    char *token = tt_good_token(*state, "j", "");
    two->gate.generation = tr_generation_make(two->gate.issuers, *state);
    assert_int_equal(tt_admit(one, token), APR_SUCCESS);
    assert_true(knows(two, token));
}

static void servers_with_other_rules_or_keys_never_share(void **state)
{
    tt_world_t *one = remembering(*state), *two = neighbour(one), *three = neighbour(one);
    char *token = tt_good_token(*state, "j", "");
    two->issuer->skew_s = 61;
    two->gate.generation = tr_generation_make(two->gate.issuers, *state);
    three->issuer->keyring = tr_keyring_make(*state);
    tt_trust(three, three->issuer, tt_key("P-256#2"), "k");
    three->gate.generation = tr_generation_make(three->gate.issuers, *state);
    assert_int_equal(tt_admit(one, token), APR_SUCCESS);
    assert_false(knows(two, token));
    assert_false(knows(three, token));
    assert_int_equal(tt_admit(two, token), APR_SUCCESS);
    assert_int_equal(tt_admit(three, token), TR_BAD_SIGNATURE);
    assert_true(knows(two, token));
    assert_false(knows(three, token));
}

static void times_of_any_size_are_kept_without_harm(void **state)
{
    static const char *ends[] = {"1e300", "18446744073709551615", "9223372036854775807", "1e18", "4294967295", "4000000000000.5"};
    tt_world_t *world = tt_world(*state, 100);
    world->issuer->max_lifetime_s = TR_UNLIMITED;
    give_memory(world);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *claims = tt_print(*state, "{\"iss\":\"%s\",\"sub\":\"a\",\"exp\":%s}", TT_ISS, ends[i]);
        char *token = tt_mint(*state, "ES256", tt_key("P-256"), "k", claims);
        for (int hit = 0; hit < 2; hit++)
            assert_int_equal(tt_admit(world, token), APR_SUCCESS);
        assert_true(knows(world, token));
    }
}

int main(void)
{
#define FILE_TEST(claim) cmocka_unit_test_setup_teardown(claim, setup_file, teardown_file)
    const struct CMUnitTest tests[] = {
        TT_TEST(a_good_signature_is_remembered_and_not_checked_again),
        TT_TEST(endpoints_remember_too),
        TT_TEST(what_is_refused_for_its_signature_or_age_is_not_remembered),
        TT_TEST(one_bit_anywhere_makes_a_token_unknown),
        TT_TEST(another_good_signature_of_the_same_token_is_another_text),
        TT_TEST(expiry_is_exact_on_a_hit),
        TT_TEST(every_rule_is_asked_on_a_hit_in_the_same_order),
        TT_TEST(before_the_signature_all_is_asked_on_a_hit),
        TT_TEST(revocation_is_asked_on_a_hit),
        FILE_TEST(a_key_that_is_gone_takes_its_verdicts_along),
        FILE_TEST(a_key_replaced_under_its_kid_takes_its_verdicts_along),
        FILE_TEST(a_key_renamed_takes_its_verdicts_along),
        FILE_TEST(while_keys_change_nothing_is_recalled_or_remembered),
        TT_TEST(servers_with_the_same_keys_and_rules_share_what_they_remember),
        TT_TEST(servers_with_other_rules_or_keys_never_share),
        TT_TEST(times_of_any_size_are_kept_without_harm),
    };
    return TT_RUN(tests);
}
