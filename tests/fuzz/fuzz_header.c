/*
 * Headers of tokens: an input is one. It is signed here, before claims that are good, so that nothing else decides; and read once
 * more by the plain library.
 */
#include "world.h"

#include <apr_strings.h>
#include <jansson.h>
#include <strings.h>

#include "mutate.h"
#include "tr_limits.h"
#include "tr_reason.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);

#define CLAIMS "\"aud\":\"api\",\"token_use\":\"access\",\"sub\":\"alice\",\"jti\":\"j\",\"exp\":1700000100}"
static const char strict_claims[] = "{\"iss\":\"joe\"," CLAIMS;
static const char plain_claims[] = "{\"iss\":\"https://idp.example.com/\"," CLAIMS;

static bool is_one_of(const char *text, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(text, *list) == 0)
            return true;
    return false;
}

static int depth_of(const json_t *value)
{
    int deepest = 0;
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value); i++) {
        int depth = depth_of(json_array_get(value, i));
        deepest = depth > deepest ? depth : deepest;
    }
    json_t *object = json_is_object(value) ? (json_t *)(uintptr_t)value : NULL;
    for (void *i = object ? json_object_iter(object) : NULL; i; i = json_object_iter_next(object, i)) {
        int depth = depth_of(json_object_iter_value(i));
        deepest = depth > deepest ? depth : deepest;
    }
    return json_is_object(value) || json_is_array(value) ? deepest + 1 : 0;
}

static bool is_text_or_absent(const json_t *header, const char *name)
{
    const json_t *value = json_object_get(header, name);
    return value == NULL || (json_is_string(value) && json_string_length(value) <= TR_MAX_IDENTIFIER_LEN);
}

/* RFC 7515 and 8725, as the library reads the header. */
static bool is_sound(const json_t *header)
{
    static const char *const algs[] = {"RS256",  "RS384", "RS512",   "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
                                       "ES256K", "EdDSA", "Ed25519", "Ed448", "HS256", "HS384", "HS512", NULL};
    const char *alg = json_string_value(json_object_get(header, "alg"));
    const char *cty = json_string_value(json_object_get(header, "cty"));
    return json_is_object(header) && depth_of(header) <= TR_MAX_JSON_DEPTH && alg != NULL && is_one_of(alg, algs) &&
           json_object_get(header, "crit") == NULL && json_object_get(header, "b64") == NULL &&
           json_object_get(header, "zip") == NULL && is_text_or_absent(header, "kid") && is_text_or_absent(header, "typ") &&
           is_text_or_absent(header, "cty") &&
           (cty == NULL || (strcasecmp(cty, "JWT") != 0 && strcasecmp(cty, "application/jwt") != 0));
}

/* Without "application/", where nothing but that is before the only slash. */
static const char *short_type(const char *type)
{
    bool has_prefix = strncasecmp(type, "application/", 12) == 0 && type[12] != '\0' && strchr(type + 12, '/') == NULL;
    return has_prefix ? type + 12 : type;
}

/* Whose key made the signature: the secret alone, named k7. */
static bool names_secret(const json_t *header)
{
    static const char *const algs[] = {"HS256", "HS384", "HS512", NULL};
    const char *kid = json_string_value(json_object_get(header, "kid"));
    return is_one_of(json_string_value(json_object_get(header, "alg")), algs) &&
           (kid == NULL || *kid == '\0' || strcmp(kid, "k7") == 0);
}

static bool is_for_others(const char *type)
{
    static const char *const others[] = {"logout+jwt", "secevent+jwt", "dpop+jwt", "refresh+jwt",
                                         "rt+jwt",     "vc+jwt",       "kb+jwt",   NULL};
    for (const char *const *other = others; *other != NULL; other++)
        if (strcasecmp(short_type(type), *other) == 0)
            return true;
    return false;
}

static apr_status_t ask(const world_t *w, const json_t *header, tr_str_t text, const char *claims)
{
    const char *alg = json_string_value(json_object_get(header, "alg"));
    tr_str_t token = tr_str_z(world_sign_as(alg, text, tr_str_z(claims), w->pool));
    tr_identity_t id;
    tr_jws_t jws;
    apr_status_t parsed = tr_jws_parse(&jws, token, w->pool);
    apr_status_t rv = tr_gate_admit(&id, &w->gate, token, "sub", WORLD_NOW, w->pool);
    ALWAYS(rv == APR_SUCCESS || tr_is_refusal(rv));
    if (header != NULL)
        ALWAYS((parsed == APR_SUCCESS) == (is_sound(header) && token.len <= TR_MAX_TOKEN_LEN));
    ALWAYS(parsed == APR_SUCCESS || rv == parsed);
    for (int i = 0; i < 3; i++)
        ALWAYS(tr_gate_admit(&id, &w->remembering, token, "sub", WORLD_NOW, w->pool) == rv);
    return rv;
}

static void judge(const world_t *w, tr_str_t text)
{
    json_error_t error;
    json_t *header = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    bool unsure = header == NULL && json_error_code(&error) == json_error_numeric_overflow;
    apr_status_t strict = ask(w, header, text, strict_claims);
    apr_status_t plain = ask(w, header, text, plain_claims);
    if (unsure)
        return;
    if (header == NULL || strict == TR_MALFORMED || strict == TR_ALGORITHM) {
        ALWAYS(strict != APR_SUCCESS && plain != APR_SUCCESS);
        json_decref(header);
        return;
    }
    const char *typ = json_string_value(json_object_get(header, "typ"));
    bool good = names_secret(header);
    ALWAYS((strict == APR_SUCCESS) == (good && typ != NULL && strcasecmp(short_type(typ), "at+jwt") == 0));
    ALWAYS(plain != APR_SUCCESS || (good && (typ == NULL || !is_for_others(typ))));
    ALWAYS(plain == APR_SUCCESS || plain == TR_TOKEN_TYPE || !good);
    json_decref(header);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
    return mutate_json(data, size, max, seed, &mutate_header_words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), tr_str((const char *)data, size));
    world_done();
    return 0;
}
