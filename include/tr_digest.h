/*
 * tr_digest.h: SHA-256 for what leaves the process, SipHash-2-4-128 for what only our shared memory sees.
 */
#ifndef TR_DIGEST_H
#define TR_DIGEST_H

#include <stdint.h>

#include "tr_base.h"

#define TR_SHA256_LEN 32
#define TR_FINGERPRINT_LEN 16 /* hexadecimal characters, without the NUL */

/* 128 random bits; whoever knows them can aim at buckets of the table, so they stay in the server's memory. */
typedef struct tr_siphash_key_t {
    uint64_t k0, k1;
} tr_siphash_key_t;

/* A 128-bit SipHash value under construction. Feed pieces in any cut: only their concatenation counts. */
typedef struct tr_siphash_t {
    uint64_t v0, v1, v2, v3;
    uint64_t tail;      /* bytes that do not fill a word yet, little-endian */
    uint64_t total_len; /* bytes fed so far */
} tr_siphash_t;

/* Returns APR_SUCCESS, or APR_EGENERAL when the digest cannot be had. */
TR_MUST_CHECK apr_status_t tr_sha256(unsigned char out[TR_SHA256_LEN], tr_str_t in);

/* Fill out with bytes fit for keys. Returns APR_SUCCESS, or APR_EGENERAL when the system gives none. */
TR_MUST_CHECK apr_status_t tr_random(void *out, apr_size_t len);

/*
 * Free what OpenSSL keeps for this thread, and what we keep of OpenSSL for it (tr_thread.h); for a thread that may end after
 * OpenSSL itself has, in exit().
 */
void tr_leave_openssl(void);

/* Overwrite a secret that is no longer needed; the compiler cannot leave it out. */
void tr_wipe(void *secret, apr_size_t len);

void tr_siphash_init(tr_siphash_t *h, const tr_siphash_key_t *key);
void tr_siphash_feed(tr_siphash_t *h, const void *data, apr_size_t len);
void tr_siphash_done(uint64_t out[2], tr_siphash_t *h);

/*
 * The first 64 bits of SHA-256(in) in hexadecimal: names a token in a log without giving it away. "-" when it can't be
 * had.
 */
const char *tr_fingerprint(tr_str_t in, apr_pool_t *pool);

#endif
