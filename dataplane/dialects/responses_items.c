/* The items of a request's input as messages. What only the provider understands (items of hosted
 * tools, references, compactions) stays whole, in its place. */
#include "dataplane/dialects/carry.h"
#include "dataplane/dialects/responses_internal.h"

#include <stdio.h>
#include <string.h>

#define KNOWN_CALLS 64 /* whose names are remembered for the results that follow */

/* The message that grows while items are read. */
struct inputs {
    struct responses_reader *r;
    struct canon_message *messages;
    size_t count, cap;
    struct responses_parts parts; /* of the message that is open */
    enum canon_role role;
    bool open, has_text, has_call;
    struct canon_part calls[KNOWN_CALLS]; /* the latest ones: id and name */
    size_t call_count;
    char member[64]; /* "input[3]": the item that is read */
};

/* --- messages --------------------------------------------------------------------------------- */

static int
close_message(struct inputs *in)
{
    if (!in->open)
        return 0;
    in->open = false;
    if (in->count == in->cap) {
        size_t cap = in->cap ? 2 * in->cap : 8;
        struct canon_message *at = arena_alloc(in->r->a, cap * sizeof(*at));
        if (!at)
            return ERR_NOMEM;
        if (in->count)
            memcpy(at, in->messages, in->count * sizeof(*at));
        in->messages = at;
        in->cap = cap;
    }
    in->messages[in->count++] =
        (struct canon_message){.role = in->role, .parts = in->parts.at, .count = in->parts.count};
    in->parts = (struct responses_parts){0};
    return 0;
}

static int
open_message(struct inputs *in, enum canon_role role)
{
    int err = close_message(in);
    in->open = true;
    in->role = role;
    in->has_text = in->has_call = false;
    return err;
}

/* Consecutive items of the model's are one turn, so that its calls and what it says beside them
 * stay together; but a turn that only spoke is over when it speaks or thinks again. */
static int
join_assistant(struct inputs *in, bool begins_anew)
{
    if (in->open && in->role == ROLE_ASSISTANT && !(begins_anew && in->has_text && !in->has_call))
        return 0;
    return open_message(in, ROLE_ASSISTANT);
}

static int
add_part(struct inputs *in, const struct canon_part *part)
{
    struct canon_part *into = responses_add(&in->parts, in->r->a);
    if (!into)
        return ERR_NOMEM;
    *into = *part;
    return 0;
}

/* --- media ------------------------------------------------------------------------------------ */

static const struct {
    const char *suffix, *mime;
} suffixes[] = {
    {".pdf", "application/pdf"}, {".txt", "text/plain"},        {".md", "text/markdown"},
    {".csv", "text/csv"},        {".json", "application/json"}, {".html", "text/html"},
};

static struct slice
mime_of_name(struct slice name)
{
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
        if (slice_ends(name, slice_of(suffixes[i].suffix)))
            return slice_of(suffixes[i].mime);
    return (struct slice){0};
}

static int
read_image(const struct responses_reader *r, const char *member, struct json_view v,
           struct canon_part *ret)
{
    struct canon_media *m = &ret->media;
    ret->kind = PART_IMAGE;
    int err = responses_get_text(r, member, v, "image_url", &m->url);
    if (!err)
        err = responses_get_text(r, member, v, "file_id", &m->file_id);
    if (!err)
        err = responses_get_text(r, member, v, "detail", &m->detail);
    if (err)
        return err;
    if (m->url.len == 0 && m->file_id.len == 0)
        return responses_must(r, member, "an input_image with an 'image_url' or a 'file_id'");
    if (canon_data_url(m->url, &m->mime, &m->data))
        m->url = (struct slice){0};
    return 0;
}

