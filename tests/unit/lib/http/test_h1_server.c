/*
 * The HTTP/1.1 server's life: limits, deadlines, clients that leave, back-pressure, drain (F001 to
 * F008, F014, F018, F028). What counts as a request at all is in test_h1_corpus.c.
 */
#include "tests/unit/lib/http/h1_rig.h"

#define HOST "Host: a\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

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

/* Says it, closes the sending half, and tells what came back. */
static struct verdict
say(const char *bytes, size_t n)
{
    struct raw *r = rig_connect(&rig);
    raw_send(r, bytes, n);
    shutdown(r->watch.fd, SHUT_WR);
    WAIT(rig.loop, raw_is_over(r));
    struct verdict v = read_verdict(r);
    raw_free(r);
    return v;
}

static void
assert_said(const struct buf *b, const char *verdict)
{
    struct verdict v = say(b->at, b->len);
    assert_string_equal(v.text, verdict);
}

static void
add(struct buf *b, const char *text)
{
    assert_int_equal(buf_add_str(b, text), 0);
}

static void
add_many(struct buf *b, char c, size_t n)
{
    char *room = buf_reserve(b, n);
    assert_non_null(room);
    memset(room, c, n);
    buf_commit(b, n);
}

/* --- F001, F002, F005: slow and silent clients ---------------------------------------------------
 */

static void
test_f001_a_slow_head_is_ended(void **state)
{
    (void)state;
    rig.limits.head_ms = 60;
    struct raw *r = rig_connect(&rig);
    const char *head = "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ";
    int64_t began = clock_mono_ms();
    while (!raw_is_over(r)) {
        raw_send(r, *head ? head++ : "x", 1);
        rig_run(rig.loop);
        assert_true(clock_mono_ms() - began < DEADLINE_MS);
    }
    assert_true(clock_mono_ms() - began >= 60);
    assert_string_equal(read_verdict(r).text, "408!");
    assert_int_equal(rig_stats(&rig).head_timeouts, 1);
    assert_int_equal(rig.app.requests, 0);
    raw_free(r);
}

static void
test_f001_a_slow_second_head_is_ended_too(void **state)
{
    (void)state;
    rig.limits.head_ms = 40;
    struct raw *r = rig_connect(&rig);
    raw_say(r, GET("/"));
    WAIT(rig.loop, raw_has(r, "|]"));
    raw_say(r, "GET / HTT");
    WAIT(rig.loop, raw_is_over(r));
    assert_string_equal(read_verdict(r).text, "200 408!");
    raw_free(r);
}

static void
test_f005_silence_is_ended_in_silence(void **state)
{
    (void)state;
    rig.limits.head_ms = 40;
    struct raw *r = rig_connect(&rig);
    WAIT(rig.loop, raw_is_over(r));
    assert_int_equal(r->in.len, 0);
    raw_free(r);
    rig.config.http2 = false; /* nothing to find out about the protocol then */
    http_server_free(rig.app.server);
    rig.app.server = http_server_new(rig.loop, &rig.config, &app_handlers, &rig.app);
    r = rig_connect(&rig);
    WAIT(rig.loop, raw_is_over(r));
    assert_int_equal(r->in.len, 0);
    raw_free(r);
}

static void
test_f005_connections_that_come_and_go(void **state)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct raw *r = rig_connect(&rig);
        if (i % 2)
            setsockopt(r->watch.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        raw_free(r);
    }
    WAIT(rig.loop, rig_stats(&rig).accepted == 200 && rig_stats(&rig).connections == 0);
    assert_int_equal(rig.app.requests, 0);
}

static void
test_f002_a_stalled_body_is_ended(void **state)
{
    (void)state;
    rig.limits.body_idle_ms = 50;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\nx");
    WAIT(rig.loop, raw_is_over(r));
    assert_string_equal(read_verdict(r).text, "408!");
    assert_int_equal(rig.app.aborts, 1);
    assert_int_equal(rig.app.last_abort, ERR_TIMEOUT);
    raw_free(r);
}

static void
test_f002_a_stalled_chunked_body_is_ended(void **state)
{
    (void)state;
    rig.limits.body_idle_ms = 50;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhel");
    WAIT(rig.loop, raw_is_over(r));
    assert_string_equal(read_verdict(r).text, "408!");
    raw_free(r);
}

