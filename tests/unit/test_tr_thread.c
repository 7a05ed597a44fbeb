/*
 * What a thread keeps: once for itself, freed when it ends or leaves OpenSSL, and left alone when OpenSSL has ended before.
 */
#include "tr_thread.h"

#include <pthread.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "tr_digest.h"
#include "tr_testing_cmocka.h"

static int freed_digests, freed_signatures;

static void free_digest(void *kept)
{
    freed_digests++;
    free(kept);
}

static void free_signature(void *kept)
{
    freed_signatures++;
    free(kept);
}

static int begin(void **state)
{
    tr_thread_forget();
    freed_digests = freed_signatures = 0;
    return tt_setup(state);
}

static void *keep_both(void *unused)
{
    (void)unused;
    bool fine = tr_thread_kept(TR_THREAD_DIGEST) == NULL && tr_thread_kept(TR_THREAD_SIGNATURE) == NULL;
    void *one = malloc(1), *two = malloc(1);
    fine = fine && tr_thread_keep(TR_THREAD_DIGEST, one, free_digest) && tr_thread_keep(TR_THREAD_SIGNATURE, two, free_signature);
    fine = fine && tr_thread_kept(TR_THREAD_DIGEST) == one && tr_thread_kept(TR_THREAD_SIGNATURE) == two;
    return fine ? "fine" : NULL;
}

static void what_a_thread_kept_is_freed_when_it_ends(void **state)
{
    (void)state;
    for (int i = 1; i <= 3; i++) {
        pthread_t thread;
        void *fine;
        assert_int_equal(pthread_create(&thread, NULL, keep_both, NULL), 0);
        pthread_join(thread, &fine);
        assert_non_null(fine);
        assert_int_equal(freed_digests, i);
        assert_int_equal(freed_signatures, i);
        assert_null(tr_thread_kept(TR_THREAD_DIGEST));
    }
}

static void what_a_thread_kept_is_freed_when_it_leaves_openssl_and_it_may_begin_anew(void **state)
{
    (void)state;
    for (int i = 1; i <= 3; i++) {
        assert_non_null(keep_both(NULL));
        tr_leave_openssl();
        assert_int_equal(freed_digests, i);
        assert_int_equal(freed_signatures, i);
        tr_leave_openssl();
        assert_int_equal(freed_digests, i);
    }
}

static void a_digest_is_the_same_before_and_after_leaving_openssl(void **state)
{
    unsigned char one[TR_SHA256_LEN], two[TR_SHA256_LEN], three[TR_SHA256_LEN];
    tr_str_t text = tr_str_z(tt_repeat(*state, "abc", 700));
    assert_int_equal(tr_sha256(one, text), APR_SUCCESS);
    assert_int_equal(tr_sha256(two, tr_str_z("another")), APR_SUCCESS);
    assert_int_equal(tr_sha256(two, text), APR_SUCCESS);
    tr_leave_openssl();
    assert_int_equal(tr_sha256(three, text), APR_SUCCESS);
    assert_memory_equal(one, two, sizeof one);
    assert_memory_equal(one, three, sizeof one);
}

static pthread_barrier_t barrier;

static void *end_late(void *unused)
{
    unsigned char out[TR_SHA256_LEN];
    (void)unused;
    if (tr_sha256(out, tr_str_z("a")) != APR_SUCCESS)
        return NULL;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return "fine";
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
    tr_thread_forget();
    return fine ? 0 : 1;
}

static void a_thread_may_end_after_openssl_has(void **state)
{
    (void)state;
    assert_int_equal(tt_in_child(end_openssl_first), 0);
}

/* Says that OpenSSL has ended under its hands. */
static void free_slowly(void *kept)
{
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 200; i++) {
        if (OPENSSL_init_crypto(0, NULL) != 1)
            _exit(1);
        usleep(500);
    }
    free(kept);
}

static void *keep_for_long(void *unused)
{
    (void)unused;
    void *kept = malloc(1);
    return tr_thread_keep(TR_THREAD_SIGNATURE, kept, free_slowly) ? NULL : kept;
}

static int exit_while_a_thread_ends(void)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, keep_for_long, NULL);
    pthread_detach(thread);
    pthread_barrier_wait(&barrier);
    exit(0);
}

