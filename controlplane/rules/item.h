/*
 * One item of the configuration in its three forms.
 *
 *   input      what a caller gave: checked by item_check();
 *   body       what config_items holds: without the name, nulls, and members that say the default;
 *              amounts and times in one spelling; a credential sealed, a key's digest and prefix
 * inside; view       what is shown: the body with its defaults and its metadata, without secrets.
 *
 * No I/O: sealing and minting are the caller's.
 */
#ifndef CONTROLPLANE_RULES_ITEM_H
#define CONTROLPLANE_RULES_ITEM_H

#include "controlplane/rules/kinds.h"

#define LIMIT_TEXTS 1000 /* elements of a list of names */
#define LIMIT_TAGS 32    /* tags of a key, headers of a provider */
#define LIMIT_TARGETS 64 /* of a model */

/* Table, sizes, name, rules across members: 0, or ERR_SYNTAX with "PATH: message" in *why. path is
 * where the item stands in its document ("models[2]"), or "". */
MUST_CHECK int item_check(const struct kind *kind, const struct json *input, const char *path,
                          struct buf *why);
/* The name of a checked input, or PROVIDER/MODEL of a price without one: appended. */
MUST_CHECK int item_name(const struct kind *kind, const struct json *input, struct buf *into);
/* The body of a checked input, but for credential (still as given), digest and prefix. NULL: no
 * memory. */
struct json *item_body(const struct kind *kind, const struct json *input);
/* What callers may know of a body: name first, no digest, the credential as its marker.
 * with_defaults: absent members are spelt out. The caller adds metadata. NULL: no memory. */
struct json *item_view(const struct kind *kind, const char *name, const struct json *body,
                       bool with_defaults);
/* Merge patch (RFC 7396) of a view-like document: the caller frees. NULL: no memory. */
struct json *item_merge(const struct json *target, const struct json *patch);

/* Whom an item belongs to: "" and "" is the organisation. Slices of name and body. */
struct item_place {
    struct slice team, project;
};
/* A binding or budget that names a project only: project, with the team left empty. */
struct item_place item_place(const struct kind *kind, struct slice name, const struct json *body);

/* Walks the names that a body refers to. Return non-zero from `each` to stop; that is returned.
 * place: "targets[0].provider". */
int item_references(const struct kind *kind, const struct json *body,
                    int (*each)(void *ctx, enum kind_id to, struct slice name, const char *place),
                    void *ctx);

#endif
