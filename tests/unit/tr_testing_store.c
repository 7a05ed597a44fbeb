/*
 * tr_testing_store.c: see tr_testing_store.h.
 */
#include "tr_testing_store.h"

#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "tr_store_private.h"

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "tr_testing_store: %s failed\n", what);
    abort();
}

/* ---- files ------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)where;
    (void)type;
    return remove(path);
}

static int open_up(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)where;
    return type == FTW_D || type == FTW_DNR ? chmod(path, 0700) : 0;
}

static apr_status_t remove_folder(void *folder)
{
    nftw(folder, open_up, 16, FTW_PHYS);
    nftw(folder, remove_one, 16, FTW_PHYS | FTW_DEPTH);
    return APR_SUCCESS;
}

char *tt_folder(apr_pool_t *pool)
{
    const char *tmp = getenv("TMPDIR");
    char *folder = tt_print(pool, "%s/tokrevoke-unit-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    must(mkdtemp(folder) != NULL, "mkdtemp");
    apr_pool_cleanup_register(pool, folder, remove_folder, apr_pool_cleanup_null);
    return folder;
}

bool tt_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

void tt_write_file(const char *path, tr_str_t content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    must(fd >= 0 && write(fd, content.data, content.len) == (ssize_t)content.len && close(fd) == 0, path);
}

tr_str_t tt_read_file(apr_pool_t *pool, const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat info;
    must(fd >= 0 && fstat(fd, &info) == 0, path);
    char *content = apr_palloc(pool, (apr_size_t)info.st_size + 1);
    must(read(fd, content, (size_t)info.st_size) == info.st_size && close(fd) == 0, path);
    content[info.st_size] = '\0';
    return tr_str(content, (apr_size_t)info.st_size);
}

void tt_copy_file(const char *from, const char *to)
{
    apr_pool_t *pool;
    must(apr_pool_create(&pool, NULL) == APR_SUCCESS, "apr_pool_create");
    tt_write_file(to, tt_read_file(pool, from));
    apr_pool_destroy(pool);
}

void tt_rename(const char *from, const char *to)
{
    must(rename(from, to) == 0, from);
}

void tt_remove(const char *path)
{
    must(unlink(path) == 0, path);
}

/* ---- a database -------------------------------------------------------------------------------------------- */

tt_db_t *tt_db(apr_pool_t *pool)
{
    tt_db_t *db = apr_pcalloc(pool, sizeof *db);
    db->pool = pool;
    db->folder = tt_folder(pool);
    db->path = tt_print(pool, "%s/tokrevoke.db", db->folder);
    db->wal = tt_print(pool, "%s-wal", db->path);
    db->shm = tt_print(pool, "%s-shm", db->path);
    db->mark = tt_print(pool, "%s-mark", db->path);
    db->why = db->warning = "";
    must(tr_store_parse(&db->place, &db->why, tt_print(pool, "sqlite3:%s", db->path), "/", pool) == APR_SUCCESS,
         "tr_store_parse");
    return db;
}

tt_db_t *tt_prepared_db(apr_pool_t *pool)
{
    tt_db_t *db = tt_db(pool);
    must(tt_prepare(db) == APR_SUCCESS, db->why);
    return db;
}

tt_db_t *tt_filled_db(apr_pool_t *pool, int n)
{
    tt_db_t *db = tt_prepared_db(pool);
    tr_store_t *store = tt_store(db);
    for (int i = 1; i <= n; i++)
        must(tt_append(store, tt_entry(tt_print(pool, "%d", i))) == APR_SUCCESS, "tr_store_append");
    tt_close_store(db, store);
    return db;
}

void tt_fill(tt_db_t *db, const char *prefix, int n, int64_t expires_s)
{
    const tr_circumstances_t c = {tr_str("", 0), tr_str("", 0), tr_str("", 0)};
    tr_sql_state_t state;
    tr_store_memory_t memory = {.seq = 0};
    tr_sql_known_t known = {.id = db->facts.id, .memory = &memory};
    tr_sql_t *sql;
    must(tr_sql_open_known(&sql, &db->why, &db->place, &known, db->pool) == APR_SUCCESS, "tr_sql_open_known");
    must(tr_sql_begin(sql) == APR_SUCCESS && tr_sql_lock_state(sql, &state) == APR_SUCCESS, "tr_sql_begin");
    for (int i = 0; i < n; i++) {
        tr_sql_row_t row = {.seq = ++state.last_seq, .entry = tt_entry(tt_print(db->pool, "%s%d", prefix, i))};
        row.entry.expires_s = expires_s;
        must(tr_row_insert(sql, &row, &c, TT_NOW) == APR_SUCCESS, "tr_row_insert");
        state.rows++;
        state.sum += row.checksum;
    }
    must(tr_sql_write_state(sql, &state) == APR_SUCCESS && tr_sql_commit(sql) == APR_SUCCESS, "tr_sql_commit");
    must(tr_files_write_mark(sql, db->facts.id, state.last_seq) == APR_SUCCESS, "tr_files_write_mark");
    tr_sql_close(sql);
}

