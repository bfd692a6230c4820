/* Anthropic Messages as it passes untouched: briefs, addresses, what is seen going by. */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"

static struct arena arena;
static const struct dialect *const anthropic = &dialect_anthropic;

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* --- briefs ----------------------------------------------------------------------------------- */

static void
test_a_brief_finds_what_matters(void **state)
{
    (void)state;
    static const char body[] =
        "{\"model\":\"claude-\\u0073onnet\",\"max_tokens\":1024, \"stream\" : true,\"tools\":[],"
        "\"metadata\":{\"user_id\":\"u-1\"},\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
    struct request_brief b;
    struct dialect_refusal why = {0};
    assert_int_equal(anthropic->brief(slice_of(body), &(struct dialect_call){0}, &arena, &b, &why),
                     0);
    assert_slice_is(b.model, "claude-sonnet");
    assert_true(b.stream);
    assert_int_equal(b.max_tokens, 1024);
    assert_string_equal(b.max_tokens_member, "max_tokens");
    assert_string_equal(b.tools_member, "tools");
    assert_int_equal(b.choices, 1);
    assert_slice_is(b.end_user, "u-1");
    assert_slice_is(json_raw(slice_of(body), b.model_at), "\"claude-\\u0073onnet\"");
}

static void
test_a_brief_refuses_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *body, *member;
        bool missing, duplicate;
    } rows[] = {
        {"", "", false, false},
        {"[]", "", false, false},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[]", "", false, false},
        {"{\"max_tokens\":1,\"messages\":[]}", "model", true, false},
        {"{\"model\":7,\"max_tokens\":1,\"messages\":[]}", "model", false, false},
        {"{\"model\":\"m\",\"messages\":[]}", "max_tokens", true, false},
        {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":0}", "max_tokens", false, false},
        {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":1.5}", "max_tokens", false, false},
        {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":\"9\"}", "max_tokens", false, false},
        {"{\"model\":\"m\",\"messages\":[],\"max_tokens\":null}", "max_tokens", false, false},
        {"{\"model\":\"m\",\"max_tokens\":1}", "messages", true, false},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":{}}", "messages", false, false},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[],\"stream\":1}", "stream", false, false},
        {"{\"model\":\"m\",\"max_tokens\":1,\"messages\":[],\"model\":\"n\"}", "model", false,
         true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct request_brief b;
        struct dialect_refusal why = {0};
        if (anthropic->brief(slice_of(rows[i].body), &(struct dialect_call){0}, &arena, &b, &why) !=
                ERR_SYNTAX ||
            strcmp(why.member, rows[i].member) != 0 || why.missing != rows[i].missing ||
            why.duplicate != rows[i].duplicate || !why.message[0])
            fail_msg("row %zu: member \"%s\": %s", i, why.member, why.message);
    }
}

static void
test_the_address_states_the_version(void **state)
{
    (void)state;
    struct dialect_address to;
    assert_int_equal(anthropic->address(NULL, true, &arena, &to), 0);
    assert_slice_is(to.path, "/messages");
    assert_int_equal(to.field_count, 1);
    assert_slice_is(to.fields[0].name, "anthropic-version");
    assert_slice_is(to.fields[0].value, "2023-06-01");
}

/* --- usage ------------------------------------------------------------------------------------ */

static void
check_tokens(size_t row, const struct usage_report *r, const int64_t *want)
{
    const int64_t got[] = {
        r->tokens.input,  r->tokens.cache_read, r->tokens.cache_write,  r->tokens.cache_write_1h,
        r->tokens.output, r->tokens.reasoning,  r->tokens.web_searches, r->suspect};
    if (memcmp(got, want, sizeof(got)) != 0)
        fail_msg("row %zu: %d %d %d %d %d %d %d suspect %d", row, (int)got[0], (int)got[1],
                 (int)got[2], (int)got[3], (int)got[4], (int)got[5], (int)got[6], (int)got[7]);
}

