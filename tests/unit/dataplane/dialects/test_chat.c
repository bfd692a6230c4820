/* The chat dialect on the untouched way. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"

/* --- brief ------------------------------------------------------------------------------------ */

static int
brief(const char *body, struct arena *a, struct request_brief *ret, struct dialect_refusal *why)
{
    memset(why, 0, sizeof(*why));
    return dialect_chat.brief(slice_of(body), &(struct dialect_call){.path_stream = false}, a, ret,
                              why);
}

static void
test_brief(void **state)
{
    (void)state;
    static const char body[] = "{\"model\":\"g\\u0070t\",\"stream\":true,\"n\":3,"
                               "\"max_tokens\":10,\"max_completion_tokens\":20,"
                               "\"user\":\"u1\",\"stream_options\":{},\"functions\":[]}";
    struct arena a;
    struct request_brief b;
    struct dialect_refusal why;
    arena_init(&a, 0);
    assert_int_equal(brief(body, &a, &b, &why), 0);
    assert_slice_is(b.model, "gpt");
    assert_slice_is(json_raw(slice_of(body), b.model_at), "\"g\\u0070t\"");
    assert_slice_is(json_raw(slice_of(body), b.stream_options_at), "{}");
    assert_slice_is(json_raw(slice_of(body), b.stream_at), "true");
    assert_true(b.stream);
    assert_int_equal(b.choices, 3);
    assert_int_equal(b.max_tokens, 20);
    assert_string_equal(b.max_tokens_member, "max_completion_tokens");
    assert_false(b.max_tokens_odd);
    assert_string_equal(b.tools_member, "functions");
    assert_slice_is(b.end_user, "u1");

    assert_int_equal(brief("{\"tools\":[],\"max_tokens\":0,\"n\":0}", &a, &b, &why), 0);
    assert_int_equal(b.model_at.kind, JSON_ABSENT);
    assert_string_equal(b.tools_member, "tools");
    assert_true(b.max_tokens_odd);
    assert_string_equal(b.max_tokens_member, "max_tokens");
    assert_int_equal(b.choices, 1);

    assert_int_equal(brief("{\"tools\":null,\"max_tokens\":null,\"stream\":null}", &a, &b, &why),
                     0);
    assert_null(b.tools_member);
    assert_null(b.max_tokens_member);
    assert_false(b.stream);
    arena_free(&a);
}

static void
test_brief_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *body, *member, *message;
        bool duplicate;
    } rows[] = {
        {"", "", "The body is empty; it must be a JSON object.", false},
        {"{\"model\":\"a\",\"mod\\u0065l\":\"b\"}", "model",
         "The member 'model' appears more than once (at byte 13).", true},
        {"{\"tools\":[],\"tools\":[]}", "tools",
         "The member 'tools' appears more than once (at byte 12).", true},
        {"{\"model\":1}", "model", "'model' must be the name of a model.", false},
        {"{\"stream\":\"true\"}", "stream", "'stream' must be true or false.", false},
        {"{\"model\":\"a\"} x", "", NULL, false},
        {"[1]", "", NULL, false},
        {"{\"model\":\"a\"", "", NULL, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena a;
        struct request_brief b;
        struct dialect_refusal why;
        arena_init(&a, 0);
        assert_int_equal(brief(rows[i].body, &a, &b, &why), ERR_SYNTAX);
        assert_string_equal(why.member, rows[i].member);
        if (rows[i].message)
            assert_string_equal(why.message, rows[i].message);
        else
            assert_non_null(strstr(why.message, "JSON"));
        assert_int_equal(why.duplicate, rows[i].duplicate);
        arena_free(&a);
    }
}

/* --- address ---------------------------------------------------------------------------------- */

