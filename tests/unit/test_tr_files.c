/*
 * The files of a database: whose they are, what they are, and the mark that knows what was acknowledged.
 */
#include "tr_sql.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "tr_testing_cmocka.h"
#include "tr_testing_store.h"

#define ID "0123456789abcdef0123456789abcdef"

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

static void assert_refused(tt_db_t *db, const char *reason)
{
    if (tt_prepare(db) == APR_SUCCESS)
        fail_msg("not refused; should be because \"%s\"", reason);
    assert_says(db->why, reason);
}

static const char *companion(const tt_db_t *db, int i)
{
    const char *const paths[] = {db->path, db->wal, db->shm, db->mark};
    return paths[i];
}

/* All four files, as they are while a process has the database open. */
static tt_db_t *db_with_all_files(apr_pool_t *pool)
{
    tt_db_t *open = tt_prepared_db(pool), *db = tt_db(pool);
    tr_store_t *store = tt_store(open);
    assert_int_equal(tt_append(store, tt_entry("j")), APR_SUCCESS);
    for (int i = 0; i < 4; i++)
        tt_copy_file(companion(open, i), companion(db, i));
    return db;
}

/* ---- the mark ---------------------------------------------------------------------------------------------- */

static void the_mark_is_the_one_that_is_documented(void **state)
{
    /* Its checksum was computed by another implementation, in Python. */
    tt_db_t *db = tt_db(*state);
    const char *why;
    char id[TR_STORE_ID_LEN + 1];
    int64_t seq;
    assert_int_equal(tr_files_make_mark(&why, &db->place, ID, 42, *state), APR_SUCCESS);
    assert_str_is(tt_read_file(*state, db->mark), "TR1 " ID " 00000000000000000042 8d77767773031974\n");
    assert_int_equal(tr_files_read_mark(id, &seq, &db->place, *state), TR_MARK_GOOD);
    assert_string_equal(id, ID);
    assert_int_equal(seq, 42);
    assert_int_equal(tr_files_make_mark(&why, &db->place, ID, 0, *state), APR_SUCCESS);
    assert_str_is(tt_read_file(*state, db->mark), "TR1 " ID " 00000000000000000000 4aebb162f2820fb7\n");
    assert_int_equal(tr_files_make_mark(&why, &db->place, ID, INT64_MAX, *state), APR_SUCCESS);
    assert_int_equal(tr_files_read_mark(id, &seq, &db->place, *state), TR_MARK_GOOD);
    assert_true(seq == INT64_MAX);
}

static void the_mark_follows_each_revocation(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    char id[TR_STORE_ID_LEN + 1];
    int64_t seq = -1;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(tr_files_read_mark(id, &seq, &db->place, *state), TR_MARK_GOOD);
        assert_string_equal(id, db->facts.id);
        assert_int_equal(seq, i);
        assert_int_equal(tt_append(store, tt_entry("j")), APR_SUCCESS);
    }
}

static void whatever_is_wrong_with_a_mark_shows(void **state)
{
    tt_db_t *db = tt_db(*state);
    const char *why;
    char id[TR_STORE_ID_LEN + 1];
    int64_t seq;
    assert_int_equal(tr_files_read_mark(id, &seq, &db->place, *state), TR_MARK_NONE);
    assert_int_equal(tr_files_make_mark(&why, &db->place, ID, 42, *state), APR_SUCCESS);
    tr_str_t good = tt_read_file(*state, db->mark);
    for (apr_size_t i = 0; i < good.len; i++) {
        char *bad = apr_pmemdup(*state, good.data, good.len);
        bad[i] = (char)(i % 2 ? bad[i] ^ 1 : 0);
        tt_write_file(db->mark, tr_str(bad, good.len));
        assert_int_equal(tr_files_read_mark(id, &seq, &db->place, *state), TR_MARK_BROKEN);
        tt_write_file(db->mark, tr_str(good.data, i));
        assert_int_equal(tr_files_read_mark(id, &seq, &db->place, *state), TR_MARK_BROKEN);
    }
}

static void a_database_older_than_its_mark_is_refused(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 2);
    tr_str_t backup = tt_read_file(*state, db->path);
    tr_store_t *store = tt_store(db);
    assert_int_equal(tt_append(store, tt_entry("3")), APR_SUCCESS);
    tt_close_store(db, store);
    tt_write_file(db->path, backup);
    assert_refused(db, "up to number 3 were acknowledged, it knows them up to 2");
    assert_says(db->why, db->mark);
    assert_refused(db, "acknowledged");
    /* The remedy that the sentence names. */
    tt_remove(db->mark);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_int_equal(db->facts.last_seq, 2);
}

