/*
 * Bedrock's Converse: what is read of its answers, errors and streams, on documents of our own and
 * on recordings.
 */
#include "tests/unit/dataplane/dialects/recorded.h"

#include "dataplane/dialects/converse_internal.h"

/* --- reading ---------------------------------------------------------------------------------- */

static void
read_answer(const char *body, bool json_by_tool, struct arena *a, struct canon_answer *ret)
{
    static const struct canon_request q;
    const struct dialect_exchange x = {.request = &q, .json_by_tool = json_by_tool};
    const char *why = "";
    int err = dialect_converse.read_answer(slice_of(body), &x, a, ret, &why);
    if (err)
        fail_msg("%s", why);
}

#define ANSWER(content, stop)                                                                      \
    "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[" content "]}},"                \
    "\"stopReason\":\"" stop "\",\"usage\":{\"inputTokens\":3,\"outputTokens\":5}}"

static void
test_reads_blocks(void **state)
{
    struct canon_answer got;
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    read_answer(ANSWER("{\"reasoningContent\":{\"reasoningText\":{\"text\":\"t\",\"signature\":"
                       "\"s\"}}},{\"reasoningContent\":{\"redactedContent\":\"cg==\"}},"
                       "{\"text\":\"a\\u00e9\"},{\"text\":\"\"},{\"later\":{}},"
                       "{\"toolUse\":{\"toolUseId\":\"i\",\"name\":\"f\",\"input\":{\"x\": 1}}},"
                       "{\"toolUse\":{\"toolUseId\":\"j\",\"name\":\"web\",\"input\":{},"
                       "\"type\":\"server_tool_use\"}},"
                       "{\"image\":{\"format\":\"png\",\"source\":{\"bytes\":\"AAAA\"}}}",
                       "tool_use"),
                false, &a, &got);
    const struct canon_choice_answer *c = &got.choices[0];
    assert_int_equal(c->count, 5);
    assert_slice_is(c->parts[0].text, "t");
    assert_slice_is(c->parts[0].signature, "s");
    assert_int_equal(c->parts[0].origin, DIALECT_CONVERSE);
    assert_slice_is(c->parts[1].encrypted, "cg==");
    assert_slice_is(c->parts[2].text, "a\303\251");
    assert_slice_is(c->parts[3].arguments, "{\"x\": 1}");
    assert_slice_is(c->parts[4].media.mime, "image/png");
    assert_int_equal(c->finish, FINISH_TOOL_CALLS);
    assert_slice_is(c->native_finish, "tool_use");
    assert_int_equal(got.usage.tokens.input, 3);
    assert_int_equal(got.usage.tokens.output, 5);
    arena_free(&a);
}

static void
test_reads_citations(void **state)
{
    struct canon_answer got;
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    read_answer(
        ANSWER("{\"citationsContent\":{\"content\":[{\"text\":\"blue\"},{\"text\":\" sky\"}],"
               "\"citations\":[{\"title\":\"T\",\"sourceContent\":[{\"text\":\"is blue\"}],"
               "\"location\":{\"web\":{\"url\":\"https://u\"}}}]}}",
               "end_turn"),
        false, &a, &got);
    const struct canon_part *p = &got.choices[0].parts[0];
    assert_slice_is(p->text, "blue sky");
    assert_int_equal(p->citation_count, 1);
    assert_slice_is(p->citations[0].title, "T");
    assert_slice_is(p->citations[0].url, "https://u");
    assert_slice_is(p->citations[0].cited_text, "is blue");
    assert_int_equal(p->citations[0].start, -1);
    assert_true(slice_starts(p->citations[0].raw, SLICE("{\"title\":\"T\"")));
    arena_free(&a);
}

static void
test_reads_forced_json(void **state)
{
    static const char body[] =
        ANSWER("{\"toolUse\":{\"toolUseId\":\"i\",\"name\":\"respond_with_json\",\"input\":"
               "{\"a\":1}}}",
               "tool_use");
    struct canon_answer got;
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    read_answer(body, true, &a, &got);
    assert_int_equal(got.choices[0].parts[0].kind, PART_TEXT);
    assert_slice_is(got.choices[0].parts[0].text, "{\"a\":1}");
    assert_int_equal(got.choices[0].finish, FINISH_STOP);
    read_answer(body, false, &a, &got);
    assert_int_equal(got.choices[0].parts[0].kind, PART_TOOL_CALL);
    assert_int_equal(got.choices[0].finish, FINISH_TOOL_CALLS);
    arena_free(&a);
}

