/*
 * HTTP/2 to an upstream: an nghttp2 session over a conn, many calls at once up to what the upstream
 * allows. Opened by client.c, which pools it and keeps the calls' deadlines.
 *
 * Each stream has a struct wire. It belongs to the connection and lives until nghttp2 has closed
 * the stream and its call is done with: a call may be forgotten (cancelled) while its RST_STREAM
 * still waits, and a stream may be closed while its call is paused with the end of the answer held
 * here.
 *
 * Flow control: the connection's window is given back as bytes come, a stream's when its call has
 * taken them. So one paused call holds at most its own window and never stops the others.
 */
#include "lib/http/h2_fields.h"
#include "lib/http/h2_io.h"
#include "lib/http/h2_memory.h"
#include "lib/http/stream.h"

#include <stdlib.h>

#define CONN_WINDOW_BYTES (4 * 1024 * 1024)
#define STREAM_WINDOW_BYTES (128 * 1024) /* and so what a paused call may make us hold */
#define MAX_STREAMS 256                  /* of one connection, whatever the upstream would allow */
#define MAX_PIECES 32                    /* of a request's body in one frame */
/* A connection with calls that is silent this long is asked whether it lives, and given up when it
 * does not answer: calls would otherwise go on being sent into a dead one. */
#define SILENT_MS 20000
#define PING_WAIT_MS 15000
#define HEALTH_MS 5000

struct h2_client_conn;

struct wire {
    TAILQ_ENTRY(wire) link;
    TAILQ_ENTRY(wire) ready_link;
    struct h2_client_conn *conn;
    struct http_call *call; /* NULL: forgotten, or over */
    int32_t id;
    size_t piece, offset; /* of the request's body, where the next frame begins */
    size_t body_left;
    struct buf held; /* of the answer, while paused */
    int informational;
    int err; /* it could not be sent: told from the loop */
    bool is_ready;
    bool paused;
    bool head_sent;
    bool got_final;    /* the head that is no 1xx */
    bool remote_ended; /* the answer is complete */
    bool closed;       /* nghttp2 has let the stream go */
    bool malformed;    /* nghttp2 found the answer against the protocol */
    bool uploads;      /* the call is an upload, and its end has not gone out */
    bool starved;      /* nghttp2 waits for more of it */
};

TAILQ_HEAD(wires, wire);

struct h2_client_conn {
    struct http_client_conn base;
    struct h2_io io;
    const struct http_limits *limits;
    struct wires wires;
    struct wires ready; /* calls to be told something from the pump */
    size_t streams;     /* submitted and not closed */
    struct h2_head head;
    struct timer health;
    uint64_t bytes_seen;
    int64_t heard_ms;
    int64_t ping_ms; /* sent and not answered; 0: none */
    bool down;       /* takes no more calls */
    bool broken;     /* and nothing can be sent or comes */
};

static const struct http_client_conn_ops conn_ops;
static const struct conn_handlers conn_events;

static struct h2_client_conn *
conn_of(const struct http_client_conn *base)
{
    return (struct h2_client_conn *)(uintptr_t)base;
}

/* --- wires ------------------------------------------------------------------------ */

static void
wire_free(struct wire *w)
{
    TAILQ_REMOVE(&w->conn->wires, w, link);
    if (w->is_ready)
        TAILQ_REMOVE(&w->conn->ready, w, ready_link);
    buf_free(&w->held);
    free(w);
}

static void
make_ready(struct wire *w)
{
    if (!w->is_ready)
        TAILQ_INSERT_TAIL(&w->conn->ready, w, ready_link);
    w->is_ready = true;
    h2_io_wake(&w->conn->io);
}

/* Cuts the tie between a call and its stream, at both ends. */
static struct http_call *
let_go(struct wire *w)
{
    struct http_call *call = w->call;
    w->call = NULL;
    if (call)
        call->wire = NULL;
    buf_free(&w->held);
    return call;
}

