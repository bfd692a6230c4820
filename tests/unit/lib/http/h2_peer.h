/*
 * For the HTTP/2 tests: a real http_server on a loop with a small application behind it, and a raw
 * peer on the other end of a socket pair that writes whatever bytes a test wants and remembers
 * every frame that comes back. One thread, one loop; waiting means running the loop until a
 * condition holds or a generous deadline fails the test.
 */
#ifndef TESTS_UNIT_LIB_HTTP_H2_PEER_H
#define TESTS_UNIT_LIB_HTTP_H2_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/http/h2_guard.h"
#include "lib/http/server.h"
#include "lib/net/loop.h"

#define DEADLINE_MS 60000
#define MAX_STREAMS_SEEN 4096
#define MAGIC "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* --- the application -------------------------------------------------------------- */

/*
 * What it does is in the path:
 *   /hello     "hello" and a line end, at once
 *   /echo      the request's body, when it is complete, as the answer
 *   /stream    the request's body, piece by piece as it comes
 *   /size/N    N bytes, with back-pressure
 *   /hold      no answer until the test gives one (app.held)
 *   /early     a complete 401 before the body has come
 *   /abort     a head, five bytes, http_abort
 *   /short     a length of 10, five bytes, http_end
 *   /trailers  a body and a trailer
 *   /empty     204
 *   /fields    the request's fields, one "name: value" a line
 *   /large     a head of 70 KB
 *   /pause     pauses its body until the test resumes app.held
 */
struct exchange {
    struct http_stream *stream;
    struct app *app;
    struct buf body;
    size_t left; /* of /size */
    bool echo, stream_back, sized, is_paused;
};

struct app {
    struct loop *loop; /* stopped at every event: the test looks whether it has what it waits for */
    struct http_server *server;
    struct exchange *held; /* the last one of /hold or /pause */
    size_t requests, live, most_live, aborts, drained, ends;
    size_t most_pending;
    size_t held_left; /* what the last /size that was told to wait has still to write */
    int last_abort;
    size_t body_bytes; /* taken by on_body in all */
    bool hates_half_close;
};

static inline void
exchange_free(struct exchange *x)
{
    if (x->app->held == x)
        x->app->held = NULL;
    x->app->live--;
    buf_free(&x->body);
    free(x);
}

static inline void
app_fill(struct exchange *x)
{
    static const char block[16384];
    while (x->left > 0) {
        size_t n = x->left < sizeof(block) ? x->left : sizeof(block);
        int rv = http_write(x->stream, slice_make(block, n));
        assert_true(rv == 0 || rv == ERR_AGAIN);
        x->left -= n;
        if (http_pending(x->stream) > x->app->most_pending)
            x->app->most_pending = http_pending(x->stream);
        x->app->held_left = x->left;
        if (rv == ERR_AGAIN)
            return;
    }
    http_end(x->stream, NULL, 0);
    exchange_free(x);
}

static inline void *
app_reply(struct http_stream *s, int status, struct slice body)
{
    const struct http_field type = {SLICE("content-type"), SLICE("text/plain"), false};
    assert_int_equal(http_reply(s, status, &type, 1, body), 0);
    return NULL;
}

static inline void *
app_fields(struct http_stream *s, const struct http_head *head)
{
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < head->count; i++)
        assert_int_equal(buf_addf(&b, "%.*s: %.*s\n", SLICE_ARG(head->fields[i].name),
                                  SLICE_ARG(head->fields[i].value)),
                         0);
    app_reply(s, 200, buf_slice(&b));
    buf_free(&b);
    return NULL;
}

static inline void *
app_large(struct http_stream *s)
{
    static char value[14000];
    struct http_field fields[5];
    memset(value, 'v', sizeof(value));
    for (size_t i = 0; i < 5; i++)
        fields[i] = (struct http_field){SLICE("x-large"), slice_make(value, sizeof(value)), false};
    assert_int_equal(http_reply(s, 200, fields, 5, SLICE("body")), 0);
    return NULL;
}

