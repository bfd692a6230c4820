/*
 * Internal to lib/http: what HTTP/1.1 and HTTP/2 implement so that server.c and client.c need not
 * know which of them speaks. Outside lib/http use server.h and client.h.
 *
 * Server side: server.c accepts a connection, learns the protocol (ALPN, or the h2 preface) and hands
 * it with the bytes read so far to h1_server_open() or h2_server_open(). That file then owns the
 * conn, makes streams that begin with struct http_stream, and calls the handlers.
 *
 * Client side: client.c resolves, connects, pools, keeps deadlines; h1_client.c and h2_client.c turn
 * calls into bytes and bytes into head, body, end.
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
    void *x;            /* the handler's object */
    bool responded;     /* the head of the answer was given */
    bool ended;         /* http_end or http_abort was called, or on_abort was delivered */
    bool is_head_method; /* HEAD: no body goes out */
};

struct http_server_conn_ops {
    void (*drain)(struct http_server_conn *);  /* graceful: finish what runs, take no more */
    void (*destroy)(struct http_server_conn *, int err, const char *why); /* on_abort each stream, free */
    void (*tick)(struct http_server_conn *, int64_t now_ms); /* deadlines; called once a second */
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
 * handlers with conn_set_handlers(). */
void h1_server_open(struct http_server *s, struct conn *c, struct slice seen);
void h2_server_open(struct http_server *s, struct conn *c, struct slice seen);

/* The JSON body of an error that the server itself answers, by the config's error_body. */
int http_server_error_body(struct http_server *s, int status, const char *code, const char *message,
                           struct buf *into) MUST_CHECK;
/* The Date value of this second (29 bytes). */
struct slice http_date(struct loop *l);

/* ---- client -------------------------------------------------------------------------------- */

struct http_client_conn;

struct http_client_conn_ops {
    /* Puts the call's request on the wire; call->conn is set. Called when the connection has room. */
    void (*send)(struct http_client_conn *, struct http_call *);
    /* The call is cancelled: forget it; h1 destroys the connection. */
    void (*cancel)(struct http_client_conn *, struct http_call *);
    void (*pause)(struct http_client_conn *, struct http_call *);
    void (*resume)(struct http_client_conn *, struct http_call *);
    /* How many more calls it can take now (h1: 0 or 1). */
    size_t (*room)(const struct http_client_conn *);
    void (*destroy)(struct http_client_conn *);
};

struct http_client_conn {
    const struct http_client_conn_ops *ops;
    struct http_origin *origin;
    struct conn *conn;
    TAILQ_ENTRY(http_client_conn) link;
    bool reused;      /* carried a call before */
    size_t calls;     /* in flight */
    int64_t idle_since_ms;
};
struct http_client_conn *h1_client_open(struct http_origin *o, struct conn *c);
struct http_client_conn *h2_client_open(struct http_origin *o, struct conn *c);

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
    bool sent;       /* request bytes went to a connection */
    bool got_byte;   /* a byte of a response came */
    bool got_head;
    bool retried;
    bool over;
    int64_t started_ms, deadline_ms, last_byte_ms;
    void *wire;      /* the protocol's own state for this call */
    TAILQ_ENTRY(http_call) link;
};

/* What the protocol files tell client.c; each ends the call for them. */
void http_call_head(struct http_call *call);               /* call->response is filled */
void http_call_body(struct http_call *call, struct slice bytes);
/* Complete. keep: the connection may carry another call. The pool decides and may destroy. */
void http_call_end(struct http_call *call, bool keep);
/* unprocessed: provably not processed (GOAWAY, REFUSED_STREAM, idle close before a byte). */
void http_call_fail(struct http_call *call, int err, const char *why, bool unprocessed);
/* The connection has become unusable for new calls (closed by the peer while idle, GOAWAY): out of
 * the pool; destroyed when it has no call. */
void http_client_conn_retire(struct http_client_conn *c);
struct loop *http_client_loop(struct http_client *c);
const struct http_limits *http_client_limits(const struct http_client *c);

#endif
