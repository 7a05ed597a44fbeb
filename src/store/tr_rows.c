/* tr_rows.c: the rows of tokrevoke_revocations, each with a checksum over what is enforced. docs/DATABASE.md */
#include "tr_sql.h"

#include <apr_strings.h>

#include "tr_digest.h"

/* Under a known key: against bits that flip, not against people. */
static void feed_number(tr_siphash_t *h, uint64_t n)
{
    unsigned char bytes[8];

    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(n >> (8 * i));
    }
    tr_siphash_feed(h, bytes, sizeof(bytes));
}

uint64_t tr_row_checksum(const tr_sql_row_t *row)
{
    static const tr_siphash_key_t key;
    unsigned char kind = (unsigned char)row->entry.kind;
    tr_siphash_t h;
    uint64_t value[2];

    tr_siphash_init(&h, &key);
    feed_number(&h, (uint64_t)row->seq);
    tr_siphash_feed(&h, &kind, 1);
    feed_number(&h, row->entry.issuer.len);
    tr_siphash_feed(&h, row->entry.issuer.data, row->entry.issuer.len);
    feed_number(&h, row->entry.value.len);
    tr_siphash_feed(&h, row->entry.value.data, row->entry.value.len);
    feed_number(&h, (uint64_t)row->entry.issued_before);
    feed_number(&h, (uint64_t)row->entry.expires_s);
    tr_siphash_done(value, &h);
    return value[0];
}

typedef struct statement_t {
    apr_size_t at; /* in tr_sql_t */
    const char *label, *text;
} statement_t;

static apr_status_t prepare(tr_sql_t *sql, const statement_t *statements, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        apr_dbd_prepared_t **statement = (apr_dbd_prepared_t **)((char *)sql + statements[i].at);
        int ret = apr_dbd_prepare(sql->driver, sql->pool, sql->handle, statements[i].text, statements[i].label, statement);

        if (ret != 0) {
            return tr_sql_fail(sql, ret, "its tables are not as expected");
        }
    }
    return APR_SUCCESS;
}

apr_status_t tr_row_prepare(tr_sql_t *sql)
{
    static const statement_t statements[] = {
        {offsetof(tr_sql_t, insert), "tokrevoke_insert",
         "INSERT INTO tokrevoke_revocations (seq, kind, issuer, value, issued_before_us, expires_at, revoked_at, actor, "
         "client_address, reason, checksum) VALUES (%lld, %s, %s, %s, %lld, %lld, %lld, %s, %s, %s, %lld)"},
        {offsetof(tr_sql_t, remove), "tokrevoke_remove", "DELETE FROM tokrevoke_revocations WHERE seq = %lld"},
        {offsetof(tr_sql_t, after), "tokrevoke_after",
         "SELECT seq, kind, issuer, value, issued_before_us, expires_at, checksum FROM tokrevoke_revocations WHERE seq > %lld "
         "ORDER BY seq LIMIT " APR_STRINGIFY(TR_ROWS_AT_ONCE)},
    };

    return prepare(sql, statements, sizeof(statements) / sizeof(statements[0]));
}

apr_status_t tr_row_insert(tr_sql_t *sql, tr_sql_row_t *row, const tr_circumstances_t *c, int64_t revoked_at_s)
{
    int64_t checksum = (int64_t)(row->checksum = tr_row_checksum(row));
    int64_t *expires_s = row->entry.expires_s == TR_FOREVER ? NULL : &row->entry.expires_s;
    int n;
    int ret = apr_dbd_pvbquery(sql->driver, sql->scratch, sql->handle, &n, sql->insert, &row->seq, tr_kind_name(row->entry.kind),
                               row->entry.issuer.data, row->entry.value.data, &row->entry.issued_before, (void *)expires_s,
                               &revoked_at_s, c->actor.data, c->client_address.data, c->reason.data, &checksum);

    return ret == 0 ? APR_SUCCESS : tr_sql_fail(sql, ret, "a revocation could not be written");
}

static bool read_kind(tr_kind_t *out, const char *name)
{
    for (int k = 0; k < TR_KINDS; k++) {
        if (strcmp(name, tr_kind_name((tr_kind_t)k)) == 0) {
            *out = (tr_kind_t)k;
            return true;
        }
    }
    return false;
}

