/*
 * What a stored revocation looks like, and that it comes back as it was. The checksums were computed by an implementation of
 * SipHash-2-4-128 in Python, which agrees with the vectors of its authors.
 */
#include "tr_sql.h"

#include <stdlib.h>

#include "tr_testing_cmocka.h"
#include "tr_testing_store.h"

#define UTF8 "\xc3\xa4\xe2\x82\xac\xf0\x9d\x84\x9e"
#define AWKWARD "alice' -- 100%s \"x\" \\"
#define DIGEST_TEXT "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f"

static const unsigned char digest[32] = {0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
                                         0xfb, 0xfc, 0xfd, 0xfe, 0xff, 0,    1,    2,    3,    4,    5,
                                         6,    7,    8,    9,    10,   11,   12,   13,   14,   15};

enum { SAMPLES = TR_KINDS };

/* One of each kind. */
static void make_samples(tr_entry_t out[SAMPLES], apr_pool_t *pool)
{
    const tr_str_t iss = tr_str_z(TT_ISS);
    const tr_entry_t samples[SAMPLES] = {
        {TR_KIND_TOKEN, iss, tr_str_z("jti-1"), 0, 1700003600},
        {TR_KIND_SESSION, iss, tr_str_z(UTF8), 1700000000123456, 1700003600},
        {TR_KIND_SUBJECT, iss, tr_str_z(AWKWARD), 1700000000000001, TR_FOREVER},
        {TR_KIND_CLIENT, tr_str(NULL, 0), tr_str_z(tt_repeat(pool, "c", 1024)), 1, 4102444800},
        {TR_KIND_ISSUER, iss, tr_str(NULL, 0), 1700000000000000, TR_FOREVER},
        {TR_KIND_DIGEST, tr_str(NULL, 0), tr_str((const char *)digest, sizeof digest), 0, 1700000001},
        {TR_KIND_OPAQUE, tr_str(NULL, 0), tr_str((const char *)digest, sizeof digest), 0, 1700003600},
        {TR_KIND_FAMILY, tr_str(NULL, 0), tr_str_z("0123456789abcdef"), 0, TR_FOREVER},
        {TR_KIND_MEMBER, iss, tr_str_z("j:jti-1"), INT64_C(0x7edcba9876543210), 1700003600},
        {TR_KIND_LOGOUT, iss, tr_str_z("logout-1"), 0, 1700000900},
    };
    memcpy(out, samples, sizeof samples);
}

static const char *const checksums[SAMPLES] = {
    "4943507288685562533", "8896438046368804493",  "-31169584323121353",  "-7637143246789816470", "-7159475902967767240",
    "2905636273612001337", "-5961395034500211626", "4472455776155524799", "7466926549773420197",  "-8413217564708644582"};

static void assert_same_entry(const tr_entry_t *a, const tr_entry_t *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_true(tr_str_eq(a->issuer, b->issuer));
    assert_true(tr_str_eq(a->value, b->value));
    assert_true(a->issued_before == b->issued_before);
    assert_true(a->expires_s == b->expires_s);
}

static void append_all(tt_db_t *db, const tr_entry_t *entries, int n)
{
    tr_store_t *store = tt_store(db);
    for (int i = 0; i < n; i++)
        assert_int_equal(tt_append(store, entries[i]), APR_SUCCESS);
    tt_close_store(db, store);
}

static void the_checksum_is_the_one_that_is_documented(void **state)
{
    tr_sql_row_t row = {.seq = INT64_MAX, .entry = {.kind = TR_KIND_TOKEN}};
    tr_entry_t samples[SAMPLES];
    make_samples(samples, *state);
    assert_true(tr_row_checksum(&row) == UINT64_C(2050089733917773476));
    for (int i = 0; i < SAMPLES; i++) {
        row.seq = i + 1;
        row.entry = samples[i];
        row.entry.value = tr_kind_has_digest(samples[i].kind) ? tr_str_z(DIGEST_TEXT) : samples[i].value;
        assert_true((int64_t)tr_row_checksum(&row) == strtoll(checksums[i], NULL, 10));
    }
}

