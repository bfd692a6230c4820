/*
 * HTTP/1.1 to an upstream: one connection, one call at a time. Strict about what comes back: what
 * does not parse, or comes where nothing may come, ends the connection.
 *
 * A request's head is formatted into the conn's output; a small body follows it there, a large one
 * is sent from where it lies, as the kernel takes it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http/h1_body.h"
#include "lib/http/h1_head.h"
#include "lib/http/stream.h"

/* Bodies up to this are copied behind the head: one send, and no list of pieces. */
#define COPY_BYTES 8192
#define HEAD_ROOM_BYTES 64
#define MAX_PIECES 15 /* one system call, with the corked head */

enum phase {
    IDLE, /* nothing may come */
    HEAD,
    BODY,
};

struct h1_client_conn {
    struct http_client_conn base;
    struct http_call *call; /* NULL iff idle */
    const struct http_limits *limits;
    struct h1_scan scan;
    struct h1_body body;
    struct buf in; /* part of a head, or what a paused call has not taken */
    struct task task;
    size_t piece, offset; /* of the request's body: what is sent next */
    size_t chunk_left;    /* of an upload's chunk, whose size was told */
    int informational;
    enum phase phase;
    bool sending;    /* the body is not out yet */
    bool chunked;    /* it is an upload of a length that is not known */
    bool in_chunks;  /* and one chunk was begun: the next one ends it first */
    bool keep_alive; /* the answer allows another call */
    bool paused;
    bool end_came; /* FIN, while a paused call has yet to take what came before it */
    bool in_consume;
    bool gone;
};

/* No empty line is allowed before a status line. */
static const struct h1_scan fresh_scan = {.skipped_line = true};

static struct h1_client_conn *
conn_of(const struct http_client_conn *base)
{
    return (struct h1_client_conn *)(uintptr_t)base;
}

static struct loop *
loop_of(const struct h1_client_conn *c)
{
    return http_client_loop(http_origin_client(c->base.origin));
}

/* --- a call's end --------------------------------------------------------------------------------
 */

static struct http_call *
let_go(struct h1_client_conn *c)
{
    struct http_call *call = c->call;
    c->call = NULL;
    c->phase = IDLE;
    c->paused = false;
    return call;
}

static void
fail(struct h1_client_conn *c, int err, const char *why, bool unprocessed)
{
    struct http_call *call = let_go(c);
    http_client_conn_retire(&c->base);
    if (call)
        http_call_fail(call, err, why, unprocessed);
}

/* An answer may be complete before the request is: then nobody knows what the rest would mean. */
static void
complete(struct h1_client_conn *c)
{
    bool keep = c->keep_alive && !c->sending && !c->end_came;
    conn_resume(c->base.conn); /* an idle connection must hear its peer */
    http_call_end(let_go(c), keep);
}

/* --- the answer ----------------------------------------------------------------------------------
 */

static void
begin_body(struct h1_client_conn *c, const struct h1_framing *f, int status)
{
    bool bare = slice_is(c->call->request.method, "HEAD") || status == 204 || status == 304;
    c->keep_alive = f->keep_alive;
    if (bare)
        h1_body_init(&c->body, H1_BODY_NONE, 0, 0);
    else if (f->chunked)
        h1_body_init(&c->body, H1_BODY_CHUNKED, 0, 0);
    else if (f->length >= 0)
        h1_body_init(&c->body, H1_BODY_LENGTH, (uint64_t)f->length, 0);
    else
        h1_body_init(&c->body, H1_BODY_CLOSE, 0, 0);
    c->body.least_share = H1_BODY_RESPONSE;
    c->phase = BODY;
}

