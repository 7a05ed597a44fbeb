/*
 * tr_testing_failing.c: see tr_testing_failing.h.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "tr_testing_failing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_dbd.h>
#include <apr_global_mutex.h>
#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

static atomic_int wanted; /* kinds */
static atomic_int left;   /* calls until one fails */
static atomic_bool goes_on;
static _Atomic(const char *) failed;

void tt_fail(int kinds, int nth, bool for_good)
{
    atomic_store(&wanted, 0);
    atomic_store(&failed, NULL);
    atomic_store(&goes_on, for_good);
    atomic_store(&left, nth);
    atomic_store(&wanted, kinds);
}

const char *tt_fail_no_more(void)
{
    atomic_store(&wanted, 0);
    return atomic_load(&failed);
}

static bool is_to_fail(int kind, const char *name)
{
    const char *nobody = NULL;
    if ((atomic_load(&wanted) & kind) == 0)
        return false;
    int n = atomic_fetch_sub(&left, 1);
    if (n > 1 || (n < 1 && !atomic_load(&goes_on)))
        return false;
    atomic_compare_exchange_strong(&failed, &nobody, name);
    return true;
}

/* A function of this type and name; what it gives when it fails; its parameters, and how they are handed on. */
#define FAILING(kind, type, name, failure, parameters, arguments)                                                                \
    type __real_##name parameters;                                                                                               \
    type __wrap_##name parameters;                                                                                               \
    type __wrap_##name parameters                                                                                                \
    {                                                                                                                            \
        return is_to_fail(kind, #name) ? (failure) : __real_##name arguments;                                                    \
    }

/* The system's say why in errno. */
#define FAILING_CALL(type, name, error, parameters, arguments)                                                                   \
    FAILING(TT_FILES, type, name, (errno = (error), (type)-1), parameters, arguments)

/* ---- OpenSSL ------------------------------------------------------------------------------------------------- */

FAILING(TT_CRYPTO, EVP_MD_CTX *, EVP_MD_CTX_new, NULL, (void), ())
FAILING(TT_CRYPTO, int, EVP_MD_CTX_copy_ex, 0, (EVP_MD_CTX * to, const EVP_MD_CTX *from), (to, from))
FAILING(TT_CRYPTO, int, EVP_Digest, 0,
        (const void *data, size_t len, unsigned char *out, unsigned int *n, const EVP_MD *md, ENGINE *engine),
        (data, len, out, n, md, engine))
FAILING(TT_CRYPTO, int, EVP_DigestInit_ex, 0, (EVP_MD_CTX * ctx, const EVP_MD *md, ENGINE *engine), (ctx, md, engine))
FAILING(TT_CRYPTO, int, EVP_DigestUpdate, 0, (EVP_MD_CTX * ctx, const void *data, size_t len), (ctx, data, len))
FAILING(TT_CRYPTO, int, EVP_DigestFinal_ex, 0, (EVP_MD_CTX * ctx, unsigned char *out, unsigned int *len), (ctx, out, len))
FAILING(TT_CRYPTO, int, EVP_DigestVerifyInit, 0,
        (EVP_MD_CTX * ctx, EVP_PKEY_CTX **pctx, const EVP_MD *md, ENGINE *engine, EVP_PKEY *pkey), (ctx, pctx, md, engine, pkey))
FAILING(TT_CRYPTO, int, EVP_DigestVerify, -1,
        (EVP_MD_CTX * ctx, const unsigned char *sig, size_t sig_len, const unsigned char *data, size_t len),
        (ctx, sig, sig_len, data, len))
FAILING(TT_CRYPTO, EVP_PKEY *, EVP_PKEY_dup, NULL, (EVP_PKEY * pkey), (pkey))
FAILING(TT_CRYPTO, int, EVP_PKEY_up_ref, 0, (EVP_PKEY * pkey), (pkey))
FAILING(TT_CRYPTO, EVP_PKEY_CTX *, EVP_PKEY_CTX_new_from_pkey, NULL, (OSSL_LIB_CTX * lib, EVP_PKEY *pkey, const char *query),
        (lib, pkey, query))
FAILING(TT_CRYPTO, EVP_PKEY_CTX *, EVP_PKEY_CTX_new_from_name, NULL, (OSSL_LIB_CTX * lib, const char *name, const char *query),
        (lib, name, query))
FAILING(TT_CRYPTO, int, EVP_PKEY_CTX_set_rsa_padding, 0, (EVP_PKEY_CTX * ctx, int padding), (ctx, padding))
FAILING(TT_CRYPTO, int, EVP_PKEY_CTX_set_signature_md, 0, (EVP_PKEY_CTX * ctx, const EVP_MD *md), (ctx, md))
FAILING(TT_CRYPTO, int, EVP_PKEY_CTX_set_rsa_mgf1_md, 0, (EVP_PKEY_CTX * ctx, const EVP_MD *md), (ctx, md))
FAILING(TT_CRYPTO, int, EVP_PKEY_CTX_set_rsa_pss_saltlen, 0, (EVP_PKEY_CTX * ctx, int len), (ctx, len))
FAILING(TT_CRYPTO, int, EVP_PKEY_verify_init, 0, (EVP_PKEY_CTX * ctx), (ctx))
FAILING(TT_CRYPTO, int, EVP_PKEY_verify, -1,
        (EVP_PKEY_CTX * ctx, const unsigned char *sig, size_t sig_len, const unsigned char *hash, size_t len),
        (ctx, sig, sig_len, hash, len))
FAILING(TT_CRYPTO, int, EVP_PKEY_public_check, 0, (EVP_PKEY_CTX * ctx), (ctx))
FAILING(TT_CRYPTO, int, EVP_PKEY_fromdata_init, 0, (EVP_PKEY_CTX * ctx), (ctx))
FAILING(TT_CRYPTO, int, EVP_PKEY_fromdata, 0, (EVP_PKEY_CTX * ctx, EVP_PKEY **pkey, int selection, OSSL_PARAM params[]),
        (ctx, pkey, selection, params))
FAILING(TT_CRYPTO, int, EVP_PKEY_get_bn_param, 0, (const EVP_PKEY *pkey, const char *name, BIGNUM **bn), (pkey, name, bn))
FAILING(TT_CRYPTO, int, EVP_PKEY_get_raw_public_key, 0, (const EVP_PKEY *pkey, unsigned char *out, size_t *len), (pkey, out, len))
FAILING(TT_CRYPTO, int, EVP_PKEY_get_group_name, 0, (const EVP_PKEY *pkey, char *name, size_t size, size_t *len),
        (pkey, name, size, len))
FAILING(TT_CRYPTO, EVP_PKEY *, EVP_PKEY_new_raw_public_key, NULL,
        (int type, ENGINE *engine, const unsigned char *key, size_t len), (type, engine, key, len))
FAILING(TT_CRYPTO, OSSL_PARAM_BLD *, OSSL_PARAM_BLD_new, NULL, (void), ())
FAILING(TT_CRYPTO, OSSL_PARAM *, OSSL_PARAM_BLD_to_param, NULL, (OSSL_PARAM_BLD * bld), (bld))
FAILING(TT_CRYPTO, int, OSSL_PARAM_BLD_push_BN, 0, (OSSL_PARAM_BLD * bld, const char *key, const BIGNUM *bn), (bld, key, bn))
FAILING(TT_CRYPTO, int, OSSL_PARAM_BLD_push_utf8_string, 0, (OSSL_PARAM_BLD * bld, const char *key, const char *text, size_t len),
        (bld, key, text, len))
FAILING(TT_CRYPTO, int, OSSL_PARAM_BLD_push_octet_string, 0,
        (OSSL_PARAM_BLD * bld, const char *key, const void *bytes, size_t len), (bld, key, bytes, len))
FAILING(TT_CRYPTO, BIGNUM *, BN_bin2bn, NULL, (const unsigned char *bytes, int len, BIGNUM *to), (bytes, len, to))
FAILING(TT_CRYPTO, BIO *, BIO_new_mem_buf, NULL, (const void *bytes, int len), (bytes, len))
FAILING(TT_CRYPTO, int, RAND_bytes, 0, (unsigned char *out, int len), (out, len))

/* ---- memory, JSON -------------------------------------------------------------------------------------------- */

FAILING(TT_MEMORY, void *, malloc, NULL, (size_t size), (size))
FAILING(TT_MEMORY, void *, calloc, NULL, (size_t n, size_t size), (n, size))
FAILING(TT_MEMORY, int, pthread_setspecific, ENOMEM, (pthread_key_t key, const void *value), (key, value))

FAILING(TT_JSON, json_t *, json_object, NULL, (void), ())
FAILING(TT_JSON, json_t *, json_array, NULL, (void), ())
FAILING(TT_JSON, json_t *, json_integer, NULL, (json_int_t n), (n))
FAILING(TT_JSON, json_t *, json_stringn, NULL, (const char *text, size_t len), (text, len))
FAILING(TT_JSON, json_t *, json_stringn_nocheck, NULL, (const char *text, size_t len), (text, len))
FAILING(TT_JSON, json_t *, json_loadb, (memset(error, 0, sizeof *error), NULL),
        (const char *text, size_t len, size_t flags, json_error_t *error), (text, len, flags, error))
FAILING(TT_JSON, char *, json_dumps, NULL, (const json_t *json, size_t flags), (json, flags))
/* These own the value, whether they fail or not. */
FAILING(TT_JSON, int, json_object_set_new_nocheck, (json_decref(value), -1), (json_t * object, const char *key, json_t *value),
        (object, key, value))
FAILING(TT_JSON, int, json_array_append_new, (json_decref(value), -1), (json_t * array, json_t *value), (array, value))

/* ---- databases ----------------------------------------------------------------------------------------------- */

enum { SQL_ERROR = 1 }; /* as SQLite's own, and of no special meaning to apr_dbd */

FAILING(TT_SQL, apr_status_t, apr_dbd_open_ex, APR_EGENERAL,
        (const apr_dbd_driver_t *driver, apr_pool_t *pool, const char *params, apr_dbd_t **handle, const char **error),
        (driver, pool, params, handle, error))
FAILING(TT_SQL, int, apr_dbd_query, SQL_ERROR, (const apr_dbd_driver_t *driver, apr_dbd_t *handle, int *rows, const char *text),
        (driver, handle, rows, text))
FAILING(TT_SQL, int, apr_dbd_select, SQL_ERROR,
        (const apr_dbd_driver_t *driver, apr_pool_t *pool, apr_dbd_t *handle, apr_dbd_results_t **out, const char *text, int any),
        (driver, pool, handle, out, text, any))

/* How many values a statement takes; a later one may be where an earlier one was. */
static struct {
    const apr_dbd_prepared_t *statement;
    int values;
} prepared[256];
static int next_prepared;
static pthread_mutex_t prepared_mutex = PTHREAD_MUTEX_INITIALIZER;

enum { MOST_VALUES = 17 };

static void note_values(const apr_dbd_prepared_t *statement, const char *text)
{
    pthread_mutex_lock(&prepared_mutex);
    prepared[next_prepared].statement = statement;
    prepared[next_prepared].values = 0;
    for (const char *p = strchr(text, '%'); p; p = strchr(p + 1, '%'))
        prepared[next_prepared].values++;
    next_prepared = (next_prepared + 1) % 256;
    pthread_mutex_unlock(&prepared_mutex);
}

static void take_values(const void *out[MOST_VALUES], const apr_dbd_prepared_t *statement, va_list list)
{
    int n = -1;
    pthread_mutex_lock(&prepared_mutex);
    for (int i = 1; i <= 256 && n < 0; i++) {
        int newest = (next_prepared - i + 256) % 256;
        n = prepared[newest].statement == statement ? prepared[newest].values : -1;
    }
    pthread_mutex_unlock(&prepared_mutex);
    if (n < 0 || n > MOST_VALUES)
        abort();
    for (int i = 0; i < MOST_VALUES; i++)
        out[i] = i < n ? va_arg(list, const void *) : NULL;
}

#define ALL_OF(v)                                                                                                                \
    (v)[0], (v)[1], (v)[2], (v)[3], (v)[4], (v)[5], (v)[6], (v)[7], (v)[8], (v)[9], (v)[10], (v)[11], (v)[12], (v)[13], (v)[14], \
        (v)[15], (v)[16]

int __real_apr_dbd_prepare(const apr_dbd_driver_t *driver, apr_pool_t *pool, apr_dbd_t *handle, const char *text,
                           const char *label, apr_dbd_prepared_t **out);
int __wrap_apr_dbd_prepare(const apr_dbd_driver_t *driver, apr_pool_t *pool, apr_dbd_t *handle, const char *text,
                           const char *label, apr_dbd_prepared_t **out);
int __wrap_apr_dbd_prepare(const apr_dbd_driver_t *driver, apr_pool_t *pool, apr_dbd_t *handle, const char *text,
                           const char *label, apr_dbd_prepared_t **out)
{
    if (is_to_fail(TT_SQL, "apr_dbd_prepare"))
        return SQL_ERROR;
    int ret = __real_apr_dbd_prepare(driver, pool, handle, text, label, out);
    if (ret == 0)
        note_values(*out, text);
    return ret;
}

int __real_apr_dbd_pvbquery(const apr_dbd_driver_t *driver, apr_pool_t *pool, apr_dbd_t *handle, int *rows,
                            apr_dbd_prepared_t *statement, ...);
int __wrap_apr_dbd_pvbquery(const apr_dbd_driver_t *driver, apr_pool_t *pool, apr_dbd_t *handle, int *rows,
                            apr_dbd_prepared_t *statement, ...);
int __wrap_apr_dbd_pvbquery(const apr_dbd_driver_t *driver, apr_pool_t *pool, apr_dbd_t *handle, int *rows,
                            apr_dbd_prepared_t *statement, ...)
{
    const void *values[MOST_VALUES];
    va_list list;
    if (is_to_fail(TT_SQL, "apr_dbd_pvbquery"))
        return SQL_ERROR;
    va_start(list, statement);
    take_values(values, statement, list);
    va_end(list);
    return __real_apr_dbd_pvbquery(driver, pool, handle, rows, statement, ALL_OF(values));
}

int __real_apr_dbd_pvbselect(const apr_dbd_driver_t *driver, apr_pool_t *pool, apr_dbd_t *handle, apr_dbd_results_t **out,
                             apr_dbd_prepared_t *statement, int any, ...);
int __wrap_apr_dbd_pvbselect(const apr_dbd_driver_t *driver, apr_pool_t *pool, apr_dbd_t *handle, apr_dbd_results_t **out,
                             apr_dbd_prepared_t *statement, int any, ...);
int __wrap_apr_dbd_pvbselect(const apr_dbd_driver_t *driver, apr_pool_t *pool, apr_dbd_t *handle, apr_dbd_results_t **out,
                             apr_dbd_prepared_t *statement, int any, ...)
{
    const void *values[MOST_VALUES];
    va_list list;
    if (is_to_fail(TT_SQL, "apr_dbd_pvbselect"))
        return SQL_ERROR;
    va_start(list, any);
    take_values(values, statement, list);
    va_end(list);
    return __real_apr_dbd_pvbselect(driver, pool, handle, out, statement, any, ALL_OF(values));
}

/* ---- the system ---------------------------------------------------------------------------------------------- */

FAILING_CALL(int, fstat, EIO, (int fd, struct stat *out), (fd, out))
FAILING_CALL(int, lstat, EIO, (const char *path, struct stat *out), (path, out))
FAILING_CALL(int, stat, EIO, (const char *path, struct stat *out), (path, out))
FAILING_CALL(int, mkdir, EROFS, (const char *path, mode_t mode), (path, mode))
FAILING_CALL(int, fsync, EIO, (int fd), (fd))
FAILING_CALL(int, ftruncate, EIO, (int fd, off_t len), (fd, len))
FAILING_CALL(int, flock, ENOLCK, (int fd, int how), (fd, how))
FAILING_CALL(ssize_t, read, EIO, (int fd, void *out, size_t len), (fd, out, len))
FAILING_CALL(ssize_t, pwrite, ENOSPC, (int fd, const void *bytes, size_t len, off_t at), (fd, bytes, len, at))

/* The mode counts only where a file is made. */
#define FAILING_OPEN(name, firsts, handed)                                                                                       \
    int __real_##name firsts;                                                                                                    \
    int __wrap_##name firsts;                                                                                                    \
    int __wrap_##name firsts                                                                                                     \
    {                                                                                                                            \
        if (is_to_fail(TT_FILES, #name)) {                                                                                       \
            errno = EMFILE;                                                                                                      \
            return -1;                                                                                                           \
        }                                                                                                                        \
        va_list list;                                                                                                            \
        va_start(list, flags);                                                                                                   \
        mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;                                                         \
        va_end(list);                                                                                                            \
        return __real_##name handed;                                                                                             \
    }

FAILING_OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
FAILING_OPEN(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

FAILING(TT_LOCKS, apr_status_t, apr_global_mutex_lock, APR_EGENERAL, (apr_global_mutex_t * lock), (lock))
