/*
 * trh_conf.c: configuration of servers and directories: defaults, merging, and the directives outside issuer sections.
 */
#include "trh.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_main.h>

#include "tr_digest.h"
#include "tr_limits.h"

void *trh_server_create(apr_pool_t *pool, server_rec *s)
{
    trh_server_t *conf = apr_pcalloc(pool, sizeof(*conf));

    (void)s;
    conf->issuers = apr_hash_make(pool);
    conf->verified = TRH_UNSET;
    conf->retain_s = TRH_UNSET;
    conf->max_staleness_s = TRH_UNSET;
    return conf;
}

void *trh_server_merge(apr_pool_t *pool, void *basev, void *addv)
{
    const trh_server_t *base = basev;
    const trh_server_t *add = addv;
    trh_server_t *conf = apr_pmemdup(pool, add, sizeof(*add));

    conf->issuers = apr_hash_overlay(pool, add->issuers, base->issuers);
    return conf;
}

/* Of a place that says nothing. */
static const trh_dir_t nothing = {
    .strip = TRH_UNSET,
    .answers = TRH_UNSET,
    .opaque_s = TRH_UNSET,
    .cascade = TRH_UNSET,
    .guard = TRH_UNSET,
    .rotation = TRH_UNSET,
    .logout_scope = TRH_UNSET,
    .logout_get = TRH_UNSET,
    .optional = TRH_UNSET,
    .claim_env = TRH_UNSET,
    .cut_streams = TRH_UNSET,
};

void *trh_dir_create(apr_pool_t *pool, char *path)
{
    (void)path;
    return apr_pmemdup(pool, &nothing, sizeof(nothing));
}

void *trh_dir_merge(apr_pool_t *pool, void *basev, void *addv)
{
    const trh_dir_t *base = basev;
    const trh_dir_t *add = addv;
    trh_dir_t *conf;

    /* Each request has its places merged, and what is outside of them nearly always says nothing. */
    /* Both are copies of one: padding, too. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
    if (memcmp(base, &nothing, sizeof(nothing)) == 0) {
        return addv;
    }
    conf = apr_pmemdup(pool, add, sizeof(*add));
    conf->sources = add->sources != NULL ? add->sources : base->sources;
    conf->user_claim = add->user_claim != NULL ? add->user_claim : base->user_claim;
    conf->strip = add->strip != TRH_UNSET ? add->strip : base->strip;
    conf->answers = add->answers != TRH_UNSET ? add->answers : base->answers;
    conf->origins = add->origins != NULL ? add->origins : base->origins;
    conf->opaque_s = add->opaque_s != TRH_UNSET ? add->opaque_s : base->opaque_s;
    conf->cascade = add->cascade != TRH_UNSET ? add->cascade : base->cascade;
    conf->clients = add->clients != NULL ? add->clients : base->clients;
    conf->guard = add->guard != TRH_UNSET ? add->guard : base->guard;
    conf->rotation = add->rotation != TRH_UNSET ? add->rotation : base->rotation;
    conf->logout_targets = add->logout_targets != NULL ? add->logout_targets : base->logout_targets;
    conf->logout_scope = add->logout_scope != TRH_UNSET ? add->logout_scope : base->logout_scope;
    conf->logout_cookies = add->logout_cookies != NULL ? add->logout_cookies : base->logout_cookies;
    conf->clear_site_data = add->clear_site_data != NULL ? add->clear_site_data : base->clear_site_data;
    conf->logout_get = add->logout_get != TRH_UNSET ? add->logout_get : base->logout_get;
    conf->logout_page = add->logout_page != NULL ? add->logout_page : base->logout_page;
    conf->login = add->login != NULL ? add->login : base->login;
    conf->optional = add->optional != TRH_UNSET ? add->optional : base->optional;
    conf->claim_env = add->claim_env != TRH_UNSET ? add->claim_env : base->claim_env;
    conf->claim_headers = trh_merge_claim_headers(base->claim_headers, add->claim_headers, pool);
    conf->has_local_fields = add->has_local_fields || base->has_local_fields;
    conf->cut_streams = add->cut_streams != TRH_UNSET ? add->cut_streams : base->cut_streams;
    return conf;
}

const trh_server_t *trh_server(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &tokrevoke_module);
}

const trh_dir_t *trh_dir(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &tokrevoke_module);
}

const apr_array_header_t *trh_sources(const trh_dir_t *dir)
{
    static tr_source_t authorization = {TR_FROM_AUTHORIZATION, "Authorization"};
    static const apr_array_header_t by_default = {NULL, sizeof(authorization), 1, 1, (char *)&authorization};

    return dir->sources != NULL ? dir->sources : &by_default;
}

/* ---- directives -------------------------------------------------------------------------------------------- */

/* Once for each start, though httpd reads its configuration twice; and not with each request that an .htaccess is read for. */
void trh_tell_worry(cmd_parms *cmd, const char *path, tr_file_kind_t kind)
{
    bool is_told_now =
        ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_CONFIG || ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST;
    const char *worry = is_told_now ? tr_file_worry(path, kind, cmd->temp_pool) : NULL;

    if (worry != NULL) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cmd->server, "TR068: %s: %s: %s", cmd->cmd->name, path, worry);
    }
}

