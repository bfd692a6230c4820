/* A request to Anthropic, from the canonical form. */
#include "dataplane/dialects/anthropic_internal.h"

#include <string.h>

/* --- tools ------------------------------------------------------------------------------------ */

/* A schema of arguments must be of an object. */
static void
emit_input_schema(struct json_emit *e, const struct canon_tool *t, bool strict, struct arena *a)
{
    struct json_view schema = json_view_of(t->schema_raw);
    emit_name(e, "input_schema");
    if (strict) {
        anthropic_emit_schema(e, schema, a);
    } else if (json_view_is_set(json_view_get(schema, "type"))) {
        emit_raw(e, schema.raw);
    } else {
        emit_map(e);
        emit_str_member(e, "type", "object");
        emit_members_of(e, schema.kind == JSON_MAP ? schema.raw : SLICE("{}"));
        emit_end_map(e);
    }
}

static void
emit_function(struct json_emit *e, const struct canon_tool *t, struct anthropic_plan *p,
              struct arena *a)
{
    bool strict = t->strict == TRI_YES && p->model->schema &&
                  anthropic_schema_fits(json_view_of(t->schema_raw));
    emit_map(e);
    emit_text_member(e, "name", t->name);
    emit_opt_text(e, "description", t->description);
    emit_input_schema(e, t, strict && t->origin != DIALECT_ANTHROPIC, a);
    if (strict || (t->strict == TRI_YES && t->origin == DIALECT_ANTHROPIC))
        emit_bool_member(e, "strict", true);
    anthropic_emit_cache(e, p, t->cache);
    if (t->origin == DIALECT_ANTHROPIC && t->raw.at)
        emit_members_of(e, t->raw);
    emit_end_map(e);
}

static void
emit_json_tool(struct json_emit *e, const struct canon_request *q)
{
    emit_map(e);
    emit_str_member(e, "name", JSON_TOOL_NAME);
    emit_text_member(e, "description",
                     q->format_description.len
                         ? q->format_description
                         : SLICE("Give your answer to the user by calling this tool."));
    emit_name(e, "input_schema");
    emit_raw(e, q->format_schema_raw);
    emit_end_map(e);
}

static bool
is_sent(const struct canon_tool *t)
{
    return t->kind == TOOL_FUNCTION || (t->kind == TOOL_HOSTED && t->origin == DIALECT_ANTHROPIC);
}

static bool
has_tools(const struct canon_request *q)
{
    struct json_view options;
    if (anthropic_asks_search(q, &options))
        return true;
    for (size_t i = 0; i < q->tool_count; i++)
        if (is_sent(&q->tools[i]))
            return true;
    return false;
}

static void
emit_tools(struct json_emit *e, const struct canon_request *q, struct anthropic_plan *p,
           struct arena *a)
{
    struct json_view search;
    if (!has_tools(q) && p->json != JSON_TOOL)
        return;
    emit_name(e, "tools");
    emit_list(e);
    for (size_t i = 0; i < q->tool_count; i++)
        if (q->tools[i].kind == TOOL_FUNCTION)
            emit_function(e, &q->tools[i], p, a);
        else if (is_sent(&q->tools[i]))
            emit_raw(e, q->tools[i].raw);
    if (anthropic_asks_search(q, &search))
        anthropic_emit_search(e, search);
    if (p->json == JSON_TOOL)
        emit_json_tool(e, q);
    emit_end_list(e);
}

static void
emit_choice_of(struct json_emit *e, const char *type, struct slice name, bool one_only)
{
    emit_name(e, "tool_choice");
    emit_map(e);
    emit_str_member(e, "type", type);
    if (name.len)
        emit_text_member(e, "name", name);
    if (one_only)
        emit_bool_member(e, "disable_parallel_tool_use", true);
    emit_end_map(e);
}

static void
emit_tool_choice(struct json_emit *e, const struct canon_request *q, const struct anthropic_plan *p)
{
    bool one_only = q->parallel_tools == TRI_NO, tools = has_tools(q);
    struct slice none = {0};
    if (p->json == JSON_TOOL && (!tools || q->tool_choice == CHOICE_NONE)) {
        emit_choice_of(e, "tool", SLICE(JSON_TOOL_NAME), true);
        return;
    }
    if (p->json == JSON_TOOL) {
        emit_choice_of(e, "any", none, one_only); /* a call, or the answer */
        return;
    }
    if (!tools)
        return;
    switch (q->tool_choice) {
    case CHOICE_NONE:
        emit_choice_of(e, "none", none, false);
        break;
    case CHOICE_REQUIRED:
        emit_choice_of(e, "any", none, one_only);
        break;
    case CHOICE_NAMED:
        emit_choice_of(e, "tool", q->tool_choice_name, one_only);
        break;
    default:
        if (q->tool_choice == CHOICE_AUTO || one_only)
            emit_choice_of(e, "auto", none, one_only);
        break;
    }
}