/* A whole head of an answer; a 1xx is passed over. */
static void
take_answer(struct h1_client_conn *c, struct slice head, size_t fields)
{
    struct http_call *call = c->call;
    struct h1_framing framing;
    const char *why = "";
    bool to_head = slice_is(call->request.method, "HEAD");
    int err = h1_response(head, fields, to_head, &call->arena, &call->response, &framing, &why);
    if (err != 0) {
        fail(c, err, err == ERR_NOMEM ? "no memory for the answer's head" : why, false);
        return;
    }
    if (call->response.status < 200) {
        if (++c->informational > c->limits->informational)
            fail(c, ERR_PROTOCOL, "too many informational answers", false);
        return;
    }
    begin_body(c, &framing, call->response.status);
    http_call_head(call);
}

static size_t
take_head(struct h1_client_conn *c, char *at, size_t n)
{
    const struct h1_refusal *refusal = NULL;
    ssize_t len = h1_scan(&c->scan, slice_make(at, n), c->limits, &refusal);
    if (len < 0) {
        fail(c, (int)len,
             len == ERR_LIMIT ? "the answer's head is too large" : "the answer's head is malformed",
             false);
        return 0;
    }
    if (len == 0)
        return 0;
    size_t fields = c->scan.fields;
    c->scan = fresh_scan;
    take_answer(c, slice_make(at, (size_t)len), fields);
    return (size_t)len;
}

static size_t
take_body(struct h1_client_conn *c, char *at, size_t n)
{
    struct slice data;
    ssize_t used = h1_body_push(&c->body, at, n, c->limits, &data);
    if (used < 0) {
        fail(c, (int)used, "the answer's chunks are malformed", false);
        return 0;
    }
    if (c->body.done && (size_t)used < n) {
        /* The body's last bytes are not told: nobody can say whose bytes are whose. */
        fail(c, ERR_PROTOCOL, "bytes after the answer", false);
        return 0;
    }
    if (data.len > 0)
        http_call_body(c->call, data);
    return (size_t)used;
}

/* Consumes what can be consumed now: how many bytes. */
static size_t
consume(struct h1_client_conn *c, char *at, size_t n)
{
    size_t used = 0;
    c->in_consume = true;
    while (used < n && c->call && !c->paused && !c->gone) {
        struct http_call *call = c->call;
        size_t some = c->phase == HEAD ? take_head(c, at + used, n - used)
                                       : take_body(c, at + used, n - used);
        used += some;
        if (c->call != call || some == 0)
            break;
        if (c->phase == BODY && c->body.done && used < n)
            fail(c, ERR_PROTOCOL, "bytes after the answer", false);
    }
    c->in_consume = false;
    return used;
}

/* Ends the call when its answer is complete and taken. */
static void
check_complete(struct h1_client_conn *c)
{
    if (c->call && c->phase == BODY && c->body.done && !c->paused && c->in.len == 0)
        complete(c);
}

static void told_end(struct h1_client_conn *c);

static void
after_consume(struct h1_client_conn *c)
{
    check_complete(c);
    if (c->gone || !c->call)
        return;
    if (c->paused)
        conn_pause(c->base.conn);
    else
        conn_resume(c->base.conn);
    if (c->end_came && !c->paused)
        told_end(c);
}

static void
on_data(void *ctx, struct slice bytes)
{
    struct h1_client_conn *c = ctx;
    char *at = (char *)(uintptr_t)bytes.at; /* the scratch buffer: ours to overwrite */
    size_t used;
    if (!c->call) {
        /* Unasked for: a 408 before an idle close, or worse. */
        http_client_conn_retire(&c->base);
        return;
    }
    c->call->got_byte = true;
    if (c->in.len == 0) {
        used = consume(c, at, bytes.len);
        bytes = slice_from(bytes, used);
    }
    if (!c->gone && c->call && bytes.len > 0) {
        if (buf_add_slice(&c->in, bytes) != 0) {
            fail(c, ERR_NOMEM, "no memory for the answer", false);
            return;
        }
        if (c->in.len > bytes.len) {
            used = consume(c, c->in.at, c->in.len);
            if (c->gone)
                return;
            buf_drop(&c->in, used);
        }
    }
    if (c->gone)
        return;
    if (c->in.len == 0 || !c->call)
        buf_free(&c->in);
    after_consume(c);
}