static void a_database_newer_than_its_mark_is_good(void **state)
{
    /* The mark is written after the database; whoever is killed between them leaves it behind. */
    tt_db_t *db = tt_filled_db(*state, 2);
    tr_str_t old = tt_read_file(*state, db->mark);
    tr_store_t *store = tt_store(db);
    char id[TR_STORE_ID_LEN + 1];
    int64_t seq;
    assert_int_equal(tt_append(store, tt_entry("3")), APR_SUCCESS);
    tt_close_store(db, store);
    tt_write_file(db->mark, old);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_string_equal(db->warning, "");
    store = tt_store(db);
    assert_int_equal(tt_append(store, tt_entry("4")), APR_SUCCESS);
    assert_int_equal(tr_files_read_mark(id, &seq, &db->place, *state), TR_MARK_GOOD);
    assert_int_equal(seq, 4);
}

static void the_mark_of_another_database_is_refused(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 2), *other = tt_filled_db(*state, 1);
    tt_copy_file(other->mark, db->mark);
    assert_refused(db, "belongs to another database");
    assert_says(db->why, db->mark);
    tt_remove(db->mark);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
}

static void beside_the_mark_of_another_database_nothing_is_stored(void **state)
{
    /* Its own may say more than the database holds: it must not be made anew from what is there. */
    tt_db_t *db = tt_filled_db(*state, 2), *other = tt_filled_db(*state, 1);
    tr_str_t own = tt_read_file(*state, db->mark), foreign = tt_read_file(*state, other->mark);
    tr_store_t *store = tt_store(db);
    int stored;
    tt_write_file(db->mark, foreign);
    assert_int_equal(tt_append(store, tt_entry("3")), TR_STORE_FAILED);
    assert_says(tr_store_error(store, *state), "belongs to another database");
    assert_true(tr_str_eq(tt_read_file(*state, db->mark), foreign));
    tt_write_file(db->mark, own);
    assert_int_equal(tr_store_retry(store, &stored), APR_SUCCESS);
    assert_int_equal(stored, 1);
}

static void a_missing_mark_is_made(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 2);
    tt_remove(db->mark);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_true(tt_exists(db->mark));
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
}

static void a_broken_mark_is_told_and_made_anew(void **state)
{
    static const char *const contents[] = {"", "TR1", "TR1 x\n", "\n\n\n"};
    for (int i = 0; i < 4; i++) {
        tt_db_t *db = tt_filled_db(*state, 2);
        tt_write_file(db->mark, tr_str_z(contents[i]));
        assert_int_equal(tt_prepare(db), APR_SUCCESS);
        assert_says(db->warning, db->mark);
        assert_int_equal(tt_prepare(db), APR_SUCCESS);
        assert_string_equal(db->warning, "");
        assert_int_equal(db->facts.last_seq, 2);
    }
}

static void a_mark_that_was_longer_is_cut(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    apr_size_t len = tt_read_file(*state, db->mark).len;
    tt_write_file(db->mark, tr_str_z(tt_repeat(*state, "long", 100)));
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_int_equal(tt_read_file(*state, db->mark).len, len);
}

/* ---- a database that is gone ------------------------------------------------------------------------------- */

static void a_database_that_is_gone_is_not_replaced_by_an_empty_one(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 2);
    tt_remove(db->path);
    assert_refused(db, "says that revocations up to number 2 were stored");
    assert_says(db->why, "missing or empty");
    assert_says(db->why, db->mark);
    assert_false(tt_exists(db->path));
    assert_refused(db, "missing or empty");
    tt_remove(db->mark);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_true(db->facts.created);
}

static void a_database_that_was_emptied_is_not_used(void **state)
{
    tt_db_t *db = tt_filled_db(*state, 2);
    tt_write_file(db->path, tr_str("", 0));
    assert_refused(db, "missing or empty");
    assert_int_equal(tt_read_file(*state, db->path).len, 0);
    tt_write_file(db->path, tr_str("\n", 1)); /* which SQLite takes for empty */
    assert_refused(db, "");
}

static void a_database_that_is_gone_takes_its_log_not_with_it(void **state)
{
    /* SQLite deletes the log of an empty file; it may hold all that is left. */
    tt_db_t *db = db_with_all_files(*state);
    tr_str_t log = tt_read_file(*state, db->wal);
    for (int emptied = 0; emptied < 2; emptied++) {
        tt_remove(db->path);
        if (emptied)
            tt_write_file(db->path, tr_str("", 0));
        assert_refused(db, "missing or empty");
        assert_true(tt_exists(db->wal));
        assert_true(tr_str_eq(tt_read_file(*state, db->wal), log));
        tt_write_file(db->path, tr_str("", 0));
    }
}

