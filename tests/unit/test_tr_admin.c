/*
 * What administrators ask for, below HTTP: every member of an item wrong in every way, lists, queries, and the JSON that comes
 * back.
 */
#include "tr_admin.h"

#include <apr_strings.h>
#include <jansson.h>

#include "tr_limits.h"
#include "tr_testing_cmocka.h"
#include "tr_testing_gate.h"

#define SUB "\"kind\":\"subject\",\"iss\":\"" TT_ISS "\",\"value\":\"alice\""
#define JTI "\"kind\":\"token\",\"iss\":\"" TT_ISS "\",\"value\":\"j1\""

static const tr_keep_t keep = {60, 0};

typedef struct asked_t {
    apr_status_t rv;
    tr_revocation_t *list;
    int n;
    tr_problem_t problem;
} asked_t;

static asked_t read_with(tt_world_t *world, const tr_keep_t *kept, tr_str_t body)
{
    tr_admin_context_t context = {.issuers = world->gate.issuers,
                                  .keep = kept,
                                  .circumstances = {tr_str_z("boss"), tr_str_z("192.0.2.7"), tr_str_z("not this")},
                                  .now = TT_AT(TT_NOW) + 123456};
    asked_t asked = {.n = -1};
    asked.rv = tr_admin_read(&asked.list, &asked.n, &asked.problem, body, &context, world->pool);
    return asked;
}

static asked_t read_body(tt_world_t *world, const char *body)
{
    return read_with(world, &keep, tr_str_z(body));
}

static tr_entry_t entry_of(tt_world_t *world, const char *item)
{
    asked_t asked = read_body(world, item);
    if (asked.rv != APR_SUCCESS)
        fail_msg("%s: %s", item, asked.problem.detail);
    assert_int_equal(asked.n, 1);
    return asked.list[0].entry;
}

static void expect_problem(const asked_t *asked, const char *body, int index, const char *part)
{
    if (asked->rv != APR_EINVAL)
        fail_msg("%s is taken", body);
    assert_int_equal(asked->problem.status, 400);
    if (!strstr(asked->problem.detail, part) || asked->problem.index != index)
        fail_msg("%s: \"%s\" (%d) does not say \"%s\" (%d)", body, asked->problem.detail, asked->problem.index, part, index);
}

/* An item is refused for this reason, alone and in the middle of a list of good ones. */
static void refused(tt_world_t *world, const char *item, const char *part)
{
    asked_t alone = read_body(world, item);
    expect_problem(&alone, item, 0, part);
    char *list = tt_print(world->pool, "[{" SUB "},{" SUB "},%s,{" SUB "}]", item);
    asked_t third = read_body(world, list);
    expect_problem(&third, list, 2, part);
    assert_true(strncmp(third.problem.detail, "item 2: ", 8) == 0);
}

/* ---- items ------------------------------------------------------------------------------------------------- */

static void every_kind_can_be_asked_for(void **state)
{
    static const char *const kinds[] = {"token", "session", "subject", "client", "issuer"};
    tt_world_t *world = tt_world(*state, 10);
    for (int kind = 0; kind < 5; kind++) {
        const char *value = kind == TR_KIND_ISSUER ? "" : ",\"value\":\"v\"";
        tr_entry_t e = entry_of(world, tt_print(*state, "{\"kind\":\"%s\",\"iss\":\"" TT_ISS "\"%s}", kinds[kind], value));
        assert_int_equal(e.kind, kind);
        assert_str_is(e.issuer, TT_ISS);
        assert_str_is(e.value, kind == TR_KIND_ISSUER ? "" : "v");
        assert_true(e.issued_before == (kind == TR_KIND_TOKEN ? 0 : TT_AT(TT_NOW) + 123456));
        assert_true(e.expires_s == TT_NOW + 1 + 86400 + 60);
    }
}

