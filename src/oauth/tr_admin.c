/*
 * tr_admin.c: what administrators ask for. Strict: a member that is misspelt or misplaced would revoke something else than was
 * meant, or nothing, and nobody would notice.
 */
#include "tr_admin.h"

#include <apr_strings.h>

#include "tr_json.h"
#include "tr_limits.h"
#include "tr_oauth.h"

#define VALUES_PER_ITEM ((apr_size_t)16)
#define MAX_AHEAD_S (366 * INT64_C(86400))
#define MAX_EXPIRES_S 253402300799.0 /* the end of the year 9999 */
#define DEFAULT_LIMIT 100
#define NAME_LEN 40 /* bytes of an unknown name that are said back */
#define KINDS_TEXT "token, session, subject, client or issuer"

static apr_status_t refuse(tr_problem_t *problem, int index, const char *detail)
{
    problem->status = 400;
    problem->detail = detail;
    problem->index = index;
    return APR_EINVAL;
}

/* ---- one item ---------------------------------------------------------------------------------------------- */

typedef struct item_t {
    const tr_json_t *json;
    const tr_admin_context_t *context;
    const char *fault; /* what is wrong with it; NULL: nothing so far */
    apr_pool_t *pool;
    tr_kind_t kind;
    tr_str_t iss, value, reason;
    const tr_issuer_t *issuer;
    apr_time_t issued_before;
    int64_t expires_s;
    bool has_expires;
} item_t;

static void check_name(void *baton, const char *name, const tr_json_t *value)
{
    static const char *const names[] = {"kind", "iss", "value", "issued_before", "expires", "reason"};
    item_t *item = baton;

    (void)value;
    for (apr_size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            return;
        }
    }
    item->fault = apr_psprintf(item->pool, "the member \"%s\" is unknown", apr_pstrndup(item->pool, name, NAME_LEN));
}

/* A string of at most max_len bytes; empty where it is absent. */
static const char *read_string(tr_str_t *out, const item_t *item, const char *name, apr_size_t max_len)
{
    const tr_json_t *value = tr_json_get(item->json, name);

    *out = tr_str("", 0);
    if (value == NULL) {
        return NULL;
    }
    if (!tr_json_string(out, value)) {
        return apr_psprintf(item->pool, "%s must be a string", name);
    }
    return out->len <= max_len ? NULL : apr_psprintf(item->pool, "%s is longer than %d bytes", name, (int)max_len);
}

/* No token that is accepted has more, or a control character (tr_token_read_identity). */
static const char *read_identifier(tr_str_t *out, const item_t *item, const char *name)
{
    const char *fault = read_string(out, item, name, TR_MAX_IDENTIFIER_LEN);

    return fault == NULL && tr_str_has_control(*out) ? apr_psprintf(item->pool, "%s has a control character", name) : fault;
}

static bool find_kind(tr_kind_t *out, tr_str_t name)
{
    for (int k = TR_KIND_TOKEN; k <= TR_KIND_ISSUER; k++) {
        if (tr_str_eq_z(name, tr_kind_name((tr_kind_t)k))) {
            *out = (tr_kind_t)k;
            return true;
        }
    }
    return false;
}

static const char *read_kind(item_t *item)
{
    tr_str_t name;
    const char *fault = read_string(&name, item, "kind", TR_MAX_IDENTIFIER_LEN);

    return fault != NULL ? fault : find_kind(&item->kind, name) ? NULL : "kind must be one of " KINDS_TEXT;
}

static const char *read_issuer(item_t *item)
{
    const char *fault = read_identifier(&item->iss, item, "iss");

    if (fault != NULL) {
        return fault;
    }
    if (tr_str_eq_z(item->iss, "*")) {
        return "iss must be what tokens say, and \"*\" stands for no token";
    }
    item->issuer = tr_issuers_find(item->context->issuers, item->iss, item->iss.len > 0);
    if (item->issuer != NULL) {
        return NULL;
    }
    return item->iss.len == 0 ? "iss is missing" : "iss is no issuer that this server trusts";
}

static const char *read_value(item_t *item)
{
    const char *fault = read_identifier(&item->value, item, "value");

    if (fault != NULL) {
        return fault;
    }
    if (item->kind == TR_KIND_ISSUER) {
        return item->value.len == 0 ? NULL : "kind issuer has no value: it ends all tokens of iss";
    }
    return item->value.len > 0 ? NULL : "value is missing";
}

