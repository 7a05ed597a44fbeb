/*
 * tr_guard.c: a revoked refresh token goes no further. With rotation, one that was exchanged is revoked, and one that is shown again
 * ends its family: either the client or somebody else has a copy, and nobody can tell who came first (RFC 9700 4.14.2).
 */
#include "tr_guard.h"

#include <apr_strings.h>

#include "tr_json.h"
#include "tr_reason.h"
#include "tr_table.h"

/* Reasons, as the store keeps them. */
#define ROTATION "refresh token rotation"
#define REUSE "refresh token reuse"

/* ---- answers -------------------------------------------------------------------------------------------------- */

static void refuse(tr_guard_outcome_t *out, int status, const char *code, const char *sentence, apr_pool_t *pool)
{
    out->answer.retry_after_s = status == 503 ? TR_RETRY_AFTER_S : 0;
    out->answer.verdict = APR_EINVAL;
    out->answer.detail = sentence;
    tr_answer_error(&out->answer, TR_ANSWERS_RFC7009, status, code, sentence, pool);
}

static void refuse_revoked(tr_guard_outcome_t *out, tr_guard_event_t event, apr_pool_t *pool)
{
    out->event = event;
    refuse(out, 400, "invalid_grant", "The refresh token was revoked", pool);
}

static void refuse_for_now(tr_guard_outcome_t *out, tr_guard_event_t event, apr_status_t rv, apr_pool_t *pool)
{
    out->event = event;
    out->rv = rv;
    refuse(out, 503, "temporarily_unavailable", "The refresh token cannot be exchanged now", pool);
}

void tr_guard_withhold(tr_guard_outcome_t *out, tr_str_t old, apr_pool_t *pool)
{
    memset(out, 0, sizeof(*out));
    out->event = TR_GUARD_UNREADABLE;
    out->token = old;
    refuse(out, 502, "server_error", "The answer of the token endpoint cannot be understood", pool);
}

/* ---- one token ------------------------------------------------------------------------------------------------ */

typedef struct shown_t {
    tr_str_t text;
    tr_str_t opaque; /* what names it where its claims do not: the text, or of a JWS the signing input */
    tr_str_t plain;  /* the same as its issuer will have spelled it */
    bool has_claims; /* token says whose it is */
    bool is_certain; /* and a trusted issuer wrote that */
    tr_token_t token;
} shown_t;

/*
 * The claims of a JWS whose signature is not good, or not good as it is spelled here: servers pass over characters in it that are
 * none of base64url, and bits that mean nothing. What is written in it may refuse a token, but changes nothing. Returns
 * APR_SUCCESS, or a failure: what it says is not known.
 */
