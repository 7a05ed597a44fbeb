/*
 * Storing lists: all of one in the same transaction, or nothing of it.
 */
#include "tr_store.h"

#include <pthread.h>

#include "tr_testing_append.h"
#include "tr_testing_cmocka.h"

/* n revocations named by prefix and their number. */
static tr_revocation_t **make_list(const char *prefix, int n, apr_pool_t *pool)
{
    tr_revocation_t **list = apr_palloc(pool, (apr_size_t)n * sizeof *list);
    for (int i = 0; i < n; i++) {
        list[i] = apr_pcalloc(pool, sizeof **list);
        list[i]->entry = tt_entry(tt_print(pool, "%s%d", prefix, i));
    }
    return list;
}

static apr_status_t append_list(tr_store_t *store, tr_revocation_t **list, int n)
{
    return tr_store_append(store, list, n, TT_AT(TT_NOW));
}

static void a_list_is_stored_in_one_commit_and_each_learns_its_number(void **state)
{
    static const int sizes[] = {1, 2, 255, 256, 257, 999, 1000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        tt_db_t *db = tt_prepared_db(*state);
        tr_store_t *store = tt_store(db);
        assert_int_equal(tt_append(store, tt_entry("first")), APR_SUCCESS);
        int n = sizes[s], before = tt_commits(db);
        tr_revocation_t **list = make_list("l", n, *state);
        assert_int_equal(append_list(store, list, n), APR_SUCCESS);
        assert_int_equal(tt_commits(db) - before, 1);
        for (int i = 0; i < n; i++) {
            assert_true(list[i]->seq == i + 2);
            assert_string_equal(tt_ask(db, tt_print(*state, "SELECT value FROM tokrevoke_revocations WHERE seq = %d", i + 2)),
                                tt_print(*state, "l%d", i));
            i += n > 300 && i > 5 && i < n - 50 ? 40 : 0;
        }
        tt_assert_whole(db, n + 1);
        apr_pool_clear(*state);
    }
}

static void a_list_of_another_length_is_refused(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tr_revocation_t **list = make_list("l", 1001, *state);
    int stored;
    assert_int_equal(append_list(store, list, 0), TR_STORE_FAILED);
    assert_int_equal(append_list(store, list, -1), TR_STORE_FAILED);
    assert_int_equal(append_list(store, list, 1001), TR_STORE_FAILED);
    assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
    tt_assert_whole(db, 0);
}

static void one_with_a_nul_keeps_its_whole_list_out(void **state)
{
    for (int bad = 0; bad < 3; bad++) {
        tt_db_t *db = tt_prepared_db(*state);
        tr_store_t *store = tt_store(db);
        tr_revocation_t **list = make_list("l", 3, *state);
        int stored;
        list[bad]->entry.value = tr_str("a\0b", 3);
        assert_int_equal(append_list(store, list, 3), TR_STORE_FAILED);
        assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
        assert_int_equal(stored, 0);
        tt_assert_whole(db, 0);
    }
}

typedef struct lister_t {
    tr_store_t *store;
    tr_revocation_t **list;
    int n;
    apr_status_t status;
    pthread_t thread;
} lister_t;

static void *append_list_on(void *data)
{
    lister_t *l = data;
    l->status = append_list(l->store, l->list, l->n);
    return NULL;
}

static void lists_share_a_commit_as_far_as_they_fit_and_are_never_split(void **state)
{
    static const struct {
        int sizes[6], commits;
    } cases[] = {{{100, 100, 56}, 1}, {{100, 100, 57}, 2}, {{200, 200}, 2},         {{1000}, 1},
                 {{1, 1000, 1}, 3},   {{1000, 1000}, 2},   {{1, 2, 3, 4, 5, 1}, 1}, {{255, 1, 1000, 256, 1}, 4}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        tt_db_t *db = tt_prepared_db(*state);
        apr_global_mutex_t *lock = tt_lock(*state);
        tr_store_t *store = tt_store_locked(db, lock);
        int before = tt_commits(db), n = 0, in_all = 0;
        lister_t l[6];
        assert_int_equal(apr_global_mutex_lock(lock), APR_SUCCESS);
        for (; n < 6 && cases[c].sizes[n] > 0; n++) {
            l[n] = (lister_t){.store = store, .n = cases[c].sizes[n]};
            l[n].list = make_list(tt_print(*state, "%d-", n), l[n].n, *state);
            in_all += l[n].n;
            assert_int_equal(pthread_create(&l[n].thread, NULL, append_list_on, &l[n]), 0);
            tt_wait_until_all_wait();
        }
        apr_global_mutex_unlock(lock);
        for (int i = 0; i < n; i++) {
            assert_int_equal(pthread_join(l[i].thread, NULL), 0);
            assert_int_equal(l[i].status, APR_SUCCESS);
            for (int k = 1; k < l[i].n; k++)
                assert_true(l[i].list[k]->seq == l[i].list[0]->seq + k);
        }
        assert_int_equal(tt_commits(db) - before, cases[c].commits);
        tt_assert_whole(db, in_all);
        apr_pool_clear(*state);
    }
}

static void a_list_that_could_not_be_stored_is_stored_later(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tr_revocation_t **list = make_list("l", 1000, *state);
    char *away = tt_take_away(db);
    int stored;
    list[7]->seq = 77;
    assert_int_equal(append_list(store, list, 1000), TR_STORE_FAILED);
    assert_int_equal(append_list(store, list, 1000), TR_STORE_FAILED);
    assert_true(list[7]->seq == 77);
    tt_put_back(db, away);
    assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
    assert_int_equal(stored, 1000);
    tt_rows_t *rows = tt_assert_whole(db, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(tt_count(rows, tt_print(*state, "l%d", i)), 1);
}

static void one_that_the_database_does_not_take_keeps_its_whole_list_out(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tt_do(db, "CREATE TRIGGER t BEFORE INSERT ON tokrevoke_revocations WHEN NEW.value = 'l998' "
              "BEGIN SELECT RAISE(ABORT, 'not this one'); END");
    assert_int_equal(append_list(store, make_list("l", 1000, *state), 1000), TR_STORE_FAILED);
    tt_assert_whole(db, 0);
    tt_do(db, "DROP TRIGGER t");
    int stored = 0;
    for (int i = 0; i < 3 && tr_store_retry(store, &stored) != APR_SUCCESS; i++)
        continue;
    tt_assert_whole(db, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_list_is_stored_in_one_commit_and_each_learns_its_number),
        TT_TEST(a_list_of_another_length_is_refused),
        TT_TEST(one_with_a_nul_keeps_its_whole_list_out),
        TT_TEST(lists_share_a_commit_as_far_as_they_fit_and_are_never_split),
        TT_TEST(a_list_that_could_not_be_stored_is_stored_later),
        TT_TEST(one_that_the_database_does_not_take_keeps_its_whole_list_out),
    };
    return TT_RUN(tests);
}
