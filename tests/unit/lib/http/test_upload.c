/*
 * Uploads: a request's body that is given bit by bit, over both protocols, against a real server
 * that takes it at its leisure. Each byte tells its place, so the server knows one that is lost.
 */
#include "tests/unit/lib/net/net_rig.h"

#include "lib/http/client.h"
#include "lib/http/server.h"

#define PIECE_BYTES ((size_t)48 << 10)
#define SOCKETS_BYTES                                                                              \
    ((size_t)8 << 20) /* what kernels and windows may hold, with room to spare                     \
                       */

static struct loop *loop;
static struct turns turns;
static struct http_limits limits, server_limits;
static struct http_server *server;
static struct listener *listener;
static struct http_client *client;
static struct http_origin *origin;

static char
byte_at(size_t i)
{
    return (char)(i * 2654435761u >> 13);
}

/* --- the upstream --------------------------------------------------------------------------------
 *
 * /take    200 when the body is whole
 * /pause   the same, but it reads nothing until the test lets it
 * /early   a complete 413 before the body
 * /refuse  the head of a 413 at once, and its end when the test says so
 * /good    a complete 200 before the body
 * /drop    nothing: the connection ends, or the stream
 */

static struct upstream {
    struct http_stream *stream;
    size_t requests, bytes, ends, aborts;
    int64_t declared;
    bool is_wrong; /* a byte that is not what it should be */
} up;

static void *
on_request(void *ctx, struct http_stream *s, const struct http_head *head)
{
    (void)ctx;
    up.requests++;
    up.declared = head->content_length;
    if (slice_is(head->path, "/early") || slice_is(head->path, "/good")) {
        assert_int_equal(
            http_reply(s, slice_is(head->path, "/early") ? 413 : 200, NULL, 0, SLICE("at once")),
            0);
        return NULL;
    }
    if (slice_is(head->path, "/drop")) {
        http_abort(s);
        return NULL;
    }
    up.stream = s;
    if (slice_is(head->path, "/pause"))
        http_pause(s);
    if (slice_is(head->path, "/refuse"))
        assert_int_equal(http_respond(s, 413, NULL, 0, 2, false), 0);
    return &up;
}

static void
on_request_body(void *x, struct http_stream *s, struct slice bytes)
{
    (void)x, (void)s;
    for (size_t i = 0; i < bytes.len; i++)
        up.is_wrong |= bytes.at[i] != byte_at(up.bytes + i);
    up.bytes += bytes.len;
}

static void
on_request_end(void *x, struct http_stream *s)
{
    (void)x;
    up.ends++;
    assert_int_equal(http_reply(s, 200, NULL, 0, SLICE("whole")), 0);
    up.stream = NULL;
}

static void
on_request_abort(void *x, struct http_stream *s, int err, const char *why)
{
    (void)x, (void)s, (void)err, (void)why;
    up.aborts++;
    up.stream = NULL;
    loop_stop(loop);
}

static uint64_t
body_limit(void *ctx, const struct http_head *head)
{
    (void)ctx;
    return slice_is(head->path, "/small") ? 1000 : (uint64_t)1 << 30;
}

static const struct http_handlers server_handlers = {.on_request = on_request,
                                                     .body_limit = body_limit,
                                                     .on_body = on_request_body,
                                                     .on_body_end = on_request_end,
                                                     .on_abort = on_request_abort};

static void
on_accept(void *ctx, int fd)
{
    (void)ctx;
    http_server_accept(server, fd, NULL);
}

/* --- the caller ----------------------------------------------------------------------------------
 */

static struct caller {
    struct http_call *call;
    size_t given, size, most_pending;
    int heads, ends, fails, err, status, drained;
    bool waits, no_end;
    char why[64];
} my;

