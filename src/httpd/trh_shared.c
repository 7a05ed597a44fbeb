/*
 * trh_shared.c: the shared table, over all restarts of one parent process.
 *
 * Segment and locks belong to the parent process, not to one reading of the configuration: they stay where they are over
 * graceful and hard restarts, although this module is unloaded and loaded again in between. A changed capacity or database
 * makes a new table; the one before is kept for the children that still read it, and whoever writes the new one writes
 * both.
 */
#include "trh_shared.h"

#include <unistd.h>

#include <apr_strings.h>
#include <util_mutex.h>

#include "tr_limits.h"

#define TABLE_MUTEX "tokrevoke"
#define STORE_MUTEX "tokrevoke-store"
#define LAYOUT 5 /* a new layout of anything shared needs a new number */
#define LOCKS_KEY "mod_tokrevoke: locks, layout 2"
#define ALIGNMENT 64
#define SPARE 1000 /* revocations */

int trh_register_locks(apr_pool_t *pconf)
{
    return ap_mutex_register(pconf, TABLE_MUTEX, NULL, APR_LOCK_DEFAULT, 0) == APR_SUCCESS &&
                   ap_mutex_register(pconf, STORE_MUTEX, NULL, APR_LOCK_DEFAULT, 0) == APR_SUCCESS
               ? OK
               : HTTP_INTERNAL_SERVER_ERROR;
}

static apr_status_t make_lock(apr_global_mutex_t **out, const char *type, server_rec *s)
{
    apr_status_t rv = ap_global_mutex_create(out, NULL, type, NULL, s, s->process->pool, 0);

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "TR004: the lock %s could not be made; see the directive Mutex", type);
        return rv;
    }
    if (strcmp(apr_global_mutex_name(*out), "posixsem") == 0) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     "TR005: Mutex posixsem cannot be used for %s: it stays locked for ever when its holder is killed; write "
                     "\"Mutex pthread %s\", or fcntl, flock or sysvsem",
                     type, type);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

apr_status_t trh_find_locks(trh_locks_t **out, server_rec *s)
{
    apr_pool_t *pool = s->process->pool;
    trh_locks_t *locks;
    void *found;
    apr_status_t rv;

    apr_pool_userdata_get(&found, LOCKS_KEY, pool);
    if (found != NULL) {
        *out = found;
        return APR_SUCCESS;
    }
    locks = apr_pcalloc(pool, sizeof(*locks));
    locks->wall = apr_time_now();
    locks->passed = trh_steady_clock();
    rv = make_lock(&locks->table, TABLE_MUTEX, s);
    if (rv == APR_SUCCESS) {
        rv = make_lock(&locks->store, STORE_MUTEX, s);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_pool_userdata_set(locks, LOCKS_KEY, apr_pool_cleanup_null, pool);
    }
    *out = locks;
    return rv;
}

/* ---- a new table ------------------------------------------------------------------------------------------- */

static tr_store_place_t *copy_place(const tr_store_place_t *place, apr_pool_t *pool)
{
    tr_store_place_t *copy;

    if (place == NULL) {
        return NULL;
    }
    copy = apr_pcalloc(pool, sizeof(*copy));
    copy->driver = apr_pstrdup(pool, place->driver);
    copy->params = apr_pstrdup(pool, place->params);
    copy->path = apr_pstrdup(pool, place->path);
    copy->name = apr_pstrdup(pool, place->name);
    return copy;
}

static const char *key_of(int layout, apr_pool_t *pool)
{
    return apr_psprintf(pool, "mod_tokrevoke: shared table, layout %d", layout);
}

static apr_status_t make_segment(trh_shared_t *shared, uint32_t capacity, trh_shared_t *previous, apr_pool_t *ptemp,
                                 server_rec *s)
{
    apr_size_t ahead = (sizeof(trh_watch_t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    tr_table_t *table, *before = NULL;
    char *usable;
    apr_status_t rv = APR_SUCCESS;

    shared->size = tr_table_size(capacity);
    if (previous != NULL) {
        rv = tr_table_attach(&before, previous->base, previous->size, ptemp);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_shm_create(&shared->shm, shared->size + ahead + ALIGNMENT, NULL, shared->pool);
    }
    if (rv == APR_SUCCESS) {
        usable = apr_shm_baseaddr_get(shared->shm);
        usable += ALIGNMENT - (uintptr_t)usable % ALIGNMENT;
        shared->watch = (trh_watch_t *)usable;
        shared->base = usable + ahead;
        rv = tr_table_create(&table, shared->base, shared->size, capacity, before, ptemp);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "TR006: %" APR_SIZE_T_FMT
                     " bytes of shared memory for %u revocations could not be allocated; lower TokRevokeCapacity",
                     shared->size, capacity);
    }
    return rv;
}

/* Live ones, of which the table before may know more than the database. */
static int64_t count_alive(const trh_shared_t *shared, int64_t stored, apr_pool_t *ptemp)
{
    const trh_shared_t *previous = shared->previous;
    tr_table_t *before;
    tr_table_stats_t stats;

    if (previous == NULL || tr_table_attach(&before, previous->base, previous->size, ptemp) != APR_SUCCESS) {
        return stored;
    }
    tr_table_stats(&stats, before);
    if (!tr_store_place_eq(previous->place, shared->place)) {
        return stored + (int64_t)stats.used;
    }
    return stored > (int64_t)stats.used ? stored : (int64_t)stats.used;
}

static uint32_t large_enough(uint32_t capacity, int64_t alive, bool is_restart, server_rec *s)
{
    int64_t wanted = alive + alive / 4 + SPARE;

    if (alive <= (int64_t)capacity) {
        /* Children of before go on revoking while it is loaded. */
        return !is_restart || alive + SPARE <= (int64_t)capacity ? capacity : (uint32_t)(alive + SPARE);
    }
    wanted = wanted < TR_MAX_CAPACITY ? wanted : TR_MAX_CAPACITY;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "TR016: %" APR_INT64_T_FMT " revocations are alive, so the table is made for %" APR_INT64_T_FMT
                 " instead of the %u of TokRevokeCapacity; raise it",
                 alive, wanted, capacity);
    return (uint32_t)wanted;
}

