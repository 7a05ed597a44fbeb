/*
 * tr_base.h: the vocabulary every room shares: a view of bytes, and two compiler hints.
 */
#ifndef TR_BASE_H
#define TR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_time.h>

#define TR_VERSION "0.1.0" /* of the module; nothing else looks at it */

#define TR_MUST_CHECK __attribute__((warn_unused_result))
#define TR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* What another file's contract promises, for an analyzer, which reads one file at a time. Costs nothing elsewhere. */
#ifdef __clang_analyzer__
#define TR_GIVEN(x) ((x) ? (void)0 : __builtin_unreachable())
#else
#define TR_GIVEN(x) ((void)0)
#endif

/* A view of bytes. Not NUL-terminated; data may be NULL when len is 0. Owned by whoever made it. */
typedef struct tr_str_t {
    const char *data;
    apr_size_t len;
} tr_str_t;

static inline tr_str_t tr_str(const char *data, apr_size_t len)
{
    tr_str_t s = {data, len};
    return s;
}

/* Of two clocks the one that is further on: for what must not end too early by either. */
static inline apr_time_t tr_later(apr_time_t a, apr_time_t b)
{
    return a > b ? a : b;
}

/* A view of a NUL-terminated string; NULL gives the empty view. */
static inline tr_str_t tr_str_z(const char *z)
{
    return tr_str(z, z ? strlen(z) : 0);
}

/* Byte for byte, case-sensitive. Not constant-time: never for secrets. */
static inline bool tr_str_eq(tr_str_t a, tr_str_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool tr_str_eq_z(tr_str_t a, const char *z)
{
    return tr_str_eq(a, tr_str_z(z));
}

/* ASCII case folded; bytes from 0x80 on compare as they are. */
bool tr_str_eq_nocase(tr_str_t a, tr_str_t b);

/* Does s hold a control character: U+0000 to U+001F, U+007F, or U+0080 to U+009F written in UTF-8? */
bool tr_str_has_control(tr_str_t s);

/* How many bytes the well-formed UTF-8 character at the beginning of s takes (RFC 3629 4); 0: it is none, or s is empty. */
apr_size_t tr_utf8_len(tr_str_t s);

bool tr_str_is_utf8(tr_str_t s);

/* A NUL-terminated copy of s in pool. */
char *tr_str_dup_z(tr_str_t s, apr_pool_t *pool);

#endif
