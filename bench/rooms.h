/*
 * rooms.h: between the files of the program that measures each room by itself.
 */
#ifndef ROOMS_H
#define ROOMS_H

#include <stdint.h>

#include <apr_pools.h>

#define VERIFIED 65536 /* the default of TokRevokeVerifiedCache */

/* For call i of a row: a pool that is emptied now and then, as httpd empties that of a request. */
apr_pool_t *some_pool(uint64_t i);

void measure_gate(apr_pool_t *pool);

#endif
