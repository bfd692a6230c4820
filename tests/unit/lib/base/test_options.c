#include "tests/unit/check.h"

#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/options.h"

static const char *listen_on, *output;
static bool detach;
static long workers;
static struct option_list peers;

static const struct option_row rows[] = {
    {"listen", OPTION_TEXT, &listen_on, "ADDR", "TEST_LISTEN", 0, 0, "where clients connect", 'l'},
    {"workers", OPTION_NUMBER, &workers, "N", "TEST_WORKERS", 1, 64, "worker processes", 0},
    {"detach", OPTION_FLAG, &detach, NULL, "TEST_DETACH", 0, 0, "go to the background", 'd'},
    {"output", OPTION_TEXT, &output, "FORMAT", NULL, 0, 0, "table or json", 0},
    {"peer", OPTION_LIST, &peers, "URL", "TEST_PEERS", 0, 0, "where the others are", 0},
};
static const struct options table = {
    "headgate up", "Start a gateway.", "[NAME [FILE]]", rows, 5, 0, 2};

static char out[4096]; /* what was printed on either stream */

/* Parses a line of words, catching what is printed. */
static int
parse(const struct options *o, const char **argv, size_t *ret_args)
{
    int argc = 0, saved[2] = {dup(1), dup(2)};
    FILE *f = tmpfile();
    assert_non_null(f);
    while (argv[argc])
        argc++;
    listen_on = "127.0.0.1:8080";
    output = NULL;
    detach = false;
    workers = 2;
    peers.text[0] = '\0';
    fflush(stdout);
    dup2(fileno(f), 1);
    dup2(fileno(f), 2);
    /* as main() has it: its words may be written to */
    int e = options_parse(o, argc, (char **)(uintptr_t)argv, ret_args);
    fflush(stdout);
    dup2(saved[0], 1);
    dup2(saved[1], 2);
    close(saved[0]);
    close(saved[1]);
    rewind(f);
    out[fread(out, 1, sizeof(out) - 1, f)] = '\0';
    fclose(f);
    return e;
}

#define PARSE(args, ...)                                                                           \
    parse(&table, (const char *[]){"up", __VA_ARGS__ __VA_OPT__(, ) NULL}, args)

static int
clear_environment(void **state)
{
    (void)state;
    unsetenv("TEST_LISTEN");
    unsetenv("TEST_WORKERS");
    unsetenv("TEST_DETACH");
    unsetenv("TEST_PEERS");
    return 0;
}

static void
test_defaults_stay(void **state)
{
    size_t args = 9;
    (void)state;
    assert_int_equal(PARSE(&args, ), 0);
    assert_int_equal(args, 0);
    assert_string_equal(listen_on, "127.0.0.1:8080");
    assert_int_equal(workers, 2);
    assert_false(detach);
    assert_string_equal(out, "");
}

static void
test_all_forms(void **state)
{
    size_t args;
    (void)state;
    assert_int_equal(PARSE(&args, "--listen", ":1", "--workers=3", "--detach"), 0);
    assert_string_equal(listen_on, ":1");
    assert_int_equal(workers, 3);
    assert_true(detach);
    assert_int_equal(PARSE(&args, "-l", ":2", "-d"), 0);
    assert_string_equal(listen_on, ":2");
    assert_true(detach);
    assert_int_equal(PARSE(&args, "-l:3", "--detach=false", "--output="), 0);
    assert_string_equal(listen_on, ":3");
    assert_false(detach);
    assert_string_equal(output, "");
    assert_int_equal(PARSE(&args, "--listen", "--detach"), 0); /* a value may look like an option */
    assert_string_equal(listen_on, "--detach");
    assert_int_equal(PARSE(&args, "--workers", "3", "--workers", "4"), 0);
    assert_int_equal(workers, 4);
}

static void
test_arguments_move_to_the_front(void **state)
{
    const char *argv[] = {"up", "one", "--detach", "-", NULL};
    size_t args;
    (void)state;
    assert_int_equal(parse(&table, argv, &args), 0);
    assert_int_equal(args, 2);
    assert_string_equal(argv[0], "up");
    assert_string_equal(argv[1], "one");
    assert_string_equal(argv[2], "-");
    const char *after[] = {"up", "--", "--detach", NULL};
    assert_int_equal(parse(&table, after, &args), 0);
    assert_int_equal(args, 1);
    assert_string_equal(after[1], "--detach");
    assert_false(detach);
}

static void
expect_error(int e, const char *message)
{
    assert_int_equal(e, ERR_SYNTAX);
    assert_non_null(strstr(out, message));
    assert_memory_equal(out, "headgate up: ", 13);
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1); /* one line */
    assert_non_null(strstr(out, "--help"));
}