static void a_log_without_its_database_is_left_alone_without_a_mark_too(void **state)
{
    tt_db_t *db = db_with_all_files(*state);
    tr_str_t log = tt_read_file(*state, db->wal);
    tt_remove(db->mark);
    tt_remove(db->path);
    assert_refused(db, db->wal);
    assert_false(tt_exists(db->path));
    assert_true(tr_str_eq(tt_read_file(*state, db->wal), log));
}

static void a_database_that_never_held_anything_may_go(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tt_rows_t *rows;
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    tt_remove(db->path);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_true(db->facts.created);
}

static void a_database_that_is_gone_with_a_broken_mark_is_not_replaced(void **state)
{
    /* That there is a mark says that there was a database. */
    tt_db_t *db = tt_filled_db(*state, 2);
    tt_remove(db->path);
    tt_write_file(db->mark, tr_str_z("broken"));
    assert_refused(db, db->mark);
    assert_false(tt_exists(db->path));
}

/* ---- what stands at the path ------------------------------------------------------------------------------- */

static void a_link_is_not_followed(void **state)
{
    for (int i = 0; i < 4; i++) {
        tt_db_t *db = db_with_all_files(*state);
        const char *target = tt_print(*state, "%s/target", db->folder);
        tt_rename(companion(db, i), target);
        assert_int_equal(symlink(target, companion(db, i)), 0);
        assert_refused(db, "no regular file");
        assert_says(db->why, companion(db, i));
        /* One that leads nowhere must not make what it points to. */
        tt_rename(target, tt_print(*state, "%s/moved", db->folder));
        assert_refused(db, "no regular file");
        assert_false(tt_exists(target));
    }
}

static void a_link_that_comes_after_the_checks_is_not_followed_either(void **state)
{
    tt_db_t *db = tt_db(*state), *other = tt_prepared_db(*state);
    const char *nowhere = tt_print(*state, "%s/nowhere", db->folder), *why = NULL;
    tr_str_t good = tt_read_file(*state, other->mark);
    char id[TR_STORE_ID_LEN + 1];
    int64_t seq;
    assert_int_equal(symlink(nowhere, db->path), 0);
    assert_int_equal(tr_files_create(&why, &db->place, *state), APR_SUCCESS); /* something is there */
    assert_false(tt_exists(nowhere));
    assert_int_equal(symlink(other->mark, db->mark), 0);
    assert_int_equal(tr_files_read_mark(id, &seq, &db->place, *state), TR_MARK_BROKEN);
    assert_int_equal(tr_files_make_mark(&why, &db->place, ID, 42, *state), TR_STORE_FAILED);
    assert_says(why, db->mark);
    assert_true(tr_str_eq(tt_read_file(*state, other->mark), good));
}

static void a_folder_or_a_pipe_is_no_file(void **state)
{
    for (int i = 0; i < 4; i++) {
        tt_db_t *db = db_with_all_files(*state);
        tt_remove(companion(db, i));
        assert_int_equal(mkdir(companion(db, i), 0750), 0);
        assert_refused(db, "no regular file");
        assert_int_equal(rmdir(companion(db, i)), 0);
        assert_int_equal(mkfifo(companion(db, i), 0640), 0);
        assert_refused(db, "no regular file");
        assert_says(db->why, companion(db, i));
    }
}

static void a_file_that_everybody_may_write_is_refused(void **state)
{
    for (int i = 0; i < 4; i++) {
        tt_db_t *db = db_with_all_files(*state);
        chmod(companion(db, i), 0642);
        assert_refused(db, tt_print(*state, "chmod o-w %s", companion(db, i)));
        chmod(companion(db, i), 0660);
        assert_int_equal(tt_prepare(db), APR_SUCCESS);
    }
}

static void a_file_of_another_user_is_refused(void **state)
{
    if (geteuid() != 0)
        skip();
    for (int i = 0; i < 4; i++) {
        tt_db_t *db = db_with_all_files(*state);
        assert_int_equal(chown(companion(db, i), 54321, getegid()), 0);
        assert_refused(db, tt_print(*state, "%s belongs to 54321", companion(db, i)));
        assert_says(db->why, tt_print(*state, "chown root: %s", companion(db, i)));
    }
}

/* ---- the folder -------------------------------------------------------------------------------------------- */

static void a_folder_that_everybody_may_write_is_told(void **state)
{
    tt_db_t *db = tt_db(*state);
    chmod(db->folder, 0777);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_says(db->warning, tt_print(*state, "chmod o-w %s", db->folder));
    chmod(db->folder, 0770);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_string_equal(db->warning, "");
}

