#include "dataplane/dialects/openai.h"

#include <stddef.h>
#include <string.h>

const char *const openai_members[OPENAI_MEMBERS] = {
    [MEMBER_MODEL] = "model",
    [MEMBER_STREAM] = "stream",
    [MEMBER_STREAM_OPTIONS] = "stream_options",
    [MEMBER_MAX_TOKENS] = "max_tokens",
    [MEMBER_MAX_COMPLETION_TOKENS] = "max_completion_tokens",
    [MEMBER_N] = "n",
    [MEMBER_USER] = "user",
    [MEMBER_METADATA] = "metadata",
    [MEMBER_MESSAGES] = "messages",
    [MEMBER_PROMPT] = "prompt",
    [MEMBER_INPUT] = "input",
    [MEMBER_TOOLS] = "tools",
    [MEMBER_FUNCTIONS] = "functions",
    [MEMBER_BEST_OF] = "best_of",
};

/* --- usage ------------------------------------------------------------------------------------ */

/* The counts as providers spell them. -1: absent. */
struct counts {
    int64_t prompt, completion, total, cached, cache_write, reasoning;
    int64_t audio_input, audio_output, image_input, image_output, searches;
    bool suspect;
    bool in_output; /* the details that are being read are of the output */
};

static bool
ends_value(const char *at, const char *end)
{
    return at == end || *at == ',' || *at == '}' || *at == ' ' || *at == '\n' || *at == '\r' ||
           *at == '\t';
}

/* A value that should be a count: -1 for null, and for what is none. */
static int64_t
read_count(const char *at, const char *end, struct counts *c)
{
    const char *start = at;
    int64_t n = 0;
    while (at < end && *at >= '0' && *at <= '9' && n <= LIMIT_REPORTED_TOKENS)
        n = n * 10 + (*at++ - '0');
    if (at > start && n <= LIMIT_REPORTED_TOKENS && ends_value(at, end))
        return n;
    c->suspect |= end - start < 4 || memcmp(start, "null", 4) != 0;
    return -1;
}

/* The counts by name and depth: 1 is the usage object itself, 2 its details, of one side or of
 * either. */
enum side { EITHER, OF_INPUT, OF_OUTPUT };
static const struct count_row {
    struct slice name;
    unsigned depth;
    enum side side;
    size_t into;
} count_rows[] = {
    {{"prompt_tokens", 13}, 1, EITHER, offsetof(struct counts, prompt)},
    {{"completion_tokens", 17}, 1, EITHER, offsetof(struct counts, completion)},
    {{"total_tokens", 12}, 1, EITHER, offsetof(struct counts, total)},
    {{"cached_tokens", 13}, 2, EITHER, offsetof(struct counts, cached)},
    {{"reasoning_tokens", 16}, 2, EITHER, offsetof(struct counts, reasoning)},
    {{"cache_write_tokens", 18}, 2, EITHER, offsetof(struct counts, cache_write)},
    {{"audio_tokens", 12}, 2, OF_INPUT, offsetof(struct counts, audio_input)},
    {{"audio_tokens", 12}, 2, OF_OUTPUT, offsetof(struct counts, audio_output)},
    {{"image_tokens", 12}, 2, OF_INPUT, offsetof(struct counts, image_input)},
    {{"image_tokens", 12}, 2, OF_OUTPUT, offsetof(struct counts, image_output)},
    {{"prompt_cache_hit_tokens", 23}, 1, EITHER, offsetof(struct counts, cached)}, /* DeepSeek */
    {{"cached_tokens", 13}, 1, EITHER, offsetof(struct counts, cached)}, /* Together, Moonshot */
    {{"num_cached_tokens", 17}, 1, EITHER, offsetof(struct counts, cached)}, /* Mistral */
    {{"cache_creation_input_tokens", 27}, 2, OF_INPUT, offsetof(struct counts, cache_write)},
    {{"reasoning_tokens", 16}, 1, EITHER, offsetof(struct counts, reasoning)},   /* Perplexity */
    {{"num_search_queries", 18}, 1, EITHER, offsetof(struct counts, searches)},  /* the same */
    {{"web_search_requests", 19}, 2, EITHER, offsetof(struct counts, searches)}, /* OpenRouter */
};

