/* tr_logout_revoke.c: what logging out revokes. */
#include <apr_strings.h>

#include "tr_digest.h"
#include "tr_limits.h"
#include "tr_logout.h"
#include "tr_oauth.h"
#include "tr_reason.h"

/* Each token's own entry, and that of its session or subject. */
#define MAX_ENTRIES (TR_SCOPE_ENTRIES * TR_MAX_LOGOUT_TOKENS + 1)

typedef struct work_t {
    const tr_logout_request_t *request;
    const tr_gate_t *gate;
    tr_logout_result_t *result;
    tr_revocation_t list[MAX_ENTRIES];
    int n;
    bool is_known;       /* whoever asks may bring an opaque token */
    bool was_known;      /* he could, until a token of his expired */
    tr_entry_t expired;  /* what revokes that one, so that it brings no other */
    apr_status_t opaque; /* what the gate said of refresh_token */
    apr_pool_t *pool;
} work_t;

bool tr_logout_add_token(apr_array_header_t *tokens, tr_str_t text)
{
    for (int i = 0; i < tokens->nelts; i++) {
        if (tr_str_eq(APR_ARRAY_IDX(tokens, i, tr_str_t), text)) {
            return true;
        }
    }
    if (text.len == 0) {
        return true;
    }
    if (tokens->nelts >= TR_MAX_LOGOUT_TOKENS) {
        return false;
    }
    APR_ARRAY_PUSH(tokens, tr_str_t) = text;
    return true;
}

static void fail(work_t *work, apr_status_t rv)
{
    if (work->result->verdict == APR_SUCCESS) {
        work->result->verdict = rv;
    }
}

static const char *add_word(const work_t *work, const char *list, tr_str_t text, const char *word)
{
    return apr_pstrcat(work->pool, list, *list != '\0' ? ", " : "", tr_fingerprint(text, work->pool), word, NULL);
}

static void note_revoked(work_t *work, tr_str_t text)
{
    work->result->revoked++;
    work->result->named = add_word(work, work->result->named, text, "");
}

static void note_passed_over(work_t *work, tr_str_t text, apr_status_t rv)
{
    const char *word = apr_pstrcat(work->pool, " ", tr_reason(rv)->word, NULL);

    work->result->passed_over = add_word(work, work->result->passed_over, text, word);
}

/* Tokens of one session name it once, by the latest cut-off. */
static void add_entry(work_t *work, const tr_entry_t *entry)
{
    for (int i = 0; i < work->n; i++) {
        tr_entry_t *other = &work->list[i].entry;

        if (other->kind == entry->kind && tr_str_eq(other->issuer, entry->issuer) && tr_str_eq(other->value, entry->value)) {
            other->issued_before = entry->issued_before > other->issued_before ? entry->issued_before : other->issued_before;
            other->expires_s = entry->expires_s > other->expires_s ? entry->expires_s : other->expires_s;
            return;
        }
    }
    memset(&work->list[work->n], 0, sizeof(work->list[work->n]));
    work->list[work->n].entry = *entry;
    work->list[work->n].circumstances = work->request->circumstances;
    work->n++;
}

static apr_status_t add_token(work_t *work, tr_ledger_t *ledger, const tr_token_t *token)
{
    const tr_logout_request_t *request = work->request;
    tr_entry_t entries[TR_SCOPE_ENTRIES];
    int n = 0;
    apr_status_t rv = tr_gate_scope(entries, &n, token, request->scope, request->keep, request->wall, work->pool);

    if (rv == APR_SUCCESS && tr_scope_is_done(work->gate, ledger, token, entries, n, request->wall, work->pool)) {
        return APR_SUCCESS;
    }
    for (int i = 0; i < n && rv == APR_SUCCESS; i++) {
        add_entry(work, &entries[i]);
    }
    return rv;
}

