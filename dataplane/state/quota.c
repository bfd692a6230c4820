/* See quota.h; docs/decisions/0012-leases.md says why nobody takes more than the limit. */
#include "dataplane/state/quota.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/map.h"

#define BUCKETS 64      /* of a window: 60, one that is beginning, one that is ending */
#define BUCKETS_LIVE 61 /* what was taken is counted for at least a whole window */
#define SLICE_LIFE_MS (INT64_C(24) * 3600 * 1000) /* without a word of the leader */
#define IDLE_MS 3000    /* then a counter gives back what it does not use */
#define DEMAND_MS 1000  /* how far back demand is remembered: one to two of these */
#define CAPPED_PART 100 /* of a budget, that a worker may spend unverified with allow_capped */
#define AWAY_MS 2500    /* without an answer, though a claim goes up every second */
#define FRESH_MS 700    /* an answer that came while a request waited */
#define GRACE_MS 5000   /* for clocks that do not run alike */
/* After its period's end a slice is still drawn on, until the leader has given one of the next:
 * every budget's period may end in this moment, and nobody is to wait for that. */
#define LATE_MS 2000
#define QUIET_MS 4000    /* between claims to a budget that say the same again; above IDLE_MS */
#define NEAR_REQUESTS 32 /* a budget nears its end when no more of them are left */

struct counter {
    char *key; /* id, NUL, subject */
    size_t key_len;
    struct slice id, subject, name;
    bool is_budget;
    int64_t window_ms, bucket_ms; /* bucket_ms 0: no window */
    int64_t amount;               /* of the limit, as the last request's policy has it */
    enum unverifiable unverifiable;

    int64_t share, used;
    size_t holds;                     /* parts of requests that point here */
    int64_t expires_ms;               /* of the share */
    int64_t buckets[BUCKETS], bucket; /* bucket: the newest one's number */

    uint64_t slice; /* of a budget */
    uint32_t slice_use;
    int64_t unverified;    /* spent without a slice */
    int64_t period_end_ms; /* 0: none */

    int64_t need;               /* of those that wait, together */
    int64_t least;              /* of them, since the last answer: what lets one go on */
    int64_t demand, demand_was; /* asked for in this and the last span */
    int64_t demand_ms, touched_ms;
    int64_t size;       /* of the last request */
    int64_t sent, told; /* what was in use: in the claim under way, in the last answered */
    int64_t elsewhere;  /* as the leader told */
    int64_t remaining;  /* the same; of a budget, with what was given back since */
    int64_t heard_ms;   /* when; 0: never */
    bool starved;       /* the leader had less than was needed */
    bool tight;
    bool claimed; /* it is in the claims that are under way */
};

struct quota {
    struct map by_key;
    struct counter **all;
    size_t count, cap;
    size_t next;                        /* where the next claims begin */
    struct counter *sent[LIMIT_CLAIMS]; /* of the claims under way */
    size_t sent_count;
    int64_t sent_ms;
    int64_t heard_ms; /* when an answered claim was sent; 0: never */
    int64_t life_ms;
    uint32_t fleet; /* 0: never told */
    bool wanting, leaving;
    bool near_end; /* of a budget that something is held ready of: others may soon need it */
    struct quota_counts counts;
};

/* --- counters --------------------------------------------------------------------------------- */

struct quota *
quota_new(void)
{
    struct quota *q = calloc(1, sizeof(*q));

    if (q)
        map_init(&q->by_key);
    return q;
}

static void
counter_free(struct counter *c)
{
    free(c->key);
    free(c);
}

void
quota_free(struct quota *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->count; i++)
        counter_free(q->all[i]);
    free(q->all);
    map_free(&q->by_key);
    free(q);
}

