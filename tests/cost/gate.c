/*
 * gate.c: requests as they come to the gate, for what they cost in numbers that are the same in every run.
 *
 *     gate tokens > FILE      the keys and tokens to measure with: making them is not to be measured, and slow under valgrind
 *     gate rows FILE [WASTE]  every kind of request, one after the other. Of each a line of JSON: its name, how many there were, and
 *                             of them all the allocations, the locks and the bytes of their pool
 *
 * Under callgrind each of them is one_request(), and row_done() comes after each kind, which says what to count and when to write
 * it down. WASTE (memory, lock, pool, time) is what every request does besides, to see that it does not go unseen.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_allocator.h>
#include <apr_general.h>
#include <apr_strings.h>

#include "counted.h"
#include "tr_reason.h"
#include "tr_testing_gate.h"

#define WARM_UP 8
#define REQUESTS 64
#define MANY 200
#define RECENT 2048
#define RECENT_LEN (16 * 1024 * 1024)
#define VERIFIED 4096
#define REVOKED 2000
#define LONGEST_LINE 65536

static const struct {
    const char *name, *alg;
} keys[] = {{"RSA2048", "RS256"}, {"P-256", "ES256"}, {"Ed25519", "EdDSA"}, {"oct32", "HS256"}};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

/* ---- tokens ------------------------------------------------------------------------------------------------ */

static const char more[] = ",\"sid\":\"9f3c1d6f7a115b1f\",\"client_id\":\"web\",\"azp\":\"app\",\"aud\":[\"api\",\"web\"],"
                           "\"scope\":\"openid profile email\",\"email\":\"alice@example.com\",\"name\":\"Alice Example\","
                           "\"groups\":[\"staff\",\"admins\"],\"auth_time\":1699999000";

static void make_tokens(apr_pool_t *pool)
{
    for (size_t i = 0; i < KEYS; i++) {
        const tt_key_t *pair = tt_key(keys[i].name);

        printf("%s %s\n", tt_jwk(pool, pair, tt_print(pool, ",\"kid\":\"%s\"", keys[i].name)),
               tt_mint(pool, keys[i].alg, pair, keys[i].name, tt_claims(pool, "good", more)));
    }
    for (int n = 0; n < MANY; n++) {
        const tt_key_t *pair = tt_key("P-256");

        printf("%s\n", tt_mint(pool, "ES256", pair, "P-256", tt_claims(pool, tt_print(pool, "good%d", n), more)));
    }
}

static char *next_word(FILE *file, char end)
{
    static char word[LONGEST_LINE];
    int len = 0, c;

    while ((c = getc(file)) != end && c != EOF && len < LONGEST_LINE - 1) {
        word[len++] = (char)c;
    }
    word[len] = '\0';
    if (c != end) {
        fprintf(stderr, "no more tokens\n");
        exit(2);
    }
    return word;
}

/* ---- the server -------------------------------------------------------------------------------------------- */

typedef struct server_t {
    tt_world_t *world;
    tr_recent_t *recent;
    tr_verified_t *verified;
    const tr_key_t *key[KEYS];
    const char *token[KEYS]; /* one of each key */
    tr_jws_t jws;            /* of one of them */
    const char *crowd[MANY];
    apr_pool_t *request;
    const char *waste;
} server_t;

static bool is_informed(void)
{
    return true;
}

/* As httpd has them: one allocator for a connection, with no lock. */
static apr_pool_t *request_pool(apr_pool_t *parent)
{
    apr_allocator_t *allocator;
    apr_pool_t *connection, *request;

    if (apr_allocator_create(&allocator) != APR_SUCCESS ||
        apr_pool_create_ex(&connection, parent, NULL, allocator) != APR_SUCCESS) {
        exit(2);
    }
    apr_allocator_owner_set(allocator, connection);
    apr_pool_create(&request, connection);
    return request;
}

static void read_tokens(server_t *s, const char *path, apr_pool_t *pool)
{
    FILE *file = fopen(path, "r");

    if (file == NULL) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(2);
    }
    for (size_t i = 0; i < KEYS; i++) {
        s->key[i] = tt_read_jwk(pool, next_word(file, ' '));
        if (s->key[i] == NULL) {
            fprintf(stderr, "no key %s\n", keys[i].name);
            exit(2);
        }
        tr_keyring_add(s->world->issuer->keyring, s->key[i]);
        s->token[i] = apr_pstrdup(pool, next_word(file, '\n'));
    }
    for (int n = 0; n < MANY; n++) {
        s->crowd[n] = apr_pstrdup(pool, next_word(file, '\n'));
    }
    fclose(file);
}

