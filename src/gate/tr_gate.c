/* tr_gate.c: the order in which a token is judged. The first check that fails gives the reason. */
#include "tr_gate.h"

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_marks.h"
#include "tr_recent.h"
#include "tr_reason.h"

#define FAR_S INT64_C(4000000000000) /* seconds since 1970; nobody keeps books so far ahead */

/* What is remembered of signatures, for one token. */
typedef struct memory_t {
    const tr_verified_t *verified; /* NULL: nothing */
    tr_generation_seen_t seen;
    tr_mark_t mark;
} memory_t;

/* Before the first look at keys or rules. */
static void open_memory(memory_t *memory, const tr_gate_t *gate)
{
    memory->verified = gate->verified != NULL && tr_generation_take(&memory->seen, gate->generation) ? gate->verified : NULL;
}

/* Were these bytes signed by these keys, as somebody found before? */
static bool recall(memory_t *memory, tr_str_t text)
{
    if (memory->verified == NULL) {
        return false;
    }
    memory->mark = tr_verified_mark(memory->verified, tr_str((const char *)memory->seen.name, sizeof(memory->seen.name)), text);
    return tr_verified_has(memory->verified, memory->mark);
}

/* Good signatures only: what is bad would only push those out. */
static void remember(const memory_t *memory, const tr_gate_t *gate, const tr_token_t *token, apr_time_t now)
{
    double end_s = token->exp_s + (double)token->issuer->skew_s;

    if (memory->verified != NULL && tr_generation_still(gate->generation, &memory->seen)) {
        tr_verified_put(memory->verified, memory->mark, end_s < (double)FAR_S ? (int64_t)end_s : FAR_S, apr_time_sec(now));
    }
}

static apr_status_t check_signature(const tr_gate_t *gate, const tr_token_t *token)
{
    apr_status_t rv;

    if (gate->may_check != NULL && !gate->may_check()) {
        return TR_BUSY;
    }
    rv = tr_keyring_verify(token->issuer->keyring, &token->jws);
    if (rv == TR_BAD_SIGNATURE && gate->was_forged != NULL) {
        gate->was_forged();
    }
    return rv;
}

/*
 * Format, algorithm, issuer, key, signature, times of the right type, not expired: what a trusted issuer wrote, and
 * alive. Only the signature is remembered, and stands for the key; all else is asked again.
 */
static apr_status_t authenticate(tr_token_t *token, const tr_gate_t *gate, tr_str_t text, apr_time_t now, apr_pool_t *pool)
{
    memory_t memory;
    bool is_known = false;
    apr_status_t rv;

    memset(token, 0, sizeof(*token));
    open_memory(&memory, gate);
    rv = tr_jws_parse(&token->jws, text, pool);
    if (rv == APR_SUCCESS) {
        rv = tr_token_find_issuer(token, gate->issuers);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_token_check_algorithm(token);
    }
    if (rv == APR_SUCCESS) {
        is_known = recall(&memory, text);
        rv = is_known ? APR_SUCCESS : check_signature(gate, token);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_token_read_times(token);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_token_check_expiry(token, now);
    }
    if (rv == APR_SUCCESS && !is_known) {
        remember(&memory, gate, token, now);
    }
    return rv;
}

/* What a token says of when it counts, asked anew each time. */
static apr_status_t check_times(const tr_token_t *token, apr_time_t now)
{
    apr_status_t rv = tr_token_check_begin(token, now);

    return rv == APR_SUCCESS ? tr_token_check_lifetime(token, now) : rv;
}

/* The issuer's rules: what this token is for. */
static apr_status_t check_purpose(const tr_token_t *token)
{
    apr_status_t rv = tr_token_check_audience(token);

    if (rv == APR_SUCCESS) {
        rv = tr_token_check_type(token);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_token_check_use(token);
    }
    return rv;
}

static apr_status_t identify(tr_identity_t *out, const char *user_claim, apr_pool_t *pool)
{
    apr_status_t rv = tr_token_read_identity(&out->token);

    if (rv == APR_SUCCESS && out->token.issuer->require_jti && out->token.jti.len == 0) {
        rv = TR_MALFORMED;
    }
    return rv == APR_SUCCESS ? tr_token_user(&out->user, &out->token, user_claim, pool) : rv;
}

/* That nothing was found counts only if the table knows what others revoked. */
static apr_status_t ask(tr_kind_t *by, const tr_gate_t *gate, const tr_marks_t *marks, const tr_token_t *token,
                        tr_kind_set_t kinds)
{
    if (tr_marks_find(by, marks, gate->table, token, kinds)) {
        return TR_REVOKED;
    }
    return gate->is_informed == NULL || gate->is_informed() ? APR_SUCCESS : TR_GATE_UNINFORMED;
}

