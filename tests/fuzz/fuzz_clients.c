/*
 * OAuth clients: the first line is an Authorization field, the second a form, the rest a file of clients. No hash of the input is
 * ever computed: it could be made to take minutes.
 */
#include "tr_client.h"
#include "tr_limits.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The secret of app is "open sesame". */
static const char known[] = "app:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\nspa:\n";

static tr_str_t next_line(tr_str_t *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
    tr_str_t line = tr_str(rest->data, end != NULL ? (size_t)(end - rest->data) : rest->len);
    size_t used = end != NULL ? line.len + 1 : line.len;
    *rest = tr_str(rest->data + used, rest->len - used);
    return line;
}

static tr_clients_t *parse(tr_str_t text, apr_pool_t *pool)
{
    tr_clients_t *clients = NULL;
    const char *why = NULL;
    apr_status_t rv = tr_clients_parse(&clients, &why, text, pool);
    ALWAYS(rv == APR_SUCCESS || (rv == APR_EINVAL && why != NULL && *why != '\0'));
    return rv == APR_SUCCESS ? clients : NULL;
}

/* What a hash is stands alone: a file of one line with it is as good. */
static void check_hash(const char *hash, apr_pool_t *pool)
{
    size_t len = strlen(hash);
    char *line = apr_palloc(pool, len + 4);
    memcpy(line, "x:", 2);
    memcpy(line + 2, hash, len);
    memcpy(line + 2 + len, "\n", 2);
    tr_clients_t *one = parse(tr_str(line, len + 3), pool);
    ALWAYS(one != NULL && strcmp(tr_clients_hash(one, tr_str_z("x")), hash) == 0);
}

/* The ids that stand in the text, and one more. */
static void check_file(tr_str_t text, tr_str_t asked, apr_pool_t *pool)
{
    tr_clients_t *whole = parse(text, pool);
    tr_clients_t *cut = parse(tr_str(text.data, text.len / 2), pool);
    tr_str_t rest = text;
    for (int i = 0; i < 20; i++) {
        tr_str_t line = next_line(&rest);
        const char *colon = line.len > 0 ? memchr(line.data, ':', line.len) : NULL;
        tr_str_t id = i > 0 && colon != NULL ? tr_str(line.data, (size_t)(colon - line.data)) : asked;
        const char *hash = whole != NULL ? tr_clients_hash(whole, id) : NULL;
        const char *before = cut != NULL ? tr_clients_hash(cut, id) : NULL;
        const char *other = whole != NULL ? tr_clients_other_hash(whole, id) : NULL;
        if (hash != NULL && *hash != '\0')
            check_hash(hash, pool);
        ALWAYS(other == NULL || *other != '\0');
        ALWAYS(hash == NULL || *hash == '\0' || other != NULL);
        ALWAYS(whole == NULL || before == NULL || (hash != NULL && strcmp(before, hash) == 0));
    }
}

static void check_authenticate(const tr_credentials_t *c, const tr_clients_t *clients, tr_client_cache_t *cache)
{
    tr_client_t client, again;
    apr_status_t rv = tr_client_authenticate(&client, clients, c, cache);
    ALWAYS(rv == tr_client_authenticate(&again, clients, c, NULL) && client.kind == again.kind);
    ALWAYS(rv == APR_SUCCESS || (rv == APR_EACCES && client.kind == TR_CLIENT_NONE && client.id.len == 0));
    ALWAYS(rv != APR_SUCCESS || tr_str_eq_z(client.id, c->has_secret ? "app" : "spa"));
    ALWAYS(rv != APR_SUCCESS || client.kind == (c->has_secret ? TR_CLIENT_CONFIDENTIAL : TR_CLIENT_PUBLIC));
    for (int i = 0; c->has_secret && i < c->readings; i++)
        ALWAYS(rv == APR_SUCCESS || !tr_str_eq_z(c->id[i], "app") || !tr_str_eq_z(c->secret[i], "open sesame"));
}

static tr_credentials_t check_credentials(const char *authorization, tr_str_t form, apr_pool_t *pool)
{
    tr_params_t *params = NULL;
    const char *why = NULL;
    tr_credentials_t c;
    if (tr_params_from_form(&params, &why, form, pool) != APR_SUCCESS)
        params = NULL;
    why = NULL;
    apr_status_t rv = tr_credentials_read(&c, &why, authorization, params, pool);
    ALWAYS(rv == APR_SUCCESS || (rv == APR_EINVAL && why != NULL));
    if (rv != APR_SUCCESS)
        c.readings = 0;
    ALWAYS(c.readings >= 0 && c.readings <= TR_READINGS && (c.readings > 0 || why != NULL));
    for (int i = 0; i < c.readings; i++) {
        ALWAYS(c.id[i].len > 0 && c.id[i].len <= TR_MAX_IDENTIFIER_LEN && !tr_str_has_control(c.id[i]));
        if (!c.has_secret)
            continue;
        ALWAYS(c.secret[i].len > 0 && c.secret[i].len <= TR_MAX_CLIENT_SECRET_LEN);
        ALWAYS(strlen(c.secret[i].data) == c.secret[i].len);
    }
    return c;
}

static void judge(const world_t *w, const uint8_t *data, size_t size)
{
    tr_str_t rest = tr_str((const char *)data, size);
    tr_str_t authorization = next_line(&rest);
    tr_str_t form = next_line(&rest);
    const char *field = authorization.len > 0 ? tr_str_dup_z(authorization, w->pool) : NULL;
    tr_credentials_t c = check_credentials(field, form, w->pool);
    tr_client_cache_t *cache = apr_pcalloc(w->pool, sizeof *cache);
    tr_clients_t *clients = parse(tr_str_z(known), w->pool);
    ALWAYS(clients != NULL && tr_client_cache_init(cache) == APR_SUCCESS);
    check_authenticate(&c, clients, cache);
    check_authenticate(&c, clients, cache);
    check_file(rest, c.readings > 0 ? c.id[0] : form, w->pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge(world_for_one_input(), data, size);
    world_done();
    return 0;
}
