/*
 * The files of the database disappear, are replaced or become unusable while a process has them open: nothing is acknowledged
 * that a later start would not find, and all is well again when they are back.
 */
#include "tr_store.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tr_testing_cmocka.h"
#include "tr_testing_store.h"

#define SOON apr_time_from_sec(7)

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* A database with "a", and a store that has just added "b". */
typedef struct scene_t {
    tt_db_t *db;
    tr_store_t *store;
    char *away; /* a name beside the database */
} scene_t;

static scene_t *scene(apr_pool_t *pool)
{
    scene_t *s = apr_pcalloc(pool, sizeof *s);
    s->db = tt_prepared_db(pool);
    s->away = tt_print(pool, "%s.away", s->db->path);
    s->store = tt_store(s->db);
    assert_int_equal(tt_append(s->store, tt_entry("a")), APR_SUCCESS);
    assert_int_equal(tt_append(s->store, tt_entry("b")), APR_SUCCESS);
    return s;
}

static void assert_fails(scene_t *s, const char *jti)
{
    apr_time_t began = apr_time_now();
    int stored = -1;
    assert_int_equal(tt_append(s->store, tt_entry(jti)), TR_STORE_FAILED);
    assert_says(tr_store_error(s->store, s->db->pool), s->db->path);
    assert_int_equal(tr_store_retry(s->store, &stored), TR_STORE_FAILED);
    assert_int_equal(stored, 0);
    assert_true(apr_time_now() - began < SOON);
}

/* At the next start everything is there that was acknowledged, or said to be stored by now. */
static void assert_there(scene_t *s, const char *jtis)
{
    tt_rows_t *rows = NULL;
    tt_close_store(s->db, s->store);
    if (tt_prepare(s->db) != APR_SUCCESS || tt_load(&rows, s->db) != APR_SUCCESS)
        fail_msg("%s", s->db->why);
    for (const char *jti = jtis; *jti; jti++) {
        char one[2] = {*jti, 0};
        if (tt_count(rows, one) == 0)
            fail_msg("%s is lost", one);
    }
}

static void assert_heals(scene_t *s)
{
    int stored;
    if (tr_store_retry(s->store, &stored) != APR_SUCCESS)
        fail_msg("%s", tr_store_error(s->store, s->db->pool));
    assert_int_equal(stored, 1);
    assert_int_equal(tt_append(s->store, tt_entry("d")), APR_SUCCESS);
    assert_there(s, "abcd");
}

static void while_the_database_is_away_nothing_is_acknowledged(void **state)
{
    scene_t *s = scene(*state);
    tt_rename(s->db->path, s->away);
    assert_fails(s, "c");
    assert_false(tt_exists(s->db->path));
    tt_rename(s->away, s->db->path);
    assert_heals(s);
}

static void a_database_that_was_removed_is_not_made_anew(void **state)
{
    scene_t *s = scene(*state);
    tt_remove(s->db->path);
    assert_fails(s, "c");
    assert_fails(s, "d");
    assert_false(tt_exists(s->db->path));
    tt_close_store(s->db, s->store);
    assert_int_equal(tt_prepare(s->db), TR_STORE_FAILED);
}

static void while_the_log_is_away_nothing_is_acknowledged(void **state)
{
    /* The log alone can be made anew from what the process knows. */
    scene_t *s = scene(*state);
    int stored;
    tt_rename(s->db->wal, s->away);
    assert_int_equal(tt_append(s->store, tt_entry("c")), TR_STORE_FAILED);
    assert_int_equal(tr_store_retry(s->store, &stored), APR_SUCCESS);
    assert_int_equal(stored, 1);
    assert_int_equal(tt_append(s->store, tt_entry("d")), APR_SUCCESS);
    assert_there(s, "abcd");
}

static void a_log_that_was_removed_takes_nothing_with_it(void **state)
{
    scene_t *s = scene(*state);
    int stored;
    tt_remove(s->db->wal);
    assert_int_equal(tt_append(s->store, tt_entry("c")), TR_STORE_FAILED);
    assert_int_equal(tr_store_retry(s->store, &stored), APR_SUCCESS);
    assert_there(s, "abc");
}

