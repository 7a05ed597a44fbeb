/*
 * tr_base64url.c: APR's decoders accept both alphabets, padding and loose trailing bits; a token must have one
 * spelling.
 */
#include "tr_base64url.h"

#include <stdint.h>

#include "tr_reason.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* A character's value and one more; 0: no character of the alphabet. Comparing would guess wrong at most characters. */
static const unsigned char place[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,  ['I'] = 9,  ['J'] = 10,
    ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20,
    ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30,
    ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50,
    ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60,
    ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

#define FOREIGN 0xc0u /* bits that no value has, and the one below 0 has */

static unsigned int sextet(char c)
{
    return place[(unsigned char)c] - 1u;
}

/*
 * The 2 or 3 characters after the last full group of 4. False: a foreign character, or bits beyond the last byte are
 * not 0.
 */
static bool decode_tail(unsigned char *to, const char *from, apr_size_t n)
{
    unsigned int a = sextet(from[0]);
    unsigned int b = sextet(from[1]);
    unsigned int c = n == 3 ? sextet(from[2]) : 0;
    unsigned int loose = n == 3 ? c & 0x03 : b & 0x0f;

    if (((a | b | c) & FOREIGN) != 0 || loose != 0) {
        return false;
    }
    to[0] = (unsigned char)(a << 2 | b >> 4);
    if (n == 3) {
        to[1] = (unsigned char)(b << 4 | c >> 2);
    }
    return true;
}

static bool decode(unsigned char *to, tr_str_t in)
{
    apr_size_t full = in.len / 4 * 4;
    apr_size_t rest = in.len - full;
    unsigned int all = 0;

    for (apr_size_t i = 0; i < full; i += 4) {
        unsigned int a = sextet(in.data[i]);
        unsigned int b = sextet(in.data[i + 1]);
        unsigned int c = sextet(in.data[i + 2]);
        unsigned int d = sextet(in.data[i + 3]);

        all |= a | b | c | d;
        *to++ = (unsigned char)(a << 2 | b >> 4);
        *to++ = (unsigned char)(b << 4 | c >> 2);
        *to++ = (unsigned char)(c << 6 | d);
    }
    if ((all & FOREIGN) != 0) {
        return false;
    }
    return rest == 0 || (rest != 1 && decode_tail(to, in.data + full, rest));
}

apr_status_t tr_base64url_decode(tr_str_t *out, tr_str_t in, apr_pool_t *pool)
{
    apr_size_t len = in.len / 4 * 3 + (in.len % 4 > 1 ? in.len % 4 - 1 : 0);
    unsigned char *buf = apr_palloc(pool, len + 1);

    if (!decode(buf, in)) {
        return TR_MALFORMED;
    }
    buf[len] = '\0';
    *out = tr_str((const char *)buf, len);
    return APR_SUCCESS;
}

char *tr_base64url_encode(tr_str_t in, apr_pool_t *pool)
{
    const unsigned char *p = (const unsigned char *)in.data;
    char *out = apr_palloc(pool, in.len / 3 * 4 + 5);
    char *to = out;
    uint32_t bits = 0;
    int have = 0;

    for (apr_size_t i = 0; i < in.len; i++) {
        bits = bits << 8 | p[i];
        for (have += 8; have >= 6; have -= 6) {
            *to++ = alphabet[bits >> (have - 6) & 0x3f];
        }
    }
    if (have > 0) {
        *to++ = alphabet[bits << (6 - have) & 0x3f];
    }
    *to = '\0';
    return out;
}
