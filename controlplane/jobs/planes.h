/*
 * This control plane's row in the table of all: that it is there, and which offices it holds.
 */
#ifndef CONTROLPLANE_JOBS_PLANES_H
#define CONTROLPLANE_JOBS_PLANES_H

#include "controlplane/plane.h"

/* Writes it down, as of now; forgets those that were not heard of for a day. 0 or the errors of
 * db_query(); ERR_IO, ERR_SYNTAX: the state directory's file "instance" cannot be used. */
MUST_CHECK int planes_note(struct db *db, const struct plane *p);

#endif
