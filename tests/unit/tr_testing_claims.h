/*
 * tr_testing_claims.h: tokens of one issuer whose claims are to be checked; nothing is signed.
 */
#ifndef TR_TESTING_CLAIMS_H
#define TR_TESTING_CLAIMS_H

#include "tr_testing_cmocka.h"
#include "tr_token.h"

static inline tr_issuer_t *make_issuer(apr_pool_t *pool, const char *iss)
{
    tr_issuer_t *issuer = apr_pcalloc(pool, sizeof *issuer);
    issuer->iss = iss;
    issuer->keyring = tr_keyring_make(pool);
    issuer->skew_s = 60;
    issuer->max_lifetime_s = 86400;
    return issuer;
}

static inline tr_issuers_t *issuers_of(apr_pool_t *pool, tr_issuer_t *a, tr_issuer_t *b)
{
    tr_issuers_t *issuers = apr_hash_make(pool);
    apr_hash_set(issuers, a->iss, APR_HASH_KEY_STRING, a);
    if (b)
        apr_hash_set(issuers, b->iss, APR_HASH_KEY_STRING, b);
    return issuers;
}

/* A token with these claims, its issuer found. */
static inline tr_token_t token_with(apr_pool_t *pool, tr_issuer_t *issuer, const char *header, const char *claims)
{
    tr_token_t token;
    char *payload = tt_print(pool, "{\"iss\":\"%s\"%s%s}", issuer->iss, *claims ? "," : "", claims);
    memset(&token, 0, sizeof token);
    char *text = tt_assemble(pool, header ? header : "{\"alg\":\"HS256\"}", payload, tr_str_z("sig"));
    if (tr_jws_parse(&token.jws, tr_str_z(text), pool) != APR_SUCCESS)
        fail_msg("malformed: %s", claims);
    assert_int_equal(tr_token_find_issuer(&token, issuers_of(pool, issuer, NULL)), APR_SUCCESS);
    assert_ptr_equal(token.issuer, issuer);
    return token;
}

static inline tr_token_t token_of(apr_pool_t *pool, const char *claims)
{
    return token_with(pool, make_issuer(pool, "joe"), NULL, claims);
}

#endif
