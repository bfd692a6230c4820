/*
 * usageMetadata to the gateway's classes and back. The prompt includes what was cached and leaves
 * out what hosted tools fed to the model; candidates leave out the thoughts; the total is the sum
 * of the four.
 */
#include "dataplane/dialects/gemini_internal.h"

/* In the order of Google's enum Modality. */
static const char *const modalities[] = {NULL, "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT"};

enum {
    USAGE_PROMPT,
    USAGE_CANDIDATES,
    USAGE_THOUGHTS,
    USAGE_TOOL,
    USAGE_CACHED,
    USAGE_PROMPT_BY,
    USAGE_TOOL_BY,
    USAGE_CACHED_BY,
    USAGE_CANDIDATES_BY,
    USAGE_TIER,
    USAGE_TRAFFIC,
    USAGE_NAMES
};
static const char *const usage_names[USAGE_NAMES] = {
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "cachedContentTokenCount",
    "promptTokensDetails",
    "toolUsePromptTokensDetails",
    "cacheTokensDetails",
    "candidatesTokensDetails",
    "serviceTier",
    "trafficType",
};

/* -1: absent, null, or no count (which is suspect). */
static int64_t
count_of(struct json_view v, bool *suspect)
{
    int64_t n;
    if (!json_view_is_set(v))
        return -1;
    if (json_view_int(v, &n) == 0 && n >= 0 && n <= LIMIT_REPORTED_TOKENS)
        return n;
    *suspect = true;
    return -1;
}

/* The tokens of one modality in a list of {modality, tokenCount}. */
static int64_t
of_modality(struct json_view details, const char *modality, bool *suspect)
{
    size_t cursor = 0;
    int64_t sum = 0;
    struct slice name;
    struct json_view entry;
    while (details.kind == JSON_LIST && json_view_next(details, &cursor, &name, &entry)) {
        struct slice word = gemini_enum(json_view_get(entry, "modality"), modalities,
                                        sizeof(modalities) / sizeof(modalities[0]));
        int64_t n = count_of(json_view_get(entry, "tokenCount"), suspect);
        if (n > 0 && slice_is(word, modality) && sum <= LIMIT_REPORTED_TOKENS)
            sum += n;
    }
    return sum;
}

/* Fresh input of one modality: what was cached of it is counted as cached. */
static int64_t
fresh_of(const struct json_view *at, const char *modality, int64_t room, bool *suspect)
{
    int64_t n = of_modality(at[USAGE_PROMPT_BY], modality, suspect) +
                of_modality(at[USAGE_TOOL_BY], modality, suspect) -
                of_modality(at[USAGE_CACHED_BY], modality, suspect);
    return n < 0 ? 0 : usage_part(n, room, suspect);
}

static enum service_tier
tier_of(const struct json_view *at)
{
    enum service_tier tier;
    struct slice word = gemini_enum(at[USAGE_TIER], NULL, 0);
    struct slice traffic = gemini_enum(at[USAGE_TRAFFIC], NULL, 0);
    if (word.len && service_tier_parse(word, &tier) == 0)
        return tier;
    if (slice_is(traffic, "ON_DEMAND_FLEX"))
        return TIER_FLEX;
    return slice_is(traffic, "ON_DEMAND_PRIORITY") ? TIER_PRIORITY : TIER_STANDARD;
}

static int64_t
or_zero(int64_t n)
{
    return n < 0 ? 0 : n;
}

