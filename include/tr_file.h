/*
 * tr_file.h: reading a small file whole, and noticing that it changed.
 */
#ifndef TR_FILE_H
#define TR_FILE_H

#include <apr_file_info.h>

#include "tr_base.h"

/* What a look at a file's metadata gives; all zero: there is no such file. */
typedef struct tr_file_stamp_t {
    apr_ino_t inode;
    apr_dev_t device;
    apr_off_t size;
    apr_time_t mtime; /* microseconds since 1970 */
    apr_time_t ctime;
} tr_file_stamp_t;

/* The stamp of path now; all zero when it is not there or may not be looked at. One system call. */
void tr_file_stamp(tr_file_stamp_t *out, const char *path, apr_pool_t *pool);

bool tr_file_stamp_eq(const tr_file_stamp_t *a, const tr_file_stamp_t *b);

/*
 * The whole of a regular file (symbolic links are followed; a FIFO, device or folder is refused without waiting). *out
 * is in pool, NUL- terminated beyond its length. Returns APR_SUCCESS, or another status with *why in pool for the
 * administrator; a file of more than max_len bytes is APR_EINVAL.
 */
TR_MUST_CHECK apr_status_t tr_file_read(tr_str_t *out, const char **why, const char *path, apr_size_t max_len, apr_pool_t *pool);

#endif
