/* tr_remembered.c: one remembered token; tr_remembered.h draws it. */
#include "tr_remembered.h"

#include <stdlib.h>

#include "tr_digest.h"
#include "tr_export.h"
#include "tr_limits.h"
#include "tr_recent.h"

#define MALLOC_LEN 32 /* bytes that malloc adds to a block, at most */
#define MAX_HEADERS 16

struct tr_kept_list_t {
    apr_array_header_t list; /* of what follows */
    const char *prefix;
    tr_variable_t variable[];
};

/* A claim as the value of a field. */
struct tr_kept_header_t {
    tr_kept_header_t *next;
    const char *value; /* NULL: it is none */
    char claim[];      /* and the value behind it */
};

bool tr_budget_take(tr_budget_t *budget, apr_size_t size)
{
    if (atomic_fetch_add(&budget->used, size) + size <= budget->limit) {
        return true;
    }
    atomic_fetch_sub(&budget->used, size);
    return false;
}

/* ---- making ------------------------------------------------------------------------------------------------ */

/* s behind *to, with a NUL. */
static tr_str_t copy(char **to, tr_str_t s)
{
    char *begin = *to;

    if (s.len > 0) {
        memcpy(begin, s.data, s.len);
    }
    begin[s.len] = '\0';
    *to += s.len + 1;
    return tr_str(begin, s.len);
}

static apr_size_t len_of_copies(const tr_identity_t *identity, const char *user_claim)
{
    const tr_jws_t *jws = &identity->token.jws;

    return jws->text.len + jws->kid.len + jws->typ.len + strlen(identity->user) + strlen(user_claim) + 5;
}

/* All but the document, whose strings live on with it. */
static void copy_strings(tr_remembered_t *entry, const char *user_claim)
{
    tr_jws_t *jws = &entry->identity.token.jws;
    char *to = entry->bytes;

    jws->text = copy(&to, jws->text);
    jws->signing_input.data = jws->text.data;
    jws->kid = copy(&to, jws->kid);
    jws->typ = copy(&to, jws->typ);
    jws->signature = tr_str(NULL, 0);
    jws->header = NULL;
    entry->identity.user = copy(&to, tr_str_z(entry->identity.user)).data;
    entry->user_claim = copy(&to, tr_str_z(user_claim)).data;
}

static tr_remembered_t *make_block(const tr_identity_t *identity, const char *user_claim, apr_size_t weight)
{
    apr_size_t size = sizeof(tr_remembered_t) + len_of_copies(identity, user_claim);
    tr_remembered_t *entry;

    if (size + weight > TR_MAX_RECENT_SIZE) {
        return NULL;
    }
    entry = malloc(size);
    if (entry != NULL) {
        memset(entry, 0, sizeof(*entry));
        entry->identity = *identity;
        entry->identity.remembered = entry;
        atomic_init(&entry->size, size + weight + MALLOC_LEN);
        copy_strings(entry, user_claim);
    }
    return entry;
}

tr_remembered_t *tr_remembered_make(const tr_identity_t *identity, const tr_gate_t *gate, uint64_t number, const char *user_claim,
                                    tr_budget_t *budget, apr_pool_t *scratch)
{
    tr_kind_set_t kinds = (TR_ALL_KINDS & ~tr_marks_costly(&identity->token)) | tr_marks_in_force(gate->table);
    bool has_control;
    apr_size_t weight = tr_json_weigh(&has_control, identity->token.jws.payload);
    tr_remembered_t *entry = make_block(identity, user_claim, weight);

    if (entry == NULL) {
        return NULL;
    }
    entry->gate = gate;
    entry->number = number;
    entry->is_clean = !has_control;
    entry->budget = budget;
    atomic_init(&entry->marks, &entry->cheap);
    if (tr_marks_make(&entry->cheap, gate->table, &identity->token, kinds, scratch) != APR_SUCCESS) {
        tr_remembered_free(entry);
        return NULL;
    }
    return entry;
}

bool tr_remembered_adopt(tr_remembered_t *entry, apr_pool_t *pool)
{
    entry->has_document = tr_json_adopt(entry->identity.token.jws.payload, pool);
    return entry->has_document;
}

void tr_remembered_free(tr_remembered_t *entry)
{
    tr_marks_t *marks = atomic_load(&entry->marks);

    if (marks != &entry->cheap) {
        free(marks);
    }
    free(atomic_load(&entry->variables));
    for (tr_kept_header_t *header = atomic_load(&entry->headers), *next; header != NULL; header = next) {
        next = header->next;
        free(header);
    }
    if (entry->has_document) {
        tr_json_drop(entry->identity.token.jws.payload);
    }
    free(entry);
}

/* ---- what is made later ------------------------------------------------------------------------------------ */

apr_status_t tr_remembered_marks(const tr_marks_t **out, tr_remembered_t *entry, const tr_table_t *table, tr_kind_set_t kinds,
                                 apr_pool_t *pool)
{
    tr_marks_t *marks = atomic_load_explicit(&entry->marks, memory_order_acquire);
    tr_marks_t *all;
    apr_status_t rv;

    *out = marks;
    if ((kinds & ~marks->kinds) == 0) {
        return APR_SUCCESS;
    }
    all = malloc(sizeof(*all));
    if (all == NULL) {
        return APR_ENOMEM;
    }
    rv = tr_marks_make(all, table, &entry->identity.token, TR_ALL_KINDS, pool);
    if (rv == APR_SUCCESS && atomic_compare_exchange_strong(&entry->marks, &marks, all)) {
        atomic_fetch_add(&entry->size, sizeof(*all) + MALLOC_LEN);
        atomic_fetch_add(&entry->budget->used, sizeof(*all) + MALLOC_LEN);
        *out = all;
        return APR_SUCCESS;
    }
    /* Failed, or another has made them, which are all. */
    free(all);
    *out = marks;
    return rv;
}

