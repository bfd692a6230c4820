/* A client's chat request: its top-level members. */
#include "dataplane/dialects/chat_internal.h"

#include <stdio.h>
#include <string.h>

int
chat_refuse(struct chat_reader *r, const char *path, const char *sentence)
{
    if (strstr(sentence, "is missing."))
        r->why->missing = true;
    return dialect_refuse(r->why, ERR_SYNTAX, path, "'%s' %s", path, sentence);
}

/* --- values ----------------------------------------------------------------------------------- */

/* Each of these takes one member, which is neither absent nor null. */
struct member {
    const char *name;
    struct json_view v;
};

static int
take_text(struct chat_reader *r, const struct member *m, struct slice *ret)
{
    int err = json_view_text(m->v, r->arena, ret);
    return err == ERR_SYNTAX ? chat_refuse(r, m->name, "must be a text.") : err;
}

static int
take_number(struct chat_reader *r, const struct member *m, struct slice *ret)
{
    if (m->v.kind != JSON_NUMBER)
        return chat_refuse(r, m->name, "must be a number.");
    *ret = m->v.raw;
    return 0;
}

static int
take_bool(struct chat_reader *r, const struct member *m, enum tri *ret)
{
    if (m->v.kind != JSON_TRUE_ && m->v.kind != JSON_FALSE_)
        return chat_refuse(r, m->name, "must be true or false.");
    *ret = m->v.kind == JSON_TRUE_ ? TRI_YES : TRI_NO;
    return 0;
}

static int
take_int(struct chat_reader *r, const struct member *m, int64_t least, int64_t *ret)
{
    if (json_view_int(m->v, ret) || *ret < least)
        return chat_refuse(
            r, m->name, least ? "must be a positive integer." : "must be an integer, not below 0.");
    return 0;
}

static int
take_map(struct chat_reader *r, const struct member *m, struct slice *ret)
{
    if (m->v.kind != JSON_MAP)
        return chat_refuse(r, m->name, "must be an object.");
    *ret = m->v.raw;
    return 0;
}

static enum tri
tri_of(struct json_view v)
{
    return v.kind == JSON_TRUE_ ? TRI_YES : v.kind == JSON_FALSE_ ? TRI_NO : TRI_ABSENT;
}

/* --- members ---------------------------------------------------------------------------------- */

typedef int take_fn(struct chat_reader *r, const struct member *m);

#define TAKES(function, call)                                                                      \
    static int function(struct chat_reader *r, const struct member *m)                             \
    {                                                                                              \
        return call;                                                                               \
    }
TAKES(take_model, take_text(r, m, &r->q->model))
TAKES(take_temperature, take_number(r, m, &r->q->temperature))
TAKES(take_top_p, take_number(r, m, &r->q->top_p))
TAKES(take_top_k, take_number(r, m, &r->q->top_k))
TAKES(take_frequency_penalty, take_number(r, m, &r->q->frequency_penalty))
TAKES(take_presence_penalty, take_number(r, m, &r->q->presence_penalty))
TAKES(take_seed, take_number(r, m, &r->q->seed))
TAKES(take_choices, take_int(r, m, 1, &r->q->choices))
TAKES(take_max_completion, take_int(r, m, 1, &r->q->max_tokens))
TAKES(take_top_logprobs, take_int(r, m, 0, &r->q->top_logprobs))
TAKES(take_logprobs, take_bool(r, m, &r->q->logprobs))
TAKES(take_logit_bias, take_map(r, m, &r->q->logit_bias_raw))
TAKES(take_parallel, take_bool(r, m, &r->q->parallel_tools))
TAKES(take_store, take_bool(r, m, &r->q->store))
TAKES(take_user, take_text(r, m, &r->q->user))
TAKES(take_metadata, take_map(r, m, &r->q->metadata_raw))
TAKES(take_tier, take_text(r, m, &r->q->service_tier))
TAKES(take_verbosity, take_text(r, m, &r->q->verbosity))
TAKES(take_cache_key, take_text(r, m, &r->q->cache_key))
TAKES(take_effort, take_text(r, m, &r->q->reasoning.effort))

static int
take_max_tokens(struct chat_reader *r, const struct member *m)
{
    int64_t n;
    int err = take_int(r, m, 1, &n);
    if (!err && r->q->max_tokens < 0) /* the newer spelling goes before it */
        r->q->max_tokens = n;
    return err;
}

static int
take_safety_identifier(struct chat_reader *r, const struct member *m)
{
    return r->q->user.at ? 0 : take_text(r, m, &r->q->user);
}

static int
take_stream(struct chat_reader *r, const struct member *m)
{
    enum tri yes = TRI_NO;
    int err = take_bool(r, m, &yes);
    if (!err)
        r->q->stream = yes == TRI_YES;
    return err;
}

