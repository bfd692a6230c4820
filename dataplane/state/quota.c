/* See quota.h; docs/decisions/0012-leases.md says why nobody takes more than the limit. */
#include "dataplane/state/quota.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/state/quota_internal.h"

#define DEMAND_MS 1000  /* how far back demand is remembered: one to two of these */
#define CAPPED_PART 100 /* of a budget, that a worker may spend unverified with allow_capped */
#define AWAY_MS 2500    /* without an answer, though a claim goes up every second */
#define FRESH_MS 700    /* an answer that came while a request waited */
#define GRACE_MS 5000   /* for clocks that do not run alike */
/* After its period's end a slice is still drawn on, until the leader has given one of the next:
 * every budget's period may end in this moment, and nobody is to wait for that. */
#define LATE_MS 2000

/* --- counters --------------------------------------------------------------------------------- */

struct quota *
quota_new(void)
{
    struct quota *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    map_init(&q->by_key);
    TAILQ_INIT(&q->active);
    TAILQ_INIT(&q->urgent);
    return q;
}

void
counter_free(struct counter *c)
{
    window_fini(&c->window);
    free(c);
}

void
quota_free(struct quota *q)
{
    struct slice key;
    size_t at = 0;
    void *c;

    if (!q)
        return;
    while (map_next(&q->by_key, &at, &key, &c))
        counter_free(c);
    map_free(&q->by_key);
    due_free(&q->resting);
    free(q);
}

struct slice
counter_id(const struct counter *c)
{
    return slice_make(c->key, c->id_len);
}

/* An id begins with the name. */
static struct slice
name_of(const struct counter *c)
{
    return slice_make(c->key, c->name_len);
}

struct slice
counter_subject(const struct counter *c)
{
    return slice_make(c->key + c->id_len + 1, c->key_len - c->id_len - 1u);
}

void
counter_take_out(struct quota *q, struct counter *c)
{
    switch (c->place) {
    case COUNTER_ACTIVE:
        TAILQ_REMOVE(&q->active, c, link);
        break;
    case COUNTER_URGENT:
        TAILQ_REMOVE(&q->urgent, c, link);
        break;
    case COUNTER_RESTING:
        due_remove(&q->resting, &c->due);
        break;
    case COUNTER_SENT:
        assert(false && "it is in the claims under way");
    }
}

static void
put_active(struct quota *q, struct counter *c)
{
    c->place = COUNTER_ACTIVE;
    TAILQ_INSERT_TAIL(&q->active, c, link);
}

void
counter_wake(struct quota *q, struct counter *c)
{
    if (c->place != COUNTER_RESTING)
        return;
    counter_take_out(q, c);
    put_active(q, c);
}

void
counter_hurry(struct quota *q, struct counter *c)
{
    q->wanting = true;
    if (c->place == COUNTER_SENT || c->place == COUNTER_URGENT)
        return;
    counter_take_out(q, c);
    c->place = COUNTER_URGENT;
    TAILQ_INSERT_TAIL(&q->urgent, c, link);
}

/* Nobody waits any more. */
static void
counter_calm(struct quota *q, struct counter *c)
{
    c->least = 0;
    if (c->place != COUNTER_URGENT || c->near_end || c->tight)
        return;
    counter_take_out(q, c);
    put_active(q, c);
}

/* "id NUL subject": ids hold no NUL. */
static size_t
write_key(const struct quota_claim *want, char *into)
{
    size_t n = want->limit->id.len;

    memcpy(into, want->limit->id.at, n);
    into[n++] = '\0';
    if (want->subject.len)
        memcpy(into + n, want->subject.at, want->subject.len);
    return n + want->subject.len;
}

static struct counter *
counter_new(struct quota *q, const struct quota_claim *want, struct slice key)
{
    const struct policy_limit *l = want->limit;
    struct counter *c;

    if (q->count >= LIMIT_QUOTA_COUNTERS || due_reserve(&q->resting, q->count + 1) != 0 ||
        !(c = calloc(1, sizeof(*c) + key.len)))
        return NULL;
    memcpy(c->key, key.at, key.len);
    c->key_len = (uint16_t)key.len;
    c->id_len = (uint16_t)l->id.len;
    c->name_len = (uint16_t)l->name.len;
    c->of = q;
    c->is_budget = l->is_budget;
    c->window_ms = (int32_t)l->window_ms;
    window_init(&c->window, l->window_ms);
    if (map_put(&q->by_key, slice_make(c->key, key.len), c) != 0) {
        counter_free(c);
        return NULL;
    }
    q->count++;
    put_active(q, c);
    return c;
}

