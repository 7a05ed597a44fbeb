/*
 * trh.h: what the files of the Apache half share. Nothing below the wall sees this.
 */
#ifndef TRH_H
#define TRH_H

#include <httpd.h>
#include <ap_expr.h>
#include <http_config.h>
#include <http_log.h>

#include "tr_base.h"
#include "tr_client.h"
#include "tr_file.h"
#include "tr_gate.h"
#include "tr_issuer.h"
#include "tr_ledger.h"
#include "tr_oauth.h"
#include "tr_reason.h"
#include "tr_store.h"
#include "tr_value.h"

extern __attribute__((visibility("default"))) module AP_MODULE_DECLARE_DATA tokrevoke_module;

APLOG_USE_MODULE(tokrevoke);

#define TRH_HANDLERS "tokrevoke-" /* all names of our handlers begin so */
#define TRH_REVOKE_HANDLER TRH_HANDLERS "revoke"
#define TRH_INTROSPECT_HANDLER TRH_HANDLERS "introspect"
#define TRH_LOGOUT_HANDLER TRH_HANDLERS "logout"
#define TRH_BACKCHANNEL_HANDLER TRH_HANDLERS "backchannel-logout"
#define TRH_ADMIN_HANDLER TRH_HANDLERS "admin"
#define TRH_UNSET (-1)
#define TRH_REFUSED_NOTE "tokrevoke-refused" /* request note: the answer is a refusal of ours */

/* ---- configuration ----------------------------------------------------------------------------------------- */

/* TokRevokeClaimHeader */
typedef struct trh_claim_header_t {
    const char *field;
    const char *claim; /* dotted path */
} trh_claim_header_t;

/* Of a (virtual) server. What only the main server may set is read there. */
typedef struct trh_server_t {
    tr_issuers_t *issuers;
    tr_issuer_t *open;                   /* the section that is being read */
    const ap_directive_t *use_directive; /* the TokRevokeTokenUse that was read last */
    uint32_t capacity;                   /* 0: not given */
    int64_t verified;                    /* TokRevokeVerifiedCache; 0: off */
    int64_t retain_s;
    int64_t max_staleness_s;
    int64_t longest_opaque_s;   /* TokRevokeOpaque of all locations, 0: none */
    bool has_opaque_off;        /* TokRevokeOpaque off stands somewhere, perhaps inside a guarded location */
    apr_array_header_t *guards; /* trh_dir_t *, of locations with a guarded token endpoint */
    bool has_database;          /* TokRevokeDatabase was given */
    tr_store_place_t *place;    /* what it said; NULL: none */
    tr_gate_t gate;             /* made when the configuration is complete */
} trh_server_t;

/* Of a directory or Location. */
typedef struct trh_dir_t {
    apr_array_header_t *sources; /* tr_source_t; NULL: not given */
    const char *user_claim;
    int strip;
    int answers;                 /* tr_answers_t */
    apr_array_header_t *origins; /* const char * */
    int64_t opaque_s;            /* seconds; 0: off */
    int cascade;                 /* tr_scope_t */
    const char *clients;         /* path */
    int guard, rotation;
    apr_array_header_t *logout_targets; /* const char *; the first is the default */
    int logout_scope;                   /* tr_scope_t */
    apr_array_header_t *logout_cookies; /* const char *: NAME[;attribute…] */
    const char *clear_site_data;        /* value of the header; "": off; NULL: not given */
    int logout_get;
    const char *logout_page; /* text of the template; NULL: the built-in one */
    const char *login;       /* where browsers log in; "": off; NULL: not given */
    int optional, claim_env;
    apr_array_header_t *claim_headers; /* trh_claim_header_t; NULL: none */
    bool has_local_fields;             /* an .htaccess says some of them */
    int cut_streams;
} trh_dir_t;

void *trh_server_create(apr_pool_t *pool, server_rec *s);
void *trh_server_merge(apr_pool_t *pool, void *base, void *add);
void *trh_dir_create(apr_pool_t *pool, char *path);
void *trh_dir_merge(apr_pool_t *pool, void *base, void *add);

const trh_server_t *trh_server(const server_rec *s);

/* While the configuration is read. */
trh_server_t *trh_server_of(cmd_parms *cmd);

/* Log what is to be mended about a file that a directive names. */
void trh_tell_worry(cmd_parms *cmd, const char *path, tr_file_kind_t kind);

