/*
 * Schemas: Google's `Schema` is the part of OpenAPI's that is typed (types in upper case or as
 * numbers, nullable, propertyOrdering, no references), everybody else's is JSON Schema.
 */
#ifndef DATAPLANE_DIALECTS_GEMINI_SCHEMA_H
#define DATAPLANE_DIALECTS_GEMINI_SCHEMA_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define LIMIT_SCHEMA_DEPTH 32
#define LIMIT_SCHEMA_NODES 20000 /* of what is written: references multiply */

/* JSON Schema of Google's. 0, ERR_SYNTAX (*ret_why static), ERR_NOMEM. */
MUST_CHECK int gemini_schema_read(struct slice google, struct arena *a, struct slice *ret,
                                  const char **ret_why);
/* Google's of a JSON Schema: references are written out, const becomes enum, a list of types
 * nullable or anyOf. What only describes is left out where Google does not know it; what would
 * allow more is not: 0; ERR_DENIED (*ret_why static: recursion, a keyword without counterpart);
 * ERR_LIMIT; ERR_NOMEM. */
MUST_CHECK int gemini_schema_write(struct slice json_schema, struct arena *a, struct slice *ret,
                                   const char **ret_why);

#endif