/* ---- replaced ---------------------------------------------------------------------------------------------- */

/* As SQLite wants it: the log and its index go with the file. */
static const char *const companions[] = {"", "-wal", "-shm"};

static void take_away(scene_t *s)
{
    for (int i = 0; i < 3; i++)
        tt_rename(tt_print(s->db->pool, "%s%s", s->db->path, companions[i]),
                  tt_print(s->db->pool, "%s%s", s->away, companions[i]));
}

static void put_back(scene_t *s)
{
    for (int i = 0; i < 3; i++) {
        unlink(tt_print(s->db->pool, "%s%s", s->db->path, companions[i]));
        if (tt_exists(tt_print(s->db->pool, "%s%s", s->away, companions[i])))
            tt_rename(tt_print(s->db->pool, "%s%s", s->away, companions[i]),
                      tt_print(s->db->pool, "%s%s", s->db->path, companions[i]));
    }
}

/* The database with "a" and "b" alone, as a backup that was made then; it holds "x" by now. */
static tr_str_t older_state(scene_t *s)
{
    tt_ask(s->db, "PRAGMA wal_checkpoint(TRUNCATE)");
    tr_str_t old = tt_read_file(s->db->pool, s->db->path);
    assert_int_equal(tt_append(s->store, tt_entry("x")), APR_SUCCESS);
    return old;
}

static void another_database_in_its_place_is_not_written_to(void **state)
{
    scene_t *s = scene(*state);
    tt_db_t *other = tt_filled_db(*state, 5);
    take_away(s);
    tt_copy_file(other->path, s->db->path);
    assert_fails(s, "c");
    assert_fails(s, "c");
    assert_string_equal(tt_ask(s->db, "SELECT count(*) FROM tokrevoke_revocations"), "5");
    put_back(s);
    assert_heals(s);
}

static void an_older_state_in_its_place_is_not_written_to(void **state)
{
    for (int with_mark = 0; with_mark < 2; with_mark++) {
        scene_t *s = scene(*state);
        tr_str_t mark = tt_read_file(*state, s->db->mark), old = older_state(s);
        take_away(s);
        tt_write_file(s->db->path, old);
        if (with_mark)
            tt_write_file(s->db->mark, mark);
        assert_fails(s, "c");
        assert_fails(s, "c");
        put_back(s);
        int stored;
        assert_int_equal(tr_store_retry(s->store, &stored), APR_SUCCESS);
        assert_there(s, "abcx");
    }
}

static void what_is_no_database_is_left_alone(void **state)
{
    scene_t *s = scene(*state);
    tr_str_t garbage = tr_str_z(tt_repeat(*state, "garbage", 2000));
    take_away(s);
    tt_write_file(s->db->path, garbage);
    assert_fails(s, "c");
    assert_true(tr_str_eq(tt_read_file(*state, s->db->path), garbage));
    tt_write_file(s->db->path, tr_str("", 0));
    assert_fails(s, "c");
    assert_int_equal(tt_read_file(*state, s->db->path).len, 0);
    tt_remove(s->db->path);
    assert_int_equal(mkdir(s->db->path, 0700), 0);
    assert_fails(s, "c");
    assert_int_equal(rmdir(s->db->path), 0);
    put_back(s);
    assert_heals(s);
}

static void a_file_beside_our_log_is_left_alone(void **state)
{
    /* As somebody puts it there who does not know of the log: SQLite would take it for the log of that file, and copy it in. */
    for (int i = 0; i < 3; i++) {
        scene_t *s = scene(*state);
        tr_str_t old = older_state(s);
        tr_str_t other = tt_read_file(*state, tt_filled_db(*state, 5)->path);
        tr_str_t content = i == 0 ? old : i == 1 ? other : tr_str_z(tt_repeat(*state, "garbage", 2000));
        tt_rename(s->db->path, s->away);
        tt_write_file(s->db->path, content);
        assert_int_equal(tt_append(s->store, tt_entry("c")), TR_STORE_FAILED);
        assert_int_equal(tt_append(s->store, tt_entry("c")), TR_STORE_FAILED);
        tt_close_store(s->db, s->store);
        s->store = tt_store(s->db);
        assert_true(tr_str_eq(tt_read_file(*state, s->db->path), content));
        tt_remove(s->db->path);
        tt_rename(s->away, s->db->path);
        assert_there(s, "abx");
    }
}

