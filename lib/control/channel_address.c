/* The addresses of the control planes: two sockets each, one that listens to announcements and one
 * for requests. A socket dials one address, so that a request goes where it is meant to. */
#include <nng/nng.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/rand.h"
#include "lib/control/channel_internal.h"
#include "lib/control/channel_socket.h"

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

/* From a thread of nng's. */
static void
on_pipe(nng_pipe pipe, nng_pipe_ev event, void *address)
{
    struct channel_address *a = address;
    unsigned id = (unsigned)nng_pipe_id(pipe);

    if (event == NNG_PIPE_EV_ADD_POST)
        atomic_store(&a->pipe, id);
    else
        (void)atomic_compare_exchange_strong(&a->pipe, &id, 0); /* one that was refused never was */
    atomic_store(&a->channel->moved, true);
    waker_wake(a->channel->waker);
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
        err = channel_socket_dial(a->sub, a->pub_url, tls, ret_why);
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
        err = channel_socket_err(nng_pipe_notify(a->req, NNG_PIPE_EV_ADD_POST, on_pipe, a));
    if (!err)
        err = channel_socket_err(nng_pipe_notify(a->req, NNG_PIPE_EV_REM_POST, on_pipe, a));
    return err ? err : channel_socket_dial(a->req, a->req_url, tls, ret_why);
}

int
channel_address_open(struct channel_address *a, const struct channel_tls *tls,
                     void (*on_announcement)(void *address), const char **ret_why)
{
    int err = open_req(a, tls, ret_why);

    return err ? err : open_sub(a, tls, on_announcement, ret_why);
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
    free(a->pub_url);
    free(a->req_url);
}
