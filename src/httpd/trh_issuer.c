/* trh_issuer.c: <TokRevokeIssuer> and the directives inside it. */
#include "trh.h"

#include <apr_strings.h>
#include <unixd.h>

#include "tr_digest.h"
#include "tr_limits.h"

#define DEFAULT_SKEW_S 60
#define DEFAULT_MAX_LIFETIME_S (24 * INT64_C(3600))

/* The section that a directive stands in. NULL, or the error when it stands elsewhere. */
static const char *find_open(tr_issuer_t **out, cmd_parms *cmd)
{
    *out = trh_server_of(cmd)->open;
    return *out != NULL ? NULL : apr_psprintf(cmd->pool, "%s is allowed inside <TokRevokeIssuer> only", cmd->cmd->name);
}

static const char *explain(cmd_parms *cmd, const char *path, const char *why)
{
    return apr_psprintf(cmd->pool, "%s: %s: %s", cmd->cmd->name, path, why);
}

static const char *append(apr_array_header_t **list, cmd_parms *cmd, const char *value)
{
    if (value[0] == '\0') {
        return apr_psprintf(cmd->pool, "%s: a value is empty", cmd->cmd->name);
    }
    if (*list == NULL) {
        *list = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    APR_ARRAY_PUSH(*list, const char *) = apr_pstrdup(cmd->pool, value);
    return NULL;
}

/* ---- the section ------------------------------------------------------------------------------------------- */

/* What may stand inside. Anything else would silently apply to the whole server. */
static const char *check_content(const ap_directive_t *first, apr_pool_t *pool)
{
    static const char *const allowed[] = {
        "TokRevokeKeySet",    "TokRevokePublicKey",      "TokRevokeSharedSecret", "TokRevokeAlgorithms",
        "TokRevokeAudience",  "TokRevokeLogoutAudience", "TokRevokeTokenType",    "TokRevokeTokenUse",
        "TokRevokeClockSkew", "TokRevokeMaxLifetime",    "TokRevokeRequireJti",
    };

    for (; first != NULL; first = first->next) {
        bool known = false;

        for (apr_size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
            known = known || strcasecmp(first->directive, allowed[i]) == 0;
        }
        if (!known) {
            return apr_psprintf(pool, "%s is not allowed inside <TokRevokeIssuer>", first->directive);
        }
    }
    return NULL;
}

static const char *parse_name(const char **iss, cmd_parms *cmd, const char *args)
{
    const char *end = ap_strrchr_c(args, '>');
    char *words;

    if (end == NULL || end[1] != '\0') {
        return "<TokRevokeIssuer> must end with '>'";
    }
    words = apr_pstrmemdup(cmd->pool, args, (apr_size_t)(end - args));
    args = words;
    *iss = ap_getword_conf(cmd->pool, &args);
    if (**iss == '\0' || *args != '\0') {
        return "<TokRevokeIssuer> takes one argument: the exact value of iss, or \"*\"";
    }
    if (strlen(*iss) > TR_MAX_IDENTIFIER_LEN) {
        return "<TokRevokeIssuer>: iss is longer than 1 KiB";
    }
    return NULL;
}

/* RFC 7518 3.2: what is asked for by name must be possible with the secrets at hand. */
static const char *check_secrets(const tr_issuer_t *issuer, tr_alg_set_t possible, apr_pool_t *pool)
{
    for (int alg = TR_ALG_HS256; alg <= TR_ALG_HS512; alg++) {
        if ((possible & TR_ALG_HS_SET) && (issuer->algs & TR_ALG_BIT(alg)) && !(possible & TR_ALG_BIT(alg))) {
            return apr_psprintf(pool,
                                "<TokRevokeIssuer %s>: TokRevokeAlgorithms names %s, but every secret is shorter than its hash "
                                "(RFC 7518 3.2)",
                                issuer->iss, tr_alg_name((tr_alg_t)alg));
        }
    }
    return NULL;
}

static const char *check_issuer(const tr_issuer_t *issuer, apr_pool_t *pool)
{
    tr_alg_set_t possible = tr_keyring_algs(issuer->keyring);

    if (tr_keyring_is_empty(issuer->keyring)) {
        return apr_psprintf(pool,
                            "<TokRevokeIssuer %s> has no key: add TokRevokeKeySet, TokRevokePublicKey or TokRevokeSharedSecret",
                            issuer->iss);
    }
    if (issuer->use_claim != NULL && issuer->use_values == NULL) {
        return apr_psprintf(pool, "TokRevokeTokenUse %s: the values that mean an access token are missing", issuer->use_claim);
    }
    return check_secrets(issuer, possible, pool);
}

const char *trh_set_issuer_section(cmd_parms *cmd, void *dir, const char *args)
{
    trh_server_t *server = trh_server_of(cmd);
    tr_issuer_t *issuer = apr_pcalloc(cmd->pool, sizeof(*issuer));
    const char *err = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);

    (void)dir;
    if (err == NULL) {
        err = parse_name(&issuer->iss, cmd, args);
    }
    if (err == NULL) {
        err = check_content(cmd->directive->first_child, cmd->pool);
    }
    if (err != NULL) {
        return err;
    }
    if (apr_hash_get(server->issuers, issuer->iss, APR_HASH_KEY_STRING) != NULL) {
        return apr_psprintf(cmd->pool, "<TokRevokeIssuer %s> stands twice in this server", issuer->iss);
    }
    issuer->keyring = tr_keyring_make(cmd->pool);
    issuer->skew_s = DEFAULT_SKEW_S;
    issuer->max_lifetime_s = DEFAULT_MAX_LIFETIME_S;
    server->open = issuer;
    err = ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
    server->open = NULL;
    if (err == NULL) {
        err = check_issuer(issuer, cmd->pool);
    }
    apr_hash_set(server->issuers, issuer->iss, APR_HASH_KEY_STRING, issuer);
    return err;
}

