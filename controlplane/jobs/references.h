/*
 * Credentials that secret managers hold: every reference that an item names is fetched on a
 * schedule, or at once when it is new or asked for, and kept sealed in PostgreSQL with when that
 * was. Of several daemons one asks. While a manager is away the last good value stays.
 */
#ifndef CONTROLPLANE_JOBS_REFERENCES_H
#define CONTROLPLANE_JOBS_REFERENCES_H

#include "controlplane/secrets/manager.h"
#include "controlplane/secrets/seal.h"
#include "controlplane/store/db.h"

/* Asks for those that are due; *ret_changed: a value is another one now, publish. 0 or the
 * database's error: a manager that fails is logged and noted. */
MUST_CHECK int references_refresh(struct db *db, struct secrets *s, struct managers *m,
                                  long every_s, bool *ret_changed);

#endif
