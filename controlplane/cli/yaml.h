/*
 * YAML to JSON documents and back: libyaml behind our own names. Only this file includes yaml.h.
 *
 * The core schema of YAML 1.2, without surprises: only null, true, false and decimal integers are
 * not text. A decimal fraction stays the text it was written as (2.50 is a price, not a float);
 * dates, "yes" and "on" are text. One document; aliases are allowed within bounds; a repeated
 * member, a member that is no text, and tags of other types are errors.
 */
#ifndef CONTROLPLANE_CLI_YAML_H
#define CONTROLPLANE_CLI_YAML_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stddef.h>

#define LIMIT_YAML_BYTES (32u << 20) /* what the admin API takes as a body */
#define LIMIT_YAML_DEPTH 64          /* as of JSON */
#define LIMIT_YAML_NODES 1000000     /* aliases counted in full: bounds what they can grow to */

struct yaml_places; /* where each path of a document stands in its file */

/* The document (the caller frees it) with its places (yaml_places_free), or ERR_SYNTAX, ERR_LIMIT,
 * ERR_NOMEM with "LINE:COLUMN: what is wrong" in *why. An empty document is an empty map. */
MUST_CHECK int yaml_read(struct slice text, struct json **ret_doc, struct yaml_places **ret_places,
                         struct buf *why);
void yaml_places_free(struct yaml_places *p);
/* The line and column (from 1) of "models[2].targets[0].provider", or of the nearest thing around
 * it that the file holds; the start of the file at last. */
void yaml_places_find(const struct yaml_places *p, struct slice path, size_t *ret_line,
                      size_t *ret_column);

/* Appends block-style YAML that yaml_read() reads as the same document. 0 or ERR_NOMEM. */
MUST_CHECK int yaml_write(const struct json *doc, struct buf *into);

#endif
