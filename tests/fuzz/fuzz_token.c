/*
 * Tokens at the gate. An input is a token as it stands; or, if it begins with '{', a header and behind the first newline a payload,
 * which are signed here, so that the search gets past the signature.
 */
#include "world.h"

#include <apr_strings.h>
#include <openssl/evp.h>

#include "mutate.h"
#include "tr_base64url.h"
#include "tr_export.h"
#include "tr_introspect.h"
#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_recent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max,
                                 unsigned int seed);

/* One letter of the signature changed: the token must fall. */
static void forge(const world_t *w, const char *text, size_t len)
{
    tr_identity_t id;
    char *forged = apr_pstrmemdup(w->pool, text, len);
    char *letter = strrchr(forged, '.') + 10;
    *letter = *letter == 'A' ? 'B' : 'A';
    ALWAYS(tr_gate_admit(&id, &w->gate, tr_str(forged, len), "sub", WORLD_NOW, w->pool) == TR_BAD_SIGNATURE);
    ALWAYS(tr_gate_admit(&id, &w->remembering, tr_str(forged, len), "sub", WORLD_NOW, w->pool) == TR_BAD_SIGNATURE);
}

/* What is known to be clean may be exported without another look. */
static void export_claim(void *baton, const char *name, const tr_json_t *value)
{
    const tr_identity_t *id = ((void **)baton)[0];
    apr_pool_t *pool = ((void **)baton)[1];
    const char *text = NULL, *kept = NULL;
    (void)value;
    if (tr_json_get(tr_recent_payload(id, pool), name) != NULL)
        ALWAYS(tr_export_header(&text, tr_recent_payload(id, pool), name, pool) == APR_SUCCESS);
    ALWAYS(tr_recent_header(&kept, id, name, pool) == tr_export_header(&text, tr_recent_payload(id, pool), name, pool));
    ALWAYS((kept == NULL) == (text == NULL) && (text == NULL || strcmp(kept, text) == 0));
}

static void check_exports(const tr_identity_t *id, const char *claims, apr_pool_t *pool)
{
    void *baton[] = {(void *)id, pool};
    ALWAYS(strcmp(tr_json_text(tr_recent_payload(id, pool), pool), claims) == 0);
    ALWAYS(tr_recent_variables(id, "C_", pool)->nelts == tr_export_variables(tr_recent_payload(id, pool), "C_", pool)->nelts);
    if (tr_recent_is_clean(id))
        tr_json_each(tr_recent_payload(id, pool), export_claim, baton);
}

/* A gate that remembers says the same, the first time, when it knows the signature, and when it knows all of the token. */
static void check_memory(const world_t *w, tr_str_t text, apr_status_t verdict, const tr_identity_t *first)
{
    const char *claims = verdict == APR_SUCCESS ? tr_json_text(first->token.jws.payload, w->pool) : NULL;
    for (int i = 0; i < 4; i++) {
        tr_identity_t id;
        ALWAYS(tr_gate_admit(&id, &w->remembering, text, "sub", WORLD_NOW, w->pool) == verdict);
        if (verdict == APR_SUCCESS) {
            ALWAYS(strcmp(id.user, first->user) == 0);
            check_exports(&id, claims, w->pool);
        }
    }
}

/* What passes can be revoked, and then passes no more. */
static void check_revocation(const world_t *w, const tr_identity_t *id, tr_str_t text)
{
    tr_gate_t gate = w->gate;
    tr_table_t *table = world_table(2, w->pool);
    tr_identity_t again;
    tr_token_t token;
    tr_entry_t entry;
    gate.table = table;
    ALWAYS(tr_gate_recognize(&token, &gate, text, WORLD_NOW, w->pool) == APR_SUCCESS);
    ALWAYS(tr_gate_entry(&entry, &id->token, &(tr_keep_t){60, 0}, w->pool) == APR_SUCCESS);
    ALWAYS(entry.expires_s >= WORLD_NOW / 1000000);
    ALWAYS(tr_gate_admit(&again, &gate, text, "sub", WORLD_NOW, w->pool) == APR_SUCCESS);
    tr_table_begin_locked(table);
    ALWAYS(tr_table_insert_locked(table, &entry, WORLD_NOW / 1000000) == APR_SUCCESS);
    tr_table_end_locked(table);
    ALWAYS(tr_gate_admit(&again, &gate, text, "sub", WORLD_NOW, w->pool) == TR_REVOKED);
}

