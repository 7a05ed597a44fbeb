/*
 * worst.c: every door that takes outside bytes, and the shapes of input that cost most there, in three sizes: a quarter, a half, and
 * all of what may come (of files and large bodies 64 KiB, which is enough to see how the work grows).
 *
 *     worst           a line of JSON for each: door, shape, bytes, and the most memory that was held meanwhile
 *     worst square    one more, whose work grows as the square of its size, to see that it does not go unseen
 *
 * Under callgrind each input is one_input(), and input_done() comes after it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_allocator.h>
#include <apr_general.h>
#include <apr_strings.h>

#include "counted.h"
#include "tr_admin.h"
#include "tr_backchannel.h"
#include "tr_base64url.h"
#include "tr_client.h"
#include "tr_guard.h"
#include "tr_limits.h"
#include "tr_logout.h"
#include "tr_oauth.h"
#include "tr_testing_gate.h"

#define FILE_LEN 65536
#define FIELD_LEN 8190 /* bytes that httpd takes in one field, as it comes */
#define CLAIMS_LEN (TR_MAX_TOKEN_LEN / 4 * 3 - 400)

static tt_world_t *world;
static const tr_keep_t keep = {60, 0};

/* ---- shapes: fill text with n bytes -------------------------------------------------------------------------- */

/* Pieces, one after the other; a piece may have the number of it. */
static void repeat(char *text, size_t n, const char *piece)
{
    char one[256];
    size_t at = 0;

    for (int i = 0;; i++) {
        int len = snprintf(one, sizeof(one), piece, i);

        if (at + (size_t)len > n) {
            break;
        }
        memcpy(text + at, one, (size_t)len);
        at += (size_t)len;
    }
    memset(text + at, ' ', n - at);
}

typedef struct shape_t {
    const char *name, *begin, *piece, *end;
} shape_t;

#define NESTED_16 "[[[[[[[[[[[[[[[["
#define CLOSED_16 "]]]]]]]]]]]]]]]]"

/* Members of an object; begin and end stand around the pieces. */
static const shape_t json_shapes[] = {
    {"members", "", "\"k%d\":0,", "\"z\":0"},
    {"long names", "", "\"a name that is as good as any other and longer %d\":\"\",", "\"z\":0"},
    {"like names", "", "\"%016d\":1,", "\"z\":0"},
    {"same twice", "\"z\":0,", "\"k%d\":0,", "\"z\":0"},
    {"nested", "\"a\":[", NESTED_16 CLOSED_16 ",", "0]"},
    {"objects", "\"a\":[", "{\"a\":{\"a\":{\"a\":{}}}},", "0]"},
    {"never closed", "\"a\":", "[", ""},
    {"empty", "\"a\":[", "[],{},\"\",", "0]"},
    {"escapes", "\"a\":\"", "\\u00e9\\n\\\"", "\""},
    {"pairs", "\"a\":\"", "\\ud83d\\ude00", "\""},
    {"letters", "\"a\":\"", "\xc3\xa9\xe2\x82\xac", "\""},
    {"digits", "\"a\":0.", "1234567890", "1"},
    {"integer", "\"a\":1", "0000000000", "1"},
    {"small exponent", "\"a\":1e-", "0000000000", "1"},
    {"numbers", "\"a\":[", "1e9,-0.5,", "0]"},
    {"blanks", "\"a\":", "\n\t ", "0"},
};

static const shape_t form_shapes[] = {
    {"ampersands", "", "&", ""},        {"escapes", "token=", "%%41", ""}, {"names", "", "n%d=v&", "token=a"},
    {"equals", "token=", "=", ""},      {"plus", "token=", "+", ""},       {"plain", "token=", "a", ""},
    {"long name", "", "a", "=b&token"},
};

static const shape_t cookie_shapes[] = {
    {"many", "", "a=b; ", "session=x"}, {"same", "", "session=; ", "session=x"}, {"separators", "", ";", ""},
    {"commas", "", "session=,", ""},    {"quotes", "session=\"", "\"", "\""},    {"one", "session=", "x", ""},
    {"blanks", "session=", " ", ";"},   {"equals", "", "=", "session=a"},
};

