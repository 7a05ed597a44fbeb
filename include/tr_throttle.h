/*
 * tr_throttle.h: how often somebody was wrong of late, in memory that all processes share (RFC 6749 2.3.1: protect the secrets
 * against brute force). Approximate; never locks, never waits. All zero is a good beginning.
 */
#ifndef TR_THROTTLE_H
#define TR_THROTTLE_H

#include <stdatomic.h>
#include <stdint.h>

#include "tr_base.h"

#define TR_THROTTLE_SLOTS 2048
#define TR_THROTTLE_LIMIT 100   /* failures ... */
#define TR_THROTTLE_WINDOW_S 60 /* ... in so many seconds, from the first */

typedef struct tr_throttle_slot_t {
    _Atomic uint64_t who;
    _Atomic uint64_t failures; /* second of the first one << 24 | how many */
} tr_throttle_slot_t;

typedef struct tr_throttle_t {
    _Atomic uint64_t key[2]; /* random, so that nobody can aim at another's slot; made by whoever comes first */
    tr_throttle_slot_t slot[TR_THROTTLE_SLOTS];
} tr_throttle_t;

/* The part of an address (4 or 16 bytes) that one caller cannot change at will: all of IPv4, the first 64 bits of IPv6. */
tr_str_t tr_throttle_network(const void *address, apr_size_t len);

/* Names the pair. Never 0. */
uint64_t tr_throttle_who(tr_throttle_t *throttle, tr_str_t network, tr_str_t id);

/* 0: may try. Else the seconds to wait. now_s: any clock that is the same in all processes and never goes back. */
int tr_throttle_wait_s(tr_throttle_t *throttle, uint64_t who, int64_t now_s);

/* Count a failure. True: it was the one that reached the limit. */
bool tr_throttle_fail(tr_throttle_t *throttle, uint64_t who, int64_t now_s);

/* Forget who's failures. */
void tr_throttle_forgive(tr_throttle_t *throttle, uint64_t who);

/* ---- time ---------------------------------------------------------------------------------------------------- */

#define TR_BUDGET_AHEAD_US INT64_C(1000000) /* so much may be spent at once ... */
#define TR_BUDGET_MOST_US INT64_C(5000000)  /* ... and what is more than this is forgiven */

/* Time that all processes together may spend on something: as much as passes. All zero is a good beginning. */
typedef struct tr_budget_t {
    _Atomic int64_t paid_until;
} tr_budget_t;

/* now_us: as above. */
void tr_budget_spend(tr_budget_t *budget, int64_t us, int64_t now_us);
bool tr_budget_is_spent(const tr_budget_t *budget, int64_t now_us);

#endif