static void
take_member(struct slice name, unsigned depth, const char *value, const char *end, struct counts *c)
{
    if (depth == 1)
        c->in_output = slice_starts(name, SLICE("completion"));
    for (size_t i = 0; i < sizeof(count_rows) / sizeof(count_rows[0]); i++) {
        const struct count_row *row = &count_rows[i];
        if (depth == row->depth && slice_eq(name, row->name) &&
            (row->side == EITHER || (row->side == OF_OUTPUT) == c->in_output))
            *(int64_t *)(void *)((char *)c + row->into) = read_count(value, end, c);
    }
}

static const char *
skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* at: behind an opening quote in valid JSON; the quote that closes it. */
static const char *
closing_quote(const char *at, const char *end)
{
    for (;;) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        if (!quote)
            return end;
        const char *back = quote;
        while (back > at && back[-1] == '\\')
            back--;
        if ((quote - back) % 2 == 0)
            return quote;
        at = quote + 1;
    }
}

/* at: an opening quote in valid JSON. Takes the member when it is a name; returns what is behind.
 */
static const char *
pass_text(const char *at, const char *end, unsigned depth, struct counts *c)
{
    const char *start = at + 1, *quote = closing_quote(start, end);
    if (quote == end)
        return end;
    const char *colon = skip_space(quote + 1, end);
    if (colon < end && *colon == ':')
        take_member(slice_make(start, (size_t)(quote - start)), depth, skip_space(colon + 1, end),
                    end, c);
    return quote + 1;
}

/* One pass over the object, which every answer has: walking it member by member would pass over its
 * details several times. */
static void
read_counts(struct slice text, struct counts *c)
{
    const char *at = text.at, *end = text.at + text.len;
    unsigned depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = pass_text(at, end, depth, c);
            continue;
        }
        if (*at == '{' || *at == '[')
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        at++;
    }
}

/* The classes of the input, each of which leaves what is fresh text; all of the input. */
static int64_t
split_input(struct counts *c, int64_t prompt, struct tokens *t)
{
    /* Grok's cached tokens may stand beside prompt_tokens; the total tells. */
    if (c->cached > prompt && c->total >= prompt + c->cached + c->completion)
        prompt += c->cached;
    t->cache_read = usage_part(c->cached, prompt, &c->suspect);
    t->cache_write = usage_part(c->cache_write, prompt - t->cache_read, &c->suspect);
    int64_t rest = prompt - t->cache_read - t->cache_write;
    bool overlaps = false; /* sound and pictures may be among the cached tokens */
    t->audio_input = usage_part(c->audio_input, rest, &overlaps);
    t->image_input = usage_part(c->image_input, rest - t->audio_input, &overlaps);
    t->input = rest - t->audio_input - t->image_input;
    return prompt;
}

static void
split_output(struct counts *c, int64_t prompt, int64_t output, struct tokens *t)
{
    /* xAI counts reasoning beside completion_tokens, and says so by its total. */
    if (c->reasoning > 0 && c->total == prompt + output + c->reasoning)
        output += c->reasoning;
    t->reasoning = usage_part(c->reasoning, output, &c->suspect);
    t->audio_output = usage_part(c->audio_output, output - t->reasoning, &c->suspect);
    t->image_output =
        usage_part(c->image_output, output - t->reasoning - t->audio_output, &c->suspect);
    t->output = output - t->reasoning - t->audio_output - t->image_output;
}

void
openai_read_usage(struct slice object, struct usage_report *report)
{
    struct counts c = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, false, false};
    struct tokens t = {0};
    read_counts(object, &c);
    if (c.prompt < 0 && c.completion < 0 && c.total >= 0)
        c.prompt = c.total; /* embeddings of those who report a total only */
    if (c.prompt < 0 && c.completion < 0) {
        report->suspect |= c.suspect;
        return;
    }
    int64_t prompt = c.prompt < 0 ? 0 : c.prompt, output = c.completion < 0 ? 0 : c.completion;
    prompt = split_input(&c, prompt, &t);
    split_output(&c, prompt, output, &t);
    t.web_searches = c.searches > 0 ? c.searches : 0;

    usage_merge(report, &(struct usage_report){.seen = true,
                                               .has_input = c.prompt >= 0,
                                               .has_output = c.completion >= 0,
                                               .suspect = c.suspect,
                                               .tokens = t});
}

