/*
 * tr_digest.c: SHA-256 from OpenSSL; SipHash-2-4 with 128-bit output written out, because it runs on every request and
 * OpenSSL's goes through allocated contexts. The unit tests compare it with OpenSSL's.
 */
#include "tr_digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "tr_thread.h"

static void free_context(void *ctx)
{
    EVP_MD_CTX_free(ctx);
}

/* This thread's own: finding the algorithm takes nearly as long as hashing a token, and a lock. NULL: it cannot be had. */
static EVP_MD_CTX *own_context(void)
{
    EVP_MD_CTX *ctx = tr_thread_kept(TR_THREAD_DIGEST);

    if (ctx != NULL) {
        return ctx;
    }
    ctx = EVP_MD_CTX_new();
    if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 && tr_thread_keep(TR_THREAD_DIGEST, ctx, free_context)) {
        return ctx;
    }
    EVP_MD_CTX_free(ctx);
    return NULL;
}

apr_status_t tr_sha256(unsigned char out[TR_SHA256_LEN], tr_str_t in)
{
    EVP_MD_CTX *ctx;
    bool done;

    if (!tr_openssl_enter()) {
        return APR_EGENERAL;
    }
    ctx = own_context();
    if (ctx == NULL) {
        done = EVP_Digest(in.data, in.len, out, NULL, EVP_sha256(), NULL) == 1;
    }
    else {
        done = EVP_DigestInit_ex(ctx, NULL, NULL) == 1 && EVP_DigestUpdate(ctx, in.data, in.len) == 1 &&
               EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    }
    tr_openssl_leave();
    return done ? APR_SUCCESS : APR_EGENERAL;
}

apr_status_t tr_random(void *out, apr_size_t len)
{
    apr_status_t rv = APR_EGENERAL;

    if (tr_openssl_enter()) {
        rv = RAND_bytes(out, (int)len) == 1 ? APR_SUCCESS : APR_EGENERAL;
        tr_openssl_leave();
    }
    return rv;
}

void tr_leave_openssl(void)
{
    if (tr_openssl_enter()) {
        tr_thread_forget();
        OPENSSL_thread_stop();
        tr_openssl_leave();
    }
}

void tr_wipe(void *secret, apr_size_t len)
{
    OPENSSL_cleanse(secret, len);
}

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void mix(tr_siphash_t *h)
{
    h->v0 += h->v1;
    h->v2 += h->v3;
    h->v1 = rotate(h->v1, 13) ^ h->v0;
    h->v3 = rotate(h->v3, 16) ^ h->v2;
    h->v0 = rotate(h->v0, 32);
    h->v2 += h->v1;
    h->v0 += h->v3;
    h->v1 = rotate(h->v1, 17) ^ h->v2;
    h->v3 = rotate(h->v3, 21) ^ h->v0;
    h->v2 = rotate(h->v2, 32);
}

static inline void absorb(tr_siphash_t *h, uint64_t word)
{
    h->v3 ^= word;
    mix(h);
    mix(h);
    h->v0 ^= word;
}

void tr_siphash_init(tr_siphash_t *h, const tr_siphash_key_t *key)
{
    h->v0 = key->k0 ^ UINT64_C(0x736f6d6570736575);
    h->v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d) ^ 0xee;
    h->v2 = key->k0 ^ UINT64_C(0x6c7967656e657261);
    h->v3 = key->k1 ^ UINT64_C(0x7465646279746573);
    h->tail = 0;
    h->total_len = 0;
}

static inline uint64_t word_at(const unsigned char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static void feed_byte(tr_siphash_t *h, unsigned char byte)
{
    h->tail |= (uint64_t)byte << (8 * (h->total_len & 7));
    if ((++h->total_len & 7) == 0) {
        absorb(h, h->tail);
        h->tail = 0;
    }
}

void tr_siphash_feed(tr_siphash_t *to, const void *data, apr_size_t len)
{
    const unsigned char *p = data;
    tr_siphash_t h = *to; /* a copy that p cannot point into, so that it stays in registers */

    for (; len > 0 && (h.total_len & 7) != 0; len--) {
        feed_byte(&h, *p++);
    }
    for (; len >= 8; len -= 8, p += 8, h.total_len += 8) {
        absorb(&h, word_at(p));
    }
    for (apr_size_t i = 0; i < len; i++) {
        h.tail |= (uint64_t)p[i] << (8 * i);
    }
    h.total_len += len;
    *to = h;
}

void tr_siphash_done(uint64_t out[2], tr_siphash_t *h)
{
    absorb(h, h->total_len << 56 | h->tail);
    h->v2 ^= 0xee;
    for (int i = 0; i < 4; i++) {
        mix(h);
    }
    out[0] = h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
    h->v1 ^= 0xdd;
    for (int i = 0; i < 4; i++) {
        mix(h);
    }
    out[1] = h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
}

const char *tr_fingerprint(tr_str_t in, apr_pool_t *pool)
{
    static const char digit[] = "0123456789abcdef";
    unsigned char digest[TR_SHA256_LEN];
    char *text = apr_palloc(pool, TR_FINGERPRINT_LEN + 1);

    if (tr_sha256(digest, in) != APR_SUCCESS) {
        return "-";
    }
    for (apr_size_t i = 0; i < TR_FINGERPRINT_LEN / 2; i++) {
        text[2 * i] = digit[digest[i] >> 4];
        text[2 * i + 1] = digit[digest[i] & 0x0f];
    }
    text[TR_FINGERPRINT_LEN] = '\0';
    return text;
}
