/*
 * Where OpenSSL, jansson or memory fails, at whichever call: a forged, an expired or a revoked token is never let in, a good one is
 * let in or we are broken, and when nothing fails any more everything is as before.
 */
#include "tr_gate.h"

#include <apr_strings.h>
#include <pthread.h>

#include "tr_digest.h"
#include "tr_reason.h"
#include "tr_recent.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_failing.h"
#include "tr_testing_gate.h"

enum { ALL = TT_CRYPTO | TT_MEMORY | TT_JSON, MOST_CALLS = 2000 };

static const struct {
    const char *alg, *key;
} table[] = {{"RS256", "RSA2048"}, {"PS384", "RSA2048"}, {"ES256", "P-256"}, {"ES384", "P-384"}, {"ES512", "P-521"},
             {"EdDSA", "Ed25519"}, {"EdDSA", "Ed448"},   {"HS256", "oct64"}, {"HS384", "oct64"}, {"HS512", "oct64"}};
enum { ROWS = sizeof table / sizeof *table };

/* Something that is done in a thread of its own, which has kept nothing yet. */
typedef struct job_t {
    apr_status_t (*what)(struct job_t *job);
    int kinds, nth;
    bool for_good;
    const char *failed; /* the call that did; NULL: none */
    apr_status_t status;
    const char *text;  /* a token, a key or a key set */
    int count, wanted; /* keys that were read, and are in it */
    tr_alg_set_t algs, wanted_algs;
    bool has_reason;
    int passes, lies; /* how often it passed the gate, and was not whose it is */
    const tr_key_t *key;
    const tt_world_t *world;
    apr_pool_t *pool;
} job_t;

static void *run_job(void *data)
{
    job_t *job = data;
    tt_fail(job->kinds, job->nth, job->for_good);
    job->status = job->what(job);
    job->failed = tt_fail_no_more();
    return NULL;
}

