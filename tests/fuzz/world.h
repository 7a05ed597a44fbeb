/*
 * world.h: what the fuzz targets throw their bytes at: trusted issuers with keys of every type, a table, a ledger.
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tr_gate.h"
#include "tr_ledger.h"
#include "tr_oauth.h"

#define WORLD_NOW ((apr_time_t)1700000000 * 1000000)

/* What must hold for any input. */
#define ALWAYS(holds)                                                                                                            \
    do {                                                                                                                         \
        if (!(holds)) {                                                                                                          \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #holds);                                                  \
            abort();                                                                                                             \
        }                                                                                                                        \
    } while (0)

typedef struct world_t {
    tr_gate_t gate;        /* which remembers nothing */
    tr_gate_t remembering; /* the same, which does */
    tr_table_t *table;
    tr_ledger_t *ledger;
    apr_pool_t *pool; /* of one input */
} world_t;

/* The world, with a pool for one input; world_done frees that. */
world_t *world_for_one_input(void);
void world_done(void);

/* An empty table for capacity entries in pool. */
tr_table_t *world_table(uint32_t capacity, apr_pool_t *pool);

/* What writes to it, in pool. */
tr_ledger_t *world_ledger(tr_table_t *table, apr_pool_t *pool);

/* header.payload with a good HMAC by the secret in world_jwks: HS256, or HS384 or HS512 where the header names it. */
char *world_sign(tr_str_t header, tr_str_t payload, apr_pool_t *pool);

/* The same by the hash of this algorithm; NULL, or one that is none of the three: by SHA-256. */
char *world_sign_as(const char *alg, tr_str_t header, tr_str_t payload, apr_pool_t *pool);

/* Is text one JSON object, as another reader sees it? */
bool world_is_json_object(const char *text);

/* Ask the revocation endpoint both ways, and check the form of its answers. */
void world_ask(world_t *world, tr_body_type_t type, tr_str_t body);

#endif
