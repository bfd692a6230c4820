/* A client's conversation in Anthropic's dialect to the canonical form: system, turns, blocks. */
#include "dataplane/dialects/anthropic_internal.h"
#include "dataplane/dialects/carry.h"
#include "lib/base/map.h"

#include <stdio.h>

struct blocks {
    struct arena *arena;
    struct dialect_refusal *why;
    struct canon_message *messages;
    size_t count;
    struct map names; /* of functions, by the id of their call */
};

int
anthropic_read_cache(struct json_view v, enum canon_cache *ret)
{
    *ret = CACHE_NONE;
    if (!json_view_is_set(v))
        return 0;
    if (!json_view_is(json_view_get(v, "type"), "ephemeral"))
        return ERR_SYNTAX;
    struct json_view ttl = json_view_get(v, "ttl");
    *ret = json_view_is(ttl, "1h") ? CACHE_1H : CACHE_5M;
    return !json_view_is_set(ttl) || *ret == CACHE_1H || json_view_is(ttl, "5m") ? 0 : ERR_SYNTAX;
}

/* --- media ------------------------------------------------------------------------------------ */

/* The words of a list of text blocks; ERR_NOT_FOUND: there is something else in it. */
static int
read_words(struct json_view list, struct arena *a, struct slice *ret)
{
    struct canon_part *parts = arena_alloc(a, (json_view_count(list) + 1) * sizeof(*parts));
    size_t cursor = 0, count = 0;
    struct slice name;
    struct json_view v;
    if (!parts)
        return ERR_NOMEM;
    while (json_view_next(list, &cursor, &name, &v)) {
        int err = anthropic_read_block(v, a, &parts[count]);
        if (err)
            return err;
        if (parts[count++].kind != PART_TEXT)
            return ERR_NOT_FOUND;
    }
    *ret = canon_joined_text(a, parts, count);
    return ret->at ? 0 : ERR_NOMEM;
}

static int
read_source(struct json_view source, bool is_image, struct arena *a, struct canon_media *m)
{
    struct json_view type = json_view_get(source, "type");
    if (json_view_is(type, "base64")) {
        int err = json_view_text(json_view_get(source, "media_type"), a, &m->mime);
        return err ? err : json_view_text(json_view_get(source, "data"), a, &m->data);
    }
    if (json_view_is(type, "url"))
        return json_view_text(json_view_get(source, "url"), a, &m->url);
    if (json_view_is(type, "file"))
        return json_view_text(json_view_get(source, "file_id"), a, &m->file_id);
    if (is_image)
        return ERR_SYNTAX;
    if (json_view_is(type, "text")) {
        m->mime = SLICE("text/plain");
        return json_view_text(json_view_get(source, "data"), a, &m->text);
    }
    if (!json_view_is(type, "content"))
        return ERR_SYNTAX;
    struct json_view content = json_view_get(source, "content");
    m->mime = SLICE("text/plain");
    return content.kind == JSON_TEXT ? json_view_text(content, a, &m->text)
                                     : read_words(content, a, &m->text);
}

/* The members without canonical meaning, as one object: context, citations. */
static int
read_rest(struct json_view block, struct arena *a, struct slice *ret)
{
    struct json_view context = json_view_get(block, "context");
    struct json_view citations = json_view_get(block, "citations");
    struct buf b;
    int err = 0;
    buf_init(&b, 0);
    if (json_view_is_set(context))
        err = buf_addf(&b, "{\"context\":%.*s", SLICE_ARG(context.raw));
    if (!err && json_view_is_set(citations))
        err = buf_addf(&b, "%c\"citations\":%.*s", b.len ? ',' : '{', SLICE_ARG(citations.raw));
    if (!err && b.len) {
        err = buf_add_str(&b, "}");
        *ret = arena_copy(a, buf_slice(&b));
        if (!ret->at)
            err = ERR_NOMEM;
    }
    buf_free(&b);
    return err;
}

