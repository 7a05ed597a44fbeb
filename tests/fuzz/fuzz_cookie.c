/*
 * Cookie fields: the first byte picks the name, the rest is the field.
 */
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"session", "s", "a", "__Host-s"};
enum { NAMES = sizeof names / sizeof *names };

static void judge(const world_t *w, const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    size_t picked = data[0] % NAMES;
    tr_str_t field = tr_str((const char *)data + 1, size - 1), name = tr_str_z(names[picked]);
    tr_str_t value = {NULL, 0}, after = {NULL, 0};
    if (tr_cookie_find(&value, field, name))
        ALWAYS(value.len > 0 && value.data >= field.data && value.data + value.len <= field.data + field.len);
    char *left = tr_cookie_strip(field, name, w->pool);
    if (memchr(data, 0, size) != NULL)
        return; /* no server hands that on, and what is left is a C string */
    tr_str_t rest = tr_str_z(left);
    ALWAYS(left == NULL || (rest.len > 0 && rest.len <= 2 * field.len));
    ALWAYS(!tr_cookie_find(&after, rest, name));
    if (left != NULL) {
        char *again = tr_cookie_strip(rest, name, w->pool);
        ALWAYS(again != NULL && strcmp(again, left) == 0);
    }
    /* What the application looks for is still there, and nothing new is. */
    for (size_t i = 0; i < NAMES; i++) {
        if (i == picked)
            continue;
        bool before = tr_cookie_find(&value, field, tr_str_z(names[i]));
        ALWAYS(tr_cookie_find(&after, rest, tr_str_z(names[i])) == before);
        ALWAYS(!before || tr_str_eq(value, after));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
