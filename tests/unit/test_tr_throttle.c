/*
 * Counting failures in shared memory.
 */
#include "tr_throttle.h"

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "tr_testing_cmocka.h"

#define NOW 1000

static tr_throttle_t *new_throttle(apr_pool_t *pool)
{
    return apr_pcalloc(pool, sizeof(tr_throttle_t));
}

static uint64_t who(tr_throttle_t *throttle, const char *network, const char *id)
{
    return tr_throttle_who(throttle, tr_str_z(network), tr_str_z(id));
}

/* How many of n failures were said to be the one too many. */
static int fail_times(tr_throttle_t *throttle, uint64_t one, int n, int64_t now_s)
{
    int said = 0;
    for (int i = 0; i < n; i++)
        said += tr_throttle_fail(throttle, one, now_s);
    return said;
}

static void after_100_failures_the_rest_of_the_minute_is_closed(void **state)
{
    tr_throttle_t *throttle = new_throttle(*state);
    uint64_t one = who(throttle, "ip", "app");
    assert_int_equal(tr_throttle_wait_s(throttle, one, NOW), 0);
    assert_int_equal(fail_times(throttle, one, 99, NOW), 0);
    assert_int_equal(tr_throttle_wait_s(throttle, one, NOW + 1), 0);
    assert_int_equal(fail_times(throttle, one, 1, NOW + 1), 1);
    assert_int_equal(tr_throttle_wait_s(throttle, one, NOW + 1), 59);
    assert_int_equal(tr_throttle_wait_s(throttle, one, NOW + 59), 1);
    assert_int_equal(tr_throttle_wait_s(throttle, one, NOW + 60), 0);
}

static void failures_beyond_the_limit_do_not_lengthen_the_wait(void **state)
{
    tr_throttle_t *throttle = new_throttle(*state);
    uint64_t one = who(throttle, "ip", "app");
    assert_int_equal(fail_times(throttle, one, 500, NOW), 1);
    assert_int_equal(fail_times(throttle, one, 500, NOW + 30), 0);
    assert_int_equal(tr_throttle_wait_s(throttle, one, NOW + 30), 30);
    assert_int_equal(tr_throttle_wait_s(throttle, one, NOW + 60), 0);
    assert_int_equal(fail_times(throttle, one, 99, NOW + 60), 0);
    assert_int_equal(tr_throttle_wait_s(throttle, one, NOW + 60), 0);
    assert_int_equal(fail_times(throttle, one, 1, NOW + 60), 1);
}

static void slow_failures_never_close(void **state)
{
    tr_throttle_t *throttle = new_throttle(*state);
    uint64_t one = who(throttle, "ip", "app");
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(tr_throttle_wait_s(throttle, one, NOW + i), 0);
        assert_false(tr_throttle_fail(throttle, one, NOW + i));
    }
}

static void success_forgives(void **state)
{
    tr_throttle_t *throttle = new_throttle(*state);
    uint64_t one = who(throttle, "ip", "app");
    fail_times(throttle, one, 99, NOW);
    tr_throttle_forgive(throttle, one);
    assert_int_equal(fail_times(throttle, one, 99, NOW), 0);
    assert_int_equal(tr_throttle_wait_s(throttle, one, NOW), 0);
    tr_throttle_forgive(throttle, who(throttle, "ip", "unheard of"));
}

static void pairs_are_counted_apart(void **state)
{
    tr_throttle_t *throttle = new_throttle(*state);
    fail_times(throttle, who(throttle, "ip", "app"), 100, NOW);
    assert_int_not_equal(tr_throttle_wait_s(throttle, who(throttle, "ip", "app"), NOW), 0);
    assert_int_equal(tr_throttle_wait_s(throttle, who(throttle, "iq", "app"), NOW), 0);
    assert_int_equal(tr_throttle_wait_s(throttle, who(throttle, "ip", "apq"), NOW), 0);
    assert_int_equal(tr_throttle_wait_s(throttle, who(throttle, "i", "papp"), NOW), 0);
}

static void the_key_is_made_once_and_differs_between_tables(void **state)
{
    tr_throttle_t *one = new_throttle(*state), *other = new_throttle(*state);
    uint64_t a = who(one, "ip", "app");
    assert_true(a == who(one, "ip", "app"));
    assert_true(a != who(other, "ip", "app"));
    assert_true(one->key[0] != 0 && one->key[1] != 0 && one->key[0] != one->key[1]);
}

static void a_flood_of_other_names_does_not_wash_out_a_closed_pair(void **state)
{
    tr_throttle_t *throttle = new_throttle(*state);
    uint64_t one = who(throttle, "ip", "app");
    fail_times(throttle, one, 100, NOW);
    for (int i = 0; i < 100000; i++)
        tr_throttle_fail(throttle, who(throttle, "ip", tt_print(*state, "n%d", i)), NOW);
    assert_int_equal(tr_throttle_wait_s(throttle, one, NOW), 60);
}

