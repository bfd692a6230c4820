/*
 * One exchange of an HTTP/2 server connection: the request's body on its way to the handler, the
 * answer on its way out.
 *
 * The answer's body waits in st->out, bounded by what http_write tells the handler, and is cut into
 * DATA frames as nghttp2's flow control allows. An end in disorder lets what is in out leave first,
 * then resets the stream: the client cannot take it for a clean end.
 */
#include "lib/http/h2_server_internal.h"

#include <stdlib.h>

/* While others fill the connection's budget a stream may still hold this much: none starves. */
#define SHARE_BYTES ((size_t)8 * 1024)
#define PAUSED_BYTES ((size_t)8 << 20) /* of paused bodies that one connection may make us hold */
/* Body that still comes after the whole answer went out: passed over up to here; then the client
 * is stopped by flow control, and its stream is reset (RFC 9113 8.1) when it has had this long to
 * read the answer. A reset right behind the answer makes some clients forget it: curl 7.88 when
 * both come while it is sending. */
#define LEFTOVER_BYTES ((uint64_t)64 * 1024)
#define UNWANTED_MS 1000
/* Progress below this in a whole stall period is none. */
#define PROGRESS_BYTES 1024
/* An empty out buffer above this is given back. */
#define KEPT_OUT_BYTES 1024

static const struct http_stream_ops stream_ops;

static struct h2_stream *
stream_of(const struct http_stream *s)
{
    return (struct h2_stream *)(uintptr_t)s;
}

/* --- life ------------------------------------------------------------------------- */

struct h2_stream *
h2_stream_new(struct h2_server_conn *c, int32_t id)
{
    struct h2_stream *st = calloc(1, sizeof(*st));
    if (!st)
        return NULL;
    st->base.ops = &stream_ops;
    st->base.conn = &c->base;
    arena_init(&st->base.arena, 0);
    buf_init(&st->out, 0);
    buf_init(&st->held, 0);
    st->id = id;
    st->declared = -1;
    TAILQ_INSERT_TAIL(&c->streams, st, link);
    c->stream_count++;
    c->core->stats.streams++;
    return st;
}

static void
stream_unlink(struct h2_stream *st)
{
    struct h2_server_conn *c = h2_conn_of(st);
    /* What was held for a handler that is gone must not weigh on the connection for ever. */
    c->paused_bytes -= st->held.len;
    if (st->owed > 0 && !c->io.dead)
        (void)nghttp2_session_consume_connection(c->io.session, st->owed);
    TAILQ_REMOVE(&c->streams, st, link);
    if (st->is_ready)
        TAILQ_REMOVE(&c->ready, st, ready_link);
    st->is_ready = false;
    c->held_bytes -= st->out.len;
    c->core->stats.streams--;
    if (--c->stream_count == 0)
        c->idle_since_ms = loop_now_ms(c->io.loop);
}

static void
stream_destroy(void *corpse)
{
    struct h2_stream *st = corpse;
    buf_free(&st->out);
    buf_free(&st->held);
    arena_free(&st->base.arena);
    free(st);
}

void
h2_stream_free(struct h2_stream *st)
{
    stream_unlink(st);
    stream_destroy(st);
}

void
h2_stream_bury(struct h2_stream *st)
{
    struct loop *l = h2_conn_of(st)->io.loop;
    stream_unlink(st);
    loop_bury(l, st, stream_destroy);
}

static void
make_ready(struct h2_stream *st)
{
    struct h2_server_conn *c = h2_conn_of(st);
    if (!st->is_ready)
        TAILQ_INSERT_TAIL(&c->ready, st, ready_link);
    st->is_ready = true;
    h2_io_wake(&c->io);
}

void
h2_stream_abandon(struct h2_stream *st, int err, const char *why)
{
    if (st->base.ended)
        return;
    st->base.ended = true;
    if (st->known)
        h2_conn_of(st)->core->handlers->on_abort(st->base.x, &st->base, err, why);
}

/* --- the answer ------------------------------------------------------------------- */

