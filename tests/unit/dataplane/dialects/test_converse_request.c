/* Bedrock's Converse: what is written for it, family by family. */
#include "tests/unit/check.h"

#include "dataplane/dialects/converse_internal.h"
#include "lib/json/doc.h"

#define CLAUDE "us.anthropic.claude-3-7-sonnet-20250219-v1:0"
#define CLAUDE_NEW "global.anthropic.claude-sonnet-4-6"
#define NOVA "us.amazon.nova-pro-v1:0"
#define NOVA_2 "us.amazon.nova-2-lite-v1:0"
#define LLAMA "meta.llama3-1-70b-instruct-v1:0"

/* --- models ----------------------------------------------------------------------------------- */

static void
test_models(void **state)
{
    static const struct {
        const char *id;
        enum converse_family family;
        bool adaptive, no_sampling;
        enum converse_json json;
    } rows[] = {
        {"anthropic.claude-3-sonnet-20240229-v1:0", CONVERSE_CLAUDE, 0, 0, CONVERSE_JSON_TOOL},
        {"anthropic.claude-instant-v1", CONVERSE_CLAUDE, 0, 0, CONVERSE_JSON_TOOL},
        {CLAUDE, CONVERSE_CLAUDE, 0, 0, CONVERSE_JSON_TOOL},
        {"eu.anthropic.claude-sonnet-4-20250514-v1:0", CONVERSE_CLAUDE, 0, 0, CONVERSE_JSON_TOOL},
        {"anthropic.claude-sonnet-4-5-20250929-v1:0", CONVERSE_CLAUDE, 0, 0, CONVERSE_JSON_NATIVE},
        {CLAUDE_NEW, CONVERSE_CLAUDE, 1, 0, CONVERSE_JSON_NATIVE},
        {"anthropic.claude-opus-4-7", CONVERSE_CLAUDE, 1, 1, CONVERSE_JSON_NATIVE},
        {"anthropic.claude-sonnet-5", CONVERSE_CLAUDE, 1, 1, CONVERSE_JSON_NATIVE},
        {"arn:aws:bedrock:us-east-1:123456789012:inference-profile/" NOVA, CONVERSE_NOVA, 0, 0,
         CONVERSE_JSON_TOOL},
        {NOVA_2, CONVERSE_NOVA_2, 0, 0, CONVERSE_JSON_TOOL},
        {"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", CONVERSE_OTHER,
         0, 0, CONVERSE_JSON_ASKED},
        {"mistral.mistral-large-2402-v1:0", CONVERSE_MISTRAL, 0, 0, CONVERSE_JSON_TOOL},
        {LLAMA, CONVERSE_LLAMA, 0, 0, CONVERSE_JSON_ASKED},
        {"openai.gpt-oss-120b-1:0", CONVERSE_GPT_OSS, 0, 0, CONVERSE_JSON_NATIVE},
        {"zai.glm-4.6", CONVERSE_OTHER, 0, 0, CONVERSE_JSON_NATIVE},
        {"my-anthropic.claude-3", CONVERSE_OTHER, 0, 0, CONVERSE_JSON_ASKED},
        {"", CONVERSE_OTHER, 0, 0, CONVERSE_JSON_ASKED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct converse_model m = converse_model_of(slice_of(rows[i].id));
        print_message("%s\n", rows[i].id);
        assert_int_equal(m.family, rows[i].family);
        assert_int_equal(m.claude && m.claude->adaptive, rows[i].adaptive);
        assert_int_equal(m.claude && !m.claude->sampling, rows[i].no_sampling);
        assert_int_equal(m.json, rows[i].json);
    }
}

/* --- writing ---------------------------------------------------------------------------------- */

static const struct policy_provider provider = {.name = {"aws", 3}, .kind = PROVIDER_BEDROCK};

struct written {
    struct arena a;
    struct buf text;
    struct dialect_target target;
    struct dialect_writer w;
    struct dialect_refusal why;
    int err;
};

static void
write_for(struct written *o, const char *model, const struct canon_request *q, bool may_degrade)
{
    memset(o, 0, sizeof(*o));
    arena_init(&o->a, 0);
    buf_init(&o->text, 0);
    o->target = (struct dialect_target){&provider, slice_of(model)};
    o->w = (struct dialect_writer){
        .arena = &o->a, .target = &o->target, .may_degrade = may_degrade, .why = &o->why};
    o->err = dialect_converse.write_request(q, &o->w, &o->text);
    if (o->err == 0) {
        struct json *j = NULL;
        char why[128];
        if (json_parse(buf_slice(&o->text), &j, why, sizeof(why)) != 0)
            fail_msg("%s in %s", why, buf_str(&o->text));
        json_free(j);
    }
}

static void
written_free(struct written *o)
{
    buf_free(&o->text);
    arena_free(&o->a);
}

static void
assert_written(const char *model, const struct canon_request *q, const char *want)
{
    struct written o;
    write_for(&o, model, q, false);
    if (o.err)
        fail_msg("refused: %s", o.why.message);
    if (!slice_is(buf_slice(&o.text), want))
        fail_msg("got  %s\nwant %s", buf_str(&o.text), want);
    written_free(&o);
}

/* That the text is in what is written, or (absent) is not. */
static void
assert_has(const char *model, const struct canon_request *q, const char *part, bool present)
{
    struct written o;
    write_for(&o, model, q, false);
    if (o.err)
        fail_msg("refused: %s", o.why.message);
    if ((strstr(buf_str(&o.text), part) != NULL) != present)
        fail_msg("\"%s\" in %s", part, buf_str(&o.text));
    written_free(&o);
}

/* Refused, naming the member; left out, and noted, where the key allows that. */
static void
assert_refused(const char *model, const struct canon_request *q, const char *member)
{
    struct written o;
    write_for(&o, model, q, false);
    assert_int_equal(o.err, ERR_DENIED);
    assert_string_equal(o.why.member, member);
    assert_non_null(strstr(o.why.message, member));
    assert_non_null(strstr(o.why.message, "'aws'"));
    written_free(&o);
}

static void
assert_degrades(const char *model, const struct canon_request *q, const char *member)
{
    struct written o;
    assert_refused(model, q, member);
    write_for(&o, model, q, true);
    assert_int_equal(o.err, 0);
    assert_int_equal(o.w.degraded_count, 1);
    assert_slice_is(o.w.degraded[0], member);
    written_free(&o);
}

#define TEXT(s)                                                                                    \
    {                                                                                              \
        .kind = PART_TEXT, .text = { s, sizeof(s) - 1 }                                            \
    }
#define S(s)                                                                                       \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }
#define ONE(role_, part)                                                                           \
    {                                                                                              \
        .role = (role_), .parts = &(part), .count = 1                                              \
    }

static const struct canon_part hi = TEXT("hi");
static const struct canon_message hello[] = {ONE(ROLE_USER, hi)};
#define HI "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"}]}]"

static struct canon_request
request_of(const struct canon_message *messages, size_t count)
{
    return (struct canon_request){.messages = messages,
                                  .message_count = count,
                                  .max_tokens = -1,
                                  .choices = 1,
                                  .top_logprobs = -1,
                                  .reasoning = {.budget = -1}};
}

static struct canon_request
hello_request(void)
{
    return request_of(hello, 1);
}

static void
test_minimal(void **state)
{
    struct canon_request q = hello_request();
    (void)state;
    assert_written(CLAUDE, &q, HI ",\"inferenceConfig\":{}}");
    q.max_tokens = 100;
    q.temperature = SLICE("0.5");
    q.top_p = SLICE("0.9");
    q.stops[0] = SLICE("END");
    q.stops[1] = SLICE("");
    q.stop_count = 2;
    assert_written(CLAUDE, &q,
                   HI ",\"inferenceConfig\":{\"maxTokens\":100,\"temperature\":0.5,\"topP\":0.9,"
                      "\"stopSequences\":[\"END\"]}}");
    q.temperature = SLICE("1.7");
    assert_has(CLAUDE, &q, "\"temperature\":1,", true);
    q.top_p = SLICE("1.0");
    assert_has(CLAUDE, &q, "topP", true);
    assert_has("anthropic.claude-haiku-4-5-20251001-v1:0", &q, "topP", false);
    assert_has("anthropic.claude-opus-4-7", &q, "temperature", false);
}

/* Neighbours of one side become one turn; system messages go to their place; blank texts go. */
static void
test_turns(void **state)
{
    static const struct canon_part sys = TEXT("be kind"), later = TEXT("and brief"),
                                   two = TEXT("two"), blank = TEXT(" \n"), answer = TEXT("yes"),
                                   cached = {
                                       .kind = PART_TEXT, .text = S("long"), .cache = CACHE_1H};
    static const struct canon_message messages[] = {
        ONE(ROLE_SYSTEM, sys),       ONE(ROLE_USER, hi),         ONE(ROLE_ASSISTANT, blank),
        ONE(ROLE_USER, two),         ONE(ROLE_DEVELOPER, later), ONE(ROLE_USER, cached),
        ONE(ROLE_ASSISTANT, answer), ONE(ROLE_USER, hi),
    };
    struct canon_request q = request_of(messages, 8);
    (void)state;
#define TURNS(point)                                                                               \
    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"},{\"text\":\"two\"},"         \
    "{\"text\":\"long\"}" point "]},{\"role\":\"assistant\",\"content\":[{\"text\":\"yes\"}]},"    \
    "{\"role\":\"user\",\"content\":[{\"text\":\"hi\"}]}],"                                        \
    "\"system\":[{\"text\":\"be kind\"},{\"text\":\"and brief\"}],\"inferenceConfig\":{}}"
    assert_written(CLAUDE_NEW, &q,
                   TURNS(",{\"cachePoint\":{\"type\":\"default\",\"ttl\":\"1h\"}}"));
    assert_written(NOVA, &q, TURNS(",{\"cachePoint\":{\"type\":\"default\"}}"));
    assert_written(LLAMA, &q, TURNS(""));
}

static void
test_turns_refused(void **state)
{
    static const struct canon_part blank = TEXT("");
    static const struct canon_message assistant[] = {ONE(ROLE_ASSISTANT, hi)},
                                      nothing[] = {ONE(ROLE_USER, blank)},
                                      system[] = {ONE(ROLE_SYSTEM, hi)};
    struct canon_request q = request_of(assistant, 1);
    (void)state;
    assert_refused(CLAUDE, &q, "messages");
    q = request_of(nothing, 1);
    assert_refused(CLAUDE, &q, "messages");
    q = request_of(system, 1); /* which is what the user says then */
    assert_written(CLAUDE, &q, HI ",\"inferenceConfig\":{}}");
}

/* --- tools ------------------------------------------------------------------------------------ */

#define LONG_ID "call_0123456789012345678901234567890123456789012345678901234567890"

static const struct canon_part called[] = {
    {.kind = PART_TOOL_CALL, .id = S("functions.f:0"), .name = S("f"), .arguments = S("")},
    {.kind = PART_TOOL_CALL, .id = S("b"), .name = S("f"), .arguments = S(" {\"x\":1.50} ")},
    {.kind = PART_TOOL_CALL, .id = S("c"), .name = S("f"), .arguments = S("{\"x\"")},
};
static const struct canon_part fine = TEXT("fine"), nil = TEXT("");
static const struct canon_part results[] = {
    {.kind = PART_TOOL_RESULT, .id = S("functions.f:0"), .parts = &fine, .part_count = 1},
    {.kind = PART_TOOL_RESULT, .id = S("b"), .parts = &nil, .part_count = 1, .is_error = true},
};
static const struct canon_part third = {.kind = PART_TOOL_RESULT, .id = S("c")};
static const struct canon_message tool_talk[] = {
    ONE(ROLE_USER, hi),
    {.role = ROLE_ASSISTANT, .parts = called, .count = 3},
    {.role = ROLE_TOOL, .parts = results, .count = 2},
    ONE(ROLE_TOOL, third),
    ONE(ROLE_USER, fine),
};
static const struct canon_tool tools[] = {
    {.kind = TOOL_FUNCTION,
     .name = S("f"),
     .description = S("does f"),
     .schema_raw = S("{\"type\":\"object\"}"),
     .cache = CACHE_5M},
    {.kind = TOOL_FUNCTION, .name = S("g")},
};

/* The same call has the same id on both sides, foreign ids are replaced, results are one turn. */
static void
test_calls_and_results(void **state)
{
    struct canon_request q = request_of(tool_talk, 5);
    struct arena a;
    char want[2048];
    (void)state;
    arena_init(&a, 0);
    struct slice id = canon_fit_id(&a, SLICE("functions.f:0"), 64);
    snprintf(want, sizeof(want),
             "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"}]},"
             "{\"role\":\"assistant\",\"content\":["
             "{\"toolUse\":{\"toolUseId\":\"%.*s\",\"name\":\"f\",\"input\":{}}},"
             "{\"toolUse\":{\"toolUseId\":\"b\",\"name\":\"f\",\"input\":{\"x\":1.50}}},"
             "{\"toolUse\":{\"toolUseId\":\"c\",\"name\":\"f\","
             "\"input\":{\"input\":\"{\\\"x\\\"\"}}}]},"
             "{\"role\":\"user\",\"content\":["
             "{\"toolResult\":{\"toolUseId\":\"%.*s\",\"content\":[{\"text\":\"fine\"}],"
             "\"status\":\"success\"}},"
             "{\"toolResult\":{\"toolUseId\":\"b\",\"content\":[],\"status\":\"error\"}},"
             "{\"toolResult\":{\"toolUseId\":\"c\",\"content\":[],\"status\":\"success\"}},"
             "{\"text\":\"fine\"}]}],"
             "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":"
             "{\"type\":\"object\",\"properties\":{}}}}}]},\"inferenceConfig\":{}}",
             SLICE_ARG(id), SLICE_ARG(id));
    assert_written(CLAUDE, &q, want); /* toolConfig is there, since the history has calls */
    assert_has(LLAMA, &q, "status", false);
    arena_free(&a);
}

