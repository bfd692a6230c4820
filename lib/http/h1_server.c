/*
 * HTTP/1.1 from clients: one connection, one request at a time. The connection's struct holds the
 * stream's, which each request uses anew.
 *
 * Bytes are consumed from the loop's scratch buffer; what cannot be consumed yet (part of a head, a
 * pipelined request, the body of a paused stream) is kept in `in`, and reading stops until it can.
 * When an answer has ended, the rest is left to a task after the callback (settle): so the stream's
 * memory stays while its handler returns.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/http/h1_body.h"
#include "lib/http/h1_head.h"
#include "lib/http/stream.h"

/* So much of a body that nobody wants is read to keep the connection; also how long a client is
 * given to take our last answer. */
#define DRAIN_BYTES 65536
#define LINGER_MS 5000
#define RATE_WINDOW_MS 30000
/* A status line, date, length, and what frames the fields. */
#define HEAD_ROOM_BYTES 256

enum phase {
    AWAIT, /* for a request, or for the rest of its head */
    BODY,  /* the stream lives, its request's body is coming */
    BUSY,  /* the stream lives, its request is complete */
    DRAIN, /* answered; the rest of the body is dropped */
};

struct h1_conn {
    struct http_server_conn base;
    struct http_stream stream;
    struct h1_scan scan;
    struct h1_body body;
    struct buf in;
    struct timer timer;
    struct task task;
    int64_t since_ms;  /* accepted; then of the last answer's end; then of the head's first byte */
    int64_t window_ms; /* when the window of the body's rate began */
    int64_t body_ms;   /* of the last body byte */
    uint64_t window_seen; /* body bytes at its beginning */
    int64_t out_left;     /* of the answer's declared length */
    enum phase phase;
    bool gone; /* closed; only the memory is still there */
    bool in_advance;
    bool answered;  /* the answer is complete; settle() follows */
    bool broken;    /* the answer was broken off */
    bool served;    /* at least one request */
    bool has_head;  /* part of a head is here */
    bool wants_100; /* the client waits for 100 before it sends the body */
    bool paused;    /* the handler does not want body bytes now */
    bool takes_trailers;
    bool is_http10;
    bool close_after;  /* the connection ends with this answer */
    bool peer_done;    /* the client has sent FIN */
    bool out_chunked;  /* the answer's framing */
    bool out_bare;     /* the answer has no body */
    bool owes_drained; /* http_write has said ERR_AGAIN */
};

static const struct http_stream_ops stream_ops;
static const struct http_server_conn_ops conn_ops;
static const struct conn_handlers conn_events;

static void settle(void *ctx);
static void advance(struct h1_conn *c);

static struct h1_conn *
conn_of(const struct http_server_conn *base)
{
    return (struct h1_conn *)(uintptr_t)base;
}

static struct h1_conn *
of_stream(const struct http_stream *s)
{
    return conn_of(s->conn);
}

static struct http_server_core *
core_of(const struct h1_conn *c)
{
    return http_server_core(c->base.server);
}

static bool
has_stream(const struct h1_conn *c)
{
    return (c->phase == BODY || c->phase == BUSY) && !c->stream.ended;
}

/* --- deadlines -----------------------------------------------------------------------------------
 */

static void on_due(void *ctx);

/* When the state the connection is in must end; INT64_MAX: it may last. */
static int64_t
next_due(const struct h1_conn *c)
{
    const struct http_limits *limits = core_of(c)->limits;
    int64_t due = INT64_MAX;
    if (c->phase == AWAIT)
        return c->since_ms + (c->served && !c->has_head ? limits->keepalive_ms : limits->head_ms);
    if (c->phase == DRAIN)
        return c->body_ms + limits->body_idle_ms;
    if (c->phase == BODY && !c->paused) {
        due = c->body_ms + limits->body_idle_ms;
        if (c->window_ms + RATE_WINDOW_MS < due)
            due = c->window_ms + RATE_WINDOW_MS;
    }
    if (c->owes_drained) {
        int64_t stall =
            loop_now_ms(core_of(c)->loop) - conn_stalled_ms(c->base.conn) + limits->write_stall_ms;
        due = stall < due ? stall : due;
    }
    return due;
}

/* After a change that may have brought the deadline nearer. One that moved away costs nothing: the
 * timer finds out when it fires. */
