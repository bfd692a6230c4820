/* What the files of the Cohere dialect share: Cohere's v2 chat, spoken to providers only. */
#ifndef DATAPLANE_DIALECTS_COHERE_INTERNAL_H
#define DATAPLANE_DIALECTS_COHERE_INTERNAL_H

#include "dataplane/dialects/dialect.h"
#include "lib/json/emit.h"
#include "lib/json/view.h"

/* The plan that precedes calls is reasoning; this in a part's raw tells it from thinking, so that
 * it goes back as a plan. */
#define COHERE_PLAN SLICE("{\"tool_plan\":true}")

/* cohere_request.c */
int cohere_write_request(const struct canon_request *q, struct dialect_writer *w, struct buf *into);
/* cohere_messages.c: the list of messages. 0 or an error. */
MUST_CHECK int cohere_write_messages(struct json_emit *e, const struct canon_request *q,
                                     struct dialect_writer *w);
/* Documents given as text, which have a member of their own; false: there is none. */
bool cohere_has_documents(const struct canon_request *q);
void cohere_write_documents(struct json_emit *e, const struct canon_request *q);

/* cohere_answer.c */
int cohere_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                       struct canon_answer *ret, const char **ret_why);
void cohere_read_usage(struct json_view usage, struct usage_report *ret);
enum canon_finish cohere_read_finish(struct json_view v, bool has_calls, struct slice *ret_word);
/* 0 or ERR_NOMEM. */
MUST_CHECK int cohere_read_citation(struct json_view v, struct arena *a,
                                    struct canon_citation *ret);
/* Whether a call's arguments are the "null" that a function without parameters gets. */
bool cohere_is_null(struct slice arguments);

/* cohere_error.c */
int cohere_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret);

/* cohere_stream.c */
extern const struct dialect_decoder cohere_decoder;

#endif
