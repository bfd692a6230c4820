/* The flood accounting alone: its clock is an argument, its input any bytes in any pieces. */
#include "tests/unit/check.h"

#include <nghttp2/nghttp2.h>

#include "lib/http/h2_guard.h"

static struct h2_guard guard;
static const char *why;

static int
setup(void **state)
{
    (void)state;
    h2_guard_init(&guard, 0, false, 0);
    why = NULL;
    return 0;
}

static uint32_t
push_at(const void *bytes, size_t n, int64_t now_ms)
{
    return h2_guard_push(&guard, slice_make(bytes, n), 0, now_ms, &why);
}

static uint32_t
push(const void *bytes, size_t n)
{
    return push_at(bytes, n, 0);
}

static const char reset_frame[13] = {0, 0, 4, NGHTTP2_RST_STREAM, 0, 0, 0, 0, 1};

static void
test_resets_refill_at_their_rate(void **state)
{
    (void)state;
    for (int i = 0; i < LIMIT_H2_RESET_BURST; i++)
        assert_int_equal(push(reset_frame, 13), 0);
    assert_int_equal(push(reset_frame, 13), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_non_null(why);
    /* A second later there are 33 more, and not one besides. */
    setup(NULL);
    for (int i = 0; i < LIMIT_H2_RESET_BURST; i++)
        assert_int_equal(push(reset_frame, 13), 0);
    for (int i = 0; i < LIMIT_H2_RESET_RATE; i++)
        assert_int_equal(push_at(reset_frame, 13, 1000), 0);
    assert_int_equal(push_at(reset_frame, 13, 1000), NGHTTP2_ENHANCE_YOUR_CALM);
}

static void
test_a_rest_fills_no_more_than_the_burst(void **state)
{
    (void)state;
    int64_t day_ms = 86400 * 1000;
    for (int i = 0; i < LIMIT_H2_RESET_BURST; i++)
        assert_int_equal(push_at(reset_frame, 13, day_ms), 0);
    assert_int_equal(push_at(reset_frame, 13, day_ms), NGHTTP2_ENHANCE_YOUR_CALM);
}

static void
test_clients_let_themselves_be_refused(void **state)
{
    (void)state;
    h2_guard_init(&guard, 0, true, 0);
    for (int i = 0; i < 10 * LIMIT_H2_RESET_BURST; i++)
        assert_int_equal(push(reset_frame, 13), 0);
}

/* What a frame costs, found by how many it takes to empty the bucket. */
static int
count_until_empty(const char *frame, size_t n, size_t streams)
{
    setup(NULL);
    for (int i = 0; i < 3 * LIMIT_H2_GLITCH_BURST; i++)
        if (h2_guard_push(&guard, slice_make(frame, n), streams, 0, &why) != 0)
            return i;
    return -1;
}

static void
test_weights(void **state)
{
    (void)state;
    static const char empty[9] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
    static const char last[9] = {0, 0, 0, 0, 1, 0, 0, 0, 1};
    static const char tiny[10] = {0, 0, 1, 0, 0, 0, 0, 0, 1, 'x'};
    static const char fine[17] = {0, 0, 8, 0, 0, 0, 0, 0, 1};
    static const char padded[14] = {0, 0, 5, 0, NGHTTP2_FLAG_PADDED, 0, 0, 0, 1, 4};
    static const char settings[9] = {0, 0, 0, 4};
    static const char small_window[13] = {0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0, 63};
    static const char window[13] = {0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0, 64};
    static const char unknown[9] = {0, 0, 0, 0x77};
    assert_int_equal(count_until_empty(empty, 9, 0), LIMIT_H2_GLITCH_BURST);
    assert_int_equal(count_until_empty(last, 9, 0), -1);
    assert_int_equal(count_until_empty(tiny, 10, 0), LIMIT_H2_GLITCH_BURST);
    assert_int_equal(count_until_empty(fine, 17, 0), -1);
    assert_int_equal(count_until_empty(padded, 14, 0), LIMIT_H2_GLITCH_BURST);
    assert_int_equal(count_until_empty(settings, 9, 0), LIMIT_H2_GLITCH_BURST);
    assert_int_equal(count_until_empty(settings, 9, 128), LIMIT_H2_GLITCH_BURST / 17);
    assert_int_equal(count_until_empty(small_window, 13, 0), LIMIT_H2_GLITCH_BURST);
    assert_int_equal(count_until_empty(window, 13, 0), -1);
    assert_int_equal(count_until_empty(unknown, 9, 0), LIMIT_H2_GLITCH_BURST);
}

/* However the bytes are cut, the same frames are seen. */
static void
test_every_split_is_the_same(void **state)
{
    (void)state;
    static const char stream[] = "\0\0\x05\0\x08\0\0\0\1\3x\0\0\0" /* padded DATA of one byte */
                                 "\0\0\4\x08\0\0\0\0\0\0\0\0\1"    /* WINDOW_UPDATE +1 */
                                 "\0\0\1\1\0\0\0\0\1\x82"          /* HEADERS, open */
                                 "\0\0\0\x09\0\0\0\0\1"            /* CONTINUATION, empty */
                                 "\0\0\1\x09\4\0\0\0\1\x84"        /* CONTINUATION, the end */
                                 "\0\0\x08\6\0\0\0\0\0"
                                 "12345678"; /* PING */
    const size_t n = sizeof(stream) - 1;
    assert_int_equal(push(stream, n), 0);
    struct h2_guard whole = guard;
    for (size_t first = 1; first < n; first++) {
        setup(NULL);
        assert_int_equal(push(stream, first), 0);
        assert_int_equal(push(stream + first, n - first), 0);
        assert_int_equal(guard.glitches.millitokens, whole.glitches.millitokens);
        assert_int_equal(guard.left, 0);
        assert_int_equal(guard.have, 0);
        assert_int_equal(guard.block_since_ms, -1);
        assert_int_equal(guard.last_id, 1);
    }
    assert_int_equal(whole.glitches.millitokens, 1000 * (LIMIT_H2_GLITCH_BURST - 3));
}

static void
test_open_block_keeps_its_beginning(void **state)
{
    (void)state;
    assert_int_equal(push_at("\0\0\1\1\0\0\0\0\1\x82", 10, 5), 0);
    assert_int_equal(guard.block_since_ms, 5);
    assert_int_equal(push_at("\0\0\0\x09\0\0\0\0\1", 9, 9), 0);
    assert_int_equal(guard.block_since_ms, 5);
    assert_int_equal(push_at("\0\0\1\x09\4\0\0\0\1", 9, 10), 0);
    assert_int_equal(guard.block_since_ms, 5); /* its last byte is still missing */
    assert_int_equal(push_at("\x84", 1, 11), 0);
    assert_int_equal(guard.block_since_ms, -1);
}

static void
test_preface_is_passed_over(void **state)
{
    (void)state;
    h2_guard_init(&guard, 24, false, 0);
    assert_int_equal(push("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33), 0);
    assert_int_equal(guard.glitches.millitokens, 1000 * (LIMIT_H2_GLITCH_BURST - 1));
    assert_int_equal(guard.have, 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(test_resets_refill_at_their_rate),
        TEST(test_a_rest_fills_no_more_than_the_burst),
        TEST(test_clients_let_themselves_be_refused),
        TEST(test_weights),
        TEST(test_every_split_is_the_same),
        TEST(test_open_block_keeps_its_beginning),
        TEST(test_preface_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
