/* The HTTP/2 server as an ordinary client meets it: answers, bodies, windows, ends, draining. */
#include "tests/unit/lib/http/h2_peer.h"

#include "lib/base/clock.h"

static struct rig rig;

static int
setup(void **state)
{
    (void)state;
    rig_init(&rig);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static struct peer *
start(void)
{
    rig_start(&rig);
    return peer_new(&rig);
}

static void
assert_body(struct peer *p, int32_t id, int status, const char *body)
{
    struct seen *s = peer_stream(p, id);
    assert_int_equal(s->status, status);
    assert_true(s->ended);
    assert_false(s->reset);
    assert_int_equal(s->body.len, strlen(body));
    assert_memory_equal(s->body.at, body, strlen(body));
}

static void
assert_body_then_reset(struct peer *p, int32_t id, int status, uint32_t code)
{
    struct seen *s = peer_stream(p, id);
    assert_int_equal(s->status, status);
    assert_true(s->ended);
    assert_true(s->reset);
    assert_int_equal(s->reset_code, code);
}

static void
test_get_is_answered(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, 1, "/hello");
    peer_wait(p, peer_first_ended);
    assert_body(p, 1, 200, "hello\n");
    const char *fields = peer_stream(p, 1)->fields;
    assert_non_null(strstr(fields, "content-length: 6\n"));
    assert_non_null(strstr(fields, "date: "));
    assert_non_null(strstr(fields, "server: test\n"));
    assert_non_null(strstr(fields, "content-type: text/plain\n"));
    peer_free(p);
}

/* A socket that keeps the bounds of writes shows that a head and its body leave in one. */
static void
test_head_and_body_leave_in_one_write(void **state)
{
    (void)state;
    rig_start(&rig);
    struct peer *p = peer_new_type(&rig, SOCK_SEQPACKET);
    peer_bytes(p, MAGIC, 24);
    peer_frame(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    peer_get(p, 1, "/hello");
    peer_wait(p, peer_first_ended);
    assert_body(p, 1, 200, "hello\n");
    assert_int_equal(p->headers_with_data, 1);
    peer_free(p);
}

static void
test_preface_in_single_bytes(void **state)
{
    (void)state;
    rig_start(&rig);
    struct peer *p = peer_new(&rig);
    peer_get(p, 1, "/hello");
    struct buf all = p->out; /* sent byte by byte, each in a turn of its own */
    buf_init(&p->out, 0);
    for (size_t i = 0; i < all.len; i++) {
        assert_int_equal(send(p->fd, all.at + i, 1, MSG_NOSIGNAL), 1);
        struct timer t = {.loop = NULL};
        timer_set(&t, rig.loop, 1, rig_stop_loop, rig.loop);
        loop_run(rig.loop);
        timer_cancel(&t);
    }
    buf_free(&all);
    peer_wait(p, peer_first_ended);
    assert_body(p, 1, 200, "hello\n");
    peer_free(p);
}

static bool
all_three_ended(const struct peer *p)
{
    return p->streams[0].ended && p->streams[1].ended && p->streams[2].ended;
}

static void
test_post_is_echoed_on_many_streams(void **state)
{
    (void)state;
    struct peer *p = start();
    for (int32_t id = 1; id <= 5; id += 2)
        peer_request(p, id, 0, "POST", "/echo", NULL);
    for (int32_t id = 5; id >= 1; id -= 2) {
        peer_frame(p, NGHTTP2_DATA, 0, id, "ping ", 5);
        peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, "pong", 4);
    }
    peer_wait(p, all_three_ended);
    for (int32_t id = 1; id <= 5; id += 2)
        assert_body(p, id, 200, "ping pong");
    peer_free(p);
}

static bool
has_all_of_a_megabyte(const struct peer *p)
{
    return p->streams[0].body.len == 1 << 20 && p->streams[0].ended;
}

static bool
got_window_worth(const struct peer *p)
{
    return p->streams[0].body.len == 65535;
}

