/*
 * trh_shared.h: what lies in shared memory, and who loads it. Between the files of the life cycle.
 */
#ifndef TRH_SHARED_H
#define TRH_SHARED_H

#include <stdatomic.h>

#include <apr_global_mutex.h>
#include <apr_shm.h>

#include "trh.h"
#include "trh_body.h"
#include "tr_store.h"
#include "tr_throttle.h"

#define TRH_PRESENTED_SLOTS 4096

/* How often one revoked token was shown. */
typedef struct trh_presented_t {
    _Atomic uint64_t fingerprint;
    _Atomic int64_t said_s;  /* when it was logged last, steady clock */
    _Atomic uint64_t unsaid; /* times since */
} trh_presented_t;

/* Forged tokens of late. */
typedef struct trh_forgeries_t {
    tr_budget_t budget; /* time that was spent on them */
    tr_throttle_t throttle;
    _Atomic int64_t said_at; /* 0: never */
} trh_forgeries_t;

/* In shared memory, before the table. Times are of trh_steady_clock, microseconds. */
typedef struct trh_watch_t {
    _Atomic int64_t followed_at;  /* everything that was stored before is in the table */
    _Atomic int64_t followed_seq; /* up to this number */
    tr_store_memory_t memory;
    _Atomic int64_t tried_at;    /* sign of life of the process that follows */
    _Atomic int64_t follower;    /* its pid; 0: nobody */
    _Atomic uint32_t incomplete; /* the table lacks something for ever */
    _Atomic uint32_t superseded; /* there is a newer table, which is not written from here */
    _Atomic uint32_t full;       /* what was stored did not fit into the table */
    _Atomic uint32_t stalled;    /* it was said that following has stalled */
    _Atomic uint64_t stalls;
    _Atomic uint64_t presented; /* revoked tokens shown */
    trh_presented_t slot[TRH_PRESENTED_SLOTS];
    tr_throttle_t throttle; /* of OAuth clients */
    trh_forgeries_t forgeries;
    trh_waits_t waits;               /* of mpm_prefork */
    _Atomic int64_t clients_said_at; /* when it was logged last that the file of TokRevokeClients cannot be used; 0: never */
} trh_watch_t;

/*
 * One table, and what it was made from. In the parent it lives in a pool of its own below the process pool; the children
 * inherit it. Nothing in it points into the module, which is unloaded at restarts.
 */
typedef struct trh_shared_t {
    apr_pool_t *pool;
    apr_shm_t *shm;
    trh_watch_t *watch;
    void *base; /* of the table */
    apr_size_t size;
    uint32_t configured;     /* TokRevokeCapacity it was made for */
    tr_store_place_t *place; /* NULL: memory only */
    char id[TR_STORE_ID_LEN + 1];
    struct trh_shared_t *previous; /* read by processes of earlier generations */
} trh_shared_t;

/* For the whole life of the parent process. */
typedef struct trh_locks_t {
    apr_global_mutex_t *table;
    apr_global_mutex_t *store;
    apr_time_t wall; /* both clocks when the first table was made */
    apr_time_t passed;
} trh_locks_t;

/* Time that passes even while the machine sleeps, and that nobody can set. Microseconds. */
apr_time_t trh_steady_clock(void);

/* How long revocations must be kept. Warns of what would be kept for ever. */
void trh_measure_keep(tr_keep_t *out, apr_pool_t *pool, server_rec *main_server);

/* The watch of this process' table; NULL when there is none. */
trh_watch_t *trh_watch(void);

int trh_register_locks(apr_pool_t *pconf);
TR_MUST_CHECK apr_status_t trh_find_locks(trh_locks_t **out, server_rec *s);

/*
 * The table for this configuration: the one that is there, or a new one, loaded from place. Errors are logged. place
 * NULL: memory only.
 */
TR_MUST_CHECK apr_status_t trh_find_shared(trh_shared_t **out, trh_locks_t *locks, const tr_store_place_t *place,
                                           uint32_t capacity, apr_pool_t *ptemp, server_rec *s);

/*
 * The verified-token cache for so many tokens: the one that is there, or a new one. NULL where tokens is 0, or where there is no
 * shared memory for it, which is logged.
 */
tr_verified_t *trh_find_verified(int64_t tokens, apr_pool_t *pconf, server_rec *s);

/* In a child, before it serves: give the gates of all servers the recent-token cache. say: how that went, for debugging. */
void trh_open_recent(server_rec *main_server);
void trh_say_recent(server_rec *s);

/* With each tick of a second. */
void trh_sweep_recent(void);

/*
 * is_known: it was in use until now, so its folder must be there. Processes of httpd's user that end soon, so that the parent,
 * which is often root, never touches the files. Errors are logged.
 */
TR_MUST_CHECK apr_status_t trh_prepare_store(tr_store_facts_t *out, const tr_store_place_t *place, bool is_known,
                                             apr_pool_t *ptemp, server_rec *s);
TR_MUST_CHECK apr_status_t trh_load_store(trh_shared_t *shared, trh_locks_t *locks, const tr_store_facts_t *facts,
                                          apr_pool_t *ptemp, server_rec *s);

/* In a child: go on hearing of what others store. Several times a second. */
void trh_follow(trh_shared_t *shared, tr_store_t *store, tr_ledger_t *ledger, server_rec *s);

/* In a child, once a second, where nothing else waits: store what could not be stored before. */
void trh_retry(tr_store_t *store, server_rec *s);

/* What the gate asks before it checks a signature, and tells when that was wrong (trh_flood.c). */
bool trh_may_check(void);
void trh_was_forged(void);

/* Let another child do it at once. */
void trh_stop_following(trh_shared_t *shared);

#endif
