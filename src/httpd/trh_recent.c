/* trh_recent.c: each child's cache of the tokens that it has just seen. */
#include "trh_shared.h"

#include <ap_mpm.h>

#include "tr_recent.h"

/* Bytes for all children together, and for one of them; mpm_prefork may have hundreds. */
#define ALL_LEN (256 << 20)
#define MAX_SHARE_LEN (128 << 20)
#define MIN_SHARE_LEN (1 << 20)
#define SLOT_LEN 2048 /* bytes for which there is a slot: most tokens take about as much */

/* Outlives httpd's pools, as the threads do that still serve in exit(). NULL: none. */
static tr_recent_t *recent;

static apr_size_t share_of_child(void)
{
    int children = 1;
    apr_size_t share;

    if (ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &children) != APR_SUCCESS || children < 1) {
        children = 1;
    }
    share = (apr_size_t)ALL_LEN / (apr_size_t)children;
    return share > MAX_SHARE_LEN ? MAX_SHARE_LEN : share < MIN_SHARE_LEN ? MIN_SHARE_LEN : share;
}

/* TokRevokeVerifiedCache off switches this off, too: each token is read and verified each time. */
void trh_open_recent(server_rec *main_server)
{
    apr_size_t bytes = share_of_child();

    recent = trh_server(main_server)->verified != 0 ? tr_recent_make((uint32_t)(bytes / SLOT_LEN), bytes) : NULL;
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        trh_server_t *server = ap_get_module_config(s->module_config, &tokrevoke_module);

        server->gate.recent = recent;
    }
}

void trh_sweep_recent(void)
{
    if (recent != NULL) {
        tr_recent_sweep(recent, apr_time_now());
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
