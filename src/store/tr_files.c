/*
 * tr_files.c: the files of an SQLite database: whose they are, whether they are still the same, and the mark.
 *
 * The mark stands beside the database and says up to where revocations were acknowledged. SQLite silently ignores the end
 * of a write-ahead log that it cannot read; the mark tells that something was there. It is written after each commit
 * without a sync of its own: it can be older than the database, never newer, so it raises no false alarm.
 *
 *   TR1 <id, 32 hexadecimal digits> <seq, 20 decimal digits> <checksum, 16 hexadecimal digits>\n
 */
#include "tr_sql.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "tr_digest.h"

#define MARK_SUFFIX "-mark"
#define MARK_LEN (4 + TR_STORE_ID_LEN + 1 + 20 + 1 + 16 + 1)
#define FILE_MODE 0640
#define LOCK_POLL apr_time_from_msec(5)
#define MAX_LOCK_POLLS 2000

static const char *const suffixes[] = {"", "-wal", "-shm", MARK_SUFFIX};

static apr_status_t refuse(const char **why, const char *sentence)
{
    *why = sentence;
    return TR_STORE_FAILED;
}

static const char *reason_of(int error, apr_pool_t *pool)
{
    char text[128];

    return apr_pstrdup(pool, apr_strerror(error, text, sizeof(text)));
}

static const char *user_name(uid_t user, apr_pool_t *pool)
{
    /* cppcheck-suppress getpwuidCalled ; only before threads are made */
    const struct passwd *entry = getpwuid(user); /* NOLINT(concurrency-mt-unsafe): the same */

    return entry != NULL ? apr_pstrdup(pool, entry->pw_name) : apr_psprintf(pool, "%lu", (unsigned long)user);
}

static apr_status_t check_folder(const char **why, const char **warning, const tr_store_place_t *place, apr_pool_t *pool)
{
    const char *folder = apr_pstrmemdup(pool, place->path, (apr_size_t)(strrchr(place->path, '/') - place->path));
    const char *me = user_name(geteuid(), pool);
    struct stat info;

    folder = folder[0] != '\0' ? folder : "/";
    if (lstat(folder, &info) != 0) {
        return refuse(why,
                      apr_psprintf(pool, "the folder %s cannot be used: %s; make it, and give it to httpd's user: chown %s: %s",
                                   folder, reason_of(errno, pool), me, folder));
    }
    if (!S_ISDIR(info.st_mode)) {
        return refuse(why, apr_psprintf(pool, "%s is no folder (symbolic links are not followed)", folder));
    }
    if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) != 0) {
        return refuse(why,
                      apr_psprintf(pool, "the folder %s belongs to %s and cannot be written to by httpd's user: chown %s: %s",
                                   folder, user_name(info.st_uid, pool), me, folder));
    }
    if ((info.st_mode & S_IWOTH) != 0) {
        *warning = apr_psprintf(pool, "the folder %s can be written to by everybody, who can so undo revocations: chmod o-w %s",
                                folder, folder);
    }
    return APR_SUCCESS;
}

static apr_status_t check_file(const char **why, const char *path, apr_pool_t *pool)
{
    struct stat info;

    if (lstat(path, &info) != 0) {
        return errno == ENOENT ? APR_SUCCESS
                               : refuse(why, apr_psprintf(pool, "%s cannot be used: %s", path, reason_of(errno, pool)));
    }
    if (!S_ISREG(info.st_mode)) {
        return refuse(why, apr_psprintf(pool, "%s is no regular file (symbolic links are not followed)", path));
    }
    if (info.st_uid != geteuid()) {
        return refuse(why, apr_psprintf(pool, "%s belongs to %s, and must belong to httpd's user: chown %s: %s", path,
                                        user_name(info.st_uid, pool), user_name(geteuid(), pool), path));
    }
    if ((info.st_mode & S_IWOTH) != 0) {
        return refuse(
            why, apr_psprintf(pool, "%s can be written to by everybody, who can so undo revocations: chmod o-w %s", path, path));
    }
    if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) != 0) {
        return refuse(why, apr_psprintf(pool, "%s cannot be read and written by httpd's user: %s; chmod u+rw %s", path,
                                        reason_of(errno, pool), path));
    }
    return APR_SUCCESS;
}