static void
test_large_answer_keeps_to_the_windows(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, 1, "/size/1048576");
    peer_wait(p, got_window_worth);
    assert_false(peer_stream(p, 1)->ended);
    /* Nothing is held beyond the bound and the write that passed it. */
    assert_true(rig.app.most_pending <= rig.limits.stream_buffer_bytes + 16384);
    peer_frame32(p, NGHTTP2_WINDOW_UPDATE, 0, 1 << 20);
    peer_frame32(p, NGHTTP2_WINDOW_UPDATE, 1, 1 << 20);
    peer_wait(p, has_all_of_a_megabyte);
    assert_true(rig.app.drained > 0);
    peer_free(p);
}

static void
test_large_request_gets_windows(void **state)
{
    (void)state;
    static char block[16384];
    struct peer *p = start();
    uint64_t sent = 0;
    peer_request(p, 1, 0, "POST", "/hold", NULL);
    peer_wait(p, peer_has_settings);
    /* Far more than the windows the server began with, but never more than it has given. */
    uint64_t given = 65535;
    for (int i = 0; i < 200; i++) {
        while (sent + sizeof(block) <= given && sent < 4 << 20) {
            peer_frame(p, NGHTTP2_DATA, 0, 1, block, sizeof(block));
            sent += sizeof(block);
        }
        peer_ping(p);
        given = 65535 + p->window_given;
    }
    assert_int_equal(sent, 4 << 20);
    assert_false(p->closed);
    assert_int_equal(rig.app.body_bytes, sent);
    peer_free(p);
}

static void
test_paused_body_waits_and_gets_no_window(void **state)
{
    (void)state;
    static char block[16384];
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/pause", NULL);
    peer_wait(p, peer_app_has_held);
    struct exchange *x = rig.app.held;
    peer_ping(p); /* the first window has come */
    uint64_t given = p->window_given;
    for (int i = 0; i < 10; i++)
        peer_frame(p, NGHTTP2_DATA, 0, 1, block, sizeof(block));
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "end", 3);
    peer_ping(p);
    assert_int_equal(rig.app.body_bytes, 0);
    assert_int_equal(p->window_given, given);
    assert_int_equal(rig.app.ends, 0);
    x->is_paused = false;
    x->echo = true;
    http_resume(x->stream);
    peer_ping(p);
    assert_int_equal(rig.app.body_bytes, 10 * sizeof(block) + 3);
    assert_int_equal(rig.app.ends, 1);
    peer_free(p);
}

static void
test_paused_bodies_do_not_stop_the_connection(void **state)
{
    (void)state;
    struct peer *p = start();
    assert_int_equal(peer_fill_paused(p, 8, 15), 8 * 15 * 16384); /* more than its window is */
    peer_request(p, 101, 0, "POST", "/echo", NULL);
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 101, "still here", 10);
    peer_ping(p);
    assert_body(p, 101, 200, "still here");
    peer_free(p);
}

static void
test_paused_bodies_are_bounded(void **state)
{
    (void)state;
    struct peer *p = start();
    uint64_t sent = peer_fill_paused(p, 60, 15);
    assert_true(sent > 8 << 20);
    assert_true(sent <= (8 << 20) + (1 << 20)); /* and the window is spent */
    peer_free(p);
}

static void
test_head_has_no_body(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_request(p, 1, NGHTTP2_FLAG_END_STREAM, "HEAD", "/hello", NULL);
    peer_wait(p, peer_first_ended);
    assert_body(p, 1, 200, "");
    assert_non_null(strstr(peer_stream(p, 1)->fields, "content-length: 6\n"));
    peer_free(p);
}

static void
test_head_of_a_streamed_answer_has_no_body(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_request(p, 1, NGHTTP2_FLAG_END_STREAM, "HEAD", "/size/1000", NULL);
    peer_wait(p, peer_first_ended);
    assert_body(p, 1, 200, "");
    peer_free(p);
}

static void
test_204_has_no_length(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, 1, "/empty");
    peer_wait(p, peer_first_ended);
    assert_body(p, 1, 204, "");
    assert_null(strstr(peer_stream(p, 1)->fields, "content-length"));
    peer_free(p);
}