static void only_known_kinds_are_taken(void **state)
{
    static const char *const kinds[] = {"\"digest\"",  "\"opaque\"", "\"family\"", "\"member\"",  "\"logout\"",
                                        "\"Subject\"", "\"sub\"",    "\"\"",       "\"subject \""};
    static const char *const no_strings[] = {"1", "null", "true", "[\"subject\"]", "{}"};
    tt_world_t *world = tt_world(*state, 10);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        refused(world, tt_print(*state, "{\"kind\":%s,\"iss\":\"" TT_ISS "\",\"value\":\"v\"}", kinds[i]), "kind must be one of");
    for (size_t i = 0; i < sizeof no_strings / sizeof *no_strings; i++)
        refused(world, tt_print(*state, "{\"kind\":%s,\"iss\":\"" TT_ISS "\",\"value\":\"v\"}", no_strings[i]),
                "kind must be a string");
    refused(world, "{\"iss\":\"" TT_ISS "\",\"value\":\"v\"}", "kind must be one of");
}

static void only_trusted_issuers_are_taken(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    refused(world, "{\"kind\":\"subject\",\"iss\":\"https://idp.example.com\",\"value\":\"v\"}",
            "no issuer that this server trusts");
    refused(world, "{\"kind\":\"subject\",\"iss\":\"*\",\"value\":\"v\"}", "stands for no token");
    refused(world, "{\"kind\":\"subject\",\"iss\":\"\",\"value\":\"v\"}", "iss is missing");
    refused(world, "{\"kind\":\"subject\",\"value\":\"v\"}", "iss is missing");
    refused(world, "{\"kind\":\"subject\",\"iss\":null,\"value\":\"v\"}", "iss must be a string");
    refused(world, "{\"kind\":\"subject\",\"iss\":7,\"value\":\"v\"}", "iss must be a string");
    refused(world, tt_print(*state, "{\"kind\":\"subject\",\"iss\":\"%s\",\"value\":\"v\"}", tt_repeat(*state, "i", 1025)),
            "iss is longer than 1024");
    refused(world, "{\"kind\":\"subject\",\"iss\":\"" TT_ISS "\\n\",\"value\":\"v\"}", "iss has a control");
}

static void the_section_for_everybody_else_takes_any_issuer_or_none(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    tt_issuer(world, "*")->max_lifetime_s = 100;
    tr_entry_t e = entry_of(world, "{\"kind\":\"subject\",\"iss\":\"https://else.example/\",\"value\":\"v\"}");
    assert_str_is(e.issuer, "https://else.example/");
    assert_true(e.expires_s == TT_NOW + 1 + 100 + 60);
    e = entry_of(world, "{\"kind\":\"subject\",\"value\":\"v\"}");
    assert_int_equal(e.issuer.len, 0);
    e = entry_of(world, "{" SUB "}");
    assert_true(e.expires_s == TT_NOW + 1 + 86400 + 60);
    refused(world, "{\"kind\":\"subject\",\"iss\":\"*\",\"value\":\"v\"}", "stands for no token");
}

static void a_value_is_needed_but_for_an_issuer(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    for (int kind = 0; kind < 4; kind++) {
        const char *name = tr_kind_name((tr_kind_t)kind);
        char *head = tt_print(*state, "{\"kind\":\"%s\",\"iss\":\"" TT_ISS "\"", name);
        refused(world, tt_print(*state, "%s}", head), "value is missing");
        refused(world, tt_print(*state, "%s,\"value\":\"\"}", head), "value is missing");
        refused(world, tt_print(*state, "%s,\"value\":null}", head), "value must be a string");
        refused(world, tt_print(*state, "%s,\"value\":12}", head), "value must be a string");
        refused(world, tt_print(*state, "%s,\"value\":[\"v\"]}", head), "value must be a string");
        refused(world, tt_print(*state, "%s,\"value\":\"a\\tb\"}", head), "value has a control");
        refused(world, tt_print(*state, "%s,\"value\":\"a\\u0085b\"}", head), "value has a control");
        refused(world, tt_print(*state, "%s,\"value\":\"%s\"}", head, tt_repeat(*state, "v", 1025)), "value is longer");
        assert_int_equal(entry_of(world, tt_print(*state, "%s,\"value\":\"%s\"}", head, tt_repeat(*state, "v", 1024))).value.len,
                         1024);
    }
    assert_int_equal(entry_of(world, "{\"kind\":\"issuer\",\"iss\":\"" TT_ISS "\",\"value\":\"\"}").value.len, 0);
    refused(world, "{\"kind\":\"issuer\",\"iss\":\"" TT_ISS "\",\"value\":\"alice\"}", "kind issuer has no value");
}