static void a_row_says_what_is_documented(void **state)
{
    apr_pool_t *pool = *state;
    tt_db_t *db = tt_prepared_db(pool);
    tr_entry_t samples[SAMPLES];
    make_samples(samples, pool);
    append_all(db, samples, SAMPLES);
    char *expected = "";
    for (int i = 0; i < SAMPLES; i++)
        expected = tt_print(pool, "%s%s%d|%s|%s", expected, i ? "\n" : "", i + 1, tr_kind_name((tr_kind_t)i), checksums[i]);
    assert_string_equal(tt_ask(db, "SELECT seq, kind, checksum FROM tokrevoke_revocations ORDER BY seq"), expected);
    assert_string_equal(tt_ask(db, "SELECT issuer, value FROM tokrevoke_revocations WHERE seq <> 4 ORDER BY seq"),
                        TT_ISS "|jti-1\n" TT_ISS "|" UTF8 "\n" TT_ISS "|" AWKWARD "\n" TT_ISS "|\n|" DIGEST_TEXT "\n|" DIGEST_TEXT
                               "\n|0123456789abcdef\n" TT_ISS "|j:jti-1\n" TT_ISS "|logout-1");
    assert_string_equal(tt_ask(db, "SELECT issuer, value FROM tokrevoke_revocations WHERE seq = 4"),
                        tt_print(pool, "|%s", tt_repeat(pool, "c", 1024)));
    assert_string_equal(tt_ask(db, "SELECT issued_before_us, expires_at FROM tokrevoke_revocations ORDER BY seq"),
                        "0|1700003600\n1700000000123456|1700003600\n1700000000000001|NULL\n1|4102444800\n"
                        "1700000000000000|NULL\n0|1700000001\n0|1700003600\n0|NULL\n9141386507638288912|1700003600\n"
                        "0|1700000900");
    assert_string_equal(tt_ask(db, "SELECT DISTINCT revoked_at, actor, client_address, reason FROM tokrevoke_revocations"),
                        "1700000000|bob|192.0.2.1|stolen");
    assert_string_equal(tt_ask(db, "SELECT DISTINCT typeof(seq), typeof(kind), typeof(issuer), typeof(value), "
                                   "typeof(issued_before_us), typeof(revoked_at), typeof(checksum) FROM tokrevoke_revocations"),
                        "integer|text|text|text|integer|integer|integer");
}

static void the_totals_add_up(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_entry_t samples[SAMPLES];
    make_samples(samples, *state);
    append_all(db, samples, SAMPLES);
    assert_string_equal(tt_ask(db, "SELECT last_seq, row_count, row_sum FROM tokrevoke_state"), "10|10|-517437398694247912");
}

static void every_kind_comes_back_as_it_was(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_entry_t samples[SAMPLES];
    tt_rows_t *rows;
    make_samples(samples, *state);
    append_all(db, samples, SAMPLES);
    assert_int_equal(tt_prepare(db), APR_SUCCESS);
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(rows->n, SAMPLES);
    assert_int_equal(db->facts.last_seq, SAMPLES);
    for (int i = 0; i < SAMPLES; i++)
        assert_same_entry(&rows->entry[i], &samples[i]);
}

static void a_digest_that_is_none_is_damage_even_with_a_right_checksum(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
    } cases[] = {{DIGEST_TEXT, true},
                 {DIGEST_TEXT "00", false},
                 {"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e", false},
                 {"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0g", false},
                 {"F0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f", false},
                 {"", false}};
    tt_db_t *db = tt_prepared_db(*state);
    tr_entry_t samples[SAMPLES];
    make_samples(samples, *state);
    append_all(db, &samples[TR_KIND_DIGEST], 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tr_sql_row_t row = {.seq = 1, .entry = samples[TR_KIND_DIGEST]};
        tt_rows_t *rows;
        row.entry.value = tr_str_z(cases[i].text);
        long long sum = (int64_t)tr_row_checksum(&row);
        tt_do(db, tt_print(
                      *state,
                      "UPDATE tokrevoke_revocations SET value = '%s', checksum = %lld; UPDATE tokrevoke_state SET row_sum = %lld",
                      cases[i].text, sum, sum));
        assert_int_equal(tt_load(&rows, db), cases[i].is_good ? APR_SUCCESS : TR_STORE_FAILED);
    }
}