static void
test_no_answers(void **state)
{
    static const char *const bodies[] = {
        "",
        "[]",
        "{}",
        "<html>",
        "{\"message\":\"x\"}",
        "{\"output\":{\"message\":{\"content\":\"x\"}}}",
        ANSWER("3", "end_turn"),
        ANSWER("{\"text\":3}", "end_turn"),
        ANSWER("{\"toolUse\":{\"input\":{}}}", "tool_use"),
    };
    static const struct canon_request q;
    const struct dialect_exchange x = {.request = &q, .json_by_tool = false};
    struct canon_answer got;
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        const char *why = NULL;
        assert_int_equal(dialect_converse.read_answer(slice_of(bodies[i]), &x, &a, &got, &why),
                         ERR_PROTOCOL);
        assert_non_null(why);
    }
    arena_free(&a);
}

static struct usage_report
usage_of(const char *usage, const char *tier)
{
    struct usage_report r = {0};
    converse_read_usage(json_view_of(slice_of(usage)), json_view_of(slice_of(tier)), &r);
    return r;
}

static void
test_usage(void **state)
{
    (void)state;
    struct usage_report r = usage_of(
        "{\"cacheDetails\":[{\"inputTokens\":30,\"ttl\":\"1h\"},{\"inputTokens\":6,\"ttl\":\"5m\"}]"
        ","
        "\"cacheReadInputTokenCount\":100,\"cacheReadInputTokens\":100,"
        "\"cacheWriteInputTokens\":36,\"inputTokens\":3,\"outputTokens\":12,\"totalTokens\":151}",
        "{\"type\":\"flex\"}");
    assert_true(r.seen && r.has_input && r.has_output && !r.suspect);
    assert_int_equal(r.tokens.input, 3);
    assert_int_equal(r.tokens.cache_read, 100);
    assert_int_equal(r.tokens.cache_write, 6);
    assert_int_equal(r.tokens.cache_write_1h, 30);
    assert_int_equal(r.tokens.output, 12);
    assert_int_equal(r.tier, TIER_FLEX);
    r = usage_of("{\"inputTokens\":-1,\"outputTokens\":5}", "null");
    assert_true(r.suspect && r.has_output && !r.has_input);
    r = usage_of("{\"inputTokens\":100000001}", "null");
    assert_true(r.suspect && !r.seen);
    r = usage_of("null", "null");
    assert_false(r.seen || r.suspect);
    r = usage_of("{\"inputTokens\":1,\"cacheWriteInputTokens\":5,"
                 "\"cacheDetails\":[{\"inputTokens\":6,\"ttl\":\"1h\"}]}",
                 "null");
    assert_true(r.suspect);
    assert_int_equal(r.tokens.cache_write_1h, 5);
}

static void
test_errors(void **state)
{
    static const struct {
        int status;
        const char *type, *body, *message, *bare;
        enum canon_error_class kind;
    } rows[] = {
        {429, "ThrottlingException:http://internal.amazon.com/coral/", "{\"message\":\"slow\"}",
         "slow", "ThrottlingException", ERROR_RATE},
        {403, "ExpiredTokenException", "{\"Message\":\"old\"}", "old", "ExpiredTokenException",
         ERROR_AUTH},
        {403, "AccessDeniedException", "{\"message\":\"no\"}", "no", "AccessDeniedException",
         ERROR_DENIED},
        {400, "ValidationException", "{\"message\":\"bad\"}", "bad", "ValidationException",
         ERROR_INVALID},
        {424, "ModelErrorException", "",
         "The provider answered with an error and no readable "
         "message.",
         "ModelErrorException", ERROR_UPSTREAM},
        {503, "", "<html>", "The provider answered with an error and no readable message.", "",
         ERROR_OVERLOAD},
    };
    struct canon_error got;
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct dialect_fault f = {rows[i].status, slice_of(rows[i].body),
                                        slice_of(rows[i].type)};
        assert_int_equal(dialect_converse.read_error(&f, &a, &got), 0);
        assert_slice_is(got.message, rows[i].message);
        assert_slice_is(got.type, rows[i].bare);
        assert_int_equal(got.kind, rows[i].kind);
        assert_int_equal(got.status, rows[i].status);
        assert_true(got.from_provider);
    }
    arena_free(&a);
}