static struct counter *
counter_of(struct quota *q, const struct quota_claim *want)
{
    char text[LIMIT_LIMIT_ID_BYTES + 1 + LIMIT_SUBJECT_BYTES];
    struct counter *c;

    if (want->limit->id.len > LIMIT_LIMIT_ID_BYTES || want->subject.len > LIMIT_SUBJECT_BYTES)
        return NULL;
    struct slice key = slice_make(text, write_key(want, text));
    c = map_find(&q->by_key, key);
    if (!c)
        c = counter_new(q, want, key);
    if (c) {
        c->amount = want->limit->amount;
        c->unverifiable = want->limit->on_unverifiable;
    }
    return c;
}

/* --- time ------------------------------------------------------------------------------------- */

void
counter_roll(struct quota *q, struct counter *c, int64_t now_ms)
{
    int64_t left = window_roll(&c->window, now_ms);

    if (!left)
        return;
    c->used -= left;
    if (c->place != COUNTER_RESTING)
        return;
    /* The leader holds what it was told for as long as what was taken by then can count; what has
     * left is others', and taking it again takes a word of the leader. */
    if (c->share > c->used)
        c->share = c->used;
    counter_wake(q, c);
}

bool
counter_is_dark(const struct counter *c, int64_t now_ms)
{
    return now_ms >= c->expires_ms;
}

/* Its period is over, and nothing else. */
static bool
is_late(const struct counter *c, int64_t now_ms)
{
    return c->is_budget && c->period_end_ms && c->expires_ms == c->period_end_ms &&
           counter_is_dark(c, now_ms) && now_ms - c->period_end_ms < LATE_MS;
}

int64_t
quota_safe_share(const struct quota *q, const struct counter *c)
{
    return q->fleet ? c->amount / q->fleet : 0;
}

/* A rate whose lease has run out keeps no more than its safe share; it may rise to that once
 * everybody's leases have run out and what they took has left the window. While the leader hears
 * of us it keeps no safe share: then it is asked. */
int64_t
quota_allowance(const struct quota *q, const struct counter *c, int64_t now_ms)
{
    int64_t safe, dark_ms;

    if (!counter_is_dark(c, now_ms) || is_late(c, now_ms))
        return c->share;
    if (c->is_budget)
        return 0;
    if (q->heard_ms && now_ms - q->heard_ms < q->life_ms)
        return c->share < c->used ? c->share : c->used;
    safe = quota_safe_share(q, c);
    dark_ms = q->heard_ms ? q->heard_ms + 3 * q->life_ms + c->window_ms + GRACE_MS : INT64_MAX;
    if (now_ms >= dark_ms)
        return safe;
    return c->share < safe ? c->share : safe;
}

static void
remember_demand(struct counter *c, int64_t now_ms, int64_t amount)
{
    if (now_ms - c->demand_ms >= DEMAND_MS) {
        c->demand_was = now_ms - c->demand_ms < 2 * DEMAND_MS ? c->demand : 0;
        c->demand = 0;
        c->demand_ms = now_ms;
    }
    c->demand += amount;
    c->touched_ms = now_ms;
    c->size = amount;
}

/* --- reserving -------------------------------------------------------------------------------- */

static int64_t
reset_of(const struct counter *c, int64_t now_ms, int64_t amount)
{
    int64_t at_ms;

    if (c->is_budget)
        return c->period_end_ms > now_ms ? c->period_end_ms - now_ms : -1;
    if (!c->window.bucket_ms)
        return 1000;
    at_ms = window_leaves_ms(&c->window, amount - (c->share - c->used));
    return at_ms < INT64_MAX ? at_ms - now_ms : c->window_ms;
}

