/*
 * Internal to lib/http: what HTTP/1.1 and HTTP/2 implement so that server.c and client.c need not
 * know which of them speaks. Outside lib/http use server.h and client.h.
 *
 * Server side: server.c accepts a connection, learns the protocol (ALPN, or the h2 preface) and
 * hands it with the bytes read so far to h1_server_open() or h2_server_open(). That file then owns
 * the conn, makes streams that begin with struct http_stream, and calls the handlers.
 *
 * Client side: client.c resolves, connects, pools, keeps deadlines; h1_client.c and h2_client.c
 * turn calls into bytes and bytes into head, body, end.
 */
#ifndef LIB_HTTP_STREAM_H
#define LIB_HTTP_STREAM_H

#include "lib/http/client.h"
#include "lib/http/message.h"
#include "lib/http/server.h"
#include "lib/net/conn.h"

#include <sys/queue.h>

/* ---- server -------------------------------------------------------------------------------- */

struct http_stream_ops {
    int (*respond)(struct http_stream *, int status, const struct http_field *, size_t count,
                   int64_t length, bool end_now);
    int (*write)(struct http_stream *, struct slice);
    void (*end)(struct http_stream *, const struct http_field *trailers, size_t count);
    void (*abort)(struct http_stream *);
    void (*pause)(struct http_stream *);
    void (*resume)(struct http_stream *);
    size_t (*pending)(const struct http_stream *);
};

/* The head of every protocol's own stream struct. */
struct http_stream {
    const struct http_stream_ops *ops;
    struct http_server_conn *conn;
    struct arena arena;
    struct http_head head;
    void *x;             /* the handler's object */
    bool responded;      /* the head of the answer was given */
    bool ended;          /* http_end or http_abort was called, or on_abort was delivered */
    bool is_head_method; /* HEAD: no body goes out */
};

struct http_server_conn_ops {
    void (*drain)(struct http_server_conn *); /* graceful: finish what runs, take no more */
    void (*destroy)(struct http_server_conn *, int err,
                    const char *why); /* on_abort each stream, free */
    /* Deadlines: called twice a second. NULL: it keeps timers of its own. */
    void (*tick)(struct http_server_conn *, int64_t now_ms);
};

/* The head of h1's and h2's own connection structs; linked into the server's list by
 * http_server_link(), taken out by http_server_unlink() before it is freed. */
struct http_server_conn {
    const struct http_server_conn_ops *ops;
    struct http_server *server;
    struct conn *conn;
    TAILQ_ENTRY(http_server_conn) link;
};

struct http_server_core { /* what the protocol files may read of the server */
    struct loop *loop;
    const struct http_limits *limits;
    const struct http_handlers *handlers;
    void *ctx;
    const struct http_server_config *config;
    bool draining;
    struct http_server_stats stats;
};
struct http_server_core *http_server_core(struct http_server *s);
void http_server_link(struct http_server *s, struct http_server_conn *c);
void http_server_unlink(struct http_server_conn *c);

/* Take a connection whose handlers server.c had installed; `seen` are the bytes already read (the
 * h2 preface among them), to be parsed as the first input. Implementations re-point the conn's
 * handlers with conn_set_handlers(). since_ms: when the connection was accepted. */
void h1_server_open(struct http_server *s, struct conn *c, struct slice seen, int64_t since_ms);
void h2_server_open(struct http_server *s, struct conn *c, struct slice seen);

/* The bound of a request's body. declared: -1, nothing was said. */
static inline uint64_t
http_server_body_limit(const struct http_server_core *core, const struct http_head *head,
                       int64_t declared)
{
    uint64_t usual = core->limits->body_bytes;
    if (!core->handlers->body_limit || (declared >= 0 && (uint64_t)declared <= usual))
        return usual;
    return core->handlers->body_limit(core->ctx, head);
}

/* The JSON body of an error that the server itself answers, by the config's error_body. */
int http_server_error_body(struct http_server *s, int status, const char *code, const char *message,
                           struct buf *into) MUST_CHECK;
/* And its content type. */
const char *http_server_error_type(const struct http_server *s);
/* The Date value of this second (29 bytes). */
struct slice http_date(struct loop *l);

/* ---- client -------------------------------------------------------------------------------- */

struct http_client_conn;

