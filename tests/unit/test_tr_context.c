/*
 * The contexts that a thread keeps: whatever was verified before, by whichever key and however wrong, the next answer is the same
 * as that of a thread that has verified nothing yet.
 */
#include "tr_context.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "tr_digest.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_thread.h"

static const char payload[] = "{\"iss\":\"joe\",\"exp\":1300819380}";

static const struct {
    const char *alg, *key;
} table[] = {{"RS256", "RSA2048"}, {"PS256", "RSA2048"},    {"RS384", "RSA2048"},   {"PS384", "RSA2048"}, {"RS512", "RSA2048"},
             {"PS512", "RSA2048"}, {"RS256", "RSA3072"},    {"ES256", "P-256"},     {"ES384", "P-384"},   {"ES512", "P-521"},
             {"EdDSA", "Ed25519"}, {"ES256K", "secp256k1"}, {"Ed25519", "Ed25519"}, {"EdDSA", "Ed448"},   {"Ed448", "Ed448"},
             {"HS256", "oct64"},   {"HS384", "oct64"},      {"HS512", "oct64"},     {"HS256", "oct200"},  {"HS512", "oct200"}};
enum { rows = sizeof table / sizeof *table };

/* A key, what it signed, and the same forged. */
typedef struct fixture_t {
    const char *jwk;
    const tr_key_t *key;
    tr_jws_t good, forged;
} fixture_t;

static void parse(tr_jws_t *out, const char *token, apr_pool_t *pool)
{
    if (tr_jws_parse(out, tr_str_z(token), pool) != APR_SUCCESS)
        fail_msg("refused: %s", token);
}

/* Without the key, which needs more of the code under test. */
static void mint_fixture(fixture_t *f, const char *alg, const char *name, apr_pool_t *pool)
{
    f->jwk = tt_jwk(pool, tt_key(name), "");
    parse(&f->good, tt_mint(pool, alg, tt_key(name), NULL, payload), pool);
    parse(&f->forged, tt_mint(pool, alg, tt_key(tt_print(pool, "%s#forger", name)), NULL, payload), pool);
}

static void make_fixture(fixture_t *f, const char *alg, const char *name, apr_pool_t *pool)
{
    mint_fixture(f, alg, name, pool);
    f->key = tt_read_jwk(pool, f->jwk);
    assert_non_null(f->key);
}

static bool read_keys(fixture_t *all, apr_pool_t *pool)
{
    for (int i = 0; i < rows; i++) {
        all[i].key = tt_read_jwk(pool, all[i].jwk);
        if (all[i].key == NULL)
            return false;
    }
    return true;
}

static fixture_t *mint_fixtures(apr_pool_t *pool)
{
    fixture_t *all = apr_pcalloc(pool, rows * sizeof *all);
    for (int i = 0; i < rows; i++)
        mint_fixture(&all[i], table[i].alg, table[i].key, pool);
    return all;
}

static fixture_t *fixtures(apr_pool_t *pool)
{
    fixture_t *all = mint_fixtures(pool);
    assert_true(read_keys(all, pool));
    return all;
}

/* Asked in an order of its own; false at the first wrong answer. */
static bool judge(const fixture_t *all, uint64_t seed, int times)
{
    for (int i = 0; i < times; i++) {
        const fixture_t *f = &all[tt_random(&seed) % rows];
        bool good = tt_random(&seed) % 2 == 0;
        if (tr_jws_verify(good ? &f->good : &f->forged, f->key) != (good ? APR_SUCCESS : TR_BAD_SIGNATURE))
            return false;
    }
    return true;
}

static void every_algorithm_keeps_its_answer_in_any_order(void **state)
{
    const fixture_t *all = fixtures(*state);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        assert_true(judge(all, seed, 60));
        tr_leave_openssl();
    }
}

typedef struct runner_t {
    const fixture_t *all;
    uint64_t seed;
    bool fine;
} runner_t;

static void *run(void *data)
{
    runner_t *r = data;
    r->fine = judge(r->all, r->seed, 120);
    if (r->seed % 2)
        tr_leave_openssl();
    return NULL;
}

static void threads_verify_with_the_same_keys_and_free_what_they_kept(void **state)
{
    const fixture_t *all = fixtures(*state);
    pthread_t thread[4];
    runner_t runner[4];
    for (int i = 0; i < 4; i++) {
        runner[i] = (runner_t){all, (uint64_t)i + 100, false};
        assert_int_equal(pthread_create(&thread[i], NULL, run, &runner[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        assert_true(runner[i].fine);
    }
}

/* What jws says, signed by PSS with this salt. */
static void sign_pss(tr_jws_t *jws, const char *key, int salt_len, apr_pool_t *pool)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options;
    unsigned char sig[512];
    size_t len = sizeof sig;
    assert_int_equal(EVP_DigestSignInit(ctx, &options, EVP_sha256(), NULL, tt_key(key)->pkey), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, salt_len), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)jws->signing_input.data, jws->signing_input.len), 1);
    EVP_MD_CTX_free(ctx);
    jws->signature = tr_str(apr_pmemdup(pool, sig, len), len);
}

