/*
 * Making a database, finding it again, and reading all of it.
 */
#include "tr_store.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tr_testing_cmocka.h"
#include "tr_testing_store.h"

static bool is_id(const char *id)
{
    return strlen(id) == TR_STORE_ID_LEN && strspn(id, "0123456789abcdef") == TR_STORE_ID_LEN;
}

/* ---- making ------------------------------------------------------------------------------------------------ */

static void where_nothing_is_a_database_is_made(void **state)
{
    tt_db_t *db = tt_db(*state);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_true(db->facts.created);
    assert_true(is_id(db->facts.id));
    assert_int_equal(db->facts.last_seq, 0);
    assert_int_equal(db->facts.rows, 0);
    assert_int_equal(db->facts.alive, 0);
    assert_string_equal(db->warning, "");
    assert_true(tt_exists(db->path));
    assert_true(tt_exists(db->mark));
}

static void the_tables_are_as_documented(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    assert_string_equal(tt_ask(db, "SELECT type, name FROM sqlite_master ORDER BY name"),
                        "table|tokrevoke_revocations\ntable|tokrevoke_state");
    assert_string_equal(tt_ask(db, "SELECT name, type, \"notnull\", pk FROM pragma_table_info('tokrevoke_state')"),
                        "id|INTEGER|0|1\nschema_version|INTEGER|1|0\ndatabase_id|TEXT|1|0\nlast_seq|BIGINT|1|0\n"
                        "row_count|BIGINT|1|0\nrow_sum|BIGINT|1|0");
    assert_string_equal(tt_ask(db, "SELECT name, type, \"notnull\", pk FROM pragma_table_info('tokrevoke_revocations')"),
                        "seq|INTEGER|0|1\nkind|TEXT|1|0\nissuer|TEXT|1|0\nvalue|TEXT|1|0\nissued_before_us|BIGINT|1|0\n"
                        "expires_at|BIGINT|0|0\nrevoked_at|BIGINT|1|0\nactor|TEXT|1|0\nclient_address|TEXT|1|0\n"
                        "reason|TEXT|1|0\nchecksum|BIGINT|1|0");
    assert_string_equal(tt_ask(db, "SELECT * FROM tokrevoke_state"), tt_print(*state, "1|1|%s|0|0|0", db->facts.id));
}

static void the_file_is_written_ahead_and_can_shrink(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    assert_string_equal(tt_ask(db, "PRAGMA journal_mode"), "wal");
    assert_string_equal(tt_ask(db, "PRAGMA auto_vacuum"), "2");
    assert_string_equal(tt_ask(db, "PRAGMA encoding"), "UTF-8");
    assert_string_equal(tt_ask(db, "PRAGMA integrity_check"), "ok");
}

static void files_are_made_for_their_owner_and_readable_for_his_group(void **state)
{
    mode_t old = umask(0);
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    const char *const paths[] = {db->path, db->wal, db->shm, db->mark};
    assert_int_equal(tt_append(store, tt_entry("j")), APR_SUCCESS);
    umask(old);
    for (int i = 0; i < 4; i++) {
        struct stat info;
        assert_int_equal(lstat(paths[i], &info), 0);
        assert_int_equal(info.st_mode, S_IFREG | 0640);
        assert_int_equal(info.st_uid, geteuid());
    }
}

static void two_databases_have_different_ids(void **state)
{
    assert_string_not_equal(tt_prepared_db(*state)->facts.id, tt_prepared_db(*state)->facts.id);
}

static void an_empty_file_becomes_a_database(void **state)
{
    tt_db_t *db = tt_db(*state);
    tt_write_file(db->path, tr_str("", 0));
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_true(db->facts.created);
    assert_string_equal(tt_ask(db, "PRAGMA auto_vacuum"), "2");
}

static void an_empty_sqlite_database_becomes_ours(void **state)
{
    tt_db_t *db = tt_db(*state);
    tt_do(db, "PRAGMA user_version = 7");
    chmod(db->path, 0640);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_true(db->facts.created);
    assert_string_equal(tt_ask(db, "PRAGMA journal_mode"), "wal");
}

/* ---- several at once --------------------------------------------------------------------------------------- */

enum { PREPARERS = 6 };

typedef struct preparer_t {
    tt_db_t *db;
    tr_store_facts_t *facts; /* shared */
} preparer_t;

