/* tr_remembered.c: one remembered token; tr_remembered.h draws it. */
#include "tr_remembered.h"

#include <stdlib.h>

#include <apr_strings.h>

#include "tr_digest.h"
#include "tr_export.h"
#include "tr_limits.h"
#include "tr_recent.h"

#define MALLOC_LEN 32 /* bytes that malloc adds to a block, at most */
#define MAX_HEADERS 16

/* One block. */
struct tr_kept_list_t {
    apr_array_header_t list; /* of what follows */
    apr_size_t size;
    const char *prefix;
    tr_variable_t variable[];
};

/* A claim as the value of a field. */
struct tr_kept_header_t {
    tr_kept_header_t *next;
    const char *value; /* NULL: it is none */
    char claim[];      /* and the value behind it */
};

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

#define STRINGS 8

/* The strings that a remembered identity has, but for the token itself and its user. Returns their bytes, with a NUL each. */
static apr_size_t strings_of(tr_str_t *out[STRINGS], tr_token_t *token)
{
    tr_str_t *all[STRINGS] = {&token->iss, &token->jti,       &token->sub,     &token->sid,
                              &token->azp, &token->client_id, &token->jws.kid, &token->jws.typ};
    apr_size_t len = 0;

    for (int i = 0; i < STRINGS; i++) {
        out[i] = all[i];
        len += all[i]->len + 1;
    }
    return len;
}

/* to: room for all of them. */
static void copy_strings(tr_remembered_t *entry, char *to, const char *user_claim)
{
    tr_token_t *token = &entry->identity.token;
    tr_str_t *string[STRINGS];

    (void)strings_of(string, token);
    token->jws.text = copy(&to, token->jws.text);
    token->jws.signing_input.data = token->jws.text.data;
    for (int i = 0; i < STRINGS; i++) {
        *string[i] = copy(&to, *string[i]);
    }
    token->jws.signature = tr_str(NULL, 0);
    token->jws.header = NULL;
    token->jws.payload = NULL;
    entry->identity.user = copy(&to, tr_str_z(entry->identity.user)).data;
    entry->user_claim = copy(&to, tr_str_z(user_claim)).data;
}

static tr_remembered_t *make_block(const tr_identity_t *identity, const char *user_claim)
{
    tr_token_t token = identity->token;
    tr_str_t *string[STRINGS];
    apr_size_t size = sizeof(tr_remembered_t) + strings_of(string, &token) + token.jws.text.len + strlen(identity->user) +
                      strlen(user_claim) + 3;
    tr_remembered_t *entry = size <= TR_MAX_RECENT_SIZE ? malloc(size) : NULL;

    if (entry != NULL) {
        memset(entry, 0, sizeof(*entry));
        entry->identity = *identity;
        entry->identity.remembered = entry;
        atomic_init(&entry->size, size + MALLOC_LEN);
        copy_strings(entry, entry->bytes, user_claim);
    }
    return entry;
}

tr_remembered_t *tr_remembered_make(const tr_identity_t *identity, const tr_gate_t *gate, uint64_t number, const char *user_claim,
                                    tr_recent_t *recent, apr_pool_t *scratch)
{
    tr_kind_set_t kinds = (TR_ALL_KINDS & ~tr_marks_costly(&identity->token)) | tr_marks_in_force(gate->table);
    tr_remembered_t *entry = make_block(identity, user_claim);
    bool has_control;

    if (entry == NULL) {
        return NULL;
    }
    entry->gate = gate;
    entry->number = number;
    (void)tr_json_weigh(&has_control, identity->token.jws.payload);
    entry->is_clean = !has_control;
    entry->recent = recent;
    atomic_init(&entry->marks, &entry->cheap);
    if (tr_marks_make(&entry->cheap, gate->table, &identity->token, kinds, scratch) != APR_SUCCESS) {
        tr_remembered_free(entry);
        return NULL;
    }
    return entry;
}

void tr_remembered_free(tr_remembered_t *entry)
{
    tr_marks_t *marks = atomic_load(&entry->marks);
    const tr_json_t *payload = atomic_load(&entry->payload);

    if (marks != &entry->cheap) {
        free(marks);
    }
    free(atomic_load(&entry->variables));
    for (tr_kept_header_t *header = atomic_load(&entry->headers), *next; header != NULL; header = next) {
        next = header->next;
        free(header);
    }
    if (payload != NULL) {
        tr_json_drop(payload);
    }
    free(entry);
}

/* ---- what is made later ------------------------------------------------------------------------------------ */

/* Bytes for something that is kept with entry. False: do without. */
static bool take_bytes(tr_remembered_t *entry, apr_size_t size)
{
    if (!tr_recent_find_bytes(entry->recent, size + MALLOC_LEN)) {
        return false;
    }
    atomic_fetch_add(&entry->size, size + MALLOC_LEN);
    return true;
}

