/* Anthropic's dialect with every allocation failing in turn: requests read and written, answers and
 * streams read and written again. */
#include "tests/fault/fault.h"

#include "dataplane/dialects/dialect.h"

static const struct dialect *const anthropic = &dialect_anthropic;
static const struct dialect_call call;

static const char request[] =
    "{\"model\":\"m\",\"max_tokens\":9000,\"system\":\"S\",\"messages\":["
    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\n\"},{\"type\":\"document\","
    "\"title\":\"T\",\"context\":\"C\",\"source\":{\"type\":\"content\",\"content\":[{\"type\":"
    "\"text\",\"text\":\"x\"},{\"type\":\"text\",\"text\":\"y\"}]}}]},"
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"h\",\"signature\":"
    "\"hg1.gemini.eyJzaWduYXR1cmUiOiJjMmxuIn0\"},{\"type\":\"tool_use\",\"id\":\"c.1\",\"name\":"
    "\"f\",\"input\":{\"x\":1},\"caller\":{}}]},"
    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c.1\",\"content\":"
    "\"r\"}]}],\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"},\"x\":1}],"
    "\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}},"
    "\"b\":1},\"container\":\"c\"}";

static int
request_scenario(void)
{
    static const struct policy_provider provider = {.name = {"p", 1}, .kind = PROVIDER_ANTHROPIC};
    struct dialect_target target = {.provider = &provider, .model = {"claude-opus-4-6", 15}};
    struct dialect_refusal why = {.member = ""};
    struct request_brief brief;
    struct canon_request q;
    struct arena a;
    struct buf out;
    struct slice body = slice_make(request, sizeof(request) - 1);
    arena_init(&a, 0);
    buf_init(&out, 0);
    struct dialect_writer w = {.arena = &a, .target = &target, .why = &why};
    int err = anthropic->brief(body, &call, &a, &brief, &why);
    if (!err)
        err = anthropic->read_request(body, &call, &a, &q, &why);
    if (!err)
        err = anthropic->write_request(&q, &w, &out);
    buf_free(&out);
    arena_free(&a);
    return err;
}

/* --- answers ---------------------------------------------------------------------------------- */

static const char answer[] =
    "{\"type\":\"message\",\"id\":\"msg_1\",\"model\":\"m\",\"content\":[{\"type\":\"text\","
    "\"text\":\"a\\n\",\"citations\":[{\"url\":\"u\\n\"}]},{\"type\":\"thinking\",\"thinking\":"
    "\"h\",\"signature\":\"s\"},{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\",\"input\":{}}],"
    "\"stop_reason\":\"tool_use\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}";
static const struct answer_names names = {.id = {"x", 1}, .model = {"m", 1}};

static int
answer_scenario(void)
{
    const struct dialect_exchange x = {.json_by_tool = false};
    struct canon_answer got;
    struct arena a;
    struct buf out;
    const char *why;
    arena_init(&a, 0);
    buf_init(&out, 0);
    int err = anthropic->read_answer(slice_make(answer, sizeof(answer) - 1), &x, &a, &got, &why);
    if (!err)
        err = anthropic->write_answer(NULL, &got, &names, &out);
    buf_free(&out);
    arena_free(&a);
    return err;
}

/* --- streams ---------------------------------------------------------------------------------- */

static const char *const events[] = {
    "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[]}}",
    "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\","
    "\"id\":\"a\",\"name\":\"f\",\"input\":{}}}",
    "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\","
    "\"id\":\"b\",\"name\":\"g\",\"input\":{}}}",
    "{\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":"
    "\"server_tool_use\",\"id\":\"s\",\"name\":\"h\",\"input\":{}}}",
    "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\","
    "\"partial_json\":\"{}\"}}",
    "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\","
    "\"partial_json\":\"{}\"}}",
    "{\"type\":\"content_block_stop\",\"index\":2}",
    "{\"type\":\"content_block_stop\",\"index\":1}",
    "{\"type\":\"content_block_stop\",\"index\":0}",
    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"refusal\",\"stop_details\":"
    "{\"explanation\":\"no\"}},\"usage\":{\"output_tokens\":1}}",
    "{\"type\":\"message_stop\"}",
};

struct encoding {
    void *state;
    struct buf out;
};

static int
encode(void *ctx, const struct canon_event *e)
{
    struct encoding *to = ctx;
    return anthropic->encoder->event(to->state, e, &to->out);
}

static int
stream_scenario(void)
{
    const struct dialect_exchange x = {.json_by_tool = false};
    struct encoding to = {.state = NULL};
    const struct canon_sink sink = {encode, &to};
    struct arena keep, scratch;
    fault_pause();
    to.state = calloc(1, anthropic->encoder->state_bytes);
    void *from = calloc(1, anthropic->decoder->state_bytes);
    fault_resume();
    arena_init(&keep, 0);
    arena_init(&scratch, 0);
    buf_init(&to.out, 0);
    int err = anthropic->encoder->init(to.state, &keep, NULL, &names);
    if (!err)
        err = anthropic->decoder->init(from, &keep, &x);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]) && !err; i++) {
        struct wire_event e = {.data = slice_of(events[i])};
        err = anthropic->decoder->event(from, &e, &scratch, &sink);
        arena_free(&scratch);
    }
    anthropic->encoder->fini(to.state);
    buf_free(&to.out);
    arena_free(&keep);
    free(to.state);
    free(from);
    return err;
}

static void
test_requests(void **state)
{
    (void)state;
    fault_replay(request_scenario);
}

static void
test_answers(void **state)
{
    (void)state;
    fault_replay(answer_scenario);
}

static void
test_streams(void **state)
{
    (void)state;
    fault_replay(stream_scenario);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_requests),
                                       cmocka_unit_test(test_answers),
                                       cmocka_unit_test(test_streams)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
