/*
 * tr_recent.c: the tokens that this process has just seen. Slots stand in sets of 8, with their tags in one cache line:
 *
 *   tags    8 words   8 bytes of the token's end, mixed with gate and generation: nearly always one look is enough
 *   slot    state     VALID | WRITING | count of holders
 *           entry     the token with all that was read from it (tr_remembered.h)
 *   seen    one word for each of many tags: who came once
 *
 *   read    count in (+1) -> was it VALID? the same bytes? -> held until the pool goes, else count out (-1)
 *   write   VALID or empty, and nobody in: -> WRITING -> new entry, new tag -> VALID
 *
 * Who counts himself in while a slot is written sees WRITING, touches nothing and counts himself out, so the writer's last step
 * adds, and leaves others in the count. That step releases the entry to those who count themselves in later; the count out of the
 * last holder hands it to the next writer.
 */
#include "tr_recent.h"

#include <stdint.h>
#include <stdlib.h>

#include "tr_limits.h"
#include "tr_remembered.h"

#define WAYS 8
#define SEEN_A_SLOT 4 /* tags remembered of those who came once */
#define MAX_EVICTED 64
#define TAIL_LEN 8
#define LINE 64  /* bytes of a cache line */
#define ARRAYS 3 /* tag, slot, seen */

#define VALID 0x80000000u
#define WRITING 0x40000000u
#define HOLDERS (~(VALID | WRITING))

typedef struct slot_t {
    _Alignas(64) _Atomic uint32_t state;
    _Atomic uint32_t was_used; /* since somebody last looked for a place here */
    _Atomic uint64_t hits;
    tr_remembered_t *entry; /* for holders, and the one that writes */
} slot_t;

struct tr_recent_t {
    _Atomic uint64_t *tag;
    slot_t *slot;
    _Atomic uint32_t *seen;
    uint32_t slots;   /* a power of 2, as is that of sets */
    apr_size_t limit; /* bytes */
    _Atomic apr_size_t used;
    _Atomic uint64_t kept;
    _Atomic uint32_t hand;  /* where the next is evicted for want of bytes */
    _Atomic uint32_t broom; /* where the next sweep begins */
    void *block[ARRAYS];
};

/* ---- making ------------------------------------------------------------------------------------------------ */

static uint32_t power_of_two(uint32_t at_least)
{
    uint32_t n = WAYS;

    while (n < at_least) {
        n *= 2;
    }
    return n;
}

/* Zeros that take no memory before they are used; at *block, which is to be freed. */
static void *make_array(void **block, apr_size_t count, apr_size_t size)
{
    *block = calloc(1, count * size + LINE);
    return *block != NULL ? (char *)*block + (-(uintptr_t)*block & (LINE - 1)) : NULL;
}

tr_recent_t *tr_recent_make(uint32_t slots, apr_size_t bytes)
{
    tr_recent_t *recent = calloc(1, sizeof(*recent));

    if (recent == NULL || slots == 0 || slots > TR_MAX_RECENT) {
        free(recent);
        return NULL;
    }
    recent->slots = power_of_two(slots);
    recent->limit = bytes;
    recent->tag = make_array(&recent->block[0], recent->slots, sizeof(recent->tag[0]));
    recent->slot = make_array(&recent->block[1], recent->slots, sizeof(recent->slot[0]));
    recent->seen = make_array(&recent->block[2], (apr_size_t)recent->slots * SEEN_A_SLOT, sizeof(recent->seen[0]));
    if (recent->tag == NULL || recent->slot == NULL || recent->seen == NULL) {
        recent->slots = recent->slot != NULL ? recent->slots : 0;
        tr_recent_free(recent);
        return NULL;
    }
    return recent;
}

void tr_recent_free(tr_recent_t *recent)
{
    for (uint32_t i = 0; i < recent->slots; i++) {
        if (recent->slot[i].entry != NULL) {
            tr_remembered_free(recent->slot[i].entry);
        }
    }
    for (int i = 0; i < ARRAYS; i++) {
        free(recent->block[i]);
    }
    free(recent);
}

/* ---- finding ----------------------------------------------------------------------------------------------- */

/*
 * The end of a token is the end of its signature: as good as random, and only tokens whose signature was good are kept. Nothing
 * rests on it: the bytes are compared. Never 0.
 */
static inline uint64_t tag_of(const tr_gate_t *gate, uint64_t number, tr_str_t text)
{
    uint64_t tag;

    memcpy(&tag, text.data + text.len - TAIL_LEN, TAIL_LEN);
    tag ^= (uint64_t)(uintptr_t)gate + number * UINT64_C(0x9e3779b97f4a7c15);
    tag *= UINT64_C(0xbf58476d1ce4e5b9);
    tag ^= tag >> 32;
    tag *= UINT64_C(0x94d049bb133111eb);
    return (tag ^ tag >> 29) | 1;
}

static inline uint32_t set_of(const tr_recent_t *recent, uint64_t tag)
{
    return (uint32_t)(tag >> 32) & (recent->slots - 1) & ~(uint32_t)(WAYS - 1);
}

