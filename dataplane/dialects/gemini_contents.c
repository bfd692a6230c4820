/*
 * contents to messages. Calls and their results may come without ids: then a call's id is made of
 * its place (the same the next time the history is sent), and a result is of the first call of its
 * name that has none yet.
 */
#include "dataplane/dialects/gemini_request.h"

#include "dataplane/dialects/carry.h"
#include "lib/base/encode.h"

#include <stdio.h>

/* --- texts ------------------------------------------------------------------------------------ */

/* Where a part stands, for messages. */
struct place {
    size_t content, part;
    char member[64];
};

static const char *
below(struct place *at, const char *name)
{
    snprintf(at->member, sizeof(at->member), "contents[%zu].parts[%zu]%s%s", at->content, at->part,
             *name ? "." : "", name);
    return at->member;
}

/* Clients of Google's send base64 in the URL's alphabet; others want the standard one. */
static struct slice
standard_base64(struct slice data, struct arena *a)
{
    size_t pad = (4 - data.len % 4) % 4, i = 0;
    while (i < data.len && data.at[i] != '-' && data.at[i] != '_')
        i++;
    if (i == data.len && pad == 0)
        return data;
    char *at = arena_alloc(a, data.len + pad);
    if (!at)
        return (struct slice){0};
    for (i = 0; i < data.len; i++)
        at[i] = data.at[i] == '-' ? '+' : data.at[i] == '_' ? '/' : data.at[i];
    for (; i < data.len + pad; i++)
        at[i] = '=';
    return slice_make(at, data.len + pad);
}

/* A signature of ours, in which another dialect's state travels; else it is Google's. */
static int
read_signature(struct gemini_reader *r, struct slice text, struct canon_part *part)
{
    struct canon_part carried;
    size_t len = 0;
    part->origin = DIALECT_GEMINI;
    if (text.len == 0)
        return 0;
    part->signature = text;
    char *bytes = arena_alloc(r->a, text.len / 4 * 3 + 3);
    if (!bytes)
        return ERR_NOMEM;
    if (base64_decode(text, bytes, &len) != 0)
        return 0;
    int err = carry_unpack(r->a, slice_make(bytes, len), &carried);
    if (err)
        return err == ERR_NOMEM ? err : 0;
    if (carried.text.len == 0)
        carried.text = part->text;
    *part = carried;
    return 0;
}

/* --- media ------------------------------------------------------------------------------------ */

static enum canon_part_kind
kind_of(struct slice mime)
{
    if (slice_starts(mime, SLICE("image/")))
        return PART_IMAGE;
    return slice_starts(mime, SLICE("audio/")) ? PART_AUDIO : PART_FILE;
}

static int
read_media(struct gemini_reader *r, struct json_view blob, struct place *at, const char *name,
           struct canon_part *part)
{
    static const char *const names[] = {"mimeType", "data", "fileUri", "displayName"};
    struct json_view v[4];
    struct canon_media *m = &part->media;
    struct slice uri;
    if (blob.kind != JSON_MAP)
        return gemini_refuse(r, below(at, name), "must be an object");
    gemini_fields(blob, names, 4, v);
    int err = gemini_text_at(r, v[0], below(at, name), &m->mime);
    if (!err)
        err = gemini_text_at(r, v[1], below(at, name), &m->data);
    if (!err)
        err = gemini_text_at(r, v[2], below(at, name), &uri);
    if (!err)
        err = gemini_text_at(r, v[3], below(at, name), &m->name);
    if (err)
        return err;
    if (m->data.len == 0 && uri.len == 0)
        return gemini_refuse(r, below(at, name), "must have data or a fileUri");
    part->kind = kind_of(m->mime);
    part->origin = DIALECT_GEMINI;
    m->data = m->data.len ? standard_base64(m->data, r->a) : (struct slice){0};
    if (slice_starts(uri, SLICE("https://generativelanguage.googleapis.com/")))
        m->file_id = uri;
    else if (uri.len)
        m->url = uri;
    return uri.len || m->data.at ? 0 : ERR_NOMEM;
}

/* --- calls and results ------------------------------------------------------------------------ */

