/* Canonical messages as the items of a provider's input. */
#include "dataplane/dialects/responses_internal.h"

#include <stdio.h>
#include <string.h>

#define MAX_CALL_ID 64 /* OpenAI refuses longer ones */

static const char *const role_names[] = {
    [ROLE_SYSTEM] = "system",       [ROLE_DEVELOPER] = "developer", [ROLE_USER] = "user",
    [ROLE_ASSISTANT] = "assistant", [ROLE_TOOL] = "user",
};

static int
leave_out(struct responses_order *o, const char *where, const char *reason)
{
    return dialect_leave_out(o->w, where, reason);
}

/* --- media ------------------------------------------------------------------------------------ */

static bool
needs_escape(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < 0x20 || text.at[i] == '"' || text.at[i] == '\\')
            return true;
    return false;
}

/* Megabytes of base64 are not escaped byte by byte; what is no base64 is, and the provider refuses
 * it. */
static void
emit_data_url(struct responses_order *o, const char *name, struct slice mime, struct slice data)
{
    struct json_emit *e = &o->e;
    emit_name(e, name);
    if (needs_escape(mime) || needs_escape(data)) {
        char *url =
            arena_printf(o->w->arena, "data:%.*s;base64,%.*s", SLICE_ARG(mime), SLICE_ARG(data));
        if (!url)
            e->err = ERR_NOMEM;
        emit_text(e, slice_of(url));
        return;
    }
    if (!e->err)
        e->err = buf_addf(e->into, "\"data:%.*s;base64,", SLICE_ARG(mime));
    if (!e->err)
        e->err = buf_add_slice(e->into, data);
    if (!e->err)
        e->err = buf_add_str(e->into, "\"");
    e->comma = true;
}

static int
emit_image(struct responses_order *o, const struct canon_part *p, const char *where)
{
    const struct canon_media *m = &p->media;
    struct json_emit *e = &o->e;
    int err = m->data.at   ? dialect_need(o->w, FEATURE_IMAGE_DATA, where)
              : m->url.len ? dialect_need(o->w, FEATURE_IMAGE_URL, where)
              : p->origin != DIALECT_RESPONSES && p->origin != DIALECT_CHAT
                  ? leave_out(o, where, "cannot fetch a file of another provider's")
                  : 0;
    if (err)
        return err;
    emit_map(e);
    emit_str_member(e, "type", "input_image");
    if (m->data.at)
        emit_data_url(o, "image_url", m->mime.len ? m->mime : SLICE("image/png"), m->data);
    else
        emit_opt_text(e, m->url.len ? "image_url" : "file_id", m->url.len ? m->url : m->file_id);
    emit_text_member(e, "detail", m->detail.len ? m->detail : SLICE("auto"));
    emit_end_map(e);
    return 0;
}

static int
emit_file(struct responses_order *o, const struct canon_part *p, const char *where)
{
    const struct canon_media *m = &p->media;
    struct json_emit *e = &o->e;
    if (m->text.at) { /* plain text needs no file */
        emit_map(e);
        emit_str_member(e, "type", "input_text");
        emit_text_member(e, "text", m->text);
        emit_end_map(e);
        return 0;
    }
    int err = m->data.at ? dialect_need(o->w, FEATURE_PDF, where)
              : m->file_id.len && p->origin != DIALECT_RESPONSES && p->origin != DIALECT_CHAT
                  ? leave_out(o, where, "cannot fetch a file of another provider's")
                  : 0;
    if (err)
        return err;
    emit_map(e);
    emit_str_member(e, "type", "input_file");
    if (m->data.at) {
        emit_data_url(o, "file_data", m->mime.len ? m->mime : SLICE("application/pdf"), m->data);
        emit_text_member(e, "filename", m->name.len ? m->name : SLICE("document.pdf"));
    } else {
        emit_opt_text(e, m->url.len ? "file_url" : "file_id", m->url.len ? m->url : m->file_id);
    }
    emit_end_map(e);
    return 0;
}

static int
emit_audio(struct responses_order *o, const struct canon_part *p, const char *where)
{
    struct json_emit *e = &o->e;
    struct slice format = p->media.mime;
    slice_cut(&format, '/');
    int err = dialect_need(o->w, FEATURE_AUDIO_INPUT, where);
    if (!err && !p->media.data.at)
        err = leave_out(o, where, "takes sound only as base64");
    if (err)
        return err;
    emit_map(e);
    emit_str_member(e, "type", "input_audio");
    emit_name(e, "input_audio");
    emit_map(e);
    emit_text_member(e, "data", p->media.data);
    emit_text_member(e, "format",
                     slice_is(format, "mpeg")                       ? SLICE("mp3")
                     : slice_is(format, "x-wav") || format.len == 0 ? SLICE("wav")
                                                                    : format);
    emit_end_map(e);
    emit_end_map(e);
    return 0;
}

