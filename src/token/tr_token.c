/* tr_token.c: the single checks on claims. None of them looks at another's result; the gate puts them in order. */
#include "tr_token.h"

#include <apr_strings.h>

#include "tr_limits.h"
#include "tr_reason.h"

static double seconds(apr_time_t now)
{
    return (double)now / (double)APR_USEC_PER_SEC;
}

static const tr_json_t *claim(const tr_token_t *token, const char *name)
{
    return tr_json_get(token->jws.payload, name);
}

static bool is_listed(const apr_array_header_t *list, tr_str_t value)
{
    for (int i = 0; i < list->nelts; i++) {
        if (tr_str_eq_z(value, APR_ARRAY_IDX(list, i, const char *))) {
            return true;
        }
    }
    return false;
}

/* A claim that is part of an identity: a string of bounded length without control characters, if it is there at all. */
static bool read_identifier(tr_str_t *out, const tr_token_t *token, const char *name)
{
    const tr_json_t *value = claim(token, name);

    *out = tr_str(NULL, 0);
    return value == NULL || (tr_json_string(out, value) && out->len <= TR_MAX_IDENTIFIER_LEN && !tr_str_has_control(*out));
}

apr_status_t tr_token_find_issuer(tr_token_t *token, tr_issuers_t *issuers)
{
    if (!read_identifier(&token->iss, token, "iss")) {
        return TR_MALFORMED;
    }
    token->issuer = tr_issuers_find(issuers, token->iss, claim(token, "iss") != NULL);
    return token->issuer != NULL ? APR_SUCCESS : TR_UNKNOWN_ISSUER;
}

apr_status_t tr_token_check_algorithm(const tr_token_t *token)
{
    tr_alg_set_t allowed = token->issuer->algs != 0 ? token->issuer->algs : tr_keyring_algs(token->issuer->keyring);

    return (allowed & TR_ALG_BIT(token->jws.alg)) ? APR_SUCCESS : TR_ALGORITHM;
}

/* RFC 7519 2: NumericDate is any JSON number. A claim that is not there is no fault here. */
static bool date_is_sound(const tr_token_t *token, const char *name)
{
    double value;

    return claim(token, name) == NULL || tr_json_number(&value, claim(token, name));
}

apr_status_t tr_token_read_times(tr_token_t *token)
{
    if (!tr_json_number(&token->exp_s, claim(token, "exp")) || !date_is_sound(token, "nbf") || !date_is_sound(token, "iat")) {
        return TR_MALFORMED;
    }
    token->has_iat = tr_json_number(&token->iat_s, claim(token, "iat"));
    token->has_nbf = tr_json_number(&token->nbf_s, claim(token, "nbf"));
    return APR_SUCCESS;
}

apr_status_t tr_token_check_expiry(const tr_token_t *token, apr_time_t now)
{
    return seconds(now) < token->exp_s + (double)token->issuer->skew_s ? APR_SUCCESS : TR_EXPIRED;
}

apr_status_t tr_token_check_begin(const tr_token_t *token, apr_time_t now)
{
    double latest = seconds(now) + (double)token->issuer->skew_s;

    if (token->has_nbf && token->nbf_s > latest) {
        return TR_NOT_YET_VALID;
    }
    return token->has_iat && token->iat_s > latest ? TR_NOT_YET_VALID : APR_SUCCESS;
}

apr_status_t tr_token_check_lifetime(const tr_token_t *token, apr_time_t now)
{
    double begin_s = token->has_iat ? token->iat_s : seconds(now);

    if (token->issuer->max_lifetime_s == TR_UNLIMITED) {
        return APR_SUCCESS;
    }
    return token->exp_s - begin_s > (double)token->issuer->max_lifetime_s ? TR_LIFETIME : APR_SUCCESS;
}

/* wanted NULL: any name will do. */
static bool is_wanted(const apr_array_header_t *wanted, tr_str_t audience)
{
    return wanted != NULL ? is_listed(wanted, audience) : audience.len > 0;
}

