/*
 * tr_json.c: jansson behind our door. tr_json_t is its json_t under another name.
 *
 * jansson refuses a whole document for one number that does not fit. We look at few numbers, so only after such a
 * failure the text is written anew with the misfits replaced (see tame_numbers), and parsed again.
 */
#include "tr_json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include <apr_strings.h>
#include <jansson.h>

#include "tr_digest.h"
#include "tr_json_plain.h"
#include "tr_json_read.h"
#include "tr_limits.h"
#include "tr_reason.h"

static const json_t *in(const tr_json_t *value)
{
    return (const json_t *)value;
}

static const tr_json_t *out_of(const json_t *value)
{
    return (const tr_json_t *)value;
}

static apr_status_t release(void *document)
{
    json_decref(document);
    return APR_SUCCESS;
}

/* The end of the string that begins at p with a quote: just behind its closing quote, or end. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++) {
        if (*p == '\\' && p + 1 < end) {
            p++;
        }
    }
    return p < end ? p + 1 : end;
}

/* Before jansson sees the text; unbalanced brackets are its business. */
typedef struct shape_t {
    int depth;
    apr_size_t values; /* at most so many */
} shape_t;

/* Ends where the text is deeper than is sane. */
static shape_t shape_of(tr_str_t text)
{
    const char *end = text.data + text.len;
    shape_t shape = {0, 1};
    int depth = 0;

    for (const char *p = text.data; p < end && shape.depth <= TR_MAX_JSON_DEPTH;) {
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        if (*p == '{' || *p == '[') {
            depth++;
            shape.values++;
        }
        depth -= *p == '}' || *p == ']';
        shape.values += *p == ',';
        shape.depth = depth > shape.depth ? depth : shape.depth;
        p++;
    }
    return shape;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p)) {
        p++;
    }
    return p;
}

