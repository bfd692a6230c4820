/* Bedrock's and Cohere's dialects, event streams, signatures, grants: with no memory in turn. */
#include "tests/fault/fault.h"

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/gather.h"
#include "dataplane/upstream/oauth_grant.h"
#include "lib/http/eventstream.h"
#include "lib/sign/sigv4.h"

#define S(s)                                                                                       \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

/* --- writing ---------------------------------------------------------------------------------- */

static const struct canon_part said[] = {
    {.kind = PART_TEXT, .text = S("look: \"x\"")},
    {.kind = PART_TEXT, .text = S("and")},
    {.kind = PART_IMAGE, .media = {.mime = S("image/png"), .data = S("AAAA")}},
    {.kind = PART_FILE, .media = {.text = S("long\n"), .name = S("a.txt")}},
};
static const struct canon_part called = {.kind = PART_TOOL_CALL,
                                         .id = S("a call.with:a/strange+id"),
                                         .name = S("f"),
                                         .arguments = S("{\"x\":1}")};
static const struct canon_part result = {
    .kind = PART_TOOL_RESULT, .id = S("a call.with:a/strange+id"), .parts = said, .part_count = 2};
static const struct canon_message messages[] = {
    {.role = ROLE_SYSTEM, .parts = said, .count = 2},
    {.role = ROLE_USER, .parts = said, .count = 4},
    {.role = ROLE_ASSISTANT, .parts = &called, .count = 1},
    {.role = ROLE_TOOL, .parts = &result, .count = 1},
};
static const struct canon_tool tool = {
    .kind = TOOL_FUNCTION, .name = S("f"), .description = S("d\n")};

static int
write_with(const struct dialect *d, enum provider_kind kind, const char *model)
{
    const struct policy_provider provider = {.name = S("p"), .kind = kind};
    const struct dialect_target target = {&provider, slice_of(model)};
    const struct canon_request q = {.messages = messages,
                                    .message_count = 4,
                                    .tools = &tool,
                                    .tool_count = 1,
                                    .max_tokens = 9000,
                                    .choices = 1,
                                    .format = FORMAT_SCHEMA,
                                    .format_schema_raw = S("{}"),
                                    .reasoning = {.effort = S("low"), .budget = -1},
                                    .user = S("u"),
                                    .seed = S("1")};
    struct dialect_refusal why;
    struct dialect_address address;
    struct arena a;
    struct buf into;
    arena_init(&a, 0);
    buf_init(&into, 0);
    struct dialect_writer w = {.arena = &a, .target = &target, .may_degrade = true, .why = &why};
    int err = d->address(&target, true, &a, &address);
    if (!err)
        err = d->write_request(&q, &w, &into);
    buf_free(&into);
    arena_free(&a);
    return err;
}

static int
write_claude(void)
{
    return write_with(&dialect_converse, PROVIDER_BEDROCK, "anthropic.claude-3-7-sonnet-20250219");
}

static int
write_llama(void)
{
    return write_with(&dialect_converse, PROVIDER_BEDROCK, "meta.llama3-8b:0");
}

static int
write_cohere(void)
{
    return write_with(&dialect_cohere, PROVIDER_COHERE, "command-a");
}

/* --- reading ---------------------------------------------------------------------------------- */

static const struct canon_request asked;

static int
read_with(const struct dialect *d, struct slice body)
{
    const struct dialect_exchange x = {.request = &asked};
    const struct dialect_fault fault = {.status = 500, .body = S("{\"message\":\"a\\nb\"}")};
    struct canon_answer answer;
    struct canon_error error;
    struct arena a;
    const char *why;
    arena_init(&a, 0);
    int err = d->read_answer(body, &x, &a, &answer, &why);
    assert_int_not_equal(err, ERR_PROTOCOL); /* no memory is not the provider's fault */
    if (!err)
        err = d->read_error(&fault, &a, &error);
    arena_free(&a);
    return err;
}

static int
read_converse(void)
{
    return read_with(
        &dialect_converse,
        SLICE("{\"output\":{\"message\":{\"content\":[{\"reasoningContent\":{\"reasoningText\":"
              "{\"text\":\"a\\nb\",\"signature\":\"s\\u002f\"}}},{\"text\":\"c\\td\"},"
              "{\"citationsContent\":{\"content\":[{\"text\":\"x\\n\"},{\"text\":\"y\"}],"
              "\"citations\":[{\"title\":\"\\u0041\"}]}},"
              "{\"toolUse\":{\"toolUseId\":\"\",\"name\":\"f\\u0067\",\"input\":{}}}]}},"
              "\"serviceTier\":{\"type\":\"fl\\u0065x\"},\"stopReason\":\"tool_use\"}"));
}

static int
read_cohere(void)
{
    return read_with(&dialect_cohere,
                     SLICE("{\"id\":\"\\u0041\",\"message\":{\"tool_plan\":\"a\\nb\",\"content\":["
                           "{\"type\":\"text\",\"text\":\"c\\td\"}],\"tool_calls\":[{\"function\":"
                           "{\"name\":\"f\\u0067\",\"arguments\":\"{\\n}\"}}],\"citations\":["
                           "{\"sources\":[{\"document\":{\"title\":\"\\u0041\"}}]}]}}"));
}

static int
take(void *ctx, const struct canon_event *e)
{
    return gather_event(ctx, e);
}

struct frame {
    struct slice name, data;
};

