/* A client's request: the top of it, and generationConfig. */
#include "dataplane/dialects/gemini_request.h"

#include "dataplane/dialects/gemini_schema.h"

#include <ctype.h>
#include <stdio.h>

/* --- shared ----------------------------------------------------------------------------------- */

int
gemini_refuse(struct gemini_reader *r, const char *member, const char *rule)
{
    return dialect_refuse(r->why, ERR_SYNTAX, member, "'%s' %s.", member, rule);
}

int
gemini_text_at(struct gemini_reader *r, struct json_view v, const char *member, struct slice *ret)
{
    int err = json_view_opt_text(v, r->a, ret);
    return err == ERR_SYNTAX ? gemini_refuse(r, member, "must be a text") : err;
}

#define FIRST_EXTRAS 8

int
gemini_keep_extra(struct gemini_reader *r, const char *below, struct slice name, struct json_view v)
{
    if (r->extra_count == r->extra_cap) {
        size_t cap = r->extra_cap ? 2 * r->extra_cap : FIRST_EXTRAS;
        struct canon_extra *more = arena_alloc(r->a, cap * sizeof(*more));
        if (!more)
            return ERR_NOMEM;
        for (size_t i = 0; i < r->extra_count; i++)
            more[i] = r->extras[i];
        r->extras = more;
        r->extra_cap = cap;
    }
    char *full = arena_printf(r->a, "%s%.*s", below, SLICE_ARG(name));
    if (!full)
        return ERR_NOMEM;
    r->extras[r->extra_count++] = (struct canon_extra){slice_of(full), v.raw};
    return 0;
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* Whole numbers come as 2 and, from clients that count in floats, as 2.0. */
static struct slice
without_zeros(struct slice number)
{
    size_t dot = slice_find(number, '.', 0), end = number.len;
    while (end > dot + 1 && number.at[end - 1] == '0')
        end--;
    return end == dot + 1 ? slice_make(number.at, dot) : number;
}

static int
read_number(struct gemini_reader *r, const char *member, struct json_view v, struct slice *ret)
{
    if (v.kind != JSON_NUMBER)
        return gemini_refuse(r, member, "must be a number");
    *ret = without_zeros(v.raw);
    return 0;
}

static int
read_count(struct gemini_reader *r, const char *member, struct json_view v, int64_t min,
           int64_t *ret)
{
    struct json_view whole = {v.kind, v.kind == JSON_NUMBER ? without_zeros(v.raw) : v.raw};
    if (v.kind == JSON_NUMBER && json_view_int(whole, ret) == 0 && *ret >= min)
        return 0;
    return gemini_refuse(r, member, min > 0 ? "must be a positive integer" : "must be an integer");
}

static enum tri
tri_of(struct json_view v)
{
    return v.kind == JSON_TRUE_ ? TRI_YES : v.kind == JSON_FALSE_ ? TRI_NO : TRI_ABSENT;
}

/* --- generationConfig ------------------------------------------------------------------------- */

enum setting {
    SET_MAX,
    SET_TEMPERATURE,
    SET_TOP_P,
    SET_TOP_K,
    SET_SEED,
    SET_PRESENCE,
    SET_FREQUENCY,
    SET_CANDIDATES,
    SET_STOPS,
    SET_LOGPROBS,
    SET_TOP_LOGPROBS,
    SET_MIME,
    SET_SCHEMA,
    SET_JSON_SCHEMA,
    SET_MODALITIES,
    SET_THINKING,
    SETTINGS
};
static const char *const settings[SETTINGS] = {
    [SET_MAX] = "maxOutputTokens",
    [SET_TEMPERATURE] = "temperature",
    [SET_TOP_P] = "topP",
    [SET_TOP_K] = "topK",
    [SET_SEED] = "seed",
    [SET_PRESENCE] = "presencePenalty",
    [SET_FREQUENCY] = "frequencyPenalty",
    [SET_CANDIDATES] = "candidateCount",
    [SET_STOPS] = "stopSequences",
    [SET_LOGPROBS] = "responseLogprobs",
    [SET_TOP_LOGPROBS] = "logprobs",
    [SET_MIME] = "responseMimeType",
    [SET_SCHEMA] = "responseSchema",
    [SET_JSON_SCHEMA] = "responseJsonSchema",
    [SET_MODALITIES] = "responseModalities",
    [SET_THINKING] = "thinkingConfig",
};

static int
read_stops(struct gemini_reader *r, const char *member, struct json_view v)
{
    struct json_view stop;
    struct slice name;
    size_t cursor = 0;
    int err = 0;
    if (v.kind != JSON_LIST)
        return gemini_refuse(r, member, "must be a list of texts");
    while (!err && json_view_next(v, &cursor, &name, &stop)) {
        if (r->q->stop_count == LIMIT_STOPS)
            return gemini_refuse(r, member, "has more than 16 entries");
        if (stop.kind != JSON_TEXT)
            return gemini_refuse(r, member, "must be a list of texts");
        err = gemini_text_at(r, stop, member, &r->q->stops[r->q->stop_count++]);
    }
    return err;
}

static int
read_mime(struct gemini_reader *r, const char *member, struct json_view v)
{
    if (json_view_is(v, "application/json")) {
        if (r->q->format == FORMAT_TEXT)
            r->q->format = FORMAT_JSON;
        return 0;
    }
    if (json_view_is(v, "text/plain") || json_view_is(v, ""))
        return 0;
    if (v.kind != JSON_TEXT)
        return gemini_refuse(r, member, "must be a text");
    return gemini_keep_extra(r, "", slice_of(member), v);
}

static int
read_schema(struct gemini_reader *r, const char *member, struct json_view v, bool is_googles)
{
    const char *why;
    struct canon_request *q = r->q;
    if (v.kind != JSON_MAP)
        return gemini_refuse(r, member, "must be an object");
    q->format = FORMAT_SCHEMA;
    q->format_name = SLICE("response");
    q->format_schema_raw = v.raw;
    int err = is_googles ? gemini_schema_read(v.raw, r->a, &q->format_schema_raw, &why) : 0;
    return err == ERR_SYNTAX ? gemini_refuse(r, member, why) : err;
}

/* Text alone is what everybody answers with. */
static int
read_modalities(struct gemini_reader *r, const char *member, struct json_view v)
{
    struct json_view one = {.kind = JSON_ABSENT};
    struct slice name;
    size_t cursor = 0;
    bool others = v.kind != JSON_LIST;
    while (json_view_next(v, &cursor, &name, &one))
        others |= !json_view_is(one, "TEXT") && !json_view_is(one, "text") &&
                  json_view_int_or(one, 0) != 1;
    return others ? gemini_keep_extra(r, "", slice_of(member), v) : 0;
}

static int
read_level(struct gemini_reader *r, struct json_view v)
{
    static const char *const words[] = {NULL, "low", "medium", "high", "minimal"};
    struct slice word = gemini_enum(v, words, sizeof(words) / sizeof(words[0]));
    char *lower = arena_strdup(r->a, word);
    if (!lower)
        return ERR_NOMEM;
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (strcmp(lower, "thinking_level_unspecified") == 0)
        return 0;
    if (canon_budget_of_effort(slice_of(lower)) <= 0)
        return gemini_refuse(r, "generationConfig.thinkingConfig.thinkingLevel",
                             "must be MINIMAL, LOW, MEDIUM or HIGH");
    r->q->reasoning.effort = slice_of(lower);
    return 0;
}

static int
read_thinking(struct gemini_reader *r, const char *member, struct json_view v)
{
    static const char *const names[] = {"thinkingBudget", "thinkingLevel", "includeThoughts"};
    struct json_view at[3];
    int64_t budget = 0;
    int err = 0;
    if (v.kind != JSON_MAP)
        return gemini_refuse(r, member, "must be an object");
    gemini_fields(v, names, 3, at);
    if (json_view_is_set(at[0])) {
        err = read_count(r, "generationConfig.thinkingConfig.thinkingBudget", at[0], -1, &budget);
        if (!err)
            r->q->reasoning.budget = budget == -1 ? -2 : budget;
    }
    if (!err && json_view_is_set(at[1]))
        err = read_level(r, at[1]);
    r->q->reasoning.show = tri_of(at[2]);
    return err;
}

static int
read_setting(struct gemini_reader *r, enum setting s, const char *member, struct json_view v)
{
    struct canon_request *q = r->q;
    switch (s) {
    case SET_MAX:
        return read_count(r, member, v, 1, &q->max_tokens);
    case SET_CANDIDATES:
        return read_count(r, member, v, 1, &q->choices);
    case SET_TOP_LOGPROBS:
        return read_count(r, member, v, 0, &q->top_logprobs);
    case SET_TEMPERATURE:
        return read_number(r, member, v, &q->temperature);
    case SET_TOP_P:
        return read_number(r, member, v, &q->top_p);
    case SET_TOP_K:
        return read_number(r, member, v, &q->top_k);
    case SET_SEED:
        return read_number(r, member, v, &q->seed);
    case SET_PRESENCE:
        return read_number(r, member, v, &q->presence_penalty);
    case SET_FREQUENCY:
        return read_number(r, member, v, &q->frequency_penalty);
    case SET_LOGPROBS:
        q->logprobs = tri_of(v);
        return 0;
    case SET_STOPS:
        return read_stops(r, member, v);
    case SET_MIME:
        return read_mime(r, member, v);
    case SET_SCHEMA:
        return read_schema(r, member, v, true);
    case SET_JSON_SCHEMA:
        return read_schema(r, member, v, false);
    case SET_MODALITIES:
        return read_modalities(r, member, v);
    case SET_THINKING:
        return read_thinking(r, member, v);
    case SETTINGS:
        break;
    }
    return 0;
}

static int
read_config(struct gemini_reader *r, struct json_view config)
{
    struct json_view v;
    struct slice name;
    size_t cursor = 0;
    int err = 0;
    if (json_view_is_set(config) && config.kind != JSON_MAP)
        return gemini_refuse(r, "generationConfig", "must be an object");
    while (!err && json_view_next(config, &cursor, &name, &v)) {
        char member[64];
        int s = 0;
        if (!json_view_is_set(v))
            continue;
        while (s < SETTINGS && !gemini_name_is(name, settings[s]))
            s++;
        if (s == SETTINGS) {
            err = gemini_keep_extra(r, "generationConfig.", name, v);
            continue;
        }
        snprintf(member, sizeof(member), "generationConfig.%s", settings[s]);
        err = read_setting(r, (enum setting)s, member, v);
    }
    return err;
}

/* --- the top ---------------------------------------------------------------------------------- */

enum top {
    TOP_CONTENTS,
    TOP_SYSTEM,
    TOP_TOOLS,
    TOP_TOOL_CONFIG,
    TOP_CONFIG,
    TOP_LABELS,
    TOP_TIER,
    TOP_MODEL,
    TOPS
};
static const char *const tops[TOPS] = {
    "contents", "systemInstruction", "tools", "toolConfig", "generationConfig",
    "labels",   "serviceTier",       "model",
};

static int
keep_others(struct gemini_reader *r, struct json_view body)
{
    struct json_view v;
    struct slice name;
    size_t cursor = 0;
    int err = 0;
    while (!err && json_view_next(body, &cursor, &name, &v)) {
        bool known = !json_view_is_set(v);
        for (size_t i = 0; i < TOPS && !known; i++)
            known = gemini_name_is(name, tops[i]);
        if (!known)
            err = gemini_keep_extra(r, "", name, v);
    }
    return err;
}

int
gemini_read_request(struct slice body, const struct dialect_call *call, struct arena *a,
                    struct canon_request *ret, struct dialect_refusal *why)
{
    struct gemini_reader r = {.a = a, .q = ret, .why = why};
    struct json_view at[TOPS], top = json_view_of(body);
    *ret = (struct canon_request){
        .origin = DIALECT_GEMINI,
        .model = call->path_model,
        .stream = call->path_stream,
        .include_usage = true,
        .max_tokens = -1,
        .choices = 1,
        .top_logprobs = -1,
        .reasoning = {.budget = -1},
    };
    gemini_fields(top, tops, TOPS, at);
    int err = gemini_read_contents(&r, at[TOP_CONTENTS], at[TOP_SYSTEM]);
    if (!err)
        err = gemini_read_tools(&r, at[TOP_TOOLS], at[TOP_TOOL_CONFIG]);
    if (!err)
        err = read_config(&r, at[TOP_CONFIG]);
    if (!err)
        err = gemini_text_at(&r, at[TOP_TIER], "serviceTier", &ret->service_tier);
    if (!err && json_view_is_set(at[TOP_LABELS]) && at[TOP_LABELS].kind != JSON_MAP)
        err = gemini_refuse(&r, "labels", "must be an object");
    if (!err && at[TOP_LABELS].kind == JSON_MAP)
        ret->metadata_raw = at[TOP_LABELS].raw;
    if (!err)
        err = keep_others(&r, top);
    ret->extras = r.extras;
    ret->extra_count = r.extra_count;
    return err;
}
