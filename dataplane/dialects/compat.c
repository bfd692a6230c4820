#include "dataplane/dialects/compat.h"

#include <stdlib.h>
#include <string.h>

#define OLD "max_tokens"
#define NEW "max_completion_tokens"
#define USUAL (EFFORT_LOW | EFFORT_MEDIUM | EFFORT_HIGH)
#define ALL (USUAL | EFFORT_NONE | EFFORT_MINIMAL | EFFORT_XHIGH | EFFORT_MAX)

/* clang-format off */
static const struct compat table[PROVIDER_KINDS] = {
    /*                               limit thinking        efforts             replay           dev    asks   [DONE] tags   files */
    [PROVIDER_OPENAI]            = { NEW, THINK_EFFORT,   ALL,                 REPLAY_NOTHING, true,  true,  false, false, false },
    [PROVIDER_AZURE_OPENAI]      = { NEW, THINK_EFFORT,   ALL,                 REPLAY_NOTHING, true,  true,  false, false, false },
    [PROVIDER_SIMULATOR]         = { NEW, THINK_EFFORT,   ALL,                 REPLAY_DETAILS, true,  true,  false, false, false },
    [PROVIDER_OPENAI_COMPATIBLE] = { OLD, THINK_EFFORT,   ALL,                 REPLAY_CONTENT, false, true,  true,  false, false },
    [PROVIDER_MISTRAL]           = { OLD, THINK_EFFORT,   EFFORT_NONE|EFFORT_HIGH, REPLAY_PARTS, false, false, false, false, true },
    [PROVIDER_GROQ]              = { NEW, THINK_EFFORT,   USUAL|EFFORT_NONE,   REPLAY_PLAIN,   false, true,  false, false, false },
    [PROVIDER_TOGETHER]          = { OLD, THINK_EFFORT,   USUAL,               REPLAY_PLAIN,   false, true,  false, false, false },
    [PROVIDER_DEEPSEEK]          = { OLD, THINK_SWITCH,   EFFORT_HIGH|EFFORT_MAX, REPLAY_CONTENT, false, true, false, false, false },
    [PROVIDER_XAI]               = { NEW, THINK_EFFORT,   USUAL,               REPLAY_CONTENT, false, true,  false, false, false },
    [PROVIDER_OPENROUTER]        = { OLD, THINK_ENVELOPE, ALL & ~EFFORT_MAX,   REPLAY_DETAILS, true,  true,  false, false, true  },
    [PROVIDER_FIREWORKS]         = { OLD, THINK_EFFORT,   USUAL|EFFORT_NONE,   REPLAY_CONTENT, false, true,  false, true,  false },
    [PROVIDER_CEREBRAS]          = { NEW, THINK_EFFORT,   USUAL|EFFORT_NONE,   REPLAY_PLAIN,   false, true,  false, false, false },
    [PROVIDER_PERPLEXITY]        = { OLD, THINK_EFFORT,   USUAL|EFFORT_MINIMAL, REPLAY_NOTHING, false, false, true, true,  false },
    [PROVIDER_HUGGINGFACE]       = { OLD, THINK_EFFORT,   ALL,                 REPLAY_NOTHING, false, true,  true,  false, false },
    [PROVIDER_OLLAMA]            = { OLD, THINK_EFFORT,   USUAL|EFFORT_NONE,   REPLAY_PLAIN,   false, true,  true,  false, false },
    [PROVIDER_VLLM]              = { OLD, THINK_EFFORT,   ALL,                 REPLAY_CONTENT, false, true,  true,  false, false },
};