static void
test_usage_of_whole_answers(void **state)
{
    (void)state;
    static const struct {
        const char *usage;
        int64_t want[8]; /* input, read, write, write 1h, output, reasoning, searches, suspect */
    } rows[] = {
        {"{\"input_tokens\":10,\"output_tokens\":5}", {10, 0, 0, 0, 5, 0, 0, 0}},
        {"{\"input_tokens\":10,\"cache_read_input_tokens\":7,\"cache_creation_input_tokens\":9,"
         "\"cache_creation\":{\"ephemeral_5m_input_tokens\":4,\"ephemeral_1h_input_tokens\":5},"
         "\"output_tokens\":50,\"output_tokens_details\":{\"thinking_tokens\":20},"
         "\"server_tool_use\":{\"web_search_requests\":3,\"web_fetch_requests\":1}}",
         {10, 7, 4, 5, 30, 20, 3, 0}},
        {"{\"input_tokens\":1,\"cache_creation_input_tokens\":9,\"output_tokens\":1}",
         {1, 0, 9, 0, 1, 0, 0, 0}},
        {"{\"input_tokens\":1,\"cache_creation\":{\"ephemeral_1h_input_tokens\":5},"
         "\"output_tokens\":1}",
         {1, 0, 0, 5, 1, 0, 0, 0}},
        {"{\"input_tokens\":1,\"cache_creation_input_tokens\":null,\"output_tokens\":1,"
         "\"cache_creation\":null,\"server_tool_use\":null,\"output_tokens_details\":null}",
         {1, 0, 0, 0, 1, 0, 0, 0}},
        /* compaction and the advisor are billed, and not in the totals */
        {"{\"input_tokens\":220,\"output_tokens\":8,\"iterations\":["
         "{\"type\":\"compaction\",\"input_tokens\":1000,\"cache_read_input_tokens\":30,"
         "\"output_tokens\":125,\"cache_creation_input_tokens\":6,"
         "\"cache_creation\":{\"ephemeral_1h_input_tokens\":6}},"
         "{\"type\":\"message\",\"input_tokens\":220,\"output_tokens\":8}]}",
         {1220, 30, 0, 6, 133, 0, 0, 0}},
        {"{\"input_tokens\":30,\"output_tokens\":3,\"iterations\":["
         "{\"type\":\"message\",\"input_tokens\":10,\"output_tokens\":1},"
         "{\"type\":\"advisor_message\",\"input_tokens\":500,\"output_tokens\":22},"
         "{\"type\":\"message\",\"input_tokens\":20,\"output_tokens\":2}]}",
         {530, 0, 0, 0, 25, 0, 0, 0}},
        {"{\"input_tokens\":-1,\"output_tokens\":5}", {0, 0, 0, 0, 5, 0, 0, 1}},
        {"{\"input_tokens\":1,\"output_tokens\":100000001}", {1, 0, 0, 0, 0, 0, 0, 1}},
        {"{\"input_tokens\":100000000,\"output_tokens\":5}", {100000000, 0, 0, 0, 5, 0, 0, 0}},
        {"{\"input_tokens\":1,\"output_tokens\":5,\"output_tokens_details\":{\"thinking_tokens\":6}"
         "}",
         {1, 0, 0, 0, 0, 5, 0, 1}},
        {"{\"input_tokens\":1,\"output_tokens\":5,\"cache_creation_input_tokens\":3,"
         "\"cache_creation\":{\"ephemeral_1h_input_tokens\":4}}",
         {1, 0, 0, 3, 5, 0, 0, 1}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report r = {0};
        bool error;
        char *body = arena_printf(&arena, "{\"type\":\"message\",\"usage\":%s}", rows[i].usage);
        assert_int_equal(anthropic->look(slice_of(body), &r, &error), 0);
        assert_false(error);
        assert_true(r.seen);
        check_tokens(i, &r, rows[i].want);
    }
}

static void
test_a_look_tells_errors(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int err;
        bool error;
    } rows[] = {
        {"{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"x\"}}", 0, true},
        {"{\"error\":{\"message\":\"x\"}}", 0, true},
        {"{\"type\":\"message\",\"error\":null}", 0, false},
        {"[]", ERR_PROTOCOL, false},
        {"<html>", ERR_PROTOCOL, false},
        {"", ERR_PROTOCOL, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report r = {0};
        bool error = false;
        assert_int_equal(anthropic->look(slice_of(rows[i].body), &r, &error), rows[i].err);
        assert_int_equal(error, rows[i].error);
        assert_false(r.seen);
    }
}

/* --- streams ---------------------------------------------------------------------------------- */

static enum watch_verdict
watch(struct usage_report *r, const char *name, const char *data)
{
    struct watched w = {.report = r};
    enum watch_verdict ret = WATCH_DROP;
    assert_int_equal(anthropic->watch(&w, slice_of(name), slice_of(data), &ret), 0);
    return ret;
}

static void
test_what_message_delta_states_stands(void **state)
{
    (void)state;
    struct usage_report r = {0};
    watch(&r, "message_start",
          "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":100,"
          "\"cache_read_input_tokens\":55096,\"cache_creation_input_tokens\":8,"
          "\"cache_creation\":{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":8},"
          "\"output_tokens\":7,\"service_tier\":\"priority\"}}}  ");
    check_tokens(0, &r, (const int64_t[]){100, 55096, 0, 8, 7, 0, 0, 0});
    assert_int_equal(r.tier, TIER_PRIORITY);
    assert_true(r.seen && r.has_input);
    assert_false(r.has_output); /* cut here, nobody has said what it gave */
    /* only the output */
    watch(&r, "message_delta",
          "{\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":9}}");
    check_tokens(1, &r, (const int64_t[]){100, 55096, 0, 8, 9, 0, 0, 0});
    assert_true(r.has_output);
    /* input may grow and shrink; the lifetime of a cache is kept */
    watch(&r, "",
          "{\"type\":\"message_delta\",\"usage\":{\"input_tokens\":181,"
          "\"cache_read_input_tokens\":0,\"cache_creation_input_tokens\":12,\"output_tokens\":10,"
          "\"output_tokens_details\":{\"thinking_tokens\":4},"
          "\"server_tool_use\":{\"web_search_requests\":2}}   }");
    check_tokens(2, &r, (const int64_t[]){181, 0, 0, 12, 6, 4, 2, 0});
    assert_int_equal(r.tier, TIER_PRIORITY);
}

