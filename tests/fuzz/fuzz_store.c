/*
 * The database and the mark beside it, whatever somebody wrote into them. Lines are the columns of a row: a letter for the type (t
 * text, b bytes, i integer, r real, n NULL) and the content. The first byte says whether the row carries the checksum that fits what
 * it says (s), one of its own (r), or was stored by us first and then had the column of the second byte exchanged (0 to 6). Behind m
 * stands a mark as it is, behind c the beginning of one, whose checksum is put behind.
 */
#include "world.h"

#include <apr_dbd.h>
#include <apr_strings.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <sanitizer/lsan_interface.h>
#include <unistd.h>

#include "tr_sql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KIND, ISSUER, VALUE, ISSUED_BEFORE, EXPIRES, CHECKSUM, ACTOR, COLUMNS };
static const char *const columns[COLUMNS] = {"kind", "issuer", "value", "issued_before_us", "expires_at", "checksum", "actor"};
static const char *const kinds[TR_KINDS] = {"token",  "session", "subject", "client", "issuer",
                                            "digest", "opaque",  "family",  "member", "logout"};

#define SEQ 7

#define HEAD_LEN (4 + 32 + 1 + 20 + 1)
#define MARK_LEN (HEAD_LEN + 16 + 1)

static tr_sql_t *sql;

/* ---- a database ----------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/fuzz_store.XXXXXX";

static void sweep_up(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-mark"};
    char path[sizeof folder + 16];
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        snprintf(path, sizeof path, "%s/db%s", folder, suffixes[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void open_database(apr_pool_t *pool)
{
    static tr_store_place_t place;
    tr_store_facts_t facts;
    const char *why = NULL, *warning = NULL;
    ALWAYS(mkdtemp(folder) != NULL);
    atexit(sweep_up);
    ALWAYS(tr_store_parse(&place, &why, apr_pstrcat(pool, "sqlite3:", folder, "/db", NULL), "/", pool) == APR_SUCCESS);
    ALWAYS(tr_store_prepare(&facts, &why, &warning, &place, WORLD_NOW / 1000000, pool) == APR_SUCCESS);
    ALWAYS(tr_sql_open(&sql, &why, &place, pool) == APR_SUCCESS && tr_row_prepare(sql) == APR_SUCCESS);
    ALWAYS(tr_row_prepare_list(sql) == APR_SUCCESS);
}

/* ---- the checksum, by another implementation ------------------------------------------------------------------ */

static void feed_number(EVP_MAC_CTX *h, uint64_t n)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(n >> 8 * i);
    ALWAYS(EVP_MAC_update(h, bytes, 8) == 1);
}

static void feed_text(EVP_MAC_CTX *h, tr_str_t text)
{
    feed_number(h, text.len);
    ALWAYS(EVP_MAC_update(h, (const unsigned char *)text.data, text.len) == 1);
}

static EVP_MAC_CTX *begin_sum(void)
{
    static const unsigned char key[16];
    static EVP_MAC *mac;
    size_t size = 16;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_END};
    if (mac == NULL)
        mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *h = EVP_MAC_CTX_new(mac);
    ALWAYS(h != NULL && EVP_MAC_init(h, key, sizeof key, params) == 1);
    return h;
}

static uint64_t end_sum(EVP_MAC_CTX *h)
{
    unsigned char out[16];
    size_t len = 0;
    uint64_t sum = 0;
    ALWAYS(EVP_MAC_final(h, out, &len, sizeof out) == 1 && len == 16);
    EVP_MAC_CTX_free(h);
    for (int i = 0; i < 8; i++)
        sum |= (uint64_t)out[i] << 8 * i;
    return sum;
}

static int64_t checksum_of(const tr_entry_t *e, tr_str_t value)
{
    EVP_MAC_CTX *h = begin_sum();
    unsigned char kind = (unsigned char)e->kind;
    feed_number(h, SEQ);
    ALWAYS(EVP_MAC_update(h, &kind, 1) == 1);
    feed_text(h, e->issuer);
    feed_text(h, value);
    feed_number(h, (uint64_t)e->issued_before);
    feed_number(h, (uint64_t)e->expires_s);
    return (int64_t)end_sum(h);
}

/* ---- columns -------------------------------------------------------------------------------------------------- */

typedef struct column_t {
    char type;
    tr_str_t bytes;
} column_t;