static void
arm(struct h1_conn *c)
{
    int64_t due = next_due(c);
    if (due == INT64_MAX || (timer_is_pending(&c->timer) && c->timer.due_ms <= due))
        return;
    struct loop *l = core_of(c)->loop;
    timer_set(&c->timer, l, due - loop_now_ms(l), on_due, c);
}

/* --- the end -------------------------------------------------------------------------------------
 */

static void
conn_destroy(void *arg)
{
    struct h1_conn *c = arg;
    arena_free(&c->stream.arena);
    buf_free(&c->in);
    free(c);
}

/* The HTTP side ends; the conn is the caller's to close. */
static void
leave(struct h1_conn *c)
{
    struct loop *l = core_of(c)->loop;
    assert(!c->gone);
    if (c->phase == BODY || c->phase == BUSY)
        core_of(c)->stats.streams--;
    c->gone = true;
    timer_cancel(&c->timer);
    loop_unqueue(l, &c->task);
    http_server_unlink(&c->base);
    loop_bury(l, c, conn_destroy);
}

static void
finish(struct h1_conn *c)
{
    struct conn *conn = c->base.conn;
    leave(c);
    conn_finish(conn, LINGER_MS);
}

static void
abort_stream(struct h1_conn *c, int err, const char *why)
{
    struct http_stream *s = &c->stream;
    if (!has_stream(c))
        return;
    s->ended = true;
    core_of(c)->handlers->on_abort(s->x, s, err, why);
}

/* The client is gone or out of order: no answer reaches it any more. */
static void
drop(struct h1_conn *c, int err, const char *why)
{
    struct conn *conn = c->base.conn;
    bool was_alive = has_stream(c);
    leave(c);
    conn_close(conn);
    if (was_alive && !c->stream.ended) {
        c->stream.ended = true;
        core_of(c)->handlers->on_abort(c->stream.x, &c->stream, err, why);
    }
}

/* --- answering errors ----------------------------------------------------------------------------
 */

/* A whole answer of our own, after which the connection ends. */
static void
write_error(struct h1_conn *c, int status, const char *code, const char *message)
{
    struct buf body, head;
    struct slice date = http_date(core_of(c)->loop);
    const char *server = core_of(c)->config->server_name;
    bool to_head = c->phase != AWAIT && c->stream.is_head_method;
    buf_init(&body, 0);
    buf_init(&head, 0);
    if (http_server_error_body(c->base.server, status, code, message, &body) == 0 &&
        buf_addf(&head,
                 "HTTP/1.1 %d %s\r\ndate: %.*s\r\n%s%s%scontent-type: %s\r\n"
                 "cache-control: no-store\r\ncontent-length: %zu\r\nconnection: close\r\n\r\n",
                 status, http_reason(status), SLICE_ARG(date), server ? "server: " : "",
                 server ? server : "", server ? "\r\n" : "", http_server_error_type(c->base.server),
                 body.len) == 0) {
        struct slice pieces[2] = {buf_slice(&head), buf_slice(&body)};
        int err = conn_writev(c->base.conn, pieces, to_head ? 1 : 2);
        (void)err; /* without memory the client gets a bare close */
    }
    buf_free(&body);
    buf_free(&head);
}

/* Answers with an error if nothing was answered yet, and ends the connection. */
static void
refuse(struct h1_conn *c, int status, const char *code, const char *message, int err)
{
    if (!has_stream(c) || !c->stream.responded)
        write_error(c, status, code, message);
    abort_stream(c, err, message);
    if (!c->gone)
        finish(c);
}

static void
refuse_request(struct h1_conn *c, const struct h1_refusal *r)
{
    core_of(c)->stats.bad_requests++;
    refuse(c, r->status, r->code, r->message, ERR_PROTOCOL);
}

static void
refuse_slow(struct h1_conn *c, const char *message)
{
    refuse(c, 408, "request_timeout", message, ERR_TIMEOUT);
}

static void
body_is_late(struct h1_conn *c, int64_t now)
{
    const struct http_limits *limits = core_of(c)->limits;
    uint64_t seen = c->body.seen - c->window_seen;
    if (now >= c->body_ms + limits->body_idle_ms) {
        refuse_slow(c, "The request body stalled.");
    } else if (seen * 1000 < (uint64_t)limits->body_min_rate * RATE_WINDOW_MS) {
        refuse_slow(c, "The request body comes too slowly.");
    } else {
        c->window_ms = now;
        c->window_seen = c->body.seen;
        arm(c);
    }
}

