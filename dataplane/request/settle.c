/*
 * What the provider reports is the truth. Where it reports nothing, or something that cannot be,
 * the estimate of what passed is booked and marked; zero is booked only for an error of the
 * provider's own. An attempt that was reserved is settled exactly once, on every way a request can
 * end.
 */
#include "dataplane/request/settle.h"

#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"
#include "dataplane/state/estimates.h"
#include "dataplane/state/metrics.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#include <assert.h>

#define WARNINGS_A_SECOND 20
#define UNBOUNDED_OUTPUT_TOKENS 16384 /* where a request sets no limit of its own */

/* --- how much --------------------------------------------------------------------------------- */

/* Whether an answer is text, of a length that is not known before. */
static bool
has_output(const struct request *r)
{
    const struct codec *codec = r->endpoint->codec;
    return !codec || (codec->forwards && r->body.units && r->body.units->text_bytes);
}

/* Bytes of the request that count as text. */
static size_t
text_bytes(const struct request *r)
{
    return r->body.units ? r->body.units->text_bytes : r->body.len;
}

static struct circumstances
circumstances(const struct request *r, const struct tokens *t)
{
    return circumstances_of(t, r->answer.report.tier);
}

static nanos
cost_of(const struct request *r, const struct tokens *t)
{
    struct circumstances c = circumstances(r, t);
    nanos cost = 0;
    if (!r->plan.price)
        return 0; /* free on purpose: route() has seen to that */
    return policy_cost(r->plan.price, &c, t, &cost) ? INT64_MAX : cost;
}

static int64_t
input_estimate(const struct request *r)
{
    return estimates_input(r->svc->estimates, r->plan.target->provider->name, r->plan.target->model,
                           text_bytes(r));
}

int64_t
settle_output_limit(const struct request *r)
{
    return r->output_limit ? r->output_limit : r->body.brief.max_tokens;
}

int64_t
settle_output_bound(const struct request *r)
{
    int64_t limit = settle_output_limit(r), each = limit ? limit : UNBOUNDED_OUTPUT_TOKENS;
    int64_t n;
    if (!has_output(r))
        return 0;
    if (__builtin_mul_overflow(each, r->body.brief.choices, &n) || n > (INT64_C(1) << 40))
        n = INT64_C(1) << 40;
    return n;
}

int64_t
settle_answer_estimate(const struct request *r)
{
    int64_t bound = settle_output_bound(r);
    int64_t n =
        estimates_answer(r->svc->estimates, r->plan.target->provider->name, r->plan.target->model) *
        r->body.brief.choices;
    return n < bound ? n : bound;
}

/* What the client was given so far, as tokens. */
static int64_t
delivered_estimate(const struct request *r)
{
    struct meter whole = {0};
    const struct meter *m = &whole;
    if (!has_output(r))
        return 0;
    if (r->answer.mode == ANSWER_STREAM)
        m = &r->answer.passage.meter;
    else if (r->answer.mode == ANSWER_LONG)
        whole.bytes = r->sent.passed;
    else
        meter_count(&whole, buf_slice(&r->answer.held));
    return estimates_output(r->svc->estimates, r->plan.target->provider->name,
                            r->plan.target->model, m->bytes, m->chunks);
}

/* What it may use: the upper bound, and what is likely. An answer given before uses nothing. */
static struct tokens
most_of(const struct request *r)
{
    if (recall_hit(r))
        return (struct tokens){0};
    struct tokens t = r->body.units ? r->body.units->most : (struct tokens){0};
    t.input = (int64_t)text_bytes(r);
    t.output += settle_output_bound(r);
    return t;
}

static struct tokens
likely_of(const struct request *r)
{
    if (recall_hit(r))
        return (struct tokens){0};
    struct tokens t = r->body.units ? r->body.units->likely : (struct tokens){0};
    t.input = input_estimate(r);
    t.output += settle_answer_estimate(r);
    return t;
}

/* In what the limit counts; never negative. */
static int64_t
measure(const struct policy_limit *l, const struct tokens *t, nanos cost)
{
    switch (l->metric) {
    case METRIC_REQUESTS:
    case METRIC_CONCURRENT:
        return 1;
    case METRIC_TOKENS:
        return tokens_input(t) + tokens_output(t);
    case METRIC_INPUT_TOKENS:
        return tokens_input(t);
    case METRIC_OUTPUT_TOKENS:
        return tokens_output(t);
    case METRIC_SPEND:
        break;
    }
    return cost;
}