static void
test_tools(void **state)
{
    struct canon_request q = hello_request();
    (void)state;
    q.tools = tools;
    q.tool_count = 2;
#define SPECS(point)                                                                               \
    ",\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"description\":\"does f\","        \
    "\"inputSchema\":{\"json\":{\"type\":\"object\"}}}}" point                                     \
    ",{\"toolSpec\":{\"name\":\"g\",\"inputSchema\":{\"json\":{\"type\":\"object\","               \
    "\"properties\":{}}}}}]"
#define POINT ",{\"cachePoint\":{\"type\":\"default\"}}"
#define REST "},\"inferenceConfig\":{}}"
    assert_written(CLAUDE, &q, HI SPECS(POINT) REST);
    assert_written(LLAMA, &q, HI SPECS("") REST);
    q.tool_choice = CHOICE_AUTO;
    assert_written(CLAUDE, &q, HI SPECS(POINT) ",\"toolChoice\":{\"auto\":{}}" REST);
    q.tool_choice = CHOICE_REQUIRED;
    assert_written(CLAUDE, &q, HI SPECS(POINT) ",\"toolChoice\":{\"any\":{}}" REST);
    assert_degrades(LLAMA, &q, "tool_choice");
    q.tool_choice = CHOICE_NAMED;
    q.tool_choice_name = SLICE("g");
    assert_written(CLAUDE, &q, HI SPECS(POINT) ",\"toolChoice\":{\"tool\":{\"name\":\"g\"}}" REST);
    assert_written("mistral.mistral-large-2402-v1:0", &q,
                   HI ",\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"g\",\"inputSchema\":"
                      "{\"json\":{\"type\":\"object\",\"properties\":{}}}}}],"
                      "\"toolChoice\":{\"any\":{}}" REST);
    q.tool_choice = CHOICE_NONE;
    assert_written(CLAUDE, &q, HI ",\"inferenceConfig\":{}}");
    q.messages = tool_talk;
    q.message_count = 5;
    assert_has(CLAUDE, &q, "\"toolChoice\"", false);
    assert_has(CLAUDE, &q, "\"name\":\"g\"", true);
    assert_has(CLAUDE, &q, "\"system\":[{\"text\":\"Do not call any tool", true);
}

