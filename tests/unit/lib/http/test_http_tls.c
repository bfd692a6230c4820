/*
 * Server and client together over TLS: the protocol is what ALPN says, certificates are verified,
 * an end without close_notify is no end (F042, F054). And http_fetch, from a thread without a loop.
 */
#include "tests/unit/lib/http/h1_rig.h"

#include <threads.h>

#include "lib/http/client.h"
#include "tests/unit/lib/net/certs.h"

static const char *const both[] = {"h2", "http/1.1", NULL};
static const char *const h1_only[] = {"http/1.1", NULL};

static struct certs certs;
static char cert[128], key[128];
static struct rig rig;
static struct tls_server *tls;
static struct tls_client *trust;
static struct http_client *client;

static void
on_tls_accept(void *ctx, int fd)
{
    (void)ctx;
    http_server_accept(rig.app.server, fd, tls);
}

static int
setup(void **state)
{
    const char *why = "";
    (void)state;
    rig_init(&rig);
    rig_start(&rig);
    listener_free(rig.listener);
    int fd;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    rig.port = listener_port(fd);
    rig.listener = listener_new(rig.loop, fd, on_tls_accept, NULL);
    assert_int_equal(tls_server_new(cert, key, NULL, both, &tls, &why), 0);
    assert_int_equal(tls_client_new(certs.ca_file, NULL, NULL, both, &trust, &why), 0);
    struct http_client_config config = {.tls = trust};
    client = http_client_new(rig.loop, &config);
    assert_non_null(client);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    http_client_free(client);
    rig_fini(&rig);
    tls_server_free(tls);
    tls_client_free(trust);
    return 0;
}

static int
group_setup(void **state)
{
    (void)state;
    certs_init(&certs);
    certs_leaf(&certs, "server", "DNS:localhost,IP:127.0.0.1", 10, cert, key, sizeof cert);
    return 0;
}

static int
group_teardown(void **state)
{
    (void)state;
    certs_fini(&certs);
    return 0;
}

struct result {
    int ends, fails, err, status, version;
    char why[128];
    struct buf body;
};

static void
on_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct result *r = ctx;
    r->status = head->status;
    r->version = http_call_version(call);
}

static void
on_body(void *ctx, struct http_call *call, struct slice bytes)
{
    struct result *r = ctx;
    (void)call;
    assert_int_equal(buf_add_slice(&r->body, bytes), 0);
}

static void
on_end(void *ctx, struct http_call *call)
{
    struct result *r = ctx;
    (void)call;
    r->ends++;
    loop_stop(rig.loop);
}

static void
on_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    struct result *r = ctx;
    (void)call;
    r->fails++;
    r->err = err;
    snprintf(r->why, sizeof r->why, "%s", why);
    loop_stop(rig.loop);
}

static const struct http_call_handlers handlers = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};

static struct result
post(const char *host, enum http_protocol protocol, struct slice body)
{
    struct result r = {.ends = 0};
    struct http_request request = {
        .method = SLICE("POST"), .path = SLICE("/x"), .body = &body, .body_count = 1};
    buf_init(&r.body, 0);
    struct http_origin *o = http_origin_get(client, true, slice_of(host), rig.port, protocol, true);
    assert_non_null(o);
    assert_non_null(http_call_start(client, o, &request, &handlers, &r));
    WAIT(rig.loop, r.ends + r.fails == 1);
    http_origin_unref(o);
    return r;
}

static void
test_alpn_chooses_the_protocol(void **state)
{
    static const enum http_protocol asked[] = {HTTP_AUTO, HTTP_1, HTTP_2};
    static const int got[] = {20, 11, 20};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct result r = post("localhost", asked[i], SLICE("question"));
        assert_int_equal(r.ends, 1);
        assert_int_equal(r.version, got[i]);
        assert_non_null(strstr(buf_str(&r.body), "|question]"));
        buf_free(&r.body);
    }
}

