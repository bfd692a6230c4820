/*
 * The last good policy on disk, so that a worker starts with no control plane in sight, and a
 * control plane serves what it published with no PostgreSQL in sight.
 *
 *   DIR/root-EPOCH-VERSION    signed envelopes: the one in force and two before (hexadecimal names)
 *   DIR/sections/SHA256       sections by content, shared by the roots and by all workers of a node
 *   DIR/floor.a, floor.b      which roots may be started from, under a MAC; two copies, so that one
 *                             damaged file does not cost the policy
 *   DIR/lock                  flock: writers one at a time
 *
 * A root is started from when it is one of those the floor lists, or newer than all of them: an
 * old, correctly signed root put back by hand is refused. Every file is written beside, fsynced,
 * renamed, and the directory fsynced; the root comes after its sections. Calls block on the disk:
 * they belong to the follower's thread, or to a worker's start. A struct lkg is used by one thread
 * at a time, but for lkg_has_section().
 */
#ifndef LIB_POLICY_LKG_H
#define LIB_POLICY_LKG_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/keyring.h"
#include "lib/control/snapshot.h"
#include "lib/policy/compile.h"

#include <stdbool.h>

#define LKG_KEPT 3 /* the one in force and two before */

struct lkg;

/* Makes the folders (0700) when they are not there. The keys are copied in derived form. 0; ERR_IO,
 * ERR_DENIED (dir is a link, no directory, or another user's), ERR_NOMEM. */
MUST_CHECK int lkg_open(const char *dir, const struct keyring *keys, struct lkg **ret_lkg);
void lkg_close(struct lkg *l);

struct lkg_found {
    struct policy *policy; /* given */
    unsigned char root_digest[SHA256_BYTES];
    char cluster_id[64];  /* of the root */
    int64_t not_after_ms; /* of the root; 0: none */
    bool expired;         /* served nevertheless: availability; raise stale_policy */
    size_t skipped;       /* newer roots that could not be used: falls to N-1, then N-2 */
};
/* The newest usable policy. 0, or ERR_NOT_FOUND: none, with what was wrong with each in *why. */
MUST_CHECK int lkg_load(struct lkg *l, const struct snapshot_trust *trust,
                        const struct keyring *keys, struct lkg_found *ret_found, struct buf *why);
/* The same without compiling: each usable root, newest first, with its sections whole and verified
 * (bytes valid during the call, in the root's order), until `use` returns true. expired as above.
 * Returns how many were shown. */
size_t lkg_each(struct lkg *l, const struct snapshot_trust *trust,
                bool (*use)(void *ctx, struct slice envelope, const struct snapshot_root *root,
                            const struct slice *sections, bool expired),
                void *ctx, struct buf *why);
/* Whether the section's file is there with its size (its content is checked when loaded). */
bool lkg_has_section(const struct lkg *l, const struct section_ref *ref);
/* sections[i] belongs to root->sections[i]; at == NULL: on disk already. A root not newer than the
 * newest on disk is left alone (another worker was first): 0. Else 0, ERR_FULL, ERR_IO, ERR_NOMEM,
 * ERR_NOT_FOUND (a section neither given nor there),
 * ERR_CONFLICT (the same version with other bytes is there); what was saved before stays usable. */
MUST_CHECK int lkg_save(struct lkg *l, struct slice envelope, const struct snapshot_root *root,
                        const struct slice *sections);
/* The fleet has other sealing keys now: the floor is written anew under the first of them. A policy
 * sealed under a key that is gone is not started from any more. 0, ERR_IO, ERR_FULL, ERR_NOMEM. */
MUST_CHECK int lkg_rekey(struct lkg *l, const struct keyring *keys);

#endif