static bool
make_room(struct quota *q)
{
    size_t cap = q->cap ? 2 * q->cap : 32;
    struct counter **all;

    if (q->count >= LIMIT_QUOTA_COUNTERS)
        return false;
    if (q->count < q->cap)
        return true;
    if (!(all = realloc(q->all, cap * sizeof(struct counter *))))
        return false;
    q->all = all;
    q->cap = cap;
    return true;
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
    struct counter *c = make_room(q) ? calloc(1, sizeof(*c)) : NULL;

    if (!c || !(c->key = malloc(key.len)))
        goto no_memory;
    memcpy(c->key, key.at, key.len);
    c->key_len = key.len;
    c->id = slice_make(c->key, l->id.len);
    c->name = slice_make(c->key, l->name.len); /* an id begins with the name */
    c->subject = slice_make(c->key + l->id.len + 1, want->subject.len);
    c->is_budget = l->is_budget;
    c->window_ms = l->window_ms;
    c->bucket_ms = l->window_ms / 60;
    if (map_put(&q->by_key, slice_make(c->key, key.len), c) != 0)
        goto no_memory;
    q->all[q->count++] = c;
    return c;
no_memory:
    if (c)
        counter_free(c);
    return NULL;
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

/* Gives back what was taken more than a window ago. */
static void
roll(struct counter *c, int64_t now_ms)
{
    int64_t now = c->bucket_ms ? now_ms / c->bucket_ms : 0;

    if (!c->bucket_ms || now <= c->bucket)
        return;
    int64_t steps = now - c->bucket < BUCKETS ? now - c->bucket : BUCKETS;
    for (int64_t i = 1; i <= steps; i++) {
        int64_t *fresh = &c->buckets[(c->bucket + i) % BUCKETS];
        int64_t *old = &c->buckets[(c->bucket + i + BUCKETS - BUCKETS_LIVE) % BUCKETS];

        *fresh = 0;
        c->used -= *old;
        *old = 0;
    }
    c->bucket = now;
}

static bool
is_dark(const struct counter *c, int64_t now_ms)
{
    return now_ms >= c->expires_ms;
}

/* Its period is over, and nothing else. */
static bool
is_late(const struct counter *c, int64_t now_ms)
{
    return c->is_budget && c->period_end_ms && c->expires_ms == c->period_end_ms &&
           is_dark(c, now_ms) && now_ms - c->period_end_ms < LATE_MS;
}

static int64_t
safe_share(const struct quota *q, const struct counter *c)
{
    return q->fleet ? c->amount / q->fleet : 0;
}

/* What c may have in use now. A rate whose lease has run out keeps no more than its safe share; it
 * may rise to that once everybody's leases have run out and what they took has left the window. */
static int64_t
allowance(const struct quota *q, const struct counter *c, int64_t now_ms)
{
    int64_t safe, dark_ms;

    if (!is_dark(c, now_ms) || is_late(c, now_ms))
        return c->share;
    if (c->is_budget)
        return 0;
    safe = safe_share(q, c);
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
    int64_t room = c->share - c->used, first = c->bucket - BUCKETS_LIVE + 1;

    if (c->is_budget)
        return c->period_end_ms > now_ms ? c->period_end_ms - now_ms : -1;
    if (!c->bucket_ms)
        return 1000;
    for (int64_t b = first; b <= c->bucket; b++) {
        room += b >= 0 ? c->buckets[b % BUCKETS] : 0;
        if (room >= amount)
            return (b + BUCKETS_LIVE) * c->bucket_ms - now_ms;
    }
    return c->window_ms;
}

static int64_t
not_below_zero(int64_t n)
{
    return n > 0 ? n : 0;
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
 * one that wants less. */
static bool
is_refused_already(const struct counter *c, int64_t amount)
{
    return c->starved && !c->elsewhere && !may_be_had(c, amount);
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
    if (want->amount <= allowance(q, c, now_ms) - c->used)
        return QUOTA_ADMITTED;
    *ret_beyond = true;
    if (want->limit->mode == LIMIT_SHADOW)
        return QUOTA_ADMITTED;
    if (want->amount > c->amount && !c->is_budget)
        return QUOTA_REFUSED; /* no share will ever do */
    away = is_away(q, now_ms);
    if (!last && !away && is_refused_already(c, want->amount) && !is_dark(c, now_ms))
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
                                .bucket = c->bucket,
                                .slice = c->is_budget && !beyond ? c->slice : 0,
                                .slice_use = c->slice_use,
                                .mode = want->limit->mode};
    c->holds++;
    q->wanting = q->wanting || is_late(c, now_ms);
    if (beyond && want->limit->mode == LIMIT_SHADOW)
        q->counts.shadow_refused++;
    if (beyond && c->is_budget) {
        c->unverified += unverified ? want->amount : 0;
        q->counts.unverified += unverified;
        part->slice_use = 0; /* of no slice */
        return;
    }
    c->used += want->amount;
    if (c->bucket_ms)
        c->buckets[c->bucket % BUCKETS] += want->amount;
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
    q->wanting = true;
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
        roll(all[i], now_ms);
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
        else if (v == QUOTA_ADMITTED && beyond[i])
            q->wanting = q->wanting || !all[i]->heard_ms; /* a shadow: it should have one soon */
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
            c->least = 0;
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
    return true;
}

void
quota_settle(struct quota *q, int64_t now_ms, struct quota_part *part, int64_t amount)
{
    struct counter *c = part->counter;
    int64_t more = amount - part->amount;

    part->counter = NULL;
    c->holds--;
    roll(c, now_ms);
    if (more > 0 && part->mode == LIMIT_STRICT)
        q->counts.overdrawn++;
    if (c->is_budget && part->slice_use != c->slice_use)
        return; /* of a slice that is no more: the record tells the ledger */
    if (c->is_budget && part->slice_use == 0)
        return;
    if (c->bucket_ms && part->bucket <= c->bucket - BUCKETS_LIVE) { /* it has left the window */
        part->bucket = c->bucket;
        more = not_below_zero(more);
    }
    c->used += more;
    if (c->bucket_ms)
        c->buckets[part->bucket % BUCKETS] += more;
    if (more < 0 && c->tight)
        q->wanting = true; /* somebody waits for it */
}

struct slice
quota_part_budget(const struct quota_part *part)
{
    return part->counter && part->counter->is_budget ? part->counter->name : (struct slice){0};
}

struct slice
quota_part_subject(const struct quota_part *part)
{
    return part->counter ? part->counter->subject : SLICE("");
}

/* --- claiming --------------------------------------------------------------------------------- */

bool
quota_is_wanting(const struct quota *q)
{
    return q->wanting;
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

static struct bus_claim
claim_of(const struct quota *q, struct counter *c, int64_t now_ms)
{
    roll(c, now_ms);
    let_go(c, now_ms);
    if (q->leaving)
        c->share = c->used;
    int64_t allowed = allowance(q, c, now_ms);
    bool dark = !c->is_budget && is_dark(c, now_ms);
    c->sent = c->used;
    /* Should this go unheard, the safe share may be used later. */
    if (dark && allowed < safe_share(q, c))
        allowed = safe_share(q, c);
    struct bus_claim claim = {
        .limit = c->id,
        .subject = c->subject,
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

/* A budget of which nothing is held ready, and the leader knows what was used. */
static bool
has_said_all(const struct counter *c, int64_t now_ms)
{
    return c->is_budget && !c->need && c->slice && c->share == c->used && c->used == c->told &&
           now_ms - c->heard_ms < QUIET_MS;
}

static bool
has_something(const struct counter *c, int64_t now_ms)
{
    if (has_said_all(c, now_ms))
        return false;
    return c->need || c->share || c->used || c->expires_ms || !c->heard_ms;
}

size_t
quota_claims(struct quota *q, int64_t now_ms, struct bus_claim *ret, size_t room)
{
    size_t n = 0;

    if (room > LIMIT_CLAIMS)
        room = LIMIT_CLAIMS;
    for (size_t i = 0; i < q->sent_count; i++)
        q->sent[i]->claimed = false;
    for (size_t i = 0; i < q->count && n < room; i++) {
        struct counter *c = q->all[(q->next + i) % q->count];

        if (!has_something(c, now_ms))
            continue;
        ret[n] = claim_of(q, c, now_ms);
        c->claimed = true;
        q->sent[n++] = c;
    }
    q->next = q->count ? (q->next + n) % q->count : 0;
    q->sent_count = n;
    q->sent_ms = now_ms;
    q->wanting = q->near_end = false;
    return n;
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
    c->starved =
        c->need > 0 && c->share - c->used < c->least && !(c->is_budget && g->remaining >= c->least);
    /* Where less is left than a request takes, what lies about here is what another waits for. */
    c->tight = g->tight || (c->is_budget && g->remaining < c->size);
    if (c->tight && c->share > c->used + c->need)
        q->wanting = true;
    if (c->is_budget && c->share > c->used && g->remaining / NEAR_REQUESTS < c->size)
        q->near_end = true;
    c->elsewhere = g->elsewhere;
    c->remaining = g->remaining;
    c->heard_ms = q->sent_ms;
}

void
quota_grants(struct quota *q, int64_t now_ms, const struct bus_lease_grants *grants)
{
    q->life_ms = grants->life_ms;
    q->fleet = grants->fleet;
    q->heard_ms = q->sent_ms;
    for (size_t i = 0; i < q->sent_count && i < grants->count; i++) {
        struct counter *c = q->sent[i];

        c->claimed = false;
        roll(c, now_ms);
        take_grant(q, c, &grants->grants[i]);
        c->least = 0; /* those that wait have their turn, and ask again */
    }
    q->sent_count = 0;
}

void
quota_unanswered(struct quota *q)
{
    for (size_t i = 0; i < q->sent_count; i++) {
        q->sent[i]->claimed = false;
        q->wanting = q->wanting || q->sent[i]->need > 0;
    }
    q->sent_count = 0;
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

/* --- forgetting ------------------------------------------------------------------------------- */

static bool
is_idle(const struct counter *c, int64_t now_ms)
{
    return !c->claimed && !c->need && !c->holds && now_ms - c->touched_ms >= 2 * IDLE_MS &&
           (c->is_budget ? c->share <= c->used && c->heard_ms > c->touched_ms + IDLE_MS
                         : c->used == 0 && c->share == 0);
}

void
quota_tend(struct quota *q, int64_t now_ms)
{
    for (size_t i = 0; i < q->count;) {
        struct counter *c = q->all[i];

        roll(c, now_ms);
        if (!is_idle(c, now_ms)) {
            i++;
            continue;
        }
        (void)map_remove(&q->by_key, slice_make(c->key, c->key_len));
        q->all[i] = q->all[--q->count];
        counter_free(c);
    }
    q->next = q->count ? q->next % q->count : 0;
}
