/* What an import would change, and which changes are not to be believed. */
#include "controlplane/cli/price_diff.h"

#include "tests/unit/check.h"

static struct json *documents[64];
static size_t document_count;

/* Freed at the end of the test. */
static struct json *
doc(const char *text)
{
    struct json *j = NULL;

    assert_int_equal(json_parse(slice_of(text), &j, NULL, 0), 0);
    documents[document_count++] = j;
    return j;
}

static int
stop(void **state)
{
    (void)state;
    while (document_count)
        json_free(documents[--document_count]);
    return 0;
}

static struct price_state
state_of(const char *prices, const char *book)
{
    return (struct price_state){NULL, doc(prices), doc(book)};
}

#define BOOK                                                                                       \
    "[{\"kind\":\"openai\",\"model\":\"m\",\"version\":\"b\",\"input_per_mtok_usd\":\"2.50\","     \
    "\"output_per_mtok_usd\":\"10.00\",\"cached_input_per_mtok_usd\":\"1.25\",\"variants\":["      \
    "{\"service_tier\":\"batch\",\"input_per_mtok_usd\":\"1.25\"}]},"                              \
    "{\"kind\":\"openai\",\"model\":\"n*\",\"input_per_mtok_usd\":\"1\"}]"

static void
check(const struct price_state *s, const char *model, const char *price, const char *items,
      size_t added, size_t changed, size_t implausible)
{
    struct price_diff d;
    struct buf got;

    buf_init(&got, 0);
    assert_int_equal(price_diff_init(&d), 0);
    assert_int_equal(
        price_diff_add(&d, s, SLICE("p"), SLICE("openai"), slice_of(model), doc(price)), 0);
    assert_int_equal(json_write(d.items, false, 0, &got), 0);
    if (!json_equal(d.items, doc(items)))
        fail_msg("%s is not %s", buf_str(&got), items);
    assert_int_equal(d.added, added);
    assert_int_equal(d.changed, changed);
    assert_int_equal(d.unchanged, added + changed == 0);
    assert_int_equal(d.implausible, implausible);
    buf_free(&got);
    price_diff_fini(&d);
}

static void
test_what_is_the_same_is_no_change(void **state)
{
    struct price_state s = state_of("[]", BOOK);

    (void)state;
    check(&s, "m", "{\"input_per_mtok_usd\":\"2.5\",\"output_per_mtok_usd\":\"10\"}", "[]", 0, 0,
          0);
    /* a tier that costs what the price does says nothing */
    check(&s, "m",
          "{\"input_per_mtok_usd\":\"2.50\",\"variants\":[{\"service_tier\":\"flex\","
          "\"input_per_mtok_usd\":\"2.50\"}]}",
          "[]", 0, 0, 0);
}

static void
test_what_the_file_does_not_say_stays(void **state)
{
    struct price_state s = state_of("[]", BOOK);

    (void)state;
    check(&s, "m",
          "{\"input_per_mtok_usd\":\"3.00\",\"variants\":[{\"input_tokens_over\":5,"
          "\"input_per_mtok_usd\":\"6.00\"},{\"service_tier\":\"batch\","
          "\"output_per_mtok_usd\":\"5.00\"}]}",
          "[{\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok_usd\":\"3.00\","
          "\"output_per_mtok_usd\":\"10.00\",\"cached_input_per_mtok_usd\":\"1.25\",\"variants\":["
          "{\"service_tier\":\"batch\",\"input_per_mtok_usd\":\"1.25\","
          "\"output_per_mtok_usd\":\"5.00\"},"
          "{\"input_tokens_over\":5,\"input_per_mtok_usd\":\"6.00\"}]}]",
          0, 1, 0);
}

static void
test_a_new_model(void **state)
{
    struct price_state s = state_of("[]", BOOK);

    (void)state;
    check(&s, "x",
          "{\"input_per_mtok_usd\":\"3.00\",\"output_per_mtok_usd\":\"4.00\",\"variants\":["
          "{\"service_tier\":\"flex\",\"input_per_mtok_usd\":\"1.00\"}]}",
          "[{\"provider\":\"p\",\"model\":\"x\",\"input_per_mtok_usd\":\"3.00\","
          "\"output_per_mtok_usd\":\"4.00\",\"variants\":[{\"service_tier\":\"flex\","
          "\"input_per_mtok_usd\":\"1.00\"}]}]",
          1, 0, 0);
}

