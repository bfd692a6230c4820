/*
 * What the gateway needs to know of OpenAI's bodies, and no more: which members of a request it
 * reads, how usage is reported, how errors look. Everything else passes through untouched.
 * Sans-I/O; slices point into the texts given, or into the arena.
 */
#ifndef DATAPLANE_DIALECTS_OPENAI_H
#define DATAPLANE_DIALECTS_OPENAI_H

#include "dataplane/dialects/canonical.h"
#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/json/scan.h"
#include "lib/policy/policy.h"

/* --- requests --------------------------------------------------------------------------------- */

/* The top-level members that decide who, what and how much: none may appear twice. */
enum openai_member {
    MEMBER_MODEL,
    MEMBER_STREAM,
    MEMBER_STREAM_OPTIONS,
    MEMBER_MAX_TOKENS,
    MEMBER_MAX_COMPLETION_TOKENS,
    MEMBER_N,
    MEMBER_USER,
    MEMBER_METADATA,
    MEMBER_MESSAGES,
    MEMBER_PROMPT,
    MEMBER_INPUT,
    MEMBER_TOOLS,
    MEMBER_FUNCTIONS, /* what tools were called before */
    MEMBER_BEST_OF,
    OPENAI_MEMBERS
};
extern const char *const openai_members[OPENAI_MEMBERS];

/* --- usage ------------------------------------------------------------------------------------ */

/* Merges a usage object ({...}, valid JSON) into *report: the last report wins, except that counts
 * never shrink. Classes become disjoint: cached tokens leave input, reasoning leaves output. */
void openai_read_usage(struct slice object, struct usage_report *report);

/* --- errors ----------------------------------------------------------------------------------- */

struct openai_error {
    struct slice message, type, code, param; /* empty: null (message: never) */
    const char *source;                      /* "gateway" or "provider" */
};
/* Appends {"error":{...}}. 0, ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int openai_write_error(struct buf *into, const struct openai_error *e);
/* What a provider's error body says, in whichever of the known shapes: {"error":{...}},
 * {"error":"text"}, flat {"message":...}, {"detail":...}. Always gives a message: of a body that is
 * none of these (HTML, empty) nothing is kept. *ret_status: an integer code inside 400..599, else
 * 0. 0 or ERR_NOMEM. */
MUST_CHECK int openai_read_error(struct slice body, struct arena *a, struct openai_error *ret_error,
                                 int *ret_status);

#endif
