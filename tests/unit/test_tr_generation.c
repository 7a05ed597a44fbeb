/*
 * The name of all keys and rules, and when it counts.
 */
#include "tr_generation.h"

#include <stdlib.h>
#include <unistd.h>

#include <apr_strings.h>

#include "tr_key.h"
#include "tr_testing_cmocka.h"

/* ---- names ------------------------------------------------------------------------------------------------- */

static tr_issuer_t *issuer(tr_issuers_t *issuers, const char *iss, apr_pool_t *pool)
{
    tr_issuer_t *out = apr_pcalloc(pool, sizeof *out);
    out->iss = iss;
    out->keyring = tr_keyring_make(pool);
    out->skew_s = 60;
    out->max_lifetime_s = 86400;
    apr_hash_set(issuers, iss, APR_HASH_KEY_STRING, out);
    return out;
}

static void add(tr_issuer_t *to, const char *name, const char *more, apr_pool_t *pool)
{
    const tr_key_t *key = tt_read_jwk(pool, tt_jwk(pool, tt_key(name), more));
    assert_non_null(key);
    tr_keyring_add(to->keyring, key);
}

static tr_generation_seen_t take(const tr_generation_t *generation)
{
    tr_generation_seen_t seen;
    memset(&seen, 0, sizeof seen);
    assert_true(tr_generation_take(&seen, generation));
    assert_true(tr_generation_is_some(seen.number));
    assert_true(tr_generation_still(generation, &seen));
    return seen;
}

static bool same_name(tr_generation_seen_t a, tr_generation_seen_t b)
{
    return memcmp(a.name, b.name, sizeof a.name) == 0;
}

typedef void (*change_fn)(tr_issuers_t *issuers, tr_issuer_t *joe, apr_pool_t *pool);

static apr_array_header_t *list(apr_pool_t *pool, const char *a, const char *b)
{
    apr_array_header_t *out = apr_array_make(pool, 2, sizeof(const char *));
    if (a)
        APR_ARRAY_PUSH(out, const char *) = a;
    if (b)
        APR_ARRAY_PUSH(out, const char *) = b;
    return out;
}

/* Two issuers and three keys, then the change. */
static tr_generation_seen_t named(change_fn change, apr_pool_t *pool)
{
    tr_issuers_t *issuers = apr_hash_make(pool);
    tr_issuer_t *joe = issuer(issuers, "joe", pool);
    joe->audiences = list(pool, "ab", "c");
    add(joe, "P-256", ",\"kid\":\"k\"", pool);
    add(joe, "oct64", "", pool);
    add(issuer(issuers, "*", pool), "Ed25519", "", pool);
    if (change)
        change(issuers, joe, pool);
    return take(tr_generation_make(issuers, pool));
}

#define CHANGE(name, ...)                                                                                                        \
    static void name(tr_issuers_t *issuers, tr_issuer_t *joe, apr_pool_t *pool)                                                  \
    {                                                                                                                            \
        (void)issuers, (void)joe, (void)pool;                                                                                    \
        __VA_ARGS__;                                                                                                             \
    }

CHANGE(algorithms, joe->algs = TR_ALG_BIT(TR_ALG_ES256))
CHANGE(no_audience, joe->audiences = NULL)
CHANGE(empty_audience, joe->audiences = list(pool, NULL, NULL))
CHANGE(other_audience, joe->audiences = list(pool, "ab", "d"))
CHANGE(cut_audience, joe->audiences = list(pool, "a", "bc"))
CHANGE(one_audience, joe->audiences = list(pool, "abc", NULL))
CHANGE(logout_audience, joe->logout_audiences = list(pool, "ab", "c"))
CHANGE(moved_audience, joe->logout_audiences = joe->audiences, joe->audiences = NULL)
CHANGE(type, joe->types = list(pool, "at+jwt", NULL))
CHANGE(use, joe->use_claim = "use"; joe->use_values = list(pool, "access", NULL))
CHANGE(use_value, joe->use_claim = "use"; joe->use_values = list(pool, "access", "service"))
CHANGE(use_claim, joe->use_claim = "typ"; joe->use_values = list(pool, "access", NULL))
CHANGE(jti, joe->require_jti = true)
CHANGE(skew, joe->skew_s = 61)
CHANGE(lifetime, joe->max_lifetime_s = 86401)
CHANGE(unlimited, joe->max_lifetime_s = TR_UNLIMITED)
CHANGE(another_key, add(joe, "P-256#2", "", pool))
CHANGE(another_issuer, add(issuer(issuers, "eve", pool), "P-256", "", pool))
CHANGE(issuer_without_key, issuer(issuers, "eve", pool))
CHANGE(fewer_issuers, apr_hash_set(issuers, "*", 1, NULL))
CHANGE(other_name, apr_hash_set(issuers, "*", 1, NULL); add(issuer(issuers, "bob", pool), "Ed25519", "", pool))

