/* White box: the allocations of h2_memory.c fail when the test says so. */
#include "tests/unit/check.h"

#include <malloc.h>
#include <nghttp2/nghttp2.h>

static bool refuse;

static void *
test_malloc_of(size_t n)
{
    return refuse ? NULL : malloc(n);
}

static void *
test_calloc_of(size_t count, size_t n)
{
    return refuse ? NULL : calloc(count, n);
}

static void *
test_realloc_of(void *at, size_t n)
{
    return refuse ? NULL : realloc(at, n);
}

#define malloc test_malloc_of
#define calloc test_calloc_of
#define realloc test_realloc_of
#include "lib/http/h2_memory.c" /* NOLINT: on purpose */
#undef malloc
#undef calloc
#undef realloc

static int
allow(void **state)
{
    (void)state;
    refuse = false;
    assert_int_equal(h2_memory_in_reserve(), 0);
    return 0;
}

static void
test_small_ones_do_not_fail(void **state)
{
    nghttp2_mem *m = h2_memory();
    (void)state;
    refuse = true;
    char *a = m->malloc(100, NULL), *b = m->calloc(10, 10, NULL),
         *c = m->realloc(NULL, SLOT_BYTES, NULL);
    assert_true(a && b && c);
    assert_int_equal(h2_memory_in_reserve(), 3);
    for (int i = 0; i < 100; i++)
        assert_int_equal(b[i], 0);
    memset(c, 'x', SLOT_BYTES);
    m->free(a, NULL);
    assert_int_equal(h2_memory_in_reserve(), 2);
    a = m->calloc(1, 1000, NULL); /* a slot used before is zeroed again */
    for (int i = 0; i < 1000; i++)
        assert_int_equal(a[i], 0);
    m->free(a, NULL);
    m->free(b, NULL);
    m->free(c, NULL);
    m->free(NULL, NULL);
    assert_int_equal(h2_memory_in_reserve(), 0);
}

static void
test_large_ones_fail(void **state)
{
    nghttp2_mem *m = h2_memory();
    (void)state;
    refuse = true;
    assert_null(m->malloc(SLOT_BYTES + 1, NULL));
    assert_null(m->calloc(2, SLOT_BYTES, NULL));
    assert_null(m->calloc(SIZE_MAX, SIZE_MAX, NULL));
    assert_null(m->realloc(NULL, SLOT_BYTES + 1, NULL));
    assert_int_equal(h2_memory_in_reserve(), 0);
}

static void
test_growing_keeps_the_content(void **state)
{
    nghttp2_mem *m = h2_memory();
    (void)state;
    char *at = m->malloc(16, NULL);
    memcpy(at, "0123456789abcde", 16);
    refuse = true;
    at = m->realloc(at, 500, NULL); /* into the reserve */
    assert_int_equal(h2_memory_in_reserve(), 1);
    assert_string_equal(at, "0123456789abcde");
    assert_ptr_equal(m->realloc(at, 1500, NULL), at); /* its slot is large enough */
    assert_null(m->realloc(at, SLOT_BYTES + 1, NULL));
    assert_string_equal(at, "0123456789abcde"); /* and is still there */
    refuse = false;
    at = m->realloc(at, 100000, NULL); /* out of it again */
    assert_int_equal(h2_memory_in_reserve(), 0);
    assert_string_equal(at, "0123456789abcde");
    m->free(at, NULL);
}

static void
test_all_of_the_reserve(void **state)
{
    nghttp2_mem *m = h2_memory();
    void *held[SLOTS];
    (void)state;
    refuse = true;
    for (size_t i = 0; i < SLOTS; i++) {
        held[i] = m->malloc(SLOT_BYTES, NULL);
        memset(held[i], (int)i, SLOT_BYTES);
    }
    assert_int_equal(h2_memory_in_reserve(), SLOTS);
    for (size_t i = 0; i < SLOTS; i++) {
        assert_int_equal(((unsigned char *)held[i])[SLOT_BYTES - 1], i);
        m->free(held[i], NULL);
    }
    assert_int_equal(h2_memory_in_reserve(), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, allow)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_small_ones_do_not_fail),
        TEST(test_large_ones_fail),
        TEST(test_growing_keeps_the_content),
        TEST(test_all_of_the_reserve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
