/*
 * PEM keys, certificates and secrets: what is a key is no secret.
 */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const world_t *w, const uint8_t *data, size_t size)
{
    tr_str_t text = tr_str((const char *)data, size);
    const tr_key_t *key = NULL, *secret = NULL;
    const char *why = NULL, *why_not = NULL;
    apr_status_t is_key = tr_key_from_pem(&key, &why, text, tr_str_z("kid"), w->pool);
    apr_status_t is_secret = tr_key_from_secret(&secret, &why_not, text, tr_str(NULL, 0), w->pool);
    ALWAYS(is_key == APR_SUCCESS || (is_key == APR_EINVAL && why != NULL && *why != '\0'));
    ALWAYS(is_secret == APR_SUCCESS || (is_secret == APR_EINVAL && why_not != NULL && *why_not != '\0'));
    ALWAYS(is_key != APR_SUCCESS || is_secret != APR_SUCCESS);
    if (is_key == APR_SUCCESS) {
        ALWAYS(tr_key_algs(key) != 0 && (tr_key_algs(key) & TR_ALG_HS_SET) == 0);
        ALWAYS(tr_str_eq_z(tr_key_kid(key), "kid"));
    }
    if (is_secret == APR_SUCCESS)
        ALWAYS(size >= 32 && tr_key_algs(secret) != 0 && (tr_key_algs(secret) & ~TR_ALG_HS_SET) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