static int
read_media(struct json_view block, enum canon_part_kind kind, struct arena *a,
           struct canon_part *ret)
{
    *ret = (struct canon_part){.kind = kind, .origin = DIALECT_ANTHROPIC};
    int err = read_source(json_view_get(block, "source"), kind == PART_IMAGE, a, &ret->media);
    if (err == ERR_NOT_FOUND) { /* a document of pictures: only Anthropic reads it */
        *ret =
            (struct canon_part){.kind = PART_OPAQUE, .origin = DIALECT_ANTHROPIC, .raw = block.raw};
        return 0;
    }
    if (err || kind == PART_IMAGE)
        return err;
    err = json_view_opt_text(json_view_get(block, "title"), a, &ret->media.name);
    return err ? err : read_rest(block, a, &ret->raw);
}

/* --- calls and their results ------------------------------------------------------------------ */

static int
note_name(struct blocks *b, const struct canon_part *call)
{
    struct slice *name = arena_alloc(b->arena, sizeof(*name));
    if (!name)
        return ERR_NOMEM;
    *name = call->name;
    return map_put(&b->names, call->id, name);
}

/* A signature may travel in the id. */
static void
unpack_id(struct blocks *b, struct canon_part *p)
{
    struct slice packed = p->id;
    canon_unpack_id(b->arena, packed, &p->id, &p->origin, &p->signature);
}

static int
read_call(struct blocks *b, struct canon_part *p)
{
    if (p->arguments.len && json_view_of(p->arguments).kind != JSON_MAP)
        return ERR_SYNTAX;
    unpack_id(b, p);
    return note_name(b, p);
}

static int read_part(struct blocks *b, struct json_view block, struct canon_part *ret);

/* A text, or blocks. */
static int
read_result_content(struct blocks *b, struct json_view content, struct canon_part *ret)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view v;
    if (!json_view_is_set(content))
        return 0;
    if (content.kind != JSON_TEXT && content.kind != JSON_LIST)
        return ERR_SYNTAX;
    struct canon_part *parts =
        arena_zalloc(b->arena, (json_view_count(content) + 1) * sizeof(*parts));
    if (!parts)
        return ERR_NOMEM;
    ret->parts = parts;
    if (content.kind == JSON_TEXT) {
        ret->part_count = 1;
        parts[0] = (struct canon_part){.kind = PART_TEXT, .origin = DIALECT_ANTHROPIC};
        return json_view_text(content, b->arena, &parts[0].text);
    }
    while (json_view_next(content, &cursor, &name, &v)) {
        if (json_view_is(json_view_get(v, "type"), "tool_result"))
            return ERR_SYNTAX;
        int err = read_part(b, v, &parts[ret->part_count++]);
        if (err)
            return err;
    }
    return 0;
}

