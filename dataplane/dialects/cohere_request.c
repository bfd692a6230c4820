/* A request as Cohere's v2 chat takes it. */
#include "dataplane/dialects/cohere_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_COHERE_STOPS 5

/* --- tools ------------------------------------------------------------------------------------ */

static void
write_function(struct json_emit *e, const struct canon_tool *t)
{
    emit_map(e);
    emit_str_member(e, "type", "function");
    emit_name(e, "function");
    emit_map(e);
    emit_text_member(e, "name", t->name);
    emit_opt_text(e, "description", t->description);
    emit_name(e, "parameters");
    emit_raw(e,
             t->schema_raw.len ? t->schema_raw : SLICE("{\"type\":\"object\",\"properties\":{}}"));
    emit_end_map(e);
    emit_end_map(e);
}

static int
write_tool(struct json_emit *e, struct dialect_writer *w, const struct canon_tool *t, size_t index)
{
    char member[32];
    int err;
    snprintf(member, sizeof(member), "tools[%zu]", index);
    switch (t->kind) {
    case TOOL_FUNCTION:
        write_function(e, t);
        return 0;
    case TOOL_CUSTOM:
        err = dialect_need(w, FEATURE_CUSTOM_TOOLS, member);
        break;
    case TOOL_HOSTED:
        err = dialect_leave_out(w, member, "does not run this tool");
        break;
    default:
        err = ERR_BAD_STATE;
    }
    return err < 0 ? err : 0;
}

/* Cohere can be told to call some tool, not which: the one that is wanted is given alone. */
static bool
is_given(const struct canon_request *q, const struct canon_tool *t)
{
    return q->tool_choice != CHOICE_NAMED || slice_eq(t->name, q->tool_choice_name);
}

/* Cohere binds the model to all schemas or to none. */
static bool
all_are_strict(const struct canon_request *q)
{
    for (size_t i = 0; i < q->tool_count; i++)
        if (is_given(q, &q->tools[i]) && q->tools[i].strict != TRI_YES)
            return false;
    return true;
}

static int
write_tools(struct json_emit *e, const struct canon_request *q, struct dialect_writer *w)
{
    const struct json_emit before = *e;
    size_t start = e->into->len;
    int err = 0;
    if (q->tool_count == 0)
        return 0;
    emit_name(e, "tools");
    emit_list(e);
    size_t empty = e->into->len;
    for (size_t i = 0; i < q->tool_count && !err; i++)
        if (is_given(q, &q->tools[i]))
            err = write_tool(e, w, &q->tools[i], i);
    if (!err && !e->err && e->into->len == empty) { /* all were left out */
        e->into->len = start;
        *e = before;
        return 0;
    }
    emit_end_list(e);
    if (all_are_strict(q))
        emit_bool_member(e, "strict_tools", true);
    if (q->tool_choice == CHOICE_REQUIRED || q->tool_choice == CHOICE_NAMED)
        emit_str_member(e, "tool_choice", "REQUIRED");
    else if (q->tool_choice == CHOICE_NONE)
        emit_str_member(e, "tool_choice", "NONE");
    return err;
}

/* --- settings --------------------------------------------------------------------------------- */

static int
write_stops(struct json_emit *e, const struct canon_request *q, struct dialect_writer *w)
{
    size_t count = q->stop_count;
    if (count == 0)
        return 0;
    if (count > LIMIT_COHERE_STOPS) {
        int err = dialect_leave_out(w, "stop", "takes at most 5 stop sequences");
        if (err < 0)
            return err;
        count = LIMIT_COHERE_STOPS;
    }
    emit_name(e, "stop_sequences");
    emit_list(e);
    for (size_t i = 0; i < count; i++)
        emit_text(e, q->stops[i]);
    emit_end_list(e);
    return 0;
}

static void
write_format(struct json_emit *e, const struct canon_request *q)
{
    if (q->format == FORMAT_TEXT)
        return;
    emit_name(e, "response_format");
    emit_map(e);
    emit_str_member(e, "type", "json_object");
    if (q->format == FORMAT_SCHEMA && q->format_schema_raw.len)
        emit_opt_raw(e, "json_schema", q->format_schema_raw);
    emit_end_map(e);
}

