/* Answers, streams and errors as chat clients get them. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"

static const struct answer_names names = {
    .id = {"ABC", 3}, .model = {"asked", 5}, .now_unix_s = 99};

static const struct canon_citation citation = {
    .url = {"u", 1}, .title = {"t", 1}, .start = 1, .end = 2, .origin = DIALECT_ANTHROPIC};

#define TEXT(s)                                                                                    \
    {                                                                                              \
        .kind = PART_TEXT, .text = SLICE(s)                                                        \
    }
#define CALL(i, n, s)                                                                              \
    {                                                                                              \
        .kind = PART_TOOL_CALL, .id = SLICE(i), .name = SLICE(n), .arguments = SLICE(s)            \
    }

static const struct canon_part all_kinds[] = {
    {.kind = PART_REASONING,
     .origin = DIALECT_ANTHROPIC,
     .text = {"th", 2},
     .signature = {"sg", 2}},
    {.kind = PART_TEXT, .text = {"a\"b", 3}, .citations = &citation, .citation_count = 1},
    {.kind = PART_OPAQUE, .origin = DIALECT_ANTHROPIC, .raw = {"{\"x\":1}", 7}},
    TEXT("c"),
    {.kind = PART_REASONING,
     .origin = DIALECT_RESPONSES,
     .id = {"rs", 2},
     .encrypted = {"en", 2},
     .text = {"su", 2}},
    CALL("c1", "f", ""),
    {.kind = PART_TOOL_CALL,
     .origin = DIALECT_GEMINI,
     .id = {"c2", 2},
     .name = {"g", 1},
     .arguments = {"{}", 2},
     .signature = {"ABC", 3}},
    {.kind = PART_TOOL_CALL,
     .custom = true,
     .id = {"c3", 2},
     .name = {"h", 1},
     .arguments = {"in", 2}},
};

static const struct canon_choice_answer choice = {
    .parts = all_kinds, .count = 8, .finish = FINISH_TOOL_CALLS};

static const struct canon_answer answer = {
    .model = {"claude", 6},
    .origin = DIALECT_ANTHROPIC,
    .choices = &choice,
    .choice_count = 1,
    .usage = {.seen = true,
              .tokens = {{{.input = 10,
                           .cache_read = 5,
                           .cache_write = 2,
                           .output = 7,
                           .reasoning = 3,
                           .audio_output = 1}}}},
};

static const char whole[] =
    "{\"id\":\"chatcmpl-ABC\",\"object\":\"chat.completion\",\"created\":99,\"model\":\"claude\","
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\\\"bc\","
    "\"refusal\":null,\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{"
    "\"start_index\":1,\"end_index\":2,\"title\":\"t\",\"url\":\"u\"}}],"
    "\"reasoning_content\":\"thsu\",\"reasoning_details\":["
    "{\"type\":\"reasoning.text\",\"text\":\"th\",\"signature\":\"sg\",\"format\":\"anthropic\","
    "\"index\":0},"
    "{\"type\":\"opaque\",\"item\":{\"x\":1},\"format\":\"anthropic\",\"index\":2},"
    "{\"type\":\"reasoning.encrypted\",\"data\":\"en\",\"summary\":\"su\",\"id\":\"rs\","
    "\"format\":\"responses\",\"index\":3}],"
    "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
    "\"arguments\":\"{}\"}},"
    "{\"id\":\"c2__sig_bQUJD\",\"type\":\"function\",\"function\":{\"name\":\"g\","
    "\"arguments\":\"{}\"},\"extra_content\":{\"google\":{\"thought_signature\":\"ABC\"}}},"
    "{\"id\":\"c3\",\"type\":\"custom\",\"custom\":{\"name\":\"h\",\"input\":\"in\"}}]},"
    "\"logprobs\":null,\"finish_reason\":\"tool_calls\"}],"
    "\"usage\":{\"prompt_tokens\":17,\"completion_tokens\":11,\"total_tokens\":28,"
    "\"prompt_tokens_details\":{\"cached_tokens\":5,\"audio_tokens\":0,\"cache_write_tokens\":2},"
    "\"completion_tokens_details\":{\"reasoning_tokens\":3,\"audio_tokens\":1,"
    "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}";

static void
check_answer(const struct canon_request *q, const struct canon_answer *a, const char *want)
{
    struct buf out;
    buf_init(&out, 0);
    assert_int_equal(dialect_chat.write_answer(q, a, &names, &out), 0);
    assert_string_equal(buf_str(&out), want);
    buf_free(&out);
}

static void
test_answer(void **state)
{
    (void)state;
    struct canon_request q = {.origin = DIALECT_CHAT};
    check_answer(&q, &answer, whole);
}

#define PLAIN(message, finish)                                                                     \
    "{\"id\":\"own\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"asked\","            \
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\"," message                       \
    "},\"logprobs\":null,\"finish_reason\":\"" finish "\"}],\"service_tier\":\"flex\","            \
    "\"system_fingerprint\":\"fp\"}"

/* What content is beside a refusal, a call, sound, and of nothing; and functions of old. */
static void
test_plain_answers(void **state)
{
    (void)state;
    static const struct canon_part
        refusal = {.kind = PART_REFUSAL, .text = {"no", 2}},
        call = CALL("c", "f", "null"),
        audio = {.kind = PART_AUDIO,
                 .text = {"say", 3},
                 .media = {.id = {"au", 2}, .data = {"QQ==", 4}, .expires = {"5", 1}}},
        image = {.kind = PART_IMAGE, .media = {.mime = {"image/png", 9}, .data = {"QQ==", 4}}};
    static const struct {
        const struct canon_part *part;
        enum canon_finish finish;
        bool old;
        const char *want;
    } rows[] = {
        {NULL, FINISH_LENGTH, false,
         PLAIN("\"content\":\"\",\"refusal\":null,\"annotations\":[]", "length")},
        {&refusal, FINISH_REFUSAL, false,
         PLAIN("\"content\":null,\"refusal\":\"no\",\"annotations\":[]", "content_filter")},
        {&call, FINISH_TOOL_CALLS, true,
         PLAIN("\"content\":null,\"refusal\":null,\"annotations\":[],\"function_call\":{\"name\":"
               "\"f\",\"arguments\":\"{}\"}",
               "function_call")},
        {&audio, FINISH_STOP, false,
         PLAIN("\"content\":null,\"refusal\":null,\"annotations\":[],\"audio\":{\"id\":\"au\","
               "\"data\":\"QQ==\",\"transcript\":\"say\",\"expires_at\":5}",
               "stop")},
        {&image, FINISH_ERROR, false,
         PLAIN("\"content\":\"\",\"refusal\":null,\"annotations\":[],\"images\":[{\"type\":"
               "\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,QQ==\"}}]",
               "error")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct canon_choice_answer c = {
            .parts = rows[i].part, .count = rows[i].part ? 1 : 0, .finish = rows[i].finish};
        struct canon_answer a = {.id = SLICE("own"),
                                 .origin = DIALECT_CHAT,
                                 .created_unix_s = 7,
                                 .choices = &c,
                                 .choice_count = 1,
                                 .service_tier = SLICE("flex"),
                                 .fingerprint = SLICE("fp")};
        struct canon_request q = {.old_functions = rows[i].old};
        check_answer(&q, &a, rows[i].want);
    }
}

/* --- streams ---------------------------------------------------------------------------------- */

struct stream {
    struct arena keep;
    void *state;
    struct buf out;
};

static void
open_stream(struct stream *s, const struct canon_request *q)
{
    arena_init(&s->keep, 0);
    buf_init(&s->out, 0);
    s->state = calloc(1, dialect_chat.encoder->state_bytes);
    assert_int_equal(dialect_chat.encoder->init(s->state, &s->keep, q, &names), 0);
}

static void
close_stream(struct stream *s)
{
    free(s->state);
    buf_free(&s->out);
    arena_free(&s->keep);
}

static int
take(void *ctx, const struct canon_event *e)
{
    struct stream *s = ctx;
    return dialect_chat.encoder->event(s->state, e, &s->out);
}

#define HEAD                                                                                       \
    "data: "                                                                                       \
    "{\"id\":\"chatcmpl-ABC\",\"object\":\"chat.completion.chunk\",\"created\":99,\"model\":"      \
    "\"claude\",\"choices\":["
#define DELTA_AND(delta, logprobs, finish)                                                         \
    HEAD "{\"index\":0,\"delta\":{" delta "},\"logprobs\":" logprobs ",\"finish_reason\":" finish  \
         "}],\"usage\":null}\n\n"
#define DELTA(delta) DELTA_AND(delta, "null", "null")
#define ENTRY(rest) "\"reasoning_details\":[{" rest "}]"
#define CALL_DELTA(rest) DELTA("\"tool_calls\":[{" rest "}]")

/* clang-format off */
static const char stream_text[] =
    DELTA("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null")
    DELTA("\"reasoning_content\":\"th\"," ENTRY("\"type\":\"reasoning.text\",\"format\":\"anthropic\",\"index\":0,\"text\":\"th\""))
    DELTA(ENTRY("\"type\":\"reasoning.text\",\"index\":0,\"signature\":\"sg\""))
    DELTA("\"content\":\"a\\\"b\"")
    DELTA("\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"start_index\":1,\"end_index\":2,\"title\":\"t\",\"url\":\"u\"}}]")
    DELTA(ENTRY("\"type\":\"opaque\",\"item\":{\"x\":1},\"format\":\"anthropic\",\"index\":2"))
    DELTA("\"content\":\"c\"")
    DELTA(ENTRY("\"type\":\"reasoning.encrypted\",\"data\":\"en\",\"id\":\"rs\",\"format\":\"responses\",\"index\":3"))
    DELTA("\"reasoning_content\":\"su\"," ENTRY("\"type\":\"reasoning.text\",\"format\":\"responses\",\"index\":3,\"text\":\"su\""))
    CALL_DELTA("\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}")
    CALL_DELTA("\"index\":0,\"function\":{\"arguments\":\"{}\"}")
    CALL_DELTA("\"index\":1,\"id\":\"c2__sig_bQUJD\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"\"},\"extra_content\":{\"google\":{\"thought_signature\":\"ABC\"}}")
    CALL_DELTA("\"index\":1,\"function\":{\"arguments\":\"{}\"}")
    CALL_DELTA("\"index\":2,\"id\":\"c3\",\"type\":\"custom\",\"custom\":{\"name\":\"h\",\"input\":\"\"}")
    CALL_DELTA("\"index\":2,\"custom\":{\"input\":\"in\"}")
    DELTA_AND("", "null", "\"tool_calls\"")
    HEAD "],\"usage\":{\"prompt_tokens\":17,\"completion_tokens\":11,\"total_tokens\":28,"
    "\"prompt_tokens_details\":{\"cached_tokens\":5,\"audio_tokens\":0,\"cache_write_tokens\":2},"
    "\"completion_tokens_details\":{\"reasoning_tokens\":3,\"audio_tokens\":1,"
    "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}\n\n"
    "data: [DONE]\n\n";
/* clang-format on */

static void
test_stream(void **state)
{
    (void)state;
    struct canon_request q = {.include_usage = true};
    struct stream s;
    open_stream(&s, &q);
    assert_int_equal(gather_replay(&answer, &(struct canon_sink){take, &s}), 0);
    assert_string_equal(buf_str(&s.out), stream_text);
    close_stream(&s);
}

static void
feed(struct stream *s, const struct canon_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(take(s, &events[i]), 0);
}

#define SMALL_HEAD                                                                                 \
    "data: {\"id\":\"own\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","    \
    "\"choices\":["
#define SMALL(i, delta, logprobs, finish)                                                          \
    SMALL_HEAD "{\"index\":" #i ",\"delta\":{" delta "},\"logprobs\":" logprobs                    \
               ",\"finish_reason\":" finish "}]}\n\n"
#define FIRST "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null"

/* Without include_usage; parallel calls whose pieces interleave; two choices; logprobs. */
static void
test_stream_interleaves(void **state)
{
    (void)state;
    static const struct canon_event events[] = {
        {.kind = EVENT_START,
         .id = {"own", 3},
         .model = {"m", 1},
         .created_unix_s = 1,
         .of = {.origin = DIALECT_CHAT}},
        {.kind = EVENT_PART_START, .of = CALL("a", "f", "")},
        {.kind = EVENT_PART_START, .part = 1, .of = CALL("b", "g", "")},
        {.kind = EVENT_DELTA, .text = {"1", 1}},
        {.kind = EVENT_DELTA, .part = 1, .text = {"2", 1}},
        {.kind = EVENT_DELTA, .text = {"3", 1}},
        {.kind = EVENT_PART_END},
        {.kind = EVENT_PART_END, .part = 1},
        {.kind = EVENT_PART_START, .choice = 1, .of = {.kind = PART_REFUSAL}},
        {.kind = EVENT_DELTA, .choice = 1, .text = {"no", 2}},
        {.kind = EVENT_LOGPROBS, .choice = 1, .text = {"{\"content\":[]}", 14}},
        {.kind = EVENT_FINISH, .choice = 1, .finish = FINISH_STOP},
        {.kind = EVENT_USAGE, .usage = {.seen = true}},
        {.kind = EVENT_END},
    };
    /* clang-format off */
    static const char want[] = SMALL(0, FIRST, "null", "null")
SMALL(
        0, "\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]", "null", "null")
SMALL(0, "\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]", "null", "null")
SMALL(0, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1\"}}]", "null", "null")
SMALL(0, "\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"2\"}}]", "null", "null")
SMALL(0, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"3\"}}]", "null", "null")
SMALL(1, FIRST, "null", "null")
SMALL(1, "\"refusal\":\"no\"", "null", "null")
SMALL(1, "", "{\"content\":[]}", "null")
SMALL(1, "", "null", "\"stop\"") "data: [DONE]\n\n";
    /* clang-format on */
    struct canon_request q = {.include_usage = false};
    struct stream s;
    open_stream(&s, &q);
    feed(&s, events, sizeof(events) / sizeof(events[0]));
    assert_string_equal(buf_str(&s.out), want);
    close_stream(&s);
}

static void
test_stream_old_functions(void **state)
{
    (void)state;
    static const struct canon_event events[] = {
        {.kind = EVENT_START,
         .id = {"own", 3},
         .model = {"m", 1},
         .created_unix_s = 1,
         .of = {.origin = DIALECT_CHAT}},
        {.kind = EVENT_PART_START, .of = CALL("a", "f", "")},
        {.kind = EVENT_PART_START, .part = 1, .of = CALL("b", "g", "")},
        {.kind = EVENT_DELTA, .text = {"{}", 2}},
        {.kind = EVENT_DELTA, .part = 1, .text = {"2", 1}},
        {.kind = EVENT_FINISH, .finish = FINISH_TOOL_CALLS},
    };
    /* clang-format off */
    static const char want[] = SMALL(0, FIRST, "null", "null")
SMALL(0, "\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}", "null", "null")
SMALL(0, "\"function_call\":{\"arguments\":\"{}\"}", "null", "null")
SMALL(0, "", "null", "\"function_call\"");
    /* clang-format on */
    struct canon_request q = {.old_functions = true};
    struct stream s;
    open_stream(&s, &q);
    feed(&s, events, sizeof(events) / sizeof(events[0]));
    assert_string_equal(buf_str(&s.out), want);
    close_stream(&s);
}

static void
test_stream_error(void **state)
{
    (void)state;
    struct canon_request q = {.include_usage = false};
    struct canon_event e = {
        .kind = EVENT_ERROR,
        .error = {.kind = ERROR_OVERLOAD, .message = SLICE("busy"), .from_provider = true}};
    struct stream s;
    open_stream(&s, &q);
    assert_int_equal(take(&s, &e), 0);
    assert_string_equal(buf_str(&s.out),
                        "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\","
                        "\"param\":null,\"code\":null,\"source\":\"provider\"}}\n\n");
    close_stream(&s);
}

static void
test_stream_limits(void **state)
{
    (void)state;
    struct canon_request q = {.include_usage = false};
    struct canon_event start = {.kind = EVENT_START, .model = SLICE("m")},
                       part = {.kind = EVENT_PART_START, .of = {.kind = PART_TEXT}},
                       finish = {.kind = EVENT_FINISH, .choice = 127};
    struct stream s;
    open_stream(&s, &q);
    assert_int_equal(take(&s, &part), ERR_PROTOCOL); /* before the start */
    assert_int_equal(take(&s, &start), 0);
    assert_int_equal(take(&s, &finish), 0);
    finish.choice = 128;
    assert_int_equal(take(&s, &finish), ERR_LIMIT);
    for (; part.part < 4096; part.part++)
        assert_int_equal(take(&s, &part), 0);
    assert_int_equal(take(&s, &part), ERR_LIMIT);
    part.kind = EVENT_DELTA;
    assert_int_equal(take(&s, &part), ERR_PROTOCOL); /* of a part that was not begun */
    close_stream(&s);
}

/* --- errors ----------------------------------------------------------------------------------- */

static void
test_errors_of_providers(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body, *message, *type, *code;
        int want_status;
        enum canon_error_class kind;
    } rows[] = {
        {400, "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":\"p\",\"code\":\"c\"}}", "m",
         "t", "c", 400, ERROR_INVALID},
        {200, "{\"error\":{\"code\":429,\"message\":\"m\"}}", "m", "", "429", 429, ERROR_RATE},
        {200, "{\"error\":{\"code\":\"content_filter\",\"message\":\"m\",\"status\":400}}", "m", "",
         "content_filter", 400, ERROR_INVALID}, /* Azure */
        {429, "{\"error\":{\"code\":\"429\",\"message\":\"m\"}}", "m", "", "429", 429, ERROR_RATE},
        {400, "{\"code\":\"bad\",\"error\":\"text\"}", "text", "", "bad", 400,
         ERROR_INVALID}, /* xAI */
        {400, "{\"object\":\"error\",\"message\":\"m\",\"type\":\"BadRequestError\",\"code\":400}",
         "m", "BadRequestError", "400", 400, ERROR_INVALID}, /* vLLM */
        {401, "{\"detail\":\"Unauthorized\"}", "Unauthorized", "", "", 401, ERROR_AUTH},
        {422, "{\"detail\":[{\"loc\":[\"body\",\"n\"],\"msg\":\"bad\"}]}", "n: bad", "", "", 422,
         ERROR_INVALID},
        {422,
         "{\"object\":\"error\",\"message\":{\"detail\":[{\"loc\":[\"body\",\"n\"],\"msg\":\"bad\"}"
         "]},\"type\":\"x\"}",
         "n: bad", "x", "", 422, ERROR_INVALID}, /* Mistral */
        {503, "{\"error\":\"loading\",\"error_type\":\"overloaded\"}", "loading", "overloaded", "",
         503, ERROR_OVERLOAD}, /* TGI */
        {502,
         "{\"error\":{\"code\":502,\"message\":\"Provider returned error\",\"metadata\":{\"raw\":"
         "\"why\"}}}",
         "Provider returned error: why", "", "502", 502, ERROR_UPSTREAM}, /* OpenRouter */
        {400, "[{\"error\":{\"message\":\"m\",\"code\":400}}]", "m", "", "400", 400, ERROR_INVALID},
        {0, "{\"error\":{\"message\":\"m\",\"code\":\"tool_use_failed\",\"status_code\":400}}", "m",
         "", "tool_use_failed", 400, ERROR_INVALID}, /* Groq's event */
        {0, "{\"error\":{\"message\":\"m\",\"type\":\"rate_limit_error\"}}", "m",
         "rate_limit_error", "", 0, ERROR_RATE},
        {0, "{\"error\":{\"message\":\"m\"}}", "m", "", "", 0, ERROR_UPSTREAM},
        {502, "<html>", "The provider answered with an error and no readable message.", "", "", 502,
         ERROR_UPSTREAM},
        {500, "", "The provider answered with an error and no readable message.", "", "", 500,
         ERROR_SERVER},
        {500, "[]", "The provider answered with an error and no readable message.", "", "", 500,
         ERROR_SERVER},
        {500, "\"x\"", "The provider answered with an error and no readable message.", "", "", 500,
         ERROR_SERVER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena a;
        struct canon_error e;
        struct dialect_fault f = {.status = rows[i].status, .body = slice_of(rows[i].body)};
        arena_init(&a, 0);
        assert_int_equal(dialect_chat.read_error(&f, &a, &e), 0);
        assert_slice_is(e.message, rows[i].message);
        assert_slice_is(e.type, rows[i].type);
        assert_slice_is(e.code, rows[i].code);
        assert_int_equal(e.status, rows[i].want_status);
        assert_int_equal(e.kind, rows[i].kind);
        assert_true(e.from_provider);
        arena_free(&a);
    }
}

static void
test_long_messages_are_cut(void **state)
{
    (void)state;
    for (size_t n = 4096; n <= 4097; n++) {
        struct arena a;
        struct canon_error e;
        char *body = calloc(1, n + 64);
        int head = snprintf(body, 64, "{\"error\":{\"message\":\"");
        memset(body + head, 'x', n);
        snprintf(body + (size_t)head + n, 8, "\"}}");
        arena_init(&a, 0);
        struct dialect_fault f = {.status = 400, .body = slice_of(body)};
        assert_int_equal(dialect_chat.read_error(&f, &a, &e), 0);
        assert_int_equal(e.message.len, 4096);
        arena_free(&a);
        free(body);
    }
}

static void
test_own_errors(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 0);
    struct canon_error e = {.kind = ERROR_AUTH,
                            .message = SLICE("who?"),
                            .code = SLICE("invalid_api_key"),
                            .param = SLICE("p")};
    assert_int_equal(dialect_chat.write_error(&e, &out), 0);
    assert_string_equal(buf_str(&out),
                        "{\"error\":{\"message\":\"who?\",\"type\":\"authentication_error\","
                        "\"param\":\"p\",\"code\":\"invalid_api_key\",\"source\":\"gateway\"}}");
    buf_free(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_plain_answers),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_interleaves),
        cmocka_unit_test(test_stream_old_functions),
        cmocka_unit_test(test_stream_error),
        cmocka_unit_test(test_stream_limits),
        cmocka_unit_test(test_errors_of_providers),
        cmocka_unit_test(test_long_messages_are_cut),
        cmocka_unit_test(test_own_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
