/*
 * fill_store PLACE ROWS [LIFE_S]: add live revocations to a database as the module would have, for measurements. The
 * folder must exist.
 */
#include <stdio.h>
#include <stdlib.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "tr_sql.h"

#define ROWS_PER_COMMIT 10000

static void must(apr_status_t rv, const char *what)
{
    if (rv != APR_SUCCESS) {
        fprintf(stderr, "fill_store: %s\n", what);
        exit(1);
    }
}

static void add(tr_sql_t *sql, tr_sql_state_t *state, int64_t expires_s, int64_t now_s, apr_pool_t *pool)
{
    static const tr_circumstances_t c = {{"", 0}, {"192.0.2.1", 9}, {"", 0}};
    tr_sql_row_t row = {.entry = {.kind = TR_KIND_TOKEN, .issuer = tr_str_z("https://idp.example.com/")}};

    row.seq = ++state->last_seq;
    row.entry.expires_s = expires_s;
    /* As long as a UUID, which most issuers use. */
    row.entry.value = tr_str_z(apr_psprintf(pool, "%08x-0000-4000-8000-%012" APR_INT64_T_FMT, rand(), row.seq));
    must(tr_row_insert(sql, &row, &c, now_s), "a row could not be written");
    state->rows++;
    state->sum += row.checksum;
}

int main(int argc, char **argv)
{
    const char *why = "", *warning;
    tr_store_place_t place;
    tr_store_facts_t facts;
    tr_sql_state_t state;
    tr_store_memory_t memory = {.seq = 0};
    tr_sql_known_t known = {.memory = &memory};
    tr_sql_t *sql;
    apr_pool_t *pool, *batch;
    int64_t now_s, rows;
    apr_status_t rv;

    if (argc < 3) {
        fprintf(stderr, "usage: fill_store sqlite3:PATH|pgsql:CONNINFO ROWS [LIFE_S]\n");
        return 2;
    }
    apr_initialize();
    apr_pool_create(&pool, NULL);
    apr_pool_create(&batch, pool);
    now_s = apr_time_sec(apr_time_now());
    rows = apr_atoi64(argv[2]);
    rv = tr_store_parse(&place, &why, argv[1], "/", pool);
    must(rv, why);
    rv = tr_store_prepare(&facts, &why, &warning, &place, now_s, pool);
    must(rv, why);
    known.id = facts.id;
    rv = tr_sql_open_known(&sql, &why, &place, &known, pool);
    must(rv, why);
    while (rows > 0) {
        must(tr_sql_begin(sql), "begin");
        must(tr_sql_lock_state(sql, &state), "state");
        for (int i = 0; i < ROWS_PER_COMMIT && rows > 0; i++, rows--) {
            add(sql, &state, now_s + (argc > 3 ? apr_atoi64(argv[3]) : 86400), now_s, batch);
        }
        must(tr_sql_write_state(sql, &state), "state");
        must(tr_sql_commit(sql), sql->error);
        must(tr_files_write_mark(sql, facts.id, state.last_seq), "mark");
        apr_pool_clear(sql->scratch);
        apr_pool_clear(batch);
    }
    tr_sql_close(sql);
    return 0;
}
