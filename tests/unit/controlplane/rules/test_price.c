/* Prices as people write them: to rates and back, and what is refused. */
#include "controlplane/rules/price.h"

#include "controlplane/rules/item.h"
#include "tests/unit/check.h"

#define PLAIN                                                                                      \
    "\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok_usd\":\"1\",\"output_per_mtok_usd\":"     \
    "\"2\""

static struct json *
parse(const char *text)
{
    struct json *map = NULL;

    assert_int_equal(json_parse(slice_of(text), &map, NULL, 0), 0);
    return map;
}

static void
test_each_member_in_its_unit(void **state)
{
    struct json *map =
        parse("{\"input_per_mtok_usd\":\"2.50\",\"cached_input_per_mtok_usd\":1.25,"
              "\"cache_write_per_mtok_usd\":\"0\",\"cache_write_1h_per_mtok_usd\":4,"
              "\"output_per_mtok_usd\":\"10\",\"reasoning_per_mtok_usd\":\"11\","
              "\"audio_input_per_mtok_usd\":\"40\",\"audio_output_per_mtok_usd\":\"80\","
              "\"image_input_per_mtok_usd\":\"8\",\"image_output_per_mtok_usd\":\"32\","
              "\"web_search_usd\":\"0.01\",\"search_unit_usd\":\"0.002\","
              "\"image_usd\":\"0.04\",\"audio_minute_usd\":\"0.006\","
              "\"per_mchar_usd\":\"15\"}");
    static const struct rates want = {
        .input = 2500000,
        .cached_input = 1250000,
        .cache_write_1h = 4000000,
        .output = 10000000,
        .reasoning = 11000000,
        .audio_input = 40000000,
        .audio_output = 80000000,
        .image_input = 8000000,
        .image_output = 32000000,
        .web_search = 10000000000,
        .search_unit = 2000000000,
        .image = 40000000000,
        .audio_minute = 6000000000,
        .character = 15000000,
    };
    struct section_price p = {0};
    const char *member;
    struct json *back = json_new_map();

    (void)state;
    assert_int_equal(price_read(map, &p.base, &member), 0);
    assert_memory_equal(&p.base.rates, &want, sizeof(want));
    assert_int_equal(p.base.given, (1 << USAGE_CLASSES) - 1);
    assert_int_equal(price_write(back, &p), 0);
    assert_slice_is(json_str(json_get(back, "web_search_usd")), "0.01");
    assert_slice_is(json_str(json_get(back, "cached_input_per_mtok_usd")), "1.25");
    assert_slice_is(json_str(json_get(back, "cache_write_per_mtok_usd")), "0.00");
    assert_int_equal(json_size(back), USAGE_CLASSES);
    json_free(back);
    json_free(map);
}

static void
test_variants_to_rates_and_back(void **state)
{
    static const char text[] =
        "{\"input_per_mtok_usd\":\"1.00\",\"variants\":[{\"service_tier\":\"batch\","
        "\"input_per_mtok_usd\":\"0.50\"},{\"input_tokens_over\":200000,"
        "\"input_per_mtok_usd\":\"2.00\",\"image_usd\":\"0.03\"}]}";
    struct json *map = parse(text), *back = json_new_map();
    struct section_price p = {0};
    const char *member;
    struct arena a;

    (void)state;
    arena_init(&a, 0);
    assert_int_equal(price_read(map, &p.base, &member), 0);
    assert_int_equal(price_read_variants(map, &a, &p, &member), 0);
    assert_int_equal(p.variant_count, 2);
    assert_int_equal(p.variants[0].service_tier, TIER_BATCH);
    assert_int_equal(p.variants[0].rates.rates.input, 500000);
    assert_int_equal(p.variants[1].input_tokens_over, 200000);
    assert_int_equal(p.variants[1].rates.given, 1 << CLASS_INPUT | 1 << CLASS_IMAGES);
    assert_int_equal(price_write(back, &p), 0);
    assert_true(json_equal(back, map));
    arena_free(&a);
    json_free(back);
    json_free(map);
}

