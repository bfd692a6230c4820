/*
 * The HTTP/2 client against a scripted server: the raw peer of h2_peer.h on the accepting end of a
 * real TCP connection says byte by byte what an upstream might.
 */
#include "tests/unit/lib/http/h2_peer.h"

#include "lib/http/client.h"
#include "lib/net/listener.h"

#define MAX_CALLS 8

struct got {
    struct http_call *call;
    int status, err, sends;
    int64_t length;
    struct buf body;
    char fields[1024];
    bool headed, ended, failed, pause_at_head, cancel_at_body;
};

static struct rig rig;
static struct http_client *client;
static struct http_origin *origin;
static struct listener *listener;
static struct peer *peers[MAX_CALLS]; /* in the order they were accepted */
static size_t peer_count;
static struct got gots[MAX_CALLS];
static int64_t accepted_settings;

static void
on_accept(void *ctx, int fd)
{
    (void)ctx;
    assert_true(peer_count < MAX_CALLS);
    struct peer *p = peer_adopt(&rig, fd);
    p->skip = 24;
    peers[peer_count++] = p;
    if (accepted_settings >= 0)
        peer_setting(p, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)accepted_settings);
    else
        peer_frame(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    peer_flush(p);
    loop_stop(rig.loop);
}

static int
setup(void **state)
{
    (void)state;
    rig_init(&rig);
    const char *why;
    int fd;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    int port = listener_port(fd);
    listener = listener_new(rig.loop, fd, on_accept, NULL);
    assert_non_null(listener);
    const struct http_client_config config = {.limits = &rig.limits};
    client = http_client_new(rig.loop, &config);
    origin = http_origin_get(client, false, SLICE("127.0.0.1"), port, HTTP_2, true);
    assert_non_null(origin);
    peer_count = 0;
    accepted_settings = -1;
    memset(gots, 0, sizeof(gots));
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < MAX_CALLS; i++) {
        if (gots[i].call && !gots[i].ended && !gots[i].failed)
            http_call_cancel(gots[i].call);
        buf_free(&gots[i].body);
    }
    http_origin_unref(origin);
    http_client_free(client);
    listener_free(listener);
    for (size_t i = 0; i < peer_count; i++)
        peer_free(peers[i]);
    rig_fini(&rig);
    return 0;
}

/* --- calls ------------------------------------------------------------------------ */

static bool
on_send(void *ctx, struct http_call *call)
{
    struct got *g = ctx;
    (void)call;
    g->sends++;
    return true;
}

static void
on_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct got *g = ctx;
    size_t used = 0;
    assert_false(g->headed);
    g->headed = true;
    g->status = head->status;
    g->length = head->content_length;
    for (size_t i = 0; i < head->count && used < sizeof(g->fields); i++)
        used += (size_t)snprintf(g->fields + used, sizeof(g->fields) - used, "%.*s: %.*s\n",
                                 SLICE_ARG(head->fields[i].name), SLICE_ARG(head->fields[i].value));
    if (g->pause_at_head)
        http_call_pause(call);
    loop_stop(rig.loop);
}

static void
on_body(void *ctx, struct http_call *call, struct slice bytes)
{
    struct got *g = ctx;
    assert_true(g->headed && !g->ended && !g->failed);
    assert_int_equal(buf_add_slice(&g->body, bytes), 0);
    if (g->cancel_at_body) {
        http_call_cancel(call);
        g->failed = true;
    }
    loop_stop(rig.loop);
}

static void
on_end(void *ctx, struct http_call *call)
{
    struct got *g = ctx;
    (void)call;
    assert_false(g->ended || g->failed);
    g->ended = true;
    loop_stop(rig.loop);
}

static void
on_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    struct got *g = ctx;
    (void)call;
    assert_non_null(why);
    assert_false(g->ended || g->failed);
    g->failed = true;
    g->err = err;
    loop_stop(rig.loop);
}

static const struct http_call_handlers handlers = {.on_head = on_head,
                                                   .on_body = on_body,
                                                   .on_end = on_end,
                                                   .on_fail = on_fail,
                                                   .on_send = on_send};

