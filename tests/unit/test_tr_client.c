/*
 * Are a client's credentials good?
 */
#include "tr_client.h"

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "tr_reason.h"
#include "tr_testing_clients.h"
#include "tr_testing_cmocka.h"

static tr_clients_t *parse(const char *text, apr_pool_t *pool)
{
    tr_clients_t *clients = NULL;
    const char *why = NULL;
    if (tr_clients_parse(&clients, &why, tr_str_z(text), pool) != APR_SUCCESS)
        fail_msg("%s", why);
    return clients;
}

static tr_credentials_t with_secret(const char *id, const char *secret)
{
    tr_credentials_t c = {1, true, {tr_str_z(id)}, {tr_str_z(secret)}};
    return c;
}

static tr_credentials_t alone(const char *id)
{
    tr_credentials_t c = {1, false, {tr_str_z(id)}, {{NULL, 0}}};
    return c;
}

static void expect_client(const tr_clients_t *clients, tr_credentials_t c, tr_client_cache_t *cache, tr_client_kind_t kind,
                          const char *id)
{
    tr_client_t client;
    memset(&client, 0xee, sizeof client);
    assert_int_equal(tr_client_authenticate(&client, clients, &c, cache), APR_SUCCESS);
    assert_int_equal(client.kind, kind);
    assert_str_is(client.id, id);
}

static void expect_refused(const tr_clients_t *clients, tr_credentials_t c, tr_client_cache_t *cache)
{
    tr_client_t client;
    memset(&client, 0xee, sizeof client);
    assert_int_equal(tr_client_authenticate(&client, clients, &c, cache), APR_EACCES);
    assert_int_equal(client.kind, TR_CLIENT_NONE);
    assert_int_equal(client.id.len, 0);
}

static tr_client_cache_t *new_cache(apr_pool_t *pool)
{
    tr_client_cache_t *cache = apr_pcalloc(pool, sizeof *cache);
    assert_int_equal(tr_client_cache_init(cache), APR_SUCCESS);
    return cache;
}

static int marks(const tr_client_cache_t *cache)
{
    int n = 0;
    for (int i = 0; i < TR_CLIENT_CACHE_SLOTS; i++)
        n += cache->mark[i][0] != 0;
    return n;
}

static void a_client_that_knows_its_secret_is_confidential(void **state)
{
    for (size_t i = 0; i < TT_HASHES; i++) {
        tr_clients_t *clients = parse(tt_print(*state, "app:%s\n", tt_hashes[i]), *state);
        expect_client(clients, with_secret("app", TT_SECRET), NULL, TR_CLIENT_CONFIDENTIAL, "app");
        expect_refused(clients, with_secret("app", "Open sesame"), NULL);
        expect_refused(clients, with_secret("app", tt_hashes[i]), NULL);
        expect_refused(clients, with_secret("App", TT_SECRET), NULL);
        expect_refused(clients, with_secret("ap", TT_SECRET), NULL);
    }
}

static void the_secret_of_another_client_opens_nothing(void **state)
{
    tr_clients_t *one = parse("app:" TT_SHA1 "\nspa:\n", *state);
    for (int i = 0; i < 20; i++)
        expect_refused(one, with_secret(tt_print(*state, "nobody-%d", i), TT_SECRET), NULL);
    expect_refused(one, with_secret("spa", TT_SECRET), NULL);
    tr_clients_t *two = parse("app:" TT_SHA1 "\nelse:" TT_SHA1_OTHER "\n", *state);
    expect_refused(two, with_secret("else", TT_SECRET), NULL);
}

static void a_public_client_names_itself_and_only_by_its_id(void **state)
{
    tr_clients_t *clients = parse("app:" TT_SHA1 "\nspa:\n", *state);
    expect_client(clients, alone("spa"), NULL, TR_CLIENT_PUBLIC, "spa");
    expect_refused(clients, with_secret("spa", "x"), NULL);
    expect_refused(clients, alone("app"), NULL);
    expect_refused(clients, alone("nobody"), NULL);
}

