/*
 * A small recent-token cache, under threads that ask, hold what they got for a while, as streams do, and let go, while keys
 * are replaced under their kid and tokens are revoked. What is held never changes; whenever the key stood still during a check, the
 * answer is what that key says; a token whose revocation was acknowledged before a check began never passes it; and memory stays in
 * its bounds.
 */
#include "race_common.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "../unit/tr_testing.h"
#include "tr_digest.h"
#include "tr_export.h"
#include "tr_reason.h"
#include "tr_recent.h"

enum { THREADS = 4, TOKENS = 40, SAFE = 20, SLOTS = 16, HELD = 5, NOW = 1700000000, BUDGET = 90000 };
enum { KEY_A, KEY_B, KEYS };

typedef struct held_t {
    apr_pool_t *pool;
    tr_identity_t identity;
    int token; /* -1: nothing passed */
} held_t;

static const char *const key_names[KEYS] = {"oct32", "oct32#2"};
static char *tokens[KEYS][TOKENS], *sets[KEYS];
static tr_table_t *table;
static tr_gate_t gate;
static tr_issuer_t issuer;
static char path[256];
static _Atomic uint64_t phase; /* 4n: key A, 4n + 2: key B, odd: one is being replaced by the other */
static _Atomic bool revoked[TOKENS], stop;
static _Atomic uint64_t checks, still, refused;
static _Atomic int64_t most_bytes;

static size_t padding(int token)
{
    return (size_t)token * 61 % 1500;
}

static void hear(void *baton, const char *where, apr_size_t keys, const char *err)
{
    (void)baton, (void)where;
    CLAIM(err == NULL && keys == 1, "%s", err ? err : "no key");
}

static void write_set(int key)
{
    char fresh[280];
    FILE *f;
    snprintf(fresh, sizeof fresh, "%s.new", path);
    f = fopen(fresh, "w");
    CLAIM(f != NULL && fputs(sets[key], f) >= 0 && fclose(f) == 0, "%s", fresh);
    CLAIM(rename(fresh, path) == 0, "%s", path);
}

/* ---- asking ------------------------------------------------------------------------------------------------ */

static void check_variables(const tr_identity_t *id, int token, apr_pool_t *pool)
{
    const apr_array_header_t *variables = tr_recent_variables(id, "V_", pool);
    int found = 0;
    for (int i = 0; i < variables->nelts; i++) {
        const tr_variable_t *v = &APR_ARRAY_IDX(variables, i, tr_variable_t);
        if (strcmp(v->name, "V_pad") == 0)
            found += strlen(v->value) == padding(token);
        if (strcmp(v->name, "V_jti") == 0)
            found += atoi(v->value) == token;
    }
    CLAIM(found == 2, "variables of token %d", token);
    for (int i = 0; i < 2; i++) {
        const char *value;
        CLAIM(tr_recent_header(&value, id, i == 0 ? "jti" : "pad", pool) == APR_SUCCESS && value != NULL &&
                  (i == 0 ? atoi(value) == token : strlen(value) == padding(token)),
              "fields of token %d", token);
    }
    CLAIM(tr_recent_fingerprint(id, id->token.jws.text, pool) == strtoull(tr_fingerprint(id->token.jws.text, pool), NULL, 16),
          "fingerprint of token %d", token);
}

/* Nothing of it has changed. */
static void check_held(const held_t *held)
{
    const tr_identity_t *id = &held->identity;
    tr_str_t pad;
    tr_kind_t by;
    CLAIM(atoi(id->user + 1) == held->token, "token %d has become %s", held->token, id->user);
    CLAIM(atoi(tr_str_dup_z(id->token.jti, held->pool)) == held->token, "jti of %d", held->token);
    CLAIM(tr_json_string(&pad, tr_json_get(tr_recent_payload(id, held->pool), "pad")) && pad.len == padding(held->token),
          "payload of %d", held->token);
    check_variables(id, held->token, held->pool);
    bool was_revoked = atomic_load(&revoked[held->token]);
    apr_status_t rv = tr_gate_check_revoked(&by, &gate, &id->token, held->pool);
    CLAIM(rv == TR_REVOKED || (rv == APR_SUCCESS && !was_revoked), "token %d: %d", held->token, rv);
}

