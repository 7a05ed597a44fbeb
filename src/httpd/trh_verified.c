/*
 * trh_verified.c: the verified-token cache, over all restarts of one parent process. What was remembered under keys and rules that a
 * restart does not change stays good.
 */
#include "trh_shared.h"

#define VERIFIED_KEY "mod_tokrevoke: verified tokens, layout 1" /* a new layout needs a new key */
#define ALIGNMENT 64

/* In a pool of its own below the process pool; nothing in it points into the module. */
typedef struct segment_t {
    apr_pool_t *pool;
    apr_shm_t *shm;
    void *base;
    apr_size_t size;
    uint32_t tokens;
} segment_t;

static apr_status_t make_segment(segment_t **out, uint32_t tokens, apr_pool_t *ptemp, server_rec *s)
{
    tr_verified_t *verified;
    segment_t *segment;
    apr_pool_t *pool;
    char *usable;
    apr_status_t rv = apr_pool_create(&pool, s->process->pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_tag(pool, "mod_tokrevoke: verified tokens");
    segment = apr_pcalloc(pool, sizeof(*segment));
    segment->pool = pool;
    segment->tokens = tokens;
    segment->size = tr_verified_size(tokens);
    rv = apr_shm_create(&segment->shm, segment->size + ALIGNMENT, NULL, pool);
    if (rv == APR_SUCCESS) {
        usable = apr_shm_baseaddr_get(segment->shm);
        segment->base = usable + ALIGNMENT - (uintptr_t)usable % ALIGNMENT;
        rv = tr_verified_create(&verified, segment->base, segment->size, tokens, ptemp);
    }
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return rv;
    }
    *out = segment;
    return APR_SUCCESS;
}

/* Children that are about to leave have mapped it themselves, and use it as long as they live. */
static void drop(segment_t *segment, server_rec *s)
{
    apr_pool_userdata_set(NULL, VERIFIED_KEY, apr_pool_cleanup_null, s->process->pool);
    apr_pool_destroy(segment->pool);
}

tr_verified_t *trh_find_verified(int64_t tokens, apr_pool_t *pconf, server_rec *s)
{
    tr_verified_t *verified = NULL;
    segment_t *segment;
    void *found;
    apr_status_t rv = APR_SUCCESS;

    apr_pool_userdata_get(&found, VERIFIED_KEY, s->process->pool);
    segment = found;
    if (segment != NULL && segment->tokens != tokens) {
        drop(segment, s);
        segment = NULL;
    }
    if (tokens == 0) {
        return NULL;
    }
    if (segment == NULL) {
        rv = make_segment(&segment, (uint32_t)tokens, pconf, s);
        if (rv == APR_SUCCESS) {
            rv = apr_pool_userdata_set(segment, VERIFIED_KEY, apr_pool_cleanup_null, s->process->pool);
        }
    }
    if (rv == APR_SUCCESS) {
        rv = tr_verified_attach(&verified, segment->base, segment->size, pconf);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "TR064: %" APR_SIZE_T_FMT " bytes of shared memory to remember %" APR_INT64_T_FMT
                     " verified tokens could not be had, so that each request checks a signature; lower TokRevokeVerifiedCache",
                     tr_verified_size((uint32_t)tokens), tokens);
        return NULL;
    }
    return verified;
}
