/* The messages of a client's chat request. */
#include "dataplane/dialects/chat_internal.h"
#include "lib/base/map.h"

#include <stdio.h>
#include <string.h>

/* One message on its way in. */
struct reading {
    struct chat_reader *r;
    struct json_view message;
    char path[CHAT_PATH_BYTES];
    size_t number; /* of the message */
    struct canon_message *into;
    struct map calls;                   /* all so far, by their ids */
    const struct canon_message *caller; /* the last message of the assistant */
    size_t unanswered;                  /* of its parts, where to look for the next call */
};

static int
refuse_in(struct reading *m, const char *member, const char *sentence)
{
    char path[CHAT_PATH_BYTES + 64];
    snprintf(path, sizeof(path), "%s.%s", m->path, member);
    return chat_refuse(m->r, path, sentence);
}

static int
text_in(struct reading *m, struct json_view map, const char *name, struct slice *ret)
{
    int err = json_view_opt_text(json_view_get(map, name), m->r->arena, ret);
    return err == ERR_SYNTAX ? refuse_in(m, name, "must be a text.") : err;
}

static int
content_of(struct reading *m, struct canon_part *at, size_t *count)
{
    char path[CHAT_PATH_BYTES + 16];
    snprintf(path, sizeof(path), "%s.content", m->path);
    return chat_read_content(m->r, json_view_get(m->message, "content"), path, at, count);
}

/* --- system, developer, user ------------------------------------------------------------------ */

static int
read_plain(struct reading *m)
{
    struct json_view content = json_view_get(m->message, "content");
    struct canon_part *parts =
        arena_zalloc(m->r->arena, (chat_count_content(content) + 1) * sizeof(*parts));
    if (!parts)
        return ERR_NOMEM;
    m->into->parts = parts;
    return content_of(m, parts, &m->into->count);
}

/* --- assistant -------------------------------------------------------------------------------- */

/* Calls without ids (Google's compatible endpoint, functions) are known by where they stand. */
static struct slice
standing_id(struct reading *m, size_t message, size_t call)
{
    return slice_of(arena_printf(m->r->arena, "call_%zu_%zu", message, call));
}

static int
read_signature(struct reading *m, struct json_view call, struct canon_part *p)
{
    struct json_view google = json_view_get(json_view_get(call, "extra_content"), "google");
    struct slice signature = {0};
    canon_unpack_id(m->r->arena, p->id, &p->id, &p->origin, &p->signature);
    int err =
        json_view_opt_text(json_view_get(google, "thought_signature"), m->r->arena, &signature);
    if (err == ERR_SYNTAX)
        return refuse_in(m, "tool_calls", "has a 'thought_signature' that is no text.");
    if (signature.len) {
        p->signature = signature;
        p->origin = DIALECT_GEMINI;
    }
    return err;
}

static int
read_call(struct reading *m, struct json_view call, size_t number, struct canon_part *p)
{
    struct json_view of = json_view_get(call, "function");
    p->kind = PART_TOOL_CALL;
    if (of.kind != JSON_MAP) {
        of = json_view_get(call, "custom");
        p->custom = true;
    }
    if (of.kind != JSON_MAP)
        return refuse_in(m, "tool_calls", "must be a list of calls with a 'function' or 'custom'.");
    int err = text_in(m, call, "id", &p->id);
    if (!err)
        err = text_in(m, of, "name", &p->name);
    if (!err)
        err = text_in(m, of, p->custom ? "input" : "arguments", &p->arguments);
    if (err)
        return err;
    if (p->name.len == 0)
        return refuse_in(m, "tool_calls", "must be a list of calls with a 'name' each.");
    if (p->id.len == 0)
        p->id = standing_id(m, m->number, number);
    return p->id.at ? read_signature(m, call, p) : ERR_NOMEM;
}

