/* The heap of what is due: against a plain search, whatever is put in and taken out. */
#include "tests/unit/check.h"

#include "dataplane/state/due.h"

#define ITEMS 200

static struct due items[ITEMS];
static struct due_heap heap;

static uint32_t
roll(uint32_t *dice)
{
    *dice = *dice * 1664525u + 1013904223u;
    return *dice >> 16;
}

static int64_t
soonest(void)
{
    int64_t least = INT64_MAX;

    for (size_t i = 0; i < ITEMS; i++)
        if (items[i].place && items[i].at_ms < least)
            least = items[i].at_ms;
    return least;
}

static void
test_the_first_is_the_soonest(void **state)
{
    uint32_t dice = 7;
    size_t in = 0;

    (void)state;
    assert_null(due_first(&heap));
    assert_int_equal(due_reserve(&heap, ITEMS), 0);
    for (int n = 0; n < 20000; n++) {
        struct due *d = &items[roll(&dice) % ITEMS];

        if (d->place) {
            due_remove(&heap, d);
            in--;
        } else {
            due_put(&heap, d, roll(&dice) % 50); /* many at the same time */
            in++;
        }
        assert_int_equal(heap.count, in);
        if (in)
            assert_int_equal(due_first(&heap)->at_ms, soonest());
    }
    for (int64_t last = 0; in; in--) { /* in order */
        struct due *d = due_first(&heap);

        assert_true(d->at_ms >= last);
        last = d->at_ms;
        due_remove(&heap, d);
        assert_int_equal(d->place, 0);
    }
    assert_null(due_first(&heap));
    due_free(&heap);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_is_the_soonest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
