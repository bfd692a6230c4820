/*
 * Foreign state through a client's dialect: a signature, encrypted reasoning or an item that only
 * its origin understands, packed into one text that the client keeps and sends back without looking
 * into it: "hg1.DIALECT.BASE64URL" of a JSON object.
 *
 * The text is opaque to the client but no secret, and not authenticated: a client that makes one up
 * says no more than it could say in the provider's own dialect. Reading is strict and bounded.
 */
#ifndef DATAPLANE_DIALECTS_CARRY_H
#define DATAPLANE_DIALECTS_CARRY_H

#include "dataplane/dialects/canonical.h"

/* Of one packed text: reasoning is a few KiB, an item with a result in it some 100. */
#define LIMIT_CARRY_BYTES ((size_t)4 << 20)

/* Packs a REASONING part (text, signature, encrypted, id, raw: whatever of it is there; leave the
 * text out where the client's dialect shows it beside) or an OPAQUE one (raw, id), with its origin.
 * 0, ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK int carry_pack(struct arena *a, const struct canon_part *part, struct slice *ret_text);
/* Takes one apart: *ret_part is a REASONING or OPAQUE part of its origin, all of it in the arena.
 * 0; ERR_NOT_FOUND: it is no such text but the dialect's own; ERR_SYNTAX: it begins like one and is
 * none; ERR_LIMIT; ERR_NOMEM. */
MUST_CHECK int carry_unpack(struct arena *a, struct slice text, struct canon_part *ret_part);

/* The names of dialects as they stand in packed texts and in reasoning_details ("anthropic"). */
const char *carry_name(enum dialect_id id);
/* 0 or ERR_NOT_FOUND. */
MUST_CHECK int carry_parse_name(struct slice name, enum dialect_id *ret_id);

#endif