static void
test_tools_refused(void **state)
{
    struct canon_tool one = {.kind = TOOL_FUNCTION, .name = SLICE("a.b")};
    struct canon_request q = hello_request();
    char name[66];
    (void)state;
    q.tools = &one;
    q.tool_count = 1;
    assert_refused(CLAUDE, &q, "tools[0]");
    memset(name, 'n', sizeof(name));
    one.name = slice_make(name, 65);
    assert_refused(CLAUDE, &q, "tools[0]");
    one.name.len = 64;
    assert_has(CLAUDE, &q, "toolSpec", true);
    one.strict = TRI_YES;
    assert_has(CLAUDE, &q, "strict", false);
    assert_has(CLAUDE_NEW, &q, "\"strict\":true", true);
    one = (struct canon_tool){.kind = TOOL_CUSTOM, .name = SLICE("c")};
    assert_degrades(CLAUDE, &q, "tools[0]");
    one = (struct canon_tool){.kind = TOOL_HOSTED, .raw = SLICE("{\"type\":\"web_search\"}")};
    assert_degrades(CLAUDE, &q, "tools[0]");
}

/* --- media ------------------------------------------------------------------------------------ */

static void
test_images(void **state)
{
    struct canon_part image = {.kind = PART_IMAGE,
                               .media = {.mime = SLICE("image/png"), .data = SLICE("AAAA")}};
    const struct canon_message m = ONE(ROLE_USER, image);
    struct canon_request q = request_of(&m, 1);
    struct dialect_target t = {&provider, SLICE(CLAUDE)};
    (void)state;
    assert_has(CLAUDE, &q, "[{\"image\":{\"format\":\"png\",\"source\":{\"bytes\":\"AAAA\"}}}]",
               true);
    assert_false(dialect_converse.wants_inline(&t, &image));
    image.media = (struct canon_media){.url = SLICE("s3://b/x.jpg")};
    assert_has(NOVA, &q,
               "{\"image\":{\"format\":\"jpeg\",\"source\":{\"s3Location\":{\"uri\":"
               "\"s3://b/x.jpg\"}}}}",
               true);
    assert_false(dialect_converse.wants_inline(&t, &image));
    image.media = (struct canon_media){.url = SLICE("https://h/x.png")};
    assert_true(dialect_converse.wants_inline(&t, &image));
    assert_refused(CLAUDE, &q, "messages[0].content[0]");
    image.media = (struct canon_media){.mime = SLICE("image/tiff"), .data = SLICE("AAAA")};
    assert_refused(CLAUDE, &q, "messages[0].content[0]");
    image.media = (struct canon_media){.file_id = SLICE("file-1")};
    assert_refused(CLAUDE, &q, "messages[0].content[0]");
    image = (struct canon_part){.kind = PART_AUDIO, .media = {.data = SLICE("AAAA")}};
    assert_refused(CLAUDE, &q, "messages[0].content[0]");
}

