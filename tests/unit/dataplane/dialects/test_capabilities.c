/*
 * The capability table against what the writers do: for each kind of provider and each feature, a
 * request that asks for it is refused if and only if its row says so; where the key allows leaving
 * things out, the same request is written and the member is named.
 */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"

static struct canon_part hello = {.kind = PART_TEXT, .text = SLICE("hi")};
static struct canon_message turns[4];
static struct canon_part parts[4], inner[1];
static struct canon_tool tools[1];

static void
add_user(struct canon_request *q, const struct canon_part *list, size_t count)
{
    turns[q->message_count++] =
        (struct canon_message){.role = ROLE_USER, .parts = list, .count = count};
}

static void
add_media(struct canon_request *q, enum canon_part_kind kind, struct canon_media media)
{
    parts[0] = hello;
    parts[1] = (struct canon_part){.kind = kind, .media = media};
    q->message_count = 0;
    add_user(q, parts, 2);
}

static void
add_tool(struct canon_request *q)
{
    tools[0] = (struct canon_tool){
        .kind = TOOL_FUNCTION,
        .name = SLICE("f"),
        .description = SLICE("d"),
        .schema_raw =
            SLICE("{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"a\"],"
                  "\"properties\":{\"a\":{\"type\":\"string\"}}}"),
    };
    q->tools = tools;
    q->tool_count = 1;
}

static void
add_result(struct canon_request *q, struct canon_part content)
{
    add_tool(q);
    parts[2] = (struct canon_part){.kind = PART_TOOL_CALL,
                                   .id = SLICE("call_1"),
                                   .name = SLICE("f"),
                                   .arguments = SLICE("{}")};
    turns[q->message_count++] =
        (struct canon_message){.role = ROLE_ASSISTANT, .parts = &parts[2], .count = 1};
    inner[0] = content;
    parts[3] = (struct canon_part){.kind = PART_TOOL_RESULT,
                                   .id = SLICE("call_1"),
                                   .name = SLICE("f"),
                                   .parts = inner,
                                   .part_count = 1};
    turns[q->message_count++] =
        (struct canon_message){.role = ROLE_TOOL, .parts = &parts[3], .count = 1};
}

/* False: no request asks for the feature by itself. */
static bool
ask(struct canon_request *q, enum feature f)
{
    static const struct canon_part system = {.kind = PART_TEXT, .text = SLICE("be brief")};
    switch (f) {
    case FEATURE_SYSTEM:
        turns[1] = turns[0];
        turns[0] = (struct canon_message){.role = ROLE_SYSTEM, .parts = &system, .count = 1};
        q->message_count = 2;
        return true;
    case FEATURE_MID_SYSTEM:
        turns[q->message_count++] =
            (struct canon_message){.role = ROLE_SYSTEM, .parts = &system, .count = 1};
        add_user(q, &hello, 1);
        return true;
    case FEATURE_STREAM:
    case FEATURE_STREAM_USAGE:
        return q->stream = q->include_usage = true;
    case FEATURE_TOOLS:
    case FEATURE_PARALLEL_TOOLS:
        add_tool(q);
        return true;
    case FEATURE_PARALLEL_TOOLS_OFF:
        add_tool(q);
        q->parallel_tools = TRI_NO;
        return true;
    case FEATURE_CHOICE_NONE:
        add_tool(q);
        q->tool_choice = CHOICE_NONE;
        return true;
    case FEATURE_CHOICE_REQUIRED:
        add_tool(q);
        q->tool_choice = CHOICE_REQUIRED;
        return true;
    case FEATURE_CHOICE_NAMED:
        add_tool(q);
        q->tool_choice = CHOICE_NAMED;
        q->tool_choice_name = SLICE("f");
        return true;
    case FEATURE_STRICT_TOOLS:
        add_tool(q);
        tools[0].strict = TRI_YES;
        return true;
    case FEATURE_CUSTOM_TOOLS:
        add_tool(q);
        tools[0] = (struct canon_tool){.kind = TOOL_CUSTOM, .name = SLICE("c")};
        return true;
    case FEATURE_TOOL_RESULT_IMAGE:
        add_result(
            q, (struct canon_part){.kind = PART_IMAGE,
                                   .media = {.mime = SLICE("image/png"), .data = SLICE("AAAA")}});
        return true;
    case FEATURE_JSON_OBJECT:
        q->format = FORMAT_JSON;
        return true;
    case FEATURE_JSON_SCHEMA:
        q->format = FORMAT_SCHEMA;
        q->format_name = SLICE("n");
        q->format_schema_raw =
            SLICE("{\"type\":\"object\",\"additionalProperties\":false,"
                  "\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"string\"}}}");
        return true;
    case FEATURE_IMAGE_DATA:
        add_media(q, PART_IMAGE,
                  (struct canon_media){.mime = SLICE("image/png"), .data = SLICE("AAAA")});
        return true;
    case FEATURE_AUDIO_INPUT:
        add_media(q, PART_AUDIO,
                  (struct canon_media){.mime = SLICE("audio/wav"), .data = SLICE("AAAA")});
        return true;
    case FEATURE_PDF:
        add_media(q, PART_FILE,
                  (struct canon_media){.mime = SLICE("application/pdf"),
                                       .data = SLICE("AAAA"),
                                       .name = SLICE("a.pdf")});
        return true;
    case FEATURE_REASONING_EFFORT:
        q->reasoning.effort = SLICE("low");
        q->max_tokens = 4096;
        return true;
    case FEATURE_TEMPERATURE:
        q->temperature = SLICE("0.5");
        return true;
    case FEATURE_TOP_P:
        q->top_p = SLICE("0.5");
        return true;
    case FEATURE_TOP_K:
        q->top_k = SLICE("5");
        return true;
    case FEATURE_PENALTIES:
        q->frequency_penalty = SLICE("0.5");
        return true;
    case FEATURE_SEED:
        q->seed = SLICE("7");
        return true;
    case FEATURE_STOP:
        q->stops[0] = SLICE("END");
        q->stop_count = 1;
        return true;
    case FEATURE_CHOICES:
        q->choices = 2;
        return true;
    case FEATURE_LOGPROBS:
        q->logprobs = TRI_YES;
        return true;
    case FEATURE_LOGIT_BIAS:
        q->logit_bias_raw = SLICE("{\"5\":1}");
        return true;
    case FEATURE_METADATA:
        q->metadata_raw = SLICE("{\"k\":\"v\"}");
        return true;
    case FEATURE_USER:
        q->user = SLICE("u1");
        return true;
    case FEATURE_VERBOSITY:
        q->verbosity = SLICE("low");
        return true;
    default:
        return false; /* told by what comes back, or by more than a member */
    }
}

