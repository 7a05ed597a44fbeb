/*
 * What TokRevokeDatabase may say, and the folder that is made for it.
 */
#include "tr_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tr_testing_cmocka.h"
#include "tr_testing_store.h"

static tr_store_place_t parsed(const char *text, const char *root, apr_pool_t *pool)
{
    tr_store_place_t place;
    const char *why = NULL;
    if (tr_store_parse(&place, &why, text, root, pool) != APR_SUCCESS)
        fail_msg("%s: %s", text, why ? why : "no reason");
    return place;
}

static void assert_refused(const char *text, const char *reason, apr_pool_t *pool)
{
    tr_store_place_t place;
    const char *why = NULL;
    if (tr_store_parse(&place, &why, text, "/srv", pool) != APR_EINVAL)
        fail_msg("%s was taken", text);
    assert_non_null(why);
    if (!strstr(why, reason))
        fail_msg("%s: %s", text, why);
}

static void a_path_is_taken_as_it_is(void **state)
{
    tr_store_place_t place = parsed("sqlite3:/var/lib/tokrevoke/tokrevoke.db", "/etc/apache2", *state);
    assert_string_equal(place.driver, "sqlite3");
    assert_string_equal(place.path, "/var/lib/tokrevoke/tokrevoke.db");
    assert_string_equal(place.params, place.path);
    assert_string_equal(place.name, place.path);
    assert_string_equal(parsed("sqlite3:/a b/%d'\";?c=d.db", "/", *state).path, "/a b/%d'\";?c=d.db");
    assert_string_equal(parsed("SQLite3:/A/b.db", "/", *state).path, "/A/b.db");
}

static void a_relative_path_is_below_the_root(void **state)
{
    assert_string_equal(parsed("sqlite3:state/r.db", "/etc/apache2", *state).path, "/etc/apache2/state/r.db");
    assert_string_equal(parsed("sqlite3:r.db", "/etc/apache2/", *state).path, "/etc/apache2/r.db");
    assert_string_equal(parsed("sqlite3:./x/../r.db", "/etc/apache2", *state).path, "/etc/apache2/r.db");
    assert_string_equal(parsed("sqlite3:../r.db", "/etc/apache2", *state).path, "/etc/r.db");
    assert_string_equal(parsed("sqlite3:r.db", "/", *state).path, "/r.db");
}

static void what_names_no_file_is_refused(void **state)
{
    apr_pool_t *pool = *state;
    assert_refused("sqlite3:", "needs the path of a file", pool);
    assert_refused("sqlite3::memory:", "needs the path of a file", pool);
    assert_refused("sqlite3:/var/lib/", "needs the path of a file", pool);
    assert_refused("sqlite3:state/", "needs the path of a file", pool);
    assert_refused("sqlite3:/", "needs the path of a file", pool);
    assert_refused("sqlite3:.", "needs the path of a file", pool);
    assert_refused("sqlite3:state/..", "needs the path of a file", pool);
    assert_refused("sqlite3:/var/lib/./", "needs the path of a file", pool);
    assert_refused(tt_print(pool, "sqlite3:/%s", tt_repeat(pool, "0123456789", 400)), "too long", pool);
    assert_refused(tt_print(pool, "sqlite3:/%s", tt_repeat(pool, "0123456789", 1000)), "", pool);
}

static void an_unknown_kind_of_database_is_refused(void **state)
{
    static const char *const texts[] = {"", "/var/lib/r.db", "sqlite:/r.db", "sqlite3", "mysql:host=a", " sqlite3:/r.db", "none"};
    tr_store_place_t place;
    const char *why = NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(texts[i], "sqlite3:PATH, pgsql:CONNINFO", *state);
    /* Passwords do not belong in logs. */
    assert_int_equal(tr_store_parse(&place, &why, "postgres:password=secret", "/", *state), APR_EINVAL);
    assert_null(strstr(why, "secret"));
}

/* apr-util's driver for PostgreSQL is a package of its own. */
static void need_pgsql(apr_pool_t *pool)
{
    tr_store_place_t place;
    const char *why = "";
    if (tr_store_parse(&place, &why, "pgsql:", "/", pool) == APR_SUCCESS)
        return;
    assert_non_null(strstr(why, "apt install libaprutil1-dbd-pgsql"));
    skip();
}

static void a_postgresql_server_must_answer_in_time(void **state)
{
    need_pgsql(*state);
    tr_store_place_t place = parsed("pgsql:host=db user=httpd", "/", *state);
    assert_string_equal(place.driver, "pgsql");
    assert_null(place.path);
    assert_string_equal(place.params, "host=db user=httpd connect_timeout=5 tcp_user_timeout=10000");
    assert_string_equal(parsed("PGSQL:dbname=r", "/", *state).params, "dbname=r connect_timeout=5 tcp_user_timeout=10000");
}

