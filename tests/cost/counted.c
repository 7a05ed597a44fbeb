/*
 * counted.c: malloc and the locks of the thread library, defined once more, so that the linker takes these for all libraries.
 */
#include "counted.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

counted_t counted;

/* ---- memory: glibc's own names of its functions, because dlsym may allocate --------------------------------------- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *at, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void __libc_free(void *at);

static long held_at(void *at)
{
    return at != NULL ? (long)malloc_usable_size(at) : 0;
}

static void *hold(void *at)
{
    counted.held += held_at(at);
    counted.peak = counted.held > counted.peak ? counted.held : counted.peak;
    return at;
}

void *malloc(size_t size)
{
    counted.allocations++;
    return hold(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    counted.allocations++;
    return hold(__libc_calloc(count, size));
}

void *realloc(void *at, size_t size)
{
    long before = held_at(at);
    void *out = __libc_realloc(at, size);

    counted.allocations++;
    counted.held -= out != NULL || size == 0 ? before : 0;
    return hold(out);
}

void *memalign(size_t alignment, size_t size)
{
    counted.allocations++;
    return hold(__libc_memalign(alignment, size));
}

void free(void *at)
{
    counted.held -= held_at(at);
    __libc_free(at);
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

/* apr's pools may be made of these. */
void *mmap(void *at, size_t len, int may, int how, int fd, off_t from)
{
    void *out = (void *)syscall(SYS_mmap, at, len, may, how, fd, from);

    counted.held += out != MAP_FAILED ? (long)len : 0;
    counted.peak = counted.held > counted.peak ? counted.held : counted.peak;
    return out;
}

void *mmap64(void *at, size_t len, int may, int how, int fd, off64_t from)
{
    return mmap(at, len, may, how, fd, from);
}

int munmap(void *at, size_t len)
{
    int rv = (int)syscall(SYS_munmap, at, len);

    counted.held -= rv == 0 ? (long)len : 0;
    return rv;
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
