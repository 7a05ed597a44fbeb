/*
 * What logging out revokes: every token that was shown, at the configured scope, with one commit; and which opaque ones.
 */
#include "tr_limits.h"
#include "tr_logout.h"
#include "tr_reason.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

#define DAY 86400

/* A store that counts, and fails when told to. */
typedef struct book_t {
    int commits;
    int rows;
    tr_kind_t kinds[64];
    char reasons[64];
    apr_status_t answer;
} book_t;

static apr_status_t append(void *baton, tr_revocation_t *const *list, int n, apr_time_t now)
{
    book_t *book = baton;
    (void)now;
    if (book->answer != APR_SUCCESS)
        return book->answer;
    book->commits++;
    for (int i = 0; i < n; i++) {
        book->kinds[book->rows] = list[i]->entry.kind;
        book->reasons[book->rows++] = list[i]->circumstances.reason.len > 0 ? list[i]->circumstances.reason.data[0] : '-';
        list[i]->seq = book->rows;
    }
    return APR_SUCCESS;
}

typedef struct scene_t {
    tt_world_t *world;
    book_t book;
    tr_ledger_t *ledger;
    tr_keep_t keep;
    tr_logout_request_t request;
    apr_array_header_t *tokens;
} scene_t;

static scene_t *scene(apr_pool_t *pool, tr_scope_t scope)
{
    scene_t *s = apr_pcalloc(pool, sizeof *s);
    s->world = tt_world(pool, 100);
    s->ledger = tr_ledger_make(s->world->table, s->world->lock, append, &s->book, pool);
    s->keep.after_s = 60;
    s->tokens = apr_array_make(pool, 4, sizeof(tr_str_t));
    s->request.tokens = s->tokens;
    s->request.scope = scope;
    s->request.keep = &s->keep;
    s->request.circumstances.reason = tr_str_z("logout");
    s->request.wall = s->request.now = TT_AT(TT_NOW);
    return s;
}

static void show(scene_t *s, const char *token)
{
    assert_true(tr_logout_add_token(s->tokens, tr_str_z(token)));
}

static void show_refresh(scene_t *s, const char *token)
{
    show(s, token);
    s->request.refresh_token = tr_str_z(token);
}

static tr_logout_result_t log_out(scene_t *s)
{
    tr_logout_result_t result;
    memset(&result, 0xee, sizeof result);
    tr_logout_revoke(&result, &s->request, &s->world->gate, s->ledger, s->world->pool);
    assert_true(result.named != NULL && result.passed_over != NULL && (*result.named != '\0') == (result.revoked > 0));
    return result;
}

static void expect(scene_t *s, int revoked, int rows)
{
    tr_logout_result_t result = log_out(s);
    assert_int_equal(result.verdict, APR_SUCCESS);
    assert_int_equal(result.revoked, revoked);
    assert_int_equal(s->book.rows, rows);
}

static apr_status_t check_opaque(scene_t *s, const char *text)
{
    tr_kind_t by;
    return tr_gate_check_opaque(&by, &s->world->gate, tr_str_z(text), s->world->pool);
}

static void without_tokens_there_is_nothing_to_do_and_nothing_to_fail(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_SUBJECT);
    s->book.answer = APR_EGENERAL;
    expect(s, 0, 0);
    s->ledger = NULL;
    expect(s, 0, 0);
    show(s, "garbage");
    expect(s, 0, 0);
}

static void all_tokens_die_in_one_commit(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_TOKEN);
    char *one = tt_good_token(*state, "j1", ",\"sid\":\"s\""), *two = tt_good_token(*state, "j2", ",\"sid\":\"s\"");
    char *three = tt_good_token(*state, NULL, ""), *other = tt_good_token(*state, "j4", ",\"sid\":\"s\"");
    show(s, one);
    show(s, "no.good.token");
    show(s, two);
    show(s, tt_mint(*state, "ES256", tt_key("P-256"), "k", "{\"iss\":\"" TT_ISS "\",\"jti\":\"old\",\"exp\":1000}"));
    show(s, three);
    expect(s, 3, 3);
    assert_int_equal(s->book.commits, 1);
    assert_int_equal(tt_admit(s->world, one), TR_REVOKED);
    assert_int_equal(tt_admit(s->world, two), TR_REVOKED);
    assert_int_equal(tt_admit(s->world, three), TR_REVOKED);
    assert_int_equal(tt_admit(s->world, other), APR_SUCCESS);
    assert_int_equal(s->book.reasons[0], 'l');
}

