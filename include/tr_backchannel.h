/*
 * tr_backchannel.h: OpenID Connect Back-Channel Logout 1.0 (errata 1) without HTTP: the provider's logout token ends a session,
 * or all of a subject.
 */
#ifndef TR_BACKCHANNEL_H
#define TR_BACKCHANNEL_H

#include "tr_base.h"
#include "tr_gate.h"
#include "tr_ledger.h"
#include "tr_oauth.h"

/* A logout token that is good. In the pool it was read in. */
typedef struct tr_logout_token_t {
    tr_token_t token;
    tr_entry_t session; /* what it ends */
    tr_entry_t used;    /* that it was used */
} tr_logout_token_t;

/*
 * Section 2.6, all but the replay. Returns APR_SUCCESS, a refusal with *why for the provider, or a failure. now: microseconds
 * since 1970.
 */
TR_MUST_CHECK apr_status_t tr_logout_token_read(tr_logout_token_t *out, const char **why, const tr_gate_t *gate, tr_str_t text,
                                                const tr_keep_t *keep, apr_time_t now, apr_pool_t *pool);

typedef struct tr_backchannel_request_t {
    tr_body_type_t type;
    const tr_params_t *params;
    const tr_keep_t *keep;
    tr_circumstances_t circumstances;
    apr_time_t now;       /* wall clock */
    apr_time_t clean_now; /* a clock that never ran ahead: may an entry's place be used again? */
} tr_backchannel_request_t;

/*
 * Answer a POST (2.8): 200, or 400 also where the logout could not be stored. A token that was used is refused and changes
 * nothing; one whose logout failed may come again. Always fills out; *out's strings are in pool or static. 200 with a verdict
 * that is a failure: the logout is stored, but not that its token was used, which this server knows all the same.
 */
void tr_backchannel_answer(tr_answer_t *out, const tr_backchannel_request_t *request, const tr_gate_t *gate, tr_ledger_t *ledger,
                           apr_pool_t *pool);

#endif
