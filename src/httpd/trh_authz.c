/* trh_authz.c: Require token-claim and Require token-scope: may the token's owner be here? */
#include "trh.h"

#include <ap_provider.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_request.h>
#include <mod_auth.h>

#include "tr_recent.h"
#include "tr_require.h"

/* A line of the configuration. */
typedef struct require_claim_t {
    const char *name;
    apr_array_header_t *values; /* const char * */
    ap_regex_t *pattern;        /* NULL: values count */
} require_claim_t;

typedef struct require_scope_t {
    apr_array_header_t *scopes; /* const char * */
    bool is_negated;            /* it turns away who has them, so nobody should ask for them */
} require_scope_t;

/* ---- reading the configuration ------------------------------------------------------------------------------ */

static apr_array_header_t *split(apr_pool_t *pool, const char *line)
{
    apr_array_header_t *words = apr_array_make(pool, 2, sizeof(const char *));

    while (*line != '\0') {
        APR_ARRAY_PUSH(words, const char *) = ap_getword_conf(pool, &line);
    }
    return words;
}

static const char *word_of(const apr_array_header_t *words, int i)
{
    return i < words->nelts ? APR_ARRAY_IDX(words, i, const char *) : "";
}

static const char *parse_pattern(require_claim_t *require, cmd_parms *cmd, const apr_array_header_t *words)
{
    const char *pattern = word_of(words, 2);

    if (words->nelts != 3 || *pattern == '\0') {
        return "Require token-claim: ~ needs one pattern, in quotes if there are spaces in it";
    }
    /* "$" must not let a line end pass, whatever RegexDefaultOptions says. */
    require->pattern = ap_pregcomp(cmd->pool, pattern, AP_REG_DOLLAR_ENDONLY);
    return require->pattern != NULL ? NULL
                                    : apr_psprintf(cmd->pool, "Require token-claim: \"%s\" is no regular expression", pattern);
}

static const char *parse_claim(cmd_parms *cmd, const char *line, const void **parsed)
{
    require_claim_t *require = apr_pcalloc(cmd->pool, sizeof(*require));
    apr_array_header_t *words = split(cmd->pool, line);
    const char *err =
        words->nelts > 0 ? trh_check_claim_name(cmd->pool, word_of(words, 0)) : "it needs the name of a claim and a value";

    if (err != NULL) {
        return apr_pstrcat(cmd->pool, "Require token-claim: ", err, NULL);
    }
    if (words->nelts < 2) {
        return "Require token-claim: it needs a value behind the name of the claim";
    }
    *parsed = require;
    require->name = word_of(words, 0);
    if (strcmp(word_of(words, 1), "~") == 0) {
        return parse_pattern(require, cmd, words);
    }
    require->values = apr_array_make(cmd->pool, words->nelts, sizeof(const char *));
    for (int i = 1; i < words->nelts; i++) {
        if (*word_of(words, i) == '\0') {
            return "Require token-claim: a value is empty";
        }
        APR_ARRAY_PUSH(require->values, const char *) = word_of(words, i);
    }
    return NULL;
}

/* Does the line, or a group around it, say that what it asks for must not be? */
static bool is_negated(const ap_directive_t *directive)
{
    const char *args = directive != NULL && directive->args != NULL ? directive->args : "";

    if (strncasecmp(args, "not", 3) == 0 && (args[3] == ' ' || args[3] == '\t')) {
        return true;
    }
    for (; directive != NULL; directive = directive->parent) {
        if (strcasecmp(directive->directive, "<RequireNone") == 0) {
            return true;
        }
    }
    return false;
}

static const char *parse_scope(cmd_parms *cmd, const char *line, const void **parsed)
{
    require_scope_t *require = apr_pcalloc(cmd->pool, sizeof(*require));

    require->scopes = split(cmd->pool, line);
    require->is_negated = is_negated(cmd->directive);
    *parsed = require;
    if (require->scopes->nelts == 0) {
        return "Require token-scope: it needs a scope";
    }
    for (int i = 0; i < require->scopes->nelts; i++) {
        const char *scope = word_of(require->scopes, i);

        if (!tr_is_scope(scope)) {
            return apr_psprintf(
                cmd->pool, "Require token-scope: \"%s\" is no scope (RFC 6749 3.3: printable ASCII without space, \" and \\)",
                scope);
        }
    }
    return NULL;
}

