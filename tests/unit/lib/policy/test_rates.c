/* What each class costs, to the nanodollar, and in which order the classes stand. */
#include "lib/policy/rates.h"

#include "tests/unit/check.h"

/* gpt-4o with sound, pictures and all that is not billed by tokens: dollars per million tokens, or
 * for one. */
static const struct rates rates = {
    .input = 2500000,           /* 2.50 */
    .cached_input = 1250000,    /* 1.25 */
    .cache_write = 3125000,     /* 3.125 */
    .cache_write_1h = 5000000,  /* 5 */
    .output = 10000000,         /* 10 */
    .reasoning = 12000000,      /* 12 */
    .audio_input = 40000000,    /* 40 */
    .audio_output = 80000000,   /* 80 */
    .image_input = 8000000,     /* 8 */
    .image_output = 32000000,   /* 32 */
    .web_search = 10000000000,  /* 0.01 a call */
    .search_unit = 2000000000,  /* 0.002 */
    .image = 42000000000,       /* 0.042 */
    .audio_minute = 6000000000, /* 0.006 */
    .character = 15000000,      /* 15 a million */
};

static nanos
cost(const struct rates *r, struct tokens t)
{
    nanos sum;

    assert_int_equal(rates_cost(r, &t, &sum), 0);
    return sum;
}

static void
test_each_class_costs_what_its_rate_says(void **state)
{
    (void)state;
    assert_int_equal(cost(&rates, (struct tokens){.input = 1003}), 2507500);
    assert_int_equal(cost(&rates, (struct tokens){.cache_read = 1003}), 1253750);
    assert_int_equal(cost(&rates, (struct tokens){.cache_write = 1003}), 3134375);
    assert_int_equal(cost(&rates, (struct tokens){.cache_write_1h = 1003}), 5015000);
    assert_int_equal(cost(&rates, (struct tokens){.output = 1003}), 10030000);
    assert_int_equal(cost(&rates, (struct tokens){.reasoning = 1003}), 12036000);
    assert_int_equal(cost(&rates, (struct tokens){.audio_input = 1003}), 40120000);
    assert_int_equal(cost(&rates, (struct tokens){.audio_output = 1003}), 80240000);
    assert_int_equal(cost(&rates, (struct tokens){.image_input = 1003}), 8024000);
    assert_int_equal(cost(&rates, (struct tokens){.image_output = 1003}), 32096000);
    assert_int_equal(cost(&rates, (struct tokens){.web_searches = 3}), 30000000);
    assert_int_equal(cost(&rates, (struct tokens){.search_units = 3}), 6000000);
    assert_int_equal(cost(&rates, (struct tokens){.images = 3}), 126000000);
    assert_int_equal(cost(&rates, (struct tokens){.audio_ms = 90000}), 9000000);
    assert_int_equal(cost(&rates, (struct tokens){.characters = 1003}), 15045000);
}

/* 0.0025 dollars a minute for 1 ms are 41,666.6... picodollars: 41.66... nanodollars; together with
 * what is left of other classes it is rounded once. */
static void
test_a_fraction_of_a_minute_is_exact(void **state)
{
    struct rates r = {.audio_minute = 2500000000, .input = 833};

    (void)state;
    assert_int_equal(cost(&r, (struct tokens){.audio_ms = 1}), 42);
    assert_int_equal(cost(&r, (struct tokens){.audio_ms = 3}), 125);
    /* 41,666.67 + 833 = 42,499.67: below the half, not 42,500 */
    assert_int_equal(cost(&r, (struct tokens){.audio_ms = 1, .input = 1}), 42);
    r.input = 834; /* 42,500.67 */
    assert_int_equal(cost(&r, (struct tokens){.audio_ms = 1, .input = 1}), 43);
}

static void
test_classes_add_up_and_are_rounded_once(void **state)
{
    struct rates r = {0};
    struct tokens t;

    (void)state;
    for (int c = 0; c < USAGE_CLASSES; c++) {
        r.of[c] = c == CLASS_AUDIO_MS ? 40 * MS_PER_MINUTE : 40;
        t.of[c] = 1;
    }
    /* 15 times 40 picodollars: each alone would be nothing */
    assert_int_equal(cost(&r, t), 1);
    assert_int_equal(cost(&r, (struct tokens){.characters = 1}), 0);
}

