/*
 * tr_testing.c: text and keys for the tests; the signatures are in tr_testing_token.c.
 */
#include "tr_testing.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static apr_pool_t *key_pool;
static apr_hash_t *keys;

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "tr_testing: %s failed\n", what);
    abort();
}

char *tt_print(apr_pool_t *pool, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    must(len >= 0, "vsnprintf");
    char *text = apr_palloc(pool, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

char *tt_b64(apr_pool_t *pool, const void *data, size_t len)
{
    char *text = apr_palloc(pool, len * 4 / 3 + 8);
    int n = EVP_EncodeBlock((unsigned char *)text, data, (int)len);
    while (n > 0 && text[n - 1] == '=')
        text[--n] = '\0';
    for (char *c = text; *c; c++)
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
    return text;
}

tr_str_t tt_unb64(apr_pool_t *pool, const char *text)
{
    size_t len = strlen(text), padded_len = (len + 3) / 4 * 4;
    char *padded = apr_palloc(pool, padded_len + 1);
    for (size_t i = 0; i < padded_len; i++)
        padded[i] = (char)(i >= len ? '=' : text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
    unsigned char *out = apr_palloc(pool, padded_len + 1);
    int n = EVP_DecodeBlock(out, (unsigned char *)padded, (int)padded_len);
    must(n >= 0, "EVP_DecodeBlock");
    return tr_str((char *)out, (size_t)n - (padded_len - len));
}

char *tt_repeat(apr_pool_t *pool, const char *piece, size_t count)
{
    size_t len = strlen(piece);
    char *text = apr_palloc(pool, len * count + 1);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * len, piece, len);
    text[len * count] = '\0';
    return text;
}

uint64_t tt_random(uint64_t *seed)
{
    uint64_t x = (*seed += 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

int tt_in_child(int (*what)(void))
{
    int status;
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* cmocka's handlers would go on with the tests */
        signal(SIGABRT, SIG_DFL);
        _exit(what());
    }
    must(waitpid(pid, &status, 0) == pid, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- making keys ------------------------------------------------------------------------------------------- */

static EVP_PKEY *make_pair(const char *name)
{
    if (strncmp(name, "RSA", 3) == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)atoi(name + 3));
    if (strncmp(name, "Ed", 2) == 0 || strncmp(name, "X", 1) == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, name);
    return EVP_PKEY_Q_keygen(NULL, NULL, "EC", name);
}

static tt_key_t *make_key(const char *name)
{
    tt_key_t *key = apr_pcalloc(key_pool, sizeof *key);
    char *kind = apr_pstrdup(key_pool, name);
    char *mark = strchr(kind, '#');
    if (mark)
        *mark = '\0';
    if (strncmp(kind, "oct", 3) == 0) {
        int len = atoi(kind + 3);
        unsigned char *bytes = apr_palloc(key_pool, (size_t)len);
        must(RAND_bytes(bytes, len) == 1, "RAND_bytes");
        key->secret = tr_str((char *)bytes, (size_t)len);
        return key;
    }
    key->pkey = make_pair(kind);
    must(key->pkey != NULL, name);
    key->curve = strncmp(kind, "RSA", 3) == 0 ? NULL : kind;
    return key;
}

const tt_key_t *tt_key(const char *name)
{
    if (!keys) {
        must(apr_pool_create(&key_pool, NULL) == APR_SUCCESS, "apr_pool_create");
        keys = apr_hash_make(key_pool);
    }
    tt_key_t *key = apr_hash_get(keys, name, APR_HASH_KEY_STRING);
    if (key)
        return key;
    key = make_key(name);
    apr_hash_set(keys, apr_pstrdup(key_pool, name), APR_HASH_KEY_STRING, key);
    return key;
}

void tt_keys_free(void)
{
    if (!keys)
        return;
    for (apr_hash_index_t *i = apr_hash_first(key_pool, keys); i; i = apr_hash_next(i)) {
        tt_key_t *key = apr_hash_this_val(i);
        EVP_PKEY_free(key->pkey);
    }
    apr_pool_destroy(key_pool);
    keys = NULL;
}

/* ---- writing keys ------------------------------------------------------------------------------------------ */

static char *bn_b64(apr_pool_t *pool, const EVP_PKEY *pkey, const char *param, int len)
{
    BIGNUM *bn = NULL;
    must(EVP_PKEY_get_bn_param(pkey, param, &bn) == 1, param);
    if (len == 0)
        len = BN_num_bytes(bn);
    unsigned char *bytes = apr_palloc(pool, (size_t)len);
    must(BN_bn2binpad(bn, bytes, len) == len, "BN_bn2binpad");
    BN_free(bn);
    return tt_b64(pool, bytes, (size_t)len);
}

static char *raw_b64(apr_pool_t *pool, const EVP_PKEY *pkey)
{
    unsigned char bytes[64];
    size_t len = sizeof bytes;
    must(EVP_PKEY_get_raw_public_key(pkey, bytes, &len) == 1, "EVP_PKEY_get_raw_public_key");
    return tt_b64(pool, bytes, len);
}

char *tt_jwk(apr_pool_t *pool, const tt_key_t *key, const char *more)
{
    if (!key->pkey)
        return tt_print(pool, "{\"kty\":\"oct\",\"k\":\"%s\"%s}", tt_b64(pool, key->secret.data, key->secret.len), more);
    if (!key->curve)
        return tt_print(pool, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}", bn_b64(pool, key->pkey, "n", 0),
                        bn_b64(pool, key->pkey, "e", 0), more);
    if (key->curve[0] == 'E' || key->curve[0] == 'X')
        return tt_print(pool, "{\"kty\":\"OKP\",\"crv\":\"%s\",\"x\":\"%s\"%s}", key->curve, raw_b64(pool, key->pkey), more);
    int len = (EVP_PKEY_get_bits(key->pkey) + 7) / 8;
    return tt_print(pool, "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s}", key->curve,
                    bn_b64(pool, key->pkey, "qx", len), bn_b64(pool, key->pkey, "qy", len), more);
}

char *tt_jwks(apr_pool_t *pool, ...)
{
    char *list = NULL;
    va_list args;
    va_start(args, pool);
    for (const char *jwk; (jwk = va_arg(args, const char *));)
        list = list ? tt_print(pool, "%s,%s", list, jwk) : apr_pstrdup(pool, jwk);
    va_end(args);
    return tt_print(pool, "{\"keys\":[%s]}", list ? list : "");
}

static char *bio_text(apr_pool_t *pool, BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    char *text = apr_pstrmemdup(pool, data, (size_t)len);
    BIO_free(bio);
    return text;
}

char *tt_pem(apr_pool_t *pool, const tt_key_t *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PUBKEY(bio, key->pkey) == 1, "PEM_write_bio_PUBKEY");
    return bio_text(pool, bio);
}

char *tt_private_pem(apr_pool_t *pool, const tt_key_t *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) == 1, "PEM_write_bio_PrivateKey");
    return bio_text(pool, bio);
}