/* More for nghttp2 to send on this stream. */
static void
go_on(struct h2_stream *st)
{
    struct h2_server_conn *c = h2_conn_of(st);
    if (st->deferred) {
        st->deferred = false;
        /* Fails only for want of memory, or when the stream is being closed: then nothing is owed.
         */
        (void)nghttp2_session_resume_data(c->io.session, st->id);
    }
    h2_io_wake(&c->io);
}

static void
queue_trailers(struct h2_stream *st)
{
    struct h2_fields_out out = {.is_response = true};
    if (h2_fields_add(&out, st->trailers, st->trailer_count) == 0)
        (void)nghttp2_submit_trailer(h2_conn_of(st)->io.session, st->id, out.at, out.count);
}

static ssize_t
read_data(nghttp2_session *session, int32_t id, uint8_t *into, size_t room, uint32_t *flags,
          nghttp2_data_source *source, void *user_data)
{
    struct h2_stream *st = source->ptr;
    (void)session;
    (void)id;
    (void)into;
    (void)user_data;
    if (st->out.len == 0 && st->breaking)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM(INTERNAL_ERROR) */
    if (st->out.len == 0 && !st->eof) {
        st->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = st->out.len < room ? st->out.len : room;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (st->eof && n == st->out.len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (st->trailer_count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            queue_trailers(st);
        }
    }
    return (ssize_t)n;
}

static size_t
low_mark(const struct h2_stream *st)
{
    const struct h2_server_conn *c = h2_conn_of(st);
    if (c->held_bytes > c->core->limits->conn_buffer_bytes)
        return SHARE_BYTES / 2;
    return c->core->limits->stream_buffer_bytes / 2;
}

static bool
holds_too_much(const struct h2_stream *st)
{
    const struct h2_server_conn *c = h2_conn_of(st);
    if (st->out.len > c->core->limits->stream_buffer_bytes)
        return true;
    return c->held_bytes > c->core->limits->conn_buffer_bytes && st->out.len > SHARE_BYTES;
}

static void
count_progress(struct h2_stream *st, size_t n)
{
    st->stall_sent += n;
    if (st->stall_sent < PROGRESS_BYTES && st->out.len > 0)
        return;
    st->stall_sent = 0;
    st->stall_ms = loop_now_ms(h2_conn_of(st)->io.loop);
}

int
h2_stream_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
                    size_t length, nghttp2_data_source *source, void *user_data)
{
    struct h2_stream *st = source->ptr;
    struct h2_server_conn *c = user_data;
    struct slice piece = slice_make(st->out.at, length);
    (void)session;
    (void)frame;
    int rv = h2_io_send_data(&c->io, frame_head, &piece, length > 0);
    if (length == 0)
        return rv;
    buf_drop(&st->out, length);
    c->held_bytes -= length;
    count_progress(st, length);
    if (st->out.len == 0 && st->out.cap > KEPT_OUT_BYTES)
        buf_free(&st->out);
    if (st->want_drained && st->out.len <= low_mark(st))
        make_ready(st);
    return rv;
}

static bool
has_no_body(const struct h2_stream *st, int status)
{
    return st->base.is_head_method || status == 204 || status == 304 || status < 200;
}

/* The fields of the answer's head, ours and theirs. */
static int
build_head(struct h2_stream *st, struct h2_fields_out *out, int status,
           const struct http_field *fields, size_t count, int64_t length)
{
    struct http_server_core *core = h2_conn_of(st)->core;
    int err = h2_fields_put_status(out, status);
    if (err == 0)
        err = h2_fields_add(out, fields, count);
    if (err == 0 && length >= 0 && status != 204)
        err = h2_fields_put_length(out, (uint64_t)length);
    if (err == 0)
        err = h2_fields_put(out, SLICE("date"), http_date(core->loop));
    if (err == 0 && core->config->server_name)
        err = h2_fields_put(out, SLICE("server"), slice_of(core->config->server_name));
    return err;
}