/* An answer that is an error of the provider's own costs nothing, unless it says otherwise. */
static bool
is_providers_error(const struct request *r)
{
    return r->answer.mode == ANSWER_ERROR || r->reply.from_provider;
}

/* --- the tally -------------------------------------------------------------------------------- */

/* More than four times what was allowed is no count, whatever it is: unless that much went by. */
static bool
is_absurd(const struct request *r, const struct tokens *t)
{
    int64_t bound = settle_output_bound(r), output = tokens_output(t);
    return settle_output_limit(r) && !r->body.units && output > 4 * bound &&
           output > 4 * delivered_estimate(r);
}

/* --- a stream under way ----------------------------------------------------------------------- */

static void
forget_output(struct tokens *t)
{
    t->output = t->reasoning = t->audio_output = t->image_output = 0;
}

static int64_t
reported_output(const struct request *r)
{
    const struct usage_report *report = &r->answer.report;
    return report->has_output && !is_absurd(r, &report->tokens) ? tokens_output(&report->tokens)
                                                                : 0;
}

static int64_t
sure_passed(const struct request *r)
{
    return (int64_t)meter_sure_tokens(&r->answer.passage.meter, r->body.brief.choices == 1);
}

int64_t
settle_sure_output(const struct request *r)
{
    int64_t reported = reported_output(r), passed = sure_passed(r);
    return reported > passed ? reported : passed;
}

/* A running count that surely was passed since it was reported. */
static bool
is_behind(const struct request *r)
{
    return r->answer.mode == ANSWER_STREAM && r->answer.passage.state != PASSAGE_DONE &&
           sure_passed(r) > reported_output(r);
}

int64_t
settle_so_far(const struct request *r, const struct policy_limit *l)
{
    const struct usage_report *report = &r->answer.report;
    struct tokens t = report->tokens;
    int64_t bound = (int64_t)text_bytes(r), input = input_estimate(r);
    if (!report->has_input)
        t.input = input < bound ? input : bound;
    if (!report->has_output || is_absurd(r, &t) || is_behind(r)) {
        forget_output(&t);
        t.output = delivered_estimate(r);
    }
    return measure(l, &t, cost_of(r, &t));
}

/* What came back in an answer that nobody counted. */
static int64_t
unreported_output(const struct request *r)
{
    if (r->answer.status == 0) /* nothing came: it may be at work on a whole answer, or on none */
        return r->sent.outcome || r->reply.status ? 0 : settle_answer_estimate(r);
    if (r->answer.mode == ANSWER_WHOLE && r->at < DELIVER)
        return settle_answer_estimate(r);
    return delivered_estimate(r);
}

/* The side, or the sides, that the report is silent about. */
static void
fill_in(struct request *r, bool input, bool output)
{
    struct tokens *t = &r->tally.tokens;
    if (input)
        t->input = input_estimate(r);
    if (output)
        t->output = unreported_output(r);
    r->tally.estimated = input || output;
}

/* --- what is no text --------------------------------------------------------------------------
 *
 * Pictures, sound and searches are billed in tokens or by the piece; the price tells which. What
 * the provider has counted stands; what is known from the request (characters to speak) is exact;
 * the rest is estimated.
 */

static bool
has_token_rate(const struct rates *rates)
{
    picos_tok all = 0;
    for (int c = 0; c < CLASS_TOKENS; c++)
        all |= rates->of[c];
    return all != 0;
}

static void
tally_units(struct request *r)
{
    const struct codec_units *u = r->body.units;
    const struct usage_report *report = &r->answer.report;
    const struct policy_price *price = r->plan.price;
    struct tokens *t = &r->tally.tokens;
    bool told = report->seen && report->has_input;
    bool counts = u->unit < USAGE_CLASSES && (!price || price->rates.of[u->unit]);
    if (told && counts && price && has_token_rate(&price->rates))
        counts = false; /* the tokens are the bill */
    int64_t units = !counts ? 0 : report->has_units ? t->of[u->unit] : u->likely.of[u->unit];
    if (!told && !counts) {
        *t = likely_of(r);
        r->tally.estimated = true;
    } else if (counts) {
        r->tally.estimated = !report->has_units && (!u->exact || r->answer.status == 0);
    }
    if (u->unit < USAGE_CLASSES)
        t->of[u->unit] = units;
}

