/* A client's request in Anthropic's dialect to the canonical form: its members. */
#include "dataplane/dialects/anthropic_internal.h"

#include <stdio.h>
#include <string.h>

const char *const anthropic_members[ANTHROPIC_MEMBERS] = {
    "model",    "stream",        "max_tokens",    "messages",     "tools",         "metadata",
    "system",   "temperature",   "top_p",         "top_k",        "tool_choice",   "stop_sequences",
    "thinking", "output_config", "output_format", "service_tier", "cache_control",
};

struct reader {
    struct json_view at[ANTHROPIC_MEMBERS];
    struct canon_request *q;
    struct arena *arena;
    struct dialect_refusal *why;
};

static int
must_be(struct reader *r, const char *member, const char *what)
{
    return dialect_refuse(r->why, ERR_SYNTAX, member, "%s: must be %s.", member, what);
}

static int
opt_text(struct reader *r, struct json_view v, const char *member, struct slice *ret)
{
    int err = json_view_opt_text(v, r->arena, ret);
    return err == ERR_SYNTAX ? must_be(r, member, "a string") : err;
}

static int
opt_number(struct reader *r, int m, struct slice *ret)
{
    struct json_view v = r->at[m];
    if (!json_view_is_set(v))
        return 0;
    if (v.kind != JSON_NUMBER)
        return must_be(r, anthropic_members[m], "a number");
    *ret = v.raw;
    return 0;
}

/* --- sampling and limits ---------------------------------------------------------------------- */

static int
read_stops(struct reader *r)
{
    struct json_view list = r->at[ANTHROPIC_STOPS], v;
    size_t cursor = 0;
    struct slice name;
    if (json_view_is_set(list) && list.kind != JSON_LIST)
        return must_be(r, "stop_sequences", "a list of strings");
    while (json_view_next(list, &cursor, &name, &v)) {
        if (r->q->stop_count == LIMIT_STOPS)
            return dialect_refuse(r->why, ERR_SYNTAX, "stop_sequences",
                                  "stop_sequences: at most %d are allowed.", LIMIT_STOPS);
        if (v.kind != JSON_TEXT)
            return must_be(r, "stop_sequences", "a list of strings");
        int err = json_view_text(v, r->arena, &r->q->stops[r->q->stop_count++]);
        if (err)
            return err;
    }
    return 0;
}

static int
read_simple(struct reader *r)
{
    struct canon_request *q = r->q;
    struct slice tier = {0};
    int err = json_view_text(r->at[ANTHROPIC_MODEL], r->arena, &q->model);
    q->stream = r->at[ANTHROPIC_STREAM].kind == JSON_TRUE_;
    q->max_tokens = json_view_int_or(r->at[ANTHROPIC_MAX_TOKENS], -1);
    if (!err)
        err = opt_number(r, ANTHROPIC_TEMPERATURE, &q->temperature);
    if (!err)
        err = opt_number(r, ANTHROPIC_TOP_P, &q->top_p);
    if (!err)
        err = opt_number(r, ANTHROPIC_TOP_K, &q->top_k);
    if (!err)
        err = opt_text(r, json_view_get(r->at[ANTHROPIC_METADATA], "user_id"), "metadata.user_id",
                       &q->user);
    if (!err)
        err = opt_text(r, r->at[ANTHROPIC_TIER], "service_tier", &tier);
    q->service_tier = slice_is(tier, "standard_only") ? SLICE("default") : tier;
    return err ? err : read_stops(r);
}

/* --- thinking and structured output ----------------------------------------------------------- */

static int
read_thinking(struct reader *r)
{
    struct json_view v = r->at[ANTHROPIC_THINKING], type = json_view_get(v, "type");
    struct json_view display = json_view_get(v, "display");
    if (!json_view_is_set(v))
        return 0;
    if (json_view_is(type, "disabled")) {
        r->q->reasoning.budget = 0;
        return 0;
    }
    if (json_view_is(type, "adaptive")) {
        r->q->reasoning.budget = -2;
    } else if (json_view_is(type, "enabled")) {
        int64_t budget = json_view_int_or(json_view_get(v, "budget_tokens"), -1);
        if (budget < 1024) /* above max_tokens it may be, while thinking interleaves */
            return must_be(r, "thinking.budget_tokens", "an integer of at least 1024");
        r->q->reasoning.budget = budget;
    } else {
        return must_be(r, "thinking.type", "enabled, adaptive or disabled");
    }
    r->q->reasoning.show = json_view_is(display, "omitted")                          ? TRI_NO
                           : json_view_is_set(display) || r->q->reasoning.budget > 0 ? TRI_YES
                                                                                     : TRI_ABSENT;
    return 0;
}

