/* tr_answer.c: errors as clients are told them (RFC 6749 5.2), for all endpoints. */
#include <apr_strings.h>

#include "tr_oauth.h"

void tr_answer_error(tr_answer_t *out, tr_answers_t answers, int status, const char *code, const char *sentence, apr_pool_t *pool)
{
    const char *text = tr_json_quote(tr_str_z(sentence), pool);

    out->status = status;
    out->body = answers == TR_ANSWERS_STRICT
                    ? apr_pstrcat(pool, "{\"revoked\":false,\"error\":", text, "}", NULL)
                    : apr_pstrcat(pool, "{\"error\":\"", code, "\",\"error_description\":", text, "}", NULL);
}

const char *tr_answer_code(int status)
{
    return status == 503 ? "temporarily_unavailable" : "invalid_request";
}

void tr_answer_refuse(tr_answer_t *out, tr_answers_t answers, int status, const char *sentence, apr_pool_t *pool)
{
    memset(out, 0, sizeof(*out));
    out->verdict = APR_EINVAL;
    out->retry_after_s = status == 503 ? TR_RETRY_AFTER_S : 0;
    out->detail = sentence;
    tr_answer_error(out, answers, status, tr_answer_code(status), sentence, pool);
}
