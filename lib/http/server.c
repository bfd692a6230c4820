/*
 * The protocol-independent half of the server: takes connections, finds out which protocol they
 * speak, keeps the list of them, drains, and hands calls on a stream to its protocol.
 */
#include "lib/http/server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/http/stream.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_BYTES 24
#define TICK_MS 500

/* A connection whose protocol is not known yet. */
struct greeting {
    struct http_server *server;
    struct conn *conn;
    struct timer timer;
    int64_t since_ms;
    char seen[PREFACE_BYTES]; /* of the preface, so far */
    size_t len;
    TAILQ_ENTRY(greeting) link;
};

TAILQ_HEAD(server_conns, http_server_conn);

struct http_server {
    struct http_server_core core;
    struct http_server_config config;
    struct server_conns ticked; /* those whose ops have a tick */
    struct server_conns quiet;
    TAILQ_HEAD(, greeting) greetings;
    struct timer tick;
    struct task idle_task;
    void (*on_idle)(void *ctx);
    void *idle_ctx;
    bool freeing;
};

static void on_first_data(void *ctx, struct slice bytes);
static void on_first_end(void *ctx, int err, const char *why);
static void on_secure(void *ctx);

static const struct conn_handlers greeting_handlers = {
    .on_data = on_first_data, .on_end = on_first_end, .on_open = on_secure};

/* --- the server ----------------------------------------------------------------------------------
 */

struct http_server *
http_server_new(struct loop *l, const struct http_server_config *config,
                const struct http_handlers *handlers, void *ctx)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->config = *config;
    s->core.loop = l;
    s->core.limits = config->limits ? config->limits : &http_limits_default;
    s->core.handlers = handlers;
    s->core.ctx = ctx;
    s->core.config = &s->config;
    TAILQ_INIT(&s->ticked);
    TAILQ_INIT(&s->quiet);
    TAILQ_INIT(&s->greetings);
    return s;
}

struct http_server_core *
http_server_core(struct http_server *s)
{
    return &s->core;
}

static void
on_idle_task(void *ctx)
{
    struct http_server *s = ctx;
    void (*on_idle)(void *) = s->on_idle;
    s->on_idle = NULL;
    if (on_idle)
        on_idle(s->idle_ctx);
}

static void
note_gone(struct http_server *s)
{
    s->core.stats.connections--;
    if (s->core.stats.connections == 0 && s->core.draining && s->on_idle && !s->freeing)
        loop_after(s->core.loop, &s->idle_task, on_idle_task, s);
}

static void
on_tick(void *ctx)
{
    struct http_server *s = ctx;
    struct http_server_conn *c, *next;
    int64_t now = loop_now_ms(s->core.loop);
    for (c = TAILQ_FIRST(&s->ticked); c; c = next) {
        next = TAILQ_NEXT(c, link);
        c->ops->tick(c, now);
    }
    if (!TAILQ_EMPTY(&s->ticked))
        timer_set(&s->tick, s->core.loop, TICK_MS, on_tick, s);
}

void
http_server_link(struct http_server *s, struct http_server_conn *c)
{
    s->core.stats.connections++;
    if (!c->ops->tick) {
        TAILQ_INSERT_TAIL(&s->quiet, c, link);
        return;
    }
    TAILQ_INSERT_TAIL(&s->ticked, c, link);
    if (!timer_is_pending(&s->tick))
        timer_set(&s->tick, s->core.loop, TICK_MS, on_tick, s);
}

void
http_server_unlink(struct http_server_conn *c)
{
    struct http_server *s = c->server;
    TAILQ_REMOVE(c->ops->tick ? &s->ticked : &s->quiet, c, link);
    note_gone(s);
}

/* --- which protocol ------------------------------------------------------------------------------
 */

/* The greeting is over; its conn goes on without it, or is closed by the caller. */
static void
greeting_end(struct greeting *g)
{
    struct http_server *s = g->server;
    timer_cancel(&g->timer);
    TAILQ_REMOVE(&s->greetings, g, link);
    note_gone(s);
    loop_bury(s->core.loop, g, free);
}

static void
greeting_close(struct greeting *g)
{
    struct conn *c = g->conn;
    greeting_end(g);
    conn_close(c);
}

static void
open_h1(struct greeting *g, struct slice seen)
{
    h1_server_open(g->server, g->conn, seen, g->since_ms);
    greeting_end(g);
}

static void
open_h2(struct greeting *g, struct slice seen)
{
    h2_server_open(g->server, g->conn, seen);
    greeting_end(g);
}

/* Both protocols are spoken, and the bytes so far could become the preface of HTTP/2. */
static void
on_first_data(void *ctx, struct slice bytes)
{
    struct greeting *g = ctx;
    struct slice all = bytes;
    char *joined = NULL;
    if (g->len > 0) { /* rare: the preface, or "P", came in pieces */
        joined = malloc(g->len + bytes.len);
        if (!joined) {
            greeting_close(g);
            return;
        }
        memcpy(joined, g->seen, g->len);
        memcpy(joined + g->len, bytes.at, bytes.len);
        all = slice_make(joined, g->len + bytes.len);
    }
    size_t n = all.len < PREFACE_BYTES ? all.len : PREFACE_BYTES;
    if (memcmp(all.at, PREFACE, n) != 0) {
        open_h1(g, all);
    } else if (n == PREFACE_BYTES) {
        open_h2(g, all);
    } else {
        memcpy(g->seen, all.at, n);
        g->len = n;
    }
    free(joined);
}

