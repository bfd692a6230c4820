/*
 * Values of managed references as this process knows them: what the last good answers were, by
 * whichever daemon asked. Not guarded: struct secrets does that.
 */
#ifndef CONTROLPLANE_SECRETS_FETCHED_H
#define CONTROLPLANE_SECRETS_FETCHED_H

#include "lib/base/err.h"
#include "lib/base/secret.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct fetched_value {
    LIST_ENTRY(fetched_value) link;
    char *reference;
    int64_t version; /* of the database's row */
    struct secret value;
};
LIST_HEAD(fetched, fetched_value);

/* NULL: not known. */
const struct fetched_value *fetched_find(const struct fetched *f, struct slice reference);
/* Takes value. */
MUST_CHECK int fetched_put(struct fetched *f, struct slice reference, int64_t version,
                           struct secret *value);
void fetched_fini(struct fetched *f);

#endif