static struct got *
call_with(size_t i, const struct http_request *r)
{
    gots[i].call = http_call_start(client, origin, r, &handlers, &gots[i]);
    assert_non_null(gots[i].call);
    return &gots[i];
}

static struct got *
get(size_t i)
{
    const struct http_request r = {
        .method = SLICE("GET"), .path = SLICE("/v1/models"), .retry_dead = true};
    return call_with(i, &r);
}

static void
run_until(bool (*ready)(void))
{
    rig.timed_out = false;
    timer_set(&rig.deadline, rig.loop, DEADLINE_MS, rig_on_deadline, &rig);
    while (!ready() && !rig.timed_out) {
        for (size_t i = 0; i < peer_count; i++)
            if (!peers[i]->closed)
                peer_flush(peers[i]);
        loop_run(rig.loop);
    }
    timer_cancel(&rig.deadline);
    if (rig.timed_out)
        fail_msg("nothing happened");
}

static size_t
heads_seen(void)
{
    size_t n = 0;
    for (size_t i = 0; i < peer_count; i++)
        n += peers[i]->frames[NGHTTP2_HEADERS];
    return n;
}

static bool
saw_one_head(void)
{
    return heads_seen() >= 1;
}

static bool
saw_two_heads(void)
{
    return heads_seen() >= 2;
}

static bool
saw_three_heads(void)
{
    return heads_seen() >= 3;
}

static bool
first_is_over(void)
{
    return gots[0].ended || gots[0].failed;
}

static bool
two_are_over(void)
{
    return first_is_over() && (gots[1].ended || gots[1].failed);
}

static bool
three_are_over(void)
{
    return two_are_over() && (gots[2].ended || gots[2].failed);
}

/* Starts one call and waits until the server has it. */
static struct peer *
one_call(void)
{
    (void)get(0);
    run_until(saw_one_head);
    return peers[0];
}

static void
answer_head(struct peer *p, int32_t id, int flags, const char *status, ...)
{
    struct buf b;
    va_list more;
    buf_init(&b, 0);
    if (status)
        put_str(&b, ":status", status);
    va_start(more, status);
    for (const char *name; (name = va_arg(more, const char *)) != NULL;) {
        const char *value = va_arg(more, const char *);
        put_str(&b, name, value);
    }
    va_end(more);
    peer_block(p, id, flags, &b);
}

static void
answer(struct peer *p, int32_t id, const char *body)
{
    answer_head(p, id, 0, "200", "x-id", "7", NULL);
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, body, strlen(body));
}

static void
assert_answered(size_t i, const char *body)
{
    assert_true(gots[i].ended);
    assert_int_equal(gots[i].status, 200);
    assert_int_equal(gots[i].body.len, strlen(body));
    assert_memory_equal(gots[i].body.at, body, strlen(body));
}

/* --- ordinary life ---------------------------------------------------------------- */

static void
test_get(void **state)
{
    (void)state;
    const struct http_field fields[] = {
        {SLICE("authorization"), SLICE("Bearer secret"), false},
        {SLICE("x-mine"), SLICE("secret too"), true},
        {SLICE("x-other"), SLICE("public"), false},
        {SLICE("connection"), SLICE("x-other"), false},
        {SLICE("host"), SLICE("elsewhere"), false},
    };
    const struct http_request r = {.method = SLICE("GET"),
                                   .path = SLICE("/v1/models?x=1"),
                                   .authority = SLICE("api.example"),
                                   .fields = fields,
                                   .count = 5};
    struct got *g = call_with(0, &r);
    run_until(saw_one_head);
    struct peer *p = peers[0];
    assert_string_equal(peer_stream(p, 1)->fields,
                        ":method: GET\n:scheme: http\n:authority: api.example\n"
                        ":path: /v1/models?x=1\n*authorization: Bearer secret\n"
                        "*x-mine: secret too\nx-other: public\n");
    assert_true(peer_stream(p, 1)->ended);
    assert_int_equal(g->sends, 1);
    answer_head(p, 1, 0, "200", "content-length", "5", "content-type", "text/plain", NULL);
    peer_frame(p, NGHTTP2_DATA, 0, 1, "hel", 3);
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "lo", 2);
    run_until(first_is_over);
    assert_answered(0, "hello");
    assert_int_equal(g->length, 5);
    assert_string_equal(g->fields, "content-type: text/plain\n");
}

