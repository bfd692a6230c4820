/*
 * The provider side of Responses against recorded traffic, where it is at hand ($HEADGATE_SHARED,
 * else
 * ../shared): every case's text, calls, finish and usage; streams tell what their terminal repeats,
 * and the same however their bytes are cut.
 */
#include "tests/unit/check.h"

#include <jansson.h>
#undef json_is_true
#define json_is_true(j) ((j) && json_typeof(j) == JSON_TRUE)

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"
#include "lib/http/sse.h"
#include "lib/json/view.h"

static char root[512];
static struct arena a;

/* --- the cases -------------------------------------------------------------------------------- */

static struct slice
load(const char *folder, const char *file)
{
    char path[1024];
    size_t cap = 1 << 20, n;
    snprintf(path, sizeof(path), "%s/wire/%s%s%s", root, folder, *folder ? "/" : "", file);
    FILE *f = fopen(path, "rb");
    if (!f)
        return (struct slice){0};
    char *at = arena_alloc(&a, cap);
    n = fread(at, 1, cap, f);
    fclose(f);
    assert_true(n < cap);
    return slice_make(at, n);
}

static const char *
text_of(json_t *map, const char *name)
{
    const char *s = json_string_value(json_object_get(map, name));
    return s ? s : "";
}

/* --- what an answer says, as text ------------------------------------------------------------- */

static void
add(struct buf *b, const char *label, struct slice s)
{
    assert_int_equal(buf_addf(b, "%s=%.*s\n", label, SLICE_ARG(s)), 0);
}

static void
transcribe(const struct canon_answer *answer, struct buf *b)
{
    const struct canon_choice_answer *c = answer->choices;
    const struct tokens *t = &answer->usage.tokens;
    assert_int_equal(answer->choice_count, 1);
    for (size_t i = 0; i < c->count; i++) {
        const struct canon_part *p = &c->parts[i];
        assert_int_equal(buf_addf(b, "part %d custom=%d\n", p->kind, p->custom), 0);
        if (p->kind == PART_OPAQUE) { /* some are told again with another status */
            struct json_view type = json_view_get(json_view_of(p->raw), "type");
            add(b, "opaque", type.raw);
            continue;
        }
        add(b, "id", p->id);
        add(b, "name", p->name);
        add(b, "text", p->text);
        add(b, "arguments", p->arguments);
        add(b, "extra", p->raw);
        for (size_t k = 0; k < p->citation_count; k++) {
            add(b, "url", p->citations[k].url);
            add(b, "title", p->citations[k].title);
            add(b, "raw", p->citations[k].raw);
        }
        assert_int_equal(p->encrypted.len == 0 || p->kind == PART_REASONING, true);
        assert_int_equal(buf_addf(b, "encrypted=%d\n", p->encrypted.len > 0), 0);
    }
    assert_int_equal(buf_addf(b, "finish %d %.*s\n", c->finish, SLICE_ARG(c->native_finish)), 0);
    add(b, "logprobs", c->logprobs_raw);
    assert_int_equal(buf_addf(b, "usage %d: %lld %lld %lld %lld %lld %lld\n", answer->usage.seen,
                              (long long)t->input, (long long)t->cache_read,
                              (long long)t->cache_write, (long long)t->output,
                              (long long)t->reasoning, (long long)t->web_searches),
                     0);
}

static struct slice
transcript(const struct canon_answer *answer)
{
    struct buf b;
    buf_init(&b, 0);
    transcribe(answer, &b);
    struct slice text = arena_copy(&a, buf_slice(&b));
    buf_free(&b);
    return text;
}

/* --- what is expected ------------------------------------------------------------------------- */

static void
assert_joined(const struct canon_choice_answer *c, enum canon_part_kind kind, const char *want)
{
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < c->count; i++)
        if (c->parts[i].kind == kind)
            assert_int_equal(buf_add_slice(&b, c->parts[i].text), 0);
    assert_slice_is(buf_slice(&b), want);
    buf_free(&b);
}

static void
assert_call(const struct canon_part *p, json_t *want)
{
    const char *input = json_string_value(json_object_get(want, "input"));
    assert_slice_is(p->id, text_of(want, "id"));
    assert_slice_is(p->name, text_of(want, "name"));
    assert_int_equal(p->custom, input != NULL);
    if (input) {
        assert_slice_is(p->arguments, input);
        return;
    }
    json_t *got = json_loadb(p->arguments.at, p->arguments.len, JSON_DECODE_ANY, NULL);
    assert_non_null(got);
    assert_true(json_equal(got, json_object_get(want, "arguments")));
    json_decref(got);
}

