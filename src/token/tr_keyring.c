/*
 * tr_keyring.c: the keys of one issuer, replaced under running requests.
 *
 * Readers see an immutable ring (a list of keys) through one atomic pointer. A new one is put in its place whole; the
 * old one is freed when no reader can still hold it. For that, readers count themselves in and out of the epoch they
 * started in; who replaces the ring begins a new epoch and waits until the old one's count is 0. Readers never wait.
 */
#include <stdatomic.h>

#include <apr_strings.h>

#include "tr_file.h"
#include "tr_generation_private.h"
#include "tr_limits.h"
#include "tr_reason.h"

/* A change so soon before the reading may be followed by another with the same time stamp. */
#define SETTLED apr_time_from_sec(2)
#define DRAIN_POLL apr_time_from_msec(1)
#define MAX_DRAIN_POLLS 5000

typedef struct ring_t {
    tr_keys_t keys;
    tr_alg_set_t algs;
    unsigned char digest[TR_SHA256_LEN]; /* of all keys in their order, if has_digest */
    bool has_digest;
    apr_pool_t *pool;
} ring_t;

typedef struct key_file_t {
    const char *path;
    tr_file_stamp_t stamp;
    apr_time_t read_at; /* 0: while the configuration was read */
    unsigned char digest[TR_SHA256_LEN];
    tr_keys_t *keys;  /* the last good ones */
    apr_pool_t *pool; /* of keys */
    bool broken;      /* what is in the file now could not be used, and that was reported */
} key_file_t;

struct tr_keyring_t {
    apr_array_header_t *fixed; /* const tr_key_t * */
    apr_array_header_t *files; /* key_file_t * */
    _Atomic(ring_t *) current;
    _Atomic unsigned int epoch;
    _Atomic unsigned int readers[2];
    apr_array_header_t *watchers; /* tr_generation_t *: what was found with these keys rests on */
    apr_pool_t *pool;
};

/* ---- readers ----------------------------------------------------------------------------------------------- */

static const ring_t *enter(tr_keyring_t *ring, unsigned int *epoch)
{
    for (;;) {
        *epoch = atomic_load(&ring->epoch);
        atomic_fetch_add(&ring->readers[*epoch & 1], 1);
        if (atomic_load(&ring->epoch) == *epoch) {
            return atomic_load(&ring->current);
        }
        atomic_fetch_sub(&ring->readers[*epoch & 1], 1);
    }
}

static void leave(tr_keyring_t *ring, unsigned int epoch)
{
    atomic_fetch_sub(&ring->readers[epoch & 1], 1);
}

tr_alg_set_t tr_keyring_algs(tr_keyring_t *ring)
{
    unsigned int epoch;
    tr_alg_set_t algs = enter(ring, &epoch)->algs;

    leave(ring, epoch);
    return algs;
}

bool tr_keyring_is_empty(const tr_keyring_t *ring)
{
    return ring->fixed->nelts == 0 && ring->files->nelts == 0;
}

/* One round over the keys: those of the token's kid, or those without one. */
static apr_status_t try_keys(int *tried, const ring_t *ring, const tr_jws_t *jws, bool with_kid, apr_status_t rv)
{
    for (apr_size_t i = 0; i < ring->keys.count && *tried < TR_MAX_KEYS_TRIED; i++) {
        const tr_key_t *key = ring->keys.key[i];
        tr_str_t kid = tr_key_kid(key);

        if (!(tr_key_algs(key) & TR_ALG_BIT(jws->alg)) || (kid.len > 0) != with_kid ||
            (with_kid && jws->kid.len > 0 && !tr_str_eq(kid, jws->kid))) {
            continue;
        }
        ++*tried;
        rv = tr_jws_verify(jws, key);
        if (rv != TR_BAD_SIGNATURE) {
            return rv;
        }
    }
    return rv;
}

apr_status_t tr_keyring_verify(tr_keyring_t *ring, const tr_jws_t *jws)
{
    unsigned int epoch;
    int tried = 0;
    const ring_t *current = enter(ring, &epoch);
    apr_status_t rv = try_keys(&tried, current, jws, true, TR_UNKNOWN_KEY);

    if (rv == TR_UNKNOWN_KEY || rv == TR_BAD_SIGNATURE) {
        rv = try_keys(&tried, current, jws, false, rv);
    }
    leave(ring, epoch);
    return rv;
}

/* ---- the one that replaces --------------------------------------------------------------------------------- */

static void append(ring_t *ring, const tr_key_t *key)
{
    ring->keys.key[ring->keys.count++] = key;
    ring->algs |= tr_key_algs(key);
}

