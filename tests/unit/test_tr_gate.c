/*
 * The gate: the checks in their order, then revocation.
 */
#include "tr_gate.h"

#include <apr_strings.h>
#include <openssl/bn.h>
#include <openssl/ec.h>

#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

static apr_status_t admit_at(const tt_world_t *world, const char *token, apr_time_t now)
{
    tr_identity_t identity;
    return tr_gate_admit(&identity, &world->gate, tr_str_z(token), "sub", now, world->pool);
}

static apr_status_t recognize(const tt_world_t *world, const char *token)
{
    tr_token_t out;
    return tr_gate_recognize(&out, &world->gate, tr_str_z(token), TT_AT(TT_NOW), world->pool);
}

/* Revoke a token by its own identity, as the endpoint does. */
static void revoke_token(tt_world_t *world, const char *text)
{
    tr_token_t token;
    tr_entry_t entry;
    tr_circumstances_t c;
    memset(&c, 0, sizeof c);
    assert_int_equal(tr_gate_recognize(&token, &world->gate, tr_str_z(text), TT_AT(TT_NOW), world->pool), APR_SUCCESS);
    assert_int_equal(tr_gate_entry(&entry, &token, &(tr_keep_t){60, 0}, world->pool), APR_SUCCESS);
    assert_int_equal(tr_ledger_revoke(world->ledger, &entry, &c, TT_AT(TT_NOW)), APR_SUCCESS);
}

static void a_good_token_passes_with_its_user_and_claims(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tr_identity_t id;
    char *token =
        tt_good_token(*state, "j1", ",\"client_id\":\"app\",\"sid\":\"s1\",\"big\":99999999999999999999,\"huge\":1e999");
    assert_int_equal(tr_gate_admit(&id, &world->gate, tr_str_z(token), "sub", TT_AT(TT_NOW), *state), APR_SUCCESS);
    assert_string_equal(id.user, "alice");
    assert_ptr_equal(id.token.issuer, world->issuer);
    assert_str_is(id.token.iss, TT_ISS);
    assert_str_is(id.token.jti, "j1");
    assert_str_is(id.token.sub, "alice");
    assert_str_is(id.token.sid, "s1");
    assert_str_is(id.token.client_id, "app");
    assert_int_equal(id.token.jws.alg, TR_ALG_ES256);
    assert_true(id.token.exp_s == TT_NOW + 3600);
    assert_true(id.token.has_iat && id.token.iat_s == TT_NOW - 60);
    assert_int_equal(tr_gate_admit(&id, &world->gate, tr_str_z(token), "client_id", TT_AT(TT_NOW), *state), APR_SUCCESS);
    assert_string_equal(id.user, "app");
}

/* Faults in the order of the checks. */
typedef enum fault_t {
    FORMAT,     /* a duplicate member */
    ALG,        /* an algorithm that nobody knows */
    ISSUER,     /* an issuer that nobody trusts */
    ISSUER_ALG, /* an algorithm that the issuer does not use */
    KEY,        /* a kid that nobody has */
    SIGNATURE,
    EXP_FORM, /* exp is a string */
    EXPIRED,
    BEGIN,
    LIFETIME,
    AUDIENCE,
    TYPE,
    USE,
    IDENTITY, /* an empty jti */
    USER,     /* a control character in the user's name */
    REVOKED,
    FAULTS
} fault_t;

static const apr_status_t reasons[FAULTS] = {
    TR_MALFORMED,     TR_ALGORITHM, TR_UNKNOWN_ISSUER, TR_ALGORITHM,  TR_UNKNOWN_KEY, TR_BAD_SIGNATURE, TR_MALFORMED, TR_EXPIRED,
    TR_NOT_YET_VALID, TR_LIFETIME,  TR_AUDIENCE,       TR_TOKEN_TYPE, TR_TOKEN_USE,   TR_MALFORMED,     TR_MALFORMED, TR_REVOKED};

static char *faulty_claims(apr_pool_t *pool, unsigned faults)
{
#define HAS(fault) ((faults >> (fault)) & 1)
    long exp = HAS(EXPIRED) ? TT_NOW - 1000 : TT_NOW + 3600;
    char *ends = tt_print(pool, HAS(EXP_FORM) ? "\"%ld\"" : "%ld", exp);
    return tt_print(pool, "{\"iss\":\"%s\",\"exp\":%s,\"iat\":%ld,\"aud\":\"%s\",\"jti\":\"%s\",\"sub\":\"%s\"%s%s%s}",
                    HAS(ISSUER) ? "eve" : TT_ISS, ends, exp - (HAS(LIFETIME) ? 86401 : 5000), HAS(AUDIENCE) ? "other" : "api",
                    HAS(IDENTITY)  ? ""
                    : HAS(REVOKED) ? "revoked"
                                   : "fresh",
                    HAS(USER) ? "al\\nice" : "alice", HAS(BEGIN) ? ",\"nbf\":1800000000" : "",
                    HAS(USE) ? ",\"token_use\":\"refresh\"" : "", HAS(FORMAT) ? ",\"x\":1,\"x\":1" : "");
}