static apr_status_t once(job_t *job, int nth, bool for_good)
{
    pthread_t thread;
    job->nth = nth;
    job->for_good = for_good;
    apr_pool_create(&job->pool, NULL);
    assert_int_equal(pthread_create(&thread, NULL, run_job, job), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    apr_pool_destroy(job->pool);
    return job->status;
}

/* Do it again and again, where another call fails each time, until none is left to fail. */
static void at_every_call(job_t *job, bool for_good, void (*judge)(const job_t *job))
{
    int n = 1;
    for (; n <= MOST_CALLS; n++) {
        once(job, n, for_good);
        judge(job);
        if (job->failed == NULL)
            break;
    }
    assert_in_range(n, 2, MOST_CALLS); /* something did fail */
}

/* ---- signatures ---------------------------------------------------------------------------------------------- */

static apr_status_t verify(job_t *job)
{
    tr_jws_t jws;
    apr_status_t rv = tr_jws_parse(&jws, tr_str_z(job->text), job->pool);
    return rv == APR_SUCCESS ? tr_jws_verify(&jws, job->key) : rv;
}

static void is_never_good(const job_t *job)
{
    if (job->status == APR_SUCCESS)
        fail_msg("good, when %s failed: %s", job->failed ? job->failed : "nothing", job->text);
}

/* Some failures do not matter, as where a copy cannot be made of a key. */
static void is_good_or_fails(const job_t *job)
{
    if (job->failed == NULL)
        assert_int_equal(job->status, APR_SUCCESS);
    else if (tr_is_refusal(job->status))
        fail_msg("refused with %d, when %s failed", job->status, job->failed);
}

static void make_case(job_t *good, job_t *forged, int row, apr_pool_t *pool)
{
    const tt_key_t *pair = tt_key(table[row].key), *other = tt_key(tt_print(pool, "%s#forger", table[row].key));
    job_t job = {.what = verify, .kinds = ALL, .key = tt_read_jwk(pool, tt_jwk(pool, pair, ""))};
    *good = *forged = job;
    good->text = tt_mint(pool, table[row].alg, pair, NULL, "{\"iss\":\"joe\"}");
    forged->text = tt_mint(pool, table[row].alg, other, NULL, "{\"iss\":\"joe\"}");
}

static void a_forged_signature_is_never_good_whatever_fails(void **state)
{
    for (int i = 0; i < ROWS; i++) {
        job_t good, forged;
        make_case(&good, &forged, i, *state);
        at_every_call(&forged, false, is_never_good);
        at_every_call(&forged, true, is_never_good);
        assert_int_equal(once(&forged, 0, false), TR_BAD_SIGNATURE);
    }
}

static void a_good_signature_is_good_or_we_are_broken_and_good_again_afterwards(void **state)
{
    for (int i = 0; i < ROWS; i++) {
        job_t good, forged;
        make_case(&good, &forged, i, *state);
        for (int json = 0; json < 2; json++) {
            good.kinds = json ? TT_JSON : TT_CRYPTO | TT_MEMORY;
            at_every_call(&good, false, is_good_or_fails);
            at_every_call(&good, true, is_good_or_fails);
        }
        assert_int_equal(once(&good, 0, false), APR_SUCCESS);
    }
}

/* The same thread afterwards: nothing half made is kept in it. */
static apr_status_t verify_after_failing(job_t *job)
{
    (void)verify(job);
    (void)tt_fail_no_more();
    return verify(job);
}

static void a_thread_keeps_nothing_of_what_failed(void **state)
{
    for (int i = 0; i < ROWS; i++) {
        job_t good, forged;
        make_case(&good, &forged, i, *state);
        good.what = forged.what = verify_after_failing;
        for (int n = 1; n < 40; n++) {
            assert_int_equal(once(&good, n, n % 2), APR_SUCCESS);
            assert_int_equal(once(&forged, n, n % 2), TR_BAD_SIGNATURE);
        }
    }
}

/* ---- keys ---------------------------------------------------------------------------------------------------- */

static apr_status_t read_set(job_t *job)
{
    tr_keys_t *keys = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_keys_from_jwks(&keys, &why, tr_str_z(job->text), job->pool);
    job->count = rv == APR_SUCCESS ? (int)keys->count : -1;
    job->algs = job->count == 1 ? tr_key_algs(keys->key[0]) : 0;
    job->has_reason = why != NULL;
    return rv;
}

static apr_status_t read_pem(job_t *job)
{
    const tr_key_t *key = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_key_from_pem(&key, &why, tr_str_z(job->text), tr_str("", 0), job->pool);
    job->count = rv == APR_SUCCESS ? 1 : -1;
    job->algs = job->count == 1 ? tr_key_algs(key) : 0;
    job->has_reason = why != NULL;
    return rv;
}

/* A set that has silently lost a key would refuse good tokens until somebody reads it anew. */
static void is_whole_or_says_why(const job_t *job)
{
    if (job->failed == NULL)
        assert_int_equal(job->status, APR_SUCCESS);
    if (job->status != APR_SUCCESS && !job->has_reason)
        fail_msg("no reason is given, when %s failed", job->failed);
    if (job->status == APR_SUCCESS && (job->count != job->wanted || job->algs != job->wanted_algs))
        fail_msg("%d keys of %d, algorithms %x of %x, when %s failed: %s", job->count, job->wanted, (unsigned)job->algs,
                 (unsigned)job->wanted_algs, job->failed, job->text);
}

static void expect_whole(job_t job)
{
    assert_int_equal(once(&job, 0, false), APR_SUCCESS);
    job.wanted = job.count;
    job.wanted_algs = job.algs;
    assert_true(job.wanted >= 1);
    at_every_call(&job, false, is_whole_or_says_why);
    at_every_call(&job, true, is_whole_or_says_why);
}

static void keys_are_read_as_they_are_or_not_at_all(void **state)
{
    static const char *const names[] = {"RSA2048", "P-256", "P-521", "Ed25519", "Ed448", "oct64"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const tt_key_t *pair = tt_key(names[i]);
        expect_whole((job_t){.what = read_set, .kinds = ALL, .text = tt_jwks(*state, tt_jwk(*state, pair, ""), NULL)});
        if (pair->pkey != NULL)
            expect_whole((job_t){.what = read_pem, .kinds = ALL, .text = tt_pem(*state, pair)});
    }
    expect_whole((job_t){.what = read_pem, .kinds = ALL, .text = tt_certificate(*state, tt_key("P-256"))});
    expect_whole((job_t){.what = read_set,
                         .kinds = ALL,
                         .text = tt_jwks(*state, tt_jwk(*state, tt_key("RSA2048"), ",\"kid\":\"a\""),
                                         tt_jwk(*state, tt_key("Ed25519"), ",\"kid\":\"b\""),
                                         tt_jwk(*state, tt_key("P-256"), ",\"kid\":\"c\""), NULL)});
}

static void is_never_taken(const job_t *job)
{
    if (job->status == APR_SUCCESS && job->count > 0)
        fail_msg("taken, when %s failed: %s", job->failed ? job->failed : "nothing", job->text);
}

static void a_weak_or_broken_key_is_never_taken_whatever_fails(void **state)
{
    static const char *const jwks[] = {
        /* the neutral element, and a point of order 8 (RFC 8032 5.1) */
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o\"}",
        /* no point of P-256 */
        ("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
         "\"y\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"),
        "{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}",
    };
    for (size_t i = 0; i < sizeof jwks / sizeof *jwks; i++) {
        job_t job = {.what = read_set, .kinds = ALL, .text = tt_jwks(*state, jwks[i], NULL)};
        at_every_call(&job, false, is_never_taken);
        at_every_call(&job, true, is_never_taken);
    }
    const tt_key_t *small = tt_key("RSA1024");
    job_t weak[] = {{.what = read_set, .kinds = ALL, .text = tt_jwks(*state, tt_jwk(*state, small, ""), NULL)},
                    {.what = read_pem, .kinds = ALL, .text = tt_pem(*state, small)}};
    for (int i = 0; i < 2; i++) {
        at_every_call(&weak[i], false, is_never_taken);
        at_every_call(&weak[i], true, is_never_taken);
    }
}

/* ---- the gate ------------------------------------------------------------------------------------------------ */

/* Shown often enough to be remembered, and asked for all that can be remembered of it. */
static apr_status_t admit_thrice(job_t *job)
{
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; i < 3; i++) {
        tr_identity_t id;
        apr_pool_t *request;
        apr_pool_create(&request, job->pool);
        rv = tr_gate_admit(&id, &job->world->gate, tr_str_z(job->text), "sub", TT_AT(TT_NOW), request);
        job->passes += rv == APR_SUCCESS;
        if (rv == APR_SUCCESS) {
            const char *header = NULL;
            const tr_json_t *payload = tr_recent_payload(&id, request);
            const apr_array_header_t *variables = tr_recent_variables(&id, "T_", request);
            job->lies += strcmp(id.user, "alice") != 0;
            job->lies += tr_recent_header(&header, &id, "sub", request) == APR_SUCCESS && header && strcmp(header, "alice") != 0;
            job->lies += payload == NULL && job->nth == 0;
            job->lies += variables->nelts == 0 && job->nth == 0;
        }
        apr_pool_destroy(request);
    }
    return rv;
}

