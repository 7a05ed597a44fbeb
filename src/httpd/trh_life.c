/*
 * trh_life.c: from reading the configuration to the children's background work. trh_shared.c has the table that outlives
 * both.
 */
#include "trh_shared.h"

#include <stdatomic.h>
#include <time.h>

#include <apr_strings.h>
#include <http_core.h>
#include <mod_watchdog.h>
#include <util_mutex.h>

#include "tr_digest.h"

#define KEYS_WATCHDOG "_tokrevoke_"
#define KEYS_INTERVAL apr_time_from_sec(1)
#define STORE_WATCHDOG "_tokrevoke_store_"
#define STORE_INTERVAL apr_time_from_msec(200)
#define RETRY_WATCHDOG "_tokrevoke_retry_"
#define RETRY_INTERVAL apr_time_from_sec(1)
#define TICK_POLL apr_time_from_msec(1)
#define MAX_TICK_POLLS 2000
#define DEFAULT_CAPACITY 1000000
#define DEFAULT_VERIFIED 65536
#define DEFAULT_DATABASE "sqlite3:" TR_STATE_DIR "/tokrevoke.db"
#define DEFAULT_STALENESS_S 60

#ifndef CLOCK_BOOTTIME /* Linux; elsewhere the time that the machine sleeps is not counted */
#define CLOCK_BOOTTIME CLOCK_MONOTONIC
#endif

/* This process'; set before requests are accepted, read only afterwards. */
static struct {
    trh_locks_t *locks;
    trh_shared_t *shared;
    tr_table_t *table;
    tr_ledger_t *ledger;
    tr_store_t *store;           /* NULL: memory only */
    apr_array_header_t *issuers; /* tr_issuer_t *, each once */
    tr_keep_t keep;
    apr_time_t max_staleness; /* 0: any */
} process;

/*
 * mod_watchdog begins its threads before our child_init has ended, and lets a tick that is under way go on while the child
 * ends. Neither may meet: so ticks do nothing before, and whoever ends waits for them.
 */
enum { STARTING, RUNNING, LEAVING };
static _Atomic int stage = STARTING;
static _Atomic int ticking;

tr_ledger_t *trh_ledger(void)
{
    return process.ledger;
}

tr_store_t *trh_store(void)
{
    return process.store;
}

trh_watch_t *trh_watch(void)
{
    return process.shared != NULL ? process.shared->watch : NULL;
}

const tr_keep_t *trh_keep(void)
{
    return &process.keep;
}

apr_time_t trh_steady_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return apr_time_from_sec(t.tv_sec) + t.tv_nsec / 1000;
}

apr_time_t trh_clean_now(void)
{
    apr_time_t wall = apr_time_now();
    apr_time_t steady = process.locks != NULL ? process.locks->wall + (trh_steady_clock() - process.locks->passed) : wall;

    return wall < steady ? wall : steady;
}

/* Does the table know what others stored, up to TokRevokeMaxStaleness ago? */
static bool is_informed(void)
{
    const trh_watch_t *watch = process.shared->watch;

    if (atomic_load_explicit(&watch->incomplete, memory_order_relaxed) != 0) {
        return false;
    }
    return process.shared->place == NULL || process.max_staleness == 0 ||
           trh_steady_clock() - atomic_load_explicit(&watch->followed_at, memory_order_relaxed) <= process.max_staleness;
}

/* ---- the parent -------------------------------------------------------------------------------------------- */

int trh_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)plog;
    (void)ptemp;
    trh_forget_claim_headers(pconf);
    return trh_register_locks(pconf);
}

/* What TokRevokeDatabase says, or its default. *place NULL: none. */
static apr_status_t find_place(const tr_store_place_t **place, const trh_server_t *server, apr_pool_t *pconf, server_rec *s)
{
    tr_store_place_t *by_default = apr_pcalloc(pconf, sizeof(*by_default));
    const char *why;

    *place = server->place;
    if (server->has_database) {
        return APR_SUCCESS;
    }
    *place = by_default;
    if (tr_store_parse(by_default, &why, DEFAULT_DATABASE, "/", pconf) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "TR024: the default of TokRevokeDatabase, " DEFAULT_DATABASE ": %s", why);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static apr_status_t open_table(const trh_server_t *server, apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    uint32_t capacity = server->capacity != 0 ? server->capacity : DEFAULT_CAPACITY;
    const tr_store_place_t *place;
    apr_status_t rv = trh_find_locks(&process.locks, s);

    if (rv == APR_SUCCESS) {
        rv = find_place(&place, server, pconf, s);
    }
    if (rv == APR_SUCCESS) {
        rv = trh_find_shared(&process.shared, process.locks, place, capacity, ptemp, s);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = tr_table_attach(&process.table, process.shared->base, process.shared->size, pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "TR007: the shared table of revocations is damaged; stop and start httpd");
        return rv;
    }
    if (place == NULL) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "TR014: revocations are kept in memory only: they are lost when httpd is stopped (a restart, graceful or "
                     "not, keeps them)");
    }
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

