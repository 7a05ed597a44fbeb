/*
 * tr_json_plain.c: see tr_json_plain.h.
 *
 * A part of RFC 8259 in which there is nothing to interpret: strings of printable ASCII without escapes, integers of up to 18
 * digits, true, false, null, arrays and objects. At the first byte of anything else it gives up.
 */
#include "tr_json_plain.h"

#include "tr_limits.h"

#define MAX_NAME_LEN 255
#define MAX_DIGITS 18 /* 64 bits hold them all */

typedef struct reader_t {
    const char *p, *end;
    int depth;
} reader_t;

static json_t *read_value(reader_t *r);

static void skip_space(reader_t *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r')) {
        r->p++;
    }
}

/* Is c the next byte that is no space? Then it is behind us. */
static bool take(reader_t *r, char c)
{
    skip_space(r);
    if (r->p == r->end || *r->p != c) {
        return false;
    }
    r->p++;
    return true;
}

static bool take_word(reader_t *r, const char *word, apr_size_t len)
{
    if ((apr_size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0) {
        return false;
    }
    r->p += len;
    return true;
}

/* Printable ASCII but quote and backslash. */
static const bool is_plain[256] = {[' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};

/* Between its quotes. False: there is none, or not a plain one. */
static bool take_string(tr_str_t *out, reader_t *r)
{
    const char *begin;

    if (!take(r, '"')) {
        return false;
    }
    for (begin = r->p; r->p < r->end && is_plain[(unsigned char)*r->p]; r->p++) {
    }
    *out = tr_str(begin, (apr_size_t)(r->p - begin));
    return r->p < r->end && *r->p++ == '"';
}

/* What follows it is looked at by who reads what it is part of. */
static json_t *read_integer(reader_t *r)
{
    bool is_negative = *r->p == '-';
    const char *begin;
    json_int_t value = 0;

    r->p += is_negative;
    for (begin = r->p; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++) {
        if (r->p - begin == MAX_DIGITS) {
            return NULL;
        }
        value = value * 10 + (*r->p - '0');
    }
    if (r->p == begin || (*begin == '0' && r->p - begin > 1)) {
        return NULL;
    }
    return json_integer(is_negative ? -value : value);
}

/* Adds value, which it takes over. False: there is a member of that name. */
static bool add_member(json_t *object, tr_str_t name, json_t *value)
{
    char name_z[MAX_NAME_LEN + 1];
    size_t size = json_object_size(object);

    if (name.len > MAX_NAME_LEN) {
        json_decref(value);
        return false;
    }
    memcpy(name_z, name.data, name.len);
    name_z[name.len] = '\0';
    return json_object_set_new_nocheck(object, name_z, value) == 0 && json_object_size(object) == size + 1;
}

static bool read_members(json_t *object, reader_t *r)
{
    if (take(r, '}')) {
        return true;
    }
    do {
        tr_str_t name;
        json_t *value;

        if (!take_string(&name, r) || !take(r, ':')) {
            return false;
        }
        value = read_value(r);
        if (value == NULL || !add_member(object, name, value)) {
            return false;
        }
    } while (take(r, ','));
    return take(r, '}');
}

static bool read_elements(json_t *array, reader_t *r)
{
    if (take(r, ']')) {
        return true;
    }
    do {
        json_t *value = read_value(r);

        if (value == NULL || json_array_append_new(array, value) != 0) {
            return false;
        }
    } while (take(r, ','));
    return take(r, ']');
}

/* Behind its opening bracket. */
static json_t *read_inside(reader_t *r, json_t *made, bool (*read)(json_t *, reader_t *))
{
    if (made == NULL || r->depth == TR_MAX_JSON_DEPTH) {
        json_decref(made);
        return NULL;
    }
    r->depth++;
    if (!read(made, r)) {
        json_decref(made);
        return NULL;
    }
    r->depth--;
    return made;
}

/* TR_MAX_JSON_DEPTH bounds the recursion. */
static json_t *read_value(reader_t *r)
{
    tr_str_t text;

    skip_space(r);
    if (r->p == r->end) {
        return NULL;
    }
    switch (*r->p) {
    case '"':
        return take_string(&text, r) ? json_stringn_nocheck(text.data, text.len) : NULL;
    case '{':
        r->p++;
        return read_inside(r, json_object(), read_members);
    case '[':
        r->p++;
        return read_inside(r, json_array(), read_elements);
    case 't':
        return take_word(r, "true", 4) ? json_true() : NULL;
    case 'f':
        return take_word(r, "false", 5) ? json_false() : NULL;
    case 'n':
        return take_word(r, "null", 4) ? json_null() : NULL;
    default:
        return *r->p == '-' || (*r->p >= '0' && *r->p <= '9') ? read_integer(r) : NULL;
    }
}

json_t *tr_json_plain(tr_str_t text)
{
    reader_t r = {text.data, text.data + text.len, 0};
    json_t *object;

    if (!take(&r, '{')) {
        return NULL;
    }
    object = read_inside(&r, json_object(), read_members);
    skip_space(&r);
    if (object != NULL && r.p != r.end) {
        json_decref(object);
        return NULL;
    }
    return object;
}
