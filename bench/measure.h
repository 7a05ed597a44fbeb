/*
 * measure.h: what a call costs, in CPU time of this thread: the median, the least and the most of several rounds. The number of
 * calls in a round is found by trying. What was measured is printed and can be written as JSON.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stdint.h>

/* One call of what is measured, in a row of them: i counts up. False: it did not give what it must. */
typedef bool (*measure_fn)(void *baton, uint64_t i);

/* Measure and print one row. A call that fails ends the program: a wrong answer has no speed. */
void measure(const char *room, const char *what, measure_fn call, void *baton);

/* All rows so far as JSON, with the machine and the versions, to the file of this name. False: it cannot be written. */
bool measure_save(const char *path);

/* Seconds that rows took to prepare, for people. */
double measure_clock_s(void);

#endif
