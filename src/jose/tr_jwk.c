/*
 * tr_jwk.c: JSON Web Keys (RFC 7517, RFC 7518 6, RFC 8037 2).
 *
 * Each step returns APR_SUCCESS, APR_EINVAL with job->why for a broken key, or LEFT_OUT for one that is not for
 * verifying tokens.
 */
#include <apr_strings.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "tr_base64url.h"
#include "tr_digest.h"
#include "tr_key.h"
#include "tr_limits.h"

#define LEFT_OUT APR_NOTFOUND

typedef struct job_t {
    const tr_json_t *jwk;
    const char *why;
    apr_pool_t *pool;
} job_t;

static apr_status_t broken(job_t *job, const char *why)
{
    job->why = why;
    return APR_EINVAL;
}

/* A member that must be a string if it is there. */
static apr_status_t optional_string(tr_str_t *out, job_t *job, const char *name)
{
    const tr_json_t *value = tr_json_get(job->jwk, name);

    *out = tr_str(NULL, 0);
    if (value != NULL && !tr_json_string(out, value)) {
        return broken(job, apr_psprintf(job->pool, "\"%s\" is no string", name));
    }
    return APR_SUCCESS;
}

/* A member that must be there, as base64url of at least one byte. */
static apr_status_t octets(tr_str_t *out, job_t *job, const char *name)
{
    tr_str_t text;

    if (!tr_json_string(&text, tr_json_get(job->jwk, name)) || tr_base64url_decode(out, text, job->pool) != APR_SUCCESS ||
        out->len == 0) {
        return broken(job, apr_psprintf(job->pool, "\"%s\" is missing or no base64url", name));
    }
    return APR_SUCCESS;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

static BIGNUM *number(tr_str_t bytes)
{
    return BN_bin2bn((const unsigned char *)bytes.data, (int)bytes.len, NULL);
}

static apr_status_t read_rsa(EVP_PKEY **pkey, job_t *job)
{
    tr_str_t n, e;
    OSSL_PARAM_BLD *bld;
    BIGNUM *bn_n, *bn_e;

    if (octets(&n, job, "n") != APR_SUCCESS || octets(&e, job, "e") != APR_SUCCESS) {
        return APR_EINVAL;
    }
    if (n.len > TR_MAX_RSA_BITS / 8 + 1 || e.len > TR_MAX_RSA_BITS / 8) {
        return broken(job, "an RSA key of more than 8192 bits");
    }
    bld = OSSL_PARAM_BLD_new();
    bn_n = number(n);
    bn_e = number(e);
    if (bld != NULL && bn_n != NULL && bn_e != NULL && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1) {
        *pkey = from_params("RSA", bld);
    }
    OSSL_PARAM_BLD_free(bld);
    BN_free(bn_n);
    BN_free(bn_e);
    return *pkey != NULL ? APR_SUCCESS : broken(job, "OpenSSL cannot make an RSA key of it");
}

static const struct curve_t {
    const char *crv;
    const char *group;
    apr_size_t len; /* bytes of a coordinate */
} curves[] = {
    {"P-256", "prime256v1", 32}, {"P-384", "secp384r1", 48}, {"P-521", "secp521r1", 66}, {"secp256k1", "secp256k1", 32}};

static const struct curve_t *find_curve(tr_str_t crv)
{
    for (apr_size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (tr_str_eq_z(crv, curves[i].crv)) {
            return &curves[i];
        }
    }
    return NULL;
}

static EVP_PKEY *make_ec(const struct curve_t *curve, tr_str_t x, tr_str_t y)
{
    unsigned char point[1 + 2 * 66] = {4}; /* SEC 1 2.3.3: uncompressed */
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;

    memcpy(point + 1, x.data, x.len);
    memcpy(point + 1 + x.len, y.data, y.len);
    if (bld != NULL && OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + x.len + y.len) == 1) {
        pkey = from_params("EC", bld);
    }
    OSSL_PARAM_BLD_free(bld);
    return pkey;
}