/* There is no end of a store but that of its process; here one process plays many. */
static apr_status_t close_store(void *data)
{
    tr_store_t *store = data;
    apr_status_t ended;
    apr_thread_mutex_lock(store->mutex);
    bool was_stopped = store->stopped;
    store->stopped = true;
    apr_thread_cond_signal(store->work);
    apr_thread_mutex_unlock(store->mutex);
    if (store->thread && !was_stopped)
        apr_thread_join(&ended, store->thread);
    tr_sql_close(store->writer);
    tr_sql_close(store->reader);
    tr_sql_close(store->lister);
    for (left_t *left = store->left, *next; left; left = next) {
        next = left->next;
        free(left);
    }
    apr_pool_destroy(store->batch_pool);
    apr_pool_destroy(store->pool);
    return APR_SUCCESS;
}

tr_store_t *tt_store_locked(tt_db_t *db, apr_global_mutex_t *lock)
{
    tr_store_t *store = tr_store_open(&db->place, db->facts.id, lock, NULL);
    must(store != NULL, "tr_store_open");
    apr_pool_cleanup_register(db->pool, store, close_store, apr_pool_cleanup_null);
    return store;
}

tr_store_t *tt_store(tt_db_t *db)
{
    return tt_store_locked(db, NULL);
}

void tt_close_store(tt_db_t *db, tr_store_t *store)
{
    apr_pool_cleanup_run(db->pool, store, close_store);
}

void tt_hold_list(tr_store_t *store)
{
    must(apr_thread_mutex_lock(store->list_mutex) == APR_SUCCESS, "apr_thread_mutex_lock");
}

void tt_release_list(tr_store_t *store)
{
    must(apr_thread_mutex_unlock(store->list_mutex) == APR_SUCCESS, "apr_thread_mutex_unlock");
}

typedef struct dbd_t {
    const apr_dbd_driver_t *driver;
    apr_dbd_t *handle;
    apr_pool_t *pool;
} dbd_t;

static void connect_dbd(dbd_t *dbd, const tt_db_t *db)
{
    const char *error = NULL;
    must(apr_pool_create(&dbd->pool, NULL) == APR_SUCCESS, "apr_pool_create");
    must(apr_dbd_get_driver(dbd->pool, "sqlite3", &dbd->driver) == APR_SUCCESS, "apr_dbd_get_driver");
    must(apr_dbd_open_ex(dbd->driver, dbd->pool, db->path, &dbd->handle, &error) == APR_SUCCESS, "apr_dbd_open");
}

static void disconnect_dbd(dbd_t *dbd)
{
    apr_dbd_close(dbd->driver, dbd->handle);
    apr_pool_destroy(dbd->pool);
}

static void query(const dbd_t *dbd, const char *statements)
{
    int rows, ret = apr_dbd_query(dbd->driver, dbd->handle, &rows, statements);
    if (ret != 0)
        fprintf(stderr, "%s: %s\n", statements, apr_dbd_error(dbd->driver, dbd->handle, ret));
    must(ret == 0, "apr_dbd_query");
}

void tt_do(tt_db_t *db, const char *statements)
{
    dbd_t dbd;
    connect_dbd(&dbd, db);
    query(&dbd, statements);
    disconnect_dbd(&dbd);
}

char *tt_ask(tt_db_t *db, const char *select)
{
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL;
    char *answer = apr_pstrdup(db->pool, "");
    dbd_t dbd;
    connect_dbd(&dbd, db);
    must(apr_dbd_select(dbd.driver, dbd.pool, dbd.handle, &results, select, 1) == 0, select);
    int columns = apr_dbd_num_cols(dbd.driver, results);
    while (apr_dbd_get_row(dbd.driver, dbd.pool, results, &row, -1) == 0) {
        answer = apr_pstrcat(db->pool, answer, *answer ? "\n" : "", NULL);
        for (int i = 0; i < columns; i++) {
            const char *entry = apr_dbd_get_entry(dbd.driver, row, i);
            answer = apr_pstrcat(db->pool, answer, i > 0 ? "|" : "", entry ? entry : "NULL", NULL);
        }
    }
    disconnect_dbd(&dbd);
    return answer;
}

