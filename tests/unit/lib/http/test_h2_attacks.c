/*
 * Hostile HTTP/2 clients (faults F031 to F049): each attack is absorbed, and another connection of
 * the same server is still served.
 */
#include "tests/unit/lib/http/h2_peer.h"

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
    if (!rig.app.server)
        rig_start(&rig);
    return peer_new(&rig);
}

/* A connection that is ended with this code, and a server that lives. */
static void
end_attack(struct peer *p, uint32_t code)
{
    assert_sent_away(p, code);
    peer_free(p);
    assert_alive(&rig);
}

static void
assert_reset(struct peer *p, int32_t id, uint32_t code)
{
    peer_ping(p);
    assert_true(peer_stream(p, id)->reset);
    assert_int_equal(peer_stream(p, id)->reset_code, code);
    assert_int_equal(peer_stream(p, id)->status, 0);
}

static void
assert_status(struct peer *p, int32_t id, int status)
{
    peer_ping(p);
    assert_int_equal(peer_stream(p, id)->status, status);
    assert_true(peer_stream(p, id)->ended);
}

/* --- F031, F033: resets ----------------------------------------------------------- */

static void
send_pairs(struct peer *p, int32_t first, int count)
{
    for (int32_t id = first; id < first + 2 * count; id += 2) {
        peer_get(p, id, "/hold");
        peer_frame32(p, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
    }
}

static void
test_f031_rapid_reset(void **state)
{
    (void)state;
    struct peer *p = start();
    send_pairs(p, 1, 100000);
    assert_sent_away(p, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(rig.app.requests <= LIMIT_H2_RESET_BURST + 100);
    assert_true(rig.app.requests > 0);
    assert_true(rig.app.most_live <= 128);
    assert_int_equal(rig.app.live, 0); /* whatever was started was cancelled */
    struct http_server_stats stats;
    http_server_get_stats(rig.app.server, &stats);
    assert_int_equal(stats.glitch_closes, 1);
    peer_free(p);
    assert_alive(&rig);
}

static void
test_f031_resets_below_the_budget_pass(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct peer *p = start();
        send_pairs(p, 1, 500);
        peer_get(p, 2001, "/hello");
        peer_ping(p);
        assert_int_equal(p->goaways, 0);
        assert_status(p, 2001, 200);
        peer_free(p);
    }
    assert_true(rig.app.most_live <= 128);
}

/* A window that overflows makes the server reset the stream: that is charged like the client's own.
 */
static void
test_f033_made_you_reset(void **state)
{
    (void)state;
    struct peer *p = start();
    for (int32_t id = 1; id < 2 * 100000; id += 2) {
        peer_get(p, id, "/hold");
        peer_frame32(p, NGHTTP2_WINDOW_UPDATE, id, INT32_MAX);
    }
    assert_sent_away(p, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(rig.app.requests <= LIMIT_H2_RESET_BURST + 2500);
    assert_true(rig.app.most_live <= 128);
    assert_int_equal(rig.app.live, 0);
    peer_free(p);
    assert_alive(&rig);
}

static void
test_f033_other_primitives_end_the_connection(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        struct peer *p = start();
        uint32_t code = NGHTTP2_PROTOCOL_ERROR;
        peer_get(p, 1, "/hold");
        switch (kind) {
        case 0:
            peer_frame32(p, NGHTTP2_WINDOW_UPDATE, 1, 0);
            break;
        case 1:
            peer_frame(p, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\0", 4);
            code = NGHTTP2_FRAME_SIZE_ERROR;
            break;
        case 2:
            peer_frame(p, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\1\0", 5); /* on itself */
            break;
        case 3:
            peer_get(p, 1, "/hold");
            code = NGHTTP2_STREAM_CLOSED;
            break;
        default:
            peer_frame(p, NGHTTP2_DATA, 0, 1, "x", 1);
            code = NGHTTP2_STREAM_CLOSED;
            break;
        }
        end_attack(p, code);
        assert_int_equal(rig.app.live, 0);
    }
}

/* --- F032, F046: header blocks that do not end ------------------------------------ */

static void
open_block(struct peer *p, int32_t id, const char *path)
{
    struct buf b;
    buf_init(&b, 0);
    put_request(&b, "GET", path);
    peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, id, b.at, b.len);
    buf_free(&b);
}

static void
test_f032_continuation_flood(void **state)
{
    (void)state;
    for (int empty = 0; empty < 2; empty++) {
        struct peer *p = start();
        open_block(p, 1, "/hello");
        for (int i = 0; i < 100000; i++)
            peer_frame(p, NGHTTP2_CONTINUATION, 0, 1, "\0\1a\1b", empty ? 0 : 5);
        end_attack(p, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    assert_int_equal(rig.app.requests, 2); /* those of assert_alive */
}

static void
test_f032_nine_are_too_many_and_eight_are_not(void **state)
{
    (void)state;
    for (int count = 8; count <= 9; count++) {
        struct peer *p = start();
        open_block(p, 1, "/hello");
        for (int i = 1; i <= count; i++)
            peer_frame(p, NGHTTP2_CONTINUATION, i == count ? NGHTTP2_FLAG_END_HEADERS : 0, 1,
                       "\0\1a\1b", 5);
        if (count == 8) {
            assert_status(p, 1, 200);
            peer_free(p);
        } else {
            end_attack(p, NGHTTP2_ENHANCE_YOUR_CALM);
        }
    }
}

/* Eight frames in single bytes are still eight. */
static void
test_f032_pieces_are_not_frames(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_ping(p);
    open_block(p, 1, "/hello");
    for (int i = 1; i <= 8; i++)
        peer_frame(p, NGHTTP2_CONTINUATION, i == 8 ? NGHTTP2_FLAG_END_HEADERS : 0, 1, "\0\1a\1b",
                   5);
    struct buf all = p->out;
    buf_init(&p->out, 0);
    for (size_t i = 0; i < all.len; i++) {
        assert_int_equal(send(p->fd, all.at + i, 1, MSG_NOSIGNAL), 1);
        struct timer t = {.loop = NULL};
        timer_set(&t, rig.loop, 0, rig_stop_loop, rig.loop);
        loop_run(rig.loop);
        timer_cancel(&t);
    }
    buf_free(&all);
    assert_status(p, 1, 200);
    peer_free(p);
}

static void
test_f046_head_that_never_ends(void **state)
{
    (void)state;
    rig.limits.head_ms = 300;
    struct peer *p = start();
    peer_ping(p);
    open_block(p, 1, "/hello");
    end_attack(p, NGHTTP2_ENHANCE_YOUR_CALM);
    struct http_server_stats stats;
    http_server_get_stats(rig.app.server, &stats);
    assert_int_equal(stats.head_timeouts, 1);
    /* Also when only half of the frame has come. */
    p = start();
    peer_ping(p);
    peer_frame_head(p, 50, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1);
    peer_bytes(p, "\0\1", 2);
    end_attack(p, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* --- F034, F035, F037, F038: frames without use ----------------------------------- */

static bool
has_no_connection(const struct peer *p)
{
    struct http_server_stats stats;
    http_server_get_stats(p->rig->app.server, &stats);
    return stats.connections == 0;
}

static void
test_f034_ping_flood(void **state)
{
    (void)state;
    struct peer *p = start();
    for (int i = 0; i < 1000000; i++)
        peer_frame(p, NGHTTP2_PING, 0, 0, "01234567", 8);
    end_attack(p, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* The acknowledgements are not read either: a bounded number is held. */
static void
test_f034_ping_flood_without_reading(void **state)
{
    (void)state;
    struct peer *p = start();
    p->no_read = true;
    for (int i = 0; i < 1000000; i++)
        peer_frame(p, NGHTTP2_PING, 0, 0, "01234567", 8);
    peer_wait(p, has_no_connection);
    peer_free(p);
    assert_alive(&rig);
}

static void
test_f035_settings_flood(void **state)
{
    (void)state;
    struct peer *p = start();
    for (int i = 0; i < 100000; i++)
        peer_frame(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    end_attack(p, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void
test_f035_too_many_settings_in_one(void **state)
{
    (void)state;
    static const unsigned char entry[6] = {0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0, 0, 1, 0};
    unsigned char payload[33 * 6];
    for (size_t i = 0; i < 33; i++)
        memcpy(payload + 6 * i, entry, 6);
    struct peer *p = start();
    peer_frame(p, NGHTTP2_SETTINGS, 0, 0, payload, 32 * 6);
    peer_get(p, 1, "/hello");
    assert_status(p, 1, 200);
    peer_frame(p, NGHTTP2_SETTINGS, 0, 0, payload, 33 * 6);
    peer_wait(p, peer_is_gone);
    assert_true(p->goaways > 0);
    peer_free(p);
    assert_alive(&rig);
}

/* With many streams open each change of the window costs more, and is charged more. */
static void
test_f035_window_toggled_under_many_streams(void **state)
{
    (void)state;
    struct peer *p = start();
    for (int32_t id = 1; id < 2 * 128; id += 2)
        peer_get(p, id, "/hold");
    peer_ping(p);
    assert_int_equal(rig.app.live, 128);
    size_t acks = p->settings_acks;
    for (uint32_t i = 0; i < 100000; i++)
        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, i % 2 ? 65535 : 1);
    assert_sent_away(p, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(p->settings_acks - acks < LIMIT_H2_GLITCH_BURST / 16);
    assert_int_equal(rig.app.live, 0);
    peer_free(p);
    assert_alive(&rig);
}

static void
test_f035_huge_table_is_not_used(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_setting(p, NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, UINT32_MAX);
    for (int32_t id = 1; id < 100; id += 2)
        peer_get(p, id, "/hello");
    assert_status(p, 99, 200); /* decoded with a table of 4096 */
    peer_free(p);
}

static void
test_f035_settings_never_acknowledged(void **state)
{
    (void)state;
    rig.limits.head_ms = 300;
    rig_start(&rig);
    struct peer *p = peer_new(&rig);
    p->no_settings_ack = true;
    end_attack(p, NGHTTP2_SETTINGS_TIMEOUT);
}

static void
test_f037_windows_of_one_byte(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    peer_setting(p, NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 16777215);
    peer_get(p, 1, "/size/500");
    for (int i = 0; i < 500; i++) {
        peer_frame32(p, NGHTTP2_WINDOW_UPDATE, 1, 1);
        if (i % 50 == 0)
            peer_ping(p);
    }
    assert_status(p, 1, 200);
    assert_int_equal(peer_stream(p, 1)->body.len, 500);
    peer_get(p, 3, "/size/1000000");
    for (int i = 0; i < 100000; i++)
        peer_frame32(p, NGHTTP2_WINDOW_UPDATE, 3, 1);
    end_attack(p, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void
test_f037_bodies_of_one_byte_a_frame(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/echo", NULL);
    for (int i = 0; i < 5000; i++)
        peer_frame(p, NGHTTP2_DATA, i == 4999, 1, "x", 1);
    assert_status(p, 1, 200);
    assert_int_equal(peer_stream(p, 1)->body.len, 5000);
    peer_request(p, 3, 0, "POST", "/echo", NULL);
    for (int i = 0; i < 100000; i++)
        peer_frame(p, NGHTTP2_DATA, 0, 3, "x", 1);
    end_attack(p, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void
useless_frame(struct peer *p, int kind)
{
    static const char padding[256] = {(char)255};
    switch (kind) {
    case 0:
        peer_frame(p, NGHTTP2_DATA, 0, 1, NULL, 0);
        break;
    case 1:
        peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, padding, 256);
        break;
    case 2:
        peer_frame(p, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\3\7", 5);
        break;
    case 3:
        peer_frame(p, 0x10, 0, 0, "\0\0\0\1u=1", 7); /* PRIORITY_UPDATE */
        break;
    default:
        peer_frame(p, 0xbe, 0, 0, "whatever", 8);
        break;
    }
}

static void
test_f038_useless_frames(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        struct peer *p = start();
        peer_request(p, 1, 0, "POST", "/hold", NULL);
        /* A good number passes, where flow control lets it. */
        for (int i = 0; i < (kind == 1 ? 200 : 9000); i++)
            useless_frame(p, kind);
        peer_ping(p);
        assert_int_equal(p->goaways, 0);
        for (int i = 0; i < 1000000 / (kind == 1 ? 50 : 1); i++)
            useless_frame(p, kind);
        peer_wait(p, peer_is_gone);
        assert_int_equal(p->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
        peer_free(p);
        assert_alive(&rig);
    }
}

/* nghttp2 would decode and pass over what comes for a stream that is over, for ever. */
static void
test_f043_frames_for_closed_streams(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct peer *p = start();
        if (kind < 2) {
            peer_get(p, 1, "/hello"); /* closed by END_STREAM, and answered */
            peer_ping(p);
        } else {
            peer_request(p, 1, 0, "POST", "/hold", NULL); /* closed by RST_STREAM */
            peer_frame32(p, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
        }
        if (kind % 2 == 0)
            peer_get(p, 1, "/hello");
        else
            peer_frame(p, NGHTTP2_DATA, 0, 1, "x", 1);
        end_attack(p, NGHTTP2_STREAM_CLOSED);
    }
}

/* What the client cannot know yet is no fault: we have reset the stream, it still sends. */
static void
test_f043_frames_for_streams_we_reset(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/abort", NULL);
    peer_ping(p);
    assert_true(peer_stream(p, 1)->reset);
    peer_frame(p, NGHTTP2_DATA, 0, 1, "late", 4);
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "late", 4);
    peer_get(p, 3, "/hello");
    assert_status(p, 3, 200);
    assert_int_equal(p->goaways, 0);
    peer_free(p);
}

/* --- F036: windows that never open ------------------------------------------------ */

static bool
all_aborted(const struct peer *p)
{
    return p->rig->app.live == 0 || p->closed;
}

static void
test_f036_zero_window(void **state)
{
    (void)state;
    rig.limits.write_stall_ms = 1000; /* half of it without a window */
    struct peer *p = start();
    peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    for (int32_t id = 1; id < 2 * 128; id += 2)
        peer_get(p, id, "/size/1048576");
    peer_ping(p);
    assert_int_equal(rig.app.live, 128); /* all wait: nothing is buffered beyond the bounds */
    assert_true(rig.app.most_pending <= rig.limits.stream_buffer_bytes + 16384);
    assert_alive(&rig);
    peer_wait(p, all_aborted);
    assert_int_equal(rig.app.aborts, 128);
    assert_int_equal(rig.app.last_abort, ERR_TIMEOUT);
    peer_ping(p);
    assert_int_equal(p->resets, 128);
    assert_int_equal(peer_stream(p, 1)->reset_code, NGHTTP2_CANCEL);
    peer_free(p);
    assert_alive(&rig);
}

/* A window that trickles is no progress either. */
static void
test_f036_trickling_window(void **state)
{
    (void)state;
    rig.limits.write_stall_ms = 1000;
    struct peer *p = start();
    peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    peer_get(p, 1, "/size/1048576");
    while (rig.app.aborts == 0) {
        peer_frame32(p, NGHTTP2_WINDOW_UPDATE, 1, 1);
        peer_ping(p);
        struct timer t = {.loop = NULL};
        timer_set(&t, rig.loop, 20, rig_stop_loop, rig.loop);
        loop_run(rig.loop);
        timer_cancel(&t);
        assert_true(peer_stream(p, 1)->body.len < 1000);
    }
    assert_int_equal(rig.app.last_abort, ERR_TIMEOUT);
    peer_free(p);
    assert_alive(&rig);
}

/* --- F039, F040: HPACK ------------------------------------------------------------ */

static void
test_f039_hpack_that_does_not_decode(void **state)
{
    (void)state;
    static const struct slice blocks[] = {
        {"\x80", 1},                         /* index 0 */
        {"\xff\x80\x01", 3},                 /* an index far out of range */
        {"\xff\xff\xff\xff\xff\x7f", 6},     /* an integer without end */
        {"\x00\x81\xff\x81\xff", 5},         /* Huffman: more than 7 bits of padding */
        {"\x00\x84\xff\xff\xff\xff\x00", 7}, /* Huffman: EOS */
        {"\x3f\xe2\x1f", 3},                 /* a table larger than announced (4097) */
        {"\x82\x20", 2},                     /* a table size after a field */
        {"\x00\x7f", 2},                     /* a length beyond the block */
    };
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        struct peer *p = start();
        peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_END_HEADERS, 1,
                   blocks[i].at, blocks[i].len);
        end_attack(p, NGHTTP2_COMPRESSION_ERROR);
    }
}

/* A value of 4 KiB in the table, referenced again and again: counted as decoded, not as sent. */
static void
test_f039_large_value_referenced_often(void **state)
{
    (void)state;
    char value[3900];
    memset(value, 'v', sizeof(value));
    struct peer *p = start();
    struct buf b;
    buf_init(&b, 0);
    put_request(&b, "GET", "/hello");
    assert_int_equal(buf_add(&b, "\x40\x01x\x7f\xbd\x1d", 6), 0); /* indexed: x, 3900 bytes */
    assert_int_equal(buf_add(&b, value, sizeof(value)), 0);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(buf_add(&b, "\xbe", 1), 0);
    peer_block(p, 1, NGHTTP2_FLAG_END_STREAM, &b);
    assert_status(p, 1, 431);
    assert_int_equal(rig.app.requests, 0);
    peer_free(p);
    assert_alive(&rig);
}

/* One tiny field in the table, referenced a hundred thousand times, on a hundred connections. */
static void
test_f040_bomb(void **state)
{
    (void)state;
    static char references[16000];
    memset(references, 0xbe, sizeof(references));
    for (int i = 0; i < 100; i++) {
        struct peer *p = start();
        struct buf b;
        buf_init(&b, 0);
        put_request(&b, "GET", "/hello");
        assert_int_equal(buf_add(&b, "\x40\x01x\x00", 4), 0);
        peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, b.at, b.len);
        buf_free(&b);
        for (int k = 1; k <= 7; k++)
            peer_frame(p, NGHTTP2_CONTINUATION, k == 7 ? NGHTTP2_FLAG_END_HEADERS : 0, 1,
                       references, sizeof(references));
        assert_sent_away(p, NGHTTP2_ENHANCE_YOUR_CALM);
        peer_free(p);
    }
    assert_int_equal(rig.app.requests, 0);
    assert_alive(&rig);
}

static void
peer_with_fields(struct peer *p, int32_t id, const char *name, int count)
{
    struct buf b;
    buf_init(&b, 0);
    put_request(&b, "GET", "/fields");
    for (int i = 0; i < count; i++)
        put_str(&b, name, "a=1");
    peer_block(p, id, NGHTTP2_FLAG_END_STREAM, &b);
}

/* Also F007 over HTTP/2: the 101st field, a crumb or not. */
static void
test_f040_fields_are_counted_with_crumbs(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_with_fields(p, 1, "cookie", 100);
    assert_status(p, 1, 200);
    assert_int_equal(peer_stream(p, 1)->body.len, strlen("cookie: \n") + 100 * 5 - 2);
    peer_with_fields(p, 3, "cookie", 101);
    assert_status(p, 3, 431);
    peer_with_fields(p, 5, "x-a", 100);
    assert_status(p, 5, 200);
    peer_with_fields(p, 7, "x-a", 101);
    assert_status(p, 7, 431);
    assert_int_equal(rig.app.requests, 2);
    peer_free(p);
}

static void
test_f007_sizes_of_heads(void **state)
{
    (void)state;
    static char text[70000];
    memset(text, 'a', sizeof(text));
    struct peer *p = start();
    struct buf b;
    buf_init(&b, 0);
    /* One field: name and value with the two bytes between them, at the limit and one above. */
    put_request(&b, "GET", "/hello");
    put_field(&b, SLICE("x-a"), slice_make(text, rig.limits.field_bytes - 5 - 300));
    peer_block(p, 1, NGHTTP2_FLAG_END_STREAM, &b);
    assert_status(p, 1, 200);
    for (int over = 0; over < 2; over++) {
        int32_t id = over ? 5 : 3;
        put_request(&b, "GET", "/hello");
        put_field(&b, SLICE("x-a"), slice_make(text, rig.limits.field_bytes - 5 + (size_t)over));
        peer_frame(p, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, id, b.at, 16000);
        peer_frame(p, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, id, b.at + 16000,
                   b.len - 16000);
        buf_free(&b);
        assert_status(p, id, over ? 431 : 200);
    }
    /* The path has the request line's limit. */
    for (int over = 0; over < 2; over++) {
        char path[9000];
        memset(path, 'p', sizeof(path));
        path[0] = '/';
        path[rig.limits.request_line_bytes - 3 + (size_t)over] = '\0'; /* with GET */
        peer_get(p, over ? 9 : 7, path);
    }
    peer_ping(p);
    assert_int_equal(rig.app.requests, 3);
    assert_status(p, 9, 414);
    peer_frame32(p, NGHTTP2_RST_STREAM, 7, NGHTTP2_CANCEL);
    peer_free(p);
}

static void
test_f007_head_of_64_kib(void **state)
{
    (void)state;
    static char text[70000];
    memset(text, 'a', sizeof(text));
    for (int over = 0; over < 2; over++) {
        struct peer *p = start();
        struct buf b;
        buf_init(&b, 0);
        put_request(&b, "GET", "/hello");
        size_t used = strlen(":methodGET:schemehttp:authorityapi.example:path/hello") + 4 * 4;
        for (int i = 0; i < 5; i++) {
            size_t n = i < 4 ? 13000 : rig.limits.head_bytes - used - 5 + (size_t)over;
            put_field(&b, SLICE("x"), slice_make(text, n));
            used += 1 + n + 4;
        }
        assert_int_equal(used, rig.limits.head_bytes + (size_t)over);
        for (size_t at = 0; at < b.len; at += 16000) {
            size_t n = b.len - at < 16000 ? b.len - at : 16000;
            peer_frame(p, at == 0 ? NGHTTP2_HEADERS : NGHTTP2_CONTINUATION,
                       (at == 0 ? NGHTTP2_FLAG_END_STREAM : 0) |
                           (at + n == b.len ? NGHTTP2_FLAG_END_HEADERS : 0),
                       1, b.at + at, n);
        }
        buf_free(&b);
        assert_status(p, 1, over ? 431 : 200);
        peer_free(p);
    }
}

/* --- F041, F049: requests that could be read in two ways -------------------------- */

struct odd {
    const char *method, *scheme, *authority, *path; /* NULL: absent */
    const char *name;                               /* a field more */
    struct slice value;
    int status; /* 400; 0: RST_STREAM(PROTOCOL_ERROR) */
};

#define ODD_FIELD(n, v, s)                                                                         \
    {                                                                                              \
        "GET", "http", "a", "/hello", n, v, s                                                      \
    }

static const struct odd odds[] = {
    ODD_FIELD("x", SLICE("a\rb"), 400),
    ODD_FIELD("x", SLICE("a\nb"), 400),
    ODD_FIELD("x", SLICE("a\0b"), 400),
    ODD_FIELD("x", SLICE("a\r\n\r\nGET /admin HTTP/1.1"), 400),
    ODD_FIELD("x", SLICE(" a"), 400),
    ODD_FIELD("x", SLICE("a "), 400),
    ODD_FIELD("x", SLICE("\ta"), 400),
    ODD_FIELD("x", SLICE("a\t"), 400),
    ODD_FIELD("X-Upper", SLICE("a"), 0),
    ODD_FIELD("", SLICE("a"), 400),
    ODD_FIELD("x y", SLICE("a"), 400),
    ODD_FIELD("x:", SLICE("a"), 400),
    ODD_FIELD("x\r\ny", SLICE("a"), 400),
    ODD_FIELD("connection", SLICE("close"), 0),
    ODD_FIELD("connection", SLICE("x-api-key"), 0),
    ODD_FIELD("keep-alive", SLICE("5"), 0),
    ODD_FIELD("proxy-connection", SLICE("close"), 0),
    ODD_FIELD("transfer-encoding", SLICE("chunked"), 0),
    ODD_FIELD("upgrade", SLICE("h2c"), 0),
    ODD_FIELD("te", SLICE("gzip"), 0),
    ODD_FIELD("te", SLICE("trailers, gzip"), 0),
    ODD_FIELD("host", SLICE("b"), 400),
    ODD_FIELD("content-length", SLICE("5"), 0), /* on a request that ends with its head */
    ODD_FIELD("content-length", SLICE("+0"), 0),
    ODD_FIELD("content-length", SLICE("-0"), 0),
    ODD_FIELD("content-length", SLICE("0x0"), 0),
    ODD_FIELD("content-length", SLICE(""), 0),
    ODD_FIELD("content-length", SLICE("0,0"), 0),
    ODD_FIELD("content-length", SLICE("9223372036854775808"), 0),
    ODD_FIELD(":path", SLICE("/late"), 0),
    ODD_FIELD(":status", SLICE("200"), 0),
    ODD_FIELD(":protocol", SLICE("websocket"), 0),
    ODD_FIELD(":unknown", SLICE("1"), 0),
    {"GET", "http", "a", "/a b", NULL, {0}, 0},
    {"GET", "http", "a", "/ HTTP/1.1\r\nX:", NULL, {0}, 0},
    {"GET", "http", "a", "/a#b", NULL, {0}, 400},
    {"GET", "http", "a", "hello", NULL, {0}, 0},
    {"GET", "http", "a", "*", NULL, {0}, 0},
    {"OPTIONS", "http", "a", "*", NULL, {0}, 400},
    {"GET", "http", "a", "http://a/hello", NULL, {0}, 0},
    {"GET", "http", "a", "", NULL, {0}, 0},
    {"GET", "http", "a", NULL, NULL, {0}, 0},
    {"GET", "http", NULL, "/hello", NULL, {0}, 0},
    {"GET", NULL, "a", "/hello", NULL, {0}, 0},
    {NULL, "http", "a", "/hello", NULL, {0}, 0},
    {"GET", "http://x/?", "a", "/hello", NULL, {0}, 0},
    {"GET", "ftp", "a", "/hello", NULL, {0}, 400},
    {"GET?", "http", "a", "/hello", NULL, {0}, 0},
    {"GE T", "http", "a", "/hello", NULL, {0}, 0},
    {"", "http", "a", "/hello", NULL, {0}, 0},
    {"GET", "http", "user@a", "/hello", NULL, {0}, 400},
    {"GET", "http", "a/b", "/hello", NULL, {0}, 0},
    {"GET", "http", "a\r\nx: y", "/hello", NULL, {0}, 0},
    {"GET", "http", "", "/hello", NULL, {0}, 0},
    {"CONNECT", NULL, "a:443", NULL, NULL, {0}, 400},
    {"CONNECT", "http", "a", "/hello", NULL, {0}, 0},
};

static void
send_odd(struct peer *p, int32_t id, const struct odd *o)
{
    struct buf b;
    buf_init(&b, 0);
    const char *const pseudo[][2] = {{":method", o->method},
                                     {":scheme", o->scheme},
                                     {":authority", o->authority},
                                     {":path", o->path}};
    for (size_t i = 0; i < 4; i++)
        if (pseudo[i][1])
            put_str(&b, pseudo[i][0], pseudo[i][1]);
    if (o->name && o->name[0] == ':' && !strcmp(o->name, ":path"))
        put_str(&b, "x-before", "1"); /* the pseudo-field is late, not only double */
    if (o->name)
        put_field(&b, slice_of(o->name), o->value);
    peer_block(p, id, NGHTTP2_FLAG_END_STREAM, &b);
}

static void
test_f041_f049_desync(void **state)
{
    (void)state;
    struct peer *p = start();
    int32_t id = 1;
    for (size_t i = 0; i < sizeof(odds) / sizeof(odds[0]); i++, id += 2) {
        send_odd(p, id, &odds[i]);
        peer_ping(p);
        struct seen *s = peer_stream(p, id);
        bool fine = odds[i].status == 0
                        ? s->reset && s->reset_code == NGHTTP2_PROTOCOL_ERROR && s->status == 0
                        : s->ended && s->status == odds[i].status;
        if (!fine)
            fail_msg("case %zu (field %s): status %d reset %d code %u", i,
                     odds[i].name ? odds[i].name : "-", s->status, s->reset, s->reset_code);
        assert_int_equal(rig.app.requests, 0);
    }
    peer_get(p, id, "/hello");
    assert_status(p, id, 200);
    peer_free(p);
}

static void
test_f041_double_pseudo_fields(void **state)
{
    (void)state;
    static const char *const names[] = {":method", ":scheme", ":authority", ":path"};
    struct peer *p = start();
    int32_t id = 1;
    for (size_t i = 0; i < 4; i++, id += 2) {
        struct buf b;
        buf_init(&b, 0);
        put_request(&b, "GET", "/hello");
        put_str(&b, names[i], i == 0 ? "GET" : "/hello");
        peer_block(p, id, NGHTTP2_FLAG_END_STREAM, &b);
        assert_reset(p, id, NGHTTP2_PROTOCOL_ERROR);
    }
    assert_int_equal(rig.app.requests, 0);
    peer_free(p);
}

static void
test_f041_two_hosts_that_agree(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_request(p, 1, NGHTTP2_FLAG_END_STREAM, "GET", "/hello", "host", "API.example", NULL);
    assert_status(p, 1, 200);
    peer_free(p);
}

static void
test_f041_length_and_data_disagree(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/echo", "content-length", "5", NULL);
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "1234", 4);
    assert_reset(p, 1, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(rig.app.last_abort, ERR_PROTOCOL);
    peer_request(p, 3, 0, "POST", "/echo", "content-length", "5", NULL);
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 3, "123456", 6);
    assert_reset(p, 3, NGHTTP2_PROTOCOL_ERROR);
    peer_request(p, 5, 0, "POST", "/echo", "content-length", "5", "content-length", "5", NULL);
    assert_reset(p, 5, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(rig.app.ends, 0);
    assert_int_equal(rig.app.live, 0);
    peer_request(p, 7, 0, "POST", "/echo", "content-length", "5", NULL);
    peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 7, "12345", 5);
    assert_status(p, 7, 200);
    peer_free(p);
}

/* --- F042: HTTP/1.1 that asks for HTTP/2 ------------------------------------------ */

static void
test_f042_upgrade_is_ignored(void **state)
{
    (void)state;
    /* The second also names a field of its own to strip: refused for that. */
    static const int statuses[] = {200, 400, 200};
    static const char *const asks[] = {
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: Upgrade, x\r\nUpgrade: h2c\r\nX: 1\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    };
    for (size_t i = 0; i < 3; i++) {
        if (!rig.app.server)
            rig_start(&rig);
        struct peer *p = peer_new_type(&rig, SOCK_STREAM);
        char request[512], answer[4096] = "";
        int n = snprintf(request, sizeof(request), "GET /fields HTTP/1.1\r\nHost: a\r\n%s\r\n",
                         asks[i]);
        watch_fini(&p->watch);
        assert_int_equal(send(p->fd, request, (size_t)n, 0), n);
        ssize_t got = -1;
        for (int turn = 0; turn < 1000 && got < 0; turn++) {
            struct timer t = {.loop = NULL};
            timer_set(&t, rig.loop, 1, rig_stop_loop, rig.loop);
            loop_run(rig.loop);
            timer_cancel(&t);
            got = recv(p->fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);
        }
        assert_true(got > 0);
        assert_int_equal(strncmp(answer, "HTTP/1.1 ", 9), 0);
        assert_int_equal(strtol(answer + 9, NULL, 10), statuses[i]);
        assert_null(strstr(answer, "h2c"));
        assert_null(strstr(answer, "http2-settings"));
        assert_null(strstr(answer, "upgrade"));
        peer_free(p);
    }
    assert_alive(&rig);
}

/* --- F043, F044: streams and frames against the rules ----------------------------- */

static void
test_f043_one_stream_too_many_is_refused_alone(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_ping(p); /* our SETTINGS are acknowledged: the limit is known */
    assert_int_equal(p->settings[NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS], 128);
    for (int32_t id = 1; id < 2 * 128; id += 2)
        peer_get(p, id, "/hold");
    peer_get(p, 257, "/hello");
    assert_reset(p, 257, NGHTTP2_REFUSED_STREAM);
    assert_int_equal(p->goaways, 0);
    assert_int_equal(rig.app.live, 128);
    assert_alive(&rig);
    peer_frame32(p, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
    peer_get(p, 259, "/hello");
    assert_status(p, 259, 200);
    peer_free(p);
}

static void
test_f043_refusals_are_not_for_ever(void **state)
{
    (void)state;
    struct peer *p = start();
    for (int32_t id = 1; id < 2 * 128; id += 2)
        peer_get(p, id, "/hold");
    for (int32_t id = 257; id < 257 + 2 * 20000; id += 2)
        peer_get(p, id, "/hello");
    end_attack(p, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(rig.app.live, 0);
}

static void
test_f043_stream_ids(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, 2, "/hello"); /* even */
    end_attack(p, NGHTTP2_PROTOCOL_ERROR);
    p = start();
    peer_get(p, 0, "/hello");
    end_attack(p, NGHTTP2_PROTOCOL_ERROR);
    p = start();
    peer_get(p, 5, "/hello");
    peer_get(p, 3, "/hello"); /* lower: never to be opened any more */
    end_attack(p, NGHTTP2_STREAM_CLOSED);
    size_t requests = rig.app.requests;
    p = start();
    peer_frame(p, NGHTTP2_DATA, 0, 7, "x", 1); /* of a stream that was never opened */
    end_attack(p, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(rig.app.requests, requests + 1);
}

static void
test_f043_push_and_goaway_from_the_client(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_frame(p, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, "\0\0\0\2\x82", 5);
    end_attack(p, NGHTTP2_PROTOCOL_ERROR);
    p = start();
    peer_get(p, 1, "/hold");
    peer_frame(p, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
    peer_ping(p);
    assert_int_equal(rig.app.live, 1); /* what runs goes on */
    struct exchange *x = rig.app.held;
    (void)app_reply(x->stream, 200, SLICE("late\n"));
    exchange_free(x);
    peer_wait(p, peer_is_gone);
    assert_int_equal(peer_stream(p, 1)->status, 200);
    peer_free(p);
    assert_alive(&rig);
}

static void
test_f043_ids_run_out(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_get(p, INT32_MAX - 2, "/hello");
    peer_wait(p, peer_is_gone);
    assert_int_equal(p->goaway_code, NGHTTP2_NO_ERROR);
    assert_int_equal(peer_stream(p, INT32_MAX - 2)->status, 200);
    peer_free(p);
    assert_alive(&rig);
}

struct malformed {
    int type, flags;
    int32_t id;
    struct slice payload;
    uint32_t code;
};

static const struct malformed frames[] = {
    {NGHTTP2_PING, 0, 0, SLICE("1234567"), NGHTTP2_FRAME_SIZE_ERROR},
    {NGHTTP2_PING, 0, 1, SLICE("12345678"), NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_SETTINGS, 0, 0, SLICE("12345"), NGHTTP2_FRAME_SIZE_ERROR},
    {NGHTTP2_SETTINGS, 0, 1, {0}, NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, SLICE("123456"), NGHTTP2_FRAME_SIZE_ERROR},
    {NGHTTP2_SETTINGS, 0, 0, SLICE("\0\4\x80\0\0\0"), NGHTTP2_FLOW_CONTROL_ERROR},
    {NGHTTP2_SETTINGS, 0, 0, SLICE("\0\5\0\0\x3f\xff"), NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_SETTINGS, 0, 0, SLICE("\0\5\1\0\0\0"), NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_SETTINGS, 0, 0, SLICE("\0\2\0\0\0\2"), NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_WINDOW_UPDATE, 0, 0, SLICE("123"), NGHTTP2_FRAME_SIZE_ERROR},
    {NGHTTP2_WINDOW_UPDATE, 0, 0, SLICE("\0\0\0\0"), NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_WINDOW_UPDATE, 0, 0, SLICE("\x7f\xff\xff\xff"), NGHTTP2_FLOW_CONTROL_ERROR},
    {NGHTTP2_RST_STREAM, 0, 1, SLICE("123"), NGHTTP2_FRAME_SIZE_ERROR},
    {NGHTTP2_RST_STREAM, 0, 0, SLICE("1234"), NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_RST_STREAM, 0, 9, SLICE("1234"), NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_GOAWAY, 0, 0, SLICE("1234567"), NGHTTP2_FRAME_SIZE_ERROR},
    {NGHTTP2_GOAWAY, 0, 1, SLICE("12345678"), NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, SLICE("\x82"), NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_DATA, 0, 0, SLICE("x"), NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, SLICE("\x05xy"), NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_HEADERS, NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_END_HEADERS, 3, SLICE("\x05\x82"),
     NGHTTP2_PROTOCOL_ERROR},
    {NGHTTP2_HEADERS, NGHTTP2_FLAG_PRIORITY | NGHTTP2_FLAG_END_HEADERS, 3, SLICE("\0\0\0\3\0\x82"),
     NGHTTP2_PROTOCOL_ERROR},
};

static void
test_f044_malformed_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        const struct malformed *f = &frames[i];
        struct peer *p = start();
        peer_request(p, 1, 0, "POST", "/hold", NULL);
        peer_frame(p, f->type, f->flags, f->id, f->payload.at, f->payload.len);
        peer_wait(p, peer_is_gone);
        if (p->goaways == 0 || p->goaway_code != f->code)
            fail_msg("frame %zu: %zu goaways, code %u", i, p->goaways, p->goaway_code);
        peer_free(p);
    }
    assert_int_equal(rig.app.live, 0);
    assert_alive(&rig);
}

static void
test_f044_frames_too_large(void **state)
{
    (void)state;
    static char block[16385];
    static const int types[] = {NGHTTP2_DATA, NGHTTP2_HEADERS, NGHTTP2_SETTINGS, 0xbe};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct peer *p = start();
        peer_request(p, 1, 0, "POST", "/hold", NULL);
        peer_frame(p, types[i], 0, types[i] == NGHTTP2_SETTINGS ? 0 : 1, block, sizeof(block));
        end_attack(p, NGHTTP2_FRAME_SIZE_ERROR);
    }
}

/* One byte more than the window: of the stream, then of the connection. */
static void
test_f044_flow_control_overrun(void **state)
{
    (void)state;
    static char block[16384];
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/pause", NULL);
    peer_ping(p);
    for (int i = 0; i < 16; i++) /* 256 KiB */
        peer_frame(p, NGHTTP2_DATA, 0, 1, block, sizeof(block));
    peer_ping(p);
    assert_int_equal(p->goaways, 0);
    peer_frame(p, NGHTTP2_DATA, 0, 1, "x", 1);
    assert_reset(p, 1, NGHTTP2_FLOW_CONTROL_ERROR);
    assert_int_equal(rig.app.last_abort, ERR_PROTOCOL);
    peer_free(p);
    p = start();
    peer_fill_paused(p, 60, 15); /* until the connection has no room for another */
    assert_int_equal(p->goaways, 0);
    peer_frame(p, NGHTTP2_DATA, 0, 119, block, sizeof(block));
    end_attack(p, NGHTTP2_FLOW_CONTROL_ERROR);
    assert_int_equal(rig.app.body_bytes, 0);
}

static void
test_f044_not_the_preface(void **state)
{
    (void)state;
    rig.config.http1 = false;
    rig_start(&rig);
    struct peer *p = peer_new_type(&rig, SOCK_STREAM);
    peer_bytes(p, "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", 24);
    peer_frame(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    peer_wait(p, peer_is_gone);
    peer_free(p);
    p = peer_new_type(&rig, SOCK_STREAM);
    peer_bytes(p, MAGIC, 24);
    peer_get(p, 1, "/hello"); /* SETTINGS must come first */
    end_attack(p, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(rig.app.requests, 1);
}

/* --- F045, F047 ------------------------------------------------------------------- */

static bool
all_answered(const struct peer *p)
{
    return p->rig->app.aborts == 128 || p->closed;
}

static bool
all_reset(const struct peer *p)
{
    return p->resets == 128 || p->closed;
}

static void
test_f045_slow_bodies(void **state)
{
    (void)state;
    rig.limits.body_idle_ms = 300;
    rig.limits.body_min_rate = 0;
    struct peer *p = start();
    for (int32_t id = 1; id < 2 * 128; id += 2) {
        peer_request(p, id, 0, "POST", "/hold", "content-length", "1000000", NULL);
        peer_frame(p, NGHTTP2_DATA, 0, id, "x", 1);
    }
    peer_wait(p, all_answered);
    assert_int_equal(rig.app.live, 0);
    assert_int_equal(rig.app.last_abort, ERR_TIMEOUT);
    assert_status(p, 1, 408);
    assert_status(p, 255, 408);
    peer_wait(p, all_reset); /* they have had their time to read the answer */
    peer_get(p, 257, "/hello");
    assert_status(p, 257, 200);
    peer_free(p);
    assert_alive(&rig);
}

/* Never idle, but below the least rate. A paused stream is not to blame. */
static void
test_f045_trickling_body(void **state)
{
    (void)state;
    rig.limits.body_idle_ms = 600;
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/pause", NULL); /* for which nothing ever comes */
    peer_request(p, 3, 0, "POST", "/pause", NULL);
    peer_request(p, 5, 0, "POST", "/hold", NULL);
    for (int i = 0; i < 500 && rig.app.aborts == 0; i++) {
        peer_frame(p, NGHTTP2_DATA, 0, 3, "x", 1);
        peer_frame(p, NGHTTP2_DATA, 0, 5, "x", 1);
        peer_ping(p);
        struct timer t = {.loop = NULL};
        timer_set(&t, rig.loop, 20, rig_stop_loop, rig.loop);
        loop_run(rig.loop);
        timer_cancel(&t);
    }
    assert_int_equal(rig.app.aborts, 1);
    assert_int_equal(rig.app.last_abort, ERR_TIMEOUT);
    assert_status(p, 5, 408);
    assert_int_equal(peer_stream(p, 3)->status, 0);
    assert_int_equal(peer_stream(p, 1)->status, 0);
    assert_int_equal(rig.app.live, 2);
    peer_free(p);
}

static void
send_trailers(struct peer *p, int32_t id, const char *name, int count, int flags)
{
    struct buf b;
    buf_init(&b, 0);
    for (int i = 0; i < count; i++)
        put_str(&b, name, "1");
    peer_block(p, id, flags, &b);
}

static void
test_f047_trailers(void **state)
{
    (void)state;
    struct peer *p = start();
    peer_request(p, 1, 0, "POST", "/echo", NULL);
    peer_frame(p, NGHTTP2_DATA, 0, 1, "body", 4);
    send_trailers(p, 1, "authorization", 1, NGHTTP2_FLAG_END_STREAM);
    assert_status(p, 1, 200); /* discarded, never merged */
    assert_int_equal(peer_stream(p, 1)->body.len, 4);
    peer_request(p, 3, 0, "POST", "/echo", NULL);
    send_trailers(p, 3, ":path", 1, NGHTTP2_FLAG_END_STREAM);
    assert_reset(p, 3, NGHTTP2_PROTOCOL_ERROR);
    peer_request(p, 5, 0, "POST", "/echo", NULL);
    send_trailers(p, 5, "x-a", 101, NGHTTP2_FLAG_END_STREAM);
    assert_reset(p, 5, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(rig.app.last_abort, ERR_LIMIT);
    peer_request(p, 7, 0, "POST", "/echo", NULL);
    send_trailers(p, 7, "x-a", 1, 0); /* and no end */
    assert_reset(p, 7, NGHTTP2_PROTOCOL_ERROR);
    peer_request(p, 9, 0, "POST", "/echo", NULL);
    send_trailers(p, 9, "x-a", 100, NGHTTP2_FLAG_END_STREAM);
    assert_status(p, 9, 200);
    peer_request(p, 11, 0, "POST", "/echo", "content-length", "3", NULL);
    send_trailers(p, 11, "x-a", 1, NGHTTP2_FLAG_END_STREAM); /* before the body it announced */
    assert_reset(p, 11, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(rig.app.ends, 2);
    assert_int_equal(rig.app.live, 0);
    peer_free(p);
    assert_alive(&rig);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_f007_sizes_of_heads),
        TEST(test_f007_head_of_64_kib),
        TEST(test_f031_rapid_reset),
        TEST(test_f031_resets_below_the_budget_pass),
        TEST(test_f032_continuation_flood),
        TEST(test_f032_nine_are_too_many_and_eight_are_not),
        TEST(test_f032_pieces_are_not_frames),
        TEST(test_f033_made_you_reset),
        TEST(test_f033_other_primitives_end_the_connection),
        TEST(test_f034_ping_flood),
        TEST(test_f034_ping_flood_without_reading),
        TEST(test_f035_settings_flood),
        TEST(test_f035_too_many_settings_in_one),
        TEST(test_f035_window_toggled_under_many_streams),
        TEST(test_f035_huge_table_is_not_used),
        TEST(test_f035_settings_never_acknowledged),
        TEST(test_f036_zero_window),
        TEST(test_f036_trickling_window),
        TEST(test_f037_windows_of_one_byte),
        TEST(test_f037_bodies_of_one_byte_a_frame),
        TEST(test_f038_useless_frames),
        TEST(test_f043_frames_for_closed_streams),
        TEST(test_f043_frames_for_streams_we_reset),
        TEST(test_f039_hpack_that_does_not_decode),
        TEST(test_f039_large_value_referenced_often),
        TEST(test_f040_bomb),
        TEST(test_f040_fields_are_counted_with_crumbs),
        TEST(test_f041_f049_desync),
        TEST(test_f041_double_pseudo_fields),
        TEST(test_f041_two_hosts_that_agree),
        TEST(test_f041_length_and_data_disagree),
        TEST(test_f042_upgrade_is_ignored),
        TEST(test_f043_one_stream_too_many_is_refused_alone),
        TEST(test_f043_refusals_are_not_for_ever),
        TEST(test_f043_stream_ids),
        TEST(test_f043_push_and_goaway_from_the_client),
        TEST(test_f043_ids_run_out),
        TEST(test_f044_malformed_frames),
        TEST(test_f044_frames_too_large),
        TEST(test_f044_flow_control_overrun),
        TEST(test_f044_not_the_preface),
        TEST(test_f045_slow_bodies),
        TEST(test_f045_trickling_body),
        TEST(test_f046_head_that_never_ends),
        TEST(test_f047_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
