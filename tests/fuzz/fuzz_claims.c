/*
 * Claims of tokens: an input is a payload. It is signed here, and judged by an issuer with every rule, and by one with none; then
 * once more from its words, as the plain library reads them.
 */
#include "world.h"

#include <apr_strings.h>
#include <jansson.h>
#include <strings.h>

#include "mutate.h"
#include "tr_export.h"
#include "tr_introspect.h"
#include "tr_limits.h"
#include "tr_reason.h"
#include "tr_recent.h"
#include "tr_require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);

#define NOW_S 1700000000.0
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}"

/* ---- the same rules, read from docs/DIRECTIVES.md ------------------------------------------------------------ */

static bool is_one_of(const json_t *value, const char *const *list, bool folded)
{
    const char *text = json_string_value(value);
    for (; text != NULL && *list != NULL; list++)
        if ((folded ? strcasecmp(text, *list) : strcmp(text, *list)) == 0)
            return true;
    return false;
}

static bool has_control(const json_t *string)
{
    const unsigned char *p = (const unsigned char *)json_string_value(string);
    for (; *p != '\0'; p++)
        if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0))
            return true;
    return false;
}

static bool is_name(const json_t *value)
{
    return value == NULL || (json_is_string(value) && json_string_length(value) <= TR_MAX_IDENTIFIER_LEN && !has_control(value));
}

static bool is_date(const json_t *value)
{
    return value == NULL || json_is_number(value);
}

static bool is_in_time(const json_t *claims, double skew, double longest)
{
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf"),
                 *iat = json_object_get(claims, "iat");
    if (!json_is_number(exp) || !is_date(nbf) || !is_date(iat) || json_number_value(exp) + skew <= NOW_S)
        return false;
    double begin = iat != NULL ? json_number_value(iat) : NOW_S;
    return (nbf == NULL || json_number_value(nbf) <= NOW_S + skew) && (iat == NULL || begin <= NOW_S + skew) &&
           (longest < 0 || json_number_value(exp) - begin <= longest);
}

static bool is_for_us(const json_t *aud)
{
    static const char *const ours[] = {"api", "https://api.example.com/", NULL};
    bool named = false;
    for (size_t i = 0; json_is_array(aud) && i < json_array_size(aud); i++) {
        named = named || is_one_of(json_array_get(aud, i), ours, false);
        if (!json_is_string(json_array_get(aud, i)))
            return false;
    }
    return named || is_one_of(aud, ours, false);
}

static const json_t *at_path(const json_t *claims, const char *whole, const char *outer, const char *inner)
{
    const json_t *value = json_object_get(claims, whole);
    return value != NULL ? value : json_object_get(json_object_get(claims, outer), inner);
}

static bool is_of_other_use(const json_t *claims)
{
    static const char *const others[] = {"refresh",
                                         "refresh_token",
                                         "refresh-token",
                                         "refreshtoken",
                                         "offline",
                                         "urn:ietf:params:oauth:token-type:refresh_token",
                                         "id",
                                         "id_token",
                                         "id-token",
                                         "idtoken",
                                         "urn:ietf:params:oauth:token-type:id_token",
                                         NULL};
    static const char *const names[] = {"token_use", "token_type", "type", "typ"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_one_of(json_object_get(claims, names[i]), others, true))
            return true;
    return json_object_get(claims, "at_hash") != NULL || json_object_get(claims, "c_hash") != NULL;
}

static bool has_user(const json_t *claims, const char *name)
{
    const json_t *user = json_object_get(claims, name);
    return json_is_integer(user) || (json_string_length(user) > 0 && !has_control(user));
}