static void
test_address(void **state)
{
    (void)state;
    static const struct {
        enum provider_kind kind;
        const char *base, *version, *model, *path;
    } rows[] = {
        {PROVIDER_OPENAI, "/v1", "", "gpt-4o", "/chat/completions"},
        {PROVIDER_DEEPSEEK, "", "", "deepseek-chat", "/chat/completions"},
        {PROVIDER_AZURE_OPENAI, "", "", "d", "/openai/v1/chat/completions"},
        {PROVIDER_AZURE_OPENAI, "", "v1", "d", "/openai/v1/chat/completions?api-version=v1"},
        {PROVIDER_AZURE_OPENAI, "", "preview", "d",
         "/openai/v1/chat/completions?api-version=preview"},
        {PROVIDER_AZURE_OPENAI, "", "2024-10-21", "my d/x",
         "/openai/deployments/my%20d%2Fx/chat/completions?api-version=2024-10-21"},
        {PROVIDER_AZURE_OPENAI, "/openai", "2024-10-21", "d",
         "/deployments/d/chat/completions?api-version=2024-10-21"},
        {PROVIDER_AZURE_OPENAI, "/openai", "", "d", "/v1/chat/completions"},
        {PROVIDER_AZURE_OPENAI, "/openai/v1", "", "d", "/chat/completions"},
        {PROVIDER_AZURE_OPENAI, "/openai/v1", "preview", "d",
         "/chat/completions?api-version=preview"},
        {PROVIDER_AZURE_OPENAI, "/proxy", "", "d", "/openai/v1/chat/completions"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena a;
        struct dialect_address address;
        struct policy_provider p = {.kind = rows[i].kind,
                                    .path = slice_of(rows[i].base),
                                    .api_version = slice_of(rows[i].version)};
        struct dialect_target t = {.provider = &p, .model = slice_of(rows[i].model)};
        arena_init(&a, 0);
        assert_int_equal(dialect_chat.address(&t, true, &a, &address), 0);
        assert_slice_is(address.path, rows[i].path);
        assert_int_equal(address.field_count, 0);
        arena_free(&a);
    }
}

/* --- watch ------------------------------------------------------------------------------------ */

#define CHUNK(rest) "{\"choices\":[{\"index\":0,\"delta\":{}}]" rest "}"
#define USAGE(n) "{\"prompt_tokens\":" #n ",\"completion_tokens\":2}"

static void
test_watch(void **state)
{
    (void)state;
    static const struct {
        const char *name, *data;
        bool strip;
        enum watch_verdict watch;
        int64_t input;
    } rows[] = {
        {"", CHUNK(""), true, WATCH_PASS, 0},
        {"", "[DONE]", false, WATCH_DONE, 0},
        {"error", "whatever", false, WATCH_BROKEN, 0}, /* Groq */
        {"", "{\"error\":{\"message\":\"x\"}}", false, WATCH_BROKEN, 0},
        {"", "{\"error\":\"x\"}", false, WATCH_BROKEN, 0},                        /* xAI */
        {"", CHUNK(",\"error\":{\"code\":502}"), false, WATCH_BROKEN, 0},         /* OpenRouter */
        {"", "{\"object\":\"error\",\"message\":\"x\"}", false, WATCH_BROKEN, 0}, /* vLLM */
        {"", CHUNK(",\"error\":null"), false, WATCH_PASS, 0},
        {"", "{\"choices\":[],\"usage\":" USAGE(5) "}", false, WATCH_PASS, 5},
        {"", "{\"choices\":[],\"usage\":" USAGE(5) "}", true, WATCH_DROP, 5},
        {"", "{\"choices\":[],\"prompt_filter_results\":[]}", true, WATCH_PASS, 0}, /* Azure */
        {"", CHUNK(",\"usage\":" USAGE(6)), true, WATCH_PASS, 6}, /* Mistral, DeepSeek */
        {"", CHUNK(",\"x_groq\":{\"id\":\"a\",\"usage\":" USAGE(7) "}"), false, WATCH_PASS, 7},
        {"", "{\"choices\":[{\"delta\":{},\"usage\":" USAGE(8) "}]}", false, WATCH_PASS, 8},
        {"", CHUNK(",\"usage\":null"), true, WATCH_CUT, 0},
        {"", CHUNK(",\"usage\":null"), false, WATCH_PASS, 0},
        {"", CHUNK(",\"service_tier\":\"flex\""), false, WATCH_PASS, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report report = {0};
        struct watched w = {.report = &report, .strip_usage = rows[i].strip};
        enum watch_verdict got;
        assert_int_equal(
            dialect_chat.watch(&w, slice_of(rows[i].name), slice_of(rows[i].data), &got), 0);
        if (got != rows[i].watch || report.tokens.input != rows[i].input)
            fail_msg("row %zu: %d, %lld tokens", i, got, (long long)report.tokens.input);
        if (got == WATCH_CUT)
            assert_slice_is(json_raw(slice_of(rows[i].data), w.cut), "null");
        assert_int_equal(report.tier, strstr(rows[i].data, "flex") ? TIER_FLEX : TIER_STANDARD);
    }
}

static void
test_watch_refuses_what_is_no_object(void **state)
{
    (void)state;
    static const char *const rows[] = {"{", "[]", "1", "DONE", "{} {}"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report report = {0};
        struct watched w = {.report = &report};
        enum watch_verdict got;
        assert_int_equal(dialect_chat.watch(&w, SLICE(""), slice_of(rows[i]), &got), ERR_PROTOCOL);
    }
}

/* Where the terminal is optional, a finish reason is what makes an end a clean one. */
static void
test_watch_may_end(void **state)
{
    (void)state;
    struct usage_report report = {0};
    struct watched w = {.report = &report, .done_is_optional = true};
    enum watch_verdict got;
    struct slice finish = SLICE("{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}");
    assert_int_equal(dialect_chat.watch(&w, SLICE(""), SLICE(CHUNK("")), &got), 0);
    assert_int_equal(got, WATCH_PASS);
    assert_int_equal(
        dialect_chat.watch(&w, SLICE(""), SLICE("{\"choices\":[{\"finish_reason\":\"\"}]}"), &got),
        0);
    assert_int_equal(got, WATCH_PASS);
    assert_int_equal(dialect_chat.watch(&w, SLICE(""), finish, &got), 0);
    assert_int_equal(got, WATCH_MAY_END);
    assert_true(w.may_end);
    assert_int_equal(dialect_chat.watch(&w, SLICE(""), finish, &got), 0);
    assert_int_equal(got, WATCH_PASS); /* it is said once */
    w = (struct watched){.report = &report};
    assert_int_equal(dialect_chat.watch(&w, SLICE(""), finish, &got), 0);
    assert_int_equal(got, WATCH_PASS);
}

static void
test_look(void **state)
{
    (void)state;
    struct usage_report report = {0};
    bool error;
    assert_int_equal(
        dialect_chat.look(SLICE("{\"service_tier\":\"priority\",\"usage\":" USAGE(9) "}"), &report,
                          &error),
        0);
    assert_false(error);
    assert_int_equal(report.tokens.input, 9);
    assert_int_equal(report.tier, TIER_PRIORITY);
    assert_int_equal(dialect_chat.look(SLICE("{\"error\":{}}"), &report, &error), 0);
    assert_true(error);
    assert_int_equal(dialect_chat.look(SLICE("{\"object\":\"error\"}"), &report, &error), 0);
    assert_true(error);
    assert_int_equal(dialect_chat.look(SLICE("{\"error\":null}"), &report, &error), 0);
    assert_false(error);
    assert_int_equal(dialect_chat.look(SLICE("[]"), &report, &error), ERR_PROTOCOL);
    assert_int_equal(dialect_chat.look(SLICE("<html>"), &report, &error), ERR_PROTOCOL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brief),
        cmocka_unit_test(test_brief_refuses),
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_watch_refuses_what_is_no_object),
        cmocka_unit_test(test_watch_may_end),
        cmocka_unit_test(test_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