static void
reset(struct wire *w, uint32_t code)
{
    struct h2_io *io = &w->conn->io;
    if (w->closed || w->conn->broken || io->dead)
        return;
    /* Fails only for want of memory: the stream then ends with the connection. */
    (void)nghttp2_submit_rst_stream(io->session, NGHTTP2_FLAG_NONE, w->id, code);
    h2_io_wake(io);
}

/* The call fails; what is left of its stream is reset. */
static void
fail(struct wire *w, int err, const char *why, bool unprocessed)
{
    struct http_call *call = let_go(w);
    reset(w, NGHTTP2_CANCEL);
    if (w->closed)
        wire_free(w);
    if (call)
        http_call_fail(call, err, why, unprocessed);
}

static void
consume(struct wire *w, size_t n)
{
    if (!w->closed && !w->conn->io.dead)
        (void)nghttp2_session_consume_stream(w->conn->io.session, w->id, n);
}

/* The answer is complete and delivered. */
static void
finish(struct wire *w)
{
    struct h2_client_conn *c = w->conn;
    struct http_call *call = let_go(w);
    if (w->closed)
        wire_free(w);
    else if (w->body_left > 0 || w->uploads)
        reset(w, NGHTTP2_NO_ERROR); /* it has answered before it had the whole request */
    http_call_end(call, !c->down);
}

static void
finish_if_over(struct wire *w)
{
    if (w->call && w->remote_ended && !w->paused && w->held.len == 0)
        finish(w);
}

/* A call has been resumed: hands over what came meanwhile. */
static void
serve(struct wire *w)
{
    if (w->err != 0) {
        fail(w, w->err, "the request cannot be sent", true);
        return;
    }
    if (!w->call || w->paused)
        return;
    struct buf held = w->held;
    buf_init(&w->held, 0);
    if (held.len > 0) {
        consume(w, held.len);
        http_call_body(w->call, buf_slice(&held));
    }
    buf_free(&held);
    finish_if_over(w);
}

/* --- the end of the connection ---------------------------------------------------- */

static void
conn_destroy(void *corpse)
{
    struct h2_client_conn *c = corpse;
    while (!TAILQ_EMPTY(&c->wires))
        wire_free(TAILQ_FIRST(&c->wires));
    h2_io_fini(&c->io);
    free(c);
}

static void
destroy(struct http_client_conn *base)
{
    struct h2_client_conn *c = conn_of(base);
    struct wire *w;
    if (c->io.dead)
        return;
    c->io.dead = true; /* no GOAWAY: this may be inside one of nghttp2's callbacks */
    c->down = true;
    loop_unqueue(c->io.loop, &c->io.pump);
    timer_cancel(&c->health);
    TAILQ_FOREACH (w, &c->wires, link)
        (void)let_go(w);
    conn_close(c->base.conn);
    loop_bury(c->io.loop, c, conn_destroy);
}

/* Takes no more calls; client.c destroys it when the last one is over. */
static void
retire(struct h2_client_conn *c)
{
    if (c->down)
        return;
    c->down = true;
    http_client_conn_retire(&c->base);
}

static struct wire *
first_unfinished(struct h2_client_conn *c)
{
    struct wire *w;
    TAILQ_FOREACH (w, &c->wires, link)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): who is freed is off the list */
        if (w->call && !w->remote_ended)
            return w;
    return NULL;
}

/* The connection has broken. Calls whose answer is whole keep it; the others fail. */
static void
break_down(struct h2_client_conn *c, int err, const char *why)
{
    struct wire *w;
    c->broken = true;
    retire(c);
    while (!c->io.dead && (w = first_unfinished(c)) != NULL) {
        if (!w->closed)
            nghttp2_session_set_stream_user_data(c->io.session, w->id, NULL);
        w->closed = true;
        int call_err = err == ERR_CLOSED ? (w->got_final ? ERR_TRUNCATED : ERR_RESET) : err;
        fail(w, call_err, why, !w->head_sent);
    }
}

static int
err_of_code(uint32_t code)
{
    return code == NGHTTP2_ENHANCE_YOUR_CALM ? ERR_LIMIT : ERR_PROTOCOL;
}

static void
doom(struct h2_client_conn *c, uint32_t code, const char *why)
{
    if (c->io.dead)
        return;
    h2_io_say_goodbye(&c->io, code);
    break_down(c, err_of_code(code), why);
}

