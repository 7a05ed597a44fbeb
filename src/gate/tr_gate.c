/* tr_gate.c: the order in which a token is judged. The first check that fails gives the reason. */
#include "tr_gate.h"

#include "tr_digest.h"
#include "tr_reason.h"

/*
 * Format, algorithm, issuer, key, signature, times of the right type, not expired: what a trusted issuer wrote, and
 * alive.
 */
static apr_status_t authenticate(tr_token_t *token, const tr_gate_t *gate, tr_str_t text, apr_time_t now, apr_pool_t *pool)
{
    apr_status_t rv;

    memset(token, 0, sizeof(*token));
    rv = tr_jws_parse(&token->jws, text, pool);
    if (rv == APR_SUCCESS) {
        rv = tr_token_find_issuer(token, gate->issuers);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_token_check_algorithm(token);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_keyring_verify(token->issuer->keyring, &token->jws);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_token_read_times(token);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_token_check_expiry(token, now);
    }
    return rv;
}

/* The issuer's rules: what this token is for. */
static apr_status_t check_rules(const tr_token_t *token, apr_time_t now)
{
    apr_status_t rv = tr_token_check_begin(token, now);

    if (rv == APR_SUCCESS) {
        rv = tr_token_check_lifetime(token, now);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_token_check_audience(token);
    }
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

static apr_status_t check_revocation(const tr_token_t *token, const tr_gate_t *gate, apr_pool_t *pool)
{
    tr_entry_t own;
    apr_status_t rv;

    if (gate->table == NULL) {
        return APR_EGENERAL;
    }
    rv = tr_gate_entry(&own, token, 0, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (tr_table_lookup(gate->table, NULL, tr_table_mark(gate->table, own.kind, own.issuer, own.value))) {
        return TR_REVOKED;
    }
    return gate->is_informed == NULL || gate->is_informed() ? APR_SUCCESS : TR_GATE_UNINFORMED;
}

apr_status_t tr_gate_admit(tr_identity_t *out, const tr_gate_t *gate, tr_str_t text, const char *user_claim, apr_time_t now,
                           apr_pool_t *pool)
{
    apr_status_t rv = authenticate(&out->token, gate, text, now, pool);

    if (rv == APR_SUCCESS) {
        rv = check_rules(&out->token, now);
    }
    if (rv == APR_SUCCESS) {
        rv = identify(out, user_claim, pool);
    }
    return rv == APR_SUCCESS ? check_revocation(&out->token, gate, pool) : rv;
}

apr_status_t tr_gate_recognize(tr_token_t *out, const tr_gate_t *gate, tr_str_t text, apr_time_t now, apr_pool_t *pool)
{
    apr_status_t rv = authenticate(out, gate, text, now, pool);

    return rv == APR_SUCCESS ? tr_token_read_identity(out) : rv;
}

/*
 * When a token with this exp can be forgotten: whole seconds, rounded up, and for ever where the number is beyond
 * reason.
 */
static int64_t end_of(double exp_s, int64_t keep_s)
{
    if (exp_s >= 9e15) {
        return TR_FOREVER;
    }
    return exp_s > 0 ? (int64_t)exp_s + 1 + keep_s : keep_s + 1;
}

apr_status_t tr_gate_entry(tr_entry_t *out, const tr_token_t *token, int64_t keep_s, apr_pool_t *pool)
{
    unsigned char *digest;

    out->kind = TR_KIND_TOKEN;
    out->issuer = token->iss;
    out->value = token->jti;
    out->issued_before = 0;
    out->expires_s = end_of(token->exp_s, keep_s);
    if (token->jti.len > 0) {
        return APR_SUCCESS;
    }
    digest = apr_palloc(pool, TR_SHA256_LEN);
    out->kind = TR_KIND_DIGEST;
    out->value = tr_str((const char *)digest, TR_SHA256_LEN);
    return tr_sha256(digest, token->jws.signing_input);
}