static void a_refresh_token_that_is_a_jwt_is_a_token_like_any_other(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_TOKEN);
    show_refresh(s, tt_good_token(*state, "r1", ",\"token_use\":\"refresh\""));
    expect(s, 1, 1);
    assert_int_equal(s->book.kinds[0], TR_KIND_TOKEN);
}

static void the_scope_takes_session_or_subject_along_once(void **state)
{
    static const struct {
        tr_scope_t scope;
        tr_kind_t kind;
        apr_status_t of_session, of_subject;
    } scopes[] = {{TR_SCOPE_SESSION, TR_KIND_SESSION, TR_REVOKED, APR_SUCCESS},
                  {TR_SCOPE_SUBJECT, TR_KIND_SUBJECT, TR_REVOKED, TR_REVOKED}};
    for (size_t i = 0; i < 2; i++) {
        scene_t *s = scene(*state, scopes[i].scope);
        show(s, tt_good_token(*state, "j1", ",\"sid\":\"s\""));
        show(s, tt_good_token(*state, "j2", ",\"sid\":\"s\""));
        expect(s, 2, 3);
        assert_int_equal(s->book.kinds[0], TR_KIND_TOKEN);
        assert_int_equal(s->book.kinds[1], scopes[i].kind);
        assert_int_equal(s->book.kinds[2], TR_KIND_TOKEN);
        assert_int_equal(s->book.commits, 1);
        assert_int_equal(tt_admit(s->world, tt_good_token(*state, "j3", ",\"sid\":\"s\"")), scopes[i].of_session);
        assert_int_equal(tt_admit(s->world, tt_good_token(*state, "j4", ",\"sid\":\"t\"")), scopes[i].of_subject);
    }
}

static void a_token_that_names_no_session_ends_alone(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_SESSION);
    show(s, tt_good_token(*state, "j1", ""));
    expect(s, 1, 1);
    assert_int_equal(tt_admit(s->world, tt_good_token(*state, "j2", "")), APR_SUCCESS);
}

/* Somebody kept a token whose owner has logged out, and in again. */
static void a_dead_token_does_not_end_the_next_session(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_SUBJECT);
    char *dead = tt_good_token(*state, "j1", "");
    char *fresh = tt_mint(*state, "ES256", tt_key("P-256"), "k",
                          tt_print(*state, "{\"iss\":\"%s\",\"sub\":\"alice\",\"jti\":\"new\",\"iat\":%d,\"exp\":%d}", TT_ISS,
                                   TT_NOW + 50, TT_NOW + 3600));
    show(s, dead);
    expect(s, 1, 2);
    s->request.wall = s->request.now = TT_AT(TT_NOW + 100);
    expect(s, 1, 2);
    assert_int_equal(tt_admit(s->world, dead), TR_REVOKED);
    assert_int_equal(tt_admit(s->world, fresh), APR_SUCCESS);
    show(s, fresh);
    expect(s, 2, 4);
    assert_int_equal(tt_admit(s->world, fresh), TR_REVOKED);
}

static void a_token_that_was_revoked_alone_still_ends_its_subject(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_TOKEN);
    char *token = tt_good_token(*state, "j1", "");
    show(s, token);
    expect(s, 1, 1);
    s->request.scope = TR_SCOPE_SUBJECT;
    expect(s, 1, 2);
    assert_int_equal(s->book.kinds[1], TR_KIND_SUBJECT);
    assert_int_equal(tt_admit(s->world, tt_good_token(*state, "j2", "")), TR_REVOKED);
}

static char *token_at(apr_pool_t *pool, const char *jti, int64_t iat)
{
    return tt_mint(pool, "ES256", tt_key("P-256"), "k",
                   tt_print(pool, "{\"iss\":\"%s\",\"sub\":\"alice\",\"jti\":\"%s\",\"iat\":%lld,\"exp\":%d}", TT_ISS, jti,
                            (long long)iat, TT_NOW + 3600));
}

/* A cut-off of before its login says nothing of it. */
static void a_token_that_was_revoked_alone_ends_what_an_older_cut_off_did_not(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_SUBJECT);
    show(s, token_at(*state, "old", TT_NOW - 1000));
    s->request.wall = s->request.now = TT_AT(TT_NOW - 900);
    expect(s, 1, 2);
    apr_array_clear(s->tokens);
    s->request.wall = s->request.now = TT_AT(TT_NOW);
    show(s, token_at(*state, "new", TT_NOW - 100));
    s->request.scope = TR_SCOPE_TOKEN;
    expect(s, 1, 3);
    assert_int_equal(tt_admit(s->world, token_at(*state, "other", TT_NOW - 50)), APR_SUCCESS);
    s->request.scope = TR_SCOPE_SUBJECT;
    (void)log_out(s);
    assert_int_equal(tt_admit(s->world, token_at(*state, "other", TT_NOW - 50)), TR_REVOKED);
}

