/*
 * What attempts drew on budgets, booked in the transaction that books the attempts: as often, which
 * is once.
 */
#ifndef CONTROLPLANE_LEDGER_DRAWS_H
#define CONTROLPLANE_LEDGER_DRAWS_H

#include "controlplane/ledger/batch.h"
#include "controlplane/store/db.h"

/* Inside a transaction: of items[from..to). 0 or the errors of db_query(). */
MUST_CHECK int draws_book(struct db *db, const struct batch *b, size_t from, size_t to);

#endif
