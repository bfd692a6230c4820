#include "tests/unit/check.h"

#include "dataplane/dialects/openai.h"

static void
test_usage_classes_are_disjoint(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t input, cache_read, cache_write, output, reasoning;
        bool seen, suspect;
    } rows[] = {
        {"{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15}", 10, 0, 0, 5, 0, true,
         false},
        {"{ \"prompt_tokens\" : 100, \"completion_tokens\": 50, \"prompt_tokens_details\":"
         "{\"cached_tokens\":64,\"audio_tokens\":0},\"completion_tokens_details\":"
         "{\"reasoning_tokens\":20}}",
         36, 64, 0, 30, 20, true, false},
        {"{\"prompt_tokens\":100,\"completion_tokens\":1,\"prompt_tokens_details\":"
         "{\"cached_tokens\":10,\"cache_write_tokens\":20}}",
         70, 10, 20, 1, 0, true, false},
        {"{\"prompt_tokens\":9,\"completion_tokens\":1,\"prompt_cache_hit_tokens\":4}", 5, 4, 0, 1,
         0, true, false},
        {"{\"prompt_tokens\":8,\"total_tokens\":8}", 8, 0, 0, 0, 0, true, false},
        {"{\"total_tokens\":8}", 8, 0, 0, 0, 0, true, false},
        /* xAI: reasoning beside completion_tokens */
        {"{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":115,"
         "\"completion_tokens_details\":{\"reasoning_tokens\":100}}",
         10, 0, 0, 5, 100, true, false},
        {"{\"prompt_tokens\":10,\"completion_tokens\":5,\"prompt_tokens_details\":null}", 10, 0, 0,
         5, 0, true, false},
        /* F067 */
        {"{\"prompt_tokens\":-1,\"completion_tokens\":5}", 0, 0, 0, 5, 0, true, true},
        {"{\"prompt_tokens\":9223372036854775808,\"completion_tokens\":5}", 0, 0, 0, 5, 0, true,
         true},
        {"{\"prompt_tokens\":\"10\",\"completion_tokens\":5}", 0, 0, 0, 5, 0, true, true},
        {"{\"prompt_tokens\":1.5,\"completion_tokens\":5}", 0, 0, 0, 5, 0, true, true},
        {"{\"prompt_tokens\":10,\"completion_tokens\":5,\"prompt_tokens_details\":"
         "{\"cached_tokens\":11}}",
         0, 10, 0, 5, 0, true, true},
        {"{\"prompt_tokens\":\"x\"}", 0, 0, 0, 0, 0, false, true},
        {"{}", 0, 0, 0, 0, 0, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report r = {0};
        openai_read_usage(slice_of(rows[i].text), &r);
        if (r.tokens.input != rows[i].input || r.tokens.cache_read != rows[i].cache_read ||
            r.tokens.cache_write != rows[i].cache_write || r.tokens.output != rows[i].output ||
            r.tokens.reasoning != rows[i].reasoning || r.seen != rows[i].seen ||
            r.suspect != rows[i].suspect)
            fail_msg("row %zu", i);
    }
}

/* Sound and pictures leave the text, on their own side; what is cached stays cached. */
static void
test_kinds_of_tokens_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        struct tokens want;
    } rows[] = {
        {"{\"prompt_tokens\":100,\"completion_tokens\":50,\"prompt_tokens_details\":"
         "{\"cached_tokens\":10,\"audio_tokens\":30,\"image_tokens\":5,\"text_tokens\":55},"
         "\"completion_tokens_details\":{\"reasoning_tokens\":8,\"audio_tokens\":20,"
         "\"image_tokens\":2}}",
         {.input = 55,
          .cache_read = 10,
          .audio_input = 30,
          .image_input = 5,
          .output = 20,
          .reasoning = 8,
          .audio_output = 20,
          .image_output = 2}},
        /* the details' order does not matter */
        {"{\"completion_tokens_details\":{\"audio_tokens\":7},\"prompt_tokens_details\":"
         "{\"audio_tokens\":3},\"completion_tokens\":10,\"prompt_tokens\":10}",
         {.input = 7, .audio_input = 3, .output = 3, .audio_output = 7}},
        /* part of the sound was cached */
        {"{\"prompt_tokens\":100,\"completion_tokens\":0,\"prompt_tokens_details\":"
         "{\"cached_tokens\":90,\"audio_tokens\":60}}",
         {.cache_read = 90, .audio_input = 10}},
        {"{\"prompt_tokens\":10,\"completion_tokens\":5,\"prompt_tokens_details\":"
         "{\"audio_tokens\":null},\"completion_tokens_details\":{\"audio_tokens\":0}}",
         {.input = 10, .output = 5}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report r = {0};
        openai_read_usage(slice_of(rows[i].text), &r);
        assert_false(r.suspect);
        for (int c = 0; c < USAGE_CLASSES; c++)
            if (r.tokens.of[c] != rows[i].want.of[c])
                fail_msg("row %zu: %s", i, usage_class_name((enum usage_class)c));
    }
}

