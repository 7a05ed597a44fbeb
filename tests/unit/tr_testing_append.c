/*
 * tr_testing_append.c: see tr_testing_append.h.
 */
#include "tr_testing_append.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "tr_testing_cmocka.h"

tt_rows_t *tt_assert_whole(tt_db_t *db, int n)
{
    tt_rows_t *rows = NULL;
    assert_string_equal(tt_ask(db, "SELECT count(*), coalesce(min(seq), 1), coalesce(max(seq), 0) FROM tokrevoke_revocations"),
                        tt_print(db->pool, "%d|1|%d", n, n));
    if (tt_prepare(db) != APR_SUCCESS || tt_load(&rows, db) != APR_SUCCESS)
        fail_msg("%s", db->why);
    assert_int_equal(rows->n, n);
    return rows;
}

void tt_wait_until_all_wait(void)
{
    for (int quiet = 0; quiet < 5; quiet++) {
        DIR *tasks = opendir("/proc/self/task");
        assert_non_null(tasks);
        for (struct dirent *task; (task = readdir(tasks));) {
            char path[300], line[300] = "";
            snprintf(path, sizeof path, "/proc/self/task/%s/stat", task->d_name);
            FILE *f = task->d_name[0] != '.' && atoi(task->d_name) != getpid() ? fopen(path, "r") : NULL;
            if (!f)
                continue;
            if (fgets(line, sizeof line, f) && strchr(line, ')') && strchr(line, ')')[2] != 'S')
                quiet = -1;
            fclose(f);
        }
        closedir(tasks);
        sched_yield();
    }
}

apr_global_mutex_t *tt_lock(apr_pool_t *pool)
{
    apr_global_mutex_t *lock;
    assert_int_equal(apr_global_mutex_create(&lock, NULL, APR_LOCK_DEFAULT, pool), APR_SUCCESS);
    return lock;
}

char *tt_take_away(tt_db_t *db)
{
    char *away = tt_print(db->pool, "%s.away", db->path);
    tt_rename(db->path, away);
    return away;
}

void tt_put_back(tt_db_t *db, const char *away)
{
    assert_false(tt_exists(db->path));
    tt_rename(away, db->path);
}