static int64_t
room_of(const struct counter *c)
{
    int64_t here = not_below_zero(c->share - c->used);

    return c->heard_ms ? not_below_zero(c->remaining) + here : here;
}

static void
stand(const struct counter *c, const struct policy_limit *l, int64_t now_ms, int64_t amount,
      struct quota_stand *ret)
{
    *ret = (struct quota_stand){
        .limit = l,
        .remaining = room_of(c),
        .reset_ms = reset_of(c, now_ms, amount),
        .too_large = amount > l->amount,
    };
}

/* Of a budget the leader had as much left. */
static bool
may_be_had(const struct counter *c, int64_t amount)
{
    return c->is_budget && amount <= room_of(c);
}

/* The leader had less than this: asking again is of no use. What it has left of a budget may do for
 * one that wants less, and what others hold may come back; but not more than that. */
static bool
is_refused_already(const struct counter *c, int64_t amount)
{
    if (!c->starved)
        return false;
    return c->is_budget ? amount > room_of(c) + c->elsewhere : !c->elsewhere;
}

/* Whether the leader would have to be asked, or was asked and is away. */
static bool
is_away(const struct quota *q, int64_t now_ms)
{
    return !q->heard_ms || now_ms - q->heard_ms >= AWAY_MS;
}

/* A budget that may be gone beyond while nobody can say how it stands. */
static bool
may_go_on(const struct counter *c, int64_t amount)
{
    if (c->unverifiable == UNVERIFIABLE_ALLOW)
        return true;
    return c->unverifiable == UNVERIFIABLE_ALLOW_CAPPED &&
           c->unverified + amount <= c->amount / CAPPED_PART;
}

/* One limit's word on one request. *ret_beyond: let go on without a share. */
static enum quota_verdict
look(struct quota *q, struct counter *c, int64_t now_ms, const struct quota_claim *want, bool last,
     bool *ret_beyond)
{
    bool away;

    *ret_beyond = false;
    if (want->amount <= quota_allowance(q, c, now_ms) - c->used)
        return QUOTA_ADMITTED;
    *ret_beyond = true;
    if (want->limit->mode == LIMIT_SHADOW)
        return QUOTA_ADMITTED;
    if (want->amount > c->amount && !c->is_budget)
        return QUOTA_REFUSED; /* no share will ever do */
    away = is_away(q, now_ms);
    if (!last && !away && is_refused_already(c, want->amount) && !counter_is_dark(c, now_ms))
        return QUOTA_REFUSED; /* we know */
    if (!last && !(away && c->heard_ms))
        return QUOTA_ASK;
    if (!away && c->heard_ms && now_ms - c->heard_ms < FRESH_MS && !may_be_had(c, want->amount))
        return QUOTA_REFUSED; /* the leader has just said how it stands */
    if (c->is_budget && may_go_on(c, want->amount))
        return QUOTA_ADMITTED;
    *ret_beyond = false;
    return QUOTA_UNVERIFIABLE;
}

static void
take(struct quota *q, struct counter *c, int64_t now_ms, const struct quota_claim *want,
     bool beyond, struct quota_hold *hold)
{
    struct quota_part *part = &hold->parts[hold->count++];
    bool unverified = beyond && c->is_budget && want->limit->mode != LIMIT_SHADOW;

    *part = (struct quota_part){.counter = c,
                                .amount = want->amount,
                                .bucket = c->window.newest,
                                .slice = c->is_budget && !beyond ? c->slice : 0,
                                .slice_use = c->slice_use,
                                .mode = want->limit->mode};
    c->holds++;
    if (is_late(c, now_ms))
        counter_hurry(q, c);
    if (beyond && want->limit->mode == LIMIT_SHADOW)
        q->counts.shadow_refused++;
    if (beyond && c->is_budget) {
        c->unverified += unverified ? want->amount : 0;
        q->counts.unverified += unverified;
        part->slice_use = 0; /* of no slice */
        return;
    }
    c->used += want->amount;
    window_add(&c->window, c->window.newest, want->amount);
    counter_wake(q, c);
}

static enum quota_verdict
worse(enum quota_verdict a, enum quota_verdict b)
{
    return a > b ? a : b;
}

