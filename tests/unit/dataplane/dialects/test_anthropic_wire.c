/* Recorded answers and streams of the Messages API, where the recordings are at hand. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"
#include "tests/unit/dataplane/dialects/wire.h"

static const struct dialect *const anthropic = &dialect_anthropic;
static int answers, streams, errors;

/* Their reference counts leave out runs that are billed, which are counted here: */
static bool
has_iterations(const struct wire_case *c)
{
    static const char *const names[] = {"messages-advisor-tool", "messages-advisor-tool-stream",
                                        "messages-compaction-end-to-end-t1",
                                        "messages-compaction-usage-with-cache-streaming"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(c->name, names[i]) == 0)
            return true;
    return false;
}

/* --- streams ---------------------------------------------------------------------------------- */

struct run {
    struct sse_parser parser;
    struct arena keep, scratch;
    void *state;
    struct gather *gather;
    struct canon_error error; /* class only */
    bool failed, decode;
    void *encoder; /* NULL: not encoded again */
    struct buf encoded;
    uint64_t sum; /* of the events' bytes */
    int err;
};

static int
take(void *ctx, const struct canon_event *e)
{
    struct run *r = ctx;
    if (r->encoder)
        assert_int_equal(anthropic->encoder->event(r->encoder, e, &r->encoded), 0);
    if (e->kind == EVENT_ERROR) {
        r->failed = true;
        r->error.kind = e->error.kind;
        assert_true(e->error.message.len > 0);
        return 0;
    }
    return gather_event(r->gather, e);
}

static void
add_bytes(struct run *r, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        r->sum = (r->sum ^ (unsigned char)s.at[i]) * UINT64_C(0x100000001b3);
    r->sum = (r->sum + 0x11) * UINT64_C(0x100000001b3);
}

static bool
on_event(void *ctx, const struct sse_event *e)
{
    struct run *r = ctx;
    struct canon_sink sink = {take, r};
    struct wire_event event = {.name = e->name, .data = e->data};
    if (!r->decode) {
        add_bytes(r, e->name);
        add_bytes(r, e->data);
        return true;
    }
    r->err = anthropic->decoder->event(r->state, &event, &r->scratch, &sink);
    arena_free(&r->scratch);
    return r->err == 0;
}

static void
run_init(struct run *r, bool decode)
{
    struct dialect_exchange x = {0};
    memset(r, 0, sizeof(*r));
    r->decode = decode;
    sse_init(&r->parser, 0);
    arena_init(&r->keep, 0);
    arena_init(&r->scratch, 0);
    r->gather = gather_new((size_t)64 << 20);
    r->state = calloc(1, anthropic->decoder->state_bytes);
    assert_int_equal(anthropic->decoder->init(r->state, &r->keep, &x), 0);
}

static void
run_fini(struct run *r)
{
    sse_fini(&r->parser);
    arena_free(&r->keep);
    arena_free(&r->scratch);
    gather_free(r->gather);
    free(r->state);
}

static void
push(struct run *r, struct slice bytes)
{
    int err = sse_push(&r->parser, bytes, on_event, r);
    assert_int_equal(err, 0);
    assert_int_equal(r->err, 0);
}

/* An answer, as text: what is equal says the same. */
static struct slice
told_answer(const struct canon_answer *answer, struct arena *a)
{
    struct buf b;
    buf_init(&b, 0);
    const struct canon_choice_answer *c = &answer->choices[0];
    int err = buf_addf(&b, "%.*s %.*s %d %.*s|%.*s %lld %lld %lld\n", SLICE_ARG(answer->id),
                       SLICE_ARG(answer->model), (int)c->finish, SLICE_ARG(c->native_finish),
                       SLICE_ARG(c->stop_sequence), (long long)tokens_input(&answer->usage.tokens),
                       (long long)tokens_output(&answer->usage.tokens),
                       (long long)answer->usage.tokens.web_searches);
    for (size_t i = 0; i < c->count && !err; i++) {
        const struct canon_part *p = &c->parts[i];
        err =
            buf_addf(&b, "%d|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s\n", (int)p->kind, SLICE_ARG(p->id),
                     SLICE_ARG(p->name), SLICE_ARG(p->text), SLICE_ARG(p->arguments),
                     SLICE_ARG(p->signature), SLICE_ARG(p->encrypted), SLICE_ARG(p->raw));
        for (size_t j = 0; j < p->citation_count && !err; j++)
            err = buf_addf(&b, "  %.*s\n", SLICE_ARG(p->citations[j].raw));
    }
    assert_int_equal(err, 0);
    struct slice s = arena_copy(a, buf_slice(&b));
    buf_free(&b);
    return s;
}