void
gemini_read_usage(struct json_view metadata, struct usage_report *report)
{
    struct json_view at[USAGE_NAMES];
    struct tokens t = {.web_searches = report->tokens.web_searches};
    bool suspect = false;
    gemini_fields(metadata, usage_names, USAGE_NAMES, at);
    int64_t prompt = count_of(at[USAGE_PROMPT], &suspect);
    int64_t candidates = count_of(at[USAGE_CANDIDATES], &suspect);
    int64_t thoughts = count_of(at[USAGE_THOUGHTS], &suspect);
    int64_t tool = count_of(at[USAGE_TOOL], &suspect);
    int64_t cached = count_of(at[USAGE_CACHED], &suspect);
    enum service_tier tier = tier_of(at);
    if (tier != TIER_STANDARD)
        report->tier = tier;
    report->suspect |= suspect;
    if (prompt < 0 && candidates < 0 && thoughts < 0 && tool < 0)
        return;
    int64_t input = or_zero(prompt) + or_zero(tool);
    t.cache_read = usage_part(cached, or_zero(prompt), &suspect);
    input -= t.cache_read;
    t.audio_input = fresh_of(at, "AUDIO", input, &suspect);
    t.image_input = fresh_of(at, "IMAGE", input - t.audio_input, &suspect);
    t.input = input - t.audio_input - t.image_input;
    int64_t output = or_zero(candidates);
    t.audio_output =
        usage_part(of_modality(at[USAGE_CANDIDATES_BY], "AUDIO", &suspect), output, &suspect);
    t.image_output = usage_part(of_modality(at[USAGE_CANDIDATES_BY], "IMAGE", &suspect),
                                output - t.audio_output, &suspect);
    t.output = output - t.audio_output - t.image_output;
    t.reasoning = or_zero(thoughts);
    report->tokens = t;
    report->seen = true;
    report->suspect |= suspect;
    report->has_input = prompt >= 0 || tool >= 0;
    report->has_output = candidates >= 0 || thoughts >= 0;
}

void
gemini_read_searches(struct json_view grounding, struct slice model, struct usage_report *report)
{
    struct json_view queries = gemini_get(grounding, "webSearchQueries"), query;
    struct slice name;
    size_t cursor = 0;
    int64_t n = 0;
    while (queries.kind == JSON_LIST && json_view_next(queries, &cursor, &name, &query))
        n += query.kind == JSON_TEXT && query.raw.len > 2;
    if (n > 1 && model.len && gemini_family_of(model) != GEMINI_3)
        n = 1;
    if (n > report->tokens.web_searches)
        report->tokens.web_searches = n;
}

void
gemini_read_accounts(struct json_view response, struct usage_report *report)
{
    static const char *const names[] = {"candidates", "usageMetadata", "modelVersion"};
    struct json_view at[3], candidate;
    struct slice name, model = {0};
    size_t cursor = 0;
    gemini_fields(response, names, 3, at);
    if (at[2].kind == JSON_TEXT)
        model = slice_make(at[2].raw.at + 1, at[2].raw.len - 2);
    while (at[0].kind == JSON_LIST && json_view_next(at[0], &cursor, &name, &candidate))
        gemini_read_searches(gemini_get(candidate, "groundingMetadata"), model, report);
    if (at[1].kind == JSON_MAP)
        gemini_read_usage(at[1], report);
}

/* --- written ---------------------------------------------------------------------------------- */

static void
write_modality(struct json_emit *e, const char *modality, int64_t n)
{
    if (n == 0)
        return;
    emit_map(e);
    emit_str_member(e, "modality", modality);
    emit_int_member(e, "tokenCount", n);
    emit_end_map(e);
}

static void
write_modalities(struct json_emit *e, const char *name, int64_t text, int64_t audio, int64_t image)
{
    if (text + audio + image == 0)
        return;
    emit_name(e, name);
    emit_list(e);
    write_modality(e, "TEXT", text);
    write_modality(e, "AUDIO", audio);
    write_modality(e, "IMAGE", image);
    emit_end_list(e);
}

void
gemini_write_usage(struct json_emit *e, const struct usage_report *report)
{
    const struct tokens *t = &report->tokens;
    int64_t input = tokens_input(t), output = tokens_output(t) - t->reasoning;
    emit_map(e);
    emit_int_member(e, "promptTokenCount", input);
    emit_int_member(e, "candidatesTokenCount", output);
    if (t->reasoning)
        emit_int_member(e, "thoughtsTokenCount", t->reasoning);
    if (t->cache_read)
        emit_int_member(e, "cachedContentTokenCount", t->cache_read);
    emit_int_member(e, "totalTokenCount", input + output + t->reasoning);
    write_modalities(e, "promptTokensDetails", input - t->audio_input - t->image_input,
                     t->audio_input, t->image_input);
    write_modalities(e, "candidatesTokensDetails", t->output, t->audio_output, t->image_output);
    emit_end_map(e);
}