static void a_file_of_public_clients_has_no_secret_to_find(void **state)
{
    tr_clients_t *clients = parse("spa:\n", *state);
    expect_client(clients, alone("spa"), NULL, TR_CLIENT_PUBLIC, "spa");
    expect_refused(clients, with_secret("spa", "x"), NULL);
    expect_refused(clients, with_secret("nobody", "x"), NULL);
}

static void no_reading_is_nobody(void **state)
{
    tr_credentials_t none = {0, true, {{NULL, 0}}, {{NULL, 0}}};
    expect_refused(parse("app:" TT_SHA1 "\n", *state), none, NULL);
    none.has_secret = false;
    expect_refused(parse("app:" TT_SHA1 "\n", *state), none, NULL);
}

static void each_reading_is_tried(void **state)
{
    tr_clients_t *clients = parse("p+q:" TT_SHA1 "\np q:" TT_BCRYPT "\n", *state);
    tr_credentials_t both = {2, true, {tr_str_z("p q"), tr_str_z("p+q")}, {tr_str_z("x"), tr_str_z(TT_SECRET)}};
    expect_client(clients, both, NULL, TR_CLIENT_CONFIDENTIAL, "p+q");
    both.secret[0] = tr_str_z(TT_SECRET);
    expect_client(clients, both, NULL, TR_CLIENT_CONFIDENTIAL, "p q");
    both.secret[0] = both.secret[1] = tr_str_z("x");
    expect_refused(clients, both, NULL);
}

static void what_was_good_is_remembered_and_nothing_else(void **state)
{
    tr_client_cache_t *cache = new_cache(*state);
    tr_clients_t *clients = parse("app:" TT_BCRYPT "\nelse:" TT_SHA1 "\nspa:\n", *state);
    expect_refused(clients, with_secret("app", "x"), cache);
    expect_refused(clients, with_secret("nobody", TT_SECRET), cache);
    expect_refused(clients, with_secret("spa", TT_SECRET), cache);
    expect_client(clients, alone("spa"), cache, TR_CLIENT_PUBLIC, "spa");
    assert_int_equal(marks(cache), 0);
    for (int i = 0; i < 3; i++) {
        expect_client(clients, with_secret("app", TT_SECRET), cache, TR_CLIENT_CONFIDENTIAL, "app");
        assert_int_equal(marks(cache), 1);
    }
    expect_refused(clients, with_secret("app", "Open sesame"), cache);
    expect_refused(clients, with_secret("nobody", TT_SECRET), cache);
    expect_client(clients, with_secret("else", TT_SECRET), cache, TR_CLIENT_CONFIDENTIAL, "else");
    assert_int_equal(marks(cache), 2);
}

static void a_line_that_changed_or_went_is_not_remembered(void **state)
{
    tr_client_cache_t *cache = new_cache(*state);
    expect_client(parse("app:" TT_SHA1 "\n", *state), with_secret("app", TT_SECRET), cache, TR_CLIENT_CONFIDENTIAL, "app");
    expect_refused(parse("app:" TT_SHA1_OTHER "\n", *state), with_secret("app", TT_SECRET), cache);
    expect_refused(parse("else:" TT_SHA1 "\n", *state), with_secret("app", TT_SECRET), cache);
    expect_refused(parse("app:\nelse:" TT_SHA1 "\n", *state), with_secret("app", TT_SECRET), cache);
    expect_client(parse("app:" TT_SHA1 "\n", *state), with_secret("app", TT_SECRET), cache, TR_CLIENT_CONFIDENTIAL, "app");
}

/* What is remembered is believed: that shows that the hash was not asked. */
static void a_remembered_secret_costs_no_hash(void **state)
{
    tr_client_cache_t *cache = new_cache(*state);
    tr_clients_t *slow = parse("app:$2y$08$flnUBNKUQKHbLUH5b7hGq.lWGU78RuDrvoFXuvr0PP9Cm1J.re76C\n", *state);
    expect_client(slow, with_secret("app", TT_SECRET), cache, TR_CLIENT_CONFIDENTIAL, "app");
    apr_time_t begin = apr_time_now();
    expect_client(slow, with_secret("app", TT_SECRET), NULL, TR_CLIENT_CONFIDENTIAL, "app");
    apr_time_t hashed = apr_time_now() - begin, best = hashed;
    for (int i = 0; i < 20; i++) {
        begin = apr_time_now();
        expect_client(slow, with_secret("app", TT_SECRET), cache, TR_CLIENT_CONFIDENTIAL, "app");
        apr_time_t took = apr_time_now() - begin;
        best = took < best ? took : best;
    }
    assert_true(best * 10 < hashed);
}

