/*
 * Revocations that have expired are deleted from the store; nothing else is, and the totals stay right.
 */
#include "tr_store.h"

#include <stdlib.h>

#include "tr_testing_cmocka.h"
#include "tr_testing_store.h"

/* One whole round, and the beginning of the next. */
static int clean_all(tr_store_t *store, int64_t now_s)
{
    int deleted = 0, in_all = 0;
    for (int i = 0; i < 20 && (i < 3 || deleted > 0); i++) {
        assert_int_equal(tr_store_clean(store, &deleted, now_s), APR_SUCCESS);
        in_all += deleted;
    }
    return in_all;
}

static void append(tr_store_t *store, const char *jti, int64_t expires_s)
{
    tr_entry_t e = tt_entry(jti);
    e.expires_s = expires_s;
    assert_int_equal(tt_append(store, e), APR_SUCCESS);
}

/* Start anew: the totals agree, and this many are there. */
static tt_rows_t *assert_whole(tt_db_t *db, int n)
{
    tt_rows_t *rows = NULL;
    int64_t last_seq = db->facts.last_seq;
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    if (tt_load(&rows, db) != APR_SUCCESS)
        fail_msg("%s", db->why);
    assert_int_equal(rows->n, n);
    assert_true(db->facts.last_seq >= last_seq);
    return rows;
}

static void exactly_what_has_expired_is_deleted(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    append(store, "long ago", 0);
    append(store, "an hour ago", TT_NOW - 3600);
    append(store, "just now", TT_NOW - 1);
    append(store, "last second", TT_NOW);
    append(store, "next second", TT_NOW + 1);
    append(store, "for ever", TR_FOREVER);
    append(store, "nearly for ever", TR_FOREVER - 1);
    assert_int_equal(clean_all(store, TT_NOW), 3);
    tt_rows_t *rows = assert_whole(db, 4);
    assert_int_equal(tt_count(rows, "last second") + tt_count(rows, "next second") + tt_count(rows, "for ever") +
                         tt_count(rows, "nearly for ever"),
                     4);
    assert_int_equal(clean_all(store, TR_FOREVER - 1), 2);
    assert_int_equal(clean_all(store, TR_FOREVER), 1);
    assert_int_equal(tt_count(assert_whole(db, 1), "for ever"), 1);
}

static void numbers_are_not_given_again(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    int64_t seq = 0;
    append(store, "a", TT_NOW - 1);
    append(store, "b", TT_NOW - 1);
    assert_int_equal(tr_store_follow(store, &seq, tt_take_rows, rows), APR_SUCCESS);
    assert_int_equal(clean_all(store, TT_NOW), 2);
    assert_string_equal(tt_ask(db, "SELECT last_seq, row_count, row_sum FROM tokrevoke_state"), "2|0|0");
    assert_whole(db, 0);
    append(store, "c", TT_NOW);
    assert_string_equal(tt_ask(db, "SELECT seq FROM tokrevoke_revocations"), "3");
    assert_int_equal(tr_store_follow(store, &seq, tt_take_rows, rows), APR_SUCCESS);
    assert_int_equal(rows->n, 3);
    assert_whole(db, 1);
}

static void what_expires_later_is_deleted_later(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    for (int round = 0; round < 10; round++) {
        append(store, tt_print(*state, "%d", round), TT_NOW + round);
        append(store, "early", TT_NOW + round - 1);
        assert_int_equal(clean_all(store, TT_NOW + round), round == 0 ? 1 : 2);
        assert_whole(db, 1);
    }
}

static void a_clock_that_knows_nothing_deletes_nothing(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db);
    assert_int_equal(clean_all(store, 0), 0);
    assert_int_equal(clean_all(store, INT64_MIN), 0);
    assert_whole(db, 3);
}

static void thousands_are_deleted_from_between_others(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    for (int i = 0; i < 6; i++)
        tt_fill(db, tt_print(*state, "%s%d-", i % 2 ? "alive" : "gone", i), 700 + 300 * i, i % 2 ? TT_NOW : TT_NOW - 1);
    assert_int_equal(clean_all(store, TT_NOW), 700 + 1300 + 1900);
    tt_rows_t *rows = assert_whole(db, 1000 + 1600 + 2200);
    for (int i = 0; i < rows->n; i++)
        assert_memory_equal(rows->entry[i].value.data, "alive", 5);
}

