/* Listening sockets: addresses, what accepted sockets inherit, and what happens without
 * descriptors. */
#include "tests/unit/lib/net/net_rig.h"

#include <netinet/tcp.h>
#include <sys/resource.h>

static struct loop *loop;
static int accepted[4096];
static size_t accepted_count;

static int
setup(void **state)
{
    (void)state;
    accepted_count = 0;
    loop = loop_new();
    return loop ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    while (accepted_count > 0)
        close(accepted[--accepted_count]);
    loop_free(loop);
    return 0;
}

static void
on_accept(void *ctx, int fd)
{
    (void)ctx;
    accepted[accepted_count++] = fd;
    loop_stop(loop);
}

static struct listener *
listen_here(int *ret_port)
{
    int fd;
    const char *why;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    *ret_port = listener_port(fd);
    struct listener *li = listener_new(loop, fd, on_accept, NULL);
    assert_non_null(li);
    return li;
}

static int
connect_there(int port)
{
    struct sockaddr_in a = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void
test_addresses(void **state)
{
    static const char *const good[] = {"127.0.0.1:0", "localhost:0", ":0", "0.0.0.0:0", "[::1]:0"};
    static const char *const bad[] = {"",         "8080",          "127.0.0.1", "127.0.0.1:",
                                      "::1:80",   "127.0.0.1:x",   "a.b.c.d:1", "127.0.0.1:65536",
                                      "[::1]",    "127.0.0.1:-1",  "[::1:80",   "host name:80",
                                      "1.2.3:80", "[127.0.0.1]x:1"};
    const char *why;
    int fd;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int err = listener_bind(good[i], false, &fd, &why);
        if (err == ERR_IO && strchr(good[i], '['))
            continue; /* a machine without IPv6 */
        assert_int_equal(err, 0);
        assert_true(listener_port(fd) > 0);
        close(fd);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why = NULL;
        assert_int_equal(listener_bind(bad[i], false, &fd, &why), ERR_SYNTAX);
        assert_non_null(why);
    }
}

static void
test_an_address_in_use_is_said_so(void **state)
{
    char address[64];
    int fd, other;
    const char *why = "";
    (void)state;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", listener_port(fd));
    assert_int_equal(listener_bind(address, false, &other, &why), ERR_IO);
    assert_string_equal(why, "the address is in use");
    close(fd);
    assert_int_equal(listener_bind("192.0.2.1:80", false, &other, &why), ERR_IO);
    assert_string_equal(why, "the address is not one of this machine");
}

static void
test_a_port_can_be_shared_by_workers(void **state)
{
    char address[64];
    int a, b;
    const char *why;
    (void)state;
    assert_int_equal(listener_bind("127.0.0.1:0", true, &a, &why), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", listener_port(a));
    assert_int_equal(listener_bind(address, true, &b, &why), 0);
    close(a);
    close(b);
}

static void
test_f027_accepted_sockets_have_the_options_set(void **state)
{
    int port, value;
    socklen_t n = sizeof value;
    (void)state;
    struct listener *li = listen_here(&port);
    int fd = connect_there(port);
    WAIT(loop, accepted_count == 1);
    assert_int_equal(getsockopt(accepted[0], IPPROTO_TCP, TCP_NODELAY, &value, &n), 0);
    assert_int_not_equal(value, 0);
    assert_int_equal(getsockopt(accepted[0], IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &n), 0);
    assert_int_equal(value, 30000);
    assert_true(fcntl(accepted[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(accepted[0], F_GETFD) & FD_CLOEXEC);
    close(fd);
    listener_free(li);
}

static void
test_a_paused_listener_accepts_later(void **state)
{
    int port;
    (void)state;
    struct listener *li = listen_here(&port);
    listener_pause(li);
    int fd = connect_there(port);
    rig_run(loop);
    rig_run(loop);
    assert_int_equal(accepted_count, 0);
    listener_resume(li);
    WAIT(loop, accepted_count == 1);
    close(fd);
    listener_free(li);
}

static void
free_on_accept(void *ctx, int fd)
{
    close(fd);
    listener_free(*(struct listener **)ctx);
    accepted_count = 0;
    loop_stop(loop);
}

static void
test_a_listener_may_be_freed_while_it_accepts(void **state)
{
    int fd;
    const char *why;
    struct listener *li;
    (void)state;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    int port = listener_port(fd);
    li = listener_new(loop, fd, free_on_accept, &li);
    int a = connect_there(port), b = connect_there(port);
    loop_run(loop);
    close(a);
    close(b);
}

/* F140: no descriptors left. Peers are told at once, nothing spins, and it goes on when there are.
 */
static void
test_f140_without_descriptors_peers_are_refused(void **state)
{
    struct rlimit limit, less;
    int port, peers[64];
    (void)state;
    struct listener *li = listen_here(&port);
    for (size_t i = 0; i < 64; i++)
        peers[i] = connect_there(port);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    less = limit;
    less.rlim_cur = (rlim_t)peers[63] + 9; /* room for eight of the sixty-four */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
    WAIT(loop, listener_refused(li) >= 2);
    assert_int_equal(accepted_count, 8);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    uint64_t refused = listener_refused(li);
    WAIT(loop, accepted_count + listener_refused(li) == 64);
    assert_int_equal(listener_refused(li), refused);
    for (size_t i = 0; i < 64; i++)
        close(peers[i]);
    listener_free(li);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_addresses),
        TEST(test_an_address_in_use_is_said_so),
        TEST(test_a_port_can_be_shared_by_workers),
        TEST(test_f027_accepted_sockets_have_the_options_set),
        TEST(test_a_paused_listener_accepts_later),
        TEST(test_a_listener_may_be_freed_while_it_accepts),
        TEST(test_f140_without_descriptors_peers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