static int
read_call(struct gemini_reader *r, struct json_view call, struct place *at, struct canon_part *part)
{
    static const char *const names[] = {"id", "name", "args"};
    struct json_view v[3];
    if (call.kind != JSON_MAP)
        return gemini_refuse(r, below(at, "functionCall"), "must be an object");
    gemini_fields(call, names, 3, v);
    int err = gemini_text_at(r, v[0], below(at, "functionCall.id"), &part->id);
    if (!err)
        err = gemini_text_at(r, v[1], below(at, "functionCall.name"), &part->name);
    if (err)
        return err;
    if (part->name.len == 0)
        return gemini_refuse(r, below(at, "functionCall.name"), "must be given");
    if (v[2].kind != JSON_MAP && json_view_is_set(v[2]))
        return gemini_refuse(r, below(at, "functionCall.args"), "must be an object");
    if (r->call_count == LIMIT_HISTORY_CALLS)
        return gemini_refuse(r, "contents", "must not hold more than 4096 calls");
    part->kind = PART_TOOL_CALL;
    part->arguments = v[2].kind == JSON_MAP ? v[2].raw : SLICE("{}");
    if (part->id.len == 0)
        part->id = slice_of(arena_printf(r->a, "call_%zu_%zu", at->content, at->part));
    if (!part->id.at)
        return ERR_NOMEM;
    r->calls[r->call_count++] = (struct gemini_call){part->id, part->name, false};
    return 0;
}

static bool
find_call(struct gemini_reader *r, struct canon_part *result)
{
    struct gemini_call *found = NULL;
    for (size_t i = 0; i < r->call_count && result->id.len; i++)
        if (slice_eq(r->calls[i].id, result->id))
            found = &r->calls[i];
    for (size_t i = 0; i < r->call_count && !found; i++)
        if (!r->calls[i].answered && slice_eq(r->calls[i].name, result->name))
            found = &r->calls[i];
    if (!found)
        return false;
    found->answered = true;
    result->id = found->id;
    if (result->name.len == 0)
        result->name = found->name;
    return true;
}

/* {"result":"..."} and {"output":"..."} are how texts are wrapped; then, and only then, the text
 * alone is what the function gave. */
static int
read_response(struct gemini_reader *r, struct json_view response, struct canon_part *result,
              struct canon_part *text)
{
    static const char *const wraps[] = {"result", "output", "error"};
    struct slice name;
    struct json_view only;
    size_t cursor = 0;
    *text = (struct canon_part){.kind = PART_TEXT, .origin = DIALECT_GEMINI, .text = response.raw};
    if (json_view_count(response) != 1 || !json_view_next(response, &cursor, &name, &only))
        return 0;
    for (size_t i = 0; i < 3; i++) {
        if (!slice_is(name, wraps[i]))
            continue;
        result->is_error = i == 2;
        if (only.kind == JSON_TEXT)
            return json_view_text(only, r->a, &text->text);
        if (i == 2)
            text->text = only.raw;
    }
    return 0;
}

static int
read_result_parts(struct gemini_reader *r, struct json_view parts, struct place *at,
                  struct canon_part *into, size_t *count)
{
    struct json_view part;
    size_t cursor = 0;
    int err = 0;
    while (!err && gemini_each(parts, &cursor, &part)) {
        struct json_view blob = gemini_get(part, "inlineData"), file = gemini_get(part, "fileData");
        into[*count] = (struct canon_part){.kind = PART_FILE};
        err = read_media(r, json_view_is_set(blob) ? blob : file, at, "functionResponse.parts",
                         &into[*count]);
        (*count)++;
    }
    return err;
}

static int
read_result(struct gemini_reader *r, struct json_view response, struct place *at,
            struct canon_part *part)
{
    static const char *const names[] = {"id", "name", "response", "parts"};
    struct json_view v[4];
    if (response.kind != JSON_MAP)
        return gemini_refuse(r, below(at, "functionResponse"), "must be an object");
    gemini_fields(response, names, 4, v);
    int err = gemini_text_at(r, v[0], below(at, "functionResponse.id"), &part->id);
    if (!err)
        err = gemini_text_at(r, v[1], below(at, "functionResponse.name"), &part->name);
    if (err)
        return err;
    part->kind = PART_TOOL_RESULT;
    if (v[2].kind != JSON_MAP && json_view_is_set(v[2]))
        return gemini_refuse(r, below(at, "functionResponse.response"), "must be an object");
    if (!find_call(r, part))
        return gemini_refuse(r, below(at, "functionResponse"),
                             "must be of a functionCall that stands before it");
    struct canon_part *parts =
        arena_zalloc(r->a, (gemini_count(v[3]) + 1) * sizeof(struct canon_part));
    if (!parts)
        return ERR_NOMEM;
    part->parts = parts;
    if (v[2].kind == JSON_MAP) {
        err = read_response(r, v[2], part, &parts[0]);
        part->part_count = 1;
    }
    return err ? err : read_result_parts(r, v[3], at, parts, &part->part_count);
}

/* --- one part --------------------------------------------------------------------------------- */

enum {
    IS_TEXT,
    IS_THOUGHT,
    IS_SIGNATURE,
    IS_CALL,
    IS_RESULT,
    IS_INLINE,
    IS_FILE,
    IS_VIDEO,
    IS_NAMES
};
static const char *const is_names[IS_NAMES] = {
    "text",       "thought",  "thoughtSignature", "functionCall", "functionResponse",
    "inlineData", "fileData", "videoMetadata",
};

