/* tr_jws.c: taking a compact JWS apart (RFC 7515 3.1, 5.2). */
#include "tr_base64url.h"
#include "tr_jose.h"
#include "tr_limits.h"
#include "tr_reason.h"

/* Cut text at its two dots. False unless that makes exactly three parts, none empty. */
static bool cut(tr_str_t part[3], tr_str_t text)
{
    const char *end = text.data + text.len;
    const char *first = text.len > 0 ? memchr(text.data, '.', text.len) : NULL;
    const char *second = first != NULL ? memchr(first + 1, '.', (apr_size_t)(end - first - 1)) : NULL;

    if (second == NULL || memchr(second + 1, '.', (apr_size_t)(end - second - 1)) != NULL) {
        return false;
    }
    part[0] = tr_str(text.data, (apr_size_t)(first - text.data));
    part[1] = tr_str(first + 1, (apr_size_t)(second - first - 1));
    part[2] = tr_str(second + 1, (apr_size_t)(end - second - 1));
    return part[0].len > 0 && part[1].len > 0 && part[2].len > 0;
}

static apr_status_t read_object(const tr_json_t **out, tr_str_t part, apr_pool_t *pool)
{
    tr_str_t text;
    apr_status_t rv = tr_base64url_decode(&text, part, pool);

    return rv == APR_SUCCESS ? tr_json_parse(out, text, pool) : rv;
}

/* A header parameter that must be a string of bounded length if it is there. */
static bool read_string(tr_str_t *out, const tr_json_t *header, const char *name)
{
    const tr_json_t *value = tr_json_get(header, name);

    *out = tr_str(NULL, 0);
    return value == NULL || (tr_json_string(out, value) && out->len <= TR_MAX_IDENTIFIER_LEN);
}

static apr_status_t read_header(tr_jws_t *jws)
{
    tr_str_t alg, cty;

    if (!tr_json_string(&alg, tr_json_get(jws->header, "alg")) || !tr_alg_by_name(&jws->alg, alg)) {
        return TR_ALGORITHM;
    }
    if (tr_json_get(jws->header, "crit") != NULL || tr_json_get(jws->header, "b64") != NULL ||
        tr_json_get(jws->header, "zip") != NULL) {
        return TR_MALFORMED;
    }
    if (!read_string(&jws->kid, jws->header, "kid") || !read_string(&jws->typ, jws->header, "typ") ||
        !read_string(&cty, jws->header, "cty")) {
        return TR_MALFORMED;
    }
    if (tr_str_eq_nocase(cty, tr_str_z("JWT")) || tr_str_eq_nocase(cty, tr_str_z("application/jwt"))) {
        return TR_MALFORMED;
    }
    return APR_SUCCESS;
}

apr_status_t tr_jws_parse(tr_jws_t *out, tr_str_t text, apr_pool_t *pool)
{
    tr_str_t part[3];
    apr_status_t rv;

    memset(out, 0, sizeof(*out));
    if (text.len > TR_MAX_TOKEN_LEN || !cut(part, text)) {
        return TR_MALFORMED;
    }
    out->text = text;
    out->signing_input = tr_str(text.data, part[0].len + 1 + part[1].len);
    rv = tr_base64url_decode(&out->signature, part[2], pool);
    if (rv == APR_SUCCESS) {
        rv = read_object(&out->header, part[0], pool);
    }
    if (rv == APR_SUCCESS) {
        rv = read_object(&out->payload, part[1], pool);
    }
    return rv == APR_SUCCESS ? read_header(out) : rv;
}