static tt_world_t *world_of_kinds(apr_pool_t *pool)
{
    tt_world_t *world = tt_world(pool, 100);
    tr_entry_t opaque, family;
    tt_remember(world, 64, 4000000);
    world->gate.verified = tt_verified(pool, 1000);
    /* Entries of kinds that need a digest, so that one is made of each token. */
    assert_int_equal(tr_gate_entry_opaque(&opaque, tr_str_z("opaque"), TT_NOW + 3600, pool), APR_SUCCESS);
    tt_revoke(world, &opaque);
    tr_gate_family_entry(&family, 4711, TT_NOW + 3600, pool);
    tt_revoke(world, &family);
    return world;
}

static void own_entry(tr_entry_t *entry, const tt_world_t *world, const char *token, apr_pool_t *pool)
{
    static const tr_keep_t keep = {60, 0};
    tr_token_t read;
    assert_int_equal(tr_gate_recognize(&read, &world->gate, tr_str_z(token), TT_AT(TT_NOW), pool), APR_SUCCESS);
    assert_int_equal(tr_gate_entry(entry, &read, &keep, pool), APR_SUCCESS);
}

static void revoke_token(const tt_world_t *world, const char *token, apr_pool_t *pool)
{
    tr_entry_t entry;
    own_entry(&entry, world, token, pool);
    tt_revoke(world, &entry);
}

static void never_passes(const job_t *job)
{
    if (job->passes > 0)
        fail_msg("passed, when %s failed", job->failed ? job->failed : "nothing");
}

/* With a new memory each time, so that each way through it is gone. */
static void expect_never(const char *(*make)(const tt_world_t *world, apr_pool_t *pool), apr_pool_t *pool)
{
    for (int for_good = 0; for_good < 2; for_good++) {
        for (int n = 1; n <= MOST_CALLS; n++) {
            apr_pool_t *one;
            apr_pool_create(&one, pool);
            tt_world_t *world = world_of_kinds(one);
            job_t job = {.what = admit_thrice, .kinds = ALL, .world = world, .text = make(world, one)};
            once(&job, n, for_good);
            never_passes(&job);
            const char *failed = job.failed;
            once(&job, 0, false);
            never_passes(&job);
            apr_pool_destroy(one);
            if (failed == NULL)
                break;
            assert_true(n < MOST_CALLS);
        }
    }
}

