/* Errors for clients: the body that all of OpenAI's endpoints have, and the event of a stream. */
#include "dataplane/dialects/responses_internal.h"

int
responses_write_error(const struct canon_error *e, struct buf *into)
{
    return dialect_chat.write_error(e, into);
}

static void
emit_word(struct json_emit *e, const char *name, struct slice word)
{
    emit_name(e, name);
    if (word.len)
        emit_text(e, word);
    else
        emit_null(e);
}

/* The event of OpenAI's documentation, and inside it the object that OpenAI sends: the SDKs raise
 * an error of their own on the latter. */
int
responses_add_error_event(const struct canon_error *error, int64_t sequence, struct buf *into)
{
    int err = buf_add_str(into, "event: error\ndata: ");
    struct json_emit e = json_emit_into(into);
    emit_map(&e);
    emit_str_member(&e, "type", "error");
    emit_int_member(&e, "sequence_number", sequence);
    emit_word(&e, "code", error->code.len ? error->code : error->type);
    emit_text_member(&e, "message", error->message);
    emit_word(&e, "param", error->param);
    if (!err && !e.err) { /* {"error":{...}}: its member joins the map */
        struct buf shape;
        buf_init(&shape, 0);
        err = responses_write_error(error, &shape);
        if (!err)
            emit_members_of(&e, buf_slice(&shape));
        buf_free(&shape);
    }
    emit_end_map(&e);
    if (!err)
        err = e.err;
    return err ? err : buf_add_str(into, "\n\n");
}

int
responses_write_error_event(const struct canon_error *e, struct buf *into)
{
    return responses_add_error_event(e, 0, into);
}