static struct slice posted[40];
static char big[100000];

static bool
body_has_come(void)
{
    return peer_count > 0 && peers[0]->streams[0].ended;
}

static void
test_post_sends_its_pieces(void **state)
{
    (void)state;
    size_t total = 0;
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)('a' + i % 26);
    /* Small, empty and large ones, more than fit into one frame's list. */
    for (size_t i = 0; i < 40; i++) {
        size_t n = i == 20 ? sizeof(big) : i % 3 == 0 ? 0 : i;
        posted[i] = slice_make(big, n);
        total += n;
    }
    const struct http_request r = {.method = SLICE("POST"),
                                   .path = SLICE("/v1/chat/completions"),
                                   .body = posted,
                                   .body_count = 40};
    (void)call_with(0, &r);
    run_until(saw_one_head);
    /* The windows stop it at 65,535 bytes; then they open. */
    peer_frame32(peers[0], NGHTTP2_WINDOW_UPDATE, 0, 1 << 20);
    peer_frame32(peers[0], NGHTTP2_WINDOW_UPDATE, 1, 1 << 20);
    run_until(body_has_come);
    struct seen *s = peer_stream(peers[0], 1);
    assert_int_equal(s->body.len, total);
    size_t at = 0;
    for (size_t i = 0; i < 40; i++) {
        assert_memory_equal(s->body.at + at, posted[i].at, posted[i].len);
        at += posted[i].len;
    }
    char length[64];
    snprintf(length, sizeof(length), "content-length: %zu\n", total);
    assert_non_null(strstr(s->fields, length));
    answer(peers[0], 1, "ok");
    run_until(first_is_over);
    assert_answered(0, "ok");
}

static void
test_calls_share_a_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        (void)get(i);
    run_until(saw_three_heads);
    assert_int_equal(peer_count, 1);
    answer(peers[0], 5, "third");
    answer(peers[0], 1, "first");
    answer(peers[0], 3, "second");
    run_until(three_are_over);
    assert_answered(0, "first");
    assert_answered(1, "second");
    assert_answered(2, "third");
    struct http_client_stats stats;
    http_client_get_stats(client, &stats);
    assert_int_equal(stats.connects, 1);
}

static void
test_connection_is_used_again(void **state)
{
    (void)state;
    struct peer *p = one_call();
    answer(p, 1, "one");
    run_until(first_is_over);
    (void)get(1);
    run_until(saw_two_heads);
    assert_int_equal(peer_count, 1);
    answer(p, 3, "two");
    run_until(two_are_over);
    assert_answered(1, "two");
}

static void
test_peers_limit_of_streams_is_kept(void **state)
{
    (void)state;
    accepted_settings = 1;
    struct peer *p = one_call();
    peer_ping(p); /* our client has seen the limit */
    (void)get(1);
    run_until(saw_two_heads);
    assert_int_equal(peer_count, 2); /* another connection, not another stream */
    answer(peers[0], 1, "one");
    answer(peers[1], 1, "two");
    run_until(two_are_over);
    assert_answered(0, "one");
    assert_answered(1, "two");
}

static bool
first_has_head(void)
{
    return gots[0].headed || gots[0].failed;
}

static bool
second_is_over(void)
{
    return gots[1].ended || gots[1].failed;
}

