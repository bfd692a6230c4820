/*
 * What the files of the Responses dialect share. The dialect has two sides: as clients speak it
 * (responses_request.c, responses_items.c, responses_encode.c, responses_object.c) and as providers
 * speak it (responses_order.c, responses_input.c, responses_answer.c, responses_stream.c).
 */
#ifndef DATAPLANE_DIALECTS_RESPONSES_INTERNAL_H
#define DATAPLANE_DIALECTS_RESPONSES_INTERNAL_H

#include "dataplane/dialects/dialect.h"
#include "lib/json/emit.h"
#include "lib/json/view.h"

/* --- usage (responses_usage.c) ---------------------------------------------------------------- */

/* What a response object reports: usage, the tier, calls of the provider's own search. */
void responses_read_usage(struct json_view response, struct usage_report *report);

/* --- the untouched way (responses.c) ---------------------------------------------------------- */

int responses_brief(struct slice body, const struct dialect_call *call, struct arena *a,
                    struct request_brief *ret, struct dialect_refusal *why);
int responses_address(const struct dialect_target *t, bool stream, struct arena *a,
                      struct dialect_address *ret);
int responses_watch(struct watched *w, struct slice name, struct slice data,
                    enum watch_verdict *ret);
int responses_look(struct slice body, struct usage_report *report, bool *ret_error);

#endif