/* --- errors ----------------------------------------------------------------------------------- */

static int
add_member(struct buf *into, const char *name, struct slice value)
{
    int err = buf_addf(into, ",\"%s\":", name);
    if (err)
        return err;
    return value.len ? json_quote(into, value) : buf_add_str(into, "null");
}

int
openai_write_error(struct buf *into, const struct openai_error *e)
{
    int err = buf_add_str(into, "{\"error\":{\"message\":");
    if (!err)
        err = json_quote(into, e->message);
    if (!err)
        err = add_member(into, "type", e->type);
    if (!err)
        err = add_member(into, "param", e->param);
    if (!err)
        err = add_member(into, "code", e->code);
    if (!err)
        err = buf_addf(into, ",\"source\":\"%s\"}}", e->source);
    return err;
}

/* A text, or a number's digits; empty for anything else. Cut at max bytes, at a character. */
static int
read_text(struct slice text, struct json_span v, size_t max, struct arena *a, struct slice *ret)
{
    *ret = (struct slice){0};
    if (v.kind == JSON_NUMBER) {
        *ret = json_raw(text, v);
    } else if (v.kind == JSON_TEXT) {
        int err = json_text(text, v, a, ret);
        if (err)
            return err;
    }
    if (ret->len > max) {
        ret->len = max;
        while (ret->len > 0 && ((unsigned char)ret->at[ret->len] & 0xC0) == 0x80)
            ret->len--;
    }
    return 0;
}

enum { ERROR_MESSAGE, ERROR_TYPE, ERROR_CODE, ERROR_PARAM, ERROR_ERROR, ERROR_DETAIL, ERROR_NAMES };
static const char *const error_names[ERROR_NAMES] = {"message", "type",  "code",
                                                     "param",   "error", "detail"};

static int
read_error_map(struct slice text, const struct json_span *at, struct arena *a,
               struct openai_error *e, int *ret_status)
{
    int64_t status;
    int err = read_text(text, at[ERROR_MESSAGE], LIMIT_ERROR_MESSAGE_BYTES, a, &e->message);
    if (!err)
        err = read_text(text, at[ERROR_TYPE], 128, a, &e->type);
    if (!err)
        err = read_text(text, at[ERROR_CODE], 128, a, &e->code);
    if (!err)
        err = read_text(text, at[ERROR_PARAM], 256, a, &e->param);
    if (at[ERROR_CODE].kind == JSON_NUMBER && !json_int(text, at[ERROR_CODE], &status) &&
        status >= 400 && status <= 599)
        *ret_status = (int)status;
    return err;
}

int
openai_read_error(struct slice body, struct arena *a, struct openai_error *e, int *ret_status)
{
    struct json_span at[ERROR_NAMES];
    struct json_error why;
    int err = 0;
    *e = (struct openai_error){.source = "provider"};
    *ret_status = 0;
    if (json_scan(body, &json_limits_default, error_names, ERROR_NAMES, at, NULL, &why) == 0) {
        if (at[ERROR_ERROR].kind == JSON_MAP) {
            struct slice inner = json_raw(body, at[ERROR_ERROR]);
            struct json_span in[ERROR_NAMES];
            if (json_scan(inner, &json_limits_default, error_names, ERROR_NAMES, in, NULL, &why) ==
                0)
                err = read_error_map(inner, in, a, e, ret_status);
        } else if (at[ERROR_ERROR].kind == JSON_TEXT) {
            err = read_text(body, at[ERROR_ERROR], LIMIT_ERROR_MESSAGE_BYTES, a, &e->message);
            if (!err)
                err = read_text(body, at[ERROR_CODE], 128, a, &e->code);
        } else if (at[ERROR_DETAIL].kind == JSON_TEXT) {
            err = read_text(body, at[ERROR_DETAIL], LIMIT_ERROR_MESSAGE_BYTES, a, &e->message);
        } else {
            err = read_error_map(body, at, a, e, ret_status);
        }
    }
    if (e->message.len == 0)
        e->message = SLICE("The provider answered with an error and no readable message.");
    return err == ERR_NOMEM ? err : 0;
}
