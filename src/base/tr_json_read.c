/* tr_json_read.c: see tr_json_read.h. */
#include "tr_json_read.h"

#include <apr_strings.h>

#include "tr_digest.h"

/* The longest piece between two quotation marks that are not escaped: no string or number is longer. */
static apr_size_t longest_piece(tr_str_t text)
{
    apr_size_t longest = 0, begin = 0;
    bool is_inside = false;

    for (apr_size_t i = 0; i <= text.len; i++) {
        if (i == text.len || text.data[i] == '"') {
            longest = i - begin > longest ? i - begin : longest;
            begin = i + 1;
            is_inside = !is_inside;
        }
        else if (is_inside && text.data[i] == '\\' && i + 1 < text.len) {
            i++;
        }
    }
    return longest;
}

static json_t *fault(json_error_t *error, const char *text)
{
    apr_cpystrn(error->text, text, sizeof(error->text));
    return NULL;
}

/* What stands behind filler in ["xxx",document]. */
static json_t *take_second(json_t *both, json_error_t *error, apr_size_t filler)
{
    json_t *document = json_array_get(both, 1);

    if (json_string_length(json_array_get(both, 0)) != filler) {
        return fault(error, "");
    }
    if (json_array_size(both) != 2) {
        return fault(error, "end of file expected");
    }
    if (!json_is_object(document) && !json_is_array(document)) {
        return fault(error, "'[' or '{' expected");
    }
    return json_incref(document);
}

static json_t *read_once(tr_str_t text, json_error_t *error, apr_pool_t *pool)
{
    apr_size_t filler = longest_piece(text) + 2, before = filler + 4;
    char *padded = apr_palloc(pool, before + text.len + 1);
    json_t *both, *document;

    memset(padded, 'x', before);
    memcpy(padded, "[\"", 2);
    memcpy(padded + before - 2, "\",", 2);
    memcpy(padded + before, text.data, text.len);
    memset(error, 0, sizeof(*error)); /* the library leaves the code as it was where it has none */
    padded[before + text.len] = ']';
    both = json_loadb(padded, before + text.len + 1, JSON_REJECT_DUPLICATES, error);
    error->column -= error->line == 1 && error->column > (int)before ? (int)before : 0;
    document = both != NULL ? take_second(both, error, filler) : NULL;
    json_decref(both);
    tr_wipe(padded, before + text.len); /* it may hold secrets */
    return document;
}

json_t *tr_json_read(tr_str_t text, json_error_t *error, apr_pool_t *pool)
{
    json_t *document = read_once(text, error, pool);
    json_t *probe;

    if (document != NULL || error->text[0] == '\0' || json_error_code(error) == json_error_numeric_overflow) {
        return document;
    }
    probe = json_stringn_nocheck(text.data, text.len);
    if (probe == NULL) {
        return fault(error, "");
    }
    json_decref(probe);
    return read_once(text, error, pool);
}

const char *tr_json_explain(const json_error_t *error, apr_pool_t *pool)
{
    const char *near = strstr(error->text, " near '");
    int len = (int)(near != NULL ? (apr_size_t)(near - error->text) : strlen(error->text));

    return apr_psprintf(pool, "line %d, column %d: %.*s", error->line, error->column, len, error->text);
}
