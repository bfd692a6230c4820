#include "tests/unit/check.h"

#include "lib/base/secret.h"

static void
test_set_reveal_free(void **state)
{
    struct secret s = {0};
    (void)state;
    secret_free(&s);
    secret_free(NULL);
    assert_int_equal(secret_set(&s, "sk-123", 6), 0);
    assert_slice_is(secret_reveal(&s), "sk-123");
    assert_int_equal(s.at[6], 0);
    secret_free(&s);
    assert_null(s.at);
    assert_int_equal(secret_reveal(&s).len, 0);
    assert_int_equal(secret_set(&s, "", 0), 0);
    assert_int_equal(s.at[0], 0);
    secret_free(&s);
    assert_int_equal(secret_set(&s, NULL, 10000), 0);
    for (size_t i = 0; i <= 10000; i++)
        assert_int_equal(s.at[i], 0);
    memset(s.at, 'x', 10000);
    secret_free(&s);
    assert_int_equal(secret_set(&s, NULL, SIZE_MAX), ERR_NOMEM);
    assert_int_equal(secret_set(&s, NULL, SIZE_MAX - 1), ERR_NOMEM);
}

/* The kernel's own word: the page is marked "dd", do not dump. */
static void
test_it_is_left_out_of_core_dumps(void **state)
{
    struct secret s;
    char line[512], flags[512] = "";
    bool ours = false;
    (void)state;
    assert_int_equal(secret_set(&s, "sk-123", 6), 0);
    FILE *f = fopen("/proc/self/smaps", "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            ours = (uintptr_t)s.at >= from && (uintptr_t)s.at < to;
        else if (ours && strncmp(line, "VmFlags:", 8) == 0)
            memcpy(flags, line, sizeof(line));
    }
    fclose(f);
    assert_non_null(strstr(flags, " dd"));
    secret_free(&s);
}

static void
test_wipe(void **state)
{
    char bytes[16] = "sk-123";
    (void)state;
    secret_wipe(bytes, 6);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0", 7);
    secret_wipe(NULL, 0);
}

static void
test_equal(void **state)
{
    (void)state;
    assert_true(secret_equal("", "", 0));
    assert_true(secret_equal("abc", "abd", 2));
    assert_false(secret_equal("abc", "abd", 3));
    assert_false(secret_equal("\x80yz", "\0yz", 3));
    for (unsigned bit = 0; bit < 256; bit++) {
        unsigned char a[32] = {0}, b[32] = {0};
        b[bit / 8] = (unsigned char)(1u << (bit % 8));
        assert_false(secret_equal(a, b, 32));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_reveal_free),
        cmocka_unit_test(test_it_is_left_out_of_core_dumps),
        cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
