/*
 * Filters and paths of SCIM (RFC 7644, 3.4.2.2 and 3.5.2), parsed against a schema and matched
 * against a resource as JSON.
 *
 *   userName eq "ada" and (emails[type eq "work" and value co "@example.com"] or not (active pr))
 *
 * Bounded: a text of LIMIT_SCIM_FILTER bytes, LIMIT_SCIM_DEPTH of parentheses and brackets.
 */
#ifndef CONTROLPLANE_SCIM_FILTER_H
#define CONTROLPLANE_SCIM_FILTER_H

#include "controlplane/scim/schema.h"

#define LIMIT_SCIM_FILTER 4096
#define LIMIT_SCIM_DEPTH 16

enum scim_op {
    SCIM_EQ,
    SCIM_NE,
    SCIM_CO, /* contains */
    SCIM_SW, /* starts with */
    SCIM_EW, /* ends with */
    SCIM_GT,
    SCIM_GE,
    SCIM_LT,
    SCIM_LE,
    SCIM_PR, /* present */
    SCIM_AND,
    SCIM_OR,
    SCIM_NOT,
    SCIM_SOME, /* ATTRIBUTE[left]: some element matches */
};

struct scim_filter { /* lives in an arena */
    enum scim_op op;
    const struct scim_attribute *attribute, *sub; /* sub: or NULL */
    enum json_kind kind; /* of the value: JSON_TEXT, JSON_TRUE_, JSON_FALSE_, JSON_NULL_ */
    struct slice text;
    int64_t wall_ms; /* of a time */
    const struct scim_filter *left, *right;
};

/* 0, ERR_SYNTAX (with what is wrong in *why), ERR_NOMEM. */
MUST_CHECK int scim_filter_parse(const struct scim_schema *s, struct slice text, struct arena *a,
                                 const struct scim_filter **ret_filter, struct buf *why);
bool scim_filter_match(const struct scim_filter *f, const struct json *resource);
/* A comparison `ATTRIBUTE eq "text"` of that name that everything that matches must pass, or NULL:
 * what an index can look up. */
const struct scim_filter *scim_filter_pin(const struct scim_filter *f, const char *attribute);

struct scim_path {
    const struct scim_attribute *attribute, *sub; /* sub: or NULL */
    const struct scim_filter *filter;             /* which elements; NULL: all */
    bool ignored; /* the RFC has it, we do not: attribute is NULL (scim_is_ignored) */
};
/* members, name.familyName, emails[type eq "work"].value, with or without the schema's URN: as
 * scim_filter_parse(). */
MUST_CHECK int scim_path_parse(const struct scim_schema *s, struct slice text, struct arena *a,
                               struct scim_path *ret_path, struct buf *why);

#endif
