/* tr_place.c: what TokRevokeDatabase says, and the folder it means. */
#include "tr_sql.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_file_info.h>
#include <apr_strings.h>

/* Where the caller says nothing: a server that does not answer must not keep us for minutes. Seconds; milliseconds. */
#define CONNECT_TIMEOUT "connect_timeout=5"
#define USER_TIMEOUT "tcp_user_timeout=10000"

#define MAX_PATH_LEN 4000

static const char *with_option(const char *conninfo, const char *option, apr_pool_t *pool)
{
    const char *name = apr_pstrmemdup(pool, option, (apr_size_t)(strchr(option, '=') - option));
    bool is_uri = strncmp(conninfo, "postgresql://", 13) == 0 || strncmp(conninfo, "postgres://", 11) == 0;

    if (strstr(conninfo, name) != NULL) {
        return conninfo;
    }
    return apr_pstrcat(pool, conninfo, !is_uri ? " " : strchr(conninfo, '?') != NULL ? "&" : "?", option, NULL);
}

static apr_status_t parse_path(tr_store_place_t *out, const char **why, const char *path, const char *root, apr_pool_t *pool)
{
    char *merged;

    if (path[0] == '\0' || strcmp(path, ":memory:") == 0) {
        *why = "sqlite3: needs the path of a file";
        return APR_EINVAL;
    }
    if (apr_filepath_merge(&merged, root, path, APR_FILEPATH_NOTRELATIVE, pool) != APR_SUCCESS) {
        *why = apr_psprintf(pool, "\"%s\" is no path", path);
        return APR_EINVAL;
    }
    /* What ends in "/", "." or ".." is a folder. */
    if (merged[strlen(merged) - 1] == '/') {
        *why = "sqlite3: needs the path of a file";
        return APR_EINVAL;
    }
    if (strlen(merged) > MAX_PATH_LEN) {
        *why = "the path is too long";
        return APR_EINVAL;
    }
    out->params = out->path = merged;
    out->name = merged;
    return APR_SUCCESS;
}

/*
 * exit() unloads apr-util's drivers while threads of a child may still be inside: they must stay. Loaded already, so this
 * only marks it.
 */
static void keep_loaded(const void *inside)
{
    Dl_info info;

    if (dladdr(inside, &info) != 0 && info.dli_fname != NULL) {
        /* cppcheck-suppress leakReturnValNotUsed ; to keep it is the purpose */
        (void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NODELETE);
    }
}

static apr_status_t load_driver(const char **why, const char *name, apr_pool_t *pool)
{
    const apr_dbd_driver_t *driver;
    apr_status_t rv = apr_dbd_init(pool);

    if (rv == APR_SUCCESS) {
        rv = apr_dbd_get_driver(pool, name, &driver);
    }
    if (rv != APR_SUCCESS) {
        *why =
            apr_psprintf(pool, "apr-util's driver for %s is not installed (Debian: apt install libaprutil1-dbd-%s)", name, name);
        return APR_EINVAL;
    }
    keep_loaded(driver);
    return APR_SUCCESS;
}

apr_status_t tr_store_parse(tr_store_place_t *out, const char **why, const char *text, const char *root, apr_pool_t *pool)
{
    memset(out, 0, sizeof(*out));
    if (strncasecmp(text, "sqlite3:", 8) == 0) {
        out->driver = "sqlite3";
        return parse_path(out, why, text + 8, root, pool) == APR_SUCCESS ? load_driver(why, out->driver, pool) : APR_EINVAL;
    }
    if (strncasecmp(text, "pgsql:", 6) == 0) {
        out->driver = "pgsql";
        out->params = with_option(with_option(apr_pstrdup(pool, text + 6), CONNECT_TIMEOUT, pool), USER_TIMEOUT, pool);
        out->name = "the PostgreSQL database";
        return load_driver(why, out->driver, pool);
    }
    *why = "it must be sqlite3:PATH, pgsql:CONNINFO or none"; /* not what was written: it may hold a password */
    return APR_EINVAL;
}

bool tr_store_place_eq(const tr_store_place_t *a, const tr_store_place_t *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    return strcmp(a->driver, b->driver) == 0 && strcmp(a->params, b->params) == 0;
}

/* ---- what may be said of it -------------------------------------------------------------------------------- */

/* Bytes of the quotation mark at p, in any language that libpq speaks; 0: there is none. */
static apr_size_t quote_len(const char *p)
{
    static const char *const marks[] = {"\"", "\xc2\xab", "\xc2\xbb", "\xe2\x80\x9c", "\xe2\x80\x9d", "\xe2\x80\x9e"};

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (strncmp(p, marks[i], strlen(marks[i])) == 0) {
            return strlen(marks[i]);
        }
    }
    return 0;
}

