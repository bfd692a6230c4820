/*
 * The granter of leases: answers workers' claims to shares of limits. Of several control planes one
 * grants: it holds an advisory lock in PostgreSQL on a connection of its own, and stops by itself
 * when it cannot confirm that. Each office has an epoch; a worker hears none below the highest it
 * has heard.
 *
 * Rates and concurrency are kept in memory (fleet.h), budgets in PostgreSQL (budgets.h). Which
 * processes were granted anything is written down before, so that a new leader knows whom to wait
 * for.
 */
#ifndef CONTROLPLANE_LEASES_LEASES_H
#define CONTROLPLANE_LEASES_LEASES_H

#include "controlplane/store/db.h"
#include "lib/control/bus.h"
#include "lib/policy/limits.h"

#include <stdbool.h>

#define LEASE_LIFE_MS 15000

struct leases;

/* Starts the thread that takes and keeps the office. database: a DSN, copied. NULL: no memory. */
struct leases *leases_start(const char *database);
void leases_stop(struct leases *l); /* NULL is fine */

/* Answers a claim; grants are in the arena. Any thread, with its own db. 0; ERR_CONFLICT: we do not
 * lead; ERR_UNAVAILABLE: PostgreSQL is away; ERR_STALE: overtaken by a later word; ERR_NOMEM,
 * ERR_LIMIT. */
MUST_CHECK int leases_answer(struct leases *l, struct db *db, const struct policy *policy,
                             const struct bus_worker *from, const struct bus_lease *ask,
                             struct arena *a, struct bus_lease_grants *ret);

struct leases_status {
    bool leading;
    uint64_t epoch;
    size_t workers; /* that were heard of lately */
};
void leases_status(struct leases *l, struct leases_status *ret);
/* What holder number i holds of a rate's counter (id, then its subject): false at the end. ret_node
 * has room for 256. */
bool leases_held(struct leases *l, struct slice id, struct slice subject, size_t i, char *ret_node,
                 uint32_t *ret_slot, int64_t *ret_held, int64_t *ret_used);

#endif