static int
read_format(struct reader *r, struct json_view format, const char *member)
{
    struct json_view schema = json_view_get(format, "schema");
    char path[64];
    if (!json_view_is_set(format))
        return 0;
    if (!json_view_is(json_view_get(format, "type"), "json_schema")) {
        snprintf(path, sizeof(path), "%s.type", member);
        return must_be(r, path, "json_schema");
    }
    if (schema.kind != JSON_MAP) {
        snprintf(path, sizeof(path), "%s.schema", member);
        return must_be(r, path, "an object");
    }
    r->q->format = FORMAT_SCHEMA;
    r->q->format_schema_raw = schema.raw;
    return 0;
}

static int
add_extra(struct reader *r, const char *prefix, struct slice name, struct slice raw)
{
    struct canon_extra *all = (struct canon_extra *)(uintptr_t)r->q->extras;
    char *full = arena_printf(r->arena, "%s%.*s", prefix, SLICE_ARG(name));
    if (!full)
        return ERR_NOMEM;
    all[r->q->extra_count++] = (struct canon_extra){slice_of(full), raw};
    return 0;
}

static int
read_output_config(struct reader *r)
{
    struct json_view map = r->at[ANTHROPIC_OUTPUT_CONFIG], v;
    size_t cursor = 0;
    struct slice name;
    int err = 0;
    if (json_view_is_set(map) && map.kind != JSON_MAP)
        return must_be(r, "output_config", "an object");
    while (!err && json_view_next(map, &cursor, &name, &v)) {
        if (slice_is(name, "effort"))
            err = opt_text(r, v, "output_config.effort", &r->q->reasoning.effort);
        else if (slice_is(name, "format"))
            err = read_format(r, v, "output_config.format");
        else if (json_view_is_set(v))
            err = add_extra(r, "output_config.", name, v.raw);
    }
    if (!err && r->q->reasoning.effort.len && canon_budget_of_effort(r->q->reasoning.effort) <= 0)
        return must_be(r, "output_config.effort", "low, medium, high, xhigh or max");
    return err ? err : read_format(r, r->at[ANTHROPIC_OUTPUT_FORMAT], "output_format");
}

/* --- tools ------------------------------------------------------------------------------------ */

static int
read_tool_member(struct reader *r, struct canon_tool *t, struct slice name, struct json_view v,
                 struct buf *rest)
{
    if (slice_is(name, "name"))
        return json_view_text(v, r->arena, &t->name);
    if (slice_is(name, "description"))
        return json_view_opt_text(v, r->arena, &t->description);
    if (slice_is(name, "input_schema")) {
        t->schema_raw = v.raw;
        return v.kind == JSON_MAP ? 0 : ERR_SYNTAX;
    }
    if (slice_is(name, "type") || !json_view_is_set(v))
        return 0;
    if (slice_is(name, "strict")) {
        t->strict = v.kind == JSON_TRUE_ ? TRI_YES : TRI_NO;
        return 0;
    }
    if (slice_is(name, "cache_control"))
        return anthropic_read_cache(v, &t->cache);
    return buf_addf(rest, "%c\"%.*s\":%.*s", rest->len ? ',' : '{', SLICE_ARG(name),
                    SLICE_ARG(v.raw));
}

static int
read_function(struct reader *r, struct json_view v, struct canon_tool *t)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view member;
    struct buf rest; /* what is Anthropic's own: defer_loading, input_examples, ... */
    int err = 0;
    buf_init(&rest, 0);
    t->kind = TOOL_FUNCTION;
    while (!err && json_view_next(v, &cursor, &name, &member))
        err = read_tool_member(r, t, name, member, &rest);
    if (!err && rest.len) {
        err = buf_add_str(&rest, "}");
        t->raw = arena_copy(r->arena, buf_slice(&rest));
        if (!t->raw.at)
            err = ERR_NOMEM;
    }
    buf_free(&rest);
    return err ? err : t->name.len && t->schema_raw.len ? 0 : ERR_SYNTAX;
}

