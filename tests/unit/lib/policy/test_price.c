/* Which rates apply when, what stands in for what was not given, and that a bound is one. */
#include "lib/policy/policy_internal.h"

#include "tests/unit/check.h"

static struct arena arena;

static int
start(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

#define GIVEN(c) (UINT32_C(1) << (c))

static struct policy_price
fill(const struct section_price *p)
{
    struct policy_price price = {0};

    assert_int_equal(price_fill(&price, p, &arena), 0);
    return price;
}

static nanos
cost(const struct policy_price *price, enum service_tier tier, struct tokens t)
{
    struct circumstances c = circumstances_of(&t, tier);
    nanos sum;

    assert_int_equal(policy_cost(price, &c, &t, &sum), 0);
    return sum;
}

/* --- what was not given ----------------------------------------------------------------------- */

static void
test_stand_ins(void **state)
{
    const struct section_price p = {.base.rates = {.input = 10, .output = 40}};
    struct policy_price price = fill(&p);
    const struct rates want = {
        .input = 10,
        .cached_input = 10,
        .cache_write = 10,
        .cache_write_1h = 10,
        .output = 40,
        .reasoning = 40,
        .audio_input = 10,
        .audio_output = 40,
        .image_input = 10,
        .image_output = 40,
        /* what is no token costs nothing */
    };

    (void)state;
    assert_memory_equal(&price.rates, &want, sizeof(want));
    assert_null(price.variants);
}

/* A long cache write stands in by the short one, not by the input. */
static void
test_the_hour_follows_the_five_minutes(void **state)
{
    struct section_price p = {.base.rates = {.input = 10, .output = 40}};

    (void)state;
    section_rates_set(&p.base, CLASS_CACHE_WRITE, 12);
    assert_int_equal(fill(&p).rates.cache_write_1h, 12);
    section_rates_set(&p.base, CLASS_CACHE_WRITE_1H, 20);
    assert_int_equal(fill(&p).rates.cache_write_1h, 20);
    section_rates_set(&p.base, CLASS_CACHE_READ, 0); /* given: nothing is charged */
    assert_int_equal(fill(&p).rates.cached_input, 0);
}

static void
test_a_variant_gives_only_what_differs(void **state)
{
    const struct section_variant batch = {
        .service_tier = TIER_BATCH,
        .rates = {.rates = {.input = 5, .output = 20}, .given = GIVEN(0) | GIVEN(CLASS_OUTPUT)}};
    struct section_price p = {
        .base.rates = {.input = 10, .output = 40}, .variants = &batch, .variant_count = 1};
    struct circumstances c = {.tier = TIER_BATCH};
    struct policy_price price;
    const struct rates *r;

    (void)state;
    section_rates_set(&p.base, CLASS_CACHE_READ, 3);
    section_rates_set(&p.base, CLASS_WEB_SEARCHES, 100);
    price = fill(&p);
    r = policy_rates(&price, &c);
    assert_int_equal(r->input, 5);
    assert_int_equal(r->cached_input, 3);  /* the base's */
    assert_int_equal(r->web_search, 100);  /* the base's */
    assert_int_equal(r->cache_write, 5);   /* nobody's: the variant's input */
    assert_int_equal(r->audio_output, 20); /* nobody's: the variant's output */
    c.tier = TIER_FLEX;                    /* of which nothing is said */
    assert_int_equal(policy_rates(&price, &c)->input, 10);
}

/* --- tiers and thresholds --------------------------------------------------------------------- */

/* gemini-2.5-pro as its list has it, in dollars per million tokens: 1.25/10, above 200,000 tokens
 * of input 2.50/15; half of it in batches, whose long prices the list does not name. */
static const struct section_variant long_or_batch[] = {
    {.input_tokens_over = 200000,
     .rates = {.rates = {.input = 2500000, .cached_input = 250000, .output = 15000000},
               .given = GIVEN(CLASS_INPUT) | GIVEN(CLASS_CACHE_READ) | GIVEN(CLASS_OUTPUT)}},
    {.service_tier = TIER_BATCH,
     .rates = {.rates = {.input = 625000, .output = 5000000},
               .given = GIVEN(CLASS_INPUT) | GIVEN(CLASS_OUTPUT)}},
    {.service_tier = TIER_PRIORITY,
     .rates = {.rates = {.input = 2250000, .output = 18000000},
               .given = GIVEN(CLASS_INPUT) | GIVEN(CLASS_OUTPUT)}},
};
static const struct section_price tiered = {
    .base = {.rates = {.input = 1250000, .cached_input = 125000, .output = 10000000},
             .given = GIVEN(CLASS_CACHE_READ)},
    .variants = long_or_batch,
    .variant_count = 3,
};

static void
test_a_long_input_changes_the_price_of_all_of_it(void **state)
{
    struct policy_price price = fill(&tiered);

    (void)state;
    /* 200,000 is not over: 0.25 + 0.01 dollars */
    assert_int_equal(cost(&price, TIER_STANDARD, (struct tokens){.input = 200000, .output = 1000}),
                     260000000);
    /* one more: 0.5000025 + 0.015 */
    assert_int_equal(cost(&price, TIER_STANDARD, (struct tokens){.input = 200001, .output = 1000}),
                     515002500);
    /* all kinds of input count: 100,000 fresh, 100,000 cached, 1 of sound */
    assert_int_equal(cost(&price, TIER_STANDARD,
                          (struct tokens){.input = 100000, .cache_read = 100000, .audio_input = 1}),
                     250000000 + 25000000 + 2500);
    /* output does not */
    assert_int_equal(cost(&price, TIER_STANDARD, (struct tokens){.input = 1, .output = 300000}),
                     1250 + 3000000000);
}

static void
test_a_service_tier_has_its_prices(void **state)
{
    struct policy_price price = fill(&tiered);
    const struct tokens t = {.input = 1000, .output = 1000};

    (void)state;
    assert_int_equal(cost(&price, TIER_STANDARD, t), 1250000 + 10000000);
    assert_int_equal(cost(&price, TIER_BATCH, t), 625000 + 5000000);
    assert_int_equal(cost(&price, TIER_PRIORITY, t), 2250000 + 18000000);
    assert_int_equal(cost(&price, TIER_FLEX, t), 1250000 + 10000000);
}

/* What the list does not say: never cheaper than what it does say of either. */
static void
test_a_tier_beyond_a_threshold_nobody_gave(void **state)
{
    struct policy_price price = fill(&tiered);
    const struct tokens t = {.input = 1000000, .output = 1000};

    (void)state;
    assert_int_equal(cost(&price, TIER_BATCH, t), 2500000000 + 15000000);
    assert_int_equal(cost(&price, TIER_PRIORITY, t), 2500000000 + 18000000);
    assert_int_equal(cost(&price, TIER_FLEX, t), 2500000000 + 15000000);
}

static void
test_three_thresholds_in_any_order(void **state)
{
    struct section_variant v[4] = {{.input_tokens_over = 256000},
                                   {.input_tokens_over = 32000},
                                   {.input_tokens_over = 128000},
                                   {.input_tokens_over = 512000}};
    struct section_price p = {.base.rates = {.input = 1000}, .variants = v, .variant_count = 3};
    struct policy_price price = {0};

    (void)state;
    for (int i = 0; i < 4; i++)
        section_rates_set(&v[i].rates, CLASS_INPUT, v[i].input_tokens_over);
    price = fill(&p);
    assert_int_equal(cost(&price, TIER_STANDARD, (struct tokens){.input = 32000}), 32000);
    assert_int_equal(cost(&price, TIER_STANDARD, (struct tokens){.input = 32001}), 32001 * 32);
    assert_int_equal(cost(&price, TIER_STANDARD, (struct tokens){.input = 200000}), 200000 * 128);
    assert_int_equal(cost(&price, TIER_FLEX, (struct tokens){.input = 300000}), 300000 * 256);
    p.variant_count = 4;
    price = (struct policy_price){0};
    assert_int_equal(price_fill(&price, &p, &arena), ERR_LIMIT);
}

/* --- bounds ----------------------------------------------------------------------------------- */

static void
test_a_bound_takes_the_dearest(void **state)
{
    struct section_price p = tiered;
    struct tokens most = {.input = 1000, .output = 100};
    struct policy_price price;
    nanos bound;

    (void)state;
    section_rates_set(&p.base, CLASS_CACHE_WRITE, 3000000);
    section_rates_set(&p.base, CLASS_REASONING, 12000000);
    price = fill(&p);
    /* written to the cache, and thought about */
    assert_int_equal(policy_cost_bound(&price, TIER_STANDARD, &most, &bound), 0);
    assert_int_equal(bound, 3000000 + 1200000);
    /* priority's output is 18, and the base's reasoning is less */
    assert_int_equal(policy_cost_bound(&price, SERVICE_TIERS, &most, &bound), 0);
    assert_int_equal(bound, 3000000 + 1800000);
    /* the threshold cannot be passed by 200,000, but by 200,001 */
    most.input = 200000;
    assert_int_equal(policy_cost_bound(&price, TIER_STANDARD, &most, &bound), 0);
    assert_int_equal(bound, 600000000 + 1200000);
    most.input = 200001;
    assert_int_equal(policy_cost_bound(&price, TIER_STANDARD, &most, &bound), 0);
    assert_int_equal(bound, 600003000 + 1500000);
    most.input = INT64_MAX / 4;
    assert_int_equal(policy_cost_bound(&price, TIER_STANDARD, &most, &bound), ERR_RANGE);
}

static struct section_price
random_price(uint64_t *seed, struct section_variant v[static 6])
{
    struct section_price p = {.variants = v, .variant_count = test_below(seed, 7)};
    static const int64_t overs[] = {1000, 5000, 20000};

    for (int c = 0; c < USAGE_CLASSES; c++)
        if (test_below(seed, 2))
            section_rates_set(&p.base, (enum usage_class)c, (picos_tok)test_below(seed, 100000000));
    for (size_t i = 0; i < p.variant_count; i++) {
        v[i] = (struct section_variant){.service_tier = (uint32_t)(i % 3 + 1),
                                        .input_tokens_over = overs[test_below(seed, 3)] * (i > 2)};
        for (int c = 0; c < USAGE_CLASSES; c++)
            if (test_below(seed, 2))
                section_rates_set(&v[i].rates, (enum usage_class)c,
                                  (picos_tok)test_below(seed, 100000000));
    }
    return p;
}

/* At most n in all, taken apart at random over `count` classes. */
static void
scatter(uint64_t *seed, struct tokens *t, int64_t n, const int *classes, size_t count)
{
    while (n > 0) {
        int64_t part = (int64_t)test_below(seed, (uint64_t)n + 1);
        t->of[classes[test_below(seed, count)]] += part;
        n -= part + (int64_t)test_below(seed, 3);
    }
}

/* Whatever a request uses of what its bound allows, in whichever tier, it costs no more. */
static void
test_a_bound_is_never_passed(void **state)
{
    static const int in[] = {CLASS_INPUT, CLASS_CACHE_READ, CLASS_CACHE_WRITE,
                             CLASS_CACHE_WRITE_1H};
    static const int out[] = {CLASS_OUTPUT, CLASS_REASONING};
    uint64_t seed = test_seed();

    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct section_variant v[6];
        struct section_price p = random_price(&seed, v);
        struct policy_price price = fill(&p);
        struct tokens most = {.input = (int64_t)test_below(&seed, 30000),
                              .output = (int64_t)test_below(&seed, 30000)};
        struct tokens t = {0};
        enum service_tier tier = (enum service_tier)test_below(&seed, SERVICE_TIERS);
        nanos any, of_tier;
        for (int c = CLASS_COMMON; c < USAGE_CLASSES; c++) {
            most.of[c] = (int64_t)test_below(&seed, 3) * (int64_t)test_below(&seed, 5000);
            t.of[c] = (int64_t)test_below(&seed, (uint64_t)most.of[c] + 1);
        }
        scatter(&seed, &t, most.input, in, 4);
        scatter(&seed, &t, most.output, out, 2);
        assert_int_equal(policy_cost_bound(&price, tier, &most, &of_tier), 0);
        assert_int_equal(policy_cost_bound(&price, SERVICE_TIERS, &most, &any), 0);
        assert_true(cost(&price, tier, t) <= of_tier);
        assert_true(of_tier <= any);
        arena_free(&arena);
        arena_init(&arena, 0);
    }
}

