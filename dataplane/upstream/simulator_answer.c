#include "dataplane/upstream/simulator_answer.h"

#include "dataplane/upstream/simulator_schema.h"
#include "lib/base/encode.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CREATED 1767225600 /* the same answer every time: its date as well */
#define LIMIT_ANSWER_BYTES ((size_t)48 << 20)
#define LIMIT_CHOICES 8
#define LIMIT_INPUTS 2048
#define DEFAULT_DIMENSIONS 1536

/* --- a cursor that writes until the first failure --------------------------------------------- */

struct writer {
    struct buf *into;
    int err;
};

__attribute__((format(printf, 2, 3))) static void
add(struct writer *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!w->err)
        w->err = buf_vaddf(w->into, format, args);
    va_end(args);
}

static void
add_quoted(struct writer *w, struct slice text)
{
    if (!w->err)
        w->err = json_quote(w->into, text);
}

/* --- what is said ----------------------------------------------------------------------------- */

struct speech {
    struct buf text;   /* the content, or a tool call's arguments */
    size_t words;      /* pieces it is sent in */
    size_t *ends;      /* where each word ends; NULL: pieces of equal length */
    struct slice tool; /* name of the tool called; at == NULL: none */
    int64_t tokens;
    const char *finish;
};

static const char *const vocabulary[] = {
    "simulated", "answers", "are",   "the",    "same", "every",  "time", "and",
    "cost",      "nothing", "but",   "a",      "few",  "cycles", "of",   "patience",
    "which",     "makes",   "tests", "simple", "to",   "write",  "for",  "everyone",
};
#define VOCABULARY (sizeof(vocabulary) / sizeof(vocabulary[0]))

static int
say_words(struct speech *s, uint32_t seed, int64_t count)
{
    int err = 0;
    s->ends = calloc((size_t)count + 1, sizeof(*s->ends));
    if (!s->ends)
        return ERR_NOMEM;
    for (int64_t i = 0; i < count && !err; i++) {
        seed = seed * 1664525u + 1013904223u;
        err = buf_addf(&s->text, "%s%s", i ? " " : "",
                       i < 4 ? (const char *const[]){"This", "is", "a", "simulation:"}[i]
                             : vocabulary[(seed >> 16) % VOCABULARY]);
        s->ends[i] = s->text.len;
    }
    s->words = (size_t)count;
    s->tokens = count;
    return err;
}

/* JSON is sent in pieces of a few bytes, as models do. */
static int
say_json(struct speech *s, const struct json *schema)
{
    int err = simulator_schema_write(schema, &s->text);
    s->words = (s->text.len + 7) / 8;
    s->tokens = (int64_t)(s->text.len + 3) / 4;
    return err;
}

static const struct json *
chosen_tool(const struct json *request)
{
    struct json *tools = json_get(request, "tools"), *choice = json_get(request, "tool_choice");
    struct json *messages = json_get(request, "messages");
    struct json *last = json_at(messages, json_size(messages) - 1);
    struct slice named = json_str(json_get(json_get(choice, "function"), "name"));
    if (json_size(tools) == 0 || slice_is(json_str(choice), "none"))
        return NULL;
    if (!choice || slice_is(json_str(choice), "auto")) { /* after a tool's result: words */
        if (slice_is(json_str(json_get(last, "role")), "tool"))
            return NULL;
    }
    for (size_t i = 0; i < json_size(tools); i++) {
        struct json *function = json_get(json_at(tools, i), "function");
        if (function && (!named.at || slice_eq(named, json_str(json_get(function, "name")))))
            return function;
    }
    return NULL;
}

static int64_t
output_limit(const struct json *request)
{
    int64_t n;
    if (json_to_int(json_get(request, "max_completion_tokens"), &n) == 0 && n > 0)
        return n;
    if (json_to_int(json_get(request, "max_tokens"), &n) == 0 && n > 0)
        return n;
    return INT64_MAX;
}

