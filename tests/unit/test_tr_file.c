/*
 * Reading small files whole, and noticing that they changed.
 */
#include "tr_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tr_testing_cmocka.h"

typedef struct case_t {
    apr_pool_t *pool;
    char *dir, *path, *other;
} case_t;

static int setup_folder(void **state)
{
    apr_pool_t *pool;
    const char *tmp = getenv("TMPDIR");
    apr_pool_create(&pool, NULL);
    case_t *c = apr_pcalloc(pool, sizeof *c);
    c->pool = pool;
    c->dir = tt_print(pool, "%s/tr_file.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(c->dir));
    c->path = tt_print(pool, "%s/file", c->dir);
    c->other = tt_print(pool, "%s/other", c->dir);
    *state = c;
    return 0;
}

static int teardown_folder(void **state)
{
    case_t *c = *state;
    unlink(c->path);
    unlink(c->other);
    int rv = rmdir(c->dir);
    apr_pool_destroy(c->pool);
    return rv;
}

static void write_file(const char *path, const char *data, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

static apr_status_t read_public(tr_str_t *out, const char **why, const char *path, apr_size_t max_len, apr_pool_t *pool)
{
    return tr_file_read(out, why, path, max_len, TR_FILE_PUBLIC, 0, pool);
}

static void expect_unreadable(case_t *c, const char *path, apr_size_t max_len)
{
    for (int kind = TR_FILE_PUBLIC; kind <= TR_FILE_SECRET; kind++) {
        tr_str_t out;
        const char *why = NULL;
        assert_int_not_equal(tr_file_read(&out, &why, path, max_len, (tr_file_kind_t)kind, 0, c->pool), APR_SUCCESS);
        assert_non_null(why);
        assert_true(*why);
    }
}

/* expected: the kinds that take the file, from the least strict on; the others say why they do not. */
static void expect_taken_by(case_t *c, int expected, const char *path, const char *reason)
{
    for (int kind = TR_FILE_PUBLIC; kind <= TR_FILE_SECRET; kind++) {
        tr_str_t out;
        const char *why = NULL;
        apr_status_t rv = tr_file_read(&out, &why, path, 100, (tr_file_kind_t)kind, 1234, c->pool);
        if (kind < expected) {
            assert_int_equal(rv, APR_SUCCESS);
            continue;
        }
        assert_int_not_equal(rv, APR_SUCCESS);
        if (strstr(why, reason) == NULL)
            fail_msg("%s", why);
    }
}

#define NO_KIND 0
#define PUBLIC_ONLY 1
#define EVERY_KIND 3

static void a_file_is_read_byte_for_byte(void **state)
{
    case_t *c = *state;
    tr_str_t out;
    const char *why;
    char bytes[5000];
    uint64_t seed = 8;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)tt_random(&seed);
    for (size_t len = 0; len <= sizeof bytes; len = len * 3 + 1) {
        write_file(c->path, bytes, len);
        assert_int_equal(read_public(&out, &why, c->path, sizeof bytes, c->pool), APR_SUCCESS);
        assert_int_equal(out.len, len);
        assert_memory_equal(out.data, bytes, len);
        assert_int_equal(out.data[len], '\0');
    }
}

static void one_byte_more_than_allowed_is_too_much(void **state)
{
    case_t *c = *state;
    tr_str_t out;
    const char *why = NULL;
    write_file(c->path, "0123456789", 10);
    assert_int_equal(read_public(&out, &why, c->path, 10, c->pool), APR_SUCCESS);
    assert_str_is(out, "0123456789");
    assert_int_equal(read_public(&out, &why, c->path, 9, c->pool), APR_EINVAL);
    assert_non_null(why);
}

static void what_is_no_regular_file_is_refused_without_waiting(void **state)
{
    case_t *c = *state;
    expect_unreadable(c, c->path, 100);
    expect_unreadable(c, c->dir, 100);
    expect_unreadable(c, "/dev/zero", 100);
    assert_int_equal(mkfifo(c->path, 0644), 0);
    alarm(20);
    expect_unreadable(c, c->path, 100);
    alarm(0);
    assert_int_equal(symlink("nowhere", c->other), 0);
    expect_unreadable(c, c->other, 100);
}

static void a_symbolic_link_stands_for_public_keys_only(void **state)
{
    case_t *c = *state;
    write_file(c->path, "abc", 3);
    assert_int_equal(chmod(c->path, 0600), 0);
    expect_taken_by(c, EVERY_KIND, c->path, "");
    assert_int_equal(symlink("file", c->other), 0);
    expect_taken_by(c, PUBLIC_ONLY, c->other, "symbolic link");
}

static void what_everybody_can_write_to_is_not_believed(void **state)
{
    static const mode_t modes[] = {0602, 0606, 0666, 0777};
    case_t *c = *state;
    write_file(c->path, "abc", 3);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(c->path, modes[i]), 0);
        expect_taken_by(c, NO_KIND, c->path, "written to by everybody: chmod o-w");
    }
    assert_int_equal(symlink("file", c->other), 0);
    expect_unreadable(c, c->other, 100);
    assert_int_equal(chmod(c->path, 0660), 0);
    expect_taken_by(c, EVERY_KIND, c->path, "");
}

