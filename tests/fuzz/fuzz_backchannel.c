/*
 * Logout tokens. An input is a header and behind the first newline a payload, which are signed here.
 */
#include "world.h"

#include <apr_strings.h>
#include <jansson.h>

#include "mutate.h"
#include "tr_backchannel.h"
#include "tr_base64url.h"
#include "tr_limits.h"
#include "tr_reason.h"

#define EVENT "http://schemas.openid.net/event/backchannel-logout"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);

static const tr_keep_t keep = {60, 0};

static bool is_text(const json_t *payload, const char *name)
{
    return json_string_length(json_object_get(payload, name)) > 0;
}

/* What OpenID Connect Back-Channel Logout 2.4 and 2.6 ask for, by another reading of the same claims. */
static void check_claims(const world_t *w, const char *token)
{
    const char *begin = strchr(token, '.') + 1;
    tr_str_t text;
    ALWAYS(tr_base64url_decode(&text, tr_str(begin, (apr_size_t)(strchr(begin, '.') - begin)), w->pool) == APR_SUCCESS);
    json_t *payload = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
    if (payload == NULL) /* a number that this reader cannot hold */
        return;
    ALWAYS(is_text(payload, "iss") && is_text(payload, "jti"));
    ALWAYS(is_text(payload, "sub") || is_text(payload, "sid"));
    ALWAYS(json_object_get(payload, "sub") == NULL || is_text(payload, "sub"));
    ALWAYS(json_object_get(payload, "sid") == NULL || is_text(payload, "sid"));
    ALWAYS(is_text(payload, "aud") || json_array_size(json_object_get(payload, "aud")) > 0);
    ALWAYS(json_real_value(json_object_get(payload, "exp")) > 1700000000 - 60);
    ALWAYS(json_real_value(json_object_get(payload, "iat")) <= 1700000000 + 60);
    ALWAYS(json_object_get(payload, "nonce") == NULL);
    ALWAYS(json_is_object(json_object_get(json_object_get(payload, "events"), EVENT)));
    json_decref(payload);
}

static void check_entries(const tr_logout_token_t *logout)
{
    bool is_session = logout->token.sid.len > 0;
    ALWAYS(logout->session.kind == (is_session ? TR_KIND_SESSION : TR_KIND_SUBJECT));
    ALWAYS(tr_str_eq(logout->session.value, is_session ? logout->token.sid : logout->token.sub));
    ALWAYS(logout->session.issued_before >= WORLD_NOW && logout->session.issued_before <= WORLD_NOW + 60 * APR_USEC_PER_SEC);
    ALWAYS(logout->used.kind == TR_KIND_LOGOUT && tr_str_eq(logout->used.value, logout->token.jti));
    ALWAYS((double)logout->used.expires_s >= logout->token.exp_s + 60 || logout->used.expires_s == TR_FOREVER);
}

/* It is good for once, and lets nobody in. */
static void check_answers(const world_t *w, const char *token, bool good)
{
    tr_gate_t gate = w->gate;
    tr_backchannel_request_t request = {.type = TR_BODY_FORM, .keep = &keep, .now = WORLD_NOW, .clean_now = WORLD_NOW};
    tr_table_t *table = world_table(4, w->pool);
    tr_ledger_t *ledger = world_ledger(table, w->pool);
    tr_identity_t identity;
    tr_params_t *params;
    const char *why;
    gate.table = table;
    ALWAYS(tr_params_from_form(&params, &why, tr_str_z(apr_pstrcat(w->pool, "logout_token=", token, NULL)), w->pool) ==
           APR_SUCCESS);
    request.params = params;
    for (int i = 0; i < 2; i++) {
        tr_answer_t answer;
        tr_backchannel_answer(&answer, &request, &gate, ledger, w->pool);
        ALWAYS(answer.status == (good && i == 0 ? 200 : 400));
        ALWAYS(world_is_json_object(answer.body));
        ALWAYS(answer.status == 200 ? answer.verdict == APR_SUCCESS : answer.verdict != APR_SUCCESS && answer.detail != NULL);
    }
    tr_table_stats_t stats;
    tr_table_stats(&stats, table);
    ALWAYS(stats.used == (good ? 2 : 0));
    ALWAYS(!good || tr_gate_admit(&identity, &gate, tr_str_z(token), "sub", WORLD_NOW, w->pool) == TR_TOKEN_TYPE);
}

static void judge(const world_t *w, const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    tr_str_t header = tr_str(text, newline ? (size_t)(newline - text) : 0);
    tr_logout_token_t logout;
    const char *why = NULL;
    if (newline == NULL)
        return;
    char *token = world_sign(header, tr_str(newline + 1, size - header.len - 1), w->pool);
    apr_status_t rv = tr_logout_token_read(&logout, &why, &w->gate, tr_str_z(token), &keep, WORLD_NOW, w->pool);
    ALWAYS(rv == APR_SUCCESS || (tr_is_refusal(rv) && why != NULL && *why != '\0'));
    if (rv == APR_SUCCESS) {
        check_claims(w, token);
        check_entries(&logout);
    }
    check_answers(w, token, rv == APR_SUCCESS);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
    return mutate_two_lines(data, size, max, seed, &mutate_header_words, &mutate_claim_words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
