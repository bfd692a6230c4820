/*
 * Slices of budgets, leased in PostgreSQL: one statement for all of a worker's claims, which cannot
 * overdraw: headgate_budget_lease, as migrations/0072_given_back_meanwhile.sql has it.
 */
#ifndef CONTROLPLANE_LEASES_BUDGETS_H
#define CONTROLPLANE_LEASES_BUDGETS_H

#include "controlplane/store/db.h"
#include "lib/control/bus.h"
#include "lib/policy/limits.h"

struct budget_claim {
    const struct policy_limit *limit;
    const struct bus_claim *claim;
    struct bus_grant *grant; /* filled in */
};

/* parts: a slice is at most one in so many of what is left, unless more is needed. What fails is
 * logged and its grant is unknown: all of them when PostgreSQL is away or slow, and of claims that
 * PostgreSQL refuses only those. 0, or the error of the first that failed. */
int budgets_lease(struct db *db, const struct bus_worker *from, uint64_t sequence, size_t parts,
                  const struct budget_claim *claims, size_t count);
#define BUDGETS_RELEASED 1000 /* slices at a time: a claim waits for it */
/* All records of earlier processes of this slot are in: what they held goes back. *ret_more: there
 * are others, for the next time. */
MUST_CHECK int budgets_release(struct db *db, const struct bus_worker *from, bool *ret_more);
/* Of those that were not heard of for longer than a slice lives; likewise. */
MUST_CHECK int budgets_release_lost(struct db *db, bool *ret_more);
/* How all budgets stood in periods that ended 90 days ago, likewise in parts, each a transaction of
 * its own; between them is_stopping is asked, and true ends it. *ret_count: so many periods. */
MUST_CHECK int budgets_forget(struct db *db, bool (*is_stopping)(void *ctx), void *ctx,
                              int64_t *ret_count);

#endif
