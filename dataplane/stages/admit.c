/*
 * admit: is there room for this request in every quota and budget that counts it? It runs when the
 * target is known (its price bounds what the request may cost) and before anything is sent. What it
 * reserves is settled once, by settle(), on every way a request can end.
 *
 * All must allow it. A share that does not do is asked for, and waited for a second and a half at
 * most.
 *
 * A strict budget needs a bound. Where the request has no limit of its output, one is put in; where
 * its limit does not fit into what is left, it is lowered (docs/decisions/0025-limits-to-fit.md).
 */
#include "dataplane/request/request.h"
#include "dataplane/request/settle.h"
#include "dataplane/stages/stages.h"
#include "dataplane/state/metrics.h"

#include <inttypes.h>

/* --- what it wants ---------------------------------------------------------------------------- */

static struct limit_facts
facts_of(const struct request *r)
{
    const struct policy_key *key = r->who.key;
    return (struct limit_facts){
        .by = {[BY_KEY] = key->name,
               [BY_USER] = key->user,
               [BY_END_USER] = r->body.brief.end_user,
               [BY_PROJECT] = key->project,
               [BY_TEAM] = key->team->name,
               [BY_MODEL] = r->grant.name,
               [BY_PROVIDER] = r->plan.target->provider->name},
        .key = key,
        .tags = r->body.tags ? r->body.tags->at : NULL,
        .tag_count = r->body.tags ? r->body.tags->count : 0,
    };
}

static enum verdict
refuse_memory(struct request *r)
{
    return reply_refuse(r, PROBLEM_OVERLOADED,
                        "The gateway is short of memory. Try again shortly.");
}

/* What bounds a strict budget is the output's limit: without one there is no bound. */
static enum verdict
refuse_unbounded(struct request *r, const struct policy_limit *l)
{
    return reply_refuse_member(
        r, PROBLEM_UNBOUNDED, "max_tokens",
        "The budget '%.*s' is strict, and what this request may cost has no bound: give a limit of "
        "the output (max_completion_tokens, max_tokens or the like), a whole number.",
        SLICE_ARG(l->name));
}

/* --- the limit of the output ------------------------------------------------------------------ */

#define DEFAULT_OUTPUT_TOKENS 4096 /* every model in use can give as much */
#define MOST_OUTPUT_TOKENS 16384   /* is put in, of models that can give more */
#define LEAST_OUTPUT_TOKENS 256    /* a shorter answer than this is of no use */
#define COMPLETION_TOKENS 16       /* as the endpoint has it, where nothing is said */
#define LIMIT_LOWERED 3

static bool
is_strict_budget(const struct policy_limit *l)
{
    return l->is_budget && l->mode == LIMIT_STRICT;
}

/* Whether the body can be given another limit: a turn of a conversation, or a completion. */
static bool
can_be_limited(const struct request *r)
{
    return !r->endpoint->codec && !r->body.brief.max_tokens_odd;
}

static int64_t
default_limit(const struct request *r)
{
    int64_t most = r->plan.price ? r->plan.price->max_output_tokens : 0;
    if (r->endpoint->way == WAY_PLAIN)
        return COMPLETION_TOKENS;
    if (most == 0)
        most = DEFAULT_OUTPUT_TOKENS;
    if (most > MOST_OUTPUT_TOKENS)
        most = MOST_OUTPUT_TOKENS;
    return most > r->body.brief.least_tokens ? most : r->body.brief.least_tokens;
}

static void
limit_for(struct request *r, const struct policy_limit *const *limits, size_t count)
{
    r->output_limit = 0;
    if (r->body.brief.max_tokens || !can_be_limited(r))
        return;
    for (size_t i = 0; i < count; i++)
        if (is_strict_budget(limits[i]))
            r->output_limit = default_limit(r);
}

/* With so much output r fits into what is left of every strict budget. */
static bool
fits(struct request *r, int64_t output)
{
    const struct admission *a = r->quota;
    bool all = true;
    int64_t before = r->output_limit;
    r->output_limit = output;
    for (size_t i = 0; i < a->count && all; i++)
        if (is_strict_budget(a->claims[i].limit))
            all = settle_reservation(r, a->claims[i].limit) <=
                  quota_room(r->svc->quota, &a->claims[i]);
    r->output_limit = before;
    return all;
}

/* A client may want its own limit or none. */
static bool
may_lower(const struct request *r)
{
    struct slice how = http_field_get(request_head(r), "x-headgate-max-tokens");
    return can_be_limited(r) && !slice_eq_nocase(how, SLICE("exact"));
}

