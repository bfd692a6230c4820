/*
 * The admin API's route table and what a handler sees. Handlers are straight-line functions on pool
 * threads, one libpq connection each. The dispatcher alone authenticates, checks the row's permission,
 * limits and parses the body, begins and commits, writes the audit row, and renders problems: no
 * handler can forget one.
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

struct api_request {
    struct plane *plane;
    struct db *db;              /* in a transaction when the route writes */
    const struct route *route;
    struct arena arena;
    struct slice method, path;
    struct slice params[4];     /* of {braces} in the route's path, decoded, in order */
    struct json *body;          /* parsed, checked against the row's table; NULL without one */
    struct slice if_match;      /* or at == NULL */
    const char *actor;          /* name of the token that calls */
    const char *request_id;
};
/* A query parameter, decoded, in the request's arena; at == NULL when absent. */
struct slice api_query(struct api_request *r, const char *name);

struct api_reply {
    int status;                 /* 200 by default */
    struct json *body;          /* taken; NULL: none */
    char etag[40];              /* "" none; given without quotes */
    char location[256];
    /* for the audit row: what was touched, without secrets */
    char audit_object[256];
    struct json *audit_detail;  /* taken; may be NULL */
};

/* A refusal: fills the reply with an RFC 9457 problem and returns -status. code: stable, snake_case.
 * detail says what is wrong and what to do. */
int api_problem(struct api_reply *reply, int status, const char *code, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));

typedef int api_handler(struct api_request *r, struct api_reply *reply); /* 0, or api_problem() */

enum api_access { API_READ, API_WRITE /* in a transaction, audited */ };

struct route {
    const char *method;
    const char *path;        /* "/api/v1/teams/{name}" */
    const char *permission;  /* "teams:read"; "public" for none */
    enum api_access access;
    const struct field_table *body; /* schema of the body, or NULL */
    api_handler *handler;
    const char *audit;       /* "team.create"; NULL for reads */
    const char *summary;     /* one line: openapi, help */
};

#endif