static void
on_due(void *ctx)
{
    struct h1_conn *c = ctx;
    int64_t now = loop_now_ms(core_of(c)->loop);
    int64_t due = next_due(c);
    if (due > now) {
        arm(c);
    } else if (c->phase == AWAIT && c->has_head) {
        core_of(c)->stats.head_timeouts++;
        refuse_slow(c, "The request head took too long.");
    } else if (c->phase == AWAIT || c->phase == DRAIN) {
        struct conn *conn = c->base.conn;
        leave(c);
        conn_close(conn);
    } else if (c->owes_drained &&
               conn_stalled_ms(c->base.conn) >= core_of(c)->limits->write_stall_ms) {
        drop(c, ERR_TIMEOUT, "the client takes no answer");
    } else {
        body_is_late(c, now);
    }
}

/* --- the request ---------------------------------------------------------------------------------
 */

static void
begin_body(struct h1_conn *c, const struct h1_framing *f, uint64_t max)
{
    if (f->chunked)
        h1_body_init(&c->body, H1_BODY_CHUNKED, 0, max);
    else if (f->length > 0)
        h1_body_init(&c->body, H1_BODY_LENGTH, (uint64_t)f->length, max);
    else
        h1_body_init(&c->body, H1_BODY_NONE, 0, max);
    c->phase = c->body.done ? BUSY : BODY;
    c->body_ms = c->window_ms = loop_now_ms(core_of(c)->loop);
    c->window_seen = 0;
}

static void
reset_stream(struct h1_conn *c)
{
    struct http_stream *s = &c->stream;
    s->x = NULL;
    s->responded = s->ended = s->is_head_method = false;
    c->answered = c->broken = c->paused = c->owes_drained = false;
    c->out_chunked = c->out_bare = false;
    c->wants_100 = c->takes_trailers = c->is_http10 = false;
}