/* A model of each kind that can do what the kind can. */
static struct slice
model_of(enum provider_kind kind)
{
    switch (kind) {
    case PROVIDER_ANTHROPIC:
        return SLICE("claude-sonnet-4-5");
    case PROVIDER_BEDROCK:
        return SLICE("anthropic.claude-sonnet-4-5-20250929-v1:0");
    case PROVIDER_GEMINI:
    case PROVIDER_VERTEX:
        return SLICE("gemini-2.5-pro");
    case PROVIDER_COHERE:
        return SLICE("command-a-03-2025");
    default:
        return SLICE("some-model");
    }
}

static int
write(enum provider_kind kind, enum feature f, bool may_degrade, size_t *ret_degraded,
      struct dialect_refusal *why)
{
    const struct policy_provider provider = {.name = SLICE("p"), .kind = kind};
    const struct dialect_target target = {.provider = &provider, .model = model_of(kind)};
    struct canon_request q = {.origin = DIALECT_CHAT,
                              .model = SLICE("m"),
                              .max_tokens = 100,
                              .choices = 1,
                              .top_logprobs = -1,
                              .reasoning = {.budget = -1}};
    struct arena a;
    struct buf into;
    arena_init(&a, 0);
    buf_init(&into, 0);
    add_user(&q, &hello, 1);
    q.messages = turns;
    struct dialect_writer w = {
        .arena = &a, .target = &target, .may_degrade = may_degrade, .why = why};
    int err = ask(&q, f) ? dialect_for(&provider, DIALECT_CHAT)->write_request(&q, &w, &into) : 1;
    *ret_degraded = w.degraded_count;
    buf_free(&into);
    arena_free(&a);
    return err;
}

static void
test_every_row(void **state)
{
    unsigned asked = 0, bad = 0;
    (void)state;
    for (enum provider_kind k = 1; k < PROVIDER_KINDS; k++)
        for (enum feature f = 0; f < FEATURES; f++) {
            struct dialect_refusal why = {.message = ""};
            size_t degraded;
            int err = write(k, f, false, &degraded, &why);
            if (err == 1)
                continue;
            asked++;
            bool can = capability_of(k, f) != UNSUPPORTED;
            if (can != (err == 0) || (err && err != ERR_DENIED)) {
                print_message("%s, %s: the table says %s, the writer %d (%s)\n",
                              provider_kind_name(k), feature_names[f],
                              capability_name(capability_of(k, f)), err, why.message);
                bad++;
            }
            if (err == ERR_DENIED && (!why.member[0] || !why.message[0]))
                fail_msg("%s, %s: names no member", provider_kind_name(k), feature_names[f]);
            err = write(k, f, true, &degraded, &why);
            if (err || (!can && degraded == 0)) {
                print_message("%s, %s: degrading gives %d, %zu left out (%s)\n",
                              provider_kind_name(k), feature_names[f], err, degraded, why.message);
                bad++;
            }
        }
    assert_true(asked > 500);
    assert_int_equal(bad, 0);
}

static void
test_between_client_and_kind(void **state)
{
    (void)state;
    assert_int_equal(capability_between(DIALECT_CHAT, PROVIDER_ANTHROPIC, FEATURE_JSON_SCHEMA),
                     EMULATED);
    assert_int_equal(capability_between(DIALECT_ANTHROPIC, PROVIDER_ANTHROPIC, FEATURE_JSON_SCHEMA),
                     EXACT);
    assert_int_equal(capability_between(DIALECT_ANTHROPIC, PROVIDER_OPENAI, FEATURE_SEED),
                     UNSUPPORTED);
    assert_int_equal(capability_between(DIALECT_CHAT, PROVIDER_ANTHROPIC, FEATURE_SEED),
                     UNSUPPORTED);
}

static void
test_told_as_json(void **state)
{
    bool used[PROVIDER_KINDS] = {[PROVIDER_COHERE] = true};
    struct buf b;
    struct json_span root;
    struct json_error why;
    (void)state;
    buf_init(&b, 0);
    assert_int_equal(capabilities_write(used, &b), 0);
    assert_int_equal(json_scan(buf_slice(&b), &json_limits_default, NULL, 0, NULL, &root, &why), 0);
    assert_non_null(strstr(buf_str(&b), "\"kind\":\"cohere\""));
    assert_null(strstr(buf_str(&b), "\"kind\":\"openai\""));
    assert_non_null(strstr(buf_str(&b), "\"gemini\":{"));
    buf_free(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_between_client_and_kind),
        cmocka_unit_test(test_told_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
