/*
 * The one dispatcher: from a request as it came off the wire to an answer. It alone finds the
 * route, authenticates, authorises, checks the body, opens and ends the transaction, keeps answers
 * for repeated calls, and writes the audit row. Runs on any thread with that thread's own db.
 */
#ifndef CONTROLPLANE_API_DISPATCH_H
#define CONTROLPLANE_API_DISPATCH_H

#include "controlplane/api/api.h"
#include "controlplane/plane.h"

struct api_call {                /* texts are borrowed during dispatch() */
    struct slice method, target; /* "/api/v1/teams?limit=3" */
    struct slice authorization, content_type, if_match, idempotency_key; /* at == NULL: absent */
    struct slice accept, cookie;
    struct slice origin, fetch_site, csrf_token; /* what a browser says of where a call is from */
    struct slice body;
    const char *request_id;
    const char *peer;         /* the connection's other end: no field of a request is believed */
    size_t authorizations;    /* how many such fields there were: more than one is refused */
    struct slice litellm_key; /* x-litellm-api-key; of routes in LiteLLM's shapes */
};

struct api_answer {
    int status;
    const char *content_type; /* NULL: no body */
    struct buf body;
    char etag[40], location[API_LOCATION_BYTES], allow[64], ignored[128], next[40];
    struct buf cookies; /* Set-Cookie, a line each */
    int retry_after_s;
    bool replayed; /* the kept answer of an earlier call with this Idempotency-Key */
};

void api_dispatch(struct plane *plane, struct db *db, const struct api_call *call,
                  struct api_answer *ret_answer);
void api_answer_free(struct api_answer *a);

/* Whether what a call shows to this route (NULL: none) has the form of one of our tokens, or of a
 * session's cookie: what does not is refused before its body is read. */
bool api_caller_plausible(const struct plane *plane, const struct api_call *call,
                          const struct route *route);
/* Seconds that a caller must wait before what it shows is looked at, since too much that was wrong
 * came from there (throttle.h); 0: none. */
int api_caller_wait_s(const struct plane *plane, const struct api_call *call,
                      const struct route *route);
/* What a session's cookie must come with to change anything: GET /api/v1/me tells it, which no
 * other origin can read. */
#define CSRF_TOKEN_BYTES 43
void api_csrf_token(struct slice session_cookie, char ret_text[static CSRF_TOKEN_BYTES + 1]);
/* A route by method and path, with its parameters (raw). litellm: those of LiteLLM's shapes are
 * there. *ret_allow: the methods that the path has, when only the method is wrong. NULL: none. */
const struct route *api_route_find(bool litellm, struct slice method, struct slice path,
                                   struct slice params[4], char *ret_allow, size_t allow_room);
/* Whether a path is there for everybody, whatever the method: strangers may know that it is. */
bool api_path_is_public(struct slice path);
/* Decodes %XX (and '+'), terminated in the arena: 0, ERR_SYNTAX (malformed, a NUL, no UTF-8),
 * ERR_NOMEM.
 */
MUST_CHECK int api_percent_decode(struct arena *a, struct slice text, bool plus_is_space,
                                  struct slice *ret_text);

#endif