static void what_the_administrator_says_of_timeouts_stays(void **state)
{
    need_pgsql(*state);
    assert_string_equal(parsed("pgsql:host=db connect_timeout=2", "/", *state).params,
                        "host=db connect_timeout=2 tcp_user_timeout=10000");
    assert_string_equal(parsed("pgsql:tcp_user_timeout=1 connect_timeout=2", "/", *state).params,
                        "tcp_user_timeout=1 connect_timeout=2");
    assert_string_equal(parsed("pgsql:postgresql://db/r?connect_timeout=2", "/", *state).params,
                        "postgresql://db/r?connect_timeout=2&tcp_user_timeout=10000");
}

static void a_uri_gets_its_options_as_a_uri(void **state)
{
    need_pgsql(*state);
    assert_string_equal(parsed("pgsql:postgresql://httpd@db/r", "/", *state).params,
                        "postgresql://httpd@db/r?connect_timeout=5&tcp_user_timeout=10000");
    assert_string_equal(parsed("pgsql:postgres://db/r?sslmode=require", "/", *state).params,
                        "postgres://db/r?sslmode=require&connect_timeout=5&tcp_user_timeout=10000");
}

static void no_password_is_in_the_name(void **state)
{
    need_pgsql(*state);
    assert_null(strstr(parsed("pgsql:host=db password=verysecret", "/", *state).name, "secret"));
    assert_null(strstr(parsed("pgsql:postgresql://httpd:verysecret@db/r", "/", *state).name, "secret"));
}

static void assert_hidden(const char *params, const char *text, const char *expected, apr_pool_t *pool)
{
    tr_store_place_t place = {.driver = "pgsql", .params = params};
    assert_string_equal(tr_store_hide(&place, text, pool), expected);
}

static void what_libpq_quotes_of_a_conninfo_is_not_repeated(void **state)
{
    static const char words[] = "host=db user=u password=two words", odd[] = "password=a \"b\" c";
    assert_hidden(words, "missing \"=\" after \"words\" in", "missing \"...\" after \"...\" in", *state);
    assert_hidden(words, "nach \xe2\x80\x9ewords\xe2\x80\x9c", "nach \xe2\x80\x9e...\xe2\x80\x9c", *state);
    assert_hidden(words, "apr\xc3\xa8s \xc2\xab\xc2\xa0words\xc2\xa0\xc2\xbb", "apr\xc3\xa8s \xc2\xab\xc2\xa0...\xc2\xa0\xc2\xbb",
                  *state);
    assert_hidden(words, "no \"words", "no \"...", *state);
    assert_hidden(odd, "after \"b\" c\" in", "after \"...\" in", *state);
    assert_hidden("postgresql://u:p@h/d", "URI: \"postgresql://u:p@h/d\"\n", "URI: \"...\"\n", *state);
    assert_hidden("", "no \"x\" here", "no \"x\" here", *state);
    assert_hidden(words, "", "", *state);
    assert_hidden(words, "\"", "\"", *state);
}

static void whom_a_database_was_asked_for_is_said(void **state)
{
    static const char params[] = "host=db user=u dbname=r password=u2";
    assert_hidden(params, "at \"db\" failed for user \"u\", database \"r\"", "at \"db\" failed for user \"u\", database \"r\"",
                  *state);
    assert_hidden(params, "after \"u2\"", "after \"...\"", *state);
    assert_hidden("host=db password=user=x", "after \"x\"", "after \"...\"", *state);
}

static void places_are_the_same_by_their_words(void **state)
{
    need_pgsql(*state);
    tr_store_place_t a = parsed("sqlite3:/s/r.db", "/", *state), b = parsed("sqlite3:r.db", "/s", *state);
    tr_store_place_t c = parsed("sqlite3:/s/q.db", "/", *state);
    tr_store_place_t p = parsed("pgsql:host=a", "/", *state), q = parsed("pgsql:host=b", "/", *state);
    assert_true(tr_store_place_eq(&a, &b));
    assert_false(tr_store_place_eq(&a, &c));
    assert_false(tr_store_place_eq(&a, &p));
    assert_false(tr_store_place_eq(&p, &q));
    assert_true(tr_store_place_eq(&p, &p));
    assert_true(tr_store_place_eq(NULL, NULL));
    assert_false(tr_store_place_eq(&a, NULL));
    assert_false(tr_store_place_eq(NULL, &p));
}

/* ---- the folder -------------------------------------------------------------------------------------------- */

static apr_status_t make_folder(const char **why, const char *path, uid_t user, apr_pool_t *pool)
{
    tr_store_place_t place = parsed(tt_print(pool, "sqlite3:%s", path), "/", pool);
    *why = NULL;
    return tr_store_make_folder(why, &place, user, getegid(), pool);
}

static struct stat info_of(const char *path)
{
    struct stat info;
    assert_int_equal(lstat(path, &info), 0);
    return info;
}

static void a_missing_folder_is_made_for_its_owner_alone(void **state)
{
    apr_pool_t *pool = *state;
    const char *folder = tt_print(pool, "%s/new", tt_folder(pool)), *why;
    assert_int_equal(make_folder(&why, tt_print(pool, "%s/r.db", folder), geteuid(), pool), APR_SUCCESS);
    assert_true(S_ISDIR(info_of(folder).st_mode));
    assert_int_equal(info_of(folder).st_mode & 07777 & ~0750, 0);
    assert_int_equal(info_of(folder).st_mode & 0700, 0700);
    assert_false(tt_exists(tt_print(pool, "%s/r.db", folder)));
}

