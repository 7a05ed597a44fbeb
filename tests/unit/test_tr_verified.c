/*
 * The verified-token cache in one process: what is found, what never is, and who gives up his place.
 */
#include "tr_verified.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tr_limits.h"
#include "tr_testing_cmocka.h"

#define NOW 1700000000

typedef struct segment_t {
    void *base;
    apr_size_t size;
} segment_t;

static apr_status_t release(void *base)
{
    free(base);
    return APR_SUCCESS;
}

static segment_t segment(apr_size_t size, apr_pool_t *pool)
{
    segment_t s = {NULL, size};
    assert_int_equal(posix_memalign(&s.base, 64, size ? size : 1), 0);
    memset(s.base, 0, size);
    apr_pool_cleanup_register(pool, s.base, release, apr_pool_cleanup_null);
    return s;
}

static tr_verified_t *create(uint32_t tokens, apr_pool_t *pool)
{
    segment_t s = segment(tr_verified_size(tokens), pool);
    tr_verified_t *verified = NULL;
    assert_int_equal(tr_verified_create(&verified, s.base, s.size, tokens, pool), APR_SUCCESS);
    return verified;
}

static tr_mark_t mark_of(const tr_verified_t *verified, const char *text)
{
    return tr_verified_mark(verified, tr_str_z("generation"), tr_str_z(text));
}

static void put(const tr_verified_t *verified, const char *text, int64_t expires_s)
{
    tr_verified_put(verified, mark_of(verified, text), expires_s, NOW);
}

static bool has(const tr_verified_t *verified, const char *text)
{
    return tr_verified_has(verified, mark_of(verified, text));
}

static char *name(apr_pool_t *pool, unsigned i)
{
    return tt_print(pool, "token-%u", i);
}

static void a_new_memory_holds_nothing(void **state)
{
    tr_verified_t *verified = create(100, *state);
    assert_false(has(verified, "a"));
    assert_false(has(verified, ""));
    assert_false(tr_verified_has(verified, (tr_mark_t){{0, 0}}));
    assert_false(tr_verified_has(verified, (tr_mark_t){{UINT64_MAX, UINT64_MAX}}));
}

static void what_was_put_is_found_and_nothing_else(void **state)
{
    tr_verified_t *verified = create(1000, *state);
    for (unsigned i = 0; i < 500; i++) {
        put(verified, name(*state, i), NOW + 60);
        assert_true(has(verified, name(*state, i)));
    }
    for (unsigned i = 500; i < 20000; i++)
        assert_false(has(verified, name(*state, i)));
}

static void every_bit_of_a_mark_counts(void **state)
{
    tr_verified_t *verified = create(1, *state); /* one set: the place is the same for all */
    tr_mark_t mark = mark_of(verified, "a");
    put(verified, "a", NOW + 60);
    for (int i = 0; i < 128; i++) {
        tr_mark_t other = mark;
        other.h[i / 64] ^= UINT64_C(1) << i % 64;
        assert_false(tr_verified_has(verified, other));
    }
    assert_true(tr_verified_has(verified, mark));
    assert_false(tr_verified_has(verified, (tr_mark_t){{mark.h[0], 0}}));
    assert_false(tr_verified_has(verified, (tr_mark_t){{0, mark.h[1]}}));
    assert_false(tr_verified_has(verified, (tr_mark_t){{mark.h[1], mark.h[0]}}));
}

static void zeros_are_never_found_even_where_they_were_put(void **state)
{
    tr_verified_t *verified = create(1, *state);
    tr_verified_put(verified, (tr_mark_t){{0, 0}}, NOW + 60, NOW);
    assert_false(tr_verified_has(verified, (tr_mark_t){{0, 0}}));
}

static bool differs(tr_mark_t a, tr_mark_t b)
{
    return a.h[0] != b.h[0] && a.h[1] != b.h[1];
}

static void a_mark_is_of_one_text_one_generation_and_one_memory(void **state)
{
    tr_verified_t *one = create(10, *state), *two = create(10, *state);
    tr_str_t gen = tr_str_z("generation"), text = tr_str_z("header.payload.signature");
    tr_mark_t mark = tr_verified_mark(one, gen, text);
    assert_false(differs(mark, tr_verified_mark(one, gen, text)));
    assert_true(differs(mark, tr_verified_mark(two, gen, text)));
    assert_true(differs(mark, tr_verified_mark(one, tr_str_z("generatioN"), text)));
    assert_true(differs(mark, tr_verified_mark(one, tr_str_z("generation\1"), text)));
    assert_true(differs(mark, tr_verified_mark(one, tr_str_z("generatio"), tr_str_z("nheader.payload.signature"))));
    assert_true(differs(mark, tr_verified_mark(one, gen, tr_str(text.data, text.len - 1))));
    assert_true(differs(mark, tr_verified_mark(one, gen, tr_str(text.data, text.len + 1)))); /* with its NUL */
    for (apr_size_t bit = 0; bit < text.len * 8; bit++) {
        char *other = tr_str_dup_z(text, *state);
        other[bit / 8] ^= (char)(1 << bit % 8);
        assert_true(differs(mark, tr_verified_mark(one, gen, tr_str(other, text.len))));
    }
}