static void a_cut_off_is_a_time_in_seconds(void **state)
{
    static const struct {
        const char *text;
        apr_time_t time;
    } good[] = {{"0", 0},
                {"1", TT_AT(1)},
                {"1700000000", TT_AT(TT_NOW)},
                {"1700000000.5", TT_AT(TT_NOW) + 500000},
                {"1700000000.123456", TT_AT(TT_NOW) + 123456},
                {"17e8", TT_AT(TT_NOW)},
                {"1731622400", TT_AT(TT_NOW + 366 * 86400)}};
    tt_world_t *world = tt_world(*state, 10);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        tr_entry_t e = entry_of(world, tt_print(*state, "{" SUB ",\"issued_before\":%s}", good[i].text));
        assert_true(e.issued_before == good[i].time);
        assert_true(e.expires_s == apr_time_sec(good[i].time) + 1 + 86400 + 60);
    }
    for (const char *const *bad = (const char *const[]){"\"1700000000\"", "null", "true", "[1]", "1e999", NULL}; *bad; bad++)
        refused(world, tt_print(*state, "{" SUB ",\"issued_before\":%s}", *bad), "must be a number of seconds");
    for (const char *const *bad = (const char *const[]){"1731622401", "1700000000000", "1e300", "99999999999999999999", NULL};
         *bad; bad++)
        refused(world, tt_print(*state, "{" SUB ",\"issued_before\":%s}", *bad), "milliseconds");
    refused(world, "{" SUB ",\"issued_before\":-1}", "before 1970");
    refused(world, "{" SUB ",\"issued_before\":-1e999}", "must be a number of seconds");
    refused(world, "{" JTI ",\"issued_before\":1700000000}", "kind token has no issued_before");
}

static void only_a_token_expires(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    assert_true(entry_of(world, "{" JTI ",\"expires\":1700000100}").expires_s == TT_NOW + 100 + 60);
    assert_true(entry_of(world, "{" JTI ",\"expires\":1700000100.0}").expires_s == TT_NOW + 100 + 60);
    assert_true(entry_of(world, "{" JTI ",\"expires\":253402300799}").expires_s == INT64_C(253402300859));
    /* Still accepted, by the skew. */
    assert_true(entry_of(world, "{" JTI ",\"expires\":1699999940}").expires_s == TT_NOW);
    refused(world, "{" JTI ",\"expires\":1699999939}", "has passed");
    refused(world, "{" JTI ",\"expires\":0}", "has passed");
    refused(world, "{" JTI ",\"expires\":-1e300}", "has passed");
    for (const char *const *bad = (const char *const[]){"1700000100.5", "\"1700000100\"", "null", "false", "{}", "1e999", NULL};
         *bad; bad++)
        refused(world, tt_print(*state, "{" JTI ",\"expires\":%s}", *bad), "must be a whole number");
    refused(world, "{" JTI ",\"expires\":253402300800}", "milliseconds");
    refused(world, "{" JTI ",\"expires\":1e300}", "milliseconds");
    for (int kind = 1; kind < 5; kind++)
        refused(world,
                tt_print(*state, "{\"kind\":\"%s\",\"iss\":\"" TT_ISS "\"%s,\"expires\":1700000100}",
                         tr_kind_name((tr_kind_t)kind), kind == TR_KIND_ISSUER ? "" : ",\"value\":\"v\""),
                "only kind token has expires");
}

