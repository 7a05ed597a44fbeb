/*
 * tr_marks.h: what a token is looked up by in the table: of each kind that could end it, the mark. Private to the room.
 *
 * They depend on the token and the table's key alone, so they can be made once. What the table says of them is asked each time.
 */
#ifndef TR_MARKS_H
#define TR_MARKS_H

#include <stdint.h>

#include "tr_entry.h"
#include "tr_gate.h"
#include "tr_table.h"
#include "tr_token.h"

/* A set of kinds: bit k is kind k. */
typedef uint32_t tr_kind_set_t;
#define TR_KIND_BIT(kind) ((tr_kind_set_t)1 << (kind))
#define TR_ALL_KINDS ((TR_KIND_BIT(TR_KINDS)) - 1)

typedef struct tr_look_t {
    tr_kind_t kind;
    tr_kind_set_t onward; /* this kind, and those of all further looks */
    tr_mark_t mark;
} tr_look_t;

#define TR_MAX_LOOKS 8 /* own, family, unread, session, subject, client twice, issuer */

/* In the order in which they are asked. */
typedef struct tr_marks_t {
    tr_kind_set_t kinds; /* marks of these kinds are among them, where the token has any */
    int n;
    tr_look_t look[TR_MAX_LOOKS];
    tr_mark_t member; /* with the look of kind FAMILY: does the token belong to another family than its own? */
} tr_marks_t;

/* Kinds that may have an entry now. Any thread. */
static inline tr_kind_set_t tr_marks_in_force(const tr_table_t *table)
{
    return tr_table_kinds(table);
}

/* Kinds whose marks need a digest of this token, which costs more than all others. */
tr_kind_set_t tr_marks_costly(const tr_token_t *token);

/* The token's marks of these kinds. Returns APR_SUCCESS, or a failure of the digest. */
TR_MUST_CHECK apr_status_t tr_marks_make(tr_marks_t *out, const tr_table_t *table, const tr_token_t *token, tr_kind_set_t kinds,
                                         apr_pool_t *pool);

/* The same for a token that nobody here can read, by its own entry: itself, and its family. */
TR_MUST_CHECK apr_status_t tr_marks_make_own(tr_marks_t *out, const tr_table_t *table, const tr_entry_t *own, tr_kind_set_t kinds,
                                             apr_pool_t *pool);

/* Begin to load what tr_marks_find will read. kinds as there. Any thread. */
void tr_marks_prefetch(const tr_marks_t *marks, const tr_table_t *table, tr_kind_set_t kinds);

/*
 * Is any of them in the table? kinds: those in force, all among marks->kinds. token: whose cut-offs count; NULL: it has none.
 * *by is the kind that was found. Lock-free, any thread; no allocation, no digest.
 */
bool tr_marks_find(tr_kind_t *by, const tr_marks_t *marks, const tr_table_t *table, const tr_token_t *token, tr_kind_set_t kinds);

/* ---- of a remembered token (tr_remembered.c) ------------------------------------------------------------------ */

/*
 * Marks of at least these kinds. Nearly always they are there; the costly ones are made when the first entry of their kind is in
 * force. Returns APR_SUCCESS, or a failure of the digest or of memory. Any thread that holds it.
 */
TR_MUST_CHECK apr_status_t tr_remembered_marks(const tr_marks_t **out, tr_remembered_t *entry, const tr_table_t *table,
                                               tr_kind_set_t kinds, apr_pool_t *pool);

/* ---- families, see tr_gate.h (tr_scope.c) -------------------------------------------------------------------- */

/* The number of the family that begins with the token of this MEMBER entry. */
int64_t tr_family_first(const tr_entry_t *member);

/* The mark of the FAMILY entry of this number. Any thread. */
tr_mark_t tr_family_mark(const tr_table_t *table, int64_t number);

#endif