/* An issuer whose clock is ahead has written both. */
static void of_two_tokens_of_one_subject_the_later_ends_it(void **state)
{
    for (int first = 0; first < 2; first++) {
        scene_t *s = scene(*state, TR_SCOPE_SUBJECT);
        show(s, token_at(*state, "a", first == 0 ? TT_NOW : TT_NOW + 40));
        show(s, token_at(*state, "b", first == 0 ? TT_NOW + 40 : TT_NOW));
        expect(s, 2, 3);
        assert_int_equal(tt_admit(s->world, token_at(*state, "c", TT_NOW + 40)), TR_REVOKED);
    }
}

static void what_could_not_be_stored_is_stored_when_it_is_asked_for_again(void **state)
{
    for (tr_scope_t scope = TR_SCOPE_TOKEN; scope <= TR_SCOPE_SUBJECT; scope++) {
        scene_t *s = scene(*state, scope);
        show(s, tt_good_token(*state, "j1", ",\"sid\":\"s\""));
        s->book.answer = APR_EGENERAL;
        assert_int_equal(log_out(s).verdict, APR_EGENERAL);
        assert_int_equal(log_out(s).verdict, APR_EGENERAL);
        s->book.answer = APR_SUCCESS;
        expect(s, 1, scope == TR_SCOPE_TOKEN ? 1 : 2);
        expect(s, 1, scope == TR_SCOPE_TOKEN ? 1 : 2);
    }
}

static void without_a_ledger_a_good_token_is_a_failure(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_TOKEN);
    s->ledger = NULL;
    show(s, tt_good_token(*state, "j1", ""));
    assert_int_equal(log_out(s).verdict, APR_EGENERAL);
}

/* ---- opaque refresh tokens --------------------------------------------------------------------------------- */

/* Good for once, at its own endpoint: whoever has seen one could log its user out again and again. */
static void a_logout_token_logs_nobody_out_here(void **state)
{
    static const char *ends[] = {"1700003600", "1699999000"};
    for (int i = 0; i < 2; i++) {
        scene_t *s = scene(*state, TR_SCOPE_SUBJECT);
        char *claims =
            tt_print(*state, "{\"iss\":\"%s\",\"sub\":\"alice\",\"jti\":\"l\",\"iat\":1699998000,\"exp\":%s", TT_ISS, ends[i]);
        s->request.opaque_s = DAY;
        show(s, tt_token(*state, "ES256", tt_key("P-256"), "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"logout+jwt\"}",
                         tt_print(*state, "%s}", claims)));
        show(s, tt_mint(*state, "ES256", tt_key("P-256"), "k", tt_print(*state, "%s,\"events\":{}}", claims)));
        show_refresh(s, "opaque");
        expect(s, 0, 0);
        assert_int_equal(tt_admit(s->world, token_at(*state, "c", TT_NOW - 2000)), APR_SUCCESS);
    }
}

static void nobody_unknown_brings_an_opaque_token(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_TOKEN);
    s->request.opaque_s = 30 * DAY;
    show_refresh(s, "opaque-1");
    expect(s, 0, 0);
    show(s, "garbage");
    show(s, tt_mint(*state, "ES256", tt_key("P-256"), NULL, "{\"iss\":\"https://evil.test/\",\"exp\":1700000100}"));
    expect(s, 0, 0);
    assert_int_equal(check_opaque(s, "opaque-1"), APR_SUCCESS);
}

static void a_user_or_a_good_token_brings_one(void **state)
{
    for (int by_user = 0; by_user < 2; by_user++) {
        scene_t *s = scene(*state, TR_SCOPE_TOKEN);
        s->request.opaque_s = 30 * DAY;
        s->request.is_known = by_user;
        show_refresh(s, "opaque-1");
        if (!by_user)
            show(s, tt_good_token(*state, "j1", ""));
        expect(s, by_user ? 1 : 2, by_user ? 1 : 2);
        assert_int_equal(s->book.commits, 1);
        assert_int_equal(check_opaque(s, "opaque-1"), TR_REVOKED);
        assert_int_equal(check_opaque(s, "opaque-2"), APR_SUCCESS);
    }
}

static void only_the_refresh_token_may_be_opaque(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_TOKEN);
    s->request.opaque_s = 30 * DAY;
    s->request.is_known = true;
    show(s, "opaque-1");
    expect(s, 0, 0);
}

static void without_the_directive_no_opaque_token_is_taken(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_TOKEN);
    s->request.is_known = true;
    show_refresh(s, "opaque-1");
    expect(s, 0, 0);
}

