/* tr_file.c: key files, read whole. */
#include "tr_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

void tr_file_stamp(tr_file_stamp_t *out, const char *path, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_int32_t wanted = APR_FINFO_IDENT | APR_FINFO_SIZE | APR_FINFO_MTIME | APR_FINFO_CTIME;
    apr_status_t rv = apr_stat(&info, path, wanted, pool);

    memset(out, 0, sizeof(*out));
    if (rv == APR_SUCCESS || rv == APR_INCOMPLETE) {
        out->inode = info.inode;
        out->device = info.device;
        out->size = info.size;
        out->mtime = info.mtime;
        out->ctime = info.ctime;
    }
}

bool tr_file_stamp_eq(const tr_file_stamp_t *a, const tr_file_stamp_t *b)
{
    return a->inode == b->inode && a->device == b->device && a->size == b->size && a->mtime == b->mtime && a->ctime == b->ctime;
}

static apr_status_t fail(const char **why, apr_status_t rv, apr_pool_t *pool)
{
    char text[128];

    *why = apr_pstrdup(pool, apr_strerror(rv, text, sizeof(text)));
    return rv;
}

static apr_status_t read_all(tr_str_t *out, const char **why, int fd, apr_size_t max_len, apr_pool_t *pool)
{
    struct stat info;
    apr_size_t len = 0;
    char *buf;
    ssize_t n = 1;

    if (fstat(fd, &info) != 0) {
        return fail(why, apr_get_os_error(), pool);
    }
    if (!S_ISREG(info.st_mode)) {
        *why = "it is no regular file";
        return APR_EINVAL;
    }
    if (info.st_size > (off_t)max_len) {
        *why = apr_psprintf(pool, "it is larger than %" APR_SIZE_T_FMT " bytes", max_len);
        return APR_EINVAL;
    }
    /* It may shrink or grow while it is read: never beyond what was looked at. */
    buf = apr_palloc(pool, (apr_size_t)info.st_size + 1);
    while (len < (apr_size_t)info.st_size && n > 0) {
        n = read(fd, buf + len, (apr_size_t)info.st_size - len);
        if (n < 0 && apr_get_os_error() == APR_EINTR) {
            n = 1;
            continue;
        }
        if (n < 0) {
            return fail(why, apr_get_os_error(), pool);
        }
        len += (apr_size_t)n;
    }
    buf[len] = '\0';
    *out = tr_str(buf, len);
    return APR_SUCCESS;
}

apr_status_t tr_file_read(tr_str_t *out, const char **why, const char *path, apr_size_t max_len, apr_pool_t *pool)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    apr_status_t rv;

    if (fd < 0) {
        return fail(why, apr_get_os_error(), pool);
    }
    rv = read_all(out, why, fd, max_len, pool);
    close(fd);
    return rv;
}
