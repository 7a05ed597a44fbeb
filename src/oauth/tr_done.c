/* tr_done.c: what a token that is dead already may still do: nothing. */
#include "tr_oauth.h"
#include "tr_reason.h"

bool tr_token_is_alive(const tr_gate_t *gate, const tr_token_t *token, apr_pool_t *pool)
{
    tr_kind_t by;

    return tr_gate_check_revoked(&by, gate, token, pool) != TR_REVOKED;
}

/*
 * Of a cut-off, no more is wanted than that it is not before the token; of a token that comes from further ahead than clocks may
 * differ, which nobody accepts yet, not even that.
 */
bool tr_scope_is_done(const tr_gate_t *gate, tr_ledger_t *ledger, const tr_token_t *token, const tr_entry_t *entries, int n,
                      apr_time_t now, apr_pool_t *pool)
{
    bool counts = token->has_iat && token->iat_s >= 0 && token->iat_s <= (double)(apr_time_sec(now) + token->issuer->skew_s);
    bool done = ledger != NULL && !tr_token_is_alive(gate, token, pool);

    for (int i = 0; i < n && done; i++) {
        tr_entry_t wanted = entries[i];

        if (tr_kind_has_cut_off(wanted.kind)) {
            wanted.issued_before = counts ? (apr_time_t)(token->iat_s * APR_USEC_PER_SEC) : 0;
            wanted.expires_s = 0;
        }
        done = tr_ledger_find(ledger, &wanted) == APR_SUCCESS;
    }
    return done;
}
