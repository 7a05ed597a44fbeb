/*
 * tr_context.c: see tr_context.h.
 *
 * A seat belongs to one key and one algorithm. The key is known by its serial number, which no other key of the process ever
 * gets, and never by its address, where another may lie after it was freed; the seat has a copy of the key, so that it neither
 * needs the key to live nor shares its lock. Of a secret nothing is kept.
 */
#include "tr_context.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/rsa.h>

#include "tr_thread.h"

#define SEATS 8
#define HASHES 3

typedef struct seat_t {
    uint64_t serial; /* 0: free */
    tr_alg_t alg;
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *verifier; /* where alg has a hash */
    EVP_MD_CTX *pattern;    /* where it has none: fit for one use, so it is copied */
} seat_t;

struct tr_contexts_t {
    bool is_kept;
    EVP_MD_CTX *hash[HASHES]; /* SHA-256, SHA-384, SHA-512 */
    EVP_MD_CTX *one_shot;
    seat_t seat[SEATS];
    uint32_t dice;
};

static void clear_seat(seat_t *seat)
{
    EVP_PKEY_CTX_free(seat->verifier);
    EVP_MD_CTX_free(seat->pattern);
    EVP_PKEY_free(seat->pkey);
    memset(seat, 0, sizeof(*seat));
}

static void free_contexts(void *data)
{
    tr_contexts_t *contexts = data;

    for (int i = 0; i < HASHES; i++) {
        EVP_MD_CTX_free(contexts->hash[i]);
    }
    EVP_MD_CTX_free(contexts->one_shot);
    for (int i = 0; i < SEATS; i++) {
        clear_seat(&contexts->seat[i]);
    }
    free(contexts);
}

tr_contexts_t *tr_contexts_take(void)
{
    tr_contexts_t *contexts = tr_thread_kept(TR_THREAD_SIGNATURE);

    if (contexts == NULL) {
        contexts = calloc(1, sizeof(*contexts));
        if (contexts != NULL) {
            contexts->is_kept = tr_thread_keep(TR_THREAD_SIGNATURE, contexts, free_contexts);
        }
    }
    return contexts;
}

void tr_contexts_give_back(tr_contexts_t *contexts)
{
    if (!contexts->is_kept) {
        free_contexts(contexts);
    }
}

EVP_MD_CTX *tr_context_hash(tr_contexts_t *contexts, tr_alg_t alg)
{
    const EVP_MD *md = tr_alg_info(alg)->md != NULL ? tr_alg_info(alg)->md() : NULL;
    EVP_MD_CTX **hash;

    if (md == NULL) {
        return NULL;
    }
    hash = &contexts->hash[md == EVP_sha256() ? 0 : md == EVP_sha384() ? 1 : 2];
    if (*hash == NULL) {
        *hash = EVP_MD_CTX_new();
        if (*hash != NULL && EVP_DigestInit_ex(*hash, md, NULL) != 1) {
            EVP_MD_CTX_free(*hash);
            *hash = NULL;
        }
    }
    return *hash;
}

/* PSS: salt as long as the hash, MGF1 with the same hash (RFC 7518 3.5). The salt's length after the hash that says it. */
static bool set_up(EVP_PKEY_CTX *ctx, const tr_alg_info_t *info)
{
    bool is_rsa = info->sig_len == 0;

    return EVP_PKEY_verify_init(ctx) == 1 &&
           (!is_rsa || EVP_PKEY_CTX_set_rsa_padding(ctx, info->pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1) &&
           EVP_PKEY_CTX_set_signature_md(ctx, info->md()) == 1 &&
           (!info->pss || (EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, info->md()) == 1 &&
                           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1));
}

static EVP_PKEY_CTX *make_verifier(EVP_PKEY *pkey, tr_alg_t alg)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);

    if (ctx != NULL && !set_up(ctx, tr_alg_info(alg))) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

bool tr_key_can_begin(EVP_PKEY *pkey, tr_alg_t alg)
{
    EVP_PKEY_CTX *ctx;

    ERR_set_mark();
    ctx = make_verifier(pkey, alg);
    ERR_pop_to_mark();
    EVP_PKEY_CTX_free(ctx);
    return ctx != NULL;
}

static EVP_MD_CTX *make_pattern(EVP_PKEY *pkey)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) != 1) {
        EVP_MD_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* A copy with its own lock; where none can be made, the key itself. */
static EVP_PKEY *copy_key(const tr_key_t *key)
{
    EVP_PKEY *copy = EVP_PKEY_dup(key->pkey);

    if (copy == NULL && EVP_PKEY_up_ref(key->pkey) == 1) {
        copy = key->pkey;
    }
    return copy;
}

/* By lot: the longest unused would always be the next one needed where more keys than there are seats take turns. */
static seat_t *choose_seat(tr_contexts_t *contexts)
{
    for (int i = 0; i < SEATS; i++) {
        if (contexts->seat[i].serial == 0) {
            return &contexts->seat[i];
        }
    }
    contexts->dice = contexts->dice * 1664525u + 1013904223u;
    return &contexts->seat[(contexts->dice >> 16) % SEATS];
}

static seat_t *find_seat(tr_contexts_t *contexts, tr_alg_t alg, const tr_key_t *key)
{
    bool has_hash = tr_alg_info(alg)->md != NULL;
    seat_t *seat;

    for (int i = 0; i < SEATS; i++) {
        if (contexts->seat[i].serial == key->serial && contexts->seat[i].alg == alg) {
            return &contexts->seat[i];
        }
    }
    seat = choose_seat(contexts);
    clear_seat(seat);
    seat->pkey = copy_key(key);
    if (seat->pkey != NULL) {
        seat->verifier = has_hash ? make_verifier(seat->pkey, alg) : NULL;
        seat->pattern = has_hash ? NULL : make_pattern(seat->pkey);
    }
    if (seat->verifier == NULL && seat->pattern == NULL) {
        clear_seat(seat);
        return NULL;
    }
    seat->serial = key->serial;
    seat->alg = alg;
    return seat;
}

EVP_PKEY_CTX *tr_context_verifier(tr_contexts_t *contexts, tr_alg_t alg, const tr_key_t *key)
{
    const seat_t *seat = find_seat(contexts, alg, key);

    return seat != NULL ? seat->verifier : NULL;
}

/* A copy takes an eighth of the time of a beginning; not every OpenSSL can copy what has no hash. */
EVP_MD_CTX *tr_context_one_shot(tr_contexts_t *contexts, tr_alg_t alg, const tr_key_t *key)
{
    const seat_t *seat = find_seat(contexts, alg, key);

    if (contexts->one_shot == NULL) {
        contexts->one_shot = EVP_MD_CTX_new();
    }
    if (seat == NULL || contexts->one_shot == NULL) {
        return NULL;
    }
    if (EVP_MD_CTX_copy_ex(contexts->one_shot, seat->pattern) == 1) {
        return contexts->one_shot;
    }
    (void)EVP_MD_CTX_reset(contexts->one_shot);
    return EVP_DigestVerifyInit(contexts->one_shot, NULL, NULL, NULL, seat->pkey) == 1 ? contexts->one_shot : NULL;
}