/* --- contents --------------------------------------------------------------------------------- */

static void
emit_input_text(struct json_emit *e, const struct canon_part *p)
{
    emit_map(e);
    emit_str_member(e, "type", "input_text");
    emit_text_member(e, "text", p->text);
    /* Elsewhere the provider caches without being told where. */
    if (p->cache != CACHE_NONE && p->origin == DIALECT_RESPONSES) {
        emit_name(e, "prompt_cache_breakpoint");
        emit_raw(e, SLICE("{\"mode\":\"explicit\"}"));
    }
    emit_end_map(e);
}

static int
emit_piece(struct responses_order *o, const struct canon_part *p, const char *where)
{
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        emit_input_text(&o->e, p);
        return 0;
    case PART_IMAGE:
        return emit_image(o, p, where);
    case PART_FILE:
        return emit_file(o, p, where);
    case PART_AUDIO:
        return emit_audio(o, p, where);
    default:
        return leave_out(o, where, "takes no such part there");
    }
}

static bool
is_message(const struct canon_part *p)
{
    return p->kind == PART_TEXT || p->kind == PART_REFUSAL;
}

/* One plain text is a text; all else is a list. */
static int
emit_pieces(struct responses_order *o, const struct canon_part *parts, size_t count,
            const char *where)
{
    char member[96];
    if (count == 1 && is_message(&parts[0]) && parts[0].cache == CACHE_NONE) {
        emit_text(&o->e, parts[0].text);
        return 0;
    }
    emit_list(&o->e);
    for (size_t i = 0; i < count; i++) {
        snprintf(member, sizeof(member), "%s.content[%zu]", where, i);
        int err = emit_piece(o, &parts[i], member);
        if (err < 0)
            return err;
    }
    emit_end_list(&o->e);
    return 0;
}

static int
write_said(struct responses_order *o, const struct canon_message *m, const char *where)
{
    emit_map(&o->e);
    emit_str_member(&o->e, "role", role_names[m->role]);
    emit_name(&o->e, "content");
    int err = emit_pieces(o, m->parts, m->count, where);
    emit_end_map(&o->e);
    return err;
}

/* --- what the model said ---------------------------------------------------------------------- */

static bool
is_ours(const struct canon_part *p)
{
    return p->origin == DIALECT_RESPONSES;
}

static void
emit_said(struct json_emit *e, const struct canon_part *p)
{
    bool refusal = p->kind == PART_REFUSAL;
    emit_map(e);
    emit_str_member(e, "type", refusal ? "refusal" : "output_text");
    emit_text_member(e, refusal ? "refusal" : "text", p->text);
    if (!refusal) {
        emit_name(e, "annotations");
        emit_list(e);
        for (size_t i = 0; i < p->citation_count; i++)
            if (p->citations[i].origin == DIALECT_RESPONSES && p->citations[i].raw.len)
                emit_raw(e, p->citations[i].raw);
        emit_end_list(e);
    }
    emit_end_map(e);
}

/* Texts with one item id are one item. Returns how many there are. */
static size_t
write_message_item(struct json_emit *e, const struct canon_part *parts, size_t count)
{
    size_t n = 1;
    while (n < count && is_message(&parts[n]) && slice_eq(parts[n].id, parts[0].id))
        n++;
    emit_map(e);
    emit_str_member(e, "type", "message");
    emit_str_member(e, "role", "assistant");
    if (is_ours(&parts[0]) && slice_starts(parts[0].id, SLICE("msg_"))) {
        emit_text_member(e, "id", parts[0].id);
        emit_str_member(e, "status", "completed");
    }
    if (is_ours(&parts[0]) && parts[0].raw.len)
        emit_members_of(e, parts[0].raw);
    emit_name(e, "content");
    emit_list(e);
    for (size_t i = 0; i < n; i++)
        emit_said(e, &parts[i]);
    emit_end_list(e);
    emit_end_map(e);
    return n;
}

static void
emit_thought(struct json_emit *e, const char *list, const char *type, struct slice text)
{
    emit_name(e, list);
    emit_list(e);
    if (text.len) {
        emit_map(e);
        emit_str_member(e, "type", type);
        emit_text_member(e, "text", text);
        emit_end_map(e);
    }
    emit_end_list(e);
}

/* A provider gets its own reasoning back. Of that of others the open-weight servers take the text;
 * OpenAI takes nothing that it has not encrypted or kept. */