/* Names are clean and different, a text stands beside, plain text travels as a file. */
static void
test_documents(void **state)
{
    static const struct canon_part files[] = {
        {.kind = PART_FILE,
         .media = {.mime = S("application/pdf"), .data = S("AAAA"), .name = S("my_file.v2.pdf")}},
        {.kind = PART_FILE, .media = {.data = S("BBBB"), .name = S("my_file.v2.csv")}},
        {.kind = PART_FILE, .media = {.text = S("abc"), .name = S("..")}},
    };
    static const struct canon_message m = {.role = ROLE_USER, .parts = files, .count = 3};
    static const struct canon_part more[] = {
        TEXT("look"), {.kind = PART_FILE, .media = {.mime = S("text/html"), .data = S("C")}}};
    static const struct canon_message with_text = {.role = ROLE_USER, .parts = more, .count = 2};
    struct canon_request q = request_of(&m, 1);
    (void)state;
    assert_written(
        CLAUDE, &q,
        "{\"messages\":[{\"role\":\"user\",\"content\":["
        "{\"document\":{\"format\":\"pdf\",\"name\":\"my file v2 1\",\"source\":{\"bytes\":"
        "\"AAAA\"}}},"
        "{\"document\":{\"format\":\"csv\",\"name\":\"my file v2 2\",\"source\":{\"bytes\":"
        "\"BBBB\"}}},"
        "{\"document\":{\"format\":\"txt\",\"name\":\"Document 3\",\"source\":{\"bytes\":"
        "\"YWJj\"}}},"
        "{\"text\":\"See the attached document.\"}]}],\"inferenceConfig\":{}}");
    q = request_of(&with_text, 1);
    assert_has(CLAUDE, &q, "See the attached", false);
    assert_has(CLAUDE, &q, "\"name\":\"Document 1\"", true);
}