void
settle_tally(struct request *r)
{
    struct usage_report *report = &r->answer.report;
    if (r->tally.made)
        return;
    r->tally.made = true;
    if (recall_hit(r))
        return;
    bool is_wrong = report->seen && is_absurd(r, &report->tokens);
    report->suspect |= is_wrong;
    if (is_wrong || is_behind(r)) {
        report->has_output = false;
        forget_output(&report->tokens);
    }
    r->tally.tokens = report->tokens;
    if (r->body.units && r->body.units->costs_nothing)
        r->tally.tokens = (struct tokens){0};
    else if (!is_providers_error(r) && r->body.units && !r->endpoint->codec->forwards)
        tally_units(r);
    else if (!is_providers_error(r))
        fill_in(r, !report->has_input, has_output(r) && !report->has_output);
    r->tally.cost = cost_of(r, &r->tally.tokens);
}

/* --- limits ----------------------------------------------------------------------------------- */

bool
settle_is_bounded(const struct request *r)
{
    if (r->body.units && r->body.units->unbounded)
        return false;
    return !has_output(r) || (settle_output_limit(r) > 0 && !r->body.brief.max_tokens_odd);
}

static nanos
cost_bound(const struct request *r, const struct tokens *most)
{
    struct tokens widest = *most;
    nanos bound = 0;
    if (!r->plan.price)
        return 0;
    if (!r->body.units) /* its own classes are bounded by themselves */
        usage_widen(&widest, &r->plan.price->rates, slice_make(r->body.at, r->body.len));
    return policy_cost_bound(r->plan.price, SERVICE_TIERS, &widest, &bound) ? INT64_MAX / 4 : bound;
}

int64_t
settle_reservation(const struct request *r, const struct policy_limit *l)
{
    struct tokens most = most_of(r), likely = likely_of(r);
    if (l->mode == LIMIT_STRICT)
        return measure(l, &most, cost_bound(r, &most));
    if (!l->is_budget && r->body.brief.max_tokens)
        likely.output = settle_output_bound(r);
    return measure(l, &likely, cost_of(r, &likely));
}

/* What it came to. Nothing was sent: only that it was asked. What nobody has reported stays at the
 * bound in a strict budget: the provider's bill may say as much. */
static int64_t
outcome_of(const struct request *r, size_t i)
{
    const struct admission *a = r->quota;
    const struct policy_limit *l = a->claims[i].limit;
    if (l->metric == METRIC_CONCURRENT)
        return 0;
    if (!r->answer.reserved)
        return l->metric == METRIC_REQUESTS;
    int64_t came_to = measure(l, &r->tally.tokens, r->tally.cost), held = a->claims[i].amount;
    return l->mode == LIMIT_STRICT && r->tally.estimated && came_to < held ? held : came_to;
}

static void
settle_draws(struct request *r)
{
    struct admission *a = r->quota;
    for (size_t i = 0, n = 0; a && a->held && i < a->hold.count; i++)
        if (a->claims[i].limit->is_budget)
            a->draws[n++].amount = outcome_of(r, i);
}

void
settle_admission(struct request *r)
{
    struct admission *a = r->quota;
    int64_t now = loop_now_ms(r->svc->loop);
    if (!a || !a->held)
        return;
    a->held = false;
    for (size_t i = 0; i < a->hold.count; i++)
        quota_settle(r->svc->quota, now, &a->hold.parts[i], outcome_of(r, i));
}

/* --- the record ------------------------------------------------------------------------------- */

static void
copy_tags(struct request *r, struct usage *u)
{
    const struct policy_key *key = r->who.key;
    const struct tag_set *own = r->body.tags;
    size_t cursor = 0, n = 0, more = own ? own->count : 0;
    if (key->tag_count + more == 0)
        return;
    struct policy_tag *tags = arena_alloc(&r->arena, (key->tag_count + more) * sizeof(*tags));
    while (tags && n < key->tag_count && policy_key_tag(key, &cursor, &tags[n]))
        n++;
    for (size_t i = 0; tags && i < more; i++)
        tags[n++] = own->at[i];
    u->tags = tags;
    u->tag_count = n;
}

