/*
 * Messages as Converse wants them: user and assistant in turn, results of tools in the user's turn,
 * no blank texts, documents with a name and a text beside them.
 */
#include "dataplane/dialects/converse_internal.h"

#include "lib/base/encode.h"

#include <stdio.h>
#include <string.h>

#define LIMIT_DOCUMENT_NAME_BYTES 180
#define DOCUMENT_TEXT "See the attached document."

/* --- refusals --------------------------------------------------------------------------------- */

static int
leave_out(struct converse_writing *c, const char *reason)
{
    int err = dialect_leave_out(c->w, c->member, reason);
    return err < 0 ? err : 0;
}

/* --- formats ---------------------------------------------------------------------------------- */

struct format {
    const char *mime, *name;
};
static const struct format image_formats[] = {
    {"image/png", "png"}, {"image/jpeg", "jpeg"}, {"image/jpg", "jpeg"},
    {"image/gif", "gif"}, {"image/webp", "webp"},
};
static const struct format document_formats[] = {
    {"application/pdf", "pdf"},
    {"text/plain", "txt"},
    {"text/markdown", "md"},
    {"text/csv", "csv"},
    {"text/html", "html"},
    {"application/msword", "doc"},
    {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"},
    {"application/vnd.ms-excel", "xls"},
    {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"},
};
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static struct slice
extension_of(struct slice name)
{
    for (size_t i = name.len; i > 0; i--)
        if (name.at[i - 1] == '.')
            return slice_from(name, i);
        else if (name.at[i - 1] == '/')
            break;
    return (struct slice){0};
}

/* By media type, else by the extension of a name or URL; NULL: none of these. */
static const char *
find_format(const struct format *list, size_t count, const struct canon_media *m)
{
    struct slice mime = m->mime, type = slice_cut(&mime, ';');
    struct slice extension = extension_of(m->name.len ? m->name : m->url);
    for (size_t i = 0; i < count; i++)
        if (type.len && slice_eq_nocase(slice_trim(type), slice_of(list[i].mime)))
            return list[i].name;
    for (size_t i = 0; i < count && type.len == 0; i++)
        if (slice_eq_nocase(extension, slice_of(list[i].name)) ||
            (slice_eq_nocase(extension, SLICE("jpg")) && strcmp(list[i].name, "jpeg") == 0))
            return list[i].name;
    return NULL;
}

/* --- media ------------------------------------------------------------------------------------ */

static bool
is_in_s3(const struct canon_media *m)
{
    return slice_starts(m->url, SLICE("s3://"));
}

static void
write_source(struct json_emit *e, const struct canon_media *m)
{
    emit_name(e, "source");
    emit_map(e);
    if (m->data.len) {
        emit_text_member(e, "bytes", m->data);
    } else {
        emit_name(e, "s3Location");
        emit_map(e);
        emit_text_member(e, "uri", m->url);
        emit_end_map(e);
    }
    emit_end_map(e);
}

/* 0, or what leave_out says: then there is nothing to write. */
static int
check_source(struct converse_writing *c, const struct canon_media *m, bool *ret_good)
{
    *ret_good = m->data.len || is_in_s3(m);
    if (*ret_good)
        return 0;
    if (m->file_id.len)
        return leave_out(c, "cannot be given a file of another provider's store");
    return leave_out(c, "takes files and images only as data or from s3://");
}

static int
write_image(struct converse_writing *c, const struct canon_part *p)
{
    const char *format = find_format(image_formats, COUNT(image_formats), &p->media);
    bool good = false;
    int err = check_source(c, &p->media, &good);
    if (err || !good)
        return err;
    if (!format)
        return leave_out(c, "takes images as PNG, JPEG, GIF or WebP only");
    emit_map(&c->e);
    emit_name(&c->e, "image");
    emit_map(&c->e);
    emit_str_member(&c->e, "format", format);
    write_source(&c->e, &p->media);
    emit_end_map(&c->e);
    emit_end_map(&c->e);
    return 0;
}

static bool
is_name_char(char ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
           ch == '-' || ch == '(' || ch == ')' || ch == '[' || ch == ']';
}

/* Letters, digits, '-', brackets and single blanks, and different from all others: every document
 * but the first carries its number, and the first does where its name ends like that. */
static void
write_document_name(struct converse_writing *c, struct slice given)
{
    char name[LIMIT_DOCUMENT_NAME_BYTES + 16] = "";
    size_t n = 0;
    struct slice extension = extension_of(given);
    if (extension.len)
        given.len -= extension.len + 1;
    for (size_t i = 0; i < given.len && n < LIMIT_DOCUMENT_NAME_BYTES; i++)
        if (is_name_char(given.at[i]))
            name[n++] = given.at[i];
        else if (n > 0 && name[n - 1] != ' ')
            name[n++] = ' ';
    while (n > 0 && name[n - 1] == ' ')
        n--;
    c->documents++;
    bool is_plain = n > 0 && (name[n - 1] < '0' || name[n - 1] > '9');
    if (n == 0)
        n = (size_t)snprintf(name, sizeof(name), "Document");
    if (c->documents > 1 || !is_plain)
        n += (size_t)snprintf(name + n, sizeof(name) - n, " %u", c->documents);
    emit_text_member(&c->e, "name", slice_make(name, n));
}

/* A document that is given as text goes as the bytes of a text file. */
static int
text_as_data(struct converse_writing *c, struct canon_media *m)
{
    if (!m->text.len || m->data.len)
        return 0;
    char *data = arena_alloc(c->w->arena, BASE64_BYTES(m->text.len));
    if (!data)
        return ERR_NOMEM;
    m->data = slice_make(data, base64_encode(m->text.at, m->text.len, data));
    if (!m->mime.len)
        m->mime = SLICE("text/plain");
    return 0;
}

static int
write_document(struct converse_writing *c, const struct canon_part *p)
{
    struct canon_media media = p->media;
    bool good = false;
    int err = text_as_data(c, &media);
    if (!err)
        err = check_source(c, &media, &good);
    if (err || !good)
        return err;
    const char *format = find_format(document_formats, COUNT(document_formats), &media);
    if (!format)
        return leave_out(c,
                         "takes documents as PDF, Word, Excel, CSV, HTML, Markdown or text only");
    emit_map(&c->e);
    emit_name(&c->e, "document");
    emit_map(&c->e);
    emit_str_member(&c->e, "format", format);
    write_document_name(c, media.name);
    write_source(&c->e, &media);
    emit_end_map(&c->e);
    emit_end_map(&c->e);
    return 0;
}

/* --- texts and reasoning ---------------------------------------------------------------------- */

static bool
is_blank(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] != ' ' && s.at[i] != '\n' && s.at[i] != '\r' && s.at[i] != '\t')
            return false;
    return true;
}