/* --- reasoning -------------------------------------------------------------------------------- */

/* Signatures and redacted reasoning go back as they came; foreign reasoning does not. */
static void
test_reasoning_replay(void **state)
{
    static const struct canon_part parts[] = {
        {.kind = PART_REASONING,
         .origin = DIALECT_CONVERSE,
         .text = S("so"),
         .signature = S("c2ln")},
        {.kind = PART_REASONING, .origin = DIALECT_CONVERSE, .encrypted = S("cmVk")},
        {.kind = PART_REASONING, .origin = DIALECT_ANTHROPIC, .text = S("x"), .signature = S("y")},
        {.kind = PART_REASONING, .origin = DIALECT_CONVERSE, .text = S("unsigned")},
        TEXT("yes"),
    };
    static const struct canon_message messages[] = {
        ONE(ROLE_USER, hi),
        {.role = ROLE_ASSISTANT, .parts = parts, .count = 5},
        ONE(ROLE_USER, hi)};
    struct canon_request q = request_of(messages, 3);
    (void)state;
#define SIGNED                                                                                     \
    "[{\"reasoningContent\":{\"reasoningText\":{\"text\":\"so\",\"signature\":\"c2ln\"}}},"        \
    "{\"reasoningContent\":{\"redactedContent\":\"cmVk\"}},"
    assert_has(CLAUDE, &q, SIGNED "{\"text\":\"yes\"}]", true);
    assert_has("moonshot.kimi-k2-thinking", &q,
               SIGNED
               "{\"reasoningContent\":{\"reasoningText\":{\"text\":\"unsigned\"}}},{\"text\"",
               true);
}