static void
assert_calls(const struct canon_choice_answer *c, json_t *want)
{
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++)
        if (c->parts[i].kind == PART_TOOL_CALL)
            assert_call(&c->parts[i], json_array_get(want, n++));
    assert_int_equal(n, json_array_size(want));
}

static void
assert_finish(enum canon_finish finish, json_t *want)
{
    static const char *const names[] = {
        [FINISH_STOP] = "stop",
        [FINISH_LENGTH] = "length",
        [FINISH_TOOL_CALLS] = "tool_calls",
        [FINISH_CONTENT_FILTER] = "content_filter",
    };
    if (json_is_string(want))
        assert_string_equal(names[finish], json_string_value(want));
    else
        assert_int_equal(finish, FINISH_NONE);
}

static void
assert_expected(const struct canon_answer *answer, json_t *expect)
{
    const struct canon_choice_answer *c = answer->choices;
    assert_joined(c, PART_TEXT, text_of(expect, "text"));
    assert_joined(c, PART_REASONING, text_of(expect, "reasoning"));
    assert_calls(c, json_object_get(expect, "tool_calls"));
    assert_finish(c->finish, json_object_get(expect, "finish_reason_openai"));
}

static int64_t
count(json_t *usage, const char *name)
{
    return json_integer_value(json_object_get(usage, name));
}

static void
assert_usage(const struct usage_report *r, json_t *want)
{
    assert_int_equal(r->seen, json_is_object(want));
    assert_false(r->suspect);
    assert_int_equal(tokens_input(&r->tokens), count(want, "prompt_tokens"));
    assert_int_equal(tokens_output(&r->tokens), count(want, "completion_tokens"));
    assert_int_equal(r->tokens.cache_read, count(want, "cached_tokens"));
    assert_int_equal(r->tokens.cache_write, count(want, "cache_write_tokens"));
    assert_int_equal(r->tokens.reasoning, count(want, "reasoning_tokens"));
}

/* --- streams ---------------------------------------------------------------------------------- */

struct decoding {
    void *state;
    struct gather *gather;
    struct arena scratch;
    struct slice terminal; /* the response that it repeats */
    int err;
};

static int
take(void *ctx, const struct canon_event *e)
{
    return gather_event(ctx, e);
}

static bool
on_event(void *ctx, const struct sse_event *e)
{
    struct decoding *d = ctx;
    struct canon_sink sink = {take, d->gather};
    struct wire_event event = {.name = e->name, .data = e->data};
    if (!e->has_data)
        return true;
    d->err = dialect_responses.decoder->event(d->state, &event, &d->scratch, &sink);
    arena_free(&d->scratch);
    struct json_view all = json_view_of(e->data), type = json_view_get(all, "type");
    if (json_view_is(type, "response.completed") || json_view_is(type, "response.incomplete"))
        d->terminal = arena_copy(&a, json_view_get(all, "response").raw);
    return d->err == 0;
}

static void
free_gather(void *ctx)
{
    gather_free(ctx);
}

/* The stream in pieces of `piece` bytes. ERR_TRUNCATED without a terminal; else *ret is filled. */
static int
decode(struct slice bytes, size_t piece, struct slice *ret_terminal, struct canon_answer *ret)
{
    const struct dialect_decoder *decoder = dialect_responses.decoder;
    struct dialect_exchange x = {0};
    struct decoding d = {.gather = gather_new((size_t)8 << 20)};
    struct canon_sink sink = {take, d.gather};
    struct sse_parser p;
    d.state = arena_zalloc(&a, decoder->state_bytes);
    arena_init(&d.scratch, 0);
    sse_init(&p, 0);
    assert_int_equal(decoder->init(d.state, &a, &x), 0);
    for (size_t at = 0; at < bytes.len && !d.err; at += piece) {
        size_t n = bytes.len - at < piece ? bytes.len - at : piece;
        assert_int_equal(sse_push(&p, slice_make(bytes.at + at, n), on_event, &d), 0);
    }
    int err = d.err;
    if (!err && !gather_has_ended(d.gather))
        err = decoder->end(d.state, &sink);
    assert_int_equal(gather_answer(d.gather, &a, ret), 0);
    *ret_terminal = d.terminal;
    assert_int_equal(arena_on_free(&a, free_gather, d.gather), 0);
    sse_fini(&p);
    return err;
}