static void keys_of(tr_issuer_t *joe, apr_pool_t *pool, const char *a, const char *a_more, const char *b, const char *b_more)
{
    joe->keyring = tr_keyring_make(pool);
    add(joe, a, a_more, pool);
    add(joe, b, b_more, pool);
}

CHANGE(key_under_the_same_kid, keys_of(joe, pool, "P-256#2", ",\"kid\":\"k\"", "oct64", ""))
CHANGE(other_secret, keys_of(joe, pool, "P-256", ",\"kid\":\"k\"", "oct64#2", ""))
CHANGE(other_kid, keys_of(joe, pool, "P-256", ",\"kid\":\"K\"", "oct64", ""))
CHANGE(no_kid, keys_of(joe, pool, "P-256", "", "oct64", ""))
CHANGE(moved_kid, keys_of(joe, pool, "P-256", "", "oct64", ",\"kid\":\"k\""))
CHANGE(other_order, keys_of(joe, pool, "oct64", "", "P-256", ",\"kid\":\"k\""))
CHANGE(fewer_algorithms, keys_of(joe, pool, "P-256", ",\"kid\":\"k\"", "oct64", ",\"alg\":\"HS256\""))

static const change_fn changes[] = {NULL,
                                    algorithms,
                                    no_audience,
                                    empty_audience,
                                    other_audience,
                                    cut_audience,
                                    one_audience,
                                    type,
                                    moved_audience,
                                    use,
                                    use_value,
                                    use_claim,
                                    jti,
                                    skew,
                                    lifetime,
                                    unlimited,
                                    another_key,
                                    another_issuer,
                                    fewer_issuers,
                                    key_under_the_same_kid,
                                    other_secret,
                                    other_kid,
                                    no_kid,
                                    moved_kid,
                                    issuer_without_key,
                                    other_order,
                                    fewer_algorithms,
                                    other_name,
                                    logout_audience};
enum { CHANGES = sizeof changes / sizeof *changes };

static void every_rule_and_key_has_a_part_in_the_name(void **state)
{
    tr_generation_seen_t names[CHANGES];
    for (int i = 0; i < CHANGES; i++) {
        names[i] = named(changes[i], *state);
        for (int k = 0; k < i; k++)
            if (same_name(names[i], names[k]))
                fail_msg("changes %d and %d have one name", k, i);
    }
}

static void same_keys_and_rules_have_the_same_name(void **state)
{
    for (int i = 0; i < CHANGES; i++)
        assert_true(same_name(named(changes[i], *state), named(changes[i], *state)));
}

CHANGE(not_of_the_token, joe->longest_s = 99)
CHANGE(same_audience, joe->audiences = list(pool, apr_pstrdup(pool, "ab"), apr_pstrdup(pool, "c")))

static void what_is_said_of_no_token_has_no_part_in_it(void **state)
{
    assert_true(same_name(named(NULL, *state), named(not_of_the_token, *state)));
    assert_true(same_name(named(NULL, *state), named(same_audience, *state)));
}

static void the_order_of_sections_does_not_matter(void **state)
{
    tr_issuers_t *one = apr_hash_make(*state), *two = apr_hash_make(*state);
    for (int i = 0; i < 50; i++) {
        issuer(one, tt_print(*state, "iss-%d", i), *state);
        issuer(two, tt_print(*state, "iss-%d", 49 - i), *state);
    }
    assert_true(same_name(take(tr_generation_make(one, *state)), take(tr_generation_make(two, *state))));
}

