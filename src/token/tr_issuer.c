/* tr_issuer.c: which section of the configuration speaks for a token. */
#include "tr_issuer.h"

const tr_issuer_t *tr_issuers_find(tr_issuers_t *issuers, tr_str_t iss, bool has_iss)
{
    const tr_issuer_t *issuer = NULL;

    if (has_iss) {
        issuer = apr_hash_get(issuers, iss.data, (apr_ssize_t)iss.len);
    }
    return issuer != NULL ? issuer : apr_hash_get(issuers, "*", 1);
}