/* Gives until it is told to wait, or all is given. */
static void
give(void)
{
    static char piece[PIECE_BYTES];
    while (my.call && !my.waits && my.given < my.size) {
        size_t n = my.size - my.given < sizeof piece ? my.size - my.given : sizeof piece;
        n = my.given % 7 == 3 && n > 100 ? 100 : n;
        for (size_t i = 0; i < n; i++)
            piece[i] = byte_at(my.given + i);
        int err = http_call_upload(my.call, slice_make(piece, n));
        assert_true(err == 0 || err == ERR_AGAIN);
        my.given += n;
        my.waits = err == ERR_AGAIN;
        if (http_call_upload_pending(my.call) > my.most_pending)
            my.most_pending = http_call_upload_pending(my.call);
    }
    if (my.call && my.given == my.size && !my.no_end) {
        my.no_end = true;
        assert_int_equal(http_call_upload_end(my.call), 0);
    }
}

static void
on_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    (void)ctx, (void)call;
    my.heads++;
    my.status = head->status;
    loop_stop(loop);
}

static void
on_end(void *ctx, struct http_call *call)
{
    (void)ctx, (void)call;
    my.call = NULL;
    my.ends++;
    loop_stop(loop);
}

static void
on_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    (void)ctx, (void)call;
    my.call = NULL;
    my.fails++;
    my.err = err;
    snprintf(my.why, sizeof my.why, "%s", why);
    loop_stop(loop);
}

static void
on_drained(void *ctx, struct http_call *call)
{
    (void)ctx, (void)call;
    assert_true(my.waits);
    my.drained++;
    my.waits = false;
    give();
}

static const struct http_call_handlers handlers = {
    .on_head = on_head, .on_end = on_end, .on_fail = on_fail, .on_upload_drained = on_drained};

static const struct way {
    enum http_protocol protocol;
    bool declares;
} ways[] = {{HTTP_1, true}, {HTTP_1, false}, {HTTP_2, true}, {HTTP_2, false}};

static void
start(const struct way *way, const char *path, size_t size)
{
    my = (struct caller){.size = size};
    up = (struct upstream){.requests = 0};
    const struct http_request r = {
        .method = SLICE("POST"),
        .path = slice_of(path),
        .upload = true,
        .upload_bytes = way->declares ? (int64_t)size : -1,
        .retry_dead = true,
    };
    my.call = http_call_start(client, origin, &r, &handlers, NULL);
    assert_non_null(my.call);
}

static void
open_way(const struct way *way)
{
    int fd;
    const char *why;
    const struct http_server_config config = {
        .limits = &server_limits, .http1 = true, .http2 = true, .half_close_ok = true};
    const struct http_client_config client_config = {.limits = &limits};
    loop = loop_new();
    turns_init(&turns, loop);
    limits = server_limits = http_limits_default;
    server = http_server_new(loop, &config, &server_handlers, NULL);
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    listener = listener_new(loop, fd, on_accept, NULL);
    client = http_client_new(loop, &client_config);
    origin =
        http_origin_get(client, false, SLICE("127.0.0.1"), listener_port(fd), way->protocol, true);
    assert_non_null(origin);
}

static void
close_way(void)
{
    if (my.call)
        http_call_cancel(my.call);
    my.call = NULL;
    http_origin_unref(origin);
    http_client_free(client);
    listener_free(listener);
    http_server_free(server);
    waker_free(turns.waker);
    loop_free(loop);
}

/* Each way, with everything anew. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a name, not an expression */
#define EACH_WAY(way)                                                                              \
    for (const struct way *way = ways; way < ways + 4 && (open_way(way), true); close_way(), way++)
/* NOLINTEND(bugprone-macro-parentheses) */

/* --- what is good --------------------------------------------------------------------------------
 */

static void
test_every_byte_in_order(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        start(way, "/take", ((size_t)9 << 20) + 13);
        give();
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.ends, 1);
        assert_int_equal(my.status, 200);
        assert_int_equal(up.bytes, my.size);
        assert_false(up.is_wrong);
        assert_int_equal(up.ends, 1);
        assert_int_equal(up.declared, way->declares ? (int64_t)my.size : -1);
        assert_true(my.drained > 0);
        assert_true(my.most_pending <= HTTP_UPLOAD_MARK_BYTES + PIECE_BYTES);
        /* The connection is as good as new. */
        start(way, "/take", 10);
        give();
        WAIT(loop, my.ends + my.fails == 1);
        struct http_client_stats stats;
        http_client_get_stats(client, &stats);
        assert_int_equal(stats.connects, 1);
        assert_false(up.is_wrong);
    }
}