static void
test_trailers_follow_the_body(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, 1, "/trailers");
    peer_wait(p, peer_first_ended);
    assert_body(p, 1, 200, "part\n");
    assert_int_equal(peer_stream(p, 1)->heads, 2);
    assert_string_equal(peer_stream(p, 1)->fields, "x-sum: 42\n");
    peer_free(p);
}

static bool
first_was_reset(const struct peer *p)
{
    return p->streams[0].reset || p->closed;
}

static void
test_abort_is_no_clean_end(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, 1, "/abort");
    peer_wait(p, first_was_reset);
    struct seen *s = peer_stream(p, 1);
    assert_int_equal(s->status, 200);
    assert_int_equal(s->body.len, 5); /* what was queued before it still came */
    assert_false(s->ended);
    assert_int_equal(s->reset_code, NGHTTP2_INTERNAL_ERROR);
    assert_false(p->closed);
    peer_free(p);
}

static void
test_answer_short_of_its_length_is_reset(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, 1, "/short");
    peer_wait(p, first_was_reset);
    assert_false(peer_stream(p, 1)->ended);
    assert_int_equal(peer_stream(p, 1)->reset_code, NGHTTP2_INTERNAL_ERROR);
    peer_free(p);
}

static void
test_head_too_large_to_send_is_reset(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, 1, "/large");
    peer_wait(p, first_was_reset);
    assert_int_equal(peer_stream(p, 1)->status, 0);
    assert_int_equal(peer_stream(p, 1)->reset_code, NGHTTP2_INTERNAL_ERROR);
    peer_get(p, 3, "/hello");
    peer_ping(p);
    assert_body(p, 3, 200, "hello\n");
    peer_free(p);
}

static void
test_early_answer_then_rest_of_body(void **state)
{
    (void)state;
    static char block[16384];
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/early", NULL);
    peer_wait(p, peer_first_ended);
    int64_t answered_ms = clock_mono_ms();
    assert_body(p, 1, 401, "who are you?\n");
    /* A little more is passed over; a lot is stopped, but not before the answer can be read. */
    peer_frame(p, NGHTTP2_DATA, 0, 1, block, sizeof(block));
    peer_ping(p);
    assert_false(peer_stream(p, 1)->reset);
    for (int i = 0; i < 4; i++)
        peer_frame(p, NGHTTP2_DATA, 0, 1, block, sizeof(block));
    peer_ping(p);
    if (clock_mono_ms() - answered_ms < 500) /* a stalled machine shows nothing */
        assert_false(peer_stream(p, 1)->reset);
    peer_wait(p, first_was_reset);
    assert_int_equal(peer_stream(p, 1)->reset_code, NGHTTP2_NO_ERROR);
    peer_get(p, 3, "/hello");
    peer_ping(p);
    assert_body(p, 3, 200, "hello\n");
    assert_int_equal(rig.app.body_bytes, 0);
    peer_free(p);
}

/* What came before the answer does not count: who sends much has as long to hear it. */
static void
test_early_answer_in_the_midst_of_a_long_body(void **state)
{
    (void)state;
    static char block[16384];
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/hold", NULL);
    for (int i = 0; i < 8; i++)
        peer_frame(p, NGHTTP2_DATA, 0, 1, block, sizeof(block));
    peer_ping(p);
    struct exchange *x = rig.app.held;
    assert_non_null(x);
    assert_int_equal(http_reply(x->stream, 413, NULL, 0, SLICE("no")), 0);
    exchange_free(x);
    peer_wait(p, peer_first_ended);
    peer_frame(p, NGHTTP2_DATA, 0, 1, block, sizeof(block));
    peer_ping(p);
    assert_false(peer_stream(p, 1)->reset);
    for (int i = 0; i < 4; i++)
        peer_frame(p, NGHTTP2_DATA, 0, 1, block, sizeof(block));
    peer_wait(p, first_was_reset);
    peer_free(p);
}

