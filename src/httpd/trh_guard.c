/*
 * trh_guard.c: the guard of a token endpoint. It runs before whoever makes the answer, a proxy or a script, and reads the request's
 * body whole where that may bring a refresh token; an input filter gives it on, byte for byte. All other bodies stream.
 *
 * What is guarded is decided before any redirect inside httpd, and goes with the request from then on: a front controller must not
 * lead around it.
 */
#include "trh_guard.h"

#include <stdatomic.h>

#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "tr_digest.h"
#include "tr_limits.h"
#include "trh_body.h"

#define KEY "tokrevoke-guarded"
#define FILTER_NAME "TOKREVOKE_GIVE_ON"

static ap_filter_rec_t *filter;

/* This process has met a guarded location: else nothing here costs anything. */
static atomic_bool is_used;

trh_guarded_t *trh_guarded(const request_rec *r)
{
    void *guarded = NULL;

    if (atomic_load_explicit(&is_used, memory_order_relaxed)) {
        (void)apr_pool_userdata_get(&guarded, KEY, r->pool);
    }
    return guarded;
}

int trh_guard_fixup(request_rec *r)
{
    const trh_dir_t *dir = trh_dir(r);
    trh_guarded_t *guarded = dir->guard == 1 ? trh_guarded(r) : NULL;

    if (dir->guard != 1) {
        return DECLINED;
    }
    if (guarded == NULL) {
        atomic_store_explicit(&is_used, true, memory_order_relaxed);
        guarded = apr_pcalloc(r->pool, sizeof(*guarded));
        apr_pool_userdata_setn(guarded, KEY, NULL, r->pool);
    }
    if (!guarded->rotation) {
        guarded->rotation = dir->rotation == 1;
        guarded->opaque_s = dir->opaque_s > 0 ? dir->opaque_s : TR_FOREVER;
    }
    return DECLINED;
}

tr_guard_t trh_guard_of(request_rec *r, const trh_guarded_t *guarded)
{
    tr_guard_t guard;

    memset(&guard, 0, sizeof(guard));
    guard.gate = trh_gate(r);
    guard.ledger = trh_ledger();
    guard.rotation = guarded->rotation;
    guard.opaque_s = guarded->opaque_s;
    guard.keep = trh_keep();
    guard.circumstances = trh_circumstances(r);
    guard.wall = apr_time_now();
    guard.now = trh_clean_now();
    return guard;
}

/* ---- the log -------------------------------------------------------------------------------------------------- */

static void log_unknown(request_rec *r, apr_status_t rv, const char *fingerprint)
{
    static _Atomic int64_t last_s;

    if (rv == TR_GATE_UNINFORMED || rv == TR_BUSY || trh_is_said(&last_s)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "not let on: whether refresh token %s is revoked cannot be known",
                      fingerprint);
        return;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                  "TR046: refresh token %s could not be checked (OpenSSL, memory or the table failed), so it was not let on",
                  fingerprint);
}

static void log_unreadable(request_rec *r, const char *fingerprint)
{
    static _Atomic int64_t last_s;

    if (trh_is_said(&last_s)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "withheld: the exchange of refresh token %s", fingerprint);
        return;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "TR047: the token endpoint's answer to the exchange of refresh token %s was withheld: it is not one whole JSON "
                  "object of at most 256 KiB without Content-Encoding, so nobody can tell what it gives out",
                  fingerprint);
}

static void log_refused(request_rec *r, const tr_guard_outcome_t *outcome)
{
    tr_identity_t identity;

    memset(&identity, 0, sizeof(identity));
    identity.token.sub = outcome->subject;
    identity.revoked_by = outcome->by;
    trh_note_presented(r, outcome->token, &identity);
}

