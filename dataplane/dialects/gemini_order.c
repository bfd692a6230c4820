/* A canonical request as generateContent's. */
#include "dataplane/dialects/gemini_order.h"

#include "dataplane/dialects/gemini_schema.h"

#include <stdio.h>

#define LIMIT_STOPS_OF_GOOGLE 5

/* --- tools ------------------------------------------------------------------------------------ */

static bool
has_functions(const struct canon_request *q)
{
    for (size_t i = 0; i < q->tool_count; i++)
        if (q->tools[i].kind == TOOL_FUNCTION)
            return true;
    return false;
}

/* A schema as the model takes it: as it is, or Google's own. */
static int
write_schema(struct gemini_order *o, const char *json_name, const char *google_name,
             struct slice schema, const char *member)
{
    const char *why;
    struct slice google;
    if (gemini_takes_json_schema(o->w->target->model)) {
        emit_opt_raw(&o->e, json_name, schema);
        return 0;
    }
    int err = gemini_schema_write(schema, o->w->arena, &google, &why);
    if (err == ERR_NOMEM)
        return err;
    if (err) {
        char reason[128];
        snprintf(reason, sizeof(reason), "cannot take this schema: it %s", why);
        err = dialect_leave_out(o->w, member, reason);
        return err < 0 ? err : 0;
    }
    emit_opt_raw(&o->e, google_name, google);
    return 0;
}

/* Arguments that Google would refuse at the root of Google's own schemas: an object of nothing. */
static bool
has_arguments(const struct gemini_order *o, struct slice schema)
{
    struct json_view v = json_view_of(schema);
    if (v.kind != JSON_MAP || json_view_count(v) == 0)
        return false;
    return gemini_takes_json_schema(o->w->target->model) ||
           json_view_count(json_view_get(v, "properties")) > 0 ||
           json_view_get(v, "$ref").kind == JSON_TEXT;
}

static int
write_function(struct gemini_order *o, const struct canon_tool *tool, size_t i)
{
    char member[48];
    int err = 0;
    snprintf(member, sizeof(member), "tools[%zu]", i);
    emit_map(&o->e);
    emit_text_member(&o->e, "name", tool->name);
    if (tool->description.at)
        emit_text_member(&o->e, "description", tool->description);
    if (has_arguments(o, tool->schema_raw))
        err = write_schema(o, "parametersJsonSchema", "parameters", tool->schema_raw, member);
    if (tool->origin == DIALECT_GEMINI && tool->raw.len)
        emit_members_of(&o->e, tool->raw);
    emit_end_map(&o->e);
    return err;
}

static int
write_json_function(struct gemini_order *o)
{
    struct slice schema = o->q->format_schema_raw;
    emit_map(&o->e);
    emit_str_member(&o->e, "name", JSON_TOOL_NAME);
    emit_str_member(&o->e, "description", "Gives the final answer to the user.");
    int err = has_arguments(o, schema)
                  ? write_schema(o, "parametersJsonSchema", "parameters", schema, "response_format")
                  : 0;
    emit_end_map(&o->e);
    return err;
}

static int
write_functions(struct gemini_order *o)
{
    int err = 0;
    emit_map(&o->e);
    emit_name(&o->e, "functionDeclarations");
    emit_list(&o->e);
    for (size_t i = 0; i < o->q->tool_count && !err; i++)
        if (o->q->tools[i].kind == TOOL_FUNCTION)
            err = write_function(o, &o->q->tools[i], i);
    if (!err && o->w->json_by_tool)
        err = write_json_function(o);
    emit_end_list(&o->e);
    emit_end_map(&o->e);
    return err;
}

/* A search in the web of which nothing is asked that Google's could not do. */
static bool
is_plain(struct json_view search)
{
    struct json_view value;
    struct slice name;
    size_t cursor = 0;
    while (json_view_next(search, &cursor, &name, &value))
        if (!slice_is(name, "type") && !slice_is(name, "name") &&
            !slice_is(name, "search_context_size") && json_view_is_set(value))
            return false;
    return true;
}