static void padding_salt_and_mask_are_those_of_the_algorithm_each_time(void **state)
{
    static const int salts[] = {32, 0, 33, 32, 64, 20, 32, RSA_PSS_SALTLEN_MAX, 32};
    fixture_t rs256, ps256, ps512;
    make_fixture(&rs256, "RS256", "RSA2048", *state);
    make_fixture(&ps256, "PS256", "RSA2048", *state);
    make_fixture(&ps512, "PS512", "RSA2048", *state);
    rs256.key = ps256.key = ps512.key;
    for (size_t i = 0; i < sizeof salts / sizeof *salts; i++) {
        tr_jws_t salted = ps256.good, renamed = ps256.good;
        sign_pss(&salted, "RSA2048", salts[i], *state);
        assert_int_equal(tr_jws_verify(&salted, ps256.key), salts[i] == 32 ? APR_SUCCESS : TR_BAD_SIGNATURE);
        renamed.alg = TR_ALG_RS256;
        assert_int_equal(tr_jws_verify(&renamed, ps256.key), TR_BAD_SIGNATURE);
        renamed.alg = TR_ALG_PS512;
        assert_int_equal(tr_jws_verify(&renamed, ps256.key), TR_BAD_SIGNATURE);
        assert_int_equal(tr_jws_verify(&ps512.good, ps256.key), APR_SUCCESS);
        assert_int_equal(tr_jws_verify(&rs256.good, ps256.key), APR_SUCCESS);
        assert_int_equal(tr_jws_verify(&ps256.good, ps256.key), APR_SUCCESS);
    }
}

/* A key that its owner restricted to one hash and a salt of at least that many bytes; its token; what of it we read. */
static void a_key_restricted_to_pss_stays_restricted(void **state)
{
    EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA_PSS, NULL);
    tt_key_t pair = {NULL, {NULL, 0}, NULL};
    const tr_key_t *key;
    const char *why = "";
    assert_int_equal(EVP_PKEY_keygen_init(make), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(make, 2048), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_keygen_md(make, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_keygen_mgf1_md(make, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_keygen_saltlen(make, 32), 1);
    assert_int_equal(EVP_PKEY_keygen(make, &pair.pkey), 1);
    EVP_PKEY_CTX_free(make);
    if (tr_key_from_pem(&key, &why, tr_str_z(tt_pem(*state, &pair)), tr_str(NULL, 0), *state) != APR_SUCCESS)
        fail_msg("%s", why);
    assert_int_equal(tr_key_algs(key), TR_ALG_BIT(TR_ALG_PS256));
    for (int round = 0; round < 3; round++) {
        tr_jws_t jws;
        parse(&jws, tt_mint(*state, "PS256", &pair, NULL, payload), *state);
        assert_int_equal(tr_jws_verify(&jws, key), APR_SUCCESS);
        jws.alg = TR_ALG_PS512;
        assert_int_equal(tr_jws_verify(&jws, key), TR_BAD_SIGNATURE);
        jws.alg = TR_ALG_RS256;
        assert_int_equal(tr_jws_verify(&jws, key), TR_BAD_SIGNATURE);
    }
    EVP_PKEY_free(pair.pkey);
}

/* APR gives a pool the memory of the one before, so the new key lies where the old one lay. */
static void a_key_where_another_lay_is_another(void **state)
{
    static const char *const names[] = {"RSA2048", "P-256", "Ed25519", "oct64"};
    int same_place = 0;
    for (int round = 0; round < 8; round++) {
        const tr_key_t *before = NULL;
        const char *name = names[round % 4];
        char *other = tt_print(*state, "%s#other", name);
        char *jwk[2] = {tt_jwk(*state, tt_key(name), ""), tt_jwk(*state, tt_key(other), "")};
        tr_jws_t by_one, by_other;
        parse(&by_one, tt_mint(*state, tt_alg(tt_key(name)), tt_key(name), NULL, payload), *state);
        parse(&by_other, tt_mint(*state, tt_alg(tt_key(name)), tt_key(other), NULL, payload), *state);
        for (int turn = 0; turn < 6; turn++) {
            bool is_other = turn % 2 == 1;
            apr_pool_t *pool;
            apr_pool_create(&pool, *state);
            const tr_key_t *key = tt_read_jwk(pool, jwk[is_other]);
            same_place += key == before;
            before = key;
            assert_int_equal(tr_jws_verify(&by_one, key), is_other ? TR_BAD_SIGNATURE : APR_SUCCESS);
            assert_int_equal(tr_jws_verify(&by_other, key), is_other ? APR_SUCCESS : TR_BAD_SIGNATURE);
            apr_pool_destroy(pool);
        }
    }
    assert_true(same_place > 0);
}

static void more_keys_than_seats_take_turns(void **state)
{
    fixture_t all[21];
    for (int i = 0; i < 21; i++)
        make_fixture(&all[i], "EdDSA", tt_print(*state, "Ed25519#%d", i), *state);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 21; i++) {
            assert_int_equal(tr_jws_verify(&all[i].good, all[i].key), APR_SUCCESS);
            assert_int_equal(tr_jws_verify(&all[i].good, all[(i + 1) % 21].key), TR_BAD_SIGNATURE);
            assert_int_equal(tr_jws_verify(&all[(i + 7) % 21].good, all[i].key), TR_BAD_SIGNATURE);
        }
    }
}

