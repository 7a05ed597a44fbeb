/*
 * Key files that change as fast as they can be written, under threads that verify all the time. A key that is in every version of
 * the file verifies at every moment; one that comes and goes verifies or is unknown; a broken version changes nothing; and memory
 * does not grow with the number of changes.
 */
#include "race_common.h"

#include <inttypes.h>
#include <pthread.h>
#include <unistd.h>

#include <apr_strings.h>

#include "../unit/tr_testing.h"
#include "tr_issuer.h"
#include "tr_reason.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RACE_SANITIZED
#endif
#endif

enum { VERIFIERS = 3, VERSIONS = 4 };

static tr_keyring_t *ring;
static char path[256], fresh[280];
static char *version[VERSIONS]; /* the last one is broken */
static tr_jws_t steady, coming, forged, fixed;
static _Atomic bool stop;
static _Atomic uint64_t verified, known, unknown;
static uint64_t changes, errors;

static void hear(void *baton, const char *where, apr_size_t keys, const char *err)
{
    (void)baton;
    (void)where;
    CLAIM(err != NULL || keys > 0, "a version without keys");
    if (err)
        errors++;
    else
        changes++;
}

static void *verify_on(void *baton)
{
    uint64_t good = 0, bad = 0;
    (void)baton;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        apr_status_t rv = tr_keyring_verify(ring, &steady);
        CLAIM(rv == APR_SUCCESS, "the key that is always there: %d", rv);
        rv = tr_keyring_verify(ring, &fixed);
        CLAIM(rv == APR_SUCCESS, "the key that no file holds: %d", rv);
        rv = tr_keyring_verify(ring, &forged);
        CLAIM(rv == TR_BAD_SIGNATURE, "a forged token: %d", rv);
        rv = tr_keyring_verify(ring, &coming);
        CLAIM(rv == APR_SUCCESS || rv == TR_UNKNOWN_KEY, "the key that comes and goes: %d", rv);
        good += rv == APR_SUCCESS;
        bad += rv == TR_UNKNOWN_KEY;
        CLAIM(tr_keyring_algs(ring) & TR_ALG_BIT(TR_ALG_ED25519), "algorithms");
        atomic_fetch_add_explicit(&verified, 4, memory_order_relaxed);
    }
    atomic_fetch_add(&known, good);
    atomic_fetch_add(&unknown, bad);
    return NULL;
}

static void write_version(const char *text)
{
    FILE *f = fopen(fresh, "w");
    CLAIM(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0, "%s", fresh);
    CLAIM(rename(fresh, path) == 0, "%s", path);
}

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CLAIM(f != NULL && fscanf(f, "%ld %ld", &size, &resident) == 2, "statm");
    fclose(f);
    return resident;
}

static void parse(tr_jws_t *jws, const char *name, const char *kid, apr_pool_t *pool)
{
    const tt_key_t *key = tt_key(name);
    CLAIM(tr_jws_parse(jws, tr_str_z(tt_mint(pool, tt_alg(key), key, kid, "{\"iss\":\"joe\"}")), pool) == APR_SUCCESS, "%s",
          name);
}

static void prepare(apr_pool_t *pool)
{
    const char *why = "", *tmp = getenv("TMPDIR");
    char *always = tt_jwk(pool, tt_key("Ed25519"), ",\"kid\":\"steady\"");
    char *at_times = tt_jwk(pool, tt_key("P-256"), ",\"kid\":\"coming\"");
    version[0] = tt_jwks(pool, always, at_times, NULL);
    version[1] = tt_jwks(pool, always, NULL);
    version[2] = tt_jwks(pool, tt_jwk(pool, tt_key("oct32"), ""), at_times, always, tt_jwk(pool, tt_key("RSA2048"), ""), NULL);
    version[3] = apr_pstrndup(pool, version[0], strlen(version[0]) / 2);
    parse(&steady, "Ed25519", "steady", pool);
    parse(&coming, "P-256", "coming", pool);
    parse(&forged, "Ed25519#forged", "steady", pool);
    parse(&fixed, "oct64", "fixed", pool);
    snprintf(path, sizeof path, "%s/race_keyring.%ld.json", tmp ? tmp : "/tmp", (long)getpid());
    snprintf(fresh, sizeof fresh, "%s.new", path);
    write_version(version[0]);
    ring = tr_keyring_make(pool);
    CLAIM(tr_keyring_add_file(ring, &why, path) == APR_SUCCESS, "%s", why);
    tr_keyring_add(ring, tt_read_jwk(pool, tt_jwk(pool, tt_key("oct64"), ",\"kid\":\"fixed\"")));
}

/* Change the file and look at it until the time is over. Returns how often it was written. */
static uint64_t rotate(double seconds)
{
    uint64_t rounds = 0, seed = 3;
    long warm = 0;
    double end = now_s() + seconds;
    for (; now_s() < end || rounds < 200; rounds++) {
        write_version(version[below(&seed, VERSIONS)]);
        tr_keyring_refresh(ring, apr_time_now() + (apr_time_t)rounds * 1000000, hear, NULL);
        if (rounds == 150)
            warm = resident_pages();
    }
    /* 3 KiB a change would be a leak of the key set; the pages of a sanitizer's own books are not ours. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(RACE_SANITIZED)
    CLAIM(resident_pages() - warm < 2048 + (long)(rounds / 16), "grew by %ld pages in %" PRIu64 " changes",
          resident_pages() - warm, rounds);
#endif
    (void)warm;
    return rounds;
}

int main(void)
{
    pthread_t threads[VERIFIERS];
    apr_pool_t *pool;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    prepare(pool);
    for (int i = 0; i < VERIFIERS; i++)
        CLAIM(pthread_create(&threads[i], NULL, verify_on, NULL) == 0, "thread %d", i);
    uint64_t rounds = rotate(setting("TR_SECONDS", 10));
    atomic_store(&stop, true);
    for (int i = 0; i < VERIFIERS; i++)
        pthread_join(threads[i], NULL);
    unlink(path);
    printf("race_keyring: %" PRIu64 " verified while the file changed %" PRIu64 " times (%" PRIu64 " read, %" PRIu64 " broken)\n",
           atomic_load(&verified), rounds, changes, errors);
    CLAIM(changes > 0 && errors > 0 && atomic_load(&known) > 0 && atomic_load(&unknown) > 0, "a case was not met");
    tt_keys_free();
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