static int prepare_too(void *baton)
{
    preparer_t *p = baton;
    if (tt_prepare(p->db) != APR_SUCCESS) {
        fprintf(stderr, "%s\n", p->db->why);
        return 1;
    }
    *p->facts = p->db->facts;
    return 0;
}

static void processes_that_start_at_once_agree_on_one_database(void **state)
{
    size_t size = PREPARERS * sizeof(tr_store_facts_t);
    tr_store_facts_t *facts = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(facts, MAP_FAILED);
    for (int round = 0; round < 5; round++) {
        tt_db_t *db = tt_db(*state);
        pid_t pids[PREPARERS];
        int created = 0;
        for (int i = 0; i < PREPARERS; i++) {
            preparer_t p = {db, &facts[i]};
            pids[i] = tt_fork(prepare_too, &p);
        }
        for (int i = 0; i < PREPARERS; i++)
            assert_int_equal(tt_wait(pids[i]), 0);
        for (int i = 0; i < PREPARERS; i++) {
            created += facts[i].created;
            assert_string_equal(facts[i].id, facts[0].id);
        }
        assert_int_equal(created, 1);
        assert_string_equal(tt_ask(db, "PRAGMA auto_vacuum"), "2");
        assert_string_equal(tt_ask(db, "SELECT database_id FROM tokrevoke_state"), facts[0].id);
    }
    munmap(facts, size);
}

/* ---- finding again ----------------------------------------------------------------------------------------- */

static void a_database_is_found_again(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    char *id = tt_print(*state, "%s", db->facts.id);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tt_prepare(db), APR_SUCCESS);
        assert_false(db->facts.created);
        assert_string_equal(db->facts.id, id);
        assert_int_equal(db->facts.last_seq, 3);
        assert_int_equal(db->facts.rows, 3);
        assert_int_equal(db->facts.alive, 3);
        assert_string_equal(db->warning, "");
    }
}

static void a_database_is_found_again_after_its_writer_was_killed(void **state)
{
    /* The files as they are while a writer has them open: what is in the log counts. */
    tt_db_t *db = tt_prepared_db(*state), *left = tt_db(*state);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows;
    for (int i = 0; i < 20; i++)
        assert_int_equal(tt_append(store, tt_entry(tt_print(*state, "%d", i))), APR_SUCCESS);
    tt_copy_file(db->path, left->path);
    tt_copy_file(db->wal, left->wal);
    tt_copy_file(db->mark, left->mark);
    assert_int_equal(tt_prepare(left), APR_SUCCESS);
    assert_false(left->facts.created);
    assert_int_equal(left->facts.last_seq, 20);
    assert_int_equal(tt_load(&rows, left), APR_SUCCESS);
    assert_int_equal(rows->n, 20);
}

static void what_has_expired_is_not_alive(void **state)
{
    static const int64_t ends[] = {TT_NOW - 3600, TT_NOW - 1, TT_NOW, TT_NOW + 1, TR_FOREVER};
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    for (int i = 0; i < 5; i++) {
        tr_entry_t e = tt_entry("j");
        e.expires_s = ends[i];
        assert_int_equal(tt_append(store, e), APR_SUCCESS);
    }
    tt_close_store(db, store);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_int_equal(db->facts.rows, 5);
    assert_int_equal(db->facts.alive, 3);
}

static void a_database_that_is_in_use_can_be_prepared_and_loaded(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows, *followed = tt_rows(*state);
    int64_t seq = 0;
    assert_int_equal(tt_append(store, tt_entry("a")), APR_SUCCESS);
    assert_int_equal(tr_store_follow(store, &seq, tt_take_rows, followed), APR_SUCCESS);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_int_equal(db->facts.last_seq, 1);
    assert_int_equal(tt_append(store, tt_entry("b")), APR_SUCCESS);
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(rows->n, 2);
    assert_int_equal(tr_store_follow(store, &seq, tt_take_rows, followed), APR_SUCCESS);
    assert_int_equal(followed->n, 2);
}

static void revocations_are_loaded_although_another_process_is_writing_just_then(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tt_rows_t *rows;
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    apr_pool_t *writer = tt_hold_writer(db);
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(rows->n, 3);
    apr_pool_destroy(writer);
}

