/* GET /api/v1/can about inference: "chat.completions" and "model:gpt-4o". */
#ifndef CONTROLPLANE_API_CAN_ASK_H
#define CONTROLPLANE_API_CAN_ASK_H

#include "controlplane/api/api.h"
#include "controlplane/store/access.h"

/* Whether the question is about a model, by its resource; then *ret_model. */
bool can_is_about_model(struct slice resource, struct slice *ret_model);
/* The answer for a user (as: its name) or a key (as: "keys/NAME"), as a worker would decide it but
 * for addresses and parameters. 0 or a problem. */
MUST_CHECK int can_ask(struct api_request *r, struct api_reply *reply, struct slice model);
/* What is shown of a grant; "" members are null. NULL: no memory. (can.c) */
struct json *can_grant_json(const struct grant *g);

#endif