static const struct {
    const char *input, *message; /* NULL: it is fine */
} cases[] = {
    {"{" PLAIN "}", NULL},
    {"{\"provider\":\"p\",\"model\":\"whisper-1\",\"audio_minute_usd\":\"0.006\"}", NULL},
    {"{\"provider\":\"p\",\"model\":\"m\",\"image_usd\":1,\"image_output_per_mtok_usd\":1}",
     "x[1].input_per_mtok_usd: needed"},
    {"{\"provider\":\"p\",\"model\":\"m\",\"variants\":[]}", "x[1].input_per_mtok_usd: needed"},
    {"{" PLAIN ",\"image_usd\":\"-0.01\"}", "x[1].image_usd: must not be negative"},
    {"{" PLAIN ",\"image_usd\":\"9000000\"}", NULL},
    {"{" PLAIN ",\"image_usd\":\"9300000\"}", "x[1].image_usd: must not be negative, nor over"},
    {"{\"provider\":\"p\",\"model\":\"m\",\"free\":true,\"image_usd\":1}",
     "x[1].image_usd: a price that is free"},
    {"{\"provider\":\"p\",\"model\":\"m\",\"free\":true,\"variants\":[{\"service_tier\":\"flex\","
     "\"image_usd\":1}]}",
     "x[1].variants: a price that is free"},
    {"{" PLAIN ",\"variants\":[{\"service_tier\":\"flex\",\"input_per_mtok_usd\":1}]}", NULL},
    {"{" PLAIN ",\"variants\":[{\"input_per_mtok_usd\":1}]}",
     "x[1].variants[0]: needs a service_tier or an input_tokens_over"},
    {"{" PLAIN ",\"variants\":[{\"service_tier\":\"flex\"}]}", "x[1].variants[0]: gives no price"},
    {"{" PLAIN ",\"variants\":[{\"service_tier\":\"fast\",\"input_per_mtok_usd\":1}]}",
     "x[1].variants[0].service_tier: unknown value"},
    {"{" PLAIN ",\"variants\":[{\"input_tokens_over\":-1,\"input_per_mtok_usd\":1}]}",
     "x[1].variants[0].input_tokens_over: "},
    {"{" PLAIN ",\"variants\":[{\"input_tokens_over\":5,\"web_search_usd\":-1}]}",
     "x[1].variants[0].web_search_usd: must not be negative"},
    {"{" PLAIN ",\"variants\":[{\"input_tokens_over\":5,\"input_per_mtok_usd\":1},"
     "{\"service_tier\":\"standard\",\"input_tokens_over\":5,\"input_per_mtok_usd\":2}]}",
     "x[1].variants[1]: the same circumstances as variants[0]"},
    {"{" PLAIN ",\"variants\":[{\"input_tokens_over\":1,\"image_usd\":1},{\"input_tokens_over\":2,"
     "\"image_usd\":1},{\"input_tokens_over\":3,\"image_usd\":1}]}",
     NULL},
    {"{" PLAIN ",\"variants\":[{\"input_tokens_over\":1,\"image_usd\":1},{\"input_tokens_over\":2,"
     "\"image_usd\":1},{\"input_tokens_over\":3,\"image_usd\":1},{\"input_tokens_over\":4,"
     "\"image_usd\":1}]}",
     "x[1].variants: at most 3 different input_tokens_over"},
};

static void
test_what_is_refused(void **state)
{
    struct buf why;

    (void)state;
    buf_init(&why, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct json *map = parse(cases[i].input);
        int err = item_check(kind_at(KIND_PRICES), map, "x[1]", &why);
        json_free(map);
        if (!cases[i].message) {
            if (err)
                fail_msg("case %zu: %s", i, buf_str(&why));
            continue;
        }
        assert_int_equal(err, ERR_SYNTAX);
        if (!slice_starts(buf_slice(&why), slice_of(cases[i].message)))
            fail_msg("case %zu: '%s', not '%s'", i, buf_str(&why), cases[i].message);
    }
    buf_free(&why);
}

/* One spelling for one price, whichever way its variants were written. */
static void
test_a_variant_has_one_spelling(void **state)
{
    struct json *a = parse("{" PLAIN ",\"variants\":[{\"service_tier\":\"standard\","
                           "\"input_tokens_over\":5,\"image_usd\":0.5}]}");
    struct json *b =
        parse("{" PLAIN ",\"variants\":[{\"image_usd\":\"0.500\",\"input_tokens_over\":5}]}");
    struct json *x = item_body(kind_at(KIND_PRICES), a), *y = item_body(kind_at(KIND_PRICES), b);

    (void)state;
    assert_true(json_equal(x, y));
    json_free(x);
    json_free(y);
    json_free(a);
    json_free(b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_member_in_its_unit),
        cmocka_unit_test(test_variants_to_rates_and_back),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_a_variant_has_one_spelling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
