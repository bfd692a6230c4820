#include "dataplane/dialects/openai.h"

#include <string.h>

const char *const openai_members[OPENAI_MEMBERS] = {
    [MEMBER_MODEL] = "model",
    [MEMBER_STREAM] = "stream",
    [MEMBER_STREAM_OPTIONS] = "stream_options",
    [MEMBER_MAX_TOKENS] = "max_tokens",
    [MEMBER_MAX_COMPLETION_TOKENS] = "max_completion_tokens",
    [MEMBER_N] = "n",
    [MEMBER_USER] = "user",
    [MEMBER_MESSAGES] = "messages",
    [MEMBER_PROMPT] = "prompt",
    [MEMBER_INPUT] = "input",
    [MEMBER_TOOLS] = "tools",
};

/* --- usage ------------------------------------------------------------------------------------ */

/* No answer has more tokens of one kind: a report above it is an error, not a bill. */
#define LIMIT_REPORTED_TOKENS INT64_C(100000000)

/* The counts as providers spell them. -1: absent. */
struct counts {
    int64_t prompt, completion, total, cached, cache_write, reasoning;
    bool suspect;
};

static int64_t
read_count(struct slice text, struct json_span value, struct counts *c)
{
    int64_t n;
    if (value.kind == JSON_NULL_)
        return -1;
    if (value.kind != JSON_NUMBER || json_int(text, value, &n) || n < 0 ||
        n > LIMIT_REPORTED_TOKENS) {
        c->suspect = true;
        return -1;
    }
    return n;
}

static void
read_details(struct slice text, struct json_span map, struct counts *c)
{
    struct json_span name, value;
    size_t cursor = map.start;
    if (map.kind != JSON_MAP)
        return;
    while (json_next(text, map, &cursor, &name, &value)) {
        struct slice n = json_raw(text, name);
        if (slice_is(n, "\"cached_tokens\""))
            c->cached = read_count(text, value, c);
        else if (slice_is(n, "\"cache_write_tokens\""))
            c->cache_write = read_count(text, value, c);
        else if (slice_is(n, "\"reasoning_tokens\""))
            c->reasoning = read_count(text, value, c);
    }
}

static void
read_counts(struct slice text, struct counts *c)
{
    struct json_span map = {JSON_MAP, 0, text.len, 0}, name, value;
    size_t cursor = 0;
    while (json_next(text, map, &cursor, &name, &value)) {
        struct slice n = json_raw(text, name);
        if (slice_is(n, "\"prompt_tokens\""))
            c->prompt = read_count(text, value, c);
        else if (slice_is(n, "\"completion_tokens\""))
            c->completion = read_count(text, value, c);
        else if (slice_is(n, "\"total_tokens\""))
            c->total = read_count(text, value, c);
        else if (slice_is(n, "\"prompt_tokens_details\"") ||
                 slice_is(n, "\"completion_tokens_details\""))
            read_details(text, value, c);
        else if (slice_is(n, "\"prompt_cache_hit_tokens\"") || /* DeepSeek */
                 slice_is(n, "\"cached_tokens\""))             /* Together, Moonshot */
            c->cached = read_count(text, value, c);
    }
}

/* A part cannot be more than its whole. */
static int64_t
part_of(int64_t part, int64_t whole, bool *suspect)
{
    if (part < 0)
        return 0;
    if (part > whole) {
        *suspect = true;
        return whole;
    }
    return part;
}

static int64_t
total_of(const struct tokens *t)
{
    return t->input + t->cache_read + t->cache_write + t->cache_write_1h + t->output + t->reasoning;
}

void
openai_read_usage(struct slice object, struct usage_report *report)
{
    struct counts c = {-1, -1, -1, -1, -1, -1, false};
    struct tokens t = {0};
    read_counts(object, &c);
    if (c.prompt < 0 && c.completion < 0 && c.total >= 0)
        c.prompt = c.total; /* embeddings of those who report a total only */
    if (c.prompt < 0 && c.completion < 0) {
        report->suspect |= c.suspect;
        return;
    }
    int64_t prompt = c.prompt < 0 ? 0 : c.prompt, output = c.completion < 0 ? 0 : c.completion;
    /* xAI counts reasoning beside completion_tokens, and says so by its total. */
    if (c.reasoning > 0 && c.total == prompt + output + c.reasoning)
        output += c.reasoning;
    t.reasoning = part_of(c.reasoning, output, &c.suspect);
    t.output = output - t.reasoning;
    t.cache_read = part_of(c.cached, prompt, &c.suspect);
    t.cache_write = part_of(c.cache_write, prompt - t.cache_read, &c.suspect);
    t.input = prompt - t.cache_read - t.cache_write;

    report->suspect |= c.suspect;
    if (report->seen && total_of(&t) < total_of(&report->tokens)) {
        report->suspect = true; /* a running count went backwards: the larger one stands */
        return;
    }
    report->tokens = t;
    report->seen = true;
    report->has_input = c.prompt >= 0;
    report->has_output = c.completion >= 0;
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

/* --- lists ------------------------------------------------------------------------------------ */

int
openai_write_model(struct buf *into, const struct policy_model *m)
{
    int err = buf_add_str(into, "{\"id\":");
    if (!err)
        err = json_quote(into, m->name);
    if (!err)
        err = buf_addf(into, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"headgate\"}",
                       (long long)m->created_unix_s);
    return err;
}