static int
say(struct speech *s, const struct json *request, const struct simulator_plan *plan, uint32_t seed)
{
    const struct json *tool = chosen_tool(request), *format = json_get(request, "response_format");
    int64_t words = plan->chunks ? plan->chunks : plan->words, limit = output_limit(request);
    buf_init(&s->text, LIMIT_ANSWER_BYTES);
    s->finish = "stop";
    if (tool) {
        s->tool = json_str(json_get(tool, "name"));
        s->finish = "tool_calls";
        return say_json(s, json_get(tool, "parameters"));
    }
    if (slice_is(json_str(json_get(format, "type")), "json_schema"))
        return say_json(s, json_get(json_get(format, "json_schema"), "schema"));
    if (slice_is(json_str(json_get(format, "type")), "json_object")) {
        s->words = 3;
        s->tokens = 6;
        return buf_add_str(&s->text, "{\"answer\":\"simulated\"}");
    }
    if (words > limit) {
        words = limit;
        s->finish = "length";
    }
    return say_words(s, seed, words);
}

/* The i-th of the pieces the text is sent in. */
static struct slice
piece_of(const struct speech *s, size_t i)
{
    size_t from = s->text.len * i / s->words, to = s->text.len * (i + 1) / s->words;
    if (s->ends) {
        from = i ? s->ends[i - 1] : 0;
        to = s->ends[i];
    }
    return slice_make(s->text.at + from, to - from); /* all of it is ASCII */
}

/* --- usage ------------------------------------------------------------------------------------ */

static int64_t
text_tokens(const struct json *content)
{
    int64_t n = (int64_t)(json_str(content).len + 3) / 4;
    for (size_t i = 0; json_kind(content) == JSON_LIST && i < json_size(content); i++) {
        const struct json *part = json_at(content, i);
        struct slice text = json_str(json_get(part, "text"));
        if (json_kind(part) == JSON_TEXT)
            n += text_tokens(part);
        else
            n += text.at ? (int64_t)(text.len + 3) / 4 : json_kind(part) == JSON_MAP ? 85 : 1;
    }
    return n;
}

static int64_t
input_tokens(const struct json *request)
{
    const struct json *messages = json_get(request, "messages");
    int64_t n = 0;
    for (size_t i = 0; i < json_size(messages); i++)
        n += 4 + text_tokens(json_get(json_at(messages, i), "content"));
    n += text_tokens(json_get(request, "prompt")) + text_tokens(json_get(request, "input"));
    return n ? n : 1;
}

static void
add_usage(struct writer *w, int64_t in, int64_t out)
{
    add(w,
        "{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,"
        "\"prompt_tokens_details\":{\"cached_tokens\":0},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":0}}",
        (long long)in, (long long)out, (long long)in + out);
}

/* --- chat and completions --------------------------------------------------------------------- */

struct talk {
    enum simulator_kind kind;
    const struct simulator_plan *plan;
    struct slice model;
    struct speech speech;
    uint32_t seed;
    int64_t choices, in, out;
    bool usage_asked;
    const char *finish;
};

static void
add_head(struct writer *w, const struct talk *t, bool chunk)
{
    if (t->kind == SIMULATE_CHAT)
        add(w, "{\"id\":\"chatcmpl-sim%08x\",\"object\":\"chat.completion%s\"", t->seed,
            chunk ? ".chunk" : "");
    else
        add(w, "{\"id\":\"cmpl-sim%08x\",\"object\":\"text_completion\"", t->seed);
    add(w, ",\"created\":%d,\"model\":", CREATED);
    add_quoted(w, t->model);
    add(w, ",\"system_fingerprint\":\"fp_simulator\",\"choices\":[");
}

static void
add_choice(struct writer *w, const struct talk *t, int64_t index)
{
    add(w, "%s{\"index\":%lld,", index ? "," : "", (long long)index);
    if (t->kind == SIMULATE_COMPLETION) {
        add(w, "\"text\":");
        add_quoted(w, buf_slice(&t->speech.text));
    } else if (t->speech.tool.at) {
        add(w,
            "\"message\":{\"role\":\"assistant\",\"content\":null,\"refusal\":null,"
            "\"tool_calls\":[{\"id\":\"call_sim%08x\",\"type\":\"function\",\"function\":"
            "{\"name\":",
            t->seed);
        add_quoted(w, t->speech.tool);
        add(w, ",\"arguments\":");
        add_quoted(w, buf_slice(&t->speech.text));
        add(w, "}}]}");
    } else {
        add(w, "\"message\":{\"role\":\"assistant\",\"content\":");
        add_quoted(w, buf_slice(&t->speech.text));
        add(w, ",\"refusal\":null,\"annotations\":[]}");
    }
    add(w, ",\"logprobs\":null,\"finish_reason\":\"%s\"}", t->finish);
}