static void without_a_longest_lifetime_nothing_ends(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    world->issuer->max_lifetime_s = TR_UNLIMITED;
    assert_true(entry_of(world, "{" SUB "}").expires_s == TR_FOREVER);
    assert_true(entry_of(world, "{" SUB ",\"issued_before\":7}").expires_s == TR_FOREVER);
    assert_true(entry_of(world, "{" JTI "}").expires_s == TR_FOREVER);
    assert_true(entry_of(world, "{" JTI ",\"expires\":1700000100}").expires_s == TT_NOW + 160);
}

static void refresh_tokens_that_are_guarded_lengthen_what_has_no_end_of_its_own(void **state)
{
    static const tr_keep_t month = {60, 30 * 86400}, endless = {60, TR_FOREVER};
    tt_world_t *world = tt_world(*state, 10);
    for (int i = 0; i < 2; i++) {
        const char *body = i ? "{" JTI "}" : "{" SUB ",\"issued_before\":1600000000}";
        assert_true(read_with(world, &month, tr_str_z(body)).list[0].entry.expires_s == TT_NOW + 1 + 30 * 86400 + 60);
        assert_true(read_with(world, &endless, tr_str_z(body)).list[0].entry.expires_s == TR_FOREVER);
    }
    assert_true(read_with(world, &endless, tr_str_z("{" JTI ",\"expires\":1700000100}")).list[0].entry.expires_s == TT_NOW + 160);
}

static void a_reason_is_a_short_text(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    asked_t asked = read_body(world, "{" SUB ",\"reason\":\"left \\u00e4 the company\"}");
    assert_int_equal(asked.rv, APR_SUCCESS);
    assert_str_is(asked.list[0].circumstances.reason, "left \xc3\xa4 the company");
    assert_str_is(asked.list[0].circumstances.actor, "boss");
    assert_str_is(asked.list[0].circumstances.client_address, "192.0.2.7");
    asked = read_body(world, "{" SUB "}");
    assert_int_equal(asked.list[0].circumstances.reason.len, 0);
    asked = read_body(world, tt_print(*state, "{" SUB ",\"reason\":\"%s\"}", tt_repeat(*state, "r", 1024)));
    assert_int_equal(asked.list[0].circumstances.reason.len, 1024);
    refused(world, tt_print(*state, "{" SUB ",\"reason\":\"%s\"}", tt_repeat(*state, "r", 1025)), "reason is longer");
    refused(world, "{" SUB ",\"reason\":null}", "reason must be a string");
    refused(world, "{" SUB ",\"reason\":7}", "reason must be a string");
}

static void what_is_misspelt_is_refused(void **state)
{
    static const char *const names[] = {"Kind", "issuer", "sub", "issuedBefore", "issued-before",
                                        "exp",  "actor",  "",    "kind\\n",      "client_address"};
    tt_world_t *world = tt_world(*state, 10);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        refused(world, tt_print(*state, "{" SUB ",\"%s\":\"x\"}", names[i]), "is unknown");
    refused(world, tt_print(*state, "{" SUB ",\"%s\":1}", tt_repeat(*state, "\xc3\xa4", 500)), "is unknown");
}

static void what_is_no_object_is_refused(void **state)
{
    static const char *const items[] = {"1", "null", "\"subject\"", "[]", "[{" SUB "}]", "true"};
    tt_world_t *world = tt_world(*state, 10);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        char *body = tt_print(*state, "[{" SUB "},%s]", items[i]);
        asked_t asked = read_body(world, body);
        expect_problem(&asked, body, 1, "no object");
    }
}

/* ---- lists ------------------------------------------------------------------------------------------------- */

static char *many(int n, const char *item, apr_pool_t *pool)
{
    apr_array_header_t *items = apr_array_make(pool, n, sizeof(const char *));
    for (int i = 0; i < n; i++)
        APR_ARRAY_PUSH(items, const char *) = item;
    return apr_pstrcat(pool, "[", apr_array_pstrcat(pool, items, ','), "]", NULL);
}

