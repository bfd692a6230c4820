/*
 * From the configuration in PostgreSQL to the sections of a snapshot and the policy they mean.
 * Everything is read once; afterwards only what revision_changes names: a changed key rewrites one
 * shard.
 */
#ifndef CONTROLPLANE_PUBLISH_COMPILE_H
#define CONTROLPLANE_PUBLISH_COMPILE_H

#include "controlplane/publish/sections.h"
#include "controlplane/secrets/seal.h"
#include "controlplane/store/db.h"
#include "lib/policy/compile.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* One state of the configuration, compiled. Immutable, counted. */
struct built {
    atomic_uint refs;
    int64_t revision;
    struct sections *sections;
    struct policy *policy;
    bool forgotten; /* by the database, which went back: in force still, but nothing is built on it
                     */
};
struct built *built_ref(struct built *b);
void built_unref(struct built *b);

struct compile_input {
    struct db *db;              /* in a transaction that sees one state, or holds the write lock */
    struct secrets *secrets;    /* NULL: the pepper and credentials are left out */
    const struct keyring *keys; /* NULL: sealed values are not opened */
    struct built *base;         /* start from here; NULL: read everything */
    int64_t up_to;              /* this revision; 0: all that is visible */
    bool refresh;               /* also what did not change, but for keys */
    bool fixed_given;           /* only the shards of keys are made; the rest is as in base */
    bool strict; /* a credential that this very revision brings and nobody can resolve refuses it */
    /* Else the sealed value that this section holds for the provider stays. May be NULL. */
    const struct section *providers_before;
};

/* Gives *ret_built. 0; the errors of policy_compile(); those of db_query(); ERR_STALE: the database
 * is behind base (it was restored). A message is in *why where there is more to say than the code.
 */
MUST_CHECK int compile_config(const struct compile_input *in, struct built **ret_built,
                              struct buf *why);
/* The policy of sections put together elsewhere. */
MUST_CHECK int compile_sections(struct sections *sections, const struct keyring *keys,
                                int64_t revision, const struct policy *previous,
                                struct policy **ret_policy, struct buf *why);

#endif
