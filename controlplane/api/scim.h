/*
 * Steps that the calls of SCIM share. scim_read.c shows users and groups; scim_write.c changes
 * them. Both are a second face of the items that resources.c has: the same store, the same checks.
 */
#ifndef CONTROLPLANE_API_SCIM_H
#define CONTROLPLANE_API_SCIM_H

#include "controlplane/api/api.h"
#include "controlplane/scim/resource.h"
#include "controlplane/store/items.h"

#define LIMIT_SCIM_RESULTS 200 /* of one page */

/* Of the path: /scim/v2/Users/..., /scim/v2/Groups/... */
const struct scim_schema *scim_schema_of(const struct api_request *r);
const struct kind *scim_kind(const struct scim_schema *s);

/* The person or group whose id the path has: 0 or a 404. */
MUST_CHECK int scim_find(struct api_request *r, struct api_reply *reply,
                         const struct scim_schema *s, struct item *ret_item);
/* The resource with its groups or members: 0, or the store's error. */
MUST_CHECK int scim_resource(struct api_request *r, const struct scim_schema *s,
                             const struct item *item, struct json **ret_resource);
/* Fills the reply with what is wanted of the resource, and its ETag. 0 or a problem. */
MUST_CHECK int scim_show(struct api_request *r, struct api_reply *reply,
                         const struct scim_schema *s, const struct item *item);

#endif
