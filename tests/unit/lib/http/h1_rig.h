/*
 * For the tests of HTTP/1.1: a real http_server on a loopback port with a small application behind
 * it, and raw sockets that say what a test wants. What the application does is in the path:
 *
 *   anything     200 with what was understood: method, path, authority, fields, body
 *   /early       a complete 401 before the body has come
 *   /stream      the body piece by piece as it comes, chunked
 *   /size/N      N bytes, with back-pressure
 *   /hold        nothing until the test answers (app.held)
 *   /pause       pauses its body until the test resumes it (app.held)
 *   /late        a complete 200 from a task, after on_request
 *   /abort       a head, some bytes, http_abort; /abort-first: nothing but http_abort
 *   /short       declares ten bytes and ends after five
 *   /trailers    a body and a trailer
 *   /empty       204; /unchanged: 304
 *   /split       a field value with a line end in it
 */
#ifndef TESTS_UNIT_LIB_HTTP_H1_RIG_H
#define TESTS_UNIT_LIB_HTTP_H1_RIG_H

#include "tests/unit/lib/net/net_rig.h"

#include "lib/http/server.h"

struct app {
    struct loop *loop;
    struct http_server *server;
    struct exchange *held;
    size_t requests, live, aborts, drained, body_ends;
    int last_abort;
    char last_why[128];
    char last_path[256];
    size_t body_bytes, most_pending;
    bool wrote_split; /* /split was let through */
};

