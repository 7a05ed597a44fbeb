/*
 * Storing: by many threads and processes at once, with few commits; and what happens when the disk, the database or a
 * neighbour does not let us.
 */
#include "tr_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "tr_testing_append.h"
#include "tr_testing_cmocka.h"

#define MOST 400

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* ---- threads ----------------------------------------------------------------------------------------------- */

typedef struct appender_t {
    tr_store_t *store;
    char jti[32];
    int times;
    int each;            /* revocations at a time; 1: by tt_append */
    apr_status_t status; /* the last that was not a success */
    apr_time_t took;
    pthread_t thread;
} appender_t;

enum { MOST_EACH = 200 };

static apr_status_t append_list(tr_store_t *store, const char *name, int n)
{
    tr_revocation_t r[MOST_EACH], *list[MOST_EACH];
    char jti[MOST_EACH][64];
    for (int i = 0; i < n; i++) {
        snprintf(jti[i], sizeof jti[i], "%s-%d", name, i);
        r[i] = (tr_revocation_t){.entry = tt_entry(jti[i])};
        list[i] = &r[i];
    }
    return tr_store_append(store, list, n, TT_AT(TT_NOW));
}

static void *append_on(void *data)
{
    appender_t *a = data;
    apr_time_t began = apr_time_now();
    for (int i = 0; i < a->times; i++) {
        char jti[48];
        snprintf(jti, sizeof jti, "%s-%d", a->jti, i);
        apr_status_t rv = a->each > 1 ? append_list(a->store, jti, a->each) : tt_append(a->store, tt_entry(jti));
        a->status = rv != APR_SUCCESS ? rv : a->status;
    }
    a->took = apr_time_now() - began;
    return NULL;
}

static appender_t *start_listers(tr_store_t *store, int n, int times, int each, apr_pool_t *pool)
{
    appender_t *a = apr_pcalloc(pool, (apr_size_t)n * sizeof *a);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    for (int i = 0; i < n; i++) {
        a[i].store = store;
        a[i].times = times;
        a[i].each = each;
        snprintf(a[i].jti, sizeof a[i].jti, "%d", i);
        assert_int_equal(pthread_create(&a[i].thread, &attr, append_on, &a[i]), 0);
    }
    pthread_attr_destroy(&attr);
    return a;
}

static appender_t *start_appenders(tr_store_t *store, int n, int times, apr_pool_t *pool)
{
    return start_listers(store, n, times, 1, pool);
}

static void join(appender_t *a, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(pthread_join(a[i].thread, NULL), 0);
}

static void join_with_success(appender_t *a, int n)
{
    join(a, n);
    for (int i = 0; i < n; i++)
        assert_int_equal(a[i].status, APR_SUCCESS);
}

static void what_is_acknowledged_is_there_at_once(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    for (int i = 1; i <= 20; i++) {
        tt_rows_t *rows = NULL;
        assert_int_equal(tt_append(store, tt_entry(tt_print(*state, "%d", i))), APR_SUCCESS);
        assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
        assert_int_equal(rows->n, i);
        assert_int_equal(tt_count(rows, tt_print(*state, "%d", i)), 1);
    }
}

static void many_threads_store_at_once(void **state)
{
    enum { THREADS = 16, TIMES = 25 };
    tt_db_t *db = tt_prepared_db(*state);
    appender_t *a = start_appenders(tt_store(db), THREADS, TIMES, *state);
    join_with_success(a, THREADS);
    tt_rows_t *rows = tt_assert_whole(db, THREADS * TIMES);
    for (int i = 0; i < THREADS * TIMES; i++)
        assert_int_equal(tt_count(rows, tt_print(*state, "%d-%d", i / TIMES, i % TIMES)), 1);
}

