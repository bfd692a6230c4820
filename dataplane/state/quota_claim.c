/* What the leader is told of the counters, and when: see quota.h; docs/decisions/0012-leases.md,
 * and 0033 about those that rest. */
#include "dataplane/state/quota.h"

#include <stddef.h>

#include "dataplane/state/quota_internal.h"

#define SLICE_LIFE_MS (INT64_C(24) * 3600 * 1000) /* without a word of the leader */
#define EVERY_MS 1000    /* a counter that does not rest is said so often */
#define QUIET_MS 4000    /* between claims to a budget that say the same again; above IDLE_MS */
#define FORGET_MS 60000  /* after this a budget that the leader does not know is forgotten */
#define TENDED 1024      /* at once, so that nobody waits */
#define NEAR_REQUESTS 32 /* a budget nears its end when no more of them are left */

/* --- claiming --------------------------------------------------------------------------------- */

bool
quota_is_wanting(const struct quota *q)
{
    return q->wanting;
}

bool
quota_has_backlog(const struct quota *q)
{
    return q->backlog;
}

bool
quota_is_near_end(const struct quota *q)
{
    return q->near_end;
}

size_t
quota_counter_count(const struct quota *q)
{
    return q->count;
}

/* How much is held ready beyond what is in use. */
static int64_t
slack(const struct counter *c, int64_t now_ms)
{
    int64_t recent = c->demand > c->demand_was ? c->demand : c->demand_was;

    if (c->tight || now_ms - c->touched_ms >= IDLE_MS)
        return 0;
    return recent > INT64_MAX / 4 ? INT64_MAX / 4 : 2 * recent;
}

/* Of a budget: too little for each of those that wait. Were it kept, two workers with half of what
 * a request takes would wait for each other. */
static bool
does_for_none(const struct counter *c)
{
    return c->is_budget && c->share - c->used < c->least;
}

/* Lets go of what is not needed, before anybody is told: from here on it is not ours. */
static void
let_go(struct counter *c, int64_t now_ms)
{
    bool useless = does_for_none(c);
    int64_t keep = useless ? c->used : c->used + c->need + slack(c, now_ms);

    if ((!useless && !c->tight && now_ms - c->touched_ms < IDLE_MS) || c->share <= keep)
        return;
    /* The leader's last word on what is left is older than this. */
    c->starved = false;
    if (c->is_budget) /* of a rate, it is what nobody uses */
        c->remaining += c->share - keep;
    c->share = keep;
}

/* Not to be believed any more: for how long the leader hears us, though we do not hear it, nobody
 * knows. So claims say no more than that we are there (lease.h), and after its lease it reckons
 * with our safe shares. */
bool
quota_has_lost_touch(const struct quota *q, int64_t now_ms)
{
    return q->heard_ms && now_ms - q->heard_ms >= q->life_ms / 2;
}

static struct bus_claim
claim_of(struct quota *q, struct counter *c, int64_t now_ms)
{
    bool dark = !c->is_budget && counter_is_dark(c, now_ms), lost = quota_has_lost_touch(q, now_ms);

    let_go(c, now_ms);
    if (q->leaving || (dark && !lost && c->share > c->used))
        c->share = c->used;
    int64_t allowed = quota_allowance(q, c, now_ms);
    /* Should this go unheard, the safe share may be used later. */
    if (dark && lost && allowed < quota_safe_share(q, c))
        allowed = quota_safe_share(q, c);
    c->sent = c->used;
    c->sent_bare = allowed <= c->used;
    struct bus_claim claim = {
        .limit = counter_id(c),
        .subject = counter_subject(c),
        .slice = c->slice,
        .has = allowed > c->used || c->is_budget ? allowed : c->used,
        .used = c->used,
        .wants = q->leaving ? c->used : c->used + c->need + slack(c, now_ms),
        .need = q->leaving ? 0 : c->least,
        .waiting = q->leaving ? 0 : c->need,
        .dark = dark,
    };
    return claim;
}

/* --- rest and forgetting ---------------------------------------------------------------------- */

/* Nothing is in use or held, and the leader knows it, or is away. */
static bool
is_empty(const struct quota *q, const struct counter *c, int64_t now_ms)
{
    bool told = !c->said_ms || (c->told == 0 && c->all_told);

    return c->used == 0 && c->share == 0 && (told || quota_has_lost_touch(q, now_ms));
}

