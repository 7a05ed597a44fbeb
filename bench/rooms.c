/*
 * rooms.c: what each room costs by itself, from the bytes up to the gate (rooms_gate.c).
 *
 *     rooms [--json FILE] [ROOM...]
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <apr_general.h>

#include "measure.h"
#include "rooms.h"
#include "tr_base64url.h"
#include "tr_digest.h"
#include "tr_json.h"
#include "tr_testing_gate.h"

static apr_pool_t *scratch;

apr_pool_t *some_pool(uint64_t i)
{
    if (i % 64 == 0) {
        apr_pool_clear(scratch);
    }
    return scratch;
}

/* ---- base -------------------------------------------------------------------------------------------------- */

static bool call_siphash(void *baton, uint64_t i)
{
    static const tr_siphash_key_t key = {1, 2};
    tr_str_t *text = baton;
    tr_siphash_t h;
    uint64_t out[2];

    (void)i;
    tr_siphash_init(&h, &key);
    tr_siphash_feed(&h, text->data, text->len);
    tr_siphash_done(out, &h);
    return out[0] != 0;
}

static bool call_sha256(void *baton, uint64_t i)
{
    unsigned char out[TR_SHA256_LEN];

    (void)i;
    return tr_sha256(out, *(tr_str_t *)baton) == APR_SUCCESS;
}

/* Another text each time: a processor soon knows one by heart. */
#define TEXTS 512

static bool call_decode(void *baton, uint64_t i)
{
    tr_str_t out;

    return tr_base64url_decode(&out, ((tr_str_t *)baton)[i % TEXTS], some_pool(i)) == APR_SUCCESS;
}

static bool call_json(void *baton, uint64_t i)
{
    const tr_json_t *out;

    return tr_json_parse(&out, *(tr_str_t *)baton, some_pool(i)) == APR_SUCCESS;
}

/* 295 bytes, as a provider writes them. */
static const char claims[] = "{\"iss\":\"https://idp.example.com/realms/shop\",\"sub\":\"5b1f9f2e-8b1c-4a52-9f0e-2f3c1d6f7a11\","
                             "\"aud\":[\"api\",\"account\"],\"exp\":1700003600,\"iat\":1699999940,\"jti\":"
                             "\"0b0f6a8a-5a66-4f3c-8f57-3f5c2d7d9f10\",\"sid\":\"9f3c1d6f7a115b1f9f2e8b1c4a52\",\"scope\":"
                             "\"openid profile email\",\"azp\":\"web\",\"name\":\"Alice\"}";

static void measure_base(apr_pool_t *pool)
{
    tr_str_t short_text = tr_str_z("https://idp.example.com/ and a token");
    tr_str_t long_text = tr_str_z(tt_repeat(pool, "0123456789", 60));
    static tr_str_t encoded[TEXTS];
    uint64_t seed = 1;
    tr_str_t text = tr_str_z(claims);

    measure("base", "SipHash-2-4-128 of 36 bytes", call_siphash, &short_text);
    measure("base", "SipHash-2-4-128 of 600 bytes", call_siphash, &long_text);
    measure("base", "SHA-256 of 600 bytes", call_sha256, &long_text);
    for (int i = 0; i < TEXTS; i++) {
        uint64_t bytes[37];

        for (int k = 0; k < 37; k++) {
            bytes[k] = tt_random(&seed);
        }
        encoded[i] = tr_str_z(tt_b64(pool, bytes, sizeof(bytes)));
    }
    measure("base", tt_print(pool, "base64url of %d characters", (int)encoded[0].len), call_decode, encoded);
    measure("base", tt_print(pool, "JSON, %d bytes of claims", (int)text.len), call_json, &text);
}

/* ---- jose -------------------------------------------------------------------------------------------------- */

typedef struct signed_t {
    const char *text;
    const tr_key_t *key;
    tr_jws_t jws;
} signed_t;

static bool call_parse(void *baton, uint64_t i)
{
    tr_jws_t jws;

    return tr_jws_parse(&jws, tr_str_z(((signed_t *)baton)->text), some_pool(i)) == APR_SUCCESS;
}

