/*
 * Requests of a worker, each asked of one control plane after the other until one has answered.
 *
 * A try is a request to one address. The next address is tried when a try has failed, when its
 * reply was no answer, when its connection went away, or when it lets the request wait (then the
 * try stays open: the first answer counts, whoever gives it). An address that let a request wait is
 * asked last, until it has answered something.
 *
 * nng calls us from its threads when a try has made progress; all that is done there is to put it
 * on a list and wake the loop. Everything else, callbacks included, runs on the loop's thread.
 */
#include <assert.h>
#include <nng/nng.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/control/channel_internal.h"

#define PATIENCE_PART 4 /* of a request's time: then another address is tried too */
#define PATIENCE_MIN_MS 500
#define PATIENCE_MAX_MS 1500

enum try_state { TRY_SENDING, TRY_RECEIVING, TRY_DONE };

struct channel_try {
    TAILQ_ENTRY(channel_try) link;    /* on the channel's open, or done */
    TAILQ_ENTRY(channel_try) in_call; /* on its call's tries */
    struct channel_call *call;
    struct channel_address *address;
    nng_ctx ctx;
    nng_aio *aio;
    enum try_state state; /* written by nng's thread until TRY_DONE is seen under the lock */
    nng_msg *reply;
    int err;
};

struct channel_call {
    TAILQ_ENTRY(channel_call) link;
    struct channel *channel;
    struct channel_question q; /* its message is ours, below */
    struct buf message;
    int64_t deadline_ms;
    struct timer patience;
    bool asked[LIMIT_BUS_ADDRESSES];
    struct channel_tries tries; /* under way */
    nng_msg *refusal;           /* the last reply that was no answer; NULL: none */
    int err;                    /* of the last try that failed */
};

/* --- a try ------------------------------------------------------------------------------------ */

static nng_duration
time_left(const struct channel_call *call)
{
    int64_t left = call->deadline_ms - clock_mono_ms();

    return left < 1 ? 1 : (nng_duration)left;
}

static void
try_done(struct channel_try *t, int err, nng_msg *reply)
{
    struct channel *c = t->call->channel;

    pthread_mutex_lock(&c->lock);
    t->state = TRY_DONE;
    t->err = err;
    t->reply = reply;
    TAILQ_REMOVE(&c->open, t, link);
    TAILQ_INSERT_TAIL(&c->done, t, link);
    waker_wake(c->waker);
    pthread_mutex_unlock(&c->lock);
}

/* On a thread of nng's: the request is on its way, or its reply came. */
static void
on_progress(void *ctx)
{
    struct channel_try *t = ctx;
    int err = channel_socket_err(nng_aio_result(t->aio));

    if (err && t->state == TRY_SENDING) {
        nng_msg_free(nng_aio_get_msg(t->aio)); /* not sent: still ours */
        nng_aio_set_msg(t->aio, NULL);
    }
    if (err) {
        try_done(t, err, NULL);
    } else if (t->state == TRY_SENDING) {
        t->state = TRY_RECEIVING;
        nng_aio_set_timeout(t->aio, time_left(t->call));
        nng_ctx_recv(t->ctx, t->aio);
    } else {
        try_done(t, 0, nng_aio_get_msg(t->aio));
    }
}

/* After this nng knows nothing of it, and neither list does. */
static void
try_free(struct channel_try *t)
{
    struct channel *c = t->call->channel;

    nng_aio_stop(
        t->aio); /* waits for on_progress: from here on it is on done, or on open for ever */
    pthread_mutex_lock(&c->lock);
    TAILQ_REMOVE(t->state == TRY_DONE ? &c->done : &c->open, t, link);
    pthread_mutex_unlock(&c->lock);
    TAILQ_REMOVE(&t->call->tries, t, in_call);
    nng_ctx_close(t->ctx);
    nng_aio_free(t->aio);
    nng_msg_free(t->reply);
    free(t);
}

static struct channel_try *
try_new(struct channel_call *call, struct channel_address *a)
{
    struct channel_try *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->call = call;
    t->address = a;
    if (nng_ctx_open(&t->ctx, a->req) != 0) {
        free(t);
        return NULL;
    }
    if (nng_aio_alloc(&t->aio, on_progress, t) != 0) {
        nng_ctx_close(t->ctx);
        free(t);
        return NULL;
    }
    return t;
}

static int
try_start(struct channel_call *call, size_t i)
{
    struct channel *c = call->channel;
    struct channel_try *t;
    nng_msg *m;

    call->asked[i] = true;
    if (nng_msg_alloc(&m, 0) != 0)
        return ERR_NOMEM;
    if (nng_msg_append(m, call->message.at, call->message.len) != 0 ||
        !(t = try_new(call, &c->addresses[i]))) {
        nng_msg_free(m);
        return ERR_NOMEM;
    }
    pthread_mutex_lock(&c->lock);
    TAILQ_INSERT_TAIL(&c->open, t, link);
    pthread_mutex_unlock(&c->lock);
    TAILQ_INSERT_TAIL(&call->tries, t, in_call);
    nng_aio_set_timeout(t->aio, time_left(call));
    nng_aio_set_msg(t->aio, m);
    nng_ctx_send(t->ctx, t->aio);
    return 0;
}

/* --- whom to ask ------------------------------------------------------------------------------ */

static bool
is_away(const struct channel_address *a)
{
    return a->silent || atomic_load(&a->req_pipe) == 0;
}

/* The next in turn that was not asked, one that is there before one that is not. False: all were.
 */