static bool
is_plain_search(const struct canon_tool *tool)
{
    struct json_view v = json_view_of(tool->raw), type = json_view_get(v, "type");
    return type.kind == JSON_TEXT && slice_starts(type.raw, SLICE("\"web_search")) && is_plain(v);
}

/* Chat's member for the same. */
#define SEARCH_MEMBER "web_search_options"

static bool
wants_search(const struct canon_request *q)
{
    for (size_t i = 0; i < q->extra_count; i++)
        if (q->origin != DIALECT_GEMINI && slice_is(q->extras[i].name, SEARCH_MEMBER))
            return is_plain(json_view_of(q->extras[i].raw));
    return false;
}

static int
write_other_tool(struct gemini_order *o, const struct canon_tool *tool, size_t i)
{
    char member[48];
    snprintf(member, sizeof(member), "tools[%zu]", i);
    if (tool->kind == TOOL_CUSTOM) {
        int err = dialect_need(o->w, FEATURE_CUSTOM_TOOLS, member);
        return err < 0 ? err : 0;
    }
    if (tool->origin == DIALECT_GEMINI) {
        emit_raw(&o->e, tool->raw);
        return 0;
    }
    if (is_plain_search(tool)) {
        emit_raw(&o->e, SLICE("{\"googleSearch\":{}}"));
        return 0;
    }
    int err = dialect_leave_out(o->w, member, "has no such tool");
    return err < 0 ? err : 0;
}

static int
write_tools(struct gemini_order *o)
{
    bool functions = has_functions(o->q) || o->w->json_by_tool;
    int err = 0;
    bool search = wants_search(o->q);
    if (o->no_tools || (!functions && !search && o->q->tool_count == 0))
        return 0;
    emit_name(&o->e, "tools");
    emit_list(&o->e);
    if (functions)
        err = write_functions(o);
    if (search)
        emit_raw(&o->e, SLICE("{\"googleSearch\":{}}"));
    for (size_t i = 0; i < o->q->tool_count && !err; i++)
        if (o->q->tools[i].kind != TOOL_FUNCTION)
            err = write_other_tool(o, &o->q->tools[i], i);
    emit_end_list(&o->e);
    return err;
}

static bool
wants_strict(const struct canon_request *q)
{
    for (size_t i = 0; i < q->tool_count; i++)
        if (q->tools[i].kind == TOOL_FUNCTION && q->tools[i].strict == TRI_YES)
            return true;
    return false;
}

/* NULL: nothing to be said. */
static const char *
mode_of(const struct gemini_order *o)
{
    enum canon_choice choice = o->q->tool_choice;
    if (o->w->json_by_tool && choice != CHOICE_NAMED)
        return "ANY";
    switch (choice) {
    case CHOICE_NONE:
        return "NONE";
    case CHOICE_REQUIRED:
    case CHOICE_NAMED:
        return "ANY";
    case CHOICE_ABSENT:
    case CHOICE_AUTO:
        break;
    }
    /* Held to the schemas, and still free to answer in words. */
    if (wants_strict(o->q) && gemini_takes_json_schema(o->w->target->model))
        return "VALIDATED";
    return choice == CHOICE_AUTO ? "AUTO" : NULL;
}

/* Members of Google's own that came from a client of Google's: "toolConfig.retrievalConfig". */
static bool
write_extras(struct gemini_order *o, const char *below)
{
    const struct canon_request *q = o->q;
    size_t n = strlen(below);
    bool any = false;
    for (size_t i = 0; q->origin == DIALECT_GEMINI && i < q->extra_count; i++) {
        struct slice name = q->extras[i].name;
        if (!slice_starts(name, slice_make(below, n)))
            continue;
        name = slice_from(name, n);
        if (slice_find(name, '.', 0) < name.len)
            continue;
        emit_text(&o->e, name);
        if (!o->e.err)
            o->e.err = buf_add_str(o->e.into, ":");
        o->e.comma = false;
        emit_raw(&o->e, q->extras[i].raw);
        any = true;
    }
    return any;
}