struct exchange {
    struct app *app;
    struct http_stream *stream;
    struct buf body;
    struct task task;
    size_t left;
    bool is_stream, is_sized, is_held;
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
exchange_fill(struct exchange *x)
{
    static char block[8192];
    memset(block, 'b', sizeof block);
    while (x->left > 0) {
        size_t n = x->left < sizeof block ? x->left : sizeof block;
        int err = http_write(x->stream, slice_make(block, n));
        assert_true(err == 0 || err == ERR_AGAIN);
        x->left -= n;
        if (http_pending(x->stream) > x->app->most_pending)
            x->app->most_pending = http_pending(x->stream);
        if (err == ERR_AGAIN)
            return;
    }
    http_end(x->stream, NULL, 0);
    exchange_free(x);
}

/* What was understood, as text. */
static inline void
exchange_report(struct exchange *x)
{
    const struct http_head *h = http_request_head(x->stream);
    const struct http_field type = {SLICE("content-type"), SLICE("text/plain"), false};
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(buf_addf(&b, "[%.*s %.*s @%.*s v%d", SLICE_ARG(h->method), SLICE_ARG(h->path),
                              SLICE_ARG(h->authority), h->version),
                     0);
    for (size_t i = 0; i < h->count; i++)
        assert_int_equal(
            buf_addf(&b, " %.*s=%.*s", SLICE_ARG(h->fields[i].name), SLICE_ARG(h->fields[i].value)),
            0);
    assert_int_equal(buf_add_str(&b, " |"), 0);
    assert_int_equal(buf_add_slice(&b, buf_slice(&x->body)), 0);
    assert_int_equal(buf_add_str(&b, "]"), 0);
    assert_int_equal(http_reply(x->stream, 200, &type, 1, buf_slice(&b)), 0);
    buf_free(&b);
    exchange_free(x);
}

static inline void
exchange_reply_late(void *ctx)
{
    struct exchange *x = ctx;
    assert_int_equal(http_reply(x->stream, 200, NULL, 0, SLICE("late")), 0);
    exchange_free(x);
}

/* Answers that are complete, or broken off, at once. True: it was one of those. */
static inline bool
app_at_once(struct app *app, struct http_stream *s, struct slice path)
{
    const struct http_field trailer = {SLICE("x-sum"), SLICE("42"), false};
    const struct http_field split = {SLICE("x-a"), SLICE("b\r\nx-injected: 1"), false};
    if (slice_is(path, "/early")) {
        assert_int_equal(http_reply(s, 401, NULL, 0, SLICE("who are you?")), 0);
    } else if (slice_is(path, "/empty")) {
        assert_int_equal(http_respond(s, 204, NULL, 0, 0, true), 0);
    } else if (slice_is(path, "/unchanged")) {
        assert_int_equal(http_respond(s, 304, NULL, 0, 0, true), 0);
    } else if (slice_is(path, "/abort-first")) {
        http_abort(s);
    } else if (slice_is(path, "/abort")) {
        assert_int_equal(http_respond(s, 200, NULL, 0, -1, false), 0);
        assert_int_equal(http_write(s, SLICE("part")), 0);
        http_abort(s);
    } else if (slice_is(path, "/short")) {
        assert_int_equal(http_respond(s, 200, NULL, 0, 10, false), 0);
        assert_int_equal(http_write(s, SLICE("12345")), 0);
        assert_int_equal(http_write(s, SLICE("678901")), ERR_LIMIT);
        http_end(s, NULL, 0);
    } else if (slice_is(path, "/trailers")) {
        assert_int_equal(http_respond(s, 200, NULL, 0, -1, false), 0);
        assert_int_equal(http_write(s, SLICE("body")), 0);
        http_end(s, &trailer, 1);
    } else if (slice_is(path, "/split")) {
        app->wrote_split = http_respond(s, 200, &split, 1, 0, true) == 0;
        if (!app->wrote_split)
            assert_int_equal(http_reply(s, 500, NULL, 0, SLICE("no")), 0);
    } else {
        return false;
    }
    return true;
}

static inline void *
app_on_request(void *ctx, struct http_stream *s, const struct http_head *head)
{
    struct app *app = ctx;
    struct slice path = head->path;
    app->requests++;
    snprintf(app->last_path, sizeof app->last_path, "%.*s", SLICE_ARG(path));
    if (app_at_once(app, s, path))
        return NULL;
    struct exchange *x = calloc(1, sizeof *x);
    assert_non_null(x);
    *x = (struct exchange){.app = app, .stream = s};
    buf_init(&x->body, 0);
    app->live++;
    if (slice_is(path, "/stream")) {
        x->is_stream = true;
        assert_int_equal(http_respond(s, 200, NULL, 0, -1, false), 0);
    } else if (slice_starts(path, SLICE("/size/"))) {
        unsigned long long n = 0;
        assert_int_equal(slice_to_u64(slice_from(path, 6), &n), 0);
        x->left = (size_t)n;
        x->is_sized = true;
    } else if (slice_is(path, "/hold") || slice_is(path, "/pause")) {
        x->is_held = true;
        app->held = x;
        if (slice_is(path, "/pause"))
            http_pause(s);
    }
    return x;
}

static inline void
app_on_body(void *ctx, struct http_stream *s, struct slice bytes)
{
    struct exchange *x = ctx;
    x->app->body_bytes += bytes.len;
    if (!x->is_stream) {
        assert_int_equal(buf_add_slice(&x->body, bytes), 0);
        return;
    }
    int err = http_write(s, bytes);
    assert_true(err == 0 || err == ERR_AGAIN);
    if (http_pending(s) > x->app->most_pending)
        x->app->most_pending = http_pending(s);
    if (err == ERR_AGAIN)
        http_pause(s);
}

static inline void
app_on_body_end(void *ctx, struct http_stream *s)
{
    struct exchange *x = ctx;
    x->app->body_ends++;
    if (x->is_stream) {
        http_end(s, NULL, 0);
        exchange_free(x);
    } else if (x->is_sized) {
        assert_int_equal(http_respond(s, 200, NULL, 0, (int64_t)x->left, false), 0);
        exchange_fill(x);
    } else if (slice_is(http_request_head(s)->path, "/late")) {
        loop_after(x->app->loop, &x->task, exchange_reply_late, x);
    } else if (!x->is_held) {
        exchange_report(x);
    }
}

static inline void
app_on_drained(void *ctx, struct http_stream *s)
{
    struct exchange *x = ctx;
    x->app->drained++;
    if (x->is_stream)
        http_resume(s);
    else
        exchange_fill(x);
}

static inline void
app_on_abort(void *ctx, struct http_stream *s, int err, const char *why)
{
    struct exchange *x = ctx;
    struct app *app = x->app;
    (void)s;
    app->aborts++;
    app->last_abort = err;
    snprintf(app->last_why, sizeof app->last_why, "%s", why);
    exchange_free(x);
}

static const struct http_handlers app_handlers = {.on_request = app_on_request,
                                                  .on_body = app_on_body,
                                                  .on_body_end = app_on_body_end,
                                                  .on_drained = app_on_drained,
                                                  .on_abort = app_on_abort};

struct rig {
    struct loop *loop;
    struct turns turns;
    struct app app;
    struct listener *listener;
    struct http_limits limits;
    struct http_server_config config;
    int port;
};

static inline void
rig_on_accept(void *ctx, int fd)
{
    struct rig *rig = ctx;
    http_server_accept(rig->app.server, fd, NULL);
}

/* Sets the defaults, which a test may change before rig_start. */
static inline void
rig_init(struct rig *rig)
{
    *rig = (struct rig){.limits = http_limits_default};
    rig->loop = loop_new();
    assert_non_null(rig->loop);
    rig->app.loop = rig->loop;
    turns_init(&rig->turns, rig->loop);
    rig->config = (struct http_server_config){
        .limits = &rig->limits, .http1 = true, .http2 = true, .half_close_ok = true};
}

static inline void
rig_start(struct rig *rig)
{
    int fd;
    const char *why;
    rig->app.server = http_server_new(rig->loop, &rig->config, &app_handlers, &rig->app);
    assert_non_null(rig->app.server);
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    rig->port = listener_port(fd);
    rig->listener = listener_new(rig->loop, fd, rig_on_accept, rig);
    assert_non_null(rig->listener);
}

static inline struct raw *
rig_connect(struct rig *rig)
{
    if (!rig->app.server)
        rig_start(rig);
    return raw_connect(rig->loop, rig->port);
}

static inline struct http_server_stats
rig_stats(struct rig *rig)
{
    struct http_server_stats stats;
    http_server_get_stats(rig->app.server, &stats);
    return stats;
}

static inline void
rig_fini(struct rig *rig)
{
    listener_free(rig->listener);
    http_server_free(rig->app.server);
    assert_int_equal(rig->app.live, 0);
    waker_free(rig->turns.waker);
    loop_free(rig->loop);
}

/* --- reading answers -----------------------------------------------------------------------------
 */

/* What a client got: "200 401 400!" ("!": the connection ended after it, "~": broken off within).
 */
struct verdict {
    char text[4096];
};

static inline const char *
field_of(const char *head, const char *end, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = strstr(head, "\r\n"); at && at < end; at = strstr(at + 2, "\r\n"))
        if (strncasecmp(at + 2, name, n) == 0 && at[2 + n] == ':')
            return at + 4 + n;
    return NULL;
}

