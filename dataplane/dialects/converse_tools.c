/* Tools, the choice among them, and the tool that stands for structured output. */
#include "dataplane/dialects/converse_internal.h"

#include <stdio.h>

#define ANY_OBJECT SLICE("{\"type\":\"object\",\"properties\":{}}")

static bool
is_tool_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char ch = name.at[i];
        if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
              ch == '_' || ch == '-'))
            return false;
    }
    return name.len > 0 && name.len <= LIMIT_CONVERSE_NAME_BYTES;
}

static void
write_spec(struct json_emit *e, struct slice name, struct slice description, struct slice schema,
           bool strict)
{
    emit_map(e);
    emit_name(e, "toolSpec");
    emit_map(e);
    emit_text_member(e, "name", name);
    if (slice_trim(description).len)
        emit_text_member(e, "description", description);
    emit_name(e, "inputSchema");
    emit_map(e);
    emit_name(e, "json");
    emit_raw(e, schema.len ? schema : ANY_OBJECT);
    emit_end_map(e);
    if (strict)
        emit_bool_member(e, "strict", true);
    emit_end_map(e);
    emit_end_map(e);
}

static int
write_function(struct converse_writing *c, const struct canon_tool *t)
{
    if (!is_tool_name(t->name))
        return dialect_refuse(c->w->why, ERR_DENIED, c->member,
                              "'%s': provider '%.*s' takes tool names of 1 to %d letters, digits, "
                              "'_' and '-'.",
                              c->member, SLICE_ARG(c->w->target->provider->name),
                              LIMIT_CONVERSE_NAME_BYTES);
    /* Where the model is not bound by a schema it is still shown it. */
    bool is_bound = t->strict == TRI_YES && c->model.json == CONVERSE_JSON_NATIVE;
    write_spec(&c->e, t->name, t->description, t->schema_raw, is_bound);
    converse_write_cache(c, t->cache);
    return 0;
}

static int
write_tool(struct converse_writing *c, const struct canon_tool *t)
{
    int err;
    switch (t->kind) {
    case TOOL_FUNCTION:
        return write_function(c, t);
    case TOOL_CUSTOM:
        err = dialect_need(c->w, FEATURE_CUSTOM_TOOLS, c->member);
        break;
    case TOOL_HOSTED:
        if (t->origin == DIALECT_CONVERSE) {
            emit_raw(&c->e, t->raw);
            return 0;
        }
        err = dialect_leave_out(c->w, c->member, "does not run this tool");
        break;
    default:
        return ERR_BAD_STATE;
    }
    return err < 0 ? err : 0;
}

/* --- which tools ------------------------------------------------------------------------------ */

/* The first call of the history: Bedrock wants tools declared wherever there was one. */
static const struct canon_part *
find_call(const struct canon_request *q)
{
    for (size_t i = 0; i < q->message_count; i++)
        for (size_t k = 0; k < q->messages[i].count; k++)
            if (q->messages[i].parts[k].kind == PART_TOOL_CALL)
                return &q->messages[i].parts[k];
    return NULL;
}

void
converse_look_at_tools(struct converse_writing *c)
{
    c->call = find_call(c->q);
    /* With tools forbidden none is given, but where the history has calls. */
    c->gives_tools = c->q->tool_count > 0 && (c->q->tool_choice != CHOICE_NONE || c->call);
}

/* Where one tool is to be called and the model can only be told to call any, it is given alone. */
static bool
is_given(const struct converse_writing *c, const struct canon_tool *t)
{
    if (c->q->tool_choice != CHOICE_NAMED || c->model.may_choose_one)
        return true;
    return slice_eq(t->name, c->q->tool_choice_name);
}

static int
write_list(struct converse_writing *c)
{
    const struct canon_request *q = c->q;
    int err = 0;
    for (size_t i = 0; i < q->tool_count && c->gives_tools && !err; i++) {
        snprintf(c->member, sizeof(c->member), "tools[%zu]", i);
        if (is_given(c, &q->tools[i]))
            err = write_tool(c, &q->tools[i]);
    }
    if (c->w->json_by_tool)
        write_spec(&c->e, SLICE(JSON_TOOL_NAME),
                   q->format_description.len ? q->format_description
                                             : SLICE("Give the answer by calling this tool."),
                   q->format_schema_raw, false);
    else if (!c->gives_tools && c->call)
        write_spec(&c->e, c->call->name, SLICE(""), ANY_OBJECT, false);
    return err;
}

/* --- the choice ------------------------------------------------------------------------------- */

static void
write_choice(struct json_emit *e, const char *choice, struct slice name)
{
    emit_name(e, "toolChoice");
    emit_map(e);
    emit_name(e, choice);
    emit_map(e);
    if (name.len)
        emit_text_member(e, "name", name);
    emit_end_map(e);
    emit_end_map(e);
}

/* A choice that forces a call; Claude does not think and be forced at once. */
static int
write_forced(struct converse_writing *c, struct slice name)
{
    bool is_claude_thinking = c->thinks && c->model.family == CONVERSE_CLAUDE;
    int err = 0;
    if (is_claude_thinking && !c->w->json_by_tool)
        err = dialect_leave_out(c->w, "tool_choice", "does not force a call while it thinks");
    else if (!is_claude_thinking && name.len && c->model.may_choose_one)
        write_choice(&c->e, "tool", name);
    else if (!is_claude_thinking && c->model.may_choose_any)
        write_choice(&c->e, "any", (struct slice){0});
    else if (!c->w->json_by_tool)
        err = dialect_leave_out(c->w, "tool_choice", "cannot be made to call a tool of this model");
    return err < 0 ? err : 0;
}

static int
write_choices(struct converse_writing *c)
{
    const struct canon_request *q = c->q;
    if (c->w->json_by_tool)
        return write_forced(c, c->gives_tools && q->tool_choice != CHOICE_NONE
                                   ? slice_none()
                                   : SLICE(JSON_TOOL_NAME));
    switch (q->tool_choice) {
    case CHOICE_AUTO:
        if (c->gives_tools)
            write_choice(&c->e, "auto", (struct slice){0});
        return 0;
    case CHOICE_REQUIRED:
        return write_forced(c, (struct slice){0});
    case CHOICE_NAMED:
        return write_forced(c, q->tool_choice_name);
    case CHOICE_ABSENT:
    case CHOICE_NONE:
        break;
    }
    return 0;
}

int
converse_write_tools(struct converse_writing *c)
{
    const struct json_emit before = c->e;
    size_t start = c->e.into->len;
    if (!c->gives_tools && !c->w->json_by_tool && !c->call)
        return 0;
    emit_name(&c->e, "toolConfig");
    emit_map(&c->e);
    emit_name(&c->e, "tools");
    emit_list(&c->e);
    size_t empty = c->e.into->len;
    int err = write_list(c);
    if (!err && !c->e.err && c->e.into->len == empty) { /* all were left out */
        c->e.into->len = start;
        c->e = before;
        return 0;
    }
    emit_end_list(&c->e);
    if (!err)
        err = write_choices(c);
    emit_end_map(&c->e);
    return err;
}