/* All keys of now, in a pool of their own: the configuration's pool must not be touched while requests run. */
static ring_t *collect(const tr_keyring_t *from)
{
    apr_pool_t *pool;
    ring_t *ring;
    apr_size_t count = (apr_size_t)from->fixed->nelts;

    apr_pool_create(&pool, NULL);
    ring = apr_pcalloc(pool, sizeof(*ring));
    ring->pool = pool;
    for (int i = 0; i < from->files->nelts; i++) {
        count += APR_ARRAY_IDX(from->files, i, key_file_t *)->keys->count;
    }
    ring->keys.key = apr_pcalloc(pool, (count + 1) * sizeof(tr_key_t *));
    for (int i = 0; i < from->fixed->nelts; i++) {
        append(ring, APR_ARRAY_IDX(from->fixed, i, const tr_key_t *));
    }
    for (int i = 0; i < from->files->nelts; i++) {
        const tr_keys_t *keys = APR_ARRAY_IDX(from->files, i, key_file_t *)->keys;

        for (apr_size_t k = 0; k < keys->count; k++) {
            append(ring, keys->key[k]);
        }
    }
    return ring;
}

/* The order counts: of many keys only the first TR_MAX_KEYS_TRIED that fit are tried. */
static void take_digest(ring_t *ring)
{
    apr_pool_t *scratch;
    unsigned char *digests;
    apr_status_t rv = APR_SUCCESS;

    apr_pool_create(&scratch, ring->pool);
    digests = apr_palloc(scratch, ring->keys.count * TR_SHA256_LEN + 1);
    for (apr_size_t i = 0; i < ring->keys.count && rv == APR_SUCCESS; i++) {
        rv = tr_key_digest(digests + i * TR_SHA256_LEN, ring->keys.key[i], scratch);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_sha256(ring->digest, tr_str((const char *)digests, ring->keys.count * TR_SHA256_LEN));
    }
    ring->has_digest = rv == APR_SUCCESS;
    apr_pool_destroy(scratch);
}

void tr_keyring_watch(tr_keyring_t *ring, tr_generation_t *generation)
{
    ring_t *current = atomic_load(&ring->current);

    if (!current->has_digest) {
        take_digest(current);
    }
    APR_ARRAY_PUSH(ring->watchers, tr_generation_t *) = generation;
}

const unsigned char *tr_keyring_digest(const tr_keyring_t *ring)
{
    const ring_t *current = atomic_load(&ring->current);

    return current->has_digest ? current->digest : NULL;
}

/* Put the keys of now in the place of others, which are returned. What is found meanwhile is found by no generation. */
static ring_t *publish(tr_keyring_t *ring)
{
    ring_t *next = collect(ring);
    ring_t *old;

    if (ring->watchers->nelts > 0) {
        take_digest(next);
    }
    for (int i = 0; i < ring->watchers->nelts; i++) {
        tr_generation_end(APR_ARRAY_IDX(ring->watchers, i, tr_generation_t *));
    }
    old = atomic_exchange(&ring->current, next);
    for (int i = 0; i < ring->watchers->nelts; i++) {
        tr_generation_begin(APR_ARRAY_IDX(ring->watchers, i, tr_generation_t *));
    }
    return old;
}

/*
 * Readers see the keys of now when this returns. True: and nobody holds those of before. False: a reader stands still (a
 * process that is ending in a signal handler); what it may hold is not freed then.
 */
static bool replace(tr_keyring_t *ring)
{
    ring_t *old = publish(ring);
    unsigned int epoch = atomic_fetch_add(&ring->epoch, 1);

    for (int polls = 0; atomic_load(&ring->readers[epoch & 1]) != 0; polls++) {
        if (polls == MAX_DRAIN_POLLS) {
            return false;
        }
        apr_sleep(DRAIN_POLL);
    }
    apr_pool_destroy(old->pool);
    return true;
}

static apr_status_t release(void *baton)
{
    tr_keyring_t *ring = baton;

    apr_pool_destroy(atomic_load(&ring->current)->pool);
    for (int i = 0; i < ring->files->nelts; i++) {
        apr_pool_destroy(APR_ARRAY_IDX(ring->files, i, key_file_t *)->pool);
    }
    return APR_SUCCESS;
}

tr_keyring_t *tr_keyring_make(apr_pool_t *pool)
{
    tr_keyring_t *ring = apr_pcalloc(pool, sizeof(*ring));

    ring->pool = pool;
    ring->fixed = apr_array_make(pool, 2, sizeof(const tr_key_t *));
    ring->files = apr_array_make(pool, 1, sizeof(key_file_t *));
    ring->watchers = apr_array_make(pool, 1, sizeof(tr_generation_t *));
    atomic_init(&ring->current, collect(ring));
    apr_pool_cleanup_register(pool, ring, release, apr_pool_cleanup_null);
    return ring;
}