/* ---- keys -------------------------------------------------------------------------------------------------- */

const char *trh_set_key_set(cmd_parms *cmd, void *dir, const char *path)
{
    tr_issuer_t *issuer;
    const char *why;
    const char *err = find_open(&issuer, cmd);
    const char *full;

    (void)dir;
    if (err != NULL) {
        return err;
    }
    if (strncasecmp(path, "http://", 7) == 0 || strncasecmp(path, "https://", 8) == 0) {
        return explain(cmd, path,
                       "key sets from URLs need the add-on module mod_tokrevoke_jwks, which this version does not have; "
                       "fetch it into a file and name that file");
    }
    full = ap_server_root_relative(cmd->pool, path);
    if (full == NULL) {
        return explain(cmd, path, "this is not a valid file name");
    }
    if (tr_keyring_add_file(issuer->keyring, &why, full) != APR_SUCCESS) {
        return explain(cmd, full, why);
    }
    trh_tell_worry(cmd, full,
                   (tr_keyring_file_algs(issuer->keyring, full) & TR_ALG_HS_SET) != 0 ? TR_FILE_SECRETS : TR_FILE_PUBLIC);
    return NULL;
}

typedef apr_status_t (*read_key_fn)(const tr_key_t **out, const char **why, tr_str_t bytes, tr_str_t kid, apr_pool_t *pool);

static const char *add_key_file(cmd_parms *cmd, const char *path, const char *kid, bool is_secret, read_key_fn read_key)
{
    tr_issuer_t *issuer;
    tr_str_t bytes;
    const tr_key_t *key;
    const char *why = "this is not a valid file name";
    const char *err = find_open(&issuer, cmd);
    const char *full = ap_server_root_relative(cmd->pool, path);
    apr_status_t rv;

    if (err != NULL) {
        return err;
    }
    if (kid != NULL && (kid[0] == '\0' || strlen(kid) > TR_MAX_IDENTIFIER_LEN)) {
        return explain(cmd, path, "the kid is empty or longer than 1 KiB");
    }
    if (full == NULL || tr_file_read(&bytes, &why, full, TR_MAX_KEY_FILE_LEN, is_secret ? TR_FILE_SECRET : TR_FILE_PUBLIC,
                                     ap_unixd_config.user_id, cmd->temp_pool) != APR_SUCCESS) {
        return explain(cmd, path, why);
    }
    if (is_secret && bytes.len > 0 && bytes.data[bytes.len - 1] == '\n') {
        bytes.len--;
    }
    rv = read_key(&key, &why, bytes, tr_str_z(kid), cmd->pool);
    if (is_secret) {
        tr_wipe((char *)bytes.data, bytes.len);
    }
    if (rv != APR_SUCCESS) {
        return explain(cmd, full, why);
    }
    tr_keyring_add(issuer->keyring, key);
    trh_tell_worry(cmd, full, is_secret ? TR_FILE_SECRET : TR_FILE_PUBLIC);
    return NULL;
}

