/*
 * tr_base64url.c: APR's decoders accept both alphabets, padding and loose trailing bits; a token must have one
 * spelling.
 */
#include "tr_base64url.h"

#include <stdint.h>

#include "tr_reason.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#define BAD 0xff

static unsigned int sextet(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (unsigned int)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (unsigned int)(c - 'a') + 26;
    }
    if (c >= '0' && c <= '9') {
        return (unsigned int)(c - '0') + 52;
    }
    if (c == '-') {
        return 62;
    }
    return c == '_' ? 63 : BAD;
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

    if (((a | b | c) & 0xc0) != 0 || loose != 0) {
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

    for (apr_size_t i = 0; i < full; i += 4) {
        unsigned int a = sextet(in.data[i]);
        unsigned int b = sextet(in.data[i + 1]);
        unsigned int c = sextet(in.data[i + 2]);
        unsigned int d = sextet(in.data[i + 3]);

        if (((a | b | c | d) & 0xc0) != 0) {
            return false;
        }
        *to++ = (unsigned char)(a << 2 | b >> 4);
        *to++ = (unsigned char)(b << 4 | c >> 2);
        *to++ = (unsigned char)(c << 6 | d);
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
