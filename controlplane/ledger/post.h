/*
 * Rows of usage and entries of the ledger, copied in. Called inside ingest's transaction, but for
 * post_accounts, which comes before it.
 */
#ifndef CONTROLPLANE_LEDGER_POST_H
#define CONTROLPLANE_LEDGER_POST_H

#include "controlplane/ledger/batch.h"
#include "controlplane/store/db.h"

/* Finds or makes the accounts of all items. Outside a transaction: accounts are never taken back.
 */
MUST_CHECK int post_accounts(struct db *db, struct batch *b);
/* items[from..to): COPY into usage_events. ERR_EXISTS: an attempt is there already. */
MUST_CHECK int post_events(struct db *db, const struct batch *b, size_t from, size_t to);
/* One ledger transaction with two entries an item that costs anything, and the accounts' sums. */
MUST_CHECK int post_entries(struct db *db, const struct batch *b, size_t from, size_t to);

#endif
