/*
 * tr_entry.h: one revocation, as every room above speaks of it.
 */
#ifndef TR_ENTRY_H
#define TR_ENTRY_H

#include <stdint.h>

#include "tr_base.h"
#include "tr_digest.h"

/* The numbers are kept in shared memory (3 bits) and in stores: they never change their meaning. */
typedef enum tr_kind_t {
    TR_KIND_TOKEN = 0,   /* value: the jti */
    TR_KIND_SESSION = 1, /* value: the sid */
    TR_KIND_SUBJECT = 2, /* value: the sub */
    TR_KIND_CLIENT = 3,  /* value: the client_id, or azp */
    TR_KIND_ISSUER = 4,  /* value: empty */
    TR_KIND_DIGEST = 5   /* value: 32 bytes of SHA-256: the signing input of a JWT with no jti, or an opaque token */
} tr_kind_t;
#define TR_KINDS 6

#define TR_FOREVER INT64_MAX /* expires_s: the entry never ends */

typedef struct tr_entry_t {
    tr_kind_t kind;
    tr_str_t issuer;          /* exact bytes of iss; empty for a token that has none */
    tr_str_t value;           /* exact bytes, see tr_kind_t */
    apr_time_t issued_before; /* microseconds since 1970: revokes tokens issued at or before; ignored for TOKEN and DIGEST */
    int64_t expires_s;        /* seconds since 1970: until when the entry must be kept; TR_FOREVER = always */
} tr_entry_t;

/* What a store remembers of a revocation beside the entry. Views; any may be empty. */
typedef struct tr_circumstances_t {
    tr_str_t actor;          /* the authenticated user or client that asked */
    tr_str_t client_address; /* where the request came from */
    tr_str_t reason;         /* free text of the caller */
} tr_circumstances_t;

/* What the table knows an entry by. */
typedef struct tr_mark_t {
    uint64_t h[2];
} tr_mark_t;

/*
 * Keyed hash over kind, len(issuer), issuer, len(value), value: no two different triples share their input bytes
 * ("ab"+"c" is not "a"+"bc"), and nobody without the key can make two marks collide or aim at a bucket.
 */
tr_mark_t tr_mark(const tr_siphash_key_t *key, tr_kind_t kind, tr_str_t issuer, tr_str_t value);

/* "token", "session", "subject", "client", "issuer", "digest". */
const char *tr_kind_name(tr_kind_t kind);

#endif