static const char *literal(const column_t *column, apr_pool_t *pool)
{
    char *hex = apr_palloc(pool, 2 * column->bytes.len + 1);
    const char *text = tr_str_dup_z(column->bytes, pool);
    for (size_t i = 0; i < column->bytes.len; i++)
        sprintf(hex + 2 * i, "%02x", (unsigned char)column->bytes.data[i]);
    hex[2 * column->bytes.len] = '\0';
    switch (column->type) {
    case 'i':
        return apr_psprintf(pool, "%" APR_INT64_T_FMT, apr_atoi64(text));
    case 'r':
        return apr_psprintf(pool, "%.17e", strtod(text, NULL) == strtod(text, NULL) ? strtod(text, NULL) / 1.5 : 0);
    case 'b':
        return apr_pstrcat(pool, "x'", hex, "'", NULL);
    case 'n':
        return "NULL";
    default:
        return apr_pstrcat(pool, "CAST(x'", hex, "' AS TEXT)", NULL);
    }
}

/* As far as C strings go. */
static tr_str_t as_text(const column_t *column, apr_pool_t *pool)
{
    return tr_str_z(tr_str_dup_z(column->bytes, pool));
}

static bool is_text(const column_t *column)
{
    /* No bytes at all are handed on as NULL. */
    return strchr("irn", column->type) == NULL && (column->type != 'b' || column->bytes.len > 0);
}

static bool is_digest(tr_kind_t kind)
{
    return kind == TR_KIND_DIGEST || kind == TR_KIND_OPAQUE;
}

static bool is_digest_text(tr_str_t text)
{
    return text.len == 64 && strspn(text.data, "0123456789abcdef") == 64;
}

/* What the columns say, read plainly. False: they name no kind. *text: the value as it is stored. */
static bool say(tr_entry_t *e, const column_t *column, apr_pool_t *pool)
{
    tr_str_t kind = as_text(&column[KIND], pool);
    e->issuer = as_text(&column[ISSUER], pool);
    e->value = as_text(&column[VALUE], pool);
    e->issued_before = apr_atoi64(as_text(&column[ISSUED_BEFORE], pool).data);
    e->expires_s = column[EXPIRES].type == 'n' ? TR_FOREVER : apr_atoi64(as_text(&column[EXPIRES], pool).data);
    for (int k = 0; k < TR_KINDS; k++) {
        e->kind = (tr_kind_t)k;
        if (tr_str_eq_z(kind, kinds[k]))
            return true;
    }
    return false;
}

/* ---- one row -------------------------------------------------------------------------------------------------- */

static apr_status_t read_back(const tr_sql_row_t **row)
{
    tr_sql_row_t *rows = NULL;
    int n = 0;
    apr_status_t rv = tr_row_read_after(sql, &rows, &n, 0);
    ALWAYS(rv == APR_SUCCESS || (rv == TR_STORE_FAILED && sql->error != NULL && strstr(sql->error, "damaged") != NULL));
    ALWAYS(rv != APR_SUCCESS || n <= 1);
    *row = rv == APR_SUCCESS && n == 1 ? rows : NULL;
    return rv;
}

static bool is_same(const tr_entry_t *a, const tr_entry_t *b)
{
    return a->kind == b->kind && tr_str_eq(a->issuer, b->issuer) && tr_str_eq(a->value, b->value) &&
           a->issued_before == b->issued_before && a->expires_s == b->expires_s;
}

/* The value as it is stored. */
static tr_str_t stored_value(const tr_entry_t *e, apr_pool_t *pool)
{
    if (!is_digest(e->kind))
        return e->value;
    char *text = apr_pcalloc(pool, 65);
    ALWAYS(e->value.len == TR_SHA256_LEN);
    for (size_t i = 0; i < TR_SHA256_LEN; i++)
        sprintf(text + 2 * i, "%02x", (unsigned char)e->value.data[i]);
    return tr_str(text, 64);
}

static void store(const tr_entry_t *e, tr_str_t value, const tr_circumstances_t *circumstances)
{
    tr_sql_row_t row = {.seq = SEQ, .entry = *e};
    row.entry.value = value;
    ALWAYS(tr_row_insert(sql, &row, circumstances, WORLD_NOW / 1000000) == APR_SUCCESS);
    ALWAYS((int64_t)row.checksum == checksum_of(e, value));
}

static void clear(void)
{
    ALWAYS(tr_sql_do(sql, "DELETE FROM tokrevoke_revocations") == APR_SUCCESS);
}

