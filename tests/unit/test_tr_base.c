/*
 * Views of bytes.
 */
#include "tr_base.h"

#include "tr_testing_cmocka.h"

static void views_are_equal_byte_for_byte(void **state)
{
    (void)state;
    assert_true(tr_str_eq(tr_str_z("abc"), tr_str("abcd", 3)));
    assert_true(tr_str_eq(tr_str(NULL, 0), tr_str("x", 0)));
    assert_true(tr_str_eq_z(tr_str_z(NULL), ""));
    assert_false(tr_str_eq_z(tr_str("a\0b", 3), "a"));
    assert_false(tr_str_eq(tr_str("a\0b", 3), tr_str("a\0c", 3)));
    assert_false(tr_str_eq_z(tr_str_z("A"), "a"));
}

static void only_ascii_letters_fold(void **state)
{
    (void)state;
    assert_true(tr_str_eq_nocase(tr_str_z("AT+jwt"), tr_str_z("at+JWT")));
    assert_true(tr_str_eq_nocase(tr_str(NULL, 0), tr_str_z("")));
    assert_false(tr_str_eq_nocase(tr_str_z("at+jwt"), tr_str_z("at+jw")));
    assert_false(tr_str_eq_nocase(tr_str_z("at+jw"), tr_str_z("at+jwt")));
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            char x = (char)a, y = (char)b;
            int fa = a >= 'A' && a <= 'Z' ? a + 32 : a, fb = b >= 'A' && b <= 'Z' ? b + 32 : b;
            assert_int_equal(tr_str_eq_nocase(tr_str(&x, 1), tr_str(&y, 1)), fa == fb);
        }
    }
}

static void every_control_character_is_seen(void **state)
{
    for (unsigned c = 0; c < 0x800; c++) {
        char text[8] = "ab";
        size_t len = 2;
        if (c < 0x80)
            text[len++] = (char)c;
        else {
            text[len++] = (char)(0xc0 | c >> 6);
            text[len++] = (char)(0x80 | (c & 0x3f));
        }
        text[len++] = 'z';
        bool control = c < 0x20 || (c >= 0x7f && c <= 0x9f);
        assert_int_equal(tr_str_has_control(tr_str(text, len)), control);
        assert_int_equal(tr_str_has_control(tr_str(text + 2, len - 2)), control);
        assert_int_equal(tr_str_has_control(tr_str(text, len - 1)), control);
    }
    assert_false(tr_str_has_control(tr_str(NULL, 0)));
    /* U+20AC holds a byte 0x82 that is no control character by itself. */
    assert_false(tr_str_has_control(tr_str_z("10 \xe2\x82\xac")));
    assert_false(tr_str_has_control(tr_str_z("\xf0\x9f\x98\x80")));
    (void)state;
}

static void a_copy_ends_with_a_nul(void **state)
{
    char *copy = tr_str_dup_z(tr_str("abcdef", 3), *state);
    assert_string_equal(copy, "abc");
    assert_string_equal(tr_str_dup_z(tr_str(NULL, 0), *state), "");
}

static void utf_8_is_told_from_other_bytes(void **state)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "a\xc3\xa4z\xf0\x9d\x84\x9e",
                                       "\x01\x7f"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x61",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "good\xfe",
                                      "\xc3\xa4\xc3",
                                      "\xe2\x28\xa1"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(tr_str_is_utf8(tr_str_z(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tr_str_is_utf8(tr_str_z(bad[i])));
    assert_true(tr_str_is_utf8(tr_str("a\0b", 3)));
    assert_int_equal(tr_utf8_len(tr_str("", 0)), 0);
    assert_int_equal(tr_utf8_len(tr_str_z("\xe2\x82\xac!")), 3);
    assert_int_equal(tr_utf8_len(tr_str("\xe2\x82\xac", 2)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(views_are_equal_byte_for_byte),  TT_TEST(only_ascii_letters_fold), TT_TEST(every_control_character_is_seen),
        TT_TEST(utf_8_is_told_from_other_bytes), TT_TEST(a_copy_ends_with_a_nul),
    };
    return TT_RUN(tests);
}
