/*
 * Which key checks which token, and key files that change under a running server.
 */
#include "tr_issuer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"

static const char payload[] = "{\"iss\":\"joe\"}";

/* ---- which key --------------------------------------------------------------------------------------------- */

static void add(tr_keyring_t *ring, apr_pool_t *pool, const char *name, const char *kid)
{
    char *more = kid ? tt_print(pool, ",\"kid\":\"%s\"", kid) : tt_print(pool, "%s", "");
    const tr_key_t *key = tt_read_jwk(pool, tt_jwk(pool, tt_key(name), more));
    assert_non_null(key);
    tr_keyring_add(ring, key);
}

static apr_status_t check_token(tr_keyring_t *ring, const char *token, apr_pool_t *pool)
{
    tr_jws_t jws;
    assert_int_equal(tr_jws_parse(&jws, tr_str_z(token), pool), APR_SUCCESS);
    return tr_keyring_verify(ring, &jws);
}

static apr_status_t check(tr_keyring_t *ring, apr_pool_t *pool, const char *name, const char *kid)
{
    return check_token(ring, tt_mint(pool, tt_alg(tt_key(name)), tt_key(name), kid, payload), pool);
}

static void a_ring_without_keys_knows_no_key(void **state)
{
    tr_keyring_t *ring = tr_keyring_make(*state);
    assert_int_equal(check(ring, *state, "P-256", NULL), TR_UNKNOWN_KEY);
    assert_int_equal(tr_keyring_algs(ring), 0);
    assert_true(tr_keyring_is_empty(ring));
    add(ring, *state, "P-256", NULL);
    assert_false(tr_keyring_is_empty(ring));
}

static void a_kid_picks_its_key(void **state)
{
    tr_keyring_t *ring = tr_keyring_make(*state);
    add(ring, *state, "P-256", "a");
    add(ring, *state, "P-256#2", "b");
    assert_int_equal(check(ring, *state, "P-256", "a"), APR_SUCCESS);
    assert_int_equal(check(ring, *state, "P-256#2", "b"), APR_SUCCESS);
    assert_int_equal(check(ring, *state, "P-256", "b"), TR_BAD_SIGNATURE);
    assert_int_equal(check(ring, *state, "P-256", "A"), TR_UNKNOWN_KEY);
    assert_int_equal(check(ring, *state, "P-256", "aa"), TR_UNKNOWN_KEY);
    assert_int_equal(check(ring, *state, "P-256", "../a"), TR_UNKNOWN_KEY);
}

static void a_token_without_kid_tries_every_key_that_fits(void **state)
{
    tr_keyring_t *ring = tr_keyring_make(*state);
    add(ring, *state, "P-256", "a");
    add(ring, *state, "P-256#2", NULL);
    add(ring, *state, "Ed25519", "c");
    assert_int_equal(check(ring, *state, "P-256", NULL), APR_SUCCESS);
    assert_int_equal(check(ring, *state, "P-256#2", NULL), APR_SUCCESS);
    assert_int_equal(check(ring, *state, "Ed25519", NULL), APR_SUCCESS);
    assert_int_equal(check(ring, *state, "P-256#3", NULL), TR_BAD_SIGNATURE);
    assert_int_equal(check(ring, *state, "P-384", NULL), TR_UNKNOWN_KEY);
    assert_int_equal(check(ring, *state, "oct32", NULL), TR_UNKNOWN_KEY);
}

static void a_key_without_kid_fits_any_kid(void **state)
{
    tr_keyring_t *ring = tr_keyring_make(*state);
    add(ring, *state, "P-256", NULL);
    assert_int_equal(check(ring, *state, "P-256", "anything"), APR_SUCCESS);
    assert_int_equal(check(ring, *state, "P-256#2", "anything"), TR_BAD_SIGNATURE);
}

static void several_keys_may_share_a_kid(void **state)
{
    tr_keyring_t *ring = tr_keyring_make(*state);
    add(ring, *state, "P-256", "k");
    add(ring, *state, "P-256#2", "k");
    add(ring, *state, "RSA2048", "k");
    assert_int_equal(check(ring, *state, "P-256", "k"), APR_SUCCESS);
    assert_int_equal(check(ring, *state, "P-256#2", "k"), APR_SUCCESS);
    assert_int_equal(check(ring, *state, "RSA2048", "k"), APR_SUCCESS);
}