static void
assert_thinking(const char *model, const char *effort, int64_t budget, int64_t max_tokens,
                const char *want)
{
    struct canon_request q = hello_request();
    q.reasoning.effort = slice_of(effort);
    q.reasoning.budget = budget;
    q.max_tokens = max_tokens;
    q.temperature = SLICE("0.3");
    char part[256];
    snprintf(part, sizeof(part), "\"additionalModelRequestFields\":%s,\"inferenceConfig\"", want);
    assert_has(model, &q, part, true);
    bool is_claude = strstr(model, "claude") != NULL;
    assert_has(model, &q, "temperature", !is_claude);
}

static void
test_thinking(void **state)
{
    struct canon_request q = hello_request();
    (void)state;
    assert_thinking(CLAUDE, "low", -1, -1,
                    "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}}");
    assert_thinking(CLAUDE, NULL, 5000, 9000,
                    "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":5000}}");
    assert_thinking(CLAUDE, "high", -1, 4000,
                    "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":3999}}");
    assert_thinking(CLAUDE, NULL, 5, -1,
                    "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}}");
    assert_thinking(
        CLAUDE_NEW, "minimal", -1, -1,
        "{\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"low\"}}");
    assert_thinking(
        CLAUDE_NEW, "max", -1, -1,
        "{\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"high\"}}");
    assert_thinking(
        "us.anthropic.claude-opus-4-7", "xhigh", -1, -1,
        "{\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"xhigh\"}}");
    assert_thinking(NOVA_2, "max", -1, -1,
                    "{\"reasoningConfig\":{\"type\":\"enabled\",\"maxReasoningEffort\":\"high\"}}");
    assert_thinking("openai.gpt-oss-20b-1:0", "medium", -1, -1,
                    "{\"reasoning_effort\":\"medium\"}");
    q.reasoning.effort = SLICE("none");
    assert_has(CLAUDE, &q, "thinking", false);
    assert_has(LLAMA, &q, "thinking", false);
    assert_has("anthropic.claude-sonnet-5", &q, "{\"thinking\":{\"type\":\"disabled\"}}", true);
    q.reasoning.effort = SLICE("high");
    assert_degrades(LLAMA, &q, "reasoning_effort");
    q.max_tokens = 1025;
    assert_has(CLAUDE, &q, "\"budget_tokens\":1024", true);
    q.max_tokens = 1024;
    assert_degrades(CLAUDE, &q, "reasoning_effort");
    q.max_tokens = -1;
    assert_degrades("anthropic.claude-3-5-sonnet-20241022-v2:0", &q, "reasoning_effort");
    assert_degrades("anthropic.claude-v2:1", &q, "reasoning_effort");
    q.messages = tool_talk; /* whose call has lost its thinking */
    q.message_count = 5;
    assert_degrades(CLAUDE, &q, "reasoning_effort");
    assert_has(CLAUDE_NEW, &q, "adaptive", true);
    q = hello_request();
    q.reasoning.effort = SLICE("high");
    q.tools = tools;
    q.tool_count = 2;
    q.tool_choice = CHOICE_REQUIRED;
    assert_degrades(CLAUDE, &q, "tool_choice");
}