static int append_some(void *baton)
{
    tt_db_t *db = baton;
    tr_store_t *store = tt_store(db);
    for (int i = 0; i < 250; i++)
        if (tt_append(store, tt_entry(tt_print(db->pool, "%d", i))) != APR_SUCCESS)
            return 1;
    return 0;
}

static void a_start_succeeds_beside_processes_that_revoke(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tt_rows_t *rows;
    pid_t pid = tt_fork(append_some, db);
    int n = 0;
    do {
        if (tt_prepare(db) != APR_SUCCESS || tt_load(&rows, db) != APR_SUCCESS)
            fail_msg("%s", db->why);
        assert_string_equal(db->warning, "");
        assert_true(rows->n >= n);
        n = rows->n;
    } while (n < 250);
    assert_int_equal(tt_wait(pid), 0);
}

/* ---- loading ----------------------------------------------------------------------------------------------- */

static void an_empty_database_gives_nothing(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tt_rows_t *rows;
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(rows->n, 0);
    assert_int_equal(db->facts.last_seq, 0);
}

static void thousands_are_loaded_in_order(void **state)
{
    static const int sizes[] = {999, 1000, 1001, 2000, 2500};
    tt_db_t *db = tt_prepared_db(*state);
    int n = 0;
    for (int s = 0; s < 5; s++) {
        tt_rows_t *rows;
        tt_fill(db, tt_print(*state, "%d-", s), sizes[s] - n, TR_FOREVER);
        assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
        assert_int_equal(rows->n, sizes[s]);
        assert_int_equal(db->facts.last_seq, sizes[s]);
        assert_str_is(rows->entry[n].value, tt_print(*state, "%d-0", s));
        assert_str_is(rows->entry[sizes[s] - 1].value, tt_print(*state, "%d-%d", s, sizes[s] - n - 1));
        n = sizes[s];
    }
}

static void whoever_takes_the_rows_can_stop_the_loading(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tt_rows_t *rows = tt_load_in_vain(db, APR_ENOSPC);
    assert_int_equal(rows->status, APR_ENOSPC);
    assert_int_equal(rows->calls, 1);
    assert_false(rows->synced);
}

static void what_nobody_else_uses_is_synced(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tt_rows_t *rows;
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_true(rows->synced);
    assert_int_equal(tt_commits(db), 0);
}

static void another_database_is_not_loaded(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tt_rows_t *rows;
    strcpy(db->facts.id, "0123456789abcdef0123456789abcdef");
    assert_int_equal(tt_load(&rows, db), TR_STORE_FAILED);
    assert_non_null(strstr(db->why, "another database"));
    assert_int_equal(rows->n, 0);
}

static void a_database_that_is_gone_is_not_loaded_and_not_made(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 3);
    tt_rows_t *rows;
    tt_remove(db->path);
    assert_int_equal(tt_load(&rows, db), TR_STORE_FAILED);
    assert_non_null(strstr(db->why, db->path));
    assert_false(tt_exists(db->path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(where_nothing_is_a_database_is_made),
        TT_TEST(the_tables_are_as_documented),
        TT_TEST(the_file_is_written_ahead_and_can_shrink),
        TT_TEST(files_are_made_for_their_owner_and_readable_for_his_group),
        TT_TEST(two_databases_have_different_ids),
        TT_TEST(an_empty_file_becomes_a_database),
        TT_TEST(an_empty_sqlite_database_becomes_ours),
        TT_TEST(processes_that_start_at_once_agree_on_one_database),
        TT_TEST(a_database_is_found_again),
        TT_TEST(a_database_is_found_again_after_its_writer_was_killed),
        TT_TEST(what_has_expired_is_not_alive),
        TT_TEST(a_database_that_is_in_use_can_be_prepared_and_loaded),
        TT_TEST(a_start_succeeds_beside_processes_that_revoke),
        TT_TEST(revocations_are_loaded_although_another_process_is_writing_just_then),
        TT_TEST(an_empty_database_gives_nothing),
        TT_TEST(thousands_are_loaded_in_order),
        TT_TEST(whoever_takes_the_rows_can_stop_the_loading),
        TT_TEST(what_nobody_else_uses_is_synced),
        TT_TEST(another_database_is_not_loaded),
        TT_TEST(a_database_that_is_gone_is_not_loaded_and_not_made),
    };
    return TT_RUN(tests);
}
