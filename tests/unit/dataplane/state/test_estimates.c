#include "tests/unit/check.h"

#include "dataplane/state/estimates.h"

#define P SLICE("p")
#define M SLICE("m")

static void
test_before_anything_is_known(void **state)
{
    struct estimates *e = estimates_new();
    (void)state;
    assert_int_equal(estimates_input(e, P, M, 0), 0);
    assert_int_equal(estimates_input(e, P, M, 1), 1);
    assert_int_equal(estimates_input(e, P, M, 3000), 1000);
    assert_int_equal(estimates_output(e, P, M, 300, 10), 100);
    assert_int_equal(estimates_output(e, P, M, 5, 10), 10); /* a piece is a token at least */
    assert_true(estimates_answer(e, P, M) > 0);
    estimates_free(e);
}

static void
test_what_is_reported_is_learned(void **state)
{
    struct estimates *e = estimates_new();
    (void)state;
    for (int i = 0; i < 200; i++)
        estimates_learn(e, P, M, 5000, 1000, 4000, 500);
    assert_in_range(estimates_input(e, P, M, 50000), 9900, 10300);     /* 5 bytes a token */
    assert_in_range(estimates_output(e, P, M, 80000, 1), 9900, 10300); /* 8 */
    assert_in_range(estimates_answer(e, P, M), 450, 510);
    /* nobody else's */
    assert_int_equal(estimates_input(e, P, SLICE("other"), 3000), 1000);
    assert_int_equal(estimates_input(e, SLICE("q"), M, 3000), 1000);
    estimates_free(e);
}

static void
test_nonsense_teaches_little(void **state)
{
    struct estimates *e = estimates_new();
    (void)state;
    for (int i = 0; i < 1000; i++) {
        estimates_learn(e, P, M, UINT64_MAX, 1, UINT64_MAX, 1);
        estimates_learn(e, P, M, 0, 0, 0, 0);
        estimates_learn(e, P, M, 1000, -5, 1000, -5);
    }
    assert_int_equal(estimates_input(e, P, M, 3000), 1000);
    for (int i = 0; i < 1000; i++)
        estimates_learn(e, P, M, 1000000000, 1, 1, 1000000);
    assert_true(estimates_input(e, P, M, 20000) >= 1000);    /* never above 20 bytes a token */
    assert_true(estimates_output(e, P, M, 1000, 1) <= 2000); /* nor below half a byte */
    estimates_free(e);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_anything_is_known),
        cmocka_unit_test(test_what_is_reported_is_learned),
        cmocka_unit_test(test_nonsense_teaches_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