static bool call_verify(void *baton, uint64_t i)
{
    const signed_t *s = baton;

    (void)i;
    return tr_jws_verify(&s->jws, s->key) == APR_SUCCESS;
}

static void measure_jose(apr_pool_t *pool)
{
    static const struct {
        const char *alg, *key;
    } signatures[] = {{"RS256", "RSA2048"}, {"RS256", "RSA4096"}, {"PS256", "RSA2048"},    {"ES256", "P-256"},
                      {"ES384", "P-384"},   {"ES512", "P-521"},   {"ES256K", "secp256k1"}, {"Ed25519", "Ed25519"},
                      {"Ed448", "Ed448"},   {"HS256", "oct32"},   {"HS512", "oct64"}};

    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        const tt_key_t *pair = tt_key(signatures[i].key);
        signed_t s;

        s.text = tt_mint(pool, signatures[i].alg, pair, "2026-11", claims);
        s.key = tt_read_jwk(pool, tt_jwk(pool, pair, ""));
        if (s.key == NULL || tr_jws_parse(&s.jws, tr_str_z(s.text), pool) != APR_SUCCESS) {
            fprintf(stderr, "no key or token for %s\n", signatures[i].alg);
            exit(1);
        }
        if (i == 0) {
            measure("jose", tt_print(pool, "a JWS of %d characters taken apart", (int)s.jws.text.len), call_parse, &s);
        }
        measure("jose",
                tt_print(pool, "%s, key %s, %d bytes", signatures[i].alg, signatures[i].key, (int)s.jws.signing_input.len),
                call_verify, &s);
    }
}

/* ---- table ------------------------------------------------------------------------------------------------- */

typedef struct looks_t {
    const tr_table_t *table;
    uint64_t seed, found;
    uint32_t entries;
    bool hit;
    tr_mark_t *marks; /* of the entries */
} looks_t;

/* The next place depends on what was found, so that one look-up waits for the one before, as in a request. */
static bool call_lookup(void *baton, uint64_t i)
{
    looks_t *l = baton;
    tr_mark_t mark;
    bool found;

    (void)i;
    l->seed += l->found;
    mark.h[0] = tt_random(&l->seed);
    mark.h[1] = l->seed;
    if (l->hit) {
        mark = l->marks[mark.h[0] % l->entries];
    }
    found = tr_table_lookup(l->table, NULL, mark);
    l->found = found;
    return found == l->hit;
}

/* The six marks of a token: fetched together, then looked at. */
static bool call_six(void *baton, uint64_t i)
{
    looks_t *l = baton;
    tr_mark_t mark[6];

    (void)i;
    l->seed += l->found;
    for (int k = 0; k < 6; k++) {
        mark[k].h[0] = tt_random(&l->seed);
        mark[k].h[1] = l->seed;
        tr_table_prefetch(l->table, mark[k]);
    }
    for (int k = 0; k < 6; k++) {
        l->found = tr_table_lookup(l->table, NULL, mark[k]);
        if (l->found) {
            return false;
        }
    }
    return true;
}

static void fill(tr_table_t *table, looks_t *l, uint32_t entries)
{
    tr_table_begin_locked(table);
    for (uint32_t n = 0; n < entries; n++) {
        char jti[24];
        tr_entry_t e = {TR_KIND_TOKEN, tr_str_z(TT_ISS), {jti, 0}, 0, TT_NOW + 3600};

        e.value.len = (apr_size_t)snprintf(jti, sizeof(jti), "t%u", n);
        if (tr_table_insert_locked(table, &e, TT_NOW) != APR_SUCCESS) {
            fprintf(stderr, "the table of %u is full at %u\n", entries, n);
            exit(1);
        }
        if (n % (entries / l->entries) == 0) {
            l->marks[n / (entries / l->entries)] = tr_table_mark(table, e.kind, e.issuer, e.value);
        }
    }
    tr_table_end_locked(table);
}