/* A paused call takes its window and no more; others of the connection go on. */
static void
test_paused_call_holds_only_itself(void **state)
{
    (void)state;
    static char block[16384];
    gots[0].pause_at_head = true;
    struct peer *p = one_call();
    (void)get(1);
    run_until(saw_two_heads);
    answer_head(p, 1, 0, "200", NULL);
    run_until(first_has_head);
    for (int i = 0; i < 8; i++) /* its whole window */
        peer_frame(p, NGHTTP2_DATA, i == 7 ? NGHTTP2_FLAG_END_STREAM : 0, 1, block, sizeof(block));
    answer(p, 3, "other");
    run_until(second_is_over);
    assert_answered(1, "other");
    assert_int_equal(gots[0].body.len, 0);
    assert_false(gots[0].ended);
    http_call_resume(gots[0].call);
    run_until(first_is_over);
    assert_true(gots[0].ended);
    assert_int_equal(gots[0].body.len, 8 * sizeof(block));
}

/* The connection may even be gone before a paused call takes the rest. */
static void
test_whole_answer_outlives_its_connection(void **state)
{
    (void)state;
    gots[0].pause_at_head = true;
    struct peer *p = one_call();
    answer(p, 1, "kept");
    run_until(first_has_head);
    (void)get(1);
    run_until(saw_two_heads);
    shutdown(p->fd, SHUT_RDWR);
    run_until(second_is_over);
    assert_int_equal(gots[1].err, ERR_RESET);
    assert_false(gots[0].failed);
    http_call_resume(gots[0].call);
    run_until(first_is_over);
    assert_answered(0, "kept");
}

static bool
cancel_was_seen(void)
{
    return peers[0]->resets > 0;
}

static void
test_cancel_resets_one_stream(void **state)
{
    (void)state;
    struct peer *p = one_call();
    (void)get(1);
    run_until(saw_two_heads);
    http_call_cancel(gots[0].call);
    gots[0].failed = true;
    run_until(cancel_was_seen);
    assert_true(peer_stream(p, 1)->reset);
    assert_int_equal(peer_stream(p, 1)->reset_code, NGHTTP2_CANCEL);
    answer(p, 1, "too late");
    answer(p, 3, "in time");
    run_until(second_is_over);
    assert_answered(1, "in time");
    assert_int_equal(gots[0].body.len, 0);
}

static void
test_cancel_inside_a_callback(void **state)
{
    (void)state;
    gots[0].cancel_at_body = true;
    struct peer *p = one_call();
    answer_head(p, 1, 0, "200", NULL);
    peer_frame(p, NGHTTP2_DATA, 0, 1, "a", 1);
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "b", 1);
    run_until(first_is_over);
    (void)get(1);
    run_until(saw_two_heads);
    answer(p, 3, "fine");
    run_until(second_is_over);
    assert_answered(1, "fine");
    assert_int_equal(gots[0].body.len, 1);
}

static void
test_cancel_before_the_connection_is_there(void **state)
{
    (void)state;
    (void)get(0);
    http_call_cancel(gots[0].call);
    gots[0].failed = true;
    (void)get(1);
    run_until(saw_one_head);
    answer(peers[0], 1, "ok");
    run_until(second_is_over);
    assert_answered(1, "ok");
}

static void
test_answer_before_the_request_is_whole(void **state)
{
    (void)state;
    const struct slice body = slice_make(big, sizeof(big)); /* more than the window */
    const struct http_request r = {
        .method = SLICE("POST"), .path = SLICE("/x"), .body = &body, .body_count = 1};
    (void)call_with(0, &r);
    run_until(saw_one_head);
    answer_head(peers[0], 1, 0, "401", NULL);
    peer_frame(peers[0], NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "no", 2);
    run_until(first_is_over);
    assert_true(gots[0].ended);
    assert_int_equal(gots[0].status, 401);
    run_until(cancel_was_seen);
    assert_int_equal(peer_stream(peers[0], 1)->reset_code, NGHTTP2_NO_ERROR);
}

/* --- F069, F058, F059: what was processed and what was not ------------------------ */

static void
goaway(struct peer *p, int32_t last)
{
    unsigned char payload[8] = {0};
    put32(payload, (uint32_t)last);
    peer_frame(p, NGHTTP2_GOAWAY, 0, 0, payload, sizeof(payload));
}

