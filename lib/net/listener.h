/* A listening TCP socket (SO_REUSEADDR, SO_REUSEPORT on request), accepting into a callback. */
#ifndef LIB_NET_LISTENER_H
#define LIB_NET_LISTENER_H

#include "lib/base/err.h"
#include "lib/net/loop.h"

#include <stdbool.h>

struct listener;

/* "127.0.0.1:8080", "[::1]:8080", ":8080". Port 0 binds any. Opens and binds, does not accept yet.
 * 0 with *ret_fd, or ERR_SYNTAX, ERR_IO with *ret_why (static). Usable before a fork. */
MUST_CHECK int listener_bind(const char *address, bool reuse_port, int *ret_fd,
                             const char **ret_why);
/* Port that a bound descriptor got. */
int listener_port(int fd);
/* Takes fd. on_accept takes each connection's descriptor (non-blocking, TCP_NODELAY set). When
 * descriptors run out, a reserve one is spent to accept and close the connection at once, and
 * accepting pauses 100 ms (never a spin). At most 64 accepts a turn. */
struct listener *listener_new(struct loop *l, int fd, void (*on_accept)(void *ctx, int fd),
                              void *ctx);
void listener_free(struct listener *li); /* closes */
void listener_pause(struct listener *li);
void listener_resume(struct listener *li);
uint64_t listener_refused(const struct listener *li); /* closed for want of descriptors */

#endif
