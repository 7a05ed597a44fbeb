/* trh_conf_oauth.c: the directives of the endpoints and of the guard. */
#include "trh.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <unixd.h>

#include "tr_limits.h"
#include "tr_logout.h"

static const char *set_scope(int *out, cmd_parms *cmd, const char *scope)
{
    static const struct {
        const char *name;
        tr_scope_t scope;
    } scopes[] = {{"token", TR_SCOPE_TOKEN}, {"session", TR_SCOPE_SESSION}, {"subject", TR_SCOPE_SUBJECT}};

    for (apr_size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
        if (strcasecmp(scope, scopes[i].name) == 0) {
            *out = (int)scopes[i].scope;
            return NULL;
        }
    }
    return apr_psprintf(cmd->pool, "%s: \"%s\" is none of token, session, subject", cmd->cmd->name, scope);
}

static const char *append(apr_array_header_t **list, cmd_parms *cmd, const char *value)
{
    if (*list == NULL) {
        *list = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    APR_ARRAY_PUSH(*list, const char *) = apr_pstrdup(cmd->pool, value);
    return NULL;
}

/* ---- revocation -------------------------------------------------------------------------------------------- */

const char *trh_set_opaque(cmd_parms *cmd, void *dirv, const char *duration)
{
    trh_dir_t *dir = dirv;
    trh_server_t *server = trh_server_of(cmd);
    const char *err = NULL;

    if (strcasecmp(duration, "off") == 0) {
        dir->opaque_s = 0;
        server->has_opaque_off = ap_check_cmd_context(cmd, NOT_IN_HTACCESS) == NULL;
        return NULL;
    }
    err = tr_value_duration(&dir->opaque_s, duration, cmd->pool);
    if (err == NULL && dir->opaque_s == 0) {
        err = "0 would forget at once; write off if opaque tokens are not to be taken";
    }
    if (err != NULL) {
        return apr_psprintf(cmd->pool, "%s: %s", cmd->cmd->name, err);
    }
    /* An .htaccess is read by many threads at once, and too late for what it says to count elsewhere. */
    if (ap_check_cmd_context(cmd, NOT_IN_HTACCESS) == NULL && dir->opaque_s > server->longest_opaque_s) {
        server->longest_opaque_s = dir->opaque_s;
    }
    return NULL;
}

const char *trh_set_cascade(cmd_parms *cmd, void *dir, const char *scope)
{
    return set_scope(&((trh_dir_t *)dir)->cascade, cmd, scope);
}

const char *trh_set_clients(cmd_parms *cmd, void *dirv, const char *path)
{
    trh_dir_t *dir = dirv;
    const char *why;

    dir->clients = ap_server_root_relative(cmd->pool, path);
    if (dir->clients == NULL) {
        return apr_psprintf(cmd->pool, "TokRevokeClients: %s: this is not a valid file name", path);
    }
    if (tr_clients_check(&why, dir->clients, ap_unixd_config.user_id, cmd->temp_pool) != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, "TokRevokeClients: %s", why);
    }
    trh_tell_worry(cmd, dir->clients, TR_FILE_OWN);
    return NULL;
}

/* ---- guard ------------------------------------------------------------------------------------------------- */

/* Entries must be kept for refresh tokens wherever one is guarded, so httpd must know of it when it starts. */
static const char *check_guard_context(cmd_parms *cmd)
{
    if (ap_check_cmd_context(cmd, NOT_IN_HTACCESS) == NULL) {
        return NULL;
    }
    return apr_psprintf(
        cmd->pool,
        "%s cannot stand in .htaccess, because revocations must be kept longer from the start; write it into a <Location> or <Directory>",
        cmd->cmd->name);
}

const char *trh_set_guard(cmd_parms *cmd, void *dirv, int on)
{
    trh_dir_t *dir = dirv;
    trh_server_t *server = trh_server_of(cmd);
    const char *err = check_guard_context(cmd);

    if (err != NULL) {
        return err;
    }
    dir->guard = on;
    if (on) {
        if (server->guards == NULL) {
            server->guards = apr_array_make(cmd->pool, 2, sizeof(trh_dir_t *));
        }
        APR_ARRAY_PUSH(server->guards, trh_dir_t *) = dir;
    }
    return NULL;
}

const char *trh_set_rotation(cmd_parms *cmd, void *dir, int on)
{
    ((trh_dir_t *)dir)->rotation = on;
    return check_guard_context(cmd);
}

/* ---- logout ------------------------------------------------------------------------------------------------ */

const char *trh_set_logout_target(cmd_parms *cmd, void *dir, const char *url)
{
    const char *why;

    if (tr_logout_check_target(&why, url) != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, "TokRevokeLogoutRedirect: \"%s\": %s", url, why);
    }
    return append(&((trh_dir_t *)dir)->logout_targets, cmd, url);
}

const char *trh_set_logout_scope(cmd_parms *cmd, void *dir, const char *scope)
{
    return set_scope(&((trh_dir_t *)dir)->logout_scope, cmd, scope);
}

const char *trh_set_logout_cookie(cmd_parms *cmd, void *dir, const char *cookie)
{
    const char *why;

    if (tr_logout_check_cookie(&why, cookie) != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, "TokRevokeLogoutCookie: \"%s\": %s", cookie, why);
    }
    return append(&((trh_dir_t *)dir)->logout_cookies, cmd, cookie);
}

const char *trh_set_clear_site_data(cmd_parms *cmd, void *dirv, const char *args)
{
    trh_dir_t *dir = dirv;
    const char *err;

    if (strcasecmp(args, "off") == 0) {
        dir->clear_site_data = "";
        return NULL;
    }
    err = tr_value_site_data(&dir->clear_site_data, args, cmd->pool);
    return err != NULL ? apr_pstrcat(cmd->pool, "TokRevokeClearSiteData: ", err, NULL) : NULL;
}

const char *trh_set_logout_get(cmd_parms *cmd, void *dir, int on)
{
    (void)cmd;
    ((trh_dir_t *)dir)->logout_get = on;
    return NULL;
}

const char *trh_set_logout_page(cmd_parms *cmd, void *dirv, const char *path)
{
    trh_dir_t *dir = dirv;
    const char *full = ap_server_root_relative(cmd->pool, path);
    const char *why = "this is not a valid file name";
    tr_str_t text;

    if (full == NULL || tr_file_read(&text, &why, full, TR_MAX_PAGE_LEN, TR_FILE_PUBLIC, 0, cmd->temp_pool) != APR_SUCCESS ||
        tr_logout_check_page(&why, text, cmd->temp_pool) != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, "TokRevokeLogoutPage: %s: %s", path, why);
    }
    dir->logout_page = tr_str_dup_z(text, cmd->pool);
    return NULL;
}
