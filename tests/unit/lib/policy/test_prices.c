#include "tests/unit/check.h"

#include "tests/unit/lib/policy/snapshot_fixture.h"

static const struct policy_price *
find(const struct policy *p, const char *provider, const char *model)
{
    const struct policy_provider *at = policy_find_provider(p, slice_of(provider));

    assert_non_null(at);
    return policy_find_price(p, at, slice_of(model));
}

/* --- which price ----------------------------------------------------------------------------- */

static void
test_own_rows_come_before_the_book(void **state)
{
    struct fixture f;
    struct policy *p;

    (void)state;
    fixture_init_empty(&f);
    fixture_add_provider(&f, "mine", "openai", "https://api.example/v1");
    fixture_add_provider(&f, "other", "openai", "https://api.example/v1");
    fixture_add_price(&f, "kind:openai", "gpt-4o", 1, 1);
    fixture_add_price(&f, "kind:openai", "gpt-*", 2, 2);
    fixture_add_price(&f, "mine", "gpt-4o", 3, 3);
    fixture_add_price(&f, "mine", "o*", 4, 4);
    fixture_add_price(&f, "mine", "o1-*", 5, 5);
    fixture_add_price(&f, "mine", "o1-mini", 6, 6);
    p = fixture_policy(&f, NULL);
    assert_int_equal(find(p, "mine", "gpt-4o")->rates.input, 3);
    assert_int_equal(find(p, "other", "gpt-4o")->rates.input, 1);
    assert_int_equal(find(p, "mine", "gpt-5")->rates.input,
                     2); /* falls through to the book's glob */
    assert_int_equal(find(p, "mine", "o3")->rates.input, 4);
    assert_int_equal(find(p, "mine", "o1-preview")->rates.input, 5); /* the longest glob */
    assert_int_equal(find(p, "mine", "o1-mini")->rates.input, 6);    /* exact before any glob */
    assert_null(find(p, "other", "o1-mini"));
    assert_null(find(p, "other", "claude"));
    policy_unref(p);
    fixture_free(&f);
}

static void
test_absent_prices_are_filled_in(void **state)
{
    struct section_price row = {
        .provider = SLICE("p"), .model = SLICE("m"), .base.rates = {.input = 10, .output = 40}};
    const struct policy_price *price;
    struct fixture f;
    struct policy *p;

    (void)state;
    fixture_init_empty(&f);
    fixture_add_provider(&f, "p", "openai", "https://api.example/v1");
    assert_int_equal(section_put_price_version(&f.prices, SLICE("list-7")), 0);
    assert_int_equal(section_put_price(&f.prices, &row), 0);
    row.model = SLICE("n");
    row.version = SLICE("own");
    section_rates_set(&row.base, CLASS_CACHE_READ, 0); /* given: nothing is charged */
    section_rates_set(&row.base, CLASS_CACHE_WRITE, 12);
    section_rates_set(&row.base, CLASS_REASONING, 50);
    section_rates_set(&row.base, CLASS_AUDIO_OUTPUT, 60);
    section_rates_set(&row.base, CLASS_IMAGES, 70);
    assert_int_equal(section_put_price(&f.prices, &row), 0);
    p = fixture_policy(&f, NULL);
    price = find(p, "p", "m");
    assert_slice_is(price->version, "list-7");
    assert_int_equal(price->rates.cached_input, 10);
    assert_int_equal(price->rates.cache_write, 10);
    assert_int_equal(price->rates.cache_write_1h, 10);
    assert_int_equal(price->rates.reasoning, 40);
    price = find(p, "p", "n");
    assert_slice_is(price->version, "own");
    assert_int_equal(price->rates.cached_input, 0);
    assert_int_equal(price->rates.cache_write, 12);
    assert_int_equal(price->rates.cache_write_1h, 12);
    assert_int_equal(price->rates.reasoning, 50);
    policy_unref(p);
    fixture_free(&f);
}

/* --- what it costs ------------------------------------------------------------------------- */

static void
test_cost_is_exact(void **state)
{
    const struct rates price = {.input = 2500000,
                                .cached_input = 1250000,
                                .cache_write = 3125000,
                                .cache_write_1h = 5000000,
                                .output = 10000000,
                                .reasoning = 10000001};
    nanos cost;

    (void)state;
    /* 1,000 fresh input at 2.50 per million: 0.0025 USD */
    assert_int_equal(rates_cost(&price, &(struct tokens){.input = 1000}, &cost), 0);
    assert_int_equal(cost, 2500000);
    assert_int_equal(rates_cost(&price, &(struct tokens){.of = {1, 2, 4, 8, 16, 32}}, &cost), 0);
    /* 2.5 + 2*1.25 + 4*3.125 + 8*5 + 16*10 + 32*10.000001 = 537.500032 units of 1e-6 USD */
    assert_int_equal(cost, 537500);
    assert_int_equal(rates_cost(&price, &(struct tokens){0}, &cost), 0);
    assert_int_equal(cost, 0);
}

static void
test_cost_rounds_once(void **state)
{
    const struct rates price = {.input = 400, .output = 400};
    nanos cost;

    (void)state;
    /* each line alone would round to 0; their sum, 800 picodollars, is 1 nanodollar */
    assert_int_equal(rates_cost(&price, &(struct tokens){.input = 1, .output = 1}, &cost), 0);
    assert_int_equal(cost, 1);
    assert_int_equal(rates_cost(&price, &(struct tokens){.input = 1}, &cost), 0);
    assert_int_equal(cost, 0);
}

static void
test_cost_refuses_nonsense(void **state)
{
    const struct rates dear = {.input = INT64_MAX,
                               .cached_input = INT64_MAX,
                               .cache_write = INT64_MAX,
                               .cache_write_1h = INT64_MAX,
                               .output = INT64_MAX,
                               .reasoning = INT64_MAX};
    const struct rates unit = {.input = 1000};
    nanos cost;

    (void)state;
    assert_int_equal(rates_cost(&unit, &(struct tokens){.input = -1}, &cost), ERR_RANGE);
    assert_int_equal(rates_cost(&unit, &(struct tokens){.reasoning = -1}, &cost), ERR_RANGE);
    /* the sum of six such lines does not fit 128 bits */
    assert_int_equal(rates_cost(&dear,
                                &(struct tokens){.of = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX,
                                                        INT64_MAX, INT64_MAX}},
                                &cost),
                     ERR_RANGE);
    assert_int_equal(rates_cost(&dear, &(struct tokens){.input = 1001}, &cost), ERR_RANGE);
    assert_int_equal(rates_cost(&unit, &(struct tokens){.input = INT64_MAX}, &cost), 0);
    assert_int_equal(cost, INT64_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_rows_come_before_the_book),
        cmocka_unit_test(test_absent_prices_are_filled_in),
        cmocka_unit_test(test_cost_is_exact),
        cmocka_unit_test(test_cost_rounds_once),
        cmocka_unit_test(test_cost_refuses_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
