/*
 * The client over HTTP/1.1, against a server that follows a script byte by byte: good answers at
 * every split, bad ones, truncated ones, silence, and connections that die (F050 to F069).
 */
#include "tests/unit/lib/net/net_rig.h"

#include "lib/http/client.h"

static struct loop *loop;
static struct turns turns;
static struct http_limits limits;
static struct http_client *client;
static struct http_origin *origin;

/* --- a server that follows a script
 * ---------------------------------------------------------------- */

enum ending { KEEP, FIN, RST };

struct server_conn {
    struct raw *raw;
    size_t requests;
};

static struct server {
    struct listener *listener;
    int port;
    struct server_conn conns[600];
    size_t count;
    /* What each request gets, on whichever connection; the last entry repeats. */
    const char *answers[8];
    size_t lens[8];
    enum ending endings[8];
    size_t next;
    size_t requests;
    size_t cut;     /* the answer is sent in two pieces, cut here; 0: whole */
    bool is_silent; /* no answers at all */
    int close_on;   /* the connection is closed at this request's arrival, unanswered; 0: never */
} server;

static void
on_accept(void *ctx, int fd)
{
    (void)ctx;
    assert_true(server.count < sizeof server.conns / sizeof *server.conns);
    server.conns[server.count++].raw = raw_new(loop, fd);
}

static void
end_raw(struct raw *r, enum ending ending)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    if (ending == KEEP || r->watch.fd < 0)
        return;
    if (ending == RST)
        assert_int_equal(setsockopt(r->watch.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    watch_fini(&r->watch);
    close(r->watch.fd);
    r->watch.fd = -1;
}

/* Bytes of the first whole request that is there, or 0. */
static size_t
whole_request(struct raw *r)
{
    const char *text = raw_text(r), *end = strstr(text, "\r\n\r\n");
    if (!end)
        return 0;
    const char *length = strstr(text, "content-length: ");
    size_t body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
    size_t all = (size_t)(end + 4 - text) + body;
    return r->in.len >= all ? all : 0;
}

static void
answer(struct server_conn *c)
{
    size_t i = server.next;
    size_t cut = server.cut < server.lens[i] ? server.cut : server.lens[i];
    if (server.answers[i + 1])
        server.next++;
    if (cut > 0) {
        raw_send(c->raw, server.answers[i], cut);
        turns_run(&turns);
    }
    raw_send(c->raw, server.answers[i] + cut, server.lens[i] - cut);
    end_raw(c->raw, server.endings[i]);
}

static char last_request[8192];

static void
serve(void)
{
    for (size_t i = 0; i < server.count; i++) {
        struct server_conn *c = &server.conns[i];
        size_t n = c->raw->watch.fd < 0 || server.is_silent ? 0 : whole_request(c->raw);
        if (n == 0)
            continue;
        server.requests++;
        c->requests++;
        snprintf(last_request, sizeof last_request, "%.*s", (int)n, c->raw->in.at);
        buf_drop(&c->raw->in, n);
        if ((int)server.requests == server.close_on)
            end_raw(c->raw, FIN);
        else
            answer(c);
    }
}

/* The loop stops whenever a raw socket has read; the script goes on from there. */
#define WAIT_SERVED(condition) WAIT(loop, (serve(), (condition)))

#define SCRIPT(i, text, ending_)                                                                   \
    do {                                                                                           \
        server.answers[i] = (text);                                                                \
        server.lens[i] = sizeof(text) - 1;                                                         \
        server.endings[i] = (ending_);                                                             \
    } while (0)

#define OK_HELLO "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

/* --- calls
 * ------------------------------------------------------------------------------------------ */

struct result {
    struct http_call *call;
    int heads, ends, fails, sends, err, status;
    char why[128], type[64], peer[64];
    struct buf body;
    bool refuses_to_send, cancels_on_head, cancels_on_body, pauses_on_body;
};

static void
on_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct result *r = ctx;
    struct slice type = http_field_get(head, "content-type");
    r->heads++;
    r->status = head->status;
    snprintf(r->type, sizeof r->type, "%.*s", SLICE_ARG(type));
    snprintf(r->peer, sizeof r->peer, "%s", http_call_peer(call));
    if (r->cancels_on_head) {
        http_call_cancel(call);
        r->call = NULL;
    }
}

static void
on_body(void *ctx, struct http_call *call, struct slice bytes)
{
    struct result *r = ctx;
    assert_int_equal(buf_add_slice(&r->body, bytes), 0);
    if (r->cancels_on_body) {
        http_call_cancel(call);
        r->call = NULL;
        loop_stop(loop);
    }
    if (r->pauses_on_body)
        http_call_pause(call);
}

static void
on_end(void *ctx, struct http_call *call)
{
    struct result *r = ctx;
    (void)call;
    r->call = NULL;
    r->ends++;
    loop_stop(loop);
}

static void
on_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    struct result *r = ctx;
    (void)call;
    r->call = NULL;
    r->fails++;
    r->err = err;
    snprintf(r->why, sizeof r->why, "%s", why);
    loop_stop(loop);
}

static bool
on_send(void *ctx, struct http_call *call)
{
    struct result *r = ctx;
    assert_false(http_call_was_sent(call) && r->sends == 0);
    r->sends++;
    return !r->refuses_to_send;
}

static const struct http_call_handlers handlers = {.on_head = on_head,
                                                   .on_body = on_body,
                                                   .on_end = on_end,
                                                   .on_fail = on_fail,
                                                   .on_send = on_send};

