#include "tests/unit/check.h"

#include "lib/base/err.h"

static void
test_equality(void **state)
{
    (void)state;
    assert_true(slice_eq(SLICE(""), slice_of(NULL)));
    assert_true(slice_eq(SLICE("a\0b"), SLICE("a\0b")));
    assert_false(slice_eq(SLICE("a\0b"), SLICE("a\0c")));
    assert_false(slice_eq(SLICE("a"), SLICE("ab")));
    assert_true(slice_eq_nocase(SLICE("Content-TYPE"), SLICE("content-type")));
    assert_false(slice_eq_nocase(SLICE("[a"), SLICE("{a")));     /* 0x5b, 0x7b: no letters */
    assert_false(slice_eq_nocase(SLICE("\xc9"), SLICE("\xe9"))); /* Latin-1 is not ASCII */
}

static void
test_ends(void **state)
{
    (void)state;
    assert_true(slice_starts(SLICE("gpt-4"), SLICE("gpt-")));
    assert_true(slice_starts(SLICE("gpt-4"), SLICE("")));
    assert_false(slice_starts(SLICE("gp"), SLICE("gpt-")));
    assert_true(slice_ends(SLICE("a.json"), SLICE(".json")));
    assert_false(slice_ends(SLICE("json"), SLICE(".json")));
    assert_true(slice_ends(slice_of(NULL), SLICE("")));
}

static void
test_trim_and_find(void **state)
{
    (void)state;
    assert_slice_is(slice_trim(SLICE(" \t a b\t ")), "a b");
    assert_slice_is(slice_trim(SLICE(" \t")), "");
    assert_slice_is(slice_trim(SLICE("\na\n")), "\na\n");
    assert_int_equal(slice_find(SLICE("abcabc"), 'c', 0), 2);
    assert_int_equal(slice_find(SLICE("abcabc"), 'c', 3), 5);
    assert_int_equal(slice_find(SLICE("abc"), 'x', 0), 3);
    assert_int_equal(slice_find(SLICE("abc"), 'a', 9), 3);
    assert_slice_is(slice_from(SLICE("abc"), 1), "bc");
    assert_int_equal(slice_from(SLICE("abc"), 9).len, 0);
}

static void
test_cut(void **state)
{
    struct slice rest = SLICE("a,,b");
    (void)state;
    assert_slice_is(slice_cut(&rest, ','), "a");
    assert_slice_is(slice_cut(&rest, ','), "");
    assert_non_null(rest.at);
    assert_slice_is(slice_cut(&rest, ','), "b");
    assert_null(rest.at);
    rest = SLICE("a,");
    assert_slice_is(slice_cut(&rest, ','), "a");
    assert_non_null(rest.at); /* there was a comma: an empty piece is still to come */
    assert_slice_is(slice_cut(&rest, ','), "");
    assert_null(rest.at);
}

static void
test_to_u64(void **state)
{
    unsigned long long v = 0;
    (void)state;
    assert_int_equal(slice_to_u64(SLICE("18446744073709551615"), &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(slice_to_u64(SLICE("18446744073709551616"), &v), ERR_RANGE);
    assert_int_equal(slice_to_u64(SLICE("99999999999999999999"), &v), ERR_RANGE);
    assert_int_equal(slice_to_u64(SLICE("0010"), &v), 0);
    assert_int_equal(v, 10);
    assert_int_equal(slice_to_u64(SLICE(""), &v), ERR_SYNTAX);
    assert_int_equal(slice_to_u64(SLICE("+1"), &v), ERR_SYNTAX);
    assert_int_equal(slice_to_u64(SLICE("-1"), &v), ERR_SYNTAX);
    assert_int_equal(slice_to_u64(SLICE("1 "), &v), ERR_SYNTAX);
    /* malformed beats out of range, whatever comes first */
    assert_int_equal(slice_to_u64(SLICE("99999999999999999999x"), &v), ERR_SYNTAX);
}

static void
test_dup(void **state)
{
    (void)state;
    char *copy = slice_dup(SLICE("abc"));
    assert_string_equal(copy, "abc");
    free(copy);
    copy = slice_dup(slice_of(NULL));
    assert_string_equal(copy, "");
    free(copy);
}

static void
test_err_names(void **state)
{
    (void)state;
    assert_string_equal(err_name(0), "ok");
    assert_string_equal(err_name(ERR_NOMEM), "nomem");
    assert_string_equal(err_name(ERR_CANCELLED), "cancelled");
    assert_string_equal(err_name(ERR_CANCELLED - 1), "unknown");
    assert_string_equal(err_name(1), "unknown");
    assert_string_equal(err_name(INT32_MIN), "unknown");
    for (int e = 0; e >= ERR_CANCELLED; e--)
        assert_non_null(err_name(e));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equality),      cmocka_unit_test(test_ends),
        cmocka_unit_test(test_trim_and_find), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_to_u64),        cmocka_unit_test(test_dup),
        cmocka_unit_test(test_err_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
