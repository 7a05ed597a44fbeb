/*
 * tr_throttle.c: a small hash table of counters. A new pair takes the place of one whose time is over, else of the one with the
 * fewest failures nearby, so that whoever has many cannot be washed out by names that are made up.
 */
#include "tr_throttle.h"

#include "tr_digest.h"

#define NEAR 8 /* places looked at for one pair */
#define COUNT_BITS 24
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

tr_str_t tr_throttle_network(const void *address, apr_size_t len)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    if (len == 16 && memcmp(address, mapped, sizeof(mapped)) == 0) {
        return tr_str((const char *)address + sizeof(mapped), 4);
    }
    return tr_str(address, len == 16 ? 8 : len);
}

/* One word of the key; where there is no randomness it stays 0, and only the aiming gets easier. */
static uint64_t key_word(_Atomic uint64_t *word)
{
    uint64_t here = atomic_load(word);
    uint64_t fresh = 0;

    if (here == 0 && tr_random(&fresh, sizeof(fresh)) == APR_SUCCESS && atomic_compare_exchange_strong(word, &here, fresh)) {
        return fresh;
    }
    return here;
}

uint64_t tr_throttle_who(tr_throttle_t *throttle, tr_str_t network, tr_str_t id)
{
    tr_siphash_key_t key = {key_word(&throttle->key[0]), key_word(&throttle->key[1])};
    uint64_t len = network.len;
    uint64_t out[2];
    tr_siphash_t h;

    tr_siphash_init(&h, &key);
    tr_siphash_feed(&h, &len, sizeof(len));
    tr_siphash_feed(&h, network.data, network.len);
    tr_siphash_feed(&h, id.data, id.len);
    tr_siphash_done(out, &h);
    return out[0] != 0 ? out[0] : 1;
}

static uint64_t count_of(uint64_t failures, int64_t now_s)
{
    return now_s - (int64_t)(failures >> COUNT_BITS) < TR_THROTTLE_WINDOW_S ? failures & COUNT_MASK : 0;
}

static tr_throttle_slot_t *place(tr_throttle_t *throttle, uint64_t who, uint64_t i)
{
    return &throttle->slot[(who + i) % TR_THROTTLE_SLOTS];
}

/* The pair's slot; NULL: it has none. */
static tr_throttle_slot_t *find(tr_throttle_t *throttle, uint64_t who)
{
    for (uint64_t i = 0; i < NEAR; i++) {
        if (atomic_load(&place(throttle, who, i)->who) == who) {
            return place(throttle, who, i);
        }
    }
    return NULL;
}

/* A slot for a new pair. NULL: another process took it in this moment. */
static tr_throttle_slot_t *claim(tr_throttle_t *throttle, uint64_t who, int64_t now_s)
{
    tr_throttle_slot_t *least = place(throttle, who, 0);
    uint64_t before;

    for (uint64_t i = 1; i < NEAR; i++) {
        tr_throttle_slot_t *other = place(throttle, who, i);

        if (count_of(atomic_load(&other->failures), now_s) < count_of(atomic_load(&least->failures), now_s)) {
            least = other;
        }
    }
    before = atomic_load(&least->who);
    if (!atomic_compare_exchange_strong(&least->who, &before, who)) {
        return NULL;
    }
    atomic_store(&least->failures, 0);
    return least;
}

int tr_throttle_wait_s(tr_throttle_t *throttle, uint64_t who, int64_t now_s)
{
    tr_throttle_slot_t *slot = find(throttle, who);
    uint64_t failures = slot != NULL ? atomic_load(&slot->failures) : 0;

    if (count_of(failures, now_s) < TR_THROTTLE_LIMIT) {
        return 0;
    }
    return (int)((int64_t)(failures >> COUNT_BITS) + TR_THROTTLE_WINDOW_S - now_s);
}

bool tr_throttle_fail(tr_throttle_t *throttle, uint64_t who, int64_t now_s)
{
    tr_throttle_slot_t *slot = find(throttle, who);
    uint64_t before, after;

    if (slot == NULL) {
        slot = claim(throttle, who, now_s);
    }
    if (slot == NULL) {
        return false;
    }
    before = atomic_load(&slot->failures);
    do {
        uint64_t count = count_of(before, now_s);

        if (count >= TR_THROTTLE_LIMIT) {
            return false;
        }
        after = count > 0 ? before + 1 : (uint64_t)now_s << COUNT_BITS | 1;
    } while (!atomic_compare_exchange_weak(&slot->failures, &before, after));
    return (after & COUNT_MASK) == TR_THROTTLE_LIMIT;
}

void tr_throttle_forgive(tr_throttle_t *throttle, uint64_t who)
{
    tr_throttle_slot_t *slot = find(throttle, who);

    if (slot != NULL) {
        atomic_store(&slot->failures, 0);
    }
}

void tr_budget_spend(tr_budget_t *budget, int64_t us, int64_t now_us)
{
    int64_t before = atomic_load(&budget->paid_until);
    int64_t after;

    do {
        after = (before > now_us ? before : now_us) + (us > 0 ? us : 0);
        after = after < now_us + TR_BUDGET_MOST_US ? after : now_us + TR_BUDGET_MOST_US;
    } while (!atomic_compare_exchange_weak(&budget->paid_until, &before, after));
}

bool tr_budget_is_spent(const tr_budget_t *budget, int64_t now_us)
{
    return atomic_load(&budget->paid_until) > now_us + TR_BUDGET_AHEAD_US;
}