static apr_size_t space_len(const char *p)
{
    return *p == ' ' ? 1 : strncmp(p, "\xc2\xa0", 2) == 0 ? 2 : 0;
}

static bool ends_quoted(const char *p)
{
    while (space_len(p) > 0) {
        p += space_len(p);
    }
    return *p == '\0' || *p == '\n' || quote_len(p) > 0;
}

/* How much of what begins at text, up to the end of something quoted, stands in params, too? */
static apr_size_t quoted_len(const char *text, const char *params)
{
    apr_size_t longest = 0;

    for (; *params != '\0'; params++) {
        for (apr_size_t n = 0; params[n] != '\0' && params[n] == text[n]; n++) {
            longest = n + 1 > longest && ends_quoted(text + n + 1) ? n + 1 : longest;
        }
    }
    return longest;
}

/* Whom the server was asked for may be said. */
static bool is_name(const char *piece, apr_size_t len, const char *params)
{
    static const char *const names[] = {"host=", "hostaddr=", "user=", "dbname="};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (const char *p = strstr(params, names[i]); p != NULL; p = strstr(p + 1, names[i])) {
            const char *value = p + strlen(names[i]);

            if ((p == params || p[-1] == ' ') && strncmp(value, piece, len) == 0 && (value[len] == ' ' || value[len] == '\0')) {
                return true;
            }
        }
    }
    return false;
}

/* The mark at text, if there is one, and the spaces behind it. */
static apr_size_t opening_len(const char *text)
{
    apr_size_t len = quote_len(text);

    while (len > 0 && space_len(text + len) > 0) {
        len += space_len(text + len);
    }
    return len;
}

char *tr_store_hide(const tr_store_place_t *place, const char *text, apr_pool_t *pool)
{
    char *out = apr_palloc(pool, 4 * strlen(text) + 1);
    char *to = out;

    while (*text != '\0') {
        apr_size_t opening = place->path == NULL ? opening_len(text) : 0;
        apr_size_t len = opening > 0 ? quoted_len(text + opening, place->params) : 0;

        opening = opening > 0 ? opening : 1;
        memcpy(to, text, opening);
        to += opening;
        text += opening;
        if (len > 0 && !is_name(text, len, place->params)) {
            memcpy(to, "...", 3);
            to += 3;
            text += len;
        }
    }
    *to = '\0';
    return out;
}

static const char *reason_of(int error, apr_pool_t *pool)
{
    char text[128];

    return apr_pstrdup(pool, apr_strerror(error, text, sizeof(text)));
}

/*
 * Empty, root's, and nobody else's to write: as a package or a start that was interrupted leaves it. What is in use, or
 * stands at the top, is left alone.
 */
static bool may_be_given(int fd, const char *folder, bool made)
{
    struct stat info;
    struct dirent *entry;
    bool empty = true;
    DIR *dir;

    if ((!made && strrchr(folder, '/') == folder) || fstat(fd, &info) != 0 || info.st_uid != 0 ||
        (info.st_mode & (S_IWOTH | S_ISVTX)) != 0) {
        return false;
    }
    dir = fdopendir(dup(fd));
    /* cppcheck-suppress readdirCalled ; safe for a folder that one thread reads (POSIX.1-2024) */
    while (dir != NULL && empty && (entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): the same */
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return dir != NULL && empty;
}

apr_status_t tr_store_make_folder(const char **why, const tr_store_place_t *place, uid_t user, gid_t group, apr_pool_t *pool)
{
    apr_status_t rv = APR_SUCCESS;
    char *folder;
    bool made;
    int fd;

    if (place->path == NULL || strrchr(place->path, '/') == place->path) {
        return APR_SUCCESS;
    }
    folder = apr_pstrmemdup(pool, place->path, (apr_size_t)(strrchr(place->path, '/') - place->path));
    made = mkdir(folder, 0750) == 0;
    if (!made && errno != EEXIST) {
        rv = apr_get_os_error();
        *why = apr_psprintf(pool, "the folder %s cannot be made: %s", folder, reason_of(rv, pool));
        return rv;
    }
    if (geteuid() != 0) {
        return APR_SUCCESS;
    }
    /* What is wrong with a folder that cannot be opened is found out by the user it is for. */
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && may_be_given(fd, folder, made) && fchown(fd, user, group) != 0) {
        rv = apr_get_os_error();
        *why = apr_psprintf(pool, "the folder %s cannot be given to httpd's user: %s", folder, reason_of(rv, pool));
    }
    if (fd >= 0) {
        close(fd);
    }
    return rv;
}
