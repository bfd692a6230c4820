#include "dataplane/upstream/simulator_speech.h"

#include "dataplane/upstream/simulator_schema.h"
#include "dataplane/upstream/simulator_write.h"

#include <stdlib.h>

static const char *const vocabulary[] = {
    "simulated", "answers", "are",   "the",    "same", "every",  "time", "and",
    "cost",      "nothing", "but",   "a",      "few",  "cycles", "of",   "patience",
    "which",     "makes",   "tests", "simple", "to",   "write",  "for",  "everyone",
};
#define VOCABULARY (sizeof(vocabulary) / sizeof(vocabulary[0]))
#define OPENING 4
static const char *const answer_opening[OPENING] = {"This", "is", "a", "simulation:"};
static const char *const thought_opening[OPENING] = {"Let", "me", "think:", "perhaps"};

static int
say_words(struct sim_text *t, const char *const opening[static OPENING], uint32_t seed,
          int64_t count)
{
    int err = 0;
    t->ends = calloc((size_t)count + 1, sizeof(*t->ends));
    if (!t->ends)
        return ERR_NOMEM;
    for (int64_t i = 0; i < count && !err; i++) {
        seed = seed * 1664525u + 1013904223u;
        err = buf_addf(&t->text, "%s%s", i ? " " : "",
                       i < OPENING ? opening[i] : vocabulary[(seed >> 16) % VOCABULARY]);
        t->ends[i] = t->text.len;
    }
    t->words = (size_t)count;
    t->tokens = count;
    return err;
}

/* JSON is sent in pieces of a few bytes, as models do. */
static int
say_json(struct sim_text *t, const struct json *schema)
{
    int err = simulator_schema_write(schema, &t->text);
    t->words = (t->text.len + 7) / 8;
    t->tokens = (int64_t)(t->text.len + 3) / 4;
    return err;
}

/* --- calls ------------------------------------------------------------------------------------ */

/* Whether tools are to be called; *ret_named: the one that is asked for, else at == NULL. */
static bool
calls_tools(const struct json *request, struct slice *ret_named)
{
    struct json *tools = json_get(request, "tools"), *choice = json_get(request, "tool_choice");
    struct json *messages = json_get(request, "messages");
    struct json *last = json_at(messages, json_size(messages) - 1);
    *ret_named = json_str(json_get(json_get(choice, "function"), "name"));
    if (json_size(tools) == 0 || slice_is(json_str(choice), "none"))
        return false;
    bool is_free = !choice || slice_is(json_str(choice), "auto");
    return !is_free || !slice_is(json_str(json_get(last, "role")), "tool"); /* then: words */
}

/* The n-th of the tools that may be called, counted round and round; NULL: none may. */
static const struct json *
callable(const struct json *tools, struct slice named, size_t n)
{
    size_t count = 0;
    for (size_t i = 0;; i++) {
        if (i == json_size(tools)) {
            if (count == 0)
                return NULL;
            i = 0;
        }
        const struct json *function = json_get(json_at(tools, i), "function");
        if (!function || (named.at && !slice_eq(named, json_str(json_get(function, "name")))))
            continue;
        if (count++ == n)
            return function;
    }
}

static int
say_calls(struct sim_speech *s, const struct json *request, const struct simulator_plan *plan)
{
    const struct json *tools = json_get(request, "tools");
    struct slice named;
    size_t count = plan->tools ? (size_t)plan->tools : 1;
    int err = 0;
    if (!calls_tools(request, &named) || !callable(tools, named, 0))
        return 0;
    s->calls = calloc(count, sizeof(*s->calls));
    if (!s->calls)
        return ERR_NOMEM;
    for (size_t i = 0; i < count && !err; i++) {
        const struct json *function = callable(tools, named, i);
        struct sim_call *c = &s->calls[s->call_count++];
        c->name = json_str(json_get(function, "name"));
        buf_init(&c->arguments.text, LIMIT_ANSWER_BYTES);
        err = say_json(&c->arguments, json_get(function, "parameters"));
    }
    s->finish = "tool_calls";
    return err;
}

/* --- all -------------------------------------------------------------------------------------- */

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
say_text(struct sim_speech *s, const struct json *request, int64_t words, int64_t limit,
         uint32_t seed)
{
    const struct json *format = json_get(request, "response_format");
    if (slice_is(json_str(json_get(format, "type")), "json_schema"))
        return say_json(&s->text, json_get(json_get(format, "json_schema"), "schema"));
    if (slice_is(json_str(json_get(format, "type")), "json_object")) {
        s->text.words = 3;
        s->text.tokens = 6;
        return buf_add_str(&s->text.text, "{\"answer\":\"simulated\"}");
    }
    if (words > limit) {
        words = limit;
        s->finish = "length";
    }
    return say_words(&s->text, answer_opening, seed, words);
}

int
sim_speech_make(const struct json *request, const struct simulator_plan *plan, uint32_t seed,
                struct sim_speech *s)
{
    int64_t words = plan->chunks ? plan->chunks : plan->words, limit = output_limit(request);
    int64_t thoughts = plan->reasoning < limit ? plan->reasoning : limit;
    *s = (struct sim_speech){.finish = "stop"};
    buf_init(&s->reasoning.text, LIMIT_ANSWER_BYTES);
    buf_init(&s->text.text, LIMIT_ANSWER_BYTES);
    int err = say_words(&s->reasoning, thought_opening, ~seed, thoughts);
    if (!err && !plan->refusal)
        err = say_calls(s, request, plan);
    if (!err && !s->call_count)
        err = say_text(s, request, words, limit - thoughts, seed);
    if (plan->filter)
        s->finish = "content_filter";
    return err;
}

static void
free_text(struct sim_text *t)
{
    buf_free(&t->text);
    free(t->ends);
}

void
sim_speech_free(struct sim_speech *s)
{
    free_text(&s->reasoning);
    free_text(&s->text);
    for (size_t i = 0; i < s->call_count; i++)
        free_text(&s->calls[i].arguments);
    free(s->calls);
    *s = (struct sim_speech){0};
}

struct slice
sim_piece(const struct sim_text *t, size_t i)
{
    size_t from = t->text.len * i / t->words, to = t->text.len * (i + 1) / t->words;
    if (t->ends) {
        from = i ? t->ends[i - 1] : 0;
        to = t->ends[i];
    }
    return slice_make(t->text.at + from, to - from);
}

int64_t
sim_speech_tokens(const struct sim_speech *s)
{
    int64_t n = s->reasoning.tokens + s->text.tokens;
    for (size_t i = 0; i < s->call_count; i++)
        n += s->calls[i].arguments.tokens;
    return n;
}
