/*
 * Hearing of what others store: in order, once, and at no cost when there is nothing. And forgetting what has expired, but
 * nothing else.
 */
#include "tr_store.h"

#include <stdio.h>
#include <unistd.h>

#include <apr_strings.h>

#include "tr_testing_cmocka.h"
#include "tr_testing_store.h"

static apr_status_t follow(tr_store_t *store, int64_t *seq, tt_rows_t *rows)
{
    return tr_store_follow(store, seq, tt_take_rows, rows);
}

static void append(tr_store_t *store, const char *jti)
{
    assert_int_equal(tt_append(store, tt_entry(jti)), APR_SUCCESS);
}

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* ---- following --------------------------------------------------------------------------------------------- */

static void what_others_store_is_heard_once_and_in_order(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *one = tt_store(db), *two = tt_store(db), *ears = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    int64_t seq = 0;
    assert_int_equal(follow(ears, &seq, rows), APR_SUCCESS);
    for (int i = 0; i < 10; i++) {
        append(i % 2 ? one : two, tt_print(*state, "%d", 2 * i));
        append(i % 3 ? one : two, tt_print(*state, "%d", 2 * i + 1));
        assert_int_equal(follow(ears, &seq, rows), APR_SUCCESS);
        assert_int_equal(rows->n, 2 * i + 2);
        assert_int_equal(seq, 2 * i + 2);
        assert_int_equal(follow(ears, &seq, rows), APR_SUCCESS);
        assert_int_equal(rows->n, 2 * i + 2);
    }
    for (int i = 0; i < 20; i++)
        assert_true(tr_str_eq_z(rows->entry[i].value, tt_print(*state, "%d", i)));
}

static void every_part_of_an_entry_is_heard(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    tr_str_t digest = tr_str_z("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
                               "\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa\xfb\xfc\xfd\xfe\xff\xf0");
    int64_t seq = 0;
    for (int kind = 0; kind < TR_KINDS; kind++) {
        bool has_cut_off = tr_kind_has_cut_off((tr_kind_t)kind);
        tr_entry_t e = {(tr_kind_t)kind, tr_str_z(TT_ISS), tr_kind_has_digest((tr_kind_t)kind) ? digest : tr_str_z("v"),
                        has_cut_off ? 1000 + kind : 0, kind % 2 ? TR_FOREVER : TT_NOW + kind};
        assert_int_equal(tt_append(store, e), APR_SUCCESS);
        assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
        assert_int_equal(rows->n, kind + 1);
        const tr_entry_t *got = &rows->entry[kind];
        assert_int_equal(got->kind, kind);
        assert_true(tr_str_eq(got->issuer, e.issuer) && tr_str_eq(got->value, e.value));
        assert_true(got->issued_before == e.issued_before && got->expires_s == e.expires_s);
    }
}

static void only_what_came_later_is_heard(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows, *heard = tt_rows(*state);
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    int64_t seq = db->facts.last_seq;
    assert_int_equal(follow(store, &seq, heard), APR_SUCCESS);
    assert_int_equal(heard->n, 0);
    append(store, "4");
    assert_int_equal(follow(store, &seq, heard), APR_SUCCESS);
    assert_int_equal(heard->n, 1);
    assert_str_is(heard->entry[0].value, "4");
}

static void thousands_are_heard_at_once(void **state)
{
    static const int sizes[] = {1000, 999, 1001, 2000, 1};
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    int64_t seq = 0;
    int n = 0;
    for (int s = 0; s < 5; s++) {
        tt_fill(db, tt_print(*state, "%d-", s), sizes[s], TR_FOREVER);
        assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
        assert_int_equal(rows->n, n + sizes[s]);
        assert_str_is(rows->entry[n].value, tt_print(*state, "%d-0", s));
        n += sizes[s];
        assert_int_equal(seq, n);
    }
}

typedef struct writer_t {
    tt_db_t *db;
    int number;
} writer_t;

static int write_some(void *baton)
{
    writer_t *writer = baton;
    tr_store_t *store = tt_store(writer->db);
    for (int i = 0; i < 20; i++)
        if (tt_append(store, tt_entry(tt_print(writer->db->pool, "%d-%d", writer->number, i))) != APR_SUCCESS)
            return 1;
    return 0;
}