static bool
is_idle(const struct quota *q, const struct counter *c, int64_t now_ms)
{
    if (c->need || c->holds || now_ms - c->touched_ms < 2 * IDLE_MS)
        return false;
    if (!c->is_budget)
        return is_empty(q, c, now_ms);
    if (c->share > c->used)
        return false;
    /* What was let go of is the leader's when it has heard that. A slice stays until then, however
     * long PostgreSQL is away; what it never gave one of, it may never know. */
    if (c->unknown)
        return !c->slice && now_ms - c->touched_ms >= FORGET_MS;
    return c->heard_ms > c->touched_ms + IDLE_MS && c->all_told && c->used == c->told;
}

/* Whether there is nothing to be said of it: the leader, this one, was told what is in use, and
 * that no more is held. It holds that until a lease and a window later, and what is in use now has
 * left the window by then. What is in flight has no window, and does not rest. */
static bool
has_said_all(const struct quota *q, const struct counter *c, int64_t now_ms)
{
    if (c->need || !c->said_ms || !c->all_told || c->used != c->told || c->share > c->used)
        return false;
    if (c->is_budget)
        return c->slice && c->share == c->used && now_ms - c->heard_ms < QUIET_MS;
    return now_ms - c->touched_ms >= IDLE_MS && (c->window.bucket_ms || !c->used) && !q->leaving;
}

static int64_t
wakes_ms(const struct quota *q, const struct counter *c, int64_t now_ms)
{
    if (is_idle(q, c, now_ms))
        return now_ms; /* to be forgotten */
    if (c->is_budget)
        return c->heard_ms + QUIET_MS;
    return c->used ? window_next_ms(&c->window) : now_ms + 2 * IDLE_MS;
}

/* Somebody waits for what it needs or holds, or may soon. */
static bool
is_urgent(const struct counter *c)
{
    return c->least || c->near_end || (c->tight && c->share > c->used + c->need);
}

/* Into the list or the heap where it belongs: it is in none. `first`: it goes before all others,
 * since it was not said after all. */
static void
settle_in(struct quota *q, struct counter *c, int64_t now_ms, bool first)
{
    bool urgent = is_urgent(c);
    struct counter_list *list = urgent ? &q->urgent : &q->active;

    if (!urgent && !first && (q->leaving || is_idle(q, c, now_ms) || has_said_all(q, c, now_ms))) {
        c->place = COUNTER_RESTING;
        c->starved = false; /* who asks now is told how it stands then */
        due_put(&q->resting, &c->due, q->leaving ? INT64_MAX : wakes_ms(q, c, now_ms));
        return;
    }
    c->place = urgent ? COUNTER_URGENT : COUNTER_ACTIVE;
    if (first)
        TAILQ_INSERT_HEAD(list, c, link);
    else
        TAILQ_INSERT_TAIL(list, c, link);
}

static void
forget(struct quota *q, struct counter *c)
{
    counter_take_out(q, c);
    (void)map_remove(&q->by_key, slice_make(c->key, c->key_len));
    q->count--;
    counter_free(c);
}

static struct counter *
of_due(struct due *d)
{
    return (struct counter *)((char *)d - offsetof(struct counter, due));
}

/* Of those that rest, who is due: has something to say again, or is of no use. */
static void
look_after(struct quota *q, int64_t now_ms, size_t most)
{
    struct due *d;

    while (most-- && (d = due_first(&q->resting)) != NULL && d->at_ms <= now_ms) {
        struct counter *c = of_due(d);

        counter_roll(q, c, now_ms);
        if (is_idle(q, c, now_ms)) {
            forget(q, c);
        } else if (c->place == COUNTER_RESTING) {
            counter_take_out(q, c);
            settle_in(q, c, now_ms, false);
        }
    }
}

/* A new leader knows nothing of what rests. */
static void
wake_all(struct quota *q)
{
    struct counter *c;

    while (q->resting.count) {
        struct due *d = q->resting.all[q->resting.count - 1];

        c = of_due(d);
        counter_wake(q, c);
    }
    TAILQ_FOREACH (c, &q->active, link)
        c->said_ms = 0;
    TAILQ_FOREACH (c, &q->urgent, link)
        c->said_ms = 0;
    for (size_t i = 0; i < q->sent_count; i++)
        q->sent[i]->said_ms = 0;
    q->backlog = true;
}

/* While nobody answers, nothing is said and so nothing looked at: then a part each time. */
static void
look_at_active(struct quota *q, int64_t now_ms, size_t most)
{
    struct counter *c;

    if (q->heard_ms && !quota_has_lost_touch(q, now_ms))
        return;
    while (most-- && (c = TAILQ_FIRST(&q->active)) != NULL) {
        counter_roll(q, c, now_ms);
        if (is_idle(q, c, now_ms)) {
            forget(q, c);
        } else {
            TAILQ_REMOVE(&q->active, c, link);
            TAILQ_INSERT_TAIL(&q->active, c, link);
        }
    }
}

