/*
 * mod_tokrevoke.c: the table of contents of the module: its directives and its hooks. docs/ARCHITECTURE.md shows the
 * house.
 */
#include "src/httpd/trh.h"
#include "src/httpd/trh_body.h"

#include <http_protocol.h>
#include <http_request.h>

/* Where a directive may stand: in the server's configuration, or in directories and .htaccess under AuthConfig. */
#define IN_SERVER RSRC_CONF
#define IN_DIRECTORY OR_AUTHCFG

static const command_rec directives[] = {
    AP_INIT_RAW_ARGS("<TokRevokeIssuer", trh_set_issuer_section, NULL, IN_SERVER,
                     "a trusted issuer: the exact value of iss, or \"*\""),
    AP_INIT_TAKE1("TokRevokeKeySet", trh_set_key_set, NULL, IN_SERVER, "file with a JWK Set"),
    AP_INIT_TAKE12("TokRevokePublicKey", trh_set_public_key, NULL, IN_SERVER,
                   "PEM file with a public key or certificate, and its kid"),
    AP_INIT_TAKE12("TokRevokeSharedSecret", trh_set_shared_secret, NULL, IN_SERVER, "file with an HMAC secret, and its kid"),
    AP_INIT_ITERATE("TokRevokeAlgorithms", trh_set_algorithm, NULL, IN_SERVER, "allowed signature algorithms"),
    AP_INIT_ITERATE("TokRevokeAudience", trh_set_audience, NULL, IN_SERVER, "aud must name one of these"),
    AP_INIT_ITERATE("TokRevokeLogoutAudience", trh_set_logout_audience, NULL, IN_SERVER, "what aud of a logout token must name"),
    AP_INIT_ITERATE("TokRevokeTokenType", trh_set_token_type, NULL, IN_SERVER, "allowed typ headers"),
    AP_INIT_ITERATE("TokRevokeTokenUse", trh_set_token_use, NULL, IN_SERVER,
                    "the claim that tells an access token, and its values"),
    AP_INIT_TAKE1("TokRevokeClockSkew", trh_set_clock_skew, NULL, IN_SERVER, "tolerance for exp, nbf and iat"),
    AP_INIT_TAKE1("TokRevokeMaxLifetime", trh_set_max_lifetime, NULL, IN_SERVER, "longest exp - iat, or unlimited"),
    AP_INIT_TAKE1("TokRevokeCapacity", trh_set_capacity, NULL, IN_SERVER, "live revocations that the table holds"),
    AP_INIT_TAKE1("TokRevokeVerifiedCache", trh_set_verified, NULL, IN_SERVER,
                  "tokens whose good signature is remembered, or off"),
    AP_INIT_TAKE1("TokRevokeDatabase", trh_set_database, NULL, IN_SERVER,
                  "sqlite3:PATH, pgsql:CONNINFO, or none: revocations are kept in memory"),
    AP_INIT_TAKE1("TokRevokeMaxStaleness", trh_set_max_staleness, NULL, IN_SERVER,
                  "how long tokens are accepted while the database cannot be read, or unlimited"),
    AP_INIT_FLAG("TokRevokeRequireJti", trh_set_require_jti, NULL, IN_SERVER, "On: a token without jti is refused"),
    AP_INIT_TAKE1("TokRevokeRetain", trh_set_retain, NULL, IN_SERVER, "keep revocations this much longer"),
    AP_INIT_ITERATE("TokRevokeTokenFrom", trh_set_token_from, NULL, IN_DIRECTORY,
                    "header, header=NAME, cookie=NAME, query=NAME or form=NAME, in order"),
    AP_INIT_TAKE1("TokRevokeUserClaim", trh_set_user_claim, NULL, IN_DIRECTORY, "claim that becomes REMOTE_USER"),
    AP_INIT_FLAG("TokRevokeStripToken", trh_set_strip_token, NULL, IN_DIRECTORY, "On: the app behind never sees the token"),
    AP_INIT_TAKE1("TokRevokeLoginURL", trh_set_login, NULL, IN_DIRECTORY, "where browsers without a good token are sent, or off"),
    AP_INIT_FLAG("TokRevokeOptional", trh_set_optional, NULL, IN_DIRECTORY, "On: nobody is turned away for lack of a token"),
    AP_INIT_FLAG("TokRevokeClaimEnv", trh_set_claim_env, NULL, IN_DIRECTORY, "On: claims are in the environment"),
    AP_INIT_TAKE2("TokRevokeClaimHeader", trh_set_claim_header, NULL, IN_DIRECTORY,
                  "a header of the request for the application, and its claim"),
    AP_INIT_FLAG("TokRevokeCutStreams", trh_set_cut_streams, NULL, IN_DIRECTORY,
                 "On: what outlives its token is cut: a WebSocket, an event stream, a download"),
    AP_INIT_TAKE1("TokRevokeAnswers", trh_set_answers, NULL, IN_DIRECTORY, "rfc7009 or strict"),
    AP_INIT_ITERATE("TokRevokeAllowOrigin", trh_set_allow_origin, NULL, IN_DIRECTORY,
                    "origins that may call the endpoint from a browser"),
    AP_INIT_TAKE1("TokRevokeOpaque", trh_set_opaque, NULL, IN_DIRECTORY,
                  "how long to keep opaque tokens revoked, or off: JWTs only"),
    AP_INIT_TAKE1("TokRevokeCascade", trh_set_cascade, NULL, IN_DIRECTORY,
                  "what revoking a refresh token takes with it: token, session or subject"),
    AP_INIT_TAKE1("TokRevokeClients", trh_set_clients, NULL, IN_DIRECTORY, "htpasswd file of OAuth clients"),
    AP_INIT_FLAG("TokRevokeGuardTokenEndpoint", trh_set_guard, NULL, IN_DIRECTORY,
                 "On: a revoked refresh token does not reach the token endpoint behind"),
    AP_INIT_FLAG("TokRevokeGuardRotation", trh_set_rotation, NULL, IN_DIRECTORY,
                 "On: a refresh token that was exchanged is revoked; shown again, it ends its family"),
    AP_INIT_ITERATE("TokRevokeLogoutRedirect", trh_set_logout_target, NULL, IN_DIRECTORY,
                    "where logout goes, and where else it may go"),
    AP_INIT_TAKE1("TokRevokeLogoutScope", trh_set_logout_scope, NULL, IN_DIRECTORY,
                  "what logout revokes: token, session or subject"),
    AP_INIT_ITERATE("TokRevokeLogoutCookie", trh_set_logout_cookie, NULL, IN_DIRECTORY,
                    "cookies that logout clears: NAME[;attribute...]"),
    AP_INIT_RAW_ARGS("TokRevokeClearSiteData", trh_set_clear_site_data, NULL, IN_DIRECTORY,
                     "types of the header Clear-Site-Data that logout sends, or off"),
    AP_INIT_FLAG("TokRevokeLogoutGet", trh_set_logout_get, NULL, IN_DIRECTORY, "On: GET logs out without asking"),
    AP_INIT_TAKE1("TokRevokeLogoutPage", trh_set_logout_page, NULL, IN_DIRECTORY, "template of the page that asks"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};

/* As a request meets them. */
static void register_hooks(apr_pool_t *pool)
{
    ap_hook_pre_config(trh_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(trh_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(trh_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_expr_lookup(trh_find_function, NULL, NULL, APR_HOOK_MIDDLE);
    /* Before anybody looks at the request, on every path. */
    ap_hook_post_read_request(trh_clean_fields, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_header_parser(trh_clean_local_fields, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* Before whoever demands authentication: a preflight carries none (CORS), and errors need the headers too. */
    ap_hook_check_access_ex(trh_cors, NULL, NULL, APR_HOOK_REALLY_FIRST, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_check_access_ex(trh_check_access, NULL, NULL, APR_HOOK_REALLY_FIRST, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_force_authn(trh_force_decision, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_force_authn(trh_force_authn, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_authn(trh_check_authn, NULL, NULL, APR_HOOK_MIDDLE, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_check_authz(trh_check_authz, NULL, NULL, APR_HOOK_REALLY_FIRST, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_note_auth_failure(trh_note_auth_failure, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_fixups(trh_check_settled, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* Before mod_rewrite and mod_headers, which may look at it. */
    ap_hook_fixups(trh_promote, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_fixups(trh_tell_application, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* Before mod_proxy and whoever else answers; and before any redirect inside httpd, which forgets the location. */
    ap_hook_fixups(trh_guard_fixup, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* Once more: mod_negotiation and mod_dir do it in their fixups. */
    ap_hook_fixups(trh_promote, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_fixups(trh_list_part, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_fixups(trh_check_told, NULL, NULL, APR_HOOK_REALLY_LAST);
    /* When everybody else has said where the request goes. */
    ap_hook_fixups(trh_stream_fixup, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_insert_filter(trh_guard_insert, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_insert_filter(trh_stream_insert, NULL, NULL, APR_HOOK_MIDDLE);
    /* Behind mod_headers, so that nothing written in the configuration opens a private answer to shared caches. */
    ap_hook_insert_filter(trh_insert_filter, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_insert_error_filter(trh_insert_filter, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_handler(trh_guard_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(trh_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(trh_stream_log, NULL, NULL, APR_HOOK_REALLY_FIRST);
    trh_register_authz(pool);
    trh_register_export();
    trh_register_filter();
    trh_register_stream();
    trh_register_guard();
    trh_register_wait();
}

module AP_MODULE_DECLARE_DATA tokrevoke_module = {
    STANDARD20_MODULE_STUFF, trh_dir_create, trh_dir_merge,  trh_server_create,
    trh_server_merge,        directives,     register_hooks, AP_MODULE_FLAG_NONE,
};