/* Past a chunked body, or NULL when it is cut. */
static inline const char *
skip_chunks(const char *at)
{
    for (;;) {
        char *next;
        unsigned long n = strtoul(at, &next, 16);
        if (next == at || strncmp(next, "\r\n", 2) != 0 || strlen(next) < n + 4)
            return NULL;
        at = next + 2 + n;
        if (n == 0) {
            next = strstr(next, "\r\n\r\n"); /* trailers */
            return next ? next + 4 : NULL;
        }
        if (strncmp(at, "\r\n", 2) != 0)
            return NULL;
        at += 2;
    }
}

/* Past one answer, or NULL when it is not whole. */
static inline const char *
skip_answer(const char *at, int status)
{
    const char *end = strstr(at, "\r\n\r\n");
    if (!end)
        return NULL;
    const char *length = field_of(at, end, "content-length");
    bool bare = status < 200 || status == 204 || status == 304;
    if (bare)
        return end + 4;
    if (field_of(at, end, "transfer-encoding"))
        return skip_chunks(end + 4);
    if (!length)
        return end + 4 + strlen(end + 4);
    size_t n = strtoul(length, NULL, 10);
    return strlen(end + 4) >= n ? end + 4 + n : NULL;
}

static inline struct verdict
read_verdict(struct raw *r)
{
    struct verdict v = {""};
    const char *at = raw_text(r);
    size_t len = 0;
    while (*at && len < sizeof v.text - 16) {
        int status = 0;
        if (sscanf(at, "HTTP/1.1 %d ", &status) != 1)
            status = -1;
        at = status > 0 ? skip_answer(at, status) : NULL;
        len += (size_t)snprintf(v.text + len, sizeof v.text - len, "%s%d%s", len ? " " : "", status,
                                at ? "" : "~");
        if (!at)
            break;
    }
    if (raw_is_over(r))
        snprintf(v.text + len, sizeof v.text - len, "!");
    return v;
}

#endif