/* --- where bytes are cut ---------------------------------------------------------------------- */

#define EVERY_OFFSET_BELOW 20480
#define STEP_ABOVE 97

struct seen {
    struct slice name, data;
    size_t count;
};

static bool
see(void *ctx, const struct sse_event *e)
{
    struct seen *s = ctx;
    if (!e->has_data)
        return true;
    assert_slice_is(e->name, arena_strdup(&a, s->name));
    assert_true(slice_eq(e->data, s->data));
    s->count++;
    return true;
}

struct cutting {
    struct slice stream;
};

/* The event, cut in two at each of its bytes, is the same event; so the decoder sees the same. */
static bool
cut_event(void *ctx, const struct sse_event *e)
{
    struct cutting *c = ctx;
    size_t at = (size_t)(e->raw.at - c->stream.at);
    struct seen s = {e->name, e->data, 0};
    if (!e->has_data)
        return true;
    for (size_t i = 1; i < e->raw.len; i += at + i < EVERY_OFFSET_BELOW ? 1 : STEP_ABOVE) {
        struct sse_parser p;
        sse_init(&p, 0);
        s.count = 0;
        assert_int_equal(sse_push(&p, slice_make(e->raw.at, i), see, &s), 0);
        assert_int_equal(sse_push(&p, slice_from(e->raw, i), see, &s), 0);
        assert_int_equal(s.count, 1);
        sse_fini(&p);
    }
    return true;
}

static void
check_cuts(struct slice stream)
{
    struct sse_parser p;
    struct cutting c = {.stream = stream};
    sse_init(&p, 0);
    assert_int_equal(sse_push(&p, stream, cut_event, &c), 0);
    sse_fini(&p);
}

/* --- one case --------------------------------------------------------------------------------- */

static void
check_answer(struct slice body, struct canon_answer *ret)
{
    struct dialect_exchange x = {0};
    const char *why = "";
    int err = dialect_responses.read_answer(body, &x, &a, ret, &why);
    if (err)
        fail_msg("%s (%d)", why, err);
}

static void
check_whole(struct slice body, json_t *expect, json_t *usage)
{
    struct canon_answer answer;
    struct usage_report r = {0};
    bool error;
    check_answer(body, &answer);
    assert_expected(&answer, expect);
    assert_usage(&answer.usage, usage);
    assert_int_equal(dialect_responses.look(body, &r, &error), 0);
    assert_false(error);
    assert_usage(&r, usage);
}

/* Two of its items are told by nothing but the terminal, behind the text that they precede there:
 * the parts are the same, in another order. */
#define LATE_ITEMS "/responses-model-mcp-list-tools-stream-backfills-missing-results"

static void
check_stream(const char *folder, struct slice stream, json_t *expect, json_t *usage)
{
    struct canon_answer answer, other, whole;
    struct slice terminal;
    int err = decode(stream, stream.len, &terminal, &answer);
    if (json_is_true(json_object_get(expect, "partial"))) {
        assert_int_equal(err, ERR_TRUNCATED);
        return;
    }
    assert_int_equal(err, 0);
    assert_expected(&answer, expect);
    assert_usage(&answer.usage, usage);
    check_answer(terminal, &whole);
    if (!slice_ends(slice_of(folder), SLICE(LATE_ITEMS)))
        assert_string_equal(transcript(&answer).at, transcript(&whole).at);
    static const size_t pieces[] = {1, 7, 1021};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        assert_int_equal(decode(stream, pieces[i], &terminal, &other), 0);
        assert_string_equal(transcript(&answer).at, transcript(&other).at);
    }
    check_cuts(stream);
}

static void
check_error(struct slice body, int status)
{
    struct dialect_fault f = {.status = status, .body = body};
    struct canon_error e;
    json_t *want = json_loadb(body.at, body.len, 0, NULL);
    assert_int_equal(dialect_responses.read_error(&f, &a, &e), 0);
    assert_slice_is(e.message, text_of(json_object_get(want, "error"), "message"));
    assert_slice_is(e.code, text_of(json_object_get(want, "error"), "code"));
    assert_int_equal(e.status, status);
    assert_int_equal(e.kind, canon_class_of_status(status));
    json_decref(want);
}