static void the_kid_of_a_key_that_does_not_fit_is_an_unknown_key(void **state)
{
    tr_keyring_t *ring = tr_keyring_make(*state);
    add(ring, *state, "P-256", "k");
    assert_int_equal(check(ring, *state, "RSA2048", "k"), TR_UNKNOWN_KEY);
    tr_keyring_add(ring, tt_read_jwk(*state, tt_jwk(*state, tt_key("RSA2048"), ",\"kid\":\"k\",\"alg\":\"RS256\"")));
    assert_int_equal(check_token(ring, tt_mint(*state, "PS256", tt_key("RSA2048"), "k", payload), *state), TR_UNKNOWN_KEY);
    assert_int_equal(check(ring, *state, "RSA2048", "k"), APR_SUCCESS);
}

static void a_public_key_never_checks_an_hmac(void **state)
{
    tr_keyring_t *ring = tr_keyring_make(*state);
    add(ring, *state, "RSA2048", NULL);
    tt_key_t forged = {NULL, tr_str_z(tt_pem(*state, tt_key("RSA2048"))), NULL};
    assert_int_equal(check_token(ring, tt_mint(*state, "HS256", &forged, NULL, payload), *state), TR_UNKNOWN_KEY);
}

static void eight_keys_are_tried_and_no_more(void **state)
{
    tr_keyring_t *ring = tr_keyring_make(*state);
    for (int i = 0; i < 20; i++)
        add(ring, *state, "RSA2048", NULL); /* these do not fit ES256 and do not count */
    for (int i = 1; i <= 9; i++)
        add(ring, *state, tt_print(*state, "P-256#n%d", i), NULL);
    for (int i = 1; i <= 8; i++)
        assert_int_equal(check(ring, *state, tt_print(*state, "P-256#n%d", i), NULL), APR_SUCCESS);
    assert_int_equal(check(ring, *state, "P-256#n9", NULL), TR_BAD_SIGNATURE);
}

static void keys_of_the_tokens_kid_come_first(void **state)
{
    tr_keyring_t *ring = tr_keyring_make(*state);
    for (int i = 1; i <= 9; i++)
        add(ring, *state, tt_print(*state, "P-256#n%d", i), NULL);
    for (int i = 1; i <= 9; i++)
        add(ring, *state, tt_print(*state, "P-256#m%d", i), "other");
    add(ring, *state, "P-256", "mine");
    assert_int_equal(check(ring, *state, "P-256", "mine"), APR_SUCCESS);
    assert_int_equal(check(ring, *state, "P-256#n7", "mine"), APR_SUCCESS);
    assert_int_equal(check(ring, *state, "P-256#n8", "mine"), TR_BAD_SIGNATURE);
}

static void a_rings_algorithms_are_those_of_its_keys(void **state)
{
    tr_keyring_t *ring = tr_keyring_make(*state);
    add(ring, *state, "P-256", NULL);
    assert_int_equal(tr_keyring_algs(ring), TR_ALG_BIT(TR_ALG_ES256));
    add(ring, *state, "oct48", "x");
    assert_int_equal(tr_keyring_algs(ring), TR_ALG_BIT(TR_ALG_ES256) | TR_ALG_BIT(TR_ALG_HS256) | TR_ALG_BIT(TR_ALG_HS384));
}

/* ---- files ------------------------------------------------------------------------------------------------- */

/* What tr_keyring_refresh reported. */
typedef struct heard_t {
    int changes, errors;
    apr_size_t keys;
    char why[400];
} heard_t;

static void hear(void *baton, const char *path, apr_size_t keys, const char *err)
{
    heard_t *heard = baton;
    assert_non_null(strstr(path, "keys.json"));
    if (!err) {
        heard->changes++;
        heard->keys = keys;
        return;
    }
    heard->errors++;
    apr_cpystrn(heard->why, err, sizeof heard->why);
}

typedef struct case_t {
    apr_pool_t *pool;
    char dir[256];
    char *path;
    tr_keyring_t *ring;
    heard_t heard;
    apr_time_t now;
} case_t;

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

