/*
 * Changes of the configuration: a set of items before and after, written as one revision in the
 * caller's transaction. The dispatcher holds the one write lock for the length of that transaction,
 * so revisions have no gaps and become visible in order.
 */
#ifndef CONTROLPLANE_STORE_REVISIONS_H
#define CONTROLPLANE_STORE_REVISIONS_H

#include "controlplane/rules/kinds.h"
#include "controlplane/store/db.h"
#include "controlplane/store/items.h"
#include "lib/base/buf.h"
#include "lib/json/doc.h"

struct change {
    const struct kind *kind;
    char *name;
    char id[37];
    char created_at[32];    /* of the item; "": now */
    struct json *before;    /* bodies; NULL: created */
    struct json *after;     /* NULL: deleted */
    const char *permission; /* static: what it takes, where that is not KIND.ACTION */
    char path[64];          /* where its cause stands in the document, or "" */
};

struct changes {
    struct change *at;
    size_t count, cap;
};

void changes_free(struct changes *c);
/* A zeroed new one at the end, or NULL. */
struct change *changes_add(struct changes *c);
/* A new one at the end, of an item of this name: `after` is taken, also when there is no memory
 * (NULL); stored: what it replaces or, without `after`, deletes; NULL: it is created. */
struct change *changes_put(struct changes *c, const struct kind *kind, const char *name,
                           const struct item *stored, struct json *after);

struct revision_note {
    const char *author, *note;
    const char *source;  /* "api", "apply", "rollback" */
    int64_t rollback_of; /* or -1 */
};

MUST_CHECK int revision_current(struct db *db, int64_t *ret_revision); /* 0: none yet */
/* Writes the revision, its changes and the items. */
MUST_CHECK int changes_write(struct db *db, const struct changes *c,
                             const struct revision_note *note, int64_t *ret_revision);
/* What names stand for, after the changes were written: every reference of a created or updated
 * item must exist, nothing may still refer to a deleted one, and a key's project must be of its
 * team. 0, ERR_NOT_FOUND (a dangling reference), ERR_CONFLICT (something refers to what is
 * deleted), with a message in *why. */
MUST_CHECK int changes_check_references(struct db *db, const struct changes *c, struct buf *why);
/* What has to change for everything to be as it was after `revision`. ERR_NOT_FOUND: no such one.
 */
MUST_CHECK int changes_back_to(struct db *db, int64_t revision, struct changes *ret_changes);

#endif