apr_status_t tr_files_check(const char **why, const char **warning, const tr_store_place_t *place, apr_pool_t *pool)
{
    apr_status_t rv;

    *warning = NULL;
    if (place->path == NULL) {
        return APR_SUCCESS;
    }
    rv = check_folder(why, warning, place, pool);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]) && rv == APR_SUCCESS; i++) {
        rv = check_file(why, apr_pstrcat(pool, place->path, suffixes[i], NULL), pool);
    }
    return rv;
}

bool tr_files_have_content(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && info.st_size > 0;
}

static char *folder_of(const char *path, apr_pool_t *pool)
{
    return apr_pstrmemdup(pool, path, (apr_size_t)(strrchr(path, '/') - path + 1));
}

/* The folder is locked: whoever closes any descriptor of the database itself drops SQLite's locks on it. */
int tr_files_lock(const tr_store_place_t *place, apr_pool_t *pool)
{
    int fd = place->path != NULL ? open(folder_of(place->path, pool), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    for (int i = 0; fd >= 0 && i < MAX_LOCK_POLLS && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; i++) {
        apr_sleep(LOCK_POLL);
    }
    return fd;
}

void tr_files_unlock(int lock)
{
    if (lock >= 0) {
        close(lock);
    }
}

/* A new name lasts through a power failure only when its folder was synced. */
static int sync_folder(const char *path, apr_pool_t *pool)
{
    int fd = open(folder_of(path, pool), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0;

    if (fd >= 0) {
        close(fd);
    }
    return failed;
}

apr_status_t tr_files_create(const char **why, const tr_store_place_t *place, apr_pool_t *pool)
{
    int fd;

    if (place->path == NULL) {
        return APR_SUCCESS;
    }
    fd = open(place->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0 && errno == EEXIST) {
        return APR_SUCCESS;
    }
    if (fd < 0 || sync_folder(place->path, pool)) {
        *why = apr_psprintf(pool, "%s cannot be made: %s", place->path, reason_of(errno, pool));
        if (fd >= 0) {
            close(fd);
        }
        return TR_STORE_FAILED;
    }
    close(fd);
    return APR_SUCCESS;
}

/* ---- are they still the same? ------------------------------------------------------------------------------ */

static bool identify(tr_sql_file_t *out, const char *path)
{
    struct stat info;

    if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode)) {
        return false;
    }
    out->device = info.st_dev;
    out->inode = info.st_ino;
    return true;
}

static bool is_same(const tr_sql_file_t *file, const char *path)
{
    tr_sql_file_t now;

    return identify(&now, path) && now.device == file->device && now.inode == file->inode;
}

apr_status_t tr_files_allow(const char **why, const tr_store_place_t *place, const tr_sql_known_t *known, apr_pool_t *pool)
{
    if (place->path == NULL) {
        return APR_SUCCESS;
    }
    if (!tr_files_have_content(place->path)) {
        *why = apr_psprintf(pool, "%s is not there any more; put it back, or stop and start httpd", place->path);
        return TR_STORE_FAILED;
    }
    if (known->seen && !is_same(&known->file, place->path) &&
        is_same(&known->wal, apr_pstrcat(pool, place->path, "-wal", NULL))) {
        *why = apr_psprintf(pool,
                            "%s was replaced, but %s-wal still belongs to the one before; put that back, or stop and start httpd",
                            place->path, place->path);
        return TR_STORE_FAILED;
    }
    return APR_SUCCESS;
}

