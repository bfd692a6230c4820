/* Items of Responses, and what of them both sides read alike. */
#include "dataplane/dialects/responses_internal.h"

#include <string.h>

struct canon_part *
responses_add(struct responses_parts *list, struct arena *a)
{
    if (list->count == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 4;
        struct canon_part *at = arena_alloc(a, cap * sizeof(*at));
        if (!at)
            return NULL;
        if (list->count)
            memcpy(at, list->at, list->count * sizeof(*at));
        list->at = at;
        list->cap = cap;
    }
    struct canon_part *part = &list->at[list->count++];
    memset(part, 0, sizeof(*part));
    part->origin = DIALECT_RESPONSES;
    return part;
}

static bool
is_one_of(struct slice name, const char *const *names)
{
    for (; *names; names++)
        if (slice_is(name, *names))
            return true;
    return false;
}

int
responses_leftover(struct json_view map, const char *const *known, struct arena *a,
                   struct slice *ret_raw)
{
    size_t cursor = 0, count = 0;
    struct slice name;
    struct json_view value;
    struct buf json;
    *ret_raw = (struct slice){0};
    buf_init(&json, 0);
    struct json_emit e = json_emit_into(&json);
    emit_map(&e);
    while (json_view_next(map, &cursor, &name, &value)) {
        if (!json_view_is_set(value) || is_one_of(name, known))
            continue;
        /* The name stands escaped in the view: as it is, it is JSON again. */
        if (!e.err)
            e.err = buf_addf(&json, "%s\"%.*s\":%.*s", count ? "," : "", SLICE_ARG(name),
                             SLICE_ARG(value.raw));
        count++;
    }
    emit_end_map(&e);
    if (!e.err && count) {
        *ret_raw = arena_copy(a, buf_slice(&json));
        if (!ret_raw->at)
            e.err = ERR_NOMEM;
    }
    buf_free(&json);
    return e.err;
}

/* --- texts ------------------------------------------------------------------------------------ */

int
responses_join_texts(struct json_view list, struct arena *a, struct slice *ret_text)
{
    size_t cursor = 0, texts = 0, len = 0;
    struct slice name, text;
    struct json_view piece;
    *ret_text = (struct slice){0};
    while (json_view_next(list, &cursor, &name, &piece)) {
        int err = json_view_opt_text(json_view_get(piece, "text"), a, &text);
        if (err == ERR_NOMEM)
            return err;
        if (err || text.len == 0)
            continue;
        len += text.len;
        if (++texts == 1)
            *ret_text = text;
    }
    if (texts < 2)
        return 0;
    char *at = arena_alloc(a, len);
    if (!at)
        return ERR_NOMEM;
    *ret_text = slice_make(at, 0);
    for (cursor = 0; json_view_next(list, &cursor, &name, &piece);) {
        int err = json_view_opt_text(json_view_get(piece, "text"), a, &text);
        if (err == ERR_NOMEM)
            return err;
        if (err || text.len == 0)
            continue;
        memcpy(at + ret_text->len, text.at, text.len);
        ret_text->len += text.len;
    }
    return 0;
}

int
responses_reasoning_text(struct json_view item, struct arena *a, struct slice *ret_text)
{
    int err = responses_join_texts(json_view_get(item, "summary"), a, ret_text);
    if (!err && ret_text->len == 0)
        err = responses_join_texts(json_view_get(item, "content"), a, ret_text);
    return err;
}

/* A text that may be absent, or no text: then it is empty. */
static int
text_or_empty(struct json_view v, struct arena *a, struct slice *ret)
{
    int err = json_view_opt_text(v, a, ret);
    if (err == ERR_SYNTAX)
        *ret = (struct slice){0};
    return err == ERR_NOMEM ? err : 0;
}

