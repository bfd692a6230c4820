/* TLS on both sides of a connection, and against peers that do not keep to it (F054, F042). */
#include "tests/unit/lib/net/net_rig.h"

#include "lib/net/conn.h"
#include "tests/unit/lib/net/certs.h"

static struct loop *loop;
static struct certs certs;
static char cert[128], key[128];
static const char *const both[] = {"h2", "http/1.1", NULL};

struct end {
    struct conn *conn;
    struct buf in;
    int opened, ends, err;
    char why[256];
    bool is_pausing; /* pauses after each piece */
};

static void
end_on_data(void *ctx, struct slice bytes)
{
    struct end *e = ctx;
    assert_int_equal(buf_add_slice(&e->in, bytes), 0);
    if (e->is_pausing)
        conn_pause(e->conn);
    loop_stop(loop);
}

static void
end_on_end(void *ctx, int err, const char *why)
{
    struct end *e = ctx;
    e->ends++;
    e->err = err;
    snprintf(e->why, sizeof e->why, "%s", why);
    loop_stop(loop);
}

static void
end_on_open(void *ctx)
{
    struct end *e = ctx;
    e->opened++;
    loop_stop(loop);
}

static const struct conn_handlers handlers = {end_on_data, NULL, end_on_end, end_on_open};

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

static int
group_setup(void **state)
{
    (void)state;
    certs_init(&certs);
    certs_leaf(&certs, "server", "DNS:localhost,DNS:*.example.test,IP:127.0.0.1", 10, cert, key,
               sizeof cert);
    return 0;
}

static int
group_teardown(void **state)
{
    (void)state;
    certs_fini(&certs);
    return 0;
}

static void
end_fini(struct end *e)
{
    conn_close(e->conn);
    buf_free(&e->in);
}

/* --- two of our own ------------------------------------------------------------------------------
 */

struct link {
    struct tls_server *server;
    struct tls_client *client;
    struct end s, c;
    int fd; /* listening */
};

static void
link_contexts(struct link *k, const char *with_cert, const char *with_key, const char *client_ca,
              const char *ca, const char *const *alpn)
{
    const char *why = "";
    *k = (struct link){.fd = -1};
    assert_int_equal(tls_server_new(with_cert, with_key, client_ca, alpn, &k->server, &why), 0);
    assert_int_equal(tls_client_new(ca, client_ca ? with_cert : NULL, client_ca ? with_key : NULL,
                                    alpn, &k->client, &why),
                     0);
    buf_init(&k->s.in, 0);
    buf_init(&k->c.in, 0);
}

/* Connects and accepts; the handshake is still to come. */
static void
link_up(struct link *k, const char *name)
{
    const char *why;
    struct sockaddr_in to;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &k->fd, &why), 0);
    to = loopback(listener_port(k->fd));
    k->c.conn =
        conn_connect(loop, (struct sockaddr *)&to, sizeof to, k->client, name, &handlers, &k->c);
    assert_non_null(k->c.conn);
    int fd = accept4(k->fd, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fd >= 0);
    k->s.conn = conn_accepted(loop, fd, k->server, &handlers, &k->s);
    assert_non_null(k->s.conn);
}

static void
link_down(struct link *k)
{
    end_fini(&k->c);
    end_fini(&k->s);
    tls_server_free(k->server);
    tls_client_free(k->client);
    if (k->fd >= 0)
        close(k->fd);
}

static void
link_open(struct link *k, const char *name)
{
    link_contexts(k, cert, key, NULL, certs.ca_file, both);
    link_up(k, name);
    WAIT(loop, k->c.opened && k->s.opened);
}

static void
test_a_handshake_negotiates_and_verifies(void **state)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "a.example.test"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct link k;
        link_open(&k, names[i]);
        assert_true(slice_is(conn_alpn(k.c.conn), "h2"));
        assert_true(slice_is(conn_alpn(k.s.conn), "h2"));
        assert_true(conn_is_tls(k.s.conn));
        assert_int_equal(conn_write(k.c.conn, SLICE("question")), 0);
        WAIT(loop, k.s.in.len == 8);
        assert_int_equal(conn_write(k.s.conn, SLICE("answer")), 0);
        WAIT(loop, k.c.in.len == 6);
        link_down(&k);
    }
}

