/* The messages of a chat request for a provider. */
#include "dataplane/dialects/chat_internal.h"
#include "dataplane/dialects/compat.h"

#include <stdio.h>
#include <strings.h>

void
chat_emit_cache(struct chat_writer *o, enum canon_cache cache)
{
    if (cache == CACHE_NONE || capability_of(o->kind, FEATURE_CACHE_MARKERS) != EXACT)
        return; /* others cache by themselves */
    emit_name(o->e, "cache_control"), emit_map(o->e);
    emit_str_member(o->e, "type", "ephemeral");
    if (cache == CACHE_1H)
        emit_str_member(o->e, "ttl", "1h");
    emit_end_map(o->e);
}

/* Where a part stands, for a refusal. */
struct place {
    size_t message, part;
};

static const char *
path_of(struct place at, char text[static CHAT_PATH_BYTES])
{
    snprintf(text, CHAT_PATH_BYTES, "messages[%zu].content[%zu]", at.message, at.part);
    return text;
}

/* --- parts ------------------------------------------------------------------------------------ */

static void
begin_typed(struct chat_writer *o, const char *type)
{
    emit_map(o->e);
    emit_str_member(o->e, "type", type);
}

static void
end_typed(struct chat_writer *o, const struct canon_part *p)
{
    chat_emit_cache(o, p->cache);
    emit_end_map(o->e);
}

static void
emit_text_part(struct chat_writer *o, const struct canon_part *p, struct slice text)
{
    begin_typed(o, "text");
    emit_text_member(o->e, "text", text);
    end_typed(o, p);
}

/* The address of a medium: its own, or its bytes as one. at == NULL: no memory. */
static struct slice
url_of(struct chat_writer *o, const struct canon_media *m, const char *otherwise)
{
    struct slice mime = m->mime.len ? m->mime : slice_of(otherwise);
    if (!m->data.len)
        return m->url.at ? m->url : SLICE("");
    return slice_of(
        arena_printf(o->w->arena, "data:%.*s;base64,%.*s", SLICE_ARG(mime), SLICE_ARG(m->data)));
}

static int
emit_image(struct chat_writer *o, const struct canon_part *p, struct place at)
{
    char path[CHAT_PATH_BYTES];
    struct slice url = url_of(o, &p->media, "image/png");
    if (!url.at)
        return ERR_NOMEM;
    if (!url.len) {
        int err = dialect_leave_out(o->w, path_of(at, path), "takes no images by file id");
        return err < 0 ? err : 0;
    }
    int err = dialect_need(o->w, p->media.data.len ? FEATURE_IMAGE_DATA : FEATURE_IMAGE_URL,
                           path_of(at, path));
    if (err)
        return err < 0 ? err : 0;
    begin_typed(o, "image_url");
    emit_name(o->e, "image_url"), emit_map(o->e);
    emit_text_member(o->e, "url", url);
    emit_opt_text(o->e, "detail", p->media.detail);
    emit_end_map(o->e);
    end_typed(o, p);
    return 0;
}

static int
emit_sound(struct chat_writer *o, const struct canon_part *p, struct place at)
{
    char path[CHAT_PATH_BYTES];
    struct slice format = p->media.mime;
    int err = p->media.data.len
                  ? dialect_need(o->w, FEATURE_AUDIO_INPUT, path_of(at, path))
                  : dialect_leave_out(o->w, path_of(at, path), "takes sound only with its bytes");
    if (err)
        return err < 0 ? err : 0;
    slice_cut(&format, '/');
    if (slice_is(format, "mpeg"))
        format = SLICE("mp3");
    else if (!format.len || slice_is(format, "x-wav") || slice_is(format, "wave"))
        format = SLICE("wav");
    begin_typed(o, "input_audio");
    emit_name(o->e, "input_audio"), emit_map(o->e);
    emit_text_member(o->e, "data", p->media.data);
    emit_text_member(o->e, "format", format);
    emit_end_map(o->e);
    end_typed(o, p);
    return 0;
}

