/*
 * Recorded exchanges of providers (../shared/wire), for tests of the provider's side of a dialect:
 * what is read of them must be what their expect.json and the usage of their meta say. Where the
 * recordings are absent the tests skip.
 */
#ifndef TESTS_UNIT_DATAPLANE_DIALECTS_RECORDED_H
#define TESTS_UNIT_DATAPLANE_DIALECTS_RECORDED_H

#include "tests/unit/check.h"

#include <dirent.h>

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"
#include "lib/base/file.h"
#include "lib/http/eventstream.h"
#include "lib/http/sse.h"
#include "lib/json/doc.h"

#define RECORDINGS "../shared/wire/"
#define MAX_GATHERED_BYTES ((size_t)8 << 20)

/* --- a stream through a decoder --------------------------------------------------------------- */

struct recorded_stream {
    const struct dialect *dialect;
    void *state;
    struct arena keep, scratch;
    struct gather *gather;
    struct canon_error error; /* of an ERROR event: its message lies in keep */
    bool has_error;
    int err; /* of the decoder */
};

static int
recorded_take(void *ctx, const struct canon_event *e)
{
    struct recorded_stream *s = ctx;
    if (e->kind != EVENT_ERROR)
        return gather_event(s->gather, e);
    s->has_error = true;
    s->error = e->error;
    s->error.message = arena_copy(&s->keep, e->error.message);
    s->error.type = arena_copy(&s->keep, e->error.type);
    return 0;
}

static inline void
recorded_begin(struct recorded_stream *s, const struct dialect *d, const struct dialect_exchange *x)
{
    *s = (struct recorded_stream){.dialect = d};
    arena_init(&s->keep, 0);
    arena_init(&s->scratch, 0);
    s->gather = gather_new(MAX_GATHERED_BYTES);
    s->state = calloc(1, d->decoder->state_bytes);
    assert_non_null(s->state);
    assert_int_equal(d->decoder->init(s->state, &s->keep, x), 0);
}

static inline void
recorded_free(struct recorded_stream *s)
{
    gather_free(s->gather);
    free(s->state);
    arena_free(&s->scratch);
    arena_free(&s->keep);
}

static inline bool
recorded_event(struct recorded_stream *s, const struct wire_event *e)
{
    const struct canon_sink sink = {recorded_take, s};
    if (s->has_error || gather_has_ended(s->gather))
        return true; /* the [DONE] behind an end */
    s->err = s->dialect->decoder->event(s->state, e, &s->scratch, &sink);
    arena_free(&s->scratch);
    return s->err == 0;
}

static bool
recorded_on_sse(void *ctx, const struct sse_event *e)
{
    const struct wire_event w = {.name = e->name, .data = e->data};
    return e->has_data ? recorded_event(ctx, &w) : true;
}

static bool
recorded_on_message(void *ctx, const struct eventstream_message *m)
{
    struct slice type = eventstream_text(m, ":message-type");
    struct wire_event w = {.name = eventstream_text(m, ":event-type"), .data = m->payload};
    if (!slice_is(type, "event")) {
        w.is_exception = true;
        w.name = eventstream_text(m, ":exception-type");
    }
    return recorded_event(ctx, &w);
}

/* The bytes in pieces of `piece`, but for a first one of `first`. */
static inline void
recorded_feed(struct recorded_stream *s, struct slice bytes, size_t first, size_t piece)
{
    struct sse_parser sse;
    struct eventstream_parser es;
    sse_init(&sse, 0);
    eventstream_init(&es, 0);
    for (size_t n = first; bytes.len && !s->err; n = piece) {
        struct slice now = slice_make(bytes.at, n < bytes.len ? n : bytes.len);
        int err = s->dialect->framing == FRAMING_SSE
                      ? sse_push(&sse, now, recorded_on_sse, s)
                      : eventstream_push(&es, now, recorded_on_message, s);
        assert_true(err == 0 || err == ERR_CANCELLED);
        bytes = slice_from(bytes, now.len);
    }
    assert_false(sse_is_partial(&sse) || eventstream_is_partial(&es));
    sse_fini(&sse);
    eventstream_fini(&es);
}

