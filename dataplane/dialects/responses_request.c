/* A client's request: its top-level members. */
#include "dataplane/dialects/responses_internal.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

int
responses_must(const struct responses_reader *r, const char *member, const char *what)
{
    return dialect_refuse(r->why, ERR_SYNTAX, member, "'%s' must be %s.", member, what);
}

int
responses_opt_text(const struct responses_reader *r, const char *member, struct json_view v,
                   struct slice *ret)
{
    int err = json_view_opt_text(v, r->a, ret);
    return err == ERR_SYNTAX ? responses_must(r, member, "a text") : err;
}

int
responses_get_text(const struct responses_reader *r, const char *outer, struct json_view map,
                   const char *name, struct slice *ret)
{
    char member[128];
    snprintf(member, sizeof(member), "%s.%s", outer, name);
    return responses_opt_text(r, member, json_view_get(map, name), ret);
}

int
responses_keep(struct responses_reader *r, struct slice name, struct slice raw)
{
    struct canon_request *q = r->q;
    if (q->extra_count == r->extra_cap) {
        size_t cap = r->extra_cap ? 2 * r->extra_cap : 8;
        struct canon_extra *at = arena_alloc(r->a, cap * sizeof(*at));
        if (!at)
            return ERR_NOMEM;
        if (q->extra_count)
            memcpy(at, r->extras, q->extra_count * sizeof(*at));
        q->extras = r->extras = at;
        r->extra_cap = cap;
    }
    r->extras[q->extra_count++] = (struct canon_extra){name, raw};
    return 0;
}

struct slice
responses_extra(const struct canon_request *q, const char *name)
{
    for (size_t i = 0; i < q->extra_count; i++)
        if (slice_is(q->extras[i].name, name))
            return q->extras[i].raw;
    return (struct slice){0};
}

/* --- plain members ---------------------------------------------------------------------------- */

enum member_kind { IS_TEXT, IS_NUMBER, IS_COUNT, IS_BOOL, IS_MAP };

static const struct member {
    const char *name;
    enum member_kind kind;
    size_t into; /* of struct canon_request */
} plain[] = {
    {"model", IS_TEXT, offsetof(struct canon_request, model)},
    {"temperature", IS_NUMBER, offsetof(struct canon_request, temperature)},
    {"top_p", IS_NUMBER, offsetof(struct canon_request, top_p)},
    {"max_output_tokens", IS_COUNT, offsetof(struct canon_request, max_tokens)},
    {"top_logprobs", IS_COUNT, offsetof(struct canon_request, top_logprobs)},
    {"parallel_tool_calls", IS_BOOL, offsetof(struct canon_request, parallel_tools)},
    {"store", IS_BOOL, offsetof(struct canon_request, store)},
    {"metadata", IS_MAP, offsetof(struct canon_request, metadata_raw)},
    {"service_tier", IS_TEXT, offsetof(struct canon_request, service_tier)},
    {"prompt_cache_key", IS_TEXT, offsetof(struct canon_request, cache_key)},
    {"user", IS_TEXT, offsetof(struct canon_request, user)},
};
#define PLAIN (sizeof(plain) / sizeof(plain[0]))

static const char *const kinds[] = {
    [IS_TEXT] = "a text",        [IS_NUMBER] = "a number", [IS_COUNT] = "an integer above -1",
    [IS_BOOL] = "true or false", [IS_MAP] = "an object",
};

static int
read_plain(const struct responses_reader *r, const struct member *m, struct json_view v)
{
    void *into = (char *)r->q + m->into;
    struct slice *text = into;
    bool fits = false;
    int err = 0;
    switch (m->kind) {
    case IS_TEXT:
        fits = v.kind == JSON_TEXT;
        err = fits ? json_view_text(v, r->a, text) : 0;
        break;
    case IS_NUMBER:
        fits = v.kind == JSON_NUMBER;
        *text = v.raw;
        break;
    case IS_COUNT:
        fits = v.kind == JSON_NUMBER && json_view_int(v, into) == 0 && *(int64_t *)into >= 0;
        break;
    case IS_BOOL:
        fits = v.kind == JSON_TRUE_ || v.kind == JSON_FALSE_;
        *(enum tri *)into = v.kind == JSON_TRUE_ ? TRI_YES : TRI_NO;
        break;
    case IS_MAP:
        fits = v.kind == JSON_MAP;
        *text = v.raw;
        break;
    }
    return fits ? err : responses_must(r, m->name, kinds[m->kind]);
}