/* Blank texts are refused by Bedrock and say nothing. */
static void
write_text(struct converse_writing *c, struct slice text)
{
    if (is_blank(text))
        return;
    emit_map(&c->e);
    emit_text_member(&c->e, "text", text);
    emit_end_map(&c->e);
}

/* Reasoning goes back only to where it came from; Claude refuses it without its signature. */
static bool
is_returned(const struct converse_writing *c, const struct canon_part *p)
{
    if (p->origin != DIALECT_CONVERSE)
        return false;
    return p->encrypted.len || p->signature.len ||
           (p->text.len && c->model.family != CONVERSE_CLAUDE);
}

static void
write_reasoning(struct converse_writing *c, const struct canon_part *p)
{
    struct json_emit *e = &c->e;
    if (!is_returned(c, p))
        return;
    emit_map(e);
    emit_name(e, "reasoningContent");
    emit_map(e);
    if (p->encrypted.len) {
        emit_text_member(e, "redactedContent", p->encrypted);
    } else {
        emit_name(e, "reasoningText");
        emit_map(e);
        emit_text_member(e, "text", p->text);
        if (p->signature.len)
            emit_text_member(e, "signature", p->signature);
        emit_end_map(e);
    }
    emit_end_map(e);
    emit_end_map(e);
}

/* --- calls and results ------------------------------------------------------------------------ */

static void
write_call_id(struct converse_writing *c, struct slice id)
{
    struct slice fit = canon_fit_id(c->w->arena, id, LIMIT_CONVERSE_NAME_BYTES);
    if (!fit.at && !c->e.err)
        c->e.err = ERR_NOMEM;
    emit_text_member(&c->e, "toolUseId", fit);
}

static bool
is_object(struct slice text)
{
    struct json_span root;
    struct json_error why;
    return json_scan(text, &json_limits_default, NULL, 0, NULL, &root, &why) == 0 &&
           root.kind == JSON_MAP;
}