static inline void *
app_odd(struct http_stream *s, struct slice path)
{
    const struct http_field trailer = {SLICE("x-sum"), SLICE("42"), false};
    if (slice_is(path, "/empty")) {
        assert_int_equal(http_respond(s, 204, NULL, 0, 0, true), 0);
        return NULL;
    }
    assert_int_equal(http_respond(s, 200, NULL, 0, slice_is(path, "/short") ? 10 : -1, false), 0);
    assert_int_equal(http_write(s, SLICE("part\n")), 0);
    if (slice_is(path, "/abort"))
        http_abort(s);
    else if (slice_is(path, "/trailers"))
        http_end(s, &trailer, 1);
    else
        http_end(s, NULL, 0);
    return NULL;
}

static inline void *
app_on_request(void *ctx, struct http_stream *s, const struct http_head *head)
{
    struct app *app = ctx;
    struct slice path = head->path;
    app->requests++;
    loop_stop(app->loop);
    if (slice_is(path, "/hello"))
        return app_reply(s, 200, SLICE("hello\n"));
    if (slice_is(path, "/early"))
        return app_reply(s, 401, SLICE("who are you?\n"));
    if (slice_is(path, "/fields"))
        return app_fields(s, head);
    if (slice_is(path, "/large"))
        return app_large(s);
    if (slice_is(path, "/abort") || slice_is(path, "/short") || slice_is(path, "/trailers") ||
        slice_is(path, "/empty"))
        return app_odd(s, path);
    struct exchange *x = calloc(1, sizeof(*x));
    assert_non_null(x);
    x->stream = s;
    x->app = app;
    buf_init(&x->body, 0);
    if (++app->live > app->most_live)
        app->most_live = app->live;
    x->echo = slice_is(path, "/echo");
    x->stream_back = slice_is(path, "/stream");
    if (slice_is(path, "/hold") || slice_is(path, "/pause"))
        app->held = x;
    if (slice_is(path, "/pause")) {
        http_pause(s);
        x->is_paused = true;
    }
    if (x->stream_back)
        assert_int_equal(http_respond(s, 200, NULL, 0, -1, false), 0);
    if (slice_starts(path, SLICE("/size/"))) {
        x->sized = true;
        x->left = (size_t)strtoul(path.at + 6, NULL, 10);
        assert_int_equal(http_respond(s, 200, NULL, 0, (int64_t)x->left, false), 0);
    }
    return x;
}

static inline void
app_on_body(void *arg, struct http_stream *s, struct slice bytes)
{
    struct exchange *x = arg;
    assert_ptr_equal(x->stream, s);
    assert_false(x->is_paused);
    x->app->body_bytes += bytes.len;
    if (x->stream_back)
        (void)!http_write(s, bytes);
    else
        assert_int_equal(buf_add_slice(&x->body, bytes), 0);
}

static inline void
app_on_body_end(void *arg, struct http_stream *s)
{
    struct exchange *x = arg;
    x->app->ends++;
    if (x->echo) {
        assert_int_equal(http_reply(s, 200, NULL, 0, buf_slice(&x->body)), 0);
        exchange_free(x);
    } else if (x->stream_back) {
        http_end(s, NULL, 0);
        exchange_free(x);
    } else if (x->sized) {
        app_fill(x);
    }
}

static inline void
app_on_drained(void *arg, struct http_stream *s)
{
    struct exchange *x = arg;
    (void)s;
    x->app->drained++;
    if (x->sized)
        app_fill(x);
}

static inline bool
app_on_half_close(void *arg, struct http_stream *s)
{
    struct exchange *x = arg;
    (void)s;
    return !x->app->hates_half_close;
}

static inline void
app_on_abort(void *arg, struct http_stream *s, int err, const char *why)
{
    struct exchange *x = arg;
    (void)s;
    assert_non_null(why);
    x->app->aborts++;
    loop_stop(x->app->loop);
    x->app->last_abort = err;
    exchange_free(x);
}

static const struct http_handlers app_handlers = {
    .on_request = app_on_request,
    .on_body = app_on_body,
    .on_body_end = app_on_body_end,
    .on_drained = app_on_drained,
    .on_half_close = app_on_half_close,
    .on_abort = app_on_abort,
};