void trh_log_guard(request_rec *r, const tr_guard_outcome_t *outcome)
{
    const char *fingerprint = outcome->token.len > 0 ? tr_fingerprint(outcome->token, r->pool) : "-";

    if (outcome->event == TR_GUARD_REFUSED || outcome->event == TR_GUARD_REUSED) {
        apr_table_setn(r->notes, "tokrevoke-reason", tr_reason(TR_REVOKED)->word);
        apr_table_setn(r->notes, TRH_REFUSED_NOTE, "1");
    }
    switch (outcome->event) {
    case TR_GUARD_REFUSED:
        log_refused(r, outcome);
        break;
    case TR_GUARD_REUSED:
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            "TR045: refresh token %s was shown again after it had been exchanged or revoked, so somebody has a copy: all "
            "tokens of its family are revoked; client %s",
            fingerprint, r->useragent_ip);
        break;
    case TR_GUARD_ROTATED:
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "revoked: refresh token %s was exchanged", fingerprint);
        break;
    case TR_GUARD_UNKNOWN:
        log_unknown(r, outcome->rv, fingerprint);
        break;
    case TR_GUARD_NOT_STORED:
        trh_log_failure(r, outcome->rv, apr_pstrcat(r->pool, "refresh token ", fingerprint, " or its family", NULL));
        break;
    case TR_GUARD_UNREADABLE:
        log_unreadable(r, fingerprint);
        break;
    default:
        if (outcome->answer.status != 0) {
            ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "not let on: %d: %s", outcome->answer.status, outcome->answer.detail);
        }
    }
}

/* ---- the body ------------------------------------------------------------------------------------------------- */

/* How much of the next n bytes a reader of lines gets: up to the first line feed. */
static apr_size_t line_len(const char *data, apr_size_t n)
{
    const char *feed = n > 0 ? memchr(data, '\n', n) : NULL;

    return feed != NULL ? (apr_size_t)(feed - data) + 1 : n;
}

/* Gives the body on, then its end, as often as somebody asks. Nothing is left behind it to be read. */
static apr_status_t give_on(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                            apr_off_t readbytes)
{
    trh_guarded_t *guarded = f->ctx;
    const char *from = guarded->body.data + guarded->given;
    apr_size_t n = guarded->body.len - guarded->given;

    (void)block;
    if (mode == AP_MODE_INIT || mode == AP_MODE_EATCRLF) {
        return APR_SUCCESS;
    }
    if (mode == AP_MODE_GETLINE) {
        n = line_len(from, n);
    }
    else if (mode != AP_MODE_EXHAUSTIVE && readbytes >= 0 && (apr_uint64_t)readbytes < n) {
        n = (apr_size_t)readbytes;
    }
    if (n > 0) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_pool_create(from, n, f->r->pool, bb->bucket_alloc));
    }
    if (n == guarded->body.len - guarded->given) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    }
    if (mode != AP_MODE_SPECULATIVE) {
        guarded->given += n;
    }
    return APR_SUCCESS;
}

static void add_filter(request_rec *r, trh_guarded_t *guarded)
{
    for (ap_filter_t *f = r->input_filters; f != NULL; f = f->next) {
        if (f->frec == filter && f->r == r) {
            return;
        }
    }
    ap_add_input_filter_handle(filter, guarded, r, r->connection);
}

/* A redirect inside httpd leaves all filters of content behind. */
void trh_guard_insert(request_rec *r)
{
    trh_guarded_t *guarded = r->main == NULL && r->prev != NULL ? trh_guarded(r) : NULL;

    if (guarded != NULL && guarded->has_body) {
        add_filter(r, guarded);
    }
    if (guarded != NULL && guarded->exchanged.len > 0) {
        trh_await_exchange(r, guarded);
    }
}

/* In front of every other filter of content, which have all had the body already. */
void trh_register_guard(void)
{
    filter = ap_register_input_filter(FILTER_NAME, give_on, NULL, (ap_filter_type)(AP_FTYPE_RESOURCE - 1));
    trh_register_rotation();
}

static bool is_encoded(const request_rec *r)
{
    const char *encoding = apr_table_get(r->headers_in, "Content-Encoding");

    return encoding != NULL && encoding[0] != '\0' && strcasecmp(encoding, "identity") != 0;
}

