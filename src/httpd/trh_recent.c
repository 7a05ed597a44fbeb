/* trh_recent.c: each child's memory of the tokens that it has just seen. */
#include "trh_shared.h"

#include "tr_recent.h"

#define TOKENS 2048
#define BYTES (16 << 20)

/* Outlives httpd's pools, as the threads do that still serve in exit(). NULL: none. */
static tr_recent_t *recent;

/* TokRevokeVerifiedCache off: each token is verified each time. */
void trh_open_recent(server_rec *main_server)
{
    recent = trh_server(main_server)->verified != 0 ? tr_recent_make(TOKENS, BYTES) : NULL;
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
