/* A request as Bedrock's Converse takes it. The model stands in the path. */
#include "dataplane/dialects/converse_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_BUDGET 1024 /* of Claude's thinking */

/* --- numbers ---------------------------------------------------------------------------------- */

/* A JSON number's value, for comparisons only; what is sent is its text. */
static double
value_of(struct slice number)
{
    char text[64];
    if (number.len >= sizeof(text))
        return 0;
    memcpy(text, number.at, number.len);
    text[number.len] = '\0';
    return strtod(text, NULL);
}

static bool
is_number(struct slice number, double value)
{
    return number.len && value_of(number) >= value && value_of(number) <= value;
}

/* --- system ----------------------------------------------------------------------------------- */

static void
write_note(struct converse_writing *c, const char *note)
{
    emit_map(&c->e);
    emit_str_member(&c->e, "text", note);
    emit_end_map(&c->e);
}

static int
write_schema_note(struct converse_writing *c)
{
    char *note = arena_printf(c->w->arena,
                              "Answer with one JSON object that is valid under this JSON Schema, "
                              "and with nothing else: %.*s",
                              SLICE_ARG(c->q->format_schema_raw));
    if (!note)
        return ERR_NOMEM;
    write_note(c, note);
    return 0;
}

/* What has no member of its own is asked for in words. */
static int
write_notes(struct converse_writing *c)
{
    const struct canon_request *q = c->q;
    if (q->tool_choice == CHOICE_NONE && c->call && c->gives_tools)
        write_note(c, "Do not call any tool in your next answer.");
    if (q->format == FORMAT_JSON)
        write_note(c, "Answer with one JSON object and with nothing else.");
    if (q->format == FORMAT_SCHEMA && c->model.json == CONVERSE_JSON_ASKED)
        return write_schema_note(c);
    return 0;
}

static void
write_system_parts(struct converse_writing *c, const struct canon_message *m)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct canon_part *p = &m->parts[i];
        if (p->kind != PART_TEXT || slice_trim(p->text).len == 0)
            continue;
        emit_map(&c->e);
        emit_text_member(&c->e, "text", p->text);
        emit_end_map(&c->e);
        converse_write_cache(c, p->cache);
    }
}

/* All system messages, wherever they stand: there is one place for them. */
static int
write_system(struct converse_writing *c)
{
    const struct json_emit before = c->e;
    size_t start = c->e.into->len;
    emit_name(&c->e, "system");
    emit_list(&c->e);
    size_t empty = c->e.into->len;
    for (size_t i = 0; i < c->q->message_count && !c->is_lone_system; i++) {
        const struct canon_message *m = &c->q->messages[i];
        if (m->role == ROLE_SYSTEM || m->role == ROLE_DEVELOPER)
            write_system_parts(c, m);
    }
    int err = write_notes(c);
    if (!c->e.err && c->e.into->len == empty) {
        c->e.into->len = start;
        c->e = before;
        return err;
    }
    emit_end_list(&c->e);
    return err;
}

/* --- thinking --------------------------------------------------------------------------------- */

/* What was asked for, as an effort; empty: nothing. */
static struct slice
effort_of(const struct canon_request *q)
{
    if (q->reasoning.effort.len)
        return q->reasoning.effort;
    if (q->reasoning.budget >= 0)
        return slice_of(canon_effort_of_budget(q->reasoning.budget));
    return q->reasoning.budget == -2 ? SLICE("medium") : (struct slice){0};
}

/* A budget below max_tokens, of which it is a part; 0: there is no room. */
static int64_t
claude_budget(const struct canon_request *q)
{
    int64_t budget =
        q->reasoning.budget > 0 ? q->reasoning.budget : canon_budget_of_effort(effort_of(q));
    if (budget < MIN_BUDGET)
        budget = MIN_BUDGET;
    if (q->max_tokens >= 0 && budget >= q->max_tokens)
        budget = q->max_tokens - 1;
    return budget < MIN_BUDGET ? 0 : budget;
}

static int
leave_thinking(struct converse_writing *c, const char *reason)
{
    int err = dialect_leave_out(c->w, anthropic_said(c->q, SAID_REASONING), reason);
    return err < 0 ? err : 0;
}

