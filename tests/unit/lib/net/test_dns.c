/* Names to addresses, against a name server of the test's own (F052), and the egress guard's table.
 */
#include "tests/unit/lib/net/net_rig.h"

#include "lib/net/dns.h"

static struct loop *loop;
static struct dns *dns;

/* --- a name server
 * -------------------------------------------------------------------------------- It answers by
 * the first label: aN gives N addresses 203.0.113.x, six one AAAA, both one of each, none an empty
 * answer, nx NXDOMAIN, fail SERVFAIL, silent nothing at all, flip what it is told. */

static struct server {
    struct watch watch;
    int port;
    int queries;
    int ttl_s;
    bool is_down; /* answers SERVFAIL to all */
    unsigned char flip[4];
} server;

static size_t
put16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
    return 2;
}

static size_t
put_answer(unsigned char *at, unsigned type, const void *address, size_t n)
{
    size_t len = put16(at, 0xc00c); /* the name asked for */
    len += put16(at + len, type);
    len += put16(at + len, 1);
    len += put16(at + len, 0);
    len += put16(at + len, (unsigned)server.ttl_s);
    len += put16(at + len, (unsigned)n);
    memcpy(at + len, address, n);
    return len + n;
}

static unsigned
put_answers(unsigned char *at, size_t *len, const char *label, unsigned type)
{
    static const unsigned char six[16] = {0x20, 0x01, 0x48, 0x60, 0, 0, 0, 0,
                                          0,    0,    0,    0,    0, 0, 0, 1};
    unsigned char four[4] = {203, 0, 113, 0};
    unsigned count = 0, wanted = 0;
    if (label[0] == 'a')
        wanted = (unsigned)strtoul(label + 1, NULL, 10);
    if (strcmp(label, "both") == 0)
        wanted = 1;
    if (type == 28 && (strcmp(label, "six") == 0 || strcmp(label, "both") == 0)) {
        *len += put_answer(at + *len, 28, six, 16);
        return 1;
    }
    if (type == 1 && strcmp(label, "flip") == 0) {
        *len += put_answer(at + *len, 1, server.flip, 4);
        return 1;
    }
    for (; type == 1 && count < wanted; count++) {
        four[3] = (unsigned char)count;
        *len += put_answer(at + *len, 1, four, 4);
    }
    return count;
}

static void
on_query(void *ctx, int what)
{
    unsigned char q[2048], a[4096];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    char label[64] = "";
    (void)ctx;
    (void)what;
    ssize_t n = recvfrom(server.watch.fd, q, sizeof q, 0, (struct sockaddr *)&from, &from_len);
    assert_true(n > 17);
    size_t end = 12;
    memcpy(label, q + 13, q[12]);
    for (char *c = label; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    while (q[end] != 0)
        end += 1u + q[end];
    unsigned type = (unsigned)q[end + 1] << 8 | q[end + 2];
    end += 5;
    server.queries++;
    if (strcmp(label, "silent") == 0)
        return;
    memcpy(a, q, end);
    size_t len = end;
    unsigned count = server.is_down ? 0 : put_answers(a, &len, label, type);
    unsigned code = strcmp(label, "nx") == 0 ? 3 : server.is_down || !strcmp(label, "fail") ? 2 : 0;
    put16(a + 2, 0x8180 | code);
    put16(a + 6, count);
    put16(a + 8, 0);
    put16(a + 10, 0);
    assert_int_equal(sendto(server.watch.fd, a, len, 0, (struct sockaddr *)&from, from_len), len);
}

static int
setup(void **state)
{
    struct sockaddr_in a = loopback(0);
    socklen_t n = sizeof a;
    char address[64];
    (void)state;
    loop = loop_new();
    dns = loop ? dns_new(loop) : NULL;
    assert_non_null(dns);
    memset(&server, 0, sizeof server);
    server.ttl_s = 60;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    watch_init(&server.watch, loop, fd, on_query, NULL);
    assert_int_equal(watch_want(&server.watch, WATCH_READ), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(a.sin_port));
    return dns_set_servers(dns, address);
}

static int
teardown(void **state)
{
    (void)state;
    dns_free(dns);
    watch_fini(&server.watch);
    close(server.watch.fd);
    loop_free(loop);
    return 0;
}

/* --- asking --------------------------------------------------------------------------------------
 */

struct answer {
    int calls, err;
    size_t n;
    char first[64], last[64];
    int port;
};

static void
format(const struct sockaddr_storage *a, char *into, size_t n)
{
    const struct sockaddr_in *v4 = (const void *)a;
    const struct sockaddr_in6 *v6 = (const void *)a;
    inet_ntop(a->ss_family, a->ss_family == AF_INET ? (const void *)&v4->sin_addr : &v6->sin6_addr,
              into, (socklen_t)n);
}

static void
on_done(void *ctx, int err, const struct sockaddr_storage *addresses, size_t n)
{
    struct answer *a = ctx;
    a->calls++;
    a->err = err;
    a->n = n;
    if (n > 0) {
        format(&addresses[0], a->first, sizeof a->first);
        format(&addresses[n - 1], a->last, sizeof a->last);
        a->port = ntohs(((const struct sockaddr_in *)addresses)->sin_port);
    }
    loop_stop(loop);
}

static struct answer
ask(const char *host)
{
    struct answer a = {.calls = 0};
    assert_non_null(dns_resolve(dns, host, 443, on_done, &a));
    assert_int_equal(a.calls, 0);
    WAIT(loop, a.calls == 1);
    return a;
}

static void
test_literals_and_localhost_need_no_server(void **state)
{
    (void)state;
    struct answer a = ask("192.0.2.7");
    assert_int_equal(a.err, 0);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.port, 443);
    assert_string_equal(a.first, "192.0.2.7");
    a = ask("2001:db8::7");
    assert_string_equal(a.first, "2001:db8::7");
    a = ask("localhost");
    assert_string_equal(a.first, "127.0.0.1");
    assert_int_equal(server.queries, 0);
}

