/*
 * tr_remembered.h: one token in the recent-token cache. Private to the room.
 *
 *   one block   identity, key of the entry, marks | token and all strings of the identity
 *   made later  all marks, once a costly kind is in force; variables and values of fields, where a location exports them; the
 *               payload, where a location asks for claims otherwise; the fingerprint, once it is revoked
 *
 * What is made later is put in place by one store of a pointer, and never replaced but by what is made with it. All else does not
 * change until nobody holds the entry.
 */
#ifndef TR_REMEMBERED_H
#define TR_REMEMBERED_H

#include <stdatomic.h>

#include "tr_gate.h"
#include "tr_marks.h"

/* ---- the bytes that all entries may take together (tr_recent.c); any thread ----------------------------------- */

/* Take size of them, for which other entries may have to go. False: they can't be had. */
bool tr_recent_find_bytes(tr_recent_t *recent, apr_size_t size);
void tr_recent_return_bytes(tr_recent_t *recent, apr_size_t size);

/* Take them whether they are there or not. */
void tr_recent_charge(tr_recent_t *recent, apr_size_t size);

/* ---- an entry ------------------------------------------------------------------------------------------------ */

typedef struct tr_kept_list_t tr_kept_list_t;
typedef struct tr_kept_header_t tr_kept_header_t;

struct tr_remembered_t {
    const tr_gate_t *gate;
    uint64_t number; /* of the generation */
    const char *user_claim;
    tr_identity_t identity;
    _Atomic(tr_marks_t *) marks;
    tr_marks_t cheap; /* the first of them */
    _Atomic(tr_kept_list_t *) variables;
    _Atomic(tr_kept_header_t *) headers; /* the one that was made last */
    _Atomic(const tr_json_t *) payload;
    _Atomic uint64_t fingerprint; /* 0: nobody has asked */
    tr_recent_t *recent;
    _Atomic apr_size_t size; /* bytes that the budget was charged for it */
    bool is_clean;
    char bytes[];
};

/*
 * A copy of identity without its documents, to be freed by tr_remembered_free. NULL: it is too large, or there is no memory, or no
 * digest. The budget is not asked: size says how many bytes it takes.
 */
tr_remembered_t *tr_remembered_make(const tr_identity_t *identity, const tr_gate_t *gate, uint64_t number, const char *user_claim,
                                    tr_recent_t *recent, apr_pool_t *scratch);

/* Nobody holds it. Gives nothing back to the budget. */
void tr_remembered_free(tr_remembered_t *entry);

#endif