static const struct compat_rule rules[] = {
    {PROVIDER_MISTRAL,     COMPAT_RENAME, NEW,                   NULL, OLD},
    {PROVIDER_MISTRAL,     COMPAT_RENAME, "seed",                NULL, "random_seed"},
    {PROVIDER_MISTRAL,     COMPAT_VALUE,  "tool_choice",         "\"required\"", "\"any\""},
    {PROVIDER_MISTRAL,     COMPAT_DROP,   "stream_options",      NULL, NULL},
    {PROVIDER_MISTRAL,     COMPAT_DROP,   "user",                NULL, NULL},
    {PROVIDER_MISTRAL,     COMPAT_DROP,   "safety_identifier",   NULL, NULL},
    {PROVIDER_MISTRAL,     COMPAT_DROP,   "prompt_cache_key",    NULL, NULL},
    {PROVIDER_MISTRAL,     COMPAT_DROP,   "store",               NULL, NULL},
    {PROVIDER_MISTRAL,     COMPAT_REFUSE, "logit_bias",          "{}", NULL},
    {PROVIDER_MISTRAL,     COMPAT_REFUSE, "logprobs",            "false", NULL},
    {PROVIDER_MISTRAL,     COMPAT_REFUSE, "top_logprobs",        "0", NULL},
    {PROVIDER_MISTRAL,     COMPAT_REFUSE, "service_tier",        "\"auto\"", NULL},
    {PROVIDER_MISTRAL,     COMPAT_REFUSE, "verbosity",           NULL, NULL},
    {PROVIDER_GROQ,        COMPAT_REFUSE, "logit_bias",          "{}", NULL},
    {PROVIDER_GROQ,        COMPAT_REFUSE, "logprobs",            "false", NULL},
    {PROVIDER_GROQ,        COMPAT_REFUSE, "top_logprobs",        "0", NULL},
    {PROVIDER_GROQ,        COMPAT_REFUSE, "n",                   "1", NULL},
    {PROVIDER_TOGETHER,    COMPAT_RENAME, NEW,                   NULL, OLD},
    {PROVIDER_DEEPSEEK,    COMPAT_RENAME, NEW,                   NULL, OLD},
    {PROVIDER_DEEPSEEK,    COMPAT_REFUSE, "n",                   "1", NULL},
    {PROVIDER_DEEPSEEK,    COMPAT_REFUSE, "seed",                NULL, NULL},
    {PROVIDER_CEREBRAS,    COMPAT_REFUSE, "frequency_penalty",   "0", NULL},
    {PROVIDER_CEREBRAS,    COMPAT_REFUSE, "presence_penalty",    "0", NULL},
    {PROVIDER_CEREBRAS,    COMPAT_REFUSE, "logit_bias",          "{}", NULL},
    {PROVIDER_CEREBRAS,    COMPAT_REFUSE, "parallel_tool_calls", "true", NULL},
    {PROVIDER_CEREBRAS,    COMPAT_REFUSE, "service_tier",        "\"auto\"", NULL},
    {PROVIDER_PERPLEXITY,  COMPAT_RENAME, NEW,                   NULL, OLD},
    {PROVIDER_PERPLEXITY,  COMPAT_DROP,   "stream_options",      NULL, NULL},
    {PROVIDER_PERPLEXITY,  COMPAT_REFUSE, "tools",               "[]", NULL},
    {PROVIDER_PERPLEXITY,  COMPAT_REFUSE, "tool_choice",         "\"none\"", NULL},
    {PROVIDER_PERPLEXITY,  COMPAT_REFUSE, "parallel_tool_calls", "true", NULL},
    {PROVIDER_PERPLEXITY,  COMPAT_REFUSE, "stop",                "[]", NULL},
    {PROVIDER_PERPLEXITY,  COMPAT_REFUSE, "seed",                NULL, NULL},
    {PROVIDER_HUGGINGFACE, COMPAT_RENAME, NEW,                   NULL, OLD},
    {PROVIDER_OLLAMA,      COMPAT_RENAME, NEW,                   NULL, OLD},
};
/* clang-format on */
#define RULES (sizeof(rules) / sizeof(rules[0]))

