/*
 * A stream that costs more than was reserved for it is cut
 * (docs/decisions/0028-streams-are-cut.md).
 */
#ifndef DATAPLANE_REQUEST_OVERRUN_H
#define DATAPLANE_REQUEST_OVERRUN_H

struct request;
struct policy_limit;

/* After each piece of a stream that has not ended: NULL, or the budget for whose sake it is cut
 * now. Of one that has no more to say nothing would be saved; so the piece that passes a budget is
 * let through, and what comes after it is what cuts. */
const struct policy_limit *overrun_look(struct request *r);

#endif
