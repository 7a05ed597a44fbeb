/*
 * Where the database, its files or memory fail, at whichever call: what was acknowledged is there ever after, what was not is said,
 * nothing that is stored is overlooked, and when nothing fails any more everything goes on by itself.
 */
#include "tr_store.h"

#include <stdio.h>

#include <apr_strings.h>

#include "tr_testing_append.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_failing.h"

enum { ALL = TT_SQL | TT_FILES | TT_MEMORY, FEW = 3, MOST_CALLS = 600 };

/* What a process of its own does, of which the nth call fails. SQLite must not be carried across a fork. */
typedef struct run_t {
    apr_pool_t *pool;
    tt_db_t *db;
    int kinds, nth;
    bool for_good;
    const char *name;
} run_t;

enum { FINE, WRONG, NOTHING_FAILED };

static int wrong(const run_t *run, const char *what)
{
    const char *failed = tt_fail_no_more();
    fprintf(stderr, "%s: %s, when call %d failed%s: %s\n", run->name, what, run->nth, run->for_good ? " and all after it" : "",
            failed ? failed : "none");
    return WRONG;
}

static void begin(const run_t *run)
{
    tt_fail(run->kinds, run->nth, run->for_good);
}

static int end(void)
{
    return tt_fail_no_more() ? FINE : NOTHING_FAILED;
}

/* A copy of a database that nobody has open. */
static tt_db_t *copy(const tt_db_t *of, apr_pool_t *pool)
{
    tt_db_t *db = tt_db(pool);
    memcpy(db->facts.id, of->facts.id, sizeof db->facts.id);
    tt_copy_file(of->path, db->path);
    tt_copy_file(of->mark, db->mark);
    return db;
}

/* With a new database of so many revocations each time, or none at all (-1), until no call is left to fail. */
static void at_every_call(apr_pool_t *pool, const char *name, int rows, tt_child_fn fn, void (*afterwards)(tt_db_t *db))
{
    tt_db_t *model = tt_prepared_db(pool);
    tt_fill(model, "", rows > 0 ? rows : 0, TT_NOW + 3600);
    for (int for_good = 0; for_good < 2; for_good++) {
        int result = FINE, n = 1;
        for (; n < MOST_CALLS && result == FINE; n += for_good ? 3 : 1) {
            apr_pool_t *one;
            apr_pool_create(&one, pool);
            run_t run = {one, rows < 0 ? tt_db(one) : copy(model, one), ALL, n, for_good, name};
            result = tt_wait(tt_fork(fn, &run));
            afterwards(run.db);
            apr_pool_destroy(one);
        }
        assert_int_equal(result, NOTHING_FAILED);
        assert_in_range(n, 5, MOST_CALLS - 1); /* something did fail */
    }
}

/* ---- start --------------------------------------------------------------------------------------------------- */

static int start(void *data)
{
    run_t *run = data;
    tt_rows_t *rows = NULL;
    begin(run);
    apr_status_t rv = tt_start_here(&rows, run->db); /* which ends the process where a failure has no sentence */
    if (rv == APR_SUCCESS && rows->n != FEW)
        return wrong(run, "some revocations were overlooked");
    if (rv == APR_SUCCESS && run->for_good && tt_fail_no_more() && rows->synced)
        return wrong(run, "on disk, it said");
    return end();
}

static void all_are_there(tt_db_t *db)
{
    tt_rows_t *rows = NULL;
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(rows->n, FEW);
}

static void a_start_finds_every_revocation_or_says_why_not(void **state)
{
    at_every_call(*state, "start", FEW, start, all_are_there);
}

static int make_new(void *data)
{
    run_t *run = data;
    tt_rows_t *rows = NULL;
    begin(run);
    apr_status_t rv = tt_start_here(&rows, run->db);
    if (rv == APR_SUCCESS && rows->n != 0)
        return wrong(run, "a new database is not empty");
    return end();
}

static void can_be_used(tt_db_t *db)
{
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    tr_store_t *store = tt_store(db);
    assert_int_equal(tt_append(store, tt_entry("a")), APR_SUCCESS);
    tt_close_store(db, store);
    tt_assert_whole(db, 1);
}

static void a_database_that_could_not_be_made_is_made_at_the_next_start(void **state)
{
    at_every_call(*state, "making", -1, make_new, can_be_used);
}

/* ---- storing ------------------------------------------------------------------------------------------------- */

/* Acknowledged ones are told to the parent by a file each; the rest must be stored once nothing fails any more. */
static int append(void *data)
{
    run_t *run = data;
    tr_store_t *store = tr_store_open(&run->db->place, run->db->facts.id, NULL, NULL);
    bool is_stored[FEW];
    int stored;
    begin(run);
    for (int i = 0; i < FEW; i++) {
        is_stored[i] = tt_append(store, tt_entry(tt_print(run->pool, "j%d", i))) == APR_SUCCESS;
        if (!is_stored[i] && *tr_store_error(store, run->pool) == '\0')
            return wrong(run, "no sentence says why it was not stored");
    }
    int result = end();
    for (int i = 0; i < FEW; i++)
        if (is_stored[i])
            tt_write_file(tt_print(run->pool, "%s.j%d", run->db->path, i), tr_str_z("yes"));
    for (int i = 0; i < 20 && tr_store_retry(store, &stored) != APR_SUCCESS; i++)
        apr_sleep(10000);
    if (tr_store_retry(store, &stored) != APR_SUCCESS)
        return wrong(run, tr_store_error(store, run->pool));
    if (tt_append(store, tt_entry("last")) != APR_SUCCESS || tr_store_stop(store) != APR_SUCCESS)
        return wrong(run, "storing does not go on afterwards");
    return result;
}

