/*
 * The guard below HTTP: who may go on to the token endpoint, and what an exchange means (RFC 9700 4.14.2).
 */
#include "tr_guard.h"

#include <apr_strings.h>
#include <jansson.h>

#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

static const tr_keep_t keep = {60, 86400};

typedef struct site_t {
    tt_world_t *world;
    tr_guard_t guard;
    apr_pool_t *pool;
    /* the store */
    int commits, rows;
    apr_status_t fails;
} site_t;

static apr_status_t append(void *baton, tr_revocation_t *const *list, int n, apr_time_t now)
{
    site_t *site = baton;
    (void)list;
    (void)now;
    if (site->fails != APR_SUCCESS)
        return site->fails;
    site->commits++;
    site->rows += n;
    return APR_SUCCESS;
}

static site_t *make_site(apr_pool_t *pool, bool rotation)
{
    site_t *site = apr_pcalloc(pool, sizeof *site);
    site->pool = pool;
    site->world = tt_world(pool, 100);
    site->guard.gate = &site->world->gate;
    site->guard.ledger = tr_ledger_make(site->world->table, site->world->lock, append, site, pool);
    site->guard.rotation = rotation;
    site->guard.opaque_s = 1000;
    site->guard.keep = &keep;
    site->guard.wall = site->guard.now = TT_AT(TT_NOW);
    return site;
}

static uint32_t held(site_t *site, tr_kind_t kind)
{
    tr_table_stats_t stats;
    tr_table_stats(&stats, site->world->table);
    return stats.by_kind[kind];
}

/* Every answer is one JSON object with an error of RFC 6749. */
static void check_answer(const tr_answer_t *answer)
{
    json_t *doc = json_loads(answer->body, JSON_REJECT_DUPLICATES, NULL);
    const char *error = json_string_value(json_object_get(doc, "error"));
    assert_non_null(error);
    assert_true(json_is_string(json_object_get(doc, "error_description")));
    assert_string_equal(error, answer->status == 503                 ? "temporarily_unavailable"
                               : answer->status == 502               ? "server_error"
                               : strstr(answer->body, "was revoked") ? "invalid_grant"
                                                                     : "invalid_request");
    assert_int_equal(answer->retry_after_s > 0, answer->status == 503);
    json_decref(doc);
}

static tr_guard_outcome_t ask(site_t *site, const char *query)
{
    tr_guard_outcome_t outcome;
    tr_grant_t grant;
    memset(&grant, 0, sizeof grant);
    memset(&outcome, 0xee, sizeof outcome);
    tr_grant_read_form(&grant, tr_str_z(query), site->pool);
    tr_guard_judge(&outcome, &site->guard, &grant, site->pool);
    if (outcome.answer.status != 0)
        check_answer(&outcome.answer);
    return outcome;
}

static tr_guard_outcome_t show(site_t *site, const char *token)
{
    return ask(site, tt_print(site->pool, "grant_type=refresh_token&refresh_token=%s", token));
}

static void passes(site_t *site, const char *token)
{
    tr_guard_outcome_t outcome = show(site, token);
    assert_int_equal(outcome.event, TR_GUARD_NOTHING);
    assert_int_equal(outcome.answer.status, 0);
}

static void is_refused(site_t *site, const char *token, tr_guard_event_t event)
{
    tr_guard_outcome_t outcome = show(site, token);
    assert_int_equal(outcome.event, event);
    assert_int_equal(outcome.answer.status, event == TR_GUARD_UNKNOWN || event == TR_GUARD_NOT_STORED ? 503 : 400);
    assert_str_is(outcome.token, token);
}

static tr_guard_outcome_t answer_is(site_t *site, const char *old, const char *body)
{
    tr_guard_outcome_t outcome;
    memset(&outcome, 0xee, sizeof outcome);
    tr_guard_rotate(&outcome, &site->guard, tr_str_z(old), tr_str_z(body), site->pool);
    if (outcome.answer.status != 0)
        check_answer(&outcome.answer);
    return outcome;
}

static tr_guard_event_t exchange(site_t *site, const char *old, const char *refresh, const char *access)
{
    char *body =
        tt_print(site->pool, "{\"access_token\":\"%s\",\"token_type\":\"Bearer\",\"refresh_token\":\"%s\"}", access, refresh);
    tr_guard_outcome_t outcome = answer_is(site, old, body);
    assert_int_equal(outcome.answer.status == 0, outcome.event == TR_GUARD_ROTATED);
    return outcome.event;
}

static void revoke_entry(site_t *site, const tr_entry_t *entry)
{
    static const tr_circumstances_t nobody;
    assert_int_equal(tr_ledger_revoke(site->guard.ledger, entry, &nobody, site->guard.now), APR_SUCCESS);
}

