/*
 * What the daemon does by the clock, each thread with its own database connection: load the
 * secrets once PostgreSQL is there, look again at credential references, forget old idempotency
 * keys, make partitions ahead, export the audit log's head; and, on threads of their own since they
 * wait for other people's servers, fetch the keys of token issuers, ask secret managers, and send
 * alerts; and, likewise, since it may take long, look through the books each night and forget how
 * budgets stood long ago. A job that fails is tried again at its next turn.
 */
#ifndef CONTROLPLANE_JOBS_JOBS_H
#define CONTROLPLANE_JOBS_JOBS_H

#include "controlplane/plane.h"

struct jobs;

/* NULL: no memory or no thread. */
struct jobs *jobs_start(struct plane *plane);
/* Lets the job that runs end; joins. NULL is fine. */
void jobs_stop(struct jobs *j);

#endif
