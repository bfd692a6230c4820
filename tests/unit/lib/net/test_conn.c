/* Connections in clear, against raw sockets. test_conn_tls.c has TLS. */
#include "tests/unit/lib/net/free_port.h"
#include "tests/unit/lib/net/net_rig.h"

#include "lib/net/conn.h"

#include <sys/un.h>

static struct loop *loop;

/* One end under test, and what it was told. */
struct end {
    struct conn *conn;
    struct buf in;
    int opened, drained, ends, err;
    const char *why;
    void (*on_data)(struct end *e, struct slice bytes); /* instead of remembering */
    struct end *other;
};

static void
end_on_data(void *ctx, struct slice bytes)
{
    struct end *e = ctx;
    if (e->on_data)
        e->on_data(e, bytes);
    else
        assert_int_equal(buf_add_slice(&e->in, bytes), 0);
    loop_stop(loop);
}

static void
end_on_drained(void *ctx)
{
    struct end *e = ctx;
    e->drained++;
    loop_stop(loop);
}

static void
end_on_end(void *ctx, int err, const char *why)
{
    struct end *e = ctx;
    e->ends++;
    e->err = err;
    e->why = why;
    loop_stop(loop);
}

static void
end_on_open(void *ctx)
{
    struct end *e = ctx;
    e->opened++;
    loop_stop(loop);
}

static const struct conn_handlers handlers = {end_on_data, end_on_drained, end_on_end, end_on_open};

static int
setup(void **state)
{
    (void)state;
    loop = loop_new();
    return loop ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static void
end_init(struct end *e)
{
    *e = (struct end){.conn = NULL};
    buf_init(&e->in, 0);
}

static void
end_fini(struct end *e)
{
    conn_close(e->conn);
    buf_free(&e->in);
}

/* An accepted conn and the raw socket on its other side. */
static struct raw *
pair_up(struct end *e)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    end_init(e);
    e->conn = conn_accepted(loop, pair[0], NULL, &handlers, e);
    assert_non_null(e->conn);
    return raw_new(loop, pair[1]);
}

/* The same over TCP. */
static struct raw *
pair_up_tcp(struct end *e)
{
    int server;
    const char *why;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &server, &why), 0);
    struct raw *r = raw_connect(loop, listener_port(server));
    int fd = accept4(server, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fd >= 0);
    close(server);
    end_init(e);
    e->conn = conn_accepted(loop, fd, NULL, &handlers, e);
    assert_non_null(e->conn);
    return r;
}

/* --- data ----------------------------------------------------------------------------------------
 */

static struct raw *peer_of_reply;

/* Writes three times; nothing leaves before the callback is over. */
static void
reply_corked(struct end *e, struct slice bytes)
{
    char byte;
    (void)bytes;
    assert_int_equal(conn_write(e->conn, SLICE("one ")), 0);
    struct slice pieces[] = {SLICE("two "), SLICE("three")};
    assert_int_equal(conn_writev(e->conn, pieces, 2), 0);
    assert_int_equal(conn_pending(e->conn), 13);
    assert_int_equal(recv(peer_of_reply->watch.fd, &byte, 1, MSG_PEEK), -1);
}

static void
test_output_is_corked_until_the_callback_ends(void **state)
{
    struct end e;
    (void)state;
    struct raw *r = peer_of_reply = pair_up(&e);
    e.on_data = reply_corked;
    raw_say(r, "hello");
    WAIT(loop, raw_has(r, "one two three"));
    assert_int_equal(conn_pending(e.conn), 0);
    assert_int_equal(conn_bytes_in(e.conn), 5);
    assert_int_equal(conn_bytes_out(e.conn), 13);
    end_fini(&e);
    raw_free(r);
}

static void
test_reserved_room_is_sent_as_written(void **state)
{
    struct end e;
    (void)state;
    struct raw *r = pair_up(&e);
    for (int i = 0; i < 5000; i++) {
        char *room = conn_reserve(e.conn, 100);
        assert_non_null(room);
        memcpy(room, "abcd", 4);
        conn_commit(e.conn, 4);
    }
    WAIT(loop, r->in.len == 20000);
    for (size_t i = 0; i < r->in.len; i++)
        assert_int_equal(r->in.at[i], "abcd"[i % 4]);
    end_fini(&e);
    raw_free(r);
}

