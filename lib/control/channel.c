/*
 * The worker's end of the bus. nng calls us from its threads when a message came or an operation
 * ended; all that is done there is to put the result on a list and wake the loop. Everything else,
 * callbacks included, runs on the loop's thread.
 */
#include "lib/control/channel.h"

#include <assert.h>
#include <nng/nng.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "lib/base/clock.h"
#include "lib/control/channel_socket.h"

#define LIMIT_ANNOUNCEMENTS 64 /* waiting for the loop; the oldest gives way: the newest counts */
#define RESEND_MS 10000 /* of a request whose reply does not come, while its deadline lasts */

enum call_state { CALL_SENDING, CALL_RECEIVING, CALL_DONE };

struct channel_call {
    TAILQ_ENTRY(channel_call) link; /* on open, or on done */
    struct channel *channel;
    nng_ctx ctx;
    nng_aio *aio;
    enum call_state state; /* written by nng's thread until CALL_DONE is seen under the lock */
    int64_t deadline_ms;
    nng_msg *reply;
    int err;
    void (*on_reply)(void *ctx, int err, struct slice reply);
    void *user;
};
TAILQ_HEAD(call_list, channel_call);

struct announcement {
    STAILQ_ENTRY(announcement) link;
    nng_msg *message;
};

struct channel {
    struct waker *waker;
    char *pub_url, *req_url;
    nng_socket sub, req;
    bool has_sub, has_req;
    nng_aio *sub_aio;
    void (*on_announce)(void *ctx, struct slice message);
    void *user;
    pthread_mutex_t lock; /* guards what follows */
    struct call_list open, done;
    STAILQ_HEAD(, announcement) announcements;
    size_t announcement_count;
};

/* --- announcements --------------------------------------------------------------------------- */

/* Takes the message. */
static void
keep_announcement(struct channel *c, nng_msg *message)
{
    struct announcement *a = malloc(sizeof(*a));

    if (!a) {
        nng_msg_free(message);
        return; /* a hint: the next one says the same */
    }
    a->message = message;
    pthread_mutex_lock(&c->lock);
    if (c->announcement_count == LIMIT_ANNOUNCEMENTS) {
        struct announcement *oldest = STAILQ_FIRST(&c->announcements);

        STAILQ_REMOVE_HEAD(&c->announcements, link);
        c->announcement_count--;
        nng_msg_free(oldest->message);
        free(oldest);
    }
    STAILQ_INSERT_TAIL(&c->announcements, a, link);
    c->announcement_count++;
    pthread_mutex_unlock(&c->lock);
}

/* On a thread of nng's. */
static void
on_announcement(void *ctx)
{
    struct channel *c = ctx;

    if (nng_aio_result(c->sub_aio) != 0)
        return; /* closing */
    keep_announcement(c, nng_aio_get_msg(c->sub_aio));
    waker_wake(c->waker);
    nng_recv_aio(c->sub, c->sub_aio);
}

static struct announcement *
take_announcement(struct channel *c)
{
    struct announcement *a;

    pthread_mutex_lock(&c->lock);
    a = STAILQ_FIRST(&c->announcements);
    if (a) {
        STAILQ_REMOVE_HEAD(&c->announcements, link);
        c->announcement_count--;
    }
    pthread_mutex_unlock(&c->lock);
    return a;
}

/* --- requests -------------------------------------------------------------------------------- */

static nng_duration
time_left(const struct channel_call *call)
{
    int64_t left = call->deadline_ms - clock_mono_ms();

    return left < 1 ? 1 : (nng_duration)left;
}

static void
call_done(struct channel_call *call, int err, nng_msg *reply)
{
    struct channel *c = call->channel;

    pthread_mutex_lock(&c->lock);
    call->state = CALL_DONE;
    call->err = err;
    call->reply = reply;
    TAILQ_REMOVE(&c->open, call, link);
    TAILQ_INSERT_TAIL(&c->done, call, link);
    pthread_mutex_unlock(&c->lock);
    waker_wake(c->waker);
}

/* On a thread of nng's: the request is on its way, or its reply came. */
static void
on_progress(void *ctx)
{
    struct channel_call *call = ctx;
    int err = channel_socket_err(nng_aio_result(call->aio));

    if (err && call->state == CALL_SENDING) {
        nng_msg_free(nng_aio_get_msg(call->aio)); /* not sent: still ours */
        nng_aio_set_msg(call->aio, NULL);
    }
    if (err) {
        call_done(call, err, NULL);
    } else if (call->state == CALL_SENDING) {
        call->state = CALL_RECEIVING;
        nng_aio_set_timeout(call->aio, time_left(call));
        nng_ctx_recv(call->ctx, call->aio);
    } else {
        call_done(call, 0, nng_aio_get_msg(call->aio));
    }
}

/* After this nng knows nothing of it. */
static void
call_free(struct channel_call *call)
{
    if (call->aio) {
        nng_aio_stop(call->aio); /* waits for on_progress */
        nng_ctx_close(call->ctx);
        nng_aio_free(call->aio);
    }
    nng_msg_free(call->reply);
    free(call);
}

static struct channel_call *
call_new(struct channel *c)
{
    struct channel_call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    call->channel = c;
    if (nng_ctx_open(&call->ctx, c->req) != 0) {
        free(call);
        return NULL;
    }
    if (nng_aio_alloc(&call->aio, on_progress, call) != 0) {
        nng_ctx_close(call->ctx);
        free(call);
        return NULL;
    }
    return call;
}

static nng_msg *
make_message(struct slice bytes)
{
    nng_msg *m;

    if (nng_msg_alloc(&m, 0) != 0)
        return NULL;
    if (nng_msg_append(m, bytes.at, bytes.len) == 0)
        return m;
    nng_msg_free(m);
    return NULL;
}