static void start(server_t *s, const char *path, apr_pool_t *pool)
{
    s->world = tt_world(pool, 10 * REVOKED);
    read_tokens(s, path, pool);
    tt_remember(s->world, RECENT, RECENT_LEN);
    s->recent = s->world->gate.recent;
    s->verified = tt_verified(pool, VERIFIED);
    s->world->gate.generation = tr_generation_make(s->world->gate.issuers, pool);
    s->world->gate.is_informed = is_informed;
    s->request = request_pool(pool);
}

static void put(const server_t *s, tr_kind_t kind, const char *iss, tr_str_t value)
{
    tr_entry_t e = {kind, tr_str_z(iss), value, TT_AT(TT_NOW), TT_NOW + 7200};

    tt_revoke(s->world, &e);
}

/* ---- requests ---------------------------------------------------------------------------------------------- */

typedef struct row_t {
    const char *name;
    apr_status_t expected;
    apr_time_t now;
    const char *const *token; /* asked for in turn */
    int tokens;
    bool is_recent, is_verified; /* is remembered so */
    bool reads_claims;           /* as variables, too */
    const tr_key_t *signature;   /* nothing but whether it was made by this key */
} row_t;

static void waste(const server_t *s)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    if (strcmp(s->waste, "memory") == 0) {
        void *volatile at = malloc(24);

        free(at);
    }
    else if (strcmp(s->waste, "lock") == 0) {
        pthread_mutex_lock(&lock);
        pthread_mutex_unlock(&lock);
    }
    else if (strcmp(s->waste, "pool") == 0) {
        apr_palloc(s->request, 512);
    }
    else if (strcmp(s->waste, "time") == 0) {
        for (volatile int i = 0; i < 1000; i++) {
        }
    }
}

bool one_request(const server_t *s, const row_t *row, tr_str_t text, apr_size_t *pool_bytes);
void row_done(const char *name);

static bool is_as_expected(const server_t *s, const row_t *row, tr_str_t text)
{
    tr_identity_t identity;

    if (row->signature != NULL) {
        return tr_jws_verify(&s->jws, row->signature) == row->expected;
    }
    if (tr_gate_admit(&identity, &s->world->gate, text, "sub", row->now, s->request) != row->expected) {
        return false;
    }
    return !row->reads_claims ||
           (tr_recent_is_clean(&identity) && tr_recent_variables(&identity, "TOKEN_", s->request)->nelts > 8);
}

/* From the token to the end of the pool. Counts what it took of the pool by where the next bytes of it lie. */
bool one_request(const server_t *s, const row_t *row, tr_str_t text, apr_size_t *pool_bytes)
{
    char *before = apr_palloc(s->request, 8);
    bool is_right = is_as_expected(s, row, text);

    if (s->waste != NULL) {
        waste(s);
    }
    *pool_bytes += (apr_size_t)((char *)apr_palloc(s->request, 8) - before) - 8;
    apr_pool_clear(s->request);
    return is_right;
}

/* Only a name for callgrind. */
void row_done(const char *name)
{
    (void)name;
    fflush(stdout);
}

/* Calls that no compiler looks through, into another function of the same name. */
static bool (*volatile request)(const server_t *, const row_t *, tr_str_t, apr_size_t *) = one_request;
static void (*volatile done)(const char *) = row_done;

static void ask(const server_t *s, const row_t *row, const char *token, apr_size_t *pool_bytes)
{
    if (!request(s, row, tr_str_z(token), pool_bytes)) {
        fprintf(stderr, "%s: not what was expected\n", row->name);
        exit(2);
    }
}

/* The same, not seen by callgrind. Twice in a row, because a token that comes once is not remembered. */
static void warm_up(const server_t *s, const row_t *row)
{
    for (int i = 0; i < (row->tokens == 1 ? WARM_UP : 2 * row->tokens); i++) {
        if (!is_as_expected(s, row, tr_str_z(row->token[i / 2 % row->tokens]))) {
            fprintf(stderr, "%s: not what was expected at first\n", row->name);
            exit(2);
        }
        apr_pool_clear(s->request);
    }
}