static void a_file_beside_our_log_is_no_silent_loss(void **state)
{
    /* Whatever is acknowledged meanwhile, the next start finds it, or refuses. */
    for (int i = 0; i < 2; i++) {
        scene_t *s = scene(*state);
        char there[40] = "ab";
        int n = 2;
        tt_rows_t *rows = NULL;
        tt_fill(s->db, "before", 200, TR_FOREVER);
        tr_str_t old = older_state(s);
        tr_str_t other = tt_read_file(*state, tt_filled_db(*state, 5)->path);
        tt_fill(s->db, "after", 600, TR_FOREVER);
        tt_ask(s->db, "PRAGMA wal_checkpoint(TRUNCATE)");
        assert_int_equal(tt_append(s->store, tt_entry("y")), APR_SUCCESS);
        tt_rename(s->db->path, s->away);
        tt_write_file(s->db->path, i ? other : old);
        for (const char *c = "cdefghijklmn"; *c; c++) {
            char jti[2] = {*c, 0};
            if (tt_append(s->store, tt_entry(jti)) == APR_SUCCESS)
                there[n++] = *c;
        }
        tt_close_store(s->db, s->store);
        if (tt_prepare(s->db) != APR_SUCCESS || tt_load(&rows, s->db) != APR_SUCCESS)
            continue;
        for (const char *c = there; *c; c++) {
            char one[2] = {*c, 0};
            assert_int_not_equal(tt_count(rows, one), 0);
        }
    }
}

static void a_whole_copy_in_its_place_is_used_after_a_new_start(void **state)
{
    scene_t *s = scene(*state);
    tt_ask(s->db, "PRAGMA wal_checkpoint(TRUNCATE)");
    tt_copy_file(s->db->path, s->away);
    chmod(s->away, 0640);
    tt_rename(s->away, s->db->path);
    assert_int_equal(tt_append(s->store, tt_entry("c")), TR_STORE_FAILED);
    bool stored = tt_append(s->store, tt_entry("d")) == APR_SUCCESS;
    assert_there(s, stored ? "abd" : "ab");
}

static void a_pipe_in_its_place_holds_nobody_up(void **state)
{
    scene_t *s = scene(*state);
    tt_rename(s->db->path, s->away);
    assert_int_equal(mkfifo(s->db->path, 0640), 0);
    assert_fails(s, "c");
    tt_remove(s->db->path);
    tt_rename(s->away, s->db->path);
    assert_heals(s);
}

static void a_link_in_its_place_is_not_followed(void **state)
{
    scene_t *s = scene(*state);
    tt_rename(s->db->path, s->away);
    assert_int_equal(symlink(s->away, s->db->path), 0);
    assert_fails(s, "c");
    tt_remove(s->db->path);
    tt_rename(s->away, s->db->path);
    assert_heals(s);
}

static void while_the_folder_is_away_nothing_is_acknowledged(void **state)
{
    scene_t *s = scene(*state);
    char *away = tt_print(*state, "%s.away", s->db->folder);
    tt_rename(s->db->folder, away);
    assert_fails(s, "c");
    assert_int_equal(mkdir(s->db->folder, 0700), 0);
    assert_fails(s, "c");
    assert_int_equal(rmdir(s->db->folder), 0);
    tt_rename(away, s->db->folder);
    assert_heals(s);
}

static void a_new_connection_needs_the_mark_and_makes_it(void **state)
{
    /* Without it the next start could not tell that revocations are missing. */
    scene_t *s = scene(*state);
    tt_remove(s->db->mark);
    tt_close_store(s->db, s->store);
    s->store = tt_store(s->db);
    assert_int_equal(tt_append(s->store, tt_entry("c")), APR_SUCCESS);
    assert_true(tt_exists(s->db->mark));
    assert_there(s, "abc");
}