static void return_bytes(tr_remembered_t *entry, apr_size_t size)
{
    atomic_fetch_sub(&entry->size, size + MALLOC_LEN);
    tr_recent_return_bytes(entry->recent, size + MALLOC_LEN);
}

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
        tr_recent_charge(entry->recent, sizeof(*all) + MALLOC_LEN); /* whether they are there or not: it must be looked up */
        atomic_fetch_add(&entry->size, sizeof(*all) + MALLOC_LEN);
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
    kept->size = size;
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

    if (size > TR_MAX_RECENT_SIZE || !take_bytes(entry, size)) {
        return;
    }
    kept = keep_list(variables, prefix, size);
    if (kept == NULL || !atomic_compare_exchange_strong(&entry->variables, &nobody, kept)) {
        free(kept);
        return_bytes(entry, size);
    }
}

/* Of two who read it at once, one keeps it. */
static const tr_json_t *keep_payload(tr_remembered_t *entry, const tr_json_t *payload, apr_pool_t *pool)
{
    bool has_control;
    apr_size_t size = tr_json_weigh(&has_control, payload);
    const tr_json_t *nobody = NULL;

    if (size > TR_MAX_RECENT_SIZE || !take_bytes(entry, size)) {
        return payload;
    }
    if (!tr_json_adopt(payload, pool)) {
        return_bytes(entry, size);
        return payload;
    }
    if (atomic_compare_exchange_strong(&entry->payload, &nobody, payload)) {
        return payload;
    }
    tr_json_drop(payload);
    return_bytes(entry, size);
    return nobody;
}

/* NULL: a remembered token's has not been kept. */
static const tr_json_t *payload_at_hand(const tr_identity_t *identity)
{
    const tr_remembered_t *entry = identity->remembered;

    return entry != NULL ? atomic_load_explicit(&entry->payload, memory_order_acquire) : identity->token.jws.payload;
}

/* Was good to read, so it is, unless there is no memory. */
static const tr_json_t *read_payload(const tr_identity_t *identity, apr_pool_t *pool)
{
    tr_jws_t jws;

    return tr_jws_parse(&jws, identity->token.jws.text, pool) == APR_SUCCESS ? jws.payload : NULL;
}

/* For this once: what is made of it is kept instead. */
static const tr_json_t *payload_of(const tr_identity_t *identity, apr_pool_t *pool)
{
    const tr_json_t *payload = payload_at_hand(identity);

    return payload != NULL ? payload : read_payload(identity, pool);
}

const tr_json_t *tr_recent_payload(const tr_identity_t *identity, apr_pool_t *pool)
{
    const tr_json_t *payload = payload_at_hand(identity);

    if (payload == NULL) {
        payload = read_payload(identity, pool);
        payload = payload != NULL ? keep_payload(identity->remembered, payload, pool) : NULL;
    }
    return payload;
}

/* What a request is told is its own: others may write to it, and read it until the very end of the pool, when the entry may be gone. */
static const apr_array_header_t *copy_list(const tr_kept_list_t *kept, apr_pool_t *pool)
{
    tr_kept_list_t *own = apr_pmemdup(pool, kept, kept->size);

    for (int i = 0; i < own->list.nelts; i++) {
        own->variable[i].name = (const char *)own + (kept->variable[i].name - (const char *)kept);
        own->variable[i].value = (const char *)own + (kept->variable[i].value - (const char *)kept);
    }
    own->list.pool = pool;
    own->list.elts = (char *)own->variable;
    return &own->list;
}

const apr_array_header_t *tr_recent_variables(const tr_identity_t *identity, const char *prefix, apr_pool_t *pool)
{
    tr_remembered_t *entry = identity->remembered;
    const tr_kept_list_t *kept = entry != NULL ? atomic_load_explicit(&entry->variables, memory_order_acquire) : NULL;
    const apr_array_header_t *variables;
    const tr_json_t *payload;

    if (kept != NULL && strcmp(kept->prefix, prefix) == 0) {
        return copy_list(kept, pool);
    }
    payload = payload_of(identity, pool);
    variables = tr_export_variables(payload, prefix, pool);
    if (entry != NULL && kept == NULL && payload != NULL) {
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

    if (header == NULL || !take_bytes(entry, size)) {
        free(header);
        return;
    }
    to = header->claim;
    (void)copy(&to, tr_str_z(claim));
    header->value = value != NULL ? copy(&to, text).data : NULL;
    header->next = atomic_load(&entry->headers);
    while (!atomic_compare_exchange_weak(&entry->headers, &header->next, header)) {
    }
}

apr_status_t tr_recent_header(const char **out, const tr_identity_t *identity, const char *claim, apr_pool_t *pool)
{
    tr_remembered_t *entry = identity->remembered;
    const tr_kept_header_t *header = entry != NULL ? atomic_load_explicit(&entry->headers, memory_order_acquire) : NULL;
    const tr_json_t *payload;
    apr_status_t rv;
    int n = 0;

    for (; header != NULL; header = header->next, n++) {
        if (strcmp(header->claim, claim) == 0) {
            *out = apr_pstrdup(pool, header->value);
            return APR_SUCCESS;
        }
    }
    payload = payload_of(identity, pool);
    rv = payload != NULL ? tr_export_header(out, payload, claim, pool) : APR_ENOMEM;
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