/* https://sqlite.org/fileformat2.html#walformat: the last frame of a commit says how large the database is afterwards. */
int tt_commits(tt_db_t *db)
{
    enum { HEAD = 32, FRAME_HEAD = 24, SALTS = 8 };
    if (!tt_exists(db->wal))
        return 0;
    tr_str_t log = tt_read_file(db->pool, db->wal);
    const unsigned char *p = (const unsigned char *)log.data, *head = p;
    int commits = 0;
    if (log.len < HEAD)
        return 0;
    size_t page = (size_t)p[8] << 24 | (size_t)p[9] << 16 | (size_t)p[10] << 8 | p[11];
    for (p += HEAD; (size_t)(p - head) + FRAME_HEAD + page <= log.len; p += FRAME_HEAD + page) {
        if (memcmp(p + 8, head + 16, SALTS) != 0)
            break;
        commits += (p[4] | p[5] | p[6] | p[7]) != 0;
    }
    return commits;
}

static apr_status_t end_hold(void *data)
{
    dbd_t *dbd = data;
    query(dbd, "ROLLBACK");
    disconnect_dbd(dbd);
    return APR_SUCCESS;
}

apr_pool_t *tt_hold_writer(tt_db_t *db)
{
    apr_pool_t *pool;
    must(apr_pool_create(&pool, NULL) == APR_SUCCESS, "apr_pool_create");
    dbd_t *dbd = apr_pcalloc(pool, sizeof *dbd);
    connect_dbd(dbd, db);
    query(dbd, "BEGIN IMMEDIATE");
    apr_pool_cleanup_register(pool, dbd, end_hold, apr_pool_cleanup_null);
    return pool;
}

/* ---- revocations ------------------------------------------------------------------------------------------- */

tr_entry_t tt_entry(const char *jti)
{
    tr_entry_t e = {TR_KIND_TOKEN, tr_str_z(TT_ISS), tr_str_z(jti), 0, TT_NOW + 3600};
    return e;
}

apr_status_t tt_append_with(tr_store_t *store, tr_entry_t e, tr_circumstances_t c)
{
    tr_revocation_t one = {.entry = e, .circumstances = c}, *list[1] = {&one};
    return tr_store_append(store, list, 1, TT_AT(TT_NOW) + 999999);
}

apr_status_t tt_append(tr_store_t *store, tr_entry_t e)
{
    tr_circumstances_t c = {tr_str_z("bob"), tr_str_z("192.0.2.1"), tr_str_z("stolen")};
    return tt_append_with(store, e, c);
}

tt_rows_t *tt_rows(apr_pool_t *pool)
{
    tt_rows_t *rows = apr_pcalloc(pool, sizeof *rows);
    rows->pool = pool;
    return rows;
}

static tr_str_t keep(tr_str_t s, apr_pool_t *pool)
{
    return tr_str(apr_pstrmemdup(pool, s.data ? s.data : "", s.len), s.len);
}

apr_status_t tt_take_rows(void *baton, const tr_entry_t *entries, int n)
{
    tt_rows_t *rows = baton;
    rows->calls++;
    if (rows->answer != APR_SUCCESS)
        return rows->answer;
    while (rows->n + n > rows->room) {
        tr_entry_t *old = rows->entry;
        rows->room = rows->room ? rows->room * 2 : 1024;
        rows->entry = apr_palloc(rows->pool, (apr_size_t)rows->room * sizeof *rows->entry);
        if (rows->n > 0)
            memcpy(rows->entry, old, (size_t)rows->n * sizeof *rows->entry);
    }
    for (int i = 0; i < n; i++) {
        tr_entry_t *e = &rows->entry[rows->n++];
        *e = entries[i];
        e->issuer = keep(e->issuer, rows->pool);
        e->value = keep(e->value, rows->pool);
    }
    return APR_SUCCESS;
}

int tt_count(const tt_rows_t *rows, const char *value)
{
    int count = 0;
    for (int i = 0; i < rows->n; i++)
        count += tr_str_eq_z(rows->entry[i].value, value);
    return count;
}

/* ---- processes --------------------------------------------------------------------------------------------- */

pid_t tt_fork(tt_child_fn fn, void *baton)
{
    fflush(NULL);
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0)
        _exit(fn(baton));
    return pid;
}

int tt_wait(pid_t pid)
{
    int status = 0;
    must(waitpid(pid, &status, 0) == pid, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

uid_t tt_nobody(void)
{
    return geteuid() == 0 ? 65534 : geteuid();
}

typedef struct as_nobody_t {
    tt_child_fn fn;
    void *baton;
} as_nobody_t;

static int run_as_nobody(void *data)
{
    as_nobody_t *as = data;
    uid_t nobody = tt_nobody();
    if (geteuid() == 0)
        must(setgroups(0, NULL) == 0 && setgid(nobody) == 0 && setuid(nobody) == 0, "setuid");
    return as->fn(as->baton);
}

int tt_run_as_nobody(tt_child_fn fn, void *baton)
{
    as_nobody_t as = {fn, baton};
    return tt_wait(tt_fork(run_as_nobody, &as));
}
