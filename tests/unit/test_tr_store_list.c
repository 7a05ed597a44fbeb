/*
 * Listing what is stored: newest first, a page at a time, by kind and value, and only what still lives. Never at the cost of
 * those who store and follow.
 */
#include "tr_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "tr_limits.h"
#include "tr_testing_append.h"
#include "tr_testing_cmocka.h"

static const char digest[32] = "0123456789abcdefghijklmnopqrstu";

typedef struct list_t {
    apr_pool_t *pool;
    int n;
    tr_store_listed_t got[TR_MAX_LISTED];
    int stop_at; /* 0: never */
    const char *why;
} list_t;

static tr_str_t keep(tr_str_t s, apr_pool_t *pool)
{
    return tr_str(tr_str_dup_z(s, pool), s.len);
}

static apr_status_t take(void *baton, const tr_store_listed_t *listed)
{
    list_t *list = baton;
    if (list->stop_at && list->n == list->stop_at)
        return APR_INCOMPLETE;
    tr_store_listed_t *to = &list->got[list->n++];
    *to = *listed;
    to->entry.issuer = keep(listed->entry.issuer, list->pool);
    to->entry.value = keep(listed->entry.value, list->pool);
    to->circumstances.actor = keep(listed->circumstances.actor, list->pool);
    to->circumstances.client_address = keep(listed->circumstances.client_address, list->pool);
    to->circumstances.reason = keep(listed->circumstances.reason, list->pool);
    return APR_SUCCESS;
}

static apr_status_t ask(list_t *out, tr_store_t *store, tr_store_query_t query, apr_pool_t *pool)
{
    out->pool = pool;
    out->n = 0;
    out->stop_at = 0;
    query.now_s = query.now_s ? query.now_s : TT_NOW;
    return tr_store_list(store, &query, take, out, &out->why, pool);
}

/* The numbers of what is listed, or what went wrong. */
static char *seqs(tr_store_t *store, tr_store_query_t query, apr_pool_t *pool)
{
    list_t list;
    apr_status_t rv = ask(&list, store, query, pool);
    char *out = rv == APR_SUCCESS ? "" : tt_print(pool, "%d: %s", rv, list.why ? list.why : "-");
    for (int i = 0; i < list.n; i++)
        out = tt_print(pool, "%s%s%d", out, *out ? " " : "", (int)list.got[i].seq);
    return out;
}

/* One of each kind, numbered from 1 by kind. */
static tr_store_t *every_kind(tt_db_t **db, apr_pool_t *pool)
{
    *db = tt_prepared_db(pool);
    tr_store_t *store = tt_store(*db);
    for (int kind = 0; kind < TR_KINDS; kind++) {
        bool has_digest = tr_kind_has_digest((tr_kind_t)kind);
        tr_entry_t e = {(tr_kind_t)kind, tr_str_z(TT_ISS), has_digest ? tr_str(digest, 32) : tr_str_z("v"),
                        tr_kind_has_cut_off((tr_kind_t)kind) ? 1000 + kind : 0, kind % 2 ? TR_FOREVER : TT_NOW + 3600};
        assert_int_equal(tt_append(store, e), APR_SUCCESS);
    }
    return store;
}

static void every_part_is_listed(void **state)
{
    tt_db_t *db;
    tr_store_t *store = every_kind(&db, *state);
    list_t list;
    assert_int_equal(ask(&list, store, (tr_store_query_t){.limit = 100}, *state), APR_SUCCESS);
    assert_int_equal(list.n, 8);
    for (int i = 0; i < list.n; i++) {
        const tr_store_listed_t *got = &list.got[i];
        int kind = 7 - i;
        bool has_digest = tr_kind_has_digest((tr_kind_t)kind);
        assert_true(got->seq == kind + 1);
        assert_int_equal(got->entry.kind, kind);
        assert_str_is(got->entry.issuer, TT_ISS);
        assert_true(tr_str_eq(got->entry.value, has_digest ? tr_str(digest, 32) : tr_str_z("v")));
        assert_true(got->entry.issued_before == (tr_kind_has_cut_off((tr_kind_t)kind) ? 1000 + kind : 0));
        assert_true(got->entry.expires_s == (kind % 2 ? TR_FOREVER : TT_NOW + 3600));
        assert_str_is(got->circumstances.actor, "bob");
        assert_str_is(got->circumstances.client_address, "192.0.2.1");
        assert_str_is(got->circumstances.reason, "stolen");
        assert_true(got->revoked_at_s == TT_NOW);
    }
}