static void
send_100(struct h1_conn *c)
{
    if (!c->wants_100 || c->paused || c->stream.responded || c->phase != BODY)
        return;
    c->wants_100 = false;
    int err = conn_write(c->base.conn, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    (void)err; /* without memory the client waits until it sends anyway */
}

static void
begin_stream(struct h1_conn *c, const struct h1_framing *f, uint64_t max)
{
    struct http_server_core *core = core_of(c);
    struct http_stream *s = &c->stream;
    s->is_head_method = slice_is(s->head.method, "HEAD");
    s->head.scheme = conn_is_tls(c->base.conn) ? SLICE("https") : SLICE("http");
    c->takes_trailers = f->takes_trailers;
    c->is_http10 = s->head.version == 10;
    c->close_after = !f->keep_alive || core->draining;
    c->served = true;
    begin_body(c, f, max);
    c->wants_100 = f->expects_continue && c->phase == BODY;
    core->stats.streams++;
    void *x = core->handlers->on_request(core->ctx, s, &s->head);
    if (c->gone || s->ended)
        return;
    s->x = x;
    if (c->phase == BUSY && core->handlers->on_body_end)
        core->handlers->on_body_end(s->x, s);
    else
        send_100(c);
}

/* A whole head. */
static void
take_request(struct h1_conn *c, struct slice head, size_t fields)
{
    struct h1_framing framing;
    const struct h1_refusal *refusal = NULL;
    struct http_stream *s = &c->stream;
    uint64_t max = 0;
    reset_stream(c);
    int err = h1_request(head, fields, &s->arena, &s->head, &framing, &refusal);
    if (err == 0)
        max = http_server_body_limit(core_of(c), &s->head,
                                     framing.chunked      ? -1
                                     : framing.length > 0 ? framing.length
                                                          : 0);
    if (err == ERR_NOMEM) {
        refuse(c, 503, "out_of_memory", "The gateway is out of memory.", err);
    } else if (err != 0) {
        refuse_request(c, refusal);
    } else if (framing.length > 0 && (uint64_t)framing.length > max) {
        refuse(c, 413, "content_too_large", "The request body is larger than the limit.",
               ERR_LIMIT);
    } else {
        begin_stream(c, &framing, max);
    }
}

static size_t
take_head(struct h1_conn *c, char *at, size_t n)
{
    const struct h1_refusal *refusal = NULL;
    ssize_t len = h1_scan(&c->scan, slice_make(at, n), core_of(c)->limits, &refusal);
    if (len < 0) {
        refuse_request(c, refusal);
        return 0;
    }
    if (len == 0) {
        if (!c->has_head) {
            c->has_head = true;
            if (c->served)
                c->since_ms = loop_now_ms(core_of(c)->loop);
            arm(c);
        }
        return 0;
    }
    size_t fields = c->scan.fields;
    c->has_head = false;
    c->scan = (struct h1_scan){0};
    take_request(c, slice_make(at, (size_t)len), fields);
    return (size_t)len;
}

static void
body_failed(struct h1_conn *c, int err)
{
    static const struct h1_refusal bad_chunk = {400, "bad_request",
                                                "The chunked request body is malformed."};
    if (err == ERR_LIMIT)
        refuse(c, 413, "content_too_large", "The request body is larger than the limit.", err);
    else
        refuse_request(c, &bad_chunk);
}

static size_t
take_body(struct h1_conn *c, char *at, size_t n)
{
    const struct http_handlers *h = core_of(c)->handlers;
    struct http_stream *s = &c->stream;
    struct slice data;
    ssize_t used = h1_body_push(&c->body, at, n, core_of(c)->limits, &data);
    if (used < 0) {
        body_failed(c, (int)used);
        return 0;
    }
    c->wants_100 = false;
    c->body_ms = loop_now_ms(core_of(c)->loop);
    if (c->body.done)
        c->phase = BUSY;
    if (data.len > 0 && h->on_body)
        h->on_body(s->x, s, data);
    if (c->body.done && !c->gone && !s->ended && h->on_body_end)
        h->on_body_end(s->x, s);
    return (size_t)used;
}

/* The rest of a body whose request is answered. */
static size_t
take_rest(struct h1_conn *c, char *at, size_t n)
{
    struct slice data;
    ssize_t used = h1_body_push(&c->body, at, n, core_of(c)->limits, &data);
    if (used < 0 || c->body.seen > c->window_seen + DRAIN_BYTES) {
        finish(c);
        return 0;
    }
    if (c->body.done) {
        c->phase = AWAIT;
        c->since_ms = loop_now_ms(core_of(c)->loop);
    }
    return (size_t)used;
}

static size_t
take_some(struct h1_conn *c, char *at, size_t n)
{
    switch (c->phase) {
    case AWAIT:
        return take_head(c, at, n);
    case BODY:
        return c->paused || c->stream.ended ? 0 : take_body(c, at, n);
    case DRAIN:
        return take_rest(c, at, n);
    case BUSY:
        break;
    }
    return 0;
}

/* Consumes what can be consumed now: how many bytes. */
static size_t
consume(struct h1_conn *c, char *at, size_t n)
{
    size_t used = 0;
    c->in_advance = true;
    while (used < n && !c->gone && !c->answered) {
        size_t some = take_some(c, at + used, n - used);
        if (some == 0)
            break;
        used += some;
    }
    c->in_advance = false;
    return used;
}

/* Whether bytes that come now could be used, or must be left to the kernel. */
static void
regulate(struct h1_conn *c)
{
    bool stuck = c->in.len > 0 && c->phase != AWAIT;
    if (stuck || (c->phase == BODY && c->paused))
        conn_pause(c->base.conn);
    else
        conn_resume(c->base.conn);
}

/* Goes on with what is kept. */
static void
advance(struct h1_conn *c)
{
    if (c->in.len > 0) {
        size_t used = consume(c, c->in.at, c->in.len);
        if (c->gone)
            return;
        buf_drop(&c->in, used);
        if (c->in.len == 0)
            buf_free(&c->in);
    }
    regulate(c);
    if (c->phase == BODY || c->phase == AWAIT)
        arm(c);
}

static void
on_data(void *ctx, struct slice bytes)
{
    struct h1_conn *c = ctx;
    char *at = (char *)(uintptr_t)bytes.at; /* the scratch buffer: ours to overwrite */
    if (c->in.len == 0) {
        size_t used = consume(c, at, bytes.len);
        if (c->gone)
            return;
        if (used == bytes.len) {
            if (c->phase == BODY)
                arm(c);
            return;
        }
        bytes = slice_from(bytes, used);
        if (buf_add_slice(&c->in, bytes) != 0)
            drop(c, ERR_NOMEM, "no memory for a request");
        else
            regulate(c);
        return;
    }
    if (buf_add_slice(&c->in, bytes) != 0)
        drop(c, ERR_NOMEM, "no memory for a request");
    else
        advance(c);
}

/* --- the answer ----------------------------------------------------------------------------------
 */

static char *
put(char *at, struct slice s)
{
    if (s.len > 0)
        memcpy(at, s.at, s.len);
    return at + s.len;
}

static char *
put_field(char *at, struct slice name, struct slice value)
{
    at = put(at, name);
    *at++ = ':';
    *at++ = ' ';
    at = put(at, value);
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static char *
put_number(char *at, uint64_t n)
{
    char digits[20];
    size_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return put(at, slice_make(digits + i, sizeof digits - i));
}

static char *
put_status(char *at, int status)
{
    if (status == 200)
        return put(at, SLICE("HTTP/1.1 200 OK\r\n"));
    at = put(at, SLICE("HTTP/1.1 "));
    at = put_number(at, (uint64_t)status);
    *at++ = ' ';
    at = put(at, slice_of(http_reason(status)));
    return put(at, SLICE("\r\n"));
}

/* Fields that say how the message is framed: ours. */
static bool
is_ours(struct slice name)
{
    switch (name.len) {
    case 4:
        return slice_eq_nocase(name, SLICE("date"));
    case 10:
        return slice_eq_nocase(name, SLICE("connection")) ||
               slice_eq_nocase(name, SLICE("keep-alive"));
    case 14:
        return slice_eq_nocase(name, SLICE("content-length"));
    case 17:
        return slice_eq_nocase(name, SLICE("transfer-encoding"));
    default:
        return false;
    }
}

/* Bytes the fields need, or 0 when one of them could split the answer. */
static size_t
measure(const struct http_field *fields, size_t count)
{
    size_t n = HEAD_ROOM_BYTES;
    for (size_t i = 0; i < count; i++) {
        if (!http_is_safe_name(fields[i].name) || !http_is_field_value(fields[i].value))
            return 0;
        n += fields[i].name.len + fields[i].value.len + 4;
    }
    return n;
}

/* What is left of the request's body can be read to keep the connection, or not. */
static bool
is_body_in_the_way(const struct h1_conn *c)
{
    if (c->body.done)
        return false;
    return c->wants_100 || c->body.mode != H1_BODY_LENGTH || c->body.left > DRAIN_BYTES;
}

static char *
put_framing(struct h1_conn *c, char *at, int status, int64_t length)
{
    bool has_no_length = status == 204 || status < 200;
    c->out_bare = c->stream.is_head_method || status == 204 || status == 304;
    c->out_left = length;
    if (length >= 0) {
        if (!has_no_length && !(status == 304 && length == 0)) {
            at = put(at, SLICE("content-length: "));
            at = put_number(at, (uint64_t)length);
            at = put(at, SLICE("\r\n"));
        }
    } else if (!c->is_http10) {
        c->out_chunked = !c->out_bare;
        if (!has_no_length)
            at = put(at, SLICE("transfer-encoding: chunked\r\n"));
    } else if (!c->out_bare) {
        c->close_after = true; /* HTTP/1.0: the body ends with the connection */
    }
    if (c->close_after)
        at = put(at, SLICE("connection: close\r\n"));
    else if (c->is_http10)
        at = put(at, SLICE("connection: keep-alive\r\n"));
    return put(at, SLICE("\r\n"));
}

static void end_answer(struct h1_conn *c);

static int
respond(struct http_stream *s, int status, const struct http_field *fields, size_t count,
        int64_t length, bool end_now)
{
    struct h1_conn *c = of_stream(s);
    const char *server = core_of(c)->config->server_name;
    if (s->responded || s->ended || status < 200 || status > 599)
        return ERR_BAD_STATE;
    size_t need = measure(fields, count);
    if (need == 0)
        return ERR_SYNTAX;
    struct slice name = slice_of(server);
    char *start = conn_reserve(c->base.conn, need + name.len);
    if (!start && conn_is_writable(c->base.conn))
        return ERR_NOMEM;
    s->responded = true;
    if (!start) { /* the client is gone, which on_abort will tell unless we are through before */
        c->out_bare = c->broken = true;
        if (end_now)
            end_answer(c);
        return 0;
    }
    if (is_body_in_the_way(c) || core_of(c)->draining)
        c->close_after = true;
    char *at = put_status(start, status);
    at = put_field(at, SLICE("date"), http_date(core_of(c)->loop));
    if (name.len > 0)
        at = put_field(at, SLICE("server"), name);
    for (size_t i = 0; i < count; i++)
        if (!is_ours(fields[i].name))
            at = put_field(at, fields[i].name, fields[i].value);
    at = put_framing(c, at, status, length);
    conn_commit(c->base.conn, (size_t)(at - start));
    if (end_now)
        end_answer(c);
    return 0;
}

/* The chunk with its framing in one piece of output. */
static int
write_chunk(struct h1_conn *c, struct slice bytes)
{
    char head[20];
    size_t digits = 0;
    for (size_t n = bytes.len; n > 0; n >>= 4)
        digits++;
    for (size_t i = 0; i < digits; i++)
        head[i] = "0123456789abcdef"[bytes.len >> 4 * (digits - 1 - i) & 15];
    head[digits] = '\r';
    head[digits + 1] = '\n';
    struct slice pieces[3] = {slice_make(head, digits + 2), bytes, SLICE("\r\n")};
    return conn_writev(c->base.conn, pieces, 3);
}

static int
write_bytes(struct http_stream *s, struct slice bytes)
{
    struct h1_conn *c = of_stream(s);
    if (!s->responded || s->ended)
        return ERR_BAD_STATE;
    if (bytes.len == 0 || c->out_bare)
        return 0;
    if (c->out_left >= 0) {
        if (bytes.len > (uint64_t)c->out_left)
            return ERR_LIMIT;
        c->out_left -= (int64_t)bytes.len;
    }
    int err = c->out_chunked ? write_chunk(c, bytes) : conn_write(c->base.conn, bytes);
    if (err == ERR_BAD_STATE)
        return 0; /* the client is gone: on_abort will tell */
    if (err != 0)
        return err;
    if (conn_pending(c->base.conn) <= core_of(c)->limits->stream_buffer_bytes)
        return 0;
    c->owes_drained = true;
    arm(c);
    return ERR_AGAIN;
}

/* The answer is complete on our side; the rest follows after the callback. */
static void
end_answer(struct h1_conn *c)
{
    c->stream.ended = true;
    c->answered = true;
    loop_after(core_of(c)->loop, &c->task, settle, c);
}

static void
write_trailers(struct h1_conn *c, const struct http_field *trailers, size_t count)
{
    size_t need = c->takes_trailers ? measure(trailers, count) : 0;
    char *start = need > 0 && count > 0 ? conn_reserve(c->base.conn, need) : NULL;
    if (!start) {
        int err = conn_write(c->base.conn, SLICE("0\r\n\r\n"));
        (void)err; /* the client is gone, or sees the body cut: both are true */
        return;
    }
    char *at = put(start, SLICE("0\r\n"));
    for (size_t i = 0; i < count; i++)
        if (!is_ours(trailers[i].name))
            at = put_field(at, trailers[i].name, trailers[i].value);
    at = put(at, SLICE("\r\n"));
    conn_commit(c->base.conn, (size_t)(at - start));
}

static void
end_stream(struct http_stream *s, const struct http_field *trailers, size_t count)
{
    struct h1_conn *c = of_stream(s);
    assert(s->responded && !s->ended);
    if (c->out_chunked)
        write_trailers(c, trailers, count);
    else if (c->out_left > 0 && !c->out_bare)
        c->broken = true; /* less than declared: the client must see it */
    end_answer(c);
}

static void
abort_answer(struct http_stream *s)
{
    struct h1_conn *c = of_stream(s);
    assert(!s->ended);
    c->broken = true;
    end_answer(c);
}

static void
pause_body(struct http_stream *s)
{
    struct h1_conn *c = of_stream(s);
    c->paused = true;
    if (!c->in_advance && c->phase == BODY)
        conn_pause(c->base.conn);
}

static void
on_resumed(void *ctx)
{
    struct h1_conn *c = ctx;
    if (c->answered)
        settle(c);
    else
        advance(c);
}

static void
resume_body(struct http_stream *s)
{
    struct h1_conn *c = of_stream(s);
    if (!c->paused)
        return;
    c->paused = false;
    if (c->phase != BODY)
        return;
    c->body_ms = c->window_ms = loop_now_ms(core_of(c)->loop);
    c->window_seen = c->body.seen;
    send_100(c);
    loop_after(core_of(c)->loop, &c->task, on_resumed, c);
}

static size_t
pending(const struct http_stream *s)
{
    return conn_pending(s->conn->conn);
}

static const struct http_stream_ops stream_ops = {
    .respond = respond,
    .write = write_bytes,
    .end = end_stream,
    .abort = abort_answer,
    .pause = pause_body,
    .resume = resume_body,
    .pending = pending,
};

/* --- between requests ----------------------------------------------------------------------------
 */

/* A broken answer must not look whole: one that is framed by the connection's end alone is reset.
 */
static void
break_off(struct h1_conn *c)
{
    struct conn *conn = c->base.conn;
    bool framed = c->out_chunked || c->out_left >= 0 || !c->stream.responded;
    leave(c);
    if (framed)
        conn_finish(conn, LINGER_MS);
    else
        conn_abort(conn);
}

/* After the callback in which the answer ended. */
static void
settle(void *ctx)
{
    struct h1_conn *c = ctx;
    if (!c->answered) {
        advance(c);
        return;
    }
    if (c->broken) {
        break_off(c);
        return;
    }
    if (c->close_after || (c->peer_done && c->in.len == 0)) {
        finish(c);
        return;
    }
    core_of(c)->stats.streams--;
    arena_free(&c->stream.arena);
    c->answered = c->owes_drained = false;
    c->since_ms = c->body_ms = loop_now_ms(core_of(c)->loop);
    c->phase = c->body.done ? AWAIT : DRAIN;
    c->window_seen = c->body.seen; /* from here on it is drained */
    if (c->phase == AWAIT && core_of(c)->draining && c->in.len == 0) {
        finish(c);
        return;
    }
    if (c->in.len > 0 || c->phase == DRAIN)
        advance(c);
    else
        regulate(c);
    if (!c->gone)
        arm(c);
}

static void
on_drained(void *ctx)
{
    struct h1_conn *c = ctx;
    const struct http_handlers *h = core_of(c)->handlers;
    if (!c->owes_drained)
        return;
    c->owes_drained = false;
    if (has_stream(c) && h->on_drained)
        h->on_drained(c->stream.x, &c->stream);
}

/* Whether the answer to a client that has finished sending goes on. */
static bool
is_still_wanted(struct h1_conn *c)
{
    const struct http_handlers *h = core_of(c)->handlers;
    if (c->stream.ended)
        return true;
    return core_of(c)->config->half_close_ok &&
           (!h->on_half_close || h->on_half_close(c->stream.x, &c->stream));
}

static void
on_end(void *ctx, int err, const char *why)
{
    struct h1_conn *c = ctx;
    bool complete = c->phase == BUSY || c->answered;
    if (err == ERR_CLOSED && complete && !c->peer_done && is_still_wanted(c)) {
        c->peer_done = true;
        return;
    }
    if (err == ERR_CLOSED && c->phase == AWAIT) {
        finish(c); /* the last answer may still be on its way */
        return;
    }
    drop(c, err == ERR_CLOSED ? ERR_CLOSED : ERR_RESET, why);
}

static const struct conn_handlers conn_events = {
    .on_data = on_data, .on_drained = on_drained, .on_end = on_end};

/* --- what the server asks ------------------------------------------------------------------------
 */

static void
drain(struct http_server_conn *base)
{
    struct h1_conn *c = conn_of(base);
    if (c->phase != AWAIT) {
        if (!c->stream.responded)
            c->close_after = true;
        return; /* settle() sees that the server drains */
    }
    /* A request that is already here, whole or in part, is still served. */
    if (c->in.len == 0 && !conn_has_input(c->base.conn))
        finish(c);
}

static void
destroy(struct http_server_conn *base, int err, const char *why)
{
    drop(conn_of(base), err, why);
}

static const struct http_server_conn_ops conn_ops = {.drain = drain, .destroy = destroy};

void
h1_server_open(struct http_server *s, struct conn *conn, struct slice seen, int64_t since_ms)
{
    struct h1_conn *c = calloc(1, sizeof *c);
    if (!c) {
        conn_close(conn);
        return;
    }
    c->base = (struct http_server_conn){.ops = &conn_ops, .server = s, .conn = conn};
    c->stream.ops = &stream_ops;
    c->stream.conn = &c->base;
    c->since_ms = since_ms;
    arena_init(&c->stream.arena, 0);
    buf_init(&c->in, 0);
    conn_set_handlers(conn, &conn_events, c);
    conn_set_marks(conn, core_of(c)->limits->stream_buffer_bytes / 2,
                   core_of(c)->limits->stream_buffer_bytes);
    http_server_link(s, &c->base);
    if (seen.len > 0)
        on_data(c, seen);
    if (!c->gone)
        arm(c);
}
