/*
 * tr_generation_private.h: between the key rings, which change, and the generations that rest on them.
 */
#ifndef TR_GENERATION_PRIVATE_H
#define TR_GENERATION_PRIVATE_H

#include "tr_generation.h"

/*
 * SHA-256 over all keys of a watched ring, in their order; it lasts until they are replaced. NULL: it could not be made. For
 * whoever replaces them alone.
 */
const unsigned char *tr_keyring_digest(const tr_keyring_t *ring);

/* End and begin this generation around each change of the ring. Before there are threads. */
void tr_keyring_watch(tr_keyring_t *ring, tr_generation_t *generation);

/* From now on there is no generation. Before the keys change; one thread at a time. */
void tr_generation_end(tr_generation_t *generation);

/* The next one, of the keys and rules of now. There is none until the next change where its name cannot be made. */
void tr_generation_begin(tr_generation_t *generation);

#endif
