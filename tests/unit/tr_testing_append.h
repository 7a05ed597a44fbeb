/*
 * tr_testing_append.h: what tests of storing share. A helper that finds something else fails the test.
 */
#ifndef TR_TESTING_APPEND_H
#define TR_TESTING_APPEND_H

#include "tr_testing_store.h"

/* Numbers without gaps, totals that agree, and a start that finds n revocations. */
tt_rows_t *tt_assert_whole(tt_db_t *db, int n);

/* Until every other thread of this process waits for something. */
void tt_wait_until_all_wait(void);

/* The lock between the writers of one server. */
apr_global_mutex_t *tt_lock(apr_pool_t *pool);

/* Without its file a database fails at once. */
char *tt_take_away(tt_db_t *db);
void tt_put_back(tt_db_t *db, const char *away);

#endif