/* The rate rule looks at windows of 30 s: this one is watched by its deadline alone. */
static void
test_f002_a_paused_body_is_not_late(void **state)
{
    (void)state;
    rig.limits.body_idle_ms = 30;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST /pause HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n");
    for (int i = 0; i < 10; i++)
        rig_run(rig.loop);
    assert_non_null(rig.app.held);
    assert_int_equal(rig.app.aborts, 0);
    struct exchange *x = rig.app.held;
    x->is_held = false;
    http_resume(x->stream);
    raw_say(r, "hello");
    WAIT(rig.loop, raw_has(r, "|hello]"));
    raw_free(r);
}

static void
test_keep_alive_ends_after_its_time(void **state)
{
    (void)state;
    rig.limits.keepalive_ms = 50;
    struct raw *r = rig_connect(&rig);
    raw_say(r, GET("/"));
    WAIT(rig.loop, raw_is_over(r));
    assert_string_equal(read_verdict(r).text, "200!");
    raw_free(r);
    WAIT(rig.loop, rig_stats(&rig).connections == 0);
}

/* --- F003: clients that do not read --------------------------------------------------------------
 */

static void
test_f003_a_client_that_does_not_read_holds_back_the_answer(void **state)
{
    enum { N = 16 * 1024 * 1024 };
    (void)state;
    struct raw *r = rig_connect(&rig);
    assert_int_equal(watch_want(&r->watch, 0), 0);
    raw_say(r, GET("/size/16777216"));
    for (int i = 0; i < 20; i++)
        rig_run(rig.loop);
    assert_int_equal(rig.app.live, 1);
    assert_true(rig.app.most_pending <= rig.limits.stream_buffer_bytes + 65536);
    assert_int_equal(watch_want(&r->watch, WATCH_READ), 0);
    WAIT(rig.loop, rig.app.live == 0 && r->in.len >= N);
    assert_true(rig.app.drained > 0);
    assert_string_equal(read_verdict(r).text, "200");
    raw_free(r);
}

static void
test_f003_a_stalled_answer_is_aborted(void **state)
{
    (void)state;
    rig.limits.write_stall_ms = 60;
    struct raw *r = rig_connect(&rig);
    assert_int_equal(watch_want(&r->watch, 0), 0);
    raw_say(r, GET("/size/16777216"));
    WAIT(rig.loop, rig.app.aborts == 1);
    assert_int_equal(rig.app.last_abort, ERR_TIMEOUT);
    assert_int_equal(watch_want(&r->watch, WATCH_READ), 0);
    WAIT(rig.loop, raw_is_over(r));
    assert_string_equal(read_verdict(r).text, "200~!");
    raw_free(r);
}

static void
test_a_request_body_waits_for_its_handler(void **state)
{
    enum { N = 24 * 1024 * 1024 };
    char *body = calloc(1, N);
    (void)state;
    assert_non_null(body);
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST /pause HTTP/1.1\r\n" HOST "Content-Length: 25165824\r\n\r\n");
    ssize_t sent = 0, n;
    for (int i = 0; i < 50; i++) {
        while ((n = send(r->watch.fd, body + sent, (size_t)(N - sent), MSG_NOSIGNAL)) > 0)
            sent += n;
        rig_run(rig.loop);
    }
    assert_int_equal(rig.app.body_bytes, 0);
    assert_true(sent < N); /* the kernels' buffers are full, not ours */
    struct exchange *x = rig.app.held;
    x->is_held = false;
    http_resume(x->stream);
    raw_send(r, body + sent, (size_t)(N - sent));
    WAIT(rig.loop, rig.app.body_ends == 1);
    assert_int_equal(rig.app.body_bytes, N);
    raw_free(r);
    free(body);
}

