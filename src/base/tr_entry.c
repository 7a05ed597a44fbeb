/* tr_entry.c: the mark of a revocation. */
#include "tr_entry.h"

static void feed_len(tr_siphash_t *h, apr_size_t len)
{
    uint64_t n = len;
    unsigned char le[8];

    for (int i = 0; i < 8; i++) {
        le[i] = (unsigned char)(n >> (8 * i));
    }
    tr_siphash_feed(h, le, sizeof(le));
}

tr_mark_t tr_mark(const tr_siphash_key_t *key, tr_kind_t kind, tr_str_t issuer, tr_str_t value)
{
    tr_siphash_t h;
    tr_mark_t mark = {{0}};

    tr_siphash_init(&h, key);
    feed_len(&h, (apr_size_t)kind);
    feed_len(&h, issuer.len);
    tr_siphash_feed(&h, issuer.data, issuer.len);
    feed_len(&h, value.len);
    tr_siphash_feed(&h, value.data, value.len);
    tr_siphash_done(mark.h, &h);
    return mark;
}

const char *tr_kind_name(tr_kind_t kind)
{
    static const char *const names[TR_KINDS] = {"token",  "session", "subject", "client", "issuer",
                                                "digest", "opaque",  "family",  "member", "logout"};

    return names[kind];
}

bool tr_kind_is_revocation(tr_kind_t kind)
{
    return kind != TR_KIND_MEMBER && kind != TR_KIND_LOGOUT;
}

bool tr_kind_has_cut_off(tr_kind_t kind)
{
    return kind == TR_KIND_SESSION || kind == TR_KIND_SUBJECT || kind == TR_KIND_CLIENT || kind == TR_KIND_ISSUER ||
           kind == TR_KIND_MEMBER;
}

bool tr_kind_has_digest(tr_kind_t kind)
{
    return kind == TR_KIND_DIGEST || kind == TR_KIND_OPAQUE;
}
