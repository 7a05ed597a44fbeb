/* earlier.c: a module of httpd that leaves what an earlier version of mod_tokrevoke leaves in the process: a table of another layout. */
#include <httpd.h>

#include <http_config.h>

static int leave(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    static const char key[] = "mod_tokrevoke: shared table, layout 3";
    (void)pconf, (void)plog, (void)ptemp;
    return apr_pool_userdata_set(key, key, apr_pool_cleanup_null, s->process->pool) == APR_SUCCESS ? OK : !OK;
}

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_post_config(leave, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

module AP_MODULE_DECLARE_DATA earlier_module = {STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0};