trh_server_t *trh_server_of(cmd_parms *cmd)
{
    return ap_get_module_config(cmd->server->module_config, &tokrevoke_module);
}

const char *trh_set_capacity(cmd_parms *cmd, void *dir, const char *number)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    uint32_t n;

    (void)dir;
    if (err != NULL) {
        return err;
    }
    if (!tr_value_number(&n, number, TR_MAX_CAPACITY)) {
        return apr_psprintf(cmd->pool, "TokRevokeCapacity: \"%s\" is not a whole number from 1 to %d", number, TR_MAX_CAPACITY);
    }
    trh_server_of(cmd)->capacity = n;
    return NULL;
}

const char *trh_set_verified(cmd_parms *cmd, void *dir, const char *number)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    uint32_t n;

    (void)dir;
    if (err != NULL) {
        return err;
    }
    if (strcasecmp(number, "off") == 0) {
        trh_server_of(cmd)->verified = 0;
        return NULL;
    }
    if (!tr_value_number(&n, number, TR_MAX_VERIFIED)) {
        return apr_psprintf(cmd->pool, "TokRevokeVerifiedCache: \"%s\" is neither off nor a whole number from 1 to %d", number,
                            TR_MAX_VERIFIED);
    }
    trh_server_of(cmd)->verified = n;
    return NULL;
}

/* server-info and DUMP_CONFIG show the words of each directive as httpd's tree of them has them. */
static void hide_conninfo(cmd_parms *cmd, const char *database)
{
    ap_directive_t *directive = (ap_directive_t *)cmd->directive;

    if (strncasecmp(database, "pgsql:", 6) == 0) {
        tr_wipe((char *)directive->args, strlen(directive->args));
        tr_wipe((char *)database, strlen(database));
        directive->args = "\"pgsql:...\"";
    }
}

const char *trh_set_database(cmd_parms *cmd, void *dir, const char *database)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    trh_server_t *server = trh_server_of(cmd);
    const char *why;

    (void)dir;
    if (err != NULL) {
        return err;
    }
    server->has_database = true;
    server->place = NULL;
    if (strcasecmp(database, "none") == 0) {
        return NULL;
    }
    server->place = apr_pcalloc(cmd->pool, sizeof(*server->place));
    if (tr_store_parse(server->place, &why, database, ap_server_root, cmd->pool) != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, "TokRevokeDatabase: %s", why);
    }
    hide_conninfo(cmd, database);
    return NULL;
}

/* 2 s: following polls several times a second, and a busy machine may miss a few. */
const char *trh_set_max_staleness(cmd_parms *cmd, void *dir, const char *duration)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    int64_t *out_s = &trh_server_of(cmd)->max_staleness_s;

    (void)dir;
    if (err == NULL && strcasecmp(duration, "unlimited") == 0) {
        *out_s = 0;
        return NULL;
    }
    if (err == NULL) {
        err = tr_value_duration(out_s, duration, cmd->pool);
    }
    if (err == NULL && *out_s < 2) {
        err = "it must be at least 2s, or unlimited";
    }
    return err != NULL ? apr_psprintf(cmd->pool, "%s: %s", cmd->cmd->name, err) : NULL;
}

