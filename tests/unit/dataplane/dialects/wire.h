/*
 * Recorded provider traffic, where it is at hand (HEADGATE_SHARED, or ../shared): the index, the
 * files, and what a recorded answer is expected to say.
 */
#ifndef TESTS_UNIT_DATAPLANE_DIALECTS_WIRE_H
#define TESTS_UNIT_DATAPLANE_DIALECTS_WIRE_H

#include "dataplane/dialects/gather.h"
#include "lib/base/file.h"
#include "lib/http/sse.h"
#include "lib/json/doc.h"
#include "lib/json/view.h"

static inline const char *
wire_home(void)
{
    const char *given = getenv("HEADGATE_SHARED");
    return given ? given : "../shared";
}

/* The files that were read, held to the end of the test. */
struct wire_text {
    struct wire_text *next;
    char at[];
};

/* A file below wire/, in memory that lasts; at == NULL: there is none. */
static inline struct slice
wire_file(const char *format, ...)
{
    static struct wire_text *all;
    char path[1024];
    int n = snprintf(path, sizeof(path), "%s/wire/", wire_home());
    va_list args;
    va_start(args, format);
    vsnprintf(path + n, sizeof(path) - (size_t)n, format, args);
    va_end(args);
    FILE *f = fopen(path, "rb");
    if (!f)
        return (struct slice){0};
    fseek(f, 0, SEEK_END);
    long len = ftell(f);
    rewind(f);
    struct wire_text *text = malloc(sizeof(*text) + (size_t)len + 1);
    assert_non_null(text);
    text->next = all;
    all = text;
    assert_int_equal(fread(text->at, 1, (size_t)len, f), len);
    fclose(f);
    text->at[len] = 0;
    return slice_make(text->at, (size_t)len);
}

struct wire_case {
    char path[256], name[200];
    int status;
    bool stream;
    struct json_view row; /* of the index */
};

/* Calls test(c) for each case of an API; how many there were. 0 where there are no recordings. */
static inline int
wire_each(const char *api, void (*test)(const struct wire_case *c))
{
    struct slice index = wire_file("INDEX.json"), name;
    struct json_view row;
    size_t cursor = 0;
    int count = 0;
    while (json_view_next(json_view_of(index), &cursor, &name, &row)) {
        struct wire_case c = {.row = row};
        struct json_view path = json_view_get(row, "path"), label = json_view_get(row, "case");
        if (!json_view_is(json_view_get(row, "api"), api))
            continue;
        snprintf(c.path, sizeof(c.path), "%.*s", (int)path.raw.len - 2, path.raw.at + 1);
        snprintf(c.name, sizeof(c.name), "%.*s", (int)label.raw.len - 2, label.raw.at + 1);
        c.status = (int)json_view_int_or(json_view_get(row, "status"), 0);
        c.stream = json_view_get(row, "stream").kind == JSON_TRUE_;
        test(&c);
        count++;
    }
    return count;
}

/* --- what is expected ------------------------------------------------------------------------- */

static inline struct slice
wire_joined(struct arena *a, const struct canon_choice_answer *c, enum canon_part_kind kind)
{
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < c->count; i++)
        if (c->parts[i].kind == kind)
            assert_int_equal(buf_add_slice(&b, c->parts[i].text), 0);
    struct slice s = arena_copy(a, buf_slice(&b));
    buf_free(&b);
    return s;
}

static inline void
wire_check_text(const struct wire_case *c, struct arena *a, const char *what,
                struct json_view expected, struct slice got)
{
    struct slice want;
    assert_int_equal(json_view_opt_text(expected, a, &want), 0);
    if (!slice_eq(want, got))
        fail_msg("%s: %s is \"%.*s\", expected \"%.*s\"", c->name, what, SLICE_ARG(got),
                 SLICE_ARG(want));
}

static inline bool
wire_same_json(struct slice a, struct slice b)
{
    struct json *x = NULL, *y = NULL;
    char why[256];
    bool same = json_parse(a, &x, why, sizeof(why)) == 0 &&
                json_parse(b, &y, why, sizeof(why)) == 0 && json_equal(x, y);
    json_free(x);
    json_free(y);
    return same;
}