/* The arguments have to be an object. A model's malformed ones, which a client shows it to have
 * them mended, travel as a text inside one. */
static void
write_arguments(struct json_emit *e, const struct canon_part *p)
{
    emit_name(e, "input");
    if (!p->custom && is_blank(p->arguments)) {
        emit_raw(e, SLICE("{}"));
    } else if (!p->custom && is_object(p->arguments)) {
        emit_raw(e, slice_trim(p->arguments));
    } else {
        emit_map(e);
        emit_text_member(e, "input", p->arguments);
        emit_end_map(e);
    }
}

static void
write_call(struct converse_writing *c, const struct canon_part *p)
{
    struct json_emit *e = &c->e;
    emit_map(e);
    emit_name(e, "toolUse");
    emit_map(e);
    write_call_id(c, p->id);
    emit_text_member(e, "name", p->name);
    write_arguments(e, p);
    emit_end_map(e);
    emit_end_map(e);
}

static int
write_result_part(struct converse_writing *c, const struct canon_part *p)
{
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        write_text(c, p->text);
        return 0;
    case PART_IMAGE:
        return write_image(c, p);
    case PART_FILE:
        return write_document(c, p);
    default:
        return leave_out(c, "takes texts, images and documents as results of tools only");
    }
}

static int
write_result(struct converse_writing *c, const struct canon_part *p)
{
    struct json_emit *e = &c->e;
    int err = 0;
    emit_map(e);
    emit_name(e, "toolResult");
    emit_map(e);
    write_call_id(c, p->id);
    emit_name(e, "content");
    emit_list(e);
    for (size_t i = 0; i < p->part_count && !err; i++)
        err = write_result_part(c, &p->parts[i]);
    emit_end_list(e);
    if (c->model.has_status)
        emit_str_member(e, "status", p->is_error ? "error" : "success");
    emit_end_map(e);
    emit_end_map(e);
    return err;
}

/* --- parts ------------------------------------------------------------------------------------ */

void
converse_write_cache(struct converse_writing *c, enum canon_cache cache)
{
    if (cache == CACHE_NONE || !c->model.has_cache)
        return; /* a marker asks for no more than a lower price */
    emit_map(&c->e);
    emit_name(&c->e, "cachePoint");
    emit_map(&c->e);
    emit_str_member(&c->e, "type", "default");
    if (cache == CACHE_1H && c->model.has_cache_hour)
        emit_str_member(&c->e, "ttl", "1h");
    emit_end_map(&c->e);
    emit_end_map(&c->e);
}

static int
write_opaque(struct converse_writing *c, const struct canon_part *p)
{
    if (p->origin != DIALECT_CONVERSE)
        return leave_out(c, "cannot be given an item that only its origin understands");
    emit_raw(&c->e, p->raw);
    return 0;
}

static int
write_part(struct converse_writing *c, const struct canon_part *p)
{
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        write_text(c, p->text);
        return 0;
    case PART_REASONING:
        write_reasoning(c, p);
        return 0;
    case PART_IMAGE:
        return write_image(c, p);
    case PART_FILE:
        return write_document(c, p);
    case PART_AUDIO: {
        int err = dialect_need(c->w, FEATURE_AUDIO_INPUT, c->member);
        return err < 0 ? err : 0;
    }
    case PART_TOOL_CALL:
        write_call(c, p);
        return 0;
    case PART_TOOL_RESULT:
        return write_result(c, p);
    case PART_OPAQUE:
        return write_opaque(c, p);
    }
    return 0;
}

/* --- turns ------------------------------------------------------------------------------------ */

static bool
is_system(const struct canon_message *m)
{
    return m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER;
}

/* Whether nothing of the part would be written. */
static bool
is_void(const struct converse_writing *c, const struct canon_part *p)
{
    if (p->kind == PART_TEXT || p->kind == PART_REFUSAL)
        return is_blank(p->text);
    return p->kind == PART_REASONING && !is_returned(c, p);
}

/* System messages stand elsewhere; one without content would be refused and says nothing. */
static bool
is_passed_over(const struct converse_writing *c, size_t index)
{
    const struct canon_message *m = &c->q->messages[index];
    for (size_t i = 0; i < m->count && !is_system(m); i++)
        if (!is_void(c, &m->parts[i]))
            return false;
    return true;
}

