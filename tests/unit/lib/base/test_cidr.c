#include "tests/unit/check.h"

#include "lib/base/cidr.h"

static bool
has(const char *range, const char *address)
{
    struct cidr c;
    const char *why;

    if (cidr_parse(slice_of(range), &c, &why) != 0)
        fail_msg("%s: %s", range, why);
    return cidr_has(slice_make((const char *)c.at, c.len), slice_of(address));
}

static void
test_ranges(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.0.1"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("192.0.2.128/25", "192.0.2.255"));
    assert_false(has("192.0.2.128/25", "192.0.2.127"));
    assert_true(has("0.0.0.0/0", "203.0.113.9"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("127.0.0.1", "127.0.0.1"));
    assert_false(has("127.0.0.1", "127.0.0.2"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(has("::1", "::1"));
    assert_true(has("fe80::/10", "fe80::1%eth0"));
    assert_false(has("::/0", "10.0.0.1"));
}

static void
test_ipv4_inside_of_ipv6(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_true(has("::ffff:10.1.2.3", "10.1.2.3"));
    assert_false(has("::/0", "::ffff:10.1.2.3"));
}

static void
test_what_is_no_address_is_in_no_range(void **state)
{
    static const char *const none[] = {"", "unix", "10.0.0", "10.0.0.1.2", "10.0.0.1 ", "0x7f.1"};

    (void)state;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_false(has("0.0.0.0/0", none[i]) || has("::/0", none[i]));
}

static void
test_what_is_no_range(void **state)
{
    static const char *const bad[] = {
        "",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/x",
        "10.0.0.1/8",
        "10/8",
        "2001:db8::/129",
        "2001:db8::1/64",
        "fe80::1%eth0",
        "::ffff:10.0.0.0/104",
        "localhost",
        "*",
    };
    struct cidr c;
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (cidr_parse(slice_of(bad[i]), &c, &why) == 0)
            fail_msg("%s is taken", bad[i]);
    assert_false(cidr_is_valid(SLICE("")));
    assert_false(cidr_is_valid(SLICE("\x21"
                                     "abcd")));
    assert_false(cidr_is_valid(SLICE("\x08"
                                     "abcde")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_ipv4_inside_of_ipv6),
        cmocka_unit_test(test_what_is_no_address_is_in_no_range),
        cmocka_unit_test(test_what_is_no_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
