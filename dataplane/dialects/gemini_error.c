/*
 * Errors of Google's services: {"error":{"code":429,"message":"...","status":"RESOURCE_EXHAUSTED",
 * "details":[...]}}, sometimes in a list. When to try again stands in the body, in a RetryInfo.
 */
#include "dataplane/dialects/gemini_internal.h"

#include "dataplane/dialects/openai.h"

#include <stdio.h>
#include <string.h>

/* --- read ------------------------------------------------------------------------------------- */

/* "34.4s" in milliseconds, rounded up; 0: it is none. */
static int64_t
duration_ms(struct slice text)
{
    unsigned long long seconds;
    int64_t ms = 0, place = 100;
    if (text.len < 2 || text.at[text.len - 1] != 's')
        return 0;
    text.len--;
    struct slice whole = slice_cut(&text, '.');
    if (slice_to_u64(whole, &seconds) || seconds > 86400)
        return 0;
    for (size_t i = 0; i < text.len; i++, place /= 10) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return 0;
        if (place > 0)
            ms += place * (text.at[i] - '0');
        else if (text.at[i] > '0')
            return (int64_t)seconds * 1000 + ms + 1;
    }
    return (int64_t)seconds * 1000 + ms;
}

static int
read_details(struct json_view details, struct arena *a, struct canon_error *ret)
{
    size_t cursor = 0;
    struct slice name, text;
    struct json_view detail;
    while (details.kind == JSON_LIST && json_view_next(details, &cursor, &name, &detail)) {
        struct json_view delay = gemini_get(detail, "retryDelay");
        struct json_view reason = json_view_get(detail, "reason");
        if (delay.kind == JSON_TEXT && json_view_text(delay, a, &text) == 0)
            ret->retry_ms = duration_ms(text);
        if (reason.kind == JSON_TEXT && reason.raw.len <= 128 &&
            json_view_text(reason, a, &ret->code) == ERR_NOMEM)
            return ERR_NOMEM;
    }
    return 0;
}

/* The object around "error"; absent where the body is no JSON. */
static struct json_view
envelope_of(struct slice body)
{
    struct json_span root;
    struct json_error why;
    size_t cursor = 0;
    struct slice name;
    if (json_scan(body, &json_limits_default, NULL, 0, NULL, &root, &why))
        return (struct json_view){.kind = JSON_ABSENT};
    struct json_view whole = {root.kind, json_raw(body, root)}, first;
    if (whole.kind == JSON_LIST && json_view_next(whole, &cursor, &name, &first))
        return first;
    return whole;
}

int
gemini_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret)
{
    struct openai_error plain;
    struct json_view envelope = envelope_of(f->body);
    int named = 0;
    *ret = (struct canon_error){.from_provider = true, .status = f->status};
    struct slice text = envelope.kind == JSON_MAP ? envelope.raw : f->body;
    int err = openai_read_error(text, a, &plain, &named);
    if (err)
        return err;
    ret->message = plain.message;
    struct json_view error = json_view_get(envelope, "error"),
                     status = json_view_get(error, "status");
    if (ret->status < 400)
        ret->status = named ? named : 502;
    ret->kind = canon_class_of_status(ret->status);
    if (status.kind == JSON_TEXT && status.raw.len <= 128 &&
        json_view_text(status, a, &ret->type) == ERR_NOMEM)
        return ERR_NOMEM;
    if (read_details(json_view_get(error, "details"), a, ret))
        return ERR_NOMEM;
    if (slice_is(ret->code, "API_KEY_INVALID") || slice_is(ret->type, "UNAUTHENTICATED"))
        ret->kind = ERROR_AUTH;
    return 0;
}

/* --- written ---------------------------------------------------------------------------------- */

static const struct {
    int status;
    const char *word;
} words[] = {
    [ERROR_INVALID] = {400, "INVALID_ARGUMENT"},    [ERROR_AUTH] = {401, "UNAUTHENTICATED"},
    [ERROR_BILLING] = {402, "FAILED_PRECONDITION"}, [ERROR_DENIED] = {403, "PERMISSION_DENIED"},
    [ERROR_NOT_FOUND] = {404, "NOT_FOUND"},         [ERROR_TOO_LARGE] = {413, "INVALID_ARGUMENT"},
    [ERROR_RATE] = {429, "RESOURCE_EXHAUSTED"},     [ERROR_SERVER] = {500, "INTERNAL"},
    [ERROR_UPSTREAM] = {502, "UNAVAILABLE"},        [ERROR_OVERLOAD] = {503, "UNAVAILABLE"},
    [ERROR_TIMEOUT] = {504, "DEADLINE_EXCEEDED"},
};

/* What clients of Google look for beside the status: ErrorInfo says why, RetryInfo when. */
static void
write_details(struct json_emit *e, const struct canon_error *error)
{
    if (!error->code.len && !error->param.len && !error->request_id.len && !error->retry_ms)
        return;
    emit_name(e, "details");
    emit_list(e);
    if (error->code.len || error->param.len || error->request_id.len) {
        emit_map(e);
        emit_str_member(e, "@type", "type.googleapis.com/google.rpc.ErrorInfo");
        if (error->code.len)
            emit_text_member(e, "reason", error->code);
        emit_str_member(e, "domain", error->from_provider ? "provider" : "headgate");
        emit_name(e, "metadata");
        emit_map(e);
        if (error->type.len)
            emit_text_member(e, "type", error->type);
        if (error->param.len)
            emit_text_member(e, "param", error->param);
        if (error->request_id.len)
            emit_text_member(e, "request_id", error->request_id);
        emit_end_map(e);
        emit_end_map(e);
    }
    if (error->retry_ms) {
        emit_map(e);
        emit_str_member(e, "@type", "type.googleapis.com/google.rpc.RetryInfo");
        char delay[32];
        snprintf(delay, sizeof(delay), "%lld.%03llds", (long long)(error->retry_ms / 1000),
                 (long long)(error->retry_ms % 1000));
        emit_str_member(e, "retryDelay", delay);
        emit_end_map(e);
    }
    emit_end_list(e);
}

int
gemini_write_error(const struct canon_error *error, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    emit_map(&e);
    emit_name(&e, "error");
    emit_map(&e);
    emit_int_member(&e, "code", error->status ? error->status : words[error->kind].status);
    emit_text_member(&e, "message", error->message);
    emit_str_member(&e, "status", words[error->kind].word);
    write_details(&e, error);
    emit_end_map(&e);
    emit_end_map(&e);
    return e.err;
}

int
gemini_write_error_event(const struct canon_error *error, struct buf *into)
{
    int err = buf_add_str(into, "data: ");
    if (!err)
        err = gemini_write_error(error, into);
    if (!err)
        err = buf_add_str(into, "\r\n\r\n");
    return err;
}
