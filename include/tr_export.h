/*
 * tr_export.h: what an application that knows nothing of tokens is told: claims as variables and as values of header
 * fields; and which names of fields such applications take for the same.
 */
#ifndef TR_EXPORT_H
#define TR_EXPORT_H

#include <apr_tables.h>

#include "tr_base.h"
#include "tr_json.h"

typedef struct tr_variable_t {
    const char *name;
    const char *value;
} tr_variable_t;

/*
 * Every claim as a variable (tr_variable_t), in no certain order: its name behind prefix, with `_` for each byte that is no letter,
 * digit or `_`; a string as it is, everything else as compact JSON text. Members of objects are there by themselves, too, under
 * parent_child. Where claims would share a name (case does not count) the shorter path wins, of two of one length the one whose
 * spelling needed no change, else none of them is there. Names over TR_MAX_CLAIM_NAME_LEN (the prefix apart) are left out.
 */
apr_array_header_t *tr_export_variables(const tr_json_t *payload, const char *prefix, apr_pool_t *pool);

/*
 * The claim, by its dotted path, as the value of a field: a string as it is, everything else as compact JSON text. *out NULL: it
 * is not there, null, or begins or ends with a blank, which would not arrive. APR_SUCCESS, or TR_MALFORMED: a control character.
 */
TR_MUST_CHECK apr_status_t tr_export_header(const char **out, const tr_json_t *payload, const char *claim, apr_pool_t *pool);

/* Could an application take these names of fields for one (RFC 3875 4.1.18)? Case, and which byte separates words, do not count. */
bool tr_export_is_same_field(tr_str_t a, tr_str_t b);

typedef bool (*tr_export_name_fn)(void *baton, tr_str_t name);

/*
 * A list of names (Connection) without those for which drop is true. NULL: there is nothing to drop, and list can stay; "" when
 * nothing is left. Blanks and semicolons separate names, too, because not everybody is strict.
 */
char *tr_export_strip_list(const char *list, tr_export_name_fn drop, void *baton, apr_pool_t *pool);

#endif
