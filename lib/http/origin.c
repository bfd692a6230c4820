/*
 * Origins: where a client's connections come from and wait. A call in the queue is served by an
 * idle connection (the one used last), by room on an HTTP/2 one, or by a new one. Attempts to
 * connect belong to the origin, not to a call: whichever connection is ready first serves who waits
 * longest.
 */
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http/client_internal.h"

/* An attempt to get one new connection: resolve, then each address in turn, within one deadline. */
struct attempt {
    struct http_origin *origin;
    struct dns_query *query;
    struct conn *conn;
    struct sockaddr_storage addresses[DNS_MAX_ADDRESSES];
    size_t count, next;
    struct timer timer; /* of the address being tried, the last one until the deadline */
    int64_t deadline_ms;
    int err; /* of the last address tried */
    const char *why;
    TAILQ_ENTRY(attempt) link;
};

static void serve(void *ctx);
static void attempt_next(struct attempt *a);
static void on_attempt_due(void *ctx);
static void attempt_failed(struct attempt *a, int err, const char *why);

/* --- life ----------------------------------------------------------------------------------------
 */

static char *
make_key(bool https, struct slice host, int port, enum http_protocol protocol, bool allow_private)
{
    char *key = NULL;
    if (asprintf(&key, "%d|%.*s|%d|%d|%d", https, SLICE_ARG(host), port, (int)protocol,
                 allow_private) < 0)
        return NULL;
    return key;
}

static char *
make_authority(bool https, struct slice host, int port)
{
    char *authority = NULL;
    const char *open = memchr(host.at, ':', host.len) ? "[" : "";
    const char *close = *open ? "]" : "";
    int n = port == (https ? 443 : 80)
                ? asprintf(&authority, "%s%.*s%s", open, SLICE_ARG(host), close)
                : asprintf(&authority, "%s%.*s%s:%d", open, SLICE_ARG(host), close, port);
    return n < 0 ? NULL : authority;
}

static void
origin_free(void *arg)
{
    struct http_origin *o = arg;
    free(o->key);
    free(o->host);
    free(o->authority);
    free(o);
}

struct http_origin *
http_origin_get(struct http_client *c, bool https, struct slice host, int port,
                enum http_protocol protocol, bool allow_private)
{
    char *key = make_key(https, host, port, protocol, allow_private);
    if (!key)
        return NULL;
    struct http_origin *o = map_find(&c->origins, slice_of(key));
    if (o) {
        free(key);
        o->refs++;
        return o;
    }
    o = calloc(1, sizeof *o);
    if (!o) {
        free(key);
        return NULL;
    }
    *o = (struct http_origin){.client = c,
                              .key = key,
                              .refs = 1,
                              .port = port,
                              .https = https,
                              .allow_private = allow_private,
                              .protocol = protocol};
    o->host = slice_dup(host);
    o->authority = make_authority(https, host, port);
    if (protocol == HTTP_1 || (protocol == HTTP_AUTO && !https))
        o->speaks = 11;
    else if (protocol == HTTP_2)
        o->speaks = 20;
    TAILQ_INIT(&o->idle);
    TAILQ_INIT(&o->busy);
    TAILQ_INIT(&o->attempts);
    TAILQ_INIT(&o->waiting);
    if (!o->host || !o->authority || map_put(&c->origins, slice_of(key), o) != 0) {
        origin_free(o);
        return NULL;
    }
    return o;
}

void
origin_ref(struct http_origin *o)
{
    o->refs++;
}

static void
attempt_end(struct attempt *a)
{
    struct http_origin *o = a->origin;
    timer_cancel(&a->timer);
    dns_cancel(a->query);
    conn_close(a->conn);
    TAILQ_REMOVE(&o->attempts, a, link);
    o->attempts_count--;
    loop_bury(o->client->loop, a, free);
}

static void
remove_idle(struct http_client_conn *c)
{
    TAILQ_REMOVE(&c->origin->idle, c, link);
    c->origin->idle_count--;
}

static void
destroy_idle(struct http_client_conn *c)
{
    remove_idle(c);
    c->origin->client->stats.connections--;
    c->retired = true;
    c->ops->destroy(c);
}

void
origin_destroy(struct http_origin *o)
{
    struct attempt *a;
    struct http_client_conn *c;
    while ((a = TAILQ_FIRST(&o->attempts)))
        attempt_end(a);
    while ((c = TAILQ_FIRST(&o->idle)))
        destroy_idle(c);
    assert(TAILQ_EMPTY(&o->busy) && TAILQ_EMPTY(&o->waiting) && "a call is still in flight");
    timer_cancel(&o->idle_timer);
    loop_unqueue(o->client->loop, &o->task);
    (void)map_remove(&o->client->origins, slice_of(o->key));
    loop_bury(o->client->loop, o, origin_free);
}

void
http_origin_unref(struct http_origin *o)
{
    if (!o || --o->refs > 0)
        return;
    origin_destroy(o);
}

struct http_client *
http_origin_client(const struct http_origin *o)
{
    return o->client;
}

/* --- the pool ------------------------------------------------------------------------------------
 */

