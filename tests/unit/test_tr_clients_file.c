/*
 * The file of TokRevokeClients.
 */
#include "tr_client.h"

#include <apr_file_io.h>
#include <apr_md5.h>
#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_testing_clients.h"
#include "tr_testing_cmocka.h"

static tr_clients_t *parse(tr_str_t text, apr_pool_t *pool)
{
    tr_clients_t *clients = NULL;
    const char *why = NULL;
    if (tr_clients_parse(&clients, &why, text, pool) != APR_SUCCESS)
        fail_msg("refused (%s): %.*s", why, (int)text.len, text.data);
    return clients;
}

static tr_clients_t *parse_z(const char *text, apr_pool_t *pool)
{
    return parse(tr_str_z(text), pool);
}

static const char *refusal(tr_str_t text, apr_pool_t *pool)
{
    tr_clients_t *clients = NULL;
    const char *why = NULL;
    if (tr_clients_parse(&clients, &why, text, pool) != APR_EINVAL)
        fail_msg("accepted: %.*s", (int)text.len, text.data);
    assert_non_null(why);
    return why;
}

static void expect_refused(const char *text, const char *in_why, apr_pool_t *pool)
{
    const char *why = refusal(tr_str_z(text), pool);
    if (strstr(why, in_why) == NULL)
        fail_msg("\"%s\" does not say \"%s\": %s", why, in_why, text);
}

static const char *hash_of(const tr_clients_t *clients, const char *id)
{
    return tr_clients_hash(clients, tr_str_z(id));
}

static void a_hash_of_every_program_is_read_and_fits_its_secret(void **state)
{
    for (size_t i = 0; i < TT_HASHES; i++) {
        tr_clients_t *clients = parse_z(tt_print(*state, "app:%s\n", tt_hashes[i]), *state);
        const char *hash = hash_of(clients, "app");
        assert_non_null(hash);
        if (apr_password_validate(TT_SECRET, hash) != APR_SUCCESS)
            fail_msg("%s does not fit", tt_hashes[i]);
        assert_int_not_equal(apr_password_validate("0pen sesame", hash), APR_SUCCESS);
    }
}

static void a_truncated_or_longer_hash_is_refused(void **state)
{
    for (size_t i = 0; i < TT_HASHES; i++) {
        const char *hash = tt_hashes[i];
        char *cut = apr_pstrndup(*state, hash, strlen(hash) - 1);
        expect_refused(tt_print(*state, "a:%s", cut), "line 1: what follows", *state);
        expect_refused(tt_print(*state, "a:%sx", hash), "line 1: what follows", *state);
        expect_refused(tt_print(*state, "a:%s ", hash), "line 1: what follows", *state);
        expect_refused(tt_print(*state, "a: %s", hash), "line 1: what follows", *state);
        expect_refused(tt_print(*state, "a:%s:", hash), "line 1: what follows", *state);
    }
}