/* A document that is plain text is told as text. */
static int
emit_document_text(struct chat_writer *o, const struct canon_part *p)
{
    struct slice text = p->media.text;
    if (p->media.name.len)
        text = slice_of(
            arena_printf(o->w->arena, "%.*s:\n%.*s", SLICE_ARG(p->media.name), SLICE_ARG(text)));
    if (!text.at)
        return ERR_NOMEM;
    emit_text_part(o, p, text);
    return 0;
}

static void
emit_url_part(struct chat_writer *o, const struct canon_part *p, const char *type, struct slice url)
{
    begin_typed(o, type);
    if (o->kind == PROVIDER_MISTRAL) {
        emit_text_member(o->e, type, url);
        emit_opt_text(o->e, "document_name", p->media.name);
    } else {
        emit_name(o->e, type), emit_map(o->e);
        emit_text_member(o->e, "url", url);
        emit_end_map(o->e);
    }
    end_typed(o, p);
}

static void
emit_file_part(struct chat_writer *o, const struct canon_part *p, struct slice url)
{
    begin_typed(o, "file");
    emit_name(o->e, "file"), emit_map(o->e);
    if (url.len)
        emit_text_member(o->e, "file_data", url);
    else
        emit_text_member(o->e, "file_id", p->media.file_id);
    if (p->media.name.len || url.len) /* OpenAI wants a name beside the bytes */
        emit_text_member(o->e, "filename", p->media.name.len ? p->media.name : SLICE("file.pdf"));
    emit_end_map(o->e);
    end_typed(o, p);
}

static int
emit_file(struct chat_writer *o, const struct canon_part *p, struct place at)
{
    char path[CHAT_PATH_BYTES];
    const struct canon_media *m = &p->media;
    struct slice url = url_of(o, m, "application/pdf");
    int err = 0;
    if (!url.at)
        return ERR_NOMEM;
    if (m->text.len)
        return emit_document_text(o, p);
    if (slice_starts(m->mime, SLICE("video/"))) {
        if (o->is_openai)
            err = dialect_leave_out(o->w, path_of(at, path), "takes no videos");
        if (!err)
            emit_url_part(o, p, "video_url", url);
        return err < 0 ? err : 0;
    }
    if (!url.len && (p->origin != DIALECT_CHAT || !m->file_id.len))
        err = dialect_leave_out(o->w, path_of(at, path), "does not know the file");
    else if (m->url.len && !m->data.len && !o->compat->takes_file_url)
        err = dialect_leave_out(o->w, path_of(at, path), "takes no files by address");
    else
        err = dialect_need(o->w, FEATURE_PDF, path_of(at, path));
    if (err)
        return err < 0 ? err : 0;
    if (o->kind == PROVIDER_MISTRAL && url.len)
        emit_url_part(o, p, "document_url", url);
    else
        emit_file_part(o, p, url);
    return 0;
}

static int
emit_part(struct chat_writer *o, const struct canon_part *p, struct place at)
{
    char path[CHAT_PATH_BYTES];
    switch (p->kind) {
    case PART_TEXT:
        emit_text_part(o, p, p->text);
        return 0;
    case PART_IMAGE:
        return emit_image(o, p, at);
    case PART_AUDIO:
        return emit_sound(o, p, at);
    case PART_FILE:
        return emit_file(o, p, at);
    default:
        break;
    }
    int err = dialect_leave_out(o->w, path_of(at, path), "has no place for such a part here");
    return err < 0 ? err : 0;
}

/* --- content ---------------------------------------------------------------------------------- */

/* One text, which needs no list. */
static bool
is_plain(struct chat_writer *o, const struct canon_part *parts, size_t count)
{
    return count == 0 || (count == 1 && parts[0].kind == PART_TEXT &&
                          (parts[0].cache == CACHE_NONE ||
                           capability_of(o->kind, FEATURE_CACHE_MARKERS) != EXACT));
}

static int
emit_content(struct chat_writer *o, const struct canon_part *parts, size_t count, size_t message)
{
    int err = 0;
    emit_name(o->e, "content");
    if (is_plain(o, parts, count)) {
        emit_text(o->e, count ? parts[0].text : SLICE(""));
        return 0;
    }
    emit_list(o->e);
    for (size_t i = 0; i < count && !err; i++)
        err = emit_part(o, &parts[i], (struct place){message, i});
    emit_end_list(o->e);
    return err;
}

