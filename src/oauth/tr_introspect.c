/* tr_introspect.c: what RFC 7662 says of a token. Whoever asks hears the gate's verdict, and never the reason of a refusal. */
#include "tr_introspect.h"

#include <apr_strings.h>

#include "tr_digest.h"
#include "tr_reason.h"
#include "tr_recent.h"

#define INT64_LIMIT 9223372036854775808.0 /* 2^63 */

/* ---- the claims -------------------------------------------------------------------------------------------- */

/* Pieces of JSON text. */
typedef struct writer_t {
    apr_array_header_t *text; /* const char * */
    apr_pool_t *pool;
} writer_t;

static void put(writer_t *w, const char *name, const char *json)
{
    *(const char **)apr_array_push(w->text) = apr_pstrcat(w->pool, ",", name, ":", json, NULL);
}

/* The members that RFC 7662 2.2 gives a form of their own. A claim "active" is the issuer's word and not ours. */
static bool is_ours(const char *name)
{
    static const char *const ours[] = {"active", "exp", "iat", "nbf", "scope", "client_id", "token_type"};

    for (apr_size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (strcmp(name, ours[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void put_claim(void *baton, const char *name, const tr_json_t *value)
{
    writer_t *w = baton;

    if (!is_ours(name)) {
        put(w, tr_json_quote(tr_str_z(name), w->pool), tr_json_text(value, w->pool));
    }
}

/* Towards the past. seconds is within 64 bits. */
static apr_int64_t whole(double seconds)
{
    apr_int64_t n = (apr_int64_t)seconds;

    return (double)n > seconds ? n - 1 : n;
}

/* RFC 7662 2.2: an integer. What a JWT says may have a fraction, or be beyond any clock. */
static void put_date(writer_t *w, const tr_json_t *payload, const char *name)
{
    const tr_json_t *value = tr_json_get(payload, name);
    const char *quoted = apr_pstrcat(w->pool, "\"", name, "\"", NULL);
    double seconds;

    if (!tr_json_number(&seconds, value)) {
        return;
    }
    if (tr_json_type(value) == TR_JSON_INTEGER) {
        put(w, quoted, tr_json_text(value, w->pool));
    }
    else if (seconds >= -INT64_LIMIT && seconds < INT64_LIMIT) {
        put(w, quoted, apr_psprintf(w->pool, "%" APR_INT64_T_FMT, whole(seconds)));
    }
}

/* RFC 6749 3.3 scope-token. One that holds a blank would be read as two. */
static bool is_scope(tr_str_t s)
{
    for (apr_size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];

        if (c <= ' ' || c > '~' || c == '"' || c == '\\') {
            return false;
        }
    }
    return s.len > 0;
}

/* The scopes in value, a string or an array of strings, as one string; empty for anything else. */
static tr_str_t join_scopes(const tr_json_t *value, apr_pool_t *pool)
{
    apr_array_header_t *words;
    tr_str_t one = {NULL, 0};

    if (value == NULL || tr_json_string(&one, value) || tr_json_type(value) != TR_JSON_ARRAY) {
        return one;
    }
    words = apr_array_make(pool, 8, sizeof(const char *));
    for (apr_size_t i = 0; i < tr_json_len(value); i++) {
        if (tr_json_string(&one, tr_json_at(value, i)) && is_scope(one)) {
            *(const char **)apr_array_push(words) = tr_str_dup_z(one, pool);
        }
    }
    return tr_str_z(apr_array_pstrcat(pool, words, ' '));
}

static void put_text(writer_t *w, const char *name, tr_str_t value)
{
    if (value.len > 0) {
        put(w, name, tr_json_quote(value, w->pool));
    }
}

char *tr_introspect_claims(const tr_token_t *token, const tr_json_t *payload, apr_pool_t *pool)
{
    const tr_json_t *scope = tr_json_get(payload, "scope");
    writer_t w = {apr_array_make(pool, 64, sizeof(const char *)), pool};

    *(const char **)apr_array_push(w.text) = "{\"active\":true,\"token_type\":\"Bearer\"";
    put_text(&w, "\"scope\"", join_scopes(scope != NULL ? scope : tr_json_get(payload, "scp"), pool));
    put_text(&w, "\"client_id\"", token->client_id);
    put_date(&w, payload, "exp");
    put_date(&w, payload, "iat");
    put_date(&w, payload, "nbf");
    tr_json_each(payload, put_claim, &w);
    *(const char **)apr_array_push(w.text) = "}";
    return apr_array_pstrcat(pool, w.text, 0);
}

/* ---- the answer -------------------------------------------------------------------------------------------- */

static void answer_failed(tr_answer_t *out, apr_status_t verdict, apr_pool_t *pool)
{
    out->verdict = verdict;
    out->retry_after_s = TR_RETRY_AFTER_S;
    tr_answer_error(out, TR_ANSWERS_RFC7009, 503, "temporarily_unavailable", "The token cannot be checked now", pool);
}

/* RFC 7662 2.1: a hint, whatever it says, may be ignored: there is one kind of token to look for. */
void tr_introspect_answer(tr_answer_t *out, const tr_params_t *params, const tr_gate_t *gate, const char *user_claim,
                          apr_time_t now, apr_pool_t *pool)
{
    const tr_json_t *payload = NULL;
    tr_identity_t identity;
    tr_str_t text;

    if (tr_params_get(&text, params, "token") != APR_SUCCESS) {
        tr_answer_refuse(out, TR_ANSWERS_RFC7009, 400, "The parameter token is missing", pool);
        return;
    }
    memset(out, 0, sizeof(*out));
    out->fingerprint = tr_fingerprint(text, pool);
    out->verdict = tr_gate_admit(&identity, gate, text, user_claim, now, pool);
    if (out->verdict == APR_SUCCESS) {
        payload = tr_recent_payload(&identity, pool);
        out->verdict = payload != NULL ? APR_SUCCESS : APR_ENOMEM;
    }
    if (out->verdict != APR_SUCCESS && !tr_is_refusal(out->verdict)) {
        answer_failed(out, out->verdict, pool);
        return;
    }
    out->status = 200;
    out->body = out->verdict == APR_SUCCESS ? tr_introspect_claims(&identity.token, payload, pool) : "{\"active\":false}";
}
