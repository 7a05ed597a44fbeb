/* trh_strip.c: taking the token out of a request, in every spelling in which the application behind could see it. */
#include "trh.h"

#include <apr_strings.h>

#include "tr_bearer.h"
#include "tr_query.h"

/* Any token is longer. Without a limit, a client could take apart what the configuration has put into variables. */
#define SHORTEST_TOKEN 64

/*
 * Does mod_proxy, or mod_rewrite for it, have the query in the address as it is sent on? Elsewhere that has the path alone, decoded:
 * a question mark in it is one of the path's, and who cut there would send on another path than the one that was judged.
 */
static bool has_query_in_filename(const request_rec *r)
{
    return r->filename != NULL && strncmp(r->filename, "proxy:", 6) == 0 &&
           (r->proxyreq == PROXYREQ_PROXY || apr_table_get(r->notes, "proxy-nocanon") != NULL);
}

static void strip_parameter_here(request_rec *r, const char *name)
{
    if (r->args != NULL) {
        r->args = tr_query_strip(r->args, strlen(r->args), name, r->pool);
    }
    if (r->parsed_uri.query != NULL) {
        r->parsed_uri.query = tr_query_strip(r->parsed_uri.query, strlen(r->parsed_uri.query), name, r->pool);
    }
    if (r->unparsed_uri != NULL) {
        r->unparsed_uri = tr_query_strip_uri(r->unparsed_uri, name, r->pool);
    }
    /* REQUEST_URI of CGI and the access log's %r are made of this. */
    if (r->the_request != NULL) {
        r->the_request = tr_query_strip_uri(r->the_request, name, r->pool);
    }
    if (has_query_in_filename(r)) {
        r->filename = tr_query_strip_uri(r->filename, name, r->pool);
    }
}

/* Also from where a redirect inside httpd began: REDIRECT_QUERY_STRING of CGI is made of that. */
static void strip_parameter(request_rec *r, const char *name)
{
    for (; r != NULL; r = r->prev) {
        strip_parameter_here(r, name);
    }
}

static void strip_cookie(request_rec *r, const char *name)
{
    const char *field = apr_table_get(r->headers_in, "Cookie");
    char *left = field != NULL ? tr_cookie_strip(tr_str_z(field), tr_str_z(name), r->pool) : NULL;

    if (left != NULL) {
        apr_table_setn(r->headers_in, "Cookie", left);
    }
    else {
        apr_table_unset(r->headers_in, "Cookie");
    }
}

static char *without(const char *text, const char *token, apr_size_t len, apr_pool_t *pool)
{
    char *left = apr_palloc(pool, strlen(text) + 1);
    char *to = left;
    const char *found;

    for (; (found = strstr(text, token)) != NULL; text = found + len) {
        memcpy(to, text, (apr_size_t)(found - text));
        to += found - text;
    }
    memcpy(to, text, strlen(text) + 1);
    return left;
}

/* SetEnvIf has made some before us ("HTTP_AUTHORIZATION=$1"), and a part of a page begins with those of the page. */
static void strip_variables(request_rec *r, tr_str_t token)
{
    const char *text = token.len >= SHORTEST_TOKEN ? tr_str_dup_z(token, r->pool) : NULL;
    const apr_array_header_t *all = apr_table_elts(r->subprocess_env);

    for (int i = 0; text != NULL && i < all->nelts; i++) {
        apr_table_entry_t *entry = &APR_ARRAY_IDX(all, i, apr_table_entry_t);

        /* mod_include adds some without a value */
        if (entry->val != NULL && strstr(entry->val, text) != NULL) {
            entry->val = without(entry->val, text, token.len, r->pool);
        }
    }
}

/* All that the sources hold. Of very many, no good one is among the last. */
static void strip_all_variables(request_rec *r, const apr_array_header_t *sources)
{
    apr_array_header_t *tokens = apr_array_make(r->pool, 2, sizeof(tr_str_t));
    bool fits = trh_find_all(tokens, r, sources, NULL);

    (void)fits;
    for (int i = 0; i < tokens->nelts; i++) {
        strip_variables(r, APR_ARRAY_IDX(tokens, i, tr_str_t));
    }
}

void trh_strip_token(request_rec *r, const apr_array_header_t *sources)
{
    if (!apr_is_empty_table(r->subprocess_env)) {
        strip_all_variables(r, sources);
    }
    for (int i = 0; i < sources->nelts; i++) {
        const tr_source_t *source = &APR_ARRAY_IDX(sources, i, tr_source_t);
        const char *authorization = apr_table_get(r->headers_in, "Authorization");

        switch (source->kind) {
        case TR_FROM_AUTHORIZATION:
            if (tr_has_bearer_scheme(tr_str_z(authorization))) {
                apr_table_unset(r->headers_in, "Authorization");
            }
            break;
        case TR_FROM_HEADER:
            apr_table_unset(r->headers_in, source->name);
            break;
        case TR_FROM_COOKIE:
            strip_cookie(r, source->name);
            break;
        case TR_FROM_QUERY:
            strip_parameter(r, source->name);
            break;
        default:
            break;
        }
    }
}