static void
test_f069_goaway_below_a_call(void **state)
{
    (void)state;
    struct peer *p = one_call();
    (void)get(1);
    run_until(saw_two_heads);
    goaway(p, 1); /* the first will be answered, the second was not looked at */
    run_until(saw_three_heads);
    assert_int_equal(peer_count, 2);
    answer(peers[1], 1, "again");
    answer(p, 1, "old");
    run_until(two_are_over);
    assert_answered(0, "old");
    assert_answered(1, "again");
    assert_int_equal(gots[1].sends, 2);
    struct http_client_stats stats;
    http_client_get_stats(client, &stats);
    assert_int_equal(stats.retries, 1);
}

static void
test_f069_new_calls_avoid_a_connection_that_goes(void **state)
{
    (void)state;
    struct peer *p = one_call();
    goaway(p, INT32_MAX); /* a notice: nothing is lost, but no more here */
    peer_ping(p);
    (void)get(1);
    run_until(saw_two_heads);
    assert_int_equal(peer_count, 2);
    answer(p, 1, "old");
    answer(peers[1], 1, "new");
    run_until(two_are_over);
    assert_answered(0, "old");
    assert_answered(1, "new");
}

static void
test_f069_refused_stream_is_tried_once_more(void **state)
{
    (void)state;
    struct peer *p = one_call();
    peer_frame32(p, NGHTTP2_RST_STREAM, 1, NGHTTP2_REFUSED_STREAM);
    run_until(saw_two_heads);
    assert_false(gots[0].failed);
    peer_frame32(p, NGHTTP2_RST_STREAM, 3, NGHTTP2_REFUSED_STREAM);
    run_until(first_is_over);
    assert_true(gots[0].failed);
    assert_int_equal(gots[0].err, ERR_RESET);
    assert_int_equal(gots[0].sends, 2);
}

static void
test_f058_reset_before_the_head_is_not_repeated(void **state)
{
    (void)state;
    struct peer *p = one_call();
    peer_frame32(p, NGHTTP2_RST_STREAM, 1, NGHTTP2_INTERNAL_ERROR);
    run_until(first_is_over);
    assert_int_equal(gots[0].err, ERR_RESET);
    assert_int_equal(gots[0].sends, 1);
}

static void
test_f058_reset_within_the_body(void **state)
{
    (void)state;
    struct peer *p = one_call();
    answer_head(p, 1, 0, "200", NULL);
    peer_frame(p, NGHTTP2_DATA, 0, 1, "half", 4);
    peer_frame32(p, NGHTTP2_RST_STREAM, 1, NGHTTP2_INTERNAL_ERROR);
    run_until(first_is_over);
    assert_true(gots[0].failed);
    assert_int_equal(gots[0].err, ERR_RESET);
    assert_int_equal(gots[0].body.len, 4);
}

static void
test_f059_connection_closed_within_the_body(void **state)
{
    (void)state;
    struct peer *p = one_call();
    answer_head(p, 1, 0, "200", NULL);
    peer_frame(p, NGHTTP2_DATA, 0, 1, "half", 4);
    peer_flush(p);
    shutdown(p->fd, SHUT_WR);
    run_until(first_is_over);
    assert_true(gots[0].failed);
    assert_int_equal(gots[0].err, ERR_TRUNCATED);
}

static void
test_f059_connection_closed_before_the_head(void **state)
{
    (void)state;
    struct peer *p = one_call();
    shutdown(p->fd, SHUT_WR);
    run_until(first_is_over);
    assert_int_equal(gots[0].err, ERR_RESET);
    assert_int_equal(gots[0].sends, 1); /* it may have been processed */
}

static void
test_f069_idle_connection_is_sent_away(void **state)
{
    (void)state;
    struct peer *p = one_call();
    answer(p, 1, "one");
    run_until(first_is_over);
    goaway(p, 1);
    peer_wait(p, peer_is_gone); /* our client closes it: it is of no more use */
    (void)get(1);
    run_until(saw_two_heads);
    answer(peers[1], 1, "two");
    run_until(second_is_over);
    assert_answered(1, "two");
}

/* --- F066, F068: answers that must not pass --------------------------------------- */

