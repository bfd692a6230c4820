#include "tests/unit/check.h"

#include "lib/base/buf.h"

static void
test_add_and_drop(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    assert_int_equal(buf_slice(&b).len, 0);
    assert_int_equal(buf_add_str(&b, "hello "), 0);
    assert_int_equal(buf_addf(&b, "%s %d", "world", 42), 0);
    assert_slice_is(buf_slice(&b), "hello world 42");
    buf_drop(&b, 6);
    assert_slice_is(buf_slice(&b), "world 42");
    assert_string_equal(buf_str(&b), "world 42");
    buf_drop(&b, 8);
    assert_int_equal(b.len, 0);
    assert_ptr_equal(b.at, b.base);
    assert_int_equal(buf_add(&b, NULL, 0), 0);
    assert_string_equal(buf_str(&b), "");
    buf_free(&b);
    buf_free(&b);
    buf_free(NULL);
}

static void
test_the_bound_holds(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 8);
    assert_int_equal(buf_add_str(&b, "12345678"), 0);
    assert_int_equal(buf_add_str(&b, "9"), ERR_LIMIT);
    assert_int_equal(buf_addf(&b, "%d", 9), ERR_LIMIT);
    assert_null(buf_reserve(&b, 1));
    assert_non_null(buf_reserve(&b, 0));
    assert_string_equal(buf_str(&b), "12345678"); /* its NUL is not counted */
    buf_drop(&b, 3);
    assert_int_equal(buf_add_str(&b, "abc"), 0);
    assert_int_equal(buf_add_str(&b, "d"), ERR_LIMIT);
    assert_int_equal(buf_add(&b, "x", SIZE_MAX), ERR_LIMIT);
    assert_slice_is(buf_slice(&b), "45678abc");
    buf_free(&b);
    assert_int_equal(b.max, 8);
}

static void
test_absurd_sizes_are_refused(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    assert_int_equal(buf_add_str(&b, "x"), 0);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_null(buf_reserve(&b, SIZE_MAX - 1));
    assert_slice_is(buf_slice(&b), "x");
    buf_free(&b);
}

static void
test_reserve_and_commit(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    char *at = buf_reserve(&b, 1000);
    assert_non_null(at);
    memset(at, 'x', 1000);
    buf_commit(&b, 10);
    assert_slice_is(buf_slice(&b), "xxxxxxxxxx");
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_true(b.cap >= 1000);
    buf_wipe(&b);
    assert_null(b.base);
}

/* Against a plain array: random adds and drops, the content is always the same. */
static void
test_it_is_a_queue(void **state)
{
    static unsigned char model[1 << 20];
    uint64_t seed = test_seed();
    size_t first = 0, last = 0;
    struct buf b;
    (void)state;
    buf_init(&b, 5000);
    while (last < sizeof(model) - 3000) {
        size_t n = test_below(&seed, 3000);
        if (test_below(&seed, 2)) {
            for (size_t i = 0; i < n; i++)
                model[last + i] = (unsigned char)test_random(&seed);
            int e = buf_add(&b, model + last, n);
            assert_int_equal(e, last - first + n > 5000 ? ERR_LIMIT : 0);
            last += e == 0 ? n : 0;
        } else {
            n = n > last - first ? last - first : n;
            buf_drop(&b, n);
            first += n;
        }
        assert_int_equal(b.len, last - first);
        assert_memory_equal(b.len ? b.at : "", model + first, b.len);
        assert_true(b.cap <= 16384);
    }
    buf_free(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_and_drop),
        cmocka_unit_test(test_the_bound_holds),
        cmocka_unit_test(test_absurd_sizes_are_refused),
        cmocka_unit_test(test_reserve_and_commit),
        cmocka_unit_test(test_it_is_a_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
