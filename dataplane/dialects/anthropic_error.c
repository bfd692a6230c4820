/* Errors: {"type":"error","error":{"type":...,"message":...},"request_id":...}. */
#include "dataplane/dialects/anthropic_internal.h"
#include "dataplane/dialects/openai.h"
#include "lib/json/emit.h"

/* Anthropic's word for each class. */
static const char *const words[] = {
    [ERROR_INVALID] = "invalid_request_error",
    [ERROR_AUTH] = "authentication_error",
    [ERROR_BILLING] = "billing_error",
    [ERROR_DENIED] = "permission_error",
    [ERROR_NOT_FOUND] = "not_found_error",
    [ERROR_TOO_LARGE] = "request_too_large",
    [ERROR_RATE] = "rate_limit_error",
    [ERROR_SERVER] = "api_error",
    [ERROR_UPSTREAM] = "api_error",
    [ERROR_OVERLOAD] = "overloaded_error",
    [ERROR_TIMEOUT] = "timeout_error",
};

static enum canon_error_class
class_of_word(struct slice word)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (slice_is(word, words[i]))
            return (enum canon_error_class)i;
    return ERROR_SERVER;
}

int
anthropic_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret)
{
    struct openai_error e; /* the shape is the same from "error" inwards */
    int status;
    int err = openai_read_error(f->body, a, &e, &status);
    if (err)
        return err;
    *ret = (struct canon_error){
        .kind = f->status ? canon_class_of_status(f->status) : class_of_word(e.type),
        .status = f->status,
        .message = e.message,
        .type = e.type,
        .code = e.code,
        .param = e.param,
        .from_provider = true,
    };
    return 0;
}

int
anthropic_write_error(const struct canon_error *error, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    emit_map(&e);
    emit_str_member(&e, "type", "error");
    emit_name(&e, "error");
    emit_map(&e);
    emit_str_member(&e, "type", words[error->kind]);
    emit_text_member(&e, "message", error->message);
    emit_end_map(&e);
    if (error->request_id.len)
        emit_text_member(&e, "request_id", error->request_id);
    emit_end_map(&e);
    return e.err;
}

int
anthropic_write_error_event(const struct canon_error *error, struct buf *into)
{
    int err = buf_add_str(into, "event: error\ndata: ");
    if (!err)
        err = anthropic_write_error(error, into);
    return err ? err : buf_add_str(into, "\n\n");
}