static void
on_idle_due(void *ctx)
{
    struct http_origin *o = ctx;
    struct loop *l = o->client->loop;
    int64_t now = loop_now_ms(l);
    struct http_client_conn *oldest;
    while ((oldest = TAILQ_LAST(&o->idle, client_conns))) {
        int64_t left = oldest->idle_since_ms + o->client->config.idle_ms - now;
        if (left > 0) {
            timer_set(&o->idle_timer, l, left, on_idle_due, o);
            return;
        }
        destroy_idle(oldest);
    }
}

static void
make_idle(struct http_client_conn *c)
{
    struct http_origin *o = c->origin;
    struct loop *l = o->client->loop;
    c->idle_since_ms = loop_now_ms(l);
    TAILQ_INSERT_HEAD(&o->idle, c, link);
    o->idle_count++;
    if (!timer_is_pending(&o->idle_timer))
        timer_set(&o->idle_timer, l, o->client->config.idle_ms, on_idle_due, o);
    if (o->idle_count > o->client->config.max_idle_per_origin)
        destroy_idle(TAILQ_LAST(&o->idle, client_conns));
}

void
origin_release(struct http_client_conn *c)
{
    struct http_origin *o = c->origin;
    assert(c->calls > 0);
    if (--c->calls == 0) {
        TAILQ_REMOVE(&o->busy, c, link);
        if (c->retired) {
            o->client->stats.connections--;
            c->ops->destroy(c);
        } else {
            make_idle(c);
        }
    }
    if (o->waiting_count > 0)
        loop_after(o->client->loop, &o->task, serve, o);
}

void
http_client_conn_retire(struct http_client_conn *c)
{
    if (c->retired)
        return;
    if (c->calls == 0)
        destroy_idle(c);
    else
        c->retired = true;
}

/* A connection that can take a call now. */
static struct http_client_conn *
find_room(struct http_origin *o)
{
    struct http_client_conn *c;
    if (o->speaks != 11)
        TAILQ_FOREACH (c, &o->busy, link)
            if (!c->retired && c->ops->room(c) > 0)
                return c;
    TAILQ_FOREACH (c, &o->idle, link)
        if (c->ops->room(c) > 0)
            return c;
    return NULL;
}

static void
give(struct http_client_conn *c, struct http_call *call)
{
    struct http_origin *o = c->origin;
    origin_dequeue(o, call);
    if (c->calls == 0) {
        remove_idle(c);
        TAILQ_INSERT_HEAD(&o->busy, c, link);
    }
    c->calls++;
    if (c->reused)
        o->client->stats.reuses++;
    client_call_assign(call, c);
}

/* --- connecting ----------------------------------------------------------------------------------
 */

static bool
must_refuse(const struct http_origin *o, const struct sockaddr *address)
{
    return !o->allow_private && address_is_private(address);
}

static void
on_open(void *ctx)
{
    struct attempt *a = ctx;
    struct http_origin *o = a->origin;
    struct conn *conn = a->conn;
    /* What was connected to in truth counts, whatever the resolver said. */
    if (must_refuse(o, conn_peer_addr(conn))) {
        attempt_failed(a, ERR_DENIED, "the address is private");
        return;
    }
    bool is_h2 = o->https ? slice_is(conn_alpn(conn), "h2") : o->protocol == HTTP_2;
    if ((o->protocol == HTTP_2 && !is_h2) || (o->protocol == HTTP_1 && is_h2)) {
        attempt_failed(a, ERR_PROTOCOL, "the server does not speak the protocol asked for");
        return;
    }
    a->conn = NULL;
    o->speaks = is_h2 ? 20 : 11;
    struct http_client_conn *c = is_h2 ? h2_client_open(o, conn) : h1_client_open(o, conn);
    if (!c) {
        conn_close(conn);
        attempt_failed(a, ERR_NOMEM, "no memory for a connection");
        return;
    }
    o->client->stats.connections++;
    attempt_end(a);
    make_idle(c);
    serve(o);
}

static void
on_end(void *ctx, int err, const char *why)
{
    struct attempt *a = ctx;
    /* A failed handshake says more than that the next address is not there either. */
    if (a->err != ERR_TLS || err == ERR_TLS) {
        a->err = err == ERR_CLOSED || err == ERR_RESET || err == ERR_TRUNCATED ? ERR_CONNECT : err;
        a->why = why;
    }
    conn_close(a->conn);
    a->conn = NULL;
    attempt_next(a);
}

static void
on_early_data(void *ctx, struct slice bytes)
{
    (void)bytes; /* cannot be: the conn is handed on when it opens */
    attempt_failed(ctx, ERR_PROTOCOL, "data before the connection was open");
}

static const struct conn_handlers attempt_handlers = {
    .on_data = on_early_data, .on_end = on_end, .on_open = on_open};

