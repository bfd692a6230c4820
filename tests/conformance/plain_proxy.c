/*
 * A reverse proxy of no features on lib/http: what the server and the client cost together, for the
 * profiler, and a peer for suites that need one.
 *
 *   plain_proxy --listen 127.0.0.1:8080 --upstream 127.0.0.1:9000 [--h2-upstream]
 */
#include "lib/base/options.h"
#include "lib/http/client.h"
#include "lib/http/server.h"
#include "lib/net/listener.h"
#include "lib/net/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct loop *loop;
static struct http_server *server;
static struct http_client *client;
static struct http_origin *origin;

/* One request on its way; lives in its stream's arena. */
struct passage {
    struct http_stream *stream; /* NULL: the client is gone */
    struct http_call *call;     /* NULL: no answer is under way */
    struct buf body;
    struct slice whole;
};

static void
passage_end(struct passage *p)
{
    buf_free(&p->body);
    p->stream = NULL;
    p->call = NULL;
}

static void
on_head(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct passage *p = ctx;
    if (http_respond(p->stream, head->status, head->fields, head->count, head->content_length,
                     false) == 0)
        return;
    http_call_cancel(call);
    http_abort(p->stream);
    passage_end(p);
}

static void
on_body(void *ctx, struct http_call *call, struct slice bytes)
{
    struct passage *p = ctx;
    int err = http_write(p->stream, bytes);
    if (err == ERR_AGAIN) {
        http_call_pause(call);
    } else if (err != 0) {
        http_call_cancel(call);
        http_abort(p->stream);
        passage_end(p);
    }
}

static void
on_end(void *ctx, struct http_call *call)
{
    struct passage *p = ctx;
    (void)call;
    http_end(p->stream, NULL, 0);
    passage_end(p);
}

static void
on_fail(void *ctx, struct http_call *call, int err, const char *why)
{
    struct passage *p = ctx;
    (void)call;
    (void)err;
    if (http_has_responded(p->stream))
        http_abort(p->stream);
    else if (http_reply(p->stream, 502, NULL, 0, slice_of(why)) != 0)
        http_abort(p->stream);
    passage_end(p);
}

static const struct http_call_handlers call_handlers = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};

static void *
on_request(void *ctx, struct http_stream *s, const struct http_head *head)
{
    struct passage *p = arena_zalloc(http_arena(s), sizeof *p);
    (void)ctx;
    (void)head;
    if (!p) {
        http_abort(s);
        return NULL;
    }
    p->stream = s;
    buf_init(&p->body, 0);
    return p;
}

static void
on_request_body(void *x, struct http_stream *s, struct slice bytes)
{
    struct passage *p = x;
    if (buf_add_slice(&p->body, bytes) == 0)
        return;
    http_abort(s);
    passage_end(p);
}

static void
on_request_end(void *x, struct http_stream *s)
{
    struct passage *p = x;
    const struct http_head *head = http_request_head(s);
    p->whole = buf_slice(&p->body);
    const struct http_request request = {.method = head->method,
                                         .path = head->path,
                                         .authority = SLICE("api.example"),
                                         .fields = head->fields,
                                         .count = head->count,
                                         .body = &p->whole,
                                         .body_count = p->whole.len > 0,
                                         .retry_dead = true};
    p->call = http_call_start(client, origin, &request, &call_handlers, p);
    if (p->call)
        return;
    http_abort(s);
    passage_end(p);
}

static void
on_client_drained(void *x, struct http_stream *s)
{
    struct passage *p = x;
    (void)s;
    if (p->call)
        http_call_resume(p->call);
}

static void
on_client_gone(void *x, struct http_stream *s, int err, const char *why)
{
    struct passage *p = x;
    (void)s;
    (void)err;
    (void)why;
    http_call_cancel(p->call);
    passage_end(p);
}

static const struct http_handlers handlers = {.on_request = on_request,
                                              .on_body = on_request_body,
                                              .on_body_end = on_request_end,
                                              .on_drained = on_client_drained,
                                              .on_abort = on_client_gone};

static void
on_accept(void *ctx, int fd)
{
    (void)ctx;
    http_server_accept(server, fd, NULL);
}

static void
on_signal(void *ctx, int signo)
{
    (void)signo;
    loop_stop(ctx);
}

static int
serve(int fd, const char *upstream, bool h2)
{
    struct slice host = slice_of(upstream);
    unsigned long long port;
    size_t colon = slice_find(host, ':', 0);
    if (slice_to_u64(slice_from(host, colon + 1), &port) != 0)
        return 2;
    host.len = colon;
    const struct http_server_config server_config = {
        .http1 = true, .http2 = true, .half_close_ok = false};
    const struct http_client_config client_config = {.max_idle_per_origin = 4096};
    loop = loop_new();
    server = loop ? http_server_new(loop, &server_config, &handlers, NULL) : NULL;
    client = server ? http_client_new(loop, &client_config) : NULL;
    if (client)
        origin = http_origin_get(client, false, host, (int)port, h2 ? HTTP_2 : HTTP_AUTO, true);
    struct listener *l = origin ? listener_new(loop, fd, on_accept, NULL) : NULL;
    struct loop_signal *stop = l ? loop_on_signal(loop, SIGTERM, on_signal, loop) : NULL;
    if (!stop)
        return 1;
    loop_run(loop);
    loop_signal_free(stop);
    listener_free(l);
    http_server_free(server);
    http_origin_unref(origin);
    http_client_free(client);
    loop_free(loop);
    return 0;
}

int
main(int argc, char **argv)
{
    const char *address = "127.0.0.1:0", *upstream = "127.0.0.1:9000", *why = "";
    bool h2 = false;
    const struct option_row rows[] = {
        {"listen", OPTION_TEXT, &address, "ADDR", NULL, 0, 0, "address to listen on", 0},
        {"upstream", OPTION_TEXT, &upstream, "ADDR", NULL, 0, 0, "where requests go", 0},
        {"h2-upstream", OPTION_FLAG, &h2, NULL, NULL, 0, 0, "speak HTTP/2 to it", 0},
    };
    const struct options options = {.program = "plain_proxy",
                                    .summary = "Passes requests to an upstream.",
                                    .arguments = "",
                                    .rows = rows,
                                    .count = sizeof rows / sizeof *rows};
    size_t args;
    int fd;
    int parsed = options_parse(&options, argc, argv, &args);
    if (parsed != 0)
        return parsed == 1 ? 0 : 2;
    if (listener_bind(address, false, &fd, &why) != 0) {
        fprintf(stderr, "plain_proxy: %s: %s\n", address, why);
        return 1;
    }
    printf("listening on port %d\n", listener_port(fd));
    fflush(stdout);
    return serve(fd, upstream, h2);
}
