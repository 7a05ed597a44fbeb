/* tr_client.c: are a client's credentials good? Every wrong answer costs the same, whatever is wrong. */
#include "tr_client.h"

#include <apr_md5.h>
#include <apr_strings.h>

/* ---- the cache --------------------------------------------------------------------------------------------- */

#define NEAR 4 /* places looked at for one mark */

apr_status_t tr_client_cache_init(tr_client_cache_t *cache)
{
    return tr_random(&cache->key, sizeof(cache->key));
}

static void feed(tr_siphash_t *h, const char *data, apr_size_t len)
{
    uint64_t n = len;

    tr_siphash_feed(h, &n, sizeof(n));
    tr_siphash_feed(h, data, len);
}

static void make_mark(uint64_t out[2], const tr_client_cache_t *cache, tr_str_t id, tr_str_t secret, const char *hash)
{
    tr_siphash_t h;

    tr_siphash_init(&h, &cache->key);
    feed(&h, id.data, id.len);
    feed(&h, secret.data, secret.len);
    feed(&h, hash, strlen(hash));
    tr_siphash_done(out, &h);
}

static bool is_cached(tr_client_cache_t *cache, const uint64_t mark[2])
{
    for (uint64_t i = 0; i < NEAR; i++) {
        _Atomic uint64_t *at = cache->mark[(mark[0] + i) % TR_CLIENT_CACHE_SLOTS];

        if (atomic_load_explicit(&at[0], memory_order_relaxed) == mark[0] &&
            atomic_load_explicit(&at[1], memory_order_relaxed) == mark[1]) {
            return true;
        }
    }
    return false;
}

/* Two threads in one place leave halves of two marks at worst, which fit nobody. */
static void put_into_cache(tr_client_cache_t *cache, const uint64_t mark[2])
{
    uint64_t at = mark[0] + mark[1] % NEAR;

    for (uint64_t i = 0; i < NEAR; i++) {
        if (atomic_load_explicit(&cache->mark[(mark[0] + i) % TR_CLIENT_CACHE_SLOTS][0], memory_order_relaxed) == 0) {
            at = mark[0] + i;
            break;
        }
    }
    atomic_store_explicit(&cache->mark[at % TR_CLIENT_CACHE_SLOTS][0], mark[0], memory_order_relaxed);
    atomic_store_explicit(&cache->mark[at % TR_CLIENT_CACHE_SLOTS][1], mark[1], memory_order_relaxed);
}

/* ---- authentication ---------------------------------------------------------------------------------------- */

typedef struct trial_t {
    const char *hash; /* what the secret is checked against; NULL: the file has no secrets at all */
    bool counts;      /* it is the client's own */
    uint64_t mark[2];
} trial_t;

static void prepare(trial_t *out, const tr_clients_t *clients, tr_str_t id, tr_str_t secret, const tr_client_cache_t *cache)
{
    const char *own = tr_clients_hash(clients, id);
    const char *other = tr_clients_other_hash(clients, id);

    out->counts = own != NULL && own[0] != '\0';
    out->hash = out->counts ? own : other;
    if (cache != NULL && out->hash != NULL) {
        make_mark(out->mark, cache, id, secret, out->hash);
    }
}

static apr_status_t check_secret(tr_client_t *out, const tr_clients_t *clients, const tr_credentials_t *c,
                                 tr_client_cache_t *cache)
{
    trial_t trial[TR_READINGS];

    out->kind = TR_CLIENT_CONFIDENTIAL;
    /* All readings are looked for first: a client that is read right the second time must not pay for the first. */
    for (int i = 0; i < c->readings; i++) {
        prepare(&trial[i], clients, c->id[i], c->secret[i], cache);
        if (cache != NULL && trial[i].counts && is_cached(cache, trial[i].mark)) {
            out->id = c->id[i];
            return APR_SUCCESS;
        }
    }
    for (int i = 0; i < c->readings; i++) {
        bool fits = trial[i].hash != NULL && apr_password_validate(c->secret[i].data, trial[i].hash) == APR_SUCCESS;

        if (fits && trial[i].counts) {
            if (cache != NULL) {
                put_into_cache(cache, trial[i].mark);
            }
            out->id = c->id[i];
            return APR_SUCCESS;
        }
    }
    return APR_EACCES;
}

apr_status_t tr_client_authenticate(tr_client_t *out, const tr_clients_t *clients, const tr_credentials_t *credentials,
                                    tr_client_cache_t *cache)
{
    const char *hash;

    memset(out, 0, sizeof(*out));
    if (credentials->readings == 0) {
        return APR_EACCES;
    }
    if (credentials->has_secret) {
        apr_status_t rv = check_secret(out, clients, credentials, cache);

        if (rv != APR_SUCCESS) {
            memset(out, 0, sizeof(*out));
        }
        return rv;
    }
    hash = tr_clients_hash(clients, credentials->id[0]);
    if (hash == NULL || hash[0] != '\0') {
        return APR_EACCES;
    }
    out->kind = TR_CLIENT_PUBLIC;
    out->id = credentials->id[0];
    return APR_SUCCESS;
}

/* ---- what a client is told --------------------------------------------------------------------------------- */

static void answer(tr_answer_t *out, tr_answers_t answers, int status, const char *code, const char *sentence, apr_pool_t *pool)
{
    memset(out, 0, sizeof(*out));
    out->verdict = APR_EACCES;
    out->detail = sentence;
    tr_answer_error(out, answers, status, code, answers == TR_ANSWERS_STRICT ? code : sentence, pool);
}

void tr_client_refuse(tr_answer_t *out, tr_answers_t answers, const char *realm, apr_pool_t *pool)
{
    answer(out, answers, 401, "invalid_client", "Client authentication failed", pool);
    out->challenge = apr_pstrcat(pool, "Basic realm=\"", realm, "\"", NULL);
}

void tr_client_throttle(tr_answer_t *out, tr_answers_t answers, int wait_s, apr_pool_t *pool)
{
    answer(out, answers, 429, "invalid_client", "Client authentication failed too often", pool);
    out->retry_after_s = wait_s;
}

void tr_client_unavailable(tr_answer_t *out, tr_answers_t answers, apr_pool_t *pool)
{
    answer(out, answers, 503, "temporarily_unavailable", "Clients cannot be authenticated now", pool);
    out->retry_after_s = TR_RETRY_AFTER_S;
}
