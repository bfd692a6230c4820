/*
 * What is booked already, at other prices: every attempt's cost is computed anew from its own
 * counts, and what it differs from what the ledger holds for it is posted as a correction. Nothing
 * is edited; a second run finds nothing to do.
 */
#ifndef CONTROLPLANE_LEDGER_RERATE_H
#define CONTROLPLANE_LEDGER_RERATE_H

#include "controlplane/store/db.h"
#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/money.h"
#include "lib/policy/policy.h"

#define LIMIT_RERATE_ATTEMPTS 50000 /* of one run: beyond that it says to narrow the range */

struct rerate {
    const struct policy *policy; /* whose prices are in force */
    const char *provider;
    struct slice model; /* the provider's name of it, with '*' */
    int64_t from_ms, to_ms;
    const char *author, *reason;
};

struct rerate_result {
    size_t attempts, changed;
    size_t unpriced;     /* left alone: there is no price now */
    size_t free;         /* left alone: of a model that is free on purpose */
    nanos booked, rated; /* of those that have a price */
    int64_t transaction; /* 0: nothing was posted */
};

/* In a transaction. 0; ERR_NOT_FOUND: no such provider; ERR_LIMIT: too many attempts; ERR_RANGE: a
 * sum is; or the database's error. */
MUST_CHECK int ledger_rerate(struct db *db, const struct rerate *r, struct rerate_result *ret);

#endif
