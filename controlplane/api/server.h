/*
 * The admin API's HTTP side: one loop thread with the listener, and a pool of threads that run the
 * handlers, each with its own database connection. A call goes to the pool when its body is
 * complete; its answer comes back through a waker. Everything here but api_server_new() belongs to
 * the loop's thread.
 */
#ifndef CONTROLPLANE_API_SERVER_H
#define CONTROLPLANE_API_SERVER_H

#include "controlplane/plane.h"
#include "lib/base/buf.h"
#include "lib/net/loop.h"

struct api_server;

/* Binds plane->config.admin_listen and starts the threads. 0, or ERR_SYNTAX, ERR_IO, ERR_TLS,
 * ERR_NOMEM with a message in *why. */
MUST_CHECK int api_server_start(struct plane *plane, struct loop *loop,
                                struct api_server **ret_server, struct buf *why);
/* The port that was bound (0 was asked for). */
int api_server_port(const struct api_server *s);
/* Reads certificate and key again; a failure is logged and changes nothing. */
void api_server_reload(struct api_server *s);
/* Takes no more connections; on_idle comes once when the last call is answered. */
void api_server_drain(struct api_server *s, void (*on_idle)(void *), void *ctx);
/* Joins the threads and frees. NULL is fine. */
void api_server_free(struct api_server *s);

#endif