static void
ask_for(struct quota *q, struct counter *c, int64_t amount)
{
    c->need += amount;
    if (!c->least || amount < c->least)
        c->least = amount;
    counter_hurry(q, c);
}

enum quota_verdict
quota_reserve(struct quota *q, int64_t now_ms, const struct quota_claim *claims, size_t count,
              enum quota_try try, struct quota_hold *hold, struct quota_stand *ret_stand)
{
    struct counter *all[LIMIT_REQUEST_LIMITS];
    bool beyond[LIMIT_REQUEST_LIMITS];
    enum quota_verdict v = QUOTA_ADMITTED, each[LIMIT_REQUEST_LIMITS];

    hold->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!(all[i] = counter_of(q, &claims[i])))
            return QUOTA_FULL;
        counter_roll(q, all[i], now_ms);
        if (try == QUOTA_FIRST)
            remember_demand(all[i], now_ms, claims[i].amount);
        each[i] = look(q, all[i], now_ms, &claims[i], try == QUOTA_LAST, &beyond[i]);
        if (each[i] > v)
            stand(all[i], claims[i].limit, now_ms, claims[i].amount, ret_stand);
        v = worse(v, each[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (v == QUOTA_ADMITTED)
            take(q, all[i], now_ms, &claims[i], beyond[i], hold);
        if (v == QUOTA_ASK)
            ask_for(q, all[i], claims[i].amount);
        else if (v == QUOTA_ADMITTED && beyond[i] && !all[i]->heard_ms)
            counter_hurry(q, all[i]); /* a shadow: it should have a share soon */
    }
    return v;
}

int64_t
quota_room(struct quota *q, const struct quota_claim *claim)
{
    const struct counter *c = counter_of(q, claim);

    return c ? room_of(c) : 0;
}

void
quota_withdraw(struct quota *q, const struct quota_claim *claims, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct counter *c = counter_of(q, &claims[i]);

        if (c)
            c->need = not_below_zero(c->need - claims[i].amount);
        if (c && !c->need)
            counter_calm(q, c);
    }
}

/* --- settling --------------------------------------------------------------------------------- */

bool
quota_extend(struct quota_part *part, int64_t amount, int64_t tolerance)
{
    struct counter *c = part->counter;
    int64_t more = amount - part->amount, left, beyond;

    if (more <= 0 || part->slice_use == 0 || part->slice_use != c->slice_use)
        return true;
    /* Not room_of(): what is in use beyond the share is taken of what the leader has. */
    left = not_below_zero(c->share - c->used + not_below_zero(c->remaining));
    beyond = part->beyond + not_below_zero(more - left);
    if (beyond > part->beyond && beyond > tolerance)
        return false;
    part->beyond = beyond; /* once: the leader makes a share of what was used without one */
    c->used += more;
    part->amount += more;
    counter_wake(c->of, c);
    return true;
}

void
quota_settle(struct quota *q, int64_t now_ms, struct quota_part *part, int64_t amount)
{
    struct counter *c = part->counter;
    int64_t more = amount - part->amount;

    part->counter = NULL;
    c->holds--;
    counter_roll(q, c, now_ms);
    if (more > 0 && part->mode == LIMIT_STRICT)
        q->counts.overdrawn++;
    if (c->is_budget && part->slice_use != c->slice_use)
        return; /* of a slice that is no more: the record tells the ledger */
    if (c->is_budget && part->slice_use == 0)
        return;
    if (c->window.bucket_ms && window_has_left(&c->window, part->bucket)) {
        part->bucket = c->window.newest;
        more = not_below_zero(more);
    }
    c->used += more;
    window_add(&c->window, part->bucket, more);
    if (more)
        counter_wake(q, c);
    if (more < 0 && c->tight)
        counter_hurry(q, c);
}

struct slice
quota_part_budget(const struct quota_part *part)
{
    return part->counter && part->counter->is_budget ? name_of(part->counter) : (struct slice){0};
}

struct slice
quota_part_subject(const struct quota_part *part)
{
    return part->counter ? counter_subject(part->counter) : SLICE("");
}