static int
take_stream_options(struct chat_reader *r, const struct member *m)
{
    if (m->v.kind != JSON_MAP)
        return chat_refuse(r, m->name, "must be an object.");
    r->q->include_usage = json_view_get(m->v, "include_usage").kind == JSON_TRUE_;
    return 0;
}

static int
take_stop(struct chat_reader *r, const struct member *m)
{
    struct slice name;
    struct json_view one = m->v;
    size_t cursor = 0;
    if (one.kind == JSON_TEXT)
        return take_text(r, m, &r->q->stops[r->q->stop_count++]);
    if (one.kind != JSON_LIST)
        return chat_refuse(r, m->name, "must be a text or a list of texts.");
    while (json_view_next(m->v, &cursor, &name, &one)) {
        if (r->q->stop_count == LIMIT_STOPS)
            return chat_refuse(r, m->name, "must not have more than 16 texts.");
        int err = take_text(r, &(struct member){m->name, one}, &r->q->stops[r->q->stop_count]);
        if (err)
            return err;
        r->q->stop_count++;
    }
    return 0;
}

/* --- reasoning -------------------------------------------------------------------------------- */

/* OpenRouter's {"effort":...,"max_tokens":...,"exclude":...,"enabled":...}. */
static int
take_reasoning(struct chat_reader *r, const struct member *m)
{
    if (m->v.kind != JSON_MAP)
        return chat_refuse(r, m->name, "must be an object.");
    struct json_view effort = json_view_get(m->v, "effort"),
                     budget = json_view_get(m->v, "max_tokens"),
                     enabled = json_view_get(m->v, "enabled");
    if (json_view_is_set(effort) && json_view_text(effort, r->arena, &r->q->reasoning.effort))
        return chat_refuse(r, "reasoning.effort", "must be a text.");
    if (json_view_is_set(budget) &&
        (json_view_int(budget, &r->q->reasoning.budget) || r->q->reasoning.budget < 0))
        return chat_refuse(r, "reasoning.max_tokens", "must be an integer, not below 0.");
    if (enabled.kind == JSON_FALSE_)
        r->q->reasoning.budget = 0;
    else if (enabled.kind == JSON_TRUE_ && !effort.raw.at && !budget.raw.at)
        r->q->reasoning.budget = -2;
    if (json_view_get(m->v, "exclude").kind == JSON_TRUE_)
        r->q->reasoning.show = TRI_NO;
    return 0;
}

/* {"type":"enabled"|"disabled"|"adaptive","budget_tokens":...} of DeepSeek, Z.AI, Fireworks. */
static int
take_thinking(struct chat_reader *r, const struct member *m)
{
    struct json_view type = json_view_get(m->v, "type"),
                     budget = json_view_get(m->v, "budget_tokens");
    if (json_view_is(type, "disabled")) {
        r->q->reasoning.budget = 0;
        return 0;
    }
    if (!json_view_is(type, "enabled") && !json_view_is(type, "adaptive"))
        return chat_refuse(r, "thinking.type", "must be enabled, disabled or adaptive.");
    r->q->reasoning.budget = -2;
    if (json_view_is_set(budget) &&
        (json_view_int(budget, &r->q->reasoning.budget) || r->q->reasoning.budget < 0))
        return chat_refuse(r, "thinking.budget_tokens", "must be an integer, not below 0.");
    return 0;
}

#define LIMIT_TOOLS 1024

/* --- tools ------------------------------------------------------------------------------------ */

static int
refuse_tool(struct chat_reader *r, const char *list, size_t i, const char *member,
            const char *sentence)
{
    char path[CHAT_PATH_BYTES];
    snprintf(path, sizeof(path), "%s[%zu]%s", list, i, member);
    return chat_refuse(r, path, sentence);
}

static int
read_function(struct chat_reader *r, const char *list, size_t i, struct json_view of,
              struct canon_tool *t)
{
    struct json_view schema = json_view_get(of, "parameters"),
                     description = json_view_get(of, "description");
    if (json_view_text(json_view_get(of, "name"), r->arena, &t->name) || t->name.len == 0)
        return refuse_tool(r, list, i, ".name", "must be a text.");
    if (json_view_opt_text(description, r->arena, &t->description))
        return refuse_tool(r, list, i, ".description", "must be a text.");
    if (json_view_is_set(schema) && schema.kind != JSON_MAP)
        return refuse_tool(r, list, i, ".parameters", "must be an object.");
    if (schema.kind == JSON_MAP)
        t->schema_raw = schema.raw;
    t->strict = tri_of(json_view_get(of, "strict"));
    return 0;
}