static bool should_pass(const json_t *claims, bool strict, const char *user)
{
    static const char *const names[] = {"iss", "jti", "sub", "sid", "client_id", "azp"};
    static const char *const uses[] = {"access", NULL};
    const json_t *jti = json_object_get(claims, "jti");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!is_name(json_object_get(claims, names[i])))
            return false;
    if (json_object_get(claims, "cnf") != NULL || json_object_get(claims, "events") != NULL ||
        (jti != NULL && json_string_length(jti) == 0) || !has_user(claims, user))
        return false;
    if (!strict)
        return is_in_time(claims, 0, -1) && !is_of_other_use(claims);
    return is_in_time(claims, 30, 3600) && is_for_us(json_object_get(claims, "aud")) && jti != NULL &&
           is_one_of(at_path(claims, "realm.use", "realm", "use"), uses, false);
}

/* ---- what stands behind the gate ------------------------------------------------------------------------------ */

/* RFC 6749 3.3, by splitting. */
static bool has_scope(const json_t *claim, const char *scope)
{
    const char *text = json_string_value(claim);
    for (size_t i = 0; json_is_array(claim) && i < json_array_size(claim); i++) {
        const char *one = json_string_value(json_array_get(claim, i));
        if (one != NULL && strcmp(one, scope) == 0)
            return true;
    }
    for (size_t len; text != NULL && *text != '\0'; text += len + (text[len] == ' ')) {
        len = strcspn(text, " ");
        if (len == strlen(scope) && strncmp(text, scope, len) == 0)
            return true;
    }
    return false;
}

static bool is_or_has(const json_t *claim, const char *wanted)
{
    for (size_t i = 0; json_is_array(claim) && i < json_array_size(claim); i++)
        if (json_is_string(json_array_get(claim, i)) && strcmp(json_string_value(json_array_get(claim, i)), wanted) == 0)
            return true;
    return json_is_string(claim) && strcmp(json_string_value(claim), wanted) == 0;
}

static void check_require(const json_t *claims, const tr_json_t *payload, apr_pool_t *pool)
{
    apr_array_header_t *scopes = apr_array_make(pool, 2, sizeof(const char *));
    apr_array_header_t *values = apr_array_make(pool, 1, sizeof(const char *));
    bool both = true;
    for (const char *scope = "a\0b"; scope != NULL; scope = *scope == 'a' ? scope + 2 : NULL) {
        APR_ARRAY_PUSH(scopes, const char *) = scope;
        both = both && (has_scope(json_object_get(claims, "scope"), scope) || has_scope(json_object_get(claims, "scp"), scope));
    }
    ALWAYS(tr_require_scopes(payload, scopes) == both);
    APR_ARRAY_PUSH(values, const char *) = "admin";
    ALWAYS(tr_require_value(payload, "realm.roles", values, pool) ==
           is_or_has(at_path(claims, "realm.roles", "realm", "roles"), "admin"));
    const char *shown = tr_require_show(payload, "realm.roles", pool);
    ALWAYS(shown == NULL || !tr_str_has_control(tr_str_z(shown)));
}

