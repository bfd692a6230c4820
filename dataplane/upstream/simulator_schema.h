/*
 * A value that fits a JSON Schema: the simulator's tool arguments and structured answers. Knows
 * what tools and response formats use: type, properties, required, items, enum, const, default,
 * anyOf, oneOf, allOf, $ref into the same document, bounds of numbers, texts and lists, common
 * formats.
 */
#ifndef DATAPLANE_UPSTREAM_SIMULATOR_SCHEMA_H
#define DATAPLANE_UPSTREAM_SIMULATOR_SCHEMA_H

#include "lib/base/buf.h"
#include "lib/json/doc.h"

/* Appends the value as JSON text. NULL schema: {}. 0, ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int simulator_schema_write(const struct json *schema, struct buf *into);

#endif