const char *trh_set_public_key(cmd_parms *cmd, void *dir, const char *path, const char *kid)
{
    (void)dir;
    return add_key_file(cmd, path, kid, false, tr_key_from_pem);
}

const char *trh_set_shared_secret(cmd_parms *cmd, void *dir, const char *path, const char *kid)
{
    (void)dir;
    return add_key_file(cmd, path, kid, true, tr_key_from_secret);
}

/* ---- rules ------------------------------------------------------------------------------------------------- */

const char *trh_set_algorithm(cmd_parms *cmd, void *dir, const char *name)
{
    tr_issuer_t *issuer;
    tr_alg_t alg;
    const char *err = find_open(&issuer, cmd);

    (void)dir;
    if (err != NULL) {
        return err;
    }
    if (!tr_alg_by_name(&alg, tr_str_z(name))) {
        return apr_psprintf(cmd->pool,
                            "TokRevokeAlgorithms: \"%s\" is none of RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 "
                            "ES256K EdDSA Ed25519 Ed448 HS256 HS384 HS512",
                            name);
    }
    issuer->algs |= TR_ALG_BIT(alg);
    return NULL;
}

const char *trh_set_audience(cmd_parms *cmd, void *dir, const char *aud)
{
    tr_issuer_t *issuer;
    const char *err = find_open(&issuer, cmd);

    (void)dir;
    return err != NULL ? err : append(&issuer->audiences, cmd, aud);
}

const char *trh_set_logout_audience(cmd_parms *cmd, void *dir, const char *aud)
{
    tr_issuer_t *issuer;
    const char *err = find_open(&issuer, cmd);

    (void)dir;
    return err != NULL ? err : append(&issuer->logout_audiences, cmd, aud);
}

const char *trh_set_token_type(cmd_parms *cmd, void *dir, const char *type)
{
    tr_issuer_t *issuer;
    const char *err = find_open(&issuer, cmd);

    (void)dir;
    return err != NULL ? err : append(&issuer->types, cmd, type);
}

/* The first word is the claim, the others are its values. */
const char *trh_set_token_use(cmd_parms *cmd, void *dir, const char *word)
{
    trh_server_t *server = trh_server_of(cmd);
    tr_issuer_t *issuer;
    const char *err = find_open(&issuer, cmd);

    (void)dir;
    if (err != NULL) {
        return err;
    }
    if (issuer->use_claim == NULL) {
        server->use_directive = cmd->directive;
        issuer->use_claim = apr_pstrdup(cmd->pool, word);
        return trh_check_claim(cmd, word);
    }
    if (server->use_directive != cmd->directive) {
        return "TokRevokeTokenUse stands twice in this <TokRevokeIssuer>: there is one claim that tells the use";
    }
    return append(&issuer->use_values, cmd, word);
}

const char *trh_set_require_jti(cmd_parms *cmd, void *dir, int on)
{
    tr_issuer_t *issuer;
    const char *err = find_open(&issuer, cmd);

    (void)dir;
    if (err == NULL) {
        issuer->require_jti = on != 0;
    }
    return err;
}

static const char *set_duration(int64_t *out_s, cmd_parms *cmd, const char *duration)
{
    const char *err = tr_value_duration(out_s, duration, cmd->pool);

    return err != NULL ? apr_psprintf(cmd->pool, "%s: %s", cmd->cmd->name, err) : NULL;
}

const char *trh_set_clock_skew(cmd_parms *cmd, void *dir, const char *duration)
{
    tr_issuer_t *issuer;
    const char *err = find_open(&issuer, cmd);

    (void)dir;
    return err != NULL ? err : set_duration(&issuer->skew_s, cmd, duration);
}

const char *trh_set_max_lifetime(cmd_parms *cmd, void *dir, const char *duration)
{
    tr_issuer_t *issuer;
    const char *err = find_open(&issuer, cmd);

    (void)dir;
    if (err != NULL) {
        return err;
    }
    if (strcasecmp(duration, "unlimited") == 0) {
        issuer->max_lifetime_s = TR_UNLIMITED;
        return NULL;
    }
    err = set_duration(&issuer->max_lifetime_s, cmd, duration);
    return err == NULL && issuer->max_lifetime_s == 0 ? "TokRevokeMaxLifetime: 0 would refuse every token" : err;
}
