/*
 * What an HTTP/1.1 upstream may answer, through a real client and a connection over loopback. The
 * first byte says how the rest is cut into writes and whether HEAD was asked. Cut or whole, the
 * outcome is the same: the same answer, or the same failure, but for bytes behind a complete
 * answer.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/http/client.h"
#include "lib/net/listener.h"
#include "tests/fuzz/fuzz.h"

struct outcome {
    struct buf text; /* status, fields, body */
    int err;
    bool headed, over;
};

static struct loop *loop;
static struct waker *waker;
static struct http_client *client;
static struct http_origin *origin;
static int upstream = -1; /* the connection accepted last */

static void
stop(void *ctx)
{
    loop_stop(ctx);
}

static void
turn(void)
{
    for (int i = 0; i < 2; i++) {
        waker_wake(waker);
        loop_run(loop);
    }
}

static void
on_accept(void *ctx, int fd)
{
    (void)ctx;
    CHECK(upstream < 0);
    upstream = fd;
    loop_stop(loop);
}

static void
on_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct outcome *o = ctx;
    (void)call;
    CHECK(!o->headed && head->status >= 200 && head->status <= 999);
    CHECK(head->count <= http_limits_default.fields);
    o->headed = true;
    CHECK(buf_addf(&o->text, "%d %lld\n", head->status, (long long)head->content_length) == 0);
    for (size_t i = 0; i < head->count; i++) {
        CHECK(http_is_token(head->fields[i].name) && http_is_field_value(head->fields[i].value));
        CHECK(buf_addf(&o->text, "%.*s: %.*s\n", SLICE_ARG(head->fields[i].name),
                       SLICE_ARG(head->fields[i].value)) == 0);
    }
}

static void
on_body(void *ctx, struct http_call *call, struct slice bytes)
{
    struct outcome *o = ctx;
    (void)call;
    CHECK(o->headed && !o->over && bytes.len > 0);
    CHECK(buf_add_slice(&o->text, bytes) == 0);
}

static void
on_end(void *ctx, struct http_call *call)
{
    struct outcome *o = ctx;
    (void)call;
    CHECK(o->headed && !o->over);
    o->over = true;
    loop_stop(loop);
}

static void
on_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    struct outcome *o = ctx;
    (void)call;
    CHECK(!o->over && err < 0 && why);
    o->over = true;
    o->err = err;
    loop_stop(loop);
}

static void
init(void)
{
    const struct http_client_config config = {.limits = NULL};
    const char *why;
    int fd;
    loop = loop_new();
    waker = loop ? waker_new(loop, stop, loop) : NULL;
    client = waker ? http_client_new(loop, &config) : NULL;
    CHECK(client && listener_bind("127.0.0.1:0", false, &fd, &why) == 0);
    origin = http_origin_get(client, false, SLICE("127.0.0.1"), listener_port(fd), HTTP_1, true);
    CHECK(origin && listener_new(loop, fd, on_accept, NULL));
}

static void
send_all(const uint8_t *at, size_t n, const struct outcome *o)
{
    while (n > 0 && !o->over) {
        ssize_t sent = send(upstream, at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return;
        if (sent > 0) {
            at += sent;
            n -= (size_t)sent;
        }
        if (n > 0)
            turn();
    }
}

static void
run(const uint8_t *data, size_t n, size_t piece, bool is_head, struct outcome *o)
{
    static const struct http_call_handlers handlers = {on_head, on_body, on_end, on_fail, NULL};
    const struct http_request r = {.method = is_head ? SLICE("HEAD") : SLICE("GET"),
                                   .path = SLICE("/")};
    const struct linger reset = {1, 0}; /* or a minute of runs would use up the ports */
    CHECK(http_call_start(client, origin, &r, &handlers, o));
    while (upstream < 0)
        loop_run(loop);
    turn(); /* the request is on its way */
    for (size_t at = 0; at < n && !o->over; at += piece) {
        send_all(data + at, n - at < piece ? n - at : piece, o);
        turn();
    }
    shutdown(upstream, SHUT_WR);
    while (!o->over)
        loop_run(loop);
    CHECK(setsockopt(upstream, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0);
    close(upstream);
    upstream = -1;
    turn(); /* a connection kept for reuse is gone from the pool */
    turn();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct outcome whole = {.err = 0}, pieces = {.err = 0};
    if (n < 2)
        return 0;
    if (!loop)
        init();
    bool is_head = data[0] & 1;
    size_t piece = (data[0] >> 1) % 64 + 1u;
    if (n / piece > 256)
        piece = n / 256 + 1;
    run(data + 1, n - 1, n - 1, is_head, &whole);
    run(data + 1, n - 1, piece, is_head, &pieces);
    /* Bytes behind a complete answer are seen in time only when they come with its end. */
    CHECK(whole.err == pieces.err || (whole.err == ERR_PROTOCOL && pieces.err == 0));
    CHECK(whole.err != 0 || slice_eq(buf_slice(&whole.text), buf_slice(&pieces.text)));
    buf_free(&whole.text);
    buf_free(&pieces.text);
    return 0;
}