static void
test_a_configured_price_keeps_its_name(void **state)
{
    struct price_state s =
        state_of("[{\"name\":\"mine\",\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok_usd\":"
                 "\"2.00\",\"output_per_mtok_usd\":\"9.00\",\"free\":false},"
                 "{\"name\":\"p/x*\",\"provider\":\"p\",\"model\":\"x*\",\"input_per_mtok_usd\":"
                 "\"1.00\"},{\"name\":\"q/m\",\"provider\":\"q\",\"model\":\"m\","
                 "\"input_per_mtok_usd\":\"7.00\"}]",
                 BOOK);

    (void)state;
    check(&s, "m", "{\"input_per_mtok_usd\":\"2.50\"}",
          "[{\"name\":\"mine\",\"provider\":\"p\",\"model\":\"m\",\"input_per_mtok_usd\":\"2.50\","
          "\"output_per_mtok_usd\":\"9.00\"}]",
          0, 1, 0);
    /* a pattern's price applies, but the new row is the model's */
    check(&s, "xyz", "{\"input_per_mtok_usd\":\"2.00\"}",
          "[{\"provider\":\"p\",\"model\":\"xyz\",\"input_per_mtok_usd\":\"2.00\"}]", 0, 1, 0);
}

static void
test_tenfold_is_believed_and_more_is_not(void **state)
{
    struct price_state s =
        state_of("[{\"name\":\"p/z\",\"provider\":\"p\",\"model\":\"z\",\"input_per_mtok_usd\":"
                 "\"1.00\",\"output_per_mtok_usd\":\"0.00\"},{\"name\":\"p/f\",\"provider\":\"p\","
                 "\"model\":\"f\",\"free\":true}]",
                 "[]");
    static const struct {
        const char *model, *price, *item;
        size_t implausible;
    } cases[] = {
        {"z", "{\"input_per_mtok_usd\":\"10.00\"}",
         "\"input_per_mtok_usd\":\"10.00\",\"output_per_mtok_usd\":\"0.00\"", 0},
        {"z", "{\"input_per_mtok_usd\":\"10.000001\"}",
         "\"input_per_mtok_usd\":\"10.000001\",\"output_per_mtok_usd\":\"0.00\"", 1},
        {"z", "{\"input_per_mtok_usd\":\"0.10\"}",
         "\"input_per_mtok_usd\":\"0.10\",\"output_per_mtok_usd\":\"0.00\"", 0},
        {"z", "{\"input_per_mtok_usd\":\"0.099999\"}",
         "\"input_per_mtok_usd\":\"0.099999\",\"output_per_mtok_usd\":\"0.00\"", 1},
        {"z", "{\"input_per_mtok_usd\":\"0.00\"}",
         "\"input_per_mtok_usd\":\"0.00\",\"output_per_mtok_usd\":\"0.00\"", 1},
        {"z", "{\"output_per_mtok_usd\":\"0.01\"}",
         "\"input_per_mtok_usd\":\"1.00\",\"output_per_mtok_usd\":\"0.01\"", 1},
        {"z", "{\"variants\":[{\"service_tier\":\"batch\",\"input_per_mtok_usd\":\"11\"}]}",
         "\"input_per_mtok_usd\":\"1.00\",\"output_per_mtok_usd\":\"0.00\",\"variants\":["
         "{\"service_tier\":\"batch\",\"input_per_mtok_usd\":\"11\"}]",
         1},
        {"f", "{\"input_per_mtok_usd\":\"0.01\"}", "\"input_per_mtok_usd\":\"0.01\"", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char items[512];
        (void)snprintf(items, sizeof(items),
                       "[{\"name\":\"p/%s\",\"provider\":\"p\",\"model\":\"%s\",%s}]",
                       cases[i].model, cases[i].model, cases[i].item);
        check(&s, cases[i].model, cases[i].price, items, 0, 1, cases[i].implausible);
    }
}

static void
test_changes_are_told(void **state)
{
    struct price_state s = state_of("[]", BOOK);
    struct price_diff d;

    (void)state;
    assert_int_equal(price_diff_init(&d), 0);
    assert_int_equal(price_diff_add(&d, &s, SLICE("p"), SLICE("openai"), SLICE("m"),
                                    doc("{\"variants\":[{\"service_tier\":\"batch\","
                                        "\"input_tokens_over\":7,\"image_usd\":\"1\"}]}")),
                     0);
    assert_int_equal(price_diff_add(&d, &s, SLICE("p"), SLICE("openai"), SLICE("x"),
                                    doc("{\"search_unit_usd\":\"0.002\"}")),
                     0);
    assert_true(json_equal(
        d.changes,
        doc("[{\"provider\":\"p\",\"model\":\"m\",\"price\":\"batch over 7 image\",\"old\":null,"
            "\"new\":\"1\",\"implausible\":false},{\"provider\":\"p\",\"model\":\"x\","
            "\"price\":\"new: search unit\",\"old\":null,\"new\":\"0.002\",\"implausible\":false}"
            "]")));
    price_diff_fini(&d);
}

#define TEST(t) cmocka_unit_test_teardown(t, stop)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_the_same_is_no_change),
        TEST(test_what_the_file_does_not_say_stays),
        TEST(test_a_new_model),
        TEST(test_a_configured_price_keeps_its_name),
        TEST(test_tenfold_is_believed_and_more_is_not),
        TEST(test_changes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