static void
test_an_empty_upload(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        start(way, "/take", 0);
        give();
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.ends, 1);
        assert_int_equal(up.bytes, 0);
    }
}

static void
test_pieces_known_at_the_start_go_first(void **state)
{
    char bytes[10];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = byte_at(i);
    EACH_WAY(way)
    {
        const struct slice pieces[] = {slice_make(bytes, 4), slice_make(bytes + 4, 6)};
        struct http_request r = {.method = SLICE("POST"),
                                 .path = SLICE("/take"),
                                 .body = pieces,
                                 .body_count = 2,
                                 .upload = true,
                                 .upload_bytes = way->declares ? 2000 : -1};
        my = (struct caller){.size = 2000, .given = 10};
        up = (struct upstream){.requests = 0};
        my.call = http_call_start(client, origin, &r, &handlers, NULL);
        give();
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(up.bytes, 2000);
        assert_false(up.is_wrong);
        r.upload_bytes = 9; /* fewer than are there */
        assert_null(http_call_start(client, origin, &r, &handlers, NULL));
    }
}

/* --- an upstream that is slow, or silent
 * ----------------------------------------------------------
 */

static void
test_a_slow_upstream_holds_the_caller_back(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        start(way, "/pause", (size_t)24 << 20);
        give();
        WAIT(loop, up.stream != NULL);
        size_t before;
        do { /* until nothing moves any more */
            before = my.given;
            for (int i = 0; i < 50; i++)
                turns_run(&turns);
        } while (my.given != before);
        assert_true(my.waits);
        assert_true(my.given < SOCKETS_BYTES);
        assert_true(my.most_pending <= HTTP_UPLOAD_MARK_BYTES + PIECE_BYTES);
        http_resume(up.stream);
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.ends, 1);
        assert_int_equal(up.bytes, my.size);
        assert_false(up.is_wrong);
    }
}

static void
test_an_upstream_that_takes_nothing_times_out(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        limits.between_bytes_ms = 60;
        start(way, "/pause", (size_t)24 << 20);
        give();
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.err, ERR_TIMEOUT);
        assert_string_equal(my.why, "the upload stalled");
        if (way->protocol == HTTP_1)
            http_resume(up.stream); /* one that reads nothing hears nothing */
        WAIT(loop, up.aborts == 1);
        assert_int_equal(up.ends, 0);
    }
}

static void
test_a_caller_that_gives_nothing_is_bounded_in_all(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        limits.between_bytes_ms = limits.first_byte_ms = 20;
        limits.total_ms = 400;
        start(way, "/take", 1000);
        int64_t began = clock_mono_ms();
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.err, ERR_TIMEOUT);
        assert_true(clock_mono_ms() - began >= 390);
        assert_int_equal(up.ends, 0);
    }
}

static void
test_after_the_end_it_is_the_answer_that_is_waited_for(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        limits.first_byte_ms = 50;
        start(way, "/pause", 1000); /* all of it is out, and nobody reads it */
        give();
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.err, ERR_TIMEOUT);
        assert_string_equal(my.why, "no answer in time");
    }
}

/* --- answers before the end ----------------------------------------------------------------------
 */