/* --- streams ---------------------------------------------------------------------------------- */

struct frame {
    const char *name, *data;
};

static int
run(struct recorded_stream *s, const struct frame *frames, size_t count, bool json_by_tool)
{
    static const struct canon_request q;
    const struct dialect_exchange x = {.request = &q, .json_by_tool = json_by_tool};
    recorded_begin(s, &dialect_converse, &x);
    for (size_t i = 0; i < count; i++) {
        bool is_exception = frames[i].name[0] == '!';
        const struct wire_event e = {.name = slice_of(frames[i].name + is_exception),
                                     .data = slice_of(frames[i].data),
                                     .is_exception = is_exception};
        if (!recorded_event(s, &e))
            break;
    }
    return s->err;
}
#define RUN(s, frames, by_tool) run(s, frames, sizeof(frames) / sizeof((frames)[0]), by_tool)

#define TAIL                                                                                       \
    {"messageStop", "{\"stopReason\":\"tool_use\",\"p\":\"ab\"}"},                                 \
    {                                                                                              \
        "metadata", "{\"usage\":{\"inputTokens\":3,\"outputTokens\":5},\"p\":\"abc\"}"             \
    }

static void
test_stream_blocks(void **state)
{
    static const struct frame frames[] = {
        {"messageStart", "{\"role\":\"assistant\",\"p\":\"a\"}"},
        {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"\"}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":0}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":1,\"delta\":{\"reasoningContent\":{\"text\":\"th\"}}}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":1,\"delta\":{\"reasoningContent\":{\"text\":\"ink\"}}}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":1,\"delta\":{\"reasoningContent\":{\"signature\":\"sig\"}}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":1}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":2,\"delta\":{\"reasoningContent\":{\"redactedContent\":"
         "\"cg==\"}}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":2}"},
        {"contentBlockDelta", "{\"contentBlockIndex\":5,\"delta\":{\"text\":\"he\"}}"},
        {"contentBlockDelta", "{\"contentBlockIndex\":5,\"delta\":{\"text\":\"y\"}}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":5,\"delta\":{\"citation\":{\"title\":\"T\"}}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":5}"},
        {"contentBlockStart",
         "{\"contentBlockIndex\":6,\"start\":{\"toolUse\":{\"toolUseId\":\"i\",\"name\":\"f\"}}}"},
        {"contentBlockDelta", "{\"contentBlockIndex\":6,\"delta\":{\"toolUse\":{\"input\":\"\"}}}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":6,\"delta\":{\"toolUse\":{\"input\":\"{\\\"x\\\":\"}}}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":6,\"delta\":{\"toolUse\":{\"input\":\"1}\"}}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":6}"},
        {"contentBlockStart",
         "{\"contentBlockIndex\":7,\"start\":{\"toolUse\":{\"toolUseId\":\"w\",\"name\":\"web\","
         "\"type\":\"server_tool_use\"}}}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":7,\"delta\":{\"toolUse\":{\"input\":\"{}\"}}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":7}"},
        {"contentBlockStart",
         "{\"contentBlockIndex\":8,\"start\":{\"toolUse\":{\"toolUseId\":\"j\",\"name\":\"g\"}}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":8}"},
        {"laterEvent", "{}"},
        TAIL,
    };
    struct recorded_stream s;
    struct canon_answer got;
    struct buf text;
    (void)state;
    assert_int_equal(RUN(&s, frames, false), 0);
    assert_true(gather_has_ended(s.gather));
    assert_int_equal(gather_answer(s.gather, &s.keep, &got), 0);
    buf_init(&text, 0);
    recorded_write(&text, &got);
    assert_slice_is(buf_slice(&text),
                    "2[think||||sig|]2[|||||cg==]0[hey|||||{-1--1 {\"title\":\"T\"}}]"
                    "6[|i|f|{\"x\":1}||]6[|j|g|{}||]4 tool_use;3,0,0,0,5,0,0,0,0,0,");
    buf_free(&text);
    recorded_free(&s);
}

