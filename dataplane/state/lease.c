#include "dataplane/state/lease.h"

#include <stdlib.h>

#include "dataplane/state/spool.h"
#include "lib/base/log.h"

#define EVERY_MS 1000
#define NEAR_MS 250  /* while a budget nears its end */
#define IDLE_MS 5000 /* with nothing to claim: the leader counts the fleet */
#define SOON_MS 50   /* between two claims, when requests wait */
#define RETRY_MS 200 /* the same, while nobody answers: a new leader is there in seconds */
#define MORE_MS 5    /* when one could not say all */
#define WATCH_MS 20  /* how exactly the end of a wait is kept */
#define TIMEOUT_MS 2000
#define TEND_MS 200
#define LIMIT_REPLY_BYTES ((size_t)4 << 20)

TAILQ_HEAD(waiters, lease_waiter);

struct lease {
    struct lease_options o;
    struct timer timer;
    struct channel_call *call;
    struct waiters waiters;
    uint64_t turn, sequence, epoch;
    uint32_t fleet;
    int64_t claimed_ms, tended_ms; /* when the last one was sent */
    bool leaving, left, away, greeting;
    struct buf message;
    struct lease_counts counts;
    struct bus_claim claims[LIMIT_CLAIMS];
};

static void on_due(void *ctx);

/* --- those that wait -------------------------------------------------------------------------- */

/* Each has its turn once; it may come back to wait for the next answer. */
static void
give_turns(struct lease *l)
{
    struct lease_waiter *w;
    int64_t now = loop_now_ms(l->o.loop);

    l->turn++;
    while ((w = TAILQ_FIRST(&l->waiters)) != NULL && w->turn < l->turn) {
        bool last = now >= w->until_ms;

        TAILQ_REMOVE(&l->waiters, w, link);
        w->waiting = false;
        l->counts.late += last;
        w->on_turn(w->ctx, last);
    }
}

static void
end_waits(struct lease *l)
{
    struct lease_waiter *w;
    int64_t now = loop_now_ms(l->o.loop);

    while ((w = TAILQ_FIRST(&l->waiters)) != NULL && now >= w->until_ms) {
        TAILQ_REMOVE(&l->waiters, w, link);
        w->waiting = false;
        l->counts.late++;
        w->on_turn(w->ctx, true);
    }
}

void
lease_wait(struct lease *l, struct lease_waiter *w)
{
    if (!w->until_ms) {
        w->until_ms = loop_now_ms(l->o.loop) + (l->o.channel ? LEASE_WAIT_MS : 0);
        l->counts.waits++;
    }
    w->waiting = true;
    w->turn = l->turn;
    TAILQ_INSERT_TAIL(&l->waiters, w, link);
    timer_set(&l->timer, l->o.loop, 0, on_due, l);
}

void
lease_cancel(struct lease *l, struct lease_waiter *w)
{
    if (!w->waiting)
        return;
    w->waiting = false;
    TAILQ_REMOVE(&l->waiters, w, link);
}

/* --- the claim -------------------------------------------------------------------------------- */

/* 0 when the leader has answered this. */
static int
read_reply(const struct lease *l, struct slice bytes, struct arena *a, struct bus_reply *ret)
{
    int err = bus_reply_decode(bytes, a, ret);

    if (err)
        return ERR_SYNTAX;
    if (ret->status != BUS_OK || !ret->leased)
        return ERR_UNAVAILABLE;
    return ret->lease.epoch < l->epoch ? ERR_STALE : 0; /* of one who leads no more */
}

/* A stand-by does not grant, nor one who was overruled: then another control plane is asked. */
static bool
is_answer(void *ctx, struct slice bytes)
{
    struct bus_reply reply;
    struct arena a;
    int err;

    arena_init(&a, LIMIT_REPLY_BYTES);
    err = read_reply(ctx, bytes, &a, &reply);
    arena_free(&a);
    return !err;
}