static int
read_file(const struct responses_reader *r, const char *member, struct json_view v,
          struct canon_part *ret)
{
    enum { FIELDS = 4 };
    static const char *const names[FIELDS] = {"file_data", "filename", "file_id", "file_url"};
    struct canon_media *m = &ret->media;
    struct slice *const into[FIELDS] = {&m->data, &m->name, &m->file_id, &m->url};
    ret->kind = PART_FILE;
    for (int i = 0; i < FIELDS; i++) {
        int err = responses_get_text(r, member, v, names[i], into[i]);
        if (err)
            return err;
    }
    struct slice given = m->data;
    if (given.len == 0 && m->file_id.len == 0 && m->url.len == 0)
        return responses_must(r, member,
                              "an input_file with 'file_data', a 'file_id' or a 'file_url'");
    if (given.len && !canon_data_url(given, &m->mime, &m->data))
        m->mime = mime_of_name(m->name);
    return 0;
}

static int
read_audio(const struct responses_reader *r, const char *member, struct json_view v,
           struct canon_part *ret)
{
    struct json_view inner = json_view_get(v, "input_audio");
    struct slice format;
    ret->kind = PART_AUDIO;
    int err = responses_get_text(r, member, inner, "data", &ret->media.data);
    if (!err)
        err = responses_get_text(r, member, inner, "format", &format);
    if (err)
        return err;
    if (ret->media.data.len == 0 || format.len == 0)
        return responses_must(r, member, "an input_audio with 'data' and 'format'");
    if (slice_is(format, "mp3")) {
        ret->media.mime = SLICE("audio/mpeg");
        return 0;
    }
    ret->media.mime = slice_of(arena_printf(r->a, "audio/%.*s", SLICE_ARG(format)));
    return ret->media.mime.at ? 0 : ERR_NOMEM;
}

static int
read_text(const struct responses_reader *r, const char *member, struct json_view v,
          struct canon_part *ret)
{
    int err = responses_read_text(v, r->a, ret);
    return err == ERR_NOT_FOUND ? responses_must(r, member, "a part with a text") : err;
}

/* --- content ---------------------------------------------------------------------------------- */

static const struct {
    const char *type;
    int (*read)(const struct responses_reader *r, const char *member, struct json_view v,
                struct canon_part *ret);
} pieces[] = {
    {"input_text", read_text},   {"output_text", read_text},  {"text", read_text},
    {"summary_text", read_text}, {"refusal", read_text},      {"input_image", read_image},
    {"input_file", read_file},   {"input_audio", read_audio},
};

static int
read_piece(const struct responses_reader *r, const char *member, struct json_view v,
           struct canon_part *ret)
{
    struct json_view type = json_view_get(v, "type");
    *ret = (struct canon_part){.origin = DIALECT_RESPONSES};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        if (!json_view_is(type, pieces[i].type))
            continue;
        int err = pieces[i].read(r, member, v, ret);
        if (json_view_is_set(json_view_get(v, "prompt_cache_breakpoint")))
            ret->cache = CACHE_5M;
        return err;
    }
    return responses_must(r, member,
                          "a part of type input_text, input_image, input_file, input_audio, "
                          "output_text or refusal");
}

/* A text, or a list of parts. */
static int
read_content(const struct inputs *in, const char *name, struct json_view v,
             struct responses_parts *list)
{
    const struct responses_reader *r = in->r;
    struct slice unused;
    struct json_view piece;
    struct canon_part *part;
    size_t cursor = 0;
    char member[96];
    snprintf(member, sizeof(member), "%s.%s", in->member, name);
    if (v.kind == JSON_TEXT) {
        part = responses_add(list, r->a);
        return part ? json_view_text(v, r->a, &part->text) : ERR_NOMEM;
    }
    if (v.kind != JSON_LIST)
        return responses_must(r, member, "a text or a list of parts");
    for (size_t i = 0; json_view_next(v, &cursor, &unused, &piece); i++) {
        struct canon_part read;
        snprintf(member, sizeof(member), "%s.%s[%zu]", in->member, name, i);
        int err = read_piece(r, member, piece, &read);
        if (err)
            return err;
        part = responses_add(list, r->a);
        if (!part)
            return ERR_NOMEM;
        *part = read;
    }
    return 0;
}