/* RFC 7519 4.1.3: one string, or an array of strings. */
static apr_status_t check_audience(const tr_json_t *aud, const apr_array_header_t *wanted)
{
    apr_status_t rv = TR_AUDIENCE;
    tr_str_t one;

    if (tr_json_string(&one, aud)) {
        return is_wanted(wanted, one) ? APR_SUCCESS : TR_AUDIENCE;
    }
    if (aud == NULL || tr_json_type(aud) != TR_JSON_ARRAY) {
        return TR_AUDIENCE;
    }
    for (apr_size_t i = 0; i < tr_json_len(aud); i++) {
        if (!tr_json_string(&one, tr_json_at(aud, i))) {
            return TR_AUDIENCE;
        }
        if (is_wanted(wanted, one)) {
            rv = APR_SUCCESS;
        }
    }
    return rv;
}

apr_status_t tr_token_check_audience(const tr_token_t *token)
{
    const apr_array_header_t *wanted = token->issuer->audiences;

    return wanted == NULL ? APR_SUCCESS : check_audience(claim(token, "aud"), wanted);
}

apr_status_t tr_token_check_logout_audience(const tr_token_t *token)
{
    const tr_issuer_t *issuer = token->issuer;

    return check_audience(claim(token, "aud"), issuer->logout_audiences != NULL ? issuer->logout_audiences : issuer->audiences);
}

/* RFC 7515 4.1.9: without another slash, "application/" may be left out. */
static tr_str_t short_type(tr_str_t type)
{
    static const char prefix[] = "application/";
    apr_size_t len = sizeof(prefix) - 1;

    if (type.len > len && tr_str_eq_nocase(tr_str(type.data, len), tr_str_z(prefix)) &&
        memchr(type.data + len, '/', type.len - len) == NULL) {
        return tr_str(type.data + len, type.len - len);
    }
    return type;
}

static bool type_is_listed(const char *const *list, apr_size_t count, tr_str_t type)
{
    for (apr_size_t i = 0; i < count; i++) {
        if (tr_str_eq_nocase(short_type(type), short_type(tr_str_z(list[i])))) {
            return true;
        }
    }
    return false;
}

bool tr_token_has_type(const tr_token_t *token, const char *type)
{
    return type_is_listed(&type, 1, token->jws.typ);
}

/* Registered types of JWTs that no resource server should take for an access token (RFC 8725 3.11, 3.12). */
static const char *const other_types[] = {
    "logout+jwt",
    "secevent+jwt",
    "dpop+jwt",
    "statuslist+jwt",
    "oauth-authz-req+jwt",
    "kb+jwt",
    "client-authentication+jwt",
    "dc+sd-jwt",
    "vc+sd-jwt",
    "token-introspection+jwt",
    "vc+jwt",
    "oauth-client-attestation+jwt",
    "wallet+jwt",
    "entity-statement+jwt",
    "openid4vci-proof+jwt",
    "trust-mark+jwt",
    "oauth-client-attestation-pop+jwt",
    "keybinding+jwt",
    "key-attestation+jwt",
    "vp+jwt",
    "resolve-response+jwt",
    "jwk-set+jwt",
    "refresh+jwt",
    "rt+jwt",
};

/* None, or what nearly all access tokens have (RFC 7519 5.1, RFC 9068 2.1): the long list need not be compared. */
static bool type_is_usual(tr_str_t typ)
{
    return typ.len == 0 || tr_str_eq_nocase(typ, tr_str_z("JWT")) || tr_str_eq_nocase(typ, tr_str_z("at+jwt"));
}

static bool type_is_right(const tr_issuer_t *issuer, tr_str_t typ)
{
    if (issuer->types != NULL) {
        return type_is_listed((const char *const *)(const void *)issuer->types->elts, (apr_size_t)issuer->types->nelts, typ);
    }
    return type_is_usual(typ) || !type_is_listed(other_types, sizeof(other_types) / sizeof(other_types[0]), typ);
}

bool tr_token_is_event(const tr_token_t *token)
{
    return claim(token, "events") != NULL || tr_token_has_type(token, "logout+jwt") || tr_token_has_type(token, "secevent+jwt");
}