static struct result
start_result(void)
{
    struct result r = {.call = NULL};
    buf_init(&r.body, 0);
    return r;
}

static void
start_call(struct result *r, const struct http_request *request)
{
    r->call = http_call_start(client, origin, request, &handlers, r);
    assert_non_null(r->call);
    assert_int_equal(r->sends + r->heads + r->fails, 0);
}

static const struct http_request get = {.method = {"GET", 3}, .path = {"/x", 2}};

/* A GET to its end, whichever. */
static struct result
fetch(void)
{
    struct result r = start_result();
    start_call(&r, &get);
    WAIT_SERVED(r.ends + r.fails == 1);
    return r;
}

static void
assert_hello(struct result *r)
{
    assert_int_equal(r->fails, 0);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->heads, 1);
    assert_int_equal(r->status, 200);
    assert_string_equal(buf_str(&r->body), "hello");
    buf_free(&r->body);
}

static void
assert_failed(struct result *r, int err)
{
    if (r->fails != 1 || r->err != err)
        fail_msg("expected a failure with %s, got %d ends, %d fails, %s: %s", err_name(err),
                 r->ends, r->fails, err_name(r->err), r->why);
    assert_int_equal(r->ends, 0);
    buf_free(&r->body);
}

static struct http_client_stats
stats(void)
{
    struct http_client_stats s;
    http_client_get_stats(client, &s);
    return s;
}

static void
client_up(void)
{
    struct http_client_config config = {.limits = &limits};
    client = http_client_new(loop, &config);
    assert_non_null(client);
    origin = http_origin_get(client, false, SLICE("127.0.0.1"), server.port, HTTP_AUTO, true);
    assert_non_null(origin);
}

static void
client_down(void)
{
    http_origin_unref(origin);
    http_client_free(client);
}

static void
server_up(void)
{
    int fd;
    const char *why;
    memset(&server, 0, sizeof server);
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    server.port = listener_port(fd);
    server.listener = listener_new(loop, fd, on_accept, NULL);
    assert_non_null(server.listener);
    SCRIPT(0, OK_HELLO, KEEP);
}

static int
setup(void **state)
{
    (void)state;
    limits = http_limits_default;
    loop = loop_new();
    turns_init(&turns, loop);
    server_up();
    client_up();
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    client_down();
    listener_free(server.listener);
    for (size_t i = 0; i < server.count; i++)
        raw_free(server.conns[i].raw);
    waker_free(turns.waker);
    loop_free(loop);
    return 0;
}

/* --- what is good
 * ----------------------------------------------------------------------------------- */

static void
test_calls_share_a_connection(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct result r = fetch();
        assert_string_equal(r.peer, "127.0.0.1");
        assert_int_equal(r.sends, 1);
        assert_hello(&r);
    }
    assert_int_equal(server.count, 1);
    assert_int_equal(stats().connects, 1);
    assert_int_equal(stats().reuses, 4);
    assert_int_equal(stats().connections, 1);
}

static void
test_the_request_as_it_is_sent(void **state)
{
    char expected[512];
    (void)state;
    const struct http_field fields[] = {{SLICE("x-one"), SLICE("1"), false},
                                        {SLICE("connection"), SLICE("x-one"), false},
                                        {SLICE("content-length"), SLICE("99"), false},
                                        {SLICE("x-two"), SLICE("a b"), true}};
    const struct slice body[] = {SLICE("{\"model\":"), SLICE("\"m\""), SLICE("}")};
    struct http_request request = {.method = SLICE("POST"),
                                   .path = SLICE("/v1?x=1"),
                                   .fields = fields,
                                   .count = 4,
                                   .body = body,
                                   .body_count = 3};
    struct result r = start_result();
    start_call(&r, &request);
    WAIT_SERVED(r.ends == 1);
    snprintf(expected, sizeof expected,
             "POST /v1?x=1 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nx-one: 1\r\nx-two: a b\r\n"
             "content-length: 13\r\n\r\n{\"model\":\"m\"}",
             server.port);
    assert_string_equal(last_request, expected);
    assert_hello(&r);
    request = get;
    request.authority = SLICE("other:1");
    r = start_result();
    start_call(&r, &request);
    WAIT_SERVED(r.ends == 1);
    assert_string_equal(last_request, "GET /x HTTP/1.1\r\nhost: other:1\r\n\r\n");
    assert_hello(&r);
}

static void
test_a_large_body_is_sent_from_where_it_lies(void **state)
{
    enum { N = 12 * 1024 * 1024 };
    char *bytes = malloc(N);
    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < N; i++)
        bytes[i] = (char)('a' + i % 23);
    struct slice body[40];
    for (size_t i = 0, at = 0; i < 40; i++) {
        size_t n = i < 39 ? i * 8111 : N - at;
        body[i] = slice_make(bytes + at, n);
        at += n;
    }
    const struct http_request request = {
        .method = SLICE("POST"), .path = SLICE("/"), .body = body, .body_count = 40};
    struct result r = start_result();
    start_call(&r, &request);
    server.is_silent = true;
    WAIT(loop, server.count == 1 && server.conns[0].raw->in.len > N);
    WAIT(loop, whole_request(server.conns[0].raw) > 0);
    struct raw *raw = server.conns[0].raw;
    assert_memory_equal(strstr(raw_text(raw), "\r\n\r\n") + 4, bytes, N);
    server.is_silent = false;
    WAIT_SERVED(r.ends == 1);
    assert_hello(&r);
    r = fetch();
    assert_hello(&r);
    assert_int_equal(server.count, 1);
    free(bytes);
}