static inline void
wire_check_calls(const struct wire_case *c, struct arena *a, struct json_view list,
                 const struct canon_choice_answer *got)
{
    struct slice name;
    struct json_view call;
    size_t cursor = 0, i = 0;
    while (json_view_next(list, &cursor, &name, &call)) {
        while (i < got->count && got->parts[i].kind != PART_TOOL_CALL)
            i++;
        if (i == got->count)
            fail_msg("%s: a tool call is missing", c->name);
        const struct canon_part *p = &got->parts[i++];
        struct slice arguments = p->arguments;
        if (arguments.len == 0 || slice_is(arguments, "null"))
            arguments = SLICE("{}");
        struct json_view id = json_view_get(call, "id");
        if (id.kind == JSON_NULL_ || json_view_is(id, ""))
            assert_true(p->id.len > 0); /* minted */
        else
            wire_check_text(c, a, "the id of a call", json_view_get(call, "id"), p->id);
        wire_check_text(c, a, "the name of a call", json_view_get(call, "name"), p->name);
        if (!wire_same_json(json_view_get(call, "arguments").raw, arguments))
            fail_msg("%s: arguments %.*s", c->name, SLICE_ARG(arguments));
    }
    for (; i < got->count; i++)
        if (got->parts[i].kind == PART_TOOL_CALL)
            fail_msg("%s: a tool call too many", c->name);
}

static inline const char *
wire_finish(enum canon_finish f)
{
    switch (f) {
    case FINISH_LENGTH:
        return "length";
    case FINISH_TOOL_CALLS:
        return "tool_calls";
    case FINISH_CONTENT_FILTER:
    case FINISH_REFUSAL:
        return "content_filter";
    default:
        return "stop";
    }
}

/* Text, reasoning, calls and the finish reason against expect.json. */
static inline void
wire_check_answer(const struct wire_case *c, struct arena *a, const struct canon_answer *got)
{
    struct json_view want = json_view_of(wire_file("%s/expect.json", c->path));
    const struct canon_choice_answer *choice = &got->choices[0];
    wire_check_text(c, a, "text", json_view_get(want, "text"), wire_joined(a, choice, PART_TEXT));
    wire_check_text(c, a, "reasoning", json_view_get(want, "reasoning"),
                    wire_joined(a, choice, PART_REASONING));
    wire_check_calls(c, a, json_view_get(want, "tool_calls"), choice);
    struct json_view finish = json_view_get(want, "finish_reason_openai");
    if (finish.kind == JSON_TEXT && !json_view_is(finish, wire_finish(choice->finish)))
        fail_msg("%s: finish reason %s, expected %.*s", c->name, wire_finish(choice->finish),
                 SLICE_ARG(finish.raw));
}

static inline void
wire_check_count(const struct wire_case *c, const char *name, int64_t got)
{
    struct json_view usage = json_view_get(c->row, "usage");
    int64_t want = json_view_int_or(json_view_get(usage, name), -1);
    if (strcmp(name, "completion_tokens") == 0 && /* xAI: what is billed is the sum */
        json_view_get(usage, "reasoning_outside_completion").kind == JSON_TRUE_)
        want += json_view_int_or(json_view_get(usage, "reasoning_tokens"), 0);
    if (want >= 0 && want != got)
        fail_msg("%s: %s is %lld, expected %lld", c->name, name, (long long)got, (long long)want);
}

static inline void
wire_check_usage(const struct wire_case *c, const struct usage_report *got)
{
    const struct tokens *t = &got->tokens;
    wire_check_count(c, "prompt_tokens", tokens_input(t));
    wire_check_count(c, "completion_tokens", tokens_output(t));
    wire_check_count(c, "cached_tokens", t->cache_read);
    wire_check_count(c, "cache_write_tokens", t->cache_write + t->cache_write_1h);
    wire_check_count(c, "reasoning_tokens", t->reasoning);
    assert_false(got->suspect);
}

#endif
