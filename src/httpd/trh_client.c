/*
 * trh_client.c: OAuth client authentication at our endpoints (TokRevokeClients). The file is read for each request, as
 * mod_authn_file does with its own: this is no hot path, and an edit counts at once.
 */
#include "trh_shared.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <unixd.h>

#include "tr_client.h"

#define REALM "token endpoints"
#define ID_LEN 200 /* bytes of a client_id that are logged */

/* ---- this process' memory of good credentials -------------------------------------------------------------- */

/* Made by the first who needs it; until it is ready, hashes are checked. */
static tr_client_cache_t *cache(void)
{
    enum { NOT_YET, BEING_MADE, READY };
    static tr_client_cache_t known;
    static _Atomic int stage;
    int expected = NOT_YET;

    if (atomic_load_explicit(&stage, memory_order_acquire) == READY) {
        return &known;
    }
    if (atomic_compare_exchange_strong(&stage, &expected, BEING_MADE)) {
        bool made = tr_client_cache_init(&known) == APR_SUCCESS;

        atomic_store_explicit(&stage, made ? READY : NOT_YET, memory_order_release);
        return made ? &known : NULL;
    }
    return NULL;
}

/* ---- the log ----------------------------------------------------------------------------------------------- */

static const char *short_id(tr_str_t id, apr_pool_t *pool)
{
    return tr_str_dup_z(tr_str(id.data, id.len < ID_LEN ? id.len : ID_LEN), pool);
}

/* All processes together say it once a minute: clients can ask as often as they like. */
static void log_broken(request_rec *r, const char *why)
{
    trh_watch_t *watch = trh_watch();

    if (watch != NULL && trh_is_said_lately(&watch->clients_said_at)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "clients cannot be authenticated: %s", why);
        return;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "TR030: clients cannot be authenticated and are answered 503: %s", why);
}

static void log_failure(request_rec *r, const tr_clients_t *clients, const tr_credentials_t *credentials, const char *why)
{
    for (int i = 0; i < credentials->readings; i++) {
        const char *hash = tr_clients_hash(clients, credentials->id[i]);
        const char *what = credentials->has_secret ? "its secret is wrong" : "it must show its secret";

        if (hash == NULL) {
            what = "no such client";
        }
        else if (hash[0] == '\0') {
            what = "it is public, and named itself otherwise than by client_id alone";
        }
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "client \"%s\" was not authenticated: %s",
                      short_id(credentials->id[i], r->pool), what);
    }
    if (credentials->readings == 0) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "no client was authenticated: %s", why);
    }
}

/* ---- brute force ------------------------------------------------------------------------------------------- */

/* One counter for each reading: else an id could be tried under as many names as it has spellings. */
typedef struct callers_t {
    tr_throttle_t *throttle; /* NULL: there is no shared memory */
    uint64_t who[TR_READINGS];
    int64_t now_s;
} callers_t;

static void find_callers(callers_t *out, const request_rec *r, const tr_credentials_t *credentials)
{
    const apr_sockaddr_t *address = r->useragent_addr;
    tr_str_t network = tr_throttle_network(address->ipaddr_ptr, (apr_size_t)address->ipaddr_len);
    trh_watch_t *watch = trh_watch();

    memset(out, 0, sizeof(*out));
    if (watch == NULL || !credentials->has_secret) {
        return;
    }
    out->throttle = &watch->throttle;
    out->now_s = apr_time_sec(trh_steady_clock());
    for (int i = 0; i < credentials->readings; i++) {
        out->who[i] = tr_throttle_who(out->throttle, network, credentials->id[i]);
    }
}

static int wait_s(const callers_t *callers)
{
    int longest = 0;

    for (int i = 0; i < TR_READINGS && callers->throttle != NULL && callers->who[i] != 0; i++) {
        int wait = tr_throttle_wait_s(callers->throttle, callers->who[i], callers->now_s);

        longest = wait > longest ? wait : longest;
    }
    return longest;
}

static void count(request_rec *r, const callers_t *callers, const tr_credentials_t *credentials, const tr_client_t *good)
{
    for (int i = 0; i < TR_READINGS && callers->throttle != NULL && callers->who[i] != 0; i++) {
        bool is_same = i > 0 && callers->who[i] == callers->who[0];

        if (good != NULL) {
            /* Not the other reading: that is another client's name. */
            if (tr_str_eq(credentials->id[i], good->id)) {
                tr_throttle_forgive(callers->throttle, callers->who[i]);
            }
        }
        else if (!is_same && tr_throttle_fail(callers->throttle, callers->who[i], callers->now_s)) {
            ap_log_rerror(
                APLOG_MARK, APLOG_WARNING, 0, r,
                "TR031: client \"%s\" has failed to authenticate %d times within %d seconds from %s: more is answered 429 "
                "until these are over",
                short_id(credentials->id[i], r->pool), TR_THROTTLE_LIMIT, TR_THROTTLE_WINDOW_S, r->useragent_ip);
        }
    }
}

/* ---- the request ------------------------------------------------------------------------------------------- */

static const char *realm(const request_rec *r)
{
    const char *name = ap_auth_name((request_rec *)r);

    return name != NULL ? name : REALM;
}

void trh_refuse_client(tr_answer_t *refusal, const request_rec *r, tr_answers_t answers)
{
    tr_client_refuse(refusal, answers, realm(r), r->pool);
}

/* *refusal: a ready answer. */
static bool check(tr_client_t *out, tr_answer_t *refusal, request_rec *r, const tr_clients_t *clients,
                  const tr_credentials_t *credentials, const char *why, tr_answers_t answers)
{
    callers_t callers;
    apr_status_t rv;
    int wait;

    find_callers(&callers, r, credentials);
    wait = wait_s(&callers);
    if (wait > 0) {
        tr_client_throttle(refusal, answers, wait, r->pool);
        return false;
    }
    rv = tr_client_authenticate(out, clients, credentials, cache());
    count(r, &callers, credentials, rv == APR_SUCCESS ? out : NULL);
    if (rv != APR_SUCCESS) {
        log_failure(r, clients, credentials, why);
        trh_refuse_client(refusal, r, answers);
    }
    return rv == APR_SUCCESS;
}

bool trh_authenticate_client(tr_client_t *out, tr_answer_t *refusal, request_rec *r, const tr_params_t *params,
                             tr_answers_t answers)
{
    const char *path = trh_dir(r)->clients;
    tr_credentials_t credentials;
    tr_clients_t *clients;
    const char *why = NULL;
    bool is_known;

    memset(out, 0, sizeof(*out));
    if (path == NULL) {
        return true;
    }
    if (tr_credentials_read(&credentials, &why, apr_table_get(r->headers_in, "Authorization"), params, r->pool) != APR_SUCCESS) {
        tr_answer_refuse(refusal, answers, HTTP_BAD_REQUEST, why, r->pool);
        return false;
    }
    if (tr_clients_read(&clients, &why, path, ap_unixd_config.user_id, r->pool) != APR_SUCCESS) {
        log_broken(r, why);
        tr_credentials_wipe(&credentials, params);
        tr_client_unavailable(refusal, answers, r->pool);
        return false;
    }
    is_known = check(out, refusal, r, clients, &credentials, why, answers);
    tr_credentials_wipe(&credentials, params);
    if (!is_known) {
        return false;
    }
    if (out->kind == TR_CLIENT_CONFIDENTIAL && r->user == NULL) {
        r->user = tr_str_dup_z(out->id, r->pool);
    }
    return true;
}
