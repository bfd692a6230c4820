/* Guts of the worker's end of the bus, shared by channel.c (announcements, life), channel_call.c
 * (requests) and channel_address.c (the control planes' addresses). Inside lib/control only. */
#ifndef LIB_CONTROL_CHANNEL_INTERNAL_H
#define LIB_CONTROL_CHANNEL_INTERNAL_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "lib/control/channel.h"
#include "lib/control/channel_socket.h"
#include "lib/net/loop.h"

/* One control plane. */
struct channel_address {
    struct channel *channel;
    char *pub_url, *req_url;
    nng_socket sub, req;
    bool has_sub, has_req;
    struct channel_dialer sub_dialer, req_dialer;
    nng_aio *sub_aio;
    atomic_uint sub_pipe, req_pipe;             /* nng's id of the connection; 0: none */
    int64_t sub_connected_ms, req_connected_ms; /* the loop's: when there was one, last */
    bool silent; /* the loop's: it let a request wait, and has not answered since */
};

TAILQ_HEAD(channel_calls, channel_call);
TAILQ_HEAD(channel_tries, channel_try);

struct announcement {
    STAILQ_ENTRY(announcement) link;
    nng_msg *message;
};

struct channel {
    struct loop *loop;
    struct waker *waker;
    struct timer tend;
    struct channel_address addresses[LIMIT_BUS_ADDRESSES];
    size_t count;
    size_t at[CHANNEL_LANES]; /* who answered last */
    struct channel_calls calls;
    atomic_bool moved; /* a connection came or went */
    void (*on_announce)(void *ctx, struct slice message);
    void *user;
    pthread_mutex_t lock; /* guards what follows */
    struct channel_tries open, done;
    STAILQ_HEAD(, announcement) announcements;
    size_t announcement_count;
};

/* --- channel_address.c --- */

/* Makes addresses of two comma lists. 0; ERR_SYNTAX with *ret_why; ERR_NOMEM. */
MUST_CHECK int channel_addresses_init(struct channel *c, const char *pub_urls, const char *req_urls,
                                      const char **ret_why);
/* Opens both sockets and dials in the background; on_announcement is sub_aio's callback. */
MUST_CHECK int channel_address_open(struct channel_address *a, const struct channel_tls *tls,
                                    void (*on_announcement)(void *address), const char **ret_why);
/* On the loop, every now and then: dials anew what has had no connection for long. */
void channel_address_tend(struct channel_address *a, int64_t now_ms);
/* No callback runs afterwards. */
void channel_address_close(struct channel_address *a);

/* --- channel_call.c, on the loop --- */

void channel_calls_done(struct channel *c);  /* reports the tries on `done` */
void channel_calls_moved(struct channel *c); /* connections came or went */
void channel_calls_drop(struct channel *c);

#endif
