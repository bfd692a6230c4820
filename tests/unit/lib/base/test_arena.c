#include "tests/unit/check.h"

#include "lib/base/arena.h"

static char order[8];

static void
note(void *ctx)
{
    strncat(order, ctx, sizeof(order) - strlen(order) - 1);
}

static void
test_hooks_run_newest_first_and_once(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    assert_int_equal(arena_on_free(&a, note, (char[]){"1"}), 0);
    assert_int_equal(arena_on_free(&a, note, (char[]){"2"}), 0);
    arena_free(&a);
    assert_string_equal(order, "21");
    arena_free(&a);
    assert_string_equal(order, "21");
}

static void
test_pieces_are_aligned_and_apart(void **state)
{
    uint64_t seed = test_seed();
    struct arena a;
    (void)state;
    for (int round = 0; round < 50; round++) {
        unsigned char *at[200];
        size_t n[200];
        arena_init(&a, 0);
        for (size_t i = 0; i < 200; i++) {
            n[i] = test_below(&seed, test_below(&seed, 20) ? 300 : 100000);
            at[i] = arena_alloc(&a, n[i]);
            assert_non_null(at[i]);
            assert_int_equal((uintptr_t)at[i] % 16, 0);
            memset(at[i], (int)i, n[i]);
        }
        for (size_t i = 0; i < 200; i++)
            for (size_t k = 0; k < n[i]; k++)
                assert_int_equal(at[i][k], i & 255);
        arena_free(&a);
        assert_int_equal(a.total, 0);
    }
}

static void
test_the_bound_holds(void **state)
{
    struct arena a;
    size_t got = 0;
    (void)state;
    arena_init(&a, 100000);
    while (arena_alloc(&a, 1000))
        got += 1000;
    assert_true(a.total <= 100000);
    assert_true(got > 80000);
    assert_null(arena_alloc(&a, 100001));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX / 2 + 1));
    arena_free(&a);
    assert_non_null(arena_alloc(&a, 50000));
    arena_free(&a);
}

static void
test_a_small_request_is_one_small_block(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    assert_int_equal(a.total, 0);
    for (int i = 0; i < 20; i++)
        assert_non_null(arena_alloc(&a, 40));
    assert_true(a.total <= 2048);
    arena_free(&a);
}

static void
test_large_pieces_leave_the_room_in_use(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    char *small = arena_alloc(&a, 16);
    size_t before = a.total;
    assert_non_null(arena_alloc(&a, 1 << 20));
    assert_int_equal(a.total - before - (1 << 20) <= 64, 1);
    char *next = arena_alloc(&a, 16);
    assert_true(next > small && next - small <= 64);
    arena_free(&a);
    assert_non_null(arena_alloc(&a, 1 << 20)); /* as the very first */
    assert_non_null(arena_alloc(&a, 16));
    arena_free(&a);
}

static void
test_text(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    assert_string_equal(arena_strdup(&a, SLICE("abc")), "abc");
    assert_string_equal(arena_strdup(&a, slice_of(NULL)), "");
    assert_string_equal(arena_printf(&a, "%s-%d", "x", 7), "x-7");
    struct slice copy = arena_copy(&a, SLICE("a\0b"));
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.at, "a\0b", 4);
    unsigned char *zero = arena_zalloc(&a, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zero[i], 0);
    arena_free(&a);
}

static void
test_lent_memory_is_used_first(void **state)
{
    struct arena a;
    char room[1000];
    (void)state;
    arena_init(&a, 0);
    arena_lend(&a, room + 1, sizeof room - 1);
    char *first = arena_alloc(&a, 100);
    assert_true(first > room && first + 100 <= room + sizeof room);
    assert_int_equal((uintptr_t)first % 16, 0);
    assert_non_null(arena_alloc(&a, 1 << 20)); /* alone: the room stays in use */
    char *second = arena_alloc(&a, 100);
    assert_true(second > first && second + 100 <= room + sizeof room);
    char *beyond = arena_alloc(&a, 900);
    assert_non_null(beyond);
    memset(beyond, 1, 900);
    assert_false(beyond >= room && beyond < room + sizeof room);
    arena_free(&a);
    char *after = arena_alloc(&a, 16);
    assert_false(after >= room && after < room + sizeof room);
    arena_free(&a);
    arena_lend(&a, room, 3); /* too little for anything */
    assert_non_null(arena_alloc(&a, 1));
    arena_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hooks_run_newest_first_and_once),
        cmocka_unit_test(test_pieces_are_aligned_and_apart),
        cmocka_unit_test(test_the_bound_holds),
        cmocka_unit_test(test_a_small_request_is_one_small_block),
        cmocka_unit_test(test_large_pieces_leave_the_room_in_use),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_lent_memory_is_used_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