const trh_dir_t *trh_dir(const request_rec *r);
const apr_array_header_t *trh_sources(const trh_dir_t *dir);
bool trh_is_any_cut(void); /* has this process met TokRevokeCutStreams On? Else that costs nothing */

/* NULL, or what is wrong with the name of a claim. */
const char *trh_check_claim_name(apr_pool_t *pool, const char *claim);

/* The same, of a directive. */
const char *trh_check_claim(cmd_parms *cmd, const char *claim);

/* ---- directives: each checks its arguments, and returns NULL or an error for the administrator ------------- */

const char *trh_set_issuer_section(cmd_parms *cmd, void *dir, const char *args);
const char *trh_set_key_set(cmd_parms *cmd, void *dir, const char *path);
const char *trh_set_public_key(cmd_parms *cmd, void *dir, const char *path, const char *kid);
const char *trh_set_shared_secret(cmd_parms *cmd, void *dir, const char *path, const char *kid);
const char *trh_set_algorithm(cmd_parms *cmd, void *dir, const char *name);
const char *trh_set_audience(cmd_parms *cmd, void *dir, const char *aud);
const char *trh_set_logout_audience(cmd_parms *cmd, void *dir, const char *aud);
const char *trh_set_token_type(cmd_parms *cmd, void *dir, const char *type);
const char *trh_set_token_use(cmd_parms *cmd, void *dir, const char *word);
const char *trh_set_clock_skew(cmd_parms *cmd, void *dir, const char *duration);
const char *trh_set_max_lifetime(cmd_parms *cmd, void *dir, const char *duration);
const char *trh_set_capacity(cmd_parms *cmd, void *dir, const char *number);
const char *trh_set_verified(cmd_parms *cmd, void *dir, const char *number);
const char *trh_set_database(cmd_parms *cmd, void *dir, const char *database);
const char *trh_set_require_jti(cmd_parms *cmd, void *dir, int on);
const char *trh_set_max_staleness(cmd_parms *cmd, void *dir, const char *duration);
const char *trh_set_retain(cmd_parms *cmd, void *dir, const char *duration);
const char *trh_set_token_from(cmd_parms *cmd, void *dir, const char *source);
const char *trh_set_user_claim(cmd_parms *cmd, void *dir, const char *claim);
const char *trh_set_strip_token(cmd_parms *cmd, void *dir, int on);
const char *trh_set_answers(cmd_parms *cmd, void *dir, const char *answers);
const char *trh_set_allow_origin(cmd_parms *cmd, void *dir, const char *origin);
const char *trh_set_opaque(cmd_parms *cmd, void *dir, const char *duration);
const char *trh_set_cascade(cmd_parms *cmd, void *dir, const char *scope);
const char *trh_set_clients(cmd_parms *cmd, void *dir, const char *path);
const char *trh_set_guard(cmd_parms *cmd, void *dir, int on);
const char *trh_set_rotation(cmd_parms *cmd, void *dir, int on);
const char *trh_set_logout_target(cmd_parms *cmd, void *dir, const char *url);
const char *trh_set_logout_scope(cmd_parms *cmd, void *dir, const char *scope);
const char *trh_set_logout_cookie(cmd_parms *cmd, void *dir, const char *cookie);
const char *trh_set_clear_site_data(cmd_parms *cmd, void *dir, const char *args);
const char *trh_set_logout_get(cmd_parms *cmd, void *dir, int on);
const char *trh_set_logout_page(cmd_parms *cmd, void *dir, const char *path);
const char *trh_set_login(cmd_parms *cmd, void *dir, const char *url);
const char *trh_set_optional(cmd_parms *cmd, void *dir, int on);
const char *trh_set_claim_env(cmd_parms *cmd, void *dir, int on);
const char *trh_set_claim_header(cmd_parms *cmd, void *dir, const char *field, const char *claim);
const char *trh_set_cut_streams(cmd_parms *cmd, void *dir, int on);

/* Of two places: what the inner one says of a field counts. */
apr_array_header_t *trh_merge_claim_headers(const apr_array_header_t *base, apr_array_header_t *add, apr_pool_t *pool);

/* ---- life cycle -------------------------------------------------------------------------------------------- */

int trh_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp);
int trh_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
void trh_child_init(apr_pool_t *pchild, server_rec *s);

/* This process' ledger; NULL when there is no table. */
tr_ledger_t *trh_ledger(void);

/* This process' store; NULL when revocations are kept in memory only. */
tr_store_t *trh_store(void);