/* All issuers of all servers, each once. */
static void collect_issuers(apr_pool_t *pconf, server_rec *main_server)
{
    process.issuers = apr_array_make(pconf, 4, sizeof(tr_issuer_t *));
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        for (apr_hash_index_t *i = apr_hash_first(pconf, trh_server(s)->issuers); i != NULL; i = apr_hash_next(i)) {
            add_issuer(apr_hash_this_val(i), s);
        }
    }
}

static bool any_issuer(server_rec *s)
{
    for (; s != NULL; s = s->next) {
        if (apr_hash_count(trh_server(s)->issuers) > 0) {
            return true;
        }
    }
    return false;
}

static void open_gates(apr_pool_t *pconf, server_rec *main_server)
{
    int64_t tokens = trh_server(main_server)->verified;
    tr_verified_t *verified = NULL;

    if (any_issuer(main_server)) {
        verified = trh_find_verified(tokens != TRH_UNSET ? tokens : DEFAULT_VERIFIED, pconf, main_server);
    }
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        trh_server_t *server = ap_get_module_config(s->module_config, &tokrevoke_module);

        server->gate.issuers = server->issuers;
        server->gate.table = process.table;
        server->gate.is_informed = is_informed;
        server->gate.may_check = trh_may_check;
        server->gate.was_forged = trh_was_forged;
        server->gate.generation = tr_generation_make(server->issuers, pconf);
        server->gate.verified = verified;
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
    for (int i = 0; i < process.issuers->nelts && atomic_load(&stage) != LEAVING; i++) {
        tr_keyring_refresh(APR_ARRAY_IDX(process.issuers, i, tr_issuer_t *)->keyring, apr_time_now(), report_key_file, s);
    }
}

/* May this tick run? Whoever hears yes must end_tick. */
static bool begin_tick(int state)
{
    if (state != AP_WATCHDOG_STATE_RUNNING) {
        return false;
    }
    atomic_fetch_add(&ticking, 1);
    if (atomic_load(&stage) == RUNNING) {
        return true;
    }
    atomic_fetch_sub(&ticking, 1);
    return false;
}

/* The thread may end after OpenSSL has, in exit(). */
static void end_tick(void)
{
    tr_leave_openssl();
    atomic_fetch_sub(&ticking, 1);
}

/* Each child follows its keys by itself, and one follows the store for all. */
static apr_status_t keys_tick(int state, void *baton, apr_pool_t *pool)
{
    server_rec *s = baton;

    (void)pool;
    if (!begin_tick(state)) {
        return APR_SUCCESS;
    }
    refresh_keys(s);
    trh_sweep_recent();
    if (process.ledger != NULL && atomic_load(&stage) == RUNNING) {
        tidy(s);
    }
    end_tick();
    return APR_SUCCESS;
}

static apr_status_t store_tick(int state, void *baton, apr_pool_t *pool)
{
    (void)pool;
    if (process.store == NULL) {
        return APR_SUCCESS;
    }
    if (state == AP_WATCHDOG_STATE_STOPPING) {
        trh_stop_following(process.shared);
        return APR_SUCCESS;
    }
    if (!begin_tick(state)) {
        return APR_SUCCESS;
    }
    if (process.ledger != NULL) {
        trh_follow(process.shared, process.store, process.ledger, baton);
    }
    end_tick();
    return APR_SUCCESS;
}

/* A thread of its own: a database that does not answer must hold up neither keys nor following. */
static apr_status_t retry_tick(int state, void *baton, apr_pool_t *pool)
{
    (void)pool;
    if (process.store == NULL || !begin_tick(state)) {
        return APR_SUCCESS;
    }
    trh_retry(process.store, baton);
    end_tick();
    return APR_SUCCESS;
}

static apr_status_t start_watchdog(const char *name, apr_interval_time_t interval, ap_watchdog_callback_fn_t *callback,
                                   apr_pool_t *pconf, server_rec *s)
{
    APR_OPTIONAL_FN_TYPE(ap_watchdog_get_instance) *get_instance = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_get_instance);
    APR_OPTIONAL_FN_TYPE(ap_watchdog_register_callback) *add = APR_RETRIEVE_OPTIONAL_FN(ap_watchdog_register_callback);
    ap_watchdog_t *watchdog;
    apr_status_t rv = APR_ENOTIMPL;

    if (get_instance != NULL && add != NULL) {
        rv = get_instance(&watchdog, name, 0, 0, pconf);
        if (rv == APR_SUCCESS) {
            rv = add(watchdog, interval, s, callback);
        }
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "TR013: mod_watchdog is needed to notice changed keys and revocations: load it with LoadModule");
    }
    return rv;
}