static int
respond(struct http_stream *s, int status, const struct http_field *fields, size_t count,
        int64_t length, bool end_now)
{
    struct h2_stream *st = stream_of(s);
    struct h2_server_conn *c = h2_conn_of(st);
    if (s->ended || s->responded)
        return ERR_BAD_STATE;
    struct h2_fields_out out = {.count = 0, .is_response = true};
    int err = build_head(st, &out, status, fields, count, length);
    if (err != 0)
        return err;
    nghttp2_data_provider provider = {{.ptr = st}, read_data};
    if (nghttp2_submit_response(c->io.session, st->id, out.at, out.count,
                                end_now ? NULL : &provider) != 0)
        return ERR_NOMEM;
    s->responded = true;
    st->declared = length;
    st->bodiless = has_no_body(st, status);
    st->with_data = !end_now;
    st->eof = end_now;
    s->ended = end_now;
    h2_io_wake(&c->io);
    return 0;
}

static int
append(struct h2_stream *st, struct slice bytes)
{
    struct h2_server_conn *c = h2_conn_of(st);
    if (st->out.len == 0) {
        st->stall_ms = loop_now_ms(c->io.loop);
        st->stall_sent = 0;
    }
    if (buf_add_slice(&st->out, bytes) != 0)
        return ERR_NOMEM;
    c->held_bytes += bytes.len;
    return 0;
}

static int
write_body(struct http_stream *s, struct slice bytes)
{
    struct h2_stream *st = stream_of(s);
    if (s->ended || !s->responded)
        return ERR_BAD_STATE;
    if (st->bodiless || bytes.len == 0)
        return 0;
    if (st->declared >= 0 && bytes.len > (uint64_t)st->declared - st->written)
        return ERR_LIMIT;
    int err = append(st, bytes);
    if (err != 0)
        return err;
    st->written += bytes.len;
    go_on(st);
    if (!holds_too_much(st))
        return 0;
    st->want_drained = true;
    return ERR_AGAIN;
}

/* Resets the stream once what waits has left. */
static void
break_off(struct h2_stream *st)
{
    struct h2_server_conn *c = h2_conn_of(st);
    st->breaking = true;
    if (st->with_data)
        go_on(st);
    else
        (void)nghttp2_submit_rst_stream(c->io.session, NGHTTP2_FLAG_NONE, st->id,
                                        NGHTTP2_INTERNAL_ERROR);
    h2_io_wake(&c->io);
}

static void
abort_stream(struct http_stream *s)
{
    struct h2_stream *st = stream_of(s);
    if (s->ended)
        return;
    s->ended = true;
    break_off(st);
}

static bool
copy_trailers(struct h2_stream *st, const struct http_field *trailers, size_t count)
{
    st->trailers = arena_alloc(&st->base.arena, count * sizeof(*trailers));
    if (!st->trailers)
        return false;
    for (size_t i = 0; i < count; i++) {
        st->trailers[i] = (struct http_field){arena_copy(&st->base.arena, trailers[i].name),
                                              arena_copy(&st->base.arena, trailers[i].value),
                                              trailers[i].never_index};
        if (!st->trailers[i].name.at || !st->trailers[i].value.at)
            return false;
    }
    st->trailer_count = count;
    return true;
}

static void
end_stream(struct http_stream *s, const struct http_field *trailers, size_t count)
{
    struct h2_stream *st = stream_of(s);
    if (s->ended)
        return;
    bool is_short = st->declared >= 0 && !st->bodiless && st->written != (uint64_t)st->declared;
    s->ended = true;
    /* Without an answer, with half of one, or without its trailers it is no clean end. */
    if (!s->responded || is_short || (count > 0 && !copy_trailers(st, trailers, count))) {
        break_off(st);
        return;
    }
    st->eof = true;
    go_on(st);
}

static size_t
pending(const struct http_stream *s)
{
    return stream_of(s)->out.len;
}

/* --- the request's body ----------------------------------------------------------- */

static void
consume(struct h2_stream *st, size_t n)
{
    struct h2_io *io = &h2_conn_of(st)->io;
    /* Fails only for want of memory, which the next pump meets again. */
    if (!io->dead) /* the handler that just took the bytes may have ended the server */
        (void)nghttp2_session_consume(io->session, st->id, n);
}

static void
restart_clocks(struct h2_stream *st)
{
    st->body_ms = loop_now_ms(h2_conn_of(st)->io.loop);
    st->rate_ms = st->body_ms;
    st->rate_bytes = st->received;
}

static void
pause_body(struct http_stream *s)
{
    stream_of(s)->paused = true;
}