static void
test_both_families_come_ipv4_first(void **state)
{
    (void)state;
    struct answer a = ask("both.test");
    assert_int_equal(a.n, 2);
    assert_string_equal(a.first, "203.0.113.0");
    assert_string_equal(a.last, "2001:4860::1");
    a = ask("six.test");
    assert_int_equal(a.n, 1);
    assert_string_equal(a.first, "2001:4860::1");
}

static void
test_f052_no_answer_is_an_error(void **state)
{
    static const char *const names[] = {"nx.test", "none.test", ""};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct answer a = ask(names[i]);
        assert_int_equal(a.err, ERR_DNS);
        assert_int_equal(a.n, 0);
    }
    char name[300];
    memset(name, 'a', sizeof name);
    name[299] = '\0';
    assert_int_equal(ask(name).err, ERR_DNS);
}

/* libevent takes SERVFAIL for a sick server and asks again until it gives up. */
static void
test_f052_a_failing_server_is_an_error(void **state)
{
    (void)state;
    struct answer a = ask("fail.test");
    assert_true(a.err == ERR_DNS || a.err == ERR_TIMEOUT);
    assert_int_equal(a.n, 0);
    assert_int_equal(ask("a1.test").err, 0); /* and is asked for others all the same */
}

static void
test_f052_a_silent_server_is_a_timeout(void **state)
{
    (void)state;
    assert_int_equal(ask("silent.test").err, ERR_TIMEOUT);
}

static void
test_f052_many_answers_are_cut_to_sixteen(void **state)
{
    (void)state;
    struct answer a = ask("a60.test");
    assert_int_equal(a.err, 0);
    assert_int_equal(a.n, DNS_MAX_ADDRESSES);
}

static void
test_answers_are_kept_for_their_time(void **state)
{
    (void)state;
    ask("a2.test");
    int asked = server.queries;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask("A2.test").n, 2);
    assert_int_equal(server.queries, asked);
}

static void
test_one_lookup_serves_all_who_wait(void **state)
{
    struct answer a[10] = {0};
    int calls = 0;
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_non_null(dns_resolve(dns, "a1.test", 443, on_done, &a[i]));
    while (calls < 10) {
        rig_run(loop);
        calls = 0;
        for (int i = 0; i < 10; i++)
            calls += a[i].calls;
    }
    assert_int_equal(server.queries, 2); /* A and AAAA */
}

/* TTL 0 counts as one second; then the server is asked again, and when it fails the last good
 * answer is given on. */
static void
test_f052_the_last_good_answer_outlives_a_failing_server(void **state)
{
    (void)state;
    server.ttl_s = 0;
    memcpy(server.flip, "\x08\x08\x08\x08", 4);
    assert_string_equal(ask("flip.test").first, "8.8.8.8");
    memcpy(server.flip, "\xa9\xfe\xa9\xfe", 4);
    assert_string_equal(ask("flip.test").first, "8.8.8.8");
    int asked = server.queries;
    struct answer a = ask("flip.test");
    WAIT(loop, (a = ask("flip.test"), server.queries > asked));
    assert_string_equal(a.first, "169.254.169.254"); /* the guard's business, not the resolver's */
    server.is_down = true;
    asked = server.queries;
    WAIT(loop, (a = ask("flip.test"), server.queries > asked));
    assert_int_equal(a.err, 0);
    assert_string_equal(a.first, "169.254.169.254");
}

static void
test_a_cancelled_query_never_calls_back(void **state)
{
    struct answer a = {0}, b = {0}, c = {0};
    (void)state;
    struct dns_query *q = dns_resolve(dns, "a1.test", 443, on_done, &a);
    struct dns_query *literal = dns_resolve(dns, "192.0.2.7", 443, on_done, &c);
    assert_non_null(dns_resolve(dns, "a1.test", 443, on_done, &b));
    dns_cancel(q);
    dns_cancel(literal);
    WAIT(loop, b.calls == 1);
    assert_int_equal(a.calls + c.calls, 0);
}