const struct compat *
compat_of(enum provider_kind kind)
{
    return &table[table[kind].max_tokens ? kind : PROVIDER_OPENAI_COMPATIBLE];
}

const struct compat_rule *
compat_rules(size_t *ret_count)
{
    *ret_count = RULES;
    return rules;
}

/* --- targets ---------------------------------------------------------------------------------- */

bool
compat_is_reasoning_model(const struct dialect_target *t)
{
    struct slice m = t->model;
    if (t->provider->kind != PROVIDER_OPENAI && t->provider->kind != PROVIDER_AZURE_OPENAI)
        return false;
    if (slice_starts(m, SLICE("ft:"))) /* tuned: of a model */
        m = slice_from(m, 3);
    if (slice_starts(m, SLICE("gpt-5")))
        return true;
    bool is_series = m.len >= 2 && m.at[0] == 'o' && m.at[1] >= '1' && m.at[1] <= '9';
    return is_series && (m.len == 2 || m.at[2] == '-');
}

/* Azure's versions are dates; before this one there was neither. */
static bool
is_old_azure(const struct dialect_target *t)
{
    struct slice v = t->provider->api_version, since = SLICE("2024-09-01");
    return t->provider->kind == PROVIDER_AZURE_OPENAI && v.len >= since.len && v.at[0] == '2' &&
           memcmp(v.at, since.at, since.len) < 0;
}

const char *
compat_max_tokens(const struct dialect_target *t)
{
    if (is_old_azure(t) && !compat_is_reasoning_model(t))
        return OLD;
    return compat_of(t->provider->kind)->max_tokens;
}

bool
compat_asks_usage(const struct dialect_target *t)
{
    return compat_of(t->provider->kind)->asks_usage && !is_old_azure(t);
}

/* --- effort ----------------------------------------------------------------------------------- */