void
quota_tend(struct quota *q, int64_t now_ms)
{
    look_after(q, now_ms, TENDED);
    look_at_active(q, now_ms, TENDED);
}

/* --- a round ---------------------------------------------------------------------------------- */

static void
say(struct quota *q, struct counter_list *list, int64_t now_ms, struct bus_claim *ret, size_t room)
{
    struct counter *c;

    while (q->sent_count < room && (c = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, c, link);
        counter_roll(q, c, now_ms);
        ret[q->sent_count] = claim_of(q, c, now_ms);
        c->place = COUNTER_SENT;
        q->sent[q->sent_count++] = c;
    }
}

size_t
quota_claims(struct quota *q, int64_t now_ms, struct bus_claim *ret, size_t room)
{
    const struct counter *next;
    const struct due *due;

    if (room > LIMIT_CLAIMS)
        room = LIMIT_CLAIMS;
    quota_unanswered(q);
    look_after(q, now_ms, 2 * LIMIT_CLAIMS);
    /* Those for whom somebody waits, but never so many that the others are not said at all: until
     * they are, a new leader lets nobody's share grow. */
    say(q, &q->urgent, now_ms, ret, room - room / 4);
    say(q, &q->active, now_ms, ret, room);
    say(q, &q->urgent, now_ms, ret, room);
    next = TAILQ_FIRST(&q->active);
    due = due_first(&q->resting);
    q->backlog = (next && now_ms - next->said_ms >= EVERY_MS) || (due && due->at_ms <= now_ms);
    q->wanting = !TAILQ_EMPTY(&q->urgent);
    q->near_end = false;
    q->sent_ms = now_ms;
    return q->sent_count;
}

/* Another slice than before: what the old one has left is gone, what it had in use is the
 * ledger's. */
static void
begin_slice(struct counter *c, uint64_t slice)
{
    c->slice = slice;
    c->slice_use++;
    c->used = 0;
    c->unverified = 0;
}

static void
take_grant(struct quota *q, struct counter *c, const struct bus_grant *g)
{
    int64_t life = q->life_ms;

    c->unknown = g->unknown;
    if (g->unknown)
        return; /* one of the two policies is about to change */
    if (c->is_budget) {
        life = g->period_left_ms && g->period_left_ms < SLICE_LIFE_MS ? g->period_left_ms
                                                                      : SLICE_LIFE_MS;
        c->period_end_ms = g->period_left_ms ? q->sent_ms + g->period_left_ms : 0;
        if (g->slice != c->slice)
            begin_slice(c, g->slice);
    }
    c->share = g->share;
    c->expires_ms = q->sent_ms + life;
    /* A budget's slice may be smaller than all that wait would like, and more be left for another.
     */
    c->told = c->sent;
    c->all_told = c->sent_bare;
    c->starved =
        c->need > 0 && c->share - c->used < c->least && !(c->is_budget && g->remaining >= c->least);
    /* Where less is left than a request takes, what lies about here is what another waits for. */
    c->tight = g->tight || (c->is_budget && g->remaining < c->size);
    if (c->tight && c->share > c->used + c->need)
        q->wanting = true;
    c->near_end = c->is_budget && c->share > c->used && g->remaining / NEAR_REQUESTS < c->size;
    q->near_end = q->near_end || c->near_end;
    c->elsewhere = g->elsewhere;
    c->remaining = g->remaining;
    c->heard_ms = c->said_ms = q->sent_ms;
}

void
quota_grants(struct quota *q, int64_t now_ms, const struct bus_lease_grants *grants)
{
    if (grants->epoch != q->epoch)
        wake_all(q);
    q->epoch = grants->epoch;
    q->life_ms = grants->life_ms;
    q->fleet = grants->fleet;
    q->heard_ms = q->sent_ms;
    for (size_t i = 0; i < q->sent_count; i++) {
        struct counter *c = q->sent[i];

        counter_roll(q, c, now_ms);
        if (i < grants->count) {
            take_grant(q, c, &grants->grants[i]);
            c->least = 0; /* those that wait have their turn, and ask again */
        }
        settle_in(q, c, now_ms, false);
    }
    q->sent_count = 0;
}

void
quota_unanswered(struct quota *q)
{
    int64_t now_ms = q->sent_ms;

    while (q->sent_count) {
        struct counter *c = q->sent[--q->sent_count];

        q->wanting = q->wanting || c->need > 0;
        settle_in(q, c, now_ms, true);
    }
}

void
quota_leave(struct quota *q)
{
    q->leaving = true;
}

struct quota_counts
quota_counts(const struct quota *q)
{
    return q->counts;
}
