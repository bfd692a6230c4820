/*
 * Our client and our server over TLS on one loop: ALPN chooses HTTP/2, and what went in comes out.
 * The client as a whole is tested elsewhere; here it is the way between the two that counts.
 */
#include "tests/unit/lib/http/h2_peer.h"

#include "lib/http/client.h"
#include "lib/net/listener.h"
#include "lib/net/tls.h"
#include "tests/unit/lib/net/certs.h"

static struct rig rig;
static struct certs certs;
static struct tls_server *server_tls;
static struct tls_client *client_tls;
static struct listener *listener;
static struct http_client *client;
static int port;

static struct {
    int status, err, version;
    struct buf body;
    bool over;
} got;

static void
on_accept(void *ctx, int fd)
{
    struct rig *r = ctx;
    http_server_accept(r->app.server, fd, server_tls);
}

/* The server offers these protocols. */
static void
start(const char *const *server_alpn)
{
    static const char *const client_alpn[] = {"h2", "http/1.1", NULL};
    char cert[128], key[128];
    const char *why = "";
    int fd;
    rig_init(&rig);
    rig_start(&rig);
    certs_init(&certs);
    certs_leaf(&certs, "localhost", "DNS:localhost,IP:127.0.0.1", 10, cert, key, sizeof(cert));
    assert_int_equal(tls_server_new(cert, key, NULL, server_alpn, &server_tls, &why), 0);
    assert_int_equal(tls_client_new(certs.ca_file, NULL, NULL, client_alpn, &client_tls, &why), 0);
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    port = listener_port(fd);
    listener = listener_new(rig.loop, fd, on_accept, &rig);
    const struct http_client_config config = {.tls = client_tls};
    client = http_client_new(rig.loop, &config);
    assert_non_null(client);
    memset(&got, 0, sizeof(got));
}

static void
stop(void)
{
    buf_free(&got.body);
    http_client_free(client);
    listener_free(listener);
    rig_fini(&rig);
    tls_client_free(client_tls);
    tls_server_free(server_tls);
    certs_fini(&certs);
}

static void
on_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    (void)ctx;
    got.status = head->status;
    got.version = http_call_version(call);
}

static void
on_body(void *ctx, struct http_call *call, struct slice bytes)
{
    (void)ctx;
    (void)call;
    assert_int_equal(buf_add_slice(&got.body, bytes), 0);
}

static void
on_end(void *ctx, struct http_call *call)
{
    (void)ctx;
    (void)call;
    got.over = true;
    loop_stop(rig.loop);
}

static void
on_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    (void)ctx;
    (void)call;
    (void)why;
    got.err = err;
    got.over = true;
    loop_stop(rig.loop);
}

static void
post(enum http_protocol protocol, struct slice body)
{
    static const struct http_call_handlers handlers = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};
    const struct http_request r = {
        .method = SLICE("POST"), .path = SLICE("/echo"), .body = &body, .body_count = 1};
    struct http_origin *o = http_origin_get(client, true, SLICE("localhost"), port, protocol, true);
    assert_non_null(o);
    assert_non_null(http_call_start(client, o, &r, &handlers, NULL));
    rig.timed_out = false;
    timer_set(&rig.deadline, rig.loop, DEADLINE_MS, rig_on_deadline, &rig);
    while (!got.over && !rig.timed_out)
        loop_run(rig.loop);
    timer_cancel(&rig.deadline);
    assert_false(rig.timed_out);
    http_origin_unref(o);
}

static void
test_alpn_chooses_http2(void **state)
{
    (void)state;
    static const char *const both[] = {"h2", "http/1.1", NULL};
    static char body[300000]; /* more than the windows, in both directions */
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (char)(i * 7 + i / 251);
    start(both);
    post(HTTP_AUTO, slice_make(body, sizeof(body)));
    assert_int_equal(got.err, 0);
    assert_int_equal(got.status, 200);
    assert_int_equal(got.version, 20);
    assert_int_equal(got.body.len, sizeof(body));
    assert_memory_equal(got.body.at, body, sizeof(body));
    stop();
}

static void
test_alpn_chooses_http1(void **state)
{
    (void)state;
    static const char *const only_h1[] = {"http/1.1", NULL};
    start(only_h1);
    post(HTTP_AUTO, SLICE("plain"));
    assert_int_equal(got.status, 200);
    assert_int_equal(got.version, 11);
    stop();
}

/* HTTP/2 was asked for and is not spoken there: a failure, never HTTP/1.1 in its place. */
static void
test_no_http2_where_it_must_be(void **state)
{
    (void)state;
    static const char *const only_h1[] = {"http/1.1", NULL};
    start(only_h1);
    post(HTTP_2, SLICE("plain"));
    assert_true(got.err == ERR_PROTOCOL || got.err == ERR_TLS);
    assert_int_equal(rig.app.requests, 0);
    stop();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alpn_chooses_http2),
        cmocka_unit_test(test_alpn_chooses_http1),
        cmocka_unit_test(test_no_http2_where_it_must_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
