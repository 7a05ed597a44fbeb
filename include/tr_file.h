/*
 * tr_file.h: reading a small file whole, and noticing that it changed.
 */
#ifndef TR_FILE_H
#define TR_FILE_H

#include <sys/types.h>

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

/* What a file must be before it is believed. None may be everybody's to write. */
typedef enum tr_file_kind_t {
    TR_FILE_PUBLIC, /* keys that everybody may know: symbolic links are followed, since certificates are often such */
    TR_FILE_OWN,    /* who is let in: no symbolic link, and of root, the process' user or another that is named */
    TR_FILE_SECRET, /* the same; that everybody can read it is a worry */
    TR_FILE_SECRETS /* for tr_file_worry: public keys with secrets among them, which httpd's user reads again later */
} tr_file_kind_t;

/*
 * The whole of a regular file; a FIFO, device or folder is refused without waiting. What is looked at is the file that was opened,
 * whatever its name stands for meanwhile. user may own it, too, beside root and the user of this process. *out is in pool,
 * NUL-terminated beyond its length; a secret's reader wipes it. Returns APR_SUCCESS, or another status with *why in pool for the
 * administrator; a file of more than max_len bytes is APR_EINVAL.
 */
TR_MUST_CHECK apr_status_t tr_file_read(tr_str_t *out, const char **why, const char *path, apr_size_t max_len,
                                        tr_file_kind_t kind, uid_t user, apr_pool_t *pool);

/* What an administrator should mend though such a file is taken: NULL, or a sentence in pool or static. For the time of configuration. */
const char *tr_file_worry(const char *path, tr_file_kind_t kind, apr_pool_t *pool);

#endif
