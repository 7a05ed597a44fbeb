/* tr_generation.c: the name of all keys and rules of a server, and when it counts. tr_generation.h says what for. */
#include "tr_generation_private.h"

#include <stdlib.h>

/* Raise it when the same configuration and keys come to mean something else. */
#define RULES "mod_tokrevoke " TR_VERSION ", rules 1"

/* ---- the text that says it all ----------------------------------------------------------------------------- */

static void add_bytes(apr_array_header_t *text, const void *data, apr_size_t len)
{
    for (apr_size_t i = 0; i < len; i++) {
        APR_ARRAY_PUSH(text, char) = ((const char *)data)[i];
    }
}

static void add_number(apr_array_header_t *text, int64_t number)
{
    add_bytes(text, &number, sizeof(number));
}

/* With its length ahead, so that no two lists of strings share their bytes. */
static void add_string(apr_array_header_t *text, const char *string)
{
    add_number(text, string != NULL ? (int64_t)strlen(string) : -1);
    add_bytes(text, string, string != NULL ? strlen(string) : 0);
}

static void add_list(apr_array_header_t *text, const apr_array_header_t *list)
{
    add_number(text, list != NULL ? list->nelts : -1);
    for (int i = 0; list != NULL && i < list->nelts; i++) {
        add_string(text, APR_ARRAY_IDX(list, i, const char *));
    }
}

/* False: there is no digest of its keys. longest_s says how long revocations are kept, and nothing of tokens. */
static bool add_issuer(apr_array_header_t *text, const tr_issuer_t *issuer)
{
    const unsigned char *keys = tr_keyring_digest(issuer->keyring);

    add_string(text, issuer->iss);
    add_number(text, issuer->algs);
    add_list(text, issuer->audiences);
    add_list(text, issuer->logout_audiences);
    add_list(text, issuer->types);
    add_string(text, issuer->use_claim);
    add_list(text, issuer->use_values);
    add_number(text, issuer->require_jti);
    add_number(text, issuer->skew_s);
    add_number(text, issuer->max_lifetime_s);
    if (keys != NULL) {
        add_bytes(text, keys, TR_SHA256_LEN);
    }
    return keys != NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const tr_issuer_t *const *)a)->iss, (*(const tr_issuer_t *const *)b)->iss);
}

/* In the order of their names: the order in a hash is another one in each process. */
static apr_array_header_t *sorted(tr_issuers_t *issuers, apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_make(pool, (int)apr_hash_count(issuers), sizeof(const tr_issuer_t *));

    for (apr_hash_index_t *i = apr_hash_first(pool, issuers); i != NULL; i = apr_hash_next(i)) {
        APR_ARRAY_PUSH(list, const tr_issuer_t *) = apr_hash_this_val(i);
    }
    if (list->nelts > 1) {
        qsort(list->elts, (size_t)list->nelts, sizeof(const tr_issuer_t *), by_name);
    }
    return list;
}

static bool make_name(uint64_t name[TR_GENERATION_WORDS], tr_issuers_t *issuers, apr_pool_t *scratch)
{
    apr_array_header_t *text = apr_array_make(scratch, 1024, sizeof(char));
    apr_array_header_t *list = sorted(issuers, scratch);
    unsigned char digest[TR_SHA256_LEN];

    add_string(text, RULES);
    for (int i = 0; i < list->nelts; i++) {
        if (!add_issuer(text, APR_ARRAY_IDX(list, i, const tr_issuer_t *))) {
            return false;
        }
    }
    if (tr_sha256(digest, tr_str(text->elts, (apr_size_t)text->nelts)) != APR_SUCCESS) {
        return false;
    }
    memcpy(name, digest, sizeof(digest));
    return true;
}

/* ---- when it counts ---------------------------------------------------------------------------------------- */

void tr_generation_end(tr_generation_t *generation)
{
    uint64_t number = atomic_load_explicit(&generation->number, memory_order_relaxed);

    atomic_store_explicit(&generation->number, number | 1, memory_order_release);
}

/* Each store is a release, so that whoever reads a new word also sees the number that is odd. */
void tr_generation_begin(tr_generation_t *generation)
{
    uint64_t number = atomic_load_explicit(&generation->number, memory_order_relaxed);
    uint64_t name[TR_GENERATION_WORDS];
    apr_pool_t *scratch;
    bool is_made;

    apr_pool_create(&scratch, NULL);
    is_made = make_name(name, generation->issuers, scratch);
    apr_pool_destroy(scratch);
    if (!is_made) {
        return;
    }
    for (int i = 0; i < TR_GENERATION_WORDS; i++) {
        atomic_store_explicit(&generation->name[i], name[i], memory_order_release);
    }
    atomic_store_explicit(&generation->number, number + 1, memory_order_release);
}

bool tr_generation_take(tr_generation_seen_t *out, const tr_generation_t *generation)
{
    if (generation == NULL) {
        return false;
    }
    out->number = tr_generation_number(generation);
    if (!tr_generation_is_some(out->number)) {
        return false;
    }
    for (int i = 0; i < TR_GENERATION_WORDS; i++) {
        out->name[i] = atomic_load_explicit(&generation->name[i], memory_order_acquire);
    }
    return tr_generation_still(generation, out);
}

tr_generation_t *tr_generation_make(tr_issuers_t *issuers, apr_pool_t *pool)
{
    tr_generation_t *generation = apr_pcalloc(pool, sizeof(*generation));

    generation->issuers = issuers;
    atomic_init(&generation->number, 1);
    for (apr_hash_index_t *i = apr_hash_first(pool, issuers); i != NULL; i = apr_hash_next(i)) {
        tr_keyring_watch(((const tr_issuer_t *)apr_hash_this_val(i))->keyring, generation);
    }
    tr_generation_begin(generation);
    return generation;
}