static void
test_stream_forced_json(void **state)
{
    static const struct frame frames[] = {
        {"messageStart", "{\"role\":\"assistant\"}"},
        {"contentBlockStart",
         "{\"contentBlockIndex\":0,\"start\":{\"toolUse\":{\"toolUseId\":\"i\","
         "\"name\":\"respond_with_json\"}}}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":0,\"delta\":{\"toolUse\":{\"input\":\"{\\\"a\\\":1}\"}}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":0}"},
        TAIL,
    };
    struct recorded_stream s;
    struct canon_answer got;
    (void)state;
    assert_int_equal(RUN(&s, frames, true), 0);
    assert_int_equal(gather_answer(s.gather, &s.keep, &got), 0);
    assert_slice_is(got.choices[0].parts[0].text, "{\"a\":1}");
    assert_int_equal(got.choices[0].finish, FINISH_STOP);
    recorded_free(&s);
}

/* An exception in mid-stream is the end, and an error; so is an error frame without payload. */
static void
test_stream_exceptions(void **state)
{
    static const struct frame frames[] = {
        {"messageStart", "{\"role\":\"assistant\"}"},
        {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"he\"}}"},
        {"!modelStreamErrorException", "{\"message\":\"broke\",\"originalStatusCode\":500}"},
        {"messageStop", "{\"stopReason\":\"end_turn\"}"},
    };
    static const struct frame bare[] = {{"!InternalFailure", ""}};
    struct recorded_stream s;
    (void)state;
    assert_int_equal(RUN(&s, frames, false), 0);
    assert_true(s.has_error);
    assert_slice_is(s.error.message, "broke");
    assert_slice_is(s.error.type, "modelStreamErrorException");
    assert_int_equal(s.error.kind, ERROR_UPSTREAM);
    assert_false(gather_has_ended(s.gather));
    recorded_free(&s);
    assert_int_equal(RUN(&s, bare, false), 0);
    assert_true(s.has_error);
    assert_int_equal(s.error.kind, ERROR_UPSTREAM);
    recorded_free(&s);
}

static int
end_of(struct recorded_stream *s)
{
    const struct canon_sink sink = {recorded_take, s};
    return dialect_converse.decoder->end(s->state, &sink);
}

/* Without its stop reason or its usage a stream was cut. */
static void
test_stream_cut(void **state)
{
    static const struct frame all[] = {
        {"messageStart", "{\"role\":\"assistant\"}"},
        {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"he\"}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":0}"},
        TAIL,
    };
    static const struct frame unusual[] = {
        {"metadata", "{\"usage\":{\"inputTokens\":3,\"outputTokens\":5}}"},
        {"messageStop", "{\"stopReason\":\"end_turn\"}"},
    };
    struct recorded_stream s;
    (void)state;
    for (size_t n = 0; n < 5; n++) {
        assert_int_equal(run(&s, all, n, false), 0);
        assert_false(gather_has_ended(s.gather));
        assert_int_equal(end_of(&s), ERR_TRUNCATED);
        recorded_free(&s);
    }
    assert_int_equal(run(&s, all, 5, false), 0);
    assert_true(gather_has_ended(s.gather));
    recorded_free(&s);
    assert_int_equal(RUN(&s, unusual, false), 0);
    assert_true(gather_has_ended(s.gather));
    recorded_free(&s);
}

static void
test_stream_malformed(void **state)
{
    static const struct frame rows[] = {
        {"contentBlockDelta", "[]"},
        {"contentBlockDelta", "{"},
        {"contentBlockDelta", "{\"delta\":{\"text\":\"x\"}}"},
        {"contentBlockDelta", "{\"contentBlockIndex\":-1,\"delta\":{\"text\":\"x\"}}"},
        {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":3}}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":0,\"delta\":{\"toolUse\":{\"input\":\"{}\"}}}"},
        {"contentBlockStart", "{\"contentBlockIndex\":0,\"start\":{\"toolUse\":{}}}"},
    };
    static const struct frame mixed[] = {
        {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"x\"}}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"text\":\"x\"}}}"},
    };
    struct recorded_stream s;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(run(&s, &rows[i], 1, false), ERR_PROTOCOL);
        recorded_free(&s);
    }
    assert_int_equal(RUN(&s, mixed, false), ERR_PROTOCOL);
    recorded_free(&s);
}

