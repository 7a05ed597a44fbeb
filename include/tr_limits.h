/*
 * tr_limits.h: every ceiling on size and count, in one place. What is larger is refused, never cut short.
 */
#ifndef TR_LIMITS_H
#define TR_LIMITS_H

#define TR_MAX_TOKEN_LEN 16384      /* bytes of a compact JWS */
#define TR_MAX_IDENTIFIER_LEN 1024  /* bytes of jti, sub, sid, iss, kid, client_id, azp, each */
#define TR_MAX_CLAIM_NAME_LEN 255   /* bytes of a claim's name or dotted path in the configuration */
#define TR_MAX_JSON_DEPTH 32        /* nested arrays and objects, the outermost included */
#define TR_MAX_KEYS_TRIED 8         /* signature checks per token */
#define TR_MAX_KEY_FILE_LEN 1048576 /* bytes of a key set, PEM or secret file */
#define TR_MAX_KEYS_PER_SET 256     /* members of "keys" */
#define TR_MIN_RSA_BITS 2048        /* RFC 7518 3.3 */
#define TR_MAX_RSA_BITS 8192
#define TR_MAX_BODY_LEN 65536                  /* bytes of a request body */
#define TR_BODY_MOMENT_US 100000               /* that anybody may let us wait for a body */
#define TR_BODY_WAIT_S 10                      /* seconds that a few at once may, ... */
#define TR_BODY_RATE 16384                     /* ... and one more for so many bytes that came */
#define TR_WAITING_SHARE 4                     /* the few: one in so many threads of a child, or processes of mpm_prefork */
#define TR_MAX_WAITING 256                     /* and no more than these */
#define TR_FORGED_SHARE 5                      /* one in so many parts of all processors is spent on dear forged tokens, ... */
#define TR_FORGED_FREE_US 100                  /* ... each beyond these: what an ordinary check takes is no dearer than a page */
#define TR_MAX_PARAMS 64                       /* parameters in a request body */
#define TR_MAX_REASON_LEN 1024                 /* bytes of the reason that a caller gives for a revocation */
#define TR_MAX_ADMIN_ITEMS 1000                /* revocations of one call, and of one transaction */
#define TR_MAX_LISTED (TR_MAX_ADMIN_ITEMS + 1) /* revocations read from the store for one page, one more than it shows */
#define TR_MAX_ADMIN_BODY_LEN 4194304          /* bytes of the body that brings them */
#define TR_MAX_CLIENTS_LEN 1048576             /* bytes of the file of TokRevokeClients */
#define TR_MAX_CLIENT_SECRET_LEN 511 /* bytes of a client's secret: crypt() takes no more, and hashing long ones would be slow */
#define TR_MAX_LOGIN_URL_LEN 2048    /* bytes of what a login page is told */
#define TR_MAX_LOGOUT_TOKENS 16      /* tokens of one logout */
#define TR_MAX_GRANT_LEN 262144      /* bytes of a token endpoint's answer */
#define TR_MAX_GRANT_TOKENS 16       /* readings of the refresh token in a request to it */
#define TR_MAX_PAGE_LEN 65536        /* bytes of the file of TokRevokeLogoutPage */
#define TR_MAX_CAPACITY 1000000000   /* TokRevokeCapacity */
#define TR_MAX_VERIFIED 100000000    /* TokRevokeVerifiedCache */
#define TR_MAX_RECENT 65536          /* tokens that a process remembers whole (tr_recent.h) */
#define TR_MAX_RECENT_TOKEN_LEN 4096 /* bytes of one of them; a longer one is read each time */
#define TR_MAX_RECENT_SIZE 65536     /* bytes of memory that one of them may take */

#endif
