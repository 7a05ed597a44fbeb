/*
 * race_common.h: what the race programs share: a clock for how long to run, random numbers, and loud failure.
 */
#ifndef RACE_COMMON_H
#define RACE_COMMON_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "tr_table.h"

/* A claim that must hold at every moment; what follows says what was seen when it did not. */
#define CLAIM(holds, ...)                                                                                                        \
    do {                                                                                                                         \
        if (!(holds)) {                                                                                                          \
            fprintf(stderr, "%s:%d: claim failed: %s: ", __FILE__, __LINE__, #holds);                                            \
            fprintf(stderr, __VA_ARGS__);                                                                                        \
            fputc('\n', stderr);                                                                                                 \
            abort();                                                                                                             \
        }                                                                                                                        \
    } while (0)

static inline double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline double setting(const char *name, double otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atof(text) : otherwise;
}

/* A well mixed random number; each thread has a seed of its own. */
static inline uint64_t random_u64(uint64_t *seed)
{
    uint64_t x = (*seed += UINT64_C(0x9e3779b97f4a7c15));
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t below(uint64_t *seed, uint64_t limit)
{
    return random_u64(seed) % limit;
}

static inline void raise_to(_Atomic int64_t *value, int64_t to)
{
    int64_t old = atomic_load(value);
    while (old < to && !atomic_compare_exchange_weak(value, &old, to))
        continue;
}

/* Zeroed memory that forked children share. */
static inline void *shared_memory(size_t size)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CLAIM(base != MAP_FAILED, "mmap of %zu bytes", size);
    return base;
}

static inline tr_table_t *shared_table(uint32_t capacity, apr_pool_t *pool)
{
    apr_size_t size = tr_table_size(capacity);
    tr_table_t *table = NULL;
    CLAIM(tr_table_create(&table, shared_memory(size), size, capacity, NULL, pool) == APR_SUCCESS, "capacity %u", capacity);
    return table;
}

#endif
