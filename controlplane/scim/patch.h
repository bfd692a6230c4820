/*
 * What clients send (RFC 7644, 3.3, 3.5): a whole resource brought into the schema's form, and
 * PATCH applied to one. Both give a resource with the schema's own names and types only.
 *
 * Lenient where identity providers are not strict: names and operations in any case, "True" and
 * "False" for booleans, one value where a list is meant, dotted names as members, values to remove
 * beside a path. Members that are read-only, or that RFC 7643 has and we do not, are left out.
 */
#ifndef CONTROLPLANE_SCIM_PATCH_H
#define CONTROLPLANE_SCIM_PATCH_H

#include "controlplane/scim/schema.h"

#define LIMIT_SCIM_OPERATIONS 1000
#define SCIM_PATCH_URN "urn:ietf:params:scim:api:messages:2.0:PatchOp"

struct scim_refusal {
    const char *code; /* "invalid_value", "invalid_path", "no_target", "mutability" ... */
    struct buf why;   /* the caller's */
};

/* 0 with a new resource (the caller frees), ERR_SYNTAX (refused), ERR_NOMEM. */
MUST_CHECK int scim_resource_read(const struct scim_schema *s, const struct json *input,
                                  struct json **ret_resource, struct scim_refusal *no);
/* Changes the resource: 0, ERR_SYNTAX (refused; it may be half changed), ERR_NOMEM. */
MUST_CHECK int scim_patch(const struct scim_schema *s, struct json *resource,
                          const struct json *body, struct arena *a, struct scim_refusal *no);
/* Whether every required attribute is there, and lists are not too long: as above. */
MUST_CHECK int scim_resource_check(const struct scim_schema *s, const struct json *resource,
                                   struct scim_refusal *no);

#endif