static void places_whose_time_is_over_are_used_again(void **state)
{
    tr_throttle_t *throttle = new_throttle(*state);
    for (int i = 0; i < TR_THROTTLE_SLOTS * 4; i++)
        fail_times(throttle, who(throttle, "ip", tt_print(*state, "n%d", i)), 100, NOW);
    uint64_t one = who(throttle, "ip", "app");
    assert_int_equal(fail_times(throttle, one, 100, NOW + 60), 1);
    assert_int_not_equal(tr_throttle_wait_s(throttle, one, NOW + 60), 0);
}

static void an_address_of_ipv6_counts_by_its_network(void **state)
{
    static const unsigned char v4[4] = {192, 0, 2, 1}, mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1},
                               v6[16] = {0x20, 0x01, 0x0d, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    (void)state;
    assert_true(tr_str_eq(tr_throttle_network(v4, 4), tr_str((const char *)v4, 4)));
    assert_true(tr_str_eq(tr_throttle_network(mapped, 16), tr_str((const char *)v4, 4)));
    assert_true(tr_str_eq(tr_throttle_network(v6, 16), tr_str((const char *)v6, 8)));
}

typedef struct crowd_t {
    tr_throttle_t *throttle;
    int said;
} crowd_t;

static void *APR_THREAD_FUNC fail_often(apr_thread_t *thread, void *baton)
{
    crowd_t *crowd = baton;
    (void)thread;
    for (int i = 0; i < 5000; i++)
        crowd->said += tr_throttle_fail(crowd->throttle, who(crowd->throttle, "ip", "app"), NOW);
    return NULL;
}

static void threads_count_together(void **state)
{
    crowd_t crowd[4];
    apr_thread_t *thread[4];
    tr_throttle_t *throttle = new_throttle(*state);
    int said = 0;
    for (int i = 0; i < 4; i++) {
        crowd[i] = (crowd_t){throttle, 0};
        assert_int_equal(apr_thread_create(&thread[i], NULL, fail_often, &crowd[i], *state), APR_SUCCESS);
    }
    for (int i = 0; i < 4; i++) {
        apr_status_t rv;
        apr_thread_join(&rv, thread[i]);
        said += crowd[i].said;
    }
    assert_in_range(said, 1, 4); /* in the first moment two threads may take two places for one pair */
    assert_int_equal(tr_throttle_wait_s(throttle, who(throttle, "ip", "app"), NOW), 60);
}

static void time_is_spent_no_faster_than_it_passes(void **state)
{
    tr_budget_t *budget = apr_pcalloc(*state, sizeof(tr_budget_t));
    int64_t now = 5000000;
    assert_false(tr_budget_is_spent(budget, now));
    tr_budget_spend(budget, TR_BUDGET_AHEAD_US, now);
    assert_false(tr_budget_is_spent(budget, now));
    tr_budget_spend(budget, 1, now);
    assert_true(tr_budget_is_spent(budget, now));
    assert_false(tr_budget_is_spent(budget, now + 1));
    tr_budget_spend(budget, -1000, now);
    assert_true(tr_budget_is_spent(budget, now));
}

static void what_is_spent_far_too_much_is_forgiven(void **state)
{
    tr_budget_t *budget = apr_pcalloc(*state, sizeof(tr_budget_t));
    tr_budget_spend(budget, INT64_C(3600000000), 1000);
    tr_budget_spend(budget, INT64_C(3600000000), 1000);
    assert_true(tr_budget_is_spent(budget, 1000 + TR_BUDGET_MOST_US - TR_BUDGET_AHEAD_US - 1));
    assert_false(tr_budget_is_spent(budget, 1000 + TR_BUDGET_MOST_US - TR_BUDGET_AHEAD_US));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(after_100_failures_the_rest_of_the_minute_is_closed),
        TT_TEST(failures_beyond_the_limit_do_not_lengthen_the_wait),
        TT_TEST(slow_failures_never_close),
        TT_TEST(success_forgives),
        TT_TEST(pairs_are_counted_apart),
        TT_TEST(the_key_is_made_once_and_differs_between_tables),
        TT_TEST(a_flood_of_other_names_does_not_wash_out_a_closed_pair),
        TT_TEST(places_whose_time_is_over_are_used_again),
        TT_TEST(an_address_of_ipv6_counts_by_its_network),
        TT_TEST(threads_count_together),
        TT_TEST(time_is_spent_no_faster_than_it_passes),
        TT_TEST(what_is_spent_far_too_much_is_forgiven),
    };
    return TT_RUN(tests);
}