static char *set_of(apr_pool_t *pool, const char *name)
{
    return tt_jwks(pool, tt_jwk(pool, tt_key(name), ",\"kid\":\"k\""), NULL);
}

static int teardown_file(void **state)
{
    case_t *c = *state;
    unlink(c->path);
    rmdir(c->path);
    unlink(tt_print(c->pool, "%s/target.json", c->dir));
    unlink(tt_print(c->pool, "%s/other.json", c->dir));
    int rv = rmdir(c->dir);
    apr_pool_destroy(c->pool);
    return rv;
}

/* A ring that read a file with the key "P-256" of kid k. */
static int setup_file(void **state)
{
    apr_pool_t *pool;
    const char *why = NULL;
    apr_pool_create(&pool, NULL);
    case_t *c = apr_pcalloc(pool, sizeof *c);
    c->pool = pool;
    const char *tmp = getenv("TMPDIR");
    apr_snprintf(c->dir, sizeof c->dir, "%s/tr_keyring.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(c->dir));
    c->path = tt_print(pool, "%s/keys.json", c->dir);
    c->ring = tr_keyring_make(pool);
    c->now = apr_time_now();
    write_file(c->path, set_of(pool, "P-256"));
    assert_int_equal(tr_keyring_add_file(c->ring, &why, c->path), APR_SUCCESS);
    *state = c;
    return 0;
}

static void refresh(case_t *c)
{
    c->now += 1000000;
    memset(&c->heard, 0, sizeof c->heard);
    tr_keyring_refresh(c->ring, c->now, hear, &c->heard);
}

/* The ring holds the key name and not the key absent. */
static void expect_key(case_t *c, const char *name, const char *absent)
{
    assert_int_equal(check(c->ring, c->pool, name, "k"), APR_SUCCESS);
    assert_int_equal(check(c->ring, c->pool, absent, "k"), TR_BAD_SIGNATURE);
}

static void a_file_is_read_at_once_and_not_again(void **state)
{
    case_t *c = *state;
    expect_key(c, "P-256", "P-256#2");
    assert_int_equal(tr_keyring_algs(c->ring), TR_ALG_BIT(TR_ALG_ES256));
    for (int i = 0; i < 5; i++) {
        refresh(c);
        assert_int_equal(c->heard.changes + c->heard.errors, 0);
    }
    expect_key(c, "P-256", "P-256#2");
}

static void what_the_keys_of_one_file_may_verify_is_told_apart(void **state)
{
    case_t *c = *state;
    add(c->ring, c->pool, "oct48", "x");
    assert_int_equal(tr_keyring_file_algs(c->ring, c->path), TR_ALG_BIT(TR_ALG_ES256));
    assert_int_equal(tr_keyring_file_algs(c->ring, c->dir), 0);
    write_file(c->path, set_of(c->pool, "oct48"));
    refresh(c);
    assert_int_equal(tr_keyring_file_algs(c->ring, c->path), TR_ALG_BIT(TR_ALG_HS256) | TR_ALG_BIT(TR_ALG_HS384));
}

static void a_change_in_the_same_second_is_seen(void **state)
{
    case_t *c = *state;
    char *other = set_of(c->pool, "P-256#2");
    assert_int_equal(strlen(other), strlen(set_of(c->pool, "P-256")));
    write_file(c->path, other);
    refresh(c);
    assert_int_equal(c->heard.changes, 1);
    assert_int_equal(c->heard.keys, 1);
    expect_key(c, "P-256#2", "P-256");
    refresh(c);
    assert_int_equal(c->heard.changes + c->heard.errors, 0);
}

static void set_times(const char *path, const struct stat *like)
{
    struct timespec times[2] = {like->st_atim, like->st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void a_file_of_the_same_size_and_time_put_in_its_place_is_seen(void **state)
{
    case_t *c = *state;
    struct stat before;
    char *fresh = tt_print(c->pool, "%s/target.json", c->dir);
    assert_int_equal(stat(c->path, &before), 0);
    write_file(fresh, set_of(c->pool, "P-256#2"));
    set_times(fresh, &before);
    assert_int_equal(rename(fresh, c->path), 0);
    refresh(c);
    assert_int_equal(c->heard.changes, 1);
    expect_key(c, "P-256#2", "P-256");
}

static void a_symbolic_link_that_turns_elsewhere_is_seen(void **state)
{
    case_t *c = *state;
    char *target = tt_print(c->pool, "%s/target.json", c->dir), *link = tt_print(c->pool, "%s/other.json", c->dir);
    write_file(target, set_of(c->pool, "P-256#2"));
    assert_int_equal(symlink(target, link), 0);
    assert_int_equal(rename(link, c->path), 0);
    refresh(c);
    assert_int_equal(c->heard.changes, 1);
    expect_key(c, "P-256#2", "P-256");
}

static void more_and_fewer_keys_take_effect(void **state)
{
    case_t *c = *state;
    write_file(c->path, tt_jwks(c->pool, tt_jwk(c->pool, tt_key("P-256"), ""), tt_jwk(c->pool, tt_key("Ed25519"), ""),
                                tt_jwk(c->pool, tt_key("oct32"), ""), NULL));
    refresh(c);
    assert_int_equal(c->heard.keys, 3);
    assert_int_equal(check(c->ring, c->pool, "Ed25519", NULL), APR_SUCCESS);
    assert_int_equal(check(c->ring, c->pool, "oct32", NULL), APR_SUCCESS);
    write_file(c->path, "{\"keys\":[]}");
    refresh(c);
    assert_int_equal(c->heard.changes, 1);
    assert_int_equal(c->heard.keys, 0);
    assert_int_equal(check(c->ring, c->pool, "P-256", NULL), TR_UNKNOWN_KEY);
    assert_int_equal(tr_keyring_algs(c->ring), 0);
}

/* The old key stays, one error is heard, and only one; then a good file heals it. */
static void expect_last_good_keys(case_t *c)
{
    refresh(c);
    assert_int_equal(c->heard.changes, 0);
    assert_int_equal(c->heard.errors, 1);
    assert_true(c->heard.why[0]);
    expect_key(c, "P-256", "P-256#2");
    for (int i = 0; i < 3; i++) {
        refresh(c);
        assert_int_equal(c->heard.changes + c->heard.errors, 0);
        expect_key(c, "P-256", "P-256#2");
    }
    unlink(c->path);
    rmdir(c->path);
    write_file(c->path, set_of(c->pool, "P-256#2"));
    refresh(c);
    assert_int_equal(c->heard.changes, 1);
    expect_key(c, "P-256#2", "P-256");
}

static void a_broken_file_leaves_the_last_good_keys(void **state)
{
    case_t *c = *state;
    write_file(c->path, "{\"keys\":[");
    expect_last_good_keys(c);
}

static void an_empty_file_leaves_the_last_good_keys(void **state)
{
    case_t *c = *state;
    write_file(c->path, "");
    expect_last_good_keys(c);
}

static void a_weak_key_leaves_the_last_good_keys(void **state)
{
    case_t *c = *state;
    write_file(c->path, tt_jwks(c->pool, tt_jwk(c->pool, tt_key("P-256#2"), ""), tt_jwk(c->pool, tt_key("RSA1024"), ""), NULL));
    expect_last_good_keys(c);
}

static void a_file_that_is_gone_leaves_the_last_good_keys(void **state)
{
    case_t *c = *state;
    unlink(c->path);
    expect_last_good_keys(c);
}

static void a_directory_in_its_place_leaves_the_last_good_keys(void **state)
{
    case_t *c = *state;
    unlink(c->path);
    assert_int_equal(mkdir(c->path, 0755), 0);
    expect_last_good_keys(c);
}

static void a_fifo_in_its_place_blocks_nobody(void **state)
{
    case_t *c = *state;
    unlink(c->path);
    assert_int_equal(mkfifo(c->path, 0644), 0);
    alarm(20);
    expect_last_good_keys(c);
    alarm(0);
}

static void a_file_that_is_too_large_leaves_the_last_good_keys(void **state)
{
    case_t *c = *state;
    write_file(c->path, tt_print(c->pool, "{\"x\":\"%s\",\"keys\":[]}", tt_repeat(c->pool, "x", TR_MAX_KEY_FILE_LEN)));
    expect_last_good_keys(c);
}

static void keys_that_were_added_by_hand_stay(void **state)
{
    case_t *c = *state;
    add(c->ring, c->pool, "Ed25519", "fixed");
    write_file(c->path, set_of(c->pool, "P-256#2"));
    refresh(c);
    assert_int_equal(check(c->ring, c->pool, "Ed25519", "fixed"), APR_SUCCESS);
    write_file(c->path, "{\"keys\":[]}");
    refresh(c);
    assert_int_equal(check(c->ring, c->pool, "Ed25519", "fixed"), APR_SUCCESS);
    assert_int_equal(tr_keyring_algs(c->ring), TR_ALG_BIT(TR_ALG_EDDSA) | TR_ALG_BIT(TR_ALG_ED25519));
}

static void what_cannot_be_read_is_an_error_at_the_start(void **state)
{
    case_t *c = *state;
    char *absent = tt_print(c->pool, "%s/absent.json", c->dir), *fifo = tt_print(c->pool, "%s/other.json", c->dir);
    char *broken = tt_print(c->pool, "%s/target.json", c->dir);
    const char *why = NULL;
    assert_int_not_equal(tr_keyring_add_file(c->ring, &why, absent), APR_SUCCESS);
    assert_non_null(why);
    why = NULL;
    assert_int_not_equal(tr_keyring_add_file(c->ring, &why, c->dir), APR_SUCCESS);
    assert_non_null(why);
    assert_int_equal(mkfifo(fifo, 0644), 0);
    alarm(20);
    why = NULL;
    assert_int_not_equal(tr_keyring_add_file(c->ring, &why, fifo), APR_SUCCESS);
    assert_non_null(why);
    alarm(0);
    write_file(broken, "{\"keys\":[{}]}");
    why = NULL;
    assert_int_not_equal(tr_keyring_add_file(c->ring, &why, broken), APR_SUCCESS);
    assert_non_null(why);
    assert_int_equal(check(c->ring, c->pool, "P-256", "k"), APR_SUCCESS);
}

#define FILE_TEST(claim) cmocka_unit_test_setup_teardown(claim, setup_file, teardown_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_ring_without_keys_knows_no_key),
        TT_TEST(a_kid_picks_its_key),
        TT_TEST(a_token_without_kid_tries_every_key_that_fits),
        TT_TEST(a_key_without_kid_fits_any_kid),
        TT_TEST(several_keys_may_share_a_kid),
        TT_TEST(the_kid_of_a_key_that_does_not_fit_is_an_unknown_key),
        TT_TEST(a_public_key_never_checks_an_hmac),
        TT_TEST(eight_keys_are_tried_and_no_more),
        TT_TEST(keys_of_the_tokens_kid_come_first),
        TT_TEST(a_rings_algorithms_are_those_of_its_keys),
        FILE_TEST(a_file_is_read_at_once_and_not_again),
        FILE_TEST(what_the_keys_of_one_file_may_verify_is_told_apart),
        FILE_TEST(a_change_in_the_same_second_is_seen),
        FILE_TEST(a_file_of_the_same_size_and_time_put_in_its_place_is_seen),
        FILE_TEST(a_symbolic_link_that_turns_elsewhere_is_seen),
        FILE_TEST(more_and_fewer_keys_take_effect),
        FILE_TEST(a_broken_file_leaves_the_last_good_keys),
        FILE_TEST(an_empty_file_leaves_the_last_good_keys),
        FILE_TEST(a_weak_key_leaves_the_last_good_keys),
        FILE_TEST(a_file_that_is_gone_leaves_the_last_good_keys),
        FILE_TEST(a_directory_in_its_place_leaves_the_last_good_keys),
        FILE_TEST(a_fifo_in_its_place_blocks_nobody),
        FILE_TEST(a_file_that_is_too_large_leaves_the_last_good_keys),
        FILE_TEST(keys_that_were_added_by_hand_stay),
        FILE_TEST(what_cannot_be_read_is_an_error_at_the_start),
    };
    return TT_RUN(tests);
}
