/* A provider's stream, event by event: what recordings have not, and what is refused. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"

static const struct dialect *const anthropic = &dialect_anthropic;

struct stand {
    struct arena keep, scratch;
    void *state;
    struct gather *gather;
    struct canon_answer answer;
    char error[256]; /* class and message of an error event */
    size_t events;
};

static int
take(void *ctx, const struct canon_event *e)
{
    struct stand *s = ctx;
    s->events++;
    if (e->kind != EVENT_ERROR)
        return gather_event(s->gather, e);
    snprintf(s->error, sizeof(s->error), "%d %.*s", (int)e->error.kind,
             SLICE_ARG(e->error.message));
    return 0;
}

static void
open_stand(struct stand *s, bool json_by_tool)
{
    struct dialect_exchange x = {.json_by_tool = json_by_tool};
    memset(s, 0, sizeof(*s));
    s->gather = gather_new(1 << 20);
    s->state = calloc(1, anthropic->decoder->state_bytes);
    assert_int_equal(anthropic->decoder->init(s->state, &s->keep, &x), 0);
}

static void
close_stand(struct stand *s)
{
    gather_free(s->gather);
    free(s->state);
    arena_free(&s->keep);
    arena_free(&s->scratch);
}

static int
feed(struct stand *s, const char *data)
{
    struct canon_sink sink = {take, s};
    struct wire_event e = {.data = slice_of(data)};
    int err = anthropic->decoder->event(s->state, &e, &s->scratch, &sink);
    arena_free(&s->scratch);
    return err;
}

#define START                                                                                      \
    "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"content\":[],"    \
    "\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}"
#define BLOCK(n, block)                                                                            \
    "{\"type\":\"content_block_start\",\"index\":" #n ",\"content_block\":" block "}"
#define DELTA(n, delta) "{\"type\":\"content_block_delta\",\"index\":" #n ",\"delta\":" delta "}"
#define JSON_PIECE(n, text)                                                                        \
    DELTA(n, "{\"type\":\"input_json_delta\",\"partial_json\":\"" text "\"}")
#define TEXT_PIECE(n, text) DELTA(n, "{\"type\":\"text_delta\",\"text\":\"" text "\"}")
#define STOP(n) "{\"type\":\"content_block_stop\",\"index\":" #n "}"
#define REASON(word)                                                                               \
    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" word                               \
    "\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}"
#define END "{\"type\":\"message_stop\"}"
#define TEXT "{\"type\":\"text\",\"text\":\"\"}"
#define CALL(id, name)                                                                             \
    "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name "\",\"input\":{}}"

/* All events, ended by NULL; the answer is in the stand then. */
static const struct canon_choice_answer *
feed_all(struct stand *s, const char *const *events)
{
    for (size_t i = 0; events[i]; i++) {
        int err = feed(s, events[i]);
        if (err)
            fail_msg("event %zu: %d", i, err);
    }
    assert_true(gather_has_ended(s->gather));
    assert_int_equal(gather_answer(s->gather, &s->keep, &s->answer), 0);
    return &s->answer.choices[0];
}

static void
test_calls_that_interleave(void **state)
{
    (void)state;
    static const char *const events[] = {START,
                                         BLOCK(0, CALL("a", "f")),
                                         BLOCK(1, CALL("b", "g")),
                                         JSON_PIECE(0, ""),
                                         JSON_PIECE(1, "{\\\"y\\\":"),
                                         JSON_PIECE(0, "{\\\"x\\\":"),
                                         JSON_PIECE(1, "2}"),
                                         JSON_PIECE(0, "1}"),
                                         STOP(1),
                                         STOP(0),
                                         BLOCK(2, CALL("c", "h")),
                                         STOP(2),
                                         REASON("tool_use"),
                                         END,
                                         NULL};
    struct stand s;
    open_stand(&s, false);
    const struct canon_choice_answer *c = feed_all(&s, events);
    assert_int_equal(c->count, 3);
    assert_slice_is(c->parts[0].arguments, "{\"x\":1}");
    assert_slice_is(c->parts[1].id, "b");
    assert_slice_is(c->parts[1].arguments, "{\"y\":2}");
    assert_slice_is(c->parts[2].arguments, "");
    assert_int_equal(c->finish, FINISH_TOOL_CALLS);
    assert_int_equal(s.answer.usage.tokens.input, 3);
    assert_int_equal(s.answer.usage.tokens.output, 9);
    close_stand(&s);
}

