/* A chat request for a provider: what stands beside the messages (those: chat_turns.c). */
#include "dataplane/dialects/chat_internal.h"
#include "dataplane/dialects/compat.h"

#include <stdio.h>

/* Whether to write what `feature` is about: 1 yes, 0 no (left out), or an error. */
static int
may(struct chat_writer *o, enum feature feature, const char *member)
{
    int err = dialect_need(o->w, feature, member);
    return err < 0 ? err : err == 0;
}

static int
emit_number(struct chat_writer *o, enum feature feature, const char *member, const char *name,
            struct slice number)
{
    if (!number.at)
        return 0;
    int yes = may(o, feature, member);
    if (yes > 0)
        emit_opt_raw(o->e, name, number);
    return yes < 0 ? yes : 0;
}

static int
emit_word(struct chat_writer *o, enum feature feature, const char *member, struct slice text)
{
    if (!text.at)
        return 0;
    int yes = may(o, feature, member);
    if (yes > 0)
        emit_text_member(o->e, member, text);
    return yes < 0 ? yes : 0;
}

static int
emit_sampling(struct chat_writer *o)
{
    const struct canon_request *q = o->q;
    const char *seed = o->kind == PROVIDER_MISTRAL ? "random_seed" : "seed";
    int err = emit_number(o, FEATURE_TEMPERATURE, "temperature", "temperature", q->temperature);
    if (!err)
        err = emit_number(o, FEATURE_TOP_P, "top_p", "top_p", q->top_p);
    if (!err)
        err = emit_number(o, FEATURE_TOP_K, "top_k", "top_k", q->top_k);
    if (!err)
        err = emit_number(o, FEATURE_PENALTIES, "frequency_penalty", "frequency_penalty",
                          q->frequency_penalty);
    if (!err)
        err = emit_number(o, FEATURE_PENALTIES, "presence_penalty", "presence_penalty",
                          q->presence_penalty);
    if (!err)
        err = emit_number(o, FEATURE_SEED, "seed", seed, q->seed);
    if (!err)
        err = emit_number(o, FEATURE_LOGIT_BIAS, "logit_bias", "logit_bias", q->logit_bias_raw);
    return err;
}

static int
emit_counts(struct chat_writer *o)
{
    const struct canon_request *q = o->q;
    int yes = 0;
    if (q->max_tokens >= 0)
        emit_int_member(o->e, compat_max_tokens(o->w->target), q->max_tokens);
    if (q->choices > 1) {
        yes = may(o, FEATURE_CHOICES, "n");
        if (yes > 0)
            emit_int_member(o->e, "n", q->choices);
    }
    if (yes >= 0 && q->logprobs == TRI_YES) {
        yes = may(o, FEATURE_LOGPROBS, "logprobs");
        if (yes > 0)
            emit_bool_member(o->e, "logprobs", true);
        if (yes > 0 && q->top_logprobs >= 0)
            emit_int_member(o->e, "top_logprobs", q->top_logprobs);
    }
    return yes < 0 ? yes : 0;
}

static int
emit_stops(struct chat_writer *o)
{
    if (o->q->stop_count == 0)
        return 0;
    int yes = may(o, FEATURE_STOP, "stop");
    if (yes <= 0)
        return yes;
    emit_name(o->e, "stop"), emit_list(o->e);
    for (size_t i = 0; i < o->q->stop_count; i++)
        emit_text(o->e, o->q->stops[i]);
    emit_end_list(o->e);
    return 0;
}

/* --- tools ------------------------------------------------------------------------------------ */

static int
emit_function(struct chat_writer *o, const struct canon_tool *t, const char *path)
{
    int yes = t->strict == TRI_YES ? may(o, FEATURE_STRICT_TOOLS, path) : 0;
    if (yes < 0)
        return yes;
    emit_map(o->e);
    emit_str_member(o->e, "type", "function");
    emit_name(o->e, "function"), emit_map(o->e);
    emit_text_member(o->e, "name", t->name);
    emit_opt_text(o->e, "description", t->description);
    emit_opt_raw(o->e, "parameters", t->schema_raw);
    if (yes > 0 || (t->strict == TRI_NO && o->is_openai))
        emit_bool_member(o->e, "strict", t->strict == TRI_YES);
    emit_end_map(o->e);
    chat_emit_cache(o, t->cache);
    emit_end_map(o->e);
    return 0;
}