static void a_kind_can_be_asked_for_and_token_means_all_forms_of_tokens(void **state)
{
    static const char *const expected[TR_KINDS] = {"7 6 1", "2", "3", "4", "5", "6", "7", "8", "", ""};
    tt_db_t *db;
    tr_store_t *store = every_kind(&db, *state);
    for (int kind = 0; kind < TR_KINDS; kind++) {
        tr_kind_t asked = (tr_kind_t)kind;
        assert_string_equal(seqs(store, (tr_store_query_t){.limit = 100, .kind = &asked}, *state), expected[kind]);
    }
}

static void what_is_only_remembered_is_never_listed(void **state)
{
    tt_db_t *db;
    tr_store_t *store = every_kind(&db, *state);
    tr_str_t value = tr_str_z("v");
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 100}, *state), "8 7 6 5 4 3 2 1");
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 100, .value = &value}, *state), "8 5 4 3 2 1");
}

static void a_value_can_be_asked_for(void **state)
{
    static const char *const values[] = {"alice", "alice ", "Alice", "al", "alice'; --", "", "%", "_____", "\xc3\xa4", "*"};
    enum { n = sizeof values / sizeof *values };
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tr_kind_t token = TR_KIND_TOKEN, subject = TR_KIND_SUBJECT;
    for (int i = 0; i < n; i++) {
        tr_entry_t e = tt_entry(values[i]);
        e.kind = i % 2 ? TR_KIND_SUBJECT : TR_KIND_TOKEN;
        assert_int_equal(tt_append(store, e), APR_SUCCESS);
    }
    for (int i = 0; i < n; i++) {
        tr_str_t value = tr_str_z(values[i]);
        char *itself = tt_print(*state, "%d", i + 1);
        assert_string_equal(seqs(store, (tr_store_query_t){.limit = 100, .value = &value}, *state), itself);
        assert_string_equal(seqs(store, (tr_store_query_t){.limit = 100, .value = &value, .kind = &subject}, *state),
                            i % 2 ? itself : "");
        assert_string_equal(seqs(store, (tr_store_query_t){.limit = 100, .value = &value, .kind = &token}, *state),
                            i % 2 ? "" : itself);
    }
    tr_str_t nobody = tr_str_z("nobody"), nul = tr_str("alice\0b", 7);
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 100, .value = &nobody}, *state), "");
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 100, .value = &nul}, *state),
                        tt_print(*state, "%d: -", APR_EINVAL));
}

static void a_digest_is_asked_for_by_its_digits(void **state)
{
    tt_db_t *db;
    tr_store_t *store = every_kind(&db, *state);
    tr_str_t text = tr_str_z("303132333435363738396162636465666768696a6b6c6d6e6f70717273747500");
    tr_kind_t token = TR_KIND_TOKEN;
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 9, .value = &text, .kind = &token}, *state), "7 6");
}

static void what_has_expired_is_not_listed(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    for (int i = 0; i < 5; i++) {
        tr_entry_t e = tt_entry("a");
        e.expires_s = i == 4 ? TR_FOREVER : TT_NOW + i;
        assert_int_equal(tt_append(store, e), APR_SUCCESS);
    }
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 9, .now_s = TT_NOW}, *state), "5 4 3 2 1");
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 9, .now_s = TT_NOW + 1}, *state), "5 4 3 2");
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 9, .now_s = TT_NOW + 3}, *state), "5 4");
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 9, .now_s = TT_NOW + 4}, *state), "5");
}

static void pages_follow_one_another_while_new_ones_arrive(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 25);
    tr_store_t *store = tt_store(db);
    list_t list;
    int64_t before = 0;
    int expected = 25;
    while (expected > 0) {
        assert_int_equal(ask(&list, store, (tr_store_query_t){.limit = 4, .before_seq = before}, *state), APR_SUCCESS);
        assert_int_equal(list.n, expected < 4 ? expected : 4);
        for (int i = 0; i < list.n; i++)
            assert_true(list.got[i].seq == expected--);
        before = list.got[list.n - 1].seq;
        assert_int_equal(tt_append(store, tt_entry("new")), APR_SUCCESS);
    }
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 4, .before_seq = 1}, *state), "");
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 1}, *state), "32");
}

