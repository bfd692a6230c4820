/* Errors in OpenAI's shape: {"error":{"message","type","param","code"}}, and whose they are. */
#include "dataplane/dialects/chat_internal.h"
#include "dataplane/dialects/openai.h"

int
chat_write_error(const struct canon_error *e, struct buf *into)
{
    return openai_write_error(into, &(struct openai_error){
                                        .message = e->message,
                                        .type = e->type,
                                        .code = e->code,
                                        .param = e->param,
                                        .source = e->from_provider ? "provider" : "gateway",
                                    });
}

int
chat_write_error_event(const struct canon_error *e, struct buf *into)
{
    int err = buf_add_str(into, "data: ");
    if (!err)
        err = chat_write_error(e, into);
    return err ? err : buf_add_str(into, "\n\n");
}

int
chat_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret)
{
    struct openai_error e;
    int named = 0;
    int err = openai_read_error(f->body, a, &e, &named);
    int status = f->status >= 400 ? f->status : named;
    *ret = (struct canon_error){.kind = canon_class_of_status(status ? status : 502),
                                .status = status,
                                .message = e.message,
                                .type = e.type,
                                .code = e.code,
                                .param = e.param,
                                .from_provider = true};
    return err;
}
