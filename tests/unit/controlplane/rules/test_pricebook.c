/* The built-in price book: every row is sound, none twice, and a few are as everybody knows them.
 */
#include "controlplane/rules/pricebook.h"

#include "lib/base/map.h"
#include "lib/base/money.h"
#include "lib/policy/provider_kinds.h"
#include "tests/unit/check.h"

static bool
has_price(const struct section_rates *r)
{
    for (int c = 0; c < USAGE_CLASSES; c++)
        if (r->rates.of[c] > 0)
            return true;
    return false;
}

/* A provider that charges more for what it has cached, or less for what it writes than for what it
 * reads, has been written down wrongly. */
static void
assert_plausible(const struct section_rates *r, const struct section_price *p)
{
    const struct rates *x = &r->rates;
    picos_tok input = section_rates_has(r, CLASS_INPUT) ? x->input : p->base.rates.input;
    bool bad = x->cached_input > input ||
               (section_rates_has(r, CLASS_CACHE_WRITE) && x->cache_write < input) ||
               (section_rates_has(r, CLASS_CACHE_WRITE_1H) && x->cache_write_1h < x->cache_write) ||
               (x->audio_output && x->audio_output < x->audio_input) || x->input > 1000000000 ||
               x->output > 1000000000 || x->image > 10000000000000;

    if (bad)
        fail_msg("%.*s %.*s is not plausible", SLICE_ARG(p->provider), SLICE_ARG(p->model));
}

static void
test_every_row_is_sound(void **state)
{
    struct pricebook book;
    struct section_price p;
    size_t n = 0, limited = 0;

    (void)state;
    pricebook_start(&book);
    while (pricebook_next(&book, &p)) {
        size_t star = slice_find(p.model, '*', 0);
        enum provider_kind kind;
        n++;
        assert_true(slice_starts(p.provider, SLICE("kind:")));
        assert_int_equal(provider_kind_parse(slice_from(p.provider, 5), &kind), 0);
        assert_true(p.model.len > 0);
        assert_true(star == p.model.len || star == p.model.len - 1);
        assert_true(p.free != has_price(&p.base));
        assert_true(section_rates_has(&p.base, CLASS_INPUT) ==
                    section_rates_has(&p.base, CLASS_OUTPUT));
        assert_true(slice_eq(p.version, pricebook_version()));
        assert_plausible(&p.base, &p);
        assert_true(p.max_output_tokens >= 0 && p.max_output_tokens < 1000000);
        limited += p.max_output_tokens > 0;
        for (size_t i = 0; i < p.variant_count; i++) {
            assert_true(has_price(&p.variants[i].rates));
            assert_plausible(&p.variants[i].rates, &p);
        }
    }
    assert_true(n > 800);
    assert_true(limited > 150);
    assert_slice_is(pricebook_version(), "builtin-2026-08-21");
}

static void
test_no_model_is_priced_twice(void **state)
{
    static int seen;
    struct pricebook book;
    struct section_price p;
    struct arena names;
    struct map models;

    (void)state;
    map_init(&models);
    arena_init(&names, 0);
    pricebook_start(&book);
    while (pricebook_next(&book, &p)) {
        struct buf name;
        buf_init(&name, 0);
        assert_int_equal(buf_addf(&name, "%.*s/%.*s", SLICE_ARG(p.provider), SLICE_ARG(p.model)),
                         0);
        if (map_find(&models, buf_slice(&name)))
            fail_msg("%s is priced twice", buf_str(&name));
        assert_int_equal(map_put(&models, arena_copy(&names, buf_slice(&name)), &seen), 0);
        buf_free(&name);
    }
    arena_free(&names);
    map_free(&models);
}

static struct section_price
find(struct pricebook *book, const char *kind, const char *model)
{
    struct section_price p;

    pricebook_start(book);
    while (pricebook_next(book, &p))
        if (slice_is(slice_from(p.provider, 5), kind) && slice_is(p.model, model))
            return p;
    fail_msg("%s of %s has no price", model, kind);
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
    static const struct {
        const char *kind, *model, *input, *output, *cached;
    } known[] = {
        {"openai", "gpt-4o", "2.50", "10.00", "1.25"},
        {"openai", "gpt-4o-mini", "0.15", "0.60", "0.075"},
        {"openai", "gpt-5", "1.25", "10.00", "0.125"},
        {"openai", "gpt-4.1-nano", "0.10", "0.40", "0.025"},
        {"openai", "text-embedding-3-small", "0.02", "0.00", NULL},
        {"azure-openai", "gpt-4o", "2.50", "10.00", "1.25"},
        {"anthropic", "claude-sonnet-4-5", "3.00", "15.00", "0.30"},
        {"anthropic", "claude-haiku-4-5", "1.00", "5.00", "0.10"},
        {"gemini", "gemini-2.5-pro", "1.25", "10.00", "0.125"},
        {"vertex", "gemini-2.5-flash", "0.30", "2.50", "0.03"},
        {"bedrock", "amazon.nova-lite-v1:0", "0.06", "0.24", "0.03"},
        {"bedrock", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.60", "18.00", NULL},
        {"mistral", "mistral-small-latest", "0.10", "0.30", NULL},
        {"groq", "llama-3.3-70b-versatile", "0.59", "0.79", NULL},
        {"xai", "grok-4", "3.00", "15.00", NULL},
        {"cerebras", "gpt-oss-120b", "0.35", "0.75", NULL},
        {"perplexity", "sonar", "1.00", "1.00", NULL},
        {"simulator", "*", "0.50", "1.50", "0.25"},
    };
    struct pricebook book;

    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        struct section_price p = find(&book, known[i].kind, known[i].model);
        assert_per_mtok(p.base.rates.input, known[i].input);
        assert_per_mtok(p.base.rates.output, known[i].output);
        if (known[i].cached)
            assert_per_mtok(p.base.rates.cached_input, known[i].cached);
    }
}

static void
test_known_circumstances_and_units(void **state)
{
    struct pricebook book;
    struct section_price p = find(&book, "gemini", "gemini-2.5-pro");

    (void)state;
    assert_int_equal(p.variant_count, 2);
    assert_int_equal(p.variants[0].input_tokens_over, 200000);
    assert_int_equal(p.variants[0].service_tier, TIER_STANDARD);
    assert_per_mtok(p.variants[0].rates.rates.input, "2.50");
    assert_per_mtok(p.variants[0].rates.rates.output, "15.00");
    assert_int_equal(p.variants[1].service_tier, TIER_BATCH);
    assert_per_mtok(p.variants[1].rates.rates.input, "0.625");
    assert_int_equal(find(&book, "cohere", "rerank-v3.5").base.rates.search_unit, 2000000000);
    assert_int_equal(find(&book, "openai", "whisper-1").base.rates.audio_minute, 6000000000);
    assert_per_mtok(find(&book, "openai", "tts-1").base.rates.character, "15.00");
    assert_int_equal(find(&book, "gemini", "imagen-4.0-generate-001").base.rates.image,
                     40000000000);
    assert_int_equal(find(&book, "openai", "gpt-4o").base.rates.web_search, 10000000000);
    assert_true(find(&book, "openai", "omni-moderation-latest").free);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_sound),
        cmocka_unit_test(test_no_model_is_priced_twice),
        cmocka_unit_test(test_known_prices),
        cmocka_unit_test(test_known_circumstances_and_units),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