static apr_status_t read_ec(EVP_PKEY **pkey, job_t *job)
{
    tr_str_t crv, x, y;
    const struct curve_t *curve;

    if (optional_string(&crv, job, "crv") != APR_SUCCESS) {
        return APR_EINVAL;
    }
    if (crv.len == 0) {
        return broken(job, "\"crv\" is missing");
    }
    curve = find_curve(crv);
    if (curve == NULL) {
        return LEFT_OUT;
    }
    if (octets(&x, job, "x") != APR_SUCCESS || octets(&y, job, "y") != APR_SUCCESS) {
        return APR_EINVAL;
    }
    if (x.len != curve->len || y.len != curve->len) {
        return broken(job, "a coordinate has not the curve's full length (RFC 7518 6.2.1.2)");
    }
    *pkey = make_ec(curve, x, y);
    return *pkey != NULL ? APR_SUCCESS : broken(job, "it is no point of its curve");
}

static apr_status_t read_okp(EVP_PKEY **pkey, job_t *job)
{
    tr_str_t crv, x;
    bool is_448;

    if (optional_string(&crv, job, "crv") != APR_SUCCESS) {
        return APR_EINVAL;
    }
    is_448 = tr_str_eq_z(crv, "Ed448");
    if (!is_448 && !tr_str_eq_z(crv, "Ed25519")) {
        return crv.len > 0 ? LEFT_OUT : broken(job, "\"crv\" is missing");
    }
    if (octets(&x, job, "x") != APR_SUCCESS) {
        return APR_EINVAL;
    }
    if (x.len != (is_448 ? 57 : 32)) {
        return broken(job, "\"x\" has not the curve's length");
    }
    *pkey = EVP_PKEY_new_raw_public_key(is_448 ? EVP_PKEY_ED448 : EVP_PKEY_ED25519, NULL, (const unsigned char *)x.data, x.len);
    return *pkey != NULL ? APR_SUCCESS : broken(job, "OpenSSL cannot make a key of it");
}

static apr_status_t read_oct(tr_key_t **out, job_t *job, tr_alg_t *pinned)
{
    const tr_key_t *key;
    tr_str_t secret;
    apr_status_t rv;

    if (octets(&secret, job, "k") != APR_SUCCESS) {
        return APR_EINVAL;
    }
    rv = tr_key_from_secret(&key, &job->why, secret, tr_str(NULL, 0), job->pool);
    tr_wipe((char *)secret.data, secret.len);
    if (rv != APR_SUCCESS) {
        return APR_EINVAL;
    }
    if (pinned != NULL && (TR_ALG_BIT(*pinned) & TR_ALG_HS_SET) && !(key->algs & TR_ALG_BIT(*pinned))) {
        return broken(job, apr_psprintf(job->pool, "a secret shorter than the hash of %s (RFC 7518 3.2)", tr_alg_name(*pinned)));
    }
    *out = (tr_key_t *)key;
    return APR_SUCCESS;
}

static apr_status_t read_key(tr_key_t **out, job_t *job, tr_str_t kty, tr_alg_t *pinned)
{
    EVP_PKEY *pkey = NULL;
    apr_status_t rv = LEFT_OUT;

    if (tr_str_eq_z(kty, "oct")) {
        return read_oct(out, job, pinned);
    }
    ERR_set_mark();
    if (tr_str_eq_z(kty, "RSA")) {
        rv = read_rsa(&pkey, job);
    }
    else if (tr_str_eq_z(kty, "EC")) {
        rv = read_ec(&pkey, job);
    }
    else if (tr_str_eq_z(kty, "OKP")) {
        rv = read_okp(&pkey, job);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_key_wrap(out, &job->why, pkey, job->pool);
    }
    ERR_pop_to_mark();
    return rv;
}

/* RFC 7517 4.2, 4.3: is it meant for verifying signatures? */
static apr_status_t check_purpose(job_t *job)
{
    const tr_json_t *ops = tr_json_get(job->jwk, "key_ops");
    tr_str_t use;

    if (optional_string(&use, job, "use") != APR_SUCCESS) {
        return APR_EINVAL;
    }
    if (use.len > 0 && !tr_str_eq_z(use, "sig")) {
        return LEFT_OUT;
    }
    if (ops == NULL) {
        return APR_SUCCESS;
    }
    if (tr_json_type(ops) != TR_JSON_ARRAY) {
        return broken(job, "\"key_ops\" is no array");
    }
    for (apr_size_t i = 0; i < tr_json_len(ops); i++) {
        tr_str_t op;

        if (tr_json_string(&op, tr_json_at(ops, i)) && tr_str_eq_z(op, "verify")) {
            return APR_SUCCESS;
        }
    }
    return LEFT_OUT;
}

