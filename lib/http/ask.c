/* See ask.h. */
#include "lib/http/ask.h"

#include <stdio.h>

int
ask_fail(struct ask *a, int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(a->why, sizeof(a->why), format, args);
    va_end(args);
    return err;
}

int
ask_http(struct ask *a, const struct ask_call *call, struct http_answer *ret_answer)
{
    const char *why = "";
    *ret_answer = (struct http_answer){.status = 0};
    if (!a->allow_private && !slice_starts(call->url, SLICE("https://")))
        return ask_fail(a, ERR_DENIED, "%s: its address is not https", call->what);
    int err = http_fetch(a->tls, call->method, call->url, call->fields, call->count, call->body,
                         a->allow_private, a->total_ms, ret_answer, &why);
    if (err)
        return ask_fail(a, ERR_UNAVAILABLE, "%s: %s (%s)", call->what, err_name(err),
                        why ? why : "");
    if (ret_answer->body.len > LIMIT_ASK_BYTES)
        return ask_fail(a, ERR_LIMIT, "%s: an answer over 1 MiB", call->what);
    return 0;
}

static int
judge(struct ask *a, const struct ask_call *call, int status)
{
    if (status == 200)
        return 0;
    if (status == 401 || status == 403)
        return ask_fail(a, ERR_AUTH, "%s: refused (status %d)", call->what, status);
    if (status == 404)
        return ask_fail(a, ERR_NOT_FOUND, "%s: there is no such thing (status 404)", call->what);
    return ask_fail(a, ERR_UNAVAILABLE, "%s: status %d", call->what, status);
}

int
ask_json(struct ask *a, const struct ask_call *call, struct json **ret_document)
{
    struct http_answer answer;
    *ret_document = NULL;
    int err = ask_http(a, call, &answer);
    if (!err) {
        err = judge(a, call, answer.status);
        int parsed = json_parse(buf_slice(&answer.body), ret_document, NULL, 0);
        if (parsed)
            *ret_document = NULL;
        if (!err && parsed)
            err = ask_fail(a, ERR_PROTOCOL, "%s: the answer is no JSON", call->what);
    }
    buf_wipe(&answer.body);
    http_answer_free(&answer);
    return err;
}