static void texts_are_not_interpreted(void **state)
{
    static const char *const values[] = {
        "007",  "1e5",      "0x10",      " ",           "NULL",  "null",  "-0",           "9223372036854775808",
        "%s%n", "%lld%%$",  "'; DROP--", "\"\"",        "\\x41", "a\\'b", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf",
        "?1",   ":a @b $c", "1.0",       "\xe2\x80\xa8"};
    enum { n = sizeof values / sizeof *values };
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tt_rows_t *rows;
    for (int i = 0; i < n; i++) {
        tr_str_t text = tr_str_z(values[i]);
        tr_entry_t e = {TR_KIND_SUBJECT, text, text, i, TT_NOW};
        tr_circumstances_t c = {text, text, text};
        assert_int_equal(tt_append_with(store, e, c), APR_SUCCESS);
        assert_string_equal(tt_ask(db, tt_print(*state,
                                                "SELECT issuer, value, actor, client_address, reason FROM tokrevoke_revocations "
                                                "WHERE seq = %d",
                                                i + 1)),
                            tt_print(*state, "%s|%s|%s|%s|%s", values[i], values[i], values[i], values[i], values[i]));
    }
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(rows->n, n);
    for (int i = 0; i < n; i++) {
        assert_str_is(rows->entry[i].value, values[i]);
        assert_str_is(rows->entry[i].issuer, values[i]);
    }
}

static void the_longest_texts_fit(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tr_str_t longest = tr_str_z(tt_repeat(*state, "\xf0\x9d\x84\x9e", 256));
    tr_entry_t e = {TR_KIND_CLIENT, longest, longest, INT64_MAX, INT64_MAX - 1};
    tr_circumstances_t c = {longest, longest, longest};
    tt_rows_t *rows;
    assert_int_equal(longest.len, 1024);
    assert_int_equal(tt_append_with(store, e, c), APR_SUCCESS);
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(rows->n, 1);
    assert_same_entry(&rows->entry[0], &e);
    assert_string_equal(tt_ask(db, "SELECT length(actor), length(reason) FROM tokrevoke_revocations"), "256|256");
}

static void the_ends_of_time_come_back(void **state)
{
    static const int64_t times[] = {0, 1, -1, INT64_MIN, INT64_MAX - 1, INT64_MAX, UINT32_MAX, (int64_t)UINT32_MAX + 1};
    enum { n = sizeof times / sizeof *times };
    tt_db_t *db = tt_prepared_db(*state);
    tr_entry_t entries[n];
    tt_rows_t *rows;
    for (int i = 0; i < n; i++)
        entries[i] = (tr_entry_t){TR_KIND_SESSION, tr_str_z("i"), tr_str_z("v"), times[n - 1 - i], times[i]};
    append_all(db, entries, n);
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(rows->n, n);
    for (int i = 0; i < n; i++)
        assert_same_entry(&rows->entry[i], &entries[i]);
}

static void a_cut_off_is_stored_where_it_means_something(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_entry_t samples[SAMPLES];
    tt_rows_t *rows;
    make_samples(samples, *state);
    for (int i = 0; i < SAMPLES; i++)
        samples[i].issued_before = 77;
    append_all(db, samples, SAMPLES);
    assert_string_equal(tt_ask(db, "SELECT kind FROM tokrevoke_revocations WHERE issued_before_us = 77 ORDER BY seq"),
                        "session\nsubject\nclient\nissuer\nmember");
    assert_string_equal(tt_ask(db, "SELECT kind FROM tokrevoke_revocations WHERE issued_before_us = 0 ORDER BY seq"),
                        "token\ndigest\nopaque\nfamily\nlogout");
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(rows->n, SAMPLES);
}

static void what_a_text_cannot_hold_does_not_spoil_the_database(void **state)
{
    /* Nothing that is revoked has a NUL today. If ever it had, the next start must not find a damaged database. */
    static const tr_str_t awkward = {"a\0b", 3};
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    tr_entry_t e = tt_entry("good"), in_value = e, in_issuer = e;
    tt_rows_t *rows;
    in_value.value = in_issuer.issuer = awkward;
    assert_int_equal(tt_append(store, e), APR_SUCCESS);
    assert_int_equal(tt_append(store, in_value), TR_STORE_FAILED);
    assert_int_equal(tt_append(store, in_issuer), TR_STORE_FAILED);
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
    assert_int_equal(tt_count(rows, "good"), 1);
}

