/* trh_keep.c: how long revocations must be kept, by the whole configuration. */
#include "trh_shared.h"

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The most tolerant of all issuers. */
static int64_t largest_skew_s(apr_pool_t *pool, server_rec *s)
{
    int64_t skew_s = 0;

    for (; s != NULL; s = s->next) {
        for (apr_hash_index_t *i = apr_hash_first(pool, trh_server(s)->issuers); i != NULL; i = apr_hash_next(i)) {
            const tr_issuer_t *issuer = apr_hash_this_val(i);

            skew_s = larger(skew_s, issuer->skew_s);
        }
    }
    return skew_s;
}

/* What ends a subject or a session must end its refresh tokens, too, wherever they are guarded. */
static int64_t refresh_s(server_rec *s)
{
    int64_t longest_s = 0;
    bool is_guarded = false;
    bool is_endless = false;

    for (; s != NULL; s = s->next) {
        const trh_server_t *server = trh_server(s);

        longest_s = larger(longest_s, server->longest_opaque_s);
        for (int i = 0; server->guards != NULL && i < server->guards->nelts; i++) {
            const trh_dir_t *dir = APR_ARRAY_IDX(server->guards, i, const trh_dir_t *);
            bool is_named = dir->opaque_s != TRH_UNSET && dir->opaque_s != 0;

            is_guarded = true;
            is_endless = is_endless || !is_named;
            if (dir->rotation == 1 && !is_named) {
                ap_log_error(
                    APLOG_MARK, APLOG_WARNING, 0, s,
                    "TR029: TokRevokeGuardRotation without TokRevokeOpaque beside it keeps every exchanged refresh token for "
                    "ever, and the table fills; say how long the refresh tokens live");
            }
        }
    }
    return is_endless ? TR_FOREVER : is_guarded ? longest_s : 0;
}

void trh_measure_keep(tr_keep_t *out, apr_pool_t *pool, server_rec *main_server)
{
    int64_t retain_s = trh_server(main_server)->retain_s;

    out->after_s = largest_skew_s(pool, main_server) + (retain_s != TRH_UNSET ? retain_s : 0);
    out->refresh_s = refresh_s(main_server);
}
