/* The tools of a request, and the choice among them. */
#include "dataplane/dialects/responses_internal.h"

#include <stdio.h>

#define LIMIT_ALLOWED_TOOLS 1024 /* that a choice may name one by one */

static const char *const function_members[] = {"type",       "name",   "description",
                                               "parameters", "strict", NULL};
static const char *const custom_members[] = {"type", "name", "description", "format", NULL};

static int
read_strict(const struct responses_reader *r, const char *member, struct json_view v, enum tri *ret)
{
    if (json_view_is_set(v) && v.kind != JSON_TRUE_ && v.kind != JSON_FALSE_)
        return responses_must(r, member, "an object whose 'strict' is true or false");
    *ret = v.kind == JSON_TRUE_ ? TRI_YES : v.kind == JSON_FALSE_ ? TRI_NO : TRI_ABSENT;
    return 0;
}

/* A grammar stands one level deeper in chat completions, whose shape is the canonical one. */
static int
read_format(const struct responses_reader *r, const char *member, struct json_view v,
            struct canon_tool *tool)
{
    static const char *const known[] = {"type", NULL};
    struct slice grammar;
    if (v.kind != JSON_MAP)
        return responses_must(r, member, "a tool whose 'format' is an object");
    tool->format_raw = v.raw;
    if (!json_view_is(json_view_get(v, "type"), "grammar"))
        return 0;
    int err = responses_leftover(v, known, r->a, &grammar);
    if (err || grammar.len == 0)
        return err;
    char *deeper =
        arena_printf(r->a, "{\"type\":\"grammar\",\"grammar\":%.*s}", SLICE_ARG(grammar));
    tool->format_raw = slice_of(deeper);
    return deeper ? 0 : ERR_NOMEM;
}

static int
read_own(const struct responses_reader *r, const char *member, struct json_view v,
         struct canon_tool *tool)
{
    enum { NAME, DESCRIPTION, PARAMETERS, STRICT, FORMAT, FIELDS };
    static const char *const names[FIELDS] = {"name", "description", "parameters", "strict",
                                              "format"};
    struct json_view at[FIELDS];
    bool custom = tool->kind == TOOL_CUSTOM;
    json_view_fields(v, names, FIELDS, at);
    int err = responses_get_text(r, member, v, names[NAME], &tool->name);
    if (!err && tool->name.len == 0)
        err = responses_must(r, member, "a tool with a 'name'");
    if (!err)
        err = responses_get_text(r, member, v, names[DESCRIPTION], &tool->description);
    if (!err && json_view_is_set(at[PARAMETERS]) && at[PARAMETERS].kind != JSON_MAP)
        err = responses_must(r, member, "a tool whose 'parameters' are an object");
    if (!err && !custom)
        err = read_strict(r, member, at[STRICT], &tool->strict);
    if (json_view_is_set(at[PARAMETERS]) && !custom)
        tool->schema_raw = at[PARAMETERS].raw;
    if (!err && json_view_is_set(at[FORMAT]) && custom)
        err = read_format(r, member, at[FORMAT], tool);
    return err ? err
               : responses_leftover(v, custom ? custom_members : function_members, r->a,
                                    &tool->raw);
}

static int
read_tool(const struct responses_reader *r, const char *member, struct json_view v,
          struct canon_tool *tool)
{
    struct json_view type = json_view_get(v, "type");
    *tool = (struct canon_tool){.origin = DIALECT_RESPONSES, .kind = TOOL_HOSTED};
    if (v.kind != JSON_MAP || type.kind != JSON_TEXT)
        return responses_must(r, member, "an object with a 'type'");
    if (json_view_is(type, "function"))
        tool->kind = TOOL_FUNCTION;
    else if (json_view_is(type, "custom"))
        tool->kind = TOOL_CUSTOM;
    if (tool->kind != TOOL_HOSTED)
        return read_own(r, member, v, tool);
    tool->raw = v.raw;
    return json_view_text(type, r->a, &tool->name);
}