/* A pattern that shows misplaced bytes. */
static char *
make_pattern(size_t n)
{
    char *p = malloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 31 + i / 251);
    return p;
}

static void
test_more_than_the_kernel_takes_waits_and_is_told_when_drained(void **state)
{
    enum { N = 8 * 1024 * 1024 };
    struct end e;
    char *pattern = make_pattern(N);
    (void)state;
    struct raw *r = pair_up(&e);
    assert_int_equal(watch_want(&r->watch, 0), 0); /* it does not read yet */
    size_t at = 0;
    for (size_t step = 1; at < N; step = step * 3 % 70000 + 1) {
        size_t n = step < N - at ? step : N - at;
        assert_int_equal(conn_write(e.conn, slice_make(pattern + at, n)), 0);
        at += n;
    }
    assert_true(conn_pending(e.conn) > N / 2);
    rig_run(loop);
    assert_int_equal(e.drained, 0);
    assert_int_equal(watch_want(&r->watch, WATCH_READ), 0);
    WAIT(loop, r->in.len == N);
    assert_memory_equal(r->in.at, pattern, N);
    assert_int_equal(e.drained, 1);
    assert_int_equal(conn_pending(e.conn), 0);
    end_fini(&e);
    raw_free(r);
    free(pattern);
}

static void
test_conn_send_takes_only_what_the_kernel_takes(void **state)
{
    enum { N = 4 * 1024 * 1024 };
    struct end e;
    char *pattern = make_pattern(N);
    size_t at = 0;
    (void)state;
    struct raw *r = pair_up(&e);
    assert_int_equal(conn_write(e.conn, SLICE("head:")), 0);
    while (at < N) {
        struct slice pieces[3] = {slice_make(pattern + at, (N - at) / 3)};
        pieces[1] = slice_make(pieces[0].at + pieces[0].len, (N - at) / 2);
        pieces[2] =
            slice_make(pieces[1].at + pieces[1].len, N - at - pieces[0].len - pieces[1].len);
        size_t taken = conn_send(e.conn, pieces, 3);
        at += taken;
        assert_int_equal(conn_pending(e.conn), 0); /* nothing was copied */
        int drained = e.drained;
        if (at < N)
            WAIT(loop, e.drained > drained);
    }
    WAIT(loop, r->in.len == N + 5);
    assert_memory_equal(r->in.at, "head:", 5);
    assert_memory_equal(r->in.at + 5, pattern, N);
    end_fini(&e);
    raw_free(r);
    free(pattern);
}

static void
test_a_paused_conn_leaves_bytes_to_the_kernel(void **state)
{
    struct end e;
    (void)state;
    struct raw *r = pair_up(&e);
    conn_pause(e.conn);
    raw_say(r, "later");
    rig_run(loop);
    rig_run(loop);
    assert_int_equal(e.in.len, 0);
    conn_resume(e.conn);
    WAIT(loop, e.in.len == 5);
    end_fini(&e);
    raw_free(r);
}

/* The first of two buffers full of bytes pauses: the second stays where it is. */
static void
pause_at_once(struct end *e, struct slice bytes)
{
    assert_int_equal(buf_add_slice(&e->in, bytes), 0);
    conn_pause(e->conn);
}

static void
test_pausing_inside_on_data_counts_at_once(void **state)
{
    struct end e;
    char *pattern = make_pattern(150000);
    (void)state;
    struct raw *r = pair_up(&e);
    e.on_data = pause_at_once;
    raw_send(r, pattern, 150000);
    WAIT(loop, e.in.len > 0);
    rig_run(loop);
    assert_true(e.in.len <= LOOP_SCRATCH_BYTES);
    while (e.in.len < 150000) {
        conn_resume(e.conn);
        rig_run(loop);
    }
    assert_memory_equal(e.in.at, pattern, 150000);
    end_fini(&e);
    raw_free(r);
    free(pattern);
}

/* --- ends ----------------------------------------------------------------------------------------
 */