static void others_get_their_turn_while_thousands_are_deleted(void **state)
{
    /* 500 rows at most in one transaction. */
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    int deleted = 0, before;
    tt_fill(db, "", 2100, TT_NOW - 1);
    tt_ask(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    before = tt_commits(db);
    for (int n; deleted < 2100; deleted += n)
        assert_int_equal(tr_store_clean(store, &n, TT_NOW), APR_SUCCESS);
    assert_int_equal(deleted, 2100);
    assert_in_range(tt_commits(db) - before, 5, 6);
}

static void a_call_does_not_look_at_everything(void **state)
{
    /* The thread has to follow, too. */
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    int deleted, calls = 0;
    tt_fill(db, "alive", 20000, TT_NOW);
    append(store, "gone", TT_NOW - 1);
    do {
        assert_int_equal(tr_store_clean(store, &deleted, TT_NOW), APR_SUCCESS);
        calls++;
    } while (deleted == 0 && calls < 100);
    assert_in_range(calls, 2, 20);
}

static void nothing_is_written_when_nothing_has_expired(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 10);
    tr_store_t *store = tt_store(db), *other = tt_store(db);
    append(other, "x", TT_NOW);
    int commits = tt_commits(db);
    tr_str_t mark = tt_read_file(*state, db->mark);
    assert_int_equal(clean_all(store, TT_NOW), 0);
    assert_int_equal(tt_commits(db), commits);
    assert_true(tr_str_eq(tt_read_file(*state, db->mark), mark));
}

static int clean_too(void *baton)
{
    tt_db_t *db = baton;
    tr_store_t *store = tt_store(db);
    int deleted, in_all = 0;
    for (int i = 0; i < 10; i++) {
        if (tr_store_clean(store, &deleted, TT_NOW) != APR_SUCCESS)
            return 255;
        in_all += deleted;
    }
    return in_all / 20;
}

static void cleaners_of_several_servers_do_not_count_twice(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    pid_t pids[3];
    int twentieths = 0;
    tt_fill(db, "gone", 4000, TT_NOW - 1);
    tt_fill(db, "alive", 100, TT_NOW);
    for (int i = 0; i < 3; i++)
        pids[i] = tt_fork(clean_too, db);
    for (int i = 0; i < 3; i++) {
        int status = tt_wait(pids[i]);
        assert_in_range(status, 0, 200);
        twentieths += status;
    }
    assert_in_range(twentieths, 197, 200);
    assert_whole(db, 100);
}

static void a_damaged_row_stops_the_cleaning(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    int deleted = 0;
    append(store, "a", TT_NOW + 5);
    append(store, "b", TT_NOW - 5);
    tt_do(db, "UPDATE tokrevoke_revocations SET expires_at = 0 WHERE seq = 1");
    assert_int_equal(tr_store_clean(store, &deleted, TT_NOW), TR_STORE_FAILED);
    assert_int_equal(deleted, 0);
    assert_non_null(strstr(tr_store_follow_error(store), "damaged"));
    assert_string_equal(tt_ask(db, "SELECT count(*) FROM tokrevoke_revocations"), "2");
}

static void room_is_given_back_after_a_peak(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    int deleted;
    tt_fill(db, tt_repeat(*state, "0123456789", 100), 6000, TT_NOW - 1);
    tt_fill(db, "alive", 50, TT_NOW);
    int pages = atoi(tt_ask(db, "PRAGMA page_count"));
    assert_in_range(pages, 1500, 4000);
    for (int i = 0; i < 60; i++)
        assert_int_equal(tr_store_clean(store, &deleted, TT_NOW), APR_SUCCESS);
    assert_in_range(atoi(tt_ask(db, "PRAGMA page_count")), 1, 1500);
    assert_string_equal(tt_ask(db, "PRAGMA integrity_check"), "ok");
    assert_whole(db, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(exactly_what_has_expired_is_deleted),
        TT_TEST(numbers_are_not_given_again),
        TT_TEST(what_expires_later_is_deleted_later),
        TT_TEST(a_clock_that_knows_nothing_deletes_nothing),
        TT_TEST(thousands_are_deleted_from_between_others),
        TT_TEST(others_get_their_turn_while_thousands_are_deleted),
        TT_TEST(a_call_does_not_look_at_everything),
        TT_TEST(nothing_is_written_when_nothing_has_expired),
        TT_TEST(cleaners_of_several_servers_do_not_count_twice),
        TT_TEST(a_damaged_row_stops_the_cleaning),
        TT_TEST(room_is_given_back_after_a_peak),
    };
    return TT_RUN(tests);
}
