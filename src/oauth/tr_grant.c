/* tr_grant.c: every refresh token that some reader may find in a request, however it is spelled. */
#include <apr_lib.h>

#include "tr_guard.h"
#include "tr_json.h"

#define GRANT_TYPE "granttype"
#define REFRESH_TOKEN "refreshtoken"

/* ---- spelling ------------------------------------------------------------------------------------------------- */

/*
 * What is left of text when all is taken away that some reader folds, trims or passes over: small letters and digits. Letters
 * that become ASCII when their case changes (U+017F, U+212A) count as that. out has room for text.len bytes.
 */
static tr_str_t reduce(char *out, tr_str_t text)
{
    apr_size_t len = 0;

    for (apr_size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c < 0x80 && apr_isalnum(c)) {
            out[len++] = (char)apr_tolower(c);
        }
        else if (text.len - i >= 2 && memcmp(text.data + i, "\xc5\xbf", 2) == 0) {
            out[len++] = 's';
        }
        else if (text.len - i >= 3 && memcmp(text.data + i, "\xe2\x84\xaa", 3) == 0) {
            out[len++] = 'k';
        }
    }
    return tr_str(out, len);
}

static tr_str_t until(tr_str_t text, char mark)
{
    const char *at = text.len > 0 ? memchr(text.data, mark, text.len) : NULL;

    return at != NULL ? tr_str(text.data, (apr_size_t)(at - text.data)) : text;
}

static tr_str_t trim(tr_str_t text)
{
    while (text.len > 0 && (unsigned char)text.data[0] <= ' ') {
        text = tr_str(text.data + 1, text.len - 1);
    }
    while (text.len > 0 && (unsigned char)text.data[text.len - 1] <= ' ') {
        text.len--;
    }
    return text;
}

/*
 * May a reader take text for word? With or without what stands behind a NUL, and behind the bracket of an array. scratch has
 * room for text.len bytes.
 */
static bool is_spelling_of(const char *word, tr_str_t text, char *scratch)
{
    tr_str_t head = until(text, '\0');

    return tr_str_eq_z(reduce(scratch, text), word) || tr_str_eq_z(reduce(scratch, head), word) ||
           tr_str_eq_z(reduce(scratch, until(head, '[')), word);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of the count hexadecimal digits that text begins with; -1: it does not. */
static int hex_number(tr_str_t text, apr_size_t count)
{
    int number = 0;

    for (apr_size_t i = 0; i < count; i++) {
        if (i >= text.len || hex(text.data[i]) < 0) {
            return -1;
        }
        number = number * 16 + hex(text.data[i]);
    }
    return number;
}

#define PLUS_IS_SPACE 1
#define KNOWS_U 2 /* %u0041, also in letters of full width, as some servers read it */
#define WAYS 4

/* The byte that the escape at the begin of text means, and its length; -1: it is none. */
static int unescape(apr_size_t *len, tr_str_t text, int way)
{
    bool is_u = (way & KNOWS_U) != 0 && text.len > 1 && (text.data[1] | 0x20) == 'u';
    apr_size_t skip = is_u ? 2 : 1;
    int number = hex_number(tr_str(text.data + skip, text.len - skip), is_u ? 4 : 2);

    *len = is_u ? 6 : 3;
    if (is_u && number >= 0xff01 && number <= 0xff5e) {
        number -= 0xfee0;
    }
    return is_u && number > 0x7f ? -1 : number;
}

/* Percent-decode in one way; a broken escape stands for itself. out has room for in.len bytes. */
static tr_str_t decode(char *out, tr_str_t in, int way)
{
    apr_size_t len = 0;
    apr_size_t escape_len;

    for (apr_size_t i = 0; i < in.len; i++) {
        char c = in.data[i];

        if (c == '+' && (way & PLUS_IS_SPACE)) {
            c = ' ';
        }
        else if (c == '%') {
            int byte = unescape(&escape_len, tr_str(in.data + i, in.len - i), way);

            if (byte >= 0) {
                c = (char)byte;
                i += escape_len - 1;
            }
        }
        out[len++] = c;
    }
    return tr_str(out, len);
}

/* ---- what was found ------------------------------------------------------------------------------------------- */

static void add_reading(tr_grant_t *grant, tr_str_t token)
{
    if (token.len == 0) {
        return; /* RFC 6749 3.1: as if it were not there */
    }
    for (int i = 0; i < grant->n; i++) {
        if (tr_str_eq(grant->token[i], token)) {
            return;
        }
    }
    if (grant->n == TR_MAX_GRANT_TOKENS) {
        grant->doubt = "The request has too many refresh tokens";
        return;
    }
    grant->token[grant->n++] = token;
}

/* Decoders of base64 pass over line ends. */
static tr_str_t without_controls(tr_str_t text, apr_pool_t *pool)
{
    char *left = apr_palloc(pool, text.len + 1);
    apr_size_t len = 0;

    for (apr_size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.data[i] >= ' ') {
            left[len++] = text.data[i];
        }
    }
    return tr_str(left, len);
}