static void
resume_body(struct http_stream *s)
{
    struct h2_stream *st = stream_of(s);
    if (!st->paused || s->ended)
        return;
    st->paused = false;
    restart_clocks(st);
    if (st->held.len > 0 || (st->remote_ended && !st->told_end))
        make_ready(st);
}

static void
reset(struct h2_stream *st, uint32_t code)
{
    struct h2_server_conn *c = h2_conn_of(st);
    (void)nghttp2_submit_rst_stream(c->io.session, NGHTTP2_FLAG_NONE, st->id, code);
    h2_io_wake(&c->io);
}

static void
submit_continue(struct h2_stream *st)
{
    struct h2_fields_out out = {.is_response = true};
    if (h2_fields_put_status(&out, 100) != 0)
        return;
    (void)nghttp2_submit_headers(h2_conn_of(st)->io.session, NGHTTP2_FLAG_NONE, st->id, NULL,
                                 out.at, out.count, NULL);
}

void
h2_stream_begin(struct h2_stream *st)
{
    struct h2_server_conn *c = h2_conn_of(st);
    struct http_stream *s = &st->base;
    bool expects = c->head.expects_continue;
    st->most =
        http_server_body_limit(c->core, &s->head, st->remote_ended ? 0 : s->head.content_length);
    if (s->head.content_length > 0 && (uint64_t)s->head.content_length > st->most) {
        h2_stream_refuse(st, 413, "body_too_large", ERR_LIMIT, "the body is larger than allowed");
        return;
    }
    s->is_head_method = slice_is(s->head.method, "HEAD");
    restart_clocks(st);
    void *x = c->core->handlers->on_request(c->core->ctx, s, &s->head);
    if (s->ended)
        return;
    if (!x) { /* it has broken its promise to answer at once */
        abort_stream(s);
        return;
    }
    s->x = x;
    st->known = true;
    if (expects && !st->remote_ended && !s->responded)
        submit_continue(st);
}

static void
tell_body_end(struct h2_stream *st)
{
    if (!st->remote_ended || st->told_end || st->paused || st->held.len > 0 || st->base.ended)
        return;
    st->told_end = true;
    h2_conn_of(st)->core->handlers->on_body_end(st->base.x, &st->base);
}

/* Nobody wants the body any more: it is let in, so that the connection goes on, up to a bound. */
static void
pass_over(struct h2_stream *st, size_t n)
{
    struct h2_io *io = &h2_conn_of(st)->io;
    if (st->sent_end)
        st->leftover += n;
    if (st->leftover > LEFTOVER_BYTES)
        st->unwanted = true;
    if (!st->unwanted)
        consume(st, n);
    else if (!io->dead)
        (void)nghttp2_session_consume_connection(io->session, n);
}

/* While paused. A few uploads that stand still must not stop the others on their connection: its
 * window is given back as bytes come, up to a bound of what it may make us hold. */
static void
hold(struct h2_stream *st, struct slice bytes)
{
    struct h2_server_conn *c = h2_conn_of(st);
    if (buf_add_slice(&st->held, bytes) != 0) {
        reset(st, NGHTTP2_INTERNAL_ERROR);
        h2_stream_abandon(st, ERR_NOMEM, "no memory for the body");
        return;
    }
    c->paused_bytes += bytes.len;
    if (c->paused_bytes <= PAUSED_BYTES)
        (void)nghttp2_session_consume_connection(c->io.session, bytes.len);
    else
        st->owed += bytes.len;
}

void
h2_stream_body(struct h2_stream *st, struct slice bytes)
{
    struct h2_server_conn *c = h2_conn_of(st);
    st->received += bytes.len;
    st->body_ms = loop_now_ms(c->io.loop);
    if (st->base.ended) {
        pass_over(st, bytes.len);
        return;
    }
    if (st->received > st->most) {
        consume(st, bytes.len);
        h2_stream_refuse(st, 413, "body_too_large", ERR_LIMIT, "the body is larger than allowed");
        return;
    }
    if (st->paused || st->held.len > 0) {
        hold(st, bytes);
        return;
    }
    c->core->handlers->on_body(st->base.x, &st->base, bytes);
    consume(st, bytes.len);
}

void
h2_stream_body_end(struct h2_stream *st)
{
    st->remote_ended = true;
    tell_body_end(st);
}

