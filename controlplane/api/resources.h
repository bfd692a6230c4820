/* Steps of calls about one item of the configuration, for handlers beside resources.c. */
#ifndef CONTROLPLANE_API_RESOURCES_H
#define CONTROLPLANE_API_RESOURCES_H

#include "controlplane/api/change.h"

/* The item that the path names, for the route's permission. One that is out of the caller's reach
 * is as if it were not there. 0 or a problem; the caller frees. */
MUST_CHECK int resource_find(struct api_request *r, struct api_reply *reply,
                             const struct kind *kind, struct item *ret_item);
/* Writes one change (after is taken) and notes it for the audit log. verb: of the permission that
 * it takes, or NULL for that of its action. 0 or a problem. */
MUST_CHECK int resource_write(struct api_request *r, struct api_reply *reply,
                              const struct kind *kind, const char *name, const struct item *stored,
                              struct json *after, const char *verb);
/* Fills the reply with the item as it is now, and its ETag. 0 or a problem. */
MUST_CHECK int resource_show(struct api_request *r, struct api_reply *reply,
                             const struct kind *kind, const char *name);

/* Adds to views of keys when each was last used. 0 or an error. */
MUST_CHECK int keys_add_last_used(struct db *db, struct json *views);

#endif
