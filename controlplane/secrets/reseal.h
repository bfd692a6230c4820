/*
 * Sealing anew what PostgreSQL holds, when the fleet has another sealing key. Every place that
 * holds sealed values is a row of one table in reseal.c: who adds a place adds a row there.
 *
 * A value gives way only when it is still the one that was read, so that nothing needs a lock, any
 * number may do it at once, and it can stop at any moment and be done again.
 */
#ifndef CONTROLPLANE_SECRETS_RESEAL_H
#define CONTROLPLANE_SECRETS_RESEAL_H

#include "controlplane/secrets/seal.h"
#include "controlplane/store/db.h"
#include "lib/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct reseal_result {
    size_t sealed; /* anew, under the first key of the ring */
    size_t stuck;  /* no key of the ring opens them: they stay as they are */
    char stuck_place[64];
};
/* At most `most` values. Nothing is left to do when `sealed` comes back 0. */
MUST_CHECK int reseal_some(struct secrets *s, struct db *db, size_t most,
                           struct reseal_result *ret_result);

struct reseal_count {
    const char *place; /* "credentials" */
    struct slice key;  /* id in hexadecimal; empty: of a version before, without one */
    int64_t values;
};
/* How many values there are under each key; visit's error ends it. */
MUST_CHECK int reseal_count(struct db *db, int (*visit)(void *ctx, const struct reseal_count *c),
                            void *ctx);

#endif
