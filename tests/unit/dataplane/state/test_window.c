/* What was taken in a window, by parts of it, against a table that keeps every part; and what is
 * due next, against a search of all. */
#include "tests/unit/check.h"

#include "dataplane/state/due.h"
#include "dataplane/state/window.h"

#define STEPS 200000

static uint64_t dice = 7;

static int64_t
roll(uint64_t below)
{
    dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((dice >> 33) % below);
}

static void
test_a_window_counts_what_is_in_it(void **state)
{
    static int64_t taken[STEPS + 200]; /* by bucket */
    struct window w;
    int64_t now = 0, used = 0, left = 0;

    (void)state;
    window_init(&w, 60);
    for (int i = 0; i < STEPS && now < STEPS; i++) {
        int64_t before = now, bucket, amount, first, leaves = INT64_MAX;

        now += roll(20) ? roll(3) : roll(150);
        for (left = 0; before < now; before++)
            left += before + 1 >= WINDOW_LIVE ? taken[before + 1 - WINDOW_LIVE] : 0;
        used -= left;
        assert_int_equal(window_roll(&w, now), left);
        bucket = now - roll(WINDOW_LIVE);
        if (bucket < 0)
            continue;
        assert_false(window_has_left(&w, bucket));
        assert_true(window_has_left(&w, now - WINDOW_LIVE));
        amount = roll(2) ? roll(9) : -taken[bucket];
        window_add(&w, bucket, amount);
        taken[bucket] += amount;
        used += amount;
        first = now - WINDOW_LIVE + 1 > 0 ? now - WINDOW_LIVE + 1 : 0;
        for (int64_t b = now; b >= first; b--)
            leaves = taken[b] ? b + WINDOW_LIVE : leaves;
        assert_int_equal(window_next_ms(&w), leaves);
        assert_int_equal(window_leaves_ms(&w, 1), leaves);
        assert_int_equal(window_leaves_ms(&w, used + 1), INT64_MAX);
    }
    assert_true(now > 1000);
    assert_int_equal(window_roll(&w, now + WINDOW_LIVE), used);
    assert_int_equal(w.cap, 0); /* nothing is kept that is not needed */
    window_fini(&w);
}

static void
test_without_a_window_nothing_is_kept(void **state)
{
    struct window w;

    (void)state;
    window_init(&w, 0);
    window_add(&w, 0, 5);
    assert_int_equal(window_roll(&w, 1000000), 0);
    assert_int_equal(window_next_ms(&w), INT64_MAX);
    window_fini(&w);
}

#define ITEMS 100

static void
test_the_first_that_is_due(void **state)
{
    struct due items[ITEMS] = {{0}};
    struct due_heap heap = {0};

    (void)state;
    assert_int_equal(due_reserve(&heap, ITEMS), 0);
    for (int i = 0; i < 20000; i++) {
        struct due *d = &items[roll(ITEMS)];
        int64_t first = INT64_MAX;

        if (d->place)
            due_remove(&heap, d);
        else
            due_put(&heap, d, roll(50));
        for (int k = 0; k < ITEMS; k++)
            if (items[k].place && items[k].at_ms < first)
                first = items[k].at_ms;
        if (due_first(&heap))
            assert_int_equal(due_first(&heap)->at_ms, first);
        else
            assert_int_equal(first, INT64_MAX);
    }
    due_free(&heap);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_window_counts_what_is_in_it),
        cmocka_unit_test(test_without_a_window_nothing_is_kept),
        cmocka_unit_test(test_the_first_that_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