/* Two halves of the same circumstances cost what the whole does, up to the rounding of each. */
static void
test_cost_is_additive(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct rates r;
        struct tokens a, b, both;
        nanos of_a, of_b, of_both;
        for (int c = 0; c < USAGE_CLASSES; c++) {
            r.of[c] = (picos_tok)test_below(&seed, 100000000);
            a.of[c] = (int64_t)test_below(&seed, 10000);
            b.of[c] = (int64_t)test_below(&seed, 10000);
            both.of[c] = a.of[c] + b.of[c];
        }
        assert_int_equal(rates_cost(&r, &a, &of_a), 0);
        assert_int_equal(rates_cost(&r, &b, &of_b), 0);
        assert_int_equal(rates_cost(&r, &both, &of_both), 0);
        assert_true(of_both - of_a - of_b >= -1 && of_both - of_a - of_b <= 1);
    }
}

#define IN_ARENA(t) cmocka_unit_test_setup_teardown(t, start, stop)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_ARENA(test_stand_ins),
        IN_ARENA(test_the_hour_follows_the_five_minutes),
        IN_ARENA(test_a_variant_gives_only_what_differs),
        IN_ARENA(test_a_long_input_changes_the_price_of_all_of_it),
        IN_ARENA(test_a_service_tier_has_its_prices),
        IN_ARENA(test_a_tier_beyond_a_threshold_nobody_gave),
        IN_ARENA(test_three_thresholds_in_any_order),
        IN_ARENA(test_a_bound_takes_the_dearest),
        IN_ARENA(test_a_bound_is_never_passed),
        cmocka_unit_test(test_cost_is_additive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