static apr_status_t read_claims(shown_t *shown, const tr_gate_t *gate, apr_pool_t *pool)
{
    const char *dot = shown->text.len > 0 ? memchr(shown->text.data, '.', shown->text.len) : NULL;
    const char *end = shown->text.data + shown->text.len;
    tr_token_t *token = &shown->token;
    apr_status_t rv;

    dot = dot != NULL ? memchr(dot + 1, '.', (apr_size_t)(end - dot - 1)) : NULL;
    memset(token, 0, sizeof(*token));
    /* What stands behind a third dot is no reason to look away: some split at dots and forget empty parts. */
    if (dot == NULL) {
        return APR_SUCCESS;
    }
    shown->opaque = tr_str(shown->text.data, (apr_size_t)(dot - shown->text.data));
    rv = tr_jws_parse(&token->jws, tr_str_z(apr_pstrcat(pool, tr_str_dup_z(shown->opaque, pool), ".AA", NULL)), pool);
    if (rv != APR_SUCCESS && !tr_is_refusal(rv)) {
        return rv;
    }
    /* What was read before a fault is enough here. */
    if (token->jws.payload == NULL) {
        shown->opaque = shown->text;
        return APR_SUCCESS;
    }
    rv = tr_token_find_issuer(token, gate->issuers);
    if (rv == APR_SUCCESS || rv == TR_UNKNOWN_ISSUER) {
        rv = tr_token_read_identity(token);
    }
    shown->has_claims = rv == APR_SUCCESS;
    token->has_iat = tr_json_number(&token->iat_s, tr_json_get(token->jws.payload, "iat"));
    return APR_SUCCESS;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool is_base64url(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' || c == '_';
}

#define SURELY_HEX 32    /* characters */
#define SURELY_BASE64 22 /* of 16 bytes */

/* The last character of a part in base64url, without the four bits that may mean nothing. */
static char without_spare_bits(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    return digits[(apr_size_t)(strchr(digits, c) - digits) & 0x30];
}

/*
 * Tokens that their server decodes can be spelled otherwise: hexadecimal digits in capitals, other spare bits at the end of
 * base64url. Of all such spellings this makes one; of two different tokens one only by chance.
 */
static tr_str_t make_plain(tr_str_t text, apr_pool_t *pool)
{
    char *plain = tr_str_dup_z(text, pool);
    bool all_hex = text.len >= SURELY_HEX;
    apr_size_t run = 0;

    for (apr_size_t i = 0; i < text.len; i++) {
        all_hex = all_hex && is_hex(text.data[i]);
    }
    for (apr_size_t i = 0; i < text.len; i++) {
        bool is_last = i + 1 == text.len || text.data[i + 1] == '.';

        run = is_base64url(text.data[i]) ? run + 1 : 0;
        if (all_hex && text.data[i] >= 'A' && text.data[i] <= 'F') {
            plain[i] = (char)(text.data[i] | 0x20);
        }
        else if (!all_hex && is_last && run >= SURELY_BASE64) {
            plain[i] = without_spare_bits(text.data[i]);
        }
    }
    return tr_str(plain, text.len);
}

/* Returns APR_SUCCESS, or a failure. */
static apr_status_t look_at(shown_t *out, const tr_guard_t *guard, tr_str_t text, apr_pool_t *pool)
{
    apr_status_t rv;

    memset(out, 0, sizeof(*out));
    out->text = text;
    out->opaque = text;
    rv = tr_gate_recognize(&out->token, guard->gate, text, guard->now, pool);
    if (rv == APR_SUCCESS) {
        out->has_claims = true;
        out->is_certain = true;
        out->opaque = out->token.jws.signing_input;
    }
    else if (tr_is_refusal(rv)) {
        rv = read_claims(out, guard->gate, pool);
    }
    /* What is signed is spelled in one way. */
    if (rv == APR_SUCCESS) {
        out->plain = out->opaque.len < text.len ? out->opaque : make_plain(text, pool);
    }
    return rv;
}

/*
 * By every name that it may have been revoked under. *by: with TR_REVOKED. *is_own: by a name of its own that whoever shows it
 * cannot have made up. Returns APR_SUCCESS, TR_REVOKED, or a failure.
 */
static apr_status_t check(tr_kind_t *by, bool *is_own, const shown_t *shown, const tr_gate_t *gate, apr_pool_t *pool)
{
    apr_status_t rv = shown->has_claims ? tr_gate_check_revoked(by, gate, &shown->token, pool) : APR_SUCCESS;
    apr_status_t other;

    *is_own =
        rv == TR_REVOKED && (*by == TR_KIND_OPAQUE || (shown->is_certain && (*by == TR_KIND_TOKEN || *by == TR_KIND_DIGEST)));
    if (rv == TR_REVOKED) {
        return rv;
    }
    other = tr_gate_check_opaque(by, gate, shown->opaque, pool);
    if (other != TR_REVOKED && shown->opaque.len != shown->text.len) {
        other = tr_gate_check_opaque(by, gate, shown->text, pool);
    }
    if (other != TR_REVOKED && !tr_str_eq(shown->plain, shown->opaque)) {
        other = tr_gate_check_opaque(by, gate, shown->plain, pool);
    }
    *is_own = other == TR_REVOKED && *by == TR_KIND_OPAQUE;
    return other == TR_REVOKED || rv == APR_SUCCESS ? other : rv;
}

static int64_t end_of_opaque(const tr_guard_t *guard)
{
    return guard->opaque_s == TR_FOREVER ? TR_FOREVER : apr_time_sec(tr_later(guard->wall, guard->now)) + 1 + guard->opaque_s;
}

/*
 * The entry that a refresh token is known by in its family, and by which an exchange revokes it. It does not depend on claims, which
 * anybody can write, nor on how the signature is spelled.
 */
static apr_status_t name_of(tr_entry_t *out, const shown_t *shown, const tr_guard_t *guard, apr_pool_t *pool)
{
    tr_entry_t own;
    int64_t end_s = end_of_opaque(guard);

    if (shown->is_certain) {
        apr_status_t rv = tr_gate_entry(&own, &shown->token, guard->keep, pool);

        if (rv != APR_SUCCESS) {
            return rv;
        }
        end_s = own.expires_s;
    }
    return tr_gate_entry_opaque(out, shown->plain, end_s, pool);
}

/* ---- reuse ---------------------------------------------------------------------------------------------------- */

static void put(tr_revocation_t *out, const tr_guard_t *guard, const tr_entry_t *entry, const char *reason)
{
    memset(out, 0, sizeof(*out));
    out->entry = *entry;
    out->circumstances = guard->circumstances;
    out->circumstances.reason = tr_str_z(reason);
}

static apr_status_t record(const tr_guard_t *guard, tr_revocation_t *list, int n)
{
    return guard->ledger != NULL ? tr_ledger_revoke_all(guard->ledger, list, n, false, guard->now) : APR_EGENERAL;
}

/*
 * End the family of a token, and the session that a JWT names. *is_new: it was not ended before; who shows the same token again and
 * again moves no cut-off further. Returns APR_SUCCESS or a failure.
 */
static apr_status_t end_family(bool *is_new, const tr_guard_t *guard, const shown_t *shown, apr_pool_t *pool)
{
    const tr_table_t *table = guard->gate->table;
    tr_entry_t name, family, scope[TR_SCOPE_ENTRIES];
    tr_revocation_t list[2];
    int64_t end_s = end_of_opaque(guard);
    int64_t number;
    int named = 1;
    apr_status_t rv = name_of(&name, shown, guard, pool);

    *is_new = false;
    if (rv == APR_SUCCESS) {
        rv = tr_gate_family(&number, guard->gate, &name, pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    tr_gate_family_entry(&family, number, name.expires_s > end_s ? name.expires_s : end_s, pool);
    if (tr_table_lookup(table, NULL, tr_table_mark(table, family.kind, family.issuer, family.value))) {
        return APR_SUCCESS;
    }
    put(&list[0], guard, &family, REUSE);
    if (shown->is_certain) {
        rv = tr_gate_scope(scope, &named, &shown->token, TR_SCOPE_SESSION, guard->keep, guard->wall, pool);
    }
    if (rv == APR_SUCCESS && named > 1) {
        put(&list[1], guard, &scope[1], REUSE);
    }
    if (rv == APR_SUCCESS) {
        rv = record(guard, list, named > 1 ? 2 : 1);
        *is_new = !list[0].was_there;
    }
    return rv;
}

/* A token was shown that is revoked by its own name. */
static void answer_reuse(tr_guard_outcome_t *out, const tr_guard_t *guard, const shown_t *shown, apr_pool_t *pool)
{
    bool is_new;
    apr_status_t rv = end_family(&is_new, guard, shown, pool);

    if (rv != APR_SUCCESS) {
        refuse_for_now(out, TR_GUARD_NOT_STORED, rv, pool);
        return;
    }
    refuse_revoked(out, is_new ? TR_GUARD_REUSED : TR_GUARD_REFUSED, pool);
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

static void judge_token(tr_guard_outcome_t *out, const tr_guard_t *guard, tr_str_t text, apr_pool_t *pool)
{
    shown_t shown;
    bool is_own = false;
    apr_status_t rv = look_at(&shown, guard, text, pool);

    if (rv == APR_SUCCESS) {
        rv = check(&out->by, &is_own, &shown, guard->gate, pool);
    }
    if (rv == APR_SUCCESS) {
        return;
    }
    out->token = text;
    out->subject = shown.is_certain ? shown.token.sub : tr_str("", 0);
    if (rv != TR_REVOKED) {
        refuse_for_now(out, TR_GUARD_UNKNOWN, rv, pool);
    }
    else if (guard->rotation && is_own) {
        answer_reuse(out, guard, &shown, pool);
    }
    else {
        refuse_revoked(out, TR_GUARD_REFUSED, pool);
    }
}

void tr_guard_judge(tr_guard_outcome_t *out, const tr_guard_t *guard, const tr_grant_t *grant, apr_pool_t *pool)
{
    const char *fault = tr_grant_fault(grant);
    int status = grant->is_unread ? 503 : 400;

    memset(out, 0, sizeof(*out));
    if (fault != NULL) {
        refuse(out, status, tr_answer_code(status), fault, pool);
        return;
    }
    if (!tr_grant_is_exchange(grant)) {
        return;
    }
    /* A revoked one among them decides, also where of another nothing is known. */
    for (int i = 0; i < grant->n && (out->answer.status == 0 || out->event == TR_GUARD_UNKNOWN); i++) {
        tr_guard_outcome_t one;

        memset(&one, 0, sizeof(one));
        judge_token(&one, guard, grant->token[i], pool);
        if (one.answer.status != 0) {
            *out = one;
        }
    }
    if (out->answer.status == 0 && guard->rotation && grant->n > 1) {
        refuse(out, 400, "invalid_request", "The refresh token can be read in two ways", pool);
    }
}

/* ---- exchanges ------------------------------------------------------------------------------------------------ */

/* A member of a token endpoint's answer (RFC 6749 5.1). False: it is there, and no string. Absent, null, empty: *out is empty. */
static bool read_member(tr_str_t *out, const tr_json_t *answer, const char *name)
{
    const tr_json_t *value = tr_json_get(answer, name);

    *out = tr_str("", 0);
    return value == NULL || tr_json_type(value) == TR_JSON_NULL || tr_json_string(out, value);
}

static bool read_answer(tr_str_t *refresh, tr_str_t *access, tr_str_t body, apr_pool_t *pool)
{
    const tr_json_t *answer;

    if (body.len >= 3 && memcmp(body.data, "\xef\xbb\xbf", 3) == 0) {
        body = tr_str(body.data + 3, body.len - 3);
    }
    return tr_json_parse(&answer, body, pool) == APR_SUCCESS && read_member(refresh, answer, "refresh_token") &&
           read_member(access, answer, "access_token");
}

#define MAX_EXCHANGED 4

/* Add that a token belongs to a family. Of access tokens only those matter that protected resources accept. */
static apr_status_t add_member(tr_revocation_t *list, int *n, const tr_guard_t *guard, tr_str_t text, bool is_refresh,
                               int64_t number, apr_pool_t *pool)
{
    shown_t given;
    tr_entry_t name, member;
    apr_status_t rv = look_at(&given, guard, text, pool);

    if (rv != APR_SUCCESS || (!is_refresh && !given.is_certain)) {
        return rv;
    }
    rv = is_refresh ? name_of(&name, &given, guard, pool) : tr_gate_entry(&name, &given.token, guard->keep, pool);
    if (rv == APR_SUCCESS) {
        rv = tr_gate_member(&member, &name, number, pool);
    }
    put(&list[(*n)++], guard, &member, ROTATION);
    return rv;
}

/* The revocation of old, first by the name that every spelling has in common, and the membership of what it was exchanged for. */
static apr_status_t list_exchange(tr_revocation_t list[MAX_EXCHANGED], int *n, const tr_guard_t *guard, const shown_t *old,
                                  tr_str_t refresh, tr_str_t access, apr_pool_t *pool)
{
    tr_entry_t name, own;
    int64_t number = 0;
    apr_status_t rv = name_of(&name, old, guard, pool);

    *n = 0;
    if (rv == APR_SUCCESS) {
        rv = tr_gate_family(&number, guard->gate, &name, pool);
    }
    put(&list[(*n)++], guard, &name, ROTATION);
    if (rv == APR_SUCCESS && old->is_certain) {
        rv = tr_gate_entry(&own, &old->token, guard->keep, pool);
        put(&list[(*n)++], guard, &own, ROTATION);
    }
    if (rv == APR_SUCCESS) {
        rv = add_member(list, n, guard, refresh, true, number, pool);
    }
    return rv == APR_SUCCESS ? add_member(list, n, guard, access, false, number, pool) : rv;
}

/*
 * The answer may go on if nobody else has revoked old by now. Who exchanged it at the same moment has a copy, so both lose what they
 * got; and what was given out for a token that was revoked meanwhile must not outlive it.
 */
static void exchange(tr_guard_outcome_t *out, const tr_guard_t *guard, const shown_t *old, tr_str_t refresh, tr_str_t access,
                     apr_pool_t *pool)
{
    tr_revocation_t list[MAX_EXCHANGED];
    bool is_own = false;
    int n;
    apr_status_t known = check(&out->by, &is_own, old, guard->gate, pool);
    apr_status_t rv;

    if (known != APR_SUCCESS && known != TR_REVOKED) {
        refuse_for_now(out, TR_GUARD_UNKNOWN, known, pool);
        return;
    }
    rv = list_exchange(list, &n, guard, old, refresh, access, pool);
    if (rv == APR_SUCCESS) {
        rv = record(guard, list, n);
        is_own = is_own || list[0].was_there || (old->is_certain && list[1].was_there);
    }
    if (known == TR_REVOKED || is_own) {
        answer_reuse(out, guard, old, pool);
        if (out->event == TR_GUARD_REUSED && !is_own) {
            out->event = TR_GUARD_REFUSED;
        }
    }
    else if (rv == APR_SUCCESS) {
        out->event = TR_GUARD_ROTATED;
    }
    if (rv != APR_SUCCESS) {
        refuse_for_now(out, TR_GUARD_NOT_STORED, rv, pool);
    }
}

void tr_guard_rotate(tr_guard_outcome_t *out, const tr_guard_t *guard, tr_str_t old, tr_str_t body, apr_pool_t *pool)
{
    tr_str_t refresh, access;
    shown_t shown;
    apr_status_t rv;

    memset(out, 0, sizeof(*out));
    if (!read_answer(&refresh, &access, body, pool)) {
        tr_guard_withhold(out, old, pool);
        return;
    }
    if (refresh.len == 0 || tr_str_eq(refresh, old)) {
        return;
    }
    out->token = old;
    rv = look_at(&shown, guard, old, pool);
    if (rv != APR_SUCCESS) {
        refuse_for_now(out, TR_GUARD_UNKNOWN, rv, pool);
        return;
    }
    exchange(out, guard, &shown, refresh, access, pool);
}