static int
read_tool(struct chat_reader *r, size_t i, struct json_view tool, struct canon_tool *t)
{
    struct json_view function = json_view_get(tool, "function"),
                     custom = json_view_get(tool, "custom"), type = json_view_get(tool, "type");
    *t = (struct canon_tool){.origin = DIALECT_CHAT,
                             .cache = chat_read_cache(json_view_get(tool, "cache_control"))};
    if (tool.kind != JSON_MAP)
        return refuse_tool(r, "tools", i, "", "must be an object.");
    if (function.kind == JSON_MAP)
        return read_function(r, "tools", i, function, t);
    if (custom.kind == JSON_MAP) {
        struct json_view format = json_view_get(custom, "format");
        t->kind = TOOL_CUSTOM;
        if (json_view_is_set(format))
            t->format_raw = format.raw;
        return read_function(r, "tools", i, custom, t);
    }
    if (type.kind != JSON_TEXT || json_view_is(type, "function") || json_view_is(type, "custom"))
        return refuse_tool(r, "tools", i, "", "must have a 'function' or a 'custom' object.");
    t->kind = TOOL_HOSTED; /* OpenRouter's own */
    t->raw = tool.raw;
    return json_view_text(type, r->arena, &t->name);
}

static int
take_tools(struct chat_reader *r, const struct member *m)
{
    size_t count = json_view_count(m->v), cursor = 0, i = 0;
    struct slice name;
    struct json_view tool;
    bool old = strcmp(m->name, "functions") == 0;
    int err = 0;
    if (m->v.kind != JSON_LIST)
        return chat_refuse(r, m->name, "must be a list.");
    if (count > LIMIT_TOOLS)
        return chat_refuse(r, m->name, "must not have more than 1024 tools.");
    struct canon_tool *tools = arena_zalloc(r->arena, (count + 1) * sizeof(*tools));
    if (!tools)
        return ERR_NOMEM;
    for (; !err && json_view_next(m->v, &cursor, &name, &tool); i++) {
        tools[i].origin = DIALECT_CHAT;
        err =
            old ? read_function(r, m->name, i, tool, &tools[i]) : read_tool(r, i, tool, &tools[i]);
    }
    r->q->tools = tools;
    r->q->tool_count = count;
    r->q->old_functions = old;
    return err;
}

/* {"type":"allowed_tools","allowed_tools":{"mode":...,"tools":[...]}}: only these are offered. */
static int
allow_tools(struct chat_reader *r, struct json_view allowed)
{
    struct json_view list = json_view_get(allowed, "tools"), one;
    struct slice name;
    size_t cursor = 0, kept = 0;
    struct canon_tool *tools = arena_alloc(r->arena, (r->q->tool_count + 1) * sizeof(*tools));
    if (!tools)
        return ERR_NOMEM;
    while (json_view_next(list, &cursor, &name, &one)) {
        struct json_view of = json_view_get(one, "function");
        struct slice wanted;
        if (of.kind != JSON_MAP)
            of = json_view_get(one, "custom");
        if (json_view_text(json_view_get(of, "name"), r->arena, &wanted))
            return chat_refuse(r, "tool_choice.allowed_tools.tools", "must be a list of tools.");
        for (size_t i = 0; i < r->q->tool_count && kept < r->q->tool_count; i++)
            if (slice_eq(r->q->tools[i].name, wanted))
                tools[kept++] = r->q->tools[i];
    }
    r->q->tools = tools;
    r->q->tool_count = kept;
    r->q->tool_choice =
        json_view_is(json_view_get(allowed, "mode"), "required") ? CHOICE_REQUIRED : CHOICE_AUTO;
    return 0;
}

static int
take_tool_choice(struct chat_reader *r, const struct member *m)
{
    static const struct {
        const char *name;
        enum canon_choice choice;
    } words[] = {{"auto", CHOICE_AUTO},
                 {"none", CHOICE_NONE},
                 {"required", CHOICE_REQUIRED},
                 {"any", CHOICE_REQUIRED}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (json_view_is(m->v, words[i].name)) {
            r->q->tool_choice = words[i].choice;
            return 0;
        }
    struct json_view of = m->v, allowed = json_view_get(m->v, "allowed_tools");
    if (allowed.kind == JSON_MAP)
        return allow_tools(r, allowed);
    if (json_view_get(m->v, "function").kind == JSON_MAP)
        of = json_view_get(m->v, "function");
    else if (json_view_get(m->v, "custom").kind == JSON_MAP)
        of = json_view_get(m->v, "custom");
    if (of.kind != JSON_MAP ||
        json_view_text(json_view_get(of, "name"), r->arena, &r->q->tool_choice_name))
        return chat_refuse(r, m->name, "must be auto, none, required or name a tool.");
    r->q->tool_choice = CHOICE_NAMED;
    return 0;
}

/* --- the format of the answer ----------------------------------------------------------------- */

static int
take_response_format(struct chat_reader *r, const struct member *m)
{
    struct json_view type = json_view_get(m->v, "type"), of = json_view_get(m->v, "json_schema"),
                     schema = json_view_get(of, "schema");
    if (json_view_is(type, "text"))
        return 0;
    if (json_view_is(type, "json_object")) {
        r->q->format = FORMAT_JSON;
        return 0;
    }
    if (!json_view_is(type, "json_schema"))
        return chat_refuse(r, "response_format.type", "must be text, json_object or json_schema.");
    if (of.kind != JSON_MAP || (json_view_is_set(schema) && schema.kind != JSON_MAP))
        return chat_refuse(r, "response_format.json_schema", "must be an object with a 'schema'.");
    r->q->format = FORMAT_SCHEMA;
    r->q->format_schema_raw = json_view_is_set(schema) ? schema.raw : SLICE("{}");
    r->q->format_strict = tri_of(json_view_get(of, "strict"));
    if (json_view_opt_text(json_view_get(of, "name"), r->arena, &r->q->format_name) ||
        json_view_opt_text(json_view_get(of, "description"), r->arena, &r->q->format_description))
        return chat_refuse(r, "response_format.json_schema.name", "must be a text.");
    return 0;
}

/* Text alone is what everybody gives. */
static bool
is_text_only(struct json_view list)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view one;
    while (json_view_next(list, &cursor, &name, &one))
        if (!json_view_is(one, "text"))
            return false;
    return list.kind == JSON_LIST;
}

