/*
 * tr_credentials.c: what a request says about its client. RFC 6749 2.3.1 has id and secret form-encoded before Base64, and most
 * clients do not, so Basic is read both ways; which is right shows when the secret is checked.
 */
#include "tr_client.h"

#include <apr_strings.h>

#include "tr_base64url.h"
#include "tr_digest.h"
#include "tr_limits.h"

/* ---- Basic ------------------------------------------------------------------------------------------------- */

/* Is it the scheme Basic (RFC 9110 11.1: case-insensitive)? *rest is what follows it. */
static bool is_basic(tr_str_t *rest, const char *authorization)
{
    tr_str_t field = tr_str_z(authorization);

    if (field.len < 5 || !tr_str_eq_nocase(tr_str(field.data, 5), tr_str_z("Basic")) || (field.len > 5 && field.data[5] != ' ')) {
        return false;
    }
    *rest = tr_str(field.data + 5, field.len - 5);
    while (rest->len > 0 && rest->data[0] == ' ') {
        *rest = tr_str(rest->data + 1, rest->len - 1);
    }
    while (rest->len > 0 && rest->data[rest->len - 1] == ' ') {
        rest->len--;
    }
    return true;
}

/* RFC 4648 4, strictly: whole groups of four, padding where it must be, no other character, no loose bits. */
static bool decode_base64(tr_str_t *out, tr_str_t in, apr_pool_t *pool)
{
    char *url = apr_pstrmemdup(pool, in.data, in.len);
    apr_size_t len = in.len;
    bool decoded;

    if (in.len == 0 || in.len % 4 != 0) {
        return false;
    }
    for (int i = 0; i < 2 && url[len - 1] == '='; i++) {
        len--;
    }
    for (apr_size_t i = 0; i < len; i++) {
        if (url[i] == '-' || url[i] == '_') {
            return false;
        }
        if (url[i] == '+') {
            url[i] = '-';
        }
        if (url[i] == '/') {
            url[i] = '_';
        }
    }
    decoded = tr_base64url_decode(out, tr_str(url, len), pool) == APR_SUCCESS;
    tr_wipe(url, in.len);
    return decoded;
}

/* ---- readings ---------------------------------------------------------------------------------------------- */

static bool can_be_id(tr_str_t id)
{
    return id.len > 0 && id.len <= TR_MAX_IDENTIFIER_LEN && !tr_str_has_control(id);
}

static bool can_be_secret(tr_str_t secret)
{
    return secret.len > 0 && secret.len <= TR_MAX_CLIENT_SECRET_LEN && memchr(secret.data, '\0', secret.len) == NULL;
}

static void add_reading(tr_credentials_t *out, tr_str_t id, tr_str_t secret, apr_pool_t *pool)
{
    if (!can_be_id(id) || !can_be_secret(secret)) {
        return;
    }
    if (out->readings == 1 && tr_str_eq(id, out->id[0]) && tr_str_eq(secret, out->secret[0])) {
        return;
    }
    out->id[out->readings] = id;
    out->secret[out->readings] = tr_str(tr_str_dup_z(secret, pool), secret.len);
    out->readings++;
}

static void read_basic(tr_credentials_t *out, const char **why, tr_str_t token68, apr_pool_t *pool)
{
    tr_str_t text, id, secret, plain_id, plain_secret;
    const char *colon;

    out->has_secret = true;
    *why = "what follows Basic is no strict Base64 of client_id:secret";
    if (!decode_base64(&text, token68, pool)) {
        return;
    }
    colon = text.len > 0 ? memchr(text.data, ':', text.len) : NULL;
    if (colon == NULL) {
        return;
    }
    id = tr_str(text.data, (apr_size_t)(colon - text.data));
    secret = tr_str(colon + 1, text.len - id.len - 1);
    if (tr_form_decode(&plain_id, id, pool) == APR_SUCCESS && tr_form_decode(&plain_secret, secret, pool) == APR_SUCCESS) {
        add_reading(out, plain_id, plain_secret, pool);
        tr_wipe((char *)plain_secret.data, plain_secret.len);
    }
    add_reading(out, id, secret, pool);
    tr_wipe((char *)secret.data, secret.len);
    *why = "client_id or secret is empty, too long, or holds a character that it cannot have";
}

/* A client_id in the body beside Basic must say the same (RFC 6749 2.3): only readings that agree stay. */
static bool keep_readings_of(tr_credentials_t *out, tr_str_t id)
{
    int kept = 0;

    for (int i = 0; i < out->readings; i++) {
        if (tr_str_eq(out->id[i], id)) {
            out->id[kept] = out->id[i];
            out->secret[kept] = out->secret[i];
            kept++;
        }
    }
    out->readings = kept;
    return kept > 0;
}

/* ---- the body ---------------------------------------------------------------------------------------------- */

typedef struct body_t {
    tr_str_t id, secret;
    bool has_assertion;
} body_t;

static bool is_string_or_absent(tr_str_t *out, const tr_params_t *params, const char *name)
{
    return tr_params_get(out, params, name) != APR_EINVAL;
}

static bool read_body(body_t *out, const tr_params_t *params)
{
    tr_str_t assertion, type;

    memset(out, 0, sizeof(*out));
    if (params == NULL) {
        return true;
    }
    if (!is_string_or_absent(&out->id, params, "client_id") || !is_string_or_absent(&out->secret, params, "client_secret") ||
        !is_string_or_absent(&assertion, params, "client_assertion") ||
        !is_string_or_absent(&type, params, "client_assertion_type")) {
        return false;
    }
    out->has_assertion = assertion.len > 0 || type.len > 0;
    return true;
}

static void use_body(tr_credentials_t *out, const char **why, const body_t *body, apr_pool_t *pool)
{
    if (body->has_assertion) {
        *why = "client_assertion is not taken here";
        return;
    }
    *why = "there are no credentials";
    if (body->secret.len > 0) {
        out->has_secret = true;
        add_reading(out, body->id, body->secret, pool);
        *why = "client_id or client_secret is missing, too long, or holds a character that it cannot have";
    }
    else if (can_be_id(body->id)) {
        out->id[0] = body->id;
        out->readings = 1;
    }
}

void tr_credentials_wipe(tr_credentials_t *credentials, const tr_params_t *params)
{
    tr_str_t secret;

    for (int i = 0; i < credentials->readings; i++) {
        tr_wipe((char *)credentials->secret[i].data, credentials->secret[i].len);
    }
    if (params != NULL && tr_params_get(&secret, params, "client_secret") == APR_SUCCESS) {
        tr_wipe((char *)secret.data, secret.len);
    }
}

apr_status_t tr_credentials_read(tr_credentials_t *out, const char **why, const char *authorization, const tr_params_t *params,
                                 apr_pool_t *pool)
{
    tr_str_t token68 = tr_str(NULL, 0);
    bool basic = is_basic(&token68, authorization);
    body_t body;

    memset(out, 0, sizeof(*out));
    if (!read_body(&body, params)) {
        *why = "client_id, client_secret, client_assertion and client_assertion_type must be strings";
        return APR_EINVAL;
    }
    if (basic + (body.secret.len > 0) + body.has_assertion > 1) {
        *why = "More than one way of client authentication was used";
        return APR_EINVAL;
    }
    if (!basic) {
        use_body(out, why, &body, pool);
        return APR_SUCCESS;
    }
    read_basic(out, why, token68, pool);
    if (out->readings > 0 && body.id.len > 0 && !keep_readings_of(out, body.id)) {
        *why = "client_id in the body is not the one in the Authorization field";
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}
