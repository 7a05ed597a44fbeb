/*
 * tr_remembered.h: one token in the memory of tr_recent.h. Private to the room.
 *
 *   one block   identity, key of the entry, marks | token, user, user claim, kid, typ
 *   document    as it was parsed; iss, jti, sub, sid, client_id and azp are views into it
 *   made later  all marks, where a costly kind came into force; variables and values of fields, where a location exports them; the
 *               fingerprint, when it was revoked
 *
 * What is made later is put in place by one store of a pointer, and never replaced but by what is made with it. All else does not
 * change until nobody holds the entry.
 */
#ifndef TR_REMEMBERED_H
#define TR_REMEMBERED_H

#include <stdatomic.h>

#include "tr_gate.h"
#include "tr_marks.h"

/* What counts the bytes of all entries. */
typedef struct tr_budget_t {
    _Atomic apr_size_t used;
    apr_size_t limit;
} tr_budget_t;

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
    _Atomic uint64_t fingerprint;        /* 0: nobody has asked */
    tr_budget_t *budget;
    _Atomic apr_size_t size; /* bytes that the budget was charged for it */
    bool is_clean;
    bool has_document; /* it is the entry's own */
    char bytes[];
};

/* Take size bytes out of the budget. False: they are not there. */
bool tr_budget_take(tr_budget_t *budget, apr_size_t size);

/*
 * A copy of identity, but for the document, which is not its own yet. NULL: it is too large, or there is no memory, or no digest. The budget is not asked yet: entry->size is
 * what it takes.
 */
tr_remembered_t *tr_remembered_make(const tr_identity_t *identity, const tr_gate_t *gate, uint64_t number, const char *user_claim,
                                    tr_budget_t *budget, apr_pool_t *scratch);

/* The document is no longer of the pool that it was parsed in. False: it could not be taken. */
TR_MUST_CHECK bool tr_remembered_adopt(tr_remembered_t *entry, apr_pool_t *pool);

/* Nobody holds it. Gives nothing back to the budget. */
void tr_remembered_free(tr_remembered_t *entry);

#endif