static void plain_text_and_unknown_hashes_are_refused(void **state)
{
    static const char *const bad[] = {
        "secret",
        "open sesame",
        " ",
        "x",
        "*",
        "!",
        "$",
        "$$",
        "{SHA}",
        "{SSHA}W8r/fyL/UzygmbNAjq2HbA67qac=",
        "{PLAIN}secret",
        "W8r/fyL/UzygmbNAjq2HbA67qac=",
        "{SHA}W8r/fyL/UzygmbNAjq2HbA67qacx",
        "{sha}W8r/fyL/UzygmbNAjq2HbA67qac=",
        "{SHA}W8r_fyL-UzygmbNAjq2HbA67qac=",
        "SfJB1juQGYY.",
        "SfJB1juQGYY.66",
        "SfJB1juQGYY-6",
        "$2y$04$",
        "$2x$04$g1j.1zBawyPR5XfAeb5VbetHpdPGwO4B2wYhOKGOACGeRrbkeOFc.",
        "$2y$03$g1j.1zBawyPR5XfAeb5VbetHpdPGwO4B2wYhOKGOACGeRrbkeOFc.",
        "$2y$18$g1j.1zBawyPR5XfAeb5VbetHpdPGwO4B2wYhOKGOACGeRrbkeOFc.",
        "$2y$4$g1j.1zBawyPR5XfAeb5VbetHpdPGwO4B2wYhOKGOACGeRrbkeOFc.x",
        "$2y$04$g1j.1zBawyPR5XfAeb5VbetHpdPGwO4B2wYhOKGOACGeRrbkeOF!.",
        "$apr1$$s3UNBrJyrRFsTkBP8GKte1",
        "$apr1$123456789$s3UNBrJyrRFsTkBP8GKte1",
        "$apr1$O6Fpk2H/",
        "$apr1$O6Fpk2H/$",
        "$5$rounds=$6ficrSQY1gSSDHwU$BdpB7AC8p5spnSsdl8j5I3AQzTRZnmMhkCsJPWcPrbC",
        "$5$rounds=x$6ficrSQY1gSSDHwU$BdpB7AC8p5spnSsdl8j5I3AQzTRZnmMhkCsJPWcPrbC",
        "$5$rounds=999999999$6ficrSQY1gSSDHwU$BdpB7AC8p5spnSsdl8j5I3AQzTRZnmMhkCsJPWcPrbC",
        "$5$rounds=2000000000000000000000$6ficrSQY1gSSDHwU$BdpB7AC8p5spnSsdl8j5I3AQzTRZnmMhkCsJPWcPrbC",
        "$1$rounds=2000$mZLHWmWm$dOqQpaK7YnYmnTp6kDlum/",
        "$7$abc",
        "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$x",
        "pbkdf2_sha256$1000$a$b",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refused(tt_print(*state, "# head\na:%s\n", bad[i]), "line 2: what follows the ':'", *state);
}

static void an_empty_hash_is_a_public_client(void **state)
{
    tr_clients_t *clients = parse_z("one:" TT_SHA1 "\nspa:\r\napp:\n", *state);
    assert_string_equal(hash_of(clients, "spa"), "");
    assert_string_equal(hash_of(clients, "app"), "");
    assert_string_equal(hash_of(clients, "one"), TT_SHA1);
}

static void comments_and_empty_lines_are_skipped_and_line_ends_are_free(void **state)
{
    tr_clients_t *clients = parse_z("\xef\xbb\xbf# clients\r\n\r\n  \t\na:" TT_SHA1 "\r\n#b:" TT_SHA1 "\n\nc:" TT_BCRYPT, *state);
    assert_string_equal(hash_of(clients, "a"), TT_SHA1);
    assert_string_equal(hash_of(clients, "c"), TT_BCRYPT);
    assert_null(hash_of(clients, "b"));
    assert_null(hash_of(clients, "#b"));
    assert_null(hash_of(clients, ""));
}

static void an_id_is_percent_decoded_and_compared_as_it_is(void **state)
{
    tr_clients_t *clients = parse_z("https%3A//app.test/%25a+b:" TT_SHA1 "\nApp:\ns p:\n\xc3\xa9%c3%A9:\n%23x:\n", *state);
    assert_non_null(hash_of(clients, "https://app.test/%a+b"));
    assert_non_null(hash_of(clients, "App"));
    assert_non_null(hash_of(clients, "s p"));
    assert_non_null(hash_of(clients, "\xc3\xa9\xc3\xa9"));
    assert_non_null(hash_of(clients, "#x"));
    assert_null(hash_of(clients, "app"));
    assert_null(hash_of(clients, "App "));
    assert_null(hash_of(clients, "s+p"));
    assert_null(hash_of(clients, "https%3A//app.test/%25a+b"));
    assert_null(hash_of(clients, "https://app.test/%a b"));
}

static void a_bad_line_is_named_by_its_number(void **state)
{
    expect_refused("a:\nb:\n\nno colon\n", "line 4: there is no ':'", *state);
    expect_refused("a:\n:" TT_SHA1, "line 2: the client_id before the ':' is empty", *state);
    expect_refused("a:\nb:", "line 2: the line of a public client has no end", *state);
    expect_refused(":\n", "line 1: the client_id before the ':' is empty", *state);
    expect_refused("a:\nb%:" TT_SHA1, "line 2: a '%'", *state);
    expect_refused("100%zz:" TT_SHA1, "line 1: a '%'", *state);
    expect_refused("a%00:" TT_SHA1, "line 1: a '%'", *state);
    expect_refused("a%0a:" TT_SHA1, "line 1: the client_id holds a control character", *state);
    expect_refused("a\tb:" TT_SHA1, "line 1: the client_id holds a control character", *state);
    expect_refused("a\rb:" TT_SHA1, "line 1: the client_id holds a control character", *state);
    expect_refused(tt_print(*state, "a:\n%s:\n", tt_repeat(*state, "x", 1025)), "line 2: the client_id is longer", *state);
    assert_non_null(
        hash_of(parse_z(tt_print(*state, "%s:\n", tt_repeat(*state, "x", 1024)), *state), tt_repeat(*state, "x", 1024)));
}

static void an_id_that_is_there_twice_is_refused(void **state)
{
    expect_refused("a:" TT_SHA1 "\nb:\na:" TT_BCRYPT "\n", "line 3: this client_id was in the file before", *state);
    expect_refused("a:\na:\n", "line 2: this client_id was in the file before", *state);
    expect_refused("a:\n%61:\n", "line 2: this client_id was in the file before", *state);
}

static void a_nul_is_refused_wherever_it_stands(void **state)
{
    static const char text[] = "ab:" TT_SHA1 "\n";
    for (size_t i = 0; i < sizeof text - 2; i++) {
        char *torn = apr_pmemdup(*state, text, sizeof text);
        torn[i] = '\0';
        refusal(tr_str(torn, sizeof text - 1), *state);
    }
}

static void a_file_without_a_client_is_refused(void **state)
{
    expect_refused("", "it names no client", *state);
    expect_refused("\n\n# nothing\r\n", "it names no client", *state);
    expect_refused("\xef\xbb\xbf", "it names no client", *state);
    const char *why = refusal(tr_str(NULL, 0), *state);
    assert_string_equal(why, "it names no client");
}

static void no_cut_of_a_file_makes_a_client_public(void **state)
{
    const char *text = "one:" TT_SHA1 "\ntwo:" TT_BCRYPT "\n";
    size_t first = strlen("one:" TT_SHA1);
    for (size_t len = 0; len <= strlen(text); len++) {
        tr_clients_t *clients = NULL;
        const char *why = NULL;
        apr_status_t rv = tr_clients_parse(&clients, &why, tr_str(text, len), *state);
        if (rv != APR_SUCCESS)
            continue;
        const char *one = hash_of(clients, "one"), *two = hash_of(clients, "two");
        assert_true(len >= first);
        assert_string_equal(one, TT_SHA1);
        assert_true(two == NULL || strcmp(two, TT_BCRYPT) == 0);
    }
}

static void the_other_hash_is_one_of_the_file_and_always_the_same(void **state)
{
    tr_clients_t *clients = parse_z("pub:\na:" TT_SHA1 "\nb:" TT_BCRYPT "\nc:SfJB1juQGYY.6\n", *state);
    tr_clients_t *again = parse_z("pub:\na:" TT_SHA1 "\nb:" TT_BCRYPT "\nc:SfJB1juQGYY.6\n", *state);
    int seen[3] = {0, 0, 0};
    for (int i = 0; i < 300; i++) {
        tr_str_t id = tr_str_z(tt_print(*state, "nobody-%d", i));
        const char *hash = tr_clients_other_hash(clients, id);
        assert_string_equal(hash, tr_clients_other_hash(again, id));
        seen[0] += strcmp(hash, TT_SHA1) == 0;
        seen[1] += strcmp(hash, TT_BCRYPT) == 0;
        seen[2] += strcmp(hash, "SfJB1juQGYY.6") == 0;
    }
    assert_int_equal(seen[0] + seen[1] + seen[2], 300);
    for (int i = 0; i < 3; i++)
        assert_in_range(seen[i], 50, 150);
    assert_null(tr_clients_other_hash(parse_z("pub:\n", *state), tr_str_z("x")));
    /* Which one it is depends on what only the file says. */
    tr_clients_t *other = parse_z("pub:\na:SfJB1juQGYY.6\nb:" TT_BCRYPT "\nc:" TT_SHA1 "\n", *state);
    int same = 0;
    for (int i = 0; i < 300; i++) {
        tr_str_t id = tr_str_z(tt_print(*state, "nobody-%d", i));
        bool is_second = strcmp(tr_clients_other_hash(clients, id), TT_BCRYPT) == 0;
        same += is_second == (strcmp(tr_clients_other_hash(other, id), TT_BCRYPT) == 0);
    }
    assert_in_range(same, 1, 250);
}

static char *write_file(const char *content, size_t len, apr_pool_t *pool)
{
    const char *folder = NULL;
    apr_file_t *file = NULL;
    assert_int_equal(apr_temp_dir_get(&folder, pool), APR_SUCCESS);
    char *path = apr_pstrcat(pool, folder, "/tr-clients-XXXXXX", NULL);
    assert_int_equal(apr_file_mktemp(&file, path, APR_FOPEN_CREATE | APR_FOPEN_EXCL | APR_FOPEN_WRITE, pool), APR_SUCCESS);
    assert_int_equal(apr_file_write_full(file, content, len, NULL), APR_SUCCESS);
    apr_file_close(file);
    return path;
}

static void a_file_is_checked_whole_and_named_when_it_is_wrong(void **state)
{
    const char *why = NULL;
    char *path = write_file("a:" TT_SHA1 "\nb:\n", strlen("a:" TT_SHA1 "\nb:\n"), *state);
    assert_int_equal(tr_clients_check(&why, path, 0, *state), APR_SUCCESS);
    apr_file_remove(path, *state);
    assert_int_equal(tr_clients_check(&why, path, 0, *state), APR_EINVAL);
    assert_non_null(strstr(why, path));
    path = write_file("a:secret", 8, *state);
    assert_int_equal(tr_clients_check(&why, path, 0, *state), APR_EINVAL);
    assert_non_null(strstr(why, apr_pstrcat(*state, path, ": line 1: what follows", NULL)));
    assert_null(strstr(why, "secret"));
    apr_file_remove(path, *state);
    assert_int_equal(tr_clients_check(&why, "/", 0, *state), APR_EINVAL);
    assert_int_equal(tr_clients_check(&why, "/dev/null", 0, *state), APR_EINVAL);
}

static void a_file_over_1_mib_is_refused_and_one_of_1_mib_is_read(void **state)
{
    const char *why = NULL;
    size_t len = TR_MAX_CLIENTS_LEN, at = 0;
    char *text = apr_palloc(*state, len + 1);
    memset(text, '\n', len + 1);
    for (int n = 0; at + 100 < len; n++) {
        const char *line = tt_print(*state, "client-%d:%s\n", n, TT_SHA1);
        memcpy(text + at, line, strlen(line));
        at += strlen(line);
    }
    char *path = write_file(text, len, *state);
    if (tr_clients_check(&why, path, 0, *state) != APR_SUCCESS)
        fail_msg("%s", why);
    apr_file_remove(path, *state);
    path = write_file(text, len + 1, *state);
    assert_int_equal(tr_clients_check(&why, path, 0, *state), APR_EINVAL);
    apr_file_remove(path, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_hash_of_every_program_is_read_and_fits_its_secret),
        TT_TEST(a_truncated_or_longer_hash_is_refused),
        TT_TEST(plain_text_and_unknown_hashes_are_refused),
        TT_TEST(an_empty_hash_is_a_public_client),
        TT_TEST(comments_and_empty_lines_are_skipped_and_line_ends_are_free),
        TT_TEST(an_id_is_percent_decoded_and_compared_as_it_is),
        TT_TEST(a_bad_line_is_named_by_its_number),
        TT_TEST(an_id_that_is_there_twice_is_refused),
        TT_TEST(a_nul_is_refused_wherever_it_stands),
        TT_TEST(a_file_without_a_client_is_refused),
        TT_TEST(no_cut_of_a_file_makes_a_client_public),
        TT_TEST(the_other_hash_is_one_of_the_file_and_always_the_same),
        TT_TEST(a_file_is_checked_whole_and_named_when_it_is_wrong),
        TT_TEST(a_file_over_1_mib_is_refused_and_one_of_1_mib_is_read),
    };
    return TT_RUN(tests);
}