static void
test_a_megabyte_goes_both_ways_at_once(void **state)
{
    enum { N = 3 * 1024 * 1024 };
    struct link k;
    char *pattern = malloc(N);
    (void)state;
    assert_non_null(pattern);
    for (size_t i = 0; i < N; i++)
        pattern[i] = (char)(i * 31 + i / 251);
    link_open(&k, "localhost");
    for (size_t at = 0; at < N; at += N / 16) {
        assert_int_equal(conn_write(k.c.conn, slice_make(pattern + at, N / 16)), 0);
        assert_int_equal(conn_write(k.s.conn, slice_make(pattern + at, N / 32)), 0);
        assert_int_equal(conn_write(k.s.conn, slice_make(pattern + at + N / 32, N / 32)), 0);
    }
    WAIT(loop, k.s.in.len == N && k.c.in.len == N);
    assert_memory_equal(k.s.in.at, pattern, N);
    assert_memory_equal(k.c.in.at, pattern, N);
    assert_int_equal(conn_pending(k.c.conn) + conn_pending(k.s.conn), 0);
    link_down(&k);
    free(pattern);
}

static void
test_conn_send_through_tls(void **state)
{
    enum { N = 2 * 1024 * 1024 };
    struct link k;
    size_t at = 0;
    char *pattern = calloc(1, N);
    (void)state;
    assert_non_null(pattern);
    for (size_t i = 0; i < N; i++)
        pattern[i] = (char)(i * 17 + i / 253);
    link_open(&k, "localhost");
    while (at < N) {
        struct slice rest = slice_make(pattern + at, N - at);
        size_t taken = conn_send(k.c.conn, &rest, 1);
        at += taken;
        if (taken == 0)
            rig_run(loop);
    }
    WAIT(loop, k.s.in.len == N);
    assert_memory_equal(k.s.in.at, pattern, N);
    link_down(&k);
    free(pattern);
}

/* Bytes that OpenSSL has read already are not forgotten by a pause. */
static void
test_a_paused_conn_goes_on_where_it_stopped(void **state)
{
    enum { N = 200000 };
    struct link k;
    char *pattern = calloc(1, N);
    (void)state;
    assert_non_null(pattern);
    link_open(&k, "localhost");
    k.s.is_pausing = true;
    assert_int_equal(conn_write(k.c.conn, slice_make(pattern, N)), 0);
    conn_shutdown(k.c.conn);
    int pieces = 0;
    while (k.s.in.len < N) {
        size_t before = k.s.in.len;
        WAIT(loop, k.s.in.len > before);
        before = k.s.in.len;
        rig_run(loop);
        assert_int_equal(k.s.in.len, before);
        conn_resume(k.s.conn);
        pieces++;
    }
    assert_true(pieces > 3);
    WAIT(loop, k.s.ends == 1);
    assert_int_equal(k.s.err, ERR_CLOSED);
    link_down(&k);
    free(pattern);
}

static void
test_close_notify_is_an_end_in_order(void **state)
{
    struct link k;
    (void)state;
    link_open(&k, "localhost");
    assert_int_equal(conn_write(k.c.conn, SLICE("last")), 0);
    conn_close(k.c.conn);
    k.c.conn = NULL;
    WAIT(loop, k.s.ends == 1);
    assert_int_equal(k.s.err, ERR_CLOSED);
    assert_int_equal(k.s.in.len, 4);
    link_down(&k);
}

static void
test_finish_says_goodbye_in_order(void **state)
{
    struct link k;
    (void)state;
    link_open(&k, "localhost");
    assert_int_equal(conn_write(k.s.conn, SLICE("last")), 0);
    conn_finish(k.s.conn, DEADLINE_MS);
    k.s.conn = NULL;
    WAIT(loop, k.c.ends == 1);
    assert_int_equal(k.c.err, ERR_CLOSED);
    assert_int_equal(k.c.in.len, 4);
    link_down(&k);
}

/* --- who must not be trusted (F054) --------------------------------------------------------------
 */

static void
assert_refused(struct link *k, const char *name, const char *why)
{
    link_up(k, name);
    WAIT(loop, k->c.ends == 1 && k->s.ends == 1);
    assert_int_equal(k->c.err, ERR_TLS);
    assert_int_equal(k->c.opened, 0);
    if (why)
        assert_non_null(strstr(k->c.why, why));
    link_down(k);
}

