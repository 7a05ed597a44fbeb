/*
 * application/x-www-form-urlencoded bodies, alone and at the revocation endpoint.
 */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every byte of text as an escape: decoding that gives text again. */
static void check_round_trip(tr_str_t text, apr_pool_t *pool)
{
    static const char hex[] = "0123456789abcdef";
    char *escaped = apr_palloc(pool, text.len * 3 + 1);
    tr_str_t again;
    for (size_t i = 0; i < text.len; i++) {
        escaped[3 * i] = '%';
        escaped[3 * i + 1] = hex[(unsigned char)text.data[i] >> 4];
        escaped[3 * i + 2] = hex[(unsigned char)text.data[i] & 15];
    }
    ALWAYS(tr_form_decode(&again, tr_str(escaped, text.len * 3), pool) == APR_SUCCESS);
    ALWAYS(tr_str_eq(again, text));
}

static void check_decode(tr_str_t in, apr_pool_t *pool)
{
    tr_str_t out;
    apr_status_t rv = tr_form_decode(&out, in, pool);
    ALWAYS(rv == APR_SUCCESS || rv == APR_EINVAL);
    if (rv != APR_SUCCESS)
        return;
    ALWAYS(out.len <= in.len && (out.len == 0 || memchr(out.data, 0, out.len) == NULL));
    check_round_trip(out, pool);
}

static void judge(world_t *w, const uint8_t *data, size_t size)
{
    static const char *const asked[] = {"token", "token_type_hint", "reason", "", "x"};
    tr_str_t body = tr_str((const char *)data, size);
    tr_params_t *params = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_params_from_form(&params, &why, body, w->pool);
    ALWAYS(rv == APR_SUCCESS || (rv == APR_EINVAL && why != NULL && *why != '\0'));
    for (size_t i = 0; rv == APR_SUCCESS && i < sizeof asked / sizeof *asked; i++) {
        tr_str_t value = {NULL, 0};
        apr_status_t got = tr_params_get(&value, params, asked[i]);
        ALWAYS(got == APR_SUCCESS || got == APR_NOTFOUND);
        ALWAYS(got != APR_SUCCESS || (value.len > 0 && memchr(value.data, 0, value.len) == NULL));
    }
    check_decode(body, w->pool);
    world_ask(w, TR_BODY_FORM, body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