/* To the most that fits: whether there is something to be tried again. */
static bool
lower(struct request *r, const struct policy_limit *refused)
{
    struct admission *a = r->quota;
    int64_t least = LEAST_OUTPUT_TOKENS, most = settle_output_limit(r);
    if (least < r->body.brief.least_tokens)
        least = r->body.brief.least_tokens;
    if (!is_strict_budget(refused) || a->lowered == LIMIT_LOWERED || !may_lower(r) ||
        most <= least || !fits(r, least))
        return false;
    while (least < most) {
        int64_t middle = least + (most - least + 1) / 2;
        if (fits(r, middle))
            least = middle;
        else
            most = middle - 1;
    }
    a->lowered++;
    a->waiter.until_ms = 0; /* another wait */
    r->output_limit = least;
    for (size_t i = 0; i < a->count; i++)
        a->claims[i].amount = settle_reservation(r, a->claims[i].limit);
    return true;
}

/* --- claims ----------------------------------------------------------------------------------- */

static enum verdict
claim(struct request *r, struct admission *a, const struct policy_limit *l,
      const struct limit_facts *facts)
{
    char text[LIMIT_SUBJECT_BYTES];
    struct quota_claim *c = &a->claims[a->count];
    if (l->mode == LIMIT_STRICT && !settle_is_bounded(r))
        return refuse_unbounded(r, l);
    *c = (struct quota_claim){.limit = l, .amount = settle_reservation(r, l)};
    c->subject = arena_copy(&r->arena, limit_subject(l, facts, text));
    if (!c->subject.at)
        return refuse_memory(r);
    a->count++;
    a->budgets += l->is_budget;
    return NEXT;
}

static enum verdict
claim_all(struct request *r, const struct limit_facts *facts,
          const struct policy_limit *const *limits, size_t count)
{
    struct admission *a = arena_zalloc(&r->arena, sizeof(*a));
    if (!a || !(a->claims = arena_zalloc(&r->arena, count * sizeof(*a->claims))) ||
        !(a->hold.parts = arena_zalloc(&r->arena, count * sizeof(*a->hold.parts))))
        return refuse_memory(r);
    for (size_t i = 0; i < count; i++)
        if (claim(r, a, limits[i], facts) == REPLY)
            return REPLY;
    if (a->budgets && !(a->draws = arena_zalloc(&r->arena, a->budgets * sizeof(*a->draws))))
        return refuse_memory(r);
    r->quota = a;
    return NEXT;
}

/* --- the answers ------------------------------------------------------------------------------ */

static void
add_field(struct request *r, const char *name, struct slice value)
{
    struct reply *reply = &r->reply;
    if (reply->extra_count < LIMIT_REPLY_EXTRAS && value.at)
        reply->extra[reply->extra_count++] =
            (struct http_field){.name = slice_of(name), .value = value};
}

static struct slice
number(struct request *r, int64_t n, const char *unit)
{
    return slice_of(arena_printf(&r->arena, "%" PRId64 "%s", n, unit));
}

/* The fields that clients know. */
static void
add_limit_fields(struct request *r, const struct quota_stand *s)
{
    const struct policy_limit *l = s->limit;
    bool requests = l->metric == METRIC_REQUESTS || l->metric == METRIC_CONCURRENT;
    int64_t reset_s = s->reset_ms < 0 ? 0 : (s->reset_ms + 999) / 1000;
    if (l->metric == METRIC_SPEND)
        return;
    add_field(r, requests ? "x-ratelimit-limit-requests" : "x-ratelimit-limit-tokens",
              number(r, l->amount, ""));
    add_field(r, requests ? "x-ratelimit-remaining-requests" : "x-ratelimit-remaining-tokens",
              number(r, s->remaining, ""));
    if (s->reset_ms >= 0)
        add_field(r, requests ? "x-ratelimit-reset-requests" : "x-ratelimit-reset-tokens",
                  number(r, reset_s, "s"));
}

static enum verdict
refuse_budget(struct request *r, const struct quota_stand *s)
{
    const struct policy_limit *l = s->limit;
    enum verdict v = reply_refuse(
        r, PROBLEM_BUDGET, "The budget '%.*s' has too little left for this request (%s a %.*s).",
        SLICE_ARG(l->name),
        l->metric == METRIC_SPEND ? "its limit is in dollars" : "its limit is in tokens",
        SLICE_ARG(l->period));
    add_limit_fields(r, s);
    add_field(r, "x-should-retry", SLICE("false"));
    if (s->reset_ms > 0)
        r->reply.retry_after = number(r, (s->reset_ms + 999) / 1000, "");
    return v;
}

static enum verdict
refuse_quota(struct request *r, const struct quota_stand *s)
{
    const struct policy_limit *l = s->limit;
    int64_t wait_s = s->reset_ms < 1000 ? 1 : (s->reset_ms + 999) / 1000;
    enum verdict v;
    if (s->too_large) {
        v = reply_refuse(r, PROBLEM_QUOTA,
                         "This request alone is more than the quota '%.*s' allows (%s: %" PRId64
                         ").",
                         SLICE_ARG(l->name), limit_metric_name(l->metric), l->amount);
        add_field(r, "x-should-retry", SLICE("false"));
    } else {
        v = reply_refuse(r, PROBLEM_QUOTA, "The quota '%.*s' is used up (%.*s: %" PRId64 ").",
                         SLICE_ARG(l->name), SLICE_ARG(slice_from(l->id, l->name.len + 1)),
                         l->amount);
        r->reply.retry_after = number(r, wait_s, "");
    }
    add_limit_fields(r, s);
    return v;
}

