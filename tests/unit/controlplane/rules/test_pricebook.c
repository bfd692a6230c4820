/* The built-in price book: every row is sound, none twice, and a few are as everybody knows them.
 */
#include "controlplane/rules/pricebook.h"

#include "lib/base/map.h"
#include "lib/base/money.h"
#include "tests/unit/check.h"

static void
test_every_row_is_sound(void **state)
{
    (void)state;
    assert_true(pricebook_count() > 100);
    for (size_t i = 0; i < pricebook_count(); i++) {
        struct section_price p = pricebook_at(i);
        size_t star = slice_find(p.model, '*', 0);
        assert_true(slice_starts(p.provider, SLICE("kind:")));
        assert_true(p.model.len > 0);
        assert_true(star == p.model.len || star == p.model.len - 1);
        assert_true(p.base.rates.input > 0 && p.base.rates.output >= 0 && !p.free);
        assert_true(slice_eq(p.version, pricebook_version()));
    }
}

static void
test_no_model_is_priced_twice(void **state)
{
    static int seen;
    struct map models;

    (void)state;
    map_init(&models);
    for (size_t i = 0; i < pricebook_count(); i++) {
        struct section_price p = pricebook_at(i);
        if (slice_is(p.provider, "kind:simulator"))
            continue;
        assert_null(map_find(&models, p.model));
        assert_int_equal(map_put(&models, p.model, &seen), 0);
    }
    map_free(&models);
}

static struct section_price
find(const char *model)
{
    for (size_t i = 0; i < pricebook_count(); i++)
        if (slice_is(pricebook_at(i).model, model))
            return pricebook_at(i);
    fail_msg("%s has no price", model);
    return (struct section_price){0};
}

static void
assert_per_mtok(picos_tok price, const char *want)
{
    char text[MONEY_TEXT_BYTES];

    money_format_per_mtok(price, text);
    assert_string_equal(text, want);
}

static void
test_known_prices(void **state)
{
    struct section_price p = find("gpt-4o");

    (void)state;
    assert_per_mtok(p.base.rates.input, "2.50");
    assert_per_mtok(p.base.rates.cached_input, "1.25");
    assert_per_mtok(p.base.rates.output, "10.00");
    assert_per_mtok(find("gpt-4o-mini").base.rates.input, "0.15");
    assert_per_mtok(find("text-embedding-3-small").base.rates.input, "0.02");
    assert_int_equal(find("text-embedding-3-small").base.rates.output, 0);
    assert_per_mtok(find("gpt-5").base.rates.output, "10.00");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_sound),
        cmocka_unit_test(test_no_model_is_priced_twice),
        cmocka_unit_test(test_known_prices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