static void
test_an_early_answer_ends_it(void **state)
{
    static const char *const paths[] = {"/early", "/good"};
    (void)state;
    for (size_t i = 0; i < 2; i++)
        EACH_WAY(way)
        {
            start(way, paths[i], (size_t)24 << 20);
            give();
            WAIT(loop, my.ends + my.fails == 1);
            assert_int_equal(my.ends, 1);
            assert_int_equal(my.status, i == 0 ? 413 : 200);
            assert_true(my.given < my.size);
            /* Half a request must not be taken for the beginning of the next one. */
            start(way, "/take", 1000);
            give();
            WAIT(loop, my.ends + my.fails == 1);
            assert_int_equal(my.ends, 1);
            assert_int_equal(up.bytes, 1000);
            assert_false(up.is_wrong);
            struct http_client_stats stats;
            http_client_get_stats(client, &stats);
            assert_int_equal(stats.connects, way->protocol == HTTP_2 ? 1 : 2);
        }
}

static void
test_after_an_error_nothing_more_is_sent(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        start(way, "/refuse", (size_t)24 << 20);
        WAIT(loop, my.heads == 1);
        assert_int_equal(my.status, 413);
        give(); /* all is taken, and dropped */
        assert_int_equal(my.given, my.size);
        assert_int_equal(my.most_pending, 0);
        assert_int_equal(http_write(up.stream, SLICE("no")), 0);
        http_end(up.stream, NULL, 0);
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.ends, 1);
        assert_int_equal(up.bytes, 0);
        assert_int_equal(up.ends, 0);
    }
}

static void
test_who_waits_is_told_when_an_error_has_come(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        start(way, "/pause", (size_t)24 << 20);
        give();
        WAIT(loop, up.stream != NULL && my.waits);
        assert_int_equal(http_respond(up.stream, 500, NULL, 0, 2, false), 0);
        WAIT(loop, my.given == my.size);
        assert_int_equal(http_call_upload_pending(my.call), 0);
        http_abort(up.stream);
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.fails, 1);
    }
}

/* --- what must not look whole --------------------------------------------------------------------
 */

static void
test_a_short_upload_is_never_a_clean_end(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        start(way, "/take", 5000);
        my.size = 4000;
        my.no_end = true;
        give();
        WAIT(loop, up.bytes == 4000);
        if (way->declares)
            assert_int_equal(http_call_upload_end(my.call), ERR_TRUNCATED);
        http_call_cancel(my.call);
        my.call = NULL;
        WAIT(loop, up.aborts == 1);
        assert_int_equal(up.ends, 0);
    }
}

/* What was sent is not kept, so a connection that was dead is no reason to begin anew. */
static void
test_an_upload_is_never_tried_again(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        start(way, "/take", 10);
        give();
        WAIT(loop, my.ends == 1);
        start(way, "/drop", 1000); /* on the same connection, which an ordinary call may replace */
        give();
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.fails, 1);
        assert_int_equal(up.requests, 1);
        struct http_client_stats stats;
        http_client_get_stats(client, &stats);
        assert_int_equal(stats.retries, 0);
    }
}

static void
test_more_than_was_declared_is_not_taken(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        if (!way->declares)
            continue;
        start(way, "/take", 10);
        assert_int_equal(http_call_upload(my.call, SLICE("12345678901")), ERR_LIMIT);
        give();
        assert_int_equal(http_call_upload(my.call, SLICE("1")), ERR_BAD_STATE);
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(up.bytes, 10);
    }
}

static void
test_what_waits_is_bounded_whoever_does_not_listen(void **state)
{
    static char much[HTTP_UPLOAD_MOST_BYTES];
    (void)state;
    EACH_WAY(way)
    {
        start(way, "/pause", sizeof much * 4);
        assert_int_equal(http_call_upload(my.call, slice_make(much, sizeof much)), ERR_AGAIN);
        assert_int_equal(http_call_upload(my.call, SLICE("x")), ERR_LIMIT);
        assert_int_equal(http_call_upload_pending(my.call), sizeof much);
    }
}

static void
test_a_call_without_an_upload_has_none(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        const struct http_request r = {.method = SLICE("POST"), .path = SLICE("/take")};
        my = (struct caller){.size = 0};
        my.call = http_call_start(client, origin, &r, &handlers, NULL);
        assert_int_equal(http_call_upload(my.call, SLICE("x")), ERR_BAD_STATE);
        assert_int_equal(http_call_upload_end(my.call), ERR_BAD_STATE);
        WAIT(loop, my.ends == 1);
        (void)way;
    }
}

