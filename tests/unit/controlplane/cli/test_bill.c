/* Providers' reports: every shape, exact amounts, what is refused, and the differences. */
#include "controlplane/cli/bill.h"

#include "tests/unit/check.h"

static struct bill bill, ours;
static struct buf why;

static int
set_up(void **state)
{
    (void)state;
    bill_init(&bill);
    bill_init(&ours);
    buf_init(&why, 0);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    bill_free(&bill);
    bill_free(&ours);
    buf_free(&why);
    return 0;
}

static void
read_it(enum bill_format f, const char *text)
{
    if (bill_read(&bill, f, slice_of(text), &why) != 0)
        fail_msg("%s", buf_str(&why));
}

static void
expect(size_t i, const char *day, const char *model, int64_t input, int64_t cached, int64_t output,
       int64_t cost)
{
    assert_true(i < bill.count);
    assert_slice_is(bill.lines[i]->day, day);
    assert_slice_is(bill.lines[i]->model, model);
    assert_int_equal(bill.lines[i]->of[BILL_INPUT], input);
    assert_int_equal(bill.lines[i]->of[BILL_CACHED], cached);
    assert_int_equal(bill.lines[i]->of[BILL_OUTPUT], output);
    assert_int_equal(bill.lines[i]->of[BILL_COST], cost);
}

static void
test_openai_usage(void **state)
{
    (void)state;
    read_it(BILL_OPENAI,
            "{\"object\":\"page\",\"data\":[{\"object\":\"bucket\",\"start_time\":1730419200,"
            "\"end_time\":1730505600,\"results\":[{\"object\":"
            "\"organization.usage.completions.result\",\"input_tokens\":1000,\"output_tokens\":500,"
            "\"input_cached_tokens\":800,\"input_audio_tokens\":7,\"output_audio_tokens\":3,"
            "\"num_model_requests\":5,\"project_id\":null,\"model\":\"gpt-4o-2024-08-06\"},"
            "{\"input_tokens\":1,\"output_tokens\":1,\"model\":\"gpt-4o\"}]},"
            "{\"start_time\":1730505600,\"results\":[]}],\"has_more\":false,\"next_page\":null}");
    assert_int_equal(bill.count, 1);
    expect(0, "2024-11-01", "gpt-4o", 1008, 800, 504, 0);
    assert_true(bill.by_model && bill.has[BILL_INPUT] && !bill.has[BILL_COST]);
}

static void
test_openai_costs(void **state)
{
    (void)state;
    read_it(BILL_OPENAI,
            "[{\"data\":[{\"start_time\":1730419200,\"results\":[{\"object\":"
            "\"organization.costs.result\",\"amount\":{\"value\":0.06,\"currency\":\"usd\"},"
            "\"line_item\":\"gpt-4o-2024-08-06, input\",\"project_id\":null},"
            "{\"amount\":{\"value\":1.5e-3,\"currency\":\"usd\"},"
            "\"line_item\":\"gpt-4o-2024-08-06, output\"}]}],\"has_more\":true},"
            "{\"data\":[{\"start_time\":1730505600,\"results\":[{\"amount\":{\"value\":"
            "0.00000000050000000000000001,\"currency\":\"usd\"},\"line_item\":\"o1, input\"}]}],"
            "\"has_more\":false}]");
    expect(0, "2024-11-01", "gpt-4o", 0, 0, 0, 61500000);
    expect(1, "2024-11-02", "o1", 0, 0, 0, 1);
    assert_true(bill.has[BILL_COST] && !bill.has[BILL_INPUT]);
}

/* One line without a model: days are all that is told apart. */
static void
test_costs_of_a_day(void **state)
{
    (void)state;
    read_it(BILL_OPENAI,
            "{\"data\":[{\"start_time\":1730419200,\"results\":[{\"amount\":{\"value\":2,"
            "\"currency\":\"usd\"},\"line_item\":null},{\"amount\":{\"value\":-0.5,"
            "\"currency\":\"usd\"},\"line_item\":\"o1, input\"}]}]}");
    assert_false(bill.by_model);
    assert_int_equal(bill.count, 1);
    expect(0, "2024-11-01", "", 0, 0, 0, 1500000000);
}

