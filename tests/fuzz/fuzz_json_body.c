/*
 * JSON bodies, alone and at the revocation endpoint.
 */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(world_t *w, const uint8_t *data, size_t size)
{
    static const char *const asked[] = {"token", "token_type_hint", "reason", "", "a"};
    tr_str_t body = tr_str((const char *)data, size);
    tr_params_t *params = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_params_from_json(&params, &why, body, w->pool);
    ALWAYS(rv == APR_SUCCESS || (rv == APR_EINVAL && why != NULL && *why != '\0'));
    for (size_t i = 0; rv == APR_SUCCESS && i < sizeof asked / sizeof *asked; i++) {
        tr_str_t value = {NULL, 0};
        apr_status_t got = tr_params_get(&value, params, asked[i]);
        ALWAYS(got == APR_SUCCESS || got == APR_NOTFOUND || got == APR_EINVAL);
        ALWAYS(got != APR_SUCCESS || (value.len > 0 && memchr(value.data, 0, value.len) == NULL));
    }
    world_ask(w, TR_BODY_JSON, body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
