/*
 * The gate where no signature is to be checked now: what is remembered passes, what is not gets no verdict, and never a good one.
 */
#include "tr_gate.h"

#include <apr_strings.h>

#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

static bool may;
static int asked, forged;

static bool may_check(void)
{
    asked++;
    return may;
}

static void was_forged(void)
{
    forged++;
}

static tt_world_t *guarded(apr_pool_t *pool)
{
    tt_world_t *world = tt_world(pool, 100);
    world->gate.may_check = may_check;
    world->gate.was_forged = was_forged;
    may = true;
    asked = forged = 0;
    return world;
}

static apr_status_t recognize(const tt_world_t *world, const char *token)
{
    tr_token_t out;
    return tr_gate_recognize(&out, &world->gate, tr_str_z(token), TT_AT(TT_NOW), world->pool);
}

/* The same token with the signature of another. */
static char *forge(apr_pool_t *pool, const char *token)
{
    const char *other = strrchr(tt_good_token(pool, "other", ""), '.');
    return apr_pstrcat(pool, apr_pstrndup(pool, token, strrchr(token, '.') - token), other, NULL);
}

static void where_nothing_may_be_checked_a_token_gets_no_verdict(void **state)
{
    tt_world_t *world = guarded(*state);
    char *good = tt_good_token(*state, "good", "");
    may = false;
    assert_int_equal(tt_admit(world, good), TR_BUSY);
    assert_int_equal(recognize(world, good), TR_BUSY);
    assert_int_equal(tt_admit(world, forge(*state, good)), TR_BUSY);
    assert_false(tr_is_refusal(TR_BUSY));
    assert_int_equal(tr_reason(TR_BUSY)->http_status, 429);
    assert_int_equal(forged, 0);
    may = true;
    assert_int_equal(tt_admit(world, good), APR_SUCCESS);
}

static void remembered_tokens_pass_and_are_refused_as_ever(void **state)
{
    tt_world_t *world = guarded(*state);
    char *good = tt_good_token(*state, "good", "");
    tr_keep_t keep = {0};
    tr_identity_t identity;
    tr_entry_t own;
    world->gate.verified = tt_verified(world->pool, 1000);
    world->gate.generation = tr_generation_make(world->gate.issuers, world->pool);
    assert_int_equal(tt_admit(world, good), APR_SUCCESS);
    may = false;
    asked = 0;
    assert_int_equal(tr_gate_admit(&identity, &world->gate, tr_str_z(good), "sub", TT_AT(TT_NOW), world->pool), APR_SUCCESS);
    assert_int_equal(recognize(world, good), APR_SUCCESS);
    assert_int_equal(asked, 0);
    assert_int_equal(tr_gate_entry(&own, &identity.token, &keep, world->pool), APR_SUCCESS);
    tt_revoke(world, &own);
    assert_int_equal(tt_admit(world, good), TR_REVOKED);
}

static void only_wrong_signatures_count(void **state)
{
    tt_world_t *world = guarded(*state);
    char *good = tt_good_token(*state, "good", "");
    assert_int_equal(tt_admit(world, good), APR_SUCCESS);
    assert_int_equal(tt_admit(world, "a.b.c"), TR_MALFORMED);
    assert_int_equal(forged, 0);
    assert_int_equal(tt_admit(world, forge(*state, good)), TR_BAD_SIGNATURE);
    assert_int_equal(recognize(world, forge(*state, good)), TR_BAD_SIGNATURE);
    assert_int_equal(forged, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(where_nothing_may_be_checked_a_token_gets_no_verdict),
        TT_TEST(remembered_tokens_pass_and_are_refused_as_ever),
        TT_TEST(only_wrong_signatures_count),
    };
    return TT_RUN(tests);
}