static void
test_an_echo_waits_for_its_reader(void **state)
{
    enum { N = 24 * 1024 * 1024 };
    char *body = malloc(N);
    (void)state;
    assert_non_null(body);
    memset(body, 'x', N);
    struct raw *r = rig_connect(&rig);
    assert_int_equal(watch_want(&r->watch, 0), 0);
    raw_say(r, "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 25165824\r\n\r\n");
    ssize_t sent = 0, n;
    for (int i = 0; i < 50; i++) {
        while ((n = send(r->watch.fd, body + sent, (size_t)(N - sent), MSG_NOSIGNAL)) > 0)
            sent += n;
        rig_run(rig.loop);
    }
    assert_true(sent < N);
    assert_true(rig.app.most_pending <= rig.limits.stream_buffer_bytes + 2 * 65536);
    assert_int_equal(watch_want(&r->watch, WATCH_READ), 0);
    raw_send(r, body + sent, (size_t)(N - sent));
    WAIT(rig.loop, rig.app.live == 0 && r->in.len > N && raw_has(r, "200"));
    raw_free(r);
    free(body);
}

/* --- F004, F023: half closed and gone ------------------------------------------------------------
 */

static void
test_f004_half_close_is_no_cancel(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST /hold HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx");
    shutdown(r->watch.fd, SHUT_WR);
    WAIT(rig.loop, rig.app.held && rig.app.body_ends == 1);
    for (int i = 0; i < 3; i++)
        rig_run(rig.loop);
    assert_int_equal(rig.app.aborts, 0);
    exchange_report(rig.app.held);
    WAIT(rig.loop, raw_is_over(r));
    assert_string_equal(read_verdict(r).text, "200!");
    raw_free(r);
}

static void
test_f004_half_close_is_a_cancel_where_configured(void **state)
{
    (void)state;
    rig.config.half_close_ok = false;
    struct raw *r = rig_connect(&rig);
    raw_say(r, GET("/hold"));
    shutdown(r->watch.fd, SHUT_WR);
    WAIT(rig.loop, rig.app.aborts == 1);
    assert_int_equal(rig.app.last_abort, ERR_CLOSED);
    raw_free(r);
}

static void
test_f023_a_reset_is_told_at_once(void **state)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, GET("/hold"));
    WAIT(rig.loop, rig.app.held);
    setsockopt(r->watch.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    raw_free(r);
    WAIT(rig.loop, rig.app.aborts == 1);
    assert_int_equal(rig.app.last_abort, ERR_RESET);
}

static void
test_f023_a_client_that_leaves_within_its_body(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST / HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhello");
    WAIT(rig.loop, rig.app.body_bytes == 5);
    raw_free(r);
    WAIT(rig.loop, rig.app.aborts == 1);
    assert_int_equal(rig.app.last_abort, ERR_CLOSED);
    WAIT(rig.loop, rig_stats(&rig).connections == 0);
    assert_int_equal(rig_stats(&rig).streams, 0);
}

/* FIN and then a reset, as from a client that closed: writing to it finds out. */
static void
test_f023_a_closed_client_is_noticed_when_written_to(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, GET("/hold"));
    WAIT(rig.loop, rig.app.held);
    raw_free(r);
    struct exchange *x = rig.app.held;
    assert_int_equal(http_respond(x->stream, 200, NULL, 0, -1, false), 0);
    for (int i = 0; i < 1000 && rig.app.aborts == 0; i++) {
        assert_int_equal(http_write(x->stream, SLICE("data: x\n\n")), 0);
        rig_run(rig.loop);
    }
    assert_int_equal(rig.app.aborts, 1);
}

/* --- F006 to F008: limits, each at one below, at, and one above ----------------------------------
 */

static void
test_f006_request_line(void **state)
{
    static const struct {
        size_t bytes;
        const char *verdict;
    } cases[] = {{8191, "200!"}, {8192, "200!"}, {8193, "414!"}, {1024 * 1024, "414!"}};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct buf b;
        buf_init(&b, 0);
        add(&b, "GET /");
        add_many(&b, 'a', cases[i].bytes - strlen("GET / HTTP/1.1"));
        add(&b, " HTTP/1.1\r\n" HOST "\r\n");
        assert_said(&b, cases[i].verdict);
        buf_free(&b);
    }
    assert_int_equal(rig.app.requests, 2);
}

static void
test_f006_the_limit_is_kept_before_the_line_ends(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    struct raw *r = rig_connect(&rig);
    add(&b, "GET /");
    add_many(&b, 'a', 8188);
    raw_send(r, b.at, b.len);
    WAIT(rig.loop, raw_is_over(r) || r->in.len > 0);
    WAIT(rig.loop, read_verdict(r).text[0] == '4');
    assert_int_equal(strncmp(read_verdict(r).text, "414", 3), 0);
    raw_free(r);
    buf_free(&b);
}

