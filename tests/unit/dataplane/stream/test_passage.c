/*
 * A stream on its way through, cut at every offset: what the client gets, what was learned, and how
 * it ended must not depend on where the bytes were split.
 */
#include "tests/unit/check.h"

#include "dataplane/stream/passage.h"

#define CHUNK(text, tail)                                                                          \
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,"         \
    "\"delta\":{\"content\":\"" text "\"},\"finish_reason\":null}]" tail "}\n\n"
#define USAGE                                                                                      \
    "data: "                                                                                       \
    "{\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3}}\n\n"
#define DONE "data: [DONE]\n\n"

struct got {
    struct buf out;
    size_t runs;
};

static void
emit(void *ctx, struct slice run)
{
    struct got *g = ctx;
    assert_true(run.len > 0);
    assert_int_equal(buf_add_slice(&g->out, run), 0);
    g->runs++;
}

struct outcome {
    enum passage_state state;
    int err;
    struct usage_report report;
    struct meter meter;
    uint64_t events;
};

static struct outcome
play(const char *in, size_t cut, size_t cut2, bool strip, struct got *g)
{
    struct usage_report report = {0};
    struct passage p;
    struct slice all = slice_of(in);
    size_t ends[3] = {cut, cut2, all.len}, from = 0;
    int err = 0;
    g->runs = 0;
    buf_init(&g->out, 0);
    passage_init(&p, &dialect_chat, &report, strip, 4096);
    for (int i = 0; i < 3 && !err; i++) {
        /* each part in memory of its own, so that a read beyond it is found */
        size_t n = ends[i] - from;
        char *part = malloc(n ? n : 1);
        memcpy(part, all.at + from, n);
        err = passage_push(&p, slice_make(part, n), emit, g);
        free(part);
        from = ends[i];
    }
    struct outcome o = {p.state, err, report, p.meter, p.events};
    passage_fini(&p);
    return o;
}