static void
begin_message(struct chat_writer *o, const char *role, struct slice name)
{
    emit_map(o->e);
    emit_str_member(o->e, "role", role);
    if (name.len)
        emit_text_member(o->e, "name", name);
}

/* --- assistant -------------------------------------------------------------------------------- */

/* The texts of one kind of part, as one; at == NULL: no memory. */
static struct slice
joined(struct chat_writer *o, const struct canon_message *m, enum canon_part_kind kind)
{
    struct canon_part *parts = arena_alloc(o->w->arena, (m->count + 1) * sizeof(*parts));
    size_t n = 0;
    if (!parts)
        return (struct slice){0};
    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].kind == kind) {
            parts[n] = m->parts[i];
            parts[n++].kind = PART_TEXT;
        }
    return canon_joined_text(o->w->arena, parts, n);
}

static const struct canon_part *
first_of(const struct canon_message *m, enum canon_part_kind kind)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].kind == kind)
            return &m->parts[i];
    return NULL;
}

/* Entries that came from such a provider go back as they came. The simulator's, and those of
 * another gateway, may have the format of any dialect. */
static bool
is_own_detail(const struct chat_writer *o, const struct canon_part *p)
{
    if (p->kind != PART_REASONING)
        return false;
    if (o->kind == PROVIDER_SIMULATOR || o->kind == PROVIDER_OPENAI_COMPATIBLE)
        return chat_needs_detail(p);
    return p->origin == DIALECT_CHAT && p->raw.len;
}

static void
emit_own_details(struct chat_writer *o, const struct canon_message *m)
{
    bool begun = false;
    for (size_t i = 0; i < m->count; i++) {
        const struct canon_part *p = &m->parts[i];
        if (!is_own_detail(o, p))
            continue;
        if (!begun)
            emit_name(o->e, "reasoning_details"), emit_list(o->e);
        begun = true;
        chat_emit_detail(o->e, p, i);
    }
    if (begun)
        emit_end_list(o->e);
}

/* Reasoning that nobody else may read (a signature, encrypted text of another dialect) says nothing
 * here; what may be read goes where the provider has a place. Where it has none, nothing is lost
 * that its model could have read. */
static int
emit_replay(struct chat_writer *o, const struct canon_message *m)
{
    struct slice text = joined(o, m, PART_REASONING);
    if (!text.at)
        return ERR_NOMEM;
    if (o->compat->replay == REPLAY_CONTENT && text.len)
        emit_text_member(o->e, "reasoning_content", text);
    else if (o->compat->replay == REPLAY_PLAIN && text.len)
        emit_text_member(o->e, "reasoning", text);
    else if (o->compat->replay == REPLAY_DETAILS && text.len)
        emit_text_member(o->e, "reasoning", text);
    if (o->compat->replay == REPLAY_DETAILS || o->kind == PROVIDER_OPENAI_COMPATIBLE)
        emit_own_details(o, m);
    return 0;
}

/* Mistral's content: thinking before the text. */
static void
emit_thinking_parts(struct chat_writer *o, const struct canon_message *m, struct slice text)
{
    emit_name(o->e, "content"), emit_list(o->e);
    for (size_t i = 0; i < m->count; i++) {
        if (m->parts[i].kind != PART_REASONING || !m->parts[i].text.len)
            continue;
        begin_typed(o, "thinking");
        emit_name(o->e, "thinking"), emit_list(o->e);
        emit_text_part(o, &(struct canon_part){.kind = PART_TEXT}, m->parts[i].text);
        emit_end_list(o->e);
        emit_end_map(o->e);
    }
    if (text.len)
        emit_text_part(o, &(struct canon_part){.kind = PART_TEXT}, text);
    emit_end_list(o->e);
}