char *tt_certificate(apr_pool_t *pool, const tt_key_t *key)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_NAME_new();
    const unsigned char *cn = (const unsigned char *)"idp.example.com";
    must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, cn, -1, -1, 0) == 1, "X509_NAME_add_entry_by_txt");
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_set_subject_name(cert, name);
    X509_set_issuer_name(cert, name);
    ASN1_TIME_set(X509_getm_notBefore(cert), 0);
    ASN1_TIME_set(X509_getm_notAfter(cert), 31536000);
    X509_set_pubkey(cert, key->pkey);
    const char *curve = key->curve;
    must(X509_sign(cert, key->pkey, curve && curve[0] == 'E' ? NULL : EVP_sha256()) > 0, "X509_sign");
    BIO *bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_X509(bio, cert) == 1, "PEM_write_bio_X509");
    X509_NAME_free(name);
    X509_free(cert);
    return bio_text(pool, bio);
}

const tr_key_t *tt_read_jwk(apr_pool_t *pool, const char *jwk)
{
    tr_keys_t *set;
    const char *why;
    apr_status_t rv = tr_keys_from_jwks(&set, &why, tr_str_z(tt_jwks(pool, jwk, NULL)), pool);
    return rv == APR_SUCCESS && set->count == 1 ? set->key[0] : NULL;
}
