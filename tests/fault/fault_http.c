/* HTTP: heads, events, and whole exchanges of our client with our server on one loop, over both
 * protocols. Whatever fails, a call ends exactly once and nothing stays behind. */
#include "tests/fault/fault.h"

#include <unistd.h>

#include "lib/http/client.h"
#include "lib/http/h1_head.h"
#include "lib/http/server.h"
#include "lib/http/sse.h"
#include "lib/net/listener.h"

/* --- heads --- -------------------------------------------------------------------------------- */

static int
parse_request(void)
{
    static const char head[] = "POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: a.example:80\r\n"
                               "Content-Type: application/json\r\nContent-Length: 5\r\n"
                               "Authorization: Bearer sk\r\nConnection: keep-alive\r\n"
                               "X-Keep: 1\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n";
    struct slice bytes = slice_make(head, sizeof(head) - 1);
    const struct h1_refusal *refusal = NULL;
    struct h1_scan scan = {0};
    struct h1_framing framing;
    struct http_head parsed;
    struct arena a;
    arena_init(&a, 0);
    assert_int_equal(h1_scan(&scan, bytes, &http_limits_default, &refusal), (ssize_t)bytes.len);
    int e = h1_request(bytes, scan.fields, &a, &parsed, &framing, &refusal);
    if (e == 0)
        assert_int_equal(framing.length, 5);
    arena_free(&a);
    return e;
}

static int
parse_response(void)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Transfer-Encoding: chunked\r\nX-Request-Id: 1\r\n\r\n";
    struct h1_framing framing;
    struct http_head parsed;
    const char *why = NULL;
    struct arena a;
    arena_init(&a, 0);
    int e = h1_response(slice_make(head, sizeof(head) - 1), 3, false, &a, &parsed, &framing, &why);
    if (e == 0)
        assert_true(framing.chunked);
    arena_free(&a);
    return e;
}

static void
test_h1_heads(void **state)
{
    (void)state;
    fault_replay(parse_request);
    fault_replay(parse_response);
}

/* --- events --- ------------------------------------------------------------------------------- */

static bool
on_event(void *ctx, const struct sse_event *e)
{
    size_t *events = ctx;
    assert_true(slice_is(e->data, "first\nsecond"));
    (*events)++;
    return true;
}

/* Split at every place, so that events are held and lines joined. */
static int
read_events(void)
{
    static const char text[] = "event: x\ndata: first\ndata: second\n\n: comment\r\ndata: first\r\n"
                               "data: second\r\n\r\n";
    int e = 0;
    for (size_t cut = 0; cut < sizeof(text) - 1 && e == 0; cut++) {
        struct sse_parser p;
        size_t events = 0;
        sse_init(&p, 0);
        e = sse_push(&p, slice_make(text, cut), on_event, &events);
        if (e == 0)
            e = sse_push(&p, slice_make(text + cut, sizeof(text) - 1 - cut), on_event, &events);
        if (e == 0)
            assert_int_equal(events, 2);
        sse_fini(&p);
    }
    return e;
}

static void
test_events(void **state)
{
    (void)state;
    fault_replay(read_events);
}

/* --- exchanges --- ---------------------------------------------------------------------------- */

#define BODY_BYTES 100000
#define ANSWER_PIECES 20
#define PIECE_BYTES 4096
#define CALL_MS 150
#define WATCHDOG_MS 1000

static char body[BODY_BYTES], piece[PIECE_BYTES];

struct rig {
    struct loop *loop;
    struct http_server *server;
    struct listener *listener;
    struct http_client *client;
    struct http_origin *origin;
    struct http_call *call;
    struct timer watchdog;
    int result;       /* 1 while the call is on */
    size_t taken;     /* bytes of request bodies at the server */
    size_t received;  /* bytes of the answer at the client */
    unsigned streams; /* that the server told us of and that have not ended */
};

static void *
on_request(void *ctx, struct http_stream *s, const struct http_head *head)
{
    struct rig *r = ctx;
    (void)s;
    (void)head;
    r->streams++;
    return r;
}

static void
on_request_body(void *x, struct http_stream *s, struct slice bytes)
{
    struct rig *r = x;
    (void)s;
    r->taken += bytes.len;
}

static void
give_up(struct rig *r, struct http_stream *s)
{
    r->streams--;
    http_abort(s);
}

static void
on_request_end(void *x, struct http_stream *s)
{
    struct rig *r = x;
    const struct http_field fields[] = {{SLICE("content-type"), SLICE("text/event-stream"), false}};
    int e = http_respond(s, 200, fields, 1, -1, false);
    for (int i = 0; i < ANSWER_PIECES && (e == 0 || e == ERR_AGAIN); i++)
        e = http_write(s, slice_make(piece, sizeof(piece)));
    if (e < 0 && e != ERR_AGAIN) {
        give_up(r, s);
        return;
    }
    r->streams--;
    http_end(s, NULL, 0);
}

