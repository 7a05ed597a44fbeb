/*
 * tr_context.h: what a thread keeps to verify signatures with. Making it takes longer than using it, and goes through locks that
 * all threads share.
 */
#ifndef TR_CONTEXT_H
#define TR_CONTEXT_H

#include "tr_key.h"

/* Belongs to one thread. */
typedef struct tr_contexts_t tr_contexts_t;

/* The calling thread's, to be given back. NULL: no memory. */
tr_contexts_t *tr_contexts_take(void);
void tr_contexts_give_back(tr_contexts_t *contexts);

/* Of the hash of alg; begin each use with EVP_DigestInit_ex(ctx, NULL, NULL). NULL: it cannot be made, or alg has no hash. */
EVP_MD_CTX *tr_context_hash(tr_contexts_t *contexts, tr_alg_t alg);

/*
 * Ready for EVP_PKEY_verify of what alg signs with key, where alg has a hash; what it was used for before does not matter. NULL:
 * it cannot be made.
 */
EVP_PKEY_CTX *tr_context_verifier(tr_contexts_t *contexts, tr_alg_t alg, const tr_key_t *key);

/* Ready for one EVP_DigestVerify, where alg has no hash. NULL: it cannot be made. */
EVP_MD_CTX *tr_context_one_shot(tr_contexts_t *contexts, tr_alg_t alg, const tr_key_t *key);

#endif