/* The same contexts each time: what is refused does not spoil them. */
static void a_good_signature_passes_after_any_number_of_bad_ones(void **state)
{
    const fixture_t *all = fixtures(*state);
    for (int i = 0; i < rows; i++) {
        tr_jws_t shorter = all[i].good, longer = all[i].good, empty = all[i].good;
        char *bytes = apr_pcalloc(*state, longer.signature.len + 8);
        memcpy(bytes, longer.signature.data, longer.signature.len);
        longer.signature = tr_str(bytes, longer.signature.len + 8);
        shorter.signature.len--;
        empty.signature.len = 0;
        for (int round = 0; round < 10; round++) {
            assert_int_equal(tr_jws_verify(&all[i].forged, all[i].key), TR_BAD_SIGNATURE);
            assert_int_equal(tr_jws_verify(&shorter, all[i].key), TR_BAD_SIGNATURE);
            assert_int_equal(tr_jws_verify(&longer, all[i].key), TR_BAD_SIGNATURE);
            assert_int_equal(tr_jws_verify(&empty, all[i].key), TR_BAD_SIGNATURE);
        }
        assert_int_equal(tr_jws_verify(&all[i].good, all[i].key), APR_SUCCESS);
    }
}

static void the_error_queue_is_left_as_it_was(void **state)
{
    const fixture_t *all = fixtures(*state);
    for (int with = 0; with < 2; with++) {
        for (int i = 0; i < rows; i++) {
            ERR_clear_error();
            if (with)
                ERR_raise(ERR_LIB_USER, 7);
            unsigned long before = ERR_peek_last_error();
            tr_jws_t empty = all[i].good;
            empty.signature.len = 0;
            tr_leave_openssl(); /* empties the queue, too */
            if (with)
                ERR_raise(ERR_LIB_USER, 7);
            for (int round = 0; round < 2; round++) {
                (void)!tr_jws_verify(&all[i].forged, all[i].key);
                (void)!tr_jws_verify(&all[i].good, all[i].key);
                (void)!tr_jws_verify(&empty, all[i].key);
            }
            assert_int_equal(ERR_peek_last_error(), before);
            assert_int_equal(ERR_get_error(), before);
            assert_int_equal(ERR_get_error(), 0);
        }
    }
}

static void an_hmac_is_openssls_for_secrets_of_any_length(void **state)
{
    static const struct {
        tr_alg_t alg;
        const EVP_MD *(*md)(void);
    } hashes[] = {{TR_ALG_HS256, EVP_sha256}, {TR_ALG_HS384, EVP_sha384}, {TR_ALG_HS512, EVP_sha512}};
    for (size_t len = 32; len < 300; len += len < 62 || (len > 66 && len < 126) || len > 130 ? 7 : 1) {
        uint64_t seed = len;
        char *bytes = apr_palloc(*state, len);
        const tr_key_t *key;
        const char *why;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)tt_random(&seed);
        assert_int_equal(tr_key_from_secret(&key, &why, tr_str(bytes, len), tr_str(NULL, 0), *state), APR_SUCCESS);
        for (size_t h = 0; h < 3; h++) {
            char *text = tt_repeat(*state, "x", 1 + (size_t)(tt_random(&seed) % 500));
            unsigned char mac[EVP_MAX_MD_SIZE];
            unsigned int mac_len;
            tr_jws_t jws = {.signing_input = tr_str_z(text), .alg = hashes[h].alg};
            HMAC(hashes[h].md(), bytes, (int)len, (unsigned char *)text, strlen(text), mac, &mac_len);
            jws.signature = tr_str((char *)mac, mac_len);
            bool fits = (tr_key_algs(key) & TR_ALG_BIT(jws.alg)) != 0;
            assert_int_equal(tr_jws_verify(&jws, key), fits ? APR_SUCCESS : TR_BAD_SIGNATURE);
            mac[mac_len - 1] ^= 1;
            assert_int_equal(tr_jws_verify(&jws, key), TR_BAD_SIGNATURE);
        }
    }
}

