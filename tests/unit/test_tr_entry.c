/*
 * The mark of an entry: two different triples never share one.
 */
#include "tr_entry.h"

#include "tr_testing_cmocka.h"

static const tr_siphash_key_t key = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

static tr_mark_t mark_of(tr_kind_t kind, const char *issuer, const char *value)
{
    return tr_mark(&key, kind, tr_str_z(issuer), tr_str_z(value));
}

static void assert_same(tr_mark_t a, tr_mark_t b)
{
    assert_true(a.h[0] == b.h[0] && a.h[1] == b.h[1]);
}

static void assert_differ(tr_mark_t a, tr_mark_t b)
{
    assert_true(a.h[0] != b.h[0] && a.h[1] != b.h[1]);
}

static void the_same_triple_has_the_same_mark(void **state)
{
    char *copy = tt_repeat(*state, "https://idp.example.com/", 1);
    assert_same(mark_of(TR_KIND_TOKEN, "https://idp.example.com/", "id-1"), mark_of(TR_KIND_TOKEN, copy, "id-1"));
    assert_same(tr_mark(&key, TR_KIND_ISSUER, tr_str_z("i"), tr_str(NULL, 0)),
                tr_mark(&key, TR_KIND_ISSUER, tr_str_z("i"), tr_str("", 0)));
}

static void the_border_of_issuer_and_value_counts(void **state)
{
    (void)state;
    assert_differ(mark_of(TR_KIND_TOKEN, "ab", "c"), mark_of(TR_KIND_TOKEN, "a", "bc"));
    assert_differ(mark_of(TR_KIND_TOKEN, "abc", ""), mark_of(TR_KIND_TOKEN, "", "abc"));
    assert_differ(tr_mark(&key, TR_KIND_TOKEN, tr_str("a\0", 2), tr_str_z("b")),
                  tr_mark(&key, TR_KIND_TOKEN, tr_str_z("a"), tr_str("\0b", 2)));
}

static void a_length_that_is_written_into_a_value_is_no_border(void **state)
{
    static const char zeros[8], eight[] = "a\x08\0\0\0\0\0\0\0";
    (void)state;
    assert_differ(tr_mark(&key, TR_KIND_TOKEN, tr_str_z("a"), tr_str(zeros, 8)),
                  tr_mark(&key, TR_KIND_TOKEN, tr_str(eight, 9), tr_str("", 0)));
}

static void every_byte_of_the_issuer_counts(void **state)
{
    (void)state;
    assert_differ(mark_of(TR_KIND_TOKEN, "https://a.example/", "jti"), mark_of(TR_KIND_TOKEN, "https://b.example/", "jti"));
    assert_differ(mark_of(TR_KIND_ISSUER, "https://a.example/x", ""), mark_of(TR_KIND_ISSUER, "https://a.example/y", ""));
}

static void no_cut_of_one_text_gives_a_mark_twice(void **state)
{
    /* A text of the byte values that lengths could look like, so that a length written into the text is no way round. */
    char text[64];
    tr_mark_t seen[65];
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : sizeof text - i);
    for (size_t cut = 0; cut <= sizeof text; cut++) {
        seen[cut] = tr_mark(&key, TR_KIND_TOKEN, tr_str(text, cut), tr_str(text + cut, sizeof text - cut));
        for (size_t other = 0; other < cut; other++)
            assert_differ(seen[cut], seen[other]);
    }
}

static void every_kind_has_marks_of_its_own(void **state)
{
    (void)state;
    for (int a = 0; a < TR_KINDS; a++) {
        for (int b = 0; b < a; b++)
            assert_differ(mark_of((tr_kind_t)a, "iss", "value"), mark_of((tr_kind_t)b, "iss", "value"));
    }
}