void tr_keyring_add(tr_keyring_t *ring, const tr_key_t *key)
{
    APR_ARRAY_PUSH(ring->fixed, const tr_key_t *) = key;
    (void)replace(ring);
}

/*
 * Read the file into a new pool. APR_SUCCESS: *keys are new, in *pool. APR_EEXIST: the content is what it was. Else
 * *why, in report_pool.
 */
static apr_status_t read_file(tr_keys_t **keys, apr_pool_t **pool, const char **why, key_file_t *file, apr_pool_t *report_pool)
{
    unsigned char digest[TR_SHA256_LEN] = {0};
    tr_str_t text = tr_str(NULL, 0);
    apr_status_t rv;

    apr_pool_create(pool, NULL);
    rv = tr_file_read(&text, why, file->path, TR_MAX_KEY_FILE_LEN, TR_FILE_PUBLIC, 0, *pool);
    if (rv == APR_SUCCESS) {
        rv = tr_sha256(digest, text);
        *why = "its digest cannot be made";
    }
    if (rv == APR_SUCCESS && file->keys != NULL && memcmp(digest, file->digest, sizeof(digest)) == 0) {
        rv = APR_EEXIST;
    }
    if (rv == APR_SUCCESS) {
        rv = tr_keys_from_jwks(keys, why, text, *pool);
    }
    if (text.len > 0) {
        tr_wipe((char *)text.data, text.len); /* it may hold secrets */
    }
    if (rv == APR_SUCCESS) {
        memcpy(file->digest, digest, sizeof(digest));
        return APR_SUCCESS;
    }
    *why = apr_pstrdup(report_pool, *why);
    apr_pool_destroy(*pool);
    return rv;
}

apr_status_t tr_keyring_add_file(tr_keyring_t *ring, const char **why, const char *path)
{
    key_file_t *file = apr_pcalloc(ring->pool, sizeof(*file));
    apr_status_t rv;

    file->path = apr_pstrdup(ring->pool, path);
    tr_file_stamp(&file->stamp, path, ring->pool);
    rv = read_file(&file->keys, &file->pool, why, file, ring->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    APR_ARRAY_PUSH(ring->files, key_file_t *) = file;
    (void)replace(ring);
    return APR_SUCCESS;
}

tr_alg_set_t tr_keyring_file_algs(const tr_keyring_t *ring, const char *path)
{
    tr_alg_set_t algs = 0;

    for (int i = 0; i < ring->files->nelts; i++) {
        const key_file_t *file = APR_ARRAY_IDX(ring->files, i, key_file_t *);

        for (apr_size_t k = 0; k < file->keys->count && strcmp(file->path, path) == 0; k++) {
            algs |= tr_key_algs(file->keys->key[k]);
        }
    }
    return algs;
}

/* Is there anything new to read? Leaves the stamp of now in file. */
static bool is_due(bool *changed, key_file_t *file, apr_pool_t *scratch)
{
    tr_file_stamp_t stamp;
    bool settled = file->read_at == 0 || file->read_at > file->stamp.mtime + SETTLED;

    tr_file_stamp(&stamp, file->path, scratch);
    *changed = !tr_file_stamp_eq(&stamp, &file->stamp);
    file->stamp = stamp;
    return *changed || !settled;
}

static void refresh_file(tr_keyring_t *ring, key_file_t *file, bool changed, tr_keyring_report_fn report, void *baton,
                         apr_pool_t *scratch)
{
    apr_pool_t *old = file->pool;
    apr_pool_t *pool;
    tr_keys_t *keys;
    const char *why;
    bool was_broken = file->broken;
    apr_status_t rv = read_file(&keys, &pool, &why, file, scratch);

    file->broken = rv != APR_SUCCESS && rv != APR_EEXIST;
    if (file->broken) {
        if (changed || !was_broken) {
            report(baton, file->path, 0, why);
        }
        return;
    }
    if (rv == APR_SUCCESS) {
        file->keys = keys;
        file->pool = pool;
        if (replace(ring)) {
            apr_pool_destroy(old);
        }
    }
    if (rv == APR_SUCCESS || was_broken) {
        report(baton, file->path, file->keys->count, NULL);
    }
}

void tr_keyring_refresh(tr_keyring_t *ring, apr_time_t now, tr_keyring_report_fn report, void *baton)
{
    apr_pool_t *scratch;

    if (ring->files->nelts == 0) {
        return;
    }
    apr_pool_create(&scratch, NULL);
    for (int i = 0; i < ring->files->nelts; i++) {
        key_file_t *file = APR_ARRAY_IDX(ring->files, i, key_file_t *);
        bool changed;

        if (is_due(&changed, file, scratch)) {
            file->read_at = now;
            refresh_file(ring, file, changed, report, baton, scratch);
        }
    }
    apr_pool_destroy(scratch);
}
