/* Usage as Responses report it: all input with the cached part in its details, all output with the
 * reasoning in its. */
#include "dataplane/dialects/responses_internal.h"

/* -1: absent. What is no count is suspect. */
static int64_t
count_of(struct json_view v, bool *suspect)
{
    int64_t n = json_view_int_or(v, -1);
    if (json_view_is_set(v) && (n < 0 || n > LIMIT_REPORTED_TOKENS)) {
        *suspect = true;
        return -1;
    }
    return n;
}

static int64_t
detail(struct json_view usage, const char *map, const char *name, bool *suspect)
{
    return count_of(json_view_get(json_view_get(usage, map), name), suspect);
}

/* Providers that do not say how often their search ran leave its calls in the output. */
static int64_t
count_search_calls(struct json_view output)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view item;
    int64_t n = 0;
    while (json_view_next(output, &cursor, &name, &item)) {
        if (!json_view_is(json_view_get(item, "type"), "web_search_call"))
            continue;
        struct json_view action = json_view_get(json_view_get(item, "action"), "type");
        n += action.kind != JSON_TEXT || json_view_is(action, "search"); /* not to open a page */
    }
    return n;
}

static int64_t
searches(struct json_view response, struct json_view usage)
{
    struct json_view ours = json_view_get(json_view_get(response, "tool_usage"), "web_search");
    struct json_view xai = json_view_get(usage, "server_side_tool_usage_details");
    int64_t n = json_view_int_or(json_view_get(ours, "num_requests"), -1);
    if (n < 0)
        n = json_view_int_or(json_view_get(xai, "web_search_calls"), -1);
    if (n < 0)
        n = count_search_calls(json_view_get(response, "output"));
    return n > LIMIT_REPORTED_TOKENS ? 0 : n;
}

void
responses_read_usage(struct json_view response, struct usage_report *report)
{
    struct json_view usage = json_view_get(response, "usage");
    struct json_view tier = json_view_get(response, "service_tier");
    struct usage_report r = {0};
    struct tokens *t = &r.tokens;
    if (tier.kind == JSON_TEXT &&
        service_tier_parse(slice_make(tier.raw.at + 1, tier.raw.len - 2), &r.tier) != 0)
        r.tier = TIER_STANDARD;
    if (usage.kind == JSON_MAP) {
        int64_t input = count_of(json_view_get(usage, "input_tokens"), &r.suspect);
        int64_t output = count_of(json_view_get(usage, "output_tokens"), &r.suspect);
        int64_t cached = detail(usage, "input_tokens_details", "cached_tokens", &r.suspect);
        int64_t written = detail(usage, "input_tokens_details", "cache_write_tokens", &r.suspect);
        int64_t thought = detail(usage, "output_tokens_details", "reasoning_tokens", &r.suspect);
        r.has_input = input >= 0;
        r.has_output = output >= 0;
        r.seen = r.has_input || r.has_output;
        input = input < 0 ? 0 : input;
        output = output < 0 ? 0 : output;
        t->reasoning = usage_part(thought, output, &r.suspect);
        t->output = output - t->reasoning;
        t->cache_read = usage_part(cached, input, &r.suspect);
        t->cache_write = usage_part(written, input - t->cache_read, &r.suspect);
        t->input = input - t->cache_read - t->cache_write;
        t->web_searches = searches(response, usage);
    }
    usage_merge(report, &r);
}