/* Some give the whole input with the start of the block. */
static void
test_input_that_comes_at_once(void **state)
{
    (void)state;
    static const char *const events[] = {
        START,
        BLOCK(0, "{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{\"x\": 1}}"),
        JSON_PIECE(0, "{\\\"x\\\": 1}"),
        STOP(0),
        REASON("end_turn"),
        END,
        NULL};
    struct stand s;
    open_stand(&s, false);
    const struct canon_choice_answer *c = feed_all(&s, events);
    assert_slice_is(c->parts[0].arguments, "{\"x\": 1}");
    assert_int_equal(c->finish, FINISH_TOOL_CALLS); /* whatever it says */
    close_stand(&s);
}

static void
test_structured_output_by_a_call_is_text(void **state)
{
    (void)state;
    static const char *const events[] = {START,
                                         BLOCK(0, CALL("a", JSON_TOOL_NAME)),
                                         JSON_PIECE(0, "{\\\"x\\\":"),
                                         JSON_PIECE(0, "1}"),
                                         STOP(0),
                                         REASON("tool_use"),
                                         END,
                                         NULL};
    static const char *const empty[] = {
        START, BLOCK(0, CALL("a", JSON_TOOL_NAME)), STOP(0), REASON("tool_use"), END, NULL};
    struct stand s;
    open_stand(&s, true);
    const struct canon_choice_answer *c = feed_all(&s, events);
    assert_int_equal(c->count, 1);
    assert_int_equal(c->parts[0].kind, PART_TEXT);
    assert_slice_is(c->parts[0].text, "{\"x\":1}");
    assert_int_equal(c->finish, FINISH_STOP);
    close_stand(&s);
    open_stand(&s, true);
    c = feed_all(&s, empty);
    assert_slice_is(c->parts[0].text, "{}");
    close_stand(&s);
    /* only where it was asked for */
    open_stand(&s, false);
    c = feed_all(&s, events);
    assert_int_equal(c->parts[0].kind, PART_TOOL_CALL);
    close_stand(&s);
}