static inline bool is_of_size(tr_str_t text)
{
    return text.len >= TAIL_LEN && text.len <= TR_MAX_RECENT_TOKEN_LEN;
}

static inline void let_go(slot_t *slot)
{
    atomic_fetch_sub_explicit(&slot->state, 1, memory_order_release);
}

static inline bool hold(slot_t *slot)
{
    if ((atomic_fetch_add_explicit(&slot->state, 1, memory_order_acquire) & VALID) != 0) {
        return true;
    }
    let_go(slot);
    return false;
}

/* Of a slot that is held. */
static inline bool is_it(const slot_t *slot, const tr_gate_t *gate, uint64_t number, tr_str_t text, const char *user_claim)
{
    const tr_remembered_t *entry = slot->entry;

    return entry->gate == gate && entry->number == number && tr_str_eq(entry->identity.token.jws.text, text) &&
           strcmp(entry->user_claim, user_claim) == 0;
}

/* Its slot, held; NULL: it is not there. */
static slot_t *find(tr_recent_t *recent, uint64_t tag, const tr_gate_t *gate, uint64_t number, tr_str_t text,
                    const char *user_claim)
{
    uint32_t first = set_of(recent, tag);

    for (uint32_t i = first; i < first + WAYS; i++) {
        if (atomic_load_explicit(&recent->tag[i], memory_order_relaxed) != tag || !hold(&recent->slot[i])) {
            continue;
        }
        if (is_it(&recent->slot[i], gate, number, text, user_claim)) {
            return &recent->slot[i];
        }
        let_go(&recent->slot[i]);
    }
    return NULL;
}

static apr_status_t release(void *slot)
{
    let_go(slot);
    return APR_SUCCESS;
}

const tr_identity_t *tr_recent_find(tr_recent_t *recent, const tr_gate_t *gate, uint64_t number, tr_str_t text,
                                    const char *user_claim, apr_pool_t *pool)
{
    slot_t *slot = is_of_size(text) ? find(recent, tag_of(gate, number, text), gate, number, text, user_claim) : NULL;

    if (slot == NULL) {
        return NULL;
    }
    apr_pool_cleanup_register(pool, slot, release, apr_pool_cleanup_null);
    atomic_store_explicit(&slot->hits, atomic_load_explicit(&slot->hits, memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_store_explicit(&slot->was_used, 1, memory_order_relaxed);
    return &slot->entry->identity;
}

/* ---- remembering ------------------------------------------------------------------------------------------- */

/* Has it come before, not too long ago? */
static bool was_seen(tr_recent_t *recent, uint64_t tag)
{
    _Atomic uint32_t *seen = &recent->seen[(tag >> 8) & (recent->slots * SEEN_A_SLOT - 1)];
    uint32_t mark = (uint32_t)(tag >> 32);

    if (atomic_load_explicit(seen, memory_order_relaxed) == mark) {
        return true;
    }
    atomic_store_explicit(seen, mark, memory_order_relaxed);
    return false;
}

static bool is_there(tr_recent_t *recent, uint64_t tag, const tr_gate_t *gate, uint64_t number, tr_str_t text,
                     const char *user_claim)
{
    slot_t *slot = find(recent, tag, gate, number, text, user_claim);

    if (slot != NULL) {
        let_go(slot);
    }
    return slot != NULL;
}

static bool take_bytes(tr_recent_t *recent, apr_size_t size)
{
    if (atomic_fetch_add(&recent->used, size) + size <= recent->limit) {
        return true;
    }
    atomic_fetch_sub(&recent->used, size);
    return false;
}

void tr_recent_charge(tr_recent_t *recent, apr_size_t size)
{
    atomic_fetch_add(&recent->used, size);
}

void tr_recent_return_bytes(tr_recent_t *recent, apr_size_t size)
{
    atomic_fetch_sub(&recent->used, size);
}

/* True: the slot is ours to write, until it is opened again. */
static bool claim(slot_t *slot)
{
    uint32_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);

    return (state & ~VALID) == 0 &&
           atomic_compare_exchange_strong_explicit(&slot->state, &state, WRITING, memory_order_acquire, memory_order_relaxed);
}

/* Put entry (NULL: nothing) into a slot that was claimed. Returns what was there. */
static tr_remembered_t *reopen(tr_recent_t *recent, uint32_t i, tr_remembered_t *entry, uint64_t tag)
{
    tr_remembered_t *before = recent->slot[i].entry;
    uint32_t change = entry != NULL ? VALID - WRITING : 0 - WRITING;

    recent->slot[i].entry = entry;
    atomic_store_explicit(&recent->tag[i], tag, memory_order_relaxed);
    atomic_store_explicit(&recent->slot[i].was_used, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&recent->slot[i].state, change, memory_order_release);
    return before;
}

static void discard(tr_recent_t *recent, tr_remembered_t *entry)
{
    if (entry != NULL) {
        tr_recent_return_bytes(recent, atomic_load(&entry->size));
        tr_remembered_free(entry);
    }
}

/* An empty slot; or one that nobody used since somebody last looked here; or any. False: all are held. */
static bool claim_one(uint32_t *out, tr_recent_t *recent, uint64_t tag)
{
    uint32_t first = set_of(recent, tag);

    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < WAYS; i++) {
            slot_t *slot = &recent->slot[first + (i + (uint32_t)(tag >> 1)) % WAYS];
            bool is_empty = (atomic_load_explicit(&slot->state, memory_order_relaxed) & VALID) == 0;
            bool may_go =
                round == 2 || is_empty || (round == 1 && atomic_exchange_explicit(&slot->was_used, 0, memory_order_relaxed) == 0);

            if (may_go && claim(slot)) {
                *out = (uint32_t)(slot - recent->slot);
                return true;
            }
        }
    }
    return false;
}

