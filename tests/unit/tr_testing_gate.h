/*
 * tr_testing_gate.h: a server's trust for the tests: one issuer with a key, a table, a lock and a ledger.
 */
#ifndef TR_TESTING_GATE_H
#define TR_TESTING_GATE_H

#include "tr_gate.h"
#include "tr_ledger.h"
#include "tr_recent.h"
#include "tr_testing.h"

#define TT_ISS "https://idp.example.com/"
#define TT_NOW 1700000000
#define TT_AT(s) ((apr_time_t)(s)*1000000)

typedef struct tt_world_t {
    tr_gate_t gate;
    tr_issuer_t *issuer; /* of TT_ISS: kid "k" is tt_key("P-256"), skew 60 s, 24 h, any audience */
    tr_table_t *table;
    apr_global_mutex_t *lock;
    tr_ledger_t *ledger;         /* without a store */
    tr_generation_t *generation; /* of tt_remember */
    apr_pool_t *pool;
} tt_world_t;

/* Everything is freed with pool. */
tt_world_t *tt_world(apr_pool_t *pool, uint32_t capacity);

/* Another issuer in world, with the same rules and no key yet. */
tr_issuer_t *tt_issuer(tt_world_t *world, const char *iss);

/* Give issuer the public key of pair, with kid or NULL. */
void tt_trust(tt_world_t *world, tr_issuer_t *issuer, const tt_key_t *pair, const char *kid);

/* A verified-token cache for so many tokens, in shared memory that lasts as long as pool. */
tr_verified_t *tt_verified(apr_pool_t *pool, uint32_t tokens);

/* Let world remember tokens (tr_recent.h): room for slots of them, and so many bytes. Freed with its pool. */
void tt_remember(tt_world_t *world, uint32_t slots, apr_size_t bytes);

/* Revoke, by the ledger, at TT_NOW. */
void tt_revoke(const tt_world_t *world, const tr_entry_t *entry);

/* As if a key had changed. */
void tt_next_generation(tt_world_t *world);

/* Claims of a good token of TT_ISS with that jti, then more (text like ",\"a\":1"). jti NULL: none. */
char *tt_claims(apr_pool_t *pool, const char *jti, const char *more);

/* Those claims signed with ES256 by the key "P-256" and kid "k". */
char *tt_good_token(apr_pool_t *pool, const char *jti, const char *more);

apr_status_t tt_admit(const tt_world_t *world, const char *token);

#endif