static int
read_result(struct blocks *b, struct json_view block, struct canon_part *ret)
{
    *ret = (struct canon_part){.kind = PART_TOOL_RESULT, .origin = DIALECT_ANTHROPIC};
    ret->is_error = json_view_get(block, "is_error").kind == JSON_TRUE_;
    int err = json_view_text(json_view_get(block, "tool_use_id"), b->arena, &ret->id);
    if (err || ret->id.len == 0)
        return err ? err : ERR_SYNTAX;
    unpack_id(b, ret);
    ret->signature = (struct slice){0}; /* it belongs to the call */
    const struct slice *name = map_find(&b->names, ret->id);
    if (name)
        ret->name = *name;
    return read_result_content(b, json_view_get(block, "content"), ret);
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* Thinking of another provider is carried in the signature, or in the data. */
static int
unpack_reasoning(struct blocks *b, struct canon_part *p)
{
    struct canon_part carried;
    struct slice text = p->text, packed = p->encrypted.len ? p->encrypted : p->signature;
    int err = carry_unpack(b->arena, packed, &carried);
    if (err)
        return err == ERR_NOT_FOUND ? 0 : err == ERR_LIMIT ? ERR_SYNTAX : err;
    *p = carried;
    if (text.at && p->kind == PART_REASONING)
        p->text = text;
    return 0;
}

static int
read_part(struct blocks *b, struct json_view block, struct canon_part *ret)
{
    struct json_view type = json_view_get(block, "type");
    int err;
    if (json_view_is(type, "image"))
        err = read_media(block, PART_IMAGE, b->arena, ret);
    else if (json_view_is(type, "document"))
        err = read_media(block, PART_FILE, b->arena, ret);
    else if (json_view_is(type, "tool_result"))
        err = read_result(b, block, ret);
    else
        err = anthropic_read_block(block, b->arena, ret);
    if (!err && ret->kind == PART_REASONING)
        err = unpack_reasoning(b, ret);
    if (!err && ret->kind == PART_TOOL_CALL)
        err = read_call(b, ret);
    if (!err && ret->kind != PART_OPAQUE) /* an item keeps its own */
        err = anthropic_read_cache(json_view_get(block, "cache_control"), &ret->cache);
    return err;
}

/* --- turns ------------------------------------------------------------------------------------ */

static int
refuse_block(struct blocks *b, size_t message, size_t block, struct json_view v)
{
    char member[96];
    struct json_view type = json_view_get(v, "type");
    snprintf(member, sizeof(member), "messages.%zu.content.%zu", message, block);
    if (type.kind != JSON_TEXT)
        return dialect_refuse(b->why, ERR_SYNTAX, member, "%s: must be a block with a type.",
                              member);
    return dialect_refuse(b->why, ERR_SYNTAX, member, "%s: is no valid block of type %.*s.", member,
                          SLICE_ARG(type.raw));
}

static bool
is_result(struct json_view block)
{
    return json_view_is(json_view_get(block, "type"), "tool_result");
}

static void
add_message(struct blocks *b, enum canon_role role, struct canon_part *parts)
{
    b->messages[b->count++] = (struct canon_message){.role = role, .parts = parts};
}

/* Results of tools are messages of their own in the canonical form: each run of them is one. */
static int
read_list(struct blocks *b, enum canon_role role, size_t index, struct json_view list)
{
    struct canon_part *parts = arena_alloc(b->arena, (json_view_count(list) + 1) * sizeof(*parts));
    size_t cursor = 0, n = 0;
    struct slice name;
    struct json_view v;
    if (!parts)
        return ERR_NOMEM;
    for (enum canon_role last = ROLE_SYSTEM; json_view_next(list, &cursor, &name, &v); n++) {
        enum canon_role now = is_result(v) ? ROLE_TOOL : role;
        bool misplaced = now == ROLE_TOOL && role != ROLE_USER;
        int err = misplaced ? ERR_SYNTAX : read_part(b, v, &parts[n]);
        if (err)
            return err == ERR_SYNTAX ? refuse_block(b, index, n, v) : err;
        if (n == 0 || now != last)
            add_message(b, now, &parts[n]);
        b->messages[b->count - 1].count++;
        last = now;
    }
    if (n == 0)
        add_message(b, role, parts);
    return 0;
}

static int
read_content(struct blocks *b, enum canon_role role, size_t index, struct json_view content)
{
    if (content.kind == JSON_LIST)
        return read_list(b, role, index, content);
    struct canon_part *part = arena_zalloc(b->arena, sizeof(*part));
    if (!part)
        return ERR_NOMEM;
    *part = (struct canon_part){.kind = PART_TEXT, .origin = DIALECT_ANTHROPIC};
    add_message(b, role, part);
    b->messages[b->count - 1].count = 1;
    return json_view_text(content, b->arena, &part->text);
}

static int
read_turn(struct blocks *b, size_t index, struct json_view turn)
{
    struct json_view role = json_view_get(turn, "role"), content = json_view_get(turn, "content");
    char member[64];
    enum canon_role r = json_view_is(role, "assistant") ? ROLE_ASSISTANT
                        : json_view_is(role, "system")  ? ROLE_SYSTEM
                                                        : ROLE_USER;
    if (turn.kind != JSON_MAP || (r == ROLE_USER && !json_view_is(role, "user"))) {
        snprintf(member, sizeof(member), "messages.%zu.role", index);
        return dialect_refuse(b->why, ERR_SYNTAX, member, "%s: must be user or assistant.", member);
    }
    if (content.kind != JSON_TEXT && content.kind != JSON_LIST) {
        snprintf(member, sizeof(member), "messages.%zu.content", index);
        return dialect_refuse(b->why, ERR_SYNTAX, member,
                              "%s: must be a string or a list of blocks.", member);
    }
    return read_content(b, r, index, content);
}

/* How many canonical messages the turns become. */
static size_t
count_messages(struct json_view turns)
{
    size_t cursor = 0, n = 1;
    struct slice name;
    struct json_view turn, v;
    while (json_view_next(turns, &cursor, &name, &turn)) {
        size_t inner = 0;
        bool last = false, any = false;
        struct json_view content = json_view_get(turn, "content");
        n++;
        while (json_view_next(content, &inner, &name, &v)) {
            bool now = is_result(v);
            n += any && now != last;
            any = true;
            last = now;
        }
    }
    return n;
}

static int
read_system(struct blocks *b, struct json_view system)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view v;
    if (!json_view_is_set(system))
        return 0;
    bool fits = system.kind == JSON_TEXT || system.kind == JSON_LIST;
    while (fits && json_view_next(system, &cursor, &name, &v))
        fits = json_view_is(json_view_get(v, "type"), "text") &&
               json_view_get(v, "text").kind == JSON_TEXT;
    if (!fits)
        return dialect_refuse(b->why, ERR_SYNTAX, "system",
                              "system: must be a string or a list of text blocks.");
    return read_content(b, ROLE_SYSTEM, 0, system);
}

