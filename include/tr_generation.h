/*
 * tr_generation.h: under which keys and rules a verdict was found.
 *
 * A verdict may be remembered only together with what it rests on. Each server's issuers have a generation: a number that
 * grows with each change of a key, in this process, and a name, the SHA-256 of all keys and rules as they are, which is the
 * same in every process that holds the same keys and rules, and nowhere else.
 *
 *   whoever changes keys    number odd: there is none -> keys of a ring replaced -> name made anew -> the next even number
 *   whoever checks a token  take number and name -> look at keys and rules -> is the number what it was? Then remember
 *
 * So a verdict that any of the old keys had a part in never gets the name or number of the new ones, nor the other way round.
 * Numbers do not come again. Readers never wait.
 */
#ifndef TR_GENERATION_H
#define TR_GENERATION_H

#include <stdatomic.h>
#include <stdint.h>

#include "tr_base.h"
#include "tr_digest.h"
#include "tr_issuer.h"

#define TR_GENERATION_WORDS (TR_SHA256_LEN / 8)

/* Read it by the functions below only. Not in shared memory: each process follows its keys by itself. */
typedef struct tr_generation_t {
    _Atomic uint64_t number; /* odd: none, keys are being changed, or the name could not be made */
    _Atomic uint64_t name[TR_GENERATION_WORDS];
    tr_issuers_t *issuers;
} tr_generation_t;

/* What a verdict rests on; taken before the first look at keys or rules. */
typedef struct tr_generation_seen_t {
    uint64_t number;
    uint64_t name[TR_GENERATION_WORDS];
} tr_generation_seen_t;

/*
 * The generation of these issuers, which must be complete, and will not change but for the keys that tr_keyring_refresh reads.
 * In pool, which must be the configuration's; before there are threads.
 */
tr_generation_t *tr_generation_make(tr_issuers_t *issuers, apr_pool_t *pool);

static inline bool tr_generation_is_some(uint64_t number)
{
    return (number & 1) == 0;
}

/* The number of now; only where tr_generation_is_some(number) may anything be remembered or recalled. Any thread. */
static inline uint64_t tr_generation_number(const tr_generation_t *generation)
{
    return atomic_load_explicit(&generation->number, memory_order_acquire);
}

/* Number and name of now. False: there is none, or generation is NULL, so nothing may be remembered or recalled. Any thread. */
bool tr_generation_take(tr_generation_seen_t *out, const tr_generation_t *generation);

/*
 * Is it still the one that was taken? Then whatever keys and rules were looked at between were its own, and what was found may be
 * remembered under its number and name. Any thread.
 */
static inline bool tr_generation_still(const tr_generation_t *generation, const tr_generation_seen_t *seen)
{
    return tr_generation_number(generation) == seen->number;
}

#endif
