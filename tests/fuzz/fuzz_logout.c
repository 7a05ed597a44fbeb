/*
 * Logout: what callers say of where to go, and what a configuration may say. A NUL parts the target from the state.
 */
#include <apr_strings.h>

#include "tr_logout.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const configured[] = {"/bye.html", "https://app.test/done?a=b#c"};

static bool is_visible_ascii(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= 0x20 || *text >= 0x7f)
            return false;
    return true;
}

/* Does a browser that resolves this address leave the host? As the WHATWG URL standard reads it. */
static bool leaves_host(const char *address)
{
    char read[3] = "";
    for (size_t n = 0; *address != '\0' && n < 2; address++) {
        if (*address == '\t' || *address == '\r' || *address == '\n')
            continue;
        read[n++] = *address == '\\' ? '/' : *address;
    }
    return read[0] != '/' || read[1] == '/';
}

static char *unescape(const char *text, size_t len, apr_pool_t *pool)
{
    char *out = apr_palloc(pool, len + 1), *to = out;
    for (size_t i = 0; i < len; i++) {
        unsigned int byte = (unsigned char)text[i];
        if (byte == '%') {
            ALWAYS(i + 2 < len && sscanf(text + i + 1, "%2x", &byte) == 1);
            i += 2;
        }
        *to++ = (char)byte;
    }
    *to = '\0';
    return out;
}

/* State comes back as it was, in the query, once. */
static void check_state(const char *with, const char *without, tr_str_t state, apr_pool_t *pool)
{
    size_t head = strcspn(without, "#"), tail = strlen(without) - head, len = strlen(with);
    ALWAYS(len >= head + tail + 6 && strncmp(with, without, head) == 0 && strcmp(with + len - tail, without + head) == 0);
    const char *added = with + head;
    size_t added_len = len - head - tail;
    if (*added == '?' || *added == '&') {
        ALWAYS((*added == '?') == (memchr(without, '?', head) == NULL));
        added++;
        added_len--;
    }
    ALWAYS(added_len > 6 && strncmp(added, "state=", 6) == 0);
    char *again = unescape(added + 6, added_len - 6, pool);
    ALWAYS(strlen(again) == state.len && memcmp(again, state.data, state.len) == 0);
}

static void check_target(tr_str_t asked, tr_str_t state, apr_pool_t *pool)
{
    apr_array_header_t *targets = apr_array_make(pool, 2, sizeof(const char *));
    for (size_t i = 0; i < 2; i++)
        APR_ARRAY_PUSH(targets, const char *) = configured[i];
    bool accepted = tr_logout_accepts(targets, asked);
    const char *with = tr_logout_target(targets, asked, state, pool);
    const char *without = tr_logout_target(targets, asked, tr_str(NULL, 0), pool);
    ALWAYS(is_visible_ascii(with) && is_visible_ascii(without));
    ALWAYS(strcmp(without, configured[1]) == 0 || !leaves_host(without));
    ALWAYS(strcmp(without, configured[1]) == 0 || !leaves_host(with));
    ALWAYS(accepted || strcmp(with, configured[0]) == 0);
    if (accepted && state.len > 0)
        check_state(with, without, state, pool);
    ALWAYS(accepted == tr_str_eq_z(asked, configured[1]) || tr_logout_accepts(NULL, asked) == accepted);
}

/* The one value in the page's field, as a reader of HTML takes it. */
static void check_page(tr_str_t value, const char *action, apr_pool_t *pool)
{
    const char *page = tr_logout_page("{fields}{action}", action, tr_str(NULL, 0), value, pool);
    size_t marks = 0;
    for (const char *p = page; *p != '\0'; p++)
        marks += *p == '<' || *p == '>' || *p == '"' || *p == '\'' || *p == '\r' || *p == '\n';
    ALWAYS(marks == (value.len > 0 ? 8 : 0));
    ALWAYS(is_visible_ascii(action) && !leaves_host(action) && strpbrk(action, "\\?#\"<>") == NULL);
}

static void check_configuration(const char *text, apr_pool_t *pool)
{
    const char *why = NULL;
    apr_status_t rv = tr_logout_check_target(&why, text);
    ALWAYS(rv == APR_SUCCESS || (rv == APR_EINVAL && why != NULL));
    if (rv == APR_SUCCESS)
        ALWAYS(is_visible_ascii(text) && strpbrk(text, "\\\"<>") == NULL && (*text != '/' || !leaves_host(text)));
    why = NULL;
    rv = tr_logout_check_cookie(&why, text);
    ALWAYS(rv == APR_SUCCESS || (rv == APR_EINVAL && why != NULL));
    if (rv != APR_SUCCESS)
        return;
    const char *field = tr_logout_set_cookie(text, false, false, pool);
    ALWAYS(field != NULL && strpbrk(field, "\r\n") == NULL && strstr(field, "=; Path=/") != NULL);
    ALWAYS(strstr(field, "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT") != NULL);
}

static void judge(const world_t *w, const uint8_t *data, size_t size)
{
    const char *text = apr_pstrmemdup(w->pool, (const char *)data, size);
    tr_str_t asked = tr_str_z(text);
    tr_str_t state = asked.len < size ? tr_str_z(text + asked.len + 1) : tr_str(NULL, 0);
    check_target(asked, state, w->pool);
    check_page(asked, tr_logout_action(text, w->pool), w->pool);
    check_page(state, "/", w->pool);
    check_configuration(text, w->pool);
    (void)tr_logout_check_page(&text, tr_str((const char *)data, size), w->pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
