#include "tests/unit/check.h"

#include "lib/base/near.h"

static size_t
distance(const char *a, const char *b)
{
    size_t d = near_distance(slice_of(a), slice_of(b));
    assert_int_equal(d, near_distance(slice_of(b), slice_of(a)));
    return d;
}

static void
test_distances(void **state)
{
    (void)state;
    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("", "abc"), 3);
    assert_int_equal(distance("model", "model"), 0);
    assert_int_equal(distance("modle", "model"), 1); /* swapped */
    assert_int_equal(distance("mdel", "model"), 1);
    assert_int_equal(distance("moddel", "model"), 1);
    assert_int_equal(distance("modal", "model"), 1);
    assert_int_equal(distance("Base-URL", "base_url"), 0);
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_true(distance("x", "0123456789012345678901234567890123456789012345678") == SIZE_MAX);
}

static void
test_near_enough(void **state)
{
    (void)state;
    assert_true(near_enough(SLICE("modle"), SLICE("model"), 1));
    assert_true(near_enough(SLICE("targts"), SLICE("targets"), 1));
    assert_false(near_enough(SLICE("ab"), SLICE("cd"), 2));
    assert_false(near_enough(SLICE("a"), SLICE("b"), 1));
    assert_false(near_enough(SLICE("x"), SLICE("y"), SIZE_MAX));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_near_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
