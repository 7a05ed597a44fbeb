/*
 * Memory that JSON's library and OpenSSL cannot have, at any one of their requests, once and from there on: a token that is
 * not good is never taken for one, a good one is never called bad, keys are read as a whole or not at all, and the next try with memory
 * is as if nothing had been. APR's pools are not starved: httpd ends a process that has no memory for those.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "tr_admin.h"
#include "tr_guard.h"
#include "tr_oauth.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

static struct {
    int asked;   /* how often since begin() */
    int fail_at; /* the number of the one that fails; 0: none */
    bool lasting;
    int failed;
} memory;

static bool is_refused(void)
{
    memory.asked++;
    if (memory.fail_at == 0 || memory.asked < memory.fail_at || (!memory.lasting && memory.asked > memory.fail_at))
        return false;
    memory.failed++;
    errno = ENOMEM; /* as malloc does */
    return true;
}

static void *get(size_t size)
{
    return is_refused() ? NULL : malloc(size);
}

static void *get_for_openssl(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return get(size);
}

static void *change_for_openssl(void *at, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return is_refused() ? NULL : realloc(at, size);
}

static void give_back(void *at, const char *file, int line)
{
    (void)file, (void)line;
    free(at);
}

static void begin(int fail_at, bool lasting)
{
    memory.asked = memory.failed = 0;
    memory.fail_at = fail_at;
    memory.lasting = lasting;
}

static int end(void)
{
    memory.fail_at = 0;
    return memory.failed;
}

typedef struct act_t {
    tt_world_t *world;
    const char *alg, *key; /* NULL: ES256 with the key of the world */
    char *token;
    const char *text;
    tr_grant_body_t type;
    apr_pool_t *pool; /* of one try */
    int before;       /* how many failed at least once */
} act_t;

/* Each try: prepare(), then do() with a fault, judge(), and do() without. */
typedef struct play_t {
    void (*prepare)(act_t *act);
    apr_status_t (*perform)(act_t *act);
    void (*judge)(act_t *act, apr_status_t rv, bool starved, int at);
} play_t;

static void all_requests(const play_t *play, act_t *act, apr_pool_t *pool)
{
    int step = getenv("TR_LONG") ? 1 : 29; /* most requests are those of OpenSSL's decoders, and alike */
    for (int lasting = 0; lasting < 2; lasting++) {
        bool starved = true;
        for (int at = 1; starved; at += at < 150 ? 1 : step) {
            assert_in_range(at, 1, 10000);
            apr_pool_create(&act->pool, pool);
            if (play->prepare)
                play->prepare(act);
            begin(at, lasting);
            apr_status_t rv = play->perform(act);
            starved = end() > 0;
            play->judge(act, rv, starved, at);
            act->before += starved;
            play->judge(act, play->perform(act), false, at);
            apr_pool_destroy(act->pool);
        }
    }
    assert_in_range(act->before, 1, 10000);
}

/* ---- tokens ------------------------------------------------------------------------------------------------ */

/* The key as new, so that nothing is kept for it. */
static void trust_anew(act_t *act)
{
    act->world = tt_world(act->pool, 100);
    tt_trust(act->world, act->world->issuer, tt_key(act->key), "new");
}

static apr_status_t admit(act_t *act)
{
    return tt_admit(act->world, act->token);
}

static void is_good_or_unknown(act_t *act, apr_status_t rv, bool starved, int at)
{
    if (tr_is_refusal(rv) || (!starved && rv != APR_SUCCESS))
        fail_msg("%s: at request %d: %d (%s)", act->alg, at, rv, tr_reason(rv)->word);
}

