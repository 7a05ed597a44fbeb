/*
 * tr_issuer.h: whom we trust, with which keys, and the rules for that issuer's tokens.
 */
#ifndef TR_ISSUER_H
#define TR_ISSUER_H

#include <stdint.h>

#include <apr_hash.h>
#include <apr_tables.h>

#include "tr_base.h"
#include "tr_jose.h"

typedef struct tr_keyring_t tr_keyring_t;

#define TR_UNLIMITED (-1) /* max_lifetime_s */

/*
 * Plain data; filled while the configuration is read, not changed afterwards. Arrays hold const char *, NULL = not
 * given. Every member that a verdict depends on is part of a generation's name (add_issuer in tr_generation.c).
 */
typedef struct tr_issuer_t {
    const char *iss; /* exact value, or "*" */
    tr_keyring_t *keyring;
    tr_alg_set_t algs; /* 0: what the keys allow */
    apr_array_header_t *audiences;
    apr_array_header_t *logout_audiences;
    apr_array_header_t *types; /* typ headers */
    const char *use_claim;     /* TokRevokeTokenUse; NULL: the built-in rule of tr_token_check_use */
    apr_array_header_t *use_values;
    bool require_jti;
    int64_t skew_s;         /* seconds, 0 or more */
    int64_t max_lifetime_s; /* seconds, or TR_UNLIMITED */
    int64_t longest_s;      /* the same, of all servers that take tokens of this issuer; 0: there is no other */
} tr_issuer_t;

/* The trusted issuers of one (virtual) server: iss -> tr_issuer_t *. "*" is one of the keys. */
typedef apr_hash_t tr_issuers_t;

/* The section for a token's iss; has_iss false: the token has none. NULL: not trusted. */
const tr_issuer_t *tr_issuers_find(tr_issuers_t *issuers, tr_str_t iss, bool has_iss);

/* ---- the keys of one issuer; safe for any thread ----------------------------------------------------------- */

/* Lives in pool, which must be the configuration's. */
tr_keyring_t *tr_keyring_make(apr_pool_t *pool);

/* Add a key for good; it must live as long as the ring. Only while the configuration is read. */
void tr_keyring_add(tr_keyring_t *ring, const tr_key_t *key);

/*
 * Add the JWK Set in a file, and remember the file for tr_keyring_refresh. Only while the configuration is read.
 * Returns APR_SUCCESS, or another status with *why (in the ring's pool) naming what is wrong.
 */
TR_MUST_CHECK apr_status_t tr_keyring_add_file(tr_keyring_t *ring, const char **why, const char *path);

/* Union of what the keys in that file may verify; 0: it was not added. Only while the configuration is read. */
tr_alg_set_t tr_keyring_file_algs(const tr_keyring_t *ring, const char *path);

/* Called by tr_keyring_refresh once per change: err NULL, the file was read anew with keys keys; else what is wrong. */
typedef void (*tr_keyring_report_fn)(void *baton, const char *path, apr_size_t keys, const char *err);

/*
 * Look whether a file has changed and read it anew; a file that is gone, unreadable or broken leaves its last good keys
 * in force. One thread at a time per process; others may verify meanwhile and never wait. Once a second is right. now:
 * microseconds since 1970.
 */
void tr_keyring_refresh(tr_keyring_t *ring, apr_time_t now, tr_keyring_report_fn report, void *baton);

/* True when neither a key nor a file was ever added. */
bool tr_keyring_is_empty(const tr_keyring_t *ring);

/* Union of what the keys may verify. */
tr_alg_set_t tr_keyring_algs(tr_keyring_t *ring);

/*
 * Check the signature with each key that fits alg and kid: keys of that kid first, then keys that have no kid; a token
 * with no kid tries every key that fits; TR_MAX_KEYS_TRIED at most. Returns APR_SUCCESS, TR_UNKNOWN_KEY when none fits,
 * TR_BAD_SIGNATURE when none verifies, or a failure.
 */
TR_MUST_CHECK apr_status_t tr_keyring_verify(tr_keyring_t *ring, const tr_jws_t *jws);

#endif