/* A gateway that counts at the end begins with zeros. */
static void
test_a_start_without_counts(void **state)
{
    (void)state;
    struct usage_report r = {0};
    watch(&r, "",
          "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":0,"
          "\"output_tokens\":0}}}");
    assert_false(r.has_input || r.has_output);
    watch(&r, "",
          "{\"type\":\"message_delta\",\"usage\":{\"input_tokens\":5,\"output_tokens\":2}}");
    assert_true(r.has_input && r.has_output);
}

/* Programmatic tool calls come whole in message_start, and nothing counts after it. */
static void
test_a_start_that_is_the_whole(void **state)
{
    (void)state;
    struct usage_report r = {0};
    watch(&r, "",
          "{\"type\":\"message_start\",\"message\":{\"stop_reason\":\"tool_use\","
          "\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}}");
    assert_true(r.has_input && r.has_output);
}

static void
test_mixed_cache_lifetimes_keep_the_hour(void **state)
{
    (void)state;
    struct usage_report r = {0};
    watch(&r, "",
          "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1,"
          "\"output_tokens\":1,\"cache_creation_input_tokens\":10,\"cache_creation\":"
          "{\"ephemeral_5m_input_tokens\":6,\"ephemeral_1h_input_tokens\":4}}}}");
    watch(&r, "",
          "{\"type\":\"message_delta\",\"usage\":{\"cache_creation_input_tokens\":11,"
          "\"output_tokens\":2}}");
    check_tokens(0, &r, (const int64_t[]){1, 0, 7, 4, 2, 0, 0, 0});
    watch(&r, "",
          "{\"type\":\"message_delta\",\"usage\":{\"cache_creation_input_tokens\":3,"
          "\"output_tokens\":2}}");
    check_tokens(1, &r, (const int64_t[]){1, 0, 0, 3, 2, 0, 0, 0});
}

static void
test_events_are_told_apart(void **state)
{
    (void)state;
    struct usage_report r = {0};
    assert_int_equal(watch(&r, "ping", "{\"type\": \"ping\"}"), WATCH_PASS);
    assert_int_equal(watch(&r, "message_stop", "{\"type\":\"message_stop\"    }"), WATCH_DONE);
    assert_int_equal(watch(&r, "", "{\"type\":\"message_stop\"}"), WATCH_DONE);
    assert_int_equal(watch(&r, "message_stop", "{}"), WATCH_DONE);
    assert_int_equal(
        watch(&r, "error", "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}"),
        WATCH_BROKEN);
    assert_int_equal(watch(&r, "", "{\"error\":{\"message\":\"x\"}}"), WATCH_BROKEN);
    assert_int_equal(watch(&r, "new_event", "{\"type\":\"new_event\"}"), WATCH_PASS);
    assert_int_equal(watch(&r, "content_block_delta",
                           "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
                           "{\"type\":\"text_delta\",\"text\":\"error\"}}"),
                     WATCH_PASS);
    assert_false(r.seen);
}

static void
test_what_is_no_object_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"", "[]", "[DONE]", "{\"type\":\"ping\"", "null", "{} {}"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct usage_report r = {0};
        struct watched w = {.report = &r};
        enum watch_verdict ret;
        assert_int_equal(anthropic->watch(&w, SLICE("ping"), slice_of(rows[i]), &ret),
                         ERR_PROTOCOL);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_brief_finds_what_matters, tear_down),
        cmocka_unit_test_teardown(test_a_brief_refuses_by_name, tear_down),
        cmocka_unit_test_teardown(test_the_address_states_the_version, tear_down),
        cmocka_unit_test_teardown(test_usage_of_whole_answers, tear_down),
        cmocka_unit_test(test_a_look_tells_errors),
        cmocka_unit_test(test_what_message_delta_states_stands),
        cmocka_unit_test(test_a_start_without_counts),
        cmocka_unit_test(test_a_start_that_is_the_whole),
        cmocka_unit_test(test_mixed_cache_lifetimes_keep_the_hour),
        cmocka_unit_test(test_events_are_told_apart),
        cmocka_unit_test(test_what_is_no_object_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