static void root_gives_a_new_folder_to_the_user_and_leaves_an_old_one_alone(void **state)
{
    apr_pool_t *pool = *state;
    const char *folder = tt_print(pool, "%s/new", tt_folder(pool)), *why;
    if (geteuid() != 0)
        skip();
    assert_int_equal(make_folder(&why, tt_print(pool, "%s/r.db", folder), tt_nobody(), pool), APR_SUCCESS);
    assert_int_equal(info_of(folder).st_uid, tt_nobody());
    assert_int_equal(make_folder(&why, tt_print(pool, "%s/r.db", folder), 12345, pool), APR_SUCCESS);
    assert_int_equal(info_of(folder).st_uid, tt_nobody());
}

static void root_gives_away_no_folder_that_others_use_and_none_behind_a_link(void **state)
{
    apr_pool_t *pool = *state;
    const char *folder = tt_print(pool, "%s/old", tt_folder(pool)), *link = tt_print(pool, "%s-link", folder), *why;
    static const mode_t modes[] = {0777, 01777, 01755, 0702};
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(folder, 0755), 0);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(folder, modes[i]), 0);
        assert_int_equal(make_folder(&why, tt_print(pool, "%s/r.db", folder), tt_nobody(), pool), APR_SUCCESS);
        assert_int_equal(info_of(folder).st_uid, 0);
    }
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(symlink(folder, link), 0);
    assert_int_equal(make_folder(&why, tt_print(pool, "%s/r.db", link), tt_nobody(), pool), APR_SUCCESS);
    assert_int_equal(info_of(folder).st_uid, 0);
    /* By its own name, and empty, it is what a package leaves. */
    assert_int_equal(make_folder(&why, tt_print(pool, "%s/r.db", folder), tt_nobody(), pool), APR_SUCCESS);
    assert_int_equal(info_of(folder).st_uid, tt_nobody());
}

static void what_is_there_is_left_to_the_checks(void **state)
{
    apr_pool_t *pool = *state;
    const char *folder = tt_folder(pool), *why;
    const char *link = tt_print(pool, "%s/link", folder), *file = tt_print(pool, "%s/file", folder);
    chmod(folder, 0705);
    assert_int_equal(symlink(folder, link), 0);
    tt_write_file(file, tr_str_z("x"));
    assert_int_equal(make_folder(&why, tt_print(pool, "%s/r.db", folder), 12345, pool), APR_SUCCESS);
    assert_int_equal(make_folder(&why, tt_print(pool, "%s/r.db", link), 12345, pool), APR_SUCCESS);
    assert_int_equal(make_folder(&why, tt_print(pool, "%s/r.db", file), 12345, pool), APR_SUCCESS);
    assert_int_equal(make_folder(&why, "/r.db", 12345, pool), APR_SUCCESS);
    assert_int_equal(info_of(folder).st_mode & 0777, 0705);
    assert_int_equal(info_of(folder).st_uid, geteuid());
    assert_int_equal(info_of(file).st_size, 1);
}

static void only_the_last_component_is_made(void **state)
{
    apr_pool_t *pool = *state;
    const char *folder = tt_folder(pool), *why;
    assert_true(make_folder(&why, tt_print(pool, "%s/a/b/r.db", folder), geteuid(), pool) != APR_SUCCESS);
    assert_non_null(strstr(why, tt_print(pool, "%s/a/b", folder)));
    assert_false(tt_exists(tt_print(pool, "%s/a", folder)));
}

static void a_server_needs_no_folder(void **state)
{
    need_pgsql(*state);
    tr_store_place_t place = parsed("pgsql:host=db", "/", *state);
    const char *why;
    assert_int_equal(tr_store_make_folder(&why, &place, 12345, 12345, *state), APR_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_path_is_taken_as_it_is),
        TT_TEST(a_relative_path_is_below_the_root),
        TT_TEST(what_names_no_file_is_refused),
        TT_TEST(an_unknown_kind_of_database_is_refused),
        TT_TEST(a_postgresql_server_must_answer_in_time),
        TT_TEST(what_the_administrator_says_of_timeouts_stays),
        TT_TEST(a_uri_gets_its_options_as_a_uri),
        TT_TEST(no_password_is_in_the_name),
        TT_TEST(what_libpq_quotes_of_a_conninfo_is_not_repeated),
        TT_TEST(whom_a_database_was_asked_for_is_said),
        TT_TEST(places_are_the_same_by_their_words),
        TT_TEST(a_missing_folder_is_made_for_its_owner_alone),
        TT_TEST(root_gives_a_new_folder_to_the_user_and_leaves_an_old_one_alone),
        TT_TEST(root_gives_away_no_folder_that_others_use_and_none_behind_a_link),
        TT_TEST(what_is_there_is_left_to_the_checks),
        TT_TEST(only_the_last_component_is_made),
        TT_TEST(a_server_needs_no_folder),
    };
    return TT_RUN(tests);
}