static void nobody_knows_the_marks_of_another_process(void **state)
{
    tr_clients_t *clients = parse("app:" TT_SHA1 "\n", *state);
    tr_client_cache_t *one = new_cache(*state), *two = new_cache(*state);
    expect_client(clients, with_secret("app", TT_SECRET), one, TR_CLIENT_CONFIDENTIAL, "app");
    expect_client(clients, with_secret("app", TT_SECRET), two, TR_CLIENT_CONFIDENTIAL, "app");
    assert_int_equal(marks(one), 1);
    assert_int_equal(marks(two), 1);
    assert_memory_not_equal(one->mark, two->mark, sizeof one->mark);
}

static void ids_and_secrets_do_not_run_into_each_other_in_the_cache(void **state)
{
    tr_client_cache_t *cache = new_cache(*state);
    tr_clients_t *clients = parse("ab:" TT_SHA1 "\na:" TT_SHA1 "\n", *state);
    expect_client(clients, with_secret("ab", TT_SECRET), cache, TR_CLIENT_CONFIDENTIAL, "ab");
    expect_refused(clients, with_secret("a", "b" TT_SECRET), cache);
}

static void a_full_cache_forgets_and_stays_right(void **state)
{
    tr_client_cache_t *cache = new_cache(*state);
    const char *text = "";
    for (int block = 0; block < 30; block++) {
        char *piece = apr_pstrdup(*state, "");
        for (int i = 0; i < 100; i++)
            piece = tt_print(*state, "%sc%d:%s\n", piece, block * 100 + i, TT_SHA1);
        text = apr_pstrcat(*state, text, piece, NULL);
    }
    tr_clients_t *clients = parse(text, *state);
    for (int i = 0; i < 3000; i++)
        expect_client(clients, with_secret(tt_print(*state, "c%d", i), TT_SECRET), cache, TR_CLIENT_CONFIDENTIAL,
                      tt_print(*state, "c%d", i));
    assert_in_range(marks(cache), TR_CLIENT_CACHE_SLOTS / 2, TR_CLIENT_CACHE_SLOTS);
    for (int i = 0; i < 3000; i++)
        expect_refused(clients, with_secret(tt_print(*state, "c%d", i), "x"), cache);
}

typedef struct crowd_t {
    const tr_clients_t *clients;
    tr_client_cache_t *cache;
    int wrong;
} crowd_t;

static void *APR_THREAD_FUNC ask_often(apr_thread_t *thread, void *baton)
{
    crowd_t *crowd = baton;
    (void)thread;
    for (int i = 0; i < 2000; i++) {
        char id[16];
        tr_client_t client;
        snprintf(id, sizeof id, "c%d", i % 8);
        tr_credentials_t good = with_secret(id, TT_SECRET), bad = with_secret(id, "x");
        crowd->wrong += tr_client_authenticate(&client, crowd->clients, &good, crowd->cache) != APR_SUCCESS;
        crowd->wrong += tr_client_authenticate(&client, crowd->clients, &bad, crowd->cache) != APR_EACCES;
    }
    return NULL;
}

static void threads_share_the_cache(void **state)
{
    crowd_t crowd[4];
    apr_thread_t *thread[4];
    tr_client_cache_t *cache = new_cache(*state);
    char *text = apr_pstrdup(*state, "");
    for (int i = 0; i < 8; i++)
        text = tt_print(*state, "%sc%d:%s\n", text, i, TT_SHA1);
    tr_clients_t *clients = parse(text, *state);
    for (int i = 0; i < 4; i++) {
        crowd[i] = (crowd_t){clients, cache, 0};
        assert_int_equal(apr_thread_create(&thread[i], NULL, ask_often, &crowd[i], *state), APR_SUCCESS);
    }
    for (int i = 0; i < 4; i++) {
        apr_status_t rv;
        apr_thread_join(&rv, thread[i]);
        assert_int_equal(crowd[i].wrong, 0);
    }
}

