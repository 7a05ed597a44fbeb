/*
 * tr_admin.h: the administrators' endpoint without HTTP: what a body asks for, what a query asks for, and the JSON of the
 * answers.
 */
#ifndef TR_ADMIN_H
#define TR_ADMIN_H

#include <apr_tables.h>

#include "tr_base.h"
#include "tr_gate.h"
#include "tr_store.h"
#include "tr_table.h"

/* ---- problems (RFC 9457) ----------------------------------------------------------------------------------- */

#define TR_NO_ITEM (-1)

typedef struct tr_problem_t {
    int status; /* HTTP */
    const char *detail;
    int index; /* of the item that is wrong, counted from 0; TR_NO_ITEM */
} tr_problem_t;

/* application/problem+json, in pool. title: what HTTP calls the status. */
char *tr_problem_text(const tr_problem_t *problem, const char *title, apr_pool_t *pool);

/* ---- what is to be revoked --------------------------------------------------------------------------------- */

typedef struct tr_admin_context_t {
    tr_issuers_t *issuers;
    const tr_keep_t *keep;
    tr_circumstances_t circumstances; /* the reason is the items' */
    apr_time_t now;                   /* wall clock: who gives no issued_before means this moment */
} tr_admin_context_t;

/*
 * One item, or an array of 1 to TR_MAX_ADMIN_ITEMS. All are looked at before anybody hears yes. *list and its strings live as
 * long as pool. Returns APR_SUCCESS, or APR_EINVAL or APR_ENOMEM with *problem.
 */
TR_MUST_CHECK apr_status_t tr_admin_read(tr_revocation_t **list, int *n, tr_problem_t *problem, tr_str_t body,
                                         const tr_admin_context_t *context, apr_pool_t *pool);

/* {"seq":[...]}; null for one that has no number. */
char *tr_admin_created_text(const tr_revocation_t *list, int n, apr_pool_t *pool);

/* ---- what is there ----------------------------------------------------------------------------------------- */

typedef struct tr_admin_query_t {
    tr_store_query_t store; /* points to what follows: not to be copied. Its limit is one more, to see whether there is more */
    int limit;
    tr_kind_t kind;
    tr_str_t value;
} tr_admin_query_t;

/* args: what stands behind "?", may be NULL. now_s: what has expired is not asked for. Same errors. */
TR_MUST_CHECK apr_status_t tr_admin_read_query(tr_admin_query_t *out, tr_problem_t *problem, const char *args, int64_t now_s,
                                               apr_pool_t *pool);

typedef struct tr_admin_page_t {
    apr_array_header_t *items; /* const char * */
    int limit;
    int64_t last_seq;
    bool has_more;
} tr_admin_page_t;

void tr_admin_page_begin(tr_admin_page_t *page, int limit, apr_pool_t *pool);

/* A tr_store_listed_fn. */
apr_status_t tr_admin_page_add(void *page, const tr_store_listed_t *listed);

/* {"revocations":[...],"next":...} */
char *tr_admin_page_text(const tr_admin_page_t *page, apr_pool_t *pool);

/* ---- how it is --------------------------------------------------------------------------------------------- */

typedef struct tr_admin_status_t {
    const tr_table_stats_t *table; /* NULL: there is none */
    const char *store;             /* its name, without a password; NULL: memory only */
    int64_t last_seq;              /* heard of up to this number */
    double age_s;                  /* since it was asked last whether there is more */
    uint64_t stalls;
    uint64_t presented; /* revoked tokens that were shown */
    bool is_informed;
} tr_admin_status_t;

char *tr_admin_status_text(const tr_admin_status_t *status, apr_pool_t *pool);

#endif
