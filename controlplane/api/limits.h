/* How quotas and budgets stand: what the list and the item of each show beside their rules. */
#ifndef CONTROLPLANE_API_LIMITS_H
#define CONTROLPLANE_API_LIMITS_H

#include "controlplane/api/api.h"
#include "controlplane/rules/kinds.h"

/* Adds `status` to each of these items, of quotas or budgets; others are left as they are. 0 or an
 * error. */
MUST_CHECK int limits_add_status(struct api_request *r, const struct kind *kind, struct json *data);

#endif
