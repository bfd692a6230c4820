/*
 * An HTTP/2 connection from a client: an nghttp2 session over a conn, its streams, its deadlines,
 * its end. Opened by server.c, lives until the conn is given back; see h2_server_internal.h.
 *
 * Three ends: nghttp2 has nothing left to do (orderly), the session is doomed (GOAWAY with a code,
 * then a short linger so that the client can read it), or the conn broke. All pass through leave().
 */
#include "lib/http/h2_server_internal.h"

#include "lib/http/h2_memory.h"

#include <stdlib.h>

#define CONN_WINDOW_BYTES (1024 * 1024)
#define STREAM_WINDOW_BYTES (256 * 1024)
#define LINGER_MS 1000
#define NOTICE_MS 1000 /* between the two GOAWAYs of a drain, when the ping is not answered */
/* nghttp2 ends the whole connection over one stream too many; it is told a laxer limit than the
 * client, so that the stream can be refused alone. Beyond the slack the connection does end. */
#define EXCESS_STREAMS 1000
/* The client's stream ids run out at 2^31: it is sent to a new connection in time. */
#define LAST_GOOD_ID (INT32_MAX - 4096)

static const struct http_server_conn_ops conn_ops;
static const struct conn_handlers conn_events;

/* --- the end ---------------------------------------------------------------------- */

static void
conn_destroy(void *corpse)
{
    struct h2_server_conn *c = corpse;
    h2_io_fini(&c->io);
    free(c);
}

/* Takes the connection down: every handler hears of it once. The conn itself is the caller's. */
static struct conn *
leave(struct h2_server_conn *c, int err, const char *why)
{
    c->io.dead = true;
    loop_unqueue(c->io.loop, &c->io.pump);
    while (!TAILQ_EMPTY(&c->streams)) {
        struct h2_stream *st = TAILQ_FIRST(&c->streams);
        h2_stream_abandon(st, err, why);
        h2_stream_bury(st);
    }
    http_server_unlink(&c->base);
    loop_bury(c->io.loop, c, conn_destroy);
    return c->base.conn;
}

static void
destroy(struct http_server_conn *base, int err, const char *why)
{
    struct h2_server_conn *c = (struct h2_server_conn *)base;
    if (!c->io.dead)
        conn_close(leave(c, err, why));
}

static int
err_of_code(uint32_t code)
{
    if (code == NGHTTP2_NO_ERROR || code == NGHTTP2_SETTINGS_TIMEOUT)
        return ERR_TIMEOUT;
    return code == NGHTTP2_ENHANCE_YOUR_CALM ? ERR_LIMIT : ERR_PROTOCOL;
}

/* Ends the connection for a reason the client is told. */
static void
doom(struct h2_server_conn *c, uint32_t code, const char *why)
{
    if (c->io.dead)
        return;
    if (code == NGHTTP2_ENHANCE_YOUR_CALM)
        c->core->stats.glitch_closes++;
    else if (code != NGHTTP2_NO_ERROR)
        c->core->stats.bad_requests++;
    h2_io_say_goodbye(&c->io, code);
    conn_finish(leave(c, err_of_code(code), why), LINGER_MS);
}

/* --- output ----------------------------------------------------------------------- */

static void
serve_ready(struct h2_server_conn *c)
{
    while (!c->io.dead && !TAILQ_EMPTY(&c->ready)) {
        struct h2_stream *st = TAILQ_FIRST(&c->ready);
        TAILQ_REMOVE(&c->ready, st, ready_link);
        st->is_ready = false;
        h2_stream_serve(st);
    }
}

static bool
is_finished(const struct h2_server_conn *c)
{
    return h2_io_is_done(&c->io) || (c->input_over && c->stream_count == 0);
}