static void
write_reasoning(struct responses_order *o, const struct canon_part *p)
{
    enum provider_kind kind = o->w->target->provider->kind;
    bool openai = kind == PROVIDER_OPENAI || kind == PROVIDER_AZURE_OPENAI;
    bool own = is_ours(p) && (p->encrypted.len || (p->id.len && o->q->origin == DIALECT_RESPONSES));
    struct json_emit *e = &o->e;
    if (!own && (openai || p->text.len == 0 || p->encrypted.len))
        return;
    emit_map(e);
    emit_str_member(e, "type", "reasoning");
    if (own)
        emit_opt_text(e, "id", p->id.len ? p->id : (struct slice){0});
    if (own && (openai || p->encrypted.len)) {
        emit_thought(e, "summary", "summary_text", p->text);
    } else {
        emit_thought(e, "summary", "summary_text", (struct slice){0});
        emit_thought(e, "content", "reasoning_text", p->text);
    }
    if (own && p->encrypted.len)
        emit_text_member(e, "encrypted_content", p->encrypted);
    emit_end_map(e);
}

/* The id without the signature of another provider that it may carry, and no longer than OpenAI
 * takes it: the same for a call and its result. */
static struct slice
plain_id(struct responses_order *o, struct slice id)
{
    struct slice plain, signature;
    enum dialect_id origin;
    canon_unpack_id(o->w->arena, id, &plain, &origin, &signature);
    if (plain.len <= MAX_CALL_ID)
        return plain;
    plain = canon_fit_id(o->w->arena, plain, MAX_CALL_ID);
    if (!plain.at)
        o->e.err = ERR_NOMEM;
    return plain;
}

static int
write_call(struct responses_order *o, const struct canon_part *p, const char *where)
{
    struct json_emit *e = &o->e;
    int err = p->custom ? dialect_need(o->w, FEATURE_CUSTOM_TOOLS, where) : 0;
    if (err)
        return err;
    emit_map(e);
    emit_str_member(e, "type", p->custom ? "custom_tool_call" : "function_call");
    emit_text_member(e, "call_id", plain_id(o, p->id));
    emit_text_member(e, "name", p->name);
    if (p->custom)
        emit_text_member(e, "input", p->arguments);
    else
        emit_text_member(e, "arguments",
                         p->arguments.len == 0 || slice_is(p->arguments, "null") ? SLICE("{}")
                                                                                 : p->arguments);
    if (is_ours(p) && p->raw.len)
        emit_members_of(e, p->raw);
    emit_end_map(e);
    return 0;
}

static int
write_opaque(struct responses_order *o, const struct canon_part *p, const char *where)
{
    if (!is_ours(p))
        return leave_out(o, where, "does not know this item, which is another provider's");
    emit_raw(&o->e, p->raw);
    return 0;
}

static int
write_turn(struct responses_order *o, const struct canon_message *m, const char *where)
{
    int err = 0;
    for (size_t i = 0; i < m->count && err >= 0; i++) {
        const struct canon_part *p = &m->parts[i];
        switch (p->kind) {
        case PART_TEXT:
        case PART_REFUSAL:
            i += write_message_item(&o->e, p, m->count - i) - 1;
            break;
        case PART_REASONING:
            write_reasoning(o, p);
            break;
        case PART_TOOL_CALL:
            err = write_call(o, p, where);
            break;
        case PART_OPAQUE:
            err = write_opaque(o, p, where);
            break;
        default:
            err = leave_out(o, where, "takes no media as the model's own");
            break;
        }
    }
    return err < 0 ? err : 0;
}

/* --- results ---------------------------------------------------------------------------------- */

static int
write_results(struct responses_order *o, const struct canon_message *m, const char *where)
{
    int err = 0;
    for (size_t i = 0; i < m->count && !err; i++) {
        const struct canon_part *p = &m->parts[i];
        if (p->kind != PART_TOOL_RESULT)
            continue;
        emit_map(&o->e);
        emit_str_member(&o->e, "type",
                        p->custom ? "custom_tool_call_output" : "function_call_output");
        emit_text_member(&o->e, "call_id", plain_id(o, p->id));
        emit_name(&o->e, "output");
        err = p->part_count ? emit_pieces(o, p->parts, p->part_count, where) : 0;
        if (p->part_count == 0)
            emit_str(&o->e, "");
        emit_end_map(&o->e);
    }
    return err;
}

int
responses_write_input(struct responses_order *o, size_t first)
{
    char where[64];
    int err = 0;
    emit_list(&o->e);
    for (size_t i = first; i < o->q->message_count && !err; i++) {
        const struct canon_message *m = &o->q->messages[i];
        snprintf(where, sizeof(where), "messages[%zu]", i);
        if (m->role == ROLE_ASSISTANT)
            err = write_turn(o, m, where);
        else if (m->role == ROLE_TOOL)
            err = write_results(o, m, where);
        else
            err = write_said(o, m, where);
    }
    emit_end_list(&o->e);
    return err;
}