static socklen_t
length_of(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* What is left of the deadline, in equal shares to this address and those after it: one that
 * swallows packets does not cost the others their turn. */
static void
share_time(struct attempt *a)
{
    struct loop *l = a->origin->client->loop;
    int64_t left = a->deadline_ms - loop_now_ms(l);
    timer_set(&a->timer, l, left / (int64_t)(a->count - a->next + 1), on_attempt_due, a);
}

static void
attempt_next(struct attempt *a)
{
    struct http_origin *o = a->origin;
    struct http_client *client = o->client;
    static const char *const only_h1[] = {"http/1.1", NULL};
    while (a->next < a->count) {
        const struct sockaddr_storage *to = &a->addresses[a->next++];
        if (must_refuse(o, (const struct sockaddr *)to)) {
            if (a->err == 0) {
                a->err = ERR_DENIED;
                a->why = "the address is private";
            }
            continue;
        }
        client->stats.connects++;
        a->conn = conn_connect(client->loop, (const struct sockaddr *)to, length_of(to),
                               o->https ? client->config.tls : NULL, o->host, &attempt_handlers, a);
        if (!a->conn) {
            a->err = ERR_NOMEM;
            a->why = "no memory for a connection";
            continue;
        }
        if (o->https && o->protocol == HTTP_1)
            conn_offer_alpn(a->conn, only_h1);
        share_time(a);
        return;
    }
    attempt_failed(a, a->err ? a->err : ERR_DNS, a->why ? a->why : "the name has no address");
}

static void
on_resolved(void *ctx, int err, const struct sockaddr_storage *addresses, size_t n)
{
    struct attempt *a = ctx;
    a->query = NULL;
    if (err != 0) {
        attempt_failed(a, err == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_DNS,
                       "the host name did not resolve");
        return;
    }
    memcpy(a->addresses, addresses, n * sizeof *addresses);
    a->count = n;
    attempt_next(a);
}

/* The address has had its share of the time: the next one, or the end. */
static void
on_attempt_due(void *ctx)
{
    struct attempt *a = ctx;
    if (a->err != ERR_TLS) {
        a->err = ERR_TIMEOUT;
        a->why = "connecting took too long";
    }
    if (a->query || a->next == a->count) {
        attempt_failed(a, a->err, a->why);
        return;
    }
    conn_close(a->conn);
    a->conn = NULL;
    attempt_next(a);
}

static bool
attempt_start(struct http_origin *o)
{
    struct http_client *client = o->client;
    struct attempt *a = calloc(1, sizeof *a);
    if (!a)
        return false;
    a->origin = o;
    a->query = dns_resolve(client->dns, o->host, o->port, on_resolved, a);
    if (!a->query) {
        free(a);
        return false;
    }
    a->deadline_ms = loop_now_ms(client->loop) + client->limits->connect_ms;
    timer_set(&a->timer, client->loop, client->limits->connect_ms, on_attempt_due, a);
    TAILQ_INSERT_TAIL(&o->attempts, a, link);
    o->attempts_count++;
    return true;
}

/* Where each waiting call has an attempt of its own, one call fails with it; where one connection
 * serves all, all that wait do. */
static void
attempt_failed(struct attempt *a, int err, const char *why)
{
    struct http_origin *o = a->origin;
    attempt_end(a);
    size_t victims = o->speaks == 11 ? 1 : o->waiting_count;
    origin_ref(o);
    while (victims-- > 0 && o->waiting_count > o->attempts_count)
        client_call_refuse(TAILQ_FIRST(&o->waiting), err, why);
    http_origin_unref(o);
}

/* --- the queue -----------------------------------------------------------------------------------
 */

static size_t
attempts_wanted(const struct http_origin *o)
{
    if (o->speaks == 11)
        return o->waiting_count;
    return o->waiting_count > 0 ? 1 : 0;
}

/* Serves who waits, as far as there are connections, and sees to it that there will be more. */
static void
serve(void *ctx)
{
    struct http_origin *o = ctx;
    struct http_call *call, *next;
    struct http_client_conn *c;
    origin_ref(o);
    for (call = TAILQ_FIRST(&o->waiting); call; call = next) {
        next = TAILQ_NEXT(call, link);
        c = find_room(o);
        if (!c)
            break;
        if (call->retried && c->reused && o->speaks == 11)
            continue; /* its first connection was dead: others as old may be too */
        give(c, call);
        if (!TAILQ_EMPTY(&o->waiting))
            next = TAILQ_FIRST(&o->waiting); /* giving calls back, and may change the queue */
    }
    while (o->attempts_count < attempts_wanted(o))
        if (!attempt_start(o)) {
            client_call_refuse(TAILQ_FIRST(&o->waiting), ERR_NOMEM, "no memory to connect");
            break;
        }
    http_origin_unref(o);
}

void
origin_enqueue(struct http_origin *o, struct http_call *call, bool first)
{
    if (first)
        TAILQ_INSERT_HEAD(&o->waiting, call, link);
    else
        TAILQ_INSERT_TAIL(&o->waiting, call, link);
    o->waiting_count++;
    loop_after(o->client->loop, &o->task, serve, o);
}

void
origin_dequeue(struct http_origin *o, struct http_call *call)
{
    TAILQ_REMOVE(&o->waiting, call, link);
    o->waiting_count--;
}

const char *
http_origin_authority(const struct http_origin *o)
{
    return o->authority;
}