static void
on_first_end(void *ctx, int err, const char *why)
{
    (void)err;
    (void)why;
    greeting_close(ctx);
}

/* TLS: what was negotiated, or HTTP/1.1 for who negotiates nothing (RFC 9113 3.2: h2 only by ALPN).
 */
static void
on_secure(void *ctx)
{
    struct greeting *g = ctx;
    const struct http_server_config *config = &g->server->config;
    bool is_h2 = slice_is(conn_alpn(g->conn), "h2");
    if (is_h2 && config->http2)
        open_h2(g, (struct slice){0});
    else if (!is_h2 && config->http1)
        open_h1(g, (struct slice){0});
    else
        greeting_close(g);
}

static void
on_silent(void *ctx)
{
    greeting_close(ctx);
}

void
http_server_accept(struct http_server *s, int fd, struct tls_server *tls)
{
    s->core.stats.accepted++;
    if (s->core.draining) {
        close(fd);
        return;
    }
    struct greeting *g = calloc(1, sizeof *g);
    if (!g) {
        close(fd);
        return;
    }
    g->server = s;
    g->since_ms = loop_now_ms(s->core.loop);
    g->conn = conn_accepted(s->core.loop, fd, tls, &greeting_handlers, g);
    if (!g->conn) {
        free(g);
        return;
    }
    TAILQ_INSERT_TAIL(&s->greetings, g, link);
    s->core.stats.connections++;
    if (!tls && !s->config.http2)
        open_h1(g, (struct slice){0});
    else if (!tls && !s->config.http1)
        open_h2(g, (struct slice){0});
    else
        timer_set(&g->timer, s->core.loop, s->core.limits->head_ms, on_silent, g);
}

/* --- the end -------------------------------------------------------------------------------------
 */

static void
drain_list(struct server_conns *list)
{
    struct http_server_conn *c, *next;
    for (c = TAILQ_FIRST(list); c; c = next) {
        next = TAILQ_NEXT(c, link);
        c->ops->drain(c);
    }
}

void
http_server_drain(struct http_server *s, void (*on_idle)(void *), void *ctx)
{
    s->core.draining = true;
    s->on_idle = on_idle;
    s->idle_ctx = ctx;
    struct greeting *g;
    while ((g = TAILQ_FIRST(&s->greetings)))
        greeting_close(g);
    drain_list(&s->ticked);
    drain_list(&s->quiet);
    if (s->core.stats.connections == 0)
        loop_after(s->core.loop, &s->idle_task, on_idle_task, s);
}

void
http_server_free(struct http_server *s)
{
    if (!s || s->freeing)
        return;
    s->freeing = s->core.draining = true;
    struct greeting *g;
    struct http_server_conn *c;
    while ((g = TAILQ_FIRST(&s->greetings)))
        greeting_close(g);
    while ((c = TAILQ_FIRST(&s->ticked)) || (c = TAILQ_FIRST(&s->quiet)))
        c->ops->destroy(c, ERR_CANCELLED, "the server shuts down");
    timer_cancel(&s->tick);
    loop_unqueue(s->core.loop, &s->idle_task);
    loop_bury(s->core.loop, s, free);
}

void
http_server_get_stats(const struct http_server *s, struct http_server_stats *ret_stats)
{
    *ret_stats = s->core.stats;
}

int
http_server_error_body(struct http_server *s, int status, const char *code, const char *message,
                       struct buf *into)
{
    if (s->config.error_body) {
        s->config.error_body(status, code, message, into);
        return into->len > 0 ? 0 : ERR_NOMEM;
    }
    return buf_addf(into, "{\"error\":{\"message\":\"%s\",\"code\":\"%s\"}}\n", message, code);
}

const char *
http_server_error_type(const struct http_server *s)
{
    return s->config.error_type ? s->config.error_type : "application/json";
}

/* --- a stream ------------------------------------------------------------------------------------
 */

int
http_respond(struct http_stream *s, int status, const struct http_field *fields, size_t count,
             int64_t length, bool end_now)
{
    return s->ops->respond(s, status, fields, count, length, end_now);
}

int
http_reply(struct http_stream *s, int status, const struct http_field *fields, size_t count,
           struct slice body)
{
    bool bare = s->is_head_method || body.len == 0;
    int err = s->ops->respond(s, status, fields, count, (int64_t)body.len, bare);
    if (err != 0 || bare)
        return err;
    err = s->ops->write(s, body);
    if (err != 0 && err != ERR_AGAIN) {
        s->ops->abort(s); /* the head has gone out: nothing else can be said */
        return 0;
    }
    s->ops->end(s, NULL, 0);
    return 0;
}

int
http_write(struct http_stream *s, struct slice bytes)
{
    return s->ops->write(s, bytes);
}

void
http_end(struct http_stream *s, const struct http_field *trailers, size_t count)
{
    s->ops->end(s, trailers, count);
}

void
http_abort(struct http_stream *s)
{
    s->ops->abort(s);
}

void
http_pause(struct http_stream *s)
{
    s->ops->pause(s);
}

void
http_resume(struct http_stream *s)
{
    s->ops->resume(s);
}

size_t
http_pending(const struct http_stream *s)
{
    return s->ops->pending(s);
}

bool
http_has_responded(const struct http_stream *s)
{
    return s->responded;
}

struct arena *
http_arena(struct http_stream *s)
{
    return &s->arena;
}

const struct http_head *
http_request_head(const struct http_stream *s)
{
    return &s->head;
}

const char *
http_peer(const struct http_stream *s)
{
    return conn_peer(s->conn->conn);
}