static const struct {
    const char *in, *out;
    bool strip;
    enum passage_state state;
    uint64_t chunks;
    bool seen;
} rows[] = {
    /* untouched */
    {CHUNK("a", "") CHUNK("b", "") DONE, CHUNK("a", "") CHUNK("b", "") DONE, false, PASSAGE_DONE, 2,
     false},
    {CHUNK("a", ",\"usage\":null") USAGE DONE, CHUNK("a", ",\"usage\":null") USAGE DONE, false,
     PASSAGE_DONE, 1, true},
    /* what we had asked for goes */
    {CHUNK("a", ",\"usage\":null") USAGE DONE, CHUNK("a", "") DONE, true, PASSAGE_DONE, 1, true},
    {CHUNK("a", ",\"usage\":null,\"obfuscation\":\"xy\"") USAGE DONE,
     CHUNK("a", ",\"obfuscation\":\"xy\"") DONE, true, PASSAGE_DONE, 1, true},
    {"data: {\"usage\":null,\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n" DONE,
     "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n" DONE, true, PASSAGE_DONE, 1,
     false},
    {"data: {\"choices\":[{}] , \"usage\" : null }\n\n" DONE, "data: {\"choices\":[{}]  }\n\n" DONE,
     true, PASSAGE_DONE, 0, false},
    /* usage beside content was not our doing: it stays */
    {"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":11,"
     "\"completion_tokens\":3}}\n\n" DONE,
     "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":11,"
     "\"completion_tokens\":3}}\n\n" DONE,
     true, PASSAGE_DONE, 1, true},
    /* only a member of the top level is usage, and text is only text */
    {"data: {\"choices\":[{\"usage\":null}]}\n\n" DONE,
     "data: {\"choices\":[{\"usage\":null}]}\n\n" DONE, true, PASSAGE_DONE, 0, false},
    {CHUNK("\\\"usage\\\":null,\\\"error\\\":{}", "") DONE,
     CHUNK("\\\"usage\\\":null,\\\"error\\\":{}", "") DONE, true, PASSAGE_DONE, 1, false},
    /* comments, ids, CR LF, no space, several lines: as they came */
    {": hello\n\nid: 7\nretry: 10\n" CHUNK("a", "") "\n" DONE,
     ": hello\n\nid: 7\nretry: 10\n" CHUNK("a", "") "\n" DONE, true, PASSAGE_DONE, 1, false},
    {"data:{\"choices\":[]}\r\n\r\ndata:[DONE]\r\n\r\n",
     "data:{\"choices\":[]}\r\n\r\ndata:[DONE]\r\n\r\n", true, PASSAGE_DONE, 0, false},
    {"data:{\"choices\":[1]}\r\n\r\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,"
     "\"completion_tokens\":3}}\r\n\r\ndata:[DONE]\r\n\r\n",
     "data:{\"choices\":[1]}\r\n\r\ndata:[DONE]\r\n\r\n", true, PASSAGE_DONE, 0, true},
    {"data:{\"choices\":[1]}\r\rdata: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,"
     "\"completion_tokens\":3}}\r\r: x\r\rdata:[DONE]\r\r",
     "data:{\"choices\":[1]}\r\r: x\r\rdata:[DONE]\r\r", true, PASSAGE_DONE, 0, true},
    /* a chunk in two lines cannot be cut out of; it passes whole */
    {"data: {\"choices\":[{}],\ndata: \"usage\":null}\n\n" DONE,
     "data: {\"choices\":[{}],\ndata: \"usage\":null}\n\n" DONE, true, PASSAGE_DONE, 0, false},
    /* nothing after the end */
    {CHUNK("a", "") DONE CHUNK("b", ""), CHUNK("a", "") DONE, false, PASSAGE_DONE, 1, false},
    /* errors are held back */
    {CHUNK("a", "") "data: {\"error\":{\"message\":\"m\"}}\n\n" DONE, CHUNK("a", ""), false,
     PASSAGE_BROKEN, 1, false},
    {CHUNK("a", "") "event: error\ndata: oh\n\n", CHUNK("a", ""), false, PASSAGE_BROKEN, 1, false},
    {"data: {\"id\":\"x\",\"choices\":[],\"error\":{\"code\":502}}\n\n", "", false, PASSAGE_BROKEN,
     0, false},
    {"data: {\"error\":null,\"choices\":[{}]}\n\n" DONE,
     "data: {\"error\":null,\"choices\":[{}]}\n\n" DONE, false, PASSAGE_DONE, 0, false},
    /* an event that is not complete is not passed on */
    {CHUNK("a", "") "data: {\"choices\"", CHUNK("a", ""), false, PASSAGE_OPEN, 1, false},
};

static void
check(size_t i, size_t cut, size_t cut2)
{
    struct got g;
    struct outcome o = play(rows[i].in, cut, cut2, rows[i].strip, &g);
    if (o.err)
        fail_msg("row %zu cut %zu %zu: %s", i, cut, cut2, err_name(o.err));
    if (!slice_is(buf_slice(&g.out), rows[i].out))
        fail_msg("row %zu cut %zu %zu: \"%.*s\"", i, cut, cut2, SLICE_ARG(buf_slice(&g.out)));
    assert_int_equal(o.state, rows[i].state);
    assert_int_equal(o.meter.chunks, rows[i].chunks);
    assert_int_equal(o.report.seen, rows[i].seen);
    if (o.report.seen) {
        assert_int_equal(o.report.tokens.input, 11);
        assert_int_equal(o.report.tokens.output, 3);
    }
    buf_free(&g.out);
}

static void
test_f063_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = strlen(rows[i].in);
        check(i, n, n);
        for (size_t cut = 0; cut <= n; cut++)
            check(i, cut, n);
    }
}

static void
test_f063_two_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = strlen(rows[i].in);
        for (size_t cut = 0; cut <= n; cut += 7)
            for (size_t cut2 = cut; cut2 <= n; cut2 += 5)
                check(i, cut, cut2);
    }
}

/* Events that lie side by side leave side by side: one run, one write, one frame. */
static void
test_neighbours_are_one_run(void **state)
{
    struct got g;
    (void)state;
    play(CHUNK("a", "") CHUNK("b", "") CHUNK("c", "") DONE, 0, 0, true, &g);
    assert_int_equal(g.runs, 1);
    buf_free(&g.out);
}

