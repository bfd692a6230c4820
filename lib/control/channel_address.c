/* The addresses of the control planes: two sockets each, one that listens to announcements and one
 * for requests. A socket dials one address, so that a request goes where it is meant to. */
#include <nng/nng.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/control/channel_internal.h"

#define REDIAL_MS 4000  /* without a connection: longer than nng pauses between two tries */
#define RESEND_MS 10000 /* of a request whose reply does not come, while its deadline lasts */

/* --- the lists -------------------------------------------------------------------------------- */

static size_t
count_of(const char *urls)
{
    size_t n = 1;

    for (const char *at = urls; *at; at++)
        n += *at == ',';
    return n;
}

static bool
is_twice(const struct channel *c, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(c->addresses[k].req_url, c->addresses[i].req_url) == 0)
            return true;
    return false;
}

int
channel_addresses_init(struct channel *c, const char *pub_urls, const char *req_urls,
                       const char **ret_why)
{
    struct slice pubs = slice_of(pub_urls), reqs = slice_of(req_urls);
    size_t n = count_of(req_urls);

    if (n != count_of(pub_urls)) {
        *ret_why = "each control plane has two addresses: give as many of the one as of the other";
        return ERR_SYNTAX;
    }
    if (n > LIMIT_BUS_ADDRESSES) {
        *ret_why = "more control planes than there may be";
        return ERR_SYNTAX;
    }
    for (size_t i = 0; i < n; i++) {
        struct channel_address *a = &c->addresses[i];

        a->channel = c;
        c->count = i + 1; /* from here on it is closed with the others */
        a->pub_url = slice_dup(slice_cut(&pubs, ','));
        a->req_url = slice_dup(slice_cut(&reqs, ','));
        if (!a->pub_url || !a->req_url)
            return ERR_NOMEM;
        if (is_twice(c, i)) {
            *ret_why = "the same address twice";
            return ERR_SYNTAX;
        }
    }
    /* Workers spread over those that answer; who leads is found out. */
    for (size_t lane = 0; lane < CHANNEL_LANES; lane++)
        c->at[lane] = (size_t)rand_below(n);
    return 0;
}

int
channel_check(const char *pub_urls, const char *req_urls, const struct channel_tls *tls,
              const char **ret_why)
{
    struct channel c = {0};
    int err = channel_addresses_init(&c, pub_urls, req_urls, ret_why);

    for (size_t i = 0; !err && i < c.count; i++) {
        err = channel_socket_check(c.addresses[i].pub_url, tls, ret_why);
        if (!err)
            err = channel_socket_check(c.addresses[i].req_url, tls, ret_why);
    }
    for (size_t i = 0; i < c.count; i++) {
        free(c.addresses[i].pub_url);
        free(c.addresses[i].req_url);
    }
    return err;
}

/* --- sockets ---------------------------------------------------------------------------------- */

static void
note_pipe(atomic_uint *at, nng_pipe pipe, nng_pipe_ev event)
{
    unsigned id = (unsigned)nng_pipe_id(pipe);

    if (event == NNG_PIPE_EV_ADD_POST)
        atomic_store(at, id);
    else
        (void)atomic_compare_exchange_strong(at, &id, 0); /* one that was refused never was */
}

/* These two from a thread of nng's. */
static void
on_sub_pipe(nng_pipe pipe, nng_pipe_ev event, void *address)
{
    struct channel_address *a = address;

    note_pipe(&a->sub_pipe, pipe, event);
}

static void
on_req_pipe(nng_pipe pipe, nng_pipe_ev event, void *address)
{
    struct channel_address *a = address;
    struct channel *c = a->channel;

    note_pipe(&a->req_pipe, pipe, event);
    atomic_store(&c->moved, true);
    pthread_mutex_lock(&c->lock);
    waker_wake(c->waker);
    pthread_mutex_unlock(&c->lock);
}

static int
watch_pipes(nng_socket s, void (*on_pipe)(nng_pipe, nng_pipe_ev, void *), struct channel_address *a)
{
    int code = nng_pipe_notify(s, NNG_PIPE_EV_ADD_POST, on_pipe, a);

    if (!code)
        code = nng_pipe_notify(s, NNG_PIPE_EV_REM_POST, on_pipe, a);
    return channel_socket_err(code);
}

static int
open_sub(struct channel_address *a, const struct channel_tls *tls,
         void (*on_announcement)(void *address), const char **ret_why)
{
    int err = channel_socket_err(nng_sub0_open(&a->sub));

    if (err)
        return err;
    a->has_sub = true;
    err = channel_socket_prepare(a->sub, a->pub_url);
    if (!err)
        err = channel_socket_err(nng_socket_set(a->sub, NNG_OPT_SUB_SUBSCRIBE, "", 0));
    if (!err)
        err = channel_socket_err(nng_aio_alloc(&a->sub_aio, on_announcement, a));
    if (!err)
        err = watch_pipes(a->sub, on_sub_pipe, a);
    if (!err)
        err = channel_socket_dial(a->sub, a->pub_url, tls, &a->sub_dialer, ret_why);
    if (!err)
        nng_recv_aio(a->sub, a->sub_aio);
    return err;
}

static int
open_req(struct channel_address *a, const struct channel_tls *tls, const char **ret_why)
{
    int err = channel_socket_err(nng_req0_open(&a->req));

    if (err)
        return err;
    a->has_req = true;
    err = channel_socket_prepare(a->req, a->req_url);
    if (!err)
        err = channel_socket_err(nng_socket_set_ms(a->req, NNG_OPT_REQ_RESENDTIME, RESEND_MS));
    if (!err)
        err = watch_pipes(a->req, on_req_pipe, a);
    return err ? err : channel_socket_dial(a->req, a->req_url, tls, &a->req_dialer, ret_why);
}

int
channel_address_open(struct channel_address *a, const struct channel_tls *tls,
                     void (*on_announcement)(void *address), const char **ret_why)
{
    int err = open_req(a, tls, ret_why);

    a->sub_connected_ms = a->req_connected_ms = loop_now_ms(a->channel->loop);
    return err ? err : open_sub(a, tls, on_announcement, ret_why);
}

/* nng dials again by itself, but not when the other end closes at the very moment at which it was
 * reached (a daemon that dies then): it takes the error of its own greeting for its own end. */
static void
tend(nng_socket s, const char *url, struct channel_dialer *d, const atomic_uint *pipe,
     int64_t now_ms, int64_t *connected_ms)
{
    if (atomic_load(pipe) == 0 && now_ms - *connected_ms < REDIAL_MS)
        return;
    *connected_ms = now_ms;
    if (atomic_load(pipe) == 0 && channel_socket_redial(s, url, d) != 0)
        log_debug("channel.redial_failed");
}

void
channel_address_tend(struct channel_address *a, int64_t now_ms)
{
    tend(a->req, a->req_url, &a->req_dialer, &a->req_pipe, now_ms, &a->req_connected_ms);
    tend(a->sub, a->pub_url, &a->sub_dialer, &a->sub_pipe, now_ms, &a->sub_connected_ms);
}

void
channel_address_close(struct channel_address *a)
{
    if (a->has_req)
        nng_close(a->req);
    if (a->sub_aio)
        nng_aio_stop(a->sub_aio);
    if (a->has_sub)
        nng_close(a->sub);
    if (a->sub_aio)
        nng_aio_free(a->sub_aio);
    channel_socket_undial(&a->sub_dialer);
    channel_socket_undial(&a->req_dialer);
    free(a->pub_url);
    free(a->req_url);
}
