/*
 * The reader of plain JSON against the library: whatever it reads, the library reads, and the same. It may leave anything to the
 * library, but not what providers usually write.
 */
#include "tr_json_plain.h"

#include <stdio.h>

#include "tr_testing_cmocka.h"

/* Without a byte behind it, so that the address sanitizer sees who reads on. */
static json_t *plain(const char *text, size_t len)
{
    char *exact = malloc(len > 0 ? len : 1);
    memcpy(exact, text, len);
    json_t *value = tr_json_plain(tr_str(exact, len));
    free(exact);
    return value;
}

/* True: it was plain. */
static bool compare(const char *text, size_t len)
{
    json_t *ours = plain(text, len);
    if (!ours)
        return false;
    json_t *theirs = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    char *our_text = json_dumps(ours, 0), *their_text = theirs ? json_dumps(theirs, 0) : NULL;
    if (!theirs || !json_equal(ours, theirs) || strcmp(our_text, their_text) != 0)
        fail_msg("%.*s\nours:   %s\ntheirs: %s", (int)len, text, our_text, their_text ? their_text : "refused");
    free(our_text);
    free(their_text);
    json_decref(ours);
    json_decref(theirs);
    return true;
}

static void what_providers_write_is_plain(void **state)
{
    static const char *const texts[] = {
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"2026-11\"}",
        ("{\"iss\":\"https://idp.example.com/realms/shop\",\"sub\":\"5b1f9f2e-8b1c\",\"aud\":[\"api\",\"account\"],\"exp\":1700003600,"
         "\"iat\":1699999940,\"email_verified\":false,\"realm_access\":{\"roles\":[\"user\",\"admin\"]},\"scope\":\"openid email\"}"),
        "{}",
        " { \"a\" : [ ] , \"b\" : { } ,\r\n\t\"c\" : [ { } , [ [ ] ] ] } \n",
        "{\"\":\"\",\"a\":true,\"b\":false,\"c\":null}",
        "{\"a\":0,\"b\":-0,\"c\":-1,\"d\":999999999999999999,\"e\":-999999999999999999}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!compare(texts[i], strlen(texts[i])))
            fail_msg("not plain: %s", texts[i]);
}

static void what_is_wrong_or_out_of_the_ordinary_is_left_to_the_library(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "}",
        "[]",
        "\"a\"",
        "1",
        "null",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1}x",
        "{\"a\":1}{}",
        "{\"a\":1},",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[1 2]}",
        "{\"a\":[1}",
        "{\"a\":{]}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":+1}",
        "{\"a\":1.0}",
        "{\"a\":1e3}",
        "{\"a\":1E3}",
        "{\"a\":.5}",
        "{\"a\":1x}",
        "{\"a\":1000000000000000000}",
        "{\"a\":-1000000000000000000}",
        "{\"a\":99999999999999999999}",
        "{\"a\":0x10}",
        "{\"a\":--1}",
        "{\"a\":truex}",
        "{\"a\":tru}",
        "{\"a\":True}",
        "{\"a\":nul}",
        "{\"a\":falsee}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":\"\\n\"}",
        "{\"a\":\"\\u0041\"}",
        "{\"\\u0061\":1}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\x7f\"}",
        "{\"a\":\"\xc3\xa9\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"b}",
        "{\"a\":\"b\\\"}",
        "\xef\xbb\xbf{}",
        "{\"a\":1}\f",
        "{\"a\":1}//",
        "{/**/}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"b\":{\"c\":1,\"c\":1}}",
        "{\"\":1,\"\":1}",
        "{1:2}",
        "{null:1}",
        "{\"a\":1}\v",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (compare(texts[i], strlen(texts[i])))
            fail_msg("read: %s", texts[i]);
    assert_false(compare("{\"a\":\"b\0c\"}", 11));
    assert_false(compare("{\"a\":1}\0", 8));
    assert_false(compare("{\"a\0b\":1}", 9));
    assert_false(compare("{\"a\":1\0}", 8));
}

