/*
 * counted.c: malloc and the locks of the thread library, defined once more, so that the linker takes these for all libraries.
 */
#include "counted.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

counted_t counted;

/* ---- memory: glibc's own names of its functions, because dlsym may allocate --------------------------------------- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *at, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    counted.allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    counted.allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *at, size_t size)
{
    counted.allocations++;
    return __libc_realloc(at, size);
}

void *memalign(size_t alignment, size_t size)
{
    counted.allocations++;
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *at = memalign(alignment, size);

    *out = at != NULL ? at : *out;
    return at != NULL ? 0 : ENOMEM;
}

/* ---- locks ----------------------------------------------------------------------------------------------------- */

#define COUNTED_LOCK(name, type)                                                                                                 \
    int name(type *lock)                                                                                                         \
    {                                                                                                                            \
        static int (*real)(type *);                                                                                              \
                                                                                                                                 \
        counted.locks++;                                                                                                         \
        if (real == NULL) {                                                                                                      \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                                                           \
        }                                                                                                                        \
        return real(lock);                                                                                                       \
    }

COUNTED_LOCK(pthread_mutex_lock, pthread_mutex_t)
COUNTED_LOCK(pthread_mutex_trylock, pthread_mutex_t)
COUNTED_LOCK(pthread_rwlock_rdlock, pthread_rwlock_t)
COUNTED_LOCK(pthread_rwlock_wrlock, pthread_rwlock_t)
COUNTED_LOCK(pthread_rwlock_tryrdlock, pthread_rwlock_t)
COUNTED_LOCK(pthread_rwlock_trywrlock, pthread_rwlock_t)
COUNTED_LOCK(pthread_spin_lock, pthread_spinlock_t)
