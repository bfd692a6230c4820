/* F137: three crashes soon after the same policy was taken up; and what does not count. */
#include "tests/unit/check.h"

#include <signal.h>
#include <unistd.h>

#include "dataplane/poison.h"

static void
test_three_in_a_row(void **state)
{
    struct poison p = {0};
    struct policy_mark bad = {2, 7};
    (void)state;
    assert_false(poison_crashed(&p, bad, 1000, 1500));
    assert_false(poison_crashed(&p, bad, 2000, 2500));
    assert_int_equal(p.avoid.version, 0);
    assert_true(poison_crashed(&p, bad, 3000, 3500));
    assert_int_equal(p.avoid.epoch, 2);
    assert_int_equal(p.avoid.version, 7);
}

static void
test_what_does_not_count(void **state)
{
    struct policy_mark bad = {2, 7}, other = {2, 8};
    (void)state;
    struct poison late = {0}; /* long after */
    for (int i = 0; i < 5; i++)
        assert_false(poison_crashed(&late, bad, 0, POISON_WITHIN_MS + 1));

    struct poison mixed = {0}; /* not the same policy */
    assert_false(poison_crashed(&mixed, bad, 0, 1));
    assert_false(poison_crashed(&mixed, bad, 0, 1));
    assert_false(poison_crashed(&mixed, other, 0, 1));
    assert_false(poison_crashed(&mixed, bad, 0, 1));

    struct poison broken = {0}; /* a good stretch between */
    assert_false(poison_crashed(&broken, bad, 0, 1));
    assert_false(poison_crashed(&broken, bad, 0, 1));
    assert_false(poison_crashed(&broken, bad, 0, POISON_WITHIN_MS + 1));
    assert_false(poison_crashed(&broken, bad, 0, 1));

    struct poison none = {0}; /* no policy */
    for (int i = 0; i < 5; i++)
        assert_false(poison_crashed(&none, (struct policy_mark){0, 0}, 0, 1));

    assert_false(poison_is_crash(SIGKILL));
    assert_false(poison_is_crash(SIGTERM));
    assert_true(poison_is_crash(SIGSEGV));
    assert_true(poison_is_crash(SIGABRT));
}

static void
touch(const char *dir, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
}

static void
test_newest_on_disk(void **state)
{
    char dir[] = "/tmp/headgate-poison-XXXXXX", command[64];
    struct policy_mark m;
    (void)state;
    assert_non_null(mkdtemp(dir));
    m = poison_newest(dir, (struct policy_mark){0, 0});
    assert_int_equal(m.version, 0);
    touch(dir, "root-0000000000000001-00000000000000ff");
    touch(dir, "root-0000000000000002-0000000000000010");
    touch(dir, "root-0000000000000002-0000000000000011");
    touch(dir, "root-0000000000000009-0000000000000001.tmp");
    touch(dir, "floor.a");
    m = poison_newest(dir, (struct policy_mark){0, 0});
    assert_int_equal(m.epoch, 2);
    assert_int_equal(m.version, 0x11);
    m = poison_newest(dir, (struct policy_mark){2, 0x11});
    assert_int_equal(m.version, 0x10);
    m = poison_newest("/nonexistent", (struct policy_mark){0, 0});
    assert_int_equal(m.version, 0);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_in_a_row),
        cmocka_unit_test(test_what_does_not_count),
        cmocka_unit_test(test_newest_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
