#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/log.h"

static int fds[2];

static int
set_up(void **state)
{
    (void)state;
    if (pipe(fds) < 0)
        return -1;
    log_init("test", LOG_DEBUG, fds[1]);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    log_init("test", LOG_INFO, 2);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

/* The one line that was logged, as a tree; it must be one line, bounded, and JSON. */
static json_t *
logged(void)
{
    char text[8192];
    ssize_t n = read(fds[0], text, sizeof(text));
    assert_in_range(n, 2, 4096);
    assert_ptr_equal(memchr(text, '\n', (size_t)n), text + n - 1);
    json_error_t error;
    json_t *j = json_loadb(text, (size_t)n - 1, JSON_REJECT_DUPLICATES, &error);
    if (!j)
        fail_msg("%s: %.*s", error.text, (int)n, text);
    return j;
}

static const char *
text_of(const json_t *j, const char *name)
{
    return json_string_value(json_object_get(j, name));
}

static void
test_a_line(void **state)
{
    (void)state;
    log_info("worker.started", F_STR("listen", "127.0.0.1:1"), F_INT("worker", -3),
             F_BOOL("tls", true), F_SLICE("part", slice_make("abcdef", 3)), F_STR("none", NULL),
             F_ERR(ERR_TIMEOUT));
    json_t *j = logged();
    assert_string_equal(text_of(j, "level"), "info");
    assert_string_equal(text_of(j, "process"), "test");
    assert_string_equal(text_of(j, "event"), "worker.started");
    assert_string_equal(text_of(j, "listen"), "127.0.0.1:1");
    assert_string_equal(text_of(j, "part"), "abc");
    assert_string_equal(text_of(j, "error"), "timeout");
    assert_int_equal(json_integer_value(json_object_get(j, "worker")), -3);
    assert_int_equal(json_integer_value(json_object_get(j, "pid")), getpid());
    assert_true(json_is_true(json_object_get(j, "tls")));
    assert_true(json_is_null(json_object_get(j, "none")));
    assert_int_equal(strlen(text_of(j, "time")), 24);
    json_decref(j);
}

static void
test_no_fields(void **state)
{
    (void)state;
    log_warn("alone");
    json_t *j = logged();
    assert_string_equal(text_of(j, "level"), "warn");
    assert_int_equal(json_object_size(j), 5);
    json_decref(j);
}

static void
test_f163_forging(void **state)
{
    static const char nasty[] = "a\r\n{\"level\":\"error\"}\x1b[31m\t\"\\\x7f\xc2\x85"
                                "\xe2\x80\xae\xe2\x80\xa8\xe2\x81\xa6\xef\xbb\xbf\xff\xc0\x80";
    (void)state;
    log_info("x", F_STR("agent", nasty));
    char text[4097];
    ssize_t n = read(fds[0], text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    for (ssize_t i = 0; i < n - 1; i++)
        assert_true(text[i] >= 0x20 && text[i] < 0x7f);
    assert_non_null(strstr(text, "a\\u000d\\u000a{\\\"level\\\":\\\"error\\\"}\\u001b[31m\\u0009"));
    assert_non_null(
        strstr(text, "\\u007f\\u0085\\u202e\\u2028\\u2066\\ufeff\\ufffd\\ufffd\\ufffd"));
}

static void
test_f163_long_values_are_cut(void **state)
{
    (void)state;
    char *agent = malloc(1 << 20);
    assert_non_null(agent);
    memset(agent, 'A', 1 << 20);
    log_info("x", F_SLICE("agent", slice_make(agent, 1 << 20)), F_STR("after", "here"));
    json_t *j = logged();
    assert_in_range(strlen(text_of(j, "agent")), 1000, 1024 + 3);
    assert_string_equal(text_of(j, "after"), "here");
    json_decref(j);
    memset(agent, '\x01', 1 << 20); /* each becomes six */
    log_info("x", F_SLICE("agent", slice_make(agent, 1 << 20)));
    j = logged();
    assert_in_range(json_string_length(json_object_get(j, "agent")), 150, 180);
    json_decref(j);
    free(agent);
}

static void
test_f163_many_values_are_cut(void **state)
{
    char big[1001];
    (void)state;
    memset(big, 'x', 1000);
    big[1000] = '\0';
    log_info("x", F_STR("a", big), F_STR("b", big), F_STR("c", big), F_STR("d", big),
             F_STR("e", big), F_STR("small", "fits"));
    json_t *j = logged();
    assert_true(json_is_true(json_object_get(j, "truncated")));
    assert_string_equal(text_of(j, "a"), big);
    assert_null(json_object_get(j, "d"));
    assert_string_equal(text_of(j, "small"), "fits");
    json_decref(j);
}

static void
test_the_threshold(void **state)
{
    json_t *j;
    enum log_level level;
    (void)state;
    log_init("test", LOG_WARN, fds[1]);
    log_debug("no");
    log_info("no");
    log_error("yes");
    j = logged();
    assert_string_equal(text_of(j, "event"), "yes");
    json_decref(j);
    assert_int_equal(log_parse_level("debug", &level), 0);
    assert_int_equal(level, LOG_DEBUG);
    assert_int_equal(log_parse_level("error", &level), 0);
    assert_int_equal(level, LOG_ERROR);
    assert_int_equal(log_parse_level("ERROR", &level), ERR_SYNTAX);
    assert_int_equal(log_parse_level("", &level), ERR_SYNTAX);
}

/* Fills the pipe: what does not fit is dropped and counted, and nobody waits (the test would hang).
 */
static void
test_a_full_pipe_drops_and_counts(void **state)
{
    uint64_t before = log_dropped();
    (void)state;
    for (int i = 0; i < 2000; i++)
        log_info("filler", F_INT("i", i), F_STR("text", "some text to fill it with"));
    uint64_t dropped = log_dropped() - before;
    assert_in_range(dropped, 1, 1999);
    /* the descriptor we were given is as it was: others may rely on it */
    assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
    char text[4096];
    assert_true(read(fds[0], text, sizeof(text)) > 0);
}

static void
test_a_full_socket_drops_and_counts(void **state)
{
    int pair[2];
    uint64_t before = log_dropped();
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    log_init("test", LOG_DEBUG, pair[1]);
    for (int i = 0; i < 20000; i++)
        log_info("filler", F_INT("i", i), F_STR("text", "some text to fill it with"));
    assert_in_range(log_dropped() - before, 1, 19999);
    close(pair[0]);
    log_info("nobody reads"); /* and no SIGPIPE kills us */
    close(pair[1]);
}

static void
test_errno_is_left_alone(void **state)
{
    (void)state;
    log_init("test", LOG_DEBUG, -1);
    errno = ENOSPC;
    log_error("x");
    assert_int_equal(errno, ENOSPC);
}

static void *
log_many(void *name)
{
    for (int i = 0; i < 300; i++)
        log_info(name, F_INT("i", i), F_STR("filler", "................................"));
    return NULL;
}

static void
test_lines_of_threads_do_not_mix(void **state)
{
    char path[] = "/tmp/test-log-XXXXXX", line[8192];
    pthread_t threads[4];
    static char name[] = "thread";
    int lines = 0, fd = mkostemp(path, O_APPEND);
    (void)state;
    assert_true(fd >= 0);
    log_init("test", LOG_DEBUG, fd);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, name), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (; fgets(line, sizeof(line), f); lines++) {
        json_t *j = json_loads(line, 0, NULL);
        assert_non_null(j);
        json_decref(j);
    }
    assert_int_equal(lines, 1200);
    fclose(f);
    close(fd);
    unlink(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_line),
        TEST(test_no_fields),
        TEST(test_f163_forging),
        TEST(test_f163_long_values_are_cut),
        TEST(test_f163_many_values_are_cut),
        TEST(test_the_threshold),
        TEST(test_a_full_pipe_drops_and_counts),
        TEST(test_a_full_socket_drops_and_counts),
        TEST(test_errno_is_left_alone),
        TEST(test_lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
