/* The sealing keys of this daemon: noticed when their file is another. */
#ifndef CONTROLPLANE_JOBS_SEAL_KEYS_H
#define CONTROLPLANE_JOBS_SEAL_KEYS_H

#include "controlplane/plane.h"
#include "controlplane/store/db.h"
#include "lib/base/err.h"

/* Reads the keys again when their file has changed, or plane->reread_keys asks for it. What cannot
 * be used changes nothing, and is told in the log. */
MUST_CHECK int seal_keys_watch(struct plane *p, struct db *db);

#endif