/* --- the rig ---------------------------------------------------------------------- */

struct rig {
    struct loop *loop;
    struct app app;
    struct http_limits limits; /* the server's, before rig_start */
    struct http_server_config config;
    bool timed_out;
    struct timer deadline;
};

static inline void
rig_init(struct rig *r)
{
    *r = (struct rig){.limits = http_limits_default};
    r->loop = loop_new();
    assert_non_null(r->loop);
    r->app.loop = r->loop;
    r->config = (struct http_server_config){
        .limits = &r->limits, .server_name = "test", .http1 = true, .http2 = true};
}

static inline void
rig_start(struct rig *r)
{
    r->app.server = http_server_new(r->loop, &r->config, &app_handlers, &r->app);
    assert_non_null(r->app.server);
}

static inline void
rig_stop_loop(void *ctx)
{
    loop_stop(ctx);
}

static inline void
rig_fini(struct rig *r)
{
    if (r->app.server)
        http_server_free(r->app.server);
    assert_int_equal(r->app.live, 0); /* every exchange was ended or aborted */
    /* Connections that linger see that their peers have gone, and end. */
    for (int turn = 0; turn < 3; turn++) {
        struct timer t = {.loop = NULL};
        timer_set(&t, r->loop, 1, rig_stop_loop, r->loop);
        loop_run(r->loop);
    }
    loop_free(r->loop);
}

static inline void
rig_on_deadline(void *ctx)
{
    struct rig *r = ctx;
    r->timed_out = true;
    loop_stop(r->loop);
}

/* --- the raw peer ----------------------------------------------------------------- */

struct seen {
    int status; /* 0: no head yet */
    int heads;  /* HEADERS frames in all */
    struct buf body;
    char fields[2048]; /* "name: value\n" of the last head, "*" before what is never indexed */
    bool ended, reset;
    uint32_t reset_code;
    size_t data_frames;
};

struct peer {
    struct rig *rig;
    struct watch watch;
    int fd;
    size_t skip; /* of the preface, where the peer plays the server */
    struct buf out, in;
    nghttp2_hd_inflater *inflater;
    struct seen streams[MAX_STREAMS_SEEN];
    size_t frames[256]; /* of each type, 255: unknown */
    size_t goaways, settings_acks, ping_acks, resets, pings, pings_sent;
    uint32_t goaway_code;
    int32_t goaway_last;
    uint32_t settings[16];    /* theirs, by their number */
    uint64_t window_given;    /* WINDOW_UPDATE of the connection */
    size_t headers_with_data; /* reads that brought a HEADERS and a DATA frame */
    bool closed, no_settings_ack, no_ping_ack, no_read;
};

static inline struct seen *
peer_stream(struct peer *p, int32_t id)
{
    return &p->streams[(size_t)(id / 2) % MAX_STREAMS_SEEN];
}

static inline uint32_t
get32(const char *at)
{
    const unsigned char *p = (const unsigned char *)at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void peer_frame(struct peer *p, int type, int flags, int32_t id, const void *payload,
                              size_t len);

static inline void
peer_inflate(struct peer *p, struct seen *s, const char *at, size_t len)
{
    size_t used = 0;
    s->fields[0] = '\0';
    s->heads++;
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(p->inflater, &nv, &flags, (const uint8_t *)at, len, 1);
        assert_true(n >= 0);
        at += n;
        len -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            if (nv.namelen == 7 && memcmp(nv.name, ":status", 7) == 0)
                s->status = (int)strtol((const char *)nv.value, NULL, 10);
            used +=
                (size_t)snprintf(s->fields + used, sizeof(s->fields) - used, "%s%.*s: %.*s\n",
                                 nv.flags & NGHTTP2_NV_FLAG_NO_INDEX ? "*" : "", (int)nv.namelen,
                                 (const char *)nv.name, (int)nv.valuelen, (const char *)nv.value);
            assert_true(used < sizeof(s->fields));
        }
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
        if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && len == 0)
            break;
    }
    nghttp2_hd_inflate_end_headers(p->inflater);
}

