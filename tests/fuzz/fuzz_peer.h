/*
 * For the targets that fuzz a server through its socket: one loop and one http_server for the whole
 * run, a fresh socket pair for each input. The input is sent in the pieces that its first byte
 * says, then the sending side is shut; the loop runs until the server has closed.
 */
#ifndef TESTS_FUZZ_FUZZ_PEER_H
#define TESTS_FUZZ_FUZZ_PEER_H

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/http/server.h"
#include "lib/net/loop.h"
#include "tests/fuzz/fuzz.h"

/* What the handlers saw, as text that two runs can be compared by. */
struct transcript {
    struct buf text;
    size_t live; /* exchanges begun and not ended */
};

struct fuzz_exchange {
    struct transcript *log;
    struct buf body;
    unsigned number;
};

struct fuzz_peer {
    struct loop *loop;
    struct http_server *server;
    struct transcript *log; /* of the current input */
    struct watch watch;
    struct waker *waker;
    int fd;
    struct buf got; /* what the server sent */
    unsigned requests;
    bool closed;
};

static struct fuzz_peer fuzz_peer;

static inline void
fuzz_exchange_end(struct fuzz_exchange *x)
{
    x->log->live--;
    buf_free(&x->body);
    free(x);
}

/* Some requests are answered at once, some when they are complete, some piece by piece: the
 * method's first letter chooses, so that the fuzzer can. */
static inline void *
fuzz_on_request(void *ctx, struct http_stream *s, const struct http_head *head)
{
    struct fuzz_peer *p = ctx;
    CHECK(head->method.len > 0 && head->path.len > 0 && head->path.at[0] == '/');
    CHECK(http_is_token(head->method));
    CHECK(head->count <= http_limits_default.fields);
    for (size_t i = 0; i < head->count; i++) {
        CHECK(http_is_token(head->fields[i].name));
        CHECK(http_is_field_value(head->fields[i].value));
        for (size_t k = 0; k < head->fields[i].name.len; k++)
            CHECK(head->fields[i].name.at[k] < 'A' || head->fields[i].name.at[k] > 'Z');
    }
    CHECK(buf_addf(&p->log->text, "> %.*s %.*s %.*s %lld\n", SLICE_ARG(head->method),
                   SLICE_ARG(head->path), SLICE_ARG(head->authority),
                   (long long)head->content_length) == 0);
    if (head->method.at[0] == 'H' || head->method.at[0] == 'O') {
        CHECK(http_reply(s, 200, NULL, 0, SLICE("at once")) == 0);
        return NULL;
    }
    struct fuzz_exchange *x = calloc(1, sizeof(*x));
    CHECK(x);
    x->log = p->log;
    x->number = p->requests++;
    buf_init(&x->body, 0);
    p->log->live++;
    if (head->method.at[0] == 'D')
        CHECK(http_respond(s, 200, NULL, 0, -1, false) == 0);
    return x;
}

static inline void
fuzz_on_body(void *arg, struct http_stream *s, struct slice bytes)
{
    struct fuzz_exchange *x = arg;
    CHECK(bytes.len > 0);
    CHECK(buf_add_slice(&x->body, bytes) == 0);
    if (http_has_responded(s)) {
        int rv = http_write(s, bytes);
        CHECK(rv == 0 || rv == ERR_AGAIN);
    }
}

static inline void
fuzz_on_body_end(void *arg, struct http_stream *s)
{
    struct fuzz_exchange *x = arg;
    struct buf *text = &x->log->text;
    CHECK(buf_addf(text, "body %zu ", x->body.len) == 0);
    CHECK(buf_add_slice(text, buf_slice(&x->body)) == 0);
    CHECK(buf_add_str(text, "\n") == 0);
    if (http_has_responded(s))
        http_end(s, NULL, 0);
    else if (x->body.len % 7 == 6)
        http_abort(s);
    else
        CHECK(http_reply(s, 200, NULL, 0, buf_slice(&x->body)) == 0);
    fuzz_exchange_end(x);
}

static inline void
fuzz_on_drained(void *x, struct http_stream *s)
{
    (void)x;
    (void)s;
}

static inline void
fuzz_on_abort(void *arg, struct http_stream *s, int err, const char *why)
{
    (void)s;
    CHECK(err < 0 && why);
    fuzz_exchange_end(arg);
}

static const struct http_handlers fuzz_handlers = {
    .on_request = fuzz_on_request,
    .on_body = fuzz_on_body,
    .on_body_end = fuzz_on_body_end,
    .on_drained = fuzz_on_drained,
    .on_abort = fuzz_on_abort,
};

static inline void
fuzz_on_ready(void *ctx, int what)
{
    struct fuzz_peer *p = ctx;
    char bytes[16384];
    (void)what;
    ssize_t n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n > 0) {
        CHECK(buf_add(&p->got, bytes, (size_t)n) == 0);
    } else if (n == 0 || errno != EAGAIN) {
        p->closed = true;
        watch_fini(&p->watch);
        loop_stop(p->loop);
    }
}

static inline void
fuzz_stop(void *ctx)
{
    loop_stop(ctx);
}

/* One look at every ready descriptor at least. */
static inline void
fuzz_turn(struct fuzz_peer *p)
{
    for (int i = 0; i < 2; i++) { /* the first may stop before it has come to the others */
        waker_wake(p->waker);
        loop_run(p->loop);
    }
}

static inline void
fuzz_peer_init(struct fuzz_peer *p, bool http1, bool http2)
{
    const struct http_server_config config = {.http1 = http1, .http2 = http2};
    p->loop = loop_new();
    p->server = p->loop ? http_server_new(p->loop, &config, &fuzz_handlers, p) : NULL;
    p->waker = p->server ? waker_new(p->loop, fuzz_stop, p->loop) : NULL;
    CHECK(p->waker);
}

static inline void
fuzz_send(struct fuzz_peer *p, const void *bytes, size_t n)
{
    const char *at = bytes;
    while (n > 0 && !p->closed) {
        ssize_t sent = send(p->fd, at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return; /* the server has had enough */
        if (sent > 0) {
            at += sent;
            n -= (size_t)sent;
        }
        if (n > 0)
            fuzz_turn(p);
    }
}

/* piece: bytes a write; 0: all at once. Everything that was begun is over when this returns. */
static inline void
fuzz_peer_run(struct fuzz_peer *p, const void *prefix, size_t prefix_bytes, const uint8_t *input,
              size_t n, size_t piece, struct transcript *log)
{
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    p->log = log;
    p->fd = fds[0];
    p->closed = false;
    p->requests = 0;
    buf_clear(&p->got);
    watch_init(&p->watch, p->loop, p->fd, fuzz_on_ready, p);
    CHECK(watch_want(&p->watch, WATCH_READ) == 0);
    http_server_accept(p->server, fds[1], NULL);
    fuzz_send(p, prefix, prefix_bytes);
    for (size_t at = 0; at < n && piece > 0 && !p->closed; at += piece) {
        fuzz_send(p, input + at, n - at < piece ? n - at : piece);
        fuzz_turn(p);
    }
    if (piece == 0)
        fuzz_send(p, input, n);
    shutdown(p->fd, SHUT_WR);
    while (!p->closed)
        loop_run(p->loop);
    watch_fini(&p->watch);
    close(p->fd);
    fuzz_turn(p); /* what was buried */
    CHECK(log->live == 0);
}

#endif
