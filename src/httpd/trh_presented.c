/*
 * trh_presented.c: somebody shows a token that was revoked: a client that has not noticed, or a thief. Counted, and logged
 * at most once a minute for each token, by whichever child it reaches.
 */
#include "trh_shared.h"

#include <apr_strings.h>

#include "tr_digest.h"
#include "tr_recent.h"

#define SAY_EVERY_S 60
#define NEAR 4          /* places looked at for one token */
#define SUBJECT_LEN 200 /* bytes of it that are logged */

/* The token's place, or the one that has been silent for longest. */
static trh_presented_t *find_slot(trh_watch_t *watch, uint64_t fingerprint)
{
    trh_presented_t *oldest = &watch->slot[fingerprint % TRH_PRESENTED_SLOTS];

    for (uint64_t i = 0; i < NEAR; i++) {
        trh_presented_t *slot = &watch->slot[(fingerprint + i) % TRH_PRESENTED_SLOTS];

        if (atomic_load_explicit(&slot->fingerprint, memory_order_relaxed) == fingerprint) {
            return slot;
        }
        if (atomic_load_explicit(&slot->said_s, memory_order_relaxed) <
            atomic_load_explicit(&oldest->said_s, memory_order_relaxed)) {
            oldest = slot;
        }
    }
    return oldest;
}

/* Is it time to say it? *unsaid: how often it was not. Two children may both take a place; then one more line is logged. */
static bool take_turn(uint64_t *unsaid, trh_presented_t *slot, uint64_t fingerprint, int64_t now_s)
{
    int64_t said_s = atomic_load(&slot->said_s);

    if (atomic_load(&slot->fingerprint) == fingerprint && now_s - said_s < SAY_EVERY_S) {
        atomic_fetch_add(&slot->unsaid, 1);
        return false;
    }
    if (!atomic_compare_exchange_strong(&slot->said_s, &said_s, now_s)) {
        return false;
    }
    *unsaid = atomic_exchange(&slot->fingerprint, fingerprint) == fingerprint ? atomic_load(&slot->unsaid) : 0;
    atomic_store(&slot->unsaid, 0);
    return true;
}

const char *trh_subject(const tr_identity_t *identity, apr_pool_t *pool)
{
    tr_str_t subject = identity->token.sub;

    return tr_str_dup_z(tr_str(subject.data, subject.len < SUBJECT_LEN ? subject.len : SUBJECT_LEN), pool);
}

void trh_note_presented(request_rec *r, tr_str_t token, const tr_identity_t *identity)
{
    trh_watch_t *watch = trh_watch();
    uint64_t fingerprint, unsaid;

    if (watch == NULL) {
        return;
    }
    fingerprint = tr_recent_fingerprint(identity, token, r->pool);
    atomic_fetch_add_explicit(&watch->presented, 1, memory_order_relaxed);
    if (!take_turn(&unsaid, find_slot(watch, fingerprint), fingerprint, apr_time_sec(trh_steady_clock()))) {
        return;
    }
    ap_log_rerror(
        APLOG_MARK, APLOG_NOTICE, 0, r, "a revoked token was presented: token %s, subject \"%s\", client %s, revoked by %s%s",
        tr_fingerprint(token, r->pool), trh_subject(identity, r->pool), r->useragent_ip, tr_kind_name(identity->revoked_by),
        unsaid > 0 ? apr_psprintf(r->pool, ", and %" APR_UINT64_T_FMT " times since it was said last", unsaid) : "");
}