static bool
has_extras(const struct gemini_order *o, const char *below)
{
    for (size_t i = 0; o->q->origin == DIALECT_GEMINI && i < o->q->extra_count; i++)
        if (slice_starts(o->q->extras[i].name, slice_of(below)))
            return true;
    return false;
}

static void
write_tool_config(struct gemini_order *o)
{
    bool functions = has_functions(o->q) || o->w->json_by_tool;
    const char *mode = functions && !o->no_tools ? mode_of(o) : NULL;
    if (!mode && !has_extras(o, "toolConfig."))
        return;
    emit_name(&o->e, "toolConfig");
    emit_map(&o->e);
    if (mode) {
        emit_name(&o->e, "functionCallingConfig");
        emit_map(&o->e);
        emit_str_member(&o->e, "mode", mode);
        if (o->q->tool_choice == CHOICE_NAMED) {
            emit_name(&o->e, "allowedFunctionNames");
            emit_list(&o->e);
            emit_text(&o->e, o->q->tool_choice_name);
            emit_end_list(&o->e);
        }
        emit_end_map(&o->e);
    }
    write_extras(o, "toolConfig.");
    emit_end_map(&o->e);
}

/* --- thinking --------------------------------------------------------------------------------- */

/* Whether the model's name holds a word: "gemini-2.5-flash-lite" is a flash, and a lite one. */
static bool
is_a(const struct gemini_order *o, const char *word)
{
    struct slice model = o->w->target->model;
    return memmem(model.at, model.len, word, strlen(word)) != NULL;
}

/* 2.5: a number of tokens within what the model allows; 0 off, -1 as the model likes. */
static int64_t
budget_of(const struct gemini_order *o, int64_t wanted)
{
    int64_t min = is_a(o, "lite") ? 512 : is_a(o, "flash") ? 1 : 128;
    int64_t max = is_a(o, "flash") ? 24576 : 32768;
    if (wanted == -2)
        return -1;
    if (wanted == 0)
        return is_a(o, "flash") ? 0 : min; /* Pro cannot be turned off */
    return wanted < min ? min : wanted > max ? max : wanted;
}

/* 3: a level; it cannot be turned off. Pro knows only two, 3.1 Pro three. */
static const char *
level_of(const struct gemini_order *o, const char *effort)
{
    bool is_pro = is_a(o, "pro");
    if (strcmp(effort, "none") == 0 || strcmp(effort, "minimal") == 0)
        return is_pro ? "low" : "minimal";
    if (strcmp(effort, "low") == 0)
        return "low";
    if (strcmp(effort, "medium") == 0)
        return is_pro && is_a(o, "gemini-3-") ? "high" : "medium";
    return "high";
}

static bool
shows_thoughts(const struct canon_request *q, bool is_on)
{
    if (q->reasoning.show != TRI_ABSENT)
        return q->reasoning.show == TRI_YES;
    /* Whoever asks for thinking sees it, but for Responses, where summaries are asked for. */
    return is_on && q->origin != DIALECT_RESPONSES && q->origin != DIALECT_GEMINI;
}

static int
refuse_effort(struct gemini_order *o)
{
    return dialect_refuse(o->w->why, ERR_DENIED, "reasoning_effort",
                          "'reasoning_effort' '%.*s' is not known.",
                          SLICE_ARG(o->q->reasoning.effort));
}

