/* The least number of tokens that a stream can be: sharp enough to find who passes his limit, and
 * never more than the true number, however the text is cut into chunks. */
#include "tests/unit/check.h"

#include "dataplane/stream/meter.h"

static struct meter
metered(const char *const *chunks)
{
    struct meter m = {0};
    for (; *chunks; chunks++)
        meter_text(&m, slice_of(*chunks));
    return m;
}

static uint64_t
sure(const char *const *chunks)
{
    struct meter m = metered(chunks);
    return meter_sure_tokens(&m, true);
}

static void
test_words_are_tokens(void **state)
{
    static const struct {
        const char *chunks[10];
        uint64_t least;
    } rows[] = {
        {{NULL}, 0},
        {{"a", NULL}, 0},
        {{"one ", "two ", "three", NULL}, 2},
        {{"one", " two", " three", NULL}, 2},
        {{"a", " ", "b", " ", "c", NULL}, 2}, /* each space counts once */
        {{" ", " ", " ", " ", NULL}, 0},
        {{"be", "fore", "hand", NULL}, 0},
        {{"one two three ", "four", NULL}, 1},
        {{"a\\n", " b", NULL}, 0},     /* a line's end and a space may be one token */
        {{"a\\u00a0", " b", NULL}, 0}, /* so may two kinds of space */
        {{"a ", "\\u00a0b", NULL}, 0},
        {{"a\xc2\xa0", " b", NULL}, 0},
        {{"a\\\"", " b", NULL}, 0}, /* not looked at closely: too few is safe */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (sure(rows[i].chunks) != rows[i].least)
            fail_msg("row %zu: %d", i, (int)sure(rows[i].chunks));
}

/* A text of which the tokens are known, cut at every length: never more than there are. */
static void
test_no_cutting_makes_more_of_it(void **state)
{
    static const char text[] =
        "The  quick brown fox,   jumps -- over\\n the lazy dog .  \\t Is it so? 12 34";
    const uint64_t words = 17; /* that stand between spaces: each is a token or more */
    (void)state;
    for (size_t step = 1; step < sizeof(text); step++) {
        struct meter m = {0};
        for (size_t at = 0; at < sizeof(text) - 1; at += step) {
            size_t n = sizeof(text) - 1 - at < step ? sizeof(text) - 1 - at : step;
            meter_text(&m, slice_make(text + at, n));
        }
        assert_true(meter_sure_tokens(&m, true) <= words);
        if (step == 1)
            assert_true(meter_sure_tokens(&m, true) >= 12);
    }
}

/* The longest tokens there are: 128 spaces, or as many bytes that JSON writes as six each. */
static void
test_long_tokens(void **state)
{
    char token[6 * 128];
    struct meter m = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(token); i += 6)
        memcpy(token + i, "\\u003d", 6);
    for (uint64_t n = 1; n <= 1000; n++) {
        meter_text(&m, slice_make(token, sizeof(token)));
        assert_int_equal(meter_sure_tokens(&m, true), n);
    }
}

static void
test_a_document_is_no_delta(void **state)
{
    static char text[200000];
    struct meter m = {0};
    (void)state;
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 3; i++)
        meter_text(&m, slice_make(text, sizeof(text)));
    assert_int_equal(meter_sure_tokens(&m, true), 4);
    assert_int_equal(m.bytes, 600000); /* the likely count takes it as it is */
}

/* Of several answers in one stream a chunk follows another's. */
static void
test_of_several_answers_only_bytes_count(void **state)
{
    static const char *const chunks[] = {"a ", "b ", "c ", NULL};
    struct meter m = metered(chunks);
    (void)state;
    assert_int_equal(meter_sure_tokens(&m, true), 2);
    assert_int_equal(meter_sure_tokens(&m, false), 0);
}

static void
test_of_json(void **state)
{
    struct meter m = {0};
    (void)state;
    for (int i = 0; i < 5; i++)
        meter_count(&m, SLICE("{\"choices\":[{\"delta\":{\"content\":\" word\"}}]}"));
    assert_int_equal(m.chunks, 5);
    assert_int_equal(m.bytes, 25);
    assert_int_equal(meter_sure_tokens(&m, true), 4);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_tokens),
        cmocka_unit_test(test_no_cutting_makes_more_of_it),
        cmocka_unit_test(test_long_tokens),
        cmocka_unit_test(test_a_document_is_no_delta),
        cmocka_unit_test(test_of_several_answers_only_bytes_count),
        cmocka_unit_test(test_of_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