static char *expired(apr_pool_t *pool, long ago, const char *key)
{
    return tt_mint(pool, "ES256", tt_key(key), "k",
                   tt_print(pool, "{\"iss\":\"%s\",\"sub\":\"a\",\"jti\":\"x\",\"exp\":%ld}", TT_ISS, TT_NOW - ago));
}

static void an_access_token_that_ended_before_its_refresh_token_brings_it(void **state)
{
    static const struct {
        long ago;
        const char *key;
        int revoked;
    } cases[] = {{3600, "P-256", 1}, {DAY - 1, "P-256", 1}, {DAY + 1, "P-256", 0}, {3600, "P-256#other", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scene_t *s = scene(*state, TR_SCOPE_TOKEN);
        s->request.opaque_s = DAY;
        show_refresh(s, "opaque-1");
        show(s, expired(*state, cases[i].ago, cases[i].key));
        expect(s, cases[i].revoked, 2 * cases[i].revoked);
    }
}

/* Or whoever once had a token could fill the table. */
static void an_expired_token_brings_one_and_no_more(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_TOKEN);
    s->request.opaque_s = DAY;
    show_refresh(s, "opaque-1");
    show(s, expired(*state, 3600, "P-256"));
    s->book.answer = APR_EGENERAL;
    assert_int_equal(log_out(s).verdict, APR_EGENERAL);
    s->book.answer = APR_SUCCESS;
    expect(s, 1, 1);
    s->request.refresh_token = tr_str_z("opaque-2");
    show(s, "opaque-2");
    expect(s, 0, 1);
    assert_int_equal(check_opaque(s, "opaque-1"), TR_REVOKED);
    assert_int_equal(check_opaque(s, "opaque-2"), APR_SUCCESS);
}

static void a_revoked_token_brings_no_new_one_but_asks_again_for_the_same(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_TOKEN);
    s->request.opaque_s = DAY;
    show(s, tt_good_token(*state, "j1", ""));
    show_refresh(s, "opaque-1");
    s->book.answer = APR_EGENERAL;
    assert_int_equal(log_out(s).verdict, APR_EGENERAL);
    s->book.answer = APR_SUCCESS;
    expect(s, 2, 2);
    s->request.refresh_token = tr_str_z("opaque-2");
    show(s, "opaque-2");
    expect(s, 1, 2);
    assert_int_equal(check_opaque(s, "opaque-2"), APR_SUCCESS);
}

static void the_most_tokens_there_can_be_are_taken(void **state)
{
    scene_t *s = scene(*state, TR_SCOPE_SESSION);
    s->request.opaque_s = DAY;
    for (int i = 1; i < TR_MAX_LOGOUT_TOKENS; i++)
        show(s, tt_good_token(*state, tt_print(*state, "j%d", i), tt_print(*state, ",\"sid\":\"s%d\"", i)));
    show_refresh(s, "opaque");
    expect(s, TR_MAX_LOGOUT_TOKENS, 2 * TR_MAX_LOGOUT_TOKENS - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(without_tokens_there_is_nothing_to_do_and_nothing_to_fail),
        TT_TEST(all_tokens_die_in_one_commit),
        TT_TEST(a_refresh_token_that_is_a_jwt_is_a_token_like_any_other),
        TT_TEST(the_scope_takes_session_or_subject_along_once),
        TT_TEST(a_token_that_names_no_session_ends_alone),
        TT_TEST(a_dead_token_does_not_end_the_next_session),
        TT_TEST(a_token_that_was_revoked_alone_still_ends_its_subject),
        TT_TEST(a_token_that_was_revoked_alone_ends_what_an_older_cut_off_did_not),
        TT_TEST(of_two_tokens_of_one_subject_the_later_ends_it),
        TT_TEST(what_could_not_be_stored_is_stored_when_it_is_asked_for_again),
        TT_TEST(without_a_ledger_a_good_token_is_a_failure),
        TT_TEST(a_logout_token_logs_nobody_out_here),
        TT_TEST(nobody_unknown_brings_an_opaque_token),
        TT_TEST(a_user_or_a_good_token_brings_one),
        TT_TEST(only_the_refresh_token_may_be_opaque),
        TT_TEST(without_the_directive_no_opaque_token_is_taken),
        TT_TEST(an_access_token_that_ended_before_its_refresh_token_brings_it),
        TT_TEST(an_expired_token_brings_one_and_no_more),
        TT_TEST(a_revoked_token_brings_no_new_one_but_asks_again_for_the_same),
        TT_TEST(the_most_tokens_there_can_be_are_taken),
    };
    return TT_RUN(tests);
}
