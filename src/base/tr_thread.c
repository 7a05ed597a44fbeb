/* tr_thread.c: see tr_thread.h. One key of the thread library for all rooms: a process has only 1,024. */
#include "tr_thread.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/crypto.h>

typedef struct kept_t {
    void *thing[TR_THREAD_PLACES];
    tr_thread_free_fn free_thing[TR_THREAD_PLACES];
} kept_t;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool has_key;

/* A thread may end after exit() has ended OpenSSL, whose locks are gone then; the memory goes with the process. */
static bool is_openssl_alive(void)
{
    return OPENSSL_init_crypto(0, NULL) == 1;
}

static void free_all(void *data)
{
    kept_t *all = data;

    if (!is_openssl_alive()) {
        return;
    }
    for (int place = 0; place < TR_THREAD_PLACES; place++) {
        if (all->thing[place] != NULL) {
            all->free_thing[place](all->thing[place]);
        }
    }
    free(all);
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, free_all) == 0;
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
        pthread_key_delete(key);
    }
}
