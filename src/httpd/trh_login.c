/*
 * trh_login.c: TokRevokeLoginURL: a navigation without a good token goes to the login page, which is told the path that was asked
 * for. Only paths are used, so it works behind any proxy.
 */
#include "tr_login.h"
#include "trh.h"

#include <apr_strings.h>
#include <http_core.h>

#include "tr_query.h"

/* The request as the client made it, before redirects inside httpd. */
static const request_rec *first_of(const request_rec *r)
{
    while (r->prev != NULL) {
        r = r->prev;
    }
    return r;
}

static bool is_error_document(const request_rec *r)
{
    for (r = r->prev; r != NULL; r = r->prev) {
        if (r->status != HTTP_OK) {
            return true;
        }
    }
    return false;
}

/* Fetch Metadata: a script that asks for HTML is no navigation. Old browsers send no Sec-Fetch-Mode. */
static bool is_navigation(const request_rec *r)
{
    const char *mode = apr_table_get(r->headers_in, "Sec-Fetch-Mode");

    return r->main == NULL && !is_error_document(r) && r->method_number == M_GET && first_of(r)->method_number == M_GET &&
           trh_wants_html(r) && (mode == NULL || strcmp(mode, "navigate") == 0);
}

/* What was asked for, without a token in its query. */
static const char *asked_for(const request_rec *r)
{
    const apr_array_header_t *sources = trh_sources(trh_dir(r));
    char *asked = tr_login_asked(first_of(r)->unparsed_uri, r->pool);

    for (int i = 0; i < sources->nelts; i++) {
        const tr_source_t *source = &APR_ARRAY_IDX(sources, i, tr_source_t);

        if (source->kind == TR_FROM_QUERY) {
            asked = tr_query_strip_uri(asked, source->name, r->pool);
        }
    }
    return asked;
}

/* Is it the login page itself that is refused, by the address that was asked for or by what became of it? */
static bool is_loop(const request_rec *r, const char *url, const char *asked)
{
    char *path = apr_pstrmemdup(r->pool, asked, strcspn(asked, "?"));

    if (ap_unescape_url(path) != OK) {
        return true; /* nothing that httpd would serve */
    }
    ap_getparents(path);
    ap_no2slash(path);
    return tr_login_is_at(url, r->hostname, path, r->pool) || tr_login_is_at(url, r->hostname, r->uri, r->pool);
}

bool trh_send_to_login(request_rec *r)
{
    const char *url = trh_dir(r)->login;
    const char *asked;

    if (url == NULL || *url == '\0' || !is_navigation(r)) {
        return false;
    }
    asked = asked_for(r);
    if (is_loop(r, url, asked)) {
        return false;
    }
    apr_table_unset(r->err_headers_out, "WWW-Authenticate");
    apr_table_setn(r->err_headers_out, "Location", tr_login_location(url, asked, r->pool));
    return true;
}
