/*
 * Writing JSON as text, member by member, without building a tree: commas are set by themselves,
 * and the first failure sticks, so that a writer reads as the shape of what it writes and checks
 * once.
 *
 *     struct json_emit e = json_emit_into(&buf);
 *     emit_map(&e);
 *     emit_name(&e, "role"), emit_str(&e, "user");
 *     emit_name(&e, "input"), emit_raw(&e, arguments);
 *     emit_end_map(&e);
 *     return e.err;
 */
#ifndef LIB_JSON_EMIT_H
#define LIB_JSON_EMIT_H

#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct json_emit {
    struct buf *into;
    int err;    /* sticky: 0, ERR_NOMEM, ERR_LIMIT */
    bool comma; /* a value stands before the next one */
};

static inline struct json_emit
json_emit_into(struct buf *into)
{
    return (struct json_emit){.into = into};
}

void emit_map(struct json_emit *e);
void emit_end_map(struct json_emit *e);
void emit_list(struct json_emit *e);
void emit_end_list(struct json_emit *e);
/* name: plain text of ours, not escaped. */
void emit_name(struct json_emit *e, const char *name);
void emit_text(struct json_emit *e, struct slice text); /* quoted and escaped */
void emit_str(struct json_emit *e, const char *text);
void emit_raw(struct json_emit *e, struct slice json); /* one whole value, as it is */
void emit_int(struct json_emit *e, int64_t n);
void emit_bool(struct json_emit *e, bool b);
void emit_null(struct json_emit *e);

/* The members of a JSON object, without its braces, into the map that is open. */
void emit_members_of(struct json_emit *e, struct slice map);

/* A name and its value; the opt_ forms write nothing for what is absent (at == NULL). */
void emit_text_member(struct json_emit *e, const char *name, struct slice text);
void emit_opt_text(struct json_emit *e, const char *name, struct slice text);
void emit_opt_raw(struct json_emit *e, const char *name, struct slice json);
void emit_int_member(struct json_emit *e, const char *name, int64_t n);
void emit_str_member(struct json_emit *e, const char *name, const char *text);
void emit_bool_member(struct json_emit *e, const char *name, bool b);

#endif