static void a_thousand_are_taken_at_once_and_no_more(void **state)
{
    static const char *const full = "{" SUB ",\"issued_before\":1700000000,\"reason\":\"a, [b] {c}, and more\"}";
    tt_world_t *world = tt_world(*state, 10);
    asked_t asked = read_body(world, many(1000, full, *state));
    assert_int_equal(asked.rv, APR_SUCCESS);
    assert_int_equal(asked.n, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_str_is(asked.list[i].entry.value, "alice");
    }
    asked = read_body(world, many(1001, full, *state));
    expect_problem(&asked, "1001", TR_NO_ITEM, "1 to 1000");
    asked = read_body(world, "[]");
    expect_problem(&asked, "[]", TR_NO_ITEM, "1 to 1000");
    asked = read_body(world, many(1000, "{" SUB "}", *state));
    assert_int_equal(asked.rv, APR_SUCCESS);
}

static void the_first_that_is_wrong_is_named(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    asked_t asked = read_body(world, "[{" SUB "},{" JTI ",\"expires\":1},{}]");
    expect_problem(&asked, "list", 1, "item 1: expires has passed");
    for (int bad = 0; bad < 1000; bad += 111) {
        char *list = many(1000, "{" SUB "}", *state);
        char *at = list + 1;
        for (int i = 0; i < bad; i++)
            at = strchr(at, '}') + 2;
        memcpy(strstr(at, "alice"),
               "al\x01"
               "ce",
               5);
        asked = read_body(world, list);
        expect_problem(&asked, "control", TR_NO_ITEM, "no good JSON"); /* a raw control character is no JSON at all */
        memcpy(strstr(at, "subject"), "sobject", 7);
        memcpy(strstr(at, "al\x01"
                          "ce"),
               "alice", 5);
        asked = read_body(world, list);
        expect_problem(&asked, "kind", bad, tt_print(*state, "item %d: kind must be", bad));
    }
}

static void what_is_no_json_is_refused(void **state)
{
    static const char *const bodies[] = {"",
                                         " ",
                                         "{",
                                         "[{" SUB "}",
                                         "{" SUB "}{" SUB "}",
                                         "null",
                                         "7",
                                         "\"a\"",
                                         "{" SUB ",}",
                                         "{" SUB ",\"value\":\"b\"}",
                                         "\xef\xbb\xbf{" SUB "}",
                                         "{'kind':1}",
                                         "kind=subject",
                                         "{\"kind\":\"\xff\"}"};
    tt_world_t *world = tt_world(*state, 10);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        asked_t asked = read_body(world, bodies[i]);
        expect_problem(&asked, bodies[i], TR_NO_ITEM, "no good JSON");
    }
    tr_str_t nul = tr_str("{" SUB "}\0", sizeof "{" SUB "}");
    asked_t asked = read_with(world, &keep, nul);
    expect_problem(&asked, "NUL", TR_NO_ITEM, "no good JSON");
}

static void a_body_full_of_tiny_values_is_refused_before_it_costs_memory(void **state)
{
    tt_world_t *world = tt_world(*state, 10);
    asked_t asked = read_body(world, many(1000000, "[]", *state));
    expect_problem(&asked, "many", TR_NO_ITEM, "too many values");
    asked = read_body(world, tt_print(*state, "{" SUB ",\"reason\":%s}", many(20000, "1", *state)));
    expect_problem(&asked, "many", TR_NO_ITEM, "too many values");
    asked = read_body(world, tt_print(*state, "%s%s", tt_repeat(*state, "[", 33), tt_repeat(*state, "]", 33)));
    expect_problem(&asked, "deep", TR_NO_ITEM, "nested deeper");
}

/* ---- queries ----------------------------------------------------------------------------------------------- */

static void expect_query(const char *args, int limit, int64_t before, int kind, const char *value, apr_pool_t *pool)
{
    tr_admin_query_t query;
    tr_problem_t problem;
    if (tr_admin_read_query(&query, &problem, args, TT_NOW, pool) != APR_SUCCESS)
        fail_msg("%s: %s", args, problem.detail);
    assert_int_equal(query.limit, limit);
    assert_int_equal(query.store.limit, limit + 1);
    assert_true(query.store.before_seq == before);
    assert_true(query.store.now_s == TT_NOW);
    assert_int_equal(query.store.kind ? (int)*query.store.kind : -1, kind);
    assert_int_equal(query.store.value != NULL, value != NULL);
    if (value) {
        assert_str_is(*query.store.value, value);
    }
}

