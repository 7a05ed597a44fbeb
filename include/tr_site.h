/*
 * tr_site.h: does a request that changes something come from a page of another site (cross-site request forgery)?
 */
#ifndef TR_SITE_H
#define TR_SITE_H

#include "tr_base.h"

/*
 * fetch_site: Sec-Fetch-Site (Fetch Metadata), which is believed where it is there: same-origin, same-site and none (the
 * user's own doing) are at home. Else origin: Origin (RFC 6454 7) is at home where it is scheme://host as the request names
 * us. Neither: no browser said anything, so nobody was lured. scheme: "http" or "https"; host: the Host field. Any but
 * scheme may be NULL.
 */
bool tr_site_is_foreign(const char *fetch_site, const char *origin, const char *scheme, const char *host);

#endif
