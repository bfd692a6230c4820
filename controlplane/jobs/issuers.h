/*
 * Public keys of token issuers: found through their OpenID configuration (or where the item says),
 * fetched once a minute under the egress guard, kept in PostgreSQL. Those that an issuer no longer
 * names are dropped; while it cannot be reached its last ones stay.
 */
#ifndef CONTROLPLANE_JOBS_ISSUERS_H
#define CONTROLPLANE_JOBS_ISSUERS_H

#include "controlplane/store/db.h"

/* Asks those that are due; *ret_changed: keys came or went, publish. 0 or the database's error: an
 * issuer that fails is logged and noted. */
MUST_CHECK int issuers_refresh(struct db *db, bool *ret_changed);

#endif