static char *faulty(apr_pool_t *pool, unsigned faults)
{
    const tt_key_t *key = tt_key(HAS(ISSUER_ALG) ? "P-384" : "P-256");
    const char *alg = tt_alg(key);
    char *header = tt_print(pool, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"%s\"}", HAS(ALG) ? "XS256" : alg,
                            HAS(KEY)          ? "nobody"
                            : HAS(ISSUER_ALG) ? "k384"
                                              : "k",
                            HAS(TYPE) ? "logout+jwt" : "JWT");
    char *token = tt_token(pool, alg, key, header, faulty_claims(pool, faults));
    char *end = strrchr(token, '.') + 5;
    if (HAS(SIGNATURE))
        *end = *end == 'A' ? 'B' : 'A';
    return token;
#undef HAS
}

static tt_world_t *strict_world(apr_pool_t *pool)
{
    tt_world_t *world = tt_world(pool, 100);
    tt_trust(world, world->issuer, tt_key("P-384"), "k384");
    world->issuer->algs = TR_ALG_BIT(TR_ALG_ES256);
    world->issuer->audiences = apr_array_make(pool, 1, sizeof(const char *));
    *(const char **)apr_array_push(world->issuer->audiences) = "api";
    revoke_token(world, faulty(pool, 1u << REVOKED));
    return world;
}

static void without_a_list_only_algorithms_of_its_keys_are_an_issuers(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *token = tt_mint(*state, "ES384", tt_key("P-384"), "k", tt_claims(*state, "j", ""));
    assert_int_equal(tt_admit(world, token), TR_ALGORITHM);
    tt_trust(world, world->issuer, tt_key("P-384"), "k");
    assert_int_equal(tt_admit(world, token), APR_SUCCESS);
}

static void who_has_no_name_is_nobody(void **state)
{
    static const char *bad[] = {"", ",\"name\":\"\"", ",\"name\":null", ",\"name\":[\"alice\"]", ",\"name\":\"al\\u000aice\""};
    tt_world_t *world = tt_world(*state, 100);
    tr_identity_t identity;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(
            tr_gate_admit(&identity, &world->gate, tr_str_z(tt_good_token(*state, "j", bad[i])), "name", TT_AT(TT_NOW), *state),
            TR_MALFORMED);
    assert_int_equal(tr_gate_admit(&identity, &world->gate, tr_str_z(tt_good_token(*state, "j", ",\"name\":\"alice\"")), "name",
                                   TT_AT(TT_NOW), *state),
                     APR_SUCCESS);
    assert_string_equal(identity.user, "alice");
}

static bool is_uninformed(void)
{
    return false;
}

static void what_others_revoked_must_be_known(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *token = tt_good_token(*state, "j", "");
    tr_kind_t by;
    world->gate.is_informed = is_uninformed;
    assert_int_equal(tt_admit(world, token), TR_GATE_UNINFORMED);
    assert_int_equal(tr_gate_check_opaque(&by, &world->gate, tr_str_z("opaque"), *state), TR_GATE_UNINFORMED);
}

static void nothing_opaque_passes_without_a_table(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tr_kind_t by;
    assert_int_equal(tr_gate_check_opaque(&by, &world->gate, tr_str_z("opaque"), *state), APR_SUCCESS);
    world->gate.table = NULL;
    assert_int_equal(tr_gate_check_opaque(&by, &world->gate, tr_str_z("opaque"), *state), APR_EGENERAL);
}

static void what_is_recognized_has_a_sound_identity(void **state)
{
    static const char *bad[] = {",\"sid\":7", ",\"sid\":\"a\\u0007\"", ",\"azp\":[]", ",\"client_id\":{}"};
    tt_world_t *world = tt_world(*state, 100);
    tr_token_t token;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(
            tr_gate_recognize(&token, &world->gate, tr_str_z(tt_good_token(*state, "j", bad[i])), TT_AT(TT_NOW), *state),
            TR_MALFORMED);
}