static int
write_thinking(struct gemini_order *o)
{
    struct slice effort = o->q->reasoning.effort;
    int64_t budget = o->q->reasoning.budget;
    bool asked = effort.len > 0 || budget != -1;
    int64_t of_effort = effort.len ? canon_budget_of_effort(effort) : -1;
    if (effort.len && of_effort < 0)
        return refuse_effort(o);
    if (budget == -1)
        budget = of_effort;
    if (!asked && o->q->reasoning.show != TRI_YES)
        return 0;
    if (o->family == GEMINI_OLD || o->family == GEMINI_GEMMA) {
        int err = asked && budget == 0 ? 0
                                       : dialect_leave_out(o->w, "reasoning_effort",
                                                           "has no thinking in this model");
        return err < 0 ? err : 0;
    }
    emit_name(&o->e, "thinkingConfig");
    emit_map(&o->e);
    /* Gemini 3 still takes a number from those who know it as one. */
    bool is_number = o->q->origin == DIALECT_GEMINI && effort.len == 0 && budget != 0;
    if (asked && (o->family != GEMINI_3 || is_number)) {
        emit_int_member(&o->e, "thinkingBudget", budget_of(o, budget));
    } else if (asked) {
        const char *level = effort.len ? arena_strdup(o->w->arena, effort) : NULL;
        if (budget != -2 || level)
            emit_str_member(&o->e, "thinkingLevel",
                            level_of(o, level ? level : canon_effort_of_budget(budget)));
    }
    if (shows_thoughts(o->q, asked && budget != 0))
        emit_bool_member(&o->e, "includeThoughts", true);
    emit_end_map(&o->e);
    return 0;
}

/* --- generationConfig ------------------------------------------------------------------------- */

static int
write_stops(struct gemini_order *o)
{
    size_t count = o->q->stop_count;
    if (count == 0)
        return 0;
    if (count > LIMIT_STOPS_OF_GOOGLE) {
        int err = dialect_leave_out(o->w, "stop", "takes at most 5 stop sequences");
        if (err < 0)
            return err;
        count = LIMIT_STOPS_OF_GOOGLE;
    }
    emit_name(&o->e, "stopSequences");
    emit_list(&o->e);
    for (size_t i = 0; i < count; i++)
        emit_text(&o->e, o->q->stops[i]);
    emit_end_list(&o->e);
    return 0;
}

static int
write_format(struct gemini_order *o)
{
    if (o->q->format == FORMAT_TEXT || o->w->json_by_tool || o->json_by_words)
        return 0;
    emit_str_member(&o->e, "responseMimeType", "application/json");
    if (o->q->format != FORMAT_SCHEMA || o->q->format_schema_raw.len == 0)
        return 0;
    return write_schema(o, "responseJsonSchema", "responseSchema", o->q->format_schema_raw,
                        "response_format");
}

static void
write_numbers(struct gemini_order *o)
{
    const struct canon_request *q = o->q;
    struct json_emit *e = &o->e;
    if (q->max_tokens >= 0)
        emit_int_member(e, "maxOutputTokens", q->max_tokens);
    emit_opt_raw(e, "temperature", q->temperature);
    emit_opt_raw(e, "topP", q->top_p);
    emit_opt_raw(e, "topK", q->top_k);
    if (q->choices > 1)
        emit_int_member(e, "candidateCount", q->choices);
    emit_opt_raw(e, "seed", q->seed);
    emit_opt_raw(e, "presencePenalty", q->presence_penalty);
    emit_opt_raw(e, "frequencyPenalty", q->frequency_penalty);
    if (q->logprobs == TRI_YES)
        emit_bool_member(e, "responseLogprobs", true);
    if (q->top_logprobs > 0)
        emit_int_member(e, "logprobs", q->top_logprobs);
}

static int
write_config(struct gemini_order *o)
{
    emit_name(&o->e, "generationConfig");
    emit_map(&o->e);
    write_numbers(o);
    int err = write_stops(o);
    if (!err)
        err = write_format(o);
    if (!err)
        err = write_thinking(o);
    write_extras(o, "generationConfig.");
    emit_end_map(&o->e);
    return err;
}

/* --- what there is no member for -------------------------------------------------------------- */

