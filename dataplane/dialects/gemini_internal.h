/*
 * What the files of the Gemini dialect share: the Gemini API's generateContent, and Vertex AI's,
 * which takes the same bodies.
 *
 * Google's parsers accept member names in camelCase and in snake_case, and enums as words and as
 * numbers; the readers here do too. What is written is camelCase and words.
 */
#ifndef DATAPLANE_DIALECTS_GEMINI_INTERNAL_H
#define DATAPLANE_DIALECTS_GEMINI_INTERNAL_H

#include "dataplane/dialects/dialect.h"
#include "lib/json/emit.h"
#include "lib/json/view.h"

#define LIMIT_CANDIDATES 8 /* Google's own for candidateCount */

/* Which generation a model is of: they differ in thinking and in schemas. */
enum gemini_family {
    GEMINI_OLD,   /* 1.x, 2.0: no thinking */
    GEMINI_2_5,   /* thinkingBudget */
    GEMINI_3,     /* thinkingLevel; tools together with hosted tools */
    GEMINI_GEMMA, /* no systemInstruction, no functions */
};
enum gemini_family gemini_family_of(struct slice model);
/* 2.5 and later take JSON Schema as it is (parametersJsonSchema, responseJsonSchema); older ones
 * only the subset of OpenAPI's that is typed (gemini_schema.h). */
bool gemini_takes_json_schema(struct slice model);

/* --- names and enums (gemini_names.c) --------------------------------------------------------- */

/* Whether a member's name as written is `camel`, or its snake_case. */
bool gemini_name_is(struct slice written, const char *camel);
struct json_view gemini_get(struct json_view map, const char *camel);
/* Several at once, as json_view_fields. */
void gemini_fields(struct json_view map, const char *const *camel, size_t count,
                   struct json_view *ret);
/* Walks a list; where there is one thing instead of a list of it, which Google's parsers take too,
 * that. As json_view_next. */
bool gemini_each(struct json_view list, size_t *cursor, struct json_view *ret);
size_t gemini_count(struct json_view list);
/* An enum's word: a text as it is written, a number by its place in words. Empty: neither. */
struct slice gemini_enum(struct json_view v, const char *const *words, size_t count);

/* --- usage (gemini_usage.c) ------------------------------------------------------------------- */

/* usageMetadata. What it says replaces what was said before (running counts do go down: a stream's
 * early chunks hold other stages of the same turn); without counts it says nothing. */
void gemini_read_usage(struct json_view metadata, struct usage_report *report);
/* The searches of a candidate's groundingMetadata, as they are billed: each query for Gemini 3,
 * one a request before. */
void gemini_read_searches(struct json_view grounding, struct slice model,
                          struct usage_report *report);
/* Everything of a response object that is usage. */
void gemini_read_accounts(struct json_view response, struct usage_report *report);
void gemini_write_usage(struct json_emit *e, const struct usage_report *report);

/* --- ends (gemini_finish.c) ------------------------------------------------------------------- */

/* A finishReason: the word (of a number too), and what it means. Empty and FINISH_NONE: it says
 * nothing. */
enum canon_finish gemini_read_finish(struct json_view v, struct slice *ret_word);
/* promptFeedback.blockReason; empty: not blocked. */
struct slice gemini_block_reason(struct json_view response);
const char *gemini_finish_word(enum canon_finish finish, struct slice native,
                               enum dialect_id origin);

/* --- untouched (gemini_untouched.c) and errors (gemini_error.c): see dialect.h ---------------- */

int gemini_brief(struct slice body, const struct dialect_call *call, struct arena *a,
                 struct request_brief *ret, struct dialect_refusal *why);
int gemini_limit_output(struct slice body, const struct dialect_target *t, int64_t n,
                        struct arena *a, struct output_edits *ret);
int gemini_address(const struct dialect_target *t, bool stream, struct arena *a,
                   struct dialect_address *ret);
int gemini_watch(struct watched *w, struct slice name, struct slice data, enum watch_verdict *ret);
int gemini_look(struct slice body, struct usage_report *report, bool *ret_error);
int gemini_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret);
int gemini_write_error(const struct canon_error *e, struct buf *into);
int gemini_write_error_event(const struct canon_error *e, struct buf *into);

/* "/models/{model}:{method}" or Vertex's longer path. 0 or ERR_NOMEM. */
MUST_CHECK int gemini_path(const struct dialect_target *t, const char *method, struct arena *a,
                           struct slice *ret);

/* --- what a provider answers (gemini_stream.c) ------------------------------------------------ */

extern const struct dialect_decoder gemini_decoder;
int gemini_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                       struct canon_answer *ret, const char **ret_why);

/* --- what a provider is asked (gemini_order.c, gemini_media.c) -------------------------------- */

int gemini_write_request(const struct canon_request *q, struct dialect_writer *w, struct buf *into);
bool gemini_wants_inline(const struct dialect_target *t, const struct canon_part *part);

/* --- what a client asks (gemini_request.c) ---------------------------------------------------- */

int gemini_read_request(struct slice body, const struct dialect_call *call, struct arena *a,
                        struct canon_request *ret, struct dialect_refusal *why);

/* --- what a client gets (gemini_answer.c, gemini_encode.c) ------------------------------------ */

int gemini_write_answer(const struct canon_request *q, const struct canon_answer *answer,
                        const struct answer_names *names, struct buf *into);
extern const struct dialect_encoder gemini_encoder;

#endif