static void whoever_waits_shares_one_commit(void **state)
{
    static const struct {
        int threads, commits;
    } cases[] = {{1, 1}, {2, 1}, {40, 1}, {256, 1}, {257, 2}, {MOST, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tt_db_t *db = tt_prepared_db(*state);
        apr_global_mutex_t *lock = tt_lock(*state);
        tr_store_t *store = tt_store_locked(db, lock);
        int before = tt_commits(db);
        assert_int_equal(apr_global_mutex_lock(lock), APR_SUCCESS);
        appender_t *a = start_appenders(store, cases[i].threads, 1, *state);
        tt_wait_until_all_wait();
        assert_int_equal(tt_commits(db) - before, 0);
        apr_global_mutex_unlock(lock);
        join_with_success(a, cases[i].threads);
        assert_int_equal(tt_commits(db) - before, cases[i].commits);
        tt_assert_whole(db, cases[i].threads);
        apr_pool_clear(*state);
    }
}

/* ---- processes --------------------------------------------------------------------------------------------- */

typedef struct process_t {
    tt_db_t *db;
    apr_global_mutex_t *lock;
    int number;
} process_t;

static int append_in_process(void *data)
{
    enum { THREADS = 3, TIMES = 10 };
    process_t *p = data;
    appender_t a[THREADS];
    tr_store_t *store = tt_store_locked(p->db, p->lock);
    if (p->lock && apr_global_mutex_child_init(&p->lock, apr_global_mutex_lockfile(p->lock), p->db->pool) != APR_SUCCESS)
        return 2;
    memset(a, 0, sizeof a);
    for (int i = 0; i < THREADS; i++) {
        a[i].store = store;
        a[i].times = TIMES;
        snprintf(a[i].jti, sizeof a[i].jti, "%d-%d", p->number, i);
        if (pthread_create(&a[i].thread, NULL, append_on, &a[i]) != 0)
            return 3;
    }
    int status = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(a[i].thread, NULL);
        status = a[i].status == APR_SUCCESS ? status : 4;
    }
    return status;
}

static void let_processes_append(tt_db_t *db, apr_global_mutex_t *lock)
{
    enum { PROCESSES = 4 };
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        process_t p = {db, lock, i};
        pids[i] = tt_fork(append_in_process, &p);
    }
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(tt_wait(pids[i]), 0);
    tt_assert_whole(db, PROCESSES * 30);
    assert_string_equal(tt_ask(db, "SELECT count(DISTINCT value) FROM tokrevoke_revocations"), "120");
}

static void several_processes_store_at_once(void **state)
{
    let_processes_append(tt_prepared_db(*state), tt_lock(*state));
}

static void several_servers_store_at_once(void **state)
{
    let_processes_append(tt_prepared_db(*state), NULL);
}

/* ---- failing in time --------------------------------------------------------------------------------------- */

#define IN_TIME apr_time_from_sec(9) /* less than five transactions that fail one after the other */

typedef struct blocked_t {
    tt_db_t *db;
    apr_global_mutex_t *lock;
    bool hold_writer;
    int each;
} blocked_t;

/* A process whose revocations cannot be stored: how long do its threads wait, and does it remember? */
static int be_blocked(void *data)
{
    enum { THREADS = 5 };
    blocked_t *b = data;
    tr_store_t *store = tt_store_locked(b->db, b->lock);
    apr_pool_t *writer = b->hold_writer ? tt_hold_writer(b->db) : NULL;
    appender_t *a = start_listers(store, THREADS, 1, b->each, b->db->pool);
    int status = 0;
    join(a, THREADS);
    for (int i = 0; i < THREADS; i++) {
        if (a[i].status != TR_STORE_FAILED)
            status |= 1;
        if (a[i].took > IN_TIME) {
            fprintf(stderr, "%s: thread %d waited %.1f s\n", b->lock ? "lock" : "database", i, (double)a[i].took / 1e6);
            status |= 2;
        }
    }
    if (*tr_store_error(store, b->db->pool) == '\0')
        status |= 4;
    if (writer)
        apr_pool_destroy(writer);
    else
        apr_global_mutex_unlock(b->lock);
    /* Some may be under way at this moment, and are stored without being remembered. */
    if (tr_store_stop(store) != APR_SUCCESS)
        status |= 8;
    return status;
}

static void nobody_waits_for_ever_for_a_neighbour_who_does_not_stop(void **state)
{
    /*
     * Both cases at once, to save time: another program in the middle of writing, and another process with our lock. In the
     * first each caller needs a commit of his own, which fails after two seconds or more: the patience of the third, and of
     * those who are still in the queue, ends before theirs has.
     */
    blocked_t b[2] = {{tt_prepared_db(*state), NULL, true, MOST_EACH}, {tt_prepared_db(*state), tt_lock(*state), false, 1}};
    pid_t pids[2];
    pids[0] = tt_fork(be_blocked, &b[0]);
    pids[1] = fork();
    if (pids[1] == 0) {
        apr_global_mutex_lock(b[1].lock);
        _exit(be_blocked(&b[1]));
    }
    int first = tt_wait(pids[0]), second = tt_wait(pids[1]);
    assert_int_equal(first, 0);
    assert_int_equal(second, 0);
    tt_assert_whole(b[0].db, 5 * MOST_EACH);
    tt_assert_whole(b[1].db, 5);
    assert_string_equal(tt_ask(b[0].db, "SELECT count(DISTINCT value) FROM tokrevoke_revocations"), "1000");
}

