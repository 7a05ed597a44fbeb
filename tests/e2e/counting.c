/*
 * counting.c: loaded before httpd's libraries, counts how often a signature is checked by all its processes together, in the file
 * that TR_COUNT names; and refuses shared memory of TR_REFUSE bytes or more.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic unsigned long *count;

__attribute__((constructor)) static void open_count(void)
{
    const char *path = getenv("TR_COUNT");
    int fd = path ? open(path, O_RDWR) : -1;
    void *at = fd >= 0 ? mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    count = at != MAP_FAILED ? at : NULL;
    if (fd >= 0)
        close(fd);
}

/* One of these may call another. */
static _Thread_local int depth;

static void *enter(const char *name)
{
    if (depth++ == 0 && count)
        atomic_fetch_add(count, 1);
    return dlsym(RTLD_NEXT, name);
}

static int leave(int rv)
{
    depth--;
    return rv;
}

int EVP_DigestVerify(void *ctx, const unsigned char *sig, size_t sig_len, const unsigned char *text, size_t len)
{
    int (*real)(void *, const unsigned char *, size_t, const unsigned char *, size_t) = enter("EVP_DigestVerify");
    return leave(real(ctx, sig, sig_len, text, len));
}

int EVP_DigestVerifyFinal(void *ctx, const unsigned char *sig, size_t sig_len)
{
    int (*real)(void *, const unsigned char *, size_t) = enter("EVP_DigestVerifyFinal");
    return leave(real(ctx, sig, sig_len));
}

int EVP_PKEY_verify(void *ctx, const unsigned char *sig, size_t sig_len, const unsigned char *text, size_t len)
{
    int (*real)(void *, const unsigned char *, size_t, const unsigned char *, size_t) = enter("EVP_PKEY_verify");
    return leave(real(ctx, sig, sig_len, text, len));
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
    const char *limit = getenv("TR_REFUSE");
    if (limit && (flags & MAP_SHARED) && len >= strtoul(limit, NULL, 10)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return real(at, len, protection, flags, fd, offset);
}
