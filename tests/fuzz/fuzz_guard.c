/*
 * Requests to a guarded token endpoint, and its answers. The first byte says what the rest is.
 */
#include "world.h"

#include <apr_strings.h>

#include "tr_guard.h"
#include "tr_reason.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {"application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x",
                                    NULL};

static tr_guard_t guard_of(const world_t *w, bool rotation)
{
    static const tr_keep_t keep = {60, 3600};
    tr_guard_t guard;
    memset(&guard, 0, sizeof guard);
    guard.gate = &w->gate;
    guard.ledger = w->ledger;
    guard.rotation = rotation;
    guard.opaque_s = 1000;
    guard.keep = &keep;
    guard.wall = guard.now = WORLD_NOW;
    return guard;
}

static void check_outcome(const tr_guard_outcome_t *outcome)
{
    ALWAYS(outcome->event <= TR_GUARD_UNREADABLE);
    if (outcome->answer.status == 0) {
        ALWAYS(outcome->event == TR_GUARD_NOTHING || outcome->event == TR_GUARD_ROTATED);
        return;
    }
    ALWAYS(world_is_json_object(outcome->answer.body));
    ALWAYS(outcome->answer.status == 400 || outcome->answer.status == 502 || outcome->answer.status == 503);
    ALWAYS((outcome->event == TR_GUARD_UNKNOWN || outcome->event == TR_GUARD_NOT_STORED) == (outcome->answer.status == 503));
    ALWAYS((outcome->answer.status == 503) == (outcome->answer.retry_after_s > 0));
}

static void judge(const world_t *w, const tr_grant_t *grant)
{
    for (int rotation = 0; rotation < 2; rotation++) {
        tr_guard_t guard = guard_of(w, rotation);
        tr_guard_outcome_t outcome;
        memset(&outcome, 0xee, sizeof outcome);
        tr_guard_judge(&outcome, &guard, grant, w->pool);
        check_outcome(&outcome);
        ALWAYS(tr_grant_is_exchange(grant) || tr_grant_fault(grant) != NULL || outcome.answer.status == 0);
    }
}

static void check_request(const world_t *w, const char *type, tr_str_t body)
{
    tr_grant_t grant;
    memset(&grant, 0, sizeof grant);
    tr_grant_read_form(&grant, tr_str_z("grant_type=refresh_token"), w->pool);
    tr_grant_read_body(&grant, tr_grant_body(type, w->pool), body, w->pool);
    ALWAYS(grant.n >= 0 && grant.n <= TR_MAX_GRANT_TOKENS);
    for (int i = 0; i < grant.n; i++) {
        ALWAYS(grant.token[i].len > 0 && grant.token[i].len <= body.len);
        for (int k = 0; k < i; k++)
            ALWAYS(!tr_str_eq(grant.token[i], grant.token[k]));
    }
    judge(w, &grant);
}

/* However text is spelled by an honest client, it is found, and refused when it was revoked. */
static void check_found(const world_t *w, tr_str_t text)
{
    char *form = apr_pstrdup(w->pool, "grant_type=refresh_token&refresh_token=");
    char *spelled = apr_palloc(w->pool, strlen(form) + 3 * text.len + 1);
    tr_guard_t guard = guard_of(w, false);
    tr_guard_outcome_t outcome;
    tr_grant_t grant;
    tr_entry_t entry;
    static const tr_circumstances_t nobody;
    bool found = false;
    strcpy(spelled, form);
    for (size_t i = 0; i < text.len; i++)
        sprintf(spelled + strlen(form) + 3 * i, "%%%02x", (unsigned char)text.data[i]);
    memset(&grant, 0, sizeof grant);
    tr_grant_read_form(&grant, tr_str_z(spelled), w->pool);
    for (int i = 0; i < grant.n; i++)
        found = found || tr_str_eq(grant.token[i], text);
    ALWAYS(found == (text.len > 0));
    ALWAYS(tr_gate_entry_opaque(&entry, text, WORLD_NOW / 1000000 + 1, w->pool) == APR_SUCCESS);
    if (!found || tr_ledger_revoke(w->ledger, &entry, &nobody, WORLD_NOW) != APR_SUCCESS)
        return;
    tr_guard_judge(&outcome, &guard, &grant, w->pool);
    ALWAYS(outcome.event == TR_GUARD_REFUSED && outcome.answer.status == 400);
}

static void check_answer(const world_t *w, tr_str_t body)
{
    tr_guard_t guard = guard_of(w, true);
    tr_guard_outcome_t outcome;
    memset(&outcome, 0xee, sizeof outcome);
    tr_guard_rotate(&outcome, &guard, tr_str_z("old"), body, w->pool);
    check_outcome(&outcome);
    ALWAYS((outcome.event == TR_GUARD_UNREADABLE) == (outcome.answer.status == 502));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world_t *w = world_for_one_input();
    if (size > 0) {
        tr_str_t rest = tr_str((const char *)data + 1, size - 1);
        switch (data[0] % 8) {
        case 4:
            check_answer(w, rest);
            break;
        case 5:
            check_found(w, rest);
            break;
        case 6:
            (void)tr_grant_body(apr_pstrmemdup(w->pool, rest.data, rest.len), w->pool);
            break;
        default:
            check_request(w, types[data[0] % 4], rest);
        }
    }
    world_done();
    return 0;
}
