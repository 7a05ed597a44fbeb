/* tr_processors.c: how much of the machine is ours. */
#include "tr_processors.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#define MAX_LINE 4096

static int64_t by_affinity(void)
{
    cpu_set_t ours;
    int64_t n = sched_getaffinity(0, sizeof(ours), &ours) == 0 ? CPU_COUNT(&ours) : sysconf(_SC_NPROCESSORS_ONLN);

    return n > 0 ? n * 1000 : 1000;
}

/* The first line that begins so, without that and its end. False: there is none. */
static bool find_line(char out[MAX_LINE], const char *path, const char *begin)
{
    FILE *file = fopen(path, "re");
    bool is_found = false;

    while (file != NULL && !is_found && fgets(out, MAX_LINE, file) != NULL) {
        is_found = strncmp(out, begin, strlen(begin)) == 0;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    if (is_found) {
        out[strcspn(out, "\n")] = '\0';
        memmove(out, out + strlen(begin), strlen(out + strlen(begin)) + 1);
    }
    return is_found;
}

/* A number at *text, which moves behind it and the spaces that follow; less than 1 is none. */
static int64_t take_number(const char **text)
{
    char *end;
    int64_t number = apr_strtoi64(*text, &end, 10);

    *text = end + strspn(end, " ");
    return number;
}

/* "QUOTA PERIOD", both in microseconds, or "max PERIOD". */
static int64_t least_of(int64_t milli, const char *path)
{
    char line[MAX_LINE];
    const char *text = line;
    int64_t quota, period;

    if (!find_line(line, path, "")) {
        return milli;
    }
    quota = take_number(&text);
    period = take_number(&text);
    if (quota <= 0 || quota >= INT64_MAX / 1000 || period <= 0 || *text != '\0') {
        return milli;
    }
    return quota * 1000 / period < milli ? quota * 1000 / period : milli;
}

int64_t tr_processors_milli(const char *root, apr_pool_t *pool)
{
    char group[MAX_LINE];
    char *slash;
    int64_t milli = by_affinity();

    /* A group that lies outside of what this process sees of the tree begins with "/..": then only the top is looked at. */
    if (!find_line(group, apr_pstrcat(pool, root, "/proc/self/cgroup", NULL), "0::") || group[0] != '/' ||
        strstr(group, "/..") != NULL) {
        group[0] = '\0';
    }
    do {
        milli = least_of(milli, apr_pstrcat(pool, root, "/sys/fs/cgroup", group, "/cpu.max", NULL));
        slash = strrchr(group, '/');
        if (slash != NULL) {
            *slash = '\0';
        }
    } while (slash != NULL);
    return milli > 0 ? milli : 1;
}