/* nghttp2 is done: all is answered, or it has itself sent GOAWAY for what the client did. */
static void
end_in_order(struct h2_server_conn *c)
{
    uint32_t code = c->io.goaway_code;
    if (code != 0)
        c->core->stats.bad_requests++;
    conn_finish(code != 0 ? leave(c, err_of_code(code), "the client broke the protocol")
                          : leave(c, ERR_CLOSED, "the connection ended in order"),
                LINGER_MS);
}

/* What every callback of the conn ends with, and the task that handlers' calls queue. */
static void
pump(void *owner)
{
    struct h2_server_conn *c = owner;
    const char *why = NULL;
    serve_ready(c);
    if (c->io.dead)
        return;
    uint32_t code = h2_io_pump(&c->io, &why);
    if (code != 0) {
        doom(c, code, why);
        return;
    }
    /* Handlers are told of room, and write more, once nghttp2 has been left. */
    if (!TAILQ_EMPTY(&c->ready))
        h2_io_wake(&c->io);
    else if (is_finished(c))
        end_in_order(c);
}

static void
on_drained(void *ctx)
{
    pump(ctx);
}

/* --- nghttp2's callbacks: input --------------------------------------------------- */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2_server_conn *c = user_data;
    int32_t id = frame->hd.stream_id;
    if (c->io.dead)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) { /* trailers */
        h2_head_init(&c->trailers, NULL, NULL, c->core->limits);
        return 0;
    }
    if (c->stream_count >= c->core->limits->h2_streams) {
        h2_head_init(&c->head, NULL, NULL, c->core->limits);
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    struct h2_stream *st = h2_stream_new(c, id);
    if (!st)
        return h2_io_doom(&c->io, NGHTTP2_INTERNAL_ERROR, "no memory for a stream");
    nghttp2_session_set_stream_user_data(session, id, st);
    h2_head_init(&c->head, &st->base.head, &st->base.arena, c->core->limits);
    if (id > LAST_GOOD_ID)
        conn_ops.drain(&c->base);
    return 0;
}

/* Counts a field that is decoded only for HPACK's sake against the glitches. */
static int
charge_excess(struct h2_server_conn *c)
{
    if (h2_guard_glitch(&c->io.guard, 1, loop_now_ms(c->io.loop)))
        return 0;
    return h2_io_doom(&c->io, NGHTTP2_ENHANCE_YOUR_CALM, "too many fields");
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
          nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
    struct h2_server_conn *c = user_data;
    struct h2_stream *st = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    bool is_request = frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    struct h2_head *h = is_request ? &c->head : &c->trailers;
    if (!st)
        h->fields++;
    else if (is_request)
        h2_head_add(h, name, value, flags);
    else
        h2_head_add_trailer(h, name, value);
    return h->fields > c->core->limits->fields ? charge_excess(c) : 0;
}

static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                  nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
    struct h2_server_conn *c = user_data;
    (void)session;
    (void)name;
    (void)value;
    (void)flags;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM(PROTOCOL_ERROR) */
    h2_head_add_malformed(&c->head);
    return 0;
}

static int
on_head(struct h2_server_conn *c, struct h2_stream *st)
{
    struct h2_head *h = &c->head;
    h2_head_end_request(h);
    st->base.is_head_method = slice_is(st->base.head.method, "HEAD");
    if (h->refusal != 0)
        h2_stream_refuse(st, h->refusal, h->code, h->err, h->why);
    else
        h2_stream_begin(st);
    return c->io.dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int
on_trailers(struct h2_server_conn *c, struct h2_stream *st)
{
    if (c->trailers.refusal == 0)
        return 0;
    (void)nghttp2_submit_rst_stream(c->io.session, NGHTTP2_FLAG_NONE, st->id,
                                    NGHTTP2_ENHANCE_YOUR_CALM);
    h2_stream_abandon(st, ERR_LIMIT, c->trailers.why);
    return 0;
}

static int
on_headers_frame(struct h2_server_conn *c, struct h2_stream *st, const nghttp2_frame *frame)
{
    bool is_last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    int rv;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        st->remote_ended = is_last; /* known before the handler is told of the request */
        rv = on_head(c, st);
    } else {
        rv = on_trailers(c, st);
    }
    if (rv == 0 && is_last)
        h2_stream_body_end(st);
    return c->io.dead ? NGHTTP2_ERR_CALLBACK_FAILURE : rv;
}