const char *trh_set_retain(cmd_parms *cmd, void *dir, const char *duration)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err == NULL) {
        err = tr_value_duration(&trh_server_of(cmd)->retain_s, duration, cmd->pool);
    }
    return err != NULL ? apr_psprintf(cmd->pool, "%s: %s", cmd->cmd->name, err) : NULL;
}

const char *trh_set_token_from(cmd_parms *cmd, void *dirv, const char *source)
{
    trh_dir_t *dir = dirv;
    tr_source_t parsed;
    const char *err = tr_value_source(&parsed, source, cmd->pool);

    if (err != NULL) {
        return apr_pstrcat(cmd->pool, "TokRevokeTokenFrom: ", err, NULL);
    }
    if (dir->sources == NULL) {
        dir->sources = apr_array_make(cmd->pool, 2, sizeof(tr_source_t));
    }
    for (int i = 0; i < dir->sources->nelts; i++) {
        const tr_source_t *other = &APR_ARRAY_IDX(dir->sources, i, tr_source_t);

        if (tr_source_eq(other, &parsed)) {
            return apr_psprintf(cmd->pool, "TokRevokeTokenFrom: %s is named twice", source);
        }
    }
    APR_ARRAY_PUSH(dir->sources, tr_source_t) = parsed;
    return NULL;
}

const char *trh_check_claim_name(apr_pool_t *pool, const char *claim)
{
    return claim[0] != '\0' && strlen(claim) <= TR_MAX_CLAIM_NAME_LEN
               ? NULL
               : apr_psprintf(pool, "the name of the claim is empty or longer than %d bytes", TR_MAX_CLAIM_NAME_LEN);
}

const char *trh_check_claim(cmd_parms *cmd, const char *claim)
{
    const char *err = trh_check_claim_name(cmd->pool, claim);

    return err != NULL ? apr_psprintf(cmd->pool, "%s: %s", cmd->cmd->name, err) : NULL;
}

const char *trh_set_user_claim(cmd_parms *cmd, void *dir, const char *claim)
{
    ((trh_dir_t *)dir)->user_claim = apr_pstrdup(cmd->pool, claim);
    return trh_check_claim(cmd, claim);
}

const char *trh_set_strip_token(cmd_parms *cmd, void *dir, int on)
{
    (void)cmd;
    ((trh_dir_t *)dir)->strip = on;
    return NULL;
}

const char *trh_set_answers(cmd_parms *cmd, void *dir, const char *answers)
{
    trh_dir_t *conf = dir;

    if (strcasecmp(answers, "rfc7009") == 0) {
        conf->answers = TR_ANSWERS_RFC7009;
        return NULL;
    }
    if (strcasecmp(answers, "strict") == 0) {
        conf->answers = TR_ANSWERS_STRICT;
        return NULL;
    }
    return apr_psprintf(cmd->pool, "TokRevokeAnswers: \"%s\" is neither rfc7009 nor strict", answers);
}

const char *trh_set_allow_origin(cmd_parms *cmd, void *dirv, const char *origin)
{
    trh_dir_t *dir = dirv;

    if (strcmp(origin, "null") == 0) {
        return "TokRevokeAllowOrigin: null is what every sandboxed page sends; write * if everybody is meant";
    }
    if (!tr_is_origin(origin)) {
        return apr_psprintf(cmd->pool,
                            "TokRevokeAllowOrigin: \"%s\" is no origin as browsers send it: scheme://host[:port] in small "
                            "letters, with no slash at the end",
                            origin);
    }
    if (dir->origins == NULL) {
        dir->origins = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    APR_ARRAY_PUSH(dir->origins, const char *) = apr_pstrdup(cmd->pool, origin);
    return NULL;
}