/* --- sampling --------------------------------------------------------------------------------- */

static bool
is_thinking(const struct anthropic_plan *p)
{
    return p->thinking == THINK_BUDGET || p->thinking == THINK_ADAPTIVE;
}

/* Whether a sampling member is written: 1, or 0 (left out, or its value is what it is anyway). */
static int
may_sample(const struct anthropic_plan *p, struct dialect_writer *w, struct slice value,
           const char *member)
{
    bool refused = is_thinking(p) || !p->model->sampling;
    if (value.len == 0 || !refused)
        return value.len > 0;
    if (anthropic_number_is(value, 1))
        return 0;
    int err = dialect_leave_out(w, member,
                                is_thinking(p) ? "does not take it while the model thinks"
                                               : "runs a model that does not take it");
    return err < 0 ? err : 0;
}

static int
emit_sampling(struct json_emit *e, const struct canon_request *q, struct dialect_writer *w,
              const struct anthropic_plan *p)
{
    const char *top_p_name = anthropic_said(q, SAID_TOP_P);
    int temperature = may_sample(p, w, q->temperature, anthropic_said(q, SAID_TEMPERATURE));
    int top_p = may_sample(p, w, q->top_p, top_p_name);
    int top_k = may_sample(p, w, q->top_k, anthropic_said(q, SAID_TOP_K));
    if (temperature < 0 || top_p < 0 || top_k < 0)
        return temperature < 0 ? temperature : top_p < 0 ? top_p : top_k;
    if (temperature && top_p && !p->model->both) {
        if (anthropic_number_is(q->temperature, 1) && !anthropic_number_is(q->top_p, 1)) {
            temperature = 0;
        } else {
            top_p = 0;
            int err = anthropic_number_is(q->top_p, 1)
                          ? 0
                          : dialect_leave_out(w, top_p_name,
                                              "runs a model that takes either this or temperature");
            if (err < 0)
                return err;
        }
    }
    if (temperature)
        emit_opt_raw(e, "temperature",
                     anthropic_number_above(q->temperature, 1) ? SLICE("1") : q->temperature);
    if (top_p)
        emit_opt_raw(e, "top_p", q->top_p);
    if (top_k)
        emit_opt_raw(e, "top_k", q->top_k);
    return 0;
}

/* A stop sequence of blanks alone is refused. */
static int
emit_stops(struct json_emit *e, const struct canon_request *q, struct dialect_writer *w)
{
    size_t count = 0;
    bool sent[LIMIT_STOPS] = {false};
    for (size_t i = 0; i < q->stop_count; i++) {
        sent[i] = anthropic_has_words(q->stops[i]);
        int err = sent[i] ? 0
                          : dialect_leave_out(w, anthropic_said(q, SAID_STOP),
                                              "takes no stop sequence of white space alone");
        if (err < 0)
            return err;
        count += sent[i];
    }
    if (count == 0)
        return 0;
    emit_name(e, "stop_sequences");
    emit_list(e);
    for (size_t i = 0; i < q->stop_count; i++)
        if (sent[i])
            emit_text(e, q->stops[i]);
    emit_end_list(e);
    return 0;
}

/* --- thinking and structured output ----------------------------------------------------------- */

static void
emit_thinking(struct json_emit *e, const struct canon_request *q, const struct anthropic_plan *p)
{
    static const char *const types[] = {"", "disabled", "enabled", "adaptive"};
    bool hidden = q->reasoning.show == TRI_NO;
    if (p->thinking == THINK_UNSAID)
        return;
    emit_name(e, "thinking");
    emit_map(e);
    emit_str_member(e, "type", types[p->thinking]);
    if (p->thinking == THINK_BUDGET)
        emit_int_member(e, "budget_tokens", p->budget);
    /* Models without a budget show nothing of their thinking unless they are asked to. */
    if (p->thinking == THINK_ADAPTIVE && (hidden || !p->model->manual || q->reasoning.show))
        emit_str_member(e, "display", hidden ? "omitted" : "summarized");
    emit_end_map(e);
}