/* As those of a child do that is told to end at once: httpd does not wait for them. */
static void openssl_does_not_end_while_a_thread_frees_what_it_kept(void **state)
{
    (void)state;
    assert_int_equal(tt_in_child(exit_while_a_thread_ends), 0);
}

static int use_openssl_in_exit(void)
{
    if (!tr_openssl_enter() || !tr_openssl_enter())
        return 1;
    alarm(1);
    exit(0); /* as a signal handler of mpm_prefork does: nobody waits for himself */
}

static bool is_asking;

/* Registered before all others, and so called after them. */
static void ask_when_it_is_over(void)
{
    unsigned char ignored[TR_SHA256_LEN];
    if (!is_asking)
        return;
    if (tr_openssl_enter() || tr_sha256(ignored, tr_str_z("a")) == APR_SUCCESS || tr_random(ignored, 1) == APR_SUCCESS)
        _exit(1);
    tr_leave_openssl();
    _exit(0);
}

static int ask_in_exit(void)
{
    is_asking = true;
    exit(2);
}

static void once_exit_has_begun_openssl_is_asked_for_nothing(void **state)
{
    (void)state;
    assert_int_equal(tt_in_child(use_openssl_in_exit), 0);
    assert_int_equal(tt_in_child(ask_in_exit), 0);
}

static int use_up_all_keys(void)
{
    unsigned char one[TR_SHA256_LEN], two[TR_SHA256_LEN];
    pthread_key_t key;
    int kept = 0;
    /* OpenSSL itself ends the process without a key of its own. */
    EVP_Digest("", 0, one, NULL, EVP_sha256(), NULL);
    while (pthread_key_create(&key, NULL) == 0)
        continue;
    if (tr_thread_keep(TR_THREAD_DIGEST, &kept, free_digest) || tr_thread_kept(TR_THREAD_DIGEST))
        return 1;
    for (int i = 0; i < 3; i++)
        if (tr_sha256(one, tr_str_z("abc")) != APR_SUCCESS || tr_sha256(two, tr_str_z("abc")) != APR_SUCCESS ||
            memcmp(one, two, sizeof one) != 0)
            return 2;
    tr_leave_openssl();
    return one[0] == 0xba && one[31] == 0xad ? 0 : 3;
}

/* Runs first, in a child of which nothing was asked yet. */
static void without_a_key_of_the_thread_library_nothing_is_kept_and_all_works(void **state)
{
    (void)state;
    assert_int_equal(tt_in_child(use_up_all_keys), 0);
}

static int use_what_the_parent_kept(void)
{
    unsigned char one[TR_SHA256_LEN];
    bool fine = tr_sha256(one, tr_str_z("abc")) == APR_SUCCESS && one[0] == 0xba && one[31] == 0xad;
    tr_leave_openssl();
    return fine ? 0 : 1;
}

static void a_child_goes_on_with_what_its_parent_kept(void **state)
{
    unsigned char one[TR_SHA256_LEN];
    (void)state;
    assert_int_equal(tr_sha256(one, tr_str_z("b")), APR_SUCCESS);
    assert_int_equal(tt_in_child(use_what_the_parent_kept), 0);
    assert_int_equal(use_what_the_parent_kept(), 0);
}

#define TEST(claim) cmocka_unit_test_setup_teardown(claim, begin, tt_teardown)

int main(void)
{
    atexit(ask_when_it_is_over);
    const struct CMUnitTest tests[] = {
        TT_TEST(without_a_key_of_the_thread_library_nothing_is_kept_and_all_works),
        TEST(what_a_thread_kept_is_freed_when_it_ends),
        TEST(what_a_thread_kept_is_freed_when_it_leaves_openssl_and_it_may_begin_anew),
        TEST(a_digest_is_the_same_before_and_after_leaving_openssl),
        TEST(a_thread_may_end_after_openssl_has),
        TEST(openssl_does_not_end_while_a_thread_frees_what_it_kept),
        TEST(once_exit_has_begun_openssl_is_asked_for_nothing),
        TEST(a_child_goes_on_with_what_its_parent_kept),
    };
    return TT_RUN(tests);
}
