/*
 * Names that were chosen to meet in one place of a hash table: they do so under one key only, and nobody knows ours.
 */
#include "tr_table.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>
#include <jansson.h>

#include "tr_json.h"
#include "tr_table_layout.h"
#include "tr_testing_cmocka.h"

#define CAPACITY 5000
#define CHOSEN 64
#define ISS "https://idp.example.com/"

/* ---- the table of revocations ------------------------------------------------------------------------------ */

static tr_table_t *create(apr_pool_t *pool)
{
    apr_size_t size = tr_table_size(CAPACITY);
    void *base = NULL;
    tr_table_t *table = NULL;
    assert_int_equal(posix_memalign(&base, 4096, size), 0);
    memset(base, 0, size);
    assert_int_equal(tr_table_create(&table, base, size, CAPACITY, NULL, pool), APR_SUCCESS);
    return table;
}

static uint32_t home(const tr_table_t *table, int n)
{
    char name[32];
    snprintf(name, sizeof name, "jti-%d", n);
    return home_of(table, tr_table_mark(table, TR_KIND_TOKEN, tr_str_z(ISS), tr_str_z(name)).h[0]);
}

static void jti_that_meet_in_one_table_do_not_in_the_next(void **state)
{
    tr_table_t *one = create(*state), *next = create(*state);
    int chosen[CHOSEN];
    int n = 0, meet = 0;
    for (int i = 0; n < CHOSEN; i++)
        if (home(one, i) == 7)
            chosen[n++] = i;
    for (int i = 0; i < CHOSEN; i++)
        for (int j = 0; j < i; j++)
            meet += home(next, chosen[i]) == home(next, chosen[j]);
    /* Of 2016 pairs in some 3000 places less than one meets by chance. */
    assert_true(meet < 20);
    free(one->head);
    free(next->head);
}

/* ---- members of JSON objects: the library's hash is Bob Jenkins' lookup3, begun with a seed ---------------- */

#define MEMBERS 2000
#define SEED 12345
#define PLACES_MASK 4095

static uint32_t rotated(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static uint32_t hash_of_12(const char *text, uint32_t seed)
{
    uint32_t w[3];
    uint32_t a = 0xdeadbeef + 12 + seed, b = a, c = a;
    memcpy(w, text, 12);
    a += w[0], b += w[1], c += w[2];
    c ^= b, c -= rotated(b, 14);
    a ^= c, a -= rotated(c, 11);
    b ^= a, b -= rotated(a, 25);
    c ^= b, c -= rotated(b, 16);
    a ^= c, a -= rotated(c, 4);
    b ^= a, b -= rotated(a, 14);
    c ^= b, c -= rotated(b, 24);
    return c;
}

/* An object with names that meet under SEED; an escape leads past our own reader, which knows plain JSON. */
static char *colliding(bool chosen, apr_pool_t *pool)
{
    char *text = apr_palloc(pool, MEMBERS * 20 + 32), *to = text, name[16];
    to += sprintf(to, "{\"\\u0061\":0");
    for (unsigned i = 0, n = 0; n < MEMBERS; i++) {
        snprintf(name, sizeof name, "k%011u", i);
        if (!chosen || (hash_of_12(name, SEED) & PLACES_MASK) == 7) {
            to += sprintf(to, ",\"%s\":0", name);
            n++;
        }
    }
    strcpy(to, "}");
    return text;
}

static long cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* In a process of its own, because a seed is taken once. */
static long cost(const char *text, bool seeded, apr_pool_t *pool)
{
    int ends[2];
    long took = -1;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        const tr_json_t *document;
        if (seeded)
            json_object_seed(SEED);
        apr_status_t first = tr_json_parse(&document, tr_str_z("{\"\\u0061\":0}"), pool);
        json_object_seed(SEED); /* too late where a seed was taken */
        long before = cpu_us();
        for (int i = 0; i < 5 && first == APR_SUCCESS; i++)
            first = tr_json_parse(&document, tr_str_z(text), pool);
        took = cpu_us() - before;
        _exit(first == APR_SUCCESS && write(ends[1], &took, sizeof took) == sizeof took ? 0 : 1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &took, sizeof took), sizeof took);
    close(ends[0]);
    waitpid(child, NULL, 0);
    return took;
}

/* Interrupts and an empty cache only add. */
static long least(const char *text, bool seeded, apr_pool_t *pool)
{
    long best = cost(text, seeded, pool);
    for (int i = 0; i < 2; i++) {
        long took = cost(text, seeded, pool);
        best = took < best ? took : best;
    }
    return best;
}

static void names_that_meet_under_a_known_seed_do_not_under_ours(void **state)
{
#ifdef __SANITIZE_THREAD__
    skip(); /* it slows allocations down more than comparisons, and looks for races, of which there are none here */
#endif
    char *chosen = colliding(true, *state), *any = colliding(false, *state);
    long known = least(chosen, true, *state), ours = least(chosen, false, *state), plain = least(any, false, *state);
    print_message("known seed %ld us, ours %ld us, any names %ld us\n", known, ours, plain);
    assert_true(known > 4 * ours); /* the attack works where the seed is known */
    assert_true(ours < 3 * plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(jti_that_meet_in_one_table_do_not_in_the_next),
        TT_TEST(names_that_meet_under_a_known_seed_do_not_under_ours),
    };
    return TT_RUN(tests);
}
