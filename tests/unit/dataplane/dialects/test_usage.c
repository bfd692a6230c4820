/* What a bound in money must allow for beyond text. */
#include "dataplane/dialects/usage.h"

#include "tests/unit/check.h"

static const struct rates dear = {.input = 1,
                                  .output = 4,
                                  .audio_input = 16,
                                  .audio_output = 4,
                                  .image_input = 1,
                                  .image_output = 48};

static struct tokens
widen(const struct rates *rates, const char *body)
{
    struct tokens most = {.input = 100, .output = 7};

    usage_widen(&most, rates, slice_of(body));
    return most;
}

static void
test_sound_and_pictures_widen_a_bound(void **state)
{
    static const struct {
        const char *body;
        bool audio, image;
    } cases[] = {
        {"{\"messages\":[{\"content\":\"hello\"}]}", false, false},
        {"{\"type\":\"input_audio\"}", true, false},
        {"{\"modalities\":[\"text\",\"audio\"]}", true, false},
        {"{\"responseModalities\":[\"AUDIO\"]}", true, false},
        {"{\"responseModalities\":[\"IMAGE\"]}", false, true},
        {"{\"type\":\"image_url\"}", false, true},
        {"{\"mimeType\":\"image/png\",\"x\":\"Audio\"}", true, true},
        {"", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct tokens most = widen(&dear, cases[i].body);
        assert_int_equal(most.input, 100);
        assert_int_equal(most.output, 7);
        assert_int_equal(most.audio_input, cases[i].audio ? 100 : 0);
        assert_int_equal(most.audio_output, cases[i].audio ? 7 : 0);
        assert_int_equal(most.image_input, cases[i].image ? 100 : 0);
        assert_int_equal(most.image_output, cases[i].image ? 7 : 0);
    }
}

static void
test_what_costs_no_more_than_text_widens_nothing(void **state)
{
    static const struct rates plain = {
        .input = 2, .output = 8, .audio_input = 2, .audio_output = 8, .image_input = 1};
    struct tokens most = widen(&plain, "{\"type\":\"input_audio\",\"image\":1}");

    (void)state;
    assert_int_equal(most.audio_input, 0);
    assert_int_equal(most.image_input, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_and_pictures_widen_a_bound),
        cmocka_unit_test(test_what_costs_no_more_than_text_widens_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
