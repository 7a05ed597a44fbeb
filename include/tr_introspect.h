/*
 * tr_introspect.h: token introspection (RFC 7662) without HTTP.
 */
#ifndef TR_INTROSPECT_H
#define TR_INTROSPECT_H

#include "tr_base.h"
#include "tr_gate.h"
#include "tr_oauth.h"

/*
 * Answer a caller who may know (RFC 7662 2.2): a token that the gate does not admit is {"active":false} and nothing more.
 * params: the form. user_claim: as at tr_gate_admit. Always fills out; a failure to know is 503. verdict tells what was found.
 */
void tr_introspect_answer(tr_answer_t *out, const tr_params_t *params, const tr_gate_t *gate, const char *user_claim,
                          apr_time_t now, apr_pool_t *pool);

/*
 * What is said of a token that passed, with its payload, as JSON text in pool: "active", then every claim but those of that name;
 * exp, iat and nbf as whole seconds (left out beyond 64 bits); scope as one string, also where it is an array or called scp;
 * client_id, also where it is called azp; token_type Bearer.
 */
char *tr_introspect_claims(const tr_token_t *token, const tr_json_t *payload, apr_pool_t *pool);

#endif