/* ---- circumstances ----------------------------------------------------------------------------------------- */

static void assert_cleaned(tt_db_t *db, tr_store_t *store, tr_str_t text, const char *as)
{
    tr_entry_t e = tt_entry("j");
    tr_circumstances_t c = {text, text, text};
    tt_rows_t *rows;
    assert_int_equal(tt_append_with(store, e, c), APR_SUCCESS);
    assert_string_equal(tt_ask(db, "SELECT actor, client_address, reason FROM tokrevoke_revocations ORDER BY seq DESC LIMIT 1"),
                        tt_print(db->pool, "%s|%s|%s", as, as, as));
    assert_string_equal(tt_ask(db, "SELECT typeof(reason), length(CAST(reason AS BLOB)) FROM tokrevoke_revocations ORDER BY seq "
                                   "DESC LIMIT 1"),
                        tt_print(db->pool, "text|%zu", strlen(as)));
    assert_int_equal(tt_load(&rows, db), APR_SUCCESS);
}

static void circumstances_may_be_empty(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    assert_cleaned(db, store, tr_str(NULL, 0), "");
    assert_cleaned(db, store, tr_str("", 0), "");
    assert_cleaned(db, store, tr_str("not this", 3), "not");
}

static void control_characters_become_question_marks(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    assert_cleaned(db, store, tr_str("a\0b", 3), "a?b");
    assert_cleaned(db, store, tr_str("\0", 1), "?");
    assert_cleaned(db, store, tr_str_z("\r\n\t\x1b[31m\x7f"), "????[31m?");
}

static void c1_control_characters_become_question_marks(void **state)
{
    /* U+009B begins an escape sequence in a terminal as ESC [ does; U+00A0 is none of them. */
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    assert_cleaned(db, store, tr_str_z("\xc2\x80 \xc2\x9b \xc2\x9f \xc2\xa0"), "?? ?? ?? \xc2\xa0");
}

static void bytes_that_are_no_utf_8_become_question_marks(void **state)
{
    tt_db_t *db = tt_prepared_db(*state);
    tr_store_t *store = tt_store(db);
    assert_cleaned(db, store, tr_str_z(UTF8 "\xff" UTF8 "\xfe"), UTF8 "?" UTF8 "?");
    assert_cleaned(db, store, tr_str_z("\x80\xbf"), "??");
    assert_cleaned(db, store, tr_str_z("\xc0\xaf\xc1\xbf"), "????");                /* overlong */
    assert_cleaned(db, store, tr_str_z("\xe0\x9f\xbf\xf0\x8f\xbf\xbf"), "???????"); /* the same */
    assert_cleaned(db, store, tr_str_z("\xed\xa0\x80\xed\xbf\xbf"), "??????");      /* surrogates */
    assert_cleaned(db, store, tr_str_z("\xf4\x90\x80\x80\xf5\x80\x80\x80"), "????????");
    assert_cleaned(db, store, tr_str_z("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"), "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
    assert_cleaned(db, store, tr_str_z("a\xc3"), "a?"); /* cut short */
    assert_cleaned(db, store, tr_str_z("a\xe2\x82"), "a??");
    assert_cleaned(db, store, tr_str("a\xf0\x9d\x84\x9e", 4), "a???");
    assert_cleaned(db, store, tr_str_z("\xe2\x82\x41\xc3\xc3\xa4"), "??A?\xc3\xa4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(the_checksum_is_the_one_that_is_documented),
        TT_TEST(a_row_says_what_is_documented),
        TT_TEST(the_totals_add_up),
        TT_TEST(every_kind_comes_back_as_it_was),
        TT_TEST(a_digest_that_is_none_is_damage_even_with_a_right_checksum),
        TT_TEST(texts_are_not_interpreted),
        TT_TEST(the_longest_texts_fit),
        TT_TEST(the_ends_of_time_come_back),
        TT_TEST(a_cut_off_is_stored_where_it_means_something),
        TT_TEST(what_a_text_cannot_hold_does_not_spoil_the_database),
        TT_TEST(circumstances_may_be_empty),
        TT_TEST(control_characters_become_question_marks),
        TT_TEST(c1_control_characters_become_question_marks),
        TT_TEST(bytes_that_are_no_utf_8_become_question_marks),
    };
    return TT_RUN(tests);
}
