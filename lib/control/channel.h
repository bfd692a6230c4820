/*
 * The bus between the planes, on nng: announcements by PUB/SUB, requests by REQ/REP. nng and its
 * types stay in lib/control. nng's own threads never run our code beyond waking a loop or a pool.
 *
 * URLs: ipc:///path (one host; the peer's uid is checked where the system tells it), or
 * tls+tcp://host:port with mutual TLS. Plain tcp:// is accepted for loopback addresses only.
 */
#ifndef LIB_CONTROL_CHANNEL_H
#define LIB_CONTROL_CHANNEL_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/net/loop.h"

#include <stdbool.h>
#include <stddef.h>

#define LIMIT_BUS_ADDRESSES 16                     /* control planes of one fleet */
#define LIMIT_BUS_MESSAGE_BYTES ((size_t)33 << 20) /* one section and its frame */

struct channel_tls {
    const char *ca_file, *cert_file, *key_file; /* all or none */
};

/* --- the worker's side, on its loop ---------------------------------------------------------- */

struct channel;
struct channel_call;

/* pub and req: URLs to dial, one a control plane, between commas: as many of the one as of the
 * other, in the same order. Dialling goes on in the background, with jittered back-off.
 * on_announce gets each announcement's bytes (valid during the call), whoever made it, from the
 * loop. NULL with *ret_why on a malformed URL or no memory. */
struct channel *channel_open(struct loop *l, const char *pub_urls, const char *req_urls,
                             const struct channel_tls *tls,
                             void (*on_announce)(void *ctx, struct slice message), void *ctx,
                             const char **ret_why);
/* Whether channel_open() would take these: 0, or ERR_SYNTAX, ERR_NOMEM with *ret_why (static). */
MUST_CHECK int channel_check(const char *pub_urls, const char *req_urls,
                             const struct channel_tls *tls, const char **ret_why);
void channel_close(struct channel *c);

/* Who is asked first: whoever answered the last question of the same lane. */
enum channel_lane { CHANNEL_ANY, CHANNEL_LEADER, CHANNEL_LANES };

struct channel_question {
    struct slice message; /* copied */
    int timeout_ms;       /* in all */
    enum channel_lane lane;
    /* Whether a reply is the answer. If not, another control plane is asked, as long as there is
     * one that was not. NULL: every reply is. From the loop; must not cancel. */
    bool (*is_answer)(void *ctx, struct slice reply);
    /* Once, from the loop: 0 and the answer's bytes (valid during the call), or those of the last
     * reply when all have given one that is no answer; or ERR_TIMEOUT, ERR_LIMIT, ERR_IO,
     * ERR_NOMEM. */
    void (*on_reply)(void *ctx, int err, struct slice reply);
    void *ctx;
};
/* Asks one control plane; the next one too when that one is away or lets us wait, and the first
 * answer counts. So a request may reach several: what it asks for must come to the same when it is
 * asked for twice. Several may be in flight. NULL: no memory. */
struct channel_call *channel_request(struct channel *c, const struct channel_question *q);
void channel_cancel(struct channel_call *call); /* never calls back */

/* --- the control plane's side, on threads -------------------------------------------------- */

struct channel_host;

/* handler runs on one of `threads` threads: reads a request, appends the reply. It may block.
 * 0, or ERR_IO/ERR_SYNTAX with *ret_why. */
MUST_CHECK int channel_host_open(const char *pub_url, const char *rep_url,
                                 const struct channel_tls *tls, size_t threads,
                                 void (*handler)(void *ctx, size_t thread, struct slice request,
                                                 struct buf *reply),
                                 void *ctx, struct channel_host **ret_host, const char **ret_why);
/* Any thread. Copies. 0 or ERR_NOMEM. */
MUST_CHECK int channel_host_announce(struct channel_host *h, struct slice message);
/* Stops taking requests, lets handlers finish, joins the threads. */
void channel_host_close(struct channel_host *h);

#endif