static void
expect_failure(struct peer *p, int err)
{
    run_until(first_is_over);
    assert_true(gots[0].failed);
    assert_int_equal(gots[0].err, err);
    assert_int_equal(gots[0].sends, 1);
    (void)p;
}

struct bad {
    const char *status;
    const char *name;
    struct slice value;
};

static const struct bad bads[] = {
    {NULL, NULL, {0}},
    {"", NULL, {0}},
    {"20", NULL, {0}},
    {"abc", NULL, {0}},
    {"101", NULL, {0}},
    {"099", NULL, {0}},
    {"200", ":status", SLICE("200")},
    {"200", ":path", SLICE("/")},
    {"200", "X-Upper", SLICE("a")},
    {"200", "x", SLICE("a\nb")},
    {"200", "x", SLICE("a\0b")},
    {"200", "x", SLICE("a ")},
    {"200", "connection", SLICE("close")},
    {"200", "transfer-encoding", SLICE("chunked")},
    {"200", "content-length", SLICE("+4")},
    {"200", "content-length", SLICE("4, 4")},
};

static void
test_f068_malformed_heads(void **state)
{
    (void)state;
    /* One after the other on one connection: a stream error costs only its stream. */
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        const struct bad *b = &bads[i];
        memset(&gots[0], 0, sizeof(gots[0]));
        (void)get(0);
        size_t heads = heads_seen();
        while (heads_seen() == heads)
            loop_run(rig.loop);
        int32_t id = (int32_t)(2 * i + 1);
        struct buf block;
        buf_init(&block, 0);
        if (b->status)
            put_str(&block, ":status", b->status);
        if (b->name)
            put_field(&block, slice_of(b->name), b->value);
        peer_block(peers[0], id, 0, &block);
        peer_frame(peers[0], NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, "body", 4);
        run_until(first_is_over);
        if (!gots[0].failed || gots[0].err != ERR_PROTOCOL || gots[0].headed)
            fail_msg("case %zu passed: failed %d err %d", i, gots[0].failed, gots[0].err);
    }
    assert_int_equal(peer_count, 1);
}

static void
test_f068_length_and_data_disagree(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        memset(&gots[0], 0, sizeof(gots[0]));
        size_t heads = heads_seen();
        (void)get(0);
        while (heads_seen() == heads)
            loop_run(rig.loop);
        int32_t id = over ? 3 : 1;
        answer_head(peers[0], id, 0, "200", "content-length", "4", NULL);
        peer_frame(peers[0], NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, "12345", over ? 5 : 3);
        expect_failure(peers[0], ERR_PROTOCOL);
        buf_free(&gots[0].body);
    }
}

static void
test_f068_data_before_a_head(void **state)
{
    (void)state;
    struct peer *p = one_call();
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "body", 4);
    expect_failure(p, ERR_PROTOCOL);
}

static void
test_f068_trailers_with_pseudo_fields(void **state)
{
    (void)state;
    struct peer *p = one_call();
    answer_head(p, 1, 0, "200", NULL);
    answer_head(p, 1, NGHTTP2_FLAG_END_STREAM, "200", NULL);
    expect_failure(p, ERR_PROTOCOL);
}

static void
test_trailers_are_dropped(void **state)
{
    (void)state;
    struct peer *p = one_call();
    answer_head(p, 1, 0, "200", NULL);
    peer_frame(p, NGHTTP2_DATA, 0, 1, "body", 4);
    answer_head(p, 1, NGHTTP2_FLAG_END_STREAM, NULL, "x-sum", "1", NULL);
    run_until(first_is_over);
    assert_answered(0, "body");
    assert_string_equal(gots[0].fields, "");
}

static void
send_informational(struct peer *p, int count)
{
    for (int i = 0; i < count; i++)
        answer_head(p, 1, 0, "103", "link", "</x>", NULL);
    answer_head(p, 1, NGHTTP2_FLAG_END_STREAM, "200", "x", "1", NULL);
}

static void
test_f066_eight_informational_answers_pass(void **state)
{
    (void)state;
    send_informational(one_call(), 8);
    run_until(first_is_over);
    assert_answered(0, "");
    assert_string_equal(gots[0].fields, "x: 1\n");
}