static void
test_thinking_and_what_is_hidden(void **state)
{
    (void)state;
    static const char *const events[] = {
        START,
        BLOCK(0, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"),
        DELTA(0, "{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}"),
        DELTA(0, "{\"type\":\"signature_delta\",\"signature\":\"SI\"}"),
        DELTA(0, "{\"type\":\"signature_delta\",\"signature\":\"G=\"}"),
        STOP(0),
        BLOCK(1, "{\"type\":\"redacted_thinking\",\"data\":\"ENC\"}"),
        STOP(1),
        BLOCK(2, TEXT),
        DELTA(2, "{\"type\":\"citations_delta\",\"citation\":{\"type\":"
                 "\"web_search_result_location\",\"url\":\"https://a.example\",\"title\":\"T\","
                 "\"cited_text\":\"c\",\"encrypted_index\":\"E\"}}"),
        DELTA(2, "{\"type\":\"of_the_future_delta\",\"x\":1}"),
        TEXT_PIECE(2, "yes"),
        STOP(2),
        "{\"type\":\"of_the_future\"}",
        REASON("end_turn"),
        END,
        END,
        NULL};
    struct stand s;
    open_stand(&s, false);
    const struct canon_choice_answer *c = feed_all(&s, events);
    assert_int_equal(c->count, 3);
    assert_slice_is(c->parts[0].text, "hm");
    assert_slice_is(c->parts[0].signature, "SIG=");
    assert_int_equal(c->parts[0].origin, DIALECT_ANTHROPIC);
    assert_slice_is(c->parts[1].encrypted, "ENC");
    assert_slice_is(c->parts[2].text, "yes");
    assert_int_equal(c->parts[2].citation_count, 1);
    assert_slice_is(c->parts[2].citations[0].url, "https://a.example");
    close_stand(&s);
}

static void
test_hosted_calls_are_whole_items(void **state)
{
    (void)state;
    static const char *const events[] = {
        START,
        BLOCK(0,
              "{\"type\":\"server_tool_use\",\"id\":\"srv\",\"name\":\"web_search\",\"input\":{}}"),
        JSON_PIECE(0, "{\\\"query\\\":"),
        JSON_PIECE(0, " \\\"q\\\"}"),
        STOP(0),
        BLOCK(1, "{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"srv\",\"content\":[ ]}"),
        STOP(1),
        BLOCK(2, "{\"type\":\"compaction\",\"content\":null}"),
        DELTA(2, "{\"type\":\"compaction_delta\",\"content\":\"so \\\"far\\\"\"}"),
        STOP(2),
        BLOCK(3, "{\"type\":\"server_tool_use\",\"id\":\"cut\",\"name\":\"x\",\"input\":{}}"),
        JSON_PIECE(3, "{\\\"query"),
        REASON("max_tokens"),
        END,
        NULL};
    struct stand s;
    open_stand(&s, false);
    const struct canon_choice_answer *c = feed_all(&s, events);
    assert_int_equal(c->count, 4);
    assert_slice_is(c->parts[0].raw, "{\"type\":\"server_tool_use\",\"id\":\"srv\",\"name\":"
                                     "\"web_search\",\"input\":{\"query\": \"q\"}}");
    assert_slice_is(c->parts[1].raw, "{\"type\":\"web_search_tool_result\",\"tool_use_id\":"
                                     "\"srv\",\"content\":[ ]}");
    assert_slice_is(c->parts[1].id, "srv");
    assert_slice_is(c->parts[2].raw, "{\"type\":\"compaction\",\"content\":\"so \\\"far\\\"\"}");
    assert_slice_is(c->parts[3].raw,
                    "{\"type\":\"server_tool_use\",\"id\":\"cut\",\"name\":\"x\",\"input\":{}}");
    assert_int_equal(c->finish, FINISH_LENGTH);
    close_stand(&s);
}

static void
test_stop_reasons(void **state)
{
    (void)state;
    static const struct {
        const char *event;
        enum canon_finish want;
    } rows[] = {
        {REASON("end_turn"), FINISH_STOP},
        {REASON("stop_sequence"), FINISH_STOP_SEQUENCE},
        {REASON("max_tokens"), FINISH_LENGTH},
        {REASON("model_context_window_exceeded"), FINISH_LENGTH},
        {REASON("pause_turn"), FINISH_PAUSE},
        {REASON("compaction"), FINISH_PAUSE},
        {REASON("refusal"), FINISH_REFUSAL},
        {REASON("of_the_future"), FINISH_STOP},
        {"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null}}", FINISH_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *const events[] = {
            START, BLOCK(0, TEXT), TEXT_PIECE(0, "x"), STOP(0), rows[i].event, END, NULL};
        struct stand s;
        open_stand(&s, false);
        assert_int_equal(feed_all(&s, events)->finish, rows[i].want);
        close_stand(&s);
    }
}

static void
test_errors_end_it(void **state)
{
    (void)state;
    static const struct {
        const char *event;
        enum canon_error_class kind;
        const char *message;
    } rows[] = {
        {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}",
         ERROR_OVERLOAD, "busy"},
        {"{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}}",
         ERROR_RATE, "slow"},
        {"{\"error\":\"broken\"}", ERROR_SERVER, "broken"},
        {"{\"type\":\"error\"}", ERROR_SERVER,
         "The provider answered with an error and no readable message."},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stand s;
        char want[256];
        open_stand(&s, false);
        assert_int_equal(feed(&s, START), 0);
        assert_int_equal(feed(&s, rows[i].event), 0);
        snprintf(want, sizeof(want), "%d %s", (int)rows[i].kind, rows[i].message);
        assert_string_equal(s.error, want);
        size_t events = s.events;
        assert_int_equal(feed(&s, END), 0); /* nothing after it */
        assert_int_equal(s.events, events);
        assert_false(gather_has_ended(s.gather));
        close_stand(&s);
    }
}

static void
test_what_is_no_stream_of_messages(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"[DONE]"},
        {"{\"type\":\"ping\""},
        {"[]"},
        {END},                                        /* before the start */
        {BLOCK(0, TEXT)},                             /* before the start */
        {REASON("end_turn")},                         /* before the start */
        {"{\"type\":\"message_start\"}"},             /* of nothing */
        {START, TEXT_PIECE(0, "x")},                  /* of no block */
        {START, STOP(0)},                             /* of no block */
        {START, BLOCK(0, TEXT), BLOCK(0, TEXT)},      /* twice */
        {START, BLOCK(0, TEXT), JSON_PIECE(0, "{}")}, /* of another kind */
        {START, BLOCK(0, TEXT), DELTA(0, "7")},
        {START, BLOCK(-1, TEXT)},
        {START, BLOCK(0, "{}")},
        {START, BLOCK(0, "{\"type\":\"text\"}")},
        {START, BLOCK(0, "{\"type\":\"tool_use\",\"name\":\"f\"}")},
        {START, BLOCK(0, TEXT), DELTA(0, "{\"type\":\"text_delta\",\"text\":1}")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stand s;
        int err = 0;
        open_stand(&s, false);
        for (size_t j = 0; j < 3 && rows[i][j] && !err; j++)
            err = feed(&s, rows[i][j]);
        if (err != ERR_PROTOCOL)
            fail_msg("row %zu: %d", i, err);
        close_stand(&s);
    }
}