static void
write_thinking(struct json_emit *e, const struct canon_request *q)
{
    int64_t budget = q->reasoning.budget;
    bool is_asked = q->reasoning.effort.len || budget != -1;
    if (!is_asked)
        return;
    if (budget == -1)
        budget = canon_budget_of_effort(q->reasoning.effort);
    emit_name(e, "thinking");
    emit_map(e);
    emit_str_member(e, "type", budget == 0 ? "disabled" : "enabled");
    if (budget > 0)
        emit_int_member(e, "token_budget", budget);
    emit_end_map(e);
}

static void
write_settings(struct json_emit *e, const struct canon_request *q)
{
    if (q->max_tokens >= 0)
        emit_int_member(e, "max_tokens", q->max_tokens);
    emit_opt_raw(e, "temperature", q->temperature);
    emit_opt_raw(e, "p", q->top_p);
    emit_opt_raw(e, "k", q->top_k);
    emit_opt_raw(e, "seed", q->seed);
    emit_opt_raw(e, "frequency_penalty", q->frequency_penalty);
    emit_opt_raw(e, "presence_penalty", q->presence_penalty);
    write_format(e, q);
    write_thinking(e, q);
}

/* --- the rest --------------------------------------------------------------------------------- */

/* Cohere's own members, which clients of other dialects may give by name. */
static const char *const own_members[] = {"safety_mode", "citation_options", "documents", NULL};

/* Those, and what changes nothing about the answer. */
static const char *const harmless[] = {
    "safety_mode",       "citation_options",       "documents", "stream_options",
    "safety_identifier", "prompt_cache_retention", NULL};

static void
write_own_members(struct json_emit *e, const struct canon_request *q)
{
    bool has_documents = cohere_has_documents(q);
    if (has_documents)
        cohere_write_documents(e, q);
    for (size_t i = 0; i < q->extra_count; i++)
        for (size_t k = 0; own_members[k]; k++)
            if (slice_is(q->extras[i].name, own_members[k]) &&
                !(has_documents && strcmp(own_members[k], "documents") == 0))
                emit_opt_raw(e, own_members[k], q->extras[i].raw);
}

/* What Cohere has no member for, each with the feature that the request asks for by it. */
static int
check_features(const struct canon_request *q, struct dialect_writer *w)
{
    struct slice tier = q->service_tier;
    const struct {
        bool asked;
        enum feature feature;
        const char *member;
    } rows[] = {
        {q->choices > 1, FEATURE_CHOICES, "n"},
        {q->logprobs == TRI_YES || q->top_logprobs > 0, FEATURE_LOGPROBS, "logprobs"},
        {q->logit_bias_raw.len > 0 && !slice_is(q->logit_bias_raw, "{}"), FEATURE_LOGIT_BIAS,
         "logit_bias"},
        {q->parallel_tools == TRI_NO && q->tool_count > 0, FEATURE_PARALLEL_TOOLS_OFF,
         "parallel_tool_calls"},
        {q->verbosity.len && !slice_is(q->verbosity, "medium"), FEATURE_VERBOSITY, "verbosity"},
        {q->metadata_raw.len && !slice_is(q->metadata_raw, "{}"), FEATURE_METADATA, "metadata"},
        {q->user.len > 0, FEATURE_USER, "user"},
        {tier.len && !slice_is(tier, "auto") && !slice_is(tier, "default"), FEATURE_SERVICE_TIER,
         "service_tier"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int err = rows[i].asked ? dialect_need(w, rows[i].feature, rows[i].member) : 0;
        if (err < 0)
            return err;
    }
    int err = dialect_leave_extras(w, q, harmless);
    return err < 0 ? err : 0;
}

int
cohere_write_request(const struct canon_request *q, struct dialect_writer *w, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    int err = check_features(q, w);
    if (err)
        return err;
    emit_map(&e);
    emit_text_member(&e, "model", w->target->model);
    err = cohere_write_messages(&e, q, w);
    if (!err)
        err = write_tools(&e, q, w);
    if (!err)
        err = write_stops(&e, q, w);
    write_settings(&e, q);
    write_own_members(&e, q);
    emit_bool_member(&e, "stream", q->stream);
    emit_end_map(&e);
    return err ? err : e.err;
}
