/* What the files of the Anthropic dialect share. */
#ifndef DATAPLANE_DIALECTS_ANTHROPIC_INTERNAL_H
#define DATAPLANE_DIALECTS_ANTHROPIC_INTERNAL_H

#include "dataplane/dialects/dialect.h"
#include "lib/json/view.h"

/* --- untouched (anthropic_brief.c) ------------------------------------------------------------ */

int anthropic_brief(struct slice body, const struct dialect_call *call, struct arena *a,
                    struct request_brief *ret, struct dialect_refusal *why);
int anthropic_watch(struct watched *w, struct slice name, struct slice data,
                    enum watch_verdict *ret);
int anthropic_look(struct slice body, struct usage_report *report, bool *ret_error);

enum anthropic_event {
    ANTHROPIC_UNKNOWN, /* a later one: clients are told to pass over it */
    ANTHROPIC_MESSAGE_START,
    ANTHROPIC_BLOCK_START,
    ANTHROPIC_BLOCK_DELTA,
    ANTHROPIC_BLOCK_STOP,
    ANTHROPIC_MESSAGE_DELTA,
    ANTHROPIC_MESSAGE_STOP,
    ANTHROPIC_PING,
    ANTHROPIC_ERROR,
    ANTHROPIC_EVENTS
};
/* By the "type" of its data; where there is none, by the name of the event. */
enum anthropic_event anthropic_event_of(struct json_view type, struct slice name);

/* --- usage (anthropic_usage.c) ---------------------------------------------------------------- */

/* Takes a usage object into *report: what it states stands for what was stated before, member by
 * member (the counts of message_delta are cumulative and may be smaller than those of
 * message_start). */
void anthropic_take_usage(struct json_view usage, struct usage_report *report);

/* --- answers (anthropic_answer.c, anthropic_stream.c) ----------------------------------------- */

/* A block of an answer. 0, ERR_SYNTAX, ERR_NOMEM. */
MUST_CHECK int anthropic_read_block(struct json_view block, struct arena *a,
                                    struct canon_part *ret);
MUST_CHECK int anthropic_read_citation(struct json_view v, struct arena *a,
                                       struct canon_citation *ret);
/* Whether it is the call that stands for structured output. */
bool anthropic_is_json_call(const struct canon_part *part);
enum canon_finish anthropic_finish_of(struct slice reason, bool has_calls);
int anthropic_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                          struct canon_answer *ret, const char **ret_why);
extern const struct dialect_decoder anthropic_decoder;

/* --- errors (anthropic_error.c) --------------------------------------------------------------- */

int anthropic_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret);
int anthropic_write_error(const struct canon_error *e, struct buf *into);
int anthropic_write_error_event(const struct canon_error *e, struct buf *into);

#endif