/* What is known before the first byte. */
static void
describe(struct request *r, struct usage *u)
{
    const struct policy_target *target = r->plan.target;
    *u = (struct usage){
        .request_id = slice_make(r->id, REQUEST_ID_BYTES - 1),
        .attempt_no = 1,
        .started_ms = r->started_wall_ms,
        .key = r->who.key->name,
        .key_id = r->who.key->id,
        .team = r->who.key->team->name,
        .project = r->who.key->project,
        .user = r->who.key->user,
        .end_user = r->body.brief.end_user,
        .model = r->grant.name,
        .provider = target->provider->name,
        .provider_model = target->model,
        .endpoint = slice_of(r->endpoint->name),
        .stream = r->body.brief.stream,
        .cached = recall_hit(r) != NULL,
        .policy_epoch = policy_epoch(r->policy),
        .policy_version = policy_version(r->policy),
        .reserved = r->tally.reserved,
    };
    memcpy(u->attempt_id, r->wire.attempt_id, ATTEMPT_ID_BYTES);
    copy_tags(r, u);
}

static void
set_tokens(const struct request *r, struct usage *u, struct tokens t)
{
    struct circumstances c = circumstances(r, &t);
    u->tokens = t;
    if (r->quota) {
        u->draws = r->quota->draws;
        u->draw_count = r->quota->draw_count;
    }
    usage_set_price(u, u->cached ? NULL : r->plan.price, &c);
}

int
settle_reserve(struct request *r)
{
    struct usage u;
    struct tokens most = most_of(r);
    r->tally.reserved = cost_bound(r, &most);
    describe(r, &u);
    set_tokens(r, &u, likely_of(r));
    u.cost = cost_of(r, &u.tokens);
    return spool_reserve(r->svc->spool, &u, &r->answer.hold);
}

int
settle_recalled(struct request *r)
{
    uuid7(r->wire.attempt_id); /* it has no attempt, and needs a row of its own */
    int err = settle_reserve(r);
    r->answer.reserved = err == 0;
    return err;
}

static const char *
error_code(const struct request *r, enum usage_outcome why)
{
    if (r->sent.error_code)
        return r->sent.error_code;
    if (r->reply.status)
        return problems[r->reply.problem].code;
    return why == USAGE_DONE ? "" : usage_outcome_name(why);
}

/* The upstream broke before it said what it had done. */
static bool
is_incomplete(const struct request *r, enum usage_outcome why)
{
    return !r->answer.report.seen && !is_providers_error(r) &&
           (why == USAGE_UPSTREAM_FAILED || why == USAGE_DEADLINE);
}

static void
record(struct request *r, enum usage_outcome why)
{
    struct usage u;
    settle_tally(r);
    settle_draws(r);
    r->tally.incomplete = is_incomplete(r, why);
    describe(r, &u);
    int64_t now = loop_now_ms(r->svc->loop);
    u.latency_ms = (uint32_t)(now - r->started_ms);
    if (r->answer.first_byte_ms)
        u.ttft_ms = (uint32_t)(r->answer.first_byte_ms - r->started_ms);
    u.status = (uint32_t)r->sent.status;
    u.upstream_status = (uint32_t)r->answer.status;
    u.outcome = why;
    u.error_code = slice_of(error_code(r, why));
    u.estimated = r->tally.estimated;
    u.incomplete = r->tally.incomplete;
    set_tokens(r, &u, r->tally.tokens);
    u.cost = r->tally.cost;
    u.upstream_request_id = r->answer.upstream_id;
    if (!spool_settle(r->svc->spool, &r->answer.hold, &u))
        r->svc->metrics->page->usage_lost_disk++;
}

/* Teaches what tokens weigh, from answers that were reported and whole. */
static void
learn(struct request *r)
{
    const struct usage_report *report = &r->answer.report;
    const struct policy_target *target = r->plan.target;
    uint64_t bytes = r->answer.mode == ANSWER_STREAM ? r->answer.passage.meter.bytes : 0;
    if (!report->seen || report->suspect || (r->body.units && r->body.units->unit < USAGE_CLASSES))
        return; /* or what was read is not only text */
    estimates_learn(r->svc->estimates, target->provider->name, target->model, text_bytes(r),
                    tokens_input(&report->tokens), bytes, tokens_output(&report->tokens));
}

_Static_assert((int)PROBLEMS <= METRICS_REASONS, "each problem has its counter");
_Static_assert(ENDPOINT_KINDS + 1 == METRICS_ENDPOINTS, "each endpoint, and none");

/* --- the counters and the line ---------------------------------------------------------------- */

