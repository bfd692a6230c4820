/* See litellm.h. */
#include "controlplane/compat/litellm.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MOST_S (INT64_C(36525) * 86400) /* a hundred years */

static const struct litellm_vendor vendors[] = {
    {"openai", "openai", "OPENAI_API_KEY"},
    {"azure", "azure-openai", "AZURE_API_KEY"},
    {"anthropic", "anthropic", "ANTHROPIC_API_KEY"},
    {"gemini", "gemini", "GEMINI_API_KEY"},
    {"vertex_ai", "vertex", NULL},
    {"bedrock", "bedrock", NULL},
    {"cohere", "cohere", "COHERE_API_KEY"},
    {"cohere_chat", "cohere", "COHERE_API_KEY"},
    {"mistral", "mistral", "MISTRAL_API_KEY"},
    {"groq", "groq", "GROQ_API_KEY"},
    {"together_ai", "together", "TOGETHERAI_API_KEY"},
    {"deepseek", "deepseek", "DEEPSEEK_API_KEY"},
    {"xai", "xai", "XAI_API_KEY"},
    {"openrouter", "openrouter", "OPENROUTER_API_KEY"},
    {"fireworks_ai", "fireworks", "FIREWORKS_AI_API_KEY"},
    {"cerebras", "cerebras", "CEREBRAS_API_KEY"},
    {"perplexity", "perplexity", "PERPLEXITYAI_API_KEY"},
    {"huggingface", "huggingface", "HUGGINGFACE_API_KEY"},
    {"ollama", "ollama", NULL},
    {"ollama_chat", "ollama", NULL},
    {"hosted_vllm", "vllm", NULL},
    {"vllm", "vllm", NULL},
};

const struct litellm_rate litellm_rates[LITELLM_RATES] = {
    {"requests_per_minute", "rpm", "rpm_limit"},
    {"tokens_per_minute", "tpm", "tpm_limit"},
    {"concurrent_requests", NULL, "max_parallel_requests"},
};

const struct litellm_price litellm_prices[LITELLM_PRICES] = {
    {"input_per_mtok_usd", "input_cost_per_token"},
    {"output_per_mtok_usd", "output_cost_per_token"},
    {"cached_input_per_mtok_usd", "cache_read_input_token_cost"},
    {"cache_write_per_mtok_usd", "cache_creation_input_token_cost"},
};

const struct litellm_vendor *
litellm_vendor(struct slice prefix)
{
    for (size_t i = 0; i < COUNT(vendors); i++)
        if (slice_is(prefix, vendors[i].prefix))
            return &vendors[i];
    return NULL;
}

const struct litellm_vendor *
litellm_vendor_of_kind(struct slice kind)
{
    if (slice_is(kind, "openai-compatible"))
        return &vendors[0];
    for (size_t i = 0; i < COUNT(vendors); i++)
        if (slice_is(kind, vendors[i].kind))
            return &vendors[i];
    return NULL;
}

/* ---- durations ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int64_t seconds; /* 0: months */
} units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800}, {"mo", 0}};

/* *ret_seconds: of one unit; 0: months. */
static int
parse(struct slice text, int64_t *ret_count, int64_t *ret_seconds)
{
    unsigned long long n;
    size_t digits = 0;
    while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    if (digits == 0 || slice_to_u64(slice_make(text.at, digits), &n) != 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < COUNT(units); i++)
        if (slice_is(slice_from(text, digits), units[i].name)) {
            *ret_seconds = units[i].seconds;
            *ret_count = (int64_t)n;
            return n > 0 && n <= MOST_S ? 0 : ERR_RANGE;
        }
    return ERR_SYNTAX;
}

static int
days_of(int month, int year)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 1 && leap ? 29 : days[month];
}

static int
add_months(int64_t from_ms, int64_t count, int64_t *ret_ms)
{
    time_t from = (time_t)(from_ms / 1000);
    struct tm tm;
    if (count > 1200 || !gmtime_r(&from, &tm))
        return ERR_RANGE;
    tm.tm_year += (int)((tm.tm_mon + count) / 12);
    tm.tm_mon = (int)((tm.tm_mon + count) % 12);
    int last = days_of(tm.tm_mon, tm.tm_year + 1900);
    if (tm.tm_mday > last)
        tm.tm_mday = last;
    *ret_ms = (int64_t)timegm(&tm) * 1000 + from_ms % 1000;
    return 0;
}

int
litellm_after(struct slice duration, int64_t from_wall_ms, int64_t *ret_wall_ms)
{
    int64_t count, seconds;
    int err = parse(duration, &count, &seconds);
    if (err)
        return err;
    if (seconds == 0)
        return add_months(from_wall_ms, count, ret_wall_ms);
    if (count > MOST_S / seconds)
        return ERR_RANGE;
    *ret_wall_ms = from_wall_ms + count * seconds * 1000;
    return 0;
}

/* LiteLLM resets at midnight, on Mondays and on the first of a month where the duration is one of
 * these; so does the calendar. */
static const struct {
    int64_t seconds;
    const char *period, *duration;
} periods[] = {{3600, "hour", "1h"},
               {86400, "day", "1d"},
               {604800, "week", "7d"},
               {INT64_C(2592000), "month", "30d"}};

const char *
litellm_period(struct slice duration)
{
    int64_t count, seconds;
    if (parse(duration, &count, &seconds) != 0)
        return NULL;
    if (seconds == 0)
        return count == 1 ? "month" : NULL;
    for (size_t i = 0; i < COUNT(periods); i++)
        if (periods[i].seconds % seconds == 0 && periods[i].seconds / seconds == count)
            return periods[i].period;
    return NULL;
}

const char *
litellm_duration(struct slice period)
{
    for (size_t i = 0; i < COUNT(periods); i++)
        if (slice_is(period, periods[i].period))
            return periods[i].duration;
    return NULL;
}

/* ---- tags ------------------------------------------------------------------------------------ */

int
litellm_add_tag(struct json *tags, struct slice text)
{
    size_t at = 0;
    while (at < text.len && text.at[at] != ':' && text.at[at] != '=')
        at++;
    struct slice name = slice_trim(slice_make(text.at, at));
    struct slice value = at < text.len ? slice_trim(slice_from(text, at + 1)) : SLICE("true");
    if (name.len == 0)
        return ERR_SYNTAX;
    char *owned = slice_dup(name);
    int err = owned ? json_set_text(tags, owned, value) : ERR_NOMEM;
    free(owned);
    return err;
}