static void of_as_many_as_were_asked_for_nearly_all_are_found(void **state)
{
    enum { TOKENS = 20000 };
    tr_verified_t *verified = create(TOKENS, *state);
    unsigned found = 0;
    for (unsigned i = 0; i < TOKENS; i++)
        put(verified, name(*state, i), NOW + 60);
    for (unsigned i = 0; i < TOKENS; i++)
        found += has(verified, name(*state, i));
    assert_in_range(found, TOKENS * 95 / 100, TOKENS);
}

/* How many of the texts from a to below b are there. */
static unsigned count(const tr_verified_t *verified, unsigned a, unsigned b, apr_pool_t *pool)
{
    unsigned found = 0;
    for (; a < b; a++)
        found += has(verified, name(pool, a));
    return found;
}

static void a_text_takes_one_place_however_often_it_is_put(void **state)
{
    tr_verified_t *verified = create(1, *state);
    for (unsigned i = 0; i < 4; i++)
        put(verified, name(*state, i), NOW + 60);
    for (unsigned i = 0; i < 100; i++)
        put(verified, name(*state, i % 4), NOW + 60 + i);
    assert_int_equal(count(verified, 0, 4, *state), 4);
}

static void an_expired_one_gives_up_its_place_first(void **state)
{
    tr_verified_t *verified = create(1, *state);
    for (unsigned i = 0; i < 4; i++)
        put(verified, name(*state, i), NOW + (i == 2 ? 5 : 60));
    tr_verified_put(verified, mark_of(verified, "new"), NOW + 60, NOW + 4);
    assert_true(has(verified, "new"));
    assert_int_equal(count(verified, 0, 4, *state), 3);
    verified = create(1, *state);
    for (unsigned i = 0; i < 4; i++)
        put(verified, name(*state, i), NOW + (i == 2 ? 5 : 60));
    tr_verified_put(verified, mark_of(verified, "new"), NOW + 60, NOW + 5);
    assert_true(has(verified, "new"));
    assert_false(has(verified, name(*state, 2)));
    assert_int_equal(count(verified, 0, 4, *state), 3);
}

static void who_is_put_last_is_found_whoever_was_there(void **state)
{
    tr_verified_t *verified = create(1, *state);
    static const int64_t ends[] = {NOW + 60, NOW + 1, INT64_MAX, 0, -1, INT64_MIN, UINT32_MAX, (int64_t)UINT32_MAX + 1};
    for (unsigned i = 0; i < 2000; i++) {
        put(verified, name(*state, i), ends[i % (sizeof ends / sizeof *ends)]);
        assert_true(has(verified, name(*state, i)));
        assert_in_range(count(verified, i < 10 ? 0 : i - 10, i + 1, *state), 1, 4);
    }
}

static void who_lives_long_does_not_keep_his_place_for_ever(void **state)
{
    tr_verified_t *verified = create(1, *state);
    for (unsigned i = 0; i < 4; i++)
        put(verified, name(*state, i), INT64_MAX);
    for (unsigned i = 4; i < 200; i++)
        put(verified, name(*state, i), NOW + 60);
    assert_in_range(count(verified, 0, 4, *state), 0, 1); /* the one that never lost against another */
    assert_true(count(verified, 4, 200, *state) >= 3);
}

static void a_second_handle_sees_the_same_memory(void **state)
{
    segment_t s = segment(tr_verified_size(50), *state);
    tr_verified_t *one, *two;
    assert_int_equal(tr_verified_create(&one, s.base, s.size, 50, *state), APR_SUCCESS);
    assert_int_equal(tr_verified_attach(&two, s.base, s.size, *state), APR_SUCCESS);
    assert_false(differs(mark_of(one, "a"), mark_of(two, "a")));
    put(one, "a", NOW + 60);
    assert_true(has(two, "a"));
}

