/*
 * tr_testing_gate.c: see tr_testing_gate.h.
 */
#include "tr_testing_gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "tr_testing_gate: %s failed\n", what);
    abort();
}

static apr_status_t release(void *base)
{
    free(base);
    return APR_SUCCESS;
}

static tr_table_t *make_table(apr_pool_t *pool, uint32_t capacity)
{
    apr_size_t size = tr_table_size(capacity);
    tr_table_t *table = NULL;
    void *base = NULL;
    must(posix_memalign(&base, 4096, size) == 0, "posix_memalign");
    memset(base, 0, size);
    apr_pool_cleanup_register(pool, base, release, apr_pool_cleanup_null);
    must(tr_table_create(&table, base, size, capacity, NULL, pool) == APR_SUCCESS, "tr_table_create");
    return table;
}

tr_issuer_t *tt_issuer(tt_world_t *world, const char *iss)
{
    tr_issuer_t *issuer = apr_pcalloc(world->pool, sizeof *issuer);
    issuer->iss = iss;
    issuer->keyring = tr_keyring_make(world->pool);
    issuer->skew_s = 60;
    issuer->max_lifetime_s = 86400;
    apr_hash_set(world->gate.issuers, iss, APR_HASH_KEY_STRING, issuer);
    return issuer;
}

void tt_trust(tt_world_t *world, tr_issuer_t *issuer, const tt_key_t *pair, const char *kid)
{
    char *more = kid ? tt_print(world->pool, ",\"kid\":\"%s\"", kid) : tt_print(world->pool, "%s", "");
    const tr_key_t *key = tt_read_jwk(world->pool, tt_jwk(world->pool, pair, more));
    must(key != NULL, "tr_keys_from_jwks");
    tr_keyring_add(issuer->keyring, key);
}

tt_world_t *tt_world(apr_pool_t *pool, uint32_t capacity)
{
    tt_world_t *world = apr_pcalloc(pool, sizeof *world);
    world->pool = pool;
    world->gate.issuers = apr_hash_make(pool);
    world->issuer = tt_issuer(world, TT_ISS);
    tt_trust(world, world->issuer, tt_key("P-256"), "k");
    world->table = make_table(pool, capacity);
    world->gate.table = world->table;
    must(apr_global_mutex_create(&world->lock, NULL, APR_LOCK_DEFAULT, pool) == APR_SUCCESS, "apr_global_mutex_create");
    world->ledger = tr_ledger_make(world->table, world->lock, NULL, NULL, pool);
    return world;
}

typedef struct segment_t {
    void *base;
    apr_size_t size;
} segment_t;

static apr_status_t unmap(void *segment)
{
    segment_t *s = segment;
    munmap(s->base, s->size);
    return APR_SUCCESS;
}

tr_verified_t *tt_verified(apr_pool_t *pool, uint32_t tokens)
{
    segment_t *s = apr_palloc(pool, sizeof *s);
    tr_verified_t *verified = NULL;
    s->size = tr_verified_size(tokens);
    s->base = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(s->base != MAP_FAILED, "mmap");
    apr_pool_cleanup_register(pool, s, unmap, apr_pool_cleanup_null);
    must(tr_verified_create(&verified, s->base, s->size, tokens, pool) == APR_SUCCESS, "tr_verified_create");
    return verified;
}

static apr_status_t forget(void *recent)
{
    tr_recent_stats_t stats;
    tr_recent_stats(&stats, recent);
    must(stats.held == 0, "letting go of what was remembered");
    tr_recent_free(recent);
    return APR_SUCCESS;
}

void tt_remember(tt_world_t *world, uint32_t slots, apr_size_t bytes)
{
    world->generation = apr_pcalloc(world->pool, sizeof *world->generation);
    atomic_init(&world->generation->number, 2);
    world->gate.generation = world->generation;
    world->gate.recent = tr_recent_make(slots, bytes);
    must(world->gate.recent != NULL, "tr_recent_make");
    /* Before any holder's cleanup, so it is run after all of them. */
    apr_pool_cleanup_register(world->pool, world->gate.recent, forget, apr_pool_cleanup_null);
}

void tt_revoke(const tt_world_t *world, const tr_entry_t *entry)
{
    static const tr_circumstances_t nothing;
    must(tr_ledger_revoke(world->ledger, entry, &nothing, TT_AT(TT_NOW)) == APR_SUCCESS, "tr_ledger_revoke");
}

void tt_next_generation(tt_world_t *world)
{
    atomic_fetch_add(&world->generation->number, 2);
}

char *tt_claims(apr_pool_t *pool, const char *jti, const char *more)
{
    char *id = jti ? tt_print(pool, ",\"jti\":\"%s\"", jti) : tt_print(pool, "%s", "");
    return tt_print(pool, "{\"iss\":\"%s\",\"sub\":\"alice\",\"iat\":%d,\"exp\":%d%s%s}", TT_ISS, TT_NOW - 60, TT_NOW + 3600, id,
                    more);
}

char *tt_good_token(apr_pool_t *pool, const char *jti, const char *more)
{
    return tt_mint(pool, "ES256", tt_key("P-256"), "k", tt_claims(pool, jti, more));
}

apr_status_t tt_admit(const tt_world_t *world, const char *token)
{
    tr_identity_t identity;
    return tr_gate_admit(&identity, &world->gate, tr_str_z(token), "sub", TT_AT(TT_NOW), world->pool);
}
