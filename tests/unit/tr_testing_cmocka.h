/*
 * tr_testing_cmocka.h: cmocka with what it forgets to include, and a pool for each test.
 */
#ifndef TR_TESTING_CMOCKA_H
#define TR_TESTING_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tr_testing.h"

static inline int tt_setup(void **state)
{
    return apr_pool_create((apr_pool_t **)state, NULL) == APR_SUCCESS ? 0 : -1;
}

static inline int tt_teardown(void **state)
{
    apr_pool_destroy(*state);
    return 0;
}

static inline int tt_begin(void **state)
{
    (void)state;
    return apr_initialize() == APR_SUCCESS ? 0 : -1;
}

static inline int tt_end(void **state)
{
    (void)state;
    tt_keys_free();
    apr_terminate();
    return 0;
}

/* A test gets its pool as *state. */
#define TT_TEST(claim) cmocka_unit_test_setup_teardown(claim, tt_setup, tt_teardown)
#define TT_RUN(tests) cmocka_run_group_tests(tests, tt_begin, tt_end)

/* Views compare as text; the lengths first, so that a NUL inside counts. */
#define assert_str_is(view, text)                                                                                                \
    assert_int_equal((view).len, strlen(text));                                                                                  \
    assert_memory_equal((view).data, text, strlen(text))

#endif
