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

/* --- items (responses_parts.c) ---------------------------------------------------------------- */

/* A list that grows in an arena. */
struct responses_parts {
    struct canon_part *at;
    size_t count, cap;
};
/* The new last part, zeroed; NULL: no memory. */
struct canon_part *responses_add(struct responses_parts *list, struct arena *a);

/* The members of a map that are neither null nor one of `known` (NULL-ended), as one JSON object;
 * empty when there is none. 0 or ERR_NOMEM. */
MUST_CHECK int responses_leftover(struct json_view map, const char *const *known, struct arena *a,
                                  struct slice *ret_raw);
/* The texts of a list of {"text":...} joined without anything between them. 0 or ERR_NOMEM. */
MUST_CHECK int responses_join_texts(struct json_view list, struct arena *a, struct slice *ret_text);
/* What may be read of a reasoning item: its summary, else its content. 0 or ERR_NOMEM. */
MUST_CHECK int responses_reasoning_text(struct json_view item, struct arena *a,
                                        struct slice *ret_text);
/* An annotation of a text; what it lacks is empty. 0 or ERR_NOMEM. */
MUST_CHECK int responses_read_citation(struct json_view annotation, struct arena *a,
                                       struct canon_citation *ret);
/* A piece of a message's content that is text or a refusal, with its citations. 0; ERR_NOT_FOUND:
 * it is something else; ERR_NOMEM. */
MUST_CHECK int responses_read_text(struct json_view piece, struct arena *a, struct canon_part *ret);
/* Whether an item of the output is a message of the model's (a compaction repeats the user's). */
bool responses_is_said(struct json_view item);
/* {"phase":...} of a message, empty when it has none. 0 or ERR_NOMEM. */
MUST_CHECK int responses_message_extra(struct json_view item, struct arena *a, struct slice *ret);
/* A function_call or custom_tool_call, of which *ret is made. 0; ERR_NOT_FOUND: another item;
 * ERR_NOMEM. */
MUST_CHECK int responses_read_call(struct json_view item, struct arena *a, struct canon_part *ret);

/* --- answers of providers (responses_answer.c, responses_stream.c) ---------------------------- */

int responses_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                          struct canon_answer *ret, const char **ret_why);
int responses_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret);
/* Of {"code":...,"message":...,"type":...,"param":...} in a stream, or in a response that failed:
 * *ret is filled, status and all. 0 or ERR_NOMEM. */
MUST_CHECK int responses_read_failure(struct json_view error, struct arena *a,
                                      struct canon_error *ret);
enum canon_finish responses_finish(struct json_view response, bool has_calls,
                                   struct slice *ret_native);
extern const struct dialect_decoder responses_decoder;

#endif
