/* trh_logout_page.c: the pages of logout for people: no script, nothing from elsewhere, readable without style. */
#include "trh.h"

#include <http_protocol.h>

#include "tr_logout.h"

/* A template may bring style and images of its own server, and nothing that runs. Nobody may frame it (clickjacking). */
#define POLICY                                                                                                                   \
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; font-src 'self'; base-uri 'none'; frame-ancestors 'none'"

#define HEAD(title)                                                                                                              \
    "<!DOCTYPE html>\n"                                                                                                          \
    "<html lang=\"en\">\n"                                                                                                       \
    "<head>\n"                                                                                                                   \
    "<meta charset=\"utf-8\">\n"                                                                                                 \
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"                                                 \
    "<title>" title "</title>\n"                                                                                                 \
    "<style>\n"                                                                                                                  \
    ":root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5; }\n"                                \
    "main { max-width: 30rem; margin: 15vh auto 0; padding: 0 1rem; }\n"                                                         \
    "button { font: inherit; padding: 0.6rem 1.5rem; cursor: pointer; }\n"                                                       \
    "</style>\n"                                                                                                                 \
    "</head>\n"                                                                                                                  \
    "<body>\n"                                                                                                                   \
    "<main>\n"                                                                                                                   \
    "<h1>" title "</h1>\n"

#define TAIL                                                                                                                     \
    "</main>\n"                                                                                                                  \
    "</body>\n"                                                                                                                  \
    "</html>\n"

/* As an administrator may write one in its place. */
static const char asking[] = HEAD("Log out") "<p>This ends your session in this browser.</p>\n"
                                             "<form method=\"post\" action=\"{action}\">{fields}\n"
                                             "<button type=\"submit\">Log out</button>\n"
                                             "</form>\n" TAIL;

static const char done[] = HEAD("You are logged out") "<p>You can close this page.</p>\n" TAIL;

static int send_page(request_rec *r, const char *page)
{
    apr_table_setn(r->err_headers_out, "Content-Security-Policy", POLICY);
    apr_table_setn(r->err_headers_out, "X-Frame-Options", "DENY");
    ap_set_content_type(r, "text/html; charset=utf-8");
    ap_set_content_length(r, (apr_off_t)strlen(page));
    ap_rputs(page, r);
    return OK;
}

int trh_send_logout_page(request_rec *r, const char *action, tr_str_t redirect, tr_str_t state)
{
    const char *template = trh_dir(r)->logout_page;

    /* With no-referrer a browser sends "Origin: null" with the button's request, and without TLS nothing else to know it by. */
    apr_table_setn(r->err_headers_out, "Referrer-Policy", "same-origin");
    return send_page(r, tr_logout_page(template != NULL ? template : asking, action, redirect, state, r->pool));
}

int trh_send_logged_out_page(request_rec *r)
{
    return send_page(r, done);
}