/* A turn that goes on behind results of tools must begin with its signed thinking. */
static bool
lacks_signed_thinking(const struct canon_request *q)
{
    size_t i = q->message_count;
    bool has_results = false;
    while (i > 0 && q->messages[i - 1].role != ROLE_ASSISTANT)
        has_results |= q->messages[--i].role == ROLE_TOOL;
    while (i > 1 && q->messages[i - 2].role == ROLE_ASSISTANT)
        i--;
    if (!has_results || i == 0)
        return false;
    const struct canon_message *first = &q->messages[i - 1];
    const struct canon_part *p = first->count ? &first->parts[0] : NULL;
    return !p || p->kind != PART_REASONING || p->origin != DIALECT_CONVERSE ||
           !(p->signature.len || p->encrypted.len);
}

static struct slice
claude_effort(const struct anthropic_model *m, struct slice effort)
{
    if (slice_is(effort, "minimal"))
        return SLICE("low");
    if ((slice_is(effort, "xhigh") && !m->xhigh) || (slice_is(effort, "max") && !m->max))
        return SLICE("high");
    return effort;
}

static void
write_adaptive(struct converse_writing *c, struct slice effort)
{
    struct json_emit *e = &c->e;
    emit_name(e, "thinking");
    emit_map(e);
    emit_str_member(e, "type", "adaptive");
    emit_end_map(e);
    emit_name(e, "output_config");
    emit_map(e);
    emit_text_member(e, "effort", claude_effort(c->model.claude, effort));
    emit_end_map(e);
}

static void
write_budget(struct converse_writing *c, int64_t budget)
{
    struct json_emit *e = &c->e;
    emit_name(e, "thinking");
    emit_map(e);
    emit_str_member(e, "type", "enabled");
    emit_int_member(e, "budget_tokens", budget);
    emit_end_map(e);
}

static int
write_claude_thinking(struct converse_writing *c, struct slice effort)
{
    const struct anthropic_model *m = c->model.claude;
    int64_t budget = claude_budget(c->q);
    if (!m->thinks)
        return leave_thinking(c, "runs a model that does not think");
    if (!m->adaptive && budget == 0)
        return leave_thinking(c, "thinks with a max_tokens above 1024 only");
    if (!m->adaptive && lacks_signed_thinking(c->q))
        return leave_thinking(c, "demands the signed thinking of the turn that its calls are of");
    c->thinks = true;
    if (m->adaptive)
        write_adaptive(c, effort);
    else
        write_budget(c, budget);
    return 0;
}

static struct slice
three_efforts(struct slice effort)
{
    if (slice_is(effort, "minimal"))
        return SLICE("low");
    return slice_is(effort, "xhigh") || slice_is(effort, "max") ? SLICE("high") : effort;
}

static void
write_nova_thinking(struct converse_writing *c, struct slice effort)
{
    c->thinks = true;
    emit_name(&c->e, "reasoningConfig");
    emit_map(&c->e);
    emit_str_member(&c->e, "type", "enabled");
    emit_text_member(&c->e, "maxReasoningEffort", three_efforts(effort));
    emit_end_map(&c->e);
}

/* The newest Claudes think unless they are told not to. */
static void
write_no_thinking(struct converse_writing *c)
{
    if (!c->model.claude || !c->model.claude->unasked)
        return;
    emit_name(&c->e, "thinking");
    emit_map(&c->e);
    emit_str_member(&c->e, "type", "disabled");
    emit_end_map(&c->e);
}

static int
write_thinking(struct converse_writing *c)
{
    struct slice effort = effort_of(c->q);
    if (!effort.len)
        return 0;
    if (slice_is(effort, "none")) {
        write_no_thinking(c);
        return 0;
    }
    switch (c->model.family) {
    case CONVERSE_CLAUDE:
        return write_claude_thinking(c, effort);
    case CONVERSE_NOVA_2:
        write_nova_thinking(c, effort);
        return 0;
    case CONVERSE_GPT_OSS:
        c->thinks = true;
        emit_text_member(&c->e, "reasoning_effort", three_efforts(effort));
        return 0;
    default:
        return leave_thinking(c, "cannot tell this model how much to think");
    }
}

