/*
 * LiteLLM's management calls in LiteLLM's shapes: /key/generate and its like. Each is a translation
 * to items of ours and goes the way of every other change. The rows of the route table that are
 * API_LITELLM are only there when the daemon was asked for them (--litellm-shim).
 *
 * This header is what the dispatcher needs; the handlers share litellm_shim.h.
 */
#ifndef CONTROLPLANE_API_LITELLM_H
#define CONTROLPLANE_API_LITELLM_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/doc.h"

struct route;

/* A problem of ours becomes {"error":{"message","type","param","code"}}; members are named as
 * callers of this route know them. *body is replaced. 0 or ERR_NOMEM. */
MUST_CHECK int litellm_error(const struct route *route, struct json **body);
/* The same of a refusal that never reached a handler; message: without quotes. 0 or an error. */
MUST_CHECK int litellm_error_text(int status, const char *message, struct buf *into);

#endif