/* Caching by itself marks the last block that can be marked. */
static void
mark_last(struct blocks *b, enum canon_cache cache)
{
    for (size_t i = b->count; i-- > 0;)
        for (size_t j = b->messages[i].count; j-- > 0;) {
            struct canon_part *p = (struct canon_part *)(uintptr_t)&b->messages[i].parts[j];
            if (p->kind == PART_REASONING || p->kind == PART_OPAQUE)
                continue;
            if (p->cache == CACHE_NONE)
                p->cache = cache;
            return;
        }
}

static int
read_all(struct blocks *b, struct json_view system, struct json_view messages)
{
    size_t cursor = 0, index = 0;
    struct slice name;
    struct json_view turn;
    int err = read_system(b, system);
    while (!err && json_view_next(messages, &cursor, &name, &turn))
        err = read_turn(b, index++, turn);
    if (!err && index == 0)
        err = dialect_refuse(b->why, ERR_SYNTAX, "messages",
                             "messages: at least one message is required.");
    return err;
}

int
anthropic_read_messages(struct json_view system, struct json_view messages, struct json_view cache,
                        struct arena *a, struct canon_request *ret, struct dialect_refusal *why)
{
    struct blocks b = {.arena = a, .why = why};
    enum canon_cache all;
    if (anthropic_read_cache(cache, &all) != 0)
        return dialect_refuse(why, ERR_SYNTAX, "cache_control",
                              "cache_control: must be of type ephemeral, with a ttl of 5m or 1h.");
    b.messages = arena_alloc(a, count_messages(messages) * sizeof(*b.messages));
    if (!b.messages)
        return ERR_NOMEM;
    map_init(&b.names);
    int err = read_all(&b, system, messages);
    map_free(&b.names);
    if (all != CACHE_NONE && !err)
        mark_last(&b, all);
    ret->messages = b.messages;
    ret->message_count = b.count;
    return err;
}
