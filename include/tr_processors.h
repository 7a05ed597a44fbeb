/*
 * tr_processors.h: how much of the machine is ours.
 */
#ifndef TR_PROCESSORS_H
#define TR_PROCESSORS_H

#include <apr_pools.h>
#include <stdint.h>

/*
 * Thousandths of a processor that this process may use, at least 1: as many processors as it may run on (its affinity), or less where its
 * control group, or one above that, has a quota (cgroup v2, cpu.max; with cgroup v1 no quota is seen). Opens some files. root: where the
 * machine's files are, "" but for tests.
 */
int64_t tr_processors_milli(const char *root, apr_pool_t *pool);

#endif
