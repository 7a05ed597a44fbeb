/* tr_thread.c: see tr_thread.h. One key of the thread library for all rooms: a process has only 1,024. */
#include "tr_thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <apr_time.h>
#include <openssl/crypto.h>

#define FREE_POLL apr_time_from_msec(1)
#define MAX_FREE_POLLS 1000

typedef struct kept_t {
    void *thing[TR_THREAD_PLACES];
    tr_thread_free_fn free_thing[TR_THREAD_PLACES];
} kept_t;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static atomic_bool has_key;

/* A process that is told to end at once calls exit() while its threads end, and that may not end OpenSSL under their hands. */
static atomic_int freeing; /* threads that are about it */
static atomic_bool is_over;

/* A thread may end after exit() has ended OpenSSL, whose locks are gone then; the memory goes with the process. */
static bool is_openssl_alive(void)
{
    return OPENSSL_init_crypto(0, NULL) == 1;
}

static void free_all(void *data)
{
    kept_t *all = data;

    atomic_fetch_add(&freeing, 1);
    if (!atomic_load(&is_over) && is_openssl_alive()) {
        for (int place = 0; place < TR_THREAD_PLACES; place++) {
            if (all->thing[place] != NULL) {
                all->free_thing[place](all->thing[place]);
            }
        }
        free(all);
    }
    atomic_fetch_sub(&freeing, 1);
}

/* A child that was forked meanwhile counts threads that it does not have: so nobody is waited for without end. */
static void end_freeing(void)
{
    atomic_store(&is_over, true);
    for (int polls = 0; atomic_load(&freeing) > 0 && polls < MAX_FREE_POLLS; polls++) {
        apr_sleep(FREE_POLL);
    }
}

/* exit() calls first what was registered last; OpenSSL registers its own end when it begins, which asking for nothing does not. */
static bool begin_openssl(void)
{
    return OPENSSL_init_crypto(OPENSSL_INIT_ADD_ALL_DIGESTS, NULL) == 1;
}

static void make_key(void)
{
    has_key = begin_openssl() && atexit(end_freeing) == 0 && pthread_key_create(&key, free_all) == 0;
}

static kept_t *all_kept(void)
{
    pthread_once(&once, make_key);
    return has_key ? pthread_getspecific(key) : NULL;
}

void *tr_thread_kept(tr_thread_place_t place)
{
    const kept_t *all = all_kept();

    return all != NULL ? all->thing[place] : NULL;
}

bool tr_thread_keep(tr_thread_place_t place, void *kept, tr_thread_free_fn free_kept)
{
    kept_t *all = all_kept();

    if (all == NULL) {
        all = has_key ? calloc(1, sizeof(*all)) : NULL;
        if (all == NULL) {
            return false;
        }
        if (pthread_setspecific(key, all) != 0) {
            free(all);
            return false;
        }
    }
    all->thing[place] = kept;
    all->free_thing[place] = free_kept;
    return true;
}

void tr_thread_forget(void)
{
    kept_t *all = all_kept();

    if (all != NULL && is_openssl_alive() && pthread_setspecific(key, NULL) == 0) {
        free_all(all);
    }
}

/* The module is unloaded at restarts: no thread that ends later may be sent into code that is not there any more. */
__attribute__((destructor)) static void unload(void)
{
    if (has_key) {
        tr_thread_forget();
        has_key = false;
        pthread_key_delete(key);
    }
}