apr_status_t tr_files_remember(tr_sql_t *sql)
{
    if (!sql->is_file) {
        return APR_SUCCESS;
    }
    if (!identify(&sql->file, sql->place->path) ||
        !identify(&sql->wal, apr_pstrcat(sql->scratch, sql->place->path, "-wal", NULL))) {
        return tr_sql_refuse(sql, "%s or its -wal file is not there", sql->place->path);
    }
    sql->mark =
        open(apr_pstrcat(sql->scratch, sql->place->path, MARK_SUFFIX, NULL), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (sql->mark < 0) {
        return tr_sql_refuse(sql, "%s" MARK_SUFFIX " cannot be written: %s", sql->place->path, reason_of(errno, sql->scratch));
    }
    return APR_SUCCESS;
}

apr_status_t tr_files_verify(tr_sql_t *sql)
{
    char wal[4096];

    if (!sql->is_file) {
        return APR_SUCCESS;
    }
    apr_snprintf(wal, sizeof(wal), "%s-wal", sql->place->path);
    if (!is_same(&sql->file, sql->place->path) || !is_same(&sql->wal, wal)) {
        return tr_sql_refuse(sql, "%s was removed or replaced while httpd was using it; put it back, or stop and start httpd",
                             sql->place->path);
    }
    return APR_SUCCESS;
}

/* ---- the mark ---------------------------------------------------------------------------------------------- */

static void checksum_text(char hex[17], const char *text, apr_size_t len)
{
    static const tr_siphash_key_t key;
    tr_siphash_t h;
    uint64_t value[2];

    tr_siphash_init(&h, &key);
    tr_siphash_feed(&h, text, len);
    tr_siphash_done(value, &h);
    apr_snprintf(hex, 17, "%016" APR_UINT64_T_HEX_FMT, value[0]);
}

static void format_mark(char out[MARK_LEN + 1], const char *id, int64_t seq)
{
    char checksum[17];
    int n = apr_snprintf(out, MARK_LEN + 1, "TR1 %s %020" APR_INT64_T_FMT " ", id, seq);

    checksum_text(checksum, out, (apr_size_t)n);
    apr_snprintf(out + n, (apr_size_t)(MARK_LEN + 1 - n), "%s\n", checksum);
}

tr_mark_state_t tr_files_read_mark(char *id, int64_t *seq, const tr_store_place_t *place, apr_pool_t *pool)
{
    char text[MARK_LEN + 1] = "", again[MARK_LEN + 1];
    int fd;
    ssize_t n;

    if (place->path == NULL) {
        return TR_MARK_NONE;
    }
    fd = open(apr_pstrcat(pool, place->path, MARK_SUFFIX, NULL), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? TR_MARK_NONE : TR_MARK_BROKEN;
    }
    n = read(fd, text, MARK_LEN);
    close(fd);
    if (n != MARK_LEN) {
        return TR_MARK_BROKEN;
    }
    memcpy(id, text + 4, TR_STORE_ID_LEN);
    id[TR_STORE_ID_LEN] = '\0';
    *seq = apr_atoi64(text + 4 + TR_STORE_ID_LEN + 1);
    format_mark(again, id, *seq);
    return strcmp(text, again) == 0 ? TR_MARK_GOOD : TR_MARK_BROKEN;
}

apr_status_t tr_files_write_mark(tr_sql_t *sql, const char *id, int64_t seq)
{
    char text[MARK_LEN + 1];
    ssize_t n;

    if (!sql->is_file) {
        return APR_SUCCESS;
    }
    format_mark(text, id, seq);
    do {
        n = pwrite(sql->mark, text, MARK_LEN, 0);
    } while (n < 0 && errno == EINTR);
    if (n != MARK_LEN) {
        return tr_sql_refuse(sql, "%s" MARK_SUFFIX " cannot be written: %s", sql->place->path,
                             n < 0 ? reason_of(errno, sql->scratch) : "short write");
    }
    return APR_SUCCESS;
}

apr_status_t tr_files_make_mark(const char **why, const tr_store_place_t *place, const char *id, int64_t seq, apr_pool_t *pool)
{
    const char *path;
    char text[MARK_LEN + 1];
    bool good;
    int fd;

    if (place->path == NULL) {
        return APR_SUCCESS;
    }
    path = apr_pstrcat(pool, place->path, MARK_SUFFIX, NULL);
    format_mark(text, id, seq);
    fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, FILE_MODE);
    good = fd >= 0 && pwrite(fd, text, MARK_LEN, 0) == MARK_LEN && ftruncate(fd, MARK_LEN) == 0 && fsync(fd) == 0 &&
           !sync_folder(path, pool);
    if (!good) {
        *why = apr_psprintf(pool, "%s cannot be written: %s", path, reason_of(errno, pool));
    }
    if (fd >= 0) {
        close(fd);
    }
    return good ? APR_SUCCESS : TR_STORE_FAILED;
}