static void
test_f004_the_peers_fin_leaves_our_half_open(void **state)
{
    struct end e;
    (void)state;
    struct raw *r = pair_up_tcp(&e);
    raw_say(r, "question");
    assert_int_equal(shutdown(r->watch.fd, SHUT_WR), 0);
    WAIT(loop, e.ends == 1);
    assert_int_equal(e.in.len, 8);
    assert_int_equal(e.err, ERR_CLOSED);
    assert_int_equal(conn_write(e.conn, SLICE("answer")), 0);
    WAIT(loop, raw_has(r, "answer"));
    conn_shutdown(e.conn);
    WAIT(loop, r->ended);
    assert_int_equal(conn_write(e.conn, SLICE("more")), ERR_BAD_STATE);
    assert_int_equal(e.ends, 1);
    end_fini(&e);
    raw_free(r);
}

static void
reset_peer(struct raw *r)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    watch_fini(&r->watch);
    assert_int_equal(setsockopt(r->watch.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    close(r->watch.fd);
    r->watch.fd = -1;
}

static void
test_a_reset_is_told_once_and_nothing_after_it(void **state)
{
    struct end e;
    (void)state;
    struct raw *r = pair_up_tcp(&e);
    reset_peer(r);
    WAIT(loop, e.ends == 1);
    assert_int_equal(e.err, ERR_RESET);
    assert_int_equal(conn_write(e.conn, SLICE("x")), ERR_BAD_STATE);
    assert_false(conn_is_writable(e.conn));
    rig_run(loop);
    assert_int_equal(e.ends, 1);
    end_fini(&e);
    raw_free(r);
}

static void
test_a_write_that_fails_is_told_even_while_paused(void **state)
{
    struct end e;
    (void)state;
    struct raw *r = pair_up_tcp(&e);
    conn_pause(e.conn);
    reset_peer(r);
    for (int i = 0; i < 1000 && e.ends == 0; i++) {
        int err = conn_write(e.conn, SLICE("x"));
        (void)err;
        rig_run(loop);
    }
    assert_int_equal(e.ends, 1);
    assert_int_equal(e.err, ERR_RESET);
    end_fini(&e);
    raw_free(r);
}

static void
test_a_write_that_fails_after_the_fin_is_told(void **state)
{
    struct end e;
    (void)state;
    struct raw *r = pair_up_tcp(&e);
    assert_int_equal(shutdown(r->watch.fd, SHUT_WR), 0);
    WAIT(loop, e.ends == 1);
    reset_peer(r);
    for (int i = 0; i < 1000 && e.ends == 1; i++) {
        int err = conn_write(e.conn, SLICE("x"));
        (void)err;
        rig_run(loop);
    }
    assert_int_equal(e.ends, 2);
    assert_int_equal(e.err, ERR_RESET);
    end_fini(&e);
    raw_free(r);
}

/* What the peer said before it closed in our face comes first. */
static void
test_bytes_before_a_broken_write_are_delivered(void **state)
{
    struct end e;
    (void)state;
    struct raw *r = pair_up(&e);
    raw_say(r, "last words");
    watch_fini(&r->watch);
    close(r->watch.fd);
    r->watch.fd = -1;
    assert_int_equal(conn_write(e.conn, SLICE("too late")), 0);
    conn_flush(e.conn);
    WAIT(loop, e.ends == 1);
    assert_int_equal(e.in.len, 10);
    assert_int_equal(e.err, ERR_RESET);
    end_fini(&e);
    raw_free(r);
}

static void
test_close_sends_what_is_corked(void **state)
{
    struct end e;
    (void)state;
    struct raw *r = pair_up(&e);
    assert_int_equal(conn_write(e.conn, SLICE("bye")), 0);
    conn_close(e.conn);
    e.conn = NULL;
    WAIT(loop, r->ended);
    assert_string_equal(raw_text(r), "bye");
    assert_int_equal(e.ends, 0);
    end_fini(&e);
    raw_free(r);
}

static void
test_abort_resets(void **state)
{
    struct end e;
    (void)state;
    struct raw *r = pair_up_tcp(&e);
    conn_abort(e.conn);
    e.conn = NULL;
    WAIT(loop, raw_is_over(r));
    assert_true(r->reset);
    end_fini(&e);
    raw_free(r);
}

static void
test_finish_waits_for_the_output(void **state)
{
    enum { N = 3 * 1024 * 1024 };
    struct end e;
    char *pattern = make_pattern(N);
    (void)state;
    struct raw *r = pair_up_tcp(&e);
    assert_int_equal(watch_want(&r->watch, 0), 0);
    assert_int_equal(conn_write(e.conn, slice_make(pattern, N)), 0);
    conn_finish(e.conn, DEADLINE_MS);
    e.conn = NULL;
    raw_say(r, "what is this?"); /* is not told, and does not turn the end into a reset */
    rig_run(loop);
    assert_int_equal(watch_want(&r->watch, WATCH_READ), 0);
    WAIT(loop, raw_is_over(r));
    assert_true(r->ended);
    assert_int_equal(r->in.len, N);
    assert_int_equal(e.in.len, 0);
    end_fini(&e);
    raw_free(r);
    free(pattern);
}

static void
test_finish_lets_go_of_who_does_not_read(void **state)
{
    enum { N = 8 * 1024 * 1024 };
    struct end e;
    char *pattern = make_pattern(N);
    (void)state;
    struct raw *r = pair_up_tcp(&e);
    assert_int_equal(watch_want(&r->watch, 0), 0);
    assert_int_equal(conn_write(e.conn, slice_make(pattern, N)), 0);
    conn_finish(e.conn, 30);
    e.conn = NULL;
    for (int i = 0; i < 10; i++)
        rig_run(loop);
    assert_int_equal(watch_want(&r->watch, WATCH_READ), 0);
    WAIT(loop, raw_is_over(r));
    assert_true(r->in.len < N);
    end_fini(&e);
    raw_free(r);
    free(pattern);
}

static void
test_finish_drains_no_more_than_it_must(void **state)
{
    struct end e;
    (void)state;
    struct raw *r = pair_up_tcp(&e);
    char *junk = make_pattern(1024 * 1024);
    conn_finish(e.conn, DEADLINE_MS);
    e.conn = NULL;
    for (int i = 0; i < 64 && !r->reset; i++) {
        raw_send(r, junk, 65536);
        rig_run(loop);
        char byte;
        ssize_t n = send(r->watch.fd, &byte, 0, MSG_NOSIGNAL);
        r->reset = r->reset || n < 0;
    }
    WAIT(loop, raw_is_over(r));
    free(junk);
    end_fini(&e);
    raw_free(r);
}

static void
close_self(struct end *e, struct slice bytes)
{
    (void)bytes;
    conn_close(e->conn);
    assert_int_equal(conn_pending(e->conn), 0); /* the memory is still there */
}

static void
close_other(struct end *e, struct slice bytes)
{
    (void)bytes;
    if (e->other->conn)
        conn_close(e->other->conn);
    e->other->conn = NULL;
}

static void
test_closing_inside_callbacks_is_safe(void **state)
{
    struct end a, b;
    (void)state;
    struct raw *ra = pair_up(&a), *rb = pair_up(&b);
    a.on_data = close_other;
    a.other = &b;
    b.on_data = close_other;
    b.other = &a;
    raw_say(ra, "x"); /* both are ready in one turn: one closes the other */
    raw_say(rb, "x");
    WAIT(loop, raw_is_over(ra) || raw_is_over(rb));
    rig_run(loop);
    assert_true((a.conn == NULL) != (b.conn == NULL));
    end_fini(&a);
    end_fini(&b);
    raw_free(ra);
    raw_free(rb);
    struct raw *r = pair_up(&a);
    a.on_data = close_self;
    raw_say(r, "x");
    WAIT(loop, raw_is_over(r));
    a.conn = NULL;
    end_fini(&a);
    raw_free(r);
}

/* --- connecting ----------------------------------------------------------------------------------
 */

static void
connect_to(struct end *e, int port)
{
    struct sockaddr_in to = loopback(port);
    end_init(e);
    e->conn = conn_connect(loop, (struct sockaddr *)&to, sizeof to, NULL, NULL, &handlers, e);
    assert_non_null(e->conn);
    assert_int_equal(e->opened + e->ends, 0);
}

static void
test_f050_a_refused_connection_is_told(void **state)
{
    struct end e;
    (void)state;
    connect_to(&e, free_port());
    WAIT(loop, e.ends == 1);
    assert_int_equal(e.err, ERR_CONNECT);
    assert_string_equal(e.why, "the connection was refused");
    assert_int_equal(e.opened, 0);
    end_fini(&e);
}

static void
test_what_is_written_while_connecting_leaves_when_open(void **state)
{
    struct end e;
    int server;
    const char *why;
    (void)state;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &server, &why), 0);
    connect_to(&e, listener_port(server));
    assert_int_equal(conn_write(e.conn, SLICE("early")), 0);
    WAIT(loop, e.opened == 1);
    struct raw *r = raw_new(loop, accept4(server, NULL, NULL, SOCK_NONBLOCK));
    WAIT(loop, raw_has(r, "early"));
    assert_string_equal(conn_peer(e.conn), "127.0.0.1");
    assert_int_equal(conn_peer_addr(e.conn)->sa_family, AF_INET);
    end_fini(&e);
    raw_free(r);
    close(server);
}

