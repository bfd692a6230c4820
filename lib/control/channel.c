/*
 * The worker's end of the bus. nng calls us from its threads when a message came or an operation
 * ended; all that is done there is to put the result on a list and wake the loop. Everything else,
 * callbacks included, runs on the loop's thread.
 */
#include <nng/nng.h>
#include <stdlib.h>

#include "lib/control/channel_internal.h"

#define LIMIT_ANNOUNCEMENTS 64 /* waiting for the loop; the oldest gives way: the newest counts */
#define TEND_MS 1000

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
    waker_wake(c->waker); /* under the lock, here and elsewhere: who closes takes it before */
    pthread_mutex_unlock(&c->lock);
}

/* On a thread of nng's. */
static void
on_announcement(void *ctx)
{
    struct channel_address *a = ctx;

    if (nng_aio_result(a->sub_aio) != 0)
        return; /* closing */
    keep_announcement(a->channel, nng_aio_get_msg(a->sub_aio));
    nng_recv_aio(a->sub, a->sub_aio);
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

/* --- the loop's side ----------------------------------------------------------------------- */

static void
on_wake(void *ctx)
{
    struct channel *c = ctx;
    struct announcement *a;

    while ((a = take_announcement(c)) != NULL) {
        c->on_announce(c->user, slice_make(nng_msg_body(a->message), nng_msg_len(a->message)));
        nng_msg_free(a->message);
        free(a);
    }
    channel_calls_done(c);
    if (atomic_exchange(&c->moved, false))
        channel_calls_moved(c);
}

static void
on_tend(void *ctx)
{
    struct channel *c = ctx;

    for (size_t i = 0; i < c->count; i++)
        channel_address_tend(&c->addresses[i], loop_now_ms(c->loop));
    timer_set(&c->tend, c->loop, TEND_MS, on_tend, c);
}

struct channel *
channel_open(struct loop *l, const char *pub_urls, const char *req_urls,
             const struct channel_tls *tls, void (*on_announce)(void *ctx, struct slice message),
             void *ctx, const char **ret_why)
{
    struct channel *c = calloc(1, sizeof(*c));
    int err;

    *ret_why = "no memory";
    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    TAILQ_INIT(&c->calls);
    TAILQ_INIT(&c->open);
    TAILQ_INIT(&c->done);
    STAILQ_INIT(&c->announcements);
    c->loop = l;
    c->on_announce = on_announce;
    c->user = ctx;
    c->waker = waker_new(l, on_wake, c);
    err = c->waker ? channel_addresses_init(c, pub_urls, req_urls, ret_why) : ERR_NOMEM;
    for (size_t i = 0; !err && i < c->count; i++)
        err = channel_address_open(&c->addresses[i], tls, on_announcement, ret_why);
    if (!err) {
        timer_set(&c->tend, l, TEND_MS, on_tend, c);
        return c;
    }
    channel_close(c);
    return NULL;
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
    timer_cancel(&c->tend);
    channel_calls_drop(c);
    for (size_t i = 0; i < c->count; i++)
        channel_address_close(&c->addresses[i]);
    drop_announcements(c);
    if (c->waker)
        waker_free(c->waker);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