static void check_export(const tr_json_t *payload, apr_pool_t *pool)
{
    const apr_array_header_t *variables = tr_export_variables(payload, "C_", pool);
    const char *value = NULL;
    for (int i = 0; i < variables->nelts; i++) {
        const tr_variable_t *one = &APR_ARRAY_IDX(variables, i, tr_variable_t);
        ALWAYS(strncmp(one->name, "C_", 2) == 0 && one->value != NULL);
        ALWAYS(strspn(one->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == strlen(one->name));
        for (int k = 0; k < i && i < 50; k++)
            ALWAYS(strcasecmp(one->name, APR_ARRAY_IDX(variables, k, tr_variable_t).name) != 0);
    }
    if (tr_export_header(&value, payload, "sub", pool) == APR_SUCCESS && value != NULL)
        ALWAYS(!tr_str_has_control(tr_str_z(value)) && *value != ' ' && (*value == '\0' || value[strlen(value) - 1] != ' '));
}

/* ---- the gates ------------------------------------------------------------------------------------------------ */

static tr_gate_t gate, remembering;

static apr_array_header_t *list_of(const char *a, const char *b, apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_make(pool, 2, sizeof(const char *));
    APR_ARRAY_PUSH(list, const char *) = a;
    if (b != NULL)
        APR_ARRAY_PUSH(list, const char *) = b;
    return list;
}

static void make_gates(const world_t *w)
{
    const tr_issuer_t *joe = apr_hash_get(w->gate.issuers, "joe", APR_HASH_KEY_STRING);
    apr_pool_t *pool = apr_hash_pool_get(w->gate.issuers);
    tr_issuer_t *strict = apr_pmemdup(pool, joe, sizeof *joe), *plain = apr_pcalloc(pool, sizeof *plain);
    strict->iss = "https://idp.example.com/";
    strict->algs = TR_ALG_BIT(TR_ALG_HS256);
    strict->audiences = list_of("api", "https://api.example.com/", pool);
    strict->types = list_of("at+jwt", NULL, pool);
    strict->use_claim = "realm.use";
    strict->use_values = list_of("access", NULL, pool);
    strict->require_jti = true;
    strict->skew_s = 30;
    strict->max_lifetime_s = 3600;
    plain->iss = "joe";
    plain->keyring = joe->keyring;
    plain->max_lifetime_s = TR_UNLIMITED;
    gate.issuers = apr_hash_make(pool);
    gate.table = w->gate.table;
    apr_hash_set(gate.issuers, strict->iss, APR_HASH_KEY_STRING, strict);
    apr_hash_set(gate.issuers, plain->iss, APR_HASH_KEY_STRING, plain);
    remembering = w->remembering;
    remembering.issuers = gate.issuers;
    remembering.generation = tr_generation_make(gate.issuers, pool);
}

static apr_status_t admit(tr_identity_t *id, tr_str_t token, const char *user, apr_pool_t *pool)
{
    tr_identity_t again;
    apr_status_t rv = tr_gate_admit(id, &gate, token, user, WORLD_NOW, pool);
    ALWAYS(rv == APR_SUCCESS || tr_is_refusal(rv));
    for (int i = 0; i < 3; i++)
        ALWAYS(tr_gate_admit(&again, &remembering, token, user, WORLD_NOW, pool) == rv);
    return rv;
}

static void judge(const world_t *w, tr_str_t text)
{
    static const char *const users[] = {"sub", "uid"};
    tr_str_t token = tr_str_z(world_sign_as("HS256", tr_str_z(HEADER), text, w->pool));
    json_t *claims = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    const char *iss = json_string_value(json_object_get(claims, "iss"));
    bool strict = iss != NULL && strcmp(iss, "https://idp.example.com/") == 0;
    bool plain = iss != NULL && strcmp(iss, "joe") == 0;
    tr_identity_t id;
    for (size_t i = 0; i < 2; i++) {
        apr_status_t rv = admit(&id, token, users[i], w->pool);
        /* A payload may be too deep, too long, or hold a number that this reader refuses: that must not hide anything else. */
        ALWAYS(rv != APR_SUCCESS || claims == NULL || ((strict || plain) && should_pass(claims, strict, users[i])));
        ALWAYS(rv == APR_SUCCESS || claims == NULL || !(strict || plain) || !should_pass(claims, strict, users[i]) ||
               (rv == TR_MALFORMED && tr_json_parse(&(const tr_json_t *){NULL}, text, w->pool) != APR_SUCCESS) ||
               token.len > TR_MAX_TOKEN_LEN);
        if (rv != APR_SUCCESS)
            continue;
        ALWAYS(world_is_json_object(tr_introspect_claims(&id.token, tr_recent_payload(&id, w->pool), w->pool)) || claims == NULL);
        check_export(id.token.jws.payload, w->pool);
        if (claims != NULL)
            check_require(claims, id.token.jws.payload, w->pool);
    }
    json_decref(claims);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
    return mutate_json(data, size, max, seed, &mutate_claim_words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world_t *w = world_for_one_input();
    if (gate.issuers == NULL)
        make_gates(w);
    judge(w, tr_str((const char *)data, size));
    world_done();
    return 0;
}
