/* What is said of alerts when a configuration is applied. */
#ifndef CONTROLPLANE_API_ALERTS_H
#define CONTROLPLANE_API_ALERTS_H

#include "controlplane/api/api.h"
#include "controlplane/store/revisions.h"

/* Behind the writing of the changes: a text for each changed alert that no budget is of. 0 or an
 * error. */
MUST_CHECK int alerts_warn(struct api_request *r, const struct changes *c, struct json *warnings);

#endif