/* --- the peer's end ------------------------------------------------------------------------------
 */

/* FIN in order, with everything before it taken. */
static void
told_end(struct h1_client_conn *c)
{
    if (c->phase == BODY && c->body.mode == H1_BODY_CLOSE)
        c->body.done = true;
    if (c->phase == BODY && c->body.done) {
        c->keep_alive = false;
        complete(c);
    } else if (c->call->got_byte) {
        fail(c, ERR_TRUNCATED, "the answer ended early", false);
    } else {
        fail(c, ERR_RESET, "the connection was closed before an answer", c->base.reused);
    }
}

static void
on_end(void *ctx, int err, const char *why)
{
    struct h1_client_conn *c = ctx;
    if (!c->call) {
        http_client_conn_retire(&c->base);
        return;
    }
    if (err == ERR_CLOSED) {
        c->end_came = true;
        if (!c->paused)
            told_end(c);
        return;
    }
    bool unprocessed = c->base.reused && !c->call->got_byte;
    if (err == ERR_TRUNCATED && c->phase == BODY && c->body.done)
        complete(c);
    else
        fail(c, c->call->got_byte && err == ERR_RESET ? ERR_TRUNCATED : err, why, unprocessed);
}

/* --- the request ---------------------------------------------------------------------------------
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
    at = put(at, SLICE(": "));
    at = put(at, value);
    return put(at, SLICE("\r\n"));
}

static char *
put_length(char *at, uint64_t n)
{
    char digits[20];
    size_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return put_field(at, SLICE("content-length"), slice_make(digits + i, sizeof digits - i));
}

static uint64_t
body_bytes(const struct http_request *r)
{
    uint64_t n = 0;
    for (size_t i = 0; i < r->body_count; i++)
        n += r->body[i].len;
    return n;
}

/* Bytes the head needs, or 0 when something in it could make two requests of one. */
static size_t
measure(const struct http_request *r)
{
    size_t n = HEAD_ROOM_BYTES + r->method.len + r->path.len + r->authority.len;
    bool is_good = http_is_token(r->method) && http_is_authority(r->authority) &&
                   (http_is_path(r->path) || slice_is(r->path, "*"));
    for (size_t i = 0; i < r->count && is_good; i++) {
        is_good = http_is_safe_name(r->fields[i].name) && http_is_field_value(r->fields[i].value);
        n += r->fields[i].name.len + r->fields[i].value.len + 4;
    }
    return is_good ? n : 0;
}

/* Framing is ours to say. */
static bool
is_ours(struct slice name)
{
    switch (name.len) {
    case 4:
        return slice_eq_nocase(name, SLICE("host"));
    case 10:
        return slice_eq_nocase(name, SLICE("connection"));
    case 14:
        return slice_eq_nocase(name, SLICE("content-length"));
    case 17:
        return slice_eq_nocase(name, SLICE("transfer-encoding"));
    default:
        return false;
    }
}

static bool
wants_length(const struct http_request *r, uint64_t bytes)
{
    return bytes > 0 || slice_is(r->method, "POST") || slice_is(r->method, "PUT") ||
           slice_is(r->method, "PATCH");
}

static char *
put_head(char *at, const struct http_request *r, uint64_t bytes)
{
    at = put(at, r->method);
    *at++ = ' ';
    at = put(at, r->path);
    at = put(at, SLICE(" HTTP/1.1\r\n"));
    at = put_field(at, SLICE("host"), r->authority);
    for (size_t i = 0; i < r->count; i++)
        if (!is_ours(r->fields[i].name))
            at = put_field(at, r->fields[i].name, r->fields[i].value);
    if (r->upload && r->upload_bytes < 0)
        at = put_field(at, SLICE("transfer-encoding"), SLICE("chunked"));
    else if (r->upload)
        at = put_length(at, (uint64_t)r->upload_bytes);
    else if (wants_length(r, bytes))
        at = put_length(at, bytes);
    return put(at, SLICE("\r\n"));
}

