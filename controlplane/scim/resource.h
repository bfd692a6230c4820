/*
 * A user or group of the configuration as identity providers see it, and back.
 *
 * An item keeps its name for life (docs/decisions/0002); what the provider calls it is userName or
 * displayName, kept in the item's `scim` where it is not the name itself.
 */
#ifndef CONTROLPLANE_SCIM_RESOURCE_H
#define CONTROLPLANE_SCIM_RESOURCE_H

#include "controlplane/scim/schema.h"
#include "controlplane/store/items.h"

/* What the item is called: userName or displayName. */
struct slice scim_title(const struct item *i);
/* Whether SCIM may change it. */
bool scim_is_provisioned(const struct json *body);

/* The resource, without groups and members: the caller adds them. NULL: no memory. */
struct json *scim_view(const struct scim_schema *s, const struct item *i);
/* {"value": id, "$ref": ..., "type": type} of a resource, and "display" where a title is given: RFC
 * 7643 has it for the groups of a user, not for members (8.7.1). NULL: no memory. */
struct json *scim_link(const struct scim_schema *s, const char *id, struct slice title,
                       const char *type);

/* What the item becomes, for item_check(): of a user all, of a group without users and groups.
 * stored: its body, or NULL when it is new. NULL: no memory. */
struct json *scim_input(const struct scim_schema *s, const struct json *resource, const char *name,
                        const struct json *stored);
/* A name for a new item: the title, with '-' for what names may not have. Appended. */
MUST_CHECK int scim_item_name(const struct scim_schema *s, struct slice title, struct buf *into);

/* Leaves only what `attributes` names (a list of texts), or everything but what it names; what is
 * always returned stays. NULL: no memory. */
struct json *scim_select(const struct scim_schema *s, const struct json *resource,
                         const struct json *attributes, bool exclude);

#endif
