/* Steps of calls about one item of the configuration, for handlers beside resources.c. */
#ifndef CONTROLPLANE_API_RESOURCES_H
#define CONTROLPLANE_API_RESOURCES_H

#include "controlplane/api/change.h"

/* The item that the path names, for the route's permission. One that is out of the caller's reach
 * is as if it were not there. 0 or a problem; the caller frees. */
MUST_CHECK int resource_find(struct api_request *r, struct api_reply *reply,
                             const struct kind *kind, struct item *ret_item);
/* Whether the caller may do to it what the route's permission says: 0; ERR_DENIED: it may be seen,
 * but not that; ERR_NOT_FOUND: not even seen; or the database's error. */
MUST_CHECK int resource_reach(struct api_request *r, const struct kind *kind,
                              const struct item *item);
/* Names the item that a call is about, for the audit log. */
void resource_object(struct api_reply *reply, const struct kind *kind, const char *name);
/* Writes one change (after is taken) and notes it for the audit log. permission: what it takes, or
 * NULL for KIND.ACTION. 0 or a problem. */
MUST_CHECK int resource_write(struct api_request *r, struct api_reply *reply,
                              const struct kind *kind, const char *name, const struct item *stored,
                              struct json *after, const char *permission);
/* RFC 9110 13.1.1: whether If-Match, where it is sent, names the item as it is; else a 412. */
MUST_CHECK int resource_match(struct api_request *r, struct api_reply *reply,
                              const struct item *item);
/* item_check() of an input without a path: 0 or a problem. */
MUST_CHECK int resource_check(struct api_request *r, struct api_reply *reply,
                              const struct kind *kind, const struct json *input);
/* Fills the reply with the item as it is now, and its ETag. 0 or a problem. */
MUST_CHECK int resource_show(struct api_request *r, struct api_reply *reply,
                             const struct kind *kind, const char *name);

/* The body of a key with a new secret; the one before goes on for grace_s. 0 or an error. */
MUST_CHECK int keys_rotated_body(struct api_request *r, const struct item *key, int64_t grace_s,
                                 struct minted *ret_minted, struct json **ret_body);
/* Adds to views of keys when each was last used. 0 or an error. */
MUST_CHECK int keys_add_last_used(struct db *db, struct json *views);

#endif