/* --- cancelling ----------------------------------------------------------------------------------
 */

enum moment { AT_ONCE, QUEUED, CONNECTED, PARTLY, WAITING, ENDED, MOMENTS };

static void
reach(const struct way *way, enum moment moment)
{
    start(way, "/pause", moment == ENDED ? 3000 : (size_t)24 << 20);
    if (moment == AT_ONCE)
        return;
    if (moment == PARTLY) {
        my.size = 70000;
        my.no_end = true;
    }
    if (moment != CONNECTED)
        give();
    if (moment == QUEUED)
        return;
    WAIT(loop, up.stream != NULL);
    if (moment == WAITING)
        WAIT(loop, my.waits);
}

static void
test_cancel_at_any_time(void **state)
{
    (void)state;
    for (int moment = 0; moment < MOMENTS; moment++)
        EACH_WAY(way)
        {
            reach(way, moment);
            bool was_there = up.stream != NULL;
            http_call_cancel(my.call);
            my.call = NULL;
            if (was_there && way->protocol == HTTP_1)
                http_resume(up.stream); /* one that reads nothing hears nothing */
            for (int i = 0; i < 20; i++)
                turns_run(&turns);
            if (was_there && moment != ENDED)
                WAIT(loop, up.aborts == 1);
            assert_int_equal(my.heads + my.fails, 0);
            if (moment != ENDED)
                assert_int_equal(up.ends, 0);
        }
}

/* --- the server's limit of one path --------------------------------------------------------------
 */

static void
test_the_limit_is_of_the_path(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        server_limits.body_bytes = 1000;
        start(way, "/take", 5000);
        give();
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.status, 200);
        assert_int_equal(up.bytes, 5000);
        start(way, "/small", 1000);
        give();
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.status, 200);
        start(way, "/small", 1001);
        give();
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.status, 413);
        assert_int_equal(up.ends, 0);
    }
}

/* What a paused stream made the server hold is not taken from the others for ever. */
static void
test_a_paused_stream_that_ends_gives_its_window_back(void **state)
{
    (void)state;
    EACH_WAY(way)
    {
        for (int i = 0; i < 8; i++) {
            start(way, "/pause", (size_t)24 << 20);
            give();
            WAIT(loop, up.stream != NULL && my.waits);
            for (int turn = 0; turn < 20; turn++)
                turns_run(&turns);
            http_abort(up.stream);
            WAIT(loop, my.ends + my.fails == 1);
            assert_int_equal(my.fails, 1);
        }
        start(way, "/take", (size_t)1 << 20);
        give();
        WAIT(loop, my.ends + my.fails == 1);
        assert_int_equal(my.ends, 1);
        assert_int_equal(up.bytes, my.size);
    }
}

#define TEST(function) cmocka_unit_test(function)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_byte_in_order),
        TEST(test_an_empty_upload),
        TEST(test_pieces_known_at_the_start_go_first),
        TEST(test_a_slow_upstream_holds_the_caller_back),
        TEST(test_an_upstream_that_takes_nothing_times_out),
        TEST(test_a_caller_that_gives_nothing_is_bounded_in_all),
        TEST(test_after_the_end_it_is_the_answer_that_is_waited_for),
        TEST(test_an_early_answer_ends_it),
        TEST(test_after_an_error_nothing_more_is_sent),
        TEST(test_who_waits_is_told_when_an_error_has_come),
        TEST(test_a_short_upload_is_never_a_clean_end),
        TEST(test_an_upload_is_never_tried_again),
        TEST(test_more_than_was_declared_is_not_taken),
        TEST(test_what_waits_is_bounded_whoever_does_not_listen),
        TEST(test_a_call_without_an_upload_has_none),
        TEST(test_cancel_at_any_time),
        TEST(test_the_limit_is_of_the_path),
        TEST(test_a_paused_stream_that_ends_gives_its_window_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