/* --- sampling --------------------------------------------------------------------------------- */

/* A thinking Claude samples as it does, and so do the newest. */
static bool
samples_freely(const struct converse_writing *c)
{
    return !c->model.claude || (!c->thinks && c->model.claude->sampling);
}

static int
write_top_k(struct converse_writing *c)
{
    int err = 0;
    if (!c->q->top_k.len)
        return 0;
    switch (c->model.family) {
    case CONVERSE_CLAUDE:
        if (samples_freely(c))
            emit_opt_raw(&c->e, "top_k", c->q->top_k);
        break;
    case CONVERSE_NOVA:
    case CONVERSE_NOVA_2:
        emit_name(&c->e, "inferenceConfig");
        emit_map(&c->e);
        emit_opt_raw(&c->e, "topK", c->q->top_k);
        emit_end_map(&c->e);
        break;
    default:
        err = dialect_leave_out(c->w, "top_k", "has no top_k for this model");
    }
    return err < 0 ? err : 0;
}

/* What is over the range is meant to be as much as there is. */
static void
write_temperature(struct converse_writing *c)
{
    struct slice t = c->q->temperature;
    if (t.len && samples_freely(c))
        emit_opt_raw(&c->e, "temperature", value_of(t) > 1 ? SLICE("1") : t);
}

/* A top_p of 1 is no choice at all: it does not stand in the way of a temperature. */
static void
write_top_p(struct converse_writing *c)
{
    bool is_idle = is_number(c->q->top_p, 1) && c->q->temperature.len && c->model.claude &&
                   !c->model.claude->both;
    if (c->q->top_p.len && !is_idle && samples_freely(c))
        emit_opt_raw(&c->e, "topP", c->q->top_p);
}

static void
write_stops(struct converse_writing *c)
{
    bool any = false;
    for (size_t i = 0; i < c->q->stop_count; i++)
        any |= c->q->stops[i].len > 0;
    if (!any)
        return;
    emit_name(&c->e, "stopSequences");
    emit_list(&c->e);
    for (size_t i = 0; i < c->q->stop_count; i++)
        if (c->q->stops[i].len)
            emit_text(&c->e, c->q->stops[i]);
    emit_end_list(&c->e);
}

static void
write_inference(struct converse_writing *c)
{
    emit_name(&c->e, "inferenceConfig");
    emit_map(&c->e);
    if (c->q->max_tokens >= 0)
        emit_int_member(&c->e, "maxTokens", c->q->max_tokens);
    write_temperature(c);
    write_top_p(c);
    write_stops(c);
    emit_end_map(&c->e);
}

/* What only some families have; before the rest, since thinking decides about it. */
static int
write_additional(struct converse_writing *c)
{
    const struct json_emit before = c->e;
    size_t start = c->e.into->len;
    emit_name(&c->e, "additionalModelRequestFields");
    emit_map(&c->e);
    size_t empty = c->e.into->len;
    int err = write_thinking(c);
    if (!err)
        err = write_top_k(c);
    if (!c->e.err && c->e.into->len == empty) {
        c->e.into->len = start;
        c->e = before;
        return err;
    }
    emit_end_map(&c->e);
    return err;
}

/* --- output, tier, metadata ------------------------------------------------------------------- */

static void
write_format(struct converse_writing *c)
{
    const struct canon_request *q = c->q;
    struct json_emit *e = &c->e;
    if (q->format != FORMAT_SCHEMA || c->model.json != CONVERSE_JSON_NATIVE)
        return;
    emit_name(e, "outputConfig");
    emit_map(e);
    emit_name(e, "textFormat");
    emit_map(e);
    emit_str_member(e, "type", "json_schema");
    emit_name(e, "structure");
    emit_map(e);
    emit_name(e, "jsonSchema");
    emit_map(e);
    emit_opt_text(e, "name", q->format_name);
    emit_opt_text(e, "description", q->format_description);
    emit_text_member(e, "schema", q->format_schema_raw.len ? q->format_schema_raw : SLICE("{}"));
    for (int i = 0; i < 4; i++)
        emit_end_map(e);
}

