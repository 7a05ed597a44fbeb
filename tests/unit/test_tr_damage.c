/*
 * A database that lost or changed a revocation is not used: whatever happens to its rows, its totals, its bytes, either httpd
 * does not start, or everything that was revoked is still revoked.
 */
#include "tr_store.h"

#include <stdio.h>
#include <sys/stat.h>

#include <apr_strings.h>

#include "tr_testing_cmocka.h"
#include "tr_testing_store.h"

enum { ROWS = 5 };

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* Prepare and load: what httpd does at start. */
static apr_status_t start(tt_rows_t **rows, tt_db_t *db)
{
    apr_status_t rv = tt_prepare(db);
    *rows = NULL;
    return rv == APR_SUCCESS ? tt_load(rows, db) : rv;
}

static void assert_refused_after(const char *damage, const char *reason, apr_pool_t *pool)
{
    tt_db_t *db = tt_filled_db(pool, ROWS);
    tt_rows_t *rows = NULL;
    tt_do(db, damage);
    if (start(&rows, db) == APR_SUCCESS)
        fail_msg("%s: nobody noticed", damage);
    assert_says(db->why, reason);
    assert_says(db->why, db->path);
    /* Looking does not heal it. */
    assert_int_equal(start(&rows, db), TR_STORE_FAILED);
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

#define UPDATE "UPDATE tokrevoke_revocations SET "

static void a_changed_row_is_noticed(void **state)
{
    static const char *const changes[] = {
        UPDATE "value = 'x' WHERE seq = 3",
        UPDATE "value = '' WHERE seq = 3",
        UPDATE "value = value || ' ' WHERE seq = 3",
        UPDATE "issuer = '' WHERE seq = 1",
        UPDATE "issuer = issuer || value, value = '' WHERE seq = 1",
        UPDATE "kind = 'session' WHERE seq = 5",
        UPDATE "kind = 'digest' WHERE seq = 5",
        UPDATE "kind = 'Token' WHERE seq = 5",
        UPDATE "kind = '' WHERE seq = 5",
        UPDATE "expires_at = expires_at - 1 WHERE seq = 2",
        UPDATE "expires_at = 0 WHERE seq = 2",
        UPDATE "expires_at = NULL WHERE seq = 2",
        UPDATE "expires_at = 'never' WHERE seq = 2",
        UPDATE "expires_at = 1e18 WHERE seq = 2",
        UPDATE "issued_before_us = 1 WHERE seq = 2",
        UPDATE "checksum = checksum + 1 WHERE seq = 4",
        UPDATE "checksum = 0 WHERE seq = 4",
        UPDATE "checksum = 'x' WHERE seq = 4",
        UPDATE "seq = 6 WHERE seq = 5",
        UPDATE "seq = 0 WHERE seq = 1",
        UPDATE "seq = -1 WHERE seq = 1",
        UPDATE "value = (SELECT value FROM tokrevoke_revocations WHERE seq = 1) WHERE seq = 2",
        UPDATE "value = '2', checksum = (SELECT checksum FROM tokrevoke_revocations WHERE seq = 2) WHERE seq = 1",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        assert_refused_after(changes[i], "damaged", *state);
        apr_pool_clear(*state);
    }
}

static void a_change_to_what_is_not_enforced_keeps_nobody_from_starting(void **state)
{
    tt_db_t *db = tt_filled_db(*state, ROWS);
    tt_rows_t *rows = NULL;
    tt_do(db, UPDATE "actor = '', client_address = 'forgotten', reason = 'privacy', revoked_at = 0");
    assert_int_equal(start(&rows, db), APR_SUCCESS);
    assert_int_equal(rows->n, ROWS);
}

static void a_row_too_few_or_too_many_is_noticed(void **state)
{
    static const char *const changes[] = {
        "DELETE FROM tokrevoke_revocations WHERE seq = 1",
        "DELETE FROM tokrevoke_revocations WHERE seq = 3",
        "DELETE FROM tokrevoke_revocations WHERE seq = 5",
        "DELETE FROM tokrevoke_revocations",
        "INSERT INTO tokrevoke_revocations SELECT 6, kind, issuer, value, issued_before_us, expires_at, revoked_at, actor, "
        "client_address, reason, checksum FROM tokrevoke_revocations WHERE seq = 5",
        /* Their checksums are right. */
        "INSERT INTO tokrevoke_revocations VALUES (6, 'token', '" TT_ISS "', 'evil', 0, 1700003600, 0, '', '', '', "
        "-6328170589452070173)",
        "UPDATE tokrevoke_revocations SET value = 'evil', checksum = -164714473104262943 WHERE seq = 3",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        assert_refused_after(changes[i], "damaged", *state);
        apr_pool_clear(*state);
    }
}

static void changed_totals_are_noticed(void **state)
{
    static const char *const changes[] = {
        "UPDATE tokrevoke_state SET row_count = row_count + 1",
        "UPDATE tokrevoke_state SET row_count = 0",
        "UPDATE tokrevoke_state SET row_count = -1",
        "UPDATE tokrevoke_state SET row_sum = row_sum + 1",
        "UPDATE tokrevoke_state SET row_sum = 'x'",
        "UPDATE tokrevoke_state SET last_seq = 4",
        "UPDATE tokrevoke_state SET last_seq = 0",
        "UPDATE tokrevoke_state SET last_seq = -1",
        "UPDATE tokrevoke_state SET schema_version = 0",
        "UPDATE tokrevoke_state SET schema_version = -1",
        "UPDATE tokrevoke_state SET database_id = ''",
        "UPDATE tokrevoke_state SET database_id = database_id || '0'",
        "DELETE FROM tokrevoke_state",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        assert_refused_after(changes[i], "damaged", *state);
        apr_pool_clear(*state);
    }
}

static void a_number_given_twice_is_noticed_without_the_mark(void **state)
{
    tt_db_t *db = tt_filled_db(*state, ROWS);
    tt_rows_t *rows = NULL;
    tt_do(db, "UPDATE tokrevoke_state SET last_seq = 4");
    tt_remove(db->mark);
    assert_int_equal(start(&rows, db), TR_STORE_FAILED);
    assert_says(db->why, "damaged");
}

/* ---- tables ------------------------------------------------------------------------------------------------ */

static void missing_tables_are_noticed(void **state)
{
    static const char *const changes[] = {
        "DROP TABLE tokrevoke_state",
        "DROP TABLE tokrevoke_revocations",
        "DROP TABLE tokrevoke_state; DROP TABLE tokrevoke_revocations",
        "ALTER TABLE tokrevoke_revocations RENAME TO tokrevoke_old",
        "ALTER TABLE tokrevoke_revocations DROP COLUMN expires_at",
        "ALTER TABLE tokrevoke_state DROP COLUMN row_sum",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        assert_refused_after(changes[i], "", *state);
        apr_pool_clear(*state);
    }
}

static void a_newer_schema_is_left_alone(void **state)
{
    tt_db_t *db = tt_filled_db(*state, ROWS);
    tt_do(db, "ALTER TABLE tokrevoke_state ADD COLUMN more INTEGER; UPDATE tokrevoke_state SET schema_version = 2");
    assert_int_equal(tt_prepare(db), TR_STORE_FAILED);
    assert_says(db->why, "newer version of mod_tokrevoke");
    assert_says(db->why, db->path);
    assert_string_equal(tt_ask(db, "SELECT schema_version FROM tokrevoke_state"), "2");
}

static void another_applications_database_is_left_alone(void **state)
{
    tt_db_t *db = tt_db(*state);
    tt_do(db, "CREATE TABLE t (a); INSERT INTO t VALUES (42)");
    chmod(db->path, 0640);
    assert_int_equal(tt_prepare(db), TR_STORE_FAILED);
    assert_says(db->why, "another application");
    assert_says(db->why, db->path);
    assert_string_equal(tt_ask(db, "SELECT name FROM sqlite_master"), "t");
    assert_string_equal(tt_ask(db, "SELECT a FROM t"), "42");
}

/* ---- bytes ------------------------------------------------------------------------------------------------- */

static void a_file_that_is_no_database_is_left_alone(void **state)
{
    static const char *const contents[] = {"no", "tokens\n", "SQLite format 3"};
    apr_pool_t *pool = *state;
    for (int i = 0; i < 4; i++) {
        tt_db_t *db = tt_db(pool);
        tr_str_t content = tr_str_z(i < 3 ? contents[i] : tt_repeat(pool, "no database\n", 1000));
        tt_write_file(db->path, content);
        assert_int_equal(tt_prepare(db), TR_STORE_FAILED);
        assert_says(db->why, db->path);
        assert_true(tr_str_eq(tt_read_file(pool, db->path), content));
    }
}

/* A database in the file itself, and in its log: the two places where bytes can go wrong. */
typedef struct files_t {
    tr_str_t file, wal, mark;
} files_t;

static files_t settled_files(int rows, apr_pool_t *pool)
{
    tt_db_t *db = tt_prepared_db(pool);
    tt_fill(db, "", rows, TT_NOW + 3600);
    return (files_t){tt_read_file(pool, db->path), tr_str(NULL, 0), tt_read_file(pool, db->mark)};
}

static files_t logged_files(int rows, apr_pool_t *pool)
{
    tt_db_t *db = tt_prepared_db(pool);
    tr_store_t *store = tt_store(db);
    for (int i = 0; i < rows; i++)
        assert_int_equal(tt_append(store, tt_entry(tt_print(pool, "%d", i))), APR_SUCCESS);
    return (files_t){tt_read_file(pool, db->path), tt_read_file(pool, db->wal), tt_read_file(pool, db->mark)};
}

typedef struct try_t {
    const files_t *files;
    int rows;
    const char *what;
    apr_pool_t *pool;
} try_t;

enum { STARTED, REFUSED, LOST };

static int start_in_child(void *baton)
{
    try_t *try = baton;
    apr_pool_t *pool;
    tt_rows_t *loaded;
    int status = STARTED;
    apr_pool_create(&pool, NULL);
    tt_db_t *db = tt_db(pool);
    tt_write_file(db->path, try->files->file);
    tt_write_file(db->mark, try->files->mark);
    if (try->files->wal.len > 0)
        tt_write_file(db->wal, try->files->wal);
    if (tt_start_here(&loaded, db) != APR_SUCCESS)
        status = REFUSED;
    else {
        for (int i = 0; i < try->rows; i++)
            status = tt_count(loaded, tt_print(pool, "%d", i)) == 1 ? status : LOST;
        status = loaded->n == try->rows ? status : LOST;
    }
    apr_pool_destroy(pool);
    return status;
}

/* Start with these files: it is refused, or every row is there. */
static void start_with(int *refused, const files_t *files, int rows, const char *what, apr_pool_t *parent)
{
    try_t try = {files, rows, what, parent};
    int status = tt_wait(tt_fork(start_in_child, &try));
    if (status != STARTED && status != REFUSED)
        fail_msg("%s: %s", what, status == LOST ? "revocations are lost" : "the process died");
    *refused += status == REFUSED;
}

static void whatever_byte_changes_in_the_file_no_revocation_is_lost_silently(void **state)
{
    const files_t good = settled_files(150, *state);
    uint64_t seed = 1;
    int refused = 0;
    start_with(&refused, &good, 150, "good", *state);
    assert_int_equal(refused, 0);
    for (int i = 0; i < 120; i++) {
        files_t bad = good;
        char *bytes = apr_pmemdup(*state, good.file.data, good.file.len);
        /* The beginning of a page tells what is in it. */
        apr_size_t at = tt_random(&seed) % good.file.len;
        at = i % 3 == 0 ? at / 4096 * 4096 + at % 110 : at;
        bytes[at] = (char)(bytes[at] ^ (i % 2 ? 1 << (i / 2 % 8) : 0xff));
        bad.file.data = bytes;
        start_with(&refused, &bad, 150, tt_print(*state, "byte %zu of the file", (size_t)at), *state);
    }
    assert_in_range(refused, 40, 120);
}

static void wherever_the_file_ends_no_revocation_is_lost_silently(void **state)
{
    const files_t good = settled_files(150, *state);
    int refused = 0, cuts = 0;
    for (apr_size_t len = 0; len < good.file.len; len += 1777, cuts++) {
        files_t bad = good;
        bad.file.len = len;
        start_with(&refused, &bad, 150, tt_print(*state, "%zu bytes of the file", (size_t)len), *state);
    }
    assert_int_equal(refused, cuts);
}

static void whatever_byte_changes_in_the_log_no_revocation_is_lost_silently(void **state)
{
    const files_t good = logged_files(10, *state);
    uint64_t seed = 2;
    int refused = 0;
    start_with(&refused, &good, 10, "good", *state);
    assert_int_equal(refused, 0);
    for (int i = 0; i < 60; i++) {
        files_t bad = good;
        char *bytes = apr_pmemdup(*state, good.wal.data, good.wal.len);
        /* A byte of the log's head, of a frame's head, or of anything. */
        apr_size_t at = tt_random(&seed) % good.wal.len;
        at = i % 3 == 0 ? at % 32 : i % 3 == 1 && at > 32 ? (at - 32) / 4120 * 4120 + 32 + at % 24 : at;
        bytes[at] = (char)(bytes[at] ^ (i % 2 ? 1 << (i / 2 % 8) : 0xff));
        bad.wal.data = bytes;
        start_with(&refused, &bad, 10, tt_print(*state, "byte %zu of the log", (size_t)at), *state);
    }
    assert_in_range(refused, 30, 60);
}

static void wherever_the_log_ends_no_revocation_is_lost_silently(void **state)
{
    const files_t good = logged_files(10, *state);
    int refused = 0, cuts = 0;
    for (apr_size_t len = 0; len < good.wal.len; len += 2999, cuts++) {
        files_t bad = good;
        bad.wal.len = len;
        start_with(&refused, &bad, 10, tt_print(*state, "%zu bytes of the log", (size_t)len), *state);
    }
    assert_int_equal(refused, cuts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_changed_row_is_noticed),
        TT_TEST(a_change_to_what_is_not_enforced_keeps_nobody_from_starting),
        TT_TEST(a_row_too_few_or_too_many_is_noticed),
        TT_TEST(changed_totals_are_noticed),
        TT_TEST(a_number_given_twice_is_noticed_without_the_mark),
        TT_TEST(missing_tables_are_noticed),
        TT_TEST(a_newer_schema_is_left_alone),
        TT_TEST(another_applications_database_is_left_alone),
        TT_TEST(a_file_that_is_no_database_is_left_alone),
        TT_TEST(whatever_byte_changes_in_the_file_no_revocation_is_lost_silently),
        TT_TEST(wherever_the_file_ends_no_revocation_is_lost_silently),
        TT_TEST(whatever_byte_changes_in_the_log_no_revocation_is_lost_silently),
        TT_TEST(wherever_the_log_ends_no_revocation_is_lost_silently),
    };
    return TT_RUN(tests);
}