static void
test_top_k(void **state)
{
    struct canon_request q = hello_request();
    (void)state;
    q.top_k = SLICE("40");
    assert_has(CLAUDE, &q, "\"additionalModelRequestFields\":{\"top_k\":40}", true);
    assert_has(NOVA, &q, "\"additionalModelRequestFields\":{\"inferenceConfig\":{\"topK\":40}}",
               true);
    assert_degrades(LLAMA, &q, "top_k");
}

/* --- output ----------------------------------------------------------------------------------- */

static void
test_structured_output(void **state)
{
    struct canon_request q = hello_request();
    struct written o;
    (void)state;
    q.format = FORMAT_SCHEMA;
    q.format_name = SLICE("city");
    q.format_schema_raw = SLICE("{\"type\":\"object\",\"x\":1}");
    assert_has(CLAUDE_NEW, &q,
               "\"outputConfig\":{\"textFormat\":{\"type\":\"json_schema\",\"structure\":"
               "{\"jsonSchema\":{\"name\":\"city\",\"schema\":\"{\\\"type\\\":\\\"object\\\","
               "\\\"x\\\":1}\"}}}}",
               true);
    write_for(&o, CLAUDE_NEW, &q, false);
    assert_false(o.w.json_by_tool);
    written_free(&o);
    write_for(&o, NOVA, &q, false);
    assert_true(o.w.json_by_tool);
    assert_non_null(
        strstr(buf_str(&o.text),
               "{\"toolSpec\":{\"name\":\"respond_with_json\",\"description\":\"Give the "
               "answer by calling this tool.\",\"inputSchema\":{\"json\":{\"type\":"
               "\"object\",\"x\":1}}}}],\"toolChoice\":{\"tool\":{\"name\":"
               "\"respond_with_json\"}}"));
    written_free(&o);
    assert_has(LLAMA, &q, "\"system\":[{\"text\":\"Answer with one JSON object that is valid",
               true);
    q.tools = tools;
    q.tool_count = 2;
    assert_has(NOVA, &q, "\"toolChoice\":{\"any\":{}}", true);
    q.reasoning.effort = SLICE("low");
    assert_has(CLAUDE, &q, "respond_with_json", false); /* it thinks: no call can be forced */
    assert_has(CLAUDE, &q, "\"system\":[{\"text\":\"Answer with one JSON object that is", true);
    q.reasoning.effort = (struct slice){0};
    q.format_schema_raw = SLICE("{\"type\":\"array\"}");
    assert_has(NOVA, &q, "respond_with_json", false);
    q.format = FORMAT_JSON;
    assert_has(NOVA, &q, "respond_with_json", false);
    assert_has(NOVA, &q, "\"system\":[{\"text\":\"Answer with one JSON object and", true);
}

static void
test_tier_and_own_members(void **state)
{
    static const struct canon_extra extras[] = {
        {S("guardrailConfig"), S("{\"guardrailIdentifier\":\"g\"}")},
        {S("stream_options"), S("{}")},
    };
    struct canon_request q = hello_request();
    (void)state;
    q.service_tier = SLICE("auto");
    assert_has(NOVA, &q, "serviceTier", false);
    q.service_tier = SLICE("flex");
    q.extras = extras;
    q.extra_count = 2;
    assert_written(NOVA, &q,
                   HI ",\"inferenceConfig\":{},\"serviceTier\":{\"type\":\"flex\"},"
                      "\"guardrailConfig\":{\"guardrailIdentifier\":\"g\"}}");
}