static apr_status_t read_jwk(const tr_key_t **out, job_t *job)
{
    tr_str_t kty, alg_name, kid;
    tr_alg_t alg;
    tr_alg_t *pinned = NULL;
    tr_key_t *key;
    apr_status_t rv;

    if (optional_string(&kty, job, "kty") != APR_SUCCESS || optional_string(&alg_name, job, "alg") != APR_SUCCESS ||
        optional_string(&kid, job, "kid") != APR_SUCCESS) {
        return APR_EINVAL;
    }
    if (kty.len == 0) {
        return broken(job, "\"kty\" is missing");
    }
    if (kid.len > TR_MAX_IDENTIFIER_LEN) {
        return broken(job, "\"kid\" is longer than 1 KiB");
    }
    rv = check_purpose(job);
    if (rv == APR_SUCCESS && alg_name.len > 0) {
        rv = tr_alg_by_name(&alg, alg_name) ? APR_SUCCESS : LEFT_OUT;
        pinned = &alg;
    }
    if (rv == APR_SUCCESS) {
        rv = read_key(&key, job, kty, pinned);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (pinned != NULL) {
        key->algs &= TR_ALG_BIT(alg);
    }
    key->kid = tr_str(tr_str_dup_z(kid, job->pool), kid.len);
    *out = key;
    return key->algs != 0 ? APR_SUCCESS : LEFT_OUT;
}

static apr_status_t find_keys(const tr_json_t **keys, const char **why, tr_str_t text, apr_pool_t *pool)
{
    const tr_json_t *set;
    apr_status_t rv;

    if (text.len > TR_MAX_KEY_FILE_LEN) {
        *why = "it is larger than 1 MiB";
        return APR_EINVAL;
    }
    rv = tr_json_parse_why(&set, why, text, pool);
    if (rv != APR_SUCCESS) {
        *why = apr_psprintf(pool, "it is no JSON that can be used: %s", *why);
        return APR_EINVAL;
    }
    *keys = tr_json_get(set, "keys");
    if (*keys == NULL || tr_json_type(*keys) != TR_JSON_ARRAY) {
        *why = "it is no JWK Set: it has no array \"keys\" (RFC 7517 5)";
        return APR_EINVAL;
    }
    if (tr_json_len(*keys) > TR_MAX_KEYS_PER_SET) {
        *why = apr_psprintf(pool, "it has more than %d keys", TR_MAX_KEYS_PER_SET);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

/* The library frees strings as they are. */
static void wipe_secrets(const tr_json_t *set)
{
    for (apr_size_t i = 0; i < tr_json_len(set); i++) {
        tr_json_wipe(tr_json_get(tr_json_at(set, i), "k"));
    }
}

static apr_status_t read_keys(tr_keys_t **out, const char **why, const tr_json_t *set, apr_pool_t *pool)
{
    tr_keys_t *keys;
    apr_status_t rv;

    keys = apr_pcalloc(pool, sizeof(*keys));
    keys->key = apr_pcalloc(pool, tr_json_len(set) * sizeof(tr_key_t *));
    for (apr_size_t i = 0; i < tr_json_len(set); i++) {
        job_t job = {tr_json_at(set, i), "it is no JSON object", pool};

        rv = tr_json_type(job.jwk) == TR_JSON_OBJECT ? read_jwk(&keys->key[keys->count], &job) : APR_EINVAL;
        if (rv == APR_EINVAL) {
            *why = apr_psprintf(pool, "key %" APR_SIZE_T_FMT " of the set: %s", i + 1, job.why);
            return rv;
        }
        keys->count += rv == APR_SUCCESS;
    }
    *out = keys;
    return APR_SUCCESS;
}

apr_status_t tr_keys_from_jwks(tr_keys_t **out, const char **why, tr_str_t text, apr_pool_t *pool)
{
    const tr_json_t *set;
    apr_status_t rv = find_keys(&set, why, text, pool);

    if (rv == APR_SUCCESS) {
        rv = read_keys(out, why, set, pool);
        wipe_secrets(set);
    }
    return rv;
}