/* Skips n bytes of the body. */
static void
advance(struct h1_client_conn *c, size_t n)
{
    const struct http_request *r = &c->call->request;
    while (c->piece < r->body_count && n >= r->body[c->piece].len - c->offset) {
        n -= r->body[c->piece++].len - c->offset;
        c->offset = 0;
    }
    c->offset += n;
}

/* Sends of the body what the kernel takes, behind what is corked, in one call. */
static void
send_body(struct h1_client_conn *c)
{
    const struct http_request *r = &c->call->request;
    struct slice pieces[MAX_PIECES];
    size_t wanted, taken;
    do {
        size_t count = 0;
        wanted = 0;
        for (size_t i = c->piece; i < r->body_count && count < MAX_PIECES; i++) {
            pieces[count] = slice_from(r->body[i], i == c->piece ? c->offset : 0);
            wanted += pieces[count++].len;
        }
        taken = conn_send(c->base.conn, pieces, count);
        advance(c, taken);
    } while (taken == wanted && c->piece < r->body_count);
    c->sending = c->piece < r->body_count;
    c->call->last_byte_ms = loop_now_ms(loop_of(c));
}

/* --- an upload's body ----------------------------------------------------------------------------
 */

static bool
put_framing(struct h1_client_conn *c, const char *text)
{
    size_t n = strlen(text);
    char *at = conn_reserve(c->base.conn, n);
    if (!at)
        return false; /* broken: on_end tells */
    memcpy(at, text, n);
    conn_commit(c->base.conn, n);
    return true;
}

/* The line before what waits: behind it so much, and no more, must follow. */
static bool
begin_chunk(struct h1_client_conn *c, size_t n)
{
    char line[32];
    snprintf(line, sizeof line, "%s%zx\r\n", c->in_chunks ? "\r\n" : "", n);
    if (!put_framing(c, line))
        return false;
    c->in_chunks = true;
    c->chunk_left = n;
    return true;
}

static void
end_upload(struct h1_client_conn *c)
{
    if (c->chunked && !put_framing(c, c->in_chunks ? "\r\n0\r\n\r\n" : "0\r\n\r\n"))
        return;
    c->sending = false;
}

/* Sends of what waits as much as the kernel takes. */
static void
send_upload(struct h1_client_conn *c)
{
    struct http_upload *u = c->call->upload;
    while (!u->dropped && u->queue.len > 0) {
        if (c->chunked && c->chunk_left == 0 && !begin_chunk(c, u->queue.len))
            return;
        struct slice piece = http_upload_next(u, c->chunked ? c->chunk_left : u->queue.len);
        size_t taken = conn_send(c->base.conn, &piece, 1);
        if (c->chunked)
            c->chunk_left -= taken;
        http_upload_took(u, taken);
        if (taken < piece.len)
            return;
    }
    if (http_upload_is_out(u))
        end_upload(c);
}

static void
begin_upload(struct h1_client_conn *c)
{
    c->sending = true;
    c->chunked = c->call->request.upload_bytes < 0;
    c->in_chunks = false;
    c->chunk_left = 0;
    send_upload(c);
}

static void
more_upload(struct http_client_conn *base, struct http_call *call)
{
    struct h1_client_conn *c = conn_of(base);
    if (c->call == call && c->sending)
        send_upload(c);
}

static void
fail_soon(void *ctx)
{
    struct h1_client_conn *c = ctx;
    if (c->call && !c->gone)
        fail(c, ERR_PROTOCOL, "the request cannot be put into HTTP/1.1", true);
}