static inline void
peer_take_frame(struct peer *p, int type, int flags, int32_t id, const char *at, size_t len)
{
    struct seen *s = peer_stream(p, id);
    p->frames[type < 10 ? type : 255]++;
    switch (type) {
    case NGHTTP2_DATA:
        assert_int_equal(buf_add(&s->body, at, len), 0);
        s->data_frames++;
        s->ended = s->ended || (flags & NGHTTP2_FLAG_END_STREAM);
        break;
    case NGHTTP2_HEADERS:
        assert_true(flags & NGHTTP2_FLAG_END_HEADERS); /* our heads are small */
        peer_inflate(p, s, at, len);
        s->ended = s->ended || (flags & NGHTTP2_FLAG_END_STREAM);
        break;
    case NGHTTP2_RST_STREAM:
        s->reset = true;
        s->reset_code = get32(at);
        p->resets++;
        break;
    case NGHTTP2_SETTINGS:
        for (size_t i = 0; i + 6 <= len; i += 6)
            if (at[i + 1] >= 0 && at[i + 1] < 16)
                p->settings[(size_t)at[i + 1]] = get32(at + i + 2);
        if (flags & NGHTTP2_FLAG_ACK)
            p->settings_acks++;
        else if (!p->no_settings_ack)
            peer_frame(p, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
        break;
    case NGHTTP2_PING:
        if (flags & NGHTTP2_FLAG_ACK)
            p->ping_acks++;
        else
            p->pings++;
        if (!(flags & NGHTTP2_FLAG_ACK) && !p->no_ping_ack)
            peer_frame(p, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, at, len);
        break;
    case NGHTTP2_GOAWAY:
        p->goaways++;
        p->goaway_last = (int32_t)get32(at);
        p->goaway_code = get32(at + 4);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        if (id == 0)
            p->window_given += get32(at);
        break;
    default:
        break;
    }
}

static inline void
peer_parse(struct peer *p)
{
    bool head = false, data = false;
    size_t skip = p->skip < p->in.len ? p->skip : p->in.len;
    buf_drop(&p->in, skip);
    p->skip -= skip;
    while (p->in.len >= 9) {
        const unsigned char *h = (const unsigned char *)p->in.at;
        size_t len = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
        if (p->in.len < 9 + len)
            break;
        head = head || h[3] == NGHTTP2_HEADERS;
        data = data || h[3] == NGHTTP2_DATA;
        peer_take_frame(p, h[3], h[4], (int32_t)(get32(p->in.at + 5) & 0x7fffffff), p->in.at + 9,
                        len);
        buf_drop(&p->in, 9 + len);
    }
    p->headers_with_data += head && data;
}

static inline void
peer_read(struct peer *p)
{
    char bytes[65536];
    ssize_t n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n > 0) {
        assert_int_equal(buf_add(&p->in, bytes, (size_t)n), 0);
        peer_parse(p);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        p->closed = true;
        watch_fini(&p->watch);
    }
}

static inline void
peer_flush(struct peer *p)
{
    while (p->out.len > 0 && !p->closed) {
        ssize_t n = send(p->fd, p->out.at, p->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            buf_drop(&p->out, (size_t)n);
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        } else {
            buf_clear(&p->out); /* the other side has closed: what it said is still to be read */
            if (p->no_read)
                p->closed = true;
        }
    }
    if (!p->closed)
        assert_int_equal(watch_want(&p->watch, (p->no_read ? 0 : WATCH_READ) |
                                                   (p->out.len > 0 ? WATCH_WRITE : 0)),
                         0);
}

static inline void
peer_on_ready(void *ctx, int what)
{
    struct peer *p = ctx;
    if (what & WATCH_READ)
        peer_read(p);
    if (!p->closed)
        peer_flush(p);
    loop_stop(p->rig->loop); /* the test looks whether it has what it waits for */
}

