/* tr_bearer.c: tokens in fields of a request. */
#include "tr_bearer.h"

#include "tr_reason.h"

#define BEARER_LEN 6

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

bool tr_has_bearer_scheme(tr_str_t value)
{
    /* Nearly always it is written so. */
    return value.len >= BEARER_LEN &&
           (memcmp(value.data, "Bearer", BEARER_LEN) == 0 || strncasecmp(value.data, "Bearer", BEARER_LEN) == 0) &&
           (value.len == BEARER_LEN || is_space(value.data[BEARER_LEN]));
}

/* Does another field, joined behind a comma, begin with the scheme Bearer? */
static bool hides_bearer(tr_str_t value)
{
    for (apr_size_t i = 0; i < value.len; i++) {
        if (value.data[i] != ',') {
            continue;
        }
        while (i + 1 < value.len && is_space(value.data[i + 1])) {
            i++;
        }
        if (tr_has_bearer_scheme(tr_str(value.data + i + 1, value.len - i - 1))) {
            return true;
        }
    }
    return false;
}

apr_status_t tr_bearer_find_alone(tr_str_t *out, tr_str_t value)
{
    while (value.len > 0 && value.data[0] == ' ') {
        value = tr_str(value.data + 1, value.len - 1);
    }
    *out = value;
    if (value.len == 0) {
        return TR_NO_TOKEN;
    }
    return memchr(value.data, ',', value.len) != NULL ? TR_MULTIPLE_TOKENS : APR_SUCCESS;
}

apr_status_t tr_bearer_find(tr_str_t *out, tr_str_t value)
{
    if (!tr_has_bearer_scheme(value)) {
        return hides_bearer(value) ? TR_MULTIPLE_TOKENS : TR_NO_TOKEN;
    }
    return tr_bearer_find_alone(out, tr_str(value.data + BEARER_LEN, value.len - BEARER_LEN));
}

static tr_str_t trim(tr_str_t text)
{
    while (text.len > 0 && is_space(text.data[0])) {
        text = tr_str(text.data + 1, text.len - 1);
    }
    while (text.len > 0 && is_space(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

bool tr_bearer_next(tr_str_t *out, tr_str_t *value, bool has_scheme)
{
    const char *comma = value->len > 0 ? memchr(value->data, ',', value->len) : NULL;
    tr_str_t piece = trim(tr_str(value->data, comma != NULL ? (apr_size_t)(comma - value->data) : value->len));
    apr_size_t taken = comma != NULL ? (apr_size_t)(comma - value->data) + 1 : value->len;

    if (value->len == 0) {
        return false;
    }
    *value = tr_str(value->data + taken, value->len - taken);
    if (has_scheme) {
        piece = tr_has_bearer_scheme(piece) ? trim(tr_str(piece.data + BEARER_LEN, piece.len - BEARER_LEN)) : tr_str("", 0);
    }
    *out = piece;
    return true;
}