static apr_status_t make_shared(trh_shared_t *shared, trh_locks_t *locks, uint32_t capacity, apr_pool_t *ptemp, server_rec *s)
{
    tr_store_facts_t facts;
    apr_status_t rv = APR_SUCCESS;

    memset(&facts, 0, sizeof(facts));
    shared->configured = capacity;
    if (shared->place != NULL) {
        rv = trh_prepare_store(&facts, shared->place,
                               shared->previous != NULL && tr_store_place_eq(shared->previous->place, shared->place), ptemp, s);
        memcpy(shared->id, facts.id, sizeof(shared->id));
        capacity = rv == APR_SUCCESS
                       ? large_enough(capacity, count_alive(shared, facts.alive, ptemp), shared->previous != NULL, s)
                       : capacity;
    }
    if (rv == APR_SUCCESS) {
        rv = make_segment(shared, capacity, shared->previous, ptemp, s);
    }
    if (rv == APR_SUCCESS && shared->place != NULL) {
        rv = trh_load_store(shared, locks, &facts, ptemp, s);
    }
    return rv;
}

/* Who reads a table that was replaced TR_LEDGER_ALSO times since has outlived too many restarts, and is told. */
static void drop_oldest(trh_shared_t *newest)
{
    trh_shared_t *shared = newest;

    for (int i = 0; i < TR_LEDGER_ALSO && shared != NULL; i++) {
        shared = shared->previous;
    }
    if (shared != NULL && shared->previous != NULL) {
        atomic_store(&shared->previous->watch->incomplete, 1);
        apr_pool_destroy(shared->previous->pool);
        shared->previous = NULL;
    }
}

static apr_status_t replace(trh_shared_t **out, trh_shared_t *previous, trh_locks_t *locks, const tr_store_place_t *place,
                            uint32_t capacity, apr_pool_t *ptemp, server_rec *s)
{
    apr_pool_t *pool;
    trh_shared_t *shared;
    apr_status_t rv = apr_pool_create(&pool, s->process->pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_tag(pool, "mod_tokrevoke: shared table");
    shared = apr_pcalloc(pool, sizeof(*shared));
    shared->pool = pool;
    shared->place = copy_place(place, pool);
    shared->previous = previous;
    rv = make_shared(shared, locks, capacity, ptemp, s);
    if (rv == APR_SUCCESS) {
        rv = apr_pool_userdata_set(shared, key_of(LAYOUT, ptemp), apr_pool_cleanup_null, s->process->pool);
    }
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return rv;
    }
    drop_oldest(shared);
    *out = shared;
    return APR_SUCCESS;
}

/* Another version of this module was loaded in this process, which knew what no database does. What it left can't be read. */
static void say_lost(apr_pool_t *ptemp, server_rec *s)
{
    void *found = NULL;

    for (int layout = 1; layout < LAYOUT && found == NULL; layout++) {
        apr_pool_userdata_get(&found, key_of(layout, ptemp), s->process->pool);
    }
    if (found != NULL) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     "TR065: another version of this module was loaded before, whose table this one cannot read: with "
                     "TokRevokeDatabase none all that was revoked is lost, and accepted again until it expires");
    }
}

apr_status_t trh_find_shared(trh_shared_t **out, trh_locks_t *locks, const tr_store_place_t *place, uint32_t capacity,
                             apr_pool_t *ptemp, server_rec *s)
{
    trh_shared_t *found;
    void *data;

    apr_pool_userdata_get(&data, key_of(LAYOUT, ptemp), s->process->pool);
    found = data;
    if (found == NULL && place == NULL) {
        say_lost(ptemp, s);
    }
    if (found == NULL) {
        return replace(out, NULL, locks, place, capacity, ptemp, s);
    }
    if (place == NULL) {
        /* There is nothing to make a new table from. */
        if (found->configured != capacity) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                         "TR008: TokRevokeCapacity %u takes effect when httpd is stopped and started; until then the table for "
                         "%u revocations stays, because with no database its content would be lost",
                         capacity, found->configured);
        }
        found->place = NULL; /* so that a later restart with a database makes a new table */
        *out = found;
        return APR_SUCCESS;
    }
    if (tr_store_place_eq(found->place, place) && found->configured == capacity) {
        *out = found;
        return APR_SUCCESS;
    }
    return replace(out, found, locks, place, capacity, ptemp, s);
}