static void
write_tier(struct converse_writing *c)
{
    struct slice tier = c->q->service_tier;
    if (!tier.len || slice_is(tier, "auto"))
        return;
    if (slice_is(tier, "standard") || slice_is(tier, "standard_only"))
        tier = SLICE("default");
    emit_name(&c->e, "serviceTier");
    emit_map(&c->e);
    emit_text_member(&c->e, "type", tier);
    emit_end_map(&c->e);
}

/* --- the rest --------------------------------------------------------------------------------- */

/* Converse's own members, which clients of other dialects may give by name. */
static const char *const own_members[] = {"guardrailConfig", "performanceConfig", NULL};

/* Those change nothing about the answer, or stand elsewhere in the canonical form already. */
static const char *const harmless[] = {"guardrailConfig",        "performanceConfig",
                                       "stream_options",         "safety_identifier",
                                       "prompt_cache_retention", NULL};

static void
write_own_members(struct converse_writing *c)
{
    for (size_t i = 0; i < c->q->extra_count; i++)
        for (size_t k = 0; own_members[k]; k++)
            if (slice_is(c->q->extras[i].name, own_members[k]))
                emit_opt_raw(&c->e, own_members[k], c->q->extras[i].raw);
}

/* What Converse has no member for, each with the feature that the request asks for by it. */
static int
check_features(struct converse_writing *c)
{
    const struct canon_request *q = c->q;
    const struct {
        bool asked;
        enum feature feature;
        const char *member;
    } rows[] = {
        {q->frequency_penalty.len && !is_number(q->frequency_penalty, 0), FEATURE_PENALTIES,
         "frequency_penalty"},
        {q->presence_penalty.len && !is_number(q->presence_penalty, 0), FEATURE_PENALTIES,
         "presence_penalty"},
        {q->seed.len > 0, FEATURE_SEED, "seed"},
        {q->choices > 1, FEATURE_CHOICES, "n"},
        {q->logprobs == TRI_YES || q->top_logprobs > 0, FEATURE_LOGPROBS, "logprobs"},
        {q->logit_bias_raw.len > 0 && !slice_is(q->logit_bias_raw, "{}"), FEATURE_LOGIT_BIAS,
         "logit_bias"},
        {q->parallel_tools == TRI_NO && c->gives_tools, FEATURE_PARALLEL_TOOLS_OFF,
         "parallel_tool_calls"},
        {q->verbosity.len && !slice_is(q->verbosity, "medium"), FEATURE_VERBOSITY, "verbosity"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int err = rows[i].asked ? dialect_need(c->w, rows[i].feature, rows[i].member) : 0;
        if (err < 0)
            return err;
    }
    int err = dialect_leave_extras(c->w, q, harmless);
    return err < 0 ? err : 0;
}

/* A call that stands for the answer has to be forced, which does not go with Claude's thinking, and
 * has an object for its arguments: else the answer is asked for in words. */
static void
choose_json(struct converse_writing *c)
{
    struct json_view schema = json_view_of(c->q->format_schema_raw);
    bool is_object = json_view_is(json_view_get(schema, "type"), "object");
    if (c->model.json == CONVERSE_JSON_TOOL && ((c->thinks && c->model.claude) || !is_object))
        c->model.json = CONVERSE_JSON_ASKED;
    c->w->json_by_tool = c->q->format == FORMAT_SCHEMA && c->model.json == CONVERSE_JSON_TOOL;
}

static int
write_body(struct converse_writing *c)
{
    int err = converse_write_messages(c);
    if (!err)
        err = write_additional(c);
    choose_json(c);
    if (!err)
        err = write_system(c);
    if (!err)
        err = converse_write_tools(c);
    if (err)
        return err;
    write_inference(c);
    write_format(c);
    write_tier(c);
    write_own_members(c);
    return converse_write_metadata(c);
}

int
converse_write_request(const struct canon_request *q, struct dialect_writer *w, struct buf *into)
{
    struct converse_writing c = {
        .e = json_emit_into(into), .w = w, .q = q, .model = converse_model_of(w->target->model)};
    converse_look_at_tools(&c);
    int err = check_features(&c);
    if (err)
        return err;
    emit_map(&c.e);
    err = write_body(&c);
    emit_end_map(&c.e);
    return err ? err : c.e.err;
}
