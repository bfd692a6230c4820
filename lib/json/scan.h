/*
 * One pass over a JSON text (RFC 8259) without building a tree: validates all of it and notes where
 * the wanted members of the top-level object lie. Iterative, linear, bounded depth and tokens.
 *
 * Strict: UTF-8 checked (no overlong, no surrogates, none above U+10FFFF), no BOM, nothing after
 * the document, no duplicate of a wanted member (also not by another spelling of its name with
 * escapes), a lone surrogate escape and the escape of NUL are refused. Depths above 1024 are never
 * allowed.
 */
#ifndef LIB_JSON_SCAN_H
#define LIB_JSON_SCAN_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum json_kind {
    JSON_ABSENT,
    JSON_NULL_,
    JSON_TRUE_,
    JSON_FALSE_,
    JSON_NUMBER,
    JSON_TEXT,
    JSON_LIST,
    JSON_MAP
};

/* Where a value lies: [start, end) in the text, quotes and brackets included. */
struct json_span {
    enum json_kind kind; /* JSON_ABSENT: the member was not there */
    size_t start, end;
    size_t name_start; /* of the member's name, its quote included */
};

struct json_limits {
    unsigned depth; /* 64 */
    size_t tokens;  /* 1,000,000 values and names */
};
extern const struct json_limits json_limits_default;

struct json_error {
    size_t offset;      /* byte where it went wrong */
    const char *reason; /* static text: "unexpected character", "duplicate member", ... */
    const char *member; /* the wanted member concerned, or NULL */
};

/* names: wanted members of the top-level object; ret_spans gets one span each, in order.
 * root may be any kind when count is 0. *ret_root (may be NULL) gets the whole value's span.
 * 0, ERR_SYNTAX, ERR_LIMIT (depth, tokens), ERR_CONFLICT (duplicate); then *ret_error is filled. */
MUST_CHECK int json_scan(struct slice text, const struct json_limits *limits,
                         const char *const *names, size_t count, struct json_span *ret_spans,
                         struct json_span *ret_root, struct json_error *ret_error);

/* A value's bytes. */
static inline struct slice
json_raw(struct slice text, struct json_span s)
{
    return (struct slice){text.at + s.start, s.end - s.start};
}
/* Decodes a string value into the arena (borrowing from the text when it has no escape):
 * 0, ERR_SYNTAX when it is no string, ERR_NOMEM. */
MUST_CHECK int json_text(struct slice text, struct json_span s, struct arena *a,
                         struct slice *ret_value);
/* An integer without fraction or exponent, in int64: 0, ERR_SYNTAX, ERR_RANGE. */
MUST_CHECK int json_int(struct slice text, struct json_span s, int64_t *ret_value);

/* A list of edits to a text, applied as pieces: what is kept is referenced, not copied. */
struct json_splice {
    size_t start, end; /* bytes of the original replaced (end == start: inserted before) */
    struct slice with;
};
/* edits sorted by start, not overlapping. Writes at most 2 * count + 1 pieces; returns how many. */
size_t json_pieces(struct slice text, const struct json_splice *edits, size_t count,
                   struct slice *ret_pieces);

/* Appends a quoted, escaped JSON string. 0, ERR_LIMIT, ERR_NOMEM. Invalid UTF-8 becomes U+FFFD. */
MUST_CHECK int json_quote(struct buf *into, struct slice text);

/* Walking a list or map found by a scan of valid text: start with *cursor = span.start; false at
 * the end. For a map ret_name is the member's name span (raw, quoted), for a list its kind is
 * absent. */
bool json_next(struct slice text, struct json_span container, size_t *cursor,
               struct json_span *ret_name, struct json_span *ret_value);

#endif
