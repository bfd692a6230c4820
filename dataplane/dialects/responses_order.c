/* A request to a provider that speaks Responses. */
#include "dataplane/dialects/responses_internal.h"

#include <stdio.h>
#include <string.h>

#define MIN_OUTPUT_TOKENS 16 /* OpenAI refuses less */
#define NO_MEMBER "is spoken to in the Responses dialect, which has no such member"

static bool
is_openai(const struct responses_order *o)
{
    enum provider_kind kind = o->w->target->provider->kind;
    return kind == PROVIDER_OPENAI || kind == PROVIDER_AZURE_OPENAI;
}

static bool
is_own(const struct responses_order *o)
{
    return o->q->origin == DIALECT_RESPONSES;
}

/* --- tools ------------------------------------------------------------------------------------ */

/* Of a chat request the grammar stands one level deeper than here. */
static void
emit_custom_format(struct json_emit *e, struct slice format)
{
    struct json_view v = json_view_of(format), grammar = json_view_get(v, "grammar");
    if (format.len == 0)
        return;
    emit_name(e, "format");
    if (grammar.kind != JSON_MAP) {
        emit_raw(e, format);
        return;
    }
    emit_map(e);
    emit_str_member(e, "type", "grammar");
    emit_members_of(e, grammar.raw);
    emit_end_map(e);
}

void
responses_emit_tool(struct json_emit *e, const struct canon_tool *t, bool in_answer)
{
    if (t->kind == TOOL_HOSTED) {
        emit_raw(e, t->raw);
        return;
    }
    emit_map(e);
    emit_str_member(e, "type", t->kind == TOOL_CUSTOM ? "custom" : "function");
    emit_text_member(e, "name", t->name);
    if (t->description.at)
        emit_text_member(e, "description", t->description);
    if (t->kind == TOOL_CUSTOM) {
        emit_custom_format(e, t->format_raw);
    } else {
        emit_name(e, "parameters");
        emit_raw(e, t->schema_raw.len ? t->schema_raw
                                      : SLICE("{\"type\":\"object\",\"properties\":{}}"));
        if (t->strict != TRI_ABSENT)
            emit_bool_member(e, "strict", t->strict == TRI_YES);
        else if (in_answer || t->origin != DIALECT_RESPONSES)
            emit_bool_member(e, "strict", false); /* here it would be the default */
    }
    if (t->origin == DIALECT_RESPONSES && t->raw.len)
        emit_members_of(e, t->raw);
    emit_end_map(e);
}

static int
check_tool(struct responses_order *o, const struct canon_tool *t, const char *member)
{
    if (t->kind == TOOL_CUSTOM)
        return dialect_need(o->w, FEATURE_CUSTOM_TOOLS, member);
    if (t->kind == TOOL_HOSTED && t->origin != DIALECT_RESPONSES)
        return dialect_leave_out(o->w, member, "does not know this tool, which is another's own");
    return t->strict == TRI_YES ? dialect_need(o->w, FEATURE_STRICT_TOOLS, member) : 0;
}

void
responses_emit_choice(struct json_emit *e, const struct canon_request *q)
{
    static const char *const words[] = {[CHOICE_ABSENT] = "auto",
                                        [CHOICE_AUTO] = "auto",
                                        [CHOICE_NONE] = "none",
                                        [CHOICE_REQUIRED] = "required"};
    struct slice raw = responses_extra(q, "tool_choice");
    if (q->origin == DIALECT_RESPONSES && raw.len) {
        emit_raw(e, raw);
        return;
    }
    if (q->tool_choice != CHOICE_NAMED) {
        emit_str(e, words[q->tool_choice]);
        return;
    }
    bool custom = false;
    for (size_t i = 0; i < q->tool_count; i++)
        custom |=
            q->tools[i].kind == TOOL_CUSTOM && slice_eq(q->tools[i].name, q->tool_choice_name);
    emit_map(e);
    emit_str_member(e, "type", custom ? "custom" : "function");
    emit_text_member(e, "name", q->tool_choice_name);
    emit_end_map(e);
}

