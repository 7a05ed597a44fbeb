/*
 * tr_testing_failing.h: calls of OpenSSL, jansson, apr_dbd and the system that fail when a test wants them to. The linker puts
 * these in between (the Makefile's FAILING), and only where our own objects call: inside the libraries nothing changes.
 */
#ifndef TR_TESTING_FAILING_H
#define TR_TESTING_FAILING_H

#include <stdbool.h>

typedef enum tt_failing_t {
    TT_CRYPTO = 1, /* OpenSSL */
    TT_MEMORY = 2, /* malloc, calloc, a place in the thread */
    TT_JSON = 4,
    TT_SQL = 8,
    TT_FILES = 16,
    TT_LOCKS = 32 /* between processes */
} tt_failing_t;

/* The nth call from now on of these kinds fails (1: the next), in whichever thread; for_good: so do all after it. */
void tt_fail(int kinds, int nth, bool for_good);

/* No call fails any more. What failed first, the function's name; NULL: nothing did. */
const char *tt_fail_no_more(void);

#endif