/* What is enforced is written once more, and comes back the same. odd: the database itself reads its kind as another text. */
static void check_accepted(const tr_entry_t *e, bool odd, apr_pool_t *pool)
{
    static const tr_circumstances_t nobody = {{"", 0}, {"", 0}, {"", 0}};
    tr_store_query_t query = {.before_seq = INT64_MAX, .limit = 10, .now_s = INT64_MIN};
    tr_store_listed_t listed[10];
    const tr_sql_row_t *row = NULL;
    int n = 0;
    ALWAYS(tr_row_list(sql, listed, &n, &query, 0) == APR_SUCCESS && (odd || n == (tr_kind_is_revocation(e->kind) ? 1 : 0)));
    ALWAYS(n == 0 || is_same(&listed[0].entry, e));
    clear();
    store(e, stored_value(e, pool), &nobody);
    ALWAYS(read_back(&row) == APR_SUCCESS && row != NULL && is_same(&row->entry, e));
}

static void try_row(column_t *column, bool sealed, apr_pool_t *pool)
{
    tr_entry_t said;
    const tr_sql_row_t *row = NULL;
    bool sense = say(&said, column, pool);
    const char *sum =
        sealed ? apr_psprintf(pool, "%" APR_INT64_T_FMT, checksum_of(&said, said.value)) : literal(&column[CHECKSUM], pool);
    const char *insert = apr_psprintf(
        pool,
        "INSERT INTO tokrevoke_revocations (seq, kind, issuer, value, issued_before_us, expires_at, revoked_at, actor, "
        "client_address, reason, checksum) VALUES (%d, %s, %s, %s, %s, %s, 0, %s, '', '', %s)",
        SEQ, literal(&column[KIND], pool), literal(&column[ISSUER], pool), literal(&column[VALUE], pool),
        literal(&column[ISSUED_BEFORE], pool), literal(&column[EXPIRES], pool), literal(&column[ACTOR], pool), sum);
    if (tr_sql_do(sql, insert) != APR_SUCCESS)
        return; /* NULL where there must be none */
    apr_status_t rv = read_back(&row);
    bool plain = is_text(&column[KIND]) && is_text(&column[ISSUER]) && is_text(&column[VALUE]) &&
                 column[ISSUED_BEFORE].type == 'i' && (column[EXPIRES].type == 'i' || column[EXPIRES].type == 'n');
    if (sealed && sense && plain && (!is_digest(said.kind) || is_digest_text(said.value)))
        ALWAYS(rv == APR_SUCCESS && row != NULL);
    if (row == NULL)
        return;
    tr_entry_t entry = row->entry;
    tr_str_t value = stored_value(&entry, pool);
    ALWAYS((int64_t)row->checksum == checksum_of(&entry, value));
    ALWAYS(!plain || (sense && entry.kind == said.kind && tr_str_eq(entry.issuer, said.issuer) && tr_str_eq(value, said.value) &&
                      entry.issued_before == said.issued_before && entry.expires_s == said.expires_s));
    /* Strings are terminated for the database, a digest's text by stored_value. */
    entry.value = is_digest(entry.kind) ? entry.value : tr_str_z(tr_str_dup_z(entry.value, pool));
    check_accepted(&entry, column[KIND].type != 't' || column[KIND].bytes.len > strlen(tr_kind_name(entry.kind)), pool);
}

/* Stored by us, and then one column is another: it must not be taken for another revocation. */
static void try_damage(column_t *column, int which, apr_pool_t *pool)
{
    tr_circumstances_t circumstances = {as_text(&column[ACTOR], pool), tr_str_z("192.0.2.1"), tr_str_z("")};
    const tr_sql_row_t *row = NULL;
    tr_entry_t said;
    if (!say(&said, column, pool) || (is_digest(said.kind) && !is_digest_text(said.value)))
        return;
    store(&said, said.value, &circumstances);
    ALWAYS(read_back(&row) == APR_SUCCESS && row != NULL && row->entry.kind == said.kind);
    ALWAYS(tr_str_eq(stored_value(&row->entry, pool), said.value));
    const char *update =
        apr_psprintf(pool, "UPDATE tokrevoke_revocations SET %s = %s", columns[which], literal(&column[CHECKSUM], pool));
    if (tr_sql_do(sql, update) != APR_SUCCESS || read_back(&row) != APR_SUCCESS || row == NULL)
        return;
    ALWAYS(row->entry.kind == said.kind && tr_str_eq(row->entry.issuer, said.issuer));
    ALWAYS(tr_str_eq(stored_value(&row->entry, pool), said.value));
    ALWAYS(row->entry.issued_before == said.issued_before && row->entry.expires_s == said.expires_s);
}

/* ---- the mark ------------------------------------------------------------------------------------------------- */