/* Messages [from, to) of one side, and such as are passed over. */
struct turn {
    size_t from, to;
    bool is_assistant;
};

static bool
next_turn(const struct converse_writing *c, size_t *at, struct turn *ret)
{
    const struct canon_request *q = c->q;
    while (*at < q->message_count && is_passed_over(c, *at))
        ++*at;
    if (*at == q->message_count)
        return false;
    *ret = (struct turn){.from = *at, .is_assistant = q->messages[*at].role == ROLE_ASSISTANT};
    while (
        *at < q->message_count &&
        (is_passed_over(c, *at) || (q->messages[*at].role == ROLE_ASSISTANT) == ret->is_assistant))
        ++*at;
    ret->to = *at;
    return true;
}

static bool
turn_lacks_text(const struct canon_request *q, const struct turn *t)
{
    bool has_document = false;
    for (size_t i = t->from; i < t->to; i++)
        for (size_t k = 0; k < q->messages[i].count && !is_system(&q->messages[i]); k++) {
            const struct canon_part *p = &q->messages[i].parts[k];
            if (p->kind == PART_TEXT && !is_blank(p->text))
                return false;
            has_document |= p->kind == PART_FILE;
        }
    return has_document;
}

static int
write_message(struct converse_writing *c, size_t index)
{
    const struct canon_message *m = &c->q->messages[index];
    int err = 0;
    for (size_t i = 0; i < m->count && !err; i++) {
        size_t before = c->e.into->len;
        snprintf(c->member, sizeof(c->member), "messages[%zu].content[%zu]", index, i);
        err = write_part(c, &m->parts[i]);
        if (!err && c->e.into->len > before)
            converse_write_cache(c, m->parts[i].cache);
    }
    return err;
}

static int
write_turn(struct converse_writing *c, const struct turn *t)
{
    struct json_emit *e = &c->e;
    int err = 0;
    emit_map(e);
    emit_str_member(e, "role", t->is_assistant ? "assistant" : "user");
    emit_name(e, "content");
    emit_list(e);
    size_t empty = e->into->len;
    for (size_t i = t->from; i < t->to && !err; i++)
        if (!is_passed_over(c, i))
            err = write_message(c, i);
    if (turn_lacks_text(c->q, t))
        write_text(c, SLICE(DOCUMENT_TEXT));
    if (!err && !e->err && e->into->len == empty)
        err = dialect_refuse(c->w->why, ERR_DENIED, c->member,
                             "'%s': provider '%.*s' refuses a turn without content.", c->member,
                             SLICE_ARG(c->w->target->provider->name));
    emit_end_list(e);
    emit_end_map(e);
    return err;
}

/* A system prompt alone is no conversation: it is what the user says then. */
static int
write_lone_system(struct converse_writing *c)
{
    struct json_emit *e = &c->e;
    emit_map(e);
    emit_str_member(e, "role", "user");
    emit_name(e, "content");
    emit_list(e);
    size_t empty = e->into->len;
    for (size_t i = 0; i < c->q->message_count; i++)
        for (size_t k = 0; k < c->q->messages[i].count && is_system(&c->q->messages[i]); k++)
            if (c->q->messages[i].parts[k].kind == PART_TEXT)
                write_text(c, c->q->messages[i].parts[k].text);
    c->is_lone_system = true;
    if (!e->err && e->into->len == empty)
        return dialect_refuse(c->w->why, ERR_DENIED, "messages",
                              "'messages': provider '%.*s' wants a message of the user.",
                              SLICE_ARG(c->w->target->provider->name));
    emit_end_list(e);
    emit_end_map(e);
    return 0;
}

int
converse_write_messages(struct converse_writing *c)
{
    struct turn t;
    size_t at = 0, count = 0;
    int err = 0;
    emit_name(&c->e, "messages");
    emit_list(&c->e);
    while (!err && next_turn(c, &at, &t)) {
        if (count++ == 0 && t.is_assistant)
            return dialect_refuse(c->w->why, ERR_DENIED, "messages",
                                  "'messages': provider '%.*s' wants the user to speak first.",
                                  SLICE_ARG(c->w->target->provider->name));
        err = write_turn(c, &t);
    }
    if (!err && count == 0)
        err = write_lone_system(c);
    emit_end_list(&c->e);
    return err;
}