static const shape_t plain_shapes[] = {
    {"dots", "", ".", ""},      {"no dot", "", "e", ""},     {"short parts", "", "eA.", ""},
    {"percents", "", "%%", ""}, {"escapes", "", "%%2F", ""},
};

static const shape_t target_shapes[] = {
    {"path", "/", "a", ""},
    {"slashes", "/", "a/", ""},
    {"question marks", "/", "?", ""},
    {"hashes", "/a", "#", ""},
};

static const shape_t keyset_shapes[] = {
    {"keys", "\"keys\":[", "{\"kty\":\"EC\",\"kid\":\"%d\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"},", "{}]"},
    {"no keys", "\"keys\":[", "{},", "{}]"},
    {"modulus", "\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"", "x", "\"}]"},
    {"operations", "\"keys\":[{\"kty\":\"EC\",\"key_ops\":[", "\"verify\",", "\"verify\"]}]"},
};

static const shape_t file_shapes[] = {
    {"lines", "", "client-%d:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\n", ""},
    {"empty lines", "", "\n", ""},
    {"escaped", "", "%%41%d:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\n", ""},
    {"comments", "", "#\n", ""},
    {"same", "", "app:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\n", ""},
    {"public", "", "%d:\n", ""},
    {"colons", "a", ":", ""},
};

static const shape_t pem_shapes[] = {
    {"begins", "", "-----BEGIN PUBLIC KEY-----\n", ""},
    {"blocks", "", "-----BEGIN X-----\nAAAA\n-----END X-----\n", ""},
    {"never ends", "-----BEGIN PUBLIC KEY-----\n", "AAAA\n", ""},
    {"body", "-----BEGIN PUBLIC KEY-----\n", "MIIB\n", "-----END PUBLIC KEY-----\n"},
    {"hyphens", "", "-", ""},
};

static const shape_t admin_shapes[] = {
    {"items", "[",
     "{\"kind\":\"subject\",\"iss\":\"" TT_ISS
     "\",\"value\":\"%d\",\"reason\":\"" NESTED_16 NESTED_16 NESTED_16 NESTED_16 NESTED_16 NESTED_16 "\"},",
     "{}]"},
    {"empty items", "[", "{},", "{}]"},
};

/* ---- doors --------------------------------------------------------------------------------------------------- */

typedef void (*door_fn)(tr_str_t text, apr_pool_t *pool);

static void ask_gate(const char *header, const char *claims, apr_pool_t *pool)
{
    tr_identity_t identity;
    char *token = apr_pstrcat(pool, tr_base64url_encode(tr_str_z(header), pool), ".", tr_base64url_encode(tr_str_z(claims), pool),
                              ".AAAA", NULL);

    if (tr_gate_admit(&identity, &world->gate, tr_str_z(token), "sub", TT_AT(TT_NOW), pool) == APR_SUCCESS) {
        exit(3);
    }
}

static void claims_door(tr_str_t text, apr_pool_t *pool)
{
    ask_gate("{\"alg\":\"ES256\",\"kid\":\"nobody\"}", apr_pstrcat(pool, "{\"iss\":\"" TT_ISS "\",", text.data, "}", NULL), pool);
}

static void header_door(tr_str_t text, apr_pool_t *pool)
{
    ask_gate(apr_pstrcat(pool, "{\"alg\":\"ES256\",\"kid\":\"nobody\",", text.data, "}", NULL), "{\"iss\":\"" TT_ISS "\"}", pool);
}

static void token_door(tr_str_t text, apr_pool_t *pool)
{
    tr_identity_t identity;

    if (tr_gate_admit(&identity, &world->gate, text, "sub", TT_AT(TT_NOW), pool) == APR_SUCCESS) {
        exit(3);
    }
}

static void logout_token_door(tr_str_t text, apr_pool_t *pool)
{
    tr_logout_token_t out;
    const char *why;
    char *token = apr_pstrcat(pool, tr_base64url_encode(tr_str_z("{\"alg\":\"ES256\",\"typ\":\"logout+jwt\"}"), pool), ".",
                              tr_base64url_encode(tr_str_z(apr_pstrcat(pool, "{", text.data, "}", NULL)), pool), ".AAAA", NULL);

    if (tr_logout_token_read(&out, &why, &world->gate, tr_str_z(token), &keep, TT_AT(TT_NOW), pool) == APR_SUCCESS) {
        exit(3);
    }
}