static void
test_freeing_with_lookups_under_way(void **state)
{
    struct answer a = {0};
    (void)state;
    struct dns_query *q = dns_resolve(dns, "silent.test", 443, on_done, &a);
    struct dns_query *r = dns_resolve(dns, "silent.example", 443, on_done, &a);
    assert_non_null(q);
    assert_non_null(r);
    WAIT(loop, server.queries >= 4);
    dns_cancel(q);
    dns_cancel(r);
    dns_free(dns);
    dns = NULL;
    for (int i = 0; i < 5; i++)
        rig_run(loop);
    assert_int_equal(a.calls, 0);
}

/* --- the guard -----------------------------------------------------------------------------------
 */

static const struct sockaddr *
address_of(const char *text)
{
    static struct sockaddr_storage a;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
    memset(&a, 0, sizeof a);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        a.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
        a.ss_family = AF_INET6;
    else
        fail_msg("%s is no address", text);
    return (const struct sockaddr *)&a;
}

static void
test_f155_private_addresses(void **state)
{
    static const char *const private[] = {"0.0.0.0",
                                          "0.1.2.3",
                                          "10.0.0.0",
                                          "10.255.255.255",
                                          "100.64.0.0",
                                          "100.127.255.255",
                                          "127.0.0.1",
                                          "127.255.255.255",
                                          "169.254.169.254",
                                          "172.16.0.1",
                                          "172.31.255.255",
                                          "192.0.0.8",
                                          "192.0.2.1",
                                          "192.88.99.1",
                                          "192.168.1.1",
                                          "198.18.0.1",
                                          "198.19.255.255",
                                          "198.51.100.1",
                                          "203.0.113.1",
                                          "224.0.0.1",
                                          "239.255.255.255",
                                          "240.0.0.1",
                                          "255.255.255.255",
                                          "::",
                                          "::1",
                                          "::ffff:10.0.0.1",
                                          "::ffff:127.0.0.1",
                                          "::7f00:1",
                                          "64:ff9b::a00:1",
                                          "64:ff9b:1::1",
                                          "100::1",
                                          "2001::1",
                                          "2001:1::1",
                                          "2001:db8::1",
                                          "2002:a00:1::1",
                                          "2002:7f00:1::",
                                          "3fff::1",
                                          "fc00::1",
                                          "fdff::1",
                                          "fe80::1",
                                          "febf::1",
                                          "fec0::1",
                                          "ff02::1",
                                          "4000::1",
                                          "::ffff:169.254.169.254"};
    (void)state;
    for (size_t i = 0; i < sizeof private / sizeof *private; i++)
        if (!address_is_private(address_of(private[i])))
            fail_msg("%s passes for public", private[i]);
    struct sockaddr unix_address = {.sa_family = AF_UNIX};
    assert_true(address_is_private(&unix_address));
}

static void
test_f155_public_addresses(void **state)
{
    static const char *const public[] = {
        "1.1.1.1",         "8.8.8.8",          "9.255.255.255",   "11.0.0.0",
        "100.63.255.255",  "100.128.0.0",      "126.255.255.255", "128.0.0.1",
        "169.253.255.255", "169.255.0.0",      "172.15.255.255",  "172.32.0.0",
        "192.0.1.1",       "192.167.255.255",  "192.169.0.0",     "198.17.255.255",
        "198.20.0.0",      "223.255.255.255",  "2001:200::1",     "2001:4860::8888",
        "2606:4700::1",    "64:ff9b::808:808", "::ffff:8.8.8.8",  "2002:808:808::1"};
    (void)state;
    for (size_t i = 0; i < sizeof public / sizeof *public; i++)
        if (address_is_private(address_of(public[i])))
            fail_msg("%s passes for private", public[i]);
}

static void
test_loopback_addresses(void **state)
{
    (void)state;
    assert_true(address_is_loopback(address_of("127.0.0.1")));
    assert_true(address_is_loopback(address_of("127.9.9.9")));
    assert_true(address_is_loopback(address_of("::1")));
    assert_true(address_is_loopback(address_of("::ffff:127.0.0.1")));
    assert_false(address_is_loopback(address_of("10.0.0.1")));
    assert_false(address_is_loopback(address_of("::2")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_literals_and_localhost_need_no_server),
        TEST(test_both_families_come_ipv4_first),
        TEST(test_f052_no_answer_is_an_error),
        TEST(test_f052_a_failing_server_is_an_error),
        TEST(test_f052_a_silent_server_is_a_timeout),
        TEST(test_f052_many_answers_are_cut_to_sixteen),
        TEST(test_answers_are_kept_for_their_time),
        TEST(test_one_lookup_serves_all_who_wait),
        TEST(test_f052_the_last_good_answer_outlives_a_failing_server),
        TEST(test_a_cancelled_query_never_calls_back),
        TEST(test_freeing_with_lookups_under_way),
        cmocka_unit_test(test_f155_private_addresses),
        cmocka_unit_test(test_f155_public_addresses),
        cmocka_unit_test(test_loopback_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
