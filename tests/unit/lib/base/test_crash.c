/* White box, because the points exist only with this definition. */
#define HEADGATE_CRASHPOINTS
#include "tests/unit/check.h"

#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/crash.c" /* NOLINT: on purpose */

static char count[64], once[64];

static int
set_up(void **state)
{
    (void)state;
    snprintf(count, sizeof(count), "/tmp/test-crash-count-%d", (int)getpid());
    snprintf(once, sizeof(once), "/tmp/test-crash-once-%d", (int)getpid());
    setenv("HEADGATE_CRASH_COUNT", count, 1);
    unsetenv("HEADGATE_CRASH_AT");
    unsetenv("HEADGATE_CRASH_ONCE");
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    unlink(count);
    unlink(once);
    return 0;
}

/* Passes three points in a child: the signal it died of, or 0. */
static int
pass_points(const char *at)
{
    int status = 0;
    if (at)
        setenv("HEADGATE_CRASH_AT", at, 1);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        CRASHPOINT("mint");
        CRASHPOINT("reserve");
        CRASHPOINT("send");
        CRASHPOINT("reserve");
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void
expect_counted(const char *want)
{
    char text[256];
    FILE *f = fopen(count, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(text, want);
}

static void
test_points_are_counted_in_order(void **state)
{
    (void)state;
    assert_int_equal(pass_points(NULL), 0);
    expect_counted("mint\nreserve\nsend\nreserve\n");
}

static void
test_the_nth_is_the_last(void **state)
{
    (void)state;
    assert_int_equal(pass_points("reserve:1"), SIGKILL);
    expect_counted("mint\nreserve\n");
    assert_int_equal(pass_points("reserve:3"), 0);
    assert_int_equal(pass_points("reserve:0"), 0);
    assert_int_equal(pass_points("reserv:1"), 0);
    assert_int_equal(pass_points("reserve"), 0);
    assert_int_equal(pass_points("2"), 0);
}

static void
test_others_between_do_not_count(void **state)
{
    (void)state;
    assert_int_equal(pass_points("reserve:2"), SIGKILL);
    expect_counted("mint\nreserve\nsend\nreserve\n");
}

static void
test_once(void **state)
{
    (void)state;
    setenv("HEADGATE_CRASH_ONCE", once, 1);
    assert_int_equal(pass_points("mint:1"), SIGKILL);
    assert_int_equal(pass_points("mint:1"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_points_are_counted_in_order),
        TEST(test_the_nth_is_the_last),
        TEST(test_others_between_do_not_count),
        TEST(test_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
