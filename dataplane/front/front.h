/*
 * The front door: what a path and a method mean, and from an HTTP stream to a request. Answers by
 * itself what needs no key (health, unknown paths); everything else starts a story.
 */
#ifndef DATAPLANE_FRONT_FRONT_H
#define DATAPLANE_FRONT_FRONT_H

#include "dataplane/request/request.h"
#include "dataplane/state/services.h"
#include "lib/http/server.h"

/* For http_server_new; the server's ctx is a struct services. */
extern const struct http_handlers front_handlers;

/* --- routes.c --------------------------------------------------------------------------------- */

enum route_kind { ROUTE_NONE, ROUTE_WRONG_METHOD, ROUTE_HEALTH, ROUTE_READY, ROUTE_REQUEST };

struct front_route {
    enum route_kind kind;
    const struct endpoint *endpoint; /* of ROUTE_REQUEST */
    struct slice subject;    /* in the path: a model's id, still percent-encoded; else at == NULL */
    struct slice below;      /* the path below its mount, with the query */
    const char *allow;       /* of ROUTE_WRONG_METHOD */
    enum dialect_id dialect; /* in which an error is told */
};

/* target: origin form, with its query. One look-up, whose result is all that is used afterwards. */
struct front_route front_find(struct slice method, struct slice target);
/* Anthropic's SDKs say which API they speak, also where the path alone does not: /v1/models. */
void front_for_sdk(struct front_route *route, bool anthropic);
/* Undoes %XX into the arena; at == NULL when malformed, or a NUL or no UTF-8 would come out. */
struct slice front_unescape(struct slice text, struct arena *a);
/* By enum endpoint_kind, and "none" behind them: labels of the metrics. */
extern const char *const front_endpoint_names[ENDPOINT_KINDS + 1];

#endif
