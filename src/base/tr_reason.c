/* tr_reason.c: the one table of refusals: log word, HTTP status, OAuth error code, public text. */
#include "tr_reason.h"

#define INVALID_TOKEN "invalid_token"
#define INVALID_TOKEN_MESSAGE "Invalid token"

/* In the order of the enum in tr_reason.h. */
static const tr_reason_t reasons[] = {
    {"no_token", 401, NULL, "No token was presented", "Missing token", NULL},
    {"multiple_tokens", 400, "invalid_request", "More than one token was presented", "Invalid request", NULL},
    {"malformed", 401, INVALID_TOKEN, "The token is malformed", INVALID_TOKEN_MESSAGE, NULL},
    {"algorithm", 401, INVALID_TOKEN, "The signature algorithm of the token is not allowed", INVALID_TOKEN_MESSAGE, NULL},
    {"unknown_issuer", 401, INVALID_TOKEN, "The issuer of the token is not trusted", INVALID_TOKEN_MESSAGE, NULL},
    {"unknown_key", 401, INVALID_TOKEN, "The key of the token is not known", INVALID_TOKEN_MESSAGE, NULL},
    {"bad_signature", 401, INVALID_TOKEN, "The signature of the token is not valid", INVALID_TOKEN_MESSAGE, NULL},
    {"expired", 401, INVALID_TOKEN, "The token has expired", INVALID_TOKEN_MESSAGE, NULL},
    {"not_yet_valid", 401, INVALID_TOKEN, "The token is not valid yet", INVALID_TOKEN_MESSAGE, NULL},
    {"lifetime", 401, INVALID_TOKEN, "The lifetime of the token is too long", INVALID_TOKEN_MESSAGE, NULL},
    {"audience", 401, INVALID_TOKEN, "The token is meant for another audience", INVALID_TOKEN_MESSAGE, NULL},
    {"token_type", 401, INVALID_TOKEN, "This type of token is not accepted here", INVALID_TOKEN_MESSAGE, NULL},
    {"token_use", 401, INVALID_TOKEN, "The token is not an access token", INVALID_TOKEN_MESSAGE, NULL},
    {"revoked", 401, INVALID_TOKEN, "The token was revoked", INVALID_TOKEN_MESSAGE, "RevokedTokenError"},
};

_Static_assert(sizeof(reasons) / sizeof(reasons[0]) == TR_REFUSED_LAST - TR_REFUSED_FIRST + 1, "a row for every refusal");

static const tr_reason_t unavailable = {"unavailable",         503, "temporarily_unavailable", "The token cannot be checked now",
                                        "Service unavailable", NULL};

static const tr_reason_t busy = {
    "unavailable", 429, "temporarily_unavailable", "Too many forged tokens came from this address", "Too many requests", NULL};

static const tr_reason_t forbidden = {"insufficient_scope", 403,
                                      "insufficient_scope", "The token does not give access to this resource",
                                      "Insufficient scope", NULL};

const tr_reason_t *tr_reason(apr_status_t rv)
{
    if (rv == TR_BUSY) {
        return &busy;
    }
    return tr_is_refusal(rv) ? &reasons[rv - TR_REFUSED_FIRST] : &unavailable;
}

const tr_reason_t *tr_reason_forbidden(void)
{
    return &forbidden;
}