static void
say_last_call(struct h2_server_conn *c)
{
    if (c->last_call)
        return;
    c->last_call = true;
    int32_t id = nghttp2_session_get_last_proc_stream_id(c->io.session);
    /* Fails only for want of memory; the tick comes again and drain ends at its own deadline. */
    if (nghttp2_submit_goaway(c->io.session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR, NULL, 0) != 0)
        c->last_call = false;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2_server_conn *c = user_data;
    bool is_ack = frame->hd.flags & NGHTTP2_FLAG_ACK;
    if (frame->hd.type == NGHTTP2_SETTINGS && is_ack)
        c->settings_acked = true;
    if (frame->hd.type == NGHTTP2_PING && is_ack && c->drain_ms > 0)
        say_last_call(c); /* the client has seen the notice: what it sent before it is here */
    if (frame->hd.stream_id == 0)
        return 0;
    struct h2_stream *st = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!st)
        return 0;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        return on_headers_frame(c, st, frame);
    case NGHTTP2_DATA:
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            h2_stream_body_end(st);
        break;
    case NGHTTP2_RST_STREAM:
        st->was_reset = true;
        break;
    default:
        break;
    }
    return c->io.dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
              void *user_data)
{
    struct h2_server_conn *c = user_data;
    struct h2_stream *st = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    if (!st)
        return nghttp2_session_consume_connection(session, len) == 0 ? 0
                                                                     : NGHTTP2_ERR_CALLBACK_FAILURE;
    h2_stream_body(st, slice_make(data, len));
    return c->io.dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
    struct h2_server_conn *c = user_data;
    struct h2_stream *st = nghttp2_session_get_stream_user_data(session, id);
    if (!st)
        return 0;
    (void)code;
    if (st->was_reset)
        h2_stream_abandon(st, ERR_RESET, "the client reset the stream");
    else
        h2_stream_abandon(st, ERR_PROTOCOL, "the client broke the protocol on this stream");
    if (c->io.dead) /* the handler ended the server: leave() has buried the stream */
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    h2_stream_free(st);
    return 0;
}

/* --- nghttp2's callbacks: output -------------------------------------------------- */

/* A reset that the client made us send costs it as much as one it sent (CVE-2025-8671). */
static bool
is_provoked(uint32_t code)
{
    return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR ||
           code == NGHTTP2_STREAM_CLOSED || code == NGHTTP2_FRAME_SIZE_ERROR ||
           code == NGHTTP2_REFUSED_STREAM || code == NGHTTP2_ENHANCE_YOUR_CALM;
}

static int
on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2_server_conn *c = user_data;
    int64_t now_ms = loop_now_ms(c->io.loop);
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        if (is_provoked(frame->rst_stream.error_code) && !h2_guard_reset(&c->io.guard, now_ms))
            return h2_io_doom(&c->io, NGHTTP2_ENHANCE_YOUR_CALM, "too many stream errors");
        return 0;
    }
    if (frame->hd.type == NGHTTP2_GOAWAY)
        c->io.goaway_code = frame->goaway.error_code;
    if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct h2_stream *st = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!st)
        return 0;
    st->sent_end = true;
    st->stall_ms = now_ms;
    return 0;
}

/* An answer's head that HPACK or its bound does not let out: the stream would wait for ever. */
static int
on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user_data)
{
    struct h2_server_conn *c = user_data;
    struct h2_stream *st = frame->hd.stream_id
                               ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id)
                               : NULL;
    (void)error;
    if (frame->hd.type != NGHTTP2_HEADERS || !st || st->was_reset)
        return 0;
    if (nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_INTERNAL_ERROR) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    h2_stream_abandon(st, ERR_LIMIT, "the answer's head cannot be sent");
    return c->io.dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* --- the conn's callbacks --------------------------------------------------------- */