static void each_fault_has_its_reason(void **state)
{
    tt_world_t *world = strict_world(*state);
    assert_int_equal(tt_admit(world, faulty(*state, 0)), APR_SUCCESS);
    for (int fault = 0; fault < FAULTS; fault++) {
        apr_status_t rv = tt_admit(world, faulty(*state, 1u << fault));
        if (rv != reasons[fault])
            fail_msg("fault %d: got %d, expected %d", fault, rv, reasons[fault]);
    }
}

static void of_two_faults_the_earlier_check_gives_the_reason(void **state)
{
    tt_world_t *world = strict_world(*state);
    for (int a = 0; a < FAULTS; a++) {
        for (int b = a + 1; b < FAULTS; b++) {
            apr_status_t rv = tt_admit(world, faulty(*state, 1u << a | 1u << b));
            if (rv != reasons[a])
                fail_msg("faults %d and %d: got %d, expected %d", a, b, rv, reasons[a]);
        }
    }
}

static void any_pile_of_faults_gives_the_first_ones_reason(void **state)
{
    tt_world_t *world = strict_world(*state);
    uint64_t seed = 7;
    for (int round = 0; round < 500; round++) {
        unsigned faults = (unsigned)tt_random(&seed) & ((1u << FAULTS) - 1);
        faults &= (unsigned)tt_random(&seed);
        int first = 0;
        while (first < FAULTS && !((faults >> first) & 1))
            first++;
        assert_int_equal(tt_admit(world, faulty(*state, faults)), first == FAULTS ? APR_SUCCESS : reasons[first]);
    }
}

static void a_revoked_token_is_refused_and_no_other(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *token = tt_good_token(*state, "j1", ""), *again = tt_good_token(*state, "j1", ",\"x\":2"),
         *other = tt_good_token(*state, "j2", "");
    assert_int_equal(tt_admit(world, token), APR_SUCCESS);
    revoke_token(world, token);
    assert_int_equal(tt_admit(world, token), TR_REVOKED);
    assert_int_equal(tt_admit(world, again), TR_REVOKED);
    assert_int_equal(tt_admit(world, tt_good_token(*state, "\\u006a1", "")), TR_REVOKED);
    assert_int_equal(tt_admit(world, other), APR_SUCCESS);
    assert_int_equal(tt_admit(world, tt_good_token(*state, "J1", "")), APR_SUCCESS);
    assert_int_equal(tt_admit(world, tt_good_token(*state, "j1 ", "")), APR_SUCCESS);
    assert_int_equal(tt_admit(world, tt_good_token(*state, NULL, "")), APR_SUCCESS);
}

static void the_same_jti_of_another_issuer_is_another_token(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tt_trust(world, tt_issuer(world, "joe"), tt_key("P-256"), "k");
    tt_trust(world, tt_issuer(world, "*"), tt_key("P-256"), "k");
    const char *form = "{\"iss\":\"%s\",\"sub\":\"a\",\"exp\":%d,\"jti\":\"j1\"}";
    char *joe = tt_mint(*state, "ES256", tt_key("P-256"), "k", tt_print(*state, form, "joe", TT_NOW + 60));
    char *ann = tt_mint(*state, "ES256", tt_key("P-256"), "k", tt_print(*state, form, "ann", TT_NOW + 60));
    char *none = tt_mint(*state, "ES256", tt_key("P-256"), "k",
                         tt_print(*state, "{\"sub\":\"a\",\"exp\":%d,\"jti\":\"j1\"}", TT_NOW + 60));
    revoke_token(world, tt_good_token(*state, "j1", ""));
    assert_int_equal(tt_admit(world, joe), APR_SUCCESS);
    assert_int_equal(tt_admit(world, ann), APR_SUCCESS);
    assert_int_equal(tt_admit(world, none), APR_SUCCESS);
    revoke_token(world, ann);
    assert_int_equal(tt_admit(world, ann), TR_REVOKED);
    assert_int_equal(tt_admit(world, joe), APR_SUCCESS);
    assert_int_equal(tt_admit(world, none), APR_SUCCESS);
    revoke_token(world, none);
    assert_int_equal(tt_admit(world, none), TR_REVOKED);
    assert_int_equal(tt_admit(world, joe), APR_SUCCESS);
}

static void one_issuers_key_does_not_sign_for_another(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tt_trust(world, tt_issuer(world, "joe"), tt_key("P-256#joe"), "k");
    assert_int_equal(tt_admit(world, tt_mint(*state, "ES256", tt_key("P-256#joe"), "k", tt_claims(*state, "j", ""))),
                     TR_BAD_SIGNATURE);
}