static void a_server_without_issuers_has_a_generation(void **state)
{
    take(tr_generation_make(apr_hash_make(*state), *state));
}

/* ---- digests of keys --------------------------------------------------------------------------------------- */

static void digest(unsigned char out[TR_SHA256_LEN], const tr_key_t *key, apr_pool_t *pool)
{
    assert_non_null(key);
    assert_int_equal(tr_key_digest(out, key, pool), APR_SUCCESS);
}

static void every_key_has_a_digest_of_its_own(void **state)
{
    static const char *names[] = {"RSA2048",   "RSA2048#2", "RSA3072", "P-256",     "P-256#2", "P-384", "P-521",
                                  "secp256k1", "Ed25519",   "Ed448",   "Ed25519#2", "oct32",   "oct64", "oct32#2"};
    enum { NAMES = sizeof names / sizeof *names };
    unsigned char all[NAMES][TR_SHA256_LEN], again[TR_SHA256_LEN];
    for (int i = 0; i < NAMES; i++) {
        digest(all[i], tt_read_jwk(*state, tt_jwk(*state, tt_key(names[i]), "")), *state);
        digest(again, tt_read_jwk(*state, tt_jwk(*state, tt_key(names[i]), "")), *state);
        assert_memory_equal(all[i], again, sizeof again);
        for (int k = 0; k < i; k++)
            assert_memory_not_equal(all[i], all[k], TR_SHA256_LEN);
    }
}

static void a_key_is_the_same_from_a_set_a_pem_file_and_a_certificate(void **state)
{
    static const char *names[] = {"RSA2048", "P-256", "Ed25519"};
    const char *why;
    unsigned char jwk[TR_SHA256_LEN], pem[TR_SHA256_LEN];
    for (int i = 0; i < 3; i++) {
        const tr_key_t *key = NULL;
        digest(jwk, tt_read_jwk(*state, tt_jwk(*state, tt_key(names[i]), ",\"kid\":\"k\"")), *state);
        assert_int_equal(tr_key_from_pem(&key, &why, tr_str_z(tt_pem(*state, tt_key(names[i]))), tr_str_z("k"), *state), 0);
        digest(pem, key, *state);
        assert_memory_equal(jwk, pem, sizeof pem);
        assert_int_equal(tr_key_from_pem(&key, &why, tr_str_z(tt_certificate(*state, tt_key(names[i]))), tr_str_z("k"), *state),
                         0);
        digest(pem, key, *state);
        assert_memory_equal(jwk, pem, sizeof pem);
    }
}

/* ---- numbers ----------------------------------------------------------------------------------------------- */

typedef struct case_t {
    apr_pool_t *pool;
    char path[256];
    tr_issuer_t *joe;
    tr_generation_t *generation, *other, *foreign; /* two servers with joe, and one without */
    apr_time_t now;
} case_t;