static void
on_data(void *ctx, struct slice bytes)
{
    struct h2_server_conn *c = ctx;
    const char *why = NULL;
    uint32_t code = h2_io_push(&c->io, bytes, c->stream_count, &why);
    if (c->io.dead)
        return;
    if (code != 0)
        doom(c, code, why);
    else
        pump(c);
}

/* Whether a client that has finished sending still wants this answer. */
static bool
is_still_wanted(struct h2_server_conn *c, struct h2_stream *st)
{
    const struct http_handlers *h = c->core->handlers;
    if (st->base.ended)
        return true;
    return st->remote_ended && (!h->on_half_close || h->on_half_close(st->base.x, &st->base));
}

static void
on_half_close(struct h2_server_conn *c)
{
    c->input_over = true;
    struct h2_stream *st = TAILQ_FIRST(&c->streams);
    while (st && !c->io.dead) {
        struct h2_stream *next = TAILQ_NEXT(st, link); /* none is freed outside of pump() */
        if (!is_still_wanted(c, st)) {
            (void)nghttp2_submit_rst_stream(c->io.session, NGHTTP2_FLAG_NONE, st->id,
                                            NGHTTP2_CANCEL);
            h2_stream_abandon(st, ERR_CLOSED, "the client has closed the connection");
        }
        st = next;
    }
    if (!c->io.dead)
        pump(c);
}

static void
on_end(void *ctx, int err, const char *why)
{
    struct h2_server_conn *c = ctx;
    if (err == ERR_CLOSED && c->core->config->half_close_ok && c->stream_count > 0)
        on_half_close(c);
    else
        destroy(&c->base, err, why);
}

/* --- what server.c asks ----------------------------------------------------------- */

static void
drain(struct http_server_conn *base)
{
    struct h2_server_conn *c = (struct h2_server_conn *)base;
    if (c->io.dead || c->drain_ms > 0)
        return;
    c->drain_ms = loop_now_ms(c->io.loop);
    /* First a notice with the highest id, so that requests on their way still count; when the ping
     * behind it is answered, or at the next tick, the real one (RFC 9113 6.8). */
    if (nghttp2_submit_shutdown_notice(c->io.session) != 0 ||
        nghttp2_submit_ping(c->io.session, NGHTTP2_FLAG_NONE, NULL) != 0)
        say_last_call(c);
    h2_io_wake(&c->io);
}

/* Whether the client has taken nothing of what waits for too long. */
static bool
is_output_stuck(struct h2_server_conn *c, int64_t now_ms)
{
    uint64_t out = conn_bytes_out(c->io.conn);
    if (conn_pending(c->io.conn) == 0 || out != c->output_bytes) {
        c->output_bytes = out;
        c->output_ms = now_ms;
        return false;
    }
    return now_ms - c->output_ms > c->core->limits->write_stall_ms;
}

static bool
check_deadlines(struct h2_server_conn *c, int64_t now_ms)
{
    const struct http_limits *limits = c->core->limits;
    const struct h2_guard *g = &c->io.guard;
    if (is_output_stuck(c, now_ms)) {
        destroy(&c->base, ERR_TIMEOUT, "the client takes no data");
    } else if (g->block_since_ms >= 0 && now_ms - g->block_since_ms > limits->head_ms) {
        c->core->stats.head_timeouts++;
        doom(c, NGHTTP2_ENHANCE_YOUR_CALM, "the request's head comes too slowly");
    } else if (!c->settings_acked && now_ms - c->opened_ms > limits->head_ms) {
        c->core->stats.head_timeouts++;
        doom(c, NGHTTP2_SETTINGS_TIMEOUT, "no acknowledgement of our settings");
    } else if (c->stream_count == 0 && now_ms - c->idle_since_ms > limits->keepalive_ms) {
        doom(c, NGHTTP2_NO_ERROR, "no request for too long");
    } else {
        return true;
    }
    return false;
}

