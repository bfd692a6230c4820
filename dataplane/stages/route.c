/*
 * route: which of the model's targets? What has no price is not sent anywhere, unless the model is
 * free on purpose: an unknown price must not become a bill of zero.
 */
#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"
#include "dataplane/state/cache.h"
#include "lib/base/rand.h"

static bool
is_payable(const struct policy_model *m, const struct policy_target *t)
{
    return t->price || m->free;
}

static const struct policy_target *
first(const struct policy_model *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (is_payable(m, &m->targets[i]))
            return &m->targets[i];
    return NULL;
}

static const struct policy_target *
by_weight(const struct policy_model *m)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < m->count; i++)
        if (is_payable(m, &m->targets[i]))
            sum += m->targets[i].weight;
    if (sum == 0)
        return NULL;
    uint64_t pick = rand_below(sum);
    for (size_t i = 0; i < m->count; i++) {
        if (!is_payable(m, &m->targets[i]))
            continue;
        if (pick < m->targets[i].weight)
            return &m->targets[i];
        pick -= m->targets[i].weight;
    }
    return NULL;
}

static const struct policy_target *
choose(const struct policy_model *m)
{
    if (m->count == 1)
        return first(m);
    switch (m->strategy) {
    case ROUTE_WEIGHTED:
        return by_weight(m);
    case ROUTE_PRIORITY:
        return first(m);
    }
    return NULL;
}

enum verdict
route(struct request *r)
{
    const struct policy_model *m = r->grant.model;
    const struct cached *before = recall_hit(r);
    const struct policy_target *target = before ? &m->targets[before->target] : choose(m);
    if (!target)
        return reply_refuse_member(r, PROBLEM_UNPRICED_MODEL, "model",
                                   "The model '%.*s' has no price. Add one, or mark it free.",
                                   SLICE_ARG(r->grant.name));
    r->plan.target = target;
    r->plan.price = target->price;
    return NEXT;
}
