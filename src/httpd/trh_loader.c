/*
 * trh_loader.c: reading the store at start, in processes of httpd's user.
 *
 * The parent is root as a rule, and the folder of the database belongs to httpd's user: a child that was taken over could
 * put a link there and let root write elsewhere. So the parent only forks, and waits.
 */
#include "trh_shared.h"

#include <signal.h>
#include <unistd.h>

#include <apr_signal.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <mpm_common.h>
#include <unixd.h>

#define PROGRESS_EVERY apr_time_from_sec(2)

typedef struct loader_t {
    server_rec *s;
    apr_pool_t *pool;
    const tr_store_place_t *place;
    tr_store_facts_t *facts; /* in shared memory while it is found out */
    trh_shared_t *shared;
    trh_locks_t *locks;
    tr_ledger_t *ledger;
    int64_t loaded, rows;
    apr_time_t began, said, now;
} loader_t;

static apr_status_t run_as_user(loader_t *loader, apr_status_t (*work)(loader_t *))
{
    apr_proc_t process;
    apr_exit_why_e why;
    int code = 0;
    apr_status_t rv = apr_proc_fork(&process, loader->pool);

    if (rv == APR_INCHILD) {
        static const int signals[] = {SIGTERM, SIGHUP, SIGINT, AP_SIG_GRACEFUL, AP_SIG_GRACEFUL_STOP};

        for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
            apr_signal(signals[i], SIG_DFL);
        }
        if (ap_run_drop_privileges(loader->pool, loader->s) != OK) {
            _exit(2);
        }
        _exit(work(loader) == APR_SUCCESS ? 0 : 1);
    }
    if (rv != APR_INPARENT) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, loader->s, "TR017: no process could be made to read the database");
        return rv;
    }
    rv = apr_proc_wait(&process, &code, &why, APR_WAIT);
    if (!APR_STATUS_IS_CHILD_DONE(rv) || !APR_PROC_CHECK_EXIT(why) || code > 1) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, loader->s,
                     "TR018: the process that reads the database %s ended early (%s %d); start httpd again", loader->place->name,
                     APR_PROC_CHECK_EXIT(why) ? "status" : "signal", code);
        return APR_EGENERAL;
    }
    return code == 0 ? APR_SUCCESS : APR_EGENERAL;
}

/* ---- the first: what is there? ----------------------------------------------------------------------------- */

static apr_status_t prepare(loader_t *loader)
{
    const char *why = NULL, *warning = NULL;
    int64_t now_s = apr_time_sec(trh_clean_now());
    apr_status_t rv = tr_store_prepare(loader->facts, &why, &warning, loader->place, now_s, loader->pool);

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, loader->s, "TR019: revocations cannot be stored: %s", why);
        return rv;
    }
    if (warning != NULL) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, loader->s, "TR020: %s", warning);
    }
    if (loader->facts->created) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, loader->s, "a new database for revocations was made: %s", loader->place->name);
    }
    return APR_SUCCESS;
}

apr_status_t trh_prepare_store(tr_store_facts_t *out, const tr_store_place_t *place, bool is_known, apr_pool_t *ptemp,
                               server_rec *s)
{
    loader_t loader = {.s = s, .place = place};
    const char *why;
    apr_shm_t *shm;
    apr_status_t rv;

    /* Under ChrootDir the path is one that only the children see. */
    rv = is_known || ap_unixd_config.chroot_dir != NULL
             ? APR_SUCCESS
             : tr_store_make_folder(&why, place, ap_unixd_config.user_id, ap_unixd_config.group_id, ptemp);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "TR021: revocations cannot be stored: %s", why);
        return rv;
    }
    rv = apr_pool_create(&loader.pool, ptemp);
    if (rv == APR_SUCCESS) {
        rv = apr_shm_create(&shm, sizeof(*out), NULL, loader.pool);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "TR028: no shared memory could be had to look into the database");
        return rv;
    }
    loader.facts = apr_shm_baseaddr_get(shm);
    rv = run_as_user(&loader, prepare);
    *out = *loader.facts;
    apr_pool_destroy(loader.pool);
    return rv;
}

/* ---- the second: all of it --------------------------------------------------------------------------------- */

