/* tr_thread.c: see tr_thread.h. One key of the thread library for all rooms: a process has only 1,024. */
#include "tr_thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <apr_time.h>
#include <openssl/crypto.h>

#define PLACES_LOG2 6
#define PLACES (1 << PLACES_LOG2)
#define LEAVE_POLL 100 /* microseconds */
#define MAX_LEAVE_POLLS 10000

typedef struct kept_t {
    void *thing[TR_THREAD_PLACES];
    tr_thread_free_fn free_thing[TR_THREAD_PLACES];
} kept_t;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static atomic_bool has_key;

/* How many threads are in OpenSSL: a few counts, so that they seldom change the same one. */
static struct {
    _Alignas(64) atomic_int threads;
} inside[PLACES];
static _Thread_local int depth; /* how often the calling thread is in there */
static atomic_bool is_over;

/* A thread may end after OpenSSL has, whose locks are gone then; the memory goes with the process. */
static bool is_openssl_alive(void)
{
    return OPENSSL_init_crypto(0, NULL) == 1;
}

static atomic_int *my_place(void)
{
    return &inside[(uint64_t)(uintptr_t)pthread_self() * UINT64_C(0x9e3779b97f4a7c15) >> (64 - PLACES_LOG2)].threads;
}

static void leave(void)
{
    atomic_fetch_sub(my_place(), 1);
    depth--;
}

/* Counted in before the look, so that whoever sees that it is not over is seen by who ends it. */
static bool enter(void)
{
    depth++;
    atomic_fetch_add(my_place(), 1);
    if (!atomic_load(&is_over)) {
        return true;
    }
    leave();
    return false;
}

static int count_others(void)
{
    int count = -depth;

    for (int i = 0; i < PLACES; i++) {
        count += atomic_load(&inside[i].threads);
    }
    return count;
}

/*
 * In exit(), before OpenSSL's own end. The calling thread may be in there itself: mpm_prefork calls exit() in a signal handler. A
 * process that was forked counts threads that it does not have: so nobody is waited for without end.
 */
static void end_openssl(void)
{
    atomic_store(&is_over, true);
    for (int polls = 0; count_others() > 0 && polls < MAX_LEAVE_POLLS; polls++) {
        apr_sleep(LEAVE_POLL);
    }
}

static void free_all(void *data)
{
    kept_t *all = data;

    if (!enter()) {
        return;
    }
    if (is_openssl_alive()) {
        for (int place = 0; place < TR_THREAD_PLACES; place++) {
            if (all->thing[place] != NULL) {
                all->free_thing[place](all->thing[place]);
            }
        }
        free(all);
    }
    leave();
}

/* exit() calls first what was registered last: OpenSSL must register its end before us, which it does once it loads something. */
static bool begin_openssl(void)
{
    return OPENSSL_init_crypto(OPENSSL_INIT_ADD_ALL_DIGESTS, NULL) == 1 && atexit(end_openssl) == 0;
}

static void make_key(void)
{
    has_key = begin_openssl() && pthread_key_create(&key, free_all) == 0;
}

bool tr_openssl_enter(void)
{
    pthread_once(&once, make_key);
    return enter();
}

void tr_openssl_leave(void)
{
    leave();
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