/* --- items ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    enum canon_role role;
} roles[] = {
    {"user", ROLE_USER},
    {"assistant", ROLE_ASSISTANT},
    {"system", ROLE_SYSTEM},
    {"developer", ROLE_DEVELOPER},
};

static int
role_of(const struct inputs *in, struct json_view v, enum canon_role *ret)
{
    char member[96];
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        if (json_view_is(v, roles[i].name)) {
            *ret = roles[i].role;
            return 0;
        }
    snprintf(member, sizeof(member), "%s.role", in->member);
    return responses_must(in->r, member, "user, assistant, system or developer");
}

static int
read_message(struct inputs *in, struct json_view item)
{
    enum canon_role role = ROLE_USER;
    struct responses_parts list = {0};
    struct slice id = {0}, extra = {0};
    int err = role_of(in, json_view_get(item, "role"), &role);
    if (!err)
        err = read_content(in, "content", json_view_get(item, "content"), &list);
    if (!err && role == ROLE_ASSISTANT) {
        err = responses_get_text(in->r, in->member, item, "id", &id);
        if (!err)
            err = responses_message_extra(item, in->r->a, &extra);
    }
    if (!err)
        err = role == ROLE_ASSISTANT ? join_assistant(in, true) : open_message(in, role);
    for (size_t i = 0; !err && i < list.count; i++) {
        list.at[i].id = id;
        list.at[i].raw = extra;
        err = add_part(in, &list.at[i]);
    }
    in->has_text = true;
    return err;
}

/* What the item shows is the reasoning's text; what it holds may be of another provider's. */
static int
unpack_reasoning(struct inputs *in, struct canon_part *part)
{
    struct canon_part foreign;
    char member[96];
    int err = carry_unpack(in->r->a, part->encrypted, &foreign);
    if (err == ERR_NOT_FOUND)
        return 0;
    snprintf(member, sizeof(member), "%s.encrypted_content", in->member);
    if (err == ERR_SYNTAX || err == ERR_LIMIT)
        return responses_must(in->r, member, "what this gateway gave out, unchanged");
    if (err)
        return err;
    if (foreign.kind == PART_REASONING && foreign.text.len == 0)
        foreign.text = part->text;
    *part = foreign;
    return 0;
}

static int
read_reasoning(struct inputs *in, struct json_view item)
{
    struct canon_part part = {.kind = PART_REASONING, .origin = DIALECT_RESPONSES};
    int err = join_assistant(in, true);
    if (!err)
        err = responses_get_text(in->r, in->member, item, "id", &part.id);
    if (!err)
        err = responses_get_text(in->r, in->member, item, "encrypted_content", &part.encrypted);
    if (!err)
        err = responses_reasoning_text(item, in->r->a, &part.text);
    if (!err && part.encrypted.len)
        err = unpack_reasoning(in, &part);
    return err ? err : add_part(in, &part);
}

static int
read_call(struct inputs *in, struct json_view item)
{
    struct canon_part part;
    char member[96];
    int err = responses_read_call(item, in->r->a, &part);
    if (err)
        return err;
    if (json_view_get(item, "call_id").kind != JSON_TEXT || part.id.len == 0) {
        snprintf(member, sizeof(member), "%s.call_id", in->member);
        return responses_must(in->r, member, "a text that is not empty");
    }
    if (part.name.len == 0) {
        snprintf(member, sizeof(member), "%s.name", in->member);
        return responses_must(in->r, member, "a text that is not empty");
    }
    if (canon_unpack_id(in->r->a, part.id, &part.id, &part.origin, &part.signature))
        part.raw = (struct slice){0}; /* members of ours, and it is another's call */
    err = join_assistant(in, false);
    in->has_call = true;
    in->calls[in->call_count++ % KNOWN_CALLS] = part;
    return err ? err : add_part(in, &part);
}

static struct slice
name_of_call(const struct inputs *in, struct slice id)
{
    size_t n = in->call_count < KNOWN_CALLS ? in->call_count : KNOWN_CALLS;
    for (size_t i = 0; i < n; i++)
        if (slice_eq(in->calls[i].id, id))
            return in->calls[i].name;
    return (struct slice){0};
}