static int
read_calls(struct reading *m, struct canon_part *at, size_t *count)
{
    struct json_view list = json_view_get(m->message, "tool_calls"), call;
    struct json_view function = json_view_get(m->message, "function_call");
    struct slice name;
    size_t cursor = 0, n = 0;
    int err = 0;
    if (json_view_is_set(list) && list.kind != JSON_LIST)
        return refuse_in(m, "tool_calls", "must be a list.");
    for (; !err && json_view_next(list, &cursor, &name, &call); n++)
        err = read_call(m, call, n, &at[(*count)++]);
    if (err || function.kind != JSON_MAP)
        return err;
    struct canon_part *p = &at[(*count)++];
    *p = (struct canon_part){.kind = PART_TOOL_CALL, .id = standing_id(m, m->number, 0)};
    err = text_in(m, function, "name", &p->name);
    if (!err)
        err = text_in(m, function, "arguments", &p->arguments);
    if (!err && p->name.len == 0)
        return refuse_in(m, "function_call", "must have a 'name'.");
    return err ? err : p->id.at ? 0 : ERR_NOMEM;
}

/* What stands beside the content: a refusal, sound of an earlier answer, where texts come from. */
static int
read_beside(struct reading *m, struct canon_part *at, size_t *count)
{
    struct slice refusal, id;
    int err = text_in(m, m->message, "refusal", &refusal);
    if (!err && refusal.len)
        at[(*count)++] = (struct canon_part){.kind = PART_REFUSAL, .text = refusal};
    if (!err)
        err = text_in(m, json_view_get(m->message, "audio"), "id", &id);
    if (!err && id.len)
        at[(*count)++] =
            (struct canon_part){.kind = PART_AUDIO, .origin = DIALECT_CHAT, .media = {.id = id}};
    for (size_t i = 0; i < *count && !err; i++)
        if (at[i].kind == PART_TEXT) {
            err = chat_read_annotations(m->r->arena, json_view_get(m->message, "annotations"),
                                        &at[i].citations, &at[i].citation_count);
            break;
        }
    return err;
}

/* Gemini signs texts too; the signature came in an entry without a text. */
static bool
signs_text(const struct canon_part *p)
{
    return p->kind == PART_REASONING && p->origin == DIALECT_GEMINI && p->text.len == 0 &&
           p->encrypted.len == 0 && p->signature.len;
}

/* Items that were told their place go there, what the message itself holds fills the gaps. */
static size_t
weave(struct canon_part *into, const struct canon_part *items, const int64_t *position,
      size_t item_count, const struct canon_part *own, size_t own_count)
{
    size_t n = 0, i = 0, k = 0;
    struct slice signature = {0};
    while (i < item_count || k < own_count) {
        if (i < item_count && signs_text(&items[i])) {
            signature = items[i++].signature;
        } else if (i < item_count && (position[i] <= (int64_t)n || k == own_count)) {
            into[n++] = items[i++];
        } else if (k < own_count) {
            into[n] = own[k++];
            if (signature.len && into[n].kind == PART_TEXT) {
                into[n].signature = signature;
                into[n].origin = DIALECT_GEMINI;
                signature = (struct slice){0};
            }
            n++;
        }
    }
    return n;
}

static int
note_calls(struct reading *m)
{
    int err = 0;
    m->caller = m->into;
    m->unanswered = 0;
    for (size_t i = 0; i < m->into->count && !err; i++)
        if (m->into->parts[i].kind == PART_TOOL_CALL)
            err = map_put(&m->calls, m->into->parts[i].id, (void *)(uintptr_t)&m->into->parts[i]);
    return err;
}

static int
read_assistant(struct reading *m)
{
    struct arena *a = m->r->arena;
    size_t items = chat_count_reasoning(m->message), item_count = 0, own_count = 0;
    size_t most = chat_count_content(json_view_get(m->message, "content")) +
                  json_view_count(json_view_get(m->message, "tool_calls")) + 4;
    struct canon_part *item = arena_zalloc(a, items * sizeof(*item));
    struct canon_part *own = arena_zalloc(a, most * sizeof(*own));
    struct canon_part *parts = arena_alloc(a, (items + most) * sizeof(*parts));
    int64_t *position = arena_alloc(a, items * sizeof(*position));
    if (!item || !own || !parts || !position)
        return ERR_NOMEM;
    int err = chat_read_reasoning(m->r, m->message, m->path, item, position, &item_count);
    if (!err)
        err = content_of(m, own, &own_count);
    if (!err)
        err = read_beside(m, own, &own_count);
    if (!err)
        err = read_calls(m, own, &own_count);
    m->into->parts = parts;
    m->into->count = weave(parts, item, position, item_count, own, own_count);
    return err ? err : note_calls(m);
}

