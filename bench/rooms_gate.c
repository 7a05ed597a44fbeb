/* rooms_gate.c: what the gate costs: a request, by what is known of its token; and looking for each kind of revocation. */
#include "rooms.h"

#include <stdio.h>
#include <stdlib.h>

#include "measure.h"
#include "tr_reason.h"
#include "tr_testing_gate.h"

/* ---- requests ---------------------------------------------------------------------------------------------- */

#define MANY 50000
#define RECENT 65536 /* as httpd has it with one or two children */
#define RECENT_LEN (128 * 1024 * 1024)

typedef struct asked_t {
    tt_world_t *world;
    char *const *token;
    uint64_t tokens;
    apr_status_t expected;
    apr_pool_t *request;
    uint64_t seed;
} asked_t;

/* With the pool of a request, which is emptied after it. */
static bool call_admit(void *baton, uint64_t i)
{
    asked_t *a = baton;
    tr_str_t text = tr_str_z(a->token[a->tokens == 1 ? 0 : tt_random(&a->seed) % a->tokens]);
    tr_identity_t identity;
    apr_status_t rv = tr_gate_admit(&identity, &a->world->gate, text, "sub", TT_AT(TT_NOW), a->request);

    (void)i;
    apr_pool_clear(a->request);
    return rv == a->expected;
}

static void revoke_token(const tt_world_t *world, const char *jti)
{
    tr_entry_t e = {TR_KIND_TOKEN, tr_str_z(TT_ISS), tr_str_z(jti), 0, TT_NOW + 3600};

    tt_revoke(world, &e);
}

static const char more_claims[] = ",\"sid\":\"9f3c1d6f7a115b1f\",\"client_id\":\"web\",\"scope\":\"openid profile\"";

/* As long as those of RS256, which it would take too long to sign. What remembers them does not look at signatures. */
static char **many_tokens(apr_pool_t *pool)
{
    char **tokens = apr_palloc(pool, MANY * sizeof(tokens[0]));
    const char *longer =
        tt_print(pool, "%s,\"picture\":\"https://idp.example.com/%s\"", more_claims, tt_repeat(pool, "picture/", 24));

    for (int n = 0; n < MANY; n++) {
        tokens[n] = tt_mint(pool, "HS256", tt_key("oct32"), "oct32", tt_claims(pool, tt_print(pool, "good%d", n), longer));
    }
    return tokens;
}

static void measure_misses(asked_t *a, apr_pool_t *pool)
{
    static const char *const keys[] = {"RSA2048", "P-256", "Ed25519", "oct32"};
    char **token = apr_palloc(pool, sizeof(*token));

    a->token = token;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const tt_key_t *pair = tt_key(keys[i]);

        *token = tt_mint(pool, tt_alg(pair), pair, keys[i], tt_claims(pool, "good", more_claims));
        measure("gate", tt_print(pool, "a token never seen before, %s", tt_alg(pair)), call_admit, a);
    }
}

static void verify_all(const asked_t *a, char **tokens)
{
    for (int n = 0; n < MANY; n++) {
        if (!call_admit(&(asked_t){a->world, tokens + n, 1, APR_SUCCESS, a->request, 1}, 0)) {
            exit(1);
        }
    }
}

/* The two caches, one after the other, then both as a server has them. */
static void measure_hits(asked_t *a, char **tokens)
{
    tr_recent_t *recent = a->world->gate.recent;

    a->token = tokens;
    a->world->gate.recent = NULL;
    measure("gate", "a token that some process has verified", call_admit, a);
    a->tokens = MANY;
    verify_all(a, tokens);
    measure("gate", "50,000 tokens at random that some process has verified", call_admit, a);
    a->world->gate.recent = recent;
    a->tokens = 1;
    measure("gate", "a token that this process has just seen", call_admit, a);
    a->tokens = 1000;
    measure("gate", "1,000 tokens at random", call_admit, a);
    a->tokens = MANY;
    verify_all(a, tokens);
    verify_all(a, tokens);
    measure("gate", "50,000 tokens at random that this process has seen", call_admit, a);
    a->tokens = 1;
}