static void
test_f007_number_of_fields(void **state)
{
    static const struct {
        int count;
        const char *verdict;
    } cases[] = {{99, "200!"}, {100, "200!"}, {101, "431!"}, {100000, "431!"}};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct buf b;
        buf_init(&b, 0);
        add(&b, "GET / HTTP/1.1\r\n" HOST);
        for (int k = 1; k < cases[i].count; k++)
            add(&b, "a:b\r\n");
        add(&b, "\r\n");
        assert_said(&b, cases[i].verdict);
        buf_free(&b);
    }
}

static void
test_f007_length_of_a_field(void **state)
{
    static const struct {
        size_t bytes;
        const char *verdict;
    } cases[] = {{16383, "200!"}, {16384, "200!"}, {16385, "431!"}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct buf b;
        buf_init(&b, 0);
        add(&b, "GET / HTTP/1.1\r\n" HOST "a: ");
        add_many(&b, 'x', cases[i].bytes - 3);
        add(&b, "\r\n\r\n");
        assert_said(&b, cases[i].verdict);
        buf_free(&b);
    }
}

static void
test_f007_length_of_the_block(void **state)
{
    static const struct {
        size_t bytes;
        const char *verdict;
    } cases[] = {{65535, "200!"}, {65536, "200!"}, {65537, "431!"}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct buf b;
        size_t left = cases[i].bytes - strlen(HOST);
        buf_init(&b, 0);
        add(&b, "GET / HTTP/1.1\r\n" HOST);
        while (left > 0) {
            size_t n = left > 14000 ? 12000 : left;
            add(&b, "a:");
            add_many(&b, 'x', n - 4);
            add(&b, "\r\n");
            left -= n;
        }
        add(&b, "\r\n");
        assert_said(&b, cases[i].verdict);
        buf_free(&b);
    }
}

static void
body_of(struct buf *b, size_t n, bool chunked)
{
    buf_init(b, 0);
    add(b, "POST / HTTP/1.1\r\n" HOST);
    if (!chunked) {
        assert_int_equal(buf_addf(b, "Content-Length: %zu\r\n\r\n", n), 0);
        add_many(b, 'x', n);
        return;
    }
    add(b, "Transfer-Encoding: chunked\r\n\r\n");
    while (n > 0) {
        size_t some = n > 1000 ? 1000 : n;
        assert_int_equal(buf_addf(b, "%zx\r\n", some), 0);
        add_many(b, 'x', some);
        add(b, "\r\n");
        n -= some;
    }
    add(b, "0\r\n\r\n");
}

static void
test_f008_body_sizes(void **state)
{
    (void)state;
    rig.limits.body_bytes = 100000;
    for (int chunked = 0; chunked < 2; chunked++)
        for (size_t n = 99999; n <= 100001; n++) {
            struct buf b;
            body_of(&b, n, chunked);
            struct verdict v = say(b.at, b.len);
            assert_string_equal(v.text, n <= 100000 ? "200!" : "413!");
            buf_free(&b);
        }
    assert_int_equal(rig.app.aborts, 1); /* the declared one never got to the application */
    assert_int_equal(rig.app.last_abort, ERR_LIMIT);
}

static void
test_f008_continue_is_said_when_the_body_is_wanted(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n");
    WAIT(rig.loop, raw_has(r, "100 Continue\r\n\r\n"));
    raw_say(r, "hello");
    WAIT(rig.loop, raw_has(r, "|hello]"));
    assert_string_equal(read_verdict(r).text, "100 200");
    raw_free(r);
}

static void
test_f008_continue_waits_for_a_paused_handler(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST /pause HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    WAIT(rig.loop, rig.app.held);
    rig_run(rig.loop);
    assert_int_equal(r->in.len, 0);
    struct exchange *x = rig.app.held;
    x->is_held = false;
    http_resume(x->stream);
    WAIT(rig.loop, raw_has(r, "100 Continue\r\n\r\n"));
    raw_say(r, "hello");
    WAIT(rig.loop, raw_has(r, "|hello]"));
    raw_free(r);
}

