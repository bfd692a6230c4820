/*
 * Messages as Cohere takes them: OpenAI's roles and calls, with plan and thinking of its own.
 */
#include "dataplane/dialects/cohere_internal.h"

#include <stdio.h>
#include <string.h>

struct writing {
    struct json_emit *e;
    struct dialect_writer *w;
    char member[96];
};

static int
leave_out(struct writing *c, const char *reason)
{
    int err = dialect_leave_out(c->w, c->member, reason);
    return err < 0 ? err : 0;
}

static int
need(struct writing *c, enum feature f)
{
    int err = dialect_need(c->w, f, c->member);
    return err < 0 ? err : 0;
}

/* --- parts ------------------------------------------------------------------------------------ */

static void
write_text(struct json_emit *e, const char *type, struct slice text)
{
    emit_map(e);
    emit_str_member(e, "type", type);
    emit_text_member(e, type, text);
    emit_end_map(e);
}

static int
write_image(struct writing *c, const struct canon_media *m)
{
    struct json_emit *e = c->e;
    if (m->file_id.len)
        return leave_out(c, "cannot be given a file of another provider's store");
    emit_map(e);
    emit_str_member(e, "type", "image_url");
    emit_name(e, "image_url");
    emit_map(e);
    if (m->data.len) {
        char *url =
            arena_printf(c->w->arena, "data:%.*s;base64,%.*s",
                         SLICE_ARG(m->mime.len ? m->mime : SLICE("image/png")), SLICE_ARG(m->data));
        if (!url)
            return ERR_NOMEM;
        emit_str_member(e, "url", url);
    } else {
        emit_text_member(e, "url", m->url);
    }
    emit_opt_text(e, "detail", m->detail);
    emit_end_map(e);
    emit_end_map(e);
    return 0;
}

static int
write_part(struct writing *c, const struct canon_part *p)
{
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        if (p->text.len)
            write_text(c->e, "text", p->text);
        return 0;
    case PART_IMAGE:
        return write_image(c, &p->media);
    case PART_AUDIO:
        return need(c, FEATURE_AUDIO_INPUT);
    case PART_FILE:
        return p->media.text.len ? 0 : need(c, FEATURE_PDF); /* texts stand in documents */
    case PART_OPAQUE:
        return leave_out(c, "cannot be given an item that only its origin understands");
    case PART_REASONING:
    case PART_TOOL_CALL:
    case PART_TOOL_RESULT:
        break; /* elsewhere in their message */
    }
    return 0;
}

static bool
is_text_only(const struct canon_message *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].kind != PART_TEXT)
            return false;
    return true;
}

static int
write_content(struct writing *c, const struct canon_message *m, size_t index)
{
    int err = 0;
    emit_name(c->e, "content");
    if (is_text_only(m)) {
        struct slice text = canon_joined_text(c->w->arena, m->parts, m->count);
        emit_text(c->e, text);
        return text.at ? 0 : ERR_NOMEM;
    }
    emit_list(c->e);
    for (size_t i = 0; i < m->count && !err; i++) {
        snprintf(c->member, sizeof(c->member), "messages[%zu].content[%zu]", index, i);
        err = write_part(c, &m->parts[i]);
    }
    emit_end_list(c->e);
    return err;
}

/* --- the assistant ---------------------------------------------------------------------------- */

static bool
is_own_reasoning(const struct canon_part *p)
{
    return p->kind == PART_REASONING && p->origin == DIALECT_COHERE && p->text.len > 0;
}

static bool
is_plan(const struct canon_part *p)
{
    return is_own_reasoning(p) && slice_eq(p->raw, COHERE_PLAN);
}

/* Texts and thinking; absent where there is neither. */
static void
write_said(struct writing *c, const struct canon_message *m)
{
    bool is_open = false;
    for (size_t i = 0; i < m->count; i++) {
        const struct canon_part *p = &m->parts[i];
        bool is_text = (p->kind == PART_TEXT || p->kind == PART_REFUSAL) && p->text.len;
        bool is_thinking = is_own_reasoning(p) && !is_plan(p);
        if (!is_text && !is_thinking)
            continue;
        if (!is_open) {
            emit_name(c->e, "content");
            emit_list(c->e);
            is_open = true;
        }
        write_text(c->e, is_text ? "text" : "thinking", p->text);
    }
    if (is_open)
        emit_end_list(c->e);
}

static void
write_call(struct writing *c, const struct canon_part *p)
{
    struct json_emit *e = c->e;
    emit_map(e);
    emit_text_member(e, "id", p->id);
    emit_str_member(e, "type", "function");
    emit_name(e, "function");
    emit_map(e);
    emit_text_member(e, "name", p->name);
    emit_text_member(e, "arguments", slice_trim(p->arguments).len ? p->arguments : SLICE("{}"));
    emit_end_map(e);
    emit_end_map(e);
}