static void
check_case(json_t *row)
{
    const char *folder = text_of(row, "path"), *file = text_of(row, "response_file");
    int status = (int)json_integer_value(json_object_get(row, "status"));
    json_t *usage = json_object_get(row, "usage");
    const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    struct slice body = load(folder, base), text = load(folder, "expect.json");
    json_t *expect = json_loadb(text.at, text.len, 0, NULL);
    print_message("%s\n", folder);
    assert_true(body.len > 0);
    if (status >= 400)
        check_error(body, status);
    else if (json_is_true(json_object_get(row, "stream")))
        check_stream(folder, body, expect, usage);
    else
        check_whole(body, expect, usage);
    json_decref(expect);
}

/* --- requests --------------------------------------------------------------------------------- */

static struct slice
rewrite(struct slice body, struct canon_request *q)
{
    struct dialect_call call = {.path_stream = false};
    struct dialect_refusal why = {.member = ""};
    struct policy_provider p = {.name = SLICE("p"), .kind = PROVIDER_OPENAI};
    struct dialect_target t = {.provider = &p};
    struct dialect_writer w = {.arena = &a, .target = &t, .why = &why};
    struct buf out;
    buf_init(&out, 0);
    if (dialect_responses.read_request(body, &call, &a, q, &why) != 0)
        fail_msg("%s: %s", why.member, why.message);
    t.model = q->model;
    if (dialect_responses.write_request(q, &w, &out) != 0)
        fail_msg("%s: %s", why.member, why.message);
    struct slice text = arena_copy(&a, buf_slice(&out));
    buf_free(&out);
    return text;
}

/* Of what is written in one way only: the same JSON, nulls aside. */
static void
assert_same_members(json_t *was, json_t *is)
{
    static const char *const others[] = {"input", "stream", "reasoning", "tools", "model", NULL};
    const char *name;
    json_t *value;
    json_object_foreach(was, name, value)
    {
        bool other = json_is_null(value);
        for (size_t i = 0; others[i]; i++)
            other |= strcmp(name, others[i]) == 0;
        if (!other && !json_equal(value, json_object_get(is, name)))
            fail_msg("'%s' changed", name);
    }
}

static size_t
items_of(json_t *request)
{
    json_t *input = json_object_get(request, "input");
    return json_is_array(input) ? json_array_size(input) : input != NULL;
}

static bool
check_request(const char *folder)
{
    struct canon_request q, again;
    struct slice body = load(folder, "request.json");
    if (!body.at)
        return false;
    print_message("%s\n", folder);
    struct slice once = rewrite(body, &q), twice = rewrite(once, &again);
    assert_true(slice_eq(once, twice));
    assert_int_equal(q.message_count, again.message_count);
    assert_int_equal(q.tool_count, again.tool_count);
    json_t *was = json_loadb(body.at, body.len, 0, NULL);
    json_t *is = json_loadb(once.at, once.len, 0, NULL);
    assert_same_members(was, is);
    assert_int_equal(items_of(was), items_of(is));
    assert_int_equal(json_array_size(json_object_get(was, "tools")),
                     json_array_size(json_object_get(is, "tools")));
    json_decref(was);
    json_decref(is);
    return true;
}

static void
test_requests(void **state)
{
    (void)state;
    arena_init(&a, 0);
    struct slice text = load("", "INDEX.json");
    if (!text.at)
        skip();
    json_t *rows = json_loadb(text.at, text.len, 0, NULL), *row;
    size_t i, n = 0;
    json_array_foreach(rows, i, row)
    {
        if (strcmp(text_of(row, "api"), "openai.responses") == 0)
            n += check_request(text_of(row, "path"));
        arena_free(&a);
    }
    assert_true(n > 0);
    json_decref(rows);
}

static void
test_recordings(void **state)
{
    (void)state;
    arena_init(&a, 0);
    struct slice text = load("", "INDEX.json");
    if (!text.at)
        skip();
    json_t *rows = json_loadb(text.at, text.len, 0, NULL), *row;
    size_t i, n = 0;
    assert_non_null(rows);
    json_array_foreach(rows, i, row)
    {
        const char *api = text_of(row, "api");
        if (strncmp(api, "openai.responses", 16) != 0 ||
            strcmp(api, "openai.responses.input_tokens") == 0) /* a count is no answer */
            continue;
        check_case(row);
        arena_free(&a);
        n++;
    }
    print_message("%zu cases\n", n);
    assert_true(n > 0);
    json_decref(rows);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recordings),
                                       cmocka_unit_test(test_requests)};
    const char *shared = getenv("HEADGATE_SHARED");
    snprintf(root, sizeof(root), "%s", shared ? shared : "../shared");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