static void
test_a_server_of_http_1_gets_http_1(void **state)
{
    const char *why;
    (void)state;
    tls_server_free(tls);
    assert_int_equal(tls_server_new(cert, key, NULL, h1_only, &tls, &why), 0);
    struct result r = post("localhost", HTTP_AUTO, SLICE("question"));
    assert_int_equal(r.version, 11);
    buf_free(&r.body);
    r = post("localhost", HTTP_2, SLICE("question"));
    assert_int_equal(r.fails, 1);
    assert_true(r.err == ERR_TLS || r.err == ERR_PROTOCOL);
    buf_free(&r.body);
}

static void
test_large_bodies_both_ways(void **state)
{
    enum { N = 3 * 1024 * 1024 };
    char *bytes = malloc(N);
    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < N; i++)
        bytes[i] = (char)('a' + i % 23);
    for (int protocol = HTTP_1; protocol <= HTTP_2; protocol++) {
        struct result r = post("127.0.0.1", (enum http_protocol)protocol, slice_make(bytes, N));
        assert_int_equal(r.ends, 1);
        assert_true(r.body.len > N);
        assert_memory_equal(r.body.at + r.body.len - 1 - N, bytes, N);
        buf_free(&r.body);
    }
    free(bytes);
}

static void
test_f054_an_unknown_authority(void **state)
{
    struct certs others;
    const char *why;
    (void)state;
    certs_init(&others);
    http_client_free(client);
    tls_client_free(trust);
    assert_int_equal(tls_client_new(others.ca_file, NULL, NULL, both, &trust, &why), 0);
    struct http_client_config config = {.tls = trust};
    client = http_client_new(rig.loop, &config);
    struct result r = post("localhost", HTTP_AUTO, SLICE("secret"));
    assert_int_equal(r.err, ERR_TLS);
    assert_int_equal(rig.app.requests, 0);
    buf_free(&r.body);
    certs_fini(&others);
}

/* HTTP/1.1 to who negotiates nothing; the preface of HTTP/2 is no request then. */
static void
test_f042_no_http_2_without_alpn(void **state)
{
    const char *why;
    struct tls_client *plain;
    (void)state;
    assert_int_equal(tls_client_new(certs.ca_file, NULL, NULL, NULL, &plain, &why), 0);
    struct http_client_config config = {.tls = plain};
    struct http_client *other = http_client_new(rig.loop, &config);
    struct http_client *mine = client;
    client = other;
    struct result r = post("localhost", HTTP_AUTO, SLICE("question"));
    assert_int_equal(r.version, 11);
    buf_free(&r.body);
    client = mine;
    http_client_free(other);
    tls_client_free(plain);
}

/* --- a server that breaks TLS off
 * ------------------------------------------------------------------- */

struct rude {
    struct conn *conn;
    const char *answer;
};

static void
rude_on_data(void *ctx, struct slice bytes)
{
    struct rude *r = ctx;
    (void)bytes;
    assert_int_equal(conn_write(r->conn, slice_of(r->answer)), 0);
    conn_flush(r->conn);
    conn_abort(r->conn);
    r->conn = NULL;
}

static void
rude_on_end(void *ctx, int err, const char *why)
{
    struct rude *r = ctx;
    (void)err;
    (void)why;
    conn_close(r->conn);
    r->conn = NULL;
}

static const struct conn_handlers rude_handlers = {.on_data = rude_on_data, .on_end = rude_on_end};

static void
on_rude_accept(void *ctx, int fd)
{
    struct rude *r = ctx;
    r->conn = conn_accepted(rig.loop, fd, tls, &rude_handlers, r);
    assert_non_null(r->conn);
}

