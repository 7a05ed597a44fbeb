/* trh_recent.c: each child's cache of the tokens that it has just seen. */
#include "trh_shared.h"

#include <ap_mpm.h>

#include "tr_recent.h"

/* Bytes of all children together, and of one; mpm_prefork may have hundreds of them. */
#define ALL (256 << 20)
#define MOST (128 << 20)
#define LEAST (1 << 20)
#define TOKEN 2048 /* bytes for which there is a slot: most tokens take about as much */

/* Outlives httpd's pools, as the threads do that still serve in exit(). NULL: none. */
static tr_recent_t *recent;

static apr_size_t share_of_child(void)
{
    int children = 1;
    apr_size_t share;

    if (ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &children) != APR_SUCCESS || children < 1) {
        children = 1;
    }
    share = (apr_size_t)ALL / (apr_size_t)children;
    return share > MOST ? MOST : share < LEAST ? LEAST : share;
}

/* TokRevokeVerifiedCache off: each token is verified each time. */
void trh_open_recent(server_rec *main_server)
{
    apr_size_t bytes = share_of_child();

    recent = trh_server(main_server)->verified != 0 ? tr_recent_make((uint32_t)(bytes / TOKEN), bytes) : NULL;
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        trh_server_t *server = ap_get_module_config(s->module_config, &tokrevoke_module);

        server->gate.recent = recent;
    }
}

void trh_say_recent(server_rec *s)
{
    tr_recent_stats_t stats;

    if (recent == NULL || !APLOG_IS_LEVEL(s, APLOG_DEBUG)) {
        return;
    }
    tr_recent_stats(&stats, recent);
    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, s,
                 "this child found %" APR_UINT64_T_FMT " tokens among those it had just seen, and kept %" APR_UINT64_T_FMT
                 "; %u of them are there now, and take %" APR_SIZE_T_FMT " bytes",
                 (apr_uint64_t)stats.hits, (apr_uint64_t)stats.kept, stats.entries, stats.bytes);
}