static void measure_requests(apr_pool_t *pool)
{
    static const char *const keys[] = {"RSA2048", "Ed25519", "oct32"};
    tt_world_t *world = tt_world(pool, 1000100);
    asked_t a = {world, NULL, 1, APR_SUCCESS, NULL, 1};
    char **tokens;

    apr_pool_create(&a.request, pool);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        tt_trust(world, world->issuer, tt_key(keys[i]), keys[i]);
    }
    tt_trust(world, world->issuer, tt_key("P-256"), "P-256");
    measure_misses(&a, pool);
    tt_remember(world, RECENT, RECENT_LEN);
    world->gate.generation = tr_generation_make(world->gate.issuers, pool);
    world->gate.verified = tt_verified(pool, VERIFIED);
    tokens = many_tokens(pool);
    measure_hits(&a, tokens);
    for (int i = 0; i < 1000000; i++) {
        char jti[16];

        snprintf(jti, sizeof(jti), "t%d", i);
        revoke_token(world, jti);
    }
    measure("gate", "just seen, with 1,000,000 revocations in force", call_admit, &a);
    revoke_token(world, "good0");
    a.expected = TR_REVOKED;
    measure("gate", "just seen, and now revoked", call_admit, &a);
    apr_pool_destroy(a.request);
}

/* ---- kinds of revocations ---------------------------------------------------------------------------------- */

#define REVOKED 50000

typedef struct looked_up_t {
    tt_world_t *world;
    tr_token_t token;
} looked_up_t;

static bool call_check_revoked(void *baton, uint64_t i)
{
    const looked_up_t *l = baton;
    tr_kind_t by;

    return tr_gate_check_revoked(&by, &l->world->gate, &l->token, some_pool(i)) == APR_SUCCESS;
}

static void add_cut_off(looked_up_t *l, tr_kind_t kind, const char *iss, const char *what)
{
    static const tr_keep_t keep = {60, 0};
    tr_entry_t e;

    tr_gate_entry_before(&e, kind, l->world->issuer, tr_str_z(iss), tr_str_z("another"), TT_AT(TT_NOW), &keep, TT_AT(TT_NOW));
    tt_revoke(l->world, &e);
    measure("gate", what, call_check_revoked, l);
}

/* Of a token that no cache knows, with one kind after another in force. */
static void measure_kinds(apr_pool_t *pool)
{
    looked_up_t l = {.world = tt_world(pool, 2 * REVOKED)};
    char *text = tt_good_token(pool, "6f1c7a3e-2f0b-4f7d", ",\"sid\":\"0123456789abcdef\",\"client_id\":\"app\"");
    tr_entry_t e;

    if (tr_gate_recognize(&l.token, &l.world->gate, tr_str_z(text), TT_AT(TT_NOW), pool) != APR_SUCCESS) {
        fprintf(stderr, "no token to look up\n");
        exit(1);
    }
    measure("gate", "asking for revocations: there are none", call_check_revoked, &l);
    for (int i = 0; i < REVOKED; i++) {
        revoke_token(l.world, tt_print(pool, "t%d", i));
    }
    measure("gate", "asking for revocations: 50,000 tokens", call_check_revoked, &l);
    add_cut_off(&l, TR_KIND_SUBJECT, TT_ISS, "asking for revocations: and a subject");
    add_cut_off(&l, TR_KIND_SESSION, TT_ISS, "asking for revocations: and a session");
    add_cut_off(&l, TR_KIND_CLIENT, TT_ISS, "asking for revocations: and a client");
    add_cut_off(&l, TR_KIND_ISSUER, "https://other.example/", "asking for revocations: and an issuer");
    if (tr_gate_entry_opaque(&e, tr_str_z("another"), TR_FOREVER, pool) != APR_SUCCESS) {
        exit(1);
    }
    tt_revoke(l.world, &e);
    measure("gate", "asking for revocations: and an opaque token", call_check_revoked, &l);
    tr_gate_family_entry(&e, 5, TR_FOREVER, pool);
    tt_revoke(l.world, &e);
    measure("gate", "asking for revocations: and a family", call_check_revoked, &l);
}

void measure_gate(apr_pool_t *pool)
{
    measure_kinds(pool);
    measure_requests(pool);
}