static void
write_whole(struct writer *w, const struct talk *t)
{
    add_head(w, t, false);
    for (int64_t i = 0; i < t->choices; i++)
        add_choice(w, t, i);
    add(w, "]");
    if (!t->plan->no_usage) {
        add(w, ",\"usage\":");
        add_usage(w, t->in, t->out);
    }
    add(w, "}");
}

/* --- a stream's events ------------------------------------------------------------------------ */

static void
open_event(struct writer *w, const struct talk *t, int64_t index)
{
    add(w, "data: ");
    add_head(w, t, true);
    add(w, "{\"index\":%lld,", (long long)index);
}

static void
close_event(struct writer *w, const struct talk *t, const char *finish, struct simulator_answer *a)
{
    if (finish)
        add(w, ",\"logprobs\":null,\"finish_reason\":\"%s\"}]", finish);
    else
        add(w, ",\"logprobs\":null,\"finish_reason\":null}]");
    add(w, "%s}\n\n", t->usage_asked ? ",\"usage\":null" : "");
    a->ends[a->count++] = w->into->len;
}

static void
write_first(struct writer *w, const struct talk *t, int64_t index, struct simulator_answer *a)
{
    if (t->kind == SIMULATE_COMPLETION)
        return;
    open_event(w, t, index);
    if (t->speech.tool.at) {
        add(w,
            "\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"index\":0,"
            "\"id\":\"call_sim%08x\",\"type\":\"function\",\"function\":{\"name\":",
            t->seed);
        add_quoted(w, t->speech.tool);
        add(w, ",\"arguments\":\"\"}}]}");
    } else {
        add(w, "\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}");
    }
    close_event(w, t, NULL, a);
}

static void
write_piece(struct writer *w, const struct talk *t, int64_t index, size_t i,
            struct simulator_answer *a)
{
    open_event(w, t, index);
    add(w, "%s",
        t->kind == SIMULATE_COMPLETION ? "\"text\":"
        : t->speech.tool.at ? "\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":"
                            : "\"delta\":{\"content\":");
    add_quoted(w, piece_of(&t->speech, i));
    add(w, "%s", t->kind == SIMULATE_COMPLETION ? "" : t->speech.tool.at ? "}}]}" : "}");
    close_event(w, t, NULL, a);
}

static void
write_last(struct writer *w, const struct talk *t, int64_t index, struct simulator_answer *a)
{
    open_event(w, t, index);
    add(w, "%s", t->kind == SIMULATE_COMPLETION ? "\"text\":\"\"" : "\"delta\":{}");
    close_event(w, t, t->finish, a);
}

static void
write_usage_event(struct writer *w, const struct talk *t, struct simulator_answer *a)
{
    if (!t->usage_asked || t->plan->no_usage)
        return;
    add(w, "data: ");
    add_head(w, t, true);
    add(w, "],\"usage\":");
    add_usage(w, t->in, t->out);
    add(w, "}\n\n");
    a->ends[a->count++] = w->into->len;
}

static bool
write_error_event(struct writer *w, const struct talk *t, struct simulator_answer *a)
{
    if (t->plan->error_after < 0 || a->count < (size_t)t->plan->error_after)
        return false;
    add(w, "data: {\"error\":{\"message\":\"The simulated model broke off.\","
           "\"type\":\"server_error\",\"param\":null,\"code\":\"simulated\"}}\n\n");
    a->ends[a->count++] = w->into->len;
    return true;
}

static void
write_stream(struct writer *w, const struct talk *t, struct simulator_answer *a)
{
    for (int64_t c = 0; c < t->choices; c++) {
        if (write_error_event(w, t, a))
            return;
        write_first(w, t, c, a);
    }
    for (size_t i = 0; i < t->speech.words; i++)
        for (int64_t c = 0; c < t->choices; c++) {
            if (write_error_event(w, t, a))
                return;
            write_piece(w, t, c, i, a);
        }
    for (int64_t c = 0; c < t->choices; c++)
        write_last(w, t, c, a);
    write_usage_event(w, t, a);
    add(w, "data: [DONE]\n\n");
    a->ends[a->count++] = w->into->len;
}