static void every_beginning_and_every_changed_byte_of_a_document_is_read_as_the_library_reads_it(void **state)
{
    static const char text[] = "{\"a\": [1, -20, {\"bc\":\"d e\"}, true,false,null, []], \"f\":{ }, \"g\":1234}";
    char changed[sizeof text];
    (void)state;
    for (size_t len = 0; len < sizeof text - 1; len++)
        assert_false(compare(text, len));
    for (size_t at = 0; at < sizeof text - 1; at++) {
        memcpy(changed, text, sizeof text);
        for (int byte = 0; byte < 256; byte++) {
            changed[at] = (char)byte;
            (void)compare(changed, sizeof text - 1);
        }
    }
}

static char *nested(apr_pool_t *pool, size_t depth, const char *open, const char *close)
{
    return tt_print(pool, "{\"a\":%s%s}", tt_repeat(pool, open, depth - 1), tt_repeat(pool, close, depth - 1));
}

static void depth_ends_where_the_limit_is(void **state)
{
    char *deepest = nested(*state, 32, "[", "]"), *deeper = nested(*state, 33, "[", "]");
    assert_true(compare(deepest, strlen(deepest)));
    assert_false(compare(deeper, strlen(deeper)));
    deepest = tt_print(*state, "{\"a\":%s1%s}", tt_repeat(*state, "{\"a\":", 31), tt_repeat(*state, "}", 31));
    deeper = tt_print(*state, "{\"a\":%s1%s}", tt_repeat(*state, "{\"a\":", 32), tt_repeat(*state, "}", 32));
    assert_true(compare(deepest, strlen(deepest)));
    assert_false(compare(deeper, strlen(deeper)));
    /* What is beside each other is not deep. */
    deepest = tt_print(*state, "{\"a\":[%s{}]}", tt_repeat(*state, "[[]],{\"b\":{}},", 1000));
    assert_true(compare(deepest, strlen(deepest)));
}

static void names_are_plain_up_to_255_bytes(void **state)
{
    char *longest = tt_print(*state, "{\"%s\":1}", tt_repeat(*state, "n", 255));
    char *longer = tt_print(*state, "{\"%s\":[{}]}", tt_repeat(*state, "n", 256));
    assert_true(compare(longest, strlen(longest)));
    assert_false(compare(longer, strlen(longer)));
}

/* Pieces that are JSON in some orders and not in most. */
static void any_row_of_pieces_is_read_as_the_library_reads_it(void **state)
{
    static const char *const pieces[] = {"{",       "}",  "[",   "]",  ",",    ":",     "\"a\"",   "\"b\"", "\"c\":", "\"d\":1,",
                                         "1",       "-2", "0",   " ",  "true", "null",  "\"\\n\"", "1.5",   "{}",     "[]",
                                         "{\"a\":", "\"", "[1,", "\n", "12",   "false", "\\",      "e1",    "\"x y\""};
    enum { count = sizeof pieces / sizeof *pieces };
    uint64_t seed = 42;
    int read = 0;
    (void)state;
    for (int round = 0; round < 400000; round++) {
        char text[128] = "{\"a\":";
        size_t len = round % 2 ? 5 : 1;
        for (uint64_t n = tt_random(&seed) % 9; n > 0; n--) {
            const char *piece = pieces[tt_random(&seed) % count];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        text[len++] = '}';
        read += compare(text, len);
    }
    assert_true(read > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TT_TEST(what_providers_write_is_plain),
        TT_TEST(what_is_wrong_or_out_of_the_ordinary_is_left_to_the_library),
        TT_TEST(every_beginning_and_every_changed_byte_of_a_document_is_read_as_the_library_reads_it),
        TT_TEST(depth_ends_where_the_limit_is),
        TT_TEST(names_are_plain_up_to_255_bytes),
        TT_TEST(any_row_of_pieces_is_read_as_the_library_reads_it),
    };
    return TT_RUN(tests);
}
