/*
 * What administrators send: bodies, queries; and the JSON that is made of whatever stands in the database. The first byte says
 * which.
 */
#include "world.h"

#include <apr_strings.h>
#include <jansson.h>

#include "tr_admin.h"
#include "tr_limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_S 1700000000
#define YEAR_S (366 * 86400)

/* One JSON object, and nothing else. */
static json_t *read_back(const char *text)
{
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    ALWAYS(json_is_object(json));
    return json;
}

static void judge_problem(const tr_problem_t *problem, apr_pool_t *pool)
{
    ALWAYS(problem->status == 400 && problem->detail != NULL && *problem->detail != '\0');
    ALWAYS(problem->index >= TR_NO_ITEM && problem->index < TR_MAX_ADMIN_ITEMS);
    json_t *json = read_back(tr_problem_text(problem, "Bad Request", pool));
    ALWAYS(json_is_string(json_object_get(json, "detail")));
    ALWAYS((problem->index == TR_NO_ITEM) == (json_object_get(json, "index") == NULL));
    json_decref(json);
}

static void judge_entry(const tr_entry_t *e)
{
    ALWAYS(e->kind <= TR_KIND_ISSUER);
    ALWAYS(e->issuer.len <= TR_MAX_IDENTIFIER_LEN && e->value.len <= TR_MAX_IDENTIFIER_LEN);
    ALWAYS(!tr_str_has_control(e->issuer) && !tr_str_has_control(e->value) && !tr_str_eq_z(e->issuer, "*"));
    ALWAYS(tr_str_is_utf8(e->issuer) && tr_str_is_utf8(e->value));
    ALWAYS((e->value.len == 0) == (e->kind == TR_KIND_ISSUER));
    ALWAYS(e->issued_before >= 0 && e->issued_before <= (apr_time_t)(NOW_S + YEAR_S + 1) * APR_USEC_PER_SEC);
    ALWAYS(e->expires_s > 0 && (e->kind != TR_KIND_TOKEN || e->expires_s >= NOW_S));
}

static void judge_body(world_t *w, tr_str_t body)
{
    static const tr_keep_t keep = {60, 0};
    tr_admin_context_t context = {.issuers = w->gate.issuers,
                                  .keep = &keep,
                                  .circumstances = {tr_str_z("boss"), tr_str_z("192.0.2.1"), {NULL, 0}},
                                  .now = (apr_time_t)NOW_S * APR_USEC_PER_SEC};
    tr_revocation_t *list = NULL;
    tr_problem_t problem;
    int n = 0;
    apr_status_t rv = tr_admin_read(&list, &n, &problem, body, &context, w->pool);
    if (rv != APR_SUCCESS) {
        ALWAYS(rv == APR_EINVAL);
        judge_problem(&problem, w->pool);
        return;
    }
    ALWAYS(n >= 1 && n <= TR_MAX_ADMIN_ITEMS);
    for (int i = 0; i < n; i++) {
        judge_entry(&list[i].entry);
        ALWAYS(tr_str_eq_z(list[i].circumstances.actor, "boss") && list[i].circumstances.reason.len <= TR_MAX_REASON_LEN);
        list[i].seq = i;
    }
    json_t *json = read_back(tr_admin_created_text(list, n, w->pool));
    ALWAYS(json_array_size(json_object_get(json, "seq")) == (size_t)n);
    json_decref(json);
}

static void judge_query(world_t *w, tr_str_t text)
{
    tr_admin_query_t query;
    tr_problem_t problem;
    apr_status_t rv = tr_admin_read_query(&query, &problem, tr_str_dup_z(text, w->pool), NOW_S, w->pool);
    if (rv != APR_SUCCESS) {
        ALWAYS(rv == APR_EINVAL);
        judge_problem(&problem, w->pool);
        return;
    }
    ALWAYS(query.limit >= 1 && query.limit <= TR_MAX_ADMIN_ITEMS && query.store.limit == query.limit + 1);
    ALWAYS(query.store.before_seq >= 0 && query.store.now_s == NOW_S);
    ALWAYS(query.store.kind == NULL || tr_kind_is_revocation(*query.store.kind));
    ALWAYS(query.store.value == NULL ||
           (query.store.kind != NULL && query.store.value->len > 0 && tr_str_is_utf8(*query.store.value) &&
            memchr(query.store.value->data, 0, query.store.value->len) == NULL));
}

/* Rows of a database may hold anything. */
static void judge_page(world_t *w, const uint8_t *data, size_t size)
{
    tr_admin_page_t page;
    tr_store_listed_t listed = {.seq = 0};
    size_t cut = size > 16 ? size / 4 : 0;
    if (cut == 0)
        return;
    memcpy(&listed.seq, data, sizeof listed.seq);
    memcpy(&listed.entry.issued_before, data + 4, sizeof listed.entry.issued_before);
    memcpy(&listed.entry.expires_s, data + 8, sizeof listed.entry.expires_s);
    listed.revoked_at_s = listed.entry.issued_before;
    listed.entry.kind = (tr_kind_t)(data[0] % TR_KINDS);
    listed.entry.issuer = tr_str((const char *)data, cut);
    listed.entry.value = tr_str((const char *)data + cut, cut);
    listed.circumstances.actor = tr_str((const char *)data + 2 * cut, cut);
    listed.circumstances.reason = tr_str((const char *)data + 3 * cut, cut);
    tr_admin_page_begin(&page, 2, w->pool);
    for (int i = 0; i < 3; i++)
        ALWAYS(tr_admin_page_add(&page, &listed) == APR_SUCCESS);
    json_t *json = read_back(tr_admin_page_text(&page, w->pool));
    ALWAYS(json_array_size(json_object_get(json, "revocations")) == 2 && json_is_integer(json_object_get(json, "next")));
    json_decref(json);
}

static void judge(world_t *w, const uint8_t *data, size_t size)
{
    tr_str_t rest = tr_str((const char *)data + 1, size - 1);
    switch (data[0]) {
    case 'q':
        judge_query(w, rest);
        break;
    case 'p':
        judge_page(w, data + 1, size - 1);
        break;
    default:
        judge_body(w, rest);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        judge(world_for_one_input(), data, size);
        world_done();
    }
    return 0;
}