static int
read_tool(struct reader *r, struct json_view v, struct canon_tool *t)
{
    struct json_view type = json_view_get(v, "type");
    *t = (struct canon_tool){.origin = DIALECT_ANTHROPIC};
    if (!json_view_is_set(type) || json_view_is(type, "custom"))
        return read_function(r, v, t);
    if (type.kind != JSON_TEXT)
        return ERR_SYNTAX;
    t->kind = TOOL_HOSTED;
    t->raw = v.raw;
    return json_view_opt_text(json_view_get(v, "name"), r->arena, &t->name);
}

static int
read_tools(struct reader *r)
{
    struct json_view list = r->at[ANTHROPIC_TOOLS], v;
    size_t cursor = 0, count = json_view_count(list);
    struct slice name;
    char member[32];
    if (!json_view_is_set(list))
        return 0;
    if (list.kind != JSON_LIST)
        return must_be(r, "tools", "a list");
    struct canon_tool *tools = arena_zalloc(r->arena, (count + 1) * sizeof(*tools));
    if (!tools)
        return ERR_NOMEM;
    r->q->tools = tools;
    while (json_view_next(list, &cursor, &name, &v)) {
        snprintf(member, sizeof(member), "tools.%zu", r->q->tool_count);
        int err = v.kind == JSON_MAP ? read_tool(r, v, &tools[r->q->tool_count]) : ERR_SYNTAX;
        if (err == ERR_SYNTAX)
            return must_be(r, member,
                           "a tool: an object with name and input_schema, or with the "
                           "type of a tool of Anthropic's");
        if (err)
            return err;
        r->q->tool_count++;
    }
    return 0;
}

static int
read_tool_choice(struct reader *r)
{
    static const char *const words[] = {"", "auto", "none", "any", "tool"};
    struct json_view v = r->at[ANTHROPIC_TOOL_CHOICE], type = json_view_get(v, "type");
    struct json_view one = json_view_get(v, "disable_parallel_tool_use");
    if (!json_view_is_set(v))
        return 0;
    for (int i = CHOICE_AUTO; i <= CHOICE_NAMED; i++)
        if (json_view_is(type, words[i]))
            r->q->tool_choice = (enum canon_choice)i;
    if (r->q->tool_choice == CHOICE_ABSENT)
        return must_be(r, "tool_choice.type", "auto, any, tool or none");
    if (one.kind == JSON_TRUE_ || one.kind == JSON_FALSE_)
        r->q->parallel_tools = one.kind == JSON_TRUE_ ? TRI_NO : TRI_YES;
    if (r->q->tool_choice != CHOICE_NAMED)
        return 0;
    int err = json_view_text(json_view_get(v, "name"), r->arena, &r->q->tool_choice_name);
    return err == ERR_SYNTAX ? must_be(r, "tool_choice.name", "a string") : err;
}

/* --- all -------------------------------------------------------------------------------------- */

static int
read_extras(struct reader *r, struct json_view root)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view v;
    while (json_view_next(root, &cursor, &name, &v)) {
        bool known = !json_view_is_set(v);
        for (int i = 0; i < ANTHROPIC_MEMBERS && !known; i++)
            known = slice_is(name, anthropic_members[i]);
        int err = known ? 0 : add_extra(r, "", name, v.raw);
        if (err)
            return err;
    }
    return 0;
}

int
anthropic_read_request(struct slice body, const struct dialect_call *call, struct arena *a,
                       struct canon_request *ret, struct dialect_refusal *why)
{
    struct json_view root = json_view_of(body);
    struct reader r = {.q = ret, .arena = a, .why = why};
    (void)call;
    *ret = (struct canon_request){.origin = DIALECT_ANTHROPIC,
                                  .include_usage = true,
                                  .max_tokens = -1,
                                  .choices = 1,
                                  .top_logprobs = -1,
                                  .reasoning.budget = -1};
    json_view_fields(root, anthropic_members, ANTHROPIC_MEMBERS, r.at);
    size_t most = json_view_count(root) + json_view_count(r.at[ANTHROPIC_OUTPUT_CONFIG]);
    ret->extras = arena_zalloc(a, (most + 1) * sizeof(struct canon_extra));
    if (!ret->extras)
        return ERR_NOMEM;
    int err = read_simple(&r);
    if (!err)
        err = read_thinking(&r);
    if (!err)
        err = read_output_config(&r);
    if (!err)
        err = read_tools(&r);
    if (!err)
        err = read_tool_choice(&r);
    if (!err)
        err = anthropic_read_messages(r.at[ANTHROPIC_SYSTEM], r.at[ANTHROPIC_MESSAGES],
                                      r.at[ANTHROPIC_CACHE], a, ret, why);
    return err ? err : read_extras(&r, root);
}