/* ---- a request ---------------------------------------------------------------------------------------------- */

/* The claims; NULL: no token of this request has passed, and *status says what that means. */
static const tr_json_t *find_claims(authz_status *status, request_rec *r)
{
    const trh_request_t *request = trh_request(r);

    if (request != NULL) {
        *status = AUTHZ_GENERAL_ERROR; /* in case there is no memory */
        return tr_recent_payload(request->identity, r->pool);
    }
    /* Where our turn is still to come, whoever else knows the user does not matter. */
    *status = r->user == NULL || trh_is_bearer(r) ? AUTHZ_DENIED_NO_USER : AUTHZ_DENIED;
    return NULL;
}

typedef struct search_t {
    const ap_regex_t *pattern;
    int failure; /* of the regular expression */
} search_t;

static bool is_matched(void *baton, tr_str_t text)
{
    search_t *search = baton;
    int rc = ap_regexec_len(search->pattern, text.len > 0 ? text.data : "", text.len, 0, NULL, 0);

    if (rc != 0 && rc != AP_REG_NOMATCH) {
        search->failure = rc;
    }
    return rc == 0;
}

static authz_status check_claim(request_rec *r, const char *line, const void *parsed)
{
    const require_claim_t *require = parsed;
    search_t search = {require->pattern, 0};
    authz_status status = AUTHZ_DENIED;
    const tr_json_t *claims = find_claims(&status, r);
    bool is_met;

    (void)line;
    if (claims == NULL) {
        return status;
    }
    if (require->pattern == NULL) {
        return tr_require_value(claims, require->name, require->values, r->pool) ? AUTHZ_GRANTED : AUTHZ_DENIED;
    }
    is_met = tr_require_any(claims, require->name, is_matched, &search, r->pool);
    /* Neither met nor not: under "not", no match would let in. */
    if (!is_met && search.failure != 0) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "TR061: the pattern of Require token-claim %s takes too long for the claim, or too much memory; answered 500",
            require->name);
        return AUTHZ_GENERAL_ERROR;
    }
    return is_met ? AUTHZ_GRANTED : AUTHZ_DENIED;
}

/* For the challenge (RFC 6750 3): each scope once. */
static void note_lack(request_rec *r, const apr_array_header_t *scopes)
{
    trh_request_t *request = trh_request(r);

    if (request->lacks == NULL) {
        request->lacks = apr_array_make(r->pool, scopes->nelts, sizeof(const char *));
    }
    for (int i = 0; i < scopes->nelts; i++) {
        const char *scope = APR_ARRAY_IDX(scopes, i, const char *);
        bool is_there = false;

        for (int j = 0; j < request->lacks->nelts && !is_there; j++) {
            is_there = strcmp(APR_ARRAY_IDX(request->lacks, j, const char *), scope) == 0;
        }
        if (!is_there) {
            APR_ARRAY_PUSH(request->lacks, const char *) = scope;
        }
    }
}

static authz_status check_scope(request_rec *r, const char *line, const void *parsed)
{
    const require_scope_t *require = parsed;
    authz_status status = AUTHZ_DENIED;
    const tr_json_t *claims = find_claims(&status, r);

    (void)line;
    if (claims == NULL) {
        return status;
    }
    if (tr_require_scopes(claims, require->scopes)) {
        return AUTHZ_GRANTED;
    }
    if (!require->is_negated) {
        note_lack(r, require->scopes);
    }
    return AUTHZ_DENIED;
}

void trh_register_authz(apr_pool_t *pool)
{
    static const authz_provider claim = {check_claim, parse_claim};
    static const authz_provider scope = {check_scope, parse_scope};

    ap_register_auth_provider(pool, AUTHZ_PROVIDER_GROUP, "token-claim", AUTHZ_PROVIDER_VERSION, &claim,
                              AP_AUTH_INTERNAL_PER_CONF);
    ap_register_auth_provider(pool, AUTHZ_PROVIDER_GROUP, "token-scope", AUTHZ_PROVIDER_VERSION, &scope,
                              AP_AUTH_INTERNAL_PER_CONF);
}