/* The client may or may not send the body now: nobody can tell, so the connection ends. */
static void
test_f008_a_refused_expectation_ends_the_connection(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST /early HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    WAIT(rig.loop, raw_is_over(r));
    assert_string_equal(read_verdict(r).text, "401!");
    assert_true(raw_has(r, "connection: close\r\n"));
    raw_free(r);
}

/* --- F014: what chunks may cost ------------------------------------------------------------------
 */

static void
add_chunks(struct buf *b, size_t count, size_t each)
{
    buf_init(b, 0);
    add(b, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(buf_addf(b, "%zx\r\n", each), 0);
        add_many(b, 'x', each);
        add(b, "\r\n");
    }
    add(b, "0\r\n\r\n");
}

static void
test_f014_overhead_of_chunks(void **state)
{
    static const struct {
        size_t count, each;
        const char *verdict;
    } cases[] = {
        {1000000, 1, "400!"}, {100000, 1, "400!"}, {10000, 1, "200!"}, {100000, 10, "200!"}};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct buf b;
        add_chunks(&b, cases[i].count, cases[i].each);
        assert_said(&b, cases[i].verdict);
        buf_free(&b);
    }
}

static void
test_f014_length_of_a_chunk_line(void **state)
{
    (void)state;
    for (size_t n = 255; n <= 257; n++) {
        struct buf b;
        buf_init(&b, 0);
        add(&b, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1;");
        add_many(&b, 'e', n - 2);
        add(&b, "\r\nx\r\n0\r\n\r\n");
        assert_said(&b, n <= 256 ? "200!" : "400!");
        buf_free(&b);
    }
}

static void
test_f014_length_of_the_trailers(void **state)
{
    (void)state;
    for (size_t n = 8191; n <= 8193; n++) {
        struct buf b;
        buf_init(&b, 0);
        add(&b, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n");
        add(&b, "a:");
        add_many(&b, 'x', n - 4 - 1); /* the end's CR counts too */
        add(&b, "\r\n\r\n");
        assert_said(&b, n <= 8192 ? "200!" : "400!");
        buf_free(&b);
    }
    struct buf b;
    buf_init(&b, 0);
    add(&b, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 10000; i++)
        add(&b, "a:b\r\n");
    add(&b, "\r\n");
    assert_said(&b, "400!");
    buf_free(&b);
}

/* --- F018: pipelines -----------------------------------------------------------------------------
 */

static void
test_f018_a_thousand_pipelined_requests(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_addf(&b, "GET /%d HTTP/1.1\r\n" HOST "\r\n", i), 0);
    add(&b, "nonsense\r\n\r\n");
    struct raw *r = rig_connect(&rig);
    raw_send(r, b.at, b.len);
    shutdown(r->watch.fd, SHUT_WR);
    WAIT(rig.loop, raw_is_over(r));
    const char *at = raw_text(r);
    for (int i = 0; i < 1000; i++) {
        char want[32];
        snprintf(want, sizeof want, "[GET /%d @a", i);
        at = strstr(at, want);
        assert_non_null(at);
    }
    assert_non_null(strstr(at, "HTTP/1.1 400 "));
    assert_int_equal(rig.app.requests, 1000);
    raw_free(r);
    buf_free(&b);
}

/* While one is answered, the next waits, and no more is read than one buffer. */
static void
test_f018_one_request_at_a_time(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, GET("/hold"));
    size_t sent = 0;
    for (int i = 0; i < 200; i++) {
        ssize_t n;
        while ((n = send(r->watch.fd, GET("/hold"), strlen(GET("/hold")), MSG_NOSIGNAL)) > 0)
            sent += (size_t)n;
        rig_run(rig.loop);
        if (n < 0 && i > 20)
            break;
    }
    assert_true(sent > 200000); /* the kernels' buffers */
    assert_int_equal(rig.app.requests, 1);
    assert_int_equal(rig.app.live, 1);
    exchange_report(rig.app.held);
    WAIT(rig.loop, rig.app.requests == 2);
    assert_int_equal(rig.app.live, 1);
    raw_free(r);
}

