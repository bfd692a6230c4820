/* A client's tools and toolConfig. */
#include "dataplane/dialects/gemini_request.h"

#include "dataplane/dialects/gemini_schema.h"

#include <stdio.h>

enum { FUNCTION_NAME, FUNCTION_ABOUT, FUNCTION_SCHEMA, FUNCTION_JSON_SCHEMA, FUNCTION_NAMES };
static const char *const function_names[FUNCTION_NAMES] = {"name", "description", "parameters",
                                                           "parametersJsonSchema"};

static bool
is_known(struct slice name)
{
    for (size_t i = 0; i < FUNCTION_NAMES; i++)
        if (gemini_name_is(name, function_names[i]))
            return true;
    return false;
}

/* The members that only Google knows ("behavior", "response"), as one object. */
static int
keep_rest(struct gemini_reader *r, struct json_view function, struct canon_tool *tool)
{
    struct json_view v;
    struct slice name;
    struct buf rest;
    size_t cursor = 0;
    int err = 0;
    buf_init(&rest, 0);
    while (!err && json_view_next(function, &cursor, &name, &v))
        if (!is_known(name) && json_view_is_set(v))
            err = buf_addf(&rest, "%s\"%.*s\":%.*s", rest.len ? "," : "{", SLICE_ARG(name),
                           SLICE_ARG(v.raw));
    if (!err && rest.len) {
        err = buf_add_str(&rest, "}");
        tool->raw = arena_copy(r->a, buf_slice(&rest));
        if (!tool->raw.at)
            err = ERR_NOMEM;
    }
    buf_free(&rest);
    return err;
}

static int
read_function(struct gemini_reader *r, struct json_view function, const char *member,
              struct canon_tool *tool)
{
    struct json_view v[FUNCTION_NAMES];
    const char *why;
    if (function.kind != JSON_MAP)
        return gemini_refuse(r, member, "must be an object");
    gemini_fields(function, function_names, FUNCTION_NAMES, v);
    *tool = (struct canon_tool){.kind = TOOL_FUNCTION, .origin = DIALECT_GEMINI};
    int err = gemini_text_at(r, v[FUNCTION_NAME], member, &tool->name);
    if (!err)
        err = gemini_text_at(r, v[FUNCTION_ABOUT], member, &tool->description);
    if (!err && tool->name.len == 0)
        err = gemini_refuse(r, member, "must have a name");
    if (err)
        return err;
    if (v[FUNCTION_JSON_SCHEMA].kind == JSON_MAP) {
        tool->schema_raw = v[FUNCTION_JSON_SCHEMA].raw;
    } else if (json_view_is_set(v[FUNCTION_SCHEMA])) {
        err = gemini_schema_read(v[FUNCTION_SCHEMA].raw, r->a, &tool->schema_raw, &why);
        if (err)
            return err == ERR_NOMEM ? err : gemini_refuse(r, member, why);
    }
    return keep_rest(r, function, tool);
}

static int
read_hosted(struct gemini_reader *r, struct slice name, struct json_view v, struct canon_tool *tool)
{
    char *raw = arena_printf(r->a, "{\"%.*s\":%.*s}", SLICE_ARG(name), SLICE_ARG(v.raw));
    *tool = (struct canon_tool){
        .kind = TOOL_HOSTED, .origin = DIALECT_GEMINI, .name = name, .raw = slice_of(raw)};
    return raw ? 0 : ERR_NOMEM;
}

/* How many tools the list gives. */
static size_t
count_tools(struct json_view tools)
{
    struct json_view tool, v;
    struct slice name;
    size_t cursor = 0, n = 0;
    while (gemini_each(tools, &cursor, &tool)) {
        size_t inner = 0;
        while (tool.kind == JSON_MAP && json_view_next(tool, &inner, &name, &v))
            n += gemini_name_is(name, "functionDeclarations") ? gemini_count(v) : 1;
    }
    return n;
}

static int
read_functions(struct gemini_reader *r, struct json_view list, size_t index,
               struct canon_tool *into)
{
    struct json_view function;
    size_t cursor = 0, n = 0;
    int err = 0;
    char member[80];
    snprintf(member, sizeof(member), "tools[%zu].functionDeclarations", index);
    if (list.kind != JSON_LIST && list.kind != JSON_MAP)
        return gemini_refuse(r, member, "must be a list");
    while (!err && gemini_each(list, &cursor, &function)) {
        snprintf(member, sizeof(member), "tools[%zu].functionDeclarations[%zu]", index, n++);
        err = read_function(r, function, member, &into[r->q->tool_count++]);
    }
    return err;
}