/* Its signature was good, a refresh token that came with it may live until now, and it has brought none yet. */
static void look_at_expired(work_t *work, tr_token_t *token)
{
    int64_t opaque_s = work->request->opaque_s;
    tr_entry_t own;

    if (opaque_s <= 0 || token->exp_s + (double)opaque_s < (double)apr_time_sec(work->request->now) ||
        tr_token_read_identity(token) != APR_SUCCESS || !tr_token_is_alive(work->gate, token, work->pool) ||
        tr_gate_entry(&own, token, work->request->keep, work->pool) != APR_SUCCESS) {
        return;
    }
    own.expires_s = own.expires_s < TR_FOREVER - opaque_s ? own.expires_s + opaque_s : TR_FOREVER;
    work->expired = own;
    work->was_known = true;
}

static void look_at(work_t *work, tr_ledger_t *ledger, tr_str_t text)
{
    bool is_refresh = tr_str_eq(text, work->request->refresh_token);
    tr_token_t *token = apr_pcalloc(work->pool, sizeof(*token));
    apr_status_t rv = tr_gate_recognize(token, work->gate, text, work->request->now, work->pool);

    /* A provider's logout token is good for once, at its own endpoint; here whoever has seen it could use it again. */
    if ((rv == APR_SUCCESS || rv == TR_EXPIRED) && tr_token_is_event(token)) {
        rv = TR_TOKEN_TYPE;
    }
    if (rv == APR_SUCCESS) {
        work->is_known = work->is_known || tr_token_is_alive(work->gate, token, work->pool);
        rv = add_token(work, ledger, token);
    }
    else if (rv == TR_EXPIRED) {
        look_at_expired(work, token);
    }
    if (is_refresh) {
        work->opaque = rv;
    }
    if (rv == APR_SUCCESS) {
        note_revoked(work, text);
    }
    else if (!tr_is_refusal(rv)) {
        fail(work, rv);
    }
    else if (!is_refresh) {
        note_passed_over(work, text, rv);
    }
}

/* In force already: then who asks once more, because he was not told that it is stored, shall hear the truth. */
static bool is_in_force(const work_t *work, tr_str_t opaque)
{
    tr_kind_t by;

    return tr_gate_check_opaque(&by, work->gate, opaque, work->pool) == TR_REVOKED;
}

static void look_at_opaque(work_t *work)
{
    const tr_logout_request_t *request = work->request;
    tr_entry_t entry;
    tr_str_t opaque;
    apr_status_t rv;

    if (!tr_is_refusal(work->opaque)) {
        return;
    }
    rv = request->opaque_s > 0 ? tr_gate_opaque_text(&opaque, request->refresh_token, work->opaque, work->pool) : TR_MALFORMED;
    if (rv != APR_SUCCESS && !tr_is_refusal(rv)) {
        fail(work, rv);
        return;
    }
    if (rv != APR_SUCCESS || !(work->is_known || work->was_known || is_in_force(work, opaque))) {
        note_passed_over(work, request->refresh_token, work->opaque);
        return;
    }
    rv = tr_gate_entry_opaque(&entry, opaque, apr_time_sec(tr_later(request->wall, request->now)) + 1 + request->opaque_s,
                              work->pool);
    if (rv != APR_SUCCESS) {
        fail(work, rv);
        return;
    }
    add_entry(work, &entry);
    if (!work->is_known && work->was_known) {
        add_entry(work, &work->expired);
    }
    note_revoked(work, request->refresh_token);
}

void tr_logout_revoke(tr_logout_result_t *out, const tr_logout_request_t *request, const tr_gate_t *gate, tr_ledger_t *ledger,
                      apr_pool_t *pool)
{
    work_t *work = apr_pcalloc(pool, sizeof(*work));

    memset(out, 0, sizeof(*out));
    out->named = "";
    out->passed_over = "";
    work->request = request;
    work->gate = gate;
    work->result = out;
    work->is_known = request->is_known;
    work->pool = pool;
    for (int i = 0; i < request->tokens->nelts; i++) {
        look_at(work, ledger, APR_ARRAY_IDX(request->tokens, i, tr_str_t));
    }
    look_at_opaque(work);
    if (work->n > 0) {
        apr_status_t rv = ledger != NULL ? tr_ledger_revoke_all(ledger, work->list, work->n, false, request->now) : APR_EGENERAL;

        if (rv != APR_SUCCESS) {
            fail(work, rv);
        }
    }
}
