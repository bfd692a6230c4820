/* The control plane's end of the bus: threads that each answer one request at a time, and a
 * publisher that any thread may use. */
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/control/channel.h"
#include "lib/control/channel_socket.h"

#define STOP_CHECK_MS 200 /* how long a thread that waits for a request may overlook the end */
#define SEND_MS 5000      /* to a worker that does not read */

struct host_thread {
    struct channel_host *host;
    size_t number;
    pthread_t id;
    bool running;
    nng_ctx ctx;
    nng_aio *aio;
    struct buf reply; /* kept between requests: sections are large */
};

struct channel_host {
    char *pub_url, *rep_url;
    nng_socket pub, rep;
    bool has_pub, has_rep;
    atomic_bool stopping;
    void (*handler)(void *ctx, size_t thread, struct slice request, struct buf *reply);
    void *ctx;
    size_t count;
    struct host_thread *threads;
};

/* Takes the request. */
static void
answer(struct host_thread *t, nng_msg *request)
{
    struct slice bytes = slice_make(nng_msg_body(request), nng_msg_len(request));
    nng_msg *reply;

    buf_clear(&t->reply);
    t->host->handler(t->host->ctx, t->number, bytes, &t->reply);
    nng_msg_free(request);
    if (nng_msg_alloc(&reply, 0) != 0)
        return;
    if (nng_msg_append(reply, t->reply.at, t->reply.len) != 0) {
        nng_msg_free(reply);
        return; /* the worker asks again */
    }
    nng_aio_set_timeout(t->aio, SEND_MS);
    nng_aio_set_msg(t->aio, reply);
    nng_ctx_send(t->ctx, t->aio);
    nng_aio_wait(t->aio);
    if (nng_aio_result(t->aio) != 0)
        nng_msg_free(reply);
    if (t->reply.cap > (size_t)1 << 20)
        buf_free(&t->reply);
}

static void *
serve(void *arg)
{
    struct host_thread *t = arg;

    while (!atomic_load(&t->host->stopping)) {
        nng_aio_set_timeout(t->aio, STOP_CHECK_MS);
        nng_ctx_recv(t->ctx, t->aio);
        nng_aio_wait(t->aio);
        if (nng_aio_result(t->aio) == 0)
            answer(t, nng_aio_get_msg(t->aio));
    }
    return NULL;
}

static int
start_thread(struct channel_host *h, size_t i)
{
    struct host_thread *t = &h->threads[i];

    t->host = h;
    t->number = i;
    buf_init(&t->reply, LIMIT_BUS_MESSAGE_BYTES);
    if (nng_ctx_open(&t->ctx, h->rep) != 0)
        return ERR_NOMEM;
    if (nng_aio_alloc(&t->aio, NULL, NULL) != 0) {
        nng_ctx_close(t->ctx);
        return ERR_NOMEM;
    }
    h->count = i + 1; /* from here on channel_host_close() frees it */
    t->running = pthread_create(&t->id, NULL, serve, t) == 0;
    return t->running ? 0 : ERR_NOMEM;
}

static int
open_sockets(struct channel_host *h, const struct channel_tls *tls, const char **ret_why)
{
    int err = channel_socket_err(nng_pub0_open(&h->pub));

    if (err)
        return err;
    h->has_pub = true;
    if ((err = channel_socket_err(nng_rep0_open(&h->rep))) != 0)
        return err;
    h->has_rep = true;
    err = channel_socket_prepare(h->pub, h->pub_url);
    if (!err)
        err = channel_socket_prepare(h->rep, h->rep_url);
    if (!err)
        err = channel_socket_listen(h->pub, h->pub_url, tls, ret_why);
    return err;
}

int
channel_host_open(const char *pub_url, const char *rep_url, const struct channel_tls *tls,
                  size_t threads,
                  void (*handler)(void *ctx, size_t thread, struct slice request,
                                  struct buf *reply),
                  void *ctx, struct channel_host **ret_host, const char **ret_why)
{
    struct channel_host *h = calloc(1, sizeof(*h));
    int err = ERR_NOMEM;

    *ret_why = "no memory";
    if (!h)
        return ERR_NOMEM;
    h->handler = handler;
    h->ctx = ctx;
    h->pub_url = slice_dup(slice_of(pub_url));
    h->rep_url = slice_dup(slice_of(rep_url));
    h->threads = calloc(threads, sizeof(*h->threads));
    if (h->pub_url && h->rep_url && h->threads)
        err = open_sockets(h, tls, ret_why);
    for (size_t i = 0; !err && i < threads; i++)
        err = start_thread(h, i);
    if (!err) /* listens last: whoever connects is answered */
        err = channel_socket_listen(h->rep, h->rep_url, tls, ret_why);
    if (err) {
        channel_host_close(h);
        return err;
    }
    *ret_host = h;
    return 0;
}

int
channel_host_announce(struct channel_host *h, struct slice message)
{
    nng_msg *m;

    if (nng_msg_alloc(&m, 0) != 0)
        return ERR_NOMEM;
    if (nng_msg_append(m, message.at, message.len) == 0 &&
        nng_sendmsg(h->pub, m, NNG_FLAG_NONBLOCK) == 0)
        return 0;
    nng_msg_free(m);
    return ERR_NOMEM;
}

/* A thread that answers finishes first. */
static void
stop_threads(struct channel_host *h)
{
    atomic_store(&h->stopping, true);
    for (size_t i = 0; i < h->count; i++) {
        if (h->threads[i].running)
            pthread_join(h->threads[i].id, NULL);
        nng_ctx_close(h->threads[i].ctx);
        nng_aio_free(h->threads[i].aio);
        buf_free(&h->threads[i].reply);
    }
}

void
channel_host_close(struct channel_host *h)
{
    if (!h)
        return;
    stop_threads(h);
    if (h->has_rep)
        nng_close(h->rep);
    if (h->has_pub)
        nng_close(h->pub);
    free(h->threads);
    free(h->pub_url);
    free(h->rep_url);
    free(h);
}