/* --- what an answer says, written down -------------------------------------------------------- */

static inline void
recorded_write_part(struct buf *into, const struct canon_part *p)
{
    assert_int_equal(buf_addf(into, "%d[%.*s|%.*s|%.*s|%.*s|%.*s|%.*s", (int)p->kind,
                              SLICE_ARG(p->text), SLICE_ARG(p->id), SLICE_ARG(p->name),
                              SLICE_ARG(p->arguments), SLICE_ARG(p->signature),
                              SLICE_ARG(p->encrypted)),
                     0);
    for (size_t i = 0; i < p->citation_count; i++)
        assert_int_equal(buf_addf(into, "{%lld-%lld %.*s}", (long long)p->citations[i].start,
                                  (long long)p->citations[i].end, SLICE_ARG(p->citations[i].raw)),
                         0);
    assert_int_equal(buf_add_str(into, "]"), 0);
}

static inline void
recorded_write(struct buf *into, const struct canon_answer *a)
{
    for (size_t i = 0; i < a->choice_count; i++) {
        const struct canon_choice_answer *c = &a->choices[i];
        for (size_t k = 0; k < c->count; k++)
            recorded_write_part(into, &c->parts[k]);
        assert_int_equal(buf_addf(into, "%d %.*s;", (int)c->finish, SLICE_ARG(c->native_finish)),
                         0);
    }
    for (int c = 0; c < CLASS_TOKENS; c++)
        assert_int_equal(buf_addf(into, "%lld,", (long long)a->usage.tokens.of[c]), 0);
}

/* --- against expect.json ---------------------------------------------------------------------- */

struct recorded_case {
    char name[256], path[512];
    struct json *expect, *meta; /* expect: NULL where there is none */
    struct buf response;
    bool stream;
};

static inline struct json *
recorded_json(const char *path)
{
    struct json *j = NULL;
    struct buf text;
    char why[128];
    buf_init(&text, 0);
    if (file_read(path, 16 << 20, false, &text) == 0 &&
        json_parse(buf_slice(&text), &j, why, sizeof(why)) != 0)
        fail_msg("%s: %s", path, why);
    buf_free(&text);
    return j;
}

static inline const char *
recorded_finish(enum canon_finish f)
{
    switch (f) {
    case FINISH_STOP:
    case FINISH_STOP_SEQUENCE:
        return "stop";
    case FINISH_LENGTH:
        return "length";
    case FINISH_TOOL_CALLS:
        return "tool_calls";
    case FINISH_CONTENT_FILTER:
        return "content_filter";
    default:
        return "";
    }
}

static inline struct slice
recorded_joined(const struct canon_choice_answer *c, enum canon_part_kind kind, struct buf *into)
{
    buf_init(into, 0);
    for (size_t i = 0; i < c->count; i++)
        if (c->parts[i].kind == kind)
            assert_int_equal(buf_add_slice(into, c->parts[i].text), 0);
    return into->len ? buf_slice(into) : SLICE("");
}

static inline void
recorded_check_calls(const struct json *want, const struct canon_choice_answer *c)
{
    size_t calls = 0;
    char why[128];
    for (size_t i = 0; i < c->count; i++) {
        const struct canon_part *p = &c->parts[i];
        struct json *arguments = NULL;
        if (p->kind != PART_TOOL_CALL)
            continue;
        const struct json *one = json_at(want, calls++);
        assert_true(slice_eq(p->id, json_str(json_get(one, "id"))));
        assert_true(slice_eq(p->name, json_str(json_get(one, "name"))));
        assert_int_equal(json_parse(p->arguments, &arguments, why, sizeof(why)), 0);
        assert_true(json_equal(arguments, json_get(one, "arguments")));
        json_free(arguments);
    }
    assert_int_equal(calls, json_size(want));
}