apr_status_t tr_gate_check_revoked(tr_kind_t *by, const tr_gate_t *gate, const tr_token_t *token, apr_pool_t *pool)
{
    tr_marks_t marks;
    tr_kind_set_t kinds;
    apr_status_t rv;

    if (gate->table == NULL) {
        return APR_EGENERAL;
    }
    kinds = tr_marks_in_force(gate->table);
    rv = tr_marks_make(&marks, gate->table, token, kinds, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    tr_marks_prefetch(&marks, gate->table, kinds);
    return ask(by, gate, &marks, token, kinds);
}

apr_status_t tr_gate_check_opaque(tr_kind_t *by, const tr_gate_t *gate, tr_str_t text, apr_pool_t *pool)
{
    tr_marks_t marks;
    tr_kind_set_t kinds;
    tr_entry_t own;
    apr_status_t rv;

    if (gate->table == NULL) {
        return APR_EGENERAL;
    }
    kinds = tr_marks_in_force(gate->table);
    rv = tr_gate_entry_opaque(&own, text, TR_FOREVER, pool);
    if (rv == APR_SUCCESS) {
        rv = tr_marks_make_own(&marks, gate->table, &own, kinds, pool);
    }
    return rv == APR_SUCCESS ? ask(by, gate, &marks, NULL, kinds) : rv;
}

/* Everything but revocation, of a token that is not remembered. */
static apr_status_t admit_anew(tr_identity_t *out, const tr_gate_t *gate, tr_str_t text, const char *user_claim, apr_time_t now,
                               apr_pool_t *pool)
{
    apr_status_t rv;

    out->revoked_by = TR_KIND_TOKEN;
    out->remembered = NULL;
    rv = authenticate(&out->token, gate, text, now, pool);
    if (rv == APR_SUCCESS) {
        rv = check_times(&out->token, now);
    }
    if (rv == APR_SUCCESS) {
        rv = check_purpose(&out->token);
    }
    return rv == APR_SUCCESS ? identify(out, user_claim, pool) : rv;
}

/* A remembered token has passed what depends on neither time nor revocations. The rest is asked in the order of above. */
static apr_status_t admit_again(tr_identity_t *out, const tr_gate_t *gate, apr_time_t now, apr_pool_t *pool)
{
    tr_kind_set_t kinds = tr_marks_in_force(gate->table);
    const tr_marks_t *marks;
    apr_status_t known = tr_remembered_marks(&marks, out->remembered, gate->table, kinds, pool);
    apr_status_t rv;

    if (known == APR_SUCCESS) {
        tr_marks_prefetch(marks, gate->table, kinds);
    }
    rv = tr_token_check_expiry(&out->token, now);
    if (rv == APR_SUCCESS) {
        rv = check_times(&out->token, now);
    }
    if (rv == APR_SUCCESS) {
        rv = known;
    }
    return rv == APR_SUCCESS ? ask(&out->revoked_by, gate, marks, &out->token, kinds) : rv;
}

apr_status_t tr_gate_admit(tr_identity_t *out, const tr_gate_t *gate, tr_str_t text, const char *user_claim, apr_time_t now,
                           apr_pool_t *pool)
{
    bool remembers = gate->recent != NULL && gate->generation != NULL && gate->table != NULL;
    uint64_t number = remembers ? tr_generation_number(gate->generation) : 0;
    const tr_identity_t *known;
    apr_status_t rv;

    remembers = remembers && tr_generation_is_some(number);
    known = remembers ? tr_recent_find(gate->recent, gate, number, text, user_claim, pool) : NULL;
    if (known != NULL) {
        *out = *known;
        return admit_again(out, gate, now, pool);
    }
    rv = admit_anew(out, gate, text, user_claim, now, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    /* Under the number of before: when keys have changed meanwhile, nobody would find it, because numbers do not come again. */
    if (remembers && tr_generation_number(gate->generation) == number) {
        tr_recent_put(gate->recent, gate, number, out, user_claim, pool);
    }
    return tr_gate_check_revoked(&out->revoked_by, gate, &out->token, pool);
}

apr_status_t tr_gate_recognize(tr_token_t *out, const tr_gate_t *gate, tr_str_t text, apr_time_t now, apr_pool_t *pool)
{
    apr_status_t rv = authenticate(out, gate, text, now, pool);

    return rv == APR_SUCCESS ? tr_token_read_identity(out) : rv;
}

/*
 * A JWS without its signature is no token of anybody's, but part of one, which must not be named by who knows only that. Returns
 * APR_SUCCESS (it is none), a refusal, or a failure.
 */
static apr_status_t check_unsigned(tr_str_t text, apr_pool_t *pool)
{
    tr_jws_t jws;
    apr_status_t rv = tr_jws_parse(&jws, tr_str_z(apr_pstrcat(pool, tr_str_dup_z(text, pool), ".AA", NULL)), pool);

    if (rv == APR_SUCCESS || rv == TR_ALGORITHM) {
        return TR_MALFORMED;
    }
    return tr_is_refusal(rv) ? APR_SUCCESS : rv;
}

apr_status_t tr_gate_opaque_text(tr_str_t *out, tr_str_t text, apr_status_t verdict, apr_pool_t *pool)
{
    tr_jws_t jws;
    apr_status_t rv;

    if (verdict != TR_MALFORMED && verdict != TR_ALGORITHM && verdict != TR_UNKNOWN_ISSUER && verdict != TR_UNKNOWN_KEY) {
        return TR_MALFORMED;
    }
    if (text.len == 0 || text.len > TR_MAX_TOKEN_LEN) {
        return TR_MALFORMED;
    }
    *out = text;
    rv = tr_jws_parse(&jws, text, pool);
    if (rv != APR_SUCCESS && !tr_is_refusal(rv)) {
        return rv;
    }
    /* Three parts of base64url it is also where nobody here has heard of its algorithm. */
    while ((rv == APR_SUCCESS || rv == TR_ALGORITHM) && out->len > 0 && out->data[--out->len] != '.') {
    }
    return check_unsigned(text, pool);
}