static void
on_request_abort(void *x, struct http_stream *s, int err, const char *why)
{
    struct rig *r = x;
    (void)s;
    (void)why;
    assert_true(err < 0);
    assert_true(r->streams > 0);
    r->streams--;
}

static const struct http_handlers server_handlers = {.on_request = on_request,
                                                     .on_body = on_request_body,
                                                     .on_body_end = on_request_end,
                                                     .on_abort = on_request_abort};

static void
on_accept(void *ctx, int fd)
{
    struct rig *r = ctx;
    http_server_accept(r->server, fd, NULL);
}

static void
over(struct rig *r, int result)
{
    assert_int_equal(r->result, 1); /* exactly once */
    r->result = result;
    r->call = NULL;
    loop_stop(r->loop);
}

static void
on_answer_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    (void)ctx;
    (void)call;
    assert_true(head->status == 200 || head->status >= 400);
}

static void
on_answer_body(void *ctx, struct http_call *call, struct slice bytes)
{
    struct rig *r = ctx;
    (void)call;
    r->received += bytes.len;
}

static void
on_answer_end(void *ctx, struct http_call *call)
{
    struct rig *r = ctx;
    (void)call;
    over(r, r->received == ANSWER_PIECES * PIECE_BYTES && r->taken == BODY_BYTES ? 0
                                                                                 : ERR_UNAVAILABLE);
}

static void
on_answer_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    struct rig *r = ctx;
    (void)call;
    assert_non_null(why);
    assert_true(err < 0);
    over(r, err);
}

static const struct http_call_handlers call_handlers = {.on_head = on_answer_head,
                                                        .on_body = on_answer_body,
                                                        .on_end = on_answer_end,
                                                        .on_fail = on_answer_fail};

static void
on_watchdog(void *ctx)
{
    struct rig *r = ctx;
    fail_msg("the call neither ended nor failed, %d ms after its deadline", WATCHDOG_MS - CALL_MS);
    over(r, ERR_TIMEOUT);
}

static bool
open_rig(struct rig *r, enum http_protocol protocol)
{
    static const struct http_server_config server_config = {.http1 = true, .http2 = true};
    static const struct http_client_config client_config = {0};
    const char *why = NULL;
    int fd = -1;
    fault_pause();
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    int port = listener_port(fd);
    fault_resume();
    if (!(r->loop = loop_new()) || !(r->listener = listener_new(r->loop, fd, on_accept, r))) {
        close(fd);
        return false;
    }
    return (r->server = http_server_new(r->loop, &server_config, &server_handlers, r)) &&
           (r->client = http_client_new(r->loop, &client_config)) &&
           (r->origin =
                http_origin_get(r->client, false, SLICE("127.0.0.1"), port, protocol, true));
}

static void
close_rig(struct rig *r)
{
    timer_cancel(&r->watchdog);
    if (r->call)
        http_call_cancel(r->call);
    if (r->origin)
        http_origin_unref(r->origin);
    if (r->client)
        http_client_free(r->client);
    if (r->listener)
        listener_free(r->listener);
    if (r->server)
        http_server_free(r->server);
    assert_int_equal(r->streams, 0); /* each stream ended once, one way or another */
    if (r->loop)
        loop_free(r->loop);
}

static void
call_once(struct rig *r)
{
    const struct slice pieces[] = {slice_make(body, BODY_BYTES / 2),
                                   slice_make(body, BODY_BYTES - BODY_BYTES / 2)};
    const struct http_field fields[] = {{SLICE("content-type"), SLICE("application/json"), false},
                                        {SLICE("authorization"), SLICE("Bearer sk"), true}};
    const struct http_request q = {.method = SLICE("POST"),
                                   .path = SLICE("/v1/x"),
                                   .fields = fields,
                                   .count = 2,
                                   .body = pieces,
                                   .body_count = 2,
                                   .total_ms = CALL_MS};
    r->result = 1;
    r->taken = r->received = 0;
    r->call = http_call_start(r->client, r->origin, &q, &call_handlers, r);
    if (!r->call) {
        r->result = ERR_NOMEM;
        return;
    }
    timer_set(&r->watchdog, r->loop, WATCHDOG_MS, on_watchdog, r);
    loop_run(r->loop);
    timer_cancel(&r->watchdog);
}

static int
exchange(enum http_protocol protocol)
{
    struct rig r = {.result = ERR_NOMEM};
    if (open_rig(&r, protocol)) {
        call_once(&r);
        if (r.result == 0)
            call_once(&r); /* on the same connection */
    }
    close_rig(&r);
    return r.result;
}

static int
exchange_h1(void)
{
    return exchange(HTTP_1);
}

static int
exchange_h2(void)
{
    return exchange(HTTP_2);
}

static void
test_h1_exchange(void **state)
{
    (void)state;
    fault_replay(exchange_h1);
}

static void
test_h2_exchange(void **state)
{
    (void)state;
    fault_replay(exchange_h2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h1_heads),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_h1_exchange),
        cmocka_unit_test(test_h2_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
