/*
 * Whoever chooses the names of his tokens cannot aim at the table: what falls into one place under a key that he knows is spread by
 * the key of the table, and how far a look-up goes has a bound whatever lies there.
 */
#include "tr_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "tr_table_layout.h"
#include "tr_testing_cmocka.h"

#define NOW 1700000000
#define CAPACITY 1000

enum { CHOSEN = 64 };

static tr_table_t *create(uint32_t capacity, apr_pool_t *pool)
{
    tr_table_t *table = NULL;
    apr_size_t size = tr_table_size(capacity);
    void *base = apr_pcalloc(pool, size + 64);
    base = (void *)(((uintptr_t)base + 63) & ~(uintptr_t)63);
    assert_int_equal(tr_table_create(&table, base, size, capacity, NULL, pool), APR_SUCCESS);
    return table;
}

static const char *name_of(apr_pool_t *pool, const char *prefix, uint32_t i)
{
    return tt_print(pool, "%s%u", prefix, i);
}

static tr_mark_t mark_of(const tr_table_t *table, const char *name)
{
    return tr_table_mark(table, TR_KIND_TOKEN, tr_str_z("i"), tr_str_z(name));
}

static uint32_t home(const tr_table_t *table, const char *name)
{
    return home_of(table, mark_of(table, name).h[0]);
}

static apr_status_t insert(tr_table_t *table, const char *name)
{
    tr_entry_t e = {TR_KIND_TOKEN, tr_str_z("i"), tr_str_z(name), 0, TR_FOREVER};
    tr_table_begin_locked(table);
    apr_status_t rv = tr_table_insert_locked(table, &e, NOW);
    tr_table_end_locked(table);
    return rv;
}

/* Names that all have their home in the first bucket of table. */
static const char **choose(const tr_table_t *table, apr_pool_t *pool)
{
    const char **chosen = apr_palloc(pool, CHOSEN * sizeof *chosen);
    for (uint32_t i = 0, n = 0; n < CHOSEN; i++) {
        const char *name = name_of(pool, "jti-", i);
        if (home(table, name) == 0)
            chosen[n++] = name;
    }
    return chosen;
}

static uint32_t fullest(const tr_table_t *table, const char *const *names, uint32_t n, apr_pool_t *pool)
{
    uint32_t *count = apr_pcalloc(pool, table->buckets * sizeof *count), most = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t here = ++count[home(table, names[i])];
        most = here > most ? here : most;
    }
    return most;
}

/* Chance puts seven of 64 into one of 632 places once in ten million times. */
static void names_that_collide_under_one_key_are_spread_by_the_next(void **state)
{
    tr_table_t *known = create(CAPACITY, *state);
    const char **chosen = choose(known, *state);
    assert_int_equal(fullest(known, chosen, CHOSEN, *state), CHOSEN);
    for (int i = 0; i < 20; i++)
        assert_in_range(fullest(create(CAPACITY, *state), chosen, CHOSEN, *state), 1, 7);
}

/* Chi-square, within seven times its deviation of its mean. */
static void names_that_follow_one_another_fall_anywhere(void **state)
{
    enum { NAMES = 40000 };
    tr_table_t *table = create(CAPACITY, *state);
    const char *prefixes[] = {"", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "00000000-0000-4000-8000-0000000"};
    for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++) {
        uint32_t *count = apr_pcalloc(*state, table->buckets * sizeof *count);
        double expected = (double)NAMES / table->buckets, sum = 0;
        for (uint32_t i = 0; i < NAMES; i++)
            count[home(table, name_of(*state, prefixes[p], i))]++;
        for (uint32_t b = 0; b < table->buckets; b++)
            sum += (count[b] - expected) * (count[b] - expected) / expected;
        double freedom = table->buckets - 1, deviation = 36; /* of 633 buckets: the root of twice that */
        assert_true(sum < freedom + 7 * deviation && sum > freedom - 7 * deviation);
    }
}

static uint32_t longest_reach(const tr_table_t *table)
{
    uint32_t longest = 0;
    for (uint32_t b = 0; b < table->buckets; b++) {
        uint32_t reach = atomic_load(reach_of(table, b));
        longest = reach > longest ? reach : longest;
    }
    return longest;
}

static void a_full_table_is_looked_at_a_few_places_each(void **state)
{
    enum { MANY = 20000 };
    tr_table_t *table = create(MANY, *state);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(insert(table, name_of(*state, "jti-", i)), APR_SUCCESS);
    assert_in_range(longest_reach(table), 1, 1000);
    for (uint32_t i = 0; i < MANY; i++)
        assert_true(tr_table_lookup(table, NULL, mark_of(table, name_of(*state, "jti-", i))));
}

/* As if the key had been read out of a process: slower then, and never wrong. */
static void whoever_knows_the_key_makes_it_slower_and_not_wrong(void **state)
{
    tr_table_t *table = create(CAPACITY, *state);
    const char **chosen = choose(table, *state);
    uint32_t in = 0;
    for (uint32_t i = 0; i < CHOSEN; i++)
        in += insert(table, chosen[i]) == APR_SUCCESS;
    assert_int_equal(in, CHOSEN);
    assert_in_range(longest_reach(table), CHOSEN / 2 - 1, CHOSEN / 2);
    for (uint32_t i = 0; i < CHOSEN; i++)
        assert_true(tr_table_lookup(table, NULL, mark_of(table, chosen[i])));
    for (uint32_t i = 0; i < CAPACITY; i++)
        assert_false(tr_table_lookup(table, NULL, mark_of(table, name_of(*state, "other-", i))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(names_that_collide_under_one_key_are_spread_by_the_next),
        TT_TEST(names_that_follow_one_another_fall_anywhere),
        TT_TEST(a_full_table_is_looked_at_a_few_places_each),
        TT_TEST(whoever_knows_the_key_makes_it_slower_and_not_wrong),
    };
    return TT_RUN(tests);
}