/* Blocks open at once: as many as there is room for, and one more. */
static void
test_open_block_limit(void **state)
{
    static char texts[17][80];
    struct frame frames[17];
    struct recorded_stream s;
    (void)state;
    for (int i = 0; i < 17; i++) {
        snprintf(texts[i], sizeof(texts[i]),
                 "{\"contentBlockIndex\":%d,\"delta\":{\"text\":\"x\"}}", i);
        frames[i] = (struct frame){"contentBlockDelta", texts[i]};
    }
    assert_int_equal(run(&s, frames, 16, false), 0);
    recorded_free(&s);
    assert_int_equal(run(&s, frames, 17, false), ERR_PROTOCOL);
    recorded_free(&s);
}

/* --- recordings ------------------------------------------------------------------------------- */

static void
check_whole(const struct recorded_case *r)
{
    int64_t status = 0;
    struct canon_answer got;
    struct canon_error error;
    struct arena a;
    arena_init(&a, 0);
    assert_int_equal(json_to_int(json_get(r->meta, "status"), &status), 0);
    if (status == 200) {
        read_answer(buf_str((struct buf *)(uintptr_t)&r->response), false, &a, &got);
        recorded_check(r, &got, false);
    } else {
        const struct dialect_fault f = {
            (int)status, buf_slice(&r->response),
            json_str(json_get(json_get(r->meta, "headers"), "x-amzn-errortype"))};
        assert_int_equal(dialect_converse.read_error(&f, &a, &error), 0);
        assert_false(slice_starts(error.message, SLICE("The provider answered with an error")));
        assert_true(f.error_type.len == 0 || error.type.len > 0);
        assert_int_equal(slice_find(error.type, ':', 0), error.type.len);
    }
    arena_free(&a);
}

static void
decode(const struct recorded_case *r, size_t first, size_t piece, struct recorded_stream *s)
{
    static const struct canon_request q;
    const struct dialect_exchange x = {.request = &q, .json_by_tool = false};
    recorded_begin(s, &dialect_converse, &x);
    recorded_feed(s, buf_slice(&r->response), first, piece);
    assert_int_equal(s->err, 0);
}

static void
describe(struct recorded_stream *s, struct buf *text)
{
    struct canon_answer got;
    buf_init(text, 0);
    assert_int_equal(gather_answer(s->gather, &s->keep, &got), 0);
    recorded_write(text, &got);
}

static void
check_stream(const struct recorded_case *r)
{
    struct recorded_stream s;
    struct canon_answer got;
    struct buf whole, split;
    bool breaks = strncmp(r->name, "x-stream", 8) == 0;
    decode(r, r->response.len, 1, &s);
    assert_int_equal(s.has_error, breaks);
    assert_int_equal(gather_has_ended(s.gather), !breaks);
    if (!breaks) {
        assert_int_equal(gather_answer(s.gather, &s.keep, &got), 0);
        recorded_check(r, &got, false);
    }
    describe(&s, &whole);
    recorded_free(&s);
    for (size_t at = 1; at<r->response.len; at += r->response.len> 16384 ? 61 : 7) {
        decode(r, at, SIZE_MAX, &s);
        describe(&s, &split);
        assert_true(slice_eq(buf_slice(&whole), buf_slice(&split)));
        buf_free(&split);
        recorded_free(&s);
    }
    decode(r, 1, 1, &s);
    describe(&s, &split);
    assert_true(slice_eq(buf_slice(&whole), buf_slice(&split)));
    buf_free(&split);
    buf_free(&whole);
    recorded_free(&s);
}

static void
test_recorded(void **state)
{
    (void)state;
    size_t whole = recorded_each("bedrock", "bedrock.converse", check_whole);
    size_t streams = recorded_each("bedrock", "bedrock.converse_stream", check_stream);
    print_message("%zu answers, %zu streams\n", whole, streams);
    if (whole == 0 && streams == 0)
        skip();
    assert_true(whole > 5 && streams > 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_blocks),
        cmocka_unit_test(test_reads_citations),
        cmocka_unit_test(test_reads_forced_json),
        cmocka_unit_test(test_no_answers),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_stream_blocks),
        cmocka_unit_test(test_stream_forced_json),
        cmocka_unit_test(test_stream_exceptions),
        cmocka_unit_test(test_stream_cut),
        cmocka_unit_test(test_stream_malformed),
        cmocka_unit_test(test_open_block_limit),
        cmocka_unit_test(test_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