static void add_token(tr_grant_t *grant, tr_str_t text, apr_pool_t *pool)
{
    tr_str_t head = until(text, '\0');

    add_reading(grant, text);
    add_reading(grant, trim(text));
    add_reading(grant, head);
    add_reading(grant, trim(head));
    add_reading(grant, without_controls(trim(head), pool));
}

static void add_type(tr_grant_t *grant, tr_str_t text, apr_pool_t *pool)
{
    if (trim(text).len > 0) {
        grant->names_type = true;
        grant->is_refresh = grant->is_refresh || is_spelling_of(REFRESH_TOKEN, text, apr_palloc(pool, text.len));
    }
}

/* ---- forms ---------------------------------------------------------------------------------------------------- */

typedef struct reader_t {
    tr_grant_t *grant;
    char *name;    /* room for a name, decoded */
    char *scratch; /* and reduced */
    apr_pool_t *pool;
} reader_t;

static reader_t reader_of(tr_grant_t *grant, apr_size_t longest, apr_pool_t *pool)
{
    reader_t reader = {grant, apr_palloc(pool, longest + 1), apr_palloc(pool, longest + 1), pool};

    return reader;
}

static bool is_named(const reader_t *reader, tr_str_t raw, const char *word)
{
    return is_spelling_of(word, decode(reader->name, raw, 0), reader->scratch) ||
           is_spelling_of(word, decode(reader->name, raw, KNOWS_U), reader->scratch);
}

static void read_pair(const reader_t *reader, tr_str_t pair)
{
    tr_str_t name = until(pair, '=');
    tr_str_t value = name.len < pair.len ? tr_str(pair.data + name.len + 1, pair.len - name.len - 1) : tr_str("", 0);
    bool is_token = is_named(reader, name, REFRESH_TOKEN);

    if (value.len == 0 || (!is_token && !is_named(reader, name, GRANT_TYPE))) {
        return;
    }
    for (int way = 0; way < WAYS; way++) {
        tr_str_t text = decode(apr_palloc(reader->pool, value.len), value, way);

        if (is_token) {
            add_token(reader->grant, text, reader->pool);
        }
        else {
            add_type(reader->grant, text, reader->pool);
        }
    }
}

static void read_pairs(const reader_t *reader, tr_str_t text, const char *separators)
{
    const char *end = text.data + text.len;

    for (const char *p = text.data; p < end; p++) {
        const char *from = p;

        while (p < end && (*p == '\0' || strchr(separators, *p) == NULL)) {
            p++;
        }
        read_pair(reader, tr_str(from, (apr_size_t)(p - from)));
    }
}

void tr_grant_read_form(tr_grant_t *grant, tr_str_t text, apr_pool_t *pool)
{
    reader_t reader = reader_of(grant, text.len, pool);

    if (text.len == 0) {
        return;
    }
    read_pairs(&reader, text, "&");
    if (memchr(text.data, ';', text.len) != NULL) {
        read_pairs(&reader, text, "&;");
    }
}

/* ---- JSON ----------------------------------------------------------------------------------------------------- */

static void read_member(void *baton, const char *name, const tr_json_t *value);

static void read_nested(const reader_t *reader, const tr_json_t *value)
{
    if (tr_json_type(value) == TR_JSON_OBJECT) {
        tr_json_each(value, read_member, (void *)reader);
    }
    for (apr_size_t i = 0; tr_json_type(value) == TR_JSON_ARRAY && i < tr_json_len(value); i++) {
        read_nested(reader, tr_json_at(value, i));
    }
}

/* A value may stand in an array; null is as if it were not there, and anything else nobody can be sure of. */
static void read_value(const reader_t *reader, const tr_json_t *value, bool is_token)
{
    tr_str_t text;

    if (tr_json_string(&text, value)) {
        if (is_token) {
            add_token(reader->grant, text, reader->pool);
        }
        else {
            add_type(reader->grant, text, reader->pool);
        }
        return;
    }
    if (tr_json_type(value) == TR_JSON_ARRAY) {
        for (apr_size_t i = 0; i < tr_json_len(value); i++) {
            read_value(reader, tr_json_at(value, i), is_token);
        }
    }
    else if (is_token && tr_json_type(value) != TR_JSON_NULL) {
        reader->grant->doubt = "The parameter refresh_token is no string";
    }
}

static void read_member(void *baton, const char *name, const tr_json_t *value)
{
    const reader_t *reader = baton;
    char *scratch = apr_palloc(reader->pool, strlen(name) + 1);

    if (is_spelling_of(REFRESH_TOKEN, tr_str_z(name), scratch)) {
        read_value(reader, value, true);
    }
    else if (is_spelling_of(GRANT_TYPE, tr_str_z(name), scratch)) {
        read_value(reader, value, false);
    }
    else {
        read_nested(reader, value);
    }
}

static apr_status_t read_json(tr_grant_t *grant, tr_str_t body, apr_pool_t *pool)
{
    reader_t reader = {grant, NULL, NULL, pool};
    const tr_json_t *document;
    apr_status_t rv = tr_json_parse(&document, body, pool);

    if (rv == APR_SUCCESS) {
        tr_json_each(document, read_member, &reader);
    }
    if (rv == APR_ENOMEM) {
        grant->is_unread = true;
        grant->fault = "There is no memory to read the body";
    }
    return rv;
}