/* Runs the loop until ready(p) or the deadline. */
static inline void
peer_wait(struct peer *p, bool (*ready)(const struct peer *))
{
    struct rig *r = p->rig;
    if (!p->closed)
        peer_flush(p);
    r->timed_out = false;
    timer_set(&r->deadline, r->loop, DEADLINE_MS, rig_on_deadline, r);
    while (!ready(p) && !r->timed_out)
        loop_run(r->loop);
    timer_cancel(&r->deadline);
    if (r->timed_out)
        fail_msg("nothing happened: closed %d goaways %zu (code %u) resets %zu requests %zu",
                 p->closed, p->goaways, p->goaway_code, p->resets, r->app.requests);
}

/* Takes fd. */
static inline struct peer *
peer_adopt(struct rig *r, int fd)
{
    struct peer *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->rig = r;
    p->fd = fd;
    buf_init(&p->out, 0);
    buf_init(&p->in, 0);
    assert_int_equal(nghttp2_hd_inflate_new(&p->inflater), 0);
    watch_init(&p->watch, r->loop, p->fd, peer_on_ready, p);
    return p;
}

static inline struct peer *
peer_new_type(struct rig *r, int socket_type)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, socket_type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    http_server_accept(r->app.server, fds[1], NULL);
    return peer_adopt(r, fds[0]);
}

static inline void
peer_free(struct peer *p)
{
    watch_fini(&p->watch);
    close(p->fd);
    buf_free(&p->out);
    buf_free(&p->in);
    for (size_t i = 0; i < MAX_STREAMS_SEEN; i++)
        buf_free(&p->streams[i].body);
    nghttp2_hd_inflate_del(p->inflater);
    free(p);
}

static inline void
peer_bytes(struct peer *p, const void *bytes, size_t n)
{
    assert_int_equal(buf_add(&p->out, bytes, n), 0);
}

static inline void
put32(unsigned char *at, uint32_t v)
{
    at[0] = (unsigned char)(v >> 24);
    at[1] = (unsigned char)(v >> 16);
    at[2] = (unsigned char)(v >> 8);
    at[3] = (unsigned char)v;
}

/* A frame head that may lie about its length. */
static inline void
peer_frame_head(struct peer *p, size_t len, int type, int flags, int32_t id)
{
    unsigned char head[9] = {(unsigned char)(len >> 16), (unsigned char)(len >> 8),
                             (unsigned char)len, (unsigned char)type, (unsigned char)flags};
    put32(head + 5, (uint32_t)id);
    peer_bytes(p, head, sizeof(head));
}

static inline void
peer_frame(struct peer *p, int type, int flags, int32_t id, const void *payload, size_t len)
{
    peer_frame_head(p, len, type, flags, id);
    if (len > 0)
        peer_bytes(p, payload, len);
}

static inline void
peer_frame32(struct peer *p, int type, int32_t id, uint32_t value)
{
    unsigned char payload[4];
    put32(payload, value);
    peer_frame(p, type, 0, id, payload, sizeof(payload));
}

static inline void
peer_setting(struct peer *p, int setting, uint32_t value)
{
    unsigned char payload[6] = {0, (unsigned char)setting};
    put32(payload + 2, value);
    peer_frame(p, NGHTTP2_SETTINGS, 0, 0, payload, sizeof(payload));
}

