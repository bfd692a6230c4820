/*
 * The admin API's route table and what a handler sees. Handlers are straight-line functions on pool
 * threads, one libpq connection each. The dispatcher alone authenticates, checks the row's
 * permission, limits and parses the body, begins and commits, writes the audit row, and renders
 * problems: no handler can forget one.
 */
#ifndef CONTROLPLANE_API_API_H
#define CONTROLPLANE_API_API_H

#include "controlplane/store/db.h"
#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stdbool.h>
#include <stdint.h>

struct plane; /* what the daemon holds: keys, publisher, pool (controlplane/plane.h) */
struct route;
struct access;  /* controlplane/store/access.h */
struct session; /* controlplane/store/sessions.h */

struct api_request {
    struct plane *plane;
    struct db *db; /* in a transaction when the route writes */
    const struct route *route;
    struct arena arena;
    struct slice method, path; /* path without the query */
    struct slice query;        /* raw, without '?' */
    struct slice params[4];    /* of {braces} in the route's path, decoded, in order */
    struct json *body;         /* parsed, checked against the row's table; NULL without one */
    struct slice if_match;     /* or at == NULL */
    struct slice accept;       /* or at == NULL */
    struct slice cookie;       /* the field; or at == NULL */
    const char *actor; /* name of the token, or "user:NAME" of a session; "" on public routes */
    const char *role;  /* of the token: "admin", "read-only"; "": what its user has */
    const char *user;  /* whose token or session it is, or "" */
    const struct session *session; /* NULL: a token, or a public route */
    const struct access *access;   /* what it may do; NULL on public routes */
    bool asked; /* authority.h was asked about objects: what API_SCOPED routes must do */
    const char *request_id;
    const char *peer; /* numeric address of the client */
};
/* A query parameter, decoded and terminated, in the request's arena; at == NULL when absent. */
struct slice api_query(struct api_request *r, const char *name);

#define API_WAIT                                                                                   \
    "too many wrong credentials came from this address: wait for as long as Retry-After says, "    \
    "and look "                                                                                    \
    "at the token"
#define API_LOCATION_BYTES 4096 /* to an identity provider, with what it is asked */
/* Writers of this installation, one at a time: revisions and audit rows have no gaps. */
#define API_WRITE_LOCK "SELECT pg_advisory_xact_lock(7523094288201235)"

struct api_reply {
    int status;        /* 200 by default */
    struct json *body; /* taken; NULL: none */
    struct buf text;   /* instead of body: text/plain, or text_type */
    const char *text_type;
    char etag[40]; /* "" none; given without quotes */
    char location[API_LOCATION_BYTES];
    struct buf cookies; /* Set-Cookie, a line each */
    char ignored[128];  /* members of the body that had no effect: x-headgate-ignored */
    char next[40];      /* what begins the next page: x-headgate-next */
    int retry_after_s;  /* 0: none */
    bool discard;       /* a dry run: roll back what the handler did, write no audit row */
    bool unchanged;     /* nothing was done: no audit row */
    bool changed;       /* the configuration changed: tell the publisher after the commit */
    /* for the audit row: what was touched, without secrets */
    char audit_object[256];
    struct json *audit_detail; /* taken; may be NULL */
};

/* A refusal: fills the reply with an RFC 9457 problem and returns -status. code: stable,
 * snake_case. detail says what is wrong and what to do. */
int api_problem(struct api_reply *reply, int status, const char *code, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));
/* The same from a message of json_check() and its like, "models[2].targets[0].weight: what is
 * wrong": the place also becomes the member `path`. */
int api_problem_at(struct api_reply *reply, int status, const char *code, struct buf *why);
/* Paths below /scim/ speak SCIM: their refusals have the form of RFC 7644, 3.12. */
bool api_is_scim(struct slice path);
/* Brings a problem in the reply into that form: 0 or ERR_NOMEM. */
MUST_CHECK int api_problem_as_scim(struct api_reply *reply);
/* What a failed call of the store means to the caller: 503 with Retry-After, 409, or 500 (logged).
 */
int api_fail(struct api_request *r, struct api_reply *reply, int err);

/* --- pages -------------------------------------------------------------------------------------
 */

#define LIMIT_PAGE_ITEMS 1000
#define DEFAULT_PAGE_ITEMS 100

/* The query parameters limit and cursor: 0 with the page's size and the text that the cursor holds
 * ("" on the first page; in the arena), or a problem. A cursor is good for the route that gave it
 * only. */
MUST_CHECK int api_page(struct api_request *r, struct api_reply *reply, int64_t *ret_limit,
                        const char **ret_after);
/* Fills reply->body with {"data": data, "next": cursor}; takes data. after: where the next page
 * begins, or NULL when this was the last. 0 or a problem. */
MUST_CHECK int api_page_reply(struct api_request *r, struct api_reply *reply, struct json *data,
                              const char *after);
/* The query parameter `name` as a time in wall milliseconds: 0 (*ret unchanged when absent), or a
 * problem. */
MUST_CHECK int api_query_time(struct api_request *r, struct api_reply *reply, const char *name,
                              int64_t *ret_wall_ms);

typedef int api_handler(struct api_request *r, struct api_reply *reply); /* 0, or api_problem() */

enum api_access {
    API_READ = 1,
    API_WRITE = 2,   /* in a transaction, audited */
    API_SCOPED = 4,  /* also for callers with the permission for a team or a project only */
    API_LITELLM = 8, /* only there when asked for; errors have LiteLLM's shape (litellm.h) */
};

struct route {
    const char *method;
    const char *path;       /* "/api/v1/teams/{name}" */
    const char *permission; /* "teams.read"; "self": any caller; "own:sessions.read": any
                             * caller for what is its own, else that permission; "public": no
                             * caller, and what it writes it writes and audits itself */
    unsigned access;        /* of enum api_access */
    const struct field_table
        *body; /* schema of the body, or NULL; api_any_object for a merge patch */
    api_handler *handler;
    const char *audit;   /* "team.create"; NULL for reads */
    const char *summary; /* one line: openapi, help */
    const char *query;   /* names of the query parameters, "limit cursor"; NULL: none */
};

extern const struct route api_routes[];
extern const size_t api_route_count;
/* Of "own:...": what it takes to do it to what is not one's own; at == NULL: another kind of row.
 */
struct slice api_route_foreign(const struct route *route);
/* Whether every row has a permission that exists: else the daemon does not start. */
bool api_routes_are_guarded(const struct route **ret_bad);
extern const struct field_table api_any_object;

#endif
