/*
 * tr_oauth.h: what the endpoints share (parameters, cookies, answers), and the revocation endpoint (RFC 7009), without
 * HTTP: parameters go in, an answer comes out.
 */
#ifndef TR_OAUTH_H
#define TR_OAUTH_H

#include "tr_base.h"
#include "tr_gate.h"
#include "tr_ledger.h"

/* ---- request bodies ---------------------------------------------------------------------------------------- */

typedef enum tr_body_type_t { TR_BODY_FORM, TR_BODY_JSON, TR_BODY_OTHER } tr_body_type_t;

/* By media type alone (RFC 9110 8.3.1: case-insensitive, parameters ignored). NULL is TR_BODY_OTHER. */
tr_body_type_t tr_body_type(const char *content_type);

/* Parameters by name. Values are NUL-free copies in the pool of the parse. */
typedef struct tr_params_t tr_params_t;

/*
 * application/x-www-form-urlencoded (RFC 6749 appendix B). Refuses broken percent escapes, NUL, repeated names (RFC
 * 6749 3.2) and more than TR_MAX_PARAMS. Returns APR_SUCCESS, or APR_EINVAL with *why for the client.
 */
TR_MUST_CHECK apr_status_t tr_params_from_form(tr_params_t **out, const char **why, tr_str_t body, apr_pool_t *pool);

/*
 * The string members of one JSON object; members of other types make an error only when asked for. Same errors, or APR_ENOMEM with *why.
 */
TR_MUST_CHECK apr_status_t tr_params_from_json(tr_params_t **out, const char **why, tr_str_t body, apr_pool_t *pool);

/*
 * Either of the two, by type. Same errors, APR_EINVAL also for a type that is neither.
 */
TR_MUST_CHECK apr_status_t tr_params_from_body(tr_params_t **out, const char **why, tr_body_type_t type, tr_str_t body,
                                               apr_pool_t *pool);

/*
 * One value. APR_SUCCESS; APR_NOTFOUND when it is absent or empty (RFC 6749 3.2: the same); APR_EINVAL when it is no
 * string.
 */
TR_MUST_CHECK apr_status_t tr_params_get(tr_str_t *out, const tr_params_t *params, const char *name);

/* A name that is none of names, which end with NULL; NULL: there is no such. NUL-terminated. */
const char *tr_params_unknown(const tr_params_t *params, const char *const *names, apr_pool_t *pool);

/*
 * Percent-decode in (plus = space) into pool. Returns APR_SUCCESS, or APR_EINVAL for a broken escape or a NUL.
 */
TR_MUST_CHECK apr_status_t tr_form_decode(tr_str_t *out, tr_str_t in, apr_pool_t *pool);

/* RFC 3986 2.3: may it stand anywhere in a URI, as it is? */
bool tr_is_unreserved(char c);

/* in, NUL-terminated, with every byte percent-encoded that is neither unreserved nor in kept, in pool. */
char *tr_percent_encode(tr_str_t in, const char *kept, apr_pool_t *pool);

/* ---- cookies ----------------------------------------------------------------------------------------------- */

/*
 * The first cookie of that name in a Cookie field (RFC 6265 4.2.1, several fields joined by ", " as HTTP servers do),
 * quotes around the value removed. Names are case-sensitive. False: none, or the first is empty. *out is a view into
 * field.
 */
bool tr_cookie_find(tr_str_t *out, tr_str_t field, tr_str_t name);

/*
 * The next cookie of that name in *field, which goes on behind it. False: no more. *out may be empty; it is a view into
 * field.
 */
bool tr_cookie_next(tr_str_t *out, tr_str_t *field, tr_str_t name);

/* field without any cookie of that name, in pool; NULL if nothing is left. */
char *tr_cookie_strip(tr_str_t field, tr_str_t name, apr_pool_t *pool);

/* ---- dead tokens ------------------------------------------------------------------------------------------- */

/* Is it not revoked, as far as is known? For a token that tr_gate_recognize knows. */
bool tr_token_is_alive(const tr_gate_t *gate, const tr_token_t *token, apr_pool_t *pool);

/*
 * Does everything that ending this token would leave (n entries of tr_gate_scope) stand already, and stored? Then a dead token
 * must do nothing more: whoever kept it would end the sessions that came after it. now: as everywhere.
 */
bool tr_scope_is_done(const tr_gate_t *gate, tr_ledger_t *ledger, const tr_token_t *token, const tr_entry_t *entries, int n,
                      apr_time_t now, apr_pool_t *pool);

/* ---- answers of all endpoints ------------------------------------------------------------------------------- */

typedef enum tr_answers_t { TR_ANSWERS_RFC7009, TR_ANSWERS_STRICT } tr_answers_t;

#define TR_RETRY_AFTER_S 5 /* what a caller is asked to wait for when it is our fault */

typedef struct tr_answer_t {
    int status;              /* HTTP */
    const char *body;        /* JSON text */
    int retry_after_s;       /* 0: no Retry-After */
    const char *challenge;   /* of a 401: WWW-Authenticate; NULL: none */
    apr_status_t verdict;    /* what was found: APR_SUCCESS = revoked now, a refusal, or the failure; for the log */
    const char *detail;      /* for the log; NULL: nothing to add */
    const char *fingerprint; /* of the token; NULL: there was none */
} tr_answer_t;

/* RFC 6749 5.2: status, and a body with code and sentence; the strict dialect has no code. Leaves all else of out as it is. */
void tr_answer_error(tr_answer_t *out, tr_answers_t answers, int status, const char *code, const char *sentence,
                     apr_pool_t *pool);

/* The code of an error that its status says all of. */
const char *tr_answer_code(int status);

/* The whole answer to a request that never came to be looked at: 405, 413, 400, 503 …, with a sentence. */
void tr_answer_refuse(tr_answer_t *out, tr_answers_t answers, int status, const char *sentence, apr_pool_t *pool);

/* ---- revocation -------------------------------------------------------------------------------------------- */

typedef struct tr_revoke_request_t {
    tr_body_type_t type;
    const tr_params_t *params;
    tr_answers_t answers;
    tr_scope_t cascade; /* what a refresh token takes with it */
    tr_str_t client_id; /* the client that asks, for tokens of another are refused; empty: no client */
    bool is_known;      /* whoever asks has shown who he is */
    int64_t opaque_s;   /* seconds to keep an opaque token revoked that such a caller brings; 0: JWTs only */
    const tr_keep_t *keep;
    tr_circumstances_t circumstances; /* reason is taken from the body */
    apr_time_t wall;                  /* what clocks say: up to when tokens are cut off */
    apr_time_t now;                   /* is the token expired? */
    apr_time_t clean_now;             /* a clock that never ran ahead: may an entry's place be used again? */
} tr_revoke_request_t;

/* Answer a POST. Always fills out; *out's strings are in pool or static. */
void tr_revoke_answer(tr_answer_t *out, const tr_revoke_request_t *request, const tr_gate_t *gate, tr_ledger_t *ledger,
                      apr_pool_t *pool);

#endif