/* The end of the number that begins at p (RFC 8259 6), or NULL if there is none. */
static const char *skip_number(const char *p, const char *end)
{
    const char *digits = p + (p < end && *p == '-');

    p = skip_digits(digits, end);
    if (p == digits || (*digits == '0' && p - digits > 1)) {
        return NULL;
    }
    if (p < end && *p == '.') {
        digits = p + 1;
        p = skip_digits(digits, end);
        if (p == digits) {
            return NULL;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        digits = p + 1 + (p + 1 < end && (p[1] == '+' || p[1] == '-'));
        p = skip_digits(digits, end);
        if (p == digits) {
            return NULL;
        }
    }
    /* Anything but white space and structure behind it makes it none. */
    return p == end || strchr(" \t\r\n,]}", *p) != NULL ? p : NULL;
}

/*
 * A number's text as jansson can hold it: as it is; an integer beyond 64 bits as a real; a real beyond double as null.
 */
static const char *tame_number(const char *text)
{
    double real = strtod(text, NULL);

    if (!isfinite(real)) {
        return "null";
    }
    if (strpbrk(text, ".eE") == NULL) {
        errno = 0;
        (void)strtoll(text, NULL, 10);
        return errno == ERANGE ? "e0" : "";
    }
    return "";
}

/* A copy of text in which every number fits. Nothing else changes, so what was no JSON stays no JSON. */
static tr_str_t tame_numbers(tr_str_t text, apr_pool_t *pool)
{
    const char *end = text.data + text.len;
    char *copy = apr_palloc(pool, text.len * 3 + 1);
    char *to = copy;

    for (const char *p = text.data; p < end;) {
        const char *from = p;
        const char *number_end = skip_number(p, end);
        const char *change = "";

        if (number_end != NULL) {
            p = number_end;
            change = tame_number(apr_pstrmemdup(pool, from, (apr_size_t)(p - from)));
        }
        else {
            /* Digits that make no number are passed over whole: looking into them again and again takes quadratic time. */
            p = *p == '"' ? skip_string(p, end) : *p == '-' || is_digit(*p) ? skip_digits(p + 1, end) : p + 1;
        }
        if (*change != 'n') {
            memcpy(to, from, (apr_size_t)(p - from));
            to += p - from;
        }
        memcpy(to, change, strlen(change));
        to += strlen(change);
    }
    return tr_str(copy, (apr_size_t)(to - copy));
}

static json_t *load(tr_str_t text, json_error_t *error, apr_pool_t *pool)
{
    apr_pool_t *scratch;
    json_t *document;

    apr_pool_create(&scratch, pool);
    document = tr_json_read(text, error, scratch);

    if (document == NULL && json_error_code(error) == json_error_numeric_overflow) {
        text = tame_numbers(text, scratch);
        document = tr_json_read(text, error, scratch);
        tr_wipe((char *)text.data, text.len); /* it may hold secrets */
    }
    apr_pool_destroy(scratch);
    return document;
}

/* What is wrong with text before the library looks at it: NULL for nothing. */
static const char *text_fault(tr_str_t text, apr_size_t max_values)
{
    shape_t shape;

    if (text.len == 0) {
        return "it is empty";
    }
    /* jansson overlooks a NUL behind a number. */
    if (memchr(text.data, '\0', text.len) != NULL) {
        return "it holds a NUL";
    }
    shape = shape_of(text);
    if (shape.depth > TR_MAX_JSON_DEPTH) {
        return "it is nested deeper than 32 levels";
    }
    return shape.values > max_values ? "it holds too many values" : NULL;
}

static apr_status_t parse(json_t **out, const char **why, tr_str_t text, apr_size_t max_values, apr_pool_t *pool)
{
    json_error_t error;

    /* Nearly all claims are plain. Where values are limited they must be counted before anything is made of them. */
    *out = max_values == APR_SIZE_MAX ? tr_json_plain(text) : NULL;
    if (*out != NULL) {
        apr_pool_cleanup_register(pool, *out, release, apr_pool_cleanup_null);
        return APR_SUCCESS;
    }
    *why = text_fault(text, max_values);
    if (*why != NULL) {
        return TR_MALFORMED;
    }
    *out = load(text, &error, pool);
    if (*out == NULL && error.text[0] == '\0') {
        *why = "there is no memory to read it";
        return APR_ENOMEM;
    }
    if (*out == NULL) {
        *why = tr_json_explain(&error, pool);
        return TR_MALFORMED;
    }
    apr_pool_cleanup_register(pool, *out, release, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

apr_status_t tr_json_parse_any(const tr_json_t **out, const char **why, tr_str_t text, apr_size_t max_values, apr_pool_t *pool)
{
    json_t *document;
    apr_status_t rv = parse(&document, why, text, max_values, pool);

    if (rv == APR_SUCCESS) {
        *out = out_of(document);
    }
    return rv;
}

apr_status_t tr_json_parse_why(const tr_json_t **out, const char **why, tr_str_t text, apr_pool_t *pool)
{
    const char *unasked = NULL;
    json_t *document;
    apr_status_t rv;

    why = why != NULL ? why : &unasked;
    rv = parse(&document, why, text, APR_SIZE_MAX, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!json_is_object(document)) {
        *why = "it is not a JSON object";
        return TR_MALFORMED;
    }
    *out = out_of(document);
    return APR_SUCCESS;
}

apr_status_t tr_json_parse(const tr_json_t **out, tr_str_t text, apr_pool_t *pool)
{
    return tr_json_parse_why(out, NULL, text, pool);
}

tr_json_type_t tr_json_type(const tr_json_t *value)
{
    switch (json_typeof(in(value))) {
    case JSON_OBJECT:
        return TR_JSON_OBJECT;
    case JSON_ARRAY:
        return TR_JSON_ARRAY;
    case JSON_STRING:
        return TR_JSON_STRING;
    case JSON_INTEGER:
        return TR_JSON_INTEGER;
    case JSON_REAL:
        return TR_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return TR_JSON_BOOLEAN;
    default:
        return TR_JSON_NULL;
    }
}

const tr_json_t *tr_json_get(const tr_json_t *object, const char *name)
{
    return out_of(json_object_get(in(object), name));
}

const tr_json_t *tr_json_path(const tr_json_t *object, const char *path)
{
    const tr_json_t *value = tr_json_get(object, path);
    const char *dot = strchr(path, '.');
    apr_size_t len;

    if (value != NULL || dot == NULL) {
        return value;
    }
    for (len = (apr_size_t)(dot - path); dot != NULL; len = dot != NULL ? (apr_size_t)(dot - path) : 0) {
        char name[TR_MAX_CLAIM_NAME_LEN + 1];

        if (len >= sizeof(name)) {
            return NULL;
        }
        memcpy(name, path, len);
        name[len] = '\0';
        object = tr_json_get(object, name);
        path = dot + 1;
        dot = strchr(path, '.');
    }
    return tr_json_get(object, path);
}

bool tr_json_string(tr_str_t *out, const tr_json_t *value)
{
    if (!json_is_string(in(value))) {
        return false;
    }
    *out = tr_str(json_string_value(in(value)), json_string_length(in(value)));
    return true;
}

bool tr_json_number(double *out, const tr_json_t *value)
{
    if (!json_is_number(in(value))) {
        return false;
    }
    *out = json_number_value(in(value));
    return isfinite(*out);
}

apr_size_t tr_json_len(const tr_json_t *value)
{
    return json_is_object(in(value)) ? json_object_size(in(value)) : json_array_size(in(value));
}

const tr_json_t *tr_json_at(const tr_json_t *array, apr_size_t i)
{
    return out_of(json_array_get(in(array), i));
}

void tr_json_each(const tr_json_t *object, tr_json_member_fn visit, void *baton)
{
    json_t *o = (json_t *)object; /* the iterator's own state is not const */

    for (void *i = json_object_iter(o); i != NULL; i = json_object_iter_next(o, i)) {
        visit(baton, json_object_iter_key(i), out_of(json_object_iter_value(i)));
    }
}

void tr_json_wipe(const tr_json_t *value)
{
    if (json_is_string(in(value))) {
        tr_wipe((char *)json_string_value(in(value)), json_string_length(in(value)));
    }
}

/* ---- owners and weight ------------------------------------------------------------------------------------- */

/* Before 2.12, json_dumps writes into the value that it reads. */
#define CAN_BE_READ_BY_ALL (JANSSON_VERSION_HEX >= 0x020c00)

/* The owner changes instead of one more being counted: not every build of the library counts references atomically. */
bool tr_json_adopt(const tr_json_t *document, apr_pool_t *pool)
{
    if (CAN_BE_READ_BY_ALL) {
        apr_pool_cleanup_kill(pool, document, release);
    }
    return CAN_BE_READ_BY_ALL;
}

void tr_json_drop(const tr_json_t *document)
{
    json_decref((json_t *)document);
}

/* Bytes of the library's structures, with what malloc adds; objects and arrays empty, strings and names without their text. */
enum { OBJECT = 320, MEMBER = 128, ARRAY = 160, ELEMENT = 16, STRING = 96, NUMBER = 48 };

static apr_size_t weigh(bool *has_control, const json_t *value);

static apr_size_t weigh_object(bool *has_control, json_t *object)
{
    apr_size_t weight = OBJECT;

    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        tr_str_t name = tr_str_z(json_object_iter_key(i));

        *has_control = *has_control || tr_str_has_control(name);
        weight += MEMBER + name.len + weigh(has_control, json_object_iter_value(i));
    }
    return weight;
}

static apr_size_t weigh_array(bool *has_control, const json_t *array)
{
    apr_size_t weight = ARRAY;

    for (apr_size_t i = 0; i < json_array_size(array); i++) {
        weight += ELEMENT + weigh(has_control, json_array_get(array, i));
    }
    return weight;
}

/* TR_MAX_JSON_DEPTH bounds the recursion. */
static apr_size_t weigh(bool *has_control, const json_t *value)
{
    tr_str_t text;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return weigh_object(has_control, (json_t *)value); /* the iterator's own state is not const */
    case JSON_ARRAY:
        return weigh_array(has_control, value);
    case JSON_STRING:
        text = tr_str(json_string_value(value), json_string_length(value));
        *has_control = *has_control || tr_str_has_control(text);
        return STRING + text.len;
    case JSON_INTEGER:
    case JSON_REAL:
        return NUMBER;
    default:
        return 0;
    }
}

apr_size_t tr_json_weigh(bool *has_control, const tr_json_t *value)
{
    *has_control = false;
    return weigh(has_control, in(value));
}

/* ---- text -------------------------------------------------------------------------------------------------- */

static char *dump(const json_t *value, apr_pool_t *pool)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    char *copy = apr_pstrdup(pool, text != NULL ? text : "null");

    free(text);
    return copy;
}

char *tr_json_text(const tr_json_t *value, apr_pool_t *pool)
{
    return dump(in(value), pool);
}

/* Bytes that are no ASCII become U+FFFD, so that the rest can still be shown. */
static json_t *ascii_of(tr_str_t s, apr_pool_t *pool)
{
    char *copy = apr_palloc(pool, s.len * 3 + 1);
    char *to = copy;

    for (apr_size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.data[i] < 0x80) {
            *to++ = s.data[i];
        }
        else {
            memcpy(to, "\xef\xbf\xbd", 3);
            to += 3;
        }
    }
    return json_stringn(copy, (apr_size_t)(to - copy));
}

char *tr_json_quote(tr_str_t s, apr_pool_t *pool)
{
    json_t *value = json_stringn(s.len > 0 ? s.data : "", s.len);
    char *text;

    if (value == NULL) {
        value = ascii_of(s, pool);
    }
    text = dump(value, pool);
    json_decref(value);
    return text;
}