static void revoke_opaque(site_t *site, const char *text)
{
    tr_entry_t entry;
    assert_int_equal(tr_gate_entry_opaque(&entry, tr_str_z(text), TR_FOREVER, site->pool), APR_SUCCESS);
    revoke_entry(site, &entry);
}

static void revoke_jwt(site_t *site, const char *text)
{
    tr_token_t token;
    tr_entry_t entry;
    assert_int_equal(tr_gate_recognize(&token, &site->world->gate, tr_str_z(text), site->guard.now, site->pool), APR_SUCCESS);
    assert_int_equal(tr_gate_entry(&entry, &token, &keep, site->pool), APR_SUCCESS);
    revoke_entry(site, &entry);
}

static void cut_off(site_t *site, tr_kind_t kind, const char *value)
{
    tr_entry_t entry;
    tr_gate_entry_before(&entry, kind, site->world->issuer, tr_str_z(TT_ISS), tr_str_z(value), site->guard.now, &keep,
                         site->guard.now);
    revoke_entry(site, &entry);
}

static char *refresh_jwt(apr_pool_t *pool, const char *jti)
{
    return tt_good_token(pool, jti, ",\"typ\":\"Refresh\",\"sid\":\"s1\",\"client_id\":\"c1\"");
}

/* The same JWT with another last character that decodes to the same bytes, and one with characters that decoders pass over. */
static char *same_bits(apr_pool_t *pool, const char *token)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *other = apr_pstrdup(pool, token);
    char *last = other + strlen(other) - 1;
    *last = alphabet[(strchr(alphabet, *last) - alphabet) | 1];
    assert_string_not_equal(other, token);
    return other;
}

/* ---- requests ---- */

static void a_revoked_token_is_refused_and_others_pass(void **state)
{
    for (int rotation = 0; rotation < 2; rotation++) {
        site_t *site = make_site(*state, rotation);
        char *jwt = refresh_jwt(*state, "r1"), *other = refresh_jwt(*state, "r2"), *bare = refresh_jwt(*state, NULL);
        for (int i = 0; i < 2; i++) {
            passes(site, "opaque-2");
            passes(site, other);
        }
        passes(site, "opaque-1");
        passes(site, jwt);
        passes(site, bare);
        revoke_opaque(site, "opaque-1");
        revoke_jwt(site, jwt);
        revoke_jwt(site, bare);
        is_refused(site, "opaque-1", rotation ? TR_GUARD_REUSED : TR_GUARD_REFUSED);
        is_refused(site, jwt, rotation ? TR_GUARD_REUSED : TR_GUARD_REFUSED);
        is_refused(site, bare, rotation ? TR_GUARD_REUSED : TR_GUARD_REFUSED);
        is_refused(site, jwt, TR_GUARD_REFUSED);
        passes(site, "opaque-2");
    }
}

static void what_is_no_exchange_passes(void **state)
{
    static const char *others[] = {"", "grant_type=password&refresh_token=opaque-1", "token=opaque-1", "grant_type=refresh_token",
                                   "grant_type=authorization_code&code=opaque-1"};
    site_t *site = make_site(*state, true);
    revoke_opaque(site, "opaque-1");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(ask(site, others[i]).answer.status, 0);
    site->world->gate.table = NULL;
    assert_int_equal(ask(site, others[1]).answer.status, 0);
}

static void a_revoked_token_among_others_is_found(void **state)
{
    static const char *queries[] = {"grant_type=refresh_token&refresh_token=good&refresh_token=opaque-1",
                                    "grant_type=refresh_token&refresh_token=opaque-1&refresh_token=good",
                                    "grant_type=refresh_token&refresh.token=+opaque-1%00",
                                    "refresh_token=good;refresh_token=opaque-1"};
    site_t *site = make_site(*state, false);
    revoke_opaque(site, "opaque-1");
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        tr_guard_outcome_t outcome = ask(site, queries[i]);
        assert_int_equal(outcome.event, TR_GUARD_REFUSED);
        assert_str_is(outcome.token, "opaque-1");
    }
    assert_int_equal(ask(site, "grant_type=refresh_token&refresh_token=good&refresh_token=better").answer.status, 0);
}

