/*
 * counted.h: how often this program, and every library in it, has asked for memory or taken a lock, and what it holds.
 */
#ifndef COUNTED_H
#define COUNTED_H

typedef struct counted_t {
    unsigned long allocations; /* malloc and its relatives; what is only given back is not counted */
    unsigned long locks;       /* mutexes, read-write and spin locks, waited for or tried */
    long held, peak;           /* bytes of memory, as malloc rounds them up; peak: the most since somebody set it */
} counted_t;

extern counted_t counted;

#endif