static const struct {
    const char *alg, *key;
} kinds[] = {{"RS256", "RSA2048"}, {"PS256", "RSA2048"}, {"ES256", "P-256#2"},
             {"ES512", "P-521"},   {"EdDSA", "Ed25519"}, {"HS256", "oct64"}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void a_good_token_is_never_called_bad(void **state)
{
    const play_t play = {trust_anew, admit, is_good_or_unknown};
    for (int i = 0; i < KINDS; i++) {
        act_t act = {.alg = kinds[i].alg, .key = kinds[i].key};
        act.token =
            tt_mint(*state, act.alg, tt_key(act.key), "new", tt_claims(*state, "j", ",\"deep\":{\"a\":[1,2.5,\"\\u00e4\"]}"));
        all_requests(&play, &act, *state);
    }
}

static void is_bad(act_t *act, apr_status_t rv, bool starved, int at)
{
    if (rv == APR_SUCCESS || (!starved && rv != TR_BAD_SIGNATURE))
        fail_msg("%s: at request %d: %d (%s)", act->alg, at, rv, tr_reason(rv)->word);
}

/* By another key of the same kind, and with one other bit of the payload. */
static void a_forged_token_is_never_taken(void **state)
{
    const play_t play = {trust_anew, admit, is_bad};
    for (int i = 0; i < KINDS; i++) {
        act_t act = {.alg = kinds[i].alg, .key = kinds[i].key};
        const char *other = tt_print(*state, "%s#other", act.key);
        act.token = tt_mint(*state, act.alg, tt_key(other), "new", tt_claims(*state, "j", ""));
        all_requests(&play, &act, *state);
    }
}

static void revoke_it(act_t *act)
{
    tr_entry_t e = {TR_KIND_TOKEN, tr_str_z(TT_ISS), tr_str_z("a-name-of-some-length"), 0, TT_NOW + 7200};
    trust_anew(act);
    tt_revoke(act->world, &e);
}

static void is_revoked(act_t *act, apr_status_t rv, bool starved, int at)
{
    if (rv == APR_SUCCESS || (rv != TR_REVOKED && tr_is_refusal(rv)) || (!starved && rv != TR_REVOKED))
        fail_msg("%s: at request %d: %d (%s)", act->alg, at, rv, tr_reason(rv)->word);
}

static void a_revoked_token_is_never_taken(void **state)
{
    const play_t play = {revoke_it, admit, is_revoked};
    for (int i = 0; i < KINDS; i++) {
        act_t act = {.alg = kinds[i].alg, .key = kinds[i].key};
        act.token =
            tt_mint(*state, act.alg, tt_key(act.key), "new", tt_claims(*state, "a-name-of-some-length", ",\"b\":\"\\u0041\""));
        all_requests(&play, &act, *state);
    }
}

/* Its signature is spelled as no strict reader takes it: the guard reads what it says by itself. */
static apr_status_t exchange(act_t *act)
{
    tr_guard_t guard = {.gate = &act->world->gate, .ledger = act->world->ledger, .opaque_s = 1000};
    tr_guard_outcome_t outcome;
    tr_grant_t grant = {.n = 0};
    guard.now = guard.wall = TT_AT(TT_NOW);
    tr_grant_read_body(&grant, act->type, tr_str_z(tt_print(act->pool, act->text, act->token)), act->pool);
    tr_guard_judge(&outcome, &guard, &grant, act->pool);
    return outcome.answer.status == 0 ? APR_SUCCESS : outcome.answer.status == 400 ? TR_REVOKED : APR_EGENERAL;
}

static void a_revoked_token_is_never_exchanged(void **state)
{
    const play_t play = {revoke_it, exchange, is_revoked};
    const char *const bodies[] = {"grant_type=refresh_token&refresh_token=%s%%3D",
                                  "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"%s=\"}"};
    for (int i = 0; i < 2; i++) {
        act_t act = {.alg = "ES256", .key = "P-256#2", .text = bodies[i], .type = TR_GRANT_BODY_FORM};
        act.token =
            tt_mint(*state, act.alg, tt_key(act.key), "new", tt_claims(*state, "a-name-of-some-length", ",\"b\":\"\\u0041\""));
        all_requests(&play, &act, *state);
    }
}

static void a_good_exchange_is_never_called_bad(void **state)
{
    const play_t play = {trust_anew, exchange, is_good_or_unknown};
    const tr_grant_body_t types[] = {TR_GRANT_BODY_FORM, TR_GRANT_BODY_JSON, TR_GRANT_BODY_ANY};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        act_t act = {.alg = "ES256", .key = "P-256#2", .type = types[i]};
        act.text = "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"%s=\"}";
        act.token = tt_mint(*state, act.alg, tt_key(act.key), "new", tt_claims(*state, "j", ""));
        all_requests(&play, &act, *state);
    }
}

/* One that nobody here can read. 200 means that no spelling of its signature is good for anything any more. */
static apr_status_t revoke_unread(act_t *act)
{
    static const tr_keep_t keep = {60, 86400};
    tr_revoke_request_t request = {.type = TR_BODY_FORM, .is_known = true, .opaque_s = 1000, .keep = &keep};
    tr_str_t signed_part = tr_str(act->token, (apr_size_t)(strrchr(act->token, '.') - act->token));
    tr_params_t *params;
    tr_answer_t answer;
    tr_kind_t by;
    const char *why;
    if (tr_params_from_form(&params, &why, tr_str_z(tt_print(act->pool, "token=%s", act->token)), act->pool) != APR_SUCCESS)
        return TR_MALFORMED;
    request.params = params;
    request.wall = request.now = request.clean_now = TT_AT(TT_NOW);
    tr_revoke_answer(&answer, &request, &act->world->gate, act->world->ledger, act->pool);
    if (answer.status != 200)
        return answer.status == 503 ? APR_EGENERAL : TR_MALFORMED;
    return tr_gate_check_opaque(&by, &act->world->gate, signed_part, act->pool);
}

static void an_opaque_token_is_revoked_by_its_name_or_not(void **state)
{
    const play_t play = {revoke_it, revoke_unread, is_revoked};
    act_t act = {.alg = "ES256", .key = "P-256#2"};
    act.token = tt_mint(*state, act.alg, tt_key(act.key), "unheard of", tt_claims(*state, "j", ",\"b\":\"\\u0041\""));
    all_requests(&play, &act, *state);
}

