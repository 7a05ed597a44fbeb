/*
 * tr_clients_file.c: the file of TokRevokeClients. A line that is not understood makes the whole file an error: half a file would
 * turn clients away, or let somebody in whom the administrator took out.
 */
#include "tr_client.h"

#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "tr_file.h"
#include "tr_limits.h"

#define CRYPT_ALPHABET "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define BASE64_ALPHABET "+/0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define BCRYPT_MAX_COST 17 /* as htpasswd: minutes of work for one secret are a slip of the pen */
#define SHA_MAX_ROUNDS 10000000

struct tr_clients_t {
    apr_hash_t *hash;             /* id -> const char *; "" for a public client */
    apr_array_header_t *secretly; /* const char *: the hashes of the confidential ones, in the file's order */
};

/* ---- what a hash looks like -------------------------------------------------------------------------------- */

/* Does text go on with min to max characters of the alphabet? *text goes on behind them. */
static bool take_run(const char **text, const char *alphabet, apr_size_t min, apr_size_t max)
{
    apr_size_t n = strspn(*text, alphabet);

    *text += n;
    return n >= min && n <= max;
}

static bool take_text(const char **text, const char *wanted)
{
    apr_size_t len = strlen(wanted);

    if (strncmp(*text, wanted, len) != 0) {
        return false;
    }
    *text += len;
    return true;
}

/* $2y$10$ and 53 characters: 22 of the salt, 31 of the hash. */
static bool is_bcrypt(const char *text)
{
    int cost;

    if (!take_text(&text, "$2a$") && !take_text(&text, "$2b$") && !take_text(&text, "$2y$")) {
        return false;
    }
    if (!apr_isdigit(text[0]) || !apr_isdigit(text[1]) || text[2] != '$') {
        return false;
    }
    cost = (text[0] - '0') * 10 + (text[1] - '0');
    text += 3;
    return cost >= 4 && cost <= BCRYPT_MAX_COST && take_run(&text, CRYPT_ALPHABET, 53, 53) && *text == '\0';
}

/* prefix, salt, '$', hash */
static bool is_salted(const char *text, const char *prefix, bool has_rounds, apr_size_t max_salt, apr_size_t hash_len)
{
    if (!take_text(&text, prefix)) {
        return false;
    }
    if (has_rounds && take_text(&text, "rounds=")) {
        const char *number = text;

        if (!take_run(&text, "0123456789", 1, 9) || apr_atoi64(number) > SHA_MAX_ROUNDS || !take_text(&text, "$")) {
            return false;
        }
    }
    return take_run(&text, CRYPT_ALPHABET, 1, max_salt) && take_text(&text, "$") &&
           take_run(&text, CRYPT_ALPHABET, hash_len, hash_len) && *text == '\0';
}

static bool is_sha1(const char *text)
{
    return take_text(&text, "{SHA}") && take_run(&text, BASE64_ALPHABET, 27, 27) && take_text(&text, "=") && *text == '\0';
}

static bool is_des(const char *text)
{
    return take_run(&text, CRYPT_ALPHABET, 13, 13) && *text == '\0';
}

/* Is it something that apr_password_validate can tell a secret by? Anything else would never match, or be a secret in plain. */
static bool is_hash(const char *text)
{
    return is_bcrypt(text) || is_salted(text, "$apr1$", false, 8, 22) || is_salted(text, "$1$", false, 8, 22) ||
           is_salted(text, "$5$", true, 16, 43) || is_salted(text, "$6$", true, 16, 86) || is_sha1(text) || is_des(text);
}

/* ---- lines ------------------------------------------------------------------------------------------------- */

/* NULL, or what is wrong with the id. A '+' stands for itself here, unlike in a form. */
static const char *read_id(tr_str_t *out, tr_str_t raw, apr_pool_t *pool)
{
    char *escaped = apr_palloc(pool, 3 * raw.len + 1);
    apr_size_t len = 0;

    for (apr_size_t i = 0; i < raw.len; i++) {
        if (raw.data[i] == '+') {
            memcpy(escaped + len, "%2B", 3);
            len += 3;
        }
        else {
            escaped[len++] = raw.data[i];
        }
    }
    if (tr_form_decode(out, tr_str(escaped, len), pool) != APR_SUCCESS) {
        return "a '%' in the client_id begins no percent escape; write %25 for a '%'";
    }
    if (out->len == 0) {
        return "the client_id before the ':' is empty";
    }
    if (out->len > TR_MAX_IDENTIFIER_LEN) {
        return "the client_id is longer than 1024 bytes";
    }
    return tr_str_has_control(*out) ? "the client_id holds a control character" : NULL;
}