static int
decode(const struct dialect *d, const struct frame *frames, size_t count)
{
    const struct dialect_exchange x = {.request = &asked};
    struct arena keep, scratch;
    struct canon_answer answer;
    struct gather *g = gather_new(1 << 20);
    void *state = g ? calloc(1, d->decoder->state_bytes) : NULL;
    const struct canon_sink sink = {take, g};
    arena_init(&keep, 0);
    arena_init(&scratch, 0);
    int err = state ? d->decoder->init(state, &keep, &x) : ERR_NOMEM;
    for (size_t i = 0; i < count && !err; i++) {
        const struct wire_event e = {.name = frames[i].name, .data = frames[i].data};
        err = d->decoder->event(state, &e, &scratch, &sink);
        arena_free(&scratch);
    }
    assert_int_not_equal(err, ERR_PROTOCOL);
    if (!err) {
        assert_true(gather_has_ended(g));
        err = gather_answer(g, &keep, &answer);
    }
    arena_free(&scratch);
    arena_free(&keep);
    gather_free(g);
    free(state);
    return err;
}

static int
stream_converse(void)
{
    static const struct frame frames[] = {
        {S("contentBlockDelta"),
         S("{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"text\":\"a\\n\"}}}")},
        {S("contentBlockDelta"), S("{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{"
                                   "\"signature\":\"\\u0041\"}}}")},
        {S("contentBlockStop"), S("{\"contentBlockIndex\":0}")},
        {S("contentBlockDelta"), S("{\"contentBlockIndex\":1,\"delta\":{\"text\":\"a\\n\"}}")},
        {S("contentBlockDelta"),
         S("{\"contentBlockIndex\":1,\"delta\":{\"citation\":{\"title\":\"\\u0041\"}}}")},
        {S("contentBlockStart"),
         S("{\"contentBlockIndex\":2,\"start\":{\"toolUse\":{\"name\":\"\\u0041\"}}}")},
        {S("contentBlockDelta"),
         S("{\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"{\\n}\"}}}")},
        {S("messageStop"), S("{\"stopReason\":\"tool_use\"}")},
        {S("metadata"), S("{\"usage\":{\"inputTokens\":1}}")},
    };
    return decode(&dialect_converse, frames, sizeof(frames) / sizeof(frames[0]));
}

static int
stream_cohere(void)
{
#define MESSAGE(type, inner)                                                                       \
    {                                                                                              \
        {0}, S("{\"type\":\"" type "\",\"index\":0,\"delta\":{\"message\":{" inner "}}}")          \
    }
    static const struct frame frames[] = {
        {{0}, S("{\"type\":\"message-start\",\"id\":\"\\u0041\"}")},
        MESSAGE("tool-plan-delta", "\"tool_plan\":\"a\\n\""),
        MESSAGE("content-start", "\"content\":{\"type\":\"text\",\"text\":\"a\\n\"}"),
        MESSAGE("citation-start",
                "\"citations\":{\"sources\":[{\"document\":{\"title\":\"\\u0041\"}}]}"),
        MESSAGE("tool-call-start", "\"tool_calls\":{\"function\":{\"name\":\"\\u0041\"}}"),
        MESSAGE("tool-call-delta", "\"tool_calls\":{\"function\":{\"arguments\":\"{\\n}\"}}"),
        {{0}, S("{\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"TOOL_CALL\"}}")},
    };
    return decode(&dialect_cohere, frames, sizeof(frames) / sizeof(frames[0]));
}

/* --- the rest --------------------------------------------------------------------------------- */

static bool
on_message(void *ctx, const struct eventstream_message *m)
{
    *(size_t *)ctx += m->payload.len;
    return true;
}

static int
event_streams(void)
{
    static const struct eventstream_header header = {S("a"), EVENTSTREAM_TEXT, 0, S("b")};
    struct eventstream_parser p;
    struct buf bytes;
    size_t seen = 0;
    buf_init(&bytes, 0);
    eventstream_init(&p, 0);
    int err = eventstream_encode(&bytes, &header, 1, SLICE("payload"));
    if (err)
        assert_int_equal(bytes.len, 0);
    for (size_t i = 0; i < bytes.len && !err; i++)
        err = eventstream_push(&p, slice_make(bytes.at + i, 1), on_message, &seen);
    assert_true(err || seen == 7);
    eventstream_fini(&p);
    buf_free(&bytes);
    return err;
}

static int
signatures(void)
{
    const struct sigv4_header type = {S("content-type"), S("application/json")};
    const struct sigv4_request r = {.method = S("POST"),
                                    .host = S("h"),
                                    .path = S("/model/a%3Ab/converse"),
                                    .query = S("a=b&c=d"),
                                    .headers = &type,
                                    .header_count = 1,
                                    .region = S("r"),
                                    .service = S("s"),
                                    .wall_ms = 1000};
    const struct sigv4_key key = {S("k"), S("s"), S("t")};
    struct sigv4_signature s;
    return sigv4_sign(&r, &key, &s);
}

static int
grants(void)
{
    struct oauth_grant g;
    struct secret token = {0};
    struct arena a;
    char why[96];
    const char *reason;
    int64_t life;
    arena_init(&a, 0);
    int err = oauth_grant_make(OAUTH_ENTRA,
                               SLICE("{\"tenant_id\":\"t\",\"client_id\":\"a\\u0041\","
                                     "\"client_secret\":\"s\\n\"}"),
                               0, &a, &g, &reason);
    if (!err)
        secret_free(&g.body);
    if (!err)
        err = oauth_grant_read(200, SLICE("{\"access_token\":\"\\u0041\"}"), &token, &life, why,
                               sizeof(why));
    secret_free(&token);
    arena_free(&a);
    return err;
}

static void
test_all(void **state)
{
    static const fault_scenario scenarios[] = {
        write_claude,    write_llama,   write_cohere,  read_converse, read_cohere,
        stream_converse, stream_cohere, event_streams, signatures,    grants,
    };
    (void)state;
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        fault_replay(scenarios[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
