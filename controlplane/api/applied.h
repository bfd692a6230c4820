/* The common end of apply and rollback: write the changes as one revision, and say what was done.
 */
#ifndef CONTROLPLANE_API_APPLIED_H
#define CONTROLPLANE_API_APPLIED_H

#include "controlplane/api/change.h"

struct applied {
    const struct changes *changes;
    struct json *keys, *warnings; /* lists; borrowed */
    bool dry_run;
    const char *source;  /* "apply", "rollback" */
    int64_t rollback_of; /* or -1 */
};

/* The note is taken from the request's body. 0, or a problem. */
MUST_CHECK int applied_finish(struct api_request *r, struct api_reply *reply,
                              const struct applied *a);

#endif