static apr_size_t size_of_list(const apr_array_header_t *variables, const char *prefix)
{
    apr_size_t size = sizeof(tr_kept_list_t) + strlen(prefix) + 1;

    for (int i = 0; i < variables->nelts; i++) {
        const tr_variable_t *variable = &APR_ARRAY_IDX(variables, i, tr_variable_t);

        size += sizeof(*variable) + strlen(variable->name) + strlen(variable->value) + 2;
    }
    return size;
}

/* A copy in one block; NULL: no memory. */
static tr_kept_list_t *keep_list(const apr_array_header_t *variables, const char *prefix, apr_size_t size)
{
    tr_kept_list_t *kept = malloc(size);
    char *to;

    if (kept == NULL) {
        return NULL;
    }
    to = (char *)&kept->variable[variables->nelts];
    kept->prefix = copy(&to, tr_str_z(prefix)).data;
    for (int i = 0; i < variables->nelts; i++) {
        const tr_variable_t *variable = &APR_ARRAY_IDX(variables, i, tr_variable_t);

        kept->variable[i].name = copy(&to, tr_str_z(variable->name)).data;
        kept->variable[i].value = copy(&to, tr_str_z(variable->value)).data;
    }
    kept->list = (apr_array_header_t){
        .elt_size = sizeof(tr_variable_t), .nelts = variables->nelts, .nalloc = variables->nelts, .elts = (char *)kept->variable};
    return kept;
}

/* Others who do the same at once do it for nothing. */
static void keep_variables(tr_remembered_t *entry, const apr_array_header_t *variables, const char *prefix)
{
    apr_size_t size = size_of_list(variables, prefix);
    tr_kept_list_t *nobody = NULL;
    tr_kept_list_t *kept;

    if (!tr_budget_take(entry->budget, size + MALLOC_LEN)) {
        return;
    }
    kept = keep_list(variables, prefix, size);
    if (kept != NULL && atomic_compare_exchange_strong(&entry->variables, &nobody, kept)) {
        atomic_fetch_add(&entry->size, size + MALLOC_LEN);
        return;
    }
    free(kept);
    atomic_fetch_sub(&entry->budget->used, size + MALLOC_LEN);
}

const apr_array_header_t *tr_recent_variables(const tr_identity_t *identity, const char *prefix, apr_pool_t *pool)
{
    tr_remembered_t *entry = identity->remembered;
    const tr_kept_list_t *kept = entry != NULL ? atomic_load_explicit(&entry->variables, memory_order_acquire) : NULL;
    const apr_array_header_t *variables;

    if (kept != NULL && strcmp(kept->prefix, prefix) == 0) {
        return &kept->list;
    }
    variables = tr_export_variables(identity->token.jws.payload, prefix, pool);
    if (entry != NULL && kept == NULL) {
        keep_variables(entry, variables, prefix);
    }
    return variables;
}

/* value NULL: the claim is no value. Nothing happens when there is no memory for it. */
static void keep_header(tr_remembered_t *entry, const char *claim, const char *value)
{
    tr_str_t text = tr_str_z(value);
    apr_size_t size = sizeof(tr_kept_header_t) + strlen(claim) + 1 + text.len + 1;
    tr_kept_header_t *header = malloc(size);
    char *to;

    if (header == NULL || !tr_budget_take(entry->budget, size + MALLOC_LEN)) {
        free(header);
        return;
    }
    to = header->claim;
    (void)copy(&to, tr_str_z(claim));
    header->value = value != NULL ? copy(&to, text).data : NULL;
    atomic_fetch_add(&entry->size, size + MALLOC_LEN);
    header->next = atomic_load(&entry->headers);
    while (!atomic_compare_exchange_weak(&entry->headers, &header->next, header)) {
    }
}

apr_status_t tr_recent_header(const char **out, const tr_identity_t *identity, const char *claim, apr_pool_t *pool)
{
    tr_remembered_t *entry = identity->remembered;
    const tr_kept_header_t *header = entry != NULL ? atomic_load_explicit(&entry->headers, memory_order_acquire) : NULL;
    apr_status_t rv;
    int n = 0;

    for (; header != NULL; header = header->next, n++) {
        if (strcmp(header->claim, claim) == 0) {
            *out = header->value;
            return APR_SUCCESS;
        }
    }
    rv = tr_export_header(out, identity->token.jws.payload, claim, pool);
    if (rv == APR_SUCCESS && entry != NULL && n < MAX_HEADERS) {
        keep_header(entry, claim, *out);
    }
    return rv;
}

uint64_t tr_recent_fingerprint(const tr_identity_t *identity, tr_str_t text, apr_pool_t *pool)
{
    tr_remembered_t *entry = identity->remembered;
    uint64_t fingerprint = entry != NULL ? atomic_load_explicit(&entry->fingerprint, memory_order_relaxed) : 0;

    if (fingerprint == 0) {
        fingerprint = strtoull(tr_fingerprint(text, pool), NULL, 16);
        if (entry != NULL) {
            atomic_store_explicit(&entry->fingerprint, fingerprint, memory_order_relaxed);
        }
    }
    return fingerprint;
}

bool tr_recent_is_clean(const tr_identity_t *identity)
{
    return identity->remembered != NULL && identity->remembered->is_clean;
}
