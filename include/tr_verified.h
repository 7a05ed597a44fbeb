/*
 * tr_verified.h: the verified-token cache: tokens whose signature was good, remembered in shared memory by all processes.
 *
 * What is remembered of a token is a mark of 128 bits and nothing else: SipHash-2-4-128 over every byte of its text, under a key
 * made from a secret of this cache and the name of a generation of keys and rules (tr_generation.h). A mark says: these bytes
 * carry a good signature by those keys. Nothing else is remembered, of times, claims, rules or revocations.
 *
 * There are no locks. A mark is two words, each read and written whole. Two writers who meet in one place may leave a word of
 * each: such a mark is no token's. For it to be taken for the mark of a token that nobody verified, both words, of two unrelated
 * marks, would have to be that token's by chance: 128 bits, as many as for any other mark. A writer who dies leaves the same.
 * Whoever loses his place to another only verifies once more.
 */
#ifndef TR_VERIFIED_H
#define TR_VERIFIED_H

#include "tr_base.h"
#include "tr_entry.h"

typedef struct tr_verified_t tr_verified_t; /* this process' handle; the content is in shared memory */

/* Bytes of shared memory to remember this many tokens (1 to TR_MAX_VERIFIED): about 40 a token. */
apr_size_t tr_verified_size(uint32_t tokens);

/*
 * Lay it out at base: size bytes, all zero, aligned to 64. Only before any other process can see it. Returns APR_SUCCESS,
 * APR_EINVAL for a size too small, APR_EGENERAL when there are no random bits for the secret.
 */
TR_MUST_CHECK apr_status_t tr_verified_create(tr_verified_t **out, void *base, apr_size_t size, uint32_t tokens,
                                              apr_pool_t *pool);

/* A handle on what was laid out before. Returns APR_SUCCESS, or APR_EINVAL when base is none of this version. */
TR_MUST_CHECK apr_status_t tr_verified_attach(tr_verified_t **out, void *base, apr_size_t size, apr_pool_t *pool);

/* The mark of these bytes under the generation of this name. Any thread. */
tr_mark_t tr_verified_mark(const tr_verified_t *verified, tr_str_t generation_name, tr_str_t text);

/* Was it remembered? False proves nothing. Never waits. Any thread. */
bool tr_verified_has(const tr_verified_t *verified, tr_mark_t mark);

/*
 * Remember it, perhaps: never waits, and another may take its place at any time. expires_s: when the token is of no more use, in
 * seconds since 1970, which only says whose place is given away first. Any thread.
 */
void tr_verified_put(const tr_verified_t *verified, tr_mark_t mark, int64_t expires_s, int64_t now_s);

#endif