static void
on_reply(void *ctx, int err, struct slice bytes)
{
    struct lease *l = ctx;
    struct bus_reply reply;
    struct arena a;

    l->call = NULL;
    arena_init(&a, LIMIT_REPLY_BYTES);
    if (!err)
        err = read_reply(l, bytes, &a, &reply);
    if (err) {
        quota_unanswered(l->o.quota);
        l->left = l->leaving;
        l->counts.failures++;
        if (!l->away)
            log_warn("lease.unanswered", F_ERR(err));
        l->away = true;
    } else {
        l->away = false;
        if (reply.lease.epoch > l->epoch || l->greeting)
            l->claimed_ms = 0; /* it heeds what is said from now on, so say it */
        l->epoch = reply.lease.epoch;
        l->fleet = reply.lease.fleet;
        l->counts.answered++;
        quota_grants(l->o.quota, loop_now_ms(l->o.loop), &reply.lease);
    }
    arena_free(&a);
    if (!err)
        give_turns(l);
    timer_set(&l->timer, l->o.loop, 0, on_due, l);
}

static void
send_claims(struct lease *l)
{
    struct bus_request request = {.from = *l->o.from, .kind = BUS_LEASE};
    int64_t now = loop_now_ms(l->o.loop);
    size_t n = quota_claims(l->o.quota, now, l->claims, LIMIT_CLAIMS);
    bool last = l->leaving && n < LIMIT_CLAIMS; /* all has been given back */

    l->claimed_ms = now;
    l->greeting = quota_has_lost_touch(l->o.quota, now);
    request.lease = (struct bus_lease){.sequence = ++l->sequence,
                                       .epoch = l->epoch,
                                       .fleet = l->fleet,
                                       .settled = spool_is_settled(l->o.spool),
                                       .leaving = last,
                                       .greeting = l->greeting,
                                       .claims = l->claims,
                                       .count = n};
    buf_clear(&l->message);
    if (bus_request_encode(&request, &l->message) == 0)
        l->call = channel_request(l->o.channel,
                                  &(struct channel_question){.message = buf_slice(&l->message),
                                                             .timeout_ms = TIMEOUT_MS,
                                                             .lane = CHANNEL_LEADER,
                                                             .is_answer = is_answer,
                                                             .on_reply = on_reply,
                                                             .ctx = l});
    if (!l->call) {
        quota_unanswered(l->o.quota);
        last = l->leaving;
    }
    l->counts.claims++;
    l->left = last;
}

static bool
is_due(const struct lease *l)
{
    int64_t since = loop_now_ms(l->o.loop) - l->claimed_ms;

    if (!l->o.channel || l->call || l->left)
        return false;
    if (l->leaving)
        return true;
    if (quota_has_backlog(l->o.quota) && !l->away)
        return since >= MORE_MS;
    if (quota_is_wanting(l->o.quota))
        return since >= (l->away ? RETRY_MS : SOON_MS);
    if (quota_is_near_end(l->o.quota))
        return since >= NEAR_MS;
    return since >= (quota_counter_count(l->o.quota) ? EVERY_MS : IDLE_MS);
}

static void
on_due(void *ctx)
{
    struct lease *l = ctx;
    bool waited, more;

    end_waits(l);
    /* Before the claims: what is in one that is under way is not forgotten. */
    if (loop_now_ms(l->o.loop) - l->tended_ms >= TEND_MS) {
        l->tended_ms = loop_now_ms(l->o.loop);
        quota_tend(l->o.quota, l->tended_ms);
    }
    if (is_due(l))
        send_claims(l);
    waited = !TAILQ_EMPTY(&l->waiters) || quota_is_wanting(l->o.quota);
    more = !l->call && !l->away && quota_has_backlog(l->o.quota);
    timer_set(&l->timer, l->o.loop, more ? MORE_MS : (waited ? WATCH_MS : SOON_MS * 5), on_due, l);
}

/* --- life ------------------------------------------------------------------------------------- */

struct lease *
lease_new(const struct lease_options *o)
{
    struct lease *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->o = *o;
    TAILQ_INIT(&l->waiters);
    buf_init(&l->message, LIMIT_BUS_MESSAGE_BYTES);
    l->claimed_ms = loop_now_ms(o->loop) - EVERY_MS;
    timer_set(&l->timer, o->loop, 0, on_due, l);
    return l;
}

void
lease_free(struct lease *l)
{
    if (!l)
        return;
    timer_cancel(&l->timer);
    if (l->call)
        channel_cancel(l->call);
    buf_free(&l->message);
    free(l);
}

void
lease_leave(struct lease *l)
{
    l->leaving = true;
    quota_leave(l->o.quota);
    timer_set(&l->timer, l->o.loop, 0, on_due, l);
}

bool
lease_has_left(const struct lease *l)
{
    return !l->o.channel || (l->left && !l->call);
}

struct lease_counts
lease_counts(const struct lease *l)
{
    return l->counts;
}