static int
write_choice(struct responses_order *o)
{
    static const struct {
        enum canon_choice choice;
        enum feature feature;
    } rows[] = {
        {CHOICE_NONE, FEATURE_CHOICE_NONE},
        {CHOICE_REQUIRED, FEATURE_CHOICE_REQUIRED},
        {CHOICE_NAMED, FEATURE_CHOICE_NAMED},
    };
    const struct canon_request *q = o->q;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (q->tool_choice == rows[i].choice) {
            int err = dialect_need(o->w, rows[i].feature, "tool_choice");
            if (err)
                return err;
        }
    if (q->tool_choice != CHOICE_ABSENT || (is_own(o) && responses_extra(q, "tool_choice").len)) {
        emit_name(&o->e, "tool_choice");
        responses_emit_choice(&o->e, q);
    }
    return 0;
}

static int
write_list(struct responses_order *o)
{
    const struct canon_request *q = o->q;
    struct slice all = is_own(o) ? responses_extra(q, "tools") : (struct slice){0};
    char member[48];
    emit_name(&o->e, "tools");
    if (all.len) {
        emit_raw(&o->e, all);
        return 0;
    }
    emit_list(&o->e);
    for (size_t i = 0; i < q->tool_count; i++) {
        snprintf(member, sizeof(member), "tools[%zu]", i);
        int err = check_tool(o, &q->tools[i], member);
        if (err < 0)
            return err;
        if (err == 0)
            responses_emit_tool(&o->e, &q->tools[i], false);
    }
    emit_end_list(&o->e);
    return 0;
}

static int
write_tools(struct responses_order *o)
{
    const struct canon_request *q = o->q;
    if (q->tool_count == 0)
        return 0;
    int err = dialect_need(o->w, FEATURE_TOOLS, "tools");
    if (err)
        return err;
    err = write_list(o);
    if (err == 0)
        err = write_choice(o);
    if (err < 0 || q->parallel_tools == TRI_ABSENT)
        return err;
    err = q->parallel_tools == TRI_NO
              ? dialect_need(o->w, FEATURE_PARALLEL_TOOLS_OFF, "parallel_tool_calls")
              : 0;
    if (err == 0)
        emit_bool_member(&o->e, "parallel_tool_calls", q->parallel_tools == TRI_YES);
    return err;
}

/* --- what the dialect lacks ------------------------------------------------------------------- */

static bool
is_zero(struct slice number)
{
    for (size_t i = 0; i < number.len; i++)
        if (number.at[i] != '0' && number.at[i] != '.' && number.at[i] != '-')
            return false;
    return true;
}

