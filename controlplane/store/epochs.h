/*
 * Epochs of offices, drawn from sequences: each higher than any before it. A database that was
 * restored, or failed over without its last commits, has forgotten some that others have heard of;
 * then the sequence goes on behind those.
 */
#ifndef CONTROLPLANE_STORE_EPOCHS_H
#define CONTROLPLANE_STORE_EPOCHS_H

#include "controlplane/store/db.h"

/* What can be forgotten at a time: more is not a database that went back, but a wrong number. */
#define LIMIT_EPOCH_STEP 1000000

/* The next epoch of `sequence`, above `above`. db may be in a transaction or not: what is drawn
 * stays drawn. 0; ERR_RANGE: above is LIMIT_EPOCH_STEP or more ahead; or the errors of db_query().
 */
MUST_CHECK int epoch_draw(struct db *db, const char *sequence, uint64_t above, uint64_t *ret_epoch);

#endif
