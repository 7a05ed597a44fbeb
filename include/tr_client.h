/*
 * tr_client.h: OAuth clients (RFC 6749 2): the file that names them, the credentials in a request, and whether these are good.
 */
#ifndef TR_CLIENT_H
#define TR_CLIENT_H

#include <stdatomic.h>
#include <stdint.h>

#include "tr_base.h"
#include "tr_digest.h"
#include "tr_oauth.h"

/* ---- the file of TokRevokeClients -------------------------------------------------------------------------- */

/*
 * Lines of client_id:hash, as htpasswd and "openssl passwd" write them. The id is percent-encoded where it must be ("%3A" for
 * ':', "%25" for '%'); an empty hash is a public client; empty lines and those that begin with '#' are skipped.
 */
typedef struct tr_clients_t tr_clients_t;

/*
 * Returns APR_SUCCESS, or APR_EINVAL with *why in pool ("line 3: ..."), when a line has no ':', an empty id, one that was there
 * before, or a hash that cannot be one; or when there is no client at all. Plain text is never taken for a secret.
 */
TR_MUST_CHECK apr_status_t tr_clients_parse(tr_clients_t **out, const char **why, tr_str_t text, apr_pool_t *pool);

/*
 * The file at path, which *why names, a TR_FILE_OWN of tr_file.h that may be user's. The same errors, and APR_EINVAL where it cannot be
 * read or is over TR_MAX_CLIENTS_LEN.
 */
TR_MUST_CHECK apr_status_t tr_clients_read(tr_clients_t **out, const char **why, const char *path, uid_t user, apr_pool_t *pool);

/* When the configuration is read: is it a file that tr_clients_read takes? Returns APR_SUCCESS, or APR_EINVAL with *why. */
TR_MUST_CHECK apr_status_t tr_clients_check(const char **why, const char *path, uid_t user, apr_pool_t *pool);

/* The hash of a confidential client, "" for a public one, NULL when the file does not name id. NUL-terminated. */
const char *tr_clients_hash(const tr_clients_t *clients, tr_str_t id);

/*
 * The hash of some confidential client, the same for the same id in every process; NULL when there is none. Checking a secret
 * against it costs what checking one of a known client costs, also where the file has hashes of several kinds.
 */
const char *tr_clients_other_hash(const tr_clients_t *clients, tr_str_t id);

/* ---- the credentials in a request -------------------------------------------------------------------------- */

#define TR_READINGS 2

/* What a request says about its client, in each way that it may be read. Views and copies in the pool it was read in. */
typedef struct tr_credentials_t {
    int readings;                 /* 0: nothing that could be good */
    bool has_secret;              /* false: it only names itself */
    tr_str_t id[TR_READINGS];     /* not empty, at most TR_MAX_IDENTIFIER_LEN bytes, no control character */
    tr_str_t secret[TR_READINGS]; /* NUL-terminated; not empty, at most TR_MAX_CLIENT_SECRET_LEN bytes */
} tr_credentials_t;

/* Overwrite the secrets when they have been checked, in params (may be NULL), too. Ids stay. */
void tr_credentials_wipe(tr_credentials_t *credentials, const tr_params_t *params);

/*
 * RFC 6749 2.3.1: from the Authorization field (NULL: none; another scheme than Basic is none), and from the parameters of the
 * body (NULL: none). Basic is read form-decoded first, then as it stands. Returns APR_SUCCESS, with *why set where there is no
 * reading, for the log; or APR_EINVAL with *why for the client: two methods at once, two different client_ids, a parameter
 * that is no string.
 */
TR_MUST_CHECK apr_status_t tr_credentials_read(tr_credentials_t *out, const char **why, const char *authorization,
                                               const tr_params_t *params, apr_pool_t *pool);

/* ---- are they good? ---------------------------------------------------------------------------------------- */

#define TR_CLIENT_CACHE_SLOTS 1024

/*
 * Marks of credentials that were good, so that a slow hash is paid for once. For one process and all its threads, without a
 * lock. A mark covers id, secret and hash under a random key: a changed line of the file is not found.
 */
typedef struct tr_client_cache_t {
    tr_siphash_key_t key;
    _Atomic uint64_t mark[TR_CLIENT_CACHE_SLOTS][2];
} tr_client_cache_t;

/* cache is all zero. Returns APR_SUCCESS, or APR_EGENERAL when there is no randomness: then do without. */
TR_MUST_CHECK apr_status_t tr_client_cache_init(tr_client_cache_t *cache);

typedef enum tr_client_kind_t {
    TR_CLIENT_NONE,        /* nobody was asked */
    TR_CLIENT_PUBLIC,      /* it named itself; anybody can do that */
    TR_CLIENT_CONFIDENTIAL /* it knew its secret */
} tr_client_kind_t;

/* Who asks. id is in the pool of the request; empty for TR_CLIENT_NONE. */
typedef struct tr_client_t {
    tr_client_kind_t kind;
    tr_str_t id;
} tr_client_t;

/*
 * Returns APR_SUCCESS, or APR_EACCES when no reading is good. Whether the id is known, public, or its secret wrong shows neither
 * in the result nor in the time: each reading costs one hash. cache may be NULL.
 */
TR_MUST_CHECK apr_status_t tr_client_authenticate(tr_client_t *out, const tr_clients_t *clients,
                                                  const tr_credentials_t *credentials, tr_client_cache_t *cache);

/* ---- what a client is told --------------------------------------------------------------------------------- */

/* RFC 6749 5.2 invalid_client: the same bytes whatever was wrong. realm needs no escapes. */
void tr_client_refuse(tr_answer_t *out, tr_answers_t answers, const char *realm, apr_pool_t *pool);

/* 429 (RFC 6585 4): too many failures. */
void tr_client_throttle(tr_answer_t *out, tr_answers_t answers, int wait_s, apr_pool_t *pool);

/* 503: the file cannot be used, so nobody is known and nobody passes. */
void tr_client_unavailable(tr_answer_t *out, tr_answers_t answers, apr_pool_t *pool);

#endif