/* Beyond a little more the stream's window is not given back: a client that wants to send on must
 * read, and meets the answer. */
static void
test_early_answer_stops_the_client(void **state)
{
    (void)state;
    static char block[16384];
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/early", NULL);
    peer_wait(p, peer_first_ended);
    int64_t answered_ms = clock_mono_ms();
    for (int i = 0; i < 40 && !first_was_reset(p); i++) {
        peer_frame(p, NGHTTP2_DATA, 0, 1, block, sizeof(block));
        peer_ping(p);
    }
    /* 640 KiB into a window of 256: a client that does not heed it broke the protocol. */
    if (clock_mono_ms() - answered_ms < 500) /* else the server may have hung up by itself */
        assert_int_equal(peer_stream(p, 1)->reset_code, NGHTTP2_FLOW_CONTROL_ERROR);
    peer_free(p);
}

/* A client that neither sends on nor ends keeps its stream for a while only. */
static void
test_early_answer_then_silence(void **state)
{
    (void)state;
    rig.limits.head_ms = 300;
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/early", NULL);
    peer_wait(p, first_was_reset);
    assert_body_then_reset(p, 1, 401, NGHTTP2_NO_ERROR);
    peer_free(p);
}

static void
test_expect_continue(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/echo", "expect", "100-continue", NULL);
    peer_ping(p);
    assert_int_equal(peer_stream(p, 1)->status, 100);
    assert_int_equal(peer_stream(p, 1)->heads, 1);
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "now", 3);
    peer_wait(p, peer_first_ended);
    assert_body(p, 1, 200, "now");
    peer_request(p, 3, 0, "POST", "/echo", "expect", "200-maybe", NULL);
    peer_ping(p);
    assert_int_equal(peer_stream(p, 3)->status, 417);
    peer_free(p);
}

/* F008 over HTTP/2: a body announced too large is refused before a 100, one that grows too large is
 * stopped; one byte less passes. */
static void
test_f008_body_limit(void **state)
{
    (void)state;
    rig.limits.body_bytes = 10;
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/echo", "content-length", "11", "expect", "100-continue", NULL);
    peer_wait(p, peer_first_ended);
    assert_int_equal(peer_stream(p, 1)->status, 413);
    assert_int_equal(peer_stream(p, 1)->heads, 1);
    assert_int_equal(rig.app.requests, 0);
    peer_request(p, 3, 0, "POST", "/echo", NULL);
    peer_frame(p, NGHTTP2_DATA, 0, 3, "12345678901", 11);
    peer_ping(p);
    assert_int_equal(peer_stream(p, 3)->status, 413);
    assert_int_equal(rig.app.last_abort, ERR_LIMIT);
    peer_request(p, 5, 0, "POST", "/echo", "content-length", "10", NULL);
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 5, "1234567890", 10);
    peer_ping(p);
    assert_body(p, 5, 200, "1234567890");
    peer_free(p);
}

static void
test_request_fields_are_what_a_handler_may_see(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_request(p, 1, NGHTTP2_FLAG_END_STREAM, "GET", "/fields", "cookie", "a=1", "x-one", "1",
                 "te", "trailers", "cookie", "b=2", "host", "api.example", "trailer", "x-sum",
                 "proxy-authorization", "Basic x", "cookie", "c=3", NULL);
    peer_wait(p, peer_first_ended);
    assert_body(p, 1, 200, "cookie: a=1; b=2; c=3\nx-one: 1\n");
    peer_free(p);
}

/* --- ends ------------------------------------------------------------------------- */

static bool
app_saw_abort(const struct peer *p)
{
    return p->rig->app.aborts > 0;
}

static void
test_client_reset_aborts_the_handler(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, 1, "/hold");
    peer_wait(p, peer_app_has_held);
    peer_frame32(p, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
    peer_wait(p, app_saw_abort);
    assert_int_equal(rig.app.last_abort, ERR_RESET);
    assert_int_equal(rig.app.live, 0);
    peer_get(p, 3, "/hello");
    peer_ping(p);
    assert_body(p, 3, 200, "hello\n");
    peer_free(p);
}

