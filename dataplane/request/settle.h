/*
 * The one accounting function: what a request used, what that costs, and the record of it.
 */
#ifndef DATAPLANE_REQUEST_SETTLE_H
#define DATAPLANE_REQUEST_SETTLE_H

#include "lib/base/err.h"
#include "lib/control/usage.h"
#include "lib/policy/limits.h"

#include <stdbool.h>

struct request;

/* Whether what r may use is bounded: its output has a limit. */
bool settle_is_bounded(const struct request *r);
/* Of one answer, in tokens: what goes up, or as the client has it; 0: none. */
int64_t settle_output_limit(const struct request *r);
/* What r's answer may be in tokens, all of its choices together; without a limit, what is supposed.
 */
int64_t settle_output_bound(const struct request *r);
/* What it is likely to be. */
int64_t settle_answer_estimate(const struct request *r);
/* Of a stream under way, tokens that have surely been made: as reported, or the least that what
 * went by can be. */
int64_t settle_sure_output(const struct request *r);
/* What a stream under way has likely come to, in what the limit counts: as reported as far as that
 * goes, else by what went by. */
int64_t settle_so_far(const struct request *r, const struct policy_limit *l);
/* How much of a limit r takes before it is known what it uses: of a strict budget the upper bound,
 * of others the estimate. */
int64_t settle_reservation(const struct request *r, const struct policy_limit *l);
/* Gives back what r holds of its limits, at what it came to: nothing, before something was sent.
 * Once; later calls change nothing. */
void settle_admission(struct request *r);
/* Before the first upstream byte: writes the reservation of r's attempt. 0, or as spool_reserve. */
MUST_CHECK int settle_reserve(struct request *r);
/* Before an answer that was given before: writes the reservation of its record, which is of no
 * attempt and comes to nothing. 0, or as spool_reserve. */
MUST_CHECK int settle_recalled(struct request *r);
/* What the attempt used and costs, into r->tally: called by deliver when the upstream's answer is
 * complete, so that the client can be told the cost; otherwise by settle(). The first call counts.
 */
void settle_tally(struct request *r);
/* Once, from finish(): settles or voids the attempt, if there was one; counts; writes the line. */
void settle(struct request *r, enum usage_outcome why);

#endif
