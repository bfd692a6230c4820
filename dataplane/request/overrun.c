/*
 * What is compared is money (or tokens) with what was reserved; but first tokens with tokens: a
 * stream that may still be within the output that was reserved for it is never cut, whatever its
 * input has come to.
 */
#include "dataplane/request/overrun.h"

#include "dataplane/request/request.h"
#include "dataplane/request/settle.h"

/* Of a reservation, that may be passed. A provider that counts a token more than it was allowed, or
 * an estimate of what went by that is somewhat high, is no reason to throw an answer away. */
#define TOLERANCE_PART 8
#define STEP_PART 64 /* of the output, between looks, once there is something to look at */

/* The output that was reserved for, in tokens; -1: this limit cuts nothing. Only budgets have these
 * modes. */
static int64_t
reserved_output(const struct request *r, const struct policy_limit *l)
{
    if (l->mode == LIMIT_STRICT)
        return settle_output_bound(r);
    return l->mode == LIMIT_ESTIMATE ? settle_answer_estimate(r) : -1;
}

static int64_t
first_look(const struct request *r)
{
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < r->quota->hold.count; i++) {
        int64_t output = reserved_output(r, r->quota->claims[i].limit);
        if (output >= 0 && output < least)
            least = output;
    }
    return least == INT64_MAX ? least : least + 1;
}

static bool
is_passed(struct request *r, size_t i, int64_t output)
{
    const struct quota_claim *claim = &r->quota->claims[i];
    int64_t reserved = reserved_output(r, claim->limit);
    int64_t tolerance = claim->amount / TOLERANCE_PART;
    if (reserved < 0 || output <= reserved)
        return false;
    int64_t so_far = settle_so_far(r, claim->limit);
    if (claim->limit->mode == LIMIT_STRICT)
        return so_far > claim->amount && so_far - claim->amount > tolerance;
    return !quota_extend(&r->quota->hold.parts[i], so_far, tolerance);
}

static void
look(struct request *r, struct admission *a)
{
    int64_t output = settle_sure_output(r);
    if (a->look_at == 0)
        a->look_at = first_look(r);
    if (output < a->look_at)
        return;
    a->look_at = output + 1 + output / STEP_PART;
    a->passed = NULL;
    for (size_t i = 0; i < a->hold.count && !a->passed; i++)
        if (is_passed(r, i, output))
            a->passed = a->claims[i].limit;
}

const struct policy_limit *
overrun_look(struct request *r)
{
    struct admission *a = r->quota;
    if (!a || !a->held || a->budgets == 0)
        return NULL;
    const struct policy_limit *passed = a->passed;
    uint64_t before = a->chunks;
    a->chunks = r->answer.passage.meter.chunks;
    look(r, a);
    return a->chunks > before ? passed : NULL;
}
