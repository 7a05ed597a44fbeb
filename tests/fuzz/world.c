/*
 * world.c: see world.h. The keys are in world_keys.h, which make-seeds wrote together with the first inputs.
 */
#include "world.h"

#include <apr_strings.h>
#include <jansson.h>
#include <openssl/hmac.h>
#include <sanitizer/lsan_interface.h>

#include "tr_base64url.h"
#include "tr_reason.h"
#include "tr_recent.h"
#include "world_keys.h"

enum { CAPACITY = 64 };

static world_t world;
static apr_global_mutex_t *lock;
static tr_str_t secret;

static apr_status_t release(void *base)
{
    free(base);
    return APR_SUCCESS;
}

tr_table_t *world_table(uint32_t capacity, apr_pool_t *pool)
{
    apr_size_t size = tr_table_size(capacity);
    tr_table_t *table = NULL;
    void *base = NULL;
    ALWAYS(posix_memalign(&base, 64, size) == 0);
    memset(base, 0, size);
    apr_pool_cleanup_register(pool, base, release, apr_pool_cleanup_null);
    ALWAYS(tr_table_create(&table, base, size, capacity, NULL, pool) == APR_SUCCESS);
    return table;
}

tr_ledger_t *world_ledger(tr_table_t *table, apr_pool_t *pool)
{
    return tr_ledger_make(table, lock, NULL, NULL, pool);
}

static tr_verified_t *make_memory(uint32_t tokens, apr_pool_t *pool)
{
    apr_size_t size = tr_verified_size(tokens);
    tr_verified_t *verified = NULL;
    void *base = NULL;
    ALWAYS(posix_memalign(&base, 64, size) == 0);
    memset(base, 0, size);
    apr_pool_cleanup_register(pool, base, release, apr_pool_cleanup_null);
    ALWAYS(tr_verified_create(&verified, base, size, tokens, pool) == APR_SUCCESS);
    return verified;
}

static apr_array_header_t *list_of(const char *item, apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_make(pool, 1, sizeof(const char *));
    *(const char **)apr_array_push(list) = item;
    return list;
}

static tr_issuer_t *add_issuer(const char *iss, const tr_keys_t *keys, apr_pool_t *pool)
{
    tr_issuer_t *issuer = apr_pcalloc(pool, sizeof *issuer);
    issuer->iss = iss;
    issuer->keyring = tr_keyring_make(pool);
    issuer->skew_s = 60;
    issuer->max_lifetime_s = 86400;
    for (apr_size_t i = 0; i < keys->count; i++)
        tr_keyring_add(issuer->keyring, keys->key[i]);
    apr_hash_set(world.gate.issuers, iss, APR_HASH_KEY_STRING, issuer);
    return issuer;
}

/* One issuer with no rules, one with all of them, and one for everybody else. */
static void make_world(void)
{
    apr_pool_t *pool;
    tr_keys_t *keys;
    const char *why;
    ALWAYS(apr_initialize() == APR_SUCCESS);
    apr_pool_create(&pool, NULL);
    ALWAYS(tr_keys_from_jwks(&keys, &why, tr_str_z(world_jwks), pool) == APR_SUCCESS && keys->count == 8);
    ALWAYS(tr_base64url_decode(&secret, tr_str_z(world_secret), pool) == APR_SUCCESS);
    world.gate.issuers = apr_hash_make(pool);
    add_issuer("https://idp.example.com/", keys, pool);
    add_issuer("*", keys, pool);
    tr_issuer_t *strict = add_issuer("joe", keys, pool);
    strict->algs = TR_ALG_HS_SET | TR_ALG_BIT(TR_ALG_ES256);
    strict->audiences = list_of("api", pool);
    strict->types = list_of("at+jwt", pool);
    strict->use_claim = "token_use";
    strict->use_values = list_of("access", pool);
    world.table = world_table(CAPACITY, pool);
    world.gate.table = world.table;
    world.remembering = world.gate;
    world.remembering.generation = tr_generation_make(world.gate.issuers, pool);
    world.remembering.verified = make_memory(CAPACITY, pool);
    world.remembering.recent = tr_recent_make(64, 1 << 20);
    ALWAYS(world.remembering.recent != NULL);
    ALWAYS(apr_global_mutex_create(&lock, NULL, APR_LOCK_DEFAULT, pool) == APR_SUCCESS);
    world.ledger = tr_ledger_make(world.table, lock, NULL, NULL, pool);
}

