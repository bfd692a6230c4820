#include "tests/unit/check.h"

#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"

static void
test_a_child_gets_other_bytes(void **state)
{
    unsigned char first[16], parents[16], childs[16];
    int fds[2], status = 0;
    (void)state;
    rand_bytes(first, sizeof(first)); /* the pool is filled: a copy of it goes to the child */
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        rand_bytes(childs, sizeof(childs));
        _exit(write(fds[1], childs, sizeof(childs)) == sizeof(childs) ? 0 : 1);
    }
    rand_bytes(parents, sizeof(parents));
    assert_int_equal(read(fds[0], childs, sizeof(childs)), sizeof(childs));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_memory_not_equal(parents, childs, sizeof(childs));
    close(fds[0]);
    close(fds[1]);
}

static int
by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static void
test_bytes_do_not_repeat(void **state)
{
    static unsigned char seen[4096][16];
    (void)state;
    for (size_t i = 0; i < 4096; i++)
        rand_bytes(seen[i], 16);
    qsort(seen, 4096, 16, by_bytes);
    for (size_t i = 1; i < 4096; i++)
        assert_memory_not_equal(seen[i - 1], seen[i], 16);
}

static void
test_below_is_in_range_and_reaches_all(void **state)
{
    unsigned hits[7] = {0};
    (void)state;
    for (int i = 0; i < 7000; i++)
        hits[rand_below(7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(hits[i], 700, 1300); /* 1000 +- 10 standard deviations */
    for (int i = 0; i < 100; i++)
        assert_int_equal(rand_below(1), 0);
    assert_true(rand_below(UINT64_MAX) < UINT64_MAX);
}

static void
test_large_and_odd_sizes(void **state)
{
    unsigned char bytes[5001] = {0};
    (void)state;
    for (size_t n = 0; n <= 5000; n = n * 2 + 1) {
        memset(bytes, 0, sizeof(bytes));
        rand_bytes(bytes, n);
        assert_int_equal(bytes[n], 0); /* nothing written beyond */
        size_t zeros = 0;
        for (size_t i = 0; i < n; i++)
            zeros += bytes[i] == 0;
        assert_true(zeros <= 5 + n / 64);
    }
}

static void
test_uuid7(void **state)
{
    unsigned char id[16], other[16], back[16];
    char text[37];
    (void)state;
    int64_t before = clock_wall_ms();
    uuid7(id);
    uuid7(other);
    assert_in_range(uuid7_wall_ms(id), before, before + 60000);
    assert_memory_not_equal(id, other, 16);
    assert_int_equal(id[6] >> 4, 7);
    assert_int_equal(id[8] >> 6, 2);
    uuid_format(id, text);
    assert_int_equal(strlen(text), 36);
    assert_int_equal(text[14], '7');
    assert_int_equal(uuid_parse(text, 36, back), 0);
    assert_memory_equal(id, back, 16);
}

static void
test_uuid_text(void **state)
{
    /* the example of RFC 9562, appendix A.6 */
    static const unsigned char want[16] = {0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3,
                                           0x98, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f};
    static const char text[] = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
    unsigned char id[16];
    char back[37];
    (void)state;
    assert_int_equal(uuid_parse(text, 36, id), 0);
    assert_memory_equal(id, want, 16);
    assert_true(uuid7_wall_ms(id) == INT64_C(1645557742000));
    uuid_format(id, back);
    assert_string_equal(back, text);
    assert_int_equal(uuid_parse(text, 35, id), ERR_SYNTAX);
    assert_int_equal(uuid_parse("017f22e279b07cc398c4dc0c0c07398f", 32, id), ERR_SYNTAX);
    assert_int_equal(uuid_parse("017f22e2-79b0-7cc3-98c4-dc0c0c07398g", 36, id), ERR_SYNTAX);
    assert_int_equal(uuid_parse("017f22e27-9b0-7cc3-98c4-dc0c0c07398f", 36, id), ERR_SYNTAX);
    assert_int_equal(uuid_parse("017f22e2-79b0-7cc3-98c4-dc0c0c0-398f", 36, id), ERR_SYNTAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_child_gets_other_bytes),
        cmocka_unit_test(test_bytes_do_not_repeat),
        cmocka_unit_test(test_below_is_in_range_and_reaches_all),
        cmocka_unit_test(test_large_and_odd_sizes),
        cmocka_unit_test(test_uuid7),
        cmocka_unit_test(test_uuid_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