static int
emit_custom(struct chat_writer *o, const struct canon_tool *t, const char *path)
{
    int yes = may(o, FEATURE_CUSTOM_TOOLS, path);
    if (yes <= 0)
        return yes;
    emit_map(o->e);
    emit_str_member(o->e, "type", "custom");
    emit_name(o->e, "custom"), emit_map(o->e);
    emit_text_member(o->e, "name", t->name);
    emit_opt_text(o->e, "description", t->description);
    emit_opt_raw(o->e, "format", t->format_raw);
    emit_end_map(o->e);
    emit_end_map(o->e);
    return 0;
}

static int
emit_tool(struct chat_writer *o, const struct canon_tool *t, size_t number)
{
    char path[CHAT_PATH_BYTES];
    snprintf(path, sizeof(path), "tools[%zu]", number);
    switch (t->kind) {
    case TOOL_FUNCTION:
        return emit_function(o, t, path);
    case TOOL_CUSTOM:
        return emit_custom(o, t, path);
    case TOOL_HOSTED:
        break;
    }
    if (t->origin == DIALECT_CHAT) {
        emit_raw(o->e, t->raw);
        return 0;
    }
    int err = dialect_leave_out(o->w, path, "has no such tool of its own");
    return err < 0 ? err : 0;
}

static bool
is_offered(struct chat_writer *o, const struct canon_tool *t)
{
    bool one_only = o->q->tool_choice == CHOICE_NAMED &&
                    capability_of(o->kind, FEATURE_CHOICE_NAMED) == EMULATED;
    return !one_only || slice_eq(t->name, o->q->tool_choice_name);
}

static bool
is_custom(const struct canon_request *q, struct slice name)
{
    for (size_t i = 0; i < q->tool_count; i++)
        if (q->tools[i].kind == TOOL_CUSTOM && slice_eq(q->tools[i].name, name))
            return true;
    return false;
}

static int
emit_named(struct chat_writer *o)
{
    int yes = may(o, FEATURE_CHOICE_NAMED, "tool_choice");
    if (yes <= 0)
        return yes;
    if (capability_of(o->kind, FEATURE_CHOICE_NAMED) == EMULATED) {
        emit_str_member(o->e, "tool_choice", o->required);
        return 0;
    }
    const char *type = is_custom(o->q, o->q->tool_choice_name) ? "custom" : "function";
    emit_name(o->e, "tool_choice"), emit_map(o->e);
    emit_str_member(o->e, "type", type);
    emit_name(o->e, type), emit_map(o->e);
    emit_text_member(o->e, "name", o->q->tool_choice_name);
    emit_end_map(o->e);
    emit_end_map(o->e);
    return 0;
}

static int
emit_choice(struct chat_writer *o)
{
    int yes;
    switch (o->q->tool_choice) {
    case CHOICE_ABSENT:
        return 0;
    case CHOICE_AUTO:
        emit_str_member(o->e, "tool_choice", "auto");
        return 0;
    case CHOICE_NONE:
        yes = may(o, FEATURE_CHOICE_NONE, "tool_choice");
        if (yes > 0)
            emit_str_member(o->e, "tool_choice", "none");
        return yes < 0 ? yes : 0;
    case CHOICE_REQUIRED:
        yes = may(o, FEATURE_CHOICE_REQUIRED, "tool_choice");
        if (yes > 0)
            emit_str_member(o->e, "tool_choice", o->required);
        return yes < 0 ? yes : 0;
    case CHOICE_NAMED:
        break;
    }
    return emit_named(o);
}

static int
emit_tools(struct chat_writer *o)
{
    const struct canon_request *q = o->q;
    int err = 0;
    if (q->tool_count == 0)
        return 0;
    int yes = may(o, FEATURE_TOOLS, "tools");
    if (yes <= 0)
        return yes;
    const struct json_emit before = *o->e;
    size_t len = o->e->into->len, empty;
    emit_name(o->e, "tools"), emit_list(o->e);
    empty = o->e->into->len;
    for (size_t i = 0; i < q->tool_count && !err; i++)
        if (is_offered(o, &q->tools[i]))
            err = emit_tool(o, &q->tools[i], i);
    if (!err && !o->e->err && o->e->into->len == empty) { /* all were left out */
        o->e->into->len = len;
        *o->e = before;
        return 0;
    }
    emit_end_list(o->e);
    if (!err)
        err = emit_choice(o);
    if (err || q->parallel_tools == TRI_ABSENT)
        return err;
    yes = q->parallel_tools == TRI_YES ? capability_of(o->kind, FEATURE_PARALLEL_TOOLS_OFF) == EXACT
                                       : may(o, FEATURE_PARALLEL_TOOLS_OFF, "parallel_tool_calls");
    if (yes > 0)
        emit_bool_member(o->e, "parallel_tool_calls", q->parallel_tools == TRI_YES);
    return yes < 0 ? yes : 0;
}