#define OUTPUT_CONFIG "output_config."

static bool
is_of_output_config(const struct canon_request *q, const struct canon_extra *x)
{
    return q->origin == DIALECT_ANTHROPIC && slice_starts(x->name, SLICE(OUTPUT_CONFIG));
}

static void
emit_output_config(struct json_emit *e, const struct canon_request *q,
                   const struct anthropic_plan *p, struct arena *a)
{
    bool any = p->effort || p->json == JSON_NATIVE;
    for (size_t i = 0; i < q->extra_count; i++)
        any |= is_of_output_config(q, &q->extras[i]);
    if (!any)
        return;
    emit_name(e, "output_config");
    emit_map(e);
    if (p->effort)
        emit_str_member(e, "effort", p->effort);
    if (p->json == JSON_NATIVE) {
        emit_name(e, "format");
        emit_map(e);
        emit_str_member(e, "type", "json_schema");
        emit_name(e, "schema");
        if (q->origin == DIALECT_ANTHROPIC)
            emit_raw(e, q->format_schema_raw);
        else
            anthropic_emit_schema(e, json_view_of(q->format_schema_raw), a);
        emit_end_map(e);
    }
    for (size_t i = 0; i < q->extra_count; i++)
        if (is_of_output_config(q, &q->extras[i])) {
            char *name = arena_strdup(a, slice_from(q->extras[i].name, sizeof(OUTPUT_CONFIG) - 1));
            if (!name)
                e->err = ERR_NOMEM;
            else
                emit_opt_raw(e, name, q->extras[i].raw);
        }
    emit_end_map(e);
}

/* --- the rest --------------------------------------------------------------------------------- */

static int
emit_tier(struct json_emit *e, const struct canon_request *q, struct dialect_writer *w)
{
    struct slice tier = q->service_tier;
    if (tier.len == 0)
        return 0;
    if (slice_is(tier, "default") || slice_is(tier, "standard_only")) {
        emit_str_member(e, "service_tier", "standard_only");
        return 0;
    }
    if (slice_is(tier, "auto") || slice_is(tier, "priority")) {
        emit_str_member(e, "service_tier", "auto");
        return 0;
    }
    int err = dialect_leave_out(w, anthropic_said(q, SAID_TIER), "has no such tier");
    return err < 0 ? err : 0;
}

/* Hints about caching and safety that change nothing about the answer. */
static const char *const harmless[] = {"safety_identifier",
                                       "prompt_cache_key",
                                       "prompt_cache_retention",
                                       "store",
                                       "web_search_options", /* a tool, here */
                                       NULL};

static int
emit_extras(struct json_emit *e, const struct canon_request *q, struct dialect_writer *w)
{
    if (q->origin != DIALECT_ANTHROPIC) {
        int err = dialect_leave_extras(w, q, harmless);
        return err < 0 ? err : 0;
    }
    for (size_t i = 0; i < q->extra_count; i++) {
        if (is_of_output_config(q, &q->extras[i]))
            continue;
        char *name = arena_strdup(w->arena, q->extras[i].name);
        if (!name)
            return ERR_NOMEM;
        emit_opt_raw(e, name, q->extras[i].raw);
    }
    return 0;
}

static void
emit_user(struct json_emit *e, struct slice user)
{
    if (user.len == 0)
        return;
    emit_name(e, "metadata");
    emit_map(e);
    emit_text_member(e, "user_id", user);
    emit_end_map(e);
}

int
anthropic_write_request(const struct canon_request *q, struct dialect_writer *w, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    struct anthropic_plan p;
    int err = anthropic_make_plan(q, w, &p);
    if (err)
        return err;
    emit_map(&e);
    emit_text_member(&e, "model", w->target->model);
    emit_int_member(&e, "max_tokens", p.max_tokens);
    if (q->stream)
        emit_bool_member(&e, "stream", true);
    emit_tools(&e, q, &p, w->arena);
    emit_tool_choice(&e, q, &p);
    anthropic_emit_turns(&e, q, &p, w->arena);
    emit_thinking(&e, q, &p);
    emit_output_config(&e, q, &p, w->arena);
    err = emit_sampling(&e, q, w, &p);
    if (!err)
        err = emit_stops(&e, q, w);
    if (!err)
        err = emit_tier(&e, q, w);
    emit_user(&e, q->user);
    if (!err)
        err = emit_extras(&e, q, w);
    emit_end_map(&e);
    return err ? err : e.err;
}
