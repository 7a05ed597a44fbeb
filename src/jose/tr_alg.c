/* tr_alg.c: the 16 algorithms, by their registered names (RFC 7518 3.1, RFC 8037 3.1, RFC 8812 3.2, RFC 9864 2). */
#include "tr_key.h"

static const tr_alg_info_t algs[TR_ALGS] = {
    [TR_ALG_RS256] = {"RS256", EVP_sha256, 0, false},   [TR_ALG_RS384] = {"RS384", EVP_sha384, 0, false},
    [TR_ALG_RS512] = {"RS512", EVP_sha512, 0, false},   [TR_ALG_PS256] = {"PS256", EVP_sha256, 0, true},
    [TR_ALG_PS384] = {"PS384", EVP_sha384, 0, true},    [TR_ALG_PS512] = {"PS512", EVP_sha512, 0, true},
    [TR_ALG_ES256] = {"ES256", EVP_sha256, 64, false},  [TR_ALG_ES384] = {"ES384", EVP_sha384, 96, false},
    [TR_ALG_ES512] = {"ES512", EVP_sha512, 132, false}, [TR_ALG_ES256K] = {"ES256K", EVP_sha256, 64, false},
    [TR_ALG_EDDSA] = {"EdDSA", NULL, 0, false},         [TR_ALG_ED25519] = {"Ed25519", NULL, 64, false},
    [TR_ALG_ED448] = {"Ed448", NULL, 114, false},       [TR_ALG_HS256] = {"HS256", EVP_sha256, 32, false},
    [TR_ALG_HS384] = {"HS384", EVP_sha384, 48, false},  [TR_ALG_HS512] = {"HS512", EVP_sha512, 64, false},
};

bool tr_alg_by_name(tr_alg_t *out, tr_str_t name)
{
    for (int i = 0; i < TR_ALGS; i++) {
        if (tr_str_eq_z(name, algs[i].name)) {
            *out = (tr_alg_t)i;
            return true;
        }
    }
    return false;
}

const char *tr_alg_name(tr_alg_t alg)
{
    return algs[alg].name;
}

const tr_alg_info_t *tr_alg_info(tr_alg_t alg)
{
    return &algs[alg];
}
