/*
 * The private PostgreSQL cluster of a local gateway: made once, on a socket only, no TCP, peer
 * authentication. The owner's role headgate_owner is for migrations; the daemon is headgate_app.
 */
#ifndef CONTROLPLANE_CLI_CLUSTER_H
#define CONTROLPLANE_CLI_CLUSTER_H

#include "controlplane/cli/home.h"
#include "controlplane/cli/process.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define CLUSTER_OLDEST 13 /* what the migrations are written for */

/* The programs of the PostgreSQL that this cluster needs: the version it was made with, or for a
 * new one the newest installed. 0, or an error whose one line is in why. */
MUST_CHECK int cluster_find_programs(const struct home *h, char ret_bin[static HOME_PATH_BYTES],
                                     char *why, size_t why_bytes);
/* Makes DATA/postgres and the database `headgate` when they are not there yet. *ret_made: it did.
 */
MUST_CHECK int cluster_init(const struct home *h, const char *bin, bool *ret_made, char *why,
                            size_t why_bytes);
bool cluster_is_made(const struct home *h);
/* Starts the server; it is not ready yet. */
MUST_CHECK int cluster_start(const struct home *h, const char *bin, struct process *ret_process,
                             char *why, size_t why_bytes);
/* Whether this server takes connections. */
bool cluster_is_ready(const struct home *h, const struct process *p);
/* libpq connection string of a role. */
void cluster_dsn(const struct home *h, const char *role, char *ret_dsn, size_t bytes);

#endif