/* ---- bodies --------------------------------------------------------------------------------------------------- */

static bool has_word(tr_str_t reduced, const char *word)
{
    apr_size_t len = strlen(word);

    for (apr_size_t i = 0; i + len <= reduced.len; i++) {
        if (memcmp(reduced.data + i, word, len) == 0) {
            return true;
        }
    }
    return false;
}

/* Is every charset in it one where ASCII stands for itself? */
static bool has_plain_charset(tr_str_t reduced)
{
    static const char *const plain[] = {"utf8", "usascii", "ascii", "iso8859", "latin1", "windows125"};
    static const char word[] = "charset";

    for (apr_size_t i = 0; i + sizeof(word) - 1 <= reduced.len; i++) {
        tr_str_t rest = tr_str(reduced.data + i + sizeof(word) - 1, reduced.len - i - (sizeof(word) - 1));
        bool is_plain = memcmp(reduced.data + i, word, sizeof(word) - 1) != 0;

        for (apr_size_t k = 0; k < sizeof(plain) / sizeof(plain[0]) && !is_plain; k++) {
            is_plain = rest.len >= strlen(plain[k]) && memcmp(rest.data, plain[k], strlen(plain[k])) == 0;
        }
        if (!is_plain) {
            return false;
        }
    }
    return true;
}

tr_grant_body_t tr_grant_body(const char *content_type, apr_pool_t *pool)
{
    tr_str_t text = tr_str_z(content_type);
    tr_str_t reduced = reduce(apr_palloc(pool, text.len + 1), text);
    bool is_form = has_word(reduced, "urlencoded") || text.len == 0 || memchr(text.data, '/', text.len) == NULL;
    bool is_json = has_word(reduced, "json");
    bool is_multipart = has_word(reduced, "multipart");

    if (!is_form && !is_json && !is_multipart) {
        return TR_GRANT_BODY_OTHER;
    }
    /* RFC 8187: a star behind the name, and the value is spelled otherwise. */
    if (is_form + is_json + is_multipart > 1 || !has_plain_charset(reduced) ||
        (has_word(reduced, "charset") && memchr(text.data, '*', text.len) != NULL)) {
        return TR_GRANT_BODY_DOUBTFUL;
    }
    return is_form ? TR_GRANT_BODY_FORM : is_json ? TR_GRANT_BODY_JSON : TR_GRANT_BODY_MULTIPART;
}

/*
 * RFC 6749 3.2 knows no multipart, and its readers differ too much to be followed. So one in which a refresh token may hide goes
 * no further: with the words in it, or with an encoding that could hide them.
 */
static bool hides_exchange(const tr_grant_t *grant, tr_str_t body, apr_pool_t *pool)
{
    tr_str_t decoded = decode(apr_palloc(pool, body.len), body, 0);
    tr_str_t reduced = reduce(apr_palloc(pool, body.len), decoded);

    return grant->is_refresh || has_word(reduced, REFRESH_TOKEN) || has_word(reduced, "contenttransferencodingbase64") ||
           has_word(reduced, "contenttransferencodingquotedprintable") || !has_plain_charset(reduced);
}

static void read_object(tr_grant_t *grant, tr_str_t body, apr_pool_t *pool)
{
    if (read_json(grant, body, pool) != APR_SUCCESS && !grant->is_unread) {
        grant->fault = "The body is not one JSON object without duplicate members";
    }
}

void tr_grant_read_body(tr_grant_t *grant, tr_grant_body_t type, tr_str_t body, apr_pool_t *pool)
{
    tr_str_t trimmed = trim(body);
    bool is_json = trimmed.len > 0 && trimmed.data[0] == '{';

    if (body.len == 0) {
        return;
    }
    switch (type) {
    case TR_GRANT_BODY_FORM:
        tr_grant_read_form(grant, body, pool);
        /* Some look at the first character rather than at Content-Type. */
        if (is_json) {
            (void)read_json(grant, body, pool);
        }
        break;
    case TR_GRANT_BODY_JSON:
        read_object(grant, body, pool);
        break;
    case TR_GRANT_BODY_MULTIPART:
        if (hides_exchange(grant, body, pool)) {
            grant->fault = "A refresh token must come as application/x-www-form-urlencoded";
        }
        break;
    case TR_GRANT_BODY_ANY:
        /* Some never look at Content-Type at all. */
        tr_grant_read_form(grant, body, pool);
        if (is_json) {
            read_object(grant, body, pool);
        }
        break;
    case TR_GRANT_BODY_DOUBTFUL:
        grant->fault = "The Content-Type can be read in two ways";
        break;
    default:
        break;
    }
}

bool tr_grant_is_exchange(const tr_grant_t *grant)
{
    return (grant->n > 0 || grant->doubt != NULL) && (grant->is_refresh || !grant->names_type);
}

const char *tr_grant_fault(const tr_grant_t *grant)
{
    return grant->fault != NULL ? grant->fault : tr_grant_is_exchange(grant) ? grant->doubt : NULL;
}
