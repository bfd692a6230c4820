/*
 * What identity providers say of themselves, for signing in: their endpoints and keys, fetched once
 * a minute under the egress guard, kept in PostgreSQL. While one cannot be reached, what it said
 * last stays.
 */
#ifndef CONTROLPLANE_JOBS_SIGN_INS_H
#define CONTROLPLANE_JOBS_SIGN_INS_H

#include "controlplane/store/db.h"

/* Asks those that are due. 0 or the database's error: a provider that fails is logged and noted. */
MUST_CHECK int sign_ins_refresh(struct db *db);
/* Asks this one now, but not twice in five seconds: for a key that is not known yet. */
MUST_CHECK int sign_ins_refresh_one(struct db *db, const char *name);

#endif
