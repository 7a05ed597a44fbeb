/*
 * tr_line.h: ending a client's connection from a thread that does not own it, with no descriptor of it kept meanwhile.
 *
 * A connection is named by the number of its descriptor and by both its ends. The number alone could belong to another one by
 * then, or to a file. So whoever wants to end it makes a duplicate of what has the number now, which nobody can exchange under his
 * hands, and asks that for its ends: of connections that are there at one time no two have the same.
 */
#ifndef TR_LINE_H
#define TR_LINE_H

#include <stdint.h>

#include "tr_base.h"

struct sockaddr;

typedef struct tr_line_end_t {
    unsigned char address[16]; /* IPv6, or IPv4 mapped into it */
    uint32_t scope;
    uint16_t port;
} tr_line_end_t;

/* Plain data. */
typedef struct tr_line_t {
    int number;
    tr_line_end_t here, there;
} tr_line_t;

/* False: one of them is no address of IPv4 or IPv6, so it could not be found again. */
bool tr_line_name(tr_line_t *out, int number, const struct sockaddr *here, const struct sockaddr *there);

/* The descriptors of who ends connections, so that one is there when all others are used. */
typedef struct tr_cutter_t {
    int nothing; /* what held is of when nothing is being cut */
    int held;    /* -1: none could be had when the last had to be left open */
} tr_cutter_t;

/* Returns 0, or errno, and then nothing is open. */
TR_MUST_CHECK int tr_cutter_open(tr_cutter_t *out);
void tr_cutter_close(tr_cutter_t *cutter);

/*
 * Whoever waits for this connection wakes up, and can neither read nor write. What the system still holds for a client that reads
 * slowly is thrown away when its owner closes it. Where the number is nobody's, or another's, that is left alone. False: it could not
 * be looked at now; ask again. One thread at a time.
 */
bool tr_cutter_cut(tr_cutter_t *cutter, const tr_line_t *line);

#endif
