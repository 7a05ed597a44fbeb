/*
 * JWK Sets.
 */
#include "world.h"

#include "mutate.h"
#include "tr_limits.h"
#include "tr_reason.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);

/* No key makes a signature of nothing but zeros, or of one byte, good. */
static void check_key(const tr_key_t *key)
{
    static const char zeros[1100];
    static const size_t lengths[] = {1, 32, 48, 64, 96, 114, 132, 256, 384, 512, 1024};
    tr_alg_set_t algs = tr_key_algs(key);
    ALWAYS(algs != 0 && algs < TR_ALG_BIT(TR_ALGS));
    ALWAYS((algs & TR_ALG_HS_SET) == 0 || (algs & ~TR_ALG_HS_SET) == 0);
    ALWAYS(tr_key_kid(key).len <= TR_MAX_IDENTIFIER_LEN);
    for (int alg = 0; alg < TR_ALGS; alg++) {
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            tr_jws_t jws;
            memset(&jws, 0, sizeof jws);
            jws.alg = (tr_alg_t)alg;
            jws.signing_input = tr_str_z("e30.e30");
            jws.signature = tr_str(zeros, lengths[i]);
            ALWAYS(tr_jws_verify(&jws, key) != APR_SUCCESS);
        }
    }
}

static void judge(const world_t *w, const uint8_t *data, size_t size)
{
    tr_keys_t *keys = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_keys_from_jwks(&keys, &why, tr_str((const char *)data, size), w->pool);
    if (rv != APR_SUCCESS) {
        ALWAYS(rv == APR_EINVAL && why != NULL && *why != '\0');
        return;
    }
    ALWAYS(keys->count <= TR_MAX_KEYS_PER_SET);
    for (size_t i = 0; i < keys->count && i < 3; i++)
        check_key(keys->key[i]);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
    return mutate_json(data, size, max, seed, &mutate_key_words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