static void
test_anthropic_usage(void **state)
{
    (void)state;
    read_it(BILL_ANTHROPIC,
            "{\"data\":[{\"starting_at\":\"2025-08-01T00:00:00Z\",\"ending_at\":"
            "\"2025-08-02T00:00:00Z\",\"results\":[{\"uncached_input_tokens\":1500,"
            "\"cache_creation\":{\"ephemeral_1h_input_tokens\":1000,"
            "\"ephemeral_5m_input_tokens\":500},\"cache_read_input_tokens\":200,"
            "\"output_tokens\":500,\"server_tool_use\":{\"web_search_requests\":10},"
            "\"model\":\"claude-sonnet-4-20250514\",\"service_tier\":\"standard\"}]}],"
            "\"has_more\":false,\"next_page\":null}");
    expect(0, "2025-08-01", "claude-sonnet-4", 3200, 200, 500, 0);
}

/* In cents. */
static void
test_anthropic_costs(void **state)
{
    (void)state;
    read_it(BILL_ANTHROPIC,
            "{\"data\":[{\"starting_at\":\"2025-08-01T00:00:00Z\",\"results\":[{\"currency\":"
            "\"USD\",\"amount\":\"123.78912\",\"description\":\"Claude Sonnet 4 Usage\","
            "\"model\":\"claude-sonnet-4-20250514\"}]}],\"has_more\":false}");
    expect(0, "2025-08-01", "claude-sonnet-4", 0, 0, 0, 1237891200);
}

static void
test_csv(void **state)
{
    (void)state;
    read_it(BILL_CSV, "model,date,cost_usd,input_tokens\r\n"
                      "\"m,1\",2026-11-01,0.000001,5\r\n"
                      "m2,2026-11-02,,7\n\n");
    assert_int_equal(bill.count, 2);
    expect(0, "2026-11-01", "m,1", 5, 0, 0, 1000);
    expect(1, "2026-11-02", "m2", 7, 0, 0, 0);
    struct slice first, last;
    assert_true(bill_days(&bill, &first, &last));
    assert_slice_is(first, "2026-11-01");
    assert_slice_is(last, "2026-11-02");
}