static void
test_f054_a_certificate_for_another_name(void **state)
{
    struct link k;
    (void)state;
    link_contexts(&k, cert, key, NULL, certs.ca_file, both);
    assert_refused(&k, "other.test", "hostname mismatch");
    link_contexts(&k, cert, key, NULL, certs.ca_file, both);
    assert_refused(&k, "127.0.0.2", "IP address mismatch");
    link_contexts(&k, cert, key, NULL, certs.ca_file, both);
    assert_refused(&k, "a.b.example.test", "hostname mismatch");
}

static void
test_f054_an_unknown_authority(void **state)
{
    struct certs others;
    struct link k;
    (void)state;
    certs_init(&others);
    link_contexts(&k, cert, key, NULL, others.ca_file, both);
    assert_refused(&k, "localhost", NULL);
    link_contexts(&k, cert, key, NULL, NULL, both); /* the system's roots do not know it either */
    assert_refused(&k, "localhost", NULL);
    certs_fini(&others);
}

static void
test_f054_an_expired_certificate(void **state)
{
    char old_cert[128], old_key[128];
    struct link k;
    (void)state;
    certs_leaf(&certs, "old", "DNS:localhost", 0, old_cert, old_key, sizeof old_cert);
    link_contexts(&k, old_cert, old_key, NULL, certs.ca_file, both);
    assert_refused(&k, "localhost", "expired");
}

static void
test_a_name_is_needed(void **state)
{
    struct link k;
    (void)state;
    struct sockaddr_in to = loopback(1);
    link_contexts(&k, cert, key, NULL, certs.ca_file, both);
    k.c.conn = conn_connect(loop, (struct sockaddr *)&to, sizeof to, k.client, "", &handlers, &k.c);
    WAIT(loop, k.c.ends == 1);
    assert_int_equal(k.c.err, ERR_TLS);
    link_down(&k);
}

static void
test_no_common_protocol_is_no_handshake(void **state)
{
    static const char *const other[] = {"spdy/3", NULL};
    struct link k;
    (void)state;
    link_contexts(&k, cert, key, NULL, certs.ca_file, both);
    link_up(&k, "localhost");
    conn_offer_alpn(k.c.conn, other);
    WAIT(loop, k.c.ends == 1);
    assert_int_equal(k.c.err, ERR_TLS);
    link_down(&k);
}

static void
test_an_offer_can_be_narrowed(void **state)
{
    static const char *const h1[] = {"http/1.1", NULL};
    struct link k;
    (void)state;
    link_contexts(&k, cert, key, NULL, certs.ca_file, both);
    link_up(&k, "localhost");
    conn_offer_alpn(k.c.conn, h1);
    WAIT(loop, k.c.opened);
    assert_true(slice_is(conn_alpn(k.c.conn), "http/1.1"));
    link_down(&k);
}

static void
test_clients_must_show_a_certificate_where_one_is_wanted(void **state)
{
    struct link k;
    const char *why;
    (void)state;
    link_contexts(&k, cert, key, certs.ca_file, certs.ca_file, both);
    link_up(&k, "localhost");
    WAIT(loop, k.c.opened && k.s.opened);
    link_down(&k);
    link_contexts(&k, cert, key, certs.ca_file, certs.ca_file, both);
    tls_client_free(k.client);
    assert_int_equal(tls_client_new(certs.ca_file, NULL, NULL, both, &k.client, &why), 0);
    link_up(&k, "localhost");
    WAIT(loop, k.s.ends == 1);
    assert_int_equal(k.s.err, ERR_TLS);
    assert_int_equal(k.s.opened, 0);
    link_down(&k);
}

/* --- raw peers -----------------------------------------------------------------------------------
 */

static struct raw *
raw_to_server(struct link *k)
{
    const char *why;
    link_contexts(k, cert, key, NULL, certs.ca_file, both);
    assert_int_equal(listener_bind("127.0.0.1:0", false, &k->fd, &why), 0);
    struct raw *r = raw_connect(loop, listener_port(k->fd));
    k->s.conn =
        conn_accepted(loop, accept4(k->fd, NULL, NULL, SOCK_NONBLOCK), k->server, &handlers, &k->s);
    assert_non_null(k->s.conn);
    return r;
}