/* What is not reported, or not believed, is not taken for zero. */
static void
test_f067_missing_sides_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool input, output;
    } rows[] = {
        {"{\"prompt_tokens\":1,\"completion_tokens\":0}", true, true},
        {"{\"prompt_tokens\":1}", true, false},
        {"{\"completion_tokens\":1}", false, true},
        {"{\"prompt_tokens\":1,\"completion_tokens\":null}", true, false},
        {"{\"prompt_tokens\":1,\"completion_tokens\":true}", true, false},
        {"{\"prompt_tokens\":1,\"completion_tokens\":1000000000000}", true, false},
        {"{\"prompt_tokens\":null,\"completion_tokens\":null}", false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report r = {0};
        openai_read_usage(slice_of(rows[i].text), &r);
        assert_int_equal(r.has_input, rows[i].input);
        assert_int_equal(r.has_output, rows[i].output);
    }
}

/* A count that goes backwards is an alarm, and does not make the bill smaller. */
static void
test_f067_running_counts_do_not_shrink(void **state)
{
    struct usage_report r = {0};
    (void)state;
    openai_read_usage(SLICE("{\"prompt_tokens\":10,\"completion_tokens\":3}"), &r);
    openai_read_usage(SLICE("{\"prompt_tokens\":10,\"completion_tokens\":7}"), &r);
    assert_int_equal(r.tokens.output, 7);
    assert_false(r.suspect);
    openai_read_usage(SLICE("{\"prompt_tokens\":10,\"completion_tokens\":2}"), &r);
    assert_int_equal(r.tokens.output, 7);
    assert_true(r.suspect);
}

static void
test_errors_of_all_shapes(void **state)
{
    (void)state;
    static const char none[] = "The provider answered with an error and no readable message.";
    static const struct {
        const char *body, *message, *type, *code;
        int status;
    } rows[] = {
        {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}", "m", "t",
         "c", 0},
        {"{\"error\":{\"message\":\"m\",\"code\":429}}", "m", "", "429", 429},
        {"{\"error\":\"text\"}", "text", "", "", 0},
        {"{\"error\":\"text\",\"code\":\"c\"}", "text", "", "c", 0},
        {"{\"object\":\"error\",\"message\":\"flat\",\"type\":\"BadRequestError\",\"code\":400}",
         "flat", "BadRequestError", "400", 400},
        {"{\"detail\":\"why\"}", "why", "", "", 0},
        {"<html><body>502</body></html>", none, "", "", 0},
        {"", none, "", "", 0},
        {"{\"error\":null}", none, "", "", 0},
        {"{\"error\":{\"message\":7}}", "7", "", "", 0},
        {"{\"error\":{\"message\":\"cut", none, "", "", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena a;
        struct openai_error e;
        int status;
        arena_init(&a, 0);
        assert_int_equal(openai_read_error(slice_of(rows[i].body), &a, &e, &status), 0);
        assert_slice_is(e.message, rows[i].message);
        assert_slice_is(e.type, rows[i].type);
        assert_slice_is(e.code, rows[i].code);
        assert_int_equal(status, rows[i].status);
        assert_string_equal(e.source, "provider");
        arena_free(&a);
    }
}

/* F056: however long the provider's message, ours stays below 8 KiB, and is cut at a character. */
static void
test_f056_long_messages_are_cut(void **state)
{
    struct buf body, out;
    struct arena a;
    struct openai_error e;
    int status;
    (void)state;
    buf_init(&body, 0);
    buf_init(&out, 0);
    arena_init(&a, 0);
    assert_int_equal(buf_add_str(&body, "{\"error\":{\"message\":\"x"), 0);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf_add_str(&body, "\xe2\x82\xac"), 0);
    assert_int_equal(buf_add_str(&body, "\"}}"), 0);
    assert_int_equal(openai_read_error(buf_slice(&body), &a, &e, &status), 0);
    assert_int_equal(openai_write_error(&out, &e), 0);
    assert_true(out.len < 8192);
    struct json_error why;
    assert_int_equal(json_scan(buf_slice(&out), &json_limits_default, NULL, 0, NULL, NULL, &why),
                     0);
    buf_free(&body);
    buf_free(&out);
    arena_free(&a);
}

static void
test_error_text_is_escaped(void **state)
{
    struct buf out;
    struct openai_error e = {
        .message = SLICE("a \"b\"\n"), .code = SLICE("c"), .source = "gateway"};
    (void)state;
    buf_init(&out, 0);
    assert_int_equal(openai_write_error(&out, &e), 0);
    assert_string_equal(buf_str(&out),
                        "{\"error\":{\"message\":\"a \\\"b\\\"\\n\",\"type\":null,\"param\":null,"
                        "\"code\":\"c\",\"source\":\"gateway\"}}");
    buf_free(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage_classes_are_disjoint),
        cmocka_unit_test(test_kinds_of_tokens_are_told_apart),
        cmocka_unit_test(test_f067_missing_sides_are_told),
        cmocka_unit_test(test_f067_running_counts_do_not_shrink),
        cmocka_unit_test(test_errors_of_all_shapes),
        cmocka_unit_test(test_f056_long_messages_are_cut),
        cmocka_unit_test(test_error_text_is_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