/* All connections are closed, and the next one knows only what the files say. */
static void begin_anew(scene_t *s)
{
    tt_close_store(s->db, s->store);
    s->store = tt_store(s->db);
}

static void an_older_state_that_only_the_mark_can_tell_is_not_written_to(void **state)
{
    scene_t *s = scene(*state);
    tr_str_t old = older_state(s);
    int stored;
    begin_anew(s);
    tr_str_t new = tt_read_file(*state, s->db->path), mark = tt_read_file(*state, s->db->mark);
    tt_write_file(s->db->path, old);
    assert_fails(s, "c");
    assert_says(tr_store_error(s->store, *state), "older state");
    assert_true(tr_str_eq(tt_read_file(*state, s->db->mark), mark));
    begin_anew(s);
    tt_write_file(s->db->path, new);
    assert_int_equal(tt_append(s->store, tt_entry("d")), APR_SUCCESS);
    assert_int_equal(tr_store_retry(s->store, &stored), APR_SUCCESS);
    assert_there(s, "abxd");
}

static void what_was_replaced_in_the_same_file_is_not_written_to(void **state)
{
    /* As sqlite3's .restore does it: the paths still name the files that are open. */
    static const struct {
        const char *change, *reason;
    } cases[] = {{"last_seq = last_seq - 1", "older state"},
                 {"database_id = '0123456789abcdef0123456789abcdef'", "another database"},
                 {"schema_version = schema_version + 1", "schema"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scene_t *s = scene(*state);
        const char *was = tt_ask(s->db, "SELECT last_seq, database_id, schema_version FROM tokrevoke_state");
        tt_do(s->db, tt_print(*state, "UPDATE tokrevoke_state SET %s", cases[i].change));
        assert_fails(s, "c");
        assert_says(tr_store_error(s->store, *state), cases[i].reason);
        assert_string_equal(tt_ask(s->db, "SELECT count(*) FROM tokrevoke_revocations"), "2");
        tt_do(s->db, tt_print(*state, "UPDATE tokrevoke_state SET last_seq = 2, database_id = '%s', schema_version = 1",
                              s->db->facts.id));
        assert_string_equal(tt_ask(s->db, "SELECT last_seq, database_id, schema_version FROM tokrevoke_state"), was);
        assert_heals(s);
    }
}

/* ---- without the right to write ---------------------------------------------------------------------------- */

static int lose_the_right(void *baton)
{
    tt_db_t *db = baton;
    int stored = -1, status = 0;
    if (tt_prepare(db) != APR_SUCCESS)
        return 1;
    tr_store_t *store = tt_store(db);
    if (tt_append(store, tt_entry("a")) != APR_SUCCESS)
        status |= 2;
    /* A connection that is open goes on; a new one cannot be made. */
    chmod(db->folder, 0);
    if (tt_append(store, tt_entry("b")) != TR_STORE_FAILED || tr_store_retry(store, &stored) != TR_STORE_FAILED)
        status |= 4;
    chmod(db->folder, 0700);
    if (tr_store_retry(store, &stored) != APR_SUCCESS || stored != 1)
        status |= 8;
    tt_close_store(db, store);
    chmod(db->path, 0440);
    store = tt_store(db);
    if (tt_append(store, tt_entry("c")) != TR_STORE_FAILED)
        status |= 16;
    /* SQLite makes the others with the rights of the first. */
    chmod(db->path, 0640);
    chmod(db->wal, 0640);
    chmod(db->shm, 0640);
    if (tr_store_retry(store, &stored) != APR_SUCCESS || stored != 1)
        status |= 32;
    return status;
}

static void without_the_right_to_write_nothing_is_acknowledged(void **state)
{
    tt_db_t *db = tt_db(*state);
    tt_rows_t *rows = NULL;
    assert_int_equal(chown(db->folder, tt_nobody(), (gid_t)-1), 0);
    assert_int_equal(tt_run_as_nobody(lose_the_right, db), 0);
    strcpy(db->facts.id, tt_ask(db, "SELECT database_id FROM tokrevoke_state"));
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(tt_count(rows, "a"), 1);
    assert_in_range(tt_count(rows, "b"), 1, 2);
    assert_int_equal(tt_count(rows, "c"), 1);
}

/* ---- several processes ------------------------------------------------------------------------------------- */

typedef struct other_t {
    scene_t *s;
    int to_child[2], to_parent[2];
} other_t;

static char hear(int fd)
{
    char c = 0;
    return read(fd, &c, 1) == 1 ? c : 0;
}

static void say(int fd, char c)
{
    if (write(fd, &c, 1) != 1)
        abort();
}

/* Append what the parent says, and answer with whether it was acknowledged. */
static int append_as_told(void *baton)
{
    other_t *other = baton;
    tt_db_t *db = other->s->db;
    tr_store_t *store = tt_store(db);
    int stored;
    close(other->to_child[1]);
    for (char c; (c = hear(other->to_child[0])) != 0;) {
        char jti[2] = {c, 0};
        apr_status_t rv = c == '!' ? tr_store_retry(store, &stored) : tt_append(store, tt_entry(jti));
        say(other->to_parent[1], rv == APR_SUCCESS ? '+' : '-');
    }
    tt_close_store(db, store);
    return 0;
}

static void two_processes_outlive_the_loss_of_the_log(void **state)
{
    scene_t *s = scene(*state);
    other_t other = {.s = s};
    char there[8] = "ab";
    int stored, n = 2;
    tt_close_store(s->db, s->store);
    assert_int_equal(pipe(other.to_child) | pipe(other.to_parent), 0);
    pid_t pid = tt_fork(append_as_told, &other);
    s->store = tt_store(s->db);
    for (const char *c = "cd"; *c; c++) {
        say(other.to_child[1], *c);
        assert_int_equal(hear(other.to_parent[0]), '+');
        there[n++] = *c;
    }
    assert_int_equal(tt_append(s->store, tt_entry("e")), APR_SUCCESS);
    there[n++] = 'e';
    tt_remove(s->db->wal);
    /* Each of them learns of it in its own time; then both go on. */
    if (tt_append(s->store, tt_entry("f")) == APR_SUCCESS)
        there[n++] = 'f';
    say(other.to_child[1], 'g');
    if (hear(other.to_parent[0]) == '+')
        there[n++] = 'g';
    bool mine = false, his = false;
    for (int i = 0; i < 4 && !(mine && his); i++) {
        mine = tr_store_retry(s->store, &stored) == APR_SUCCESS;
        say(other.to_child[1], '!');
        his = hear(other.to_parent[0]) == '+';
    }
    close(other.to_child[1]);
    assert_int_equal(tt_wait(pid), 0);
    assert_true(mine && his);
    there[n] = 0;
    assert_there(s, there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(while_the_database_is_away_nothing_is_acknowledged),
        TT_TEST(a_database_that_was_removed_is_not_made_anew),
        TT_TEST(while_the_log_is_away_nothing_is_acknowledged),
        TT_TEST(a_log_that_was_removed_takes_nothing_with_it),
        TT_TEST(another_database_in_its_place_is_not_written_to),
        TT_TEST(an_older_state_in_its_place_is_not_written_to),
        TT_TEST(what_is_no_database_is_left_alone),
        TT_TEST(a_file_beside_our_log_is_left_alone),
        TT_TEST(a_file_beside_our_log_is_no_silent_loss),
        TT_TEST(a_whole_copy_in_its_place_is_used_after_a_new_start),
        TT_TEST(a_pipe_in_its_place_holds_nobody_up),
        TT_TEST(a_link_in_its_place_is_not_followed),
        TT_TEST(while_the_folder_is_away_nothing_is_acknowledged),
        TT_TEST(a_new_connection_needs_the_mark_and_makes_it),
        TT_TEST(an_older_state_that_only_the_mark_can_tell_is_not_written_to),
        TT_TEST(what_was_replaced_in_the_same_file_is_not_written_to),
        TT_TEST(without_the_right_to_write_nothing_is_acknowledged),
        TT_TEST(two_processes_outlive_the_loss_of_the_log),
    };
    return TT_RUN(tests);
}