/* ---- remembering ------------------------------------------------------------------------------------------- */

static void what_could_not_be_stored_is_stored_later(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    int stored = -1;
    assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
    assert_int_equal(stored, 0);
    char *away = tt_take_away(db);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tt_append(store, tt_entry(tt_print(*state, "%d", i))), TR_STORE_FAILED);
        assert_says(tr_store_error(store, *state), db->path);
        assert_int_equal(tr_store_retry(store, &stored), TR_STORE_FAILED);
        assert_int_equal(stored, 0);
    }
    tt_put_back(db, away);
    assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
    assert_int_equal(stored, 3);
    assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
    assert_int_equal(stored, 0);
    tt_rows_t *rows = tt_assert_whole(db, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tt_count(rows, tt_print(*state, "%d", i)), 1);
    assert_string_equal(tt_ask(db, "SELECT DISTINCT actor, client_address, reason, revoked_at FROM tokrevoke_revocations"),
                        "bob|192.0.2.1|stolen|1700000000");
}

static void every_kind_is_remembered(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    char *away = tt_take_away(db), digest[32] = "";
    int stored;
    for (int kind = 0; kind < TR_KINDS; kind++) {
        bool has_digest = tr_kind_has_digest((tr_kind_t)kind);
        tr_entry_t e = {(tr_kind_t)kind, tr_str_z("i"), has_digest ? tr_str(digest, 32) : tr_str_z("v"), 5, TR_FOREVER};
        assert_int_equal(tt_append(store, e), TR_STORE_FAILED);
    }
    tt_put_back(db, away);
    assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
    assert_int_equal(stored, TR_KINDS);
    tt_assert_whole(db, TR_KINDS);
}

static void a_revocation_that_fails_again_and_again_is_remembered_once(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    char *away = tt_take_away(db);
    tr_entry_t longer = tt_entry("a");
    int stored;
    longer.expires_s += 60;
    for (int i = 0; i < 5; i++)
        assert_int_equal(tt_append(store, tt_entry("a")), TR_STORE_FAILED);
    for (int i = 0; i < 5; i++)
        assert_int_equal(tt_append(store, longer), TR_STORE_FAILED);
    tt_put_back(db, away);
    assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
    assert_in_range(stored, 1, 2);
    assert_string_equal(tt_ask(db, "SELECT max(expires_at) FROM tokrevoke_revocations"), "1700003660");
}

static void what_waits_stands_in_only_for_what_is_no_stricter(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    char *away = tt_take_away(db);
    const tr_entry_t first = {TR_KIND_SUBJECT, tr_str_z("i"), tr_str_z("v"), 5, TT_NOW + 60};
    tr_entry_t e[7] = {first, first, first, first, first, first, first};
    int stored;
    e[1].issued_before = 6;
    e[2].expires_s = TT_NOW + 61;
    e[3].issuer = tr_str_z("j");
    e[4].value = tr_str_z("w");
    e[5].kind = TR_KIND_CLIENT;
    e[6].issued_before = 4; /* the first says more */
    for (int i = 0; i < 7; i++)
        assert_int_equal(tt_append(store, e[i]), TR_STORE_FAILED);
    tt_put_back(db, away);
    assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
    assert_string_equal(
        tt_ask(db, "SELECT kind, issuer, value, issued_before_us, expires_at FROM tokrevoke_revocations ORDER BY seq"),
        "subject|i|v|5|1700000060\nsubject|i|v|6|1700000060\nsubject|i|v|5|1700000061\n"
        "subject|j|v|5|1700000060\nsubject|i|w|5|1700000060\nclient|i|v|5|1700000060");
}

static void ten_thousand_are_remembered_and_no_more(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    char *away = tt_take_away(db);
    int stored;
    for (int i = 0; i < 10050; i++)
        assert_int_equal(tt_append(store, tt_entry(tt_print(*state, "%d", i))), TR_STORE_FAILED);
    tt_put_back(db, away);
    assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
    assert_int_equal(stored, 10000);
    tt_assert_whole(db, 10000);
}