static struct slice
told(struct run *r, struct arena *a)
{
    struct canon_answer answer;
    assert_int_equal(gather_answer(r->gather, a, &answer), 0);
    return told_answer(&answer, a);
}

static uint64_t
split_sum(struct slice bytes, size_t at)
{
    struct run r;
    run_init(&r, false);
    push(&r, slice_make(bytes.at, at));
    push(&r, slice_from(bytes, at));
    uint64_t sum = r.sum;
    run_fini(&r);
    return sum;
}

/* Split at every byte of the first 20 KB (and then every 97th) the events are the same; decoded
 * from every 97th byte on, and byte by byte, they say the same. */
static void
check_splits(const struct wire_case *c, struct slice bytes, struct slice want)
{
    struct arena a;
    struct run r;
    uint64_t whole = split_sum(bytes, 0);
    for (size_t at = 1; at < bytes.len; at += at < 20480 ? 1 : 97)
        if (split_sum(bytes, at) != whole)
            fail_msg("%s: split at %zu", c->name, at);
    for (size_t at = 1; at < bytes.len; at += 97) {
        arena_init(&a, 0);
        run_init(&r, true);
        push(&r, slice_make(bytes.at, at));
        push(&r, slice_from(bytes, at));
        if (!slice_eq(told(&r, &a), want))
            fail_msg("%s: split at %zu", c->name, at);
        run_fini(&r);
        arena_free(&a);
    }
    arena_init(&a, 0);
    run_init(&r, true);
    for (size_t i = 0; i < bytes.len; i++)
        push(&r, slice_make(bytes.at + i, 1));
    assert_true(slice_eq(told(&r, &a), want));
    run_fini(&r);
    arena_free(&a);
}

/* What a client of the same dialect would get says the same. */
static void
check_encoded(const struct wire_case *c, struct slice bytes)
{
    struct answer_names names = {.id = SLICE("x"), .model = SLICE("m")};
    struct arena a;
    struct run r, again;
    arena_init(&a, 0);
    run_init(&r, true);
    r.encoder = calloc(1, anthropic->encoder->state_bytes);
    buf_init(&r.encoded, 0);
    assert_int_equal(anthropic->encoder->init(r.encoder, &r.keep, NULL, &names), 0);
    push(&r, bytes);
    run_init(&again, true);
    push(&again, buf_slice(&r.encoded));
    assert_int_equal(again.failed, r.failed);
    struct slice want = told(&r, &a), got = told(&again, &a);
    if (!r.failed && !slice_eq(want, got))
        fail_msg("%s:\n%.*s\n%.*s", c->name, SLICE_ARG(want), SLICE_ARG(got));
    anthropic->encoder->fini(r.encoder);
    free(r.encoder);
    buf_free(&r.encoded);
    run_fini(&r);
    run_fini(&again);
    arena_free(&a);
}

static void
check_stream(const struct wire_case *c)
{
    struct slice bytes = wire_file("%s/response.sse", c->path);
    struct canon_answer answer;
    struct arena a;
    struct run r;
    arena_init(&a, 0);
    run_init(&r, true);
    push(&r, bytes);
    assert_int_equal(gather_answer(r.gather, &a, &answer), 0);
    wire_check_answer(c, &a, &answer);
    if (!has_iterations(c))
        wire_check_usage(c, &answer.usage);
    bool broken = strncmp(c->name, "x-stream", 8) == 0;
    assert_int_equal(r.failed, broken);
    assert_int_equal(gather_has_ended(r.gather), !broken);
    if (broken)
        assert_int_equal(r.error.kind, ERROR_OVERLOAD);
    check_splits(c, bytes, told(&r, &a));
    check_encoded(c, bytes);
    run_fini(&r);
    arena_free(&a);
    streams++;
}