void tr_row_write_digest(char text[TR_ROW_DIGEST_LEN + 1], tr_str_t digest)
{
    static const char digit[] = "0123456789abcdef";

    for (apr_size_t i = 0; i < TR_ROW_DIGEST_LEN; i++) {
        unsigned char byte = (unsigned char)digest.data[i / 2];

        text[i] = digit[i % 2 == 0 ? byte >> 4 : byte & 15];
    }
    text[TR_ROW_DIGEST_LEN] = '\0';
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* From its text to its bytes. */
static bool read_digest(tr_str_t *value, apr_pool_t *pool)
{
    char *bytes = apr_palloc(pool, TR_SHA256_LEN);

    if (value->len != TR_ROW_DIGEST_LEN) {
        return false;
    }
    for (apr_size_t i = 0; i < TR_SHA256_LEN; i++) {
        int high = hex_value(value->data[2 * i]);
        int low = hex_value(value->data[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        bytes[i] = (char)(high << 4 | low);
    }
    *value = tr_str(bytes, TR_SHA256_LEN);
    return true;
}

/* libpq takes its texts back with the last row, SQLite's driver has copied them to scratch. */
static const char *keep_text(const tr_sql_t *sql, apr_dbd_row_t *row, int n)
{
    const char *text = tr_sql_text(sql, row, n);

    return sql->is_file ? text : apr_pstrdup(sql->scratch, text);
}

/* PostgreSQL's NULL comes as an empty text. */
static bool read_row(tr_sql_row_t *out, const tr_sql_t *sql, apr_dbd_row_t *row)
{
    const char *kind = tr_sql_text(sql, row, 1);
    const char *issuer = keep_text(sql, row, 2);
    const char *value = keep_text(sql, row, 3);
    const char *expires = tr_sql_text(sql, row, 5);

    if (kind == NULL || issuer == NULL || value == NULL || !read_kind(&out->entry.kind, kind)) {
        return false;
    }
    out->seq = tr_sql_int(sql, row, 0);
    out->entry.issuer = tr_str_z(issuer);
    out->entry.value = tr_str_z(value);
    out->entry.issued_before = tr_sql_int(sql, row, 4);
    out->entry.expires_s = expires == NULL || *expires == '\0' ? TR_FOREVER : apr_atoi64(expires);
    out->checksum = (uint64_t)tr_sql_int(sql, row, 6);
    if (tr_row_checksum(out) != out->checksum) {
        return false;
    }
    return !tr_kind_has_digest(out->entry.kind) || read_digest(&out->entry.value, sql->scratch);
}

apr_status_t tr_row_read_after(tr_sql_t *sql, tr_sql_row_t **rows, int *n, int64_t seq)
{
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL;
    int ret = apr_dbd_pvbselect(sql->driver, sql->scratch, sql->handle, &results, sql->after, 1, &seq);

    *n = 0;
    if (ret != 0) {
        return tr_sql_fail(sql, ret, "revocations could not be read");
    }
    *rows = apr_palloc(sql->scratch, TR_ROWS_AT_ONCE * sizeof(**rows));
    while (*n < TR_ROWS_AT_ONCE && apr_dbd_get_row(sql->driver, sql->scratch, results, &row, -1) == 0) {
        if (!read_row(&(*rows)[*n], sql, row)) {
            return tr_sql_refuse(sql,
                                 "%s is damaged: the revocation behind number %" APR_INT64_T_FMT
                                 " does not fit its checksum; restore the database from a backup",
                                 sql->place->name, *n > 0 ? (*rows)[*n - 1].seq : seq);
        }
        ++*n;
    }
    return APR_SUCCESS;
}

apr_status_t tr_row_remove(tr_sql_t *sql, bool *removed, int64_t seq)
{
    int n = 0;
    int ret = apr_dbd_pvbquery(sql->driver, sql->scratch, sql->handle, &n, sql->remove, &seq);

    *removed = n > 0;
    return ret == 0 ? APR_SUCCESS : tr_sql_fail(sql, ret, "an expired revocation could not be deleted");
}

/* ---- lists ------------------------------------------------------------------------------------------------- */

#define LISTED_KINDS 8

apr_status_t tr_row_prepare_list(tr_sql_t *sql)
{
    static const statement_t statements[] = {
        {offsetof(tr_sql_t, step), "tokrevoke_step",
         "SELECT min(seq) FROM (SELECT seq FROM tokrevoke_revocations WHERE seq < %lld ORDER BY seq DESC "
         "LIMIT " APR_STRINGIFY(TR_ROWS_A_STEP) ") AS step"},
        {offsetof(tr_sql_t, list), "tokrevoke_list",
         "SELECT seq, kind, issuer, value, issued_before_us, expires_at, checksum, revoked_at, actor, client_address, reason "
         "FROM tokrevoke_revocations WHERE seq >= %lld AND seq < %lld AND (expires_at IS NULL OR expires_at >= %lld) "
         "AND kind IN (%s, %s, %s, %s, %s, %s, %s, %s) AND (%lld = 0 OR value = %s) ORDER BY seq DESC LIMIT %lld"},
    };

    return prepare(sql, statements, sizeof(statements) / sizeof(statements[0]));
}

apr_status_t tr_row_step(tr_sql_t *sql, int64_t *from, int64_t before_seq)
{
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL;
    int ret = apr_dbd_pvbselect(sql->driver, sql->scratch, sql->handle, &results, sql->step, 1, &before_seq);

    *from = 0;
    if (ret != 0) {
        return tr_sql_fail(sql, ret, "revocations could not be read");
    }
    if (apr_dbd_get_row(sql->driver, sql->scratch, results, &row, -1) == 0) {
        *from = tr_sql_int(sql, row, 0);
    }
    return APR_SUCCESS;
}

/* The names of the kinds that are meant, the last as often as there is room. */
static void name_kinds(const char *names[LISTED_KINDS], const tr_kind_t *kind)
{
    int n = 0;

    for (int k = 0; k < TR_KINDS; k++) {
        bool is_meant = kind == NULL || (int)*kind == k || (*kind == TR_KIND_TOKEN && tr_kind_has_digest((tr_kind_t)k));

        if (is_meant && tr_kind_is_revocation((tr_kind_t)k)) {
            names[n++] = tr_kind_name((tr_kind_t)k);
        }
    }
    for (; n < LISTED_KINDS; n++) {
        names[n] = n > 0 ? names[n - 1] : "";
    }
}

static bool read_listed(tr_store_listed_t *out, const tr_sql_t *sql, apr_dbd_row_t *row)
{
    tr_sql_row_t core;

    if (!read_row(&core, sql, row)) {
        return false;
    }
    out->seq = core.seq;
    out->entry = core.entry;
    out->revoked_at_s = tr_sql_int(sql, row, 7);
    out->circumstances.actor = tr_str_z(keep_text(sql, row, 8));
    out->circumstances.client_address = tr_str_z(keep_text(sql, row, 9));
    out->circumstances.reason = tr_str_z(keep_text(sql, row, 10));
    return true;
}

apr_status_t tr_row_list(tr_sql_t *sql, tr_store_listed_t *rows, int *n, const tr_store_query_t *query, int64_t from)
{
    apr_dbd_results_t *results = NULL;
    apr_dbd_row_t *row = NULL;
    int64_t limit = query->limit - *n, has_value = query->value != NULL;
    const char *value = has_value ? tr_str_dup_z(*query->value, sql->scratch) : "";
    const char *k[LISTED_KINDS];
    int ret;

    name_kinds(k, query->kind);
    ret = apr_dbd_pvbselect(sql->driver, sql->scratch, sql->handle, &results, sql->list, 1, &from, &query->before_seq,
                            &query->now_s, k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], &has_value, value, &limit);
    if (ret != 0) {
        return tr_sql_fail(sql, ret, "revocations could not be read");
    }
    while (*n < query->limit && apr_dbd_get_row(sql->driver, sql->scratch, results, &row, -1) == 0) {
        if (!read_listed(&rows[*n], sql, row)) {
            return tr_sql_refuse(sql,
                                 "%s is damaged: revocation number %" APR_INT64_T_FMT
                                 " does not fit its checksum; restore the database from a backup",
                                 sql->place->name, tr_sql_int(sql, row, 0));
        }
        ++*n;
    }
    return APR_SUCCESS;
}