static void
test_a_unix_socket_that_is_not_there(void **state)
{
    struct end e;
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
    (void)state;
    end_init(&e);
    e.conn = conn_connect(loop, (struct sockaddr *)&to, sizeof to, NULL, NULL, &handlers, &e);
    assert_non_null(e.conn);
    assert_int_equal(e.ends, 0);
    WAIT(loop, e.ends == 1);
    assert_int_equal(e.err, ERR_CONNECT);
    end_fini(&e);
}

static void
test_closing_before_it_opened_never_calls_back(void **state)
{
    struct end e;
    (void)state;
    connect_to(&e, free_port());
    conn_close(e.conn);
    e.conn = NULL;
    rig_run(loop);
    rig_run(loop);
    assert_int_equal(e.opened + e.ends, 0);
    end_fini(&e);
}

static void
test_stalled_output_is_measured(void **state)
{
    struct end e;
    char *pattern = make_pattern(8 * 1024 * 1024);
    (void)state;
    struct raw *r = pair_up(&e);
    assert_int_equal(watch_want(&r->watch, 0), 0);
    assert_int_equal(conn_write(e.conn, SLICE("x")), 0);
    rig_run(loop);
    assert_int_equal(conn_stalled_ms(e.conn), 0);
    assert_int_equal(conn_write(e.conn, slice_make(pattern, 8 * 1024 * 1024)), 0);
    WAIT(loop, conn_stalled_ms(e.conn) >= 20);
    assert_int_equal(watch_want(&r->watch, WATCH_READ), 0);
    WAIT(loop, conn_pending(e.conn) == 0);
    assert_int_equal(conn_stalled_ms(e.conn), 0);
    end_fini(&e);
    raw_free(r);
    free(pattern);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_output_is_corked_until_the_callback_ends),
        TEST(test_reserved_room_is_sent_as_written),
        TEST(test_more_than_the_kernel_takes_waits_and_is_told_when_drained),
        TEST(test_conn_send_takes_only_what_the_kernel_takes),
        TEST(test_a_paused_conn_leaves_bytes_to_the_kernel),
        TEST(test_pausing_inside_on_data_counts_at_once),
        TEST(test_f004_the_peers_fin_leaves_our_half_open),
        TEST(test_a_reset_is_told_once_and_nothing_after_it),
        TEST(test_a_write_that_fails_is_told_even_while_paused),
        TEST(test_a_write_that_fails_after_the_fin_is_told),
        TEST(test_bytes_before_a_broken_write_are_delivered),
        TEST(test_close_sends_what_is_corked),
        TEST(test_abort_resets),
        TEST(test_finish_waits_for_the_output),
        TEST(test_finish_lets_go_of_who_does_not_read),
        TEST(test_finish_drains_no_more_than_it_must),
        TEST(test_closing_inside_callbacks_is_safe),
        TEST(test_f050_a_refused_connection_is_told),
        TEST(test_what_is_written_while_connecting_leaves_when_open),
        TEST(test_a_unix_socket_that_is_not_there),
        TEST(test_closing_before_it_opened_never_calls_back),
        TEST(test_stalled_output_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