int
responses_read_citation(struct json_view annotation, struct arena *a, struct canon_citation *ret)
{
    enum { URL, TITLE, FILENAME, START, END, FIELDS };
    static const char *const names[FIELDS] = {"url", "title", "filename", "start_index",
                                              "end_index"};
    struct json_view at[FIELDS];
    json_view_fields(annotation, names, FIELDS, at);
    *ret = (struct canon_citation){.origin = DIALECT_RESPONSES, .raw = annotation.raw};
    int err = text_or_empty(at[URL], a, &ret->url);
    if (!err)
        err = text_or_empty(at[json_view_is_set(at[TITLE]) ? TITLE : FILENAME], a, &ret->title);
    ret->start = json_view_int_or(at[START], -1);
    ret->end = json_view_int_or(at[END], -1);
    return err;
}

static int
read_citations(struct json_view list, struct arena *a, struct canon_part *part)
{
    size_t cursor = 0, count = json_view_count(list);
    struct slice name;
    struct json_view annotation;
    if (list.kind != JSON_LIST || count == 0)
        return 0;
    struct canon_citation *at = arena_alloc(a, count * sizeof(*at));
    if (!at)
        return ERR_NOMEM;
    while (json_view_next(list, &cursor, &name, &annotation)) {
        int err = responses_read_citation(annotation, a, &at[part->citation_count++]);
        if (err)
            return err;
    }
    part->citations = at;
    return 0;
}

int
responses_read_text(struct json_view piece, struct arena *a, struct canon_part *ret)
{
    enum { TYPE, TEXT, REFUSAL, ANNOTATIONS, FIELDS };
    static const char *const names[FIELDS] = {"type", "text", "refusal", "annotations"};
    struct json_view at[FIELDS];
    json_view_fields(piece, names, FIELDS, at);
    bool refusal = json_view_is(at[TYPE], "refusal");
    struct json_view text = at[refusal ? REFUSAL : TEXT];
    if (text.kind != JSON_TEXT)
        return ERR_NOT_FOUND;
    *ret = (struct canon_part){.kind = refusal ? PART_REFUSAL : PART_TEXT,
                               .origin = DIALECT_RESPONSES};
    int err = json_view_text(text, a, &ret->text);
    return err ? err : read_citations(at[ANNOTATIONS], a, ret);
}

bool
responses_is_said(struct json_view item)
{
    struct json_view role = json_view_get(item, "role");
    return json_view_is(json_view_get(item, "type"), "message") &&
           (!json_view_is_set(role) || json_view_is(role, "assistant"));
}

int
responses_message_extra(struct json_view item, struct arena *a, struct slice *ret)
{
    struct json_view phase = json_view_get(item, "phase");
    *ret = (struct slice){0};
    if (phase.kind != JSON_TEXT)
        return 0;
    char *at = arena_printf(a, "{\"phase\":%.*s}", SLICE_ARG(phase.raw));
    *ret = slice_of(at);
    return at ? 0 : ERR_NOMEM;
}

/* --- calls ------------------------------------------------------------------------------------ */

static const char *const call_members[] = {"type",      "status", "call_id", "name",
                                           "arguments", "input",  NULL};

int
responses_read_call(struct json_view item, struct arena *a, struct canon_part *ret)
{
    enum { TYPE, CALL, NAME, ARGUMENTS, INPUT, ID, FIELDS };
    static const char *const names[FIELDS] = {"type",      "call_id", "name",
                                              "arguments", "input",   "id"};
    struct json_view at[FIELDS];
    json_view_fields(item, names, FIELDS, at);
    bool custom = json_view_is(at[TYPE], "custom_tool_call");
    if (!custom && !json_view_is(at[TYPE], "function_call"))
        return ERR_NOT_FOUND;
    *ret =
        (struct canon_part){.kind = PART_TOOL_CALL, .custom = custom, .origin = DIALECT_RESPONSES};
    int err = text_or_empty(at[CALL], a, &ret->id);
    if (!err && ret->id.len == 0)
        err = text_or_empty(at[ID], a, &ret->id);
    if (!err && ret->id.len == 0) {
        ret->id = canon_mint_id(a, "call_");
        err = ret->id.at ? 0 : ERR_NOMEM;
    }
    if (!err)
        err = text_or_empty(at[NAME], a, &ret->name);
    if (!err)
        err = text_or_empty(at[custom ? INPUT : ARGUMENTS], a, &ret->arguments);
    return err ? err : responses_leftover(item, call_members, a, &ret->raw);
}