static void write_keys(case_t *c, const char *name)
{
    FILE *f = fopen(c->path, "w");
    const char *text = name ? tt_jwks(c->pool, tt_jwk(c->pool, tt_key(name), ",\"kid\":\"k\""), NULL) : "broken";
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

static void hear(void *baton, const char *path, apr_size_t keys, const char *err)
{
    (void)baton, (void)path, (void)keys, (void)err;
}

static void change(case_t *c, const char *name)
{
    write_keys(c, name);
    c->now += 1000000;
    tr_keyring_refresh(c->joe->keyring, c->now, hear, NULL);
}

static int setup_file(void **state)
{
    apr_pool_t *pool;
    const char *why, *tmp = getenv("TMPDIR");
    apr_pool_create(&pool, NULL);
    case_t *c = apr_pcalloc(pool, sizeof *c);
    tr_issuers_t *one = apr_hash_make(pool), *two = apr_hash_make(pool), *three = apr_hash_make(pool);
    c->pool = pool;
    c->now = apr_time_now();
    apr_snprintf(c->path, sizeof c->path, "%s/tr_generation.%ld.json", tmp ? tmp : "/tmp", (long)getpid());
    c->joe = issuer(one, "joe", pool);
    write_keys(c, "P-256");
    assert_int_equal(tr_keyring_add_file(c->joe->keyring, &why, c->path), APR_SUCCESS);
    apr_hash_set(two, "joe", APR_HASH_KEY_STRING, c->joe);
    issuer(two, "eve", pool);
    issuer(three, "eve", pool);
    c->generation = tr_generation_make(one, pool);
    c->other = tr_generation_make(two, pool);
    c->foreign = tr_generation_make(three, pool);
    *state = c;
    return 0;
}

static int teardown_file(void **state)
{
    case_t *c = *state;
    unlink(c->path);
    apr_pool_destroy(c->pool);
    return 0;
}

static void new_keys_are_a_new_generation_of_every_server_that_has_them(void **state)
{
    case_t *c = *state;
    tr_generation_seen_t one = take(c->generation), two = take(c->other), three = take(c->foreign);
    assert_false(same_name(one, two));
    change(c, "P-256#2");
    assert_false(tr_generation_still(c->generation, &one));
    assert_false(tr_generation_still(c->other, &two));
    assert_true(tr_generation_still(c->foreign, &three));
    assert_false(same_name(one, take(c->generation)));
    assert_false(same_name(two, take(c->other)));
}

static void keys_that_come_back_bring_their_name_back_and_not_their_number(void **state)
{
    case_t *c = *state;
    tr_generation_seen_t first = take(c->generation), last = first;
    for (int i = 0; i < 20; i++) {
        change(c, i % 2 ? "P-256" : "P-256#2");
        tr_generation_seen_t seen = take(c->generation);
        assert_true(seen.number > last.number);
        assert_int_equal(same_name(seen, first), i % 2);
        assert_false(tr_generation_still(c->generation, &last));
        last = seen;
    }
}

static void a_file_that_is_broken_or_says_the_same_changes_nothing(void **state)
{
    case_t *c = *state;
    tr_generation_seen_t seen = take(c->generation);
    change(c, NULL);
    assert_true(tr_generation_still(c->generation, &seen));
    change(c, "P-256");
    assert_true(tr_generation_still(c->generation, &seen));
    change(c, "P-256#2");
    assert_false(tr_generation_still(c->generation, &seen));
}

static void without_a_digest_of_its_keys_there_is_no_generation(void **state)
{
    tr_issuers_t *issuers = apr_hash_make(*state);
    tr_issuer_t *joe = issuer(issuers, "joe", *state);
    struct tr_key_t *key = (struct tr_key_t *)tt_read_jwk(*state, tt_jwk(*state, tt_key("P-256"), ""));
    tr_generation_seen_t seen;
    key->has_material = false;
    tr_keyring_add(joe->keyring, key);
    assert_false(tr_generation_take(&seen, tr_generation_make(issuers, *state)));
}

static void where_there_is_none_nothing_is_taken(void **state)
{
    case_t *c = *state;
    tr_generation_seen_t seen = take(c->generation);
    assert_false(tr_generation_take(&seen, NULL));
    atomic_fetch_add(&c->generation->number, 1); /* as while keys are being changed */
    assert_false(tr_generation_take(&seen, c->generation));
    assert_false(tr_generation_still(c->generation, &seen) && tr_generation_is_some(seen.number));
}

int main(void)
{
#define FILE_TEST(claim) cmocka_unit_test_setup_teardown(claim, setup_file, teardown_file)
    const struct CMUnitTest tests[] = {
        TT_TEST(every_rule_and_key_has_a_part_in_the_name),
        TT_TEST(same_keys_and_rules_have_the_same_name),
        TT_TEST(what_is_said_of_no_token_has_no_part_in_it),
        TT_TEST(the_order_of_sections_does_not_matter),
        TT_TEST(a_server_without_issuers_has_a_generation),
        TT_TEST(every_key_has_a_digest_of_its_own),
        TT_TEST(a_key_is_the_same_from_a_set_a_pem_file_and_a_certificate),
        FILE_TEST(new_keys_are_a_new_generation_of_every_server_that_has_them),
        FILE_TEST(keys_that_come_back_bring_their_name_back_and_not_their_number),
        FILE_TEST(a_file_that_is_broken_or_says_the_same_changes_nothing),
        FILE_TEST(where_there_is_none_nothing_is_taken),
        TT_TEST(without_a_digest_of_its_keys_there_is_no_generation),
    };
    return TT_RUN(tests);
}