/* F062 */
static void
test_f062_an_event_that_is_too_long(void **state)
{
    struct got g;
    struct buf in;
    (void)state;
    for (size_t size = 4000; size <= 5000; size += 1000) {
        buf_init(&in, 0);
        assert_int_equal(buf_add_str(&in, CHUNK("a", "") "data: {\"a\":\""), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(buf_add_str(&in, "x"), 0);
        assert_int_equal(buf_add_str(&in, "\"}\n\n" DONE), 0);
        struct outcome o = play(buf_str(&in), 100, 1000, true, &g);
        assert_int_equal(o.err, size > 4096 ? ERR_LIMIT : 0);
        assert_true(slice_starts(buf_slice(&g.out), SLICE(CHUNK("a", ""))));
        buf_free(&g.out);
        buf_free(&in);
    }
}

/* F067: what is mangled may hide anything; the stream does not go on as if it were whole. */
static void
test_f067_an_event_that_is_no_json(void **state)
{
    static const char *const bad[] = {"{\"cut", "{\"a\":}", "plain", "{} {}", "{\"a\":\"\xff\"}"};
    char in[256];
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct got g;
        snprintf(in, sizeof(in), "%sdata: %s\n\n%s", CHUNK("a", ""), bad[i], DONE);
        for (size_t cut = 0; cut < strlen(in); cut += 3) {
            struct outcome o = play(in, cut, strlen(in), true, &g);
            assert_int_equal(o.err, ERR_PROTOCOL);
            assert_int_equal(o.state, PASSAGE_OPEN);
            assert_slice_is(buf_slice(&g.out), CHUNK("a", ""));
            buf_free(&g.out);
        }
    }
}

/* --- the meter -------------------------------------------------------------------------------- */

static void
test_meter_counts_text(void **state)
{
    static const struct {
        const char *data;
        uint64_t chunks, bytes;
    } lines[] = {
        {"{\"choices\":[{\"delta\":{\"content\":\"abc\"}}]}", 1, 3},
        {"{\"choices\":[{\"delta\":{\"content\":\"a\\\"b\"}}]}", 1, 4},
        {"{\"choices\":[{\"delta\":{\"content\":\"\\\\\"}}]}", 1, 2},
        {"{\"choices\":[{\"delta\":{\"content\":\"\"}}]}", 0, 0},
        {"{\"choices\":[{\"delta\":{\"content\":null}}]}", 0, 0},
        {"{\"choices\":[{\"delta\":{\"content\":\"\",\"tool_calls\":[{\"function\":"
         "{\"arguments\":\"{\\\"x\"}}]}}]}",
         1, 4},
        {"{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}", 1, 2},
        {"{\"choices\":[{\"text\":\"hi\"}]}", 1, 2},
        {"{\"choices\":[{\"delta\":{\"content\":\"unterminated", 1, 12},
        {"", 0, 0},
        {"[DONE]", 0, 0},
    };
    uint64_t chunks = 0, bytes = 0;
    struct meter all = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct meter m = {0};
        size_t n = strlen(lines[i].data);
        char *copy = malloc(n ? n : 1);
        memcpy(copy, lines[i].data, n);
        meter_count(&m, slice_make(copy, n));
        meter_count(&m, slice_make(copy, n)); /* by the place it was found at */
        if (m.chunks != 2 * lines[i].chunks || m.bytes != 2 * lines[i].bytes)
            fail_msg("line %zu: %llu chunks, %llu bytes", i, (unsigned long long)m.chunks,
                     (unsigned long long)m.bytes);
        meter_count(&all, slice_make(copy, n)); /* after others of another form */
        chunks += lines[i].chunks;
        bytes += lines[i].bytes;
        free(copy);
    }
    assert_int_equal(all.chunks, chunks);
    assert_int_equal(all.bytes, bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f063_every_cut),
        cmocka_unit_test(test_f063_two_cuts),
        cmocka_unit_test(test_neighbours_are_one_run),
        cmocka_unit_test(test_f062_an_event_that_is_too_long),
        cmocka_unit_test(test_f067_an_event_that_is_no_json),
        cmocka_unit_test(test_meter_counts_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