static const char *const efforts[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
#define EFFORTS (sizeof(efforts) / sizeof(efforts[0]))

struct slice
compat_effort(enum provider_kind kind, struct slice effort)
{
    unsigned takes = compat_of(kind)->efforts;
    size_t i = 0;
    while (i < EFFORTS && !slice_is(effort, efforts[i]))
        i++;
    if (i == EFFORTS)
        return effort;
    if (i == 0)
        return takes & EFFORT_NONE ? effort : (struct slice){0};
    for (size_t up = i; up < EFFORTS; up++)
        if (takes & (1u << up))
            return slice_of(efforts[up]);
    while (i > 1 && !(takes & (1u << i)))
        i--;
    return slice_of(efforts[i]);
}

/* --- edits of a body -------------------------------------------------------------------------- */

/* The members of the body one after the other, and what becomes of them. */
struct editing {
    struct slice body;
    struct json_span root;
    struct dialect_writer *w;
    struct compat_edits *edits;
    bool kept_before, was_removed; /* a member that stays came before; the last one does not */
    size_t kept_end, removed_start, removed_end;
};

static int
add(struct editing *e, size_t start, size_t end, struct slice with, const char *member)
{
    if (e->edits->count == LIMIT_COMPAT_EDITS)
        return dialect_refuse(e->w->why, ERR_DENIED, member,
                              "'%s': more than %d changes would be needed for provider '%.*s'.",
                              member, LIMIT_COMPAT_EDITS, SLICE_ARG(e->w->target->provider->name));
    e->edits->at[e->edits->count++] = (struct json_splice){start, end, with};
    return 0;
}

/* Takes a run of members out, with the comma that belongs to it; `next` is where the next member
 * begins, or 0 behind the last. */
static int
close_run(struct editing *e, size_t next)
{
    if (!e->was_removed)
        return 0;
    e->was_removed = false;
    size_t start = e->kept_before ? e->kept_end : e->removed_start;
    size_t end = !e->kept_before && next ? next : e->removed_end;
    return add(e, start, end, SLICE(""), "messages");
}

static const struct compat_rule *
rule_for(const struct dialect_target *t, struct slice name)
{
    static const struct compat_rule reasoning = {0, COMPAT_RENAME, OLD, NULL, NEW};
    if (slice_is(name, OLD) && compat_is_reasoning_model(t))
        return &reasoning;
    for (size_t i = 0; i < RULES; i++)
        if (rules[i].kind == t->provider->kind && slice_is(name, rules[i].member))
            return &rules[i];
    return NULL;
}

/* Whether the body says the same under the other name already. */
static bool
has_member(const struct editing *e, const char *name)
{
    struct json_span key, value;
    size_t cursor = e->root.start;
    while (json_next(e->body, e->root, &cursor, &key, &value))
        if (slice_is(slice_make(e->body.at + key.start + 1, key.end - key.start - 2), name))
            return true;
    return false;
}

/* 1: the member goes; 0: it stays. */
static int
apply(struct editing *e, const struct compat_rule *rule, struct json_span name,
      struct json_span value)
{
    struct slice raw = json_raw(e->body, value);
    switch (rule->action) {
    case COMPAT_RENAME:
        if (has_member(e, rule->with))
            return 1;
        return add(e, name.start + 1, name.end - 1, slice_of(rule->with), rule->member);
    case COMPAT_VALUE:
        if (!slice_is(raw, rule->from))
            return 0;
        return add(e, value.start, value.end, slice_of(rule->with), rule->member);
    case COMPAT_REFUSE:
        if (value.kind == JSON_NULL_ || (rule->from && slice_is(raw, rule->from)))
            return 1;
        return dialect_leave_out(e->w, rule->member, "does not take it");
    case COMPAT_DROP:
        break;
    }
    return 1;
}

static bool
is_developer(struct slice body, struct json_span name, struct json_span value)
{
    return slice_is(json_raw(body, name), "\"role\"") &&
           slice_is(json_raw(body, value), "\"developer\"");
}

/* Developers speak as the system where there is no such role. */
static int
edit_roles(struct editing *e, struct json_span list)
{
    struct json_span none, message, name, value;
    size_t cursor = list.start;
    struct slice raw = json_raw(e->body, list);
    if (list.kind != JSON_LIST || !memmem(raw.at, raw.len, "\"developer\"", 11))
        return 0;
    while (json_next(e->body, list, &cursor, &none, &message)) {
        size_t inner = message.start;
        while (message.kind == JSON_MAP && json_next(e->body, message, &inner, &name, &value)) {
            int err = is_developer(e->body, name, value)
                          ? add(e, value.start, value.end, SLICE("\"system\""), "messages")
                          : 0;
            if (err)
                return err;
        }
    }
    return 0;
}

struct slice
compat_schema_text(struct arena *a, struct slice schema)
{
    return slice_of(arena_printf(a,
                                 "Answer with one JSON object and nothing else. It must match this "
                                 "JSON Schema:\n%.*s",
                                 SLICE_ARG(schema)));
}

/* A system message that says so, in front of `rest`. */
static int
schema_message(struct arena *a, struct slice schema, const char *rest, struct slice *ret)
{
    struct buf b;
    struct slice text = compat_schema_text(a, schema);
    *ret = (struct slice){0};
    buf_init(&b, 0);
    if (text.at && json_quote(&b, text) == 0)
        *ret = slice_of(arena_printf(a, "{\"role\":\"system\",\"content\":%.*s}%s",
                                     SLICE_ARG(buf_slice(&b)), rest));
    buf_free(&b);
    return ret->at ? 0 : ERR_NOMEM;
}

static struct json_span
member_of(struct slice body, struct json_span map, const char *quoted)
{
    size_t cursor = map.start;
    struct json_span name, value, found = {.kind = JSON_ABSENT};
    while (map.kind == JSON_MAP && json_next(body, map, &cursor, &name, &value))
        if (slice_is(json_raw(body, name), quoted))
            found = value;
    return found;
}

/* {"type":"json_schema","json_schema":{...}} where only json_object is known: the schema goes into
 * a system message in front of the others. */
static int
edit_format(struct editing *e, struct json_span format, struct json_span messages)
{
    struct json_span name, value, type = member_of(e->body, format, "\"type\"");
    struct json_span schema =
        member_of(e->body, member_of(e->body, format, "\"json_schema\""), "\"schema\"");
    size_t cursor = messages.start;
    struct slice with;
    if (type.kind != JSON_TEXT || messages.kind != JSON_LIST ||
        !slice_is(json_raw(e->body, type), "\"json_schema\""))
        return 0;
    bool is_empty = !json_next(e->body, messages, &cursor, &name, &value);
    int err = schema_message(e->w->arena,
                             schema.kind == JSON_MAP ? json_raw(e->body, schema) : SLICE("{}"),
                             is_empty ? "" : ",", &with);
    if (!err)
        err = add(e, messages.start + 1, messages.start + 1, with, "response_format");
    return err ? err
               : add(e, format.start, format.end, SLICE("{\"type\":\"json_object\"}"),
                     "response_format");
}

static int
edit_member(struct editing *e, struct json_span name, struct json_span value)
{
    struct slice text = slice_make(e->body.at + name.start + 1, name.end - name.start - 2);
    const struct compat_rule *rule = rule_for(e->w->target, text);
    int gone = rule ? apply(e, rule, name, value) : 0;
    if (gone < 0)
        return gone;
    if (gone && !e->was_removed)
        e->removed_start = name.start;
    if (gone) {
        e->was_removed = true;
        e->removed_end = value.end;
        return 0;
    }
    int err = close_run(e, name.start);
    e->kept_before = true;
    e->kept_end = value.end;
    return err;
}

static int
by_start(const void *a, const void *b)
{
    const struct json_splice *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

/* Nothing is known of what runs behind these: their bodies are the client's business. */
static bool
is_unknown(enum provider_kind kind)
{
    return kind == PROVIDER_OPENAI_COMPATIBLE || kind == PROVIDER_VLLM;
}

static bool
has_rules(const struct dialect_target *t)
{
    for (size_t i = 0; i < RULES; i++)
        if (rules[i].kind == t->provider->kind)
            return true;
    return compat_is_reasoning_model(t);
}

/* Developers are the system there. */
static bool
renames_roles(enum provider_kind kind)
{
    return !compat_of(kind)->developer && !is_unknown(kind);
}

bool
compat_has_edits(const struct dialect_target *t)
{
    return has_rules(t) || renames_roles(t->provider->kind) ||
           capability_of(t->provider->kind, FEATURE_JSON_SCHEMA) == EMULATED;
}

static int
edit_members(struct editing *e)
{
    struct json_span name, value;
    size_t cursor = e->root.start;
    int err = 0;
    while (!err && json_next(e->body, e->root, &cursor, &name, &value))
        err = edit_member(e, name, value);
    return err ? err : close_run(e, 0);
}

int
compat_edits(struct slice body, struct dialect_writer *w, struct compat_edits *ret)
{
    enum provider_kind kind = w->target->provider->kind;
    struct editing e = {.body = body, .w = w, .edits = ret};
    int err = 0;
    ret->count = 0;
    e.root =
        (struct json_span){.kind = JSON_MAP, .start = slice_find(body, '{', 0), .end = body.len};
    if (has_rules(w->target))
        err = edit_members(&e);
    if (!err && renames_roles(kind))
        err = edit_roles(&e, member_of(body, e.root, "\"messages\""));
    if (!err && capability_of(kind, FEATURE_JSON_SCHEMA) == EMULATED)
        err = edit_format(&e, member_of(body, e.root, "\"response_format\""),
                          member_of(body, e.root, "\"messages\""));
    qsort(ret->at, ret->count, sizeof(ret->at[0]), by_start);
    return err;
}