/* --- members with members --------------------------------------------------------------------- */

/* Those of an object that are not known here: kept as "text.NAME". */
static int
keep_rest(struct responses_reader *r, const char *outer, struct json_view map,
          const char *const *known)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view v;
    while (json_view_next(map, &cursor, &name, &v)) {
        bool is_known = !json_view_is_set(v);
        for (size_t i = 0; known[i]; i++)
            is_known |= slice_is(name, known[i]);
        if (is_known)
            continue;
        char *path = arena_printf(r->a, "%s.%.*s", outer, SLICE_ARG(name));
        int err = path ? responses_keep(r, slice_of(path), v.raw) : ERR_NOMEM;
        if (err)
            return err;
    }
    return 0;
}

static int
read_schema(struct responses_reader *r, struct json_view format)
{
    struct canon_request *q = r->q;
    struct json_view schema = json_view_get(format, "schema");
    struct json_view strict = json_view_get(format, "strict");
    q->format = FORMAT_SCHEMA;
    int err = responses_get_text(r, "text.format", format, "name", &q->format_name);
    if (!err)
        err = responses_get_text(r, "text.format", format, "description", &q->format_description);
    if (!err && schema.kind != JSON_MAP)
        err = responses_must(r, "text.format.schema", "an object");
    if (!err && json_view_is_set(strict) && strict.kind != JSON_TRUE_ && strict.kind != JSON_FALSE_)
        err = responses_must(r, "text.format.strict", "true or false");
    q->format_schema_raw = schema.raw;
    q->format_strict = strict.kind == JSON_TRUE_    ? TRI_YES
                       : strict.kind == JSON_FALSE_ ? TRI_NO
                                                    : TRI_ABSENT;
    return err;
}

static int
read_text(struct responses_reader *r, struct json_view text)
{
    static const char *const known[] = {"format", "verbosity", NULL};
    struct json_view format = json_view_get(text, "format");
    struct json_view type = json_view_get(format, "type");
    int err = 0;
    if (!json_view_is_set(text))
        return 0;
    if (text.kind != JSON_MAP)
        return responses_must(r, "text", "an object");
    if (json_view_is(type, "json_schema"))
        err = read_schema(r, format);
    else if (json_view_is(type, "json_object"))
        r->q->format = FORMAT_JSON;
    else if (json_view_is_set(format) && !json_view_is(type, "text"))
        err =
            responses_must(r, "text.format", "an object of type text, json_object or json_schema");
    if (!err)
        err = responses_get_text(r, "text", text, "verbosity", &r->q->verbosity);
    return err ? err : keep_rest(r, "text", text, known);
}

static int
read_reasoning(struct responses_reader *r, struct json_view v)
{
    static const char *const known[] = {"effort", "summary", "generate_summary", NULL};
    struct canon_request *q = r->q;
    if (!json_view_is_set(v))
        return 0;
    if (v.kind != JSON_MAP)
        return responses_must(r, "reasoning", "an object");
    struct json_view summary = json_view_get(v, "summary");
    if (!json_view_is_set(summary))
        summary = json_view_get(v, "generate_summary"); /* its name before */
    int err = responses_get_text(r, "reasoning", v, "effort", &q->reasoning.effort);
    if (!err)
        err = responses_opt_text(r, "reasoning.summary", summary, &q->reasoning.summary);
    if (q->reasoning.summary.len)
        q->reasoning.show = TRI_YES;
    return err ? err : keep_rest(r, "reasoning", v, known);
}

