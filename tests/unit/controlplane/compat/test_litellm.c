/* What LiteLLM's words mean: durations, periods, tags, vendors. */
#include "controlplane/compat/litellm.h"

#include "lib/base/clock.h"
#include "tests/unit/check.h"

static void
expect_after(const char *from, const char *duration, const char *want)
{
    int64_t from_ms, got_ms;
    char got[32];
    assert_int_equal(clock_parse_rfc3339(from, &from_ms), 0);
    if (litellm_after(slice_of(duration), from_ms, &got_ms) != 0)
        fail_msg("%s: is no duration", duration);
    clock_rfc3339(got_ms, got);
    assert_string_equal(got, want);
}

static void
test_durations_are_behind_a_time(void **state)
{
    (void)state;
    expect_after("2026-11-26T10:00:00.250Z", "30s", "2026-11-26T10:00:30.250Z");
    expect_after("2026-11-26T10:00:00Z", "90m", "2026-11-26T11:30:00.000Z");
    expect_after("2026-11-26T10:00:00Z", "1h", "2026-11-26T11:00:00.000Z");
    expect_after("2026-11-26T10:00:00Z", "30d", "2026-12-26T10:00:00.000Z");
    expect_after("2026-11-26T10:00:00Z", "2w", "2026-12-10T10:00:00.000Z");
    expect_after("2026-11-26T10:00:00Z", "1mo", "2026-12-26T10:00:00.000Z");
    expect_after("2026-11-26T10:00:00Z", "14mo", "2028-01-26T10:00:00.000Z");
    expect_after("2027-01-31T10:00:00Z", "1mo", "2027-02-28T10:00:00.000Z");
    expect_after("2028-01-31T10:00:00Z", "1mo", "2028-02-29T10:00:00.000Z");
    expect_after("2026-11-26T10:00:00Z", "36525d", "2126-11-27T10:00:00.000Z");
}

static void
test_what_is_no_duration(void **state)
{
    static const char *const malformed[] = {"",     "d",   "30",     "30 d", " 30d",
                                            "30d ", "30D", "-1d",    "+1d",  "1.5h",
                                            "30dd", "1y",  "30days", "1mon", "h1"};
    static const char *const out_of_range[] = {"0d", "0mo", "36526d", "1201mo", "9999999999999s"};
    int64_t got;
    (void)state;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        if (litellm_after(slice_of(malformed[i]), 0, &got) != ERR_SYNTAX)
            fail_msg("'%s' is taken", malformed[i]);
    for (size_t i = 0; i < sizeof(out_of_range) / sizeof(out_of_range[0]); i++)
        if (litellm_after(slice_of(out_of_range[i]), 0, &got) != ERR_RANGE)
            fail_msg("'%s' is taken", out_of_range[i]);
    assert_int_equal(litellm_after(SLICE("99999999999999999999d"), 0, &got), ERR_SYNTAX);
}

static void
test_periods(void **state)
{
    static const char *const pairs[][2] = {
        {"1h", "hour"}, {"60m", "hour"}, {"3600s", "hour"}, {"1d", "day"},    {"24h", "day"},
        {"7d", "week"}, {"1w", "week"},  {"30d", "month"},  {"1mo", "month"}, {"720h", "month"}};
    static const char *const none[] = {"2h", "2d", "14d", "31d", "2mo", "1m", "", "month", "1"};
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        assert_string_equal(litellm_period(slice_of(pairs[i][0])), pairs[i][1]);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_null(litellm_period(slice_of(none[i])));
    /* And back again. */
    static const char *const periods[] = {"hour", "day", "week", "month"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(litellm_period(slice_of(litellm_duration(slice_of(periods[i])))),
                            periods[i]);
    assert_null(litellm_duration(SLICE("lifetime")));
}

static void
test_tags(void **state)
{
    struct json *tags = json_new_map();
    (void)state;
    assert_int_equal(litellm_add_tag(tags, SLICE("a")), 0);
    assert_int_equal(litellm_add_tag(tags, SLICE("b:c")), 0);
    assert_int_equal(litellm_add_tag(tags, SLICE(" d = e:f ")), 0);
    assert_true(slice_is(json_str(json_get(tags, "a")), "true"));
    assert_true(slice_is(json_str(json_get(tags, "b")), "c"));
    assert_true(slice_is(json_str(json_get(tags, "d")), "e:f"));
    assert_int_equal(json_size(tags), 3);
    assert_int_equal(litellm_add_tag(tags, SLICE("")), ERR_SYNTAX);
    assert_int_equal(litellm_add_tag(tags, SLICE(":c")), ERR_SYNTAX);
    json_free(tags);
}

static void
test_vendors(void **state)
{
    (void)state;
    assert_string_equal(litellm_vendor(SLICE("azure"))->kind, "azure-openai");
    assert_null(litellm_vendor(SLICE("nobody")));
    assert_string_equal(litellm_vendor_of_kind(SLICE("vertex"))->prefix, "vertex_ai");
    assert_string_equal(litellm_vendor_of_kind(SLICE("openai-compatible"))->prefix, "openai");
    assert_string_equal(litellm_vendor_of_kind(SLICE("vllm"))->prefix, "hosted_vllm");
    assert_null(litellm_vendor_of_kind(SLICE("simulator")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations_are_behind_a_time),
        cmocka_unit_test(test_what_is_no_duration),
        cmocka_unit_test(test_periods),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_vendors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