/* A revoked token was shown: count it, and say so in the log, at most once a minute for each token. */
void trh_note_presented(request_rec *r, tr_str_t token, const tr_identity_t *identity);

/* The subject of a token for the log, not longer than a line can bear. */
const char *trh_subject(const tr_identity_t *identity, apr_pool_t *pool);

/* How long entries must be kept: the largest skew of all issuers, TokRevokeRetain, and what guarded endpoints need. */
const tr_keep_t *trh_keep(void);

/*
 * The wall clock, but never further on than the time that has really passed since the table was made: a clock that
 * jumps ahead must not make room by forgetting revocations.
 */
apr_time_t trh_clean_now(void);

/* ---- a request --------------------------------------------------------------------------------------------- */

typedef struct trh_stream_t trh_stream_t;

/* What is known of a request whose token passed, or that TokRevokeOptional let in without one that counts. */
typedef struct trh_request_t {
    tr_str_t token;
    const tr_identity_t *identity; /* NULL: nobody is known */
    apr_status_t verdict;          /* why, then */
    uint64_t changes;              /* of the table, before the token was looked up there */
    trh_stream_t *stream;          /* NULL: it is not watched */
    tr_source_t source;
    bool stripped;              /* the token was removed from the request: subrequests and redirects find it here */
    apr_array_header_t *others; /* tr_str_t: at logout, all that were removed; NULL: none */
    bool has_more;              /* more than others can hold */
    bool in_authz;              /* trh_check_authz asks the other modules */
    apr_array_header_t *lacks;  /* const char *: scopes that Require token-scope asked for in vain; NULL: none */
} trh_request_t;

/* Of this request itself; NULL: no token of its own passed. */
trh_request_t *trh_request(const request_rec *r);

/* The same, also where nobody is known. */
trh_request_t *trh_record(const request_rec *r);

/*
 * The request inside httpd that r comes from: that which was redirected to it, also for an error document, before that which it is a
 * part of. NULL: r is the client's.
 */
const request_rec *trh_origin(const request_rec *r);

/* The same, or that of the nearest request that it comes from. */
trh_request_t *trh_request_of(const request_rec *r);

typedef struct trh_found_t {
    tr_str_t token;
    tr_source_t source;
} trh_found_t;

/* Look through the sources in order. Returns APR_SUCCESS, TR_NO_TOKEN or TR_MULTIPLE_TOKENS. */
TR_MUST_CHECK apr_status_t trh_find_token(trh_found_t *out, request_rec *r, const apr_array_header_t *sources);

/*
 * Add to tokens (tr_str_t) whatever the sources hold: every cookie, field and parameter of their names, and what was taken out of
 * this request by TokRevokeStripToken. params: of the body; NULL: none. False: these are more than TR_MAX_LOGOUT_TOKENS.
 */
TR_MUST_CHECK bool trh_find_all(apr_array_header_t *tokens, request_rec *r, const apr_array_header_t *sources,
                                const tr_params_t *params);

/* Remove whatever the sources hold from the request, before anything behind us sees it. */
void trh_strip_token(request_rec *r, const apr_array_header_t *sources);

/* TokRevokeUserClaim, or its default. */
const char *trh_user_claim(const request_rec *r);

/*
 * The gate of r's server, for this thread to ask for r at once; forged tokens are counted against its client (trh_flood.c). Of
 * trusted ones: they bring what others gave them, and nothing is counted.
 */
const tr_gate_t *trh_gate(const request_rec *r);
const tr_gate_t *trh_gate_of_trusted(const request_rec *r);

/* Is AuthType Bearer in force here? */
bool trh_is_bearer(request_rec *r);

int trh_check_authn(request_rec *r);
int trh_check_authz(request_rec *r);
int trh_note_auth_failure(request_rec *r, const char *auth_type);

/* AuthName as it stands between quotes in a challenge (RFC 9110 5.6.4). */
const char *trh_realm(request_rec *r);

/* Require token-claim, Require token-scope. */
void trh_register_authz(apr_pool_t *pool);

/*
 * Answer a protected resource's request with a refusal: headers, reason, log, and for those who did not ask for HTML
 * the JSON body. Returns what the hook must return.
 */
int trh_refuse(request_rec *r, const tr_reason_t *reason, apr_status_t rv, tr_str_t token);

/* Log that a token was refused or does not count (what), and why; never the token. */
void trh_log_verdict(request_rec *r, const char *what, const tr_reason_t *reason, apr_status_t rv, tr_str_t token);