world_t *world_for_one_input(void)
{
    if (!world.table) {
        __lsan_disable(); /* it stays to the end */
        make_world();
        __lsan_enable();
    }
    apr_pool_create(&world.pool, NULL);
    return &world;
}

void world_done(void)
{
    apr_pool_destroy(world.pool);
}

static bool names(tr_str_t header, const char *word)
{
    return header.len >= strlen(word) && memmem(header.data, header.len, word, strlen(word)) != NULL;
}

char *world_sign_as(const char *alg, tr_str_t header, tr_str_t payload, apr_pool_t *pool)
{
    bool is_384 = alg != NULL && strcmp(alg, "HS384") == 0, is_512 = alg != NULL && strcmp(alg, "HS512") == 0;
    const EVP_MD *md = is_384 ? EVP_sha384() : is_512 ? EVP_sha512() : EVP_sha256();
    char *input = apr_pstrcat(pool, tr_base64url_encode(header, pool), ".", tr_base64url_encode(payload, pool), NULL);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    ALWAYS(HMAC(md, secret.data, (int)secret.len, (unsigned char *)input, strlen(input), mac, &len) != NULL);
    return apr_pstrcat(pool, input, ".", tr_base64url_encode(tr_str((char *)mac, len), pool), NULL);
}

char *world_sign(tr_str_t header, tr_str_t payload, apr_pool_t *pool)
{
    return world_sign_as(names(header, "HS384") ? "HS384" : names(header, "HS512") ? "HS512" : "HS256", header, payload, pool);
}

bool world_is_json_object(const char *text)
{
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    bool object = json_is_object(value);
    json_decref(value);
    return object;
}

static void ask_one_way(world_t *w, tr_body_type_t type, tr_str_t body, tr_answers_t answers)
{
    static const tr_keep_t keep = {60, 0};
    tr_revoke_request_t request;
    tr_answer_t answer;
    tr_params_t *params;
    const char *why;
    memset(&request, 0, sizeof request);
    memset(&answer, 0xee, sizeof answer);
    request.type = type;
    request.answers = answers;
    request.keep = &keep;
    request.cascade = TR_SCOPE_SUBJECT;
    request.is_known = true;
    request.opaque_s = 60;
    request.wall = request.now = request.clean_now = WORLD_NOW;
    if (tr_params_from_body(&params, &why, type, body, w->pool) == APR_SUCCESS) {
        request.params = params;
        tr_revoke_answer(&answer, &request, &w->gate, w->ledger, w->pool);
    }
    else {
        tr_answer_refuse(&answer, answers, 400, why, w->pool);
    }
    ALWAYS(world_is_json_object(answer.body));
    bool strict = answers == TR_ANSWERS_STRICT;
    ALWAYS(answer.status == 200 || answer.status == 400 ||
           (strict ? answer.status == 401 || answer.status == 500 : answer.status == 503));
    ALWAYS((answer.challenge != NULL) == (answer.status == 401));
    ALWAYS(!strict || (answer.status == 200) == (answer.verdict == APR_SUCCESS));
    ALWAYS(answer.verdict == APR_SUCCESS || answer.verdict == APR_ENOSPC || answer.status == 400 ||
           tr_is_refusal(answer.verdict));
    ALWAYS(answer.fingerprint == NULL || strlen(answer.fingerprint) == TR_FINGERPRINT_LEN);
}

void world_ask(world_t *w, tr_body_type_t type, tr_str_t body)
{
    ask_one_way(w, type, body, TR_ANSWERS_STRICT);
    ask_one_way(w, type, body, TR_ANSWERS_RFC7009);
}