static void
tick(struct http_server_conn *base, int64_t now_ms)
{
    struct h2_server_conn *c = (struct h2_server_conn *)base;
    if (c->io.dead || !check_deadlines(c, now_ms))
        return;
    struct h2_stream *st = TAILQ_FIRST(&c->streams);
    while (st && !c->io.dead) {
        struct h2_stream *next = TAILQ_NEXT(st, link); /* none is freed outside of pump() */
        h2_stream_tick(st, now_ms);
        st = next;
    }
    if (c->io.dead)
        return;
    if (c->drain_ms > 0 && now_ms - c->drain_ms >= NOTICE_MS)
        say_last_call(c);
    h2_io_wake(&c->io);
}

static const struct http_server_conn_ops conn_ops = {drain, destroy, tick};
static const struct conn_handlers conn_events = {
    .on_data = on_data, .on_drained = on_drained, .on_end = on_end};

/* --- opening ---------------------------------------------------------------------- */

static void
set_callbacks(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_sent);
    nghttp2_session_callbacks_set_send_data_callback(cb, h2_stream_send_data);
}

static bool
make_session(struct h2_server_conn *c)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb) != 0)
        return false;
    nghttp2_option *options = h2_io_options();
    set_callbacks(cb);
    if (!options || nghttp2_session_server_new3(&c->io.session, cb, c, options, h2_memory()) != 0)
        c->io.session = NULL;
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(cb);
    return c->io.session != NULL;
}

/* Our SETTINGS go out with one number changed: see EXCESS_STREAMS. */
static bool
send_settings(struct h2_server_conn *c)
{
    uint32_t streams = c->core->limits->h2_streams;
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams + EXCESS_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)c->core->limits->head_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    enum { COUNT = sizeof(entries) / sizeof(entries[0]), BYTES = COUNT * 6 };
    if (nghttp2_submit_settings(c->io.session, NGHTTP2_FLAG_NONE, entries, COUNT) != 0)
        return false;
    const uint8_t *theirs;
    ssize_t n = nghttp2_session_mem_send(c->io.session, &theirs);
    if (n != H2_FRAME_HEAD_BYTES + BYTES)
        return false;
    entries[0].value = streams;
    uint8_t frame[H2_FRAME_HEAD_BYTES + BYTES];
    memcpy(frame, theirs, H2_FRAME_HEAD_BYTES);
    if (nghttp2_pack_settings_payload(frame + H2_FRAME_HEAD_BYTES, BYTES, entries, COUNT) != BYTES)
        return false;
    return conn_write(c->io.conn, slice_make(frame, sizeof(frame))) == 0 &&
           nghttp2_session_set_local_window_size(c->io.session, NGHTTP2_FLAG_NONE, 0,
                                                 CONN_WINDOW_BYTES) == 0;
}

void
h2_server_open(struct http_server *s, struct conn *conn, struct slice seen)
{
    struct h2_server_conn *c = calloc(1, sizeof(*c));
    if (!c) {
        conn_abort(conn);
        return;
    }
    struct http_server_core *core = http_server_core(s);
    c->base = (struct http_server_conn){.ops = &conn_ops, .server = s, .conn = conn};
    c->core = core;
    TAILQ_INIT(&c->streams);
    TAILQ_INIT(&c->ready);
    h2_io_init(&c->io, core->loop, conn, pump, c);
    c->opened_ms = c->idle_since_ms = c->output_ms = loop_now_ms(core->loop);
    h2_guard_init(&c->io.guard, NGHTTP2_CLIENT_MAGIC_LEN, false, c->opened_ms);
    if (!make_session(c) || !send_settings(c)) {
        nghttp2_session_del(c->io.session);
        free(c);
        conn_abort(conn);
        return;
    }
    http_server_link(s, &c->base);
    conn_set_handlers(conn, &conn_events, c);
    if (core->draining)
        drain(&c->base);
    on_data(c, seen);
}
