/*
 * The revocation endpoint and logging out where a library, memory or the lock fails, at whichever call: who is told that a token is
 * revoked has it refused from then on, and who is told that it failed can ask again.
 */
#include "tr_oauth.h"

#include <apr_strings.h>
#include <pthread.h>

#include "tr_logout.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_failing.h"
#include "tr_testing_gate.h"

enum { ALL = TT_CRYPTO | TT_MEMORY | TT_JSON | TT_LOCKS, MOST_CALLS = 500 };

static const tr_keep_t keep = {60, 0};

/* Asks for something to be revoked; true: it was told that it is. */
typedef bool (*ask_fn)(const tt_world_t *world, const char *token, apr_pool_t *pool);

typedef struct run_t {
    ask_fn ask;
    const tt_world_t *world;
    const char *token;
    int nth;
    bool for_good, is_done;
    const char *failed;
} run_t;

/* In a thread of its own, which has kept nothing yet. */
static void *run(void *data)
{
    run_t *r = data;
    apr_pool_t *pool;
    apr_pool_create(&pool, NULL);
    tt_fail(ALL, r->nth, r->for_good);
    r->is_done = r->ask(r->world, r->token, pool);
    r->failed = tt_fail_no_more();
    apr_pool_destroy(pool);
    return NULL;
}

static bool once(run_t *r, int nth, bool for_good)
{
    pthread_t thread;
    r->nth = nth;
    r->for_good = for_good;
    assert_int_equal(pthread_create(&thread, NULL, run, r), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return r->is_done;
}

static apr_status_t verdict(const tt_world_t *world, const char *token, bool is_opaque)
{
    tr_kind_t by;
    return is_opaque ? tr_gate_check_opaque(&by, &world->gate, tr_str_z(token), world->pool) : tt_admit(world, token);
}

static void expect_true_answers(ask_fn ask, const char *token, bool is_opaque, apr_pool_t *pool)
{
    for (int for_good = 0; for_good < 2; for_good++) {
        int n = 1;
        for (run_t r = {.failed = ""}; r.failed != NULL && n < MOST_CALLS; n++) {
            apr_pool_t *one;
            apr_pool_create(&one, pool);
            tt_world_t *world = tt_world(one, 100);
            r = (run_t){.ask = ask, .world = world, .token = token};
            if (once(&r, n, for_good) && verdict(world, token, is_opaque) != TR_REVOKED)
                fail_msg("told that it is revoked, when %s failed", r.failed ? r.failed : "nothing");
            const char *failed = r.failed;
            assert_true(once(&r, 0, false));
            assert_int_equal(verdict(world, token, is_opaque), TR_REVOKED);
            r.failed = failed;
            apr_pool_destroy(one);
        }
        assert_in_range(n, 3, MOST_CALLS - 1);
    }
}

static bool post(const tt_world_t *world, const char *token, tr_body_type_t type, apr_pool_t *pool)
{
    tr_revoke_request_t request = {.type = type, .is_known = true, .opaque_s = 3600, .cascade = TR_SCOPE_SUBJECT, .keep = &keep};
    const char *body =
        type == TR_BODY_FORM ? apr_pstrcat(pool, "token=", token, NULL) : apr_pstrcat(pool, "{\"token\":\"", token, "\"}", NULL);
    tr_answer_t answer;
    tr_params_t *params;
    const char *why;
    request.wall = request.now = request.clean_now = TT_AT(TT_NOW);
    if (tr_params_from_body(&params, &why, type, tr_str_z(body), pool) != APR_SUCCESS)
        return false;
    request.params = params;
    tr_revoke_answer(&answer, &request, &world->gate, world->ledger, pool);
    return answer.status == 200;
}

static bool post_form(const tt_world_t *world, const char *token, apr_pool_t *pool)
{
    return post(world, token, TR_BODY_FORM, pool);
}

static bool post_json(const tt_world_t *world, const char *token, apr_pool_t *pool)
{
    return post(world, token, TR_BODY_JSON, pool);
}

static void who_is_told_that_a_token_is_revoked_has_it_refused(void **state)
{
    const char *named = tt_good_token(*state, "j", ""), *nameless = tt_good_token(*state, NULL, "");
    expect_true_answers(post_form, named, false, *state);
    expect_true_answers(post_json, named, false, *state);
    expect_true_answers(post_form, nameless, false, *state);
    expect_true_answers(post_form, "opaque.refresh-token", true, *state);
}

static bool log_out(const tt_world_t *world, const char *token, apr_pool_t *pool)
{
    tr_logout_result_t result;
    apr_array_header_t *tokens = apr_array_make(pool, 1, sizeof(tr_str_t));
    tr_logout_request_t request = {.tokens = tokens, .keep = &keep};
    request.wall = request.now = TT_AT(TT_NOW);
    APR_ARRAY_PUSH(tokens, tr_str_t) = tr_str_z(token);
    tr_logout_revoke(&result, &request, &world->gate, world->ledger, pool);
    return result.verdict == APR_SUCCESS;
}

static void who_is_told_that_he_is_logged_out_is(void **state)
{
    expect_true_answers(log_out, tt_good_token(*state, "j", ""), false, *state);
    expect_true_answers(log_out, tt_good_token(*state, NULL, ""), false, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(who_is_told_that_a_token_is_revoked_has_it_refused),
        TT_TEST(who_is_told_that_he_is_logged_out_is),
    };
    return TT_RUN(tests);
}