static int
talk_make(struct talk *t, const struct json *request, struct simulator_answer *a)
{
    struct writer w = {.into = &a->body};
    int err = say(&t->speech, request, t->plan, t->seed);
    t->finish = t->plan->finish[0] ? t->plan->finish : t->speech.finish;
    t->in = t->plan->input_tokens >= 0 ? t->plan->input_tokens : input_tokens(request);
    t->out = t->plan->output_tokens >= 0 ? t->plan->output_tokens : t->speech.tokens * t->choices;
    if (!err && a->stream) {
        a->ends = calloc((t->speech.words + 2) * (size_t)t->choices + 4, sizeof(*a->ends));
        if (a->ends)
            write_stream(&w, t, a);
        else
            err = ERR_NOMEM;
    } else if (!err) {
        write_whole(&w, t);
    }
    buf_free(&t->speech.text);
    free(t->speech.ends);
    return err ? err : w.err;
}

/* --- embeddings ------------------------------------------------------------------------------- */

/* Newton's, so that the vectors do not depend on a mathematics library. */
static double
root(double x)
{
    double r = x > 1 ? x : 1;
    for (int i = 0; i < 60; i++)
        r = (r + x / r) / 2;
    return r;
}

/* A unit vector that depends on the text alone. */
static void
fill_vector(float *v, size_t dims, struct slice text)
{
    uint64_t state = (uint64_t)crc32c(0, text.at, text.len) << 32 | text.len;
    double sum = 0;
    for (size_t i = 0; i < dims; i++) {
        uint64_t z = (state += UINT64_C(0x9E3779B97F4A7C15)); /* splitmix64 */
        z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
        v[i] = (float)((double)(z >> 11) / 4503599627370496.0 - 1.0);
        sum += (double)v[i] * (double)v[i];
    }
    double scale = sum > 0 ? 1.0 / root(sum) : 0;
    for (size_t i = 0; i < dims; i++)
        v[i] = (float)((double)v[i] * scale);
}

static void
add_vector(struct writer *w, const float *v, size_t dims, bool base64)
{
    if (!base64) {
        add(w, "[");
        for (size_t i = 0; i < dims; i++)
            add(w, "%s%.8g", i ? "," : "", (double)v[i]);
        add(w, "]");
        return;
    }
    size_t room =
        BASE64_BYTES(dims * sizeof(float)); /* little-endian, as on every host we run on */
    char *at = w->err ? NULL : buf_reserve(w->into, room + 2);
    if (!at) {
        w->err = w->err ? w->err : ERR_NOMEM;
        return;
    }
    at[0] = '"';
    size_t n = base64_encode(v, dims * sizeof(float), at + 1);
    at[n + 1] = '"';
    buf_commit(w->into, n + 2);
}