/* Whether a part is a signature and nothing else. */
static bool
is_bare(struct json_view part, const struct json_view *v)
{
    static const int all[] = {IS_SIGNATURE, IS_THOUGHT, IS_TEXT};
    size_t known = 0;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        known += v[all[i]].kind != JSON_ABSENT;
    return v[IS_SIGNATURE].kind == JSON_TEXT && json_view_count(part) == known;
}

static int
read_part(struct gemini_reader *r, struct json_view part, struct place *at, struct canon_part *ret)
{
    struct json_view v[IS_NAMES];
    struct slice signature;
    *ret = (struct canon_part){.kind = PART_TEXT, .origin = DIALECT_GEMINI};
    if (part.kind != JSON_MAP)
        return gemini_refuse(r, below(at, ""), "must be an object");
    gemini_fields(part, is_names, IS_NAMES, v);
    int err = gemini_text_at(r, v[IS_SIGNATURE], below(at, "thoughtSignature"), &signature);
    if (!err)
        err = gemini_text_at(r, v[IS_TEXT], below(at, "text"), &ret->text);
    if (err)
        return err;
    bool is_media = json_view_is_set(v[IS_INLINE]) || json_view_is_set(v[IS_FILE]);
    if (json_view_is_set(v[IS_CALL])) {
        err = read_call(r, v[IS_CALL], at, ret);
    } else if (json_view_is_set(v[IS_RESULT])) {
        return read_result(r, v[IS_RESULT], at, ret);
    } else if (is_media && !json_view_is_set(v[IS_VIDEO])) {
        err = json_view_is_set(v[IS_INLINE]) ? read_media(r, v[IS_INLINE], at, "inlineData", ret)
                                             : read_media(r, v[IS_FILE], at, "fileData", ret);
    } else if (ret->text.at || is_bare(part, v)) {
        ret->kind = v[IS_THOUGHT].kind == JSON_TRUE_ ? PART_REASONING : PART_TEXT;
    } else {
        ret->kind = PART_OPAQUE; /* with its signature */
        ret->raw = part.raw;
        return json_view_count(part) ? 0 : gemini_refuse(r, below(at, ""), "is empty");
    }
    return err ? err : read_signature(r, signature, ret);
}

/* --- contents --------------------------------------------------------------------------------- */

static struct canon_message *
add_message(struct gemini_reader *r, enum canon_role role, const struct canon_part *parts,
            size_t count)
{
    struct canon_message *m = &r->messages[r->q->message_count++];
    *m = (struct canon_message){.role = role, .parts = parts, .count = count};
    return m;
}

/* 0: user, 1: model, -1: no role of Google's. */
static int
role_of(struct json_view v)
{
    if (!json_view_is_set(v) || json_view_is(v, "user") || json_view_is(v, "function"))
        return 0;
    return json_view_is(v, "model") ? 1 : -1;
}

/* The results first, then what the user says beside them. */
static void
add_turn(struct gemini_reader *r, bool is_model, const struct canon_part *parts, size_t results,
         size_t count)
{
    if (is_model) {
        add_message(r, ROLE_ASSISTANT, parts, count);
        return;
    }
    if (results)
        add_message(r, ROLE_TOOL, parts, results);
    if (count > results || count == 0)
        add_message(r, ROLE_USER, parts + results, count - results);
}

/* Another dialect's reasoning holds its text: the thoughts before it are what the client was shown
 * of it, piece by piece. */
static size_t
shown_before(const struct canon_part *parts, size_t count)
{
    size_t n = 0;
    while (n < count && parts[count - 1 - n].kind == PART_REASONING &&
           parts[count - 1 - n].origin == DIALECT_GEMINI && !parts[count - 1 - n].signature.len)
        n++;
    return n;
}

/* A bare signature behind the pieces of a thought, as streams give them, is of all of them: one
 * part of their texts. 0 or ERR_NOMEM. */
static int
join_shown(struct gemini_reader *r, const struct canon_part *shown, size_t count,
           struct canon_part *signed_part)
{
    size_t len = 0, n = 0;
    for (size_t i = 0; i < count; i++)
        len += shown[i].text.len;
    char *text = arena_alloc(r->a, len + 1);
    if (!text)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        if (shown[i].text.len) {
            memcpy(text + n, shown[i].text.at, shown[i].text.len);
            n += shown[i].text.len;
        }
    signed_part->text = slice_make(text, n);
    return 0;
}

/* Where a part goes that may take the place of thoughts before it. */
static int
place_reasoning(struct gemini_reader *r, const struct canon_part *parts, struct canon_part *one,
                size_t *count)
{
    bool is_foreign = one->origin != DIALECT_GEMINI;
    if (one->kind != PART_REASONING || (!is_foreign && (one->text.len || !one->signature.len)))
        return 0;
    size_t shown = shown_before(parts, *count);
    *count -= shown;
    return is_foreign ? 0 : join_shown(r, parts + *count, shown, one);
}

