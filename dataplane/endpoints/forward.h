/*
 * Endpoints that are passed on to a provider that is named, not found by a model: files, batches,
 * and anything below a provider's address. Sans-I/O.
 */
#ifndef DATAPLANE_ENDPOINTS_FORWARD_H
#define DATAPLANE_ENDPOINTS_FORWARD_H

#include "dataplane/endpoints/codec.h"

#define FORWARD_PREFIX "/providers/"

/* "/providers/NAME/REST" (a path without its query): false when it is none. *ret_rest begins with a
 * '/'. */
bool forward_split(struct slice path, struct slice *ret_provider, struct slice *ret_rest);
/* Whether a path stays below where it is put, whoever reads it: no empty segment, no "." or "..",
 * neither plain nor escaped, no backslash, no escaped slash, percent or control character. */
bool forward_is_path(struct slice path);
/* A member of a query, still escaped; at == NULL: absent. */
struct slice forward_query_get(struct slice query, const char *name);
/* The query ("a=1&b", without '?') less what is the gateway's (provider) or carries credentials.
 * at == NULL: no memory. */
struct slice forward_query(struct slice query, struct arena *a);
/* Whether what is done at a path is done by the model that the body or the path names, and by no
 * other. */
bool forward_is_of_model(struct slice path);
/* The model that a path names as Google, AWS and Azure do; empty: none. In the arena where it had
 * to be decoded. */
struct slice forward_path_model(struct slice path, struct arena *a);

#endif