/* ---- processes and their end ------------------------------------------------------------------------------- */

static fixture_t *shared;

static int verify_all(void)
{
    return judge(shared, 5, 60) ? 0 : 1;
}

static void a_child_verifies_with_what_its_parent_kept(void **state)
{
    shared = fixtures(*state);
    assert_int_equal(verify_all(), 0);
    assert_int_equal(tt_in_child(verify_all), 0);
    assert_int_equal(verify_all(), 0);
}

static pthread_barrier_t barrier;

static void *end_late(void *unused)
{
    (void)unused;
    bool fine = verify_all() == 0;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return fine ? "fine" : NULL;
}

static int end_openssl_first(void)
{
    pthread_t thread;
    void *fine;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, end_late, NULL);
    pthread_barrier_wait(&barrier);
    OPENSSL_cleanup();
    pthread_barrier_wait(&barrier);
    pthread_join(thread, &fine);
    return fine ? 0 : 1;
}

static void a_thread_that_verified_may_end_after_openssl_has(void **state)
{
    shared = fixtures(*state);
    assert_int_equal(tt_in_child(end_openssl_first), 0);
}

static void *verify_on(void *seed)
{
    pthread_barrier_wait(&barrier);
    for (uint64_t n = (uint64_t)(uintptr_t)seed;; n++) {
        const fixture_t *f = &shared[n % rows];
        if (tr_jws_verify(&f->forged, f->key) == APR_SUCCESS)
            _exit(1);
        (void)!tr_jws_verify(&f->good, f->key);
    }
    return NULL;
}

static bool is_exiting_among_threads;

/* Registered before OpenSSL's end, and so called after it; ahead of those who look for leaks. */
static void let_threads_go_on(void)
{
    if (is_exiting_among_threads) {
        usleep(3000);
        _exit(0);
    }
}

static int exit_among_threads(void)
{
    enum { THREADS = 4 };
    pthread_t thread;
    is_exiting_among_threads = true;
    alarm(20);
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&thread, NULL, verify_on, (void *)i);
    pthread_barrier_wait(&barrier);
    exit(0);
}

/* httpd does so where a child is told to end at once. Without care every third time was a crash. */
static void a_process_may_exit_while_its_threads_verify(void **state)
{
    shared = fixtures(*state);
    for (int i = 0; i < 40; i++)
        assert_int_equal(tt_in_child(exit_among_threads), 0);
}

static apr_pool_t *pool_of_child;

static int without_thread_keys(void)
{
    pthread_key_t key;
    while (pthread_key_create(&key, NULL) == 0)
        continue;
    if (tr_thread_keep(TR_THREAD_DIGEST, &key, NULL))
        return 2;
    return read_keys(shared, pool_of_child) ? verify_all() : 3;
}

/* Runs first, while no thread of this process keeps anything. */
static void where_nothing_can_be_kept_signatures_are_verified_all_the_same(void **state)
{
    shared = mint_fixtures(*state);
    pool_of_child = *state;
    assert_int_equal(tt_in_child(without_thread_keys), 0);
}

int main(void)
{
    atexit(let_threads_go_on);
    const struct CMUnitTest tests[] = {
        TT_TEST(where_nothing_can_be_kept_signatures_are_verified_all_the_same),
        TT_TEST(every_algorithm_keeps_its_answer_in_any_order),
        TT_TEST(threads_verify_with_the_same_keys_and_free_what_they_kept),
        TT_TEST(padding_salt_and_mask_are_those_of_the_algorithm_each_time),
        TT_TEST(a_key_restricted_to_pss_stays_restricted),
        TT_TEST(a_key_where_another_lay_is_another),
        TT_TEST(more_keys_than_seats_take_turns),
        TT_TEST(a_good_signature_passes_after_any_number_of_bad_ones),
        TT_TEST(the_error_queue_is_left_as_it_was),
        TT_TEST(an_hmac_is_openssls_for_secrets_of_any_length),
        TT_TEST(a_child_verifies_with_what_its_parent_kept),
        TT_TEST(a_thread_that_verified_may_end_after_openssl_has),
        TT_TEST(a_process_may_exit_while_its_threads_verify),
    };
    return TT_RUN(tests);
}