/* What their server decodes to the same bytes. */
static void another_spelling_of_a_revoked_opaque_token_is_refused(void **state)
{
    static const char hex[] = "def50200a1b2c3d4e5f60718293a4b5c6d7e8f90",
                      key[] = "ory_rt_Zm9vYmFyYmF6cXV4cXV1eGNvcmdlZ3JhdWx0Z2FycGwA";
    site_t *site = make_site(*state, false);
    revoke_opaque(site, hex);
    revoke_opaque(site, tt_print(*state, "%s.c2lnbmF0dXJlLW9mLXRoaXMtdG9rZW4tYQ", key));
    is_refused(site, "DEF50200A1B2C3D4E5F60718293A4B5C6D7E8F90", TR_GUARD_REFUSED);
    is_refused(site, "def50200a1b2c3d4E5F60718293a4b5c6d7e8f90", TR_GUARD_REFUSED);
    is_refused(site, tt_print(*state, "%.*sB.c2lnbmF0dXJlLW9mLXRoaXMtdG9rZW4tYQ", (int)sizeof key - 2, key), TR_GUARD_REFUSED);
    is_refused(site, tt_print(*state, "%.*sD.c2lnbmF0dXJlLW9mLXRoaXMtdG9rZW4tYR", (int)sizeof key - 2, key), TR_GUARD_REFUSED);
    assert_int_equal(show(site, tt_print(*state, "ory%%0A_rt%s.c2lnbmF0dXJl%%0D%%0ALW9mLXRoaXMtdG9rZW4tYQ", key + 6)).event,
                     TR_GUARD_REFUSED);
    passes(site, "def50200a1b2c3d4e5f60718293a4b5c6d7e8f91");
    passes(site, tt_print(*state, "%s.c2lnbmF0dXJlLW9mLWFub3RoZXItdG9rZW4", key));
}

static void a_token_in_another_spelling_is_of_the_same_family(void **state)
{
    static const char old[] = "def50200a1b2c3d4e5f60718293a4b5c6d7e8f90", capitals[] = "DEF50200A1B2C3D4E5F60718293A4B5C6D7E8F90";
    site_t *site = make_site(*state, true);
    tr_guard_outcome_t outcome;
    tr_guard_rotate(&outcome, &site->guard, tr_str_z(capitals), tr_str_z("{\"refresh_token\":\"next\"}"), *state);
    assert_int_equal(outcome.event, TR_GUARD_ROTATED);
    is_refused(site, old, TR_GUARD_REUSED);
    is_refused(site, "next", TR_GUARD_REFUSED);
}

static void with_rotation_a_token_must_have_one_reading(void **state)
{
    site_t *site = make_site(*state, true);
    tr_guard_outcome_t outcome = ask(site, "grant_type=refresh_token&refresh_token=good&refresh_token=better");
    assert_int_equal(outcome.answer.status, 400);
    assert_int_equal(outcome.event, TR_GUARD_NOTHING);
    assert_int_equal(show(site, "a+b").answer.status, 400);
    assert_int_equal(show(site, "a%2Bb").answer.status, 0);
    assert_int_equal(ask(site, "grant_type=refresh_token&refresh_token=good&refresh_token=good").answer.status, 0);
}

static void every_spelling_of_a_revoked_jwt_is_refused(void **state)
{
    site_t *site = make_site(*state, true);
    char *jwt = refresh_jwt(*state, "r1");
    revoke_jwt(site, jwt);
    const char *dot = strrchr(jwt, '.');
    const char *head = apr_pstrmemdup(*state, jwt, (size_t)(dot - jwt));
    const char *spellings[] = {same_bits(*state, jwt),
                               tt_print(*state, "%s.", head),
                               tt_print(*state, "%s.", jwt),
                               tt_print(*state, "%s...", jwt),
                               tt_print(*state, "%s%%3D%%3D", jwt),
                               tt_print(*state, "%s%%0A", jwt),
                               tt_print(*state, "%s.!%s", head, dot + 1),
                               tt_print(*state, "%s.AAAA", head),
                               tt_print(*state, "%s.", jwt),
                               tt_print(*state, "%s..x.y", jwt)};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        site->guard.rotation = false;
        assert_int_equal(show(site, spellings[i]).event, TR_GUARD_REFUSED);
    }
    /* Nobody knows who wrote these, so they end nothing. */
    site->guard.rotation = true;
    is_refused(site, same_bits(*state, jwt), TR_GUARD_REFUSED);
    is_refused(site, tt_print(*state, "%s.AAAA", head), TR_GUARD_REFUSED);
    assert_int_equal(held(site, TR_KIND_FAMILY) + held(site, TR_KIND_SESSION), 0);
}

static void a_forged_jwt_is_let_on_and_changes_nothing(void **state)
{
    site_t *site = make_site(*state, true);
    char *claims = tt_claims(*state, "r1", ",\"sid\":\"s1\"");
    char *forged = tt_mint(*state, "ES256", tt_key("P-256#eve"), "k", claims);
    passes(site, forged);
    revoke_jwt(site, refresh_jwt(*state, "r1"));
    is_refused(site, forged, TR_GUARD_REFUSED);
    assert_int_equal(held(site, TR_KIND_FAMILY) + held(site, TR_KIND_SESSION), 0);
}