static void run(const server_t *s, const row_t *row)
{
    int n = row->tokens == 1 ? REQUESTS : row->tokens;
    apr_size_t pool_bytes = 0;
    counted_t before;

    s->world->gate.recent = row->is_recent ? s->recent : NULL;
    s->world->gate.verified = row->is_verified ? s->verified : NULL;
    warm_up(s, row);
    before = counted;
    for (int i = 0; i < n; i++) {
        ask(s, row, row->token[i % row->tokens], &pool_bytes);
    }
    before.allocations = counted.allocations - before.allocations;
    before.locks = counted.locks - before.locks;
    printf("{\"row\": \"%s\", \"requests\": %d, \"allocations\": %lu, \"locks\": %lu, \"pool\": %lu}\n", row->name, n,
           before.allocations, before.locks, (unsigned long)pool_bytes);
    done(row->name);
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

static const char *forged(const char *token, apr_pool_t *pool)
{
    char *out = apr_pstrdup(pool, token);
    char *at = out + strlen(out) - 20;

    *at = *at == 'A' ? 'B' : 'A';
    return out;
}

static void run_misses(server_t *s, apr_pool_t *pool)
{
    const apr_time_t now = TT_AT(TT_NOW);
    const char *bad = forged(s->token[0], pool), *junk = "junk";

    for (size_t i = 0; i < KEYS; i++) {
        row_t row = {tt_print(pool, "new-%s", keys[i].alg), APR_SUCCESS, now, &s->token[i], 1, false, false, false, NULL};

        run(s, &row);
        if (tr_jws_parse(&s->jws, tr_str_z(s->token[i]), pool) != APR_SUCCESS) {
            exit(2);
        }
        row.name = tt_print(pool, "signature-%s", row.name + strlen("new-"));
        row.signature = s->key[i];
        run(s, &row);
    }
    run(s, &(row_t){"verified", APR_SUCCESS, now, &s->token[0], 1, false, true, false, NULL});
    run(s, &(row_t){"forged", TR_BAD_SIGNATURE, now, &bad, 1, true, true, false, NULL});
    run(s, &(row_t){"junk", TR_MALFORMED, now, &junk, 1, true, true, false, NULL});
}

static void run_all(server_t *s, apr_pool_t *pool)
{
    static const tr_kind_t kinds[] = {TR_KIND_TOKEN,  TR_KIND_SESSION, TR_KIND_SUBJECT, TR_KIND_CLIENT, TR_KIND_ISSUER,
                                      TR_KIND_DIGEST, TR_KIND_OPAQUE,  TR_KIND_FAMILY,  TR_KIND_MEMBER, TR_KIND_LOGOUT};
    const apr_time_t now = TT_AT(TT_NOW);
    row_t hit = {"hit", APR_SUCCESS, now, &s->token[0], 1, true, true, false, NULL};

    run_misses(s, pool);
    run(s, &hit);
    run(s, &(row_t){"hit-claims", APR_SUCCESS, now, &s->token[0], 1, true, true, true, NULL});
    run(s, &(row_t){"hit-expired", TR_EXPIRED, now + TT_AT(7200), &s->token[0], 1, true, true, false, NULL});
    run(s, &(row_t){"hit-many", APR_SUCCESS, now, s->crowd, MANY, true, true, false, NULL});
    for (int n = 0; n < REVOKED; n++) {
        put(s, TR_KIND_TOKEN, TT_ISS, tr_str_z(tt_print(pool, "t%d", n)));
    }
    hit.name = "hit-revocations";
    run(s, &hit);
    put(s, TR_KIND_OPAQUE, "", tr_str_z("0123456789abcdef0123456789abcdef"));
    hit.name = "hit-opaque";
    run(s, &hit);
    run(s, &(row_t){"verified-opaque", APR_SUCCESS, now, &s->token[0], 1, false, true, false, NULL});
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        put(s, kinds[i], "https://other.example.com/", tr_str_z("0123456789abcdef0123456789abcdef"));
    }
    hit.name = "hit-every-kind";
    run(s, &hit);
    run(s, &(row_t){"verified-every-kind", APR_SUCCESS, now, &s->token[0], 1, false, true, false, NULL});
    put(s, TR_KIND_TOKEN, TT_ISS, tr_str_z("good"));
    hit.name = "hit-revoked";
    hit.expected = TR_REVOKED;
    run(s, &hit);
}

int main(int argc, char **argv)
{
    server_t s = {.waste = argc > 3 ? argv[3] : NULL};
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (argc > 2 && strcmp(argv[1], "rows") == 0) {
        start(&s, argv[2], pool);
        run_all(&s, pool);
    }
    else if (argc == 2 && strcmp(argv[1], "tokens") == 0) {
        make_tokens(pool);
        tt_keys_free();
    }
    else {
        fprintf(stderr, "gate tokens | gate rows FILE [memory|lock|pool|time]\n");
        return 2;
    }
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}
