/*
 * Quotas and budgets that can do nothing: whose selector contradicts itself, so that no request is
 * ever counted, or in dollars where nothing has a price. Each alone is sound; what they name says
 * otherwise.
 *
 * Only what a change makes or alters is looked at. What becomes vain by another change stays.
 */
#ifndef CONTROLPLANE_API_VAIN_H
#define CONTROLPLANE_API_VAIN_H

#include "controlplane/store/db.h"
#include "controlplane/store/revisions.h"
#include "lib/base/buf.h"
#include "lib/policy/policy.h"

/* p: compiled from what the changes make. 0; ERR_SYNTAX, with the place and the reason in *why,
 * when one can never match ("budgets[0].project: ..."); or the database's error. Without `refuses`
 * that is a warning too. Warnings (NULL: not wanted) gets texts. */
MUST_CHECK int vain_check(struct db *db, const struct policy *p, const struct changes *c,
                          bool refuses, struct json *warnings, struct buf *why);

#endif
