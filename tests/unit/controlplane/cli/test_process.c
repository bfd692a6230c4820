#include "tests/unit/check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controlplane/cli/process.h"

static char root[] = "/tmp/headgate-test-XXXXXX";
static struct home home;

static int
make_root(void **state)
{
    (void)state;
    char path[64];
    if (!mkdtemp(root))
        return -1;
    snprintf(home.dir, sizeof(home.dir), "%s", root);
    snprintf(path, sizeof(path), "%s/pid", root);
    return mkdir(path, 0700);
}

static int
remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

static struct process
started(char *const *argv)
{
    char *env[] = {NULL}, why[300] = "";
    struct process p;
    struct spawn s = {.program = argv[0], .argv = argv, .env = env, .output = -1};
    if (process_spawn(&s, &p, why, sizeof(why)) != 0)
        fail_msg("%s", why);
    return p;
}

static void
test_life(void **state)
{
    (void)state;
    char *argv[] = {(char[]){"/bin/sleep"}, (char[]){"60"}, NULL};
    struct process p = started(argv), other = p;
    assert_true(process_is_alive(&p));
    other.start++; /* the same pid, used again */
    assert_false(process_is_alive(&other));
    assert_int_equal(process_save(&home, "x", &p), 0);
    assert_int_equal(process_load(&home, "x").pid, p.pid);
    process_signal(&other, SIGKILL);
    assert_true(process_is_alive(&p));
    process_signal(&p, SIGTERM);
    assert_true(process_wait_gone(&p, 5000));
    assert_int_equal(process_load(&home, "x").pid, 0);
    process_forget(&home, "x");
    assert_int_equal(process_load(&home, "x").pid, 0);
}

static void
test_cannot_execute(void **state)
{
    (void)state;
    char *argv[] = {(char[]){"/nowhere/at-all"}, NULL}, *env[] = {NULL}, why[300] = "";
    struct process p;
    struct spawn s = {.program = argv[0], .argv = argv, .env = env, .output = -1};
    assert_int_equal(process_spawn(&s, &p, why, sizeof(why)), ERR_IO);
    assert_string_equal(why, "cannot start /nowhere/at-all: No such file or directory");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

static void
test_run(void **state)
{
    (void)state;
    char why[300] = "", log[64], *env[] = {NULL};
    char *seven[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"echo out; exit 7"}, NULL};
    char *killed[] = {(char[]){"/bin/sh"}, (char[]){"-c"}, (char[]){"kill -9 $$"}, NULL};
    snprintf(log, sizeof(log), "%s/log", root);
    struct spawn s = {.program = "/bin/sh", .argv = seven, .env = env, .log = log, .output = -1};
    assert_int_equal(process_run(&s, why, sizeof(why)), 7);
    s.argv = killed;
    assert_int_equal(process_run(&s, why, sizeof(why)), 128 + SIGKILL);
    struct stat st;
    assert_int_equal(stat(log, &st), 0);
    assert_int_equal(st.st_size, 4);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void
test_lock(void **state)
{
    (void)state;
    int fd = process_lock(&home, "lock", false);
    assert_true(fd >= 0);
    assert_int_equal(process_lock(&home, "lock", false), ERR_EXISTS);
    close(fd);
    fd = process_lock(&home, "lock", false);
    assert_true(fd >= 0);
    close(fd);
}

static void
test_records_that_are_junk(void **state)
{
    (void)state;
    static const char *const junk[] = {"", "1", "x y\n", "-1 5\n", "99999999999 1\n", "1 1\n"};
    for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/pid/junk", root);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(junk[i], f);
        fclose(f);
        assert_int_equal(process_load(&home, "junk").pid, 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_cannot_execute),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_records_that_are_junk),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