static void
test_state_is_bounded(void **state)
{
    (void)state;
    struct stand s;
    char event[256];
    int err = 0;
    open_stand(&s, false);
    assert_int_equal(feed(&s, START), 0);
    for (int i = 0; i < 16; i++) {
        snprintf(event, sizeof(event),
                 "{\"type\":\"content_block_start\",\"index\":%d,\"content_block\":" TEXT "}", i);
        assert_int_equal(feed(&s, event), 0);
    }
    assert_int_equal(feed(&s, BLOCK(16, TEXT)), ERR_LIMIT);
    assert_int_equal(feed(&s, STOP(3)), 0);
    assert_int_equal(feed(&s, BLOCK(16, TEXT)), 0);
    close_stand(&s);
    /* a hosted call that does not end */
    char *piece = malloc((1 << 20) + 256);
    assert_non_null(piece);
    int n = snprintf(piece, 256,
                     "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
                     "{\"type\":\"input_json_delta\",\"partial_json\":\"");
    memset(piece + n, 'x', 1 << 20);
    memcpy(piece + n + (1 << 20), "\"}}", 4);
    open_stand(&s, false);
    assert_int_equal(feed(&s, START), 0);
    assert_int_equal(feed(&s, BLOCK(0, "{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"n\","
                                       "\"input\":{}}")),
                     0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(feed(&s, piece), 0);
    err = feed(&s, piece);
    assert_int_equal(err, ERR_LIMIT);
    close_stand(&s);
    free(piece);
}

static void
test_an_end_without_terminal_is_a_cut(void **state)
{
    (void)state;
    struct stand s;
    struct canon_sink sink = {take, &s};
    open_stand(&s, false);
    assert_int_equal(anthropic->decoder->end(s.state, &sink), ERR_TRUNCATED);
    assert_int_equal(feed(&s, START), 0);
    assert_int_equal(feed(&s, REASON("end_turn")), 0);
    assert_int_equal(anthropic->decoder->end(s.state, &sink), ERR_TRUNCATED);
    close_stand(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_that_interleave),
        cmocka_unit_test(test_input_that_comes_at_once),
        cmocka_unit_test(test_structured_output_by_a_call_is_text),
        cmocka_unit_test(test_thinking_and_what_is_hidden),
        cmocka_unit_test(test_hosted_calls_are_whole_items),
        cmocka_unit_test(test_stop_reasons),
        cmocka_unit_test(test_errors_end_it),
        cmocka_unit_test(test_what_is_no_stream_of_messages),
        cmocka_unit_test(test_state_is_bounded),
        cmocka_unit_test(test_an_end_without_terminal_is_a_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
