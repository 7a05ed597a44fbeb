/*
 * How much of the machine is ours, by a tree of files as Linux shows it.
 */
#include "tr_processors.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tr_testing_cmocka.h"

static const char *const folders[] = {"",        "/proc",          "/proc/self",         "/sys",
                                      "/sys/fs", "/sys/fs/cgroup", "/sys/fs/cgroup/web", "/sys/fs/cgroup/web/httpd"};
static const char *const files[] = {"/proc/self/cgroup", "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/web/cpu.max",
                                    "/sys/fs/cgroup/web/httpd/cpu.max"};
enum { FOLDERS = sizeof folders / sizeof *folders, FILES = sizeof files / sizeof *files };
enum { GROUP, TOP, WEB, HTTPD };

typedef struct tree_t {
    apr_pool_t *pool;
    char *root;
} tree_t;

static int setup_tree(void **state)
{
    apr_pool_t *pool;
    const char *tmp = getenv("TMPDIR");
    apr_pool_create(&pool, NULL);
    tree_t *t = apr_pcalloc(pool, sizeof *t);
    t->pool = pool;
    t->root = tt_print(pool, "%s/tr_processors.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(t->root));
    for (int i = 1; i < FOLDERS; i++)
        assert_int_equal(mkdir(tt_print(pool, "%s%s", t->root, folders[i]), 0700), 0);
    *state = t;
    return 0;
}

static int teardown_tree(void **state)
{
    tree_t *t = *state;
    int rv = 0;
    for (int i = 0; i < FILES; i++)
        unlink(tt_print(t->pool, "%s%s", t->root, files[i]));
    for (int i = FOLDERS - 1; i >= 0; i--)
        rv |= rmdir(tt_print(t->pool, "%s%s", t->root, folders[i]));
    apr_pool_destroy(t->pool);
    return rv;
}

/* NULL: the file is not there. */
static void put(const tree_t *t, int file, const char *text)
{
    const char *path = tt_print(t->pool, "%s%s", t->root, files[file]);
    unlink(path);
    if (text != NULL) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
    }
}

static int64_t ours(const tree_t *t)
{
    return tr_processors_milli(t->root, t->pool);
}

static int64_t all(void)
{
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    return CPU_COUNT(&set) * 1000;
}

static void without_a_quota_it_is_the_processors_that_we_may_run_on(void **state)
{
    const char *const texts[] = {NULL,
                                 "",
                                 "max 100000\n",
                                 "max",
                                 "x\n",
                                 "-1 100000\n",
                                 "0 100000\n",
                                 "50000\n",
                                 "50000 0\n",
                                 "50000 -1\n",
                                 "9223372036854775807 100000\n",
                                 "99999999 100000\n"};
    assert_int_equal(ours(*state), all());
    put(*state, GROUP, "0::/web/httpd\n");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put(*state, TOP, texts[i]);
        put(*state, HTTPD, texts[i]);
        assert_int_equal(ours(*state), all());
    }
}

static void of_processors_that_we_may_not_run_on_nothing_is_ours(void **state)
{
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(ours(*state), 1000);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void the_least_quota_of_a_group_and_all_above_it_counts(void **state)
{
    put(*state, GROUP, "12:cpu,cpuacct:/else\n0::/web/httpd\n");
    put(*state, HTTPD, "50000 100000\n");
    assert_int_equal(ours(*state), 500);
    put(*state, WEB, "20000 100000\n");
    assert_int_equal(ours(*state), 200);
    put(*state, TOP, "15000 100000\n");
    assert_int_equal(ours(*state), 150);
    put(*state, HTTPD, "1000 1000000\n");
    assert_int_equal(ours(*state), 1);
    put(*state, HTTPD, "1 1000000\n");
    assert_int_equal(ours(*state), 1);
    put(*state, HTTPD, "max 100000\n");
    put(*state, TOP, NULL);
    assert_int_equal(ours(*state), 200);
}

/* As in a container with a tree of its own, and where the group is said by another's tree. */
static void of_a_group_that_we_do_not_see_the_top_counts(void **state)
{
    const char *const groups[] = {"0::/\n",       "0::\n", "0::/../../web\n", "0::web/httpd\n", "0::/elsewhere/below\n", "",
                                  "1:cpu:/web\n", NULL};
    put(*state, TOP, "25000 100000\n");
    put(*state, WEB, "10000 100000\n");
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        put(*state, GROUP, groups[i]);
        assert_int_equal(ours(*state), 250);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_quota_it_is_the_processors_that_we_may_run_on, setup_tree, teardown_tree),
        cmocka_unit_test_setup_teardown(of_processors_that_we_may_not_run_on_nothing_is_ours, setup_tree, teardown_tree),
        cmocka_unit_test_setup_teardown(the_least_quota_of_a_group_and_all_above_it_counts, setup_tree, teardown_tree),
        cmocka_unit_test_setup_teardown(of_a_group_that_we_do_not_see_the_top_counts, setup_tree, teardown_tree),
    };
    return TT_RUN(tests);
}
