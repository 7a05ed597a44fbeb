/* tr_base.c: comparing and copying views of bytes. */
#include "tr_base.h"

static unsigned char fold(char c)
{
    return (unsigned char)((c >= 'A' && c <= 'Z') ? c - 'A' + 'a' : c);
}

bool tr_str_eq_nocase(tr_str_t a, tr_str_t b)
{
    if (a.len != b.len) {
        return false;
    }
    for (apr_size_t i = 0; i < a.len; i++) {
        if (fold(a.data[i]) != fold(b.data[i])) {
            return false;
        }
    }
    return true;
}

bool tr_str_has_control(tr_str_t s)
{
    const unsigned char *p = (const unsigned char *)s.data;

    for (apr_size_t i = 0; i < s.len; i++) {
        if (p[i] < 0x20 || p[i] == 0x7f) {
            return true;
        }
        /* U+0080 to U+009F are C2 80 to C2 9F: terminals act on them. */
        if (p[i] == 0xc2 && i + 1 < s.len && p[i + 1] < 0xa0) {
            return true;
        }
    }
    return false;
}

static bool is_continued(const unsigned char *p, apr_size_t len)
{
    for (apr_size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return false;
        }
    }
    return true;
}

apr_size_t tr_utf8_len(tr_str_t s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    apr_size_t len;

    if (s.len == 0) {
        return 0;
    }
    len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (len == 0 || len > s.len || !is_continued(p, len)) {
        return 0;
    }
    /* Written longer than need be, surrogates, beyond U+10FFFF. */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f)) {
        return 0;
    }
    return len;
}

bool tr_str_is_utf8(tr_str_t s)
{
    while (s.len > 0) {
        apr_size_t len = tr_utf8_len(s);

        if (len == 0) {
            return false;
        }
        s = tr_str(s.data + len, s.len - len);
    }
    return true;
}

char *tr_str_dup_z(tr_str_t s, apr_pool_t *pool)
{
    char *z = apr_palloc(pool, s.len + 1);

    if (s.len > 0) {
        memcpy(z, s.data, s.len);
    }
    z[s.len] = '\0';
    return z;
}