static void
test_refusals(void **state)
{
    static const struct {
        enum bill_format format;
        const char *text, *why;
    } bad[] = {
        {BILL_OPENAI, "", "not JSON"},
        {BILL_OPENAI, "{}", "no list 'data'"},
        {BILL_OPENAI, "{\"data\":[{}]}", "neither start_time"},
        {BILL_OPENAI, "{\"data\":[{\"start_time\":-1}]}", "neither start_time"},
        {BILL_OPENAI, "{\"data\":[{\"start_time\":1}]}", "without results"},
        {BILL_OPENAI, "{\"data\":[{\"start_time\":1,\"results\":[{}]}]}", "neither input_tokens"},
        {BILL_OPENAI, "{\"data\":[{\"start_time\":1,\"results\":[{\"input_tokens\":-1}]}]}",
         "input_tokens must be"},
        {BILL_OPENAI,
         "{\"data\":[{\"start_time\":1,\"results\":[{\"input_tokens\":1,\"model\":1}]}]}",
         "model must be"},
        {BILL_OPENAI,
         "{\"data\":[{\"start_time\":1,\"results\":[{\"amount\":{\"value\":1,\"currency\":\"eur\"}}"
         "]}]}",
         "must be USD"},
        {BILL_OPENAI,
         "{\"data\":[{\"start_time\":1,\"results\":[{\"amount\":{\"value\":1e30,\"currency\":"
         "\"usd\"}}]}]}",
         "the amount must be"},
        {BILL_OPENAI, "{\"data\":[],\"has_more\":true}", "has more pages"},
        {BILL_ANTHROPIC, "{\"data\":[{\"starting_at\":\"2025-08-01T00:00:00Z\",\"results\":[{}]}]}",
         "neither uncached_input_tokens"},
        {BILL_ANTHROPIC, "{\"data\":[{\"starting_at\":\"soon\",\"results\":[]}]}", "neither"},
        {BILL_CSV, "day,cost_usd\n", "'day' is no column"},
        {BILL_CSV, "date,date\n", "there twice"},
        {BILL_CSV, "date,model\n", "one that counts"},
        {BILL_CSV, "date,cost_usd\n2026-11-01\n", "line 2: fewer"},
        {BILL_CSV, "date,cost_usd\n2026-11-01,1,2\n", "line 2: more"},
        {BILL_CSV, "date,cost_usd\n2026-13-01,1\n", "line 2: the date"},
        {BILL_CSV, "date,cost_usd\n2026-11-01,x\n", "line 2: cost_usd"},
        {BILL_CSV, "date,input_tokens\n2026-11-01,1.5\n", "line 2: input_tokens"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct bill b;
        bill_init(&b);
        assert_int_equal(bill_read(&b, bad[i].format, slice_of(bad[i].text), &why), ERR_SYNTAX);
        if (!strstr(buf_str(&why), bad[i].why))
            fail_msg("%s: %s", bad[i].text, buf_str(&why));
        bill_free(&b);
    }
}

static void
test_differences(void **state)
{
    struct json *rows = NULL, *list, *want = NULL;
    size_t compared;

    (void)state;
    read_it(BILL_CSV, "date,model,input_tokens,cost_usd\n"
                      "2026-11-01,m-2026-01-01,10,1\n"
                      "2026-11-01,theirs,1,0\n"
                      "2026-11-03,late,5,5\n");
    assert_int_equal(
        json_parse(SLICE("[{\"day\":\"2026-11-01\",\"provider_model\":\"m\",\"input_tokens\":10,"
                         "\"cached_input_tokens\":3,\"output_tokens\":9,\"cost_usd\":\"1.01\"},"
                         "{\"day\":\"2026-11-02\",\"provider_model\":\"ours\",\"input_tokens\":2,"
                         "\"cached_input_tokens\":0,\"output_tokens\":0,\"cost_usd\":\"0.00\"}]"),
                   &rows, NULL, 0),
        0);
    assert_int_equal(bill_read_ours(&ours, rows, true), 0);
    list = bill_compare(&bill, &ours, "2026-11-01", "2026-11-03", 9999999, &compared);
    assert_int_equal(compared, 3);
    assert_int_equal(
        json_parse(SLICE("[{\"day\":\"2026-11-01\",\"model\":\"m\",\"metric\":\"cost_usd\","
                         "\"reported\":\"1.00\",\"ledger\":\"1.01\",\"difference\":\"-0.01\"},"
                         "{\"day\":\"2026-11-01\",\"model\":\"theirs\",\"metric\":\"input_tokens\","
                         "\"reported\":1,\"ledger\":0,\"difference\":1},"
                         "{\"day\":\"2026-11-02\",\"model\":\"ours\",\"metric\":\"input_tokens\","
                         "\"reported\":0,\"ledger\":2,\"difference\":-2}]"),
                   &want, NULL, 0),
        0);
    assert_true(json_equal(list, want));
    json_free(list);
    list = bill_compare(&bill, &ours, "2026-11-01", "2026-11-03", 10000000, &compared);
    assert_int_equal(json_size(list), 2); /* a cent is within a cent */
    json_free(list);
    json_free(want);
    json_free(rows);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_openai_usage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_openai_costs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_costs_of_a_day, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_anthropic_usage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_anthropic_costs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_csv, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_differences, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
