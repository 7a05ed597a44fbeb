/* measure.c: see measure.h. */
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include <jansson.h>
#include <openssl/crypto.h>

#define ROUNDS 11
#define ROUND_NS 15e6
#define MAX_ROWS 128

typedef struct row_t {
    const char *room, *what;
    uint64_t calls; /* in a round */
    double median, least, most;
} row_t;

static row_t rows[MAX_ROWS];
static int row_count;

static double clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double measure_clock_s(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1e9;
}

/* Nanoseconds that calls take. */
static double run(const row_t *row, measure_fn call, void *baton, uint64_t calls)
{
    double began = clock_ns(CLOCK_THREAD_CPUTIME_ID);

    for (uint64_t i = 0; i < calls; i++) {
        if (!call(baton, i)) {
            fprintf(stderr, "%s: %s: call %lu gave a wrong answer\n", row->room, row->what, (unsigned long)i);
            exit(1);
        }
    }
    return clock_ns(CLOCK_THREAD_CPUTIME_ID) - began;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void measure(const char *room, const char *what, measure_fn call, void *baton)
{
    double ns[ROUNDS];
    row_t *row = &rows[row_count];

    if (row_count == MAX_ROWS) {
        fprintf(stderr, "measure: more than %d rows\n", MAX_ROWS);
        exit(1);
    }
    row_count++;
    row->room = room;
    row->what = what;
    for (row->calls = 1; run(row, call, baton, row->calls) < ROUND_NS / 2; row->calls *= 2) {
    }
    for (int r = 0; r < ROUNDS; r++) {
        ns[r] = run(row, call, baton, row->calls) / (double)row->calls;
    }
    qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
    row->median = ns[ROUNDS / 2];
    row->least = ns[0];
    row->most = ns[ROUNDS - 1];
    printf("  %-8s %-52s %10.1f ns   (%.1f to %.1f)\n", room, what, row->median, row->least, row->most);
    fflush(stdout);
}

/* The processor's name as the system has it. */
static void read_processor(char *out, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");

    snprintf(out, size, "unknown");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(out, size, "%s", colon + 2);
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

static json_t *machine(void)
{
    struct utsname system;
    char processor[200];

    uname(&system);
    read_processor(processor, sizeof(processor));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "processor", processor, "system", system.sysname, "release",
                     system.release, "openssl", OpenSSL_version(OPENSSL_VERSION), "jansson", jansson_version_str(), "compiler",
                     __VERSION__);
}

bool measure_save(const char *path)
{
    json_t *list = json_array();
    json_t *all;
    int failed;

    for (int i = 0; i < row_count; i++) {
        const row_t *row = &rows[i];

        json_array_append_new(list, json_pack("{s:s, s:s, s:f, s:f, s:f, s:i, s:I}", "room", row->room, "what", row->what,
                                              "median_ns", row->median, "min_ns", row->least, "max_ns", row->most, "rounds",
                                              ROUNDS, "calls", (json_int_t)row->calls));
    }
    all = json_pack("{s:o, s:o}", "machine", machine(), "rows", list);
    failed = json_dump_file(all, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(all);
    return failed == 0;
}