static void
count_usage(struct request *r, unsigned provider)
{
    struct metrics_page *page = r->svc->metrics->page;
    for (size_t c = 0; c < USAGE_CLASSES; c++)
        page->usage[provider][c] += (uint64_t)r->tally.tokens.of[c];
    page->cost_nanos[provider] += (uint64_t)r->tally.cost;
    page->usage_estimated += r->tally.estimated;
    page->usage_suspect += r->answer.report.suspect;
    page->usage_unpriced += r->plan.price && !r->plan.price->free &&
                            rates_are_silent(&r->plan.price->rates, &r->tally.tokens);
}

static void
count(struct request *r, enum usage_outcome why)
{
    struct metrics_page *page = r->svc->metrics->page;
    unsigned provider =
        metrics_provider(r->svc->metrics, r->plan.target ? r->plan.target->provider : NULL);
    enum endpoint_kind e = r->endpoint->kind;
    unsigned class = (unsigned)r->sent.status / 100 % METRICS_CLASSES;
    page->requests[e][class][provider]++;
    metrics_observe(&page->duration[e], loop_now_ms(r->svc->loop) - r->started_ms);
    if (r->answer.first_byte_ms)
        metrics_observe(&page->first_byte[e], r->answer.first_byte_ms - r->started_ms);
    if (r->answer.reserved)
        count_usage(r, provider);
    if (r->reply.problem)
        page->refused[r->reply.problem]++;
    if (r->answer.err)
        page->upstream_errors[provider][problem_of_failure(r->answer.err)]++;
    else if (r->reply.from_provider)
        page->upstream_errors[provider][r->reply.problem]++;
    else if (why == USAGE_UPSTREAM_FAILED)
        page->upstream_errors[provider][PROBLEM_UPSTREAM_TRUNCATED]++;
    if (why == USAGE_CLIENT_GONE)
        page->client_gone++;
}

/* A provider that is down must not fill the disk with the news: the counters have all of it. */
static bool
may_warn(struct services *svc)
{
    int64_t second = loop_now_ms(svc->loop) / 1000;
    if (second != svc->warned_s)
        svc->warnings = 0;
    svc->warned_s = second;
    return svc->warnings++ < WARNINGS_A_SECOND;
}

/* One line a request, for those that went wrong on our side or upstream; for all of them on demand.
 * The trail tells where the time went: when each stage was entered, in ms. */
static void
tell(const struct request *r, enum usage_outcome why)
{
    enum log_level level = r->svc->access_log ? LOG_INFO : LOG_DEBUG;
    bool bad = r->sent.status >= 500 || (why != USAGE_DONE && why != USAGE_CLIENT_GONE);
    if (bad && may_warn(r->svc))
        level = LOG_WARN;
    log_at(level, "request.done", F_SLICE("request", slice_make(r->id, REQUEST_ID_BYTES - 1)),
           F_STR("endpoint", r->endpoint->name),
           F_SLICE("key", r->who.key ? r->who.key->name : SLICE("")),
           F_SLICE("team", r->who.key ? r->who.key->team->name : SLICE("")),
           F_SLICE("model", r->grant.name),
           F_SLICE("provider", r->plan.target ? r->plan.target->provider->name : SLICE("")),
           F_INT("status", r->sent.status), F_INT("upstream_status", r->answer.status),
           F_STR("outcome", usage_outcome_name(why)), F_STR("code", error_code(r, why)),
           F_STR("cache", recall_word(r)), F_STR("stage", stage_name(r->at)),
           F_INT("exchange_ms", r->mark_ms[EXCHANGE]), F_INT("deliver_ms", r->mark_ms[DELIVER]),
           F_INT("total_ms", loop_now_ms(r->svc->loop) - r->started_ms),
           F_INT("cost_nanos", r->tally.cost));
}

void
settle(struct request *r, enum usage_outcome why)
{
    assert(!attempt_is_running(&r->answer.attempt));
    if (r->client_gone)
        why = USAGE_CLIENT_GONE;
    else if (why == USAGE_DONE && r->sent.outcome)
        why = r->sent.outcome;
    if (why == USAGE_DONE && r->reply.problem && r->answer.err)
        why = r->answer.err == ERR_TIMEOUT ? USAGE_DEADLINE : USAGE_UPSTREAM_FAILED;
    if (r->answer.reserved) {
        record(r, why);
        if (why == USAGE_DONE)
            learn(r);
    }
    settle_admission(r);
    count(r, why);
    tell(r, why);
}
