/* meddling.c: a module of httpd that changes the name of the user where it lies, as the type of r->user allows. */
#include <httpd.h>

#include <http_config.h>
#include <http_request.h>

static int meddle(request_rec *r)
{
    if (r->user != NULL && r->user[0] != '\0')
        r->user[0]++;
    return DECLINED;
}

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_fixups(meddle, NULL, NULL, APR_HOOK_LAST);
}

module AP_MODULE_DECLARE_DATA meddling_module = {STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0};
