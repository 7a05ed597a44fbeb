/*
 * tr_thread.h: what of OpenSSL a room keeps for the calling thread, so that it is neither made anew for each token nor shared;
 * and how threads that use OpenSSL are kept apart from its end in exit().
 */
#ifndef TR_THREAD_H
#define TR_THREAD_H

#include "tr_base.h"

typedef enum tr_thread_place_t { TR_THREAD_DIGEST, TR_THREAD_SIGNATURE } tr_thread_place_t;
#define TR_THREAD_PLACES 2

typedef void (*tr_thread_free_fn)(void *kept);

/* What the calling thread keeps there; NULL: nothing yet. */
void *tr_thread_kept(tr_thread_place_t place);

/*
 * Keep it there, where nothing is yet. free_kept is called in this thread, when it ends or leaves OpenSSL (tr_leave_openssl), or
 * when it unloads this code; never after exit() has ended OpenSSL. False: it cannot be kept, and stays the caller's.
 */
bool tr_thread_keep(tr_thread_place_t place, void *kept, tr_thread_free_fn free_kept);

/* Free all that the calling thread keeps. It may begin anew. */
void tr_thread_forget(void);

/*
 * Around each use of OpenSSL by a thread that may still serve while its process is in exit(), which ends OpenSSL: exit() waits
 * for those inside, for about a second at most. True: the caller is inside and must leave. False: exit() has begun; the caller
 * must fail. May be nested.
 */
TR_MUST_CHECK bool tr_openssl_enter(void);
void tr_openssl_leave(void);

#endif