static int
read_result(struct inputs *in, struct json_view item)
{
    struct canon_part part = {.kind = PART_TOOL_RESULT, .origin = DIALECT_RESPONSES};
    struct responses_parts list = {0};
    struct slice signature;
    enum dialect_id origin;
    char member[96];
    part.custom = json_view_is(json_view_get(item, "type"), "custom_tool_call_output");
    snprintf(member, sizeof(member), "%s.call_id", in->member);
    int err = responses_get_text(in->r, in->member, item, "call_id", &part.id);
    if (!err && part.id.len == 0)
        err = responses_must(in->r, member, "a text that is not empty");
    if (!err)
        err = read_content(in, "output", json_view_get(item, "output"), &list);
    if (!err && !(in->open && in->role == ROLE_TOOL))
        err = open_message(in, ROLE_TOOL);
    canon_unpack_id(in->r->a, part.id, &part.id, &origin, &signature);
    part.name = name_of_call(in, part.id);
    part.parts = list.at;
    part.part_count = list.count;
    return err ? err : add_part(in, &part);
}

static int
read_opaque(struct inputs *in, struct json_view item)
{
    struct canon_part part = {.kind = PART_OPAQUE, .origin = DIALECT_RESPONSES, .raw = item.raw};
    int err = join_assistant(in, false);
    if (!err)
        err = responses_get_text(in->r, in->member, item, "id", &part.id);
    return err ? err : add_part(in, &part);
}

static const struct {
    const char *type;
    int (*read)(struct inputs *in, struct json_view item);
} items[] = {
    {"message", read_message},
    {"function_call", read_call},
    {"custom_tool_call", read_call},
    {"function_call_output", read_result},
    {"custom_tool_call_output", read_result},
    {"reasoning", read_reasoning},
};

static int
read_item(struct inputs *in, struct json_view item)
{
    struct json_view type = json_view_get(item, "type");
    if (item.kind != JSON_MAP)
        return responses_must(in->r, in->member, "an object");
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
        if (json_view_is(type, items[i].type))
            return items[i].read(in, item);
    if (!json_view_is_set(type) && json_view_is_set(json_view_get(item, "role")))
        return read_message(in, item);
    if (type.kind == JSON_TEXT || json_view_get(item, "id").kind == JSON_TEXT)
        return read_opaque(in, item);
    return responses_must(in->r, in->member, "an item with a 'type' or a 'role'");
}

/* --- the input -------------------------------------------------------------------------------- */

static int
add_said(struct inputs *in, enum canon_role role, struct json_view text)
{
    struct canon_part part = {.kind = PART_TEXT, .origin = DIALECT_RESPONSES};
    int err = json_view_text(text, in->r->a, &part.text);
    if (!err)
        err = open_message(in, role);
    return err ? err : add_part(in, &part);
}

int
responses_read_input(struct responses_reader *r, struct json_view instructions,
                     struct json_view input)
{
    struct inputs in = {.r = r};
    size_t cursor = 0;
    struct slice unused;
    struct json_view item;
    int err = 0;
    if (json_view_is_set(instructions) && instructions.kind != JSON_TEXT)
        return responses_must(r, "instructions", "a text");
    if (instructions.kind == JSON_TEXT) {
        err = add_said(&in, ROLE_SYSTEM, instructions);
        if (!err) /* told again in the answer, and kept apart from the input's own messages */
            err = responses_keep(r, SLICE("instructions"), instructions.raw);
    }
    if (!err && input.kind == JSON_TEXT)
        err = add_said(&in, ROLE_USER, input);
    else if (!err && json_view_is_set(input) && input.kind != JSON_LIST)
        err = responses_must(r, "input", "a text or a list of items");
    for (size_t i = 0; !err && json_view_next(input, &cursor, &unused, &item); i++) {
        snprintf(in.member, sizeof(in.member), "input[%zu]", i);
        err = read_item(&in, item);
    }
    if (!err)
        err = close_message(&in);
    r->q->messages = in.messages;
    r->q->message_count = in.count;
    return err;
}
