/*
 * tr_testing_loader.c: preparing and loading a database for the tests. That is for a process that ends soon, because it leaves its
 * connections open; and SQLite must not be carried across a fork. So it is the test program, started anew, that does it; it
 * answers through a file.
 */
#include "tr_testing_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#define LOADER "--tokrevoke-loader"

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "tr_testing_loader: %s failed\n", what);
    abort();
}

/* ---- in this process --------------------------------------------------------------------------------------- */

static apr_status_t prepare_here(tt_db_t *db)
{
    const char *why = NULL, *warning = NULL;
    apr_status_t rv = tr_store_prepare(&db->facts, &why, &warning, &db->place, TT_NOW, db->pool);
    db->why = why ? why : "";
    db->warning = warning ? warning : "";
    must(rv == APR_SUCCESS || rv == TR_STORE_FAILED, "a status that is not in the contract: tr_store_prepare");
    must(rv == APR_SUCCESS || *db->why, "a failure without a sentence: tr_store_prepare");
    return rv;
}

static tt_rows_t *load_here(tt_db_t *db, apr_status_t answer)
{
    tt_rows_t *rows = tt_rows(db->pool);
    const char *why = NULL;
    int64_t last_seq = -1;
    rows->answer = answer;
    rows->status = tr_store_load(&last_seq, &rows->synced, &why, &db->place, db->facts.id, tt_take_rows, rows, db->pool);
    db->why = why ? why : "";
    must(answer != APR_SUCCESS || rows->status == APR_SUCCESS || rows->status == TR_STORE_FAILED,
         "a status that is not in the contract: tr_store_load");
    must(rows->status != TR_STORE_FAILED || *db->why, "a failure without a sentence: tr_store_load");
    db->facts.last_seq = rows->status == APR_SUCCESS ? last_seq : db->facts.last_seq;
    return rows;
}

apr_status_t tt_start_here(tt_rows_t **rows, tt_db_t *db)
{
    apr_status_t rv = prepare_here(db);
    *rows = rv == APR_SUCCESS ? load_here(db, APR_SUCCESS) : NULL;
    return rv == APR_SUCCESS ? (*rows)->status : rv;
}

/* ---- in another one ---------------------------------------------------------------------------------------- */

static void put(FILE *answer, const void *data, size_t len)
{
    must(len == 0 || fwrite(data, len, 1, answer) == 1, "fwrite");
}

static void put_text(FILE *answer, tr_str_t text)
{
    put(answer, &text.len, sizeof text.len);
    put(answer, text.data, text.len);
}

static void get(FILE *answer, void *data, size_t len)
{
    must(len == 0 || fread(data, len, 1, answer) == 1, "the loader");
}

static tr_str_t get_text(FILE *answer, apr_pool_t *pool)
{
    tr_str_t text;
    get(answer, &text.len, sizeof text.len);
    char *data = apr_palloc(pool, text.len + 1);
    get(answer, data, text.len);
    data[text.len] = '\0';
    return tr_str(data, text.len);
}

static void put_rows(FILE *answer, const tt_rows_t *rows)
{
    put(answer, rows, sizeof *rows);
    for (int i = 0; i < rows->n; i++) {
        put(answer, &rows->entry[i], sizeof rows->entry[i]);
        put_text(answer, rows->entry[i].issuer);
        put_text(answer, rows->entry[i].value);
    }
}

static tt_rows_t *get_rows(FILE *answer, apr_pool_t *pool)
{
    tt_rows_t *rows = tt_rows(pool);
    get(answer, rows, sizeof *rows);
    rows->pool = pool;
    rows->room = rows->n;
    rows->entry = apr_pcalloc(pool, ((apr_size_t)rows->n + 1) * sizeof *rows->entry);
    for (int i = 0; i < rows->n; i++) {
        get(answer, &rows->entry[i], sizeof rows->entry[i]);
        rows->entry[i].issuer = get_text(answer, pool);
        rows->entry[i].value = get_text(answer, pool);
    }
    return rows;
}

extern void __lsan_disable(void) __attribute__((weak));

/* LOADER PATH ID STATUS: prepare when ID is empty, else load; rows are taken with STATUS. Before main. */
static void __attribute__((constructor)) be_loader(int argc, char **argv)
{
    tt_db_t db = {.why = "", .warning = ""};
    if (argc != 5 || strcmp(argv[1], LOADER) != 0)
        return;
    if (__lsan_disable)
        __lsan_disable(); /* connections are left open */
    FILE *answer = fdopen(STDOUT_FILENO, "wb");
    must(answer && apr_initialize() == APR_SUCCESS && apr_pool_create(&db.pool, NULL) == APR_SUCCESS, "apr_initialize");
    must(tr_store_parse(&db.place, &db.why, tt_print(db.pool, "sqlite3:%s", argv[2]), "/", db.pool) == APR_SUCCESS, db.why);
    apr_cpystrn(db.facts.id, argv[3], sizeof db.facts.id);
    apr_status_t rv = APR_SUCCESS;
    tt_rows_t *rows = tt_rows(db.pool);
    if (*argv[3])
        rows = load_here(&db, atoi(argv[4]));
    else
        rv = prepare_here(&db);
    put(answer, &rv, sizeof rv);
    put(answer, &db.facts, sizeof db.facts);
    put_text(answer, tr_str_z(db.why));
    put_text(answer, tr_str_z(db.warning));
    put_rows(answer, rows);
    fclose(answer);
    exit(0);
}

static tt_rows_t *ask_loader(apr_status_t *status, tt_db_t *db, const char *id, apr_status_t with)
{
    char *argv[] = {LOADER, LOADER, db->path, (char *)id, tt_print(db->pool, "%d", with), NULL};
    FILE *answer = tmpfile();
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    must(answer && self >= 0, "tmpfile");
    fflush(NULL);
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        must(dup2(fileno(answer), STDOUT_FILENO) >= 0, "dup2");
        fexecve(self, argv, environ);
        _exit(1);
    }
    must(tt_wait(pid) == 0, "the loader");
    close(self);
    rewind(answer);
    get(answer, status, sizeof *status);
    get(answer, &db->facts, sizeof db->facts);
    db->why = get_text(answer, db->pool).data;
    db->warning = get_text(answer, db->pool).data;
    tt_rows_t *rows = get_rows(answer, db->pool);
    fclose(answer);
    return rows;
}

apr_status_t tt_prepare(tt_db_t *db)
{
    apr_status_t rv;
    ask_loader(&rv, db, "", APR_SUCCESS);
    return rv;
}

apr_status_t tt_load(tt_rows_t **rows, tt_db_t *db)
{
    tr_store_facts_t facts = db->facts;
    const char *warning = db->warning;
    apr_status_t rv;
    *rows = ask_loader(&rv, db, db->facts.id, APR_SUCCESS);
    facts.last_seq = (*rows)->status == APR_SUCCESS ? db->facts.last_seq : facts.last_seq;
    db->facts = facts;
    db->warning = warning;
    return (*rows)->status;
}

tt_rows_t *tt_load_in_vain(tt_db_t *db, apr_status_t answer)
{
    apr_status_t rv;
    return ask_loader(&rv, db, db->facts.id, answer);
}