/* A connection with its preface sent. */
static inline struct peer *
peer_new(struct rig *r)
{
    struct peer *p = peer_new_type(r, SOCK_STREAM);
    peer_bytes(p, MAGIC, 24);
    peer_frame(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    return p;
}

/* Literal header fields without indexing (RFC 7541 6.2.2), for any name and value. */
static inline void
put_field(struct buf *b, struct slice name, struct slice value)
{
    struct slice both[2] = {name, value};
    assert_int_equal(buf_add(b, "\0", 1), 0);
    for (int i = 0; i < 2; i++) {
        size_t n = both[i].len;
        unsigned char len[4];
        size_t used = 1;
        if (n < 127) {
            len[0] = (unsigned char)n;
        } else {
            len[0] = 127;
            for (n -= 127; n >= 128; n /= 128)
                len[used++] = (unsigned char)(n % 128 + 128);
            len[used++] = (unsigned char)n;
        }
        assert_int_equal(buf_add(b, len, used), 0);
        assert_int_equal(buf_add_slice(b, both[i]), 0);
    }
}

static inline void
put_str(struct buf *b, const char *name, const char *value)
{
    put_field(b, slice_of(name), slice_of(value));
}

/* The pseudo-fields of an ordinary request. */
static inline void
put_request(struct buf *b, const char *method, const char *path)
{
    put_str(b, ":method", method);
    put_str(b, ":scheme", "http");
    put_str(b, ":authority", "api.example");
    put_str(b, ":path", path);
}

static inline void
peer_block(struct peer *p, int32_t id, int flags, struct buf *block)
{
    peer_frame(p, NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, id, block->at, block->len);
    buf_free(block);
}

/* A request with more fields: name, value, ..., NULL. */
static inline void
peer_request(struct peer *p, int32_t id, int flags, const char *method, const char *path, ...)
{
    struct buf b;
    va_list more;
    buf_init(&b, 0);
    put_request(&b, method, path);
    va_start(more, path);
    for (const char *name; (name = va_arg(more, const char *)) != NULL;) {
        const char *value = va_arg(more, const char *);
        put_str(&b, name, value);
    }
    va_end(more);
    peer_block(p, id, flags, &b);
}

static inline void
peer_get(struct peer *p, int32_t id, const char *path)
{
    peer_request(p, id, NGHTTP2_FLAG_END_STREAM, "GET", path, NULL);
}

static inline bool
peer_has_its_acks(const struct peer *p)
{
    return p->ping_acks >= p->pings_sent || p->closed;
}

/* A round trip: when it is back, the server has dealt with all that was sent before. */
static inline void
peer_ping(struct peer *p)
{
    peer_frame(p, NGHTTP2_PING, 0, 0, "abcdefgh", 8);
    p->pings_sent++;
    peer_wait(p, peer_has_its_acks);
}

static inline bool
peer_first_ended(const struct peer *p)
{
    return p->streams[0].ended || p->streams[0].reset || p->closed;
}

static inline bool
peer_is_gone(const struct peer *p)
{
    return p->closed;
}

static inline bool
peer_has_settings(const struct peer *p)
{
    return p->settings_acks > 0 || p->closed;
}

/* Whether the server still serves: a new connection gets its answer. */
static inline void
assert_alive(struct rig *r)
{
    struct peer *p = peer_new(r);
    peer_get(p, 1, "/hello");
    peer_wait(p, peer_first_ended);
    assert_int_equal(peer_stream(p, 1)->status, 200);
    assert_true(peer_stream(p, 1)->ended);
    peer_free(p);
}

/* The attack was answered with GOAWAY of this code and the end of the connection. */
static inline void
assert_sent_away(struct peer *p, uint32_t code)
{
    peer_wait(p, peer_is_gone);
    assert_true(p->goaways > 0);
    assert_int_equal(p->goaway_code, code);
}

static inline bool
peer_app_has_held(const struct peer *p)
{
    return p->rig->app.held != NULL || p->closed;
}

/* Sends `blocks` pieces of 16 KiB on each of `streams` paused uploads, as the connection's window
 * allows; gives how many bytes went out. */
static inline uint64_t
peer_fill_paused(struct peer *p, int streams, int blocks)
{
    static const char block[16384];
    uint64_t sent = 0;
    int done = 0;
    for (int i = 0; i < streams; i++)
        peer_request(p, 2 * i + 1, 0, "POST", "/pause", NULL);
    peer_wait(p, peer_app_has_held);
    for (int turn = 0; turn < 40 && done < streams * blocks; turn++) {
        while (done < streams * blocks && sent + sizeof(block) <= 65535 + p->window_given) {
            peer_frame(p, NGHTTP2_DATA, 0, 2 * (done++ / blocks) + 1, block, sizeof(block));
            sent += sizeof(block);
        }
        peer_ping(p);
    }
    return sent;
}

#endif