/* The same token with s replaced by n - s, which is as good a signature. */
static char *with_the_other_s(apr_pool_t *pool, const char *token)
{
    const char *dot = strrchr(token, '.');
    tr_str_t sig = tt_unb64(pool, dot + 1);
    unsigned char *bytes = apr_pmemdup(pool, sig.data, sig.len);
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    BIGNUM *s = BN_bin2bn(bytes + 32, 32, NULL);
    BN_sub(s, EC_GROUP_get0_order(group), s);
    assert_int_equal(BN_bn2binpad(s, bytes + 32, 32), 32);
    BN_free(s);
    EC_GROUP_free(group);
    return tt_print(pool, "%.*s.%s", (int)(dot - token), token, tt_b64(pool, bytes, 64));
}

static void a_token_without_jti_is_revoked_in_every_spelling(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *token = tt_good_token(*state, NULL, ""), *other_s = with_the_other_s(*state, token);
    char *resigned = tt_good_token(*state, NULL, ""), *sibling = tt_good_token(*state, NULL, ",\"n\":1");
    assert_string_not_equal(token, other_s);
    assert_int_equal(tt_admit(world, token), APR_SUCCESS);
    assert_int_equal(tt_admit(world, other_s), APR_SUCCESS);
    revoke_token(world, token);
    assert_int_equal(tt_admit(world, token), TR_REVOKED);
    assert_int_equal(tt_admit(world, other_s), TR_REVOKED);
    assert_int_equal(tt_admit(world, resigned), TR_REVOKED);
    assert_int_equal(tt_admit(world, sibling), APR_SUCCESS);
}

static void a_jti_is_demanded_only_where_configured(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *token = tt_good_token(*state, NULL, "");
    assert_int_equal(tt_admit(world, token), APR_SUCCESS);
    world->issuer->require_jti = true;
    assert_int_equal(tt_admit(world, token), TR_MALFORMED);
    assert_int_equal(tt_admit(world, tt_good_token(*state, "j", "")), APR_SUCCESS);
}

static void nobody_passes_where_revocation_cannot_be_known(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    world->gate.table = NULL;
    apr_status_t rv = tt_admit(world, tt_good_token(*state, "j", ""));
    assert_int_not_equal(rv, APR_SUCCESS);
    assert_false(tr_is_refusal(rv));
    assert_int_equal(tr_reason(rv)->http_status, 503);
}

static void the_clock_decides(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *token = tt_good_token(*state, "j", "");
    assert_int_equal(admit_at(world, token, TT_AT(TT_NOW + 3660) - 1), APR_SUCCESS);
    assert_int_equal(admit_at(world, token, TT_AT(TT_NOW + 3660)), TR_EXPIRED);
    assert_int_equal(admit_at(world, token, TT_AT(TT_NOW - 120)), APR_SUCCESS);
    assert_int_equal(admit_at(world, token, TT_AT(TT_NOW - 120) - 1), TR_NOT_YET_VALID);
}

static void revoking_asks_only_whether_the_token_is_real(void **state)
{
    tt_world_t *world = strict_world(*state);
    static const fault_t ignored[] = {BEGIN, LIFETIME, AUDIENCE, TYPE, USE, REVOKED};
    static const fault_t counted[] = {FORMAT, ALG, ISSUER, ISSUER_ALG, KEY, SIGNATURE, EXP_FORM, EXPIRED};
    assert_int_equal(recognize(world, faulty(*state, 0)), APR_SUCCESS);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        assert_int_equal(recognize(world, faulty(*state, 1u << ignored[i])), APR_SUCCESS);
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        assert_int_equal(recognize(world, faulty(*state, 1u << counted[i])), reasons[counted[i]]);
}

static void a_token_that_is_not_valid_yet_is_revoked_in_advance(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    char *token = tt_good_token(*state, "j", tt_print(*state, ",\"nbf\":%d", TT_NOW + 600));
    assert_int_equal(tt_admit(world, token), TR_NOT_YET_VALID);
    revoke_token(world, token);
    assert_int_equal(admit_at(world, token, TT_AT(TT_NOW + 700)), TR_REVOKED);
}

static void entry_of(tr_entry_t *entry, tt_world_t *world, const char *text, int64_t keep_s)
{
    tr_token_t token;
    assert_int_equal(tr_gate_recognize(&token, &world->gate, tr_str_z(text), TT_AT(TT_NOW), world->pool), APR_SUCCESS);
    assert_int_equal(tr_gate_entry(entry, &token, &(tr_keep_t){keep_s, 0}, world->pool), APR_SUCCESS);
}