struct channel_call *
channel_request(struct channel *c, struct slice message, int timeout_ms,
                void (*on_reply)(void *ctx, int err, struct slice reply), void *ctx)
{
    struct channel_call *call = call_new(c);
    nng_msg *m = call ? make_message(message) : NULL;

    if (!m) {
        if (call)
            call_free(call);
        return NULL;
    }
    call->on_reply = on_reply;
    call->user = ctx;
    call->deadline_ms = clock_mono_ms() + timeout_ms;
    pthread_mutex_lock(&c->lock);
    TAILQ_INSERT_TAIL(&c->open, call, link);
    pthread_mutex_unlock(&c->lock);
    nng_aio_set_timeout(call->aio, time_left(call));
    nng_aio_set_msg(call->aio, m);
    nng_ctx_send(call->ctx, call->aio);
    return call;
}

void
channel_cancel(struct channel_call *call)
{
    struct channel *c = call->channel;

    nng_aio_stop(call->aio); /* from here on it is on done, or on open for ever */
    pthread_mutex_lock(&c->lock);
    TAILQ_REMOVE(call->state == CALL_DONE ? &c->done : &c->open, call, link);
    pthread_mutex_unlock(&c->lock);
    call_free(call);
}

static struct channel_call *
take_done(struct channel *c)
{
    struct channel_call *call;

    pthread_mutex_lock(&c->lock);
    call = TAILQ_FIRST(&c->done);
    if (call)
        TAILQ_REMOVE(&c->done, call, link);
    pthread_mutex_unlock(&c->lock);
    return call;
}

static void
report(struct channel_call *call)
{
    struct slice reply = {0};

    if (call->reply)
        reply = slice_make(nng_msg_body(call->reply), nng_msg_len(call->reply));
    call->on_reply(call->user, call->err, reply);
    call_free(call);
}

/* --- the loop's side ----------------------------------------------------------------------- */

static void
on_wake(void *ctx)
{
    struct channel *c = ctx;
    struct channel_call *call;
    struct announcement *a;

    while ((a = take_announcement(c)) != NULL) {
        c->on_announce(c->user, slice_make(nng_msg_body(a->message), nng_msg_len(a->message)));
        nng_msg_free(a->message);
        free(a);
    }
    while ((call = take_done(c)) != NULL)
        report(call);
}

static int
open_sub(struct channel *c, const struct channel_tls *tls, const char **ret_why)
{
    int err = channel_socket_err(nng_sub0_open(&c->sub));

    if (err)
        return err;
    c->has_sub = true;
    err = channel_socket_prepare(c->sub, c->pub_url);
    if (!err)
        err = channel_socket_err(nng_socket_set(c->sub, NNG_OPT_SUB_SUBSCRIBE, "", 0));
    if (!err)
        err = channel_socket_err(nng_aio_alloc(&c->sub_aio, on_announcement, c));
    if (!err)
        err = channel_socket_dial(c->sub, c->pub_url, tls, ret_why);
    if (!err)
        nng_recv_aio(c->sub, c->sub_aio);
    return err;
}

static int
open_req(struct channel *c, const struct channel_tls *tls, const char **ret_why)
{
    int err = channel_socket_err(nng_req0_open(&c->req));

    if (err)
        return err;
    c->has_req = true;
    err = channel_socket_prepare(c->req, c->req_url);
    if (!err)
        err = channel_socket_err(nng_socket_set_ms(c->req, NNG_OPT_REQ_RESENDTIME, RESEND_MS));
    return err ? err : channel_socket_dial(c->req, c->req_url, tls, ret_why);
}

struct channel *
channel_open(struct loop *l, const char *pub_url, const char *req_url,
             const struct channel_tls *tls, void (*on_announce)(void *ctx, struct slice message),
             void *ctx, const char **ret_why)
{
    struct channel *c = calloc(1, sizeof(*c));

    *ret_why = "no memory";
    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    TAILQ_INIT(&c->open);
    TAILQ_INIT(&c->done);
    STAILQ_INIT(&c->announcements);
    c->on_announce = on_announce;
    c->user = ctx;
    c->pub_url = slice_dup(slice_of(pub_url));
    c->req_url = slice_dup(slice_of(req_url));
    c->waker = waker_new(l, on_wake, c);
    if (!c->pub_url || !c->req_url || !c->waker || open_req(c, tls, ret_why) != 0 ||
        open_sub(c, tls, ret_why) != 0) {
        channel_close(c);
        return NULL;
    }
    return c;
}

static void
drop_calls(struct channel *c)
{
    struct channel_call *call;

    while ((call = TAILQ_FIRST(&c->open)) != NULL || (call = TAILQ_FIRST(&c->done)) != NULL)
        channel_cancel(call); /* NOLINT(clang-analyzer-unix.Malloc): it takes it off the list */
}

static void
drop_announcements(struct channel *c)
{
    struct announcement *a;

    while ((a = take_announcement(c)) != NULL) {
        nng_msg_free(a->message);
        free(a);
    }
}

void
channel_close(struct channel *c)
{
    if (!c)
        return;
    drop_calls(c);
    if (c->has_req)
        nng_close(c->req);
    if (c->sub_aio)
        nng_aio_stop(c->sub_aio);
    if (c->has_sub)
        nng_close(c->sub);
    if (c->sub_aio)
        nng_aio_free(c->sub_aio);
    drop_announcements(c);
    if (c->waker)
        waker_free(c->waker);
    pthread_mutex_destroy(&c->lock);
    free(c->pub_url);
    free(c->req_url);
    free(c);
}
