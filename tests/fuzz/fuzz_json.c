/*
 * The JSON reader against the plain library: it refuses more, for the reasons in its door and no others.
 */
#include "world.h"

#include <apr_strings.h>
#include <jansson.h>

#include "tr_json.h"
#include "tr_limits.h"
#include "tr_reason.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int depth_of(const json_t *value);

static int deeper(int deepest, const json_t *member)
{
    int depth = depth_of(member);
    return depth > deepest ? depth : deepest;
}

static int depth_of(const json_t *value)
{
    int deepest = 0;
    if (json_is_object(value)) {
        json_t *object = (json_t *)(uintptr_t)value;
        for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i))
            deepest = deeper(deepest, json_object_iter_value(i));
        return deepest + 1;
    }
    if (!json_is_array(value))
        return 0;
    for (size_t i = 0; i < json_array_size(value); i++)
        deepest = deeper(deepest, json_array_get(value, i));
    return deepest + 1;
}

/* Brackets outside strings, before anything recurses. */
static bool is_shallow(const uint8_t *data, size_t size)
{
    size_t brackets = 0;
    for (size_t i = 0; i < size; i++)
        brackets += data[i] == '[' || data[i] == '{';
    return brackets < 200;
}

/* What we accept, and the library as well, has the same content in the same order. */
static void check_same(const tr_json_t *document, const uint8_t *data, size_t size)
{
    json_t *value = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    ALWAYS(json_equal((const json_t *)document, value));
    char *ours = json_dumps((const json_t *)document, 0), *theirs = json_dumps(value, 0);
    ALWAYS(strcmp(ours, theirs) == 0);
    free(ours);
    free(theirs);
    json_decref(value);
}

static bool library_accepts(const uint8_t *data, size_t size, bool *overflow)
{
    json_error_t error;
    json_t *value = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &error);
    *overflow = value == NULL && json_error_code(&error) == json_error_numeric_overflow;
    bool good = json_is_object(value) && depth_of(value) <= TR_MAX_JSON_DEPTH && (size == 0 || memchr(data, 0, size) == NULL);
    json_decref(value);
    return good;
}

static void check_accepted(const tr_json_t *document, apr_pool_t *pool)
{
    const tr_json_t *again;
    char *text = tr_json_text(document, pool);
    ALWAYS(tr_json_type(document) == TR_JSON_OBJECT);
    ALWAYS(world_is_json_object(text));
    ALWAYS(tr_json_parse(&again, tr_str_z(text), pool) == APR_SUCCESS);
    ALWAYS(strcmp(tr_json_text(again, pool), text) == 0);
    static const char *const paths[] = {"a", "b", "b.c", "b.c.d", "", "."};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const tr_json_t *value = tr_json_path(document, paths[i]);
        double number = 0;
        tr_str_t string;
        bool is_number = tr_json_number(&number, value), is_string = tr_json_string(&string, value);
        ALWAYS(!is_number || (number == number && number - number == 0));
        ALWAYS(!is_string || !is_number);
        for (size_t k = 0; value != NULL && tr_json_type(value) == TR_JSON_ARRAY && k < tr_json_len(value); k++)
            ALWAYS(tr_json_at(value, k) != NULL);
    }
}

static void check_quote(const uint8_t *data, size_t size, apr_pool_t *pool)
{
    json_t *value = json_loads(tr_json_quote(tr_str((const char *)data, size), pool), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    ALWAYS(json_is_string(value));
    json_decref(value);
}

static void judge(const world_t *w, const uint8_t *data, size_t size)
{
    const tr_json_t *document = NULL;
    const char *why = NULL;
    bool overflow = false;
    apr_status_t rv = tr_json_parse_why(&document, &why, tr_str((const char *)data, size), w->pool);
    ALWAYS(rv == APR_SUCCESS || (rv == TR_MALFORMED && why != NULL && *why != '\0'));
    if (is_shallow(data, size)) {
        bool library = library_accepts(data, size, &overflow);
        ALWAYS(!library || rv == APR_SUCCESS);
        ALWAYS(rv != APR_SUCCESS || library || overflow);
        if (library)
            check_same(document, data, size);
    }
    if (rv == APR_SUCCESS)
        check_accepted(document, w->pool);
    check_quote(data, size, w->pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