static void case_nul_and_a_last_byte_count(void **state)
{
    (void)state;
    assert_differ(mark_of(TR_KIND_TOKEN, "iss", "Jti"), mark_of(TR_KIND_TOKEN, "iss", "jti"));
    assert_differ(mark_of(TR_KIND_TOKEN, "iss", "jti"), mark_of(TR_KIND_TOKEN, "iss", "jti "));
    assert_differ(mark_of(TR_KIND_TOKEN, "iss/", "jti"), mark_of(TR_KIND_TOKEN, "iss", "jti"));
    assert_differ(tr_mark(&key, TR_KIND_TOKEN, tr_str_z("i"), tr_str("a\0b", 3)),
                  tr_mark(&key, TR_KIND_TOKEN, tr_str_z("i"), tr_str("a\0c", 3)));
    assert_differ(tr_mark(&key, TR_KIND_TOKEN, tr_str_z("i"), tr_str("a", 1)),
                  tr_mark(&key, TR_KIND_TOKEN, tr_str_z("i"), tr_str("a\0", 2)));
}

static void long_values_count_to_their_last_byte(void **state)
{
    char *a = tt_repeat(*state, "x", 16384), *b = tt_repeat(*state, "x", 16384);
    assert_same(mark_of(TR_KIND_TOKEN, "i", a), mark_of(TR_KIND_TOKEN, "i", b));
    b[16383] = 'y';
    assert_differ(mark_of(TR_KIND_TOKEN, "i", a), mark_of(TR_KIND_TOKEN, "i", b));
    b[16383] = '\0';
    assert_differ(mark_of(TR_KIND_TOKEN, "i", a), mark_of(TR_KIND_TOKEN, "i", b));
}

static void another_key_gives_another_mark(void **state)
{
    tr_siphash_key_t other = key;
    (void)state;
    other.k1 ^= 1;
    assert_differ(mark_of(TR_KIND_TOKEN, "i", "v"), tr_mark(&other, TR_KIND_TOKEN, tr_str_z("i"), tr_str_z("v")));
}

static void kinds_keep_their_numbers_and_names(void **state)
{
    static const char *names[TR_KINDS] = {"token",  "session", "subject", "client", "issuer",
                                          "digest", "opaque",  "family",  "member", "logout"};
    (void)state;
    for (int kind = 0; kind < TR_KINDS; kind++)
        assert_string_equal(tr_kind_name((tr_kind_t)kind), names[kind]);
    assert_int_equal(TR_KIND_TOKEN, 0);
    assert_int_equal(TR_KIND_DIGEST, 5);
    assert_int_equal(TR_KIND_LOGOUT, 9);
}

static void kinds_are_what_they_are(void **state)
{
    static const struct {
        tr_kind_t kind;
        bool is_revocation, has_cut_off, has_digest;
    } kinds[TR_KINDS] = {{TR_KIND_TOKEN, true, false, false},  {TR_KIND_SESSION, true, true, false},
                         {TR_KIND_SUBJECT, true, true, false}, {TR_KIND_CLIENT, true, true, false},
                         {TR_KIND_ISSUER, true, true, false},  {TR_KIND_DIGEST, true, false, true},
                         {TR_KIND_OPAQUE, true, false, true},  {TR_KIND_FAMILY, true, false, false},
                         {TR_KIND_MEMBER, false, true, false}, {TR_KIND_LOGOUT, false, false, false}};
    (void)state;
    for (int kind = 0; kind < TR_KINDS; kind++) {
        assert_int_equal(kinds[kind].kind, kind);
        assert_int_equal(tr_kind_is_revocation((tr_kind_t)kind), kinds[kind].is_revocation);
        assert_int_equal(tr_kind_has_cut_off((tr_kind_t)kind), kinds[kind].has_cut_off);
        assert_int_equal(tr_kind_has_digest((tr_kind_t)kind), kinds[kind].has_digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(the_same_triple_has_the_same_mark),
        TT_TEST(the_border_of_issuer_and_value_counts),
        TT_TEST(a_length_that_is_written_into_a_value_is_no_border),
        TT_TEST(every_byte_of_the_issuer_counts),
        TT_TEST(no_cut_of_one_text_gives_a_mark_twice),
        TT_TEST(every_kind_has_marks_of_its_own),
        TT_TEST(case_nul_and_a_last_byte_count),
        TT_TEST(long_values_count_to_their_last_byte),
        TT_TEST(another_key_gives_another_mark),
        TT_TEST(kinds_keep_their_numbers_and_names),
        TT_TEST(kinds_are_what_they_are),
    };
    return TT_RUN(tests);
}