static void
test_client_close_aborts_the_handlers(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, 1, "/hold");
    peer_get(p, 3, "/hold");
    peer_wait(p, peer_app_has_held);
    struct peer *other = peer_new(&rig);
    shutdown(p->fd, SHUT_RDWR);
    p->closed = true;
    watch_fini(&p->watch);
    peer_wait(other, app_saw_abort);
    assert_int_equal(rig.app.live, 0);
    peer_free(p);
    peer_free(other);
}

static void
test_half_close_lets_whole_requests_finish(void **state)
{
    (void)state;
    rig.config.half_close_ok = true;
    struct peer *p = start();
    peer_request(p, 3, 0, "POST", "/echo", NULL);
    peer_get(p, 5, "/hold");
    peer_wait(p, peer_app_has_held);
    shutdown(p->fd, SHUT_WR);
    peer_wait(p, app_saw_abort); /* the one whose body will never come */
    assert_int_equal(rig.app.last_abort, ERR_CLOSED);
    assert_int_equal(rig.app.live, 1);
    struct exchange *x = rig.app.held;
    (void)app_reply(x->stream, 200, SLICE("late\n"));
    exchange_free(x);
    peer_wait(p, peer_is_gone);
    assert_body(p, 5, 200, "late\n");
    peer_free(p);
}

static void
test_half_close_is_the_handlers_choice(void **state)
{
    (void)state;
    rig.config.half_close_ok = true;
    rig.app.hates_half_close = true;
    struct peer *p = start();
    peer_get(p, 1, "/hold");
    peer_wait(p, peer_app_has_held);
    shutdown(p->fd, SHUT_WR);
    peer_wait(p, peer_is_gone);
    assert_int_equal(rig.app.aborts, 1);
    assert_int_equal(rig.app.last_abort, ERR_CLOSED);
    assert_true(peer_stream(p, 1)->reset);
    peer_free(p);
}

static bool
saw_goaway(const struct peer *p)
{
    return p->goaways > 0 || p->closed;
}

static bool
saw_two_goaways(const struct peer *p)
{
    return p->goaways > 1 || p->closed;
}

static void
note_idle(void *ctx)
{
    *(bool *)ctx = true;
}

static void
test_drain_lets_streams_finish(void **state)
{
    (void)state;
    bool idle = false;
    struct peer *p = start();
    p->no_ping_ack = true;
    peer_get(p, 1, "/hold");
    peer_wait(p, peer_app_has_held);
    struct exchange *x = rig.app.held;
    http_server_drain(rig.app.server, note_idle, &idle);
    peer_wait(p, saw_goaway);
    assert_int_equal(p->goaway_code, NGHTTP2_NO_ERROR);
    assert_int_equal(p->goaway_last, INT32_MAX); /* a notice: what is on its way still counts */
    peer_get(p, 3, "/hello");
    peer_ping(p);
    assert_body(p, 3, 200, "hello\n");
    assert_int_equal(p->goaways, 1);
    peer_frame(p, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "\0\0\0\0\0\0\0\0", 8);
    peer_wait(p, saw_two_goaways);
    assert_int_equal(p->goaway_last, 3);
    peer_get(p, 5, "/hello"); /* after the last call: not taken */
    peer_ping(p);
    assert_int_equal(peer_stream(p, 5)->status, 0);
    assert_false(p->closed);
    assert_false(idle);
    (void)app_reply(x->stream, 200, SLICE("bye\n"));
    exchange_free(x);
    peer_wait(p, peer_is_gone);
    assert_body(p, 1, 200, "bye\n");
    assert_true(idle);
    peer_free(p);
}

static void
test_idle_connection_is_closed(void **state)
{
    (void)state;
    rig.limits.keepalive_ms = 200;
    struct peer *p = start();
    assert_sent_away(p, NGHTTP2_NO_ERROR);
    peer_free(p);
}

