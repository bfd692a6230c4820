/* Hourly sums of items[from..to), added to usage_hourly inside ingest's transaction. */
#ifndef CONTROLPLANE_LEDGER_ROLLUP_H
#define CONTROLPLANE_LEDGER_ROLLUP_H

#include "controlplane/ledger/batch.h"
#include "controlplane/store/db.h"

MUST_CHECK int rollup_add(struct db *db, const struct batch *b, size_t from, size_t to);

#endif
