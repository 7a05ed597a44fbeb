/*
 * How a new table takes over an old one's entries.
 */
#include "tr_table.h"

#include <stdlib.h>

#include "tr_testing_cmocka.h"

#define NOW 1700000000
#define ISS "https://idp.example.com/"
#define CUT ((apr_time_t)NOW * 1000000 + 123457)

static apr_status_t release(void *base)
{
    free(base);
    return APR_SUCCESS;
}

static tr_table_t *create_after(const tr_table_t *previous, uint32_t capacity, apr_pool_t *pool)
{
    apr_size_t size = tr_table_size(capacity);
    tr_table_t *table = NULL;
    void *base = NULL;
    assert_int_equal(posix_memalign(&base, 4096, size), 0);
    memset(base, 0, size);
    apr_pool_cleanup_register(pool, base, release, apr_pool_cleanup_null);
    assert_int_equal(tr_table_create(&table, base, size, capacity, previous, pool), APR_SUCCESS);
    return table;
}

static tr_table_t *create(uint32_t capacity, apr_pool_t *pool)
{
    return create_after(NULL, capacity, pool);
}

static tr_entry_t entry(tr_kind_t kind, const char *value, int64_t expires_s, apr_time_t issued_before)
{
    tr_entry_t e = {kind, tr_str_z(ISS), tr_str_z(value), issued_before, expires_s};
    return e;
}

static tr_entry_t token(const char *value, int64_t expires_s)
{
    return entry(TR_KIND_TOKEN, value, expires_s, 0);
}

static void insert(tr_table_t *table, tr_entry_t e)
{
    tr_table_begin_locked(table);
    assert_int_equal(tr_table_insert_locked(table, &e, NOW), APR_SUCCESS);
    tr_table_end_locked(table);
}

static void set_durable(tr_table_t *table, tr_entry_t e)
{
    tr_table_begin_locked(table);
    tr_table_set_durable(table, &e);
    tr_table_end_locked(table);
}

static bool is_durable(tr_table_t *table, tr_entry_t e)
{
    tr_table_begin_locked(table);
    bool durable = tr_table_is_durable_locked(table, &e);
    tr_table_end_locked(table);
    return durable;
}

static void sweep(tr_table_t *table, int64_t now_s)
{
    tr_table_begin_locked(table);
    tr_table_sweep_locked(table, now_s, 0);
    tr_table_end_locked(table);
}

static bool found_at(const tr_table_t *table, apr_time_t *cut_off, tr_entry_t e)
{
    return tr_table_lookup(table, cut_off, tr_table_mark(table, e.kind, e.issuer, e.value));
}

static bool found(const tr_table_t *table, tr_entry_t e)
{
    return found_at(table, NULL, e);
}

static tr_table_stats_t stats(const tr_table_t *table)
{
    tr_table_stats_t s;
    tr_table_stats(&s, table);
    return s;
}

static apr_status_t copy(tr_table_t *to, const tr_table_t *from, int64_t now_s)
{
    tr_table_begin_locked(to);
    apr_status_t rv = tr_table_copy_locked(to, from, now_s);
    tr_table_end_locked(to);
    return rv;
}

static void a_new_table_takes_over_every_kind_of_entry(void **state)
{
    tr_table_t *from = create(100, *state), *to = create_after(from, 50, *state);
    for (int kind = 0; kind < TR_KINDS; kind++) {
        insert(from, entry((tr_kind_t)kind, "short", NOW + 60 + kind, CUT + kind));
        insert(from, entry((tr_kind_t)kind, "for ever", TR_FOREVER, INT64_MAX / 2));
    }
    assert_int_equal(stats(to).used, 0);
    assert_int_equal(copy(to, from, NOW), APR_SUCCESS);
    assert_int_equal(stats(to).used, 2 * TR_KINDS);
    for (int kind = 0; kind < TR_KINDS; kind++) {
        apr_time_t cut_off = 0, same = 0;
        tr_entry_t e = entry((tr_kind_t)kind, "short", 0, 0), ever = entry((tr_kind_t)kind, "for ever", 0, 0);
        assert_true(found_at(from, &same, e) && found_at(to, &cut_off, e));
        assert_true(cut_off == same);
        assert_true(found_at(from, &same, ever) && found_at(to, &cut_off, ever));
        assert_true(cut_off == same);
        assert_int_equal(stats(to).by_kind[kind], 2);
        assert_false(found(to, entry((tr_kind_t)kind, "stranger", 0, 0)));
        sweep(to, NOW + 60 + kind);
        assert_true(found(to, e));
        sweep(to, NOW + 60 + kind + 1);
        assert_false(found(to, e));
        assert_true(found(to, ever));
    }
    assert_int_equal(stats(from).used, 2 * TR_KINDS);
}