/* What is said of a token is one object, with no member twice, whatever its claims are called. */
static void check_introspection(const world_t *w, const tr_identity_t *id)
{
    const char *text = tr_introspect_claims(&id->token, tr_recent_payload(id, w->pool), w->pool);
    ALWAYS(world_is_json_object(text));
    ALWAYS(strncmp(text, "{\"active\":true,", 15) == 0);
}

/* One text has one spelling, and another decoder reads the same bytes in it. */
static void check_spelling(tr_str_t part, apr_pool_t *pool)
{
    tr_str_t bytes;
    char *padded = apr_pstrcat(pool, tr_str_dup_z(part, pool), "===", NULL);
    unsigned char *other = apr_palloc(pool, part.len + 4);
    ALWAYS(tr_base64url_decode(&bytes, part, pool) == APR_SUCCESS);
    ALWAYS(tr_str_eq_z(part, tr_base64url_encode(bytes, pool)));
    for (char *p = padded; *p != '\0'; p++)
        *p = (char)(*p == '-' ? '+' : *p == '_' ? '/' : *p);
    int len = EVP_DecodeBlock(other, (unsigned char *)padded, (int)((part.len + 3) / 4 * 4));
    ALWAYS(len >= (int)bytes.len && memcmp(other, bytes.data, bytes.len) == 0);
}

static void check_jws(const tr_jws_t *jws, tr_str_t text, apr_pool_t *pool)
{
    size_t header = (size_t)((const char *)memchr(text.data, '.', text.len) - text.data);
    check_spelling(tr_str(text.data, header), pool);
    check_spelling(tr_str(text.data + header + 1, jws->signing_input.len - header - 1), pool);
    check_spelling(tr_str(text.data + jws->signing_input.len + 1, text.len - jws->signing_input.len - 1), pool);
    ALWAYS(text.len <= TR_MAX_TOKEN_LEN);
    ALWAYS(jws->signing_input.data == text.data && jws->signing_input.len < text.len);
    ALWAYS(jws->signature.len > 0 && jws->kid.len <= TR_MAX_IDENTIFIER_LEN);
    ALWAYS(tr_json_type(jws->header) == TR_JSON_OBJECT && tr_json_type(jws->payload) == TR_JSON_OBJECT);
    ALWAYS(jws->alg < TR_ALGS);
}

static void check(const world_t *w, tr_str_t text)
{
    static const char *const user_claims[] = {"sub", "act.sub", "client_id"};
    tr_identity_t id;
    tr_token_t token;
    tr_jws_t jws;
    apr_status_t parsed = tr_jws_parse(&jws, text, w->pool);
    ALWAYS(parsed == APR_SUCCESS || parsed == TR_MALFORMED || parsed == TR_ALGORITHM);
    if (parsed == APR_SUCCESS)
        check_jws(&jws, text, w->pool);
    apr_status_t known = tr_gate_recognize(&token, &w->gate, text, WORLD_NOW, w->pool);
    ALWAYS(known == APR_SUCCESS || tr_is_refusal(known));
    ALWAYS(parsed == APR_SUCCESS || known == parsed);
    for (size_t i = 0; i < 3; i++) {
        apr_status_t rv = tr_gate_admit(&id, &w->gate, text, user_claims[i], WORLD_NOW, w->pool);
        ALWAYS(rv == APR_SUCCESS || tr_is_refusal(rv));
        if (i == 0)
            check_memory(w, text, rv, &id);
        if (rv != APR_SUCCESS)
            continue;
        ALWAYS(known == APR_SUCCESS && *id.user && !tr_str_has_control(tr_str_z(id.user)));
        if (i > 0)
            continue;
        check_revocation(w, &id, text);
        check_introspection(w, &id);
        forge(w, text.data, text.len);
    }
}