/* --- tool, function --------------------------------------------------------------------------- */

/* The call of the last assistant message that this one answers by its place. */
static const struct canon_part *
next_call(struct reading *m)
{
    while (m->caller && m->unanswered < m->caller->count) {
        const struct canon_part *p = &m->caller->parts[m->unanswered++];
        if (p->kind == PART_TOOL_CALL)
            return p;
    }
    return NULL;
}

static int
name_result(struct reading *m, struct canon_part *p)
{
    enum dialect_id origin;
    struct slice signature;
    const struct canon_part *call = next_call(m);
    int err = text_in(m, m->message, "tool_call_id", &p->id);
    if (err)
        return err;
    if (p->id.len == 0 && call)
        p->id = call->id;
    if (p->id.len == 0)
        return refuse_in(m, "tool_call_id", "is missing, and there is no call that it answers.");
    canon_unpack_id(m->r->arena, p->id, &p->id, &origin, &signature);
    call = map_find(&m->calls, p->id);
    p->custom = call && call->custom;
    p->name = call ? call->name : m->into->name;
    return 0;
}

static int
read_result(struct reading *m)
{
    struct json_view content = json_view_get(m->message, "content");
    struct canon_part *p = arena_zalloc(m->r->arena, sizeof(*p));
    struct canon_part *parts =
        arena_zalloc(m->r->arena, (chat_count_content(content) + 1) * sizeof(*parts));
    if (!p || !parts)
        return ERR_NOMEM;
    p->kind = PART_TOOL_RESULT;
    p->parts = parts;
    m->into->parts = p;
    m->into->count = 1;
    int err = content_of(m, parts, &p->part_count);
    return err ? err : name_result(m, p);
}

/* --- the list --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum canon_role role;
} roles[] = {
    {"system", ROLE_SYSTEM},       {"developer", ROLE_DEVELOPER}, {"user", ROLE_USER},
    {"assistant", ROLE_ASSISTANT}, {"tool", ROLE_TOOL},           {"function", ROLE_TOOL},
};
#define ROLES (sizeof(roles) / sizeof(roles[0]))

static int
read_message(struct reading *m)
{
    struct json_view role = json_view_get(m->message, "role");
    size_t i = 0;
    if (m->message.kind != JSON_MAP)
        return chat_refuse(m->r, m->path, "must be an object.");
    while (i < ROLES && !json_view_is(role, roles[i].name))
        i++;
    if (i == ROLES)
        return refuse_in(m, "role", "must be one of system, developer, user, assistant, tool.");
    m->into->role = roles[i].role;
    int err = text_in(m, m->message, "name", &m->into->name);
    if (err)
        return err;
    switch (m->into->role) {
    case ROLE_ASSISTANT:
        return read_assistant(m);
    case ROLE_TOOL:
        return read_result(m);
    default:
        return read_plain(m);
    }
}

int
chat_read_messages(struct chat_reader *r, struct json_view list)
{
    size_t count = json_view_count(list), cursor = 0;
    struct slice name;
    int err = 0;
    if (list.kind != JSON_LIST)
        return chat_refuse(r, "messages",
                           list.kind == JSON_ABSENT ? "is missing." : "must be a list.");
    struct canon_message *all = arena_zalloc(r->arena, (count + 1) * sizeof(*all));
    if (!all)
        return ERR_NOMEM;
    struct reading m = {.r = r};
    map_init(&m.calls);
    for (; !err && json_view_next(list, &cursor, &name, &m.message); m.number++) {
        snprintf(m.path, sizeof(m.path), "messages[%zu]", m.number);
        m.into = &all[m.number];
        err = read_message(&m);
    }
    map_free(&m.calls);
    r->q->messages = all;
    r->q->message_count = count;
    return err;
}
