/*
 * tr_secret.h: secrets that live as long as the configuration.
 */
#ifndef TR_SECRET_H
#define TR_SECRET_H

#include "tr_base.h"

/*
 * A copy of secret in pages of its own, which no core dump holds where the system can leave them out. They are wiped with pool.
 * Returns APR_SUCCESS, or APR_ENOMEM.
 */
TR_MUST_CHECK apr_status_t tr_secret_keep(tr_str_t *out, tr_str_t secret, apr_pool_t *pool);

#endif