static const char *read_issued_before(item_t *item)
{
    const tr_json_t *value = tr_json_get(item->json, "issued_before");
    double seconds;

    item->issued_before = item->context->now;
    if (value == NULL) {
        return NULL;
    }
    if (item->kind == TR_KIND_TOKEN) {
        return "kind token has no issued_before: one token is revoked whenever it was issued";
    }
    if (!tr_json_number(&seconds, value)) {
        return "issued_before must be a number of seconds since 1970";
    }
    if (seconds < 0) {
        return "issued_before must not be before 1970";
    }
    if (seconds > (double)(apr_time_sec(item->context->now) + MAX_AHEAD_S)) {
        return "issued_before is more than a year ahead: it is in seconds since 1970, not in milliseconds";
    }
    item->issued_before = (apr_time_t)(seconds * APR_USEC_PER_SEC + 0.5);
    return NULL;
}

static const char *read_expires(item_t *item)
{
    const tr_json_t *value = tr_json_get(item->json, "expires");
    double seconds;

    item->has_expires = value != NULL;
    if (value == NULL) {
        return NULL;
    }
    if (item->kind != TR_KIND_TOKEN) {
        return "only kind token has expires: what the others end is as old as TokRevokeMaxLifetime at most";
    }
    if (!tr_json_number(&seconds, value)) {
        return "expires must be a whole number of seconds since 1970";
    }
    if (seconds > MAX_EXPIRES_S) {
        return "expires is beyond the year 9999: it is in seconds since 1970, not in milliseconds";
    }
    if (seconds + (double)item->context->keep->after_s < (double)apr_time_sec(item->context->now)) {
        return "expires has passed: the token is not accepted any more";
    }
    item->expires_s = (int64_t)seconds;
    return (double)item->expires_s == seconds ? NULL : "expires must be a whole number of seconds since 1970";
}

static const char *read_item(item_t *item)
{
    const char *(*const steps[])(item_t * item) = {read_kind, read_issuer, read_value, read_issued_before, read_expires};

    if (tr_json_type(item->json) != TR_JSON_OBJECT) {
        return "it is no object";
    }
    tr_json_each(item->json, check_name, item);
    for (apr_size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && item->fault == NULL; i++) {
        /* cppcheck-suppress uninitvar ; takes the list of functions for one that is not set */
        item->fault = steps[i](item);
    }
    return item->fault != NULL ? item->fault : read_string(&item->reason, item, "reason", TR_MAX_REASON_LEN);
}

static void make_entry(tr_revocation_t *out, const item_t *item)
{
    const tr_admin_context_t *context = item->context;

    if (item->kind == TR_KIND_TOKEN) {
        tr_gate_entry_jti(&out->entry, item->issuer, item->iss, item->value, item->has_expires ? &item->expires_s : NULL,
                          context->keep, context->now);
    }
    else {
        tr_gate_entry_before(&out->entry, item->kind, item->issuer, item->iss, item->value, item->issued_before, context->keep,
                             context->now);
    }
    out->circumstances = context->circumstances;
    out->circumstances.reason = item->reason;
}

/* ---- all of them ------------------------------------------------------------------------------------------- */

static apr_status_t read_at(tr_revocation_t *out, tr_problem_t *problem, int index, const tr_json_t *json,
                            const tr_admin_context_t *context, apr_pool_t *pool)
{
    item_t item = {.json = json, .context = context, .pool = pool};
    const char *fault = read_item(&item);

    if (fault != NULL) {
        return refuse(problem, index, apr_psprintf(pool, "item %d: %s", index, fault));
    }
    make_entry(out, &item);
    return APR_SUCCESS;
}

apr_status_t tr_admin_read(tr_revocation_t **list, int *n, tr_problem_t *problem, tr_str_t body,
                           const tr_admin_context_t *context, apr_pool_t *pool)
{
    const tr_json_t *json;
    const char *why;
    apr_status_t rv = tr_json_parse_any(&json, &why, body, TR_MAX_ADMIN_ITEMS * VALUES_PER_ITEM, pool);
    bool is_list;

    if (rv == APR_ENOMEM) {
        *problem = (tr_problem_t){503, "There is no memory to read the body", TR_NO_ITEM};
        return rv;
    }
    if (rv != APR_SUCCESS) {
        return refuse(problem, TR_NO_ITEM, apr_psprintf(pool, "The body is no good JSON: %s", why));
    }
    is_list = tr_json_type(json) == TR_JSON_ARRAY;
    if (is_list && (tr_json_len(json) < 1 || tr_json_len(json) > TR_MAX_ADMIN_ITEMS)) {
        return refuse(problem, TR_NO_ITEM, "The array must have 1 to 1000 items");
    }
    *n = is_list ? (int)tr_json_len(json) : 1;
    *list = apr_pcalloc(pool, (apr_size_t)*n * sizeof(**list));
    for (int i = 0; i < *n && rv == APR_SUCCESS; i++) {
        rv = read_at(&(*list)[i], problem, i, is_list ? tr_json_at(json, (apr_size_t)i) : json, context, pool);
    }
    return rv;
}