static const char *make_revoked(const tt_world_t *world, apr_pool_t *pool)
{
    const char *token = tt_good_token(pool, "j", "");
    revoke_token(world, token, pool);
    return token;
}

/* One that has no name but its digest. */
static const char *make_nameless_and_revoked(const tt_world_t *world, apr_pool_t *pool)
{
    const char *token = tt_good_token(pool, NULL, "");
    revoke_token(world, token, pool);
    return token;
}

/* Revoked by somebody who could not read it. */
static const char *make_revoked_unread(const tt_world_t *world, apr_pool_t *pool)
{
    const char *token = tt_good_token(pool, "j", "");
    tr_entry_t entry;
    tr_str_t text;
    assert_int_equal(tr_gate_opaque_text(&text, tr_str_z(token), TR_UNKNOWN_ISSUER, pool), APR_SUCCESS);
    assert_int_equal(tr_gate_entry_opaque(&entry, text, TT_NOW + 3600, pool), APR_SUCCESS);
    tt_revoke(world, &entry);
    return token;
}

static const char *make_of_a_revoked_family(const tt_world_t *world, apr_pool_t *pool)
{
    const char *token = tt_good_token(pool, "j", "");
    tr_entry_t own, member;
    own_entry(&own, world, token, pool);
    assert_int_equal(tr_gate_member(&member, &own, 4711, pool), APR_SUCCESS);
    tt_revoke(world, &member);
    return token;
}

/* Known to this process from before it was revoked. */
static const char *make_known_and_revoked(const tt_world_t *world, apr_pool_t *pool)
{
    const char *token = tt_good_token(pool, "j", "");
    job_t job = {.what = admit_thrice, .world = world, .text = token};
    assert_int_equal(once(&job, 0, false), APR_SUCCESS);
    revoke_token(world, token, pool);
    return token;
}

static const char *make_forged(const tt_world_t *world, apr_pool_t *pool)
{
    (void)world;
    return tt_mint(pool, "ES256", tt_key("P-256#forger"), "k", tt_claims(pool, "j", ""));
}

static void a_revoked_token_never_passes_whatever_fails(void **state)
{
    expect_never(make_revoked, *state);
    expect_never(make_nameless_and_revoked, *state);
    expect_never(make_revoked_unread, *state);
    expect_never(make_of_a_revoked_family, *state);
}

static void a_forged_token_never_passes_whatever_fails(void **state)
{
    expect_never(make_forged, *state);
}

static void a_remembered_token_that_is_revoked_never_passes_whatever_fails(void **state)
{
    expect_never(make_known_and_revoked, *state);
}

static void a_good_token_passes_or_we_are_broken_and_passes_afterwards(void **state)
{
    const char *token = tt_good_token(*state, "j", "");
    for (int way = 0; way < 4; way++) {
        bool for_good = way % 2;
        int kinds = way / 2 ? TT_JSON : TT_CRYPTO | TT_MEMORY;
        job_t job = {.failed = ""};
        for (int n = 1; job.failed != NULL; n++) {
            apr_pool_t *one;
            apr_pool_create(&one, *state);
            job = (job_t){.what = admit_thrice, .kinds = kinds, .world = world_of_kinds(one), .text = token};
            once(&job, n, for_good);
            if (job.failed && tr_is_refusal(job.status))
                fail_msg("refused with %d, when %s failed", job.status, job.failed);
            if (job.lies > 0)
                fail_msg("another user's claims, when %s failed", job.failed);
            const char *failed = job.failed;
            assert_int_equal(once(&job, 0, false), APR_SUCCESS);
            assert_int_equal(job.lies, 0);
            job.failed = failed;
            apr_pool_destroy(one);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_forged_signature_is_never_good_whatever_fails),
        TT_TEST(a_good_signature_is_good_or_we_are_broken_and_good_again_afterwards),
        TT_TEST(a_thread_keeps_nothing_of_what_failed),
        TT_TEST(keys_are_read_as_they_are_or_not_at_all),
        TT_TEST(a_weak_or_broken_key_is_never_taken_whatever_fails),
        TT_TEST(a_revoked_token_never_passes_whatever_fails),
        TT_TEST(a_forged_token_never_passes_whatever_fails),
        TT_TEST(a_remembered_token_that_is_revoked_never_passes_whatever_fails),
        TT_TEST(a_good_token_passes_or_we_are_broken_and_passes_afterwards),
    };
    return TT_RUN(tests);
}