static void keyset_door(tr_str_t text, apr_pool_t *pool)
{
    tr_keys_t *keys;
    const char *why;

    (void)!tr_keys_from_jwks(&keys, &why, tr_str_z(apr_pstrcat(pool, "{", text.data, "}", NULL)), pool);
}

static void pem_door(tr_str_t text, apr_pool_t *pool)
{
    const tr_key_t *key;
    const char *why;

    (void)!tr_key_from_pem(&key, &why, text, tr_str_z("kid"), pool);
}

static void form_door(tr_str_t text, apr_pool_t *pool)
{
    tr_params_t *params;
    const char *why;

    (void)!tr_params_from_form(&params, &why, text, pool);
}

static void json_door(tr_str_t text, apr_pool_t *pool)
{
    tr_params_t *params;
    const char *why;

    (void)!tr_params_from_json(&params, &why, tr_str_z(apr_pstrcat(pool, "{", text.data, "}", NULL)), pool);
}

static void grant_form_door(tr_str_t text, apr_pool_t *pool)
{
    tr_grant_t grant;

    memset(&grant, 0, sizeof(grant));
    tr_grant_read_body(&grant, tr_grant_body("application/x-www-form-urlencoded", pool), text, pool);
}

static void grant_json_door(tr_str_t text, apr_pool_t *pool)
{
    tr_grant_t grant;

    memset(&grant, 0, sizeof(grant));
    tr_grant_read_body(&grant, tr_grant_body("application/json", pool), tr_str_z(apr_pstrcat(pool, "{", text.data, "}", NULL)),
                       pool);
}

static void cookie_door(tr_str_t text, apr_pool_t *pool)
{
    tr_str_t value, rest = text;

    (void)tr_cookie_find(&value, text, tr_str_z("session"));
    (void)tr_cookie_strip(text, tr_str_z("session"), pool);
    while (tr_cookie_next(&value, &rest, tr_str_z("session"))) {
    }
}

static void target_door(tr_str_t text, apr_pool_t *pool)
{
    apr_array_header_t *targets = apr_array_make(pool, 2, sizeof(const char *));

    APR_ARRAY_PUSH(targets, const char *) = "/bye.html";
    APR_ARRAY_PUSH(targets, const char *) = "https://app.test/done";
    (void)tr_logout_target(targets, text, text, pool);
}

static void clients_door(tr_str_t text, apr_pool_t *pool)
{
    tr_clients_t *clients;
    const char *why;

    if (tr_clients_parse(&clients, &why, text, pool) == APR_SUCCESS) {
        (void)tr_clients_hash(clients, tr_str_z("nobody"));
    }
}

static void credentials_door(tr_str_t text, apr_pool_t *pool)
{
    tr_credentials_t credentials;
    const char *why;
    char *pair = apr_pstrcat(pool, text.data, ":", text.data, NULL);

    (void)!tr_credentials_read(&credentials, &why, apr_pstrcat(pool, "Basic ", tt_b64(pool, pair, strlen(pair)), NULL), NULL,
                               pool);
}

static void admin_door(tr_str_t text, apr_pool_t *pool)
{
    tr_admin_context_t context = {.issuers = world->gate.issuers, .keep = &keep, .now = TT_AT(TT_NOW)};
    tr_revocation_t *list;
    tr_problem_t problem;
    int n;

    (void)!tr_admin_read(&list, &n, &problem, text, &context, pool);
}

static void square_door(tr_str_t text, apr_pool_t *pool)
{
    unsigned int sum = 0;

    for (size_t i = 0; i < text.len; i++) {
        for (size_t j = 0; j < text.len / 64; j++) {
            sum = sum * 31 + (unsigned char)text.data[j];
        }
    }
    apr_psprintf(pool, "%u", sum);
}

#define SHAPES(of) of, sizeof(of) / sizeof((of)[0])

