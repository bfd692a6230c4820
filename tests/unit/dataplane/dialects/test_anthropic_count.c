#include "tests/unit/check.h"

#include "dataplane/dialects/anthropic_count.h"
#include "lib/json/view.h"

static struct arena arena;

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static const struct policy_provider anthropic = {.name = {"a", 1}, .kind = PROVIDER_ANTHROPIC};
static const struct policy_provider gemini = {.name = {"g", 1}, .kind = PROVIDER_GEMINI};
static const struct policy_provider bedrock = {.name = {"b", 1}, .kind = PROVIDER_BEDROCK};
static const struct policy_provider openai = {.name = {"o", 1}, .kind = PROVIDER_OPENAI};

static void
test_no_limit_of_output_is_needed(void **state)
{
    (void)state;
    struct request_brief b;
    struct dialect_refusal why = {0};
    struct slice body = SLICE("{\"model\":\"m\",\"messages\":[],\"stream\":true}");
    assert_int_equal(anthropic_count_brief(body, &arena, &b, &why), 0);
    assert_slice_is(b.model, "m");
    assert_false(b.stream);
    assert_int_equal(anthropic_count_brief(SLICE("{\"model\":\"m\"}"), &arena, &b, &why),
                     ERR_SYNTAX);
    assert_string_equal(why.member, "messages");
}

static void
test_who_counts(void **state)
{
    (void)state;
    struct dialect_address to;
    struct dialect_target t = {.provider = &anthropic, .model = SLICE("claude")};
    assert_int_equal(anthropic_count_way(&t), COUNT_UNTOUCHED);
    assert_int_equal(anthropic_count_address(&t, &arena, &to), 0);
    assert_slice_is(to.path, "/messages/count_tokens");
    assert_int_equal(to.field_count, 1);
    t.provider = &openai;
    assert_int_equal(anthropic_count_way(&t), COUNT_ESTIMATE);
    t.provider = &bedrock; /* for Claude only */
    t.model = SLICE("amazon.nova-lite-v1:0");
    assert_int_equal(anthropic_count_way(&t), COUNT_ESTIMATE);
}

/* The body for a provider that counts by itself, in the arena. */
static struct slice
asked(const struct dialect_target *t, const char *want_path)
{
    struct dialect_address to;
    struct dialect_refusal why = {.member = ""};
    struct dialect_writer w = {.arena = &arena, .target = t, .why = &why};
    struct canon_part part = {.kind = PART_TEXT, .text = SLICE("x")};
    struct canon_message m = {.role = ROLE_USER, .parts = &part, .count = 1};
    struct canon_request q = {.origin = DIALECT_ANTHROPIC,
                              .max_tokens = -1,
                              .choices = 1,
                              .top_logprobs = -1,
                              .reasoning.budget = -1,
                              .messages = &m,
                              .message_count = 1};
    struct buf b;
    assert_int_equal(anthropic_count_way(t), COUNT_ASK);
    assert_int_equal(anthropic_count_address(t, &arena, &to), 0);
    assert_slice_is(to.path, want_path);
    buf_init(&b, 0);
    assert_int_equal(anthropic_count_write_request(&q, &w, &b), 0);
    struct slice s = arena_copy(&arena, buf_slice(&b));
    buf_free(&b);
    return s;
}

static void
test_who_counts_by_itself_is_asked(void **state)
{
    (void)state;
    struct dialect_target t = {.provider = &gemini, .model = SLICE("gemini-2.5-pro")};
    struct json_view v = json_view_of(asked(&t, "/models/gemini-2.5-pro:countTokens"));
    v = json_view_get(v, "generateContentRequest");
    assert_true(json_view_is(json_view_get(v, "model"), "models/gemini-2.5-pro"));
    assert_int_equal(json_view_count(json_view_get(v, "contents")), 1);
    t = (struct dialect_target){.provider = &bedrock, .model = SLICE("anthropic.claude-x")};
    v = json_view_of(asked(&t, "/model/anthropic.claude-x/count-tokens"));
    v = json_view_get(json_view_get(v, "input"), "converse");
    assert_int_equal(json_view_count(json_view_get(v, "messages")), 1);
    assert_int_equal(json_view_get(v, "inferenceConfig").kind, JSON_ABSENT);
}

static void
test_answers_are_read(void **state)
{
    (void)state;
    static const struct {
        const struct policy_provider *provider;
        const char *body;
        int err;
        int64_t want;
    } rows[] = {
        {&anthropic, "{\"input_tokens\":16}", 0, 16},
        {&gemini, "{\"totalTokens\":5,\"promptTokensDetails\":[]}", 0, 5},
        {&anthropic, "{\"input_tokens\":\"16\"}", ERR_PROTOCOL, 0},
        {&anthropic, "{\"input_tokens\":-1}", ERR_PROTOCOL, 0},
        {&anthropic, "{\"inputTokens\":1}", ERR_PROTOCOL, 0},
        {&anthropic, "[16]", ERR_PROTOCOL, 0},
        {&anthropic, "", ERR_PROTOCOL, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dialect_target t = {.provider = rows[i].provider};
        int64_t n = 0;
        assert_int_equal(anthropic_count_read_answer(&t, slice_of(rows[i].body), &n), rows[i].err);
        if (!rows[i].err)
            assert_int_equal(n, rows[i].want);
    }
}

static int64_t
estimate(const char *text, size_t tools)
{
    struct canon_part part = {.kind = PART_TEXT, .text = slice_of(text)};
    struct canon_message m = {.role = ROLE_USER, .parts = &part, .count = 1};
    struct canon_tool tool = {.name = SLICE("f"), .schema_raw = SLICE("{\"type\":\"object\"}")};
    struct canon_request q = {
        .messages = &m, .message_count = 1, .tools = &tool, .tool_count = tools};
    return anthropic_count_estimate(&q);
}

static void
test_estimates_grow_with_what_is_said(void **state)
{
    (void)state;
    struct buf b;
    int64_t n = estimate("The quick brown fox jumps over the lazydog.", 0);
    assert_in_range(n, 10, 30); /* counted: 19 */
    assert_true(estimate("x", 1) > estimate("x", 0));
    assert_true(estimate("\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97", 0) >
                estimate("abcd", 0));
    buf_init(&b, 0);
    assert_int_equal(anthropic_count_write(19, &b), 0);
    assert_slice_is(buf_slice(&b), "{\"input_tokens\":19}");
    buf_free(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_no_limit_of_output_is_needed, tear_down),
        cmocka_unit_test_teardown(test_who_counts, tear_down),
        cmocka_unit_test_teardown(test_who_counts_by_itself_is_asked, tear_down),
        cmocka_unit_test(test_answers_are_read),
        cmocka_unit_test(test_estimates_grow_with_what_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