/* Both go into requestMetadata, as far as AWS takes them. */
static void
test_metadata(void **state)
{
    char text[1024];
    struct canon_request q = hello_request();
    (void)state;
    q.user = SLICE("ann@x.example");
    assert_written(NOVA, &q,
                   HI ",\"inferenceConfig\":{},\"requestMetadata\":{\"user_id\":"
                      "\"ann@x.example\"}}");
    q.metadata_raw = SLICE("{ \"a\": \"b c\" }");
    assert_has(NOVA, &q, "\"requestMetadata\":{\"a\": \"b c\",\"user_id\":", true);
    q.metadata_raw = SLICE("{\"user_id\":\"bob\"}");
    assert_has(NOVA, &q, "\"requestMetadata\":{\"user_id\":\"bob\"}}", true);
    q.user = (struct slice){0};
    q.metadata_raw = SLICE("{}");
    assert_has(NOVA, &q, "requestMetadata", false);
    q.metadata_raw = SLICE("{\"a\":\"b\\n\"}");
    assert_degrades(NOVA, &q, "metadata");
    q.metadata_raw = SLICE("{\"a\":1}");
    assert_degrades(NOVA, &q, "metadata");
    for (int extra = 0; extra < 2; extra++) {
        size_t n = 0;
        for (int i = 0; i < 16 + extra; i++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"k%d\":\"\"", i ? "," : "{", i);
        snprintf(text + n, sizeof(text) - n, "}");
        q.metadata_raw = slice_of(text);
        if (extra)
            assert_degrades(NOVA, &q, "metadata");
        else
            assert_has(NOVA, &q, "\"k15\":\"\"}", true);
    }
    q = hello_request();
    memset(text, 'u', 257);
    q.user = slice_make(text, 256);
    assert_has(NOVA, &q, "user_id", true);
    q.user.len = 257;
    assert_degrades(NOVA, &q, "user");
}

static void
test_features_refused(void **state)
{
    static const struct canon_extra extra = {S("prediction"), S("{}")};
    struct canon_request q = hello_request();
    (void)state;
#define FEATURE(set, member)                                                                       \
    do {                                                                                           \
        q = hello_request();                                                                       \
        set;                                                                                       \
        assert_degrades(CLAUDE, &q, member);                                                       \
    } while (0)
    FEATURE(q.frequency_penalty = SLICE("0.1"), "frequency_penalty");
    FEATURE(q.presence_penalty = SLICE("-1"), "presence_penalty");
    FEATURE(q.seed = SLICE("7"), "seed");
    FEATURE(q.choices = 2, "n");
    FEATURE(q.logprobs = TRI_YES, "logprobs");
    FEATURE(q.logit_bias_raw = SLICE("{\"1\":2}"), "logit_bias");
    FEATURE((q.parallel_tools = TRI_NO, q.tools = tools, q.tool_count = 1), "parallel_tool_calls");
    FEATURE(q.verbosity = SLICE("low"), "verbosity");
    FEATURE((q.extras = &extra, q.extra_count = 1), "prediction");
    q = hello_request();
    q.frequency_penalty = SLICE("0.0");
    q.presence_penalty = SLICE("0");
    q.parallel_tools = TRI_NO;
    q.logit_bias_raw = SLICE("{}");
    q.verbosity = SLICE("medium");
    assert_written(CLAUDE, &q, HI ",\"inferenceConfig\":{}}");
}

static void
test_address(void **state)
{
    struct dialect_target t = {&provider, SLICE("arn:aws:bedrock:us-east-1:1:p/us.x-v1:0 é")};
    struct dialect_address got;
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    assert_int_equal(dialect_converse.address(&t, false, &a, &got), 0);
    assert_slice_is(
        got.path, "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ap%2Fus.x-v1%3A0%20%C3%A9/converse");
    t.model = SLICE("amazon.nova-pro-v1");
    assert_int_equal(dialect_converse.address(&t, true, &a, &got), 0);
    assert_slice_is(got.path, "/model/amazon.nova-pro-v1/converse-stream");
    arena_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_minimal),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_turns_refused),
        cmocka_unit_test(test_calls_and_results),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_tools_refused),
        cmocka_unit_test(test_images),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_reasoning_replay),
        cmocka_unit_test(test_thinking),
        cmocka_unit_test(test_top_k),
        cmocka_unit_test(test_structured_output),
        cmocka_unit_test(test_tier_and_own_members),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_features_refused),
        cmocka_unit_test(test_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
