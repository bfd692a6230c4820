/* Calls of the admin API. The tool has no other door: what it can do, any program can. */
#ifndef CONTROLPLANE_CLI_CLIENT_H
#define CONTROLPLANE_CLI_CLIENT_H

#include "controlplane/cli/cli.h"
#include "controlplane/cli/home.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stdbool.h>

#define CLIENT_URL_BYTES 512
#define CLIENT_TOKEN_BYTES 256

struct client {
    char url[CLIENT_URL_BYTES]; /* without a slash at its end */
    char token[CLIENT_TOKEN_BYTES];
};

/* Finds the gateway of a command line. CLI_OK, or CLI_FAILED with the error printed. */
int client_open(struct client *c, const struct cli *cli) __attribute__((warn_unused_result));
/* The same without a token, for `headgate login`, and where that keeps what it gets. url: NULL, or
 * the address that was given. */
int client_open_unsigned(struct client *c, const struct cli *cli, const char *url,
                         char ret_path[static HOME_PATH_BYTES]) __attribute__((warn_unused_result));
/* The one in this directory, with this token. */
void client_open_local(struct client *c, const struct home *h, const char *token);
void client_close(struct client *c); /* wipes the token */

struct client_call {
    const char *method;
    const char *path;        /* "/api/v1/teams/a%20b?x=1" */
    const struct json *body; /* or NULL */
    const char *if_match;    /* or NULL */
    int total_ms;            /* 0: 60 s */
    struct buf *text;        /* or NULL: where the body of a 2xx goes as it is, which is no JSON */
};
struct client_answer {
    int status;
    struct json *body; /* NULL when there is none */
};
/* One call: 0 with any status, or an error with one line in why. */
MUST_CHECK int client_call(const struct client *c, const struct client_call *call,
                           struct client_answer *ret_answer, char *why, size_t why_bytes);
void client_answer_free(struct client_answer *a);
/* The same for commands: the body of a 2xx, else the error is printed and CLI_FAILED given.
 * ret_body may be NULL. */
int client_do(const struct client *c, const struct client_call *call, struct json **ret_body)
    __attribute__((warn_unused_result));
/* Prints the problem of an answer that is no 2xx; gives CLI_FAILED. */
int client_complain(const struct client_answer *a);
/* All items of a collection, page by page, up to `limit` (0: all): {"data":[...],"next":...}. */
int client_list(const struct client *c, const char *path, size_t limit, struct json **ret_page)
    __attribute__((warn_unused_result));

/* "/api/v1/KIND/NAME" with the name percent-encoded; false when it does not fit. */
bool client_path(char *ret_path, size_t bytes, const char *kind, const char *name);
/* A query parameter; value NULL: none. */
struct client_filter {
    const char *name, *value;
};
/* Appends path and those of the filters that have a value. */
MUST_CHECK int client_query(struct buf *into, const char *path, const struct client_filter *filters,
                            size_t count);
/* Appends text percent-encoded, for paths and queries. */
MUST_CHECK int client_escape(struct buf *into, struct slice text);
/* Status of GET url, or a negative error: for probes. A bearer token may be given. */
int client_probe(const char *url, const char *token, int total_ms);

#endif