static void subject_session_client_and_issuer_reach_refresh_jwts(void **state)
{
    static const struct {
        tr_kind_t kind;
        const char *value;
    } cuts[] = {{TR_KIND_SESSION, "s1"}, {TR_KIND_SUBJECT, "alice"}, {TR_KIND_CLIENT, "c1"}, {TR_KIND_ISSUER, ""}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        site_t *site = make_site(*state, true);
        char *jwt = refresh_jwt(*state, "r1");
        passes(site, jwt);
        cut_off(site, cuts[i].kind, cuts[i].value);
        tr_guard_outcome_t outcome = show(site, jwt);
        assert_int_equal(outcome.event, TR_GUARD_REFUSED);
        assert_int_equal(outcome.by, cuts[i].kind);
        assert_str_is(outcome.subject, "alice");
        is_refused(site, same_bits(*state, jwt), TR_GUARD_REFUSED);
        passes(site, "opaque");
        assert_int_equal(held(site, TR_KIND_FAMILY), 0);
    }
}

/* Like those that Keycloak makes: no exp, or signed with a key that it keeps to itself. */
static void a_jwt_that_nobody_here_can_verify_is_judged_by_its_claims(void **state)
{
    static const char offline[] = "{\"iss\":\"" TT_ISS "\",\"sub\":\"alice\",\"iat\":%d,\"jti\":\"%s\",\"typ\":\"Offline\"}";
    site_t *site = make_site(*state, true);
    char *before = tt_mint(*state, "ES256", tt_key("P-256"), "k", tt_print(*state, offline, TT_NOW - 60, "o1"));
    char *after = tt_mint(*state, "ES256", tt_key("P-256"), "k", tt_print(*state, offline, TT_NOW + 2, "o2"));
    char *secret = tt_mint(*state, "HS512", tt_key("oct64"), "inner", tt_claims(*state, "h1", ""));
    passes(site, before);
    passes(site, secret);
    cut_off(site, TR_KIND_SUBJECT, "alice");
    is_refused(site, before, TR_GUARD_REFUSED);
    is_refused(site, secret, TR_GUARD_REFUSED);
    passes(site, after);
}

static void a_jws_of_another_issuer_is_named_by_its_signing_input(void **state)
{
    site_t *site = make_site(*state, true);
    char *theirs = tt_mint(*state, "ES256", tt_key("P-256#theirs"), "x", "{\"iss\":\"https://other/\",\"jti\":\"1\",\"exp\":1}");
    passes(site, theirs);
    revoke_opaque(site, apr_pstrmemdup(*state, theirs, (size_t)(strrchr(theirs, '.') - theirs)));
    is_refused(site, same_bits(*state, theirs), TR_GUARD_REUSED);
    is_refused(site, theirs, TR_GUARD_REFUSED);
}

/* Tokens that only look alike: what one client revokes must not hit all tokens that begin like it. */
/* Its first parts can be read, and it was revoked as what nobody could read. */
static void a_token_with_more_parts_than_a_jws_is_known_by_its_text(void **state)
{
    site_t *site = make_site(*state, false);
    char *text = tt_print(*state, "%s.more", refresh_jwt(*state, "r1"));
    tr_str_t name;
    assert_int_equal(tr_gate_opaque_text(&name, tr_str_z(text), TR_MALFORMED, *state), APR_SUCCESS);
    assert_str_is(name, text);
    passes(site, text);
    revoke_opaque(site, text);
    is_refused(site, text, TR_GUARD_REFUSED);
}

static void a_request_with_a_fault_goes_no_further(void **state)
{
    site_t *site = make_site(*state, false);
    tr_grant_t grant;
    tr_guard_outcome_t outcome;
    memset(&grant, 0, sizeof grant);
    tr_grant_read_body(&grant, TR_GRANT_BODY_JSON, tr_str_z("{\"refresh_token\":\"a\",\"refresh_token\":\"b\"}"), *state);
    tr_guard_judge(&outcome, &site->guard, &grant, *state);
    assert_int_equal(outcome.answer.status, 400);
    assert_int_equal(ask(site, "grant_type=refresh_token&refresh_token=a%00b").answer.status, 0);
}

