#include "tests/unit/check.h"

#include "dataplane/dialects/gather.h"

#define MAX_BYTES 65536

static int
feed(struct gather *g, const struct canon_event *events, size_t count)
{
    int err = 0;
    for (size_t i = 0; i < count && !err; i++)
        err = gather_event(g, &events[i]);
    return err;
}
#define FEED(g, events) feed((g), (events), sizeof(events) / sizeof((events)[0]))

#define START                                                                                      \
    {                                                                                              \
        .kind = EVENT_START, .id = SLICE("id-1"), .model = SLICE("m"), .created_unix_s = 7         \
    }
#define BEGIN(c, p, ...)                                                                           \
    {                                                                                              \
        .kind = EVENT_PART_START, .choice = (c), .part = (p), .of = { __VA_ARGS__ }                \
    }
#define DELTA(c, p, s)                                                                             \
    {                                                                                              \
        .kind = EVENT_DELTA, .choice = (c), .part = (p), .text = SLICE(s)                          \
    }
#define PART_OVER(c, p)                                                                            \
    {                                                                                              \
        .kind = EVENT_PART_END, .choice = (c), .part = (p)                                         \
    }

static const struct canon_event conversation[] = {
    START,
    BEGIN(0, 0, .kind = PART_REASONING, .origin = DIALECT_ANTHROPIC),
    DELTA(0, 0, "think"),
    {.kind = EVENT_SIGNATURE, .text = SLICE("si")},
    {.kind = EVENT_SIGNATURE, .text = SLICE("gn")},
    PART_OVER(0, 0),
    BEGIN(0, 1, .kind = PART_TEXT, .text = SLICE("He")),
    DELTA(0, 1, "llo"),
    {.kind = EVENT_CITATION, .part = 1, .citation = {.url = SLICE("u"), .start = 0, .end = 2}},
    {.kind = EVENT_CITATION, .part = 1, .citation = {.url = SLICE("v"), .start = -1, .end = -1}},
    {.kind = EVENT_CITATION, .part = 1, .citation = {.url = SLICE("w"), .start = -1, .end = -1}},
    PART_OVER(0, 1),
    /* parallel calls whose pieces interleave */
    BEGIN(0, 2, .kind = PART_TOOL_CALL, .id = SLICE("a"), .name = SLICE("f")),
    BEGIN(0, 3, .kind = PART_TOOL_CALL, .id = SLICE("b"), .name = SLICE("g")),
    DELTA(0, 2, "{\"x\""),
    DELTA(0, 3, "{"),
    DELTA(0, 2, ":1}"),
    DELTA(0, 3, "}"),
    PART_OVER(0, 2),
    PART_OVER(0, 3),
    BEGIN(0, 4, .kind = PART_REASONING),
    {.kind = EVENT_PART_END, .part = 4, .of = {.encrypted = SLICE("late"), .id = SLICE("rs")}},
    BEGIN(0, 5, .kind = PART_AUDIO, .media = {.id = SLICE("au")}),
    {.kind = EVENT_DATA, .part = 5, .text = SLICE("AAAA")},
    {.kind = EVENT_DATA, .part = 5, .text = SLICE("BBBB")},
    DELTA(0, 5, "spoken"),
    PART_OVER(0, 5),
    {.kind = EVENT_LOGPROBS, .text = SLICE("{\"content\":[{\"t\":1}],\"refusal\":null}")},
    {.kind = EVENT_LOGPROBS, .text = SLICE("{\"content\": [ {\"t\":2} ] }")},
    {.kind = EVENT_FINISH, .finish = FINISH_TOOL_CALLS, .text = SLICE("tool_use")},
    /* the second of two answers */
    BEGIN(1, 0, .kind = PART_REFUSAL),
    DELTA(1, 0, "no"),
    PART_OVER(1, 0),
    {.kind = EVENT_FINISH, .choice = 1, .finish = FINISH_STOP, .stop_sequence = SLICE("##")},
    {.kind = EVENT_USAGE, .usage = {.seen = true, .tokens = {{.of = {1}}}}},
    {.kind = EVENT_USAGE, .usage = {.seen = true, .tokens = {{.of = {5}}}}},
    {.kind = EVENT_END},
};

static void
check_conversation(const struct canon_answer *a)
{
    const struct canon_choice_answer *c = &a->choices[0];
    assert_slice_is(a->id, "id-1");
    assert_slice_is(a->model, "m");
    assert_int_equal(a->created_unix_s, 7);
    assert_int_equal(a->usage.tokens.input, 5); /* the last one counts */
    assert_int_equal(a->choice_count, 2);
    assert_int_equal(c->count, 6);
    assert_slice_is(c->parts[0].text, "think");
    assert_slice_is(c->parts[0].signature, "sign");
    assert_int_equal(c->parts[0].origin, DIALECT_ANTHROPIC);
    assert_slice_is(c->parts[1].text, "Hello");
    assert_int_equal(c->parts[1].citation_count, 3);
    assert_slice_is(c->parts[1].citations[0].url, "u");
    assert_int_equal(c->parts[1].citations[0].end, 2);
    assert_slice_is(c->parts[1].citations[2].url, "w");
    assert_slice_is(c->parts[2].arguments, "{\"x\":1}");
    assert_slice_is(c->parts[2].id, "a");
    assert_slice_is(c->parts[3].arguments, "{}");
    assert_slice_is(c->parts[3].name, "g");
    assert_slice_is(c->parts[4].encrypted, "late");
    assert_slice_is(c->parts[4].id, "rs");
    assert_slice_is(c->parts[5].media.data, "AAAABBBB");
    assert_slice_is(c->parts[5].text, "spoken");
    assert_slice_is(c->logprobs_raw, "{\"content\":[{\"t\":1},{\"t\":2}],\"refusal\":null}");
    assert_int_equal(c->finish, FINISH_TOOL_CALLS);
    assert_slice_is(c->native_finish, "tool_use");
    assert_slice_is(a->choices[1].parts[0].text, "no");
    assert_slice_is(a->choices[1].stop_sequence, "##");
    assert_null(a->choices[1].logprobs_raw.at);
}

