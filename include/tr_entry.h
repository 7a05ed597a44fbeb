/*
 * tr_entry.h: one revocation, as every room above speaks of it.
 */
#ifndef TR_ENTRY_H
#define TR_ENTRY_H

#include <stdint.h>

#include "tr_base.h"
#include "tr_digest.h"

/* The numbers are kept in shared memory (4 bits) and in stores: they never change their meaning. */
typedef enum tr_kind_t {
    TR_KIND_TOKEN = 0,   /* value: the jti */
    TR_KIND_SESSION = 1, /* value: the sid */
    TR_KIND_SUBJECT = 2, /* value: the sub */
    TR_KIND_CLIENT = 3,  /* value: the client_id, or azp */
    TR_KIND_ISSUER = 4,  /* value: empty */
    TR_KIND_DIGEST = 5,  /* value: 32 bytes of SHA-256, the signing input of a JWT with no jti */
    TR_KIND_OPAQUE = 6,  /* value: 32 bytes of SHA-256, a token that is no JWT; no issuer */
    TR_KIND_FAMILY = 7,  /* value: 16 hexadecimal digits, the number of all tokens that came of one first token; no issuer */
    TR_KIND_MEMBER = 8,  /* revokes nothing: issued_before is the number of this token's family, value as tr_gate_family says */
    TR_KIND_LOGOUT = 9   /* revokes nothing: the jti of a logout token that was used */
} tr_kind_t;
#define TR_KINDS 10

#define TR_FOREVER INT64_MAX /* expires_s: the entry never ends */

typedef struct tr_entry_t {
    tr_kind_t kind;
    tr_str_t issuer;          /* exact bytes of iss; empty for a token that has none */
    tr_str_t value;           /* exact bytes, see tr_kind_t */
    apr_time_t issued_before; /* SESSION to ISSUER: microseconds since 1970, revokes tokens issued up to the end of that second */
    int64_t expires_s;        /* seconds since 1970: until when the entry must be kept; TR_FOREVER = always */
} tr_entry_t;

/* What a store remembers of a revocation beside the entry. Views; any may be empty. */
typedef struct tr_circumstances_t {
    tr_str_t actor;          /* the authenticated user or client that asked */
    tr_str_t client_address; /* where the request came from */
    tr_str_t reason;         /* free text of the caller */
} tr_circumstances_t;

/* A revocation on its way into the ledger and the store. */
typedef struct tr_revocation_t {
    tr_entry_t entry;
    tr_circumstances_t circumstances;
    bool was_there; /* out: an entry of this kind, issuer and value was in force before, stored or not */
    bool was_known; /* out: one at least as strict was, and was stored where there is a store */
    int64_t seq;    /* out: its number in the store; 0: it needed none, or there is no store */
} tr_revocation_t;

/* What the table knows an entry by. */
typedef struct tr_mark_t {
    uint64_t h[2];
} tr_mark_t;

/*
 * Keyed hash over kind, len(issuer), issuer, len(value), value: no two different triples share their input bytes
 * ("ab"+"c" is not "a"+"bc"), and nobody without the key can make two marks collide or aim at a bucket.
 */
tr_mark_t tr_mark(const tr_siphash_key_t *key, tr_kind_t kind, tr_str_t issuer, tr_str_t value);

/* "token", "session", "subject", "client", "issuer", "digest", "opaque", "family", "member", "logout". */
const char *tr_kind_name(tr_kind_t kind);

/* Has an entry of this kind an issued_before? The others are about one token. */
bool tr_kind_has_cut_off(tr_kind_t kind);

/* Is its value 32 bytes of a digest, and no text? */
bool tr_kind_has_digest(tr_kind_t kind);

/* Does it revoke anything? */
bool tr_kind_is_revocation(tr_kind_t kind);

#endif