static int
leave_lacking(struct responses_order *o)
{
    const struct canon_request *q = o->q;
    const struct {
        bool asked;
        const char *member;
    } rows[] = {
        {q->top_k.len > 0, "top_k"},
        {!is_zero(q->frequency_penalty), "frequency_penalty"},
        {!is_zero(q->presence_penalty), "presence_penalty"},
        {q->seed.len > 0, "seed"},
        {q->stop_count > 0, "stop"},
        {q->choices > 1, "n"},
        {q->logit_bias_raw.len > 2, "logit_bias"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int err = rows[i].asked ? dialect_leave_out(o->w, rows[i].member, NO_MEMBER) : 0;
        if (err < 0)
            return err;
    }
    return 0;
}

/* --- sampling, limits ------------------------------------------------------------------------- */

static int
write_sampling(struct responses_order *o)
{
    const struct canon_request *q = o->q;
    int err = 0;
    if (q->temperature.len)
        err = dialect_need(o->w, FEATURE_TEMPERATURE, "temperature");
    if (err == 0)
        emit_opt_raw(&o->e, "temperature", q->temperature);
    if (err >= 0 && q->top_p.len)
        err = dialect_need(o->w, FEATURE_TOP_P, "top_p");
    if (err == 0)
        emit_opt_raw(&o->e, "top_p", q->top_p);
    if (err < 0 || q->max_tokens < 0)
        return err;
    if (is_openai(o) && !is_own(o) && q->max_tokens < MIN_OUTPUT_TOKENS)
        return dialect_refuse(o->w->why, ERR_DENIED, "max_tokens",
                              "'max_tokens': provider '%.*s' takes %d or more.",
                              SLICE_ARG(o->w->target->provider->name), MIN_OUTPUT_TOKENS);
    emit_int_member(&o->e, "max_output_tokens", q->max_tokens);
    return 0;
}

static int
write_logprobs(struct responses_order *o)
{
    const struct canon_request *q = o->q;
    if (q->logprobs != TRI_YES && q->top_logprobs < 0)
        return 0;
    int err = dialect_need(o->w, FEATURE_LOGPROBS, "logprobs");
    if (err == 0 && q->top_logprobs >= 0)
        emit_int_member(&o->e, "top_logprobs", q->top_logprobs);
    return err;
}

/* --- format and reasoning --------------------------------------------------------------------- */

void
responses_emit_format(struct json_emit *e, const struct canon_request *q)
{
    emit_map(e);
    if (q->format != FORMAT_SCHEMA) {
        emit_str_member(e, "type", q->format == FORMAT_JSON ? "json_object" : "text");
        emit_end_map(e);
        return;
    }
    emit_str_member(e, "type", "json_schema");
    emit_text_member(e, "name", q->format_name.len ? q->format_name : SLICE("response"));
    emit_opt_text(e, "description", q->format_description);
    emit_name(e, "schema");
    emit_raw(e, q->format_schema_raw.len ? q->format_schema_raw : SLICE("{}"));
    if (q->format_strict != TRI_ABSENT)
        emit_bool_member(e, "strict", q->format_strict == TRI_YES);
    emit_end_map(e);
}

/* The members that were kept as "OUTER.NAME", into the map that is open. */
static void
emit_kept(struct responses_order *o, struct slice outer)
{
    for (size_t i = 0; is_own(o) && i < o->q->extra_count; i++) {
        struct slice name = o->q->extras[i].name;
        if (!slice_starts(name, outer) || o->e.err)
            continue;
        name = slice_from(name, outer.len);
        o->e.err = buf_addf(o->e.into, "%s\"%.*s\":", o->e.comma ? "," : "", SLICE_ARG(name));
        o->e.comma = false;
        emit_raw(&o->e, o->q->extras[i].raw);
    }
}

static bool
has_kept(const struct responses_order *o, struct slice outer)
{
    for (size_t i = 0; is_own(o) && i < o->q->extra_count; i++)
        if (slice_starts(o->q->extras[i].name, outer))
            return true;
    return false;
}

static int
write_format(struct responses_order *o)
{
    const struct canon_request *q = o->q;
    int verbosity = q->verbosity.len ? dialect_need(o->w, FEATURE_VERBOSITY, "verbosity") : 1;
    int format =
        q->format == FORMAT_SCHEMA ? dialect_need(o->w, FEATURE_JSON_SCHEMA, "response_format")
        : q->format == FORMAT_JSON ? dialect_need(o->w, FEATURE_JSON_OBJECT, "response_format")
                                   : 1;
    if (verbosity < 0 || format < 0)
        return ERR_DENIED;
    if (verbosity && format && !has_kept(o, SLICE("text.")))
        return 0;
    emit_name(&o->e, "text");
    emit_map(&o->e);
    if (format == 0) {
        emit_name(&o->e, "format");
        responses_emit_format(&o->e, q);
    }
    if (verbosity == 0)
        emit_text_member(&o->e, "verbosity", q->verbosity);
    emit_kept(o, SLICE("text."));
    emit_end_map(&o->e);
    return 0;
}

static struct slice
effort_of(const struct canon_request *q)
{
    if (q->reasoning.effort.len || q->reasoning.budget == -1)
        return q->reasoning.effort;
    if (q->reasoning.budget == -2) /* as the model sees fit */
        return (struct slice){0};
    return slice_of(canon_effort_of_budget(q->reasoning.budget));
}

static int
write_reasoning(struct responses_order *o)
{
    const struct canon_request *q = o->q;
    struct slice effort = effort_of(q);
    struct slice summary = q->reasoning.summary;
    if (summary.len == 0 && q->reasoning.show == TRI_YES)
        summary = SLICE("auto");
    if (effort.len) {
        int err = dialect_need(o->w, FEATURE_REASONING_EFFORT, "reasoning_effort");
        if (err < 0)
            return err;
        if (err)
            effort = (struct slice){0};
    }
    if (effort.len == 0 && summary.len == 0 && !has_kept(o, SLICE("reasoning.")))
        return 0;
    emit_name(&o->e, "reasoning");
    emit_map(&o->e);
    if (effort.len)
        emit_text_member(&o->e, "effort", effort);
    if (summary.len)
        emit_text_member(&o->e, "summary", summary);
    emit_kept(o, SLICE("reasoning."));
    emit_end_map(&o->e);
    return 0;
}

/* --- the rest --------------------------------------------------------------------------------- */

static int
write_labels(struct responses_order *o)
{
    const struct canon_request *q = o->q;
    const struct {
        struct slice value;
        enum feature feature;
        const char *member;
        bool raw;
    } rows[] = {
        {q->user, FEATURE_USER, "user", false},
        {q->metadata_raw, FEATURE_METADATA, "metadata", true},
        {q->service_tier, FEATURE_SERVICE_TIER, "service_tier", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool said = rows[i].feature == FEATURE_USER && is_own(o) &&
                    responses_extra(q, "safety_identifier").len > 0;
        if (rows[i].value.len == 0 || said)
            continue;
        int err = dialect_need(o->w, rows[i].feature, rows[i].member);
        if (err < 0)
            return err;
        if (err == 0 && rows[i].raw)
            emit_opt_raw(&o->e, rows[i].member, rows[i].value);
        else if (err == 0)
            emit_text_member(&o->e, rows[i].member, rows[i].value);
    }
    if (q->cache_key.len && (is_openai(o) || o->w->target->provider->kind == PROVIDER_XAI))
        emit_text_member(&o->e, "prompt_cache_key", q->cache_key);
    return 0;
}

/* Nothing is kept at the provider unless that was asked for, so what it thought has to come back
 * with its answer. */
static void
write_keeping(struct responses_order *o)
{
    struct slice include = is_own(o) ? responses_extra(o->q, "include") : (struct slice){0};
    if (o->q->store != TRI_ABSENT || !is_own(o))
        emit_bool_member(&o->e, "store", o->q->store == TRI_YES);
    if (include.len) {
        emit_name(&o->e, "include");
        emit_raw(&o->e, include);
        return;
    }
    if (is_own(o))
        return;
    emit_name(&o->e, "include");
    emit_list(&o->e);
    emit_str(&o->e, "reasoning.encrypted_content");
    if (o->q->logprobs == TRI_YES)
        emit_str(&o->e, "message.output_text.logprobs");
    emit_end_list(&o->e);
}

/* Members of the client's own dialect that have no canonical meaning. */
static int
write_extras(struct responses_order *o)
{
    static const char *const written[] = {"include", "instructions", "tools", "tool_choice", NULL};
    const struct canon_request *q = o->q;
    if (!is_own(o))
        return dialect_leave_extras(o->w, q, (const char *const[]){"stream_options", NULL});
    for (size_t i = 0; i < q->extra_count; i++) {
        struct slice name = q->extras[i].name;
        bool done = slice_starts(name, SLICE("text.")) || slice_starts(name, SLICE("reasoning."));
        for (size_t k = 0; written[k]; k++)
            done |= slice_is(name, written[k]);
        if (done || o->e.err)
            continue;
        o->e.err = buf_addf(o->e.into, ",\"%.*s\":", SLICE_ARG(name));
        o->e.comma = false;
        emit_raw(&o->e, q->extras[i].raw);
    }
    return 0;
}

int
responses_write_request(const struct canon_request *q, struct dialect_writer *w, struct buf *into)
{
    static int (*const sections[])(struct responses_order *) = {
        write_tools,     write_sampling, write_logprobs, write_format,
        write_reasoning, write_labels,   leave_lacking,  write_extras,
    };
    struct responses_order o = {.q = q, .w = w, .e = json_emit_into(into)};
    struct slice instructions = is_own(&o) ? responses_extra(q, "instructions") : (struct slice){0};
    emit_map(&o.e);
    emit_text_member(&o.e, "model", w->target->model);
    emit_opt_raw(&o.e, "instructions", instructions);
    emit_name(&o.e, "input");
    int err = responses_write_input(&o, instructions.len ? 1 : 0);
    if (q->stream)
        emit_bool_member(&o.e, "stream", true);
    write_keeping(&o);
    for (size_t i = 0; err >= 0 && i < sizeof(sections) / sizeof(sections[0]); i++)
        err = sections[i](&o);
    emit_end_map(&o.e);
    return err < 0 ? err : o.e.err;
}
