/* Responses on the untouched way: what is read of a request, where it goes, what its events say. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"

static struct arena a;

static int
fresh(void **state)
{
    (void)state;
    arena_init(&a, 0);
    return 0;
}

static int
done(void **state)
{
    (void)state;
    arena_free(&a);
    return 0;
}

static int
brief(const char *body, struct request_brief *ret, struct dialect_refusal *why)
{
    struct dialect_call call = {.path_stream = false};
    memset(why, 0, sizeof(*why));
    return dialect_responses.brief(slice_of(body), &call, &a, ret, why);
}

static void
test_brief(void **state)
{
    (void)state;
    struct request_brief b;
    struct dialect_refusal why;
    const char *body = "{\"model\":\"gpt-\\u0035\",\"input\":\"hi\",\"stream\":true,"
                       "\"max_output_tokens\":64,\"tools\":[{}],\"user\":\"u\"}";
    assert_int_equal(brief(body, &b, &why), 0);
    assert_slice_is(b.model, "gpt-5");
    assert_slice_is(json_raw(slice_of(body), b.model_at), "\"gpt-\\u0035\"");
    assert_true(b.stream);
    assert_int_equal(b.max_tokens, 64);
    assert_string_equal(b.max_tokens_member, "max_output_tokens");
    assert_false(b.max_tokens_odd);
    assert_string_equal(b.tools_member, "tools");
    assert_slice_is(b.end_user, "u");
    assert_int_equal(b.choices, 1);
    assert_int_equal(b.stream_options_at.kind, JSON_ABSENT);
}

static void
test_brief_of_little(void **state)
{
    (void)state;
    struct request_brief b;
    struct dialect_refusal why;
    assert_int_equal(brief("{\"tools\":[],\"stream\":null,\"safety_identifier\":\"s\","
                           "\"user\":\"u\",\"max_output_tokens\":null}",
                           &b, &why),
                     0);
    assert_int_equal(b.model.len, 0);
    assert_int_equal(b.model_at.kind, JSON_ABSENT);
    assert_false(b.stream);
    assert_null(b.tools_member);
    assert_null(b.max_tokens_member);
    assert_slice_is(b.end_user, "s");
}

static void
test_brief_of_an_odd_limit(void **state)
{
    (void)state;
    struct request_brief b;
    struct dialect_refusal why;
    assert_int_equal(brief("{\"max_output_tokens\":-1}", &b, &why), 0);
    assert_true(b.max_tokens_odd);
    assert_int_equal(b.max_tokens, 0);
    assert_int_equal(brief("{\"max_output_tokens\":\"9\"}", &b, &why), 0);
    assert_true(b.max_tokens_odd);
}

static void
test_brief_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *body, *member, *message;
        bool duplicate;
    } rows[] = {
        {"{\"model\":7}", "model", "'model' must be a text.", false},
        {"{\"stream\":1}", "stream", "'stream' must be true or false.", false},
        {"{\"input\":1,\"input\":2}", "input", "The member 'input' appears more than once", true},
        {"{\"safety_identifier\":1,\"safety_identifier\":2}", "safety_identifier", "The member",
         true},
        {"{", "", "The body is not valid JSON", false},
        {"[]", "", "The body is not valid JSON", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct request_brief b;
        struct dialect_refusal why;
        assert_int_equal(brief(rows[i].body, &b, &why), ERR_SYNTAX);
        assert_string_equal(why.member, rows[i].member);
        assert_true(strncmp(why.message, rows[i].message, strlen(rows[i].message)) == 0);
        assert_int_equal(why.duplicate, rows[i].duplicate);
    }
}

static void
test_address(void **state)
{
    (void)state;
    static const struct {
        enum provider_kind kind;
        const char *prefix, *version, *path;
    } rows[] = {
        {PROVIDER_OPENAI, "/v1", "", "/responses"},
        {PROVIDER_XAI, "/v1", "", "/responses"},
        {PROVIDER_AZURE_OPENAI, "", "", "/openai/v1/responses"},
        {PROVIDER_AZURE_OPENAI, "/openai", "2024-10-21", "/v1/responses"},
        {PROVIDER_AZURE_OPENAI, "/openai/v1", "preview", "/responses?api-version=preview"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_provider p = {.kind = rows[i].kind,
                                    .path = slice_of(rows[i].prefix),
                                    .api_version = slice_of(rows[i].version)};
        struct dialect_target t = {.provider = &p, .model = SLICE("m")};
        struct dialect_address at;
        assert_int_equal(dialect_responses.address(&t, false, &a, &at), 0);
        assert_slice_is(at.path, rows[i].path);
        assert_int_equal(at.field_count, 0);
    }
}

#define USAGE                                                                                      \
    "\"usage\":{\"input_tokens\":10,\"input_tokens_details\":{\"cached_tokens\":4,"                \
    "\"cache_write_tokens\":1},\"output_tokens\":7,\"output_tokens_details\":"                     \
    "{\"reasoning_tokens\":5},\"total_tokens\":17}"

static void
assert_usage(const struct usage_report *r)
{
    assert_true(r->seen && r->has_input && r->has_output && !r->suspect);
    assert_int_equal(r->tokens.input, 5);
    assert_int_equal(r->tokens.cache_read, 4);
    assert_int_equal(r->tokens.cache_write, 1);
    assert_int_equal(r->tokens.output, 2);
    assert_int_equal(r->tokens.reasoning, 5);
}

static void
test_watch(void **state)
{
    (void)state;
    static const struct {
        const char *name, *data;
        int err;
        enum watch_verdict verdict;
        bool usage;
    } rows[] = {
        {"response.created", "{\"type\":\"response.created\",\"response\":{\"usage\":null}}", 0,
         WATCH_PASS, false},
        {"", "{\"type\":\"response.output_text.delta\",\"delta\":\"x\"}", 0, WATCH_PASS, false},
        {"", "{\"type\":\"response.completed\",\"response\":{" USAGE "}}", 0, WATCH_DONE, true},
        /* the name of another event: its line stood before this data */
        {"response.created", "{\"type\":\"response.incomplete\",\"response\":{" USAGE "}}", 0,
         WATCH_DONE, true},
        {"", "{\"type\":\"response.failed\",\"response\":{" USAGE "}}", 0, WATCH_BROKEN, true},
        {"error", "{\"type\":\"error\",\"code\":\"x\",\"message\":\"m\"}", 0, WATCH_BROKEN, false},
        {"", "{\"error\":{\"message\":\"m\"}}", 0, WATCH_BROKEN, false},
        {"", "{\"type\":\"response.in_progress\",\"error\":null}", 0, WATCH_PASS, false},
        {"", "[DONE]", 0, WATCH_PASS, false},
        {"", "{\"type\":\"response.comple", ERR_PROTOCOL, WATCH_PASS, false},
        {"", "[1]", ERR_PROTOCOL, WATCH_PASS, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report r = {0};
        struct watched w = {.report = &r};
        enum watch_verdict verdict = WATCH_PASS;
        assert_int_equal(
            dialect_responses.watch(&w, slice_of(rows[i].name), slice_of(rows[i].data), &verdict),
            rows[i].err);
        if (rows[i].err == 0)
            assert_int_equal(verdict, rows[i].verdict);
        if (rows[i].usage)
            assert_usage(&r);
        else
            assert_false(r.seen);
    }
}

