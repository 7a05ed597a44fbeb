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

static void expect_unreadable(case_t *c, const char *path, apr_size_t max_len)
{
    tr_str_t out;
    const char *why = NULL;
    assert_int_not_equal(tr_file_read(&out, &why, path, max_len, c->pool), APR_SUCCESS);
    assert_non_null(why);
    assert_true(*why);
}

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
        assert_int_equal(tr_file_read(&out, &why, c->path, sizeof bytes, c->pool), APR_SUCCESS);
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
    assert_int_equal(tr_file_read(&out, &why, c->path, 10, c->pool), APR_SUCCESS);
    assert_str_is(out, "0123456789");
    assert_int_equal(tr_file_read(&out, &why, c->path, 9, c->pool), APR_EINVAL);
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

static void a_symbolic_link_is_followed(void **state)
{
    case_t *c = *state;
    tr_str_t out;
    const char *why;
    write_file(c->path, "abc", 3);
    assert_int_equal(symlink("file", c->other), 0);
    assert_int_equal(tr_file_read(&out, &why, c->other, 100, c->pool), APR_SUCCESS);
    assert_str_is(out, "abc");
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
        FOLDER_TEST(a_symbolic_link_is_followed),
        FOLDER_TEST(a_stamp_tells_one_state_of_a_file_from_another),
        FOLDER_TEST(stamps_differ_in_any_one_of_their_parts),
        FOLDER_TEST(what_is_absent_has_a_stamp_of_zeros),
    };
    return TT_RUN(tests);
}
