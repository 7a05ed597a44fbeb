/* tr_scope.c: which entries end a token, and for how long they are kept. */
#include "tr_gate.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "tr_digest.h"
#include "tr_marks.h"

#define HEX_LEN (2 * TR_SHA256_LEN)
#define FAMILY_LEN 16

static const char hex[] = "0123456789abcdef";

static int64_t add(int64_t a_s, int64_t b_s)
{
    return a_s == TR_FOREVER || b_s == TR_FOREVER || a_s > TR_FOREVER - b_s ? TR_FOREVER : a_s + b_s;
}

static int64_t later(int64_t a_s, int64_t b_s)
{
    return a_s > b_s ? a_s : b_s;
}

/*
 * When a token with this exp can be forgotten: whole seconds, rounded up, and for ever where the number is beyond
 * reason.
 */
static int64_t end_of(double exp_s, int64_t after_s)
{
    if (exp_s >= 9e15) {
        return TR_FOREVER;
    }
    return add(exp_s > 0 ? (int64_t)exp_s + 1 : 1, after_s);
}

static apr_status_t set_digest(tr_entry_t *out, tr_kind_t kind, tr_str_t text, apr_pool_t *pool)
{
    unsigned char *digest = apr_palloc(pool, TR_SHA256_LEN);

    out->kind = kind;
    out->value = tr_str((const char *)digest, TR_SHA256_LEN);
    return tr_sha256(digest, text);
}

apr_status_t tr_gate_entry(tr_entry_t *out, const tr_token_t *token, const tr_keep_t *keep, apr_pool_t *pool)
{
    out->kind = TR_KIND_TOKEN;
    out->issuer = token->iss;
    out->value = token->jti;
    out->issued_before = 0;
    out->expires_s = end_of(token->exp_s, keep->after_s);
    return token->jti.len > 0 ? APR_SUCCESS : set_digest(out, TR_KIND_DIGEST, token->jws.signing_input, pool);
}

apr_status_t tr_gate_entry_opaque(tr_entry_t *out, tr_str_t text, int64_t expires_s, apr_pool_t *pool)
{
    out->issuer = tr_str("", 0);
    out->issued_before = 0;
    out->expires_s = expires_s;
    return set_digest(out, TR_KIND_OPAQUE, text, pool);
}

/*
 * When everything that was issued by then can be forgotten: no access token is accepted for longer than the longest lifetime;
 * refresh tokens may be.
 */
static int64_t end_of_all(const tr_issuer_t *issuer, apr_time_t issued_before, const tr_keep_t *keep, apr_time_t now)
{
    int64_t longest_s = issuer->longest_s != 0 ? issuer->longest_s : issuer->max_lifetime_s;
    int64_t lifetime_s = longest_s == TR_UNLIMITED ? TR_FOREVER : longest_s;
    int64_t end_s = add(add(apr_time_sec(issued_before) + 1, lifetime_s), keep->after_s);

    return keep->refresh_s > 0 ? later(end_s, add(add(apr_time_sec(now) + 1, keep->refresh_s), keep->after_s)) : end_s;
}

void tr_gate_entry_before(tr_entry_t *out, tr_kind_t kind, const tr_issuer_t *issuer, tr_str_t iss, tr_str_t value,
                          apr_time_t issued_before, const tr_keep_t *keep, apr_time_t now)
{
    out->kind = kind;
    out->issuer = iss;
    out->value = kind == TR_KIND_ISSUER ? tr_str("", 0) : value;
    out->issued_before = issued_before;
    out->expires_s = end_of_all(issuer, issued_before, keep, now);
}

void tr_gate_entry_jti(tr_entry_t *out, const tr_issuer_t *issuer, tr_str_t iss, tr_str_t jti, const int64_t *exp_s,
                       const tr_keep_t *keep, apr_time_t now)
{
    out->kind = TR_KIND_TOKEN;
    out->issuer = iss;
    out->value = jti;
    out->issued_before = 0;
    out->expires_s = exp_s != NULL ? add(*exp_s, keep->after_s) : end_of_all(issuer, now, keep, now);
}

