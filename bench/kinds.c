/*
 * kinds.c: what looking for revocations costs a request, beside the check of the signature: with nothing revoked, with many tokens
 * revoked, and with one kind after another in use. CPU time of this process; the least of several rounds.
 */
#include <stdio.h>
#include <time.h>

#include <apr_general.h>

#include "tr_testing_gate.h"

#define ROUNDS 15
#define CALLS 200000
#define TOKENS 50000

static const tr_keep_t keep = {60, 0};

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(const tt_world_t *world, const tr_token_t *token, const char *what)
{
    apr_pool_t *scratch;
    double least = 1e18;
    int refused = 0;

    apr_pool_create(&scratch, world->pool);
    for (int round = 0; round < ROUNDS; round++) {
        double began = cpu_ns();

        for (int i = 0; i < CALLS; i++) {
            tr_kind_t by;

            refused += tr_gate_check_revoked(&by, &world->gate, token, scratch) != APR_SUCCESS;
            if (i % 100 == 0) {
                apr_pool_clear(scratch);
            }
        }
        least = (cpu_ns() - began) / CALLS < least ? (cpu_ns() - began) / CALLS : least;
    }
    printf("  %-36s %7.1f ns a request%s\n", what, least, refused > 0 ? ", REFUSED" : "");
    apr_pool_destroy(scratch);
}

static void put(const tt_world_t *world, const tr_entry_t *e)
{
    static const tr_circumstances_t nothing;

    if (tr_ledger_revoke(world->ledger, e, &nothing, TT_AT(TT_NOW)) != APR_SUCCESS) {
        printf("an entry could not be made\n");
    }
}

static void cut_off(const tt_world_t *world, tr_kind_t kind, const char *iss, const char *what, const tr_token_t *token)
{
    tr_entry_t e;

    tr_gate_entry_before(&e, kind, world->issuer, tr_str_z(iss), tr_str_z("another"), TT_AT(TT_NOW), &keep, TT_AT(TT_NOW));
    put(world, &e);
    measure(world, token, what);
}

int main(void)
{
    tt_world_t *world;
    tr_token_t token;
    apr_pool_t *pool;
    tr_entry_t e;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    world = tt_world(pool, 2 * TOKENS);
    char *text = tt_good_token(pool, "6f1c7a3e-2f0b-4f7d", ",\"sid\":\"0123456789abcdef\",\"client_id\":\"app\"");
    if (tr_gate_recognize(&token, &world->gate, tr_str_z(text), TT_AT(TT_NOW), pool) != APR_SUCCESS) {
        return 1;
    }
    measure(world, &token, "nothing is revoked");
    for (int i = 0; i < TOKENS; i++) {
        tr_entry_t one = {TR_KIND_TOKEN, token.iss, tr_str_z(tt_print(pool, "t%d", i)), 0, TT_NOW + 999};

        put(world, &one);
    }
    measure(world, &token, "50,000 tokens are");
    cut_off(world, TR_KIND_SUBJECT, TT_ISS, "and a subject", &token);
    cut_off(world, TR_KIND_SESSION, TT_ISS, "and a session", &token);
    cut_off(world, TR_KIND_CLIENT, TT_ISS, "and a client", &token);
    cut_off(world, TR_KIND_ISSUER, "https://other.example/", "and an issuer", &token);
    if (tr_gate_entry_opaque(&e, tr_str_z("another"), TR_FOREVER, pool) != APR_SUCCESS) {
        return 1;
    }
    put(world, &e);
    measure(world, &token, "and an opaque refresh token");
    tr_gate_family_entry(&e, 5, TR_FOREVER, pool);
    put(world, &e);
    measure(world, &token, "and a family of refresh tokens");
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
