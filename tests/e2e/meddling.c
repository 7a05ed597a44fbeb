/*
 * meddling.c: a module of httpd that changes the name of the user where it lies, as the type of r->user allows, and what it finds in
 * the tables of the request, where values lie as char *.
 */
#include <httpd.h>

#include <http_config.h>
#include <http_request.h>

static void change(char *text)
{
    if (text != NULL && text[0] != '\0')
        text[0]++;
}

static int meddle(request_rec *r)
{
    change(r->user);
    change((char *)apr_table_get(r->subprocess_env, "TOKEN_CLAIM_role"));
    change((char *)apr_table_get(r->headers_in, "X-Role"));
    return DECLINED;
}

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_fixups(meddle, NULL, NULL, APR_HOOK_LAST);
}

module AP_MODULE_DECLARE_DATA meddling_module = {STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0};
