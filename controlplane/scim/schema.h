/*
 * SCIM 2.0 (RFC 7643, RFC 7644) without I/O: the attributes of users and groups as tables, filters,
 * PATCH, and what an item of the configuration looks like to an identity provider and back. Nothing
 * here reads the database or decides who may what: controlplane/api/scim.c does.
 *
 * This file: the tables (RFC 7643, 7), which also answer /Schemas. Names of attributes are compared
 * without regard to ASCII case, as everywhere in SCIM.
 */
#ifndef CONTROLPLANE_SCIM_SCHEMA_H
#define CONTROLPLANE_SCIM_SCHEMA_H

#include "lib/base/arena.h"
#include "lib/json/doc.h"

#define SCIM_USER_URN "urn:ietf:params:scim:schemas:core:2.0:User"
#define SCIM_GROUP_URN "urn:ietf:params:scim:schemas:core:2.0:Group"
#define SCIM_BASE "/scim/v2"
#define LIMIT_SCIM_MEMBERS 1000 /* of a group: LIMIT_TEXTS */

enum scim_type { SCIM_STRING, SCIM_BOOLEAN, SCIM_REFERENCE, SCIM_TIME, SCIM_COMPLEX };

struct scim_attribute {
    const char *name;
    enum scim_type type;
    bool multi, required, read_only, immutable, case_exact, unique;
    bool common;            /* of every resource (RFC 7643, 3.1): not part of a schema's list */
    bool definite;          /* has a value always: it cannot be removed */
    bool always;            /* returned whatever is asked for */
    const char *values;     /* canonical values, separated by spaces; or NULL */
    const char *references; /* SCIM_REFERENCE: what to; separated by spaces */
    const char *help;
    const struct scim_attribute *sub;
    size_t sub_count;
};

struct scim_schema {
    const char *urn, *name, *endpoint, *help;
    const struct scim_attribute *at;
    size_t count;
};

extern const struct scim_schema scim_users, scim_groups;

/* In a list of attributes, or NULL. */
const struct scim_attribute *scim_attribute_find(const struct scim_attribute *list, size_t count,
                                                 struct slice name);
/* The sub-attribute that stands for a value of a multi-valued complex one ("value"), or NULL. */
const struct scim_attribute *scim_value_of(const struct scim_attribute *a);
/* Takes the URN of the schema and its ':' off a path, where it is there. */
struct slice scim_without_urn(const struct scim_schema *s, struct slice path);
/* Whether RFC 7643 has an attribute of that name, or the path is of the enterprise extension: it is
 * not kept here, and who sends it is not refused for it. */
bool scim_is_ignored(struct slice path);

/* A member of a map by an attribute's name in any case, or NULL. */
struct json *scim_member(const struct json *map, const char *name);

/* The answers of /Schemas/{id}, /ResourceTypes/{id}, /ServiceProviderConfig. NULL: no memory. */
struct json *scim_schema_document(const struct scim_schema *s);
struct json *scim_type_document(const struct scim_schema *s);
struct json *scim_config_document(int64_t most_results);

#endif
