/* tr_marks.c: making the marks of a token, and asking the table for them. */
#include "tr_marks.h"

static bool is_among(tr_kind_set_t kinds, tr_kind_t kind)
{
    return (kinds & TR_KIND_BIT(kind)) != 0;
}

static void add(tr_marks_t *marks, const tr_table_t *table, tr_kind_t kind, tr_str_t issuer, tr_str_t value)
{
    if (is_among(marks->kinds, kind)) {
        for (int i = 0; i < marks->n; i++) {
            marks->look[i].onward |= TR_KIND_BIT(kind);
        }
        marks->look[marks->n++] = (tr_look_t){kind, TR_KIND_BIT(kind), tr_table_mark(table, kind, issuer, value)};
    }
}

static void add_cut_off(tr_marks_t *marks, const tr_table_t *table, tr_kind_t kind, const tr_token_t *token, tr_str_t value)
{
    if (value.len > 0 || kind == TR_KIND_ISSUER) {
        add(marks, table, kind, token->iss, value);
    }
}

/* A family is revoked when one of its tokens was stolen, which is rare. */
static apr_status_t add_family(tr_marks_t *marks, const tr_table_t *table, const tr_entry_t *own, apr_pool_t *pool)
{
    tr_entry_t member, family;
    apr_status_t rv;

    if (!is_among(marks->kinds, TR_KIND_FAMILY)) {
        return APR_SUCCESS;
    }
    rv = tr_gate_member(&member, own, 0, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    marks->member = tr_table_mark(table, member.kind, member.issuer, member.value);
    tr_gate_family_entry(&family, tr_family_first(&member), TR_FOREVER, pool);
    add(marks, table, family.kind, family.issuer, family.value);
    return APR_SUCCESS;
}

apr_status_t tr_marks_make_own(tr_marks_t *out, const tr_table_t *table, const tr_entry_t *own, tr_kind_set_t kinds,
                               apr_pool_t *pool)
{
    out->kinds = kinds;
    out->n = 0;
    add(out, table, own->kind, own->issuer, own->value);
    return add_family(out, table, own, pool);
}

tr_kind_set_t tr_marks_costly(const tr_token_t *token)
{
    tr_kind_set_t always = TR_KIND_BIT(TR_KIND_FAMILY) | TR_KIND_BIT(TR_KIND_MEMBER) | TR_KIND_BIT(TR_KIND_OPAQUE);

    return token->jti.len > 0 ? always : always | TR_KIND_BIT(TR_KIND_DIGEST);
}

/* Its own mark and its family's. */
static apr_status_t make_identity(tr_marks_t *out, const tr_table_t *table, const tr_token_t *token, tr_kind_set_t kinds,
                                  apr_pool_t *pool)
{
    static const tr_keep_t no_matter = {0, 0};
    tr_entry_t own = {.kind = token->jti.len > 0 ? TR_KIND_TOKEN : TR_KIND_DIGEST};
    apr_status_t rv;

    out->kinds = kinds;
    out->n = 0;
    if (!is_among(kinds, own.kind) && !is_among(kinds, TR_KIND_FAMILY)) {
        return APR_SUCCESS;
    }
    rv = tr_gate_entry(&own, token, &no_matter, pool);
    return rv == APR_SUCCESS ? tr_marks_make_own(out, table, &own, kinds, pool) : rv;
}

/* It may have been revoked while nobody here knew its issuer, key or algorithm (tr_gate_opaque_text): keys change. */
static apr_status_t add_unread(tr_marks_t *marks, const tr_table_t *table, const tr_token_t *token, apr_pool_t *pool)
{
    tr_entry_t own;
    apr_status_t rv;

    if (!is_among(marks->kinds, TR_KIND_OPAQUE)) {
        return APR_SUCCESS;
    }
    rv = tr_gate_entry_opaque(&own, token->jws.signing_input, TR_FOREVER, pool);
    if (rv == APR_SUCCESS) {
        add(marks, table, own.kind, own.issuer, own.value);
    }
    return rv;
}

apr_status_t tr_marks_make(tr_marks_t *out, const tr_table_t *table, const tr_token_t *token, tr_kind_set_t kinds,
                           apr_pool_t *pool)
{
    apr_status_t rv = make_identity(out, table, token, kinds, pool);

    if (rv == APR_SUCCESS) {
        rv = add_unread(out, table, token, pool);
    }
    add_cut_off(out, table, TR_KIND_SESSION, token, token->sid);
    add_cut_off(out, table, TR_KIND_SUBJECT, token, token->sub);
    add_cut_off(out, table, TR_KIND_CLIENT, token, token->client_id);
    if (!tr_str_eq(token->azp, token->client_id)) {
        add_cut_off(out, table, TR_KIND_CLIENT, token, token->azp);
    }
    add_cut_off(out, table, TR_KIND_ISSUER, token, tr_str("", 0));
    return rv;
}

/* ---- asking ------------------------------------------------------------------------------------------------ */

void tr_marks_prefetch(const tr_marks_t *marks, const tr_table_t *table, tr_kind_set_t kinds)
{
    for (int i = 0; i < marks->n && (marks->look[i].onward & kinds) != 0; i++) {
        if (is_among(kinds, marks->look[i].kind)) {
            tr_table_prefetch(table, marks->look[i].mark);
        }
    }
}

/* Whole seconds: an issuer's clock seldom says more, and who cannot tell before from after is refused. */
static bool is_issued_by(const tr_token_t *token, apr_time_t cut_off)
{
    return token == NULL || !token->has_iat || token->iat_s < (double)(apr_time_sec(cut_off) + 1);
}

static bool is_family_revoked(const tr_marks_t *marks, const tr_table_t *table, tr_mark_t own, tr_kind_set_t kinds)
{
    int64_t number;

    if (is_among(kinds, TR_KIND_MEMBER) && tr_table_lookup(table, &number, marks->member)) {
        own = tr_family_mark(table, number);
    }
    return tr_table_lookup(table, NULL, own);
}

static bool is_revoking(const tr_look_t *look, const tr_marks_t *marks, const tr_table_t *table, const tr_token_t *token,
                        tr_kind_set_t kinds)
{
    apr_time_t cut_off;

    if (look->kind == TR_KIND_FAMILY) {
        return is_family_revoked(marks, table, look->mark, kinds);
    }
    return tr_table_lookup(table, &cut_off, look->mark) && (!tr_kind_has_cut_off(look->kind) || is_issued_by(token, cut_off));
}

bool tr_marks_find(tr_kind_t *by, const tr_marks_t *marks, const tr_table_t *table, const tr_token_t *token, tr_kind_set_t kinds)
{
    for (int i = 0; i < marks->n && (marks->look[i].onward & kinds) != 0; i++) {
        if (is_among(kinds, marks->look[i].kind) && is_revoking(&marks->look[i], marks, table, token, kinds)) {
            *by = marks->look[i].kind;
            return true;
        }
    }
    return false;
}