static void expect_answer(const tr_answer_t *answer, int status, const char *body)
{
    assert_int_equal(answer->status, status);
    assert_string_equal(answer->body, body);
    assert_non_null(answer->detail);
    assert_true(answer->verdict != APR_SUCCESS && !tr_is_refusal(answer->verdict));
    assert_null(answer->fingerprint);
}

static void a_refusal_is_invalid_client_with_a_challenge(void **state)
{
    tr_answer_t answer;
    memset(&answer, 0xee, sizeof answer);
    tr_client_refuse(&answer, TR_ANSWERS_RFC7009, "my realm", *state);
    expect_answer(&answer, 401, "{\"error\":\"invalid_client\",\"error_description\":\"Client authentication failed\"}");
    assert_string_equal(answer.challenge, "Basic realm=\"my realm\"");
    assert_int_equal(answer.retry_after_s, 0);
    memset(&answer, 0xee, sizeof answer);
    tr_client_refuse(&answer, TR_ANSWERS_STRICT, "x", *state);
    expect_answer(&answer, 401, "{\"revoked\":false,\"error\":\"invalid_client\"}");
    assert_string_equal(answer.challenge, "Basic realm=\"x\"");
}

static void who_must_wait_is_told_how_long(void **state)
{
    tr_answer_t answer;
    memset(&answer, 0xee, sizeof answer);
    tr_client_throttle(&answer, TR_ANSWERS_RFC7009, 17, *state);
    expect_answer(&answer, 429,
                  "{\"error\":\"invalid_client\",\"error_description\":\"Client authentication failed too often\"}");
    assert_int_equal(answer.retry_after_s, 17);
    assert_null(answer.challenge);
    tr_client_throttle(&answer, TR_ANSWERS_STRICT, 1, *state);
    expect_answer(&answer, 429, "{\"revoked\":false,\"error\":\"invalid_client\"}");
}

static void without_a_usable_file_nobody_is_told_yes_or_no(void **state)
{
    tr_answer_t answer;
    memset(&answer, 0xee, sizeof answer);
    tr_client_unavailable(&answer, TR_ANSWERS_RFC7009, *state);
    expect_answer(&answer, 503,
                  "{\"error\":\"temporarily_unavailable\",\"error_description\":\"Clients cannot be authenticated now\"}");
    assert_true(answer.retry_after_s > 0);
    assert_null(answer.challenge);
    tr_client_unavailable(&answer, TR_ANSWERS_STRICT, *state);
    expect_answer(&answer, 503, "{\"revoked\":false,\"error\":\"temporarily_unavailable\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(a_client_that_knows_its_secret_is_confidential),
        TT_TEST(the_secret_of_another_client_opens_nothing),
        TT_TEST(a_public_client_names_itself_and_only_by_its_id),
        TT_TEST(a_file_of_public_clients_has_no_secret_to_find),
        TT_TEST(no_reading_is_nobody),
        TT_TEST(each_reading_is_tried),
        TT_TEST(what_was_good_is_remembered_and_nothing_else),
        TT_TEST(a_line_that_changed_or_went_is_not_remembered),
        TT_TEST(a_remembered_secret_costs_no_hash),
        TT_TEST(nobody_knows_the_marks_of_another_process),
        TT_TEST(ids_and_secrets_do_not_run_into_each_other_in_the_cache),
        TT_TEST(a_full_cache_forgets_and_stays_right),
        TT_TEST(threads_share_the_cache),
        TT_TEST(a_refusal_is_invalid_client_with_a_challenge),
        TT_TEST(who_must_wait_is_told_how_long),
        TT_TEST(without_a_usable_file_nobody_is_told_yes_or_no),
    };
    return TT_RUN(tests);
}