static void an_entry_names_the_token_and_outlives_it(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tr_entry_t e;
    entry_of(&e, world, tt_good_token(*state, "j1", ""), 75);
    assert_int_equal(e.kind, TR_KIND_TOKEN);
    assert_str_is(e.issuer, TT_ISS);
    assert_str_is(e.value, "j1");
    assert_in_range(e.expires_s, TT_NOW + 3600 + 75, TT_NOW + 3600 + 76);
    char *token = tt_good_token(*state, NULL, "");
    unsigned char digest[TR_SHA256_LEN];
    assert_int_equal(tr_sha256(digest, tr_str(token, (size_t)(strrchr(token, '.') - token))), APR_SUCCESS);
    entry_of(&e, world, token, 0);
    assert_int_equal(e.kind, TR_KIND_DIGEST);
    assert_str_is(e.issuer, TT_ISS);
    assert_int_equal(e.value.len, TR_SHA256_LEN);
    assert_memory_equal(e.value.data, digest, TR_SHA256_LEN);
}

static void an_entry_of_a_fraction_of_a_second_is_rounded_up(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    tr_entry_t e;
    char *claims = tt_print(*state, "{\"iss\":\"%s\",\"jti\":\"j\",\"exp\":%d.25}", TT_ISS, TT_NOW + 10);
    entry_of(&e, world, tt_mint(*state, "ES256", tt_key("P-256"), "k", claims), 5);
    assert_in_range(e.expires_s, TT_NOW + 16, TT_NOW + 17);
}

static void an_entry_never_ends_before_a_token_of_the_far_future(void **state)
{
    static const char *ends[] = {"1e300", "18446744073709551615", "9223372036854775807", "9223372036854775000", "1e18"};
    tt_world_t *world = tt_world(*state, 100);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        tr_entry_t e;
        char *claims = tt_print(*state, "{\"iss\":\"%s\",\"jti\":\"j\",\"exp\":%s}", TT_ISS, ends[i]);
        entry_of(&e, world, tt_mint(*state, "ES256", tt_key("P-256"), "k", claims), 86400);
        assert_true(e.expires_s >= 1000000000000000000);
    }
}

static void a_token_of_any_size_up_to_the_limit_passes(void **state)
{
    tt_world_t *world = tt_world(*state, 100);
    size_t fill = 11000;
    while (strlen(tt_good_token(*state, "j", tt_print(*state, ",\"x\":\"%s\"", tt_repeat(*state, "x", fill)))) <
           TR_MAX_TOKEN_LEN - 3)
        fill++;
    char *most = tt_good_token(*state, "j", tt_print(*state, ",\"x\":\"%s\"", tt_repeat(*state, "x", fill)));
    assert_true(strlen(most) <= TR_MAX_TOKEN_LEN);
    assert_int_equal(tt_admit(world, most), APR_SUCCESS);
    assert_int_equal(
        tt_admit(world, tt_good_token(*state, "j", tt_print(*state, ",\"x\":\"%s\"", tt_repeat(*state, "x", fill + 8)))),
        TR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_good_token_passes_with_its_user_and_claims),
        TT_TEST(each_fault_has_its_reason),
        TT_TEST(without_a_list_only_algorithms_of_its_keys_are_an_issuers),
        TT_TEST(who_has_no_name_is_nobody),
        TT_TEST(what_others_revoked_must_be_known),
        TT_TEST(nothing_opaque_passes_without_a_table),
        TT_TEST(what_is_recognized_has_a_sound_identity),
        TT_TEST(of_two_faults_the_earlier_check_gives_the_reason),
        TT_TEST(any_pile_of_faults_gives_the_first_ones_reason),
        TT_TEST(a_revoked_token_is_refused_and_no_other),
        TT_TEST(the_same_jti_of_another_issuer_is_another_token),
        TT_TEST(one_issuers_key_does_not_sign_for_another),
        TT_TEST(a_token_without_jti_is_revoked_in_every_spelling),
        TT_TEST(a_jti_is_demanded_only_where_configured),
        TT_TEST(nobody_passes_where_revocation_cannot_be_known),
        TT_TEST(the_clock_decides),
        TT_TEST(revoking_asks_only_whether_the_token_is_real),
        TT_TEST(a_token_that_is_not_valid_yet_is_revoked_in_advance),
        TT_TEST(an_entry_names_the_token_and_outlives_it),
        TT_TEST(an_entry_of_a_fraction_of_a_second_is_rounded_up),
        TT_TEST(an_entry_never_ends_before_a_token_of_the_far_future),
        TT_TEST(a_token_of_any_size_up_to_the_limit_passes),
    };
    return TT_RUN(tests);
}