static void
pump(void *owner)
{
    struct h2_client_conn *c = owner;
    const char *why = NULL;
    while (!c->io.dead && !TAILQ_EMPTY(&c->ready)) {
        struct wire *w = TAILQ_FIRST(&c->ready);
        TAILQ_REMOVE(&c->ready, w, ready_link);
        w->is_ready = false;
        serve(w);
    }
    if (c->io.dead || c->broken)
        return;
    uint32_t code = h2_io_pump(&c->io, &why);
    if (code != 0)
        doom(c, code, why);
    else if (c->io.goaway_code != 0)
        break_down(c, err_of_code(c->io.goaway_code), "the upstream broke the protocol");
    else if (h2_io_is_done(&c->io))
        break_down(c, ERR_CLOSED, "the upstream ended the connection");
}

/* --- nghttp2's callbacks ---------------------------------------------------------- */

static struct wire *
wire_at(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int
result(const struct h2_client_conn *c)
{
    return c->io.dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2_client_conn *c = user_data;
    struct wire *w = wire_at(session, frame->hd.stream_id);
    if (w && w->call && !w->got_final)
        h2_head_init(&c->head, &w->call->response, &w->call->arena, c->limits);
    else
        h2_head_init(&c->head, NULL, NULL, c->limits);
    return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
          nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
    struct h2_client_conn *c = user_data;
    struct wire *w = wire_at(session, frame->hd.stream_id);
    if (w && w->call && c->head.into)
        h2_head_add(&c->head, name, value, flags);
    else
        h2_head_add_trailer(&c->head, name, value);
    if (c->head.fields > c->limits->fields &&
        !h2_guard_glitch(&c->io.guard, 1, loop_now_ms(c->io.loop)))
        return h2_io_doom(&c->io, NGHTTP2_ENHANCE_YOUR_CALM, "too many fields");
    return 0;
}

static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                  nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
    struct wire *w = wire_at(session, frame->hd.stream_id);
    (void)name;
    (void)value;
    (void)flags;
    (void)user_data;
    if (w)
        w->malformed = true;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int
on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user_data)
{
    struct wire *w = wire_at(session, frame->hd.stream_id);
    (void)error;
    (void)user_data;
    if (w)
        w->malformed = true;
    return 0;
}

/* A 1xx head: passed over, a few of them. */
static void
on_informational(struct wire *w)
{
    if (++w->informational > w->conn->limits->informational)
        fail(w, ERR_PROTOCOL, "too many informational responses", false);
}

static void
on_head(struct h2_client_conn *c, struct wire *w)
{
    struct h2_head *h = &c->head;
    if (!w->call)
        return;
    w->call->got_byte = true;
    if (!w->got_final)
        h2_head_end_response(h);
    if (h->refusal != 0) {
        fail(w, h->err, h->why, false);
    } else if (w->got_final) {
        return; /* trailers: dropped */
    } else if (w->call->response.status < 200) {
        on_informational(w);
    } else {
        w->got_final = true;
        http_call_head(w->call);
    }
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2_client_conn *c = user_data;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        retire(c); /* nghttp2 itself closes the streams above the last one, as refused */
    else if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK))
        c->ping_ms = 0;
    struct wire *w = frame->hd.stream_id ? wire_at(session, frame->hd.stream_id) : NULL;
    if (!w || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return result(c);
    /* fail() frees no wire that nghttp2 still knows, so w stays good within its own frame. */
    if (frame->hd.type == NGHTTP2_HEADERS)
        on_head(c, w);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        w->remote_ended = true;
        if (!c->io.dead)
            finish_if_over(w);
    }
    return result(c);
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
              void *user_data)
{
    struct h2_client_conn *c = user_data;
    struct wire *w = wire_at(session, id);
    (void)flags;
    if (nghttp2_session_consume_connection(session, len) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!w || !w->call)
        return 0;
    struct slice bytes = slice_make(data, len);
    if (!w->paused && w->held.len == 0) {
        consume(w, len);
        http_call_body(w->call, bytes);
    } else if (buf_add_slice(&w->held, bytes) != 0) {
        fail(w, ERR_NOMEM, "no memory for the answer", false);
    }
    return result(c);
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
    struct h2_client_conn *c = user_data;
    struct wire *w = wire_at(session, id);
    if (!w)
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    w->closed = true;
    c->streams--;
    if (!w->call)
        wire_free(w);
    else if (w->remote_ended)
        return 0; /* paused: the rest of the answer is held */
    else if (w->malformed)
        fail(w, ERR_PROTOCOL, "the upstream's answer is malformed", false);
    else if (code == NGHTTP2_REFUSED_STREAM)
        fail(w, ERR_RESET, "the upstream refused the stream", !w->call->got_byte);
    else if (code == NGHTTP2_NO_ERROR)
        fail(w, ERR_TRUNCATED, "the upstream ended the stream early", false);
    else if (code == NGHTTP2_PROTOCOL_ERROR)
        fail(w, ERR_PROTOCOL, "a stream error with the upstream", false);
    else
        fail(w, ERR_RESET, "the upstream reset the stream", false);
    return result(c);
}