/* --- the format of the answer ----------------------------------------------------------------- */

static void
emit_type_only(struct chat_writer *o, const char *type)
{
    emit_name(o->e, "response_format"), emit_map(o->e);
    emit_str_member(o->e, "type", type);
    emit_end_map(o->e);
}

static void
emit_schema(struct chat_writer *o)
{
    const struct canon_request *q = o->q;
    emit_name(o->e, "response_format"), emit_map(o->e);
    emit_str_member(o->e, "type", "json_schema");
    emit_name(o->e, "json_schema"), emit_map(o->e);
    emit_text_member(o->e, "name", q->format_name.len ? q->format_name : SLICE("response"));
    emit_opt_text(o->e, "description", q->format_description);
    emit_opt_raw(o->e, "schema", q->format_schema_raw);
    if (q->format_strict != TRI_ABSENT)
        emit_bool_member(o->e, "strict", q->format_strict == TRI_YES);
    emit_end_map(o->e);
    emit_end_map(o->e);
}

static int
emit_format(struct chat_writer *o)
{
    int yes;
    switch (o->q->format) {
    case FORMAT_TEXT:
        return 0;
    case FORMAT_JSON:
        yes = may(o, FEATURE_JSON_OBJECT, "response_format");
        if (yes > 0)
            emit_type_only(o, "json_object");
        return yes < 0 ? yes : 0;
    case FORMAT_SCHEMA:
        break;
    }
    yes = may(o, FEATURE_JSON_SCHEMA, "response_format");
    if (yes > 0 && capability_of(o->kind, FEATURE_JSON_SCHEMA) == EMULATED)
        emit_type_only(o, "json_object"); /* the schema itself is told by a message */
    else if (yes > 0)
        emit_schema(o);
    return yes < 0 ? yes : 0;
}

/* --- reasoning -------------------------------------------------------------------------------- */

/* The effort that is asked for, whichever way; at == NULL: none is. */
static struct slice
wanted_effort(const struct canon_request *q)
{
    if (q->reasoning.effort.len)
        return q->reasoning.effort;
    if (q->reasoning.budget >= 0)
        return slice_of(canon_effort_of_budget(q->reasoning.budget));
    return (struct slice){0};
}

static void
emit_envelope(struct chat_writer *o, struct slice effort)
{
    const struct canon_request *q = o->q;
    emit_name(o->e, "reasoning"), emit_map(o->e);
    if (q->reasoning.budget > 0)
        emit_int_member(o->e, "max_tokens", q->reasoning.budget);
    else if (q->reasoning.budget == 0 || slice_is(effort, "none"))
        emit_bool_member(o->e, "enabled", false);
    else if (effort.at)
        emit_text_member(o->e, "effort", effort);
    else
        emit_bool_member(o->e, "enabled", true);
    if (q->reasoning.show == TRI_NO)
        emit_bool_member(o->e, "exclude", true);
    emit_end_map(o->e);
}

static void
emit_switch(struct chat_writer *o, bool off, struct slice effort)
{
    emit_name(o->e, "thinking"), emit_map(o->e);
    emit_str_member(o->e, "type", off ? "disabled" : "enabled");
    emit_end_map(o->e);
    if (!off && effort.at)
        emit_text_member(o->e, "reasoning_effort", effort);
}

static int
emit_reasoning(struct chat_writer *o)
{
    const struct compat *c = compat_of(o->kind);
    struct slice wanted = wanted_effort(o->q);
    bool off = slice_is(wanted, "none"), is_open = o->q->reasoning.budget == -2;
    if (!wanted.at && !is_open)
        return 0;
    int yes =
        may(o, o->q->reasoning.effort.len ? FEATURE_REASONING_EFFORT : FEATURE_REASONING_BUDGET,
            o->q->reasoning.effort.len ? "reasoning_effort" : "thinking");
    if (yes <= 0)
        return yes;
    struct slice effort = wanted.at ? compat_effort(o->kind, wanted) : wanted;
    if (c->thinking == THINK_ENVELOPE) {
        emit_envelope(o, effort);
    } else if (c->thinking == THINK_SWITCH) {
        emit_switch(o, off, o->q->reasoning.effort.len ? effort : (struct slice){0});
    } else if (effort.at) {
        emit_text_member(o->e, "reasoning_effort", effort);
    } else if (off) {
        int err = dialect_leave_out(o->w, "reasoning_effort", "cannot switch reasoning off");
        return err < 0 ? err : 0;
    }
    return 0;
}