/* A stream that is cut anywhere before its last event never ends cleanly. */
static void
check_cuts(const struct wire_case *c)
{
    struct slice bytes = wire_file("%s/response.sse", c->path);
    struct canon_sink sink = {take, NULL};
    const char *last = memmem(bytes.at, bytes.len, "event: message_stop", 19);
    size_t end = last ? (size_t)(last - bytes.at) : bytes.len;
    for (size_t at = 1; at < end; at += 1009) {
        struct run r;
        run_init(&r, true);
        push(&r, slice_make(bytes.at, at));
        assert_false(gather_has_ended(r.gather));
        assert_int_equal(anthropic->decoder->end(r.state, &sink), ERR_TRUNCATED);
        run_fini(&r);
    }
}

/* --- whole answers ---------------------------------------------------------------------------- */

/* Written for a client and read again it is the same. */
static void
check_written(const struct wire_case *c, const struct canon_answer *answer, struct arena *a)
{
    struct answer_names names = {.id = SLICE("x"), .model = SLICE("m")};
    struct dialect_exchange x = {0};
    struct canon_answer again;
    const char *why;
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(anthropic->write_answer(NULL, answer, &names, &b), 0);
    assert_int_equal(anthropic->read_answer(buf_slice(&b), &x, a, &again, &why), 0);
    struct slice want = told_answer(answer, a), got = told_answer(&again, a);
    if (!slice_eq(want, got))
        fail_msg("%s:\n%.*s\n%.*s", c->name, SLICE_ARG(want), SLICE_ARG(got));
    buf_free(&b);
}

static void
check_whole(const struct wire_case *c)
{
    struct slice body = wire_file("%s/response.json", c->path);
    struct dialect_exchange x = {0};
    struct canon_answer answer;
    const char *why = NULL;
    struct usage_report seen = {0};
    bool is_error;
    struct arena a;
    arena_init(&a, 0);
    if (anthropic->read_answer(body, &x, &a, &answer, &why) != 0)
        fail_msg("%s: %s", c->name, why);
    wire_check_answer(c, &a, &answer);
    if (!has_iterations(c))
        wire_check_usage(c, &answer.usage);
    assert_int_equal(anthropic->look(body, &seen, &is_error), 0);
    assert_false(is_error);
    assert_memory_equal(&seen.tokens, &answer.usage.tokens, sizeof(seen.tokens));
    check_written(c, &answer, &a);
    arena_free(&a);
    answers++;
}

static void
check_error(const struct wire_case *c)
{
    struct dialect_fault fault = {.status = c->status,
                                  .body = wire_file("%s/response.json", c->path)};
    struct canon_error e;
    struct arena a;
    arena_init(&a, 0);
    assert_int_equal(anthropic->read_error(&fault, &a, &e), 0);
    struct json_view error = json_view_get(json_view_of(fault.body), "error");
    wire_check_text(c, &a, "message", json_view_get(error, "message"), e.message);
    wire_check_text(c, &a, "type", json_view_get(error, "type"), e.type);
    assert_int_equal(e.status, c->status);
    assert_int_equal(e.kind, canon_class_of_status(c->status));
    arena_free(&a);
    errors++;
}

static void
check_case(const struct wire_case *c)
{
    if (c->status >= 400)
        check_error(c);
    else if (c->stream) {
        check_stream(c);
        check_cuts(c);
    } else
        check_whole(c);
}

static void
test_recordings(void **state)
{
    (void)state;
    int count = wire_each("anthropic.messages", check_case);
    if (count == 0)
        skip();
    print_message("%d answers, %d streams, %d errors\n", answers, streams, errors);
    assert_int_equal(answers + streams + errors, count);
}

/* Claude behind Bedrock's InvokeModel answers in the same shape. */
static void
check_invoked(const struct wire_case *c)
{
    struct slice body = wire_file("%s/response.json", c->path);
    struct json_view v = json_view_of(body);
    if (c->status == 200 && body.at && json_view_is(json_view_get(v, "type"), "message"))
        check_whole(c);
}

static void
test_recordings_of_bedrock(void **state)
{
    (void)state;
    answers = 0;
    if (wire_each("bedrock.invoke", check_invoked) == 0)
        skip();
    assert_true(answers > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recordings),
                                       cmocka_unit_test(test_recordings_of_bedrock)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