static void processes_that_write_at_once_are_heard_in_one_order(void **state)
{
    enum { WRITERS = 4 };
    tt_db_t *db = tt_prepared_db(*state);
    tt_rows_t *rows = tt_rows(*state);
    pid_t pids[WRITERS];
    int64_t seq = 0;
    for (int i = 0; i < WRITERS; i++) {
        writer_t writer = {db, i};
        pids[i] = tt_fork(write_some, &writer);
    }
    tr_store_t *store = tt_store(db);
    while (rows->n < WRITERS * 20)
        assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(tt_wait(pids[i]), 0);
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    char *heard = apr_pstrdup(*state, "");
    for (int i = 0; i < rows->n; i++)
        heard =
            apr_psprintf(*state, "%s%s%.*s", heard, i > 0 ? "\n" : "", (int)rows->entry[i].value.len, rows->entry[i].value.data);
    assert_string_equal(heard, tt_ask(db, "SELECT value FROM tokrevoke_revocations ORDER BY seq"));
    assert_string_equal(tt_ask(db, "SELECT count(*), count(DISTINCT value), max(seq) FROM tokrevoke_revocations"), "80|80|80");
}

/* How often this process has asked the system to read anything; -1 where that is not counted. */
static long reads(void)
{
    FILE *f = fopen("/proc/self/io", "r");
    long n = -1;
    char line[80];
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "syscr: %ld", &n);
    if (f)
        fclose(f);
    return n;
}

static void nothing_is_read_when_there_is_nothing_new(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db), *other = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    int64_t seq = 0;
    if (reads() < 0)
        skip();
    append(other, "x");
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    int calls = rows->calls;
    long before = reads();
    for (int i = 0; i < 500; i++)
        assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    assert_in_range(reads() - before, 0, 20);
    assert_int_equal(rows->calls, calls);
    append(other, "y");
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    assert_int_equal(rows->calls, calls + 1);
}

static void nobody_waits_for_a_writer(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    int64_t seq = 0;
    apr_pool_t *writer = tt_hold_writer(db);
    apr_time_t began = apr_time_now();
    for (int i = 0; i < 3; i++)
        assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    assert_true(apr_time_now() - began < apr_time_from_sec(1));
    assert_int_equal(rows->n, 3);
    apr_pool_destroy(writer);
}

static void what_was_not_taken_is_offered_again(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    int64_t seq = 0;
    rows->answer = APR_ENOSPC;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(follow(store, &seq, rows), APR_ENOSPC);
        assert_int_equal(rows->calls, i);
        assert_int_equal(seq, 0);
    }
    rows->answer = APR_SUCCESS;
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    assert_int_equal(rows->n, 3);
    assert_int_equal(seq, 3);
}

static apr_status_t take_one_call(void *baton, const tr_entry_t *entries, int n)
{
    tt_rows_t *rows = baton;
    apr_status_t rv = tt_take_rows(rows, entries, n);
    rows->answer = APR_ENOSPC;
    return rv;
}

static void what_was_taken_is_not_offered_again(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    int64_t seq = 0;
    tt_fill(db, "", 2500, TR_FOREVER);
    assert_int_equal(tr_store_follow(store, &seq, take_one_call, rows), APR_ENOSPC);
    assert_int_equal(seq, rows->n);
    assert_in_range(rows->n, 1, 2499);
    rows->answer = APR_SUCCESS;
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    assert_int_equal(rows->n, 2500);
    for (int i = 0; i < 2500; i++)
        assert_true(tr_str_eq_z(rows->entry[i].value, tt_print(*state, "%d", i)));
}

static void a_damaged_revocation_is_not_passed_over(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    int64_t seq = 1;
    tt_do(db, "UPDATE tokrevoke_revocations SET value = 'x' WHERE seq = 3");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(follow(store, &seq, rows), TR_STORE_FAILED);
        assert_says(tr_store_follow_error(store), "damaged");
    }
    assert_int_equal(seq, 1);
    tt_do(db, "UPDATE tokrevoke_revocations SET value = '3' WHERE seq = 3");
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    assert_int_equal(seq, 3);
    assert_int_equal(rows->n, 2);
}

static void following_fails_while_the_database_is_away_and_goes_on_when_it_is_back(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    char *away = tt_print(*state, "%s.away", db->path);
    int64_t seq = 0;
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    tt_rename(db->path, away);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(follow(store, &seq, rows), TR_STORE_FAILED);
        assert_says(tr_store_follow_error(store), db->path);
        assert_false(tt_exists(db->path));
    }
    tt_rename(away, db->path);
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    tr_store_t *other = tt_store(db);
    append(other, "4");
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    assert_int_equal(rows->n, 4);
}