/* --- F028: answers before the body ---------------------------------------------------------------
 */

static void
test_f028_a_small_rest_is_read_and_the_connection_kept(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST /early HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhello");
    WAIT(rig.loop, raw_has(r, "who are you?"));
    raw_say(r, "world" GET("/next"));
    WAIT(rig.loop, raw_has(r, "[GET /next @a"));
    assert_string_equal(read_verdict(r).text, "401 200");
    raw_free(r);
}

static void
test_f028_a_large_rest_ends_the_connection(void **state)
{
    static const char *const heads[] = {"Content-Length: 10000000\r\n\r\n",
                                        "Transfer-Encoding: chunked\r\n\r\n989680\r\n"};
    char *body = calloc(1, 1000000);
    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < 2; i++) {
        struct raw *r = rig_connect(&rig);
        raw_say(r, "POST /early HTTP/1.1\r\n" HOST);
        raw_say(r, heads[i]);
        WAIT(rig.loop, raw_has(r, "who are you?"));
        assert_true(raw_has(r, "connection: close\r\n"));
        for (int k = 0; k < 100 && !raw_is_over(r); k++)
            raw_send(r, body, 1000000);
        WAIT(rig.loop, raw_is_over(r));
        raw_free(r);
    }
    assert_int_equal(rig.app.requests, 2);
    assert_int_equal(rig.app.aborts, 0);
    free(body);
}

/* A rest that never comes does not hold the connection for ever. */
static void
test_f028_a_rest_that_stalls_ends_the_connection(void **state)
{
    (void)state;
    rig.limits.body_idle_ms = 40;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST /early HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n");
    WAIT(rig.loop, raw_is_over(r));
    assert_string_equal(read_verdict(r).text, "401!");
    raw_free(r);
}

static void
test_f028_a_late_body_cannot_be_a_request(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "POST /early HTTP/1.1\r\n" HOST "Content-Length: 45\r\n\r\n");
    WAIT(rig.loop, raw_has(r, "who are you?"));
    raw_say(r, "GET /smuggled HTTP/1.1\r\nHost: a\r\nXXXXX: y\r\n\r\n");
    raw_say(r, GET("/next"));
    WAIT(rig.loop, raw_has(r, "[GET /next @a"));
    assert_int_equal(rig.app.requests, 2);
    raw_free(r);
}

/* --- answers -------------------------------------------------------------------------------------
 */

static void
test_answers_without_a_body(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, GET("/empty") GET("/unchanged") GET("/"));
    WAIT(rig.loop, raw_has(r, "|]"));
    assert_string_equal(read_verdict(r).text, "204 304 200");
    const char *second = strstr(raw_text(r), "HTTP/1.1 304");
    const char *length = strstr(raw_text(r), "content-length");
    assert_true(!length || length > strstr(second, "\r\n\r\n"));
    assert_false(raw_has(r, "transfer-encoding"));
    raw_free(r);
}

static void
test_head_gets_no_body(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, "HEAD /size/100000 HTTP/1.1\r\n" HOST "\r\n"
               "HEAD /stream HTTP/1.1\r\n" HOST "\r\n");
    WAIT(rig.loop, raw_has(r, "transfer-encoding: chunked"));
    rig_run(rig.loop);
    assert_true(raw_has(r, "content-length: 100000\r\n"));
    const char *end = strstr(strstr(raw_text(r), "transfer-encoding"), "\r\n\r\n");
    assert_string_equal(end, "\r\n\r\n");
    assert_non_null(strstr(raw_text(r), "\r\n\r\nHTTP/1.1 200"));
    raw_free(r);
}

static void
test_trailers_go_to_who_takes_them(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r,
            "GET /trailers HTTP/1.1\r\n" HOST "TE: gzip;q=0.5, trailers\r\nConnection: TE\r\n\r\n");
    WAIT(rig.loop, raw_has(r, "0\r\nx-sum: 42\r\n\r\n"));
    raw_free(r);
    r = rig_connect(&rig);
    raw_say(r, GET("/trailers"));
    WAIT(rig.loop, raw_has(r, "4\r\nbody\r\n0\r\n\r\n"));
    raw_free(r);
}