static void judge(const world_t *w, const uint8_t *data, size_t size)
{
    tr_str_t text = tr_str((const char *)data, size);
    const char *newline = size > 0 && data[0] == '{' ? memchr(data, '\n', size) : NULL;
    if (newline) {
        tr_str_t header = tr_str(text.data, (size_t)(newline - text.data));
        text = tr_str_z(world_sign(header, tr_str(newline + 1, text.len - header.len - 1), w->pool));
    }
    check(w, text);
}

/* ---- changes ------------------------------------------------------------------------------------------------- */

/* A token as the two lines that it says, to be signed here. False: it is none. */
static bool as_two_lines(tr_str_t *out, tr_str_t *signature, tr_str_t text, apr_pool_t *pool)
{
    const char *first = text.len > 0 ? memchr(text.data, '.', text.len) : NULL;
    const char *end = text.data + text.len, *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    tr_str_t header, payload;
    if (second == NULL || tr_base64url_decode(&header, tr_str(text.data, (size_t)(first - text.data)), pool) != APR_SUCCESS ||
        tr_base64url_decode(&payload, tr_str(first + 1, (size_t)(second - first - 1)), pool) != APR_SUCCESS ||
        (header.len > 0 && memchr(header.data, '\n', header.len) != NULL))
        return false;
    char *lines = apr_palloc(pool, header.len + payload.len + 1);
    memcpy(lines, header.data, header.len);
    lines[header.len] = '\n';
    memcpy(lines + header.len + 1, payload.data, payload.len);
    *out = tr_str(lines, header.len + payload.len + 1);
    *signature = tr_str(second + 1, (size_t)(end - second - 1));
    return true;
}

/* The token of two lines, with a signature that was another's. */
static tr_str_t as_token(tr_str_t lines, tr_str_t signature, apr_pool_t *pool)
{
    const char *newline = memchr(lines.data, '\n', lines.len);
    size_t header = newline != NULL ? (size_t)(newline - lines.data) : lines.len;
    size_t behind = newline != NULL ? header + 1 : header;
    return tr_str_z(apr_pstrcat(pool, tr_base64url_encode(tr_str(lines.data, header), pool), ".",
                                tr_base64url_encode(tr_str(lines.data + behind, lines.len - behind), pool), ".",
                                tr_str_dup_z(signature, pool), NULL));
}

/* What the token says is changed; then half of them are signed here, and half keep the signature that they had. */
static size_t change_token(uint8_t *data, size_t size, size_t max, unsigned int seed, apr_pool_t *pool)
{
    tr_str_t lines, signature;
    if (mutate_pick(&seed, 3) == 0 || !as_two_lines(&lines, &signature, tr_str((const char *)data, size), pool))
        return LLVMFuzzerMutate(data, size, max);
    uint8_t *changed = apr_palloc(pool, max);
    size_t len = lines.len < max ? lines.len : max;
    memcpy(changed, lines.data, len);
    len = mutate_two_lines(changed, len, max, seed, &mutate_header_words, &mutate_claim_words);
    tr_str_t out = tr_str((char *)changed, len);
    if (mutate_pick(&seed, 2) == 0)
        out = as_token(out, signature, pool);
    if (out.len == 0 || out.len > max)
        return LLVMFuzzerMutate(data, size, max);
    memcpy(data, out.data, out.len);
    return out.len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
    world_t *w = world_for_one_input();
    size_t changed = size > 0 && data[0] == '{'
                         ? mutate_two_lines(data, size, max, seed, &mutate_header_words, &mutate_claim_words)
                         : change_token(data, size, max, seed, w->pool);
    world_done();
    return changed;
}

/* The header of one, and what the other says. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max,
                                 unsigned int seed)
{
    uint8_t apart = a_size > 0 && a[0] == '{' ? '\n' : '.';
    const uint8_t *first = a_size > 0 ? memchr(a, apart, a_size) : NULL, *second = b_size > 0 ? memchr(b, apart, b_size) : NULL;
    size_t head = first != NULL ? (size_t)(first - a) : a_size / 2;
    const uint8_t *from = second != NULL ? second : b + b_size / 2;
    size_t tail = (size_t)(b + b_size - from);
    (void)seed;
    head = head < max ? head : max;
    tail = tail < max - head ? tail : max - head;
    memcpy(out, a, head);
    memcpy(out + head, from, tail);
    return head + tail;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
