/*
 * A server that says back what it is told, for conformance suites, fuzzers and profilers: over
 * HTTP/1.1 and HTTP/2 (prior knowledge in clear, ALPN over TLS). The answer is a line with method
 * and path, then the request's body as it comes, held back when the client does not take it.
 *
 *   echo_server --listen 127.0.0.1:8080 [--tls-cert FILE --tls-key FILE]
 */
#include "lib/base/options.h"
#include "lib/http/server.h"
#include "lib/net/listener.h"
#include "lib/net/loop.h"
#include "lib/net/tls.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct echo {
    struct loop *loop;
    struct http_server *server;
    struct tls_server *tls;
};

static void *
on_request(void *ctx, struct http_stream *s, const struct http_head *head)
{
    static const struct http_field type = {SLICE("content-type"), SLICE("text/plain"), false};
    struct slice line[] = {head->method, SLICE(" "), head->path, SLICE("\n")};
    int err = http_respond(s, 200, &type, 1, -1, false);
    for (size_t i = 0; i < 4 && err == 0; i++)
        err = http_write(s, line[i]);
    if (err == 0)
        return ctx;
    http_abort(s);
    return NULL;
}

static void
on_body(void *x, struct http_stream *s, struct slice bytes)
{
    (void)x;
    int err = http_write(s, bytes);
    if (err == ERR_AGAIN)
        http_pause(s);
    else if (err != 0)
        http_abort(s);
}

static void
on_drained(void *x, struct http_stream *s)
{
    (void)x;
    http_resume(s);
}

static void
on_body_end(void *x, struct http_stream *s)
{
    (void)x;
    http_end(s, NULL, 0);
}

static void
on_abort(void *x, struct http_stream *s, int err, const char *why)
{
    (void)x;
    (void)s;
    (void)err;
    (void)why;
}

static const struct http_handlers handlers = {.on_request = on_request,
                                              .on_body = on_body,
                                              .on_body_end = on_body_end,
                                              .on_drained = on_drained,
                                              .on_abort = on_abort};

static void
on_accept(void *ctx, int fd)
{
    struct echo *e = ctx;
    http_server_accept(e->server, fd, e->tls);
}

static void
on_signal(void *ctx, int signo)
{
    struct echo *e = ctx;
    (void)signo;
    loop_stop(e->loop);
}

static int
serve(struct echo *e, int fd)
{
    const struct http_server_config config = {.http1 = true, .http2 = true, .half_close_ok = true};
    e->loop = loop_new();
    e->server = e->loop ? http_server_new(e->loop, &config, &handlers, e) : NULL;
    struct listener *l = e->server ? listener_new(e->loop, fd, on_accept, e) : NULL;
    struct loop_signal *stop = l ? loop_on_signal(e->loop, SIGTERM, on_signal, e) : NULL;
    if (!stop)
        return 1;
    printf("listening on port %d\n", listener_port(fd));
    fflush(stdout);
    loop_run(e->loop);
    loop_signal_free(stop);
    listener_free(l);
    http_server_free(e->server);
    loop_free(e->loop);
    return 0;
}

int
main(int argc, char **argv)
{
    const char *address = "127.0.0.1:0", *cert = NULL, *key = NULL, *why = "";
    const struct option_row rows[] = {
        {"listen", OPTION_TEXT, &address, "ADDR", NULL, 0, 0, "address to listen on", 0},
        {"tls-cert", OPTION_TEXT, &cert, "FILE", NULL, 0, 0, "serve TLS with this certificate", 0},
        {"tls-key", OPTION_TEXT, &key, "FILE", NULL, 0, 0, "and this key", 0},
    };
    const struct options options = {.program = "echo_server",
                                    .summary = "Says back what it is told.",
                                    .arguments = "",
                                    .rows = rows,
                                    .count = sizeof rows / sizeof *rows};
    size_t args;
    int fd;
    int parsed = options_parse(&options, argc, argv, &args);
    if (parsed != 0)
        return parsed == 1 ? 0 : 2;
    struct echo e = {NULL, NULL, NULL};
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    if (cert && tls_server_new(cert, key ? key : cert, NULL, alpn, &e.tls, &why) != 0) {
        fprintf(stderr, "echo_server: %s\n", why);
        return 1;
    }
    if (listener_bind(address, false, &fd, &why) != 0) {
        fprintf(stderr, "echo_server: %s: %s\n", address, why);
        return 1;
    }
    int status = serve(&e, fd);
    tls_server_free(e.tls);
    return status;
}
