/*
 * From a batch of the bus to the books: one database transaction holds the usage rows, the ledger
 * entries, the roll-up and the spool's high-water mark, so that either all of it is there or
 * nothing.
 *
 * Exactly once: usage_events.attempt_id is unique and everything else follows from the rows that
 * the insert really added. Batches may come again, overlapping, in any order, on several threads
 * and from several daemons. When the outcome of a commit is unknown the same batch is simply sent
 * again.
 */
#ifndef CONTROLPLANE_LEDGER_INGEST_H
#define CONTROLPLANE_LEDGER_INGEST_H

#include "controlplane/store/db.h"
#include "lib/base/err.h"
#include "lib/control/usage.h"

#include <stdint.h>

struct ingest_result {
    uint64_t sequence;    /* acknowledge the spool up to here */
    uint32_t added;       /* rows that were new */
    uint32_t repeated;    /* that had been there before */
    uint32_t quarantined; /* kept in usage_quarantine, with the reason */
};

/* db must not be in a transaction. node and slot name the worker that sent it (they may change over
 * a spool's life). Poison records go to usage_quarantine and do not hold up the others. Deadlocks
 * and serialisation failures are tried again inside. 0: committed, acknowledge ret->sequence.
 * ERR_UNAVAILABLE, ERR_TIMEOUT: nothing to acknowledge, the worker keeps it and tries again.
 * ERR_LIMIT: more records or bytes than a batch may have. ERR_NOMEM. */
MUST_CHECK int ledger_ingest(struct db *db, struct slice node, uint32_t slot,
                             const struct usage_batch *batch, struct ingest_result *ret);

#endif
