/*
 * trh_life.c: from reading the configuration to the children's background work.
 *
 * The segment and the lock belong to the parent process, not to one reading of the configuration: they stay where they
 * are over graceful and hard restarts, although this module is unloaded and loaded again in between. Nothing in them
 * points into the module.
 */
#include "trh.h"

#include <stdatomic.h>
#include <time.h>

#include <apr_global_mutex.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <http_core.h>
#include <mod_watchdog.h>
#include <util_mutex.h>

#define MUTEX_TYPE "tokrevoke"
#define SHARED_KEY "mod_tokrevoke: shared table, layout 1" /* a new layout of anything shared needs a new key */
#define WATCHDOG_NAME "_tokrevoke_"
#define WATCHDOG_INTERVAL apr_time_from_sec(1)
#define DEFAULT_CAPACITY 1000000
#define ALIGNMENT 64

#ifndef CLOCK_BOOTTIME /* Linux; elsewhere the time that the machine sleeps is not counted */
#define CLOCK_BOOTTIME CLOCK_MONOTONIC
#endif

/* Lives as long as the parent process. */
typedef struct shared_t {
    apr_shm_t *shm;
    apr_global_mutex_t *mutex;
    void *base;
    apr_size_t size;
    apr_time_t wall; /* both clocks when the table was made */
    apr_time_t passed;
} shared_t;

/* This process'; set before requests are accepted, read only afterwards. */
static struct {
    shared_t *shared;
    tr_table_t *table;
    tr_ledger_t *ledger;
    apr_array_header_t *issuers; /* tr_issuer_t *, each once */
    int64_t keep_s;
} process;

tr_ledger_t *trh_ledger(void)
{
    return process.ledger;
}

int64_t trh_keep_s(void)
{
    return process.keep_s;
}

/* Time that passes even while the machine sleeps, and that nobody can set. */
static apr_time_t steady_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return apr_time_from_sec(t.tv_sec) + t.tv_nsec / 1000;
}

apr_time_t trh_clean_now(void)
{
    apr_time_t wall = apr_time_now();
    apr_time_t steady = process.shared != NULL ? process.shared->wall + (steady_clock() - process.shared->passed) : wall;

    return wall < steady ? wall : steady;
}

/* ---- the parent -------------------------------------------------------------------------------------------- */

int trh_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)plog;
    (void)ptemp;
    return ap_mutex_register(pconf, MUTEX_TYPE, NULL, APR_LOCK_DEFAULT, 0) == APR_SUCCESS ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

static apr_status_t make_mutex(shared_t *shared, server_rec *s)
{
    apr_pool_t *pool = s->process->pool;
    apr_status_t rv = ap_global_mutex_create(&shared->mutex, NULL, MUTEX_TYPE, NULL, s, pool, 0);

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "TR004: the lock for revocations could not be made; see the directive Mutex");
        return rv;
    }
    if (strcmp(apr_global_mutex_name(shared->mutex), "posixsem") == 0) {
        ap_log_error(
            APLOG_MARK, APLOG_CRIT, 0, s,
            "TR005: Mutex posixsem cannot be used for tokrevoke: it stays locked for ever when its holder is killed; write "
            "\"Mutex pthread tokrevoke\", or fcntl, flock or sysvsem");
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static apr_status_t make_segment(shared_t *shared, uint32_t capacity, server_rec *s)
{
    tr_table_t *table;
    char *usable;
    apr_status_t rv;

    shared->size = tr_table_size(capacity);
    rv = apr_shm_create(&shared->shm, shared->size + ALIGNMENT, NULL, s->process->pool);
    if (rv == APR_SUCCESS) {
        usable = apr_shm_baseaddr_get(shared->shm);
        shared->base = usable + (ALIGNMENT - (uintptr_t)usable % ALIGNMENT);
        rv = tr_table_create(&table, shared->base, shared->size, capacity, s->process->pool);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "TR006: %" APR_SIZE_T_FMT
                     " bytes of shared memory for %u revocations could not be allocated; lower TokRevokeCapacity",
                     shared->size, capacity);
    }
    return rv;
}

/* What an earlier reading of the configuration left, or a new segment and lock. */
static apr_status_t find_shared(shared_t **out, uint32_t capacity, server_rec *s)
{
    apr_pool_t *pool = s->process->pool;
    shared_t *shared;
    void *found;
    apr_status_t rv;

    apr_pool_userdata_get(&found, SHARED_KEY, pool);
    if (found != NULL) {
        *out = found;
        return APR_SUCCESS;
    }
    shared = apr_pcalloc(pool, sizeof(*shared));
    shared->wall = apr_time_now();
    shared->passed = steady_clock();
    rv = make_mutex(shared, s);
    if (rv == APR_SUCCESS) {
        rv = make_segment(shared, capacity, s);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_pool_userdata_set(shared, SHARED_KEY, apr_pool_cleanup_null, pool);
    }
    *out = shared;
    return rv;
}

static apr_status_t open_table(uint32_t capacity, apr_pool_t *pconf, server_rec *s)
{
    apr_status_t rv = find_shared(&process.shared, capacity, s);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = tr_table_attach(&process.table, process.shared->base, process.shared->size, pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "TR007: the shared table of revocations is damaged; stop and start httpd");
        return rv;
    }
    if (tr_table_capacity(process.table) != capacity) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "TR008: TokRevokeCapacity %u takes effect when httpd is stopped and started; until then the table for %u "
                     "revocations stays, because with no database its content would be lost",
                     capacity, tr_table_capacity(process.table));
    }
    process.ledger = tr_ledger_make(process.table, process.shared->mutex, NULL, NULL, pconf);
    return APR_SUCCESS;
}