static void write_mark(const void *data, size_t size, apr_pool_t *pool)
{
    int fd = open(apr_pstrcat(pool, sql->place->path, "-mark", NULL), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ALWAYS(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

/* What must stand behind the head. */
static void seal(char out[18], const char *head)
{
    EVP_MAC_CTX *h = begin_sum();
    ALWAYS(EVP_MAC_update(h, (const unsigned char *)head, HEAD_LEN) == 1);
    snprintf(out, 18, "%016" PRIx64 "\n", end_sum(h));
}

/* docs/DATABASE.md, column by column. */
static bool is_head(const char *text)
{
    for (int i = 0; i < 20; i++)
        if (text[37 + i] < '0' || text[37 + i] > '9')
            return false;
    return memcmp(text, "TR1 ", 4) == 0 && text[36] == ' ' && text[57] == ' ' && memchr(text, 0, HEAD_LEN) == NULL &&
           strncmp(text + 37, "09223372036854775807", 20) <= 0;
}

static void check_mark(tr_str_t text, apr_pool_t *pool)
{
    char id[TR_STORE_ID_LEN + 1] = "", sum[18], again[TR_STORE_ID_LEN + 1];
    int64_t seq = -1, seq_again = -1;
    const char *why = NULL;
    write_mark(text.data, text.len, pool);
    tr_mark_state_t state = tr_files_read_mark(id, &seq, sql->place, pool);
    bool good = text.len >= MARK_LEN && is_head(text.data);
    if (good) {
        seal(sum, text.data);
        good = memcmp(text.data + HEAD_LEN, sum, 17) == 0;
    }
    ALWAYS(state == TR_MARK_GOOD || state == TR_MARK_BROKEN);
    ALWAYS(!good || state == TR_MARK_GOOD);
    ALWAYS(state != TR_MARK_GOOD || good || seq < 0); /* no database is older than a number below zero */
    if (state != TR_MARK_GOOD)
        return;
    ALWAYS(memcmp(id, text.data + 4, TR_STORE_ID_LEN) == 0 && id[TR_STORE_ID_LEN] == '\0');
    ALWAYS(seq < 0 || seq == (int64_t)strtoumax(text.data + 37, NULL, 10));
    ALWAYS(tr_files_make_mark(&why, sql->place, id, seq, pool) == APR_SUCCESS);
    ALWAYS(tr_files_read_mark(again, &seq_again, sql->place, pool) == TR_MARK_GOOD && seq_again == seq && strcmp(again, id) == 0);
}

static void try_mark(const uint8_t *data, size_t size, apr_pool_t *pool)
{
    char *whole = apr_pcalloc(pool, size + MARK_LEN + 1);
    memcpy(whole, data + 1, size - 1);
    if (data[0] == 'm')
        check_mark(tr_str(whole, size - 1), pool);
    else if (size > HEAD_LEN) {
        seal(whole + HEAD_LEN, whole);
        check_mark(tr_str(whole, MARK_LEN), pool);
    }
}

static void try_statements(const uint8_t *data, size_t size, apr_pool_t *pool)
{
    column_t column[COLUMNS];
    tr_str_t rest = tr_str((const char *)data + 2, size - 2);
    for (int i = 0; i < COLUMNS; i++) {
        const char *end = rest.len > 0 ? memchr(rest.data, '\n', rest.len) : NULL;
        size_t len = end != NULL ? (size_t)(end - rest.data) : rest.len;
        column[i].type = len > 0 && strchr("irbn", rest.data[0]) != NULL ? rest.data[0] : 't';
        column[i].bytes = len > 0 ? tr_str(rest.data + 1, len - 1) : tr_str("", 0);
        rest = end != NULL ? tr_str(end + 1, rest.len - len - 1) : tr_str("", 0);
    }
    ALWAYS(tr_sql_begin(sql) == APR_SUCCESS);
    if (data[0] == 's' || data[0] == 'r')
        try_row(column, data[0] == 's', pool);
    else
        try_damage(column, data[1] % COLUMNS, pool);
    tr_sql_rollback(sql);
    apr_pool_clear(sql->scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world_t *w = world_for_one_input();
    if (sql == NULL) {
        __lsan_disable(); /* it stays to the end */
        open_database(apr_hash_pool_get(w->gate.issuers));
        __lsan_enable();
    }
    if (size >= 2)
        (data[0] == 'm' || data[0] == 'c' ? try_mark : try_statements)(data, size, w->pool);
    world_done();
    return 0;
}