/* What changes nothing about the answer, or is the gateway's own to do (who the end user is, and
 * which requests share a prompt: Google's caching needs no key). */
static const char *const harmless[] = {"safety_identifier", "prompt_cache_retention",
                                       "stream_options", NULL};
static const char *const harmless_or_search[] = {"safety_identifier", "prompt_cache_retention",
                                                 "stream_options", SEARCH_MEMBER, NULL};

static int
check(struct gemini_order *o, bool is_asked, enum feature feature, const char *member)
{
    int err = is_asked ? dialect_need(o->w, feature, member) : 0;
    return err < 0 ? err : 0;
}

static int
check_unknown(struct gemini_order *o)
{
    const struct canon_request *q = o->q;
    bool is_default_tier =
        slice_is(q->service_tier, "auto") || slice_is(q->service_tier, "default");
    int err = check(o, q->logit_bias_raw.len > 2, FEATURE_LOGIT_BIAS, "logit_bias");
    if (!err)
        err = check(o, q->metadata_raw.len > 2, FEATURE_METADATA, "metadata");
    if (!err)
        err = check(o, q->user.len > 0, FEATURE_USER, "user");
    if (!err)
        err = check(o, q->verbosity.len > 0, FEATURE_VERBOSITY, "verbosity");
    if (!err)
        err = check(o, q->parallel_tools == TRI_NO && has_functions(q), FEATURE_PARALLEL_TOOLS_OFF,
                    "parallel_tool_calls");
    if (!err)
        err = check(o, q->service_tier.len > 0 && !is_default_tier, FEATURE_SERVICE_TIER,
                    "service_tier");
    if (!err && q->store == TRI_YES)
        err = dialect_leave_out(o->w, "store", "does not store answers");
    if (err >= 0 && q->origin != DIALECT_GEMINI)
        err = dialect_leave_extras(o->w, q, wants_search(q) ? harmless_or_search : harmless);
    return err < 0 ? err : 0;
}

/* Before Gemini 3 a model cannot both call functions and be bound to JSON. */
static void
choose_json(struct gemini_order *o)
{
    o->w->json_by_tool = o->json_by_words = false;
    if (o->q->format == FORMAT_TEXT || o->family == GEMINI_3 || !has_functions(o->q))
        return;
    if (o->q->tool_choice == CHOICE_NONE)
        o->no_tools = true;
    else if (o->q->format == FORMAT_SCHEMA)
        o->w->json_by_tool = true;
    else
        o->json_by_words = true;
}

static int
write_rest(struct gemini_order *o)
{
    const struct canon_request *q = o->q;
    enum provider_kind kind = o->w->target->provider->kind;
    if (q->metadata_raw.len > 2 && capability_of(kind, FEATURE_METADATA) != UNSUPPORTED)
        emit_opt_raw(&o->e, "labels", q->metadata_raw);
    if (q->service_tier.len && capability_of(kind, FEATURE_SERVICE_TIER) != UNSUPPORTED &&
        !slice_is(q->service_tier, "auto"))
        emit_text_member(&o->e, "serviceTier",
                         slice_is(q->service_tier, "default") ? SLICE("standard")
                                                              : q->service_tier);
    write_extras(o, "");
    return o->e.err;
}

int
gemini_write_request(const struct canon_request *q, struct dialect_writer *w, struct buf *into)
{
    struct gemini_order o = {.q = q,
                             .w = w,
                             .e = json_emit_into(into),
                             .family = gemini_family_of(w->target->model),
                             .on_vertex = w->target->provider->kind == PROVIDER_VERTEX};
    choose_json(&o);
    int err = check_unknown(&o);
    emit_map(&o.e);
    if (!err)
        err = gemini_write_turns(&o);
    if (!err)
        err = write_tools(&o);
    if (!err)
        write_tool_config(&o);
    if (!err)
        err = write_config(&o);
    if (!err)
        err = write_rest(&o);
    emit_end_map(&o.e);
    return err ? err : o.e.err;
}