static void what_is_no_memory_is_refused(void **state)
{
    segment_t s = segment(tr_verified_size(50), *state);
    tr_verified_t *out = NULL;
    uint32_t *word = s.base;
    assert_int_equal(tr_verified_attach(&out, s.base, s.size, *state), APR_EINVAL);
    assert_int_equal(tr_verified_create(&out, s.base, s.size - 1, 50, *state), APR_EINVAL);
    assert_int_equal(tr_verified_create(&out, s.base, s.size, 0, *state), APR_EINVAL);
    assert_int_equal(tr_verified_create(&out, s.base, SIZE_MAX, TR_MAX_VERIFIED + 1, *state), APR_EINVAL);
    assert_int_equal(tr_verified_create(&out, (char *)s.base + 8, s.size, 10, *state), APR_EINVAL);
    assert_int_equal(tr_verified_create(&out, s.base, s.size, 50, *state), APR_SUCCESS);
    assert_int_equal(tr_verified_attach(&out, s.base, s.size - 1, *state), APR_EINVAL);
    assert_int_equal(tr_verified_attach(&out, s.base, 0, *state), APR_EINVAL);
    assert_int_equal(tr_verified_attach(&out, s.base, s.size, *state), APR_SUCCESS);
    for (int i = 0; i < 4; i++) { /* magic, magic, version, tokens */
        word[i] ^= 0x10000000;
        assert_int_equal(tr_verified_attach(&out, s.base, s.size, *state), APR_EINVAL);
        word[i] ^= 0x10000000;
    }
    word[3] = 0;
    assert_int_equal(tr_verified_attach(&out, s.base, s.size, *state), APR_EINVAL);
}

static _Atomic bool stop;

/* As a process of httpd's might that somebody has taken over. */
static void *change_the_number_of_tokens(void *word)
{
    for (uint32_t n = 1; !atomic_load(&stop); n = 1001 - n)
        atomic_store((_Atomic uint32_t *)word, n);
    return NULL;
}

static int attach_and_look(void *base, apr_size_t size, apr_pool_t *pool)
{
    pthread_t thread;
    int attached = 0;
    signal(SIGSEGV, SIG_DFL); /* cmocka's handler would go on with the tests */
    if (pthread_create(&thread, NULL, change_the_number_of_tokens, (uint32_t *)base + 3) != 0)
        return 1;
    for (time_t end = time(NULL) + 2; attached < 500000 && time(NULL) < end;) {
        tr_verified_t *verified;
        apr_pool_clear(pool);
        if (tr_verified_attach(&verified, base, size, pool) == APR_SUCCESS) {
            attached++;
            (void)tr_verified_has(verified, (tr_mark_t){{UINT64_MAX, 1}}); /* the last set */
        }
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    return attached > 0 ? 0 : 2;
}

static void a_number_that_changes_while_it_is_attached_leads_nowhere_else(void **state)
{
    apr_size_t page = (apr_size_t)sysconf(_SC_PAGESIZE), beyond = tr_verified_size(1000);
    char *base = mmap(NULL, page + beyond, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    tr_verified_t *verified;
    int status;
    assert_true(base != MAP_FAILED && mprotect(base, page, PROT_READ | PROT_WRITE) == 0);
    assert_int_equal(tr_verified_create(&verified, base, tr_verified_size(1), 1, *state), APR_SUCCESS);
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0)
        _exit(attach_and_look(base, tr_verified_size(1), *state));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    munmap(base, page + beyond);
}

static void a_token_takes_forty_bytes(void **state)
{
    (void)state;
    assert_int_equal(tr_verified_size(1), 64 + 80);
    assert_int_equal(tr_verified_size(65536), 64 + 65536 * 40);
    assert_int_equal(tr_verified_size(TR_MAX_VERIFIED), 64 + (apr_size_t)TR_MAX_VERIFIED * 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_new_memory_holds_nothing),
        TT_TEST(what_was_put_is_found_and_nothing_else),
        TT_TEST(every_bit_of_a_mark_counts),
        TT_TEST(zeros_are_never_found_even_where_they_were_put),
        TT_TEST(a_mark_is_of_one_text_one_generation_and_one_memory),
        TT_TEST(of_as_many_as_were_asked_for_nearly_all_are_found),
        TT_TEST(a_text_takes_one_place_however_often_it_is_put),
        TT_TEST(an_expired_one_gives_up_its_place_first),
        TT_TEST(who_is_put_last_is_found_whoever_was_there),
        TT_TEST(who_lives_long_does_not_keep_his_place_for_ever),
        TT_TEST(a_second_handle_sees_the_same_memory),
        TT_TEST(what_is_no_memory_is_refused),
        TT_TEST(a_number_that_changes_while_it_is_attached_leads_nowhere_else),
        TT_TEST(a_token_takes_forty_bytes),
    };
    return TT_RUN(tests);
}