static void
test_what_has_no_rate_is_told(void **state)
{
    struct rates r = rates;

    (void)state;
    for (int c = 0; c < USAGE_CLASSES; c++) {
        struct tokens t = {.input = 1};
        t.of[c] = 1;
        r.of[c] = 0;
        assert_false(rates_are_silent(&rates, &t));
        assert_int_equal(rates_are_silent(&r, &t), c >= CLASS_TOKENS);
        r.of[c] = rates.of[c];
    }
}

static void
test_nonsense_is_refused_in_every_class(void **state)
{
    (void)state;
    for (int c = 0; c < USAGE_CLASSES; c++) {
        struct tokens t = {.input = 1};
        nanos sum;
        t.of[c] = -1;
        assert_int_equal(rates_cost(&rates, &t, &sum), ERR_RANGE);
        t.of[c] = INT64_MAX;
        assert_int_equal(rates_cost(&rates, &t, &sum), ERR_RANGE);
    }
}

static void
test_sides_are_the_sums_of_their_kinds(void **state)
{
    struct tokens t;

    (void)state;
    for (int c = 0; c < USAGE_CLASSES; c++)
        t.of[c] = 1 << c;
    assert_int_equal(tokens_input(&t), 1 + 2 + 4 + 8 + 64 + 256);
    assert_int_equal(tokens_output(&t), 16 + 32 + 128 + 512);
    assert_true(tokens_are_rare(&t));
    for (int c = CLASS_COMMON; c < USAGE_CLASSES; c++)
        t.of[c] = 0;
    assert_false(tokens_are_rare(&t));
    t.characters = 1;
    assert_true(tokens_are_rare(&t));
}

static void
test_names_stand_for_their_classes(void **state)
{
    struct tokens t = {.input = 1, .characters = 15, .web_searches = 11, .image_output = 10};

    (void)state;
    assert_int_equal(t.of[CLASS_INPUT], 1);
    assert_int_equal(t.of[CLASS_CHARACTERS], 15);
    assert_int_equal(t.of[CLASS_WEB_SEARCHES], 11);
    assert_int_equal(t.of[CLASS_IMAGE_OUTPUT], 10);
    assert_int_equal(rates.of[CLASS_AUDIO_MS], rates.audio_minute);
    assert_int_equal(rates.of[CLASS_CACHE_READ], rates.cached_input);
    assert_string_equal(usage_class_name(CLASS_CACHE_WRITE_1H), "cache_write_1h");
    for (int c = 0; c < USAGE_CLASSES; c++)
        assert_non_null(usage_class_name((enum usage_class)c));
}

static void
test_service_tiers_have_names(void **state)
{
    enum service_tier tier;

    (void)state;
    for (int i = 0; i < SERVICE_TIERS; i++) {
        const char *name = service_tier_name((enum service_tier)i);
        assert_int_equal(service_tier_parse(slice_of(name), &tier), 0);
        assert_int_equal(tier, i);
    }
    assert_int_equal(service_tier_parse(SLICE("default"), &tier), 0);
    assert_int_equal(tier, TIER_STANDARD);
    assert_int_equal(service_tier_parse(SLICE("Flex"), &tier), ERR_NOT_FOUND);
    assert_int_equal(tier, TIER_STANDARD);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_class_costs_what_its_rate_says),
        cmocka_unit_test(test_a_fraction_of_a_minute_is_exact),
        cmocka_unit_test(test_classes_add_up_and_are_rounded_once),
        cmocka_unit_test(test_what_has_no_rate_is_told),
        cmocka_unit_test(test_nonsense_is_refused_in_every_class),
        cmocka_unit_test(test_sides_are_the_sums_of_their_kinds),
        cmocka_unit_test(test_names_stand_for_their_classes),
        cmocka_unit_test(test_service_tiers_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