static void ask(held_t *held, uint64_t *seed)
{
    int key = (int)below(seed, KEYS), i = (int)below(seed, below(seed, 3) ? 8 : TOKENS);
    bool was_revoked = atomic_load(&revoked[i]);
    uint64_t before = atomic_load(&phase);
    apr_status_t rv = tr_gate_admit(&held->identity, &gate, tr_str_z(tokens[key][i]), below(seed, 8) ? "sub" : "name",
                                    apr_time_from_sec(NOW), held->pool);
    held->token = rv == APR_SUCCESS || rv == TR_REVOKED ? i : -1;
    CLAIM(rv == APR_SUCCESS || rv == TR_BAD_SIGNATURE || (rv == TR_REVOKED && i >= SAFE), "token %d: %d", i, rv);
    CLAIM(!was_revoked || rv != APR_SUCCESS, "token %d passed after it was revoked", i);
    if (before % 2 == 0 && atomic_load(&phase) == before) {
        int holds = before % 4 == 0 ? KEY_A : KEY_B;
        CLAIM((rv != TR_BAD_SIGNATURE) == (key == holds), "a token of key %d, under key %d: %d", key, holds, rv);
        atomic_fetch_add_explicit(&still, 1, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(rv == TR_REVOKED ? &refused : &checks, 1, memory_order_relaxed);
}

static void *ask_on(void *baton)
{
    uint64_t seed = (uint64_t)(uintptr_t)baton;
    held_t held[HELD];
    for (int i = 0; i < HELD; i++) {
        apr_pool_create(&held[i].pool, NULL);
        held[i].token = -1;
    }
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        held_t *one = &held[below(&seed, below(&seed, 10) ? 1 : HELD)]; /* the first is a request, the others are streams */
        if (one->token >= 0)
            check_held(one);
        if (below(&seed, 4) == 0)
            tr_recent_sweep(gate.recent, apr_time_from_sec(NOW));
        apr_pool_clear(one->pool);
        ask(one, &seed);
        if (one->token >= 0 && below(&seed, 2))
            check_held(one);
    }
    for (int i = 0; i < HELD; i++)
        apr_pool_destroy(held[i].pool);
    return NULL;
}

/* ---- changing ---------------------------------------------------------------------------------------------- */

static void insert(const tr_entry_t *e)
{
    tr_table_begin_locked(table);
    CLAIM(tr_table_insert_locked(table, e, NOW) == APR_SUCCESS, "insert");
    tr_table_end_locked(table);
}

/* One after the other; now and then something of another kind, so that marks are made that no entry has yet. */
static void revoke_next(int n, int total, apr_pool_t *pool)
{
    int i = SAFE + n * (TOKENS - SAFE) / total;
    tr_entry_t e = {TR_KIND_TOKEN, tr_str_z("joe"), tr_str_z(apr_itoa(pool, i)), 0, TR_FOREVER};
    if (i < TOKENS && !atomic_load(&revoked[i])) {
        insert(&e);
        atomic_store(&revoked[i], true);
    }
    if (n == total / 3) {
        CLAIM(tr_gate_entry_opaque(&e, tr_str_z("another"), TR_FOREVER, pool) == APR_SUCCESS, "digest");
        insert(&e);
    }
    if (n == total / 2) {
        tr_gate_family_entry(&e, 77, TR_FOREVER, pool);
        insert(&e);
    }
}

static void turn(double seconds, apr_pool_t *pool)
{
    apr_time_t at = apr_time_now();
    uint64_t seed = 5;
    enum { STEPS = 200 };
    double begin = now_s();
    for (int step = -1; now_s() < begin + seconds;) {
        int key = atomic_load(&phase) % 4 == 0 ? KEY_B : KEY_A;
        int now = (int)((now_s() - begin) / seconds * STEPS);
        tr_recent_stats_t stats;
        for (; step < now; step++)
            revoke_next(step + 1, STEPS, pool);
        write_set(key);
        at += apr_time_from_sec(1);
        atomic_fetch_add(&phase, 1);
        tr_keyring_refresh(issuer.keyring, at, hear, NULL);
        atomic_fetch_add(&phase, 1);
        tr_recent_stats(&stats, gate.recent);
        raise_to(&most_bytes, (int64_t)stats.bytes);
        usleep((useconds_t)below(&seed, 4000));
    }
}

static void prepare(apr_pool_t *pool)
{
    const char *tmp = getenv("TMPDIR");
    const char *why = "";
    for (int key = 0; key < KEYS; key++) {
        const tt_key_t *secret = tt_key(key_names[key]);
        sets[key] = tt_jwks(pool, tt_jwk(pool, secret, ",\"kid\":\"k\""), NULL);
        for (int i = 0; i < TOKENS; i++)
            tokens[key][i] = tt_mint(
                pool, "HS256", secret, "k",
                tt_print(pool, "{\"iss\":\"joe\",\"sub\":\"s%d\",\"name\":\"n%d\",\"jti\":\"%d\",\"exp\":%d,\"pad\":\"%s\"}", i,
                         i, i, NOW + 60 + i, tt_repeat(pool, "p", padding(i))));
    }
    snprintf(path, sizeof path, "%s/race_recent.%ld.json", tmp ? tmp : "/tmp", (long)getpid());
    write_set(KEY_A);
    issuer.iss = "joe";
    issuer.skew_s = 60;
    issuer.max_lifetime_s = TR_UNLIMITED;
    issuer.keyring = tr_keyring_make(pool);
    CLAIM(tr_keyring_add_file(issuer.keyring, &why, path) == APR_SUCCESS, "%s", why);
    table = shared_table(1000, pool);
    gate.issuers = apr_hash_make(pool);
    apr_hash_set(gate.issuers, "joe", APR_HASH_KEY_STRING, &issuer);
    gate.table = table;
    gate.generation = tr_generation_make(gate.issuers, pool);
    gate.recent = tr_recent_make(SLOTS, BUDGET);
    CLAIM(gate.recent != NULL, "tr_recent_make");
}

int main(void)
{
    pthread_t threads[THREADS];
    tr_recent_stats_t stats;
    apr_pool_t *pool;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    prepare(pool);
    for (int i = 0; i < THREADS; i++)
        CLAIM(pthread_create(&threads[i], NULL, ask_on, (void *)(uintptr_t)(i + 1)) == 0, "thread %d", i);
    turn(setting("TR_SECONDS", 10), pool);
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    tr_recent_stats(&stats, gate.recent);
    printf("race_recent: %" PRIu64 " checks, %" PRIu64 " of them while the key stood still, %" PRIu64
           " refused as revoked; %" PRIu64 " found, %" PRIu64 " kept, at most %" PRId64 " bytes\n",
           atomic_load(&checks), atomic_load(&still), atomic_load(&refused), stats.hits, stats.kept, atomic_load(&most_bytes));
    CLAIM(stats.held == 0, "%u are held for ever", stats.held);
    CLAIM(stats.hits > 100 && stats.kept > 20 && atomic_load(&refused) > 0 && atomic_load(&still) > 0, "a case was not met");
    /* All marks of an entry, made later, are beyond the limit of the budget. */
    CLAIM(atomic_load(&most_bytes) <= BUDGET + SLOTS * 512, "memory grew");
    tr_recent_free(gate.recent);
    unlink(path);
    tt_keys_free();
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