apr_status_t tr_gate_scope(tr_entry_t out[TR_SCOPE_ENTRIES], int *n, const tr_token_t *token, tr_scope_t scope,
                           const tr_keep_t *keep, apr_time_t now, apr_pool_t *pool)
{
    tr_str_t value = scope == TR_SCOPE_SESSION ? token->sid : token->sub;
    tr_kind_t kind = scope == TR_SCOPE_SESSION ? TR_KIND_SESSION : TR_KIND_SUBJECT;
    apr_time_t cut_off = now;

    *n = 1;
    if (scope != TR_SCOPE_TOKEN && value.len > 0) {
        /* The issuer's clock may be ahead of ours; no further than what is accepted. */
        if (token->has_iat && token->iat_s > (double)now / APR_USEC_PER_SEC &&
            token->iat_s <= (double)(apr_time_sec(now) + token->issuer->skew_s)) {
            cut_off = (apr_time_t)(token->iat_s * APR_USEC_PER_SEC);
        }
        tr_gate_entry_before(&out[1], kind, token->issuer, token->iss, value, cut_off, keep, now);
        *n = 2;
    }
    return tr_gate_entry(&out[0], token, keep, pool);
}

/* ---- families ---------------------------------------------------------------------------------------------- */

/* One name for what an entry of any kind says of a token, of fixed length. */
static apr_status_t name_of(char name[HEX_LEN + 1], const tr_entry_t *own, apr_pool_t *pool)
{
    const char *head = apr_psprintf(pool, "%s:%" APR_SIZE_T_FMT ":", tr_kind_name(own->kind), own->issuer.len);
    apr_size_t head_len = strlen(head);
    apr_size_t len = head_len + own->issuer.len + own->value.len;
    char *text = apr_palloc(pool, len);
    unsigned char digest[TR_SHA256_LEN];
    apr_status_t rv;

    memcpy(text, head, head_len);
    if (own->issuer.len > 0) {
        memcpy(text + head_len, own->issuer.data, own->issuer.len);
    }
    if (own->value.len > 0) {
        memcpy(text + head_len + own->issuer.len, own->value.data, own->value.len);
    }
    rv = tr_sha256(digest, tr_str(text, len));
    for (int i = 0; i < HEX_LEN && rv == APR_SUCCESS; i++) {
        name[i] = hex[i % 2 == 0 ? digest[i / 2] >> 4 : digest[i / 2] & 15];
    }
    name[rv == APR_SUCCESS ? HEX_LEN : 0] = '\0';
    return rv;
}

apr_status_t tr_gate_member(tr_entry_t *out, const tr_entry_t *own, int64_t number, apr_pool_t *pool)
{
    char *name = apr_palloc(pool, HEX_LEN + 1);
    apr_status_t rv = name_of(name, own, pool);

    out->kind = TR_KIND_MEMBER;
    out->issuer = tr_str("", 0);
    out->value = tr_str_z(name);
    out->issued_before = number;
    out->expires_s = own->expires_s;
    return rv;
}

int64_t tr_family_first(const tr_entry_t *member)
{
    char digits[FAMILY_LEN + 1];

    TR_GIVEN(member->value.data != NULL);
    memcpy(digits, member->value.data, FAMILY_LEN);
    digits[FAMILY_LEN] = '\0';
    return (int64_t)(strtoull(digits, NULL, 16) >> 1);
}

apr_status_t tr_gate_family(int64_t *number, const tr_gate_t *gate, const tr_entry_t *own, apr_pool_t *pool)
{
    tr_entry_t member;
    apr_status_t rv = tr_gate_member(&member, own, 0, pool);

    if (rv == APR_SUCCESS &&
        !tr_table_lookup(gate->table, number, tr_table_mark(gate->table, member.kind, member.issuer, member.value))) {
        *number = tr_family_first(&member);
    }
    return rv;
}

static void name_family(tr_entry_t *out, char name[FAMILY_LEN], int64_t number)
{
    for (int i = 0; i < FAMILY_LEN; i++) {
        name[i] = hex[(uint64_t)number >> (4 * (FAMILY_LEN - 1 - i)) & 15];
    }
    memset(out, 0, sizeof(*out));
    out->kind = TR_KIND_FAMILY;
    out->issuer = tr_str("", 0);
    out->value = tr_str(name, FAMILY_LEN);
}

void tr_gate_family_entry(tr_entry_t *out, int64_t number, int64_t expires_s, apr_pool_t *pool)
{
    name_family(out, apr_palloc(pool, FAMILY_LEN), number);
    out->expires_s = expires_s;
}

tr_mark_t tr_family_mark(const tr_table_t *table, int64_t number)
{
    char name[FAMILY_LEN];
    tr_entry_t family;

    name_family(&family, name, number);
    return tr_table_mark(table, family.kind, family.issuer, family.value);
}