static int
read_tool(struct gemini_reader *r, struct json_view tool, size_t index, struct canon_tool *into)
{
    struct json_view v;
    struct slice name;
    size_t cursor = 0;
    char member[80];
    snprintf(member, sizeof(member), "tools[%zu]", index);
    if (tool.kind != JSON_MAP)
        return gemini_refuse(r, member, "must be an object");
    int err = 0;
    while (!err && json_view_next(tool, &cursor, &name, &v)) {
        if (!json_view_is_set(v))
            continue;
        if (gemini_name_is(name, "functionDeclarations"))
            err = read_functions(r, v, index, into);
        else
            err = read_hosted(r, name, v, &into[r->q->tool_count++]);
    }
    return err;
}

/* --- toolConfig ------------------------------------------------------------------------------- */

static const char *const modes[] = {NULL, "AUTO", "ANY", "NONE", "VALIDATED"};
#define MODE_MEMBER "toolConfig.functionCallingConfig.mode"
#define ALLOWED_MEMBER "toolConfig.functionCallingConfig.allowedFunctionNames"

static bool
is_listed(struct json_view names, struct slice name, struct arena *a)
{
    struct json_view v;
    struct slice none, text;
    size_t cursor = 0;
    while (json_view_next(names, &cursor, &none, &v))
        if (json_view_text(v, a, &text) == 0 && slice_eq(text, name))
            return true;
    return false;
}

/* The functions that may be called; one alone is a named choice, of several the others go. */
static int
restrict_to(struct gemini_reader *r, struct canon_tool *tools, struct json_view names)
{
    struct canon_request *q = r->q;
    size_t cursor = 0, kept = 0;
    struct slice none;
    struct json_view first;
    if (names.kind != JSON_LIST || !json_view_next(names, &cursor, &none, &first))
        return 0;
    if (json_view_count(names) == 1 && q->tool_choice == CHOICE_REQUIRED) {
        q->tool_choice = CHOICE_NAMED;
        return gemini_text_at(r, first, ALLOWED_MEMBER, &q->tool_choice_name);
    }
    for (size_t i = 0; i < q->tool_count; i++)
        if (tools[i].kind != TOOL_FUNCTION || is_listed(names, tools[i].name, r->a))
            tools[kept++] = tools[i];
    q->tool_count = kept;
    return 0;
}

static int
read_calling(struct gemini_reader *r, struct canon_tool *tools, struct json_view config)
{
    static const char *const names[] = {"mode", "allowedFunctionNames"};
    struct json_view v[2];
    gemini_fields(config, names, 2, v);
    struct slice mode = gemini_enum(v[0], modes, sizeof(modes) / sizeof(modes[0]));
    if (slice_eq_nocase(mode, SLICE("ANY")))
        r->q->tool_choice = CHOICE_REQUIRED;
    else if (slice_eq_nocase(mode, SLICE("NONE")))
        r->q->tool_choice = CHOICE_NONE;
    else if (slice_eq_nocase(mode, SLICE("AUTO")) || slice_eq_nocase(mode, SLICE("VALIDATED")))
        r->q->tool_choice = CHOICE_AUTO;
    else if (mode.len && !slice_is(mode, "MODE_UNSPECIFIED"))
        return gemini_refuse(r, MODE_MEMBER, "must be AUTO, ANY, NONE or VALIDATED");
    for (size_t i = 0; i < r->q->tool_count && slice_eq_nocase(mode, SLICE("VALIDATED")); i++)
        if (tools[i].kind == TOOL_FUNCTION)
            tools[i].strict = TRI_YES;
    return restrict_to(r, tools, v[1]);
}

int
gemini_read_tools(struct gemini_reader *r, struct json_view tools, struct json_view config)
{
    struct json_view v;
    struct slice name;
    size_t cursor = 0, index = 0;
    int err = 0;
    if (json_view_is_set(tools) && tools.kind != JSON_LIST && tools.kind != JSON_MAP)
        return gemini_refuse(r, "tools", "must be a list");
    if (json_view_is_set(config) && config.kind != JSON_MAP)
        return gemini_refuse(r, "toolConfig", "must be an object");
    struct canon_tool *into = arena_alloc(r->a, (count_tools(tools) + 1) * sizeof(*into));
    if (!into)
        return ERR_NOMEM;
    r->q->tools = into;
    while (!err && gemini_each(tools, &cursor, &v))
        err = read_tool(r, v, index++, into);
    cursor = 0;
    while (!err && json_view_next(config, &cursor, &name, &v)) {
        if (gemini_name_is(name, "functionCallingConfig"))
            err = read_calling(r, into, v);
        else if (json_view_is_set(v))
            err = gemini_keep_extra(r, "toolConfig.", name, v);
    }
    return err;
}