/* ---- queries ----------------------------------------------------------------------------------------------- */

/* A number of digits alone, 1 to most; by_default where it is absent. */
static const char *read_number(int64_t *out, const tr_params_t *params, const char *name, int64_t most, int64_t by_default,
                               apr_pool_t *pool)
{
    tr_str_t text;
    char *end;

    *out = by_default;
    if (tr_params_get(&text, params, name) != APR_SUCCESS) {
        return NULL;
    }
    *out = text.len <= 18 && text.data[0] >= '0' && text.data[0] <= '9' ? apr_strtoi64(text.data, &end, 10) : 0;
    if (*out < 1 || *out > most || *end != '\0') {
        return apr_psprintf(pool, "%s must be a number from 1 to %" APR_INT64_T_FMT, name, most);
    }
    return NULL;
}

static const char *read_listed_kind(tr_admin_query_t *out, const tr_params_t *params)
{
    tr_str_t name;

    if (tr_params_get(&name, params, "kind") != APR_SUCCESS) {
        return NULL;
    }
    for (int k = 0; k < TR_KINDS; k++) {
        if (tr_kind_is_revocation((tr_kind_t)k) && tr_str_eq_z(name, tr_kind_name((tr_kind_t)k))) {
            out->kind = (tr_kind_t)k;
            out->store.kind = &out->kind;
            return NULL;
        }
    }
    return "kind must be one of " KINDS_TEXT ", or of digest, opaque, family";
}

/* sub and jti name a kind, too. */
static const char *read_name(tr_admin_query_t *out, const tr_params_t *params, const char *name, tr_kind_t kind, apr_pool_t *pool)
{
    tr_str_t value;

    if (tr_params_get(&value, params, name) != APR_SUCCESS) {
        return NULL;
    }
    if (out->store.value != NULL || (out->store.kind != NULL && out->kind != kind)) {
        return apr_psprintf(pool, "%s means kind %s, and something else is asked for, too", name, tr_kind_name(kind));
    }
    if (!tr_str_is_utf8(value)) {
        return apr_psprintf(pool, "%s must be UTF-8", name);
    }
    out->kind = kind;
    out->value = value;
    out->store.kind = &out->kind;
    out->store.value = &out->value;
    return NULL;
}

/* A filter that is misspelt would show what was not asked for. */
static const char *check_names(const tr_params_t *params, apr_pool_t *pool)
{
    static const char *const names[] = {"limit", "after", "kind", "sub", "jti", NULL};
    const char *unknown = tr_params_unknown(params, names, pool);

    return unknown != NULL ? apr_psprintf(pool, "the parameter \"%s\" is unknown", apr_pstrndup(pool, unknown, NAME_LEN)) : NULL;
}

static const char *read_params(tr_admin_query_t *out, const tr_params_t *params, apr_pool_t *pool)
{
    int64_t limit = DEFAULT_LIMIT;
    const char *fault = check_names(params, pool);

    if (fault == NULL) {
        fault = read_number(&limit, params, "limit", TR_MAX_ADMIN_ITEMS, DEFAULT_LIMIT, pool);
    }
    if (fault == NULL) {
        fault = read_number(&out->store.before_seq, params, "after", INT64_MAX, 0, pool);
    }
    if (fault == NULL) {
        fault = read_listed_kind(out, params);
    }
    if (fault == NULL) {
        fault = read_name(out, params, "sub", TR_KIND_SUBJECT, pool);
    }
    if (fault == NULL) {
        fault = read_name(out, params, "jti", TR_KIND_TOKEN, pool);
    }
    out->limit = (int)limit;
    out->store.limit = out->limit + 1;
    return fault;
}

apr_status_t tr_admin_read_query(tr_admin_query_t *out, tr_problem_t *problem, const char *args, int64_t now_s, apr_pool_t *pool)
{
    tr_params_t *params;
    const char *fault;

    memset(out, 0, sizeof(*out));
    out->store.now_s = now_s;
    if (tr_params_from_form(&params, &fault, tr_str_z(args), pool) != APR_SUCCESS) {
        return refuse(problem, TR_NO_ITEM, "The query has a broken percent escape, or a parameter twice, or too many");
    }
    fault = read_params(out, params, pool);
    return fault == NULL ? APR_SUCCESS : refuse(problem, TR_NO_ITEM, fault);
}