static inline void
recorded_check_usage(const struct json *want, const struct usage_report *got)
{
    int64_t n;
    if (json_kind(want) != JSON_MAP)
        return;
    assert_true(got->seen);
    assert_false(got->suspect);
    if (json_to_int(json_get(want, "prompt_tokens"), &n) == 0)
        assert_int_equal(tokens_input(&got->tokens), n);
    if (json_to_int(json_get(want, "completion_tokens"), &n) == 0)
        assert_int_equal(tokens_output(&got->tokens), n);
    if (json_to_int(json_get(want, "cached_tokens"), &n) == 0)
        assert_int_equal(got->tokens.cache_read, n);
}

/* Text, calls, the end and usage. ignores_reasoning: this dialect tells more of it. */
static inline void
recorded_check(const struct recorded_case *r, const struct canon_answer *a, bool ignores_reasoning)
{
    struct buf text, reasoning;
    const struct canon_choice_answer *c = &a->choices[0];
    assert_int_equal(a->choice_count, 1);
    struct slice got = recorded_joined(c, PART_TEXT, &text);
    struct slice thought = recorded_joined(c, PART_REASONING, &reasoning);
    struct slice want = json_str(json_get(r->expect, "text"));
    if (!slice_eq(got, want))
        fail_msg("%s: text \"%.*s\"", r->name, SLICE_ARG(got));
    if (!ignores_reasoning && json_kind(json_get(r->expect, "reasoning")) == JSON_TEXT &&
        !slice_eq(thought, json_str(json_get(r->expect, "reasoning"))))
        fail_msg("%s: reasoning \"%.*s\"", r->name, SLICE_ARG(thought));
    recorded_check_calls(json_get(r->expect, "tool_calls"), c);
    assert_true(slice_eq(c->native_finish, json_str(json_get(r->expect, "finish_reason_native"))));
    if (json_kind(json_get(r->expect, "finish_reason_openai")) == JSON_TEXT)
        assert_slice_is(json_str(json_get(r->expect, "finish_reason_openai")),
                        recorded_finish(c->finish));
    recorded_check_usage(json_get(r->meta, "usage"), &a->usage);
    buf_free(&text);
    buf_free(&reasoning);
}

/* --- all cases of an api ---------------------------------------------------------------------- */

static inline void
recorded_load(struct recorded_case *r, const char *provider, const char *name)
{
    char path[640];
    snprintf(r->name, sizeof(r->name), "%s", name);
    snprintf(r->path, sizeof(r->path), RECORDINGS "%s/%s", provider, name);
    snprintf(path, sizeof(path), "%s/expect.json", r->path);
    r->expect = recorded_json(path);
    snprintf(path, sizeof(path), "%s/response.meta.json", r->path);
    r->meta = recorded_json(path);
    snprintf(path, sizeof(path), "%s/%.*s", r->path,
             SLICE_ARG(json_str(json_get(r->meta, "body_file"))));
    buf_init(&r->response, 0);
    assert_int_equal(file_read(path, 64 << 20, false, &r->response), 0);
}

static inline void
recorded_unload(struct recorded_case *r)
{
    json_free(r->expect);
    json_free(r->meta);
    buf_free(&r->response);
}

/* Calls `check` for every case of this provider and api; returns how many there were. */
static inline size_t
recorded_each(const char *provider, const char *api, void (*check)(const struct recorded_case *r))
{
    char path[640];
    size_t count = 0;
    snprintf(path, sizeof(path), RECORDINGS "%s", provider);
    DIR *folder = opendir(path);
    for (struct dirent *d; folder && (d = readdir(folder)) != NULL;) {
        snprintf(path, sizeof(path), RECORDINGS "%s/%s/request.meta.json", provider, d->d_name);
        struct json *request = d->d_name[0] == '.' ? NULL : recorded_json(path);
        if (slice_is(json_str(json_get(request, "api")), api)) {
            struct recorded_case r = {.stream = false};
            recorded_load(&r, provider, d->d_name);
            check(&r);
            recorded_unload(&r);
            count++;
        }
        json_free(request);
    }
    if (folder)
        closedir(folder);
    return count;
}

#endif