static void
test_gathers(void **state)
{
    (void)state;
    struct arena a;
    struct canon_answer answer;
    struct canon_part part;
    struct gather *g = gather_new(MAX_BYTES);
    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof(conversation) / sizeof(conversation[0]); i++) {
        assert_false(gather_has_ended(g));
        assert_int_equal(gather_event(g, &conversation[i]), 0);
    }
    assert_true(gather_has_ended(g));
    assert_int_equal(gather_answer(g, &a, &answer), 0);
    check_conversation(&answer);
    assert_true(gather_part(g, 0, 2, &part));
    assert_slice_is(part.arguments, "{\"x\":1}");
    assert_false(gather_part(g, 0, 6, &part));
    assert_false(gather_part(g, 2, 0, &part));
    arena_free(&a);
    gather_free(g);
    gather_free(NULL);
}

static int
take(void *ctx, const struct canon_event *e)
{
    return gather_event(ctx, e);
}

/* What is told as events gathers to what was told. */
static void
test_replay(void **state)
{
    (void)state;
    struct arena a;
    struct canon_answer first, second;
    struct gather *g = gather_new(MAX_BYTES), *h = gather_new(MAX_BYTES);
    arena_init(&a, 0);
    assert_int_equal(FEED(g, conversation), 0);
    assert_int_equal(gather_answer(g, &a, &first), 0);
    assert_int_equal(gather_replay(&first, &(struct canon_sink){take, h}), 0);
    assert_true(gather_has_ended(h));
    assert_int_equal(gather_answer(h, &a, &second), 0);
    check_conversation(&second);
    /* the sink's failure ends it */
    assert_int_equal(gather_replay(&first, &(struct canon_sink){take, h}), ERR_PROTOCOL);
    arena_free(&a);
    gather_free(g);
    gather_free(h);
}

static void
test_nothing_has_come(void **state)
{
    (void)state;
    struct arena a;
    struct canon_answer answer;
    struct gather *g = gather_new(MAX_BYTES);
    arena_init(&a, 0);
    assert_int_equal(gather_answer(g, &a, &answer), 0);
    assert_int_equal(answer.choice_count, 1);
    assert_int_equal(answer.choices[0].count, 0);
    assert_int_equal(answer.choices[0].finish, FINISH_NONE);
    arena_free(&a);
    gather_free(g);
}

static void
expect_refused(const struct canon_event *before, size_t count, const struct canon_event *bad)
{
    struct gather *g = gather_new(MAX_BYTES);
    assert_int_equal(feed(g, before, count), 0);
    assert_int_equal(gather_event(g, bad), ERR_PROTOCOL);
    gather_free(g);
}

static void
test_order(void **state)
{
    (void)state;
    static const struct canon_event begun[] = {
        START,
        BEGIN(0, 0, .kind = PART_TEXT),
        PART_OVER(0, 0),
        {.kind = EVENT_FINISH},
        {.kind = EVENT_END},
    };
    static const struct canon_event delta = DELTA(0, 0, "x"), start = START,
                                    second = BEGIN(0, 1, .kind = PART_TEXT),
                                    finish = {.kind = EVENT_FINISH}, error = {.kind = EVENT_ERROR},
                                    other_choice = DELTA(1, 0, "x");
    expect_refused(begun, 0, &delta);        /* before the start */
    expect_refused(begun, 1, &delta);        /* of a part that was not begun */
    expect_refused(begun, 2, &other_choice); /* the same, of a choice that was not */
    expect_refused(begun, 1, &start);        /* started twice */
    expect_refused(begun, 1, &second);       /* a part is left out */
    expect_refused(begun, 3, &delta);        /* after the part's end */
    expect_refused(begun, 4, &finish);       /* finished twice */
    expect_refused(begun, 5, &second);       /* after the end */
    expect_refused(begun, 2, &error);
}

/* One byte below what it takes is refused, and what it takes is not. */
static void
test_limit(void **state)
{
    (void)state;
    size_t fits = 0;
    for (size_t max = 0; !fits; max++) {
        struct gather *g = gather_new(max);
        int err = FEED(g, conversation);
        assert_true(err == 0 || err == ERR_LIMIT);
        if (err == 0)
            fits = max;
        gather_free(g);
    }
    assert_true(fits > 100);
    struct gather *g = gather_new(MAX_BYTES);
    assert_int_equal(gather_event(g, &(struct canon_event)START), 0);
    assert_int_equal(gather_event(g, &(struct canon_event){.kind = EVENT_FINISH, .choice = 127}),
                     0);
    assert_int_equal(gather_event(g, &(struct canon_event){.kind = EVENT_FINISH, .choice = 128}),
                     ERR_LIMIT);
    gather_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gathers),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_nothing_has_come),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
