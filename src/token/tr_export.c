/* tr_export.c: claims as variables and fields. */
#include "tr_export.h"

#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_reason.h"

/* Who has a name so far. */
typedef struct claimant_t {
    const char *name;
    const tr_json_t *value;
    int rank;      /* the lowest wins */
    bool disputed; /* another has the same rank */
} claimant_t;

/* One object on the way down. */
typedef struct level_t {
    apr_hash_t *names; /* folded to lower case -> claimant_t */
    const char *prefix;
    int depth;
    bool is_folded;   /* a name further up had to be changed */
    apr_size_t limit; /* of a name, in bytes */
    apr_pool_t *pool;
} level_t;

static bool fold_name(char *name)
{
    bool is_folded = false;

    for (; *name != '\0'; name++) {
        if (!apr_isalnum(*name) && *name != '_') {
            *name = '_';
            is_folded = true;
        }
    }
    return is_folded;
}

/* Tables of httpd's do not know case, so neither may we. */
static const char *key_of(const char *name, apr_pool_t *pool)
{
    char *key = apr_pstrdup(pool, name);

    for (char *p = key; *p != '\0'; p++) {
        *p = (char)apr_tolower(*p);
    }
    return key;
}

static void claim_name(level_t *level, const char *name, const tr_json_t *value, int rank)
{
    const char *key = key_of(name, level->pool);
    claimant_t *claimant = apr_hash_get(level->names, key, APR_HASH_KEY_STRING);

    if (claimant == NULL) {
        claimant = apr_pcalloc(level->pool, sizeof(*claimant));
        claimant->rank = rank + 1;
        apr_hash_set(level->names, key, APR_HASH_KEY_STRING, claimant);
    }
    if (rank < claimant->rank) {
        claimant->name = name;
        claimant->value = value;
        claimant->rank = rank;
        claimant->disputed = false;
    }
    else if (rank == claimant->rank) {
        claimant->disputed = true;
    }
}

/* TR_MAX_JSON_DEPTH bounds the recursion; TR_MAX_CLAIM_NAME_LEN, what many members at the end of a long path cost. */
static void visit(void *baton, const char *claim, const tr_json_t *value)
{
    level_t *level = baton;
    char *folded;
    bool is_folded;
    const char *name;

    if (strlen(level->prefix) + strlen(claim) > level->limit) {
        return;
    }
    folded = apr_pstrdup(level->pool, claim);
    is_folded = fold_name(folded) || level->is_folded;
    name = apr_pstrcat(level->pool, level->prefix, folded, NULL);
    claim_name(level, name, value, 2 * level->depth + is_folded);
    if (tr_json_type(value) == TR_JSON_OBJECT) {
        level_t below = {level->names, apr_pstrcat(level->pool, name, "_", NULL), level->depth + 1, is_folded, level->limit,
                         level->pool};

        tr_json_each(value, visit, &below);
    }
}

static const char *text_of(const tr_json_t *value, apr_pool_t *pool)
{
    tr_str_t text;

    return tr_json_string(&text, value) ? tr_str_dup_z(text, pool) : tr_json_text(value, pool);
}

apr_array_header_t *tr_export_variables(const tr_json_t *payload, const char *prefix, apr_pool_t *pool)
{
    level_t top = {apr_hash_make(pool), prefix, 0, false, strlen(prefix) + TR_MAX_CLAIM_NAME_LEN, pool};
    apr_array_header_t *variables = apr_array_make(pool, 16, sizeof(tr_variable_t));

    tr_json_each(payload, visit, &top);
    for (apr_hash_index_t *i = apr_hash_first(pool, top.names); i != NULL; i = apr_hash_next(i)) {
        const claimant_t *claimant = apr_hash_this_val(i);

        if (!claimant->disputed) {
            tr_variable_t *variable = apr_array_push(variables);

            variable->name = claimant->name;
            variable->value = text_of(claimant->value, pool);
        }
    }
    return variables;
}

apr_status_t tr_export_header(const char **out, const tr_json_t *payload, const char *claim, apr_pool_t *pool)
{
    const tr_json_t *value = tr_json_path(payload, claim);
    tr_str_t text;

    *out = NULL;
    if (value == NULL || tr_json_type(value) == TR_JSON_NULL) {
        return APR_SUCCESS;
    }
    text = tr_str_z(text_of(value, pool));
    if (tr_str_has_control(text)) {
        return TR_MALFORMED;
    }
    if (text.len == 0 || (text.data[0] != ' ' && text.data[text.len - 1] != ' ')) {
        *out = text.data;
    }
    return APR_SUCCESS;
}

/* ---- names of fields ---------------------------------------------------------------------------------------- */

static char fold_byte(char c)
{
    return apr_isalnum(c) ? (char)apr_tolower(c) : '_';
}

bool tr_export_is_same_field(tr_str_t a, tr_str_t b)
{
    if (a.len != b.len) {
        return false;
    }
    for (apr_size_t i = 0; i < a.len; i++) {
        if (fold_byte(a.data[i]) != fold_byte(b.data[i])) {
            return false;
        }
    }
    return true;
}

char *tr_export_strip_list(const char *list, tr_export_name_fn drop, void *baton, apr_pool_t *pool)
{
    static const char separators[] = ",; \t\r\n\v\f\"";
    char *left = apr_palloc(pool, 2 * strlen(list) + 1);
    char *to = left;
    bool dropped = false;

    for (list += strspn(list, separators); *list != '\0'; list += strspn(list, separators)) {
        apr_size_t len = strcspn(list, separators);

        if (drop(baton, tr_str(list, len))) {
            dropped = true;
        }
        else {
            if (to > left) {
                *to++ = ',';
                *to++ = ' ';
            }
            memcpy(to, list, len);
            to += len;
        }
        list += len;
    }
    *to = '\0';
    return dropped ? left : NULL;
}