static void
write_calls(struct writing *c, const struct canon_message *m)
{
    bool is_open = false;
    for (size_t i = 0; i < m->count; i++) {
        if (m->parts[i].kind != PART_TOOL_CALL)
            continue;
        if (!is_open) {
            emit_name(c->e, "tool_calls");
            emit_list(c->e);
            is_open = true;
        }
        write_call(c, &m->parts[i]);
    }
    if (is_open)
        emit_end_list(c->e);
}

/* What an assistant's message may not hold, by name. */
static int
check_assistant(struct writing *c, const struct canon_message *m, size_t index)
{
    int err = 0;
    for (size_t i = 0; i < m->count && !err; i++) {
        enum canon_part_kind kind = m->parts[i].kind;
        snprintf(c->member, sizeof(c->member), "messages[%zu].content[%zu]", index, i);
        if (kind == PART_IMAGE || kind == PART_AUDIO || kind == PART_FILE || kind == PART_OPAQUE)
            err = leave_out(c, "takes only texts and calls of the assistant");
    }
    return err;
}

static int
write_assistant(struct writing *c, const struct canon_message *m, size_t index)
{
    int err = check_assistant(c, m, index);
    emit_map(c->e);
    emit_str_member(c->e, "role", "assistant");
    write_said(c, m);
    for (size_t i = 0; i < m->count; i++)
        if (is_plan(&m->parts[i])) {
            emit_text_member(c->e, "tool_plan", m->parts[i].text);
            break;
        }
    write_calls(c, m);
    emit_end_map(c->e);
    return err;
}

/* --- results of tools ------------------------------------------------------------------------- */

static int
write_result(struct writing *c, const struct canon_part *p, size_t index)
{
    int err = 0;
    snprintf(c->member, sizeof(c->member), "messages[%zu]", index);
    for (size_t i = 0; i < p->part_count && !err; i++)
        if (p->parts[i].kind != PART_TEXT)
            err = need(c, FEATURE_TOOL_RESULT_IMAGE);
    struct slice text = canon_joined_text(c->w->arena, p->parts, p->part_count);
    emit_map(c->e);
    emit_str_member(c->e, "role", "tool");
    emit_text_member(c->e, "tool_call_id", p->id);
    emit_text_member(c->e, "content", text);
    emit_end_map(c->e);
    return err || text.at ? err : ERR_NOMEM;
}

/* Wherever results stand among a user's parts, they are messages of their own before the rest. */
static int
write_results(struct writing *c, const struct canon_message *m, size_t index)
{
    int err = 0;
    for (size_t i = 0; i < m->count && !err; i++)
        if (m->parts[i].kind == PART_TOOL_RESULT)
            err = write_result(c, &m->parts[i], index);
    return err;
}

static bool
has_more_than_results(const struct canon_message *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].kind != PART_TOOL_RESULT)
            return true;
    return m->count == 0;
}

/* --- messages --------------------------------------------------------------------------------- */

static int
write_message(struct writing *c, const struct canon_message *m, size_t index)
{
    bool is_system = m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER;
    if (m->role == ROLE_ASSISTANT)
        return write_assistant(c, m, index);
    int err = write_results(c, m, index);
    if (err || m->role == ROLE_TOOL || !has_more_than_results(m))
        return err;
    emit_map(c->e);
    emit_str_member(c->e, "role", is_system ? "system" : "user");
    err = write_content(c, m, index);
    emit_end_map(c->e);
    return err;
}

int
cohere_write_messages(struct json_emit *e, const struct canon_request *q, struct dialect_writer *w)
{
    struct writing c = {.e = e, .w = w};
    int err = 0;
    emit_name(e, "messages");
    emit_list(e);
    for (size_t i = 0; i < q->message_count && !err; i++)
        err = write_message(&c, &q->messages[i], i);
    emit_end_list(e);
    return err;
}

/* --- documents -------------------------------------------------------------------------------- */

static bool
is_document(const struct canon_part *p)
{
    return p->kind == PART_FILE && p->media.text.len > 0;
}

bool
cohere_has_documents(const struct canon_request *q)
{
    for (size_t i = 0; i < q->message_count; i++)
        for (size_t k = 0; k < q->messages[i].count; k++)
            if (is_document(&q->messages[i].parts[k]))
                return true;
    return false;
}

static void
write_document(struct json_emit *e, const struct canon_media *m)
{
    emit_map(e);
    emit_name(e, "data");
    emit_map(e);
    if (m->name.len)
        emit_text_member(e, "title", m->name);
    emit_text_member(e, "text", m->text);
    emit_end_map(e);
    emit_end_map(e);
}

void
cohere_write_documents(struct json_emit *e, const struct canon_request *q)
{
    emit_name(e, "documents");
    emit_list(e);
    for (size_t i = 0; i < q->message_count; i++)
        for (size_t k = 0; k < q->messages[i].count; k++)
            if (is_document(&q->messages[i].parts[k]))
                write_document(e, &q->messages[i].parts[k].media);
    emit_end_list(e);
}
