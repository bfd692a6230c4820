/*
 * An answer of Bedrock's with signed and redacted reasoning, told to a client of each dialect that
 * sends it back in the next turn of a tool loop: Bedrock gets its reasoning byte for byte.
 */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"
#include "lib/json/doc.h"
#include "lib/json/view.h"

static const char answer_text[] =
    "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":["
    "{\"reasoningContent\":{\"reasoningText\":{\"text\":\"I must \\\"look\\\"\",\"signature\":"
    "\"EqkECkgIBxAB+/=\"}}},"
    "{\"reasoningContent\":{\"redactedContent\":\"cmVkYWN0ZWQ+Lw==\"}},"
    "{\"text\":\"Let me see.\"},"
    "{\"toolUse\":{\"toolUseId\":\"tooluse_1\",\"name\":\"look\",\"input\":{\"at\":\"it\"}}}]}},"
    "\"stopReason\":\"tool_use\",\"usage\":{\"inputTokens\":3,\"outputTokens\":5}}";

static const char want[] =
    "{\"role\":\"assistant\",\"content\":["
    "{\"reasoningContent\":{\"reasoningText\":{\"text\":\"I must \\\"look\\\"\",\"signature\":"
    "\"EqkECkgIBxAB+/=\"}}},"
    "{\"reasoningContent\":{\"redactedContent\":\"cmVkYWN0ZWQ+Lw==\"}},"
    "{\"text\":\"Let me see.\"},"
    "{\"toolUse\":{\"toolUseId\":\"tooluse_1\",\"name\":\"look\",\"input\":{\"at\":\"it\"}}}]}";

/* How a client of a dialect sends an answer back: what of it, and what stands around it. */
static const struct client {
    enum dialect_id id;
    const char *ask;     /* the first request */
    const char *path[4]; /* to what is sent back of an answer; "0": the first */
    bool is_list;        /* it is a list, whose items are sent back */
    const char *before, *after;
} clients[] = {
    {DIALECT_CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
     {"choices", "0", "message"},
     false,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},",
     ",{\"role\":\"tool\",\"tool_call_id\":\"tooluse_1\",\"content\":\"seen\"}]}"},
    {DIALECT_RESPONSES,
     "{\"model\":\"m\",\"input\":\"hi\",\"store\":false,\"include\":[\"reasoning.encrypted_"
     "content\"]}",
     {"output"},
     true,
     "{\"model\":\"m\",\"store\":false,\"input\":[{\"role\":\"user\",\"content\":\"hi\"},",
     ",{\"type\":\"function_call_output\",\"call_id\":\"tooluse_1\",\"output\":\"seen\"}]}"},
    {DIALECT_ANTHROPIC,
     "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
     {"content"},
     false,
     "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},"
     "{\"role\":\"assistant\",\"content\":",
     "},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"tooluse_1\","
     "\"content\":\"seen\"}]}]}"},
    {DIALECT_GEMINI,
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}],\"generationConfig\":"
     "{\"thinkingConfig\":{\"includeThoughts\":true}}}",
     {"candidates", "0", "content"},
     false,
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]},",
     ",{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"tooluse_1\",\"name\":\"look\","
     "\"response\":{\"result\":\"seen\"}}}]}]}"},
};

static const struct dialect_call call = {.path_model = {"m", 1}};

static void
read_request(const struct dialect *d, const char *body, struct arena *a, struct canon_request *ret)
{
    struct dialect_refusal why = {.message = ""};
    if (d->read_request(slice_of(body), &call, a, ret, &why) != 0)
        fail_msg("%s: %s (%s)", d->name, why.message, body);
}

/* The answer as the client is told it. */
static void
tell(const struct client *c, struct arena *a, struct buf *into)
{
    const struct dialect *d = dialect_get(c->id);
    const struct answer_names names = {SLICE("1"), SLICE("m"), 1700000000};
    struct canon_request q;
    struct canon_answer answer;
    const char *why = "";
    read_request(d, c->ask, a, &q);
    const struct dialect_exchange x = {.request = &q};
    assert_int_equal(dialect_converse.read_answer(slice_of(answer_text), &x, a, &answer, &why), 0);
    assert_int_equal(d->write_answer(&q, &answer, &names, into), 0);
}

/* What of it is sent back. */
static struct json_view
follow(const struct client *c, struct slice told)
{
    struct json_view at = json_view_of(told);
    for (size_t i = 0; i < 4 && c->path[i]; i++) {
        size_t cursor = 0;
        struct slice name;
        if (strcmp(c->path[i], "0") == 0)
            assert_true(json_view_next(at, &cursor, &name, &at));
        else
            at = json_view_get(at, c->path[i]);
        assert_true(json_view_is_set(at));
    }
    if (c->is_list)
        at.raw = slice_make(at.raw.at + 1, at.raw.len - 2);
    return at;
}

static void
write_up(const struct canon_request *q, struct arena *a, struct buf *into)
{
    static const struct policy_provider provider = {.name = {"aws", 3}, .kind = PROVIDER_BEDROCK};
    const struct dialect_target target = {&provider,
                                          SLICE("us.anthropic.claude-3-7-sonnet-20250219-v1:0")};
    struct dialect_refusal why = {.message = ""};
    struct dialect_writer w = {.arena = a, .target = &target, .why = &why};
    if (dialect_converse.write_request(q, &w, into) != 0)
        fail_msg("%s", why.message);
}

static void
test_reasoning_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
        const struct client *c = &clients[i];
        struct buf told, next, up;
        struct arena a;
        struct canon_request q;
        arena_init(&a, 0);
        buf_init(&told, 0);
        buf_init(&next, 0);
        buf_init(&up, 0);
        tell(c, &a, &told);
        struct json_view back = follow(c, buf_slice(&told));
        assert_int_equal(buf_addf(&next, "%s%.*s%s", c->before, SLICE_ARG(back.raw), c->after), 0);
        read_request(dialect_get(c->id), buf_str(&next), &a, &q);
        write_up(&q, &a, &up);
        if (!strstr(buf_str(&up), want))
            fail_msg("%s:\ntold %s\nsent %s", dialect_get(c->id)->name, buf_str(&told),
                     buf_str(&up));
        buf_free(&up);
        buf_free(&next);
        buf_free(&told);
        arena_free(&a);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reasoning_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