static const char *add_client(tr_clients_t *clients, tr_str_t id, char *hash)
{
    if (apr_hash_get(clients->hash, id.data, (apr_ssize_t)id.len) != NULL) {
        return "this client_id was in the file before";
    }
    apr_hash_set(clients->hash, id.data, (apr_ssize_t)id.len, hash);
    if (hash[0] == '\0') {
        return NULL;
    }
    if (!is_hash(hash)) {
        return "what follows the ':' is no hash that is known here; make one with htpasswd -B, and leave it empty only for a public "
               "client";
    }
    /* The same algorithm; apr-util knows its newer name only by way of the C library. */
    if (hash[0] == '$' && hash[1] == '2') {
        hash[2] = 'y';
    }
    APR_ARRAY_PUSH(clients->secretly, const char *) = hash;
    return NULL;
}

static bool is_blank(tr_str_t line)
{
    for (apr_size_t i = 0; i < line.len; i++) {
        if (line.data[i] != ' ' && line.data[i] != '\t') {
            return false;
        }
    }
    return true;
}

/* NULL, or what is wrong with the line. */
static const char *read_line(tr_clients_t *clients, tr_str_t line, bool is_whole, apr_pool_t *pool)
{
    const char *colon, *wrong;
    tr_str_t id, hash;

    if (is_blank(line) || line.data[0] == '#') {
        return NULL;
    }
    colon = memchr(line.data, ':', line.len);
    if (colon == NULL) {
        return "there is no ':'";
    }
    hash = tr_str(colon + 1, line.len - (apr_size_t)(colon + 1 - line.data));
    if (hash.len > 0 && memchr(hash.data, '\0', hash.len) != NULL) {
        return "it holds a NUL";
    }
    /* A file that is being written, or was when the disk was full: its last client must not become a public one. */
    if (hash.len == 0 && !is_whole) {
        return "the line of a public client has no end; the file may be cut off";
    }
    wrong = read_id(&id, tr_str(line.data, (apr_size_t)(colon - line.data)), pool);
    return wrong != NULL ? wrong : add_client(clients, id, tr_str_dup_z(hash, pool));
}

apr_status_t tr_clients_parse(tr_clients_t **out, const char **why, tr_str_t text, apr_pool_t *pool)
{
    tr_clients_t *clients = apr_palloc(pool, sizeof(*clients));
    const char *end;
    int number = 1;

    clients->hash = apr_hash_make(pool);
    clients->secretly = apr_array_make(pool, 16, sizeof(const char *));
    if (text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0) {
        text = tr_str(text.data + 3, text.len - 3); /* some editors mark UTF-8 so */
    }
    end = text.len > 0 ? text.data + text.len : text.data;
    for (const char *p = text.data; p < end; number++) {
        const char *newline = memchr(p, '\n', (apr_size_t)(end - p));
        tr_str_t line = tr_str(p, (apr_size_t)((newline != NULL ? newline : end) - p));
        const char *wrong;

        p = newline != NULL ? newline + 1 : end;
        if (line.len > 0 && line.data[line.len - 1] == '\r') {
            line.len--;
        }
        wrong = read_line(clients, line, newline != NULL, pool);
        if (wrong != NULL) {
            *why = apr_psprintf(pool, "line %d: %s", number, wrong);
            return APR_EINVAL;
        }
    }
    if (apr_hash_count(clients->hash) == 0) {
        *why = "it names no client";
        return APR_EINVAL;
    }
    *out = clients;
    return APR_SUCCESS;
}

apr_status_t tr_clients_read(tr_clients_t **out, const char **why, const char *path, uid_t user, apr_pool_t *pool)
{
    tr_str_t text;
    const char *wrong;

    if (tr_file_read(&text, &wrong, path, TR_MAX_CLIENTS_LEN, TR_FILE_OWN, user, pool) != APR_SUCCESS ||
        tr_clients_parse(out, &wrong, text, pool) != APR_SUCCESS) {
        *why = apr_psprintf(pool, "%s: %s", path, wrong);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

apr_status_t tr_clients_check(const char **why, const char *path, uid_t user, apr_pool_t *pool)
{
    tr_clients_t *clients;

    return tr_clients_read(&clients, why, path, user, pool);
}

const char *tr_clients_hash(const tr_clients_t *clients, tr_str_t id)
{
    return apr_hash_get(clients->hash, id.data, (apr_ssize_t)id.len);
}

/* The choice hangs on a hash that nobody outside knows: who could foretell it, could tell from the time that an id is not there. */
const char *tr_clients_other_hash(const tr_clients_t *clients, tr_str_t id)
{
    unsigned char digest[TR_SHA256_LEN];
    tr_siphash_key_t key = {0, 0};
    tr_siphash_t h;
    uint64_t out[2];

    if (clients->secretly->nelts == 0) {
        return NULL;
    }
    if (tr_sha256(digest, tr_str_z(APR_ARRAY_IDX(clients->secretly, 0, const char *))) == APR_SUCCESS) {
        memcpy(&key, digest, sizeof(key));
    }
    tr_siphash_init(&h, &key);
    tr_siphash_feed(&h, id.data, id.len);
    tr_siphash_done(out, &h);
    return APR_ARRAY_IDX(clients->secretly, (int)(out[0] % (uint64_t)clients->secretly->nelts), const char *);
}
