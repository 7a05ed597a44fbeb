/*
 * tr_verified.c: the verified-token cache.
 *
 *   +--------------+ base, 64-byte aligned
 *   | header  64 B | magic, geometry, secret
 *   +--------------+
 *   | set 0   64 B | four marks of 16 bytes: one cache line, all that a reader looks at; 0: free
 *   | ...          |
 *   +--------------+
 *   | ends 0  16 B | when those four are of no more use, for writers
 *   | ...          |
 *   +--------------+
 *
 * There are two places for each token that is asked for. Sets do not fill evenly: with two, one token in 27 of so many finds its
 * set full; with one it would be one in five.
 */
#include "tr_verified.h"

#include <stdatomic.h>

#include "tr_digest.h"
#include "tr_limits.h"

#define MAGIC UINT64_C(0x7472766572696679)
#define LAYOUT_VERSION 1
#define HEADER_LEN 64
#define WAYS 4
#define NEVER UINT32_MAX

typedef struct place_t {
    _Atomic uint64_t h0, h1;
} place_t;

typedef struct set_t {
    place_t place[WAYS];
} set_t;

typedef struct ends_t {
    _Atomic uint32_t end_s[WAYS]; /* seconds since 1970 */
} ends_t;

typedef struct header_t {
    uint64_t magic;
    uint32_t version;
    _Atomic uint32_t tokens;
    tr_siphash_key_t secret;
} header_t;

_Static_assert(sizeof(set_t) == 64 && sizeof(ends_t) == 16 && sizeof(header_t) <= HEADER_LEN, "a set is a cache line");

struct tr_verified_t {
    set_t *set;
    ends_t *ends;
    uint32_t sets; /* copied, like secret: what lies in shared memory is not asked twice */
    tr_siphash_key_t secret;
};

static uint32_t sets_for(uint32_t tokens)
{
    return (uint32_t)(((uint64_t)tokens * 2 + WAYS - 1) / WAYS);
}

apr_size_t tr_verified_size(uint32_t tokens)
{
    return HEADER_LEN + (apr_size_t)sets_for(tokens) * (sizeof(set_t) + sizeof(ends_t));
}

static tr_verified_t *handle(void *base, uint32_t tokens, apr_pool_t *pool)
{
    const header_t *head = base;
    tr_verified_t *verified = apr_pcalloc(pool, sizeof(*verified));

    verified->sets = sets_for(tokens);
    verified->set = (set_t *)((char *)base + HEADER_LEN);
    verified->ends = (ends_t *)(verified->set + verified->sets);
    verified->secret = head->secret;
    return verified;
}

apr_status_t tr_verified_create(tr_verified_t **out, void *base, apr_size_t size, uint32_t tokens, apr_pool_t *pool)
{
    header_t *head = base;
    apr_status_t rv;

    if (tokens == 0 || tokens > TR_MAX_VERIFIED || size < tr_verified_size(tokens) || ((uintptr_t)base & 63) != 0) {
        return APR_EINVAL;
    }
    rv = tr_random(&head->secret, sizeof(head->secret));
    if (rv != APR_SUCCESS) {
        return rv;
    }
    atomic_store(&head->tokens, tokens);
    head->version = LAYOUT_VERSION;
    head->magic = MAGIC;
    *out = handle(base, tokens, pool);
    return APR_SUCCESS;
}

apr_status_t tr_verified_attach(tr_verified_t **out, void *base, apr_size_t size, apr_pool_t *pool)
{
    const header_t *head = base;
    uint32_t tokens;

    if (size < HEADER_LEN || ((uintptr_t)base & 63) != 0 || head->magic != MAGIC || head->version != LAYOUT_VERSION) {
        return APR_EINVAL;
    }
    tokens = atomic_load(&head->tokens);
    if (tokens == 0 || tokens > TR_MAX_VERIFIED || size < tr_verified_size(tokens)) {
        return APR_EINVAL;
    }
    *out = handle(base, tokens, pool);
    return APR_SUCCESS;
}

/* A key of each generation's own, so that marks of two generations have nothing in common. */
tr_mark_t tr_verified_mark(const tr_verified_t *verified, tr_str_t generation_name, tr_str_t text)
{
    tr_siphash_t h;
    uint64_t key[2];
    tr_mark_t mark;

    tr_siphash_init(&h, &verified->secret);
    tr_siphash_feed(&h, generation_name.data, generation_name.len);
    tr_siphash_done(key, &h);
    tr_siphash_init(&h, &(tr_siphash_key_t){key[0], key[1]});
    tr_siphash_feed(&h, text.data, text.len);
    tr_siphash_done(mark.h, &h);
    return mark;
}

static inline uint32_t home_of(const tr_verified_t *verified, tr_mark_t mark)
{
    return (uint32_t)((mark.h[0] >> 32) * verified->sets >> 32);
}

static inline bool holds(const place_t *place, tr_mark_t mark)
{
    return atomic_load_explicit(&place->h0, memory_order_relaxed) == mark.h[0] &&
           atomic_load_explicit(&place->h1, memory_order_relaxed) == mark.h[1];
}

static bool set_holds(const set_t *set, tr_mark_t mark)
{
    for (int i = 0; i < WAYS; i++) {
        if (holds(&set->place[i], mark)) {
            return true;
        }
    }
    return false;
}

/* What a free place holds is no token's mark. */
static inline bool is_free(tr_mark_t mark)
{
    return (mark.h[0] | mark.h[1]) == 0;
}

/* A mark says all it says by its own bits, so that nothing need be seen before it: no order is asked of its words. */
bool tr_verified_has(const tr_verified_t *verified, tr_mark_t mark)
{
    return !is_free(mark) && set_holds(&verified->set[home_of(verified, mark)], mark);
}

static uint32_t seconds(int64_t time_s)
{
    return time_s < 0 ? 0 : time_s < (int64_t)NEVER ? (uint32_t)time_s : NEVER;
}

/*
 * One that is free or has expired. Else of two, as chance has it, the one that will expire first: always the first of all would
 * leave the places to tokens with a long life that nobody uses any more.
 */
static int choose(const set_t *set, const ends_t *ends, tr_mark_t mark, int64_t now_s)
{
    uint64_t chance = mark.h[1] + (uint64_t)now_s;
    int a = (int)(chance % WAYS);
    int b = (a + 1 + (int)(chance / WAYS % (WAYS - 1))) % WAYS;
    uint32_t end_s[WAYS];

    for (int i = 0; i < WAYS; i++) {
        end_s[i] = atomic_load_explicit(&ends->end_s[i], memory_order_relaxed);
        if (holds(&set->place[i], (tr_mark_t){{0, 0}}) || (int64_t)end_s[i] <= now_s) {
            return i;
        }
    }
    return end_s[a] <= end_s[b] ? a : b;
}

void tr_verified_put(const tr_verified_t *verified, tr_mark_t mark, int64_t expires_s, int64_t now_s)
{
    uint32_t home = home_of(verified, mark);
    set_t *set = &verified->set[home];
    int way;

    if (set_holds(set, mark)) {
        return;
    }
    way = choose(set, &verified->ends[home], mark, now_s);
    atomic_store_explicit(&verified->ends[home].end_s[way], seconds(expires_s), memory_order_relaxed);
    atomic_store_explicit(&set->place[way].h0, mark.h[0], memory_order_relaxed);
    atomic_store_explicit(&set->place[way].h1, mark.h[1], memory_order_relaxed);
}