static void
add_embedding(struct writer *w, const struct json *input, size_t index, float *v, size_t dims,
              bool base64)
{
    struct buf key;
    buf_init(&key, LIMIT_ANSWER_BYTES);
    if (!w->err)
        w->err = json_write(input, true, 0, &key);
    fill_vector(v, dims, buf_slice(&key));
    buf_free(&key);
    add(w, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", index ? "," : "", index);
    add_vector(w, v, dims, base64);
    add(w, "}");
}

/* A text or a list of tokens is one input; a list of texts or of lists is many. */
static bool
is_many(const struct json *input)
{
    enum json_kind first = json_kind(json_at(input, 0));
    return json_kind(input) == JSON_LIST && (first == JSON_TEXT || first == JSON_LIST);
}

static int
embed(const struct json *request, struct slice model, const struct simulator_plan *plan,
      struct simulator_answer *a)
{
    struct writer w = {.into = &a->body};
    const struct json *input = json_get(request, "input");
    bool base64 = slice_is(json_str(json_get(request, "encoding_format")), "base64");
    size_t count = is_many(input) ? json_size(input) : 1;
    int64_t dims = DEFAULT_DIMENSIONS, in = input_tokens(request);
    if (json_to_int(json_get(request, "dimensions"), &dims) == 0 && (dims < 1 || dims > 4096))
        dims = DEFAULT_DIMENSIONS;
    if (plan->dims)
        dims = plan->dims;
    if (plan->input_tokens >= 0)
        in = plan->input_tokens;
    float *v = calloc((size_t)dims, sizeof(*v));
    if (!v)
        return ERR_NOMEM;
    add(&w, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < count && i < LIMIT_INPUTS; i++)
        add_embedding(&w, is_many(input) ? json_at(input, i) : input, i, v, (size_t)dims, base64);
    free(v);
    add(&w, "],\"model\":");
    add_quoted(&w, model);
    if (!plan->no_usage)
        add(&w, ",\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld}", (long long)in,
            (long long)in);
    add(&w, "}");
    return w.err;
}

/* --- any -------------------------------------------------------------------------------------- */

static int
refuse(struct simulator_answer *a, int status, const char *type, const char *code,
       const char *message)
{
    a->status = status;
    a->stream = false;
    return buf_addf(
        &a->body, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
        message, type, code);
}

static int
refuse_as_told(struct simulator_answer *a, int status)
{
    const char *type = status == 429   ? "requests"
                       : status >= 500 ? "server_error"
                                       : "invalid_request_error";
    return refuse(a, status, type, status == 429 ? "rate_limit_exceeded" : "simulated",
                  "The simulator was asked for this error.");
}

static int64_t
choices_of(const struct json *request)
{
    int64_t n = 1;
    if (json_to_int(json_get(request, "n"), &n) || n < 1)
        return 1;
    return n > LIMIT_CHOICES ? LIMIT_CHOICES : n;
}

static const char *
fault_of(enum simulator_kind kind, const struct json *request)
{
    const struct json *messages = json_get(request, "messages");
    switch (kind) {
    case SIMULATE_CHAT:
        if (json_kind(messages) != JSON_LIST || json_size(messages) == 0)
            return "'messages' must be a list with at least one message.";
        break;
    case SIMULATE_COMPLETION:
        if (!json_get(request, "prompt"))
            return "'prompt' is missing.";
        break;
    case SIMULATE_EMBEDDINGS:
        if (!json_get(request, "input"))
            return "'input' is missing.";
        if (is_many(json_get(request, "input")) &&
            json_size(json_get(request, "input")) > LIMIT_INPUTS)
            return "'input' has more than 2048 items.";
        break;
    }
    return NULL;
}

static uint32_t
seed_of(const struct json *request)
{
    static const char *const names[] = {"messages", "prompt", "input"};
    struct buf text;
    uint32_t seed = 0;
    buf_init(&text, LIMIT_ANSWER_BYTES);
    for (size_t i = 0; i < 3; i++)
        if (json_get(request, names[i]) &&
            json_write(json_get(request, names[i]), true, 0, &text) == 0)
            seed = crc32c(seed, text.at, text.len);
    buf_free(&text);
    return seed;
}

int
simulator_answer_make(enum simulator_kind kind, const struct json *request, struct slice model,
                      const struct simulator_plan *plan, struct simulator_answer *a)
{
    *a = (struct simulator_answer){.status = 200};
    buf_init(&a->body, LIMIT_ANSWER_BYTES);
    const char *fault = fault_of(kind, request);
    if (plan->status >= 400)
        return refuse_as_told(a, (int)plan->status);
    if (fault)
        return refuse(a, 400, "invalid_request_error", "invalid_value", fault);
    if (kind == SIMULATE_EMBEDDINGS)
        return embed(request, model, plan, a);
    struct talk t = {.kind = kind,
                     .plan = plan,
                     .model = model,
                     .seed = seed_of(request),
                     .choices = choices_of(request)};
    a->stream = json_is_true(json_get(request, "stream"));
    t.usage_asked = json_is_true(json_get(json_get(request, "stream_options"), "include_usage"));
    return talk_make(&t, request, a);
}

void
simulator_answer_free(struct simulator_answer *a)
{
    buf_free(&a->body);
    free(a->ends);
    a->ends = NULL;
}