/* ---- start ------------------------------------------------------------------------------------------------- */

static apr_status_t start(const trh_server_t *server, apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    apr_status_t rv = open_table(server, pconf, ptemp, s);

    if (rv == APR_SUCCESS) {
        rv = start_watchdog(KEYS_WATCHDOG, KEYS_INTERVAL, keys_tick, pconf, s);
    }
    if (rv == APR_SUCCESS) {
        rv = start_watchdog(STORE_WATCHDOG, STORE_INTERVAL, store_tick, pconf, s);
    }
    if (rv == APR_SUCCESS) {
        rv = start_watchdog(RETRY_WATCHDOG, RETRY_INTERVAL, retry_tick, pconf, s);
    }
    return rv;
}

int trh_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    const trh_server_t *server = trh_server(s);

    (void)plog;
    /* httpd reads everything twice at start; the first time must leave no trace. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    memset(&process, 0, sizeof(process));
    process.max_staleness =
        apr_time_from_sec(server->max_staleness_s != TRH_UNSET ? server->max_staleness_s : DEFAULT_STALENESS_S);
    collect_issuers(pconf, s);
    trh_measure_keep(&process.keep, pconf, s);
    /* Opaque tokens need no issuer to be revoked. */
    if ((any_issuer(s) || process.keep.refresh_s != 0) && start(server, pconf, ptemp, s) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    open_gates(pconf, s);
    return OK;
}

/* ---- children ---------------------------------------------------------------------------------------------- */

static apr_status_t append(void *store, tr_revocation_t *const *list, int n, apr_time_t now)
{
    return tr_store_append(store, list, n, now);
}

/* Somebody of an earlier generation would not see a revocation: he must see that he does not. */
static void mark_incomplete(void *watch)
{
    atomic_store(&((trh_watch_t *)watch)->incomplete, 1);
}

static bool is_superseded(void *watch)
{
    return atomic_load(&((trh_watch_t *)watch)->superseded) != 0;
}

static void write_earlier_tables(tr_ledger_t *ledger, apr_pool_t *pool)
{
    trh_shared_t *shared = process.shared->previous;

    for (int i = 0; i < TR_LEDGER_ALSO && shared != NULL; i++, shared = shared->previous) {
        tr_table_t *table;

        if (tr_table_attach(&table, shared->base, shared->size, pool) == APR_SUCCESS) {
            tr_ledger_also(ledger, table, mark_incomplete, shared->watch);
        }
    }
}

static apr_status_t open_lock(apr_global_mutex_t **mutex, apr_pool_t *pool, server_rec *s)
{
    apr_status_t rv = apr_global_mutex_child_init(mutex, apr_global_mutex_lockfile(*mutex), pool);

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "TR015: this child cannot open the locks for revocations, so it cannot revoke; see the directive Mutex");
    }
    return rv;
}

/* Before exit() takes away what apr-util's drivers and the ticks stand on. */
static apr_status_t leave(void *main_server)
{
    server_rec *s = main_server;

    atomic_store(&stage, LEAVING);
    trh_stop_streams();
    trh_say_recent(s);
    for (int polls = 0; atomic_load(&ticking) > 0 && polls < MAX_TICK_POLLS; polls++) {
        apr_sleep(TICK_POLL);
    }
    if (process.store != NULL && tr_store_stop(process.store) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "TR026: a child ends with revocations that could not be stored; they are in force until httpd "
                     "stops: mend the database before that, and let their callers ask again");
    }
    return APR_SUCCESS;
}

static void open_ledger(apr_pool_t *pchild, server_rec *s)
{
    apr_pool_t *pool;

    /* exit() destroys httpd's pools while threads still serve; what they write with must last. */
    if (apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS) {
        pool = pchild;
    }
    if (open_lock(&process.locks->table, pool, s) != APR_SUCCESS || open_lock(&process.locks->store, pool, s) != APR_SUCCESS) {
        return;
    }
    if (process.shared->place != NULL) {
        process.store =
            tr_store_open(process.shared->place, process.shared->id,
                          process.shared->place->path != NULL ? process.locks->store : NULL, &process.shared->watch->memory);
    }
    process.ledger =
        tr_ledger_make(process.table, process.locks->table, process.store != NULL ? append : NULL, process.store, pool);
    tr_ledger_watch(process.ledger, is_superseded, process.shared->watch);
    write_earlier_tables(process.ledger, pool);
}

void trh_child_init(apr_pool_t *pchild, server_rec *s)
{
    if (process.shared == NULL) {
        return;
    }
    /* The parent's keys are as old as its configuration; a child that is born later must not serve with them. */
    refresh_keys(s);
    open_ledger(pchild, s);
    trh_open_recent(s);
    trh_begin_streams();
    apr_pool_pre_cleanup_register(pchild, s, leave);
    atomic_store(&stage, RUNNING);
}