/* Those that nobody used since the hand last came by go first; a few steps, then any. */
bool tr_recent_find_bytes(tr_recent_t *recent, apr_size_t size)
{
    for (int i = 0; i < MAX_EVICTED; i++) {
        uint32_t hand;
        bool may_go;

        if (take_bytes(recent, size)) {
            return true;
        }
        hand = atomic_fetch_add_explicit(&recent->hand, 1, memory_order_relaxed) & (recent->slots - 1);
        may_go = i >= MAX_EVICTED / 2 || atomic_exchange_explicit(&recent->slot[hand].was_used, 0, memory_order_relaxed) == 0;
        if (may_go && claim(&recent->slot[hand])) {
            discard(recent, reopen(recent, hand, NULL, 0));
        }
    }
    return false;
}

/* An entry with its bytes in the budget; NULL: there is none. */
static tr_remembered_t *make_entry(tr_recent_t *recent, const tr_gate_t *gate, uint64_t number, const tr_identity_t *identity,
                                   const char *user_claim, apr_pool_t *pool)
{
    tr_remembered_t *entry = tr_remembered_make(identity, gate, number, user_claim, recent, pool);

    if (entry != NULL && !tr_recent_find_bytes(recent, atomic_load(&entry->size))) {
        tr_remembered_free(entry);
        return NULL;
    }
    return entry;
}

void tr_recent_put(tr_recent_t *recent, const tr_gate_t *gate, uint64_t number, const tr_identity_t *identity,
                   const char *user_claim, apr_pool_t *pool)
{
    tr_str_t text = identity->token.jws.text;
    uint64_t tag = is_of_size(text) ? tag_of(gate, number, text) : 0;
    tr_remembered_t *entry;
    uint32_t i;

    if (tag == 0 || !was_seen(recent, tag) || is_there(recent, tag, gate, number, text, user_claim)) {
        return;
    }
    entry = make_entry(recent, gate, number, identity, user_claim, pool);
    if (entry == NULL) {
        return;
    }
    if (!claim_one(&i, recent, tag)) {
        discard(recent, entry);
        return;
    }
    discard(recent, reopen(recent, i, entry, tag));
    atomic_fetch_add_explicit(&recent->kept, 1, memory_order_relaxed);
}

/* Nobody can find it again, or everybody who does is told that it has expired. */
static bool is_dead(const tr_remembered_t *entry, apr_time_t now)
{
    return entry->number != tr_generation_number(entry->gate->generation) ||
           tr_token_check_expiry(&entry->identity.token, now) != APR_SUCCESS;
}

/* Between the look at an entry and the claim of its slot another may have come there. */
static void drop_if_dead(tr_recent_t *recent, uint32_t i, apr_time_t now)
{
    slot_t *slot = &recent->slot[i];
    bool was_dead;

    if ((atomic_load_explicit(&slot->state, memory_order_relaxed) & VALID) == 0 || !hold(slot)) {
        return;
    }
    was_dead = is_dead(slot->entry, now);
    let_go(slot);
    if (was_dead && claim(slot)) {
        if (slot->entry == NULL || is_dead(slot->entry, now)) {
            discard(recent, reopen(recent, i, NULL, 0));
        }
        else {
            (void)reopen(recent, i, slot->entry, atomic_load_explicit(&recent->tag[i], memory_order_relaxed));
        }
    }
}

void tr_recent_sweep(tr_recent_t *recent, apr_time_t now)
{
    uint32_t count = (recent->slots + TR_RECENT_SWEEPS - 1) / TR_RECENT_SWEEPS;
    uint32_t first = atomic_fetch_add_explicit(&recent->broom, count, memory_order_relaxed);

    for (uint32_t n = 0; n < count; n++) {
        drop_if_dead(recent, (first + n) & (recent->slots - 1), now);
    }
}

void tr_recent_stats(tr_recent_stats_t *out, const tr_recent_t *recent)
{
    memset(out, 0, sizeof(*out));
    out->kept = atomic_load(&recent->kept);
    out->bytes = atomic_load(&recent->used);
    for (uint32_t i = 0; i < recent->slots; i++) {
        uint32_t state = atomic_load(&recent->slot[i].state);

        out->hits += atomic_load(&recent->slot[i].hits);
        out->entries += (state & VALID) != 0;
        out->held += state & HOLDERS;
    }
}
