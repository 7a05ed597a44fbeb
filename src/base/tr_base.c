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

char *tr_str_dup_z(tr_str_t s, apr_pool_t *pool)
{
    char *z = apr_palloc(pool, s.len + 1);

    if (s.len > 0) {
        memcpy(z, s.data, s.len);
    }
    z[s.len] = '\0';
    return z;
}