static void
test_an_aborted_answer_is_seen_to_be_cut(void **state)
{
    static const char *const requests[] = {GET("/abort"), GET("/short"), GET("/abort-first"),
                                           "GET /abort HTTP/1.0\r\n\r\n"};
    static const char *const verdicts[] = {"200~!", "200~!", "!", ""};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct raw *r = rig_connect(&rig);
        raw_say(r, requests[i]);
        WAIT(rig.loop, raw_is_over(r));
        if (i < 3)
            assert_string_equal(read_verdict(r).text, verdicts[i]);
        else
            assert_true(
                r->reset); /* only a reset says so where the end of the connection is the end */
        raw_free(r);
    }
}

static void
test_f068_a_field_cannot_split_the_answer(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, GET("/split"));
    WAIT(rig.loop, raw_has(r, "500"));
    assert_false(rig.app.wrote_split);
    assert_false(raw_has(r, "x-injected"));
    raw_free(r);
}

static void
write_error_body(int status, const char *code, const char *message, struct buf *into)
{
    int err = buf_addf(into, "{\"mine\":%d,\"code\":\"%s\",\"why\":\"%s\"}", status, code, message);
    assert_int_equal(err, 0);
}

static void
test_errors_are_told_in_the_configured_words(void **state)
{
    (void)state;
    rig.config.error_body = write_error_body;
    rig.config.server_name = "headgate";
    struct raw *r = rig_connect(&rig);
    raw_say(r, "GET / HTTP/1.2\r\n\r\n");
    WAIT(rig.loop, raw_is_over(r));
    assert_true(raw_has(r, "{\"mine\":505,\"code\":\"http_version_not_supported\""));
    assert_true(raw_has(r, "server: headgate\r\n"));
    assert_true(raw_has(r, "connection: close\r\n"));
    assert_int_equal(rig_stats(&rig).bad_requests, 1);
    raw_free(r);
    r = rig_connect(&rig);
    raw_say(r, GET("/"));
    WAIT(rig.loop, raw_has(r, "server: headgate\r\n"));
    raw_free(r);
}

/* --- protocols -----------------------------------------------------------------------------------
 */

static void
test_the_preface_in_pieces_is_http_2(void **state)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    (void)state;
    for (size_t cut = 1; cut < sizeof preface - 1; cut++) {
        struct raw *r = rig_connect(&rig);
        raw_send(r, preface, cut);
        turns_run(&rig.turns);
        raw_send(r, preface + cut, sizeof preface - 1 - cut);
        raw_send(r, "\0\0\0\4\0\0\0\0\0", 9);
        WAIT(rig.loop, r->in.len >= 9);
        assert_int_equal(r->in.at[3], 4); /* SETTINGS */
        raw_free(r);
    }
}

static void
test_f016_the_preface_where_http_2_is_not_spoken(void **state)
{
    (void)state;
    rig.config.http2 = false;
    struct verdict v = say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    assert_string_equal(v.text, "505!");
}

/* --- the end -------------------------------------------------------------------------------------
 */

static int idle_calls;

static void
on_idle(void *ctx)
{
    (void)ctx;
    idle_calls++;
    loop_stop(rig.loop);
}

static void
test_drain_ends_the_idle_and_finishes_the_busy(void **state)
{
    (void)state;
    idle_calls = 0;
    struct raw *fresh = rig_connect(&rig), *idle = rig_connect(&rig), *busy = rig_connect(&rig);
    raw_say(idle, GET("/"));
    WAIT(rig.loop, raw_has(idle, "|]"));
    raw_say(busy, GET("/hold"));
    WAIT(rig.loop, rig.app.held);
    http_server_drain(rig.app.server, on_idle, NULL);
    WAIT(rig.loop, raw_is_over(fresh) && raw_is_over(idle));
    assert_int_equal(idle_calls, 0);
    assert_false(raw_is_over(busy));
    exchange_report(rig.app.held);
    WAIT(rig.loop, raw_is_over(busy) && idle_calls == 1);
    assert_string_equal(read_verdict(busy).text, "200!");
    assert_true(raw_has(busy, "connection: close\r\n"));
    raw_free(fresh);
    raw_free(idle);
    raw_free(busy);
}