static const struct {
    const char *name;
    door_fn open;
    size_t max_len;
    const shape_t *shape;
    size_t shapes;
} doors[] = {
    {"claims", claims_door, CLAIMS_LEN, SHAPES(json_shapes)},
    {"header", header_door, CLAIMS_LEN, json_shapes, 6},
    {"logout token", logout_token_door, CLAIMS_LEN, json_shapes, 6},
    {"token", token_door, TR_MAX_TOKEN_LEN, SHAPES(plain_shapes)},
    {"json body", json_door, TR_MAX_BODY_LEN - 2, SHAPES(json_shapes)},
    {"form body", form_door, TR_MAX_BODY_LEN, SHAPES(form_shapes)},
    {"grant form", grant_form_door, TR_MAX_BODY_LEN, SHAPES(form_shapes)},
    {"grant json", grant_json_door, TR_MAX_BODY_LEN / 2, SHAPES(json_shapes)},
    {"key set", keyset_door, FILE_LEN, SHAPES(keyset_shapes)},
    {"key set members", keyset_door, TR_MAX_BODY_LEN / 4, json_shapes, 6},
    {"pem", pem_door, FILE_LEN / 2, SHAPES(pem_shapes)},
    {"cookie", cookie_door, FIELD_LEN, SHAPES(cookie_shapes)},
    {"redirect target", target_door, FIELD_LEN, SHAPES(target_shapes)},
    {"clients", clients_door, FILE_LEN, SHAPES(file_shapes)},
    {"credentials", credentials_door, FIELD_LEN / 3, SHAPES(plain_shapes)},
    {"admin", admin_door, FILE_LEN, SHAPES(admin_shapes)},
    {"square", square_door, FIELD_LEN, plain_shapes, 1},
};
#define DOORS (sizeof(doors) / sizeof(doors[0]))

/* ---- counting ------------------------------------------------------------------------------------------------ */

void one_input(door_fn door, tr_str_t text, apr_pool_t *pool);
void input_done(const char *name);

void one_input(door_fn door, tr_str_t text, apr_pool_t *pool)
{
    door(text, pool);
}

void input_done(const char *name)
{
    (void)name;
    fflush(stdout);
}

static void (*volatile input)(door_fn, tr_str_t, apr_pool_t *) = one_input;
static void (*volatile done)(const char *) = input_done;

static char *fill(const shape_t *shape, size_t n)
{
    size_t head = strlen(shape->begin), tail = strlen(shape->end);
    char *text = malloc(n + 1);

    memcpy(text, shape->begin, head);
    repeat(text + head, n - head - tail, shape->piece);
    memcpy(text + n - tail, shape->end, tail);
    text[n] = '\0';
    return text;
}

static void run(size_t d, const shape_t *shape, size_t n)
{
    char *text = fill(shape, n);
    apr_allocator_t *allocator;
    apr_pool_t *pool;
    long before;

    if (apr_allocator_create(&allocator) != APR_SUCCESS || apr_pool_create_ex(&pool, NULL, NULL, allocator) != APR_SUCCESS) {
        exit(2);
    }
    apr_allocator_owner_set(allocator, pool);
    before = counted.peak = counted.held;
    input(doors[d].open, tr_str(text, n), pool);
    printf("{\"door\": \"%s\", \"shape\": \"%s\", \"bytes\": %zu, \"memory\": %ld}\n", doors[d].name, shape->name, n,
           counted.peak - before);
    done(doors[d].name);
    apr_pool_destroy(pool);
    free(text);
}

int main(int argc, char **argv)
{
    bool is_square = argc > 1 && strcmp(argv[1], "square") == 0;
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    world = tt_world(pool, 100);
    for (size_t d = is_square ? DOORS - 1 : 0; d < (is_square ? DOORS : DOORS - 1); d++) {
        doors[d].open(tr_str_z(""), pool); /* what libraries do once */
        for (size_t i = 0; i < doors[d].shapes; i++) {
            for (int part = 4; part > 0; part /= 2) {
                run(d, &doors[d].shape[i], doors[d].max_len / (size_t)part);
            }
        }
    }
    tt_keys_free();
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