static void
test_clear_text_at_a_tls_server(void **state)
{
    struct link k;
    (void)state;
    struct raw *r = raw_to_server(&k);
    raw_say(r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    WAIT(loop, k.s.ends == 1);
    assert_int_equal(k.s.err, ERR_TLS);
    assert_int_equal(k.s.in.len, 0);
    raw_free(r);
    link_down(&k);
}

static void
test_a_peer_that_leaves_during_the_handshake(void **state)
{
    struct link k;
    (void)state;
    struct raw *r = raw_to_server(&k);
    raw_send(r, "\x16\x03\x01\x02\x00\x01", 6);
    rig_run(loop);
    raw_free(r);
    WAIT(loop, k.s.ends == 1);
    assert_int_equal(k.s.err, ERR_TLS);
    link_down(&k);
}

static void
test_a_client_that_stalls_can_be_closed(void **state)
{
    struct link k;
    (void)state;
    struct raw *r = raw_to_server(&k);
    raw_send(r, "\x16\x03\x01\x02\x00\x01", 6);
    rig_run(loop);
    conn_close(k.s.conn);
    k.s.conn = NULL;
    WAIT(loop, raw_is_over(r));
    assert_int_equal(k.s.ends, 0);
    raw_free(r);
    link_down(&k);
}

/* Passes bytes between two of our own ends, so that a test can cut the wire between them. */
struct relay {
    struct raw *a, *b;
};

static void
relay_some(struct relay *y)
{
    rig_run(loop);
    struct buf from_a = y->a->in, from_b = y->b->in;
    buf_init(&y->a->in, 0);
    buf_init(&y->b->in, 0);
    raw_send(y->b, from_a.at, from_a.len);
    raw_send(y->a, from_b.at, from_b.len);
    buf_free(&from_a);
    buf_free(&from_b);
}

static void
relay_up(struct link *k, struct relay *y)
{
    const char *why;
    y->b = raw_to_server(k);
    int fd;
    assert_int_equal(listener_bind("127.0.0.1:0", false, &fd, &why), 0);
    struct sockaddr_in to = loopback(listener_port(fd));
    k->c.conn = conn_connect(loop, (struct sockaddr *)&to, sizeof to, k->client, "localhost",
                             &handlers, &k->c);
    y->a = raw_new(loop, accept4(fd, NULL, NULL, SOCK_NONBLOCK));
    close(fd);
    int64_t until_ms = clock_mono_ms() + DEADLINE_MS;
    while (!k->c.opened || !k->s.opened) {
        assert_true(clock_mono_ms() < until_ms);
        relay_some(y);
    }
}

static void
test_f054_fin_without_close_notify_is_truncation(void **state)
{
    struct link k;
    struct relay y;
    (void)state;
    relay_up(&k, &y);
    assert_int_equal(conn_write(k.s.conn, SLICE("half of an answ")), 0);
    while (k.c.in.len < 15)
        relay_some(&y);
    shutdown(y.a->watch.fd, SHUT_WR);
    WAIT(loop, k.c.ends == 1);
    assert_int_equal(k.c.err, ERR_TRUNCATED);
    raw_free(y.a);
    raw_free(y.b);
    link_down(&k);
}

static void
test_f054_a_forged_record_breaks_the_connection(void **state)
{
    struct link k;
    struct relay y;
    (void)state;
    relay_up(&k, &y);
    raw_send(y.a, "\x17\x03\x03\x00\x14gggggggggggggggggggg", 25);
    WAIT(loop, k.c.ends == 1);
    assert_int_equal(k.c.err, ERR_RESET);
    assert_int_equal(k.c.in.len, 0);
    raw_free(y.a);
    raw_free(y.b);
    link_down(&k);
}

/* An old client, as OpenSSL can still be told to be. */
static void
test_f054_tls_1_1_is_refused(void **state)
{
    struct link k;
    (void)state;
    struct raw *r = raw_to_server(&k);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    assert_true(SSL_connect(ssl) < 0);
    char hello[4096];
    int n = BIO_read(out, hello, sizeof hello);
    assert_true(n > 0);
    raw_send(r, hello, (size_t)n);
    WAIT(loop, k.s.ends == 1);
    assert_int_equal(k.s.err, ERR_TLS);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    raw_free(r);
    link_down(&k);
}

/* --- contexts ------------------------------------------------------------------------------------
 */

static void
test_reload_serves_the_new_certificate(void **state)
{
    char a_cert[128], a_key[128], b_cert[128], b_key[128], command[600];
    struct link k;
    const char *why = "";
    (void)state;
    certs_leaf(&certs, "first", "DNS:first.test", 10, a_cert, a_key, sizeof a_cert);
    certs_leaf(&certs, "second", "DNS:second.test", 10, b_cert, b_key, sizeof b_cert);
    link_contexts(&k, a_cert, a_key, NULL, certs.ca_file, both);
    link_up(&k, "first.test");
    WAIT(loop, k.c.opened && k.s.opened);
    snprintf(command, sizeof command, "cp %s %s && cp %s %s", b_cert, a_cert, b_key, a_key);
    assert_int_equal(system(command), 0);
    assert_int_equal(tls_server_reload(k.server, &why), 0);
    assert_int_equal(conn_write(k.c.conn, SLICE("still here")), 0);
    WAIT(loop, k.s.in.len == 10);
    end_fini(&k.c);
    end_fini(&k.s);
    k.c = k.s = (struct end){.conn = NULL};
    close(k.fd);
    link_up(&k, "second.test");
    WAIT(loop, k.c.opened);
    snprintf(command, sizeof command, "echo broken > %s", a_cert);
    assert_int_equal(system(command), 0);
    assert_int_equal(tls_server_reload(k.server, &why), ERR_TLS);
    assert_non_null(strstr(why, a_cert));
    link_down(&k);
}

static void
test_a_context_may_go_before_its_connections(void **state)
{
    struct link k;
    (void)state;
    link_contexts(&k, cert, key, NULL, certs.ca_file, both);
    link_up(&k, "localhost");
    tls_server_free(k.server);
    tls_client_free(k.client);
    k.server = NULL;
    k.client = NULL;
    WAIT(loop, k.c.opened && k.s.opened);
    assert_true(slice_is(conn_alpn(k.s.conn), "h2"));
    link_down(&k);
}

static void
test_bad_files_are_named(void **state)
{
    struct tls_server *server;
    struct tls_client *client;
    const char *why = "";
    char other_cert[128], other_key[128];
    (void)state;
    certs_leaf(&certs, "other", "DNS:x", 10, other_cert, other_key, sizeof other_cert);
    assert_int_equal(tls_server_new("/nonexistent", key, NULL, both, &server, &why), ERR_NOT_FOUND);
    assert_string_equal(why, "cannot read the certificate /nonexistent");
    assert_int_equal(tls_server_new(cert, "/nonexistent", NULL, both, &server, &why),
                     ERR_NOT_FOUND);
    assert_int_equal(tls_server_new(cert, other_key, NULL, both, &server, &why), ERR_TLS);
    assert_non_null(strstr(why, other_key));
    assert_int_equal(tls_server_new(key, key, NULL, both, &server, &why), ERR_TLS);
    assert_int_equal(tls_client_new("/nonexistent", NULL, NULL, both, &client, &why),
                     ERR_NOT_FOUND);
    assert_int_equal(tls_client_new(key, NULL, NULL, both, &client, &why), ERR_TLS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_handshake_negotiates_and_verifies),
        TEST(test_a_megabyte_goes_both_ways_at_once),
        TEST(test_conn_send_through_tls),
        TEST(test_a_paused_conn_goes_on_where_it_stopped),
        TEST(test_close_notify_is_an_end_in_order),
        TEST(test_finish_says_goodbye_in_order),
        TEST(test_f054_a_certificate_for_another_name),
        TEST(test_f054_an_unknown_authority),
        TEST(test_f054_an_expired_certificate),
        TEST(test_a_name_is_needed),
        TEST(test_no_common_protocol_is_no_handshake),
        TEST(test_an_offer_can_be_narrowed),
        TEST(test_clients_must_show_a_certificate_where_one_is_wanted),
        TEST(test_clear_text_at_a_tls_server),
        TEST(test_a_peer_that_leaves_during_the_handshake),
        TEST(test_a_client_that_stalls_can_be_closed),
        TEST(test_f054_fin_without_close_notify_is_truncation),
        TEST(test_f054_a_forged_record_breaks_the_connection),
        TEST(test_f054_tls_1_1_is_refused),
        TEST(test_reload_serves_the_new_certificate),
        TEST(test_a_context_may_go_before_its_connections),
        TEST(test_bad_files_are_named),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