static void
test_f066_nine_do_not(void **state)
{
    (void)state;
    struct peer *p = one_call();
    send_informational(p, 9);
    expect_failure(p, ERR_PROTOCOL);
}

static void
test_f066_head_too_large(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        memset(&gots[0], 0, sizeof(gots[0]));
        size_t heads = heads_seen();
        (void)get(0);
        while (heads_seen() == heads)
            loop_run(rig.loop);
        struct buf b;
        buf_init(&b, 0);
        put_str(&b, ":status", "200");
        for (int i = 0; i < 100 + over; i++)
            put_str(&b, "x-a", "1");
        peer_block(peers[0], over ? 3 : 1, NGHTTP2_FLAG_END_STREAM, &b);
        run_until(first_is_over);
        assert_int_equal(gots[0].err, over ? ERR_LIMIT : 0);
        assert_int_equal(gots[0].ended, !over);
    }
}

static void
test_upstream_that_pushes_or_floods(void **state)
{
    (void)state;
    struct peer *p = one_call();
    peer_frame(p, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, "\0\0\0\2\x82", 5);
    expect_failure(p, ERR_PROTOCOL);
    memset(&gots[0], 0, sizeof(gots[0]));
    (void)get(0);
    run_until(saw_two_heads);
    assert_int_equal(peer_count, 2);
    for (int i = 0; i < 50000; i++)
        peer_frame(peers[1], NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    expect_failure(peers[1], ERR_LIMIT);
}

static void
test_upstream_that_is_not_http2(void **state)
{
    (void)state;
    (void)get(0);
    run_until(saw_one_head);
    peer_bytes(peers[0], "HTTP/1.1 200 OK\r\n\r\n", 19);
    run_until(first_is_over);
    assert_true(gots[0].failed);
}

static void
test_field_that_is_none_fails_the_call(void **state)
{
    (void)state;
    const struct http_field bad = {SLICE("x-a"), SLICE("1\r\nx-b: 2"), false};
    const struct http_request r = {
        .method = SLICE("GET"), .path = SLICE("/"), .fields = &bad, .count = 1};
    (void)call_with(0, &r);
    (void)get(1);
    run_until(first_is_over);
    assert_true(gots[0].failed);
    assert_int_equal(gots[0].err, ERR_SYNTAX);
    run_until(saw_one_head);
    answer(peers[0], 1, "ok");
    run_until(second_is_over);
    assert_answered(1, "ok");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_get),
        TEST(test_post_sends_its_pieces),
        TEST(test_calls_share_a_connection),
        TEST(test_connection_is_used_again),
        TEST(test_peers_limit_of_streams_is_kept),
        TEST(test_paused_call_holds_only_itself),
        TEST(test_whole_answer_outlives_its_connection),
        TEST(test_cancel_resets_one_stream),
        TEST(test_cancel_inside_a_callback),
        TEST(test_cancel_before_the_connection_is_there),
        TEST(test_answer_before_the_request_is_whole),
        TEST(test_f069_goaway_below_a_call),
        TEST(test_f069_new_calls_avoid_a_connection_that_goes),
        TEST(test_f069_refused_stream_is_tried_once_more),
        TEST(test_f058_reset_before_the_head_is_not_repeated),
        TEST(test_f058_reset_within_the_body),
        TEST(test_f059_connection_closed_within_the_body),
        TEST(test_f059_connection_closed_before_the_head),
        TEST(test_f069_idle_connection_is_sent_away),
        TEST(test_f068_malformed_heads),
        TEST(test_f068_length_and_data_disagree),
        TEST(test_f068_data_before_a_head),
        TEST(test_f068_trailers_with_pseudo_fields),
        TEST(test_trailers_are_dropped),
        TEST(test_f066_eight_informational_answers_pass),
        TEST(test_f066_nine_do_not),
        TEST(test_f066_head_too_large),
        TEST(test_upstream_that_pushes_or_floods),
        TEST(test_upstream_that_is_not_http2),
        TEST(test_field_that_is_none_fails_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