apr_status_t tr_token_check_type(const tr_token_t *token)
{
    /* A key binding that is not checked would turn a bound token into a bearer token (RFC 9449 7.2). */
    if (claim(token, "cnf") != NULL || claim(token, "events") != NULL || !type_is_right(token->issuer, token->jws.typ)) {
        return TR_TOKEN_TYPE;
    }
    return APR_SUCCESS;
}

static const char *const refresh_uses[] = {
    "refresh", "refresh_token", "refresh-token", "refreshtoken", "offline", "urn:ietf:params:oauth:token-type:refresh_token",
};
static const char *const id_uses[] = {
    "id", "id_token", "id-token", "idtoken", "urn:ietf:params:oauth:token-type:id_token",
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static bool is_one_of(tr_str_t value, const char *const *uses, apr_size_t count)
{
    for (apr_size_t i = 0; i < count; i++) {
        if (tr_str_eq_nocase(value, tr_str_z(uses[i]))) {
            return true;
        }
    }
    return false;
}

/* Does one of the claims that issuers use for it name a use of the list? */
static bool says_use(const tr_token_t *token, const char *const *uses, apr_size_t count)
{
    static const char *const names[] = {"token_use", "token_type", "type", "typ"};
    tr_str_t value;

    for (apr_size_t i = 0; i < COUNT(names); i++) {
        if (tr_json_string(&value, claim(token, names[i])) && is_one_of(value, uses, count)) {
            return true;
        }
    }
    return false;
}

apr_status_t tr_token_check_use(const tr_token_t *token)
{
    const char *use_claim = token->issuer->use_claim;
    tr_str_t value;

    if (use_claim != NULL) {
        return tr_json_string(&value, tr_json_path(token->jws.payload, use_claim)) && is_listed(token->issuer->use_values, value)
                   ? APR_SUCCESS
                   : TR_TOKEN_USE;
    }
    if (claim(token, "at_hash") != NULL || claim(token, "c_hash") != NULL) {
        return TR_TOKEN_USE;
    }
    return says_use(token, refresh_uses, COUNT(refresh_uses)) || says_use(token, id_uses, COUNT(id_uses)) ? TR_TOKEN_USE
                                                                                                          : APR_SUCCESS;
}

bool tr_token_is_refresh(const tr_token_t *token)
{
    static const char *const types[] = {"refresh+jwt", "rt+jwt"};
    const char *use_claim = token->issuer->use_claim;
    tr_str_t value;

    if (use_claim != NULL && tr_json_string(&value, tr_json_path(token->jws.payload, use_claim))) {
        if (is_listed(token->issuer->use_values, value)) {
            return false;
        }
        if (is_one_of(value, refresh_uses, COUNT(refresh_uses))) {
            return true;
        }
    }
    return says_use(token, refresh_uses, COUNT(refresh_uses)) || type_is_listed(types, COUNT(types), token->jws.typ);
}

apr_status_t tr_token_read_identity(tr_token_t *token)
{
    if (!read_identifier(&token->jti, token, "jti") || !read_identifier(&token->sub, token, "sub") ||
        !read_identifier(&token->sid, token, "sid") || !read_identifier(&token->client_id, token, "client_id") ||
        !read_identifier(&token->azp, token, "azp")) {
        return TR_MALFORMED;
    }
    if (token->jti.len == 0 && claim(token, "jti") != NULL) {
        return TR_MALFORMED;
    }
    if (token->client_id.len == 0) {
        token->client_id = token->azp;
    }
    if (token->azp.len == 0) {
        token->azp = token->client_id;
    }
    return APR_SUCCESS;
}

apr_status_t tr_token_user(const char **out, const tr_token_t *token, const char *name, apr_pool_t *pool)
{
    const tr_json_t *value = tr_json_path(token->jws.payload, name);
    tr_str_t text;

    if (value != NULL && tr_json_type(value) == TR_JSON_INTEGER) {
        *out = tr_json_text(value, pool);
        return APR_SUCCESS;
    }
    if (!tr_json_string(&text, value) || text.len == 0 || tr_str_has_control(text)) {
        return TR_MALFORMED;
    }
    *out = tr_str_dup_z(text, pool);
    return APR_SUCCESS;
}