static int
emit_own_content(struct chat_writer *o, const struct canon_message *m)
{
    struct slice text = joined(o, m, PART_TEXT), refusal = joined(o, m, PART_REFUSAL);
    struct slice thinking = joined(o, m, PART_REASONING);
    if (!text.at || !refusal.at || !thinking.at)
        return ERR_NOMEM;
    if (!o->is_openai && refusal.len && !text.len)
        text = refusal; /* others know no refusals: it is what was said */
    if (o->compat->replay == REPLAY_PARTS && thinking.len)
        emit_thinking_parts(o, m, text);
    else if (first_of(m, PART_TEXT) || text.len || !first_of(m, PART_TOOL_CALL))
        emit_text_member(o->e, "content", text);
    else
        emit_name(o->e, "content"), emit_null(o->e);
    if (o->is_openai && refusal.len)
        emit_text_member(o->e, "refusal", refusal);
    return 0;
}

static void
emit_own_calls(struct chat_writer *o, const struct canon_message *m)
{
    if (!first_of(m, PART_TOOL_CALL))
        return;
    emit_name(o->e, "tool_calls"), emit_list(o->e);
    for (size_t i = 0; i < m->count; i++) {
        struct canon_part call = m->parts[i];
        if (call.kind != PART_TOOL_CALL)
            continue;
        if (!call.custom && (!call.arguments.len || slice_is(call.arguments, "null")))
            call.arguments = SLICE("{}");
        if (call.origin != DIALECT_GEMINI ||
            (o->kind != PROVIDER_OPENAI_COMPATIBLE && o->kind != PROVIDER_SIMULATOR))
            call.signature = (struct slice){0}; /* Google's compatible endpoint wants its own */
        emit_map(o->e);
        chat_emit_call_as(o->e, &call, call.id);
        emit_end_map(o->e);
    }
    emit_end_list(o->e);
}

/* What has no place in an assistant's message: items of another dialect, its pictures. */
static int
check_rest(struct chat_writer *o, const struct canon_message *m, size_t number)
{
    char path[CHAT_PATH_BYTES];
    for (size_t i = 0; i < m->count; i++) {
        const struct canon_part *p = &m->parts[i];
        bool is_foreign = p->kind == PART_OPAQUE || p->kind == PART_IMAGE || p->kind == PART_FILE ||
                          (p->kind == PART_AUDIO && p->origin != DIALECT_CHAT);
        if (!is_foreign)
            continue;
        int err = dialect_leave_out(o->w, path_of((struct place){number, i}, path),
                                    "has no place for such a part in an answer");
        if (err < 0)
            return err;
    }
    return 0;
}

static int
emit_assistant(struct chat_writer *o, const struct canon_message *m, size_t number)
{
    const struct canon_part *audio = first_of(m, PART_AUDIO);
    int err = check_rest(o, m, number);
    begin_message(o, "assistant", o->is_openai ? m->name : (struct slice){0});
    if (!err)
        err = emit_own_content(o, m);
    if (!err)
        err = emit_replay(o, m);
    if (audio && audio->origin == DIALECT_CHAT && audio->media.id.len && o->is_openai) {
        emit_name(o->e, "audio"), emit_map(o->e);
        emit_text_member(o->e, "id", audio->media.id);
        emit_end_map(o->e);
    }
    emit_own_calls(o, m);
    if (o->kind == PROVIDER_MISTRAL && number + 1 == o->q->message_count)
        emit_bool_member(o->e, "prefix", true); /* else an answer must not be the last */
    emit_end_map(o->e);
    return err;
}

/* --- results ---------------------------------------------------------------------------------- */

/* The text of a result; that it failed is told by its first word. */
static int
emit_result_text(struct chat_writer *o, const struct canon_part *result)
{
    struct slice text = canon_joined_text(o->w->arena, result->parts, result->part_count);
    if (!text.at)
        return ERR_NOMEM;
    bool says_so = text.len >= 5 && strncasecmp(text.at, "error", 5) == 0;
    if (result->is_error && !says_so)
        text = slice_of(arena_printf(o->w->arena, "Error: %.*s", SLICE_ARG(text)));
    if (!text.at)
        return ERR_NOMEM;
    emit_text_member(o->e, "content", text);
    return 0;
}

static bool
is_text_only(const struct canon_part *result)
{
    for (size_t i = 0; i < result->part_count; i++)
        if (result->parts[i].kind != PART_TEXT)
            return false;
    return true;
}

