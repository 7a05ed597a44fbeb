/*
 * Lists of field names (Connection): the first byte picks the name that must go, the rest is the list.
 */
#include "world.h"

#include <apr_strings.h>

#include "tr_export.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"X-User", "x_role", "a", "-"};
enum { NAMES = sizeof names / sizeof *names };

static bool is_name(void *name, tr_str_t one)
{
    ALWAYS(one.len > 0);
    return tr_export_is_same_field(tr_str_z(name), one);
}

static bool keep(void *count, tr_str_t one)
{
    (void)one;
    ++*(size_t *)count;
    return false;
}

static size_t count(const char *list, apr_pool_t *pool)
{
    size_t n = 0;
    ALWAYS(tr_export_strip_list(list, keep, &n, pool) == NULL);
    return n;
}

static void judge(const world_t *w, const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    const char *name = names[data[0] % NAMES];
    const char *list = apr_pstrmemdup(w->pool, (const char *)data + 1, size - 1);
    const char *left = tr_export_strip_list(list, is_name, (void *)name, w->pool);
    if (left == NULL)
        return;
    /* Nothing is left to drop, and fewer names than before. */
    ALWAYS(tr_export_strip_list(left, is_name, (void *)name, w->pool) == NULL);
    ALWAYS(count(left, w->pool) < count(list, w->pool));
    ALWAYS(strlen(left) <= 2 * strlen(list));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
