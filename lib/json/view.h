/*
 * Looking into a JSON text that is known to be valid, without building a tree: a view is a value's
 * kind and its bytes. Walking costs a pass over the container; nothing is allocated but for texts
 * that hold escapes.
 */
#ifndef LIB_JSON_VIEW_H
#define LIB_JSON_VIEW_H

#include "lib/json/scan.h"

struct json_view {
    enum json_kind kind; /* JSON_ABSENT: there is none */
    struct slice raw;    /* its bytes, quotes and brackets included */
};

/* The whole of a valid text: leading and trailing blanks are left out. */
struct json_view json_view_of(struct slice valid);

/* What a scan has found. */
static inline struct json_view
json_view_at(struct slice text, struct json_span span)
{
    struct json_view v = {JSON_ABSENT, {NULL, 0}};
    if (span.kind != JSON_ABSENT)
        v = (struct json_view){span.kind, json_raw(text, span)};
    return v;
}

/* Walks a list or a map; start with *cursor = 0; false at the end (or when v is neither). For a map
 * *ret_name is the member's name as it stands between its quotes (escapes not decoded). */
bool json_view_next(struct json_view v, size_t *cursor, struct slice *ret_name,
                    struct json_view *ret_value);
/* A member of a map by its name (written without escapes); the last one wins. */
struct json_view json_view_get(struct json_view map, const char *name);
/* Several at once, in one walk: ret[i] is the member names[i]. */
void json_view_fields(struct json_view map, const char *const *names, size_t count,
                      struct json_view *ret);
size_t json_view_count(struct json_view v); /* of a list's or map's children */

/* The decoded text: borrowed from the view where it has no escape, else in the arena. 0;
 * ERR_SYNTAX: it is no text; ERR_NOMEM. */
MUST_CHECK int json_view_text(struct json_view v, struct arena *a, struct slice *ret_text);
/* The same where absent and null are fine: then *ret_text is empty (at == NULL). */
MUST_CHECK int json_view_opt_text(struct json_view v, struct arena *a, struct slice *ret_text);
/* 0, ERR_SYNTAX, ERR_RANGE. */
MUST_CHECK int json_view_int(struct json_view v, int64_t *ret_value);
/* The integer, or `otherwise` for what is none. */
int64_t json_view_int_or(struct json_view v, int64_t otherwise);
static inline bool
json_view_is_set(struct json_view v)
{
    return v.kind != JSON_ABSENT && v.kind != JSON_NULL_;
}
/* Whether it is a text that equals `text` (without escapes). */
bool json_view_is(struct json_view v, const char *text);

#endif