static void the_marks_of_both_tables_are_the_same(void **state)
{
    tr_table_t *from = create(100, *state), *to = create_after(from, 5000, *state);
    tr_mark_t a = tr_table_mark(from, TR_KIND_CLIENT, tr_str_z("i"), tr_str_z("v"));
    tr_mark_t b = tr_table_mark(to, TR_KIND_CLIENT, tr_str_z("i"), tr_str_z("v"));
    assert_memory_equal(&a, &b, sizeof a);
}

static void a_table_of_another_size_takes_over_thousands(void **state)
{
    static const uint32_t capacities[] = {3000, 3001, 4096, 100000};
    apr_pool_t *pool = *state;
    tr_table_t *from = create(8000, pool);
    for (int i = 0; i < 3000; i++)
        insert(from, entry(TR_KIND_SESSION, tt_print(pool, "s%d", i), NOW + 60 + i, CUT + i));
    for (size_t c = 0; c < sizeof capacities / sizeof *capacities; c++) {
        tr_table_t *to = create_after(from, capacities[c], pool);
        apr_time_t cut_off = 0;
        assert_int_equal(copy(to, from, NOW), APR_SUCCESS);
        assert_int_equal(stats(to).used, 3000);
        for (int i = 0; i < 3000; i++)
            assert_true(found_at(to, &cut_off, entry(TR_KIND_SESSION, tt_print(pool, "s%d", i), 0, 0)) && cut_off == CUT + i);
        for (int i = 3000; i < 9000; i++)
            assert_false(found(to, entry(TR_KIND_SESSION, tt_print(pool, "s%d", i), 0, 0)));
    }
}

static void what_has_expired_is_left_behind(void **state)
{
    tr_table_t *from = create(10, *state), *to = create_after(from, 2, *state);
    insert(from, token("gone", NOW + 59));
    insert(from, token("last second", NOW + 60));
    insert(from, token("alive", NOW + 61));
    assert_int_equal(copy(to, from, NOW + 60), APR_SUCCESS);
    assert_false(found(to, token("gone", 0)));
    assert_true(found(to, token("last second", 0)));
    assert_true(found(to, token("alive", 0)));
    assert_int_equal(stats(to).used, 2);
}

static void a_table_that_is_too_small_says_so(void **state)
{
    apr_pool_t *pool = *state;
    tr_table_t *from = create(100, pool), *to = create_after(from, 49, pool);
    for (int i = 0; i < 50; i++)
        insert(from, token(tt_print(pool, "%d", i), NOW + 60));
    assert_int_equal(copy(to, from, NOW), APR_ENOSPC);
    assert_int_equal(stats(to).used, 49);
    assert_int_equal(copy(to, from, NOW + 61), APR_SUCCESS);
}

static void nothing_is_durable_in_the_new_table(void **state)
{
    tr_table_t *from = create(10, *state), *to = create_after(from, 10, *state);
    tr_entry_t e = entry(TR_KIND_SUBJECT, "s", NOW + 60, CUT);
    insert(from, e);
    set_durable(from, e);
    assert_int_equal(copy(to, from, NOW), APR_SUCCESS);
    assert_false(is_durable(to, e));
    assert_true(is_durable(from, e));
    set_durable(to, e);
    assert_true(is_durable(to, e));
    /* A second time changes nothing. */
    assert_int_equal(copy(to, from, NOW), APR_SUCCESS);
    assert_true(is_durable(to, e));
}

static void taking_over_makes_nothing_weaker(void **state)
{
    tr_table_t *from = create(10, *state), *to = create_after(from, 10, *state);
    apr_time_t cut_off = 0;
    insert(from, entry(TR_KIND_SUBJECT, "longer there", NOW + 600, CUT));
    insert(to, entry(TR_KIND_SUBJECT, "longer there", NOW + 60, CUT + 9));
    insert(from, entry(TR_KIND_SUBJECT, "longer here", NOW + 60, CUT + 9));
    insert(to, entry(TR_KIND_SUBJECT, "longer here", NOW + 600, CUT));
    assert_int_equal(copy(to, from, NOW), APR_SUCCESS);
    sweep(to, NOW + 599);
    assert_true(found_at(to, &cut_off, entry(TR_KIND_SUBJECT, "longer there", 0, 0)) && cut_off == CUT + 9);
    assert_true(found_at(to, &cut_off, entry(TR_KIND_SUBJECT, "longer here", 0, 0)) && cut_off == CUT + 9);
    assert_int_equal(stats(to).used, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_new_table_takes_over_every_kind_of_entry),
        TT_TEST(the_marks_of_both_tables_are_the_same),
        TT_TEST(a_table_of_another_size_takes_over_thousands),
        TT_TEST(what_has_expired_is_left_behind),
        TT_TEST(a_table_that_is_too_small_says_so),
        TT_TEST(nothing_is_durable_in_the_new_table),
        TT_TEST(taking_over_makes_nothing_weaker),
    };
    return TT_RUN(tests);
}
