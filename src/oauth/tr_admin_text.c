/* tr_admin_text.c: the JSON that administrators get. */
#include "tr_admin.h"

#include <apr_strings.h>

#include "tr_digest.h"
#include "tr_json.h"

#define SEQ "%" APR_INT64_T_FMT

char *tr_problem_text(const tr_problem_t *problem, const char *title, apr_pool_t *pool)
{
    const char *index = problem->index == TR_NO_ITEM ? "" : apr_psprintf(pool, ",\"index\":%d", problem->index);

    return apr_psprintf(pool, "{\"type\":\"about:blank\",\"title\":%s,\"status\":%d,\"detail\":%s%s}",
                        tr_json_quote(tr_str_z(title), pool), problem->status, tr_json_quote(tr_str_z(problem->detail), pool),
                        index);
}

static const char *number_or_null(int64_t number, bool is_null, apr_pool_t *pool)
{
    return is_null ? "null" : apr_psprintf(pool, SEQ, number);
}

char *tr_admin_created_text(const tr_revocation_t *list, int n, apr_pool_t *pool)
{
    apr_array_header_t *numbers = apr_array_make(pool, n, sizeof(const char *));

    for (int i = 0; i < n; i++) {
        APR_ARRAY_PUSH(numbers, const char *) = number_or_null(list[i].seq, list[i].seq == 0, pool);
    }
    return apr_psprintf(pool, "{\"seq\":[%s]}", apr_array_pstrcat(pool, numbers, ','));
}

/* ---- a page of the list ------------------------------------------------------------------------------------ */

/* Seconds, with a fraction where there is one. */
static const char *time_text(apr_time_t time, bool has_time, apr_pool_t *pool)
{
    const char *sign = time < 0 ? "-" : "";
    uint64_t us = time < 0 ? 0 - (uint64_t)time : (uint64_t)time;

    if (!has_time) {
        return "null";
    }
    if (us % APR_USEC_PER_SEC == 0) {
        return apr_psprintf(pool, "%s%" APR_UINT64_T_FMT, sign, (apr_uint64_t)(us / APR_USEC_PER_SEC));
    }
    return apr_psprintf(pool, "%s%" APR_UINT64_T_FMT ".%06u", sign, (apr_uint64_t)(us / APR_USEC_PER_SEC),
                        (unsigned int)(us % APR_USEC_PER_SEC));
}

static const char *value_text(const tr_entry_t *e, apr_pool_t *pool)
{
    static const char digit[] = "0123456789abcdef";
    char *text;

    if (!tr_kind_has_digest(e->kind)) {
        return tr_json_quote(e->value, pool);
    }
    text = apr_palloc(pool, 2 * e->value.len + 3);
    for (apr_size_t i = 0; i < e->value.len; i++) {
        text[2 * i + 1] = digit[(unsigned char)e->value.data[i] >> 4];
        text[2 * i + 2] = digit[(unsigned char)e->value.data[i] & 15];
    }
    text[0] = text[2 * e->value.len + 1] = '"';
    text[2 * e->value.len + 2] = '\0';
    return text;
}

static const char *item_text(const tr_store_listed_t *listed, apr_pool_t *pool)
{
    const tr_entry_t *e = &listed->entry;
    const tr_circumstances_t *c = &listed->circumstances;

    return apr_psprintf(pool,
                        "{\"seq\":" SEQ ",\"kind\":\"%s\",\"iss\":%s,\"value\":%s,\"issued_before\":%s,\"expires\":%s,"
                        "\"revoked_at\":" SEQ ",\"actor\":%s,\"client_address\":%s,\"reason\":%s}",
                        listed->seq, tr_kind_name(e->kind), tr_json_quote(e->issuer, pool), value_text(e, pool),
                        time_text(e->issued_before, tr_kind_has_cut_off(e->kind), pool),
                        number_or_null(e->expires_s, e->expires_s == TR_FOREVER, pool), listed->revoked_at_s,
                        tr_json_quote(c->actor, pool), tr_json_quote(c->client_address, pool), tr_json_quote(c->reason, pool));
}

void tr_admin_page_begin(tr_admin_page_t *page, int limit, apr_pool_t *pool)
{
    page->items = apr_array_make(pool, limit, sizeof(const char *));
    page->limit = limit;
    page->last_seq = 0;
    page->has_more = false;
}

apr_status_t tr_admin_page_add(void *baton, const tr_store_listed_t *listed)
{
    tr_admin_page_t *page = baton;

    page->has_more = page->items->nelts == page->limit;
    if (!page->has_more) {
        APR_ARRAY_PUSH(page->items, const char *) = item_text(listed, page->items->pool);
        page->last_seq = listed->seq;
    }
    return APR_SUCCESS;
}

char *tr_admin_page_text(const tr_admin_page_t *page, apr_pool_t *pool)
{
    return apr_psprintf(pool, "{\"revocations\":[%s],\"next\":%s}", apr_array_pstrcat(pool, page->items, ','),
                        number_or_null(page->last_seq, !page->has_more, pool));
}

/* ---- how it is --------------------------------------------------------------------------------------------- */

static const char *kinds_text(const tr_table_stats_t *table, apr_pool_t *pool)
{
    apr_array_header_t *kinds = apr_array_make(pool, TR_KINDS, sizeof(const char *));

    for (int k = 0; k < TR_KINDS; k++) {
        APR_ARRAY_PUSH(kinds, const char *) = apr_psprintf(pool, "\"%s\":%u", tr_kind_name((tr_kind_t)k), table->by_kind[k]);
    }
    return apr_array_pstrcat(pool, kinds, ',');
}

static const char *table_text(const tr_table_stats_t *table, apr_pool_t *pool)
{
    if (table == NULL) {
        return "null";
    }
    return apr_psprintf(
        pool,
        "{\"capacity\":%u,\"used\":%u,\"by_kind\":{%s},\"inserted\":%" APR_UINT64_T_FMT ",\"reclaimed\":%" APR_UINT64_T_FMT
        ",\"full\":%" APR_UINT64_T_FMT ",\"recovered\":%" APR_UINT64_T_FMT "}",
        table->capacity, table->used, kinds_text(table, pool), table->inserted, table->reclaimed, table->full, table->recovered);
}

static const char *store_text(const tr_admin_status_t *status, apr_pool_t *pool)
{
    if (status->store == NULL) {
        return "null";
    }
    return apr_psprintf(pool, "{\"name\":%s,\"last_seq\":" SEQ ",\"age_seconds\":%.3f,\"stalls\":%" APR_UINT64_T_FMT "}",
                        tr_json_quote(tr_str_z(status->store), pool), status->last_seq, status->age_s, status->stalls);
}

char *tr_admin_status_text(const tr_admin_status_t *status, apr_pool_t *pool)
{
    return apr_psprintf(
        pool, "{\"version\":\"" TR_VERSION "\",\"informed\":%s,\"table\":%s,\"store\":%s,\"presented\":%" APR_UINT64_T_FMT "}",
        status->is_informed ? "true" : "false", table_text(status->table, pool), store_text(status, pool), status->presented);
}
