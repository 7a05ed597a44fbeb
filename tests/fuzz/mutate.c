/*
 * mutate.c: see mutate.h.
 */
#include "mutate.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TIMES                                                                                                                    \
    "1700000000", "1699999999", "1700000001", "1700000060", "1700000061", "1699999940", "1699999941", "1700000030",              \
        "1699999970", "1700003600", "1700086400", "1.7e9", "1700000000.5", "0", "-1", "-0.0", "1e308", "9007199254740993",       \
        "9223372036854775807"
#define ODD                                                                                                                      \
    "null", "true", "false", "[]", "{}", "\"\"", "\" \"", "\"\\u0000\"", "\"\\u0080\"", "\"\\u007f\"", "\"a\\nb\"", "[[]]",      \
        "[\"\"]", "\"\\u00e9\""

static const char *const header_names[] = {"alg", "typ", "kid", "cty",      "crit", "b64", "zip", "jku", "jwk",
                                           "x5u", "x5c", "x5t", "x5t#S256", "enc",  "epk", "apu", "iss", NULL};
static const char *const header_values[] = {"\"HS256\"",
                                            "\"HS384\"",
                                            "\"HS512\"",
                                            "\"none\"",
                                            "\"None\"",
                                            "\"hs256\"",
                                            "\"HS256 \"",
                                            "\"RS256\"",
                                            "\"PS512\"",
                                            "\"ES256\"",
                                            "\"ES256K\"",
                                            "\"EdDSA\"",
                                            "\"Ed25519\"",
                                            "\"at+jwt\"",
                                            "\"AT+JWT\"",
                                            "\"application/at+jwt\"",
                                            "\"application/at/jwt\"",
                                            "\"application/\"",
                                            "\"JWT\"",
                                            "\"jwt\"",
                                            "\"application/jwt\"",
                                            "\"logout+jwt\"",
                                            "\"application/secevent+jwt\"",
                                            "\"refresh+jwt\"",
                                            "\"k7\"",
                                            "\"k0\"",
                                            "\"K7\"",
                                            "\"../../k7\"",
                                            "[\"exp\"]",
                                            "[\"b64\"]",
                                            "\"https://evil.test/jwks\"",
                                            "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
                                            ODD,
                                            NULL};
static const char *const claim_names[] = {"iss",       "sub",    "aud",   "exp",    "nbf",       "iat", "jti",       "sid",
                                          "client_id", "azp",    "cnf",   "events", "token_use", "typ", "type",      "token_type",
                                          "at_hash",   "c_hash", "scope", "scp",    "realm",     "use", "realm.use", "roles",
                                          "act",       "nonce",  "uid",   "toe",    "fam",       "jwt", NULL};
static const char *const claim_values[] = {TIMES,
                                           "\"https://idp.example.com/\"",
                                           "\"https://idp.example.com\"",
                                           "\"joe\"",
                                           "\"*\"",
                                           "\"api\"",
                                           "[\"api\"]",
                                           "[\"x\",\"api\"]",
                                           "[\"api\",1]",
                                           "\"API\"",
                                           "\"access\"",
                                           "\"Access\"",
                                           "\"refresh\"",
                                           "\"Refresh_Token\"",
                                           "\"id_token\"",
                                           "\"alice\"",
                                           "\"a b\"",
                                           "\"b  a\"",
                                           "[\"a\",\"b\"]",
                                           "\"admin\"",
                                           "[\"admin\",null,7,true]",
                                           "7",
                                           "{\"use\":\"access\"}",
                                           "{\"use\":\"refresh\",\"roles\":[\"admin\"]}",
                                           "{\"http://schemas.openid.net/event/backchannel-logout\":{}}",
                                           ODD,
                                           NULL};
/* The numbers: nothing, all ones, the order of P-256; the Ed25519 key is that of RFC 8037 A.2, the secret counts its bytes. */
static const char *const key_names[] = {"kty", "crv",     "n",   "e",   "x",    "y",   "k", "d",
                                        "use", "key_ops", "alg", "kid", "keys", "x5c", "p", NULL};
static const char *const key_values[] = {
    "\"RSA\"",
    "\"EC\"",
    "\"OKP\"",
    "\"oct\"",
    "\"rsa\"",
    "\"P-256\"",
    "\"P-384\"",
    "\"P-521\"",
    "\"secp256k1\"",
    "\"Ed25519\"",
    "\"Ed448\"",
    "\"X25519\"",
    "\"AQAB\"",
    "\"AQ\"",
    "\"AAEAAQ\"",
    "\"AA\"",
    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
    "\"__________________________________________8\"",
    "\"_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE\"",
    "\"sig\"",
    "\"enc\"",
    "[\"verify\"]",
    "[\"sign\"]",
    "[\"verify\",\"verify\"]",
    "\"RS256\"",
    "\"RS1\"",
    "\"PS384\"",
    "\"ES256\"",
    "\"ES256K\"",
    "\"ES512\"",
    "\"EdDSA\"",
    "\"HS256\"",
    "\"HS512\"",
    "\"none\"",
    "\"RSA-OAEP\"",
    "\"k7\"",
    "{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}",
    "[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]",
    ODD,
    NULL};
const mutate_words_t mutate_header_words = {header_names, header_values};
const mutate_words_t mutate_claim_words = {claim_names, claim_values};
const mutate_words_t mutate_key_words = {key_names, key_values};