static void limits_are_kept(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    list_t list;
    tt_fill(db, "t", 1500, TR_FOREVER);
    assert_int_equal(ask(&list, store, (tr_store_query_t){.limit = 0}, *state), APR_EINVAL);
    assert_int_equal(ask(&list, store, (tr_store_query_t){.limit = -1}, *state), APR_EINVAL);
    assert_int_equal(ask(&list, store, (tr_store_query_t){.limit = TR_MAX_LISTED + 1}, *state), APR_EINVAL);
    assert_int_equal(ask(&list, store, (tr_store_query_t){.limit = TR_MAX_LISTED}, *state), APR_SUCCESS);
    assert_int_equal(list.n, TR_MAX_LISTED);
    assert_true(list.got[1000].seq == 500);
}

static void what_is_rare_is_found_far_back(void **state)
{
    /* More than one piece, with gaps, and the piece with the answer is the last one. */
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tr_str_t value = tr_str_z("rare");
    assert_int_equal(tt_append(store, tt_entry("rare")), APR_SUCCESS);
    tt_fill(db, "a", 4999, TT_NOW - 10);
    tt_fill(db, "b", 7000, TR_FOREVER);
    assert_int_equal(tt_append(store, tt_entry("rare")), APR_SUCCESS);
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 1000, .value = &value}, *state), "12001 1");
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 2, .before_seq = 5001}, *state), "1");
    int deleted;
    for (int i = 0; i < 10; i++)
        assert_int_equal(tr_store_clean(store, &deleted, TT_NOW), APR_SUCCESS);
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 1000, .value = &value}, *state), "12001 1");
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 2, .before_seq = 5001}, *state), "1");
}

static void an_empty_database_gives_an_empty_list(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    assert_string_equal(seqs(tt_store(db), (tr_store_query_t){.limit = 10}, *state), "");
}

static void what_was_just_stored_by_anybody_is_listed(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db), *other = tt_store(db);
    for (int i = 1; i < 10; i++) {
        assert_int_equal(tt_append(i % 2 ? store : other, tt_entry("a")), APR_SUCCESS);
        assert_string_equal(seqs(store, (tr_store_query_t){.limit = 1}, *state), tt_print(*state, "%d", i));
    }
}

static void whoever_takes_the_list_may_end_it(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 5);
    list_t list = {.pool = *state, .stop_at = 3};
    tr_store_query_t query = {.limit = 10, .now_s = TT_NOW};
    assert_int_equal(tr_store_list(tt_store(db), &query, take, &list, &list.why, *state), APR_INCOMPLETE);
    assert_int_equal(list.n, 3);
}

/* ---- when something is wrong ------------------------------------------------------------------------------- */

static void a_damaged_row_is_an_error_and_not_left_out(void **state)
{
    static const char *const damages[] = {
        "UPDATE tokrevoke_revocations SET value = 'x' WHERE seq = 3",
        "UPDATE tokrevoke_revocations SET issued_before_us = 7 WHERE seq = 3",
        "UPDATE tokrevoke_revocations SET expires_at = NULL WHERE seq = 3",
        "UPDATE tokrevoke_revocations SET checksum = checksum + 1 WHERE seq = 3",
        "UPDATE tokrevoke_revocations SET kind = 'subject' WHERE seq = 3",
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        tt_db_t *db = tt_filled_db(*state, 5);
        tr_store_t *store = tt_store(db);
        list_t list;
        tt_do(db, damages[i]);
        assert_int_equal(ask(&list, store, (tr_store_query_t){.limit = 10}, *state), TR_STORE_FAILED);
        assert_int_equal(list.n, 0);
        assert_non_null(strstr(list.why, "revocation number 3 does not fit its checksum"));
        assert_string_equal(seqs(store, (tr_store_query_t){.limit = 2}, *state), "5 4");
    }
}

static void an_old_connection_is_replaced_when_somebody_changed_the_schema(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db);
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 9}, *state), "3 2 1");
    tt_do(db, "CREATE INDEX i ON tokrevoke_revocations (value)");
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 9}, *state), "3 2 1");
    tt_do(db, "DROP INDEX i; VACUUM");
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 9}, *state), "3 2 1");
}

static void without_its_file_there_is_no_list_and_with_it_there_is(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db);
    for (int was_open = 0; was_open < 2; was_open++) {
        list_t list;
        char *away = tt_take_away(db);
        assert_int_equal(ask(&list, store, (tr_store_query_t){.limit = 9}, *state), TR_STORE_FAILED);
        assert_non_null(strstr(list.why, db->path));
        tt_put_back(db, away);
        assert_string_equal(seqs(store, (tr_store_query_t){.limit = 9}, *state), "3 2 1");
    }
}