/* ---- browsers and the anonymous ----------------------------------------------------------------------------- */

/* Send a navigation to TokRevokeLoginURL: sets Location. False: this is none, or there is nowhere to go. */
bool trh_send_to_login(request_rec *r);

/* ap_hook_force_authn: a token may make somebody known where nobody needs to be. */
int trh_force_authn(request_rec *r);

/* Go on without a user: verdict is why. Returns what the hook must return. */
int trh_let_in_anonymous(request_rec *r, const trh_found_t *found, apr_status_t verdict);

/* After the others have said whether he may be here (status): the user is gone again. Returns what the hook must return. */
int trh_settle_anonymous(request_rec *r, const trh_request_t *request, int status);

/* ---- answers ------------------------------------------------------------------------------------------------ */

/* Write a JSON answer with this status. The caller has put its headers into err_headers_out. */
void trh_send_json(request_rec *r, int status, const char *body);

/* The same for another media type. type is not copied. */
void trh_send_text(request_rec *r, int status, const char *type, const char *body);

/* Ask the caller to wait; 0: do not. */
void trh_set_retry_after(request_rec *r, int after_s);

/* Does the client want HTML more than JSON? "*" ranges are no wish (RFC 9110 12.5.1). */
bool trh_wants_html(const request_rec *r);

/* Does it want JSON more than HTML? One that says nothing wants neither. */
bool trh_wants_json(const request_rec *r);

/* ---- token_claim() in expressions (trh_claims.c) ------------------------------------------------------------ */

int trh_find_function(ap_expr_lookup_parms *parms);

/* Hooks: where Require asks for claims, access is decided by authn and authz. */
int trh_check_access(request_rec *r);
int trh_force_decision(request_rec *r);

/* Authz has begun: it decides. */
void trh_settle_access(request_rec *r);

/* Hook: lets nobody by for whom it has not. */
int trh_check_settled(request_rec *r);

/* Did an expression look for a token that authn did not? *found: the good one that it saw, or NULL. */
bool trh_claims_seen(const trh_request_t **found, const request_rec *r);

/* A part becomes this request, with what its expressions have seen. */
void trh_take_over_claims(request_rec *r, const request_rec *part);

/* May one do so yet, until the answer begins? */
bool trh_may_see_claims(request_rec *r);

/* ---- filter: answers that depend on a token in a cookie, a header of its own or the query ------------------- */

void trh_register_filter(void);
void trh_insert_filter(request_rec *r);

/* ---- what the application is told --------------------------------------------------------------------------- */

/* While the configuration is read: begin anew; remember a name of TokRevokeClaimHeader, which must live as long. */
void trh_forget_claim_headers(apr_pool_t *pconf);
void trh_know_claim_header(const char *name);

/* Hooks: take out what the client has no right to send, as soon as it is there, and once more where an .htaccess is known. */
int trh_clean_fields(request_rec *r);
int trh_clean_local_fields(request_rec *r);

/* Hook: variables and fields for whoever answers this request. */
int trh_tell_application(request_rec *r);

/* What a part of this request, which becomes it, was told. */
void trh_take_over_fields(request_rec *r, const request_rec *part);

/* Hook behind all who set fields: refuse a token whose claims have brought a line break into one. */
int trh_check_told(request_rec *r);

/* Can the claims become fields of the request? APR_SUCCESS or TR_MALFORMED. */
TR_MUST_CHECK apr_status_t trh_check_claim_headers(const request_rec *r, const tr_identity_t *identity);

void trh_register_export(void);

/* Hooks (trh_promote.c): a part of a request may become it; has one? */
int trh_list_part(request_rec *r);
int trh_promote(request_rec *r);

/* ---- what outlives its token -------------------------------------------------------------------------------- */

/* Cutting it (trh_stream.c): fixup begins to watch, insert puts the filter in, log tells why; begin, stop: this child. */
int trh_stream_fixup(request_rec *r);
void trh_stream_insert(request_rec *r);
int trh_stream_log(request_rec *r);
void trh_register_stream(void);
void trh_begin_streams(void);
void trh_stop_streams(void);

/* ---- endpoints --------------------------------------------------------------------------------------------- */

int trh_cors(request_rec *r);

/* Let a listed origin read the answer, also an error's. */
void trh_add_cors(request_rec *r);

/* Does a page of another site make the browser ask (tr_site.h)? */
bool trh_is_foreign(const request_rec *r);