static int
on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2_client_conn *c = user_data;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        c->io.goaway_code = frame->goaway.error_code;
    struct wire *w =
        frame->hd.type == NGHTTP2_HEADERS ? wire_at(session, frame->hd.stream_id) : NULL;
    if (w)
        w->head_sent = true;
    return 0;
}

/* --- the request's body, from the call's pieces ----------------------------------- */

/* The slices of the next n bytes of the body, at most MAX_PIECES; how many bytes they are. */
static size_t
gather(const struct wire *w, size_t n, struct slice *pieces, size_t *ret_count)
{
    const struct http_request *r = &w->call->request;
    size_t at = w->piece, offset = w->offset, total = 0;
    *ret_count = 0;
    while (total < n && at < r->body_count && *ret_count < MAX_PIECES) {
        struct slice s = slice_from(r->body[at], offset);
        if (s.len > n - total)
            s.len = n - total;
        if (s.len > 0)
            pieces[(*ret_count)++] = s;
        total += s.len;
        at++;
        offset = 0;
    }
    return total;
}

static void
advance(struct wire *w, size_t n)
{
    const struct http_request *r = &w->call->request;
    w->body_left -= n;
    while (n > 0) {
        size_t left = r->body[w->piece].len - w->offset;
        if (n < left) {
            w->offset += n;
            return;
        }
        n -= left;
        w->piece++;
        w->offset = 0;
    }
}

/* How many bytes of an upload the next frame has; DEFERRED: none yet, more_upload() goes on. */
static ssize_t
read_upload(struct wire *w, size_t room, uint32_t *flags)
{
    const struct http_upload *u = w->call->upload;
    size_t n = http_upload_next(u, room).len;
    bool last = u->ended && !u->dropped && n == u->queue.len;
    w->starved = n == 0 && !last;
    if (w->starved)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (last) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        w->uploads = false;
    }
    return (ssize_t)n;
}

