/*
 * Between client.c (calls and their deadlines) and origin.c (connections: resolving, connecting,
 * pooling). A call waits in its origin's queue; the origin gives it a connection with
 * client_call_assign() or fails it with client_call_refuse().
 */
#ifndef LIB_HTTP_CLIENT_INTERNAL_H
#define LIB_HTTP_CLIENT_INTERNAL_H

#include "lib/base/map.h"
#include "lib/http/stream.h"

TAILQ_HEAD(call_list, http_call);
TAILQ_HEAD(client_conns, http_client_conn);
TAILQ_HEAD(attempts, attempt);

struct http_client {
    struct loop *loop;
    const struct http_limits *limits;
    struct http_client_config config;
    struct dns *dns;
    struct map origins;
    struct http_client_stats stats;
};

struct http_origin {
    struct http_client *client;
    char *key;       /* in client->origins */
    char *host;      /* terminated; an IPv6 literal without brackets */
    char *authority; /* what Host says when the request does not */
    unsigned refs;   /* callers and calls */
    int port;
    int speaks; /* 11, 20; 0: no connection has told yet */
    bool https;
    bool allow_private;
    enum http_protocol protocol;
    struct client_conns idle; /* no call; most recently used first */
    struct client_conns busy; /* at least one call; may have room for more (HTTP/2) */
    size_t idle_count;
    struct attempts attempts;
    size_t attempts_count;
    struct call_list waiting;
    size_t waiting_count;
    size_t answer_room; /* what a call is given for its answer's head; 0: not known yet */
    struct timer idle_timer;
    struct task task;
};

/* --- origin.c ------------------------------------------------------------------------------------
 */

void origin_ref(struct http_origin *o);
/* Puts a call at the end of the queue (or at its head: a retry), served after the callback. */
void origin_enqueue(struct http_origin *o, struct http_call *call, bool first);
void origin_dequeue(struct http_origin *o, struct http_call *call);
/* The call is off the connection, which may carry others or none. */
void origin_release(struct http_client_conn *c);
/* Closes everything that has no call. */
void origin_destroy(struct http_origin *o);

/* --- client.c ------------------------------------------------------------------------------------
 */

/* The call has a connection now. */
void client_call_assign(struct http_call *call, struct http_client_conn *c);
/* It will not get one. */
void client_call_refuse(struct http_call *call, int err, const char *why);
/* It has made progress, or waits for something else now: its deadline may be a nearer one. */
void client_call_moved(struct http_call *call);

/* --- upload.c ------------------------------------------------------------------------------------
 */

/* With the pieces that are known at the start: 0, ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int http_upload_new(struct http_call *call);
/* Calls back no more. */
void http_upload_stop(struct http_upload *u);
void http_upload_free(struct http_upload *u);
/* An error has come: nothing more of it is sent. */
void http_upload_drop(struct http_upload *u);

#endif
