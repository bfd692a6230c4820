/*
 * Anthropic's usage object. input_tokens counts neither kind of cached input, output_tokens counts
 * thinking in. Runs of the model that the totals leave out though they are billed (compaction of
 * the context, the advisor's) stand in `iterations` and are added, at the price of the model that
 * was asked for; runs of type "message" are in the totals already.
 */
#include "dataplane/dialects/anthropic_internal.h"

enum {
    USAGE_INPUT,
    USAGE_READ,
    USAGE_WRITE,
    USAGE_WRITES,
    USAGE_OUTPUT,
    USAGE_DETAILS,
    USAGE_SERVER,
    USAGE_TIER,
    USAGE_ITERATIONS,
    USAGE_TYPE,
    USAGE_MEMBERS
};
static const char *const members[USAGE_MEMBERS] = {
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "output_tokens",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
    "iterations",
    "type",
};

/* -1: absent, or no count (then *suspect). */
static int64_t
read_count(struct json_view v, bool *suspect)
{
    int64_t n;
    if (!json_view_is_set(v))
        return -1;
    if (v.kind == JSON_NUMBER && json_view_int(v, &n) == 0 && n >= 0 && n <= LIMIT_REPORTED_TOKENS)
        return n;
    *suspect = true;
    return -1;
}

static int64_t
read_member(struct json_view map, const char *name, bool *suspect)
{
    return read_count(json_view_get(map, name), suspect);
}

/* Cache writes: a total, and how much of it is of which lifetime. Where only the total is told
 * (message_delta) what was known of the lifetimes stands. */
static void
take_writes(const struct json_view *at, struct tokens *t, bool *suspect)
{
    int64_t total = read_count(at[USAGE_WRITE], suspect);
    int64_t hour = read_member(at[USAGE_WRITES], "ephemeral_1h_input_tokens", suspect);
    int64_t minutes = read_member(at[USAGE_WRITES], "ephemeral_5m_input_tokens", suspect);
    if (total < 0 && hour < 0 && minutes < 0)
        return;
    if (total < 0)
        total = (hour < 0 ? 0 : hour) + (minutes < 0 ? 0 : minutes);
    if (hour < 0 && minutes < 0) {
        bool all_hour = t->cache_write_1h > 0 && t->cache_write == 0;
        hour = all_hour || t->cache_write_1h > total ? total : t->cache_write_1h;
    } else if (hour < 0) {
        hour = total - usage_part(minutes, total, suspect);
    }
    t->cache_write_1h = usage_part(hour, total, suspect);
    t->cache_write = total - t->cache_write_1h;
}

static void
take_counts(const struct json_view *at, struct usage_report *r)
{
    struct tokens *t = &r->tokens;
    int64_t input = read_count(at[USAGE_INPUT], &r->suspect);
    int64_t read = read_count(at[USAGE_READ], &r->suspect);
    int64_t output = read_count(at[USAGE_OUTPUT], &r->suspect);
    int64_t thinking = read_member(at[USAGE_DETAILS], "thinking_tokens", &r->suspect);
    if (input >= 0) {
        t->input = input;
        r->has_input = true;
    }
    if (read >= 0)
        t->cache_read = read;
    take_writes(at, t, &r->suspect);
    if (output < 0)
        return;
    t->reasoning = usage_part(thinking, output, &r->suspect);
    t->output = output - t->reasoning;
    r->has_output = true;
}

static bool
is_outside_totals(struct json_view type)
{
    return json_view_is(type, "compaction") || json_view_is(type, "advisor_message");
}

static void
add_iterations(struct json_view list, struct usage_report *r)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view run, at[USAGE_MEMBERS];
    while (json_view_next(list, &cursor, &name, &run)) {
        struct usage_report of = {0};
        json_view_fields(run, members, USAGE_MEMBERS, at);
        if (!is_outside_totals(at[USAGE_TYPE]))
            continue;
        take_counts(at, &of);
        for (int c = 0; c < CLASS_TOKENS; c++)
            r->tokens.of[c] += of.tokens.of[c];
        r->suspect |= of.suspect;
    }
}

void
anthropic_take_usage(struct json_view usage, struct usage_report *report)
{
    struct json_view at[USAGE_MEMBERS];
    enum service_tier tier;
    if (usage.kind != JSON_MAP)
        return;
    json_view_fields(usage, members, USAGE_MEMBERS, at);
    take_counts(at, report);
    int64_t searches = read_member(at[USAGE_SERVER], "web_search_requests", &report->suspect);
    if (searches >= 0)
        report->tokens.web_searches = searches;
    add_iterations(at[USAGE_ITERATIONS], report);
    report->seen |= report->has_input || report->has_output;
    struct json_view name = at[USAGE_TIER]; /* no tier's name has an escape */
    if (name.kind == JSON_TEXT &&
        service_tier_parse(slice_make(name.raw.at + 1, name.raw.len - 2), &tier) == 0)
        report->tier = tier;
}

void
anthropic_begin_usage(struct json_view message, struct usage_report *report)
{
    const struct tokens *t = &report->tokens;
    bool had_input = report->has_input, had_output = report->has_output;
    anthropic_take_usage(json_view_get(message, "usage"), report);
    if (json_view_is_set(json_view_get(message, "stop_reason")))
        return;
    report->has_output = had_output;
    if (t->input + t->cache_read + t->cache_write + t->cache_write_1h == 0)
        report->has_input = had_input;
}