/* Shared, as in httpd. */
static void measure_table_of(uint32_t capacity, const char *name, apr_pool_t *pool)
{
    apr_size_t size = tr_table_size(capacity);
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    looks_t l = {NULL, 1, 0, 100000, false, malloc(100000 * sizeof(tr_mark_t))};
    tr_table_t *table;

    if (base == MAP_FAILED || l.marks == NULL || tr_table_create(&table, base, size, capacity, NULL, pool) != APR_SUCCESS) {
        fprintf(stderr, "no memory for a table of %u\n", capacity);
        exit(1);
    }
    l.table = table;
    fill(table, &l, capacity);
    measure("table", tt_print(pool, "%s entries, a look-up that finds nothing", name), call_lookup, &l);
    measure("table", tt_print(pool, "%s entries, six that find nothing, fetched ahead", name), call_six, &l);
    l.hit = true;
    measure("table", tt_print(pool, "%s entries, a look-up that finds one", name), call_lookup, &l);
    munmap(base, size);
    free(l.marks);
}

static void measure_table(apr_pool_t *pool)
{
    measure_table_of(100000, "100,000", pool);
    measure_table_of(1000000, "1,000,000", pool);
    measure_table_of(10000000, "10,000,000", pool);
}

/* ---- the verified-token cache ------------------------------------------------------------------------------ */

typedef struct verified_t {
    const tr_verified_t *memory;
    tr_str_t text;
    uint64_t seed;
    bool hit;
} verified_t;

static const char generation[TR_SHA256_LEN] = "a generation";

static tr_mark_t some_mark(uint64_t n)
{
    tr_mark_t mark;

    mark.h[0] = tt_random(&n);
    mark.h[1] = n;
    return mark;
}

static bool call_verified_mark(void *baton, uint64_t i)
{
    const verified_t *v = baton;

    (void)i;
    return tr_verified_mark(v->memory, tr_str(generation, sizeof(generation)), v->text).h[0] != 0;
}

/* Many of them lost their places to others while the memory was filled, so both answers are right. */
static bool call_verified_has(void *baton, uint64_t i)
{
    verified_t *v = baton;

    (void)i;
    v->seed += tr_verified_has(v->memory, some_mark(tt_random(&v->seed) % VERIFIED + (v->hit ? 0 : VERIFIED)));
    return true;
}

static bool call_verified_put(void *baton, uint64_t i)
{
    const verified_t *v = baton;

    tr_verified_put(v->memory, some_mark(i), TT_NOW + 3600, TT_NOW);
    return true;
}

static void measure_verified(apr_pool_t *pool)
{
    verified_t v = {tt_verified(pool, VERIFIED), tr_str_z(tt_repeat(pool, "0123456789", 78)), 1, true};

    measure("verified", tt_print(pool, "the mark of a token of %d characters", (int)v.text.len), call_verified_mark, &v);
    measure("verified", "65,536 tokens, one more put in", call_verified_put, &v);
    for (uint64_t n = 0; n < VERIFIED; n++) {
        tr_verified_put(v.memory, some_mark(n), TT_NOW + 3600, TT_NOW);
    }
    measure("verified", "65,536 tokens, asked for one of them", call_verified_has, &v);
    v.hit = false;
    measure("verified", "65,536 tokens, asked for another", call_verified_has, &v);
}

/* ---- all --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *room;
    void (*measure)(apr_pool_t *pool);
} all[] = {{"base", measure_base},
           {"jose", measure_jose},
           {"table", measure_table},
           {"verified", measure_verified},
           {"gate", measure_gate}};

static bool is_asked_for(const char *room, char **names)
{
    if (*names == NULL) {
        return true;
    }
    while (*names != NULL && strcmp(*names, room) != 0) {
        names++;
    }
    return *names != NULL;
}

int main(int argc, char **argv)
{
    const char *json = argc > 2 && strcmp(argv[1], "--json") == 0 ? argv[2] : NULL;
    char **names = argv + (json != NULL ? 3 : 1);
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    apr_pool_create(&scratch, pool);
    printf("CPU time of one call, median (least to most):\n");
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (is_asked_for(all[i].room, names)) {
            all[i].measure(pool);
        }
    }
    if (json != NULL && !measure_save(json)) {
        fprintf(stderr, "%s cannot be written\n", json);
        return 1;
    }
    tt_keys_free();
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