/* What a thief repeats must not log its owner out again. */
static void a_token_that_is_shown_again_and_again_moves_no_cut_off(void **state)
{
    site_t *site = make_site(*state, true);
    char *first = refresh_jwt(*state, "r1"), *second = refresh_jwt(*state, "r2");
    char *later =
        tt_mint(*state, "ES256", tt_key("P-256"), "k",
                tt_print(*state, "{\"iss\":\"%s\",\"sub\":\"alice\",\"sid\":\"s1\",\"jti\":\"n\",\"iat\":%d,\"exp\":%d}", TT_ISS,
                         TT_NOW + 50, TT_NOW + 3600));
    assert_int_equal(exchange(site, first, second, tt_good_token(*state, "a1", "")), TR_GUARD_ROTATED);
    is_refused(site, first, TR_GUARD_REUSED);
    assert_int_equal(held(site, TR_KIND_SESSION), 1);
    site->guard.wall = site->guard.now = TT_AT(TT_NOW + 100);
    is_refused(site, first, TR_GUARD_REFUSED);
    assert_int_equal(tt_admit(site->world, later), APR_SUCCESS);
}

static void two_opaque_tokens_with_dots_are_two(void **state)
{
    site_t *site = make_site(*state, false);
    static const char *alike[] = {"0.AXEA.rest", "0.AXEA.other", "eyJhbGciOiJkaXIifQ..iv.ct.tag", "a.b", "..", "a..b"};
    revoke_opaque(site, "0.AXEA");
    revoke_opaque(site, "eyJhbGciOiJkaXIifQ.");
    revoke_opaque(site, "a");
    for (size_t i = 0; i < sizeof alike / sizeof *alike; i++)
        passes(site, alike[i]);
}

static bool no(void)
{
    return false;
}

static void where_the_list_cannot_be_known_nobody_passes(void **state)
{
    for (int rotation = 0; rotation < 2; rotation++) {
        site_t *site = make_site(*state, rotation);
        char *jwt = refresh_jwt(*state, "r1");
        revoke_opaque(site, "opaque-1");
        site->world->gate.is_informed = no;
        is_refused(site, "opaque-2", TR_GUARD_UNKNOWN);
        is_refused(site, jwt, TR_GUARD_UNKNOWN);
        is_refused(site, same_bits(*state, jwt), TR_GUARD_UNKNOWN);
        is_refused(site, "opaque-1", rotation ? TR_GUARD_REUSED : TR_GUARD_REFUSED);
        tr_guard_outcome_t outcome = ask(site, "grant_type=refresh_token&refresh_token=opaque-2&refresh_token=opaque-1");
        assert_int_equal(outcome.event, TR_GUARD_REFUSED);
        assert_int_equal(exchange(site, "opaque-2", "opaque-3", "a"), TR_GUARD_UNKNOWN);
        site->world->gate.table = NULL;
        is_refused(site, "opaque-2", TR_GUARD_UNKNOWN);
        assert_int_equal(exchange(site, "opaque-2", "opaque-3", "a"), TR_GUARD_UNKNOWN);
    }
}

/* ---- rotation ---- */

static void an_exchanged_token_is_revoked_in_one_commit(void **state)
{
    site_t *site = make_site(*state, true);
    char *access = tt_good_token(*state, "a1", ""), *jwt = refresh_jwt(*state, "r1");
    assert_int_equal(exchange(site, "r-1", "r-2", access), TR_GUARD_ROTATED);
    assert_int_equal(site->commits, 1);
    assert_int_equal(site->rows, 3);
    assert_int_equal(tt_admit(site->world, access), APR_SUCCESS);
    passes(site, "r-2");
    assert_int_equal(exchange(site, jwt, refresh_jwt(*state, "r2"), "opaque access token"), TR_GUARD_ROTATED);
    assert_int_equal(site->commits, 2);
    assert_int_equal(site->rows, 6);
    assert_int_equal(held(site, TR_KIND_TOKEN), 1);
    is_refused(site, jwt, TR_GUARD_REUSED);
    is_refused(site, "r-1", TR_GUARD_REUSED);
}

static void without_another_refresh_token_nothing_changes(void **state)
{
    static const char *answers[] = {"{}", "{\"access_token\":\"a\",\"refresh_token\":\"r-1\"}", "{\"refresh_token\":null}",
                                    "{\"refresh_token\":\"\",\"access_token\":null}", "\xef\xbb\xbf{\"access_token\":\"a\"} \n"};
    site_t *site = make_site(*state, true);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        tr_guard_outcome_t outcome = answer_is(site, "r-1", answers[i]);
        assert_int_equal(outcome.event, TR_GUARD_NOTHING);
        assert_int_equal(outcome.answer.status, 0);
    }
    assert_int_equal(site->commits, 0);
    passes(site, "r-1");
}