static int
read_content(struct gemini_reader *r, struct json_view content, size_t index)
{
    static const char *const names[] = {"role", "parts"};
    struct json_view v[2], part;
    struct place at = {.content = index};
    size_t cursor = 0, results = 0, count = 0;
    char member[64];
    snprintf(member, sizeof(member), "contents[%zu]", index);
    if (content.kind != JSON_MAP)
        return gemini_refuse(r, member, "must be an object");
    gemini_fields(content, names, 2, v);
    int role = role_of(v[0]);
    snprintf(member, sizeof(member), "contents[%zu].role", index);
    if (role < 0)
        return gemini_refuse(r, member, "must be \"user\" or \"model\"");
    snprintf(member, sizeof(member), "contents[%zu].parts", index);
    if (v[1].kind != JSON_LIST && v[1].kind != JSON_MAP && json_view_is_set(v[1]))
        return gemini_refuse(r, member, "must be a list");
    struct canon_part *parts = arena_alloc(r->a, (gemini_count(v[1]) + 1) * sizeof(*parts));
    if (!parts)
        return ERR_NOMEM;
    for (; gemini_each(v[1], &cursor, &part); at.part++, count++) {
        struct canon_part one;
        int err = read_part(r, part, &at, &one);
        if (!err)
            err = place_reasoning(r, parts, &one, &count);
        if (err)
            return err;
        if (one.kind == PART_TOOL_RESULT && role != 0)
            return gemini_refuse(r, below(&at, "functionResponse"), "must be in a user's turn");
        if (one.kind == PART_TOOL_CALL && role != 1)
            return gemini_refuse(r, below(&at, "functionCall"), "must be in a turn of role model");
        size_t to = one.kind == PART_TOOL_RESULT ? results++ : count;
        memmove(&parts[to + 1], &parts[to], (count - to) * sizeof(*parts));
        parts[to] = one;
    }
    add_turn(r, role == 1, parts, results, count);
    return 0;
}

static int
read_system(struct gemini_reader *r, struct json_view system)
{
    struct json_view list = gemini_get(system, "parts"), part;
    size_t cursor = 0, n = 0;
    if (!json_view_is_set(system))
        return 0;
    if (system.kind != JSON_MAP && system.kind != JSON_TEXT)
        return gemini_refuse(r, "systemInstruction", "must be an object with parts");
    struct canon_part *parts = arena_alloc(r->a, (gemini_count(list) + 1) * sizeof(*parts));
    if (!parts)
        return ERR_NOMEM;
    if (system.kind == JSON_TEXT)
        list = (struct json_view){.kind = JSON_ABSENT};
    for (; gemini_each(list, &cursor, &part); n++) {
        struct json_view text = json_view_get(part, "text");
        parts[n] = (struct canon_part){.kind = PART_TEXT, .origin = DIALECT_GEMINI};
        if (text.kind != JSON_TEXT)
            return gemini_refuse(r, "systemInstruction.parts", "must hold text only");
        int err = gemini_text_at(r, text, "systemInstruction.parts", &parts[n].text);
        if (err)
            return err;
    }
    if (system.kind == JSON_TEXT) {
        parts[n] = (struct canon_part){.kind = PART_TEXT, .origin = DIALECT_GEMINI};
        int err = gemini_text_at(r, system, "systemInstruction", &parts[n++].text);
        if (err)
            return err;
    }
    if (n)
        add_message(r, ROLE_SYSTEM, parts, n);
    return 0;
}

/* All parts there are: as many calls there can be. */
static size_t
count_parts(struct json_view contents)
{
    struct json_view content;
    size_t cursor = 0, n = 0;
    while (gemini_each(contents, &cursor, &content))
        n += gemini_count(gemini_get(content, "parts"));
    return n;
}

int
gemini_read_contents(struct gemini_reader *r, struct json_view contents, struct json_view system)
{
    struct json_view content;
    size_t cursor = 0, n = 0;
    if (contents.kind != JSON_LIST && contents.kind != JSON_MAP) {
        r->why->missing = !json_view_is_set(contents);
        return gemini_refuse(r, "contents", "must be a list of turns");
    }
    r->messages =
        arena_alloc(r->a, (2 * gemini_count(contents) + 1) * sizeof(struct canon_message));
    r->calls = arena_alloc(r->a, (count_parts(contents) + 1) * sizeof(struct gemini_call));
    if (!r->messages || !r->calls)
        return ERR_NOMEM;
    int err = read_system(r, system);
    while (!err && gemini_each(contents, &cursor, &content))
        err = read_content(r, content, n++);
    r->q->messages = r->messages;
    if (!err && n == 0)
        return gemini_refuse(r, "contents", "must hold a turn");
    return err;
}