static int
read_list(struct responses_reader *r, struct json_view tools, struct canon_tool **ret)
{
    size_t cursor = 0, n = json_view_count(tools);
    struct slice unused;
    struct json_view v;
    char member[64];
    *ret = arena_alloc(r->a, (n + 1) * sizeof(**ret));
    if (!*ret)
        return ERR_NOMEM;
    for (size_t i = 0; json_view_next(tools, &cursor, &unused, &v); i++) {
        snprintf(member, sizeof(member), "tools[%zu]", i);
        int err = read_tool(r, member, v, &(*ret)[i]);
        if (err)
            return err;
    }
    r->q->tools = *ret;
    r->q->tool_count = n;
    return 0;
}

/* --- the choice ------------------------------------------------------------------------------- */

static enum canon_choice
mode_of(struct json_view v)
{
    return json_view_is(v, "auto")       ? CHOICE_AUTO
           : json_view_is(v, "none")     ? CHOICE_NONE
           : json_view_is(v, "required") ? CHOICE_REQUIRED
                                         : CHOICE_ABSENT;
}

static bool
is_allowed(struct json_view allowed, const struct canon_tool *tool)
{
    size_t cursor = 0;
    struct slice unused;
    struct json_view v;
    while (json_view_next(allowed, &cursor, &unused, &v)) {
        struct json_view name = json_view_get(v, tool->kind == TOOL_HOSTED ? "type" : "name");
        if (name.kind == JSON_TEXT &&
            slice_eq(slice_make(name.raw.at + 1, name.raw.len - 2), tool->name))
            return true;
    }
    return false;
}

/* The tools that are not allowed are not offered. What the client wrote is kept for those who speak
 * its dialect, whose cached prompts begin with all of the tools, and for the answer. */
static int
allow_some(struct responses_reader *r, struct json_view choice, struct json_view tools,
           struct canon_tool *list)
{
    struct json_view allowed = json_view_get(choice, "tools");
    size_t kept = 0;
    r->q->tool_choice = mode_of(json_view_get(choice, "mode"));
    if (r->q->tool_choice != CHOICE_AUTO && r->q->tool_choice != CHOICE_REQUIRED)
        return responses_must(r, "tool_choice.mode", "auto or required");
    if (allowed.kind != JSON_LIST || json_view_count(allowed) > LIMIT_ALLOWED_TOOLS)
        return responses_must(r, "tool_choice.tools", "a list of at most 1024 tools");
    for (size_t i = 0; list && i < r->q->tool_count; i++)
        if (is_allowed(allowed, &list[i]))
            list[kept++] = list[i];
    if (kept == 0)
        return responses_must(r, "tool_choice.tools", "a list that names some of the 'tools'");
    r->q->tool_count = kept;
    int err = responses_keep(r, SLICE("tool_choice"), choice.raw);
    return err ? err : responses_keep(r, SLICE("tools"), tools.raw);
}

static int
read_choice(struct responses_reader *r, struct json_view choice, struct json_view tools,
            struct canon_tool *list)
{
    struct json_view type = json_view_get(choice, "type");
    if (!json_view_is_set(choice))
        return 0;
    if (choice.kind == JSON_TEXT) {
        r->q->tool_choice = mode_of(choice);
        return r->q->tool_choice == CHOICE_ABSENT
                   ? responses_must(r, "tool_choice", "auto, none, required or an object")
                   : 0;
    }
    if (choice.kind != JSON_MAP || type.kind != JSON_TEXT)
        return responses_must(r, "tool_choice", "auto, none, required or an object with a 'type'");
    if (json_view_is(type, "allowed_tools"))
        return allow_some(r, choice, tools, list);
    if (json_view_is(type, "function") || json_view_is(type, "custom")) {
        r->q->tool_choice = CHOICE_NAMED;
        int err = responses_get_text(r, "tool_choice", choice, "name", &r->q->tool_choice_name);
        if (!err && r->q->tool_choice_name.len == 0)
            err = responses_must(r, "tool_choice.name", "the name of a tool");
        return err;
    }
    /* A hosted tool: who has none of those refuses the tool itself. */
    return responses_keep(r, SLICE("tool_choice"), choice.raw);
}

int
responses_read_tools(struct responses_reader *r, struct json_view tools, struct json_view choice)
{
    struct canon_tool *list = NULL;
    if (json_view_is_set(tools) && tools.kind != JSON_LIST)
        return responses_must(r, "tools", "a list");
    int err = json_view_is_set(tools) ? read_list(r, tools, &list) : 0;
    return err ? err : read_choice(r, choice, tools, list);
}