static void
test_server_free_aborts_all(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, 1, "/hold");
    peer_get(p, 3, "/size/10000000");
    peer_wait(p, peer_app_has_held);
    peer_ping(p);
    http_server_free(rig.app.server);
    assert_int_equal(rig.app.aborts, 2);
    assert_int_equal(rig.app.last_abort, ERR_CANCELLED);
    peer_free(p);
    rig.app.server = http_server_new(rig.loop, &rig.config, &app_handlers, &rig.app);
}

/* Streams that hold all the connection may hold do not starve one that moves. */
static void
test_full_connection_does_not_starve_a_stream(void **state)
{
    (void)state;
    rig.limits.conn_buffer_bytes = 64 * 1024;
    struct peer *p = start();
    peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    for (int32_t id = 1; id < 17; id += 2)
        peer_get(p, id, "/size/1000000");
    peer_get(p, 17, "/size/200000");
    peer_ping(p);
    size_t held_at_most = rig.app.most_pending;
    assert_true(held_at_most <= 64 * 1024 + 16384);
    peer_frame32(p, NGHTTP2_WINDOW_UPDATE, 0, 1 << 20);
    peer_frame32(p, NGHTTP2_WINDOW_UPDATE, 17, 1 << 20);
    peer_ping(p);
    for (int i = 0; i < 100 && !peer_stream(p, 17)->ended; i++)
        peer_ping(p);
    assert_true(peer_stream(p, 17)->ended);
    assert_int_equal(peer_stream(p, 17)->body.len, 200000);
    peer_free(p);
}

static bool
has_ten_megabytes(const struct peer *p)
{
    return p->streams[0].ended;
}

/* The windows are wide open and nobody reads: what the socket does not take stays with the handler.
 */
static void
test_output_nobody_reads_is_bounded(void **state)
{
    (void)state;
    struct peer *p = start(), *other = peer_new(&rig);
    p->no_read = true;
    peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30);
    peer_frame32(p, NGHTTP2_WINDOW_UPDATE, 0, 1 << 30);
    peer_get(p, 1, "/size/10000000");
    peer_flush(p);
    for (int i = 0; i < 20; i++)
        peer_ping(other);
    assert_int_equal(rig.app.live, 1);
    assert_true(rig.app.held_left > 8000000);
    p->no_read = false;
    peer_wait(p, has_ten_megabytes);
    assert_int_equal(peer_stream(p, 1)->body.len, 10000000);
    peer_free(p);
    peer_free(other);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_get_is_answered),
        TEST(test_head_and_body_leave_in_one_write),
        TEST(test_preface_in_single_bytes),
        TEST(test_post_is_echoed_on_many_streams),
        TEST(test_large_answer_keeps_to_the_windows),
        TEST(test_large_request_gets_windows),
        TEST(test_paused_body_waits_and_gets_no_window),
        TEST(test_paused_bodies_do_not_stop_the_connection),
        TEST(test_paused_bodies_are_bounded),
        TEST(test_head_has_no_body),
        TEST(test_head_of_a_streamed_answer_has_no_body),
        TEST(test_204_has_no_length),
        TEST(test_trailers_follow_the_body),
        TEST(test_abort_is_no_clean_end),
        TEST(test_answer_short_of_its_length_is_reset),
        TEST(test_head_too_large_to_send_is_reset),
        TEST(test_early_answer_then_rest_of_body),
        TEST(test_early_answer_in_the_midst_of_a_long_body),
        TEST(test_early_answer_stops_the_client),
        TEST(test_early_answer_then_silence),
        TEST(test_expect_continue),
        TEST(test_f008_body_limit),
        TEST(test_request_fields_are_what_a_handler_may_see),
        TEST(test_client_reset_aborts_the_handler),
        TEST(test_client_close_aborts_the_handlers),
        TEST(test_half_close_lets_whole_requests_finish),
        TEST(test_half_close_is_the_handlers_choice),
        TEST(test_drain_lets_streams_finish),
        TEST(test_idle_connection_is_closed),
        TEST(test_server_free_aborts_all),
        TEST(test_output_nobody_reads_is_bounded),
        TEST(test_full_connection_does_not_starve_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