/* OK, or the status to answer with *sentence. */
static int take_body(trh_guarded_t *guarded, const char **sentence, request_rec *r)
{
    tr_str_t body;
    int status = trh_read_body(&body, sentence, r, TR_MAX_BODY_LEN);

    if (status != OK) {
        return status;
    }
    if (body.len > 0 && is_encoded(r)) {
        *sentence = "The body is encoded";
        return HTTP_UNSUPPORTED_MEDIA_TYPE;
    }
    guarded->body = body;
    guarded->given = 0;
    guarded->has_body = guarded->has_body || body.len > 0;
    if (!guarded->has_body) {
        return OK;
    }
    /* Filters that change a body's length take the field away, and some servers behind do not read without it. */
    if (body.len > 0 && apr_table_get(r->headers_in, "Content-Length") == NULL &&
        apr_table_get(r->headers_in, "Transfer-Encoding") == NULL) {
        apr_table_setn(r->headers_in, "Content-Length", apr_psprintf(r->pool, "%" APR_SIZE_T_FMT, body.len));
    }
    add_filter(r, guarded);
    return OK;
}

/* ---- the request ---------------------------------------------------------------------------------------------- */

static void read_query_of(tr_grant_t *grant, const char *uri, apr_pool_t *pool)
{
    const char *query = uri != NULL ? strchr(uri, '?') : NULL;

    if (query != NULL) {
        tr_grant_read_form(grant, tr_str_z(query + 1), pool);
    }
}

/* The query as the client sent it, as it is now, and as it is in the address of a proxy's. */
static void read_query(tr_grant_t *grant, const request_rec *r)
{
    tr_grant_read_form(grant, tr_str_z(r->args), r->pool);
    read_query_of(grant, r->unparsed_uri, r->pool);
    read_query_of(grant, r->filename != NULL && strncmp(r->filename, "proxy:", 6) == 0 ? r->filename : NULL, r->pool);
}

static int answer(request_rec *r, const tr_guard_outcome_t *outcome)
{
    trh_log_guard(r, outcome);
    trh_discard_body(r);
    trh_add_cors(r);
    trh_send_answer(r, &outcome->answer);
    return OK;
}

static int refuse(request_rec *r, int status, const char *sentence)
{
    tr_guard_outcome_t outcome;

    memset(&outcome, 0, sizeof(outcome));
    tr_answer_refuse(&outcome.answer, TR_ANSWERS_RFC7009, status, sentence, r->pool);
    return answer(r, &outcome);
}

int trh_guard_handler(request_rec *r)
{
    trh_guarded_t *guarded;
    tr_guard_outcome_t outcome;
    tr_grant_body_t type;
    tr_grant_t grant;
    tr_guard_t guard;
    const char *sentence;
    int status = OK;

    /* Once more: a fast redirect (DirectoryIndex, MultiViews) brings the configuration of another file after fixups. */
    (void)trh_guard_fixup(r);
    guarded = trh_guarded(r);
    /* Whoever guards a whole tree means the token endpoint in it, not ours. */
    if (guarded == NULL || trh_is_endpoint(r->handler)) {
        return DECLINED;
    }
    type = tr_grant_body(apr_table_get(r->headers_in, "Content-Type"), r->pool);
    memset(&grant, 0, sizeof(grant));
    read_query(&grant, r);
    if (type == TR_GRANT_BODY_OTHER && grant.is_refresh) {
        type = TR_GRANT_BODY_ANY;
    }
    /* A subrequest has no body of its own. */
    if (r->main == NULL && type != TR_GRANT_BODY_OTHER) {
        status = take_body(guarded, &sentence, r);
        tr_grant_read_body(&grant, type, guarded->body, r->pool);
    }
    if (status == AP_FILTER_ERROR) {
        return status; /* an input filter has answered */
    }
    if (status != OK) {
        return refuse(r, status, sentence);
    }
    if (type == TR_GRANT_BODY_DOUBTFUL && grant.fault != NULL) {
        return refuse(r, HTTP_UNSUPPORTED_MEDIA_TYPE, grant.fault);
    }
    guard = trh_guard_of(r, guarded);
    tr_guard_judge(&outcome, &guard, &grant, r->pool);
    if (outcome.answer.status != 0) {
        return answer(r, &outcome);
    }
    if (guarded->rotation && tr_grant_is_exchange(&grant)) {
        if (guarded->headers == NULL) {
            guarded->headers = apr_table_copy(r->pool, r->err_headers_out);
        }
        guarded->exchanged = grant.token[0];
        trh_await_exchange(r, guarded);
    }
    return DECLINED;
}