static int
emit_result(struct chat_writer *o, const struct canon_part *result, size_t number)
{
    bool is_list = result->part_count > 1 && !result->is_error && is_text_only(result);
    int err;
    emit_map(o->e);
    emit_str_member(o->e, "role", "tool");
    emit_text_member(o->e, "tool_call_id", result->id);
    if (o->kind == PROVIDER_MISTRAL && result->name.len)
        emit_text_member(o->e, "name", result->name);
    err = is_list ? emit_content(o, result->parts, result->part_count, number)
                  : emit_result_text(o, result);
    emit_end_map(o->e);
    return err;
}

/* Pictures and documents of results follow the results in a user's message: chat completions take
 * only text in a result. */
static int
emit_result_media(struct chat_writer *o, const struct canon_message *m, size_t number)
{
    int err = 0;
    for (size_t i = 0; i < m->count && !err; i++) {
        const struct canon_part *result = &m->parts[i];
        if (is_text_only(result))
            continue;
        if (!o->media_begun) {
            o->media_begun = true;
            begin_message(o, "user", (struct slice){0});
            emit_name(o->e, "content"), emit_list(o->e);
        }
        char *told = arena_printf(
            o->w->arena, "What the tool call %.*s returned besides text:", SLICE_ARG(result->id));
        if (!told)
            return ERR_NOMEM;
        emit_text_part(o, &(struct canon_part){.kind = PART_TEXT}, slice_of(told));
        for (size_t k = 0; k < result->part_count && !err; k++)
            if (result->parts[k].kind != PART_TEXT)
                err = emit_part(o, &result->parts[k], (struct place){number, k});
    }
    return err;
}

/* --- the list --------------------------------------------------------------------------------- */

/* All messages with results from `from` on; where the next other one stands. */
static int
emit_results(struct chat_writer *o, size_t from, size_t *ret_next)
{
    const struct canon_message *all = o->q->messages;
    size_t next = from;
    int err = 0;
    for (; next < o->q->message_count && all[next].role == ROLE_TOOL && !err; next++)
        for (size_t i = 0; i < all[next].count && !err; i++)
            err = emit_result(o, &all[next].parts[i], next);
    o->media_begun = false;
    for (size_t i = from; i < next && !err; i++)
        err = emit_result_media(o, &all[i], i);
    if (o->media_begun) {
        emit_end_list(o->e);
        emit_end_map(o->e);
    }
    *ret_next = next;
    return err;
}

static int
emit_message(struct chat_writer *o, const struct canon_message *m, size_t number)
{
    const char *role = m->role == ROLE_USER                                ? "user"
                       : m->role == ROLE_DEVELOPER && o->compat->developer ? "developer"
                                                                           : "system";
    if (m->role == ROLE_ASSISTANT)
        return emit_assistant(o, m, number);
    begin_message(o, role,
                  o->kind == PROVIDER_GROQ || o->kind == PROVIDER_MISTRAL ? slice_none() : m->name);
    int err = emit_content(o, m->parts, m->count, number);
    emit_end_map(o->e);
    return err;
}

/* The schema of the answer, where the provider has to be told in words. */
static int
emit_schema_message(struct chat_writer *o)
{
    if (o->q->format != FORMAT_SCHEMA || capability_of(o->kind, FEATURE_JSON_SCHEMA) != EMULATED)
        return 0;
    struct slice text = compat_schema_text(o->w->arena, o->q->format_schema_raw);
    if (!text.at)
        return ERR_NOMEM;
    begin_message(o, "system", (struct slice){0});
    emit_text_member(o->e, "content", text);
    emit_end_map(o->e);
    return 0;
}

int
chat_emit_messages(struct chat_writer *o)
{
    emit_name(o->e, "messages"), emit_list(o->e);
    int err = emit_schema_message(o);
    for (size_t i = 0; i < o->q->message_count && !err;) {
        if (o->q->messages[i].role == ROLE_TOOL) {
            err = emit_results(o, i, &i);
        } else {
            err = emit_message(o, &o->q->messages[i], i);
            i++;
        }
    }
    emit_end_list(o->e);
    return err;
}