/* --- the rest --------------------------------------------------------------------------------- */

static int
emit_who(struct chat_writer *o)
{
    const struct canon_request *q = o->q;
    int err = 0;
    if (q->user.at && capability_of(o->kind, FEATURE_USER) == EXACT)
        emit_text_member(o->e, "user", q->user); /* elsewhere the gateway alone records who */
    if (q->metadata_raw.at)
        err = emit_number(o, FEATURE_METADATA, "metadata", "metadata", q->metadata_raw);
    if (!err && !slice_is(q->service_tier, "auto") && !slice_is(q->service_tier, "default"))
        err = emit_word(o, FEATURE_SERVICE_TIER, "service_tier", q->service_tier);
    if (!err)
        err = emit_word(o, FEATURE_VERBOSITY, "verbosity", q->verbosity);
    if (o->is_openai && q->cache_key.at)
        emit_text_member(o->e, "prompt_cache_key", q->cache_key);
    if (o->is_openai && q->store != TRI_ABSENT && q->origin == DIALECT_CHAT)
        emit_bool_member(o->e, "store", q->store == TRI_YES);
    return err;
}

/* The client's own spelling goes on where the client speaks the same dialect. */
static int
emit_extras(struct chat_writer *o)
{
    static const char *const harmless[] = {"include", "truncation", NULL};
    const struct canon_request *q = o->q;
    if (q->origin != DIALECT_CHAT) {
        int err = dialect_leave_extras(o->w, q, harmless);
        return err < 0 ? err : 0;
    }
    for (size_t i = 0; i < q->extra_count; i++) {
        char *name = arena_strdup(o->w->arena, q->extras[i].name);
        if (!name)
            return ERR_NOMEM;
        emit_opt_raw(o->e, name, q->extras[i].raw);
    }
    return 0;
}

static void
emit_stream(struct chat_writer *o)
{
    if (!o->q->stream)
        return;
    emit_bool_member(o->e, "stream", true);
    if (!compat_asks_usage(o->w->target))
        return;
    emit_name(o->e, "stream_options"), emit_map(o->e);
    emit_bool_member(o->e, "include_usage", true);
    emit_end_map(o->e);
}

int
chat_write_request(const struct canon_request *q, struct dialect_writer *w, struct buf *into)
{
    static int (*const sections[])(struct chat_writer * o) = {
        chat_emit_messages, emit_sampling,  emit_counts, emit_stops,  emit_tools,
        emit_format,        emit_reasoning, emit_who,    emit_extras,
    };
    struct json_emit e = json_emit_into(into);
    enum provider_kind kind = w->target->provider->kind;
    struct chat_writer o = {
        .q = q,
        .w = w,
        .e = &e,
        .kind = kind,
        .compat = compat_of(kind),
        .is_openai =
            kind == PROVIDER_OPENAI || kind == PROVIDER_AZURE_OPENAI || kind == PROVIDER_SIMULATOR,
        .required = kind == PROVIDER_MISTRAL ? "any" : "required",
    };
    int err = 0;
    emit_map(&e);
    emit_text_member(&e, "model", w->target->model);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]) && !err; i++)
        err = sections[i](&o);
    emit_stream(&o);
    emit_end_map(&e);
    return err ? err : e.err;
}

bool
chat_wants_inline(const struct dialect_target *t, const struct canon_part *part)
{
    if (!part->media.url.len || part->media.data.len)
        return false;
    switch (part->kind) {
    case PART_IMAGE:
        return capability_of(t->provider->kind, FEATURE_IMAGE_URL) == EMULATED;
    case PART_AUDIO:
        return true;
    case PART_FILE:
        return !compat_of(t->provider->kind)->takes_file_url &&
               !slice_starts(part->media.mime, SLICE("video/"));
    default:
        return false;
    }
}