static void
test_look(void **state)
{
    (void)state;
    struct usage_report r = {0};
    bool error = true;
    assert_int_equal(
        dialect_responses.look(
            SLICE("{\"status\":\"completed\",\"error\":null,\"service_tier\":\"flex\"," USAGE "}"),
            &r, &error),
        0);
    assert_false(error);
    assert_usage(&r);
    assert_int_equal(r.tier, TIER_FLEX);
    assert_int_equal(
        dialect_responses.look(SLICE("{\"status\":\"failed\",\"error\":{}}"), &r, &error), 0);
    assert_true(error);
    assert_int_equal(dialect_responses.look(SLICE("{\"error\":\"no credit\"}"), &r, &error), 0);
    assert_true(error);
    assert_int_equal(dialect_responses.look(SLICE("<html>"), &r, &error), ERR_PROTOCOL);
}

static void
test_searches_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int64_t searches;
    } rows[] = {
        {"{" USAGE ",\"tool_usage\":{\"web_search\":{\"num_requests\":3}},"
         "\"output\":[{\"type\":\"web_search_call\"}]}",
         3},
        {"{" USAGE ",\"output\":[{\"type\":\"web_search_call\",\"action\":{\"type\":\"search\"}},"
         "{\"type\":\"web_search_call\",\"action\":{\"type\":\"open_page\"}},"
         "{\"type\":\"web_search_call\"},{\"type\":\"message\"}]}",
         2},
        {"{\"usage\":{\"input_tokens\":1,\"output_tokens\":1,"
         "\"server_side_tool_usage_details\":{\"web_search_calls\":5}}}",
         5},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report r = {0};
        bool error;
        assert_int_equal(dialect_responses.look(slice_of(rows[i].body), &r, &error), 0);
        assert_int_equal(r.tokens.web_searches, rows[i].searches);
    }
}

static void
test_odd_usage_is_suspect(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"usage\":{\"input_tokens\":-1,\"output_tokens\":2}}",
        "{\"usage\":{\"input_tokens\":1,\"output_tokens\":200000000}}",
        "{\"usage\":{\"input_tokens\":1,\"output_tokens\":\"2\"}}",
        "{\"usage\":{\"input_tokens\":1,\"input_tokens_details\":{\"cached_tokens\":2}}}",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report r = {0};
        bool error;
        assert_int_equal(dialect_responses.look(slice_of(rows[i]), &r, &error), 0);
        assert_true(r.seen && r.suspect);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_brief, fresh, done),
        cmocka_unit_test_setup_teardown(test_brief_of_little, fresh, done),
        cmocka_unit_test_setup_teardown(test_brief_of_an_odd_limit, fresh, done),
        cmocka_unit_test_setup_teardown(test_brief_refuses, fresh, done),
        cmocka_unit_test_setup_teardown(test_address, fresh, done),
        cmocka_unit_test_setup_teardown(test_watch, fresh, done),
        cmocka_unit_test_setup_teardown(test_look, fresh, done),
        cmocka_unit_test_setup_teardown(test_searches_are_counted, fresh, done),
        cmocka_unit_test_setup_teardown(test_odd_usage_is_suspect, fresh, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