/* Encrypted reasoning is always included where there is some: nobody here keeps it. */
static int
read_include(struct responses_reader *r, struct json_view v)
{
    size_t cursor = 0;
    struct slice unused;
    struct json_view word;
    if (!json_view_is_set(v))
        return 0;
    if (v.kind != JSON_LIST)
        return responses_must(r, "include", "a list of texts");
    while (json_view_next(v, &cursor, &unused, &word)) {
        if (word.kind != JSON_TEXT)
            return responses_must(r, "include", "a list of texts");
        if (json_view_is(word, "message.output_text.logprobs"))
            r->q->logprobs = TRI_YES;
    }
    return responses_keep(r, SLICE("include"), v.raw);
}

/* --- what has no canonical meaning ------------------------------------------------------------ */

/* Read by the functions of this file, or by brief(). */
static const char *const read_elsewhere[] = {"input",       "instructions", "tools",
                                             "tool_choice", "text",         "reasoning",
                                             "include",     "stream",       NULL};

static bool
is_read(struct slice name)
{
    for (size_t i = 0; i < PLAIN; i++)
        if (slice_is(name, plain[i].name))
            return true;
    for (size_t i = 0; read_elsewhere[i]; i++)
        if (slice_is(name, read_elsewhere[i]))
            return true;
    return false;
}

/* Whether the member says what is so anyway. */
static bool
says_nothing(struct slice name, struct json_view v)
{
    return !json_view_is_set(v) || (slice_is(name, "background") && v.kind == JSON_FALSE_) ||
           (slice_is(name, "truncation") && json_view_is(v, "disabled"));
}

static int
keep_others(struct responses_reader *r, struct json_view root)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view v;
    int err = 0;
    while (!err && json_view_next(root, &cursor, &name, &v)) {
        if (slice_is(name, "safety_identifier") && v.kind == JSON_TEXT && r->q->user.len == 0)
            err = json_view_text(v, r->a, &r->q->user);
        if (!err && !is_read(name) && !says_nothing(name, v))
            err = responses_keep(r, name, v.raw);
    }
    return err;
}

/* --- the request ------------------------------------------------------------------------------ */

/* Without input there may be what a provider keeps; who keeps nothing refuses that by name. */
static int
require_input(const struct responses_reader *r, struct json_view input)
{
    if (json_view_is_set(input) || responses_extra(r->q, "previous_response_id").at ||
        responses_extra(r->q, "conversation").at || responses_extra(r->q, "prompt").at)
        return 0;
    r->why->missing = true;
    return dialect_refuse(r->why, ERR_SYNTAX, "input", "The member 'input' is required.");
}

int
responses_read_request(struct slice body, const struct dialect_call *call, struct arena *a,
                       struct canon_request *ret, struct dialect_refusal *why)
{
    /* in the order of read_elsewhere */
    enum { INPUT, INSTRUCTIONS, TOOLS, CHOICE, TEXT, REASONING, INCLUDE, STREAM, FIELDS };
    struct json_view at[FIELDS], members[PLAIN], root = json_view_of(body);
    const char *names[PLAIN];
    struct responses_reader r = {.a = a, .why = why, .q = ret};
    (void)call;
    *ret = (struct canon_request){.origin = DIALECT_RESPONSES,
                                  .include_usage = true,
                                  .max_tokens = -1,
                                  .choices = 1,
                                  .top_logprobs = -1,
                                  .reasoning.budget = -1};
    for (size_t i = 0; i < PLAIN; i++)
        names[i] = plain[i].name;
    json_view_fields(root, names, PLAIN, members);
    json_view_fields(root, read_elsewhere, FIELDS, at);
    ret->stream = at[STREAM].kind == JSON_TRUE_;
    int err = 0;
    for (size_t i = 0; !err && i < PLAIN; i++)
        if (json_view_is_set(members[i]))
            err = read_plain(&r, &plain[i], members[i]);
    if (!err)
        err = responses_read_input(&r, at[INSTRUCTIONS], at[INPUT]);
    if (!err)
        err = responses_read_tools(&r, at[TOOLS], at[CHOICE]);
    if (!err)
        err = read_text(&r, at[TEXT]);
    if (!err)
        err = read_reasoning(&r, at[REASONING]);
    if (!err)
        err = read_include(&r, at[INCLUDE]);
    if (!err)
        err = keep_others(&r, root);
    return err ? err : require_input(&r, at[INPUT]);
}