static ssize_t
read_data(nghttp2_session *session, int32_t id, uint8_t *into, size_t room, uint32_t *flags,
          nghttp2_data_source *source, void *user_data)
{
    struct wire *w = wire_at(session, id);
    struct slice pieces[MAX_PIECES];
    size_t count;
    (void)into;
    (void)source;
    (void)user_data;
    if (!w || !w->call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (w->call->upload)
        return read_upload(w, room, flags);
    size_t n = gather(w, room, pieces, &count);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == w->body_left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int
send_upload(struct h2_client_conn *c, struct wire *w, const uint8_t *frame_head, size_t length)
{
    struct http_upload *u = w->call->upload;
    struct slice piece = http_upload_next(u, length);
    if (piece.len < length) /* dropped since: nothing may be made up */
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    int rv = h2_io_send_data(&c->io, frame_head, &piece, length > 0);
    http_upload_took(u, length);
    return rv;
}

static int
send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head, size_t length,
          nghttp2_data_source *source, void *user_data)
{
    struct h2_client_conn *c = user_data;
    struct wire *w = wire_at(session, frame->hd.stream_id);
    struct slice pieces[MAX_PIECES];
    size_t count;
    (void)source;
    if (!w || !w->call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (w->call->upload)
        return send_upload(c, w, frame_head, length);
    (void)gather(w, length, pieces, &count);
    int rv = h2_io_send_data(&c->io, frame_head, pieces, count);
    advance(w, length);
    w->call->last_byte_ms = loop_now_ms(c->io.loop);
    return rv;
}

/* --- the conn's callbacks --------------------------------------------------------- */

static void
on_data(void *ctx, struct slice bytes)
{
    struct h2_client_conn *c = ctx;
    const char *why = NULL;
    uint32_t code = h2_io_push(&c->io, bytes, c->streams, &why);
    if (c->io.dead)
        return;
    if (code != 0)
        doom(c, code, why);
    else
        pump(c);
}

static void
on_drained(void *ctx)
{
    pump(ctx);
}

static void
on_end(void *ctx, int err, const char *why)
{
    break_down(ctx, err, why);
}

static void
check_health(void *ctx)
{
    struct h2_client_conn *c = ctx;
    int64_t now_ms = loop_now_ms(c->io.loop);
    uint64_t bytes = conn_bytes_in(c->base.conn);
    if (bytes != c->bytes_seen) {
        c->bytes_seen = bytes;
        c->heard_ms = now_ms;
        c->ping_ms = 0;
    }
    if (c->streams == 0)
        return;
    if (c->ping_ms > 0 && now_ms - c->ping_ms > PING_WAIT_MS) {
        break_down(c, ERR_TIMEOUT, "the upstream's connection is dead");
        return;
    }
    if (c->ping_ms == 0 && now_ms - c->heard_ms > SILENT_MS &&
        nghttp2_submit_ping(c->io.session, NGHTTP2_FLAG_NONE, NULL) == 0) {
        c->ping_ms = now_ms;
        h2_io_wake(&c->io);
    }
    timer_set(&c->health, c->io.loop, HEALTH_MS, check_health, c);
}

/* --- what client.c asks ----------------------------------------------------------- */

/* The request's head. Slices point into the call, which outlives this. */
static int
build_head(const struct h2_client_conn *c, const struct http_request *r, size_t body_bytes,
           struct h2_fields_out *out)
{
    int err = h2_fields_put(out, SLICE(":method"), r->method);
    if (err == 0)
        err = h2_fields_put(out, SLICE(":scheme"),
                            conn_is_tls(c->base.conn) ? SLICE("https") : SLICE("http"));
    if (err == 0)
        err = h2_fields_put(out, SLICE(":authority"), r->authority);
    if (err == 0)
        err = h2_fields_put(out, SLICE(":path"), r->path);
    if (err == 0)
        err = h2_fields_add(out, r->fields, r->count);
    if (err == 0 && r->upload && r->upload_bytes >= 0)
        err = h2_fields_put_length(out, (size_t)r->upload_bytes);
    else if (err == 0 && r->body_count > 0)
        err = h2_fields_put_length(out, body_bytes);
    return err;
}

static int
submit(struct h2_client_conn *c, struct wire *w)
{
    const struct http_request *r = &w->call->request;
    struct h2_fields_out out = {.count = 0};
    for (size_t i = 0; i < r->body_count; i++)
        w->body_left += r->body[i].len;
    int err = build_head(c, r, w->body_left, &out);
    if (err != 0)
        return err;
    w->uploads = r->upload;
    nghttp2_data_provider provider = {{.ptr = NULL}, read_data};
    w->id = nghttp2_submit_request(c->io.session, NULL, out.at, out.count,
                                   w->body_left > 0 || w->uploads ? &provider : NULL, w);
    return w->id > 0 ? 0 : ERR_NOMEM;
}

static void
send_call(struct http_client_conn *base, struct http_call *call)
{
    struct h2_client_conn *c = conn_of(base);
    struct wire *w = calloc(1, sizeof(*w));
    if (!w) {
        http_call_fail(call, ERR_NOMEM, "no memory for a stream", true);
        return;
    }
    w->conn = c;
    w->call = call;
    buf_init(&w->held, 0);
    TAILQ_INSERT_TAIL(&c->wires, w, link);
    call->wire = w;
    w->err = submit(c, w);
    if (w->err != 0) {
        w->closed = true; /* it was never opened */
        make_ready(w);
        return;
    }
    c->streams++;
    if (!timer_is_pending(&c->health)) {
        c->heard_ms = loop_now_ms(c->io.loop);
        timer_set(&c->health, c->io.loop, HEALTH_MS, check_health, c);
    }
    h2_io_wake(&c->io);
}

static void
cancel(struct http_client_conn *base, struct http_call *call)
{
    struct wire *w = call->wire;
    (void)base;
    if (!w)
        return;
    (void)let_go(w);
    reset(w, NGHTTP2_CANCEL);
    if (w->closed)
        wire_free(w);
}

static void
pause_call(struct http_client_conn *base, struct http_call *call)
{
    struct wire *w = call->wire;
    (void)base;
    if (w)
        w->paused = true;
}

static void
resume_call(struct http_client_conn *base, struct http_call *call)
{
    struct wire *w = call->wire;
    (void)base;
    if (!w || !w->paused)
        return;
    w->paused = false;
    if (w->held.len > 0 || w->remote_ended)
        make_ready(w);
}

static void
more_upload(struct http_client_conn *base, struct http_call *call)
{
    struct h2_client_conn *c = conn_of(base);
    struct wire *w = call->wire;
    if (!w || !w->starved || w->closed || c->broken || c->io.dead)
        return;
    w->starved = false;
    /* Fails only for want of memory: the call's deadline ends it then. */
    (void)nghttp2_session_resume_data(c->io.session, w->id);
    h2_io_wake(&c->io);
}

static size_t
room(const struct http_client_conn *base)
{
    const struct h2_client_conn *c = conn_of(base);
    if (c->down || c->io.dead || !nghttp2_session_check_request_allowed(c->io.session))
        return 0;
    uint32_t allowed =
        nghttp2_session_get_remote_settings(c->io.session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    size_t most = allowed < MAX_STREAMS ? allowed : MAX_STREAMS;
    return c->streams < most ? most - c->streams : 0;
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
static const struct conn_handlers conn_events = {
    .on_data = on_data, .on_drained = on_drained, .on_end = on_end};

/* --- opening ---------------------------------------------------------------------- */

static void
set_callbacks(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
}

static bool
make_session(struct h2_client_conn *c)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb) != 0)
        return false;
    set_callbacks(cb);
    nghttp2_option *options = h2_io_options();
    if (!options || nghttp2_session_client_new3(&c->io.session, cb, c, options, h2_memory()) != 0)
        c->io.session = NULL;
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(cb);
    return c->io.session != NULL;
}

static bool
submit_settings(struct h2_client_conn *c)
{
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)c->limits->head_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    return nghttp2_submit_settings(c->io.session, NGHTTP2_FLAG_NONE, entries,
                                   sizeof(entries) / sizeof(entries[0])) == 0 &&
           nghttp2_session_set_local_window_size(c->io.session, NGHTTP2_FLAG_NONE, 0,
                                                 CONN_WINDOW_BYTES) == 0;
}

struct http_client_conn *
h2_client_open(struct http_origin *o, struct conn *conn)
{
    struct h2_client_conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    struct http_client *client = http_origin_client(o);
    c->base = (struct http_client_conn){.ops = &conn_ops, .origin = o, .conn = conn};
    c->limits = http_client_limits(client);
    TAILQ_INIT(&c->wires);
    TAILQ_INIT(&c->ready);
    h2_io_init(&c->io, http_client_loop(client), conn, pump, c);
    h2_guard_init(&c->io.guard, 0, true, loop_now_ms(c->io.loop));
    if (!make_session(c) || !submit_settings(c)) {
        nghttp2_session_del(c->io.session);
        free(c);
        return NULL;
    }
    conn_set_handlers(conn, &conn_events, c);
    h2_io_wake(&c->io);
    return &c->base;
}
