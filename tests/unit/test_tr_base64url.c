/*
 * RFC 4648 5 without padding, as RFC 7515 2 wants it: one text, one spelling. Checked against a reference written from the
 * RFC's table, over all short strings of a reduced alphabet and all bytes at all places.
 */
#include "tr_base64url.h"

#include <apr_strings.h>

#include "tr_reason.h"
#include "tr_testing_cmocka.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int value_of(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* Bytes written to out, or -1 if text is not the one spelling of anything. */
static int reference(unsigned char *out, const char *text, size_t len)
{
    unsigned bits = 0;
    int held = 0, n = 0;
    for (size_t i = 0; i < len; i++) {
        if (value_of(text[i]) < 0)
            return -1;
        bits = (bits << 6) | (unsigned)value_of(text[i]);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (unsigned char)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    return len % 4 == 1 || bits != 0 ? -1 : n;
}

static void expect_like_reference(const char *text, size_t len, apr_pool_t *pool)
{
    unsigned char want[64];
    tr_str_t got = {NULL, 99};
    int n = reference(want, text, len);
    apr_status_t rv = tr_base64url_decode(&got, tr_str(text, len), pool);
    if (n < 0) {
        assert_int_equal(rv, TR_MALFORMED);
        return;
    }
    assert_int_equal(rv, APR_SUCCESS);
    assert_int_equal(got.len, n);
    if (n > 0)
        assert_memory_equal(got.data, want, (size_t)n);
    assert_int_equal(got.data[got.len], '\0');
    assert_str_is(tr_str(text, len), tr_base64url_encode(got, pool));
}

static void every_short_string_decodes_as_the_reference_says(void **state)
{
    /* Letters with and without low bits set, both alphabets' odd ones, and what other decoders skip. */
    static const char letters[] = {'A', 'B', 'E', 'Q', 'g', 'w', 'z', '9', '-', '_', '+', '/', '=', '.', ' ', '\n', '\0'};
    enum { n = sizeof letters };
    char text[5];
    for (size_t len = 1; len <= 4; len++) {
        size_t total = 1;
        for (size_t i = 0; i < len; i++)
            total *= n;
        for (size_t word = 0; word < total; word++) {
            size_t rest = word;
            for (size_t i = 0; i < len; i++, rest /= n)
                text[i] = letters[rest % n];
            expect_like_reference(text, len, *state);
            if (word % 1000 == 0)
                apr_pool_clear(*state);
        }
    }
}

static void every_pair_and_triple_of_the_alphabet_decodes_as_the_reference_says(void **state)
{
    char text[3];
    for (size_t word = 0; word < 64 * 64 * 64; word++) {
        text[0] = alphabet[word % 64];
        text[1] = alphabet[word / 64 % 64];
        text[2] = alphabet[word / 4096];
        expect_like_reference(text, 3, *state);
        if (word < 4096)
            expect_like_reference(text, 2, *state);
        if (word % 1000 == 0)
            apr_pool_clear(*state);
    }
}

static void every_byte_at_every_place_decodes_as_the_reference_says(void **state)
{
    char text[24];
    for (size_t len = 1; len <= 20; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                memset(text, 'A', sizeof text);
                text[at] = (char)byte;
                expect_like_reference(text, len, *state);
            }
        }
        apr_pool_clear(*state);
    }
}

static void what_is_encoded_decodes_to_itself(void **state)
{
    uint64_t seed = 1;
    unsigned char bytes[300];
    for (size_t len = 0; len <= sizeof bytes; len++) {
        for (size_t i = 0; i < len; i++)
            bytes[i] = (unsigned char)tt_random(&seed);
        char *text = tr_base64url_encode(tr_str((char *)bytes, len), *state);
        assert_string_equal(text, tt_b64(*state, bytes, len));
        tr_str_t back;
        assert_int_equal(tr_base64url_decode(&back, tr_str_z(text), *state), APR_SUCCESS);
        assert_int_equal(back.len, len);
        assert_memory_equal(back.data, bytes, len);
    }
}

static void nothing_decodes_to_nothing(void **state)
{
    tr_str_t out = {NULL, 99};
    assert_int_equal(tr_base64url_decode(&out, tr_str(NULL, 0), *state), APR_SUCCESS);
    assert_int_equal(out.len, 0);
    assert_int_equal(tr_base64url_decode(&out, tr_str("", 0), *state), APR_SUCCESS);
    assert_int_equal(out.len, 0);
    assert_string_equal(tr_base64url_encode(tr_str(NULL, 0), *state), "");
}

static void bytes_behind_the_view_are_not_read(void **state)
{
    tr_str_t out;
    assert_int_equal(tr_base64url_decode(&out, tr_str("QUJDRA==", 4), *state), APR_SUCCESS);
    assert_str_is(out, "ABC");
}

static void one_bad_byte_far_in_a_long_text_is_found(void **state)
{
    char *text = tt_repeat(*state, "QUJD", 4096);
    tr_str_t out;
    assert_int_equal(tr_base64url_decode(&out, tr_str(text, 16384), *state), APR_SUCCESS);
    assert_int_equal(out.len, 12288);
    for (size_t at = 16384 - 40; at < 16384; at++) {
        char good = text[at];
        text[at] = '=';
        assert_int_equal(tr_base64url_decode(&out, tr_str(text, 16384), *state), TR_MALFORMED);
        text[at] = good;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(every_short_string_decodes_as_the_reference_says),
        TT_TEST(every_pair_and_triple_of_the_alphabet_decodes_as_the_reference_says),
        TT_TEST(every_byte_at_every_place_decodes_as_the_reference_says),
        TT_TEST(what_is_encoded_decodes_to_itself),
        TT_TEST(nothing_decodes_to_nothing),
        TT_TEST(bytes_behind_the_view_are_not_read),
        TT_TEST(one_bad_byte_far_in_a_long_text_is_found),
    };
    return TT_RUN(tests);
}
