/* Which line of the book a model without one is found by, and which must not be. */
#include "lib/policy/policy_internal.h"

#include "tests/unit/check.h"
#include "tests/unit/lib/policy/snapshot_fixture.h"

static void
test_prefixes_of_their_kind(void **state)
{
    (void)state;
    assert_slice_is(book_name_plain(PROVIDER_BEDROCK, SLICE("eu.anthropic.x")), "anthropic.x");
    assert_slice_is(book_name_plain(PROVIDER_BEDROCK, SLICE("global.anthropic.x")), "anthropic.x");
    assert_slice_is(book_name_plain(PROVIDER_BEDROCK, SLICE("us-gov.anthropic.x")),
                    "us-gov.anthropic.x");
    assert_slice_is(book_name_plain(PROVIDER_BEDROCK, SLICE("anthropic.x")), "anthropic.x");
    assert_slice_is(book_name_plain(PROVIDER_OPENAI, SLICE("eu.anthropic.x")), "eu.anthropic.x");
    assert_slice_is(book_name_plain(PROVIDER_FIREWORKS, SLICE("accounts/fireworks/models/glm")),
                    "glm");
    assert_slice_is(book_name_plain(PROVIDER_VERTEX, SLICE("publishers/google/models/gemini-x")),
                    "gemini-x");
    assert_slice_is(book_name_plain(PROVIDER_VERTEX, SLICE("publishers/anthropic/models/claude-x")),
                    "claude-x");
    assert_slice_is(book_name_plain(PROVIDER_GEMINI, SLICE("models/gemini-x")), "gemini-x");
}

static void
test_dates_at_the_end(void **state)
{
    static const struct {
        const char *name, *undated;
    } cases[] = {
        {"gpt-4o-2024-08-06", "gpt-4o"},
        {"claude-opus-4-20250514", "claude-opus-4"},
        {"claude-opus-4@20250514", "claude-opus-4"},
        {"gpt-4o", "gpt-4o"},
        {"gpt-4-0613", "gpt-4-0613"},                 /* no year: it may be anything */
        {"mistral-large-2411", "mistral-large-2411"}, /* no day */
        {"x-20241301", "x-20241301"},                 /* no month */
        {"x-20240100", "x-20240100"},                 /* no day */
        {"x-12345678", "x-12345678"},                 /* no year */
        {"x-2024-0806", "x-2024-0806"},
        {"x20240806", "x20240806"}, /* not set apart */
        {"-20240806", "-20240806"}, /* nothing before it */
        {"20240806", "20240806"},
        {"", ""},
        {"gpt-4o-2024-08-06-preview", "gpt-4o-2024-08-06-preview"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_slice_is(book_name_undated(slice_of(cases[i].name)), cases[i].undated);
}

static void
test_a_book_knows_what_came_before_it(void **state)
{
    struct slice book = SLICE("builtin-2026-08-21");

    (void)state;
    assert_true(book_knows(book, SLICE("m-2026-08-21")));
    assert_true(book_knows(book, SLICE("m@20250101")));
    assert_false(book_knows(book, SLICE("m-2026-08-22")));
    assert_false(book_knows(book, SLICE("m-20270101")));
    assert_false(book_knows(book, SLICE("m")));
    assert_false(book_knows(SLICE("builtin"), SLICE("m-20250101")));
}

static const struct policy_price *
find(const struct policy *p, const char *provider, const char *model)
{
    return policy_find_price(p, policy_find_provider(p, slice_of(provider)), slice_of(model));
}

static void
put(struct fixture *f, const char *provider, const char *model, int64_t input)
{
    struct section_price row = {.provider = slice_of(provider),
                                .model = slice_of(model),
                                .version = SLICE("builtin-2026-08-21"),
                                .base.rates = {.input = input}};

    assert_int_equal(section_put_price(&f->prices, &row), 0);
}

static void
test_look_up_prefers_what_is_written(void **state)
{
    struct fixture f;
    struct policy *p;

    (void)state;
    fixture_init_empty(&f);
    fixture_add_provider(&f, "o", "openai", "https://api.example/v1");
    put(&f, "kind:openai", "m", 1);
    put(&f, "kind:openai", "m-2024-05-13", 2);
    put(&f, "kind:openai", "ft:m:*", 3);
    put(&f, "kind:openai", "n-*", 4);
    put(&f, "o", "own", 5);
    p = fixture_policy(&f, NULL);
    assert_int_equal(find(p, "o", "m")->rates.input, 1);
    assert_int_equal(find(p, "o", "m-2024-08-06")->rates.input, 1); /* by the rule */
    assert_int_equal(find(p, "o", "m-2024-05-13")->rates.input, 2); /* its own line */
    assert_null(find(p, "o", "m-2026-09-01"));                      /* later than the book */
    assert_null(find(p, "o", "m-mini-2024-08-06"));
    assert_null(find(p, "o", "eu.m"));
    assert_int_equal(find(p, "o", "ft:m:acme::1")->rates.input, 3);
    assert_null(find(p, "o", "ft:m-mini:acme::1"));
    assert_int_equal(find(p, "o", "n-2024-08-06")->rates.input, 4);
    assert_null(find(p, "o", "own-2024-08-06")); /* an operator's names are taken as they are */
    policy_unref(p);
    fixture_free(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes_of_their_kind),
        cmocka_unit_test(test_dates_at_the_end),
        cmocka_unit_test(test_a_book_knows_what_came_before_it),
        cmocka_unit_test(test_look_up_prefers_what_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