static void add_issuer(tr_issuer_t *issuer, server_rec *s)
{
    for (int i = 0; i < process.issuers->nelts; i++) {
        if (APR_ARRAY_IDX(process.issuers, i, tr_issuer_t *) == issuer) {
            return;
        }
    }
    APR_ARRAY_PUSH(process.issuers, tr_issuer_t *) = issuer;
    if (tr_keyring_algs(issuer->keyring) == 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "TR009: issuer %s has no key that can verify a signature, so all its tokens are refused; look into its "
                     "key sets",
                     issuer->iss);
    }
}

/* All issuers of all servers, each once; entries are kept for the most tolerant of them. */
static void collect_issuers(apr_pool_t *pconf, server_rec *main_server)
{
    int64_t skew_s = 0;
    int64_t retain_s = trh_server(main_server)->retain_s;

    process.issuers = apr_array_make(pconf, 4, sizeof(tr_issuer_t *));
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        for (apr_hash_index_t *i = apr_hash_first(pconf, trh_server(s)->issuers); i != NULL; i = apr_hash_next(i)) {
            tr_issuer_t *issuer = apr_hash_this_val(i);

            add_issuer(issuer, s);
            skew_s = issuer->skew_s > skew_s ? issuer->skew_s : skew_s;
        }
    }
    process.keep_s = skew_s + (retain_s != TRH_UNSET ? retain_s : 0);
}

static void open_gates(server_rec *s)
{
    for (; s != NULL; s = s->next) {
        trh_server_t *server = ap_get_module_config(s->module_config, &tokrevoke_module);

        server->gate.issuers = server->issuers;
        server->gate.table = process.table;
    }
}

/* ---- background work in each child ------------------------------------------------------------------------- */

static void report_key_file(void *baton, const char *path, apr_size_t keys, const char *err)
{
    server_rec *s = baton;

    if (err != NULL) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, s,
            "TR010: key set %s has changed but cannot be used: %s; the keys from before stay in force. It must be readable "
            "by the User that httpd runs as",
            path, err);
    }
    else if (keys == 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "TR011: key set %s was read anew and has no key that can verify a signature", path);
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, "key set %s was read anew: %" APR_SIZE_T_FMT " keys", path, keys);
    }
}

/* Says once that the lock fails, not every second. */
static void tidy(server_rec *s)
{
    static apr_status_t last = APR_SUCCESS;
    apr_status_t rv = tr_ledger_tidy(process.ledger, trh_clean_now());

    if (rv != APR_SUCCESS && rv != last) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                     "TR012: the lock for revocations failed, so nothing can be revoked; stop and start httpd");
    }
    last = rv;
}

static void refresh_keys(server_rec *s)
{
    for (int i = 0; i < process.issuers->nelts; i++) {
        tr_keyring_refresh(APR_ARRAY_IDX(process.issuers, i, tr_issuer_t *)->keyring, apr_time_now(), report_key_file, s);
    }
}

static apr_status_t tick(int state, void *baton, apr_pool_t *pool)
{
    server_rec *s = baton;

    (void)pool;
    if (state != AP_WATCHDOG_STATE_RUNNING) {
        return APR_SUCCESS;
    }
    refresh_keys(s);
    if (process.ledger != NULL) {
        tidy(s);
    }
    return APR_SUCCESS;
}

static apr_status_t start_watchdog(apr_pool_t *pconf, server_rec *s)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get_instance = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *add = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    ap_watchdog_t *watchdog;
    apr_status_t rv = APR_ENOTIMPL;

    if (get_instance != NULL && add != NULL) {
        rv = get_instance(&watchdog, WATCHDOG_NAME, 0, 0, pconf);
        if (rv == APR_SUCCESS) {
            rv = add(watchdog, WATCHDOG_INTERVAL, s, tick);
        }
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "TR013: mod_watchdog is needed to notice changed keys: load it with LoadModule");
    }
    return rv;
}

/* ---- start ------------------------------------------------------------------------------------------------- */

static bool any_issuer(server_rec *s)
{
    for (; s != NULL; s = s->next) {
        if (apr_hash_count(trh_server(s)->issuers) > 0) {
            return true;
        }
    }
    return false;
}

int trh_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    const trh_server_t *server = trh_server(s);

    (void)plog;
    (void)ptemp;
    /* httpd reads everything twice at start; the first time must leave no trace. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    memset(&process, 0, sizeof(process));
    collect_issuers(pconf, s);
    if (any_issuer(s)) {
        if (open_table(server->capacity != 0 ? server->capacity : DEFAULT_CAPACITY, pconf, s) != APR_SUCCESS ||
            start_watchdog(pconf, s) != APR_SUCCESS) {
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            "TR014: revocations are kept in memory only: they are lost when httpd is stopped (a restart, graceful or not, "
            "keeps them)%s",
            server->has_database ? "" : "; write \"TokRevokeDatabase none\" to say that this is meant");
    }
    open_gates(s);
    return OK;
}

void trh_child_init(apr_pool_t *pchild, server_rec *s)
{
    apr_status_t rv;

    if (process.shared == NULL) {
        return;
    }
    /* The parent's keys are as old as its configuration; a child that is born later must not serve with them. */
    refresh_keys(s);
    rv = apr_global_mutex_child_init(&process.shared->mutex, apr_global_mutex_lockfile(process.shared->mutex), pchild);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "TR015: this child cannot open the lock for revocations, so it cannot revoke; see the directive Mutex");
        process.ledger = NULL;
        return;
    }
    process.ledger = tr_ledger_make(process.table, process.shared->mutex, NULL, NULL, pchild);
}