/* Is its origin one that TokRevokeAllowOrigin names? "*" names none. */
bool trh_is_listed_origin(const request_rec *r);

/* Hook: hands a request for an endpoint of ours to one of the next, which look at the handler's name no more. */
int trh_handler(request_rec *r);
int trh_revoke_handler(request_rec *r);
int trh_admin_handler(request_rec *r);
int trh_introspect_handler(request_rec *r);
int trh_backchannel_handler(request_rec *r);
int trh_logout_handler(request_rec *r);

/*
 * Log out in place of refusing: nobody needs a good token for that. For hooks before the handler. Returns what the hook must
 * return; DECLINED: this is no location of logout.
 */
int trh_logout_instead(request_rec *r);

/* The page that asks: posts to action, with what is passed back afterwards (may be empty). Returns OK. */
int trh_send_logout_page(request_rec *r, const char *action, tr_str_t redirect, tr_str_t state);

/* The page for whoever is not sent elsewhere. Returns OK. */
int trh_send_logged_out_page(request_rec *r);

/*
 * The guard of a token endpoint (trh_guard.c): fixup remembers that a request is guarded, handler runs before all others and
 * declines where the request may go on, insert takes the guard along into redirects inside httpd.
 */
int trh_guard_fixup(request_rec *r);
int trh_guard_handler(request_rec *r);
void trh_guard_insert(request_rec *r);
void trh_register_guard(void);

/* Has httpd's own configuration established who asks? */
static inline bool trh_is_known(const request_rec *r)
{
    return r->user != NULL && *r->user != '\0';
}

/* Is this the name of one of our handlers? */
bool trh_is_endpoint(const char *handler);

/* Will it be, by SetHandler? For hooks that run before httpd has looked; SetHandler may be an expression. */
bool trh_is_configured_for(request_rec *r, const char *handler);

/* What SetHandler says; NULL: nothing. */
const char *trh_configured_handler(request_rec *r);

/*
 * The answer to a method that is none of allow: sets Allow, drops the body. Returns HTTP_NO_CONTENT for OPTIONS (to be returned
 * by the handler), else HTTP_METHOD_NOT_ALLOWED (to be answered by it).
 */
int trh_refuse_method(request_rec *r, const char *allow);

/* Write the answer of an endpoint: never stored by caches. Logging is the caller's. */
void trh_send_answer(request_rec *r, const tr_answer_t *answer);

/* An endpoint that takes POST alone. */
typedef struct trh_endpoint_t {
    bool has_dialects; /* TokRevokeAnswers counts */

    /* The answer to parameters that could be read. Always fills out. */
    void (*answer)(tr_answer_t *out, request_rec *r, const tr_params_t *params, tr_body_type_t type, tr_answers_t answers);
    void (*log)(request_rec *r, const tr_answer_t *answer);
} trh_endpoint_t;

/* Method, body, answer, log. Returns what the handler must return. */
int trh_serve(request_rec *r, const trh_endpoint_t *endpoint);

/*
 * Who asks, by TokRevokeClients (RFC 6749 2.3). True: *out says who, TR_CLIENT_NONE where the location names no file. False:
 * *refusal is the answer, in the dialect of answers, and it was logged. A client that knew its secret becomes r->user where httpd
 * has set none, so ask for r->user before if it must be httpd's own. params: the body's; NULL: it has none.
 */
TR_MUST_CHECK bool trh_authenticate_client(tr_client_t *out, tr_answer_t *refusal, request_rec *r, const tr_params_t *params,
                                           tr_answers_t answers);

/* The answer to whoever is no authenticated client. */
void trh_refuse_client(tr_answer_t *refusal, const request_rec *r, tr_answers_t answers);

/*
 * Has this process said it in this second? last_s is the message's own. Callers can ask as often as they like, and must not fill
 * the log.
 */
bool trh_is_said(_Atomic int64_t *last_s);

/*
 * Has it been said within the last minute, by whoever shares said_at, which is the message's own (0: never)? If not, the caller says
 * it now.
 */
bool trh_is_said_lately(_Atomic int64_t *said_at);

/* Log that what could not be revoked, and why: verdict is what the ledger failed with, what is like "token 0123456789abcdef". */
void trh_log_failure(request_rec *r, apr_status_t verdict, const char *what);

/* Who asks, and from where; the reason is left empty. */
tr_circumstances_t trh_circumstances(const request_rec *r);

#endif