static void
test_f054_an_end_without_close_notify_is_truncation(void **state)
{
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\n\r\nhalf",
                                          "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"};
    int fd;
    const char *why;
    struct rude rude = {.conn = NULL};
    (void)state;
    listener_free(rig.listener);
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    rig.port = listener_port(fd);
    rig.listener = listener_new(rig.loop, fd, on_rude_accept, &rude);
    for (size_t i = 0; i < 2; i++) {
        rude.answer = answers[i];
        struct result r = post("localhost", HTTP_1, SLICE("question"));
        assert_int_equal(r.fails, 1);
        assert_int_equal(r.err, ERR_TRUNCATED);
        buf_free(&r.body);
    }
}

/* --- http_fetch
 * ---------------------------------------------------------------------------------------- */

struct fetcher {
    char url[128];
    struct http_answer answer;
    struct tls_client *tls;
    const char *why;
    int err, total_ms;
    bool allow_private;
    struct waker *done;
    int is_done;
};

static int
fetch_in_thread(void *arg)
{
    struct fetcher *f = arg;
    const struct http_field field = {SLICE("x-a"), SLICE("b"), false};
    f->err = http_fetch(f->tls, SLICE("POST"), slice_of(f->url), &field, 1, SLICE("hello"),
                        f->allow_private, f->total_ms, &f->answer, &f->why);
    waker_wake(f->done);
    return 0;
}

static void
on_fetched(void *ctx)
{
    struct fetcher *f = ctx;
    f->is_done = 1;
    loop_stop(rig.loop);
}

static void
run_fetch(struct fetcher *f)
{
    thrd_t thread;
    f->tls = trust;
    f->done = waker_new(rig.loop, on_fetched, f);
    f->is_done = 0;
    assert_int_equal(thrd_create(&thread, fetch_in_thread, f), thrd_success);
    WAIT(rig.loop, f->is_done);
    thrd_join(thread, NULL);
    waker_free(f->done);
}

static void
test_fetch_gives_a_whole_answer(void **state)
{
    struct fetcher f = {.allow_private = true, .total_ms = DEADLINE_MS};
    (void)state;
    snprintf(f.url, sizeof f.url, "https://localhost:%d/v1?x=1", rig.port);
    run_fetch(&f);
    assert_int_equal(f.err, 0);
    assert_int_equal(f.answer.status, 200);
    assert_true(http_content_type_is(&f.answer.head, "text/plain"));
    assert_non_null(strstr(buf_str(&f.answer.body), "[POST /v1?x=1 @localhost:"));
    assert_non_null(strstr(buf_str(&f.answer.body), "x-a=b"));
    assert_non_null(strstr(buf_str(&f.answer.body), "|hello]"));
    http_answer_free(&f.answer);
}

static void
test_fetch_tells_what_failed(void **state)
{
    struct fetcher f = {.allow_private = false, .total_ms = DEADLINE_MS};
    (void)state;
    snprintf(f.url, sizeof f.url, "https://localhost:%d/", rig.port);
    run_fetch(&f);
    assert_int_equal(f.err, ERR_DENIED);
    http_answer_free(&f.answer);
    snprintf(f.url, sizeof f.url, "ftp://localhost/");
    run_fetch(&f);
    assert_int_equal(f.err, ERR_SYNTAX);
    assert_non_null(strstr(f.why, "starts with"));
    http_answer_free(&f.answer);
    f.allow_private = true;
    f.total_ms = 60;
    snprintf(f.url, sizeof f.url, "https://localhost:%d/hold", rig.port);
    run_fetch(&f);
    assert_int_equal(f.err, ERR_TIMEOUT);
    http_answer_free(&f.answer);
    WAIT(rig.loop, rig.app.live == 0 || rig.app.held);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_alpn_chooses_the_protocol),
        TEST(test_a_server_of_http_1_gets_http_1),
        TEST(test_large_bodies_both_ways),
        TEST(test_f054_an_unknown_authority),
        TEST(test_f042_no_http_2_without_alpn),
        TEST(test_f054_an_end_without_close_notify_is_truncation),
        TEST(test_fetch_gives_a_whole_answer),
        TEST(test_fetch_tells_what_failed),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
