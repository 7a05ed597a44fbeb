/*
 * Secrets that live as long as the configuration.
 */
#include "tr_secret.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tr_testing_cmocka.h"

static void a_secret_is_kept_byte_for_byte_with_a_zero_behind_it(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t lens[] = {0, 1, 32, 64, page - 1, page, page + 1, 3 * page};
    char *bytes = apr_palloc(*state, 3 * page);
    uint64_t seed = 5;
    for (size_t i = 0; i < 3 * page; i++)
        bytes[i] = (char)tt_random(&seed);
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        tr_str_t out;
        assert_int_equal(tr_secret_keep(&out, tr_str(bytes, lens[i]), *state), APR_SUCCESS);
        assert_int_equal(out.len, lens[i]);
        assert_ptr_not_equal(out.data, bytes);
        if (lens[i] > 0)
            assert_memory_equal(out.data, bytes, lens[i]);
        assert_int_equal(out.data[lens[i]], '\0');
    }
}

static bool is_mapped(const void *page)
{
    unsigned char present;
    return mincore((void *)page, 1, &present) == 0;
}

static void a_secret_goes_with_its_pool(void **state)
{
    apr_pool_t *pool;
    tr_str_t out;
    apr_pool_create(&pool, *state);
    assert_int_equal(tr_secret_keep(&out, tr_str_z("0123456789abcdef"), pool), APR_SUCCESS);
    assert_true(is_mapped(out.data));
    apr_pool_destroy(pool);
    assert_false(is_mapped(out.data));
}

/* Does the kernel leave out what lies there? Its list of what is mapped says so by the flag "dd". */
static bool is_left_out(const void *at)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false, left_out = false;
    if (f == NULL)
        skip(); /* not Linux */
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned long begin, end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            here = (unsigned long)at >= begin && (unsigned long)at < end;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            left_out = strstr(line, " dd") != NULL;
    }
    fclose(f);
    return left_out;
}

static void no_core_holds_a_secret(void **state)
{
    tr_str_t out;
    assert_int_equal(tr_secret_keep(&out, tr_str_z("0123456789abcdef"), *state), APR_SUCCESS);
    assert_true(is_left_out(out.data));
    assert_false(is_left_out(&out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_secret_is_kept_byte_for_byte_with_a_zero_behind_it),
        TT_TEST(a_secret_goes_with_its_pool),
        TT_TEST(no_core_holds_a_secret),
    };
    return TT_RUN(tests);
}
