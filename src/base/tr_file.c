/* tr_file.c: key files, read whole. */
#include "tr_file.h"

#include <errno.h>
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

/* Who can write to the folder can put another file in the place of this one, unless only owners may (sticky). */
static bool is_everybodys_folder(const char *path, apr_pool_t *pool)
{
    const char *slash = strrchr(path, '/');
    const char *folder = slash == NULL ? "." : slash == path ? "/" : apr_pstrmemdup(pool, path, (apr_size_t)(slash - path));
    struct stat info;

    return stat(folder, &info) == 0 && (info.st_mode & (S_IWOTH | S_ISVTX)) == S_IWOTH;
}

/* NULL, or what keeps this file from being believed. */
static const char *fault_of(const struct stat *info, tr_file_kind_t kind, uid_t user, apr_pool_t *pool)
{
    if (!S_ISREG(info->st_mode)) {
        return "it is no regular file";
    }
    if ((info->st_mode & S_IWOTH) != 0) {
        return "it can be written to by everybody: chmod o-w";
    }
    if (kind != TR_FILE_PUBLIC && info->st_uid != 0 && info->st_uid != geteuid() && info->st_uid != user) {
        return apr_psprintf(pool, "it belongs to the user with number %lu, and must belong to root or httpd's user: chown",
                            (unsigned long)info->st_uid);
    }
    return NULL;
}

const char *tr_file_worry(const char *path, tr_file_kind_t kind, apr_pool_t *pool)
{
    struct stat info;

    if ((kind == TR_FILE_SECRET || kind == TR_FILE_SECRETS) && stat(path, &info) == 0 && (info.st_mode & S_IROTH) != 0) {
        return kind == TR_FILE_SECRET
                   ? "it is a secret, and can be read by everybody: chmod o-r"
                   : "it holds secrets, and can be read by everybody: chgrp to the group of httpd's user, and chmod 640";
    }
    return is_everybodys_folder(path, pool)
               ? "its folder can be written to by everybody, who can put another file in its place: chmod o-w"
               : NULL;
}

/* buf has room for len bytes and a NUL. It may shrink or grow while it is read: never beyond what was looked at. */
static apr_status_t read_all(tr_str_t *out, const char **why, int fd, char *buf, apr_size_t wanted, apr_pool_t *pool)
{
    apr_size_t len = 0;
    ssize_t n = 1;

    while (len < wanted && n > 0) {
        n = read(fd, buf + len, wanted - len);
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

apr_status_t tr_file_read(tr_str_t *out, const char **why, const char *path, apr_size_t max_len, tr_file_kind_t kind, uid_t user,
                          apr_pool_t *pool)
{
    int follow = kind == TR_FILE_PUBLIC ? 0 : O_NOFOLLOW;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | follow);
    struct stat info;
    apr_status_t rv = APR_EINVAL;

    if (fd < 0) {
        rv = fail(why, apr_get_os_error(), pool);
        *why = rv == ELOOP && follow != 0 ? "it is a symbolic link, and such are not followed here: name the file itself" : *why;
        return rv;
    }
    if (fstat(fd, &info) != 0) {
        rv = fail(why, apr_get_os_error(), pool);
        close(fd);
        return rv;
    }
    *why = fault_of(&info, kind, user, pool);
    if (*why == NULL && info.st_size > (off_t)max_len) {
        *why = apr_psprintf(pool, "it is larger than %" APR_SIZE_T_FMT " bytes", max_len);
    }
    if (*why == NULL) {
        rv = read_all(out, why, fd, apr_palloc(pool, (apr_size_t)info.st_size + 1), (apr_size_t)info.st_size, pool);
    }
    close(fd);
    return rv;
}