unsigned int mutate_pick(unsigned int *seed, unsigned int n)
{
    *seed = *seed * 1664525u + 1013904223u;
    return n > 0 ? (unsigned int)((uint64_t)(*seed >> 8) * n >> 24) : 0;
}

static const char *word(const char *const *list, unsigned int *seed)
{
    unsigned int n = 0;
    while (list[n] != NULL)
        n++;
    return list[mutate_pick(seed, n)];
}

static json_t *read_value(const char *text)
{
    return json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

/* Some member's name, or a word. */
static const char *some_name(json_t *object, unsigned int *seed, const mutate_words_t *words)
{
    unsigned int skip = mutate_pick(seed, (unsigned int)json_object_size(object) + 1);
    void *at = json_object_iter(object);
    for (; at != NULL && skip > 0; skip--)
        at = json_object_iter_next(object, at);
    return at != NULL ? json_object_iter_key(at) : word(words->names, seed);
}

/* The bytes of a string, or the digits of a number, as libFuzzer changes them. */
static json_t *nudge(const json_t *value)
{
    char text[512];
    size_t len = 0;
    if (json_is_integer(value))
        return json_integer((json_int_t)((uint64_t)json_integer_value(value) + 1));
    if (!json_is_string(value) || json_string_length(value) >= sizeof text / 2)
        return json_real(json_number_value(value) * 2 + 1);
    len = json_string_length(value);
    memcpy(text, json_string_value(value), len);
    len = LLVMFuzzerMutate((uint8_t *)text, len, sizeof text);
    json_t *other = json_stringn(text, len);
    return other != NULL ? other : json_stringn_nocheck(text, len < 4 ? len : 4);
}

static json_t *in_array(json_t *value)
{
    json_t *array = json_array();
    json_array_append(array, value);
    return array;
}

static void change(json_t *object, unsigned int *seed, const mutate_words_t *words)
{
    /* The name is copied: what is done may free it. */
    char *name = strdup(some_name(object, seed, words));
    json_t *value = json_object_get(object, name);
    json_t *element = json_array_get(value, mutate_pick(seed, (unsigned int)json_array_size(value)));
    switch (mutate_pick(seed, 8)) {
    case 0:
        json_object_del(object, name);
        break;
    case 1:
        json_object_set_new(object, word(words->names, seed), value != NULL ? json_deep_copy(value) : json_null());
        break;
    case 2:
        if (value != NULL)
            json_object_set_new(object, name, in_array(value));
        break;
    case 3:
        if (json_is_object(value))
            change(value, seed, words);
        else if (json_is_object(element))
            change(element, seed, words);
        else if (json_is_array(value))
            json_array_append_new(value, read_value(word(words->values, seed)));
        break;
    case 4:
        if (value != NULL)
            json_object_set_new_nocheck(object, name, nudge(value));
        break;
    default:
        json_object_set_new(object, mutate_pick(seed, 3) > 0 ? name : word(words->names, seed),
                            read_value(word(words->values, seed)));
    }
    free(name);
}

/* A member once more, at the front: readers that take one of two have to refuse both. */
static size_t repeat(uint8_t *data, size_t size, size_t max, unsigned int *seed, const mutate_words_t *words)
{
    char member[600];
    int len =
        snprintf(member, sizeof member, "\"%s\":%s%s", word(words->names, seed), word(words->values, seed), size > 2 ? "," : "");
    if (size < 2 || data[0] != '{' || size + (size_t)len > max)
        return size;
    memmove(data + 1 + len, data + 1, size - 1);
    memcpy(data + 1, member, (size_t)len);
    return size + (size_t)len;
}

size_t mutate_json(uint8_t *data, size_t size, size_t max, unsigned int seed, const mutate_words_t *words)
{
    unsigned int what = mutate_pick(&seed, 16);
    json_t *object = what < 13 ? json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL) : NULL;
    if (!json_is_object(object)) {
        json_decref(object);
        return what == 15 ? repeat(data, size, max, &seed, words) : LLVMFuzzerMutate(data, size, max);
    }
    for (unsigned int n = 1 + mutate_pick(&seed, 3); n > 0; n--)
        change(object, &seed, words);
    size_t len = json_dumpb(object, (char *)data, max, JSON_COMPACT | (what == 12 ? JSON_ENSURE_ASCII : 0));
    json_decref(object);
    return len <= max && len > 0 ? len : LLVMFuzzerMutate(data, size, max);
}

size_t mutate_two_lines(uint8_t *data, size_t size, size_t max, unsigned int seed, const mutate_words_t *first,
                        const mutate_words_t *second)
{
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t head = newline != NULL ? (size_t)(newline - data) : size;
    size_t tail = size - head; /* with its newline */
    if (newline == NULL || mutate_pick(&seed, 16) == 0)
        return LLVMFuzzerMutate(data, size, max);
    if (mutate_pick(&seed, 4) > 0)
        return head + 1 + mutate_json(data + head + 1, tail - 1, max - head - 1, seed, second);
    uint8_t *kept = malloc(tail);
    memcpy(kept, data + head, tail);
    head = mutate_json(data, head, max - tail, seed, first);
    memcpy(data + head, kept, tail);
    free(kept);
    return head + tail;
}