static void a_query_says_what_to_list(void **state)
{
    expect_query(NULL, 100, 0, -1, NULL, *state);
    expect_query("", 100, 0, -1, NULL, *state);
    expect_query("&&limit=1&", 1, 0, -1, NULL, *state);
    expect_query("limit=1000&after=12", 1000, 12, -1, NULL, *state);
    expect_query("after=999999999999999999", 100, INT64_C(999999999999999999), -1, NULL, *state);
    expect_query("kind=session", 100, 0, TR_KIND_SESSION, NULL, *state);
    expect_query("kind=token", 100, 0, TR_KIND_TOKEN, NULL, *state);
    expect_query("kind=digest", 100, 0, TR_KIND_DIGEST, NULL, *state);
    expect_query("kind=opaque", 100, 0, TR_KIND_OPAQUE, NULL, *state);
    expect_query("kind=family", 100, 0, TR_KIND_FAMILY, NULL, *state);
    expect_query("sub=al%20ice%2B", 100, 0, TR_KIND_SUBJECT, "al ice+", *state);
    expect_query("sub=%C3%A4&kind=subject", 100, 0, TR_KIND_SUBJECT, "\xc3\xa4", *state);
    expect_query("jti=abc&limit=7", 7, 0, TR_KIND_TOKEN, "abc", *state);
    expect_query("kind=token&jti=abc", 100, 0, TR_KIND_TOKEN, "abc", *state);
    expect_query("sub=&jti=&kind=&limit=&after=", 100, 0, -1, NULL, *state);
}