static void
send_call(struct http_client_conn *base, struct http_call *call)
{
    struct h1_client_conn *c = conn_of(base);
    const struct http_request *r = &call->request;
    uint64_t bytes = body_bytes(r);
    size_t need = measure(r);
    c->call = call;
    c->phase = HEAD;
    c->scan = fresh_scan;
    c->piece = c->offset = 0;
    c->informational = 0;
    c->keep_alive = false;
    c->sending = false;
    size_t copied = bytes <= COPY_BYTES ? (size_t)bytes : 0;
    char *start = need > 0 ? conn_reserve(base->conn, need + copied) : NULL;
    if (!start) {
        /* Broken meanwhile: on_end tells. Otherwise the request is at fault, or memory is. */
        if (need == 0 || conn_is_writable(base->conn))
            loop_after(loop_of(c), &c->task, fail_soon, c);
        return;
    }
    char *at = put_head(start, r, bytes);
    for (size_t i = 0; i < r->body_count && copied > 0; i++)
        at = put(at, r->body[i]);
    conn_commit(base->conn, (size_t)(at - start));
    if (call->upload)
        begin_upload(c);
    else if (copied < bytes)
        send_body(c);
}

static void
on_drained(void *ctx)
{
    struct h1_client_conn *c = ctx;
    if (c->call && c->sending && c->call->upload)
        send_upload(c);
    else if (c->call && c->sending)
        send_body(c);
}

static const struct conn_handlers conn_events = {
    .on_data = on_data, .on_drained = on_drained, .on_end = on_end};

/* --- what client.c asks --------------------------------------------------------------------------
 */

/* The answer may be half way: the connection is of no use to others. */
static void
cancel(struct http_client_conn *base, struct http_call *call)
{
    struct h1_client_conn *c = conn_of(base);
    (void)call;
    (void)let_go(c);
    http_client_conn_retire(base);
}

static void
pause_call(struct http_client_conn *base, struct http_call *call)
{
    struct h1_client_conn *c = conn_of(base);
    (void)call;
    c->paused = true;
    if (!c->in_consume)
        conn_pause(base->conn);
}

static void
go_on(void *ctx)
{
    struct h1_client_conn *c = ctx;
    if (c->gone || !c->call || c->paused)
        return;
    if (c->in.len > 0) {
        size_t used = consume(c, c->in.at, c->in.len);
        if (c->gone)
            return;
        buf_drop(&c->in, used);
        if (c->in.len == 0 || !c->call)
            buf_free(&c->in);
    }
    after_consume(c);
}

static void
resume_call(struct http_client_conn *base, struct http_call *call)
{
    struct h1_client_conn *c = conn_of(base);
    (void)call;
    c->paused = false;
    loop_after(loop_of(c), &c->task, go_on, c);
}

static size_t
room(const struct http_client_conn *base)
{
    const struct h1_client_conn *c = conn_of(base);
    return c->call || c->gone || !conn_is_writable(base->conn) ? 0 : 1;
}

static void
conn_destroy(void *arg)
{
    struct h1_client_conn *c = arg;
    buf_free(&c->in);
    free(c);
}

static void
destroy(struct http_client_conn *base)
{
    struct h1_client_conn *c = conn_of(base);
    if (c->gone)
        return;
    c->gone = true;
    loop_unqueue(loop_of(c), &c->task);
    conn_close(base->conn);
    loop_bury(loop_of(c), c, conn_destroy);
}

static const struct http_client_conn_ops conn_ops = {
    .send = send_call,
    .cancel = cancel,
    .pause = pause_call,
    .resume = resume_call,
    .upload = more_upload,
    .room = room,
    .destroy = destroy,
};

struct http_client_conn *
h1_client_open(struct http_origin *o, struct conn *conn)
{
    struct h1_client_conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->base = (struct http_client_conn){.ops = &conn_ops, .origin = o, .conn = conn};
    c->limits = http_client_limits(http_origin_client(o));
    buf_init(&c->in, 0);
    conn_set_handlers(conn, &conn_events, c);
    return &c->base;
}