/* What a client sends is not wrong because we have no memory. */
static apr_status_t read_params(act_t *act)
{
    tr_params_t *params;
    tr_str_t token;
    const char *why;
    apr_status_t rv = tr_params_from_body(&params, &why, TR_BODY_JSON, tr_str_z(act->text), act->pool);
    if (rv != APR_SUCCESS)
        return rv == APR_EINVAL ? TR_MALFORMED : rv;
    assert_int_equal(tr_params_get(&token, params, "token"), APR_SUCCESS);
    assert_int_equal(token.len, 300);
    return APR_SUCCESS;
}

static void a_good_body_is_never_called_bad(void **state)
{
    const play_t play = {NULL, read_params, is_good_or_unknown};
    act_t act = {.alg = "-"};
    act.text = tt_print(*state, "{\"token\":\"\\u0041%0299d\",\"token_type_hint\":\"access_token\",\"n\":[1.5,{}]}", 7);
    all_requests(&play, &act, *state);
}

static apr_status_t read_admin(act_t *act)
{
    tr_admin_context_t context = {
        .issuers = act->world->gate.issuers, .keep = &(const tr_keep_t){60, 86400}, .now = TT_AT(TT_NOW)};
    tr_revocation_t *list;
    tr_problem_t problem;
    int n;
    apr_status_t rv = tr_admin_read(&list, &n, &problem, tr_str_z(act->text), &context, act->pool);
    if (rv != APR_SUCCESS)
        return problem.status == 503 ? rv : TR_MALFORMED;
    assert_int_equal(n, 2);
    return APR_SUCCESS;
}

static void a_good_list_of_an_operator_is_never_called_bad(void **state)
{
    const play_t play = {trust_anew, read_admin, is_good_or_unknown};
    act_t act = {.alg = "ES256", .key = "P-256#2"};
    act.text = "[{\"kind\":\"subject\",\"iss\":\"" TT_ISS "\",\"value\":\"j\\u00e4n\"},"
               "{\"kind\":\"token\",\"iss\":\"" TT_ISS "\",\"value\":\"one\"}]";
    all_requests(&play, &act, *state);
}

/* ---- keys -------------------------------------------------------------------------------------------------- */

static apr_status_t read_set(act_t *act)
{
    tr_keys_t *set = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_keys_from_jwks(&set, &why, tr_str_z(act->text), act->pool);
    if (rv == APR_SUCCESS && set->count != KINDS)
        fail_msg("only %d keys of %d", (int)set->count, (int)KINDS);
    return rv;
}

static void is_read_or_fails(act_t *act, apr_status_t rv, bool starved, int at)
{
    (void)act;
    if (!starved && rv != APR_SUCCESS)
        fail_msg("at request %d: %d", at, rv);
}

static void a_set_of_keys_is_read_whole_or_not_at_all(void **state)
{
    const play_t play = {NULL, read_set, is_read_or_fails};
    act_t act = {.alg = "-"};
    char *jwk[KINDS];
    for (int i = 0; i < KINDS; i++)
        jwk[i] = tt_jwk(*state, tt_key(kinds[i].key), tt_print(*state, ",\"kid\":\"%d\"", i));
    act.text = tt_jwks(*state, jwk[0], jwk[1], jwk[2], jwk[3], jwk[4], jwk[5], NULL);
    all_requests(&play, &act, *state);
}

static apr_status_t read_pem(act_t *act)
{
    const tr_key_t *key = NULL;
    const char *why = NULL;
    return tr_key_from_pem(&key, &why, tr_str_z(act->text), tr_str_z("k"), act->pool);
}

static void a_key_in_pem_is_read_or_not(void **state)
{
    const play_t play = {NULL, read_pem, is_read_or_fails};
    for (int i = 0; i < KINDS - 1; i++) {
        act_t act = {.alg = kinds[i].alg};
        act.text = i % 2 ? tt_certificate(*state, tt_key(kinds[i].key)) : tt_pem(*state, tt_key(kinds[i].key));
        all_requests(&play, &act, *state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_good_token_is_never_called_bad),
        TT_TEST(a_forged_token_is_never_taken),
        TT_TEST(a_revoked_token_is_never_taken),
        TT_TEST(a_good_body_is_never_called_bad),
        TT_TEST(a_good_list_of_an_operator_is_never_called_bad),
        TT_TEST(a_set_of_keys_is_read_whole_or_not_at_all),
        TT_TEST(a_key_in_pem_is_read_or_not),
        TT_TEST(a_revoked_token_is_never_exchanged),
        TT_TEST(a_good_exchange_is_never_called_bad),
        TT_TEST(an_opaque_token_is_revoked_by_its_name_or_not),
    };
    if (CRYPTO_set_mem_functions(get_for_openssl, change_for_openssl, give_back) != 1) {
        fprintf(stderr, "OpenSSL has allocated already\n");
        return 1;
    }
    json_set_alloc_funcs(get, free);
    return TT_RUN(tests);
}