static bool
pick(const struct channel_call *call, size_t *ret)
{
    const struct channel *c = call->channel;

    for (int even_away = 0; even_away < 2; even_away++)
        for (size_t k = 0; k < c->count; k++) {
            size_t i = (c->at[call->q.lane] + k) % c->count;

            if (call->asked[i] || (!even_away && is_away(&c->addresses[i])))
                continue;
            *ret = i;
            return true;
        }
    return false;
}

static void on_impatient(void *ctx);

static void
be_patient(struct channel_call *call)
{
    int64_t ms = call->q.timeout_ms / PATIENCE_PART;

    if (call->channel->count == 1)
        return; /* whatever happens, there is nobody else */
    ms = ms < PATIENCE_MIN_MS ? PATIENCE_MIN_MS : ms > PATIENCE_MAX_MS ? PATIENCE_MAX_MS : ms;
    timer_set(&call->patience, call->channel->loop, ms, on_impatient, call);
}

/* Asks one more. False: there is nobody left to ask. */
static bool
ask_next(struct channel_call *call)
{
    size_t i;

    while (pick(call, &i)) {
        int err = try_start(call, i);

        if (!err) {
            be_patient(call);
            return true;
        }
        call->err = err;
    }
    return false;
}

/* --- how a call ends -------------------------------------------------------------------------- */

static void
call_free(struct channel_call *call)
{
    struct channel_try *t;

    timer_cancel(&call->patience);
    while ((t = TAILQ_FIRST(&call->tries)) != NULL)
        try_free(t); /* NOLINT(clang-analyzer-unix.Malloc): it takes it off the list */
    TAILQ_REMOVE(&call->channel->calls, call, link);
    nng_msg_free(call->refusal);
    buf_free(&call->message);
    free(call);
}

/* Takes the reply, which may be NULL. */
static void
end(struct channel_call *call, int err, nng_msg *reply)
{
    void (*on_reply)(void *, int, struct slice) = call->q.on_reply;
    void *ctx = call->q.ctx;
    struct slice bytes = {0};

    call_free(call);
    if (reply)
        bytes = slice_make(nng_msg_body(reply), nng_msg_len(reply));
    on_reply(ctx, err, bytes);
    nng_msg_free(reply);
}

static void
end_unanswered(struct channel_call *call)
{
    nng_msg *refusal = call->refusal;

    call->refusal = NULL;
    end(call, refusal ? 0 : call->err, refusal);
}

/* Whether somebody who is there may still answer. */
static bool
is_in_hand(const struct channel_call *call)
{
    const struct channel_try *t;

    TAILQ_FOREACH (t, &call->tries, in_call)
        if (!is_away(t->address))
            return true;
    return false;
}

/* Another is asked; when all were, and nobody who is there may still answer, a refusal is the last
 * word. */
static void
go_on(struct channel_call *call)
{
    if (ask_next(call))
        return;
    if (TAILQ_EMPTY(&call->tries) || (call->refusal && !is_in_hand(call)))
        end_unanswered(call);
}

static void
on_impatient(void *ctx)
{
    struct channel_call *call = ctx;
    struct channel_try *t;

    TAILQ_FOREACH (t, &call->tries, in_call)
        t->address->silent = true;
    if (!ask_next(call) && call->refusal)
        end_unanswered(call); /* who might still answer is waited for in vain */
}

/* A try is over. */
static void
hear(struct channel_try *t)
{
    struct channel_call *call = t->call;
    struct channel *c = call->channel;
    nng_msg *reply = t->reply;
    size_t i = (size_t)(t->address - c->addresses);

    t->reply = NULL;
    if (t->err)
        call->err = t->err;
    try_free(t);
    if (reply)
        c->addresses[i].silent = false;
    if (reply &&
        (!call->q.is_answer ||
         call->q.is_answer(call->q.ctx, slice_make(nng_msg_body(reply), nng_msg_len(reply))))) {
        c->at[call->q.lane] = i;
        end(call, 0, reply);
        return;
    }
    if (reply) {
        nng_msg_free(call->refusal);
        call->refusal = reply;
    }
    go_on(call);
}

static struct channel_try *
first_done(struct channel *c)
{
    struct channel_try *t;

    pthread_mutex_lock(&c->lock);
    t = TAILQ_FIRST(&c->done);
    pthread_mutex_unlock(&c->lock);
    return t;
}

void
channel_calls_done(struct channel *c)
{
    struct channel_try *t;

    while ((t = first_done(c)) != NULL)
        hear(t);
}

/* Whoever waits for nobody that is there asks somebody who is. */
void
channel_calls_moved(struct channel *c)
{
    struct channel_call *call;

    TAILQ_FOREACH (call, &c->calls, link) {
        size_t i;

        if (!is_in_hand(call) && pick(call, &i) && !is_away(&c->addresses[i]))
            (void)ask_next(call);
    }
}

void
channel_calls_drop(struct channel *c)
{
    struct channel_call *call;

    while ((call = TAILQ_FIRST(&c->calls)) != NULL)
        call_free(call); /* NOLINT(clang-analyzer-unix.Malloc): it takes it off the list */
}

/* --- asking ----------------------------------------------------------------------------------- */

struct channel_call *
channel_request(struct channel *c, const struct channel_question *q)
{
    struct channel_call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    assert(q->lane < CHANNEL_LANES);
    call->channel = c;
    call->q = *q;
    call->deadline_ms = clock_mono_ms() + q->timeout_ms;
    TAILQ_INIT(&call->tries);
    TAILQ_INSERT_TAIL(&c->calls, call, link);
    buf_init(&call->message, LIMIT_BUS_MESSAGE_BYTES);
    if (buf_add_slice(&call->message, q->message) == 0 && ask_next(call))
        return call;
    call_free(call);
    return NULL;
}

void
channel_cancel(struct channel_call *call)
{
    call_free(call);
}