static enum verdict
refuse(struct request *r, enum quota_verdict v, const struct quota_stand *s)
{
    struct metrics_page *page = r->svc->metrics->page;
    if (v == QUOTA_FULL)
        return reply_refuse(r, PROBLEM_OVERLOADED,
                            "The gateway counts as many subjects of limits as it may. Try again "
                            "shortly.");
    if (v == QUOTA_UNVERIFIABLE) {
        page->limit_unverifiable++;
        return reply_refuse(r, PROBLEM_UNVERIFIABLE,
                            "How the limit '%.*s' stands cannot be verified at present. Try again "
                            "shortly.",
                            SLICE_ARG(s->limit->name));
    }
    return s->limit->is_budget ? refuse_budget(r, s) : refuse_quota(r, s);
}

/* --- the stage -------------------------------------------------------------------------------- */

/* An answer that was given before is all there is to come. */
static enum verdict
go_on(const struct request *r)
{
    return recall_hit(r) ? REPLY : NEXT;
}

static void on_turn(void *ctx, bool last);

/* What the record says it drew; of a worker that dies now, this is what is booked. */
static void
note_draws(struct admission *a)
{
    for (size_t i = 0; i < a->hold.count; i++) {
        const struct quota_part *part = &a->hold.parts[i];
        struct slice budget = quota_part_budget(part);
        if (budget.at)
            a->draws[a->draw_count++] =
                (struct usage_draw){budget, quota_part_subject(part), part->slice, part->amount};
    }
}

static void
withdraw(struct request *r)
{
    if (r->quota->asked)
        quota_withdraw(r->svc->quota, r->quota->claims, r->quota->count);
    r->quota->asked = false;
}

static enum verdict
try(struct request *r, enum quota_try how)
{
    struct admission *a = r->quota;
    struct quota_stand s = {0};
    int64_t now = loop_now_ms(r->svc->loop);
    withdraw(r);
    enum quota_verdict v =
        quota_reserve(r->svc->quota, now, a->claims, a->count, how, &a->hold, &s);
    while (v == QUOTA_REFUSED && lower(r, s.limit))
        v = quota_reserve(r->svc->quota, now, a->claims, a->count, QUOTA_AGAIN, &a->hold, &s);
    if (v == QUOTA_ADMITTED) {
        a->held = true;
        note_draws(a);
        return go_on(r);
    }
    if (v != QUOTA_ASK)
        return refuse(r, v, &s);
    a->asked = true;
    a->waiter.on_turn = on_turn;
    a->waiter.ctx = r;
    lease_wait(r->svc->lease, &a->waiter);
    return WAIT;
}

static void
on_turn(void *ctx, bool last)
{
    struct request *r = ctx;
    enum verdict v = try(r, last ? QUOTA_LAST : QUOTA_AGAIN);
    if (v != WAIT)
        request_resume(r, v);
}

/* What takes no tokens and costs nothing is a request all the same. */
static size_t
leave_requests(const struct policy_limit **limits, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (limits[i]->metric == METRIC_REQUESTS || limits[i]->metric == METRIC_CONCURRENT)
            limits[n++] = limits[i];
    return n;
}

enum verdict
admit(struct request *r)
{
    const struct policy_limit *limits[LIMIT_REQUEST_LIMITS];
    settle_admission(r); /* of another target, when it was routed anew */
    if (policy_limit_count(r->policy) == 0)
        return go_on(r);
    struct limit_facts facts = facts_of(r);
    size_t n = policy_limits_for(r->policy, &facts, limits), budgets = 0;
    if (n <= LIMIT_REQUEST_LIMITS && recall_hit(r))
        n = leave_requests(limits, n);
    if (n == 0)
        return go_on(r);
    for (size_t i = 0; i < n && i < LIMIT_REQUEST_LIMITS; i++)
        budgets += limits[i]->is_budget;
    if (n > LIMIT_REQUEST_LIMITS || budgets > LIMIT_DRAWS)
        return reply_refuse(r, PROBLEM_UNVERIFIABLE,
                            "More limits count this request than the gateway can keep (%d, and %d "
                            "budgets): its operator must merge some.",
                            LIMIT_REQUEST_LIMITS, LIMIT_DRAWS);
    limit_for(r, limits, n);
    if (claim_all(r, &facts, limits, n) == REPLY)
        return REPLY;
    return try(r, QUOTA_FIRST);
}

void
admit_cancel(struct request *r)
{
    struct admission *a = r->quota;
    lease_cancel(r->svc->lease, &a->waiter);
    withdraw(r);
}
