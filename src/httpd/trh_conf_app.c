/* trh_conf_app.c: the directives about browsers, the anonymous, and what the application is told. */
#include "trh.h"

#include <stdatomic.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "tr_export.h"
#include "tr_login.h"

const char *trh_set_login(cmd_parms *cmd, void *dir, const char *url)
{
    const char *why;

    if (strcasecmp(url, "off") == 0) {
        ((trh_dir_t *)dir)->login = "";
        return NULL;
    }
    if (tr_login_check(&why, url, cmd->pool) != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, "%s: \"%s\": %s", cmd->cmd->name, url, why);
    }
    ((trh_dir_t *)dir)->login = apr_pstrdup(cmd->pool, url);
    return NULL;
}

const char *trh_set_optional(cmd_parms *cmd, void *dir, int on)
{
    (void)cmd;
    ((trh_dir_t *)dir)->optional = on;
    return NULL;
}

static atomic_bool is_any_cut;

bool trh_is_any_cut(void)
{
    return atomic_load_explicit(&is_any_cut, memory_order_relaxed);
}

const char *trh_set_cut_streams(cmd_parms *cmd, void *dir, int on)
{
    (void)cmd;
    ((trh_dir_t *)dir)->cut_streams = on;
    if (on) {
        atomic_store_explicit(&is_any_cut, true, memory_order_relaxed);
    }
    return NULL;
}

const char *trh_set_claim_env(cmd_parms *cmd, void *dir, int on)
{
    (void)cmd;
    ((trh_dir_t *)dir)->claim_env = on;
    return NULL;
}

/* They are taken out of every request, so none that HTTP, a proxy or we need. */
static bool is_needed(const char *field)
{
    static const char *const needed[] = {
        "Accept-Encoding",
        "Authorization",
        "Connection",
        "Content-Encoding",
        "Content-Length",
        "Content-Range",
        "Content-Type",
        "Cookie",
        "Expect",
        "HTTP2-Settings",
        "Host",
        "If-Match",
        "If-Modified-Since",
        "If-None-Match",
        "If-Range",
        "If-Unmodified-Since",
        "Keep-Alive",
        "Origin",
        "Proxy",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Range",
        "Referer",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    };

    for (apr_size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (tr_export_is_same_field(tr_str_z(field), tr_str_z(needed[i]))) {
            return true;
        }
    }
    return tr_export_is_same_field(tr_str(field, strnlen(field, 4)), tr_str_z("Sec-"));
}

const char *trh_set_claim_header(cmd_parms *cmd, void *dirv, const char *field, const char *claim)
{
    trh_dir_t *dir = dirv;
    const char *err = trh_check_claim(cmd, claim);
    trh_claim_header_t *header;

    if (err != NULL) {
        return err;
    }
    if (!tr_is_http_token(field)) {
        return apr_psprintf(cmd->pool, "TokRevokeClaimHeader: \"%s\" is no name of a header", field);
    }
    if (is_needed(field)) {
        return apr_psprintf(cmd->pool,
                            "TokRevokeClaimHeader: %s has a meaning of its own for HTTP, proxies or browsers, and would be "
                            "taken out of every request; choose a name like X-User",
                            field);
    }
    if (dir->claim_headers == NULL) {
        dir->claim_headers = apr_array_make(cmd->pool, 2, sizeof(trh_claim_header_t));
    }
    for (int i = 0; i < dir->claim_headers->nelts; i++) {
        const char *other = APR_ARRAY_IDX(dir->claim_headers, i, trh_claim_header_t).field;

        if (tr_export_is_same_field(tr_str_z(other), tr_str_z(field))) {
            return apr_psprintf(cmd->pool, "TokRevokeClaimHeader: %s is named twice (case, and - or _, do not count)", field);
        }
    }
    header = apr_array_push(dir->claim_headers);
    header->field = apr_pstrdup(cmd->pool, field);
    header->claim = apr_pstrdup(cmd->pool, claim);
    /* An .htaccess is read by many threads at once, and too late for other places. */
    if (ap_check_cmd_context(cmd, NOT_IN_HTACCESS) == NULL) {
        trh_know_claim_header(header->field);
    }
    else {
        dir->has_local_fields = true;
    }
    return NULL;
}

apr_array_header_t *trh_merge_claim_headers(const apr_array_header_t *base, apr_array_header_t *add, apr_pool_t *pool)
{
    apr_array_header_t *merged;

    if (base == NULL || add == NULL) {
        return add != NULL || base == NULL ? add : apr_array_copy(pool, base);
    }
    merged = apr_array_copy(pool, add);
    for (int i = 0; i < base->nelts; i++) {
        const trh_claim_header_t *inherited = &APR_ARRAY_IDX(base, i, trh_claim_header_t);
        bool is_replaced = false;

        for (int k = 0; k < add->nelts; k++) {
            const char *field = APR_ARRAY_IDX(add, k, trh_claim_header_t).field;

            is_replaced = is_replaced || tr_export_is_same_field(tr_str_z(field), tr_str_z(inherited->field));
        }
        if (!is_replaced) {
            APR_ARRAY_PUSH(merged, trh_claim_header_t) = *inherited;
        }
    }
    return merged;
}
