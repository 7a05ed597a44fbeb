/*
 * tr_json.h: strict reading of JSON (RFC 8259), hiding the library that does it.
 *
 * A document is one object (for tr_json_parse_any also one array) in valid UTF-8, with no duplicate members at any level, no
 * U+0000, and at most TR_MAX_JSON_DEPTH levels. A number that no 64-bit integer or double can hold reads as null (it is no
 * number to us), and an integer beyond 64 bits as the nearest double, so that a claim that nobody asks for is no reason to
 * refuse a token.
 */
#ifndef TR_JSON_H
#define TR_JSON_H

#include "tr_base.h"

typedef struct tr_json_t tr_json_t; /* a value; lives as long as its document */

typedef enum tr_json_type_t {
    TR_JSON_OBJECT,
    TR_JSON_ARRAY,
    TR_JSON_STRING,
    TR_JSON_INTEGER,
    TR_JSON_REAL,
    TR_JSON_BOOLEAN,
    TR_JSON_NULL
} tr_json_type_t;

/* Parse text. The document is freed with pool. Returns APR_SUCCESS, TR_MALFORMED, or APR_ENOMEM. */
TR_MUST_CHECK apr_status_t tr_json_parse(const tr_json_t **out, tr_str_t text, apr_pool_t *pool);

/* The same, and on an error *why (may be NULL) says what is wrong, for an administrator. */
TR_MUST_CHECK apr_status_t tr_json_parse_why(const tr_json_t **out, const char **why, tr_str_t text, apr_pool_t *pool);

/*
 * The same for a document that is one object or one array, of at most max_values values in all. *why must not be NULL.
 */
TR_MUST_CHECK apr_status_t tr_json_parse_any(const tr_json_t **out, const char **why, tr_str_t text, apr_size_t max_values,
                                             apr_pool_t *pool);

tr_json_type_t tr_json_type(const tr_json_t *value);

/* The member name of object; NULL if it is absent, or object is NULL or no object. */
const tr_json_t *tr_json_get(const tr_json_t *object, const char *name);

/*
 * The member whose whole name is path, else path split at dots, followed through nested objects; NULL if there is none.
 */
const tr_json_t *tr_json_path(const tr_json_t *object, const char *path);

/* True and *out set if value is a string. NULL is no string. */
bool tr_json_string(tr_str_t *out, const tr_json_t *value);

/* True and *out set if value is a number; always finite. NULL is no number. */
bool tr_json_number(double *out, const tr_json_t *value);

/* Elements of an array, or members of an object; 0 for anything else. */
apr_size_t tr_json_len(const tr_json_t *value);

/* An array's element i, counted from 0; NULL beyond the end. */
const tr_json_t *tr_json_at(const tr_json_t *array, apr_size_t i);

/*
 * Call visit for each member of object, in no certain order. name is NUL-terminated and lives as long as the document.
 */
typedef void (*tr_json_member_fn)(void *baton, const char *name, const tr_json_t *value);
void tr_json_each(const tr_json_t *object, tr_json_member_fn visit, void *baton);

/* Overwrite a string that is a secret; it stays as long, of NUL bytes. Anything else, and NULL, is left alone. */
void tr_json_wipe(const tr_json_t *value);

/*
 * Take a document away from the pool it was parsed in: the caller owns it from now on, and frees it by tr_json_drop. Any number
 * of threads may read it meanwhile. False: it stays the pool's, because this version of the library lets only one thread read.
 */
TR_MUST_CHECK bool tr_json_adopt(const tr_json_t *document, apr_pool_t *pool);
void tr_json_drop(const tr_json_t *document);

/*
 * Bytes of memory that value takes, estimated: rather too many than too few. *has_control: does a string or a member's name
 * anywhere in it hold a control character (tr_str_has_control)?
 */
apr_size_t tr_json_weigh(bool *has_control, const tr_json_t *value);

/* Compact JSON text of any value, in pool. */
char *tr_json_text(const tr_json_t *value, apr_pool_t *pool);

/* s as a JSON string with its quotes, in pool. s should be UTF-8; what is not becomes U+FFFD. */
char *tr_json_quote(tr_str_t s, apr_pool_t *pool);

#endif