static void an_answer_that_cannot_be_understood_is_withheld(void **state)
{
    static const char *answers[] = {"",
                                    "x",
                                    "[]",
                                    "access_token=a&refresh_token=b",
                                    "{\"refresh_token\":\"a\",\"refresh_token\":\"b\"}",
                                    "{\"refresh_token\":1}",
                                    "{\"refresh_token\":[\"a\"]}",
                                    "{\"access_token\":{}}",
                                    "{\"refresh_token\":\"a\"",
                                    "{\"refresh_token\":\"a\\u0000\"}"};
    site_t *site = make_site(*state, true);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        tr_guard_outcome_t outcome = answer_is(site, "r-1", answers[i]);
        assert_int_equal(outcome.event, TR_GUARD_UNREADABLE);
        assert_int_equal(outcome.answer.status, 502);
    }
    assert_int_equal(site->commits, 0);
}

static void reuse_ends_a_chain_of_opaque_tokens(void **state)
{
    for (int shown = 1; shown <= 4; shown++) {
        site_t *site = make_site(*state, true);
        char *access[6];
        for (int i = 1; i <= 4; i++) {
            access[i] = tt_good_token(*state, tt_print(*state, "a%d", i), "");
            assert_int_equal(exchange(site, tt_print(*state, "r-%d", i), tt_print(*state, "r-%d", i + 1), access[i]),
                             TR_GUARD_ROTATED);
        }
        assert_int_equal(exchange(site, "other-1", "other-2", tt_good_token(*state, "other", "")), TR_GUARD_ROTATED);
        passes(site, "r-5");
        is_refused(site, tt_print(*state, "r-%d", shown), TR_GUARD_REUSED);
        tr_guard_outcome_t outcome = show(site, "r-5");
        assert_int_equal(outcome.event, TR_GUARD_REFUSED);
        assert_int_equal(outcome.by, TR_KIND_FAMILY);
        for (int i = 1; i <= 4; i++)
            assert_int_equal(tt_admit(site->world, access[i]), TR_REVOKED);
        passes(site, "other-2");
        assert_int_equal(tt_admit(site->world, tt_good_token(*state, "other", "")), APR_SUCCESS);
        /* Once and for all: showing it again stores nothing. */
        int commits = site->commits;
        for (int i = 1; i <= 5; i++)
            is_refused(site, tt_print(*state, "r-%d", i), TR_GUARD_REFUSED);
        assert_int_equal(site->commits, commits);
    }
}

static void reuse_of_a_jwt_ends_its_family_and_session(void **state)
{
    site_t *site = make_site(*state, true);
    char *first = refresh_jwt(*state, "r1"), *second = refresh_jwt(*state, "r2"), *third = refresh_jwt(*state, "r3");
    char *mine = tt_good_token(*state, "a0", ",\"sid\":\"s1\""), *other = tt_good_token(*state, "b0", ",\"sid\":\"s2\"");
    char *bare = tt_good_token(*state, "a2", "");
    assert_int_equal(exchange(site, first, second, tt_good_token(*state, "a1", "")), TR_GUARD_ROTATED);
    assert_int_equal(exchange(site, second, third, bare), TR_GUARD_ROTATED);
    assert_int_equal(tt_admit(site->world, mine), APR_SUCCESS);
    is_refused(site, first, TR_GUARD_REUSED);
    is_refused(site, third, TR_GUARD_REFUSED);
    assert_int_equal(tt_admit(site->world, mine), TR_REVOKED);
    assert_int_equal(tt_admit(site->world, bare), TR_REVOKED);
    assert_int_equal(tt_admit(site->world, other), APR_SUCCESS);
    assert_int_equal(held(site, TR_KIND_SESSION), 1);
}

/* Whoever spells the signature otherwise must not begin a family of his own, nor exchange the token once more. */
static void another_spelling_does_not_leave_the_family(void **state)
{
    for (int first_odd = 0; first_odd < 2; first_odd++) {
        site_t *site = make_site(*state, true);
        char *first = refresh_jwt(*state, "r1"), *second = refresh_jwt(*state, "r2"), *third = refresh_jwt(*state, "r3");
        char *odd = same_bits(*state, first_odd ? first : second);
        assert_int_equal(exchange(site, first_odd ? odd : first, second, "a"), TR_GUARD_ROTATED);
        assert_int_equal(exchange(site, first_odd ? second : odd, third, "a"), TR_GUARD_ROTATED);
        passes(site, third);
        is_refused(site, first, TR_GUARD_REUSED);
        is_refused(site, third, TR_GUARD_REFUSED);
    }
    site_t *site = make_site(*state, true);
    char *jwt = refresh_jwt(*state, "r1");
    assert_int_equal(exchange(site, jwt, "r-2", "a"), TR_GUARD_ROTATED);
    assert_int_equal(exchange(site, same_bits(*state, jwt), "r-3", "a"), TR_GUARD_REUSED);
    is_refused(site, "r-2", TR_GUARD_REFUSED);
    is_refused(site, "r-3", TR_GUARD_REFUSED);
}

