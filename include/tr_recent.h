/*
 * tr_recent.h: the recent-token cache: tokens that this process has just seen, with everything that was read from them, so that
 * seeing one again needs no JSON, no base64, no signature and no allocation but a cleanup in its pool.
 *
 * An entry is found by all of: every byte of the token, the server (gate), the claim that names the user, and the number of the
 * generation of keys and rules (tr_generation.h). It says: all checks that depend on neither time nor revocations were passed.
 * Those that do are asked of it each time. Nothing about revocations is in it but the marks to look up (src/gate/tr_marks.h).
 *
 * There are no locks, and nobody waits. A slot has one word of state: whether it is valid, whether somebody writes it, and how
 * many hold it. Whoever finds a token counts himself in, and looks then whether the slot is valid; whoever wants to write needs a
 * slot that nobody holds, else another, else goes without. So an entry lies still as long as it is held, which is until the
 * holder's pool is cleared: a request, and what is streamed to a client for hours. A held slot is a chance lost, no more.
 *
 * Memory is bounded: by the number of slots, and by a budget of bytes, in which all that is kept is weighed. A token is kept
 * when it is seen for the second time, so that those that never come again push nothing out.
 */
#ifndef TR_RECENT_H
#define TR_RECENT_H

#include <apr_tables.h>

#include "tr_gate.h"

typedef struct tr_recent_stats_t {
    uint64_t kept; /* entries ever made */
    uint64_t hits; /* tokens found: about, two who hit one entry at once may count as one */
    apr_size_t bytes;
    uint32_t entries;
    uint32_t held; /* holders of entries */
} tr_recent_stats_t;

/* Room for about slots tokens (1 to TR_MAX_RECENT) and bytes of memory. NULL: there is no memory. Lives until tr_recent_free. */
tr_recent_t *tr_recent_make(uint32_t slots, apr_size_t bytes);

/* Nobody may hold an entry any more. */
void tr_recent_free(tr_recent_t *recent);

/*
 * The identity that was read from text; NULL: it is not remembered. number: of the gate's generation, as it is now. What it
 * returns, and all that it points to, lasts as long as pool. Any thread.
 */
const tr_identity_t *tr_recent_find(tr_recent_t *recent, const tr_gate_t *gate, uint64_t number, tr_str_t text,
                                    const char *user_claim, apr_pool_t *pool);

/*
 * Remember identity, perhaps: it was read from its jws.text by this gate under the generation of this number, which is still that
 * of now, and passed all that depends on neither time nor revocations. pool is for what is needed meanwhile. Any thread.
 */
void tr_recent_put(tr_recent_t *recent, const tr_gate_t *gate, uint64_t number, const tr_identity_t *identity,
                   const char *user_claim, apr_pool_t *pool);

/*
 * The claims. Of a remembered token they are read when somebody first asks, and kept, if there are bytes for them. Lives as long as
 * the identity and pool. NULL: there is no memory.
 */
const tr_json_t *tr_recent_payload(const tr_identity_t *identity, apr_pool_t *pool);

/*
 * Every claim as a variable: tr_export_variables of the identity's payload. Of one that is remembered they are made once for all
 * requests (for the prefix that is asked for first), and copied into pool: other modules get at them, which may write to them, and
 * read them when nobody holds the identity any more.
 */
const apr_array_header_t *tr_recent_variables(const tr_identity_t *identity, const char *prefix, apr_pool_t *pool);

/*
 * tr_export_header of the identity's payload. Of one that is remembered the value is made once for all requests, and copied into
 * pool, for the same reason.
 */
TR_MUST_CHECK apr_status_t tr_recent_header(const char **out, const tr_identity_t *identity, const char *claim, apr_pool_t *pool);

/* What tr_fingerprint says of its text, as a number; 0: it can't be had. Of one that is remembered it is made once. */
uint64_t tr_recent_fingerprint(const tr_identity_t *identity, tr_str_t text, apr_pool_t *pool);

/* True: no string anywhere in its payload holds a control character. False: one may. One comparison. */
bool tr_recent_is_clean(const tr_identity_t *identity);

/*
 * Drop those that have expired at now (microseconds since 1970) or are of a generation that is over, a part of all slots at a time:
 * whoever was dead before as many calls as TR_RECENT_SWEEPS is gone after them, unless somebody held it. Any thread.
 */
#define TR_RECENT_SWEEPS 16
void tr_recent_sweep(tr_recent_t *recent, apr_time_t now);

/* A snapshot for people; the numbers may be moments apart. */
void tr_recent_stats(tr_recent_stats_t *out, const tr_recent_t *recent);

#endif