/* --- the table -------------------------------------------------------------------------------- */

/* In the order in which they are read: a later one may look at an earlier one. */
static const struct {
    const char *name;
    take_fn *take;
} members[] = {
    {"model", take_model},
    {"stream", take_stream},
    {"stream_options", take_stream_options},
    {"max_completion_tokens", take_max_completion},
    {"max_tokens", take_max_tokens},
    {"temperature", take_temperature},
    {"top_p", take_top_p},
    {"top_k", take_top_k},
    {"frequency_penalty", take_frequency_penalty},
    {"presence_penalty", take_presence_penalty},
    {"seed", take_seed},
    {"random_seed", take_seed}, /* Mistral's clients */
    {"n", take_choices},
    {"stop", take_stop},
    {"logit_bias", take_logit_bias},
    {"logprobs", take_logprobs},
    {"top_logprobs", take_top_logprobs},
    {"functions", take_tools},
    {"tools", take_tools},
    {"function_call", take_tool_choice},
    {"tool_choice", take_tool_choice},
    {"parallel_tool_calls", take_parallel},
    {"response_format", take_response_format},
    {"thinking", take_thinking},
    {"reasoning", take_reasoning},
    {"reasoning_effort", take_effort},
    {"user", take_user},
    {"safety_identifier", take_safety_identifier},
    {"metadata", take_metadata},
    {"service_tier", take_tier},
    {"verbosity", take_verbosity},
    {"prompt_cache_key", take_cache_key},
    {"store", take_store},
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

static bool
is_read(struct slice name)
{
    for (size_t i = 0; i < MEMBERS; i++)
        if (slice_is(name, members[i].name))
            return true;
    return slice_is(name, "messages");
}

/* What has no canonical meaning, but for what says nothing. */
static int
read_extras(struct chat_reader *r, struct json_view root)
{
    size_t cursor = 0, n = 0;
    struct slice name;
    struct json_view v;
    struct canon_extra *extras =
        arena_alloc(r->arena, (json_view_count(root) + 1) * sizeof(*extras));
    if (!extras)
        return ERR_NOMEM;
    while (json_view_next(root, &cursor, &name, &v))
        if (json_view_is_set(v) && !is_read(name) &&
            !(slice_is(name, "modalities") && is_text_only(v)))
            extras[n++] = (struct canon_extra){name, v.raw};
    r->q->extras = extras;
    r->q->extra_count = n;
    return 0;
}

int
chat_read_request(struct slice body, const struct dialect_call *call, struct arena *a,
                  struct canon_request *ret, struct dialect_refusal *why)
{
    struct json_view root = json_view_of(body), v[MEMBERS];
    const char *names[MEMBERS];
    struct chat_reader r = {.arena = a, .why = why, .q = ret};
    (void)call;
    *ret = (struct canon_request){.origin = DIALECT_CHAT,
                                  .max_tokens = -1,
                                  .choices = 1,
                                  .top_logprobs = -1,
                                  .reasoning = {.budget = -1}};
    for (size_t i = 0; i < MEMBERS; i++)
        names[i] = members[i].name;
    json_view_fields(root, names, MEMBERS, v);
    for (size_t i = 0; i < MEMBERS; i++) {
        if (!json_view_is_set(v[i]))
            continue;
        int err = members[i].take(&r, &(struct member){members[i].name, v[i]});
        if (err)
            return err;
    }
    int err = chat_read_messages(&r, json_view_get(root, "messages"));
    return err ? err : read_extras(&r, root);
}