static void a_query_that_means_nothing_is_refused(void **state)
{
    static const char *const bad[][2] = {{"limit=0", "limit must be"},
                                         {"limit=1001", "limit must be"},
                                         {"limit=-1", "limit must be"},
                                         {"limit=1x", "limit must be"},
                                         {"limit=%201", "limit must be"},
                                         {"limit=+1", "limit must be"},
                                         {"limit=0x10", "limit must be"},
                                         {"limit=1.0", "limit must be"},
                                         {"limit=99999999999999999999999", "limit must be"},
                                         {"after=0", "after must be"},
                                         {"after=-5", "after must be"},
                                         {"after=abc", "after must be"},
                                         {"after=9999999999999999999", "after must be"},
                                         {"kind=member", "kind must be"},
                                         {"kind=logout", "kind must be"},
                                         {"kind=Token", "kind must be"},
                                         {"kind=subjects", "kind must be"},
                                         {"sub=a&jti=b", "something else"},
                                         {"kind=token&sub=a", "something else"},
                                         {"kind=digest&jti=a", "something else"},
                                         {"sub=%ff", "must be UTF-8"},
                                         {"jti=%c3", "must be UTF-8"},
                                         {"subject=a", "is unknown"},
                                         {"Limit=1", "is unknown"},
                                         {"x", "is unknown"},
                                         {"limit=1&limit=2", "twice"},
                                         {"sub=%zz", "broken percent"},
                                         {"sub=a%00b", "broken percent"},
                                         {"=1", "is unknown"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tr_admin_query_t query;
        tr_problem_t problem;
        if (tr_admin_read_query(&query, &problem, bad[i][0], TT_NOW, *state) != APR_EINVAL)
            fail_msg("%s is taken", bad[i][0]);
        assert_int_equal(problem.status, 400);
        assert_int_equal(problem.index, TR_NO_ITEM);
        if (!strstr(problem.detail, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], problem.detail);
    }
}

/* ---- answers ----------------------------------------------------------------------------------------------- */

/* text is one JSON object equal to expected, which is written with single quotes. */
static void expect_json(const char *text, const char *expected, apr_pool_t *pool)
{
    char *quoted = apr_pstrdup(pool, expected);
    for (char *p = quoted; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    json_t *got = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *want = json_loads(quoted, 0, NULL);
    assert_non_null(want);
    if (!json_is_object(got) || !json_equal(got, want))
        fail_msg("%s\nis not\n%s", text, quoted);
    json_decref(got);
    json_decref(want);
}

static void a_problem_is_told_as_rfc_9457_wants(void **state)
{
    tr_problem_t problem = {400, "item 3: \"\xff\" \\ \n", 3};
    expect_json(
        tr_problem_text(&problem, "Bad Request", *state),
        "{'type':'about:blank','title':'Bad Request','status':400,'detail':'item 3: \\\"\xef\xbf\xbd\\\" \\\\ \\n','index':3}",
        *state);
    problem = (tr_problem_t){404, "no", TR_NO_ITEM};
    expect_json(tr_problem_text(&problem, "Not Found", *state),
                "{'type':'about:blank','title':'Not Found','status':404,'detail':'no'}", *state);
}

static void what_was_made_is_told_by_its_numbers(void **state)
{
    tr_revocation_t list[3] = {{.seq = 12}, {.seq = 0}, {.seq = INT64_C(9007199254740993)}};
    assert_string_equal(tr_admin_created_text(list, 1, *state), "{\"seq\":[12]}");
    assert_string_equal(tr_admin_created_text(list, 3, *state), "{\"seq\":[12,null,9007199254740993]}");
}

static tr_store_listed_t listed(int64_t seq, tr_kind_t kind)
{
    tr_store_listed_t l = {.seq = seq,
                           .entry = {kind, tr_str_z("i"), tr_str_z("v"), 1700000000123456, TT_NOW + 9},
                           .circumstances = {tr_str_z("a"), tr_str_z("c"), tr_str_z("r")},
                           .revoked_at_s = TT_NOW};
    return l;
}

static void a_page_tells_everything(void **state)
{
    static const char raw[32] = {'\x01', '\x23', '\xab'};
    tr_admin_page_t page;
    tr_store_listed_t one = listed(9, TR_KIND_SUBJECT), two = listed(8, TR_KIND_DIGEST), three = listed(7, TR_KIND_ISSUER);
    two.entry.value = tr_str(raw, 32);
    two.entry.expires_s = TR_FOREVER;
    three.entry.issued_before = -1500000;
    three.entry.value = three.entry.issuer = tr_str("", 0);
    three.circumstances.reason = tr_str_z("</script>\"\\ \xff");
    tr_admin_page_begin(&page, 3, *state);
    assert_int_equal(tr_admin_page_add(&page, &one), APR_SUCCESS);
    assert_int_equal(tr_admin_page_add(&page, &two), APR_SUCCESS);
    assert_int_equal(tr_admin_page_add(&page, &three), APR_SUCCESS);
    expect_json(
        tr_admin_page_text(&page, *state),
        "{'revocations':[{'seq':9,'kind':'subject','iss':'i','value':'v','issued_before':1700000000.123456,'expires':1700000009,"
        "'revoked_at':1700000000,'actor':'a','client_address':'c','reason':'r'},"
        "{'seq':8,'kind':'digest','iss':'i','value':'0123ab0000000000000000000000000000000000000000000000000000000000',"
        "'issued_before':null,'expires':null,'revoked_at':1700000000,'actor':'a','client_address':'c','reason':'r'},"
        "{'seq':7,'kind':'issuer','iss':'','value':'','issued_before':-1.5,'expires':1700000009,'revoked_at':1700000000,"
        "'actor':'a','client_address':'c','reason':'</script>\\\"\\\\ \xef\xbf\xbd'}],'next':null}",
        *state);
}

static void a_page_says_whether_there_is_more(void **state)
{
    tr_admin_page_t page;
    tr_admin_page_begin(&page, 2, *state);
    expect_json(tr_admin_page_text(&page, *state), "{'revocations':[],'next':null}", *state);
    for (int64_t seq = 9; seq > 6; seq--) {
        tr_store_listed_t one = listed(seq, TR_KIND_TOKEN);
        assert_int_equal(tr_admin_page_add(&page, &one), APR_SUCCESS);
        json_t *doc = json_loads(tr_admin_page_text(&page, *state), 0, NULL);
        assert_int_equal(json_array_size(json_object_get(doc, "revocations")), seq == 9 ? 1 : 2);
        assert_int_equal(json_is_null(json_object_get(doc, "next")), seq > 7);
        assert_int_equal(json_integer_value(json_object_get(doc, "next")), seq > 7 ? 0 : 8);
        json_decref(doc);
    }
}

static void the_ends_of_time_are_numbers(void **state)
{
    tr_admin_page_t page;
    tr_store_listed_t one = listed(INT64_MAX, TR_KIND_SUBJECT);
    one.entry.issued_before = INT64_MIN;
    one.entry.expires_s = INT64_MIN;
    one.revoked_at_s = INT64_MIN;
    tr_admin_page_begin(&page, 1, *state);
    assert_int_equal(tr_admin_page_add(&page, &one), APR_SUCCESS);
    char *text = tr_admin_page_text(&page, *state);
    assert_non_null(strstr(text, "\"issued_before\":-9223372036854.775808,"));
    assert_non_null(strstr(text, "\"seq\":9223372036854775807,"));
}

static void the_state_of_things_is_told(void **state)
{
    tr_table_stats_t table = {.capacity = 100, .used = 7, .inserted = 9, .reclaimed = 2, .full = 1, .recovered = 3};
    for (int k = 0; k < TR_KINDS; k++)
        table.by_kind[k] = (uint32_t)k;
    tr_admin_status_t status = {&table, "pgsql:host=db password=***", 12, 0.25, 2, 5, true};
    expect_json(tr_admin_status_text(&status, *state),
                "{'version':'" TR_VERSION "','informed':true,'table':{'capacity':100,'used':7,'by_kind':{'token':0,'session':1,"
                "'subject':2,'client':3,'issuer':4,'digest':5,'opaque':6,'family':7,'member':8,'logout':9},'inserted':9,"
                "'reclaimed':2,'full':1,'recovered':3},'store':{'name':'pgsql:host=db password=***','last_seq':12,"
                "'age_seconds':0.25,'stalls':2},'presented':5}",
                *state);
    status = (tr_admin_status_t){.is_informed = false};
    expect_json(tr_admin_status_text(&status, *state),
                "{'version':'" TR_VERSION "','informed':false,'table':null,'store':null,'presented':0}", *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(every_kind_can_be_asked_for),
        TT_TEST(only_known_kinds_are_taken),
        TT_TEST(only_trusted_issuers_are_taken),
        TT_TEST(the_section_for_everybody_else_takes_any_issuer_or_none),
        TT_TEST(a_value_is_needed_but_for_an_issuer),
        TT_TEST(a_cut_off_is_a_time_in_seconds),
        TT_TEST(only_a_token_expires),
        TT_TEST(without_a_longest_lifetime_nothing_ends),
        TT_TEST(refresh_tokens_that_are_guarded_lengthen_what_has_no_end_of_its_own),
        TT_TEST(a_reason_is_a_short_text),
        TT_TEST(what_is_misspelt_is_refused),
        TT_TEST(what_is_no_object_is_refused),
        TT_TEST(a_thousand_are_taken_at_once_and_no_more),
        TT_TEST(the_first_that_is_wrong_is_named),
        TT_TEST(what_is_no_json_is_refused),
        TT_TEST(a_body_full_of_tiny_values_is_refused_before_it_costs_memory),
        TT_TEST(a_query_says_what_to_list),
        TT_TEST(a_query_that_means_nothing_is_refused),
        TT_TEST(a_problem_is_told_as_rfc_9457_wants),
        TT_TEST(what_was_made_is_told_by_its_numbers),
        TT_TEST(a_page_tells_everything),
        TT_TEST(a_page_says_whether_there_is_more),
        TT_TEST(the_ends_of_time_are_numbers),
        TT_TEST(the_state_of_things_is_told),
    };
    return TT_RUN(tests);
}