static void another_database_is_not_listed(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3), *other = tt_filled_db(*state, 5);
    tr_store_t *store = tt_store(db);
    list_t list;
    tt_take_away(db);
    tt_copy_file(other->path, db->path);
    if (tt_exists(db->wal))
        tt_remove(db->wal);
    assert_int_equal(ask(&list, store, (tr_store_query_t){.limit = 9}, *state), TR_STORE_FAILED);
    assert_int_equal(list.n, 0);
}

static void a_list_fails_after_some_seconds_when_another_takes_too_long(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tr_store_t *store = tt_store(db);
    list_t list;
    tt_hold_list(store);
    apr_time_t began = apr_time_now();
    assert_int_equal(ask(&list, store, (tr_store_query_t){.limit = 9}, *state), TR_STORE_FAILED);
    assert_in_range(apr_time_now() - began, apr_time_from_sec(4), apr_time_from_sec(7));
    assert_non_null(strstr(list.why, "takes long"));
    tt_release_list(store);
    assert_string_equal(seqs(store, (tr_store_query_t){.limit = 9}, *state), "3 2 1");
}

/* ---- beside the others ------------------------------------------------------------------------------------- */

typedef struct reader_t {
    tr_store_t *store;
    _Atomic bool stop;
    int lists, wrong;
    pthread_t thread;
} reader_t;

static void *list_on(void *data)
{
    reader_t *r = data;
    apr_pool_t *pool;
    apr_pool_create_unmanaged_ex(&pool, NULL, NULL);
    while (!atomic_load(&r->stop)) {
        tr_str_t value = tr_str_z("nothing");
        static _Thread_local list_t list;
        tr_store_query_t search = {.limit = 1000, .value = r->lists % 2 ? &value : NULL};
        r->wrong += ask(&list, r->store, search, pool) != APR_SUCCESS;
        for (int i = 1; i < list.n; i++)
            r->wrong += list.got[i].seq >= list.got[i - 1].seq;
        r->wrong += r->lists % 2 ? list.n != 0 : list.n != 1000;
        r->lists++;
        apr_pool_clear(pool);
    }
    apr_pool_destroy(pool);
    return NULL;
}

static void many_lists_disturb_neither_storing_nor_following(void **state)
{
    enum { READERS = 3, TIMES = 50 };
    tt_db_t *db = tt_prepared_db(*state);
    tt_fill(db, "t", 20000, TR_FOREVER);
    tr_store_t *store = tt_store(db);
    reader_t r[READERS];
    tt_rows_t *rows = tt_rows(*state);
    int64_t seq = 20000;
    memset(r, 0, sizeof r);
    for (int i = 0; i < READERS; i++) {
        r[i].store = store;
        assert_int_equal(pthread_create(&r[i].thread, NULL, list_on, &r[i]), 0);
    }
    for (int i = 0; i < TIMES; i++) {
        assert_int_equal(tt_append(store, tt_entry("new")), APR_SUCCESS);
        assert_int_equal(tr_store_follow(store, &seq, tt_take_rows, rows), APR_SUCCESS);
        assert_int_equal(rows->n, i + 1);
    }
    for (int i = 0; i < READERS; i++) {
        atomic_store(&r[i].stop, true);
        assert_int_equal(pthread_join(r[i].thread, NULL), 0);
        assert_int_equal(r[i].wrong, 0);
        assert_true(r[i].lists > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(every_part_is_listed),
        TT_TEST(a_kind_can_be_asked_for_and_token_means_all_forms_of_tokens),
        TT_TEST(what_is_only_remembered_is_never_listed),
        TT_TEST(a_value_can_be_asked_for),
        TT_TEST(a_digest_is_asked_for_by_its_digits),
        TT_TEST(what_has_expired_is_not_listed),
        TT_TEST(pages_follow_one_another_while_new_ones_arrive),
        TT_TEST(limits_are_kept),
        TT_TEST(what_is_rare_is_found_far_back),
        TT_TEST(an_empty_database_gives_an_empty_list),
        TT_TEST(what_was_just_stored_by_anybody_is_listed),
        TT_TEST(whoever_takes_the_list_may_end_it),
        TT_TEST(a_damaged_row_is_an_error_and_not_left_out),
        TT_TEST(an_old_connection_is_replaced_when_somebody_changed_the_schema),
        TT_TEST(without_its_file_there_is_no_list_and_with_it_there_is),
        TT_TEST(another_database_is_not_listed),
        TT_TEST(a_list_fails_after_some_seconds_when_another_takes_too_long),
        TT_TEST(many_lists_disturb_neither_storing_nor_following),
    };
    return TT_RUN(tests);
}