static void another_database_or_an_older_state_is_not_followed(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3), *other = tt_filled_db(*state, 9);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    tr_str_t old = tt_read_file(*state, db->path);
    int64_t seq = 0;
    append(store, "4");
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    tt_close_store(db, store);
    store = tt_store(db);
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    tt_rename(other->path, db->path);
    assert_int_equal(follow(store, &seq, rows), TR_STORE_FAILED);
    assert_int_equal(follow(store, &seq, rows), TR_STORE_FAILED);
    tt_remove(db->path);
    tt_write_file(db->path, old);
    assert_int_equal(follow(store, &seq, rows), TR_STORE_FAILED);
    assert_int_equal(seq, 4);
    assert_int_equal(rows->n, 4);
}

static void what_was_replaced_in_the_same_file_is_not_followed(void **state)
{
    /* As sqlite3's .restore does it. Whoever stores there next gives again the numbers that we have passed. */
    static const char *const changes[] = {"last_seq = 3, row_count = row_count - 1",
                                          "database_id = '0123456789abcdef0123456789abcdef'"};
    static const char *const reasons[] = {"older state", "another database"};
    for (int i = 0; i < 2; i++) {
        tt_db_t *db = tt_filled_db(*state, 3);
        tr_store_t *store = tt_store(db), *other = tt_store(db);
        tt_rows_t *rows = tt_rows(*state);
        int64_t seq = 0;
        append(other, "4");
        assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
        assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
        tt_do(db, tt_print(*state, "UPDATE tokrevoke_state SET %s", changes[i]));
        for (int k = 0; k < 3; k++) {
            assert_int_equal(follow(store, &seq, rows), TR_STORE_FAILED);
            assert_says(tr_store_follow_error(store), reasons[i]);
        }
        tt_do(db, tt_print(*state, "UPDATE tokrevoke_state SET last_seq = 4, row_count = 4, database_id = '%s'", db->facts.id));
        assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
        append(other, "5");
        assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
        assert_int_equal(seq, 5);
        assert_int_equal(rows->n, 5);
    }
}

static void who_follows_late_makes_nobody_forget_what_was_stored(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    int64_t seq = 0;
    append(store, "4");
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    tt_do(db, "UPDATE tokrevoke_state SET last_seq = 3");
    assert_int_equal(tt_append(store, tt_entry("5")), TR_STORE_FAILED);
    assert_says(tr_store_error(store, *state), "older state");
}

static void a_vacuum_disturbs_nobody(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows = tt_rows(*state);
    int64_t seq = 0;
    int deleted;
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    append(store, "4");
    tt_do(db, "VACUUM");
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    append(store, "5");
    tt_do(db, "CREATE INDEX mine ON tokrevoke_revocations (expires_at)");
    append(store, "6");
    assert_int_equal(follow(store, &seq, rows), APR_SUCCESS);
    assert_int_equal(rows->n, 6);
    tt_do(db, "DROP INDEX mine");
    assert_int_equal(tr_store_clean(store, &deleted, TT_NOW), APR_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(what_others_store_is_heard_once_and_in_order),
        TT_TEST(every_part_of_an_entry_is_heard),
        TT_TEST(only_what_came_later_is_heard),
        TT_TEST(thousands_are_heard_at_once),
        TT_TEST(processes_that_write_at_once_are_heard_in_one_order),
        TT_TEST(nothing_is_read_when_there_is_nothing_new),
        TT_TEST(nobody_waits_for_a_writer),
        TT_TEST(what_was_not_taken_is_offered_again),
        TT_TEST(what_was_taken_is_not_offered_again),
        TT_TEST(a_damaged_revocation_is_not_passed_over),
        TT_TEST(following_fails_while_the_database_is_away_and_goes_on_when_it_is_back),
        TT_TEST(another_database_or_an_older_state_is_not_followed),
        TT_TEST(what_was_replaced_in_the_same_file_is_not_followed),
        TT_TEST(who_follows_late_makes_nobody_forget_what_was_stored),
        TT_TEST(a_vacuum_disturbs_nobody),
    };
    return TT_RUN(tests);
}