/* A request that has reached us when the drain begins is still answered. */
static void
test_f019_drain_answers_what_has_come(void **state)
{
    (void)state;
    idle_calls = 0;
    struct raw *r = rig_connect(&rig);
    raw_say(r, GET("/"));
    WAIT(rig.loop, raw_has(r, "|]"));
    raw_say(r, GET("/last"));
    http_server_drain(rig.app.server, on_idle, NULL);
    WAIT(rig.loop, raw_is_over(r) && idle_calls == 1);
    assert_string_equal(read_verdict(r).text, "200 200!");
    raw_free(r);
}

static void
test_drain_of_an_idle_server_is_done_at_once(void **state)
{
    (void)state;
    idle_calls = 0;
    rig_start(&rig);
    http_server_drain(rig.app.server, on_idle, NULL);
    assert_int_equal(idle_calls, 0);
    WAIT(rig.loop, idle_calls == 1);
}

static void
test_freeing_the_server_aborts_what_runs(void **state)
{
    (void)state;
    struct raw *r = rig_connect(&rig);
    raw_say(r, GET("/hold"));
    WAIT(rig.loop, rig.app.held);
    http_server_free(rig.app.server);
    rig.app.server = NULL;
    assert_int_equal(rig.app.aborts, 1);
    assert_int_equal(rig.app.last_abort, ERR_CANCELLED);
    WAIT(rig.loop, raw_is_over(r));
    raw_free(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_f001_a_slow_head_is_ended),
        TEST(test_f001_a_slow_second_head_is_ended_too),
        TEST(test_f005_silence_is_ended_in_silence),
        TEST(test_f005_connections_that_come_and_go),
        TEST(test_f002_a_stalled_body_is_ended),
        TEST(test_f002_a_stalled_chunked_body_is_ended),
        TEST(test_f002_a_paused_body_is_not_late),
        TEST(test_keep_alive_ends_after_its_time),
        TEST(test_f003_a_client_that_does_not_read_holds_back_the_answer),
        TEST(test_f003_a_stalled_answer_is_aborted),
        TEST(test_a_request_body_waits_for_its_handler),
        TEST(test_an_echo_waits_for_its_reader),
        TEST(test_f004_half_close_is_no_cancel),
        TEST(test_f004_half_close_is_a_cancel_where_configured),
        TEST(test_f023_a_reset_is_told_at_once),
        TEST(test_f023_a_client_that_leaves_within_its_body),
        TEST(test_f023_a_closed_client_is_noticed_when_written_to),
        TEST(test_f006_request_line),
        TEST(test_f006_the_limit_is_kept_before_the_line_ends),
        TEST(test_f007_number_of_fields),
        TEST(test_f007_length_of_a_field),
        TEST(test_f007_length_of_the_block),
        TEST(test_f008_body_sizes),
        TEST(test_f008_continue_is_said_when_the_body_is_wanted),
        TEST(test_f008_continue_waits_for_a_paused_handler),
        TEST(test_f008_a_refused_expectation_ends_the_connection),
        TEST(test_f014_overhead_of_chunks),
        TEST(test_f014_length_of_a_chunk_line),
        TEST(test_f014_length_of_the_trailers),
        TEST(test_f018_a_thousand_pipelined_requests),
        TEST(test_f018_one_request_at_a_time),
        TEST(test_f028_a_small_rest_is_read_and_the_connection_kept),
        TEST(test_f028_a_large_rest_ends_the_connection),
        TEST(test_f028_a_rest_that_stalls_ends_the_connection),
        TEST(test_f028_a_late_body_cannot_be_a_request),
        TEST(test_answers_without_a_body),
        TEST(test_head_gets_no_body),
        TEST(test_trailers_go_to_who_takes_them),
        TEST(test_an_aborted_answer_is_seen_to_be_cut),
        TEST(test_f068_a_field_cannot_split_the_answer),
        TEST(test_errors_are_told_in_the_configured_words),
        TEST(test_the_preface_in_pieces_is_http_2),
        TEST(test_f016_the_preface_where_http_2_is_not_spoken),
        TEST(test_drain_ends_the_idle_and_finishes_the_busy),
        TEST(test_f019_drain_answers_what_has_come),
        TEST(test_drain_of_an_idle_server_is_done_at_once),
        TEST(test_freeing_the_server_aborts_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
