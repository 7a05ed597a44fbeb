/* tr_secret.c: see tr_secret.h. A process that is forked inherits the pages, and that they are left out. */
#include "tr_secret.h"

#include <sys/mman.h>
#include <unistd.h>

#include "tr_digest.h"

typedef struct pages_t {
    void *base;
    apr_size_t size;
} pages_t;

static apr_status_t release(void *baton)
{
    pages_t *pages = baton;

    tr_wipe(pages->base, pages->size);
    (void)munmap(pages->base, pages->size);
    return APR_SUCCESS;
}

static void leave_out_of_cores(void *base, apr_size_t size)
{
#if defined(MADV_DONTDUMP)
    (void)madvise(base, size, MADV_DONTDUMP);
#elif defined(MADV_NOCORE)
    (void)madvise(base, size, MADV_NOCORE);
#else
    (void)base;
    (void)size;
#endif
}

apr_status_t tr_secret_keep(tr_str_t *out, tr_str_t secret, apr_pool_t *pool)
{
    apr_size_t page = (apr_size_t)sysconf(_SC_PAGESIZE);
    pages_t *pages = apr_palloc(pool, sizeof(*pages));

    pages->size = (secret.len / page + 1) * page; /* at least one zero behind it */
    /* cppcheck-suppress invalidFunctionArg ; memory of no file has the descriptor -1 */
    pages->base = mmap(NULL, pages->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages->base == MAP_FAILED) {
        return APR_ENOMEM;
    }
    leave_out_of_cores(pages->base, pages->size);
    apr_pool_cleanup_register(pool, pages, release, apr_pool_cleanup_null);
    if (secret.len > 0) {
        memcpy(pages->base, secret.data, secret.len);
    }
    *out = tr_str(pages->base, secret.len);
    return APR_SUCCESS;
}