struct good {
    const char *bytes;
    size_t len;
    enum ending ending;
    const char *body;
    bool is_kept; /* the connection carries another call */
};
#define G(bytes, ending, body, kept)                                                               \
    {                                                                                              \
        (bytes), sizeof(bytes) - 1, (ending), (body), (kept)                                       \
    }
#define CHUNKED "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

static const struct good goods[] = {
    G(OK_HELLO, KEEP, "hello", true),
    G("HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello", KEEP, "hello", true),
    G("HTTP/1.1 200 \r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello", KEEP, "hello",
      true),
    G("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", KEEP, "", true),
    G("HTTP/1.1 204 No Content\r\n\r\n", KEEP, "", true),
    G("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", KEEP, "", true),
    G("HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n", KEEP, "", true),
    G(CHUNKED "5\r\nhello\r\n0\r\n\r\n", KEEP, "hello", true),
    G(CHUNKED "1\r\nh\r\n4;x=y\r\nello\r\n0\r\nx-trailer: 1\r\n\r\n", KEEP, "hello", true),
    G("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", KEEP, "", true),
    G("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello", FIN, "hello",
      false),
    G("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", FIN, "hello", false),
    G("HTTP/1.1 200 OK\r\n\r\nhello", FIN, "hello", false),
    G("HTTP/1.0 200 OK\r\n\r\nhello", FIN, "hello", false),
    G("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", KEEP, "hello", false),
    G("HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello", KEEP, "hello",
      true),
    G("HTTP/1.1 100 Continue\r\n\r\n" OK_HELLO, KEEP, "hello", true),
    G("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" OK_HELLO,
      KEEP, "hello", true),
    G("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: \x80\xff\r\nempty:\r\n\r\nhello", KEEP, "hello",
      true),
};

static void
check_good(const struct good *g, size_t cut)
{
    server.answers[0] = g->bytes;
    server.lens[0] = g->len;
    server.endings[0] = g->ending;
    server.answers[1] = NULL;
    server.cut = cut;
    struct result r = fetch();
    if (r.ends != 1 || strcmp(buf_str(&r.body), g->body) != 0)
        fail_msg("%s cut at %zu: %d ends, %s", g->bytes, cut, r.ends, r.why);
    assert_int_equal(r.heads, 1);
    assert_int_equal(stats().connections, g->is_kept ? 1 : 0);
    buf_free(&r.body);
}

static void
test_f063_good_answers_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goods / sizeof *goods; i++)
        for (size_t cut = 0; cut < goods[i].len; cut++) {
            check_good(&goods[i], cut);
            if (server.count > 500) { /* those that ended took a connection each */
                teardown(NULL);
                setup(NULL);
            }
        }
}

/* A provider may write each byte by itself; framing alone is refused as it is of a client. */
static void
test_f014_overhead_of_a_response(void **state)
{
    static const struct {
        const char *chunk;
        size_t count;
        bool good;
    } cases[] = {
        {"1\r\nx\r\n", 60000, true},
        {"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n", 4000, false}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct buf b;
        buf_init(&b, 0);
        assert_int_equal(buf_add_str(&b, CHUNKED), 0);
        for (size_t n = 0; n < cases[i].count; n++)
            assert_int_equal(buf_add_str(&b, cases[i].chunk), 0);
        assert_int_equal(buf_add_str(&b, "0\r\n\r\n"), 0);
        server.answers[0] = b.at;
        server.lens[0] = b.len;
        server.endings[0] = KEEP;
        server.answers[1] = NULL;
        struct result r = fetch();
        assert_int_equal(r.ends, cases[i].good ? 1 : 0);
        buf_free(&r.body);
        buf_free(&b);
    }
}