/* Without memory for a copy a revocation cannot be tried again: it was not acknowledged, and may be missing. */
static void all_that_was_acknowledged_is_there(tt_db_t *db)
{
    tt_rows_t *rows = NULL;
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(tt_count(rows, "last"), 1);
    for (int i = 0; i < FEW; i++) {
        const char *jti = tt_print(db->pool, "j%d", i);
        if (tt_exists(tt_print(db->pool, "%s.%s", db->path, jti)))
            assert_int_equal(tt_count(rows, jti), 1);
    }
}

static void what_was_acknowledged_stays_and_storing_goes_on_afterwards(void **state)
{
    at_every_call(*state, "append", 0, append, all_that_was_acknowledged_is_there);
}

/* ---- following, cleaning, listing ---------------------------------------------------------------------------- */

static int follow(void *data)
{
    run_t *run = data;
    tr_store_t *store = tr_store_open(&run->db->place, run->db->facts.id, NULL, NULL);
    tt_rows_t *rows = tt_rows(run->pool);
    int64_t seq = 0;
    begin(run);
    for (int i = 0; i < 2; i++) {
        apr_status_t rv = tr_store_follow(store, &seq, tt_take_rows, rows);
        if (rv != APR_SUCCESS && *tr_store_follow_error(store) == '\0')
            return wrong(run, "no sentence says why it cannot be read");
        if (seq > rows->n || (rv == APR_SUCCESS && rows->n != FEW))
            return wrong(run, "some revocations were overlooked");
    }
    int result = end();
    for (int i = 0; i < 3; i++)
        (void)!tr_store_follow(store, &seq, tt_take_rows, rows);
    if (rows->n != FEW || seq != FEW || tr_store_follow(store, &seq, tt_take_rows, rows) != APR_SUCCESS)
        return wrong(run, "following does not go on afterwards");
    return result;
}

static void following_overlooks_nothing_and_goes_on_afterwards(void **state)
{
    at_every_call(*state, "follow", FEW, follow, all_are_there);
}

/* Some have expired, others have not. */
static int clean(void *data)
{
    run_t *run = data;
    tr_store_t *store = tr_store_open(&run->db->place, run->db->facts.id, NULL, NULL);
    tt_rows_t *rows = tt_rows(run->pool);
    int64_t seq = 0;
    int deleted = 0, sum = 0;
    tt_fill(run->db, "old", FEW, TT_NOW - 10);
    begin(run);
    for (int i = 0; i < 2; i++) {
        (void)!tr_store_follow(store, &seq, tt_take_rows, rows);
        apr_status_t rv = tr_store_clean(store, &deleted, TT_NOW);
        sum += rv == APR_SUCCESS ? deleted : 0;
        if (rv != APR_SUCCESS && *tr_store_follow_error(store) == '\0')
            return wrong(run, "no sentence says why it cannot be cleaned");
    }
    if (sum > FEW)
        return wrong(run, "more were deleted than had expired");
    int result = end();
    for (int i = 0; i < 6; i++)
        (void)!tr_store_clean(store, &deleted, TT_NOW);
    return strcmp(tt_ask(run->db, "SELECT count(*) FROM tokrevoke_revocations WHERE expires_at < 1700000000"), "0") == 0
               ? result
               : wrong(run, "cleaning does not go on afterwards");
}

static void cleaning_deletes_only_what_has_expired(void **state)
{
    at_every_call(*state, "clean", FEW, clean, all_are_there);
}

static apr_status_t count_listed(void *baton, const tr_store_listed_t *listed)
{
    *(int *)baton += listed->seq > 0;
    return APR_SUCCESS;
}

static int list(void *data)
{
    run_t *run = data;
    tr_store_t *store = tr_store_open(&run->db->place, run->db->facts.id, NULL, NULL);
    const tr_store_query_t query = {.limit = 100, .now_s = TT_NOW};
    begin(run);
    for (int i = 0; i < 2; i++) {
        const char *why = NULL;
        int n = 0;
        apr_status_t rv = tr_store_list(store, &query, count_listed, &n, &why, run->pool);
        if (rv != APR_SUCCESS && why == NULL)
            return wrong(run, "no sentence says why it cannot be listed");
        if (rv == APR_SUCCESS && n != FEW)
            return wrong(run, "a list is not whole");
    }
    int result = end(), n = 0;
    const char *why = NULL;
    if (tr_store_list(store, &query, count_listed, &n, &why, run->pool) != APR_SUCCESS || n != FEW)
        return wrong(run, "listing does not go on afterwards");
    return result;
}

static void a_list_is_whole_or_says_why_not(void **state)
{
    at_every_call(*state, "list", FEW, list, all_are_there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_start_finds_every_revocation_or_says_why_not),
        TT_TEST(a_database_that_could_not_be_made_is_made_at_the_next_start),
        TT_TEST(what_was_acknowledged_stays_and_storing_goes_on_afterwards),
        TT_TEST(following_overlooks_nothing_and_goes_on_afterwards),
        TT_TEST(cleaning_deletes_only_what_has_expired),
        TT_TEST(a_list_is_whole_or_says_why_not),
    };
    return TT_RUN(tests);
}