static void a_folder_that_is_missing_or_a_link_or_a_file_is_refused(void **state)
{
    tt_db_t *db = tt_db(*state);
    char *moved = tt_print(*state, "%s-moved", db->folder);
    tt_rename(db->folder, moved);
    assert_refused(db, db->folder);
    assert_says(db->why, "chown");
    assert_int_equal(symlink(moved, db->folder), 0);
    assert_refused(db, "no folder");
    tt_remove(db->folder);
    tt_write_file(db->folder, tr_str("", 0));
    assert_refused(db, "no folder");
    tt_remove(db->folder);
    tt_rename(moved, db->folder);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
}

static int prepare_refused(void *baton)
{
    tt_db_t *db = baton;
    if (tt_prepare(db) == TR_STORE_FAILED && strstr(db->why, "cannot be"))
        return 0;
    fprintf(stderr, "\"%s\"\n", db->why);
    return 1;
}

static int prepare_taken(void *baton)
{
    tt_db_t *db = baton;
    if (tt_prepare(db) == APR_SUCCESS)
        return 0;
    fprintf(stderr, "\"%s\"\n", db->why);
    return 1;
}

/* Root may write everywhere, so these are tried as nobody. */
static tt_db_t *nobodys_db(apr_pool_t *pool)
{
    tt_db_t *db = tt_db(pool);
    assert_int_equal(chown(db->folder, tt_nobody(), (gid_t)-1), 0);
    assert_int_equal(tt_run_as_nobody(prepare_taken, db), 0);
    return db;
}

static void a_folder_that_cannot_be_written_is_refused(void **state)
{
    tt_db_t *db = nobodys_db(*state);
    chmod(db->folder, 0550);
    assert_int_equal(tt_run_as_nobody(prepare_refused, db), 0);
    chmod(db->folder, 0600);
    assert_int_equal(tt_run_as_nobody(prepare_refused, db), 0);
    chmod(db->folder, 0700);
    assert_int_equal(tt_run_as_nobody(prepare_taken, db), 0);
}

static void a_file_that_cannot_be_read_or_written_is_refused(void **state)
{
    tt_db_t *db = nobodys_db(*state);
    static const mode_t modes[] = {0, 0200, 0400, 0040};
    for (int i = 0; i < 4; i++) {
        chmod(db->path, modes[i]);
        assert_int_equal(tt_run_as_nobody(prepare_refused, db), 0);
        chmod(db->path, 0640);
        chmod(db->mark, modes[i]);
        assert_int_equal(tt_run_as_nobody(prepare_refused, db), 0);
        chmod(db->mark, 0640);
    }
    assert_int_equal(tt_run_as_nobody(prepare_taken, db), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(the_mark_is_the_one_that_is_documented),
        TT_TEST(the_mark_follows_each_revocation),
        TT_TEST(whatever_is_wrong_with_a_mark_shows),
        TT_TEST(a_database_older_than_its_mark_is_refused),
        TT_TEST(a_database_newer_than_its_mark_is_good),
        TT_TEST(the_mark_of_another_database_is_refused),
        TT_TEST(beside_the_mark_of_another_database_nothing_is_stored),
        TT_TEST(a_missing_mark_is_made),
        TT_TEST(a_broken_mark_is_told_and_made_anew),
        TT_TEST(a_mark_that_was_longer_is_cut),
        TT_TEST(a_database_that_is_gone_is_not_replaced_by_an_empty_one),
        TT_TEST(a_database_that_was_emptied_is_not_used),
        TT_TEST(a_database_that_is_gone_takes_its_log_not_with_it),
        TT_TEST(a_log_without_its_database_is_left_alone_without_a_mark_too),
        TT_TEST(a_database_that_never_held_anything_may_go),
        TT_TEST(a_database_that_is_gone_with_a_broken_mark_is_not_replaced),
        TT_TEST(a_link_is_not_followed),
        TT_TEST(a_link_that_comes_after_the_checks_is_not_followed_either),
        TT_TEST(a_folder_or_a_pipe_is_no_file),
        TT_TEST(a_file_that_everybody_may_write_is_refused),
        TT_TEST(a_file_of_another_user_is_refused),
        TT_TEST(a_folder_that_everybody_may_write_is_told),
        TT_TEST(a_folder_that_is_missing_or_a_link_or_a_file_is_refused),
        TT_TEST(a_folder_that_cannot_be_written_is_refused),
        TT_TEST(a_file_that_cannot_be_read_or_written_is_refused),
    };
    return TT_RUN(tests);
}