static void
test_head_and_its_like_have_no_body(void **state)
{
    (void)state;
    SCRIPT(0, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", KEEP);
    SCRIPT(1, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", KEEP);
    SCRIPT(2, "HTTP/1.1 200 OK\r\n\r\n", KEEP);
    for (int i = 0; i < 3; i++) {
        const struct http_request head = {.method = SLICE("HEAD"), .path = SLICE("/")};
        struct result r = start_result();
        start_call(&r, &head);
        WAIT_SERVED(r.ends == 1);
        assert_int_equal(r.body.len, 0);
        buf_free(&r.body);
    }
    assert_int_equal(server.count, 1);
}

static void
test_an_answer_before_the_request_is_out(void **state)
{
    enum { N = 32 * 1024 * 1024 };
    char *bytes = calloc(1, N);
    (void)state;
    assert_non_null(bytes);
    struct slice body = {bytes, N};
    const struct http_request request = {
        .method = SLICE("POST"), .path = SLICE("/"), .body = &body, .body_count = 1};
    struct result r = start_result();
    start_call(&r, &request);
    WAIT(loop, server.count == 1);
    raw_say(
        server.conns[0].raw,
        "HTTP/1.1 413 Content Too Large\r\ncontent-length: 5\r\nconnection: close\r\n\r\nlarge");
    assert_int_equal(watch_want(&server.conns[0].raw->watch, 0), 0);
    WAIT(loop, r.ends == 1);
    assert_int_equal(r.status, 413);
    assert_string_equal(buf_str(&r.body), "large");
    assert_int_equal(stats().connections, 0);
    buf_free(&r.body);
    free(bytes);
}

/* --- F068: answers that are refused
 * ------------------------------------------------------------------ */

struct bad {
    const char *bytes;
    size_t len;
    int err;
};
#define B(bytes)                                                                                   \
    {                                                                                              \
        (bytes), sizeof(bytes) - 1, ERR_PROTOCOL                                                   \
    }
#define OK "HTTP/1.1 200 OK\r\n"

static const struct bad bads[] = {
    B("HTTP/1.1 200 OK\ncontent-length: 5\n\nhello"),
    B(OK "content-length: 5\n\r\nhello"),
    B(OK "content-length: 5\r\n\nhello"),
    B(OK "a: b\rc\r\ncontent-length: 5\r\n\r\nhello"),
    B(OK "a: b\0c\r\ncontent-length: 5\r\n\r\nhello"),
    B(OK "a: b\r\n c\r\ncontent-length: 5\r\n\r\nhello"),
    B(OK "a : b\r\ncontent-length: 5\r\n\r\nhello"),
    B(OK "content-length: 5\r\ncontent-length: 5\r\n\r\nhello"),
    B(OK "content-length: 5\r\ncontent-length: 6\r\n\r\nhello"),
    B(OK "content-length: 5, 5\r\n\r\nhello"),
    B(OK "content-length: +5\r\n\r\nhello"),
    B(OK "content-length: 05\r\n\r\nhello"),
    B(OK "content-length: 0x5\r\n\r\nhello"),
    B(OK "content-length:\r\n\r\nhello"),
    B(OK "content-length: 18446744073709551621\r\n\r\nhello"),
    B(OK "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    B(OK "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    B(OK "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    B(OK "transfer-encoding: identity\r\n\r\nhello"),
    B(OK "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    B("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    B(OK "connection: content-length\r\ncontent-length: 5\r\n\r\nhello"),
    B("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello"),
    B("HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    B("HTTP/1.1 204 No Content\r\n\r\nhello"),
    B("HTTP/1.1 304 Not Modified\r\n\r\nhello"),
    B(OK "content-length: 0\r\n\r\nhello"),
    B(OK "content-length: 5\r\n\r\nhelloo"),
    B(OK_HELLO OK_HELLO),
    B(CHUNKED "0\r\n\r\nX"),
    B(CHUNKED "5\nhello\r\n0\r\n\r\n"),
    B(CHUNKED "5\r\nhelloX\r\n0\r\n\r\n"),
    B(CHUNKED " 5\r\nhello\r\n0\r\n\r\n"),
    B(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n"),
    B(CHUNKED "-5\r\nhello\r\n0\r\n\r\n"),
    B(CHUNKED "11111111111111111\r\nhello"),
    B(CHUNKED "FFFFFFFFFFFFFFFF\r\nhello"),
    B(CHUNKED "0\r\na\r\n\r\n"),
    B("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    B("HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\nhello" OK_HELLO),
    B("hello\r\n\r\n"), /* HTTP/0.9 */
    B("HTTP/0.9 200 OK\r\n\r\n"),
    B("HTTP/1.2 200 OK\r\n\r\n"),
    B("HTTP/2.0 200 OK\r\n\r\n"),
    B("HTTP/1.1  200 OK\r\n\r\n"),
    B("HTTP/1.1 20 OK\r\n\r\n"),
    B("HTTP/1.1 2000 OK\r\n\r\n"),
    B("HTTP/1.1 099 OK\r\n\r\n"),
    B("HTTP/1.1 600 OK\r\n\r\n"),
    B("HTTP/1.1 2x0 OK\r\n\r\n"),
    B("HTTP/1.1 200\tOK\r\n\r\n"),
    B("http/1.1 200 OK\r\n\r\n"),
    B("\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    B(" HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    B("\x15\x03\x01\x00\x02\x02\x46"), /* a TLS alert */
};

static void
test_f068_bad_answers_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++)
        for (size_t cut = 0; cut < bads[i].len; cut += cut < 8 ? 1 : 7) {
            server.answers[0] = bads[i].bytes;
            server.lens[0] = bads[i].len;
            server.endings[0] = KEEP;
            server.cut = cut;
            /* What comes after a complete answer may be seen only when the connection is idle. */
            struct result r = fetch();
            if (r.ends == 0) {
                if (r.fails != 1 || r.err != bads[i].err)
                    fail_msg("%s: %s: %s", bads[i].bytes, err_name(r.err), r.why);
            } else {
                assert_true(cut > 0);
            }
            buf_free(&r.body);
            WAIT(loop, stats().connections == 0);
            if (server.count > 500) {
                teardown(NULL);
                setup(NULL);
            }
        }
}

static void
test_f066_too_many_informational_answers(void **state)
{
#define C "HTTP/1.1 100 Continue\r\n\r\n"
    (void)state;
    SCRIPT(0, C C C C C C C C OK_HELLO, KEEP);
    SCRIPT(1, C C C C C C C C C OK_HELLO, KEEP);
    struct result r = fetch();
    assert_hello(&r);
    r = fetch();
    assert_failed(&r, ERR_PROTOCOL);
}

static void
test_f066_an_endless_head(void **state)
{
    struct buf b;
    (void)state;
    for (size_t n = 65536; n <= 65537; n++) {
        buf_init(&b, 0);
        assert_int_equal(buf_add_str(&b, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"), 0);
        size_t left = n - strlen("content-length: 0\r\n");
        while (left > 0) {
            size_t some = left > 14000 ? 12000 : left;
            assert_int_equal(buf_addf(&b, "a:%*s\r\n", (int)some - 4, "x"), 0);
            left -= some;
        }
        assert_int_equal(buf_add_str(&b, "\r\n"), 0);
        server.answers[0] = b.at;
        server.lens[0] = b.len;
        struct result r = fetch();
        if (n == 65536) {
            assert_int_equal(r.ends, 1);
            buf_free(&r.body);
        } else {
            assert_failed(&r, ERR_LIMIT);
        }
        buf_free(&b);
    }
    assert_int_equal(stats().connections, 0);
}

/* --- F058, F059: answers that end early
 * ------------------------------------------------------------- */

static void
test_f059_truncated_answers(void **state)
{
    static const struct good whole[] = {
        G(OK_HELLO, FIN, "", false),
        G(CHUNKED "5\r\nhello\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n", FIN, "", false),
    };
    (void)state;
    for (int ending = FIN; ending <= RST; ending++)
        for (size_t i = 0; i < 2; i++)
            for (size_t n = 1; n < whole[i].len; n++) {
                server.answers[0] = whole[i].bytes;
                server.lens[0] = n;
                server.endings[0] = (enum ending)ending;
                struct result r = fetch();
                assert_failed(&r, ERR_TRUNCATED);
                assert_int_equal(stats().connections, 0);
            }
}

static void
test_f058_a_reset_cuts_what_only_the_end_would_end(void **state)
{
    (void)state;
    SCRIPT(0, "HTTP/1.1 200 OK\r\n\r\nhello", RST);
    struct result r = fetch();
    assert_failed(&r, ERR_TRUNCATED);
}

static void
test_a_connection_closed_without_an_answer(void **state)
{
    (void)state;
    SCRIPT(0, "", FIN);
    struct result r = fetch();
    assert_failed(&r, ERR_RESET);
    SCRIPT(0, "", RST);
    r = fetch();
    assert_failed(&r, ERR_RESET);
    assert_int_equal(stats().retries, 0); /* they were new connections */
}

/* --- deadlines
 * --------------------------------------------------------------------------------------- */

static void
test_f055_no_answer_in_time(void **state)
{
    (void)state;
    server.is_silent = true;
    struct http_request request = get;
    request.first_byte_ms = 50;
    struct result r = start_result();
    int64_t began = clock_mono_ms();
    start_call(&r, &request);
    WAIT(loop, r.fails == 1);
    assert_true(clock_mono_ms() - began >= 50);
    assert_failed(&r, ERR_TIMEOUT);
    assert_int_equal(r.sends, 1);
    assert_int_equal(stats().connections, 0);
}

static void
test_f057_a_stalled_answer(void **state)
{
    (void)state;
    limits.between_bytes_ms = 50;
    SCRIPT(0, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", KEEP);
    struct result r = fetch();
    assert_int_equal(r.heads, 1);
    assert_failed(&r, ERR_TIMEOUT);
}

static void
test_f057_a_trickle_is_bounded_in_all(void **state)
{
    (void)state;
    SCRIPT(0, "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nh", KEEP);
    struct http_request request = get;
    request.total_ms = 100;
    struct result r = start_result();
    start_call(&r, &request);
    while (r.fails == 0) {
        serve();
        if (server.requests == 1)
            raw_say(server.conns[0].raw, "x");
        rig_run(loop);
    }
    assert_failed(&r, ERR_TIMEOUT);
}

static void
test_a_paused_call_does_not_time_out_for_our_sake(void **state)
{
    (void)state;
    limits.between_bytes_ms = 30;
    SCRIPT(0, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", KEEP);
    struct result r = start_result();
    r.pauses_on_body = true;
    start_call(&r, &get);
    WAIT_SERVED(r.body.len == 5);
    for (int i = 0; i < 10; i++)
        rig_run(loop);
    assert_int_equal(r.fails, 0);
    r.pauses_on_body = false;
    http_call_resume(r.call);
    raw_say(server.conns[0].raw, "world");
    WAIT(loop, r.ends == 1);
    assert_string_equal(buf_str(&r.body), "helloworld");
    buf_free(&r.body);
}

/* A listening socket whose accept queue is full: what comes is dropped. */
struct black_hole {
    int fd, port, fillers[8];
};

static void
black_hole_open(struct black_hole *h, int port)
{
    struct sockaddr_in a = loopback(port);
    socklen_t len = sizeof a;
    h->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(h->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(h->fd, 0), 0);
    assert_int_equal(getsockname(h->fd, (struct sockaddr *)&a, &len), 0);
    h->port = ntohs(a.sin_port);
    for (size_t n = 0; n < 8; n++) {
        h->fillers[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(connect(h->fillers[n], (struct sockaddr *)&a, sizeof a) == 0 ||
                    errno == EINPROGRESS);
    }
}

static void
black_hole_close(struct black_hole *h)
{
    for (size_t n = 0; n < 8; n++)
        close(h->fillers[n]);
    close(h->fd);
}

static void
test_f051_connecting_takes_too_long(void **state)
{
    struct black_hole hole;
    (void)state;
    black_hole_open(&hole, 0);
    limits.connect_ms = 80;
    http_origin_unref(origin);
    origin = http_origin_get(client, false, SLICE("127.0.0.1"), hole.port, HTTP_AUTO, true);
    struct result r = start_result();
    start_call(&r, &get);
    WAIT(loop, r.fails == 1);
    assert_failed(&r, ERR_TIMEOUT);
    assert_int_equal(r.sends, 0);
    black_hole_close(&hole);
}

/* localhost is 127.0.0.1, which swallows everything, and then ::1. */
static void
test_f051_a_silent_address_leaves_time_for_the_next(void **state)
{
    struct black_hole hole;
    int fd;
    const char *why;
    (void)state;
    if (listener_bind("[::1]:0", false, &fd, &why) != 0)
        skip();
    listener_free(server.listener);
    server.port = listener_port(fd);
    server.listener = listener_new(loop, fd, on_accept, NULL);
    black_hole_open(&hole, server.port);
    limits.connect_ms = 1000;
    http_origin_unref(origin);
    origin = http_origin_get(client, false, SLICE("localhost"), server.port, HTTP_AUTO, true);
    struct result r = fetch();
    assert_string_equal(r.peer, "::1");
    assert_hello(&r);
    black_hole_close(&hole);
}

/* --- F069: connections that die while nobody looks
 * --------------------------------------------------- */

static struct http_request
repeatable(void)
{
    struct http_request request = get;
    request.retry_dead = true;
    return request;
}

static void
test_f069_a_closed_idle_connection_is_not_used(void **state)
{
    (void)state;
    struct result r = fetch();
    assert_hello(&r);
    end_raw(server.conns[0].raw, FIN);
    WAIT(loop, stats().connections == 0);
    r = fetch();
    assert_hello(&r);
    assert_int_equal(server.count, 2);
}

static void
test_f069_unasked_bytes_end_an_idle_connection(void **state)
{
    (void)state;
    struct result r = fetch();
    assert_hello(&r);
    raw_say(server.conns[0].raw, "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n");
    WAIT(loop, stats().connections == 0);
    r = fetch();
    assert_hello(&r);
    assert_int_equal(server.count, 2);
}

/* The server closes just as the second request arrives. */
static void
test_f069_a_request_on_a_dying_connection_is_sent_again(void **state)
{
    (void)state;
    struct result r = fetch();
    assert_hello(&r);
    server.close_on = 2;
    struct http_request request = repeatable();
    r = start_result();
    start_call(&r, &request);
    WAIT_SERVED(r.ends + r.fails == 1);
    assert_int_equal(r.sends, 2);
    assert_hello(&r);
    assert_int_equal(stats().retries, 1);
    assert_int_equal(server.count, 2);
}

static void
test_f069_only_where_the_caller_allows_it(void **state)
{
    (void)state;
    struct result r = fetch();
    assert_hello(&r);
    server.close_on = 2;
    r = fetch();
    assert_int_equal(r.sends, 1);
    assert_failed(&r, ERR_RESET);
}

static void
test_f069_only_once_and_on_a_new_connection(void **state)
{
    struct result r[3];
    (void)state;
    for (int i = 0; i < 3; i++) { /* three at once make three connections */
        r[i] = start_result();
        start_call(&r[i], &get);
    }
    WAIT_SERVED(r[0].ends + r[1].ends + r[2].ends == 3);
    for (int i = 0; i < 3; i++)
        assert_hello(&r[i]);
    assert_int_equal(server.count, 3);
    /* The server restarts: all three are dead, and the client does not know yet. */
    for (int i = 0; i < 3; i++)
        end_raw(server.conns[i].raw, RST);
    struct http_request request = repeatable();
    struct result again = start_result();
    start_call(&again, &request);
    WAIT_SERVED(again.ends + again.fails == 1);
    assert_hello(&again);
    assert_true(again.sends <= 2);
}

static void
test_f069_not_after_a_byte_of_an_answer(void **state)
{
    (void)state;
    struct result r = fetch();
    assert_hello(&r);
    SCRIPT(0, "H", FIN);
    server.next = 0;
    struct http_request request = repeatable();
    r = start_result();
    start_call(&r, &request);
    WAIT_SERVED(r.ends + r.fails == 1);
    assert_int_equal(r.sends, 1);
    assert_failed(&r, ERR_TRUNCATED);
}

static void
test_f069_not_on_a_new_connection(void **state)
{
    (void)state;
    server.close_on = 1;
    struct http_request request = repeatable();
    struct result r = start_result();
    start_call(&r, &request);
    WAIT_SERVED(r.ends + r.fails == 1);
    assert_int_equal(r.sends, 1);
    assert_failed(&r, ERR_RESET);
}

/* --- pool
 * ------------------------------------------------------------------------------------------- */

static void
test_idle_connections_are_bounded_and_expire(void **state)
{
    enum { N = 12 };
    struct result r[N];
    size_t ends = 0;
    (void)state;
    client_down();
    struct http_client_config config = {.limits = &limits, .max_idle_per_origin = 4, .idle_ms = 60};
    client = http_client_new(loop, &config);
    origin = http_origin_get(client, false, SLICE("127.0.0.1"), server.port, HTTP_1, true);
    for (int i = 0; i < N; i++) {
        r[i] = start_result();
        start_call(&r[i], &get);
    }
    while (ends < N) {
        serve();
        rig_run(loop);
        ends = 0;
        for (int i = 0; i < N; i++)
            ends += (size_t)r[i].ends;
    }
    for (int i = 0; i < N; i++)
        assert_hello(&r[i]);
    assert_int_equal(server.count, N);
    assert_int_equal(stats().connections, 4);
    WAIT(loop, stats().connections == 0);
    struct result again = fetch();
    assert_hello(&again);
}

/* The connection used last is used first, so that the others can expire. */
static void
test_the_warmest_connection_is_taken(void **state)
{
    struct result a = start_result(), b = start_result();
    (void)state;
    start_call(&a, &get);
    start_call(&b, &get);
    WAIT_SERVED(a.ends + b.ends == 2);
    assert_hello(&a);
    assert_hello(&b);
    for (int i = 0; i < 5; i++) {
        struct result r = fetch();
        assert_hello(&r);
    }
    assert_int_equal(server.count, 2);
    assert_true(server.conns[0].requests == 6 || server.conns[1].requests == 6);
    assert_int_equal(stats().reuses, 5);
}

static void
test_an_origin_is_shared_by_its_parts(void **state)
{
    (void)state;
    struct http_origin *same =
        http_origin_get(client, false, SLICE("127.0.0.1"), server.port, HTTP_AUTO, true);
    struct http_origin *other =
        http_origin_get(client, false, SLICE("127.0.0.1"), server.port, HTTP_AUTO, false);
    assert_ptr_equal(same, origin);
    assert_ptr_not_equal(other, origin);
    http_origin_unref(same);
    http_origin_unref(other);
}

/* --- F050, F155: where it may connect
 * ----------------------------------------------------------------- */

static void
test_f050_refused(void **state)
{
    int fd;
    const char *why;
    (void)state;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    int port = listener_port(fd);
    close(fd);
    http_origin_unref(origin);
    origin = http_origin_get(client, false, SLICE("127.0.0.1"), port, HTTP_AUTO, true);
    struct result r[3];
    for (int i = 0; i < 3; i++) {
        r[i] = start_result();
        start_call(&r[i], &get);
    }
    WAIT(loop, r[0].fails + r[1].fails + r[2].fails == 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(r[i].sends, 0);
        assert_failed(&r[i], ERR_CONNECT);
    }
}

static void
test_f155_private_addresses_are_refused(void **state)
{
    static const char *const hosts[] = {"127.0.0.1",       "localhost", "::1",
                                        "169.254.169.254", "10.0.0.1",  "::ffff:127.0.0.1"};
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        http_origin_unref(origin);
        origin = http_origin_get(client, false, slice_of(hosts[i]), server.port, HTTP_AUTO, false);
        struct result r = start_result();
        start_call(&r, &get);
        WAIT(loop, r.fails == 1);
        assert_int_equal(r.sends, 0);
        assert_failed(&r, ERR_DENIED);
    }
    assert_int_equal(stats().connects, 0);
    assert_int_equal(server.count, 0);
}

/* localhost is 127.0.0.1, where nobody listens, and then ::1. */
static void
test_f050_the_next_address_is_tried(void **state)
{
    int fd;
    const char *why;
    (void)state;
    if (listener_bind("[::1]:0", false, &fd, &why) != 0)
        skip();
    listener_free(server.listener);
    server.port = listener_port(fd);
    server.listener = listener_new(loop, fd, on_accept, NULL);
    http_origin_unref(origin);
    origin = http_origin_get(client, false, SLICE("localhost"), server.port, HTTP_AUTO, true);
    struct result r = fetch();
    assert_string_equal(r.peer, "::1");
    assert_hello(&r);
    assert_int_equal(stats().connects, 2);
}

static void
test_f052_a_name_that_does_not_resolve(void **state)
{
    (void)state;
    http_origin_unref(origin);
    origin = http_origin_get(client, false, SLICE(""), server.port, HTTP_AUTO, true);
    struct result r = start_result();
    start_call(&r, &get);
    WAIT(loop, r.fails == 1);
    assert_failed(&r, ERR_DNS);
}

/* --- what the caller can do
 * -------------------------------------------------------------------------- */

static void
test_cancel_at_any_time_never_calls_back(void **state)
{
    (void)state;
    for (int when = 0; when < 5; when++) {
        struct result r = start_result();
        SCRIPT(0, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", KEEP);
        server.is_silent = when == 1;
        r.cancels_on_head = when == 2;
        r.cancels_on_body = when == 3;
        start_call(&r, &get);
        if (when == 0) {
            http_call_cancel(r.call);
            r.call = NULL;
        } else if (when == 1) {
            size_t before = server.count;
            WAIT(loop, r.sends == 1 && server.count > before);
            WAIT(loop, whole_request(server.conns[server.count - 1].raw) > 0);
            http_call_cancel(r.call);
            r.call = NULL;
        } else if (when == 4) {
            WAIT_SERVED(r.body.len == 5);
            http_call_cancel(r.call);
            r.call = NULL;
        } else {
            WAIT_SERVED(r.call == NULL);
        }
        for (int i = 0; i < 3; i++)
            rig_run(loop);
        assert_int_equal(r.ends + r.fails, 0);
        if (when > 0) {
            struct raw *raw = server.conns[server.count - 1].raw;
            WAIT(loop, raw_is_over(raw)); /* the upstream is told at once */
            assert_int_equal(stats().connections, 0);
        }
        buf_free(&r.body);
    }
}

static void
test_a_call_can_be_stopped_before_it_is_sent(void **state)
{
    (void)state;
    struct result r = start_result();
    r.refuses_to_send = true;
    start_call(&r, &get);
    WAIT_SERVED(r.fails == 1);
    assert_failed(&r, ERR_CANCELLED);
    assert_int_equal(server.requests, 0);
    assert_int_equal(stats().connections, 1);
    r = fetch(); /* the connection is as good as new */
    assert_hello(&r);
    assert_int_equal(server.count, 1);
}

static void
test_a_paused_call_holds_the_upstream_back(void **state)
{
    enum { N = 24 * 1024 * 1024 };
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-length: 25165824\r\n\r\n";
    char *body = malloc(N);
    (void)state;
    assert_non_null(body);
    memset(body, 'x', N);
    struct result r = start_result();
    r.pauses_on_body = true;
    start_call(&r, &get);
    server.is_silent = true;
    WAIT(loop, server.count == 1 && whole_request(server.conns[0].raw) > 0);
    raw_send(server.conns[0].raw, head, sizeof head - 1);
    ssize_t sent = 0, n;
    for (int i = 0; i < 50; i++) {
        while ((n = send(server.conns[0].raw->watch.fd, body + sent, (size_t)(N - sent),
                         MSG_NOSIGNAL)) > 0)
            sent += n;
        rig_run(loop);
    }
    assert_true(sent < N);
    assert_true(r.body.len <= LOOP_SCRATCH_BYTES);
    while (r.ends == 0) {
        http_call_resume(r.call);
        n = send(server.conns[0].raw->watch.fd, body + sent, (size_t)(N - sent), MSG_NOSIGNAL);
        sent += n > 0 ? n : 0;
        rig_run(loop);
    }
    assert_int_equal(r.body.len, N);
    buf_free(&r.body);
    free(body);
}

/* The end of the stream came while the call was paused: it is told after the bytes before it. */
static void
test_an_end_while_paused_waits_its_turn(void **state)
{
    (void)state;
    SCRIPT(0, "HTTP/1.1 200 OK\r\n\r\nhello", FIN);
    struct result r = start_result();
    r.pauses_on_body = true;
    start_call(&r, &get);
    WAIT_SERVED(r.body.len == 5);
    for (int i = 0; i < 3; i++)
        rig_run(loop);
    assert_int_equal(r.ends + r.fails, 0);
    http_call_resume(r.call);
    WAIT(loop, r.ends == 1);
    buf_free(&r.body);
}

static void
test_f049_what_would_make_two_requests_is_not_sent(void **state)
{
    static const struct http_field bad_value = {SLICE("x-a"), SLICE("b\r\nx-injected: 1"), false};
    static const struct http_field bad_name = {SLICE("x a"), SLICE("b"), false};
    const struct http_request requests[] = {
        {.method = SLICE("GET"), .path = SLICE("/ HTTP/1.1\r\nX:")},
        {.method = SLICE("GET /"), .path = SLICE("/")},
        {.method = SLICE("GET"), .path = SLICE("")},
        {.method = SLICE("GET"), .path = SLICE("x")},
        {.method = SLICE("GET"), .path = SLICE("/"), .authority = SLICE("a\r\nb")},
        {.method = SLICE("GET"), .path = SLICE("/"), .fields = &bad_value, .count = 1},
        {.method = SLICE("GET"), .path = SLICE("/"), .fields = &bad_name, .count = 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct result r = start_result();
        start_call(&r, &requests[i]);
        WAIT_SERVED(r.fails == 1);
        assert_failed(&r, ERR_PROTOCOL);
    }
    assert_int_equal(server.requests, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_calls_share_a_connection),
        TEST(test_the_request_as_it_is_sent),
        TEST(test_a_large_body_is_sent_from_where_it_lies),
        TEST(test_f063_good_answers_at_every_split),
        TEST(test_f014_overhead_of_a_response),
        TEST(test_head_and_its_like_have_no_body),
        TEST(test_an_answer_before_the_request_is_out),
        TEST(test_f068_bad_answers_at_every_split),
        TEST(test_f066_too_many_informational_answers),
        TEST(test_f066_an_endless_head),
        TEST(test_f059_truncated_answers),
        TEST(test_f058_a_reset_cuts_what_only_the_end_would_end),
        TEST(test_a_connection_closed_without_an_answer),
        TEST(test_f055_no_answer_in_time),
        TEST(test_f057_a_stalled_answer),
        TEST(test_f057_a_trickle_is_bounded_in_all),
        TEST(test_a_paused_call_does_not_time_out_for_our_sake),
        TEST(test_f051_connecting_takes_too_long),
        TEST(test_f051_a_silent_address_leaves_time_for_the_next),
        TEST(test_f069_a_closed_idle_connection_is_not_used),
        TEST(test_f069_unasked_bytes_end_an_idle_connection),
        TEST(test_f069_a_request_on_a_dying_connection_is_sent_again),
        TEST(test_f069_only_where_the_caller_allows_it),
        TEST(test_f069_only_once_and_on_a_new_connection),
        TEST(test_f069_not_after_a_byte_of_an_answer),
        TEST(test_f069_not_on_a_new_connection),
        TEST(test_idle_connections_are_bounded_and_expire),
        TEST(test_the_warmest_connection_is_taken),
        TEST(test_an_origin_is_shared_by_its_parts),
        TEST(test_f050_refused),
        TEST(test_f155_private_addresses_are_refused),
        TEST(test_f050_the_next_address_is_tried),
        TEST(test_f052_a_name_that_does_not_resolve),
        TEST(test_cancel_at_any_time_never_calls_back),
        TEST(test_a_call_can_be_stopped_before_it_is_sent),
        TEST(test_a_paused_call_holds_the_upstream_back),
        TEST(test_an_end_while_paused_waits_its_turn),
        TEST(test_f049_what_would_make_two_requests_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