static apr_status_t take_rows(void *baton, const tr_entry_t *entries, int n)
{
    loader_t *loader = baton;
    apr_time_t now = apr_time_now();
    int64_t now_s = apr_time_sec(loader->now);
    tr_entry_t alive[64];
    int n_alive = 0;
    apr_status_t rv = APR_SUCCESS;

    for (int i = 0; i < n && rv == APR_SUCCESS; i++) {
        if (entries[i].expires_s >= now_s) {
            alive[n_alive++] = entries[i];
        }
        if (n_alive == 64 || (i == n - 1 && n_alive > 0)) {
            rv = tr_ledger_learn(loader->ledger, alive, n_alive, false, loader->now);
            loader->loaded += n_alive;
            n_alive = 0;
        }
    }
    loader->rows += n;
    if (now - loader->said >= PROGRESS_EVERY) {
        loader->said = now;
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, loader->s,
                     "loading revocations: %" APR_INT64_T_FMT " of %" APR_INT64_T_FMT " rows read", loader->rows,
                     loader->facts->rows);
    }
    return rv;
}

/* What the table before held counts on, also what was never stored. */
static apr_status_t take_over(loader_t *loader, tr_table_t *table)
{
    tr_table_t *before;
    apr_status_t rv;

    if (loader->shared->previous == NULL) {
        return APR_SUCCESS;
    }
    /* Who promises something after this would promise it for the old table alone; what was promised before is in it. */
    atomic_store(&loader->shared->previous->watch->superseded, 1);
    rv = tr_table_attach(&before, loader->shared->previous->base, loader->shared->previous->size, loader->pool);
    if (rv == APR_SUCCESS) {
        rv = apr_global_mutex_lock(loader->locks->table);
    }
    if (rv == APR_SUCCESS) {
        rv = tr_table_copy_locked(table, before, apr_time_sec(loader->now));
        (void)apr_global_mutex_unlock(loader->locks->table);
    }
    return rv;
}

static apr_status_t load(loader_t *loader)
{
    trh_watch_t *watch = loader->shared->watch;
    tr_table_t *table;
    const char *why = "the table could not be filled";
    int64_t seq = 0;
    bool synced = false;
    apr_status_t rv = tr_table_attach(&table, loader->shared->base, loader->shared->size, loader->pool);

    if (rv == APR_SUCCESS) {
        rv = apr_global_mutex_child_init(&loader->locks->table, apr_global_mutex_lockfile(loader->locks->table), loader->pool);
        why = rv == APR_SUCCESS ? why : "httpd's user cannot open the lock tokrevoke; see the directive Mutex";
    }
    loader->began = loader->said = apr_time_now();
    loader->now = trh_clean_now();
    atomic_store(&watch->followed_at, trh_steady_clock());
    if (rv == APR_SUCCESS) {
        loader->ledger = tr_ledger_make(table, loader->locks->table, NULL, NULL, loader->pool);
        rv = tr_store_load(&seq, &synced, &why, loader->place, loader->facts->id, take_rows, loader, loader->pool);
    }
    if (rv == APR_SUCCESS && synced) {
        tr_table_set_all_durable(table);
    }
    if (rv == APR_SUCCESS) {
        rv = take_over(loader, table);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(
            APLOG_MARK, APLOG_CRIT, rv == TR_STORE_FAILED ? 0 : rv, loader->s,
            "TR022: revocations could not be loaded: %s (docs/OPERATIONS.md lists what may be wrong at start, and what to do)",
            why);
        return rv;
    }
    atomic_store(&watch->followed_seq, seq);
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, loader->s, "%" APR_INT64_T_FMT " revocations loaded from %s in %.3f s",
                 loader->loaded, loader->place->name, (double)(apr_time_now() - loader->began) / APR_USEC_PER_SEC);
    return APR_SUCCESS;
}

apr_status_t trh_load_store(trh_shared_t *shared, trh_locks_t *locks, const tr_store_facts_t *facts, apr_pool_t *ptemp,
                            server_rec *s)
{
    tr_store_facts_t copy = *facts;
    loader_t loader = {.s = s, .place = shared->place, .facts = &copy, .shared = shared, .locks = locks};
    apr_status_t rv = apr_pool_create(&loader.pool, ptemp);

    if (rv == APR_SUCCESS) {
        rv = run_as_user(&loader, load);
        apr_pool_destroy(loader.pool);
    }
    return rv;
}