static void a_chain_of_jwts_that_nobody_here_can_verify_is_a_family(void **state)
{
    site_t *site = make_site(*state, true);
    char *token[4];
    for (int i = 0; i < 4; i++)
        token[i] =
            tt_mint(*state, "HS512", tt_key("oct64"), "inner", tt_claims(*state, tt_print(*state, "k%d", i), ",\"sid\":\"s1\""));
    for (int i = 0; i < 3; i++)
        assert_int_equal(exchange(site, token[i], token[i + 1], "a"), TR_GUARD_ROTATED);
    passes(site, token[3]);
    is_refused(site, token[1], TR_GUARD_REUSED);
    is_refused(site, token[3], TR_GUARD_REFUSED);
    assert_int_equal(held(site, TR_KIND_SESSION), 0);
}

/* One who knows a jti, but not the token, makes the guard end nothing by a token of his own that is revoked. */
static void a_made_up_token_ends_no_family_but_its_own(void **state)
{
    site_t *site = make_site(*state, true);
    char *first = refresh_jwt(*state, "r1"), *second = refresh_jwt(*state, "r2");
    char *made_up = tt_mint(*state, "HS512", tt_key("oct64"), "inner", tt_claims(*state, "r2", ",\"sid\":\"s1\""));
    assert_int_equal(exchange(site, first, second, "a"), TR_GUARD_ROTATED);
    revoke_opaque(site, apr_pstrmemdup(*state, made_up, (size_t)(strrchr(made_up, '.') - made_up)));
    is_refused(site, made_up, TR_GUARD_REUSED);
    passes(site, second);
    assert_int_equal(held(site, TR_KIND_SESSION), 0);
}

static void of_two_exchanges_at_once_both_end(void **state)
{
    site_t *site = make_site(*state, true);
    passes(site, "r-1");
    passes(site, "r-1");
    assert_int_equal(exchange(site, "r-1", "x-2", "a"), TR_GUARD_ROTATED);
    assert_int_equal(exchange(site, "r-1", "y-2", "a"), TR_GUARD_REUSED);
    is_refused(site, "x-2", TR_GUARD_REFUSED);
    is_refused(site, "y-2", TR_GUARD_REFUSED);
    assert_int_equal(exchange(site, "r-1", "z-2", tt_good_token(*state, "a1", "")), TR_GUARD_REFUSED);
    is_refused(site, "z-2", TR_GUARD_REFUSED);
    assert_int_equal(tt_admit(site->world, tt_good_token(*state, "a1", "")), TR_REVOKED);
}

/* "Log out everywhere" while an exchange is under way: what it brings was issued after the cut-off, and dies all the same. */
static void what_is_given_out_for_a_token_revoked_meanwhile_is_revoked(void **state)
{
    site_t *site = make_site(*state, true);
    char *old = refresh_jwt(*state, "r1");
    char *access = tt_mint(*state, "ES256", tt_key("P-256"), "k",
                           tt_print(*state, "{\"iss\":\"%s\",\"sub\":\"alice\",\"jti\":\"late\",\"iat\":%d,\"exp\":%d}", TT_ISS,
                                    TT_NOW + 1, TT_NOW + 600));
    passes(site, old);
    cut_off(site, TR_KIND_SUBJECT, "alice");
    assert_int_equal(tt_admit(site->world, access), APR_SUCCESS);
    assert_int_equal(exchange(site, old, "r-2", access), TR_GUARD_REFUSED);
    is_refused(site, "r-2", TR_GUARD_REFUSED);
    assert_int_equal(tt_admit(site->world, access), TR_REVOKED);
}

static void what_cannot_be_stored_is_withheld(void **state)
{
    site_t *site = make_site(*state, true);
    site->fails = APR_EGENERAL;
    assert_int_equal(exchange(site, "r-1", "r-2", "a"), TR_GUARD_NOT_STORED);
    is_refused(site, "r-1", TR_GUARD_NOT_STORED);
    site->fails = APR_SUCCESS;
    revoke_opaque(site, "q-1");
    site->fails = APR_EGENERAL;
    is_refused(site, "q-1", TR_GUARD_NOT_STORED);
    site->guard.ledger = NULL;
    assert_int_equal(exchange(site, "s-1", "s-2", "a"), TR_GUARD_NOT_STORED);
}

static void a_full_table_withholds_the_answer(void **state)
{
    site_t *site = make_site(*state, true);
    int i = 0;
    while (exchange(site, tt_print(*state, "f-%d", i), tt_print(*state, "g-%d", i), "a") == TR_GUARD_ROTATED)
        i++;
    assert_true(i > 10);
    assert_int_equal(exchange(site, "h-1", "h-2", "a"), TR_GUARD_NOT_STORED);
}