struct http_client_conn_ops {
    /* Puts the call's request on the wire; call->conn is set, request.authority filled in, on_send
     * has been asked by client.c. Called when the connection has room. */
    void (*send)(struct http_client_conn *, struct http_call *);
    /* The call is cancelled: forget it; h1 retires the connection. client.c then takes the call off
     * (calls--) and destroys a retired connection that has none left. */
    void (*cancel)(struct http_client_conn *, struct http_call *);
    void (*pause)(struct http_client_conn *, struct http_call *);
    void (*resume)(struct http_client_conn *, struct http_call *);
    /* There is more of an upload, or its end. Not called once an upload is dropped. */
    void (*upload)(struct http_client_conn *, struct http_call *);
    /* How many more calls it can take now (h1: 0 or 1). */
    size_t (*room)(const struct http_client_conn *);
    /* Closes the connection and frees it after the callback (loop_bury): the pool lets it go. No
     * call is on it. */
    void (*destroy)(struct http_client_conn *);
};

struct http_client_conn {
    const struct http_client_conn_ops *ops;
    struct http_origin *origin;
    struct conn *conn;
    TAILQ_ENTRY(http_client_conn) link;
    bool reused;  /* carried a call before */
    bool retired; /* takes no more calls: set by http_client_conn_retire */
    size_t calls; /* in flight; kept by client.c */
    int64_t idle_since_ms;
};
/* NULL: no memory; the conn is still the caller's then. */
struct http_client_conn *h1_client_open(struct http_origin *o, struct conn *c);
struct http_client_conn *h2_client_open(struct http_origin *o, struct conn *c);

/* The part of a request's body that its caller gives bit by bit: upload.c. */
struct http_upload {
    struct http_call *call;
    struct buf queue;
    int64_t left; /* not given yet; -1: not known */
    bool ended;   /* nothing more comes */
    bool dropped; /* the upstream has answered with an error: nothing more is sent */
    bool is_owed; /* on_upload_drained */
    struct task task;
};

/* The head of a call as both protocols see it; client.c allocates it. */
struct http_call {
    struct http_client *client;
    struct http_origin *origin;
    struct http_client_conn *conn; /* NULL while waiting for one */
    const struct http_call_handlers *handlers;
    void *ctx;
    struct arena arena;
    struct http_request request; /* method, path, fields copied into the arena; body by reference */
    struct http_head response;
    bool sent;     /* handed to a connection */
    bool got_byte; /* a byte of a response came: set by the protocol */
    bool got_head;
    bool retried; /* on its second connection, which must be a new one */
    bool paused;
    bool over;
    int64_t started_ms, deadline_ms;
    int64_t last_byte_ms; /* of the last progress; the protocol sets it when request bytes leave */
    struct timer timer;
    void *wire;                 /* the protocol's own state for this call */
    struct http_upload *upload; /* NULL: the body is whole in `request` */
    TAILQ_ENTRY(http_call) link;
};

/* What the protocol files tell client.c. Any of these may end the call or cancel others: after it,
 * look again before touching the call. */
void http_call_head(struct http_call *call); /* call->response is filled */
void http_call_body(struct http_call *call, struct slice bytes);
/* Complete. This and http_call_fail end the call for the protocol. keep: the connection may carry
 * another call. The pool decides and may destroy. */
void http_call_end(struct http_call *call, bool keep);
/* unprocessed: provably not processed (GOAWAY, REFUSED_STREAM, idle close before a byte). */
void http_call_fail(struct http_call *call, int err, const char *why, bool unprocessed);
/* The connection has become unusable for new calls (closed by the peer while idle, GOAWAY): out of
 * the pool; destroyed when it has no call. */
void http_client_conn_retire(struct http_client_conn *c);
/* Up to n bytes to be sent next; they stay until http_upload_took(). */
struct slice http_upload_next(const struct http_upload *u, size_t n);
void http_upload_took(struct http_upload *u, size_t n);
/* All of it has been taken, and its end is known. */
static inline bool
http_upload_is_out(const struct http_upload *u)
{
    return u->ended && !u->dropped && u->queue.len == 0;
}
struct http_client *http_origin_client(const struct http_origin *o);
struct loop *http_client_loop(struct http_client *c);
const struct http_limits *http_client_limits(const struct http_client *c);

#endif