static void what_lies_where_everybody_can_exchange_it_is_a_worry(void **state)
{
    case_t *c = *state;
    write_file(c->path, "abc", 3);
    assert_int_equal(chmod(c->path, 0600), 0);
    assert_null(tr_file_worry(c->path, TR_FILE_SECRET, c->pool));
    assert_int_equal(chmod(c->dir, 0777), 0);
    expect_taken_by(c, EVERY_KIND, c->path, "");
    assert_non_null(strstr(tr_file_worry(c->path, TR_FILE_PUBLIC, c->pool), "its folder can be written to by everybody"));
    assert_int_equal(chmod(c->dir, 01777), 0);
    assert_null(tr_file_worry(c->path, TR_FILE_SECRET, c->pool));
    assert_int_equal(chmod(c->dir, 0700), 0);
}

static void a_secret_that_everybody_can_read_is_a_worry(void **state)
{
    case_t *c = *state;
    write_file(c->path, "abc", 3);
    assert_int_equal(chmod(c->path, 0644), 0);
    expect_taken_by(c, EVERY_KIND, c->path, "");
    assert_non_null(strstr(tr_file_worry(c->path, TR_FILE_SECRET, c->pool), "can be read by everybody: chmod o-r"));
    assert_non_null(strstr(tr_file_worry(c->path, TR_FILE_SECRETS, c->pool), "can be read by everybody: chgrp "));
    assert_null(tr_file_worry(c->path, TR_FILE_OWN, c->pool));
    assert_int_equal(chmod(c->path, 0640), 0);
    assert_null(tr_file_worry(c->path, TR_FILE_SECRET, c->pool));
    assert_null(tr_file_worry(c->path, TR_FILE_SECRETS, c->pool));
}

static void who_is_let_in_is_not_anybodys_to_say(void **state)
{
    case_t *c = *state;
    if (geteuid() != 0)
        skip();
    write_file(c->path, "abc", 3);
    assert_int_equal(chmod(c->path, 0600), 0);
    assert_int_equal(chown(c->path, 4321, 0), 0);
    expect_taken_by(c, PUBLIC_ONLY, c->path, "number 4321");
    assert_int_equal(chown(c->path, 1234, 0), 0);
    expect_taken_by(c, EVERY_KIND, c->path, "");
}

static void a_stamp_tells_one_state_of_a_file_from_another(void **state)
{
    case_t *c = *state;
    tr_file_stamp_t absent, before, same, longer, replaced;
    struct stat old;
    tr_file_stamp(&absent, c->path, c->pool);
    write_file(c->path, "abc", 3);
    tr_file_stamp(&before, c->path, c->pool);
    tr_file_stamp(&same, c->path, c->pool);
    assert_false(tr_file_stamp_eq(&absent, &before));
    assert_true(tr_file_stamp_eq(&before, &same));
    write_file(c->path, "abcd", 4);
    tr_file_stamp(&longer, c->path, c->pool);
    assert_false(tr_file_stamp_eq(&before, &longer));
    assert_int_equal(stat(c->path, &old), 0);
    write_file(c->other, "efgh", 4);
    struct timespec times[2] = {old.st_atim, old.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, c->other, times, 0), 0);
    assert_int_equal(rename(c->other, c->path), 0);
    tr_file_stamp(&replaced, c->path, c->pool);
    assert_false(tr_file_stamp_eq(&longer, &replaced));
}

static void stamps_differ_in_any_one_of_their_parts(void **state)
{
    const tr_file_stamp_t base = {.inode = 1, .device = 2, .size = 3, .mtime = 4, .ctime = 5};
    (void)state;
    for (int part = 0; part < 5; part++) {
        tr_file_stamp_t other = base;
        other.inode += part == 0;
        other.device += part == 1;
        other.size += part == 2;
        other.mtime += part == 3;
        other.ctime += part == 4;
        assert_false(tr_file_stamp_eq(&base, &other));
        assert_false(tr_file_stamp_eq(&other, &base));
    }
}

static void what_is_absent_has_a_stamp_of_zeros(void **state)
{
    case_t *c = *state;
    tr_file_stamp_t stamp, again, zero;
    memset(&stamp, 0xee, sizeof stamp);
    memset(&zero, 0, sizeof zero);
    tr_file_stamp(&stamp, c->path, c->pool);
    assert_true(tr_file_stamp_eq(&stamp, &zero));
    tr_file_stamp(&again, tt_print(c->pool, "%s/no/such/folder", c->dir), c->pool);
    assert_true(tr_file_stamp_eq(&stamp, &again));
}

#define FOLDER_TEST(claim) cmocka_unit_test_setup_teardown(claim, setup_folder, teardown_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(a_file_is_read_byte_for_byte),
        FOLDER_TEST(one_byte_more_than_allowed_is_too_much),
        FOLDER_TEST(what_is_no_regular_file_is_refused_without_waiting),
        FOLDER_TEST(a_symbolic_link_stands_for_public_keys_only),
        FOLDER_TEST(what_everybody_can_write_to_is_not_believed),
        FOLDER_TEST(what_lies_where_everybody_can_exchange_it_is_a_worry),
        FOLDER_TEST(a_secret_that_everybody_can_read_is_a_worry),
        FOLDER_TEST(who_is_let_in_is_not_anybodys_to_say),
        FOLDER_TEST(a_stamp_tells_one_state_of_a_file_from_another),
        FOLDER_TEST(stamps_differ_in_any_one_of_their_parts),
        FOLDER_TEST(what_is_absent_has_a_stamp_of_zeros),
    };
    return TT_RUN(tests);
}