static void one_that_cannot_be_stored_does_not_hold_up_the_others(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    char *away = tt_take_away(db);
    int stored = 0, in_all = 0;
    for (int i = 0; i < 10; i++)
        assert_int_equal(tt_append(store, tt_entry(i == 3 ? "poison" : tt_print(*state, "%d", i))), TR_STORE_FAILED);
    tt_put_back(db, away);
    tt_do(db, "CREATE TRIGGER t BEFORE INSERT ON tokrevoke_revocations WHEN NEW.value = 'poison' "
              "BEGIN SELECT RAISE(ABORT, 'not this one'); END");
    for (int i = 0; i < 30; i++) {
        assert_int_equal(tr_store_retry(store, &stored), TR_STORE_FAILED);
        in_all += stored;
    }
    assert_int_equal(in_all, 9);
    assert_says(tr_store_error(store, *state), "not this one");
    assert_int_equal(tt_append(store, tt_entry("new")), APR_SUCCESS);
    tt_do(db, "DROP TRIGGER t");
    for (int i = 0; i < 3 && tr_store_retry(store, &stored) != APR_SUCCESS; i++)
        continue;
    assert_int_equal(stored, 1);
    tt_assert_whole(db, 11);
}

/* ---- the end ----------------------------------------------------------------------------------------------- */

static void after_the_end_nothing_is_stored(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    int stored;
    assert_int_equal(tt_append(store, tt_entry("a")), APR_SUCCESS);
    assert_int_equal(tr_store_stop(store), APR_SUCCESS);
    apr_time_t began = apr_time_now();
    assert_int_equal(tt_append(store, tt_entry("b")), TR_STORE_FAILED);
    assert_int_equal(tr_store_retry(store, &stored), TR_STORE_FAILED);
    assert_int_equal(tr_store_stop(store), TR_STORE_FAILED);
    assert_true(apr_time_now() - began < apr_time_from_sec(1));
    tt_assert_whole(db, 1);
}

static void a_store_that_was_never_used_can_be_ended(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    int stored = -1;
    assert_int_equal(tr_store_stop(store), APR_SUCCESS);
    assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
    assert_int_equal(stored, 0);
}

static void the_end_is_a_last_try(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db), *other = tt_store(db);
    char *away = tt_take_away(db);
    assert_int_equal(tt_append(store, tt_entry("a")), TR_STORE_FAILED);
    assert_int_equal(tt_append(other, tt_entry("b")), TR_STORE_FAILED);
    assert_int_equal(tr_store_stop(other), TR_STORE_FAILED);
    tt_put_back(db, away);
    assert_int_equal(tr_store_stop(store), APR_SUCCESS);
    assert_int_equal(tt_count(tt_assert_whole(db, 1), "a"), 1);
}

static void *stop_store(void *store)
{
    return tr_store_stop(store) == APR_SUCCESS ? store : NULL;
}

static void what_is_being_stored_at_the_end_is_stored(void **state)
{
    enum { THREADS = 8 };
    tt_db_t *db = tt_prepared_db(*state);
    apr_global_mutex_t *lock = tt_lock(*state);
    tr_store_t *store = tt_store_locked(db, lock);
    pthread_t stopper;
    int stored, acknowledged = 0;
    assert_int_equal(apr_global_mutex_lock(lock), APR_SUCCESS);
    appender_t *a = start_appenders(store, THREADS, 1, *state);
    tt_wait_until_all_wait();
    assert_int_equal(pthread_create(&stopper, NULL, stop_store, store), 0);
    tt_wait_until_all_wait();
    apr_global_mutex_unlock(lock);
    void *stopped = NULL;
    pthread_join(stopper, &stopped);
    assert_ptr_equal(stopped, store);
    assert_int_equal(tt_append(store, tt_entry("late")), TR_STORE_FAILED);
    join(a, THREADS);
    for (int i = 0; i < THREADS; i++)
        acknowledged += a[i].status == APR_SUCCESS;
    assert_int_equal(acknowledged, THREADS);
    assert_int_equal(tr_store_retry(store, &stored), TR_STORE_FAILED);
    tt_assert_whole(db, THREADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(what_is_acknowledged_is_there_at_once),
        TT_TEST(many_threads_store_at_once),
        TT_TEST(whoever_waits_shares_one_commit),
        TT_TEST(several_processes_store_at_once),
        TT_TEST(several_servers_store_at_once),
        TT_TEST(nobody_waits_for_ever_for_a_neighbour_who_does_not_stop),
        TT_TEST(what_could_not_be_stored_is_stored_later),
        TT_TEST(every_kind_is_remembered),
        TT_TEST(a_revocation_that_fails_again_and_again_is_remembered_once),
        TT_TEST(what_waits_stands_in_only_for_what_is_no_stricter),
        TT_TEST(ten_thousand_are_remembered_and_no_more),
        TT_TEST(one_that_cannot_be_stored_does_not_hold_up_the_others),
        TT_TEST(after_the_end_nothing_is_stored),
        TT_TEST(a_store_that_was_never_used_can_be_ended),
        TT_TEST(the_end_is_a_last_try),
        TT_TEST(what_is_being_stored_at_the_end_is_stored),
    };
    return TT_RUN(tests);
}