/* Delivers what came while paused. */
static void
deliver_held(struct h2_stream *st)
{
    if (st->held.len == 0 || st->paused || st->base.ended)
        return;
    struct h2_server_conn *c = h2_conn_of(st);
    struct buf held = st->held; /* the handler may pause again and more may come */
    size_t owed = st->owed;
    buf_init(&st->held, 0);
    st->owed = 0;
    c->paused_bytes -= held.len;
    c->core->handlers->on_body(st->base.x, &st->base, buf_slice(&held));
    if (!c->io.dead) {
        (void)nghttp2_session_consume_stream(c->io.session, st->id, held.len);
        (void)nghttp2_session_consume_connection(c->io.session, owed);
    }
    buf_free(&held);
}

void
h2_stream_serve(struct h2_stream *st)
{
    deliver_held(st);
    tell_body_end(st);
    if (!st->want_drained || st->base.ended || st->out.len > low_mark(st))
        return;
    st->want_drained = false;
    h2_conn_of(st)->core->handlers->on_drained(st->base.x, &st->base);
}

/* --- errors and deadlines --------------------------------------------------------- */

/* An answer of the server's own, on a stream whose handler has not answered. */
static int
answer(struct h2_stream *st, int status, const char *code, const char *why)
{
    struct http_server *server = h2_conn_of(st)->base.server;
    const struct http_field type = {SLICE("content-type"), slice_of(http_server_error_type(server)),
                                    false};
    struct buf body;
    buf_init(&body, 0);
    int err = http_server_error_body(server, status, code, why, &body);
    if (err == 0)
        err = respond(&st->base, status, &type, 1, (int64_t)body.len, false);
    if (err == 0 && !st->bodiless)
        err = append(st, buf_slice(&body));
    st->written = body.len;
    buf_free(&body);
    return err;
}

void
h2_stream_refuse(struct h2_stream *st, int status, const char *code, int err, const char *why)
{
    struct h2_server_conn *c = h2_conn_of(st);
    c->core->stats.bad_requests++;
    if (st->base.ended)
        return;
    if (!st->base.responded && answer(st, status, code, why) == 0) {
        st->eof = true;
        st->unwanted = true;
        go_on(st);
    } else {
        reset(st, NGHTTP2_CANCEL);
    }
    h2_stream_abandon(st, err, why);
}

static bool
is_too_slow(struct h2_stream *st, int64_t now_ms)
{
    const struct http_limits *limits = h2_conn_of(st)->core->limits;
    if (now_ms - st->body_ms > limits->body_idle_ms)
        return true;
    if (now_ms - st->rate_ms < limits->body_idle_ms) /* the span of the average, too */
        return false;
    uint64_t wanted = (uint64_t)limits->body_min_rate * (uint64_t)(now_ms - st->rate_ms) / 1000;
    if (st->received - st->rate_bytes < wanted)
        return true;
    st->rate_ms = now_ms;
    st->rate_bytes = st->received;
    return false;
}

void
h2_stream_tick(struct h2_stream *st, int64_t now_ms)
{
    const struct http_limits *limits = h2_conn_of(st)->core->limits;
    if (st->out.len > 0 && now_ms - st->stall_ms > limits->write_stall_ms / 2) {
        reset(st, NGHTTP2_CANCEL);
        h2_stream_abandon(st, ERR_TIMEOUT, "the client takes no data");
    } else if (st->sent_end) {
        /* The whole answer is out and the client still sends its request. */
        if (now_ms - st->stall_ms > (st->unwanted ? UNWANTED_MS : limits->head_ms))
            reset(st, NGHTTP2_NO_ERROR);
    } else if (st->known && !st->base.ended && !st->remote_ended && !st->paused &&
               st->held.len == 0 && is_too_slow(st, now_ms)) {
        h2_stream_refuse(st, 408, "request_timeout", ERR_TIMEOUT, "the body comes too slowly");
    }
}

static const struct http_stream_ops stream_ops = {
    .respond = respond,
    .write = write_body,
    .end = end_stream,
    .abort = abort_stream,
    .pause = pause_body,
    .resume = resume_body,
    .pending = pending,
};