static void
test_errors_say_what_to_do(void **state)
{
    size_t args;
    (void)state;
    expect_error(PARSE(&args, "--lisen", ":1"), "unknown option --lisen; did you mean --listen?");
    expect_error(PARSE(&args, "--zebra=sk-secret"), "unknown option --zebra (");
    expect_error(PARSE(&args, "-x"), "unknown option -x");
    expect_error(PARSE(&args, "--listen"), "--listen needs a value: --listen ADDR");
    expect_error(PARSE(&args, "--workers", "many"), "--workers needs a whole number, not \"many\"");
    expect_error(PARSE(&args, "--workers", "1x"), "needs a whole number");
    expect_error(PARSE(&args, "--workers="), "needs a whole number");
    expect_error(PARSE(&args, "--workers", "0"), "--workers must be from 1 to 64, not 0");
    expect_error(PARSE(&args, "--workers", "65"), "must be from 1 to 64");
    expect_error(PARSE(&args, "--workers", "99999999999999999999"), "must be from 1 to 64");
    expect_error(PARSE(&args, "--detach=maybe"), "use true or false");
    expect_error(PARSE(&args, "-dx"), "-d takes no value");
    expect_error(PARSE(&args, "a", "b", "c"), "unexpected argument \"c\"");
}

static void
test_missing_arguments(void **state)
{
    struct options needy = table;
    size_t args;
    (void)state;
    needy.min_args = 1;
    expect_error(parse(&needy, (const char *[]){"up", NULL}, &args),
                 "missing argument: [NAME [FILE]]");
}

static void
test_environment(void **state)
{
    size_t args;
    (void)state;
    setenv("TEST_LISTEN", ":9", 1);
    setenv("TEST_WORKERS", "5", 1);
    setenv("TEST_DETACH", "1", 1);
    assert_int_equal(PARSE(&args, ), 0);
    assert_string_equal(listen_on, ":9");
    assert_int_equal(workers, 5);
    assert_true(detach);
    assert_int_equal(PARSE(&args, "--workers", "6"), 0); /* the command line wins */
    assert_int_equal(workers, 6);
    setenv("TEST_WORKERS", "", 1);
    assert_int_equal(PARSE(&args, ), 0);
    assert_int_equal(workers, 2);
    setenv("TEST_WORKERS", "lots", 1);
    expect_error(PARSE(&args, ), "TEST_WORKERS needs a whole number");
    assert_int_equal(PARSE(&args, "--workers", "6"), 0); /* what is not used is not judged */
}

static void
test_help(void **state)
{
    size_t args;
    (void)state;
    assert_int_equal(PARSE(&args, "--nonsense-after-help-is-not-read", "--help"), ERR_SYNTAX);
    assert_int_equal(PARSE(&args, "--help", "--nonsense"), 1);
    assert_int_equal(PARSE(&args, "-h"), 1);
    assert_non_null(
        strstr(out, "Usage: headgate up [OPTIONS] [NAME [FILE]]\n\nStart a gateway.\n"));
    assert_non_null(strstr(out, "  -l, --listen ADDR "));
    assert_non_null(strstr(out, "where clients connect ($TEST_LISTEN) [127.0.0.1:8080]\n"));
    assert_non_null(strstr(out, "      --workers N "));
    assert_non_null(strstr(out, "worker processes ($TEST_WORKERS) [2]\n"));
    assert_non_null(strstr(out, "      --output FORMAT"));
    assert_non_null(strstr(out, "  -h, --help"));
}

#define TEST(name) cmocka_unit_test_setup(name, clear_environment)

/* Given several times, or with commas, or both: all of it; the environment only in its stead. */
static void
test_a_list_gathers(void **state)
{
    static char most[OPTION_LIST_BYTES];
    size_t args;

    (void)state;
    setenv("TEST_PEERS", "x,y", 1);
    assert_int_equal(PARSE(&args, ), 0);
    assert_string_equal(peers.text, "x,y");
    assert_int_equal(PARSE(&args, "--peer", "a", "--peer=b,c", "--peer", "d"), 0);
    assert_string_equal(peers.text, "a,b,c,d");
    const char *bad[] = {"", ",a", "a,", "a,,b"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(PARSE(&args, "--peer", bad[i]), ERR_SYNTAX);
        assert_non_null(strstr(out, "--peer has an empty part"));
    }
    memset(most, 'a', sizeof(most) - 1);
    assert_int_equal(PARSE(&args, "--peer", most), ERR_SYNTAX);
    assert_non_null(strstr(out, "--peer is too long"));
    assert_int_equal(PARSE(&args, "--peer", most + 2), 0); /* the most there may be */
    assert_int_equal(PARSE(&args, "--help"), 1);
    assert_non_null(strstr(out, "(may be given several times)"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults_stay),
        TEST(test_all_forms),
        TEST(test_arguments_move_to_the_front),
        TEST(test_errors_say_what_to_do),
        TEST(test_missing_arguments),
        TEST(test_environment),
        TEST(test_help),
        cmocka_unit_test_setup(test_a_list_gathers, clear_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