/* When nobody can exchange any token of the family any more, its entries have ended. */
static void entries_last_as_long_as_the_tokens(void **state)
{
    site_t *site = make_site(*state, true);
    char *jwt = refresh_jwt(*state, "r1");
    assert_int_equal(exchange(site, "r-1", "r-2", "a"), TR_GUARD_ROTATED);
    assert_int_equal(exchange(site, jwt, refresh_jwt(*state, "r2"), tt_good_token(*state, "a1", "")), TR_GUARD_ROTATED);
    assert_int_equal(held(site, TR_KIND_OPAQUE) + held(site, TR_KIND_MEMBER) + held(site, TR_KIND_TOKEN), 6);
    tr_table_begin_locked(site->world->table);
    tr_table_sweep_locked(site->world->table, TT_NOW + 1000, 0);
    assert_int_equal(held(site, TR_KIND_OPAQUE) + held(site, TR_KIND_MEMBER) + held(site, TR_KIND_TOKEN), 6);
    tr_table_sweep_locked(site->world->table, TT_NOW + 1002, 0);
    assert_int_equal(held(site, TR_KIND_OPAQUE) + held(site, TR_KIND_MEMBER) + held(site, TR_KIND_TOKEN), 4);
    tr_table_sweep_locked(site->world->table, TT_NOW + 3600 + 60, 0);
    assert_int_equal(held(site, TR_KIND_OPAQUE) + held(site, TR_KIND_MEMBER) + held(site, TR_KIND_TOKEN), 4);
    tr_table_sweep_locked(site->world->table, TT_NOW + 3600 + 62, 0);
    assert_int_equal(held(site, TR_KIND_OPAQUE) + held(site, TR_KIND_MEMBER) + held(site, TR_KIND_TOKEN), 0);
    tr_table_end_locked(site->world->table);
    site->guard.opaque_s = TR_FOREVER;
    assert_int_equal(exchange(site, "r-1", "r-2", "a"), TR_GUARD_ROTATED);
    tr_table_begin_locked(site->world->table);
    tr_table_sweep_locked(site->world->table, INT64_C(2000000000), 0);
    tr_table_end_locked(site->world->table);
    is_refused(site, "r-1", TR_GUARD_REUSED);
    is_refused(site, "r-2", TR_GUARD_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_revoked_token_is_refused_and_others_pass),
        TT_TEST(what_is_no_exchange_passes),
        TT_TEST(a_revoked_token_among_others_is_found),
        TT_TEST(another_spelling_of_a_revoked_opaque_token_is_refused),
        TT_TEST(a_token_in_another_spelling_is_of_the_same_family),
        TT_TEST(with_rotation_a_token_must_have_one_reading),
        TT_TEST(every_spelling_of_a_revoked_jwt_is_refused),
        TT_TEST(a_forged_jwt_is_let_on_and_changes_nothing),
        TT_TEST(subject_session_client_and_issuer_reach_refresh_jwts),
        TT_TEST(a_jwt_that_nobody_here_can_verify_is_judged_by_its_claims),
        TT_TEST(a_jws_of_another_issuer_is_named_by_its_signing_input),
        TT_TEST(a_token_with_more_parts_than_a_jws_is_known_by_its_text),
        TT_TEST(a_request_with_a_fault_goes_no_further),
        TT_TEST(a_token_that_is_shown_again_and_again_moves_no_cut_off),
        TT_TEST(two_opaque_tokens_with_dots_are_two),
        TT_TEST(where_the_list_cannot_be_known_nobody_passes),
        TT_TEST(an_exchanged_token_is_revoked_in_one_commit),
        TT_TEST(without_another_refresh_token_nothing_changes),
        TT_TEST(an_answer_that_cannot_be_understood_is_withheld),
        TT_TEST(reuse_ends_a_chain_of_opaque_tokens),
        TT_TEST(reuse_of_a_jwt_ends_its_family_and_session),
        TT_TEST(another_spelling_does_not_leave_the_family),
        TT_TEST(a_chain_of_jwts_that_nobody_here_can_verify_is_a_family),
        TT_TEST(a_made_up_token_ends_no_family_but_its_own),
        TT_TEST(of_two_exchanges_at_once_both_end),
        TT_TEST(what_is_given_out_for_a_token_revoked_meanwhile_is_revoked),
        TT_TEST(what_cannot_be_stored_is_withheld),
        TT_TEST(a_full_table_withholds_the_answer),
        TT_TEST(entries_last_as_long_as_the_tokens),
    };
    return TT_RUN(tests);
}
