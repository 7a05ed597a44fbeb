/* trh_keep.c: how long revocations must be kept, by the whole configuration. */
#include "trh_shared.h"

#include <apr_strings.h>

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

static int64_t longer(int64_t a_s, int64_t b_s)
{
    return a_s == TR_UNLIMITED || b_s == TR_UNLIMITED ? TR_UNLIMITED : larger(a_s, b_s);
}

/*
 * The table is one for all servers, but each may have rules of its own for an issuer: what one cuts off, another must not accept
 * again because it lets tokens live longer. The section "*" may stand for any issuer.
 */
static int64_t longest_s(apr_pool_t *pool, const tr_issuer_t *issuer, server_rec *s)
{
    bool is_any = strcmp(issuer->iss, "*") == 0;
    int64_t lifetime_s = issuer->max_lifetime_s;

    for (; s != NULL; s = s->next) {
        tr_issuers_t *issuers = trh_server(s)->issuers;
        const tr_issuer_t *same = is_any ? NULL : tr_issuers_find(issuers, tr_str_z(issuer->iss), true);

        lifetime_s = same != NULL ? longer(lifetime_s, same->max_lifetime_s) : lifetime_s;
        for (apr_hash_index_t *i = is_any ? apr_hash_first(pool, issuers) : NULL; i != NULL; i = apr_hash_next(i)) {
            lifetime_s = longer(lifetime_s, ((const tr_issuer_t *)apr_hash_this_val(i))->max_lifetime_s);
        }
    }
    return lifetime_s;
}

static void measure_lifetimes(apr_pool_t *pool, server_rec *main_server)
{
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        for (apr_hash_index_t *i = apr_hash_first(pool, trh_server(s)->issuers); i != NULL; i = apr_hash_next(i)) {
            tr_issuer_t *issuer = apr_hash_this_val(i);

            issuer->longest_s = longest_s(pool, issuer, main_server);
        }
    }
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
        is_endless = is_endless || server->has_opaque_off;
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
    return !is_guarded ? 0 : is_endless ? TR_FOREVER : longest_s;
}

void trh_measure_keep(tr_keep_t *out, apr_pool_t *pool, server_rec *main_server)
{
    int64_t retain_s = trh_server(main_server)->retain_s;

    measure_lifetimes(pool, main_server);
    out->after_s = largest_skew_s(pool, main_server) + (retain_s != TRH_UNSET ? retain_s : 0);
    out->refresh_s = refresh_s(main_server);
}
