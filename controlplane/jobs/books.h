/* The nightly look at the books: the last days, by the control plane that leads. */
#ifndef CONTROLPLANE_JOBS_BOOKS_H
#define CONTROLPLANE_JOBS_BOOKS_H

#include "controlplane/store/db.h"
#include "lib/base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BOOKS_HOUR 3 /* of UTC: yesterday's records are in by then */
#define BOOKS_DAYS 3 /* that are looked at; a record may come two days late */

/* For the metrics. */
struct books_status {
    atomic_llong checked_ms; /* wall; 0: not since the start */
    atomic_llong problems;   /* of that look */
};

/* Whether the night of now_ms is another one than *night (its number; 0 at the start: then it is
 * taken to be done), which moves on. */
bool books_are_due(int64_t now_ms, int64_t *night);
/* Looks, and tells each problem in the log. 0 or the database's error. */
MUST_CHECK int books_check(struct db *db, int64_t now_ms, struct books_status *status);

#endif
